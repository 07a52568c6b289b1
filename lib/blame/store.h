/*
 * Chunks that wait for their connection's record, by stream number.
 *
 * They are in memory up to a bound; beyond it they go to a file, the longest
 * first, in lots: behind each stands where the connection's lot before ends.
 * What was removed is not taken out of the file. Without a file, what had to go
 * there is refused.
 */
#ifndef CU_BLAME_STORE_H
#define CU_BLAME_STORE_H

#include "lib/base/bytes.h"
#include "lib/base/hash.h"
#include "lib/base/index.h"

#include <stddef.h>
#include <stdint.h>

/* A connection's chunk records, each with its length before it. */
struct cu_store_entry {
	uint64_t stream;
	struct cu_buf chunks;
	uint64_t lot; /* where its newest lot in the file ends; 0: it has none */
};

struct cu_store {
	struct cu_hash_seed seed;
	struct cu_index index; /* of entries, by stream */
	struct cu_store_entry *entry;
	size_t n, cap;
	struct cu_buf spare; /* storage of the last one removed, for the next */
	uint64_t n_bytes, bytes_cap;
	uint64_t room_at; /* bytes from which on room is made */
	int fd;           /* borrowed */
	uint64_t file_end;
	int sys_errno; /* of what failed with CU_ERR_IO */
	bool is_full;  /* something had to go to the file, and there is none: CU_ERR_NOMEM */
	bool is_reading;
	uint64_t reading; /* the stream, which does not go to the file meanwhile */
};

/* Reads a connection's chunks in their order. {0} is closed. */
struct cu_store_reader {
	struct cu_store *store;
	uint64_t stream;
	uint64_t *lot; /* where each ends, the newest first */
	size_t n_lots, lots_cap;
	struct cu_buf buf;     /* a lot */
	struct cu_cursor left; /* of it, or of what is in memory */
	const uint8_t *after;  /* behind the chunk at hand */
	bool in_memory;        /* what is there is yet to come */
};

/*
 * An empty store, that keeps bytes_cap bytes in memory and the rest in the
 * file that fd is, open for reading and writing; -1: there is none. The
 * descriptor is the caller's.
 */
void cu_store_init(struct cu_store *store, uint64_t bytes_cap, int fd);
void cu_store_release(struct cu_store *store);

/* Appends a copy of a chunk record's payload. 0, CU_ERR_NOMEM or CU_ERR_IO. */
int cu_store_add(struct cu_store *store, uint64_t stream, const uint8_t *data, size_t len);

/* Whether a stream has chunks. */
bool cu_store_has(const struct cu_store *store, uint64_t stream);

/* The chunks of one stream become those of another, which has none. CU_ERR_NOMEM. */
int cu_store_rename(struct cu_store *store, uint64_t from, uint64_t to);

void cu_store_remove(struct cu_store *store, uint64_t stream);

/*
 * Begins to read a stream's chunks, one stream at a time; none are added to it,
 * and it is not removed, until the reader is closed. To be closed after an
 * error, too. 0, CU_ERR_NOMEM or CU_ERR_IO.
 */
int cu_store_open(struct cu_store *store, uint64_t stream, struct cu_store_reader *reader);
void cu_store_close(struct cu_store_reader *reader);

/* Whether there are chunks left. */
bool cu_store_more(const struct cu_store_reader *reader);

/* The chunk record at hand, borrowed until the next call, and skip goes to the next. 1, 0 at the end, or a negative error. */
int cu_store_peek(struct cu_store_reader *reader, const uint8_t **data, size_t *len);
void cu_store_skip(struct cu_store_reader *reader);

#endif
