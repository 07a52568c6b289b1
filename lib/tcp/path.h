/*
 * The path as seen from the vantage point: round trips to each end, and where
 * on the path the capture was taken.
 */
#ifndef CU_TCP_PATH_H
#define CU_TCP_PATH_H

#include "lib/base/histogram.h"
#include "lib/tcp/trace.h"

/* The longest that a receiver may keep an ACK back (RFC 9293 section 3.8.6.3). */
#define CU_ACK_DELAY_NS (500 * CU_NS_PER_MS)
/*
 * The longest that a sender waits for its first ACK before it sends again: 1 s
 * (RFC 6298 section 2.1), 3 s before that (RFC 2988).
 */
#define CU_TIMER_FIRST_NS (3 * CU_NS_PER_S)
/* No retransmission timer in use is shorter: Linux's least is 200 ms, before the clock's ticks. */
#define CU_TIMER_LEAST_NS (190 * CU_NS_PER_MS)

/* Round trips from the vantage point to the receiver of a direction and back. */
struct cu_path_side {
	size_t n_samples;
	size_t n_by_timestamp;             /* of them, those that Karn's rule would have left out */
	int64_t min_ns, mean_ns, max_ns;   /* exact; meaningful when n_samples > 0 */
	int64_t median_ns, p90_ns, p99_ns; /* to 1/64 of themselves */
	int64_t handshake_ns;              /* the handshake's own sample; 0 none */
	int64_t slice_ns;                  /* width of each slice; 0 too few samples */
	struct cu_rtt_slice slice[CU_RTT_SLICES];
};

struct cu_path {
	struct cu_path_side side[2]; /* CU_C2S: to the server; CU_S2C: to the client */
	int64_t server_rtt_ns;       /* the shortest that may be one: 0 when unknown */
	int64_t client_rtt_ns;
	int64_t handshake_rtt_ns; /* the trace's: the answered SYN to the ACK that ends the handshake */
	uint8_t vantage;          /* enum cu_vantage */
	bool server_known, client_known;
	bool has_bare_acks;   /* of either side: some captures lack them */
	uint8_t usual_ttl[2]; /* of a direction's segments in an earlier connection of the same hosts; 0 unknown */
};

/* Storage of samples, kept between connections; it does not grow with their length. {0} is empty. */
struct cu_path_scratch {
	struct cu_histogram histogram[2];
	struct cu_path_pending *pending; /* two */
};
void cu_path_scratch_release(struct cu_path_scratch *scratch);

/*
 * Measures a marked trace. Samples are taken with Karn's rule (RFC 6298
 * section 3): none from bytes that were sent twice, unless the ACK's timestamp
 * says which copy it answers (RFC 7323 section 4.1). 0 or CU_ERR_NOMEM.
 */
int cu_path_measure(const struct cu_trace *trace, struct cu_path_scratch *scratch, struct cu_path *path);

/*
 * A host takes its time to answer: scheduling, interrupt moderation, its
 * application's wake-up. What is shorter is not a cause.
 */
#define CU_HOST_NS (2 * CU_NS_PER_MS)

/*
 * How much earlier than a round trip allows what an end did at once may show:
 * its minimum was measured on answers of the same host.
 */
static inline int64_t cu_path_early_ns(int64_t rtt_ns)
{
	int64_t host_ns = rtt_ns < CU_HOST_NS ? rtt_ns : CU_HOST_NS;
	return rtt_ns / 8 > host_ns ? rtt_ns / 8 : host_ns;
}

/* Where a capture stands whose ends are these round trips away. */
enum cu_vantage cu_path_vantage(int64_t client_rtt_ns, int64_t server_rtt_ns);

#endif
