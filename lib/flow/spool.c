#include "lib/flow/spool.h"

#include "lib/base/error.h"

#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = CU_SPOOL_LARGE * 64, CACHE_LINE = 64 };

static size_t size_bytes(unsigned size)
{
	size_t n = CU_SPOOL_SMALL;
	for (; size > 0; size--) {
		n *= CU_SPOOL_GROWTH;
	}
	return n;
}

void cu_spool_pool_release(struct cu_spool_pool *pool)
{
	for (size_t i = 0; i < pool->n_slabs; i++) {
		free(pool->slabs[i]);
	}
	free(pool->slabs);
	*pool = (struct cu_spool_pool){0};
}

static int add_slab(struct cu_spool_pool *pool, unsigned size)
{
	void **slabs = realloc(pool->slabs, (pool->n_slabs + 1) * sizeof(*slabs));
	if (slabs == NULL) {
		return CU_ERR_NOMEM;
	}
	pool->slabs = slabs;
	uint8_t *slab = aligned_alloc(CACHE_LINE, SLAB_BYTES);
	if (slab == NULL) {
		return CU_ERR_NOMEM;
	}
	slabs[pool->n_slabs++] = slab;
	pool->fresh[size] = slab;
	pool->n_fresh[size] = SLAB_BYTES / size_bytes(size);
	return 0;
}

static uint8_t *take(struct cu_spool_pool *pool, unsigned size)
{
	struct cu_spool_free *piece = pool->free[size];
	if (piece != NULL) {
		pool->free[size] = piece->next;
		return (uint8_t *)piece;
	}
	if (pool->n_fresh[size] == 0 && add_slab(pool, size) < 0) {
		return NULL;
	}
	uint8_t *fresh = pool->fresh[size];
	pool->fresh[size] += size_bytes(size);
	pool->n_fresh[size]--;
	return fresh;
}

static void give_back(struct cu_spool_pool *pool, struct cu_spool *spool)
{
	struct cu_spool_free *piece = (struct cu_spool_free *)(void *)spool->data;
	piece->next = pool->free[spool->size];
	pool->free[spool->size] = piece;
	pool->n_bytes -= spool->cap;
}

int cu_spool_grow(struct cu_spool_pool *pool, struct cu_spool *spool, size_t n)
{
	unsigned size = 0;
	while (size_bytes(size) < spool->len + n) {
		size++;
	}
	uint8_t *data = take(pool, size);
	if (data == NULL) {
		return CU_ERR_NOMEM;
	}
	if (spool->data != NULL) {
		memcpy(data, spool->data, spool->len);
		give_back(pool, spool);
	}
	spool->data = data;
	spool->cap = (uint16_t)size_bytes(size);
	spool->size = (uint8_t)size;
	pool->n_bytes += spool->cap;
	return 0;
}

void cu_spool_clear(struct cu_spool_pool *pool, struct cu_spool *spool)
{
	if (spool->data != NULL) {
		give_back(pool, spool);
	}
	*spool = (struct cu_spool){0};
}
