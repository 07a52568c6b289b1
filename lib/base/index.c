#include "lib/base/index.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 16 };

/* Slots are found by 32 bits of hash, so that half of them is the most there can be. */
#define INDEX_CAP ((UINT32_C(1) << 31) - 1)

static void put(struct cu_index_slot *slots, uint32_t mask, struct cu_index_slot slot)
{
	uint32_t i = slot.tag & mask;
	while (slots[i].at != 0) {
		i = (i + 1) & mask;
	}
	slots[i] = slot;
}

static uint64_t count_slots(const struct cu_index *index)
{
	return index->slots != NULL ? (uint64_t)index->mask + 1 : 0;
}

bool cu_index_reserve(struct cu_index *index, uint32_t n)
{
	uint64_t had = count_slots(index);
	uint64_t n_slots = had != 0 ? had : SLOTS_MIN;
	while (n_slots / 2 < n) {
		n_slots *= 2;
	}
	if (n_slots == had) {
		return true;
	}
	struct cu_index_slot *slots = n <= INDEX_CAP ? calloc(n_slots, sizeof(*slots)) : NULL;
	if (slots == NULL) {
		return false;
	}
	uint32_t mask = (uint32_t)(n_slots - 1);
	for (uint64_t i = 0; i < had; i++) {
		if (index->slots[i].at != 0) {
			put(slots, mask, index->slots[i]);
		}
	}
	free(index->slots);
	index->slots = slots;
	index->mask = mask;
	return true;
}

bool cu_index_add(struct cu_index *index, uint32_t tag, uint32_t at)
{
	if (!cu_index_reserve(index, index->n + 1)) {
		return false;
	}
	put(index->slots, index->mask, (struct cu_index_slot){.tag = tag, .at = at});
	index->n++;
	return true;
}

static uint32_t slot_of(const struct cu_index *index, uint32_t tag, uint32_t at)
{
	uint32_t i = tag & index->mask;
	while (index->slots[i].at != at) {
		i = (i + 1) & index->mask;
	}
	return i;
}

void cu_index_remove(struct cu_index *index, uint32_t tag, uint32_t at)
{
	struct cu_index_slot *slots = index->slots;
	uint32_t mask = index->mask;
	uint32_t hole = slot_of(index, tag, at);
	for (uint32_t i = (hole + 1) & mask; slots[i].at != 0; i = (i + 1) & mask) {
		uint32_t home = slots[i].tag & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			slots[hole] = slots[i];
			hole = i;
		}
	}
	slots[hole] = (struct cu_index_slot){0};
	index->n--;
}

void cu_index_move(struct cu_index *index, uint32_t tag, uint32_t at, uint32_t to)
{
	index->slots[slot_of(index, tag, at)].at = to;
}

void cu_index_clear(struct cu_index *index)
{
	if (index->n > 0) {
		memset(index->slots, 0, count_slots(index) * sizeof(*index->slots));
		index->n = 0;
	}
}

void cu_index_release(struct cu_index *index)
{
	free(index->slots);
	*index = (struct cu_index){0};
}
