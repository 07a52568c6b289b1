#include "lib/blame/analyze.h"

#include "lib/blame/docket.h"
#include "lib/blame/join.h"
#include "lib/blame/parts.h"
#include "lib/blame/store.h"
#include "lib/flow/flowify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The default bound, and what each segment of the connections that are judged
 * takes of half of it at most: 96 bytes, with a piece, a hole and a gap of its own
 * twice that and more, and half again while the arrays grow.
 */
#define MEMORY_BYTES (UINT64_C(1) << 30)
enum { SEGMENT_BYTES = 512 };
/* Of what waits, in memory by default: a file takes the rest in hardly more time. */
#define WAITING_BYTES (UINT64_C(24) << 20)
/* And of connections that may go on: some 4 Mi, which is what flowify's table has at most. */
#define HELD_BYTES (UINT64_C(2) << 30)

/* What a connection that is judged in parts needs, and nothing else. */
struct in_parts {
	struct cu_parts parts;
	struct cu_trace trace;
	struct cu_path_scratch scratch;
	struct cu_judge judge;
	struct cu_records said;
};

/* What one run keeps; all of it is reused from connection to connection. */
struct analyzer {
	struct cu_analyze_config config;
	struct cu_analyze_counts *counts;
	struct cu_reader *reader;
	struct cu_writer *writer;
	struct cu_docket docket;
	struct cu_store store;
	size_t segments_cap; /* of a part, unless a chunk has more */
	uint64_t held_bytes; /* that connections may take which may go on */
	struct in_parts in_parts;
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
	return analyzer->buf.failed ? CU_ERR_NOMEM
	                            : cu_docket_put(&analyzer->docket, kind, analyzer->buf.data, analyzer->buf.len);
}

/* The connection's record goes on; when segments do not, without the timeline in it. */
static int write_connection(struct analyzer *analyzer, const uint8_t *record, size_t record_len,
                            const struct cu_connection *connection)
{
	if (connection->timeline.len == 0 || !analyzer->config.no_segments) {
		return cu_docket_put(&analyzer->docket, CU_RECORD_CONNECTION, record, record_len);
	}
	cu_buf_clear(&analyzer->buf);
	cu_connection_encode_bare(connection, record, record_len, &analyzer->buf);
	return put(analyzer, CU_RECORD_CONNECTION);
}

/* ---- Connections in parts ---- */

/* Adds chunks to the trace while there is room for them, one at least; written: they go on to the output, too. */
static int add_chunks(struct analyzer *analyzer, struct cu_store_reader *chunks, bool written)
{
	struct cu_trace *trace = &analyzer->in_parts.trace;
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
			err = cu_docket_put(&analyzer->docket, CU_RECORD_CHUNK, data, len);
		}
		if (err == 0) {
			err = cu_trace_add_chunk(trace, &chunk);
		}
	}
	return err;
}

/* The two times that a connection in parts is gone through: transactions are judged by what is known of the whole. */
enum pass { PASS_SEGMENTS, PASS_TRANSACTIONS };

/* The trace is a part of the connection. */
static int judge_part(struct analyzer *analyzer, enum pass pass, uint64_t *number)
{
	struct in_parts *of = &analyzer->in_parts;
	struct cu_hearing hearing = {.trace = &of->trace};
	struct cu_connection connection = of->trace.connection;
	if (of->trace.dropped_end[CU_C2S] > 0 || of->trace.dropped_end[CU_S2C] > 0) {
		/* It measured no handshake. */
		connection.side[CU_C2S].has_syn = connection.side[CU_S2C].has_syn = false;
	}
	int err = cu_path_measure(&of->trace, &of->scratch, &hearing.path);
	if (err == 0) {
		cu_distances_refine(&analyzer->docket.distances, &connection, &hearing.path);
	}
	if (pass == PASS_TRANSACTIONS) {
		cu_parts_know_path(&of->parts, &hearing.path);
	}
	err = err != 0 ? err : cu_judge_follow(&of->judge, &hearing);
	if (err == 0 && pass == PASS_TRANSACTIONS) {
		err = cu_judge_put_transactions(&of->judge, &hearing, number, &of->said);
	} else if (err == 0) {
		struct cu_analysis analysis;
		cu_judge_analysis(&of->judge, &hearing, &analysis);
		err = cu_parts_add(&of->parts, &analysis, of->scratch.histogram);
		err = err != 0 ? err : cu_judge_put_gaps(&of->judge, &of->said);
		if (err == 0 && !analyzer->config.no_segments) {
			err = cu_judge_put_marks(&of->judge, &of->trace, &of->said);
		}
	}
	return err != 0 ? err : cu_docket_put_all(&analyzer->docket, &of->said);
}

/* Goes through the connection. */
static int judge_parts(struct analyzer *analyzer, const struct cu_connection *connection,
                       struct cu_store_reader *chunks, enum pass pass)
{
	struct cu_trace *trace = &analyzer->in_parts.trace;
	struct cu_exchanges *exchanges = &analyzer->in_parts.judge.exchanges;
	struct cu_chunk within;
	uint64_t number = 0;
	bool is_last = false;
	cu_trace_begin(trace, connection);
	int err = cu_chunk_within(connection, &within) ? cu_trace_add_chunk(trace, &within) : 0;
	while (err == 0 && !is_last) {
		err = add_chunks(analyzer, chunks, pass == PASS_SEGMENTS);
		if (err != 0) {
			break;
		}
		size_t n = trace->n;
		is_last = !cu_store_more(chunks);
		trace->connection.end = is_last ? connection->end : (uint8_t)CU_END_EVICTED;
		cu_trace_mark(trace);
		if (!is_last) {
			err = cu_exchanges_find(exchanges, trace);
			trace->n = cu_parts_end(trace, exchanges);
		}
		err = err != 0 ? err : judge_part(analyzer, pass, &number);
		if (err == 0 && !is_last) {
			size_t n_judged = trace->n;
			trace->n = n;
			cu_trace_drop(trace, n_judged);
		}
	}
	return err;
}

/* One pass. */
static int go_through(struct analyzer *analyzer, const struct cu_connection *connection, uint64_t place, enum pass pass)
{
	struct cu_store_reader chunks = {0};
	int err = cu_store_open(&analyzer->store, place, &chunks);
	err = err != 0 ? err : judge_parts(analyzer, connection, &chunks, pass);
	cu_store_close(&chunks);
	return err;
}

/* A connection that is too long to be judged at once. */
static int judge_in_parts(struct analyzer *analyzer, const struct cu_connection *connection, uint64_t place)
{
	struct in_parts *of = &analyzer->in_parts;
	cu_parts_clear(&of->parts);
	int err = cu_docket_catch_up(&analyzer->docket); /* what it learns from others is in order then */
	err = err != 0 ? err : go_through(analyzer, connection, place, PASS_SEGMENTS);
	if (err == 0) {
		err = cu_judge_put_analysis(&of->judge, &of->parts.analysis, &of->said);
	}
	err = err != 0 ? err : cu_docket_put_all(&analyzer->docket, &of->said);
	err = err != 0 ? err : go_through(analyzer, connection, place, PASS_TRANSACTIONS);
	analyzer->totals.n_evicted++;
	analyzer->counts->n_in_parts++;
	return err;
}

/* ---- Connections whose timeline is all there ---- */

/* Puts the chunks of the open connection on the docket. 1, or 0 when there are more than can be judged at once. */
static int list_chunks(struct analyzer *analyzer, uint64_t place)
{
	struct cu_store_reader chunks = {0};
	const uint8_t *data;
	size_t len;
	uint64_t n_segments = 0;
	if (!cu_store_has(&analyzer->store, place)) {
		return 1;
	}
	int err = cu_store_open(&analyzer->store, place, &chunks), got;
	for (bool first = true; err == 0 && (got = cu_store_peek(&chunks, &data, &len)) != 0; cu_store_skip(&chunks)) {
		struct cu_chunk chunk;
		err = got < 0 ? got : cu_chunk_open(data, len, &chunk);
		if (err != 0) {
			break;
		}
		n_segments += chunk.n_segments;
		if (!first && n_segments > analyzer->segments_cap) {
			cu_store_close(&chunks);
			return 0;
		}
		first = false;
		if (!analyzer->config.no_segments) {
			err = cu_docket_put(&analyzer->docket, CU_RECORD_CHUNK, data, len);
		}
		err = err != 0 ? err : cu_docket_add_chunk(&analyzer->docket, data, len, chunk.n_segments);
	}
	cu_store_close(&chunks);
	return err != 0 ? err : 1;
}

/* The timeline of a connection is all there: it is put on the docket, or judged in parts. */
static int finish_connection(struct analyzer *analyzer, const uint8_t *record, size_t record_len,
                             const struct cu_connection *connection, uint64_t place)
{
	struct cu_docket *docket = &analyzer->docket;
	const struct cu_record_place from = cu_reader_place(analyzer->reader);
	int err = cu_docket_open(docket, connection, &from);
	err = err != 0 ? err : write_connection(analyzer, record, record_len, connection);
	int whole = err != 0 ? err : list_chunks(analyzer, place);
	if (whole == 1) {
		cu_store_remove(&analyzer->store, place);
		return cu_docket_close(docket);
	}
	cu_docket_drop(docket);
	err = whole;
	if (whole == 0) {
		err = write_connection(analyzer, record, record_len, connection);
		err = err != 0 ? err : judge_in_parts(analyzer, connection, place);
	}
	cu_store_remove(&analyzer->store, place);
	return err;
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

/* Holds a connection; what is not held any more is judged. */
static int hold(struct analyzer *analyzer, struct cu_held *held)
{
	struct cu_held *over;
	int err = cu_join_hold(&analyzer->join, held, &over);
	int over_err = over != NULL ? finish_one(analyzer, over) : 0;
	return err != 0 ? err : over_err;
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
		int err = over ? finish_one(analyzer, held[i]) : hold(analyzer, held[i]);
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
	if (over != NULL && over->connection.end == CU_END_IDLE && !ours.side[CU_C2S].has_syn) {
		ours.continued = true; /* as flowify says of what goes on after it was over */
	}
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
	return held->connection.followed ? hold(analyzer, held) : finish_one(analyzer, held);
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
	if (!cu_totals_have_times(&totals)) {
		return 0;
	}
	return reject_timeline(finish_silent(analyzer, false, totals.last_ns), reader);
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

/* The stream names more files, which its reader has added to its header's. */
static void note_sources(struct cu_join *join, const struct cu_reader *reader)
{
	cu_join_add_files(join, cu_reader_header(reader)->n_files - join->n_files_here);
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
	if (record->kind == CU_RECORD_SOURCES) {
		note_sources(&analyzer->join, reader);
	}
	/* What an earlier analysis said is said anew, by whom it was said. */
	bool mine = record->kind == CU_RECORD_ANALYSIS || record->kind == CU_RECORD_GAP ||
	            record->kind == CU_RECORD_MARKS || record->kind == CU_RECORD_TRANSACTION;
	bool verdict = record->kind == CU_RECORD_VERDICT || record->kind == CU_RECORD_FINDING;
	bool stale = verdict || (mine && !analyzer->keep);
	if (mine && analyzer->keep && !is_first_stream(analyzer)) {
		return take_kept(analyzer, reader, record);
	}
	return stale ? 0 : cu_docket_put(&analyzer->docket, record->kind, record->data, record->len);
}

/* No stream can follow that is joined to those before. */
static int finish_union(struct analyzer *analyzer)
{
	int err = finish_silent(analyzer, true, 0);
	if (err != CU_ERR_NOMEM && analyzer->has_totals) {
		cu_buf_clear(&analyzer->buf);
		cu_totals_encode(&analyzer->totals, &analyzer->buf);
		int put_err = put(analyzer, CU_RECORD_TOTALS);
		err = err != 0 ? err : put_err;
	}
	analyzer->totals = (struct cu_totals){0};
	analyzer->has_totals = false;
	cu_join_release(&analyzer->join);
	cu_join_init(&analyzer->join, analyzer->held_bytes);
	int said_err = cu_docket_catch_up(&analyzer->docket);
	err = err != 0 ? err : said_err;
	int finish_err = err == CU_ERR_NOMEM ? err : cu_writer_finish(analyzer->writer);
	return err != 0 ? err : finish_err;
}

/* A stream begins: its files are added to the union's, unless they are more than one can name. */
static int begin_stream(struct analyzer *analyzer, struct cu_reader *reader)
{
	const struct cu_stream_header *header = cu_reader_header(reader);
	struct cu_join *join = &analyzer->join;
	bool fits = join->n_files + join->n_files_here + header->n_files <= CU_FILE_CAP;
	/* What was said to go on in a stream that broke off may go on in this one. */
	int err = fits && cu_join_awaits(join) ? finish_silent(analyzer, false, 0) : 0;
	err = err != 0 ? err : cu_docket_catch_up(&analyzer->docket);
	if (err != 0) {
		return reject_timeline(err, reader);
	}
	if (analyzer->began && fits) {
		err = cu_writer_sources(analyzer->writer, header->files, header->n_files);
	} else {
		err = analyzer->began ? finish_union(analyzer) : 0;
		analyzer->began = true;
		err = err != 0 ? err : cu_writer_header(analyzer->writer, header);
	}
	analyzer->counts->n_no_room += join->n_no_room;
	cu_join_begin(join, header->n_files);
	return reject_timeline(err, reader);
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
			err = begin_stream(analyzer, reader);
		}
		if (err != 0) {
			return err;
		}
	}
}

/* A timeline that could not be decoded becomes the fault of the stream that it came in. */
static int tell_damage(struct analyzer *analyzer)
{
	const struct cu_docket_damage *damage = &analyzer->docket.damage;
	int err = cu_docket_catch_up(&analyzer->docket);
	if (err != 0 || !damage->is_there) {
		return err;
	}
	char what[CU_TEXT_CAP];
	(void)snprintf(what, sizeof(what), "the timeline of connection %" PRIu64 " is damaged", damage->stream);
	const struct cu_record_place place = damage->place;
	analyzer->docket.damage = (struct cu_docket_damage){0};
	return cu_reader_reject_at(analyzer->reader, &place, what);
}

static void release(struct analyzer *analyzer)
{
	struct in_parts *of = &analyzer->in_parts;
	cu_docket_release(&analyzer->docket);
	cu_store_release(&analyzer->store);
	cu_join_release(&analyzer->join);
	cu_parts_release(&of->parts);
	cu_trace_release(&of->trace);
	cu_path_scratch_release(&of->scratch);
	cu_judge_release(&of->judge);
	cu_records_release(&of->said);
	cu_buf_release(&analyzer->buf);
	cu_buf_release(&analyzer->scratch_record);
	cu_buf_release(&analyzer->held_record);
}

int cu_analyze(struct cu_reader *const *readers, size_t n_readers, struct cu_writer *writer,
               const struct cu_analyze_config *config, struct cu_analyze_counts *counts)
{
	struct analyzer analyzer = {.writer = writer, .config = *config, .counts = counts};
	uint64_t memory_bytes = config->memory_bytes > 0 ? config->memory_bytes : MEMORY_BYTES;
	*counts = (struct cu_analyze_counts){0};
	analyzer.segments_cap = (size_t)(memory_bytes / 2 / SEGMENT_BYTES);
	uint64_t waiting_bytes = config->memory_bytes > 0 || !config->has_spare_file ? memory_bytes / 4 : WAITING_BYTES;
	analyzer.held_bytes = config->memory_bytes > 0 ? memory_bytes / 4 : HELD_BYTES;
	cu_store_init(&analyzer.store, waiting_bytes, config->has_spare_file ? config->spare_fd : -1);
	cu_join_init(&analyzer.join, analyzer.held_bytes);
	const struct cu_docket_config docket = {
		.writer = writer,
		.no_segments = config->no_segments,
		.n_jobs = config->n_jobs,
		.segments_cap = analyzer.segments_cap,
	};
	int first = cu_docket_init(&analyzer.docket, &docket);
	for (size_t r = 0; r < n_readers && first != CU_ERR_NOMEM; r++) {
		analyzer.reader = readers[r];
		int err = run(&analyzer, readers[r]);
		if (err == CU_ERR_TRUNCATED) {
			cu_writer_cut(writer);
		}
		int damage_err = tell_damage(&analyzer);
		err = err != 0 ? err : damage_err;
		first = first != 0 ? first : err;
		if (cu_writer_fault(writer)->code != CU_OK) {
			break;
		}
	}
	if (cu_writer_fault(writer)->code == CU_OK && analyzer.began) {
		int err = finish_union(&analyzer);
		int damage_err = tell_damage(&analyzer);
		err = reject_timeline(err, analyzer.reader);
		first = first != 0 ? first : err != 0 ? err : damage_err;
	}
	if (first == CU_ERR_IO && analyzer.store.sys_errno != 0) {
		counts->spare_errno = analyzer.store.sys_errno;
	}
	counts->needs_spare_file = first == CU_ERR_NOMEM && analyzer.store.is_full;
	release(&analyzer);
	return first;
}
