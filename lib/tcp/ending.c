#include "lib/tcp/ending.h"

/* Silence of both ends that a RST does not answer any more. */
#define IDLE_NS (10 * CU_NS_PER_S)
/* Keep-alives and repeats without an answer: with as many, the RST behind them is its sender's giving up. */
enum { GIVES_UP = 2 };
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

/* What is known of the connection when a RST comes. */
struct before {
	const struct cu_trace_segment *last[2]; /* of each direction, without ICMP */
	int64_t last_ns;                        /* of either */
	int64_t data_end[2];                    /* highest byte of data sent, and known to the RST's sender */
	int64_t acked[2];                       /* highest byte of a direction that was acknowledged */
	unsigned n_in_vain[2];                  /* keep-alives and repeats since the other side was heard last */
	bool fin[2], data[2], syn_ack, any;
};

/*
 * What passed just before the RST, sooner than its sender can have answered,
 * did not bring it about.
 */
static struct before look_before(const struct cu_trace *trace, const struct cu_path *path, size_t rst)
{
	struct before before = {0};
	int rst_dir = trace->segment[rst].dir;
	int64_t rtt_ns = rst_dir == CU_C2S ? path->client_rtt_ns : path->server_rtt_ns;
	int64_t known_ns = trace->segment[rst].time_ns - (rtt_ns - rtt_ns / 4);
	for (size_t i = 0; i < rst; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		int dir = seg->dir;
		if (seg->icmp || seg->flags & CU_TCP_RST) {
			continue;
		}
		before.any = true;
		before.last[dir] = seg;
		before.last_ns = seg->time_ns;
		before.fin[dir] |= (seg->flags & CU_TCP_FIN) != 0;
		before.syn_ack |= (seg->flags & (CU_TCP_SYN | CU_TCP_ACK)) == (CU_TCP_SYN | CU_TCP_ACK);
		if (seg->len > 0 && !cu_is(seg, CU_EVENT_KEEP_ALIVE)) {
			before.data[dir] = true;
			if (dir == rst_dir || seg->time_ns <= known_ns) {
				before.data_end[dir] =
					seg->end > before.data_end[dir] ? seg->end : before.data_end[dir];
			}
		}
		before.n_in_vain[!dir] = 0;
		before.n_in_vain[dir] += cu_is(seg, CU_EVENT_KEEP_ALIVE) || cu_is(seg, CU_EVENT_RETRANSMISSION);
		if (seg->ack > before.acked[!dir]) {
			before.acked[!dir] = seg->ack;
		}
	}
	return before;
}

/*
 * Whether both ends went on after a RST: its end sent something new, later than
 * packets overtake each other, and was acknowledged. A SYN begins anew.
 */
static bool is_unheeded(const struct cu_trace *trace, size_t rst)
{
	enum { LOOK_AHEAD = 1024 };
	const int64_t overtaken_ns = 3 * CU_NS_PER_MS;
	const struct cu_trace_segment *reset = &trace->segment[rst];
	int64_t sent = -1, sent_before = -1;
	for (size_t back = 1; back <= rst && back <= LOOK_AHEAD; back++) {
		const struct cu_trace_segment *seg = &trace->segment[rst - back];
		if (seg->dir == reset->dir && cu_carries(seg) && !cu_is_elsewhere(seg) && seg->end > sent_before) {
			sent_before = seg->end;
		}
	}
	for (size_t i = rst + 1; i < trace->n && i - rst <= LOOK_AHEAD; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || seg->flags & CU_TCP_RST) {
			continue;
		}
		if ((seg->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN) {
			return false;
		}
		if (seg->dir != reset->dir) {
			if (sent > 0 && seg->ack >= sent) {
				return true;
			}
		} else if (sent < 0 && cu_carries(seg) && seg->end > sent_before &&
		           seg->time_ns - reset->time_ns > overtaken_ns) {
			sent = seg->end;
		}
	}
	return false;
}

/* Where a FIN or RST may be, from a segment on. */
static size_t close_from(const struct cu_trace *trace, size_t from)
{
	return from > trace->close_begin ? from : trace->close_begin;
}

/* The first RST from a segment on that was not unheeded; trace->n without one. */
static size_t find_heeded(const struct cu_trace *trace, size_t from)
{
	enum { TRIES = 8 };
	unsigned n_tried = 0;
	for (size_t i = close_from(trace, from); i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (!seg->icmp && seg->flags & CU_TCP_RST && (n_tried++ >= TRIES || !is_unheeded(trace, i))) {
			return i;
		}
	}
	return trace->n;
}

static size_t find_any(const struct cu_trace *trace)
{
	for (size_t i = close_from(trace, 0); i < trace->n; i++) {
		if (!trace->segment[i].icmp && trace->segment[i].flags & CU_TCP_RST) {
			return i;
		}
	}
	return trace->n;
}

/* Hops of a direction's segments other than RSTs. */
struct hops {
	uint8_t least, most;
	unsigned n;
};

static struct hops count_hops(const struct cu_trace *trace, int dir)
{
	struct hops hops = {.least = CU_HOPS_UNKNOWN};
	int last_ttl = -1; /* nearly always the next one's */
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->dir != dir || seg->icmp || seg->flags & CU_TCP_RST) {
			continue;
		}
		hops.n++;
		if (seg->ttl != last_ttl) {
			uint8_t n = cu_ending_hops(seg->ttl);
			hops.least = n < hops.least ? n : hops.least;
			hops.most = n > hops.most ? n : hops.most;
			last_ttl = seg->ttl;
		}
	}
	return hops;
}

/* Of the network when it did not come the way that its end's segments come; with at least two to hold it against. */
static uint8_t sender_of(const struct cu_trace *trace, const struct cu_path *path, const struct cu_trace_segment *rst,
                         struct cu_analysis *analysis)
{
	enum { ENOUGH = 2, SURE = 8 };
	int dir = rst->dir;
	uint8_t end = dir == CU_C2S ? CU_PARTY_CLIENT : CU_PARTY_SERVER;
	struct hops hops = count_hops(trace, dir);
	uint8_t earlier = cu_ending_hops(path->usual_ttl[dir]);
	if (hops.n < ENOUGH && earlier != CU_HOPS_UNKNOWN) {
		hops.least = earlier < hops.least ? earlier : hops.least;
		hops.most = earlier > hops.most ? earlier : hops.most;
		hops.n += ENOUGH;
	}
	analysis->reset_hops = cu_ending_hops(rst->ttl);
	analysis->usual_hops = hops.least;
	if (hops.n < ENOUGH || analysis->reset_hops == CU_HOPS_UNKNOWN || hops.most == CU_HOPS_UNKNOWN ||
	    hops.most - hops.least > 1) {
		return end;
	}
	/* A route may move by a hop or two; not between this and all the others, when there are many. */
	int same_way = hops.n >= SURE && hops.most == hops.least ? 0 : 2;
	int difference = analysis->reset_hops - analysis->usual_hops;
	return difference > same_way || difference < -same_way ? (uint8_t)CU_PARTY_NETWORK : end;
}

static enum cu_reset_kind kind_of(const struct before *before, const struct cu_trace_segment *rst, int64_t rtt_ns)
{
	int dir = rst->dir;
	const struct cu_trace_segment *other = before->last[!dir];
	bool any_data = before->data[CU_C2S] || before->data[CU_S2C];
	bool answers = other != NULL && other->time_ns >= before->last_ns &&
	               rst->time_ns - other->time_ns <= rtt_ns + ANSWER_NS;
	if (dir == CU_S2C && before->last[CU_S2C] == NULL) {
		return CU_RESET_CLOSED_PORT;
	}
	if (dir == CU_C2S && before->syn_ack && !any_data) {
		return CU_RESET_PROBE;
	}
	if (before->n_in_vain[dir] >= GIVES_UP) {
		return CU_RESET_UNANSWERED;
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

/* The RST of a server that repeated its SYN-ACK in vain leaves the handshake as half open as its silence would. */
static bool gave_up_handshake(const struct before *before, const struct cu_analysis *analysis)
{
	const struct cu_trace_segment *client = before->last[CU_C2S];
	bool only_syn = client != NULL && (client->flags & (CU_TCP_SYN | CU_TCP_ACK)) == CU_TCP_SYN;
	return only_syn && before->syn_ack && !before->data[CU_S2C] && analysis->close == CU_CLOSE_ABORTIVE &&
	       analysis->reset == CU_RESET_UNANSWERED && analysis->reset_by == CU_PARTY_SERVER;
}

static void find_reset(const struct cu_trace *trace, const struct cu_path *path, struct cu_analysis *analysis)
{
	size_t heeded = find_heeded(trace, 0), i = heeded < trace->n ? heeded : find_any(trace);
	if (i == trace->n) {
		return;
	}
	const struct before before = look_before(trace, path, i);
	const struct cu_trace_segment *rst = &trace->segment[i];
	analysis->reset_frame = rst->frame;
	analysis->reset_file = cu_trace_file(trace, rst);
	analysis->reset_by = sender_of(trace, path, rst, analysis);
	analysis->reset_quiet_ns = before.any && rst->time_ns > before.last_ns ? rst->time_ns - before.last_ns : 0;
	analysis->reset = i != heeded  ? CU_RESET_UNHEEDED
	                  : before.any ? kind_of(&before, rst, path->client_rtt_ns + path->server_rtt_ns)
	                               : CU_RESET_ABORT;
	if (gave_up_handshake(&before, analysis)) {
		analysis->close = CU_CLOSE_HALF_OPEN;
	}
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
	size_t n = trace->flags & (CU_TCP_FIN | CU_TCP_RST) ? trace->n : 0, first = n > 0 ? last_syn(trace) : 0;
	size_t rst = trace->flags & CU_TCP_RST ? find_heeded(trace, first) : n;
	for (size_t i = close_from(trace, first); i < n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		bool reset = i == rst;
		if (seg->icmp || (!reset && (seg->flags & (CU_TCP_FIN | CU_TCP_RST)) != CU_TCP_FIN)) {
			continue;
		}
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
