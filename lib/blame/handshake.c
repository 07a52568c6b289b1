/*
 * The time of a handshake.
 */
#include "lib/blame/account.h"

/* Whether it is a SYN, or SYN-ACK, of a direction, and no frame captured twice. */
static bool is_syn_of(const struct cu_trace_segment *seg, int dir)
{
	return !seg->icmp && seg->dir == dir && (seg->flags & CU_TCP_SYN) != 0 && !cu_is(seg, CU_EVENT_DUPLICATE_FRAME);
}

/* First and last copy of a SYN or SYN-ACK, and the one that was answered at answer_ns. */
struct syn_copies {
	uint32_t first_seg, used_seg;
	int64_t first_ns, used_ns;
	bool seen;
};

/*
 * The copy that an answer answers: the one whose timestamp it echoes (RFC 7323
 * section 4), else the last that was early enough for the round trip.
 */
static struct syn_copies find_syn(const struct cu_account *account, int dir, const struct cu_trace_segment *answer,
                                  int64_t rtt_ns)
{
	const struct cu_trace *trace = account->known->trace;
	struct syn_copies copies = {0};
	bool echoed = false;
	for (uint32_t i = 0; i < trace->syn_end; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!is_syn_of(seg, dir)) {
			continue;
		}
		bool echo = answer != NULL && answer->has_timestamps && seg->has_timestamps &&
		            answer->tsecr == seg->tsval && answer->dir != dir;
		bool early_enough = answer == NULL || seg->time_ns <= answer->time_ns - rtt_ns + rtt_ns / 4;
		if (!copies.seen) {
			copies = (struct syn_copies){.first_seg = i,
			                             .used_seg = i,
			                             .first_ns = seg->time_ns,
			                             .used_ns = seg->time_ns,
			                             .seen = true};
			echoed = echo;
		} else if (echo || (early_enough && !echoed)) {
			copies.used_seg = i;
			copies.used_ns = seg->time_ns;
			echoed = echo;
		}
	}
	return copies;
}

/*
 * When the client had the SYN-ACK that it acknowledged, as its time passes at
 * the vantage point: at once, unless it sent its SYN again after it should have
 * had it. Then that one was late behind the vantage point, or another came that
 * the capture lacks.
 */
static int64_t find_heard(const struct cu_account *account, const struct syn_copies *answer, int64_t done_ns)
{
	const struct cu_trace *trace = account->known->trace;
	int64_t rtt_ns = account->known->path->client_rtt_ns;
	int64_t due_ns = answer->used_ns + rtt_ns + cu_max_ns(CU_HOST_NS, rtt_ns / 4);
	bool again = false;
	for (uint32_t i = answer->used_seg; i < trace->syn_end && trace->segment[i].time_ns < done_ns; i++) {
		again = again || (is_syn_of(&trace->segment[i], CU_C2S) && trace->segment[i].time_ns > due_ns);
	}
	return again && done_ns != INT64_MAX ? cu_max_ns(answer->used_ns, done_ns - rtt_ns) : answer->used_ns;
}

/* Whether a SYN was answered for a connection of before: it arrived, and nothing of it was lost. */
static bool was_refused(const struct cu_trace *trace, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		if (trace->segment[i].dir == CU_S2C && cu_is_of_before(&trace->segment[i])) {
			return true;
		}
	}
	return false;
}

/* The client's first ACK from a segment on; trace->n without one. */
static uint32_t find_ack(const struct cu_trace *trace, uint32_t i)
{
	for (; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!seg->icmp && seg->dir == CU_C2S && seg->ack >= 1 && !(seg->flags & (CU_TCP_SYN | CU_TCP_RST))) {
			break;
		}
	}
	return i;
}

int64_t cu_handshake_done(const struct cu_trace *trace, uint32_t *seg_index)
{
	uint32_t i = find_ack(trace, 0);
	if (i == trace->n) {
		return INT64_MAX;
	}
	*seg_index = i;
	return trace->segment[i].time_ns;
}

/*
 * A SYN-ACK repeated later than the ACK of the one before can have come was
 * sent for want of that ACK. One that the ACK echoes had arrived all the same
 * (RFC 7323 section 4.1): what was lost before the vantage point is the ACK.
 */
bool cu_handshake_ack_find(const struct cu_account *account, struct cu_handshake_ack *ack)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	*ack = (struct cu_handshake_ack){.unheard = CU_NETWORK_CONNECT};
	ack->sent_ns = cu_handshake_done(trace, &ack->sent_seg);
	if (ack->sent_ns == INT64_MAX) {
		return false;
	}
	ack->heard_ns = ack->sent_ns;
	ack->heard_seg = ack->sent_seg;
	for (uint32_t i = ack->sent_seg + 1; i < trace->syn_end; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!is_syn_of(seg, CU_S2C) || seg->time_ns - ack->heard_ns <= path->server_rtt_ns + CU_HOST_NS) {
			continue;
		}
		uint32_t again = find_ack(trace, i + 1);
		if (again == trace->n) {
			break;
		}
		ack->heard_ns = trace->segment[again].time_ns;
		ack->heard_seg = again;
		/* Seen next to the server, it arrived: a full backlog has no room for it. */
		ack->unheard = path->vantage == CU_VANTAGE_SERVER ? CU_SERVER_CONNECT : CU_NETWORK_CONNECT;
	}
	struct syn_copies answer = find_syn(account, CU_S2C, &trace->segment[ack->sent_seg], path->client_rtt_ns);
	if (answer.seen && trace->segment[ack->sent_seg].has_timestamps) {
		ack->sent_ns = cu_min_ns(ack->sent_ns, answer.used_ns + path->client_rtt_ns);
	}
	return true;
}

bool cu_handshake_has_no_room(const struct cu_account *account, int64_t since_ns)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	for (uint32_t i = 0; path->vantage == CU_VANTAGE_SERVER && i < trace->syn_end; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (is_syn_of(seg, CU_S2C) && seg->time_ns - since_ns > path->server_rtt_ns + CU_HOST_NS) {
			return true;
		}
	}
	return false;
}

/*
 * SYN and SYN-ACK timers: 1 s, doubled (RFC 6298 section 2.1), or 3 s before
 * that (RFC 1122). Those of 3 s may run in ticks of 500 ms, of which the first
 * is short (4.4BSD, lwIP).
 */
static bool is_syn_timeout(int64_t late_ns, int64_t rtt_ns)
{
	static const int64_t after_s[] = {1, 3, 7, 9, 15, 21, 31};
	const int64_t tick_ns = 500 * CU_NS_PER_MS;
	for (size_t i = 0; i < sizeof(after_s) / sizeof(after_s[0]); i++) {
		int64_t expected = after_s[i] * CU_NS_PER_S;
		int64_t short_tick_ns = after_s[i] % 3 == 0 ? tick_ns : 0;
		int64_t early_ns = cu_min_ns(rtt_ns, expected / 8) + expected / 50;
		if (late_ns >= expected - early_ns - short_tick_ns &&
		    late_ns <= expected + 2 * rtt_ns + expected / 12) {
			return true;
		}
	}
	return false;
}

/*
 * Whether an answer to the SYN that was used is a second one, the first having
 * been lost out of sight: it comes when a timer makes it, which each copy of
 * the SYN starts again, or a round trip after a copy, echoing the first (Linux
 * answers both for the SYN it keeps).
 */
static bool is_second_answer(const struct cu_account *account, const struct syn_copies *syn, int64_t answer_ns)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	int64_t rtt_ns = path->server_rtt_ns + path->client_rtt_ns;
	int64_t to_server_ns = 2 * account->transaction->server_distance_ns;
	for (uint32_t i = syn->used_seg; i < trace->syn_end; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!is_syn_of(seg, CU_C2S)) {
			continue;
		}
		int64_t late_ns = answer_ns - seg->time_ns - to_server_ns;
		bool at_once = i > syn->used_seg && late_ns >= -to_server_ns / 4 && late_ns <= 10 * CU_NS_PER_MS;
		if (at_once || is_syn_timeout(late_ns, rtt_ns)) {
			return true;
		}
	}
	return false;
}

bool cu_account_connect(struct cu_account *account, const struct cu_exchange *exchange)
{
	const struct cu_trace *trace = account->known->trace;
	const struct cu_path *path = account->known->path;
	struct cu_transaction *transaction = account->transaction;
	uint32_t done_seg = exchange->last_seg;
	int64_t done_ns = cu_handshake_done(trace, &done_seg);
	const struct cu_trace_segment *done = done_ns != INT64_MAX ? &trace->segment[done_seg] : NULL;
	struct syn_copies answer = find_syn(account, CU_S2C, done, path->client_rtt_ns);
	const struct cu_trace_segment *end = &trace->segment[exchange->end_seg];
	int64_t end_ns = end->time_ns;
	struct syn_copies syn =
		find_syn(account, CU_C2S, answer.seen ? &trace->segment[answer.first_seg] : end, path->server_rtt_ns);

	bool steps_back = end_ns < syn.first_ns ||
	                  (answer.seen && (answer.first_ns < syn.first_ns || answer.used_ns < answer.first_ns));
	if (!syn.seen || steps_back) {
		return false; /* the capture's clock may have been set meanwhile */
	}
	transaction->start_ns = syn.first_ns - transaction->client_distance_ns;
	cu_account_cite(account, &transaction->request, syn.first_seg, syn.used_seg);
	if (!answer.seen || exchange->outcome == CU_OUTCOME_REFUSED) {
		/* Refused: by a RST or an ICMP error; else nobody answered. */
		bool refused = exchange->outcome == CU_OUTCOME_REFUSED;
		transaction->total_ns = end_ns - syn.first_ns;
		int64_t used_ns = cu_min_ns(cu_max_ns(syn.used_ns, syn.first_ns), end_ns);
		if (refused) {
			transaction->total_ns += 2 * transaction->client_distance_ns;
			cu_account_cite(account, &transaction->response, exchange->end_seg, exchange->end_seg);
			cu_charge(account, CU_NETWORK_CONNECT, syn.first_ns, used_ns, syn.first_seg, syn.used_seg);
			cu_charge(account, CU_NETWORK_RTT, used_ns, end_ns, syn.used_seg, exchange->end_seg);
			cu_charge_distance(account, transaction->client_distance_ns, syn.first_seg, exchange->end_seg);
		} else {
			bool acked = exchange->outcome == CU_OUTCOME_ANSWERED; /* the SYN-ACK was not captured */
			used_ns = acked ? used_ns : end_ns;
			cu_charge(account, CU_NETWORK_CONNECT, syn.first_ns, used_ns, syn.first_seg,
			          acked ? syn.used_seg : exchange->end_seg);
			cu_charge(account, CU_UNKNOWN_CAPTURE, used_ns, end_ns, syn.used_seg, exchange->end_seg);
		}
		return true;
	}
	cu_account_cite(account, &transaction->response, answer.first_seg, answer.used_seg);
	cu_account_cite_ack(account, answer.first_seg);
	int64_t heard_ns = find_heard(account, &answer, done_ns);
	transaction->total_ns = heard_ns - syn.first_ns + 2 * transaction->client_distance_ns;
	transaction->first_byte_ns = transaction->total_ns;
	transaction->ack_delay_ns = cu_max_ns(0, answer.first_ns - syn.used_ns);
	int64_t used_ns = cu_max_ns(syn.first_ns, cu_min_ns(syn.used_ns, answer.first_ns));
	cu_charge_distance(account, transaction->client_distance_ns, syn.first_seg, answer.used_seg);
	/* A SYN seen next to its server arrived: what did not answer is a full backlog. */
	bool arrived = path->vantage == CU_VANTAGE_SERVER || was_refused(trace, syn.first_seg, answer.first_seg);
	enum cu_cause unanswered = arrived ? CU_SERVER_CONNECT : CU_NETWORK_CONNECT;
	cu_charge(account, unanswered, syn.first_ns, used_ns, syn.first_seg, syn.used_seg);
	bool lost = is_second_answer(account, &syn, answer.first_ns);
	cu_charge_turnaround(account, lost ? CU_NETWORK_CONNECT : CU_SERVER_CONNECT, used_ns, answer.first_ns,
	                     2 * transaction->server_distance_ns, syn.used_seg, answer.first_seg);
	cu_charge(account, CU_NETWORK_CONNECT, answer.first_ns, heard_ns, answer.first_seg,
	          heard_ns > answer.used_ns ? done_seg : answer.used_seg);
	if (done == NULL && answer.used_seg != answer.first_seg) {
		cu_account_doubt(account, CU_DOUBT_UNSEEN_LOSS); /* a scanner does not answer either */
	}
	if (syn.used_seg != syn.first_seg || answer.used_seg != answer.first_seg) {
		transaction->loss_side = CU_LOSS_AFTER;
		if (syn.used_seg != syn.first_seg && arrived) {
			transaction->loss_side = CU_LOSS_NONE;
		}
	}
	return true;
}
