/*
 * Baselines: percentiles, that merging is learning from both, what a damaged
 * file says, and the caps.
 */
#include "lib/rules/baseline.h"

#include "lib/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS CU_NS_PER_MS

static struct cu_text text(const char *data)
{
	return (struct cu_text){data, (uint32_t)strlen(data)};
}

static void add(struct cu_baseline *baseline, const char *service, unsigned port, unsigned kind, int64_t think_ns)
{
	struct cu_transaction transaction = {
		.kind = (uint8_t)kind, .outcome = CU_OUTCOME_ANSWERED, .total_ns = think_ns + MS};
	transaction.ledger[CU_SERVER_THINK].ns = think_ns;
	transaction.ledger[CU_NETWORK_RTT].ns = MS;
	assert_int_equal(cu_baseline_add(baseline, text(service), port, &transaction), 0);
}

/* Some of everything: by n, so that two may differ. */
static void add_some(struct cu_baseline *baseline, unsigned from, unsigned to)
{
	static const char *const services[] = {"http", "postgresql", "", "billing"};
	for (unsigned i = from; i < to; i++) {
		add(baseline, services[i % 4], 20000 + i % 3, 1 + i % 5, (int64_t)(i * i) * 12345);
	}
}

static struct cu_baseline *decoded(const struct cu_buf *buf, struct cu_baseline *baseline)
{
	struct cu_fault fault = {0};
	baseline = baseline ? baseline : cu_baseline_new();
	assert_int_equal(cu_baseline_decode(baseline, "b", buf->data, buf->len, &fault), 0);
	return baseline;
}

static void assert_same(const struct cu_buf *a, const struct cu_buf *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

static void test_find_percentiles(void **state)
{
	(void)state;
	struct cu_baseline *baseline = cu_baseline_new();
	for (int i = 1; i <= 100; i++) {
		add(baseline, "http", 80, CU_TXN_REQUEST, i * MS);
	}
	const struct cu_usual *usual = cu_baseline_find(baseline, text("http"), 80, CU_TXN_REQUEST);
	assert_non_null(usual);
	assert_int_equal(usual->n, 100);
	static const int64_t expected_ms[] = {50, 95, 99};
	for (size_t i = 0; i < CU_N_USUAL; i++) { /* within 1/64 */
		int64_t think = usual->ns[CU_SERVER_THINK][i], total = usual->ns[CU_CAUSE_NONE][i];
		assert_in_range(think, expected_ms[i] * MS * 63 / 64, expected_ms[i] * MS * 65 / 64);
		assert_in_range(total, (expected_ms[i] + 1) * MS * 63 / 64, (expected_ms[i] + 1) * MS * 65 / 64);
		assert_int_equal(usual->ns[CU_NETWORK_RTT][i], MS);
		assert_int_equal(usual->ns[CU_CLIENT_PAUSE][i], 0);
	}
	add(baseline, "http", 80, CU_TXN_REQUEST, 900 * MS); /* what was worked out is worked out again */
	assert_int_equal(cu_baseline_find(baseline, text("http"), 80, CU_TXN_REQUEST)->n, 101);
	assert_null(cu_baseline_find(baseline, text("http"), 80, CU_TXN_CONNECT));
	assert_null(cu_baseline_find(baseline, text("https"), 80, CU_TXN_REQUEST));
	cu_baseline_free(baseline);
}

static void test_few_have_no_usual_and_unanswered_ones_are_not_learned(void **state)
{
	(void)state;
	struct cu_baseline *baseline = cu_baseline_new();
	const struct cu_transaction reset = {.kind = CU_TXN_REQUEST, .outcome = CU_OUTCOME_RESET, .total_ns = MS};
	for (int i = 0; i < CU_BASELINE_LEAST - 1; i++) {
		add(baseline, "", 20000, CU_TXN_REQUEST, MS);
		assert_int_equal(cu_baseline_add(baseline, text(""), 20000, &reset), 0);
	}
	assert_null(cu_baseline_find(baseline, text(""), 20000, CU_TXN_REQUEST));
	add(baseline, "", 20000, CU_TXN_REQUEST, MS);
	assert_non_null(cu_baseline_find(baseline, text(""), 20000, CU_TXN_REQUEST));
	assert_null(cu_baseline_find(baseline, text(""), 20001, CU_TXN_REQUEST));
	cu_baseline_free(baseline);
}

static void test_merge_is_learning_from_both(void **state)
{
	(void)state;
	struct cu_baseline *both = cu_baseline_new(), *first = cu_baseline_new(), *second = cu_baseline_new();
	struct cu_buf learned = {0}, a = {0}, b = {0}, merged = {0}, turned = {0};
	add_some(both, 0, 1000);
	add_some(first, 0, 300);
	add_some(second, 300, 1000);
	cu_baseline_encode(both, &learned);
	cu_baseline_encode(first, &a);
	cu_baseline_encode(second, &b);
	struct cu_baseline *ab = decoded(&b, decoded(&a, NULL)), *ba = decoded(&a, decoded(&b, NULL));
	cu_baseline_encode(ab, &merged);
	cu_baseline_encode(ba, &turned);
	assert_same(&learned, &merged);
	assert_same(&learned, &turned);
	assert_int_equal(cu_baseline_counts(ab).n_transactions, 1000);
	struct cu_baseline *const all[] = {both, first, second, ab, ba};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		cu_baseline_free(all[i]);
	}
	struct cu_buf *const bufs[] = {&learned, &a, &b, &merged, &turned};
	for (size_t i = 0; i < sizeof(bufs) / sizeof(*bufs); i++) {
		cu_buf_release(bufs[i]);
	}
}

static void test_empty_baseline(void **state)
{
	(void)state;
	struct cu_baseline *empty = cu_baseline_new();
	struct cu_buf buf = {0}, again = {0};
	cu_baseline_encode(empty, &buf);
	struct cu_baseline *read = decoded(&buf, NULL);
	cu_baseline_encode(read, &again);
	assert_same(&buf, &again);
	cu_baseline_free(read);
	cu_baseline_free(empty);
	cu_buf_release(&buf);
	cu_buf_release(&again);
}

/* Bytes that are not what was written: with the old checksum, and with one that fits. */
static void test_damaged_file_adds_nothing(void **state)
{
	(void)state;
	struct cu_baseline *baseline = cu_baseline_new();
	struct cu_buf buf = {0};
	add_some(baseline, 0, 100);
	cu_baseline_encode(baseline, &buf);
	cu_baseline_free(baseline);
	for (size_t len = 0; len < buf.len; len++) {
		struct cu_fault fault = {0};
		uint8_t *copy = malloc(len + 1); /* of its own length, for a sanitizer */
		memcpy(copy, buf.data, len);
		baseline = cu_baseline_new();
		assert_int_equal(cu_baseline_decode(baseline, "b", copy, len, &fault), CU_ERR_FORMAT);
		assert_int_equal(cu_baseline_counts(baseline).n_entries, 0);
		assert_int_equal(strncmp(fault.text, "b: ", 3), 0);
		cu_baseline_free(baseline);
		free(copy);
	}
	for (size_t at = 0; at < buf.len; at++) {
		struct cu_fault fault = {0};
		buf.data[at] ^= 0x41;
		baseline = cu_baseline_new();
		assert_int_equal(cu_baseline_decode(baseline, "b", buf.data, buf.len, &fault), CU_ERR_FORMAT);
		assert_int_equal(cu_baseline_counts(baseline).n_entries, 0);
		cu_put_le32(buf.data + buf.len - 4, cu_crc32c(buf.data, buf.len - 4));
		cu_baseline_decode(baseline, "b", buf.data, buf.len, &fault); /* may be another that is right */
		cu_baseline_free(baseline);
		if (at < buf.len - 4) {
			buf.data[at] ^= 0x41;
			cu_put_le32(buf.data + buf.len - 4, cu_crc32c(buf.data, buf.len - 4));
		} else {
			break;
		}
	}
	cu_buf_release(&buf);
}

static void test_services_beyond_the_cap_are_counted(void **state)
{
	(void)state;
	struct cu_baseline *baseline = cu_baseline_new();
	for (unsigned port = 0; port < CU_BASELINE_ENTRY_CAP + 100; port++) {
		add(baseline, "", port, CU_TXN_CONNECT, MS);
	}
	struct cu_baseline_counts counts = cu_baseline_counts(baseline);
	assert_int_equal(counts.n_entries, CU_BASELINE_ENTRY_CAP);
	assert_int_equal(counts.n_dropped, 100);
	assert_int_equal(counts.n_transactions, CU_BASELINE_ENTRY_CAP);
	cu_baseline_free(baseline);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_percentiles),
		cmocka_unit_test(test_few_have_no_usual_and_unanswered_ones_are_not_learned),
		cmocka_unit_test(test_merge_is_learning_from_both),
		cmocka_unit_test(test_empty_baseline),
		cmocka_unit_test(test_damaged_file_adds_nothing),
		cmocka_unit_test(test_services_beyond_the_cap_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
