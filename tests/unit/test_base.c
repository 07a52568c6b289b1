/*
 * Errors, quantities, checksums: what is not in the tests of those who use it.
 */
#include "lib/base/error.h"
#include "lib/base/hash.h"
#include "lib/base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_error_text_each_its_own(void **state)
{
	static const enum cu_error codes[] = {
		CU_OK,        CU_ERR_IO,    CU_ERR_NOMEM,  CU_ERR_FORMAT, CU_ERR_TRUNCATED, CU_ERR_UNSUPPORTED,
		CU_ERR_RANGE, CU_ERR_RULES, CU_ERR_CLOSED, -1000, /* none of them */
	};
	(void)state;
	for (size_t i = 0; i < COUNT(codes); i++) {
		assert_true(strlen(cu_error_text(codes[i])) > 3);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(cu_error_text(codes[i]), cu_error_text(codes[j]));
		}
	}
}

static void test_fault_keeps_the_first(void **state)
{
	struct cu_fault fault = {0};
	(void)state;
	assert_int_equal(cu_fault_set_errno(&fault, 2, "opening %s", "x"), CU_ERR_IO);
	assert_int_equal(cu_fault_set(&fault, CU_ERR_FORMAT, "later"), CU_ERR_IO);
	assert_int_equal(cu_fault_set_errno(&fault, 5, "later"), CU_ERR_IO);
	assert_string_equal(fault.text, "opening x: No such file or directory");
	assert_int_equal(fault.sys_errno, 2);
}

static void test_parse_duration_table(void **state)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: no duration */
	} rows[] = {
		{"1ns", 1},
		{"1.5us", 1500},
		{"0.000000001s", 1},
		{"2m", 120000000000},
		{"1.25h", 4500000000000},
		{"106751d", INT64_C(106751) * 86400 * 1000000000},
		{"0", 0},
		{"0.0", 0},
		{"106752d", -1}, /* over 2^63 ns */
		{"18446744073709551616ns", -1},
		{"1", -1},
		{"1.s", -1},
		{".5s", -1},
		{"-1s", -1},
		{"1 s", -1},
		{"s", -1},
		{"", -1},
		{"1sec", -1},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t ns = -1;
		assert_int_equal(cu_parse_duration(rows[i].text, &ns), rows[i].ns >= 0);
		assert_int_equal(ns, rows[i].ns);
	}
}

static void test_parse_size_table(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t bytes;
	} rows[] = {
		{"0", true, 0},
		{"7B", true, 7},
		{"1K", true, 1024},
		{"1.5M", true, 1572864},
		{"2T", true, UINT64_C(2) << 40},
		{"18446744073709551615", true, UINT64_MAX},
		{"18446744073709551616", false, 0},
		{"99999999999T", false, 0},
		{"1KB", false, 0},
		{"1k", false, 0},
		{"1.", false, 0},
		{"", false, 0},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t bytes = 0;
		assert_int_equal(cu_parse_size(rows[i].text, &bytes), rows[i].good);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

static void test_parse_u64_table(void **state)
{
	uint64_t v = 0;
	(void)state;
	assert_true(cu_parse_u64("65535", 65535, &v));
	assert_int_equal(v, 65535);
	assert_false(cu_parse_u64("65536", 65535, &v));
	assert_false(cu_parse_u64("1.0", 65535, &v));
	assert_false(cu_parse_u64("1x", 65535, &v));
	assert_false(cu_parse_u64("", 65535, &v));
}

/* RFC 3720 section B.4. */
static void test_crc32c_vectors(void **state)
{
	uint8_t zeros[32] = {0}, ones[32], rising[32];
	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (uint8_t i = 0; i < sizeof(rising); i++) {
		rising[i] = i;
	}
	assert_int_equal(cu_crc32c(zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(cu_crc32c(ones, sizeof(ones)), 0x62a8ab43);
	assert_int_equal(cu_crc32c(rising, sizeof(rising)), 0x46dd794e);
	assert_int_equal(cu_crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(cu_crc32c(NULL, 0), 0);
}

/* Bit by bit. */
static uint32_t slow_crc32c(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
		}
	}
	return ~crc;
}

/* Long data goes another way than short data does, and begins anywhere. */
static void test_crc32c_of_any_length(void **state)
{
	(void)state;
	static const size_t lens[] = {1, 7, 9, 4095, 12287, 12288, 12289, 24575, 24576, 40000};
	static uint8_t data[40007];
	uint64_t random = 88172645463325252;
	for (size_t i = 0; i < sizeof(data); i++) {
		random = random * 6364136223846793005 + 1442695040888963407;
		data[i] = (uint8_t)(random >> 56);
	}
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (size_t from = 0; from < 8; from += 7) {
			assert_int_equal(cu_crc32c(data + from, lens[i]), slow_crc32c(data + from, lens[i]));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_text_each_its_own), cmocka_unit_test(test_fault_keeps_the_first),
		cmocka_unit_test(test_parse_duration_table),    cmocka_unit_test(test_parse_size_table),
		cmocka_unit_test(test_parse_u64_table),         cmocka_unit_test(test_crc32c_vectors),
		cmocka_unit_test(test_crc32c_of_any_length),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
