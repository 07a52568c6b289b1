#include "lib/record/blocks.h"

#include "lib/base/hash.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

/* Header and payload with one write each. */
static int write_framed(struct cu_blocks *blocks, enum cu_block_type type, uint32_t n_records, const uint8_t *raw,
                        size_t len)
{
	const uint8_t *stored = raw;
	size_t stored_len = len;
	uint8_t flags = 0;

	if (blocks->ctx != NULL && type == CU_BLOCK_RECORDS) {
		size_t bound = ZSTD_compressBound(len);
		cu_buf_clear(&blocks->stored);
		if (!cu_buf_reserve(&blocks->stored, bound)) {
			return cu_fault_set(&blocks->fault, CU_ERR_NOMEM, "%s", cu_error_text(CU_ERR_NOMEM));
		}
		size_t n = ZSTD_compress2(blocks->ctx, blocks->stored.data, bound, raw, len);
		if (!ZSTD_isError(n) && n < len) {
			stored = blocks->stored.data;
			stored_len = n;
			flags = CU_BLOCK_ZSTD;
		}
	}
	uint8_t header[CU_BLOCK_HEADER_LEN] = {(uint8_t)type, flags};
	cu_put_le32(header + 4, n_records);
	cu_put_le32(header + 8, (uint32_t)len);
	cu_put_le32(header + 12, (uint32_t)stored_len);
	cu_put_le32(header + 16, cu_crc32c(stored, stored_len));
	int err = write_all(blocks, header, sizeof(header));
	return err != 0 ? err : write_all(blocks, stored, stored_len);
}

static void write_slot(void *arg, unsigned at)
{
	struct cu_blocks *blocks = arg;
	struct cu_blocks_slot *slot = &blocks->slot[at];
	if (blocks->fault.code == CU_OK) {
		write_framed(blocks, CU_BLOCK_RECORDS, slot->n_records, slot->raw.data, slot->raw.len);
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
	cu_buf_release(&blocks->stored);
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
	int err = cu_blocks_wait(blocks);
	return err != 0 ? err : write_framed(blocks, type, 0, data, len);
}
