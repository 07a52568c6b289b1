#include "lib/flow/table.h"

#include "lib/base/error.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 1024 };

/* Slots are found by 32 bits of hash, so that half of them is the most there can be. */
#define FLOWS_CAP (UINT32_C(1) << 31)

int cu_table_init(struct cu_table *table)
{
	*table = (struct cu_table){.seed = cu_hash_seed_random()};
	table->slots = calloc(SLOTS_MIN, sizeof(*table->slots));
	if (table->slots == NULL) {
		return CU_ERR_NOMEM;
	}
	table->mask = SLOTS_MIN - 1;
	return 0;
}

void cu_table_release(struct cu_table *table)
{
	for (size_t i = 0; i < table->n_slabs; i++) {
		free(table->slabs[i]);
	}
	free(table->slabs);
	free(table->slots);
	*table = (struct cu_table){0};
}

struct cu_flow *cu_table_find(const struct cu_table *table, uint32_t tag, const struct cu_key *key)
{
	for (uint32_t i = tag & table->mask; table->slots[i].ref != 0; i = (i + 1) & table->mask) {
		if (table->slots[i].tag == tag) {
			struct cu_flow *flow = cu_table_at(table, table->slots[i].ref);
			if (cu_flow_has_key(flow, key)) {
				return flow;
			}
		}
	}
	return NULL;
}

static void put_slot(struct cu_flow_slot *slots, uint32_t mask, struct cu_flow_slot slot)
{
	uint32_t i = slot.tag & mask;
	while (slots[i].ref != 0) {
		i = (i + 1) & mask;
	}
	slots[i] = slot;
}

static bool grow_slots(struct cu_table *table)
{
	uint64_t n_slots = ((uint64_t)table->mask + 1) * 2;
	if (table->n >= FLOWS_CAP - 1) {
		return false;
	}
	struct cu_flow_slot *slots = calloc(n_slots, sizeof(*slots));
	if (slots == NULL) {
		return false;
	}
	uint32_t mask = (uint32_t)(n_slots - 1);
	for (uint64_t i = 0; i < n_slots / 2; i++) {
		if (table->slots[i].ref != 0) {
			put_slot(slots, mask, table->slots[i]);
		}
	}
	free(table->slots);
	table->slots = slots;
	table->mask = mask;
	return true;
}

static bool add_slab(struct cu_table *table)
{
	struct cu_flow **slabs = realloc(table->slabs, (table->n_slabs + 1) * sizeof(*slabs));
	if (slabs == NULL) {
		return false;
	}
	table->slabs = slabs;
	size_t size = (CU_FLOW_SLAB * sizeof(struct cu_flow) + CU_CACHE_LINE - 1) / CU_CACHE_LINE * CU_CACHE_LINE;
	slabs[table->n_slabs] = aligned_alloc(CU_CACHE_LINE, size);
	if (slabs[table->n_slabs] == NULL) {
		return false;
	}
	table->n_slabs++;
	return true;
}

static uint32_t take_flow(struct cu_table *table)
{
	uint32_t ref = table->free;
	if (ref != 0) {
		table->free = cu_table_at(table, ref)->link.next;
		return ref;
	}
	if (table->n_fresh / CU_FLOW_SLAB == table->n_slabs && !add_slab(table)) {
		return 0;
	}
	return ++table->n_fresh;
}

struct cu_flow *cu_table_add(struct cu_table *table, uint32_t tag, const struct cu_key *key)
{
	if (table->n >= table->mask / 2 && !grow_slots(table)) {
		return NULL;
	}
	uint32_t ref = take_flow(table);
	if (ref == 0) {
		return NULL;
	}
	struct cu_flow *flow = cu_table_at(table, ref);
	memset(flow, 0, sizeof(*flow));
	memcpy(flow->key_head, key->head, sizeof(flow->key_head));
	memcpy(flow->key_rest, key->rest, sizeof(flow->key_rest));
	flow->tag = tag;
	flow->ref = ref;
	put_slot(table->slots, table->mask, (struct cu_flow_slot){.tag = tag, .ref = ref});
	table->n++;
	return flow;
}

void cu_table_remove(struct cu_table *table, struct cu_flow *flow)
{
	struct cu_flow_slot *slots = table->slots;
	uint32_t mask = table->mask;
	uint32_t hole = flow->tag & mask;
	while (slots[hole].ref != flow->ref) {
		hole = (hole + 1) & mask;
	}
	/* Shift back what was pushed over the hole (Knuth, TAOCP 6.4, algorithm R). */
	for (uint32_t i = (hole + 1) & mask; slots[i].ref != 0; i = (i + 1) & mask) {
		uint32_t home = slots[i].tag & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			slots[hole] = slots[i];
			hole = i;
		}
	}
	slots[hole] = (struct cu_flow_slot){0};
	table->n--;
	flow->key_head[0] = 0;
	flow->link.next = table->free;
	table->free = flow->ref;
}

void cu_flow_key(const struct cu_flow *flow, struct cu_key *key)
{
	memcpy(key->head, flow->key_head, sizeof(key->head));
	memcpy(key->rest, flow->key_rest, sizeof(key->rest));
}

static struct cu_flow_link *link_of(struct cu_flow *flow, enum cu_list_id id)
{
	return id == CU_LIST_PENDING ? &flow->pending_link : &flow->link;
}

void cu_list_append(struct cu_table *table, enum cu_list_id id, struct cu_flow *flow)
{
	struct cu_flow_list *list = &table->lists[id];
	*link_of(flow, id) = (struct cu_flow_link){.prev = list->tail, .next = 0};
	if (list->tail != 0) {
		link_of(cu_table_at(table, list->tail), id)->next = flow->ref;
	} else {
		list->head = flow->ref;
	}
	list->tail = flow->ref;
	list->n++;
}

void cu_list_remove(struct cu_table *table, enum cu_list_id id, struct cu_flow *flow)
{
	struct cu_flow_list *list = &table->lists[id];
	struct cu_flow_link link = *link_of(flow, id);
	if (link.prev != 0) {
		link_of(cu_table_at(table, link.prev), id)->next = link.next;
	} else {
		list->head = link.next;
	}
	if (link.next != 0) {
		link_of(cu_table_at(table, link.next), id)->prev = link.prev;
	} else {
		list->tail = link.prev;
	}
	list->n--;
}
