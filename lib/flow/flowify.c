#include "lib/flow/flowify.h"

#include "lib/flow/sight.h"
#include "lib/flow/track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/*
	 * Packets decoded and hashed before the first of them is looked up, so that
	 * the memory of all is on its way by then. 32 was best of 8, 16, 32 and 64.
	 */
	BATCH = 32,
};

#define TOOL_NAME "culprit " CU_VERSION

struct flowify {
	struct cu_capture *capture;
	struct cu_writer *writer;
	const struct cu_flowify_config *config;
	struct cu_totals *totals;
	size_t n_named; /* files, in the stream */
	uint64_t n_delivered;
	int64_t first_ns, last_ns; /* of all delivered, but for one that only it is so late */
	int64_t ahead_ns;          /* of the packet delivered last, when it is one of those; else INT64_MIN */
	int64_t usual_end_ns;      /* up to here a time is usual: within CU_JUMP_NS of what last_ns was */
	size_t n_batch;
	struct cu_sighting batch[BATCH];
	struct cu_sight sight;
	struct cu_track track;
};

/*
 * A packet that may be more than CU_JUMP_NS later than all before, or comes
 * after such a one: alone in what it says it is damage, not the capture's end.
 */
static __attribute__((noinline)) void note_jump(struct flowify *f, int64_t time_ns)
{
	bool was_ahead = f->ahead_ns != INT64_MIN;
	if (was_ahead && time_ns >= f->ahead_ns - CU_JUMP_NS) {
		f->last_ns = time_ns > f->ahead_ns ? time_ns : f->ahead_ns;
	}
	f->ahead_ns = INT64_MIN;
	if (time_ns > f->last_ns) {
		bool is_first = f->last_ns == INT64_MIN;
		if (is_first || (uint64_t)time_ns - (uint64_t)f->last_ns <= (uint64_t)CU_JUMP_NS) {
			f->last_ns = time_ns;
		} else {
			f->ahead_ns = time_ns;
		}
	}
}

static void note_time(struct flowify *f, int64_t time_ns)
{
	f->first_ns = time_ns < f->first_ns ? time_ns : f->first_ns;
	bool is_usual = f->ahead_ns == INT64_MIN && time_ns <= f->usual_end_ns;
	if (__builtin_expect(is_usual, 1)) {
		f->last_ns = time_ns > f->last_ns ? time_ns : f->last_ns;
	} else {
		note_jump(f, time_ns);
		f->usual_end_ns = f->last_ns < INT64_MAX - CU_JUMP_NS ? f->last_ns + CU_JUMP_NS : INT64_MAX;
	}
}

/* Takes the next BATCH packets. 1, 0 when the capture is over, or an error. */
static int fill_batch(struct flowify *f)
{
	struct cu_packet packets[BATCH];
	f->n_batch = 0;
	for (int left = BATCH; left > 0;) {
		int n = cu_capture_next_batch(f->capture, packets, left);
		if (n <= 0) {
			return n;
		}
		for (int i = 0; i < n; i++) {
			note_time(f, packets[i].time_ns);
		}
		f->n_batch += cu_sight_packets(&f->sight, packets, (size_t)n, &f->batch[f->n_batch]);
		f->n_delivered += (uint64_t)n;
		left -= n;
	}
	return 1;
}

/* Names the files that were not named yet: in the header, or behind it. */
static __attribute__((noinline)) int name_files(struct flowify *f, bool in_header)
{
	size_t n = cu_capture_n_files(f->capture) - f->n_named;
	if (f->n_named + n > CU_FILE_CAP) {
		return CU_ERR_RANGE;
	}
	struct cu_stream_file *files = calloc(n + 1, sizeof(*files));
	char(*numbers)[CU_TEXT_CAP] = calloc(n + 1, sizeof(*numbers));
	if (files == NULL || numbers == NULL) {
		free(files);
		free(numbers);
		return CU_ERR_NOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const struct cu_capture_file *file = cu_capture_file(f->capture, f->n_named + i);
		(void)snprintf(numbers[i], sizeof(numbers[i]), "capture %zu", f->n_named + i + 1);
		files[i] = (struct cu_stream_file){
			.path = f->config->anonymizer != NULL ? numbers[i] : file->path,
			.snaplen = file->snaplen,
			.linktype = file->linktype,
		};
	}
	f->n_named += n;
	struct cu_stream_header header = {.tool = TOOL_NAME, .files = files, .n_files = n};
	int rc = in_header ? cu_writer_header(f->writer, &header) : cu_writer_sources(f->writer, files, n);
	free(files);
	free(numbers);
	return rc;
}

static void sum_totals(struct flowify *f)
{
	struct cu_totals *totals = f->totals;
	int64_t end_ns = 0;
	for (size_t i = 0; i < cu_capture_n_inputs(f->capture); i++) {
		const struct cu_capture_stats *stats = cu_capture_stats(f->capture, i);
		totals->n_filtered += stats->n_filtered;
		totals->n_damaged += stats->n_damaged;
		totals->n_skipped_bytes += stats->skipped_bytes;
		totals->n_drops += stats->n_drops;
		totals->n_untimed += stats->n_untimed + stats->astray.n;
		totals->n_steps_back += stats->back.n;
		totals->n_jumps += stats->ahead.n;
		totals->n_truncated += stats->stopped == CU_ERR_TRUNCATED;
		totals->n_unread += stats->stopped != CU_OK && stats->stopped != CU_ERR_TRUNCATED;
		end_ns = stats->end_ns > end_ns ? stats->end_ns : end_ns;
	}
	if (f->n_delivered > 0) {
		totals->first_ns = f->first_ns;
		int64_t last_ns = f->ahead_ns > f->last_ns ? f->ahead_ns : f->last_ns;
		totals->last_ns = last_ns > end_ns ? last_ns : end_ns;
	}
	totals->n_packets = f->n_delivered + totals->n_filtered;
	totals->n_tcp = f->sight.n_kinds[CU_PACKET_TCP];
	totals->n_icmp_errors = f->sight.n_kinds[CU_PACKET_ICMP_ERROR];
	totals->n_fragments = f->sight.n_kinds[CU_PACKET_FRAGMENT];
	totals->n_other = f->sight.n_kinds[CU_PACKET_OTHER];
	totals->n_short = f->sight.n_kinds[CU_PACKET_SHORT];
	totals->n_malformed = f->sight.n_kinds[CU_PACKET_MALFORMED];
	totals->n_unknown_link = f->sight.n_kinds[CU_PACKET_UNKNOWN_LINK];
	totals->n_connections = f->track.n_streams;
	totals->n_evicted = f->track.n_evicted;
	totals->n_parted = f->track.n_parted;
	totals->n_broken = cu_assembly_n_broken(f->sight.assembly);
	totals->n_left_out = f->sight.n_left_out;
	totals->n_strays = f->track.n_strays;
}

static int write_totals(struct flowify *f)
{
	struct cu_buf buf = {0};
	cu_totals_encode(f->totals, &buf);
	int rc = buf.failed ? CU_ERR_NOMEM : cu_writer_add(f->writer, CU_RECORD_TOTALS, buf.data, buf.len);
	cu_buf_release(&buf);
	return rc;
}

static int run(struct flowify *f)
{
	/* The first packets come before the header: the files are known only then, but for those that shards still name. */
	int more = fill_batch(f);
	int rc = more < 0 ? more : name_files(f, true);
	while (rc == 0) {
		if (__builtin_expect(cu_capture_n_files(f->capture) > f->n_named, 0)) {
			rc = name_files(f, false);
			if (rc < 0) {
				break;
			}
		}
		rc = cu_track_put(&f->track, f->batch, f->n_batch);
		if (rc < 0 || more == 0) {
			break;
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
               struct cu_totals *totals)
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
	f->first_ns = INT64_MAX;
	f->last_ns = INT64_MIN;
	f->ahead_ns = INT64_MIN;
	f->usual_end_ns = INT64_MIN;
	int rc = cu_track_init(&f->track, writer, f->config);
	int sight_rc = cu_sight_init(&f->sight, f->config, &f->track.table);
	rc = rc < 0 ? rc : sight_rc;
	rc = rc < 0 ? rc : run(f);
	cu_sight_release(&f->sight);
	cu_track_release(&f->track);
	free(f);
	return rc;
}
