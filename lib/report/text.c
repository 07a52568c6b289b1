/*
 * Text for a person: the slow transactions, longest first, each with who is
 * to blame, how sure that is, where its time went and the frames that prove it.
 */
#include "lib/report/connection.h"
#include "lib/report/entry.h"
#include "lib/report/text_table.h"
#include "lib/report/words.h"

#include <stdlib.h>
#include <string.h>

/* Columns before the text of the summary. */
enum { SUMMARY_GUTTER = 15 };

struct text {
	struct cu_page page;
	struct cu_top slow;        /* judged slow */
	struct cu_top unjudged;    /* without a verdict */
	struct cu_top quick;       /* the slowest of those that were not slow */
	struct cu_top connections; /* the longest */
	struct cu_top findings;    /* those with most behind them */
	bool has_analysis;
	bool one_connection; /* asked for, and so told in full */
};

/* What is kept of a connection; its file's name stands behind it. */
struct kept_connection {
	uint64_t stream, n_packets, n_bytes, first_frame;
	struct cu_addr client, server;
	uint16_t client_port, server_port;
	uint8_t end;
	int64_t start_ns, duration_ns;
};

static int text_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	struct text *text = calloc(1, sizeof(*text));
	if (text == NULL) {
		return CU_ERR_NOMEM;
	}
	size_t limit = config->all || config->top >= SIZE_MAX ? SIZE_MAX : (size_t)config->top;
	cu_page_init(&text->page, &config->term, sink);
	cu_top_init(&text->slow, limit);
	cu_top_init(&text->unjudged, limit);
	cu_top_init(&text->quick, 1);
	cu_top_init(&text->connections, limit);
	cu_top_init(&text->findings, limit);
	text->one_connection = config->has_stream;
	*state = text;
	return 0;
}

static void text_close(void *state)
{
	struct text *text = state;
	cu_top_release(&text->slow);
	cu_top_release(&text->unjudged);
	cu_top_release(&text->quick);
	cu_top_release(&text->connections);
	cu_top_release(&text->findings);
	cu_page_release(&text->page);
	free(text);
}

/* Gathering. */

static int text_transaction(void *state, const struct cu_report_transaction *item)
{
	struct text *text = state;
	return cu_entry_keep(item->verdict == NULL ? &text->unjudged
	                     : item->verdict->slow ? &text->slow
	                                           : &text->quick,
	                     item);
}

static int text_connection(void *state, const struct cu_report_connection *item)
{
	struct text *text = state;
	const struct cu_connection *connection = item->connection;
	if (item->analysis != NULL) {
		text->has_analysis = true;
		if (text->one_connection) {
			cu_connection_put(&text->page, item);
		}
		return 0;
	}
	bool nomem = false;
	struct cu_buf *blob = cu_top_offer(&text->connections, connection->end_ns - connection->start_ns, &nomem);
	if (blob == NULL) {
		return nomem ? CU_ERR_NOMEM : 0;
	}
	struct kept_connection kept = {
		.stream = connection->stream,
		.n_packets = connection->side[0].n_segments + connection->side[1].n_segments,
		.n_bytes = connection->side[0].n_bytes + connection->side[1].n_bytes,
		.first_frame = connection->first_frame,
		.client = connection->client,
		.server = connection->server,
		.client_port = connection->client_port,
		.server_port = connection->server_port,
		.end = connection->end,
		.start_ns = connection->start_ns,
		.duration_ns = connection->end_ns - connection->start_ns,
	};
	cu_buf_add(blob, &kept, sizeof(kept));
	if (item->file != NULL) {
		cu_puts(blob, item->file);
	}
	return blob->failed ? CU_ERR_NOMEM : 0;
}

/* The names of its files with their zeros stand in front of a kept finding. */
static int text_finding(void *state, const struct cu_report_finding *item)
{
	struct text *text = state;
	bool nomem = false;
	struct cu_buf *blob = cu_top_offer(&text->findings, (int64_t)(item->finding->count & INT64_MAX), &nomem);
	if (blob != NULL) {
		const char *names[] = {item->first_file, item->last_file};
		for (int i = 0; i < 2; i++) {
			cu_buf_add(blob, names[i] != NULL ? names[i] : "", names[i] != NULL ? strlen(names[i]) + 1 : 1);
		}
		cu_finding_encode(item->finding, blob);
	}
	return nomem || (blob != NULL && blob->failed) ? CU_ERR_NOMEM : 0;
}

/* Composing. */

static int put_entries(struct text *text, struct cu_top *top)
{
	struct cu_page *page = &text->page;
	struct cu_buf title = {0};
	int error = 0;
	cu_top_sort(top);
	for (size_t i = 0; i < top->n && error == 0; i++) {
		struct cu_entry entry;
		cu_buf_clear(&title);
		cu_term_count(&title, i + 1);
		CU_PUT(&title, " of ");
		cu_term_count(&title, top->n_offered);
		cu_page_newline(page);
		cu_page_rule(page, cu_buf_cstr(&title));
		page->out->failed = page->out->failed || title.failed;
		error = cu_entry_read(&top->entry[i].blob, &entry);
		if (error == 0) {
			cu_entry_put(page, &entry);
			error = cu_sink_drain(page->sink);
		}
	}
	cu_buf_release(&title);
	return error;
}

/* The first words of the report. */

/* "server 2, network 1", those with most first. */
static void say_parties(struct text *text, const struct cu_report_counts *counts, bool percent)
{
	struct cu_page *page = &text->page;
	bool said[CU_N_PARTIES] = {false};
	for (unsigned n = 0; n < CU_N_PARTIES; n++) {
		unsigned most = CU_N_PARTIES;
		for (unsigned party = 0; party < CU_N_PARTIES; party++) {
			if (!said[party] && counts->slow_by_party[party] > 0 &&
			    (most == CU_N_PARTIES || counts->slow_by_party[party] > counts->slow_by_party[most])) {
				most = party;
			}
		}
		if (most == CU_N_PARTIES) {
			return;
		}
		said[most] = true;
		cu_page_say(page, n > 0 ? ", " : "");
		cu_page_style(page, CU_STYLE_PARTY + most);
		cu_page_say(page, cu_party_words(most));
		cu_buf_add_u8(&page->line, CU_MARK_NBSP);
		cu_term_count(&page->line, counts->slow_by_party[most]);
		cu_page_style(page, CU_STYLE_PLAIN);
		if (percent) {
			cu_term_nobreak(&page->line, " (");
			cu_term_percent(&page->line, counts->slow_by_party[most], counts->n_slow);
			cu_page_say(page, ")");
		}
	}
}

static void head_slow(struct text *text, const struct cu_report_counts *counts)
{
	struct cu_page *page = &text->page;
	cu_page_style(page, CU_STYLE_BOLD);
	cu_term_count(&page->line, counts->n_slow);
	cu_page_say(page, " of ");
	cu_term_counted(&page->line, counts->n_judged, "transaction");
	cu_page_say(page, counts->n_slow == 1 ? " was slow: " : " were slow: ");
	cu_page_style(page, CU_STYLE_PLAIN);
	say_parties(text, counts, false);
	cu_page_say(page, ".");
	cu_page_put(page, "", 0);
}

/* The slowest of those that were not slow. */
static int head_quick(struct text *text, const struct cu_report_counts *counts)
{
	struct cu_page *page = &text->page;
	struct cu_entry entry;
	int error = cu_entry_read(&text->quick.entry[0].blob, &entry);
	if (error != 0) {
		return error;
	}
	const struct cu_transaction *slowest = &entry.transaction;
	cu_page_style(page, CU_STYLE_BOLD);
	cu_page_say(page, "Nothing was slow");
	cu_page_style(page, CU_STYLE_PLAIN);
	if (counts->n_judged == 1) {
		cu_page_say(page, ": the only transaction took ");
	} else {
		cu_page_say(page, ": the slowest of ");
		cu_term_counted(&page->line, counts->n_judged, "transaction");
		cu_page_say(page, " took ");
	}
	cu_page_style(page, CU_STYLE_BOLD);
	cu_term_duration(&page->line, slowest->total_ns);
	cu_page_style(page, CU_STYLE_PLAIN);
	cu_page_say(page, ", and slow would be over ");
	cu_term_duration(&page->line, entry.verdict.slow_over_ns);
	cu_page_say(page, ".");
	cu_page_put(page, "", 0);

	cu_page_say(page, "It was ");
	cu_entry_say_what(page, &entry, true);
	if (entry.head.has_connection) {
		cu_page_say(page, " from ");
		cu_page_say_end(page, &entry.head.client, entry.head.client_port);
		cu_page_say(page, " to ");
		cu_page_say_end(page, &entry.head.server, entry.head.server_port);
	}
	if (slowest->request.first_frame != 0 && slowest->response.last_frame != 0) {
		cu_page_say(page, ", ");
		cu_entry_say_frames(page, &entry);
	}
	cu_page_say(page, " of");
	cu_term_nobreak(&page->line, " stream ");
	cu_buf_add_u64(&page->line, slowest->stream);
	cu_page_say(page, ".");
	cu_page_put(page, "", 0);
	return 0;
}

static void head_unjudged(struct text *text, const struct cu_report_counts *counts)
{
	struct cu_page *page = &text->page;
	uint64_t n = counts->n_transactions - counts->n_judged;
	cu_page_style(page, CU_STYLE_BOLD);
	cu_term_counted(&page->line, n, "transaction");
	cu_page_say(page, n == 1 ? " has" : " have");
	cu_page_say(page, " no verdict");
	cu_page_style(page, CU_STYLE_PLAIN);
	cu_page_say(page, ": culprit classify gives ");
	cu_page_say(page, n == 1 ? "it one." : "them one.");
	if (n > text->unjudged.n && text->unjudged.n > 0) {
		cu_page_say(page, " The longest ");
		cu_term_count(&page->line, text->unjudged.n);
		cu_page_say(page, ":");
	}
	cu_page_put(page, "", 0);
}

/* What the packets were when none was TCP. */
static void head_no_tcp(struct text *text, const struct cu_report_counts *counts)
{
	struct cu_page *page = &text->page;
	const struct cu_totals *totals = &counts->totals;
	const struct {
		uint64_t n;
		const char *words;
	} kinds[] = {
		{totals->n_filtered, "passed over by the filter"},
		{totals->n_other, "of other protocols"},
		{totals->n_short, "cut before the TCP header's end"},
		{totals->n_malformed, "malformed"},
		{totals->n_fragments, "fragments"},
		{totals->n_unknown_link, "of a link type that is not decoded"},
	};
	cu_page_style(page, CU_STYLE_BOLD);
	if (counts->n_passed_over > 0) {
		cu_page_say(page, "There is nothing to report");
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_page_say(page, ": what the input has is outside of --stream, --since or --until.");
	} else if (!counts->has_totals) {
		cu_page_say(page, "There is nothing to report");
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_page_say(page, counts->incomplete ? ": the input broke off before its first record."
		                                     : ": the input has no records.");
	} else if (totals->n_packets == 0) {
		cu_page_say(page, "There is nothing to report");
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_page_say(page, ": the capture has no packets.");
	} else {
		cu_page_say(page, "There is no TCP in this capture");
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_page_say(page, ": ");
		cu_term_counted(&page->line, totals->n_packets, "packet");
		const char *before = ", ";
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			if (kinds[i].n > 0) {
				cu_page_say(page, before);
				cu_term_count(&page->line, kinds[i].n);
				cu_buf_add_u8(&page->line, CU_MARK_NBSP);
				cu_page_say(page, kinds[i].words);
			}
		}
		cu_page_say(page, ".");
	}
	cu_page_put(page, "", 0);
}

/* Ends a table's cell with what was composed in the page's line. */
static void line_to_cell(struct cu_page *page, struct cu_text_table *table)
{
	cu_put(&table->cell, (const char *)page->line.data, page->line.len);
	table->cell.failed = table->cell.failed || page->line.failed;
	cu_buf_clear(&page->line);
	cu_text_table_next(table);
}

static void add_connection_row(struct cu_page *page, struct cu_text_table *table, const struct cu_buf *blob)
{
	struct kept_connection kept;
	char words[CU_TEXT_CAP];
	if (blob->len < sizeof(kept)) {
		return;
	}
	memcpy(&kept, blob->data, sizeof(kept));
	struct cu_text file = {(const char *)blob->data + sizeof(kept), (uint32_t)(blob->len - sizeof(kept))};
	cu_buf_add_u64(&page->line, kept.stream);
	line_to_cell(page, table);
	cu_page_say_end(page, &kept.client, kept.client_port);
	line_to_cell(page, table);
	cu_page_say_end(page, &kept.server, kept.server_port);
	line_to_cell(page, table);
	cu_page_say_time(page, kept.start_ns, false);
	line_to_cell(page, table);
	cu_term_duration(&page->line, kept.duration_ns);
	line_to_cell(page, table);
	cu_term_count(&page->line, kept.n_packets);
	line_to_cell(page, table);
	cu_page_say(page, cu_format_size(words, kept.n_bytes));
	line_to_cell(page, table);
	cu_page_say(page, cu_connection_end_name(kept.end));
	line_to_cell(page, table);
	cu_page_say_frames(page, file, kept.first_frame, 0);
	line_to_cell(page, table);
}

/* Connections, when nothing more is known. */
static int put_connections(struct cu_page *page, struct cu_top *top)
{
	static const struct cu_text_table_column columns[] = {
		{.title = "stream", .right = true},
		{.title = "client", .flexible = true},
		{.title = "server", .flexible = true},
		{.title = "start", .optional = 2},
		{.title = "lasted", .right = true},
		{.title = "packets", .right = true},
		{.title = "payload", .right = true},
		{.title = "end"},
		{.title = "first frame", .right = true, .optional = 3},
		{.title = NULL},
	};
	cu_page_style(page, CU_STYLE_BOLD);
	cu_term_counted(&page->line, top->n_offered, "connection");
	cu_page_style(page, CU_STYLE_PLAIN);
	cu_page_say(page, ", not analysed: culprit analyze and culprit classify say which were slow, and why.");
	if (top->n < top->n_offered && top->n > 0) {
		cu_page_say(page, " The longest ");
		cu_term_count(&page->line, top->n);
		cu_page_say(page, ":");
	}
	cu_page_put(page, "", 0);
	if (top->n == 0) {
		return 0;
	}
	cu_page_newline(page);
	cu_top_sort(top);
	struct cu_text_table table;
	cu_text_table_init(&table, columns);
	for (size_t i = 0; i < top->n; i++) {
		add_connection_row(page, &table, &top->entry[i].blob);
	}
	int error = cu_text_table_print(&table, &page->term, page->out, 1);
	cu_text_table_release(&table);
	return error;
}

/* Findings. */

static int put_finding(struct cu_page *page, const struct cu_buf *blob)
{
	struct cu_finding finding;
	struct cu_text file[2];
	size_t at = 0;
	for (int i = 0; i < 2; i++) {
		const char *name = (const char *)blob->data + at;
		file[i] = (struct cu_text){.data = name, .len = (uint32_t)strlen(name)};
		at += file[i].len + 1;
	}
	int error = cu_finding_decode(blob->data + at, blob->len - at, &finding);
	if (error != 0) {
		return error;
	}
	cu_page_style(page, CU_STYLE_BOLD);
	cu_page_quote_rule(page, finding.rule.len > 0 ? finding.rule : finding.kind);
	cu_page_style(page, CU_STYLE_PLAIN);
	cu_page_dot(page);
	cu_page_say_end(page, &finding.addr, finding.port);
	if (finding.count > 0) {
		cu_page_dot(page);
		cu_term_counted(&page->line, finding.count, "time");
	}
	if (finding.first_frame != 0) {
		cu_page_dot(page);
		cu_page_say_the_ends(page, file[0], finding.first_frame, file[1], finding.last_frame);
	}
	if (finding.blame != CU_PARTY_NONE) {
		cu_page_dot(page);
		cu_page_style(page, CU_STYLE_PARTY + (finding.blame < CU_N_PARTIES ? finding.blame
		                                                                   : (unsigned)CU_PARTY_UNKNOWN));
		cu_page_say(page, cu_party_name(finding.blame));
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_page_say(page, ", ");
		cu_page_say(page, cu_confidence_name(finding.confidence));
		cu_page_say(page, " confidence");
	}
	cu_page_put(page, "", 1);
	if (finding.why.len > 0) {
		cu_page_quote_rule(page, finding.why);
		cu_page_put(page, "why", CU_PAGE_GUTTER);
	}
	if (finding.advice.len > 0) {
		cu_page_quote_rule(page, finding.advice);
		cu_page_put(page, "advice", CU_PAGE_GUTTER);
	}
	return cu_sink_drain(page->sink);
}

static int put_findings(struct text *text)
{
	struct cu_page *page = &text->page;
	struct cu_top *top = &text->findings;
	int error = 0;
	if (top->n_offered == 0) {
		return 0;
	}
	cu_top_sort(top);
	cu_page_newline(page);
	cu_page_rule(page, "findings");
	for (size_t i = 0; i < top->n && error == 0; i++) {
		error = put_finding(page, &top->entry[i].blob);
	}
	if (top->n_offered > top->n) {
		cu_term_count(&page->line, top->n_offered - top->n);
		cu_page_say(page, " more; --all shows every one");
		cu_page_put(page, "", 1);
	}
	return error;
}

/* The summary. */

static void summary_capture(struct text *text, const struct cu_report_counts *counts)
{
	struct cu_page *page = &text->page;
	const struct cu_totals *totals = &counts->totals;
	if (!counts->has_totals) {
		return;
	}
	cu_term_counted(&page->line, totals->n_packets, "packet");
	if (totals->n_tcp < totals->n_packets) {
		cu_page_say(page, ", ");
		cu_term_count(&page->line, totals->n_tcp);
		cu_page_say(page, " of them TCP");
	}
	if (totals->n_filtered > 0) {
		cu_page_say(page, ", ");
		cu_term_count(&page->line, totals->n_filtered);
		cu_page_say(page, " passed over by the filter");
	}
	if (cu_totals_have_times(totals)) {
		cu_page_say(page, ", ");
		cu_term_duration(&page->line, totals->last_ns - totals->first_ns);
		cu_page_say(page, " from ");
		cu_page_say_time(page, totals->first_ns, false);
	}
	if (counts->n_files > 1) {
		cu_page_say(page, ", in ");
		cu_term_counted(&page->line, counts->n_files, "file");
	}
	cu_page_put(page, "capture", SUMMARY_GUTTER);
}

/* ", 12 WORDS" for what must not go unsaid. */
static void say_some(struct text *text, uint64_t n, const char *one, const char *many)
{
	struct cu_page *page = &text->page;
	if (n > 0) {
		cu_page_say(page, page->line.len > 0 ? ", " : "");
		cu_term_count(&page->line, n);
		cu_buf_add_u8(&page->line, CU_MARK_NBSP);
		cu_page_say(page, n == 1 ? one : many);
	}
}

static void summary_damage(struct text *text, const struct cu_report_counts *counts)
{
	struct cu_page *page = &text->page;
	const struct cu_totals *totals = &counts->totals;
	char words[CU_TEXT_CAP];
	if (counts->incomplete) {
		cu_page_say(page, "the input broke off before its end: what was whole is shown");
	}
	say_some(text, counts->n_unopened, "input could not be opened", "inputs could not be opened");
	say_some(text, counts->n_bad_records, "record was not readable", "records were not readable");
	say_some(text, totals->n_damaged, "damaged place in the capture", "damaged places in the capture");
	if (totals->n_skipped_bytes > 0) {
		cu_page_say(page, page->line.len > 0 ? ", " : "");
		cu_term_nobreak(&page->line, cu_format_size(words, totals->n_skipped_bytes));
		cu_page_say(page, " of it skipped");
	}
	say_some(text, totals->n_truncated, "capture cut off in mid-packet", "captures cut off in mid-packet");
	say_some(text, totals->n_unread, "capture could not be opened, or not be read to its end",
	         "captures could not be opened, or not be read to their end");
	say_some(text, totals->n_drops, "packet dropped by the capture", "packets dropped by the capture");
	say_some(text, totals->n_steps_back, "step back in the capture's time", "steps back in the capture's time");
	say_some(text, totals->n_jumps, "jump of more than a day in it", "jumps of more than a day in it");
	say_some(text, totals->n_untimed, "packet without a time, or with a damaged one, which no verdict can count on",
	         "packets without a time, or with a damaged one, which no verdict can count on");
	say_some(text, totals->n_short, "packet cut before its TCP header's end",
	         "packets cut before their TCP header's end");
	say_some(text, totals->n_malformed, "malformed packet", "malformed packets");
	say_some(text, totals->n_broken, "segment left out, of which not all IP fragments were captured",
	         "segments left out, of which not all IP fragments were captured");
	say_some(text, totals->n_left_out, "frame behind the first of an 802.11 aggregate left out",
	         "frames behind the first of 802.11 aggregates left out");
	say_some(text, totals->n_unknown_link, "packet of an unknown link type", "packets of unknown link types");
	say_some(text, totals->n_strays,
	         "ICMP error about a connection that was not seen, or in other VLANs or tunnels",
	         "ICMP errors about connections that were not seen, or in other VLANs or tunnels");
	say_some(text, totals->n_evicted, "connection cut in two to save memory",
	         "connections cut in two to save memory");
	say_some(text, totals->n_parted, "connection whose directions are in different VLANs or tunnels, read as two",
	         "connections whose directions are in different VLANs or tunnels, read as two each");
	if (page->line.len > 0) {
		cu_page_put(page, "not whole", SUMMARY_GUTTER);
	}
}

static void put_summary(struct text *text, const struct cu_report_counts *counts)
{
	struct cu_page *page = &text->page;
	cu_page_newline(page);
	cu_page_rule(page, "summary");
	summary_capture(text, counts);
	cu_term_count(&page->line, counts->n_connections);
	cu_page_put(page, "connections", SUMMARY_GUTTER);
	if (counts->n_transactions > 0 || text->has_analysis) {
		cu_term_count(&page->line, counts->n_transactions);
		if (counts->n_judged > 0) {
			cu_page_say(page, ", ");
			cu_term_count(&page->line, counts->n_slow);
			cu_page_say(page, " slow");
			if (counts->n_slow > 0) {
				cu_page_say(page, ": ");
				say_parties(text, counts, true);
			}
		}
		cu_page_put(page, "transactions", SUMMARY_GUTTER);
	}
	if (text->slow.n < text->slow.n_offered) {
		cu_page_say(page, "the longest ");
		cu_term_count(&page->line, text->slow.n);
		cu_page_say(page, " of the slow; --all shows every one");
		cu_page_put(page, "shown", SUMMARY_GUTTER);
	}
	summary_damage(text, counts);
}

static int text_end(void *state, const struct cu_report_counts *counts)
{
	struct text *text = state;
	struct cu_page *page = &text->page;
	int error = 0;
	if (counts->n_slow > 0) {
		head_slow(text, counts);
		error = put_entries(text, &text->slow);
	} else if (counts->n_judged > 0) {
		error = head_quick(text, counts);
	}
	if (error == 0 && counts->n_transactions > counts->n_judged) {
		if (counts->n_judged > 0) {
			cu_page_newline(page);
		}
		head_unjudged(text, counts);
		error = put_entries(text, &text->unjudged);
	}
	if (error == 0 && text->connections.n_offered > 0) {
		if (counts->n_transactions > 0) {
			cu_page_newline(page);
		}
		error = put_connections(page, &text->connections);
	}
	if (counts->n_connections == 0 && counts->n_transactions == 0) {
		head_no_tcp(text, counts);
	} else if (counts->n_transactions == 0 && text->has_analysis) {
		cu_page_style(page, CU_STYLE_BOLD);
		cu_page_say(page, "Nothing was asked");
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_page_say(page, ": ");
		cu_term_counted(&page->line, counts->n_analysed, "connection");
		cu_page_say(page, counts->n_analysed == 1 ? ", without a transaction in it."
		                                          : ", without a transaction in them.");
		cu_page_put(page, "", 0);
	}
	if (error == 0) {
		error = put_findings(text);
	}
	if (error == 0) {
		put_summary(text, counts);
	}
	return error;
}

const struct cu_format cu_format_text = {
	.name = "text",
	.open = text_open,
	.glances = true,
	.connection = text_connection,
	.transaction = text_transaction,
	.finding = text_finding,
	.end = text_end,
	.close = text_close,
};
