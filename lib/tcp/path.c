#include "lib/tcp/path.h"

#include <stdlib.h>
#include <string.h>

/* Sent and not yet acknowledged, oldest first; when a ring is full its oldest samples are lost. */
enum { SENT_CAP = 4096, RESENT_CAP = 64 };

struct sent {
	int64_t start, end, time_ns;
	uint32_t tsval;
};

struct cu_path_pending {
	struct sent slot[SENT_CAP];
	struct sent resent[RESENT_CAP];
	unsigned head, n;
	unsigned n_resent;  /* ever */
	int64_t highest;    /* end of what was sent */
	int64_t karn_until; /* bytes below were sent twice, or before what was */
};

/* Samples below this number say nothing of how the round trip moved. */
enum { SLICED_FROM = 16 };

void cu_path_scratch_release(struct cu_path_scratch *scratch)
{
	cu_histogram_release(&scratch->histogram[0]);
	cu_histogram_release(&scratch->histogram[1]);
	free(scratch->pending);
	*scratch = (struct cu_path_scratch){0};
}

/* The sum, or the most there is: a capture's clock may jump by a century. */
static int64_t add_ns(int64_t a, int64_t b)
{
	int64_t sum;
	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Twice as wide slices, and the upper half of them free again. */
static void widen(struct cu_path_side *side)
{
	for (int i = 0; i < CU_RTT_SLICES; i++) {
		struct cu_rtt_slice sum = {0};
		for (int k = 2 * i; k < 2 * i + 2 && k < CU_RTT_SLICES; k++) {
			const struct cu_rtt_slice *part = &side->slice[k];
			if (part->n > 0) {
				sum.min_ns = sum.n == 0 || part->min_ns < sum.min_ns ? part->min_ns : sum.min_ns;
				sum.max_ns = part->max_ns > sum.max_ns ? part->max_ns : sum.max_ns;
				/* While slices fill, mean_ns is the sum. */
				sum.mean_ns = add_ns(sum.mean_ns, part->mean_ns);
				sum.n += part->n;
			}
		}
		side->slice[i] = sum;
	}
	side->slice_ns *= 2;
}

/* Counts a sample into its stretch of time since the first one. */
static void slice(struct cu_path_side *side, int64_t since_ns, int64_t rtt_ns)
{
	if (side->slice_ns == 0) {
		side->slice_ns = CU_NS_PER_MS;
	}
	since_ns = since_ns > 0 ? since_ns : 0;
	while (since_ns / side->slice_ns >= CU_RTT_SLICES) {
		widen(side);
	}
	struct cu_rtt_slice *at = &side->slice[since_ns / side->slice_ns];
	at->min_ns = at->n == 0 || rtt_ns < at->min_ns ? rtt_ns : at->min_ns;
	at->max_ns = rtt_ns > at->max_ns ? rtt_ns : at->max_ns;
	at->mean_ns = add_ns(at->mean_ns, rtt_ns);
	at->n++;
}

static void pending_add(struct cu_path_pending *pending, const struct cu_trace_segment *seg)
{
	if (pending->n == SENT_CAP) {
		pending->head = (pending->head + 1) % SENT_CAP;
		pending->n--;
	}
	pending->slot[(pending->head + pending->n++) % SENT_CAP] =
		(struct sent){.start = seg->seq, .end = seg->end, .time_ns = seg->time_ns, .tsval = seg->tsval};
}

static void pending_resent(struct cu_path_pending *pending, const struct cu_trace_segment *seg)
{
	if (seg->has_timestamps) {
		pending->resent[pending->n_resent++ % RESENT_CAP] =
			(struct sent){.start = seg->seq, .end = seg->end, .time_ns = seg->time_ns, .tsval = seg->tsval};
	}
	/* What was sent behind it waits for it at the receiver: its ACKs are late, too. */
	pending->karn_until = pending->highest;
}

/* The only copy of what ack covers that has this timestamp; NULL when there is none or more. */
static const struct sent *find_resent(const struct cu_path_pending *pending, uint32_t tsval, int64_t ack)
{
	const struct sent *found = NULL;
	unsigned n = pending->n_resent < RESENT_CAP ? pending->n_resent : RESENT_CAP;
	for (unsigned i = 0; i < n; i++) {
		if (pending->resent[i].tsval == tsval && pending->resent[i].end <= ack) {
			if (found != NULL) {
				return NULL;
			}
			found = &pending->resent[i];
		}
	}
	return found;
}

/* Whether an ACK answers a copy that was not needed (RFC 2883): the one that answered the first may be lost. */
static bool has_d_sack(const struct cu_trace *trace, const struct cu_trace_segment *ack)
{
	return ack->n_sack > 0 && trace->sack[ack->sack].right <= ack->ack;
}

enum taken { TAKEN_NONE, TAKEN_PLAIN, TAKEN_BY_TIMESTAMP };

/* Takes what seg acknowledges, and says when that was sent which it answers. */
static enum taken pending_take(struct cu_path_pending *pending, const struct cu_trace *trace,
                               const struct cu_trace_segment *seg, int64_t *sent_ns)
{
	const struct sent *echoed = NULL;
	int64_t end = -1;
	bool plain = false;
	unsigned n_echoed = 0;
	while (pending->n > 0 && pending->slot[pending->head].end <= seg->ack) {
		const struct sent *sent = &pending->slot[pending->head];
		end = sent->end;
		*sent_ns = sent->time_ns;
		plain = sent->end > pending->karn_until;
		if (seg->has_timestamps && sent->tsval == seg->tsecr) {
			echoed = sent;
			n_echoed++;
		}
		pending->head = (pending->head + 1) % SENT_CAP;
		pending->n--;
	}
	/* An ACK beyond what it covers, and not within the next segment, answers what the capture lacks. */
	bool within = pending->n > 0 && pending->slot[pending->head].start < seg->ack;
	if (end < 0 || (end != seg->ack && !within)) {
		return TAKEN_NONE;
	}
	if (plain || !seg->has_timestamps || has_d_sack(trace, seg)) {
		return plain ? TAKEN_PLAIN : TAKEN_NONE;
	}
	const struct sent *resent = find_resent(pending, seg->tsecr, seg->ack);
	if ((resent != NULL) + n_echoed != 1) {
		return TAKEN_NONE;
	}
	*sent_ns = resent != NULL ? resent->time_ns : echoed->time_ns;
	return TAKEN_BY_TIMESTAMP;
}

/* How it stood when the samples began, for slices and the mean; few samples are not sliced. */
struct sampler {
	int64_t first_ns;
	double sum_ns;
	unsigned n;
	struct sample {
		int64_t sent_ns, rtt_ns;
	} few[SLICED_FROM];
};

static bool add_sample(struct cu_path_scratch *scratch, struct cu_path *path, struct sampler *sampler, int dir,
                       int64_t sent_ns, int64_t rtt_ns)
{
	if (rtt_ns < 0) {
		return true; /* the capture's clock stepped back */
	}
	if (sampler->n == 0) {
		sampler->first_ns = sent_ns;
	}
	sampler->sum_ns += (double)rtt_ns;
	if (sampler->n < SLICED_FROM) {
		sampler->few[sampler->n++] = (struct sample){sent_ns, rtt_ns};
		for (unsigned i = 0; sampler->n == SLICED_FROM && i < SLICED_FROM; i++) {
			slice(&path->side[dir], sampler->few[i].sent_ns - sampler->first_ns, sampler->few[i].rtt_ns);
		}
	} else {
		slice(&path->side[dir], sent_ns - sampler->first_ns, rtt_ns);
	}
	return cu_histogram_add(&scratch->histogram[dir], rtt_ns);
}

static void summarise(const struct cu_histogram *histogram, const struct sampler *sampler, struct cu_path_side *side)
{
	side->n_samples = (size_t)histogram->n;
	for (int i = 0; i < CU_RTT_SLICES && side->slice_ns != 0; i++) {
		side->slice[i].mean_ns /= side->slice[i].n > 0 ? (int64_t)side->slice[i].n : 1;
	}
	if (histogram->n == 0) {
		return;
	}
	side->min_ns = histogram->min_ns;
	side->max_ns = histogram->max_ns;
	side->mean_ns = (int64_t)(sampler->sum_ns / (double)histogram->n);
	side->median_ns = cu_histogram_quantile(histogram, 0.5);
	side->p90_ns = cu_histogram_quantile(histogram, 0.9);
	side->p99_ns = cu_histogram_quantile(histogram, 0.99);
}

enum cu_vantage cu_path_vantage(int64_t client_rtt_ns, int64_t server_rtt_ns)
{
	/* An end on the same host answers within its own scheduling, and that is a small share of any real path. */
	enum { SHARE = 8 };
	const int64_t host_ns = 2 * CU_NS_PER_MS;
	int64_t total = client_rtt_ns + server_rtt_ns;
	bool near_client = client_rtt_ns < total / SHARE && client_rtt_ns < host_ns;
	bool near_server = server_rtt_ns < total / SHARE && server_rtt_ns < host_ns;
	return near_client ? CU_VANTAGE_CLIENT : near_server ? CU_VANTAGE_SERVER : CU_VANTAGE_MIDDLE;
}

/*
 * Whether an ACK came so soon that it may be the first. What is not acknowledged is
 * sent again, and an ACK waits for data to ride on no longer than it may. Later the
 * capture lacks the first: some have no bare ACKs.
 */
static bool may_be_rtt(const struct cu_trace_segment *ack, int64_t rtt_ns)
{
	return rtt_ns >= 0 && rtt_ns <= (ack->len > 0 ? CU_ACK_DELAY_NS : CU_TIMER_FIRST_NS);
}

/* The furthest that a side has acknowledged, and when. */
struct acked {
	int64_t seq, time_ns;
};

/*
 * Whether new data stands behind its own ACK: captured at two interfaces, or
 * two ports of a tap, frames can be out of order where their times are not.
 */
static bool stands_behind_ack(const struct cu_trace_segment *seg, const struct acked *acked)
{
	return seg->end <= acked->seq && seg->time_ns <= acked->time_ns;
}

int cu_path_measure(const struct cu_trace *trace, struct cu_path_scratch *scratch, struct cu_path *path)
{
	struct sampler sampler[2];
	int64_t shortest_ns[2] = {INT64_MAX, INT64_MAX};
	struct acked acked[2] = {{.seq = -1}, {.seq = -1}}; /* by who acknowledges */

	*path = (struct cu_path){.handshake_rtt_ns = trace->handshake_ns};
	if (scratch->pending == NULL) {
		scratch->pending = calloc(2, sizeof(*scratch->pending));
		if (scratch->pending == NULL) {
			return CU_ERR_NOMEM;
		}
	}
	struct cu_path_pending *pending = scratch->pending;
	for (int dir = 0; dir < 2; dir++) {
		sampler[dir].sum_ns = 0;
		sampler[dir].n = 0;
		cu_histogram_clear(&scratch->histogram[dir]);
		pending[dir].head = pending[dir].n = pending[dir].n_resent = 0;
		pending[dir].highest = -1;
		pending[dir].karn_until = 0;
	}
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || cu_is(seg, CU_EVENT_DUPLICATE_FRAME) ||
		    (cu_is_elsewhere(seg) && !(seg->flags & CU_TCP_RST))) { /* a RST answers, too */
			continue;
		}
		struct cu_path_pending *out = &pending[seg->dir], *back = &pending[!seg->dir];
		path->has_bare_acks |= seg->ack > 0 && seg->end == seg->seq && (seg->flags & CU_TCP_RST) == 0;
		if (seg->ack >= 0) {
			int64_t sent_ns = 0;
			enum taken taken = pending_take(back, trace, seg, &sent_ns);
			if (taken != TAKEN_NONE) {
				int64_t rtt = seg->time_ns - sent_ns;
				if (may_be_rtt(seg, rtt) && rtt < shortest_ns[!seg->dir]) {
					shortest_ns[!seg->dir] = rtt;
				}
				path->side[!seg->dir].n_by_timestamp += taken == TAKEN_BY_TIMESTAMP;
				if (!add_sample(scratch, path, &sampler[!seg->dir], !seg->dir, sent_ns, rtt)) {
					return CU_ERR_NOMEM;
				}
				/* The first sample of a connection with its SYN is the handshake's. */
				if (seg->ack == 1 && path->side[!seg->dir].handshake_ns == 0 &&
				    trace->connection.side[!seg->dir].has_syn) {
					path->side[!seg->dir].handshake_ns = rtt;
				}
			}
		}
		if (seg->ack > acked[seg->dir].seq) {
			acked[seg->dir] = (struct acked){.seq = seg->ack, .time_ns = seg->time_ns};
		}
		if (!cu_carries(seg) || cu_is(seg, CU_EVENT_KEEP_ALIVE)) {
			continue;
		}
		if (seg->seq >= out->highest && stands_behind_ack(seg, &acked[!seg->dir])) {
			int64_t rtt = acked[!seg->dir].time_ns - seg->time_ns;
			shortest_ns[seg->dir] = rtt < shortest_ns[seg->dir] ? rtt : shortest_ns[seg->dir];
			out->highest = seg->end;
		} else if (seg->seq >= out->highest) {
			pending_add(out, seg);
			out->highest = seg->end;
		} else {
			pending_resent(out, seg);
		}
	}
	for (int dir = 0; dir < 2; dir++) {
		summarise(&scratch->histogram[dir], &sampler[dir], &path->side[dir]);
	}
	path->server_known = shortest_ns[CU_C2S] != INT64_MAX;
	path->client_known = shortest_ns[CU_S2C] != INT64_MAX;
	path->server_rtt_ns = path->server_known ? shortest_ns[CU_C2S] : 0;
	path->client_rtt_ns = path->client_known ? shortest_ns[CU_S2C] : 0;
	if (path->server_known && path->client_known) {
		path->vantage = cu_path_vantage(path->client_rtt_ns, path->server_rtt_ns);
	}
	return 0;
}
