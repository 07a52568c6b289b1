/*
 * Distances: what earlier connections told of the round trips to the hosts of
 * a later one, and of how these count their packets.
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
 * A table of fixed size (5 MiB): of the pairs that hash to one place it keeps
 * the few that were seen last. Not seeded: the same capture gives the same
 * verdicts each time, and who crowds a place costs others a guess, no time. {0}
 * is empty.
 */
struct cu_distances {
	struct cu_distances_pair *pair;
	uint64_t n_seen;                /* connections */
	struct cu_distances_pair *last; /* that of the latest */
};

/* 0 or CU_ERR_NOMEM. */
int cu_distances_init(struct cu_distances *distances);
void cu_distances_release(struct cu_distances *distances);

/*
 * Mends a measured path by what is known of its hosts, and remembers what it
 * tells: a side without samples gets the others' round trip, one without a
 * handshake the smaller of both, and so does one whose only sample is more
 * than twice (and 5 ms) theirs. Only round trips of connections with their
 * handshake, within five minutes of capture time, are relied on. Sets the
 * path's usual_ttl.
 */
void cu_distances_refine(struct cu_distances *distances, const struct cu_connection *connection, struct cu_path *path);

/*
 * Whether a host counts the IPv4 identification up for all that it sends to
 * the other, not for each connection: RFC 6864 asks for no more, ns-3 and old
 * Windows do no more. Sets shared by direction. Those of an earlier connection
 * lie between those of this one then, as their times do; where each begins
 * anywhere (Linux), one in 256 does. The trace is of the connection that
 * cu_distances_refine was called with last; its own are remembered.
 */
void cu_distances_ids(struct cu_distances *distances, const struct cu_trace *trace, bool shared[2]);

#endif
