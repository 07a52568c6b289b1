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

/* A transfer that is shorter says nothing of its window, nor does one that is at its edge now and then. */
enum { SMALL_FROM = 10, SMALL_SHARE = 4 };

/*
 * How much before one of its segments passed the ACKs had passed that the sender went by. At the sender itself what is
 * measured as its round trip is its own delay, and an ACK is known at once.
 */
static int64_t lateness(const struct cu_path *path, int dir)
{
	bool at_sender = path->vantage == (dir == CU_C2S ? CU_VANTAGE_CLIENT : CU_VANTAGE_SERVER);
	return at_sender ? 0 : dir == CU_C2S ? path->client_rtt_ns : path->server_rtt_ns;
}

/* Goes through what a direction's sender sent anew, with the ACKs that it had by then. */
struct sending {
	const struct cu_trace_segment *seg;
	size_t i, s; /* of the segments; of the ACK steps, how many */
	int64_t highest, edge;
};

static inline bool next_sent(struct sending *sending, const struct cu_trace *trace, const struct cu_delivery *delivery,
                             int dir, int64_t late_ns)
{
	for (; sending->i < trace->n; sending->i++) {
		const struct cu_trace_segment *seg = &trace->segment[sending->i];
		if (seg->icmp || seg->dir != dir || seg->len == 0 || seg->end <= sending->highest) {
			continue;
		}
		sending->seg = seg;
		sending->highest = seg->end;
		sending->i++;
		for (; sending->s < delivery->n_steps; sending->s++) {
			const struct cu_ack_step *step = &delivery->step[sending->s];
			if (step->time_ns > seg->time_ns - late_ns) {
				break;
			}
			sending->edge = step->edge > sending->edge ? step->edge : sending->edge;
		}
		return true;
	}
	return false;
}

/* The right edge of the window that a step tells, if its windows had this scale; a SYN's has none. */
static int64_t edge_of(const struct cu_ack_step *step, unsigned shift)
{
	return step->ack + step->window * (INT64_C(1) << (step->advertises ? shift : 0));
}

/*
 * Whether windows of this scale hold the sender: it fills them, or when it
 * stops, it mostly is until an ACK makes the room for more.
 */
static bool is_held(const struct cu_trace *trace, const struct cu_delivery *delivery, const struct cu_path *path,
                    int dir, unsigned shift)
{
	enum { STOPS_FROM = 3, STOPS_SHARE = 2 };
	const int64_t soon_ns = 3 * CU_HOST_NS + (path->client_rtt_ns + path->server_rtt_ns) / 4;
	int64_t mss = trace->mss[dir], late_ns = lateness(path, dir), last_ns = INT64_MAX;
	size_t n = 0, n_edge = 0, n_stops = 0, n_held = 0;
	int64_t early_ns = late_ns - cu_path_early_ns(late_ns);
	struct sending sending = {.highest = -1, .edge = -1}, early = {.highest = -1, .edge = -1};
	while (next_sent(&sending, trace, delivery, dir, late_ns) &&
	       next_sent(&early, trace, delivery, dir, early_ns)) {
		const struct cu_trace_segment *seg = sending.seg;
		bool stopped = seg->time_ns > last_ns && seg->time_ns - last_ns > soon_ns;
		last_ns = seg->time_ns;
		n++;
		n_stops += stopped;
		/* Below two segments a window is not filled, but closed. */
		const struct cu_ack_step *step = sending.s > 0 ? &delivery->step[sending.s - 1] : NULL;
		n_edge += step != NULL && step->advertises && edge_of(step, shift) - step->ack >= 2 * mss &&
		          edge_of(step, shift) - seg->end < mss;
		step = stopped && early.s > 1 ? &delivery->step[early.s - 1] : NULL;
		n_held += step != NULL && step->advertises && edge_of(step, shift) - step->ack >= 2 * mss &&
		          edge_of(step - 1, shift) < seg->end && seg->time_ns - early_ns - step->time_ns <= soon_ns;
	}
	return n >= SMALL_FROM &&
	       (n_edge * SMALL_SHARE >= n || (n_held >= STOPS_FROM && n_held * STOPS_SHARE >= n_stops));
}

/*
 * The furthest of the edges that the last of n steps tell, if their windows had
 * this scale: rounded down to it, an edge seems to move back (RFC 7323 section
 * 2.4), but a sender goes by the furthest.
 */
static int64_t highest_edge(const struct cu_delivery *delivery, size_t n, unsigned shift)
{
	enum { LOOK = 16 };
	int64_t highest = 0;
	for (size_t s = n > LOOK ? n - LOOK : 0; s < n; s++) {
		int64_t edge = edge_of(&delivery->step[s], shift);
		highest = edge > highest ? edge : highest;
	}
	return highest;
}

void cu_window_learn_scale(const struct cu_trace *trace, struct cu_delivery *delivery, const struct cu_path *path,
                           int dir)
{
	enum { SHIFT_MAX = 14 }; /* RFC 7323 section 2.3 */
	int64_t late_ns = lateness(path, dir);
	unsigned shift = 0;
	struct sending sending = {.highest = -1, .edge = -1};
	if (!delivery->scale_unknown || delivery->step == NULL) {
		return;
	}
	while (next_sent(&sending, trace, delivery, dir, late_ns - cu_path_early_ns(late_ns))) {
		const struct cu_ack_step *step = sending.s > 0 ? &delivery->step[sending.s - 1] : NULL;
		while (step != NULL && step->advertises && step->window > 0 && shift < SHIFT_MAX &&
		       highest_edge(delivery, sending.s, shift) < sending.seg->end) {
			shift++;
		}
	}
	if (!is_held(trace, delivery, path, dir, shift)) {
		return;
	}
	delivery->scale_unknown = false;
	for (size_t s = 0; s < delivery->n_steps; s++) {
		struct cu_ack_step *step = &delivery->step[s];
		int64_t more = edge_of(step, shift) - edge_of(step, 0);
		step->edge += more;
		step->window += more;
	}
}

/*
 * Whether never more was in flight than the window, and a segment, allows. An
 * ACK may have reached the sender a little earlier than its round trip says.
 */
static bool stays_within(const struct cu_trace *trace, const struct cu_delivery *delivery, int dir, int64_t late_ns,
                         uint64_t most_bytes)
{
	struct sending sending = {.highest = -1, .edge = -1};
	while (next_sent(&sending, trace, delivery, dir, late_ns - cu_path_early_ns(late_ns))) {
		if (sending.s > 0 && sending.seg->end - delivery->step[sending.s - 1].ack > (int64_t)most_bytes) {
			return false;
		}
	}
	return true;
}

struct cu_window_use cu_window_measure(const struct cu_trace *trace, const struct cu_delivery *delivery,
                                       const struct cu_path *path, int dir)
{
	struct cu_window_use use = {0};
	int64_t late_ns = lateness(path, dir);

	/* A SYN's window is not scaled, and so no measure of the others when they are. */
	if (measure_advertised(trace, delivery, dir, !trace->scaled && trace->shift[!dir] == 0, &use) == 0) {
		measure_advertised(trace, delivery, dir, true, &use);
	}
	struct sending sending = {.highest = -1, .edge = -1};
	while (next_sent(&sending, trace, delivery, dir, late_ns)) {
		const struct cu_trace_segment *seg = sending.seg;
		if (sending.s == 0) {
			continue;
		}
		int64_t flight = seg->end - delivery->step[sending.s - 1].ack;
		use.flight_max_bytes = flight > (int64_t)use.flight_max_bytes ? (uint64_t)flight : use.flight_max_bytes;
		use.n_sent++;
		use.n_edge += !delivery->scale_unknown && sending.edge - seg->end < trace->mss[dir];
	}
	/* Where the round trip is no more than the hosts' own delay, it is the receiver that is slow, not its window small. */
	bool path_counts = path->client_rtt_ns + path->server_rtt_ns >= CU_NS_PER_MS;
	use.small =
		path_counts && use.min_bytes > 0 && use.n_sent >= SMALL_FROM && use.n_edge * SMALL_SHARE >= use.n_sent;
	/* Who has more in flight goes by another window than the one that is seen. */
	uint64_t most_bytes = use.max_bytes + (uint64_t)trace->mss[dir];
	if (use.small && use.flight_max_bytes > most_bytes) {
		use.small = stays_within(trace, delivery, dir, late_ns, most_bytes);
	}
	return use;
}
