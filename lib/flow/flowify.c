#include "lib/flow/flowify.h"

#include "lib/flow/track.h"

#include <stdlib.h>
#include <string.h>

enum {
	/*
	 * Packets decoded and hashed before the first of them is looked up, so that
	 * the memory of all is on its way by then. 32 was best of 8, 16, 32 and 64.
	 */
	BATCH = 32,
	PREFETCHED_LINES = 4, /* the hot part of a connection */
	CACHE_LINE = 64,
	PROGRESS_PACKETS = 65536,
};

#define TOOL_NAME "culprit " CU_VERSION

struct flowify {
	struct cu_capture *capture;
	struct cu_writer *writer;
	const struct cu_flowify_config *config;
	struct cu_totals *totals;
	uint64_t n_delivered;
	uint64_t n_kinds[CU_PACKET_N_KINDS];
	size_t n_batch;
	struct cu_sighting batch[BATCH];
	struct cu_track track;
};

static void note_time(struct cu_totals *totals, int64_t time_ns, bool is_first)
{
	if (is_first || time_ns < totals->first_ns) {
		totals->first_ns = time_ns;
	}
	if (is_first || time_ns > totals->last_ns) {
		totals->last_ns = time_ns;
	}
}

/* Decodes a packet to a sighting; false when it concerns no connection. */
static bool sight(struct flowify *f, const struct cu_packet *packet, struct cu_sighting *sighting)
{
	union cu_packet_content *content = &sighting->content;
	enum cu_packet_kind kind =
		cu_packet_decode(packet->linktype, packet->data, packet->caplen, packet->len, content);
	f->n_kinds[kind]++;
	if (kind > CU_PACKET_FRAGMENT) {
		return false;
	}
	sighting->time_ns = packet->time_ns;
	sighting->frame = packet->frame;
	sighting->file = packet->file;
	sighting->kind = (uint8_t)kind;
	const struct cu_flow_key *key = kind == CU_PACKET_ICMP_ERROR ? &content->icmp.key : &content->tcp.key;
	sighting->from_lower = cu_key_make(key, f->config->ignore_vlan, &sighting->key);
	sighting->tag = cu_table_tag(&f->track.table, &sighting->key);
	__builtin_prefetch(&f->track.table.slots[sighting->tag & f->track.table.mask]);
	sighting->hint.kind = CU_HINT_NONE;
	if (kind == CU_PACKET_TCP && content->tcp.payload_caplen > 0 && !f->config->no_hints) {
		cu_hint_parse(content->tcp.payload, content->tcp.payload_caplen, &sighting->hint);
	}
	return true;
}

/* Takes the next BATCH packets. 1, 0 when the capture is over, or an error. */
static int fill_batch(struct flowify *f)
{
	f->n_batch = 0;
	for (int i = 0; i < BATCH; i++) {
		struct cu_packet packet;
		int rc = cu_capture_next(f->capture, &packet);
		if (rc <= 0) {
			return rc;
		}
		note_time(f->totals, packet.time_ns, f->n_delivered == 0);
		f->n_delivered++;
		if (sight(f, &packet, &f->batch[f->n_batch])) {
			f->n_batch++;
		}
	}
	return 1;
}

static void prefetch_flow(const struct cu_flow *flow)
{
	const char *line = (const char *)flow;
	for (int i = 0; i < PREFETCHED_LINES; i++) {
		__builtin_prefetch(line + (ptrdiff_t)i * CACHE_LINE, 1);
	}
}

static int put_batch(struct flowify *f)
{
	struct cu_track *track = &f->track;
	for (size_t i = 0; i < f->n_batch; i++) {
		struct cu_sighting *sighting = &f->batch[i];
		sighting->guess = cu_table_guess(&track->table, sighting->tag);
		if (sighting->guess != 0) {
			prefetch_flow(cu_table_at(&track->table, sighting->guess));
		}
	}
	for (size_t i = 0; i < f->n_batch; i++) {
		int rc = cu_track_put(track, &f->batch[i]);
		if (rc < 0) {
			return rc;
		}
	}
	return f->n_batch > 0 ? cu_track_expire(track, f->batch[f->n_batch - 1].time_ns) : 0;
}

/* Names the inputs; what is known of them before their first packet, and after it. */
static int write_header(struct flowify *f)
{
	size_t n = cu_capture_n_files(f->capture);
	if (n > CU_FILE_CAP) {
		return CU_ERR_RANGE;
	}
	struct cu_stream_file *files = calloc(n > 0 ? n : 1, sizeof(*files));
	if (files == NULL) {
		return CU_ERR_NOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const struct cu_capture_stats *stats = cu_capture_stats(f->capture, i);
		files[i] = (struct cu_stream_file){
			.path = stats->path,
			.snaplen = stats->snaplen,
			.linktype = stats->linktype,
		};
	}
	struct cu_stream_header header = {.tool = TOOL_NAME, .files = files, .n_files = n};
	int rc = cu_writer_header(f->writer, &header);
	free(files);
	return rc;
}

static void sum_totals(struct flowify *f)
{
	struct cu_totals *totals = f->totals;
	for (size_t i = 0; i < cu_capture_n_files(f->capture); i++) {
		const struct cu_capture_stats *stats = cu_capture_stats(f->capture, i);
		totals->n_filtered += stats->n_filtered;
		totals->n_damaged += stats->n_damaged;
		totals->n_skipped_bytes += stats->skipped_bytes;
		totals->n_drops += stats->n_drops;
	}
	const struct cu_fault *fault;
	for (size_t i = 0; (fault = cu_capture_fault(f->capture, i)) != NULL; i++) {
		totals->n_truncated += fault->code == CU_ERR_TRUNCATED;
	}
	totals->n_packets = f->n_delivered + totals->n_filtered;
	totals->n_tcp = f->n_kinds[CU_PACKET_TCP];
	totals->n_icmp_errors = f->n_kinds[CU_PACKET_ICMP_ERROR];
	totals->n_fragments = f->n_kinds[CU_PACKET_FRAGMENT];
	totals->n_other = f->n_kinds[CU_PACKET_OTHER];
	totals->n_short = f->n_kinds[CU_PACKET_SHORT];
	totals->n_malformed = f->n_kinds[CU_PACKET_MALFORMED];
	totals->n_unknown_link = f->n_kinds[CU_PACKET_UNKNOWN_LINK];
	totals->n_connections = f->track.n_streams;
	totals->n_evicted = f->track.n_evicted;
}

static int write_totals(struct flowify *f)
{
	struct cu_buf buf = {0};
	cu_totals_encode(f->totals, &buf);
	int rc = buf.failed ? CU_ERR_NOMEM : cu_writer_add(f->writer, CU_RECORD_TOTALS, buf.data, buf.len);
	cu_buf_release(&buf);
	return rc;
}

static int run(struct flowify *f, cu_progress_fn *progress, void *arg)
{
	/* The first packets come before the header: the inputs are known only then. */
	int more = fill_batch(f);
	int rc = more < 0 ? more : write_header(f);
	while (rc == 0) {
		rc = put_batch(f);
		if (rc < 0 || more == 0) {
			break;
		}
		if (progress != NULL && f->n_delivered % PROGRESS_PACKETS == 0) {
			progress(arg, f->capture);
		}
		more = fill_batch(f);
		rc = more < 0 ? more : 0;
	}
	if (rc == 0) {
		rc = cu_track_finish(&f->track);
	}
	sum_totals(f);
	if (rc == 0) {
		rc = write_totals(f);
	}
	return rc < 0 ? rc : cu_writer_finish(f->writer);
}

int cu_flowify(struct cu_capture *capture, struct cu_writer *writer, const struct cu_flowify_config *config,
               struct cu_totals *totals, cu_progress_fn *progress, void *arg)
{
	static const struct cu_flowify_config defaults;
	memset(totals, 0, sizeof(*totals));
	struct flowify *f = calloc(1, sizeof(*f));
	if (f == NULL) {
		return CU_ERR_NOMEM;
	}
	f->capture = capture;
	f->writer = writer;
	f->config = config != NULL ? config : &defaults;
	f->totals = totals;
	int rc = cu_track_init(&f->track, writer, f->config);
	if (rc == 0) {
		rc = run(f, progress, arg);
	}
	cu_track_release(&f->track);
	free(f);
	return rc;
}
