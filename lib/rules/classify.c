#include "lib/rules/classify.h"

#include "lib/base/grow.h"
#include "lib/rules/finding.h"
#include "lib/rules/internal.h"
#include "lib/rules/window.h"
#include "lib/tcp/path.h"

#include <stdlib.h>
#include <string.h>

/* The records a transaction is judged by, as they come. */
struct surroundings {
	struct cu_connection connection;
	struct cu_analysis analysis;
	struct cu_transaction transaction;
	bool has_connection, has_analysis, tls, prohibited;
	bool is_glance; /* of the analysis, whose record is kept, and of the transaction */
	struct cu_buf analysis_record;
};

/*
 * Connections of one SYN, sent not long before the end of what was seen so far:
 * that nothing answers it means nothing before its sender would send it again.
 * There are no more than CAP: who floods waits for no answers.
 */
enum { IN_FLIGHT_CAP = 1 << 14 };

struct in_flight {
	struct cu_connection *connections;
	size_t n, cap;
	int64_t seen_ns;    /* of this stream */
	int64_t settled_ns; /* what of that was seen when they were looked through last */
};

struct classifier {
	struct cu_writer *writer;
	struct cu_rules *rules;
	struct cu_classify_counts *counts;
	struct cu_findings *findings;
	struct cu_windows *windows; /* NULL: no rule is about endpoints */
	struct cu_buf buf;
	struct surroundings at;
	struct in_flight in_flight;
	bool began; /* a header was written */
};

/* Nothing of an earlier connection is true of this stream number. */
static void enter_stream(struct surroundings *at, uint64_t stream)
{
	if (at->has_connection && at->connection.stream != stream) {
		at->has_connection = false;
	}
	if (at->has_analysis && at->analysis.stream != stream) {
		at->has_analysis = false;
	}
}

static int take_analysis(struct surroundings *at, const struct cu_record *record)
{
	if (!at->is_glance) {
		return cu_analysis_decode(record->data, record->len, &at->analysis);
	}
	cu_buf_clear(&at->analysis_record);
	cu_buf_add(&at->analysis_record, record->data, record->len);
	return at->analysis_record.failed ? CU_ERR_NOMEM : cu_analysis_glance(record->data, record->len, &at->analysis);
}

/* Takes a record's facts. 1 when it is a transaction, 0 when not, CU_ERR_FORMAT, CU_ERR_NOMEM. */
static int take_facts(struct surroundings *at, struct cu_reader *reader, const struct cu_record *record)
{
	int err;
	switch (record->kind) {
	case CU_RECORD_CONNECTION:
		if (cu_connection_decode(record->data, record->len, &at->connection) != 0) {
			return cu_reader_reject(reader, "is no connection record");
		}
		at->has_connection = true;
		at->has_analysis = at->tls = at->prohibited = false;
		return 0;
	case CU_RECORD_ANALYSIS:
		err = take_analysis(at, record);
		if (err != 0) {
			return err == CU_ERR_NOMEM ? err : cu_reader_reject(reader, "is no analysis record");
		}
		at->has_analysis = true;
		return 0;
	case CU_RECORD_TRANSACTION:
		if ((at->is_glance ? cu_transaction_glance : cu_transaction_decode)(record->data, record->len,
		                                                                    &at->transaction) != 0) {
			return cu_reader_reject(reader, "is no transaction record");
		}
		enter_stream(at, at->transaction.stream);
		return 1;
	default:
		return 0;
	}
}

/* The whole of the analysis, of which a glance was taken. */
static int complete_analysis(struct surroundings *at)
{
	const struct cu_buf *record = &at->analysis_record;
	bool is_there = at->is_glance && at->has_analysis;
	return is_there ? cu_analysis_decode(record->data, record->len, &at->analysis) : 0;
}

/* The whole of the transaction, and of what it is judged by. */
static int complete_facts(struct surroundings *at, struct cu_reader *reader, const struct cu_record *record)
{
	if (!at->is_glance) {
		return 0;
	}
	if (cu_transaction_decode(record->data, record->len, &at->transaction) != 0) {
		return cu_reader_reject(reader, "is no transaction record");
	}
	return complete_analysis(at) != 0 ? cu_reader_reject(reader, "follows on what is no analysis record") : 0;
}

static struct cu_facts facts_of(const struct surroundings *at)
{
	return (struct cu_facts){.transaction = &at->transaction,
	                         .connection = at->has_connection ? &at->connection : NULL,
	                         .analysis = at->has_analysis ? &at->analysis : NULL,
	                         .tls = at->tls};
}

static int count_connection(struct classifier *classifier, const struct cu_connection *connection,
                            const struct cu_analysis *analysis, bool prohibited)
{
	int err = cu_findings_add(classifier->findings, connection, analysis, prohibited);
	if (err == 0 && classifier->windows) {
		err = cu_windows_add_connection(classifier->windows, connection, analysis, prohibited);
	}
	return err;
}

/* Counts those whose SYN is unanswered by now; at the end of the stream the others too, but not as that. */
static int settle(struct classifier *classifier, bool at_end)
{
	struct in_flight *in_flight = &classifier->in_flight;
	size_t n = in_flight->n;
	int err = 0;
	in_flight->n = 0;
	for (size_t i = 0; i < n && err == 0; i++) {
		const struct cu_connection connection = in_flight->connections[i];
		bool over = cu_add_ns(connection.end_ns, CU_TIMER_FIRST_NS) <= in_flight->seen_ns;
		const struct cu_analysis analysis = {.stream = connection.stream,
		                                     .completeness = CU_SEEN_SYN,
		                                     .close = over ? CU_CLOSE_UNANSWERED : CU_CLOSE_NONE};
		if (over || at_end) {
			err = count_connection(classifier, &connection, &analysis, false);
		} else {
			in_flight->connections[in_flight->n++] = connection;
		}
	}
	in_flight->seen_ns = at_end ? 0 : in_flight->seen_ns;
	in_flight->settled_ns = in_flight->seen_ns;
	return err;
}

/* Puts a connection with those in flight, where there is room. */
static int put_in_flight(struct classifier *classifier, const struct cu_connection *connection)
{
	const int64_t seldom_ns = CU_NS_PER_S / 10;
	struct in_flight *in_flight = &classifier->in_flight;
	bool is_time = in_flight->seen_ns - in_flight->settled_ns > seldom_ns;
	int err = in_flight->n == in_flight->cap && is_time ? settle(classifier, false) : 0;
	if (err == 0 && in_flight->n == IN_FLIGHT_CAP) {
		return count_connection(classifier, connection, &classifier->at.analysis, false);
	}
	if (err != 0 || !cu_grow((void **)&in_flight->connections, &in_flight->cap, in_flight->n,
	                         sizeof(*in_flight->connections))) {
		return err != 0 ? err : CU_ERR_NOMEM;
	}
	in_flight->connections[in_flight->n] = *connection;
	in_flight->connections[in_flight->n++].timeline = (struct cu_text){0}; /* borrowed of the record */
	return 0;
}

static void see_until(struct classifier *classifier, int64_t time_ns)
{
	int64_t *seen_ns = &classifier->in_flight.seen_ns;
	*seen_ns = time_ns > *seen_ns ? time_ns : *seen_ns;
}

/* The connection is over: it counts for its endpoints. */
static int leave_connection(struct classifier *classifier)
{
	struct surroundings *at = &classifier->at;
	int err = 0;
	if (at->has_connection && at->has_analysis) {
		if (cu_findings_need_all(&at->analysis, at->prohibited)) {
			err = complete_analysis(at);
		}
		see_until(classifier, at->connection.end_ns);
		bool may_be_in_flight = at->analysis.close == CU_CLOSE_UNANSWERED && !at->prohibited &&
		                        at->connection.end == CU_END_OPEN &&
		                        at->connection.side[CU_C2S].n_segments <= 1;
		if (err == 0) {
			err = may_be_in_flight
			              ? put_in_flight(classifier, &at->connection)
			              : count_connection(classifier, &at->connection, &at->analysis, at->prohibited);
		}
	}
	at->has_connection = at->has_analysis = false;
	return err;
}

/* Until when there was something to see. */
static int take_totals(struct classifier *classifier, struct cu_reader *reader, const struct cu_record *record)
{
	struct cu_totals totals;
	if (cu_totals_decode(record->data, record->len, &totals) != 0) {
		return cu_reader_reject(reader, "is no record of totals");
	}
	if (cu_totals_have_times(&totals)) {
		see_until(classifier, totals.last_ns);
	}
	return 0;
}

static int write_verdict(struct classifier *classifier, struct cu_reader *reader, const struct cu_record *record)
{
	struct surroundings *at = &classifier->at;
	struct cu_classify_counts *counts = classifier->counts;
	struct cu_facts facts = facts_of(at);
	struct cu_verdict verdict;
	if (!at->is_glance || !cu_rules_pass_over(classifier->rules, &facts, &verdict)) {
		int whole = complete_facts(at, reader, record);
		if (whole != 0) {
			return whole;
		}
		cu_rules_judge(classifier->rules, &facts, &verdict);
	}
	at->tls = at->tls || at->transaction.kind == CU_TXN_TLS_HANDSHAKE;
	/* A refusal is judged always, so that what is derived is of this transaction. */
	at->prohibited = at->prohibited ||
	                 (at->transaction.kind == CU_TXN_CONNECT && at->transaction.outcome == CU_OUTCOME_REFUSED &&
	                  classifier->rules->derived.prohibited);
	counts->n_transactions++;
	counts->n_slow += verdict.slow;
	counts->n_by_rule += verdict.rule.len > 0;
	counts->n_blamed[verdict.blame]++;
	int err = classifier->windows ? cu_windows_add_transaction(classifier->windows, &facts, &verdict) : 0;
	if (err != 0) {
		return err;
	}
	cu_buf_clear(&classifier->buf);
	cu_verdict_encode(&verdict, &classifier->buf);
	if (classifier->buf.failed || cu_rules_failed(classifier->rules)) {
		return CU_ERR_NOMEM;
	}
	return cu_writer_add(classifier->writer, CU_RECORD_VERDICT, classifier->buf.data, classifier->buf.len);
}

static int take_record(struct classifier *classifier, struct cu_reader *reader, const struct cu_record *record)
{
	struct cu_classify_counts *counts = classifier->counts;
	if (record->kind == CU_RECORD_VERDICT || record->kind == CU_RECORD_FINDING) {
		return 0; /* an earlier judgement */
	}
	if (record->kind == CU_RECORD_CONNECTION) {
		int err = leave_connection(classifier);
		if (err != 0) {
			return err;
		}
	}
	if (record->kind == CU_RECORD_TOTALS) {
		int err = take_totals(classifier, reader, record);
		if (err != 0) {
			return err;
		}
	}
	int is_transaction = take_facts(&classifier->at, reader, record);
	if (is_transaction < 0) {
		return is_transaction;
	}
	counts->n_connections += record->kind == CU_RECORD_CONNECTION;
	counts->n_analyses += record->kind == CU_RECORD_ANALYSIS;
	int err = cu_writer_add(classifier->writer, record->kind, record->data, record->len);
	return err == 0 && is_transaction ? write_verdict(classifier, reader, record) : err;
}

static int leave_stream(struct classifier *classifier)
{
	int err = leave_connection(classifier);
	return err == 0 ? settle(classifier, true) : err;
}

static int run(struct classifier *classifier, struct cu_reader *reader)
{
	for (;;) {
		struct cu_record record;
		int item = cu_reader_next(reader, &record);
		int err = 0;
		if (item <= 0) {
			return item;
		}
		if (item == CU_STREAM_RECORD) {
			err = take_record(classifier, reader, &record);
		} else if (item == CU_STREAM_HEADER) {
			err = leave_stream(classifier);
			if (err == 0 && classifier->began) {
				err = cu_writer_finish(classifier->writer);
			}
			classifier->began = true;
			if (err == 0) {
				err = cu_writer_header(classifier->writer, cu_reader_header(reader));
			}
		}
		if (err != 0) {
			return err;
		}
	}
}

static int write_finding(void *context, const struct cu_finding *finding)
{
	struct classifier *classifier = context;
	cu_buf_clear(&classifier->buf);
	cu_finding_encode(finding, &classifier->buf);
	if (classifier->buf.failed) {
		return CU_ERR_NOMEM;
	}
	classifier->counts->n_findings++;
	return cu_writer_add(classifier->writer, CU_RECORD_FINDING, classifier->buf.data, classifier->buf.len);
}

/* Findings, of all streams, and the last trailer. */
static int finish(struct classifier *classifier)
{
	int err = leave_stream(classifier);
	if (err == 0) {
		err = cu_findings_each(classifier->findings, write_finding, classifier);
		classifier->counts->n_left_out = cu_findings_n_left_out(classifier->findings);
		classifier->counts->n_forgotten = cu_findings_n_forgotten(classifier->findings);
	}
	if (err == 0 && classifier->windows) {
		err = cu_windows_each(classifier->windows, write_finding, classifier);
		classifier->counts->n_uncounted = cu_windows_n_dropped(classifier->windows);
		classifier->counts->n_left_out += cu_windows_n_left_out(classifier->windows);
	}
	int finish_err = cu_writer_finish(classifier->writer);
	return err != 0 ? err : finish_err;
}

int cu_classify(struct cu_reader *const *readers, size_t n_readers, struct cu_writer *writer, struct cu_rules *rules,
                struct cu_classify_counts *counts)
{
	struct classifier classifier = {
		.writer = writer, .rules = rules, .counts = counts, .findings = cu_findings_new()};
	int first = classifier.findings ? cu_windows_new(&classifier.windows, rules) : CU_ERR_NOMEM;
	*counts = (struct cu_classify_counts){0};
	/* Most transactions are not slow, and nothing but a rule about endpoints asks more of those. */
	classifier.at.is_glance = classifier.windows == NULL;
	for (size_t r = 0; r < n_readers && first != CU_ERR_NOMEM; r++) {
		int err = run(&classifier, readers[r]);
		if (err == CU_ERR_TRUNCATED) {
			cu_writer_cut(writer);
		}
		first = first != 0 ? first : err;
		if (err == CU_ERR_NOMEM || cu_writer_fault(writer)->code != CU_OK) {
			break;
		}
	}
	if (classifier.began && classifier.findings && cu_writer_fault(writer)->code == CU_OK) {
		int err = finish(&classifier);
		first = first != 0 ? first : err;
	}
	cu_windows_free(classifier.windows);
	cu_findings_free(classifier.findings);
	cu_buf_release(&classifier.buf);
	cu_buf_release(&classifier.at.analysis_record);
	free(classifier.in_flight.connections);
	return first;
}

/* Calls take for each transaction of the streams. 0, a reader's error, or what take returned when that was not 0. */
static int each_transaction(struct cu_reader *const *readers, size_t n_readers,
                            int (*take)(void *context, const struct surroundings *at), void *context)
{
	struct surroundings at = {0};
	int first = 0;
	for (size_t r = 0; r < n_readers; r++) {
		struct cu_record record;
		int item, err = 0;
		while (err == 0 && (item = cu_reader_next(readers[r], &record)) != CU_STREAM_END) {
			int is_transaction = item;
			if (item > 0) {
				is_transaction = item == CU_STREAM_RECORD ? take_facts(&at, readers[r], &record) : 0;
			}
			err = is_transaction < 0 ? is_transaction : is_transaction > 0 ? take(context, &at) : 0;
			if (is_transaction > 0) {
				at.tls = at.tls || at.transaction.kind == CU_TXN_TLS_HANDSHAKE;
			}
		}
		first = first != 0 ? first : err;
	}
	return first;
}

struct learner {
	struct cu_rules *rules;
	struct cu_baseline *baseline;
};

static int learn(void *context, const struct surroundings *at)
{
	const struct learner *learner = context;
	if (!at->has_connection) {
		return 0;
	}
	struct cu_text service = cu_rules_service(learner->rules, &at->connection.server, at->connection.server_port);
	return cu_baseline_add(learner->baseline, service, at->connection.server_port, &at->transaction);
}

int cu_classify_learn(struct cu_reader *const *readers, size_t n_readers, struct cu_rules *rules,
                      struct cu_baseline *baseline)
{
	struct learner learner = {.rules = rules, .baseline = baseline};
	return each_transaction(readers, n_readers, learn, &learner);
}

bool cu_explain_parse(const char *text, struct cu_explain_config *config)
{
	char stream[CU_TEXT_CAP];
	const char *colon = strchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(stream)) {
		return false;
	}
	memcpy(stream, text, (size_t)(colon - text));
	stream[colon - text] = '\0';
	config->one = true;
	return cu_parse_u64(stream, UINT64_MAX, &config->stream) &&
	       cu_parse_u64(colon + 1, UINT64_MAX, &config->number);
}

struct explainer {
	struct cu_rules *rules;
	const struct cu_explain_config *config;
	int (*take)(void *context, const char *text, size_t len);
	void *context;
	struct cu_buf buf;
	size_t n;
};

static bool is_wanted(const struct explainer *explainer, const struct cu_facts *facts)
{
	const struct cu_explain_config *config = explainer->config;
	struct cu_verdict verdict;
	if (config->one) {
		return facts->transaction->stream == config->stream && facts->transaction->number == config->number;
	}
	cu_rules_judge(explainer->rules, facts, &verdict);
	return verdict.slow || verdict.blame != CU_PARTY_NONE || verdict.rule.len > 0;
}

static int explain(void *context, const struct surroundings *at)
{
	struct explainer *explainer = context;
	struct cu_facts facts = facts_of(at);
	if (!is_wanted(explainer, &facts)) {
		return 0;
	}
	cu_buf_clear(&explainer->buf);
	int err = cu_rules_explain(explainer->rules, &facts, &explainer->buf);
	if (err == 0) {
		explainer->n++;
		err = explainer->take(explainer->context, (const char *)explainer->buf.data, explainer->buf.len);
	}
	return err;
}

int cu_classify_explain(struct cu_reader *const *readers, size_t n_readers, struct cu_rules *rules,
                        const struct cu_explain_config *config,
                        int (*take)(void *context, const char *text, size_t len), void *context, size_t *n)
{
	struct explainer explainer = {.rules = rules, .config = config, .take = take, .context = context};
	int err = each_transaction(readers, n_readers, explain, &explainer);
	*n = explainer.n;
	cu_buf_release(&explainer.buf);
	return err;
}
