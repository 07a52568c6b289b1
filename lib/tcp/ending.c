#include "lib/tcp/ending.h"

/* Silence of both ends that a RST does not answer any more. */
#define IDLE_NS (10 * CU_NS_PER_S)
/* What a host may take to answer, over the round trip. */
#define ANSWER_NS (20 * CU_NS_PER_MS)

uint8_t cu_ending_hops(uint8_t ttl)
{
	static const uint8_t initial[] = {32, 64, 128, 255};
	for (size_t i = 0; i < sizeof(initial); i++) {
		if (ttl <= initial[i]) {
			return ttl == 0 ? CU_HOPS_UNKNOWN : (uint8_t)(initial[i] - ttl);
		}
	}
	return CU_HOPS_UNKNOWN;
}

/* What is known of the connection when its first RST comes. */
struct before {
	size_t rst;                             /* index; trace->n: there is none */
	const struct cu_trace_segment *last[2]; /* of each direction, without ICMP */
	int64_t last_ns;                        /* of either */
	int64_t data_end[2];                    /* highest byte of data sent */
	int64_t acked[2];                       /* highest byte of a direction that was acknowledged */
	bool fin[2], data[2], syn_ack;
	uint8_t least_hops[2], most_hops[2];
	unsigned n[2];
};

static struct before look_until_reset(const struct cu_trace *trace)
{
	struct before before = {.rst = trace->n, .least_hops = {CU_HOPS_UNKNOWN, CU_HOPS_UNKNOWN}};
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		int dir = seg->dir;
		if (seg->icmp) {
			continue;
		}
		if (seg->flags & CU_TCP_RST) {
			before.rst = i;
			return before;
		}
		uint8_t hops = cu_ending_hops(seg->ttl);
		before.least_hops[dir] = hops < before.least_hops[dir] ? hops : before.least_hops[dir];
		before.most_hops[dir] = hops > before.most_hops[dir] ? hops : before.most_hops[dir];
		before.n[dir]++;
		before.last[dir] = seg;
		before.last_ns = seg->time_ns;
		before.fin[dir] |= (seg->flags & CU_TCP_FIN) != 0;
		before.syn_ack |= (seg->flags & (CU_TCP_SYN | CU_TCP_ACK)) == (CU_TCP_SYN | CU_TCP_ACK);
		if (seg->len > 0 && !cu_is(seg, CU_EVENT_KEEP_ALIVE)) {
			before.data[dir] = true;
			before.data_end[dir] = seg->end > before.data_end[dir] ? seg->end : before.data_end[dir];
		}
		if (seg->ack > before.acked[!dir]) {
			before.acked[!dir] = seg->ack;
		}
	}
	return before;
}

/* Of the network when it did not come the way that its end's segments come; with at least two to hold it against. */
static uint8_t sender_of(const struct before *before, const struct cu_trace_segment *rst, struct cu_analysis *analysis)
{
	enum { ENOUGH = 2, SAME_WAY = 2 };
	int dir = rst->dir;
	uint8_t end = dir == CU_C2S ? CU_PARTY_CLIENT : CU_PARTY_SERVER;
	analysis->reset_hops = cu_ending_hops(rst->ttl);
	analysis->usual_hops = before->n[dir] > 0 ? before->least_hops[dir] : CU_HOPS_UNKNOWN;
	if (before->n[dir] < ENOUGH || analysis->reset_hops == CU_HOPS_UNKNOWN ||
	    before->most_hops[dir] == CU_HOPS_UNKNOWN || before->most_hops[dir] - before->least_hops[dir] > 1) {
		return end;
	}
	int difference = analysis->reset_hops - analysis->usual_hops;
	return difference > SAME_WAY || difference < -SAME_WAY ? (uint8_t)CU_PARTY_NETWORK : end;
}

static enum cu_reset_kind kind_of(const struct before *before, const struct cu_trace_segment *rst, int64_t rtt_ns)
{
	int dir = rst->dir;
	const struct cu_trace_segment *other = before->last[!dir];
	bool any_data = before->data[CU_C2S] || before->data[CU_S2C];
	bool answers = other != NULL && other->time_ns >= before->last_ns &&
	               rst->time_ns - other->time_ns <= rtt_ns + ANSWER_NS;
	if (dir == CU_S2C && !before->syn_ack && !before->data[CU_S2C] && before->n[CU_S2C] == 0) {
		return CU_RESET_CLOSED_PORT;
	}
	if (dir == CU_C2S && before->syn_ack && !any_data) {
		return CU_RESET_PROBE;
	}
	/* Without a connection to take it, TCP answers with what the segment acknowledged (RFC 9293 section 3.10.7.1). */
	bool stateless = answers && !(rst->flags & CU_TCP_ACK) && rst->seq == other->ack;
	if (stateless && !before->fin[dir]) {
		return CU_RESET_NO_STATE;
	}
	if (before->data_end[!dir] > before->acked[!dir] || (before->fin[dir] && stateless)) {
		return CU_RESET_ON_DATA;
	}
	return rst->time_ns - before->last_ns >= IDLE_NS ? CU_RESET_IDLE : CU_RESET_ABORT;
}

static void find_reset(const struct cu_trace *trace, const struct cu_path *path, struct cu_analysis *analysis)
{
	struct before before = look_until_reset(trace);
	if (before.rst == trace->n) {
		return;
	}
	const struct cu_trace_segment *rst = &trace->segment[before.rst];
	bool known = before.n[0] + before.n[1] > 0;
	analysis->reset_frame = rst->frame;
	analysis->reset_file = cu_trace_file(trace, rst);
	analysis->reset_by = sender_of(&before, rst, analysis);
	analysis->reset_quiet_ns = known && rst->time_ns > before.last_ns ? rst->time_ns - before.last_ns : 0;
	analysis->reset = known ? kind_of(&before, rst, path->client_rtt_ns + path->server_rtt_ns) : CU_RESET_ABORT;
}

/* The client's last SYN: one that is sent again after a RST, or an answer for a connection of before, begins anew. */
static size_t last_syn(const struct cu_trace *trace)
{
	for (size_t i = trace->syn_end; i > 0; i--) {
		const struct cu_trace_segment *seg = &trace->segment[i - 1];
		if (!seg->icmp && seg->dir == CU_C2S && (seg->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN) {
			return i - 1;
		}
	}
	return 0;
}

/* Who ended it, and how. */
static void find_close(const struct cu_trace *trace, struct cu_analysis *analysis)
{
	bool fin[2] = {false, false};
	bool answered = (analysis->completeness & CU_SEEN_SYN_ACK) != 0 || (analysis->completeness & CU_SEEN_DATA) != 0;
	size_t n = trace->flags & (CU_TCP_FIN | CU_TCP_RST) ? trace->n : 0;
	for (size_t i = n > 0 ? last_syn(trace) : 0; i < n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || !(seg->flags & (CU_TCP_FIN | CU_TCP_RST))) {
			continue;
		}
		bool reset = (seg->flags & CU_TCP_RST) != 0;
		if (analysis->close_frame == 0) {
			analysis->closed_by = seg->dir == CU_C2S ? CU_PARTY_CLIENT : CU_PARTY_SERVER;
			analysis->close_frame = seg->frame;
			analysis->close_file = cu_trace_file(trace, seg);
		}
		if (reset) {
			if (!(fin[CU_C2S] && fin[CU_S2C])) {
				analysis->close =
					seg->dir == CU_S2C && !answered ? CU_CLOSE_REFUSED : CU_CLOSE_ABORTIVE;
			}
			break;
		}
		fin[seg->dir] = true;
		analysis->close = fin[CU_C2S] && fin[CU_S2C] ? CU_CLOSE_CLEAN : CU_CLOSE_HALF;
	}
	if (analysis->close == CU_CLOSE_NONE && analysis->completeness == CU_SEEN_SYN) {
		analysis->close = CU_CLOSE_UNANSWERED;
	} else if (analysis->close == CU_CLOSE_NONE && analysis->completeness == (CU_SEEN_SYN | CU_SEEN_SYN_ACK)) {
		analysis->close = CU_CLOSE_HALF_OPEN;
	}
}

void cu_ending_find(const struct cu_trace *trace, const struct cu_path *path, struct cu_analysis *analysis)
{
	find_close(trace, analysis);
	if (trace->flags & CU_TCP_RST) {
		find_reset(trace, path, analysis);
	}
}
