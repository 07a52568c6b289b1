#include "lib/report/report.h"

#include "lib/report/format.h"
#include "lib/tcp/resent.h"

#include <stdlib.h>
#include <string.h>

/* Gaps of one connection that a format is given. */
enum { GAP_CAP = 256 };

/* Bytes kept of a TLS server name (RFC 1035 section 2.3.4: 255 octets). */
enum { SERVER_NAME_CAP = 255 };

/* The default bound, and what a segment takes of it: 96 bytes, what belongs to it, and half again while the arrays grow. */
#define MEMORY_BYTES (UINT64_C(1) << 30)
enum { SEGMENT_BYTES = 256 };

struct cu_report {
	struct cu_report_config config;
	struct cu_sink sink;
	const struct cu_format *format;
	void *state;
	struct cu_report_counts counts;
	struct cu_fault fault;
	const struct cu_stream_header *header; /* of the stream being read */
	bool several;
	uint64_t n_records; /* of the stream being read */

	/* The connection that the records belong to. */
	bool has_connection, has_analysis;
	bool connection_shown;
	struct cu_connection connection;
	struct cu_analysis analysis;
	struct cu_gap gaps[GAP_CAP];
	size_t n_gaps;
	uint64_t n_more_gaps;
	char server_name[SERVER_NAME_CAP];
	uint32_t server_name_len;

	/* The transaction whose verdict may follow, and its record: the texts in it are borrowed from there. */
	bool has_transaction;
	bool is_glance; /* the transaction has but what a glance sets: record.h */
	struct cu_transaction transaction;
	struct cu_buf transaction_bytes;

	/* Segments, for a format that wants them. */
	struct cu_trace trace;
	bool has_trace, marked;
	size_t segments_cap;
	bool is_too_long;      /* the connection has more */
	size_t n_stream_files; /* of the header, as counted */
	size_t n_marks;
	struct cu_buf chunks; /* of config.stream, that came before their connection */
	size_t n_waiting;     /* segments of them */
};

static const struct cu_format *choose_format(const struct cu_report_config *config)
{
	static const struct cu_format *const plain[CU_N_REPORT_FORMATS] = {
		[CU_REPORT_TEXT] = &cu_format_text,
		[CU_REPORT_JSON] = &cu_format_json,
		[CU_REPORT_CSV] = &cu_format_csv,
		[CU_REPORT_FILTER] = &cu_format_filter,
		[CU_REPORT_PROMETHEUS] = &cu_format_prometheus,
		[CU_REPORT_HTML] = &cu_format_html,
	};
	static const struct cu_format *const segments[CU_N_REPORT_FORMATS] = {
		[CU_REPORT_TEXT] = &cu_format_segments,
		[CU_REPORT_JSON] = &cu_format_segments_json,
	};
	static const struct cu_format *const by[CU_N_REPORT_FORMATS] = {
		[CU_REPORT_TEXT] = &cu_format_by,
		[CU_REPORT_JSON] = &cu_format_by_json,
	};
	bool has_by = config->by != CU_REPORT_BY_NOTHING;
	if (config->format >= CU_N_REPORT_FORMATS || (config->segments && has_by)) {
		return NULL;
	}
	return config->segments ? segments[config->format] : has_by ? by[config->format] : plain[config->format];
}

bool cu_report_can(const struct cu_report_config *config)
{
	return choose_format(config) != NULL;
}

int cu_report_open(struct cu_report **report, int fd, const struct cu_report_config *config)
{
	*report = NULL;
	const struct cu_format *format = choose_format(config);
	if (format == NULL) {
		return CU_ERR_UNSUPPORTED;
	}
	struct cu_report *made = calloc(1, sizeof(*made));
	if (made == NULL) {
		return CU_ERR_NOMEM;
	}
	made->config = *config;
	if (made->config.term.width == 0) {
		made->config.term.width = CU_TERM_WIDTH_DEFAULT;
	} else if (made->config.term.width < CU_TERM_WIDTH_MIN) {
		made->config.term.width = CU_TERM_WIDTH_MIN;
	}
	made->several = config->several;
	made->segments_cap = (size_t)((config->memory_bytes > 0 ? config->memory_bytes : MEMORY_BYTES) / SEGMENT_BYTES);
	made->format = format;
	cu_sink_init(&made->sink, fd);
	int error = format->open(&made->state, &made->config, &made->sink);
	if (error != 0) {
		made->format = NULL;
		cu_report_close(made);
		return error;
	}
	*report = made;
	return 0;
}

void cu_report_close(struct cu_report *report)
{
	if (report == NULL) {
		return;
	}
	if (report->format != NULL) {
		report->format->close(report->state);
	}
	cu_trace_release(&report->trace);
	cu_buf_release(&report->chunks);
	cu_buf_release(&report->transaction_bytes);
	cu_sink_release(&report->sink);
	free(report);
}

const struct cu_report_counts *cu_report_counts(const struct cu_report *report)
{
	return &report->counts;
}

const struct cu_fault *cu_report_fault(const struct cu_report *report)
{
	return &report->fault;
}

const struct cu_fault *cu_report_output_fault(const struct cu_report *report)
{
	return &report->sink.fault;
}

/* The file's name where there is more than one, else NULL. */
static const char *file_name(const struct cu_report *report, size_t file)
{
	if (!report->several || report->header == NULL || file >= report->header->n_files) {
		return NULL;
	}
	return report->header->files[file].path;
}

static bool wanted(const struct cu_report *report, uint64_t stream)
{
	return !report->config.has_stream || report->config.stream == stream;
}

static bool in_time(const struct cu_report *report, int64_t first_ns, int64_t last_ns)
{
	const struct cu_report_config *config = &report->config;
	return (!config->has_since || last_ns >= config->since_ns) &&
	       (!config->has_until || first_ns < config->until_ns);
}

/* A format's answer: its own errors are of memory. */
static int answered(struct cu_report *report, int error)
{
	if (error != 0) {
		return cu_fault_set(&report->sink.fault, error, "%s", cu_error_text(error));
	}
	return cu_sink_drain(&report->sink);
}

/* Hands the connection over, if there is one that was not yet. */
static int show_connection(struct cu_report *report)
{
	if (!report->has_connection || report->connection_shown) {
		return 0;
	}
	report->connection_shown = true;
	if (report->has_trace) {
		if (!report->marked) {
			cu_trace_mark(&report->trace);
		}
		cu_trace_resent(&report->trace);
		cu_trace_mark_forward(&report->trace);
		report->counts.n_segments += report->trace.n;
	}
	if (!in_time(report, report->connection.start_ns, report->connection.end_ns)) {
		report->counts.n_passed_over++;
		return 0;
	}
	report->counts.n_connections++;
	report->counts.n_analysed += report->has_analysis;
	if (report->format->connection == NULL) {
		return 0;
	}
	struct cu_report_connection item = {
		.connection = &report->connection,
		.analysis = report->has_analysis ? &report->analysis : NULL,
		.gaps = report->gaps,
		.n_gaps = report->n_gaps,
		.n_more_gaps = report->n_more_gaps,
		.file = file_name(report, report->connection.first_file),
		.last_file = file_name(report, report->connection.last_file),
		.trace = report->has_trace ? &report->trace : NULL,
		.header = report->several ? report->header : NULL,
	};
	return answered(report, report->format->connection(report->state, &item));
}

/* Of several files the parts of a transaction are named, and one connection is told in full. */
static bool glances(const struct cu_report *report)
{
	return report->format->glances && !report->several && !report->config.has_stream;
}

/* Hands over the transaction that waits, with its verdict or without. */
static int show_transaction(struct cu_report *report, const struct cu_verdict *verdict,
                            const struct cu_record *verdict_record)
{
	if (!report->has_transaction) {
		return 0;
	}
	report->has_transaction = false;
	if (report->is_glance && !glances(report)) { /* another file was named meanwhile */
		const struct cu_buf *bytes = &report->transaction_bytes;
		int error = cu_transaction_decode(bytes->data, bytes->len, &report->transaction);
		if (error != 0) {
			return error;
		}
	}
	const struct cu_transaction *transaction = &report->transaction;
	struct cu_report_counts *counts = &report->counts;
	counts->n_transactions++;
	if (verdict != NULL) {
		counts->n_judged++;
		if (verdict->slow) {
			counts->n_slow++;
			counts->slow_by_party[verdict->blame < CU_N_PARTIES ? verdict->blame : CU_PARTY_UNKNOWN]++;
		}
	}
	if (report->format->transaction == NULL) {
		return 0;
	}
	bool ours = report->has_connection && report->connection.stream == transaction->stream;
	struct cu_report_transaction item = {
		.connection = ours ? &report->connection : NULL,
		.analysis = ours && report->has_analysis ? &report->analysis : NULL,
		.transaction = transaction,
		.verdict = verdict,
		.file = file_name(report, transaction->file),
		.header = report->several ? report->header : NULL,
		.trace = ours && report->has_trace ? &report->trace : NULL,
		.transaction_bytes = {.data = (const char *)report->transaction_bytes.data,
	                              .len = (uint32_t)report->transaction_bytes.len},
	};
	if (ours) {
		item.server_name = (struct cu_text){.data = report->server_name, .len = report->server_name_len};
	}
	if (verdict_record != NULL) {
		item.verdict_bytes = (struct cu_text){.data = (const char *)verdict_record->data,
		                                      .len = (uint32_t)verdict_record->len};
	}
	return answered(report, report->format->transaction(report->state, &item));
}

/* Ends what is open: the transaction, then its connection, which goes first. */
static int show_pending(struct cu_report *report)
{
	int error = show_connection(report);
	return error != 0 ? error : show_transaction(report, NULL, NULL);
}

static bool takes_trace(const struct cu_report *report)
{
	return report->format->wants_trace || report->format->likes_trace;
}

/* The connection is shown without its segments: they are more than memory is to hold. */
static void leave_out_segments(struct cu_report *report)
{
	report->counts.n_without_segments += !report->is_too_long;
	report->is_too_long = true;
	report->has_trace = false;
}

static int add_to_trace(struct cu_report *report, const struct cu_chunk *chunk)
{
	if (report->is_too_long || chunk->n_segments > report->segments_cap - report->trace.n) {
		leave_out_segments(report);
		return 0;
	}
	report->has_trace = true;
	return cu_trace_add_chunk(&report->trace, chunk);
}

static int add_chunk(struct cu_report *report, const struct cu_record *record)
{
	report->counts.n_chunks++;
	if (!takes_trace(report)) {
		return 0;
	}
	struct cu_chunk chunk;
	int error = cu_chunk_open(record->data, record->len, &chunk);
	if (error != 0 || !wanted(report, chunk.stream)) {
		return error;
	}
	if (report->has_connection && report->connection.stream == chunk.stream && !report->connection_shown) {
		return add_to_trace(report, &chunk);
	}
	if (!report->config.has_stream) {
		return report->format->likes_trace
		               ? 0
		               : cu_fault_set(&report->fault, CU_ERR_UNSUPPORTED,
		                              "the segments of stream %llu come before their connection: "
		                              "analyze the stream first, or ask for one connection with --stream",
		                              (unsigned long long)chunk.stream);
	}
	report->n_waiting += (size_t)chunk.n_segments;
	if (report->n_waiting <= report->segments_cap) {
		cu_buf_add_varint(&report->chunks, record->len);
		cu_buf_add(&report->chunks, record->data, record->len);
	}
	return report->chunks.failed ? CU_ERR_NOMEM : 0;
}

/* Gives the connection the chunks that came before it. */
static int take_chunks(struct cu_report *report)
{
	struct cu_cursor cur = cu_cursor_make(report->chunks.data, report->chunks.len);
	int error = 0;
	if (report->n_waiting > report->segments_cap) {
		leave_out_segments(report);
	}
	while (error == 0 && cu_cursor_left(&cur) > 0) {
		size_t len = (size_t)cu_cursor_varint(&cur);
		const uint8_t *data = cu_cursor_bytes(&cur, len);
		struct cu_chunk chunk;
		if (data == NULL) {
			break;
		}
		error = cu_chunk_open(data, len, &chunk);
		error = error != 0 ? error : add_to_trace(report, &chunk);
	}
	cu_buf_clear(&report->chunks);
	report->n_waiting = 0;
	return error;
}

/*
 * Marks: varint stream, varint n, then a varint for each of the next n
 * segments of the connection, a bit set of 1 << enum cu_event_kind.
 */
static int add_marks(struct cu_report *report, const struct cu_record *record)
{
	if (!report->has_trace) {
		return 0;
	}
	struct cu_cursor cur = cu_cursor_make(record->data, record->len);
	uint64_t stream = cu_cursor_varint(&cur);
	uint64_t n = cu_cursor_varint(&cur);
	if (cur.failed || n > cu_cursor_left(&cur)) {
		return CU_ERR_FORMAT;
	}
	if (!report->has_connection || report->connection.stream != stream) {
		return 0;
	}
	if (!report->marked) {
		cu_trace_mark(&report->trace);
		report->marked = true;
	}
	for (; n > 0; n--) {
		uint64_t marks = cu_cursor_varint(&cur);
		if (report->n_marks < report->trace.n) {
			report->trace.segment[report->n_marks++].marks = (uint32_t)marks;
		}
	}
	return cur.failed ? CU_ERR_FORMAT : 0;
}

static int add_connection(struct cu_report *report, const struct cu_record *record)
{
	int error = show_pending(report);
	report->has_connection = false;
	report->has_analysis = false;
	report->connection_shown = false;
	report->has_trace = false;
	report->is_too_long = false;
	report->marked = false;
	report->n_marks = 0;
	report->n_gaps = 0;
	report->n_more_gaps = 0;
	report->server_name_len = 0;
	if (error != 0) {
		return error;
	}
	error = cu_connection_decode(record->data, record->len, &report->connection);
	if (error != 0 || !wanted(report, report->connection.stream)) {
		report->counts.n_passed_over += error == 0;
		return error;
	}
	report->has_connection = true;
	if (takes_trace(report)) {
		struct cu_chunk chunk;
		cu_trace_begin(&report->trace, &report->connection);
		if (cu_chunk_within(&report->connection, &chunk)) {
			error = add_to_trace(report, &chunk);
		}
		return error != 0 ? error : take_chunks(report);
	}
	return 0;
}

static int add_analysis(struct cu_report *report, const struct cu_record *record)
{
	int error = (glances(report) ? cu_analysis_glance : cu_analysis_decode)(record->data, record->len,
	                                                                        &report->analysis);
	report->has_analysis =
		error == 0 && report->has_connection && report->analysis.stream == report->connection.stream;
	return error;
}

static int add_gap(struct cu_report *report, const struct cu_record *record)
{
	if (report->format->connection == NULL) {
		return 0;
	}
	if (report->n_gaps == GAP_CAP) {
		report->n_more_gaps++;
		return 0;
	}
	struct cu_gap *gap = &report->gaps[report->n_gaps];
	int error = cu_gap_decode(record->data, record->len, gap);
	if (error == 0 && report->has_connection && gap->stream == report->connection.stream) {
		report->n_gaps++;
	}
	return error;
}

static int add_transaction(struct cu_report *report, const struct cu_record *record)
{
	int error = show_pending(report);
	if (error != 0) {
		return error;
	}
	cu_buf_clear(&report->transaction_bytes);
	cu_buf_add(&report->transaction_bytes, record->data, record->len);
	if (report->transaction_bytes.failed) {
		return CU_ERR_NOMEM;
	}
	struct cu_transaction *transaction = &report->transaction;
	const struct cu_buf *bytes = &report->transaction_bytes;
	report->is_glance = glances(report);
	error = report->is_glance ? cu_transaction_glance(bytes->data, bytes->len, transaction) : 0;
	if (error == 0 && (!report->is_glance || transaction->kind == CU_TXN_TLS_HANDSHAKE)) {
		report->is_glance = false;
		error = cu_transaction_decode(bytes->data, bytes->len, transaction);
	}
	if (error != 0) {
		return error;
	}
	report->has_transaction =
		wanted(report, transaction->stream) && in_time(report, transaction->start_ns, transaction->start_ns);
	if (transaction->kind == CU_TXN_TLS_HANDSHAKE && transaction->name.len > 0 && report->has_connection &&
	    report->connection.stream == transaction->stream) {
		report->server_name_len =
			transaction->name.len < SERVER_NAME_CAP ? transaction->name.len : SERVER_NAME_CAP;
		memcpy(report->server_name, transaction->name.data, report->server_name_len);
	}
	return 0;
}

static int add_verdict(struct cu_report *report, const struct cu_record *record)
{
	if (!report->has_transaction) {
		return 0;
	}
	struct cu_verdict verdict;
	int error = cu_verdict_decode(record->data, record->len, &verdict);
	if (error != 0 || verdict.stream != report->transaction.stream ||
	    verdict.number != report->transaction.number) {
		return error;
	}
	return show_transaction(report, &verdict, record);
}

static int add_finding(struct cu_report *report, const struct cu_record *record)
{
	struct cu_finding finding;
	int error = show_pending(report);
	if (error == 0) {
		error = cu_finding_decode(record->data, record->len, &finding);
	}
	if (error != 0) {
		return error;
	}
	if (report->config.has_stream || !in_time(report, finding.start_ns, finding.end_ns)) {
		report->counts.n_passed_over++;
		return 0;
	}
	report->counts.n_findings++;
	const struct cu_report_finding item = {
		.finding = &finding,
		.first_file = file_name(report, finding.first_file),
		.last_file = file_name(report, finding.last_file),
	};
	return report->format->finding == NULL ? 0 : answered(report, report->format->finding(report->state, &item));
}

static int add_totals(struct cu_report *report, const struct cu_record *record)
{
	struct cu_totals add;
	int error = show_pending(report);
	if (error == 0) {
		error = cu_totals_decode(record->data, record->len, &add);
	}
	if (error != 0) {
		return error;
	}
	cu_totals_add(&report->counts.totals, &add);
	report->counts.has_totals = true;
	return 0;
}

/* Counts the files that the stream's header names, which may have become more. */
static void note_files(struct cu_report *report)
{
	report->counts.n_files += report->header->n_files - report->n_stream_files;
	report->n_stream_files = report->header->n_files;
	if (report->header->n_files > 1 || report->counts.n_streams > 1) {
		report->several = true;
	}
}

static int begin_stream(struct cu_report *report, struct cu_reader *reader)
{
	report->header = NULL; /* its names went with the last stream */
	int error = show_pending(report);
	report->header = cu_reader_header(reader);
	report->has_connection = false;
	report->counts.n_streams++;
	report->n_stream_files = 0;
	report->n_records = 0;
	note_files(report);
	return error;
}

static int add_record(struct cu_report *report, const struct cu_record *record)
{
	report->n_records++;
	switch (record->kind) {
	case CU_RECORD_CHUNK:
		return add_chunk(report, record);
	case CU_RECORD_CONNECTION:
		return add_connection(report, record);
	case CU_RECORD_ANALYSIS:
		return add_analysis(report, record);
	case CU_RECORD_GAP:
		return add_gap(report, record);
	case CU_RECORD_TRANSACTION:
		return add_transaction(report, record);
	case CU_RECORD_VERDICT:
		return add_verdict(report, record);
	case CU_RECORD_FINDING:
		return add_finding(report, record);
	case CU_RECORD_TOTALS:
		return add_totals(report, record);
	case CU_RECORD_MARKS:
		return add_marks(report, record);
	case CU_RECORD_SOURCES:
		note_files(report);
		return 0;
	default:
		return 0;
	}
}

/* One item of the stream. */
static int take(struct cu_report *report, struct cu_reader *reader, int item, const struct cu_record *record)
{
	if (item == CU_STREAM_HEADER) {
		return begin_stream(report, reader);
	}
	if (item == CU_STREAM_TRAILER) {
		return show_pending(report);
	}
	int error = add_record(report, record);
	if (error == CU_ERR_FORMAT) {
		report->counts.n_bad_records++;
		cu_fault_set(&report->fault, CU_ERR_FORMAT, "record %llu of kind %u cannot be decoded",
		             (unsigned long long)report->n_records, record->kind);
		return 0;
	}
	return error;
}

int cu_report_run(struct cu_report *report, struct cu_reader *reader)
{
	struct cu_record record;
	uint64_t n_bad_before = report->counts.n_bad_records;
	int error = report->sink.fault.code;
	int item = 0;
	while (error == 0 && (item = cu_reader_next(reader, &record)) > 0) {
		error = take(report, reader, item, &record);
	}
	if (error == 0) {
		error = show_pending(report);
	}
	report->header = NULL;
	report->has_connection = false;
	if (item < 0) {
		report->counts.incomplete = true;
		return item;
	}
	if (error != 0) {
		report->counts.incomplete = true;
		if (report->fault.code == CU_OK && report->sink.fault.code == CU_OK) {
			cu_fault_set(&report->fault, error, "%s", cu_error_text(error));
		}
		return error;
	}
	return report->counts.n_bad_records > n_bad_before ? CU_ERR_FORMAT : 0;
}

void cu_report_miss(struct cu_report *report, size_t n)
{
	report->counts.n_unopened += n;
}

int cu_report_finish(struct cu_report *report)
{
	if (report->sink.fault.code == CU_OK && report->format->end != NULL) {
		answered(report, report->format->end(report->state, &report->counts));
	}
	return cu_sink_flush(&report->sink);
}
