#include "lib/blame/docket.h"

#include <stdlib.h>

enum {
	/* A batch is full with so much; a connection with more segments is alone in its batch. */
	BATCH_CONNECTIONS = 64,
	BATCH_SEGMENTS = 2048,
	BATCH_BYTES = 64 << 10,
	SLOTS_A_WORKER = 16,
	DESKS_A_WORKER = 8,           /* which may be prepared while one worker's processor is taken from it */
	SHARE_SEGMENTS = 48 << 10,    /* at most of one worker beside others: 10 to 20 MB */
	ALL_SEGMENTS = 192 << 10,     /* of all workers */
	TRACE_KEPT = 128,             /* segments for which a trace of several keeps its storage */
	BYTES_KEPT = 4 * BATCH_BYTES, /* likewise of a batch */
	IN_FLIGHT_BYTES = 64 << 20,   /* in batches: what is more waits for them */
};

/* A connection on its way to be judged. */
struct entry {
	struct cu_connection connection; /* its timeline is among the batch's */
	uint64_t n_segments;             /* no more than its bytes can be */
	size_t timeline_at;
	size_t chunks_at, chunks_end; /* its chunks, likewise */
	size_t before_end, said_end;  /* where the records before it, and of it, end */
	struct cu_record_place place;
	bool is_damaged;
};

/* Connections, and the records among them. */
struct cu_docket_batch {
	struct entry entry[BATCH_CONNECTIONS];
	size_t n_entries;
	uint64_t n_segments;
	struct cu_records before; /* each connection's record, and whatever else comes before what is said of it */
	struct cu_records chunks;
	struct cu_buf timelines;
	struct cu_records said;
	int err;
};

/* A worker's storage. */
struct cu_docket_worker {
	struct cu_path_scratch scratch;
	struct cu_judge judge;
};

/* What a batch needs from prepare to complete. */
struct cu_docket_desk {
	struct cu_trace trace[BATCH_CONNECTIONS];
	struct cu_hearing hearing[BATCH_CONNECTIONS];
};

/* Segments that a worker may have beside the others'; a connection with more is judged alone. */
static size_t share_of(const struct cu_docket *docket)
{
	size_t share = docket->config.segments_cap < ALL_SEGMENTS ? docket->config.segments_cap : ALL_SEGMENTS;
	share /= docket->crew.size.n_workers;
	return share < SHARE_SEGMENTS ? share : SHARE_SEGMENTS;
}

/* ---- The crew ---- */

/* Fills a trace with a connection's segments. */
static int fill(struct cu_trace *trace, const struct cu_docket_batch *batch, struct entry *entry)
{
	struct cu_connection *connection = &entry->connection;
	struct cu_chunk chunk;
	struct cu_record record;
	size_t at = entry->chunks_at;
	if (connection->timeline.len > 0) {
		connection->timeline.data = (const char *)batch->timelines.data + entry->timeline_at;
	}
	cu_trace_begin(trace, connection);
	int err = cu_trace_reserve(trace, (size_t)entry->n_segments);
	if (err == 0 && cu_chunk_within(connection, &chunk)) {
		err = cu_trace_add_chunk(trace, &chunk);
	}
	while (err == 0 && cu_records_get(&batch->chunks, &at, entry->chunks_end, &record)) {
		err = cu_chunk_open(record.data, record.len, &chunk);
		err = err != 0 ? err : cu_trace_add_chunk(trace, &chunk);
	}
	return err;
}

static void prepare(void *arg, struct cu_crew_job job)
{
	struct cu_docket *docket = arg;
	struct cu_docket_batch *batch = &docket->batch[job.slot];
	struct cu_docket_desk *desk = docket->desk[job.desk];
	for (size_t i = 0; i < batch->n_entries && batch->err == 0; i++) {
		struct cu_hearing *hearing = &desk->hearing[i];
		hearing->trace = &desk->trace[i];
		int err = fill(hearing->trace, batch, &batch->entry[i]);
		batch->entry[i].is_damaged = err == CU_ERR_FORMAT;
		if (err == 0) {
			cu_trace_mark(hearing->trace);
			err = cu_path_measure(hearing->trace, &docket->worker[job.worker]->scratch, &hearing->path);
		}
		batch->err = err != CU_ERR_FORMAT ? err : 0;
	}
	cu_records_clear(&batch->chunks, BYTES_KEPT);
}

static void settle(void *arg, struct cu_crew_job job)
{
	struct cu_docket *docket = arg;
	struct cu_docket_batch *batch = &docket->batch[job.slot];
	for (size_t i = 0; i < batch->n_entries && batch->err == 0; i++) {
		struct cu_hearing *hearing = &docket->desk[job.desk]->hearing[i];
		if (!batch->entry[i].is_damaged) {
			cu_distances_refine(&docket->distances, &batch->entry[i].connection, &hearing->path);
			cu_distances_ids(&docket->distances, hearing->trace, hearing->ids_shared);
		}
	}
}

static int judge_whole(struct cu_judge *judge, const struct cu_hearing *hearing, bool no_segments,
                       struct cu_records *records)
{
	uint64_t number = 0;
	int err = cu_judge_follow(judge, hearing);
	if (err == 0) {
		struct cu_analysis analysis;
		cu_judge_analysis(judge, hearing, &analysis);
		err = cu_judge_put_analysis(judge, &analysis, records);
	}
	err = err != 0 ? err : cu_judge_put_gaps(judge, records);
	if (err == 0 && !no_segments) {
		err = cu_judge_put_marks(judge, hearing->trace, records);
	}
	return err != 0 ? err : cu_judge_put_transactions(judge, hearing, &number, records);
}

static void complete(void *arg, struct cu_crew_job job)
{
	struct cu_docket *docket = arg;
	struct cu_docket_batch *batch = &docket->batch[job.slot];
	struct cu_docket_desk *desk = docket->desk[job.desk];
	/* The first desk is for those that are judged alone, too. */
	const size_t large_kept = job.desk > 0 ? share_of(docket) : docket->config.segments_cap;
	const size_t kept = batch->n_entries > 1 || job.desk >= docket->crew.size.n_workers ? TRACE_KEPT : large_kept;
	for (size_t i = 0; i < batch->n_entries && batch->err == 0; i++) {
		if (!batch->entry[i].is_damaged) {
			batch->err = judge_whole(&docket->worker[job.worker]->judge, &desk->hearing[i],
			                         docket->config.no_segments, &batch->said);
		}
		batch->entry[i].said_end = cu_records_end(&batch->said);
	}
	for (size_t i = 0; i < batch->n_entries; i++) {
		if (desk->trace[i].cap > kept) {
			cu_trace_release(&desk->trace[i]);
		}
	}
}

static int docket_err(struct cu_docket *docket)
{
	return atomic_load_explicit(&docket->err, memory_order_relaxed);
}

static void empty(struct cu_docket_batch *batch)
{
	cu_records_clear(&batch->before, BYTES_KEPT);
	cu_records_clear(&batch->said, BYTES_KEPT);
	cu_buf_clear(&batch->timelines);
	if (batch->timelines.cap > BYTES_KEPT) {
		cu_buf_release(&batch->timelines);
	}
}

static void put(void *arg, unsigned slot)
{
	struct cu_docket *docket = arg;
	struct cu_docket_batch *batch = &docket->batch[slot];
	struct cu_writer *writer = docket->config.writer;
	size_t before_at = 0, said_at = 0;
	int err = docket_err(docket);
	err = err != 0 ? err : batch->err;
	for (size_t i = 0; i < batch->n_entries && err == 0; i++) {
		const struct entry *entry = &batch->entry[i];
		err = cu_records_write(&batch->before, &before_at, entry->before_end, writer);
		err = err != 0 ? err : cu_records_write(&batch->said, &said_at, entry->said_end, writer);
		if (entry->is_damaged && !docket->damage.is_there) {
			docket->damage = (struct cu_docket_damage){true, entry->connection.stream, entry->place};
		}
	}
	if (err == 0) {
		err = cu_records_write(&batch->before, &before_at, cu_records_end(&batch->before), writer);
	}
	atomic_store_explicit(&docket->err, err, memory_order_relaxed);
	empty(batch);
}

/* ---- The caller ---- */

static struct cu_crew_size size_of_crew(unsigned n_workers)
{
	n_workers = n_workers < CU_CREW_CAP ? n_workers : CU_CREW_CAP;
	unsigned n_slots = n_workers * SLOTS_A_WORKER;
	return (struct cu_crew_size){
		.n_workers = n_workers,
		.n_desks = n_workers > 1 ? n_workers * DESKS_A_WORKER : 1, /* who is alone never waits for another */
		.n_slots = n_slots < CU_CREW_SLOTS_CAP ? n_slots : CU_CREW_SLOTS_CAP,
	};
}

int cu_docket_init(struct cu_docket *docket, const struct cu_docket_config *config)
{
	const struct cu_crew_duty duty = {prepare, settle, complete, put, docket};
	*docket = (struct cu_docket){.config = *config};
	const struct cu_crew_size size = size_of_crew(config->n_jobs > 0 ? config->n_jobs : cu_crew_processors());
	cu_crew_init(&docket->crew, &duty, &size);
	docket->now = docket->batch = calloc(size.n_slots, sizeof(docket->batch[0]));
	int err = cu_distances_init(&docket->distances);
	for (unsigned w = 0; w < size.n_workers && err == 0; w++) {
		docket->worker[w] = calloc(1, sizeof(*docket->worker[w]));
		err = docket->worker[w] != NULL ? 0 : CU_ERR_NOMEM;
	}
	for (unsigned d = 0; d < size.n_desks && err == 0; d++) {
		docket->desk[d] = calloc(1, sizeof(*docket->desk[d]));
		err = docket->desk[d] != NULL ? 0 : CU_ERR_NOMEM;
	}
	return docket->batch != NULL ? err : CU_ERR_NOMEM;
}

static void release_desk(struct cu_docket_desk *desk)
{
	for (size_t i = 0; desk != NULL && i < BATCH_CONNECTIONS; i++) {
		cu_trace_release(&desk->trace[i]);
	}
	free(desk);
}

static void release_worker(struct cu_docket_worker *worker)
{
	if (worker != NULL) {
		cu_path_scratch_release(&worker->scratch);
		cu_judge_release(&worker->judge);
		free(worker);
	}
}

void cu_docket_release(struct cu_docket *docket)
{
	cu_crew_release(&docket->crew);
	for (unsigned w = 0; w < CU_CREW_CAP; w++) {
		release_worker(docket->worker[w]);
	}
	for (unsigned d = 0; d < CU_CREW_SLOTS_CAP; d++) {
		release_desk(docket->desk[d]);
	}
	for (unsigned i = 0; i < docket->crew.size.n_slots && docket->batch != NULL; i++) {
		cu_records_release(&docket->batch[i].before);
		cu_records_release(&docket->batch[i].chunks);
		cu_records_release(&docket->batch[i].said);
		cu_buf_release(&docket->batch[i].timelines);
	}
	free(docket->batch);
	cu_distances_release(&docket->distances);
}

static void begin_batch(struct cu_docket *docket)
{
	struct cu_docket_batch *batch = docket->now = &docket->batch[cu_crew_next(&docket->crew)];
	batch->n_entries = 0;
	batch->n_segments = 0;
	batch->err = 0;
}

/*
 * How many segments a connection with its timeline within may have: as many as
 * it says, unless that is fewer than its bytes are worth believing.
 */
static uint64_t likely_segments(const struct cu_chunk *within, uint64_t said)
{
	enum { USUAL_BYTES = 32 }; /* that one takes at most, taken all together */
	bool is_likely = said >= cu_cursor_left(&within->segments) / USUAL_BYTES;
	return is_likely && said < within->n_segments ? said : within->n_segments;
}

/* The batch goes on, and the next begins. */
static int hand_over(struct cu_docket *docket, bool large)
{
	const struct cu_docket_batch *batch = docket->now;
	docket->in_flight_bytes +=
		cu_records_end(&batch->before) + cu_records_end(&batch->chunks) + batch->timelines.len;
	cu_crew_fill(&docket->crew, large);
	if (docket->in_flight_bytes > IN_FLIGHT_BYTES) {
		cu_crew_drain(&docket->crew);
		docket->in_flight_bytes = 0;
	}
	begin_batch(docket);
	return docket_err(docket);
}

/* The batch is too large for one worker beside others: it waits for them, and takes the storage of the first. */
static int judge_alone(struct cu_docket *docket)
{
	cu_crew_fill_alone(&docket->crew);
	docket->in_flight_bytes = 0;
	begin_batch(docket);
	return docket_err(docket);
}

int cu_docket_catch_up(struct cu_docket *docket)
{
	int err = hand_over(docket, false);
	cu_crew_drain(&docket->crew);
	return err != 0 ? err : docket_err(docket);
}

int cu_docket_put(struct cu_docket *docket, enum cu_record_kind kind, const uint8_t *data, size_t len)
{
	struct cu_records *before = &docket->now->before;
	int err = cu_records_add(before, kind, data, len);
	bool full = cu_records_end(before) >= BATCH_BYTES && !docket->is_open;
	return err == 0 && full ? hand_over(docket, false) : err;
}

int cu_docket_put_all(struct cu_docket *docket, struct cu_records *records)
{
	struct cu_record record;
	size_t at = 0;
	int err = 0;
	while (err == 0 && cu_records_get(records, &at, cu_records_end(records), &record)) {
		err = cu_docket_put(docket, (enum cu_record_kind)record.kind, record.data, record.len);
	}
	cu_records_clear(records, BYTES_KEPT);
	return err;
}

int cu_docket_open(struct cu_docket *docket, const struct cu_connection *connection,
                   const struct cu_record_place *place)
{
	const struct cu_connection_side *side = connection->side;
	uint64_t n_segments = side[CU_C2S].n_segments + side[CU_S2C].n_segments;
	struct cu_docket_batch *batch = docket->now;
	struct cu_chunk within;
	if (cu_chunk_within(connection, &within)) {
		n_segments = likely_segments(&within, n_segments);
	}
	if (n_segments > BATCH_SEGMENTS && batch->n_entries > 0) {
		int err = hand_over(docket, false);
		if (err != 0) {
			return err;
		}
		batch = docket->now;
	}
	struct entry *entry = &batch->entry[batch->n_entries];
	*entry = (struct entry){
		.connection = *connection,
		.n_segments = connection->timeline.len > 0 ? n_segments : 0,
		.timeline_at = batch->timelines.len,
		.chunks_at = cu_records_end(&batch->chunks),
		.chunks_end = cu_records_end(&batch->chunks),
		.place = *place,
	};
	docket->is_open = true;
	docket->open_before = cu_records_end(&batch->before);
	cu_buf_add(&batch->timelines, connection->timeline.data, connection->timeline.len);
	batch->n_segments += entry->n_segments;
	return batch->timelines.failed ? CU_ERR_NOMEM : 0;
}

int cu_docket_add_chunk(struct cu_docket *docket, const uint8_t *data, size_t len, uint64_t n_segments)
{
	struct cu_docket_batch *batch = docket->now;
	int err = cu_records_add(&batch->chunks, CU_RECORD_CHUNK, data, len);
	struct entry *entry = &batch->entry[batch->n_entries];
	entry->chunks_end = cu_records_end(&batch->chunks);
	entry->n_segments += n_segments;
	batch->n_segments += n_segments;
	return err;
}

int cu_docket_close(struct cu_docket *docket)
{
	struct cu_docket_batch *batch = docket->now;
	struct entry *entry = &batch->entry[batch->n_entries++];
	entry->before_end = cu_records_end(&batch->before);
	docket->is_open = false;
	if (batch->n_segments > share_of(docket)) {
		return judge_alone(docket);
	}
	bool full = batch->n_segments >= BATCH_SEGMENTS || batch->n_entries == BATCH_CONNECTIONS ||
	            cu_records_end(&batch->before) >= BATCH_BYTES || batch->timelines.len >= BATCH_BYTES;
	return full ? hand_over(docket, entry->n_segments > BATCH_SEGMENTS) : 0;
}

void cu_docket_drop(struct cu_docket *docket)
{
	struct cu_docket_batch *batch = docket->now;
	const struct entry *entry = &batch->entry[batch->n_entries];
	batch->n_segments -= entry->n_segments;
	batch->chunks.bytes.len = entry->chunks_at;
	batch->timelines.len = entry->timeline_at;
	batch->before.bytes.len = docket->open_before;
	docket->is_open = false;
}
