/*
 * The records of a block in columns: what stands in the same place of each
 * segment stands together, which compresses to three quarters of what the
 * records in their order do. flowrec(5) has the columns.
 */
#ifndef CU_RECORD_COLUMNS_H
#define CU_RECORD_COLUMNS_H

#include "lib/base/bytes.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CU_COLUMNS = 21,
	/* Before the columns stand their lengths. */
	CU_COLUMNS_LENGTHS_CAP = CU_COLUMNS * CU_VARINT_CAP,
};

/* {0} has no storage yet. */
struct cu_columns {
	struct {
		const uint8_t *data;
		size_t len;
	} column[CU_COLUMNS];
	uint8_t *storage; /* of all columns */
	size_t cap;
};

void cu_columns_release(struct cu_columns *columns);

/*
 * Splits the records in raw, of which only the room behind them is written to.
 * 0, CU_ERR_NOMEM, or CU_ERR_FORMAT when they are not what columns can hold:
 * damaged ones, which only go out as they came.
 */
int cu_columns_split(struct cu_columns *columns, struct cu_buf *raw);

/* What stands before the columns; how many bytes that takes. */
size_t cu_columns_put_lengths(const struct cu_columns *columns, uint8_t p[static CU_COLUMNS_LENGTHS_CAP]);

/* How many bytes lengths and columns take at most, of records that have raw_len. */
size_t cu_columns_cap(size_t raw_len);

/*
 * Joins the columns in stored, lengths before them, to the raw_len bytes of
 * records that were split, in raw. 0, CU_ERR_NOMEM, or CU_ERR_FORMAT when they
 * are others.
 */
int cu_columns_join(struct cu_buf *stored, struct cu_buf *raw, size_t raw_len);

#endif
