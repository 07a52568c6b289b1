/*
 * Byte chains: the pending timelines of many connections, in small blocks from
 * one pool. A chain grows by a block at a time and gives them all back at once.
 */
#ifndef CU_FLOW_CHAIN_H
#define CU_FLOW_CHAIN_H

#include <stddef.h>
#include <stdint.h>

/*
 * Two cache lines. Most connections are short: a dozen segments take about as
 * much, and every open connection holds at least one block.
 */
enum { CU_CHAIN_BLOCK = 128, CU_CHAIN_DATA = CU_CHAIN_BLOCK - 4 };

struct cu_chain_block {
	uint32_t next; /* index + 1, 0 at the end */
	uint8_t data[CU_CHAIN_DATA];
};

/* {0} is an empty pool. */
struct cu_chain_pool {
	struct cu_chain_block **slabs;
	size_t n_slabs;
	uint32_t free; /* index + 1 */
	uint32_t n_fresh; /* blocks ever handed out */
	uint32_t n_used;
};

/* {0} is an empty chain. */
struct cu_chain {
	uint32_t first, last; /* index + 1 */
	uint16_t len;         /* bytes in it; who adds keeps it below 64 KiB */
	uint8_t used;         /* bytes in the last block */
};

enum { CU_CHAIN_SLAB = 1024 };

static inline struct cu_chain_block *cu_chain_block_at(const struct cu_chain_pool *pool, uint32_t link)
{
	uint32_t idx = link - 1;
	return &pool->slabs[idx / CU_CHAIN_SLAB][idx % CU_CHAIN_SLAB];
}

void cu_chain_pool_release(struct cu_chain_pool *pool);

/* Appends len bytes; 0 or CU_ERR_NOMEM. */
int cu_chain_add(struct cu_chain_pool *pool, struct cu_chain *chain, const uint8_t *data, size_t len);

/* Copies the whole chain to data, which has room for its len. */
void cu_chain_copy(const struct cu_chain_pool *pool, const struct cu_chain *chain, uint8_t *data);

/* Gives the blocks back and leaves the chain empty. */
void cu_chain_clear(struct cu_chain_pool *pool, struct cu_chain *chain);

#endif
