/*
 * What the page of report --format html is made from: transactions over time,
 * and the segments that it has room for.
 */
#include "lib/report/html.h"
#include "lib/report/over_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What is counted stays where it is, to the bin, however the bins widen. */
static void check_over_time(const int64_t *time_ns, size_t n)
{
	struct cu_over_time over = {0};
	for (size_t i = 0; i < n; i++) {
		const struct cu_verdict verdict = {.slow = i % 2 == 0, .blame = (uint8_t)(i % CU_N_PARTIES)};
		cu_over_time_add(&over, time_ns[i], i % 3 == 0 ? NULL : &verdict);
		assert_true(over.n <= CU_OVER_TIME_BINS);
	}
	assert_int_equal(over.start_ns % over.width_ns, 0);
	struct cu_over_time_bin want[CU_OVER_TIME_BINS] = {{0}};
	for (size_t i = 0; i < n; i++) {
		uint64_t bin = ((uint64_t)time_ns[i] - (uint64_t)over.start_ns) / (uint64_t)over.width_ns;
		assert_true(bin < over.n);
		want[bin].n++;
		want[bin].slow_by_party[i % CU_N_PARTIES] += i % 3 != 0 && i % 2 == 0;
	}
	assert_memory_equal(over.bin, want, sizeof(want));
	assert_true(over.bin[over.n - 1].n > 0);
}

static void test_over_time_table(void **state)
{
	static const int64_t one[] = {1700000000123456789};
	static const int64_t forward[] = {0, 1000000, 95999999, 96000000, 5000000000, 3600000000000};
	static const int64_t backward[] = {3600000000000, 5000000000, 96000000, 95999999, 1000000, 0};
	static const int64_t before_1970[] = {-1, 1, -5000000001, 7000000000, -3600000000000};
	static const int64_t far[] = {0, INT64_C(1) << 61, -(INT64_C(1) << 61), 5};
	(void)state;
	check_over_time(one, COUNT(one));
	check_over_time(forward, COUNT(forward));
	check_over_time(backward, COUNT(backward));
	check_over_time(before_1970, COUNT(before_1970));
	check_over_time(far, COUNT(far));
}

static void test_over_time_at_random(void **state)
{
	int64_t time_ns[500];
	(void)state;
	srand(7);
	for (unsigned round = 0; round < 50; round++) {
		int64_t span = INT64_C(1) << (20 + round % 40);
		for (size_t i = 0; i < COUNT(time_ns); i++) {
			time_ns[i] = ((int64_t)rand() << 31 | rand()) % span - span / 3;
		}
		check_over_time(time_ns, COUNT(time_ns));
	}
}

static void test_over_time_ends_of_time(void **state)
{
	struct cu_over_time over = {0};
	(void)state;
	cu_over_time_add(&over, INT64_MAX, NULL);
	cu_over_time_add(&over, INT64_MIN, NULL);
	cu_over_time_add(&over, 0, NULL);
	uint64_t n = 0;
	for (size_t i = 0; i < over.n; i++) {
		n += over.bin[i].n;
	}
	assert_int_equal(n, 3);
}

/* A connection of n segments, one a millisecond, of which each marked_every-th is a retransmission. */
struct made {
	struct cu_connection connection;
	struct cu_transaction transaction;
	struct cu_trace trace;
	struct cu_report_transaction item;
	struct cu_buf out;
};

static void make(struct made *made, size_t n, size_t marked_every)
{
	memset(made, 0, sizeof(*made));
	made->trace.segment = calloc(n, sizeof(*made->trace.segment));
	made->trace.n = n;
	for (size_t i = 0; i < n; i++) {
		made->trace.segment[i] = (struct cu_trace_segment){
			.frame = i + 1,
			.time_ns = (int64_t)i * 1000000,
			.len = 1000,
			.flags = CU_TCP_ACK,
			.marks = i % marked_every == 1 ? UINT32_C(1) << CU_EVENT_RETRANSMISSION : 0,
		};
	}
	made->transaction.total_ns = (int64_t)n * 1000000;
	made->item = (struct cu_report_transaction){
		.connection = &made->connection, .transaction = &made->transaction, .trace = &made->trace};
}

static void release(struct made *made)
{
	free(made->trace.segment);
	cu_buf_release(&made->out);
}

/* What is in the array: frames of segments, and the sum of those left out. */
static size_t parse(struct made *made, size_t *left_out, uint64_t *frame, size_t cap)
{
	size_t n = 0;
	const char *at = cu_buf_cstr(&made->out);
	assert_int_equal(*at, '[');
	*left_out = 0;
	for (at++; *at != ']';) {
		char *end;
		if (*at == '[') {
			assert_true(n < cap);
			frame[n++] = strtoull(at + 1, &end, 10);
			at = strchr(end, ']') + 1;
		} else {
			*left_out += strtoull(at, &end, 10);
			assert_ptr_not_equal(end, at);
			at = end;
		}
		at += *at == ',';
	}
	return n;
}

static bool has(const uint64_t *frame, size_t n, uint64_t one)
{
	for (size_t i = 0; i < n; i++) {
		if (frame[i] == one) {
			return true;
		}
	}
	return false;
}

static void test_segments_all_fit(void **state)
{
	struct made made;
	uint64_t frame[64];
	size_t left_out;
	(void)state;
	make(&made, 50, 7);
	cu_html_segments(&made.out, &made.item, 50);
	assert_int_equal(parse(&made, &left_out, frame, COUNT(frame)), 50);
	assert_int_equal(left_out, 0);
	release(&made);
}

static void test_segments_in_time_only(void **state)
{
	struct made made;
	struct cu_analysis analysis = {.rtt_ns = 2000000};
	uint64_t frame[64];
	size_t left_out;
	(void)state;
	make(&made, 50, 7);
	made.transaction.start_ns = 20000000; /* of frame 21 */
	made.transaction.total_ns = 5000000;  /* to 26 */
	made.item.analysis = &analysis;
	cu_html_segments(&made.out, &made.item, 50);
	assert_int_equal(parse(&made, &left_out, frame, COUNT(frame)), 10);
	assert_int_equal(frame[0], 19);
	assert_int_equal(frame[9], 28);
	release(&made);
}

static void test_segments_cap_keeps_ends_cited_and_marked(void **state)
{
	struct made made;
	uint64_t frame[400];
	size_t left_out;
	(void)state;
	make(&made, 5000, 50);
	made.transaction.request = (struct cu_message){.first_frame = 1234, .last_frame = 1235};
	made.transaction.response = (struct cu_message){.first_frame = 3457, .last_frame = 4568};
	made.transaction.acked_frame = 2001;
	cu_html_segments(&made.out, &made.item, 400);
	size_t n = parse(&made, &left_out, frame, COUNT(frame));
	assert_in_range(n, 390, 400);
	assert_int_equal(n + left_out, 5000);
	static const uint64_t wanted[] = {1, 2, 50, 4951, 5000, 1234, 1235, 3457, 4568, 2001};
	for (size_t i = 0; i < COUNT(wanted); i++) {
		assert_true(has(frame, n, wanted[i]));
	}
	for (uint64_t marked = 2; marked <= 5000; marked += 50) { /* a hundred of them: there is room */
		assert_true(has(frame, n, marked));
	}
	for (size_t i = 1; i < n; i++) {
		assert_true(frame[i] > frame[i - 1]);
		assert_true(frame[i] - frame[i - 1] <= 100); /* the shape is kept: none far from the next */
	}
	release(&made);
}

static void test_segments_cap_holds_when_all_are_marked(void **state)
{
	struct made made;
	uint64_t frame[40];
	size_t left_out;
	(void)state;
	make(&made, 5000, 2);
	cu_html_segments(&made.out, &made.item, CU_HTML_SEGMENTS_LEAST);
	size_t n = parse(&made, &left_out, frame, COUNT(frame));
	assert_true(n <= CU_HTML_SEGMENTS_LEAST);
	assert_int_equal(n + left_out, 5000);
	release(&made);
}

static void test_page_has_one_place_for_data(void **state)
{
	(void)state;
	const char *first = strstr(cu_html_page, CU_HTML_DATA);
	assert_non_null(first);
	assert_null(strstr(first + 1, CU_HTML_DATA));
	assert_int_equal(strlen(cu_html_page), cu_html_page_len);
	assert_null(strstr(cu_html_page, "@SCRIPT@"));
	assert_null(strstr(cu_html_page, "innerHTML"));
	const char *address = strstr(cu_html_page, "://"); /* nothing is fetched from anywhere: this is SVG's name */
	assert_non_null(address);
	assert_memory_equal(address, "://www.w3.org/2000/svg'", 23);
	assert_null(strstr(address + 1, "://"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_over_time_table),
		cmocka_unit_test(test_over_time_at_random),
		cmocka_unit_test(test_over_time_ends_of_time),
		cmocka_unit_test(test_segments_all_fit),
		cmocka_unit_test(test_segments_in_time_only),
		cmocka_unit_test(test_segments_cap_keeps_ends_cited_and_marked),
		cmocka_unit_test(test_segments_cap_holds_when_all_are_marked),
		cmocka_unit_test(test_page_has_one_place_for_data),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
