#include "lib/blame/exchange.h"

#include "lib/base/grow.h"
#include "lib/blame/tls.h"

#include <stdlib.h>
#include <string.h>

void cu_exchanges_release(struct cu_exchanges *exchanges)
{
	free(exchanges->item);
	free(exchanges->client_end);
	*exchanges = (struct cu_exchanges){0};
}

static int add_client_end(struct cu_exchanges *exchanges, uint32_t seg)
{
	if (!cu_grow((void **)&exchanges->client_end, &exchanges->client_ends_cap, exchanges->n_client_ends,
	             sizeof(exchanges->client_end[0]))) {
		return CU_ERR_NOMEM;
	}
	exchanges->client_end[exchanges->n_client_ends++] = seg;
	return 0;
}

uint32_t cu_exchanges_client_end(const struct cu_exchanges *exchanges, uint32_t seg)
{
	size_t low = 0, high = exchanges->n_client_ends;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (exchanges->client_end[middle] < seg) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low < exchanges->n_client_ends ? exchanges->client_end[low] : UINT32_MAX;
}

/* Data of the client that came while an answer was under way: a request or not, what follows will tell. */
struct aside {
	bool waits;
	int64_t start, end;
	uint32_t seg;
	uint32_t hint;
};

/* Silence that no stream in full flow has. */
#define QUIET_NS (20 * CU_NS_PER_MS)

/* How far the division has come. */
struct finder {
	struct cu_exchanges *out;
	const struct cu_trace *trace;
	int64_t highest[2];    /* end of what was seen of each direction, or is known to have been sent */
	int64_t client_ack;    /* the client's highest ACK number */
	int64_t unseen_ack;    /* the newest of those beyond what was seen of the server's data, by more than a FIN */
	uint32_t unseen_seg;   /* what had it first */
	int64_t server_end_ns; /* when the server last sent new data */
	struct aside aside;
	int64_t beside_end;   /* of what came beside a request that waits for its answer; 0: nothing */
	int64_t beside_ns;    /* when that came */
	bool is_tls;          /* as far as the hints say */
	bool said_last_words; /* of TLS: an alert */
	bool short_end;       /* the server's newest segment was not full: its last for now */
	bool client_fin;
	uint32_t client_fin_seg;
	bool server_fin;
};

static struct cu_exchange *last_of(struct finder *finder)
{
	return finder->out->n > 0 ? &finder->out->item[finder->out->n - 1] : NULL;
}

static bool answered(const struct cu_exchange *exchange)
{
	return exchange->response_end > exchange->response_start;
}

/* The newest exchange that bytes can belong to: not the handshake's nor the close's. */
static struct cu_exchange *current(struct finder *finder)
{
	struct cu_exchange *last = last_of(finder);
	return last != NULL && last->kind != CU_TXN_CONNECT && last->kind != CU_TXN_CLOSE ? last : NULL;
}

static struct cu_exchange *begin(struct finder *finder, enum cu_txn_kind kind, uint32_t i)
{
	struct cu_exchanges *out = finder->out;
	if (!cu_grow((void **)&out->item, &out->cap, out->n, sizeof(out->item[0]))) {
		return NULL;
	}
	struct cu_exchange *exchange = &out->item[out->n++];
	*exchange = (struct cu_exchange){.kind = (uint8_t)kind, .first_seg = i, .last_seg = i, .end_seg = i};
	return exchange;
}

static bool ends_message(const struct finder *finder, const struct cu_trace_segment *seg)
{
	return seg->len < finder->trace->mss[seg->dir] || (seg->flags & CU_TCP_PSH) != 0;
}

/*
 * Whether a side says its last words in TLS from a segment on. Once one side did,
 * the other's words may be the last, and after a silence all that a server says
 * is: a GOAWAY may give a reason (RFC 9113 section 6.8).
 */
static bool says_last_words(const struct finder *finder, uint32_t i)
{
	const int64_t at_once_ns = CU_NS_PER_S;
	const struct cu_trace_segment *first = &finder->trace->segment[i];
	bool unasked =
		finder->said_last_words && first->dir == CU_S2C && first->time_ns - finder->server_end_ns > at_once_ns;
	if (!finder->is_tls || (cu_tls_word(finder->trace, first) == CU_WORD_OTHER && !unasked)) {
		return false;
	}
	return finder->said_last_words || cu_trace_hint_kind(finder->trace, first->hint) == CU_HINT_TLS_ALERT ||
	       cu_tls_ends_with_alert(finder->trace, i, at_once_ns);
}

/*
 * The client sends after an answer began: is this another request? Yes when it
 * looks like one, when the answer had come to an end as far as the client
 * knew, or when the server had fallen silent; else both sides just stream.
 */
static bool is_new_request(const struct finder *finder, const struct cu_trace_segment *seg)
{
	if (cu_trace_hint_kind(finder->trace, seg->hint) == CU_HINT_HTTP_REQUEST) {
		return true;
	}
	bool had_all = finder->short_end && seg->ack >= finder->highest[CU_S2C];
	return had_all || seg->time_ns - finder->server_end_ns > QUIET_NS;
}

/* Whether it acknowledges data of the other side that was not seen; a FIN is none. */
static bool acks_unseen(const struct finder *finder, const struct cu_trace_segment *seg)
{
	bool fin = seg->dir == CU_S2C ? finder->client_fin : finder->server_fin;
	return seg->ack > finder->highest[!seg->dir] + fin;
}

/*
 * The client sends on, after a while, before it has an answer: whether that is
 * no part of its request, which was whole, but a frame that asks for nothing, or
 * another request of HTTP, which waits for its turn (RFC 9112 section 9.3.2).
 */
static bool is_beside_request(const struct finder *finder, const struct cu_exchange *now,
                              const struct cu_trace_segment *seg)
{
	uint8_t before = cu_trace_hint_kind(finder->trace, now->request_hint);
	if (seg->time_ns - finder->trace->segment[now->last_seg].time_ns <= QUIET_NS) {
		return false;
	}
	return before == CU_HINT_HTTP_REQUEST ? cu_trace_hint_kind(finder->trace, seg->hint) == CU_HINT_HTTP_REQUEST
	                                      : before == CU_HINT_TLS_DATA && !now->asks_nothing &&
	                                                cu_tls_word(finder->trace, seg) == CU_WORD_CONTROL;
}

/*
 * The server's first word after something that came beside a request: at once,
 * it is the answer to that, which asked for something after all.
 */
static void settle_beside(struct finder *finder, struct cu_exchange *now, const struct cu_trace_segment *seg)
{
	const int64_t at_once_ns = finder->trace->handshake_ns + QUIET_NS;
	if (finder->is_tls && cu_tls_word(finder->trace, seg) == CU_WORD_CONTROL) {
		return; /* a PING's own */
	}
	if (finder->beside_end != 0 && now != NULL && !answered(now) && seg->ack >= finder->beside_end &&
	    seg->time_ns - finder->beside_ns <= at_once_ns) {
		now->request_end = finder->beside_end;
	}
	finder->beside_end = 0;
}

/* Whether what the server sends next goes on at an ACK number or behind it: what was before that never comes. */
static bool goes_on_behind(const struct finder *finder, uint32_t i, int64_t ack)
{
	enum { LOOK_AHEAD = 64 };
	const struct cu_trace *trace = finder->trace;
	for (uint32_t s = i + 1; s < trace->n && s - i <= LOOK_AHEAD; s++) {
		const struct cu_trace_segment *seg = &trace->segment[s];
		if (seg->dir == CU_S2C && cu_carries(seg)) {
			return seg->seq >= ack;
		}
	}
	return true;
}

/* An answer that the capture lacks ends at an ACK number; what tells of it is where it had come at the latest. */
static void answer_unseen(struct finder *finder, struct cu_exchange *now, int64_t end, uint32_t told_by)
{
	now->response_start = finder->highest[CU_S2C];
	now->response_end = finder->highest[CU_S2C] = end;
	now->outcome = CU_OUTCOME_ANSWERED;
	now->last_seg = told_by > now->last_seg ? told_by : now->last_seg;
	now->end_seg = now->last_seg;
	finder->short_end = true;
}

/*
 * The client goes on, and acknowledges what the capture lacks of the server's.
 * That is the answer, if there was none; else its end, so far as an ACK before
 * tells when it came. Where the capture lacks the client's data too, an
 * exchange was between, of which nothing is known: it is left out.
 */
static void take_unseen_answer(struct finder *finder, struct cu_exchange *now, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	int64_t seen_end = finder->highest[CU_S2C];
	bool was_between = seg->seq > finder->highest[CU_C2S];
	if (now != NULL && !answered(now)) {
		bool told = finder->unseen_ack >= seg->ack - 1; /* else it may be long ago */
		answer_unseen(finder, now, seg->ack, told ? finder->unseen_seg : now->last_seg);
		return;
	}
	finder->highest[CU_S2C] = seg->ack;
	if (now == NULL) {
		return;
	}
	if (was_between) {
		finder->highest[CU_C2S] = seg->seq;
	} else if (finder->client_ack > seen_end) {
		now->response_end = finder->client_ack;
	}
}

/* Notes an ACK of the client's beyond what was seen; one more number may be that of a FIN. */
static void note_unseen_ack(struct finder *finder, uint32_t i)
{
	int64_t ack = finder->trace->segment[i].ack, seen_end = finder->highest[CU_S2C];
	int64_t known_end = finder->unseen_ack > seen_end ? finder->unseen_ack : seen_end;
	if (ack > known_end + 1) {
		finder->unseen_ack = ack;
		finder->unseen_seg = i;
	}
}

/* No more is asked. If the client's ACKs tell of an answer that the capture lacks, what waited for one had that. */
static void settle_unseen(struct finder *finder, uint32_t i)
{
	struct cu_exchange *now = current(finder);
	if (now != NULL && !answered(now) && now->outcome == CU_OUTCOME_NONE && !now->asks_nothing && !now->interim &&
	    finder->unseen_ack > finder->highest[CU_S2C] && finder->unseen_seg > now->last_seg &&
	    goes_on_behind(finder, i, finder->unseen_ack)) {
		answer_unseen(finder, now, finder->unseen_ack, finder->unseen_seg);
	}
}

/* Whether the client acknowledges what the server sent before a number, and the server does not send it any more. */
static bool is_acked_behind(const struct finder *finder, uint32_t i, int64_t seq)
{
	enum { LOOK_AHEAD = 64 };
	const struct cu_trace *trace = finder->trace;
	for (uint32_t s = i + 1; s < trace->n && s - i <= LOOK_AHEAD; s++) {
		const struct cu_trace_segment *seg = &trace->segment[s];
		if (seg->dir == CU_C2S && !seg->icmp && seg->ack >= seq) {
			return true;
		}
		if (seg->dir == CU_S2C && cu_carries(seg) && seg->len > 0 && seg->seq < seq) {
			return false;
		}
	}
	return false;
}

/* The server's FIN tells how far its data went, and with the client's ACK, that the capture lacks some of it. */
static void note_server_end(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	int64_t end = seg->seq + seg->len;
	if (finder->unseen_ack > end) {
		finder->unseen_ack = 0; /* the server never sent that: ACKs tell nothing here */
	} else if (end > finder->highest[CU_S2C] && end > finder->unseen_ack && is_acked_behind(finder, i, end)) {
		finder->unseen_ack = end;
		finder->unseen_seg = i;
	}
}

static int client_data(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	struct cu_exchange *now = current(finder);
	bool asks_nothing = finder->is_tls && cu_tls_word(finder->trace, seg) == CU_WORD_CONTROL;
	/* After the handshake's last flight what the client sends is a request, tickets on their way or not. */
	bool handshaken = now != NULL &&
	                  cu_trace_hint_kind(finder->trace, now->request_hint) == CU_HINT_TLS_HANDSHAKE &&
	                  cu_trace_hint_kind(finder->trace, seg->hint) == CU_HINT_TLS_DATA;
	if (acks_unseen(finder, seg) && goes_on_behind(finder, i, seg->ack)) {
		take_unseen_answer(finder, now, i);
	}
	int64_t start = finder->highest[CU_C2S];
	bool is_over = now != NULL && !answered(now) && now->outcome != CU_OUTCOME_NONE; /* the server had closed */
	bool begins = now == NULL || now->kind == CU_TXN_GREETING || is_over ||
	              (answered(now) && (handshaken || is_new_request(finder, seg)));
	if (begins) {
		now = begin(finder, CU_TXN_REQUEST, i);
		if (now == NULL) {
			return CU_ERR_NOMEM;
		}
		now->request_start = start;
		now->request_end = seg->seq + seg->len;
		now->request_hint = seg->hint;
		now->asks_nothing = asks_nothing;
		finder->aside.waits = false;
	} else if (!answered(now) && is_beside_request(finder, now, seg)) {
		finder->beside_end = seg->seq + seg->len;
		finder->beside_ns = seg->time_ns;
	} else if (!answered(now)) {
		bool begins_here = now->asks_nothing && !asks_nothing;
		if (begins_here) {
			now->request_start = start;
			now->first_seg = i;
			now->asks_nothing = false;
		}
		now->request_end = seg->seq + seg->len;
		if (seg->hint != 0 && (begins_here || now->request_hint == 0)) {
			now->request_hint = seg->hint;
		}
	} else if (seg->ack >= finder->highest[CU_S2C]) {
		if (!finder->aside.waits) {
			finder->aside = (struct aside){.waits = true, .start = start, .seg = i, .hint = seg->hint};
		}
		finder->aside.end = seg->seq + seg->len;
	}
	now->last_seg = i;
	return 0;
}

/*
 * The server goes on after the client said something aside. If its stream had
 * stopped, and goes on with what acknowledges that, then that was a request.
 */
static int settle_aside(struct finder *finder, const struct cu_trace_segment *seg)
{
	const int64_t stopped_ns = 5 * CU_NS_PER_MS;
	struct aside aside = finder->aside;
	finder->aside.waits = false;
	if (!aside.waits || seg->ack < aside.end || seg->time_ns - finder->server_end_ns < stopped_ns) {
		return 0;
	}
	struct cu_exchange *exchange = begin(finder, CU_TXN_REQUEST, aside.seg);
	if (exchange == NULL) {
		return CU_ERR_NOMEM;
	}
	exchange->request_start = aside.start;
	exchange->request_end = aside.end;
	exchange->request_hint = aside.hint;
	return 0;
}

static void extend_response(struct cu_exchange *exchange, const struct cu_trace_segment *seg, uint32_t i, int64_t start)
{
	if (!answered(exchange)) {
		exchange->response_start = start;
		exchange->response_hint = seg->hint;
		exchange->outcome = CU_OUTCOME_ANSWERED;
	}
	exchange->response_end = seg->seq + seg->len;
	exchange->last_seg = i;
}

/* Whether a segment of the client ended at seq and looked like the end of a message; looks back over a bounded stretch. */
static bool boundary_at(const struct finder *finder, uint32_t i, int64_t seq)
{
	enum { LOOK_BACK = 64 };
	for (uint32_t back = 1; back <= i && back <= LOOK_BACK; back++) {
		const struct cu_trace_segment *seg = &finder->trace->segment[i - back];
		if (seg->dir == CU_C2S && seg->len > 0 && seg->seq + seg->len == seq) {
			return ends_message(finder, seg);
		}
	}
	return false;
}

/* The server acknowledges a request, or the end of one, that the capture missed. */
static int note_unseen_request(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	struct cu_exchange *now = current(finder);
	bool waiting = now != NULL && !answered(now) && now->kind == CU_TXN_REQUEST;
	if (!waiting) {
		now = begin(finder, CU_TXN_REQUEST, i);
		if (now == NULL) {
			return CU_ERR_NOMEM;
		}
		now->request_start = finder->highest[CU_C2S];
	}
	now->request_end = finder->highest[CU_C2S] = seg->ack;
	return 0;
}

/* The server speaks first. Without a handshake the request may just not have been captured. */
static int greet(struct finder *finder, uint32_t i)
{
	const struct cu_exchange *last = last_of(finder);
	if (last == NULL || last->kind != CU_TXN_CONNECT) {
		return 0;
	}
	struct cu_exchange *greeting = begin(finder, CU_TXN_GREETING, i);
	if (greeting == NULL) {
		return CU_ERR_NOMEM;
	}
	extend_response(greeting, &finder->trace->segment[i], i, finder->highest[CU_S2C]);
	return 0;
}

/* The server answers what it acknowledges; what the client sent behind that waits for its own answer. */
static int answer_first_part(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	struct cu_exchange *next = begin(finder, CU_TXN_REQUEST, i);
	if (next == NULL) {
		return CU_ERR_NOMEM;
	}
	struct cu_exchange *now = next - 1;
	next->request_start = seg->ack;
	next->request_end = now->request_end;
	now->request_end = seg->ack;
	extend_response(now, seg, i, finder->highest[CU_S2C]);
	/* The rest of the request was sent before; its first segment is found again. */
	for (uint32_t s = now->first_seg; s < i; s++) {
		const struct cu_trace_segment *old = &finder->trace->segment[s];
		if (old->dir == CU_C2S && old->len > 0 && old->seq >= next->request_start) {
			next->first_seg = s;
			next->request_hint = old->hint;
			next->asks_nothing =
				old->end == next->request_end && cu_tls_word(finder->trace, old) == CU_WORD_CONTROL;
			break;
		}
	}
	return 0;
}

/* Late data, when the server has not seen the newest request: session tickets, the rest of the answer before. */
static bool is_late(const struct finder *finder, const struct cu_exchange *now, const struct cu_trace_segment *seg)
{
	return finder->out->n >= 2 && seg->ack <= now->request_start && now[-1].kind != CU_TXN_CONNECT &&
	       now[-1].kind != CU_TXN_CLOSE;
}

static void extend_late(struct cu_exchange *before, const struct cu_trace_segment *seg, uint32_t i, int64_t start)
{
	before->response_end = seg->seq + seg->len;
	before->last_seg = i;
	if (before->response_start == 0) {
		before->response_start = start;
		before->outcome = CU_OUTCOME_ANSWERED;
	}
}

/* An interim word (100 Continue), or an answer given before the request was whole. */
static void extend_interim(struct cu_exchange *now, const struct cu_trace_segment *seg, uint32_t i, int64_t start)
{
	if (!now->interim) {
		now->interim = true;
		now->interim_start = start;
	}
	now->interim_end = seg->seq + seg->len;
	now->last_seg = i;
}

/* The server goes on, long after it had come to an end of which the client knew. */
static void note_unasked(struct finder *finder, const struct cu_trace_segment *seg)
{
	int64_t silence_ns = seg->time_ns - finder->server_end_ns;
	if (finder->short_end && finder->client_ack >= finder->highest[CU_S2C] && silence_ns >= CU_NS_PER_S &&
	    silence_ns < finder->out->unasked_ns) {
		finder->out->unasked_ns = silence_ns;
	}
}

static int server_data(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	int64_t start = finder->highest[CU_S2C];
	int err = settle_aside(finder, seg);
	if (err == 0 && acks_unseen(finder, seg)) {
		err = note_unseen_request(finder, i);
	}
	if (err != 0) {
		return err;
	}
	struct cu_exchange *now = current(finder);
	settle_beside(finder, now, seg);
	if (now == NULL) {
		return greet(finder, i);
	}
	if (answered(now)) {
		note_unasked(finder, seg);
	}
	if (answered(now) || now->kind == CU_TXN_GREETING || seg->ack >= now->request_end) {
		extend_response(now, seg, i, start);
	} else if (seg->ack > now->request_start && boundary_at(finder, i, seg->ack)) {
		return answer_first_part(finder, i);
	} else if (is_late(finder, now, seg)) {
		extend_late(now - 1, seg, i, start);
	} else {
		extend_interim(now, seg, i, start);
	}
	return 0;
}

/* What asked for nothing, and got no answer, was no request. */
static void drop_idle(struct finder *finder)
{
	const struct cu_exchange *now = current(finder);
	if (now != NULL && now->outcome == CU_OUTCOME_NONE && now->asks_nothing && !now->interim) {
		finder->out->n--;
	}
}

/* Gives what is still unanswered its end. */
static void end_open(struct finder *finder, uint32_t i, enum cu_outcome outcome)
{
	drop_idle(finder);
	for (size_t n = finder->out->n; n > 0; n--) {
		struct cu_exchange *exchange = &finder->out->item[n - 1];
		if (exchange->outcome != CU_OUTCOME_NONE) {
			break;
		}
		if (exchange->interim) {
			exchange->response_start = exchange->interim_start;
			exchange->response_end = exchange->interim_end;
			exchange->outcome = CU_OUTCOME_ANSWERED;
			continue;
		}
		exchange->outcome = (uint8_t)outcome;
		exchange->end_seg = i;
	}
}

static int handshake(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	struct cu_exchange *last = last_of(finder);
	if (seg->dir == CU_C2S && last == NULL) {
		struct cu_exchange *connect = begin(finder, CU_TXN_CONNECT, i);
		if (connect == NULL) {
			return CU_ERR_NOMEM;
		}
		connect->request_start = 0;
		connect->request_end = 1;
	} else if (seg->dir == CU_S2C && last != NULL && last->kind == CU_TXN_CONNECT) {
		last->outcome = CU_OUTCOME_ANSWERED;
		last->response_start = 0;
		last->response_end = 1;
	}
	if (last != NULL && last->kind == CU_TXN_CONNECT) {
		last->last_seg = i;
	}
	return 0;
}

static int close_begins(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	struct cu_exchange *exchange = begin(finder, CU_TXN_CLOSE, i);
	if (exchange == NULL) {
		return CU_ERR_NOMEM;
	}
	exchange->request_start = seg->end - 1;
	exchange->request_end = seg->end;
	return 0;
}

/* ICMP that ends an attempt to connect: unreachable of any kind but fragmentation needed (RFC 792, 4443). */
static bool refuses(const struct cu_trace_segment *icmp)
{
	bool v4 = icmp->icmp_type == 3 && icmp->icmp_code != 4;
	bool v6 = icmp->icmp_type == 1;
	return v4 || v6;
}

/*
 * Whether a server of HTTP says that it waits no longer for a request: 408 (RFC
 * 9110 section 15.5.9), or any answer where nothing was asked.
 */
static bool gives_up_waiting(struct finder *finder, const struct cu_trace_segment *seg)
{
	if (cu_trace_hint_kind(finder->trace, seg->hint) != CU_HINT_HTTP_RESPONSE || acks_unseen(finder, seg)) {
		return false;
	}
	const struct cu_hint *status = cu_trace_hint(finder->trace, seg);
	const struct cu_exchange *last = last_of(finder);
	bool is_first = last != NULL && last->kind == CU_TXN_CONNECT;
	return is_first || (status->text_len == 3 && memcmp(status->text, "408", 3) == 0);
}

/* Whether data asks and answers nothing. An alert, or 408, is the answer to a request that has no other. */
static bool is_idle_talk(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	const struct cu_exchange *now = current(finder);
	bool is_client = seg->dir == CU_C2S;
	bool is_asked = now != NULL && !answered(now) && !now->asks_nothing;
	finder->is_tls = finder->is_tls || cu_tls_is(cu_trace_hint_kind(finder->trace, seg->hint));
	finder->said_last_words = (is_client || (now != NULL && !is_asked)) && says_last_words(finder, i);
	return finder->said_last_words || (!is_client && !is_asked && gives_up_waiting(finder, seg));
}

/* Data in its order. */
static int take_data(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	if ((seg->hint != 0 || finder->is_tls) && is_idle_talk(finder, i)) {
		return 0;
	}
	return seg->dir == CU_C2S ? client_data(finder, i) : server_data(finder, i);
}

/* Whether nothing was said yet in a direction of a connection that was captured from the middle on. */
static bool is_unheard(const struct finder *finder, unsigned dir)
{
	return finder->highest[dir] == 1 && !finder->trace->connection.side[dir].has_syn;
}

/*
 * Whether it is sent to see if the other side is there. The first of a
 * connection that was captured from the middle on tells by its one byte without
 * PSH, which a sender sets at the end of what it has to send.
 */
static bool is_probe(const struct finder *finder, const struct cu_trace_segment *seg)
{
	bool is_first = seg->len == 1 && seg->seq == 1 && is_unheard(finder, seg->dir);
	return cu_is(seg, CU_EVENT_KEEP_ALIVE) || (is_first && (seg->flags & CU_TCP_PSH) == 0);
}

static int take_fin(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	bool first = !finder->client_fin && !finder->server_fin;
	drop_idle(finder);
	if (seg->dir == CU_S2C && !finder->server_fin) {
		note_server_end(finder, i);
	}
	settle_unseen(finder, i);
	if (seg->dir == CU_S2C) {
		/* No answer can come any more; a client that had closed before did not wait for one. */
		if (finder->client_fin) {
			end_open(finder, finder->client_fin_seg, CU_OUTCOME_ABANDONED);
		}
		end_open(finder, i, CU_OUTCOME_UNANSWERED);
		finder->server_fin = true;
	} else if (!finder->client_fin) {
		finder->client_fin = true;
		finder->client_fin_seg = i;
	}
	const struct cu_exchange *open = current(finder);
	bool waiting = open != NULL && open->outcome == CU_OUTCOME_NONE;
	/* A half-closed client may still wait for its answer. */
	return first && !(waiting && seg->dir == CU_C2S) ? close_begins(finder, i) : 0;
}

static int take(struct finder *finder, uint32_t i)
{
	const struct cu_trace_segment *seg = &finder->trace->segment[i];
	struct cu_exchange *last = last_of(finder);

	if (seg->icmp) {
		if (last != NULL && last->kind == CU_TXN_CONNECT && last->outcome == CU_OUTCOME_NONE && refuses(seg)) {
			last->last_seg = last->end_seg = i;
			last->outcome = CU_OUTCOME_REFUSED;
		}
		return 0;
	}
	bool ends = (seg->flags & (CU_TCP_FIN | CU_TCP_RST)) != 0 && seg->dir == CU_C2S;
	if (ends && add_client_end(finder->out, i) != 0) {
		return CU_ERR_NOMEM;
	}
	if (seg->flags & CU_TCP_RST) {
		bool connecting = last != NULL && last->kind == CU_TXN_CONNECT && last->outcome == CU_OUTCOME_NONE;
		settle_unseen(finder, i);
		if (seg->dir == CU_C2S) {
			end_open(finder, i, CU_OUTCOME_ABANDONED);
		} else {
			end_open(finder, i, connecting ? CU_OUTCOME_REFUSED : CU_OUTCOME_RESET);
		}
		return 0;
	}
	if (seg->flags & CU_TCP_SYN) {
		return handshake(finder, i);
	}
	if (seg->dir == CU_C2S && seg->ack >= 1 && last != NULL && last->kind == CU_TXN_CONNECT &&
	    last->outcome == CU_OUTCOME_NONE) {
		last->outcome = CU_OUTCOME_ANSWERED; /* by a SYN-ACK that was not captured */
		last->last_seg = last->end_seg = i;
	}
	int64_t data_end = seg->seq + seg->len;
	if (seg->len > 0 && data_end > finder->highest[seg->dir] && !cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
		if (seg->seq == 2 && is_unheard(finder, seg->dir)) {
			finder->highest[seg->dir] = 2; /* the number before was a keep-alive's, without a byte */
		}
		int err = is_probe(finder, seg) ? 0 : take_data(finder, i);
		if (err != 0) {
			return err;
		}
		finder->highest[seg->dir] = data_end;
		if (seg->dir == CU_S2C) {
			finder->unseen_ack = 0;
			finder->server_end_ns = seg->time_ns;
			finder->short_end = seg->len < finder->trace->mss[CU_S2C];
		}
	}
	if (seg->dir == CU_C2S && seg->ack > finder->client_ack) {
		finder->client_ack = seg->ack;
		note_unseen_ack(finder, i);
	}
	return (seg->flags & CU_TCP_FIN) != 0 ? take_fin(finder, i) : 0;
}

/*
 * In TLS 1.3 the client's second flight ends the handshake, and a request may
 * follow at once; what the server then sends first can be session tickets
 * (RFC 8446 4.6.1), which answer nothing. Short bursts with silence behind them
 * are taken for them; where no tickets come, HTTP/2's frames that answer nothing
 * alone, such as the acknowledgement of SETTINGS.
 */
static void skip_tickets(const struct finder *finder, struct cu_exchange *exchange, bool has_tickets)
{
	const int64_t quiet_ns = 10 * CU_NS_PER_MS;
	enum { TICKETS_BYTES = 1200 };
	const int64_t start = exchange->response_start;
	int64_t end = start, last_ns = 0;
	for (uint32_t i = exchange->first_seg; i <= exchange->last_seg; i++) {
		const struct cu_trace_segment *seg = &finder->trace->segment[i];
		if (seg->icmp || seg->dir != CU_S2C || seg->len == 0 || seg->seq + seg->len <= end ||
		    seg->seq + seg->len > exchange->response_end) {
			continue;
		}
		if (end - start > TICKETS_BYTES) {
			return;
		}
		if (end > start && seg->time_ns - last_ns > quiet_ns) {
			exchange->response_start = end; /* each ticket may wait for the ACK of the one before */
		}
		if (!has_tickets && cu_tls_word(finder->trace, seg) != CU_WORD_CONTROL) {
			return;
		}
		end = seg->seq + seg->len;
		last_ns = seg->time_ns;
	}
}

/* What kind each exchange is, once its answer is known. */
static void name_kinds(struct finder *finder)
{
	enum { SECOND_FLIGHT_BYTES = 160 }; /* change cipher spec and Finished, no certificate, no request */
	bool handshaken = false;            /* the exchange before had the client's end of the handshake */
	bool tickets_follow = false;
	for (size_t n = 0; n < finder->out->n; n++) {
		struct cu_exchange *exchange = &finder->out->item[n];
		if (exchange->kind != CU_TXN_REQUEST) {
			continue;
		}
		uint8_t request = cu_trace_hint_kind(finder->trace, exchange->request_hint);
		uint8_t response = cu_trace_hint_kind(finder->trace, exchange->response_hint);
		bool second = request == CU_HINT_TLS_HANDSHAKE;
		bool alone = exchange->request_end - exchange->request_start <= SECOND_FLIGHT_BYTES;
		if (request == CU_HINT_TLS_CLIENT_HELLO || (second && (response == CU_HINT_TLS_HANDSHAKE || alone))) {
			exchange->kind = CU_TXN_TLS_HANDSHAKE;
		} else if (answered(exchange) && (second || handshaken)) {
			skip_tickets(finder, exchange, second || tickets_follow);
		}
		/*
		 * Up to TLS 1.2 the server ends it, and its ticket comes before that (RFC 5077 section 3.3); the
		 * tickets behind a request that came with the client's flight have come with the answer to that.
		 */
		tickets_follow = second && alone && response != CU_HINT_TLS_HANDSHAKE;
		handshaken = second;
	}
}

int cu_exchanges_find(struct cu_exchanges *exchanges, const struct cu_trace *trace)
{
	struct finder finder = {.out = exchanges, .trace = trace, .highest = {1, 1}};
	for (int dir = 0; dir < 2; dir++) {
		finder.highest[dir] = trace->dropped_end[dir] > 1 ? trace->dropped_end[dir] : 1;
	}
	exchanges->n = exchanges->n_client_ends = 0;
	exchanges->unasked_ns = INT64_MAX;
	for (uint32_t i = 0; i < trace->n; i++) {
		int err = take(&finder, i);
		if (err != 0) {
			return err;
		}
	}
	if (trace->n > 0) {
		uint32_t last = (uint32_t)trace->n - 1;
		bool connecting = exchanges->n == 1 && exchanges->item[0].kind == CU_TXN_CONNECT;
		bool open = trace->connection.end == CU_END_OPEN || trace->connection.end == CU_END_EVICTED;
		enum cu_outcome outcome = finder.client_fin     ? CU_OUTCOME_ABANDONED
		                          : open && !connecting ? CU_OUTCOME_OPEN
		                                                : CU_OUTCOME_UNANSWERED;
		settle_unseen(&finder, last);
		end_open(&finder, last, outcome);
	}
	name_kinds(&finder);
	return 0;
}
