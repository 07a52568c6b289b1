/*
 * Judging: from what was measured of a connection to the records that say it,
 * an analysis, gaps, marks and transactions.
 */
#ifndef CU_BLAME_JUDGE_H
#define CU_BLAME_JUDGE_H

#include "lib/blame/account.h"
#include "lib/blame/exchange.h"
#include "lib/record/records.h"
#include "lib/tcp/delivery.h"
#include "lib/tcp/gaps.h"
#include "lib/tcp/path.h"

#include <stdbool.h>
#include <stdint.h>

/* A connection, or a part of one, as far as it does not depend on how it is judged. */
struct cu_hearing {
	struct cu_trace *trace; /* marked; judging settles more of its marks */
	struct cu_path path;
	bool ids_shared[2]; /* see cu_distances_ids; false of a part, whose others are its own */
};

/* What is judged, and the storage for it, which is kept. {0} is empty. */
struct cu_judge {
	struct cu_delivery delivery[2];
	struct cu_gaps gaps[2];
	struct cu_window_use window[2];
	struct cu_exchanges exchanges;
	struct cu_stretches stretches;
	struct cu_buf buf;
};

void cu_judge_release(struct cu_judge *judge);

/* Follows each direction: first of all. 0 or CU_ERR_NOMEM, as all that follow. */
int cu_judge_follow(struct cu_judge *judge, const struct cu_hearing *hearing);

void cu_judge_analysis(const struct cu_judge *judge, const struct cu_hearing *hearing, struct cu_analysis *analysis);

/* These append records. Transactions are numbered on from *number. */
int cu_judge_put_analysis(struct cu_judge *judge, const struct cu_analysis *analysis, struct cu_records *records);
int cu_judge_put_gaps(struct cu_judge *judge, struct cu_records *records);
int cu_judge_put_marks(struct cu_judge *judge, const struct cu_trace *trace, struct cu_records *records);
int cu_judge_put_transactions(struct cu_judge *judge, const struct cu_hearing *hearing, uint64_t *number,
                              struct cu_records *records);

#endif
