/*
 * Rules: read, checked and compiled; then a verdict for each transaction.
 *
 * rules(5) has the language. Rules come in layers: what is added later lies on
 * top, its rules are tried first, and what has the name of something below
 * takes its place. With no rule that matches, the ledger decides.
 */
#ifndef CU_RULES_RULES_H
#define CU_RULES_RULES_H

#include "lib/base/error.h"
#include "lib/record/record.h"
#include "lib/rules/baseline.h"
#include "lib/rules/diag.h"
#include "lib/rules/field.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Time beyond which a transaction is slow when no rules file says otherwise. */
#define CU_SLOW_DEFAULT_NS (1 * CU_NS_PER_S)

enum {
	CU_INCLUDE_DEPTH_CAP = 8,   /* files that include files */
	CU_RULES_SOURCE_CAP = 256,  /* files of a set of rules */
	CU_VERDICT_TEXT_CAP = 1024, /* bytes of a why or advice; longer ones are cut */
};

/* rules/default.yaml, made part of the library by embed.sh. Zero-terminated. */
extern const char cu_rules_default[];
extern const size_t cu_rules_default_len;

/* What is known of a transaction. */
struct cu_facts {
	const struct cu_transaction *transaction;
	const struct cu_connection *connection; /* NULL: its record was not seen */
	const struct cu_analysis *analysis;     /* NULL likewise */
	const struct cu_usual *usual;           /* NULL: as the baseline of the rules has it, if there is one */
	bool tls;                               /* an earlier transaction of the connection was a TLS handshake */
};

struct cu_rules;

/* An empty set; NULL when memory ran out. */
struct cu_rules *cu_rules_new(void);
void cu_rules_free(struct cu_rules *rules);

/*
 * Adds a file, or the *.yaml and *.yml files of a directory in order of name.
 * 0; CU_ERR_RULES when it has errors (see cu_rules_message: they are all
 * found, and adding may go on to find those of other files); CU_ERR_IO with
 * the sentence in fault; CU_ERR_NOMEM.
 */
int cu_rules_add_file(struct cu_rules *rules, const char *path, struct cu_fault *fault);

/* Adds len bytes of text likewise; name is for messages, and where includes are looked for. */
int cu_rules_add_text(struct cu_rules *rules, const char *name, const char *text, size_t len);

/* Adds cu_rules_default. */
int cu_rules_add_default(struct cu_rules *rules);

/* Takes the place of the default threshold, whatever the files say. Before cu_rules_finish or after. */
void cu_rules_set_slow(struct cu_rules *rules, int64_t slow_ns);

/* Gives the fields of baseline their values; borrowed until the rules are freed. */
void cu_rules_set_baseline(struct cu_rules *rules, struct cu_baseline *baseline);

/* Checks and compiles all that was added. 0, CU_ERR_RULES or CU_ERR_NOMEM. Once. */
int cu_rules_finish(struct cu_rules *rules);

/* Messages in order of file and line. */
size_t cu_rules_n_messages(const struct cu_rules *rules);
const struct cu_rules_message *cu_rules_message(const struct cu_rules *rules, size_t n);
/* All errors and warnings, also those beyond CU_MESSAGE_CAP that are not kept. */
size_t cu_rules_n_errors(const struct cu_rules *rules);
size_t cu_rules_n_warnings(const struct cu_rules *rules);

/* How many rules, macros, lists there are in use. */
struct cu_rules_counts {
	size_t n_rules, n_macros, n_lists, n_services, n_tests;
};
struct cu_rules_counts cu_rules_counts(const struct cu_rules *rules);

/*
 * The verdict on a transaction. Its texts are borrowed from rules until the
 * next call. Allocates nothing once its buffers have grown.
 */
void cu_rules_judge(struct cu_rules *rules, const struct cu_facts *facts, struct cu_verdict *verdict);

/*
 * The same, when no rule is asked: the transaction is not slow for its service,
 * and no reset or refusal. False, and no verdict, of others. A glance at the
 * transaction is enough (record.h).
 */
bool cu_rules_pass_over(struct cu_rules *rules, const struct cu_facts *facts, struct cu_verdict *verdict);

/* Whether memory ran out in judging: then verdicts lack their texts. For good. */
bool cu_rules_failed(const struct cu_rules *rules);

/* Name of the service at an endpoint: from the rules, or well known by its port; empty when neither. */
struct cu_text cu_rules_service(struct cu_rules *rules, const struct cu_addr *addr, unsigned port);

/*
 * Appends why each rule did or did not match, in the order they are tried, and
 * the verdict: a text of several lines. CU_ERR_NOMEM.
 */
int cu_rules_explain(struct cu_rules *rules, const struct cu_facts *facts, struct cu_buf *buf);

/*
 * Runs the tests sections of the files. Appends a line for each that fails;
 * 0 or CU_ERR_NOMEM.
 */
int cu_rules_run_tests(struct cu_rules *rules, struct cu_buf *buf, size_t *n_failed);

#endif
