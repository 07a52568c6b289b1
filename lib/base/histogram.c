#include "lib/base/histogram.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS = 1 << CU_HISTOGRAM_BITS };

void cu_histogram_release(struct cu_histogram *histogram)
{
	free(histogram->bucket);
	*histogram = (struct cu_histogram){0};
}

void cu_histogram_clear(struct cu_histogram *histogram)
{
	histogram->n_buckets = 0;
	histogram->n = 0;
	histogram->min_ns = histogram->max_ns = 0;
}

uint32_t cu_histogram_index(uint64_t ns)
{
	if (ns < PARTS) {
		return (uint32_t)ns;
	}
	unsigned shift = (unsigned)(63 - __builtin_clzll(ns)) - CU_HISTOGRAM_BITS;
	return (shift + 1) * PARTS + (uint32_t)(ns >> shift & (PARTS - 1));
}

uint64_t cu_histogram_least(uint32_t index)
{
	if (index < PARTS) {
		return index;
	}
	return (uint64_t)(PARTS + index % PARTS) << (index / PARTS - 1);
}

uint64_t cu_histogram_most(uint32_t index)
{
	return cu_histogram_least(index + 1) - 1;
}

/* Where the bucket with this index is or would be. */
static size_t find(const struct cu_histogram *histogram, uint32_t index)
{
	size_t at = 0, n = histogram->n_buckets;
	/* Halving without a branch on what is found, which no processor foresees: n buckets from at are left. */
	for (; n > 1; n -= n / 2) {
		at += (histogram->bucket[at + n / 2 - 1].index < index) * (n / 2);
	}
	return at + (n == 1 && histogram->bucket[at].index < index);
}

static bool count(struct cu_histogram *histogram, uint32_t index, uint64_t n)
{
	size_t at = find(histogram, index);
	if (at < histogram->n_buckets && histogram->bucket[at].index == index) {
		histogram->bucket[at].n += n;
		return true;
	}
	if (histogram->n_buckets == histogram->cap) {
		size_t cap = histogram->cap == 0 ? 4 : histogram->cap * 2;
		struct cu_histogram_bucket *bucket = reallocarray(histogram->bucket, cap, sizeof(*bucket));
		if (bucket == NULL) {
			return false;
		}
		histogram->bucket = bucket;
		histogram->cap = cap;
	}
	memmove(&histogram->bucket[at + 1], &histogram->bucket[at],
	        (histogram->n_buckets - at) * sizeof(*histogram->bucket));
	histogram->bucket[at] = (struct cu_histogram_bucket){.index = index, .n = n};
	histogram->n_buckets++;
	return true;
}

bool cu_histogram_add(struct cu_histogram *histogram, int64_t ns)
{
	ns = ns < 0 ? 0 : ns;
	if (!count(histogram, cu_histogram_index((uint64_t)ns), 1)) {
		return false;
	}
	if (histogram->n == 0 || ns < histogram->min_ns) {
		histogram->min_ns = ns;
	}
	if (histogram->n == 0 || ns > histogram->max_ns) {
		histogram->max_ns = ns;
	}
	histogram->n++;
	return true;
}

bool cu_histogram_merge(struct cu_histogram *histogram, const struct cu_histogram *other)
{
	if (other->n == 0) {
		return true;
	}
	for (size_t i = 0; i < other->n_buckets; i++) {
		if (!count(histogram, other->bucket[i].index, other->bucket[i].n)) {
			return false;
		}
	}
	if (histogram->n == 0 || other->min_ns < histogram->min_ns) {
		histogram->min_ns = other->min_ns;
	}
	if (histogram->n == 0 || other->max_ns > histogram->max_ns) {
		histogram->max_ns = other->max_ns;
	}
	histogram->n += other->n;
	return true;
}

int64_t cu_histogram_quantile(const struct cu_histogram *histogram, double share)
{
	if (histogram->n == 0) {
		return 0;
	}
	double exact = share * (double)histogram->n;
	uint64_t rank = (uint64_t)exact;
	rank += (double)rank < exact;
	rank = rank < 1 ? 1 : rank > histogram->n ? histogram->n : rank;
	uint64_t seen = 0;
	size_t i = 0;
	while (i < histogram->n_buckets - 1 && seen + histogram->bucket[i].n < rank) {
		seen += histogram->bucket[i++].n;
	}
	/* The middle of the bucket halves the error; the ends are known exactly. */
	uint64_t least = cu_histogram_least(histogram->bucket[i].index);
	int64_t ns = (int64_t)(least + (cu_histogram_most(histogram->bucket[i].index) - least) / 2);
	ns = rank == histogram->n || ns > histogram->max_ns ? histogram->max_ns : ns;
	return rank == 1 || ns < histogram->min_ns ? histogram->min_ns : ns;
}

uint64_t cu_histogram_at_most(const struct cu_histogram *histogram, int64_t ns)
{
	uint64_t n = 0;
	for (size_t i = 0; i < histogram->n_buckets; i++) {
		if (cu_histogram_most(histogram->bucket[i].index) <= (uint64_t)(ns < 0 ? 0 : ns)) {
			n += histogram->bucket[i].n;
		}
	}
	return n;
}
