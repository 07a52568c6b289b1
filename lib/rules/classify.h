/*
 * classify: flow records in, the same with verdicts and findings out.
 */
#ifndef CU_RULES_CLASSIFY_H
#define CU_RULES_CLASSIFY_H

#include "lib/record/stream.h"
#include "lib/rules/rules.h"

#include <stdint.h>

/* What was judged. */
struct cu_classify_counts {
	uint64_t n_connections, n_analyses, n_transactions, n_slow, n_by_rule, n_findings;
	uint64_t n_uncounted;            /* transactions and connections that rules about endpoints had no room for */
	uint64_t n_left_out;             /* findings beyond CU_FINDING_CAP of each kind, and of each such rule */
	uint64_t n_forgotten;            /* times that findings had no room for an endpoint */
	uint64_t n_blamed[CU_N_PARTIES]; /* verdicts by party */
};

/*
 * Reads the streams one after another and writes them with a verdict behind
 * each transaction, and findings behind everything else. Verdicts and findings
 * that are there already are left out: the stream is judged anew. All other
 * records pass through as they are.
 * 0, or a negative error whose sentence is in the reader or the writer that
 * failed; everything whole before it is written, with a trailer unless the
 * writer failed, or passes on that an input had none.
 */
int cu_classify(struct cu_reader *const *readers, size_t n_readers, struct cu_writer *writer, struct cu_rules *rules,
                struct cu_classify_counts *counts);

/* Reads the streams and adds their transactions to a baseline. 0, or a reader's error, or CU_ERR_NOMEM. */
int cu_classify_learn(struct cu_reader *const *readers, size_t n_readers, struct cu_rules *rules,
                      struct cu_baseline *baseline);

/* Which transactions to explain. */
struct cu_explain_config {
	bool one; /* only that of the two numbers; else all that are judged */
	uint64_t stream, number;
};

/*
 * Reads the streams and hands out, transaction by transaction, why each rule
 * did or did not match; *n is how many. 0, a reader's error, or what take
 * returned when that was not 0.
 */
int cu_classify_explain(struct cu_reader *const *readers, size_t n_readers, struct cu_rules *rules,
                        const struct cu_explain_config *config,
                        int (*take)(void *context, const char *text, size_t len), void *context, size_t *n);

/* Parses "4:1", stream and transaction. False when it is no such thing. */
bool cu_explain_parse(const char *text, struct cu_explain_config *config);

#endif
