/*
 * A trace: one connection's segments in order of capture, with sequence
 * numbers unwrapped, windows scaled, and what each segment is.
 *
 * Everything that judges a connection works on a trace, so it may look both
 * ways in time. A trace is filled, analysed, cleared and filled again; its
 * storage is kept, so that a warm one allocates nothing.
 */
#ifndef CU_TCP_TRACE_H
#define CU_TCP_TRACE_H

#include "lib/base/error.h"
#include "lib/record/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What decided a mark where Wireshark, which looks at one segment at a time,
 * may decide otherwise; bits of marks, above those of the event kinds.
 */
enum cu_settled {
	CU_SETTLED_TIMESTAMPS = 24, /* its TCP timestamp: the order of sending, or the same packet again */
	CU_SETTLED_IP_ID,           /* its IP identification: likewise */
	CU_SETTLED_EARLIER_SEGMENT, /* its bytes passed before */
	CU_SETTLED_LATER_SEGMENT,   /* what came after it: the receiver had the bytes without it */
	CU_SETTLED_ROUND_TRIP,      /* it came sooner, or later, than a retransmission can */
	CU_SETTLED_ACKS,            /* the ACKs before it did not say what the mark takes them to, or this one does */
	/* What Wireshark carries on from an earlier segment: set by cu_trace_mark_forward only. */
	CU_SETTLED_COPY,  /* a frame captured twice */
	CU_SETTLED_RESET, /* a reset or a SYN whose number is no place in the stream: cu_is_elsewhere */
	CU_SETTLED_END,
};

/* A segment, or an ICMP error about one. */
struct cu_trace_segment {
	int64_t time_ns;
	int64_t seq;    /* relative: 0 is the SYN, 1 the first byte */
	int64_t end;    /* seq + len, and 1 for SYN and for FIN */
	int64_t ack;    /* relative to the other direction; -1 without ACK flag */
	int64_t window; /* scaled, in bytes */
	uint64_t frame;
	uint32_t len; /* payload bytes */
	uint32_t tsval, tsecr;
	uint32_t marks;   /* 1 << enum cu_event_kind, 1 << enum cu_settled */
	uint32_t sack;    /* index of the first block in the trace's sack array */
	uint32_t hint;    /* index into the trace's hints, plus 1; 0 none */
	uint32_t forward; /* what Wireshark's rules alone mark: by cu_trace_mark_forward */
	uint16_t flags;   /* CU_TCP_ */
	uint16_t ip_id;
	uint16_t file;
	uint16_t dup_ack;         /* number of this duplicate ACK; 0 when it is none */
	uint16_t forward_dup_ack; /* and as Wireshark counts */
	uint8_t dir;
	uint8_t ttl;
	uint8_t n_sack;
	uint8_t icmp_type, icmp_code;
	uint8_t resent_by; /* enum cu_resent_by */
	uint8_t needless;  /* enum cu_needless */
	bool has_timestamps;
	bool icmp;
	bool elsewhere; /* its number is no place in the stream: see cu_is_elsewhere */
};

struct cu_trace_sack {
	int64_t left, right; /* relative to the direction that is acknowledged */
};

struct cu_trace {
	struct cu_connection connection;
	struct cu_trace_segment *segment;
	size_t n, cap;
	size_t syn_end;     /* past the last SYN */
	size_t close_begin; /* the first FIN or RST; SIZE_MAX: none; beyond n where the trace was cut short */
	uint16_t flags;     /* of any of the segments: CU_TCP_ */
	struct cu_trace_sack *sack;
	size_t n_sack, sack_cap;
	struct cu_hint *hint;
	size_t n_hint, hint_cap;
	int64_t advertised_mss; /* the smaller of what the SYNs say, less options of every segment; 0: none says it */
	int64_t mss[2];   /* bytes a direction's segments hold at most: advertised, or the largest that were filled */
	int64_t full[2];  /* what most of them that were filled hold: mss, or less where the path takes less */
	uint8_t shift[2]; /* window scale of each direction's sender, when both SYNs carried one */
	bool scaled;      /* both SYNs seen with a window scale, as far as they were captured */
	bool scale_unknown[2]; /* the SYNs seen do not say it: windows are as sent */
	int64_t handshake_ns; /* the answered SYN to the ACK that ends the handshake; 0 not seen; set by cu_trace_mark */
	/* Of the segments that were dropped before: where each direction had come to, 0 when there were none; that too. */
	int64_t dropped_end[2], dropped_handshake_ns;
	/* While filling. */
	uint32_t base[2], last[2];
	int64_t last_rel[2];
	bool has_base[2];
	bool begun[2]; /* the SYN that the numbers count from was seen, or there is none */
};

/* The file of a segment's frame, as an analysis and gaps have it. */
static inline uint16_t cu_trace_file(const struct cu_trace *trace, const struct cu_trace_segment *seg)
{
	return (uint16_t)(seg->file - trace->connection.first_file);
}

/* Whether a side's SYN says that its windows are not scaled. */
static inline bool cu_scales_not(const struct cu_connection_side *side)
{
	return side->has_syn && !side->syn.has_wscale && !side->syn.cut;
}

/*
 * Whether the SYNs seen say how the windows of a direction's sender are scaled:
 * both, or the SYN-ACK of its own, which has a scale only if the SYN did, or one
 * without, as neither side scales then (RFC 7323 section 2.2).
 */
static inline bool cu_knows_scale(const struct cu_connection *connection, int dir)
{
	const struct cu_connection_side *own = &connection->side[dir], *other = &connection->side[!dir];
	bool agreed = dir == CU_S2C || (other->has_syn && other->syn.has_wscale);
	return cu_scales_not(own) || cu_scales_not(other) || (own->has_syn && own->syn.has_wscale && agreed);
}

/* {0} is an empty trace. */
void cu_trace_release(struct cu_trace *trace);

/* Forgets the segments and begins a connection. */
void cu_trace_begin(struct cu_trace *trace, const struct cu_connection *connection);

/* Makes room for n segments that follow, so that none of them makes more of it. 0 or CU_ERR_NOMEM. */
int cu_trace_reserve(struct cu_trace *trace, size_t n);

/* Adds the segments of a chunk. 0, CU_ERR_NOMEM, or CU_ERR_FORMAT, also when there are more than it says; those before stay. */
int cu_trace_add_chunk(struct cu_trace *trace, const struct cu_chunk *chunk);

/*
 * Forgets the first n segments of a marked trace and keeps the others, as they
 * were added: the trace goes on with them.
 */
void cu_trace_drop(struct cu_trace *trace, size_t n);

/* To be called once all segments are there: settles MSS and marks each segment in Wireshark's terms. */
void cu_trace_mark(struct cu_trace *trace);

/*
 * Sets forward and forward_dup_ack of a marked trace: what Wireshark shows of
 * the same frames. Where that is another mark for what it carries on from an
 * earlier one, the segment says so.
 */
void cu_trace_mark_forward(struct cu_trace *trace);

static inline bool cu_is(const struct cu_trace_segment *seg, enum cu_event_kind kind)
{
	return (seg->marks >> kind & 1) != 0;
}

/* The kinds that Wireshark has: its tcp.analysis. */
#define CU_WIRESHARK_KINDS ((UINT32_C(1) << (CU_EVENT_WINDOW_UPDATE + 1)) - (UINT32_C(1) << CU_EVENT_RETRANSMISSION))

/* Whether the marks are other ones than Wireshark's. */
static inline bool cu_settled_otherwise(const struct cu_trace_segment *seg)
{
	return ((seg->marks ^ seg->forward) & CU_WIRESHARK_KINDS) != 0 || seg->dup_ack != seg->forward_dup_ack;
}

static inline void cu_settle(struct cu_trace_segment *seg, enum cu_settled by)
{
	seg->marks |= UINT32_C(1) << by;
}

/* Whether the segment carries sequence space (data, SYN or FIN). */
static inline bool cu_carries(const struct cu_trace_segment *seg)
{
	return seg->end > seg->seq && !seg->icmp;
}

/*
 * Whether its number is no place in the stream: a RST's may be any (RFC 9293
 * section 3.10.7.1), a SYN may have begun with another one than that which
 * holds, and before its SYN-ACK a server may answer for a connection of
 * before, that it still has (half-open: RFC 9293 section 3.5.1).
 */
static inline bool cu_is_elsewhere(const struct cu_trace_segment *seg)
{
	return seg->elsewhere;
}

/* Whether a server answered a SYN for a connection of before. */
static inline bool cu_is_of_before(const struct cu_trace_segment *seg)
{
	return seg->elsewhere && (seg->flags & (CU_TCP_SYN | CU_TCP_RST)) == 0;
}

/* The hint at an index plus 1, as segments have it; NULL, and CU_HINT_NONE, for 0. */
static inline const struct cu_hint *cu_trace_hint_at(const struct cu_trace *trace, uint32_t hint)
{
	return hint != 0 ? &trace->hint[hint - 1] : NULL;
}

static inline uint8_t cu_trace_hint_kind(const struct cu_trace *trace, uint32_t hint)
{
	return hint != 0 ? trace->hint[hint - 1].kind : CU_HINT_NONE;
}

static inline const struct cu_hint *cu_trace_hint(const struct cu_trace *trace, const struct cu_trace_segment *seg)
{
	return cu_trace_hint_at(trace, seg->hint);
}

#endif
