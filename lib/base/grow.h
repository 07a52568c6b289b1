/*
 * Arrays that grow: the one way to make room for another element.
 */
#ifndef CU_BASE_GROW_H
#define CU_BASE_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum { CU_GROW_FIRST = 16 }; /* elements of a new array */

/*
 * Makes *array, of *cap elements of size bytes, hold more than n by so many: by
 * as many again as there is room for, at least. False when memory ran out; the
 * array is as it was then.
 */
static inline bool cu_grow_by(void **array, size_t *cap, size_t n, size_t more, size_t size)
{
	if (*cap - n >= more) {
		return true;
	}
	size_t want = n + more > *cap * 2 ? n + more : *cap * 2;
	void *bigger = reallocarray(*array, want, size);
	if (bigger == NULL) {
		return false;
	}
	*array = bigger;
	*cap = want;
	return true;
}

/* The same by one, and by a few when it is new. */
static inline bool cu_grow(void **array, size_t *cap, size_t n, size_t size)
{
	return n < *cap || cu_grow_by(array, cap, n, *cap != 0 ? 1 : CU_GROW_FIRST, size);
}

#endif
