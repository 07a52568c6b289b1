/*
 * JSON (RFC 8259), written by hand: no formatting function per field.
 *
 * The caller writes keys as literals that begin with what separates them from
 * the value before: CU_JSON_U64(buf, ",\"stream\":", n).
 */
#ifndef CU_REPORT_JSON_WRITE_H
#define CU_REPORT_JSON_WRITE_H

#include "lib/base/units.h"
#include "lib/report/format.h"
#include "lib/report/report.h"
#include "lib/report/sink.h"

/* A string with its quotes; what is not UTF-8 becomes U+FFFD, what is not printable is escaped. */
void cu_json_string(struct cu_buf *buf, const char *data, size_t len);

/* "2024-02-16T13:32:03.123456789Z", with its quotes. */
void cu_json_time(struct cu_buf *buf, int64_t time_ns);

/* The same without quotes. */
void cu_put_time(struct cu_buf *buf, int64_t time_ns);

void cu_put_u64(struct cu_buf *buf, uint64_t v);

/* An address, without quotes. */
void cu_put_addr(struct cu_buf *buf, const struct cu_addr *addr);

/* {"client":0,...}: counts by enum cu_party; none has a member where it has a count. */
void cu_json_by_party(struct cu_buf *out, const uint64_t count[static CU_N_PARTIES]);

/* The records of a transaction, with its verdict if it has one, and of a finding: a line each. */
void cu_json_transaction(struct cu_buf *out, const struct cu_report_transaction *item);
void cu_json_finding(struct cu_buf *out, const struct cu_report_finding *item);

/* The summary record, with which every JSON report ends. */
void cu_json_summary(struct cu_buf *out, const struct cu_report_counts *counts);

static inline void cu_put_i64(struct cu_buf *buf, int64_t v)
{
	if (v < 0) {
		CU_PUT(buf, "-");
	}
	cu_put_u64(buf, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* A key and its value. */
#define CU_JSON_U64(buf, key, v) (CU_PUT(buf, key), cu_put_u64(buf, v))
#define CU_JSON_I64(buf, key, v) (CU_PUT(buf, key), cu_put_i64(buf, v))
#define CU_JSON_WORD(buf, key, word) (CU_PUT(buf, key "\""), cu_puts(buf, word), CU_PUT(buf, "\""))

static inline void cu_put_bool(struct cu_buf *buf, bool v)
{
	if (v) {
		CU_PUT(buf, "true");
	} else {
		CU_PUT(buf, "false");
	}
}

/* null for 0, where 0 means that there is none. */
static inline void cu_put_u64_or_null(struct cu_buf *buf, uint64_t v)
{
	if (v == 0) {
		CU_PUT(buf, "null");
	} else {
		cu_put_u64(buf, v);
	}
}

/* null for a duration that is not known. */
static inline void cu_put_ns_or_null(struct cu_buf *buf, int64_t ns)
{
	cu_put_u64_or_null(buf, ns > 0 ? (uint64_t)ns : 0);
}

/* null for an empty text. */
static inline void cu_put_text_or_null(struct cu_buf *buf, struct cu_text text)
{
	if (text.len == 0) {
		CU_PUT(buf, "null");
	} else {
		cu_json_string(buf, text.data, text.len);
	}
}

#endif
