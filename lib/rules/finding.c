#include "lib/rules/finding.h"

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/base/grow.h"
#include "lib/base/hash.h"
#include "lib/base/index.h"
#include "lib/rules/distinct.h"

#include <stdlib.h>
#include <string.h>

enum { PROBES_KEPT = 1 << 20 };

/* Where and when something was seen. */
struct span {
	uint64_t n;
	uint64_t first_frame, last_frame;
	uint16_t first_file, last_file;
	int64_t start_ns, end_ns;
};

/* What a client probed. */
struct probes {
	struct cu_distinct endpoints, hosts, ports, open, closed;
	struct cu_addr host; /* the first */
	uint16_t port;
	bool other_hosts, other_ports;
};

/* How often a client met a server's refusal, silence or half-open handshake. */
struct met {
	struct cu_addr client;
	uint64_t n[CU_BAD_HALF_OPEN + 1];
};

struct endpoint {
	struct cu_addr addr;
	uint16_t port; /* 0: a client */
	bool is_late;  /* others had been forgotten when it came, perhaps itself */
	uint64_t n;    /* connections */
	uint64_t n_prohibited;
	struct span bad[CU_N_BAD];                  /* of a client: [0] is what it tried in vain */
	uint32_t n_resets[CU_RESET_UNANSWERED + 1]; /* of a server: by kind */
	uint32_t n_resets_by_network, n_refused_by_network;
	struct met met[2];     /* of a server: the first two clients with something to tell */
	struct probes *probes; /* of a client */
};

struct table {
	struct endpoint *endpoints;
	size_t n, cap, most;
	struct cu_index index;
	struct cu_hash_seed seed;
	bool of_clients;
	uint64_t n_forgotten;
};

struct cu_findings {
	struct table servers, clients;
	struct cu_buf why, advice;
	uint64_t room; /* for what clients probed */
	uint64_t n_left_out;
};

struct cu_findings *cu_findings_new(void)
{
	struct cu_findings *findings = calloc(1, sizeof(*findings));
	if (findings) {
		findings->servers = (struct table){.most = CU_FINDING_SERVERS, .seed = cu_hash_seed_random()};
		findings->clients =
			(struct table){.most = CU_FINDING_CLIENTS, .seed = cu_hash_seed_random(), .of_clients = true};
		findings->room = PROBES_KEPT;
	}
	return findings;
}

static void free_probes(struct probes *probes)
{
	if (probes) {
		cu_distinct_release(&probes->endpoints);
		cu_distinct_release(&probes->hosts);
		cu_distinct_release(&probes->ports);
		cu_distinct_release(&probes->open);
		cu_distinct_release(&probes->closed);
		free(probes);
	}
}

static void release(struct table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		free_probes(table->endpoints[i].probes);
	}
	free(table->endpoints);
	cu_index_release(&table->index);
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

static uint32_t tag_of(const struct table *table, const struct cu_addr *addr, uint16_t port)
{
	return cu_index_tag(hash_endpoint(table->seed, addr, port));
}

static struct endpoint *find(const struct table *table, const struct cu_addr *addr, uint16_t port)
{
	uint32_t tag = tag_of(table, addr, port);
	for (uint32_t i = tag, at; (at = cu_index_walk(&table->index, tag, &i)) != 0;) {
		struct endpoint *endpoint = &table->endpoints[at - 1];
		if (endpoint->port == port && cu_addr_equal(&endpoint->addr, addr)) {
			return endpoint;
		}
	}
	return NULL;
}

static uint64_t weight(const struct endpoint *endpoint)
{
	uint64_t n = 0;
	for (unsigned kind = 0; kind < CU_N_BAD; kind++) {
		n += endpoint->bad[kind].n;
	}
	return n;
}

/* Forgets of what weighs less than least at most so many; the index has slots for what stays. */
static void forget(struct table *table, uint64_t least, size_t at_most)
{
	size_t n = table->n;
	table->n = 0;
	cu_index_clear(&table->index);
	for (size_t i = 0; i < n; i++) {
		struct endpoint *endpoint = &table->endpoints[i];
		if (at_most > 0 && weight(endpoint) < least) {
			at_most--;
			table->n_forgotten++;
			free_probes(endpoint->probes);
			continue;
		}
		table->endpoints[table->n++] = *endpoint;
		cu_index_add(&table->index, tag_of(table, &endpoint->addr, endpoint->port), (uint32_t)table->n);
	}
}

static struct endpoint *find_or_add(struct table *table, const struct cu_addr *addr, uint16_t port)
{
	struct endpoint *endpoint = find(table, addr, port);
	if (endpoint) {
		return endpoint;
	}
	if (table->n == table->most) {
		for (uint64_t least = 1; table->n > table->most / 2; least++) {
			forget(table, least, table->n - table->most / 2);
		}
	}
	struct probes *probes = table->of_clients ? calloc(1, sizeof(*probes)) : NULL;
	if ((table->of_clients && !probes) ||
	    !cu_grow((void **)&table->endpoints, &table->cap, table->n, sizeof(*endpoint)) ||
	    !cu_index_add(&table->index, tag_of(table, addr, port), (uint32_t)table->n + 1)) {
		free(probes);
		return NULL;
	}
	endpoint = &table->endpoints[table->n++];
	*endpoint = (struct endpoint){.addr = *addr, .port = port, .is_late = table->n_forgotten > 0, .probes = probes};
	return endpoint;
}

static void count(struct span *span, const struct cu_connection *connection)
{
	if (span->n == 0 || connection->start_ns < span->start_ns) {
		span->start_ns = connection->start_ns;
		span->first_frame = connection->first_frame;
		span->first_file = connection->first_file;
	}
	if (span->n == 0 || connection->end_ns > span->end_ns) {
		span->end_ns = connection->end_ns;
		span->last_frame = connection->last_frame;
		span->last_file = connection->last_file;
	}
	span->n++;
}

/* What a client learned by a probe. */
enum probe { PROBE_FILTERED, PROBE_OPEN, PROBE_CLOSED };

/* The same capture gives the same count each time, an estimate too: not seeded. Who crowds hashes hides himself only. */
static uint64_t hash_probed(const struct cu_addr *addr, uint16_t port)
{
	static const struct cu_hash_seed fixed_seed = {{0x2545f4914f6cdd1d, 0x9e6c63d0876a9a47}};
	return hash_endpoint(fixed_seed, addr, port);
}

static void add_probe(struct cu_findings *findings, struct endpoint *client, const struct cu_connection *connection,
                      enum probe result)
{
	static const struct cu_addr any = {0};
	struct probes *probes = client->probes;
	const struct cu_addr *host = &connection->server;
	uint64_t endpoint = hash_probed(host, connection->server_port);
	if (client->bad[0].n == 0) {
		probes->host = *host;
		probes->port = connection->server_port;
	}
	probes->other_hosts |= !cu_addr_equal(&probes->host, host);
	probes->other_ports |= probes->port != connection->server_port;
	cu_distinct_add(&probes->endpoints, endpoint, &findings->room);
	cu_distinct_add(&probes->hosts, hash_probed(host, 0), &findings->room);
	cu_distinct_add(&probes->ports, hash_probed(&any, connection->server_port), &findings->room);
	if (result != PROBE_FILTERED) {
		cu_distinct_add(result == PROBE_OPEN ? &probes->open : &probes->closed, endpoint, &findings->room);
	}
	count(&client->bad[0], connection);
}

/* Remembers whom a server refused, so that a scanner can be left out in the end. */
static void add_met(struct endpoint *server, const struct cu_addr *client, enum cu_bad_end kind)
{
	for (size_t i = 0; i < sizeof(server->met) / sizeof(server->met[0]); i++) {
		struct met *met = &server->met[i];
		if (met->client.family == 0) {
			met->client = *client;
		}
		if (cu_addr_equal(&met->client, client)) {
			met->n[kind]++;
			return;
		}
	}
}

enum cu_bad_end cu_finding_bad_end(const struct cu_analysis *analysis, bool prohibited)
{
	bool data = analysis->completeness & CU_SEEN_DATA;
	if (prohibited || analysis->close == CU_CLOSE_REFUSED) {
		return CU_BAD_REFUSED;
	}
	if (analysis->close == CU_CLOSE_UNANSWERED) {
		return CU_BAD_UNANSWERED;
	}
	if (analysis->close == CU_CLOSE_HALF_OPEN) {
		return CU_BAD_HALF_OPEN;
	}
	bool gave_up = analysis->reset == CU_RESET_UNANSWERED && analysis->reset_by != CU_PARTY_NETWORK;
	if (analysis->close != CU_CLOSE_ABORTIVE || gave_up) {
		return CU_N_BAD;
	}
	if (analysis->closed_by == CU_PARTY_SERVER || analysis->reset_by == CU_PARTY_NETWORK) {
		return CU_BAD_RESET;
	}
	/* A client that is done may close with a RST; one that throws away an answer is not done. */
	return data && analysis->reset == CU_RESET_ON_DATA ? CU_BAD_ABORTED : CU_N_BAD;
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
	enum cu_bad_end kind = cu_finding_bad_end(analysis, prohibited);
	server->n++;
	server->n_prohibited += prohibited;
	client->n++;
	if (kind != CU_N_BAD) {
		count(&server->bad[kind], connection);
	}
	server->n_refused_by_network += kind == CU_BAD_REFUSED && analysis->reset_by == CU_PARTY_NETWORK;
	if (kind <= CU_BAD_HALF_OPEN) {
		add_met(server, &connection->client, kind);
	} else if (kind == CU_BAD_RESET) {
		server->n_resets[analysis->reset <= CU_RESET_UNANSWERED ? analysis->reset : CU_RESET_NONE]++;
		server->n_resets_by_network += analysis->reset_by == CU_PARTY_NETWORK;
	}
	/* A probe of an open port is a handshake that its client breaks off or leaves. */
	bool empty = !(analysis->completeness & CU_SEEN_DATA);
	bool broken_off = empty && analysis->close == CU_CLOSE_ABORTIVE && analysis->closed_by == CU_PARTY_CLIENT;
	bool unheard =
		analysis->completeness == CU_SEEN_SYN; /* by the end of the capture: whoever scans does not wait */
	if (kind == CU_BAD_UNANSWERED || (kind == CU_BAD_REFUSED && prohibited) || (kind == CU_N_BAD && unheard)) {
		add_probe(findings, client, connection, PROBE_FILTERED);
	} else if (kind == CU_BAD_REFUSED) {
		add_probe(findings, client, connection, PROBE_CLOSED);
	} else if (broken_off || kind == CU_BAD_HALF_OPEN) {
		add_probe(findings, client, connection, PROBE_OPEN);
	}
	return 0;
}

static const struct {
	const char *kind;
	uint64_t least, percent;
} limits[] = {
	[CU_BAD_REFUSED] = {"refused", CU_REFUSED_LEAST, CU_REFUSED_PERCENT},
	[CU_BAD_UNANSWERED] = {"unanswered", CU_UNANSWERED_LEAST, CU_UNANSWERED_PERCENT},
	[CU_BAD_HALF_OPEN] = {"half_open", CU_HALF_OPEN_LEAST, CU_HALF_OPEN_PERCENT},
	[CU_BAD_ABORTED] = {"aborts", CU_ABORTS_LEAST, CU_ABORTS_PERCENT},
	[CU_BAD_RESET] = {"resets", CU_RESETS_LEAST, CU_RESETS_PERCENT},
};

/* A candidate: its endpoint and what about it. */
struct candidate {
	const struct endpoint *endpoint;
	unsigned kind; /* enum bad; CU_N_BAD for a scan */
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

/* Different endpoints that a client tried in vain; 0 when it is no scanner. */
static uint64_t count_scanned(const struct endpoint *client)
{
	uint64_t n = client->bad[0].n;
	if (!is_enough(n, client->n, CU_SCAN_LEAST, CU_SCAN_PERCENT)) {
		return 0;
	}
	uint64_t different = cu_distinct_count(&client->probes->endpoints);
	different = different < n ? different : n;
	return different >= CU_SCAN_LEAST ? different : 0;
}

/* What remains against a server when what scanners met is left out. */
static bool is_bad(const struct cu_findings *findings, const struct endpoint *server, unsigned kind)
{
	uint64_t n = server->bad[kind].n, of = server->n;
	for (size_t i = 0; kind <= CU_BAD_HALF_OPEN && i < sizeof(server->met) / sizeof(server->met[0]); i++) {
		const struct met *met = &server->met[i];
		if (met->n[kind] == 0 || met->n[kind] > CU_SCAN_TRIES) {
			continue;
		}
		const struct endpoint *client = find(&findings->clients, &met->client, 0);
		if (client && count_scanned(client) > 0) {
			n -= met->n[kind];
			of -= met->n[kind];
		}
	}
	return is_enough(n, of, limits[kind].least, limits[kind].percent);
}

static size_t collect(const struct cu_findings *findings, struct candidate *candidates)
{
	size_t n = 0;
	for (size_t i = 0; i < findings->servers.n; i++) {
		const struct endpoint *server = &findings->servers.endpoints[i];
		for (unsigned kind = 0; kind < CU_N_BAD; kind++) {
			if (is_bad(findings, server, kind)) {
				candidates[n++] = (struct candidate){server, kind, server->bad[kind].n};
			}
		}
	}
	for (size_t i = 0; i < findings->clients.n; i++) {
		const struct endpoint *client = &findings->clients.endpoints[i];
		uint64_t different = count_scanned(client);
		if (different > 0) {
			candidates[n++] = (struct candidate){client, CU_N_BAD, different};
		}
	}
	return n;
}

static struct cu_text text_of(struct cu_buf *buf)
{
	const char *text = cu_buf_cstr(buf);
	return (struct cu_text){text, (uint32_t)strlen(text)};
}

/* ": 6 on data, 1 after a silence" */
static void say_resets(struct cu_buf *why, const struct endpoint *server)
{
	static const char *const words[CU_RESET_ABORT + 1] = {
		[CU_RESET_ON_DATA] = "on data it did not take",
		[CU_RESET_NO_STATE] = "for a connection it did not know",
		[CU_RESET_IDLE] = "after a silence",
		[CU_RESET_ABORT] = "on its own",
	};
	const char *before = ": ";
	for (unsigned kind = 0; kind <= CU_RESET_ABORT; kind++) {
		if (words[kind] && server->n_resets[kind] > 0) {
			cu_buf_printf(why, "%s%lu %s", before, (unsigned long)server->n_resets[kind], words[kind]);
			before = ", ";
		}
	}
}

/* An endpoint that was asked again counts once, by the best that it said. */
static struct cu_scan sum_up(const struct endpoint *client, uint64_t different)
{
	const struct probes *probes = client->probes;
	struct cu_scan scan = {
		.n_open = cu_distinct_count(&probes->open),
		.n_closed = cu_distinct_count(&probes->closed),
		.n_hosts = cu_distinct_count(&probes->hosts),
		.n_ports = cu_distinct_count(&probes->ports),
	};
	uint64_t answered = scan.n_open + scan.n_closed;
	scan.n_filtered = different > answered ? different - answered : 0;
	if (!probes->other_hosts) {
		scan.host = probes->host;
	}
	scan.port = probes->other_ports ? 0 : probes->port;
	return scan;
}

/* "probed 300 ports of 10.0.1.8: 2 open, 290 closed, 8 filtered" */
static void say_scan(struct cu_buf *why, const struct cu_scan *scan, uint64_t different, bool exact)
{
	const char *about = exact ? "" : "about ";
	char addr[CU_TEXT_CAP];
	if (scan->host.family != 0) {
		cu_format_addr(addr, &scan->host);
		cu_buf_printf(why, "probed %s%llu ports of %s", about, (unsigned long long)different, addr);
	} else if (scan->port != 0) {
		cu_buf_printf(why, "probed port %u of %s%llu hosts", scan->port, about, (unsigned long long)different);
	} else {
		cu_buf_printf(why, "probed %s%llu endpoints, on %s%llu hosts", about, (unsigned long long)different,
		              about, (unsigned long long)scan->n_hosts);
	}
	cu_buf_printf(why, ": %llu open, %llu closed, %llu filtered", (unsigned long long)scan->n_open,
	              (unsigned long long)scan->n_closed, (unsigned long long)scan->n_filtered);
}

static struct cu_finding describe(struct cu_findings *findings, const struct candidate *candidate)
{
	const struct endpoint *endpoint = candidate->endpoint;
	const struct span *span = &endpoint->bad[candidate->kind == CU_N_BAD ? 0 : candidate->kind];
	bool all = span->n == endpoint->n;
	struct cu_buf *why = &findings->why, *advice = &findings->advice;
	struct cu_finding finding = {.addr = endpoint->addr,
	                             .port = endpoint->port,
	                             .count = candidate->count,
	                             .first_frame = span->first_frame,
	                             .last_frame = span->last_frame,
	                             .first_file = span->first_file,
	                             .last_file = span->last_file,
	                             .start_ns = span->start_ns,
	                             .end_ns = span->end_ns};
	const char *kind = candidate->kind == CU_N_BAD ? "scan" : limits[candidate->kind].kind;
	char addr[CU_TEXT_CAP];
	cu_format_addr(addr, &endpoint->addr);
	cu_buf_clear(why);
	cu_buf_clear(advice);
	unsigned long long n = span->n, of = endpoint->n;
	switch (candidate->kind) {
	case CU_BAD_REFUSED: {
		bool prohibited = endpoint->n_prohibited * 2 > span->n;
		bool rejected = endpoint->n_refused_by_network * UINT64_C(2) > span->n;
		finding.blame = prohibited || rejected ? CU_PARTY_NETWORK : CU_PARTY_SERVER;
		finding.confidence = all ? CU_CONFIDENCE_HIGH : CU_CONFIDENCE_MEDIUM;
		cu_buf_printf(why, "%llu of %llu connections were refused%s", n, of,
		              prohibited ? " by an ICMP error"
		              : rejected ? ", by a RST of a device on the path: the TTL is another"
		                         : "");
		cu_buf_printf(advice,
		              prohibited || rejected ? "look for a firewall that prohibits port %u of %s"
		                                     : "check that a service listens on port %u of %s",
		              endpoint->port, addr);
		break;
	}
	case CU_BAD_UNANSWERED:
		finding.blame = CU_PARTY_NETWORK;
		finding.confidence = all ? CU_CONFIDENCE_MEDIUM : CU_CONFIDENCE_LOW;
		cu_buf_printf(why, "%llu of %llu connections got no answer", n, of);
		cu_buf_printf(advice, "check that %s is up and that no firewall drops port %u", addr, endpoint->port);
		break;
	case CU_BAD_HALF_OPEN:
		finding.blame = CU_PARTY_CLIENT;
		finding.confidence = CU_CONFIDENCE_LOW;
		cu_buf_printf(why, "%llu of %llu handshakes were left half-open: no ACK followed the SYN-ACK", n, of);
		cu_buf_printf(advice, "see whether the SYN-ACKs of %s reach the clients, or whether it is flooded",
		              addr);
		break;
	case CU_BAD_ABORTED:
		finding.blame = CU_PARTY_CLIENT;
		finding.confidence = CU_CONFIDENCE_MEDIUM;
		cu_buf_printf(why, "%llu of %llu connections were reset by clients that left data unread", n, of);
		cu_buf_printf(advice, "compare the clients' timeouts with the time that port %u of %s takes",
		              endpoint->port, addr);
		break;
	case CU_BAD_RESET:
		finding.confidence = CU_CONFIDENCE_MEDIUM;
		if (endpoint->n_resets_by_network * UINT64_C(2) > n) {
			finding.blame = CU_PARTY_NETWORK;
			cu_buf_printf(
				why,
				"%llu of %llu connections were reset, %lu by a device on the path: the TTL is another",
				n, of, (unsigned long)endpoint->n_resets_by_network);
			cu_buf_printf(advice, "look for a firewall or proxy between the clients and %s", addr);
			break;
		}
		finding.blame = CU_PARTY_SERVER;
		cu_buf_printf(why, "%llu of %llu connections were reset by the server", n, of);
		say_resets(why, endpoint);
		cu_buf_printf(advice, "look for crashes and timeouts of the service at port %u of %s", endpoint->port,
		              addr);
		break;
	default:
		finding.blame = CU_PARTY_CLIENT;
		finding.confidence = candidate->count >= 4 * CU_SCAN_LEAST ? CU_CONFIDENCE_HIGH : CU_CONFIDENCE_MEDIUM;
		finding.scan = sum_up(endpoint, candidate->count);
		say_scan(why, &finding.scan, candidate->count, !endpoint->probes->endpoints.left_out);
		cu_buf_printf(advice, "find out what %s looks for: a scanner, or a list of servers that is out of date",
		              addr);
		break;
	}
	if (endpoint->is_late) {
		finding.confidence = CU_CONFIDENCE_LOW; /* of how many is not known */
	}
	finding.kind = (struct cu_text){kind, (uint32_t)strlen(kind)};
	finding.why = text_of(why);
	finding.advice = text_of(advice);
	return finding;
}

int cu_findings_each(struct cu_findings *findings, int (*take)(void *context, const struct cu_finding *finding),
                     void *context)
{
	size_t most = findings->servers.n * CU_N_BAD + findings->clients.n;
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
	size_t n_of_kind = 0;
	for (size_t i = 0; i < n && err == 0; i++) {
		n_of_kind = i > 0 && candidates[i].kind == candidates[i - 1].kind ? n_of_kind + 1 : 1;
		if (n_of_kind > CU_FINDING_CAP) {
			findings->n_left_out++;
			continue;
		}
		struct cu_finding finding = describe(findings, &candidates[i]);
		err = findings->why.failed || findings->advice.failed ? CU_ERR_NOMEM : take(context, &finding);
	}
	free(candidates);
	return err;
}

uint64_t cu_findings_n_left_out(const struct cu_findings *findings)
{
	return findings->n_left_out;
}

uint64_t cu_findings_n_forgotten(const struct cu_findings *findings)
{
	return findings->servers.n_forgotten + findings->clients.n_forgotten;
}
