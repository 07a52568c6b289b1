#include "lib/tcp/resent.h"
#include "lib/tcp/trace.h"

/*
 * Wireshark's analysis of sequence numbers, one pass in order of capture.
 * The conditions are those of its documentation of tcp.analysis; where they
 * guess from the clock alone, the segment says what settled it otherwise.
 */

/* Of a direction, as its segments pass. */
struct sender {
	int64_t next_seq;      /* highest end seen */
	int64_t next_seq_time; /* when */
	int64_t last_ack;      /* what it acknowledged last; -1 nothing yet */
	int64_t last_ack_time;
	int64_t window;           /* last advertised */
	int64_t whole_to;         /* end of what was captured without a hole */
	int64_t end_max, ack_max; /* highest of all its segments, whatever they are */
	uint32_t last_marks;
	int dup_acks; /* -1: what it lacks was told, until it acknowledges more */
	bool seen;
	bool advanced_by_ack; /* what moved next_seq last was without payload */
};

/* Wireshark's limits: a fast retransmission within 20 ms of the last duplicate ACK, reordering within 3 ms. */
#define FAST_WITHIN_NS (20 * CU_NS_PER_MS)
#define OUT_OF_ORDER_WITHIN_NS (3 * CU_NS_PER_MS)

static void mark(struct cu_trace_segment *seg, enum cu_event_kind kind)
{
	seg->marks |= UINT32_C(1) << kind;
}

/* Window, keep-alive and duplicate ACK marks: those that need the state before this segment only. */
static void mark_window(struct cu_trace_segment *seg, struct sender *fwd, const struct sender *rev, bool scale_known)
{
	bool special = (seg->flags & (CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST)) != 0;
	bool same_ack = seg->ack == fwd->last_ack;
	bool in_place = fwd->seen && seg->seq == fwd->next_seq;
	bool rev_kept_alive = rev->last_marks >> CU_EVENT_KEEP_ALIVE & 1;
	bool rev_probed = rev->last_marks >> CU_EVENT_ZERO_WINDOW_PROBE & 1;

	if (seg->len == 1 && in_place && rev->seen && rev->window == 0 && rev->last_ack >= 0) {
		mark(seg, CU_EVENT_ZERO_WINDOW_PROBE);
		return;
	}
	if (seg->window == 0 && !special) {
		mark(seg, CU_EVENT_ZERO_WINDOW);
	}
	if (fwd->seen && seg->seq > fwd->next_seq && !(seg->flags & CU_TCP_RST)) {
		mark(seg, CU_EVENT_LOST_SEGMENT);
	}
	if (special || !fwd->seen) {
		return;
	}
	if (seg->len <= 1 && seg->seq == fwd->next_seq - 1) {
		mark(seg, CU_EVENT_KEEP_ALIVE);
	}
	if (seg->len == 0 && seg->window != 0 && seg->window != fwd->window && in_place && same_ack) {
		mark(seg, CU_EVENT_WINDOW_UPDATE);
	}
	if (seg->len > 0 && rev->last_ack >= 0 && scale_known && seg->seq + seg->len == rev->last_ack + rev->window) {
		mark(seg, CU_EVENT_WINDOW_FULL);
	}
	if (seg->len != 0 || !in_place || seg->window != fwd->window) {
		return;
	}
	if (seg->window != 0 && same_ack && rev_kept_alive) {
		mark(seg, CU_EVENT_KEEP_ALIVE_ACK);
	} else if (seg->window == 0 && (same_ack || seg->ack == fwd->last_ack + 1) && rev_probed) {
		mark(seg, CU_EVENT_ZERO_WINDOW_PROBE_ACK);
	} else if (seg->window != 0 && same_ack) {
		mark(seg, CU_EVENT_DUPLICATE_ACK);
		fwd->dup_acks = fwd->dup_acks < 0 ? 1 : fwd->dup_acks < UINT16_MAX ? fwd->dup_acks + 1 : UINT16_MAX;
		seg->dup_ack = (uint16_t)fwd->dup_acks;
	}
}

/* Whether a segment of this range passed before, looking back over a bounded stretch. */
static bool was_sent(const struct cu_trace *trace, size_t i)
{
	const struct cu_trace_segment *seg = &trace->segment[i];
	enum { LOOK_BACK = 256 };
	for (size_t back = 1; back <= i && back <= LOOK_BACK; back++) {
		const struct cu_trace_segment *old = &trace->segment[i - back];
		if (old->dir == seg->dir && cu_carries(old) && old->seq <= seg->seq && old->end >= seg->end) {
			return true;
		}
	}
	return false;
}

static bool is_same_packet(const struct cu_trace_segment *a, const struct cu_trace_segment *b)
{
	return a->dir == b->dir && !a->icmp && a->ip_id == b->ip_id && a->seq == b->seq && a->end == b->end &&
	       a->ack == b->ack && a->flags == b->flags && a->window == b->window && a->n_sack == b->n_sack &&
	       a->tsval == b->tsval && a->tsecr == b->tsecr;
}

/*
 * Whether it was captured more than once: its segments come from one file and
 * another in turn. Those of rotated files come from one and then the next.
 */
static bool comes_from_mirrors(const struct cu_trace *trace)
{
	uint64_t seen = 0; /* of file numbers, their lowest six bits */
	int n_files = 0, n_changes = -1;
	for (size_t i = 0; i < trace->n; i++) {
		uint16_t file = trace->segment[i].file;
		if (i > 0 && file == trace->segment[i - 1].file) {
			continue;
		}
		n_changes++;
		n_files += (seen >> file % 64 & 1) == 0;
		seen |= UINT64_C(1) << file % 64;
	}
	return n_changes >= n_files;
}

/* Copies among the segments before one: of its own file, and of another, the one with the most. */
struct copies {
	unsigned n_own, n_other;
};

static struct copies count_copies(const struct cu_trace *trace, size_t i, size_t look_back, int64_t within_ns)
{
	enum { FILES_CAP = 8 }; /* mirror ports of one connection */
	const struct cu_trace_segment *seg = &trace->segment[i];
	struct copies copies = {0, 0};
	uint16_t file[FILES_CAP];
	unsigned n[FILES_CAP], n_files = 0;
	for (size_t back = 1; back <= i && back <= look_back; back++) {
		const struct cu_trace_segment *old = &trace->segment[i - back];
		if (seg->time_ns - old->time_ns >= within_ns) {
			break;
		}
		if (!is_same_packet(old, seg)) {
			continue;
		}
		if (old->file == seg->file) {
			copies.n_own++;
			continue;
		}
		unsigned f = 0;
		while (f < n_files && file[f] != old->file) {
			f++;
		}
		if (f == n_files && n_files < FILES_CAP) {
			file[n_files] = old->file;
			n[n_files++] = 0;
		}
		if (f < n_files && ++n[f] > copies.n_other) {
			copies.n_other = n[f];
		}
	}
	return copies;
}

/*
 * Whether a frame is an earlier one captured or delivered again, by a mirror
 * port or a network that duplicates: the same packet down to its
 * identification, which a second transmission would not have. Where captures
 * of several ports are merged (mirrored), a packet is in each of them as often as it
 * passed: the n-th of one capture is the n-th of another, with identification
 * or without.
 */
static bool is_duplicate_frame(const struct cu_trace *trace, size_t i, struct sender *from, bool mirrored)
{
	enum { LOOK_BACK = 32, LOOK_BACK_FILES = 256 };
	const int64_t within_ns = CU_NS_PER_S / 5;
	const struct cu_trace_segment *seg = &trace->segment[i];
	/* Nearly all: no earlier one of this direction went as far. */
	bool is_news = seg->end > from->end_max || seg->ack > from->ack_max;
	from->end_max = seg->end > from->end_max ? seg->end : from->end_max;
	from->ack_max = seg->ack > from->ack_max ? seg->ack : from->ack_max;
	if (is_news) {
		return false;
	}
	/* In one capture without identification only data with its own timestamp is told from what was sent again. */
	bool has_mark = seg->ip_id != 0 || (seg->has_timestamps && seg->len > 0);
	if (!has_mark && !mirrored) {
		return false;
	}
	struct copies copies = count_copies(trace, i, mirrored ? LOOK_BACK_FILES : LOOK_BACK, within_ns);
	return (has_mark && copies.n_own > 0) || copies.n_other > copies.n_own;
}

/* An ACK beyond what was captured without a hole; told once, until the other direction's ACKs move. */
static void mark_unseen(struct cu_trace_segment *seg, struct sender *rev)
{
	if (seg->ack < 0 || !rev->seen || seg->ack <= rev->whole_to) {
		return;
	}
	if (rev->whole_to < rev->next_seq) {
		rev->whole_to = rev->next_seq;
		mark(seg, CU_EVENT_ACK_LOST_SEGMENT);
		return;
	}
	if (rev->dup_acks == 0) {
		mark(seg, CU_EVENT_ACK_LOST_SEGMENT);
	}
	rev->dup_acks = -1;
}

static void mark_resent(struct cu_trace *trace, size_t i, const struct sender *fwd, const struct sender *rev,
                        int64_t first_rtt_ns)
{
	struct cu_trace_segment *seg = &trace->segment[i];
	if (!cu_carries(seg) || cu_is(seg, CU_EVENT_KEEP_ALIVE)) {
		return;
	}
	if (seg->len > 0 && rev->last_ack >= 0 && seg->end <= rev->last_ack) {
		mark(seg, CU_EVENT_SPURIOUS_RETRANSMISSION);
		mark(seg, CU_EVENT_RETRANSMISSION);
		return;
	}
	/* More data over a probe's single byte is no retransmission. */
	if (!fwd->seen || seg->seq >= fwd->next_seq || (seg->len > 1 && seg->seq == fwd->next_seq - 1)) {
		return;
	}
	if (rev->dup_acks >= 2 && rev->last_ack == seg->seq && seg->time_ns - rev->last_ack_time < FAST_WITHIN_NS) {
		mark(seg, CU_EVENT_FAST_RETRANSMISSION);
		mark(seg, CU_EVENT_RETRANSMISSION);
		return;
	}
	int64_t limit = first_rtt_ns > 0 ? first_rtt_ns : OUT_OF_ORDER_WITHIN_NS;
	bool soon = seg->time_ns - fwd->next_seq_time < limit;
	if (soon && (seg->end != fwd->next_seq || fwd->advanced_by_ack)) {
		if (!was_sent(trace, i)) {
			mark(seg, CU_EVENT_OUT_OF_ORDER);
			return;
		}
		cu_settle(seg, CU_SETTLED_EARLIER_SEGMENT);
	}
	mark(seg, CU_EVENT_RETRANSMISSION);
}

/*
 * What a sender may put in a segment: the smaller of both advertised sizes,
 * less its options (RFC 9293 3.7.1); without the SYNs, the largest seen.
 */
static void settle_mss(struct cu_trace *trace)
{
	enum { TIMESTAMPS_BYTES = 12, DEFAULT_MSS = 536, OFFLOAD_ABOVE = 9000 };
	const struct cu_connection_side *side = trace->connection.side;
	int64_t advertised = INT64_MAX;
	for (int dir = 0; dir < 2; dir++) {
		if (side[dir].syn.mss > 64 && side[dir].syn.mss < advertised) {
			advertised = side[dir].syn.mss;
		}
	}
	bool timestamps = side[CU_C2S].syn.has_timestamps && side[CU_S2C].syn.has_timestamps;
	for (int dir = 0; dir < 2; dir++) {
		int64_t seen = trace->mss[dir];
		if (advertised != INT64_MAX) {
			trace->mss[dir] = advertised - (timestamps ? TIMESTAMPS_BYTES : 0);
		} else {
			trace->mss[dir] = seen < DEFAULT_MSS ? DEFAULT_MSS : seen > OFFLOAD_ABOVE ? 1460 : seen;
		}
	}
}

void cu_trace_mark(struct cu_trace *trace)
{
	struct sender side[2];
	for (int dir = 0; dir < 2; dir++) {
		side[dir] = (struct sender){.last_ack = -1, .end_max = INT64_MIN, .ack_max = INT64_MIN};
	}
	int64_t syn_time = 0, first_rtt_ns = 0;
	bool mirrored = comes_from_mirrors(trace);

	for (int dir = 0; dir < 2; dir++) {
		trace->mss[dir] = 0;
	}
	for (size_t i = 0; i < trace->n; i++) {
		struct cu_trace_segment *seg = &trace->segment[i];
		seg->marks = 0;
		seg->dup_ack = 0;
		if (seg->icmp) {
			mark(seg, CU_EVENT_ICMP);
			continue;
		}
		struct sender *fwd = &side[seg->dir], *rev = &side[!seg->dir];
		if (is_duplicate_frame(trace, i, fwd, mirrored)) {
			mark(seg, CU_EVENT_DUPLICATE_FRAME);
			cu_settle(seg, seg->ip_id != 0 ? CU_SETTLED_IP_ID : CU_SETTLED_TIMESTAMPS);
			continue;
		}
		if (seg->flags & CU_TCP_RST) {
			mark(seg, CU_EVENT_RESET);
		}
		if (seg->len > trace->mss[seg->dir]) {
			trace->mss[seg->dir] = seg->len;
		}
		if ((seg->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN) {
			syn_time = seg->time_ns; /* the latest, if it was sent again */
		} else if (syn_time != 0 && first_rtt_ns == 0 && seg->dir == CU_C2S && seg->flags & CU_TCP_ACK) {
			first_rtt_ns = seg->time_ns - syn_time;
		}
		mark_window(seg, fwd, rev, !trace->scale_unknown);
		if (seg->ack >= 0 && seg->ack != fwd->last_ack) {
			fwd->dup_acks = 0;
		}
		mark_unseen(seg, rev);
		mark_resent(trace, i, fwd, rev, first_rtt_ns);
		bool in_place = !fwd->seen || seg->seq == fwd->whole_to;
		if (!(seg->flags & CU_TCP_RST) && !cu_is(seg, CU_EVENT_ZERO_WINDOW_PROBE)) {
			if (!fwd->seen || seg->end > fwd->next_seq) {
				fwd->advanced_by_ack = seg->len == 0;
				fwd->next_seq = seg->end;
				fwd->next_seq_time = seg->time_ns;
				fwd->seen = true;
			}
			if (in_place) {
				fwd->whole_to = fwd->next_seq;
			}
		}
		if (seg->ack >= 0) {
			fwd->last_ack = seg->ack;
			fwd->last_ack_time = seg->time_ns;
			fwd->window = seg->window;
		}
		fwd->last_marks = seg->marks;
	}
	settle_mss(trace);
	trace->handshake_ns = first_rtt_ns;
	cu_trace_resent(trace);
}
