/*
 * Metrics for the textfile collector of Prometheus' node exporter, in the text
 * exposition format 0.0.4.
 *
 * They tell of the captures that were read, and the next report replaces them:
 * so all are gauges and no name ends in _total, but for the two families of
 * response times, whose types have the counts built in. How many series there
 * are has a bound: servers beyond --top are one, named other; kinds of findings
 * are the known ones, and other.
 */
#include "lib/report/groups.h"
#include "lib/report/json_write.h"
#include "lib/report/term.h"

#include <stdlib.h>
#include <string.h>

enum { NS_PER_S = 1000000000, MS = 1000000 };

/* Upper bounds of the histogram's buckets. */
static const int64_t bounds_ns[] = {
	1 * MS,          2500000,         5 * MS,          10 * MS,          25 * MS,     50 * MS,
	100 * MS,        250 * MS,        500 * MS,        1LL * NS_PER_S,   2500LL * MS, 5LL * NS_PER_S,
	10LL * NS_PER_S, 25LL * NS_PER_S, 50LL * NS_PER_S, 100LL * NS_PER_S,
};
enum { N_BOUNDS = sizeof(bounds_ns) / sizeof(bounds_ns[0]) };

static const struct {
	double share;
	const char *label;
} quantiles[] = {{0.5, "0.5"}, {0.9, "0.9"}, {0.95, "0.95"}, {0.99, "0.99"}};
enum { N_QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

/* Kinds of findings; those of a later version are the last. */
static const char *const finding_kinds[] = {"scan",    "resets",     "aborts", "half_open",
                                            "refused", "unanswered", "rule",   "other"};
enum { N_FINDING_KINDS = sizeof(finding_kinds) / sizeof(finding_kinds[0]) };

struct finding_sum {
	uint64_t n, count;
};

struct prometheus {
	struct cu_sink *sink;
	size_t top;
	struct cu_groups groups;
	struct finding_sum findings[N_FINDING_KINDS][CU_N_PARTIES];
	uint64_t connections_by_close[CU_CLOSE_HALF_OPEN + 1];
	uint64_t segments[2], retransmitted[2]; /* by direction; segments with data */
};

static int prometheus_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	struct prometheus *prometheus = calloc(1, sizeof(*prometheus));
	if (prometheus == NULL) {
		return CU_ERR_NOMEM;
	}
	prometheus->sink = sink;
	prometheus->top = config->all || config->top >= SIZE_MAX ? SIZE_MAX : (size_t)config->top;
	cu_groups_init(&prometheus->groups, CU_GROUPS_BY_ENDPOINT);
	prometheus->groups.requests_only = true;
	*state = prometheus;
	return 0;
}

static void prometheus_close(void *state)
{
	struct prometheus *prometheus = state;
	cu_groups_release(&prometheus->groups);
	free(prometheus);
}

static int prometheus_connection(void *state, const struct cu_report_connection *item)
{
	struct prometheus *prometheus = state;
	const struct cu_analysis *analysis = item->analysis;
	unsigned close = analysis != NULL && analysis->close <= CU_CLOSE_HALF_OPEN ? analysis->close : CU_CLOSE_NONE;
	prometheus->connections_by_close[close]++;
	for (unsigned dir = 0; dir < 2 && analysis != NULL; dir++) {
		prometheus->segments[dir] += analysis->side[dir].n_data_segments;
		prometheus->retransmitted[dir] += analysis->side[dir].n_retransmitted;
	}
	return 0;
}

static int prometheus_transaction(void *state, const struct cu_report_transaction *item)
{
	return cu_groups_add(&((struct prometheus *)state)->groups, item);
}

static int prometheus_finding(void *state, const struct cu_report_finding *item)
{
	struct prometheus *prometheus = state;
	const struct cu_finding *finding = item->finding;
	unsigned kind = 0;
	while (kind < N_FINDING_KINDS - 1 &&
	       (strlen(finding_kinds[kind]) != finding->kind.len ||
	        memcmp(finding_kinds[kind], finding->kind.data, finding->kind.len) != 0)) {
		kind++;
	}
	unsigned party = finding->blame < CU_N_PARTIES ? finding->blame : (unsigned)CU_PARTY_UNKNOWN;
	prometheus->findings[kind][party].n++;
	prometheus->findings[kind][party].count += finding->count;
	return 0;
}

static void put_family(struct cu_buf *out, const char *name, const char *type, const char *help)
{
	CU_PUT(out, "# HELP ");
	cu_puts(out, name);
	CU_PUT(out, " ");
	cu_puts(out, help);
	CU_PUT(out, "\n# TYPE ");
	cu_puts(out, name);
	CU_PUT(out, " ");
	cu_puts(out, type);
	CU_PUT(out, "\n");
}

/* Nanoseconds as seconds, exactly: "0.0025". */
static void put_seconds(struct cu_buf *out, uint64_t ns)
{
	cu_put_u64(out, ns / NS_PER_S);
	char digits[10] = ".";
	uint64_t rest = ns % NS_PER_S;
	for (size_t i = 9; i > 0; i--) {
		digits[i] = (char)('0' + rest % 10);
		rest /= 10;
	}
	size_t len = sizeof(digits);
	while (len > 0 && (digits[len - 1] == '0' || digits[len - 1] == '.')) {
		len--;
	}
	cu_put(out, digits, len);
}

static void put_time(struct cu_buf *out, int64_t time_ns)
{
	CU_PUT(out, " ");
	cu_puts(out, time_ns < 0 ? "-" : "");
	put_seconds(out, time_ns < 0 ? 0 - (uint64_t)time_ns : (uint64_t)time_ns);
	CU_PUT(out, "\n");
}

static void put_count(struct cu_buf *out, uint64_t v)
{
	CU_PUT(out, " ");
	cu_put_u64(out, v);
	CU_PUT(out, "\n");
}

/* A family of one series. */
static void put_one(struct cu_buf *out, const char *name, const char *help, uint64_t v)
{
	put_family(out, name, "gauge", help);
	cu_puts(out, name);
	put_count(out, v);
}

/* A family of one time, when there is one. */
static void put_one_time(struct cu_buf *out, const char *name, const char *help, int64_t time_ns)
{
	put_family(out, name, "gauge", help);
	cu_puts(out, name);
	put_time(out, time_ns);
}

/*
 * A label's value: UTF-8 in which a quote is escaped. What is not printable or
 * not UTF-8, and the backslash itself are shown as \xNN, so that no two texts look
 * the same: a series that is there twice would fail the whole file.
 */
static void put_value(struct cu_buf *out, struct cu_text text)
{
	static const char digit[] = "0123456789abcdef";
	for (size_t i = 0, n; i < text.len; i += n) {
		uint8_t c = (uint8_t)text.data[i];
		n = cu_utf8_printable(text.data + i, text.len - i);
		if (n == 0 || c == '\\') {
			cu_put(out, (const char[]){'\\', '\\', 'x', digit[c >> 4], digit[c & 15]}, 5);
			n = 1;
		} else {
			cu_puts(out, c == '"' ? "\\" : "");
			cu_put(out, text.data + i, n);
		}
	}
}

/* The labels that all series of a group have, and what comes before them: culprit_transactions{service="...",server="..." */
static void put_endpoint(const struct prometheus *prometheus, const struct cu_group *group, const char *name)
{
	struct cu_buf *out = &prometheus->sink->buf;
	cu_puts(out, name);
	if (group == &prometheus->groups.others) {
		CU_PUT(out, "{service=\"other\",server=\"other\"");
		return;
	}
	CU_PUT(out, "{service=\"");
	put_value(out, cu_group_service(group));
	CU_PUT(out, "\",server=\"");
	cu_group_name(&prometheus->groups, group, out);
	CU_PUT(out, "\"");
}

static void put_party_and_cause(struct cu_buf *out, unsigned party, unsigned cause)
{
	CU_PUT(out, ",party=\"");
	cu_puts(out, cu_party_name(party));
	CU_PUT(out, "\",cause=\"");
	cu_puts(out, cu_cause_name(cause));
	CU_PUT(out, "\"}");
}

static void put_transactions(const struct prometheus *prometheus, const struct cu_group *group)
{
	struct cu_buf *out = &prometheus->sink->buf;
	for (unsigned kind = 0; kind <= CU_TXN_CLOSE; kind++) {
		if (group->n_by_kind[kind] > 0) {
			put_endpoint(prometheus, group, "culprit_transactions");
			CU_PUT(out, ",kind=\"");
			cu_puts(out, cu_txn_kind_name(kind));
			CU_PUT(out, "\"}");
			put_count(out, group->n_by_kind[kind]);
		}
	}
}

static void put_slow(const struct prometheus *prometheus, const struct cu_group *group)
{
	struct cu_buf *out = &prometheus->sink->buf;
	for (unsigned party = 0; party < CU_N_PARTIES; party++) {
		uint64_t n_without = group->slow_by_party[party];
		for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
			uint64_t n = cu_cause_party(cause) == party ? group->slow_by_cause[cause] : 0;
			if (n > 0) {
				put_endpoint(prometheus, group, "culprit_slow_transactions");
				put_party_and_cause(out, party, cause);
				put_count(out, n);
			}
			n_without -= n;
		}
		if (n_without > 0) {
			put_endpoint(prometheus, group, "culprit_slow_transactions");
			put_party_and_cause(out, party, CU_CAUSE_NONE);
			put_count(out, n_without);
		}
	}
}

static void put_ledger(const struct prometheus *prometheus, const struct cu_group *group)
{
	struct cu_buf *out = &prometheus->sink->buf;
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (group->ns_by_cause[cause] > 0) {
			put_endpoint(prometheus, group, "culprit_ledger_seconds");
			put_party_and_cause(out, cu_cause_party(cause), cause);
			CU_PUT(out, " ");
			put_seconds(out, group->ns_by_cause[cause]);
			CU_PUT(out, "\n");
		}
	}
}

/* _sum and _count of a histogram or summary. */
static void put_sum(const struct prometheus *prometheus, const struct cu_group *group, const char *sum,
                    const char *count)
{
	struct cu_buf *out = &prometheus->sink->buf;
	put_endpoint(prometheus, group, sum);
	CU_PUT(out, "} ");
	put_seconds(out, group->total_ns);
	CU_PUT(out, "\n");
	put_endpoint(prometheus, group, count);
	CU_PUT(out, "}");
	put_count(out, group->histogram.n);
}

static void put_histogram(const struct prometheus *prometheus, const struct cu_group *group)
{
	struct cu_buf *out = &prometheus->sink->buf;
	for (size_t i = 0; i <= N_BOUNDS && group->histogram.n > 0; i++) {
		put_endpoint(prometheus, group, "culprit_response_seconds_bucket");
		CU_PUT(out, ",le=\"");
		if (i < N_BOUNDS) {
			put_seconds(out, (uint64_t)bounds_ns[i]);
		} else {
			CU_PUT(out, "+Inf");
		}
		CU_PUT(out, "\"}");
		put_count(out,
		          i < N_BOUNDS ? cu_histogram_at_most(&group->histogram, bounds_ns[i]) : group->histogram.n);
	}
	if (group->histogram.n > 0) {
		put_sum(prometheus, group, "culprit_response_seconds_sum", "culprit_response_seconds_count");
	}
}

static void put_quantiles(const struct prometheus *prometheus, const struct cu_group *group)
{
	struct cu_buf *out = &prometheus->sink->buf;
	for (size_t i = 0; i < N_QUANTILES && group->histogram.n > 0; i++) {
		put_endpoint(prometheus, group, "culprit_response_quantile_seconds");
		CU_PUT(out, ",quantile=\"");
		cu_puts(out, quantiles[i].label);
		CU_PUT(out, "\"} ");
		put_seconds(out, (uint64_t)cu_histogram_quantile(&group->histogram, quantiles[i].share));
		CU_PUT(out, "\n");
	}
	if (group->histogram.n > 0) {
		put_sum(prometheus, group, "culprit_response_quantile_seconds_sum",
		        "culprit_response_quantile_seconds_count");
	}
}

/* A family with series of each group. */
static int put_groups(const struct prometheus *prometheus, const char *name, const char *type, const char *help,
                      void (*put)(const struct prometheus *prometheus, const struct cu_group *group))
{
	const struct cu_groups *groups = &prometheus->groups;
	int error = 0;
	put_family(&prometheus->sink->buf, name, type, help);
	for (size_t i = 0; i < groups->n && error == 0; i++) {
		put(prometheus, &groups->group[i]);
		error = cu_sink_drain(prometheus->sink);
	}
	if (error == 0 && groups->others.n > 0) {
		put(prometheus, &groups->others);
	}
	return error;
}

static void put_capture(struct cu_buf *out, const struct cu_report_counts *counts)
{
	const struct cu_totals *totals = &counts->totals;
	put_family(out, "culprit_build_info", "gauge", "The version of culprit that made the report; always 1.");
	CU_PUT(out, "culprit_build_info{version=\"" CU_VERSION "\"} 1\n");
	put_one(out, "culprit_capture_complete", "Whether all input could be read to its end.",
	        cu_report_is_complete(counts));
	put_one(out, "culprit_capture_files", "Captures that the report is of.", counts->n_files);
	if (cu_totals_have_times(totals)) {
		put_one_time(out, "culprit_capture_first_timestamp_seconds", "Time of the first packet.",
		             totals->first_ns);
		put_one_time(out, "culprit_capture_last_timestamp_seconds", "Time of the last packet.",
		             totals->last_ns);
	}
	put_one(out, "culprit_capture_packets", "Packets read.", totals->n_packets);
	put_one(out, "culprit_capture_tcp_packets", "Packets of TCP among them.", totals->n_tcp);
	put_one(out, "culprit_capture_dropped_packets", "Packets that whoever captured says were dropped.",
	        totals->n_drops);
	put_one(out, "culprit_capture_malformed_packets", "Packets that could not be decoded.", totals->n_malformed);
	put_one(out, "culprit_capture_damaged_places", "Damaged places in captures.", totals->n_damaged);
	put_one(out, "culprit_capture_skipped_bytes", "Bytes that were skipped there.", totals->n_skipped_bytes);
	put_one(out, "culprit_capture_truncated_files", "Captures that end in the middle of a packet.",
	        totals->n_truncated);
	put_one(out, "culprit_capture_unread_files",
	        "Other captures that could not be opened, or not be read to their end.", totals->n_unread);
}

static void put_connections(const struct prometheus *prometheus)
{
	static const char *const direction[] = {[CU_C2S] = "{direction=\"c2s\"}", [CU_S2C] = "{direction=\"s2c\"}"};
	struct cu_buf *out = &prometheus->sink->buf;
	put_family(out, "culprit_connections", "gauge", "TCP connections, by how they closed.");
	for (unsigned close = 0; close <= CU_CLOSE_HALF_OPEN; close++) {
		CU_PUT(out, "culprit_connections{close=\"");
		cu_puts(out, cu_close_name(close));
		CU_PUT(out, "\"}");
		put_count(out, prometheus->connections_by_close[close]);
	}
	put_family(out, "culprit_data_segments", "gauge", "Segments with payload.");
	for (unsigned dir = 0; dir < 2; dir++) {
		CU_PUT(out, "culprit_data_segments");
		cu_puts(out, direction[dir]);
		put_count(out, prometheus->segments[dir]);
	}
	put_family(out, "culprit_retransmitted_segments", "gauge", "Segments that were sent again.");
	for (unsigned dir = 0; dir < 2; dir++) {
		CU_PUT(out, "culprit_retransmitted_segments");
		cu_puts(out, direction[dir]);
		put_count(out, prometheus->retransmitted[dir]);
	}
}

static void put_finding(struct cu_buf *out, const char *name, unsigned kind, unsigned party, uint64_t v)
{
	cu_puts(out, name);
	CU_PUT(out, "{kind=\"");
	cu_puts(out, finding_kinds[kind]);
	CU_PUT(out, "\",party=\"");
	cu_puts(out, cu_party_name(party));
	CU_PUT(out, "\"}");
	put_count(out, v);
}

static void put_findings(const struct prometheus *prometheus)
{
	struct cu_buf *out = &prometheus->sink->buf;
	put_family(out, "culprit_findings", "gauge", "Endpoints that stand out, by what they do and who is to blame.");
	for (unsigned at = 0; at < N_FINDING_KINDS * CU_N_PARTIES; at++) {
		unsigned kind = at / CU_N_PARTIES, party = at % CU_N_PARTIES;
		if (prometheus->findings[kind][party].n > 0) {
			put_finding(out, "culprit_findings", kind, party, prometheus->findings[kind][party].n);
		}
	}
	put_family(out, "culprit_finding_occurrences", "gauge", "How often they did it, added up.");
	for (unsigned at = 0; at < N_FINDING_KINDS * CU_N_PARTIES; at++) {
		unsigned kind = at / CU_N_PARTIES, party = at % CU_N_PARTIES;
		if (prometheus->findings[kind][party].n > 0) {
			put_finding(out, "culprit_finding_occurrences", kind, party,
			            prometheus->findings[kind][party].count);
		}
	}
}

static int prometheus_end(void *state, const struct cu_report_counts *counts)
{
	static const struct {
		const char *name, *type, *help;
		void (*put)(const struct prometheus *prometheus, const struct cu_group *group);
	} families[] = {
		{"culprit_transactions", "gauge", "Transactions.", put_transactions},
		{"culprit_slow_transactions", "gauge", "Transactions that were slow, by who is to blame and for what.",
	         put_slow},
		{"culprit_ledger_seconds", "gauge", "Where the time of all transactions went.", put_ledger},
		{"culprit_response_seconds", "histogram",
	         "How long requests took, first byte sent to last byte received.", put_histogram},
		{"culprit_response_quantile_seconds", "summary", "Percentiles of the same, right to 1/64.",
	         put_quantiles},
	};
	struct prometheus *prometheus = state;
	cu_groups_sort(&prometheus->groups);
	int error = cu_groups_keep(&prometheus->groups, prometheus->top);
	if (error == 0) {
		put_capture(&prometheus->sink->buf, counts);
		put_connections(prometheus);
		put_findings(prometheus);
	}
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && error == 0; i++) {
		error = put_groups(prometheus, families[i].name, families[i].type, families[i].help, families[i].put);
	}
	return error;
}

const struct cu_format cu_format_prometheus = {
	.name = "prometheus",
	.open = prometheus_open,
	.connection = prometheus_connection,
	.transaction = prometheus_transaction,
	.finding = prometheus_finding,
	.end = prometheus_end,
	.close = prometheus_close,
};
