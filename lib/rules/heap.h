/*
 * Memory of a set of rules: taken piece by piece, freed all at once.
 */
#ifndef CU_RULES_HEAP_H
#define CU_RULES_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct cu_heap_block;

/* {0} is an empty heap. */
struct cu_heap {
	struct cu_heap_block *blocks;
	bool failed; /* an allocation failed: sticky */
};

/* size zeroed bytes, aligned for anything, that live until release; NULL when there are none. */
void *cu_heap_get(struct cu_heap *heap, size_t size);

/* A copy of len bytes with a zero behind it; NULL. */
char *cu_heap_copy(struct cu_heap *heap, const char *data, size_t len);

void cu_heap_release(struct cu_heap *heap);

#endif
