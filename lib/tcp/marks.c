#include "lib/tcp/resent.h"
#include "lib/tcp/trace.h"

/*
 * Wireshark's analysis of sequence numbers, one pass in order of capture. The
 * rules are those of its 4.0 (section "TCP Analysis" of its User's Guide). A
 * pass either stays with them or settles what they guess: then the segment
 * says what settled it.
 */

/* Of a direction, as its segments pass. */
struct sender {
	int64_t next_seq;         /* highest end seen */
	int64_t next_seq_time;    /* when */
	int64_t last_ack;         /* what it acknowledged last; -1 nothing yet */
	int64_t last_time;        /* its last segment's */
	int64_t window;           /* last advertised, scaled */
	int64_t sent_window;      /* and as sent */
	int64_t whole_to;         /* end of what was captured without a hole */
	int64_t end_max, ack_max; /* highest of all its segments, whatever they are */
	uint32_t last_marks;
	int dup_acks; /* -1: what it lacks was told, until it acknowledges more */
	bool seen;
	bool scale_known;
	bool advanced_by_ack; /* what moved next_seq last was without payload */
};

struct pass {
	struct cu_trace *trace;
	bool settle;
	struct sender side[2];
	const struct cu_trace_segment *syn; /* that the handshake counts from */
	int64_t first_rtt_ns;
	/* Of the segment at hand. */
	uint32_t marks;
	uint16_t dup_ack;
};

/* Wireshark's limits: a fast retransmission within 20 ms of the last duplicate ACK, reordering within 3 ms. */
#define FAST_WITHIN_NS (20 * CU_NS_PER_MS)
#define OUT_OF_ORDER_WITHIN_NS (3 * CU_NS_PER_MS)

static bool is_syn(const struct cu_trace_segment *seg)
{
	return (seg->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN && !seg->icmp;
}

static void mark(struct pass *pass, enum cu_event_kind kind)
{
	pass->marks |= UINT32_C(1) << kind;
}

static int64_t sent_window(const struct cu_trace *trace, const struct cu_trace_segment *seg)
{
	return seg->flags & CU_TCP_SYN ? seg->window : seg->window >> trace->shift[seg->dir];
}

/* Window, keep-alive and duplicate ACK marks: those that need the state before this segment only. */
static void mark_window(struct pass *pass, const struct cu_trace_segment *seg)
{
	struct sender *fwd = &pass->side[seg->dir];
	const struct sender *rev = &pass->side[!seg->dir];
	bool special = (seg->flags & (CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST)) != 0;
	bool same_ack = seg->ack == fwd->last_ack;
	bool same_window = sent_window(pass->trace, seg) == fwd->sent_window;
	bool in_place = fwd->seen && seg->seq == fwd->next_seq;
	bool rev_kept_alive = rev->last_marks >> CU_EVENT_KEEP_ALIVE & 1;
	bool rev_probed = rev->last_marks >> CU_EVENT_ZERO_WINDOW_PROBE & 1;

	if (seg->len == 1 && in_place && rev->window == 0) {
		mark(pass, CU_EVENT_ZERO_WINDOW_PROBE);
		return;
	}
	if (seg->window == 0 && !special) {
		mark(pass, CU_EVENT_ZERO_WINDOW);
	}
	if (fwd->seen && seg->seq > fwd->next_seq && !(seg->flags & CU_TCP_RST)) {
		mark(pass, CU_EVENT_LOST_SEGMENT);
	}
	if (special) {
		return;
	}
	if (fwd->seen && seg->len <= 1 && seg->seq == fwd->next_seq - 1) {
		mark(pass, CU_EVENT_KEEP_ALIVE);
	}
	if (seg->len == 0 && seg->window != 0 && !same_window && in_place && same_ack) {
		mark(pass, CU_EVENT_WINDOW_UPDATE);
	}
	if (seg->len > 0 && rev->last_ack >= 0 && rev->scale_known &&
	    seg->seq + seg->len == rev->last_ack + rev->window) {
		mark(pass, CU_EVENT_WINDOW_FULL);
	}
	if (seg->len != 0 || !in_place || !same_window) {
		return;
	}
	/* A receiver may take a probe's byte and still have no room: that answers it too. */
	bool same_or_byte = same_ack || (pass->settle && seg->ack == fwd->last_ack + 1);
	if (seg->window != 0 && same_ack && rev_kept_alive) {
		mark(pass, CU_EVENT_KEEP_ALIVE_ACK);
	} else if (seg->window == 0 && same_or_byte && rev_probed) {
		mark(pass, CU_EVENT_ZERO_WINDOW_PROBE_ACK);
	} else if (seg->window != 0 && same_ack) {
		mark(pass, CU_EVENT_DUPLICATE_ACK);
		fwd->dup_acks = fwd->dup_acks < 0 ? 1 : fwd->dup_acks < UINT16_MAX ? fwd->dup_acks + 1 : UINT16_MAX;
		pass->dup_ack = (uint16_t)fwd->dup_acks;
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
	if (trace->connection.first_file == trace->connection.last_file) {
		return false;
	}
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
static void mark_unseen(struct pass *pass, const struct cu_trace_segment *seg)
{
	struct sender *rev = &pass->side[!seg->dir];
	if (seg->ack < 0 || !rev->seen || seg->ack <= rev->whole_to) {
		return;
	}
	if (rev->whole_to < rev->next_seq) {
		rev->whole_to = rev->next_seq;
		mark(pass, CU_EVENT_ACK_LOST_SEGMENT);
		return;
	}
	if (rev->dup_acks == 0) {
		mark(pass, CU_EVENT_ACK_LOST_SEGMENT);
	}
	rev->dup_acks = -1;
}

/* A clock that went back makes no interval short: Wireshark's are unsigned. */
static bool within(int64_t from_ns, int64_t to_ns, int64_t limit_ns)
{
	return to_ns >= from_ns && to_ns - from_ns < limit_ns;
}

static void mark_resent(struct pass *pass, size_t i)
{
	struct cu_trace_segment *seg = &pass->trace->segment[i];
	const struct sender *fwd = &pass->side[seg->dir], *rev = &pass->side[!seg->dir];
	if (!cu_carries(seg) || pass->marks >> CU_EVENT_KEEP_ALIVE & 1) {
		return;
	}
	/* A FIN that was not acknowledged had to be sent again, whatever its data. */
	int64_t end = pass->settle ? seg->end : seg->seq + seg->len;
	if (seg->len > 0 && rev->last_ack >= 0 && end <= rev->last_ack) {
		mark(pass, CU_EVENT_SPURIOUS_RETRANSMISSION);
		mark(pass, CU_EVENT_RETRANSMISSION);
		return;
	}
	/* More data over a probe's single byte is no retransmission. */
	if (!fwd->seen || seg->seq >= fwd->next_seq || (seg->len > 1 && seg->seq == fwd->next_seq - 1)) {
		return;
	}
	if (rev->dup_acks >= 2 && rev->last_ack == seg->seq && within(rev->last_time, seg->time_ns, FAST_WITHIN_NS)) {
		mark(pass, CU_EVENT_FAST_RETRANSMISSION);
		mark(pass, CU_EVENT_RETRANSMISSION);
		return;
	}
	int64_t limit = pass->first_rtt_ns > 0 ? pass->first_rtt_ns : OUT_OF_ORDER_WITHIN_NS;
	bool soon = within(fwd->next_seq_time, seg->time_ns, limit);
	if (soon && (seg->end != fwd->next_seq || (pass->settle && fwd->advanced_by_ack))) {
		if (!pass->settle || !was_sent(pass->trace, i)) {
			mark(pass, CU_EVENT_OUT_OF_ORDER);
			return;
		}
		cu_settle(seg, CU_SETTLED_EARLIER_SEGMENT);
	}
	mark(pass, CU_EVENT_RETRANSMISSION);
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

/* What is known of the windows' scale: a SYN says its sender's, and without the option both sides'. */
static void know_scales(struct pass *pass)
{
	const struct cu_connection_side *side = pass->trace->connection.side;
	for (int dir = 0; dir < 2; dir++) {
		bool other_has_none = side[!dir].has_syn && !side[!dir].syn.has_wscale;
		pass->side[dir].scale_known = side[dir].has_syn || other_has_none;
	}
	if (pass->settle && pass->trace->scale_unknown) {
		pass->side[0].scale_known = pass->side[1].scale_known = false;
	}
}

/* The SYN whose timestamp a SYN-ACK echoes (RFC 7323 section 3.2); NULL when none tells. */
static const struct cu_trace_segment *answered_syn(const struct cu_trace *trace, size_t i)
{
	const struct cu_trace_segment *answer = &trace->segment[i];
	for (size_t n = i; n > 0 && answer->has_timestamps; n--) {
		const struct cu_trace_segment *syn = &trace->segment[n - 1];
		if (is_syn(syn) && !cu_is(syn, CU_EVENT_DUPLICATE_FRAME) && syn->has_timestamps &&
		    syn->tsval == answer->tsecr) {
			return syn;
		}
	}
	return NULL;
}

/*
 * The initial round trip: from the last SYN, or the one that was answered, to
 * the ACK that ends the handshake. It needs no SYN-ACK: its ACK says that one
 * came. Wireshark takes the first ACK of either side, and a reset's.
 */
static void note_handshake(struct pass *pass, size_t i)
{
	const struct cu_trace_segment *seg = &pass->trace->segment[i];
	bool syn = (seg->flags & CU_TCP_SYN) != 0, ack = (seg->flags & CU_TCP_ACK) != 0;
	if (pass->first_rtt_ns != 0) {
		return;
	}
	if (syn && (!ack || pass->settle)) {
		const struct cu_trace_segment *answered = ack ? answered_syn(pass->trace, i) : seg;
		pass->syn = answered != NULL ? answered : pass->syn;
		return;
	}
	if (syn || !ack || pass->syn == NULL) {
		return;
	}
	/* A client whose data in the SYN was not taken goes back to byte 1 (RFC 7413). */
	bool ends = seg->dir == pass->syn->dir && (seg->seq == pass->syn->end || seg->seq == pass->syn->seq + 1) &&
	            !(seg->flags & CU_TCP_RST);
	if (ends || !pass->settle) {
		pass->first_rtt_ns = seg->time_ns - pass->syn->time_ns;
	}
}

/* What the next segments are held against. */
static void pass_on(struct pass *pass, const struct cu_trace_segment *seg)
{
	struct sender *fwd = &pass->side[seg->dir];
	bool in_place = !fwd->seen || seg->seq == fwd->whole_to;
	bool counts = !(pass->marks >> CU_EVENT_ZERO_WINDOW_PROBE & 1) && !(pass->settle && seg->flags & CU_TCP_RST);
	if (counts) {
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
	fwd->window = seg->window;
	fwd->sent_window = sent_window(pass->trace, seg);
	fwd->last_ack = seg->ack;
	fwd->last_time = seg->time_ns;
	fwd->last_marks = pass->marks;
}

static void pass_segment(struct pass *pass, size_t i)
{
	const struct cu_trace_segment *seg = &pass->trace->segment[i];
	struct sender *fwd = &pass->side[seg->dir];

	pass->marks = 0;
	pass->dup_ack = 0;
	if (!pass->settle && is_syn(seg) && fwd->seen) {
		fwd->next_seq = fwd->whole_to; /* a reset before it may have moved it */
	}
	mark_window(pass, seg);
	if (seg->ack != fwd->last_ack) {
		fwd->dup_acks = 0;
	}
	mark_unseen(pass, seg);
	mark_resent(pass, i);
	note_handshake(pass, i);
	pass_on(pass, seg);
}

static void begin(struct pass *pass, struct cu_trace *trace, bool settle)
{
	*pass = (struct pass){.trace = trace, .settle = settle};
	for (int dir = 0; dir < 2; dir++) {
		pass->side[dir] = (struct sender){
			.last_ack = -1, .window = -1, .sent_window = -1, .end_max = INT64_MIN, .ack_max = INT64_MIN};
	}
	know_scales(pass);
}

void cu_trace_mark(struct cu_trace *trace)
{
	struct pass pass;
	bool mirrored = comes_from_mirrors(trace);
	begin(&pass, trace, true);
	trace->mss[CU_C2S] = trace->mss[CU_S2C] = 0;
	for (size_t i = 0; i < trace->n; i++) {
		struct cu_trace_segment *seg = &trace->segment[i];
		seg->marks = 0;
		seg->dup_ack = 0;
		if (seg->icmp) {
			seg->marks = UINT32_C(1) << CU_EVENT_ICMP;
			continue;
		}
		if (is_duplicate_frame(trace, i, &pass.side[seg->dir], mirrored)) {
			seg->marks = UINT32_C(1) << CU_EVENT_DUPLICATE_FRAME;
			cu_settle(seg, seg->ip_id != 0 ? CU_SETTLED_IP_ID : CU_SETTLED_TIMESTAMPS);
			continue;
		}
		if (seg->len > trace->mss[seg->dir]) {
			trace->mss[seg->dir] = seg->len;
		}
		pass_segment(&pass, i);
		seg->marks |= pass.marks | (seg->flags & CU_TCP_RST ? UINT32_C(1) << CU_EVENT_RESET : 0);
		seg->dup_ack = pass.dup_ack;
	}
	settle_mss(trace);
	trace->handshake_ns = pass.first_rtt_ns;
	cu_trace_resent(trace);
}

void cu_trace_mark_forward(struct cu_trace *trace)
{
	struct pass pass;
	begin(&pass, trace, false);
	for (size_t i = 0; i < trace->n; i++) {
		struct cu_trace_segment *seg = &trace->segment[i];
		seg->forward = 0;
		seg->forward_dup_ack = 0;
		if (!seg->icmp) {
			pass_segment(&pass, i);
			seg->forward = pass.marks;
			seg->forward_dup_ack = pass.dup_ack;
		}
	}
}
