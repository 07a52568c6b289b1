/*
 * Places: which number belongs to a key, for as many keys as memory holds.
 *
 * Keys are kept as 64-bit hashes under a random seed: 16 bytes a key. Two of
 * four million keys have the same hash once in two million runs; they would
 * share a place.
 */
#ifndef CU_FLOW_PLACES_H
#define CU_FLOW_PLACES_H

#include "lib/flow/key.h"

#include <stdbool.h>
#include <stdint.h>

struct cu_place {
	uint64_t hash; /* 0: empty */
	uint32_t number;
};

/* A power of two of slots, at most half full, probed linearly; nothing is ever removed. */
struct cu_places {
	struct cu_place *slots;
	uint64_t cap;
	uint64_t n;
	struct cu_hash_seed seed;
};

void cu_places_init(struct cu_places *places);
void cu_places_release(struct cu_places *places);

/* Never 0. */
uint64_t cu_places_hash(const struct cu_places *places, const struct cu_key *key);

bool cu_places_find(const struct cu_places *places, uint64_t hash, uint32_t *number);

/* Adds a hash that is not there; 0 or CU_ERR_NOMEM. */
int cu_places_add(struct cu_places *places, uint64_t hash, uint32_t number);

#endif
