#include "lib/record/columns.h"

#include "lib/base/error.h"
#include "lib/record/record.h"
#include "lib/record/timeline_read.h"

#include <stdlib.h>
#include <string.h>

/* Those of records, and then in the order in which a segment's fields come. */
enum column {
	RECORD,   /* kind and length of each record */
	LEAD_LEN, /* of each chunk and connection: its bytes before its segments, all if it has none */
	LEAD,     /* those bytes */
	OTHER,    /* other records */
	HEAD,
	MORE,
	TIME,
	FRAME, /* and file */
	SEQ,
	ICMP,
	LEN,
	ACK,
	WINDOW,
	TSVAL,
	TSECR,
	FLAGS,
	IP_ID,
	TTL,
	SACK, /* how many, and left edges */
	SACK_RIGHT,
	HINT,
	N_COLUMNS,
};
_Static_assert((int)N_COLUMNS == (int)CU_COLUMNS, "as many as the page says");

/* What is moved at once may be looked at whole, and is written whole, wherever it ends; likewise a segment. */
enum { SLACK = CU_TIMELINE_READ_CAP + 16 };

/*
 * Bytes are moved either way by the same walk through the records, which tells
 * the column of each: from the raw bytes, or to them.
 */
enum way { SPLIT, JOIN };

struct walk {
	uint8_t *raw, *raw_end;
	uint8_t *at[CU_COLUMNS];
	const uint8_t *end[CU_COLUMNS]; /* of those that are joined */
	bool failed;
};

#define INLINE static inline __attribute__((always_inline))

INLINE void go_on(struct walk *walk, enum column column, size_t n, enum way way)
{
	walk->raw += n;
	walk->at[column] += n;
	if (way == JOIN) {
		walk->failed |= walk->at[column] > walk->end[column];
	}
}

/* Moves so many bytes, no more than SLACK unless they are known to be there; where they were. */
INLINE const uint8_t *move(struct walk *walk, enum column column, size_t n, enum way way)
{
	const uint8_t *from = way == SPLIT ? walk->raw : walk->at[column];
	memcpy(way == SPLIT ? walk->at[column] : walk->raw, from, n);
	go_on(walk, column, n, way);
	return from;
}

/* The same of any number; nothing when there are not so many. */
INLINE void move_many(struct walk *walk, enum column column, size_t n, enum way way)
{
	bool there = n <= (size_t)(walk->raw_end - walk->raw) &&
	             (way == SPLIT || n <= (size_t)(walk->end[column] - walk->at[column]));
	walk->failed |= !there;
	if (there) {
		move(walk, column, n, way);
	}
}

INLINE unsigned move_byte(struct walk *walk, enum column column, enum way way)
{
	return *move(walk, column, 1, way);
}

/* Moves a varint; where it was. */
INLINE const uint8_t *move_varint(struct walk *walk, enum column column, enum way way)
{
	const uint8_t *from = way == SPLIT ? walk->raw : walk->at[column];
	uint8_t *to = way == SPLIT ? walk->at[column] : walk->raw;
	uint64_t word = cu_get_le64(from);
	uint64_t last = ~word & UINT64_C(0x8080808080808080); /* the bit that the last byte has not */
	size_t n = (size_t)__builtin_ctzll(last | UINT64_C(1) << 63) / 8 + 1;
	cu_put_le64(to, word);
	if (__builtin_expect(last == 0, 0)) {
		n = from[8] < 0x80 ? 9 : CU_VARINT_CAP;
		walk->failed |= from[n - 1] >= 0x80;
		memcpy(to, from, CU_VARINT_CAP);
	}
	go_on(walk, column, n, way);
	return from;
}

INLINE uint64_t move_number(struct walk *walk, enum column column, enum way way)
{
	const uint8_t *from = move_varint(walk, column, way);
	return cu_get_varint(&from, &walk->failed);
}

INLINE void move_more(struct walk *walk, unsigned more, enum way way)
{
	if (more & CU_MORE_FLAGS) {
		move_varint(walk, FLAGS, way);
	}
	if (more & CU_MORE_IP_ID) {
		move(walk, IP_ID, 2, way);
	}
	if (more & CU_MORE_TTL) {
		move_byte(walk, TTL, way);
	}
	if (more & CU_MORE_SACK) {
		unsigned n = move_byte(walk, SACK, way);
		walk->failed |= n > CU_SACK_CAP;
		for (unsigned i = 0; i < n && !walk->failed; i++) {
			move_varint(walk, SACK, way);
			move_varint(walk, SACK_RIGHT, way);
		}
	}
	if (more & CU_MORE_HINT) {
		unsigned len = move(walk, HINT, 2, way)[1];
		walk->failed |= len > CU_HINT_TEXT_CAP;
		move(walk, HINT, len <= CU_HINT_TEXT_CAP ? len : 0, way);
	}
}

INLINE void move_segment(struct walk *walk, enum way way)
{
	unsigned head = move_byte(walk, HEAD, way);
	unsigned more = head & CU_HEAD_MORE ? move_byte(walk, MORE, way) : 0;
	move_varint(walk, TIME, way);
	if (more & CU_MORE_FILE) {
		move_varint(walk, FRAME, way);
	}
	move_varint(walk, FRAME, way);
	if (more & CU_MORE_SEQ) {
		move_varint(walk, SEQ, way);
	}
	if (more & CU_MORE_ICMP) {
		move(walk, ICMP, 2, way);
		move_varint(walk, ICMP, way);
		move(walk, ICMP, 1 + 16, way);
		return;
	}
	if ((head & CU_HEAD_ACK_ALL) == CU_HEAD_LEN) {
		move_varint(walk, LEN, way);
	}
	if (head & CU_HEAD_ACK) {
		move_varint(walk, ACK, way);
	}
	if (head & CU_HEAD_WINDOW) {
		move_varint(walk, WINDOW, way);
	}
	if (head & CU_HEAD_TIMESTAMPS && move_varint(walk, TSVAL, way)[0] & 1) {
		move_varint(walk, TSECR, way);
	}
	if (more != 0) {
		move_more(walk, more, way);
	}
}

/* How many bytes of a record come before its segments. */
static size_t lead_of(uint64_t kind, const uint8_t *data, size_t len)
{
	struct cu_connection connection;
	struct cu_chunk chunk;
	if (kind == CU_RECORD_CHUNK) {
		return cu_chunk_open(data, len, &chunk) == 0 ? len - cu_cursor_left(&chunk.segments) : len;
	}
	bool has_them = cu_connection_decode(data, len, &connection) == 0 && connection.timeline.len > 0;
	size_t behind = has_them ? len - (size_t)((const uint8_t *)connection.timeline.data - data) : 0;
	return behind == connection.timeline.len ? len - behind : len;
}

INLINE void move_timeline(struct walk *walk, uint64_t kind, size_t len, enum way way)
{
	const uint8_t *end = walk->raw + len;
	uint8_t **lead_len = &walk->at[LEAD_LEN]; /* the only column that is of no raw bytes */
	uint64_t lead;
	if (way == SPLIT) {
		lead = lead_of(kind, walk->raw, len);
		*lead_len += cu_put_varint(*lead_len, lead);
	} else {
		const uint8_t *from = *lead_len;
		lead = cu_get_varint(&from, &walk->failed);
		*lead_len += from - *lead_len;
		walk->failed |= from > walk->end[LEAD_LEN] || lead > len;
	}
	move_many(walk, LEAD, walk->failed ? 0 : (size_t)lead, way);
	while (walk->raw < end && !walk->failed) {
		move_segment(walk, way);
	}
	walk->failed |= walk->raw != end;
}

INLINE void move_records(struct walk *walk, enum way way)
{
	while (walk->raw < walk->raw_end && !walk->failed) {
		uint64_t kind = move_number(walk, RECORD, way);
		uint64_t len = move_number(walk, RECORD, way);
		if (walk->failed || walk->raw > walk->raw_end || len > (size_t)(walk->raw_end - walk->raw)) {
			walk->failed = true;
		} else if (kind == CU_RECORD_CHUNK || kind == CU_RECORD_CONNECTION) {
			move_timeline(walk, kind, (size_t)len, way);
		} else {
			move_many(walk, OTHER, (size_t)len, way);
		}
	}
}

void cu_columns_release(struct cu_columns *columns)
{
	free(columns->storage);
	*columns = (struct cu_columns){0};
}

/* What is read behind the end is nothing. */
static bool reserve_slack(struct cu_buf *buf)
{
	if (!cu_buf_reserve(buf, SLACK)) {
		return false;
	}
	memset(buf->data + buf->len, 0, SLACK);
	return true;
}

int cu_columns_split(struct cu_columns *columns, struct cu_buf *raw)
{
	const size_t room = raw->len + SLACK; /* each may hold nearly all */
	if (!reserve_slack(raw)) {
		return CU_ERR_NOMEM;
	}
	if (columns->cap < CU_COLUMNS * room) {
		cu_columns_release(columns);
		columns->storage = malloc(CU_COLUMNS * room);
		if (columns->storage == NULL) {
			return CU_ERR_NOMEM;
		}
		columns->cap = CU_COLUMNS * room;
	}
	struct walk walk = {.raw = raw->data, .raw_end = raw->data + raw->len};
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		walk.at[i] = columns->storage + i * room;
		columns->column[i].data = walk.at[i];
	}
	move_records(&walk, SPLIT);
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		columns->column[i].len = (size_t)(walk.at[i] - columns->column[i].data);
	}
	return walk.failed ? CU_ERR_FORMAT : 0;
}

size_t cu_columns_put_lengths(const struct cu_columns *columns, uint8_t p[static CU_COLUMNS_LENGTHS_CAP])
{
	size_t n = 0;
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		n += cu_put_varint(p + n, columns->column[i].len);
	}
	return n;
}

size_t cu_columns_cap(size_t raw_len)
{
	/* A record has two bytes or more, and one of a length of its own for every 127 more. */
	return raw_len + raw_len / 2 + CU_COLUMNS_LENGTHS_CAP;
}

int cu_columns_join(struct cu_buf *stored, struct cu_buf *raw, size_t raw_len)
{
	cu_buf_clear(raw);
	if (!reserve_slack(stored) || !cu_buf_reserve(raw, raw_len + SLACK)) {
		return CU_ERR_NOMEM;
	}
	struct walk walk = {.raw = raw->data, .raw_end = raw->data + raw_len};
	struct cu_cursor cur = cu_cursor_make(stored->data, stored->len);
	uint64_t len[CU_COLUMNS];
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		len[i] = cu_cursor_varint(&cur);
	}
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		bool is_there = len[i] <= cu_cursor_left(&cur);
		walk.failed |= !is_there;
		walk.at[i] = stored->data + (cur.pos - stored->data);
		cu_cursor_bytes(&cur, is_there ? (size_t)len[i] : 0);
		walk.end[i] = cur.pos;
	}
	walk.failed |= cur.failed || cu_cursor_left(&cur) > 0;
	move_records(&walk, JOIN);
	for (unsigned i = 0; i < CU_COLUMNS; i++) {
		walk.failed |= walk.at[i] != walk.end[i];
	}
	raw->len = raw_len;
	return walk.failed ? CU_ERR_FORMAT : 0;
}

#undef INLINE
