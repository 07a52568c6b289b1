#include "lib/flow/split.h"

#include "lib/flow/datagrams.h"
#include "lib/flow/early.h"
#include "lib/flow/key.h"
#include "lib/flow/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONNECTIONS_CAP = 1 << 20,
	SERVERS_CAP = 1 << 20,
	MEMBERS_CAP = 1 << 22, /* connections whose server is remembered */
	NOWHERE = UINT32_MAX,
};

/* Shards must not depend on the run. */
static const struct cu_hash_seed fixed_seed = {{0x8f1bbcdc5a827999, 0xca62c1d66ed9eba1}};

struct split {
	struct cu_capture *capture;
	struct cu_shards *shards;
	const struct cu_split_config *config;
	struct cu_split_totals *totals;
	struct cu_fault *fault;
	struct cu_places connections;        /* key of a connection -> shard */
	struct cu_places servers;            /* key of a server -> shard */
	uint32_t other;                      /* shard of what belongs to no connection; NOWHERE: none yet */
	uint32_t current;                    /* TIME and SIZE; NOWHERE before the first packet */
	int64_t period;                      /* TIME: that of current */
	struct cu_datagrams datagrams;       /* fragmented ones */
	uint32_t shard_of[CU_DATAGRAMS_CAP]; /* of each; NOWHERE: its first fragment did not come yet */
	struct cu_early early;               /* fragments that came before the first one */
};

static int no_memory(struct split *s)
{
	return cu_fault_set(s->fault, CU_ERR_NOMEM, "no memory for another connection");
}

/* ------------------------------------------------------------------- names */

static void add_text(char *text, size_t cap, const char *more)
{
	size_t at = strlen(text);
	(void)snprintf(text + at, cap - at, "%s", more);
}

/* An address as part of a file name: no colons, which other systems refuse. */
static void add_addr(char *text, size_t cap, const struct cu_addr *addr)
{
	char words[CU_TEXT_CAP];
	cu_format_addr(words, addr);
	for (char *p = words; *p != '\0'; p++) {
		*p = *p == ':' ? '_' : *p;
	}
	add_text(text, cap, words);
}

static void add_port(char *text, size_t cap, uint16_t port)
{
	char words[8];
	(void)snprintf(words, sizeof(words), ".%u", port);
	add_text(text, cap, words);
}

static void add_ids(char *text, size_t cap, const struct cu_key *key)
{
	uint32_t ids[CU_VLAN_CAP];
	uint8_t n = cu_key_ids(key, ids);
	for (uint8_t i = 0; i < n; i++) {
		char words[16];
		(void)snprintf(words, sizeof(words), "+%x", ids[i]);
		add_text(text, cap, words);
	}
}

/* ------------------------------------------------------------- connections */

/* A packet of a connection: its key, and who sent it. */
struct sighting {
	enum cu_packet_kind kind; /* what begins in a first fragment; FRAGMENT only when that did not come here */
	struct cu_key key;        /* of a FRAGMENT: without ports */
	bool from_lower;
	uint16_t flags; /* of a TCP segment, else 0 */
	bool is_first;  /* it is the first fragment of a datagram */
	struct cu_ip_fragment fragment;
};

/* False when the packet belongs to no connection; kind and is_first are set. */
static bool sight(const struct split *s, const struct cu_packet *packet, struct sighting *sighting)
{
	struct cu_packet_content content;
	sighting->kind = cu_packet_decode(packet->linktype, packet->data, packet->caplen, packet->len, &content);
	const struct cu_flow_key *key = &content.tcp.key;
	if (sighting->kind == CU_PACKET_AGGREGATE) {
		sighting->kind = content.first_kind; /* which flowify knows alone, too */
	}
	sighting->flags = 0;
	sighting->is_first = false;
	if (sighting->kind == CU_PACKET_FRAGMENT) {
		sighting->fragment = content.fragment;
		sighting->is_first = content.fragment.offset == 0;
	}
	struct cu_ip_fragment first = {.offset = UINT32_MAX};
	while (sighting->kind == CU_PACKET_FRAGMENT && content.fragment.offset == 0) {
		first = content.fragment;
		sighting->kind = cu_packet_decode_datagram(&first, &content);
	}
	if (sighting->kind == CU_PACKET_SHORT && cu_ip_fragment_ports(&first, &content.tcp.key)) {
		sighting->kind = CU_PACKET_TCP;
		content.tcp.flags = 0;
	}
	switch (sighting->kind) {
	case CU_PACKET_TCP:
		sighting->flags = content.tcp.flags;
		break;
	case CU_PACKET_ICMP_ERROR:
		key = &content.icmp.key;
		break;
	case CU_PACKET_FRAGMENT:
		key = &content.fragment.key;
		break;
	default:
		return false;
	}
	sighting->from_lower = cu_key_make(key, s->config->ignore, &sighting->key);
	return true;
}

static struct cu_key without_ports(const struct cu_key *key)
{
	struct cu_key hosts = *key;
	hosts.head[0] &= UINT32_MAX; /* the ports are in the upper half */
	return hosts;
}

/*
 * Which end is the server, by the first packet seen: 0 the lower, 1 the upper.
 * It never changes for a connection, whatever is learned later.
 */
static unsigned server_of(const struct sighting *sighting, const uint16_t port[2])
{
	if ((sighting->flags & CU_TCP_SYN) != 0) {
		bool is_answer = (sighting->flags & CU_TCP_ACK) != 0;
		return is_answer == sighting->from_lower ? 0 : 1;
	}
	return port[0] <= port[1] ? 0 : 1; /* a server's port is the smaller one, as a rule */
}

static int begin_connection(struct split *s, const struct sighting *sighting, int64_t time_ns, uint32_t *shard)
{
	if (s->connections.n >= CONNECTIONS_CAP) {
		return cu_fault_set(s->fault, CU_ERR_RANGE, "more than %d connections: -n deals out any number",
		                    CONNECTIONS_CAP);
	}
	struct cu_addr addr[2];
	uint16_t port[2];
	cu_key_ends(&sighting->key, addr, port);
	unsigned server = server_of(sighting, port);
	char name[4 * CU_TEXT_CAP] = "";
	add_addr(name, sizeof(name), &addr[1 - server]);
	add_port(name, sizeof(name), port[1 - server]);
	add_text(name, sizeof(name), "-");
	add_addr(name, sizeof(name), &addr[server]);
	add_port(name, sizeof(name), port[server]);
	add_ids(name, sizeof(name), &sighting->key);
	return cu_shards_add(s->shards, time_ns, name, shard, s->fault);
}

/* The shard of the server of a connection seen for the first time. */
static int find_server(struct split *s, const struct sighting *sighting, int64_t time_ns, uint32_t *shard)
{
	struct cu_addr addr[2];
	uint16_t port[2];
	cu_key_ends(&sighting->key, addr, port);
	unsigned server = server_of(sighting, port);
	struct cu_flow_key only = {.src = addr[server], .dst = addr[server]};
	only.n_ids = cu_key_ids(&sighting->key, only.ids);
	struct cu_key key;
	cu_key_make(&only, 0, &key);
	uint64_t hash = cu_places_hash(&s->servers, &key);
	if (cu_places_find(&s->servers, hash, shard)) {
		return 0;
	}
	if (s->servers.n >= SERVERS_CAP) {
		return cu_fault_set(s->fault, CU_ERR_RANGE, "more than %d servers: -n deals out any number",
		                    SERVERS_CAP);
	}
	char name[2 * CU_TEXT_CAP] = "";
	add_addr(name, sizeof(name), &addr[server]);
	add_ids(name, sizeof(name), &sighting->key);
	int rc = cu_shards_add(s->shards, time_ns, name, shard, s->fault);
	if (rc < 0) {
		return rc;
	}
	return cu_places_add(&s->servers, hash, *shard) < 0 ? no_memory(s) : 0;
}

/* The shard of a connection. 0 or an error. */
static int find_connection(struct split *s, const struct sighting *sighting, int64_t time_ns, uint32_t *shard)
{
	if (s->config->way == CU_SPLIT_HASH) {
		struct cu_key hosts = without_ports(&sighting->key);
		uint64_t hash = cu_key_hash(fixed_seed, s->config->spread ? &sighting->key : &hosts);
		*shard = (uint32_t)((unsigned __int128)hash * s->config->n >> 64);
		return 0;
	}
	uint64_t hash = cu_places_hash(&s->connections, &sighting->key);
	if (cu_places_find(&s->connections, hash, shard)) {
		return 0;
	}
	bool by_server = s->config->way == CU_SPLIT_SERVER;
	int rc = by_server ? find_server(s, sighting, time_ns, shard) : begin_connection(s, sighting, time_ns, shard);
	if (rc < 0 || s->connections.n >= MEMBERS_CAP) {
		return rc; /* beyond that many, connections are told by their ports, or by each SYN */
	}
	return cu_places_add(&s->connections, hash, *shard) < 0 ? no_memory(s) : 0;
}

/* ------------------------------------------------------------------ dealing */

/* The shard for what belongs to no connection. */
static int find_other(struct split *s, int64_t time_ns, uint32_t *shard)
{
	if (s->config->way == CU_SPLIT_HASH) {
		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): n is at least 1 */
		*shard = (uint32_t)(s->totals->n_other++ % s->config->n);
		return 0;
	}
	s->totals->n_other++;
	int rc = 0;
	if (s->other == NOWHERE) {
		rc = cu_shards_add(s->shards, time_ns, "other", &s->other, s->fault);
	}
	*shard = s->other;
	return rc;
}

/* The first fragment of a datagram went to a shard: those that came before it follow. */
static int own_datagram(struct split *s, const struct cu_ip_fragment *fragment, int64_t time_ns, uint32_t shard)
{
	bool is_new;
	uint32_t idx = cu_datagrams_get(&s->datagrams, fragment, time_ns, &is_new);
	uint64_t hash = s->datagrams.entries[idx].hash;
	const struct cu_early_packet *early;
	int rc = 0;
	s->shard_of[idx] = shard;
	while (rc == 0 && s->early.n > 0 && (early = cu_early_take(&s->early, hash)) != NULL) {
		rc = cu_shards_put(s->shards, shard, s->capture, &early->packet, &early->origin, s->fault);
	}
	return rc;
}

/* A fragment whose first one is not known: where the others between the two hosts are, or with what belongs nowhere. */
static int find_orphan(struct split *s, const struct sighting *sighting, int64_t time_ns, uint32_t *shard)
{
	if (s->config->way == CU_SPLIT_HASH && !s->config->spread) {
		return find_connection(s, sighting, time_ns, shard);
	}
	return find_other(s, time_ns, shard);
}

/* Fragments that waited for the first one in vain; with all, those that still wait. */
static int let_go(struct split *s, int64_t time_ns, bool all)
{
	const struct cu_early_packet *early;
	while ((early = cu_early_expire(&s->early, time_ns, all)) != NULL) {
		struct sighting sighting;
		uint32_t shard;
		sight(s, &early->packet, &sighting);
		int rc = find_orphan(s, &sighting, early->packet.time_ns, &shard);
		if (rc == 0) {
			rc = cu_shards_put(s->shards, shard, s->capture, &early->packet, &early->origin, s->fault);
		}
		if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

/* A later fragment goes where the first one went, or waits for it: *shard is NOWHERE then. */
static int deal_fragment(struct split *s, const struct cu_packet *packet, const struct sighting *sighting,
                         uint32_t *shard)
{
	bool is_new;
	uint32_t idx = cu_datagrams_get(&s->datagrams, &sighting->fragment, packet->time_ns, &is_new);
	if (is_new) {
		s->shard_of[idx] = NOWHERE;
	}
	*shard = s->shard_of[idx];
	if (*shard != NOWHERE || cu_early_add(&s->early, s->datagrams.entries[idx].hash, s->capture, packet)) {
		return 0;
	}
	return find_orphan(s, sighting, packet->time_ns, shard);
}

static int deal_by_connection(struct split *s, const struct cu_packet *packet, uint32_t *shard)
{
	struct sighting sighting;
	bool is_of_connection = sight(s, packet, &sighting);
	if (is_of_connection && sighting.kind == CU_PACKET_FRAGMENT) {
		return deal_fragment(s, packet, &sighting, shard);
	}
	int rc = is_of_connection ? find_connection(s, &sighting, packet->time_ns, shard)
	                          : find_other(s, packet->time_ns, shard);
	if (rc == 0 && sighting.is_first) {
		rc = own_datagram(s, &sighting.fragment, packet->time_ns, *shard);
	}
	return rc;
}

/* Completes the current shard and begins the next one. */
static int begin_next(struct split *s, int64_t time_ns)
{
	int rc = 0;
	if (s->current != NOWHERE) {
		rc = cu_shards_finish(s->shards, s->current, s->capture, s->fault);
	}
	return rc < 0 ? rc : cu_shards_add(s->shards, time_ns, NULL, &s->current, s->fault);
}

/*
 * A packet a little late, up to a period, stays with those it came with; the
 * clock may also have been set back.
 */
static int deal_by_time(struct split *s, const struct cu_packet *packet, uint32_t *shard)
{
	int64_t every = s->config->every_ns;
	int64_t period = packet->time_ns / every - (packet->time_ns % every < 0);
	int rc = 0;
	if (s->current == NOWHERE || period > s->period || period < s->period - 1) {
		s->period = period;
		rc = begin_next(s, period * every);
	}
	*shard = s->current;
	return rc;
}

static int deal_by_size(struct split *s, const struct cu_packet *packet, uint32_t *shard)
{
	int rc = 0;
	bool is_full = s->current != NOWHERE &&
	               cu_shards_bytes_with(s->shards, s->current, s->capture, packet) > s->config->max_bytes;
	if (s->current == NOWHERE || is_full) {
		rc = begin_next(s, packet->time_ns);
	}
	*shard = s->current;
	return rc;
}

static int deal(struct split *s, const struct cu_packet *packet, uint32_t *shard)
{
	switch (s->config->way) {
	case CU_SPLIT_TIME:
		return deal_by_time(s, packet, shard);
	case CU_SPLIT_SIZE:
		return deal_by_size(s, packet, shard);
	default:
		return deal_by_connection(s, packet, shard);
	}
}

static int run(struct split *s)
{
	for (uint32_t i = 0; s->config->way == CU_SPLIT_HASH && i < s->config->n; i++) {
		uint32_t number;
		int rc = cu_shards_add(s->shards, 0, NULL, &number, s->fault);
		if (rc < 0) {
			return rc;
		}
	}
	struct cu_packet packet;
	int rc;
	while ((rc = cu_capture_next(s->capture, &packet)) > 0) {
		s->totals->n_packets++;
		uint32_t shard = NOWHERE;
		rc = s->early.n > 0 ? let_go(s, packet.time_ns, false) : 0;
		if (rc == 0) {
			rc = deal(s, &packet, &shard);
		}
		if (rc == 0 && shard != NOWHERE) {
			rc = cu_shards_put(s->shards, shard, s->capture, &packet, NULL, s->fault);
		}
		if (rc < 0) {
			return rc;
		}
	}
	if (rc < 0) {
		return cu_fault_set(s->fault, (enum cu_error)rc, "no memory to read on");
	}
	rc = let_go(s, 0, true);
	return rc < 0 ? rc : cu_shards_finish_all(s->shards, s->capture, s->fault);
}

int cu_split(struct cu_capture *capture, struct cu_shards *shards, const struct cu_split_config *config,
             struct cu_split_totals *totals, struct cu_fault *fault)
{
	memset(totals, 0, sizeof(*totals));
	struct split *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		return cu_fault_set(fault, CU_ERR_NOMEM, "no memory");
	}
	s->capture = capture;
	s->shards = shards;
	s->config = config;
	s->totals = totals;
	s->fault = fault;
	s->other = NOWHERE;
	s->current = NOWHERE;
	int rc = cu_datagrams_init(&s->datagrams);
	cu_places_init(&s->connections);
	cu_places_init(&s->servers);
	rc = rc < 0 ? no_memory(s) : run(s);
	totals->n_shards = cu_shards_count(shards);
	totals->n_left_out = cu_shards_n_left_out(shards);
	cu_places_release(&s->connections);
	cu_places_release(&s->servers);
	cu_datagrams_release(&s->datagrams);
	cu_early_release(&s->early);
	free(s);
	return rc;
}
