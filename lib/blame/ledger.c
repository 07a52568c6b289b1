#include "lib/blame/ledger.h"

#include <string.h>

/*
 * Tolerances. A host takes its time to answer: scheduling, interrupt
 * moderation, its application's wake-up. What is shorter is not a cause.
 */
#define HOST_NS (2 * CU_NS_PER_MS)
/* ... and a busy one that much more, before something else must be the reason. */
#define BUSY_NS (6 * CU_NS_PER_MS)
/* The shortest delayed ACK in use is Linux's 40 ms; quicker ones are a host's own time. */
#define DELAYED_ACK_NS (15 * CU_NS_PER_MS)

/* The ACK of a full segment may take so much longer than a round trip; queues make it later, and delays of ACKs. */
#define ACK_LATE_NS (200 * CU_NS_PER_MS)

/* Waits for ACKs between segments that were not full, of the message at hand. */
struct small_waits {
	unsigned n;
	int64_t transfer_ns, delayed_ns;
};

/* One transaction being charged. */
struct account {
	const struct cu_case *known;
	struct cu_transaction *transaction;
	int64_t longest[CU_N_CAUSES]; /* the stretch whose frames an entry cites */
	struct small_waits small;
	bool inferred; /* a loss that was not seen, only concluded */
};

static int64_t min_ns(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t max_ns(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static uint64_t frame_of(const struct account *account, uint32_t seg)
{
	return account->known->trace->segment[seg].frame;
}

/*
 * What an end did at once may show a little earlier than its round trip's
 * minimum allows: that was measured on answers of the same host.
 */
static int64_t early(int64_t rtt_ns)
{
	return max_ns(rtt_ns / 8, min_ns(rtt_ns, HOST_NS));
}

/* Charges [from, to) to a cause; the frames are those that bound it. */
static void charge(struct account *account, enum cu_cause cause, int64_t from, int64_t to, uint32_t first_seg,
                   uint32_t last_seg)
{
	if (to <= from) {
		return;
	}
	struct cu_ledger_entry *entry = &account->transaction->ledger[cause];
	entry->ns += to - from;
	if (to - from > account->longest[cause]) {
		account->longest[cause] = to - from;
		entry->first_frame = frame_of(account, first_seg);
		entry->last_frame = frame_of(account, last_seg);
	}
}

/* Causes of the side that sends in a direction, and of the one that receives. */
static enum cu_cause pause_of(int dir)
{
	return dir == CU_C2S ? CU_CLIENT_PAUSE : CU_SERVER_PAUSE;
}

static enum cu_cause window_of_receiver(int dir)
{
	return dir == CU_C2S ? CU_SERVER_WINDOW : CU_CLIENT_WINDOW;
}

static enum cu_cause delayed_ack_of_receiver(int dir)
{
	return dir == CU_C2S ? CU_SERVER_DELAYED_ACK : CU_CLIENT_DELAYED_ACK;
}

/* From the vantage point to a direction's sender and back. */
static int64_t sender_rtt(const struct account *account, int dir)
{
	const struct cu_path *path = account->known->path;
	return dir == CU_C2S ? path->client_rtt_ns : path->server_rtt_ns;
}

static int64_t receiver_rtt(const struct account *account, int dir)
{
	return sender_rtt(account, !dir);
}

/* Why a sender's next bytes came only at until, when those before had come at from. */
struct wait {
	int dir;
	int64_t from, until;
	const struct cu_piece *before; /* what was delivered last; NULL at the start */
	const struct cu_piece *next;   /* what ended the wait */
};

/*
 * How long the receiver's window held the sender, as seen at the vantage
 * point: until the ACK that made room had reached the sender and what it set
 * free had come back. Returns the end of that, wait->from when it did not.
 */
static int64_t window_until(const struct account *account, const struct wait *wait, uint32_t *opened_by)
{
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	const struct cu_trace *trace = account->known->trace;
	int64_t rtt = sender_rtt(account, wait->dir);
	int64_t need = min_ns(wait->next->end - wait->next->start, trace->mss[wait->dir]);
	int64_t edge = wait->next->start + need;
	size_t s = cu_delivery_steps_until(delivery, wait->from - rtt + early(rtt));
	if (s == 0) {
		return wait->from;
	}
	const struct cu_ack_step *step = &delivery->step[s - 1];
	bool blocked = step->edge < edge && (!trace->scale_unknown || step->window == 0);
	if (!blocked) {
		return wait->from;
	}
	while (s < delivery->n_steps && delivery->step[s].edge < edge && delivery->step[s].time_ns <= wait->until) {
		s++;
	}
	if (s == delivery->n_steps || delivery->step[s].time_ns > wait->until) {
		return wait->until; /* never opened as far as was seen: a probe, or shrinking needs */
	}
	*opened_by = delivery->step[s].seg;
	return min_ns(wait->until, max_ns(wait->from, delivery->step[s].time_ns + rtt));
}

/*
 * Copies lost before the vantage point leave no trace but a jump in the
 * sender's IPv4 identification, where it counts by one for each packet of the
 * connection (Linux, ns-3, most stacks without a global counter). How many
 * packets of a direction's sender were never seen just before a segment; 0
 * when its identification does not tell.
 */
static unsigned hidden_before(const struct account *account, uint32_t seg_index)
{
	enum { LOOK_BACK = 64, STEPS_NEEDED = 1, HIDDEN_CAP = 1024 };
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *seg = &trace->segment[seg_index];
	const struct cu_trace_segment *later = seg;
	unsigned by_one = 0, others = 0, hidden = 0;
	bool first = true;

	for (uint32_t back = 1; back <= seg_index && back <= LOOK_BACK; back++) {
		const struct cu_trace_segment *old = &trace->segment[seg_index - back];
		if (old->dir != seg->dir || old->icmp || old->ip_id == 0 || cu_is(old, CU_EVENT_DUPLICATE_FRAME)) {
			continue;
		}
		uint16_t step = (uint16_t)(later->ip_id - old->ip_id);
		if (first) {
			hidden = step > 1 && step <= HIDDEN_CAP + 1 ? step - 1u : 0;
			first = false;
		} else if (step == 1) {
			by_one++;
		} else {
			others++;
		}
		later = old;
	}
	/* What comes after tells as much of the habit as what came before. */
	later = seg;
	for (uint32_t i = seg_index + 1; i < trace->n && i <= seg_index + LOOK_BACK; i++) {
		const struct cu_trace_segment *next = &trace->segment[i];
		if (next->dir != seg->dir || next->icmp || next->ip_id == 0 || cu_is(next, CU_EVENT_DUPLICATE_FRAME)) {
			continue;
		}
		if ((uint16_t)(next->ip_id - later->ip_id) == 1) {
			by_one++;
		} else {
			others++;
		}
		later = next;
	}
	return hidden != 0 && by_one >= STEPS_NEEDED && by_one >= 4 * others ? hidden : 0;
}

/*
 * Whether a silence is what retransmission timers make of n lost copies: a
 * smallest timeout of 200 ms to 300 ms above the round trip (Linux, BSD,
 * Windows) or of 1 s (RFC 6298 section 2.4), doubled each time.
 */
static bool is_timeout(int64_t silence_ns, unsigned n, int64_t rtt_ns)
{
	const int64_t shortest = 190 * CU_NS_PER_MS, longest = 400 * CU_NS_PER_MS + 2 * rtt_ns;
	const int64_t standard = CU_NS_PER_S - 50 * CU_NS_PER_MS, standard_most = 1100 * CU_NS_PER_MS + 2 * rtt_ns;
	int64_t doubled = (INT64_C(1) << n) - 1;
	return (silence_ns >= shortest * n && silence_ns <= longest * doubled) ||
	       (silence_ns >= standard * doubled && silence_ns <= standard_most * doubled);
}

/* A silence of a direction's sender that ended with this segment: were copies of it lost out of sight? */
static bool lost_out_of_sight(const struct account *account, int dir, uint32_t seg_index, int64_t silence_ns)
{
	enum { FEW = 2 }; /* lost packets that may have been lone ACKs: then the time has to look like a timer's */
	const struct cu_path *path = account->known->path;
	int64_t rtt = path->client_rtt_ns + path->server_rtt_ns;
	enum cu_vantage at_sender = dir == CU_C2S ? CU_VANTAGE_CLIENT : CU_VANTAGE_SERVER;
	if (cu_is(&account->known->trace->segment[seg_index], CU_EVENT_LOST_SEGMENT)) {
		return false; /* what the capture missed is no loss */
	}
	unsigned n = hidden_before(account, seg_index);
	if (n > FEW && path->vantage == at_sender) {
		return false; /* nor is what a capture at the sender itself missed */
	}
	return n > FEW || (n != 0 && is_timeout(silence_ns, n, rtt));
}

/*
 * Whether a direction's sender cuts its segments smaller since one of them: a
 * run of full ones below the maximum, of a size not used before. After long
 * silence that is a path MTU found by trying (RFC 4821, RFC 8899), though what
 * was too large never passed here.
 */
static bool cut_since(const struct account *account, int dir, uint32_t seg_index)
{
	enum { LEAST = 256, RUN = 3, LOOK = 256 };
	const struct cu_trace *trace = account->known->trace;
	uint32_t largest = 0, run = 0;
	int64_t next_seq = 0;

	for (uint32_t i = seg_index; i < trace->n && i < seg_index + LOOK; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		largest = seg->dir == dir && !seg->icmp && seg->len > largest ? seg->len : largest;
	}
	if (largest < LEAST || largest >= trace->mss[dir]) {
		return false;
	}
	for (uint32_t i = seg_index; i < trace->n && i < seg_index + LOOK; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir != dir || seg->icmp || seg->len == 0) {
			continue;
		}
		run += seg->len == largest && (run == 0 || seg->seq >= next_seq);
		next_seq = seg->end;
	}
	for (uint32_t i = seg_index > LOOK ? seg_index - LOOK : 0; i < seg_index; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		run = seg->dir == dir && seg->len == largest ? 0 : run;
	}
	return run >= RUN;
}

/* What copies that were lost out of sight were lost to. */
static enum cu_cause hidden_loss_cause(const struct account *account, int dir, uint32_t seg_index, int64_t silence_ns)
{
	bool long_enough = silence_ns >= CU_NS_PER_S; /* several timeouts, before a sender tries smaller segments */
	return long_enough && cut_since(account, dir, seg_index) ? CU_NETWORK_MTU : CU_NETWORK_LOSS;
}

static void add_loss_side(struct cu_transaction *transaction, uint8_t side)
{
	bool first = transaction->loss_side == CU_LOSS_NONE || transaction->loss_side == side;
	transaction->loss_side = first ? side : (uint8_t)CU_LOSS_BOTH;
}

/* Charges a wait that no loss explains. */
static void charge_wait(struct account *account, const struct wait *wait)
{
	if (wait->until <= wait->from) {
		return;
	}
	const struct cu_trace *trace = account->known->trace;
	const struct cu_delivery *delivery = &account->known->delivery[wait->dir];
	int64_t mss = trace->mss[wait->dir];
	int64_t rtt = sender_rtt(account, wait->dir);
	uint32_t first = wait->before != NULL ? wait->before->arrive_seg : wait->next->first_seg;
	uint32_t last = wait->next->first_seg;
	int64_t from = wait->from, until = wait->until;

	if (wait->next->loss == CU_LOSS_CAPTURE) {
		charge(account, CU_UNKNOWN_CAPTURE, from, until, first, last);
		return;
	}
	uint32_t opened_by = first;
	int64_t held_until = window_until(account, wait, &opened_by);
	if (held_until > from) {
		/* The little that the sender takes to go on belongs to it. */
		if (until - held_until <= HOST_NS + rtt / 4) {
			held_until = until;
		}
		charge(account, window_of_receiver(wait->dir), from, held_until, first,
		       held_until == until ? last : opened_by);
		first = opened_by;
		from = held_until;
		if (from >= until) {
			return;
		}
	}
	if (until - from <= HOST_NS || wait->before == NULL) {
		charge(account, CU_NETWORK_TRANSFER, from, until, first, last);
		return;
	}
	/* A timeout that sent again what had arrived: the ACKs were lost, and the sender waited for them. */
	for (uint32_t i = first + 1; i < last; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir == wait->dir && cu_is(seg, CU_EVENT_SPURIOUS_RETRANSMISSION) && seg->time_ns > from &&
		    seg->time_ns < until) {
			charge(account, CU_NETWORK_LOSS, from, seg->time_ns, first, i);
			from = seg->time_ns;
			first = i;
		}
	}
	/* Did an ACK set it free? One that reached the sender just before it sent. */
	int64_t slack = max_ns(BUSY_NS, rtt / 4);
	size_t s = cu_delivery_steps_until(delivery, until - rtt + early(rtt));
	while (s > 0 && s - 1 > 0 && delivery->step[s - 1].ack == delivery->step[s - 2].ack) {
		s--; /* back to the one that moved the edge */
	}
	const struct cu_ack_step *trigger = s > 0 ? &delivery->step[s - 1] : NULL;
	int64_t sent_before = wait->before->end;
	int64_t acked_then = s > 1 ? delivery->step[s - 2].ack : 0;
	bool clocked = trigger != NULL && acked_then < sent_before && trigger->time_ns + rtt >= from &&
	               until - (trigger->time_ns + rtt) <= slack;
	if (clocked) {
		/* The receiver may have sat on that ACK: only for less than two full segments (RFC 9293 3.8.6.3). */
		int64_t in_flight = sent_before - acked_then;
		int64_t held = trigger->time_ns - wait->before->arrive_ns - receiver_rtt(account, wait->dir);
		held = in_flight < 2 * mss && held > DELAYED_ACK_NS ? min_ns(held, until - from) : 0;
		charge(account, delayed_ack_of_receiver(wait->dir), from, from + held, first, trigger->seg);
		charge(account, CU_NETWORK_TRANSFER, from + held, until, held > 0 ? trigger->seg : first, last);
		if (wait->before->end - wait->before->start < mss && trace->segment[last].len < mss) {
			account->small.n++;
			account->small.delayed_ns += held;
			account->small.transfer_ns += until - from - held;
		}
		return;
	}
	/*
	 * Nothing held it: the application had nothing to say, unless its last segment was full and not acknowledged,
	 * when congestion control may have spaced them out (recovery, BBR's pacing). PSH says nothing: stacks set it by
	 * habit.
	 */
	int64_t acked_now = trigger != NULL ? trigger->ack : 0;
	const struct cu_trace_segment *before = &trace->segment[wait->before->arrive_seg];
	bool drained = acked_now >= sent_before || before->len < mss;
	bool within_flight = until - from < rtt + receiver_rtt(account, wait->dir) + ACK_LATE_NS;
	if (!drained && within_flight) {
		charge(account, CU_NETWORK_TRANSFER, from, until, first, last);
		return;
	}
	if (lost_out_of_sight(account, wait->dir, last, until - from)) {
		account->inferred = true;
		add_loss_side(account->transaction, CU_LOSS_BEFORE);
		charge(account, hidden_loss_cause(account, wait->dir, last, until - from), from, until, first, last);
		return;
	}
	charge(account, pause_of(wait->dir), from, until, first, last);
}

/* Fragmentation needed (RFC 1191) or packet too big (RFC 8201) about a direction, between two moments. */
static bool mtu_reported(const struct account *account, int dir, int64_t from, int64_t until)
{
	const struct cu_trace *trace = account->known->trace;
	for (uint32_t i = 0; i < trace->n && trace->n_icmp > 0; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp && seg->dir == dir && seg->time_ns >= from && seg->time_ns <= until &&
		    ((seg->icmp_type == 3 && seg->icmp_code == 4) || (seg->icmp_type == 2 && seg->icmp_code == 0))) {
			return true;
		}
	}
	return false;
}

/* Whether any segment as large was ever acknowledged in its first copy. */
static bool any_passed(const struct cu_delivery *delivery, const struct cu_trace *trace, uint32_t len)
{
	int64_t acked = delivery->n_steps > 0 ? delivery->step[delivery->n_steps - 1].ack : 0;
	for (size_t p = 0; p < delivery->n_pieces && delivery->piece[p].end <= acked; p++) {
		if (trace->segment[delivery->piece[p].arrive_seg].len >= len) {
			return true;
		}
	}
	return false;
}

/* A loss that only a large segment suffers: what came through at last was smaller. */
static enum cu_cause loss_cause(const struct account *account, int dir, const struct cu_piece *piece)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *sent = &trace->segment[piece->first_seg];
	const struct cu_trace_segment *came = &trace->segment[piece->arrive_seg];
	bool shrunk = piece->loss != CU_LOSS_BEFORE && came->len < sent->len && piece->n_copies > 2 &&
	              sent->len >= trace->mss[dir];
	bool large = sent->len > 536;
	bool vanish = piece->loss == CU_LOSS_AFTER && piece->n_copies > 2 &&
	              !any_passed(&account->known->delivery[dir], trace, sent->len);
	if (large && (shrunk || vanish || mtu_reported(account, dir, piece->due_ns, piece->arrive_ns))) {
		return CU_NETWORK_MTU;
	}
	return piece->loss == CU_LOSS_BEFORE
	               ? hidden_loss_cause(account, dir, piece->arrive_seg, piece->arrive_ns - piece->due_ns)
	               : CU_NETWORK_LOSS;
}

/*
 * A sender that had more would fill its segments. A small one that waits for
 * an ACK is Nagle's (RFC 896), and the ACK may be a delayed one; but small
 * ones again and again, with ACKs that come at once, are an application's that
 * writes a little at a time.
 */
static void settle_small_waits(struct account *account, int dir)
{
	enum { HABIT = 2, DELAYED_SHARE = 4 };
	struct cu_ledger_entry *ledger = account->transaction->ledger;
	const struct small_waits *small = &account->small;
	struct cu_ledger_entry *pause = &ledger[pause_of(dir)];
	if (small->n < HABIT || small->delayed_ns > (small->transfer_ns + small->delayed_ns) / DELAYED_SHARE) {
		return;
	}
	if (pause->first_frame == 0) {
		pause->first_frame = ledger[CU_NETWORK_TRANSFER].first_frame;
		pause->last_frame = ledger[CU_NETWORK_TRANSFER].last_frame;
	}
	pause->ns += small->transfer_ns + small->delayed_ns;
	ledger[CU_NETWORK_TRANSFER].ns -= small->transfer_ns;
	ledger[delayed_ack_of_receiver(dir)].ns -= small->delayed_ns;
}

/*
 * Charges the delivery of [start, end) of a direction from a moment on: each
 * step by which the delivered bytes grow in order is a wait with one reason.
 * Returns when the last byte was delivered.
 */
static int64_t charge_delivery(struct account *account, int dir, int64_t start, int64_t end, int64_t from,
                               int64_t limit)
{
	const struct cu_delivery *delivery = &account->known->delivery[dir];
	struct cu_transaction *transaction = account->transaction;
	int64_t now = from;
	const struct cu_piece *before = NULL;
	account->small = (struct small_waits){0};

	for (size_t p = cu_delivery_find(delivery, start); p < delivery->n_pieces && delivery->piece[p].start < end;
	     p++) {
		const struct cu_piece *piece = &delivery->piece[p];
		int64_t arrive = min_ns(piece->arrive_ns, limit);
		int64_t due = min_ns(piece->due_ns, arrive);
		bool lost =
			piece->loss == CU_LOSS_BEFORE || piece->loss == CU_LOSS_AFTER || piece->loss == CU_LOSS_BOTH;
		if (lost) {
			add_loss_side(transaction, piece->loss);
		}
		if (arrive > now) {
			if (due > now) {
				charge_wait(account, &(struct wait){.dir = dir,
				                                    .from = now,
				                                    .until = due,
				                                    .before = before,
				                                    .next = piece});
				now = due;
			}
			if (lost) {
				charge(account, loss_cause(account, dir, piece), now, arrive, piece->first_seg,
				       piece->arrive_seg);
			} else {
				charge(account, CU_NETWORK_TRANSFER, now, arrive, piece->first_seg, piece->arrive_seg);
			}
			now = arrive;
		}
		if (before == NULL || piece->arrive_ns >= before->arrive_ns) {
			before = piece;
		}
	}
	settle_small_waits(account, dir);
	return now;
}

/* What a range of a direction was: its frames, and when it passed. */
struct passage {
	int64_t first_ns;   /* first byte seen, or known to have been sent */
	int64_t arrived_ns; /* last byte delivered */
	uint32_t first_seg, last_seg;
	bool whole; /* every byte of it was delivered, or at least seen */
};

static bool find_passage(const struct cu_delivery *delivery, int64_t start, int64_t end, struct passage *passage,
                         struct cu_message *message, const struct cu_trace *trace)
{
	*passage = (struct passage){.first_ns = INT64_MAX, .arrived_ns = INT64_MIN, .whole = true};
	uint64_t first_frame = UINT64_MAX, last_frame = 0;
	int64_t at = start;
	for (size_t p = cu_delivery_find(delivery, start); p < delivery->n_pieces && delivery->piece[p].start < end;
	     p++) {
		const struct cu_piece *piece = &delivery->piece[p];
		int64_t first = min_ns(piece->first_ns, piece->due_ns);
		if (first < passage->first_ns) {
			passage->first_ns = first;
			passage->first_seg = piece->first_seg;
		}
		if (piece->arrive_ns > passage->arrived_ns) {
			passage->arrived_ns = piece->arrive_ns;
			passage->last_seg = piece->arrive_seg;
		}
		if (piece->start > at) {
			passage->whole = false;
		}
		at = piece->end;
		if (piece->loss == CU_LOSS_CAPTURE) {
			continue;
		}
		uint64_t frame = trace->segment[piece->first_seg].frame;
		first_frame = frame < first_frame ? frame : first_frame;
		frame = trace->segment[piece->arrive_seg].frame;
		last_frame = frame > last_frame ? frame : last_frame;
		message->n_retransmitted += piece->retransmitted ? piece->n_copies - (piece->n_copies > 1) : 0;
	}
	if (at < end) {
		passage->whole = false;
	}
	message->n_bytes = (uint64_t)(end - start);
	message->first_frame = last_frame != 0 ? first_frame : 0;
	message->last_frame = last_frame;
	return passage->first_ns != INT64_MAX;
}

/* The events of the segments between, for the evidence. */
static void add_events(struct account *account, uint32_t first_seg, uint32_t last_seg, int64_t origin_ns)
{
	static const uint32_t told = 1u << CU_EVENT_RETRANSMISSION | 1u << CU_EVENT_LOST_SEGMENT |
	                             1u << CU_EVENT_ACK_LOST_SEGMENT | 1u << CU_EVENT_DUPLICATE_ACK |
	                             1u << CU_EVENT_KEEP_ALIVE | 1u << CU_EVENT_KEEP_ALIVE_ACK |
	                             1u << CU_EVENT_ZERO_WINDOW | 1u << CU_EVENT_WINDOW_FULL |
	                             1u << CU_EVENT_OUT_OF_ORDER | 1u << CU_EVENT_RESET | 1u << CU_EVENT_ICMP |
	                             1u << CU_EVENT_ZERO_WINDOW_PROBE | 1u << CU_EVENT_DUPLICATE_FRAME |
	                             1u << CU_EVENT_FAST_RETRANSMISSION | 1u << CU_EVENT_SPURIOUS_RETRANSMISSION;
	/* The more particular name stands for a segment that has several. */
	static const uint8_t rank[] = {CU_EVENT_ICMP,
	                               CU_EVENT_RESET,
	                               CU_EVENT_SPURIOUS_RETRANSMISSION,
	                               CU_EVENT_FAST_RETRANSMISSION,
	                               CU_EVENT_RETRANSMISSION,
	                               CU_EVENT_OUT_OF_ORDER,
	                               CU_EVENT_DUPLICATE_FRAME,
	                               CU_EVENT_LOST_SEGMENT,
	                               CU_EVENT_ACK_LOST_SEGMENT,
	                               CU_EVENT_ZERO_WINDOW_PROBE,
	                               CU_EVENT_ZERO_WINDOW,
	                               CU_EVENT_WINDOW_FULL,
	                               CU_EVENT_KEEP_ALIVE,
	                               CU_EVENT_KEEP_ALIVE_ACK,
	                               CU_EVENT_DUPLICATE_ACK};
	const struct cu_trace *trace = account->known->trace;
	struct cu_transaction *transaction = account->transaction;

	for (uint32_t i = first_seg; i <= last_seg && i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if ((seg->marks & told) == 0) {
			continue;
		}
		uint8_t kind = CU_EVENT_NONE;
		for (size_t r = 0; r < sizeof(rank) && kind == CU_EVENT_NONE; r++) {
			if (seg->marks >> rank[r] & 1) {
				kind = rank[r];
			}
		}
		transaction->n_events++;
		struct cu_event *same = NULL;
		for (int e = transaction->n_kept - 1; e >= 0 && same == NULL; e--) {
			struct cu_event *event = &transaction->events[e];
			bool full = transaction->n_kept == CU_EVENT_CAP;
			bool run = e == transaction->n_kept - 1 && kind == CU_EVENT_DUPLICATE_ACK;
			if (event->kind == kind && event->dir == seg->dir && (full || run)) {
				same = event;
			}
		}
		if (same != NULL) {
			same->count = same->count < UINT16_MAX ? (uint16_t)(same->count + 1) : UINT16_MAX;
		} else if (transaction->n_kept < CU_EVENT_CAP) {
			transaction->events[transaction->n_kept++] =
				(struct cu_event){.kind = kind,
			                          .dir = seg->dir,
			                          .count = 1,
			                          .frame = seg->frame,
			                          .time_ns = seg->time_ns - origin_ns};
		}
	}
}

/* How far the figures can be relied on, 0 to 100. */
static uint8_t certainty_of(const struct account *account)
{
	const struct cu_case *known = account->known;
	const struct cu_connection *connection = &known->trace->connection;
	int certainty = 100;
	if (!connection->side[CU_C2S].has_syn || !connection->side[CU_S2C].has_syn) {
		certainty -= 15;
	}
	if (!known->path->server_known) {
		certainty -= 30;
	}
	if (!known->path->client_known) {
		certainty -= 15;
	}
	if (connection->role == CU_ROLE_GUESSED) {
		certainty -= 10;
	}
	if (account->inferred) {
		certainty -= 25;
	}
	if (known->capture_lacks) {
		certainty -= 25;
	}
	if (account->transaction->ledger[CU_UNKNOWN_CAPTURE].ns > account->transaction->total_ns / 10) {
		certainty -= 30;
	}
	return (uint8_t)(certainty < 0 ? 0 : certainty);
}

/* The first segment of the server that acknowledges the whole request. */
static void find_acked(struct account *account, const struct cu_exchange *exchange, int64_t complete_ns)
{
	const struct cu_delivery *delivery = &account->known->delivery[CU_C2S];
	size_t s = cu_delivery_acked(delivery, exchange->request_end);
	if (s < delivery->n_steps) {
		account->transaction->acked_frame = frame_of(account, delivery->step[s].seg);
		account->transaction->ack_delay_ns = max_ns(0, delivery->step[s].time_ns - complete_ns);
	}
}

/* Total and the round trip's share: what is left of a turnaround above it is the server's. */
static void charge_turnaround(struct account *account, enum cu_cause above, int64_t from, int64_t until, int64_t rtt,
                              uint32_t first_seg, uint32_t last_seg)
{
	int64_t trip = min_ns(rtt, max_ns(0, until - from));
	charge(account, CU_NETWORK_RTT, from, from + trip, first_seg, last_seg);
	charge(account, above, from + trip, until, first_seg, last_seg);
}

/* The client's own distance, at the start and at the end. */
static void charge_client_distance(struct account *account, uint32_t first_seg, uint32_t last_seg)
{
	struct cu_transaction *transaction = account->transaction;
	charge(account, CU_NETWORK_RTT, 0, 2 * transaction->client_distance_ns, first_seg, last_seg);
}

/* How long the end of a message waited in a queue between the vantage point and its receiver. */
static int64_t queued_behind(const struct account *account, int dir, int64_t start, int64_t end)
{
	const struct cu_case *known = account->known;
	enum cu_vantage at_receiver = dir == CU_C2S ? CU_VANTAGE_SERVER : CU_VANTAGE_CLIENT;
	if (known->path->vantage == at_receiver) {
		return 0; /* ACKs that come late there are the host's own */
	}
	return cu_delivery_queued_ns(&known->delivery[dir], start, end, known->trace->mss[dir],
	                             receiver_rtt(account, dir));
}

/*
 * When the client gave up on an answer that had not reached it: it closed long
 * after the last copy of it passed, and had not acknowledged it. 0 when it
 * did, or never closed.
 */
static int64_t given_up_ns(const struct account *account, const struct cu_exchange *exchange,
                           const struct passage *response, uint32_t *seg_index)
{
	const int64_t ack_delay_ns = CU_NS_PER_S / 2; /* at most (RFC 9293 section 3.8.6.3) */
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	if (cu_delivery_acked(&known->delivery[CU_S2C], exchange->response_end) < known->delivery[CU_S2C].n_steps) {
		return 0;
	}
	int64_t expected_ns = response->arrived_ns + known->path->client_rtt_ns + ack_delay_ns;
	for (uint32_t i = response->first_seg; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!seg->icmp && seg->dir == CU_C2S && seg->flags & (CU_TCP_FIN | CU_TCP_RST)) {
			*seg_index = i;
			return seg->time_ns > expected_ns ? seg->time_ns : 0;
		}
	}
	return 0;
}

static bool fill_request(struct account *account, const struct cu_exchange *exchange)
{
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	struct cu_transaction *transaction = account->transaction;
	struct passage request, response;

	if (!find_passage(&known->delivery[CU_C2S], exchange->request_start, exchange->request_end, &request,
	                  &transaction->request, trace)) {
		return false;
	}
	bool has_answer = exchange->response_end > exchange->response_start &&
	                  find_passage(&known->delivery[CU_S2C], exchange->response_start, exchange->response_end,
	                               &response, &transaction->response, trace);
	int64_t end_ns = has_answer ? response.arrived_ns : trace->segment[exchange->end_seg].time_ns;
	if (end_ns < request.first_ns) {
		return false;
	}
	int64_t answer_queued_ns = 0;
	uint32_t given_up_seg = 0;
	int64_t given_up = has_answer ? given_up_ns(account, exchange, &response, &given_up_seg) : 0;
	if (given_up != 0) {
		end_ns = given_up;
	} else if (has_answer) {
		answer_queued_ns = queued_behind(account, CU_S2C, exchange->response_start, exchange->response_end);
	}
	transaction->start_ns = request.first_ns - transaction->client_distance_ns;
	transaction->total_ns = end_ns - request.first_ns + answer_queued_ns +
	                        (has_answer && given_up == 0 ? 2 * transaction->client_distance_ns : 0);
	find_acked(account, exchange, request.arrived_ns);

	int64_t spoke_ns = has_answer ? response.first_ns : end_ns;
	int64_t complete_ns = min_ns(request.arrived_ns, spoke_ns);
	complete_ns = max_ns(complete_ns, request.first_ns);
	charge_delivery(account, CU_C2S, exchange->request_start, exchange->request_end, request.first_ns, complete_ns);
	/* What waits in a queue behind the vantage point is not at the server yet. */
	int64_t queued_ns = queued_behind(account, CU_C2S, exchange->request_start, exchange->request_end);
	queued_ns = min_ns(queued_ns, max_ns(0, spoke_ns - complete_ns));
	charge(account, CU_NETWORK_TRANSFER, complete_ns, complete_ns + queued_ns, request.last_seg, request.last_seg);
	complete_ns += queued_ns;
	if (has_answer) {
		if (given_up == 0) {
			charge(account, CU_NETWORK_TRANSFER, end_ns, end_ns + answer_queued_ns, response.last_seg,
			       response.last_seg);
			charge_client_distance(account, request.first_seg, response.last_seg);
		}
		int64_t silence_ns = spoke_ns - complete_ns - 2 * transaction->server_distance_ns;
		bool lost = lost_out_of_sight(account, CU_S2C, response.first_seg, silence_ns);
		if (lost) {
			account->inferred = true;
			add_loss_side(transaction, CU_LOSS_BEFORE);
		} else if (known->path->vantage != CU_VANTAGE_SERVER && trace->segment[response.first_seg].ip_id == 0) {
			/* Without identification a lost answer looks like a slow one, where the time is a timer's. */
			account->inferred =
				is_timeout(silence_ns, 1, known->path->client_rtt_ns + known->path->server_rtt_ns);
		}
		bool unseen = known->delivery[CU_S2C]
		                      .piece[cu_delivery_find(&known->delivery[CU_S2C], exchange->response_start)]
		                      .loss == CU_LOSS_CAPTURE;
		charge_turnaround(account,
		                  lost     ? hidden_loss_cause(account, CU_S2C, response.first_seg, silence_ns)
		                  : unseen ? CU_UNKNOWN_CAPTURE
		                           : CU_SERVER_THINK,
		                  complete_ns, max_ns(complete_ns, spoke_ns), 2 * transaction->server_distance_ns,
		                  request.last_seg, response.first_seg);
		transaction->first_byte_ns =
			max_ns(complete_ns, spoke_ns) - request.first_ns + 2 * transaction->client_distance_ns;
		int64_t delivered_ns = charge_delivery(account, CU_S2C, exchange->response_start,
		                                       exchange->response_end, max_ns(complete_ns, spoke_ns), end_ns);
		if (given_up != 0) {
			const struct cu_delivery *delivery = &known->delivery[CU_S2C];
			int64_t acked = delivery->n_steps > 0 ? delivery->step[delivery->n_steps - 1].ack : 0;
			size_t missing = cu_delivery_find(delivery, max_ns(acked, exchange->response_start));
			charge(account, loss_cause(account, CU_S2C, &delivery->piece[missing]), delivered_ns, end_ns,
			       response.last_seg, given_up_seg);
		}
	} else if (transaction->acked_frame != 0) {
		charge_turnaround(account, CU_SERVER_THINK, complete_ns, end_ns, 2 * transaction->server_distance_ns,
		                  request.last_seg, exchange->end_seg);
	} else {
		/* Not even its TCP answered: large segments alone, or everything? */
		const struct cu_delivery *delivery = &known->delivery[CU_C2S];
		size_t p = cu_delivery_find(delivery, exchange->request_end - 1);
		enum cu_cause cause = CU_NETWORK_LOSS;
		if (p < delivery->n_pieces && mtu_reported(account, CU_C2S, request.first_ns, end_ns)) {
			cause = CU_NETWORK_MTU;
		}
		charge(account, cause, complete_ns, end_ns, request.first_seg, exchange->end_seg);
	}
	return true;
}

/* First and last copy of a SYN or SYN-ACK, and the one that was answered at answer_ns. */
struct syn_copies {
	uint32_t first_seg, used_seg;
	int64_t first_ns, used_ns;
	bool seen;
};

/*
 * The copy that an answer answers: the one whose timestamp it echoes (RFC 7323
 * section 4), else the last that was early enough for the round trip.
 */
static struct syn_copies find_syn(const struct account *account, int dir, const struct cu_trace_segment *answer,
                                  int64_t rtt_ns)
{
	const struct cu_trace *trace = account->known->trace;
	struct syn_copies copies = {0};
	bool echoed = false;
	for (uint32_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || seg->dir != dir || !(seg->flags & CU_TCP_SYN) ||
		    cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
			continue;
		}
		bool echo = answer != NULL && answer->has_timestamps && seg->has_timestamps &&
		            answer->tsecr == seg->tsval && answer->dir != dir;
		bool early_enough = answer == NULL || seg->time_ns <= answer->time_ns - rtt_ns + rtt_ns / 4;
		if (!copies.seen) {
			copies = (struct syn_copies){.first_seg = i,
			                             .used_seg = i,
			                             .first_ns = seg->time_ns,
			                             .used_ns = seg->time_ns,
			                             .seen = true};
			echoed = echo;
		} else if (echo || (early_enough && !echoed)) {
			copies.used_seg = i;
			copies.used_ns = seg->time_ns;
			echoed = echo;
		}
	}
	return copies;
}

/* When the client first acknowledged the SYN-ACK; INT64_MAX never. */
static int64_t handshake_done(const struct cu_trace *trace, uint32_t *seg_index)
{
	for (uint32_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!seg->icmp && seg->dir == CU_C2S && seg->ack >= 1 && !(seg->flags & (CU_TCP_SYN | CU_TCP_RST))) {
			*seg_index = i;
			return seg->time_ns;
		}
	}
	return INT64_MAX;
}

/* SYN and SYN-ACK timers: 1 s, doubled (RFC 6298 section 2.1), or 3 s before that. */
static bool is_syn_timeout(int64_t late_ns, int64_t rtt_ns)
{
	static const int64_t after_s[] = {1, 3, 7, 9, 15, 21, 31};
	for (size_t i = 0; i < sizeof(after_s) / sizeof(after_s[0]); i++) {
		int64_t expected = after_s[i] * CU_NS_PER_S;
		if (late_ns >= expected - rtt_ns - expected / 50 && late_ns <= expected + 2 * rtt_ns + expected / 12) {
			return true;
		}
	}
	return false;
}

static bool fill_connect(struct account *account, const struct cu_exchange *exchange)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	struct cu_transaction *transaction = account->transaction;
	uint32_t done_seg = exchange->last_seg;
	int64_t done_ns = handshake_done(trace, &done_seg);
	const struct cu_trace_segment *done = done_ns != INT64_MAX ? &trace->segment[done_seg] : NULL;
	struct syn_copies answer = find_syn(account, CU_S2C, done, path->client_rtt_ns);
	const struct cu_trace_segment *end = &trace->segment[exchange->end_seg];
	int64_t end_ns = end->time_ns;
	struct syn_copies syn =
		find_syn(account, CU_C2S, answer.seen ? &trace->segment[answer.first_seg] : end, path->server_rtt_ns);

	if (!syn.seen) {
		return false;
	}
	transaction->start_ns = syn.first_ns - transaction->client_distance_ns;
	transaction->request.first_frame = frame_of(account, syn.first_seg);
	transaction->request.last_frame = frame_of(account, syn.used_seg);
	if (!answer.seen || exchange->outcome == CU_OUTCOME_REFUSED) {
		/* Refused: by a RST or an ICMP error; else nobody answered. */
		bool refused = exchange->outcome == CU_OUTCOME_REFUSED;
		transaction->total_ns = end_ns - syn.first_ns;
		if (refused) {
			transaction->total_ns += 2 * transaction->client_distance_ns;
			transaction->response.first_frame = transaction->response.last_frame =
				frame_of(account, exchange->end_seg);
			int64_t used_ns = max_ns(syn.used_ns, syn.first_ns);
			charge(account, CU_NETWORK_CONNECT, syn.first_ns, min_ns(used_ns, end_ns), syn.first_seg,
			       syn.used_seg);
			charge(account, CU_NETWORK_RTT, min_ns(used_ns, end_ns), end_ns, syn.used_seg,
			       exchange->end_seg);
			charge_client_distance(account, syn.first_seg, exchange->end_seg);
		} else {
			charge(account, CU_NETWORK_CONNECT, syn.first_ns, end_ns, syn.first_seg, exchange->end_seg);
		}
		return true;
	}
	transaction->response.first_frame = frame_of(account, answer.first_seg);
	transaction->response.last_frame = frame_of(account, answer.used_seg);
	transaction->acked_frame = transaction->response.first_frame;
	transaction->total_ns = answer.used_ns - syn.first_ns + 2 * transaction->client_distance_ns;
	transaction->first_byte_ns = transaction->total_ns;
	transaction->ack_delay_ns = max_ns(0, answer.first_ns - syn.used_ns);
	int64_t used_ns = min_ns(syn.used_ns, answer.first_ns);
	charge_client_distance(account, syn.first_seg, answer.used_seg);
	/* A SYN seen next to its server arrived: what did not answer is a full backlog. */
	enum cu_cause unanswered = path->vantage == CU_VANTAGE_SERVER ? CU_SERVER_CONNECT : CU_NETWORK_CONNECT;
	charge(account, unanswered, syn.first_ns, used_ns, syn.first_seg, syn.used_seg);
	/* An answer that comes as late as a timer makes it is a second one: the first was lost out of sight. */
	int64_t late_ns = answer.first_ns - used_ns - 2 * transaction->server_distance_ns;
	bool lost = is_syn_timeout(late_ns, path->server_rtt_ns + path->client_rtt_ns);
	charge_turnaround(account, lost ? CU_NETWORK_CONNECT : CU_SERVER_CONNECT, used_ns, answer.first_ns,
	                  2 * transaction->server_distance_ns, syn.used_seg, answer.first_seg);
	charge(account, CU_NETWORK_CONNECT, answer.first_ns, answer.used_ns, answer.first_seg, answer.used_seg);
	if (syn.used_seg != syn.first_seg || answer.used_seg != answer.first_seg) {
		transaction->loss_side = CU_LOSS_AFTER;
		if (syn.used_seg != syn.first_seg && path->vantage == CU_VANTAGE_SERVER) {
			transaction->loss_side = CU_LOSS_NONE;
		}
	}
	return true;
}

static bool fill_greeting(struct account *account, const struct cu_exchange *exchange)
{
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	struct cu_transaction *transaction = account->transaction;
	struct passage greeting;
	uint32_t done_seg = 0;
	int64_t done_ns = handshake_done(trace, &done_seg);

	if (done_ns == INT64_MAX || !find_passage(&known->delivery[CU_S2C], exchange->response_start,
	                                          exchange->response_end, &greeting, &transaction->response, trace)) {
		return false;
	}
	/* The client's wait begins when its handshake is done: half its round trip before that passed here. */
	done_ns = min_ns(done_ns, greeting.first_ns);
	transaction->start_ns = done_ns - transaction->client_distance_ns;
	transaction->total_ns = greeting.arrived_ns - done_ns + 2 * transaction->client_distance_ns;
	transaction->first_byte_ns = greeting.first_ns - done_ns + 2 * transaction->client_distance_ns;
	transaction->request.first_frame = transaction->request.last_frame = frame_of(account, done_seg);
	charge_client_distance(account, done_seg, greeting.last_seg);
	charge_turnaround(account, CU_SERVER_THINK, done_ns, greeting.first_ns, 2 * transaction->server_distance_ns,
	                  done_seg, greeting.first_seg);
	charge_delivery(account, CU_S2C, exchange->response_start, exchange->response_end, greeting.first_ns,
	                greeting.arrived_ns);
	return true;
}

/* The first FIN until its ACK: the stacks' own exchange. */
static bool fill_close(struct account *account, const struct cu_exchange *exchange)
{
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	struct cu_transaction *transaction = account->transaction;
	int dir = trace->segment[exchange->first_seg].dir;
	const struct cu_delivery *delivery = &known->delivery[dir];
	struct passage fin;

	if (!find_passage(delivery, exchange->request_start, exchange->request_end, &fin, &transaction->request,
	                  trace)) {
		return false;
	}
	size_t s = cu_delivery_acked(delivery, exchange->request_end);
	if (s == delivery->n_steps) {
		return false; /* never acknowledged: nobody waited for it */
	}
	const struct cu_ack_step *step = &delivery->step[s];
	int64_t near_ns = dir == CU_C2S ? transaction->client_distance_ns : transaction->server_distance_ns;
	int64_t far_rtt_ns = receiver_rtt(account, dir);
	int64_t arrived_ns = min_ns(fin.arrived_ns, step->time_ns);
	transaction->start_ns = fin.first_ns - near_ns;
	transaction->total_ns = max_ns(0, step->time_ns - fin.first_ns) + 2 * near_ns;
	transaction->acked_frame = frame_of(account, step->seg);
	transaction->outcome = CU_OUTCOME_ANSWERED;
	transaction->request.n_bytes = 0; /* a FIN is no byte of anybody's */
	charge(account, CU_NETWORK_RTT, 0, 2 * near_ns, fin.first_seg, step->seg);
	charge(account, CU_NETWORK_LOSS, fin.first_ns, arrived_ns, fin.first_seg, fin.last_seg);
	/* An ACK may be delayed by half a second at most (RFC 9293 3.8.6.3): a later one is another, the first was lost. */
	bool lost = step->time_ns - arrived_ns - far_rtt_ns > CU_NS_PER_S / 2 || fin.arrived_ns > step->time_ns ||
	            transaction->request.n_retransmitted > 0;
	charge_turnaround(account, lost ? CU_NETWORK_LOSS : delayed_ack_of_receiver(dir), arrived_ns, step->time_ns,
	                  far_rtt_ns, fin.last_seg, step->seg);
	return true;
}

bool cu_ledger_fill(const struct cu_case *known, const struct cu_exchange *exchange, struct cu_transaction *transaction)
{
	struct account account = {.known = known, .transaction = transaction};
	const struct cu_trace *trace = known->trace;

	*transaction = (struct cu_transaction){
		.stream = trace->connection.stream,
		.kind = exchange->kind,
		.outcome = exchange->outcome,
		.file = trace->segment[exchange->first_seg].file,
		.client_distance_ns = known->path->client_rtt_ns / 2,
		.server_distance_ns = known->path->server_rtt_ns / 2,
	};
	bool filled = exchange->kind == CU_TXN_CONNECT    ? fill_connect(&account, exchange)
	              : exchange->kind == CU_TXN_GREETING ? fill_greeting(&account, exchange)
	              : exchange->kind == CU_TXN_CLOSE    ? fill_close(&account, exchange)
	                                                  : fill_request(&account, exchange);
	if (!filled) {
		return false;
	}
	uint32_t last_seg = exchange->outcome == CU_OUTCOME_ANSWERED ? exchange->last_seg : exchange->end_seg;
	add_events(&account, exchange->first_seg, last_seg, trace->segment[exchange->first_seg].time_ns);
	const struct cu_hint *hint = exchange->request_hint != 0 ? &trace->hint[exchange->request_hint - 1] : NULL;
	if (hint != NULL && hint->text_len > 0) {
		transaction->name = (struct cu_text){.data = hint->text, .len = hint->text_len};
	}
	transaction->certainty = certainty_of(&account);
	return true;
}
