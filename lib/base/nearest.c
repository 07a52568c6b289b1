#include "lib/base/nearest.h"

#include <string.h>

static unsigned char fold(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned cu_edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][CU_NEAREST_CAP + 1];
	if (a_len > CU_NEAREST_CAP || b_len > CU_NEAREST_CAP) {
		return CU_NEAREST_CAP;
	}
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];
	for (size_t j = 0; j <= b_len; j++) {
		row[j] = (unsigned)j;
	}
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *spare = before;
		before = above;
		above = row;
		row = spare;
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned replaced = above[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
			row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1])) {
				row[j] = least(row[j], before[j - 2] + 1);
			}
		}
	}
	return row[b_len];
}

void cu_nearest_begin(struct cu_nearest *nearest, const char *word, size_t len)
{
	*nearest = (struct cu_nearest){.word = word, .len = len, .name = NULL, .distance = CU_NEAREST_CAP};
}

void cu_nearest_try(struct cu_nearest *nearest, const char *name)
{
	size_t len = strlen(name);
	size_t most = nearest->len < 3 ? 1 : nearest->len / 3;
	unsigned distance = cu_edit_distance(nearest->word, nearest->len, name, len);
	if (distance < nearest->distance && distance <= most && distance < len) {
		nearest->distance = distance;
		nearest->name = name;
	}
}
