/*
 * Reading a timeline, inline: for who goes through segments by the million.
 * Others call cu_timeline_next. flowrec(5) has the byte format.
 */
#ifndef CU_RECORD_TIMELINE_READ_H
#define CU_RECORD_TIMELINE_READ_H

#include "lib/base/error.h"
#include "lib/base/units.h"
#include "lib/record/timeline.h"

/* The first byte of a segment. */
enum {
	CU_HEAD_DIR = 0x01,
	CU_HEAD_LEN_SAME = 0x02, /* as the last payload of this direction */
	CU_HEAD_LEN = 0x04,
	/* no payload, and the ACK number is the next of the other direction */
	CU_HEAD_ACK_ALL = CU_HEAD_LEN_SAME | CU_HEAD_LEN,
	CU_HEAD_PSH = 0x08,
	CU_HEAD_ACK = 0x10, /* the ACK number is another than the direction's last */
	CU_HEAD_WINDOW = 0x20,
	CU_HEAD_TIMESTAMPS = 0x40,
	CU_HEAD_MORE = 0x80,
};

/* The second byte, when CU_HEAD_MORE is set. */
enum {
	CU_MORE_SEQ = 0x01,
	CU_MORE_FLAGS = 0x02,
	CU_MORE_IP_ID = 0x04,
	CU_MORE_TTL = 0x08,
	CU_MORE_SACK = 0x10,
	CU_MORE_HINT = 0x20,
	CU_MORE_FILE = 0x40,
	CU_MORE_ICMP = 0x80,
};

/* Senders count their packets, or give none a number. */
static inline uint16_t cu_id_after(uint16_t ip_id)
{
	return (uint16_t)(ip_id + (ip_id != 0));
}

/*
 * Segments are read from where every byte that one can take is readable,
 * however damaged it is: what was read beyond the end is seen at its end.
 */
struct cu_timeline_bytes { /* taken and given by value where few segments go, so that it can stay in registers */
	const uint8_t *pos;
	bool failed;
};

/* What few segments have, as the second byte announces it; all of an ICMP error. In timeline.c. */
struct cu_timeline_bytes cu_timeline_get_more(struct cu_timeline_bytes from, unsigned more, struct cu_segment *segment);
struct cu_timeline_bytes cu_timeline_get_icmp(struct cu_timeline_bytes from, struct cu_segment *segment);

/* Moves the bytes that are left, fewer than one read may take, to where zeros can be read behind them. */
void cu_timeline_enter_tail(struct cu_timeline_reader *reader);

static inline uint64_t cu_timeline_get(struct cu_timeline_bytes *in)
{
	return cu_get_varint(&in->pos, &in->failed);
}

static inline int64_t cu_timeline_get_signed(struct cu_timeline_bytes *in)
{
	return cu_unzigzag(cu_timeline_get(in));
}

/* An unsigned number no greater than max. */
static inline uint64_t cu_timeline_get_below(struct cu_timeline_bytes *in, uint64_t max)
{
	uint64_t v = cu_timeline_get(in);
	in->failed |= v > max;
	return v;
}

/* A time of microseconds, or of nanoseconds that may be negative. */
static inline int64_t cu_timeline_time_of(uint64_t v, bool *failed)
{
	if (v & 1) {
		return cu_unzigzag(v >> 1);
	}
	*failed |= v >> 1 > INT64_MAX / 1000;
	return *failed ? 0 : (int64_t)(v >> 1) * 1000;
}

/* The first segment of a direction: what the start knows of it. */
static inline void cu_timeline_get_first(struct cu_timeline_state *state, unsigned dir)
{
	const struct cu_timeline_start *start = &state->start;
	if (state->known == 0) {
		state->time_ns = start->time_ns;
		state->frame = start->frame;
		state->file = start->file;
	}
	state->known |= (uint8_t)(1 << dir);
	state->dir[dir].next_seq = start->seq[dir];
	state->dir[dir].ttl = start->ttl[dir];
}

/* What the first byte announces, but for what few segments have. */
static inline void cu_timeline_get_usual(struct cu_timeline_bytes *in, unsigned head, struct cu_timeline_dir *dir,
                                         const struct cu_timeline_dir *other, struct cu_segment *segment)
{
	uint32_t len = 0;
	uint32_t ack = dir->ack;
	if ((head & CU_HEAD_ACK_ALL) == CU_HEAD_ACK_ALL) {
		ack = other->next_seq;
	} else if (head & CU_HEAD_LEN) {
		len = dir->len = (uint32_t)cu_timeline_get_below(in, UINT32_MAX);
	} else if (head & CU_HEAD_LEN_SAME) {
		len = dir->len;
	}
	if (head & CU_HEAD_ACK) {
		ack = other->next_seq + (uint32_t)cu_timeline_get_signed(in);
	}
	segment->len = len;
	segment->ack = dir->ack = ack;
	if (head & CU_HEAD_WINDOW) {
		dir->window = (uint16_t)(dir->window + (uint64_t)cu_timeline_get_signed(in));
	}
	segment->window = dir->window;
	segment->has_timestamps = (head & CU_HEAD_TIMESTAMPS) != 0;
	segment->tsval = segment->tsecr = 0;
	if (head & CU_HEAD_TIMESTAMPS) {
		uint64_t ahead = cu_timeline_get_below(in, (uint64_t)UINT32_MAX << 1 | 1);
		segment->tsval = dir->tsval += (uint32_t)(ahead >> 1);
		segment->tsecr = other->tsval;
		if (ahead & 1) {
			segment->tsecr -= (uint32_t)cu_timeline_get_signed(in);
		}
	}
}

static inline __attribute__((always_inline)) void cu_timeline_get_segment(struct cu_timeline_bytes *in,
                                                                          struct cu_timeline_state *restrict state,
                                                                          struct cu_segment *restrict segment)
{
	unsigned head = *in->pos++;
	unsigned more = head & CU_HEAD_MORE ? *in->pos++ : 0;
	unsigned from = head & CU_HEAD_DIR;
	struct cu_timeline_dir *dir = &state->dir[from];
	const struct cu_timeline_dir *other = &state->dir[from ^ 1];
	if (__builtin_expect((state->known >> from & 1) == 0, 0)) {
		cu_timeline_get_first(state, from);
	}
	segment->dir = (uint8_t)from;
	segment->icmp = false;
	segment->n_sack = 0;
	segment->hint.kind = CU_HINT_NONE;
	segment->hint.text_len = 0;
	int64_t since_ns = cu_timeline_time_of(cu_timeline_get(in), &in->failed);
	state->time_ns = (int64_t)((uint64_t)state->time_ns + (uint64_t)since_ns);
	in->failed |= (uint64_t)state->time_ns > CU_TIME_MAX_NS;
	segment->time_ns = state->time_ns;
	if (more & CU_MORE_FILE) {
		state->file = (uint16_t)cu_timeline_get_below(in, UINT16_MAX);
		state->frame += (uint64_t)cu_timeline_get_signed(in);
	} else {
		state->frame += cu_timeline_get(in);
	}
	segment->file = state->file;
	segment->frame = state->frame;
	segment->seq = dir->next_seq;
	segment->ttl = dir->ttl;
	if (more & CU_MORE_SEQ) {
		segment->seq += (uint32_t)cu_timeline_get_signed(in);
	}
	if (more & CU_MORE_ICMP) {
		*in = cu_timeline_get_icmp(*in, segment);
		return;
	}
	cu_timeline_get_usual(in, head, dir, other, segment);
	segment->flags = (uint16_t)(CU_TCP_ACK | (head & CU_HEAD_PSH ? CU_TCP_PSH : 0));
	segment->ip_id = dir->next_id;
	uint32_t n_numbers = segment->len;
	if (more != 0) {
		*in = cu_timeline_get_more(*in, more, segment);
		dir->ttl = segment->ttl;
		n_numbers += ((segment->flags & CU_TCP_SYN) != 0) + ((segment->flags & CU_TCP_FIN) != 0);
	}
	dir->next_id = cu_id_after(segment->ip_id);
	dir->next_seq = segment->seq + n_numbers;
}

/* cu_timeline_next. */
static inline __attribute__((always_inline)) int cu_timeline_next_inline(struct cu_timeline_reader *restrict reader,
                                                                         struct cu_segment *restrict segment)
{
	if (__builtin_expect((size_t)(reader->end - reader->pos) < CU_TIMELINE_READ_CAP && !reader->is_tail, 0)) {
		cu_timeline_enter_tail(reader);
	}
	if (reader->failed || reader->pos == reader->end) {
		return reader->failed ? CU_ERR_FORMAT : 0;
	}
	struct cu_timeline_bytes in = {.pos = reader->pos, .failed = false};
	cu_timeline_get_segment(&in, &reader->state, segment);
	reader->pos = in.pos;
	reader->failed = in.failed || in.pos > reader->end;
	return reader->failed ? CU_ERR_FORMAT : 1;
}

#endif
