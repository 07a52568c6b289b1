/*
 * Records in memory, on their way to a writer: encoded, in order.
 */
#ifndef CU_RECORD_RECORDS_H
#define CU_RECORD_RECORDS_H

#include "lib/base/bytes.h"
#include "lib/record/record.h"
#include "lib/record/stream.h"

/* {0} is empty. */
struct cu_records {
	struct cu_buf bytes; /* each behind its kind and its length */
};

void cu_records_release(struct cu_records *records);

/* Appends a copy of a record's payload. 0 or CU_ERR_NOMEM; then what was there before stays. */
int cu_records_add(struct cu_records *records, enum cu_record_kind kind, const uint8_t *data, size_t len);

static inline size_t cu_records_end(const struct cu_records *records)
{
	return records->bytes.len;
}

/* The record that begins at *at, which becomes the end of it; false at end, which is that of a record. */
bool cu_records_get(const struct cu_records *records, size_t *at, size_t end, struct cu_record *record);

/* Writes those from *at to end, which becomes *at. 0 or the writer's error. */
int cu_records_write(const struct cu_records *records, size_t *at, size_t end, struct cu_writer *writer);

/* Forgets them, and storage beyond cap bytes. */
void cu_records_clear(struct cu_records *records, size_t cap);

#endif
