/*
 * Early fragments: copies of those that came before the first fragment of
 * their datagram, which has the ports, until it comes. Some senders send the
 * last one first, and two paths may change the order; it is a matter of
 * milliseconds, so what waits for CU_EARLY_WAIT_NS waits in vain.
 */
#ifndef CU_FLOW_EARLY_H
#define CU_FLOW_EARLY_H

#include "lib/base/bytes.h"
#include "lib/base/units.h"
#include "lib/capture/capture.h"

#include <stdbool.h>
#include <stdint.h>

#define CU_EARLY_WAIT_NS CU_NS_PER_S

/* An IPv4 datagram has at most 45 fragments in frames of Ethernet. */
enum { CU_EARLY_CAP = 256, CU_EARLY_BYTES_CAP = 65536 };

struct cu_early_packet {
	uint64_t datagram; /* its hash; 0: taken */
	struct cu_packet packet;
	struct cu_origin origin;
	struct cu_buf data; /* of packet */
};

/* In order of arrival; zeroed: empty. */
struct cu_early {
	struct cu_early_packet packets[CU_EARLY_CAP]; /* a ring */
	uint32_t first, n;
};

void cu_early_release(struct cu_early *early);

/* Keeps a copy of the packet that capture delivered last; false when there is no room for it. */
bool cu_early_add(struct cu_early *early, uint64_t datagram, const struct cu_capture *capture,
                  const struct cu_packet *packet);

/* The first that waits of a datagram, and waits no more; NULL: none. Good until the next is added. */
const struct cu_early_packet *cu_early_take(struct cu_early *early, uint64_t datagram);

/* The first of all, when it has waited too long by time_ns, or with all: as above. */
const struct cu_early_packet *cu_early_expire(struct cu_early *early, int64_t time_ns, bool all);

#endif
