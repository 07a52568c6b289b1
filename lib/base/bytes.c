#include "lib/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cu_varint cu_varint_read(const uint8_t *pos, const uint8_t *end)
{
	const uint64_t high_bits = UINT64_C(0x8080808080808080);
	if (end - pos >= 2 && pos[1] < 0x80 && pos[0] >= 0x80) {
		return (struct cu_varint){.v = (uint64_t)pos[1] << 7 | (pos[0] & 0x7fU), .next = pos + 2};
	}
	if (end - pos >= 8) {
		uint64_t word = cu_get_le64(pos);
		uint64_t last = ~word & high_bits;
		if (last != 0) {
			/* All at once: the length of the next one is hard to foresee. */
			size_t n = (size_t)(__builtin_ctzll(last) + 1) / 8;
			word &= (last ^ (last - 1)) & ~high_bits;
			word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
			word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
			word = (word & UINT64_C(0x000000000fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
			return (struct cu_varint){.v = word, .next = pos + n};
		}
	}
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && pos < end; shift += 7) {
		uint8_t b = *pos++;
		if (shift == 63 && b > 1) {
			break;
		}
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			return (struct cu_varint){.v = v, .next = pos};
		}
	}
	return (struct cu_varint){.v = 0, .next = NULL};
}

void cu_buf_release(struct cu_buf *buf)
{
	free(buf->data);
	*buf = (struct cu_buf){0};
}

bool cu_buf_grow(struct cu_buf *buf, size_t more)
{
	size_t cap = buf->cap < 128 ? 128 : buf->cap;
	while (cap - buf->len < more) {
		if (cap > SIZE_MAX / 2) {
			buf->failed = true;
			return false;
		}
		cap *= 2;
	}
	uint8_t *bigger = realloc(buf->data, cap);
	if (bigger == NULL) {
		buf->failed = true;
		return false;
	}
	buf->data = bigger;
	buf->cap = cap;
	return true;
}

void cu_buf_add(struct cu_buf *buf, const void *data, size_t len)
{
	if (len > 0 && cu_buf_reserve(buf, len)) {
		memcpy(buf->data + buf->len, data, len);
		buf->len += len;
	}
}

void cu_buf_add_u8(struct cu_buf *buf, uint8_t v)
{
	if (cu_buf_reserve(buf, 1)) {
		buf->data[buf->len++] = v;
	}
}

void cu_buf_add_varint(struct cu_buf *buf, uint64_t v)
{
	if (cu_buf_reserve(buf, CU_VARINT_CAP)) {
		buf->len += cu_put_varint(buf->data + buf->len, v);
	}
}

void cu_buf_add_cstr(struct cu_buf *buf, const char *text)
{
	cu_buf_add(buf, text, strlen(text));
}

void cu_buf_add_u64(struct cu_buf *buf, uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	char digits[20];
	size_t at = sizeof(digits);
	while (v >= 100) {
		at -= 2;
		memcpy(digits + at, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		at -= 2;
		memcpy(digits + at, pairs + v * 2, 2);
	} else {
		digits[--at] = (char)('0' + v);
	}
	cu_buf_add(buf, digits + at, sizeof(digits) - at);
}

void cu_buf_add_i64(struct cu_buf *buf, int64_t v)
{
	if (v < 0) {
		cu_buf_add_u8(buf, '-');
	}
	cu_buf_add_u64(buf, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void cu_buf_printf(struct cu_buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int need = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (need < 0 || !cu_buf_reserve(buf, (size_t)need + 1)) {
		buf->failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf((char *)buf->data + buf->len, (size_t)need + 1, format, args);
	va_end(args);
	buf->len += (size_t)need;
}

const char *cu_buf_cstr(struct cu_buf *buf)
{
	if (!cu_buf_reserve(buf, 1) || buf->failed) {
		return "";
	}
	buf->data[buf->len] = '\0';
	return (const char *)buf->data;
}
