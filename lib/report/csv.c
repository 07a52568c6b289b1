/*
 * Comma-separated values (RFC 4180, with newlines as Unix has them): a line a
 * transaction, with the columns of the JSON verdict.
 *
 * Spreadsheets run cells that begin like a formula; texts that do are led by
 * an apostrophe (OWASP, "CSV Injection").
 */
#include "lib/report/format.h"
#include "lib/report/json_write.h"

#include <stdlib.h>
#include <string.h>

struct csv {
	struct cu_buf *out;
};

static void put_header(struct cu_buf *out)
{
	CU_PUT(out, "stream,transaction,file,kind,outcome,name,server_name,client,client_port,server,server_port,"
	            "service,start,total_ns,slow,slow_over_ns,blame,cause,confidence,rule,rtt_ns,vantage,"
	            "client_distance_ns,server_distance_ns,loss_side,certainty");
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		CU_PUT(out, ",ledger_");
		for (const char *name = cu_cause_name(cause); *name != '\0'; name++) {
			cu_buf_add_u8(out, *name == '.' ? '_' : (uint8_t)*name);
		}
		CU_PUT(out, "_ns");
	}
	CU_PUT(out, ",request_bytes,request_first_frame,request_last_frame,request_acked_frame,request_ack_delay_ns,"
	            "request_retransmitted,response_bytes,response_first_frame,response_last_frame,"
	            "response_first_byte_ns,response_retransmitted,n_events,why,advice,"
	            "request_first_file,request_last_file,request_acked_file,response_first_file,response_last_file\n");
}

static int csv_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	(void)config;
	struct csv *csv = calloc(1, sizeof(*csv));
	if (csv == NULL) {
		return CU_ERR_NOMEM;
	}
	csv->out = &sink->buf;
	put_header(csv->out);
	*state = csv;
	return 0;
}

static void csv_close(void *state)
{
	free(state);
}

/* Whether a spreadsheet may take it for a formula: by its first character, also as East Asian keyboards have it. */
static bool is_formula(const char *data, size_t len)
{
	static const uint32_t first[] = {'=', '+', '-', '@', '|', '%', '\t', '\r', 0xff1d, 0xff0b, 0xff0d, 0xff20};
	uint32_t code = 0;
	cu_utf8_decode(data, len, &code);
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		if (code == first[i]) {
			return true;
		}
	}
	return false;
}

/* A cell of text from outside, and the comma before it. */
static void put_cell(struct cu_buf *out, const char *data, size_t len)
{
	CU_PUT(out, ",");
	if (len == 0) {
		return;
	}
	bool quoted = false;
	for (size_t i = 0; i < len && !quoted; i++) {
		quoted = data[i] == ',' || data[i] == '"' || data[i] == '\n' || data[i] == '\r' || data[i] == ';';
	}
	quoted = quoted || data[0] == ' ' || data[len - 1] == ' ';
	cu_puts(out, quoted ? "\"" : "");
	cu_puts(out, is_formula(data, len) ? "'" : "");
	for (size_t i = 0, n; i < len; i += n) {
		n = cu_utf8_printable(data + i, len - i);
		if (n > 0) {
			cu_puts(out, data[i] == '"' ? "\"" : "");
			cu_put(out, data + i, n);
		} else { /* what is not printable or not UTF-8 */
			static const char digit[] = "0123456789abcdef";
			uint8_t c = (uint8_t)data[i];
			char text[4] = {'\\', 'x', digit[c >> 4], digit[c & 15]};
			cu_put(out, text, sizeof(text));
			n = 1;
		}
	}
	cu_puts(out, quoted ? "\"" : "");
}

static void put_text(struct cu_buf *out, struct cu_text text)
{
	put_cell(out, text.data, text.len);
}

/* One of our own words. */
static void put_word(struct cu_buf *out, const char *word)
{
	CU_PUT(out, ",");
	cu_puts(out, word);
}

static void put_number(struct cu_buf *out, int64_t v)
{
	CU_PUT(out, ",");
	cu_put_i64(out, v);
}

/* Empty for 0, where 0 means that there is none. */
static void put_some(struct cu_buf *out, uint64_t v)
{
	CU_PUT(out, ",");
	if (v != 0) {
		cu_put_u64(out, v);
	}
}

static void put_ends(struct cu_buf *out, const struct cu_connection *connection)
{
	if (connection == NULL) {
		CU_PUT(out, ",,,,");
		return;
	}
	CU_PUT(out, ",");
	cu_put_addr(out, &connection->client);
	put_number(out, connection->client_port);
	CU_PUT(out, ",");
	cu_put_addr(out, &connection->server);
	put_number(out, connection->server_port);
}

static void put_verdict(struct cu_buf *out, const struct cu_verdict *verdict)
{
	if (verdict == NULL) {
		CU_PUT(out, ",,,,,,");
		return;
	}
	put_word(out, verdict->slow ? "true" : "false");
	put_number(out, verdict->slow_over_ns);
	put_word(out, cu_party_name(cu_shown_blame(verdict)));
	put_word(out, cu_cause_name(cu_shown_cause(verdict)));
	put_word(out, cu_confidence_name(verdict->slow ? verdict->confidence : 0U));
	put_text(out, verdict->rule);
}

/* The file of a frame, where it is another than the transaction's. */
static void put_part_file(struct cu_buf *out, const struct cu_report_transaction *item, uint16_t part_file)
{
	const char *file = part_file != 0 ? cu_part_file(item, part_file) : NULL;
	put_cell(out, file, file != NULL ? strlen(file) : 0);
}

static int csv_transaction(void *state, const struct cu_report_transaction *item)
{
	struct csv *csv = state;
	struct cu_buf *out = csv->out;
	const struct cu_transaction *transaction = item->transaction;
	const struct cu_verdict *verdict = item->verdict;
	const struct cu_text none = {0};
	bool handshake = transaction->kind == CU_TXN_TLS_HANDSHAKE;

	cu_put_u64(out, transaction->stream);
	put_number(out, (int64_t)transaction->number);
	put_cell(out, item->file, item->file != NULL ? strlen(item->file) : 0);
	put_word(out, cu_txn_kind_name(transaction->kind));
	put_word(out, cu_outcome_name(transaction->outcome));
	put_text(out, handshake ? none : transaction->name);
	put_text(out, item->server_name);
	put_ends(out, item->connection);
	put_text(out, verdict != NULL ? verdict->service : none);
	CU_PUT(out, ",");
	cu_put_time(out, transaction->start_ns);
	put_number(out, transaction->total_ns);
	put_verdict(out, verdict);
	put_some(out, item->analysis != NULL && item->analysis->rtt_ns > 0 ? (uint64_t)item->analysis->rtt_ns : 0);
	put_word(out, cu_vantage_name(item->analysis != NULL ? item->analysis->vantage : 0U));
	put_number(out, transaction->client_distance_ns);
	put_number(out, transaction->server_distance_ns);
	put_word(out, cu_loss_side_name(transaction->loss_side));
	put_number(out, transaction->certainty);
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		put_number(out, transaction->ledger[cause].ns);
	}
	put_number(out, (int64_t)transaction->request.n_bytes);
	put_some(out, transaction->request.first_frame);
	put_some(out, transaction->request.last_frame);
	put_some(out, transaction->acked_frame);
	if (transaction->acked_frame != 0) {
		put_number(out, transaction->ack_delay_ns);
	} else {
		CU_PUT(out, ",");
	}
	put_number(out, (int64_t)transaction->request.n_retransmitted);
	put_number(out, (int64_t)transaction->response.n_bytes);
	put_some(out, transaction->response.first_frame);
	put_some(out, transaction->response.last_frame);
	put_some(out, transaction->first_byte_ns > 0 ? (uint64_t)transaction->first_byte_ns : 0);
	put_number(out, (int64_t)transaction->response.n_retransmitted);
	put_number(out, (int64_t)transaction->n_events);
	put_text(out, verdict != NULL ? verdict->why : none);
	put_text(out, verdict != NULL ? verdict->advice : none);
	put_part_file(out, item, transaction->request.first_file);
	put_part_file(out, item, transaction->request.last_file);
	put_part_file(out, item, transaction->acked_file);
	put_part_file(out, item, transaction->response.first_file);
	put_part_file(out, item, transaction->response.last_file);
	CU_PUT(out, "\n");
	return 0;
}

const struct cu_format cu_format_csv = {
	.name = "csv",
	.open = csv_open,
	.transaction = csv_transaction,
	.close = csv_close,
};
