/*
 * The nearest known name to a word that was not known: "did you mean".
 */
#ifndef CU_BASE_NEAREST_H
#define CU_BASE_NEAREST_H

#include <stddef.h>

/* Longer words and names are near nothing. */
enum { CU_NEAREST_CAP = 64 };

/*
 * Insertions, deletions, replacements and swaps of neighbours that turn one
 * text into the other, letters compared without case (the optimal string
 * alignment distance; Damerau 1964). CU_NEAREST_CAP when either is longer.
 */
unsigned cu_edit_distance(const char *a, size_t a_len, const char *b, size_t b_len);

/*
 * Keeps the nearest of the names tried; the first of equals. Names and word
 * are borrowed. A name is near when its distance is at most a third of the
 * word's length, rounded up, and less than its own length.
 */
struct cu_nearest {
	const char *word;
	size_t len;
	const char *name; /* NULL: none is near */
	unsigned distance;
};
void cu_nearest_begin(struct cu_nearest *nearest, const char *word, size_t len);
void cu_nearest_try(struct cu_nearest *nearest, const char *name);

#endif
