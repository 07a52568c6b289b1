#include "lib/flow/table.h"

#include "lib/base/error.h"

#include <stdlib.h>
#include <string.h>

enum { FLOWS_AT_FIRST = 512 };

int cu_table_init(struct cu_table *table)
{
	*table = (struct cu_table){.seed = cu_hash_seed_random()};
	return cu_index_reserve(&table->index, FLOWS_AT_FIRST) ? 0 : CU_ERR_NOMEM;
}

void cu_table_release(struct cu_table *table)
{
	for (size_t i = 0; i < table->n_slabs; i++) {
		free(table->slabs[i]);
	}
	free(table->slabs);
	cu_index_release(&table->index);
	*table = (struct cu_table){0};
}

struct cu_flow *cu_table_find(const struct cu_table *table, uint32_t tag, const struct cu_key *key)
{
	for (uint32_t i = tag, ref; (ref = cu_index_walk(&table->index, tag, &i)) != 0;) {
		struct cu_flow *flow = cu_table_at(table, ref);
		if (cu_flow_has_key(flow, key)) {
			return flow;
		}
	}
	return NULL;
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

static void give_back(struct cu_table *table, struct cu_flow *flow)
{
	flow->key_head[0] = 0;
	flow->link.next = table->free;
	table->free = flow->ref;
}

struct cu_flow *cu_table_add(struct cu_table *table, uint32_t tag, const struct cu_key *key)
{
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
	if (!cu_index_add(&table->index, tag, ref)) {
		give_back(table, flow);
		return NULL;
	}
	return flow;
}

void cu_table_remove(struct cu_table *table, struct cu_flow *flow)
{
	cu_index_remove(&table->index, flow->tag, flow->ref);
	give_back(table, flow);
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
