#include "lib/rules/names.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64 }; /* a power of two */

static struct cu_name_slot *find_slot(const struct cu_name_table *table, const char *name, size_t len)
{
	size_t at = cu_hash_bytes(table->seed, name, len) & (table->n_slots - 1);
	while (table->slots[at].name &&
	       !(strlen(table->slots[at].name) == len && memcmp(table->slots[at].name, name, len) == 0)) {
		at = (at + 1) & (table->n_slots - 1);
	}
	return &table->slots[at];
}

void *cu_name_table_get(const struct cu_name_table *table, const char *name, size_t len)
{
	return table->n_slots > 0 ? find_slot(table, name, len)->value : NULL;
}

static bool grow(struct cu_name_table *table)
{
	struct cu_name_table grown = {.n_slots = table->n_slots ? table->n_slots * 2 : FIRST_SLOTS,
	                              .n = table->n,
	                              .seed = table->n_slots ? table->seed : cu_hash_seed_random()};
	grown.slots = calloc(grown.n_slots, sizeof(*grown.slots));
	if (!grown.slots) {
		return false;
	}
	for (size_t i = 0; i < table->n_slots; i++) {
		const struct cu_name_slot *slot = &table->slots[i];
		if (slot->name) {
			*find_slot(&grown, slot->name, strlen(slot->name)) = *slot;
		}
	}
	free(table->slots);
	*table = grown;
	return true;
}

bool cu_name_table_put(struct cu_name_table *table, const char *name, void *value)
{
	if (table->n * 2 >= table->n_slots && !grow(table)) {
		return false;
	}
	struct cu_name_slot *slot = find_slot(table, name, strlen(name));
	table->n += slot->name == NULL;
	slot->name = name;
	slot->value = value;
	return true;
}

void cu_name_table_clear(struct cu_name_table *table)
{
	if (table->n > 0) {
		memset(table->slots, 0, table->n_slots * sizeof(*table->slots));
		table->n = 0;
	}
}

void cu_name_table_release(struct cu_name_table *table)
{
	free(table->slots);
	*table = (struct cu_name_table){0};
}
