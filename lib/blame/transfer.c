/*
 * What the time of a transfer went to.
 */
#include "lib/blame/account.h"

/* The ACK of a full segment may take so much longer than a round trip; queues make it later, and delays of ACKs. */
#define ACK_LATE_NS (200 * CU_NS_PER_MS)

/* Whether a segment is as large as they get, or is several that are, which a card cuts later. */
static bool is_full(const struct cu_trace *trace, const struct cu_trace_segment *seg)
{
	int64_t mss = trace->mss[seg->dir], full = trace->full[seg->dir];
	return seg->len >= full && (seg->len % full == 0 || seg->len % mss == 0);
}

/* Why a sender's next bytes came only at until, when those before had come at from. */
struct wait {
	int dir;
	int64_t from, until;           /* what is not charged yet */
	uint32_t first, last;          /* the segments that bound that */
	const struct cu_piece *before; /* what was delivered last; NULL at the start */
	const struct cu_piece *next;   /* what ended the wait */
};

/* Charges a wait up to a moment, and goes on from there. */
static void charge_until(struct cu_account *account, struct wait *wait, enum cu_cause cause, int64_t until,
                         uint32_t last)
{
	cu_charge(account, cause, wait->from, until, wait->first, last);
	wait->from = until;
	wait->first = last;
}

/* Charges what is left of a wait. */
static void charge_rest(struct cu_account *account, const struct wait *wait, enum cu_cause cause)
{
	cu_charge(account, cause, wait->from, wait->until, wait->first, wait->last);
}

/*
 * Whether a sender cut its next bytes to what little window was left: not at
 * once, but when its persist timer says so (RFC 9293 section 3.8.6.2.1). Less
 * than half of the largest window makes no sender wait in silence for more.
 */
static bool cut_to_window(const struct cu_delivery *delivery, size_t step_idx, const struct cu_piece *next, int64_t mss)
{
	enum { LOOK = 64 };
	const struct cu_ack_step *step = &delivery->step[step_idx];
	int64_t left = step->edge - next->start, largest = 0;
	if (next->end != step->edge || left >= mss) {
		return false;
	}
	for (size_t s = step_idx > LOOK ? step_idx - LOOK : 0; s <= step_idx; s++) {
		largest = cu_max_ns(largest, delivery->step[s].window);
	}
	return left < largest / 2;
}

/*
 * Whether the ACK that made room for more came late from a queue: the window
 * hardly changed, and what it acknowledges took half a round trip longer than
 * the path does. A larger window would only make a longer queue. A receiver that
 * reads slowly sends ACKs late, too, but then its window shrinks.
 */
static bool is_queued(const struct cu_account *account, const struct wait *wait, size_t step_idx)
{
	enum { FEW_SEGMENTS = 4 }; /* ACKs of fewer may be delayed */
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	const struct cu_window_use *window = &account->known->window[wait->dir];
	const struct cu_ack_step *step = &delivery->step[step_idx];
	int64_t receiver_rtt = cu_receiver_rtt(account, wait->dir);
	size_t p = cu_delivery_find(delivery, step->ack - 1);
	if (delivery->at_receiver || window->min_bytes < window->max_bytes - window->max_bytes / 4 ||
	    (int64_t)window->max_bytes < FEW_SEGMENTS * account->known->trace->mss[wait->dir] || step_idx == 0 ||
	    step->ack <= step[-1].ack || p == delivery->n_pieces) {
		return false;
	}
	int64_t late_ns = step->time_ns - delivery->piece[p].arrive_ns - receiver_rtt;
	return late_ns > cu_max_ns(CU_HOST_NS, (receiver_rtt + cu_sender_rtt(account, wait->dir)) / 2);
}

/*
 * The ACK, from one on, that says during a wait that all sent until then has
 * filled the window: zero is zero at any scale. n_steps when there is none.
 */
static size_t find_filled(const struct cu_delivery *delivery, size_t s, const struct wait *wait)
{
	for (; s < delivery->n_steps && delivery->step[s].time_ns < wait->until; s++) {
		if (delivery->step[s].window == 0 && delivery->step[s].edge == wait->next->start) {
			return s;
		}
	}
	return delivery->n_steps;
}

/*
 * How long the receiver's window held the sender, as seen at the vantage
 * point: until the ACK that made room had reached the sender and what it set
 * free had come back. Returns the end of that, wait->from when it did not.
 * Where the window was the limit all along, each ACK sets free what it makes
 * room for, and one that comes within the tolerance is the next one's. But what
 * comes later behind it than it was waited for has a pace of its sender's.
 */
static int64_t window_until(struct cu_account *account, const struct wait *wait, uint32_t *opened_by)
{
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	const struct cu_trace *trace = account->known->trace;
	enum { LOOK = 1024 }; /* ACKs: what makes room is among the first, unless every sequence number takes its own */
	int64_t rtt = cu_sender_rtt(account, wait->dir);
	int64_t need = cu_min_ns(wait->next->end - wait->next->start, trace->mss[wait->dir]);
	int64_t edge = wait->next->start + need;
	int64_t tolerance = cu_path_early_ns(rtt);
	bool all_along = account->known->window[wait->dir].small;
	size_t s =
		cu_delivery_steps_until(delivery, wait->from - rtt + (all_along ? 0 : tolerance), account->near_step);
	account->near_step = s;
	if (s == 0) {
		return wait->from;
	}
	const struct cu_ack_step *step = &delivery->step[s - 1];
	if (cut_to_window(delivery, s - 1, wait->next, trace->mss[wait->dir])) {
		edge = wait->next->start + trace->mss[wait->dir];
	}
	if (step->edge >= edge) {
		return wait->from;
	}
	if (delivery->scale_unknown && step->window != 0) {
		s = find_filled(delivery, s, wait);
		if (s == delivery->n_steps) {
			return wait->from;
		}
	}
	size_t last = delivery->n_steps - s > LOOK ? s + LOOK : delivery->n_steps;
	while (s < last && delivery->step[s].edge < edge && delivery->step[s].time_ns <= wait->until) {
		s++;
	}
	if (s == last || delivery->step[s].time_ns > wait->until) {
		/* Never opened as far as was seen. What came beyond the edge, but for a probe, was let through by an unseen ACK. */
		bool let_through =
			wait->next->end > delivery->step[s - 1].edge + 1 &&
			(s == delivery->n_steps || delivery->step[s].time_ns > wait->until + rtt + tolerance);
		cu_account_doubt_if(account, CU_DOUBT_CAPTURE_LACKS, let_through);
		return let_through ? wait->from : wait->until;
	}
	int64_t opened_ns = cu_min_ns(wait->until, cu_max_ns(wait->from, delivery->step[s].time_ns + rtt));
	int64_t held_ns = opened_ns - wait->from;
	if ((held_ns <= tolerance && wait->until - opened_ns > held_ns) || is_queued(account, wait, s)) {
		return wait->from;
	}
	*opened_by = delivery->step[s].seg;
	return opened_ns;
}

/*
 * Whether the ACK that a needless copy was sent for had been kept back, not
 * lost: a segment alone was out, the copy came before the longest delay
 * of an ACK was over, and no ACK had passed in time to stop it. Linux sends
 * again after 200 ms, lwIP acknowledges after 250 ms. A full one was alone
 * because others behind it were lost, if identifications are missing.
 */
static bool kept_back(const struct cu_account *account, const struct wait *wait, uint32_t copy_seg)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *copy = &trace->segment[copy_seg];
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	const struct cu_piece *out = wait->before;
	size_t acked = cu_delivery_acked(delivery, out->end);
	int64_t to_sender = cu_sender_rtt(account, wait->dir);
	bool passed = acked < delivery->n_steps && delivery->step[acked].seg < copy_seg &&
	              delivery->step[acked].time_ns + to_sender <= copy->time_ns;
	bool lost_behind = out->end - out->start >= trace->mss[wait->dir] && cu_hidden_missing(account, copy_seg);
	return !passed && !lost_behind && copy->seq <= out->start && copy->time_ns - out->first_ns <= CU_ACK_DELAY_NS &&
	       out->end - copy->seq <= trace->mss[wait->dir] &&
	       cu_delivery_acks_late(delivery, trace, out, cu_receiver_rtt(account, wait->dir));
}

/* Waits of one kind that make a habit. */
enum { HABIT = 4 };

/*
 * A sender that has more fills its segments. One that waits again and again
 * behind a segment that is not full, and hardly ever behind one that is, has
 * run out of bytes each time: no ACK, and no window or congestion window, holds
 * it then, though ACKs of what went before come all the while.
 */
static void settle_ran_out_waits(struct cu_account *account, int dir)
{
	bool habit = account->waits[CU_WAIT_RAN_OUT].n >= HABIT;
	cu_charge_settled(account, CU_WAIT_RAN_OUT, habit ? cu_pause_of(dir) : CU_NETWORK_TRANSFER);
	account->since_ran_out_ns = 0;
}

/* A wait that an ACK may have ended: since the sender ran out first, others than that make a small part, or it is over. */
static void count_clocked(struct cu_account *account, int dir, bool ran_out, int64_t ns)
{
	enum { OTHERS_SHARE = 3 };
	const struct cu_waits *waits = &account->waits[CU_WAIT_RAN_OUT];
	if (!ran_out && waits->n > 0) {
		account->since_ran_out_ns += ns;
		if (account->since_ran_out_ns > waits->ns / OTHERS_SHARE) {
			settle_ran_out_waits(account, dir);
		}
	}
}

/* The first segment from one on that has a timestamp, in steps of one or minus one; NULL when none is near. */
static const struct cu_trace_segment *find_stamped(const struct cu_trace *trace, int dir, size_t from, int step)
{
	enum { LOOK = 1024 };
	for (size_t n = 0, i = from; n < LOOK && i < trace->n; n++, i += (size_t)step) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir == dir && !seg->icmp && seg->has_timestamps) {
			return seg;
		}
	}
	return NULL;
}

/* A tick of a sender's timestamp clock (RFC 7323 section 5.4), by two segments; 0 when they tell none that is in use. */
static int64_t tick_between(const struct cu_trace_segment *first, const struct cu_trace_segment *last)
{
	static const int64_t in_use_ms[] = {1, 2, 4, 5, 10, 100, 200, 500, 1000};
	enum { LEAST = 10 };
	int32_t ticks = first != NULL && last != NULL ? (int32_t)(last->tsval - first->tsval) : 0;
	if (ticks < LEAST) {
		return 0;
	}
	int64_t measured_ns = (last->time_ns - first->time_ns) / ticks;
	for (size_t i = 0; i < sizeof(in_use_ms) / sizeof(in_use_ms[0]); i++) {
		int64_t tick = in_use_ms[i] * CU_NS_PER_MS;
		if (measured_ns > tick - tick / 8 && measured_ns < tick + tick / 8) {
			return tick;
		}
	}
	return 0;
}

/* The same of a direction's sender: up to one of its segments, or by its first and last, one of which may have been late. */
static int64_t tick_ns(const struct cu_trace *trace, int dir, const struct cu_trace_segment *until)
{
	const struct cu_trace_segment *first = find_stamped(trace, dir, 0, 1);
	int64_t tick = tick_between(first, until);
	return tick > 0 ? tick : tick_between(first, find_stamped(trace, dir, trace->n - 1, -1));
}

/* How far apart a direction's sender sent two segments, in ticks of its clock; negative when their timestamps do not tell. */
static int32_t ticks_between(const struct cu_trace *trace, int dir, uint32_t first, uint32_t last)
{
	const struct cu_trace_segment *before = &trace->segment[first], *next = &trace->segment[last];
	bool tells = before->has_timestamps && next->has_timestamps && before->dir == dir && next->dir == dir;
	return tells ? (int32_t)(next->tsval - before->tsval) : -1;
}

int64_t cu_held_up_ns(const struct cu_trace *trace, int dir, uint32_t first, uint32_t last, int64_t wait_ns)
{
	const int64_t least_ns = 50 * CU_NS_PER_MS;
	int32_t ticks = ticks_between(trace, dir, first, last);
	if (wait_ns < least_ns || ticks < 0) {
		return 0;
	}
	int64_t tick = tick_ns(trace, dir, &trace->segment[first]);
	int64_t held_ns = wait_ns - (ticks + INT64_C(1)) * tick;
	return tick > 0 && held_ns > wait_ns / 2 && held_ns >= least_ns ? held_ns : 0;
}

/*
 * Whether a segment begins or ends, in steps of one or minus one, several that
 * came at short intervals beside a wait: a sender that spaces its segments
 * evenly has no such.
 */
static bool is_burst(const struct cu_trace *trace, uint32_t seg_index, int step, int64_t wait_ns)
{
	enum { LEAST = 3, LOOK = 64, SHORTER = 4 };
	const struct cu_trace_segment *last = &trace->segment[seg_index];
	unsigned n_found = 1;
	for (size_t n = 0, i = seg_index; n < LOOK && i < trace->n && n_found < LEAST; n++, i += (size_t)step) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir != last->dir || seg->icmp || seg == last) {
			continue;
		}
		int64_t apart_ns = step > 0 ? seg->time_ns - last->time_ns : last->time_ns - seg->time_ns;
		if (seg->len == 0 || apart_ns > wait_ns / SHORTER) {
			break;
		}
		last = seg;
		n_found++;
	}
	return n_found == LEAST;
}

/* Whether a wait lies between bursts: a sender that spaces its segments has none. */
static bool is_between_bursts(const struct cu_trace *trace, const struct wait *wait)
{
	int64_t wait_ns = wait->until - wait->from;
	return is_burst(trace, wait->first, -1, wait_ns) && is_burst(trace, wait->last, 1, wait_ns);
}

/* The longest time between ACK steps from one to another that follow each other, and from the last of them to a moment. */
static int64_t longest_between(const struct cu_delivery *delivery, size_t from, size_t to, int64_t until)
{
	int64_t longest_ns = until - delivery->step[to].time_ns;
	for (size_t s = from + 1; s <= to; s++) {
		longest_ns = cu_max_ns(longest_ns, delivery->step[s].time_ns - delivery->step[s - 1].time_ns);
	}
	return longest_ns;
}

/* Whether the segments that bound a wait were sent as far apart as they came, by their sender's clock. */
static bool was_apart(const struct cu_trace *trace, const struct wait *wait)
{
	int32_t ticks = ticks_between(trace, wait->dir, wait->first, wait->last);
	return ticks > 0 &&
	       ticks * tick_ns(trace, wait->dir, &trace->segment[wait->first]) >= (wait->until - wait->from) * 3 / 4;
}

/*
 * What was in flight when a wait began is what its sender's congestion window
 * allowed, at least. From afar an ACK may be the reason of the last segments
 * that seems to come after them.
 */
static void note_flight(struct cu_account *account, const struct wait *wait)
{
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	int64_t rtt = cu_sender_rtt(account, wait->dir);
	size_t then = cu_delivery_steps_until(delivery, wait->from - rtt + rtt / 4, account->near_step);
	int64_t flight = wait->before->end - (then > 0 ? delivery->step[then - 1].ack : 0);
	/* After so long a silence the window begins anew (RFC 5681 section 4.1). */
	bool begins_anew = wait->until - wait->from > rtt + cu_receiver_rtt(account, wait->dir) + ACK_LATE_NS;
	account->largest_flight = begins_anew ? 0 : cu_max_ns(account->largest_flight, flight);
}

/*
 * Whether the sender had room long before it went on, and so nothing to send:
 * less was in flight than its congestion window had allowed before. But it was
 * no pacing, with a burst before and behind; nor recovery, which shrinks that
 * window, as nothing was sent twice; nor a full link, from which ACKs come evenly whatever the bursts. Seen
 * from afar bursts may be the path's, unless the sender's clock says otherwise.
 */
static bool had_room(struct cu_account *account, const struct wait *wait)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	int64_t rtt = cu_sender_rtt(account, wait->dir), wait_ns = wait->until - wait->from;
	bool at_sender = cu_at_sender(account, wait->dir);

	if (wait_ns <= CU_BUSY_NS || !cu_delivery_is_clean(delivery)) {
		return false;
	}
	note_flight(account, wait);
	size_t then = cu_delivery_steps_until(delivery, wait->from - rtt, account->near_step);
	int64_t long_ns = cu_min_ns(CU_BUSY_NS, cu_max_ns(CU_HOST_NS, wait_ns / 8));
	long_ns = at_sender ? long_ns : cu_max_ns(long_ns, rtt / 8);
	int64_t long_ago_ns = wait->until - rtt - long_ns;
	size_t now = cu_delivery_steps_until(delivery, long_ago_ns, then);
	if (then == 0 || now < then) {
		return false;
	}
	/* The last one may be what it answers, on a host that takes its time. */
	size_t known = now > then ? now - 1 : now;
	int64_t room = account->largest_flight - (wait->before->end - delivery->step[known - 1].ack);
	return room >= 2 * (int64_t)trace->full[wait->dir] && is_between_bursts(trace, wait) &&
	       longest_between(delivery, then - 1, now - 1, long_ago_ns) >= wait_ns / 2 &&
	       (at_sender || was_apart(trace, wait));
}

/* The little that a sender takes to go on, once an ACK has made room. */
static int64_t soon_ns(const struct cu_account *account, int dir)
{
	return CU_HOST_NS + cu_sender_rtt(account, dir) / 4;
}

/*
 * The segment with which a sender asked whether the window is still closed (RFC
 * 9293 section 3.8.6.1), long after an ACK that says it is not should have
 * reached it, and on whose answer it went on: that ACK was lost behind the
 * vantage point. UINT32_MAX when there is none.
 */
static uint32_t find_late_probe(const struct cu_account *account, const struct wait *wait)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	int64_t late_ns = wait->from + soon_ns(account, wait->dir);
	int64_t round_ns = cu_sender_rtt(account, wait->dir) + cu_receiver_rtt(account, wait->dir);
	/* BSD's is a byte of new data, and so the end of this wait. */
	const struct cu_piece *behind = wait->next + 1;
	bool ends_in_probe = wait->next->end - wait->next->start == 1 &&
	                     behind < delivery->piece + delivery->n_pieces && behind->start == wait->next->end;
	int64_t goes_on_ns = ends_in_probe ? behind->first_ns : wait->until;
	for (uint32_t i = wait->last + 1; i-- > wait->first;) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		bool asks = seg->dir == wait->dir && !seg->icmp && seg->len <= 1 && seg->seq <= wait->next->start &&
		            (i < wait->last || ends_in_probe);
		if (asks && seg->time_ns > late_ns &&
		    goes_on_ns - seg->time_ns <= round_ns + soon_ns(account, wait->dir)) {
			return i;
		}
	}
	return UINT32_MAX;
}

/* As long as the receiver's window held the sender. The little that it takes to go on belongs to it. */
static void charge_window(struct cu_account *account, struct wait *wait)
{
	enum cu_cause cause = cu_window_of_receiver(wait->dir);
	uint32_t opened_by = wait->first;
	int64_t held_until = window_until(account, wait, &opened_by);
	if (held_until <= wait->from) {
		return;
	}
	if (wait->until - held_until <= soon_ns(account, wait->dir)) {
		charge_until(account, wait, cause, wait->until, wait->last);
		return;
	}
	charge_until(account, wait, cause, held_until, opened_by);
	uint32_t probe = find_late_probe(account, wait);
	if (probe != UINT32_MAX) {
		cu_account_add_loss(account, CU_LOSS_AFTER);
		charge_until(account, wait, CU_NETWORK_LOSS, account->known->trace->segment[probe].time_ns, probe);
	}
}

bool cu_window_held(struct cu_account *account, int dir, int64_t from, int64_t until, const struct cu_piece *first)
{
	const struct wait wait = {.dir = dir, .from = from, .until = until, .next = first};
	uint32_t opened_by = 0;
	int64_t held_until = window_until(account, &wait, &opened_by);
	return held_until > from && until - held_until <= soon_ns(account, dir);
}

/*
 * Up to the copies that a timeout sent of what had arrived: the sender waited
 * for ACKs that were lost, or kept back. One that went on without them had
 * waited for its application.
 */
static void charge_vain_copies(struct cu_account *account, struct wait *wait)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	int64_t rtt = cu_sender_rtt(account, wait->dir);
	if (cu_delivery_is_clean(delivery)) {
		return;
	}
	size_t acked = cu_delivery_acked_near(delivery, wait->before->end, account->near_step);
	if (acked == delivery->n_steps || delivery->step[acked].time_ns + rtt - cu_path_early_ns(rtt) > wait->until) {
		return;
	}
	for (uint32_t i = wait->first + 1; i < wait->last; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir == wait->dir && cu_is(seg, CU_EVENT_SPURIOUS_RETRANSMISSION) &&
		    seg->time_ns > wait->from && seg->time_ns < wait->until) {
			enum cu_cause cause =
				kept_back(account, wait, i) ? cu_delayed_ack_of_receiver(wait->dir) : CU_NETWORK_LOSS;
			charge_until(account, wait, cause, seg->time_ns, i);
		}
	}
}

/* The last ACK that moved the edge and had reached the sender at the end of a wait; NULL when none had. */
static const struct cu_ack_step *last_acked(const struct cu_account *account, const struct wait *wait)
{
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	int64_t rtt = cu_sender_rtt(account, wait->dir);
	size_t s = cu_delivery_steps_until(delivery, wait->until - rtt + cu_path_early_ns(rtt), account->near_step);
	if (s == 0) {
		return NULL;
	}
	return &delivery->step[cu_delivery_acked_near(delivery, delivery->step[s - 1].ack, s)];
}

/* What had been acknowledged, and where the window ended, before a step. */
static const struct cu_ack_step *step_before(const struct cu_delivery *delivery, const struct cu_ack_step *step)
{
	static const struct cu_ack_step none;
	return step > delivery->step ? step - 1 : &none;
}

/* Whether an ACK set the sender free: one that reached it just before it sent. */
static bool is_clocked(const struct cu_account *account, const struct wait *wait, const struct cu_ack_step *trigger)
{
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	int64_t rtt = cu_sender_rtt(account, wait->dir);
	return trigger != NULL && step_before(delivery, trigger)->ack < wait->before->end &&
	       trigger->time_ns + rtt >= wait->from &&
	       wait->until - (trigger->time_ns + rtt) <= cu_max_ns(CU_BUSY_NS, rtt / 4);
}

/*
 * A wait for an ACK. The receiver may have sat on that: as a rule only for less
 * than two full segments (RFC 9293 3.8.6.3), but what is late next to it is its
 * own.
 */
static void charge_clocked(struct cu_account *account, struct wait *wait, const struct cu_ack_step *trigger)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	const struct cu_ack_step *earlier = step_before(delivery, trigger);
	int64_t mss = trace->full[wait->dir], sent_before = wait->before->end;
	int64_t sent_ns = trigger->time_ns - cu_receiver_rtt(account, wait->dir);
	/* One that reports a hole goes out at once (RFC 5681 section 4.2). */
	bool may_delay = trace->segment[trigger->seg].n_sack == 0 &&
	                 (delivery->at_receiver || sent_before - earlier->ack < 2 * mss);
	bool delayed = may_delay && sent_ns - wait->before->arrive_ns > CU_DELAYED_ACK_NS;
	int64_t held_ns = delayed ? cu_min_ns(cu_max_ns(sent_ns, wait->from), wait->until) - wait->from : 0;
	int64_t clocked_ns = wait->until - wait->from - held_ns;
	bool next_full = trace->segment[wait->last].len >= mss;
	bool small = sent_before - wait->before->start < mss && !next_full;
	/* Or cut to the window. */
	bool at_edge = !delivery->scale_unknown && trigger > delivery->step && earlier->edge - sent_before < mss;
	/* Or a send buffer, of which each ACK gives back what it acknowledges. */
	int64_t flight = sent_before - earlier->ack;
	bool at_limit = trigger->ack < sent_before && flight >= account->largest_unacked;
	account->largest_unacked = cu_max_ns(account->largest_unacked, flight);
	bool ran_out =
		next_full && held_ns == 0 && !at_edge && !at_limit && !is_full(trace, &trace->segment[wait->first]);

	account->charging = small ? CU_WAIT_SMALL_DELAYED : CU_WAIT_SETTLED;
	if (held_ns > 0) {
		charge_until(account, wait, cu_delayed_ack_of_receiver(wait->dir), wait->from + held_ns, trigger->seg);
	}
	account->charging = small ? CU_WAIT_SMALL : ran_out ? CU_WAIT_RAN_OUT : CU_WAIT_SETTLED;
	charge_rest(account, wait, CU_NETWORK_TRANSFER);
	account->charging = CU_WAIT_SETTLED;
	account->n_small += small;
	account->n_small_alone += small && earlier->ack >= wait->before->start;
	if (!small) {
		count_clocked(account, wait->dir, ran_out, clocked_ns);
	}
}

/*
 * The application had nothing to say, as far as can be told before the whole
 * message is known. What came of it before may be one, if it was less than a
 * segment, or ended with one that was not full.
 */
static void charge_pause(struct cu_account *account, const struct wait *wait, bool full)
{
	bool spaced = full && !is_between_bursts(account->known->trace, wait);
	int64_t mss = account->known->trace->full[wait->dir], sent_before = wait->before->end;
	int64_t wait_ns = wait->until - wait->from;
	if (spaced) {
		bool first = account->waits[CU_WAIT_FULL].n == 0;
		account->shortest_full_ns = first ? wait_ns : cu_min_ns(account->shortest_full_ns, wait_ns);
	}
	account->n_other_pauses += !spaced;
	if (full && cu_hidden_maybe(account, wait->dir, wait->last, wait_ns)) {
		cu_account_doubt(account, CU_DOUBT_LIKE_A_TIMER); /* its sender had more, and may have sent it */
	}
	/* An ACK, or what it set free, may have been that long on its way. */
	cu_account_doubt_if(account, CU_DOUBT_LATE_ACK, wait_ns < cu_wavering_rtt(account, !wait->dir));
	bool short_before = sent_before - account->burst_start < mss;
	account->whole_before_ns += short_before ? wait_ns : 0;
	account->ended_before_ns += short_before || !full ? wait_ns : 0;
	account->last_pause_ns = wait_ns;
	account->burst_start = wait->next->start;
	account->charging = spaced ? CU_WAIT_FULL : CU_WAIT_SETTLED;
	charge_rest(account, wait, cu_pause_of(wait->dir));
	account->charging = CU_WAIT_SETTLED;
}

/*
 * A wait that nothing held: the application had nothing to say, unless its last
 * segment was full, as no application's last one is but by chance: then
 * congestion control may have spaced them out (recovery, BBR's pacing). PSH
 * says nothing: stacks set it by habit.
 */
static void charge_unheld(struct cu_account *account, struct wait *wait, bool full, int64_t acked)
{
	int64_t round_ns = cu_sender_rtt(account, wait->dir) + cu_receiver_rtt(account, wait->dir);
	int64_t wait_ns = wait->until - wait->from;
	bool within_flight = wait_ns < round_ns + ACK_LATE_NS;
	if (full && acked < wait->before->end && within_flight) {
		charge_rest(account, wait, CU_NETWORK_TRANSFER);
		return;
	}
	if (wait->next->loss == CU_LOSS_NONE) {
		int64_t until = wait->until;
		wait->until -= cu_held_up_ns(account->known->trace, wait->dir, wait->first, wait->last, wait_ns);
		cu_charge(account, CU_NETWORK_TRANSFER, wait->until, until, wait->first, wait->last);
		wait_ns = wait->until - wait->from;
	}
	bool lost = wait_ns > CU_HOST_NS && (cu_hidden_loss(account, wait->dir, wait->last, wait_ns) ||
	                                     cu_hidden_before(account, wait->dir, wait->last, wait->next->start));
	if (lost) {
		cu_account_doubt(account, CU_DOUBT_UNSEEN_LOSS);
		cu_account_add_loss(account, CU_LOSS_BEFORE);
		charge_rest(account, wait, cu_hidden_loss_cause(account, wait->dir, wait->last, wait_ns));
	} else if (wait_ns <= CU_HOST_NS || (full && within_flight)) {
		charge_rest(account, wait, CU_NETWORK_TRANSFER);
	} else {
		charge_pause(account, wait, full);
	}
}

/* Charges a wait that no loss explains. */
static void charge_wait(struct cu_account *account, struct wait *wait)
{
	const struct cu_trace *trace = account->known->trace;
	wait->first = wait->before != NULL ? wait->before->arrive_seg : wait->next->first_seg;
	wait->last = wait->next->first_seg;
	if (wait->next->loss == CU_LOSS_CAPTURE) {
		charge_rest(account, wait, CU_UNKNOWN_CAPTURE);
		return;
	}
	charge_window(account, wait);
	if (wait->until - wait->from <= CU_HOST_NS || wait->before == NULL) {
		charge_rest(account, wait, CU_NETWORK_TRANSFER);
		return;
	}
	charge_vain_copies(account, wait);

	bool full = is_full(trace, &trace->segment[wait->before->arrive_seg]);
	const struct cu_ack_step *acked = last_acked(account, wait);
	if (full && had_room(account, wait)) {
		account->charging = CU_WAIT_IDLE;
		charge_rest(account, wait, CU_NETWORK_TRANSFER);
		account->charging = CU_WAIT_SETTLED;
	} else if (is_clocked(account, wait, acked)) {
		charge_clocked(account, wait, acked);
	} else {
		charge_unheld(account, wait, full, acked != NULL ? acked->ack : 0);
	}
}

/* A loss that only a large segment suffers: what came through at last was smaller. */
enum cu_cause cu_loss_cause(const struct cu_account *account, int dir, const struct cu_piece *piece)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_delivery *delivery = &account->known->delivery[dir];
	const struct cu_trace_segment *sent = &trace->segment[piece->first_seg];
	const struct cu_trace_segment *came = &trace->segment[piece->arrive_seg];
	/* What a card cuts later was no larger on the wire, and where it is cut the last part is what is left. */
	int64_t mss = trace->mss[dir], len = sent->len;
	if (len > mss) {
		int64_t parts = came->seq > sent->seq && came->seq < sent->end ? (came->seq - sent->seq) / mss : 0;
		len = cu_min_ns(mss, len - parts * mss);
	}
	bool shrunk = piece->loss != CU_LOSS_BEFORE && came->len < len && piece->n_copies > 2 && len == mss;
	bool large = len > 536;
	bool tells = delivery->n_steps > 0 && (delivery->largest_passed > 0 || len == mss); /* or a handshake passed */
	bool vanish = tells && piece->loss == CU_LOSS_AFTER && piece->n_copies > 2 && delivery->largest_passed < len;
	/* What a device said was too large was put together there, of several that are not, if it passed as it was. */
	bool as_it_was = came->len == sent->len || (came->len >= mss && came->len % mss == 0);
	bool reported = cu_delivery_too_big(delivery, piece->due_ns, piece->arrive_ns) &&
	                !(as_it_was && cu_delivery_acked(delivery, piece->end) < delivery->n_steps);
	if (dir == CU_C2S && piece->start <= 1 && cu_handshake_has_no_room(account, piece->first_ns)) {
		return CU_SERVER_CONNECT;
	}
	if (large && (shrunk || vanish || reported)) {
		return CU_NETWORK_MTU;
	}
	return piece->loss == CU_LOSS_BEFORE
	               ? cu_hidden_loss_cause(account, dir, piece->arrive_seg, piece->arrive_ns - piece->due_ns)
	               : CU_NETWORK_LOSS;
}

/* Whether a sender does not wait with a small segment for the ACK of one before it: its Nagle algorithm is off. */
static bool sends_small_at_once(const struct cu_account *account, int dir, int64_t start, int64_t end)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_delivery *delivery = &account->known->delivery[dir];
	int64_t rtt = cu_sender_rtt(account, dir);
	for (size_t p = cu_delivery_find(delivery, start) + 1; p < delivery->n_pieces && delivery->piece[p].start < end;
	     p++) {
		const struct cu_piece *piece = &delivery->piece[p], *before = piece - 1;
		if (before->end != piece->start || before->start < start || before->retransmitted ||
		    piece->retransmitted || is_full(trace, &trace->segment[before->first_seg]) ||
		    is_full(trace, &trace->segment[piece->first_seg])) {
			continue;
		}
		size_t acked = cu_delivery_acked_near(delivery, before->end, account->near_step);
		if (acked == delivery->n_steps ||
		    delivery->step[acked].time_ns + rtt - cu_path_early_ns(rtt) > piece->first_ns) {
			return true;
		}
	}
	return false;
}

/*
 * A sender that had more would fill its segments. A small one that waits for
 * an ACK is Nagle's (RFC 896), and the ACK may be a delayed one; but small
 * ones again and again, with ACKs that come at once, are an application's that
 * writes a little at a time.
 */
static void settle_small_waits(struct cu_account *account, int dir, int64_t start, int64_t end)
{
	enum { SMALL_HABIT = 2, DELAYED_SHARE = 4 };
	int64_t clocked_ns = account->waits[CU_WAIT_SMALL].ns, delayed_ns = account->waits[CU_WAIT_SMALL_DELAYED].ns;
	bool soon = account->n_small >= SMALL_HABIT && delayed_ns <= (clocked_ns + delayed_ns) / DELAYED_SHARE;
	/* With several in flight a congestion window that counts segments may hold it. */
	bool mostly_alone = account->n_small_alone > account->n_small / 2;
	bool habit = soon || (mostly_alone && sends_small_at_once(account, dir, start, end));
	cu_charge_settled(account, CU_WAIT_SMALL, habit ? cu_pause_of(dir) : CU_NETWORK_TRANSFER);
	cu_charge_settled(account, CU_WAIT_SMALL_DELAYED, habit ? cu_pause_of(dir) : cu_delayed_ack_of_receiver(dir));
	/* Or one that says each in answer to the ACK of the one before. */
	cu_account_doubt_if(account, CU_DOUBT_OWN_MESSAGE, habit);
}

/*
 * Again and again after full segments, never after another, and much the same
 * each time: no application's pauses, but those of a sender that spaces its
 * segments out.
 */
static void settle_full_waits(struct cu_account *account, int dir)
{
	enum { MUCH_THE_SAME = 4 };
	const struct cu_waits *waits = &account->waits[CU_WAIT_FULL];
	bool habit = waits->n >= HABIT && account->n_other_pauses == 0 &&
	             waits->longest_ns / MUCH_THE_SAME <= account->shortest_full_ns;
	cu_charge_settled(account, CU_WAIT_FULL, habit ? CU_NETWORK_TRANSFER : cu_pause_of(dir));
}

/*
 * Idle again and again, though there was room: an application that writes at
 * its own pace. Once in a while it is recovery, or the sender's congestion
 * control that goes slower (BBR does to drain a queue).
 */
static void settle_idle_waits(struct cu_account *account, int dir)
{
	bool habit = account->waits[CU_WAIT_IDLE].n >= HABIT;
	cu_charge_settled(account, CU_WAIT_IDLE, habit ? cu_pause_of(dir) : CU_NETWORK_TRANSFER);
}

int64_t cu_charge_delivery(struct cu_account *account, int dir, int64_t start, int64_t end, int64_t from, int64_t limit)
{
	const struct cu_delivery *delivery = &account->known->delivery[dir];
	int64_t now = from;
	const struct cu_piece *before = NULL;
	account->n_small = account->n_small_alone = account->n_other_pauses = 0;
	account->burst_start = start;
	account->largest_flight = account->largest_unacked = 0;
	account->last_pause_ns = 0;
	size_t first = cu_delivery_find(delivery, start);
	account->near_step = cu_delivery_acked(delivery, start);
	account->flights =
		(struct cu_hidden_flights){.next = first < delivery->n_pieces ? delivery->piece[first].first_seg : 0};

	for (size_t p = first; p < delivery->n_pieces && delivery->piece[p].start < end; p++) {
		const struct cu_piece *piece = &delivery->piece[p];
		int64_t arrive = cu_min_ns(piece->arrive_ns, limit);
		int64_t due = cu_min_ns(piece->due_ns, arrive);
		bool earlier = piece->loss == CU_LOSS_EARLIER;
		bool lost = piece->loss == CU_LOSS_BEFORE || piece->loss == CU_LOSS_AFTER ||
		            piece->loss == CU_LOSS_BOTH || earlier;
		if (lost) {
			if (!earlier) {
				cu_account_add_loss(account, piece->loss);
			}
			if (piece->doubtful) {
				cu_account_doubt(account, CU_DOUBT_KEPT_ACK);
			}
		}
		if (arrive > now) {
			if (due > now) {
				struct wait wait = {
					.dir = dir, .from = now, .until = due, .before = before, .next = piece};
				charge_wait(account, &wait);
				now = due;
			}
			if (lost) {
				enum cu_cause cause = cu_loss_cause(account, dir, piece);
				bool there = delivery->at_receiver && piece->loss == CU_LOSS_AFTER;
				account->lost_there_ns += there && cause == CU_NETWORK_LOSS ? arrive - now : 0;
				cu_charge(account, cause, now, arrive, piece->first_seg, piece->arrive_seg);
			} else {
				cu_charge(account, CU_NETWORK_TRANSFER, now, arrive, piece->first_seg,
				          piece->arrive_seg);
			}
			now = arrive;
		}
		if (before == NULL || piece->arrive_ns >= before->arrive_ns) {
			before = piece;
		}
	}
	settle_full_waits(account, dir);
	settle_small_waits(account, dir, start, end);
	settle_ran_out_waits(account, dir);
	settle_idle_waits(account, dir);
	return now;
}
