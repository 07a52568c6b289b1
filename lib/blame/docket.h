/*
 * The docket: connections on their way to be judged, and the records among
 * them, written in the order in which they came.
 *
 * They are gathered in batches, which a crew of threads judges (crew.h). What
 * is learned from one connection for later ones is learned in their order, so
 * that the output does not depend on the threads.
 */
#ifndef CU_BLAME_DOCKET_H
#define CU_BLAME_DOCKET_H

#include "lib/base/crew.h"
#include "lib/blame/judge.h"
#include "lib/record/stream.h"
#include "lib/tcp/distances.h"

#include <stdatomic.h>

struct cu_docket_config {
	struct cu_writer *writer; /* borrowed */
	bool no_segments;         /* of the connections: chunks and marks stay out */
	unsigned n_jobs;          /* threads that judge; 0: as many as there are processors */
	size_t segments_cap;      /* that are judged at one time, unless one connection has more */
};

/* Whose timeline could not be decoded, first of all. */
struct cu_docket_damage {
	bool is_there;
	uint64_t stream;
	struct cu_record_place place;
};

struct cu_docket {
	struct cu_docket_config config;
	struct cu_crew crew;
	struct cu_docket_batch *batch; /* the slots */
	struct cu_docket_batch *now;   /* the one that is being filled */
	size_t in_flight_bytes;
	bool is_open;
	size_t open_before; /* where the records of the open one begin */
	atomic_int err;     /* the first: nothing is written after it */
	/* The crew's; the caller's after cu_docket_catch_up. */
	struct cu_docket_worker *worker[CU_CREW_CAP];
	struct cu_docket_desk *desk[CU_CREW_SLOTS_CAP];
	struct cu_distances distances;
	struct cu_docket_damage damage;
};

/* 0 or CU_ERR_NOMEM; release after either. */
int cu_docket_init(struct cu_docket *docket, const struct cu_docket_config *config);
void cu_docket_release(struct cu_docket *docket);

/* A record to be written behind all before. 0, CU_ERR_NOMEM, or the writer's error with an earlier one; as all that follow. */
int cu_docket_put(struct cu_docket *docket, enum cu_record_kind kind, const uint8_t *data, size_t len);

/* The same of several. */
int cu_docket_put_all(struct cu_docket *docket, struct cu_records *records);

/*
 * A connection is to be judged: the records that were put since it was opened
 * go before what is said of it. Its timeline, and its chunk records, are copied. The place is
 * that of its record.
 */
int cu_docket_open(struct cu_docket *docket, const struct cu_connection *connection,
                   const struct cu_record_place *place);
int cu_docket_add_chunk(struct cu_docket *docket, const uint8_t *data, size_t len, uint64_t n_segments);
int cu_docket_close(struct cu_docket *docket);
/* Or it is not, and the records that were put meanwhile are forgotten. */
void cu_docket_drop(struct cu_docket *docket);

/* All that was put is written: the writer may be used. */
int cu_docket_catch_up(struct cu_docket *docket);

#endif
