/*
 * Copies: of bytes that passed more than once, which copy reached the receiver,
 * and so whether the ones before it were lost behind the vantage point. Told by
 * what the receiver said (SACK, D-SACK, timestamp echoes), by how it
 * acknowledges what comes alone, and by the round trip. Internal to delivery.
 */
#ifndef CU_TCP_COPIES_H
#define CU_TCP_COPIES_H

#include "lib/tcp/delivery.h"

/* A segment whose bytes had been seen before. */
struct cu_delivery_copy {
	int64_t start, end;
	int64_t time_ns;
	uint32_t seg;
};

/*
 * Settles the copies of a delivery that is built but for them: when each piece
 * arrived, what was lost, and the marks of needless segments.
 */
void cu_copies_settle(struct cu_delivery *delivery, struct cu_trace *trace, int64_t receiver_rtt_ns);

/* How many ACK steps came before a segment; a coarse clock has some after it at the same time. */
size_t cu_delivery_steps_before(const struct cu_delivery *delivery, uint32_t seg);

#endif
