#include "lib/rules/window.h"

#include "lib/base/grow.h"
#include "lib/base/hash.h"
#include "lib/base/index.h"
#include "lib/rules/finding.h"
#include "lib/rules/internal.h"

#include <stdlib.h>
#include <string.h>

/* Counts of a cell are those of a window, then the program's counters. */
_Static_assert(offsetof(struct cu_window_facts, n_bad) == CU_COUNT_BAD * sizeof(uint64_t) &&
                       offsetof(struct cu_window_facts, start_ns) == CU_N_WINDOW_COUNTS * sizeof(uint64_t),
               "the fields of a window that count are numbered in order");

/* Rules that are about the same kind of endpoint over the same length of time share cells. */
struct group {
	enum cu_about about;
	int64_t over_ns;
	uint64_t counters; /* bits of those they read */
};

struct endpoint {
	struct cu_addr addr;
	uint16_t port;          /* 0: a client */
	struct cu_text service; /* of the rules */
};

struct cell {
	uint32_t endpoint; /* its number, from 1 */
	uint32_t group;
	int64_t number; /* of the stretch of time */
	uint64_t first_frame, last_frame;
	uint16_t first_file, last_file;
	int64_t start_ns, end_ns;
};

/* A rule that matched for an endpoint: the window to tell of is n_best cells from best on. */
struct match {
	size_t rule, endpoint; /* indexes */
	size_t best, n_best;
	uint64_t weight, n_windows;
	struct cell span;
};

struct cu_windows {
	struct cu_rules *rules;
	struct group *groups;
	size_t n_groups;
	uint32_t *group_of; /* of each rule about endpoints */
	struct cu_hash_seed seed;
	struct endpoint *endpoints;
	size_t n_endpoints, endpoints_cap;
	struct cu_index by_addr; /* of endpoints */
	struct cell *cells;
	size_t n_cells, cells_cap;
	struct cu_index by_key; /* of cells */
	uint32_t *counts;       /* n_counts of each cell */
	size_t n_counts, counts_cap;
	uint64_t n_dropped, n_left_out;

	/* for cu_windows_each */
	struct cell **order;
	struct match *matches;
	size_t n_matches, cap_matches;
	uint64_t sums[CU_N_WINDOW_COUNTS + CU_COUNTER_CAP];
	struct cu_connection connection;
	struct cu_window_facts facts;
	struct cu_derived derived;
	struct cu_buf text;
};

static const struct cu_rule *rule_at(const struct cu_windows *windows, size_t i)
{
	return windows->rules->rules[windows->rules->n_active + i];
}

static bool make_groups(struct cu_windows *windows)
{
	size_t n = windows->rules->n_endpoints;
	windows->groups = calloc(n, sizeof(*windows->groups));
	windows->group_of = calloc(n, sizeof(*windows->group_of));
	for (size_t i = 0; windows->groups && windows->group_of && i < n; i++) {
		const struct cu_rule *rule = rule_at(windows, i);
		size_t group = 0;
		while (group < windows->n_groups && !(windows->groups[group].about == rule->about &&
		                                      windows->groups[group].over_ns == rule->over_ns)) {
			group++;
		}
		windows->n_groups += group == windows->n_groups;
		windows->groups[group].about = rule->about;
		windows->groups[group].over_ns = rule->over_ns;
		windows->groups[group].counters |= rule->all_counters;
		windows->group_of[i] = (uint32_t)group;
	}
	return windows->groups && windows->group_of;
}

int cu_windows_new(struct cu_windows **windows, struct cu_rules *rules)
{
	*windows = NULL;
	if (rules->n_endpoints == 0) {
		return 0;
	}
	struct cu_windows *made = calloc(1, sizeof(*made));
	if (made) {
		made->rules = rules;
		made->seed = cu_hash_seed_random();
		made->n_counts = CU_N_WINDOW_COUNTS + rules->program.n_counters;
	}
	if (!made || !make_groups(made)) {
		cu_windows_free(made);
		return CU_ERR_NOMEM;
	}
	*windows = made;
	return 0;
}

void cu_windows_free(struct cu_windows *windows)
{
	if (windows) {
		free(windows->groups);
		free(windows->group_of);
		free(windows->endpoints);
		free(windows->cells);
		free(windows->counts);
		cu_index_release(&windows->by_addr);
		cu_index_release(&windows->by_key);
		free(windows->order);
		free(windows->matches);
		cu_buf_release(&windows->text);
		free(windows);
	}
}

/* ---- counting ---- */

/* Finds or adds an endpoint: its number, 0 when there are too many, or CU_ERR_NOMEM. */
static int64_t number_endpoint(struct cu_windows *windows, const struct cu_addr *addr, uint16_t port)
{
	uint64_t hash = cu_hash_bytes(windows->seed, addr->bytes, sizeof(addr->bytes));
	uint32_t tag = cu_index_tag(cu_hash_mix(hash ^ windows->seed.k[0], port + windows->seed.k[1] + addr->family));
	for (uint32_t i = tag, at; (at = cu_index_walk(&windows->by_addr, tag, &i)) != 0;) {
		const struct endpoint *endpoint = &windows->endpoints[at - 1];
		if (endpoint->port == port && cu_addr_equal(&endpoint->addr, addr)) {
			return at;
		}
	}
	if (windows->n_endpoints == CU_WINDOW_ENDPOINT_CAP) {
		return 0;
	}
	if (!cu_grow((void **)&windows->endpoints, &windows->endpoints_cap, windows->n_endpoints,
	             sizeof(*windows->endpoints)) ||
	    !cu_index_add(&windows->by_addr, tag, (uint32_t)windows->n_endpoints + 1)) {
		return CU_ERR_NOMEM;
	}
	struct endpoint *endpoint = &windows->endpoints[windows->n_endpoints++];
	*endpoint = (struct endpoint){.addr = *addr, .port = port};
	if (port != 0) {
		endpoint->service = cu_rules_service(windows->rules, addr, port);
	}
	return (int64_t)windows->n_endpoints;
}

static uint32_t tag_of_cell(const struct cu_windows *windows, const struct cell *key)
{
	return cu_index_tag(cu_hash_mix((uint64_t)key->number ^ windows->seed.k[0],
	                                ((uint64_t)key->endpoint << 32 | key->group) ^ windows->seed.k[1]));
}

/* Room for another cell and its counts. */
static bool grow(struct cu_windows *windows)
{
	return cu_grow((void **)&windows->cells, &windows->cells_cap, windows->n_cells, sizeof(*windows->cells)) &&
	       cu_grow((void **)&windows->counts, &windows->counts_cap, windows->n_cells,
	               windows->n_counts * sizeof(*windows->counts));
}

/* Finds or adds a cell: its number, 0 when there are too many, or CU_ERR_NOMEM. */
static int64_t number_cell(struct cu_windows *windows, const struct cell *key)
{
	uint32_t tag = tag_of_cell(windows, key);
	for (uint32_t i = tag, at; (at = cu_index_walk(&windows->by_key, tag, &i)) != 0;) {
		const struct cell *cell = &windows->cells[at - 1];
		if (cell->endpoint == key->endpoint && cell->group == key->group && cell->number == key->number) {
			return at;
		}
	}
	if (windows->n_cells == CU_WINDOW_CELL_CAP) {
		return 0;
	}
	if (!grow(windows) || !cu_index_add(&windows->by_key, tag, (uint32_t)windows->n_cells + 1)) {
		return CU_ERR_NOMEM;
	}
	size_t idx = windows->n_cells++;
	windows->cells[idx] = *key;
	memset(&windows->counts[idx * windows->n_counts], 0, windows->n_counts * sizeof(*windows->counts));
	return (int64_t)windows->n_cells;
}

/* Where and when something was. */
struct seen {
	int64_t time_ns;
	uint64_t first_frame, last_frame; /* 0 none */
	uint16_t first_file, last_file;
	int64_t start_ns, end_ns;
};

static void widen(struct cell *cell, const struct seen *seen)
{
	if (cell->first_frame == 0 || (seen->first_frame != 0 && seen->start_ns < cell->start_ns)) {
		cell->first_frame = seen->first_frame;
		cell->first_file = seen->first_file;
		cell->start_ns = seen->start_ns;
	}
	if (cell->last_frame == 0 || (seen->last_frame != 0 && seen->end_ns > cell->end_ns)) {
		cell->last_frame = seen->last_frame;
		cell->last_file = seen->last_file;
		cell->end_ns = seen->end_ns;
	}
}

static int64_t divide_down(int64_t number, int64_t by)
{
	return number / by - (number % by < 0);
}

/* The counts of the cell that something of an endpoint falls in; *counts is NULL when there is no room. */
static int find_cell(struct cu_windows *windows, uint32_t endpoint, uint32_t group, const struct seen *seen,
                     uint32_t **counts)
{
	int64_t over_ns = windows->groups[group].over_ns;
	const struct cell key = {
		.endpoint = endpoint,
		.group = group,
		.number = over_ns >= CU_WINDOW_CELLS ? divide_down(seen->time_ns, over_ns / CU_WINDOW_CELLS) : 0};
	*counts = NULL;
	int64_t number = number_cell(windows, &key);
	if (number > 0) {
		widen(&windows->cells[number - 1], seen);
		*counts = &windows->counts[(size_t)(number - 1) * windows->n_counts];
	}
	return number < 0 ? (int)number : 0;
}

/* Adds one to the counts of bits, and to those of base, for both ends. */
static int add(struct cu_windows *windows, const struct cu_connection *connection, const struct seen *seen,
               unsigned base, unsigned also, uint64_t bits)
{
	int64_t numbers[] = {[CU_ABOUT_SERVER] = -1, [CU_ABOUT_CLIENT] = -1}; /* -1: not looked for */
	bool dropped = false;
	for (uint32_t group = 0; group < windows->n_groups; group++) {
		enum cu_about about = windows->groups[group].about;
		if (numbers[about] < 0) {
			numbers[about] = about == CU_ABOUT_SERVER ? number_endpoint(windows, &connection->server,
			                                                            connection->server_port)
			                                          : number_endpoint(windows, &connection->client, 0);
		}
		if (numbers[about] < 0) {
			return (int)numbers[about];
		}
		uint32_t *counts = NULL;
		int err = numbers[about] == 0 ? 0 : find_cell(windows, (uint32_t)numbers[about], group, seen, &counts);
		if (err != 0) {
			return err;
		}
		if (!counts) {
			dropped = true;
			continue;
		}
		counts[base]++;
		counts[also] += also != base;
		for (uint64_t left = bits & windows->groups[group].counters; left != 0; left &= left - 1) {
			counts[CU_N_WINDOW_COUNTS + __builtin_ctzll(left)]++;
		}
	}
	windows->n_dropped += dropped;
	return 0;
}

int cu_windows_add_transaction(struct cu_windows *windows, const struct cu_facts *facts,
                               const struct cu_verdict *verdict)
{
	const struct cu_transaction *transaction = facts->transaction;
	if (!facts->connection) {
		return 0; /* of nobody that is known */
	}
	const struct cu_message *request = &transaction->request, *response = &transaction->response;
	const struct cu_message *last = response->last_frame != 0 ? response : request;
	const struct seen seen = {.time_ns = transaction->start_ns,
	                          .first_frame = request->first_frame ? request->first_frame : response->first_frame,
	                          .first_file = cu_transaction_file(transaction, request->first_file),
	                          .last_frame = last->last_frame,
	                          .last_file = cu_transaction_file(transaction, last->last_file),
	                          .start_ns = transaction->start_ns,
	                          .end_ns = transaction->start_ns + transaction->total_ns};
	uint64_t bits = cu_rules_count(windows->rules, verdict);
	return add(windows, facts->connection, &seen, CU_COUNT_TRANSACTIONS, CU_COUNT_TRANSACTIONS, bits);
}

int cu_windows_add_connection(struct cu_windows *windows, const struct cu_connection *connection,
                              const struct cu_analysis *analysis, bool prohibited)
{
	enum cu_bad_end bad = cu_finding_bad_end(analysis, prohibited);
	const struct seen seen = {.time_ns = connection->end_ns,
	                          .first_frame = connection->first_frame,
	                          .last_frame = connection->last_frame,
	                          .first_file = connection->first_file,
	                          .last_file = connection->last_file,
	                          .start_ns = connection->start_ns,
	                          .end_ns = connection->end_ns};
	unsigned also = bad < CU_N_BAD ? CU_COUNT_BAD + bad : CU_COUNT_CONNECTIONS;
	return add(windows, connection, &seen, CU_COUNT_CONNECTIONS, also, 0);
}

uint64_t cu_windows_n_dropped(const struct cu_windows *windows)
{
	return windows->n_dropped;
}

uint64_t cu_windows_n_left_out(const struct cu_windows *windows)
{
	return windows->n_left_out;
}

/* ---- findings ---- */

static int by_time(const void *a, const void *b)
{
	const struct cell *x = *(struct cell *const *)a, *y = *(struct cell *const *)b;
	if (x->group != y->group) {
		return x->group < y->group ? -1 : 1;
	}
	if (x->endpoint != y->endpoint) {
		return x->endpoint < y->endpoint ? -1 : 1;
	}
	return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_same(const struct cell *a, const struct cell *b)
{
	return a->group == b->group && a->endpoint == b->endpoint;
}

/* Sums up the window of n cells, and makes it what the program looks at. */
static struct cu_view look_at(struct cu_windows *windows, struct cell *const *cells, size_t n)
{
	const struct group *group = &windows->groups[cells[0]->group];
	const struct endpoint *endpoint = &windows->endpoints[cells[0]->endpoint - 1];
	uint64_t *sums = windows->sums;
	memset(sums, 0, sizeof(windows->sums));
	for (size_t i = 0; i < n; i++) {
		const uint32_t *counts = &windows->counts[(size_t)(cells[i] - windows->cells) * windows->n_counts];
		for (size_t k = 0; k < windows->n_counts; k++) {
			sums[k] += counts[k];
		}
	}
	bool whole = group->over_ns == 0;
	windows->facts = (struct cu_window_facts){
		.n_transactions = sums[CU_COUNT_TRANSACTIONS],
		.n_connections = sums[CU_COUNT_CONNECTIONS],
		.start_ns = whole ? cells[0]->start_ns : cells[0]->number * (group->over_ns / CU_WINDOW_CELLS),
		.length_ns = whole ? cells[0]->end_ns - cells[0]->start_ns : group->over_ns};
	memcpy(windows->facts.n_bad, &sums[CU_COUNT_BAD], sizeof(windows->facts.n_bad));
	bool server = group->about == CU_ABOUT_SERVER;
	windows->connection = (struct cu_connection){0};
	*(server ? &windows->connection.server : &windows->connection.client) = endpoint->addr;
	windows->connection.server_port = endpoint->port;
	windows->derived = (struct cu_derived){.service = endpoint->service};
	return (struct cu_view){
		.base = {[CU_FIELD_CONNECTION] = &windows->connection,
	                 [CU_FIELD_DERIVED] = &windows->derived,
	                 [CU_FIELD_WINDOW] = &windows->facts},
		.counters = &sums[CU_N_WINDOW_COUNTS],
	};
}

/*
 * How much of what a rule counts there is in the window looked at: by count()
 * and share(); else what is bad, transactions or connections that it names.
 */
static uint64_t weigh(const struct cu_windows *windows, const struct cu_rule *rule)
{
	const uint32_t bad = UINT32_MAX << CU_COUNT_BAD;
	uint32_t named = rule->counts & bad ? rule->counts & bad : rule->counts ? rule->counts : UINT32_MAX;
	uint64_t weight = 0;
	for (uint64_t left = rule->counters; left != 0; left &= left - 1) {
		weight += windows->sums[CU_N_WINDOW_COUNTS + __builtin_ctzll(left)];
	}
	for (unsigned i = 0; rule->counters == 0 && i < CU_N_WINDOW_COUNTS; i++) {
		weight += named >> i & 1 ? windows->sums[i] : 0;
	}
	return weight;
}

/* Asks a rule about each window of an endpoint: n cells in order of time, from index first on. */
static bool ask(struct cu_windows *windows, size_t rule_idx, size_t first, size_t n)
{
	const struct cu_rule *rule = rule_at(windows, rule_idx);
	struct cu_program *program = &windows->rules->program;
	struct match match = {.rule = rule_idx, .endpoint = windows->order[first]->endpoint - 1};
	int64_t free_from = INT64_MIN; /* windows from there on do not overlap one that was counted */
	for (size_t i = 0; i < n; i++) {
		struct cell *const *cells = &windows->order[first + i];
		size_t len = 1;
		while (i + len < n && cells[len]->number - cells[0]->number < CU_WINDOW_CELLS) {
			len++;
		}
		struct cu_view view = look_at(windows, cells, len);
		cu_program_begin(program);
		if (!cu_program_test(program, rule->step, &view)) {
			continue;
		}
		uint64_t weight = weigh(windows, rule);
		if (match.n_windows == 0 || weight > match.weight) {
			match.weight = weight;
			match.best = first + i;
			match.n_best = len;
		}
		if (cells[0]->number >= free_from) {
			match.n_windows++;
			free_from = cells[0]->number + CU_WINDOW_CELLS;
		}
		for (size_t k = 0; k < len; k++) {
			const struct cell *cell = cells[k];
			widen(&match.span, &(struct seen){0, cell->first_frame, cell->last_frame, cell->first_file,
			                                  cell->last_file, cell->start_ns, cell->end_ns});
		}
	}
	if (match.n_windows == 0) {
		return true;
	}
	if (!cu_grow((void **)&windows->matches, &windows->cap_matches, windows->n_matches, sizeof(match))) {
		return false;
	}
	windows->matches[windows->n_matches++] = match;
	return true;
}

static int by_rule(const void *a, const void *b)
{
	const struct match *x = a, *y = b;
	if (x->rule != y->rule) {
		return x->rule < y->rule ? -1 : 1;
	}
	if (x->n_windows != y->n_windows) {
		return x->n_windows > y->n_windows ? -1 : 1;
	}
	if (x->weight != y->weight) {
		return x->weight > y->weight ? -1 : 1;
	}
	if (x->span.start_ns != y->span.start_ns) {
		return x->span.start_ns < y->span.start_ns ? -1 : 1;
	}
	return x->span.first_frame < y->span.first_frame ? -1 : x->span.first_frame > y->span.first_frame;
}

static struct cu_finding describe(struct cu_windows *windows, const struct match *match)
{
	static const char kind[] = "rule";
	const struct cu_rule *rule = rule_at(windows, match->rule);
	const struct endpoint *endpoint = &windows->endpoints[match->endpoint];
	const struct cell *span = &match->span;
	struct cu_program *program = &windows->rules->program;
	struct cu_view view = look_at(windows, &windows->order[match->best], match->n_best);
	struct cu_finding finding = {.kind = {kind, sizeof(kind) - 1},
	                             .addr = endpoint->addr,
	                             .port = endpoint->port,
	                             .count = match->n_windows,
	                             .first_frame = span->first_frame,
	                             .last_frame = span->last_frame,
	                             .first_file = span->first_file,
	                             .last_file = span->last_file,
	                             .start_ns = span->start_ns,
	                             .end_ns = span->end_ns,
	                             .rule = {rule->name, (uint32_t)strlen(rule->name)}};
	if (rule->blame_value > CU_PARTY_NONE) {
		finding.blame = (uint8_t)rule->blame_value;
		finding.confidence =
			(uint8_t)(rule->confidence_value >= 0 ? rule->confidence_value : CU_CONFIDENCE_LOW);
	}
	cu_buf_clear(&windows->text);
	cu_program_begin(program);
	cu_template_render(rule->why, program, &view, CU_VERDICT_TEXT_CAP, &windows->text);
	size_t why_len = windows->text.len;
	cu_template_render(rule->advice_parts, program, &view, CU_VERDICT_TEXT_CAP, &windows->text);
	if (!windows->text.failed) {
		const char *text = (const char *)windows->text.data;
		finding.why = (struct cu_text){text, (uint32_t)why_len};
		finding.advice =
			(struct cu_text){text ? text + why_len : NULL, (uint32_t)(windows->text.len - why_len)};
	}
	return finding;
}

/* Asks every rule about every endpoint of its group. */
static int ask_all(struct cu_windows *windows)
{
	size_t n = windows->n_cells;
	windows->order = calloc(n, sizeof(struct cell *));
	if (!windows->order) {
		return CU_ERR_NOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		windows->order[i] = &windows->cells[i];
	}
	qsort(windows->order, n, sizeof(*windows->order), by_time);
	for (size_t first = 0, end; first < n; first = end) {
		end = first + 1;
		while (end < n && is_same(windows->order[end], windows->order[first])) {
			end++;
		}
		for (size_t i = 0; i < windows->rules->n_endpoints; i++) {
			if (windows->group_of[i] == windows->order[first]->group &&
			    !ask(windows, i, first, end - first)) {
				return CU_ERR_NOMEM;
			}
		}
	}
	return 0;
}

int cu_windows_each(struct cu_windows *windows, int (*take)(void *context, const struct cu_finding *finding),
                    void *context)
{
	int err = windows->n_cells > 0 ? ask_all(windows) : 0;
	if (windows->n_matches > 0) {
		qsort(windows->matches, windows->n_matches, sizeof(*windows->matches), by_rule);
	}
	size_t n_of_rule = 0;
	for (size_t i = 0; err == 0 && i < windows->n_matches; i++) {
		n_of_rule = i > 0 && windows->matches[i].rule == windows->matches[i - 1].rule ? n_of_rule + 1 : 1;
		if (n_of_rule > CU_FINDING_CAP) {
			windows->n_left_out++;
			continue;
		}
		struct cu_finding finding = describe(windows, &windows->matches[i]);
		err = windows->text.failed ? CU_ERR_NOMEM : take(context, &finding);
	}
	return err;
}
