/*
 * Baselines: how long things usually take, by service, kind of transaction and
 * cause, as histograms that add up. baseline(5) has the file.
 */
#ifndef CU_RULES_BASELINE_H
#define CU_RULES_BASELINE_H

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/record/record.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CU_BASELINE_ENTRY_CAP = 4096,    /* services times kinds of transaction */
	CU_BASELINE_NAME_CAP = 255,      /* bytes of a service's name; longer ones are cut */
	CU_BASELINE_FILE_CAP = 64 << 20, /* bytes of a file */
	CU_BASELINE_LEAST = 20,          /* transactions from which on there is a usual */
	CU_BASELINE_VERSION = 1,
};

/* Percentiles of a service's transactions of a kind. */
enum cu_usual_quantile { CU_USUAL_P50, CU_USUAL_P95, CU_USUAL_P99, CU_N_USUAL };
struct cu_usual {
	uint64_t n;
	int64_t ns[CU_N_CAUSES][CU_N_USUAL]; /* by enum cu_cause; of CU_CAUSE_NONE: the total; -1 not known */
};

struct cu_baseline;

/* An empty one; NULL when memory ran out. */
struct cu_baseline *cu_baseline_new(void);
void cu_baseline_free(struct cu_baseline *baseline);

/*
 * Adds a transaction that was answered; others are passed over. service may be
 * empty: then it is known by its port. 0 or CU_ERR_NOMEM.
 */
int cu_baseline_add(struct cu_baseline *baseline, struct cu_text service, unsigned port,
                    const struct cu_transaction *transaction);

/*
 * Adds all that a file's bytes, or the file, hold. Nothing is added from a
 * damaged one: CU_ERR_FORMAT, or CU_ERR_IO, or CU_ERR_NOMEM, with the sentence in fault.
 */
int cu_baseline_decode(struct cu_baseline *baseline, const char *name, const void *data, size_t len,
                       struct cu_fault *fault);
int cu_baseline_read(struct cu_baseline *baseline, const char *path, struct cu_fault *fault);

/* Appends the file: the same bytes in whatever order things were added. buf->failed when memory ran out. */
void cu_baseline_encode(struct cu_baseline *baseline, struct cu_buf *buf);

/*
 * What is usual, NULL when fewer than CU_BASELINE_LEAST were learned; borrowed
 * until the baseline is added to or freed. Works it out at the first call for each.
 */
const struct cu_usual *cu_baseline_find(struct cu_baseline *baseline, struct cu_text service, unsigned port,
                                        unsigned kind);

struct cu_baseline_counts {
	size_t n_entries;
	uint64_t n_transactions;
	uint64_t n_dropped; /* transactions of more services than CU_BASELINE_ENTRY_CAP */
};
struct cu_baseline_counts cu_baseline_counts(const struct cu_baseline *baseline);

#endif
