#include "lib/record/blocks.h"

#include "lib/base/hash.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int cu_blocks_init(struct cu_blocks *blocks, int fd, bool compress)
{
	*blocks = (struct cu_blocks){.fd = fd};
	pthread_mutex_init(&blocks->lock, NULL);
	pthread_cond_init(&blocks->changed, NULL);
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
	if (blocks->has_thread) {
		pthread_mutex_lock(&blocks->lock);
		blocks->is_stopping = true;
		pthread_cond_signal(&blocks->changed);
		pthread_mutex_unlock(&blocks->lock);
		pthread_join(blocks->thread, NULL);
	}
	pthread_cond_destroy(&blocks->changed);
	pthread_mutex_destroy(&blocks->lock);
	ZSTD_freeCCtx(blocks->ctx);
	cu_buf_release(&blocks->stored);
	cu_buf_release(&blocks->raw);
}

/* ---- Writing, by whoever is at it ---- */

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

/* ---- The thread ---- */

static void *write_each(void *arg)
{
	struct cu_blocks *blocks = arg;
	pthread_mutex_lock(&blocks->lock);
	for (;;) {
		while (!blocks->is_at_work && !blocks->is_stopping) {
			pthread_cond_wait(&blocks->changed, &blocks->lock);
		}
		if (!blocks->is_at_work) {
			break;
		}
		pthread_mutex_unlock(&blocks->lock);
		if (blocks->fault.code == CU_OK) {
			write_framed(blocks, CU_BLOCK_RECORDS, blocks->n_records, blocks->raw.data, blocks->raw.len);
		}
		pthread_mutex_lock(&blocks->lock);
		blocks->is_at_work = false;
		pthread_cond_signal(&blocks->changed);
	}
	pthread_mutex_unlock(&blocks->lock);
	return NULL;
}

/* Signals are the other thread's. */
static void start_thread(struct cu_blocks *blocks)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	blocks->has_thread = pthread_create(&blocks->thread, NULL, write_each, blocks) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	blocks->has_no_thread = !blocks->has_thread;
}

int cu_blocks_wait(struct cu_blocks *blocks)
{
	if (blocks->has_thread) {
		pthread_mutex_lock(&blocks->lock);
		while (blocks->is_at_work) {
			pthread_cond_wait(&blocks->changed, &blocks->lock);
		}
		pthread_mutex_unlock(&blocks->lock);
	}
	return blocks->fault.code;
}

int cu_blocks_put(struct cu_blocks *blocks, struct cu_buf *raw, uint32_t n_records)
{
	int err = cu_blocks_wait(blocks);
	if (err != 0) {
		return err;
	}
	if (blocks->ctx != NULL && blocks->n_put++ > 0 && !blocks->has_thread && !blocks->has_no_thread) {
		start_thread(blocks);
	}
	if (!blocks->has_thread) {
		err = write_framed(blocks, CU_BLOCK_RECORDS, n_records, raw->data, raw->len);
		cu_buf_clear(raw);
		return err;
	}
	pthread_mutex_lock(&blocks->lock);
	struct cu_buf empty = blocks->raw;
	cu_buf_clear(&empty);
	blocks->raw = *raw;
	*raw = empty;
	blocks->n_records = n_records;
	blocks->is_at_work = true;
	pthread_cond_signal(&blocks->changed);
	pthread_mutex_unlock(&blocks->lock);
	return 0;
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
