/*
 * Rules files read: their items given to who understands them, and what they
 * include read first.
 */
#include "lib/rules/load.h"

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

/* ---- values ---- */

bool cu_load_is_scalar(struct cu_load *load, const struct cu_yaml *node, const char *what)
{
	struct cu_diag *diag = &load->rules->diag;
	if (node->kind != CU_YAML_SCALAR) {
		cu_yaml_error(diag, node, "expected %s, found %s", what,
		              node->kind == CU_YAML_SEQUENCE ? "a list" : "a mapping");
		return false;
	}
	if (node->len > 0) {
		return true;
	}
	size_t left = strcspn(node->source->text + node->offset, "#\r\n");
	bool comment = node->style == CU_YAML_PLAIN && node->source->text[node->offset + left] == '#';
	cu_yaml_error(diag, node, "nothing is here; expected %s%s", what,
	              comment ? "; to YAML a # begins a comment: put a text that has one in quotes" : "");
	return false;
}

bool cu_load_bool(struct cu_load *load, const struct cu_yaml *node, bool *value)
{
	static const char *const yes[] = {"yes", "Yes", "YES", "on", "On", "ON", "y", "Y", "True", "TRUE", "1"};
	static const char *const no[] = {"no", "No", "NO", "off", "Off", "OFF", "n", "N", "False", "FALSE", "0"};
	if (!cu_load_is_scalar(load, node, "true or false")) {
		return false;
	}
	if (cu_yaml_is(node, "true") || cu_yaml_is(node, "false")) {
		*value = node->text[0] == 't';
		return true;
	}
	const char *meant = "true or false";
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		meant = cu_yaml_is(node, yes[i]) ? "true" : cu_yaml_is(node, no[i]) ? "false" : meant;
	}
	cu_yaml_error(&load->rules->diag, node, "'%s' is not true or false; write %s", node->text, meant);
	return false;
}

bool cu_load_duration(struct cu_load *load, const struct cu_yaml *node, int64_t *ns)
{
	if (!cu_load_is_scalar(load, node, "a duration")) {
		return false;
	}
	if (cu_parse_duration(node->text, ns) && *ns > 0) {
		return true;
	}
	struct cu_diag *diag = &load->rules->diag;
	struct cu_lexer lexer = {.text = node->text, .len = node->len};
	struct cu_token number, unit;
	cu_lexer_next(&lexer, &number);
	cu_lexer_next(&lexer, &unit);
	const char *meant = unit.kind == CU_TOKEN_NAME ? cu_unit_meant(node->text + unit.start, unit.len) : NULL;
	bool bare = number.kind == CU_TOKEN_NUMBER && number.bare && number.number > 0;
	if (number.kind == CU_TOKEN_ERROR && number.len == node->len) {
		cu_yaml_error(diag, node, "%s", number.message);
	} else if (bare && meant) {
		cu_yaml_error(diag, node, "a unit stands directly behind its number: %.*s%s", (int)number.len,
		              node->text, meant);
	} else if (bare && unit.kind == CU_TOKEN_END) {
		cu_yaml_error(diag, node, "'%s' lacks a unit; write %sms or %ss", node->text, node->text, node->text);
	} else {
		cu_yaml_error(diag, node, "'%s' is no duration above zero; write it as 200ms, 1s or 2m", node->text);
	}
	return false;
}

/* ---- items ---- */

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

static const char *const kind_words[N_ITEM_KINDS] = {
	"a rule has",     "an ignore has", "a macro has",           "a list has",
	"an include has", "tests have",    "slow and services have"};

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

static void unknown_kind(struct cu_load *load, const struct cu_yaml *item)
{
	const struct cu_yaml *key = item->child ? item->child->key : item;
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, key->text ? key->text : "", key->text ? key->len : 0);
	for (size_t kind = 0; kind < N_ITEM_KINDS; kind++) {
		cu_nearest_try(&nearest, item_keys[kind][0]);
	}
	cu_nearest_try(&nearest, "services");
	if (nearest.name) {
		cu_yaml_error(&load->rules->diag, key, "unknown key '%s'; did you mean '%s'?", key->text, nearest.name);
	} else {
		cu_yaml_error(
			&load->rules->diag, key,
			"an item is a rule, macro, list, ignore, include, tests, slow or services; this is none of them");
	}
}

const char *cu_load_unknown_key(struct cu_load *load, const struct cu_yaml *key, const char *has,
                                const char *const *keys)
{
	struct cu_nearest nearest;
	struct cu_buf known = {0};
	cu_nearest_begin(&nearest, key->text, key->len);
	for (; *keys; keys++) {
		cu_nearest_try(&nearest, *keys);
		cu_buf_printf(&known, "%s%s", known.len > 0 ? ", " : "", *keys);
	}
	if (nearest.name) {
		cu_yaml_error(&load->rules->diag, key, "%s no key '%s'; did you mean '%s'?", has, key->text,
		              nearest.name);
	} else {
		cu_yaml_error(&load->rules->diag, key, "%s no key '%s'; there are %s", has, key->text,
		              cu_buf_cstr(&known));
	}
	cu_buf_release(&known);
	return nearest.name;
}

static void check_keys(struct cu_load *load, const struct cu_yaml *item, enum item_kind kind)
{
	load->misspelt = NULL;
	for (const struct cu_yaml *child = item->child; child; child = child->next) {
		const char *const *key = item_keys[kind];
		while (*key && !cu_yaml_is(child->key, *key)) {
			key++;
		}
		if (!*key) {
			const char *meant = cu_load_unknown_key(load, child->key, kind_words[kind], item_keys[kind]);
			load->misspelt = meant ? meant : load->misspelt;
		}
	}
}

/* ---- files ---- */

static int add_path(struct cu_rules *rules, const char *path, struct cu_fault *fault,
                    const struct cu_yaml *included_at);

/* A path in an include is relative to the file that has it. */
static void take_include(struct cu_load *load, const struct cu_yaml *item)
{
	struct cu_rules *rules = load->rules;
	const struct cu_yaml *include = cu_yaml_find(item, "include");
	const struct cu_yaml *node = include->kind == CU_YAML_SEQUENCE ? include->child : include;
	for (; node; node = include->kind == CU_YAML_SEQUENCE ? node->next : NULL) {
		char path[PATH_MAX];
		if (!cu_load_is_scalar(load, node, "the path of a file")) {
			continue;
		}
		const char *slash = load->path ? strrchr(load->path, '/') : NULL;
		int folder = slash && node->text[0] != '/' ? (int)(slash - load->path) + 1 : 0;
		if (snprintf(path, sizeof(path), "%.*s%s", folder, load->path ? load->path : "", node->text) >=
		    (int)sizeof(path)) {
			cu_yaml_error(&rules->diag, node, "the path is too long");
			continue;
		}
		struct cu_fault fault = {0};
		int error = add_path(rules, path, &fault, node);
		if (error == CU_ERR_IO) {
			cu_yaml_error(&rules->diag, node, "%s", fault.text);
			rules->incomplete = true;
		}
	}
}

static void take_item(struct cu_load *load, const struct cu_yaml *item)
{
	if (item->kind != CU_YAML_MAPPING) {
		cu_yaml_error(
			&load->rules->diag, item,
			"an item is a mapping that begins with rule, macro, list, ignore, include, tests, slow or services");
		return;
	}
	enum item_kind kind = kind_of(item);
	if (kind == N_ITEM_KINDS) {
		unknown_kind(load, item);
		return;
	}
	check_keys(load, item, kind);
	load->n_items++;
	switch (kind) {
	case ITEM_RULE:
		cu_load_rule(load, item, CU_RULE_BLAMES);
		break;
	case ITEM_IGNORE:
		cu_load_rule(load, item, CU_RULE_IGNORES);
		break;
	case ITEM_MACRO:
		cu_load_macro(load, item);
		break;
	case ITEM_LIST:
		cu_load_list(load, item);
		break;
	case ITEM_TESTS:
		cu_load_tests(load, item);
		break;
	case ITEM_SETTINGS:
		cu_load_settings(load, item);
		break;
	case ITEM_INCLUDE: /* was read before the others */
	case N_ITEM_KINDS:
	default:
		break;
	}
}

/* Reads a text, and first what it includes. 0, CU_ERR_RULES or CU_ERR_NOMEM. */
static int add_source(struct cu_load *load, const char *name, const char *text, size_t len)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	struct cu_rules *rules = load->rules;
	size_t errors = rules->diag.n_errors;
	if (len >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
		text += 3;
		len -= 3;
	}
	load->source = cu_rules_source_new(&rules->heap, name, text, len, ++rules->n_sources);
	if (!load->source) {
		return CU_ERR_NOMEM;
	}
	struct cu_yaml *root = cu_yaml_parse(load->source, &rules->diag);
	rules->incomplete = rules->incomplete || rules->diag.n_errors > errors;
	if (root && root->kind != CU_YAML_SEQUENCE) {
		cu_yaml_error(&rules->diag, root,
		              "a rules file is a list: each item begins with a dash, as in '- rule: name'");
		root = NULL;
	}
	/* What a file includes lies below it. */
	for (const struct cu_yaml *item = root ? root->child : NULL; item; item = item->next) {
		if (item->kind == CU_YAML_MAPPING && kind_of(item) == ITEM_INCLUDE) {
			take_include(load, item);
		}
	}
	load->layer = rules->n_layers++;
	for (const struct cu_yaml *item = root ? root->child : NULL; item; item = item->next) {
		take_item(load, item);
	}
	if (rules->heap.failed) {
		return CU_ERR_NOMEM;
	}
	return rules->diag.n_errors > errors ? CU_ERR_RULES : 0;
}

/* The whole of a file; the caller frees *text. 0, CU_ERR_IO or CU_ERR_NOMEM. */
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
		if (*len > CU_RULES_FILE_CAP) {
			return cu_fault_set(fault, CU_ERR_IO, "%s: the file has more than %d bytes", path,
			                    CU_RULES_FILE_CAP);
		}
	}
}

static int is_rules_file(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');
	return dot && entry->d_name[0] != '.' && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
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

/* Whether a file is being read already; says by way of which others. */
static bool is_loop(struct cu_rules *rules, const struct stat *st, const char *path, const struct cu_yaml *included_at)
{
	unsigned first = 0;
	while (first < rules->include_depth &&
	       !(rules->opened[first].device == st->st_dev && rules->opened[first].inode == st->st_ino)) {
		first++;
	}
	if (!included_at || first == rules->include_depth) {
		return false;
	}
	struct cu_buf way = {0};
	for (unsigned i = first + 1; i < rules->include_depth; i++) {
		cu_buf_printf(&way, "%s%s", i > first + 1 ? ", " : ", by way of ", rules->opened[i].path);
	}
	cu_yaml_error(&rules->diag, included_at, "%s includes itself%s",
	              first + 1 < rules->include_depth ? rules->opened[first].path : path, cu_buf_cstr(&way));
	cu_buf_release(&way);
	return true;
}

/* Reads an open file, and what it includes. */
static int add_open_file(struct cu_rules *rules, int fd, const struct stat *st, const char *path, bool is_stdin,
                         struct cu_fault *fault)
{
	char *text;
	size_t len;
	int result = read_file(fd, path, &text, &len, fault);
	if (result == 0) {
		const char *name = is_stdin ? "standard input" : path;
		rules->opened[rules->include_depth++] = (struct cu_opened){st->st_dev, st->st_ino, name};
		struct cu_load load = {.rules = rules, .path = is_stdin ? NULL : path};
		result = add_source(&load, name, text, len);
		rules->include_depth--;
	}
	free(text);
	return result;
}

static int add_path(struct cu_rules *rules, const char *path, struct cu_fault *fault, const struct cu_yaml *included_at)
{
	struct stat st;
	bool is_stdin = strcmp(path, "-") == 0 && !included_at;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int result;
	if (fd < 0) {
		return cu_fault_set_errno(fault, errno, "%s", path);
	}
	if (fstat(fd, &st) != 0) {
		result = cu_fault_set_errno(fault, errno, "%s", path);
	} else if (S_ISDIR(st.st_mode)) {
		result = add_directory(rules, path, fault, included_at);
	} else if (is_loop(rules, &st, path, included_at)) {
		result = CU_ERR_RULES;
	} else if (rules->include_depth == CU_INCLUDE_DEPTH_CAP) {
		cu_yaml_error(&rules->diag, included_at, "files include files more than %d deep", CU_INCLUDE_DEPTH_CAP);
		result = CU_ERR_RULES;
	} else if (rules->n_sources == CU_RULES_SOURCE_CAP) {
		result = cu_fault_set(fault, CU_ERR_IO, "%s: more than %d rules files", path, CU_RULES_SOURCE_CAP);
	} else {
		result = add_open_file(rules, fd, &st, path, is_stdin, fault);
	}
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
	if (len > CU_RULES_FILE_CAP) {
		cu_diag_error(&rules->diag, NULL, 0, 0, "%s: the file has %zu bytes; at most %d are taken", name, len,
		              CU_RULES_FILE_CAP);
		return CU_ERR_RULES;
	}
	struct cu_load load = {.rules = rules, .path = name};
	return add_source(&load, name, text, len);
}

int cu_rules_add_default(struct cu_rules *rules)
{
	struct cu_load load = {.rules = rules};
	int error = add_source(&load, "default.yaml", cu_rules_default, cu_rules_default_len);
	rules->shipped = load.source;
	return error;
}
