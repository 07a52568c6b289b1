#include "lib/base/utf8.h"

size_t cu_utf8_decode(const char *data, size_t len, uint32_t *code)
{
	const uint8_t *p = (const uint8_t *)data;
	if (len == 0) {
		return 0;
	}
	if (p[0] < 0x80) {
		*code = p[0];
		return 1;
	}
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	if (p[0] < 0xc2 || p[0] > 0xf4 || len < n) {
		return 0;
	}
	uint32_t c = p[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			return 0;
		}
		c = c << 6 | (p[i] & 0x3fU);
	}
	if (c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
		return 0;
	}
	*code = c;
	return n;
}

bool cu_unprintable(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} bad[] = {
		{0x00, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},     {0x0300, 0x036f}, {0x0483, 0x0489},
		{0x0591, 0x05bd},    {0x0600, 0x0605}, {0x061c, 0x061c}, {0x070f, 0x070f}, {0x115f, 0x1160},
		{0x180b, 0x180f},    {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x2028, 0x202e},
		{0x2060, 0x206f},    {0x20d0, 0x20ff}, {0x3164, 0x3164}, {0xe000, 0xf8ff}, {0xfe00, 0xfe0f},
		{0xfe20, 0xfe2f},    {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1d173, 0x1d17a},
		{0xe0000, 0x10ffff},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (code >= bad[i].first && code <= bad[i].last) {
			return true;
		}
	}
	return false;
}

size_t cu_utf8_printable(const char *data, size_t len)
{
	uint32_t code = 0;
	size_t n = cu_utf8_decode(data, len, &code);
	return n > 0 && !cu_unprintable(code) ? n : 0;
}
