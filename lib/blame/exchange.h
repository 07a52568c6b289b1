/*
 * Exchanges: where a connection's bytes divide into requests and responses.
 *
 * No application parser is needed: a segment from the server whose ACK number
 * does not cover a request cannot be an answer to it. Hints only name what
 * was found, and tell the steps of a TLS handshake apart. The last words of TLS
 * ask nothing, and answer nothing behind an answer: an idle connection is
 * closed with them after a minute. Nor do HTTP/2's frames that need no answer
 * begin a request that follows them after a while.
 */
#ifndef CU_BLAME_EXCHANGE_H
#define CU_BLAME_EXCHANGE_H

#include "lib/tcp/trace.h"

/* One request and its response, as ranges of relative sequence numbers. */
struct cu_exchange {
	uint8_t kind;    /* enum cu_txn_kind */
	uint8_t outcome; /* enum cu_outcome */
	int64_t request_start, request_end;
	int64_t response_start, response_end; /* equal: no answer */
	uint32_t first_seg, last_seg;         /* of its segments, with everything between */
	uint32_t end_seg;                     /* what ended it without an answer: FIN, RST, ICMP, or the last segment */
	uint32_t request_hint, response_hint; /* as in a segment: index plus 1 */
	bool asks_nothing;                    /* the request is HTTP/2's frames that need no answer, by their length */
	bool interim;                         /* the server spoke before it had the whole request */
	int64_t interim_start, interim_end;
};

struct cu_exchanges {
	struct cu_exchange *item;
	size_t n, cap;
	uint32_t *client_end; /* segments: each FIN and RST of the client */
	size_t n_client_ends, client_ends_cap;
	int64_t unasked_ns; /* the shortest silence, of a second or more, after which the server spoke unasked; INT64_MAX none */
};

void cu_exchanges_release(struct cu_exchanges *exchanges);

/* Divides a marked trace. The ranges follow in order of request. 0 or CU_ERR_NOMEM. */
int cu_exchanges_find(struct cu_exchanges *exchanges, const struct cu_trace *trace);

/* The first segment from seg on by which the client closed or reset; UINT32_MAX when there is none. */
uint32_t cu_exchanges_client_end(const struct cu_exchanges *exchanges, uint32_t seg);

#endif
