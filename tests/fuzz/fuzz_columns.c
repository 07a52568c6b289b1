/*
 * The records of a block in columns. The first byte says what the others are:
 * records, which come back from columns as they were if they can be split; or,
 * behind four bytes of their length, columns, which join to it or are refused.
 */
#include "lib/record/columns.h"
#include "lib/record/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { RECORDS = 0, LENGTH_BYTES = 4 };

static void split_and_join(const uint8_t *data, size_t len)
{
	struct cu_columns columns = {0};
	struct cu_buf raw = {0}, stored = {0}, joined = {0};
	cu_buf_add(&raw, data, len);
	if (cu_columns_split(&columns, &raw) == 0) {
		uint8_t lengths[CU_COLUMNS_LENGTHS_CAP];
		cu_buf_add(&stored, lengths, cu_columns_put_lengths(&columns, lengths));
		for (unsigned i = 0; i < CU_COLUMNS; i++) {
			cu_buf_add(&stored, columns.column[i].data, columns.column[i].len);
		}
		assert(stored.len <= cu_columns_cap(len));
		assert(cu_columns_join(&stored, &joined, len) == 0);
		assert(joined.len == len && memcmp(joined.data, data, len) == 0);
	}
	cu_columns_release(&columns);
	cu_buf_release(&raw);
	cu_buf_release(&stored);
	cu_buf_release(&joined);
}

static void join(const uint8_t *data, size_t len)
{
	struct cu_buf stored = {0}, joined = {0};
	const size_t raw_len = cu_get_le32(data) % (CU_BLOCK_CAP + 1);
	cu_buf_add(&stored, data + LENGTH_BYTES, len - LENGTH_BYTES);
	if (cu_columns_join(&stored, &joined, raw_len) == 0) {
		assert(joined.len == raw_len);
		split_and_join(joined.data, joined.len);
	}
	cu_buf_release(&stored);
	cu_buf_release(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len > 1 + LENGTH_BYTES && len <= CU_BLOCK_CAP) {
		(data[0] == RECORDS ? split_and_join : join)(data + 1, len - 1);
	}
	return 0;
}
