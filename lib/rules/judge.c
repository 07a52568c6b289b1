/*
 * The verdict on a transaction: what its ledger says, and what the rules make
 * of that.
 */
#include "lib/rules/internal.h"

#include <math.h>
#include <string.h>

/* How a verdict's confidence follows from the ledger. */
enum {
	CERTAIN = 80,       /* percent of certainty from which confidence is high */
	HALF_CERTAIN = 50,  /* medium */
	CLEAR_LEAD = 2,     /* times the next party's share, for high */
	CLOSE_PERCENT = 80, /* of the blamed party's share: the next one is close */
	RTT_PERCENT = 90,   /* of the total: nothing else explains it */
};

static bool is_http(struct cu_text name)
{
	uint32_t i = 0;
	while (i < name.len && name.data[i] >= 'A' && name.data[i] <= 'Z') {
		i++;
	}
	return i >= 3 && i + 1 < name.len && name.data[i] == ' ';
}

static void derive_events(const struct cu_transaction *transaction, struct cu_derived *derived)
{
	bool icmp = false;
	for (unsigned i = 0; i < transaction->n_kept; i++) {
		const struct cu_event *event = &transaction->events[i];
		unsigned count = event->count > 0 ? event->count : 1;
		if (event->kind < CU_N_EVENTS) {
			derived->events[event->kind] += count;
		}
		if (event->kind == CU_EVENT_KEEP_ALIVE_ACK && event->dir == CU_S2C) {
			derived->server_keep_alive_acks += count;
		}
		if (event->kind == CU_EVENT_RESET) {
			derived->party_of_reset = event->dir == CU_C2S ? CU_PARTY_CLIENT : CU_PARTY_SERVER;
		}
		icmp = icmp || event->kind == CU_EVENT_ICMP;
	}
	derived->prohibited =
		icmp && transaction->outcome == CU_OUTCOME_REFUSED && derived->events[CU_EVENT_RESET] == 0;
}

static void derive_connection(const struct cu_facts *facts, struct cu_derived *derived)
{
	const struct cu_connection *connection = facts->connection;
	const struct cu_analysis *analysis = facts->analysis;
	derived->connection_ns = derived->connection_bytes = derived->connection_segments = -1;
	derived->retransmitted = derived->gaps = derived->gap_bytes = -1;
	if (connection) {
		derived->connection_ns = connection->end_ns - connection->start_ns;
		derived->connection_bytes = (int64_t)(connection->side[0].n_bytes + connection->side[1].n_bytes);
		derived->connection_segments =
			(int64_t)(connection->side[0].n_segments + connection->side[1].n_segments);
	}
	if (analysis) {
		derived->retransmitted =
			(int64_t)(analysis->side[0].n_retransmitted + analysis->side[1].n_retransmitted);
		derived->gaps = (int64_t)(analysis->side[0].n_gaps + analysis->side[1].n_gaps);
		derived->gap_bytes = (int64_t)(analysis->side[0].n_gap_bytes + analysis->side[1].n_gap_bytes);
	}
}

/* What is at an endpoint, remembered. */
static const struct cu_service_at *service_at(struct cu_rules *rules, const struct cu_addr *addr, unsigned port)
{
	uint64_t hash = port;
	for (size_t i = 0; i < sizeof(addr->bytes); i += 8) {
		uint64_t half;
		memcpy(&half, addr->bytes + i, sizeof(half));
		hash = (hash ^ half) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio: Knuth, TAOCP 6.4 */
	}
	struct cu_service_at *at = &rules->cache[(hash >> 32) & (CU_SERVICE_CACHE - 1)];
	if (!at->filled || at->port != port || !cu_addr_equal(&at->addr, addr)) {
		cu_services_find(&rules->services, addr, port, at);
	}
	return at;
}

struct cu_text cu_rules_service(struct cu_rules *rules, const struct cu_addr *addr, unsigned port)
{
	return service_at(rules, addr, port)->name;
}

/* That of a connection's server; what is true anywhere when the connection is not known. */
static const struct cu_service_at *service_of(struct cu_rules *rules, const struct cu_connection *connection)
{
	static const struct cu_addr nowhere;
	return service_at(rules, connection ? &connection->server : &nowhere, connection ? connection->server_port : 0);
}

static int64_t slow_over(const struct cu_service_at *at, const struct cu_transaction *transaction)
{
	return at->slow.ns[transaction->kind < CU_SLOW_KINDS ? transaction->kind : CU_TXN_NONE];
}

void cu_derive(struct cu_rules *rules, const struct cu_facts *facts)
{
	const struct cu_transaction *transaction = facts->transaction;
	const struct cu_connection *connection = facts->connection;
	struct cu_derived *derived = &rules->derived;
	*derived = (struct cu_derived){.tls = facts->tls || transaction->kind == CU_TXN_TLS_HANDSHAKE};
	const struct cu_service_at *at = service_of(rules, connection);
	derived->service = at->name;
	derived->slow_over_ns = slow_over(at, transaction);
	derived->slow = transaction->total_ns > derived->slow_over_ns;
	derived->excess_ns = transaction->total_ns - transaction->ledger[CU_NETWORK_RTT].ns;
	derived->acked = transaction->acked_frame != 0;
	derived->ack_delay_ns = derived->acked ? transaction->ack_delay_ns : -1;
	derived->certainty = transaction->certainty / 100.0;
	derived->http = is_http(transaction->name);
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (cause != CU_NETWORK_RTT) {
			int64_t *party_ns = &derived->party_ns[cu_cause_party(cause)];
			*party_ns = cu_add_ns(*party_ns, transaction->ledger[cause].ns);
		}
	}
	int64_t transfer_ns = transaction->total_ns - transaction->first_byte_ns;
	bool has_rate = transaction->first_byte_ns > 0 && transfer_ns > 0;
	derived->response_rate = has_rate ? (double)transaction->response.n_bytes / (double)transfer_ns : (double)NAN;
	derive_events(transaction, derived);
	derive_connection(facts, derived);
	cu_ledger_judge(transaction, derived);
	const struct cu_usual *usual = facts->usual;
	if (!usual && rules->baseline && connection) {
		usual = cu_baseline_find(rules->baseline, at->name, connection->server_port, transaction->kind);
	}
	rules->view = (struct cu_view){.base = {[CU_FIELD_TRANSACTION] = transaction,
	                                        [CU_FIELD_CONNECTION] = connection,
	                                        [CU_FIELD_ANALYSIS] = facts->analysis,
	                                        [CU_FIELD_DERIVED] = derived,
	                                        [CU_FIELD_BASELINE] = usual}};
}

/* ---- the ledger's own verdict ---- */

static uint8_t largest_cause(const struct cu_transaction *transaction, unsigned party)
{
	uint8_t largest = CU_CAUSE_NONE;
	int64_t most = 0;
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (cause != CU_NETWORK_RTT && cu_cause_party(cause) == party && transaction->ledger[cause].ns > most) {
			most = transaction->ledger[cause].ns;
			largest = (uint8_t)cause;
		}
	}
	if (largest == CU_CAUSE_NONE && party == CU_PARTY_NETWORK && transaction->ledger[CU_NETWORK_RTT].ns > 0) {
		largest = CU_NETWORK_RTT;
	}
	return largest;
}

static uint8_t confidence_of(unsigned certainty, int64_t share, int64_t next)
{
	if (certainty >= CERTAIN && share / CLEAR_LEAD >= next) {
		return CU_CONFIDENCE_HIGH;
	}
	bool close = (double)next * 100 > (double)share * CLOSE_PERCENT;
	return certainty >= HALF_CERTAIN && !close ? CU_CONFIDENCE_MEDIUM : CU_CONFIDENCE_LOW;
}

/* The round trips alone explain the time: as long a path is slow whoever answers. */
static bool rtt_explains(const struct cu_transaction *transaction, int64_t excess, int64_t slow_over_ns)
{
	int64_t rtt = transaction->ledger[CU_NETWORK_RTT].ns;
	return excess <= 0 || (rtt > slow_over_ns && rtt > excess) ||
	       (double)rtt * 100 >= ((double)rtt + (double)excess) * RTT_PERCENT;
}

static void judge_by_shares(const struct cu_transaction *transaction, struct cu_derived *derived)
{
	/* Of equals, the one that is asked first. */
	static const uint8_t parties[] = {CU_PARTY_SERVER, CU_PARTY_NETWORK, CU_PARTY_CLIENT, CU_PARTY_UNKNOWN};
	uint8_t blame = CU_PARTY_NONE;
	int64_t share = 0, next = 0, excess = 0;
	for (size_t i = 0; i < sizeof(parties); i++) {
		int64_t ns = derived->party_ns[parties[i]];
		excess = cu_add_ns(excess, ns);
		if (ns > share) {
			next = share;
			share = ns;
			blame = parties[i];
		} else if (ns > next) {
			next = ns;
		}
	}
	if (rtt_explains(transaction, excess, derived->slow_over_ns)) {
		blame = CU_PARTY_NETWORK;
		next = excess;
		share = transaction->ledger[CU_NETWORK_RTT].ns;
		derived->cause = share > 0 ? CU_NETWORK_RTT : CU_CAUSE_NONE;
	} else {
		derived->cause = largest_cause(transaction, blame);
	}
	derived->blame = blame;
	derived->confidence = confidence_of(transaction->certainty, share, next);
	/* Where the path alone costs more than the party that is blamed, the word is a weaker one. */
	int64_t rtt = transaction->ledger[CU_NETWORK_RTT].ns;
	if (share < rtt && derived->confidence == CU_CONFIDENCE_HIGH) {
		derived->confidence = share < rtt / 2 ? CU_CONFIDENCE_LOW : CU_CONFIDENCE_MEDIUM;
	}
}

static void set(struct cu_derived *derived, unsigned blame, unsigned cause, unsigned confidence)
{
	derived->blame = (uint8_t)blame;
	derived->cause = (uint8_t)cause;
	derived->confidence = (uint8_t)confidence;
}

void cu_ledger_judge(const struct cu_transaction *transaction, struct cu_derived *derived)
{
	switch (transaction->outcome) {
	case CU_OUTCOME_REFUSED:
		if (derived->prohibited) {
			set(derived, CU_PARTY_NETWORK, CU_NETWORK_CONNECT, CU_CONFIDENCE_HIGH);
		} else { /* a firewall may have sent the RST in the server's name */
			set(derived, CU_PARTY_SERVER, CU_SERVER_CONNECT, CU_CONFIDENCE_MEDIUM);
		}
		return;
	case CU_OUTCOME_ABANDONED:
		set(derived, CU_PARTY_NONE, CU_CAUSE_NONE, CU_CONFIDENCE_NONE);
		return;
	case CU_OUTCOME_UNANSWERED:
		if (transaction->kind == CU_TXN_CONNECT) { /* or the server was down: silence does not tell */
			set(derived, CU_PARTY_NETWORK, CU_NETWORK_CONNECT, CU_CONFIDENCE_MEDIUM);
			return;
		}
		judge_by_shares(transaction, derived);
		return;
	case CU_OUTCOME_RESET:
		judge_by_shares(transaction, derived);
		if (derived->party_of_reset != CU_PARTY_NONE && transaction->total_ns <= derived->slow_over_ns) {
			derived->blame = derived->party_of_reset; /* it was no matter of time */
			derived->cause = largest_cause(transaction, derived->blame);
		}
		derived->confidence = CU_CONFIDENCE_LOW;
		return;
	case CU_OUTCOME_OPEN:
		judge_by_shares(transaction, derived);
		derived->confidence = CU_CONFIDENCE_LOW;
		return;
	case CU_OUTCOME_NONE:
	case CU_OUTCOME_ANSWERED:
	default:
		judge_by_shares(transaction, derived);
		return;
	}
}

/* ---- rules ---- */

bool cu_is_judged(const struct cu_transaction *transaction, int64_t slow_over_ns)
{
	switch (transaction->outcome) {
	case CU_OUTCOME_REFUSED:
	case CU_OUTCOME_RESET:
		return true;
	case CU_OUTCOME_UNANSWERED:
		return transaction->kind == CU_TXN_CONNECT || transaction->total_ns > slow_over_ns;
	default:
		return transaction->total_ns > slow_over_ns;
	}
}

const struct cu_rule *cu_match(struct cu_rules *rules)
{
	if (rules->sieve) {
		const uint64_t *possible = cu_sieve_find(rules->sieve, &rules->program, &rules->view);
		for (size_t word = 0; word * 64 < rules->n_active; word++) {
			for (uint64_t bits = possible[word]; bits != 0; bits &= bits - 1) {
				const struct cu_rule *rule = rules->rules[word * 64 + (size_t)__builtin_ctzll(bits)];
				if (cu_program_test(&rules->program, rule->step, &rules->view)) {
					return rule;
				}
			}
		}
		return NULL;
	}
	for (size_t i = 0; i < rules->n_active; i++) {
		if (cu_program_test(&rules->program, rules->rules[i]->step, &rules->view)) {
			return rules->rules[i];
		}
	}
	return NULL;
}

static struct cu_text text_of(const char *name)
{
	return (struct cu_text){name, (uint32_t)strlen(name)};
}

/* Both texts into the buffer, one behind the other. */
static void render(struct cu_rules *rules, const struct cu_template_part *why, const struct cu_template_part *advice,
                   struct cu_verdict *verdict)
{
	struct cu_buf *text = &rules->text;
	cu_template_render(why, &rules->program, &rules->view, CU_VERDICT_TEXT_CAP, text);
	size_t why_len = text->len;
	cu_template_render(advice, &rules->program, &rules->view, CU_VERDICT_TEXT_CAP, text);
	if (text->failed) {
		return;
	}
	verdict->why = (struct cu_text){(const char *)text->data, (uint32_t)why_len};
	verdict->advice = (struct cu_text){(const char *)text->data + why_len, (uint32_t)(text->len - why_len)};
}

static void apply(const struct cu_rule *rule, const struct cu_transaction *transaction, struct cu_verdict *verdict)
{
	verdict->rule = text_of(rule->name);
	if (rule->blame_value >= 0) {
		bool agrees = verdict->blame == rule->blame_value;
		verdict->blame = (uint8_t)rule->blame_value;
		verdict->cause = agrees ? verdict->cause : largest_cause(transaction, verdict->blame);
	}
	if (rule->cause_value >= 0) {
		verdict->cause = (uint8_t)rule->cause_value;
	}
	if (rule->confidence_value >= 0) {
		verdict->confidence = (uint8_t)rule->confidence_value;
	} else if (verdict->blame != CU_PARTY_NONE && verdict->confidence == CU_CONFIDENCE_NONE) {
		verdict->confidence = CU_CONFIDENCE_LOW;
	}
	if (verdict->blame == CU_PARTY_NONE) {
		verdict->cause = CU_CAUSE_NONE;
		verdict->confidence = CU_CONFIDENCE_NONE;
	}
}

static void begin_verdict(struct cu_verdict *restrict verdict, const struct cu_transaction *restrict transaction,
                          const struct cu_service_at *restrict at)
{
	int64_t slow_over_ns = slow_over(at, transaction);
	*verdict = (struct cu_verdict){.stream = transaction->stream,
	                               .number = transaction->number,
	                               .slow = transaction->total_ns > slow_over_ns,
	                               .slow_over_ns = slow_over_ns,
	                               .service = at->name};
}

bool cu_rules_pass_over(struct cu_rules *rules, const struct cu_facts *facts, struct cu_verdict *verdict)
{
	const struct cu_service_at *at = service_of(rules, facts->connection);
	if (cu_is_judged(facts->transaction, slow_over(at, facts->transaction))) {
		return false;
	}
	begin_verdict(verdict, facts->transaction, at);
	return true;
}

void cu_rules_judge(struct cu_rules *rules, const struct cu_facts *facts, struct cu_verdict *verdict)
{
	const struct cu_transaction *transaction = facts->transaction;
	cu_derive(rules, facts);
	cu_buf_clear(&rules->text);
	begin_verdict(verdict, transaction, service_of(rules, facts->connection));
	if (!cu_is_judged(transaction, rules->derived.slow_over_ns)) {
		return;
	}
	cu_program_begin(&rules->program);
	const struct cu_rule *rule = cu_match(rules);
	if (rule && rule->kind == CU_RULE_IGNORES) {
		verdict->rule = text_of(rule->name);
		verdict->slow = false;
		return;
	}
	verdict->blame = rules->derived.blame;
	verdict->cause = rules->derived.cause;
	verdict->confidence = rules->derived.confidence;
	const struct cu_wording *wording = NULL;
	if (rule) {
		apply(rule, transaction, verdict);
	}
	if (!rule || !rule->why || !rule->advice_parts) {
		/* The wordings speak of what the verdict says, not the ledger. */
		rules->derived.blame = verdict->blame;
		rules->derived.cause = verdict->cause;
		cu_program_begin(&rules->program);
		wording = cu_wording_find(rules);
	}
	render(rules, rule && rule->why ? rule->why : wording->why,
	       rule && rule->advice_parts ? rule->advice_parts : wording->advice, verdict);
}

uint64_t cu_rules_count(struct cu_rules *rules, const struct cu_verdict *verdict)
{
	uint64_t bits = 0;
	rules->derived.slow = verdict->slow;
	rules->derived.blame = verdict->blame;
	rules->derived.cause = verdict->cause;
	rules->derived.confidence = verdict->confidence;
	cu_program_begin(&rules->program);
	for (unsigned i = 0; i < rules->program.n_counters; i++) {
		bits |= (uint64_t)cu_program_test(&rules->program, rules->program.counters[i], &rules->view) << i;
	}
	return bits;
}
