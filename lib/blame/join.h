/*
 * Several streams of flow records as one: connections that go on in the next
 * stream are joined, and stream numbers and files are numbered on.
 *
 * A connection that its capture followed to its end is held until one of a
 * later stream continues it, which is what flowify would have taken for the
 * same connection had it read the captures at once: the same ends and ids, not
 * begun by another SYN, and not silent for longer than CU_IDLE_TIMEOUT_NS.
 *
 * Memory: at the end of each stream, what has been silent for that long is let
 * go; of the rest, the connections in flowify's table within one idle timeout,
 * as many are held as there is room for, those that are over only until another
 * needs it. Their chunks are in the store.
 */
#ifndef CU_BLAME_JOIN_H
#define CU_BLAME_JOIN_H

#include "lib/base/hash.h"
#include "lib/base/index.h"
#include "lib/flow/key.h"
#include "lib/record/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a timeline ended. */
struct cu_ends {
	bool fin[2]; /* each direction had one */
	bool reset;  /* a RST came before both had */
};

/* A connection that may go on. */
struct cu_held {
	struct cu_key key;
	struct cu_connection connection; /* its stream and files are those of the union */
	uint64_t place;                  /* of its chunks in the store */
	bool joined;                     /* a stream continued it */
	struct cu_ends ends;             /* then: of all of it */
	uint8_t timeline[];              /* the connection's own, until it is joined */
};

/* A stream's connection that was said to continue a held one. */
struct cu_continued {
	uint64_t local; /* number in its own stream */
	struct cu_held *held;
};

/* {0} is empty, before the first stream. */
struct cu_join {
	struct cu_hash_seed seed;
	struct cu_index index; /* of the held, by key */
	struct cu_held **held;
	size_t n, cap;
	uint64_t n_bytes, bytes_cap; /* of the held and the continued */
	size_t n_searched;           /* of the held, from the first: these made no room */
	uint64_t n_no_room;          /* that were not held, or not to the end, for want of it, since the stream began */
	struct cu_continued *continued; /* of this stream, by local number */
	size_t n_continued, continued_cap;
	uint64_t n_streams;  /* streams begun */
	uint64_t n_before;   /* connections of the streams before, as joined: where this one's numbers begin */
	uint64_t n_places;   /* and as they came: where its places begin */
	uint64_t n_here;     /* highest number of this stream, and one */
	size_t n_files;      /* of the streams before */
	size_t n_files_here; /* of this one */
};

/* As many are held as fit into bytes_cap bytes. */
void cu_join_init(struct cu_join *join, uint64_t bytes_cap);
void cu_join_release(struct cu_join *join);

/*
 * A stream of n_files files begins. What the stream before was said to continue
 * and did not, which is damage, is to be drained and held again before.
 */
void cu_join_begin(struct cu_join *join, size_t n_files);
/* It names more. */
void cu_join_add_files(struct cu_join *join, size_t n_files);

/* The union's number of a connection of this stream, and where its chunks are stored. */
uint64_t cu_join_number(const struct cu_join *join, uint64_t local);
uint64_t cu_join_place(struct cu_join *join, uint64_t local);

/* Gives a connection of this stream the union's number and files. */
void cu_join_rename(const struct cu_join *join, struct cu_connection *connection);

/*
 * Takes note that a connection began in mid-life. 1 when it continues a held
 * one, 0 when not, or when it comes out of the order of numbers, in which
 * flowify writes them; CU_ERR_NOMEM.
 */
int cu_join_note(struct cu_join *join, const struct cu_connection *begun);

/*
 * The held connection that this one continues, taken out: the caller frees it
 * or puts it back; NULL when there is none. *over is one that has the same ends
 * and is not continued, taken out too, or NULL. The connection is as it came.
 */
struct cu_held *cu_join_take(struct cu_join *join, const struct cu_connection *connection, struct cu_held **over);

/* A connection to hold, with a copy of its timeline, if it has that within; NULL when memory runs out. */
struct cu_held *cu_held_new(const struct cu_connection *connection, uint64_t place);

/* Whether a connection was said to be continued, and was not yet. */
bool cu_join_awaits(const struct cu_join *join);

/*
 * Holds a connection, with the numbers of the union. *over is what is not held,
 * the caller's: of two with the same ends the earlier; when there is no room, one
 * that is over, or held itself, as when memory runs out; else NULL. 0 or
 * CU_ERR_NOMEM.
 */
int cu_join_hold(struct cu_join *join, struct cu_held *held, struct cu_held **over);

/* All that is held, in order of stream; the join is empty then. NULL when memory ran out. The caller frees both. */
struct cu_held **cu_join_drain(struct cu_join *join, size_t *n);

/* Whether the two take opposite ends for the client; turn makes the other end the held one's client. */
bool cu_join_is_turned(const struct cu_held *held, const struct cu_connection *next);
void cu_join_turn(struct cu_held *held);

/* Adds what the second record, of the union too, says to the first. */
void cu_join_merge(struct cu_held *held, const struct cu_connection *next, bool turned);

/*
 * Appends a copy of a chunk record to buf, with another stream number, file
 * numbers raised by n_files and directions turned around; ends is told of its
 * segments. CU_ERR_FORMAT, CU_ERR_NOMEM.
 */
int cu_join_chunk(const struct cu_chunk *chunk, uint64_t stream, size_t n_files, bool turned, struct cu_ends *ends,
                  struct cu_buf *buf);

#endif
