#include "lib/tcp/resent.h"

#include "lib/tcp/path.h"

/*
 * Why a segment was sent again, and whether it had to be. The ACKs before it
 * say what asked for it; those after it say whether its original had arrived.
 */

/* Of a direction: the repair it is in. Until its ACKs reach `until` all is resent for the same reason. */
struct repair {
	int64_t until;
	enum cu_resent_by by;
};

/* What passed between a segment's last transmission and now. */
struct since {
	bool reported;    /* a duplicate ACK or SACK block told of its lack; then the rest was not looked for */
	int64_t sent_ns;  /* since that transmission; INT64_MAX: not seen */
	size_t sent;      /* which it was */
	int64_t quiet_ns; /* since the last of: a report, an ACK that moved, a segment of its direction */
};

enum { LOOK_BACK = 1024, LOOK_AHEAD = 1024 };

/*
 * A timer is hardly shorter than the round trip and CU_TIMER_LEAST_NS; a probe's
 * may be (RFC 8985 section 7.2). Linux's least for that: two ticks of 1 ms.
 */
#define PROBE_FLOOR_NS (2 * CU_NS_PER_MS)

static bool reports_lack(const struct cu_trace *trace, const struct cu_trace_segment *ack,
                         const struct cu_trace_segment *seg)
{
	for (unsigned i = 0; i < ack->n_sack; i++) {
		if (trace->sack[ack->sack + i].left >= seg->end && ack->ack <= seg->seq) {
			return true;
		}
	}
	return cu_is(ack, CU_EVENT_DUPLICATE_ACK) && ack->ack == seg->seq;
}

/* left: segments that may still be looked at. */
static struct since look_back(const struct cu_trace *trace, size_t i, size_t *left)
{
	const struct cu_trace_segment *seg = &trace->segment[i];
	struct since since = {.sent_ns = INT64_MAX};
	bool timed = false;
	for (size_t back = 1; back <= i && back <= LOOK_BACK && *left > 0 && !since.reported; back++, --*left) {
		const struct cu_trace_segment *old = &trace->segment[i - back];
		if (old->icmp || cu_is(old, CU_EVENT_DUPLICATE_FRAME)) {
			continue;
		}
		if (!timed && (old->dir != seg->dir || cu_carries(old))) {
			since.quiet_ns = seg->time_ns - old->time_ns;
			timed = true;
		}
		if (old->dir != seg->dir) {
			since.reported = reports_lack(trace, old, seg);
		} else if (cu_carries(old) && old->seq <= seg->seq && old->end > seg->seq) {
			since.sent_ns = seg->time_ns - old->time_ns;
			since.sent = i - back;
			break;
		}
	}
	return since;
}

static enum cu_resent_by reason(const struct cu_trace_segment *seg, const struct since *since, int64_t next_seq,
                                int64_t rtt_ns)
{
	if (seg->flags & CU_TCP_SYN) { /* its timer is the longer one; a SYN-ACK may answer a SYN that came twice */
		return since->sent_ns < CU_TIMER_LEAST_NS ? CU_RESENT_UNKNOWN : CU_RESENT_TIMEOUT;
	}
	bool before_timer = since->quiet_ns < rtt_ns + CU_TIMER_LEAST_NS;
	if (since->reported && before_timer) {
		return CU_RESENT_DUPLICATE_ACKS;
	}
	if (!before_timer) {
		return CU_RESENT_TIMEOUT;
	}
	/* A probe waits for two round trips; some may pass between the sender and here. */
	bool waited = rtt_ns > 0 && since->quiet_ns >= rtt_ns + rtt_ns / 2 && since->quiet_ns >= PROBE_FLOOR_NS;
	return seg->end == next_seq && waited ? CU_RESENT_TAIL_PROBE : CU_RESENT_UNKNOWN;
}

/*
 * A timer that ends again has doubled meanwhile (RFC 6298 section 5.5). Of two
 * waits that are about as long the first was a probe's, which for a segment
 * that is alone may be as long as the timer (RFC 8985 section 7.2). A SYN has
 * none, and Linux does not double its timer at first.
 */
static void settle_probe(struct cu_trace *trace, const struct since *since, const struct cu_trace_segment *seg,
                         size_t *left)
{
	if (since->sent_ns == INT64_MAX) {
		return;
	}
	struct cu_trace_segment *before = &trace->segment[since->sent];
	if (before->resent_by != CU_RESENT_TIMEOUT || before->seq != seg->seq || before->end != seg->end) {
		return;
	}
	struct since waited = look_back(trace, since->sent, left);
	bool is_first = waited.sent_ns != INT64_MAX && trace->segment[waited.sent].resent_by == CU_RESENT_NONE;
	if (is_first && since->sent_ns < waited.quiet_ns + waited.quiet_ns / 2) {
		before->resent_by = CU_RESENT_TAIL_PROBE;
	}
}

/* A D-SACK (RFC 2883): the first block is below the ACK or within the second one. */
static bool is_dsack_of(const struct cu_trace *trace, const struct cu_trace_segment *ack,
                        const struct cu_trace_segment *seg)
{
	if (ack->n_sack == 0) {
		return false;
	}
	const struct cu_trace_sack *block = &trace->sack[ack->sack];
	bool twice = block->right <= ack->ack ||
	             (ack->n_sack > 1 && block[1].left <= block->left && block->right <= block[1].right);
	return twice && block->left < seg->end && seg->seq < block->right;
}

/* What shows that the original had arrived. */
static enum cu_needless needless(const struct cu_trace *trace, size_t i, int64_t last_ack)
{
	const struct cu_trace_segment *seg = &trace->segment[i];
	bool first = true;
	for (size_t next = i + 1; next < trace->n && next - i <= LOOK_AHEAD; next++) {
		const struct cu_trace_segment *ack = &trace->segment[next];
		if (ack->icmp || ack->dir == seg->dir || ack->ack < seg->end) {
			continue;
		}
		if (is_dsack_of(trace, ack, seg)) {
			return CU_NEEDLESS_DSACK;
		}
		/*
		 * Eifel (RFC 3522): the first ACK of it echoes an older timestamp than its own.
		 * Only at the edge, where the receiver must echo what filled it (RFC 7323 4.3).
		 */
		if (first && last_ack == seg->seq && seg->has_timestamps && ack->has_timestamps && ack->tsecr != 0 &&
		    (int32_t)(ack->tsecr - seg->tsval) < 0) {
			return CU_NEEDLESS_TIMESTAMPS;
		}
		first = false;
	}
	return cu_is(seg, CU_EVENT_SPURIOUS_RETRANSMISSION) ? CU_NEEDLESS_ACKNOWLEDGED : CU_NEEDLESS_NONE;
}

static void find_all(struct cu_trace *trace, bool wants_needless)
{
	/* The original is near, as a rule; where none ever is, the time has to stay linear. */
	size_t left = trace->n * 4 + LOOK_BACK;
	int64_t rtt_ns = trace->handshake_ns;
	struct repair repair[2] = {{.until = -1}, {.until = -1}};
	int64_t next_seq[2] = {0, 0};
	int64_t last_ack[2] = {-1, -1}; /* what was acknowledged last of each direction */
	for (size_t i = 0; i < trace->n; i++) {
		struct cu_trace_segment *seg = &trace->segment[i];
		seg->resent_by = CU_RESENT_NONE;
		seg->needless = CU_NEEDLESS_NONE;
		if (seg->icmp) {
			continue;
		}
		if (seg->ack >= 0) {
			last_ack[!seg->dir] = seg->ack;
		}
		if (cu_is(seg, CU_EVENT_DUPLICATE_FRAME)) {
			continue;
		}
		if (cu_is(seg, CU_EVENT_RETRANSMISSION)) {
			struct since since = look_back(trace, i, &left);
			int64_t acked = last_ack[seg->dir];
			struct repair *mine = &repair[seg->dir];
			enum cu_resent_by by = reason(seg, &since, next_seq[seg->dir], rtt_ns);
			bool going_on =
				acked < mine->until && !since.reported && since.quiet_ns < rtt_ns + CU_TIMER_LEAST_NS;
			seg->resent_by = (uint8_t)(going_on ? mine->by : by);
			seg->needless = wants_needless ? (uint8_t)needless(trace, i, acked) : CU_NEEDLESS_NONE;
			bool is_tail = seg->end == next_seq[seg->dir] && !(seg->flags & CU_TCP_SYN);
			if (seg->resent_by == CU_RESENT_TIMEOUT && is_tail) {
				settle_probe(trace, &since, seg, &left);
			}
			if (!going_on) {
				*mine = (struct repair){.until = next_seq[seg->dir], .by = by};
			}
		}
		if (seg->end > next_seq[seg->dir] && !cu_is_elsewhere(seg)) {
			next_seq[seg->dir] = seg->end;
		}
	}
}

void cu_trace_resent(struct cu_trace *trace)
{
	find_all(trace, true);
}

void cu_trace_resent_by(struct cu_trace *trace)
{
	find_all(trace, false);
}

const char *cu_resent_by_name(unsigned by)
{
	static const char *const names[CU_N_RESENT] = {"none", "timeout", "duplicate_acks", "tail_probe", "unknown"};
	return by < CU_N_RESENT ? names[by] : "none";
}

const char *cu_needless_name(unsigned needless)
{
	static const char *const names[CU_N_NEEDLESS] = {"none", "dsack", "timestamps", "acknowledged"};
	return needless < CU_N_NEEDLESS ? names[needless] : "none";
}
