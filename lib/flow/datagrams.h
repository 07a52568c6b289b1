/*
 * Fragmented IP datagrams that are under way: what their fragments have in
 * common, found again by the ends and the identification.
 *
 * The table has a fixed size. Which datagram leaves when it is full is settled
 * by age alone, so that nothing depends on the seed. What its user knows of a
 * datagram stands in an array of the user's, under the same index.
 */
#ifndef CU_FLOW_DATAGRAMS_H
#define CU_FLOW_DATAGRAMS_H

#include "lib/base/hash.h"
#include "lib/base/index.h"
#include "lib/base/units.h"
#include "lib/packet/packet.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * From its first fragment on. Linux gives up after 30 s (net.ipv4.ipfrag_time),
 * others after 15 to 60 s (RFC 1122 section 3.3.2, RFC 8200 section 4.5).
 */
#define CU_DATAGRAM_EXPIRY_NS (30 * CU_NS_PER_S)

enum { CU_DATAGRAMS_CAP = 1024 };

struct cu_datagram {
	uint64_t hash;         /* of what its fragments share; 0: none */
	int64_t time_ns;       /* of the fragment that came first */
	uint16_t older, newer; /* index + 1; 0: none. Of a free one, newer is the next free one */
};

struct cu_datagrams {
	struct cu_hash_seed seed;
	struct cu_index index;
	uint16_t oldest, newest, free; /* index + 1 */
	uint16_t n_fresh;              /* entries ever used */
	struct cu_datagram entries[CU_DATAGRAMS_CAP];
};

/* 0 or CU_ERR_NOMEM; release after either. */
int cu_datagrams_init(struct cu_datagrams *datagrams);
void cu_datagrams_release(struct cu_datagrams *datagrams);

/*
 * The index of the datagram that a fragment seen at time_ns belongs to. One
 * not known is added, in place of the oldest when there is no room: is_new
 * says so, and what the user has under this index is of another one.
 */
uint32_t cu_datagrams_get(struct cu_datagrams *datagrams, const struct cu_ip_fragment *fragment, int64_t time_ns,
                          bool *is_new);

/* Forgets one that was got. */
void cu_datagrams_remove(struct cu_datagrams *datagrams, uint32_t idx);

#endif
