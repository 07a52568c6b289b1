#include "lib/blame/tls.h"

enum cu_word cu_tls_word(const struct cu_trace *trace, const struct cu_trace_segment *seg)
{
	/* TLS 1.3; TLS 1.2 with ChaCha20-Poly1305 (RFC 7905), and with AES-GCM (RFC 5288) */
	static const uint32_t record[] = {22, 21, 29};
	enum { ALERT = 2, SETTINGS_ACK = 9, WINDOW_UPDATE = 13, PING = 17, GOAWAY = 17 };
	if (cu_trace_hint_kind(trace, seg->hint) == CU_HINT_TLS_ALERT) {
		return CU_WORD_ALERT;
	}
	for (size_t i = 0; i < sizeof(record) / sizeof(record[0]); i++) {
		uint32_t content = seg->len - record[i];
		if (content == ALERT || content == record[i] + GOAWAY + ALERT) {
			return CU_WORD_ALERT;
		}
		if (content == SETTINGS_ACK || content == WINDOW_UPDATE || content == PING) {
			return CU_WORD_CONTROL;
		}
	}
	return seg->len > 0 ? CU_WORD_OTHER : CU_WORD_NONE;
}

bool cu_tls_ends_with_alert(const struct cu_trace *trace, uint32_t i, int64_t within_ns)
{
	enum { LOOK_AHEAD = 32, ALERT_MOST = 31 }; /* bytes of an alert alone */
	const struct cu_trace_segment *first = &trace->segment[i];
	int64_t alert_end = 0; /* 0: none yet */
	bool answered = false, other_closed = false;
	for (uint32_t s = i; s < trace->n; s++) {
		const struct cu_trace_segment *seg = &trace->segment[s];
		bool is_own = seg->dir == first->dir;
		if (seg->icmp || (is_own && seg->seq < first->seq)) {
			continue;
		}
		enum cu_word word = cu_tls_word(trace, seg);
		bool crosses = !is_own && seg->ack < first->seq + first->len;
		if ((word == CU_WORD_OTHER && !crosses) || s - i == LOOK_AHEAD ||
		    seg->time_ns - first->time_ns > within_ns) {
			return false;
		}
		bool closes = (seg->flags & (CU_TCP_FIN | CU_TCP_RST)) != 0;
		if (is_own) {
			alert_end = word == CU_WORD_ALERT ? seg->seq + seg->len : alert_end;
			if (closes) {
				return alert_end != 0;
			}
		} else {
			bool speaks = word != CU_WORD_NONE && !(word == CU_WORD_ALERT && seg->len <= ALERT_MOST);
			answered = answered || (speaks && alert_end != 0 && seg->ack >= alert_end);
			other_closed = other_closed || closes;
		}
	}
	return alert_end != 0 && (!answered || other_closed) && trace->connection.end != CU_END_EVICTED;
}
