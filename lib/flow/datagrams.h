/*
 * Fragmented IP datagrams: which connection, or shard, their fragments belong to.
 *
 * Only the first fragment has the ports; it says for all others of the
 * datagram whose they are, also for those that came before it. The table has
 * a fixed size; what was not seen for CU_DATAGRAM_EXPIRY_NS is forgotten, and
 * the oldest of a bucket when it is full.
 */
#ifndef CU_FLOW_DATAGRAMS_H
#define CU_FLOW_DATAGRAMS_H

#include "lib/base/units.h"

#include <stdint.h>

/* Linux gives up on the fragments of a datagram after 30 s (net.ipv4.ipfrag_time); others do after 15 to 60 s. */
#define CU_DATAGRAM_EXPIRY_NS (30 * CU_NS_PER_S)

enum { CU_DATAGRAM_BUCKETS = 256, CU_DATAGRAM_WAYS = 4 };

/* Owners: of a datagram whose first fragment was not seen; of one that is no TCP segment. */
#define CU_DATAGRAM_UNKNOWN UINT64_MAX
#define CU_DATAGRAM_OTHER (UINT64_MAX - 1)

struct cu_datagram {
	uint64_t hash;    /* cu_packet_content's datagram; 0: empty */
	int64_t time_ns;  /* of its last fragment */
	uint64_t owner;   /* what the user numbers: a stream, a shard */
	uint32_t at;      /* for the user: where the owner is */
	uint32_t n_early; /* fragments that came before the first one */
};

struct cu_datagrams {
	struct cu_datagram entries[CU_DATAGRAM_BUCKETS][CU_DATAGRAM_WAYS]; /* zeroed: empty */
};

/*
 * The datagram with this hash, of which a fragment was seen at time_ns; one
 * not known is added with owner CU_DATAGRAM_UNKNOWN. Good until the next call.
 */
struct cu_datagram *cu_datagrams_get(struct cu_datagrams *datagrams, uint64_t hash, int64_t time_ns);

#endif
