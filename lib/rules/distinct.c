#include "lib/rules/distinct.h"

#include <stdlib.h>
#include <string.h>

void cu_distinct_release(struct cu_distinct *distinct)
{
	free(distinct->hash);
	*distinct = (struct cu_distinct){0};
}

static bool make_room(struct cu_distinct *distinct, uint64_t *room)
{
	enum { FIRST_CAP = 4 };
	uint32_t cap = distinct->cap > 0 ? distinct->cap * 2 : FIRST_CAP;
	if (distinct->n < distinct->cap) {
		return true;
	}
	if (distinct->left_out || cap > CU_DISTINCT_CAP || *room < cap - distinct->cap) {
		return false;
	}
	uint64_t *hash = realloc(distinct->hash, cap * sizeof(hash[0]));
	if (hash == NULL) {
		return false;
	}
	*room -= cap - distinct->cap;
	distinct->hash = hash;
	distinct->cap = cap;
	return true;
}

void cu_distinct_add(struct cu_distinct *distinct, uint64_t hash, uint64_t *room)
{
	uint32_t at = 0;
	for (uint32_t n = distinct->n; n > 0;) {
		uint32_t half = n / 2;
		if (distinct->hash[at + half] < hash) {
			at += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	if (at < distinct->n && distinct->hash[at] == hash) {
		return;
	}
	if (!make_room(distinct, room)) {
		distinct->left_out = true;
		if (at == distinct->n) {
			return;
		}
		distinct->n--;
	}
	memmove(distinct->hash + at + 1, distinct->hash + at, (distinct->n - at) * sizeof(hash));
	distinct->hash[at] = hash;
	distinct->n++;
}

uint64_t cu_distinct_count(const struct cu_distinct *distinct)
{
	const double whole = 18446744073709551616.0; /* 2^64 */
	if (!distinct->left_out || distinct->n < 2) {
		return distinct->n;
	}
	double share = ((double)distinct->hash[distinct->n - 1] + 1) / whole;
	return (uint64_t)((double)(distinct->n - 1) / share + 0.5);
}
