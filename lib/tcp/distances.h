/*
 * Distances: what earlier connections told of the round trips to the hosts of
 * a later one.
 *
 * A connection whose handshake was not captured knows its path by delayed ACKs
 * at best, and one whose SYN-ACK was slow may have no better sample. Another
 * connection between the same two hosts, seen at the same place, has measured
 * the same path.
 */
#ifndef CU_TCP_DISTANCES_H
#define CU_TCP_DISTANCES_H

#include "lib/tcp/path.h"

/* One pair of hosts. */
struct cu_distances_pair;

/*
 * A table of fixed size (4 MiB): of the pairs that hash to one place it keeps
 * the few that were seen last. Not seeded: the same capture gives the same
 * verdicts each time, and who crowds a place costs others a guess, no time. {0}
 * is empty.
 */
struct cu_distances {
	struct cu_distances_pair *pair;
	uint64_t n_seen; /* connections */
};

/* 0 or CU_ERR_NOMEM. */
int cu_distances_init(struct cu_distances *distances);
void cu_distances_release(struct cu_distances *distances);

/*
 * Mends a measured path by what is known of its hosts, and remembers what it
 * tells: a side without samples gets the others' round trip, one without a
 * handshake the smaller of both, and so does one whose only sample is more
 * than twice (and 5 ms) theirs. Only round trips of connections with their
 * handshake, within five minutes of capture time, are relied on.
 */
void cu_distances_refine(struct cu_distances *distances, const struct cu_connection *connection, struct cu_path *path);

#endif
