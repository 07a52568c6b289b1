/*
 * What stands after in, glob and their like.
 */
#include "lib/rules/checker.h"

enum { LIST_DEPTH_CAP = 16, LIST_ITEM_CAP = 100000 };

struct item_context {
	struct cu_scope *scope;
	const struct cu_expr *left; /* what is looked for in the list */
	struct cu_expr **tail;
	size_t n; /* items, and lists that stand among them */
	unsigned depth;
	bool wrong;
};

/* Makes an item fit the left side; false when it is said why not. */
static bool check_item(struct item_context *context, struct cu_expr *item)
{
	struct cu_scope *scope = context->scope;
	const struct cu_expr *left = context->left;
	if (left->type == CU_TYPE_ENUM) {
		item = cu_check_value_of(scope, item, left->names);
		if (!cu_check_is_error(item) && item->kind != CU_EXPR_NUMBER) {
			CU_WRONG(scope, item, "a list has constants; '%s' is a %s", item->text.data,
			         item->kind == CU_EXPR_FIELD ? "field" : "macro");
		}
		return !cu_check_is_error(item);
	}
	if (left->type == CU_TYPE_TEXT && item->kind == CU_EXPR_NAME) {
		if (!cu_check_is_word_for_text(item)) {
			CU_WRONG(scope, item, "a list has constants; '%s' is a field", item->text.data);
			return false;
		}
		cu_check_as_text(item);
	}
	if (item->kind == CU_EXPR_NAME) {
		CU_WRONG(scope, item, "'%s' is neither a list nor %s", item->text.data, cu_type_name(left->type));
		return false;
	}
	if (item->kind == CU_EXPR_RANGE) {
		struct cu_expr *low = item->a, *high = item->b;
		cu_check_adopt(scope, low, left->type);
		cu_check_adopt(scope, high, left->type);
		if (cu_check_is_error(low) || cu_check_is_error(high)) {
			return false;
		}
		if (low->type != left->type || high->type != left->type) {
			const struct cu_expr *odd = low->type != left->type ? low : high;
			CU_WRONG(scope, item, "compares %s with %s%s", cu_type_name(left->type),
			         cu_type_name(odd->type),
			         odd->type == CU_TYPE_NUMBER ? cu_check_unit_advice(left->type) : "");
			return false;
		}
		if (low->number > high->number) {
			CU_WRONG(scope, item, "a range that ends before it begins");
			return false;
		}
		item->type = left->type;
		return true;
	}
	if (left->type == CU_TYPE_ADDRESS && item->kind == CU_EXPR_NETWORK) {
		char text[CU_TEXT_CAP];
		if (cu_network_trim(&item->addr, item->prefix)) {
			CU_WARN(scope, item, "the address has bits behind its prefix; the network is %s/%u",
			        cu_format_addr(text, &item->addr), item->prefix);
		}
		return true;
	}
	if (item->type != left->type && !cu_check_adopt(scope, item, left->type)) {
		const char *advice = left->type == CU_TYPE_TEXT      ? cu_check_unit_advice(left->type)
		                     : item->kind == CU_EXPR_NETWORK ? ""
		                                                     : cu_check_type_advice(left, item);
		CU_WRONG(scope, item, "compares %s with %s%s", cu_type_name(left->type), cu_type_name(item->type),
		         advice);
		return false;
	}
	return !cu_check_is_error(item);
}

/* Whether a list may stand where item names it; says why not. */
static bool may_visit(struct item_context *context, const struct cu_list *list, const struct cu_expr *item)
{
	bool deep = context->depth == LIST_DEPTH_CAP;
	if (list->visiting) {
		cu_yaml_error_at(context->scope->diag, item->scalar, item->start, item->len,
		                 "list '%s' is made of itself", list->name);
	} else if (deep) {
		cu_yaml_error_at(context->scope->diag, item->scalar, item->start, item->len,
		                 "more than %d lists within one another", LIST_DEPTH_CAP);
	}
	return !list->visiting && !deep;
}

/* Adds items to the flat list, named lists' in place of their names. */
static void flatten(struct item_context *context, const struct cu_expr *items)
{
	for (const struct cu_expr *item = items; item; item = item->next) {
		if (++context->n > LIST_ITEM_CAP) {
			if (context->n == LIST_ITEM_CAP + 1) {
				cu_yaml_error_at(context->scope->diag, item->scalar, item->start, item->len,
				                 "a list of more than %d items", LIST_ITEM_CAP);
			}
			context->wrong = true;
			return;
		}
		struct cu_list *list = NULL;
		if (item->kind == CU_EXPR_NAME) {
			list = context->scope->find_list(context->scope->names, item->text.data, item->text.len);
		}
		if (list) {
			list->used = true;
			if (!may_visit(context, list, item)) {
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

struct cu_expr *cu_check_in(struct cu_scope *scope, struct cu_expr *expr)
{
	expr->a = cu_check(scope, expr->a);
	if (!expr->a || cu_check_is_error(expr->a)) {
		return cu_check_broken(expr);
	}
	enum cu_type type = expr->a->type;
	if (type == CU_TYPE_BOOL || type == CU_TYPE_ENDPOINT || type == CU_TYPE_NETWORK ||
	    cu_check_is_constant(expr->a)) {
		return CU_WRONG(scope, expr, "looks for %s in a list",
		                cu_check_is_constant(expr->a) ? "a constant" : cu_type_name(type));
	}
	struct cu_expr *flat = NULL;
	struct item_context context = {.scope = scope, .left = expr->a, .tail = &flat};
	flatten(&context, expr->b->items);
	if (context.wrong) {
		return cu_check_broken(expr);
	}
	if (!flat) {
		CU_WARN(scope, expr, "the list is empty: this is always false");
		return cu_check_become_bool(expr, false);
	}
	expr->b->items = flat;
	expr->type = CU_TYPE_BOOL;
	return expr;
}

struct cu_expr *cu_check_match(struct cu_scope *scope, struct cu_expr *expr)
{
	expr->a = cu_check(scope, expr->a);
	if (!expr->a || cu_check_is_error(expr->a)) {
		return cu_check_broken(expr);
	}
	if (expr->a->type != CU_TYPE_TEXT || cu_check_is_constant(expr->a)) {
		enum cu_type type = expr->a->type;
		return CU_WRONG(scope, expr, "matches %s; %s",
		                cu_check_is_constant(expr->a) ? "a constant" : cu_type_name(type),
		                type == CU_TYPE_ENUM ? "ask for names with == or in"
		                : type == CU_TYPE_ADDRESS
		                        ? "ask for a network with in"
		                        : "only fields of text are matched, such as name and service");
	}
	struct cu_expr *flat = NULL;
	struct item_context context = {.scope = scope, .left = expr->a, .tail = &flat};
	flatten(&context, expr->b->items);
	if (context.wrong || !flat) {
		return cu_check_broken(expr);
	}
	expr->b->items = flat;
	expr->type = CU_TYPE_BOOL;
	return expr;
}
