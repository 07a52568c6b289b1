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
 * Makes *array, of *cap elements of size bytes, hold more than n: doubles it
 * when it is full. False when memory ran out; the array is as it was then.
 */
static inline bool cu_grow(void **array, size_t *cap, size_t n, size_t size)
{
	if (n < *cap) {
		return true;
	}
	size_t want = *cap != 0 ? *cap * 2 : CU_GROW_FIRST;
	void *bigger = reallocarray(*array, want, size);
	if (bigger == NULL) {
		return false;
	}
	*array = bigger;
	*cap = want;
	return true;
}

#endif
