/*
 * Transactions counted over time: in bins of equal width, which widen as the
 * time grows that they have to cover, so that there are never more than
 * CU_OVER_TIME_BINS of them.
 */
#ifndef CU_REPORT_OVER_TIME_H
#define CU_REPORT_OVER_TIME_H

#include "lib/record/record.h"

#include <stddef.h>
#include <stdint.h>

enum { CU_OVER_TIME_BINS = 96 };

/* The narrowest bin: finer, there is nothing to see in a capture. */
#define CU_OVER_TIME_LEAST_NS INT64_C(1000000)

struct cu_over_time_bin {
	uint64_t n;                           /* transactions */
	uint64_t slow_by_party[CU_N_PARTIES]; /* of them, slow ones */
};

/* {0} is empty. */
struct cu_over_time {
	int64_t start_ns; /* of the first bin: a multiple of width_ns */
	int64_t width_ns; /* CU_OVER_TIME_LEAST_NS times a power of two; 0: nothing was counted */
	size_t n;         /* bins up to the last with something in it */
	struct cu_over_time_bin bin[CU_OVER_TIME_BINS];
};

/* Counts a transaction that starts then; verdict may be NULL. */
void cu_over_time_add(struct cu_over_time *over, int64_t time_ns, const struct cu_verdict *verdict);

#endif
