/*
 * A report of a record stream, of whatever stage wrote it.
 *
 * A cu_report takes one stream after another and shows all of them as one:
 * verdicts where classify was, transactions where only analyze was, connections
 * where only flowify was. What it keeps does not grow with its input, except
 * for what the configuration asks to be kept.
 */
#ifndef CU_REPORT_REPORT_H
#define CU_REPORT_REPORT_H

#include "lib/base/error.h"
#include "lib/record/record.h"
#include "lib/record/stream.h"
#include "lib/report/term.h"

#include <stdbool.h>
#include <stdint.h>

/* Of the JSON records and of culprit.schema.json. */
enum { CU_REPORT_SCHEMA = 1 };

/* Entries that text shows of each kind unless told otherwise. */
enum { CU_REPORT_TOP_DEFAULT = 20 };

enum cu_report_format {
	CU_REPORT_TEXT = 0,
	CU_REPORT_JSON,
	CU_REPORT_CSV,
	CU_REPORT_FILTER,
	CU_REPORT_PROMETHEUS,
	CU_REPORT_HTML,
	CU_N_REPORT_FORMATS,
};
/* Their names, in that order. */
#define CU_REPORT_FORMAT_NAMES "text json csv filter prometheus html"

/* What transactions are gathered by, in place of being listed. */
enum cu_report_by {
	CU_REPORT_BY_SERVICE = 0,
	CU_REPORT_BY_SERVER,
	CU_REPORT_BY_CLIENT,
	CU_REPORT_BY_CAUSE,
	CU_REPORT_BY_NOTHING,
};
#define CU_REPORT_BY_NAMES "service server client cause"

struct cu_report_config {
	enum cu_report_format format;
	enum cu_report_by by; /* with text and json */
	bool segments;        /* list each connection's segments, with text and json */
	bool has_stream;      /* only what belongs to connection number stream */
	uint64_t stream;
	bool several;          /* more than one input will be run: frames are named with their file */
	uint64_t memory_bytes; /* of segments, of which each connection's are together; 0: 1 GiB */
	bool all;              /* text keeps all slow transactions, not only top */
	uint64_t top;          /* entries shown */
	bool has_since, has_until;
	int64_t since_ns, until_ns; /* only transactions that start in [since, until), where there is one */
	struct cu_term term;        /* for text; a width of 0 is CU_TERM_WIDTH_DEFAULT */
};

/* What was seen. */
struct cu_report_counts {
	struct cu_totals totals; /* summed over the streams */
	bool has_totals;         /* at least one stream had them */
	bool incomplete;         /* an input could not be read to its end */
	uint64_t n_unopened;     /* inputs: see cu_report_miss */
	uint64_t n_files;        /* captures named by the streams' headers */
	uint64_t n_streams;      /* headers */
	uint64_t n_bad_records;  /* that could not be decoded, and were passed over */
	uint64_t n_connections, n_analysed;
	uint64_t n_transactions, n_judged, n_slow;
	uint64_t n_findings;
	uint64_t n_segments;
	uint64_t slow_by_party[CU_N_PARTIES];
	uint64_t n_chunks;
	uint64_t n_without_segments; /* connections that have more than memory_bytes, and so are shown without */
	uint64_t n_passed_over;      /* connections, transactions and findings outside of what was asked for */
};

/* Whether all could be read to its end: what is given here, and the captures that it came from. */
static inline bool cu_report_is_complete(const struct cu_report_counts *counts)
{
	return !counts->incomplete && counts->n_unopened == 0 && counts->n_bad_records == 0 &&
	       counts->totals.n_truncated == 0 && counts->totals.n_unread == 0;
}

struct cu_report;

/* Whether the format can show what is asked for. */
bool cu_report_can(const struct cu_report_config *config);

/*
 * Makes a report to fd, which is not owned. CU_ERR_NOMEM; CU_ERR_UNSUPPORTED
 * when the format cannot show what is asked for. On an error *report is NULL.
 */
int cu_report_open(struct cu_report **report, int fd, const struct cu_report_config *config);

/*
 * Takes everything from reader. 0, or the error the reader stopped with, whose
 * sentence is in cu_reader_fault; or CU_ERR_FORMAT when the framing was whole
 * but records could not be decoded, with the first one's sentence in
 * cu_report_fault. What was whole is in the report in every case. Once the
 * output has failed it reads no more and returns that error.
 */
int cu_report_run(struct cu_report *report, struct cu_reader *reader);

/* Takes note of n inputs that could not be opened, and so will not be run. */
void cu_report_miss(struct cu_report *report, size_t n);

/* Writes what can only be said at the end. 0, or the error of the output. */
int cu_report_finish(struct cu_report *report);

const struct cu_report_counts *cu_report_counts(const struct cu_report *report);

/* The first record that could not be decoded, or what was refused. */
const struct cu_fault *cu_report_fault(const struct cu_report *report);

/* What went wrong with the output. */
const struct cu_fault *cu_report_output_fault(const struct cu_report *report);

/* NULL is fine. */
void cu_report_close(struct cu_report *report);

#endif
