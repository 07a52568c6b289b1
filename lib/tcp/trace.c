#include "lib/tcp/trace.h"

#include "lib/base/grow.h"
#include "lib/record/timeline_read.h"

#include <stdlib.h>
#include <string.h>

void cu_trace_release(struct cu_trace *trace)
{
	free(trace->segment);
	free(trace->sack);
	free(trace->hint);
	*trace = (struct cu_trace){0};
}

static void forget_flags(struct cu_trace *trace)
{
	trace->flags = 0;
	trace->syn_end = 0;
	trace->close_begin = SIZE_MAX;
}

/* Of the segment that is the i-th: where those with special flags are. */
static inline void note_flags(struct cu_trace *trace, uint16_t flags, size_t i)
{
	trace->flags |= flags;
	if (__builtin_expect((flags & (CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST)) != 0, 0)) {
		trace->syn_end = flags & CU_TCP_SYN ? i + 1 : trace->syn_end;
		if (flags & (CU_TCP_FIN | CU_TCP_RST) && i < trace->close_begin) {
			trace->close_begin = i;
		}
	}
}

void cu_trace_begin(struct cu_trace *trace, const struct cu_connection *connection)
{
	trace->connection = *connection;
	trace->n = trace->n_sack = trace->n_hint = 0;
	forget_flags(trace);
	trace->dropped_end[CU_C2S] = trace->dropped_end[CU_S2C] = trace->dropped_handshake_ns = 0;
	const struct cu_connection_side *side = connection->side;
	bool both = side[CU_C2S].has_syn && side[CU_S2C].has_syn;
	/* Neither side scales unless both SYNs say so. */
	bool unscaled = cu_scales_not(&side[CU_C2S]) || cu_scales_not(&side[CU_S2C]);
	trace->scaled = both && !unscaled;
	for (int dir = 0; dir < 2; dir++) {
		/* A larger shift than 14 counts as 14 (RFC 7323 section 2.3). */
		uint8_t wscale = side[dir].syn.wscale < 14 ? side[dir].syn.wscale : 14;
		trace->scale_unknown[dir] = !cu_knows_scale(connection, dir);
		trace->shift[dir] = !trace->scale_unknown[dir] && !unscaled ? wscale : 0;
		trace->mss[dir] = trace->full[dir] = 0;
		trace->has_base[dir] = side[dir].has_syn;
		trace->begun[dir] = !side[dir].has_syn;
		trace->base[dir] = trace->last[dir] = side[dir].isn;
		trace->last_rel[dir] = 0;
	}
}

int cu_trace_reserve(struct cu_trace *trace, size_t n)
{
	bool grown = cu_grow_by((void **)&trace->segment, &trace->cap, trace->n, n, sizeof(trace->segment[0]));
	return grown ? 0 : CU_ERR_NOMEM;
}

/* A relative number near the last one of its direction, whatever the wrap. */
static int64_t relative(struct cu_trace *trace, int dir, uint32_t raw)
{
	return trace->last_rel[dir] + (int32_t)(raw - trace->last[dir]);
}

static void set_base(struct cu_trace *trace, int dir, uint32_t base)
{
	trace->has_base[dir] = true;
	trace->base[dir] = trace->last[dir] = base;
	trace->last_rel[dir] = 0;
}

/* The highest number seen of a direction is what the next one is near to. */
static void advance(struct cu_trace *trace, int dir, uint32_t raw, int64_t rel)
{
	if (rel > trace->last_rel[dir]) {
		trace->last[dir] = raw;
		trace->last_rel[dir] = rel;
	}
}

/* Not more than this, the largest window without a scale, can overtake a SYN. */
enum { BEFORE_SYN_BYTES = 65535 };

static bool is_elsewhere(struct cu_trace *trace, const struct cu_trace_segment *seg)
{
	const unsigned special = seg->flags & (CU_TCP_SYN | CU_TCP_RST);
	if (special == 0) {
		return !trace->begun[seg->dir] && (seg->seq < 0 || seg->end > BEFORE_SYN_BYTES);
	}
	if (special == CU_TCP_SYN && seg->seq == 0) {
		trace->begun[seg->dir] = true;
		return false;
	}
	return true;
}

static int add(struct cu_trace *trace, const struct cu_segment *in)
{
	if (!cu_grow((void **)&trace->segment, &trace->cap, trace->n, sizeof(trace->segment[0]))) {
		return CU_ERR_NOMEM;
	}
	struct cu_trace_segment *seg = &trace->segment[trace->n];
	int dir = in->dir;
	int back = !dir;

	*seg = (struct cu_trace_segment){
		.time_ns = in->time_ns,
		.frame = in->frame,
		.file = in->file,
		.dir = in->dir,
		.flags = in->flags,
		.len = in->len,
		.tsval = in->tsval,
		.tsecr = in->tsecr,
		.has_timestamps = in->has_timestamps,
		.ip_id = in->ip_id,
		.ttl = in->ttl,
		.icmp = in->icmp,
		.ack = -1,
		.sack = (uint32_t)trace->n_sack,
	};
	if (!trace->has_base[dir]) {
		/* Without a SYN the first byte seen is byte 1. */
		set_base(trace, dir, in->flags & CU_TCP_SYN ? in->seq : in->seq - 1);
	}
	seg->seq = relative(trace, dir, in->seq);
	if (in->icmp) {
		seg->end = seg->seq;
		seg->icmp_type = in->icmp_type;
		seg->icmp_code = in->icmp_code;
		trace->n++;
		return 0;
	}
	bool syn = (in->flags & CU_TCP_SYN) != 0;
	bool fin = (in->flags & CU_TCP_FIN) != 0;
	note_flags(trace, in->flags, trace->n);
	seg->end = seg->seq + in->len + syn + fin;
	seg->elsewhere = is_elsewhere(trace, seg);
	if (!seg->elsewhere) {
		advance(trace, dir, in->seq + in->len + syn + fin, seg->end);
	}
	seg->window = in->window;
	if (!syn) {
		seg->window <<= trace->shift[dir];
	}
	if (in->flags & CU_TCP_ACK) {
		if (!trace->has_base[back]) {
			set_base(trace, back, in->ack - 1);
		}
		seg->ack = relative(trace, back, in->ack);
		for (int i = 0; i < in->n_sack; i++) {
			if (!cu_grow((void **)&trace->sack, &trace->sack_cap, trace->n_sack, sizeof(trace->sack[0]))) {
				return CU_ERR_NOMEM;
			}
			int64_t left = relative(trace, back, in->sack[i][0]);
			int64_t right = relative(trace, back, in->sack[i][1]);
			if (left < right) {
				trace->sack[trace->n_sack++] = (struct cu_trace_sack){.left = left, .right = right};
				seg->n_sack++;
			}
		}
	}
	if (in->hint.kind != CU_HINT_NONE) {
		if (!cu_grow((void **)&trace->hint, &trace->hint_cap, trace->n_hint, sizeof(trace->hint[0]))) {
			return CU_ERR_NOMEM;
		}
		trace->hint[trace->n_hint++] = in->hint;
		seg->hint = (uint32_t)trace->n_hint;
	}
	trace->n++;
	return 0;
}

int cu_trace_add_chunk(struct cu_trace *trace, const struct cu_chunk *chunk)
{
	struct cu_timeline_reader reader;
	struct cu_segment segment;
	uint64_t n_left = chunk->n_segments;
	int got;

	cu_timeline_open(&reader, &chunk->start, &chunk->segments);
	while ((got = cu_timeline_next_inline(&reader, &segment)) == 1) {
		/* More than it says would be more than there is room for. */
		int err = n_left-- > 0 ? add(trace, &segment) : CU_ERR_FORMAT;
		if (err != 0) {
			return err;
		}
	}
	return got;
}

void cu_trace_drop(struct cu_trace *trace, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp || seg->flags & CU_TCP_RST) {
			continue;
		}
		int64_t *sent = &trace->dropped_end[seg->dir], *acked = &trace->dropped_end[!seg->dir];
		*sent = seg->end > *sent ? seg->end : *sent;
		*acked = seg->ack > *acked ? seg->ack : *acked;
	}
	trace->dropped_handshake_ns = trace->handshake_ns;
	trace->n -= n;
	memmove(trace->segment, trace->segment + n, trace->n * sizeof(trace->segment[0]));

	uint32_t first_sack = trace->n > 0 ? trace->segment[0].sack : (uint32_t)trace->n_sack, first_hint = 0;
	forget_flags(trace);
	for (size_t i = 0; i < trace->n; i++) {
		struct cu_trace_segment *seg = &trace->segment[i];
		note_flags(trace, seg->icmp ? 0 : seg->flags, i);
		seg->sack -= first_sack;
		if (seg->hint != 0) {
			first_hint = first_hint != 0 ? first_hint : seg->hint;
			seg->hint -= first_hint - 1;
		}
	}
	trace->n_sack -= first_sack;
	trace->n_hint = first_hint != 0 ? trace->n_hint - (first_hint - 1) : 0;
	if (trace->n_sack > 0) {
		memmove(trace->sack, trace->sack + first_sack, trace->n_sack * sizeof(trace->sack[0]));
	}
	if (trace->n_hint > 0) {
		memmove(trace->hint, trace->hint + (first_hint - 1), trace->n_hint * sizeof(trace->hint[0]));
	}
}
