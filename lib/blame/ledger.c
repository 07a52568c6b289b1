#include "lib/blame/ledger.h"

#include "lib/blame/account.h"

#include <string.h>

/* What a range of a direction was: its frames, and when it passed. */
struct passage {
	int64_t first_ns;   /* first byte seen, or known to have been sent */
	int64_t arrived_ns; /* last byte delivered */
	uint32_t first_seg, last_seg;
	bool whole; /* every byte of it was delivered, or at least seen */
};

static bool find_passage(const struct cu_account *account, int dir, int64_t start, int64_t end, struct passage *passage,
                         struct cu_message *message)
{
	const struct cu_delivery *delivery = &account->known->delivery[dir];
	*passage = (struct passage){.first_ns = INT64_MAX, .arrived_ns = INT64_MIN, .whole = true};
	uint32_t first_seg = UINT32_MAX, last_seg = 0; /* that were captured */
	int64_t at = start;
	for (size_t p = cu_delivery_find(delivery, start); p < delivery->n_pieces && delivery->piece[p].start < end;
	     p++) {
		const struct cu_piece *piece = &delivery->piece[p];
		int64_t first = cu_min_ns(piece->first_ns, piece->due_ns);
		if (first < passage->first_ns) {
			passage->first_ns = first;
			passage->first_seg = piece->first_seg;
		}
		if (piece->arrive_ns > passage->arrived_ns) {
			passage->arrived_ns = piece->arrive_ns;
			passage->last_seg = piece->arrive_seg;
		}
		if (piece->start > at) {
			passage->whole = false;
		}
		at = piece->end;
		if (piece->loss == CU_LOSS_CAPTURE) {
			continue;
		}
		first_seg = piece->first_seg < first_seg ? piece->first_seg : first_seg;
		last_seg = piece->arrive_seg > last_seg ? piece->arrive_seg : last_seg;
		message->n_retransmitted += piece->retransmitted ? piece->n_copies - (piece->n_copies > 1) : 0;
	}
	if (at < end) {
		passage->whole = false;
	}
	message->n_bytes = (uint64_t)(end - start);
	if (first_seg != UINT32_MAX) {
		cu_account_cite(account, message, first_seg, last_seg);
	}
	return passage->first_ns != INT64_MAX;
}

/* The events of the segments between, for the evidence. */
static void add_events(struct cu_account *account, uint32_t first_seg, uint32_t last_seg, int64_t origin_ns)
{
	static const uint32_t told = 1u << CU_EVENT_RETRANSMISSION | 1u << CU_EVENT_LOST_SEGMENT |
	                             1u << CU_EVENT_ACK_LOST_SEGMENT | 1u << CU_EVENT_DUPLICATE_ACK |
	                             1u << CU_EVENT_KEEP_ALIVE | 1u << CU_EVENT_KEEP_ALIVE_ACK |
	                             1u << CU_EVENT_ZERO_WINDOW | 1u << CU_EVENT_WINDOW_FULL |
	                             1u << CU_EVENT_OUT_OF_ORDER | 1u << CU_EVENT_RESET | 1u << CU_EVENT_ICMP |
	                             1u << CU_EVENT_ZERO_WINDOW_PROBE | 1u << CU_EVENT_DUPLICATE_FRAME |
	                             1u << CU_EVENT_FAST_RETRANSMISSION | 1u << CU_EVENT_SPURIOUS_RETRANSMISSION;
	/* The more particular name stands for a segment that has several. */
	static const uint8_t rank[] = {CU_EVENT_ICMP,
	                               CU_EVENT_RESET,
	                               CU_EVENT_SPURIOUS_RETRANSMISSION,
	                               CU_EVENT_FAST_RETRANSMISSION,
	                               CU_EVENT_RETRANSMISSION,
	                               CU_EVENT_OUT_OF_ORDER,
	                               CU_EVENT_DUPLICATE_FRAME,
	                               CU_EVENT_LOST_SEGMENT,
	                               CU_EVENT_ACK_LOST_SEGMENT,
	                               CU_EVENT_ZERO_WINDOW_PROBE,
	                               CU_EVENT_ZERO_WINDOW,
	                               CU_EVENT_WINDOW_FULL,
	                               CU_EVENT_KEEP_ALIVE,
	                               CU_EVENT_KEEP_ALIVE_ACK,
	                               CU_EVENT_DUPLICATE_ACK};
	const struct cu_trace *trace = account->known->trace;
	struct cu_transaction *transaction = account->transaction;

	for (uint32_t i = first_seg; i <= last_seg && i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if ((seg->marks & told) == 0) {
			continue;
		}
		uint8_t kind = CU_EVENT_NONE;
		for (size_t r = 0; r < sizeof(rank) && kind == CU_EVENT_NONE; r++) {
			if (seg->marks >> rank[r] & 1) {
				kind = rank[r];
			}
		}
		transaction->n_events++;
		struct cu_event *same = NULL;
		for (int e = transaction->n_kept - 1; e >= 0 && same == NULL; e--) {
			struct cu_event *event = &transaction->events[e];
			bool full = transaction->n_kept == CU_EVENT_CAP;
			bool run = e == transaction->n_kept - 1 && kind == CU_EVENT_DUPLICATE_ACK;
			if (event->kind == kind && event->dir == seg->dir && (full || run)) {
				same = event;
			}
		}
		if (same != NULL) {
			same->count = same->count < UINT16_MAX ? (uint16_t)(same->count + 1) : UINT16_MAX;
		} else if (transaction->n_kept < CU_EVENT_CAP) {
			transaction->events[transaction->n_kept++] =
				(struct cu_event){.kind = kind,
			                          .dir = seg->dir,
			                          .count = 1,
			                          .file = (uint16_t)(seg->file - transaction->file),
			                          .frame = seg->frame,
			                          .time_ns = seg->time_ns - origin_ns};
		}
	}
}

/* Whether a cause has more than half of the transaction's time. */
static bool is_most(const struct cu_account *account, enum cu_cause cause)
{
	return account->transaction->ledger[cause].ns > account->transaction->total_ns / 2;
}

static bool came_once(const struct cu_message *message)
{
	return message->first_frame == message->last_frame && message->first_file == message->last_file;
}

/*
 * Whether the server's TCP answered later than a TCP does, as seen from afar:
 * a SYN at once, a request no later than it may keep an ACK back. Then more
 * than the server was slow.
 */
static bool acked_late(const struct cu_account *account)
{
	const struct cu_path *path = account->known->path;
	const struct cu_transaction *transaction = account->transaction;
	if (path->vantage == CU_VANTAGE_SERVER) {
		return false;
	}
	if (is_most(account, CU_SERVER_CONNECT)) {
		return came_once(&transaction->request); /* else it did answer one, if not as it should */
	}
	return is_most(account, CU_SERVER_THINK) && path->has_bare_acks && path->server_known &&
	       !account->known->capture_lacks && transaction->acked_frame != 0 &&
	       transaction->ack_delay_ns > path->server_rtt_ns + CU_ACK_DELAY_NS;
}

/* Whether an exchange is HTTP's one answer to one request: no tunnel, nor another protocol since. */
static bool is_one_answer(const struct cu_trace *trace, const struct cu_exchange *exchange)
{
	const struct cu_hint *request = cu_trace_hint_at(trace, exchange->request_hint);
	const struct cu_hint *answer = cu_trace_hint_at(trace, exchange->response_hint);
	bool is_tunnel = request != NULL && request->text_len > 8 && memcmp(request->text, "CONNECT ", 8) == 0;
	bool is_switched = answer != NULL && answer->kind == CU_HINT_HTTP_RESPONSE && answer->text_len == 3 &&
	                   memcmp(answer->text, "101", 3) == 0;
	return request != NULL && request->kind == CU_HINT_HTTP_REQUEST && !is_tunnel && !is_switched;
}

/* Whether the server closed right behind a segment of its own, and the client neither spoke nor closed before that. */
static bool closed_behind(const struct cu_trace *trace, uint32_t seg_index)
{
	const struct cu_trace_segment *last = &trace->segment[seg_index];
	for (uint32_t i = seg_index; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		bool closes = !seg->icmp && (seg->flags & (CU_TCP_FIN | CU_TCP_RST)) != 0;
		if (seg->time_ns - last->time_ns > CU_NS_PER_S || (seg->dir == CU_C2S && (closes || seg->len > 0))) {
			return false;
		}
		if (closes) {
			return true;
		}
	}
	return false;
}

/*
 * Whether the server spoke unasked elsewhere on the connection, after a silence
 * not much longer than it thought here: a heartbeat, news.
 */
static bool may_be_unasked(const struct cu_account *account, const struct cu_exchange *exchange)
{
	enum { COINCIDENCE = 4 };
	return exchange->kind == CU_TXN_REQUEST && is_most(account, CU_SERVER_THINK) &&
	       account->transaction->ledger[CU_SERVER_THINK].ns > account->known->exchanges->unasked_ns / COINCIDENCE &&
	       !is_one_answer(account->known->trace, exchange);
}

/*
 * Whether something near answers in the server's stead: ACKs come much sooner
 * than the SYN-ACK did, and how long that took is no small part of what the
 * server seems to have thought. Its path is not known then.
 */
static bool is_answered_nearer(const struct cu_account *account)
{
	enum { SOONER = 8, SMALL_PART = 8 };
	const struct cu_path *path = account->known->path;
	int64_t handshake_ns = path->side[CU_C2S].handshake_ns;
	return is_most(account, CU_SERVER_THINK) && path->vantage != CU_VANTAGE_SERVER &&
	       handshake_ns > 50 * CU_NS_PER_MS && handshake_ns / SOONER > path->server_rtt_ns &&
	       handshake_ns > account->transaction->ledger[CU_SERVER_THINK].ns / SMALL_PART;
}

/*
 * What is left in doubt. TCP does not say where a message ends: a server that
 * speaks again unasked, after a few bytes that were acknowledged, may have
 * paused, or have news (a chat, a notification), or say that it waits no longer.
 * HTTP gives one answer to a request, until it becomes something else (RFC 9110
 * sections 9.3.6 and 15.2.2).
 */
static void doubt(struct cu_account *account, const struct cu_exchange *exchange)
{
	const int64_t idle_timeout_ns = 5 * CU_NS_PER_S; /* that a server closes after: none in use is shorter */
	const int64_t on_host_ns = 150 * CU_NS_PER_US;   /* a host answers a SYN sooner that is captured on it */
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	const struct cu_connection *connection = &trace->connection;
	const struct cu_transaction *transaction = account->transaction;
	bool many_messages = !is_one_answer(trace, exchange);
	bool own_message = many_messages && account->whole_before_ns > transaction->total_ns / 2;
	bool had_ended = many_messages && !own_message && account->ended_before_ns > transaction->total_ns / 2;
	int64_t silence_ns = exchange->kind == CU_TXN_GREETING && account->last_pause_ns == 0
	                             ? transaction->ledger[CU_SERVER_THINK].ns
	                             : account->last_pause_ns;
	bool after_silence = many_messages && silence_ns > idle_timeout_ns && silence_ns > transaction->total_ns / 2;
	/* Next to the server, but not on it: what came twice was dropped there, or did not come to it. */
	bool came_twice = exchange->kind != CU_TXN_CONNECT || !came_once(&transaction->request);
	bool may_be_lost = known->path->vantage == CU_VANTAGE_SERVER && known->path->server_rtt_ns > on_host_ns &&
	                   came_twice && is_most(account, CU_SERVER_CONNECT);
	/* Nothing of the answer was captured: all that is known of it is an ACK. */
	bool unseen = exchange->kind != CU_TXN_CONNECT && exchange->response_end > exchange->response_start &&
	              transaction->response.first_frame == 0;
	cu_account_doubt_if(account, CU_DOUBT_NO_HANDSHAKE,
	                    !connection->side[CU_C2S].has_syn || !connection->side[CU_S2C].has_syn);
	cu_account_doubt_if(account, CU_DOUBT_NO_SERVER_RTT, !known->path->server_known || is_answered_nearer(account));
	cu_account_doubt_if(account, CU_DOUBT_NO_CLIENT_RTT, !known->path->client_known);
	cu_account_doubt_if(account, CU_DOUBT_ROLES, connection->role == CU_ROLE_GUESSED);
	cu_account_doubt_if(account, CU_DOUBT_CAPTURE_LACKS, known->capture_lacks);
	cu_account_doubt_if(account, CU_DOUBT_LACKS_HERE,
	                    unseen || transaction->ledger[CU_UNKNOWN_CAPTURE].ns > transaction->total_ns / 10);
	cu_account_doubt_if(account, CU_DOUBT_UNSEEN_LOSS,
	                    may_be_lost || account->lost_there_ns > transaction->total_ns / 2);
	cu_account_doubt_if(account, CU_DOUBT_OWN_MESSAGE, own_message);
	cu_account_doubt_if(account, CU_DOUBT_ENDED, had_ended);
	cu_account_doubt_if(account, CU_DOUBT_LATE_ACK, acked_late(account));
	cu_account_doubt_if(account, CU_DOUBT_UNASKED, may_be_unasked(account, exchange));
	cu_account_doubt_if(account, CU_DOUBT_LAST_WORDS, after_silence && closed_behind(trace, exchange->last_seg));
}

/* How far the figures can be relied on, 0 to 100: the doubts' weights, by whether they may change the party. */
static uint8_t certainty_of(unsigned doubts)
{
	static const int8_t weight[CU_N_DOUBTS] = {
		[CU_DOUBT_NO_HANDSHAKE] = 15,  [CU_DOUBT_NO_SERVER_RTT] = 30, [CU_DOUBT_NO_CLIENT_RTT] = 15,
		[CU_DOUBT_ROLES] = 10,         [CU_DOUBT_UNSEEN_LOSS] = 25,   [CU_DOUBT_LIKE_A_TIMER] = 60,
		[CU_DOUBT_CAPTURE_LACKS] = 25, [CU_DOUBT_LACKS_HERE] = 30,    [CU_DOUBT_OWN_MESSAGE] = 60,
		[CU_DOUBT_KEPT_ACK] = 60,      [CU_DOUBT_LATE_ACK] = 60,      [CU_DOUBT_LAST_WORDS] = 60,
		[CU_DOUBT_ENDED] = 25,         [CU_DOUBT_UNASKED] = 25,
	};
	int certainty = 100;
	for (; doubts != 0; doubts &= doubts - 1) {
		certainty -= weight[__builtin_ctz(doubts)];
	}
	return (uint8_t)(certainty < 0 ? 0 : certainty);
}

/* The first segment of the server that acknowledges the whole request. */
static void find_acked(struct cu_account *account, const struct cu_exchange *exchange, int64_t complete_ns)
{
	const struct cu_delivery *delivery = &account->known->delivery[CU_C2S];
	size_t s = cu_delivery_acked(delivery, exchange->request_end);
	if (s < delivery->n_steps) {
		cu_account_cite_ack(account, delivery->step[s].seg);
		account->transaction->ack_delay_ns = cu_max_ns(0, delivery->step[s].time_ns - complete_ns);
	}
}

/* How long the end of a message waited in a queue between the vantage point and its receiver. */
static int64_t queued_behind(const struct cu_account *account, int dir, int64_t start, int64_t end)
{
	const struct cu_case *known = account->known;
	if (cu_at_sender(account, !dir)) {
		return 0; /* ACKs that come late there are the host's own */
	}
	return cu_delivery_queued_ns(&known->delivery[dir], start, end, known->trace->mss[dir],
	                             cu_receiver_rtt(account, dir));
}

/*
 * When the client gave up on an answer that had not reached it: it closed long
 * after the last copy of it passed, or reset before, and had not acknowledged
 * it. 0 when it did, or never closed; or when the server's timer would have
 * sent the answer again by then, and did not: the capture lacks the ACK.
 */
static int64_t given_up_ns(const struct cu_account *account, const struct cu_exchange *exchange,
                           const struct passage *response)
{
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	const struct cu_delivery *delivery = &known->delivery[CU_S2C];
	uint32_t closing = cu_exchanges_client_end(known->exchanges, response->first_seg);
	if (closing >= trace->n || trace->segment[closing].ack >= exchange->response_end ||
	    cu_delivery_acked(delivery, exchange->response_end) < delivery->n_steps) {
		return 0;
	}
	/* With a FIN it may have closed its half alone; with a RST it is gone, whatever copies came later. */
	for (uint32_t end = closing; end < trace->n && trace->segment[end].time_ns < response->arrived_ns;
	     end = cu_exchanges_client_end(known->exchanges, end + 1)) {
		if ((trace->segment[end].flags & CU_TCP_RST) && trace->segment[end].time_ns >= response->first_ns) {
			return trace->segment[end].time_ns;
		}
	}
	int64_t waited_ns = trace->segment[closing].time_ns - response->arrived_ns;
	bool repeated = delivery->piece[cu_delivery_find(delivery, exchange->response_end - 1)].retransmitted;
	return waited_ns <= known->path->client_rtt_ns + CU_ACK_DELAY_NS || (waited_ns > CU_TIMER_FIRST_NS && !repeated)
	               ? 0
	               : trace->segment[closing].time_ns;
}

/* When the server had the whole request, as its time passes at the vantage point, and when it spoke. */
struct turnaround {
	int64_t complete_ns, spoke_ns;
	uint32_t last_seg; /* of the request */
};

/* The segment of a side that is nearest to another one, in steps of one or minus one; that one itself when none is near. */
static uint32_t nearest_of(const struct cu_trace *trace, int dir, uint32_t seg_index, int step)
{
	enum { LOOK = 64 };
	uint32_t i = seg_index + (uint32_t)step;
	for (unsigned n = 0; n < LOOK && i < trace->n; n++, i += (uint32_t)step) {
		if (trace->segment[i].dir == dir && !trace->segment[i].icmp) {
			return i;
		}
	}
	return seg_index;
}

static int64_t held_up_between(const struct cu_trace *trace, int dir, uint32_t first, uint32_t last)
{
	return cu_held_up_ns(trace, dir, first, last, trace->segment[last].time_ns - trace->segment[first].time_ns);
}

/*
 * How much of the time before the server's first word that was on its way, as
 * its timestamp says: it was sent soon after the one before it, or after the
 * last before the request.
 */
static int64_t first_word_held_up_ns(const struct cu_trace *trace, uint32_t request_seg, uint32_t first_seg)
{
	uint32_t newest = nearest_of(trace, CU_S2C, first_seg, -1);
	uint32_t before = nearest_of(trace, CU_S2C, request_seg, -1);
	return cu_max_ns(held_up_between(trace, CU_S2C, newest, first_seg),
	                 held_up_between(trace, CU_S2C, before, first_seg));
}

/* Whether the client's clock knows as little of it: then it was that of the capture which stepped. */
static bool capture_stepped(const struct cu_trace *trace, uint32_t request_seg, uint32_t first_seg)
{
	return held_up_between(trace, CU_C2S, request_seg, nearest_of(trace, CU_C2S, first_seg, 1)) > 0;
}

/*
 * What the server's first word waited for, above the round trip: for room in the
 * client's window; on its way, as its timestamp says; or for the server to
 * think, or what else is known to be the cause.
 */
static void charge_first_word(struct cu_account *account, enum cu_cause cause, const struct turnaround *turn,
                              uint32_t first_seg, int64_t start)
{
	const struct cu_case *known = account->known;
	const struct cu_piece *first =
		&known->delivery[CU_S2C].piece[cu_delivery_find(&known->delivery[CU_S2C], start)];
	int64_t rtt = 2 * account->transaction->server_distance_ns, until = turn->spoke_ns;
	int64_t from = turn->complete_ns + cu_min_ns(rtt, until - turn->complete_ns);
	cu_charge(account, CU_NETWORK_RTT, turn->complete_ns, from, turn->last_seg, first_seg);
	bool thought = cause == CU_SERVER_THINK && until - from > CU_HOST_NS;
	if (thought && cu_window_held(account, CU_S2C, from, until, first)) {
		cause = CU_CLIENT_WINDOW;
	} else if (thought) {
		int64_t held_up_ns =
			cu_min_ns(first_word_held_up_ns(known->trace, turn->last_seg, first_seg), until - from);
		bool stepped = held_up_ns > 0 && capture_stepped(known->trace, turn->last_seg, first_seg);
		cu_charge(account, stepped ? CU_UNKNOWN_CAPTURE : CU_NETWORK_TRANSFER, until - held_up_ns, until,
		          turn->last_seg, first_seg);
		until -= held_up_ns;
	}
	cu_charge(account, cause, from, until, turn->last_seg, first_seg);
}

/* From the whole request to the first word of its answer. */
static void charge_thinking(struct cu_account *account, const struct cu_exchange *exchange,
                            const struct turnaround *turn, uint32_t first_seg)
{
	const struct cu_delivery *delivery = &account->known->delivery[CU_S2C];
	int64_t silence_ns = turn->spoke_ns - turn->complete_ns - 2 * account->transaction->server_distance_ns;
	enum cu_second_copy second = cu_second_copy_of(account, exchange->request_end, first_seg, silence_ns);
	enum cu_cause cause = CU_SERVER_THINK;

	if (second == CU_MAYBE_SECOND_COPY) {
		cu_account_doubt(account, CU_DOUBT_LIKE_A_TIMER);
	}
	if (second == CU_LATE_SECOND_COPY || second == CU_SECOND_COPY) {
		cu_account_doubt(account, CU_DOUBT_UNSEEN_LOSS);
		cu_account_add_loss(account, CU_LOSS_BEFORE);
	}
	if (second == CU_SECOND_COPY) {
		cause = cu_hidden_loss_cause(account, CU_S2C, first_seg, silence_ns);
	} else if (delivery->piece[cu_delivery_find(delivery, exchange->response_start)].loss == CU_LOSS_CAPTURE) {
		cause = CU_UNKNOWN_CAPTURE;
	}
	charge_first_word(account, cause, turn, first_seg, exchange->response_start);
}

/* The answer's way to the client, or until the client gave up on it. */
static void charge_answer(struct cu_account *account, const struct cu_exchange *exchange,
                          const struct passage *response, int64_t spoke_ns, int64_t end_ns)
{
	const struct cu_delivery *delivery = &account->known->delivery[CU_S2C];
	int64_t delivered_ns =
		cu_charge_delivery(account, CU_S2C, exchange->response_start, exchange->response_end, spoke_ns, end_ns);
	if (delivered_ns < end_ns) {
		int64_t acked = delivery->n_steps > 0 ? delivery->step[delivery->n_steps - 1].ack : 0;
		size_t missing = cu_delivery_find(delivery, cu_max_ns(acked, exchange->response_start));
		enum cu_cause cause = missing < delivery->n_pieces
		                              ? cu_loss_cause(account, CU_S2C, &delivery->piece[missing])
		                              : CU_NETWORK_LOSS;
		cu_charge(account, cause, delivered_ns, end_ns, response->last_seg, response->last_seg);
	}
}

/* Whether the client sent more after its timer, and not the request again: the capture lacks the ACK. */
static bool acked_unseen(const struct cu_account *account, const struct cu_exchange *exchange,
                         const struct passage *request)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_trace_segment *end = &trace->segment[exchange->end_seg];
	return end->dir == CU_C2S && cu_carries(end) && end->seq >= exchange->request_end &&
	       account->transaction->request.n_retransmitted == 0 &&
	       end->time_ns - trace->segment[request->last_seg].time_ns > CU_TIMER_FIRST_NS;
}

/* No answer was seen: was there one, or was the request received? */
static void charge_silence(struct cu_account *account, const struct cu_exchange *exchange,
                           const struct passage *request, int64_t complete_ns, int64_t end_ns)
{
	bool answered = exchange->outcome == CU_OUTCOME_ANSWERED; /* the capture lacks it */
	if (answered || account->transaction->acked_frame != 0) {
		cu_charge_turnaround(account, answered ? CU_UNKNOWN_CAPTURE : CU_SERVER_THINK, complete_ns, end_ns,
		                     2 * account->transaction->server_distance_ns, request->last_seg,
		                     exchange->end_seg);
		return;
	}
	/* Not even its TCP answered: large segments alone, or everything? */
	bool too_large = cu_delivery_too_big(&account->known->delivery[CU_C2S], request->first_ns, end_ns);
	enum cu_cause cause = acked_unseen(account, exchange, request) ? CU_UNKNOWN_CAPTURE
	                      : too_large                              ? CU_NETWORK_MTU
	                                                               : CU_NETWORK_LOSS;
	cu_charge(account, cause, complete_ns, end_ns, request->first_seg, exchange->end_seg);
}

/* What the client waited for its first request before that passed: copies that were lost on the way here. */
static void charge_hidden_request(struct cu_account *account, const struct passage *request)
{
	struct cu_transaction *transaction = account->transaction;
	uint32_t since_seg = 0;
	int64_t lost_ns = cu_hidden_request(account, request->first_seg, &since_seg);
	if (lost_ns == 0) {
		return;
	}
	cu_account_doubt(account, CU_DOUBT_UNSEEN_LOSS);
	cu_account_add_loss(account, CU_LOSS_BEFORE);
	cu_charge(account, CU_NETWORK_LOSS, request->first_ns - lost_ns, request->first_ns, since_seg,
	          request->first_seg);
	transaction->start_ns -= lost_ns;
	transaction->total_ns += lost_ns;
	transaction->first_byte_ns += transaction->first_byte_ns != 0 ? lost_ns : 0;
}

/*
 * Where a request begins for its receiver: it reads nothing of one that the
 * capture begins in, before what had been lost of it earlier is there.
 */
static int64_t request_start(const struct cu_account *account, const struct cu_exchange *exchange)
{
	const struct cu_delivery *delivery = &account->known->delivery[CU_C2S];
	bool within = delivery->n_earlier > 0 && delivery->n_pieces > 0 &&
	              cu_delivery_find(delivery, exchange->request_start) < delivery->n_pieces;
	for (size_t p = 0; within && p < delivery->n_pieces; p++) {
		const struct cu_piece *piece = &delivery->piece[p];
		if (piece->start >= exchange->request_start) {
			break;
		}
		if (piece->loss != CU_LOSS_EARLIER && piece->loss != CU_LOSS_CAPTURE) {
			return exchange->request_start; /* another request was before it */
		}
	}
	return within && delivery->piece[0].start < exchange->request_start ? delivery->piece[0].start
	                                                                    : exchange->request_start;
}

/*
 * A request may end with a half-close (RFC 9293 section 3.6): a server that
 * answers the client's FIN as soon as it has that had waited for it.
 */
static void charge_half_close(struct cu_account *account, const struct cu_exchange *exchange, struct turnaround *turn,
                              uint32_t first_seg)
{
	const struct cu_trace *trace = account->known->trace;
	int64_t rtt = 2 * account->transaction->server_distance_ns;
	uint32_t i = cu_exchanges_client_end(account->known->exchanges, turn->last_seg);
	if (i >= first_seg) {
		return;
	}
	const struct cu_trace_segment *fin = &trace->segment[i];
	int64_t answered_ns = turn->spoke_ns - fin->time_ns - rtt;
	/* One that acknowledges the answer came behind it, whether that was captured or not. */
	bool is_end = (fin->flags & CU_TCP_FIN) != 0 && fin->len == 0 && fin->seq == exchange->request_end &&
	              fin->ack <= exchange->response_start && trace->segment[first_seg].ack >= fin->end;
	if (is_end && fin->time_ns - turn->complete_ns > rtt + CU_BUSY_NS && answered_ns >= -cu_path_early_ns(rtt) &&
	    answered_ns <= CU_HOST_NS + rtt / 4) {
		cu_charge(account, CU_CLIENT_PAUSE, turn->complete_ns, fin->time_ns, turn->last_seg, i);
		turn->complete_ns = fin->time_ns;
		turn->last_seg = i;
	}
}

static bool fill_request(struct cu_account *account, const struct cu_exchange *exchange)
{
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	struct cu_transaction *transaction = account->transaction;
	struct passage request, response = {0};
	int64_t start = request_start(account, exchange);

	if (!find_passage(account, CU_C2S, start, exchange->request_end, &request, &transaction->request)) {
		return false;
	}
	bool has_answer = exchange->response_end > exchange->response_start &&
	                  find_passage(account, CU_S2C, exchange->response_start, exchange->response_end, &response,
	                               &transaction->response);
	int64_t given_up = has_answer ? given_up_ns(account, exchange, &response) : 0;
	bool came = has_answer && given_up == 0;
	int64_t end_ns = given_up != 0 ? given_up
	                 : came        ? response.arrived_ns
	                               : trace->segment[exchange->end_seg].time_ns;
	if (end_ns < request.first_ns) {
		return false; /* the capture's clock may have been set meanwhile */
	}
	find_acked(account, exchange, request.arrived_ns);

	struct turnaround turn = {.spoke_ns = has_answer ? response.first_ns : end_ns, .last_seg = request.last_seg};
	turn.complete_ns = cu_max_ns(request.first_ns, cu_min_ns(request.arrived_ns, turn.spoke_ns));
	turn.spoke_ns = cu_max_ns(turn.spoke_ns, turn.complete_ns);
	cu_charge_delivery(account, CU_C2S, start, exchange->request_end, request.first_ns, turn.complete_ns);
	/* What waits in a queue behind the vantage point is not at its receiver yet. */
	int64_t queued_ns = queued_behind(account, CU_C2S, exchange->request_start, exchange->request_end);
	queued_ns = cu_min_ns(queued_ns, turn.spoke_ns - turn.complete_ns);
	cu_charge(account, CU_NETWORK_TRANSFER, turn.complete_ns, turn.complete_ns + queued_ns, request.last_seg,
	          request.last_seg);
	turn.complete_ns += queued_ns;

	transaction->start_ns = request.first_ns - transaction->client_distance_ns;
	transaction->total_ns = end_ns - request.first_ns;
	if (came) {
		queued_ns = queued_behind(account, CU_S2C, exchange->response_start, exchange->response_end);
		cu_charge(account, CU_NETWORK_TRANSFER, end_ns, end_ns + queued_ns, response.last_seg,
		          response.last_seg);
		cu_charge_distance(account, transaction->client_distance_ns, request.first_seg, response.last_seg);
		transaction->total_ns += queued_ns + 2 * transaction->client_distance_ns;
	}
	if (has_answer) {
		charge_half_close(account, exchange, &turn, response.first_seg);
		transaction->first_byte_ns = turn.spoke_ns - request.first_ns + 2 * transaction->client_distance_ns;
		charge_thinking(account, exchange, &turn, response.first_seg);
		charge_answer(account, exchange, &response, turn.spoke_ns, end_ns);
	} else {
		charge_silence(account, exchange, &request, turn.complete_ns, end_ns);
	}
	charge_hidden_request(account, &request);
	return true;
}

static bool fill_greeting(struct cu_account *account, const struct cu_exchange *exchange)
{
	struct cu_transaction *transaction = account->transaction;
	struct passage greeting;
	struct cu_handshake_ack ack;

	if (!cu_handshake_ack_find(account, &ack) ||
	    !find_passage(account, CU_S2C, exchange->response_start, exchange->response_end, &greeting,
	                  &transaction->response)) {
		return false;
	}
	/* The client's wait begins when its handshake is done: half its round trip before that passed here. */
	int64_t done_ns = cu_min_ns(ack.sent_ns, greeting.first_ns);
	int64_t heard_ns = cu_max_ns(done_ns, cu_min_ns(ack.heard_ns, greeting.first_ns)); /* a clock may step back */
	transaction->start_ns = done_ns - transaction->client_distance_ns;
	transaction->total_ns = greeting.arrived_ns - done_ns + 2 * transaction->client_distance_ns;
	transaction->first_byte_ns = greeting.first_ns - done_ns + 2 * transaction->client_distance_ns;
	cu_account_cite(account, &transaction->request, ack.sent_seg, ack.heard_seg);
	cu_charge_distance(account, transaction->client_distance_ns, ack.sent_seg, greeting.last_seg);
	cu_charge(account, ack.unheard, done_ns, heard_ns, ack.sent_seg, ack.heard_seg);
	const struct turnaround turn = {
		.complete_ns = heard_ns, .spoke_ns = greeting.first_ns, .last_seg = ack.heard_seg};
	charge_first_word(account, CU_SERVER_THINK, &turn, greeting.first_seg, exchange->response_start);
	cu_charge_delivery(account, CU_S2C, exchange->response_start, exchange->response_end, greeting.first_ns,
	                   greeting.arrived_ns);
	return true;
}

/*
 * Whether the ACK of a FIN that was sent again echoes the timestamp of the first
 * (RFC 7323 section 4.3), and comes when none of the copies can have asked for
 * it, as it would for want of one that was lost: the first had arrived, and one
 * of both was late.
 */
static bool answers_first(const struct cu_trace *trace, uint32_t fin_seg, uint32_t ack_seg, int64_t rtt_ns)
{
	const struct cu_trace_segment *first = &trace->segment[fin_seg], *ack = &trace->segment[ack_seg];
	bool echoed = first->has_timestamps && ack->has_timestamps && ack->tsecr == first->tsval;
	bool has_other = false, asked = false;
	for (uint32_t i = fin_seg + 1; echoed && i < ack_seg; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || seg->dir != first->dir || (seg->flags & CU_TCP_FIN) == 0) {
			continue;
		}
		int64_t since_ns = ack->time_ns - seg->time_ns;
		has_other = has_other || seg->tsval != first->tsval;
		asked = asked || (since_ns >= rtt_ns - rtt_ns / 8 && since_ns <= rtt_ns + rtt_ns / 4 + CU_HOST_NS);
	}
	return has_other && !asked;
}

/* The first FIN until its ACK: the stacks' own exchange. */
static bool fill_close(struct cu_account *account, const struct cu_exchange *exchange)
{
	const struct cu_case *known = account->known;
	const struct cu_trace *trace = known->trace;
	struct cu_transaction *transaction = account->transaction;
	int dir = trace->segment[exchange->first_seg].dir;
	const struct cu_delivery *delivery = &known->delivery[dir];
	struct passage fin;

	if (!find_passage(account, dir, exchange->request_start, exchange->request_end, &fin, &transaction->request)) {
		return false;
	}
	size_t s = cu_delivery_acked(delivery, exchange->request_end);
	if (s == delivery->n_steps) {
		return false; /* never acknowledged: nobody waited for it */
	}
	const struct cu_ack_step *step = &delivery->step[s];
	int64_t near_ns = dir == CU_C2S ? transaction->client_distance_ns : transaction->server_distance_ns;
	int64_t far_rtt_ns = cu_receiver_rtt(account, dir);
	bool late = answers_first(trace, fin.first_seg, step->seg, far_rtt_ns);
	int64_t arrived_ns = late ? fin.first_ns : cu_min_ns(fin.arrived_ns, step->time_ns);
	transaction->start_ns = fin.first_ns - near_ns;
	transaction->total_ns = cu_max_ns(0, step->time_ns - fin.first_ns) + 2 * near_ns;
	cu_account_cite_ack(account, step->seg);
	transaction->outcome = CU_OUTCOME_ANSWERED;
	transaction->request.n_bytes = 0; /* a FIN is no byte of anybody's */
	cu_charge_distance(account, near_ns, fin.first_seg, step->seg);
	cu_charge(account, CU_NETWORK_LOSS, fin.first_ns, arrived_ns, fin.first_seg, fin.last_seg);
	/* An ACK that comes later than it may be kept back is another: the first was lost, or not captured. */
	int64_t waited_ns = step->time_ns - arrived_ns - far_rtt_ns;
	bool resent = fin.arrived_ns > step->time_ns || transaction->request.n_retransmitted > 0;
	bool wavers = !resent && waited_ns + far_rtt_ns < 2 * cu_wavering_rtt(account, dir);
	enum cu_cause cause = late || wavers                             ? CU_NETWORK_TRANSFER
	                      : !resent && waited_ns > CU_TIMER_FIRST_NS ? CU_UNKNOWN_CAPTURE
	                      : resent || waited_ns > CU_ACK_DELAY_NS    ? CU_NETWORK_LOSS
	                                                                 : cu_delayed_ack_of_receiver(dir);
	cu_charge_turnaround(account, cause, arrived_ns, step->time_ns, far_rtt_ns, fin.last_seg, step->seg);
	cu_account_doubt_if(account, CU_DOUBT_LATE_ACK, late); /* by the path, or by a host that slept */
	return true;
}

bool cu_ledger_fill(const struct cu_case *known, const struct cu_exchange *exchange, struct cu_transaction *transaction)
{
	struct cu_account account = {.known = known, .transaction = transaction};
	const struct cu_trace *trace = known->trace;

	uint32_t first_seg = exchange->first_seg;
	uint32_t last_seg = exchange->outcome == CU_OUTCOME_ANSWERED ? exchange->last_seg : exchange->end_seg;
	/* What the first after the handshake waited for may have begun with that. */
	bool first = exchange->kind == CU_TXN_GREETING || exchange->request_start <= 1;
	int64_t since_ns = trace->segment[first ? 0 : first_seg].time_ns;
	cu_stretches_begin(known->stretches, trace->segment[last_seg].time_ns - since_ns + known->path->client_rtt_ns);
	*transaction = (struct cu_transaction){
		.stream = trace->connection.stream,
		.kind = exchange->kind,
		/* What was not captured may have come before the client closed. */
		.outcome = known->one_sided && exchange->outcome == CU_OUTCOME_ABANDONED ? CU_OUTCOME_NONE
	                                                                                 : exchange->outcome,
		.file = trace->segment[exchange->first_seg].file,
		.client_distance_ns = known->path->client_rtt_ns / 2,
		.server_distance_ns = known->path->server_rtt_ns / 2,
	};
	bool filled = exchange->kind == CU_TXN_CONNECT    ? cu_account_connect(&account, exchange)
	              : exchange->kind == CU_TXN_GREETING ? fill_greeting(&account, exchange)
	              : exchange->kind == CU_TXN_CLOSE    ? fill_close(&account, exchange)
	                                                  : fill_request(&account, exchange);
	if (!filled) {
		return false;
	}
	cu_stretches_put(known->stretches, transaction);
	add_events(&account, first_seg, last_seg, trace->segment[first_seg].time_ns);
	const struct cu_hint *hint = cu_trace_hint_at(trace, exchange->request_hint);
	if (hint != NULL && hint->text_len > 0) {
		transaction->name = (struct cu_text){.data = hint->text, .len = hint->text_len};
	}
	doubt(&account, exchange);
	transaction->certainty = certainty_of(transaction->doubts);
	return true;
}
