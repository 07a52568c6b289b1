#include "lib/record/timeline.h"

#include "lib/base/error.h"

#include <string.h>

/* The first byte of a segment: see flowrec(5), "Segments". */
enum {
	HAS_DIR = 0x01,
	LEN_SAME = 0x02, /* as the last payload of this direction */
	LEN_EXPLICIT = 0x04,
	ACK_ALL = LEN_SAME | LEN_EXPLICIT, /* no payload, and the ACK number is the next of the other direction */
	HAS_PSH = 0x08,
	HAS_ACK = 0x10, /* the ACK number is another than the direction's last */
	HAS_WINDOW = 0x20,
	HAS_TIMESTAMPS = 0x40,
	HAS_MORE = 0x80,
};

/* The second byte, when HAS_MORE is set. */
enum {
	MORE_SEQ = 0x01,
	MORE_FLAGS = 0x02,
	MORE_IP_ID = 0x04,
	MORE_TTL = 0x08,
	MORE_SACK = 0x10,
	MORE_HINT = 0x20,
	MORE_FILE = 0x40,
	MORE_ICMP = 0x80,
};

static int64_t diff32(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static uint16_t next_id(const struct cu_timeline_dir *dir)
{
	return dir->ip_id != 0 ? (uint16_t)(dir->ip_id + 1) : 0;
}

/* Most captures have microseconds, and most clocks go forward. */
static inline size_t put_time(uint8_t *p, int64_t delta)
{
	uint64_t us = (uint64_t)delta / 1000;
	if (delta >= 0 && us * 1000 == (uint64_t)delta) {
		return cu_put_varint(p, us << 1);
	}
	/* Beyond 2^62 ns (146 years) a delta is not stored: a capture's clock has no such step. */
	return cu_put_varint(p, cu_zigzag(delta) << 1 | 1);
}

static inline int64_t get_time(struct cu_cursor *cur)
{
	uint64_t v = cu_cursor_varint(cur);
	if (v & 1) {
		return cu_unzigzag(v >> 1);
	}
	cur->failed |= v >> 1 > INT64_MAX / 1000;
	return cur->failed ? 0 : (int64_t)(v >> 1) * 1000;
}

size_t cu_timeline_put_time(uint8_t *p, int64_t ns)
{
	return put_time(p, ns);
}

int64_t cu_timeline_get_time(struct cu_cursor *cur)
{
	return get_time(cur);
}

/* The first segment of a direction: what the start knows of it is not written. */
static void put_first(struct cu_timeline_state *state, const struct cu_segment *segment)
{
	struct cu_timeline_start *start = &state->start;
	if (state->known == 0) {
		start->time_ns = state->time_ns = segment->time_ns;
		start->frame = state->frame = segment->frame;
		start->file = state->file = segment->file;
	}
	state->known |= (uint8_t)(1 << segment->dir);
	start->seq[segment->dir] = state->dir[segment->dir].next_seq = segment->seq;
	start->ttl[segment->dir] = state->dir[segment->dir].ttl = segment->ttl;
}

static void get_first(struct cu_timeline_state *state, unsigned dir)
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
static inline __attribute__((always_inline)) uint8_t *put_usual(struct cu_timeline_dir *dir,
                                                                const struct cu_timeline_dir *other, unsigned head,
                                                                const struct cu_segment *segment, uint8_t *p)
{
	if ((head & ACK_ALL) == LEN_EXPLICIT) {
		p += cu_put_varint(p, segment->len);
		dir->len = segment->len;
	}
	if (head & HAS_ACK) {
		p += cu_put_varint(p, cu_zigzag(diff32(segment->ack, other->next_seq)));
	}
	dir->ack = segment->ack;
	if (head & HAS_WINDOW) {
		p += cu_put_varint(p, cu_zigzag(segment->window - dir->window));
		dir->window = segment->window;
	}
	if (head & HAS_TIMESTAMPS) {
		uint64_t ahead = segment->tsval - dir->tsval;
		bool is_echo_last = segment->tsecr == other->tsval;
		p += cu_put_varint(p, ahead << 1 | !is_echo_last);
		if (!is_echo_last) {
			p += cu_put_varint(p, cu_zigzag(diff32(other->tsval, segment->tsecr)));
		}
		dir->tsval = segment->tsval;
	}
	return p;
}

/* What the second byte announces, but for what stands before the usual. */
static uint8_t *put_more(struct cu_timeline_dir *dir, unsigned more, const struct cu_segment *segment, uint8_t *p)
{
	if (more & MORE_FLAGS) {
		p += cu_put_varint(p, segment->flags);
	}
	if (more & MORE_IP_ID) {
		cu_put_le16(p, segment->ip_id);
		p += 2;
	}
	if (more & MORE_TTL) {
		*p++ = segment->ttl;
		dir->ttl = segment->ttl;
	}
	if (more & MORE_SACK) {
		*p++ = segment->n_sack;
		for (int i = 0; i < segment->n_sack; i++) {
			p += cu_put_varint(p, cu_zigzag(diff32(segment->sack[i][0], segment->ack)));
			p += cu_put_varint(p, cu_zigzag(diff32(segment->sack[i][1], segment->sack[i][0])));
		}
	}
	if (more & MORE_HINT) {
		*p++ = segment->hint.kind;
		*p++ = segment->hint.text_len;
		memcpy(p, segment->hint.text, segment->hint.text_len);
		p += segment->hint.text_len;
	}
	return p;
}

static uint8_t *put_icmp(const struct cu_segment *segment, uint8_t *p)
{
	*p++ = segment->icmp_type;
	*p++ = segment->icmp_code;
	p += cu_put_varint(p, segment->icmp_mtu);
	*p++ = segment->icmp_reporter.family;
	memcpy(p, segment->icmp_reporter.bytes, sizeof(segment->icmp_reporter.bytes));
	return p + sizeof(segment->icmp_reporter.bytes);
}

size_t cu_timeline_encode(struct cu_timeline_state *restrict state, const struct cu_segment *restrict segment,
                          uint8_t *restrict start)
{
	struct cu_timeline_dir *dir = &state->dir[segment->dir];
	const struct cu_timeline_dir *other = &state->dir[!segment->dir];
	if ((state->known >> segment->dir & 1) == 0) {
		put_first(state, segment);
	}
	unsigned flags = segment->flags;
	unsigned usual = CU_TCP_ACK | (flags & CU_TCP_PSH);
	unsigned head = segment->dir;
	unsigned more = 0;

	bool ack_moved = segment->ack != dir->ack;
	if (segment->len != 0) {
		head |= segment->len == dir->len ? LEN_SAME : LEN_EXPLICIT;
	} else if (ack_moved && segment->ack == other->next_seq && !segment->icmp) {
		head |= ACK_ALL;
		ack_moved = false;
	}
	head |= flags & CU_TCP_PSH ? HAS_PSH : 0;
	head |= ack_moved ? HAS_ACK : 0;
	head |= segment->window != dir->window ? HAS_WINDOW : 0;
	head |= segment->has_timestamps ? HAS_TIMESTAMPS : 0;
	more |= segment->seq != dir->next_seq ? MORE_SEQ : 0;
	more |= flags != usual ? MORE_FLAGS : 0;
	more |= segment->ip_id != next_id(dir) ? MORE_IP_ID : 0;
	more |= segment->ttl != dir->ttl ? MORE_TTL : 0;
	more |= segment->n_sack != 0 ? MORE_SACK : 0;
	more |= segment->hint.kind != CU_HINT_NONE ? MORE_HINT : 0;
	more |= segment->file != state->file ? MORE_FILE : 0;
	more |= segment->icmp ? MORE_ICMP : 0;

	int64_t ns = (int64_t)((uint64_t)segment->time_ns - (uint64_t)state->time_ns);
	uint64_t frames = segment->frame - state->frame;
	state->time_ns = segment->time_ns;
	state->frame = segment->frame;
	uint8_t *p = start;
	if (more == 0) {
		*p++ = (uint8_t)head;
		p += put_time(p, ns);
		p += cu_put_varint(p, frames);
		p = put_usual(dir, other, head, segment, p);
		dir->ip_id = segment->ip_id;
		dir->next_seq = segment->seq + segment->len;
		return (size_t)(p - start);
	}
	*p++ = (uint8_t)(head | HAS_MORE);
	*p++ = (uint8_t)more;
	p += put_time(p, ns);
	if (more & MORE_FILE) {
		p += cu_put_varint(p, segment->file);
		state->file = segment->file;
		frames = cu_zigzag((int64_t)frames);
	}
	p += cu_put_varint(p, frames);
	if (more & MORE_SEQ) {
		p += cu_put_varint(p, cu_zigzag(diff32(segment->seq, dir->next_seq)));
	}
	if (more & MORE_ICMP) {
		return (size_t)(put_icmp(segment, p) - start);
	}
	p = put_usual(dir, other, head, segment, p);
	p = put_more(dir, more, segment, p);
	dir->ip_id = segment->ip_id;
	dir->next_seq = segment->seq + segment->len + ((flags & CU_TCP_SYN) != 0) + ((flags & CU_TCP_FIN) != 0);
	return (size_t)(p - start);
}

static void decode_icmp(struct cu_cursor *cur, struct cu_segment *segment)
{
	segment->icmp = true;
	segment->has_timestamps = false;
	segment->flags = segment->window = segment->ip_id = 0;
	segment->ack = segment->len = segment->tsval = segment->tsecr = 0;
	segment->ttl = 0;
	segment->icmp_type = cu_cursor_u8(cur);
	segment->icmp_code = cu_cursor_u8(cur);
	uint64_t mtu = cu_cursor_varint(cur);
	segment->icmp_mtu = (uint32_t)mtu;
	segment->icmp_reporter.family = cu_cursor_u8(cur);
	const uint8_t *bytes = cu_cursor_bytes(cur, sizeof(segment->icmp_reporter.bytes));
	if (bytes != NULL) {
		memcpy(segment->icmp_reporter.bytes, bytes, sizeof(segment->icmp_reporter.bytes));
	}
	uint8_t family = segment->icmp_reporter.family;
	cur->failed |= mtu > UINT32_MAX || (family != 0 && family != 4 && family != 6);
}

static void decode_sack(struct cu_cursor *cur, struct cu_segment *segment)
{
	segment->n_sack = cu_cursor_u8(cur);
	if (segment->n_sack > CU_SACK_CAP) {
		cur->failed = true;
		segment->n_sack = 0;
	}
	for (int i = 0; i < segment->n_sack; i++) {
		segment->sack[i][0] = segment->ack + (uint32_t)cu_cursor_zigzag(cur);
		segment->sack[i][1] = segment->sack[i][0] + (uint32_t)cu_cursor_zigzag(cur);
	}
}

static void decode_hint(struct cu_cursor *cur, struct cu_segment *segment)
{
	segment->hint.kind = cu_cursor_u8(cur);
	segment->hint.text_len = cu_cursor_u8(cur);
	if (segment->hint.text_len > CU_HINT_TEXT_CAP) {
		cur->failed = true;
		segment->hint.text_len = 0;
	}
	const uint8_t *text = cu_cursor_bytes(cur, segment->hint.text_len);
	if (text != NULL) {
		memcpy(segment->hint.text, text, segment->hint.text_len);
	}
}

static inline void get_usual(struct cu_cursor *cur, unsigned head, struct cu_timeline_dir *dir,
                             const struct cu_timeline_dir *other, struct cu_segment *segment)
{
	segment->len = 0;
	if ((head & ACK_ALL) == ACK_ALL) {
		dir->ack = other->next_seq;
	} else if (head & LEN_EXPLICIT) {
		uint64_t len = cu_cursor_varint(cur);
		cur->failed |= len > UINT32_MAX;
		segment->len = dir->len = (uint32_t)len;
	} else if (head & LEN_SAME) {
		segment->len = dir->len;
	}
	if (head & HAS_ACK) {
		dir->ack = other->next_seq + (uint32_t)cu_cursor_zigzag(cur);
	}
	segment->ack = dir->ack;
	if (head & HAS_WINDOW) {
		dir->window = (uint16_t)(dir->window + cu_cursor_zigzag(cur));
	}
	segment->window = dir->window;
	segment->has_timestamps = (head & HAS_TIMESTAMPS) != 0;
	segment->tsval = segment->tsecr = 0;
	if (head & HAS_TIMESTAMPS) {
		uint64_t ahead = cu_cursor_varint(cur);
		cur->failed |= ahead >> 1 > UINT32_MAX;
		dir->tsval += (uint32_t)(ahead >> 1);
		segment->tsval = dir->tsval;
		segment->tsecr = other->tsval - (uint32_t)(ahead & 1 ? cu_cursor_zigzag(cur) : 0);
	}
}

static void get_more(struct cu_cursor *cur, unsigned more, struct cu_timeline_dir *dir, struct cu_segment *segment)
{
	if (more & MORE_FLAGS) {
		uint64_t flags = cu_cursor_varint(cur);
		cur->failed |= flags > 0xfff;
		segment->flags = (uint16_t)flags;
	}
	if (more & MORE_IP_ID) {
		const uint8_t *id = cu_cursor_bytes(cur, 2);
		segment->ip_id = id != NULL ? cu_get_le16(id) : 0;
	}
	if (more & MORE_TTL) {
		segment->ttl = dir->ttl = cu_cursor_u8(cur);
	}
	if (more & MORE_SACK) {
		decode_sack(cur, segment);
	}
	if (more & MORE_HINT) {
		decode_hint(cur, segment);
	}
}

int cu_timeline_decode(struct cu_timeline_state *restrict state, struct cu_cursor *restrict whole,
                       struct cu_segment *restrict segment)
{
	if (cu_cursor_left(whole) == 0 && !whole->failed) {
		return 0;
	}
	struct cu_cursor cur = *whole; /* in registers; what few segments have is read from *whole */
	unsigned head = cu_cursor_u8(&cur);
	unsigned more = head & HAS_MORE ? cu_cursor_u8(&cur) : 0;
	unsigned from = head & HAS_DIR;
	struct cu_timeline_dir *dir = &state->dir[from];
	const struct cu_timeline_dir *other = &state->dir[!from];
	if ((state->known >> from & 1) == 0) {
		get_first(state, from);
	}

	segment->dir = (uint8_t)from;
	segment->icmp = false;
	segment->n_sack = 0;
	segment->hint.kind = CU_HINT_NONE;
	segment->hint.text_len = 0;
	state->time_ns = (int64_t)((uint64_t)state->time_ns + (uint64_t)get_time(&cur));
	segment->time_ns = state->time_ns;
	if (more & MORE_FILE) {
		uint64_t file = cu_cursor_varint(&cur);
		cur.failed |= file > UINT16_MAX;
		state->file = (uint16_t)file;
		state->frame += (uint64_t)cu_cursor_zigzag(&cur);
	} else {
		state->frame += cu_cursor_varint(&cur);
	}
	segment->file = state->file;
	segment->frame = state->frame;
	segment->seq = dir->next_seq;
	segment->ttl = dir->ttl;
	if (more & MORE_SEQ) {
		segment->seq += (uint32_t)cu_cursor_zigzag(&cur);
	}
	if (more & MORE_ICMP) {
		*whole = cur;
		decode_icmp(whole, segment);
		return whole->failed ? CU_ERR_FORMAT : 1;
	}
	get_usual(&cur, head, dir, other, segment);
	segment->flags = (uint16_t)(CU_TCP_ACK | (head & HAS_PSH ? CU_TCP_PSH : 0));
	segment->ip_id = next_id(dir);
	*whole = cur;
	uint32_t n_numbers = segment->len;
	if (more != 0) {
		get_more(whole, more, dir, segment);
		n_numbers += ((segment->flags & CU_TCP_SYN) != 0) + ((segment->flags & CU_TCP_FIN) != 0);
	}
	dir->ip_id = segment->ip_id;
	dir->next_seq = segment->seq + n_numbers;
	return whole->failed ? CU_ERR_FORMAT : 1;
}
