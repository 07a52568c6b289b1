/*
 * What a rule is about decides which fields it has: those of a transaction, or
 * those of an endpoint and a window of time.
 */
#include "lib/rules/expr.h"

#include "lib/rules/program.h"

#include <string.h>

struct walk {
	struct cu_scope *scope;
	enum cu_about about;
	unsigned n_visits; /* macros of macros are walked as often as they are written out, within the program's cap */
};

static bool is_of_endpoint(const struct cu_field *field, enum cu_about about)
{
	static const char *const names[][5] = {
		[CU_ABOUT_SERVER] = {"server", "server.ip", "server.port", "service", NULL},
		[CU_ABOUT_CLIENT] = {"client", "client.ip", NULL},
	};
	for (const char *const *name = names[about]; *name; name++) {
		if (strcmp(field->name, *name) == 0) {
			return true;
		}
	}
	return false;
}

static bool refuse(struct walk *walk, const struct cu_expr *expr, const char *what)
{
	cu_yaml_error_at(walk->scope->diag, expr->scalar, expr->start, expr->len, "%s %s", expr->field->name, what);
	return false;
}

static bool check_field(struct walk *walk, const struct cu_expr *expr)
{
	bool of_window = expr->field->base == CU_FIELD_WINDOW;
	if (walk->about == CU_ABOUT_TRANSACTION) {
		if (!of_window) {
			return true;
		}
		return refuse(walk, expr,
		              walk->scope->about == CU_ABOUT_TRANSACTION
		                      ? "is known of endpoints only: the rule needs 'for: server' or 'for: client'"
		                      : "is not known of a transaction, which count() and share() ask about");
	}
	if (of_window || is_of_endpoint(expr->field, walk->about)) {
		return true;
	}
	return refuse(
		walk, expr,
		walk->about == CU_ABOUT_SERVER
			? "is not known of a server; put what is asked of its transactions into count() or share()"
			: "is not known of a client; put what is asked of its transactions into count() or share()");
}

static bool check(struct walk *walk, const struct cu_expr *expr)
{
	if (!expr || ++walk->n_visits > CU_PROGRAM_VISIT_CAP) {
		return true;
	}
	if (expr->kind == CU_EXPR_FIELD || expr->kind == CU_EXPR_HAS) {
		return check_field(walk, expr);
	}
	if (expr->kind == CU_EXPR_IN || expr->kind == CU_EXPR_MATCH) {
		return check(walk, expr->a); /* the rest are constants */
	}
	enum cu_about outer = walk->about;
	bool counts = expr->kind == CU_EXPR_CALL &&
	              (expr->function == CU_FUNCTION_COUNT || expr->function == CU_FUNCTION_SHARE);
	if (counts && outer == CU_ABOUT_TRANSACTION && expr->function == CU_FUNCTION_SHARE) {
		cu_yaml_error_at(
			walk->scope->diag, expr->scalar, expr->start, expr->len,
			"share() is of an endpoint's transactions: the rule needs 'for: server' or 'for: client'");
		return false;
	}
	if (counts && outer != CU_ABOUT_TRANSACTION) {
		if (expr->items && expr->items->next) {
			cu_yaml_error_at(
				walk->scope->diag, expr->scalar, expr->start, expr->len,
				"count() of an endpoint's transactions takes one condition; join them with and, or");
			return false;
		}
		walk->about = CU_ABOUT_TRANSACTION;
	}
	bool good = check(walk, expr->a);
	good = check(walk, expr->b) && good;
	for (const struct cu_expr *item = expr->items; item; item = item->next) {
		good = check(walk, item) && good;
	}
	walk->about = outer;
	return good;
}

bool cu_expr_check_about(struct cu_scope *scope, const struct cu_expr *expr)
{
	struct walk walk = {.scope = scope, .about = scope->about};
	return check(&walk, expr);
}
