/*
 * Blocks on their way out: compressed, framed and written, on a thread of its
 * own when they are compressed and there is more than one.
 */
#ifndef CU_RECORD_BLOCKS_H
#define CU_RECORD_BLOCKS_H

#include "lib/base/bytes.h"
#include "lib/base/crew.h"
#include "lib/base/error.h"
#include "lib/record/columns.h"
#include "lib/record/format.h"

#include <stdatomic.h>
#include <stdint.h>
#include <zstd.h>

enum { CU_BLOCKS_SLOTS = 2 };

struct cu_blocks_slot {
	struct cu_buf raw;
	uint32_t n_records;
};

struct cu_blocks {
	ZSTD_CCtx *ctx; /* NULL: blocks go out as they are */
	uint64_t n_put;
	struct cu_crew crew;
	struct cu_blocks_slot slot[CU_BLOCKS_SLOTS];
	atomic_int err; /* that of fault, for who does not wait */
	/* The crew's while it is at work. */
	int fd; /* not owned */
	struct cu_columns columns;
	struct cu_buf packed;
	struct cu_fault fault;
	uint64_t n_bytes; /* written */
};

/* 0 or CU_ERR_NOMEM; release after either. */
int cu_blocks_init(struct cu_blocks *blocks, int fd, bool compress);
/* Waits for the block at hand. */
void cu_blocks_release(struct cu_blocks *blocks);

/*
 * Sends off the records in raw, which is left empty. 0, or the error of this
 * block or one before: whoever wants to know of this one waits.
 */
int cu_blocks_put(struct cu_blocks *blocks, struct cu_buf *raw, uint32_t n_records);

/* Until all is written: 0 or the first error, which is in fault. Then the other members may be looked at. */
int cu_blocks_wait(struct cu_blocks *blocks);

/* Writes bytes behind all blocks, as they are, or framed as a block. 0 or an error, as from wait. */
int cu_blocks_write(struct cu_blocks *blocks, const uint8_t *data, size_t len);
int cu_blocks_write_block(struct cu_blocks *blocks, enum cu_block_type type, const uint8_t *data, size_t len);

#endif
