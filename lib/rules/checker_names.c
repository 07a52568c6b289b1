/*
 * Names that conditions use: what an unknown one was meant to be, and the
 * values of enumerations.
 */
#include "lib/rules/checker.h"

#include "lib/base/nearest.h"

#include <string.h>

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

bool cu_check_names_macro(const struct cu_scope *scope, const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_NAME && !cu_check_named_field(expr) &&
	       scope->find_macro(scope->names, expr->text.data, expr->text.len) != NULL;
}

bool cu_check_names_list(const struct cu_scope *scope, const struct cu_expr *expr)
{
	return expr->kind == CU_EXPR_NAME && !cu_check_named_field(expr) &&
	       scope->find_list(scope->names, expr->text.data, expr->text.len) != NULL;
}

static bool is_one_of(const struct cu_expr *expr, const char *const *words)
{
	while (*words && !cu_check_is_word(expr, *words)) {
		words++;
	}
	return *words != NULL;
}

struct cu_expr *cu_check_unknown_name(struct cu_scope *scope, struct cu_expr *expr)
{
	static const char *const nothing[] = {"null", "nil", "none", "None", "NULL", "missing", "unknown", "NaN", NULL};
	const char *names[SUGGESTED_CAP] = {0};
	if (cu_check_is_word(expr, "yes") || cu_check_is_word(expr, "no")) {
		return CU_WRONG(scope, expr, "'%s' is no condition; write %s", expr->text.data,
		                cu_check_is_word(expr, "yes") ? "true" : "false");
	}
	if (is_one_of(expr, nothing)) {
		return CU_WRONG(scope, expr, "'%s' is no value; has() asks whether a field has one, as in not has(rtt)",
		                expr->text.data);
	}
	/* With many errors none is shown that the names would be looked for. */
	size_t n = cu_diag_is_full(scope->diag) ? 0 : suggest(scope, expr->text, names);
	if (n == 0 && scope->incomplete) {
		return cu_check_broken(expr); /* of a part that could not be read, most likely: that was said */
	}
	if (n == 0) {
		return CU_WRONG(scope, expr, "unknown field '%s'; classify --fields lists them", expr->text.data);
	}
	return CU_WRONG(scope, expr, "unknown field '%s'; did you mean '%s'%s%s%s%s%s%s?", expr->text.data, names[0],
	                n > 2   ? ", '"
	                : n > 1 ? " or '"
	                        : "",
	                n > 1 ? names[1] : "", n > 1 ? "'" : "", n > 2 ? " or '" : "", n > 2 ? names[2] : "",
	                n > 2 ? "'" : "");
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
			return CU_WRONG(scope, expr, "'%.*s' is not %s but %s: %s == %.*s", len, expr->text.data,
			                names->what, others[i].names->what, others[i].field, len, expr->text.data);
		}
	}
	expr = near ? CU_WRONG(scope, expr, "'%.*s' is not %s; did you mean '%s'?", len, expr->text.data, names->what,
	                       near)
	            : CU_WRONG(scope, expr, "'%.*s' is not %s; expected one of %s", len, expr->text.data, names->what,
	                       cu_buf_cstr(&known));
	cu_buf_release(&known);
	return expr;
}

struct cu_expr *cu_check_value_of(struct cu_scope *scope, struct cu_expr *expr, const struct cu_names *names)
{
	if (expr->kind == CU_EXPR_NAME || expr->kind == CU_EXPR_TEXT) {
		int value = cu_names_find(names, expr->text.data, expr->text.len);
		if (value >= 0) {
			expr->names = names;
			return cu_check_become_number(expr, CU_TYPE_ENUM, value);
		}
		const struct cu_field *field = cu_check_named_field(expr);
		bool known = (field && field->type == CU_TYPE_ENUM && field->names == names) ||
		             cu_check_names_macro(scope, expr) || cu_check_names_list(scope, expr);
		if (!known) {
			return unknown_value(scope, expr, names);
		}
	}
	expr = cu_check(scope, expr);
	if (!cu_check_is_error(expr) && !(expr->type == CU_TYPE_ENUM && expr->names == names)) {
		return CU_WRONG(scope, expr, "expected %s, found %s", names->what, cu_type_name(expr->type));
	}
	return expr;
}

bool cu_check_is_word_for_text(const struct cu_expr *expr)
{
	const struct cu_field *field = cu_check_named_field(expr);
	return expr->kind == CU_EXPR_NAME && !(field && (field->type == CU_TYPE_TEXT || strchr(field->name, '.')));
}

struct cu_expr *cu_check_as_text(struct cu_expr *expr)
{
	expr->kind = CU_EXPR_TEXT;
	expr->type = CU_TYPE_TEXT;
	return expr;
}
