/*
 * Durations, counted in buckets that grow with them.
 *
 * Each power of two is cut into 2^CU_HISTOGRAM_BITS buckets of equal width, so
 * a quantile is off by at most 1/64 of itself (the scheme of HdrHistogram).
 * Buckets are the same everywhere: histograms of parts add up to that of the
 * whole. Only buckets with something in them take room.
 */
#ifndef CU_BASE_HISTOGRAM_H
#define CU_BASE_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CU_HISTOGRAM_BITS = 5 };

struct cu_histogram_bucket {
	uint32_t index;
	uint64_t n;
};

struct cu_histogram {
	struct cu_histogram_bucket *bucket; /* sorted by index */
	size_t n_buckets, cap;
	uint64_t n;
	int64_t min_ns, max_ns; /* exact; meaningful when n > 0 */
};

/* {0} is an empty histogram. */
void cu_histogram_release(struct cu_histogram *histogram);

/* Empties it and keeps its room. */
void cu_histogram_clear(struct cu_histogram *histogram);

/* Counts a duration; negative ones count as 0. False when memory ran out. */
bool cu_histogram_add(struct cu_histogram *histogram, int64_t ns);

/* Adds all that is in other. False when memory ran out. */
bool cu_histogram_merge(struct cu_histogram *histogram, const struct cu_histogram *other);

/* The smallest duration that at least share (0 to 1) of all are not above; 0 when empty. */
int64_t cu_histogram_quantile(const struct cu_histogram *histogram, double share);

/* How many are at most ns, to the bucket; for cumulative buckets of others. */
uint64_t cu_histogram_at_most(const struct cu_histogram *histogram, int64_t ns);

/* The bucket of a duration, and the least and largest duration in a bucket. */
uint32_t cu_histogram_index(uint64_t ns);
uint64_t cu_histogram_least(uint32_t index);
uint64_t cu_histogram_most(uint32_t index);

#endif
