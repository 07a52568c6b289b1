/*
 * Hints: what the first bytes of a payload say of its protocol.
 *
 * A hint names a transaction, and tells the client from the server where no SYN
 * was captured; it never decides who is to blame. It is all of the payload that
 * leaves flowify.
 */
#ifndef CU_PACKET_HINT_H
#define CU_PACKET_HINT_H

#include <stddef.h>
#include <stdint.h>

enum cu_hint_kind {
	CU_HINT_NONE = 0,
	CU_HINT_HTTP_REQUEST = 1,     /* text: "GET /path" (method and target, RFC 9112 section 3) */
	CU_HINT_HTTP_RESPONSE = 2,    /* text: "200" */
	CU_HINT_TLS_CLIENT_HELLO = 3, /* text: server name (RFC 6066 section 3), or empty */
	CU_HINT_TLS_SERVER_HELLO = 4, /* no text */
	CU_HINT_TLS_HANDSHAKE = 5,    /* another handshake or change-cipher-spec record first */
	CU_HINT_TLS_DATA = 6,         /* an application data record first */
	CU_HINT_TLS_ALERT = 7,
	CU_HINT_SSH_BANNER = 8, /* text: "SSH-2.0-OpenSSH_9.2" (RFC 4253 section 4.2) */
};

/* Longest text kept, in bytes; longer ones are cut. */
enum { CU_HINT_TEXT_CAP = 64 };

struct cu_hint {
	uint8_t kind;                /* enum cu_hint_kind */
	uint8_t text_len;            /* bytes at text */
	char text[CU_HINT_TEXT_CAP]; /* printable ASCII only: others became '?' */
};

/* Looks at the captured len bytes at the start of a segment's payload. */
void cu_hint_parse(const uint8_t *payload, size_t len, struct cu_hint *hint);

#endif
