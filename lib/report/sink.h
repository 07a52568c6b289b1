/*
 * Where a report goes: a buffer in front of a file descriptor.
 *
 * Formats append to buf and the loop drains it, so that formats do no I/O and
 * have no errors of their own but memory.
 */
#ifndef CU_REPORT_SINK_H
#define CU_REPORT_SINK_H

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#include <string.h>

/* Bytes gathered before a write. */
enum { CU_SINK_CAP = 64 * 1024 };

struct cu_sink {
	struct cu_buf buf;
	int fd; /* not owned */
	struct cu_fault fault;
};

void cu_sink_init(struct cu_sink *sink, int fd);
void cu_sink_release(struct cu_sink *sink);

/* Writes out everything gathered. 0, CU_ERR_IO, CU_ERR_CLOSED or CU_ERR_NOMEM; after an error it again. */
int cu_sink_flush(struct cu_sink *sink);

/* cu_sink_flush when enough is gathered. */
static inline int cu_sink_drain(struct cu_sink *sink)
{
	if (sink->buf.len < CU_SINK_CAP && !sink->buf.failed) {
		return sink->fault.code;
	}
	return cu_sink_flush(sink);
}

/* Appends without a call where there is room. */
static inline void cu_put(struct cu_buf *buf, const char *data, size_t len)
{
	if (buf->cap - buf->len < len) {
		cu_buf_add(buf, data, len);
		return;
	}
	if (len == 0) {
		return; /* data may be NULL */
	}
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

/* Appends a string literal. */
#define CU_PUT(buf, literal) cu_put(buf, "" literal "", sizeof(literal) - 1)

/* Appends a string. */
static inline void cu_puts(struct cu_buf *buf, const char *text)
{
	cu_put(buf, text, strlen(text));
}

#endif
