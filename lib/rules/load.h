/*
 * A rules file being read: what the readers of its items share.
 *
 * Each reader says what is wrong with an item and goes on, so that all errors
 * are found; what is wrong is left out.
 */
#ifndef CU_RULES_LOAD_H
#define CU_RULES_LOAD_H

#include "lib/rules/internal.h"

struct cu_load {
	struct cu_rules *rules;
	const struct cu_rules_source *source;
	const char *path; /* where it lies; NULL for a text */
	unsigned layer;
	size_t n_items;
	const struct cu_yaml *slow; /* the default threshold that it gave, or NULL */
	const char *misspelt;       /* the key that an unknown one of the item was meant to be, or NULL */
};

/* Readers of the kinds of items; each takes the whole item, a mapping. */
void cu_load_rule(struct cu_load *load, const struct cu_yaml *item, enum cu_rule_kind kind);
void cu_load_macro(struct cu_load *load, const struct cu_yaml *item);
void cu_load_list(struct cu_load *load, const struct cu_yaml *item);
void cu_load_settings(struct cu_load *load, const struct cu_yaml *item);
void cu_load_tests(struct cu_load *load, const struct cu_yaml *item);

/* Whether node is a text that is not empty; says that what was expected: "a name". */
bool cu_load_is_scalar(struct cu_load *load, const struct cu_yaml *node, const char *what);
/* true or false, nothing else: YAML 1.1 has eleven ways to say each. False when it was neither. */
bool cu_load_bool(struct cu_load *load, const struct cu_yaml *node, bool *value);
/* A duration above zero, in nanoseconds. False when it is none. */
bool cu_load_duration(struct cu_load *load, const struct cu_yaml *node, int64_t *ns);

/*
 * Says that a key is none of keys, which end with NULL, and which of them is
 * meant: "a rule has no key 'condtion'; did you mean 'condition'?" Returns that
 * one, or NULL. has: "a rule has".
 */
const char *cu_load_unknown_key(struct cu_load *load, const struct cu_yaml *key, const char *has,
                                const char *const *keys);

#endif
