#include "lib/blame/analyze.h"

#include "lib/blame/exchange.h"
#include "lib/blame/join.h"
#include "lib/blame/ledger.h"
#include "lib/blame/parts.h"
#include "lib/blame/store.h"
#include "lib/flow/flowify.h"
#include "lib/tcp/delivery.h"
#include "lib/tcp/distances.h"
#include "lib/tcp/ending.h"
#include "lib/tcp/gaps.h"
#include "lib/tcp/path.h"
#include "lib/tcp/window.h"

#include <stdlib.h>
#include <string.h>

/*
 * The default bound, and what each segment of the connection that is judged
 * takes of half of it at most: 96 bytes, with a piece, a hole and a gap of its own
 * twice that and more, and half again while the arrays grow.
 */
#define MEMORY_BYTES (UINT64_C(1) << 30)
enum { SEGMENT_BYTES = 512 };

/* What one run keeps; all of it is reused from connection to connection. */
struct analyzer {
	struct cu_writer *writer;
	struct cu_analyze_config config;
	struct cu_store store;
	struct cu_trace trace;
	struct cu_path_scratch scratch;
	struct cu_distances distances;
	bool ids_shared
		[2]; /* of the connection at hand: see cu_distances_ids; false of one in parts, whose others are its own */
	struct cu_delivery delivery[2];
	struct cu_stretches stretches;
	struct cu_gaps gaps[2];
	struct cu_exchanges exchanges;
	struct cu_parts parts;
	struct cu_analyze_counts *counts;
	size_t segments_cap; /* of a part, unless a chunk has more */
	struct cu_buf buf;
	struct cu_join join;
	struct cu_totals totals; /* of all streams; written last */
	bool has_totals;
	bool began; /* a header was written */
	struct cu_buf scratch_record;
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

/* A segment that opens or closes its direction. */
static void count_stage(const struct cu_trace_segment *seg, struct cu_analysis *analysis, int64_t fin_end[2])
{
	if (seg->flags & CU_TCP_SYN) {
		analysis->side[seg->dir].n_syns++;
		analysis->completeness |= seg->flags & CU_TCP_ACK ? CU_SEEN_SYN_ACK : CU_SEEN_SYN;
	} else if (seg->flags & CU_TCP_ACK && seg->len == 0) {
		analysis->completeness |= CU_SEEN_ACK;
	}
	if (seg->flags & CU_TCP_FIN) {
		fin_end[seg->dir] = seg->end;
		analysis->completeness |= CU_SEEN_FIN;
	}
	if (seg->flags & CU_TCP_RST) {
		analysis->completeness |= CU_SEEN_RST;
	}
}

/* Counts the segments; fin_end becomes where each direction's last FIN ends, -1 without one. */
static void count_segments(const struct cu_trace *trace, struct cu_analysis *analysis, int64_t fin_end[2])
{
	uint32_t mss[2]; /* that the receiver of a direction takes */
	for (int dir = 0; dir < 2; dir++) {
		uint16_t said = trace->connection.side[!dir].syn.mss;
		mss[dir] = said != 0 ? said : UINT32_MAX;
		fin_end[dir] = -1;
	}
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp) {
			continue;
		}
		struct cu_analysis_side *side = &analysis->side[seg->dir];
		bool has_data = seg->len > 0;
		side->n_data_segments += has_data;
		/* Those above the receiver's MSS were cut or put together by a network card behind or before the capture. */
		side->n_large += seg->len > mss[seg->dir];
		side->largest_bytes = seg->len > side->largest_bytes ? seg->len : side->largest_bytes;
		analysis->completeness |= has_data ? CU_SEEN_DATA : 0;
		if ((seg->flags & (CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST)) != 0) {
			count_stage(seg, analysis, fin_end);
		} else if (!has_data && (seg->flags & CU_TCP_ACK) != 0) {
			analysis->completeness |= CU_SEEN_ACK;
		}
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

/* Of a piece's sequence numbers, those that SYN and FIN take. */
static uint64_t count_flags(const struct cu_trace *trace, int dir, int64_t fin_end, const struct cu_piece *piece)
{
	bool syn = trace->connection.side[dir].has_syn && piece->start <= 0;
	/* A FIN that was followed by data, or that went back, has no number of its own. */
	bool fin = piece->end == fin_end && (trace->segment[piece->first_seg].flags & CU_TCP_FIN) != 0;
	return (uint64_t)syn + (uint64_t)fin;
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
	if (from->slice_ns != 0) {
		memcpy(side->rtt_slice, from->slice, sizeof(side->rtt_slice));
	}
}

static struct cu_analysis analysis_of(const struct analyzer *analyzer, const struct cu_path *path)
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
	int64_t fin_end[2];
	count_segments(trace, &analysis, fin_end);
	cu_ending_find(trace, path, &analysis);
	for (int dir = 0; dir < 2; dir++) {
		const struct cu_delivery *delivery = &analyzer->delivery[dir];
		struct cu_analysis_side *side = &analysis.side[dir];
		put_rtt(&path->side[dir], side);
		side->window = cu_window_measure(trace, delivery, path, dir);
		side->loss = cu_loss_runs_count(trace, delivery, dir);
		for (size_t p = 0; p < delivery->n_pieces; p++) {
			const struct cu_piece *piece = &delivery->piece[p];
			uint64_t n =
				(uint64_t)(piece->end - piece->start) - count_flags(trace, dir, fin_end[dir], piece);
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
	return analysis;
}

static int write_analysis(struct analyzer *analyzer, const struct cu_analysis *analysis)
{
	cu_buf_clear(&analyzer->buf);
	cu_analysis_encode(analysis, &analyzer->buf);
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

/*
 * Whether a direction was not captured (an asymmetric path, a mirror of one
 * side), though the other acknowledged what it carried: a SYN-ACK, or more and
 * more. Who is not acknowledged may be silent.
 */
static bool lacks_direction(const struct analyzer *analyzer, int dir)
{
	const struct cu_connection_side *side = analyzer->trace.connection.side;
	const struct cu_delivery *delivery = &analyzer->delivery[dir];
	const struct cu_ack_step *step = delivery->step;
	return side[dir].n_segments == 0 && delivery->n_steps > 0 &&
	       (side[!dir].has_syn || step[delivery->n_steps - 1].ack > step[0].ack);
}

/* Numbered on from *number. */
static int write_transactions(struct analyzer *analyzer, const struct cu_path *path, uint64_t *number)
{
	bool one_sided = lacks_direction(analyzer, CU_C2S) || lacks_direction(analyzer, CU_S2C);
	struct cu_case known = {.trace = &analyzer->trace,
	                        .path = path,
	                        .delivery = analyzer->delivery,
	                        .exchanges = &analyzer->exchanges,
	                        .stretches = &analyzer->stretches,
	                        .capture_lacks = one_sided || analyzer->delivery[CU_C2S].lacks ||
	                                         analyzer->delivery[CU_S2C].lacks,
	                        .one_sided = one_sided,
	                        .ids_shared = {analyzer->ids_shared[CU_C2S], analyzer->ids_shared[CU_S2C]}};
	int err = cu_exchanges_find(&analyzer->exchanges, &analyzer->trace);
	for (size_t n = 0; n < analyzer->exchanges.n && err == 0; n++) {
		struct cu_transaction transaction;
		if (!cu_ledger_fill(&known, &analyzer->exchanges.item[n], &transaction)) {
			continue;
		}
		transaction.number = (*number)++;
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

/* Adds chunks to the trace while there is room for them, one at least; written: they go on to the output, too. */
static int add_chunks(struct analyzer *analyzer, struct cu_store_reader *chunks, bool written)
{
	struct cu_trace *trace = &analyzer->trace;
	const uint8_t *data;
	size_t len, n_added = 0;
	int err = 0, got;
	for (; err == 0 && (got = cu_store_peek(chunks, &data, &len)) != 0; cu_store_skip(chunks)) {
		struct cu_chunk chunk;
		if (got < 0) {
			return got;
		}
		err = cu_chunk_open(data, len, &chunk);
		size_t room = trace->n < analyzer->segments_cap ? analyzer->segments_cap - trace->n : 0;
		if (err == 0 && n_added++ > 0 && chunk.n_segments > room) {
			break;
		}
		if (err == 0 && written && !analyzer->config.no_segments) {
			err = cu_writer_add(analyzer->writer, CU_RECORD_CHUNK, data, len);
		}
		if (err == 0) {
			err = cu_trace_add_chunk(trace, &chunk);
		}
	}
	return err;
}

/* What the marked trace says of the path. */
static int measure(struct analyzer *analyzer, const struct cu_connection *connection, struct cu_path *path)
{
	int err = cu_path_measure(&analyzer->trace, &analyzer->scratch, path);
	if (err == 0) {
		cu_distances_refine(&analyzer->distances, connection, path);
	}
	return err;
}

/* And of each direction. */
static int follow(struct analyzer *analyzer, const struct cu_path *path)
{
	int err = 0;
	for (int dir = 0; dir < 2 && err == 0; dir++) {
		err = cu_delivery_build(&analyzer->delivery[dir], &analyzer->trace, path, dir);
		if (err == 0) {
			err = cu_gaps_find(&analyzer->gaps[dir], &analyzer->trace, &analyzer->delivery[dir], dir);
		}
	}
	return err;
}

static int write_gaps_and_marks(struct analyzer *analyzer)
{
	int err = write_gaps(analyzer);
	return err != 0 || analyzer->config.no_segments ? err : write_marks(analyzer);
}

/* The trace is all there is of the connection. */
static int judge_whole(struct analyzer *analyzer, const struct cu_connection *connection)
{
	struct cu_path path;
	uint64_t number = 0;
	cu_trace_mark(&analyzer->trace);
	int err = measure(analyzer, connection, &path);
	if (err == 0) {
		cu_distances_ids(&analyzer->distances, &analyzer->trace, analyzer->ids_shared);
		err = follow(analyzer, &path);
	}
	if (err == 0) {
		const struct cu_analysis analysis = analysis_of(analyzer, &path);
		err = write_analysis(analyzer, &analysis);
	}
	if (err == 0) {
		err = write_gaps_and_marks(analyzer);
	}
	return err != 0 ? err : write_transactions(analyzer, &path, &number);
}

/* The two times that a connection in parts is gone through: transactions are judged by what is known of the whole. */
enum pass { PASS_SEGMENTS, PASS_TRANSACTIONS };

/* The trace is a part of the connection. */
static int judge_part(struct analyzer *analyzer, enum pass pass, uint64_t *number)
{
	struct cu_path path;
	struct cu_connection connection = analyzer->trace.connection;
	if (analyzer->trace.dropped_end[CU_C2S] > 0 || analyzer->trace.dropped_end[CU_S2C] > 0) {
		/* It measured no handshake. */
		connection.side[CU_C2S].has_syn = connection.side[CU_S2C].has_syn = false;
	}
	int err = measure(analyzer, &connection, &path);
	if (pass == PASS_TRANSACTIONS) {
		cu_parts_know_path(&analyzer->parts, &path);
	}
	err = err != 0 ? err : follow(analyzer, &path);
	if (err != 0 || pass == PASS_TRANSACTIONS) {
		return err != 0 ? err : write_transactions(analyzer, &path, number);
	}
	const struct cu_analysis analysis = analysis_of(analyzer, &path);
	err = cu_parts_add(&analyzer->parts, &analysis, analyzer->scratch.histogram);
	return err != 0 ? err : write_gaps_and_marks(analyzer);
}

/* Goes through the connection; its first chunks are in the trace. */
static int judge_parts(struct analyzer *analyzer, const struct cu_connection *connection,
                       struct cu_store_reader *chunks, enum pass pass)
{
	struct cu_trace *trace = &analyzer->trace;
	uint64_t number = 0;
	bool is_last = false;
	int err = 0;
	while (err == 0 && !is_last) {
		size_t n = trace->n;
		is_last = !cu_store_more(chunks);
		trace->connection.end = is_last ? connection->end : (uint8_t)CU_END_EVICTED;
		cu_trace_mark(trace);
		if (!is_last) {
			err = cu_exchanges_find(&analyzer->exchanges, trace);
			trace->n = cu_parts_end(trace, &analyzer->exchanges);
		}
		err = err != 0 ? err : judge_part(analyzer, pass, &number);
		if (err == 0 && !is_last) {
			size_t n_judged = trace->n;
			trace->n = n;
			cu_trace_drop(trace, n_judged);
			err = add_chunks(analyzer, chunks, pass == PASS_SEGMENTS);
		}
	}
	return err;
}

/* The same, twice; what is not in the trace yet is left to be read. */
static int judge_in_parts(struct analyzer *analyzer, const struct cu_connection *connection, uint64_t place,
                          struct cu_store_reader *chunks)
{
	cu_parts_clear(&analyzer->parts);
	analyzer->ids_shared[CU_C2S] = analyzer->ids_shared[CU_S2C] = false;
	int err = judge_parts(analyzer, connection, chunks, PASS_SEGMENTS);
	if (err == 0) {
		err = write_analysis(analyzer, &analyzer->parts.analysis);
	}
	cu_store_close(chunks);
	if (err == 0) {
		err = cu_store_open(&analyzer->store, place, chunks);
		cu_trace_begin(&analyzer->trace, connection);
		err = err != 0 ? err : add_chunks(analyzer, chunks, false);
		err = err != 0 ? err : judge_parts(analyzer, connection, chunks, PASS_TRANSACTIONS);
	}
	analyzer->totals.n_evicted++;
	analyzer->counts->n_in_parts++;
	return err;
}

/* The timeline of a connection is all there: judge it. */
static int finish_connection(struct analyzer *analyzer, const uint8_t *record, size_t record_len,
                             const struct cu_connection *connection, uint64_t place)
{
	struct cu_store_reader chunks = {0};
	struct cu_chunk within;

	int err = write_connection(analyzer, record, record_len, connection);
	cu_trace_begin(&analyzer->trace, connection);
	if (err == 0 && cu_chunk_within(connection, &within)) {
		err = cu_trace_add_chunk(&analyzer->trace, &within);
	}
	if (err == 0) {
		err = cu_store_open(&analyzer->store, place, &chunks);
	}
	if (err == 0) {
		err = add_chunks(analyzer, &chunks, true);
	}
	bool in_parts = err == 0 && cu_store_more(&chunks);
	if (in_parts) {
		err = judge_in_parts(analyzer, connection, place, &chunks);
	}
	cu_store_close(&chunks);
	cu_store_remove(&analyzer->store, place);
	return err != 0 || in_parts ? err : judge_whole(analyzer, connection);
}

static int reject_timeline(int err, struct cu_reader *reader)
{
	return err == CU_ERR_FORMAT ? cu_reader_reject(reader, "the connection's timeline is damaged") : err;
}

static bool is_first_stream(const struct analyzer *analyzer)
{
	return analyzer->join.n_streams <= 1;
}

/* A connection of the union, in place of the record that it came in. */
static int finish_joined(struct analyzer *analyzer, const struct cu_connection *connection, uint64_t place)
{
	struct cu_buf *buf = &analyzer->scratch_record;
	cu_buf_clear(buf);
	cu_connection_encode(connection, buf);
	return buf->failed ? CU_ERR_NOMEM : finish_connection(analyzer, buf->data, buf->len, connection, place);
}

static int finish_one(struct analyzer *analyzer, struct cu_held *held)
{
	int err = finish_joined(analyzer, &held->connection, held->place);
	free(held);
	return err;
}

/*
 * Lets connections go that nothing can continue any more: those that were
 * silent for too long before now_ns, or all of them.
 */
static int finish_silent(struct analyzer *analyzer, bool all, int64_t now_ns)
{
	size_t n;
	struct cu_held **held = cu_join_drain(&analyzer->join, &n);
	if (held == NULL) {
		return CU_ERR_NOMEM;
	}
	int first = 0;
	for (size_t i = 0; i < n; i++) {
		bool over = all || now_ns - held[i]->connection.end_ns > CU_IDLE_TIMEOUT_NS;
		if (over && !all && held[i]->connection.end == CU_END_OPEN) {
			held[i]->connection.end = CU_END_IDLE;
		}
		int err = over ? finish_one(analyzer, held[i]) : cu_join_hold(&analyzer->join, held[i]);
		first = first != 0 ? first : err;
	}
	free(held);
	return first;
}

/* Moves the chunks at one place to another, or to the same, as chunks of this stream of the union. */
static int move_chunks(struct analyzer *analyzer, uint64_t from, uint64_t to, uint64_t stream, size_t n_files,
                       bool turned, struct cu_ends *ends)
{
	const uint64_t aside = UINT64_MAX;
	struct cu_store *store = &analyzer->store;
	struct cu_store_reader chunks = {0};
	struct cu_buf one = {0};
	const uint8_t *data;
	size_t len;
	int got = cu_store_rename(store, from, aside);
	if (got == 0) {
		got = cu_store_open(store, aside, &chunks);
	}
	for (; got == 0 && (got = cu_store_peek(&chunks, &data, &len)) > 0; cu_store_skip(&chunks)) {
		struct cu_chunk chunk;
		cu_buf_clear(&one);
		got = cu_chunk_open(data, len, &chunk);
		if (got == 0) {
			got = cu_join_chunk(&chunk, stream, n_files, turned, ends, &one);
		}
		if (got == 0) {
			got = cu_store_add(store, to, one.data, one.len);
		}
	}
	cu_store_close(&chunks);
	cu_store_remove(store, aside);
	cu_buf_release(&one);
	return got;
}

/* Takes the timeline out of a connection's record, whose numbers will not be those it is written with. */
static int store_timeline(struct analyzer *analyzer, struct cu_connection *connection, uint64_t place)
{
	struct cu_chunk within;
	struct cu_ends ends = {0}; /* not asked for */
	cu_chunk_within(connection, &within);
	cu_buf_clear(&analyzer->buf);
	int err = cu_join_chunk(&within, connection->stream, 0, false, &ends, &analyzer->buf);
	connection->timeline = (struct cu_text){0};
	return err != 0 ? err : cu_store_add(&analyzer->store, place, analyzer->buf.data, analyzer->buf.len);
}

/* Puts a connection behind the held one that it continues. Both are of the union but for the chunks of the later. */
static int join(struct analyzer *analyzer, struct cu_held *held, const struct cu_connection *next, uint64_t place)
{
	struct cu_connection *whole = &held->connection;
	bool turned = cu_join_is_turned(held, next);
	/* Who knows which end is the client is right. */
	bool turn_first = turned && whole->role == CU_ROLE_GUESSED && next->role != CU_ROLE_GUESSED;
	int err = whole->timeline.len > 0 ? store_timeline(analyzer, whole, held->place) : 0;
	if (err == 0 && (turn_first || !held->joined)) {
		err = move_chunks(analyzer, held->place, held->place, whole->stream, 0, turn_first, &held->ends);
		held->joined = true;
	}
	if (turn_first) {
		cu_join_turn(held);
		turned = false;
	}
	if (err == 0) {
		err = move_chunks(analyzer, place, held->place, whole->stream, analyzer->join.n_files, turned,
		                  &held->ends);
	}
	cu_join_merge(held, next, turned);
	analyzer->totals.n_connections--;
	return err;
}

/* A connection's chunks are all there: it is judged, joined or held. */
static int complete(struct analyzer *analyzer, const uint8_t *record, size_t record_len,
                    const struct cu_connection *connection, uint64_t place)
{
	struct cu_held *over;
	struct cu_held *held = cu_join_take(&analyzer->join, connection, &over);
	struct cu_connection ours = *connection;
	cu_join_rename(&analyzer->join, &ours);
	int err = over != NULL ? finish_one(analyzer, over) : 0;
	if (err != 0) {
		free(held);
		return err;
	}
	if (held == NULL && !is_first_stream(analyzer)) {
		struct cu_ends ends = {0}; /* not asked for */
		err = move_chunks(analyzer, place, place, ours.stream, analyzer->join.n_files, false, &ends);
	} else if (held != NULL) {
		err = ours.timeline.len > 0 ? store_timeline(analyzer, &ours, place) : 0;
		err = err != 0 ? err : join(analyzer, held, &ours, place);
	}
	if (err != 0) {
		free(held);
		return err;
	}
	if (held == NULL && !ours.followed) {
		return is_first_stream(analyzer) ? finish_connection(analyzer, record, record_len, connection, place)
		                                 : finish_joined(analyzer, &ours, place);
	}
	if (held == NULL) {
		held = cu_held_new(&ours, place);
		if (held == NULL) {
			return CU_ERR_NOMEM;
		}
	}
	return held->connection.followed ? cu_join_hold(&analyzer->join, held) : finish_one(analyzer, held);
}

/* The held connection has all its chunks, or none. */
static int finish_held(struct analyzer *analyzer, struct cu_reader *reader)
{
	if (!analyzer->held) {
		return 0;
	}
	analyzer->held = false;
	struct cu_connection *connection = &analyzer->held_connection;
	uint64_t place = cu_join_place(&analyzer->join, connection->stream);
	if (!cu_store_has(&analyzer->store, place)) {
		analyzer->keep = true;
		cu_join_rename(&analyzer->join, connection);
		cu_buf_clear(&analyzer->buf);
		cu_connection_encode(connection, &analyzer->buf);
		return put(analyzer, CU_RECORD_CONNECTION);
	}
	int err = complete(analyzer, analyzer->held_record.data, analyzer->held_record.len, connection, place);
	return reject_timeline(err, reader);
}

static int take_connection(struct analyzer *analyzer, struct cu_reader *reader, const struct cu_record *record)
{
	struct cu_connection connection;
	if (cu_connection_decode(record->data, record->len, &connection) != 0) {
		return cu_reader_reject(reader, "is no connection record");
	}
	analyzer->keep = false;
	uint64_t place = cu_join_place(&analyzer->join, connection.stream);
	if (connection.timeline.len > 0 && !is_first_stream(analyzer)) {
		int err = store_timeline(analyzer, &connection, place);
		if (err != 0) {
			return reject_timeline(err, reader);
		}
	}
	if (connection.timeline.len > 0 || cu_store_has(&analyzer->store, place)) {
		return reject_timeline(complete(analyzer, record->data, record->len, &connection, place), reader);
	}
	analyzer->held = true;
	analyzer->held_connection = connection;
	cu_buf_clear(&analyzer->held_record);
	cu_buf_add(&analyzer->held_record, record->data, record->len);
	return analyzer->held_record.failed ? CU_ERR_NOMEM : 0;
}

static int take_begin(struct analyzer *analyzer, struct cu_reader *reader, const struct cu_record *record)
{
	struct cu_connection begun;
	if (cu_connection_decode(record->data, record->len, &begun) != 0) {
		return cu_reader_reject(reader, "is no record of a beginning");
	}
	int continues = cu_join_note(&analyzer->join, &begun);
	if (continues != 0) {
		return continues < 0 ? continues : 0;
	}
	cu_join_rename(&analyzer->join, &begun);
	cu_buf_clear(&analyzer->buf);
	cu_connection_encode(&begun, &analyzer->buf);
	return put(analyzer, CU_RECORD_BEGIN);
}

static int take_totals(struct analyzer *analyzer, struct cu_reader *reader, const struct cu_record *record)
{
	struct cu_totals totals;
	if (cu_totals_decode(record->data, record->len, &totals) != 0) {
		return cu_reader_reject(reader, "is no record of totals");
	}
	cu_totals_add(&analyzer->totals, &totals);
	analyzer->has_totals = true;
	return totals.last_ns != 0 ? reject_timeline(finish_silent(analyzer, false, totals.last_ns), reader) : 0;
}

/* What an earlier analysis said of a connection whose timeline it left out: the same with the union's numbers. */
static int take_kept(struct analyzer *analyzer, struct cu_reader *reader, const struct cu_record *record)
{
	struct cu_join *join = &analyzer->join;
	union {
		struct cu_analysis analysis;
		struct cu_gap gap;
		struct cu_transaction transaction;
	} said;
	int err = 0;
	cu_buf_clear(&analyzer->buf);
	if (record->kind == CU_RECORD_ANALYSIS) {
		err = cu_analysis_decode(record->data, record->len, &said.analysis);
		said.analysis.stream = cu_join_number(join, said.analysis.stream);
		cu_analysis_encode(&said.analysis, &analyzer->buf);
	} else if (record->kind == CU_RECORD_GAP) {
		err = cu_gap_decode(record->data, record->len, &said.gap);
		said.gap.stream = cu_join_number(join, said.gap.stream);
		cu_gap_encode(&said.gap, &analyzer->buf);
	} else if (record->kind == CU_RECORD_TRANSACTION) {
		err = cu_transaction_decode(record->data, record->len, &said.transaction);
		said.transaction.stream = cu_join_number(join, said.transaction.stream);
		said.transaction.file = (uint16_t)(said.transaction.file + join->n_files);
		cu_transaction_encode(&said.transaction, &analyzer->buf);
	} else {
		return 0; /* marks, without segments */
	}
	return err != 0 ? cu_reader_reject(reader, "cannot be decoded") : put(analyzer, record->kind);
}

static int take_record(struct analyzer *analyzer, struct cu_reader *reader, const struct cu_record *record)
{
	if (record->kind == CU_RECORD_CHUNK) {
		struct cu_chunk chunk;
		if (cu_chunk_open(record->data, record->len, &chunk) != 0) {
			return cu_reader_reject(reader, "is no timeline chunk");
		}
		return cu_store_add(&analyzer->store, cu_join_place(&analyzer->join, chunk.stream), record->data,
		                    record->len);
	}
	int err = finish_held(analyzer, reader);
	if (err != 0) {
		return err;
	}
	if (record->kind == CU_RECORD_CONNECTION) {
		return take_connection(analyzer, reader, record);
	}
	if (record->kind == CU_RECORD_BEGIN) {
		return take_begin(analyzer, reader, record);
	}
	if (record->kind == CU_RECORD_TOTALS) {
		return take_totals(analyzer, reader, record);
	}
	/* What an earlier analysis said is said anew, by whom it was said. */
	bool mine = record->kind == CU_RECORD_ANALYSIS || record->kind == CU_RECORD_GAP ||
	            record->kind == CU_RECORD_MARKS || record->kind == CU_RECORD_TRANSACTION;
	bool verdict = record->kind == CU_RECORD_VERDICT || record->kind == CU_RECORD_FINDING;
	bool stale = verdict || (mine && !analyzer->keep);
	if (mine && analyzer->keep && !is_first_stream(analyzer)) {
		return take_kept(analyzer, reader, record);
	}
	return stale ? 0 : cu_writer_add(analyzer->writer, record->kind, record->data, record->len);
}

/* No stream can follow that is joined to those before. */
static int finish_union(struct analyzer *analyzer)
{
	int err = finish_silent(analyzer, true, 0);
	if (err == 0 && analyzer->has_totals) {
		cu_buf_clear(&analyzer->buf);
		cu_totals_encode(&analyzer->totals, &analyzer->buf);
		err = put(analyzer, CU_RECORD_TOTALS);
	}
	analyzer->totals = (struct cu_totals){0};
	analyzer->has_totals = false;
	cu_join_release(&analyzer->join);
	cu_join_init(&analyzer->join);
	int finish_err = err == CU_ERR_NOMEM ? err : cu_writer_finish(analyzer->writer);
	return err != 0 ? err : finish_err;
}

/* A stream begins: its files are added to the union's, unless they are more than one can name. */
static int begin_stream(struct analyzer *analyzer, const struct cu_stream_header *header)
{
	struct cu_join *join = &analyzer->join;
	bool fits = join->n_files + join->n_files_here + header->n_files <= CU_FILE_CAP;
	int err = 0;
	if (analyzer->began && fits) {
		err = cu_writer_sources(analyzer->writer, header->files, header->n_files);
	} else {
		err = analyzer->began ? finish_union(analyzer) : 0;
		analyzer->began = true;
		err = err != 0 ? err : cu_writer_header(analyzer->writer, header);
	}
	cu_join_begin(join, header->n_files);
	return err;
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
			err = begin_stream(analyzer, cu_reader_header(reader));
		}
		if (err != 0) {
			return err;
		}
	}
}

int cu_analyze(struct cu_reader *const *readers, size_t n_readers, struct cu_writer *writer,
               const struct cu_analyze_config *config, struct cu_analyze_counts *counts)
{
	struct analyzer analyzer = {.writer = writer, .config = *config, .counts = counts};
	uint64_t memory_bytes = config->memory_bytes > 0 ? config->memory_bytes : MEMORY_BYTES;
	*counts = (struct cu_analyze_counts){0};
	analyzer.segments_cap = (size_t)(memory_bytes / 2 / SEGMENT_BYTES);
	cu_store_init(&analyzer.store, memory_bytes / 2, config->has_spare_file ? config->spare_fd : -1);
	cu_join_init(&analyzer.join);
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
		int err = finish_union(&analyzer);
		first = first != 0 ? first : err;
	}
	if (first == CU_ERR_IO && analyzer.store.sys_errno != 0) {
		counts->spare_errno = analyzer.store.sys_errno;
	}
	cu_store_release(&analyzer.store);
	cu_join_release(&analyzer.join);
	cu_buf_release(&analyzer.scratch_record);
	cu_trace_release(&analyzer.trace);
	cu_path_scratch_release(&analyzer.scratch);
	cu_distances_release(&analyzer.distances);
	cu_delivery_release(&analyzer.delivery[0]);
	cu_delivery_release(&analyzer.delivery[1]);
	cu_gaps_release(&analyzer.gaps[0]);
	cu_gaps_release(&analyzer.gaps[1]);
	cu_exchanges_release(&analyzer.exchanges);
	cu_parts_release(&analyzer.parts);
	cu_buf_release(&analyzer.buf);
	cu_buf_release(&analyzer.held_record);
	return first;
}
