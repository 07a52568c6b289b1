/*
 * Gaps: what was lost of a direction, told range by range.
 *
 * A range is missing when it was lost before the vantage point and shows as a
 * hole; when it was seen and lost after, and only the receiver had the hole;
 * or when the capture alone lacks it: acknowledged, and never seen. What had
 * been lost before the capture began is missing by what the first ACKs say.
 */
#ifndef CU_TCP_GAPS_H
#define CU_TCP_GAPS_H

#include "lib/tcp/delivery.h"

struct cu_gaps {
	struct cu_gap *item; /* by relative sequence number */
	size_t n, cap;
	size_t near_step; /* of the ACKs, where one was looked for last */
};

/* {0} is empty. */
void cu_gaps_release(struct cu_gaps *gaps);

/* Gathers the gaps of a direction whose delivery is built. 0 or CU_ERR_NOMEM. */
int cu_gaps_find(struct cu_gaps *gaps, const struct cu_trace *trace, const struct cu_delivery *delivery, int dir);

/*
 * How losses lie among the direction's segments. What the capture lacks, was
 * lost before it, or was too large for the path, as an ICMP error says, is of
 * neither state and breaks the chain. The word "runs" asks for a dependence
 * that is significant at 1 % (likelihood ratio against independent losses, one
 * degree of freedom) and runs of two and more on average; "scattered" for six
 * runs that are hardly ever longer than one. All zero when nothing was lost.
 */
struct cu_loss_runs cu_loss_runs_count(const struct cu_trace *trace, const struct cu_delivery *delivery, int dir);

#endif
