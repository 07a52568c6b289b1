/*
 * The tables of --by: where the time of each service, server or client goes,
 * or what each cause costs. As text and as JSON Lines.
 */
#include "lib/report/groups.h"
#include "lib/report/json_write.h"
#include "lib/report/text_table.h"
#include "lib/report/words.h"

#include <stdlib.h>
#include <string.h>

/* Cells of the bar of a row. */
enum { BAR = 16 };

static const unsigned parties[] = {CU_PARTY_CLIENT, CU_PARTY_NETWORK, CU_PARTY_SERVER, CU_PARTY_UNKNOWN};
enum { N_SHOWN_PARTIES = sizeof(parties) / sizeof(parties[0]) };

struct by {
	struct cu_groups groups;
	struct cu_term term;
	struct cu_sink *sink;
	size_t top;
};

static const char *const by_name[] = {
	[CU_REPORT_BY_SERVICE] = "service",
	[CU_REPORT_BY_SERVER] = "server",
	[CU_REPORT_BY_CLIENT] = "client",
	[CU_REPORT_BY_CAUSE] = "cause",
};

static int by_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	struct by *by = calloc(1, sizeof(*by));
	if (by == NULL) {
		return CU_ERR_NOMEM;
	}
	by->term = config->term;
	by->sink = sink;
	by->top = config->all || config->top >= SIZE_MAX ? SIZE_MAX : (size_t)config->top;
	cu_groups_init(&by->groups, config->by);
	*state = by;
	return 0;
}

static void by_close(void *state)
{
	struct by *by = state;
	cu_groups_release(&by->groups);
	free(by);
}

static int by_transaction(void *state, const struct cu_report_transaction *item)
{
	return cu_groups_add(&((struct by *)state)->groups, item);
}

/* The party that most of the slow ones are blamed on, and how many: "server 12". */
static void say_blame(struct cu_buf *cell, const struct cu_group *group)
{
	unsigned most = CU_PARTY_NONE;
	for (size_t i = 0; i < N_SHOWN_PARTIES; i++) {
		if (group->slow_by_party[parties[i]] > group->slow_by_party[most]) {
			most = parties[i];
		}
	}
	if (group->slow_by_party[most] > 0) {
		cu_term_style(cell, CU_STYLE_PARTY + most);
		cu_puts(cell, cu_party_words(most));
		cu_buf_add_u8(cell, CU_MARK_NBSP);
		cu_term_count(cell, group->slow_by_party[most]);
	}
}

/* The row's time by party, as a bar. */
static void say_bar(struct cu_buf *cell, const struct cu_term *term, const struct cu_group *group, uint64_t sum)
{
	static const char *const block[N_SHOWN_PARTIES] = {"░", "▒", "█", "·"};
	static const char *const ascii[N_SHOWN_PARTIES] = {"c", "n", "S", "."};
	uint64_t before = 0;
	for (size_t i = 0; i < N_SHOWN_PARTIES && sum > 0; i++) {
		uint64_t after = before + cu_group_party_ns(group, parties[i]);
		size_t from = (size_t)(((unsigned __int128)before * BAR + sum / 2) / sum);
		size_t to = (size_t)(((unsigned __int128)after * BAR + sum / 2) / sum);
		cu_term_style(cell, CU_STYLE_PARTY + parties[i]);
		for (; from < to; from++) {
			cu_puts(cell, term->unicode ? block[i] : ascii[i]);
		}
		before = after;
	}
}

static void add_row(struct by *by, struct cu_text_table *table, const struct cu_group *group)
{
	struct cu_buf *cell = &table->cell;
	struct cu_buf name = {0};
	cu_group_name(&by->groups, group, &name);
	cu_term_escape(cell, (const char *)name.data, name.len, by->term.unicode);
	cell->failed = cell->failed || name.failed;
	cu_buf_release(&name);
	cu_text_table_next(table);
	cu_term_count(cell, group->n);
	cu_text_table_next(table);
	if (group->n_slow > 0) {
		cu_term_style(cell, CU_STYLE_BOLD);
	}
	cu_term_count(cell, group->n_slow);
	cu_text_table_next(table);
	say_blame(cell, group);
	cu_text_table_next(table);
	cu_term_duration(cell, cu_histogram_quantile(&group->histogram, 0.5));
	cu_text_table_next(table);
	cu_term_duration(cell, cu_histogram_quantile(&group->histogram, 0.95));
	cu_text_table_next(table);
	cu_term_duration(cell, group->histogram.max_ns);
	cu_text_table_next(table);
	uint64_t sum = 0;
	for (size_t i = 0; i < N_SHOWN_PARTIES; i++) {
		sum += cu_group_party_ns(group, parties[i]);
	}
	for (size_t i = 0; i < N_SHOWN_PARTIES; i++) {
		if (cu_group_party_ns(group, parties[i]) > 0) {
			cu_term_percent(cell, cu_group_party_ns(group, parties[i]), sum);
		}
		cu_text_table_next(table);
	}
	say_bar(cell, &by->term, group, sum);
	cu_text_table_next(table);
}

static void put_line(struct by *by, struct cu_buf *line)
{
	cu_term_flow(&by->term, &by->sink->buf, 0, (const char *)line->data, line->len);
	by->sink->buf.failed = by->sink->buf.failed || line->failed;
	cu_buf_release(line);
}

static void put_empty(struct by *by, const struct cu_report_counts *counts)
{
	struct cu_buf line = {0};
	if (counts->n_connections > 0 && counts->n_analysed == 0) {
		CU_PUT(&line, "There are no transactions to gather: the connections are not analysed. "
		              "Pipe them through culprit analyze and culprit classify.");
	} else {
		CU_PUT(&line, "There are no transactions to gather.");
	}
	put_line(by, &line);
}

static int by_end(void *state, const struct cu_report_counts *counts)
{
	struct by *by = state;
	struct cu_groups *groups = &by->groups;
	struct cu_text_table_column columns[] = {
		{.title = by_name[groups->by], .flexible = true},
		{.title = "count", .right = true},
		{.title = "slow", .right = true},
		{.title = "mostly", .optional = 2},
		{.title = "median", .right = true},
		{.title = "p95", .right = true},
		{.title = "max", .right = true},
		{.title = "client", .right = true, .optional = 1},
		{.title = "network", .right = true, .optional = 1},
		{.title = "server", .right = true, .optional = 1},
		{.title = "unknown", .right = true, .optional = 3},
		{.title = "time", .optional = 4},
		{.title = NULL},
	};
	if (groups->n == 0) {
		put_empty(by, counts);
		return 0;
	}
	struct cu_text_table table;
	cu_groups_sort(groups);
	cu_text_table_init(&table, columns);
	size_t n = groups->n < by->top ? groups->n : by->top;
	for (size_t i = 0; i < n; i++) {
		add_row(by, &table, &groups->group[i]);
	}
	if (groups->others.n > 0) {
		add_row(by, &table, &groups->others);
	}
	int error = cu_text_table_print(&table, &by->term, &by->sink->buf, 0);
	cu_text_table_release(&table);
	if (n < groups->n) {
		struct cu_buf line = {0};
		cu_term_count(&line, groups->n - n);
		CU_PUT(&line, " more; --all shows every one");
		put_line(by, &line);
	}
	return error;
}

void cu_groups_json(const struct cu_groups *groups, const struct cu_group *group, struct cu_buf *out)
{
	struct cu_buf name = {0};
	cu_group_name(groups, group, &name);
	CU_JSON_WORD(out, "{\"record\":\"group\",\"schema\":1,\"by\":", by_name[groups->by]);
	CU_PUT(out, ",\"name\":");
	cu_json_string(out, (const char *)name.data, name.len);
	out->failed = out->failed || name.failed;
	cu_buf_release(&name);
	CU_JSON_U64(out, ",\"transactions\":", group->n);
	CU_JSON_U64(out, ",\"slow\":", group->n_slow);
	CU_PUT(out, ",\"slow_by_party\":");
	cu_json_by_party(out, group->slow_by_party);
	CU_JSON_I64(out, ",\"median_ns\":", cu_histogram_quantile(&group->histogram, 0.5));
	CU_JSON_I64(out, ",\"p95_ns\":", cu_histogram_quantile(&group->histogram, 0.95));
	CU_JSON_I64(out, ",\"max_ns\":", group->histogram.max_ns);
	CU_JSON_U64(out, ",\"total_ns\":", group->total_ns);
	CU_PUT(out, ",\"by_party_ns\":");
	uint64_t ns_by_party[CU_N_PARTIES];
	for (unsigned party = 0; party < CU_N_PARTIES; party++) {
		ns_by_party[party] = cu_group_party_ns(group, party);
	}
	cu_json_by_party(out, ns_by_party);
	CU_PUT(out, ",\"histogram\":[");
	for (size_t i = 0; i < group->histogram.n_buckets; i++) {
		const struct cu_histogram_bucket *bucket = &group->histogram.bucket[i];
		cu_puts(out, i > 0 ? ",[" : "[");
		cu_put_u64(out, cu_histogram_least(bucket->index));
		CU_JSON_U64(out, ",", bucket->n);
		CU_PUT(out, "]");
	}
	CU_PUT(out, "]}\n");
}

static int by_json_end(void *state, const struct cu_report_counts *counts)
{
	struct by *by = state;
	struct cu_groups *groups = &by->groups;
	int error = 0;
	cu_groups_sort(groups);
	for (size_t i = 0; i < groups->n && error == 0; i++) {
		cu_groups_json(groups, &groups->group[i], &by->sink->buf);
		error = cu_sink_drain(by->sink);
	}
	if (groups->others.n > 0) {
		cu_groups_json(groups, &groups->others, &by->sink->buf);
	}
	cu_json_summary(&by->sink->buf, counts);
	return error;
}

const struct cu_format cu_format_by = {
	.name = "by",
	.open = by_open,
	.transaction = by_transaction,
	.end = by_end,
	.close = by_close,
};

const struct cu_format cu_format_by_json = {
	.name = "by json",
	.open = by_open,
	.transaction = by_transaction,
	.end = by_json_end,
	.close = by_close,
};
