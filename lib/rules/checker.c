#include "lib/rules/expr.h"

#include "lib/base/nearest.h"

#include <math.h>
#include <string.h>

enum { MACRO_DEPTH_CAP = 16, LIST_DEPTH_CAP = 16, LIST_ITEM_CAP = 100000 };

static struct cu_expr *check(struct cu_scope *scope, struct cu_expr *expr);

static struct cu_expr *broken(struct cu_expr *expr)
{
	expr->kind = CU_EXPR_ERROR;
	expr->type = CU_TYPE_NONE;
	return expr;
}

#define WRONG(scope, expr, ...) \
	(cu_yaml_error_at((scope)->diag, (expr)->scalar, (expr)->start, (expr)->len, __VA_ARGS__), broken(expr))

#define WARN(scope, expr, ...) cu_yaml_warn_at((scope)->diag, (expr)->scalar, (expr)->start, (expr)->len, __VA_ARGS__)

static bool is_error(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_ERROR;
}

static const struct cu_field *named_field(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_NAME ? cu_field_find(expr->text.data, expr->text.len) : NULL;
}

static struct cu_expr *become_number(struct cu_expr *expr, enum cu_type type, double number)
{
	expr->kind = CU_EXPR_NUMBER;
	expr->type = type;
	expr->number = number;
	expr->bare = false;
	return expr;
}

static struct cu_expr *become_bool(struct cu_expr *expr, bool value)
{
	expr->kind = CU_EXPR_BOOL;
	expr->type = CU_TYPE_BOOL;
	expr->number = value;
	return expr;
}

static bool is_text(const struct cu_expr *expr, const char *word)
{
	return expr->text.len == strlen(word) && memcmp(expr->text.data, word, expr->text.len) == 0;
}

enum { SUGGESTED_CAP = 3, NEAR = 2 }; /* names suggested at once; edits within which a name is surely meant */

/* Fields whose last part is the word: think is of server.think, port of client.port and server.port. */
static size_t fields_ending_in(const char *word, size_t len, const char *names[static SUGGESTED_CAP])
{
	size_t n = 0;
	for (size_t i = 0; i < cu_field_count() && n < SUGGESTED_CAP; i++) {
		const char *dot = strrchr(cu_field_at(i)->name, '.');
		const char *last = dot ? dot + 1 : cu_field_at(i)->name;
		if (strlen(last) == len && memcmp(last, word, len) == 0) {
			names[n++] = cu_field_at(i)->name;
		}
	}
	return n;
}

/*
 * The names that an unknown one may have been meant to be; how many. Next to a
 * slip of the finger come fields that end in its last part, then what is less near.
 */
static size_t suggest(struct cu_scope *scope, struct cu_text word, const char *names[static SUGGESTED_CAP])
{
	/* What others call it. */
	static const struct {
		const char *word, *field;
	} others[] = {{"latency", "total"},
	              {"duration", "total"},
	              {"time", "total"},
	              {"elapsed", "total"},
	              {"src.ip", "client.ip"},
	              {"dst.ip", "server.ip"},
	              {"src.port", "client.port"},
	              {"dst.port", "server.port"},
	              {"host", "name"},
	              {"path", "name"},
	              {"url", "name"},
	              {"sni", "name"}};
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, word.data, word.len);
	for (size_t i = 0; i < cu_field_count(); i++) {
		cu_nearest_try(&nearest, cu_field_at(i)->name);
	}
	const char *name;
	for (size_t i = 0; (name = scope->name_at(scope->names, i)) != NULL; i++) {
		cu_nearest_try(&nearest, name);
	}
	names[0] = nearest.name;
	if (nearest.name && nearest.distance <= NEAR) {
		return 1;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (strlen(others[i].word) == word.len && memcmp(others[i].word, word.data, word.len) == 0) {
			names[0] = others[i].field;
			return 1;
		}
	}
	const char *dot = memrchr(word.data, '.', word.len), *last = dot ? dot + 1 : word.data;
	size_t n = fields_ending_in(last, word.len - (size_t)(last - word.data), names);
	return n > 0 ? n : nearest.name != NULL;
}

static bool is_one_of(const struct cu_expr *expr, const char *const *words)
{
	while (*words && !is_text(expr, *words)) {
		words++;
	}
	return *words != NULL;
}

static struct cu_expr *unknown_name(struct cu_scope *scope, struct cu_expr *expr)
{
	static const char *const nothing[] = {"null", "nil", "none", "None", "NULL", "missing", "unknown", "NaN", NULL};
	const char *names[SUGGESTED_CAP] = {0};
	if (is_text(expr, "yes") || is_text(expr, "no")) {
		return WRONG(scope, expr, "'%s' is no condition; write %s", expr->text.data,
		             is_text(expr, "yes") ? "true" : "false");
	}
	if (is_one_of(expr, nothing)) {
		return WRONG(scope, expr, "'%s' is no value; has() asks whether a field has one, as in not has(rtt)",
		             expr->text.data);
	}
	/* With many errors none is shown that the names would be looked for. */
	size_t n = cu_diag_is_full(scope->diag) ? 0 : suggest(scope, expr->text, names);
	if (n == 0 && scope->incomplete) {
		return broken(expr); /* of a part that could not be read, most likely: that was said */
	}
	if (n == 0) {
		return WRONG(scope, expr, "unknown field '%s'; classify --fields lists them", expr->text.data);
	}
	return WRONG(scope, expr, "unknown field '%s'; did you mean '%s'%s%s%s%s%s%s?", expr->text.data, names[0],
	             n > 2   ? ", '"
	             : n > 1 ? " or '"
	                     : "",
	             n > 1 ? names[1] : "", n > 1 ? "'" : "", n > 2 ? " or '" : "", n > 2 ? names[2] : "",
	             n > 2 ? "'" : "");
}

static struct cu_expr *check_macro(struct cu_scope *scope, struct cu_expr *expr, struct cu_macro *macro)
{
	macro->used = true;
	if (macro->state == CU_MACRO_CHECKING) {
		return WRONG(scope, expr, "macro '%s' is made of itself", macro->name);
	}
	if (macro->state == CU_MACRO_UNCHECKED) {
		if (scope->depth == MACRO_DEPTH_CAP) {
			return WRONG(scope, expr, "more than %d macros within one another", MACRO_DEPTH_CAP);
		}
		macro->state = CU_MACRO_CHECKING;
		scope->depth++;
		macro->expr = macro->expr ? check(scope, macro->expr) : NULL;
		scope->depth--;
		macro->state = CU_MACRO_CHECKED;
	}
	if (!macro->expr || is_error(macro->expr)) {
		return broken(expr);
	}
	expr->kind = CU_EXPR_MACRO;
	expr->macro = macro;
	expr->type = macro->expr->type;
	expr->names = macro->expr->names;
	expr->a = macro->expr;
	if (macro->expr->kind == CU_EXPR_NUMBER) {
		return become_number(expr, expr->type, macro->expr->number);
	}
	if (macro->expr->kind == CU_EXPR_BOOL) {
		return become_bool(expr, macro->expr->number != 0);
	}
	return expr;
}

static struct cu_expr *check_name(struct cu_scope *scope, struct cu_expr *expr)
{
	const struct cu_field *field = named_field(expr);
	if (field) {
		expr->kind = CU_EXPR_FIELD;
		expr->field = field;
		expr->type = field->type;
		expr->names = field->names;
		return expr;
	}
	struct cu_macro *macro = scope->find_macro(scope->names, expr->text.data, expr->text.len);
	if (macro) {
		return check_macro(scope, expr, macro);
	}
	struct cu_list *list = scope->find_list(scope->names, expr->text.data, expr->text.len);
	if (list) {
		list->used = true;
		return WRONG(scope, expr, "'%s' is a list; a list stands after 'in'", list->name);
	}
	return unknown_name(scope, expr);
}

/* Says that a word is none of the names; which is meant, or which there are. */
static struct cu_expr *unknown_value(struct cu_scope *scope, struct cu_expr *expr, const struct cu_names *names)
{
	static const struct {
		const struct cu_names *names;
		const char *field;
	} others[] = {{&cu_party_names, "blame"},
	              {&cu_cause_names, "cause"},
	              {&cu_confidence_names, "confidence"},
	              {&cu_txn_kind_names, "kind"}};
	int len = (int)expr->text.len;
	struct cu_buf known = {0};
	const char *near = cu_names_suggest(names, 0, expr->text.data, expr->text.len, &known);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (others[i].names != names && cu_names_find(others[i].names, expr->text.data, expr->text.len) > 0) {
			cu_buf_release(&known);
			return WRONG(scope, expr, "'%.*s' is not %s but %s: %s == %.*s", len, expr->text.data,
			             names->what, others[i].names->what, others[i].field, len, expr->text.data);
		}
	}
	expr = near ? WRONG(scope, expr, "'%.*s' is not %s; did you mean '%s'?", len, expr->text.data, names->what,
	                    near)
	            : WRONG(scope, expr, "'%.*s' is not %s; expected one of %s", len, expr->text.data, names->what,
	                    cu_buf_cstr(&known));
	cu_buf_release(&known);
	return expr;
}

/* A constant of an enumeration, from a name or text. */
static struct cu_expr *check_value_of(struct cu_scope *scope, struct cu_expr *expr, const struct cu_names *names)
{
	if (expr->kind == CU_EXPR_NAME || expr->kind == CU_EXPR_TEXT) {
		int value = cu_names_find(names, expr->text.data, expr->text.len);
		if (value >= 0) {
			expr->names = names;
			return become_number(expr, CU_TYPE_ENUM, value);
		}
		const struct cu_field *field = named_field(expr);
		if (field && field->type == CU_TYPE_ENUM && field->names == names) {
			return check_name(scope, expr);
		}
		return unknown_value(scope, expr, names);
	}
	expr = check(scope, expr);
	if (!is_error(expr) && !(expr->type == CU_TYPE_ENUM && expr->names == names)) {
		return WRONG(scope, expr, "expected %s, found %s", names->what, cu_type_name(expr->type));
	}
	return expr;
}

/*
 * Where a text is wanted, a single word is one, unless it names a field of
 * text: service == http, although http is a field too. A dotted name of a field
 * of another type is a mistake.
 */
static bool is_word_for_text(const struct cu_expr *expr)
{
	const struct cu_field *field = named_field(expr);
	return expr->kind == CU_EXPR_NAME && !(field && (field->type == CU_TYPE_TEXT || strchr(field->name, '.')));
}

static struct cu_expr *as_text(struct cu_expr *expr)
{
	expr->kind = CU_EXPR_TEXT;
	expr->type = CU_TYPE_TEXT;
	return expr;
}

/* Gives a plain number the type of what it stands beside, where that makes sense. */
static bool adopt(struct cu_scope *scope, struct cu_expr *number, enum cu_type type)
{
	if (number->kind != CU_EXPR_NUMBER || number->type != CU_TYPE_NUMBER) {
		return false;
	}
	switch (type) {
	case CU_TYPE_COUNT:
	case CU_TYPE_RATIO:
		break;
	case CU_TYPE_PORT:
		if (number->number != floor(number->number) || number->number < 0 || number->number > UINT16_MAX) {
			WRONG(scope, number, "%g is no port; ports are 0 to 65535", number->number);
			return true;
		}
		break;
	case CU_TYPE_TIME:
	case CU_TYPE_BYTES:
	case CU_TYPE_RATE:
		if (number->number != 0) {
			return false;
		}
		break;
	default:
		return false;
	}
	number->type = type;
	return true;
}

/* Whether it is a share of one: certainty, share(slow), server.think / total, resets / connections. */
static bool is_share(const struct cu_expr *expr)
{
	static const char *const wholes[] = {"total", "transactions", "connections"};
	if (expr->type != CU_TYPE_RATIO) {
		return false;
	}
	bool divides =
		expr->kind == CU_EXPR_ARITHMETIC && expr->op == CU_TOKEN_DIVIDE && expr->b->kind == CU_EXPR_FIELD;
	bool of_whole = false;
	for (size_t i = 0; divides && i < sizeof(wholes) / sizeof(*wholes); i++) {
		of_whole = of_whole || strcmp(expr->b->field->name, wholes[i]) == 0;
	}
	return of_whole || expr->kind == CU_EXPR_FIELD ||
	       (expr->kind == CU_EXPR_CALL && expr->function == CU_FUNCTION_SHARE);
}

/* certainty > 80 */
static void warn_of_percent(struct cu_scope *scope, const struct cu_expr *share, const struct cu_expr *number)
{
	if (is_share(share) && number->kind == CU_EXPR_NUMBER && number->bare && number->number > 1) {
		WARN(scope, number, "a ratio of %g is %g %%; %g%% is meant?", number->number, number->number * 100,
		     number->number);
	}
}

/*
 * total > 5ns: captures tell microseconds, and no transaction takes a day. Of
 * the transaction only: a connection may well last for days.
 */
static void warn_of_time(struct cu_scope *scope, const struct cu_expr *field, const struct cu_expr *number)
{
	char text[CU_TEXT_CAP];
	if (field->kind != CU_EXPR_FIELD || field->type != CU_TYPE_TIME || number->kind != CU_EXPR_NUMBER ||
	    number->type != CU_TYPE_TIME || field->field->base != CU_FIELD_TRANSACTION) {
		return;
	}
	if (number->number > 0 && number->number < (double)CU_NS_PER_US) {
		WARN(scope, number, "%s of %s is less than a capture's clock tells; ms is meant?",
		     cu_format_duration(text, (int64_t)number->number), field->field->name);
	} else if (number->number > (double)(86400 * CU_NS_PER_S) && number->number < (double)INT64_MAX) {
		WARN(scope, number, "%s of %s is longer than a day; ms or s is meant?",
		     cu_format_duration(text, (int64_t)number->number), field->field->name);
	}
}

/* How to write a plain number as type; "" when there is no way. */
static const char *unit_advice(enum cu_type type)
{
	switch (type) {
	case CU_TYPE_TIME:
		return "; give it a unit, as in 5s or 5ms";
	case CU_TYPE_BYTES:
		return "; give it a unit, as in 5B or 5K";
	case CU_TYPE_RATE:
		return "; give it a unit, as in 5Mbit/s";
	case CU_TYPE_BOOL:
		return "; write true or false";
	case CU_TYPE_TEXT:
		return "; put it in quotes";
	default:
		return "";
	}
}

/* How a and b can be made one type. */
static const char *type_advice(const struct cu_expr *a, const struct cu_expr *b)
{
	if (a->type == CU_TYPE_ENDPOINT || b->type == CU_TYPE_ENDPOINT) {
		return "; compare server.ip and server.port, or client.ip";
	}
	if (a->type == CU_TYPE_NETWORK || b->type == CU_TYPE_NETWORK) {
		return "; write 'in' to ask whether an address is in a network";
	}
	if (a->type == CU_TYPE_INSTANT || b->type == CU_TYPE_INSTANT) {
		return "; of an instant another is subtracted: request.time - connection.start > 1s";
	}
	if (a->type == CU_TYPE_NUMBER || b->type == CU_TYPE_NUMBER) {
		return unit_advice(a->type == CU_TYPE_NUMBER ? b->type : a->type);
	}
	if (a->kind == CU_EXPR_TEXT || b->kind == CU_EXPR_TEXT) {
		return "; write it without quotes";
	}
	return "";
}

/*
 * Makes two operands of one type, or says with verb what is wrong: "compares
 * time with bytes". False when they cannot be.
 */
static bool unify(struct cu_scope *scope, struct cu_expr *whole, const char *verb, const char *joint, struct cu_expr *a,
                  struct cu_expr *b)
{
	warn_of_percent(scope, a, b);
	warn_of_percent(scope, b, a);
	warn_of_time(scope, a, b);
	warn_of_time(scope, b, a);
	if (a->type == b->type || adopt(scope, a, b->type) || adopt(scope, b, a->type)) {
		if (is_error(a) || is_error(b)) {
			broken(whole);
			return false;
		}
		return true;
	}
	/* A quantity of plain numbers counts. */
	if ((a->type == CU_TYPE_NUMBER && (b->type == CU_TYPE_COUNT || b->type == CU_TYPE_RATIO)) ||
	    (b->type == CU_TYPE_NUMBER && (a->type == CU_TYPE_COUNT || a->type == CU_TYPE_RATIO))) {
		return true;
	}
	const char *advice = whole->kind == CU_EXPR_ARITHMETIC ? "" : type_advice(a, b);
	WRONG(scope, whole, "%s %s %s %s%s", verb, cu_type_name(a->type), joint, cu_type_name(b->type), advice);
	return false;
}

static bool compare_numbers(enum cu_token_kind op, double a, double b)
{
	switch (op) {
	case CU_TOKEN_LT:
		return a < b;
	case CU_TOKEN_LE:
		return a <= b;
	case CU_TOKEN_GT:
		return a > b;
	case CU_TOKEN_GE:
		return a >= b;
	case CU_TOKEN_NE:
		return a < b || a > b;
	case CU_TOKEN_EQ:
	default:
		return a <= b && a >= b;
	}
}

static const struct cu_names *enum_of(const struct cu_expr *expr)
{
	const struct cu_field *field = named_field(expr);
	return field && field->type == CU_TYPE_ENUM ? field->names : NULL;
}

static bool is_text_field(const struct cu_expr *expr)
{
	const struct cu_field *field = named_field(expr);
	return field && field->type == CU_TYPE_TEXT;
}

/* A condition compared with true or false. */
static struct cu_expr *compare_bools(struct cu_scope *scope, struct cu_expr *expr)
{
	struct cu_expr *literal = expr->b->kind == CU_EXPR_BOOL ? expr->b : expr->a;
	struct cu_expr *other = literal == expr->b ? expr->a : expr->b;
	if (literal->kind != CU_EXPR_BOOL || (expr->op != CU_TOKEN_EQ && expr->op != CU_TOKEN_NE)) {
		return WRONG(scope, expr, "compares two conditions; join them with and, or, not");
	}
	if (other->kind == CU_EXPR_BOOL) {
		return become_bool(expr, (literal->number == other->number) == (expr->op == CU_TOKEN_EQ));
	}
	bool wanted = (literal->number != 0) == (expr->op == CU_TOKEN_EQ);
	if (wanted) {
		return other;
	}
	expr->kind = CU_EXPR_NOT;
	expr->type = CU_TYPE_BOOL;
	expr->a = other;
	expr->b = NULL;
	return expr;
}

static bool is_constant(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_NUMBER || expr->kind == CU_EXPR_TEXT || expr->kind == CU_EXPR_NETWORK ||
	       expr->kind == CU_EXPR_BOOL;
}

static bool is_empty_text(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_TEXT && expr->text.len == 0;
}

static struct cu_expr *check_comparison(struct cu_scope *scope, struct cu_expr *expr)
{
	const struct cu_names *names_a = enum_of(expr->a), *names_b = enum_of(expr->b);
	if (names_a) {
		expr->a = check(scope, expr->a);
		expr->b = check_value_of(scope, expr->b, names_a);
	} else if (names_b) {
		expr->b = check(scope, expr->b);
		expr->a = check_value_of(scope, expr->a, names_b);
	} else {
		if (is_text_field(expr->a) && is_word_for_text(expr->b)) {
			as_text(expr->b);
		} else if (is_text_field(expr->b) && is_word_for_text(expr->a)) {
			as_text(expr->a);
		}
		expr->a = check(scope, expr->a);
		expr->b = check(scope, expr->b);
	}
	struct cu_expr *a = expr->a, *b = expr->b;
	if (!a || !b || is_error(a) || is_error(b)) {
		return broken(expr);
	}
	expr->type = CU_TYPE_BOOL;
	if (!unify(scope, expr, "compares", "with", a, b)) {
		return expr;
	}
	if (a->type == CU_TYPE_BOOL) {
		return compare_bools(scope, expr);
	}
	if (a->type == CU_TYPE_ENDPOINT) {
		return WRONG(scope, expr, "compares endpoints; compare server.ip and server.port, or client.ip");
	}
	if (a->type == CU_TYPE_NETWORK) {
		return WRONG(scope, expr, "compares two networks");
	}
	bool ordered = cu_type_is_numeric(a->type) || (a->type == CU_TYPE_ENUM && a->names == &cu_confidence_names);
	if (!ordered && expr->op != CU_TOKEN_EQ && expr->op != CU_TOKEN_NE) {
		return WRONG(scope, expr, "%s has no order; compare it with == or !=", cu_type_name(a->type));
	}
	if (a->type == CU_TYPE_TEXT && expr->op == CU_TOKEN_EQ && (is_empty_text(a) || is_empty_text(b))) {
		WARN(scope, expr, "an empty text counts as missing: this is always false; write not has()");
		return become_bool(expr, false);
	}
	if (is_constant(a) && is_constant(b)) {
		bool result;
		if (a->type == CU_TYPE_TEXT) {
			result = (a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0) ==
			         (expr->op == CU_TOKEN_EQ);
		} else if (a->type == CU_TYPE_ADDRESS) {
			result = cu_addr_equal(&a->addr, &b->addr) == (expr->op == CU_TOKEN_EQ);
		} else {
			result = compare_numbers(expr->op, a->number, b->number);
		}
		WARN(scope, expr, "compares two constants: this is always %s", result ? "true" : "false");
		return become_bool(expr, result);
	}
	return expr;
}

/* What type a op b has; CU_TYPE_NONE when it makes no sense. */
static enum cu_type product_type(enum cu_token_kind op, enum cu_type a, enum cu_type b)
{
	bool scalar_a = a == CU_TYPE_NUMBER || a == CU_TYPE_RATIO || a == CU_TYPE_COUNT;
	bool scalar_b = b == CU_TYPE_NUMBER || b == CU_TYPE_RATIO || b == CU_TYPE_COUNT;
	bool quantity_a = a == CU_TYPE_TIME || a == CU_TYPE_BYTES || a == CU_TYPE_RATE;
	bool quantity_b = b == CU_TYPE_TIME || b == CU_TYPE_BYTES || b == CU_TYPE_RATE;
	if (op == CU_TOKEN_OF) {
		return (a == CU_TYPE_RATIO || a == CU_TYPE_NUMBER) && (scalar_b || quantity_b) ? b : CU_TYPE_NONE;
	}
	if (op == CU_TOKEN_TIMES) {
		if (scalar_a && quantity_b) {
			return b;
		}
		if (quantity_a && scalar_b) {
			return a;
		}
		if ((a == CU_TYPE_RATE && b == CU_TYPE_TIME) || (a == CU_TYPE_TIME && b == CU_TYPE_RATE)) {
			return CU_TYPE_BYTES;
		}
		if (scalar_a && scalar_b) {
			return a == CU_TYPE_COUNT || b == CU_TYPE_COUNT ? CU_TYPE_COUNT : a == CU_TYPE_NUMBER ? b : a;
		}
		return CU_TYPE_NONE;
	}
	if (quantity_a && scalar_b) {
		return a;
	}
	if (quantity_a && a == b) {
		return CU_TYPE_RATIO;
	}
	if (a == CU_TYPE_BYTES && b == CU_TYPE_TIME) {
		return CU_TYPE_RATE;
	}
	if (a == CU_TYPE_BYTES && b == CU_TYPE_RATE) {
		return CU_TYPE_TIME;
	}
	if (scalar_a && scalar_b) {
		return a == CU_TYPE_NUMBER && b == CU_TYPE_NUMBER  ? CU_TYPE_NUMBER
		       : a == CU_TYPE_COUNT && b == CU_TYPE_NUMBER ? CU_TYPE_COUNT
		                                                   : CU_TYPE_RATIO;
	}
	return CU_TYPE_NONE;
}

static double calculate(enum cu_token_kind op, double a, double b)
{
	switch (op) {
	case CU_TOKEN_PLUS:
		return a + b;
	case CU_TOKEN_MINUS:
		return a - b;
	case CU_TOKEN_DIVIDE:
		return a / b;
	case CU_TOKEN_TIMES:
	case CU_TOKEN_OF:
	default:
		return a * b;
	}
}

static struct cu_expr *check_arithmetic(struct cu_scope *scope, struct cu_expr *expr)
{
	struct cu_expr *a = expr->a = check(scope, expr->a);
	struct cu_expr *b = expr->b = check(scope, expr->b);
	if (!a || !b || is_error(a) || is_error(b)) {
		return broken(expr);
	}
	if (expr->op == CU_TOKEN_PLUS || expr->op == CU_TOKEN_MINUS) {
		bool plus = expr->op == CU_TOKEN_PLUS;
		if (a->type == CU_TYPE_INSTANT && b->type == CU_TYPE_TIME) {
			expr->type = CU_TYPE_INSTANT;
		} else if (a->type == CU_TYPE_INSTANT && b->type == CU_TYPE_INSTANT && !plus) {
			expr->type = CU_TYPE_TIME;
		} else if (!(plus ? unify(scope, expr, "adds", "to", a, b)
		                  : unify(scope, expr, "subtracts", "from", b, a))) {
			return expr;
		} else if (!cu_type_is_numeric(a->type) || a->type == CU_TYPE_INSTANT || a->type == CU_TYPE_PORT) {
			return WRONG(scope, expr, "calculates with %s", cu_type_name(a->type));
		} else {
			expr->type = a->type == CU_TYPE_NUMBER ? b->type : a->type;
		}
	} else {
		expr->type = product_type(expr->op, a->type, b->type);
		if (expr->type == CU_TYPE_NONE && expr->op == CU_TOKEN_OF) {
			return WRONG(scope, expr,
			             "takes %s of %s; 'of' takes a percentage of a quantity, as in 50%% of total",
			             cu_type_name(a->type), cu_type_name(b->type));
		}
		if (expr->type == CU_TYPE_NONE) {
			bool rate = expr->op == CU_TOKEN_DIVIDE && a->type == CU_TYPE_COUNT && b->type == CU_TYPE_TIME;
			return WRONG(scope, expr, "%s %s by %s%s",
			             expr->op == CU_TOKEN_TIMES ? "multiplies" : "divides", cu_type_name(a->type),
			             cu_type_name(b->type),
			             rate ? "; how many there are in a time is asked with 'over', as in over: 1m" : "");
		}
		if (expr->op == CU_TOKEN_OF && a->kind == CU_EXPR_NUMBER && a->bare && a->number > 1) {
			WARN(scope, expr, "%g of it is %g %%; %g%% is meant?", a->number, a->number * 100, a->number);
		}
		if (expr->op == CU_TOKEN_DIVIDE && b->kind == CU_EXPR_NUMBER && b->number == 0) {
			return WRONG(scope, expr, "divides by zero");
		}
	}
	if (a->kind == CU_EXPR_NUMBER && b->kind == CU_EXPR_NUMBER) {
		return become_number(expr, expr->type, calculate(expr->op, a->number, b->number));
	}
	return expr;
}

struct item_context {
	struct cu_scope *scope;
	const struct cu_expr *left; /* what is looked for in the list */
	struct cu_expr **tail;
	size_t n;
	unsigned depth;
	bool wrong;
};

/* Makes an item fit the left side; false when it is said why not. */
static bool check_item(struct item_context *context, struct cu_expr *item)
{
	struct cu_scope *scope = context->scope;
	const struct cu_expr *left = context->left;
	if (left->type == CU_TYPE_ENUM) {
		return !is_error(check_value_of(scope, item, left->names));
	}
	if (left->type == CU_TYPE_TEXT && item->kind == CU_EXPR_NAME) {
		if (!is_word_for_text(item)) {
			WRONG(scope, item, "a list has constants; '%s' is a field", item->text.data);
			return false;
		}
		as_text(item);
	}
	if (item->kind == CU_EXPR_NAME) {
		WRONG(scope, item, "'%s' is neither a list nor %s", item->text.data, cu_type_name(left->type));
		return false;
	}
	if (item->kind == CU_EXPR_RANGE) {
		struct cu_expr *low = item->a, *high = item->b;
		adopt(scope, low, left->type);
		adopt(scope, high, left->type);
		if (is_error(low) || is_error(high)) {
			return false;
		}
		if (low->type != left->type || high->type != left->type) {
			const struct cu_expr *odd = low->type != left->type ? low : high;
			WRONG(scope, item, "compares %s with %s%s", cu_type_name(left->type), cu_type_name(odd->type),
			      odd->type == CU_TYPE_NUMBER ? unit_advice(left->type) : "");
			return false;
		}
		if (low->number > high->number) {
			WRONG(scope, item, "a range that ends before it begins");
			return false;
		}
		item->type = left->type;
		return true;
	}
	if (left->type == CU_TYPE_ADDRESS && item->kind == CU_EXPR_NETWORK) {
		char text[CU_TEXT_CAP];
		if (cu_network_trim(&item->addr, item->prefix)) {
			WARN(scope, item, "the address has bits behind its prefix; the network is %s/%u",
			     cu_format_addr(text, &item->addr), item->prefix);
		}
		return true;
	}
	if (item->type != left->type && !adopt(scope, item, left->type)) {
		WRONG(scope, item, "compares %s with %s%s", cu_type_name(left->type), cu_type_name(item->type),
		      left->type == CU_TYPE_TEXT ? unit_advice(left->type) : type_advice(left, item));
		return false;
	}
	return !is_error(item);
}

/* Adds items to the flat list, named lists' in place of their names. */
static void flatten(struct item_context *context, const struct cu_expr *items)
{
	for (const struct cu_expr *item = items; item; item = item->next) {
		struct cu_list *list = NULL;
		if (item->kind == CU_EXPR_NAME) {
			list = context->scope->find_list(context->scope->names, item->text.data, item->text.len);
		}
		if (list) {
			list->used = true;
			if (list->visiting || context->depth == LIST_DEPTH_CAP) {
				cu_yaml_error_at(context->scope->diag, item->scalar, item->start, item->len,
				                 "list '%s' is made of itself", list->name);
				context->wrong = true;
				return;
			}
			list->visiting = true;
			context->depth++;
			flatten(context, list->items);
			context->depth--;
			list->visiting = false;
			continue;
		}
		if (++context->n > LIST_ITEM_CAP) {
			if (context->n == LIST_ITEM_CAP + 1) {
				cu_yaml_error_at(context->scope->diag, item->scalar, item->start, item->len,
				                 "a list of more than %d items", LIST_ITEM_CAP);
			}
			context->wrong = true;
			return;
		}
		/* A list may be used for fields of several types, so each use checks copies. */
		struct cu_expr *copy = cu_heap_get(context->scope->diag->heap, sizeof(*copy));
		if (!copy) {
			context->wrong = true;
			return;
		}
		*copy = *item;
		copy->next = NULL;
		if (item->kind == CU_EXPR_RANGE) {
			copy->a = cu_heap_get(context->scope->diag->heap, sizeof(*copy));
			copy->b = cu_heap_get(context->scope->diag->heap, sizeof(*copy));
			if (!copy->a || !copy->b) {
				context->wrong = true;
				return;
			}
			*copy->a = *item->a;
			*copy->b = *item->b;
		}
		if (!check_item(context, copy)) {
			context->wrong = true;
			continue;
		}
		*context->tail = copy;
		context->tail = &copy->next;
	}
}

static struct cu_expr *check_in(struct cu_scope *scope, struct cu_expr *expr)
{
	expr->a = check(scope, expr->a);
	if (!expr->a || is_error(expr->a)) {
		return broken(expr);
	}
	enum cu_type type = expr->a->type;
	if (type == CU_TYPE_BOOL || type == CU_TYPE_ENDPOINT || type == CU_TYPE_NETWORK || is_constant(expr->a)) {
		return WRONG(scope, expr, "looks for %s in a list",
		             is_constant(expr->a) ? "a constant" : cu_type_name(type));
	}
	struct cu_expr *flat = NULL;
	struct item_context context = {.scope = scope, .left = expr->a, .tail = &flat};
	flatten(&context, expr->b->items);
	if (context.wrong) {
		return broken(expr);
	}
	if (!flat) {
		WARN(scope, expr, "the list is empty: this is always false");
		return become_bool(expr, false);
	}
	expr->b->items = flat;
	expr->type = CU_TYPE_BOOL;
	return expr;
}

static struct cu_expr *check_match(struct cu_scope *scope, struct cu_expr *expr)
{
	expr->a = check(scope, expr->a);
	if (!expr->a || is_error(expr->a)) {
		return broken(expr);
	}
	if (expr->a->type != CU_TYPE_TEXT || is_constant(expr->a)) {
		enum cu_type type = expr->a->type;
		return WRONG(scope, expr, "matches %s; %s", is_constant(expr->a) ? "a constant" : cu_type_name(type),
		             type == CU_TYPE_ENUM      ? "ask for names with == or in"
		             : type == CU_TYPE_ADDRESS ? "ask for a network with in"
		                                       : "only fields of text are matched, such as name and service");
	}
	struct cu_expr *flat = NULL;
	struct item_context context = {.scope = scope, .left = expr->a, .tail = &flat};
	flatten(&context, expr->b->items);
	if (context.wrong || !flat) {
		return broken(expr);
	}
	expr->b->items = flat;
	expr->type = CU_TYPE_BOOL;
	return expr;
}

static struct cu_expr *check_has(struct cu_scope *scope, struct cu_expr *expr)
{
	const struct cu_field *field = named_field(expr->a);
	if (!field && scope->find_macro(scope->names, expr->a->text.data, expr->a->text.len)) {
		return WRONG(scope, expr, "has() takes the name of a field; '%s' is a macro", expr->a->text.data);
	}
	if (!field) {
		unknown_name(scope, expr->a);
		return broken(expr);
	}
	if (cu_field_is_always_there(field)) {
		WARN(scope, expr, "%s is never missing: this is always true", field->name);
	}
	expr->field = field;
	expr->type = CU_TYPE_BOOL;
	return expr;
}

static struct cu_expr *check_call(struct cu_scope *scope, struct cu_expr *expr)
{
	const char *name = cu_function_name(expr->function);
	size_t n = 0;
	bool constant = true;
	for (struct cu_expr **item = &expr->items; *item; item = &(*item)->next, n++) {
		struct cu_expr *next = (*item)->next;
		struct cu_expr *checked = check(scope, *item);
		if (!checked) {
			return broken(expr);
		}
		*item = checked;
		checked->next = next;
		if (is_error(checked)) {
			return broken(expr);
		}
		constant = constant && checked->kind == CU_EXPR_NUMBER;
		bool counts = expr->function == CU_FUNCTION_COUNT || expr->function == CU_FUNCTION_SHARE;
		if (counts && checked->type != CU_TYPE_BOOL) {
			return WRONG(scope, expr, "%s() counts conditions that are true; it was given %s", name,
			             cu_type_name(checked->type));
		}
		if (!counts && (!cu_type_is_numeric(checked->type) || checked->type == CU_TYPE_PORT)) {
			return WRONG(scope, expr, "%s() of %s", name, cu_type_name(checked->type));
		}
		if (!counts && n > 0 && !unify(scope, expr, "compares", "with", expr->items, checked)) {
			return expr;
		}
	}
	if ((expr->function == CU_FUNCTION_ABS && n != 1) || (expr->function < CU_FUNCTION_ABS && n < 2)) {
		return WRONG(scope, expr, "%s() takes %s", name,
		             expr->function == CU_FUNCTION_ABS ? "one value" : "two values or more");
	}
	if (expr->function == CU_FUNCTION_SHARE && n != 1) {
		return WRONG(scope, expr, "share() takes one condition");
	}
	if (expr->function == CU_FUNCTION_COUNT || expr->function == CU_FUNCTION_SHARE) {
		expr->type = expr->function == CU_FUNCTION_COUNT ? CU_TYPE_COUNT : CU_TYPE_RATIO;
		return expr;
	}
	expr->type = expr->items->type;
	if (constant) {
		double result = expr->items->number;
		for (const struct cu_expr *item = expr->items->next; item; item = item->next) {
			result = expr->function == CU_FUNCTION_MIN ? fmin(result, item->number)
			                                           : fmax(result, item->number);
		}
		return become_number(expr, expr->type, expr->function == CU_FUNCTION_ABS ? fabs(result) : result);
	}
	return expr;
}

static struct cu_expr *check_logic(struct cu_scope *scope, struct cu_expr *expr)
{
	expr->a = cu_expr_check_condition(scope, expr->a);
	expr->b = cu_expr_check_condition(scope, expr->b);
	if (!expr->a || !expr->b || is_error(expr->a) || is_error(expr->b)) {
		return broken(expr);
	}
	expr->type = CU_TYPE_BOOL;
	/* true and x is x; false and x is false; likewise or. */
	for (int side = 0; side < 2; side++) {
		struct cu_expr *constant = side ? expr->b : expr->a, *other = side ? expr->a : expr->b;
		if (constant->kind == CU_EXPR_BOOL) {
			bool decides = (constant->number != 0) == (expr->kind == CU_EXPR_OR);
			return decides ? constant : other;
		}
	}
	return expr;
}

static struct cu_expr *check(struct cu_scope *scope, struct cu_expr *expr)
{
	if (!expr) {
		return NULL;
	}
	switch (expr->kind) {
	case CU_EXPR_NAME:
		return check_name(scope, expr);
	case CU_EXPR_NOT:
		expr->a = cu_expr_check_condition(scope, expr->a);
		if (!expr->a || is_error(expr->a)) {
			return broken(expr);
		}
		expr->type = CU_TYPE_BOOL;
		return expr->a->kind == CU_EXPR_BOOL ? become_bool(expr, expr->a->number == 0) : expr;
	case CU_EXPR_MINUS:
		expr->a = check(scope, expr->a);
		if (!expr->a || is_error(expr->a)) {
			return broken(expr);
		}
		if (!cu_type_is_numeric(expr->a->type) || expr->a->type == CU_TYPE_PORT ||
		    expr->a->type == CU_TYPE_INSTANT) {
			return WRONG(scope, expr, "'-' before %s", cu_type_name(expr->a->type));
		}
		expr->type = expr->a->type;
		return expr->a->kind == CU_EXPR_NUMBER ? become_number(expr, expr->type, -expr->a->number) : expr;
	case CU_EXPR_AND:
	case CU_EXPR_OR:
		return check_logic(scope, expr);
	case CU_EXPR_COMPARE:
		return check_comparison(scope, expr);
	case CU_EXPR_ARITHMETIC:
		return check_arithmetic(scope, expr);
	case CU_EXPR_IN:
		return check_in(scope, expr);
	case CU_EXPR_MATCH:
		return check_match(scope, expr);
	case CU_EXPR_HAS:
		return check_has(scope, expr);
	case CU_EXPR_CALL:
		return check_call(scope, expr);
	case CU_EXPR_ERROR:
	case CU_EXPR_NUMBER:
	case CU_EXPR_BOOL:
	case CU_EXPR_TEXT:
	case CU_EXPR_NETWORK:
	case CU_EXPR_FIELD:
	case CU_EXPR_MACRO:
	case CU_EXPR_LIST:
	case CU_EXPR_RANGE:
	default:
		return expr;
	}
}

struct cu_expr *cu_expr_check(struct cu_scope *scope, struct cu_expr *expr)
{
	return check(scope, expr);
}

struct cu_expr *cu_expr_check_condition(struct cu_scope *scope, struct cu_expr *expr)
{
	expr = check(scope, expr);
	if (expr && !is_error(expr) && expr->type != CU_TYPE_BOOL) {
		return WRONG(scope, expr, "this is %s where a condition is expected%s", cu_type_name(expr->type),
		             expr->kind == CU_EXPR_FIELD && cu_type_is_numeric(expr->type)
		                     ? "; compare it with something"
		                     : "");
	}
	return expr;
}
