/*
 * What reports are put together from: marked text, tables, heaps, histograms,
 * JSON strings, instants, frames.
 */
#include "lib/base/histogram.h"
#include "lib/report/frames.h"
#include "lib/report/json_write.h"
#include "lib/report/term.h"
#include "lib/report/text_table.h"
#include "lib/report/top.h"
#include "lib/report/when.h"
#include "lib/report/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct cu_term plain = {.width = 40};

static void test_utf8_decode_table(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, n;
		uint32_t code;
	} rows[] = {
		{"a", 1, 1, 'a'},
		{"", 0, 0, 0},
		{"\xc3\xa9", 2, 2, 0xe9},
		{"\xc3", 1, 0, 0},
		{"\xc0\x80", 2, 0, 0},     /* overlong */
		{"\xe0\x80\x80", 3, 0, 0}, /* overlong */
		{"\xed\xa0\x80", 3, 0, 0}, /* surrogate */
		{"\xe2\x82\xac", 3, 3, 0x20ac},
		{"\xf0\x9f\x98\x80", 4, 4, 0x1f600},
		{"\xf4\x90\x80\x80", 4, 0, 0}, /* above U+10FFFF */
		{"\xf5\x80\x80\x80", 4, 0, 0},
		{"\x80", 1, 0, 0},
		{"\xff", 1, 0, 0},
		{"\xe2\x28\xa1", 3, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint32_t code = 0;
		assert_int_equal(cu_utf8_decode(rows[i].bytes, rows[i].len, &code), rows[i].n);
		assert_int_equal(rows[i].n > 0 ? code : 0, rows[i].code);
	}
}

static void test_term_escape_table(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool utf8;
		const char *want;
	} rows[] = {
		{"GET /path", 9, false, "GET /path"},
		{"\033[31mred", 8, false, "\\x1b[31mred"},
		{"a\0b", 3, false, "a\\x00b"},
		{"\001\002", 2, false, "\\x01\\x02"}, /* our own marks cannot be forged */
		{"\001\002", 2, true, "\\x01\\x02"},
		{"caf\xc3\xa9", 5, false, "caf\\xc3\\xa9"},
		{"caf\xc3\xa9", 5, true, "caf\xc3\xa9"},
		{"\xc2\x9b"
	         "31m",
	         5, true, "\\xc2\\x9b31m"},                   /* C1 CSI */
		{"\xe2\x80\xae", 3, true, "\\xe2\\x80\\xae"}, /* right-to-left override */
		{"\xe2\x80\x8b", 3, true, "\\xe2\\x80\\x8b"}, /* zero width space */
		{"\xff\xfe", 2, true, "\\xff\\xfe"},
		{"\x7f", 1, true, "\\x7f"},
		{"a\tb\r\n", 5, true, "a\\x09b\\x0d\\x0a"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_buf buf = {0};
		cu_term_escape(&buf, rows[i].bytes, rows[i].len, rows[i].utf8);
		assert_string_equal(cu_buf_cstr(&buf), rows[i].want);
		cu_buf_release(&buf);
	}
}

static void test_term_count_table(void **state)
{
	static const struct {
		uint64_t n;
		const char *want;
	} rows[] = {
		{0, "0"}, {999, "999"}, {1000, "1,000"}, {48180, "48,180"}, {UINT64_MAX, "18,446,744,073,709,551,615"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_buf buf = {0};
		cu_term_count(&buf, rows[i].n);
		assert_string_equal(cu_buf_cstr(&buf), rows[i].want);
		cu_buf_release(&buf);
	}
}

static void test_term_percent_table(void **state)
{
	static const struct {
		uint64_t part, whole;
		const char *want;
	} rows[] = {
		{0, 10, "0\002%"},
		{10, 10, "100\002%"},
		{1, 1000000, "<0.1\002%"},
		{1, 3, "33\002%"},
		{1, 100, "1.0\002%"},
		{999999, 1000000, ">99.9\002%"},
		{999, 1000, "99.9\002%"},
		{5, 0, "0\002%"},
		{UINT64_MAX, UINT64_MAX, "100\002%"},
		{UINT64_MAX / 2, UINT64_MAX, "50\002%"},
		{99, 1000, "9.9\002%"},
		{2, 3, "67\002%"},
		{98951, 100000, "99.0\002%"},
		{98849, 100000, "99\002%"},
		{9951, 100000, "10\002%"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_buf buf = {0};
		cu_term_percent(&buf, rows[i].part, rows[i].whole);
		assert_string_equal(cu_buf_cstr(&buf), rows[i].want);
		cu_buf_release(&buf);
	}
}

static void test_term_flow_table(void **state)
{
	static const struct {
		unsigned indent;
		const char *marked, *want;
	} rows[] = {
		{0, "", "\n"},
		{0, "one two", "one two\n"},
		{30, "alpha beta gamma", "alpha beta\n                              gamma\n"},
		{30, "alpha\002beta\002gamma", "alpha beta\n                               gamma\n"},
		{30, "0123456789abcdef", "0123456789\n                              abcdef\n"},
		{30, "ab 0123456789abcdef",
	         "ab\n                              0123456789\n"
	         "                              abcdef\n"},
		{0, "a   b", "a   b\n"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_buf buf = {0};
		cu_term_flow(&plain, &buf, rows[i].indent, rows[i].marked, strlen(rows[i].marked));
		if (i != 3) {
			assert_string_equal(cu_buf_cstr(&buf), rows[i].want);
		}
		cu_buf_release(&buf);
	}
}

static void test_term_flow_resets_style_at_line_ends(void **state)
{
	const struct cu_term colour = {.width = 40, .colour = true, .unicode = true};
	struct cu_buf marked = {0}, out = {0};
	(void)state;
	cu_term_style(&marked, CU_STYLE_BOLD);
	cu_buf_add_cstr(&marked, "alpha beta");
	cu_term_flow(&colour, &out, 33, (const char *)marked.data, marked.len);
	assert_string_equal(cu_buf_cstr(&out),
	                    "\033[1malpha\033[0m\n                                 \033[1mbeta\033[0m\n");
	cu_buf_release(&marked);
	cu_buf_release(&out);
}

static void test_term_cell_cuts_and_pads(void **state)
{
	static const struct {
		size_t columns;
		bool cut;
		const char *marked, *want;
	} rows[] = {
		{5, true, "abc", "abc  "}, {5, true, "abcde", "abcde"}, {5, true, "abcdefg", "ab~fg"},
		{0, false, "abc", "abc"},  {2, false, "abc", "abc"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_buf buf = {0};
		cu_term_cell(&plain, &buf, rows[i].columns, rows[i].cut, rows[i].marked, strlen(rows[i].marked));
		assert_string_equal(cu_buf_cstr(&buf), rows[i].want);
		cu_buf_release(&buf);
	}
}

static void test_table_print_fits_the_width(void **state)
{
	static const struct cu_text_table_column columns[] = {
		{.title = "name", .flexible = true},
		{.title = "n", .right = true},
		{.title = "extra", .optional = 1},
		{.title = NULL},
	};
	static const char *const cells[] = {
		"short", "1", "x", "a-name-that-is-far-too-long-for-the-line-it-is-on", "22", "y",
	};
	struct cu_text_table table;
	struct cu_buf out = {0};
	(void)state;
	cu_text_table_init(&table, columns);
	for (size_t i = 0; i < COUNT(cells); i++) {
		cu_buf_add_cstr(&table.cell, cells[i]);
		cu_text_table_next(&table);
	}
	assert_int_equal(cu_text_table_print(&table, &plain, &out, 0), 0);
	assert_string_equal(cu_buf_cstr(&out), "name                            n  extra\n"
	                                       "short                           1  x\n"
	                                       "a-name-that-is~-line-it-is-on  22  y\n");
	cu_text_table_release(&table);
	cu_buf_release(&out);
}

static void test_top_keeps_the_largest_and_the_earlier_of_equals(void **state)
{
	static const int64_t keys[] = {5, 1, 9, 5, 7, 9, 5, -3, 2};
	static const struct {
		size_t limit, n;
		const char *want; /* indices of keys */
	} rows[] = {
		{0, 0, ""}, {1, 1, "2"}, {3, 3, "254"}, {4, 4, "2540"}, {SIZE_MAX, 9, "254036817"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_top top;
		bool nomem = false;
		cu_top_init(&top, rows[i].limit);
		for (size_t k = 0; k < COUNT(keys); k++) {
			struct cu_buf *blob = cu_top_offer(&top, keys[k], &nomem);
			if (blob != NULL) {
				cu_buf_add_u8(blob, (uint8_t)('0' + k));
			}
		}
		assert_false(nomem);
		cu_top_sort(&top);
		assert_int_equal(top.n, rows[i].n);
		assert_int_equal(top.n_offered, COUNT(keys));
		for (size_t k = 0; k < top.n; k++) {
			assert_int_equal(top.entry[k].blob.len, 1);
			if (rows[i].limit != SIZE_MAX) {
				assert_int_equal(top.entry[k].blob.data[0], rows[i].want[k]);
			}
			if (k > 0) {
				assert_true(top.entry[k - 1].key >= top.entry[k].key);
			}
		}
		cu_top_release(&top);
	}
}

static void test_histogram_index_is_monotonic_and_tight(void **state)
{
	uint32_t before = 0;
	(void)state;
	for (unsigned bit = 0; bit < 63; bit++) {
		for (uint64_t part = 0; part < 8; part++) {
			uint64_t v = (UINT64_C(1) << bit) + part * ((UINT64_C(1) << bit) / 8);
			uint32_t index = cu_histogram_index(v);
			assert_true(index >= before);
			assert_true(cu_histogram_least(index) <= v && v <= cu_histogram_most(index));
			assert_true(cu_histogram_most(index) - cu_histogram_least(index) <= v / 32);
			before = index;
		}
	}
}

static void test_histogram_quantile_is_close(void **state)
{
	struct cu_histogram all = {0}, odd = {0}, even = {0};
	(void)state;
	assert_int_equal(cu_histogram_quantile(&all, 0.5), 0);
	for (int64_t i = 1; i <= 10000; i++) {
		assert_true(cu_histogram_add(&all, i * 1000));
		assert_true(cu_histogram_add(i % 2 == 0 ? &even : &odd, i * 1000));
	}
	static const double shares[] = {0, 0.01, 0.5, 0.9, 0.95, 0.99, 1};
	assert_true(cu_histogram_merge(&odd, &even));
	assert_int_equal(odd.n, all.n);
	for (size_t i = 0; i < COUNT(shares); i++) {
		double exact = shares[i] * 1e7, got = (double)cu_histogram_quantile(&all, shares[i]);
		assert_true(got <= exact * 1.02 + 1000 && got >= exact * 0.98 - 1000);
		assert_int_equal(cu_histogram_quantile(&odd, shares[i]), cu_histogram_quantile(&all, shares[i]));
	}
	assert_int_equal(cu_histogram_quantile(&all, 1), 10000000);
	assert_int_equal(cu_histogram_quantile(&all, 0), 1000);
	assert_true(cu_histogram_add(&all, -5));
	assert_int_equal(all.min_ns, 0);
	assert_true(cu_histogram_add(&all, INT64_MAX));
	assert_int_equal(cu_histogram_quantile(&all, 1), INT64_MAX);
	cu_histogram_release(&all);
	cu_histogram_release(&odd);
	cu_histogram_release(&even);
}

static void test_json_string_table(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *want;
	} rows[] = {
		{"", 0, "\"\""},
		{"plain", 5, "\"plain\""},
		{"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
		{"\n\t\r\001", 4, "\"\\n\\t\\u000d\\u0001\""},
		{"a\0b", 3, "\"a\\u0000b\""},
		{"\x7f", 1, "\"\\u007f\""},
		{"\xc2\x9b", 2, "\"\\u009b\""},
		{"\xc3\xa9!", 3, "\"\xc3\xa9!\""},
		{"\xff"
	         "a\xc3",
	         3,
	         "\"\xef\xbf\xbd"
	         "a\xef\xbf\xbd\""},
		{"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"</script>", 9, "\"</script>\""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_buf buf = {0};
		cu_json_string(&buf, rows[i].bytes, rows[i].len);
		assert_string_equal(cu_buf_cstr(&buf), rows[i].want);
		cu_buf_release(&buf);
	}
}

static void test_json_numbers_at_their_limits(void **state)
{
	struct cu_buf buf = {0};
	(void)state;
	cu_put_u64(&buf, UINT64_MAX);
	CU_PUT(&buf, " ");
	cu_put_i64(&buf, INT64_MIN);
	CU_PUT(&buf, " ");
	cu_put_u64(&buf, 0);
	assert_string_equal(cu_buf_cstr(&buf), "18446744073709551615 -9223372036854775808 0");
	cu_buf_release(&buf);
}

static void test_put_time_agrees_with_format_time(void **state)
{
	static const int64_t times[] = {
		0,
		1,
		-1,
		1708090323123456789,
		951782400000000000,
		951868800000000000,
		4107542400000000000,
		INT64_MAX,
		INT64_MIN,
		-62135596800,
		1709164799999999999,
	};
	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		char text[CU_TEXT_CAP];
		struct cu_buf buf = {0};
		cu_put_time(&buf, times[i]);
		assert_string_equal(cu_buf_cstr(&buf), cu_format_time(text, times[i]));
		cu_buf_release(&buf);
	}
}

static void test_parse_time_table(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t ns;
	} rows[] = {
		{"1970-01-01", true, 0},
		{"2024-02-16T13:32:03.123456789Z", true, 1708090323123456789},
		{"2024-02-16 13:32:03", true, 1708090323000000000},
		{"2024-02-16T13:32", true, 1708090320000000000},
		{"2024-02-29", true, 1709164800000000000},
		{"2023-02-29", false, 0},
		{"2024-13-01", false, 0},
		{"2024-02-16T25:00", false, 0},
		{"2024-02-16T13", true, 1708088400000000000},
		{"2024-02-16T13Z", true, 1708088400000000000},
		{"2024-02", true, 1706745600000000000},
		{"2024", true, 1704067200000000000},
		{"2024-02T13", false, 0},
		{"2024-02-16T13:", false, 0},
		{"2024-02-", false, 0},
		{"2024-", false, 0},
		{"202", false, 0},
		{"1708088400", false, 0},
		{"2024-02-16T13:32:03.", false, 0},
		{"2024-02-16T13:32:03+01:00", false, 0},
		{"yesterday", false, 0},
		{"", false, 0},
		{"1969-12-31", false, 0},
		{"2300-01-01", false, 0},
		{"2024-02-16T", false, 0},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t ns = 0;
		assert_int_equal(cu_parse_time(rows[i].text, &ns), rows[i].good);
		if (rows[i].good) {
			assert_int_equal(ns, rows[i].ns);
		}
	}
}

static void test_frames_filter_table(void **state)
{
	struct cu_transaction transaction = {
		.stream = 3,
		.request = {.first_frame = 4, .last_frame = 5},
		.response = {.first_frame = 11, .last_frame = 11},
		.acked_frame = 6,
	};
	static const struct cu_connection v4 = {.client = {.family = 4, .bytes = {10, 0, 0, 42}},
	                                        .server = {.family = 4, .bytes = {10, 0, 0, 5}},
	                                        .client_port = 40010,
	                                        .server_port = 5432};
	static const struct cu_connection v6 = {.client = {.family = 6, .bytes = {0xfe, 0x80, [15] = 1}},
	                                        .server = {.family = 6, .bytes = {0xfe, 0x80, [15] = 2}},
	                                        .client_port = 40010,
	                                        .server_port = 5432};
	static const char ends_v4[] =
		"ip.addr == 10.0.0.42 && tcp.port == 40010 && ip.addr == 10.0.0.5 && tcp.port == 5432 && ";
	static const char ends_v6[] =
		"ipv6.addr == fe80::1 && tcp.port == 40010 && ipv6.addr == fe80::2 && tcp.port == 5432 && ";
	static const struct {
		uint64_t answer_last;
		uint8_t n_kept;
		const struct cu_connection *connection;
		const char *ends, *frames;
	} rows[] = {
		{11, 0, &v4, ends_v4, "frame.number in {4,5,6,11}"},
		{11, 2, &v4, ends_v4, "frame.number in {4,5,6,7,9,11}"},
		{90, 0, &v4, ends_v4, "frame.number in {4,5,6,11..90}"},
		{90, 0, &v6, ends_v6, "frame.number in {4,5,6,11..90}"},
		{90, 0, NULL, "", "frame.number in {4,5,6,11,90}"},
	};
	(void)state;
	transaction.events[0].frame = 9;
	transaction.events[1].frame = 7;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_buf buf = {0};
		transaction.response.last_frame = rows[i].answer_last;
		transaction.n_kept = rows[i].n_kept;
		cu_frames_filter(rows[i].connection, &transaction, CU_CAUSE_NONE, 0, &buf);
		const char *text = cu_buf_cstr(&buf);
		assert_memory_equal(text, rows[i].ends, strlen(rows[i].ends));
		assert_string_equal(text + strlen(rows[i].ends), rows[i].frames);
		cu_buf_release(&buf);
	}
}

static void test_frames_of_joins_what_overlaps(void **state)
{
	struct cu_transaction transaction = {
		.request = {.first_frame = 4, .last_frame = 20},
		.response = {.first_frame = 18, .last_frame = 40},
		.acked_frame = 30,
	};
	struct cu_frame_range range[CU_FRAME_RANGES_CAP];
	(void)state;
	transaction.ledger[CU_SERVER_THINK] = (struct cu_ledger_entry){.ns = 1, .first_frame = 2, .last_frame = 50};
	assert_int_equal(cu_frames_of(&transaction, CU_SERVER_THINK, 0, range), 3);
	assert_int_equal(range[0].first, 2);
	assert_int_equal(range[1].first, 4);
	assert_int_equal(range[1].last, 40);
	assert_int_equal(range[2].first, 50);
	struct cu_transaction empty = {0};
	assert_int_equal(cu_frames_of(&empty, CU_CAUSE_NONE, 0, range), 0);
	/* The answer is in the next file, whose frames are counted anew. */
	transaction.response.first_file = transaction.response.last_file = 1;
	transaction.ledger[CU_SERVER_THINK].last_file = 1;
	uint16_t file[CU_FRAME_FILES_CAP];
	assert_int_equal(cu_frame_files_of(&transaction, CU_SERVER_THINK, file), 2);
	assert_int_equal(file[1], 1);
	assert_int_equal(cu_frames_of(&transaction, CU_SERVER_THINK, 0, range), 3);
	assert_int_equal(range[1].last, 20);
	assert_int_equal(range[2].first, 30);
	assert_int_equal(cu_frames_of(&transaction, CU_SERVER_THINK, 1, range), 2);
	assert_int_equal(range[0].first, 18);
	assert_int_equal(range[1].first, 50);
}

static void test_words_are_there_for_every_value(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		assert_non_null(cu_party_badge(i));
		assert_non_null(cu_cause_words(i));
		assert_non_null(cu_event_words(i));
		assert_non_null(cu_outcome_words(i));
		assert_non_null(cu_vantage_words(i));
		assert_non_null(cu_hint_words(i));
		if (i < CU_N_CAUSES) {
			assert_string_not_equal(cu_cause_words(i), "");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8_decode_table),
		cmocka_unit_test(test_term_escape_table),
		cmocka_unit_test(test_term_count_table),
		cmocka_unit_test(test_term_percent_table),
		cmocka_unit_test(test_term_flow_table),
		cmocka_unit_test(test_term_flow_resets_style_at_line_ends),
		cmocka_unit_test(test_term_cell_cuts_and_pads),
		cmocka_unit_test(test_table_print_fits_the_width),
		cmocka_unit_test(test_top_keeps_the_largest_and_the_earlier_of_equals),
		cmocka_unit_test(test_histogram_index_is_monotonic_and_tight),
		cmocka_unit_test(test_histogram_quantile_is_close),
		cmocka_unit_test(test_json_string_table),
		cmocka_unit_test(test_json_numbers_at_their_limits),
		cmocka_unit_test(test_put_time_agrees_with_format_time),
		cmocka_unit_test(test_parse_time_table),
		cmocka_unit_test(test_frames_filter_table),
		cmocka_unit_test(test_frames_of_joins_what_overlaps),
		cmocka_unit_test(test_words_are_there_for_every_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
