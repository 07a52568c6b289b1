#include "lib/rules/field.h"

#include "lib/base/nearest.h"
#include "lib/rules/baseline.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *cu_type_name(enum cu_type type)
{
	/* clang-format off */
	static const char *const names[CU_N_TYPES] = {
		[CU_TYPE_NONE] = "nothing",       [CU_TYPE_BOOL] = "a condition",  [CU_TYPE_TIME] = "time",
		[CU_TYPE_BYTES] = "bytes",        [CU_TYPE_COUNT] = "a count",     [CU_TYPE_RATIO] = "a ratio",
		[CU_TYPE_RATE] = "a rate",        [CU_TYPE_NUMBER] = "a plain number", [CU_TYPE_INSTANT] = "an instant",
		[CU_TYPE_PORT] = "a port",        [CU_TYPE_ENUM] = "a name",       [CU_TYPE_TEXT] = "text",
		[CU_TYPE_ADDRESS] = "an address", [CU_TYPE_NETWORK] = "a network", [CU_TYPE_ENDPOINT] = "an endpoint",
	};
	/* clang-format on */
	return names[type];
}

const char *cu_type_unit(enum cu_type type)
{
	/* clang-format off */
	static const char *const units[CU_N_TYPES] = {
		[CU_TYPE_NONE] = "-",          [CU_TYPE_BOOL] = "bool",       [CU_TYPE_TIME] = "time",
		[CU_TYPE_BYTES] = "bytes",     [CU_TYPE_COUNT] = "count",     [CU_TYPE_RATIO] = "ratio",
		[CU_TYPE_RATE] = "rate",       [CU_TYPE_NUMBER] = "number",   [CU_TYPE_INSTANT] = "instant",
		[CU_TYPE_PORT] = "port",       [CU_TYPE_ENUM] = "name",       [CU_TYPE_TEXT] = "text",
		[CU_TYPE_ADDRESS] = "address", [CU_TYPE_NETWORK] = "network", [CU_TYPE_ENDPOINT] = "endpoint",
	};
	/* clang-format on */
	return units[type];
}

bool cu_type_is_numeric(enum cu_type type)
{
	return type >= CU_TYPE_TIME && type <= CU_TYPE_PORT;
}

static const char *role_name(unsigned role)
{
	static const char *const names[] = {"guessed", "syn", "syn-ack", "learned", "hint"};
	return role < sizeof(names) / sizeof(*names) ? names[role] : "guessed";
}

static const char *end_name(unsigned end)
{
	static const char *const names[] = {"open", "closed", "reset", "idle", "evicted", "reused"};
	return end < sizeof(names) / sizeof(*names) ? names[end] : "open";
}

const struct cu_names cu_party_names = {"a party", CU_N_PARTIES, cu_party_name};
const struct cu_names cu_cause_names = {"a cause", CU_N_CAUSES, cu_cause_name};
const struct cu_names cu_confidence_names = {"a confidence", CU_CONFIDENCE_HIGH + 1, cu_confidence_name};
const struct cu_names cu_txn_kind_names = {"a kind of transaction", CU_TXN_CLOSE + 1, cu_txn_kind_name};
static const struct cu_names outcome_names = {"an outcome", CU_OUTCOME_OPEN + 1, cu_outcome_name};
static const struct cu_names vantage_names = {"a vantage point", CU_VANTAGE_SERVER + 1, cu_vantage_name};
static const struct cu_names loss_side_names = {"a side of the vantage point", CU_LOSS_CAPTURE + 1, cu_loss_side_name};
static const struct cu_names close_names = {"a way to close", CU_CLOSE_HALF_OPEN + 1, cu_close_name};
static const struct cu_names role_names = {"a source of roles", CU_ROLE_HINT + 1, role_name};
static const struct cu_names end_names = {"an end of a connection", CU_END_REUSED + 1, end_name};

int cu_names_find(const struct cu_names *names, const char *name, size_t len)
{
	for (unsigned i = 0; i < names->n; i++) {
		const char *known = names->name(i);
		size_t at = 0;
		while (at < len && known[at] && (known[at] == name[at] || (known[at] == '-' && name[at] == '_'))) {
			at++;
		}
		if (at == len && !known[at]) {
			return (int)i;
		}
	}
	return -1;
}

const char *cu_names_suggest(const struct cu_names *names, unsigned first, const char *word, size_t len,
                             struct cu_buf *known)
{
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, word, len);
	for (unsigned i = first; i < names->n; i++) {
		cu_nearest_try(&nearest, names->name(i));
		cu_buf_add_cstr(known, known->len > 0 ? ", " : "");
		cu_buf_add_cstr(known, names->name(i));
	}
	return nearest.name;
}

/* clang-format off */
#define TXN(member) .base = CU_FIELD_TRANSACTION, .offset = offsetof(struct cu_transaction, member)
#define CONN(member) .base = CU_FIELD_CONNECTION, .offset = offsetof(struct cu_connection, member)
#define ANALYSIS(member) .base = CU_FIELD_ANALYSIS, .offset = offsetof(struct cu_analysis, member)
#define WINDOW(member) .base = CU_FIELD_WINDOW, .offset = offsetof(struct cu_window_facts, member)
#define USUAL(member) .base = CU_FIELD_BASELINE, .offset = offsetof(struct cu_usual, member)
#define QUANTILES(n, cause, what) \
	FIELD_OR_NEGATIVE(n ".p50", TIME, USUAL(ns[cause][CU_USUAL_P50]), I64, "the median of " what " of the service, for its kind of transaction, as learned") \
	FIELD_OR_NEGATIVE(n ".p95", TIME, USUAL(ns[cause][CU_USUAL_P95]), I64, "its 95th percentile: one of twenty took longer") \
	FIELD_OR_NEGATIVE(n ".p99", TIME, USUAL(ns[cause][CU_USUAL_P99]), I64, "its 99th percentile: one of a hundred took longer")
#define DERIVED(member) .base = CU_FIELD_DERIVED, .offset = offsetof(struct cu_derived, member)

#define FIELD(n, t, where, a, text) \
	{.name = (n), .type = CU_TYPE_##t, where, .access = CU_ACCESS_##a, .meaning = (text)},
#define FIELD_OR_ZERO(n, t, where, a, text) \
	{.name = (n), .type = CU_TYPE_##t, where, .access = CU_ACCESS_##a, .missing = 'z', .meaning = (text)},
#define FIELD_OR_NEGATIVE(n, t, where, a, text) \
	{.name = (n), .type = CU_TYPE_##t, where, .access = CU_ACCESS_##a, .missing = 'n', .meaning = (text)},
#define NAMED(n, where, e, text) \
	{.name = (n), .type = CU_TYPE_ENUM, where, .access = CU_ACCESS_U8, .names = &(e), .meaning = (text)},
#define BIT(n, where, b, text) \
	{.name = (n), .type = CU_TYPE_BOOL, where, .access = CU_ACCESS_BIT, .bit = (b), .meaning = (text)},
#define CAUSE(n, cause, text) FIELD(n, TIME, TXN(ledger[cause].ns), I64, text)
#define EVENT(n, kind, text) FIELD(n, COUNT, DERIVED(events[kind]), U64, text)

static const struct cu_field fields[] = {
	/* the transaction */
	NAMED("kind", TXN(kind), cu_txn_kind_names, "connect, greeting, tls-handshake, request or close")
	NAMED("outcome", TXN(outcome), outcome_names, "answered, unanswered, refused, reset, abandoned or open")
	FIELD_OR_ZERO("name", TEXT, TXN(name), TEXT, "what the first bytes call it: GET /path, or the server name of TLS")
	FIELD_OR_ZERO("service", TEXT, DERIVED(service), TEXT, "name of the service: from services in the rules, or well known by its port")
	FIELD("total", TIME, TXN(total_ns), I64, "from the client's first byte to the last byte of the answer there")
	FIELD("slow_over", TIME, DERIVED(slow_over_ns), I64, "the threshold it is held against")
	FIELD("slow", BOOL, DERIVED(slow), BOOL, "it took longer than that; where rules about endpoints count, and no rule ignores it")
	FIELD("excess", TIME, DERIVED(excess_ns), I64, "total less network.rtt: what exceeds a normal answer")
	FIELD("http", BOOL, DERIVED(http), BOOL, "an HTTP request was seen in it")
	FIELD("tls", BOOL, DERIVED(tls), BOOL, "its connection uses TLS")
	FIELD("certainty", RATIO, DERIVED(certainty), F64, "how far the ledger can be relied on")
	NAMED("loss_side", TXN(loss_side), loss_side_names, "where segments were lost, seen from the vantage point: none, before, after, both or capture")
	FIELD("stream", COUNT, TXN(stream), U64, "number of its connection, from 0")
	FIELD("transaction", COUNT, TXN(number), U64, "its number within the connection, from 0")

	/* its two messages */
	FIELD("request.time", INSTANT, TXN(start_ns), I64, "when the client sent the first byte")
	FIELD("request.bytes", BYTES, TXN(request.n_bytes), U64, "bytes of the request")
	FIELD("request.retransmitted", COUNT, TXN(request.n_retransmitted), U64, "segments of the request that were sent again")
	FIELD("request.acked", BOOL, DERIVED(acked), BOOL, "the server's TCP acknowledged the whole request")
	FIELD_OR_NEGATIVE("request.ack_delay", TIME, DERIVED(ack_delay_ns), I64, "from the end of the request to that acknowledgement, at the vantage point")
	FIELD_OR_ZERO("request.first_frame", COUNT, TXN(request.first_frame), U64, "frame with the first byte of the request")
	FIELD_OR_ZERO("request.last_frame", COUNT, TXN(request.last_frame), U64, "frame with the last byte of the request")
	FIELD_OR_ZERO("request.acked_frame", COUNT, TXN(acked_frame), U64, "frame that acknowledged the whole request")
	FIELD("response.bytes", BYTES, TXN(response.n_bytes), U64, "bytes of the answer")
	FIELD("response.retransmitted", COUNT, TXN(response.n_retransmitted), U64, "segments of the answer that were sent again")
	FIELD_OR_ZERO("response.first_byte", TIME, TXN(first_byte_ns), I64, "from the start to the first byte of the answer at the client")
	FIELD_OR_ZERO("response.first_frame", COUNT, TXN(response.first_frame), U64, "frame with the first byte of the answer")
	FIELD_OR_ZERO("response.last_frame", COUNT, TXN(response.last_frame), U64, "frame with the last byte of the answer")
	FIELD("response.rate", RATE, DERIVED(response_rate), F64, "bytes of the answer by the time from its first byte to its last")

	/* the ledger */
	CAUSE("client.pause", CU_CLIENT_PAUSE, "mid-request the client sent nothing, though it could")
	CAUSE("client.window", CU_CLIENT_WINDOW, "the client's window was closed or too small for the server's data")
	CAUSE("client.delayed_ack", CU_CLIENT_DELAYED_ACK, "the server held a small segment for an ACK that the client delayed")
	CAUSE("network.rtt", CU_NETWORK_RTT, "the round trips that any answer costs, at the connection's minimum")
	CAUSE("network.transfer", CU_NETWORK_TRANSFER, "sending at the pace of the ACKs: bandwidth, queues, congestion window")
	CAUSE("network.loss", CU_NETWORK_LOSS, "waiting for lost data to be sent again")
	CAUSE("network.connect", CU_NETWORK_CONNECT, "waiting for a lost SYN or SYN-ACK to be sent again")
	CAUSE("network.mtu", CU_NETWORK_MTU, "large segments vanished where small ones passed")
	CAUSE("server.think", CU_SERVER_THINK, "the server had the whole request and did not answer yet")
	CAUSE("server.pause", CU_SERVER_PAUSE, "mid-answer the server sent nothing, though it could")
	CAUSE("server.window", CU_SERVER_WINDOW, "the server's window was closed or too small for the client's data")
	CAUSE("server.delayed_ack", CU_SERVER_DELAYED_ACK, "the client held a small segment for an ACK that the server delayed")
	CAUSE("server.connect", CU_SERVER_CONNECT, "the SYN-ACK took longer than the path explains")
	CAUSE("unknown.capture", CU_UNKNOWN_CAPTURE, "the capture lacks packets here")
	FIELD("party.client", TIME, DERIVED(party_ns[CU_PARTY_CLIENT]), I64, "the sum of client.*")
	FIELD("party.network", TIME, DERIVED(party_ns[CU_PARTY_NETWORK]), I64, "the sum of network.*, without network.rtt")
	FIELD("party.server", TIME, DERIVED(party_ns[CU_PARTY_SERVER]), I64, "the sum of server.*")
	FIELD("party.unknown", TIME, DERIVED(party_ns[CU_PARTY_UNKNOWN]), I64, "the sum of unknown.*")
	NAMED("blame", DERIVED(blame), cu_party_names, "the party that the ledger blames: client, network, server, unknown or none")
	NAMED("cause", DERIVED(cause), cu_cause_names, "the largest cause of that party in the ledger, such as server.think")
	NAMED("confidence", DERIVED(confidence), cu_confidence_names, "how sure the ledger is: low, medium or high")

	/* the path */
	FIELD_OR_ZERO("rtt", TIME, ANALYSIS(rtt_ns), I64, "smallest round trip between client and server")
	FIELD_OR_ZERO("client.rtt", TIME, ANALYSIS(client_rtt_ns), I64, "smallest round trip between vantage point and client")
	FIELD_OR_ZERO("server.rtt", TIME, ANALYSIS(server_rtt_ns), I64, "smallest round trip between vantage point and server")
	FIELD("rtt_uncertain", BOOL, ANALYSIS(rtt_uncertain), BOOL, "no handshake was seen, or too few samples")
	NAMED("vantage", ANALYSIS(vantage), vantage_names, "where the capture was taken: client, middle, server or unknown")

	/* the ends */
	FIELD("client", ENDPOINT, CONN(client), ENDPOINT, "address and port of the client, for texts")
	FIELD_OR_ZERO("client.ip", ADDRESS, CONN(client), ADDR, "address of the client")
	FIELD("client.port", PORT, CONN(client_port), U16, "port of the client")
	FIELD("client.bytes", BYTES, CONN(side[CU_C2S].n_bytes), U64, "bytes the client sent on the connection, repetitions counted again")
	FIELD("client.segments", COUNT, CONN(side[CU_C2S].n_segments), U64, "segments the client sent on the connection")
	FIELD("client.retransmitted", COUNT, ANALYSIS(side[CU_C2S].n_retransmitted), U64, "segments the client sent again on the connection")
	FIELD("client.zero_windows", COUNT, ANALYSIS(side[CU_C2S].n_zero_windows), U64, "times the client closed its window on the connection")
	FIELD("client.keep_alives", COUNT, ANALYSIS(side[CU_C2S].n_keep_alives), U64, "keep-alives the client sent on the connection")
	FIELD("server", ENDPOINT, CONN(server), ENDPOINT, "address and port of the server, for texts")
	FIELD_OR_ZERO("server.ip", ADDRESS, CONN(server), ADDR, "address of the server")
	FIELD("server.port", PORT, CONN(server_port), U16, "port of the server")
	FIELD("server.bytes", BYTES, CONN(side[CU_S2C].n_bytes), U64, "bytes the server sent on the connection, repetitions counted again")
	FIELD("server.segments", COUNT, CONN(side[CU_S2C].n_segments), U64, "segments the server sent on the connection")
	FIELD("server.retransmitted", COUNT, ANALYSIS(side[CU_S2C].n_retransmitted), U64, "segments the server sent again on the connection")
	FIELD("server.zero_windows", COUNT, ANALYSIS(side[CU_S2C].n_zero_windows), U64, "times the server closed its window on the connection")
	FIELD("server.keep_alives", COUNT, ANALYSIS(side[CU_S2C].n_keep_alives), U64, "keep-alives the server sent on the connection")

	/* the connection */
	FIELD("connection.start", INSTANT, CONN(start_ns), I64, "when its first segment was seen")
	FIELD_OR_NEGATIVE("connection.duration", TIME, DERIVED(connection_ns), I64, "from its first segment to its last")
	FIELD_OR_NEGATIVE("connection.bytes", BYTES, DERIVED(connection_bytes), I64, "bytes in both directions, repetitions counted again")
	FIELD_OR_NEGATIVE("connection.segments", COUNT, DERIVED(connection_segments), I64, "segments in both directions")
	FIELD_OR_NEGATIVE("connection.retransmitted", COUNT, DERIVED(retransmitted), I64, "segments sent again in both directions")
	FIELD_OR_NEGATIVE("connection.gaps", COUNT, DERIVED(gaps), I64, "missing ranges in both directions")
	FIELD_OR_NEGATIVE("connection.gap_bytes", BYTES, DERIVED(gap_bytes), I64, "bytes of them")
	FIELD("connection.window_scaled", BOOL, ANALYSIS(window_scaled), BOOL, "both SYNs carried a window scale")
	FIELD_OR_ZERO("connection.mss", BYTES, ANALYSIS(mss), U32, "largest segment its data keeps to")
	FIELD_OR_ZERO("connection.handshake_rtt", TIME, ANALYSIS(handshake_rtt_ns), I64, "from the SYN to the ACK that ends the handshake")
	BIT("connection.syn", ANALYSIS(completeness), CU_SEEN_SYN, "its SYN was seen")
	BIT("connection.syn_ack", ANALYSIS(completeness), CU_SEEN_SYN_ACK, "its SYN-ACK was seen")
	BIT("connection.ack", ANALYSIS(completeness), CU_SEEN_ACK, "an ACK without data was seen, such as the handshake's")
	BIT("connection.data", ANALYSIS(completeness), CU_SEEN_DATA, "data was seen")
	BIT("connection.fin", ANALYSIS(completeness), CU_SEEN_FIN, "a FIN was seen")
	BIT("connection.rst", ANALYSIS(completeness), CU_SEEN_RST, "a RST was seen")
	NAMED("connection.close", ANALYSIS(close), close_names, "none, clean, abortive, refused, unanswered, half or half_open")
	NAMED("connection.closed_by", ANALYSIS(closed_by), cu_party_names, "who sent the first FIN or the RST: client, server or none")
	NAMED("connection.role", CONN(role), role_names, "how client and server were told apart: syn, syn-ack, hint, learned or guessed")
	NAMED("connection.end", CONN(end), end_names, "why it was over: open (the capture ended), closed, reset, idle, evicted or reused")
	FIELD("connection.continued", BOOL, CONN(continued), BOOL, "it began before the capture, or in an earlier part of it")

	/* events */
	FIELD("events", COUNT, TXN(n_events), U64, "events of the transaction, of all kinds")
	EVENT("events.retransmission", CU_EVENT_RETRANSMISSION, "segments sent again after a timeout")
	EVENT("events.fast_retransmission", CU_EVENT_FAST_RETRANSMISSION, "segments sent again after duplicate ACKs")
	EVENT("events.spurious_retransmission", CU_EVENT_SPURIOUS_RETRANSMISSION, "segments sent again that had arrived")
	EVENT("events.out_of_order", CU_EVENT_OUT_OF_ORDER, "segments that the network reordered")
	EVENT("events.lost_segment", CU_EVENT_LOST_SEGMENT, "gaps before a segment")
	EVENT("events.ack_lost_segment", CU_EVENT_ACK_LOST_SEGMENT, "ACKs for data that was never captured")
	EVENT("events.duplicate_ack", CU_EVENT_DUPLICATE_ACK, "duplicate ACKs")
	EVENT("events.keep_alive", CU_EVENT_KEEP_ALIVE, "keep-alives")
	EVENT("events.keep_alive_ack", CU_EVENT_KEEP_ALIVE_ACK, "answers to keep-alives")
	FIELD("events.server.keep_alive_ack", COUNT, DERIVED(server_keep_alive_acks), U64, "the server's answers to keep-alives of the client")
	EVENT("events.zero_window", CU_EVENT_ZERO_WINDOW, "segments that closed a window")
	EVENT("events.zero_window_probe", CU_EVENT_ZERO_WINDOW_PROBE, "probes of a closed window")
	EVENT("events.zero_window_probe_ack", CU_EVENT_ZERO_WINDOW_PROBE_ACK, "answers to probes of a closed window")
	EVENT("events.window_full", CU_EVENT_WINDOW_FULL, "segments that filled the other side's window")
	EVENT("events.window_update", CU_EVENT_WINDOW_UPDATE, "segments that only opened a window")
	EVENT("events.reset", CU_EVENT_RESET, "segments with RST")
	EVENT("events.icmp", CU_EVENT_ICMP, "ICMP errors about the connection")
	EVENT("events.duplicate_frame", CU_EVENT_DUPLICATE_FRAME, "frames that were captured twice")
	NAMED("reset_by", DERIVED(party_of_reset), cu_party_names, "who sent the RST in this transaction: client, server or none")
	FIELD("prohibited", BOOL, DERIVED(prohibited), BOOL, "an ICMP error, and no RST, refused the connection")

	/* an endpoint over a window: for rules with for */
	FIELD("transactions", COUNT, WINDOW(n_transactions), U64, "of an endpoint: transactions that began in the window")
	FIELD("connections", COUNT, WINDOW(n_connections), U64, "of an endpoint: connections that ended in the window")
	FIELD("refused", COUNT, WINDOW(n_bad[CU_BAD_REFUSED]), U64, "of an endpoint: those that were refused, by a RST or an ICMP error")
	FIELD("unanswered", COUNT, WINDOW(n_bad[CU_BAD_UNANSWERED]), U64, "of an endpoint: those whose SYN got no answer, and was not sent just before the capture ended")
	FIELD("half_open", COUNT, WINDOW(n_bad[CU_BAD_HALF_OPEN]), U64, "of an endpoint: those whose SYN-ACK got no ACK")
	FIELD("aborts", COUNT, WINDOW(n_bad[CU_BAD_ABORTED]), U64, "of an endpoint: those that the client reset with an answer unread")
	FIELD("resets", COUNT, WINDOW(n_bad[CU_BAD_RESET]), U64, "of an endpoint: those that the server, or a device on the path, reset")
	FIELD("window.start", INSTANT, WINDOW(start_ns), I64, "of an endpoint: when the window began")
	FIELD("window.length", TIME, WINDOW(length_ns), I64, "of an endpoint: how long it is")

	/* what is usual: of --baseline */
	FIELD_OR_ZERO("baseline.count", COUNT, USUAL(n), U64, "how many transactions of the service and kind were learned; 20 at least")
	QUANTILES("baseline", CU_CAUSE_NONE, "total")
	QUANTILES("baseline.client.pause", CU_CLIENT_PAUSE, "client.pause")
	QUANTILES("baseline.client.window", CU_CLIENT_WINDOW, "client.window")
	QUANTILES("baseline.client.delayed_ack", CU_CLIENT_DELAYED_ACK, "client.delayed_ack")
	QUANTILES("baseline.network.rtt", CU_NETWORK_RTT, "network.rtt")
	QUANTILES("baseline.network.transfer", CU_NETWORK_TRANSFER, "network.transfer")
	QUANTILES("baseline.network.loss", CU_NETWORK_LOSS, "network.loss")
	QUANTILES("baseline.network.connect", CU_NETWORK_CONNECT, "network.connect")
	QUANTILES("baseline.network.mtu", CU_NETWORK_MTU, "network.mtu")
	QUANTILES("baseline.server.think", CU_SERVER_THINK, "server.think")
	QUANTILES("baseline.server.pause", CU_SERVER_PAUSE, "server.pause")
	QUANTILES("baseline.server.window", CU_SERVER_WINDOW, "server.window")
	QUANTILES("baseline.server.delayed_ack", CU_SERVER_DELAYED_ACK, "server.delayed_ack")
	QUANTILES("baseline.server.connect", CU_SERVER_CONNECT, "server.connect")
	QUANTILES("baseline.unknown.capture", CU_UNKNOWN_CAPTURE, "unknown.capture")
};
/* clang-format on */

enum { N_FIELDS = sizeof(fields) / sizeof(*fields) };

size_t cu_field_count(void)
{
	return N_FIELDS;
}

const struct cu_field *cu_field_at(size_t i)
{
	return &fields[i];
}

const struct cu_field *cu_field_find(const char *name, size_t len)
{
	for (size_t i = 0; i < N_FIELDS; i++) {
		if (strlen(fields[i].name) == len && memcmp(fields[i].name, name, len) == 0) {
			return &fields[i];
		}
	}
	return NULL;
}

static const void *place_of(const struct cu_field *field, const struct cu_view *view)
{
	const char *base = view->base[field->base];
	return base ? base + field->offset : NULL;
}

bool cu_field_integer(const struct cu_field *field, const struct cu_view *view, int64_t *value)
{
	const void *p = place_of(field, view);
	if (!p) {
		return false;
	}
	switch ((enum cu_field_access)field->access) {
	case CU_ACCESS_I64:
		*value = *(const int64_t *)p;
		break;
	case CU_ACCESS_U64: {
		uint64_t u = *(const uint64_t *)p;
		*value = u > INT64_MAX ? INT64_MAX : (int64_t)u;
		break;
	}
	case CU_ACCESS_U32:
		*value = *(const uint32_t *)p;
		break;
	case CU_ACCESS_U16:
		*value = *(const uint16_t *)p;
		break;
	case CU_ACCESS_U8:
		*value = *(const uint8_t *)p;
		break;
	case CU_ACCESS_BOOL:
		*value = *(const bool *)p;
		break;
	case CU_ACCESS_BIT:
		*value = (*(const uint8_t *)p & field->bit) != 0;
		break;
	case CU_ACCESS_F64:
	case CU_ACCESS_TEXT:
	case CU_ACCESS_ADDR:
	case CU_ACCESS_ENDPOINT:
	default:
		return false;
	}
	return !(field->missing == 'z' && *value == 0) && !(field->missing == 'n' && *value < 0);
}

double cu_field_number(const struct cu_field *field, const struct cu_view *view)
{
	if (field->access == CU_ACCESS_F64) {
		const double *p = place_of(field, view);
		return p ? *p : (double)NAN;
	}
	int64_t value;
	return cu_field_integer(field, view, &value) ? (double)value : (double)NAN;
}

struct cu_text cu_field_text(const struct cu_field *field, const struct cu_view *view)
{
	const struct cu_text *p = place_of(field, view);
	return p ? *p : (struct cu_text){NULL, 0};
}

const struct cu_addr *cu_field_addr(const struct cu_field *field, const struct cu_view *view)
{
	const struct cu_addr *p = place_of(field, view);
	return p && p->family != 0 ? p : NULL;
}

bool cu_field_is_always_there(const struct cu_field *field)
{
	bool of_all = field->base == CU_FIELD_TRANSACTION || field->base == CU_FIELD_DERIVED;
	return of_all && field->missing == 0 && field->access != CU_ACCESS_F64;
}

bool cu_field_has(const struct cu_field *field, const struct cu_view *view)
{
	switch ((enum cu_field_access)field->access) {
	case CU_ACCESS_TEXT:
		return cu_field_text(field, view).len > 0;
	case CU_ACCESS_ADDR:
	case CU_ACCESS_ENDPOINT:
		return cu_field_addr(field, view) != NULL;
	default:
		return !isnan(cu_field_number(field, view));
	}
}

/* Three significant digits of a number that is not negative. */
static void add_significant(struct cu_buf *buf, double number)
{
	int digits = number >= 100 ? 0 : number >= 10 ? 1 : 2;
	if (number == floor(number) && number < 1e6) {
		digits = 0;
	}
	cu_buf_printf(buf, "%.*f", digits, number);
}

/* Bits a second, as links are sold. */
static void add_rate(struct cu_buf *buf, double bytes_per_ns)
{
	static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
	const double step = 1000;
	double bits = bytes_per_ns * CU_NS_PER_S * 8;
	size_t i = 0;
	while (bits >= step && i + 1 < sizeof(units) / sizeof(*units)) {
		bits /= step;
		i++;
	}
	add_significant(buf, bits);
	cu_buf_printf(buf, " %s", units[i]);
}

static int64_t to_integer(double number)
{
	const double most = 9.2e18; /* within int64_t */
	if (number > most || number < -most) {
		number = number > 0 ? most : -most;
	}
	return (int64_t)number;
}

/* To the millisecond, which is what logs have. */
static void add_instant(struct cu_buf *buf, int64_t time_ns)
{
	char text[CU_TEXT_CAP];
	const char *dot = strchr(cu_format_time(text, time_ns), '.');
	if (dot) {
		cu_buf_printf(buf, "%.*sZ", (int)(dot - text) + 4, text);
	} else {
		cu_buf_add_cstr(buf, text);
	}
}

void cu_format_number(struct cu_buf *buf, enum cu_type type, const struct cu_names *names, double number)
{
	char text[CU_TEXT_CAP];
	if (isnan(number)) {
		cu_buf_add_cstr(buf, "unknown");
		return;
	}
	if (number < 0 && type != CU_TYPE_INSTANT) {
		cu_buf_add_u8(buf, '-');
		number = -number;
	}
	switch (type) {
	case CU_TYPE_BOOL:
		cu_buf_add_cstr(buf, number != 0 ? "true" : "false");
		break;
	case CU_TYPE_TIME:
		cu_buf_add_cstr(buf, cu_format_duration(text, to_integer(number)));
		break;
	case CU_TYPE_BYTES:
		cu_buf_add_cstr(buf, cu_format_size(text, (uint64_t)to_integer(number)));
		break;
	case CU_TYPE_RATIO: { /* "83 %", but "8 round trips" */
		const double many = 2;
		add_significant(buf, number < many ? number * 100 : number);
		cu_buf_add_cstr(buf, number < many ? " %" : "");
		break;
	}
	case CU_TYPE_RATE:
		add_rate(buf, number);
		break;
	case CU_TYPE_INSTANT:
		add_instant(buf, to_integer(number));
		break;
	case CU_TYPE_ENUM:
		cu_buf_add_cstr(buf, names && number < names->n ? names->name((unsigned)number) : "none");
		break;
	case CU_TYPE_COUNT:
	case CU_TYPE_NUMBER:
	case CU_TYPE_PORT:
	case CU_TYPE_NONE:
	case CU_TYPE_TEXT:
	case CU_TYPE_ADDRESS:
	case CU_TYPE_NETWORK:
	case CU_TYPE_ENDPOINT:
	case CU_N_TYPES:
	default:
		if (number == floor(number)) {
			cu_buf_add_i64(buf, to_integer(number));
		} else {
			add_significant(buf, number);
		}
		break;
	}
}

void cu_field_format(const struct cu_field *field, const struct cu_view *view, struct cu_buf *buf)
{
	char text[CU_TEXT_CAP];
	int64_t integer;
	if (!cu_field_has(field, view)) {
		cu_buf_add_cstr(buf, "unknown");
		return;
	}
	switch (field->type) {
	case CU_TYPE_TEXT: {
		struct cu_text value = cu_field_text(field, view);
		cu_buf_add(buf, value.data, value.len);
		return;
	}
	case CU_TYPE_ADDRESS:
		cu_buf_add_cstr(buf, cu_format_addr(text, cu_field_addr(field, view)));
		return;
	case CU_TYPE_ENDPOINT: {
		const struct cu_connection *connection = view->base[CU_FIELD_CONNECTION];
		const struct cu_addr *addr = cu_field_addr(field, view);
		unsigned port = addr == &connection->client ? connection->client_port : connection->server_port;
		char endpoint[CU_TEXT_CAP + 16];
		if (port == 0) { /* a client, of any port */
			cu_buf_add_cstr(buf, cu_format_addr(text, addr));
			return;
		}
		snprintf(endpoint, sizeof(endpoint), addr->family == 6 ? "[%s]:%u" : "%s:%u",
		         cu_format_addr(text, addr), port);
		cu_buf_add_cstr(buf, endpoint);
		return;
	}
	case CU_TYPE_INSTANT: /* a double does not hold its nanoseconds */
		if (cu_field_integer(field, view, &integer)) {
			add_instant(buf, integer);
			return;
		}
		break;
	default:
		break;
	}
	cu_format_number(buf, field->type, field->names, cu_field_number(field, view));
}

void cu_fields_list(struct cu_buf *buf)
{
	for (size_t i = 0; i < N_FIELDS; i++) {
		char head[CU_TEXT_CAP];
		snprintf(head, sizeof(head), "%-32s %-8s  ", fields[i].name, cu_type_unit(fields[i].type));
		cu_buf_add_cstr(buf, head);
		cu_buf_add_cstr(buf, fields[i].meaning);
		cu_buf_add_u8(buf, '\n');
	}
}

/* Appends a sentence in lines of at most 78 bytes, as manual pages have them. */
static void add_wrapped(struct cu_buf *buf, const char *text)
{
	enum { LINE_CAP = 78 };
	size_t at = 0;
	while (*text) {
		size_t len = strcspn(text, " ");
		if (at > 0 && at + 1 + len > LINE_CAP) {
			cu_buf_add_u8(buf, '\n');
			at = 0;
		}
		if (at > 0) {
			cu_buf_add_u8(buf, ' ');
			at++;
		}
		cu_buf_add(buf, text, len);
		at += len;
		text += len;
		text += *text == ' ';
	}
	cu_buf_add_cstr(buf, ".\n");
}

void cu_fields_mdoc(struct cu_buf *buf)
{
	cu_buf_add_cstr(buf, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < N_FIELDS; i++) {
		cu_buf_printf(buf, ".It Cm %s Pq %s\n", fields[i].name, cu_type_unit(fields[i].type));
		add_wrapped(buf, fields[i].meaning);
	}
	cu_buf_add_cstr(buf, ".El\n");
}
