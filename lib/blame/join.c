#include "lib/blame/join.h"

#include "lib/base/error.h"
#include "lib/base/grow.h"
#include "lib/flow/flowify.h"

#include <stdlib.h>
#include <string.h>

/* Packets of two captures may come this much out of order where one ends and the next begins. */
#define OVERLAP_NS CU_NS_PER_S

void cu_join_init(struct cu_join *join, uint64_t bytes_cap)
{
	*join = (struct cu_join){.seed = cu_hash_seed_random(), .bytes_cap = bytes_cap};
}

void cu_join_release(struct cu_join *join)
{
	for (size_t i = 0; i < join->n; i++) {
		free(join->held[i]);
	}
	for (size_t i = 0; i < join->n_continued; i++) {
		free(join->continued[i].held);
	}
	cu_index_release(&join->index);
	free(join->held);
	free(join->continued);
	*join = (struct cu_join){0};
}

/* ---- The held, by key ---- */

static void make_key(const struct cu_connection *connection, struct cu_key *key)
{
	struct cu_flow_key ends = {
		.src = connection->client,
		.dst = connection->server,
		.src_port = connection->client_port,
		.dst_port = connection->server_port,
		.n_ids = connection->n_ids,
	};
	memcpy(ends.ids, connection->ids, sizeof(ends.ids));
	cu_key_make(&ends, 0, key);
}

static uint32_t tag_of(const struct cu_join *join, const struct cu_key *key)
{
	return cu_index_tag(cu_key_hash(join->seed, key));
}

/* The number of the one with this key, from 1; 0: there is none. */
static uint32_t find(const struct cu_join *join, const struct cu_key *key)
{
	uint32_t tag = tag_of(join, key), at;
	for (uint32_t i = tag; (at = cu_index_walk(&join->index, tag, &i)) != 0;) {
		if (memcmp(&join->held[at - 1]->key, key, sizeof(*key)) == 0) {
			break;
		}
	}
	return at;
}

struct cu_held *cu_held_new(const struct cu_connection *connection, uint64_t place)
{
	struct cu_held *held = malloc(sizeof(*held) + connection->timeline.len);
	if (held == NULL) {
		return NULL;
	}
	held->connection = *connection;
	held->place = place;
	held->joined = false;
	held->ends = (struct cu_ends){0};
	if (connection->timeline.len > 0) {
		memcpy(held->timeline, connection->timeline.data, connection->timeline.len);
		held->connection.timeline.data = (const char *)held->timeline;
	}
	return held;
}

/* What it takes, with its place in the index and in the list. */
static uint64_t bytes_of(const struct cu_held *held)
{
	enum { PLACES = 4 * sizeof(struct cu_index_slot) + 2 * sizeof(held) }; /* when both have just grown */
	return sizeof(*held) + held->connection.timeline.len + PLACES;
}

static void take_out(struct cu_join *join, const struct cu_held *held)
{
	uint32_t at = find(join, &held->key);
	cu_index_remove(&join->index, tag_of(join, &held->key), at);
	struct cu_held *last = join->held[--join->n];
	join->n_bytes -= bytes_of(held);
	if (last != held) {
		cu_index_move(&join->index, tag_of(join, &last->key), (uint32_t)join->n + 1, at);
		join->held[at - 1] = last;
	}
	join->n_searched = join->n_searched < join->n ? join->n_searched : join->n;
}

/* Makes room for so many bytes more: takes out one that is over and takes as much; NULL when there is none. */
static struct cu_held *make_room(struct cu_join *join, uint64_t n_bytes)
{
	for (; join->n_searched < join->n; join->n_searched++) {
		struct cu_held *held = join->held[join->n_searched];
		bool is_over = held->connection.end != CU_END_OPEN;
		if (is_over && join->n_bytes - bytes_of(held) + n_bytes <= join->bytes_cap) {
			take_out(join, held);
			return held;
		}
	}
	return NULL;
}

int cu_join_hold(struct cu_join *join, struct cu_held *held, struct cu_held **over)
{
	make_key(&held->connection, &held->key);
	*over = held;
	uint32_t at = find(join, &held->key);
	if (at == 0) {
		struct cu_held *out = NULL;
		if (join->n_bytes + bytes_of(held) > join->bytes_cap) {
			join->n_no_room++;
			out = held->connection.end == CU_END_OPEN ? make_room(join, bytes_of(held)) : NULL;
			if (out == NULL) {
				return 0;
			}
		}
		/* Neither fails in the place of one that was taken out. */
		if (!cu_grow((void **)&join->held, &join->cap, join->n, sizeof(struct cu_held *)) ||
		    !cu_index_add(&join->index, tag_of(join, &held->key), (uint32_t)join->n + 1)) {
			return CU_ERR_NOMEM;
		}
		join->held[join->n++] = held;
		join->n_bytes += bytes_of(held);
		*over = out;
	} else if (join->held[at - 1]->connection.stream < held->connection.stream) {
		*over = join->held[at - 1];
		join->held[at - 1] = held;
		join->n_bytes += bytes_of(held) - bytes_of(*over);
	}
	return 0;
}

/* The one with this connection's key, or NULL. */
static struct cu_held *look(const struct cu_join *join, const struct cu_connection *connection)
{
	struct cu_key key;
	make_key(connection, &key);
	uint32_t at = find(join, &key);
	return at != 0 ? join->held[at - 1] : NULL;
}

/* A held connection and its number, which is not fetched from it while they are sorted. */
struct numbered {
	uint64_t stream;
	struct cu_held *held;
};

static int compare(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;
	return (x->stream > y->stream) - (x->stream < y->stream);
}

struct cu_held **cu_join_drain(struct cu_join *join, size_t *n)
{
	*n = 0;
	size_t cap = join->n + join->n_continued + 1, found = 0;
	struct numbered *numbered = malloc(cap * sizeof(*numbered));
	struct cu_held **all = malloc(cap * sizeof(struct cu_held *));
	if (numbered == NULL || all == NULL) {
		free(numbered);
		free(all);
		return NULL;
	}
	for (; found < join->n; found++) {
		numbered[found] = (struct numbered){join->held[found]->connection.stream, join->held[found]};
	}
	/* Announced to go on, and then the stream was damaged. */
	for (size_t i = 0; i < join->n_continued; i++) {
		struct cu_held *held = join->continued[i].held;
		if (held != NULL) {
			numbered[found++] = (struct numbered){held->connection.stream, held};
			join->continued[i].held = NULL;
		}
	}
	join->n = 0;
	join->n_bytes = 0;
	join->n_searched = 0;
	cu_index_clear(&join->index);
	qsort(numbered, found, sizeof(numbered[0]), compare);
	for (; *n < found; (*n)++) {
		all[*n] = numbered[*n].held;
	}
	free(numbered);
	return all;
}

/* ---- Numbers ---- */

void cu_join_begin(struct cu_join *join, size_t n_files)
{
	join->n_before += join->n_here - join->n_continued;
	join->n_places += join->n_here;
	join->n_files += join->n_files_here;
	join->n_here = 0;
	join->n_no_room = 0;
	join->n_continued = 0;
	join->n_files_here = n_files;
	join->n_streams++;
}

void cu_join_add_files(struct cu_join *join, size_t n_files)
{
	join->n_files_here += n_files;
}

/* How many of the continued have a lower number. */
static size_t rank(const struct cu_join *join, uint64_t local)
{
	size_t low = 0, high = join->n_continued;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (join->continued[middle].local < local) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

uint64_t cu_join_number(const struct cu_join *join, uint64_t local)
{
	return join->n_before + local - rank(join, local);
}

uint64_t cu_join_place(struct cu_join *join, uint64_t local)
{
	join->n_here = local >= join->n_here ? local + 1 : join->n_here;
	return join->n_places + local;
}

void cu_join_rename(const struct cu_join *join, struct cu_connection *connection)
{
	connection->stream = cu_join_number(join, connection->stream);
	connection->first_file = (uint16_t)(connection->first_file + join->n_files);
	connection->last_file = (uint16_t)(connection->last_file + join->n_files);
}

/* ---- Continuations ---- */

static bool in_time(const struct cu_held *held, const struct cu_connection *next)
{
	int64_t silence_ns = (int64_t)((uint64_t)next->start_ns - (uint64_t)held->connection.end_ns);
	return silence_ns >= -OVERLAP_NS && silence_ns <= CU_IDLE_TIMEOUT_NS;
}

bool cu_join_is_turned(const struct cu_held *held, const struct cu_connection *next)
{
	const struct cu_connection *first = &held->connection;
	return first->client_port != next->client_port ||
	       memcmp(first->client.bytes, next->client.bytes, sizeof(first->client.bytes)) != 0;
}

/* A SYN that was sent again: flowify's rule, see is_reuse in track.c. */
static bool is_same_syn(const struct cu_held *held, const struct cu_connection *next)
{
	unsigned dir = cu_join_is_turned(held, next) ? CU_S2C : CU_C2S;
	const struct cu_connection_side *side = &held->connection.side[dir];
	return side->has_syn && side->isn == next->side[CU_C2S].isn;
}

bool cu_join_awaits(const struct cu_join *join)
{
	for (size_t i = 0; i < join->n_continued; i++) {
		if (join->continued[i].held != NULL) {
			return true;
		}
	}
	return false;
}

int cu_join_note(struct cu_join *join, const struct cu_connection *begun)
{
	struct cu_held *held = look(join, begun);
	bool in_order = join->n_continued == 0 || join->continued[join->n_continued - 1].local < begun->stream;
	if (held == NULL || !in_time(held, begun) || !in_order) {
		return 0;
	}
	if (!cu_grow((void **)&join->continued, &join->continued_cap, join->n_continued, sizeof(join->continued[0]))) {
		return CU_ERR_NOMEM;
	}
	take_out(join, held);
	join->n_bytes += bytes_of(held);
	join->continued[join->n_continued++] = (struct cu_continued){.local = begun->stream, .held = held};
	return 1;
}

struct cu_held *cu_join_take(struct cu_join *join, const struct cu_connection *connection, struct cu_held **over)
{
	*over = NULL;
	size_t at = rank(join, connection->stream);
	if (at < join->n_continued && join->continued[at].local == connection->stream) {
		struct cu_held *held = join->continued[at].held;
		join->continued[at].held = NULL;
		join->n_bytes -= held != NULL ? bytes_of(held) : 0;
		return held;
	}
	struct cu_held *held = look(join, connection);
	if (held == NULL) {
		return NULL;
	}
	take_out(join, held);
	bool same = connection->side[CU_C2S].has_syn && is_same_syn(held, connection) && in_time(held, connection);
	if (!same) {
		*over = held;
		int64_t silence_ns = connection->start_ns - held->connection.end_ns;
		if (held->connection.end == CU_END_OPEN) {
			held->connection.end = silence_ns > CU_IDLE_TIMEOUT_NS ? CU_END_IDLE : CU_END_REUSED;
		}
	}
	return same ? held : NULL;
}

static void merge_side(struct cu_connection_side *side, const struct cu_connection_side *next)
{
	if (side->n_segments == 0) {
		side->ttl = next->ttl;
	}
	if (side->n_segments == 0 || (next->has_syn && !side->has_syn)) {
		side->isn = next->isn;
		side->has_syn = next->has_syn;
		side->syn = next->syn;
	}
	side->n_segments += next->n_segments;
	side->n_bytes += next->n_bytes;
}

void cu_join_merge(struct cu_held *held, const struct cu_connection *next, bool turned)
{
	struct cu_connection *whole = &held->connection;
	merge_side(&whole->side[CU_C2S], &next->side[turned ? CU_S2C : CU_C2S]);
	merge_side(&whole->side[CU_S2C], &next->side[turned ? CU_C2S : CU_S2C]);
	if (!turned && next->role > whole->role && whole->role == CU_ROLE_GUESSED) {
		whole->role = next->role;
	}
	const struct cu_ends *ends = &held->ends;
	bool closed = ends->fin[CU_C2S] && ends->fin[CU_S2C];
	if (whole->end != CU_END_RESET && next->end == CU_END_RESET) {
		whole->end = closed && !ends->reset ? CU_END_CLOSED : CU_END_RESET;
	} else if (whole->end == CU_END_OPEN || whole->end == CU_END_IDLE || whole->end == CU_END_EVICTED) {
		whole->end = closed ? (uint8_t)CU_END_CLOSED : next->end;
	}
	whole->followed = next->followed;
	whole->end_ns = next->end_ns;
	whole->last_frame = next->last_frame;
	whole->last_file = next->last_file;
	whole->n_fragments += next->n_fragments;
}

void cu_join_turn(struct cu_held *held)
{
	struct cu_connection *whole = &held->connection;
	const struct cu_connection was = *whole;
	whole->client = was.server;
	whole->server = was.client;
	whole->client_port = was.server_port;
	whole->server_port = was.client_port;
	whole->side[CU_C2S] = was.side[CU_S2C];
	whole->side[CU_S2C] = was.side[CU_C2S];
}

static void note_end(struct cu_ends *ends, const struct cu_segment *segment)
{
	if ((segment->flags & CU_TCP_RST) != 0) {
		ends->reset = ends->reset || !(ends->fin[CU_C2S] && ends->fin[CU_S2C]);
	} else if ((segment->flags & CU_TCP_FIN) != 0) {
		ends->fin[segment->dir] = true;
	}
}

int cu_join_chunk(const struct cu_chunk *chunk, uint64_t stream, size_t n_files, bool turned, struct cu_ends *ends,
                  struct cu_buf *buf)
{
	struct cu_timeline_reader from;
	struct cu_timeline_state to = {0};
	struct cu_chunk copy = {.stream = stream};
	struct cu_buf segments = {0};
	struct cu_segment segment = {0};
	int got;
	cu_timeline_open(&from, &chunk->start, &chunk->segments);
	while ((got = cu_timeline_next(&from, &segment)) > 0) {
		uint8_t bytes[CU_SEGMENT_ENCODED_CAP];
		segment.file = (uint16_t)(segment.file + n_files);
		segment.dir ^= turned;
		if (!segment.icmp) {
			note_end(ends, &segment);
		}
		cu_buf_add(&segments, bytes, cu_timeline_encode(&to, &segment, bytes));
		copy.n_segments++;
	}
	copy.start = to.start;
	copy.segments = cu_cursor_make(segments.data, segments.len);
	cu_chunk_encode(&copy, buf);
	bool failed = segments.failed || buf->failed;
	cu_buf_release(&segments);
	return failed ? CU_ERR_NOMEM : got;
}
