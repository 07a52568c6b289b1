/*
 * The largest few of many: a bounded heap of keyed blobs.
 *
 * Once it is full, what is smaller than everything in it costs one
 * comparison, and what replaces another reuses its storage.
 */
#ifndef CU_REPORT_TOP_H
#define CU_REPORT_TOP_H

#include "lib/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cu_top_entry {
	int64_t key;
	uint64_t order; /* of arrival; of equal keys the earlier stays */
	struct cu_buf blob;
};

struct cu_top {
	size_t limit; /* entries kept; SIZE_MAX for all */
	struct cu_top_entry *entry;
	size_t n, cap;
	uint64_t n_offered;
};

void cu_top_init(struct cu_top *top, size_t limit);
void cu_top_release(struct cu_top *top);

/*
 * Offers a key: the cleared blob to fill in, borrowed until the next offer, or
 * NULL when it is not among the largest or (with *nomem set) memory ran out.
 */
struct cu_buf *cu_top_offer(struct cu_top *top, int64_t key, bool *nomem);

/* Sorts the entries, largest first; nothing may be offered afterwards. */
void cu_top_sort(struct cu_top *top);

#endif
