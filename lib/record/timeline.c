#include "lib/record/timeline.h"

#include "lib/base/error.h"
#include "lib/base/units.h"

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

/* Senders count their packets, or give none a number. */
static inline uint16_t id_after(uint16_t ip_id)
{
	return (uint16_t)(ip_id + (ip_id != 0));
}

/* What segments have in one word: flags, file, TTL, number of SACK blocks, whether it is an ICMP error, kind of hint. */
struct form {
	uint16_t flags, file;
	uint8_t ttl, n_sack;
	bool icmp;
	uint8_t hint_kind;
};
#define SAME_PLACE(field, hint_field)                                                                  \
	_Static_assert(offsetof(struct cu_segment, hint_field) - offsetof(struct cu_segment, flags) == \
	                       offsetof(struct form, field),                                           \
	               "a segment has its form in one piece")
SAME_PLACE(file, file);
SAME_PLACE(ttl, ttl);
SAME_PLACE(n_sack, n_sack);
SAME_PLACE(icmp, icmp);
SAME_PLACE(hint_kind, hint.kind);
#undef SAME_PLACE

static inline uint64_t form_word(struct form form)
{
	uint64_t word;
	_Static_assert(sizeof(word) == sizeof(form), "a form is a word");
	memcpy(&word, &form, sizeof(word));
	return word;
}

static inline uint64_t form_of(const struct cu_segment *segment)
{
	uint64_t word;
	memcpy(&word, &segment->flags, sizeof(word));
	return word;
}

/* What of a direction is usual changed with its TTL, or with the file. */
static void settle_usual(struct cu_timeline_state *state)
{
	for (int dir = 0; dir < 2; dir++) {
		state->dir[dir].usual =
			form_word((struct form){.flags = CU_TCP_ACK, .file = state->file, .ttl = state->dir[dir].ttl});
	}
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

static inline int64_t time_of(uint64_t v, bool *failed)
{
	if (v & 1) {
		return cu_unzigzag(v >> 1);
	}
	*failed |= v >> 1 > INT64_MAX / 1000;
	return *failed ? 0 : (int64_t)(v >> 1) * 1000;
}

size_t cu_timeline_put_time(uint8_t *p, int64_t ns)
{
	return put_time(p, ns);
}

int64_t cu_timeline_get_time(struct cu_cursor *cur)
{
	return time_of(cu_cursor_varint(cur), &cur->failed);
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
	settle_usual(state);
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

/* Of the second byte: what this segment has that few have. */
static unsigned what_more(const struct cu_timeline_state *state, const struct cu_timeline_dir *dir,
                          const struct cu_segment *segment)
{
	unsigned more = 0;
	more |= segment->seq != dir->next_seq ? MORE_SEQ : 0;
	more |= (segment->flags & ~CU_TCP_PSH) != CU_TCP_ACK ? MORE_FLAGS : 0;
	more |= segment->ip_id != dir->next_id ? MORE_IP_ID : 0;
	more |= segment->ttl != dir->ttl ? MORE_TTL : 0;
	more |= segment->n_sack != 0 ? MORE_SACK : 0;
	more |= segment->hint.kind != CU_HINT_NONE ? MORE_HINT : 0;
	more |= segment->file != state->file ? MORE_FILE : 0;
	more |= segment->icmp ? MORE_ICMP : 0;
	return more;
}

/* The first byte but for HAS_MORE. */
static inline unsigned head_of(const struct cu_timeline_dir *dir, const struct cu_timeline_dir *other,
                               const struct cu_segment *segment)
{
	_Static_assert((int)HAS_PSH == (int)CU_TCP_PSH, "the flag is the bit");
	unsigned head = segment->dir | (segment->flags & CU_TCP_PSH);
	unsigned ack = segment->ack != dir->ack ? HAS_ACK : 0;
	if (segment->len != 0) {
		head |= segment->len == dir->len ? LEN_SAME : LEN_EXPLICIT;
	} else if (ack != 0 && segment->ack == other->next_seq && !segment->icmp) {
		head |= ACK_ALL;
		ack = 0;
	}
	head |= ack;
	head |= segment->window != dir->window ? HAS_WINDOW : 0;
	head |= segment->has_timestamps ? HAS_TIMESTAMPS : 0;
	return head;
}

/* A segment with a second byte; ns and frames since the last one. */
static __attribute__((noinline)) size_t encode_odd(struct cu_timeline_state *restrict state,
                                                   const struct cu_segment *restrict segment, uint8_t *restrict start,
                                                   int64_t ns, uint64_t frames)
{
	struct cu_timeline_dir *dir = &state->dir[segment->dir];
	const struct cu_timeline_dir *other = &state->dir[segment->dir ^ 1];
	unsigned head = head_of(dir, other, segment);
	unsigned more = what_more(state, dir, segment);
	uint8_t *p = start;
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
		settle_usual(state);
		return (size_t)(put_icmp(segment, p) - start);
	}
	p = put_usual(dir, other, head, segment, p);
	p = put_more(dir, more, segment, p);
	if (more & (MORE_TTL | MORE_FILE)) {
		settle_usual(state);
	}
	unsigned flags = segment->flags;
	dir->next_id = id_after(segment->ip_id);
	dir->next_seq = segment->seq + segment->len + ((flags & CU_TCP_SYN) != 0) + ((flags & CU_TCP_FIN) != 0);
	return (size_t)(p - start);
}

size_t cu_timeline_encode(struct cu_timeline_state *restrict state, const struct cu_segment *restrict segment,
                          uint8_t *restrict start)
{
	struct cu_timeline_dir *dir = &state->dir[segment->dir];
	const struct cu_timeline_dir *other = &state->dir[segment->dir ^ 1];
	if (__builtin_expect((state->known >> segment->dir & 1) == 0, 0)) {
		put_first(state, segment);
	}
	int64_t ns = (int64_t)((uint64_t)segment->time_ns - (uint64_t)state->time_ns);
	uint64_t frames = segment->frame - state->frame;
	state->time_ns = segment->time_ns;
	state->frame = segment->frame;
	/* what_more() != 0 */
	const uint64_t push = form_word((struct form){.flags = CU_TCP_PSH});
	uint64_t odd = ((form_of(segment) ^ dir->usual) & ~push) | (segment->seq ^ dir->next_seq) |
	               (uint32_t)(segment->ip_id ^ dir->next_id);
	if (odd != 0) {
		return encode_odd(state, segment, start, ns, frames);
	}
	unsigned head = head_of(dir, other, segment);
	uint8_t *p = start;
	*p++ = (uint8_t)head;
	p += put_time(p, ns);
	p += cu_put_varint(p, frames);
	p = put_usual(dir, other, head, segment, p);
	dir->next_id = id_after(segment->ip_id);
	dir->next_seq = segment->seq + segment->len;
	return (size_t)(p - start);
}

/*
 * Segments are decoded from where every byte that one can take is readable,
 * however damaged it is: what was read beyond the end is seen at its end.
 */
struct bytes { /* taken and given by value where few segments go, so that it can stay in registers */
	const uint8_t *pos;
	bool failed;
};

enum {
	ICMP_FIXED = 2 + 1 + 16, /* type and code, family, reporter */
	ALWAYS_CAP = 2 + 4 * CU_VARINT_CAP,
	USUAL_CAP = 5 * CU_VARINT_CAP,
	MORE_CAP = CU_VARINT_CAP + 2 + 1 + 1 + CU_SACK_CAP * 2 * CU_VARINT_CAP + 2 + CU_HINT_TEXT_CAP,
	READ_CAP = ALWAYS_CAP + USUAL_CAP + MORE_CAP,
};
_Static_assert(ICMP_FIXED + CU_VARINT_CAP <= USUAL_CAP + MORE_CAP, "an ICMP error fits");

static inline uint64_t get(struct bytes *in)
{
	return cu_get_varint(&in->pos, &in->failed);
}

static inline int64_t get_signed(struct bytes *in)
{
	return cu_unzigzag(get(in));
}

/* An unsigned number no greater than max. */
static inline uint64_t get_below(struct bytes *in, uint64_t max)
{
	uint64_t v = get(in);
	in->failed |= v > max;
	return v;
}

static struct bytes get_icmp(struct bytes from, struct cu_segment *segment)
{
	struct bytes *in = &from;
	segment->icmp = true;
	segment->has_timestamps = false;
	segment->flags = segment->window = segment->ip_id = 0;
	segment->ack = segment->len = segment->tsval = segment->tsecr = 0;
	segment->ttl = 0;
	segment->icmp_type = *in->pos++;
	segment->icmp_code = *in->pos++;
	segment->icmp_mtu = (uint32_t)get_below(in, UINT32_MAX);
	uint8_t family = *in->pos++;
	segment->icmp_reporter.family = family;
	memcpy(segment->icmp_reporter.bytes, in->pos, sizeof(segment->icmp_reporter.bytes));
	in->pos += sizeof(segment->icmp_reporter.bytes);
	in->failed |= family != 0 && family != 4 && family != 6;
	return from;
}

static void get_sack(struct bytes *in, struct cu_segment *segment)
{
	unsigned n = *in->pos++;
	in->failed |= n > CU_SACK_CAP;
	segment->n_sack = n <= CU_SACK_CAP ? (uint8_t)n : 0;
	for (unsigned i = 0; i < segment->n_sack; i++) {
		segment->sack[i][0] = segment->ack + (uint32_t)get_signed(in);
		segment->sack[i][1] = segment->sack[i][0] + (uint32_t)get_signed(in);
	}
}

static void get_hint(struct bytes *in, struct cu_segment *segment)
{
	segment->hint.kind = *in->pos++;
	unsigned len = *in->pos++;
	in->failed |= len > CU_HINT_TEXT_CAP;
	segment->hint.text_len = len <= CU_HINT_TEXT_CAP ? (uint8_t)len : 0;
	memcpy(segment->hint.text, in->pos, segment->hint.text_len);
	in->pos += segment->hint.text_len;
}

static inline void get_usual(struct bytes *in, unsigned head, struct cu_timeline_dir *dir,
                             const struct cu_timeline_dir *other, struct cu_segment *segment)
{
	uint32_t len = 0;
	uint32_t ack = dir->ack;
	if ((head & ACK_ALL) == ACK_ALL) {
		ack = other->next_seq;
	} else if (head & LEN_EXPLICIT) {
		len = dir->len = (uint32_t)get_below(in, UINT32_MAX);
	} else if (head & LEN_SAME) {
		len = dir->len;
	}
	if (head & HAS_ACK) {
		ack = other->next_seq + (uint32_t)get_signed(in);
	}
	segment->len = len;
	segment->ack = dir->ack = ack;
	if (head & HAS_WINDOW) {
		dir->window = (uint16_t)(dir->window + (uint64_t)get_signed(in));
	}
	segment->window = dir->window;
	segment->has_timestamps = (head & HAS_TIMESTAMPS) != 0;
	segment->tsval = segment->tsecr = 0;
	if (head & HAS_TIMESTAMPS) {
		uint64_t ahead = get_below(in, (uint64_t)UINT32_MAX << 1 | 1);
		segment->tsval = dir->tsval += (uint32_t)(ahead >> 1);
		segment->tsecr = other->tsval;
		if (ahead & 1) {
			segment->tsecr -= (uint32_t)get_signed(in);
		}
	}
}

static struct bytes get_more(struct bytes from, unsigned more, struct cu_timeline_dir *dir, struct cu_segment *segment)
{
	struct bytes *in = &from;
	if (more & MORE_FLAGS) {
		segment->flags = (uint16_t)get_below(in, 0xfff);
	}
	if (more & MORE_IP_ID) {
		segment->ip_id = cu_get_le16(in->pos);
		in->pos += 2;
	}
	if (more & MORE_TTL) {
		segment->ttl = dir->ttl = *in->pos++;
	}
	if (more & MORE_SACK) {
		get_sack(in, segment);
	}
	if (more & MORE_HINT) {
		get_hint(in, segment);
	}
	return from;
}

static inline void get_segment(struct bytes *in, struct cu_timeline_state *restrict state,
                               struct cu_segment *restrict segment)
{
	unsigned head = *in->pos++;
	unsigned more = head & HAS_MORE ? *in->pos++ : 0;
	unsigned from = head & HAS_DIR;
	struct cu_timeline_dir *dir = &state->dir[from];
	const struct cu_timeline_dir *other = &state->dir[from ^ 1];
	if ((state->known >> from & 1) == 0) {
		get_first(state, from);
	}
	segment->dir = (uint8_t)from;
	segment->icmp = false;
	segment->n_sack = 0;
	segment->hint.kind = CU_HINT_NONE;
	segment->hint.text_len = 0;
	state->time_ns = (int64_t)((uint64_t)state->time_ns + (uint64_t)time_of(get(in), &in->failed));
	in->failed |= (uint64_t)state->time_ns > CU_TIME_MAX_NS;
	segment->time_ns = state->time_ns;
	if (more & MORE_FILE) {
		state->file = (uint16_t)get_below(in, UINT16_MAX);
		state->frame += (uint64_t)get_signed(in);
	} else {
		state->frame += get(in);
	}
	segment->file = state->file;
	segment->frame = state->frame;
	segment->seq = dir->next_seq;
	segment->ttl = dir->ttl;
	if (more & MORE_SEQ) {
		segment->seq += (uint32_t)get_signed(in);
	}
	if (more & MORE_ICMP) {
		*in = get_icmp(*in, segment);
		return;
	}
	get_usual(in, head, dir, other, segment);
	segment->flags = (uint16_t)(CU_TCP_ACK | (head & HAS_PSH ? CU_TCP_PSH : 0));
	segment->ip_id = dir->next_id;
	uint32_t n_numbers = segment->len;
	if (more != 0) {
		*in = get_more(*in, more, dir, segment);
		n_numbers += ((segment->flags & CU_TCP_SYN) != 0) + ((segment->flags & CU_TCP_FIN) != 0);
	}
	dir->next_id = id_after(segment->ip_id);
	dir->next_seq = segment->seq + n_numbers;
}

int cu_timeline_decode(struct cu_timeline_state *restrict state, struct cu_cursor *restrict cur,
                       struct cu_segment *restrict segment)
{
	uint8_t last[READ_CAP];
	size_t left = cu_cursor_left(cur);
	if (left == 0 && !cur->failed) {
		return 0;
	}
	const uint8_t *start = cur->pos;
	if (left < READ_CAP) {
		memcpy(last, start, left);
		memset(last + left, 0, READ_CAP - left);
		start = last;
	}
	struct bytes in = {.pos = start, .failed = cur->failed};
	get_segment(&in, state, segment);
	size_t n = (size_t)(in.pos - start);
	cur->failed = in.failed || n > left;
	cur->pos = cur->failed ? cur->end : cur->pos + n;
	return cur->failed ? CU_ERR_FORMAT : 1;
}
