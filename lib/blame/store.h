/*
 * Chunks that wait for their connection's record, by stream number.
 */
#ifndef CU_BLAME_STORE_H
#define CU_BLAME_STORE_H

#include "lib/base/bytes.h"
#include "lib/base/hash.h"

#include <stddef.h>
#include <stdint.h>

/* A connection's chunk records, each with its length before it. */
struct cu_store_entry {
	uint64_t stream;
	struct cu_buf chunks;
	bool used;
};

/* Open addressing, power of two, linear probe, backward-shift delete. {0} with a seed is empty. */
struct cu_store {
	struct cu_hash_seed seed;
	struct cu_store_entry *slot;
	size_t n, cap;
	struct cu_buf spare; /* storage of the last one removed, for the next */
};

void cu_store_init(struct cu_store *store);
void cu_store_release(struct cu_store *store);

/* Appends a copy of a chunk record's payload. 0 or CU_ERR_NOMEM. */
int cu_store_add(struct cu_store *store, uint64_t stream, const uint8_t *data, size_t len);

/* The chunks of a stream, borrowed until the next call; empty when there are none. */
struct cu_cursor cu_store_get(const struct cu_store *store, uint64_t stream);

/* The next chunk record out of what get returned; false at the end. */
bool cu_store_next(struct cu_cursor *chunks, const uint8_t **data, size_t *len);

void cu_store_remove(struct cu_store *store, uint64_t stream);

#endif
