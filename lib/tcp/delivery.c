#include "lib/tcp/delivery.h"

#include "lib/base/grow.h"
#include "lib/tcp/copies.h"

#include <stdlib.h>
#include <string.h>

enum {
	HOLES_OPEN_CAP = 1024, /* holes that wait to be filled; older ones are given up */
};

void cu_delivery_release(struct cu_delivery *delivery)
{
	free(delivery->piece);
	free(delivery->step);
	free(delivery->hole);
	free(delivery->copy);
	free(delivery->late);
	free(delivery->too_big_ns);
	*delivery = (struct cu_delivery){0};
}

/* The next free element of a growing array, to be set by the caller; NULL without memory. */
static inline void *append(void **array, size_t *n, size_t *cap, size_t size)
{
	return cu_grow(array, cap, *n, size) ? (char *)*array + (*n)++ * size : NULL;
}

#define APPEND(owner, list, n, cap) \
	append((void **)&(owner)->list, &(owner)->n, &(owner)->cap, sizeof((owner)->list[0]))

/* Halving without a branch on what is found, which no processor foresees: n elements from at are left to look at. */
size_t cu_delivery_find(const struct cu_delivery *delivery, int64_t seq)
{
	size_t at = 0, n = delivery->n_pieces;
	for (; n > 1; n -= n / 2) {
		at += (delivery->piece[at + n / 2 - 1].end <= seq) * (n / 2);
	}
	return at + (n == 1 && delivery->piece[at].end <= seq);
}

/* Whether a step does not cover seq yet; whether it came at or before a time; or before a segment. */
static inline bool is_below(const struct cu_ack_step *step, int64_t seq)
{
	return step->ack < seq;
}

static inline bool is_until(const struct cu_ack_step *step, int64_t time_ns)
{
	return step->time_ns <= time_ns;
}

static inline bool is_of_before(const struct cu_ack_step *step, int64_t seg)
{
	return step->seg < seg;
}

typedef bool is_before_fn(const struct cu_ack_step *step, int64_t value);

/* The first of the steps from at to end of which that is not true; it is of all before it. */
static inline size_t first_step(const struct cu_delivery *delivery, size_t at, size_t end, int64_t value,
                                is_before_fn *is_before)
{
	size_t n = end - at;
	for (; n > 1; n -= n / 2) {
		at += is_before(&delivery->step[at + n / 2 - 1], value) * (n / 2);
	}
	return at + (n == 1 && is_before(&delivery->step[at], value));
}

/* The same among all, with steps from near that grow, to either side: most are found where the last one was. */
static inline size_t first_step_near(const struct cu_delivery *delivery, size_t near, int64_t value,
                                     is_before_fn *is_before)
{
	size_t n = delivery->n_steps, low = near < n ? near : n, high = low, stride = 1;
	if (low < n && is_before(&delivery->step[low], value)) {
		while (high < n && is_before(&delivery->step[high], value)) {
			low = high + 1;
			high += stride;
			stride *= 2;
		}
		return first_step(delivery, low, high < n ? high : n, value, is_before);
	}
	while (low > 0 && !is_before(&delivery->step[low - 1], value)) {
		high = low - 1;
		low -= low < stride ? low : stride;
		stride *= 2;
	}
	return first_step(delivery, low, high, value, is_before);
}

size_t cu_delivery_acked(const struct cu_delivery *delivery, int64_t seq)
{
	return first_step(delivery, 0, delivery->n_steps, seq, is_below);
}

size_t cu_delivery_acked_near(const struct cu_delivery *delivery, int64_t seq, size_t near)
{
	return first_step_near(delivery, near, seq, is_below);
}

size_t cu_delivery_steps_until(const struct cu_delivery *delivery, int64_t time_ns, size_t near)
{
	return first_step_near(delivery, near, time_ns, is_until);
}

size_t cu_delivery_steps_before(const struct cu_delivery *delivery, uint32_t seg)
{
	return first_step(delivery, 0, delivery->n_steps, seg, is_of_before);
}

bool cu_delivery_too_big(const struct cu_delivery *delivery, int64_t from_ns, int64_t until_ns)
{
	size_t low = 0, high = delivery->n_too_big;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (delivery->too_big_ns[middle] < from_ns) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low < delivery->n_too_big && delivery->too_big_ns[low] <= until_ns;
}

/* How late the ACK of a full segment, piece p, is, if its bytes were sent but once (Karn's rule). */
static bool ack_lateness(const struct cu_delivery *delivery, const struct cu_ack_step *step, size_t p,
                         int64_t acked_before, int64_t mss, int64_t *late_ns)
{
	if (p == delivery->n_pieces || delivery->piece[p].end != step->ack ||
	    delivery->piece[p].end - delivery->piece[p].start < mss) {
		return false;
	}
	*late_ns = step->time_ns - delivery->piece[p].arrive_ns;
	for (size_t back = p + 1; back > 0 && delivery->piece[back - 1].end > acked_before; back--) {
		const struct cu_piece *piece = &delivery->piece[back - 1];
		if (piece->retransmitted || piece->loss != CU_LOSS_NONE) {
			return false;
		}
	}
	return true;
}

int64_t cu_delivery_queued_ns(const struct cu_delivery *delivery, int64_t start, int64_t end, int64_t mss,
                              int64_t receiver_rtt_ns)
{
	enum { AGREE = 3 }; /* one of so many may still have been delayed: the least counts */
	if (end - start <= AGREE * mss) {
		return 0;
	}
	int64_t late[AGREE] = {0}, acked = start;
	size_t n = 0, s = cu_delivery_acked(delivery, start + 1), p = cu_delivery_find(delivery, start);

	for (; s < delivery->n_steps && delivery->step[s].ack < end; s++) {
		const struct cu_ack_step *step = &delivery->step[s];
		bool open = s == 0 || step->window >= step[-1].window;
		while (p < delivery->n_pieces && delivery->piece[p].end < step->ack) {
			p++;
		}
		if (step->ack > acked && open && ack_lateness(delivery, step, p, acked, mss, &late[n % AGREE])) {
			n++;
		}
		acked = step->ack;
	}
	if (n < AGREE || s == delivery->n_steps) {
		return 0;
	}
	p = cu_delivery_find(delivery, end - 1);
	if (p == delivery->n_pieces) {
		return 0;
	}
	int64_t least = delivery->step[s].time_ns - delivery->piece[p].arrive_ns;
	for (size_t i = 0; i < AGREE; i++) {
		least = late[i] < least ? late[i] : least;
	}
	return least > receiver_rtt_ns ? least - receiver_rtt_ns : 0;
}

/* Linux and most others count the IPv4 identification up for each packet of a connection. */
static bool ids_tell(const struct cu_trace_segment *a, const struct cu_trace_segment *b)
{
	enum { ID_NEAR = 4096 };
	int16_t diff = (int16_t)(uint16_t)(a->ip_id - b->ip_id);
	return a->ip_id != 0 && b->ip_id != 0 && diff != 0 && diff > -ID_NEAR && diff < ID_NEAR;
}

/* Whether a was sent before b by the same sender: -1 yes, 1 no, 0 not to be told. */
static int sent_order(const struct cu_trace_segment *a, const struct cu_trace_segment *b)
{
	if (ids_tell(a, b)) {
		return (int16_t)(uint16_t)(a->ip_id - b->ip_id) < 0 ? -1 : 1;
	}
	if (a->has_timestamps && b->has_timestamps && a->tsval != b->tsval) {
		return (int32_t)(a->tsval - b->tsval) < 0 ? -1 : 1;
	}
	return 0;
}

/* Settles what a segment that fills a hole is; Wireshark knows the clock only. */
static void mark_filled(struct cu_trace_segment *seg, const struct cu_trace_segment *shown, bool reordered, int order)
{
	const uint32_t resent = 1u << CU_EVENT_RETRANSMISSION | 1u << CU_EVENT_FAST_RETRANSMISSION;
	const uint32_t out_of_order = 1u << CU_EVENT_OUT_OF_ORDER;
	if (reordered ? (seg->marks & out_of_order) != 0 : (seg->marks & out_of_order) == 0) {
		return;
	}
	seg->marks &= reordered ? ~resent : ~out_of_order;
	seg->marks |= reordered ? out_of_order : 1u << CU_EVENT_RETRANSMISSION;
	if (order == 0) {
		cu_settle(seg, CU_SETTLED_ROUND_TRIP);
	} else {
		cu_settle(seg, ids_tell(seg, shown) ? CU_SETTLED_IP_ID : CU_SETTLED_TIMESTAMPS);
	}
}

/* The first hole, of those that wait, that ends beyond seq. */
static size_t find_hole(const struct cu_delivery *delivery, int64_t seq)
{
	size_t n = delivery->n_holes < HOLES_OPEN_CAP ? delivery->n_holes : HOLES_OPEN_CAP;
	size_t at = delivery->n_holes - n;
	for (; n > 1; n -= n / 2) {
		at += (delivery->hole[at + n / 2 - 1].end <= seq) * (n / 2);
	}
	return at + (n == 1 && delivery->hole[at].end <= seq);
}

/* The middle of a hole came first: what is left behind it becomes a hole of its own. */
static int split_hole(struct cu_delivery *delivery, size_t h, int64_t from, int64_t to)
{
	if (APPEND(delivery, hole, n_holes, holes_cap) == NULL) {
		return CU_ERR_NOMEM;
	}
	struct cu_hole *hole = &delivery->hole[h];
	memmove(hole + 1, hole, (delivery->n_holes - h - 1) * sizeof(*hole)); /* HOLES_OPEN_CAP at most */
	hole[0].end = from;
	hole[1].start = hole[1].first_start = to;
	return 0;
}

/* The last segment before one, of its direction, at seq or beyond; NULL without one that is near. */
static const struct cu_trace_segment *seen_beyond(const struct cu_trace *trace, uint32_t i, int64_t seq)
{
	enum { LOOK_BACK = 64 };
	const struct cu_trace_segment *seg = &trace->segment[i];
	for (uint32_t back = 1; back <= i && back <= LOOK_BACK; back++) {
		const struct cu_trace_segment *old = &trace->segment[i - back];
		if (old->dir == seg->dir && cu_carries(old) && old->seq >= seq) {
			return old;
		}
	}
	return NULL;
}

static int fill_hole(struct cu_delivery *delivery, const struct cu_trace *trace, const struct cu_path *path, uint32_t i)
{
	const struct cu_trace_segment *seg = &trace->segment[i];
	int64_t rtt = path->server_rtt_ns + path->client_rtt_ns;

	for (size_t h = find_hole(delivery, seg->seq); h < delivery->n_holes && delivery->hole[h].start < seg->end;
	     h++) {
		struct cu_hole *hole = &delivery->hole[h];
		int64_t from = seg->seq > hole->start ? seg->seq : hole->start;
		int64_t to = seg->end < hole->end ? seg->end : hole->end;
		if (from >= to) {
			continue;
		}
		struct cu_piece *piece = APPEND(delivery, late, n_late, late_cap);
		if (piece == NULL) {
			return CU_ERR_NOMEM;
		}
		const struct cu_trace_segment *shown =
			hole->earlier ? seen_beyond(trace, i, delivery->earlier_end) : &trace->segment[hole->shown_seg];
		int order = shown != NULL ? sent_order(seg, shown) : 0;
		int64_t waited = seg->time_ns - hole->shown_ns;
		bool soon = waited < rtt - rtt / 8 || waited < 3 * CU_NS_PER_MS;
		/* Duplicate ACKs had asked for what is from before the capture: it was late already. */
		bool asked = hole->earlier && cu_is(seg, CU_EVENT_FAST_RETRANSMISSION);
		bool reordered = order < 0 || (order == 0 && soon && !asked);
		*piece = (struct cu_piece){
			.start = from,
			.end = to,
			.first_ns = seg->time_ns,
			.arrive_ns = seg->time_ns,
			.due_ns = reordered && hole->earlier ? seg->time_ns : hole->shown_ns,
			.first_seg = i,
			.arrive_seg = i,
			.n_copies = 1,
			.loss = reordered       ? CU_LOSS_NONE
		                : hole->earlier ? CU_LOSS_EARLIER
		                                : CU_LOSS_BEFORE,
			.retransmitted = !reordered,
		};
		mark_filled(&trace->segment[i], shown, reordered, order);
		hole->filled_ns = seg->time_ns;
		hole->fill_seg = i;
		if (!reordered) {
			hole->side = hole->earlier ? CU_LOSS_EARLIER : CU_LOSS_BEFORE;
		}
		if (from > hole->start && to < hole->end) {
			return split_hole(delivery, h, from, to);
		}
		if (from == hole->start) {
			hole->start = to;
		} else {
			hole->end = from;
		}
	}
	return 0;
}

static int open_hole(struct cu_delivery *delivery, const struct cu_trace_segment *seg, uint32_t i)
{
	struct cu_hole *hole = APPEND(delivery, hole, n_holes, holes_cap);
	if (hole == NULL) {
		return CU_ERR_NOMEM;
	}
	*hole = (struct cu_hole){
		.start = delivery->highest,
		.end = seg->seq,
		.first_start = delivery->highest,
		.first_end = seg->seq,
		.shown_ns = seg->time_ns,
		.shown_seg = i,
	};
	delivery->highest = seg->seq;
	return 0;
}

static int add_segment(struct cu_delivery *delivery, const struct cu_trace *trace, const struct cu_path *path,
                       uint32_t i)
{
	const struct cu_trace_segment *seg = &trace->segment[i];
	if (cu_is_elsewhere(seg) || cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
		return 0;
	}
	if (delivery->highest < 0) {
		delivery->highest = seg->seq;
	}
	/* Any segment's sequence number says that what is before it was sent; a keep-alive's is one below. */
	if (seg->seq > delivery->highest) {
		int err = open_hole(delivery, seg, i);
		if (err != 0) {
			return err;
		}
	}
	if (!cu_carries(seg) || cu_is(seg, CU_EVENT_KEEP_ALIVE)) {
		return 0;
	}
	if (seg->seq < delivery->highest) {
		size_t before = delivery->n_late;
		int err = fill_hole(delivery, trace, path, i);
		if (err != 0) {
			return err;
		}
		if (delivery->n_late == before) {
			struct cu_delivery_copy *copy = APPEND(delivery, copy, n_copies, copies_cap);
			if (copy == NULL) {
				return CU_ERR_NOMEM;
			}
			*copy = (struct cu_delivery_copy){
				.start = seg->seq, .end = seg->end, .time_ns = seg->time_ns, .seg = i};
		}
	}
	if (seg->end > delivery->highest) {
		struct cu_piece *piece = APPEND(delivery, piece, n_pieces, pieces_cap);
		if (piece == NULL) {
			return CU_ERR_NOMEM;
		}
		*piece = (struct cu_piece){
			.start = delivery->highest,
			.end = seg->end,
			.first_ns = seg->time_ns,
			.arrive_ns = seg->time_ns,
			.due_ns = seg->time_ns,
			.first_seg = i,
			.arrive_seg = i,
			.n_copies = 1,
		};
		delivery->highest = seg->end;
	}
	return 0;
}

static int add_step(struct cu_delivery *delivery, const struct cu_trace_segment *seg, uint32_t i)
{
	if (cu_is_elsewhere(seg) && !(seg->flags & CU_TCP_SYN)) {
		delivery->refused_ns = cu_is_of_before(seg) ? seg->time_ns : delivery->refused_ns;
		return 0;
	}
	int64_t lowest = delivery->n_earlier > 0 ? INT64_MIN : 0;
	int64_t highest = delivery->n_steps > 0 ? delivery->step[delivery->n_steps - 1].ack : lowest;
	int64_t last_ns = delivery->n_steps > 0 ? delivery->step[delivery->n_steps - 1].time_ns : INT64_MIN;
	struct cu_ack_step *step = APPEND(delivery, step, n_steps, steps_cap);
	if (step == NULL) {
		return CU_ERR_NOMEM;
	}
	/* Older ACKs that were overtaken say nothing new; clocks that step back stand still. */
	step->time_ns = seg->time_ns > last_ns ? seg->time_ns : last_ns;
	step->ack = seg->ack > highest ? seg->ack : highest;
	step->edge = seg->ack + seg->window;
	step->window = seg->window;
	step->seg = i;
	step->advertises = (seg->flags & CU_TCP_SYN) == 0 && !cu_is(seg, CU_EVENT_DUPLICATE_FRAME);
	return 0;
}

/* A receiver's report of what it lacked of what was sent before the capture. */
struct report {
	uint32_t seg;      /* the ACK */
	int64_t sent_end;  /* what lies below was sent before the capture */
	int64_t lacks_end; /* without SACK: the end of what was sent again at its ACK number */
	bool sack;
};

/* The blocks of an ACK that lie beyond its number; the first may be a duplicate's (RFC 2883). */
static unsigned blocks_beyond(const struct cu_trace *trace, const struct cu_trace_segment *ack,
                              struct cu_trace_sack blocks[CU_SACK_CAP])
{
	if (ack->n_sack == 0) { /* of all: there is no array then */
		return 0;
	}
	const struct cu_trace_sack *all = &trace->sack[ack->sack];
	unsigned n = 0;
	for (unsigned b = 0; b < ack->n_sack; b++) {
		bool again = b == 0 && ack->n_sack > 1 && all[1].left <= all[0].left && all[0].right <= all[1].right;
		if (all[b].left <= ack->ack || again) {
			continue;
		}
		unsigned at = n++;
		for (; at > 0 && blocks[at - 1].left > all[b].left; at--) {
			blocks[at] = blocks[at - 1];
		}
		blocks[at] = all[b];
	}
	return n;
}

/* Whether the direction is captured at all; one of which nothing is lacks more than what was lost. */
static bool is_heard(const struct cu_trace *trace, int dir)
{
	enum { LOOK_AHEAD = 1024 };
	size_t i = 0, end = trace->n < LOOK_AHEAD ? trace->n : LOOK_AHEAD;
	while (i < end && (trace->segment[i].dir != dir || !cu_carries(&trace->segment[i]))) {
		i++;
	}
	return i < end;
}

/*
 * Looks among the first segments for an ACK that tells of a lack below what was
 * seen of a direction: by SACK, or by the third duplicate of a number from which
 * the sender then sends again. The capture's first data is where it goes on.
 */
static bool find_report(const struct cu_trace *trace, int dir, struct report *report)
{
	enum { LOOK_AHEAD = 1024, ENOUGH = 3 };
	int64_t asked = 0, begun = 0;
	bool has_begun = false, has_asked = false;
	for (uint32_t i = 0; i < trace->n && i < LOOK_AHEAD; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		struct cu_trace_sack blocks[CU_SACK_CAP];
		if (seg->icmp || cu_is_elsewhere(seg) || cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
			continue;
		}
		if (seg->dir == dir) {
			if (has_asked && seg->seq == asked && seg->end <= begun && cu_carries(seg)) {
				report->lacks_end = seg->end;
				report->sent_end = begun;
				return true;
			}
			if (cu_carries(seg) && !cu_is(seg, CU_EVENT_KEEP_ALIVE) && !has_begun) {
				begun = seg->seq;
				has_begun = true;
			}
			continue;
		}
		if (!(seg->flags & CU_TCP_ACK) || seg->flags & CU_TCP_SYN) {
			continue;
		}
		if (has_begun && seg->ack >= begun) {
			return false; /* all that was sent before has arrived */
		}
		unsigned n = blocks_beyond(trace, seg, blocks);
		if (n > 0) {
			report->seg = i;
			report->sack = true;
			report->sent_end = has_begun ? begun : blocks[n - 1].right;
			return true;
		}
		if (seg->dup_ack == ENOUGH && seg->n_sack == 0) {
			asked = seg->ack;
			has_asked = true;
			report->seg = i;
		}
	}
	return false;
}

static int add_earlier(struct cu_delivery *delivery, const struct cu_trace *trace, uint32_t seg, int64_t start,
                       int64_t end)
{
	if (start >= end) {
		return 0;
	}
	struct cu_hole *hole = APPEND(delivery, hole, n_holes, holes_cap);
	if (hole == NULL) {
		return CU_ERR_NOMEM;
	}
	*hole = (struct cu_hole){
		.start = start,
		.end = end,
		.first_start = start,
		.first_end = end,
		.shown_ns = trace->segment[seg].time_ns,
		.shown_seg = seg,
		.earlier = true,
	};
	delivery->n_earlier++;
	return 0;
}

/*
 * Holes of a direction that the capture begins in the middle of. A list of
 * blocks that is full (RFC 2018 section 3: three beside timestamps, else four)
 * may leave older ones out: then no more than one segment is known to lack.
 */
static int find_earlier(struct cu_delivery *delivery, const struct cu_trace *trace, int dir)
{
	struct report report = {0};
	struct cu_trace_sack blocks[CU_SACK_CAP];
	if (!find_report(trace, dir, &report) || !is_heard(trace, dir)) {
		return 0;
	}
	const struct cu_trace_segment *ack = &trace->segment[report.seg];
	int err = 0;
	if (!report.sack) {
		err = add_earlier(delivery, trace, report.seg, ack->ack, report.lacks_end);
	} else {
		unsigned n = blocks_beyond(trace, ack, blocks);
		bool full = ack->n_sack + (ack->has_timestamps ? 1 : 0) >= CU_SACK_CAP;
		int64_t at = ack->ack, known = full ? ack->ack + trace->mss[dir] : report.sent_end;
		for (unsigned b = 0; b < n && err == 0; b++) {
			int64_t end = blocks[b].left < known ? blocks[b].left : known;
			err = add_earlier(delivery, trace, report.seg, at, end);
			at = blocks[b].right;
		}
	}
	if (delivery->n_earlier > 0) {
		delivery->highest = delivery->earlier_end = report.sent_end;
	}
	return err;
}

/* Fragmentation needed (RFC 1191) and packet too big (RFC 8201) are kept. */
static int add_icmp(struct cu_delivery *delivery, const struct cu_trace_segment *icmp)
{
	bool too_big = (icmp->icmp_type == 3 && icmp->icmp_code == 4) || (icmp->icmp_type == 2 && icmp->icmp_code == 0);
	int64_t *time_ns = too_big ? APPEND(delivery, too_big_ns, n_too_big, too_big_cap) : NULL;
	if (time_ns != NULL) {
		*time_ns = icmp->time_ns;
	}
	return too_big && time_ns == NULL ? CU_ERR_NOMEM : 0;
}

static int compare_times(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static int compare_pieces(const void *a, const void *b)
{
	const struct cu_piece *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

/* Puts the late pieces, which are few as a rule, among the others. */
static int merge_late(struct cu_delivery *delivery)
{
	size_t n_late = delivery->n_late;
	if (n_late == 0) {
		return 0;
	}
	qsort(delivery->late, n_late, sizeof(delivery->late[0]), compare_pieces);
	if (!cu_grow_by((void **)&delivery->piece, &delivery->pieces_cap, delivery->n_pieces, n_late,
	                sizeof(delivery->piece[0]))) {
		return CU_ERR_NOMEM;
	}
	/* From the end, until what is left is in its place. */
	struct cu_piece *to = delivery->piece + delivery->n_pieces + n_late;
	const struct cu_piece *from = delivery->piece + delivery->n_pieces;
	delivery->n_pieces += n_late;
	delivery->n_late = 0;
	while (n_late > 0) {
		const struct cu_piece *late = &delivery->late[n_late - 1];
		if (from > delivery->piece && from[-1].start > late->start) {
			*--to = *--from;
		} else {
			*--to = *late;
			n_late--;
		}
	}
	return 0;
}

/* Notes that a piece of several segments is to end at a place within it. */
static int note_cut(struct cu_delivery *delivery, int64_t seq, int64_t mss)
{
	size_t p = cu_delivery_find(delivery, seq);
	if (p == delivery->n_pieces || delivery->piece[p].start >= seq ||
	    delivery->piece[p].end - delivery->piece[p].start <= mss) {
		return 0;
	}
	struct cu_piece *rest = APPEND(delivery, late, n_late, late_cap);
	if (rest == NULL) {
		return CU_ERR_NOMEM;
	}
	*rest = delivery->piece[p];
	rest->start = seq;
	return 0;
}

/*
 * Where segments are seen before a network card cuts them, one is many on the
 * wire, and a copy is of those alone that were lost: pieces of several segments
 * end where copies do.
 */
static int cut_pieces(struct cu_delivery *delivery, int64_t mss)
{
	int err = 0;
	for (size_t c = 0; c < delivery->n_copies && err == 0; c++) {
		err = note_cut(delivery, delivery->copy[c].start, mss);
		err = err != 0 ? err : note_cut(delivery, delivery->copy[c].end, mss);
	}
	if (err != 0 || delivery->n_late == 0) {
		return err;
	}
	err = merge_late(delivery);
	size_t n = 0;
	for (size_t p = 0; p < delivery->n_pieces && err == 0; p++) {
		struct cu_piece piece = delivery->piece[p];
		int64_t next = p + 1 < delivery->n_pieces ? delivery->piece[p + 1].start : piece.end;
		piece.end = piece.end < next ? piece.end : next;
		if (piece.end > piece.start) { /* else it was to be cut there twice */
			delivery->piece[n++] = piece;
		}
	}
	delivery->n_pieces = err == 0 ? n : delivery->n_pieces;
	return err;
}

/* Bytes acknowledged but never seen were carried by the wire and missed by the capture. */
static int add_unseen(struct cu_delivery *delivery)
{
	int64_t acked = delivery->n_steps > 0 ? delivery->step[delivery->n_steps - 1].ack : 0;

	for (size_t h = 0, s = 0; h < delivery->n_holes; h++) {
		struct cu_hole *hole = &delivery->hole[h];
		if (hole->start >= hole->end || acked < hole->end) {
			continue;
		}
		hole->side = CU_LOSS_CAPTURE;
		struct cu_piece *piece = APPEND(delivery, late, n_late, late_cap);
		if (piece == NULL) {
			return CU_ERR_NOMEM;
		}
		/* It came no later than its ACK, nor than what was sent behind it. */
		s = cu_delivery_acked_near(delivery, hole->end, s);
		int64_t when = hole->shown_ns;
		if (s < delivery->n_steps && delivery->step[s].time_ns < when) {
			when = delivery->step[s].time_ns;
		}
		*piece = (struct cu_piece){
			.start = hole->start,
			.end = hole->end,
			.first_ns = when,
			.arrive_ns = when,
			.due_ns = when,
			.first_seg = hole->shown_seg,
			.arrive_seg = hole->shown_seg,
			.loss = CU_LOSS_CAPTURE,
		};
	}
	/* What was acknowledged beyond all that was seen, but for a FIN, is missing, too, though nothing shows how it came. */
	delivery->lacks = delivery->n_late > 0 || (delivery->n_pieces > 0 && acked > delivery->highest + 1);
	return merge_late(delivery);
}

/* The largest segment that arrived, of those that were acknowledged. */
static void note_largest_passed(struct cu_delivery *delivery, const struct cu_trace *trace)
{
	int64_t acked = delivery->n_steps > 0 ? delivery->step[delivery->n_steps - 1].ack : 0;
	for (size_t p = 0; p < delivery->n_pieces && delivery->piece[p].end <= acked; p++) {
		uint32_t len = trace->segment[delivery->piece[p].arrive_seg].len;
		delivery->largest_passed = len > delivery->largest_passed ? len : delivery->largest_passed;
	}
}

int cu_delivery_build(struct cu_delivery *delivery, struct cu_trace *trace, const struct cu_path *path, int dir)
{
	delivery->n_pieces = delivery->n_late = delivery->n_steps = delivery->n_holes = delivery->n_copies = 0;
	delivery->n_too_big = 0;
	delivery->largest_passed = 0;
	delivery->highest = trace->connection.side[dir].has_syn ? 0 : -1;
	if (trace->dropped_end[dir] > 0) {
		delivery->highest = trace->dropped_end[dir];
	}
	delivery->refused_ns = INT64_MIN;
	delivery->n_earlier = 0;
	delivery->scale_unknown = trace->scale_unknown[!dir];

	bool begun_before =
		delivery->highest < 0 && !trace->connection.side[!dir].has_syn && trace->dropped_end[!dir] == 0;
	int err = begun_before ? find_earlier(delivery, trace, dir) : 0;
	for (uint32_t i = 0; i < trace->n && err == 0; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp) {
			err = seg->dir == dir ? add_icmp(delivery, seg) : 0;
		} else if (seg->dir == dir) {
			err = add_segment(delivery, trace, path, i);
		} else if (seg->ack >= 0 || cu_is_elsewhere(seg) ||
		           (delivery->n_earlier > 0 && seg->flags & CU_TCP_ACK)) {
			err = add_step(delivery, seg, i);
		}
	}
	if (err == 0) {
		err = merge_late(delivery);
	}
	if (err == 0) {
		err = add_unseen(delivery);
	}
	if (delivery->n_too_big > 1) {
		qsort(delivery->too_big_ns, delivery->n_too_big, sizeof(delivery->too_big_ns[0]), compare_times);
	}
	if (err == 0) {
		err = cut_pieces(delivery, trace->mss[dir]);
	}
	int64_t receiver_rtt_ns = dir == CU_C2S ? path->server_rtt_ns : path->client_rtt_ns;
	delivery->at_receiver = path->vantage == (dir == CU_C2S ? CU_VANTAGE_SERVER : CU_VANTAGE_CLIENT);
	if (delivery->n_copies > 0 && err == 0) {
		cu_copies_settle(delivery, trace, receiver_rtt_ns);
	}
	if (!cu_delivery_is_clean(delivery)) {
		note_largest_passed(delivery, trace);
	}
	return err;
}
