#include "lib/rules/finding.h"

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SKETCH_BITS = 1024, FIRST_SLOTS = 256 };

/* Where and when something was seen. */
struct span {
	uint64_t n;
	uint64_t first_frame, last_frame;
	int64_t start_ns, end_ns;
};

enum bad { BAD_REFUSED, BAD_UNANSWERED, BAD_RESET, N_BAD };

struct endpoint {
	struct cu_addr addr;
	uint16_t port; /* 0: a client */
	bool used;
	uint64_t n; /* connections */
	uint64_t n_prohibited;
	struct span bad[N_BAD]; /* of a client: [0] is what it tried in vain */
	uint64_t *sketch;       /* of a client: which endpoints, as linear counting (Whang and others 1990) */
};

struct table {
	struct endpoint *slots;
	size_t n_slots, n, most;
	struct cu_hash_seed seed;
	bool has_sketch;
};

struct cu_findings {
	struct table servers, clients;
	struct cu_buf why, advice;
};

struct cu_findings *cu_findings_new(void)
{
	struct cu_findings *findings = calloc(1, sizeof(*findings));
	if (findings) {
		findings->servers = (struct table){.most = CU_FINDING_SERVERS, .seed = cu_hash_seed_random()};
		findings->clients =
			(struct table){.most = CU_FINDING_CLIENTS, .seed = cu_hash_seed_random(), .has_sketch = true};
	}
	return findings;
}

static void release(struct table *table)
{
	for (size_t i = 0; i < table->n_slots; i++) {
		free(table->slots[i].sketch);
	}
	free(table->slots);
}

void cu_findings_free(struct cu_findings *findings)
{
	if (findings) {
		release(&findings->servers);
		release(&findings->clients);
		cu_buf_release(&findings->why);
		cu_buf_release(&findings->advice);
		free(findings);
	}
}

static uint64_t hash_endpoint(struct cu_hash_seed seed, const struct cu_addr *addr, uint16_t port)
{
	uint8_t key[sizeof(addr->bytes) + 3];
	memcpy(key, addr->bytes, sizeof(addr->bytes));
	key[sizeof(addr->bytes)] = addr->family;
	cu_put_le16(key + sizeof(addr->bytes) + 1, port);
	/* Ports in a row must not fall into bits in a row: the finisher of MurmurHash3 (Appleby 2011). */
	uint64_t hash = cu_hash_bytes(seed, key, sizeof(key));
	hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
	hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 33;
}

static struct endpoint *slot_of(const struct table *table, const struct cu_addr *addr, uint16_t port)
{
	size_t at = hash_endpoint(table->seed, addr, port) & (table->n_slots - 1);
	while (table->slots[at].used &&
	       !(table->slots[at].port == port && cu_addr_equal(&table->slots[at].addr, addr))) {
		at = (at + 1) & (table->n_slots - 1);
	}
	return &table->slots[at];
}

static uint64_t weight(const struct endpoint *endpoint)
{
	return endpoint->bad[BAD_REFUSED].n + endpoint->bad[BAD_UNANSWERED].n + endpoint->bad[BAD_RESET].n;
}

/* Moves what weighs more than least into a table of n_slots. */
static int rebuild(struct table *table, size_t n_slots, uint64_t least)
{
	struct table next = *table;
	next.n = 0;
	next.n_slots = n_slots;
	next.slots = calloc(n_slots, sizeof(*next.slots));
	if (!next.slots) {
		return CU_ERR_NOMEM;
	}
	for (size_t i = 0; i < table->n_slots; i++) {
		struct endpoint *endpoint = &table->slots[i];
		if (endpoint->used && weight(endpoint) >= least) {
			*slot_of(&next, &endpoint->addr, endpoint->port) = *endpoint;
			next.n++;
		} else {
			free(endpoint->sketch);
		}
	}
	free(table->slots);
	*table = next;
	return 0;
}

static int make_room(struct table *table)
{
	if (table->n * 4 < table->n_slots * 3) {
		return 0;
	}
	size_t n_slots = table->n_slots ? table->n_slots * 2 : FIRST_SLOTS;
	if (n_slots <= table->most) {
		return rebuild(table, n_slots, 0);
	}
	for (uint64_t least = 1; table->n * 4 >= table->n_slots * 2; least++) {
		int err = rebuild(table, table->n_slots, least);
		if (err != 0) {
			return err;
		}
	}
	return 0;
}

static struct endpoint *find_or_add(struct table *table, const struct cu_addr *addr, uint16_t port)
{
	if (make_room(table) != 0) {
		return NULL;
	}
	struct endpoint *endpoint = slot_of(table, addr, port);
	if (!endpoint->used) {
		uint64_t *sketch = table->has_sketch ? calloc(SKETCH_BITS / 64, sizeof(*sketch)) : NULL;
		if (table->has_sketch && !sketch) {
			return NULL;
		}
		*endpoint = (struct endpoint){.addr = *addr, .port = port, .used = true, .sketch = sketch};
		table->n++;
	}
	return endpoint;
}

static void count(struct span *span, const struct cu_connection *connection)
{
	if (span->n == 0 || connection->start_ns < span->start_ns) {
		span->start_ns = connection->start_ns;
		span->first_frame = connection->first_frame;
	}
	if (span->n == 0 || connection->end_ns > span->end_ns) {
		span->end_ns = connection->end_ns;
		span->last_frame = connection->last_frame;
	}
	span->n++;
}

int cu_findings_add(struct cu_findings *findings, const struct cu_connection *connection,
                    const struct cu_analysis *analysis, bool prohibited)
{
	if (connection->continued || !(analysis->completeness & CU_SEEN_SYN)) {
		return 0; /* how it began is not known */
	}
	struct endpoint *server = find_or_add(&findings->servers, &connection->server, connection->server_port);
	struct endpoint *client = find_or_add(&findings->clients, &connection->client, 0);
	if (!server || !client) {
		return CU_ERR_NOMEM;
	}
	bool refused = prohibited || analysis->close == CU_CLOSE_REFUSED;
	bool unanswered = !refused && analysis->close == CU_CLOSE_UNANSWERED;
	bool aborted = analysis->close == CU_CLOSE_ABORTIVE;
	bool empty = !(analysis->completeness & CU_SEEN_DATA);
	server->n++;
	server->n_prohibited += prohibited;
	client->n++;
	if (refused) {
		count(&server->bad[BAD_REFUSED], connection);
	} else if (unanswered) {
		count(&server->bad[BAD_UNANSWERED], connection);
	} else if (aborted && analysis->closed_by == CU_PARTY_SERVER) {
		count(&server->bad[BAD_RESET], connection);
	}
	/* A probe of an open port is a handshake that its client breaks off. */
	if (refused || unanswered || (empty && aborted && analysis->closed_by == CU_PARTY_CLIENT)) {
		uint64_t hash = hash_endpoint(findings->servers.seed, &connection->server, connection->server_port);
		count(&client->bad[0], connection);
		client->sketch[hash % SKETCH_BITS / 64] |= UINT64_C(1) << (hash % 64);
	}
	return 0;
}

/* How many different endpoints a client tried, about. */
static uint64_t count_different(const struct endpoint *client)
{
	unsigned n_clear = SKETCH_BITS;
	for (size_t i = 0; i < SKETCH_BITS / 64; i++) {
		n_clear -= (unsigned)__builtin_popcountll(client->sketch[i]);
	}
	double estimate = -SKETCH_BITS * log(n_clear > 0 ? n_clear / (double)SKETCH_BITS : 0.5 / SKETCH_BITS);
	uint64_t rounded = (uint64_t)(estimate + 0.5);
	return rounded < client->bad[0].n ? rounded : client->bad[0].n;
}

static const struct {
	const char *kind;
	uint64_t least, percent;
} limits[] = {
	[BAD_REFUSED] = {"refused", CU_REFUSED_LEAST, CU_REFUSED_PERCENT},
	[BAD_UNANSWERED] = {"unanswered", CU_UNANSWERED_LEAST, CU_UNANSWERED_PERCENT},
	[BAD_RESET] = {"resets", CU_RESETS_LEAST, CU_RESETS_PERCENT},
};

/* A candidate: its endpoint and what about it. */
struct candidate {
	const struct endpoint *endpoint;
	unsigned kind; /* enum bad; N_BAD for a scan */
	uint64_t count;
};

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->kind != y->kind) {
		return x->kind > y->kind ? -1 : 1; /* scans first */
	}
	if (x->count != y->count) {
		return x->count > y->count ? -1 : 1;
	}
	if (x->endpoint->addr.family != y->endpoint->addr.family) {
		return x->endpoint->addr.family < y->endpoint->addr.family ? -1 : 1;
	}
	int order = memcmp(x->endpoint->addr.bytes, y->endpoint->addr.bytes, sizeof(x->endpoint->addr.bytes));
	return order != 0 ? order : (x->endpoint->port > y->endpoint->port) - (x->endpoint->port < y->endpoint->port);
}

static bool is_enough(uint64_t n, uint64_t of, uint64_t least, uint64_t percent)
{
	return n >= least && n * 100 >= of * percent;
}

static size_t collect(const struct cu_findings *findings, struct candidate *candidates)
{
	size_t n = 0;
	for (size_t i = 0; i < findings->servers.n_slots; i++) {
		const struct endpoint *server = &findings->servers.slots[i];
		for (unsigned kind = 0; server->used && kind < N_BAD; kind++) {
			if (is_enough(server->bad[kind].n, server->n, limits[kind].least, limits[kind].percent)) {
				candidates[n++] = (struct candidate){server, kind, server->bad[kind].n};
			}
		}
	}
	for (size_t i = 0; i < findings->clients.n_slots; i++) {
		const struct endpoint *client = &findings->clients.slots[i];
		if (client->used && is_enough(client->bad[0].n, client->n, CU_SCAN_LEAST, CU_SCAN_PERCENT)) {
			uint64_t different = count_different(client);
			if (different >= CU_SCAN_LEAST) {
				candidates[n++] = (struct candidate){client, N_BAD, different};
			}
		}
	}
	return n;
}

static struct cu_text text_of(struct cu_buf *buf)
{
	const char *text = cu_buf_cstr(buf);
	return (struct cu_text){text, (uint32_t)strlen(text)};
}

static struct cu_finding describe(struct cu_findings *findings, const struct candidate *candidate)
{
	const struct endpoint *endpoint = candidate->endpoint;
	const struct span *span = &endpoint->bad[candidate->kind == N_BAD ? 0 : candidate->kind];
	bool all = span->n == endpoint->n;
	struct cu_buf *why = &findings->why, *advice = &findings->advice;
	struct cu_finding finding = {.addr = endpoint->addr,
	                             .port = endpoint->port,
	                             .count = candidate->count,
	                             .first_frame = span->first_frame,
	                             .last_frame = span->last_frame,
	                             .start_ns = span->start_ns,
	                             .end_ns = span->end_ns};
	const char *kind = candidate->kind == N_BAD ? "scan" : limits[candidate->kind].kind;
	char addr[CU_TEXT_CAP];
	cu_format_addr(addr, &endpoint->addr);
	cu_buf_clear(why);
	cu_buf_clear(advice);
	unsigned long long n = span->n, of = endpoint->n;
	switch (candidate->kind) {
	case BAD_REFUSED: {
		bool prohibited = endpoint->n_prohibited * 2 > span->n;
		finding.blame = prohibited ? CU_PARTY_NETWORK : CU_PARTY_SERVER;
		finding.confidence = all ? CU_CONFIDENCE_HIGH : CU_CONFIDENCE_MEDIUM;
		cu_buf_printf(why, "%llu of %llu connections were refused%s", n, of,
		              prohibited ? " by an ICMP error" : "");
		cu_buf_printf(advice,
		              prohibited ? "look for a firewall that prohibits port %u of %s"
		                         : "check that a service listens on port %u of %s",
		              endpoint->port, addr);
		break;
	}
	case BAD_UNANSWERED:
		finding.blame = CU_PARTY_NETWORK;
		finding.confidence = all ? CU_CONFIDENCE_MEDIUM : CU_CONFIDENCE_LOW;
		cu_buf_printf(why, "%llu of %llu connections got no answer", n, of);
		cu_buf_printf(advice, "check that %s is up and that no firewall drops port %u", addr, endpoint->port);
		break;
	case BAD_RESET:
		finding.blame = CU_PARTY_SERVER;
		finding.confidence = CU_CONFIDENCE_MEDIUM;
		cu_buf_printf(why, "%llu of %llu connections were reset by the server", n, of);
		cu_buf_printf(advice, "look for crashes and timeouts of the service at port %u of %s", endpoint->port,
		              addr);
		break;
	default:
		finding.blame = CU_PARTY_CLIENT;
		finding.confidence = candidate->count >= 4 * CU_SCAN_LEAST ? CU_CONFIDENCE_HIGH : CU_CONFIDENCE_MEDIUM;
		cu_buf_printf(why, "tried about %llu different endpoints in vain, in %llu of its %llu connections",
		              (unsigned long long)candidate->count, n, of);
		cu_buf_printf(advice, "find out what %s looks for: a scanner, or a list of servers that is out of date",
		              addr);
		break;
	}
	finding.kind = (struct cu_text){kind, (uint32_t)strlen(kind)};
	finding.why = text_of(why);
	finding.advice = text_of(advice);
	return finding;
}

int cu_findings_each(struct cu_findings *findings, int (*take)(void *context, const struct cu_finding *finding),
                     void *context)
{
	size_t most = findings->servers.n * N_BAD + findings->clients.n;
	if (most == 0) {
		return 0;
	}
	struct candidate *candidates = malloc(most * sizeof(*candidates));
	if (!candidates) {
		return CU_ERR_NOMEM;
	}
	size_t n = collect(findings, candidates);
	qsort(candidates, n, sizeof(*candidates), compare_candidates);
	int err = 0;
	for (size_t i = 0; i < n && i < CU_FINDING_CAP && err == 0; i++) {
		struct cu_finding finding = describe(findings, &candidates[i]);
		err = take(context, &finding);
	}
	free(candidates);
	return err;
}
