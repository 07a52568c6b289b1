/*
 * Rules, macros and lists of a rules file, and how they change those below.
 */
#include "lib/rules/load.h"

#include "lib/base/grow.h"
#include "lib/base/nearest.h"

#include <string.h>

static bool take_name(struct cu_load *load, const struct cu_yaml *node, bool identifier)
{
	if (!cu_load_is_scalar(load, node, "a name")) {
		return false;
	}
	if (!identifier) {
		return true;
	}
	bool good = !(node->text[0] >= '0' && node->text[0] <= '9');
	for (size_t i = 0; i < node->len; i++) {
		char c = node->text[i];
		good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_');
	}
	if (!good) {
		cu_yaml_error(&load->rules->diag, node,
		              "'%s' cannot be used in conditions; names are of letters, digits and _", node->text);
		return false;
	}
	const char *taken = cu_field_find(node->text, node->len)   ? "a field"
	                    : cu_is_keyword(node->text, node->len) ? "a word of the language"
	                                                           : NULL;
	for (size_t i = 0; cu_function_name(i); i++) {
		taken = cu_yaml_is(node, cu_function_name(i)) ? "a function" : taken;
	}
	if (taken || cu_yaml_is(node, "has")) {
		cu_yaml_error(&load->rules->diag, node, "'%s' is %s already", node->text, taken ? taken : "a function");
		return false;
	}
	return true;
}

/* How a key of an item changes what has the item's name already. */
enum change { CHANGE_REPLACE, CHANGE_APPEND };

/* What the override mapping and append say; *any tells whether there is either. */
static bool take_changes(struct cu_load *load, const struct cu_yaml *item, const char *part, enum change *change,
                         bool *any)
{
	const struct cu_yaml *append = cu_yaml_find(item, "append"), *override = cu_yaml_find(item, "override");
	bool good = true, appends = false;
	*change = CHANGE_REPLACE;
	*any = append || override;
	if (append) {
		good = cu_load_bool(load, append, &appends);
		*change = appends ? CHANGE_APPEND : CHANGE_REPLACE;
		*any = override || appends;
	}
	if (!override) {
		return good;
	}
	if (override->kind != CU_YAML_MAPPING) {
		cu_yaml_error(&load->rules->diag, override, "override says for each key: append or replace");
		return false;
	}
	for (const struct cu_yaml *child = override->child; child; child = child->next) {
		bool is_part = cu_yaml_is(child->key, part);
		if (!cu_yaml_find(item, child->key->text)) {
			cu_yaml_error(&load->rules->diag, child->key, "override names '%s', which is not given here",
			              child->key->text);
			good = false;
		} else if (cu_yaml_is(child, "append") && is_part) {
			*change = CHANGE_APPEND;
		} else if (cu_yaml_is(child, "append")) {
			cu_yaml_error(&load->rules->diag, child, "'%s' cannot be appended to; write replace",
			              child->key->text);
			good = false;
		} else if (!cu_yaml_is(child, "replace")) {
			cu_yaml_error(&load->rules->diag, child, "expected append or replace");
			good = false;
		}
	}
	return good;
}

/* Makes node the content of fragments, or appends it. */
static bool change_fragments(struct cu_load *load, struct cu_fragments *fragments, const struct cu_yaml *node,
                             enum change change, bool is_condition)
{
	struct cu_fragment *fragment = cu_heap_get(&load->rules->heap, sizeof(*fragment));
	if (!fragment) {
		return false;
	}
	fragment->node = node;
	if (change == CHANGE_REPLACE || !fragments->first) {
		fragments->first = fragments->last = fragment;
		return true;
	}
	if (is_condition) {
		struct cu_lexer lexer = {.text = node->text, .len = node->len};
		struct cu_token token;
		cu_lexer_next(&lexer, &token);
		if (token.kind != CU_TOKEN_AND && token.kind != CU_TOKEN_OR) {
			cu_yaml_error_at(&load->rules->diag, node, 0, 1,
			                 "what is appended to a condition begins with 'and' or 'or'");
			return false;
		}
		fragment->join = token.kind;
		fragment->skip = lexer.at;
	}
	fragments->last->next = fragment;
	fragments->last = fragment;
	return true;
}

/* What an item says of the rule, macro or list that it names. */
struct definition {
	const char *what; /* "rule" */
	const char *part; /* the key that a new one needs: "condition" */
	const struct cu_yaml *name;
	const struct cu_yaml *content; /* of the part; NULL when it is not given */
	enum change change;
	bool changes; /* it says that it changes one that is there */
};

/* Reads that of an item; false when it makes no sense. */
static bool take_definition(struct cu_load *load, const struct cu_yaml *item, bool identifier,
                            struct definition *definition)
{
	const struct cu_yaml *name = cu_yaml_find(item, definition->what);
	const struct cu_yaml *content = cu_yaml_find(item, definition->part);
	definition->name = name;
	definition->content = content;
	if (!take_name(load, name, identifier) ||
	    !take_changes(load, item, definition->part, &definition->change, &definition->changes)) {
		return false;
	}
	if (!content || strcmp(definition->part, "items") != 0) {
		return !content || cu_load_is_scalar(load, content, "a condition");
	}
	if (content->kind != CU_YAML_SEQUENCE) {
		cu_yaml_error(&load->rules->diag, content, "items are a list: [80, 443], or one a line after a dash");
	}
	return content->kind == CU_YAML_SEQUENCE;
}

/* The name in the table that is nearest to another; NULL when none is near, or when no more errors are shown. */
static const char *nearest_name(const struct cu_diag *diag, const struct cu_name_table *table, const char *name)
{
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, name, strlen(name));
	for (size_t i = 0; i < table->n && !cu_diag_is_full(diag); i++) {
		cu_nearest_try(&nearest, table->names[i].name);
	}
	return nearest.name;
}

/* Whether a new one may be made, of a name that is not in the table: it changes nothing, and is whole. */
static bool is_whole(struct cu_load *load, const struct definition *definition, const struct cu_name_table *known)
{
	const char *what = definition->what, *name = definition->name->text;
	if (definition->content && !definition->changes) {
		return true;
	}
	bool said = !definition->content && load->misspelt && strcmp(load->misspelt, definition->part) == 0;
	const char *near = said ? NULL : nearest_name(&load->rules->diag, known, name);
	if (near) {
		cu_yaml_error(&load->rules->diag, definition->name, "there is no %s '%s' to change; did you mean '%s'?",
		              what, name, near);
	} else if (definition->changes) {
		cu_yaml_error(&load->rules->diag, definition->name, "there is no %s '%s' to change", what, name);
	} else if (!said) {
		cu_yaml_error(&load->rules->diag, definition->name,
		              "%s '%s' has no %s, nor is there one of that name to change", what, name,
		              definition->part);
	}
	return false;
}

/* Whether a second definition is all right: not in one file, unless it says that it changes the first. */
static bool is_second(struct cu_load *load, const struct definition *definition, const struct cu_yaml *first)
{
	bool good = first->source != definition->name->source || definition->changes;
	if (!good) {
		cu_yaml_error(&load->rules->diag, definition->name,
		              "%s '%s' is defined twice; the first is on line %zu", definition->what,
		              definition->name->text, cu_rules_source_line(first->source, first->offset) + 1);
	}
	return good;
}

static const struct cu_yaml *take_text(struct cu_load *load, const struct cu_yaml *item, const char *key)
{
	const struct cu_yaml *node = cu_yaml_find(item, key);
	return node && cu_load_is_scalar(load, node, "a text") ? node : NULL;
}

/* Whether the definition can be taken; first is where it was defined before, or NULL. */
static bool may_define(struct cu_load *load, const struct definition *definition, const struct cu_yaml *first,
                       const struct cu_name_table *known)
{
	if (!first) {
		return is_whole(load, definition, known);
	}
	if (!definition->content && known != &load->rules->rule_names) { /* of rules other keys may change */
		cu_yaml_error(&load->rules->diag, definition->name, "%s '%s' has no %s", definition->what,
		              definition->name->text, definition->part);
		return false;
	}
	return is_second(load, definition, first);
}

/* size zeroed bytes for what has a name, found in the table from then on, with room for them behind n items. */
static void *new_named(struct cu_load *load, const char *name, struct cu_name_table *table, size_t size, void **items,
                       size_t *cap, size_t n)
{
	void *named = cu_heap_get(&load->rules->heap, size);
	if (!named || !cu_grow(items, cap, n, sizeof(void *)) || !cu_name_table_put(table, name, named)) {
		load->rules->heap.failed = true;
		return NULL;
	}
	return named;
}

static struct cu_rule *new_rule(struct cu_load *load, const struct cu_yaml *name)
{
	struct cu_rules *rules = load->rules;
	struct cu_rule *rule = new_named(load, name->text, &rules->rule_names, sizeof(*rule), (void **)&rules->rules,
	                                 &rules->cap_rules, rules->n_rules);
	if (rule) {
		*rule = (struct cu_rule){.name = name->text,
		                         .where = name,
		                         .layer = load->layer,
		                         .order = load->n_items,
		                         .enabled = true};
		rules->rules[rules->n_rules++] = rule;
	}
	return rule;
}

/* Whom a rule is about, and over how long. */
static bool take_about(struct cu_load *load, const struct cu_yaml *item, struct cu_rule *rule)
{
	enum { SHORTEST_NS = CU_NS_PER_MS };
	const struct cu_yaml *about = cu_yaml_find(item, "for"), *over = cu_yaml_find(item, "over");
	rule->about_wrong = about != NULL;
	if (about && !cu_load_is_scalar(load, about, "server or client")) {
		return false;
	}
	if (about && !cu_yaml_is(about, "server") && !cu_yaml_is(about, "client")) {
		cu_yaml_error(
			&load->rules->diag, about,
			"'%s' is none that a rule can be for; write server or client, or leave it out for transactions",
			about->text);
		return false;
	}
	rule->about_wrong = false;
	if (about) {
		rule->about = cu_yaml_is(about, "server") ? CU_ABOUT_SERVER : CU_ABOUT_CLIENT;
	}
	if (over && rule->about == CU_ABOUT_TRANSACTION) {
		cu_yaml_error(&load->rules->diag, over,
		              "over is a window of rules with 'for: server' or 'for: client'");
		return false;
	}
	if (!over) {
		return true;
	}
	if (!cu_load_duration(load, over, &rule->over_ns)) {
		return false;
	}
	if (rule->over_ns < SHORTEST_NS) {
		cu_yaml_error(&load->rules->diag, over, "a window of %s is too short; 1ms is the shortest", over->text);
		return false;
	}
	return true;
}

/* What a rule says of a verdict. */
static void take_verdict(struct cu_load *load, const struct cu_yaml *item, struct cu_rule *rule)
{
	const struct {
		const char *key;
		const struct cu_yaml **text;
	} texts[] = {{"output", &rule->output},
	             {"advice", &rule->advice},
	             {"blame", &rule->blame},
	             {"cause", &rule->cause},
	             {"confidence", &rule->confidence}};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const struct cu_yaml *text = take_text(load, item, texts[i].key);
		*texts[i].text = text ? text : *texts[i].text;
	}
}

void cu_load_rule(struct cu_load *load, const struct cu_yaml *item, enum cu_rule_kind kind)
{
	struct cu_rules *rules = load->rules;
	struct definition definition = {.what = kind == CU_RULE_BLAMES ? "rule" : "ignore", .part = "condition"};
	const struct cu_yaml *enabled = cu_yaml_find(item, "enabled");
	bool is_enabled = true;
	if (!take_definition(load, item, false, &definition) ||
	    (enabled && !cu_load_bool(load, enabled, &is_enabled))) {
		return;
	}
	const struct cu_yaml *name = definition.name, *condition = definition.content;
	struct cu_rule *rule = cu_name_table_get(&rules->rule_names, name->text, name->len);
	if (!may_define(load, &definition, rule ? rule->where : NULL, &rules->rule_names)) {
		return;
	}
	if (rule && rule->kind != kind && (!condition || definition.changes)) {
		bool ignores = rule->kind == CU_RULE_IGNORES;
		cu_yaml_error(&rules->diag, name, "'%s' is %s; what changes it begins with '%s'", name->text,
		              ignores ? "an ignore, not a rule" : "a rule, not an ignore", ignores ? "ignore" : "rule");
		return;
	}
	if (!rule) {
		rule = new_rule(load, name);
		if (!rule) {
			return;
		}
	} else if (condition && !definition.changes) { /* a whole new rule in the old one's place */
		*rule = (struct cu_rule){
			.name = rule->name, .where = name, .layer = rule->layer, .order = rule->order, .enabled = true};
	}
	if (condition) {
		rule->where = name;
		if (!change_fragments(load, &rule->condition, condition, definition.change, true)) {
			return;
		}
	}
	if (enabled) {
		rule->enabled = is_enabled;
	}
	rule->kind = kind;
	if (kind == CU_RULE_BLAMES && take_about(load, item, rule)) {
		take_verdict(load, item, rule);
	}
}

void cu_load_macro(struct cu_load *load, const struct cu_yaml *item)
{
	struct cu_rules *rules = load->rules;
	struct definition definition = {.what = "macro", .part = "condition"};
	if (!take_definition(load, item, true, &definition)) {
		return;
	}
	const struct cu_yaml *name = definition.name;
	struct cu_macro_def *macro = cu_name_table_get(&rules->macro_names, name->text, name->len);
	if (!may_define(load, &definition, macro ? macro->macro.where : NULL, &rules->macro_names)) {
		return;
	}
	if (!macro) {
		macro = new_named(load, name->text, &rules->macro_names, sizeof(*macro), (void **)&rules->macros,
		                  &rules->cap_macros, rules->n_macros);
		if (!macro) {
			return;
		}
		macro->macro.name = name->text;
		rules->macros[rules->n_macros++] = macro;
	}
	macro->macro.where = name;
	change_fragments(load, &macro->condition, definition.content, definition.change, true);
}

void cu_load_list(struct cu_load *load, const struct cu_yaml *item)
{
	struct cu_rules *rules = load->rules;
	struct definition definition = {.what = "list", .part = "items"};
	if (!take_definition(load, item, true, &definition)) {
		return;
	}
	const struct cu_yaml *name = definition.name;
	struct cu_list_def *list = cu_name_table_get(&rules->list_names, name->text, name->len);
	if (!may_define(load, &definition, list ? list->list.where : NULL, &rules->list_names)) {
		return;
	}
	if (!list) {
		list = new_named(load, name->text, &rules->list_names, sizeof(*list), (void **)&rules->lists,
		                 &rules->cap_lists, rules->n_lists);
		if (!list) {
			return;
		}
		list->list.name = name->text;
		rules->lists[rules->n_lists++] = list;
	}
	list->list.where = name;
	change_fragments(load, &list->items, definition.content, definition.change, false);
}
