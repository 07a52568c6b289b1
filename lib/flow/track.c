#include "lib/flow/track.h"

#include <stdlib.h>
#include <string.h>

enum {
	/*
	 * A chunk is written when it has this many bytes. Its first segments cost
	 * about 40 bytes more than later ones: a third of a percent here.
	 */
	CHUNK_BYTES = 12 * 1024,
	/* By default: see flowify.h. */
	FLOWS_CAP = 1 << 22,
	PENDING_BYTES = 48 << 20,
	/*
	 * Finished connections stay for late segments, and small captures are
	 * numbered as tshark does whatever comes late. Beyond this many they leave
	 * after LINGER_NS, so that the table of a large capture stays in the cache.
	 */
	LINGER_FLOWS = 4096,
	/* Heads of a list looked at in one cu_track_expire: twice what can join between two. */
	EXAMINED_CAP = 64,
	/* Connections passed over in the search for one that may be evicted. */
	EVICT_TRIES = 16,
	FLOWS_CAP_MIN = 16,
};

/* Longer than the usual last retransmissions of a FIN; perf figures: half the time of keeping all. */
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
	track->ignore_vlan = config->ignore_vlan;
	track->idle_timeout_ns = config->idle_timeout_ns > 0 ? config->idle_timeout_ns : CU_IDLE_TIMEOUT_NS;
	track->flows_cap = FLOWS_CAP;
	track->spare_blocks = PENDING_BYTES / CU_CHAIN_BLOCK;
	if (config->memory_bytes > 0) {
		/* half for connections, each with a block and its part of the slots */
		uint64_t n_flows = config->memory_bytes / 2 / (sizeof(struct cu_flow) + CU_CHAIN_BLOCK + 32);
		n_flows = n_flows > FLOWS_CAP_MIN ? n_flows : FLOWS_CAP_MIN;
		track->flows_cap = n_flows < UINT32_MAX / 4 ? (uint32_t)n_flows : UINT32_MAX / 4;
		uint64_t n_blocks = config->memory_bytes / 2 / CU_CHAIN_BLOCK;
		track->spare_blocks = n_blocks < UINT32_MAX / 4 ? (uint32_t)n_blocks : UINT32_MAX / 4;
	}
	return cu_table_init(&track->table);
}

void cu_track_release(struct cu_track *track)
{
	cu_table_release(&track->table);
	cu_chain_pool_release(&track->chains);
	cu_buf_release(&track->buf);
}

/* ---- Writing ---- */

/* The pending segments become a chunk record. */
static int flush(struct cu_track *track, uint32_t ref)
{
	struct cu_flow *flow = cu_table_at(&track->table, ref);
	if (flow->n_pending == 0) {
		return 0;
	}
	struct cu_buf *buf = &track->buf;
	cu_buf_clear(buf);
	cu_chunk_begin(flow->stream, flow->n_pending, buf);
	if (!cu_buf_reserve(buf, flow->pending.len) || buf->failed) {
		return CU_ERR_NOMEM;
	}
	cu_chain_copy(&track->chains, &flow->pending, buf->data + buf->len);
	buf->len += flow->pending.len;
	cu_chain_clear(&track->chains, &flow->pending);
	cu_list_remove(&track->table, CU_LIST_PENDING, ref);
	flow->n_pending = 0;
	flow->was_flushed = true;
	flow->state = (struct cu_timeline_state){0};
	return cu_writer_add(track->writer, CU_RECORD_CHUNK, buf->data, buf->len);
}

static int append(struct cu_track *track, uint32_t ref, const struct cu_segment *segment)
{
	struct cu_flow *flow = cu_table_at(&track->table, ref);
	uint8_t bytes[CU_SEGMENT_ENCODED_CAP];
	size_t len = cu_timeline_encode(&flow->state, segment, bytes);
	int rc = cu_chain_add(&track->chains, &flow->pending, bytes, len);
	if (rc < 0) {
		return rc;
	}
	if (flow->n_pending++ == 0) {
		cu_list_append(&track->table, CU_LIST_PENDING, ref);
	}
	if (flow->pending.len >= CHUNK_BYTES) {
		rc = flush(track, ref);
	}
	while (rc == 0 && track->chains.n_used > track->spare_blocks + track->table.n) {
		rc = flush(track, track->table.lists[CU_LIST_PENDING].head);
	}
	return rc;
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

static int write_connection(struct cu_track *track, const struct cu_flow *flow, enum cu_connection_end end)
{
	struct cu_key key;
	cu_flow_key(flow, &key);
	struct cu_addr addr[2];
	uint16_t port[2];
	cu_key_ends(&key, addr, port);
	unsigned client = flow->client_is_lower ? 0 : 1;
	struct cu_connection connection = {
		.stream = flow->stream,
		.client = addr[client],
		.server = addr[1 - client],
		.client_port = port[client],
		.server_port = port[1 - client],
		.role = flow->role,
		.end = (uint8_t)end,
		.continued = flow->continued,
		.start_ns = flow->start_ns,
		.end_ns = flow->last_ns,
		.first_frame = flow->first_frame,
		.last_frame = flow->last_frame,
		.first_file = flow->first_file,
		.last_file = flow->last_file,
		.n_fragments = flow->n_fragments,
	};
	connection.n_ids = cu_key_ids(&key, connection.ids);
	fill_side(&flow->side[CU_C2S], &connection.side[CU_C2S]);
	fill_side(&flow->side[CU_S2C], &connection.side[CU_S2C]);
	cu_buf_clear(&track->buf);
	cu_connection_encode(&connection, &track->buf);
	if (track->buf.failed) {
		return CU_ERR_NOMEM;
	}
	return cu_writer_add(track->writer, CU_RECORD_CONNECTION, track->buf.data, track->buf.len);
}

/* Writes what there is of a connection. How it ended weighs more than why it leaves. */
static int write_flow(struct cu_track *track, uint32_t ref, enum cu_connection_end why)
{
	int rc = flush(track, ref);
	if (rc < 0) {
		return rc;
	}
	const struct cu_flow *flow = cu_table_at(&track->table, ref);
	if (flow->reset) {
		why = CU_END_RESET;
	} else if (both_fins(flow)) {
		why = CU_END_CLOSED;
	}
	return write_connection(track, flow, why);
}

/* ---- Leaving ---- */

/* Where the connection with this key is remembered when it leaves in mid-life. */
static uint64_t *left_place(struct cu_track *track, uint64_t hash)
{
	return &track->left[hash % CU_LEFT_CAP];
}

static int leave(struct cu_track *track, uint32_t ref, enum cu_connection_end why)
{
	int rc = write_flow(track, ref, why);
	if (rc < 0) {
		return rc;
	}
	struct cu_flow *flow = cu_table_at(&track->table, ref);
	if (why != CU_END_REUSED) {
		struct cu_key key;
		cu_flow_key(flow, &key);
		uint64_t hash = cu_key_hash(fixed_seed, &key);
		*left_place(track, hash) = hash;
	}
	cu_list_remove(&track->table, (enum cu_list_id)flow->list, ref);
	cu_table_remove(&track->table, ref);
	return 0;
}

/* To the end of a list, to be examined again when its turn comes. */
static void enlist(struct cu_track *track, uint32_t ref, enum cu_list_id list, int64_t now_ns)
{
	struct cu_flow *flow = cu_table_at(&track->table, ref);
	flow->list = (uint8_t)list;
	flow->listed_ns = now_ns;
	cu_list_append(&track->table, list, ref);
}

static void enlist_again(struct cu_track *track, uint32_t ref, enum cu_list_id list, int64_t now_ns)
{
	cu_list_remove(&track->table, (enum cu_list_id)cu_table_at(&track->table, ref)->list, ref);
	enlist(track, ref, list, now_ns);
}

/*
 * Looks at the head of a list if it is there for longer than turn_ns: it leaves
 * when silent for longer than silence_ns. 1 when it was looked at.
 */
static int examine(struct cu_track *track, enum cu_list_id list, int64_t now_ns, int64_t turn_ns, int64_t silence_ns)
{
	uint32_t ref = track->table.lists[list].head;
	if (ref == 0) {
		return 0;
	}
	const struct cu_flow *flow = cu_table_at(&track->table, ref);
	if (elapsed_ns(flow->listed_ns, now_ns) <= turn_ns) {
		return 0;
	}
	if (elapsed_ns(flow->last_ns, now_ns) <= silence_ns) {
		enlist_again(track, ref, list, now_ns);
		return 1;
	}
	int rc = leave(track, ref, CU_END_IDLE);
	return rc < 0 ? rc : 1;
}

int cu_track_expire(struct cu_track *track, int64_t now_ns)
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
	const struct cu_flow_list *lists = track->table.lists;
	if (lists[CU_LIST_FINISHED].head != 0) {
		return leave(track, lists[CU_LIST_FINISHED].head, CU_END_EVICTED);
	}
	uint32_t ref = lists[CU_LIST_OPEN].head;
	for (int i = 0; i < EVICT_TRIES; i++) {
		int64_t last_ns = cu_table_at(&track->table, ref)->last_ns;
		if (elapsed_ns(cu_table_at(&track->table, ref)->listed_ns, last_ns) <= 0) {
			break;
		}
		enlist_again(track, ref, CU_LIST_OPEN, last_ns);
		ref = lists[CU_LIST_OPEN].head;
	}
	track->n_evicted++;
	return leave(track, ref, CU_END_EVICTED);
}

/* ---- Segments ---- */

static unsigned dir_of(const struct cu_flow *flow, bool from_lower)
{
	return from_lower == flow->client_is_lower ? CU_C2S : CU_S2C;
}

static bool is_syn(const struct cu_tcp *tcp)
{
	return (tcp->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN;
}

static bool is_syn_ack(const struct cu_tcp *tcp)
{
	return (tcp->flags & (CU_TCP_SYN | CU_TCP_ACK)) == (CU_TCP_SYN | CU_TCP_ACK);
}

/* A SYN that the connection cannot have begun with. One with the same number is a retransmission. */
static bool is_reuse(const struct cu_flow_side *side, const struct cu_tcp *tcp)
{
	return is_syn(tcp) && (side->marks & CU_SIDE_BASE) != 0 && tcp->seq != side->base_seq;
}

/*
 * The sequence number that a SYN of this connection has in each direction, as
 * tshark 4.0 keeps it: of the first segment, or the first acknowledgement in
 * the other direction, less one unless it was a SYN; a SYN-ACK overrides it.
 */
static void note_base_seq(struct cu_flow *flow, unsigned dir, const struct cu_tcp *tcp)
{
	struct cu_flow_side *from = &flow->side[dir];
	struct cu_flow_side *to = &flow->side[1 - dir];
	if (tcp->first_fragment) {
		return;
	}
	if ((from->marks & CU_SIDE_BASE) == 0 || is_syn_ack(tcp)) {
		from->base_seq = (tcp->flags & CU_TCP_SYN) != 0 ? tcp->seq : tcp->seq - 1;
		from->marks |= CU_SIDE_BASE;
	}
	if ((to->marks & CU_SIDE_BASE) == 0 && (tcp->flags & CU_TCP_ACK) != 0) {
		to->base_seq = tcp->ack - 1;
		to->marks |= CU_SIDE_BASE;
	}
}

/* The client was guessed wrong: turns around what was kept. Nothing of it was written yet. */
static int turn_around(struct cu_track *track, uint32_t ref)
{
	struct cu_flow *flow = cu_table_at(&track->table, ref);
	struct cu_flow_side side = flow->side[0];
	flow->side[0] = flow->side[1];
	flow->side[1] = side;
	flow->client_is_lower = !flow->client_is_lower;
	if (flow->turn <= 1) {
		flow->turn ^= 1;
	}
	struct cu_buf *buf = &track->buf;
	cu_buf_clear(buf);
	if (!cu_buf_reserve(buf, flow->pending.len)) {
		return CU_ERR_NOMEM;
	}
	cu_chain_copy(&track->chains, &flow->pending, buf->data);
	struct cu_cursor cur = cu_cursor_make(buf->data, flow->pending.len);
	cu_chain_clear(&track->chains, &flow->pending);
	flow->state = (struct cu_timeline_state){0};
	struct cu_timeline_state state = {0};
	struct cu_segment segment;
	int rc;
	while ((rc = cu_timeline_decode(&state, &cur, &segment)) > 0) {
		segment.dir ^= 1;
		uint8_t bytes[CU_SEGMENT_ENCODED_CAP];
		size_t len = cu_timeline_encode(&flow->state, &segment, bytes);
		rc = cu_chain_add(&track->chains, &flow->pending, bytes, len);
		if (rc < 0) {
			break;
		}
	}
	return rc;
}

/* A SYN or SYN-ACK says who the client is; a guess that was wrong is put right while that is possible. */
static int settle_role(struct cu_track *track, uint32_t ref, bool from_lower, const struct cu_tcp *tcp)
{
	struct cu_flow *flow = cu_table_at(&track->table, ref);
	enum cu_role_source role = is_syn(tcp) ? CU_ROLE_SYN : CU_ROLE_SYN_ACK;
	bool says_lower = is_syn(tcp) ? from_lower : !from_lower;
	if (says_lower == flow->client_is_lower) {
		if (flow->role != CU_ROLE_SYN) {
			flow->role = (uint8_t)role;
		}
		return 0;
	}
	if (flow->role != CU_ROLE_GUESSED || flow->was_flushed) {
		return 0;
	}
	flow->role = (uint8_t)role;
	return turn_around(track, ref);
}

/* Whether the lower end is the client, by the first segment seen. */
static bool first_guess(const struct cu_sighting *sighting)
{
	const struct cu_flow_key *flow = &sighting->content.tcp.key;
	if (is_syn(&sighting->content.tcp)) {
		return sighting->from_lower;
	}
	if (is_syn_ack(&sighting->content.tcp) || flow->src_port < flow->dst_port) {
		return !sighting->from_lower; /* a server's port is the lower one, as a rule */
	}
	return sighting->from_lower;
}

/* A new connection: its ref in *ref. */
static int begin(struct cu_track *track, const struct cu_sighting *sighting, uint32_t *ref)
{
	if (track->table.n >= track->flows_cap) {
		int rc = evict(track);
		if (rc < 0) {
			return rc;
		}
	}
	*ref = cu_table_add(&track->table, sighting->tag, &sighting->key);
	if (*ref == 0) {
		return CU_ERR_NOMEM;
	}
	struct cu_flow *flow = cu_table_at(&track->table, *ref);
	flow->stream = track->n_streams++;
	flow->start_ns = sighting->time_ns;
	flow->first_frame = sighting->frame;
	flow->first_file = sighting->file;
	flow->client_is_lower = first_guess(sighting);
	flow->turn = 2;
	enlist(track, *ref, CU_LIST_OPEN, sighting->time_ns);
	if (!is_syn(&sighting->content.tcp)) {
		uint64_t hash = cu_key_hash(fixed_seed, &sighting->key);
		uint64_t *place = left_place(track, hash);
		flow->continued = *place == hash;
		*place = 0;
	}
	return 0;
}

static bool names_protocol(uint8_t kind)
{
	return kind == CU_HINT_HTTP_REQUEST || kind == CU_HINT_HTTP_RESPONSE || kind == CU_HINT_TLS_CLIENT_HELLO ||
	       kind == CU_HINT_TLS_SERVER_HELLO || kind == CU_HINT_SSH_BANNER;
}

/*
 * Whether a segment's hint is worth its bytes: at the start of a turn, that is
 * the first data after the other side sent some; later in a turn when its start
 * was lost; records of a TLS handshake, and alerts. Keeps count of turns.
 */
static bool wants_hint(struct cu_flow *flow, unsigned dir, const struct cu_tcp *tcp, uint8_t kind)
{
	const struct cu_flow_side *side = &flow->side[dir];
	bool is_new = (side->marks & CU_SIDE_SEEN) == 0 ||
	              seq_diff(tcp->seq + tcp->payload_len, side->next_seq) > 0;
	bool begins_turn = is_new && flow->turn != dir;
	if (begins_turn) {
		flow->turn = (uint8_t)dir;
		flow->turn_hinted = false;
	}
	if (kind == CU_HINT_NONE) {
		return false;
	}
	bool wanted = begins_turn;
	if (flow->turn == dir && !flow->turn_hinted && names_protocol(kind)) {
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
		flow->tls_handshake = false;
	}
	return true;
}

/* What the segment tells of its sender. */
static void note_sender(struct cu_flow *flow, struct cu_flow_side *side, const struct cu_tcp *tcp)
{
	if (side->n_segments++ == 0) {
		side->isn = tcp->seq;
		side->ttl = tcp->ttl;
	}
	if ((tcp->flags & CU_TCP_RST) != 0) {
		side->n_bytes += tcp->payload_len;
		flow->reset = flow->reset || !both_fins(flow);
		return; /* its sequence number may be any (RFC 9293 section 3.10.7.1) */
	}
	uint32_t end = tcp->seq + tcp->payload_len;
	if ((tcp->flags & (CU_TCP_SYN | CU_TCP_FIN)) != 0) {
		if ((tcp->flags & CU_TCP_SYN) != 0) {
			end++;
			if ((side->marks & CU_SIDE_SYN) == 0 || (is_syn_ack(tcp) && side->n_bytes == 0)) {
				side->marks |= CU_SIDE_SYN;
				side->isn = tcp->seq;
				side->syn = tcp->syn;
				side->next_seq = end;
			}
		}
		if ((tcp->flags & CU_TCP_FIN) != 0) {
			end++;
			side->marks |= CU_SIDE_FIN;
			side->fin_end = end;
		}
	}
	side->n_bytes += tcp->payload_len;
	if ((side->marks & CU_SIDE_SEEN) == 0 || seq_diff(end, side->next_seq) > 0) {
		side->marks |= CU_SIDE_SEEN;
		side->next_seq = end;
	}
}

static bool is_finished(const struct cu_flow *flow)
{
	return flow->reset || (flow->side[0].marks & flow->side[1].marks & CU_SIDE_FIN_ACKED) != 0;
}

static void fill_segment(const struct cu_sighting *sighting, unsigned dir, struct cu_segment *segment)
{
	const struct cu_tcp *tcp = &sighting->content.tcp;
	segment->time_ns = sighting->time_ns;
	segment->frame = sighting->frame;
	segment->file = sighting->file;
	segment->dir = (uint8_t)dir;
	segment->ttl = tcp->ttl;
	segment->flags = tcp->flags;
	segment->window = tcp->window;
	segment->ip_id = tcp->ip_id;
	segment->n_sack = tcp->n_sack;
	segment->has_timestamps = tcp->has_timestamps;
	segment->seq = tcp->seq;
	segment->ack = tcp->ack;
	segment->len = tcp->payload_len;
	segment->tsval = tcp->tsval;
	segment->tsecr = tcp->tsecr;
	if (tcp->n_sack > 0) {
		memcpy(segment->sack, tcp->sack, sizeof(segment->sack));
	}
	segment->icmp = false;
	segment->hint.kind = CU_HINT_NONE;
	segment->hint.text_len = 0;
}

static void remember_fragmented(struct cu_track *track, const struct cu_sighting *sighting, uint32_t ref)
{
	struct cu_flow_key addresses = sighting->content.tcp.key;
	addresses.src_port = addresses.dst_port = 0;
	struct cu_fragmented entry = {.stream = cu_table_at(&track->table, ref)->stream, .ref = ref};
	cu_key_make(&addresses, track->ignore_vlan, &entry.key);
	track->fragmented[cu_key_hash(fixed_seed, &entry.key) % CU_FRAGMENTED_CAP] = entry;
}

static uint32_t find(const struct cu_track *track, const struct cu_sighting *sighting)
{
	uint32_t ref = sighting->guess;
	if (ref != 0 && cu_flow_has_key(cu_table_at(&track->table, ref), &sighting->key)) {
		return ref;
	}
	return cu_table_find(&track->table, sighting->tag, &sighting->key);
}

/* The connection that the segment belongs to, which may begin with it. */
static int find_or_begin(struct cu_track *track, const struct cu_sighting *sighting, uint32_t *ref)
{
	*ref = find(track, sighting);
	if (*ref != 0) {
		const struct cu_flow *flow = cu_table_at(&track->table, *ref);
		enum cu_connection_end why = CU_END_OPEN;
		if (is_reuse(&flow->side[dir_of(flow, sighting->from_lower)], &sighting->content.tcp)) {
			why = CU_END_REUSED;
		} else if (elapsed_ns(flow->last_ns, sighting->time_ns) > track->idle_timeout_ns) {
			why = CU_END_IDLE;
		}
		if (why == CU_END_OPEN) {
			return 0;
		}
		int rc = leave(track, *ref, why);
		if (rc < 0) {
			return rc;
		}
	}
	return begin(track, sighting, ref);
}

static int put_tcp(struct cu_track *track, const struct cu_sighting *sighting)
{
	const struct cu_tcp *tcp = &sighting->content.tcp;
	uint32_t ref;
	int rc = find_or_begin(track, sighting, &ref);
	if (rc < 0) {
		return rc;
	}
	struct cu_flow *flow = cu_table_at(&track->table, ref);
	if ((tcp->flags & CU_TCP_SYN) != 0) {
		rc = settle_role(track, ref, sighting->from_lower, tcp);
		if (rc < 0) {
			return rc;
		}
	}
	unsigned dir = dir_of(flow, sighting->from_lower);
	note_base_seq(flow, dir, tcp);
	struct cu_segment segment;
	fill_segment(sighting, dir, &segment);
	if (tcp->payload_len > 0 && wants_hint(flow, dir, tcp, sighting->hint.kind)) {
		segment.hint = sighting->hint;
	}
	note_sender(flow, &flow->side[dir], tcp);
	struct cu_flow_side *to = &flow->side[1 - dir];
	if ((to->marks & CU_SIDE_FIN) != 0 && (tcp->flags & CU_TCP_ACK) != 0 && seq_diff(tcp->ack, to->fin_end) >= 0) {
		to->marks |= CU_SIDE_FIN_ACKED;
	}
	flow->last_ns = sighting->time_ns;
	flow->last_frame = sighting->frame;
	flow->last_file = sighting->file;
	if (flow->list == CU_LIST_OPEN && is_finished(flow)) {
		enlist_again(track, ref, CU_LIST_FINISHED, sighting->time_ns);
	}
	if (tcp->first_fragment) {
		remember_fragmented(track, sighting, ref);
	}
	return append(track, ref, &segment);
}

static int put_icmp(struct cu_track *track, const struct cu_sighting *sighting)
{
	uint32_t ref = find(track, sighting);
	if (ref == 0) {
		return 0;
	}
	const struct cu_icmp_error *icmp = &sighting->content.icmp;
	struct cu_segment segment = {
		.time_ns = sighting->time_ns,
		.frame = sighting->frame,
		.file = sighting->file,
		.dir = (uint8_t)dir_of(cu_table_at(&track->table, ref), sighting->from_lower),
		.seq = icmp->seq,
		.icmp = true,
		.icmp_type = icmp->type,
		.icmp_code = icmp->code,
		.icmp_mtu = icmp->mtu,
		.icmp_reporter = icmp->reporter,
	};
	return append(track, ref, &segment);
}

static void put_fragment(struct cu_track *track, const struct cu_sighting *sighting)
{
	uint64_t hash = cu_key_hash(fixed_seed, &sighting->key);
	const struct cu_fragmented *entry = &track->fragmented[hash % CU_FRAGMENTED_CAP];
	if (entry->ref == 0 || memcmp(&entry->key, &sighting->key, sizeof(entry->key)) != 0) {
		return;
	}
	struct cu_flow *flow = cu_table_at(&track->table, entry->ref);
	if (flow->key_head[0] != 0 && flow->stream == entry->stream) {
		flow->n_fragments++;
	}
}

int cu_track_put(struct cu_track *track, const struct cu_sighting *sighting)
{
	switch (sighting->kind) {
	case CU_PACKET_TCP:
		return put_tcp(track, sighting);
	case CU_PACKET_ICMP_ERROR:
		return put_icmp(track, sighting);
	case CU_PACKET_FRAGMENT:
		put_fragment(track, sighting);
		return 0;
	default:
		return 0;
	}
}

/* ---- The end ---- */

struct ending {
	uint64_t stream;
	uint32_t ref;
};

static int compare_endings(const void *a, const void *b)
{
	const struct ending *x = a;
	const struct ending *y = b;
	return x->stream < y->stream ? -1 : x->stream > y->stream;
}

int cu_track_finish(struct cu_track *track)
{
	struct cu_table *table = &track->table;
	struct ending *endings = calloc((size_t)table->n + 1, sizeof(*endings));
	if (endings == NULL) {
		return CU_ERR_NOMEM;
	}
	size_t n = 0;
	for (uint32_t ref = 1; ref <= table->n_fresh; ref++) {
		const struct cu_flow *flow = cu_table_at(table, ref);
		if (flow->key_head[0] != 0) {
			endings[n++] = (struct ending){.stream = flow->stream, .ref = ref};
		}
	}
	qsort(endings, n, sizeof(*endings), compare_endings);
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = write_flow(track, endings[i].ref, CU_END_OPEN);
	}
	free(endings);
	return rc;
}
