/*
 * A connection that is judged in parts: what is said of each becomes what is
 * said of the whole.
 */
#ifndef CU_BLAME_PARTS_H
#define CU_BLAME_PARTS_H

#include "lib/base/histogram.h"
#include "lib/blame/exchange.h"
#include "lib/tcp/path.h"
#include "lib/tcp/trace.h"

/* {0} is none yet. */
struct cu_parts {
	size_t n;
	struct cu_analysis analysis;
	struct cu_histogram rtt[2];
};

void cu_parts_release(struct cu_parts *parts);

/* Forgets what was added. */
void cu_parts_clear(struct cu_parts *parts);

/*
 * Adds the next part's analysis, with the histograms of its round trips. Of
 * the whole's round trips the slices of time stay empty; a loss pattern is that
 * of the part that lost most, with its figures. 0 or CU_ERR_NOMEM.
 */
int cu_parts_add(struct cu_parts *parts, const struct cu_analysis *analysis, const struct cu_histogram rtt[2]);

/* Makes a part's path the whole's. */
void cu_parts_know_path(const struct cu_parts *parts, struct cu_path *path);

/*
 * How many segments of a marked trace are a part: up to the newest exchange,
 * so that it is not cut; or all, when that began in the first half.
 */
size_t cu_parts_end(const struct cu_trace *trace, const struct cu_exchanges *exchanges);

#endif
