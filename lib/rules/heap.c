#include "lib/rules/heap.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16384 };

struct cu_heap_block {
	struct cu_heap_block *next;
	size_t used, cap;
	max_align_t data[];
};

void *cu_heap_get(struct cu_heap *heap, size_t size)
{
	const size_t align = sizeof(max_align_t);
	struct cu_heap_block *block = heap->blocks;
	size_t need = (size + align - 1) / align * align;
	if (!block || block->cap - block->used < need) {
		size_t cap = need > BLOCK_BYTES ? need : BLOCK_BYTES;
		block = calloc(1, sizeof(*block) + cap);
		if (!block) {
			heap->failed = true;
			return NULL;
		}
		block->cap = cap;
		block->next = heap->blocks;
		heap->blocks = block;
	}
	void *p = (char *)block->data + block->used;
	block->used += need;
	return p;
}

char *cu_heap_copy(struct cu_heap *heap, const char *data, size_t len)
{
	char *copy = cu_heap_get(heap, len + 1);
	if (copy && len > 0) {
		memcpy(copy, data, len);
	}
	return copy;
}

void cu_heap_release(struct cu_heap *heap)
{
	while (heap->blocks) {
		struct cu_heap_block *next = heap->blocks->next;
		free(heap->blocks);
		heap->blocks = next;
	}
	heap->failed = false;
}
