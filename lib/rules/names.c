#include "lib/rules/names.h"

#include "lib/base/grow.h"

#include <stdlib.h>
#include <string.h>

static uint32_t tag_of(const struct cu_name_table *table, const char *name, size_t len)
{
	return cu_index_tag(cu_hash_bytes(table->seed, name, len));
}

static struct cu_name *find(const struct cu_name_table *table, const char *name, size_t len)
{
	uint32_t tag = tag_of(table, name, len);
	for (uint32_t i = tag, at; (at = cu_index_walk(&table->index, tag, &i)) != 0;) {
		struct cu_name *named = &table->names[at - 1];
		if (strlen(named->name) == len && memcmp(named->name, name, len) == 0) {
			return named;
		}
	}
	return NULL;
}

void *cu_name_table_get(const struct cu_name_table *table, const char *name, size_t len)
{
	const struct cu_name *named = find(table, name, len);
	return named ? named->value : NULL;
}

bool cu_name_table_put(struct cu_name_table *table, const char *name, void *value)
{
	if (table->n == 0) {
		table->seed = cu_hash_seed_random();
	}
	struct cu_name *named = find(table, name, strlen(name));
	if (!named) {
		if (!cu_grow((void **)&table->names, &table->cap, table->n, sizeof(*named)) ||
		    !cu_index_add(&table->index, tag_of(table, name, strlen(name)), (uint32_t)table->n + 1)) {
			return false;
		}
		named = &table->names[table->n++];
	}
	*named = (struct cu_name){name, value};
	return true;
}

void cu_name_table_clear(struct cu_name_table *table)
{
	cu_index_clear(&table->index);
	table->n = 0;
}

void cu_name_table_release(struct cu_name_table *table)
{
	cu_index_release(&table->index);
	free(table->names);
	*table = (struct cu_name_table){0};
}
