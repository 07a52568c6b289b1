/*
 * Types and units: what can be compared and calculated with what.
 */
#include "lib/rules/checker.h"

#include <math.h>
#include <string.h>

bool cu_check_adopt(struct cu_scope *scope, struct cu_expr *number, enum cu_type type)
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
			CU_WRONG(scope, number, "%g is no port; ports are 0 to 65535", number->number);
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
		CU_WARN(scope, number, "a ratio of %g is %g %%; %g%% is meant?", number->number, number->number * 100,
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
		CU_WARN(scope, number, "%s of %s is less than a capture's clock tells; ms is meant?",
		        cu_format_duration(text, (int64_t)number->number), field->field->name);
	} else if (number->number > (double)(86400 * CU_NS_PER_S) && number->number < (double)INT64_MAX) {
		CU_WARN(scope, number, "%s of %s is longer than a day; ms or s is meant?",
		        cu_format_duration(text, (int64_t)number->number), field->field->name);
	}
}

const char *cu_check_unit_advice(enum cu_type type)
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

const char *cu_check_type_advice(const struct cu_expr *a, const struct cu_expr *b)
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
		return cu_check_unit_advice(a->type == CU_TYPE_NUMBER ? b->type : a->type);
	}
	if ((a->type == CU_TYPE_TEXT && b->kind == CU_EXPR_MACRO) ||
	    (b->type == CU_TYPE_TEXT && a->kind == CU_EXPR_MACRO)) {
		return "; a text that is a macro's name is put in quotes";
	}
	if (a->kind == CU_EXPR_TEXT || b->kind == CU_EXPR_TEXT) {
		return "; write it without quotes";
	}
	return "";
}

bool cu_check_unify(struct cu_scope *scope, struct cu_expr *whole, const char *verb, const char *joint,
                    struct cu_expr *a, struct cu_expr *b)
{
	warn_of_percent(scope, a, b);
	warn_of_percent(scope, b, a);
	warn_of_time(scope, a, b);
	warn_of_time(scope, b, a);
	if (a->type == b->type || cu_check_adopt(scope, a, b->type) || cu_check_adopt(scope, b, a->type)) {
		if (cu_check_is_error(a) || cu_check_is_error(b)) {
			cu_check_broken(whole);
			return false;
		}
		return true;
	}
	/* A quantity of plain numbers counts. */
	if ((a->type == CU_TYPE_NUMBER && (b->type == CU_TYPE_COUNT || b->type == CU_TYPE_RATIO)) ||
	    (b->type == CU_TYPE_NUMBER && (a->type == CU_TYPE_COUNT || a->type == CU_TYPE_RATIO))) {
		return true;
	}
	const char *advice = whole->kind == CU_EXPR_ARITHMETIC ? "" : cu_check_type_advice(a, b);
	CU_WRONG(scope, whole, "%s %s %s %s%s", verb, cu_type_name(a->type), joint, cu_type_name(b->type), advice);
	return false;
}

enum cu_type cu_check_product(enum cu_token_kind op, enum cu_type a, enum cu_type b)
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
