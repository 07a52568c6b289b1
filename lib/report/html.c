#include "lib/report/html.h"

#include "lib/report/display_filter.h"
#include "lib/report/entry.h"
#include "lib/report/groups.h"
#include "lib/report/json_write.h"
#include "lib/report/over_time.h"
#include "lib/report/words.h"
#include "lib/tcp/resent.h"

#include <stdlib.h>
#include <string.h>

/* The tables of the summary. */
static const enum cu_report_by tables[] = {CU_REPORT_BY_SERVICE, CU_REPORT_BY_SERVER, CU_REPORT_BY_CLIENT,
                                           CU_REPORT_BY_CAUSE};
enum { N_TABLES = sizeof(tables) / sizeof(tables[0]) };

/* A width at which no paragraph is broken. */
enum { ONE_LINE = 1 << 30 };

struct html {
	struct cu_sink *sink;
	struct cu_buf line;  /* of JSON, before it is made fit for the page */
	struct cu_buf blob;  /* the transaction, packed */
	struct cu_sink text; /* what the text report says of it; its descriptor is never written to */
	struct cu_page page; /* to text */
	struct cu_groups groups[N_TABLES];
	struct cu_over_time over;
	size_t rows;              /* of each table */
	uint64_t n_bytes;         /* of the data so far */
	uint64_t n_segment_bytes; /* of them, segments */
	uint64_t n_listed, n_not_listed;
};

/*
 * Moves the line into the page. There is no "<" in it afterwards, so nothing
 * in it ends the element or begins a comment there (HTML, "restrictions for
 * contents of script elements"). In JSON "<" stands in strings only.
 */
static void put_line(struct html *html)
{
	struct cu_buf *out = &html->sink->buf;
	const char *data = (const char *)html->line.data;
	size_t left = html->line.len;
	size_t before = out->len;
	while (left > 0) {
		const char *found = memchr(data, '<', left);
		size_t n = found != NULL ? (size_t)(found - data) : left;
		cu_put(out, data, n);
		if (found == NULL) {
			break;
		}
		CU_PUT(out, "\\u003c");
		data += n + 1;
		left -= n + 1;
	}
	html->n_bytes += out->len - before;
	out->failed = out->failed || html->line.failed;
	cu_buf_clear(&html->line);
}

/* "key":{"name":"words",...} of names from..to-1. */
static void put_words(struct cu_buf *out, const char *key, unsigned from, unsigned to, const char *(*name)(unsigned),
                      const char *(*words)(unsigned))
{
	cu_puts(out, key);
	for (unsigned i = from; i < to; i++) {
		CU_JSON_WORD(out, "", name(i));
		CU_JSON_WORD(out, ":", words(i));
		cu_puts(out, i + 1 < to ? "," : "}");
	}
}

/* The same in order of their numbers, for what segments have. */
static void put_list(struct cu_buf *out, const char *key, unsigned n, const char *(*words)(unsigned))
{
	cu_puts(out, key);
	for (unsigned i = 0; i < n; i++) {
		CU_JSON_WORD(out, "", words(i));
		cu_puts(out, i + 1 < n ? "," : "]");
	}
}

static void put_page(struct html *html)
{
	struct cu_buf *out = &html->line;
	CU_JSON_WORD(out, "{\"record\":\"page\",\"version\":", CU_VERSION);
	CU_JSON_U64(out, ",\"rows\":", html->rows < UINT32_MAX ? html->rows : UINT32_MAX);
	put_words(out, ",\"causes\":{", 0, CU_N_CAUSES, cu_cause_name, cu_cause_words);
	put_words(out, ",\"outcomes\":{", 0, CU_OUTCOME_OPEN + 1, cu_outcome_name, cu_outcome_words);
	put_words(out, ",\"doubts\":{", 0, CU_N_DOUBTS, cu_doubt_name, cu_doubt_words);
	put_words(out, ",\"vantages\":{", 0, CU_VANTAGE_SERVER + 1, cu_vantage_name, cu_vantage_words);
	put_list(out, ",\"events\":[", CU_N_EVENTS, cu_event_words);
	put_list(out, ",\"resent\":[", CU_N_RESENT, cu_resent_by_name);
	put_list(out, ",\"needless\":[", CU_N_NEEDLESS, cu_needless_name);
	CU_PUT(out, "}\n");
	put_line(html);
}

static int html_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	const char *data = memmem(cu_html_page, cu_html_page_len, CU_HTML_DATA, strlen(CU_HTML_DATA));
	struct html *html = calloc(1, sizeof(*html));
	if (html == NULL) {
		return CU_ERR_NOMEM;
	}
	html->sink = sink;
	html->rows = config->all || config->top >= SIZE_MAX ? SIZE_MAX : (size_t)config->top;
	cu_sink_init(&html->text, -1);
	cu_page_init(&html->page, &(struct cu_term){.width = ONE_LINE, .unicode = true}, &html->text);
	for (size_t i = 0; i < N_TABLES; i++) {
		cu_groups_init(&html->groups[i], tables[i]);
	}
	cu_put(&sink->buf, cu_html_page, (size_t)(data - cu_html_page));
	put_page(html);
	*state = html;
	return 0;
}

static void html_close(void *state)
{
	struct html *html = state;
	for (size_t i = 0; i < N_TABLES; i++) {
		cu_groups_release(&html->groups[i]);
	}
	cu_page_release(&html->page);
	cu_sink_release(&html->text);
	cu_buf_release(&html->blob);
	cu_buf_release(&html->line);
	free(html);
}

/* One paragraph of the text report, a line: its label, without the blanks around it, and its words. */
static void put_paragraph(struct cu_buf *out, const char *line, size_t len)
{
	size_t gutter = len < CU_PAGE_GUTTER ? len : CU_PAGE_GUTTER;
	size_t from = 0, to = gutter;
	while (from < to && line[from] == ' ') {
		from++;
	}
	while (to > from && line[to - 1] == ' ') {
		to--;
	}
	CU_PUT(out, "[");
	cu_json_string(out, line + from, to - from);
	CU_PUT(out, ",");
	cu_json_string(out, line + gutter, len - gutter);
	CU_PUT(out, "]");
}

/* "evidence":[["request","frames 4-5 (1,495 bytes), ..."],...]: what the text report says of it. */
static int put_evidence(struct html *html, const struct cu_report_transaction *item)
{
	struct cu_buf *out = &html->line, *text = &html->text.buf;
	struct cu_entry entry;
	cu_buf_clear(&html->blob);
	cu_entry_pack(&html->blob, item);
	int error = html->blob.failed ? CU_ERR_NOMEM : cu_entry_read(&html->blob, &entry);
	if (error != 0) {
		return error;
	}
	cu_buf_clear(text);
	cu_entry_put_frames(&html->page, &entry);
	if (text->failed) {
		return CU_ERR_NOMEM;
	}
	CU_PUT(out, ",\"evidence\":[");
	for (size_t at = 0; at < text->len;) {
		const char *line = (const char *)text->data + at;
		const char *end = memchr(line, '\n', text->len - at);
		size_t len = end != NULL ? (size_t)(end - line) : text->len - at;
		cu_puts(out, at > 0 ? "," : "");
		put_paragraph(out, line, len);
		at += len + 1;
	}
	CU_PUT(out, "]");
	return 0;
}

/* "filters":[[file or null,"ip.addr == ..."],...]. */
static void put_filters(struct html *html, const struct cu_report_transaction *item)
{
	struct cu_buf *out = &html->line;
	struct cu_filters filters;
	const char *before = "";
	CU_PUT(out, ",\"filters\":[");
	cu_filters_begin(&filters, item);
	while (cu_filters_next(&filters)) {
		cu_puts(out, before);
		if (filters.name != NULL) {
			CU_PUT(out, "[");
			cu_json_string(out, filters.name, strlen(filters.name));
		} else {
			CU_PUT(out, "[null");
		}
		CU_PUT(out, ",\"");
		cu_filters_put(&filters, out);
		CU_PUT(out, "\"]");
		before = ",";
	}
	CU_PUT(out, "]");
}

/* "stretches":[["server.think",ns,ns of it that went to other causes],...]: the ledger in order of time. */
static void put_stretches(struct html *html, const struct cu_transaction *transaction)
{
	struct cu_buf *out = &html->line;
	CU_PUT(out, ",\"stretches\":[");
	const struct cu_text *text = &transaction->stretches;
	struct cu_cursor cur = cu_cursor_make((const uint8_t *)text->data, text->len);
	struct cu_stretch stretch;
	const char *before = "";
	while (cu_stretch_next(&cur, &stretch)) {
		cu_puts(out, before);
		CU_JSON_WORD(out, "[", cu_cause_name(stretch.cause));
		CU_JSON_I64(out, ",", stretch.ns);
		CU_JSON_I64(out, ",", stretch.other_ns);
		CU_PUT(out, "]");
		before = ",";
	}
	CU_PUT(out, "]");
}

/* How many segments this transaction may have: a hundredth of the room that is left. */
static size_t segments_cap(const struct html *html)
{
	enum { BYTES = 64 }; /* of a segment, as they come */
	uint64_t left =
		html->n_segment_bytes < CU_HTML_SEGMENTS_BYTES ? CU_HTML_SEGMENTS_BYTES - html->n_segment_bytes : 0;
	uint64_t cap = left / 100 / BYTES;
	return cap > CU_HTML_SEGMENTS_CAP     ? CU_HTML_SEGMENTS_CAP
	       : cap < CU_HTML_SEGMENTS_LEAST ? CU_HTML_SEGMENTS_LEAST
	                                      : (size_t)cap;
}

static int put_detail(struct html *html, const struct cu_report_transaction *item)
{
	struct cu_buf *out = &html->line;
	CU_PUT(out, "{\"record\":\"detail\"");
	int error = put_evidence(html, item);
	put_filters(html, item);
	put_stretches(html, item->transaction);
	if (item->trace != NULL && item->trace->n > 0) {
		size_t before = out->len;
		CU_PUT(out, ",\"scale_unknown\":[");
		cu_put_bool(out, item->trace->scale_unknown[CU_C2S]);
		CU_PUT(out, ",");
		cu_put_bool(out, item->trace->scale_unknown[CU_S2C]);
		CU_PUT(out, "],\"segments\":");
		cu_html_segments(out, item, segments_cap(html));
		html->n_segment_bytes += out->len - before;
	}
	CU_PUT(out, "}\n");
	return error;
}

static int html_transaction(void *state, const struct cu_report_transaction *item)
{
	struct html *html = state;
	for (size_t i = 0; i < N_TABLES; i++) {
		int error = cu_groups_add(&html->groups[i], item);
		if (error != 0) {
			return error;
		}
	}
	cu_over_time_add(&html->over, item->transaction->start_ns, item->verdict);
	if (item->verdict != NULL && !item->verdict->slow) {
		return 0;
	}
	if (html->n_bytes >= CU_HTML_BYTES) {
		html->n_not_listed++;
		return 0;
	}
	html->n_listed++;
	cu_json_transaction(&html->line, item);
	int error = put_detail(html, item);
	put_line(html);
	return error;
}

static int html_finding(void *state, const struct cu_report_finding *item)
{
	struct html *html = state;
	cu_json_finding(&html->line, item);
	put_line(html);
	return 0;
}

static void put_over_time(struct html *html)
{
	static const unsigned parties[] = {CU_PARTY_CLIENT, CU_PARTY_NETWORK, CU_PARTY_SERVER, CU_PARTY_UNKNOWN,
	                                   CU_PARTY_NONE};
	struct cu_buf *out = &html->line;
	CU_PUT(out, "{\"record\":\"over_time\",\"start\":");
	cu_json_time(out, html->over.start_ns);
	CU_JSON_I64(out, ",\"width_ns\":", html->over.width_ns);
	CU_PUT(out, ",\"bins\":[");
	for (size_t i = 0; i < html->over.n; i++) {
		const struct cu_over_time_bin *bin = &html->over.bin[i];
		cu_puts(out, i > 0 ? "," : "");
		CU_JSON_U64(out, "[", bin->n);
		for (size_t k = 0; k < sizeof(parties) / sizeof(parties[0]); k++) {
			CU_JSON_U64(out, ",", bin->slow_by_party[parties[k]]);
		}
		CU_PUT(out, "]");
	}
	CU_PUT(out, "]}\n");
	put_line(html);
}

static int put_groups(struct html *html, struct cu_groups *groups)
{
	int error = 0;
	cu_groups_sort(groups);
	size_t n = groups->n < html->rows ? groups->n : html->rows;
	for (size_t i = 0; i < n && error == 0; i++) {
		cu_groups_json(groups, &groups->group[i], &html->line);
		put_line(html);
		error = cu_sink_drain(html->sink);
	}
	if (groups->others.n > 0 && error == 0) {
		cu_groups_json(groups, &groups->others, &html->line);
		put_line(html);
	}
	return error;
}

static int html_end(void *state, const struct cu_report_counts *counts)
{
	struct html *html = state;
	const char *data = memmem(cu_html_page, cu_html_page_len, CU_HTML_DATA, strlen(CU_HTML_DATA));
	const char *rest = data + strlen(CU_HTML_DATA);
	int error = 0;
	put_over_time(html);
	for (size_t i = 0; i < N_TABLES && error == 0; i++) {
		error = put_groups(html, &html->groups[i]);
	}
	struct cu_buf *out = &html->line;
	CU_JSON_U64(out, "{\"record\":\"listed\",\"transactions\":", html->n_listed);
	CU_JSON_U64(out, ",\"not_listed\":", html->n_not_listed);
	for (size_t i = 0; i < N_TABLES; i++) {
		static const char *const key[] = {",\"services\":", ",\"servers\":", ",\"clients\":", ",\"causes\":"};
		cu_puts(out, key[i]);
		cu_put_u64(out, html->groups[i].n);
	}
	CU_PUT(out, "}\n");
	cu_json_summary(out, counts);
	put_line(html);
	cu_put(&html->sink->buf, rest, (size_t)(cu_html_page + cu_html_page_len - rest));
	return error;
}

const struct cu_format cu_format_html = {
	.name = "html",
	.likes_trace = true,
	.open = html_open,
	.transaction = html_transaction,
	.finding = html_finding,
	.end = html_end,
	.close = html_close,
};
