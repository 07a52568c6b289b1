/*
 * The connection table: an index in front of a pool of connections, and lists
 * of connections that are examined by age. Nothing that is visible outside
 * depends on the seed: order comes from the lists and streams.
 *
 * Layout: what a packet touches stands in the first four cache lines of a
 * connection. Lists are not kept in order of last use, which would touch two
 * more connections a packet: a list is in order of joining, and who examines
 * its head decides whether it goes or joins again (the clock algorithm).
 * Tried and left: chained index lists, mmap and huge pages (no gain measured).
 */
#ifndef CU_FLOW_TABLE_H
#define CU_FLOW_TABLE_H

#include "lib/base/index.h"
#include "lib/flow/key.h"
#include "lib/flow/spool.h"
#include "lib/record/timeline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lists a connection can be on; each connection has a link for two of them at once. */
enum cu_list_id { CU_LIST_OPEN = 0, CU_LIST_FINISHED, CU_LIST_PENDING, CU_N_LISTS };

/* Marks of a side. */
enum {
	CU_SIDE_BASE = 1,      /* base_seq is known */
	CU_SIDE_SYN = 2,       /* its SYN was seen: isn and syn are from it */
	CU_SIDE_FIN = 4,       /* its FIN was seen: fin_end is known */
	CU_SIDE_FIN_ACKED = 8, /* and was acknowledged */
	CU_SIDE_SEEN = 16,     /* it sent something: isn and ttl are set, next_seq too */
};

/* The sender in one direction. */
struct cu_flow_side {
	uint64_t n_bytes;
	uint32_t next_seq; /* one past the highest sequence number sent */
	uint32_t base_seq; /* what a SYN of the same incarnation must carry: see track.c */
	uint32_t fin_end;  /* the acknowledgement that covers the FIN; of a RST its sequence number */
	uint32_t isn;
	uint64_t n_segments;
	struct cu_syn_options syn;
	uint8_t ttl;
	uint8_t marks; /* CU_SIDE_ */
};

struct cu_flow_link {
	uint32_t prev, next; /* index + 1; 0: none */
};

struct cu_flow {
	/* Hot: every packet. */
	uint64_t key_head[2]; /* {0} in a free one */
	int64_t last_ns;
	uint64_t last_frame;
	struct cu_spool pending; /* encoded segments not yet written */
	uint16_t last_file;
	uint8_t role;           /* enum cu_role_source */
	uint8_t list;           /* CU_LIST_OPEN or CU_LIST_FINISHED */
	uint8_t turn;           /* CU_C2S, CU_S2C: who sent data last; 2: nobody yet */
	bool client_is_lower;   /* which end of the key */
	bool turn_hinted : 1;   /* a hint was kept of that turn */
	bool tls : 1;           /* TLS was seen */
	bool tls_handshake : 1; /* and no application data since at the start of a turn */
	bool reset : 1;         /* a RST was seen, and nothing that belies it */
	bool reset_by_server : 1;
	bool was_flushed : 1; /* a chunk was written: directions are settled */
	bool continued : 1;
	bool is_steady;     /* it was in mid-life after its last segment: see track.c */
	uint16_t n_pending; /* segments in pending */
	uint16_t first_file;
	uint32_t n_fragments;
	struct cu_flow_side side[2];
	struct cu_timeline_state state; /* its start, at the end of it, is cold already */
	/* Cold: birth, death and long keys. */
	uint64_t key_rest[5];
	uint64_t stream;
	int64_t start_ns;
	uint64_t first_frame;
	int64_t listed_ns; /* when it joined its list */
	struct cu_flow_link link, pending_link;
	uint32_t tag;
	uint32_t ref; /* its own */
};

struct cu_flow_list {
	uint32_t head, tail; /* index + 1 */
	uint32_t n;
};

struct cu_table {
	struct cu_index index; /* of refs, by key */
	struct cu_flow **slabs;
	size_t n_slabs;
	uint32_t n_fresh; /* connections ever handed out */
	uint32_t free;    /* ref of the first free one, linked by link.next */
	struct cu_hash_seed seed;
	struct cu_flow_list lists[CU_N_LISTS];
};

enum { CU_FLOW_SLAB = 256, CU_CACHE_LINE = 64 };

/* What a packet touches. */
#define CU_FLOW_HOT_BYTES (offsetof(struct cu_flow, state) + offsetof(struct cu_timeline_state, start))

/* 0 or CU_ERR_NOMEM; release after either. */
int cu_table_init(struct cu_table *table);
void cu_table_release(struct cu_table *table);

static inline struct cu_flow *cu_table_at(const struct cu_table *table, uint32_t ref)
{
	uint32_t idx = ref - 1;
	return &table->slabs[idx / CU_FLOW_SLAB][idx % CU_FLOW_SLAB];
}

static inline uint32_t cu_table_tag(const struct cu_table *table, const struct cu_key *key)
{
	return cu_index_tag(cu_key_hash(table->seed, key));
}

static inline bool cu_flow_has_key(const struct cu_flow *flow, const struct cu_key *key)
{
	if (flow->key_head[0] != key->head[0] || flow->key_head[1] != key->head[1]) {
		return false;
	}
	if (!cu_key_is_long(key->head[0])) {
		return true;
	}
	uint64_t differ = 0;
	for (unsigned i = 0; i < 5; i++) {
		differ |= flow->key_rest[i] ^ key->rest[i];
	}
	return differ == 0;
}

/* The first connection with this tag, most likely the one, or NULL. Touches no connection. */
static inline struct cu_flow *cu_table_guess(const struct cu_table *table, uint32_t tag)
{
	uint32_t i = tag;
	uint32_t ref = cu_index_walk(&table->index, tag, &i);
	return ref != 0 ? cu_table_at(table, ref) : NULL;
}

static inline void cu_table_prefetch(const struct cu_table *table, uint32_t tag)
{
	cu_index_prefetch(&table->index, tag);
}

/* The first n_bytes of a connection. */
static inline void cu_flow_prefetch(const struct cu_flow *flow, size_t n_bytes)
{
	const char *line = (const char *)flow;
	for (size_t i = 0; i < n_bytes; i += CU_CACHE_LINE) {
		__builtin_prefetch(line + i, 1);
	}
}

/* The connection with this key, or NULL. */
struct cu_flow *cu_table_find(const struct cu_table *table, uint32_t tag, const struct cu_key *key);

/*
 * Adds a zeroed connection with this key, which must not be there; NULL when
 * memory ran out. It stays in its place until it is removed, and its memory
 * until the table is released.
 */
struct cu_flow *cu_table_add(struct cu_table *table, uint32_t tag, const struct cu_key *key);

/* Takes a connection out, which must be on no list. */
void cu_table_remove(struct cu_table *table, struct cu_flow *flow);

/* The key of a connection in the table. */
void cu_flow_key(const struct cu_flow *flow, struct cu_key *key);

/* Lists: append and take out. PENDING has its own link, the other two share one. */
void cu_list_append(struct cu_table *table, enum cu_list_id id, struct cu_flow *flow);
void cu_list_remove(struct cu_table *table, enum cu_list_id id, struct cu_flow *flow);

/* The one longest on a list, or NULL. */
static inline struct cu_flow *cu_list_head(const struct cu_table *table, enum cu_list_id id)
{
	uint32_t ref = table->lists[id].head;
	return ref != 0 ? cu_table_at(table, ref) : NULL;
}

#endif
