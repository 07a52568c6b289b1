#include "lib/blame/analyze.h"

#include "lib/blame/exchange.h"
#include "lib/blame/ledger.h"
#include "lib/blame/store.h"
#include "lib/tcp/delivery.h"
#include "lib/tcp/distances.h"
#include "lib/tcp/ending.h"
#include "lib/tcp/gaps.h"
#include "lib/tcp/path.h"
#include "lib/tcp/window.h"

#include <string.h>

/* What one run keeps; all of it is reused from connection to connection. */
struct analyzer {
	struct cu_writer *writer;
	struct cu_analyze_config config;
	struct cu_store store;
	struct cu_trace trace;
	struct cu_path_scratch scratch;
	struct cu_distances distances;
	struct cu_delivery delivery[2];
	struct cu_gaps gaps[2];
	struct cu_exchanges exchanges;
	struct cu_buf buf;
	bool began; /* a header was written */
	/* A connection whose chunks did not come before it, as flowify writes them, but follow, as analyze does. */
	bool held;
	struct cu_connection held_connection;
	struct cu_buf held_record;
	bool keep; /* the connection at hand has no timeline any more: what was said of it before stays */
};

static int put(struct analyzer *analyzer, enum cu_record_kind kind)
{
	if (analyzer->buf.failed) {
		return CU_ERR_NOMEM;
	}
	return cu_writer_add(analyzer->writer, kind, analyzer->buf.data, analyzer->buf.len);
}

static void count_segments(const struct cu_trace *trace, struct cu_analysis *analysis)
{
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp) {
			continue;
		}
		struct cu_analysis_side *side = &analysis->side[seg->dir];
		side->n_data_segments += seg->len > 0;
		if (seg->flags & CU_TCP_SYN) {
			analysis->completeness |= seg->flags & CU_TCP_ACK ? CU_SEEN_SYN_ACK : CU_SEEN_SYN;
		} else if (seg->flags & CU_TCP_ACK && !(seg->flags & (CU_TCP_RST | CU_TCP_FIN))) {
			analysis->completeness |= CU_SEEN_ACK;
		}
		analysis->completeness |= (seg->len > 0 ? CU_SEEN_DATA : 0) |
		                          (seg->flags & CU_TCP_FIN ? CU_SEEN_FIN : 0) |
		                          (seg->flags & CU_TCP_RST ? CU_SEEN_RST : 0);
		if (seg->marks == 0) {
			continue;
		}
		bool spurious = cu_is(seg, CU_EVENT_SPURIOUS_RETRANSMISSION);
		bool fast = cu_is(seg, CU_EVENT_FAST_RETRANSMISSION);
		if (cu_is(seg, CU_EVENT_RETRANSMISSION)) {
			side->n_retransmitted++;
			side->n_retransmitted_bytes += seg->len;
			side->n_spurious += spurious;
			side->n_fast += fast;
			side->n_timeout += !spurious && !fast;
		}
		side->n_out_of_order += cu_is(seg, CU_EVENT_OUT_OF_ORDER);
		side->n_dup_acks += cu_is(seg, CU_EVENT_DUPLICATE_ACK);
		side->n_zero_windows += cu_is(seg, CU_EVENT_ZERO_WINDOW);
		side->n_window_full += cu_is(seg, CU_EVENT_WINDOW_FULL);
		side->n_keep_alives += cu_is(seg, CU_EVENT_KEEP_ALIVE);
		side->n_duplicates += cu_is(seg, CU_EVENT_DUPLICATE_FRAME);
	}
}

/* Segments above the receiver's MSS were cut or put together by a network card behind or before the capture. */
static void count_large(const struct cu_trace *trace, struct cu_analysis *analysis)
{
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp) {
			continue;
		}
		struct cu_analysis_side *side = &analysis->side[seg->dir];
		uint16_t mss = trace->connection.side[!seg->dir].syn.mss;
		side->n_syns += (seg->flags & CU_TCP_SYN) != 0;
		side->n_large += mss != 0 && seg->len > mss;
		side->largest_bytes = seg->len > side->largest_bytes ? seg->len : side->largest_bytes;
	}
}

/* Of a piece's sequence numbers, those that SYN and FIN take. */
static uint64_t count_flags(const struct cu_trace *trace, int dir, int64_t fin_end, const struct cu_piece *piece)
{
	bool syn = trace->connection.side[dir].has_syn && piece->start <= 0;
	bool fin = piece->start < fin_end && fin_end <= piece->end;
	return (uint64_t)syn + (uint64_t)fin;
}

/* Where a direction's FIN ends; -1 without one. */
static int64_t find_fin(const struct cu_trace *trace, int dir)
{
	for (size_t i = trace->n; i > 0; i--) {
		const struct cu_trace_segment *seg = &trace->segment[i - 1];
		if (!seg->icmp && seg->dir == dir && seg->flags & CU_TCP_FIN) {
			return seg->end;
		}
	}
	return -1;
}

static void put_rtt(const struct cu_path_side *from, struct cu_analysis_side *side)
{
	side->n_rtt_samples = from->n_samples;
	side->n_rtt_by_timestamp = from->n_by_timestamp;
	side->rtt_min_ns = from->min_ns;
	side->rtt_mean_ns = from->mean_ns;
	side->rtt_median_ns = from->median_ns;
	side->rtt_p90_ns = from->p90_ns;
	side->rtt_p99_ns = from->p99_ns;
	side->rtt_max_ns = from->max_ns;
	side->rtt_slice_ns = from->slice_ns;
	memcpy(side->rtt_slice, from->slice, sizeof(side->rtt_slice));
}

static int write_analysis(struct analyzer *analyzer, const struct cu_path *path)
{
	const struct cu_trace *trace = &analyzer->trace;
	struct cu_analysis analysis = {
		.stream = trace->connection.stream,
		.vantage = path->vantage,
		.rtt_ns = path->server_rtt_ns + path->client_rtt_ns,
		.client_rtt_ns = path->client_rtt_ns,
		.server_rtt_ns = path->server_rtt_ns,
		.handshake_rtt_ns = path->handshake_rtt_ns,
		.mss = (uint32_t)(trace->mss[CU_S2C] > trace->mss[CU_C2S] ? trace->mss[CU_S2C] : trace->mss[CU_C2S]),
		.window_scaled = trace->scaled,
		.rtt_uncertain = !path->server_known || !path->client_known,
	};
	count_segments(trace, &analysis);
	count_large(trace, &analysis);
	cu_ending_find(trace, path, &analysis);
	for (int dir = 0; dir < 2; dir++) {
		const struct cu_delivery *delivery = &analyzer->delivery[dir];
		struct cu_analysis_side *side = &analysis.side[dir];
		put_rtt(&path->side[dir], side);
		side->window = cu_window_measure(trace, delivery, path, dir);
		side->loss = cu_loss_runs_count(trace, delivery, dir);
		int64_t fin_end = find_fin(trace, dir);
		for (size_t p = 0; p < delivery->n_pieces; p++) {
			const struct cu_piece *piece = &delivery->piece[p];
			uint64_t n = (uint64_t)(piece->end - piece->start) - count_flags(trace, dir, fin_end, piece);
			if (piece->loss == CU_LOSS_CAPTURE) {
				side->n_unseen_bytes += n;
			} else {
				side->n_unique_bytes += n;
			}
			if (piece->loss == CU_LOSS_BEFORE || piece->loss == CU_LOSS_AFTER ||
			    piece->loss == CU_LOSS_BOTH) {
				analysis.loss_side =
					analysis.loss_side == CU_LOSS_NONE || analysis.loss_side == piece->loss
						? piece->loss
						: (uint8_t)CU_LOSS_BOTH;
			}
		}
		side->n_gaps = analyzer->gaps[dir].n;
		for (size_t g = 0; g < analyzer->gaps[dir].n; g++) {
			side->n_gap_bytes += analyzer->gaps[dir].item[g].n_bytes;
		}
	}
	cu_buf_clear(&analyzer->buf);
	cu_analysis_encode(&analysis, &analyzer->buf);
	return put(analyzer, CU_RECORD_ANALYSIS);
}

static int write_gaps(struct analyzer *analyzer)
{
	for (int dir = 0; dir < 2; dir++) {
		for (size_t g = 0; g < analyzer->gaps[dir].n; g++) {
			cu_buf_clear(&analyzer->buf);
			cu_gap_encode(&analyzer->gaps[dir].item[g], &analyzer->buf);
			int err = put(analyzer, CU_RECORD_GAP);
			if (err != 0) {
				return err;
			}
		}
	}
	return 0;
}

/* Marks go in runs that fit a block. */
static int write_marks(struct analyzer *analyzer)
{
	enum { RUN = 16384 };
	const struct cu_trace *trace = &analyzer->trace;
	for (size_t at = 0; at < trace->n; at += RUN) {
		size_t n = trace->n - at < RUN ? trace->n - at : RUN;
		cu_buf_clear(&analyzer->buf);
		cu_buf_add_varint(&analyzer->buf, trace->connection.stream);
		cu_buf_add_varint(&analyzer->buf, n);
		if (!cu_buf_reserve(&analyzer->buf, n * CU_VARINT_CAP)) {
			return CU_ERR_NOMEM;
		}
		uint8_t *p = analyzer->buf.data + analyzer->buf.len;
		for (size_t i = 0; i < n; i++) {
			p += cu_put_varint(p, trace->segment[at + i].marks);
		}
		analyzer->buf.len = (size_t)(p - analyzer->buf.data);
		int err = put(analyzer, CU_RECORD_MARKS);
		if (err != 0) {
			return err;
		}
	}
	return 0;
}

static int write_transactions(struct analyzer *analyzer, const struct cu_path *path)
{
	struct cu_case known = {.trace = &analyzer->trace,
	                        .path = path,
	                        .delivery = analyzer->delivery,
	                        .capture_lacks = analyzer->delivery[CU_C2S].lacks || analyzer->delivery[CU_S2C].lacks};
	uint64_t number = 0;
	int err = cu_exchanges_find(&analyzer->exchanges, &analyzer->trace);
	for (size_t n = 0; n < analyzer->exchanges.n && err == 0; n++) {
		struct cu_transaction transaction;
		if (!cu_ledger_fill(&known, &analyzer->exchanges.item[n], &transaction)) {
			continue;
		}
		transaction.number = number++;
		cu_buf_clear(&analyzer->buf);
		cu_transaction_encode(&transaction, &analyzer->buf);
		err = put(analyzer, CU_RECORD_TRANSACTION);
	}
	return err;
}

/* The connection's record goes on; when segments do not, without the timeline in it. */
static int write_connection(struct analyzer *analyzer, const uint8_t *record, size_t record_len,
                            const struct cu_connection *connection)
{
	if (connection->timeline.len == 0 || !analyzer->config.no_segments) {
		return cu_writer_add(analyzer->writer, CU_RECORD_CONNECTION, record, record_len);
	}
	struct cu_connection bare = *connection;
	bare.timeline = (struct cu_text){0};
	cu_buf_clear(&analyzer->buf);
	cu_connection_encode(&bare, &analyzer->buf);
	return put(analyzer, CU_RECORD_CONNECTION);
}

/* The timeline of a connection is all there: judge it. */
static int finish_connection(struct analyzer *analyzer, const uint8_t *record, size_t record_len,
                             const struct cu_connection *connection)
{
	struct cu_trace *trace = &analyzer->trace;
	struct cu_cursor chunks = cu_store_get(&analyzer->store, connection->stream);
	const uint8_t *data;
	size_t len;
	struct cu_path path;
	struct cu_chunk within;

	int err = write_connection(analyzer, record, record_len, connection);
	cu_trace_begin(trace, connection);
	if (err == 0 && cu_chunk_within(connection, &within)) {
		err = cu_trace_add_chunk(trace, &within);
	}
	while (err == 0 && cu_store_next(&chunks, &data, &len)) {
		struct cu_chunk chunk;
		err = cu_chunk_open(data, len, &chunk);
		if (err == 0 && !analyzer->config.no_segments) {
			err = cu_writer_add(analyzer->writer, CU_RECORD_CHUNK, data, len);
		}
		if (err == 0) {
			err = cu_trace_add_chunk(trace, &chunk);
		}
	}
	cu_store_remove(&analyzer->store, connection->stream);
	if (err != 0) {
		return err;
	}
	cu_trace_mark(trace);
	err = cu_path_measure(trace, &analyzer->scratch, &path);
	if (err == 0) {
		cu_distances_refine(&analyzer->distances, connection, &path);
	}
	for (int dir = 0; dir < 2 && err == 0; dir++) {
		err = cu_delivery_build(&analyzer->delivery[dir], trace, &path, dir);
		if (err == 0) {
			err = cu_gaps_find(&analyzer->gaps[dir], trace, &analyzer->delivery[dir], dir);
		}
	}
	if (err == 0) {
		err = write_analysis(analyzer, &path);
	}
	if (err == 0) {
		err = write_gaps(analyzer);
	}
	if (err == 0 && !analyzer->config.no_segments) {
		err = write_marks(analyzer);
	}
	return err != 0 ? err : write_transactions(analyzer, &path);
}

static int reject_timeline(int err, struct cu_reader *reader)
{
	return err == CU_ERR_FORMAT ? cu_reader_reject(reader, "the connection's timeline is damaged") : err;
}

/* The held connection has all its chunks, or none. */
static int finish_held(struct analyzer *analyzer, struct cu_reader *reader)
{
	if (!analyzer->held) {
		return 0;
	}
	analyzer->held = false;
	struct cu_cursor chunks = cu_store_get(&analyzer->store, analyzer->held_connection.stream);
	if (cu_cursor_left(&chunks) == 0) {
		analyzer->keep = true;
		return cu_writer_add(analyzer->writer, CU_RECORD_CONNECTION, analyzer->held_record.data,
		                     analyzer->held_record.len);
	}
	int err = finish_connection(analyzer, analyzer->held_record.data, analyzer->held_record.len,
	                            &analyzer->held_connection);
	return reject_timeline(err, reader);
}

static int take_connection(struct analyzer *analyzer, struct cu_reader *reader, const struct cu_record *record)
{
	struct cu_connection connection;
	if (cu_connection_decode(record->data, record->len, &connection) != 0) {
		return cu_reader_reject(reader, "is no connection record");
	}
	analyzer->keep = false;
	struct cu_cursor chunks = cu_store_get(&analyzer->store, connection.stream);
	if (connection.timeline.len > 0 || cu_cursor_left(&chunks) > 0) {
		return reject_timeline(finish_connection(analyzer, record->data, record->len, &connection), reader);
	}
	analyzer->held = true;
	analyzer->held_connection = connection;
	cu_buf_clear(&analyzer->held_record);
	cu_buf_add(&analyzer->held_record, record->data, record->len);
	return analyzer->held_record.failed ? CU_ERR_NOMEM : 0;
}

static int take_record(struct analyzer *analyzer, struct cu_reader *reader, const struct cu_record *record)
{
	if (record->kind == CU_RECORD_CHUNK) {
		struct cu_chunk chunk;
		if (cu_chunk_open(record->data, record->len, &chunk) != 0) {
			return cu_reader_reject(reader, "is no timeline chunk");
		}
		return cu_store_add(&analyzer->store, chunk.stream, record->data, record->len);
	}
	int err = finish_held(analyzer, reader);
	if (err != 0) {
		return err;
	}
	if (record->kind == CU_RECORD_CONNECTION) {
		return take_connection(analyzer, reader, record);
	}
	/* What an earlier analysis said is said anew, by whom it was said. */
	bool mine = record->kind == CU_RECORD_ANALYSIS || record->kind == CU_RECORD_GAP ||
	            record->kind == CU_RECORD_MARKS || record->kind == CU_RECORD_TRANSACTION;
	bool verdict = record->kind == CU_RECORD_VERDICT || record->kind == CU_RECORD_FINDING;
	bool stale = verdict || (mine && !analyzer->keep);
	return stale ? 0 : cu_writer_add(analyzer->writer, record->kind, record->data, record->len);
}

static int run(struct analyzer *analyzer, struct cu_reader *reader)
{
	for (;;) {
		struct cu_record record;
		int item = cu_reader_next(reader, &record);
		int err = 0;
		if (item <= 0) {
			err = finish_held(analyzer, reader);
			return item < 0 ? item : err;
		}
		if (item == CU_STREAM_RECORD) {
			err = take_record(analyzer, reader, &record);
		} else if (item == CU_STREAM_TRAILER) {
			err = finish_held(analyzer, reader);
		} else if (item == CU_STREAM_HEADER) {
			err = analyzer->began ? cu_writer_finish(analyzer->writer) : 0;
			analyzer->began = true;
			if (err == 0) {
				err = cu_writer_header(analyzer->writer, cu_reader_header(reader));
			}
		}
		if (err != 0) {
			return err;
		}
	}
}

int cu_analyze(struct cu_reader *const *readers, size_t n_readers, struct cu_writer *writer,
               const struct cu_analyze_config *config)
{
	struct analyzer analyzer = {.writer = writer, .config = *config};
	cu_store_init(&analyzer.store);
	int first = cu_distances_init(&analyzer.distances);
	if (first != 0) {
		return first;
	}
	for (size_t r = 0; r < n_readers; r++) {
		int err = run(&analyzer, readers[r]);
		if (first == 0) {
			first = err;
		}
		if (cu_writer_fault(writer)->code != CU_OK) {
			break;
		}
	}
	if (cu_writer_fault(writer)->code == CU_OK && analyzer.began) {
		int err = cu_writer_finish(writer);
		first = first != 0 ? first : err;
	}
	cu_store_release(&analyzer.store);
	cu_trace_release(&analyzer.trace);
	cu_path_scratch_release(&analyzer.scratch);
	cu_distances_release(&analyzer.distances);
	cu_delivery_release(&analyzer.delivery[0]);
	cu_delivery_release(&analyzer.delivery[1]);
	cu_gaps_release(&analyzer.gaps[0]);
	cu_gaps_release(&analyzer.gaps[1]);
	cu_exchanges_release(&analyzer.exchanges);
	cu_buf_release(&analyzer.buf);
	cu_buf_release(&analyzer.held_record);
	return first;
}
