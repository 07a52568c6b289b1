#include "lib/packet/hint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s) (const uint8_t *)(s), sizeof(s) - 1

/* A ClientHello of TLS 1.3 for "example.com", with a padding extension in front of the name. */
#define RANDOM "0123456789abcdef0123456789abcdef"
#define CLIENT_HELLO                           \
	"\x16\x03\x01\x00\x49"                 \
	"\x01\x00\x00\x45"                     \
	"\x03\x03" RANDOM "\x00"               \
	"\x00\x02\x13\x01"                     \
	"\x01\x00"                             \
	"\x00\x1a"                             \
	"\x00\x15\x00\x02\x00\x00"             \
	"\x00\x00\x00\x10\x00\x0e\x00\x00\x0b" \
	"example.com"

static void parse_copy(const uint8_t *payload, size_t len, struct cu_hint *hint)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	assert_non_null(copy);
	memcpy(copy, payload, len);
	memset(hint, 0xa5, sizeof(*hint));
	cu_hint_parse(copy, len, hint);
	free(copy);
}

static void test_hint_parse_names_the_protocol(void **state)
{
	(void)state;
	static const struct {
		const uint8_t *payload;
		size_t len;
		enum cu_hint_kind kind;
		const char *text;
	} cases[] = {
		{TEXT(""), CU_HINT_NONE, ""},
		{TEXT("GET /index.html HTTP/1.1\r\nHost: a\r\n"), CU_HINT_HTTP_REQUEST, "GET /index.html"},
		{TEXT("POST /a?b=c HTTP/1.0\r\n"), CU_HINT_HTTP_REQUEST, "POST /a?b=c"},
		{TEXT("OPTIONS * HTTP/1.1\r\n"), CU_HINT_HTTP_REQUEST, "OPTIONS *"},
		{TEXT("CONNECT a.b:443 HTTP/1.1\r\n"), CU_HINT_HTTP_REQUEST, "CONNECT a.b:443"},
		{TEXT("PROPFIND /dav/ HTTP/1.1\r\n"), CU_HINT_HTTP_REQUEST, "PROPFIND /dav/"},
		{TEXT("SEARCH /x HTTP/1.1\r\n"), CU_HINT_HTTP_REQUEST, "SEARCH /x"},
		{TEXT("GET /cut"), CU_HINT_HTTP_REQUEST, "GET /cut"},
		{TEXT("GET /a\x1b[31m\xff HTTP/1.1\r\n"), CU_HINT_HTTP_REQUEST, "GET /a?[31m?"},
		{TEXT("GET"), CU_HINT_NONE, ""},
		{TEXT("GETTING /a"), CU_HINT_NONE, ""},
		{TEXT("get / HTTP/1.1\r\n"), CU_HINT_NONE, ""},
		{TEXT("HTTP/1.1 200 OK\r\n"), CU_HINT_HTTP_RESPONSE, "200"},
		{TEXT("HTTP/1.0 404 Not Found\r\n"), CU_HINT_HTTP_RESPONSE, "404"},
		{TEXT("HTTP/1.1 20"), CU_HINT_NONE, ""},
		{TEXT("HTTP/2.0 200 OK\r\n"), CU_HINT_NONE, ""},
		{TEXT(CLIENT_HELLO), CU_HINT_TLS_CLIENT_HELLO, "example.com"},
		{TEXT("\x16\x03\x01\x02\x00\x01"), CU_HINT_TLS_CLIENT_HELLO, ""},
		{TEXT("\x16\x03\x03\x00\x50\x02\x00\x00\x4c\x03\x03"), CU_HINT_TLS_SERVER_HELLO, ""},
		{TEXT("\x16\x03\x03\x00\x50\x0b\x00"), CU_HINT_TLS_HANDSHAKE, ""},
		{TEXT("\x16\x03\x03\x00\x50"), CU_HINT_TLS_HANDSHAKE, ""},
		{TEXT("\x14\x03\x03\x00\x01\x01"), CU_HINT_TLS_HANDSHAKE, ""},
		{TEXT("\x15\x03\x03\x00\x02\x01\x00"), CU_HINT_TLS_ALERT, ""},
		{TEXT("\x17\x03\x03\x01\x00\x99\x99"), CU_HINT_TLS_DATA, ""},
		{TEXT("\x17\x03\x03\x00\x00"), CU_HINT_NONE, ""}, /* no record is empty but of data nobody sends so */
		{TEXT("\x17\x03\x03\xff\xff\x00"), CU_HINT_NONE, ""},
		{TEXT("\x17\x02\x03\x01\x00\x00"), CU_HINT_NONE, ""},
		{TEXT("\x17\x03\x05\x01\x00\x00"), CU_HINT_NONE, ""},
		{TEXT("\x17\x03\x03"), CU_HINT_NONE, ""},
		{TEXT("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"), CU_HINT_SSH_BANNER, "SSH-2.0-OpenSSH_9.2p1 Debian"},
		{TEXT("SSH"), CU_HINT_NONE, ""},
		{TEXT("220 smtp ready\r\n"), CU_HINT_NONE, ""},
		{TEXT("\x00\x00\x00\x08"), CU_HINT_NONE, ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_hint hint;
		parse_copy(cases[i].payload, cases[i].len, &hint);
		if (hint.kind != cases[i].kind || hint.text_len != strlen(cases[i].text) ||
		    memcmp(hint.text, cases[i].text, hint.text_len) != 0) {
			fail_msg("case %zu: kind %d, text \"%.*s\"", i, hint.kind, hint.text_len, hint.text);
		}
	}
}

static void test_hint_parse_cuts_long_text(void **state)
{
	(void)state;
	char payload[400] = "GET /";
	memset(payload + 5, 'x', sizeof(payload) - 5);
	struct cu_hint hint;
	parse_copy((const uint8_t *)payload, sizeof(payload), &hint);
	assert_int_equal(hint.kind, CU_HINT_HTTP_REQUEST);
	assert_int_equal(hint.text_len, CU_HINT_TEXT_CAP);
	memcpy(payload, "SSH-2.0-", 8);
	parse_copy((const uint8_t *)payload, sizeof(payload), &hint);
	assert_int_equal(hint.kind, CU_HINT_SSH_BANNER);
	assert_int_equal(hint.text_len, CU_HINT_TEXT_CAP);
}

/* Every prefix of a ClientHello is one from the sixth byte on, and its name grows with it. */
static void test_hint_parse_client_hello_cut_anywhere(void **state)
{
	(void)state;
	static const char hello[] = CLIENT_HELLO;
	size_t whole = sizeof(hello) - 1;
	size_t name_start = whole - strlen("example.com");
	for (size_t len = 6; len <= whole; len++) {
		struct cu_hint hint;
		parse_copy((const uint8_t *)hello, len, &hint);
		assert_int_equal(hint.kind, CU_HINT_TLS_CLIENT_HELLO);
		assert_int_equal(hint.text_len, len > name_start ? len - name_start : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hint_parse_names_the_protocol),
		cmocka_unit_test(test_hint_parse_cuts_long_text),
		cmocka_unit_test(test_hint_parse_client_hello_cut_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
