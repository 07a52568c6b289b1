/*
 * Bytes in and out: byte-wise wire order, a bounded cursor to read from
 * memory, a growable buffer to write to.
 *
 * Nothing here trusts alignment or the host's byte order; compilers turn the
 * loads and stores into single instructions where that is possible.
 */
#ifndef CU_BASE_BYTES_H
#define CU_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t cu_get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t cu_get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t cu_get_be64(const uint8_t *p)
{
	return (uint64_t)cu_get_be32(p) << 32 | cu_get_be32(p + 4);
}

static inline uint16_t cu_get_le16(const uint8_t *p)
{
	return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t cu_get_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t cu_get_le64(const uint8_t *p)
{
	return (uint64_t)cu_get_le32(p + 4) << 32 | cu_get_le32(p);
}

static inline void cu_put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void cu_put_le32(uint8_t *p, uint32_t v)
{
	cu_put_le16(p, (uint16_t)v);
	cu_put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void cu_put_le64(uint8_t *p, uint64_t v)
{
	cu_put_le32(p, (uint32_t)v);
	cu_put_le32(p + 4, (uint32_t)(v >> 32));
}

/* Signed numbers as unsigned ones that stay small near zero: 0 -1 1 -2 2 are 0 1 2 3 4. */
static inline uint64_t cu_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t cu_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* A varint is little-endian base 128 (LEB128): at most this many bytes for 64 bits. */
enum { CU_VARINT_CAP = 10 };

/* Writes v at p, which has room for CU_VARINT_CAP bytes; returns how many were written. The usual lengths come first. */
static inline size_t cu_put_varint(uint8_t *p, uint64_t v)
{
	if (v < 0x80) {
		p[0] = (uint8_t)v;
		return 1;
	}
	if (v < 0x4000) {
		cu_put_le16(p, (uint16_t)((v & 0x7f) | 0x80 | (v & 0x3f80) << 1));
		return 2;
	}
	size_t n = 0;
	while (v >= 0x80) {
		p[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (uint8_t)v;
	return n;
}

/*
 * Reads from borrowed memory. A get beyond the end, or a varint that is too
 * long, sets failed and returns 0 (or NULL), and so does every get after it:
 * a decoder checks failed once, at its end.
 */
struct cu_cursor {
	const uint8_t *pos;
	const uint8_t *end;
	bool failed;
};

static inline struct cu_cursor cu_cursor_make(const void *data, size_t len)
{
	struct cu_cursor cur = {.pos = data, .end = data, .failed = false};
	if (len > 0) { /* NULL may be empty */
		cur.end += len;
	}
	return cur;
}

static inline size_t cu_cursor_left(const struct cu_cursor *cur)
{
	return (size_t)(cur->end - cur->pos);
}

/* The next len bytes, borrowed, or NULL. */
static inline const uint8_t *cu_cursor_bytes(struct cu_cursor *cur, size_t len)
{
	if (cur->failed || cu_cursor_left(cur) < len) {
		cur->failed = true;
		cur->pos = cur->end; /* so that every get fails from now on */
		return NULL;
	}
	const uint8_t *p = cur->pos;
	cur->pos += len;
	return p;
}

static inline uint8_t cu_cursor_u8(struct cu_cursor *cur)
{
	const uint8_t *p = cu_cursor_bytes(cur, 1);
	return p ? *p : 0;
}

/* Reads a varint of two bytes or more, or fails; by value, so that a caller's cursor can stay in registers. */
struct cu_varint {
	uint64_t v;
	const uint8_t *next; /* NULL: failed */
};
struct cu_varint cu_varint_read(const uint8_t *pos, const uint8_t *end);

/*
 * Reads a varint that lies whole before p + CU_VARINT_CAP, or is too long, which
 * makes failed true and *p what it was. The usual lengths are read here.
 */
static inline uint64_t cu_get_varint(const uint8_t **p, bool *failed)
{
	const uint8_t *at = *p;
	if (__builtin_expect(at[0] < 0x80, 1)) {
		*p = at + 1;
		return at[0];
	}
	if (at[1] < 0x80) {
		*p = at + 2;
		return (at[0] & 0x7fU) | (uint64_t)at[1] << 7;
	}
	if (at[2] < 0x80) {
		*p = at + 3;
		return (at[0] & 0x7fU) | (at[1] & 0x7fU) << 7 | (uint64_t)at[2] << 14;
	}
	struct cu_varint got = cu_varint_read(at, at + CU_VARINT_CAP);
	*failed |= got.next == NULL;
	*p = got.next != NULL ? got.next : at;
	return got.v;
}

static inline uint64_t cu_cursor_varint(struct cu_cursor *cur)
{
	if (cur->pos < cur->end && *cur->pos < 0x80) {
		return *cur->pos++;
	}
	struct cu_varint got = cu_varint_read(cur->pos, cur->end);
	cur->failed |= got.next == NULL;
	cur->pos = got.next != NULL ? got.next : cur->end;
	return got.v;
}

static inline int64_t cu_cursor_zigzag(struct cu_cursor *cur)
{
	return cu_unzigzag(cu_cursor_varint(cur));
}

/*
 * A growable buffer. init or {0} makes an empty one; release frees it. An add
 * that cannot grow sets failed and drops its bytes; a writer checks failed once.
 */
struct cu_buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
};

void cu_buf_release(struct cu_buf *buf);

/* Forgets the content and the failure, keeps the storage. */
static inline void cu_buf_clear(struct cu_buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

bool cu_buf_grow(struct cu_buf *buf, size_t more);

/* Makes room for at least more bytes behind len; false and failed when that cannot be. */
static inline bool cu_buf_reserve(struct cu_buf *buf, size_t more)
{
	return buf->cap - buf->len >= more || cu_buf_grow(buf, more);
}

void cu_buf_add(struct cu_buf *buf, const void *data, size_t len);
void cu_buf_add_u8(struct cu_buf *buf, uint8_t v);
void cu_buf_add_varint(struct cu_buf *buf, uint64_t v);

/* Text into the same buffer; add_cstr adds no terminating zero. */
void cu_buf_add_cstr(struct cu_buf *buf, const char *text);
void cu_buf_add_u64(struct cu_buf *buf, uint64_t v); /* decimal, without snprintf */
void cu_buf_add_i64(struct cu_buf *buf, int64_t v);
void cu_buf_printf(struct cu_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ends the text with a zero byte that len does not count and returns it; "" when failed. */
const char *cu_buf_cstr(struct cu_buf *buf);

#endif
