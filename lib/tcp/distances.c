#include "lib/tcp/distances.h"

#include "lib/base/error.h"
#include "lib/base/hash.h"
#include "lib/base/units.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES = 1 << 13, AT_PLACE = 4 };

/* Routes change: older ones say nothing. */
#define RELIED_ON_NS (300 * CU_NS_PER_S)
/* What a host's own delays may add. */
#define CLEARLY_LONGER_NS (5 * CU_NS_PER_MS)

struct key {
	struct cu_addr low, high;
	uint32_t ids[CU_VLAN_CAP];
};

/* A host's first and last identification in one connection. */
struct span {
	int64_t first_ns, last_ns;
	uint16_t first_id, last_id; /* 0: none */
};

struct cu_distances_pair {
	struct key key;
	uint64_t seen;     /* number of the connection that did last; 0: free */
	int64_t rtt_ns[2]; /* to the lower and to the higher address and back */
	int64_t time_ns[2];
	bool known[2];
	uint8_t ttl[2];      /* of the lower and the higher address, in a handshake; 0: none yet */
	struct span span[2]; /* of the lower and the higher address in the connection seen last */
	bool shared[2];
};

int cu_distances_init(struct cu_distances *distances)
{
	distances->n_seen = 0;
	distances->last = NULL;
	distances->pair = calloc((size_t)PLACES * AT_PLACE, sizeof(distances->pair[0]));
	return distances->pair != NULL ? 0 : CU_ERR_NOMEM;
}

void cu_distances_release(struct cu_distances *distances)
{
	free(distances->pair);
	*distances = (struct cu_distances){0};
}

/* What a connection measured of one side. */
struct side {
	int64_t *rtt_ns;
	bool *known;
	size_t n_samples;
	bool handshake;
};

static void refine_side(struct cu_distances_pair *pair, int end, int64_t now_ns, const struct side *side)
{
	int64_t age_ns = now_ns - pair->time_ns[end], others_ns = pair->rtt_ns[end];
	bool relied_on = pair->known[end] && age_ns < RELIED_ON_NS && age_ns > -RELIED_ON_NS;
	if (side->handshake && *side->known && (!relied_on || *side->rtt_ns < others_ns)) {
		pair->known[end] = true;
		pair->rtt_ns[end] = *side->rtt_ns;
		pair->time_ns[end] = now_ns;
		return;
	}
	if (!relied_on) {
		return;
	}
	/* Hosts behind one address (NAT, anycast) differ: what a connection measured twice is its own. */
	bool doubtful = !side->handshake || (side->n_samples < 2 && *side->rtt_ns > 2 * others_ns + CLEARLY_LONGER_NS);
	if (!*side->known || (doubtful && *side->rtt_ns > others_ns)) {
		*side->rtt_ns = others_ns;
		*side->known = true;
	}
}

/* The pair with this key; to add it, in the place of the one not seen for longest; else NULL. */
static struct cu_distances_pair *find(struct cu_distances *distances, const struct key *key, bool add)
{
	static const struct cu_hash_seed fixed_seed = {{0x9ae16a3b2f90404f, 0xc3a5c85c97cb3127}};
	struct cu_distances_pair *place =
		&distances->pair[cu_hash_bytes(fixed_seed, key, sizeof(*key)) % PLACES * AT_PLACE];
	struct cu_distances_pair *oldest = place;
	for (struct cu_distances_pair *pair = place; pair < place + AT_PLACE; pair++) {
		/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): padding is zero in every key */
		if (pair->seen != 0 && memcmp(&pair->key, key, sizeof(*key)) == 0) {
			return pair;
		}
		oldest = pair->seen < oldest->seen ? pair : oldest;
	}
	if (!add) {
		return NULL;
	}
	memset(oldest, 0, sizeof(*oldest));
	memcpy(&oldest->key, key, sizeof(*key)); /* with its padding */
	return oldest;
}

static bool is_client_low(const struct cu_connection *connection)
{
	return memcmp(&connection->client, &connection->server, sizeof(connection->client)) < 0;
}

void cu_distances_refine(struct cu_distances *distances, const struct cu_connection *connection, struct cu_path *path)
{
	struct key key;
	memset(&key, 0, sizeof(key)); /* it is compared with its padding */
	bool client_is_low = is_client_low(connection);
	key.low = client_is_low ? connection->client : connection->server;
	key.high = client_is_low ? connection->server : connection->client;
	memcpy(key.ids, connection->ids, connection->n_ids * sizeof(key.ids[0]));

	bool handshake = connection->side[CU_C2S].has_syn && connection->side[CU_S2C].has_syn;
	struct cu_distances_pair *pair = find(distances, &key, handshake);
	distances->last = pair;
	if (pair == NULL) {
		return; /* one that tells nothing takes nobody's place: a flood of SYNs pushes none out */
	}
	pair->seen = ++distances->n_seen;
	refine_side(pair, !client_is_low, connection->start_ns,
	            &(struct side){&path->client_rtt_ns, &path->client_known, path->side[CU_S2C].n_samples, handshake});
	refine_side(pair, client_is_low, connection->start_ns,
	            &(struct side){&path->server_rtt_ns, &path->server_known, path->side[CU_C2S].n_samples, handshake});
	for (int dir = 0; dir < 2; dir++) {
		uint8_t *ttl = &pair->ttl[(dir == CU_C2S) != client_is_low];
		path->usual_ttl[dir] = *ttl;
		*ttl = handshake ? connection->side[dir].ttl : *ttl;
	}
	if (path->server_known && path->client_known) {
		path->vantage = cu_path_vantage(path->client_rtt_ns, path->server_rtt_ns);
	}
}

/* Whether a segment has an identification of its direction's sender. */
static bool is_counted(const struct cu_trace_segment *seg, int dir)
{
	return seg->dir == dir && !seg->icmp && seg->ip_id != 0;
}

/* Whether another connection's identifications follow on those of this one around them, or lead to them. */
static bool lies_between(const struct cu_trace *trace, int dir, const struct span *other)
{
	enum { NEAR = 256 };
	const struct cu_trace_segment *before = NULL, *after = NULL;
	for (size_t i = 0; i < trace->n && after == NULL; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (is_counted(seg, dir)) {
			before = seg->time_ns <= other->first_ns ? seg : before;
			after = seg->time_ns > other->last_ns ? seg : NULL;
		}
	}
	uint16_t step = before != NULL  ? (uint16_t)(other->first_id - before->ip_id)
	                : after != NULL ? (uint16_t)(after->ip_id - other->last_id)
	                                : 0;
	return step > 0 && step <= NEAR;
}

static struct span span_of(const struct cu_trace *trace, int dir)
{
	size_t first = 0, last = trace->n;
	while (first < trace->n && !is_counted(&trace->segment[first], dir)) {
		first++;
	}
	if (first == trace->n) {
		return (struct span){0};
	}
	while (!is_counted(&trace->segment[last - 1], dir)) {
		last--;
	}
	const struct cu_trace_segment *from = &trace->segment[first], *to = &trace->segment[last - 1];
	return (struct span){
		.first_ns = from->time_ns, .last_ns = to->time_ns, .first_id = from->ip_id, .last_id = to->ip_id};
}

void cu_distances_ids(struct cu_distances *distances, const struct cu_trace *trace, bool shared[2])
{
	struct cu_distances_pair *pair = distances->last;
	shared[CU_C2S] = shared[CU_S2C] = false;
	if (pair == NULL) {
		return;
	}
	bool client_is_low = is_client_low(&trace->connection);
	for (int dir = 0; dir < 2; dir++) {
		int end = (dir == CU_C2S) != client_is_low;
		struct span *last = &pair->span[end];
		if (!pair->shared[end]) {
			pair->shared[end] = last->last_id != 0 && lies_between(trace, dir, last);
			const struct span own = span_of(trace, dir);
			*last = own.last_id != 0 ? own : *last;
		}
		shared[dir] = pair->shared[end];
	}
}
