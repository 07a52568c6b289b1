#include "lib/rules/checker.h"

#include <math.h>
#include <string.h>

enum { MACRO_DEPTH_CAP = 16 };

struct cu_expr *cu_check_broken(struct cu_expr *expr)
{
	expr->kind = CU_EXPR_ERROR;
	expr->type = CU_TYPE_NONE;
	return expr;
}

bool cu_check_is_error(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_ERROR;
}

const struct cu_field *cu_check_named_field(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_NAME ? cu_field_find(expr->text.data, expr->text.len) : NULL;
}

struct cu_expr *cu_check_become_number(struct cu_expr *expr, enum cu_type type, double number)
{
	expr->kind = CU_EXPR_NUMBER;
	expr->type = type;
	expr->number = number;
	expr->bare = false;
	return expr;
}

struct cu_expr *cu_check_become_bool(struct cu_expr *expr, bool value)
{
	expr->kind = CU_EXPR_BOOL;
	expr->type = CU_TYPE_BOOL;
	expr->number = value;
	return expr;
}

bool cu_check_is_word(const struct cu_expr *expr, const char *word)
{
	return expr->text.len == strlen(word) && memcmp(expr->text.data, word, expr->text.len) == 0;
}

static struct cu_expr *check_macro(struct cu_scope *scope, struct cu_expr *expr, struct cu_macro *macro)
{
	macro->used = true;
	if (macro->state == CU_MACRO_CHECKING) {
		return CU_WRONG(scope, expr, "macro '%s' is made of itself", macro->name);
	}
	if (macro->state == CU_MACRO_UNCHECKED) {
		if (scope->depth == MACRO_DEPTH_CAP) {
			return CU_WRONG(scope, expr, "more than %d macros within one another", MACRO_DEPTH_CAP);
		}
		macro->state = CU_MACRO_CHECKING;
		scope->depth++;
		macro->expr = macro->expr ? cu_check(scope, macro->expr) : NULL;
		scope->depth--;
		macro->state = CU_MACRO_CHECKED;
	}
	if (!macro->expr || cu_check_is_error(macro->expr)) {
		return cu_check_broken(expr);
	}
	expr->type = macro->expr->type;
	expr->names = macro->expr->names;
	if (cu_check_is_constant(macro->expr)) { /* that is all it is, wherever it stands */
		expr->kind = macro->expr->kind;
		expr->number = macro->expr->number;
		expr->text = macro->expr->text;
		expr->addr = macro->expr->addr;
		expr->prefix = macro->expr->prefix;
		return expr;
	}
	expr->kind = CU_EXPR_MACRO;
	expr->macro = macro;
	expr->a = macro->expr;
	return expr;
}

struct cu_expr *cu_check_name(struct cu_scope *scope, struct cu_expr *expr)
{
	const struct cu_field *field = cu_check_named_field(expr);
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
		return CU_WRONG(scope, expr, "'%s' is a list; a list stands after 'in'", list->name);
	}
	return cu_check_unknown_name(scope, expr);
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

/* Looks up the name of a macro, so that its type is known before what it is compared with is looked at. */
static void look_up_macro(struct cu_scope *scope, struct cu_expr *expr)
{
	if (cu_check_names_macro(scope, expr)) {
		cu_check_name(scope, expr);
	}
}

static const struct cu_names *enum_of(const struct cu_expr *expr)
{
	const struct cu_field *field = cu_check_named_field(expr);
	enum cu_type type = field ? field->type : expr->type;
	return type != CU_TYPE_ENUM ? NULL : field ? field->names : expr->names;
}

/* A field of text, or a macro of one. */
static bool has_text(const struct cu_expr *expr)
{
	const struct cu_field *field = cu_check_named_field(expr);
	return field ? field->type == CU_TYPE_TEXT : expr->kind == CU_EXPR_MACRO && expr->type == CU_TYPE_TEXT;
}

/* Makes a word a text where it is compared with one. */
static void take_word(struct cu_scope *scope, struct cu_expr *word, const struct cu_expr *other)
{
	if (has_text(other) && cu_check_is_word_for_text(word) && !cu_check_names_list(scope, word)) {
		cu_check_as_text(word);
	}
}

/* A condition compared with true or false. */
static struct cu_expr *compare_bools(struct cu_scope *scope, struct cu_expr *expr)
{
	struct cu_expr *literal = expr->b->kind == CU_EXPR_BOOL ? expr->b : expr->a;
	struct cu_expr *other = literal == expr->b ? expr->a : expr->b;
	if (literal->kind != CU_EXPR_BOOL || (expr->op != CU_TOKEN_EQ && expr->op != CU_TOKEN_NE)) {
		return CU_WRONG(scope, expr, "compares two conditions; join them with and, or, not");
	}
	if (other->kind == CU_EXPR_BOOL) {
		return cu_check_become_bool(expr, (literal->number == other->number) == (expr->op == CU_TOKEN_EQ));
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

bool cu_check_is_constant(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_NUMBER || expr->kind == CU_EXPR_TEXT || expr->kind == CU_EXPR_NETWORK ||
	       expr->kind == CU_EXPR_BOOL;
}

static bool is_empty_text(const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_TEXT && expr->text.len == 0;
}

static bool compare_constants(enum cu_token_kind op, const struct cu_expr *a, const struct cu_expr *b)
{
	if (a->type == CU_TYPE_TEXT) {
		bool same = a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0;
		return same == (op == CU_TOKEN_EQ);
	}
	if (a->type == CU_TYPE_ADDRESS) {
		return cu_addr_equal(&a->addr, &b->addr) == (op == CU_TOKEN_EQ);
	}
	return compare_numbers(op, a->number, b->number);
}

/* Beside a field of names or of text, or a macro of one, a word is such a name or text. */
static void check_sides(struct cu_scope *scope, struct cu_expr *expr)
{
	look_up_macro(scope, expr->a);
	if (!enum_of(expr->a)) {
		look_up_macro(scope, expr->b);
	}
	bool turned = !enum_of(expr->a) && enum_of(expr->b);
	struct cu_expr **first = turned ? &expr->b : &expr->a, **second = turned ? &expr->a : &expr->b;
	const struct cu_names *names = enum_of(*first);
	if (cu_check_is_error(*first) || cu_check_is_error(*second)) {
		return;
	}
	if (!names) {
		take_word(scope, *second, *first);
		take_word(scope, *first, *second);
	}
	*first = cu_check(scope, *first);
	*second = names ? cu_check_value_of(scope, *second, names) : cu_check(scope, *second);
}

static struct cu_expr *check_comparison(struct cu_scope *scope, struct cu_expr *expr)
{
	check_sides(scope, expr);
	struct cu_expr *a = expr->a, *b = expr->b;
	if (!a || !b || cu_check_is_error(a) || cu_check_is_error(b)) {
		return cu_check_broken(expr);
	}
	expr->type = CU_TYPE_BOOL;
	if (!cu_check_unify(scope, expr, "compares", "with", a, b)) {
		return expr;
	}
	if (a->type == CU_TYPE_BOOL) {
		return compare_bools(scope, expr);
	}
	if (a->type == CU_TYPE_ENDPOINT) {
		return CU_WRONG(scope, expr, "compares endpoints; compare server.ip and server.port, or client.ip");
	}
	if (a->type == CU_TYPE_NETWORK) {
		return CU_WRONG(scope, expr, "compares two networks");
	}
	bool ordered = cu_type_is_numeric(a->type) || (a->type == CU_TYPE_ENUM && a->names == &cu_confidence_names);
	if (!ordered && expr->op != CU_TOKEN_EQ && expr->op != CU_TOKEN_NE) {
		return CU_WRONG(scope, expr, "%s has no order; compare it with == or !=", cu_type_name(a->type));
	}
	if (a->type == CU_TYPE_TEXT && expr->op == CU_TOKEN_EQ && (is_empty_text(a) || is_empty_text(b))) {
		CU_WARN(scope, expr, "an empty text counts as missing: this is always false; write not has()");
		return cu_check_become_bool(expr, false);
	}
	if (cu_check_is_constant(a) && cu_check_is_constant(b)) {
		bool result = compare_constants(expr->op, a, b);
		CU_WARN(scope, expr, "compares two constants: this is always %s", result ? "true" : "false");
		return cu_check_become_bool(expr, result);
	}
	return expr;
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
	struct cu_expr *a = expr->a = cu_check(scope, expr->a);
	struct cu_expr *b = expr->b = cu_check(scope, expr->b);
	if (!a || !b || cu_check_is_error(a) || cu_check_is_error(b)) {
		return cu_check_broken(expr);
	}
	if (expr->op == CU_TOKEN_PLUS || expr->op == CU_TOKEN_MINUS) {
		bool plus = expr->op == CU_TOKEN_PLUS;
		if (a->type == CU_TYPE_INSTANT && b->type == CU_TYPE_TIME) {
			expr->type = CU_TYPE_INSTANT;
		} else if (a->type == CU_TYPE_INSTANT && b->type == CU_TYPE_INSTANT && !plus) {
			expr->type = CU_TYPE_TIME;
		} else if (!(plus ? cu_check_unify(scope, expr, "adds", "to", a, b)
		                  : cu_check_unify(scope, expr, "subtracts", "from", b, a))) {
			return expr;
		} else if (!cu_type_is_numeric(a->type) || a->type == CU_TYPE_INSTANT || a->type == CU_TYPE_PORT) {
			return CU_WRONG(scope, expr, "calculates with %s", cu_type_name(a->type));
		} else {
			expr->type = a->type == CU_TYPE_NUMBER ? b->type : a->type;
		}
	} else {
		expr->type = cu_check_product(expr->op, a->type, b->type);
		if (expr->type == CU_TYPE_NONE && expr->op == CU_TOKEN_OF) {
			return CU_WRONG(scope, expr,
			                "takes %s of %s; 'of' takes a percentage of a quantity, as in 50%% of total",
			                cu_type_name(a->type), cu_type_name(b->type));
		}
		if (expr->type == CU_TYPE_NONE) {
			bool rate = expr->op == CU_TOKEN_DIVIDE && a->type == CU_TYPE_COUNT && b->type == CU_TYPE_TIME;
			return CU_WRONG(
				scope, expr, "%s %s by %s%s", expr->op == CU_TOKEN_TIMES ? "multiplies" : "divides",
				cu_type_name(a->type), cu_type_name(b->type),
				rate ? "; how many there are in a time is asked with 'over', as in over: 1m" : "");
		}
		if (expr->op == CU_TOKEN_OF && a->kind == CU_EXPR_NUMBER && a->bare && a->number > 1) {
			CU_WARN(scope, expr, "%g of it is %g %%; %g%% is meant?", a->number, a->number * 100,
			        a->number);
		}
		if (expr->op == CU_TOKEN_DIVIDE && b->kind == CU_EXPR_NUMBER && b->number == 0) {
			return CU_WRONG(scope, expr, "divides by zero");
		}
	}
	if (a->kind == CU_EXPR_NUMBER && b->kind == CU_EXPR_NUMBER) {
		return cu_check_become_number(expr, expr->type, calculate(expr->op, a->number, b->number));
	}
	return expr;
}

static struct cu_expr *check_has(struct cu_scope *scope, struct cu_expr *expr)
{
	const struct cu_field *field = cu_check_named_field(expr->a);
	if (!field && scope->find_macro(scope->names, expr->a->text.data, expr->a->text.len)) {
		return CU_WRONG(scope, expr, "has() takes the name of a field; '%s' is a macro", expr->a->text.data);
	}
	if (!field) {
		cu_check_unknown_name(scope, expr->a);
		return cu_check_broken(expr);
	}
	if (cu_field_is_always_there(field)) {
		CU_WARN(scope, expr, "%s is never missing: this is always true", field->name);
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
		struct cu_expr *checked = cu_check(scope, *item);
		if (!checked) {
			return cu_check_broken(expr);
		}
		*item = checked;
		checked->next = next;
		if (cu_check_is_error(checked)) {
			return cu_check_broken(expr);
		}
		constant = constant && checked->kind == CU_EXPR_NUMBER;
		bool counts = expr->function == CU_FUNCTION_COUNT || expr->function == CU_FUNCTION_SHARE;
		if (counts && checked->type != CU_TYPE_BOOL) {
			return CU_WRONG(scope, expr, "%s() counts conditions that are true; it was given %s", name,
			                cu_type_name(checked->type));
		}
		if (!counts && (!cu_type_is_numeric(checked->type) || checked->type == CU_TYPE_PORT)) {
			return CU_WRONG(scope, expr, "%s() of %s", name, cu_type_name(checked->type));
		}
		if (!counts && n > 0 && !cu_check_unify(scope, expr, "compares", "with", expr->items, checked)) {
			return expr;
		}
	}
	if ((expr->function == CU_FUNCTION_ABS && n != 1) || (expr->function < CU_FUNCTION_ABS && n < 2)) {
		return CU_WRONG(scope, expr, "%s() takes %s", name,
		                expr->function == CU_FUNCTION_ABS ? "one value" : "two values or more");
	}
	if (expr->function == CU_FUNCTION_SHARE && n != 1) {
		return CU_WRONG(scope, expr, "share() takes one condition");
	}
	if (expr->function == CU_FUNCTION_COUNT || expr->function == CU_FUNCTION_SHARE) {
		expr->type = expr->function == CU_FUNCTION_COUNT ? CU_TYPE_COUNT : CU_TYPE_RATIO;
		return expr;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): abs, min and max had their values counted */
	expr->type = expr->items->type;
	if (constant) {
		double result = expr->items->number;
		for (const struct cu_expr *item = expr->items->next; item; item = item->next) {
			result = expr->function == CU_FUNCTION_MIN ? fmin(result, item->number)
			                                           : fmax(result, item->number);
		}
		return cu_check_become_number(expr, expr->type,
		                              expr->function == CU_FUNCTION_ABS ? fabs(result) : result);
	}
	return expr;
}

static struct cu_expr *check_logic(struct cu_scope *scope, struct cu_expr *expr)
{
	expr->a = cu_expr_check_condition(scope, expr->a);
	expr->b = cu_expr_check_condition(scope, expr->b);
	if (!expr->a || !expr->b || cu_check_is_error(expr->a) || cu_check_is_error(expr->b)) {
		return cu_check_broken(expr);
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

struct cu_expr *cu_check(struct cu_scope *scope, struct cu_expr *expr)
{
	if (!expr) {
		return NULL;
	}
	switch (expr->kind) {
	case CU_EXPR_NAME:
		return cu_check_name(scope, expr);
	case CU_EXPR_NOT:
		expr->a = cu_expr_check_condition(scope, expr->a);
		if (!expr->a || cu_check_is_error(expr->a)) {
			return cu_check_broken(expr);
		}
		expr->type = CU_TYPE_BOOL;
		return expr->a->kind == CU_EXPR_BOOL ? cu_check_become_bool(expr, expr->a->number == 0) : expr;
	case CU_EXPR_MINUS:
		expr->a = cu_check(scope, expr->a);
		if (!expr->a || cu_check_is_error(expr->a)) {
			return cu_check_broken(expr);
		}
		if (!cu_type_is_numeric(expr->a->type) || expr->a->type == CU_TYPE_PORT ||
		    expr->a->type == CU_TYPE_INSTANT) {
			return CU_WRONG(scope, expr, "'-' before %s", cu_type_name(expr->a->type));
		}
		expr->type = expr->a->type;
		return expr->a->kind == CU_EXPR_NUMBER ? cu_check_become_number(expr, expr->type, -expr->a->number)
		                                       : expr;
	case CU_EXPR_AND:
	case CU_EXPR_OR:
		return check_logic(scope, expr);
	case CU_EXPR_COMPARE:
		return check_comparison(scope, expr);
	case CU_EXPR_ARITHMETIC:
		return check_arithmetic(scope, expr);
	case CU_EXPR_IN:
		return cu_check_in(scope, expr);
	case CU_EXPR_MATCH:
		return cu_check_match(scope, expr);
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
	return cu_check(scope, expr);
}

struct cu_expr *cu_expr_check_condition(struct cu_scope *scope, struct cu_expr *expr)
{
	expr = cu_check(scope, expr);
	if (expr && !cu_check_is_error(expr) && expr->type != CU_TYPE_BOOL) {
		return CU_WRONG(scope, expr, "this is %s where a condition is expected%s", cu_type_name(expr->type),
		                expr->kind == CU_EXPR_FIELD && cu_type_is_numeric(expr->type)
		                        ? "; compare it with something"
		                        : "");
	}
	return expr;
}
