#include "lib/flow/places.h"

#include "lib/base/error.h"

#include <stdlib.h>

enum { FIRST_CAP = 1024 };

void cu_places_init(struct cu_places *places)
{
	*places = (struct cu_places){.seed = cu_hash_seed_random()};
}

void cu_places_release(struct cu_places *places)
{
	free(places->slots);
	places->slots = NULL;
}

uint64_t cu_places_hash(const struct cu_places *places, const struct cu_key *key)
{
	uint64_t hash = cu_key_hash(places->seed, key);
	return hash != 0 ? hash : 1;
}

/* The slot of a hash, or the empty one where it would go. There is one. */
static struct cu_place *find_slot(const struct cu_places *places, uint64_t hash)
{
	uint64_t i = hash & (places->cap - 1);
	while (places->slots[i].hash != 0 && places->slots[i].hash != hash) {
		i = (i + 1) & (places->cap - 1);
	}
	return &places->slots[i];
}

bool cu_places_find(const struct cu_places *places, uint64_t hash, uint32_t *number)
{
	if (places->cap == 0) {
		return false;
	}
	const struct cu_place *place = find_slot(places, hash);
	*number = place->number;
	return place->hash != 0;
}

static int grow(struct cu_places *places)
{
	struct cu_places bigger = *places;
	bigger.cap = places->cap != 0 ? places->cap * 2 : FIRST_CAP;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (bigger.slots == NULL) {
		return CU_ERR_NOMEM;
	}
	for (uint64_t i = 0; i < places->cap; i++) {
		if (places->slots[i].hash != 0) {
			*find_slot(&bigger, places->slots[i].hash) = places->slots[i];
		}
	}
	free(places->slots);
	*places = bigger;
	return 0;
}

int cu_places_add(struct cu_places *places, uint64_t hash, uint32_t number)
{
	if (places->n * 2 >= places->cap && grow(places) < 0) {
		return CU_ERR_NOMEM;
	}
	*find_slot(places, hash) = (struct cu_place){.hash = hash, .number = number};
	places->n++;
	return 0;
}
