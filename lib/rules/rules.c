#include "lib/rules/rules.h"

#include "lib/rules/reach.h"

#include <stdlib.h>
#include <string.h>

struct cu_rules *cu_rules_new(void)
{
	struct cu_rules *rules = calloc(1, sizeof(*rules));
	if (rules) {
		rules->diag.heap = &rules->heap;
		rules->tests_tail = &rules->tests;
		rules->services.slow.ns[CU_TXN_NONE] = CU_SLOW_DEFAULT_NS;
	}
	return rules;
}

void cu_rules_free(struct cu_rules *rules)
{
	if (!rules) {
		return;
	}
	cu_sieve_free(rules->sieve);
	cu_program_release(&rules->program);
	cu_name_table_release(&rules->rule_names);
	cu_name_table_release(&rules->macro_names);
	cu_name_table_release(&rules->list_names);
	cu_name_table_release(&rules->service_names);
	free(rules->rules);
	free(rules->macros);
	free(rules->lists);
	free(rules->services.items);
	cu_buf_release(&rules->text);
	cu_heap_release(&rules->heap);
	free(rules);
}

void cu_rules_set_slow(struct cu_rules *rules, int64_t slow_ns)
{
	rules->services.slow_override_ns = slow_ns;
}

void cu_rules_set_baseline(struct cu_rules *rules, struct cu_baseline *baseline)
{
	rules->baseline = baseline;
}

size_t cu_rules_n_messages(const struct cu_rules *rules)
{
	return rules->diag.n_messages;
}

const struct cu_rules_message *cu_rules_message(const struct cu_rules *rules, size_t n)
{
	return &rules->diag.messages[n];
}

size_t cu_rules_n_errors(const struct cu_rules *rules)
{
	return rules->diag.n_errors;
}

size_t cu_rules_n_warnings(const struct cu_rules *rules)
{
	return rules->diag.n_warnings;
}

bool cu_rules_failed(const struct cu_rules *rules)
{
	return rules->text.failed || rules->program.failed;
}

struct cu_rules_counts cu_rules_counts(const struct cu_rules *rules)
{
	return (struct cu_rules_counts){.n_rules = rules->n_active + rules->n_endpoints,
	                                .n_macros = rules->n_macros,
	                                .n_lists = rules->n_lists,
	                                .n_services = rules->services.n,
	                                .n_tests = rules->n_tests};
}

/* ---- names for the checker ---- */

static struct cu_macro *find_macro(void *names, const char *name, size_t len)
{
	const struct cu_rules *rules = names;
	struct cu_macro_def *macro = cu_name_table_get(&rules->macro_names, name, len);
	return macro ? &macro->macro : NULL;
}

static struct cu_list *find_list(void *names, const char *name, size_t len)
{
	const struct cu_rules *rules = names;
	struct cu_list_def *list = cu_name_table_get(&rules->list_names, name, len);
	return list ? &list->list : NULL;
}

static const char *name_at(void *names, size_t i)
{
	const struct cu_rules *rules = names;
	if (i < rules->n_macros) {
		return rules->macros[i]->macro.name;
	}
	i -= rules->n_macros;
	return i < rules->n_lists ? rules->lists[i]->list.name : NULL;
}

struct cu_scope cu_rules_scope(struct cu_rules *rules)
{
	return (struct cu_scope){.diag = &rules->diag,
	                         .names = rules,
	                         .find_macro = find_macro,
	                         .find_list = find_list,
	                         .name_at = name_at,
	                         .incomplete = rules->incomplete};
}

/* ---- from texts to trees ---- */

/* The fragments of a condition as one tree; NULL when one of them is wrong. */
static struct cu_expr *parse_condition(struct cu_rules *rules, const struct cu_fragment *fragments)
{
	struct cu_expr *whole = NULL;
	bool good = true;
	unsigned n_nodes = 0;
	for (const struct cu_fragment *fragment = fragments; fragment && n_nodes <= CU_EXPR_NODE_CAP;
	     fragment = fragment->next) {
		n_nodes += fragment->join != CU_TOKEN_END;
		struct cu_expr *expr = cu_expr_parse(&rules->diag, fragment->node, fragment->skip,
		                                     fragment->node->len - fragment->skip, &n_nodes);
		if (!expr) {
			good = false;
			continue;
		}
		if (fragment->join == CU_TOKEN_END) {
			whole = expr;
			continue;
		}
		struct cu_expr *both = cu_heap_get(&rules->heap, sizeof(*both));
		if (!both) {
			return NULL;
		}
		both->kind = fragment->join == CU_TOKEN_AND ? CU_EXPR_AND : CU_EXPR_OR;
		both->scalar = fragment->node;
		both->len = fragment->node->len;
		both->a = whole;
		both->b = expr;
		whole = both;
	}
	return good ? whole : NULL;
}

static void parse_list(struct cu_rules *rules, struct cu_list_def *list)
{
	struct cu_expr **tail = &list->list.items;
	for (const struct cu_fragment *fragment = list->items.first; fragment; fragment = fragment->next) {
		for (const struct cu_yaml *node = fragment->node->child; node; node = node->next) {
			if (node->kind != CU_YAML_SCALAR) {
				cu_yaml_error(&rules->diag, node, "an item of a list is one value");
				continue;
			}
			struct cu_expr *item = cu_expr_parse_item(&rules->diag, node);
			if (item) {
				*tail = item;
				tail = &item->next;
			}
		}
	}
}

/* ---- checks of one rule ---- */

void cu_names_unknown(struct cu_diag *diag, const struct cu_yaml *node, const struct cu_names *names, unsigned first)
{
	struct cu_buf known = {0};
	const char *near = cu_names_suggest(names, first, node->text, node->len, &known);
	if (near) {
		cu_yaml_error(diag, node, "'%s' is not %s; did you mean '%s'?", node->text, names->what, near);
	} else {
		cu_yaml_error(diag, node, "'%s' is not %s; expected one of %s", node->text, names->what,
		              cu_buf_cstr(&known));
	}
	cu_buf_release(&known);
}

static int take_value(struct cu_rules *rules, const struct cu_yaml *node, const struct cu_names *names)
{
	if (!node) {
		return -1;
	}
	int value = cu_names_find(names, node->text, node->len);
	bool usable = value >= 0 && !(value == 0 && names != &cu_party_names);
	if (usable) {
		return value;
	}
	cu_names_unknown(&rules->diag, node, names, names == &cu_party_names ? 0 : 1);
	return -1;
}

static void check_values(struct cu_rules *rules, struct cu_rule *rule)
{
	rule->blame_value = take_value(rules, rule->blame, &cu_party_names);
	rule->cause_value = take_value(rules, rule->cause, &cu_cause_names);
	rule->confidence_value = take_value(rules, rule->confidence, &cu_confidence_names);
	if (rule->cause_value < 0) {
		return;
	}
	int party = (int)cu_cause_party((unsigned)rule->cause_value);
	if (rule->blame_value < 0 && !rule->blame) {
		rule->blame_value = party;
	} else if (rule->blame_value >= 0 && rule->blame_value != party) {
		cu_yaml_error(&rules->diag, rule->cause, "%s is not a cause of blame '%s'", rule->cause->text,
		              rule->blame->text);
	}
}

/* Checks what a rule says, but for its texts. */
static void check_rule(struct cu_rules *rules, struct cu_rule *rule)
{
	struct cu_scope scope = cu_rules_scope(rules);
	size_t n_warnings = rules->diag.n_warnings;
	scope.about = rule->about;
	check_values(rules, rule);
	rule->expr = parse_condition(rules, rule->condition.first);
	if (rule->expr) {
		rule->expr = cu_expr_check_condition(&scope, rule->expr);
	}
	rule->warned = rules->diag.n_warnings > n_warnings;
	if (rule->expr && rule->expr->kind != CU_EXPR_ERROR &&
	    (rule->about_wrong || !cu_expr_check_about(&scope, rule->expr))) {
		rule->expr = NULL;
	}
}

static void compile_rule(struct cu_rules *rules, struct cu_rule *rule, struct cu_program *program)
{
	struct cu_scope scope = cu_rules_scope(rules);
	scope.about = rule->about;
	rule->step = CU_STEP_NO;
	check_rule(rules, rule);
	const struct cu_yaml *condition = rule->condition.first->node;
	if (rule->expr && rule->expr->kind != CU_EXPR_ERROR) {
		program->of_window = rule->about != CU_ABOUT_TRANSACTION;
		rule->step = cu_program_add_condition(program, rule->expr);
		program->of_window = false;
		rule->counters = program->used_counters;
		rule->counts = program->used_counts;
		if (program->too_many_counters) {
			cu_yaml_error(&rules->diag, condition,
			              "rules about endpoints count more than %d different conditions", CU_COUNTER_CAP);
		} else if (rule->step == CU_STEP_BROKEN && !program->failed) {
			cu_yaml_error(&rules->diag, condition,
			              "the condition is too large once its macros are written out");
		} else if (rule->step == CU_STEP_NO && !rule->warned) {
			cu_yaml_warn_at(&rules->diag, rule->where, 0, rule->where->len,
			                "'%s' can never match: its condition is always false", rule->name);
		}
	}
	rule->why = rule->output ? cu_template_parse(&scope, program, rule->output) : NULL;
	rule->advice_parts = rule->advice ? cu_template_parse(&scope, program, rule->advice) : NULL;
	rule->all_counters = program->used_counters;
}

/* One that is taken out is compiled too, so that it does not rot: to a program that nobody runs. */
static void check_disabled_rule(struct cu_rules *rules, struct cu_rule *rule)
{
	struct cu_program unused = {0};
	compile_rule(rules, rule, &unused);
	rules->program.failed = rules->program.failed || unused.failed;
	cu_program_release(&unused);
}

/* ---- all of them ---- */

/* Makes the index, and warns of rules that cannot be reached. */
static bool make_index(struct cu_rules *rules)
{
	enum { FEW_RULES = 16 }; /* as quickly asked as looked up */
	size_t n = rules->n_active;
	int32_t *steps = malloc((n + 1) * sizeof(*steps));
	bool *impossible = calloc(n + 1, sizeof(*impossible));
	bool good = steps && impossible;
	for (size_t i = 0; good && i < n; i++) {
		steps[i] = rules->rules[i]->step;
	}
	rules->sieve = good ? cu_sieve_new(&rules->program, steps, n, impossible) : NULL;
	good = rules->sieve != NULL;
	if (good) {
		cu_warn_unreachable(rules, impossible);
	}
	if (n <= FEW_RULES) {
		cu_sieve_free(rules->sieve);
		rules->sieve = NULL;
	}
	free(steps);
	free(impossible);
	return good;
}

static void warn_of_unused(struct cu_rules *rules, const struct cu_yaml *where, const char *what)
{
	if (where->source != rules->shipped) { /* who takes rules of those that come along out cannot help it */
		cu_yaml_warn_at(&rules->diag, where, 0, where->len, "%s '%s' is not used", what, where->text);
	}
}

static void warn_of_all_unused(struct cu_rules *rules)
{
	for (size_t i = 0; i < rules->n_macros; i++) {
		const struct cu_macro *macro = &rules->macros[i]->macro;
		if (!macro->used) {
			warn_of_unused(rules, macro->where, "macro");
		}
	}
	for (size_t i = 0; i < rules->n_lists; i++) {
		const struct cu_list *list = &rules->lists[i]->list;
		if (!list->used) {
			warn_of_unused(rules, list->where, "list");
		}
	}
}

static int as_tried(const void *a, const void *b)
{
	const struct cu_rule *x = *(struct cu_rule *const *)a, *y = *(struct cu_rule *const *)b;
	if (x->enabled != y->enabled) {
		return x->enabled ? -1 : 1;
	}
	if ((x->about != CU_ABOUT_TRANSACTION) != (y->about != CU_ABOUT_TRANSACTION)) {
		return x->about == CU_ABOUT_TRANSACTION ? -1 : 1;
	}
	if (x->layer != y->layer) {
		return x->layer > y->layer ? -1 : 1;
	}
	return x->order < y->order ? -1 : x->order > y->order;
}

int cu_rules_finish(struct cu_rules *rules)
{
	struct cu_scope scope = cu_rules_scope(rules);
	if (rules->n_rules > 0) {
		qsort(rules->rules, rules->n_rules, sizeof(*rules->rules), as_tried);
	}
	if (rules->heap.failed) { /* what was added is not all there */
		return CU_ERR_NOMEM;
	}
	for (size_t i = 0; i < rules->n_macros; i++) {
		rules->macros[i]->macro.expr = parse_condition(rules, rules->macros[i]->condition.first);
	}
	for (size_t i = 0; i < rules->n_lists; i++) {
		parse_list(rules, rules->lists[i]);
	}
	if (!cu_wordings_compile(rules)) {
		return CU_ERR_NOMEM;
	}
	for (size_t i = 0; i < rules->n_rules; i++) {
		struct cu_rule *rule = rules->rules[i];
		if (!rule->enabled) {
			check_disabled_rule(rules, rule);
			continue;
		}
		compile_rule(rules, rule, &rules->program);
		rules->n_active += rule->about == CU_ABOUT_TRANSACTION;
		rules->n_endpoints += rule->about != CU_ABOUT_TRANSACTION;
	}
	if (rules->program.failed || !make_index(rules)) {
		return CU_ERR_NOMEM;
	}
	if (rules->diag.n_errors == 0) {
		warn_of_all_unused(rules);
	}
	for (size_t i = 0; i < rules->n_macros; i++) { /* those that no rule led to */
		struct cu_macro *macro = &rules->macros[i]->macro;
		if (macro->state == CU_MACRO_UNCHECKED && macro->expr) {
			macro->state = CU_MACRO_CHECKING;
			macro->expr = cu_expr_check(&scope, macro->expr);
			macro->state = CU_MACRO_CHECKED;
		}
	}
	for (struct cu_test *test = rules->tests; test; test = test->next) {
		cu_test_compile(rules, test);
	}
	cu_diag_sort(&rules->diag);
	if (!cu_program_finish(&rules->program) || rules->heap.failed) {
		return CU_ERR_NOMEM;
	}
	rules->finished = true;
	return rules->diag.n_errors > 0 ? CU_ERR_RULES : 0;
}
