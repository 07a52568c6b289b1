#include "lib/flow/track.h"

#include <stdlib.h>
#include <string.h>

enum {
	/* By default: see flowify.h. */
	FLOWS_CAP = 1 << 22,
	PENDING_BYTES = 32 << 20,
	/*
	 * Finished connections stay for late segments, and small captures are
	 * numbered as tshark does whatever comes late. Beyond this many they leave
	 * after LINGER_NS, so that the table of a large capture stays in the cache.
	 */
	LINGER_FLOWS = 4096,
	/* Heads of a list looked at with a batch of packets: twice what can join between two. */
	EXAMINED_CAP = 64,
	/* Connections passed over in the search for one that may be evicted. */
	EVICT_TRIES = 16,
	FLOWS_CAP_MIN = 16,
	SLOT_BYTES = 4 * sizeof(struct cu_index_slot), /* of a connection, when the slots have just grown */
};

/* Longer than most segments come late; keeping all for good took half as long again and twenty times the memory. */
#define LINGER_NS (3 * CU_NS_PER_S)

/* For hashes that must not depend on the run. */
static const struct cu_hash_seed fixed_seed = {{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f}};

static int64_t elapsed_ns(int64_t from, int64_t to)
{
	return (int64_t)((uint64_t)to - (uint64_t)from);
}

/* a - b on the circle of sequence numbers (RFC 9293 section 3.4). */
static int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

int cu_track_init(struct cu_track *track, struct cu_writer *writer, const struct cu_flowify_config *config)
{
	memset(track, 0, sizeof(*track));
	track->writer = writer;
	track->anonymizer = config->anonymizer;
	track->idle_timeout_ns = config->idle_timeout_ns > 0 ? config->idle_timeout_ns : CU_IDLE_TIMEOUT_NS;
	track->flows_cap = FLOWS_CAP;
	track->spare_bytes = PENDING_BYTES;
	if (config->memory_bytes > 0) {
		/* half for connections, each with a small spool and its part of the slots */
		uint64_t n_flows = config->memory_bytes / 2 / (sizeof(struct cu_flow) + CU_SPOOL_SMALL + SLOT_BYTES);
		n_flows = n_flows > FLOWS_CAP_MIN ? n_flows : FLOWS_CAP_MIN;
		track->flows_cap = n_flows < UINT32_MAX / 4 ? (uint32_t)n_flows : UINT32_MAX / 4;
		track->spare_bytes = config->memory_bytes / 2;
	}
	return cu_table_init(&track->table);
}

void cu_track_release(struct cu_track *track)
{
	cu_table_release(&track->table);
	cu_spool_pool_release(&track->spools);
	cu_buf_release(&track->buf);
}

/* ---- Writing ---- */

/* The pending segments were written. */
static void drop_pending(struct cu_track *track, struct cu_flow *flow)
{
	cu_spool_clear(&track->spools, &flow->pending);
	cu_list_remove(&track->table, CU_LIST_PENDING, flow);
	flow->n_pending = 0;
}

/* The pending segments become a chunk record. */
static int flush(struct cu_track *track, struct cu_flow *flow)
{
	if (flow->n_pending == 0) {
		return 0;
	}
	struct cu_buf *buf = &track->buf;
	const struct cu_chunk chunk = {
		.stream = flow->stream,
		.n_segments = flow->n_pending,
		.start = flow->state.start,
		.segments = cu_cursor_make(flow->pending.data, flow->pending.len),
	};
	cu_buf_clear(buf);
	cu_chunk_encode(&chunk, buf);
	if (buf->failed) {
		return CU_ERR_NOMEM;
	}
	drop_pending(track, flow);
	flow->was_flushed = true;
	flow->state = (struct cu_timeline_state){0};
	return cu_writer_add(track->writer, CU_RECORD_CHUNK, buf->data, buf->len);
}

/* Adds a segment to the timeline where it may not fit. */
static int append_tight(struct cu_track *track, struct cu_flow *flow, const struct cu_segment *segment)
{
	uint8_t bytes[CU_SEGMENT_ENCODED_CAP];
	size_t len = cu_timeline_encode(&flow->state, segment, bytes);
	if (flow->pending.len + len > flow->pending.cap) {
		int rc = cu_spool_grow(&track->spools, &flow->pending, len);
		if (rc < 0) {
			return rc;
		}
	}
	memcpy(flow->pending.data + flow->pending.len, bytes, len);
	flow->pending.len = (uint16_t)(flow->pending.len + len);
	return 0;
}

/* Adds a segment to the timeline, and writes timelines that have become too long or too many. */
static __attribute__((noinline)) int append_any(struct cu_track *track, struct cu_flow *flow,
                                                const struct cu_segment *segment)
{
	int rc = 0;
	/* short ones may have filled what a long one needs: a spool does not grow any more than this */
	if (flow->pending.len + cu_segment_encoded_cap(segment) > CU_SPOOL_LARGE) {
		rc = flush(track, flow);
	}
	if (rc == 0 && flow->n_pending++ == 0) {
		cu_list_append(&track->table, CU_LIST_PENDING, flow);
	}
	if (rc == 0) {
		rc = append_tight(track, flow, segment);
	}
	if (rc == 0 && flow->pending.len > CU_SPOOL_LARGE - CU_SEGMENT_ENCODED_CAP) {
		rc = flush(track, flow);
	}
	while (rc == 0 &&
	       track->spools.n_bytes > track->spare_bytes + (uint64_t)track->table.index.n * CU_SPOOL_SMALL) {
		rc = flush(track, cu_list_head(&track->table, CU_LIST_PENDING));
	}
	return rc;
}

/* The same; most segments follow others, and fit. */
static inline int append(struct cu_track *track, struct cu_flow *flow, const struct cu_segment *segment)
{
	struct cu_spool *spool = &flow->pending;
	size_t room = (size_t)(spool->cap - spool->len);
	if (flow->n_pending == 0 || room < cu_segment_encoded_cap(segment)) {
		return append_any(track, flow, segment);
	}
	flow->n_pending++;
	size_t len = cu_timeline_encode(&flow->state, segment, spool->data + spool->len);
	spool->len = (uint16_t)(spool->len + len);
	return 0;
}

static bool both_fins(const struct cu_flow *flow)
{
	return (flow->side[0].marks & flow->side[1].marks & CU_SIDE_FIN) != 0;
}

static void fill_side(const struct cu_flow_side *side, struct cu_connection_side *out)
{
	out->n_segments = side->n_segments;
	out->n_bytes = side->n_bytes;
	out->isn = side->isn;
	out->has_syn = (side->marks & CU_SIDE_SYN) != 0;
	out->syn = side->syn;
	out->ttl = side->ttl;
}

/* Whether the timeline goes into the connection's record: it is all there, from beginning to end. */
static bool is_seen_whole(const struct cu_flow *flow, const struct cu_connection *connection)
{
	bool ended = connection->end == CU_END_CLOSED || connection->end == CU_END_RESET;
	bool begun = connection->side[CU_C2S].has_syn || connection->side[CU_S2C].has_syn;
	return ended && begun && flow->n_pending > 0 && !flow->was_flushed && !flow->continued &&
	       cu_connection_starts_with(connection, &flow->state.start);
}

/* Who a connection is between, as the stream says it. */
static void fill_ends(const struct cu_track *track, const struct cu_flow *flow, const struct cu_key *key,
                      struct cu_connection *connection)
{
	struct cu_addr addr[2];
	uint16_t port[2];
	cu_key_ends(key, addr, port);
	unsigned client = flow->client_is_lower ? 0 : 1;
	connection->client = addr[client];
	connection->server = addr[1 - client];
	connection->client_port = port[client];
	connection->server_port = port[1 - client];
	connection->n_ids = cu_key_ids(key, connection->ids);
	if (track->anonymizer == NULL) {
		return;
	}
	cu_anonymize_addr(track->anonymizer, &connection->client);
	cu_anonymize_addr(track->anonymizer, &connection->server);
	for (unsigned i = 0; i < connection->n_ids; i++) {
		connection->ids[i] = cu_anonymize_id(track->anonymizer, connection->ids[i]);
	}
}

/* One side only spoke in a connection: perhaps the other one did so in another VLAN or tunnel. */
static void note_half(struct cu_track *track, const struct cu_flow *flow, const struct cu_key *key)
{
	bool from_lower = (flow->side[CU_C2S].n_segments > 0) == flow->client_is_lower;
	struct cu_key ends = cu_key_without_ids(key);
	uint64_t hash = (cu_key_hash(fixed_seed, &ends) & ~UINT64_C(1)) | from_lower;
	uint64_t ids = cu_key_hash(fixed_seed, key);
	struct cu_half *half = &track->halves[(hash >> 1) % CU_HALF_CAP];
	if (half->hash == (hash ^ 1) && half->ids != ids) {
		track->n_parted++;
		*half = (struct cu_half){0};
	} else {
		*half = (struct cu_half){.hash = hash, .ids = ids};
	}
}

/* Writes what there is of a connection. How it ended weighs more than why it leaves. */
static int write_flow(struct cu_track *track, struct cu_flow *flow, enum cu_connection_end why)
{
	struct cu_key key;
	cu_flow_key(flow, &key);
	if ((flow->side[CU_C2S].n_segments == 0) != (flow->side[CU_S2C].n_segments == 0)) {
		note_half(track, flow, &key);
	}
	struct cu_connection connection = {
		.stream = flow->stream,
		.role = flow->role,
		.end = (uint8_t)(flow->reset       ? CU_END_RESET
	                         : both_fins(flow) ? CU_END_CLOSED
	                                           : why),
		.continued = flow->continued,
		.followed = why == CU_END_OPEN,
		.start_ns = flow->start_ns,
		.end_ns = flow->last_ns,
		.first_frame = flow->first_frame,
		.last_frame = flow->last_frame,
		.first_file = flow->first_file,
		.last_file = flow->last_file,
		.n_fragments = flow->n_fragments,
	};
	fill_ends(track, flow, &key, &connection);
	fill_side(&flow->side[CU_C2S], &connection.side[CU_C2S]);
	fill_side(&flow->side[CU_S2C], &connection.side[CU_S2C]);
	if (is_seen_whole(flow, &connection)) {
		connection.timeline =
			(struct cu_text){.data = (const char *)flow->pending.data, .len = flow->pending.len};
	} else {
		int rc = flush(track, flow);
		if (rc < 0) {
			return rc;
		}
	}
	cu_buf_clear(&track->buf);
	cu_connection_encode(&connection, &track->buf);
	if (track->buf.failed) {
		return CU_ERR_NOMEM;
	}
	if (flow->n_pending > 0) {
		drop_pending(track, flow);
	}
	return cu_writer_add(track->writer, CU_RECORD_CONNECTION, track->buf.data, track->buf.len);
}

/* ---- Leaving ---- */

/* Where the connection with this key is remembered when it leaves in mid-life. */
static uint64_t *left_place(struct cu_track *track, uint64_t hash)
{
	return &track->left[hash % CU_LEFT_CAP];
}

/*
 * Most leave in the order of a list, long after their last segment: meanwhile
 * the memory of those behind is sent for, which takes two steps for a timeline.
 */
static void send_for_next(const struct cu_track *track, const struct cu_flow *flow)
{
	if (flow->link.next == 0) {
		return;
	}
	const struct cu_flow *next = cu_table_at(&track->table, flow->link.next);
	for (size_t i = 0; i < CU_SPOOL_SMALL; i += CU_CACHE_LINE) {
		__builtin_prefetch(next->pending.data + i);
	}
	if (next->link.next != 0) {
		const struct cu_flow *after = cu_table_at(&track->table, next->link.next);
		cu_flow_prefetch(after, sizeof(*after));
	}
	cu_table_prefetch(&track->table, next->tag);
}

static int leave(struct cu_track *track, struct cu_flow *flow, enum cu_connection_end why)
{
	send_for_next(track, flow);
	int rc = write_flow(track, flow, why);
	if (rc < 0) {
		return rc;
	}
	if (why != CU_END_REUSED) {
		struct cu_key key;
		cu_flow_key(flow, &key);
		uint64_t hash = cu_key_hash(fixed_seed, &key);
		*left_place(track, hash) = hash;
	}
	cu_list_remove(&track->table, (enum cu_list_id)flow->list, flow);
	cu_table_remove(&track->table, flow);
	return 0;
}

/* To the end of a list, to be examined again when its turn comes. */
static void enlist(struct cu_track *track, struct cu_flow *flow, enum cu_list_id list, int64_t now_ns)
{
	flow->list = (uint8_t)list;
	flow->listed_ns = now_ns;
	cu_list_append(&track->table, list, flow);
}

static void enlist_again(struct cu_track *track, struct cu_flow *flow, enum cu_list_id list, int64_t now_ns)
{
	cu_list_remove(&track->table, (enum cu_list_id)flow->list, flow);
	enlist(track, flow, list, now_ns);
}

/*
 * Looks at the head of a list if it is there for longer than turn_ns: it leaves
 * when silent for longer than silence_ns. 1 when it was looked at.
 */
static int examine(struct cu_track *track, enum cu_list_id list, int64_t now_ns, int64_t turn_ns, int64_t silence_ns)
{
	struct cu_flow *flow = cu_list_head(&track->table, list);
	if (flow == NULL) {
		return 0;
	}
	int64_t age_ns = elapsed_ns(flow->listed_ns, now_ns); /* below zero: the clock was wrong then, or is now */
	if (age_ns >= 0 && age_ns <= turn_ns) {
		return 0;
	}
	if (elapsed_ns(flow->last_ns, now_ns) <= silence_ns) {
		enlist_again(track, flow, list, now_ns);
		return 1;
	}
	int rc = leave(track, flow, CU_END_IDLE);
	return rc < 0 ? rc : 1;
}

/* Lets connections leave that are over at this time. */
static int expire(struct cu_track *track, int64_t now_ns)
{
	/*
	 * The number looked at is bounded, also because one wrong time stamp must
	 * not end every connection. Silence is measured again when a segment comes,
	 * so that it does not matter for the records when a connection is looked at.
	 */
	int rc = 1;
	for (int i = 0; i < EXAMINED_CAP && rc > 0; i++) {
		if (track->table.lists[CU_LIST_FINISHED].n <= LINGER_FLOWS) {
			break;
		}
		rc = examine(track, CU_LIST_FINISHED, now_ns, LINGER_NS, LINGER_NS);
	}
	int64_t timeout_ns = track->idle_timeout_ns;
	for (int i = 0; i < EXAMINED_CAP && rc >= 0; i++) {
		rc = examine(track, CU_LIST_OPEN, now_ns, timeout_ns / 4, timeout_ns);
		if (rc == 0) {
			break;
		}
	}
	return rc < 0 ? rc : 0;
}

/* The table is full: the oldest finished connection leaves, or the oldest that was not used since its last turn. */
static int evict(struct cu_track *track)
{
	struct cu_flow *flow = cu_list_head(&track->table, CU_LIST_FINISHED);
	if (flow != NULL) {
		return leave(track, flow, CU_END_EVICTED);
	}
	flow = cu_list_head(&track->table, CU_LIST_OPEN);
	for (int i = 0; i < EVICT_TRIES && elapsed_ns(flow->listed_ns, flow->last_ns) > 0; i++) {
		enlist_again(track, flow, CU_LIST_OPEN, flow->last_ns);
		flow = cu_list_head(&track->table, CU_LIST_OPEN);
	}
	track->n_evicted++;
	return leave(track, flow, CU_END_EVICTED);
}

/* ---- Segments ---- */

static unsigned dir_of(const struct cu_flow *flow, bool from_lower)
{
	return from_lower == flow->client_is_lower ? CU_C2S : CU_S2C;
}

static bool is_syn(const struct cu_segment *segment)
{
	return (segment->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN;
}

static bool is_syn_ack(const struct cu_segment *segment)
{
	return (segment->flags & (CU_TCP_SYN | CU_TCP_ACK)) == (CU_TCP_SYN | CU_TCP_ACK);
}

/*
 * A SYN that the connection cannot have begun with, or a SYN-ACK that answers
 * another SYN, which was not captured. A SYN with the same number is a
 * retransmission; a SYN-ACK with another number may answer the same SYN.
 */
static bool is_reuse(const struct cu_flow *flow, unsigned dir, const struct cu_segment *segment)
{
	const struct cu_flow_side *from = &flow->side[dir], *to = &flow->side[!dir];
	if ((segment->flags & CU_TCP_SYN) == 0 || (from->marks & CU_SIDE_BASE) == 0 || segment->seq == from->base_seq) {
		return false;
	}
	return is_syn(segment) || ((to->marks & CU_SIDE_BASE) != 0 && (seq_diff(segment->ack, to->base_seq) <= 0 ||
	                                                               seq_diff(segment->ack, to->next_seq) > 0));
}

/*
 * The sequence number that a SYN of this connection has in each direction, as
 * tshark 4.0 keeps it: of the first segment, or the first acknowledgement in
 * the other direction, less one unless it was a SYN; a SYN-ACK overrides it.
 */
static void note_base_seq(struct cu_flow_side *from, struct cu_flow_side *to, const struct cu_segment *segment)
{
	if ((from->marks & CU_SIDE_BASE) == 0 || is_syn_ack(segment)) {
		from->base_seq = (segment->flags & CU_TCP_SYN) != 0 ? segment->seq : segment->seq - 1;
		from->marks |= CU_SIDE_BASE;
	}
	if ((to->marks & CU_SIDE_BASE) == 0 && (segment->flags & CU_TCP_ACK) != 0) {
		to->base_seq = segment->ack - 1;
		to->marks |= CU_SIDE_BASE;
	}
}

/* The client was guessed wrong: turns around what was kept. Nothing of it was written yet. */
static int turn_around(struct cu_track *track, struct cu_flow *flow)
{
	struct cu_flow_side side = flow->side[0];
	flow->side[0] = flow->side[1];
	flow->side[1] = side;
	flow->client_is_lower = !flow->client_is_lower;
	flow->reset_by_server = !flow->reset_by_server;
	if (flow->turn <= 1) {
		flow->turn ^= 1;
	}
	struct cu_buf *buf = &track->buf;
	cu_buf_clear(buf);
	cu_buf_add(buf, flow->pending.data, flow->pending.len);
	if (buf->failed) {
		return CU_ERR_NOMEM;
	}
	const struct cu_cursor segments = cu_cursor_make(buf->data, buf->len);
	struct cu_timeline_reader reader;
	cu_timeline_open(&reader, &flow->state.start, &segments);
	flow->pending.len = 0;
	flow->state = (struct cu_timeline_state){0};
	struct cu_segment segment;
	int rc;
	while ((rc = cu_timeline_next(&reader, &segment)) > 0) {
		segment.dir ^= 1;
		rc = append_tight(track, flow, &segment);
		if (rc < 0) {
			break;
		}
	}
	return rc;
}

/*
 * How a segment says by itself which end is the client, and whether that sent
 * it; CU_ROLE_GUESSED when it does not. Of the connections in public captures
 * whose SYN is there, the first hint was right of 3,003, wrong of 2: one through
 * a reverse proxy, and one with the same port at both ends.
 */
static enum cu_role_source tell_role(const struct cu_segment *segment, bool *from_client)
{
	*from_client = true;
	if (is_syn(segment)) {
		return CU_ROLE_SYN;
	}
	if (is_syn_ack(segment)) {
		*from_client = false;
		return CU_ROLE_SYN_ACK;
	}
	unsigned kind = segment->len > 0 ? segment->hint.kind : CU_HINT_NONE;
	*from_client = kind == CU_HINT_HTTP_REQUEST || kind == CU_HINT_TLS_CLIENT_HELLO;
	bool from_server = kind == CU_HINT_HTTP_RESPONSE || kind == CU_HINT_TLS_SERVER_HELLO;
	return *from_client || from_server ? CU_ROLE_HINT : CU_ROLE_GUESSED;
}

/*
 * A SYN, a SYN-ACK or a hint says who the client is; a guess that was wrong is
 * put right while that is possible, as is a hint by a SYN: no more than two
 * times in all.
 */
static int settle_role(struct cu_track *track, struct cu_flow *flow, const struct cu_sighting *sighting)
{
	static const uint8_t weight[] = {
		[CU_ROLE_GUESSED] = 0, [CU_ROLE_HINT] = 1, [CU_ROLE_SYN_ACK] = 2, [CU_ROLE_SYN] = 3};
	bool from_client;
	enum cu_role_source role = tell_role(&sighting->segment, &from_client);
	bool says_lower = from_client == sighting->from_lower;
	if (weight[role] <= weight[flow->role]) {
		return 0;
	}
	if (says_lower == flow->client_is_lower) {
		flow->role = (uint8_t)role;
		return 0;
	}
	if (flow->role == CU_ROLE_SYN_ACK || flow->was_flushed) {
		return 0;
	}
	flow->role = (uint8_t)role;
	return turn_around(track, flow);
}

/*
 * Whether the lower end is the client, by the first segment seen. Where it does
 * not say, a server's port is the smaller one: of two above 32767 that is right
 * of 3 in 5 connections, but who is seen to send data first in mid-life is the
 * client of 1 in 4 only, and of 5 in 6 when it is the connection's first data,
 * which is not to be told from here.
 */
static bool first_guess(const struct cu_sighting *sighting)
{
	bool from_client;
	if (tell_role(&sighting->segment, &from_client) != CU_ROLE_GUESSED) {
		return from_client == sighting->from_lower;
	}
	uint16_t lower_port = (uint16_t)(sighting->key.head[0] >> 48);
	uint16_t upper_port = (uint16_t)(sighting->key.head[0] >> 32);
	if (lower_port != upper_port) {
		return lower_port > upper_port;
	}
	return sighting->from_lower;
}

/* Says at once that a connection continues another, perhaps of the capture before: see flowrec(5). */
static int write_begin(struct cu_track *track, const struct cu_sighting *sighting, const struct cu_flow *flow)
{
	struct cu_connection connection = {.stream = flow->stream, .start_ns = flow->start_ns};
	fill_ends(track, flow, &sighting->key, &connection);
	cu_buf_clear(&track->buf);
	cu_connection_encode(&connection, &track->buf);
	if (track->buf.failed) {
		return CU_ERR_NOMEM;
	}
	return cu_writer_add(track->writer, CU_RECORD_BEGIN, track->buf.data, track->buf.len);
}

/* A new connection. */
static int begin(struct cu_track *track, const struct cu_sighting *sighting, struct cu_flow **begun)
{
	if (track->table.index.n >= track->flows_cap) {
		int rc = evict(track);
		if (rc < 0) {
			return rc;
		}
	}
	struct cu_flow *flow = cu_table_add(&track->table, sighting->tag, &sighting->key);
	*begun = flow;
	if (flow == NULL) {
		return CU_ERR_NOMEM;
	}
	flow->stream = track->n_streams++;
	flow->start_ns = sighting->segment.time_ns;
	flow->first_frame = sighting->segment.frame;
	flow->first_file = sighting->segment.file;
	flow->client_is_lower = first_guess(sighting);
	flow->turn = 2;
	enlist(track, flow, CU_LIST_OPEN, sighting->segment.time_ns);
	if (!is_syn(&sighting->segment)) {
		uint64_t hash = cu_key_hash(fixed_seed, &sighting->key);
		uint64_t *place = left_place(track, hash);
		flow->continued = *place == hash;
		*place = 0;
		return write_begin(track, sighting, flow);
	}
	return 0;
}

static bool names_protocol(unsigned kind)
{
	return kind == CU_HINT_HTTP_REQUEST || kind == CU_HINT_HTTP_RESPONSE || kind == CU_HINT_TLS_CLIENT_HELLO ||
	       kind == CU_HINT_TLS_SERVER_HELLO || kind == CU_HINT_SSH_BANNER;
}

/*
 * Whether a segment's hint is worth its bytes: at the start of a turn, that is
 * the first data after the other side sent some; later in a turn when its start
 * was lost; each HTTP request and response; records of a TLS handshake, and
 * alerts. Keeps count of turns.
 */
static bool wants_hint(struct cu_flow *flow, const struct cu_segment *segment)
{
	unsigned dir = segment->dir;
	unsigned kind = segment->hint.kind;
	const struct cu_flow_side *side = &flow->side[dir];
	bool is_new = (side->marks & CU_SIDE_SEEN) == 0 || seq_diff(segment->seq + segment->len, side->next_seq) > 0;
	bool begins_turn = is_new && flow->turn != dir;
	if (begins_turn) {
		flow->turn = (uint8_t)dir;
		flow->turn_hinted = false;
	}
	if (kind == CU_HINT_NONE) {
		return false;
	}
	bool wanted = begins_turn;
	if ((flow->turn == dir && !flow->turn_hinted && names_protocol(kind)) ||
	    (is_new && (kind == CU_HINT_HTTP_REQUEST || kind == CU_HINT_HTTP_RESPONSE))) {
		/* pipelined, or the other side was not captured; or an answer to nothing: 408 */
		wanted = true;
	} else if (is_new && (kind == CU_HINT_TLS_SERVER_HELLO || kind == CU_HINT_TLS_HANDSHAKE)) {
		wanted = wanted || flow->tls_handshake;
	} else if (is_new && kind == CU_HINT_TLS_ALERT) {
		wanted = wanted || flow->tls;
	}
	if (!wanted) {
		return false;
	}
	flow->turn_hinted = true;
	if (kind == CU_HINT_TLS_CLIENT_HELLO || kind == CU_HINT_TLS_SERVER_HELLO) {
		flow->tls = true;
		flow->tls_handshake = true;
	} else if (kind == CU_HINT_TLS_DATA) {
		flow->tls = true;
		flow->tls_handshake = false;
	}
	return true;
}

/* A hint that tells who the client is: the segment itself may turn around, too. */
static __attribute__((noinline)) int heed_hint(struct cu_track *track, struct cu_flow *flow,
                                               struct cu_sighting *sighting)
{
	int rc = settle_role(track, flow, sighting);
	sighting->segment.dir = (uint8_t)dir_of(flow, sighting->from_lower);
	return rc;
}

/* Drops a hint that is not wanted. What is none already is not written again: the encoder reads it at once, with others. */
static inline int take_hint(struct cu_track *track, struct cu_flow *flow, struct cu_sighting *sighting)
{
	struct cu_segment *segment = &sighting->segment;
	if (segment->len == 0) {
		return 0;
	}
	if (wants_hint(flow, segment)) {
		return flow->role == CU_ROLE_GUESSED ? heed_hint(track, flow, sighting) : 0;
	}
	if (segment->hint.kind != CU_HINT_NONE) {
		segment->hint.kind = CU_HINT_NONE;
	}
	return 0;
}

/*
 * Whether a SYN says where its side's numbers begin: its first, and a SYN-ACK
 * with another number, as who keeps no state sends (RFC 4987 section 3.6), as
 * long as no number of its side was acknowledged or used.
 */
static bool begins_side(const struct cu_flow *flow, unsigned dir)
{
	const struct cu_flow_side *side = &flow->side[dir];
	bool answered = (flow->state.known >> !dir & 1) != 0 && flow->state.dir[!dir].ack == side->isn + 1;
	return (side->marks & CU_SIDE_SYN) == 0 || (side->n_bytes == 0 && !answered);
}

/* The first segment of a side, SYN, FIN and RST: what they tell of their sender. */
static void note_stage(struct cu_flow *flow, const struct cu_sighting *sighting)
{
	const struct cu_segment *segment = &sighting->segment;
	struct cu_flow_side *side = &flow->side[segment->dir];
	note_base_seq(side, &flow->side[!segment->dir], segment);
	if (side->n_segments == 0) {
		side->isn = segment->seq;
		side->ttl = segment->ttl;
	}
	if ((segment->flags & CU_TCP_RST) != 0) {
		/* its sequence number may be any (RFC 9293 section 3.10.7.1): it counts for nothing else */
		if (!flow->reset && !both_fins(flow)) {
			flow->reset = true;
			flow->reset_by_server = segment->dir == CU_S2C;
			side->fin_end = (side->marks & CU_SIDE_FIN) != 0 ? side->fin_end : segment->seq;
		}
		return;
	}
	if ((segment->flags & CU_TCP_SYN) != 0 && begins_side(flow, segment->dir)) {
		side->marks |= CU_SIDE_SYN;
		side->isn = segment->seq;
		side->syn = sighting->syn;
		side->next_seq = segment->seq;
	}
	if ((side->marks & CU_SIDE_SEEN) == 0) {
		side->marks |= CU_SIDE_SEEN;
		side->next_seq = segment->seq;
	}
	if ((segment->flags & CU_TCP_FIN) != 0) {
		side->marks |= CU_SIDE_FIN;
		side->fin_end = segment->seq + segment->len + 1;
	}
}

/*
 * A finished connection that goes on: its SYN is sent again after a RST, as
 * Windows does, or the sender of the RST sends data beyond it.
 */
static void revive(struct cu_track *track, struct cu_flow *flow, const struct cu_segment *segment)
{
	const struct cu_flow_side *side = &flow->side[segment->dir];
	bool went_on = flow->reset && flow->reset_by_server == (segment->dir == CU_S2C) && segment->len > 0 &&
	               (segment->flags & CU_TCP_RST) == 0 && seq_diff(segment->seq, side->fin_end) >= 0;
	if (!is_syn(segment) && !went_on) {
		return;
	}
	flow->reset = false;
	flow->side[0].marks &= (uint8_t) ~(CU_SIDE_FIN | CU_SIDE_FIN_ACKED);
	flow->side[1].marks &= (uint8_t) ~(CU_SIDE_FIN | CU_SIDE_FIN_ACKED);
	enlist_again(track, flow, CU_LIST_OPEN, segment->time_ns);
}

static bool both_fins_acked(const struct cu_flow *flow)
{
	return (flow->side[0].marks & flow->side[1].marks & CU_SIDE_FIN_ACKED) != 0;
}

/* One more segment of a side, whose numbers end there. */
static inline void count(struct cu_flow *flow, struct cu_flow_side *side, const struct cu_segment *segment,
                         uint32_t end)
{
	if (seq_diff(end, side->next_seq) > 0) {
		side->next_seq = end;
	}
	side->n_segments++;
	side->n_bytes += segment->len;
	flow->last_ns = segment->time_ns;
	flow->last_frame = segment->frame;
	flow->last_file = segment->file;
}

enum { STAGES = CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST };

/* Counts the segment to its connection; returns whether that is over now. */
static bool note_segment(struct cu_flow *flow, const struct cu_sighting *sighting)
{
	const struct cu_segment *segment = &sighting->segment;
	struct cu_flow_side *from = &flow->side[segment->dir];
	struct cu_flow_side *to = &flow->side[!segment->dir];
	const unsigned known = CU_SIDE_BASE | CU_SIDE_SEEN;
	uint32_t end = segment->seq + segment->len;
	if ((segment->flags & STAGES) != 0 || (from->marks & known) != known || (to->marks & CU_SIDE_BASE) == 0) {
		note_stage(flow, sighting);
		end += (segment->flags & CU_TCP_SYN) != 0;
		end += (segment->flags & CU_TCP_FIN) != 0;
		bool begins_elsewhere = (segment->flags & CU_TCP_SYN) != 0 && segment->seq != from->isn;
		if ((segment->flags & CU_TCP_RST) != 0 || begins_elsewhere) {
			end = from->next_seq;
		}
	}
	count(flow, from, segment, end);
	if ((to->marks & CU_SIDE_FIN) != 0 && (segment->flags & CU_TCP_ACK) != 0 &&
	    seq_diff(segment->ack, to->fin_end) >= 0) {
		to->marks |= CU_SIDE_FIN_ACKED;
		return both_fins_acked(flow);
	}
	return (segment->flags & CU_TCP_RST) != 0;
}

static inline struct cu_flow *find(const struct cu_track *track, const struct cu_sighting *sighting)
{
	struct cu_flow *guess = sighting->guess;
	if (guess != NULL && cu_flow_has_key(guess, &sighting->key)) {
		return guess;
	}
	return cu_table_find(&track->table, sighting->tag, &sighting->key);
}

/* The connection that the segment belongs to, which may begin with it. */
static int find_or_begin(struct cu_track *track, const struct cu_sighting *sighting, struct cu_flow **found)
{
	struct cu_flow *flow = find(track, sighting);
	if (flow != NULL) {
		enum cu_connection_end why;
		if (elapsed_ns(flow->last_ns, sighting->segment.time_ns) > track->idle_timeout_ns) {
			why = CU_END_IDLE;
		} else if (is_reuse(flow, dir_of(flow, sighting->from_lower), &sighting->segment)) {
			why = CU_END_REUSED;
		} else {
			*found = flow;
			return 0;
		}
		int rc = leave(track, flow, why);
		if (rc < 0) {
			return rc;
		}
	}
	return begin(track, sighting, found);
}

/* Both sides are known, and neither has ended. */
static bool is_in_mid_life(const struct cu_flow *flow)
{
	const unsigned known = CU_SIDE_BASE | CU_SIDE_SEEN;
	unsigned lower = flow->side[0].marks, upper = flow->side[1].marks;
	return flow->list == CU_LIST_OPEN && (lower & upper & known) == known && ((lower | upper) & CU_SIDE_FIN) == 0;
}

/* A segment that may begin its connection, or end it, or come after its end. */
static __attribute__((noinline)) int put_any(struct cu_track *track, struct cu_sighting *sighting)
{
	struct cu_segment *segment = &sighting->segment;
	struct cu_flow *flow;
	int rc = find_or_begin(track, sighting, &flow);
	if (rc == 0 && (segment->flags & CU_TCP_SYN) != 0) {
		rc = settle_role(track, flow, sighting);
	}
	if (rc < 0) {
		return rc;
	}
	segment->dir = (uint8_t)dir_of(flow, sighting->from_lower);
	rc = take_hint(track, flow, sighting);
	if (rc < 0) {
		return rc;
	}
	if (flow->list == CU_LIST_FINISHED) {
		revive(track, flow, segment);
	}
	bool is_over = note_segment(flow, sighting);
	flow->n_fragments += sighting->n_fragments;
	rc = append(track, flow, segment);
	if (rc == 0 && is_over && flow->list == CU_LIST_OPEN) {
		enlist_again(track, flow, CU_LIST_FINISHED, segment->time_ns);
	}
	flow->is_steady = is_in_mid_life(flow);
	return rc;
}

/* The same; nearly all segments come in mid-life, and do none of that. */
static inline int put_tcp(struct cu_track *track, struct cu_sighting *sighting)
{
	struct cu_segment *segment = &sighting->segment;
	struct cu_flow *flow = sighting->guess;
	if (flow == NULL || !cu_flow_has_key(flow, &sighting->key) || !flow->is_steady ||
	    (segment->flags & STAGES) != 0 || elapsed_ns(flow->last_ns, segment->time_ns) > track->idle_timeout_ns) {
		return put_any(track, sighting);
	}
	segment->dir = (uint8_t)dir_of(flow, sighting->from_lower);
	int rc = take_hint(track, flow, sighting);
	if (rc < 0) {
		return rc;
	}
	count(flow, &flow->side[segment->dir], segment, segment->seq + segment->len);
	flow->n_fragments += sighting->n_fragments;
	return append(track, flow, segment);
}

static int put_icmp(struct cu_track *track, struct cu_sighting *sighting)
{
	struct cu_flow *flow = find(track, sighting);
	if (flow == NULL) {
		track->n_strays++;
		return 0;
	}
	flow->n_fragments += sighting->n_fragments;
	sighting->segment.dir = (uint8_t)dir_of(flow, sighting->from_lower);
	return append(track, flow, &sighting->segment);
}

/* The time by which connections are over: one damaged time stamp far ahead does not end the others. */
static int64_t earliest(const struct cu_sighting *sightings, size_t n)
{
	int64_t time_ns = sightings[0].segment.time_ns;
	for (size_t i = 1; i < n; i++) {
		time_ns = sightings[i].segment.time_ns < time_ns ? sightings[i].segment.time_ns : time_ns;
	}
	return time_ns;
}

int cu_track_put(struct cu_track *track, struct cu_sighting *sightings, size_t n)
{
	/* A guess may be wrong by the time it is needed: it only says whose memory to send for. */
	for (size_t i = 0; i < n; i++) {
		sightings[i].guess = cu_table_guess(&track->table, sightings[i].tag);
		if (sightings[i].guess != NULL) {
			cu_flow_prefetch(sightings[i].guess, CU_FLOW_HOT_BYTES);
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct cu_flow *flow = sightings[i].guess;
		if (flow != NULL && flow->pending.data != NULL) {
			__builtin_prefetch(flow->pending.data + flow->pending.len, 1);
		}
	}
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = sightings[i].segment.icmp ? put_icmp(track, &sightings[i]) : put_tcp(track, &sightings[i]);
	}
	return n > 0 && rc == 0 ? expire(track, earliest(sightings, n)) : rc;
}

/* ---- The end ---- */

static int compare_streams(const void *a, const void *b)
{
	const struct cu_flow *const *x = a;
	const struct cu_flow *const *y = b;
	return (*x)->stream < (*y)->stream ? -1 : (*x)->stream > (*y)->stream;
}

int cu_track_finish(struct cu_track *track)
{
	struct cu_table *table = &track->table;
	struct cu_flow **flows = calloc((size_t)table->index.n + 1, sizeof(struct cu_flow *));
	if (flows == NULL) {
		return CU_ERR_NOMEM;
	}
	size_t n = 0;
	for (uint32_t ref = 1; ref <= table->n_fresh; ref++) {
		struct cu_flow *flow = cu_table_at(table, ref);
		if (flow->key_head[0] != 0) {
			flows[n++] = flow;
		}
	}
	qsort(flows, n, sizeof(struct cu_flow *), compare_streams);
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = write_flow(track, flows[i], CU_END_OPEN);
	}
	free(flows);
	return rc;
}
