/*
 * A format of reports: what report.c's loop calls, and what it hands over.
 *
 * A new format is a file with a struct cu_format in it, and a row in
 * report.c's table. Callbacks append to the sink and return 0 or an error;
 * those that are NULL are not called. All that is handed over is borrowed
 * until the callback returns.
 */
#ifndef CU_REPORT_FORMAT_H
#define CU_REPORT_FORMAT_H

#include "lib/report/report.h"
#include "lib/report/sink.h"
#include "lib/tcp/trace.h"

/* A connection, once everything but its transactions is known. */
struct cu_report_connection {
	const struct cu_connection *connection;
	const struct cu_analysis *analysis; /* NULL: not analysed */
	const struct cu_gap *gaps;          /* the first ones */
	size_t n_gaps;
	uint64_t n_more_gaps;                  /* passed over */
	const char *file;                      /* of its first frame; NULL when there is only one */
	const char *last_file;                 /* of its last frame, likewise */
	const struct cu_trace *trace;          /* its segments, for a format that wants them */
	const struct cu_stream_header *header; /* names the files; NULL when there is only one */
};

struct cu_report_transaction {
	const struct cu_connection *connection; /* NULL: its record is missing */
	const struct cu_analysis *analysis;
	const struct cu_transaction *transaction;
	const struct cu_verdict *verdict;      /* NULL: not judged */
	struct cu_text server_name;            /* that the connection's TLS handshake asked for; or empty */
	const char *file;                      /* the transaction's; NULL when there is only one */
	const struct cu_stream_header *header; /* names the files of its parts; NULL when there is only one */
	const struct cu_trace *trace;
	struct cu_text transaction_bytes; /* the records as they came, for whoever keeps them */
	struct cu_text verdict_bytes;
};

struct cu_report_finding {
	const struct cu_finding *finding;
	const char *first_file, *last_file; /* NULL when there is only one */
};

struct cu_format {
	const char *name;
	bool wants_trace; /* of connections that are asked for: it is an error when segments come before them */
	bool likes_trace; /* where it is at hand: it does without */
	bool glances; /* of analyses and transactions it is enough to have those members that a glance sets: record.h */
	int (*open)(void **state, const struct cu_report_config *config, struct cu_sink *sink);
	int (*connection)(void *state, const struct cu_report_connection *item);
	int (*transaction)(void *state, const struct cu_report_transaction *item);
	int (*finding)(void *state, const struct cu_report_finding *item);
	int (*end)(void *state, const struct cu_report_counts *counts);
	void (*close)(void *state);
};

extern const struct cu_format cu_format_text;
extern const struct cu_format cu_format_json;
extern const struct cu_format cu_format_csv;
extern const struct cu_format cu_format_filter;
extern const struct cu_format cu_format_prometheus;
extern const struct cu_format cu_format_html;
extern const struct cu_format cu_format_by; /* the tables of --by, as text */
extern const struct cu_format cu_format_by_json;
extern const struct cu_format cu_format_segments; /* the lines of --segments, as text */
extern const struct cu_format cu_format_segments_json;

/* The name of the file of a connection's part: see cu_connection_file. NULL when there is only one. */
static inline const char *cu_piece_file(const struct cu_report_connection *item, uint16_t part_file)
{
	uint16_t file = cu_connection_file(item->connection, part_file);
	return item->header != NULL && file < item->header->n_files ? item->header->files[file].path : NULL;
}

/* The name of the file of a transaction's part: see cu_transaction_file. NULL when there is only one. */
static inline const char *cu_part_file(const struct cu_report_transaction *item, uint16_t part_file)
{
	uint16_t file = cu_transaction_file(item->transaction, part_file);
	return item->header != NULL && file < item->header->n_files ? item->header->files[file].path : NULL;
}

/* Blame and cause as they are shown: none of either when the transaction was not slow. */
static inline unsigned cu_shown_blame(const struct cu_verdict *verdict)
{
	return verdict->slow ? verdict->blame : (unsigned)CU_PARTY_NONE;
}

static inline unsigned cu_shown_cause(const struct cu_verdict *verdict)
{
	return verdict->slow ? verdict->cause : (unsigned)CU_CAUSE_NONE;
}

#endif
