/*
 * Rules files read into rules, macros, lists and the rest.
 */
#include "lib/rules/internal.h"

#include "lib/base/nearest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- tables of names ---- */

static struct cu_name_slot *find_slot(const struct cu_names_table *table, const char *name, size_t len)
{
	size_t at = (size_t)cu_hash_bytes(table->seed, name, len) & (table->n_slots - 1);
	while (table->slots[at].name &&
	       !(strlen(table->slots[at].name) == len && memcmp(table->slots[at].name, name, len) == 0)) {
		at = (at + 1) & (table->n_slots - 1);
	}
	return &table->slots[at];
}

void *cu_names_get(const struct cu_names_table *table, const char *name, size_t len)
{
	return table->n_slots > 0 ? find_slot(table, name, len)->value : NULL;
}

bool cu_names_put(struct cu_names_table *table, const char *name, void *value)
{
	if (table->n * 2 >= table->n_slots) {
		struct cu_names_table grown = {.n_slots = table->n_slots ? table->n_slots * 2 : 64,
		                               .seed = table->n_slots ? table->seed : cu_hash_seed_random()};
		grown.slots = calloc(grown.n_slots, sizeof(*grown.slots));
		if (!grown.slots) {
			return false;
		}
		for (size_t i = 0; i < table->n_slots; i++) {
			if (table->slots[i].name) {
				*find_slot(&grown, table->slots[i].name, strlen(table->slots[i].name)) =
					table->slots[i];
				grown.n++;
			}
		}
		free(table->slots);
		*table = grown;
	}
	struct cu_name_slot *slot = find_slot(table, name, strlen(name));
	table->n += slot->name == NULL;
	slot->name = name;
	slot->value = value;
	return true;
}

void cu_names_release(struct cu_names_table *table)
{
	free(table->slots);
	*table = (struct cu_names_table){0};
}

/* ---- the items of a file ---- */

enum item_kind { ITEM_RULE, ITEM_IGNORE, ITEM_MACRO, ITEM_LIST, ITEM_INCLUDE, ITEM_TESTS, ITEM_SETTINGS, N_ITEM_KINDS };

/* The keys of each kind of item; the first is what tells the kind. */
/* clang-format off */
static const char *const item_keys[N_ITEM_KINDS][16] = {
	[ITEM_RULE] = {"rule", "condition", "blame", "cause", "confidence", "output", "advice", "enabled", "append", "override",
	               "for", "over", "description", "tags"},
	[ITEM_IGNORE] = {"ignore", "condition", "enabled", "append", "override", "description", "tags"},
	[ITEM_MACRO] = {"macro", "condition", "append", "override", "description"},
	[ITEM_LIST] = {"list", "items", "append", "override", "description"},
	[ITEM_INCLUDE] = {"include"},
	[ITEM_TESTS] = {"tests"},
	[ITEM_SETTINGS] = {"slow", "services", "description"},
};
/* clang-format on */

static const char *const kind_words[N_ITEM_KINDS] = {"a rule",     "an ignore", "a macro", "a list",
                                                     "an include", "tests",     "settings"};

/* State of one file being read. */
struct file {
	struct cu_rules *rules;
	const struct cu_source *source;
	const char *path; /* where it lies; NULL for a text */
	unsigned layer;
	size_t n_items;
};

static bool out_of_memory(struct cu_rules *rules)
{
	rules->heap.failed = true;
	return false;
}

static bool want_scalar(struct file *file, const struct cu_yaml *node, const char *what)
{
	if (node->kind != CU_YAML_SCALAR) {
		cu_yaml_error(&file->rules->diag, node, "expected %s, found %s", what,
		              node->kind == CU_YAML_SEQUENCE ? "a list" : "a mapping");
		return false;
	}
	if (node->len == 0) {
		cu_yaml_error(&file->rules->diag, node, "nothing is here; expected %s", what);
		return false;
	}
	return true;
}

/* true or false, nothing else: YAML 1.1 has eleven ways to say each. */
static bool take_bool(struct file *file, const struct cu_yaml *node, bool *value)
{
	if (!want_scalar(file, node, "true or false")) {
		return false;
	}
	if (cu_yaml_is(node, "true") || cu_yaml_is(node, "false")) {
		*value = node->text[0] == 't';
		return true;
	}
	static const char *const yes[] = {"yes", "Yes", "YES", "on", "On", "ON", "y", "Y", "True", "TRUE", "1"};
	const char *meant = "true or false";
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		meant = cu_yaml_is(node, yes[i]) ? "true" : meant;
	}
	static const char *const no[] = {"no", "No", "NO", "off", "Off", "OFF", "n", "N", "False", "FALSE", "0"};
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		meant = cu_yaml_is(node, no[i]) ? "false" : meant;
	}
	cu_yaml_error(&file->rules->diag, node, "'%s' is not true or false; write %s", node->text, meant);
	return false;
}

static bool take_duration(struct file *file, const struct cu_yaml *node, int64_t *ns)
{
	if (!want_scalar(file, node, "a duration")) {
		return false;
	}
	if (!cu_parse_duration(node->text, ns) || *ns <= 0) {
		cu_yaml_error(&file->rules->diag, node, "'%s' is no duration above zero; write it as 200ms, 1s or 2m",
		              node->text);
		return false;
	}
	return true;
}

static bool take_name(struct file *file, const struct cu_yaml *node, bool identifier)
{
	if (!want_scalar(file, node, "a name")) {
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
		cu_yaml_error(&file->rules->diag, node,
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
		cu_yaml_error(&file->rules->diag, node, "'%s' is %s already", node->text, taken ? taken : "a function");
		return false;
	}
	return true;
}

/* The kind of an item, by its keys; N_ITEM_KINDS when it is none. */
static enum item_kind kind_of(const struct cu_yaml *item)
{
	for (size_t kind = 0; kind < N_ITEM_KINDS; kind++) {
		if (cu_yaml_find(item, item_keys[kind][0]) ||
		    (kind == ITEM_SETTINGS && cu_yaml_find(item, "services"))) {
			return (enum item_kind)kind;
		}
	}
	return N_ITEM_KINDS;
}

static void unknown_kind(struct file *file, const struct cu_yaml *item)
{
	const struct cu_yaml *key = item->child ? item->child->key : item;
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, key->text ? key->text : "", key->text ? key->len : 0);
	for (size_t kind = 0; kind < N_ITEM_KINDS; kind++) {
		cu_nearest_try(&nearest, item_keys[kind][0]);
	}
	cu_nearest_try(&nearest, "services");
	if (nearest.name) {
		cu_yaml_error(&file->rules->diag, key, "unknown key '%s'; did you mean '%s'?", key->text, nearest.name);
	} else {
		cu_yaml_error(
			&file->rules->diag, key,
			"an item is a rule, macro, list, ignore, include, tests, slow or services; this is none of them");
	}
}

static void check_keys(struct file *file, const struct cu_yaml *item, enum item_kind kind)
{
	for (const struct cu_yaml *child = item->child; child; child = child->next) {
		bool known = false;
		for (const char *const *key = item_keys[kind]; *key; key++) {
			known = known || cu_yaml_is(child->key, *key);
		}
		if (known) {
			continue;
		}
		struct cu_nearest nearest;
		cu_nearest_begin(&nearest, child->key->text, child->key->len);
		for (const char *const *key = item_keys[kind]; *key; key++) {
			cu_nearest_try(&nearest, *key);
		}
		if (nearest.name) {
			cu_yaml_error(&file->rules->diag, child->key, "%s has no key '%s'; did you mean '%s'?",
			              kind_words[kind], child->key->text, nearest.name);
		} else {
			cu_yaml_error(&file->rules->diag, child->key, "%s has no key '%s'", kind_words[kind],
			              child->key->text);
		}
	}
}

/* How a key of an item changes what has the item's name already. */
enum change { CHANGE_REPLACE, CHANGE_APPEND };

/* What the override mapping and append say; *any tells whether there is either. */
static bool take_changes(struct file *file, const struct cu_yaml *item, const char *part, enum change *change,
                         bool *any)
{
	const struct cu_yaml *append = cu_yaml_find(item, "append"), *override = cu_yaml_find(item, "override");
	bool good = true, appends = false;
	*change = CHANGE_REPLACE;
	*any = append || override;
	if (append) {
		good = take_bool(file, append, &appends);
		*change = appends ? CHANGE_APPEND : CHANGE_REPLACE;
		*any = override || appends;
	}
	if (!override) {
		return good;
	}
	if (override->kind != CU_YAML_MAPPING) {
		cu_yaml_error(&file->rules->diag, override, "override says for each key: append or replace");
		return false;
	}
	for (const struct cu_yaml *child = override->child; child; child = child->next) {
		bool is_part = cu_yaml_is(child->key, part);
		if (!cu_yaml_find(item, child->key->text)) {
			cu_yaml_error(&file->rules->diag, child->key, "override names '%s', which is not given here",
			              child->key->text);
			good = false;
		} else if (cu_yaml_is(child, "append") && is_part) {
			*change = CHANGE_APPEND;
		} else if (cu_yaml_is(child, "append")) {
			cu_yaml_error(&file->rules->diag, child, "'%s' cannot be appended to; write replace",
			              child->key->text);
			good = false;
		} else if (!cu_yaml_is(child, "replace")) {
			cu_yaml_error(&file->rules->diag, child, "expected append or replace");
			good = false;
		}
	}
	return good;
}

/* Makes node the content of *fragments, or appends it. */
static bool change_fragments(struct file *file, struct cu_fragment **fragments, const struct cu_yaml *node,
                             enum change change, bool is_condition)
{
	struct cu_fragment *fragment = cu_heap_get(&file->rules->heap, sizeof(*fragment));
	if (!fragment) {
		return false;
	}
	fragment->node = node;
	if (change == CHANGE_REPLACE || !*fragments) {
		*fragments = fragment;
		return true;
	}
	if (is_condition) {
		struct cu_lexer lexer = {.text = node->text, .len = node->len};
		struct cu_token token;
		cu_lexer_next(&lexer, &token);
		if (token.kind != CU_TOKEN_AND && token.kind != CU_TOKEN_OR) {
			cu_yaml_error_at(&file->rules->diag, node, 0, 1,
			                 "what is appended to a condition begins with 'and' or 'or'");
			return false;
		}
		fragment->join = token.kind;
		fragment->skip = lexer.at;
	}
	struct cu_fragment *last = *fragments;
	while (last->next) {
		last = last->next;
	}
	last->next = fragment;
	return true;
}

static void missing(struct file *file, const struct cu_yaml *name, const char *what, const char *key)
{
	cu_yaml_error(&file->rules->diag, name, "%s '%s' has no %s", what, name->text, key);
}

static unsigned line_of(const struct cu_yaml *node)
{
	return (unsigned)cu_source_line(node->source, node->offset) + 1;
}

/*
 * Whether a second definition is all right: not in one file, unless it says
 * that it changes the first.
 */
static bool check_again(struct file *file, const struct cu_yaml *name, const struct cu_yaml *before, bool changes,
                        const char *what)
{
	if (before->source == name->source && !changes) {
		cu_yaml_error(&file->rules->diag, name, "%s '%s' is defined twice; the first is on line %u", what,
		              name->text, line_of(before));
		return false;
	}
	return true;
}

static bool changes_nothing(struct file *file, const struct cu_yaml *name, bool changes, const char *what)
{
	if (changes) {
		cu_yaml_error(&file->rules->diag, name, "there is no %s '%s' to change", what, name->text);
	}
	return !changes;
}

static const struct cu_yaml *take_text(struct file *file, const struct cu_yaml *item, const char *key)
{
	const struct cu_yaml *node = cu_yaml_find(item, key);
	return node && want_scalar(file, node, "a text") ? node : NULL;
}

/* Puts a rule of the name into the set: one that is there, or a new one. */
static struct cu_rule *new_rule(struct file *file, const struct cu_yaml *name)
{
	struct cu_rules *rules = file->rules;
	struct cu_rule *rule = cu_heap_get(&rules->heap, sizeof(*rule));
	if (!rule || !cu_grow((void **)&rules->rules, &rules->cap_rules, rules->n_rules, sizeof(*rules->rules)) ||
	    !cu_names_put(&rules->rule_names, name->text, rule)) {
		out_of_memory(rules);
		return NULL;
	}
	rule->name = name->text;
	rule->where = name;
	rule->layer = file->layer;
	rule->order = file->n_items;
	rules->rules[rules->n_rules++] = rule;
	return rule;
}

/* Whom a rule is about, and over how long. */
static bool take_about(struct file *file, const struct cu_yaml *item, struct cu_rule *rule)
{
	enum { SHORTEST_NS = CU_NS_PER_MS };
	const struct cu_yaml *about = cu_yaml_find(item, "for"), *over = cu_yaml_find(item, "over");
	if (about && !want_scalar(file, about, "server or client")) {
		return false;
	}
	if (about && !cu_yaml_is(about, "server") && !cu_yaml_is(about, "client")) {
		cu_yaml_error(
			&file->rules->diag, about,
			"'%s' is none that a rule can be for; write server or client, or leave it out for transactions",
			about->text);
		return false;
	}
	if (about) {
		rule->about = cu_yaml_is(about, "server") ? CU_ABOUT_SERVER : CU_ABOUT_CLIENT;
	}
	if (over && rule->about == CU_ABOUT_TRANSACTION) {
		cu_yaml_error(&file->rules->diag, over,
		              "over is a window of rules with 'for: server' or 'for: client'");
		return false;
	}
	if (!over) {
		return true;
	}
	if (!take_duration(file, over, &rule->over_ns)) {
		return false;
	}
	if (rule->over_ns < SHORTEST_NS) {
		cu_yaml_error(&file->rules->diag, over, "a window of %s is too short; 1ms is the shortest", over->text);
		return false;
	}
	return true;
}

static void take_rule(struct file *file, const struct cu_yaml *item, enum item_kind kind)
{
	const char *what = kind == ITEM_RULE ? "rule" : "ignore";
	const struct cu_yaml *name = cu_yaml_find(item, what);
	const struct cu_yaml *condition = cu_yaml_find(item, "condition"), *enabled = cu_yaml_find(item, "enabled");
	enum change change;
	bool changes, is_enabled = true;
	if (!take_name(file, name, false) || !take_changes(file, item, "condition", &change, &changes)) {
		return;
	}
	if (condition && !want_scalar(file, condition, "a condition")) {
		return;
	}
	if (enabled && !take_bool(file, enabled, &is_enabled)) {
		return;
	}
	struct cu_rule *rule = cu_names_get(&file->rules->rule_names, name->text, name->len);
	if (rule && !check_again(file, name, rule->where, changes, what)) {
		return;
	}
	if (!rule) {
		if (!changes_nothing(file, name, changes, what)) {
			return;
		}
		if (!condition) {
			missing(file, name, what, "condition");
			return;
		}
		rule = new_rule(file, name);
		if (!rule) {
			return;
		}
	} else if (condition && !changes) { /* a whole new rule in the old one's place */
		*rule = (struct cu_rule){.name = rule->name, .where = name, .layer = rule->layer, .order = rule->order};
	}
	if (condition) {
		rule->where = name;
		rule->enabled = true;
		if (!change_fragments(file, &rule->condition, condition, change, true)) {
			return;
		}
	}
	if (enabled) {
		rule->enabled = is_enabled;
	}
	rule->kind = kind == ITEM_RULE ? CU_RULE_BLAMES : CU_RULE_IGNORES;
	if (kind != ITEM_RULE || !take_about(file, item, rule)) {
		return;
	}
	const struct cu_yaml **const texts[] = {&rule->output, &rule->advice, &rule->blame, &rule->cause,
	                                        &rule->confidence};
	static const char *const keys[] = {"output", "advice", "blame", "cause", "confidence"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const struct cu_yaml *text = take_text(file, item, keys[i]);
		if (text) {
			*texts[i] = text;
		}
	}
}

static void take_macro(struct file *file, const struct cu_yaml *item)
{
	struct cu_rules *rules = file->rules;
	const struct cu_yaml *name = cu_yaml_find(item, "macro"), *condition = cu_yaml_find(item, "condition");
	enum change change;
	bool changes;
	if (!take_name(file, name, true) || !take_changes(file, item, "condition", &change, &changes)) {
		return;
	}
	if (!condition) {
		missing(file, name, "macro", "condition");
		return;
	}
	if (!want_scalar(file, condition, "a condition")) {
		return;
	}
	struct cu_macro_def *macro = cu_names_get(&rules->macro_names, name->text, name->len);
	if (macro && !check_again(file, name, macro->macro.where, changes, "macro")) {
		return;
	}
	if (!macro) {
		if (!changes_nothing(file, name, changes, "macro")) {
			return;
		}
		macro = cu_heap_get(&rules->heap, sizeof(*macro));
		if (!macro ||
		    !cu_grow((void **)&rules->macros, &rules->cap_macros, rules->n_macros, sizeof(*rules->macros)) ||
		    !cu_names_put(&rules->macro_names, name->text, macro)) {
			out_of_memory(rules);
			return;
		}
		macro->macro.name = name->text;
		rules->macros[rules->n_macros++] = macro;
	}
	macro->macro.where = name;
	change_fragments(file, &macro->condition, condition, change, true);
}

static void take_list(struct file *file, const struct cu_yaml *item)
{
	struct cu_rules *rules = file->rules;
	const struct cu_yaml *name = cu_yaml_find(item, "list"), *items = cu_yaml_find(item, "items");
	enum change change;
	bool changes;
	if (!take_name(file, name, true) || !take_changes(file, item, "items", &change, &changes)) {
		return;
	}
	if (!items) {
		missing(file, name, "list", "items");
		return;
	}
	if (items->kind != CU_YAML_SEQUENCE) {
		cu_yaml_error(&rules->diag, items, "items are a list: [80, 443], or one a line after a dash");
		return;
	}
	struct cu_list_def *list = cu_names_get(&rules->list_names, name->text, name->len);
	if (list && !check_again(file, name, list->list.where, changes, "list")) {
		return;
	}
	if (!list) {
		if (!changes_nothing(file, name, changes, "list")) {
			return;
		}
		list = cu_heap_get(&rules->heap, sizeof(*list));
		if (!list ||
		    !cu_grow((void **)&rules->lists, &rules->cap_lists, rules->n_lists, sizeof(*rules->lists)) ||
		    !cu_names_put(&rules->list_names, name->text, list)) {
			out_of_memory(rules);
			return;
		}
		list->list.name = name->text;
		rules->lists[rules->n_lists++] = list;
	}
	list->list.where = name;
	change_fragments(file, &list->items, items, change, false);
}

/* ---- thresholds and services ---- */

/* A threshold, and a warning of one that cannot be meant. */
static bool take_threshold(struct file *file, const struct cu_yaml *node, int64_t *ns)
{
	if (!take_duration(file, node, ns)) {
		return false;
	}
	if (*ns < CU_NS_PER_US || *ns > (86400 * CU_NS_PER_S)) {
		cu_yaml_warn_at(&file->rules->diag, node, 0, node->len,
		                "with a threshold of %s %s is slow; ms is meant?", node->text,
		                *ns < CU_NS_PER_US ? "everything" : "nothing");
	}
	return true;
}

static bool take_slow(struct file *file, const struct cu_yaml *node, struct cu_slow *slow)
{
	if (node->kind == CU_YAML_SCALAR) {
		return take_threshold(file, node, &slow->ns[CU_TXN_NONE]);
	}
	if (node->kind == CU_YAML_SEQUENCE) {
		cu_yaml_error(&file->rules->diag, node,
		              "expected a duration, or a mapping of kinds of transaction to durations");
		return false;
	}
	bool good = true;
	for (const struct cu_yaml *child = node->child; child; child = child->next) {
		int kind = cu_yaml_is(child->key, "default")
		                   ? CU_TXN_NONE
		                   : cu_names_find(&cu_txn_kind_names, child->key->text, child->key->len);
		if (kind < 0 || (kind == CU_TXN_NONE && !cu_yaml_is(child->key, "default"))) {
			cu_yaml_error(
				&file->rules->diag, child->key,
				"'%s' is no kind of transaction; there are default, connect, greeting, tls-handshake, request, close",
				child->key->text);
			good = false;
		} else {
			good = take_threshold(file, child, &slow->ns[kind]) && good;
		}
	}
	return good;
}

/* Calls take for a scalar, or each of a sequence of them. */
static bool for_each(struct file *file, const struct cu_yaml *node, const char *what, struct cu_service *service,
                     bool (*take)(struct file *, const struct cu_yaml *, struct cu_service *))
{
	if (node->kind != CU_YAML_SEQUENCE) {
		return want_scalar(file, node, what) && take(file, node, service);
	}
	bool good = true;
	for (const struct cu_yaml *child = node->child; child; child = child->next) {
		good = want_scalar(file, child, what) && take(file, child, service) && good;
	}
	return good;
}

static bool add_port_range(struct file *file, struct cu_service *service, double low, double high)
{
	struct cu_range *ports = cu_heap_get(&file->rules->heap, (service->n_ports + 1) * sizeof(*ports));
	if (!ports) {
		return false;
	}
	if (service->n_ports > 0) {
		memcpy(ports, service->ports, service->n_ports * sizeof(*ports));
	}
	ports[service->n_ports++] = (struct cu_range){low, high};
	service->ports = ports;
	return true;
}

static bool parse_ports(const char *text, size_t len, double *low, double *high)
{
	char copy[16];
	uint64_t first, last;
	if (len == 0 || len >= sizeof(copy)) {
		return false;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	char *dash = strchr(copy, '-');
	if (dash) {
		*dash = '\0';
	}
	if (!cu_parse_u64(copy, UINT16_MAX, &first)) {
		return false;
	}
	last = first;
	if (dash && !cu_parse_u64(dash + 1, UINT16_MAX, &last)) {
		return false;
	}
	*low = (double)first;
	*high = (double)last;
	return first <= last;
}

static bool take_port(struct file *file, const struct cu_yaml *node, struct cu_service *service)
{
	double low, high;
	if (!parse_ports(node->text, node->len, &low, &high)) {
		cu_yaml_error(&file->rules->diag, node, "'%s' is no port; write 8080 or 8000-8099", node->text);
		return false;
	}
	return add_port_range(file, service, low, high);
}

static bool add_network(struct file *file, struct cu_service *service, struct cu_network network)
{
	struct cu_network *networks = cu_heap_get(&file->rules->heap, (service->n_networks + 1) * sizeof(*networks));
	if (!networks) {
		return false;
	}
	if (service->n_networks > 0) {
		memcpy(networks, service->networks, service->n_networks * sizeof(*networks));
	}
	networks[service->n_networks++] = network;
	service->networks = networks;
	return true;
}

static bool take_host(struct file *file, const struct cu_yaml *node, struct cu_service *service)
{
	struct cu_network network = {.prefix = 0};
	if (!cu_parse_network(node->text, node->len, &network.addr, &network.prefix)) {
		cu_yaml_error(&file->rules->diag, node,
		              "'%s' is no address or network; write 10.0.0.5, 10.0.0.0/8 or 2001:db8::/32", node->text);
		return false;
	}
	return add_network(file, service, network);
}

/*
 * A key of services that is an endpoint pattern: 10.0.0.0/8:8080, 10.0.0.5,
 * [2001:db8::/32]:443, *:8080. False when it is a name; *wrong when it is
 * neither.
 */
static bool take_pattern(struct file *file, const struct cu_yaml *key, struct cu_service *service, bool *wrong)
{
	const char *text = key->text, *colon = strrchr(text, ':');
	size_t len = key->len, addr_len = len;
	double low, high;
	bool many_colons = colon && strchr(text, ':') != colon;
	*wrong = false;
	if (!colon && !strchr(text, '/') && !(text[0] >= '0' && text[0] <= '9')) {
		return false;
	}
	struct cu_network network = {.prefix = 0};
	if (colon && (!many_colons || (text[0] == '[' && colon[-1] == ']'))) {
		addr_len = (size_t)(colon - text);
		if (!parse_ports(colon + 1, len - addr_len - 1, &low, &high)) {
			cu_yaml_error_at(&file->rules->diag, key, addr_len + 1, len - addr_len,
			                 "expected a port behind the colon: 8080 or 8000-8099");
			*wrong = true;
			return true;
		}
		*wrong = !add_port_range(file, service, low, high);
	}
	if (text[0] == '[' && addr_len > 2) {
		text++;
		addr_len -= 2;
	}
	if (addr_len == 1 && text[0] == '*') {
		return true;
	}
	if (!cu_parse_network(text, addr_len, &network.addr, &network.prefix)) {
		cu_yaml_error(
			&file->rules->diag, key,
			"'%s' is no name of a service and no endpoint; write postgresql, 10.0.0.0/8:8080 or [2001:db8::/32]:443",
			key->text);
		*wrong = true;
		return true;
	}
	*wrong = !add_network(file, service, network) || *wrong;
	return true;
}

static bool take_service_keys(struct file *file, const struct cu_yaml *node, struct cu_service *service)
{
	static const char *const keys[] = {"port", "ports", "host", "hosts", "slow"};
	bool good = true, ports = false, hosts = false;
	for (const struct cu_yaml *child = node->child; child; child = child->next) {
		const struct cu_yaml *key = child->key;
		if (cu_yaml_is(key, "slow")) {
			service->slow = (struct cu_slow){{0}};
			good = take_slow(file, child, &service->slow) && good;
		} else if (cu_yaml_is(key, "port") || cu_yaml_is(key, "ports")) {
			service->n_ports = ports ? service->n_ports : 0;
			ports = true;
			good = for_each(file, child, "a port", service, take_port) && good;
		} else if (cu_yaml_is(key, "host") || cu_yaml_is(key, "hosts")) {
			service->n_networks = hosts ? service->n_networks : 0;
			hosts = true;
			good = for_each(file, child, "an address", service, take_host) && good;
		} else {
			struct cu_nearest nearest;
			cu_nearest_begin(&nearest, key->text, key->len);
			for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
				cu_nearest_try(&nearest, keys[i]);
			}
			cu_yaml_error(&file->rules->diag, key, "a service has no key '%s'; %s%s%s", key->text,
			              nearest.name ? "did you mean '" : "there are ",
			              nearest.name ? nearest.name : "ports, hosts and slow", nearest.name ? "'?" : "");
			good = false;
		}
	}
	return good;
}

static void take_service(struct file *file, const struct cu_yaml *node)
{
	struct cu_rules *rules = file->rules;
	const struct cu_yaml *key = node->key;
	struct cu_services *services = &rules->services;
	if (key->len == 0) {
		cu_yaml_error(&rules->diag, key, "a service without a name");
		return;
	}
	struct cu_service *service = cu_names_get(&rules->service_names, key->text, key->len);
	if (!service) {
		bool wrong = false;
		service = cu_heap_get(&rules->heap, sizeof(*service));
		if (!service) {
			return;
		}
		service->name = (struct cu_text){key->text, (uint32_t)key->len};
		service->nameless = take_pattern(file, key, service, &wrong);
		if (wrong) {
			return;
		}
		if (!cu_grow((void **)&services->items, &services->cap, services->n, sizeof(*services->items)) ||
		    !cu_names_put(&rules->service_names, key->text, service)) {
			out_of_memory(rules);
			return;
		}
		services->items[services->n++] = service;
	}
	bool good = node->kind == CU_YAML_MAPPING && !service->nameless ? take_service_keys(file, node, service)
	                                                                : take_slow(file, node, &service->slow);
	if (good && !service->nameless && service->n_ports + service->n_networks == 0 &&
	    !cu_port_name_known(service->name.data, service->name.len)) {
		struct cu_nearest nearest;
		cu_nearest_begin(&nearest, key->text, key->len);
		for (unsigned port = 0; port <= UINT16_MAX; port++) {
			const char *name = cu_port_name(port);
			if (name) {
				cu_nearest_try(&nearest, name);
			}
		}
		if (nearest.name) {
			cu_yaml_error(&rules->diag, key,
			              "no service is known as '%s'; did you mean '%s'? Or give it ports or hosts",
			              key->text, nearest.name);
		} else {
			cu_yaml_error(&rules->diag, key, "no service is known as '%s'; give it ports or hosts",
			              key->text);
		}
	}
}

static void take_settings(struct file *file, const struct cu_yaml *item)
{
	const struct cu_yaml *slow = cu_yaml_find(item, "slow"), *services = cu_yaml_find(item, "services");
	if (slow) {
		take_slow(file, slow, &file->rules->services.slow);
	}
	if (!services) {
		return;
	}
	if (services->kind != CU_YAML_MAPPING) {
		cu_yaml_error(&file->rules->diag, services, "services are a mapping: {postgresql: 200ms}");
		return;
	}
	for (const struct cu_yaml *child = services->child; child; child = child->next) {
		take_service(file, child);
	}
}

/* ---- tests ---- */

static void take_tests(struct file *file, const struct cu_yaml *item)
{
	struct cu_rules *rules = file->rules;
	const struct cu_yaml *tests = cu_yaml_find(item, "tests");
	if (tests->kind != CU_YAML_SEQUENCE) {
		cu_yaml_error(&rules->diag, tests, "tests are a list, each with given and expect");
		return;
	}
	for (const struct cu_yaml *node = tests->child; node; node = node->next) {
		struct cu_test *test = cu_heap_get(&rules->heap, sizeof(*test));
		if (!test) {
			return;
		}
		test->node = node;
		test->name = "";
		const struct cu_yaml *name = NULL;
		for (const struct cu_yaml *child = node->kind == CU_YAML_MAPPING ? node->child : NULL; child;
		     child = child->next) {
			if (cu_yaml_is(child->key, "given") && child->kind == CU_YAML_MAPPING) {
				test->given = child;
			} else if (cu_yaml_is(child->key, "expect") && child->kind == CU_YAML_MAPPING) {
				test->expect = child;
			} else if (cu_yaml_is(child->key, "test") && want_scalar(file, child, "a name")) {
				name = child;
				test->name = child->text;
			} else {
				cu_yaml_error(
					&rules->diag, child->key,
					"a test has the keys test (its name), given and expect, the last two mappings");
			}
		}
		if (!name || !test->given || !test->expect) {
			cu_yaml_error(&rules->diag, node, "a test has the keys test (its name), given and expect");
			continue;
		}
		*rules->tests_tail = test;
		rules->tests_tail = &test->next;
		rules->n_tests++;
	}
}

/* ---- files ---- */

static int add_path(struct cu_rules *rules, const char *path, struct cu_fault *fault,
                    const struct cu_yaml *included_at);

/* A path in an include is relative to the file that has it. */
static void take_include(struct file *file, const struct cu_yaml *item)
{
	struct cu_rules *rules = file->rules;
	const struct cu_yaml *include = cu_yaml_find(item, "include");
	const struct cu_yaml *node = include->kind == CU_YAML_SEQUENCE ? include->child : include;
	for (; node; node = include->kind == CU_YAML_SEQUENCE ? node->next : NULL) {
		char path[PATH_MAX];
		if (!want_scalar(file, node, "the path of a file")) {
			continue;
		}
		const char *slash = file->path ? strrchr(file->path, '/') : NULL;
		int folder = slash && node->text[0] != '/' ? (int)(slash - file->path) + 1 : 0;
		if (snprintf(path, sizeof(path), "%.*s%s", folder, file->path ? file->path : "", node->text) >=
		    (int)sizeof(path)) {
			cu_yaml_error(&rules->diag, node, "the path is too long");
			continue;
		}
		struct cu_fault fault = {0};
		int error = add_path(rules, path, &fault, node);
		if (error == CU_ERR_IO) {
			cu_yaml_error(&rules->diag, node, "%s", fault.text);
		}
	}
}

static void take_item(struct file *file, const struct cu_yaml *item)
{
	if (item->kind != CU_YAML_MAPPING) {
		cu_yaml_error(
			&file->rules->diag, item,
			"an item is a mapping that begins with rule, macro, list, ignore, include, tests, slow or services");
		return;
	}
	enum item_kind kind = kind_of(item);
	if (kind == N_ITEM_KINDS) {
		unknown_kind(file, item);
		return;
	}
	check_keys(file, item, kind);
	file->n_items++;
	switch (kind) {
	case ITEM_RULE:
	case ITEM_IGNORE:
		take_rule(file, item, kind);
		break;
	case ITEM_MACRO:
		take_macro(file, item);
		break;
	case ITEM_LIST:
		take_list(file, item);
		break;
	case ITEM_TESTS:
		take_tests(file, item);
		break;
	case ITEM_SETTINGS:
		take_settings(file, item);
		break;
	case ITEM_INCLUDE: /* was read before the others */
	case N_ITEM_KINDS:
	default:
		break;
	}
}

static int add_source(struct cu_rules *rules, const char *name, const char *path, const char *text, size_t len)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	if (len >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
		text += 3;
		len -= 3;
	}
	size_t errors = rules->diag.n_errors;
	struct file file = {.rules = rules, .path = path};
	if (len > CU_RULES_FILE_CAP) {
		cu_diag_error(&rules->diag, NULL, 0, 0, "%s: the file has %zu bytes; at most %d are taken", name, len,
		              CU_RULES_FILE_CAP);
		return CU_ERR_RULES;
	}
	file.source = cu_source_new(&rules->heap, name, text, len, ++rules->n_sources);
	if (!file.source) {
		return CU_ERR_NOMEM;
	}
	struct cu_yaml *root = cu_yaml_parse(file.source, &rules->diag);
	if (root && root->kind != CU_YAML_SEQUENCE) {
		cu_yaml_error(&rules->diag, root,
		              "a rules file is a list: each item begins with a dash, as in '- rule: name'");
		root = NULL;
	}
	/* What a file includes lies below it. */
	for (const struct cu_yaml *item = root ? root->child : NULL; item; item = item->next) {
		if (item->kind == CU_YAML_MAPPING && kind_of(item) == ITEM_INCLUDE) {
			take_include(&file, item);
		}
	}
	file.layer = rules->n_layers++;
	for (const struct cu_yaml *item = root ? root->child : NULL; item; item = item->next) {
		take_item(&file, item);
	}
	if (rules->heap.failed) {
		return CU_ERR_NOMEM;
	}
	return rules->diag.n_errors > errors ? CU_ERR_RULES : 0;
}

/* The whole of a file; the caller frees *text. */
static int read_file(int fd, const char *path, char **text, size_t *len, struct cu_fault *fault)
{
	size_t cap = 0;
	*text = NULL;
	*len = 0;
	for (;;) {
		if (*len == cap) {
			size_t more = cap ? cap * 2 : 65536;
			char *grown = realloc(*text, more);
			if (!grown) {
				return CU_ERR_NOMEM;
			}
			*text = grown;
			cap = more;
		}
		ssize_t n = read(fd, *text + *len, cap - *len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return cu_fault_set_errno(fault, errno, "%s", path);
		}
		if (n == 0) {
			return 0;
		}
		*len += (size_t)n;
		if (*len > CU_RULES_FILE_CAP) { /* add_source says so */
			return 0;
		}
	}
}

static int is_rules_file(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');
	return dot && dot != entry->d_name && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(struct cu_rules *rules, const char *path, struct cu_fault *fault,
                         const struct cu_yaml *included_at)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_rules_file, by_name);
	if (n < 0) {
		return cu_fault_set_errno(fault, errno, "%s", path);
	}
	int result = 0;
	if (n == 0) {
		cu_fault_set(fault, CU_ERR_IO, "%s: the directory has no *.yaml or *.yml file", path);
		result = CU_ERR_IO;
	}
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];
		if (result != CU_ERR_NOMEM && result != CU_ERR_IO) {
			if (snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name) >= (int)sizeof(file)) {
				cu_fault_set(fault, CU_ERR_IO, "%s/%s: the path is too long", path, entries[i]->d_name);
				result = CU_ERR_IO;
			} else {
				int error = add_path(rules, file, fault, included_at);
				result = error ? error : result;
			}
		}
		free(entries[i]);
	}
	free(entries);
	return result;
}

static int add_path(struct cu_rules *rules, const char *path, struct cu_fault *fault, const struct cu_yaml *included_at)
{
	struct stat st;
	bool is_stdin = strcmp(path, "-") == 0 && !included_at;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		return cu_fault_set_errno(fault, errno, "%s", path);
	}
	if (S_ISDIR(st.st_mode)) {
		close(fd);
		return add_directory(rules, path, fault, included_at);
	}
	int result = 0;
	for (unsigned i = 0; included_at && i < rules->include_depth; i++) {
		if (rules->opened[i].device == st.st_dev && rules->opened[i].inode == st.st_ino) {
			cu_yaml_error(&rules->diag, included_at, "%s includes itself", path);
			result = CU_ERR_RULES;
			break;
		}
	}
	if (result == 0 && rules->include_depth == CU_INCLUDE_DEPTH_CAP) {
		cu_yaml_error(&rules->diag, included_at, "files include files more than %d deep", CU_INCLUDE_DEPTH_CAP);
		result = CU_ERR_RULES;
	}
	if (result == 0 && rules->n_sources == CU_RULES_SOURCE_CAP) {
		result = cu_fault_set(fault, CU_ERR_IO, "%s: more than %d rules files", path, CU_RULES_SOURCE_CAP);
	}
	char *text = NULL;
	if (result == 0) {
		size_t len;
		result = read_file(fd, path, &text, &len, fault);
		if (result == 0) {
			rules->opened[rules->include_depth++] = (struct cu_opened){st.st_dev, st.st_ino};
			result = add_source(rules, is_stdin ? "standard input" : path, is_stdin ? NULL : path, text,
			                    len);
			rules->include_depth--;
		}
	}
	free(text);
	if (!is_stdin) {
		close(fd);
	}
	return result;
}

int cu_rules_add_file(struct cu_rules *rules, const char *path, struct cu_fault *fault)
{
	return add_path(rules, path, fault, NULL);
}

int cu_rules_add_text(struct cu_rules *rules, const char *name, const char *text, size_t len)
{
	return add_source(rules, name, name, text, len);
}

int cu_rules_add_default(struct cu_rules *rules)
{
	return add_source(rules, "default.yaml", NULL, cu_rules_default, cu_rules_default_len);
}
