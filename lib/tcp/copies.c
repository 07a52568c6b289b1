#include "lib/tcp/copies.h"

/* Below this a round trip says nothing against a host's own delays. */
#define RTT_TELLS_NS (1 * CU_NS_PER_MS)

/* When an ACK may be for the next copy of the same, clearly later than this one; INT64_MAX when there is none near. */
static int64_t next_acked_ns(const struct cu_delivery *delivery, const struct cu_delivery_copy *copy,
                             int64_t receiver_rtt_ns)
{
	enum { LOOK_AHEAD = 64 };
	const struct cu_delivery_copy *end = delivery->copy + delivery->n_copies;
	end = end - copy > LOOK_AHEAD ? copy + LOOK_AHEAD : end;
	for (const struct cu_delivery_copy *next = copy + 1; next < end; next++) {
		if (next->start < copy->end && next->end > copy->start &&
		    next->time_ns - copy->time_ns > receiver_rtt_ns / 4) {
			return next->time_ns + receiver_rtt_ns - receiver_rtt_ns / 8;
		}
	}
	return INT64_MAX;
}

/* Whether the receiver reported that this range came twice (RFC 2883), in an ACK after from_step, when the copy came. */
static bool d_sacked(const struct cu_delivery *delivery, const struct cu_trace *trace,
                     const struct cu_delivery_copy *copy, size_t from_step, int64_t receiver_rtt_ns)
{
	enum { LOOK_AHEAD = 64 };
	int64_t until_ns = next_acked_ns(delivery, copy, receiver_rtt_ns);
	for (size_t s = from_step; s < delivery->n_steps && s < from_step + LOOK_AHEAD; s++) {
		const struct cu_trace_segment *ack = &trace->segment[delivery->step[s].seg];
		if (ack->time_ns >= until_ns) {
			break;
		}
		if (ack->n_sack == 0) {
			continue;
		}
		const struct cu_trace_sack *first = &trace->sack[ack->sack];
		bool below = first->right <= ack->ack;
		bool inside = ack->n_sack > 1 && first->left >= first[1].left && first->right <= first[1].right;
		if ((below || inside) && first->left <= copy->start && first->right >= copy->end) {
			return true;
		}
	}
	return false;
}

/* Whether the receiver had said that it holds the range (SACK, RFC 2018), in an ACK before the step until. */
static bool sacked_before(const struct cu_delivery *delivery, const struct cu_trace *trace,
                          const struct cu_delivery_copy *copy, size_t until)
{
	enum { LOOK_BACK = 32 };
	for (size_t s = until; s > 0 && s + LOOK_BACK > until; s--) {
		const struct cu_trace_segment *ack = &trace->segment[delivery->step[s - 1].seg];
		for (int b = 0; b < ack->n_sack; b++) {
			const struct cu_trace_sack *block = &trace->sack[ack->sack + (uint32_t)b];
			if (block->left <= copy->start && block->right >= copy->end) {
				return true;
			}
		}
	}
	return false;
}

/* An ACK that came no later than this after its round trip was not kept back. */
#define PROMPT_NS (10 * CU_NS_PER_MS)

/*
 * How long a receiver kept the ACK of a piece back, which is step acked, if it
 * sent no data with it; negative when it did. since_ns: when the piece, or the
 * copy of it that counts, passed.
 */
static int64_t ack_kept_ns(const struct cu_delivery *delivery, const struct cu_trace *trace, size_t acked,
                           int64_t since_ns, int64_t receiver_rtt_ns)
{
	if (acked == delivery->n_steps) {
		return -1;
	}
	const struct cu_trace_segment *ack = &trace->segment[delivery->step[acked].seg];
	if (ack->len > 0 || (ack->flags & (CU_TCP_SYN | CU_TCP_FIN))) {
		return -1;
	}
	int64_t kept_ns = ack->time_ns - since_ns - receiver_rtt_ns;
	return kept_ns > 0 ? kept_ns : 0;
}

/* The ACKs of a piece: the first that covers its start, all before it, and the first that covers its end. */
struct acks {
	size_t start, end;
};

static void find_acks(const struct cu_delivery *delivery, const struct cu_piece *piece, struct acks *acks)
{
	acks->start = cu_delivery_acked_near(delivery, piece->start, acks->start);
	acks->end = cu_delivery_acked_near(delivery, piece->end, acks->start);
}

/*
 * Whether all before a piece had been acknowledged when it passed, and its ACK
 * is for nothing else: two full segments are acknowledged at once (RFC 9293
 * section 3.8.6.3). Near the receiver an ACK may have the time of what it
 * answers: the order of capture tells.
 */
static bool was_alone(const struct cu_delivery *delivery, const struct cu_trace *trace, const struct cu_piece *piece,
                      const struct acks *acks)
{
	bool full = piece->end - piece->start >= trace->mss[trace->segment[piece->first_seg].dir];
	return acks->start < delivery->n_steps && delivery->step[acks->start].seg < piece->first_seg &&
	       (!full || delivery->step[acks->end].ack == piece->end);
}

/*
 * Counts one segment that was alone, by how its ACK came; neither when that
 * does not tell. The ACK of one that was sent again was kept back as well, as
 * far as is known now.
 */
static void count_ack(const struct cu_delivery *delivery, const struct cu_trace *trace, const struct cu_piece *piece,
                      struct acks *acks, int64_t receiver_rtt_ns, int *prompt, int *late)
{
	const struct cu_trace_segment *first = &trace->segment[piece->first_seg];
	if (piece->loss != CU_LOSS_NONE || first->len == 0) {
		return;
	}
	find_acks(delivery, piece, acks);
	int64_t kept_ns = ack_kept_ns(delivery, trace, acks->end, piece->first_ns, receiver_rtt_ns);
	if (kept_ns >= 0 && was_alone(delivery, trace, piece, acks)) {
		*prompt += kept_ns <= PROMPT_NS;
		*late += kept_ns > PROMPT_NS && (!piece->retransmitted || kept_ns <= CU_ACK_DELAY_NS);
	}
}

/* As many tell a receiver's habit. */
enum { HABIT_ACKS = 64 };

static void learn_habit(struct cu_delivery *delivery, const struct cu_trace *trace, int64_t receiver_rtt_ns)
{
	struct acks acks = {0};
	size_t p = 0;
	delivery->n_prompt_acks = delivery->n_late_acks = 0;
	for (; p < delivery->n_pieces && delivery->n_prompt_acks + delivery->n_late_acks < HABIT_ACKS; p++) {
		count_ack(delivery, trace, &delivery->piece[p], &acks, receiver_rtt_ns, &delivery->n_prompt_acks,
		          &delivery->n_late_acks);
	}
	delivery->n_habit_pieces = p;
}

/* What the others show. */
struct habit {
	int prompt, late;
};

static struct habit habit_without(const struct cu_delivery *delivery, const struct cu_trace *trace,
                                  const struct cu_piece *except, int64_t receiver_rtt_ns)
{
	struct habit own = {0};
	if ((size_t)(except - delivery->piece) < delivery->n_habit_pieces) {
		struct acks acks = {.start = cu_delivery_acked(delivery, except->start)};
		count_ack(delivery, trace, except, &acks, receiver_rtt_ns, &own.prompt, &own.late);
	}
	return (struct habit){delivery->n_prompt_acks - own.prompt, delivery->n_late_acks - own.late};
}

bool cu_delivery_acks_late(const struct cu_delivery *delivery, const struct cu_trace *trace,
                           const struct cu_piece *except, int64_t receiver_rtt_ns)
{
	struct habit habit = habit_without(delivery, trace, except, receiver_rtt_ns);
	/* A timer that ticks for the whole host (BSD's, lwIP's) fires soon after some. */
	return 2 * habit.prompt <= habit.late;
}

/* Whether the receiver spoke right after it acknowledged this, and nothing else: its program had it only then. */
static bool spoke_at_once(const struct cu_delivery *delivery, const struct cu_trace *trace, size_t acked)
{
	enum { LOOK = 16 };
	int64_t since_ns = delivery->step[acked].time_ns;
	for (size_t s = acked + 1; s < delivery->n_steps && s < acked + LOOK; s++) {
		if (delivery->step[s].time_ns - since_ns > PROMPT_NS) {
			break;
		}
		if (trace->segment[delivery->step[s].seg].len > 0) {
			return delivery->step[s].ack == delivery->step[acked].ack;
		}
	}
	return false;
}

/*
 * A segment alone, sent again before the longest delay of an ACK is over, to a
 * receiver that can say by neither SACK nor timestamps which copy it had. One
 * that is known to delay its ACKs and acknowledges the second copy at once had
 * the first. Not all that know SACK tell what came twice (RFC 2883): there it
 * takes a habit, but at the receiver itself, where nothing is lost behind the
 * capture.
 */
static bool had_first_copy(const struct cu_delivery *delivery, const struct cu_trace *trace, struct cu_piece *piece,
                           const struct cu_delivery_copy *copy, const struct acks *acks, int64_t receiver_rtt_ns)
{
	enum { HABIT = 3 };
	const struct cu_connection_side *receiver = &trace->connection.side[!trace->segment[copy->seg].dir];
	if (!receiver->has_syn || copy->time_ns - piece->first_ns > CU_ACK_DELAY_NS ||
	    !was_alone(delivery, trace, piece, acks)) {
		return false;
	}
	int64_t kept_ns = ack_kept_ns(delivery, trace, acks->end, copy->time_ns, receiver_rtt_ns);
	if (kept_ns < 0 || kept_ns > PROMPT_NS || spoke_at_once(delivery, trace, acks->end)) {
		return false;
	}
	struct habit habit = habit_without(delivery, trace, piece, receiver_rtt_ns);
	bool would_tell = receiver->syn.sack_permitted && !delivery->at_receiver;
	bool had = 2 * habit.prompt <= habit.late && (habit.late >= HABIT || !would_tell);
	piece->doubtful = !had && habit.prompt <= habit.late;
	return had;
}

/*
 * The ACK that says the same as one once more; NULL when none comes soon, or
 * when it may be that very packet again, as without identification it may.
 */
static const struct cu_trace_segment *second_ack(const struct cu_trace *trace, const struct cu_trace_segment *ack)
{
	enum { LOOK = 64 };
	const struct cu_trace_segment *end = trace->segment + trace->n;
	end = end - ack > LOOK ? ack + LOOK : end;
	for (const struct cu_trace_segment *seg = ack + 1; seg < end; seg++) {
		if (!seg->icmp && seg->dir == ack->dir && !cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
			bool again = cu_is(seg, CU_EVENT_DUPLICATE_ACK) && seg->ack == ack->ack && seg->n_sack == 0;
			return again && seg->ip_id != 0 && seg->ip_id != ack->ip_id ? seg : NULL;
		}
	}
	return NULL;
}

/* A stretch of time, both ends in it. */
struct period {
	int64_t from_ns, until_ns;
};

static bool is_within(const struct period *period, const struct cu_trace_segment *seg)
{
	return seg->time_ns >= period->from_ns && seg->time_ns <= period->until_ns;
}

/* Whether none of a segment's sender passed beside it, in steps of one or minus one, within a period. */
static bool none_beside(const struct cu_trace *trace, uint32_t seg_index, int step, const struct period *period)
{
	enum { LOOK = 64 };
	uint8_t dir = trace->segment[seg_index].dir;
	size_t i = seg_index + (size_t)step;
	for (size_t n = 1; n < LOOK; n++, i += (size_t)step) {
		const struct cu_trace_segment *other = i < trace->n ? &trace->segment[i] : NULL;
		if (other == NULL || !is_within(period, other)) {
			return true;
		}
		if (!other->icmp && other->dir == dir && cu_carries(other)) {
			return false;
		}
	}
	return false; /* as far as was looked */
}

/*
 * Whether the receiver acknowledged the same once more, a round trip after the
 * copy and after nothing else: the copy told it nothing new.
 */
static bool acknowledged_twice(const struct cu_trace *trace, const struct cu_delivery_copy *copy,
                               const struct cu_trace_segment *ack, int64_t receiver_rtt_ns)
{
	const struct cu_trace_segment *second = receiver_rtt_ns >= RTT_TELLS_NS ? second_ack(trace, ack) : NULL;
	if (second == NULL || second < &trace->segment[copy->seg]) {
		return false;
	}
	int64_t asked_ns = second->time_ns - receiver_rtt_ns, about_ns = receiver_rtt_ns / 4;
	const struct period period = {asked_ns - about_ns, asked_ns + about_ns};
	return is_within(&period, &trace->segment[copy->seg]) && none_beside(trace, copy->seg, -1, &period) &&
	       none_beside(trace, copy->seg, 1, &period);
}

/* What can be said of a copy whatever the piece. */
struct copy_facts {
	size_t sent_step;  /* ACKs that came before it */
	bool known;        /* the receiver said: it had this before (SACK), or has it twice (D-SACK) */
	bool asked;        /* whether known was looked for */
	size_t twice_step; /* the ACK step, plus 1, of which twice is known; 0 none */
	bool twice;        /* the receiver acknowledged twice */
};

/* Whether a SYN had arrived, and was answered for a connection of before. */
static bool was_refused(const struct cu_delivery *delivery, const struct cu_piece *piece,
                        const struct cu_delivery_copy *copy)
{
	return piece->start == 0 && delivery->refused_ns > piece->first_ns && delivery->refused_ns <= copy->time_ns;
}

/*
 * A range was seen again: was the copy needed? Then the earlier one was lost
 * after the vantage point.
 */
static bool copy_needed(const struct cu_delivery *delivery, const struct cu_trace *trace, struct cu_piece *piece,
                        const struct cu_delivery_copy *copy, struct copy_facts *facts, const struct acks *acks,
                        int64_t receiver_rtt_ns)
{
	if (acks->end < facts->sent_step || was_refused(delivery, piece, copy)) {
		return false;
	}
	if (!facts->asked) {
		facts->known = sacked_before(delivery, trace, copy, facts->sent_step) ||
		               d_sacked(delivery, trace, copy, facts->sent_step, receiver_rtt_ns);
		facts->asked = true;
	}
	if (facts->known || acks->end == delivery->n_steps) {
		return !facts->known;
	}
	const struct cu_ack_step *step = &delivery->step[acks->end];
	const struct cu_trace_segment *ack = &trace->segment[step->seg];
	const struct cu_trace_segment *sent = &trace->segment[copy->seg];
	const struct cu_trace_segment *first = &trace->segment[piece->arrive_seg];
	if (ack->has_timestamps && ack->tsecr != 0 && sent->has_timestamps &&
	    (int32_t)(sent->tsval - first->tsval) > 0) {
		/* The echo is that of the segment that moved the left edge (RFC 7323 section 4.3); some echo nothing: 0. */
		return (int32_t)(ack->tsecr - sent->tsval) >= 0;
	}
	if (facts->twice_step != acks->end + 1) {
		facts->twice_step = acks->end + 1;
		facts->twice = acknowledged_twice(trace, copy, ack, receiver_rtt_ns);
	}
	if (facts->twice || had_first_copy(delivery, trace, piece, copy, acks, receiver_rtt_ns)) {
		return false;
	}
	if (receiver_rtt_ns < RTT_TELLS_NS) {
		return true;
	}
	/* Either may have been acknowledged where they came together; then the later was for no loss of the first. */
	int64_t about_ns = receiver_rtt_ns / 4, apart_ns = copy->time_ns - first->time_ns;
	bool together = apart_ns >= 0 && apart_ns <= about_ns;
	return !together && step->time_ns - copy->time_ns >= receiver_rtt_ns - about_ns;
}

/*
 * Whether a piece came when the receiver's window was closed to it: a probe of
 * new data (RFC 9293 section 3.8.6.1), which the receiver drops.
 */
static bool was_refused_probe(const struct cu_delivery *delivery, const struct cu_piece *piece)
{
	size_t before = cu_delivery_steps_before(delivery, piece->first_seg);
	return before > 0 && delivery->step[before - 1].window == 0 && delivery->step[before - 1].edge <= piece->start;
}

/* A copy covers no more pieces in earnest: segments sent at once, of an offload of 64 KB. */
enum { COPY_PIECES_CAP = 64 };

static size_t copy_pieces_end(const struct cu_delivery *delivery, size_t first)
{
	return delivery->n_pieces - first > COPY_PIECES_CAP ? first + COPY_PIECES_CAP : delivery->n_pieces;
}

static void count_copy(struct cu_delivery *delivery, const struct cu_delivery_copy *copy)
{
	size_t p = cu_delivery_find(delivery, copy->start);
	for (size_t end = copy_pieces_end(delivery, p); p < end && delivery->piece[p].start < copy->end; p++) {
		struct cu_piece *piece = &delivery->piece[p];
		if (piece->loss != CU_LOSS_CAPTURE) {
			piece->n_copies++;
			piece->retransmitted = true;
		}
	}
}

static void settle_copy(struct cu_delivery *delivery, struct cu_trace *trace, const struct cu_delivery_copy *copy,
                        int64_t receiver_rtt_ns)
{
	struct cu_trace_segment *seg = &trace->segment[copy->seg];
	struct copy_facts facts = {.sent_step = cu_delivery_steps_before(delivery, copy->seg)};
	bool needed = false;
	size_t p = cu_delivery_find(delivery, copy->start);
	struct acks acks = {.start =
	                            p < delivery->n_pieces ? cu_delivery_acked(delivery, delivery->piece[p].start) : 0};
	/* Not of bytes from before the capture, of whose original nothing tells, nor of a SYN that was refused. */
	bool known = p < delivery->n_pieces && delivery->piece[p].start <= copy->start &&
	             !was_refused(delivery, &delivery->piece[p], copy);
	for (size_t end = copy_pieces_end(delivery, p); p < end && delivery->piece[p].start < copy->end; p++) {
		struct cu_piece *piece = &delivery->piece[p];
		find_acks(delivery, piece, &acks);
		if (piece->loss == CU_LOSS_CAPTURE ||
		    !copy_needed(delivery, trace, piece, copy, &facts, &acks, receiver_rtt_ns)) {
			continue;
		}
		needed = true;
		piece->arrive_ns = copy->time_ns > piece->arrive_ns ? copy->time_ns : piece->arrive_ns;
		piece->arrive_seg = copy->seg;
		if (piece->loss == CU_LOSS_NONE && was_refused_probe(delivery, piece)) {
			piece->due_ns = piece->arrive_ns;
			continue;
		}
		piece->loss =
			piece->loss == CU_LOSS_BEFORE || piece->loss == CU_LOSS_BOTH ? CU_LOSS_BOTH : CU_LOSS_AFTER;
	}
	if (!known) {
		return;
	}
	if (!cu_is(seg, CU_EVENT_RETRANSMISSION)) {
		cu_settle(seg, CU_SETTLED_EARLIER_SEGMENT);
	}
	seg->marks |= 1u << CU_EVENT_RETRANSMISSION;
	seg->marks &= ~(1u << CU_EVENT_OUT_OF_ORDER);
	if (!needed) {
		if (!cu_is(seg, CU_EVENT_SPURIOUS_RETRANSMISSION)) {
			cu_settle(seg, CU_SETTLED_LATER_SEGMENT);
		}
		seg->marks |= 1u << CU_EVENT_SPURIOUS_RETRANSMISSION;
	}
}

void cu_copies_settle(struct cu_delivery *delivery, struct cu_trace *trace, int64_t receiver_rtt_ns)
{
	for (size_t c = 0; c < delivery->n_copies; c++) {
		count_copy(delivery, &delivery->copy[c]);
	}
	learn_habit(delivery, trace, receiver_rtt_ns);
	for (size_t c = 0; c < delivery->n_copies; c++) {
		settle_copy(delivery, trace, &delivery->copy[c], receiver_rtt_ns);
	}
}
