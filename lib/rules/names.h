/*
 * Tables of names, and where they lead.
 */
#ifndef CU_RULES_NAMES_H
#define CU_RULES_NAMES_H

#include "lib/base/hash.h"
#include "lib/base/index.h"

#include <stdbool.h>
#include <stddef.h>

/* {0} is an empty table. */
struct cu_name_table {
	struct cu_name {
		const char *name; /* borrowed */
		void *value;
	} * names; /* in the order in which they came */
	size_t n, cap;
	struct cu_index index;
	struct cu_hash_seed seed;
};

/* What len bytes of name lead to; NULL when there is no such name. */
void *cu_name_table_get(const struct cu_name_table *table, const char *name, size_t len);

/* Puts value under name, in the place of what is there. False when memory ran out. */
bool cu_name_table_put(struct cu_name_table *table, const char *name, void *value);

/* Makes it empty, for more names. */
void cu_name_table_clear(struct cu_name_table *table);

void cu_name_table_release(struct cu_name_table *table);

#endif
