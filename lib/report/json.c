/*
 * JSON Lines. culprit.schema.json is the contract: a key that is always there
 * is null when unknown, the others are left out.
 */
#include "lib/report/format.h"
#include "lib/report/json_write.h"
#include "lib/report/words.h"

#include <string.h>

static int json_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	(void)config;
	*state = sink;
	return 0;
}

static void json_close(void *state)
{
	(void)state;
}

/* client, client_port, server, server_port. */
static void put_ends(struct cu_buf *out, const struct cu_connection *connection)
{
	if (connection == NULL) {
		CU_PUT(out, ",\"client\":null,\"client_port\":null,\"server\":null,\"server_port\":null");
		return;
	}
	CU_PUT(out, ",\"client\":\"");
	cu_put_addr(out, &connection->client);
	CU_JSON_U64(out, "\",\"client_port\":", connection->client_port);
	CU_PUT(out, ",\"server\":\"");
	cu_put_addr(out, &connection->server);
	CU_JSON_U64(out, "\",\"server_port\":", connection->server_port);
}

static void put_file(struct cu_buf *out, const char *file)
{
	if (file != NULL) {
		CU_PUT(out, ",\"file\":");
		cu_json_string(out, file, strlen(file));
	}
}

/* The file of a transaction's part, where it is another than the transaction's. */
static void put_part_file(struct cu_buf *out, const struct cu_report_transaction *item, const char *key,
                          uint16_t part_file)
{
	const char *file = part_file != 0 ? cu_part_file(item, part_file) : NULL;
	if (file != NULL) {
		cu_puts(out, key);
		cu_json_string(out, file, strlen(file));
	}
}

static void put_doubts(struct cu_buf *out, unsigned doubts)
{
	bool first = true;
	CU_PUT(out, ",\"doubts\":[");
	for (unsigned doubt = 0; doubt < CU_N_DOUBTS; doubt++) {
		if (doubts >> doubt & 1) {
			cu_puts(out, first ? "\"" : ",\"");
			cu_puts(out, cu_doubt_name(doubt));
			CU_PUT(out, "\"");
			first = false;
		}
	}
	CU_PUT(out, "]");
}

/* Of the frames of a ledger, for those that are not both in the transaction's file. */
static void put_ledger_files(struct cu_buf *out, const struct cu_report_transaction *item)
{
	const char *before = ",\"ledger_files\":{";
	bool any = false;
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		const struct cu_ledger_entry *entry = &item->transaction->ledger[cause];
		const char *first = cu_part_file(item, entry->first_file), *last = cu_part_file(item, entry->last_file);
		if ((entry->first_file | entry->last_file) == 0 || first == NULL || last == NULL) {
			continue;
		}
		cu_puts(out, before);
		CU_JSON_WORD(out, "", cu_cause_name(cause));
		CU_PUT(out, ":[");
		cu_json_string(out, first, strlen(first));
		CU_PUT(out, ",");
		cu_json_string(out, last, strlen(last));
		CU_PUT(out, "]");
		before = ",";
		any = true;
	}
	cu_puts(out, any ? "}" : "");
}

static void put_ledger(struct cu_buf *out, const struct cu_report_transaction *item)
{
	const struct cu_ledger_entry *ledger = item->transaction->ledger;
	const char *before = "";
	CU_PUT(out, ",\"ledger\":{");
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (ledger[cause].ns != 0) {
			cu_puts(out, before);
			CU_JSON_WORD(out, "", cu_cause_name(cause));
			CU_JSON_I64(out, ":", ledger[cause].ns);
			before = ",";
		}
	}
	CU_PUT(out, "},\"ledger_frames\":{");
	before = "";
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (ledger[cause].ns != 0 && ledger[cause].first_frame != 0) {
			cu_puts(out, before);
			CU_JSON_WORD(out, "", cu_cause_name(cause));
			CU_JSON_U64(out, ":[", ledger[cause].first_frame);
			CU_JSON_U64(out, ",", ledger[cause].last_frame);
			CU_PUT(out, "]");
			before = ",";
		}
	}
	CU_PUT(out, "}");
	put_ledger_files(out, item);
}

/* The members that request and response share. */
static void put_message(struct cu_buf *out, const struct cu_report_transaction *item, const struct cu_message *message)
{
	CU_JSON_U64(out, "\"bytes\":", message->n_bytes);
	CU_PUT(out, ",\"first_frame\":");
	cu_put_u64_or_null(out, message->first_frame);
	CU_PUT(out, ",\"last_frame\":");
	cu_put_u64_or_null(out, message->last_frame);
	put_part_file(out, item, ",\"first_file\":", message->first_file);
	put_part_file(out, item, ",\"last_file\":", message->last_file);
	if (message->n_retransmitted > 0) {
		CU_JSON_U64(out, ",\"retransmitted\":", message->n_retransmitted);
	}
}

static void put_events(struct cu_buf *out, const struct cu_report_transaction *item)
{
	const struct cu_transaction *transaction = item->transaction;
	const char *before = "";
	unsigned n = transaction->n_kept < CU_EVENT_CAP ? transaction->n_kept : CU_EVENT_CAP;
	uint64_t n_shown = 0;
	CU_PUT(out, ",\"events\":[");
	for (unsigned i = 0; i < n; i++) {
		const struct cu_event *event = &transaction->events[i];
		cu_puts(out, before);
		CU_JSON_WORD(out, "{\"kind\":", cu_event_name(event->kind));
		CU_JSON_WORD(out,
		             ",\"from\":", cu_party_name(event->dir == CU_C2S ? CU_PARTY_CLIENT : CU_PARTY_SERVER));
		CU_JSON_U64(out, ",\"frame\":", event->frame);
		put_part_file(out, item, ",\"file\":", event->file);
		CU_JSON_I64(out, ",\"time_ns\":", event->time_ns);
		if (event->count > 1) {
			CU_JSON_U64(out, ",\"count\":", event->count);
		}
		CU_PUT(out, "}");
		before = ",";
		n_shown += event->count > 1 ? event->count : 1;
	}
	CU_PUT(out, "]");
	if (transaction->n_events > n_shown) {
		CU_JSON_U64(out, ",\"more_events\":", transaction->n_events - n_shown);
	}
}

static void put_verdict(struct cu_buf *out, const struct cu_verdict *verdict)
{
	CU_PUT(out, ",\"slow\":");
	cu_put_bool(out, verdict->slow);
	CU_JSON_I64(out, ",\"slow_over_ns\":", verdict->slow_over_ns);
	CU_JSON_WORD(out, ",\"blame\":", cu_party_name(cu_shown_blame(verdict)));
	CU_JSON_WORD(out, ",\"cause\":", cu_cause_name(cu_shown_cause(verdict)));
	CU_JSON_WORD(out, ",\"confidence\":", cu_confidence_name(verdict->slow ? verdict->confidence : 0U));
	CU_PUT(out, ",\"rule\":");
	cu_put_text_or_null(out, verdict->rule);
}

void cu_json_transaction(struct cu_buf *out, const struct cu_report_transaction *item)
{
	const struct cu_transaction *transaction = item->transaction;
	const struct cu_verdict *verdict = item->verdict;
	if (verdict != NULL) {
		CU_PUT(out, "{\"record\":\"verdict\",\"schema\":1");
	} else {
		CU_PUT(out, "{\"record\":\"transaction\",\"schema\":1");
	}
	CU_JSON_U64(out, ",\"stream\":", transaction->stream);
	CU_JSON_U64(out, ",\"transaction\":", transaction->number);
	put_file(out, item->file);
	CU_JSON_WORD(out, ",\"kind\":", cu_txn_kind_name(transaction->kind));
	CU_JSON_WORD(out, ",\"outcome\":", cu_outcome_name(transaction->outcome));
	if (transaction->name.len > 0 && transaction->kind != CU_TXN_TLS_HANDSHAKE) {
		CU_PUT(out, ",\"name\":");
		cu_json_string(out, transaction->name.data, transaction->name.len);
	}
	if (item->server_name.len > 0) {
		CU_PUT(out, ",\"server_name\":");
		cu_json_string(out, item->server_name.data, item->server_name.len);
	}
	put_ends(out, item->connection);
	if (verdict != NULL) {
		CU_PUT(out, ",\"service\":");
		cu_put_text_or_null(out, verdict->service);
	}
	CU_PUT(out, ",\"start\":");
	cu_json_time(out, transaction->start_ns);
	CU_JSON_I64(out, ",\"total_ns\":", transaction->total_ns);
	if (verdict != NULL) {
		put_verdict(out, verdict);
	}
	CU_PUT(out, ",\"rtt_ns\":");
	cu_put_ns_or_null(out, item->analysis != NULL ? item->analysis->rtt_ns : 0);
	CU_JSON_WORD(out, ",\"vantage\":", cu_vantage_name(item->analysis != NULL ? item->analysis->vantage : 0U));
	if (transaction->client_distance_ns != 0 || transaction->server_distance_ns != 0) {
		CU_JSON_I64(out, ",\"client_distance_ns\":", transaction->client_distance_ns);
		CU_JSON_I64(out, ",\"server_distance_ns\":", transaction->server_distance_ns);
	}
	if (transaction->loss_side != CU_LOSS_NONE) {
		CU_JSON_WORD(out, ",\"loss_side\":", cu_loss_side_name(transaction->loss_side));
	}
	CU_JSON_U64(out, ",\"certainty\":", transaction->certainty);
	if (transaction->doubts != 0) {
		put_doubts(out, transaction->doubts);
	}
	put_ledger(out, item);
	CU_PUT(out, ",\"request\":{");
	put_message(out, item, &transaction->request);
	CU_PUT(out, ",\"acked_frame\":");
	cu_put_u64_or_null(out, transaction->acked_frame);
	if (transaction->acked_frame != 0) {
		put_part_file(out, item, ",\"acked_file\":", transaction->acked_file);
		CU_JSON_I64(out, ",\"ack_delay_ns\":", transaction->ack_delay_ns);
	}
	CU_PUT(out, "},\"response\":{");
	put_message(out, item, &transaction->response);
	if (transaction->first_byte_ns != 0) {
		CU_JSON_I64(out, ",\"first_byte_ns\":", transaction->first_byte_ns);
	}
	CU_PUT(out, "}");
	put_events(out, item);
	if (verdict != NULL) {
		CU_PUT(out, ",\"why\":");
		cu_put_text_or_null(out, verdict->why);
		CU_PUT(out, ",\"advice\":");
		cu_put_text_or_null(out, verdict->advice);
	}
	CU_PUT(out, "}\n");
}

static int json_transaction(void *state, const struct cu_report_transaction *item)
{
	cu_json_transaction(&((struct cu_sink *)state)->buf, item);
	return 0;
}

/* A counter that is mostly zero, and then left out. */
#define PUT_SOME(out, key, v)                     \
	do {                                      \
		if ((v) != 0) {                   \
			CU_JSON_U64(out, key, v); \
		}                                 \
	} while (0)

static void put_rtt(struct cu_buf *out, const struct cu_analysis_side *side)
{
	CU_JSON_U64(out, ",\"rtt_samples\":", side->n_rtt_samples);
	PUT_SOME(out, ",\"rtt_samples_by_timestamp\":", side->n_rtt_by_timestamp);
	CU_JSON_I64(out, ",\"rtt_min_ns\":", side->rtt_min_ns);
	CU_JSON_I64(out, ",\"rtt_mean_ns\":", side->rtt_mean_ns);
	CU_JSON_I64(out, ",\"rtt_median_ns\":", side->rtt_median_ns);
	CU_JSON_I64(out, ",\"rtt_p90_ns\":", side->rtt_p90_ns);
	CU_JSON_I64(out, ",\"rtt_p99_ns\":", side->rtt_p99_ns);
	CU_JSON_I64(out, ",\"rtt_max_ns\":", side->rtt_max_ns);
	if (side->rtt_slice_ns == 0) {
		return;
	}
	CU_JSON_I64(out, ",\"rtt_slice_ns\":", side->rtt_slice_ns);
	CU_PUT(out, ",\"rtt_slices\":[");
	unsigned n = CU_RTT_SLICES;
	while (n > 0 && side->rtt_slice[n - 1].n == 0) {
		n--;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct cu_rtt_slice *slice = &side->rtt_slice[i];
		cu_puts(out, i > 0 ? "," : "");
		CU_JSON_U64(out, "{\"samples\":", slice->n);
		if (slice->n > 0) {
			CU_JSON_I64(out, ",\"min_ns\":", slice->min_ns);
			CU_JSON_I64(out, ",\"mean_ns\":", slice->mean_ns);
			CU_JSON_I64(out, ",\"max_ns\":", slice->max_ns);
		}
		CU_PUT(out, "}");
	}
	CU_PUT(out, "]");
}

static void put_window(struct cu_buf *out, const struct cu_window_use *use)
{
	CU_JSON_U64(out, ",\"window\":{\"min_bytes\":", use->min_bytes);
	CU_JSON_U64(out, ",\"mean_bytes\":", use->mean_bytes);
	CU_JSON_U64(out, ",\"max_bytes\":", use->max_bytes);
	CU_JSON_U64(out, ",\"flight_max_bytes\":", use->flight_max_bytes);
	CU_JSON_U64(out, ",\"sent\":", use->n_sent);
	CU_JSON_U64(out, ",\"at_edge\":", use->n_edge);
	CU_PUT(out, ",\"small\":");
	cu_put_bool(out, use->small != 0);
	CU_PUT(out, "}");
}

static void put_loss(struct cu_buf *out, const struct cu_loss_runs *loss)
{
	if (loss->n_lost == 0) {
		return;
	}
	CU_JSON_U64(out, ",\"loss\":{\"segments\":", loss->n_segments);
	CU_JSON_U64(out, ",\"lost\":", loss->n_lost);
	CU_JSON_U64(out, ",\"runs\":", loss->n_runs);
	CU_JSON_U64(out, ",\"longest_run\":", loss->longest);
	CU_JSON_U64(out, ",\"p_ppm\":", loss->enter_ppm);
	CU_JSON_U64(out, ",\"r_ppm\":", loss->leave_ppm);
	CU_JSON_WORD(out, ",\"pattern\":", cu_loss_pattern_name(loss->pattern));
	CU_PUT(out, "}");
}

static void put_side(struct cu_buf *out, const struct cu_connection_side *side, const struct cu_analysis_side *analysis)
{
	CU_JSON_U64(out, "{\"segments\":", side->n_segments);
	CU_JSON_U64(out, ",\"bytes\":", side->n_bytes);
	CU_JSON_U64(out, ",\"isn\":", side->isn);
	CU_JSON_U64(out, ",\"ttl\":", side->ttl);
	if (side->has_syn) {
		CU_JSON_U64(out, ",\"syn\":{\"mss\":", side->syn.mss);
		CU_PUT(out, ",\"window_scale\":");
		if (side->syn.has_wscale) {
			cu_put_u64(out, side->syn.wscale);
		} else {
			CU_PUT(out, "null");
		}
		CU_PUT(out, ",\"sack_permitted\":");
		cu_put_bool(out, side->syn.sack_permitted);
		CU_PUT(out, ",\"timestamps\":");
		cu_put_bool(out, side->syn.has_timestamps);
		CU_PUT(out, "}");
	}
	if (analysis != NULL) {
		CU_JSON_U64(out, ",\"data_segments\":", analysis->n_data_segments);
		CU_JSON_U64(out, ",\"unique_bytes\":", analysis->n_unique_bytes);
		CU_JSON_U64(out, ",\"retransmitted\":", analysis->n_retransmitted);
		PUT_SOME(out, ",\"retransmitted_bytes\":", analysis->n_retransmitted_bytes);
		PUT_SOME(out, ",\"fast_retransmissions\":", analysis->n_fast);
		PUT_SOME(out, ",\"timeouts\":", analysis->n_timeout);
		PUT_SOME(out, ",\"tail_probes\":", analysis->n_probes);
		PUT_SOME(out, ",\"spurious_retransmissions\":", analysis->n_spurious);
		PUT_SOME(out, ",\"out_of_order\":", analysis->n_out_of_order);
		PUT_SOME(out, ",\"duplicate_acks\":", analysis->n_dup_acks);
		PUT_SOME(out, ",\"zero_windows\":", analysis->n_zero_windows);
		PUT_SOME(out, ",\"window_full\":", analysis->n_window_full);
		PUT_SOME(out, ",\"keep_alives\":", analysis->n_keep_alives);
		PUT_SOME(out, ",\"gaps\":", analysis->n_gaps);
		PUT_SOME(out, ",\"gap_bytes\":", analysis->n_gap_bytes);
		PUT_SOME(out, ",\"unseen_bytes\":", analysis->n_unseen_bytes);
		PUT_SOME(out, ",\"duplicate_frames\":", analysis->n_duplicates);
		PUT_SOME(out, ",\"syns\":", analysis->n_syns);
		PUT_SOME(out, ",\"segments_above_mss\":", analysis->n_large);
		PUT_SOME(out, ",\"largest_segment_bytes\":", analysis->largest_bytes);
		if (analysis->n_rtt_samples > 0) {
			put_rtt(out, analysis);
		}
		put_window(out, &analysis->window);
		put_loss(out, &analysis->loss);
	}
	CU_PUT(out, "}");
}

/* The file of a connection's part, where it is another than the connection's first. */
static void put_piece_file(struct cu_buf *out, const struct cu_report_connection *item, const char *key,
                           uint16_t part_file)
{
	const char *file = part_file != 0 ? cu_piece_file(item, part_file) : NULL;
	if (file != NULL) {
		cu_puts(out, key);
		cu_json_string(out, file, strlen(file));
	}
}

static void put_analysis(struct cu_buf *out, const struct cu_report_connection *item)
{
	const struct cu_analysis *analysis = item->analysis;
	CU_JSON_U64(out, ",\"completeness\":", analysis->completeness);
	CU_JSON_WORD(out, ",\"vantage\":", cu_vantage_name(analysis->vantage));
	CU_PUT(out, ",\"rtt_ns\":");
	cu_put_ns_or_null(out, analysis->rtt_ns);
	CU_PUT(out, ",\"client_rtt_ns\":");
	cu_put_ns_or_null(out, analysis->client_rtt_ns);
	CU_PUT(out, ",\"server_rtt_ns\":");
	cu_put_ns_or_null(out, analysis->server_rtt_ns);
	CU_PUT(out, ",\"handshake_rtt_ns\":");
	cu_put_ns_or_null(out, analysis->handshake_rtt_ns);
	CU_PUT(out, ",\"rtt_uncertain\":");
	cu_put_bool(out, analysis->rtt_uncertain);
	CU_PUT(out, ",\"mss\":");
	cu_put_u64_or_null(out, analysis->mss);
	CU_PUT(out, ",\"window_scaled\":");
	cu_put_bool(out, analysis->window_scaled);
	CU_JSON_WORD(out, ",\"close\":", cu_close_name(analysis->close));
	CU_JSON_WORD(out, ",\"closed_by\":", cu_party_name(analysis->closed_by));
	CU_PUT(out, ",\"close_frame\":");
	cu_put_u64_or_null(out, analysis->close_frame);
	put_piece_file(out, item, ",\"close_file\":", analysis->close_file);
	CU_JSON_WORD(out, ",\"loss_side\":", cu_loss_side_name(analysis->loss_side));
	if (analysis->reset_frame != 0) {
		CU_JSON_WORD(out, ",\"reset\":{\"kind\":", cu_reset_name(analysis->reset));
		CU_JSON_WORD(out, ",\"by\":", cu_party_name(analysis->reset_by));
		CU_JSON_U64(out, ",\"frame\":", analysis->reset_frame);
		put_piece_file(out, item, ",\"file\":", analysis->reset_file);
		CU_JSON_I64(out, ",\"quiet_ns\":", analysis->reset_quiet_ns);
		if (analysis->reset_by == CU_PARTY_NETWORK) {
			CU_JSON_U64(out, ",\"hops\":", analysis->reset_hops);
			CU_JSON_U64(out, ",\"usual_hops\":", analysis->usual_hops);
		}
		CU_PUT(out, "}");
	}
}

static void put_gaps(struct cu_buf *out, const struct cu_report_connection *item)
{
	CU_PUT(out, ",\"gaps\":[");
	for (size_t i = 0; i < item->n_gaps; i++) {
		const struct cu_gap *gap = &item->gaps[i];
		if (i > 0) {
			CU_PUT(out, ",");
		}
		CU_JSON_WORD(out, "{\"direction\":", gap->dir == CU_C2S ? "c2s" : "s2c");
		CU_JSON_WORD(out, ",\"side\":", cu_loss_side_name(gap->side));
		CU_JSON_I64(out, ",\"relative_seq\":", (int64_t)gap->rel_seq);
		CU_JSON_U64(out, ",\"bytes\":", gap->n_bytes);
		CU_JSON_U64(out, ",\"segments\":", gap->n_segments);
		CU_PUT(out, ",\"start\":");
		cu_json_time(out, gap->start_ns);
		CU_PUT(out, ",\"frame\":");
		cu_put_u64_or_null(out, gap->frame);
		put_piece_file(out, item, ",\"file\":", gap->file);
		CU_PUT(out, ",\"fill_frame\":");
		cu_put_u64_or_null(out, gap->fill_frame);
		put_piece_file(out, item, ",\"fill_file\":", gap->fill_file);
		CU_PUT(out, ",\"filled_ns\":");
		cu_put_ns_or_null(out, gap->filled_ns);
		CU_JSON_U64(out, ",\"duplicate_acks\":", gap->n_dup_acks);
		if (gap->n_dup_acks > 0) {
			CU_JSON_U64(out, ",\"duplicate_ack_frames\":[", gap->first_dup_frame);
			CU_JSON_U64(out, ",", gap->last_dup_frame);
			CU_PUT(out, "]");
			put_piece_file(out, item, ",\"first_duplicate_ack_file\":", gap->first_dup_file);
			put_piece_file(out, item, ",\"last_duplicate_ack_file\":", gap->last_dup_file);
		}
		if (gap->sack_frame != 0) {
			CU_JSON_U64(out, ",\"sack\":{\"frame\":", gap->sack_frame);
			put_piece_file(out, item, ",\"file\":", gap->sack_file);
			CU_JSON_I64(out, ",\"left\":", (int64_t)gap->sack_left);
			CU_JSON_I64(out, ",\"right\":", (int64_t)gap->sack_right);
			CU_PUT(out, "}");
		}
		if (gap->n_fills > 0) {
			CU_JSON_U64(out, ",\"fills\":", gap->n_fills);
			CU_JSON_U64(out, ",\"first_fill_frame\":", gap->first_fill_frame);
			put_piece_file(out, item, ",\"first_fill_file\":", gap->first_fill_file);
			CU_JSON_I64(out, ",\"first_fill_ns\":", gap->first_fill_ns);
		}
		CU_PUT(out, "}");
	}
	CU_PUT(out, "]");
	PUT_SOME(out, ",\"more_gaps\":", item->n_more_gaps);
}

static int json_connection(void *state, const struct cu_report_connection *item)
{
	struct cu_buf *out = &((struct cu_sink *)state)->buf;
	const struct cu_connection *connection = item->connection;
	const struct cu_analysis *analysis = item->analysis;
	CU_PUT(out, "{\"record\":\"connection\",\"schema\":1");
	CU_JSON_U64(out, ",\"stream\":", connection->stream);
	put_file(out, item->file);
	put_ends(out, connection);
	CU_PUT(out, ",\"start\":");
	cu_json_time(out, connection->start_ns);
	CU_JSON_I64(out, ",\"duration_ns\":", connection->end_ns - connection->start_ns);
	CU_JSON_U64(out, ",\"first_frame\":", connection->first_frame);
	CU_JSON_U64(out, ",\"last_frame\":", connection->last_frame);
	if (connection->last_file != connection->first_file && item->last_file != NULL) {
		CU_PUT(out, ",\"last_file\":");
		cu_json_string(out, item->last_file, strlen(item->last_file));
	}
	CU_JSON_WORD(out, ",\"role\":", cu_role_name(connection->role));
	CU_JSON_WORD(out, ",\"end\":", cu_connection_end_name(connection->end));
	CU_PUT(out, ",\"continued\":");
	cu_put_bool(out, connection->continued);
	if (connection->n_ids > 0) {
		CU_PUT(out, ",\"ids\":[");
		for (unsigned i = 0; i < connection->n_ids && i < CU_VLAN_CAP; i++) {
			if (i > 0) {
				CU_PUT(out, ",");
			}
			cu_put_u64(out, connection->ids[i]);
		}
		CU_PUT(out, "]");
	}
	PUT_SOME(out, ",\"fragments\":", connection->n_fragments);
	if (analysis != NULL) {
		put_analysis(out, item);
	}
	CU_PUT(out, ",\"c2s\":");
	put_side(out, &connection->side[CU_C2S], analysis != NULL ? &analysis->side[CU_C2S] : NULL);
	CU_PUT(out, ",\"s2c\":");
	put_side(out, &connection->side[CU_S2C], analysis != NULL ? &analysis->side[CU_S2C] : NULL);
	if (analysis != NULL) {
		put_gaps(out, item);
	}
	CU_PUT(out, "}\n");
	return 0;
}

static void put_scan(struct cu_buf *out, const struct cu_scan *scan)
{
	char text[CU_TEXT_CAP];
	CU_JSON_U64(out, ",\"scan\":{\"open\":", scan->n_open);
	CU_JSON_U64(out, ",\"closed\":", scan->n_closed);
	CU_JSON_U64(out, ",\"filtered\":", scan->n_filtered);
	CU_JSON_U64(out, ",\"hosts\":", scan->n_hosts);
	CU_JSON_U64(out, ",\"ports\":", scan->n_ports);
	if (scan->host.family != 0) {
		CU_JSON_WORD(out, ",\"host\":", cu_format_addr(text, &scan->host));
	}
	PUT_SOME(out, ",\"port\":", scan->port);
	CU_PUT(out, "}");
}

void cu_json_finding(struct cu_buf *out, const struct cu_report_finding *item)
{
	const struct cu_finding *finding = item->finding;
	char text[CU_TEXT_CAP];
	CU_PUT(out, "{\"record\":\"finding\",\"schema\":1,\"kind\":");
	cu_json_string(out, finding->kind.data, finding->kind.len);
	CU_JSON_WORD(out, ",\"address\":", cu_format_addr(text, &finding->addr));
	CU_PUT(out, ",\"port\":");
	cu_put_u64_or_null(out, finding->port);
	CU_JSON_WORD(out, ",\"blame\":", cu_party_name(finding->blame));
	CU_JSON_WORD(out, ",\"confidence\":", cu_confidence_name(finding->confidence));
	CU_JSON_U64(out, ",\"count\":", finding->count);
	CU_PUT(out, ",\"first_frame\":");
	cu_put_u64_or_null(out, finding->first_frame);
	CU_PUT(out, ",\"last_frame\":");
	cu_put_u64_or_null(out, finding->last_frame);
	if (finding->first_frame != 0 && item->first_file != NULL && item->last_file != NULL) {
		CU_PUT(out, ",\"first_file\":");
		cu_json_string(out, item->first_file, strlen(item->first_file));
		CU_PUT(out, ",\"last_file\":");
		cu_json_string(out, item->last_file, strlen(item->last_file));
	}
	CU_PUT(out, ",\"start\":");
	cu_json_time(out, finding->start_ns);
	CU_JSON_I64(out, ",\"duration_ns\":", finding->end_ns - finding->start_ns);
	CU_PUT(out, ",\"rule\":");
	cu_put_text_or_null(out, finding->rule);
	CU_PUT(out, ",\"why\":");
	cu_put_text_or_null(out, finding->why);
	CU_PUT(out, ",\"advice\":");
	cu_put_text_or_null(out, finding->advice);
	if (finding->scan.n_hosts > 0) {
		put_scan(out, &finding->scan);
	}
	CU_PUT(out, "}\n");
}

static int json_finding(void *state, const struct cu_report_finding *item)
{
	cu_json_finding(&((struct cu_sink *)state)->buf, item);
	return 0;
}

static void put_time_or_null(struct cu_buf *out, bool has_time, int64_t time_ns)
{
	if (has_time) {
		cu_json_time(out, time_ns);
	} else {
		CU_PUT(out, "null");
	}
}

void cu_json_summary(struct cu_buf *out, const struct cu_report_counts *counts)
{
	const struct cu_totals *totals = &counts->totals;
	CU_JSON_U64(out, "{\"record\":\"summary\",\"schema\":1,\"packets\":", totals->n_packets);
	CU_JSON_U64(out, ",\"tcp_packets\":", totals->n_tcp);
	CU_JSON_U64(out, ",\"connections\":", counts->n_connections);
	CU_JSON_U64(out, ",\"transactions\":", counts->n_transactions);
	CU_JSON_U64(out, ",\"judged\":", counts->n_judged);
	CU_JSON_U64(out, ",\"slow\":", counts->n_slow);
	CU_PUT(out, ",\"slow_by_party\":");
	cu_json_by_party(out, counts->slow_by_party);
	CU_JSON_U64(out, ",\"findings\":", counts->n_findings);
	CU_JSON_U64(out, ",\"files\":", counts->n_files);
	CU_PUT(out, ",\"first\":");
	put_time_or_null(out, cu_totals_have_times(totals), totals->first_ns);
	CU_PUT(out, ",\"last\":");
	put_time_or_null(out, cu_totals_have_times(totals), totals->last_ns);
	CU_PUT(out, ",\"complete\":");
	cu_put_bool(out, cu_report_is_complete(counts));
	CU_JSON_U64(out, ",\"damaged\":", totals->n_damaged);
	CU_JSON_U64(out, ",\"skipped_bytes\":", totals->n_skipped_bytes);
	CU_JSON_U64(out, ",\"truncated_files\":", totals->n_truncated);
	PUT_SOME(out, ",\"unread_files\":", totals->n_unread);
	CU_JSON_U64(out, ",\"dropped\":", totals->n_drops);
	PUT_SOME(out, ",\"steps_back\":", totals->n_steps_back);
	PUT_SOME(out, ",\"time_jumps\":", totals->n_jumps);
	CU_JSON_U64(out, ",\"filtered\":", totals->n_filtered);
	CU_JSON_U64(out, ",\"not_tcp\":", totals->n_other);
	CU_JSON_U64(out, ",\"too_short\":", totals->n_short);
	CU_JSON_U64(out, ",\"malformed\":", totals->n_malformed);
	CU_JSON_U64(out, ",\"fragments\":", totals->n_fragments);
	CU_JSON_U64(out, ",\"unknown_link\":", totals->n_unknown_link);
	CU_JSON_U64(out, ",\"icmp_errors\":", totals->n_icmp_errors);
	CU_JSON_U64(out, ",\"evicted\":", totals->n_evicted);
	PUT_SOME(out, ",\"parted\":", totals->n_parted);
	PUT_SOME(out, ",\"broken_segments\":", totals->n_broken);
	PUT_SOME(out, ",\"frames_left_out\":", totals->n_left_out);
	PUT_SOME(out, ",\"untimed\":", totals->n_untimed);
	PUT_SOME(out, ",\"stray_icmp_errors\":", totals->n_strays);
	CU_JSON_U64(out, ",\"bad_records\":", counts->n_bad_records);
	CU_PUT(out, "}\n");
}

static int json_end(void *state, const struct cu_report_counts *counts)
{
	cu_json_summary(&((struct cu_sink *)state)->buf, counts);
	return 0;
}

const struct cu_format cu_format_json = {
	.name = "json",
	.open = json_open,
	.connection = json_connection,
	.transaction = json_transaction,
	.finding = json_finding,
	.end = json_end,
	.close = json_close,
};
