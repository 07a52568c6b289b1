/*
 * Spools: the pending timelines of many connections, each in one piece of one
 * of three sizes. A spool that outgrows its piece moves to the next size, so
 * that a connection of a few segments takes little and a busy one is copied
 * twice on its way to a full chunk.
 *
 * Tried first: chains of 128-byte blocks. Following them when a chunk was
 * written cost a cache miss a block, and no segment could be encoded in place.
 */
#ifndef CU_FLOW_SPOOL_H
#define CU_FLOW_SPOOL_H

#include <stddef.h>
#include <stdint.h>

enum {
	CU_SPOOL_SMALL = 192, /* a dozen segments and their handshake; three cache lines */
	CU_SPOOL_GROWTH = 4,  /* 192, 768, 3072 */
	CU_SPOOL_CLASSES = 3,
	CU_SPOOL_LARGE = CU_SPOOL_SMALL * CU_SPOOL_GROWTH * CU_SPOOL_GROWTH,
};

struct cu_spool {
	uint8_t *data; /* NULL when it has no piece */
	uint16_t len, cap;
	uint8_t size; /* class of the piece: 0 small */
};

struct cu_spool_free {
	struct cu_spool_free *next;
};

/* {0} is an empty pool. */
struct cu_spool_pool {
	struct cu_spool_free *free[CU_SPOOL_CLASSES];
	uint8_t *fresh[CU_SPOOL_CLASSES]; /* never used yet, up to the end of the newest slab */
	size_t n_fresh[CU_SPOOL_CLASSES];
	void **slabs;
	size_t n_slabs;
	uint64_t n_bytes; /* of all pieces in use */
};

void cu_spool_pool_release(struct cu_spool_pool *pool);

/* Makes room for at least n more bytes, at most CU_SPOOL_LARGE in all; 0 or CU_ERR_NOMEM. */
int cu_spool_grow(struct cu_spool_pool *pool, struct cu_spool *spool, size_t n);

/* Gives the piece back and leaves the spool empty. */
void cu_spool_clear(struct cu_spool_pool *pool, struct cu_spool *spool);

#endif
