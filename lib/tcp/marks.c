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
	int64_t last_ack;         /* what its last segment acknowledged; or NO_ACK */
	int64_t last_time;        /* its last segment's */
	int64_t ack_time;         /* of its first segment with that number */
	size_t unseen_by;         /* segment, plus 1, that acknowledged what had not been seen of it; 0 none */
	int64_t window;           /* last advertised, scaled */
	int64_t whole_to;         /* end of what was captured without a hole */
	int64_t end_max, ack_max; /* highest of all its segments, whatever they are */
	int64_t syn_seq;          /* of its last SYN that began elsewhere */
	uint32_t last_marks;
	int dup_acks; /* -1: what it lacks was told, until it acknowledges more */
	bool seen;
	bool scale_known;
	bool window_of_syn;
	uint8_t more_shift;   /* of its windows, beyond the trace's */
	bool advanced_by_ack; /* what moved next_seq last was without payload */
};

/* What a connection shows of being captured more than once. */
struct mirror {
	bool files;       /* by several files */
	size_t n_again;   /* frames that were told to be earlier ones again */
	int64_t after_ns; /* the longest that one of them took */
};

struct pass {
	struct cu_trace *trace;
	struct sender side[2];
	struct mirror mirror;
	const struct cu_trace_segment *syn; /* that the handshake counts from */
	int64_t first_rtt_ns;
	bool shaken; /* the handshake ended, however coarse the clock */
	/* Of the segment at hand. */
	uint32_t marks;
	uint16_t dup_ack;
	bool by_acks; /* they settled it */
};

/* Wireshark's limits: a fast retransmission within 20 ms of the last duplicate ACK, reordering within 3 ms. */
#define FAST_WITHIN_NS (20 * CU_NS_PER_MS)
#define OUT_OF_ORDER_WITHIN_NS (3 * CU_NS_PER_MS)

static bool is_syn(const struct cu_trace_segment *seg)
{
	return (seg->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN && !seg->icmp;
}

#define NO_ACK (INT64_MIN / 2) /* below any number, relative ones of what came before the capture too */

static inline int64_t acked(const struct cu_trace_segment *seg)
{
	return seg->flags & CU_TCP_ACK ? seg->ack : NO_ACK;
}

enum { SPECIAL = CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST };

static inline void mark(struct pass *pass, enum cu_event_kind kind)
{
	pass->marks |= UINT32_C(1) << kind;
}

/* Whether the window is the last one's, as sent: a SYN's is not scaled. */
static inline bool same_window(const struct cu_trace *trace, const struct cu_trace_segment *seg,
                               const struct sender *fwd)
{
	return (fwd->window_of_syn ? seg->window >> trace->shift[seg->dir] : seg->window) == fwd->window;
}

/* Of a segment without payload in its place: what its ACK and window say. */
static void mark_bare(struct pass *pass, const struct cu_trace_segment *seg, bool settle)
{
	struct sender *fwd = &pass->side[seg->dir];
	const struct sender *rev = &pass->side[!seg->dir];
	bool same_ack = acked(seg) == fwd->last_ack;
	/* A receiver may take a probe's byte and still have no room: that answers it too. */
	bool took_byte = settle && acked(seg) == fwd->last_ack + 1;

	if (!same_window(pass->trace, seg, fwd)) {
		if (same_ack && seg->window != 0) {
			mark(pass, CU_EVENT_WINDOW_UPDATE);
		}
	} else if (seg->window == 0) {
		if ((same_ack || took_byte) && rev->last_marks >> CU_EVENT_ZERO_WINDOW_PROBE & 1) {
			mark(pass, CU_EVENT_ZERO_WINDOW_PROBE_ACK);
			pass->by_acks = took_byte;
		}
	} else if (same_ack && rev->last_marks >> CU_EVENT_KEEP_ALIVE & 1) {
		mark(pass, CU_EVENT_KEEP_ALIVE_ACK);
	} else if (same_ack) {
		mark(pass, CU_EVENT_DUPLICATE_ACK);
		fwd->dup_acks = fwd->dup_acks < 0 ? 1 : fwd->dup_acks < UINT16_MAX ? fwd->dup_acks + 1 : UINT16_MAX;
		pass->dup_ack = (uint16_t)fwd->dup_acks;
	}
}

static inline void mark_full(struct pass *pass, const struct cu_trace_segment *seg)
{
	const struct sender *rev = &pass->side[!seg->dir];
	int64_t window = rev->window_of_syn ? rev->window : rev->window << rev->more_shift;
	if (rev->scale_known && seg->seq + seg->len == rev->last_ack + window) {
		mark(pass, CU_EVENT_WINDOW_FULL);
	}
}

/* Window, keep-alive and duplicate ACK marks: those that need the state before this segment only. */
static void mark_window(struct pass *pass, const struct cu_trace_segment *seg, bool settle)
{
	struct sender *fwd = &pass->side[seg->dir];
	const struct sender *rev = &pass->side[!seg->dir];
	bool special = (seg->flags & SPECIAL) != 0;
	bool in_place = fwd->seen && seg->seq == fwd->next_seq;

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
	if (seg->len > 0) {
		mark_full(pass, seg);
	} else if (in_place) {
		mark_bare(pass, seg, settle);
	}
}

static bool is_same_packet(const struct cu_trace_segment *a, const struct cu_trace_segment *b)
{
	/* identification first: it tells nearly all apart */
	return a->ip_id == b->ip_id && a->dir == b->dir && !a->icmp && a->seq == b->seq && a->end == b->end &&
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
	int64_t after_ns; /* since the last one */
};

static struct copies count_copies(const struct cu_trace *trace, size_t i, size_t look_back, int64_t within_ns)
{
	enum { FILES_CAP = 8 }; /* mirror ports of one connection */
	const struct cu_trace_segment *seg = &trace->segment[i];
	struct copies copies = {0};
	uint16_t file[FILES_CAP];
	unsigned n[FILES_CAP], n_files = 0;
	for (size_t back = 1; back <= i && back <= look_back; back++) {
		const struct cu_trace_segment *old = &trace->segment[i - back];
		if (!is_same_packet(old, seg)) {
			continue;
		}
		if (seg->time_ns - old->time_ns >= within_ns) {
			break;
		}
		if (copies.n_own + copies.n_other == 0) {
			copies.after_ns = seg->time_ns - old->time_ns;
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
 * identification, which a second transmission would not have, or to its
 * timestamp when a timer would have moved that. Where captures of several ports
 * are merged, a packet is in each of them as often as it passed: the n-th of
 * one capture is the n-th of another, with identification or without. In a
 * capture of a port that is mirrored, in which a quarter of the frames so far
 * are earlier ones again, one without identification is so, too, when it comes
 * as soon. by: what tells.
 */
static bool is_duplicate_frame(struct pass *pass, size_t i, enum cu_settled *by)
{
	enum { LOOK_BACK = 32, LOOK_BACK_MIRROR = 256, QUARTER = 4, AS_SOON = 2 };
	const int64_t within_ns = CU_NS_PER_S / 5;
	const struct cu_trace *trace = pass->trace;
	const struct cu_trace_segment *seg = &trace->segment[i];
	struct mirror *mirror = &pass->mirror;
	/* In one capture without identification only what has its own timestamp is told from what was sent again. */
	bool has_mark = seg->ip_id != 0 || (seg->has_timestamps && cu_carries(seg));
	bool by_port = mirror->n_again * QUARTER >= i;
	if (!has_mark && !mirror->files && !by_port) {
		return false;
	}
	bool mirrored = mirror->files || mirror->n_again > 0;
	struct copies copies = count_copies(trace, i, mirrored ? LOOK_BACK_MIRROR : LOOK_BACK, within_ns);
	bool told = (has_mark && copies.n_own > 0) || copies.n_other > copies.n_own;
	if (!told) {
		int64_t soon_ns = AS_SOON * mirror->after_ns;
		*by = CU_SETTLED_ROUND_TRIP;
		return by_port && copies.n_own > 0 &&
		       copies.after_ns <= (soon_ns > CU_NS_PER_MS ? soon_ns : CU_NS_PER_MS);
	}
	*by = seg->ip_id != 0 ? CU_SETTLED_IP_ID : CU_SETTLED_TIMESTAMPS;
	mirror->n_again++;
	mirror->after_ns = copies.after_ns > mirror->after_ns ? copies.after_ns : mirror->after_ns;
	return true;
}

/* Whether it goes further than any earlier one of its direction: nearly all do, and are copies of none. */
static inline bool is_news(struct sender *from, const struct cu_trace_segment *seg)
{
	bool is_news = seg->end > from->end_max || seg->ack > from->ack_max;
	from->end_max = seg->end > from->end_max ? seg->end : from->end_max;
	from->ack_max = seg->ack > from->ack_max ? seg->ack : from->ack_max;
	return is_news;
}

/* An ACK beyond what was captured without a hole; told once, until the other direction's ACKs move. */
static inline void mark_unseen(struct pass *pass, size_t i)
{
	const struct cu_trace_segment *seg = &pass->trace->segment[i];
	struct sender *rev = &pass->side[!seg->dir];
	if (!rev->seen || acked(seg) <= rev->whole_to) {
		return;
	}
	rev->unseen_by = i + 1;
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

/*
 * Whether a segment was captured behind its own ACK: its bytes are new, and the
 * ACK is from just before. Several queues of a card, or two ports, are not read
 * in the order of arrival. Its ACK is then of a segment that was captured.
 */
static bool is_overtaken_by_ack(struct pass *pass, const struct cu_trace_segment *seg)
{
	const int64_t disorder_ns = CU_NS_PER_MS;
	struct sender *fwd = &pass->side[seg->dir], *rev = &pass->side[!seg->dir];
	if (seg->len == 0 || seg->end > rev->last_ack || (fwd->seen && seg->seq < fwd->next_seq) ||
	    !within(rev->ack_time, seg->time_ns, disorder_ns)) {
		return false;
	}
	struct cu_trace_segment *ack = fwd->unseen_by > 0 ? &pass->trace->segment[fwd->unseen_by - 1] : NULL;
	if (ack != NULL && cu_is(ack, CU_EVENT_ACK_LOST_SEGMENT) && ack->ack == seg->end && seg->seq == fwd->whole_to) {
		ack->marks &= ~(UINT32_C(1) << CU_EVENT_ACK_LOST_SEGMENT);
		cu_settle(ack, CU_SETTLED_LATER_SEGMENT);
	}
	return true;
}

static void mark_resent(struct pass *pass, size_t i, bool settle)
{
	struct cu_trace_segment *seg = &pass->trace->segment[i];
	const struct sender *fwd = &pass->side[seg->dir], *rev = &pass->side[!seg->dir];
	if (pass->marks >> CU_EVENT_KEEP_ALIVE & 1) {
		return;
	}
	if (settle && is_overtaken_by_ack(pass, seg)) {
		pass->by_acks = true;
		return;
	}
	/* A FIN that was not acknowledged had to be sent again, whatever its data. */
	int64_t end = settle ? seg->end : seg->seq + seg->len;
	if (seg->len > 0 && end <= rev->last_ack) {
		mark(pass, CU_EVENT_SPURIOUS_RETRANSMISSION);
		mark(pass, CU_EVENT_RETRANSMISSION);
		return;
	}
	pass->by_acks = seg->len > 0 && seg->seq + seg->len <= rev->last_ack;
	/* More data over a probe's single byte is no retransmission. */
	if (!fwd->seen || seg->seq >= fwd->next_seq || (seg->len > 1 && seg->seq == fwd->next_seq - 1)) {
		return;
	}
	/* What was told to be lacking is -1 in Wireshark 4.0, which there is more than any count. */
	bool fast = rev->last_ack == seg->seq && within(rev->last_time, seg->time_ns, FAST_WITHIN_NS);
	pass->by_acks |= fast && rev->dup_acks < 0;
	if (fast && (rev->dup_acks >= 2 || (!settle && rev->dup_acks < 0))) {
		mark(pass, CU_EVENT_FAST_RETRANSMISSION);
		mark(pass, CU_EVENT_RETRANSMISSION);
		return;
	}
	int64_t limit = pass->first_rtt_ns > 0 ? pass->first_rtt_ns : OUT_OF_ORDER_WITHIN_NS;
	bool soon = within(fwd->next_seq_time, seg->time_ns, limit);
	if (soon && (seg->end != fwd->next_seq || (settle && fwd->advanced_by_ack))) {
		if (seg->end == fwd->next_seq) {
			cu_settle(seg, CU_SETTLED_ROUND_TRIP);
		}
		mark(pass, CU_EVENT_OUT_OF_ORDER);
		return;
	}
	mark(pass, CU_EVENT_RETRANSMISSION);
}

/*
 * Whether a sender fills segments of this length, its largest: one ends where
 * the next goes on at once, not when the first is acknowledged, and without the
 * PSH of the end of what there was to send. What was sent again says nothing.
 */
static bool fills(const struct cu_trace *trace, int dir, int64_t len, int64_t rtt_ns)
{
	const struct cu_trace_segment *full = NULL;
	bool acknowledged = false;
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!seg->icmp && seg->dir != dir) {
			acknowledged = acknowledged || (full != NULL && seg->ack >= full->end);
			continue;
		}
		if (seg->icmp || seg->len == 0) {
			continue;
		}
		int64_t after_ns = full != NULL ? seg->time_ns - full->time_ns : 0;
		if (full != NULL && seg->seq == full->end &&
		    (after_ns < rtt_ns / 2 || (!acknowledged && (after_ns < rtt_ns || rtt_ns == 0)))) {
			return true;
		}
		bool fills_it = seg->len == len && !(seg->flags & CU_TCP_PSH) && !cu_is(seg, CU_EVENT_RETRANSMISSION);
		full = fills_it ? seg : NULL;
		acknowledged = false;
	}
	return false;
}

/* A segment that may have been filled: of less than half of the largest nobody thinks so. */
static bool is_large(const struct cu_trace *trace, int dir, const struct cu_trace_segment *seg)
{
	return !seg->icmp && seg->dir == dir && seg->len > trace->mss[dir] / 2;
}

/*
 * The length that more than half of a direction's large segments have; 0 when
 * none has. Boyer, Moore: MJRTY, a fast majority vote algorithm.
 */
static uint32_t usual_len(const struct cu_trace *trace, int dir)
{
	uint32_t len = 0;
	size_t votes = 0, n = 0, n_large = 0;
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!is_large(trace, dir, seg)) {
			continue;
		}
		len = votes == 0 ? seg->len : len;
		votes = len == seg->len ? votes + 1 : votes - 1;
	}
	for (size_t i = 0; i < trace->n; i++) {
		if (is_large(trace, dir, &trace->segment[i])) {
			n_large++;
			n += trace->segment[i].len == len;
		}
	}
	return 2 * n > n_large ? len : 0;
}

/*
 * What most segments of a direction hold that were filled. A sender that
 * learns in mid-connection that the path takes less (RFC 1191), or tries now and
 * then whether it takes more (RFC 4821), has filled larger ones.
 */
static void settle_full(struct cu_trace *trace, int dir, bool some_smaller, int64_t rtt_ns)
{
	uint32_t len = some_smaller ? usual_len(trace, dir) : 0;
	trace->full[dir] = len != 0 && len < trace->mss[dir] && fills(trace, dir, len, rtt_ns) ? len : trace->mss[dir];
}

/* Whether every segment carries timestamps: both SYNs say so, or, where they were cut, the first segment behind them. */
static bool carry_timestamps(const struct cu_trace *trace)
{
	const struct cu_connection_side *side = trace->connection.side;
	if (side[CU_C2S].syn.has_timestamps && side[CU_S2C].syn.has_timestamps) {
		return true;
	}
	for (size_t i = 0; i < trace->n && (side[CU_C2S].syn.cut || side[CU_S2C].syn.cut); i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!seg->icmp && !(seg->flags & (CU_TCP_SYN | CU_TCP_RST))) {
			return seg->has_timestamps;
		}
	}
	return false;
}

/*
 * What a sender may put in a segment: the smaller of both advertised sizes,
 * less its options (RFC 9293 3.7.1), or less where it fills smaller ones: for
 * the path's MTU (RFC 1191), a tunnel, or options that it may want to send.
 * Below half, the receiver's window is as likely a reason. Where no SYN tells
 * (not captured, or without the option: ns-3), the largest that are filled; else
 * what most paths take.
 */
static void settle_mss(struct cu_trace *trace, int64_t rtt_ns)
{
	enum { TIMESTAMPS_BYTES = 12, DEFAULT_MSS = 536, USUAL_MSS = 1460, OFFLOAD_ABOVE = 9000 };
	const struct cu_connection_side *side = trace->connection.side;
	int64_t advertised = INT64_MAX;
	for (int dir = 0; dir < 2; dir++) {
		if (side[dir].syn.mss > 64 && side[dir].syn.mss < advertised) {
			advertised = side[dir].syn.mss;
		}
	}
	if (advertised != INT64_MAX && carry_timestamps(trace)) {
		advertised -= TIMESTAMPS_BYTES;
	}
	trace->advertised_mss = advertised != INT64_MAX ? advertised : 0;
	for (int dir = 0; dir < 2; dir++) {
		int64_t seen = trace->mss[dir];
		if (advertised == INT64_MAX) {
			bool filled = seen > USUAL_MSS || fills(trace, dir, seen, rtt_ns);
			trace->mss[dir] = seen > OFFLOAD_ABOVE || !filled ? USUAL_MSS
			                  : seen < DEFAULT_MSS            ? DEFAULT_MSS
			                                                  : seen;
		} else if (seen >= advertised || seen <= advertised / 2 || !fills(trace, dir, seen, rtt_ns)) {
			trace->mss[dir] = advertised;
		}
	}
}

/*
 * What is known of the windows' scale. Wireshark takes it from a SYN whose
 * answer was not seen, too, where nothing says that it was agreed.
 */
static void know_scales(struct pass *pass, bool settle)
{
	const struct cu_connection_side *side = pass->trace->connection.side;
	for (int dir = 0; dir < 2; dir++) {
		bool other_has_none = side[!dir].has_syn && !side[!dir].syn.has_wscale;
		bool alone = side[dir].has_syn && side[dir].syn.has_wscale && !side[!dir].has_syn;
		pass->side[dir].scale_known =
			settle ? !pass->trace->scale_unknown[dir] : side[dir].has_syn || other_has_none;
		pass->side[dir].more_shift = !settle && alone && side[dir].syn.wscale <= 14
		                                     ? (uint8_t)(side[dir].syn.wscale - pass->trace->shift[dir])
		                                     : 0;
	}
}

/* The SYN whose timestamp a SYN-ACK echoes (RFC 7323 section 3.2); NULL when none tells. */
static const struct cu_trace_segment *answered_syn(const struct cu_trace *trace, size_t i)
{
	enum { LOOK_BACK = 256 };
	const struct cu_trace_segment *answer = &trace->segment[i];
	for (size_t back = 1; back <= i && back <= LOOK_BACK && answer->has_timestamps; back++) {
		const struct cu_trace_segment *syn = &trace->segment[i - back];
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
static void note_handshake(struct pass *pass, size_t i, bool settle)
{
	const struct cu_trace_segment *seg = &pass->trace->segment[i];
	bool syn = (seg->flags & CU_TCP_SYN) != 0, ack = (seg->flags & CU_TCP_ACK) != 0;
	if (syn && (!ack || settle)) {
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
	if (ends || !settle) {
		pass->first_rtt_ns = seg->time_ns - pass->syn->time_ns;
		pass->shaken = settle;
	}
}

/* A number that moves ends what was counted of the last one. */
static inline void note_ack(struct sender *fwd, const struct cu_trace_segment *seg)
{
	if (acked(seg) != fwd->last_ack) {
		fwd->dup_acks = 0;
		fwd->ack_time = seg->time_ns;
	}
}

/* What the next segments are held against. */
static inline void pass_on(struct pass *pass, const struct cu_trace_segment *seg, bool settle)
{
	struct sender *fwd = &pass->side[seg->dir];
	bool in_place = !fwd->seen || seg->seq == fwd->whole_to;
	bool counts = !(pass->marks >> CU_EVENT_ZERO_WINDOW_PROBE & 1) && !(settle && cu_is_elsewhere(seg));
	if (counts) {
		if (!fwd->seen || seg->end > fwd->next_seq) {
			fwd->advanced_by_ack = seg->len == 0;
			fwd->next_seq = seg->end;
			fwd->next_seq_time = seg->time_ns;
			/* Wireshark takes the number 0, which a reset may have, for none. */
			fwd->seen = settle || (uint32_t)fwd->next_seq + pass->trace->base[seg->dir] != 0;
		}
		if (in_place) {
			fwd->whole_to = fwd->next_seq;
		}
	}
	fwd->window = seg->window;
	fwd->window_of_syn = (seg->flags & CU_TCP_SYN) != 0;
	fwd->last_ack = acked(seg);
	fwd->last_time = seg->time_ns;
	fwd->last_marks = pass->marks;
}

/* A SYN that began elsewhere than the stream does, the last such one again or another; or for a connection of before. */
static void mark_elsewhere(struct pass *pass, const struct cu_trace_segment *seg)
{
	struct sender *fwd = &pass->side[seg->dir];
	if (seg->flags & CU_TCP_SYN) {
		if (seg->seq == fwd->syn_seq) {
			mark(pass, CU_EVENT_RETRANSMISSION);
		}
		fwd->syn_seq = seg->seq;
	}
}

/* Settled or not it is the same rules; each is compiled apart. */
static inline __attribute__((always_inline)) void pass_segment(struct pass *pass, size_t i, bool settle)
{
	const struct cu_trace_segment *seg = &pass->trace->segment[i];
	struct sender *fwd = &pass->side[seg->dir];

	pass->marks = 0;
	pass->dup_ack = 0;
	pass->by_acks = false;
	if (!settle && is_syn(seg) && fwd->seen) {
		fwd->next_seq = fwd->whole_to; /* a reset before it may have moved it */
	}
	if (settle && cu_is_elsewhere(seg) && !(seg->flags & CU_TCP_RST)) {
		mark_elsewhere(pass, seg);
		note_handshake(pass, i, settle);
		pass_on(pass, seg, settle);
		return;
	}
	bool in_place = fwd->seen && seg->seq == fwd->next_seq;
	if (in_place && seg->len > 1 && seg->window != 0 && !(seg->flags & SPECIAL)) {
		mark_full(pass, seg); /* nearly all data: nothing else can be said of it */
	} else {
		mark_window(pass, seg, settle);
	}
	note_ack(fwd, seg);
	mark_unseen(pass, i);
	if (cu_carries(seg) && (seg->seq < fwd->next_seq || seg->seq < pass->side[!seg->dir].last_ack)) {
		mark_resent(pass, i, settle);
	}
	if (pass->first_rtt_ns == 0 && !pass->shaken) {
		note_handshake(pass, i, settle);
	}
	pass_on(pass, seg, settle);
}

/*
 * Most segments: data in its place, or an ACK without data that moves, of which
 * nothing can be said but that the data fills the window. The same as
 * pass_segment of these; false of others.
 */
static inline bool pass_plain(struct pass *pass, const struct cu_trace_segment *seg)
{
	struct sender *fwd = &pass->side[seg->dir];
	const struct sender *rev = &pass->side[!seg->dir];
	bool is_plain = fwd->seen && rev->seen && (pass->first_rtt_ns != 0 || pass->shaken) &&
	                (seg->flags & (SPECIAL | CU_TCP_ACK)) == CU_TCP_ACK && !cu_is_elsewhere(seg);
	bool in_place = seg->seq == fwd->next_seq && seg->seq == fwd->whole_to && seg->seq >= rev->last_ack;
	if (!is_plain || !in_place || seg->window == 0 || seg->ack > rev->whole_to ||
	    (seg->len > 0 ? seg->len == 1 : seg->ack == fwd->last_ack)) {
		return false;
	}
	pass->marks = 0;
	if (seg->len > 0) {
		mark_full(pass, seg);
	}
	note_ack(fwd, seg);
	pass_on(pass, seg, true);
	return true;
}

static void begin(struct pass *pass, struct cu_trace *trace, bool settle)
{
	*pass = (struct pass){.trace = trace, .first_rtt_ns = trace->dropped_handshake_ns};
	for (int dir = 0; dir < 2; dir++) {
		pass->side[dir] = (struct sender){
			.last_ack = NO_ACK,
			.window = INT32_MAX,
			.end_max = INT64_MIN,
			.ack_max = INT64_MIN,
			.syn_seq = INT64_MIN,
		};
	}
	know_scales(pass, settle);
}

void cu_trace_mark(struct cu_trace *trace)
{
	struct pass pass;
	begin(&pass, trace, true);
	pass.mirror.files = comes_from_mirrors(trace);
	trace->mss[CU_C2S] = trace->mss[CU_S2C] = 0;
	/* That their sender may have filled: more than half of the largest, and no PSH. */
	bool some_smaller[2] = {false, false};
	for (size_t i = 0; i < trace->n; i++) {
		struct cu_trace_segment *seg = &trace->segment[i];
		seg->marks = 0;
		seg->dup_ack = 0;
		if (seg->icmp) {
			seg->marks = UINT32_C(1) << CU_EVENT_ICMP;
			continue;
		}
		enum cu_settled by;
		if (!is_news(&pass.side[seg->dir], seg) && is_duplicate_frame(&pass, i, &by)) {
			seg->marks = UINT32_C(1) << CU_EVENT_DUPLICATE_FRAME;
			cu_settle(seg, by);
			continue;
		}
		int64_t mss = trace->mss[seg->dir];
		if (seg->len > mss) {
			trace->mss[seg->dir] = seg->len;
		} else if (seg->len < mss && seg->len > mss / 2 && (seg->flags & CU_TCP_PSH) == 0) {
			some_smaller[seg->dir] = true;
		}
		if (pass_plain(&pass, seg)) {
			seg->marks = pass.marks;
			continue;
		}
		pass_segment(&pass, i, true);
		seg->marks |= pass.marks | (seg->flags & CU_TCP_RST ? UINT32_C(1) << CU_EVENT_RESET : 0);
		seg->dup_ack = pass.dup_ack;
		if (pass.by_acks) {
			cu_settle(seg, CU_SETTLED_ACKS);
		}
	}
	settle_mss(trace, pass.first_rtt_ns);
	for (int dir = 0; dir < 2; dir++) {
		settle_full(trace, dir, some_smaller[dir], pass.first_rtt_ns);
	}
	trace->handshake_ns = pass.first_rtt_ns;
}

void cu_trace_mark_forward(struct cu_trace *trace)
{
	struct pass pass;
	bool copy = false, reset = false;
	begin(&pass, trace, false);
	for (size_t i = 0; i < trace->n; i++) {
		struct cu_trace_segment *seg = &trace->segment[i];
		seg->forward = 0;
		seg->forward_dup_ack = 0;
		if (seg->icmp) {
			continue;
		}
		int64_t limit_ns = pass.first_rtt_ns;
		reset |= cu_is_elsewhere(seg);
		pass_segment(&pass, i, false);
		seg->forward = pass.marks;
		seg->forward_dup_ack = pass.dup_ack;
		if (cu_settled_otherwise(seg) && seg->marks >> CU_SETTLED_TIMESTAMPS == 0) {
			bool order = ((seg->marks ^ seg->forward) & UINT32_C(1) << CU_EVENT_OUT_OF_ORDER) != 0;
			if (copy) {
				cu_settle(seg, CU_SETTLED_COPY);
			} else if (reset) {
				cu_settle(seg, CU_SETTLED_RESET);
			} else if (order && limit_ns != trace->handshake_ns) {
				cu_settle(seg, CU_SETTLED_ROUND_TRIP);
			}
		}
		copy |= cu_is(seg, CU_EVENT_DUPLICATE_FRAME);
	}
}
