/*
 * An index: where among its owner's things one with a given hash is.
 *
 * The owner numbers its things from 1, hashes them, with a seed, and compares
 * them; the index knows their tags, which are the hashes folded to 32 bits, and
 * their numbers. To find one:
 *
 *	for (uint32_t i = tag, at; (at = cu_index_walk(index, tag, &i)) != 0;) {
 *		if (is_it(&things[at - 1])) {
 *			return &things[at - 1];
 *		}
 *	}
 *
 * Open addressing: a power of two of slots, at most half of them taken, probed
 * linearly; removal shifts back, so there are no tombstones (Knuth, TAOCP 6.4,
 * algorithm R).
 */
#ifndef CU_BASE_INDEX_H
#define CU_BASE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cu_index_slot {
	uint32_t tag; /* its low bits say where the slot belongs */
	uint32_t at;  /* the number; 0: free */
};

/* {0} is empty. */
struct cu_index {
	struct cu_index_slot *slots;
	uint32_t mask; /* number of slots - 1 */
	uint32_t n;
};

static inline uint32_t cu_index_tag(uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32);
}

/* The next number with this tag, or 0. *i is the tag at first; nothing is added or removed between. */
static inline uint32_t cu_index_walk(const struct cu_index *index, uint32_t tag, uint32_t *i)
{
	if (index->slots == NULL) {
		return 0;
	}
	for (;;) {
		const struct cu_index_slot *slot = &index->slots[(*i)++ & index->mask];
		if (slot->at == 0 || slot->tag == tag) {
			return slot->at;
		}
	}
}

/* Sends for the slot where a walk begins, of an index that has slots. */
static inline void cu_index_prefetch(const struct cu_index *index, uint32_t tag)
{
	__builtin_prefetch(&index->slots[tag & index->mask]);
}

/* Makes slots for n, at most 2^31 - 1. False when memory ran out. */
bool cu_index_reserve(struct cu_index *index, uint32_t n);

/* Adds a number that is not there. False when memory ran out, or there are 2^31 - 1. */
bool cu_index_add(struct cu_index *index, uint32_t tag, uint32_t at);

/* Takes out a number that is there. */
void cu_index_remove(struct cu_index *index, uint32_t tag, uint32_t at);

/* What is there by one number has another from now on. */
void cu_index_move(struct cu_index *index, uint32_t tag, uint32_t at, uint32_t to);

/* Empties it; its memory stays. */
void cu_index_clear(struct cu_index *index);

void cu_index_release(struct cu_index *index);

#endif
