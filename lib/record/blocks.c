#include "lib/record/blocks.h"

#include "lib/base/hash.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { WORTH_A_BLOCK = 512 }; /* bytes of a column, for zstd's statistics take some 100 */

static int write_all(struct cu_blocks *blocks, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(blocks->fd, data, len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == EPIPE) {
			return cu_fault_set(&blocks->fault, CU_ERR_CLOSED, "%s", cu_error_text(CU_ERR_CLOSED));
		}
		if (n <= 0) {
			return cu_fault_set_errno(&blocks->fault, n < 0 ? errno : ENOSPC, "write at byte %llu",
			                          (unsigned long long)blocks->n_bytes);
		}
		data += n;
		len -= (size_t)n;
		blocks->n_bytes += (uint64_t)n;
	}
	return 0;
}

struct block {
	enum cu_block_type type;
	uint8_t flags;
	uint32_t n_records;
	size_t raw_len, stored_len;
	const uint8_t *stored;
};

/* Header and payload with one write each. */
static int write_framed(struct cu_blocks *blocks, const struct block *block)
{
	uint8_t header[CU_BLOCK_HEADER_LEN] = {(uint8_t)block->type, block->flags};
	cu_put_le32(header + 4, block->n_records);
	cu_put_le32(header + 8, (uint32_t)block->raw_len);
	cu_put_le32(header + 12, (uint32_t)block->stored_len);
	cu_put_le32(header + 16, cu_crc32c(block->stored, block->stored_len));
	int err = write_all(blocks, header, sizeof(header));
	return err != 0 ? err : write_all(blocks, block->stored, block->stored_len);
}

/* Adds to the frame begun, or ends it; false when there is no room. */
static bool compress(ZSTD_CCtx *ctx, ZSTD_outBuffer *out, const void *data, size_t len, ZSTD_EndDirective then)
{
	ZSTD_inBuffer in = {.src = data, .size = len};
	size_t left = ZSTD_compressStream2(ctx, out, &in, then);
	return !ZSTD_isError(left) && in.pos == len && (left == 0 || then == ZSTD_e_continue);
}

/* What is flushed ends a block of zstd's, with the statistics of its own column. */
static bool compress_columns(ZSTD_CCtx *ctx, ZSTD_outBuffer *out, const struct cu_columns *columns)
{
	uint8_t lengths[CU_COLUMNS_LENGTHS_CAP];
	size_t n = cu_columns_put_lengths(columns, lengths), sum = n;
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		sum += columns->column[i].len;
	}
	ZSTD_CCtx_setPledgedSrcSize(ctx, sum);
	bool fits = compress(ctx, out, lengths, n, ZSTD_e_continue);
	for (unsigned i = 0; i < CU_COLUMNS && fits; i++) {
		size_t len = columns->column[i].len;
		fits = compress(ctx, out, columns->column[i].data, len,
		                len >= WORTH_A_BLOCK ? ZSTD_e_flush : ZSTD_e_continue);
	}
	return fits && compress(ctx, out, NULL, 0, ZSTD_e_end);
}

/* Compresses the records of a block: the flags of what is packed then, 0 when it is not smaller, or CU_ERR_NOMEM. */
static int pack(struct cu_blocks *blocks, struct cu_buf *raw)
{
	struct cu_buf *packed = &blocks->packed;
	cu_buf_clear(packed);
	int err = cu_columns_split(&blocks->columns, raw);
	if (err == CU_ERR_NOMEM || !cu_buf_reserve(packed, raw->len)) {
		return CU_ERR_NOMEM;
	}
	ZSTD_outBuffer out = {.dst = packed->data, .size = raw->len};
	ZSTD_CCtx_reset(blocks->ctx, ZSTD_reset_session_only);
	bool is_smaller = err == 0 ? compress_columns(blocks->ctx, &out, &blocks->columns)
	                           : compress(blocks->ctx, &out, raw->data, raw->len, ZSTD_e_end);
	packed->len = out.pos;
	return !is_smaller ? 0 : err == 0 ? CU_BLOCK_ZSTD | CU_BLOCK_COLUMNS : CU_BLOCK_ZSTD;
}

static int write_records(struct cu_blocks *blocks, struct cu_blocks_slot *slot)
{
	int flags = blocks->ctx != NULL ? pack(blocks, &slot->raw) : 0;
	if (flags < 0) {
		return cu_fault_set(&blocks->fault, CU_ERR_NOMEM, "%s", cu_error_text(CU_ERR_NOMEM));
	}
	const struct cu_buf *stored = flags != 0 ? &blocks->packed : &slot->raw;
	const struct block block = {.type = CU_BLOCK_RECORDS,
	                            .flags = (uint8_t)flags,
	                            .n_records = slot->n_records,
	                            .raw_len = slot->raw.len,
	                            .stored = stored->data,
	                            .stored_len = stored->len};
	return write_framed(blocks, &block);
}

static void write_slot(void *arg, unsigned at)
{
	struct cu_blocks *blocks = arg;
	struct cu_blocks_slot *slot = &blocks->slot[at];
	if (blocks->fault.code == CU_OK) {
		write_records(blocks, slot);
		atomic_store_explicit(&blocks->err, blocks->fault.code, memory_order_relaxed);
	}
	cu_buf_clear(&slot->raw);
}

int cu_blocks_init(struct cu_blocks *blocks, int fd, bool compress)
{
	const struct cu_crew_duty duty = {.put = write_slot, .arg = blocks};
	*blocks = (struct cu_blocks){.fd = fd};
	cu_crew_init(&blocks->crew, &duty, &(struct cu_crew_size){1, 1, CU_BLOCKS_SLOTS});
	if (!compress) {
		return 0;
	}
	blocks->ctx = ZSTD_createCCtx();
	if (blocks->ctx == NULL) {
		return CU_ERR_NOMEM;
	}
	ZSTD_CCtx_setParameter(blocks->ctx, ZSTD_c_compressionLevel, 1);
	return 0;
}

void cu_blocks_release(struct cu_blocks *blocks)
{
	cu_crew_release(&blocks->crew);
	ZSTD_freeCCtx(blocks->ctx);
	cu_columns_release(&blocks->columns);
	cu_buf_release(&blocks->packed);
	for (unsigned i = 0; i < CU_BLOCKS_SLOTS; i++) {
		cu_buf_release(&blocks->slot[i].raw);
	}
}

int cu_blocks_wait(struct cu_blocks *blocks)
{
	cu_crew_drain(&blocks->crew);
	return blocks->fault.code;
}

int cu_blocks_put(struct cu_blocks *blocks, struct cu_buf *raw, uint32_t n_records)
{
	struct cu_blocks_slot *slot = &blocks->slot[cu_crew_next(&blocks->crew)];
	struct cu_buf empty = slot->raw;
	slot->raw = *raw;
	slot->n_records = n_records;
	*raw = empty;
	/* The first goes out at once, and so do those that take no time. */
	bool for_thread = blocks->ctx != NULL && blocks->n_put++ > 0;
	cu_crew_fill(&blocks->crew, for_thread);
	return for_thread ? atomic_load_explicit(&blocks->err, memory_order_relaxed) : cu_blocks_wait(blocks);
}

int cu_blocks_write(struct cu_blocks *blocks, const uint8_t *data, size_t len)
{
	int err = cu_blocks_wait(blocks);
	return err != 0 ? err : write_all(blocks, data, len);
}

int cu_blocks_write_block(struct cu_blocks *blocks, enum cu_block_type type, const uint8_t *data, size_t len)
{
	const struct block block = {.type = type, .raw_len = len, .stored = data, .stored_len = len};
	int err = cu_blocks_wait(blocks);
	return err != 0 ? err : write_framed(blocks, &block);
}
