/*
 * What segments of TLS may be, by their hints and by their lengths: all that is
 * known of what is encrypted.
 */
#ifndef CU_BLAME_TLS_H
#define CU_BLAME_TLS_H

#include "lib/tcp/trace.h"

static inline bool cu_tls_is(unsigned kind)
{
	return kind >= CU_HINT_TLS_CLIENT_HELLO && kind <= CU_HINT_TLS_ALERT;
}

/* CONTROL: HTTP/2's frames that ask for nothing. */
enum cu_word { CU_WORD_NONE, CU_WORD_OTHER, CU_WORD_CONTROL, CU_WORD_ALERT };

/*
 * What a segment of TLS may be that is so long: TLS 1.3 hides which records are
 * alerts (RFC 8446 section 5.2), and both hide HTTP/2's frames. An alert is two
 * bytes. Frames that ask for no answer (RFC 9113 section 6) are 9, an
 * acknowledgement of SETTINGS, 13, a WINDOW_UPDATE, or 17, a PING's or a GOAWAY. A
 * record adds what its cipher does.
 */
enum cu_word cu_tls_word(const struct cu_trace *trace, const struct cu_trace_segment *seg);

/*
 * Whether a side says an alert from a segment on, and frames that ask for nothing
 * before it, and then closes, or the capture ends. All of it comes at once. What
 * of the other side crosses it is no answer; where that answers an alert with
 * more than its own, it closes, too, or it was none.
 */
bool cu_tls_ends_with_alert(const struct cu_trace *trace, uint32_t i, int64_t within_ns);

#endif
