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

struct range {
	uint32_t first, last;
};

static bool in_ranges(const struct range *ranges, size_t n, uint32_t code)
{
	for (size_t i = 0; i < n; i++) {
		if (code >= ranges[i].first && code <= ranges[i].last) {
			return true;
		}
	}
	return false;
}

bool cu_unprintable(uint32_t code)
{
	static const struct range bad[] = {
		{0x00, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},     {0x0300, 0x036f}, {0x0483, 0x0489},
		{0x0591, 0x05bd},    {0x0600, 0x0605}, {0x061c, 0x061c}, {0x070f, 0x070f}, {0x115f, 0x1160},
		{0x180b, 0x180f},    {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x2028, 0x202e},
		{0x2060, 0x206f},    {0x20d0, 0x20ff}, {0x3164, 0x3164}, {0xe000, 0xf8ff}, {0xfe00, 0xfe0f},
		{0xfe20, 0xfe2f},    {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1d173, 0x1d17a},
		{0xe0000, 0x10ffff},
	};
	return in_ranges(bad, sizeof(bad) / sizeof(bad[0]), code);
}

unsigned cu_utf8_columns(uint32_t code)
{
	static const struct range wide[] = {
		{0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x2614, 0x2615},   {0x2648, 0x2653},
		{0x26a1, 0x26a1},   {0x2705, 0x2705},   {0x2753, 0x2757},   {0x2e80, 0x303e},   {0x3041, 0x33ff},
		{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xa960, 0xa97c},   {0xac00, 0xd7a3},
		{0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18aff},
		{0x1b000, 0x1b2ff}, {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f19a}, {0x1f200, 0x1f64f},
		{0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
	};
	return code >= wide[0].first && in_ranges(wide, sizeof(wide) / sizeof(wide[0]), code) ? 2 : 1;
}

size_t cu_utf8_printable(const char *data, size_t len)
{
	uint32_t code = 0;
	size_t n = cu_utf8_decode(data, len, &code);
	return n > 0 && !cu_unprintable(code) ? n : 0;
}
