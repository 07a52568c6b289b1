/* Records in columns: they come back as they were, and what is damaged is refused. */
#include "lib/base/error.h"
#include "lib/record/columns.h"
#include "lib/record/record.h"
#include "tests/unit/any.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HEAD = 4, IP_ID = 16, TTL = 17, ICMP = 9 }; /* columns, counted from 0 */

static void add_record(struct cu_buf *raw, unsigned kind, const uint8_t *data, size_t len)
{
	cu_buf_add_varint(raw, kind);
	cu_buf_add_varint(raw, len);
	cu_buf_add(raw, data, len);
	assert_false(raw->failed);
}

/* n segments; every other one is an ICMP error when icmp. */
static void add_timeline(struct cu_buf *buf, struct cu_timeline_start *start, unsigned n, bool icmp)
{
	struct cu_timeline_state encoder = {0};
	struct cu_segment last = {.time_ns = INT64_C(1700000000000000000), .ttl = 64};
	for (unsigned i = 0; i < n; i++) {
		last = any_segment(&last);
		struct cu_segment segment = last;
		if (icmp && i % 2 != 0) {
			segment = (struct cu_segment){.time_ns = last.time_ns,
			                              .frame = last.frame,
			                              .seq = last.seq,
			                              .icmp = true,
			                              .icmp_type = 3,
			                              .icmp_code = 4,
			                              .icmp_mtu = 1400,
			                              .icmp_reporter = {.family = 4, .bytes = {10, 0, 0, 1}}};
		}
		assert_true(cu_buf_reserve(buf, CU_SEGMENT_ENCODED_CAP));
		buf->len += cu_timeline_encode(&encoder, &segment, buf->data + buf->len);
	}
	*start = encoder.start;
}

static void add_connection(struct cu_buf *raw, uint64_t stream, unsigned n, bool icmp)
{
	struct cu_buf timeline = {0}, record = {0};
	struct cu_timeline_start start;
	add_timeline(&timeline, &start, n, icmp);
	struct cu_connection connection = {
		.stream = stream,
		.start_ns = start.time_ns,
		.end_ns = start.time_ns,
		.timeline = {.data = (const char *)timeline.data, .len = (uint32_t)timeline.len}};
	cu_connection_encode(&connection, &record);
	add_record(raw, CU_RECORD_CONNECTION, record.data, record.len);
	cu_buf_release(&timeline);
	cu_buf_release(&record);
}

static void add_chunk(struct cu_buf *raw, uint64_t stream, unsigned n)
{
	struct cu_buf timeline = {0}, record = {0};
	struct cu_chunk chunk = {.stream = stream, .n_segments = n};
	add_timeline(&timeline, &chunk.start, n, false);
	chunk.segments = cu_cursor_make(timeline.data, timeline.len);
	cu_chunk_encode(&chunk, &record);
	add_record(raw, CU_RECORD_CHUNK, record.data, record.len);
	cu_buf_release(&timeline);
	cu_buf_release(&record);
}

/* As they are stored: lengths and columns, one after another. */
static void store(const struct cu_columns *columns, struct cu_buf *stored)
{
	uint8_t lengths[CU_COLUMNS_LENGTHS_CAP];
	cu_buf_clear(stored);
	cu_buf_add(stored, lengths, cu_columns_put_lengths(columns, lengths));
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		cu_buf_add(stored, columns->column[i].data, columns->column[i].len);
	}
	assert_false(stored->failed);
}

/* Joins a copy that ends where its memory does, so that the sanitizers see every step too far. */
static int join(const struct cu_buf *stored, size_t raw_len, struct cu_buf *raw)
{
	struct cu_buf copy = {0};
	cu_buf_add(&copy, stored->data, stored->len);
	int err = cu_columns_join(&copy, raw, raw_len);
	cu_buf_release(&copy);
	return err;
}

static void assert_round_trip(const struct cu_buf *raw)
{
	struct cu_columns columns = {0};
	struct cu_buf copy = {0}, stored = {0}, joined = {0};
	cu_buf_add(&copy, raw->data, raw->len);
	assert_int_equal(cu_columns_split(&columns, &copy), 0);
	store(&columns, &stored);
	assert_true(stored.len <= cu_columns_cap(raw->len));
	assert_int_equal(join(&stored, raw->len, &joined), 0);
	assert_int_equal(joined.len, raw->len);
	assert_memory_equal(joined.data, raw->data, raw->len);
	cu_columns_release(&columns);
	cu_buf_release(&copy);
	cu_buf_release(&stored);
	cu_buf_release(&joined);
}

static void make_records(struct cu_buf *raw, unsigned n)
{
	static const uint8_t other[300] = {1, 2, 3};
	for (unsigned i = 0; i < n; i++) {
		add_connection(raw, i, (unsigned)(next_random() % 40), i % 5 == 0);
		add_chunk(raw, i, (unsigned)(next_random() % 40));
		add_record(raw, CU_RECORD_TRANSACTION, other, (size_t)(next_random() % sizeof(other)));
		add_record(raw, CU_RECORD_OPTIONAL + 30, other, (size_t)(next_random() % 3));
	}
}

static void test_columns_round_trip(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 60; n++) {
		struct cu_buf raw = {0};
		make_records(&raw, n);
		if (raw.data != NULL) {
			assert_round_trip(&raw);
		}
		cu_buf_release(&raw);
	}
}

static void test_columns_have_what_their_place_says(void **state)
{
	(void)state;
	struct cu_buf raw = {0};
	struct cu_columns columns = {0};
	add_connection(&raw, 7, 1000, false);
	add_chunk(&raw, 8, 500);
	assert_int_equal(cu_columns_split(&columns, &raw), 0);
	assert_int_equal(columns.column[HEAD].len, 1500);
	assert_int_equal(columns.column[ICMP].len, 0);
	assert_int_equal(columns.column[IP_ID].len % 2, 0);
	assert_true(columns.column[IP_ID].len > 2 * 1500 / 9);
	assert_true(columns.column[TTL].len > 1500 / 20 && columns.column[TTL].len < 1500 / 4);
	cu_buf_clear(&raw);
	add_connection(&raw, 9, 1000, true);
	assert_int_equal(cu_columns_split(&columns, &raw), 0);
	assert_int_equal(columns.column[ICMP].len, 500 * (2 + 2 + 1 + 16));
	cu_columns_release(&columns);
	cu_buf_release(&raw);
}

/* Records that are none of ours are not split, and records that only hold no segments are. */
static void test_columns_of_damaged_records(void **state)
{
	(void)state;
	struct cu_buf raw = {0};
	struct cu_columns columns = {0};
	static const uint8_t odd[] = {0xff, 0xff, 0xff};
	add_record(&raw, CU_RECORD_CONNECTION, odd, sizeof(odd));
	add_record(&raw, CU_RECORD_CHUNK, odd, 0);
	assert_round_trip(&raw);
	cu_buf_clear(&raw);

	add_chunk(&raw, 1, 30);
	const size_t len = raw.len;
	raw.len = len - 1; /* a record that runs over the end */
	assert_int_equal(cu_columns_split(&columns, &raw), CU_ERR_FORMAT);
	raw.len = len;
	raw.data[1]--; /* the same of a segment, and the record's end is in it */
	assert_int_equal(cu_columns_split(&columns, &raw), CU_ERR_FORMAT);
	cu_buf_clear(&raw);

	struct cu_buf chunk = {0};
	cu_chunk_encode(&(struct cu_chunk){.n_segments = 1}, &chunk);
	cu_buf_add(&chunk, "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11); /* a time without an end */
	add_record(&raw, CU_RECORD_CHUNK, chunk.data, chunk.len);
	assert_int_equal(cu_columns_split(&columns, &raw), CU_ERR_FORMAT);
	cu_buf_clear(&raw);
	chunk.data[chunk.len - 1] = 1;
	cu_buf_add_u8(&chunk, 5); /* a frame */
	add_record(&raw, CU_RECORD_CHUNK, chunk.data, chunk.len);
	assert_round_trip(&raw);
	cu_buf_release(&chunk);
	cu_columns_release(&columns);
	cu_buf_release(&raw);
}

static void test_columns_of_other_records_are_refused(void **state)
{
	(void)state;
	struct cu_buf raw = {0};
	struct cu_columns columns = {0};
	struct cu_buf stored = {0}, joined = {0};
	make_records(&raw, 8);
	const size_t raw_len = raw.len;
	assert_int_equal(cu_columns_split(&columns, &raw), 0);
	store(&columns, &stored);
	assert_int_equal(join(&stored, raw_len - 1, &joined), CU_ERR_FORMAT);
	assert_int_equal(join(&stored, raw_len + 1, &joined), CU_ERR_FORMAT);
	assert_int_equal(join(&stored, 0, &joined), CU_ERR_FORMAT);
	const size_t len = stored.len;
	for (stored.len = 0; stored.len < len; stored.len++) {
		assert_int_equal(join(&stored, raw_len, &joined), CU_ERR_FORMAT);
	}
	/* A byte more in one column, and less in another. */
	for (unsigned from = 0; from < CU_COLUMNS; from++) {
		for (unsigned to = 0; to < CU_COLUMNS; to++) {
			struct cu_columns moved = columns;
			if (from == to || moved.column[from].len == 0) {
				continue;
			}
			moved.column[from].len--;
			moved.column[to].len++;
			store(&moved, &stored);
			assert_int_equal(join(&stored, raw_len, &joined), CU_ERR_FORMAT);
		}
	}
	/* Whatever else is there is refused, or is of some records. */
	unsigned n_refused = 0;
	for (unsigned i = 0; i < 20000; i++) {
		store(&columns, &stored);
		stored.data[next_random() % stored.len] = (uint8_t)next_random();
		n_refused += join(&stored, raw_len, &joined) != 0;
	}
	assert_true(n_refused > 2000 && n_refused < 20000);
	cu_columns_release(&columns);
	cu_buf_release(&stored);
	cu_buf_release(&joined);
	cu_buf_release(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_round_trip),
		cmocka_unit_test(test_columns_have_what_their_place_says),
		cmocka_unit_test(test_columns_of_damaged_records),
		cmocka_unit_test(test_columns_of_other_records_are_refused),
	};
	return cmocka_run_group_tests_name("columns", tests, NULL, NULL);
}
