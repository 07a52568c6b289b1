#include "lib/blame/parts.h"

#include "lib/base/error.h"

void cu_parts_release(struct cu_parts *parts)
{
	cu_histogram_release(&parts->rtt[0]);
	cu_histogram_release(&parts->rtt[1]);
	*parts = (struct cu_parts){0};
}

void cu_parts_clear(struct cu_parts *parts)
{
	parts->n = 0;
	cu_histogram_clear(&parts->rtt[0]);
	cu_histogram_clear(&parts->rtt[1]);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The mean of two, of which the first counts for n and the second for m. */
static uint64_t mean(uint64_t a, uint64_t n, uint64_t b, uint64_t m)
{
	double of = (double)n + (double)m;
	return of > 0 ? (uint64_t)(((double)a * (double)n + (double)b * (double)m) / of) : 0;
}

static void add_rtt(struct cu_analysis_side *sum, const struct cu_analysis_side *side, const struct cu_histogram *rtt)
{
	sum->rtt_mean_ns = (int64_t)mean((uint64_t)sum->rtt_mean_ns, sum->n_rtt_samples, (uint64_t)side->rtt_mean_ns,
	                                 side->n_rtt_samples);
	sum->n_rtt_samples += side->n_rtt_samples;
	sum->n_rtt_by_timestamp += side->n_rtt_by_timestamp;
	sum->rtt_slice_ns = 0;
	if (rtt->n == 0) {
		return;
	}
	sum->rtt_min_ns = rtt->min_ns;
	sum->rtt_max_ns = rtt->max_ns;
	sum->rtt_median_ns = cu_histogram_quantile(rtt, 0.5);
	sum->rtt_p90_ns = cu_histogram_quantile(rtt, 0.9);
	sum->rtt_p99_ns = cu_histogram_quantile(rtt, 0.99);
}

static void add_window(struct cu_window_use *sum, const struct cu_window_use *window)
{
	if (window->max_bytes > 0) {
		bool first = sum->max_bytes == 0;
		sum->min_bytes = first || window->min_bytes < sum->min_bytes ? window->min_bytes : sum->min_bytes;
	}
	sum->mean_bytes = sum->n_sent + window->n_sent > 0
	                          ? mean(sum->mean_bytes, sum->n_sent, window->mean_bytes, window->n_sent)
	                          : larger(sum->mean_bytes, window->mean_bytes);
	sum->max_bytes = larger(sum->max_bytes, window->max_bytes);
	sum->flight_max_bytes = larger(sum->flight_max_bytes, window->flight_max_bytes);
	sum->small = window->n_sent > sum->n_sent ? window->small : sum->small;
	sum->n_sent += window->n_sent;
	sum->n_edge += window->n_edge;
}

static void add_loss(struct cu_loss_runs *sum, const struct cu_loss_runs *loss)
{
	struct cu_loss_runs of = loss->n_lost > sum->n_lost ? *loss : *sum;
	of.n_segments = sum->n_segments + loss->n_segments;
	of.n_lost = sum->n_lost + loss->n_lost;
	of.n_runs = sum->n_runs + loss->n_runs;
	of.longest = larger(sum->longest, loss->longest);
	*sum = of;
}

static void add_side(struct cu_analysis_side *sum, const struct cu_analysis_side *side)
{
	sum->n_data_segments += side->n_data_segments;
	sum->n_unique_bytes += side->n_unique_bytes;
	sum->n_retransmitted += side->n_retransmitted;
	sum->n_retransmitted_bytes += side->n_retransmitted_bytes;
	sum->n_fast += side->n_fast;
	sum->n_timeout += side->n_timeout;
	sum->n_probes += side->n_probes;
	sum->n_spurious += side->n_spurious;
	sum->n_out_of_order += side->n_out_of_order;
	sum->n_dup_acks += side->n_dup_acks;
	sum->n_zero_windows += side->n_zero_windows;
	sum->n_window_full += side->n_window_full;
	sum->n_keep_alives += side->n_keep_alives;
	sum->n_gaps += side->n_gaps;
	sum->n_gap_bytes += side->n_gap_bytes;
	sum->n_unseen_bytes += side->n_unseen_bytes;
	sum->n_duplicates += side->n_duplicates;
	sum->n_syns += side->n_syns;
	sum->n_large += side->n_large;
	sum->largest_bytes = larger(sum->largest_bytes, side->largest_bytes);
	add_window(&sum->window, &side->window);
	add_loss(&sum->loss, &side->loss);
}

/* How it ended is said by the last part that says it, and of a reset by the first. */
static void add_ending(struct cu_analysis *sum, const struct cu_analysis *part)
{
	if (part->close != CU_CLOSE_NONE) {
		sum->close = part->close;
	}
	if (sum->close_frame == 0) {
		sum->closed_by = part->closed_by;
		sum->close_frame = part->close_frame;
		sum->close_file = part->close_file;
	}
	if (sum->reset_frame == 0) {
		sum->reset = part->reset;
		sum->reset_by = part->reset_by;
		sum->reset_hops = part->reset_hops;
		sum->usual_hops = part->usual_hops;
		sum->reset_frame = part->reset_frame;
		sum->reset_file = part->reset_file;
		sum->reset_quiet_ns = part->reset_quiet_ns;
	}
}

/* The smaller of two round trips, of which 0 is unknown. */
static int64_t shorter(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static void add_path(struct cu_analysis *sum, const struct cu_analysis *part)
{
	sum->client_rtt_ns = shorter(sum->client_rtt_ns, part->client_rtt_ns);
	sum->server_rtt_ns = shorter(sum->server_rtt_ns, part->server_rtt_ns);
	sum->rtt_ns = sum->client_rtt_ns + sum->server_rtt_ns;
	sum->rtt_uncertain = sum->rtt_uncertain && part->rtt_uncertain;
	if (sum->vantage != CU_VANTAGE_UNKNOWN || part->vantage != CU_VANTAGE_UNKNOWN) {
		sum->vantage = cu_path_vantage(sum->client_rtt_ns, sum->server_rtt_ns);
	}
	sum->handshake_rtt_ns = sum->handshake_rtt_ns != 0 ? sum->handshake_rtt_ns : part->handshake_rtt_ns;
	sum->mss = part->mss > sum->mss ? part->mss : sum->mss;
}

int cu_parts_add(struct cu_parts *parts, const struct cu_analysis *analysis, const struct cu_histogram rtt[2])
{
	struct cu_analysis *sum = &parts->analysis;
	bool first = parts->n++ == 0;
	for (int dir = 0; dir < 2; dir++) {
		if (!cu_histogram_merge(&parts->rtt[dir], &rtt[dir])) {
			return CU_ERR_NOMEM;
		}
	}
	if (first) {
		*sum = *analysis;
		return 0;
	}
	for (int dir = 0; dir < 2; dir++) {
		add_side(&sum->side[dir], &analysis->side[dir]);
		add_rtt(&sum->side[dir], &analysis->side[dir], &parts->rtt[dir]);
	}
	add_path(sum, analysis);
	add_ending(sum, analysis);
	sum->completeness |= analysis->completeness;
	if (analysis->loss_side != CU_LOSS_NONE && sum->loss_side != analysis->loss_side) {
		sum->loss_side = sum->loss_side == CU_LOSS_NONE ? analysis->loss_side : (uint8_t)CU_LOSS_BOTH;
	}
	return 0;
}

size_t cu_parts_end(const struct cu_trace *trace, const struct cu_exchanges *exchanges)
{
	if (exchanges->n < 2) {
		return trace->n;
	}
	size_t newest = exchanges->item[exchanges->n - 1].first_seg;
	return newest >= trace->n / 2 ? newest : trace->n;
}

void cu_parts_know_path(const struct cu_parts *parts, struct cu_path *path)
{
	const struct cu_analysis *whole = &parts->analysis;
	path->client_known = path->client_known || whole->client_rtt_ns != 0;
	path->server_known = path->server_known || whole->server_rtt_ns != 0;
	path->client_rtt_ns = whole->client_rtt_ns;
	path->server_rtt_ns = whole->server_rtt_ns;
	path->vantage = whole->vantage;
}
