#include "lib/flow/anonymize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of the sample that comes with the authors' Crypto-PAn 1.0. */
static const uint8_t sample_key[CU_ANONYMIZE_KEY_LEN] = {
	21,  34,  23,  141, 51,  164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16,
	216, 152, 143, 131, 121, 121, 101, 39,  98, 87, 76, 45, 42, 132, 34,  2,
};

static int setup(void **state)
{
	struct cu_anonymizer *anonymizer = malloc(sizeof(*anonymizer));
	assert_non_null(anonymizer);
	cu_anonymize_init(anonymizer, sample_key);
	*state = anonymizer;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* FIPS 197 appendix C.1, and appendix B. */
static void test_aes_encrypt_published(void **state)
{
	(void)state;
	static const struct {
		uint8_t key[16], plain[16], cipher[16];
	} cases[] = {
		{{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
	         {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff},
	         {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a}},
		{{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c},
	         {0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d, 0x31, 0x31, 0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34},
	         {0x39, 0x25, 0x84, 0x1d, 0x02, 0xdc, 0x09, 0xfb, 0xdc, 0x11, 0x85, 0x97, 0x19, 0x6a, 0x0b, 0x32}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_aes aes;
		uint8_t out[16];
		cu_aes_init(&aes, cases[i].key);
		cu_aes_encrypt(&aes, cases[i].plain, out);
		assert_memory_equal(out, cases[i].cipher, 16);
	}
}

static struct cu_addr addr_of(const char *text)
{
	struct cu_addr addr;
	assert_true(cu_parse_addr(text, &addr));
	return addr;
}

/* IPv4: sample_trace_sanitized.dat of Crypto-PAn 1.0. IPv6: github.com/Yawning/cryptopan and those made from it. */
static void test_anonymize_addr_published(void **state)
{
	static const char *const cases[][2] = {
		{"128.11.68.132", "135.242.180.132"},
		{"129.118.74.4", "134.136.186.123"},
		{"130.132.252.244", "133.68.164.234"},
		{"141.223.7.43", "141.167.8.160"},
		{"141.233.145.108", "141.129.237.235"},
		{"152.163.225.39", "151.140.114.167"},
		{"192.102.249.13", "252.138.62.131"},
		{"192.215.32.125", "252.43.47.189"},
		{"203.12.160.252", "244.248.163.4"},
		{"216.32.132.250", "235.192.139.38"},
		{"24.0.250.221", "100.15.198.226"},
		{"4.3.88.225", "124.60.155.63"},
		{"64.34.154.117", "0.221.154.117"},
		{"10.185.25.118", "117.161.29.118"},
		{"::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"},
		{"::2", "78ff:f001:9fc0:20df:8380:b1f1:704:ef"},
		{"::ffff", "78ff:f001:9fc0:20df:8380:b1f1:704:f838"},
		{"2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"},
		{"2001:db8::2", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c"},
	};
	for (int again = 0; again < 2; again++) { /* the second time from what was remembered */
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct cu_addr addr = addr_of(cases[i][0]);
			char text[CU_TEXT_CAP];
			cu_anonymize_addr(*state, &addr);
			assert_string_equal(cu_format_addr(text, &addr), cases[i][1]);
		}
	}
}

static unsigned common_bits(const struct cu_addr *a, const struct cu_addr *b)
{
	unsigned n = 0;
	while (n < 128 && ((a->bytes[n / 8] ^ b->bytes[n / 8]) & 0x80 >> n % 8) == 0) {
		n++;
	}
	return n;
}

/* More addresses than are remembered. */
static void test_anonymize_addr_keeps_prefixes(void **state)
{
	uint32_t random = 1;
	for (int i = 0; i < 3 * CU_ANONYMIZE_CACHE; i++) {
		struct cu_addr a = {.family = i % 8 != 0 ? 4 : 6}, b;
		unsigned n_bits = a.family == 4 ? 32 : 128;
		for (unsigned j = 0; j < n_bits / 8; j++) {
			random = random * 1664525 + 1013904223;
			a.bytes[j] = (uint8_t)(random >> 24);
		}
		b = a;
		unsigned flipped = (unsigned)i % n_bits;
		b.bytes[flipped / 8] ^= (uint8_t)(0x80 >> flipped % 8);
		cu_anonymize_addr(*state, &a);
		cu_anonymize_addr(*state, &b);
		assert_int_equal(common_bits(&a, &b), flipped);
	}
	struct cu_addr none = {0};
	cu_anonymize_addr(*state, &none);
	assert_true(cu_addr_equal(&none, &(struct cu_addr){0}));
}

/* Every VLAN id has another of its own. */
static void test_anonymize_id_permutes(void **state)
{
	static bool taken[1 << 12];
	unsigned n_same = 0;
	for (uint32_t id = 0; id < 1 << 12; id++) {
		uint32_t to = cu_anonymize_id(*state, 1U << 24 | id);
		assert_int_equal(to >> 24, 1);
		assert_in_range(to & 0xffffff, 0, (1 << 12) - 1);
		assert_false(taken[to & 0xfff]);
		taken[to & 0xfff] = true;
		n_same += (to & 0xfff) == id;
	}
	assert_in_range(n_same, 0, 10); /* of a random permutation one, as a rule */
	uint32_t vni = 7U << 24 | 0xabcdef;
	assert_int_equal(cu_anonymize_id(*state, vni) >> 24, 7);
	assert_int_not_equal(cu_anonymize_id(*state, vni), vni);
	assert_int_not_equal(cu_anonymize_id(*state, vni) & 0xffffff,
	                     cu_anonymize_id(*state, 8U << 24 | 0xabcdef) & 0xffffff);
}

static void test_anonymize_hint_keeps_kind(void **state)
{
	(void)state;
	static const struct {
		uint8_t kind;
		const char *text, *expected;
	} cases[] = {
		{CU_HINT_HTTP_REQUEST, "GET /secret", "GET"}, {CU_HINT_HTTP_REQUEST, "secret", ""},
		{CU_HINT_HTTP_RESPONSE, "404", "404"},        {CU_HINT_TLS_CLIENT_HELLO, "secret.example", ""},
		{CU_HINT_SSH_BANNER, "SSH-2.0-secret", ""},   {200, "secret", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_hint hint = {.kind = cases[i].kind, .text_len = (uint8_t)strlen(cases[i].text)};
		memcpy(hint.text, cases[i].text, hint.text_len);
		cu_anonymize_hint(&hint);
		assert_int_equal(hint.kind, cases[i].kind);
		assert_int_equal(hint.text_len, strlen(cases[i].expected));
		assert_memory_equal(hint.text, cases[i].expected, hint.text_len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aes_encrypt_published),
		cmocka_unit_test_setup_teardown(test_anonymize_addr_published, setup, teardown),
		cmocka_unit_test_setup_teardown(test_anonymize_addr_keeps_prefixes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_anonymize_id_permutes, setup, teardown),
		cmocka_unit_test(test_anonymize_hint_keeps_kind),
	};
	return cmocka_run_group_tests_name("anonymize", tests, NULL, NULL);
}
