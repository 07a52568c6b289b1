#include "lib/tcp/path.h"

#include "lib/base/grow.h"

#include <stdlib.h>

/* Sent and not yet acknowledged, oldest first; when the ring is full the oldest sample is lost. */
enum { PENDING_CAP = 64 };

struct pending {
	struct {
		int64_t end, time_ns;
	} slot[PENDING_CAP];
	unsigned head, n;
	int64_t highest;    /* end of what was sent */
	int64_t karn_until; /* bytes below were sent twice: no sample from them */
};

void cu_path_scratch_release(struct cu_path_scratch *scratch)
{
	free(scratch->sample[0]);
	free(scratch->sample[1]);
	*scratch = (struct cu_path_scratch){0};
}

static int add_sample(struct cu_path_scratch *scratch, int dir, int64_t ns)
{
	if (ns < 0) {
		return 0; /* the capture's clock stepped back */
	}
	if (!cu_grow((void **)&scratch->sample[dir], &scratch->cap[dir], scratch->n[dir],
	             sizeof(scratch->sample[dir][0]))) {
		return CU_ERR_NOMEM;
	}
	scratch->sample[dir][scratch->n[dir]++] = ns;
	return 0;
}

static void pending_add(struct pending *pending, int64_t end, int64_t time_ns)
{
	if (pending->n == PENDING_CAP) {
		pending->head = (pending->head + 1) % PENDING_CAP;
		pending->n--;
	}
	unsigned at = (pending->head + pending->n++) % PENDING_CAP;
	pending->slot[at].end = end;
	pending->slot[at].time_ns = time_ns;
}

/* Takes what ack covers; the newest of it is what the ACK answers. False when nothing gives a sample. */
static bool pending_take(struct pending *pending, int64_t ack, int64_t *sent_ns)
{
	bool found = false;
	while (pending->n > 0 && pending->slot[pending->head].end <= ack) {
		*sent_ns = pending->slot[pending->head].time_ns;
		found = pending->slot[pending->head].end > pending->karn_until;
		pending->head = (pending->head + 1) % PENDING_CAP;
		pending->n--;
	}
	return found;
}

static int compare_ns(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/*
 * The element that sorting n values would put at k (Hoare's selection); they
 * are moved about. Values made to slow it down are sorted after all.
 */
static int64_t select_ns(int64_t *v, size_t n, size_t k)
{
	size_t low = 0, high = n - 1;
	size_t budget = 8 * n; /* three rounds over all of them is what it takes as a rule */
	while (low < high) {
		if (budget < high - low) {
			qsort(v, n, sizeof(*v), compare_ns);
			break;
		}
		budget -= high - low;
		int64_t pivot = v[low + (high - low) / 2];
		size_t i = low, j = high;
		for (;;) {
			while (v[i] < pivot) {
				i++;
			}
			while (v[j] > pivot) {
				j--;
			}
			if (i >= j) {
				break;
			}
			int64_t swap = v[i];
			v[i++] = v[j];
			v[j--] = swap;
		}
		/* Up to j all are at most the pivot, behind it at least. */
		if (k <= j) {
			high = j;
		} else {
			low = j + 1;
		}
	}
	return v[k];
}

static void summarise(struct cu_path_scratch *scratch, int dir, struct cu_path_side *side)
{
	size_t n = scratch->n[dir];
	side->n_samples = n;
	if (n == 0) {
		return;
	}
	int64_t *sample = scratch->sample[dir];
	side->min_ns = side->max_ns = sample[0];
	for (size_t i = 1; i < n; i++) {
		side->min_ns = sample[i] < side->min_ns ? sample[i] : side->min_ns;
		side->max_ns = sample[i] > side->max_ns ? sample[i] : side->max_ns;
	}
	side->median_ns = select_ns(sample, n, n / 2);
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

int cu_path_measure(const struct cu_trace *trace, struct cu_path_scratch *scratch, struct cu_path *path)
{
	struct pending pending[2];
	for (int dir = 0; dir < 2; dir++) { /* the slots are 2 KiB that need no zeros */
		pending[dir].head = pending[dir].n = 0;
		pending[dir].highest = -1;
		pending[dir].karn_until = 0;
	}
	int64_t syn_ns = -1;

	*path = (struct cu_path){0};
	scratch->n[0] = scratch->n[1] = 0;
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
			continue;
		}
		struct pending *out = &pending[seg->dir], *back = &pending[!seg->dir];
		if (seg->ack >= 0) {
			int64_t sent_ns;
			if (pending_take(back, seg->ack, &sent_ns)) {
				int64_t rtt = seg->time_ns - sent_ns;
				if (add_sample(scratch, !seg->dir, rtt) != 0) {
					return CU_ERR_NOMEM;
				}
				/* The first sample of a connection with its SYN is the handshake's. */
				if (seg->ack == 1 && path->side[!seg->dir].handshake_ns == 0 &&
				    trace->connection.side[!seg->dir].has_syn) {
					path->side[!seg->dir].handshake_ns = rtt;
				}
			}
		}
		if (seg->flags & CU_TCP_SYN && seg->dir == CU_C2S && syn_ns < 0) {
			syn_ns = seg->time_ns;
		} else if (seg->dir == CU_C2S && seg->ack == 1 && syn_ns >= 0 && path->handshake_rtt_ns == 0 &&
		           !(seg->flags & (CU_TCP_SYN | CU_TCP_RST)) && trace->connection.side[CU_S2C].has_syn) {
			path->handshake_rtt_ns = seg->time_ns - syn_ns;
		}
		if (!cu_carries(seg) || cu_is(seg, CU_EVENT_KEEP_ALIVE)) {
			continue;
		}
		if (seg->seq >= out->highest) {
			pending_add(out, seg->end, seg->time_ns);
			out->highest = seg->end;
		} else if (seg->end > out->karn_until) {
			out->karn_until = out->highest;
		}
	}
	for (int dir = 0; dir < 2; dir++) {
		summarise(scratch, dir, &path->side[dir]);
	}
	path->server_known = path->side[CU_C2S].n_samples > 0;
	path->client_known = path->side[CU_S2C].n_samples > 0;
	path->server_rtt_ns = path->side[CU_C2S].min_ns;
	path->client_rtt_ns = path->side[CU_S2C].min_ns;
	if (path->server_known && path->client_known) {
		path->vantage = cu_path_vantage(path->client_rtt_ns, path->server_rtt_ns);
	}
	return 0;
}
