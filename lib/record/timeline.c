#include "lib/record/timeline.h"

#include "lib/record/timeline_read.h"

#include <string.h>

static int64_t diff32(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
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

size_t cu_timeline_put_time(uint8_t *p, int64_t ns)
{
	return put_time(p, ns);
}

int64_t cu_timeline_get_time(struct cu_cursor *cur)
{
	return cu_timeline_time_of(cu_cursor_varint(cur), &cur->failed);
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

/* What the first byte announces, but for what few segments have. */
static inline __attribute__((always_inline)) uint8_t *put_usual(struct cu_timeline_dir *dir,
                                                                const struct cu_timeline_dir *other, unsigned head,
                                                                const struct cu_segment *segment, uint8_t *p)
{
	if ((head & CU_HEAD_ACK_ALL) == CU_HEAD_LEN) {
		p += cu_put_varint(p, segment->len);
		dir->len = segment->len;
	}
	if (head & CU_HEAD_ACK) {
		p += cu_put_varint(p, cu_zigzag(diff32(segment->ack, other->next_seq)));
	}
	dir->ack = segment->ack;
	if (head & CU_HEAD_WINDOW) {
		p += cu_put_varint(p, cu_zigzag(segment->window - dir->window));
		dir->window = segment->window;
	}
	if (head & CU_HEAD_TIMESTAMPS) {
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
	if (more & CU_MORE_FLAGS) {
		p += cu_put_varint(p, segment->flags);
	}
	if (more & CU_MORE_IP_ID) {
		cu_put_le16(p, segment->ip_id);
		p += 2;
	}
	if (more & CU_MORE_TTL) {
		*p++ = segment->ttl;
		dir->ttl = segment->ttl;
	}
	if (more & CU_MORE_SACK) {
		*p++ = segment->n_sack;
		for (int i = 0; i < segment->n_sack; i++) {
			p += cu_put_varint(p, cu_zigzag(diff32(segment->sack[i][0], segment->ack)));
			p += cu_put_varint(p, cu_zigzag(diff32(segment->sack[i][1], segment->sack[i][0])));
		}
	}
	if (more & CU_MORE_HINT) {
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
	more |= segment->seq != dir->next_seq ? CU_MORE_SEQ : 0;
	more |= (segment->flags & ~CU_TCP_PSH) != CU_TCP_ACK ? CU_MORE_FLAGS : 0;
	more |= segment->ip_id != dir->next_id ? CU_MORE_IP_ID : 0;
	more |= segment->ttl != dir->ttl ? CU_MORE_TTL : 0;
	more |= segment->n_sack != 0 ? CU_MORE_SACK : 0;
	more |= segment->hint.kind != CU_HINT_NONE ? CU_MORE_HINT : 0;
	more |= segment->file != state->file ? CU_MORE_FILE : 0;
	more |= segment->icmp ? CU_MORE_ICMP : 0;
	return more;
}

/* The first byte but for CU_HEAD_MORE. */
static inline unsigned head_of(const struct cu_timeline_dir *dir, const struct cu_timeline_dir *other,
                               const struct cu_segment *segment)
{
	_Static_assert((int)CU_HEAD_PSH == (int)CU_TCP_PSH, "the flag is the bit");
	unsigned head = segment->dir | (segment->flags & CU_TCP_PSH);
	unsigned ack = segment->ack != dir->ack ? CU_HEAD_ACK : 0;
	if (segment->len != 0) {
		head |= segment->len == dir->len ? CU_HEAD_LEN_SAME : CU_HEAD_LEN;
	} else if (ack != 0 && segment->ack == other->next_seq && !segment->icmp) {
		head |= CU_HEAD_ACK_ALL;
		ack = 0;
	}
	head |= ack;
	head |= segment->window != dir->window ? CU_HEAD_WINDOW : 0;
	head |= segment->has_timestamps ? CU_HEAD_TIMESTAMPS : 0;
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
	*p++ = (uint8_t)(head | CU_HEAD_MORE);
	*p++ = (uint8_t)more;
	p += put_time(p, ns);
	if (more & CU_MORE_FILE) {
		p += cu_put_varint(p, segment->file);
		state->file = segment->file;
		frames = cu_zigzag((int64_t)frames);
	}
	p += cu_put_varint(p, frames);
	if (more & CU_MORE_SEQ) {
		p += cu_put_varint(p, cu_zigzag(diff32(segment->seq, dir->next_seq)));
	}
	if (more & CU_MORE_ICMP) {
		settle_usual(state);
		return (size_t)(put_icmp(segment, p) - start);
	}
	p = put_usual(dir, other, head, segment, p);
	p = put_more(dir, more, segment, p);
	if (more & (CU_MORE_TTL | CU_MORE_FILE)) {
		settle_usual(state);
	}
	unsigned flags = segment->flags;
	dir->next_id = cu_id_after(segment->ip_id);
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
	dir->next_id = cu_id_after(segment->ip_id);
	dir->next_seq = segment->seq + segment->len;
	return (size_t)(p - start);
}

/* ---- Reading ---- */

enum {
	ICMP_FIXED = 2 + 1 + 16, /* type and code, family, reporter */
	ALWAYS_CAP = 2 + 4 * CU_VARINT_CAP,
	USUAL_CAP = 5 * CU_VARINT_CAP,
	MORE_CAP = CU_VARINT_CAP + 2 + 1 + 1 + CU_SACK_CAP * 2 * CU_VARINT_CAP + 2 + CU_HINT_TEXT_CAP,
};
_Static_assert(ALWAYS_CAP + USUAL_CAP + MORE_CAP <= CU_TIMELINE_READ_CAP, "a segment fits, however damaged");
_Static_assert(ICMP_FIXED + CU_VARINT_CAP <= USUAL_CAP + MORE_CAP, "an ICMP error fits");

struct cu_timeline_bytes cu_timeline_get_icmp(struct cu_timeline_bytes from, struct cu_segment *segment)
{
	struct cu_timeline_bytes *in = &from;
	segment->icmp = true;
	segment->has_timestamps = false;
	segment->flags = segment->window = segment->ip_id = 0;
	segment->ack = segment->len = segment->tsval = segment->tsecr = 0;
	segment->ttl = 0;
	segment->icmp_type = *in->pos++;
	segment->icmp_code = *in->pos++;
	segment->icmp_mtu = (uint32_t)cu_timeline_get_below(in, UINT32_MAX);
	uint8_t family = *in->pos++;
	segment->icmp_reporter.family = family;
	memcpy(segment->icmp_reporter.bytes, in->pos, sizeof(segment->icmp_reporter.bytes));
	in->pos += sizeof(segment->icmp_reporter.bytes);
	in->failed |= family != 0 && family != 4 && family != 6;
	return from;
}

static void get_sack(struct cu_timeline_bytes *in, struct cu_segment *segment)
{
	unsigned n = *in->pos++;
	in->failed |= n > CU_SACK_CAP;
	segment->n_sack = n <= CU_SACK_CAP ? (uint8_t)n : 0;
	for (unsigned i = 0; i < segment->n_sack; i++) {
		segment->sack[i][0] = segment->ack + (uint32_t)cu_timeline_get_signed(in);
		segment->sack[i][1] = segment->sack[i][0] + (uint32_t)cu_timeline_get_signed(in);
	}
}

static void get_hint(struct cu_timeline_bytes *in, struct cu_segment *segment)
{
	segment->hint.kind = *in->pos++;
	unsigned len = *in->pos++;
	in->failed |= len > CU_HINT_TEXT_CAP;
	segment->hint.text_len = len <= CU_HINT_TEXT_CAP ? (uint8_t)len : 0;
	memcpy(segment->hint.text, in->pos, segment->hint.text_len);
	in->pos += segment->hint.text_len;
}

struct cu_timeline_bytes cu_timeline_get_more(struct cu_timeline_bytes from, unsigned more, struct cu_segment *segment)
{
	struct cu_timeline_bytes *in = &from;
	if (more & CU_MORE_FLAGS) {
		segment->flags = (uint16_t)cu_timeline_get_below(in, 0xfff);
	}
	if (more & CU_MORE_IP_ID) {
		segment->ip_id = cu_get_le16(in->pos);
		in->pos += 2;
	}
	if (more & CU_MORE_TTL) {
		segment->ttl = *in->pos++;
	}
	if (more & CU_MORE_SACK) {
		get_sack(in, segment);
	}
	if (more & CU_MORE_HINT) {
		get_hint(in, segment);
	}
	return from;
}

void cu_timeline_open(struct cu_timeline_reader *reader, const struct cu_timeline_start *start,
                      const struct cu_cursor *segments)
{
	reader->state = (struct cu_timeline_state){.start = *start};
	reader->pos = segments->pos;
	reader->end = segments->end;
	reader->failed = segments->failed;
	reader->is_tail = false;
}

void cu_timeline_enter_tail(struct cu_timeline_reader *reader)
{
	size_t left = (size_t)(reader->end - reader->pos);
	if (left > 0) { /* of none at all pos may be NULL */
		memcpy(reader->tail, reader->pos, left);
	}
	memset(reader->tail + left, 0, CU_TIMELINE_READ_CAP);
	reader->pos = reader->tail;
	reader->end = reader->tail + left;
	reader->is_tail = true;
}

int cu_timeline_next(struct cu_timeline_reader *restrict reader, struct cu_segment *restrict segment)
{
	return cu_timeline_next_inline(reader, segment);
}
