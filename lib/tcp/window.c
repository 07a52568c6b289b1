#include "lib/tcp/window.h"

/* A window that the direction's receiver advertised. */
static inline void note_advertised(struct cu_window_use *use, uint64_t window, uint64_t *n, double *sum)
{
	use->min_bytes = *n == 0 || window < use->min_bytes ? window : use->min_bytes;
	use->max_bytes = window > use->max_bytes ? window : use->max_bytes;
	*sum += (double)window;
	++*n;
}

/* Advertised windows of the direction's receiver, in SYNs or not; how many. A RST's means nothing. */
static uint64_t measure_advertised(const struct cu_trace *trace, const struct cu_delivery *delivery, int dir, bool syns,
                                   struct cu_window_use *use)
{
	double sum = 0;
	uint64_t n = 0;
	for (size_t i = 0; i < trace->syn_end && syns; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir != dir && !seg->icmp && (seg->flags & (CU_TCP_SYN | CU_TCP_RST)) == CU_TCP_SYN &&
		    !cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
			note_advertised(use, (uint64_t)seg->window, &n, &sum);
		}
	}
	for (size_t s = 0; s < delivery->n_steps; s++) {
		const struct cu_ack_step *step = &delivery->step[s];
		if (step->advertises) {
			note_advertised(use, (uint64_t)step->window, &n, &sum);
		}
	}
	use->mean_bytes = n > 0 ? (uint64_t)(sum / (double)n) : 0;
	return n;
}

struct cu_window_use cu_window_measure(const struct cu_trace *trace, const struct cu_delivery *delivery,
                                       const struct cu_path *path, int dir)
{
	/* A transfer that is shorter says nothing, nor does one that is at the edge now and then. */
	enum { SMALL_FROM = 10, SMALL_SHARE = 4 };
	struct cu_window_use use = {0};
	/* At the sender itself what is measured as its round trip is its own delay, and an ACK is known at once. */
	bool at_sender = path->vantage == (dir == CU_C2S ? CU_VANTAGE_CLIENT : CU_VANTAGE_SERVER);
	int64_t sender_rtt_ns = dir == CU_C2S ? path->client_rtt_ns : path->server_rtt_ns;
	int64_t late_ns = at_sender ? 0 : sender_rtt_ns;
	int64_t receiver_rtt_ns = dir == CU_C2S ? path->server_rtt_ns : path->client_rtt_ns;
	int64_t highest = -1, edge = -1;
	size_t s = 0;

	/* A SYN's window is not scaled, and so no measure of the others when they are. */
	if (measure_advertised(trace, delivery, dir, !trace->scaled && trace->shift[!dir] == 0, &use) == 0) {
		measure_advertised(trace, delivery, dir, true, &use);
	}
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || seg->dir != dir || seg->len == 0 || seg->end <= highest) {
			continue;
		}
		highest = seg->end;
		for (; s < delivery->n_steps && delivery->step[s].time_ns <= seg->time_ns - late_ns; s++) {
			edge = delivery->step[s].edge > edge ? delivery->step[s].edge : edge;
		}
		if (s == 0) {
			continue;
		}
		int64_t flight = seg->end - delivery->step[s - 1].ack;
		use.flight_max_bytes = flight > (int64_t)use.flight_max_bytes ? (uint64_t)flight : use.flight_max_bytes;
		use.n_sent++;
		use.n_edge += !trace->scale_unknown[!dir] && edge - seg->end < trace->mss[dir];
	}
	/* Where the round trip is no more than the hosts' own delay, it is the receiver that is slow, not its window small. */
	bool path_counts = sender_rtt_ns + receiver_rtt_ns >= CU_NS_PER_MS;
	/* Who has more in flight goes by another window than the one that is seen. */
	bool keeps = use.flight_max_bytes <= use.max_bytes + (uint64_t)trace->mss[dir];
	use.small = path_counts && keeps && use.min_bytes > 0 && use.n_sent >= SMALL_FROM &&
	            use.n_edge * SMALL_SHARE >= use.n_sent;
	return use;
}
