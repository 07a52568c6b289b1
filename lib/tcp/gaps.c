#include "lib/tcp/gaps.h"

#include "lib/base/grow.h"

#include <math.h>
#include <stdlib.h>

void cu_gaps_release(struct cu_gaps *gaps)
{
	free(gaps->item);
	*gaps = (struct cu_gaps){0};
}

static bool was_lost(const struct cu_piece *piece)
{
	return piece->loss == CU_LOSS_BEFORE || piece->loss == CU_LOSS_AFTER || piece->loss == CU_LOSS_BOTH;
}

/* Whether b goes on with the gap that a is in. */
static bool is_same_gap(const struct cu_piece *a, const struct cu_piece *b)
{
	/* One hole has one due time; what was seen and lost later had as many as segments. */
	return a->end == b->start && a->loss == b->loss && (a->loss == CU_LOSS_AFTER || a->due_ns == b->due_ns);
}

/* Of the ACKs that stood at the gap's start: how many were duplicates, and from which frame to which. */
static void count_dup_acks(const struct cu_trace *trace, const struct cu_delivery *delivery, int64_t start,
                           size_t first, size_t end, struct cu_gap *gap)
{
	for (size_t s = first; s < end; s++) {
		const struct cu_trace_segment *ack = &trace->segment[delivery->step[s].seg];
		if (ack->ack == start && cu_is(ack, CU_EVENT_DUPLICATE_ACK)) {
			gap->last_dup_frame = ack->frame;
			gap->last_dup_file = cu_trace_file(trace, ack);
			if (gap->n_dup_acks++ == 0) {
				gap->first_dup_frame = gap->last_dup_frame;
				gap->first_dup_file = gap->last_dup_file;
			}
		}
	}
}

/* The first ACK that reported what lies behind the gap, and how far it came while the gap was open. */
static void find_sack(const struct cu_trace *trace, const struct cu_delivery *delivery, int64_t start, int64_t end,
                      int64_t from_ns, size_t near, struct cu_gap *gap)
{
	enum { LOOK_AHEAD = 256 }; /* ACKs: a receiver reports a gap with the first segment behind it */
	size_t filled = cu_delivery_acked_near(delivery, end, near);
	size_t s = cu_delivery_steps_until(delivery, from_ns - 1, near);
	for (size_t last = s + LOOK_AHEAD; s < filled && s < last; s++) {
		const struct cu_trace_segment *ack = &trace->segment[delivery->step[s].seg];
		for (int b = 0; b < ack->n_sack; b++) {
			const struct cu_trace_sack *block = &trace->sack[ack->sack + (uint32_t)b];
			/* A block below the ACK number is a duplicate's (RFC 2883). */
			if (block->left < end || block->left <= ack->ack || ack->ack > start) {
				continue;
			}
			if (gap->sack_frame == 0) {
				gap->sack_frame = ack->frame;
				gap->sack_file = cu_trace_file(trace, ack);
				gap->sack_left = (uint64_t)block->left;
				gap->sack_right = (uint64_t)block->right;
			}
			if (block->left == (int64_t)gap->sack_left && block->right > (int64_t)gap->sack_right) {
				gap->sack_right = (uint64_t)block->right;
			}
		}
	}
}

/* Segments that filled it, in the order of what they carried; a segment may be two pieces. */
static void find_fills(const struct cu_trace *trace, const struct cu_piece *first, const struct cu_piece *end,
                       struct cu_gap *gap)
{
	int64_t first_ns = INT64_MAX, last_ns = INT64_MIN;
	const struct cu_piece *before = NULL;
	for (const struct cu_piece *piece = first; piece < end; piece++) {
		const struct cu_trace_segment *seg = &trace->segment[piece->arrive_seg];
		gap->n_fills += before == NULL || before->arrive_seg != piece->arrive_seg;
		before = piece;
		if (piece->arrive_ns < first_ns) {
			first_ns = piece->arrive_ns;
			gap->first_fill_frame = seg->frame;
			gap->first_fill_file = cu_trace_file(trace, seg);
		}
		if (piece->arrive_ns >= last_ns) {
			last_ns = piece->arrive_ns;
			gap->fill_frame = seg->frame;
			gap->fill_file = cu_trace_file(trace, seg);
		}
	}
	gap->first_fill_ns = first_ns > gap->start_ns ? first_ns - gap->start_ns : 0;
	gap->filled_ns = last_ns > gap->start_ns ? last_ns - gap->start_ns : 0;
}

/* Adds the range from start to end with what reported it. NULL without memory. */
static struct cu_gap *add_gap(struct cu_gaps *gaps, const struct cu_trace *trace, const struct cu_delivery *delivery,
                              int dir, int64_t start, int64_t end, int64_t shown_ns)
{
	if (!cu_grow((void **)&gaps->item, &gaps->cap, gaps->n, sizeof(gaps->item[0]))) {
		return NULL;
	}
	int64_t mss = trace->mss[dir];
	struct cu_gap *gap = &gaps->item[gaps->n++];
	*gap = (struct cu_gap){
		.stream = trace->connection.stream,
		.dir = (uint8_t)dir,
		.rel_seq = (uint64_t)start,
		.n_bytes = (uint64_t)(end - start),
		.n_segments = (uint64_t)((end - start + mss - 1) / mss),
		.start_ns = shown_ns,
	};
	size_t stands = cu_delivery_acked_near(delivery, start, gaps->near_step);
	gaps->near_step = cu_delivery_acked_near(delivery, start + 1, stands);
	count_dup_acks(trace, delivery, start, stands, gaps->near_step, gap);
	find_sack(trace, delivery, start, end, shown_ns, stands, gap);
	return gap;
}

static void cite_shown(struct cu_gap *gap, const struct cu_trace *trace, uint32_t seg)
{
	gap->frame = trace->segment[seg].frame;
	gap->file = cu_trace_file(trace, &trace->segment[seg]);
}

/* The hole that start lies in, as it showed; *h goes up with start. */
static const struct cu_hole *hole_of(const struct cu_delivery *delivery, size_t *h, int64_t start)
{
	while (*h < delivery->n_holes && delivery->hole[*h].first_end <= start) {
		(*h)++;
	}
	return *h < delivery->n_holes && delivery->hole[*h].first_start <= start ? &delivery->hole[*h] : NULL;
}

/* Bytes that nobody saw and nobody acknowledged, from at to end. */
static int add_unfilled(struct cu_gaps *gaps, const struct cu_trace *trace, const struct cu_delivery *delivery, int dir,
                        const struct cu_hole *hole, int64_t at, int64_t end)
{
	if (hole == NULL || at >= end) {
		return 0;
	}
	struct cu_gap *gap = add_gap(gaps, trace, delivery, dir, at, end, hole->shown_ns);
	if (gap == NULL) {
		return CU_ERR_NOMEM;
	}
	gap->side = hole->earlier ? CU_LOSS_EARLIER : CU_LOSS_NONE;
	cite_shown(gap, trace, hole->shown_seg);
	return 0;
}

/* What was lost before the capture and never sent again in it, as far as end; *h goes up. */
static int add_earlier(struct cu_gaps *gaps, const struct cu_trace *trace, const struct cu_delivery *delivery, int dir,
                       size_t *h, int64_t end)
{
	int err = 0;
	for (; err == 0 && *h < delivery->n_holes && delivery->hole[*h].earlier && delivery->hole[*h].start < end;
	     (*h)++) {
		const struct cu_hole *hole = &delivery->hole[*h];
		if (hole->side != CU_LOSS_CAPTURE) {
			err = add_unfilled(gaps, trace, delivery, dir, hole, hole->start, hole->end);
		}
	}
	return err;
}

/* The pieces from first to end are one gap. */
static int add_lost(struct cu_gaps *gaps, const struct cu_trace *trace, const struct cu_delivery *delivery, int dir,
                    const struct cu_hole *hole, const struct cu_piece *first, const struct cu_piece *end)
{
	int64_t shown_ns = hole != NULL ? hole->shown_ns : first->due_ns;
	struct cu_gap *gap = add_gap(gaps, trace, delivery, dir, first->start, end[-1].end, shown_ns);
	if (gap == NULL) {
		return CU_ERR_NOMEM;
	}
	gap->side = first->loss;
	cite_shown(gap, trace, hole != NULL ? hole->shown_seg : first->first_seg);
	if (first->loss != CU_LOSS_CAPTURE) {
		find_fills(trace, first, end, gap);
	}
	return 0;
}

int cu_gaps_find(struct cu_gaps *gaps, const struct cu_trace *trace, const struct cu_delivery *delivery, int dir)
{
	const struct cu_piece *all = delivery->n_pieces > 0 ? &delivery->piece[delivery->n_pieces] : delivery->piece;
	int64_t at = delivery->n_pieces > 0 ? delivery->piece[0].start : 0;
	size_t h = 0, earlier = 0;
	int err = 0;
	gaps->n = gaps->near_step = 0;
	if (cu_delivery_is_clean(delivery)) {
		return 0;
	}
	for (const struct cu_piece *first = delivery->piece, *end; first < all && err == 0; first = end) {
		end = first + 1;
		if (delivery->n_earlier > 0) {
			err = add_earlier(gaps, trace, delivery, dir, &earlier, first->start);
		}
		const struct cu_hole *hole = at < first->start ? hole_of(delivery, &h, at) : NULL;
		if (hole != NULL && !hole->earlier && err == 0) {
			err = add_unfilled(gaps, trace, delivery, dir, hole, at, first->start);
		}
		while (first->loss != CU_LOSS_NONE && end < all && is_same_gap(end - 1, end)) {
			end++;
		}
		if (first->loss != CU_LOSS_NONE && err == 0) {
			err = add_lost(gaps, trace, delivery, dir, hole_of(delivery, &h, first->start), first, end);
		}
		at = end[-1].end;
	}
	err = err != 0 ? err : add_earlier(gaps, trace, delivery, dir, &earlier, INT64_MAX);
	for (; h < delivery->n_holes && err == 0; h++) {
		const struct cu_hole *hole = &delivery->hole[h];
		if (!hole->earlier && hole->start >= at && hole->start < hole->end) {
			err = add_unfilled(gaps, trace, delivery, dir, hole, hole->start, hole->end);
			at = hole->end;
		}
	}
	return err;
}

/* The chain's steps: [lost before][lost now]. */
struct steps {
	uint64_t n[2][2];
	int before; /* -1: none */
};

/* n segments of one state. */
static void step(struct steps *steps, uint64_t n, bool lost)
{
	if (steps->before >= 0) {
		steps->n[steps->before][lost]++;
		n--;
	}
	steps->n[lost][lost] += n > 0 && steps->before < 0 ? n - 1 : n;
	steps->before = lost;
}

static double log_likelihood(double n, double of)
{
	return n > 0 ? n * log(n / of) : 0;
}

/* How much better the chain fits than independent losses: G, about chi-square with one degree of freedom. */
static double dependence(const struct steps *steps)
{
	double g = 0, all = 0, lost = 0;
	for (int from = 0; from < 2; from++) {
		double stay = (double)steps->n[from][0], go = (double)steps->n[from][1];
		g += log_likelihood(stay, stay + go) + log_likelihood(go, stay + go);
		all += stay + go;
		lost += go;
	}
	return 2 * (g - log_likelihood(lost, all) - log_likelihood(all - lost, all));
}

/* Runs that begin soon after another one, of those that have one before them. */
struct bursts {
	uint64_t n, n_near;
	int64_t since; /* segments delivered since the last run; -1: none before */
};

enum { NEAR = 8 }; /* segments: what leaves a router's full buffer makes room for some, which are lost again */

static void note_run(struct bursts *bursts)
{
	if (bursts->since >= 0) {
		bursts->n++;
		bursts->n_near += bursts->since <= NEAR;
	}
}

/*
 * Whether runs are closer together than chance has them: more of them begin
 * within NEAR segments than independent ones would, by three deviations. A
 * buffer that overflows loses every other segment for a while, and then none.
 */
static bool come_in_bursts(const struct bursts *bursts, const struct cu_loss_runs *runs)
{
	const double deviations = 3;
	enum { A_FEW = 6 };
	double delivered = (double)(runs->n_segments - runs->n_lost), n = (double)bursts->n;
	if (bursts->n < A_FEW || delivered <= 0) {
		return false;
	}
	double by_chance = 1 - pow(1 - (double)runs->n_runs / (delivered + (double)runs->n_runs), NEAR);
	return (double)bursts->n_near - n * by_chance > deviations * sqrt(n * by_chance * (1 - by_chance));
}

static uint64_t ppm(uint64_t n, uint64_t of)
{
	return of > 0 ? (uint64_t)((double)n * 1e6 / (double)of + 0.5) : 0;
}

struct cu_loss_runs cu_loss_runs_count(const struct cu_trace *trace, const struct cu_delivery *delivery, int dir)
{
	const double significant = 6.635; /* chi-square with one degree of freedom, 1 % */
	enum { SCATTERED_RUNS = 6 };
	struct cu_loss_runs runs = {0};
	struct steps steps = {.before = -1};
	struct bursts bursts = {.since = -1};
	uint64_t run = 0;
	int64_t at = -1, mss = trace->mss[dir];

	for (size_t p = 0; p < delivery->n_pieces; p++) {
		const struct cu_piece *piece = &delivery->piece[p];
		if (piece->end <= 1) {
			continue; /* the SYN is no part of the transfer */
		}
		bool counts = piece->loss != CU_LOSS_CAPTURE && piece->loss != CU_LOSS_EARLIER &&
		              !(was_lost(piece) && cu_delivery_too_big(delivery, piece->due_ns, piece->arrive_ns));
		if (piece->start != at || !counts) {
			steps.before = -1;
			bursts.since = -1;
			run = 0;
		}
		at = piece->end;
		if (!counts) {
			continue;
		}
		bool lost = was_lost(piece);
		int64_t size = piece->end - piece->start;
		uint64_t n = size <= mss ? 1 : (uint64_t)((size + mss - 1) / mss);
		if (lost && run == 0) {
			runs.n_runs++;
			note_run(&bursts);
		}
		bursts.since = lost ? 0 : bursts.since + (bursts.since >= 0 ? (int64_t)n : 0);
		run = lost ? run + n : 0;
		runs.longest = run > runs.longest ? run : runs.longest;
		runs.n_lost += lost ? n : 0;
		runs.n_segments += n;
		step(&steps, n, lost);
	}
	if (runs.n_lost == 0) {
		return (struct cu_loss_runs){0};
	}
	runs.enter_ppm = ppm(steps.n[0][1], steps.n[0][0] + steps.n[0][1]);
	runs.leave_ppm = ppm(steps.n[1][0], steps.n[1][0] + steps.n[1][1]);
	bool clustered = runs.leave_ppm + runs.enter_ppm < 1000000;
	bool long_runs = clustered && runs.n_lost >= 2 * runs.n_runs && dependence(&steps) > significant;
	if (long_runs || come_in_bursts(&bursts, &runs)) {
		runs.pattern = CU_PATTERN_RUNS;
	} else if (runs.n_runs >= SCATTERED_RUNS && 4 * runs.n_lost <= 5 * runs.n_runs) {
		runs.pattern = CU_PATTERN_SCATTERED;
	}
	return runs;
}
