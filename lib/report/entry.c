#include "lib/report/entry.h"

#include "lib/report/frames.h"
#include "lib/report/words.h"

#include <stdio.h>
#include <string.h>

/* Frames listed of one kind of event. */
enum { EVENT_FRAMES = 6 };

/* The names of the files that parts of the transaction are in, but its own; NULL buf only measures. */
static uint32_t put_other_files(struct cu_buf *buf, const struct cu_report_transaction *item)
{
	uint16_t file[CU_FRAME_FILES_CAP];
	if (item->header == NULL) {
		return 0;
	}
	size_t n =
		cu_frame_files_of(item->transaction, item->verdict != NULL ? cu_shown_cause(item->verdict) : 0U, file);
	uint32_t size = 0;
	for (size_t i = 1; i < n; i++) {
		const char *name = cu_part_file(item, file[i]);
		uint32_t len = name != NULL ? (uint32_t)strlen(name) : 0;
		size += (uint32_t)(sizeof(file[i]) + sizeof(len)) + len;
		if (buf != NULL) {
			cu_buf_add(buf, &file[i], sizeof(file[i]));
			cu_buf_add(buf, &len, sizeof(len));
			cu_put(buf, name, len);
		}
	}
	return size;
}

/* The name of the file of a part. */
static struct cu_text file_of(const struct cu_entry *entry, uint16_t part_file)
{
	struct cu_cursor cur = cu_cursor_make(entry->other_files.data, entry->other_files.len);
	while (part_file != 0 && cu_cursor_left(&cur) > 0) {
		uint16_t file = 0;
		uint32_t len = 0;
		const uint8_t *head = cu_cursor_bytes(&cur, sizeof(file) + sizeof(len));
		if (head == NULL) {
			break;
		}
		memcpy(&file, head, sizeof(file));
		memcpy(&len, head + sizeof(file), sizeof(len));
		const uint8_t *name = cu_cursor_bytes(&cur, len);
		if (file == part_file && name != NULL) {
			return (struct cu_text){.data = (const char *)name, .len = len};
		}
	}
	return entry->file;
}

void cu_entry_pack(struct cu_buf *blob, const struct cu_report_transaction *item)
{
	struct cu_entry_head head = {
		.has_verdict = item->verdict != NULL,
		.transaction_len = item->transaction_bytes.len,
		.verdict_len = item->verdict_bytes.len,
		.server_name_len = item->server_name.len,
		.file_len = item->file != NULL ? (uint32_t)strlen(item->file) : 0,
		.other_files_len = put_other_files(NULL, item),
	};
	if (item->connection != NULL) {
		head.has_connection = true;
		head.client = item->connection->client;
		head.server = item->connection->server;
		head.client_port = item->connection->client_port;
		head.server_port = item->connection->server_port;
	}
	if (item->analysis != NULL) {
		head.vantage = item->analysis->vantage;
		head.rtt_ns = item->analysis->rtt_ns;
	}
	cu_buf_add(blob, &head, sizeof(head));
	cu_put(blob, item->transaction_bytes.data, head.transaction_len);
	cu_put(blob, item->verdict_bytes.data, head.verdict_len);
	cu_put(blob, item->server_name.data, head.server_name_len);
	cu_put(blob, item->file, head.file_len);
	put_other_files(blob, item);
}

int cu_entry_keep(struct cu_top *top, const struct cu_report_transaction *item)
{
	bool nomem = false;
	struct cu_buf *blob = cu_top_offer(top, item->transaction->total_ns, &nomem);
	if (blob == NULL) {
		return nomem ? CU_ERR_NOMEM : 0;
	}
	cu_entry_pack(blob, item);
	return blob->failed ? CU_ERR_NOMEM : 0;
}

struct slice {
	unsigned cause;
	uint64_t ns;
	size_t cells;
	uint64_t rest; /* of the division, for rounding */
};

/* The causes that took time, the longest first; how many, and their sum. */
static size_t slice_ledger(const struct cu_ledger_entry *ledger, struct slice *slices, uint64_t *sum)
{
	size_t n = 0;
	*sum = 0;
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (ledger[cause].ns <= 0) {
			continue;
		}
		struct slice slice = {.cause = cause, .ns = (uint64_t)ledger[cause].ns};
		size_t i = n++;
		for (; i > 0 && slices[i - 1].ns < slice.ns; i--) {
			slices[i] = slices[i - 1];
		}
		slices[i] = slice;
		*sum += slice.ns;
	}
	return n;
}

/* Divides a bar among the slices by largest remainder; what is at least half a cell gets one. */
static void scale_slices(struct slice *slices, size_t n, uint64_t sum, size_t cells)
{
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned __int128 share = (unsigned __int128)slices[i].ns * cells;
		slices[i].cells = (size_t)(share / sum);
		slices[i].rest = (uint64_t)(share % sum);
		used += slices[i].cells;
	}
	for (; used < cells; used++) {
		size_t most = 0;
		for (size_t i = 1; i < n; i++) {
			most = slices[i].rest > slices[most].rest ? i : most;
		}
		slices[most].cells++;
		slices[most].rest = 0;
	}
}

/* How the n-th longest cause is drawn; neighbours differ most. */
static const char *fill(const struct cu_page *page, size_t n)
{
	static const char *const blocks[] = {"█", "▒", "░", "▓", "▚", "▌", "╍", "·"};
	static const char *const ascii[] = {"#", "=", "-", "+", "o", ":", "~", "."};
	size_t last = sizeof(ascii) / sizeof(ascii[0]) - 1;
	return page->term.unicode ? blocks[n < last ? n : last] : ascii[n < last ? n : last];
}

static void put_ledger(struct cu_page *page, const struct cu_transaction *transaction)
{
	struct slice slices[CU_N_CAUSES];
	uint64_t sum;
	size_t n = slice_ledger(transaction->ledger, slices, &sum);
	if (n == 0) {
		return;
	}
	scale_slices(slices, n, sum, page->term.width - CU_PAGE_GUTTER);
	for (size_t i = 0; i < n; i++) {
		cu_page_style(page, CU_STYLE_PARTY + cu_cause_party(slices[i].cause));
		for (size_t cell = 0; cell < slices[i].cells; cell++) {
			cu_page_say(page, fill(page, i));
		}
	}
	cu_page_put(page, "", CU_PAGE_GUTTER);
	for (size_t i = 0; i < n; i++) {
		cu_page_say(page, i > 0 ? "   " : "");
		cu_page_style(page, CU_STYLE_PARTY + cu_cause_party(slices[i].cause));
		cu_page_say(page, fill(page, i));
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_buf_add_u8(&page->line, CU_MARK_NBSP);
		cu_page_say(page, cu_cause_name(slices[i].cause));
		cu_buf_add_u8(&page->line, CU_MARK_NBSP);
		cu_page_style(page, CU_STYLE_BOLD);
		cu_term_duration(&page->line, (int64_t)slices[i].ns);
		cu_page_style(page, CU_STYLE_PLAIN);
		cu_buf_add_u8(&page->line, CU_MARK_NBSP);
		cu_term_percent(&page->line, slices[i].ns, sum);
	}
	cu_page_put(page, "", CU_PAGE_GUTTER);
}

/* " SERVER ", on its colour. */
static void put_badge(struct cu_page *page, const struct cu_entry *entry)
{
	char words[CU_PAGE_GUTTER + 1] = "";
	unsigned party = cu_shown_blame(&entry->verdict);
	if (entry->head.has_verdict) {
		snprintf(words, sizeof(words), " %s ", cu_party_badge(party));
		cu_page_label(page, CU_STYLE_BADGE + (party < CU_N_PARTIES ? party : CU_PARTY_UNKNOWN), words,
		              CU_PAGE_GUTTER);
	} else {
		cu_page_label(page, CU_STYLE_PLAIN, "", CU_PAGE_GUTTER);
	}
}

/* Who, how long, how sure. */
static void put_who(struct cu_page *page, const struct cu_entry *entry)
{
	const struct cu_transaction *transaction = &entry->transaction;
	const struct cu_verdict *verdict = &entry->verdict;
	struct slice slices[CU_N_CAUSES];
	uint64_t sum;
	size_t n = slice_ledger(transaction->ledger, slices, &sum);
	unsigned cause = cu_shown_cause(verdict);
	if (!entry->head.has_verdict && n > 0) {
		cause = slices[0].cause;
	}
	put_badge(page, entry);
	cu_page_style(page, CU_STYLE_BOLD);
	cu_term_duration(&page->line, transaction->total_ns);
	cu_page_style(page, CU_STYLE_PLAIN);
	if (cause > 0 && cause < CU_N_CAUSES && transaction->ledger[cause].ns > 0) {
		cu_page_say(page, ", ");
		cu_term_percent(&page->line, (uint64_t)transaction->ledger[cause].ns, sum);
		cu_page_say(page, " ");
		cu_page_say(page, cu_cause_name(cause));
	}
	if (entry->head.has_verdict) {
		cu_page_dot(page);
		cu_term_nobreak(&page->line, cu_confidence_name(verdict->confidence));
		cu_term_nobreak(&page->line, " confidence");
	}
	if (verdict->rule.len > 0) {
		cu_page_dot(page);
		cu_page_say(page, "rule ");
		cu_page_quote_rule(page, verdict->rule);
	}
	cu_page_flow(page, CU_PAGE_GUTTER);
}

void cu_entry_say_what(struct cu_page *page, const struct cu_entry *entry, bool article)
{
	const struct cu_transaction *transaction = &entry->transaction;
	if (transaction->kind == CU_TXN_TLS_HANDSHAKE) {
		cu_page_say(page, article ? "a TLS handshake" : "TLS handshake");
		if (entry->server_name.len > 0) {
			cu_page_say(page, " with ");
			cu_page_quote(page, entry->server_name);
		}
	} else if (transaction->name.len > 0) {
		cu_page_quote(page, transaction->name);
	} else {
		cu_page_say(page, article ? "a " : "");
		cu_page_say(page, cu_txn_kind_name(transaction->kind));
	}
}

/* What was asked of whom, when, and from where it was seen. */
static void put_subject(struct cu_page *page, const struct cu_entry *entry)
{
	const struct cu_transaction *transaction = &entry->transaction;
	cu_page_style(page, CU_STYLE_BOLD);
	cu_entry_say_what(page, entry, false);
	cu_page_style(page, CU_STYLE_PLAIN);
	if (entry->head.has_connection) {
		cu_page_dot(page);
		cu_page_say_end(page, &entry->head.client, entry->head.client_port);
		cu_page_say_arrow(page);
		cu_page_say_end(page, &entry->head.server, entry->head.server_port);
	}
	bool named = entry->server_name.len > 0 && transaction->kind != CU_TXN_TLS_HANDSHAKE;
	if (entry->verdict.service.len > 0 || named) {
		cu_page_say(page, " (");
		cu_page_quote_rule(page, entry->verdict.service);
		cu_page_say(page, entry->verdict.service.len > 0 && named ? ", " : "");
		if (named) {
			cu_page_quote(page, entry->server_name);
		}
		cu_page_say(page, ")");
	}
	cu_page_dot(page);
	cu_term_nobreak(&page->line, "stream ");
	cu_buf_add_u64(&page->line, transaction->stream);
	cu_term_nobreak(&page->line, " transaction ");
	cu_buf_add_u64(&page->line, transaction->number);
	cu_page_dot(page);
	cu_page_say_time(page, transaction->start_ns, true);
	if (entry->head.rtt_ns > 0) {
		cu_page_dot(page);
		cu_term_nobreak(&page->line, "round trip ");
		cu_term_duration(&page->line, entry->head.rtt_ns);
	}
	if (entry->head.vantage != CU_VANTAGE_UNKNOWN) {
		cu_page_dot(page);
		cu_term_nobreak(&page->line, cu_vantage_words(entry->head.vantage));
	}
	if (entry->file.len > 0) {
		cu_page_dot(page);
		cu_page_quote(page, entry->file);
	}
	cu_page_put(page, "", CU_PAGE_GUTTER);
}

/* " (1,495 bytes, 2 segments sent again)". */
static void say_size(struct cu_page *page, const struct cu_message *message)
{
	if (message->n_bytes == 0 && message->n_retransmitted == 0) {
		return;
	}
	cu_page_say(page, " (");
	if (message->n_bytes > 0) {
		cu_term_counted(&page->line, message->n_bytes, "byte");
	}
	if (message->n_retransmitted > 0) {
		cu_page_say(page, message->n_bytes > 0 ? ", " : "");
		cu_term_counted(&page->line, message->n_retransmitted, "segment");
		cu_page_say(page, " sent again");
	}
	cu_page_say(page, ")");
}

static void say_message(struct cu_page *page, const struct cu_entry *entry, const struct cu_message *message)
{
	cu_page_say_the_ends(page, file_of(entry, message->first_file), message->first_frame,
	                     file_of(entry, message->last_file), message->last_frame);
}

void cu_entry_say_frames(struct cu_page *page, const struct cu_entry *entry)
{
	const struct cu_transaction *transaction = &entry->transaction;
	cu_page_say_the_ends(page, file_of(entry, transaction->request.first_file), transaction->request.first_frame,
	                     file_of(entry, transaction->response.last_file), transaction->response.last_frame);
}

static void put_request(struct cu_page *page, const struct cu_entry *entry)
{
	const struct cu_transaction *transaction = &entry->transaction;
	const struct cu_message *request = &transaction->request;
	if (request->first_frame == 0) {
		return;
	}
	say_message(page, entry, request);
	say_size(page, request);
	if (transaction->kind == CU_TXN_CONNECT) {
		/* The answer is the acknowledgement. */
	} else if (transaction->acked_frame != 0) {
		cu_page_say(page, ", acknowledged in ");
		cu_page_say_the_frames(page, file_of(entry, transaction->acked_file), transaction->acked_frame, 0);
		cu_page_say(page, " after ");
		cu_term_duration(&page->line, transaction->ack_delay_ns);
	} else {
		cu_page_say(page, ", never acknowledged");
	}
	cu_page_put(page, transaction->kind == CU_TXN_CONNECT ? "SYN" : "request", CU_PAGE_GUTTER);
}

/* Whether two durations are not shown as the same. */
static bool look_different(int64_t a_ns, int64_t b_ns)
{
	char a[CU_TEXT_CAP], b[CU_TEXT_CAP];
	return strcmp(cu_format_duration(a, a_ns), cu_format_duration(b, b_ns)) != 0;
}

static void put_answer(struct cu_page *page, const struct cu_entry *entry)
{
	const struct cu_transaction *transaction = &entry->transaction;
	const struct cu_message *response = &transaction->response;
	const char *outcome = cu_outcome_words(transaction->outcome);
	if (response->first_frame != 0) {
		say_message(page, entry, response);
		say_size(page, response);
		if (transaction->first_byte_ns > 0) {
			bool several = response->last_frame != response->first_frame ||
			               response->last_file != response->first_file;
			cu_page_say(page, several ? ", first byte after " : " after ");
			cu_term_duration(&page->line, transaction->first_byte_ns);
			if (several && transaction->outcome == CU_OUTCOME_ANSWERED &&
			    look_different(transaction->first_byte_ns, transaction->total_ns)) {
				cu_page_say(page, ", all of it after ");
				cu_term_duration(&page->line, transaction->total_ns);
			}
		}
	} else if (*outcome == '\0') {
		return;
	}
	if (*outcome != '\0') {
		cu_page_say(page, response->first_frame != 0 ? "; " : "none: ");
		cu_page_say(page, outcome);
	}
	cu_page_put(page, "answer", CU_PAGE_GUTTER);
}

/* Where the blamed cause's longest stretch lies. */
static void put_stretch(struct cu_page *page, const struct cu_entry *entry)
{
	unsigned cause = cu_shown_cause(&entry->verdict);
	if (cause == CU_CAUSE_NONE || cause >= CU_N_CAUSES) {
		return;
	}
	const struct cu_ledger_entry *ledger = &entry->transaction.ledger[cause];
	if (ledger->first_frame == 0 ||
	    (ledger->first_file == ledger->last_file && ledger->last_frame <= ledger->first_frame)) {
		return;
	}
	cu_page_say(page, "the longest stretch of ");
	cu_page_say(page, cu_cause_name(cause));
	cu_page_say(page, " is from ");
	cu_page_say_the_frames(page, file_of(entry, ledger->first_file), ledger->first_frame, 0);
	cu_page_say(page, " to ");
	cu_page_say_frames(page, file_of(entry, ledger->last_file), ledger->last_frame, 0);
	cu_page_put(page, "where", CU_PAGE_GUTTER);
}

static uint64_t times(const struct cu_event *event)
{
	return event->count > 1 ? event->count : 1;
}

/* "frame 7 at 45.0 s", "9 at 90.0 s", "30 from 920 at 900 ms"; before is the last one said, or NULL. */
static void say_event(struct cu_page *page, const struct cu_entry *entry, const struct cu_event *event,
                      const struct cu_event *before)
{
	struct cu_text file = file_of(entry, event->file);
	if (event->count > 1) {
		cu_term_count(&page->line, event->count);
		cu_term_nobreak(&page->line, " from ");
	}
	if (before == NULL) {
		cu_page_say_the_frames(page, file, event->frame, 0);
	} else {
		cu_page_say_frames(page, event->file != before->file ? file : (struct cu_text){0}, event->frame, 0);
	}
	cu_term_nobreak(&page->line, " at ");
	cu_term_duration(&page->line, event->time_ns);
}

/* Says the events that are like the n-th, and checks them off; how many those are. */
static uint64_t say_alike(struct cu_page *page, const struct cu_entry *entry, unsigned n, bool *done)
{
	const struct cu_transaction *transaction = &entry->transaction;
	const struct cu_event *like = &transaction->events[n];
	uint64_t n_said = 0, n_more = 0;
	unsigned n_listed = 0;
	const struct cu_event *before = NULL;
	cu_term_nobreak(&page->line, cu_event_words(like->kind));
	/* An ICMP error comes from the path, about a segment that it quotes. */
	bool icmp = like->kind == CU_EVENT_ICMP;
	cu_page_say(page, icmp ? " about a segment of the " : " from the ");
	cu_page_say(page, cu_party_name(like->dir == CU_C2S ? CU_PARTY_CLIENT : CU_PARTY_SERVER));
	cu_page_say(page, ": ");
	for (unsigned i = n; i < transaction->n_kept && i < CU_EVENT_CAP; i++) {
		const struct cu_event *event = &transaction->events[i];
		if (event->kind != like->kind || event->dir != like->dir) {
			continue;
		}
		done[i] = true;
		n_said += times(event);
		if (n_listed == EVENT_FRAMES) {
			n_more += times(event);
			continue;
		}
		cu_page_say(page, n_listed > 0 ? ", " : "");
		say_event(page, entry, event, before);
		before = event;
		n_listed++;
	}
	if (n_more > 0) {
		cu_page_say(page, ", ");
		cu_term_count(&page->line, n_more);
		cu_term_nobreak(&page->line, " more");
	}
	return n_said;
}

static void put_events(struct cu_page *page, const struct cu_entry *entry)
{
	const struct cu_transaction *transaction = &entry->transaction;
	bool done[CU_EVENT_CAP] = {false};
	const char *label = "also";
	uint64_t n_said = 0;
	for (unsigned i = 0; i < transaction->n_kept && i < CU_EVENT_CAP; i++) {
		if (!done[i]) {
			n_said += say_alike(page, entry, i, done);
			cu_page_put(page, label, CU_PAGE_GUTTER);
			label = "";
		}
	}
	if (transaction->n_events > n_said) {
		cu_term_counted(&page->line, transaction->n_events - n_said, n_said > 0 ? "more event" : "event");
		cu_page_put(page, label, CU_PAGE_GUTTER);
	}
}

static void put_doubts(struct cu_page *page, const struct cu_entry *entry)
{
	unsigned doubts = entry->transaction.doubts;
	bool first = true;
	for (unsigned doubt = 0; doubt < CU_N_DOUBTS; doubt++) {
		if (doubts >> doubt & 1) {
			cu_page_say(page, first ? "" : "; ");
			cu_page_say(page, cu_doubt_words(doubt));
			first = false;
		}
	}
	if (!first) {
		cu_page_put(page, "unsure", CU_PAGE_GUTTER);
	}
}

static void put_words(struct cu_page *page, const struct cu_entry *entry)
{
	const struct cu_verdict *verdict = &entry->verdict;
	if (!entry->head.has_verdict) {
		return;
	}
	if (verdict->why.len > 0) {
		cu_page_quote_rule(page, verdict->why);
	} else {
		cu_page_say(page, cu_cause_words(verdict->cause));
	}
	cu_page_put(page, "why", CU_PAGE_GUTTER);
	put_doubts(page, entry);
	if (verdict->advice.len > 0) {
		cu_page_quote_rule(page, verdict->advice);
		cu_page_put(page, "advice", CU_PAGE_GUTTER);
	}
}

/* Takes a kept transaction apart; the texts stay in the blob. */
int cu_entry_read(const struct cu_buf *blob, struct cu_entry *entry)
{
	memset(entry, 0, sizeof(*entry));
	struct cu_cursor cur = cu_cursor_make(blob->data, blob->len);
	const uint8_t *fixed = cu_cursor_bytes(&cur, sizeof(entry->head));
	if (fixed == NULL) {
		return CU_ERR_NOMEM;
	}
	memcpy(&entry->head, fixed, sizeof(entry->head));
	const struct cu_entry_head *head = &entry->head;
	const uint8_t *transaction = cu_cursor_bytes(&cur, head->transaction_len);
	const uint8_t *verdict = cu_cursor_bytes(&cur, head->verdict_len);
	entry->server_name =
		(struct cu_text){(const char *)cu_cursor_bytes(&cur, head->server_name_len), head->server_name_len};
	entry->file = (struct cu_text){(const char *)cu_cursor_bytes(&cur, head->file_len), head->file_len};
	entry->other_files =
		(struct cu_text){(const char *)cu_cursor_bytes(&cur, head->other_files_len), head->other_files_len};
	if (cur.failed) {
		return CU_ERR_NOMEM;
	}
	int error = cu_transaction_decode(transaction, head->transaction_len, &entry->transaction);
	if (error == 0 && head->has_verdict) {
		error = cu_verdict_decode(verdict, head->verdict_len, &entry->verdict);
	}
	return error;
}

void cu_entry_put(struct cu_page *page, const struct cu_entry *entry)
{
	put_who(page, entry);
	put_subject(page, entry);
	put_ledger(page, &entry->transaction);
	cu_entry_put_frames(page, entry);
	put_words(page, entry);
}

void cu_entry_put_frames(struct cu_page *page, const struct cu_entry *entry)
{
	put_request(page, entry);
	put_answer(page, entry);
	put_stretch(page, entry);
	put_events(page, entry);
}
