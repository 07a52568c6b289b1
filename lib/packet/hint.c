#include "lib/packet/hint.h"

#include "lib/base/bytes.h"

#include <stdbool.h>
#include <string.h>

/* RFC 8446 section 5.1 and 4: record types, handshake types. */
enum { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_APPLICATION_DATA = 23 };
enum { TLS_RECORD_HEADER = 5, TLS_HANDSHAKE_HEADER = 4, TLS_CLIENT_HELLO = 1, TLS_SERVER_HELLO = 2 };
enum { TLS_RECORD_MAX = 16384 + 2048 }; /* RFC 5246 section 6.2.3, the larger of the versions' */
enum { TLS_EXTENSION_SERVER_NAME = 0 }; /* RFC 6066 section 3 */

static void set_text(struct cu_hint *hint, const uint8_t *text, size_t len)
{
	if (len > CU_HINT_TEXT_CAP) {
		len = CU_HINT_TEXT_CAP;
	}
	for (size_t i = 0; i < len; i++) {
		bool is_printable = text[i] >= 0x20 && text[i] < 0x7f;
		hint->text[i] = is_printable ? (char)text[i] : '?';
	}
	hint->text_len = (uint8_t)len;
}

/* The server name of a ClientHello, as far as it was captured; borrowed. */
static const uint8_t *server_name(const uint8_t *hello, size_t hello_len, size_t *name_len)
{
	struct cu_cursor cur = cu_cursor_make(hello, hello_len);
	cu_cursor_bytes(&cur, 2 + 32); /* version, random */
	cu_cursor_bytes(&cur, cu_cursor_u8(&cur));
	const uint8_t *len = cu_cursor_bytes(&cur, 2);
	cu_cursor_bytes(&cur, len ? cu_get_be16(len) : 0U); /* cipher suites */
	cu_cursor_bytes(&cur, cu_cursor_u8(&cur));          /* compression methods */
	cu_cursor_bytes(&cur, 2);
	while (!cur.failed) {
		const uint8_t *head = cu_cursor_bytes(&cur, 4);
		if (!head) {
			break;
		}
		if (cu_get_be16(head) != TLS_EXTENSION_SERVER_NAME) {
			cu_cursor_bytes(&cur, cu_get_be16(head + 2));
			continue;
		}
		const uint8_t *entry = cu_cursor_bytes(&cur, 5); /* list length, type, name length */
		if (!entry || entry[2] != 0) {
			break;
		}
		*name_len = cu_get_be16(entry + 3);
		if (*name_len > cu_cursor_left(&cur)) {
			*name_len = cu_cursor_left(&cur);
		}
		return cur.pos;
	}
	return NULL;
}

static bool parse_tls(const uint8_t *p, size_t len, struct cu_hint *hint)
{
	if (len < TLS_RECORD_HEADER || p[0] < TLS_CHANGE_CIPHER_SPEC || p[0] > TLS_APPLICATION_DATA || p[1] != 3 ||
	    p[2] > 4) {
		return false;
	}
	size_t record_len = cu_get_be16(p + 3);
	if (record_len == 0 || record_len > TLS_RECORD_MAX) {
		return false;
	}
	switch (p[0]) {
	case TLS_APPLICATION_DATA:
		hint->kind = CU_HINT_TLS_DATA;
		return true;
	case TLS_ALERT:
		hint->kind = CU_HINT_TLS_ALERT;
		return true;
	case TLS_CHANGE_CIPHER_SPEC:
		hint->kind = CU_HINT_TLS_HANDSHAKE;
		return true;
	default:
		break;
	}
	hint->kind = CU_HINT_TLS_HANDSHAKE;
	const uint8_t *handshake = p + TLS_RECORD_HEADER;
	size_t left = len - TLS_RECORD_HEADER;
	if (left > record_len) {
		left = record_len;
	}
	if (left < 1) {
		return true;
	}
	if (handshake[0] == TLS_SERVER_HELLO) {
		hint->kind = CU_HINT_TLS_SERVER_HELLO;
	} else if (handshake[0] == TLS_CLIENT_HELLO) {
		hint->kind = CU_HINT_TLS_CLIENT_HELLO;
		if (left > TLS_HANDSHAKE_HEADER) {
			size_t name_len = 0;
			const uint8_t *name =
				server_name(handshake + TLS_HANDSHAKE_HEADER, left - TLS_HANDSHAKE_HEADER, &name_len);
			if (name) {
				set_text(hint, name, name_len);
			}
		}
	}
	return true;
}

/* The length of a method of RFC 9110 section 9, RFC 5789 or WebDAV (RFC 4918) at p with its space, or 0. */
static size_t method_len(const uint8_t *p, size_t len)
{
	static const char *const methods[] = {
		"GET ",      "POST ", "HEAD ",      "PUT ",   "DELETE ", "OPTIONS ", "PATCH ",  "CONNECT ", "TRACE ",
		"PROPFIND ", "MOVE ", "PROPPATCH ", "MKCOL ", "COPY ",   "LOCK ",    "UNLOCK ", "REPORT ",  "SEARCH ",
	};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		size_t n = strlen(methods[i]);
		if (len >= n && memcmp(p, methods[i], n) == 0) {
			return n;
		}
	}
	return 0;
}

static bool is_end_of_word(uint8_t c)
{
	return c == ' ' || c == '\r' || c == '\n';
}

static bool parse_http(const uint8_t *p, size_t len, struct cu_hint *hint)
{
	if (len >= 12 && memcmp(p, "HTTP/1.", 7) == 0 && p[8] == ' ') {
		hint->kind = CU_HINT_HTTP_RESPONSE;
		set_text(hint, p + 9, 3);
		return true;
	}
	size_t n = method_len(p, len);
	if (n == 0) {
		return false;
	}
	while (n < len && n < CU_HINT_TEXT_CAP && !is_end_of_word(p[n])) {
		n++;
	}
	hint->kind = CU_HINT_HTTP_REQUEST;
	set_text(hint, p, n);
	return true;
}

static bool parse_ssh(const uint8_t *p, size_t len, struct cu_hint *hint)
{
	if (len < 4 || memcmp(p, "SSH-", 4) != 0) {
		return false;
	}
	size_t n = 4;
	while (n < len && n < CU_HINT_TEXT_CAP && p[n] != '\r' && p[n] != '\n') {
		n++;
	}
	hint->kind = CU_HINT_SSH_BANNER;
	set_text(hint, p, n);
	return true;
}

void cu_hint_parse(const uint8_t *payload, size_t len, struct cu_hint *hint)
{
	hint->kind = CU_HINT_NONE;
	hint->text_len = 0;
	if (len == 0) {
		return;
	}
	switch (payload[0]) {
	case TLS_CHANGE_CIPHER_SPEC:
	case TLS_ALERT:
	case TLS_HANDSHAKE:
	case TLS_APPLICATION_DATA:
		parse_tls(payload, len, hint);
		return;
	case 'S':
		if (parse_ssh(payload, len, hint)) {
			return;
		}
		break;
	default:
		break;
	}
	parse_http(payload, len, hint);
}
