#include "lib/flow/chain.h"

#include "lib/base/error.h"

#include <stdlib.h>
#include <string.h>

void cu_chain_pool_release(struct cu_chain_pool *pool)
{
	for (size_t i = 0; i < pool->n_slabs; i++) {
		free(pool->slabs[i]);
	}
	free(pool->slabs);
	*pool = (struct cu_chain_pool){0};
}

static int add_slab(struct cu_chain_pool *pool)
{
	struct cu_chain_block **slabs = realloc(pool->slabs, (pool->n_slabs + 1) * sizeof(*slabs));
	if (slabs == NULL) {
		return CU_ERR_NOMEM;
	}
	pool->slabs = slabs;
	slabs[pool->n_slabs] = aligned_alloc(64, CU_CHAIN_SLAB * sizeof(struct cu_chain_block));
	if (slabs[pool->n_slabs] == NULL) {
		return CU_ERR_NOMEM;
	}
	pool->n_slabs++;
	return 0;
}

static int extend(struct cu_chain_pool *pool, struct cu_chain *chain)
{
	uint32_t link = pool->free;
	if (link != 0) {
		pool->free = cu_chain_block_at(pool, link)->next;
	} else {
		if (pool->n_fresh / CU_CHAIN_SLAB == pool->n_slabs) {
			int rc = add_slab(pool);
			if (rc < 0) {
				return rc;
			}
		}
		link = ++pool->n_fresh;
	}
	pool->n_used++;
	cu_chain_block_at(pool, link)->next = 0;
	if (chain->last != 0) {
		cu_chain_block_at(pool, chain->last)->next = link;
	} else {
		chain->first = link;
	}
	chain->last = link;
	chain->used = 0;
	return 0;
}

int cu_chain_add(struct cu_chain_pool *pool, struct cu_chain *chain, const uint8_t *data, size_t len)
{
	while (len > 0) {
		if (chain->last == 0 || chain->used == CU_CHAIN_DATA) {
			int rc = extend(pool, chain);
			if (rc < 0) {
				return rc;
			}
		}
		size_t n = CU_CHAIN_DATA - (size_t)chain->used;
		n = n < len ? n : len;
		memcpy(cu_chain_block_at(pool, chain->last)->data + chain->used, data, n);
		chain->used = (uint8_t)(chain->used + n);
		chain->len = (uint16_t)(chain->len + n);
		data += n;
		len -= n;
	}
	return 0;
}

void cu_chain_copy(const struct cu_chain_pool *pool, const struct cu_chain *chain, uint8_t *data)
{
	for (uint32_t link = chain->first; link != 0;) {
		const struct cu_chain_block *block = cu_chain_block_at(pool, link);
		size_t n = link == chain->last ? chain->used : CU_CHAIN_DATA;
		memcpy(data, block->data, n);
		data += n;
		link = block->next;
	}
}

void cu_chain_clear(struct cu_chain_pool *pool, struct cu_chain *chain)
{
	for (uint32_t link = chain->first; link != 0;) {
		struct cu_chain_block *block = cu_chain_block_at(pool, link);
		uint32_t next = block->next;
		block->next = pool->free;
		pool->free = link;
		pool->n_used--;
		link = next;
	}
	*chain = (struct cu_chain){0};
}
