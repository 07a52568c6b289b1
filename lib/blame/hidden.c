/*
 * Losses out of sight: before the vantage point, with no later data that would
 * show a hole.
 */
#include "lib/blame/account.h"

/*
 * Copies lost before the vantage point leave no trace but a jump in the
 * sender's IPv4 identification, where it counts by one for each packet of the
 * connection (Linux, ns-3, most stacks without a global counter).
 */
static bool is_counted(const struct cu_trace_segment *seg, int dir)
{
	return seg->dir == dir && !seg->icmp && seg->ip_id != 0 && !cu_is(seg, CU_EVENT_DUPLICATE_FRAME);
}

/* So few lost packets may have been lone ACKs: then the time has to look like a timer's. */
enum { FEW = 2 };

/* Behind a sender's last segment come the ACKs of all that was in flight, and after a silence there is time to look. */
enum { LOOK = 64, LOOK_BACK = 1024, SKIPPED_CAP = 1024, UNTOLD = -1 };

/*
 * How many identifications are missing between two segments of a sender; UNTOLD when they do not count up. One that was
 * captured before its card cut it, or after a card joined it, has as many as on the wire.
 */
static int skipped_between(const struct cu_trace *trace, const struct cu_trace_segment *one,
                           const struct cu_trace_segment *next)
{
	int64_t mss = trace->mss[one->dir];
	int on_wire = one->len > mss ? (int)((one->len + mss - 1) / mss) : 1;
	int step = (uint16_t)(next->ip_id - one->ip_id);
	return step >= on_wire && step <= SKIPPED_CAP + on_wire ? step - on_wire : step == 1 ? 0 : UNTOLD;
}

/* The same before a segment; UNTOLD also when its sender's one before is not near, or others have some of its sender's. */
static int skipped_before(const struct cu_account *account, uint32_t seg_index)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	if (!is_counted(seg, seg->dir) || account->known->ids_shared[seg->dir]) {
		return UNTOLD;
	}
	for (uint32_t i = seg_index; i-- > 0 && i + LOOK_BACK >= seg_index;) {
		if (is_counted(&trace->segment[i], seg->dir)) {
			return skipped_between(trace, &trace->segment[i], seg);
		}
	}
	return UNTOLD;
}

/* What a sender had to do between two segments of its own that follow each other. */
struct between {
	int came;   /* segments of the other side: it may have acknowledged each */
	bool acked; /* all that it had sent */
	int64_t woken_ns; /* from when it can have sent anything: its own last segment, or what came when all was acknowledged */
};

static void note_between(struct between *between, const struct cu_trace_segment *last,
                         const struct cu_trace_segment *other)
{
	between->came++;
	if (between->acked && other->len > 0 && between->woken_ns == last->time_ns) {
		between->woken_ns = other->time_ns;
	}
	between->acked |= other->ack >= last->end;
}

/*
 * Whether more identifications are missing between two segments of a sender
 * than it can have used for this connection: an ACK of each segment that came,
 * with no time for a timer. It counts them for all that its host sends then.
 */
static bool others_took_some(const struct cu_trace *trace, const struct cu_trace_segment *one,
                             const struct cu_trace_segment *next, const struct between *between)
{
	return skipped_between(trace, one, next) > between->came + FEW && next->seq == one->end &&
	       next->time_ns - between->woken_ns < CU_TIMER_LEAST_NS;
}

/*
 * Whether a server's SYN-ACK has no identification, and what follows has: Linux,
 * which counts by one for each connection, from some number on when it is
 * established. A counter of all that began with the SYN-ACK goes on with 1.
 */
static bool begins_without_id(const struct cu_trace *trace, int dir)
{
	enum { FROM_ZERO = 256 };
	bool begins = false;
	for (size_t i = 0; i < trace->n && dir == CU_S2C; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || seg->dir != dir) {
			continue;
		}
		if (!(seg->flags & CU_TCP_SYN)) {
			return begins && seg->ip_id >= FROM_ZERO;
		}
		if (seg->ip_id != 0) {
			return false;
		}
		begins = true;
	}
	return false;
}

/*
 * Whether identifications around a segment, its own step apart, count by one; what comes after tells as much. Where
 * there are no others, the handshake may tell.
 */
static bool counts_by_one(const struct cu_trace *trace, uint32_t seg_index)
{
	const struct cu_trace_segment *seg = &trace->segment[seg_index], *last = NULL;
	struct between between = {0};
	unsigned by_one = 0, others = 0;
	for (uint32_t i = seg_index > LOOK_BACK ? seg_index - LOOK_BACK : 0; i < trace->n && i <= seg_index + LOOK;
	     i++) {
		const struct cu_trace_segment *one = &trace->segment[i];
		if (!is_counted(one, seg->dir)) {
			if (last != NULL && one->dir != seg->dir && !one->icmp) {
				note_between(&between, last, one);
			}
			continue;
		}
		if (last != NULL && others_took_some(trace, last, one, &between)) {
			return false;
		}
		if (last != NULL && one != seg) {
			int skipped = skipped_between(trace, last, one);
			by_one += skipped == 0;
			others += skipped != 0;
		}
		last = one;
		between = (struct between){.woken_ns = one->time_ns};
	}
	if (by_one == 0 && others == 0) {
		return begins_without_id(trace, seg->dir);
	}
	return by_one > 0 && by_one >= 4 * others;
}

/*
 * The longest first timeout of stacks whose shortest is 200 ms to 300 ms: above
 * the round trip; or, when it was measured once, three of them (RFC 6298 section
 * 2.2), begun anew by the ACK of what went before.
 */
static int64_t longest_first_ns(int64_t rtt_ns)
{
	return cu_max_ns(400 * CU_NS_PER_MS + 2 * rtt_ns, 200 * CU_NS_PER_MS + 4 * rtt_ns);
}

/*
 * Whether a silence is what retransmission timers make of n lost copies: a
 * smallest timeout of 200 ms to 300 ms above the round trip (Linux, BSD,
 * Windows) or of 1 s (RFC 6298 section 2.4), doubled each time.
 */
static bool is_timeout(int64_t silence_ns, unsigned n, int64_t rtt_ns)
{
	const int64_t shortest = CU_TIMER_LEAST_NS, longest = longest_first_ns(rtt_ns);
	const int64_t standard = CU_NS_PER_S - 50 * CU_NS_PER_MS, standard_most = 1100 * CU_NS_PER_MS + 2 * rtt_ns;
	int64_t doubled = (INT64_C(1) << n) - 1;
	return (silence_ns >= shortest * n && silence_ns <= longest * doubled) ||
	       (silence_ns >= standard * doubled && silence_ns <= standard_most * doubled);
}

/*
 * A sender whose last segment was full had more. When it went on without a
 * new ACK or window to tell, and nothing had come from its peer, the packets
 * missing before can only have been that: copies that were lost. So no timer
 * has to be recognised by its time; ticks of 500 ms, and 3 s before the first
 * measurement (RFC 1122, 4.2.3.1), are still in use.
 */
static bool lost_tail(const struct cu_account *account, uint32_t seg_index, int64_t silence_ns, unsigned n)
{
	const int64_t shortest = CU_TIMER_LEAST_NS, longest = 3 * CU_NS_PER_S + 500 * CU_NS_PER_MS;
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	int64_t doubled = (INT64_C(1) << n) - 1;
	for (uint32_t i = seg_index; i-- > 0;) {
		const struct cu_trace_segment *one = &trace->segment[i];
		if (one->icmp || one->dir != seg->dir) {
			if (cu_carries(one)) {
				return false;
			}
			continue;
		}
		return one->len > 0 && one->len >= trace->mss[seg->dir] && one->end == seg->seq &&
		       one->ack == seg->ack && one->window == seg->window && silence_ns >= shortest * n &&
		       silence_ns <= longest * doubled;
	}
	return false;
}

enum { CUT_FAR = 256 };

/* The largest segment of a direction's sender that is smaller than a size, near behind one of its segments. */
static uint32_t largest_below(const struct cu_trace *trace, int dir, uint32_t seg_index, uint32_t size)
{
	uint32_t largest = 0;
	for (uint32_t i = seg_index; i < trace->n && i < seg_index + CUT_FAR; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		largest = seg->dir == dir && !seg->icmp && seg->len < size && seg->len > largest ? seg->len : largest;
	}
	return largest;
}

/* How many of that size follow in order. */
static uint32_t run_of(const struct cu_trace *trace, int dir, uint32_t seg_index, uint32_t size)
{
	uint32_t run = 0;
	int64_t next_seq = 0;
	for (uint32_t i = seg_index; i < trace->n && i < seg_index + CUT_FAR; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir != dir || seg->icmp || seg->len == 0) {
			continue;
		}
		run += seg->len == size && (run == 0 || seg->seq >= next_seq);
		next_seq = seg->end;
	}
	return run;
}

/*
 * Whether a direction's sender cuts its segments smaller since one of them: a
 * run of full ones below the maximum, of a size not used before. After long
 * silence that is a path MTU found by trying (RFC 4821, RFC 8899), though what
 * was too large never passed here. Once found, lone larger ones try for more
 * (RFC 4821 section 7.3).
 */
static bool cut_since(const struct cu_account *account, int dir, uint32_t seg_index)
{
	enum { LEAST = 256, RUN = 3, PROBES = 3 };
	const struct cu_trace *trace = account->known->trace;
	int64_t mss = trace->advertised_mss != 0 ? trace->advertised_mss : trace->mss[dir];
	uint32_t size = largest_below(trace, dir, seg_index, UINT32_MAX), run = 0;

	if (size >= mss) {
		return false;
	}
	for (int probes = 0; size >= LEAST && (run = run_of(trace, dir, seg_index, size)) < RUN && probes < PROBES;
	     probes++) {
		size = largest_below(trace, dir, seg_index, size);
	}
	for (uint32_t i = seg_index > CUT_FAR ? seg_index - CUT_FAR : 0; i < seg_index; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		run = seg->dir == dir && seg->len == size ? 0 : run;
	}
	return size >= LEAST && run >= RUN;
}

/* The segment with which a sender goes on behind one of its own; NULL when none is near. */
static const struct cu_trace_segment *next_new(const struct cu_trace *trace, uint32_t seg_index)
{
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	for (uint32_t i = seg_index + 1; i < trace->n && i <= seg_index + LOOK; i++) {
		const struct cu_trace_segment *next = &trace->segment[i];
		if (!next->icmp && next->dir == seg->dir && next->len > 0 && next->seq >= seg->end) {
			return next;
		}
	}
	return NULL;
}

/* Whether a sender went on at once: a second segment of new data that no ACK of the first can have set free. */
static bool goes_on_at_once(const struct cu_account *account, uint32_t seg_index)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	const struct cu_delivery *delivery = &account->known->delivery[seg->dir];
	if (seg->len > trace->mss[seg->dir]) {
		return true; /* several, which a card cuts later */
	}
	const struct cu_trace_segment *next = next_new(trace, seg_index);
	if (next == NULL) {
		return false;
	}
	size_t acked = cu_delivery_acked(delivery, seg->end);
	int64_t at_once = cu_sender_rtt(account, seg->dir) * 7 / 8;
	return acked == delivery->n_steps || delivery->step[acked].time_ns + at_once > next->time_ns;
}

/*
 * The shortest silence in which n packets can have been lost: all first
 * copies of what a sender says from a segment on, and then one for each
 * timeout that ended in vain. A probe may come before the first (RFC 8985).
 */
static int64_t shortest_silence(const struct cu_trace *trace, uint32_t seg_index, int n)
{
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	int64_t first_copies = 0;
	for (uint32_t i = seg_index; i < trace->n && first_copies < n; i++) {
		const struct cu_trace_segment *one = &trace->segment[i];
		if (!one->icmp && one->dir != seg->dir && one->len > 0) {
			break;
		}
		first_copies += !one->icmp && one->dir == seg->dir && one->len > 0 && one->end > seg->seq;
	}
	int64_t timeouts = cu_min_ns(n - first_copies + 1, 32);
	return CU_TIMER_LEAST_NS * (timeouts < 3 ? timeouts : (INT64_C(1) << (timeouts - 1)) - 1);
}

/*
 * The longest silence in which n copies in a row, one at least, can have been
 * lost: timers of Linux begin with 200 ms above the round trip, others with up
 * to 3 s in ticks of 500 ms (RFC 1122 section 4.2.3.1); all double.
 */
static int64_t longest_silence(const struct cu_account *account, int dir, int n)
{
	const struct cu_path *path = account->known->path;
	int64_t first_ns = begins_without_id(account->known->trace, dir)
	                           ? longest_first_ns(path->client_rtt_ns + path->server_rtt_ns)
	                           : 3500 * CU_NS_PER_MS;
	return first_ns * ((INT64_C(1) << cu_max_ns(1, cu_min_ns(n, 16))) - 1);
}

/*
 * Whether the n identifications missing before a segment, after a silence, can
 * be packets lost out of sight. A timeout sends one segment, and the next when
 * that is acknowledged (RFC 5681 section 3.1), unless it cuts them smaller now.
 */
static bool lost_in_silence(const struct cu_account *account, uint32_t seg_index, int n, int64_t silence_ns)
{
	const struct cu_trace *trace = account->known->trace;
	int dir = trace->segment[seg_index].dir;
	bool as_a_timer = silence_ns >= shortest_silence(trace, seg_index, n) &&
	                  silence_ns <= longest_silence(account, dir, n) && !goes_on_at_once(account, seg_index);
	return (as_a_timer || cut_since(account, dir, seg_index)) && counts_by_one(trace, seg_index);
}

/*
 * Whether a sender went on after a silence with one full segment, and with the
 * next as soon as that was acknowledged, though the window had room for two:
 * only a timeout makes a congestion window of one segment (RFC 5681 section
 * 3.1). It tells where there are no identifications.
 */
static bool restarts_alone(const struct cu_account *account, uint32_t seg_index)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	const struct cu_delivery *delivery = &account->known->delivery[seg->dir];
	int64_t mss = trace->mss[seg->dir], rtt = cu_sender_rtt(account, seg->dir);
	size_t known = cu_delivery_steps_until(delivery, seg->time_ns - rtt, 0);
	size_t acked = cu_delivery_acked(delivery, seg->end);
	bool has_room = known > 0 && delivery->step[known - 1].edge >= seg->seq + 2 * mss;
	if (!has_room || seg->len < trace->full[seg->dir] || seg->len > mss || acked == delivery->n_steps) {
		return false;
	}
	const struct cu_trace_segment *next = next_new(trace, seg_index);
	int64_t set_free_ns = delivery->step[acked].time_ns + rtt;
	return next != NULL && next->time_ns >= set_free_ns - rtt / 8 &&
	       next->time_ns <= set_free_ns + CU_BUSY_NS + rtt / 4;
}

bool cu_hidden_loss(const struct cu_account *account, int dir, uint32_t seg_index, int64_t silence_ns)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	int64_t rtt = path->client_rtt_ns + path->server_rtt_ns;
	if (silence_ns < CU_TIMER_LEAST_NS) {
		return false;
	}
	if (trace->segment[seg_index].ip_id == 0 && !cu_at_sender(account, dir) &&
	    silence_ns <= longest_silence(account, dir, 3)) {
		return restarts_alone(account, seg_index);
	}
	int n = skipped_before(account, seg_index);
	if (n <= 0 || cu_is(&trace->segment[seg_index], CU_EVENT_LOST_SEGMENT)) {
		return false; /* what the capture missed is no loss */
	}
	if (n > FEW && cu_at_sender(account, dir)) {
		return false; /* nor is what a capture at the sender itself missed */
	}
	if (n <= FEW && !is_timeout(silence_ns, (unsigned)n, rtt) &&
	    !lost_tail(account, seg_index, silence_ns, (unsigned)n)) {
		return false;
	}
	return lost_in_silence(account, seg_index, n, silence_ns);
}

bool cu_hidden_maybe(const struct cu_account *account, int dir, uint32_t seg_index, int64_t silence_ns)
{
	enum { COPIES = 3 };
	const struct cu_path *path = account->known->path;
	bool like_a_timer = false;
	for (unsigned n = 1; n <= COPIES; n++) {
		like_a_timer |= is_timeout(silence_ns, n, path->client_rtt_ns + path->server_rtt_ns);
	}
	/* More than were lost in that time are another connection's: the host counts for all. */
	int n_missing = skipped_before(account, seg_index);
	return like_a_timer && !cu_at_sender(account, dir) && (n_missing == UNTOLD || n_missing > FEW);
}

/*
 * Whether copies were lost before a segment, how long ago whatever: more are
 * missing than its sender can have sent ACKs, as nothing came from its peer.
 */
static bool lost_some(const struct cu_account *account, uint32_t seg_index)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	int came = 0, missing = skipped_before(account, seg_index);
	if (missing <= 0 || missing > LOOK || cu_is(seg, CU_EVENT_LOST_SEGMENT)) {
		return false;
	}
	for (uint32_t i = seg_index; i-- > 0 && !is_counted(&trace->segment[i], seg->dir);) {
		came += !trace->segment[i].icmp;
	}
	return missing > came && counts_by_one(trace, seg_index);
}

bool cu_hidden_missing(const struct cu_account *account, uint32_t seg_index)
{
	return skipped_before(account, seg_index) > 0 && counts_by_one(account->known->trace, seg_index);
}

/* Whether none is missing before: where hosts count for all they send (Windows), others take some between the first two. */
static bool whole_before(const struct cu_trace *trace, uint32_t seg_index)
{
	const struct cu_trace_segment *last = NULL;
	for (uint32_t i = 0; i < seg_index; i++) {
		const struct cu_trace_segment *one = &trace->segment[i];
		if (!is_counted(one, trace->segment[seg_index].dir)) {
			continue;
		}
		if (last != NULL && skipped_between(trace, last, one) != 0) {
			return false;
		}
		last = one;
	}
	return true;
}

/*
 * The first request goes with the ACK that ends the handshake, or right behind
 * it. One that comes a timeout later, identifications missing in between, was
 * sent then too. There may be no round trip measured yet: 3 s, in ticks of
 * 500 ms, is an old first timeout (RFC 1122 section 4.2.3.1).
 */
int64_t cu_hidden_request(const struct cu_account *account, uint32_t seg_index, uint32_t *since_seg)
{
	const int64_t old_first = 2500 * CU_NS_PER_MS, old_first_most = 3500 * CU_NS_PER_MS;
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	if (path->vantage == CU_VANTAGE_CLIENT || seg->seq != 1) {
		return 0;
	}
	int64_t done_ns = cu_handshake_done(trace, since_seg);
	int n = skipped_before(account, seg_index);
	if (done_ns >= seg->time_ns || n <= 0) {
		return 0;
	}
	int64_t silence_ns = seg->time_ns - done_ns, doubled = (INT64_C(1) << cu_min_ns(n, FEW + 2)) - 1;
	bool fits = n <= FEW + 2 && (is_timeout(silence_ns, (unsigned)n, path->client_rtt_ns + path->server_rtt_ns) ||
	                             (silence_ns >= old_first * doubled && silence_ns <= old_first_most * doubled));
	return fits && whole_before(trace, seg_index) && counts_by_one(trace, seg_index) ? silence_ns : 0;
}

/*
 * A flight lost whole is sent again at the pace of the sender's recovery: at
 * worst a segment each timeout. No identification is missing then, but they
 * were when the first copy came: as many as segments, and these are the bytes.
 */
bool cu_hidden_before(struct cu_account *account, int dir, uint32_t seg_index, int64_t seq)
{
	const struct cu_trace *trace = account->known->trace;
	struct cu_hidden_flights *flights = &account->flights;
	if (cu_at_sender(account, dir) || account->known->ids_shared[dir]) {
		return false;
	}
	for (; flights->next <= seg_index; flights->next++) {
		const struct cu_trace_segment *seg = &trace->segment[flights->next];
		if (!is_counted(seg, dir)) {
			continue;
		}
		int n = flights->last != NULL ? skipped_between(trace, flights->last, seg) : 0;
		if (n > FEW && lost_in_silence(account, flights->next, n, seg->time_ns - flights->last->time_ns)) {
			flights->sent_end = cu_max_ns(flights->sent_end, flights->end + n * trace->mss[dir]);
		}
		flights->last = seg;
		flights->end = cu_max_ns(flights->end, seg->end);
	}
	return seq < flights->sent_end;
}

/*
 * The same where no identification tells (IPv6): the silence has to be as long
 * as a timer's. The lost answer took the ACK of its request with it, unless
 * that was sent at once: a server that thinks sends it alone, after 200 ms at
 * the latest in the stacks in use. An ACK that was delayed until its timer
 * fired shows that nothing had been said before; and nothing a capture that has
 * no bare ACKs.
 */
enum cu_second_copy cu_second_copy_of(const struct cu_account *account, int64_t request_end, uint32_t seg_index,
                                      int64_t silence_ns)
{
	const int64_t ack_delay_ns = 201 * CU_NS_PER_MS;
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	const struct cu_delivery *delivery = &account->known->delivery[CU_C2S];
	if (cu_hidden_loss(account, CU_S2C, seg_index, silence_ns)) {
		return CU_SECOND_COPY;
	}
	if (path->vantage != CU_VANTAGE_SERVER && silence_ns >= CU_TIMER_LEAST_NS && lost_some(account, seg_index)) {
		/* Timers of other stacks are longer, up to 3 s in ticks of 500 ms (RFC 1122): all of it may have been theirs. */
		bool short_timers = begins_without_id(trace, CU_S2C); /* Linux */
		bool longer = silence_ns > longest_silence(account, CU_S2C, skipped_before(account, seg_index));
		return short_timers || longer ? CU_LATE_SECOND_COPY : CU_MAYBE_SECOND_COPY;
	}
	if (path->vantage == CU_VANTAGE_SERVER ||
	    !is_timeout(silence_ns, 1, path->client_rtt_ns + path->server_rtt_ns) ||
	    (skipped_before(account, seg_index) == 0 && counts_by_one(trace, seg_index))) {
		return CU_NO_SECOND_COPY;
	}
	size_t s = cu_delivery_acked(delivery, request_end);
	if (s < delivery->n_steps && delivery->step[s].seg == seg_index && path->has_bare_acks) {
		return silence_ns > ack_delay_ns ? CU_SECOND_COPY : CU_MAYBE_SECOND_COPY;
	}
	bool timer_fired = account->transaction->ack_delay_ns - path->server_rtt_ns > CU_DELAYED_ACK_NS;
	return timer_fired ? CU_NO_SECOND_COPY : CU_MAYBE_SECOND_COPY;
}

enum cu_cause cu_hidden_loss_cause(const struct cu_account *account, int dir, uint32_t seg_index, int64_t silence_ns)
{
	bool long_enough = silence_ns >= CU_NS_PER_S; /* several timeouts, before a sender tries smaller segments */
	return long_enough && cut_since(account, dir, seg_index) ? CU_NETWORK_MTU : CU_NETWORK_LOSS;
}
