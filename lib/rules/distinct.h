/*
 * How many different ones there were of something, by their hashes, in bounded
 * memory: the least hashes are kept (k minimum values: Bar-Yossef and others
 * 2002, Beyer and others 2007). Until one has to be left out, the count is
 * exact; from then on the space between them tells, to about 1 in sqrt(k).
 */
#ifndef CU_RULES_DISTINCT_H
#define CU_RULES_DISTINCT_H

#include <stdbool.h>
#include <stdint.h>

enum { CU_DISTINCT_CAP = 4096 }; /* hashes kept at most */

/* {0} is empty. */
struct cu_distinct {
	uint64_t *hash; /* ascending */
	uint32_t n, cap;
	bool left_out;
};

void cu_distinct_release(struct cu_distinct *distinct);

/*
 * Adds one, by its hash, which is spread evenly over 64 bits. room: hashes that
 * may yet be kept, by all that share it; where there is none, or no memory,
 * this one keeps no more than it has.
 */
void cu_distinct_add(struct cu_distinct *distinct, uint64_t hash, uint64_t *room);

uint64_t cu_distinct_count(const struct cu_distinct *distinct);

#endif
