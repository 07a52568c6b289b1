/*
 * streams: prints "frame stream" for each segment and ICMP error of a record
 * stream on standard input, in order of frames, to be compared with tshark's
 * tcp.stream. See streams.sh.
 */
#include "lib/record/record.h"
#include "lib/record/stream.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
	uint64_t frame, stream;
};

static struct entry *entries;
static size_t n_entries;

static void add(uint64_t frame, uint64_t stream)
{
	static size_t cap;
	if (n_entries == cap) {
		cap = cap > 0 ? cap * 2 : 1024;
		entries = realloc(entries, cap * sizeof(*entries));
		if (entries == NULL) {
			err(1, NULL);
		}
	}
	entries[n_entries++] = (struct entry){.frame = frame, .stream = stream};
}

static void add_chunk(struct cu_chunk *chunk)
{
	struct cu_timeline_state state = {.start = chunk->start};
	struct cu_segment segment;
	int rc;
	while ((rc = cu_timeline_decode(&state, &chunk->segments, &segment)) > 0) {
		add(segment.frame, chunk->stream);
	}
	if (rc < 0) {
		errx(1, "bad segment");
	}
}

/* The segments of a chunk, or within a connection. */
static void add_timeline(int item, const struct cu_record *record)
{
	struct cu_chunk chunk;
	struct cu_connection connection;
	if (item != CU_STREAM_RECORD) {
		return;
	}
	if (record->kind == CU_RECORD_CHUNK) {
		if (cu_chunk_open(record->data, record->len, &chunk) < 0) {
			errx(1, "bad chunk");
		}
		add_chunk(&chunk);
	} else if (record->kind == CU_RECORD_CONNECTION) {
		if (cu_connection_decode(record->data, record->len, &connection) < 0) {
			errx(1, "bad connection");
		}
		if (cu_chunk_within(&connection, &chunk)) {
			add_chunk(&chunk);
		}
	}
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;
	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

int main(void)
{
	struct cu_reader *reader;
	if (cu_reader_open(&reader, 0, "standard input") < 0) {
		errx(1, "out of memory");
	}
	struct cu_record record;
	int rc;
	while ((rc = cu_reader_next(reader, &record)) > 0) {
		add_timeline(rc, &record);
	}
	if (rc < 0) {
		errx(1, "%s", cu_reader_fault(reader)->text);
	}
	cu_reader_close(reader);
	if (n_entries > 0) {
		qsort(entries, n_entries, sizeof(*entries), compare);
	}
	for (size_t i = 0; i < n_entries; i++) {
		printf("%" PRIu64 " %" PRIu64 "\n", entries[i].frame, entries[i].stream);
	}
	free(entries);
	return 0;
}
