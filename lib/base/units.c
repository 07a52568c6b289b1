#include "lib/base/units.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * The one parser of decimal numbers: digits and at most nine decimals, scaled
 * by unit. Leaves *rest behind the number; false on no digits or overflow.
 */
struct decimal {
	uint64_t whole;
	uint64_t fraction; /* in units of 1e-9 */
};

static bool parse_decimal(const char *text, struct decimal *number, const char **rest)
{
	const char *p = text;
	*number = (struct decimal){0};
	if (*p < '0' || *p > '9') {
		return false;
	}
	for (; *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');
		if (number->whole > (UINT64_MAX - digit) / 10) {
			return false;
		}
		number->whole = number->whole * 10 + digit;
	}
	if (*p == '.') {
		uint64_t place = UINT64_C(100000000);
		if (*++p < '0' || *p > '9') {
			return false;
		}
		for (; *p >= '0' && *p <= '9'; p++) {
			number->fraction += place * (unsigned)(*p - '0');
			place /= 10;
		}
	}
	*rest = p;
	return true;
}

/* number * scale, when that fits in max. */
static bool scale(struct decimal number, uint64_t factor, uint64_t max, uint64_t *value)
{
	unsigned __int128 v = (unsigned __int128)number.whole * factor;
	v += (unsigned __int128)number.fraction * factor / 1000000000;
	if (v > max) {
		return false;
	}
	*value = (uint64_t)v;
	return true;
}

bool cu_parse_duration(const char *text, int64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ns", 1},
		{"us", 1000},
		{"ms", 1000000},
		{"s", UINT64_C(1000000000)},
		{"m", UINT64_C(60000000000)},
		{"h", UINT64_C(3600000000000)},
		{"d", UINT64_C(86400000000000)},
	};
	struct decimal number;
	const char *rest;
	if (!parse_decimal(text, &number, &rest)) {
		return false;
	}
	if (*rest == '\0' && number.whole == 0 && number.fraction == 0) {
		*ns = 0;
		return true;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t value;
		if (strcmp(rest, units[i].name) == 0 && scale(number, units[i].ns, INT64_MAX, &value)) {
			*ns = (int64_t)value;
			return true;
		}
	}
	return false;
}

bool cu_parse_size(const char *text, uint64_t *bytes)
{
	static const char letters[] = "KMGT";
	struct decimal number;
	const char *rest;
	uint64_t factor = 1;
	if (!parse_decimal(text, &number, &rest)) {
		return false;
	}
	const char *letter = *rest != '\0' ? strchr(letters, *rest) : NULL;
	if (letter != NULL) {
		factor = UINT64_C(1) << (10 * (letter - letters + 1));
		rest++;
	} else if (*rest == 'B') {
		rest++;
	}
	return *rest == '\0' && scale(number, factor, UINT64_MAX, bytes);
}

bool cu_parse_u64(const char *text, uint64_t max, uint64_t *value)
{
	struct decimal number;
	const char *rest;
	if (!parse_decimal(text, &number, &rest) || *rest != '\0' || strchr(text, '.') != NULL || number.whole > max) {
		return false;
	}
	*value = number.whole;
	return true;
}

const char *cu_format_time(char text[static CU_TEXT_CAP], int64_t time_ns)
{
	int64_t seconds = time_ns / CU_NS_PER_S;
	int64_t ns = time_ns % CU_NS_PER_S;
	if (ns < 0) {
		ns += CU_NS_PER_S;
		seconds--;
	}
	struct tm tm;
	time_t t = (time_t)seconds;
	if (gmtime_r(&t, &tm) == NULL) {
		memset(&tm, 0, sizeof(tm));
	}
	size_t len = strftime(text, CU_TEXT_CAP, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, CU_TEXT_CAP - len, ".%09lldZ", (long long)ns);
	return text;
}

/* Three significant digits of value / unit, in text. */
static void three_digits(char *text, size_t cap, double value, const char *unit)
{
	int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
	snprintf(text, cap, "%.*f %s", decimals, value, unit);
}

const char *cu_format_duration(char text[static CU_TEXT_CAP], int64_t ns)
{
	const char *sign = ns < 0 ? "-" : "";
	double v = ns < 0 ? -(double)ns : (double)ns;
	size_t len = (size_t)snprintf(text, CU_TEXT_CAP, "%s", sign);
	char *at = text + len;
	size_t cap = CU_TEXT_CAP - len;
	if (ns == 0) {
		snprintf(at, cap, "0 s");
	} else if (v < 1000) {
		snprintf(at, cap, "%.0f ns", v);
	} else if (v < 999.5e3) {
		three_digits(at, cap, v / 1e3, "us");
	} else if (v < 999.5e6) {
		three_digits(at, cap, v / 1e6, "ms");
	} else if (v < 999.5e9) {
		three_digits(at, cap, v / 1e9, "s");
	} else if (v < 359964e9) {
		three_digits(at, cap, v / 60e9, "min");
	} else {
		three_digits(at, cap, v / 3600e9, "h");
	}
	return text;
}

const char *cu_format_size(char text[static CU_TEXT_CAP], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t unit = 0;
	while (v >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		unit++;
	}
	if (unit == 0) {
		snprintf(text, CU_TEXT_CAP, "%llu B", (unsigned long long)bytes);
	} else {
		three_digits(text, CU_TEXT_CAP, v, units[unit]);
	}
	return text;
}

bool cu_addr_equal(const struct cu_addr *a, const struct cu_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static char *put_octet(char *p, unsigned octet)
{
	if (octet >= 100) {
		*p++ = (char)('0' + octet / 100);
	}
	if (octet >= 10) {
		*p++ = (char)('0' + octet / 10 % 10);
	}
	*p++ = (char)('0' + octet % 10);
	return p;
}

/* inet_ntop(3) goes through printf, and each verdict shows a few addresses. */
static void format_ipv4(char *p, const uint8_t octet[static 4])
{
	for (int i = 0; i < 4; i++) {
		p = put_octet(p, octet[i]);
		*p++ = i < 3 ? '.' : '\0';
	}
}

const char *cu_format_addr(char text[static CU_TEXT_CAP], const struct cu_addr *addr)
{
	if (addr->family == 4) {
		format_ipv4(text, addr->bytes);
		return text;
	}
	if (addr->family != 6 || inet_ntop(AF_INET6, addr->bytes, text, CU_TEXT_CAP) == NULL) {
		snprintf(text, CU_TEXT_CAP, "-");
	}
	return text;
}

bool cu_parse_addr(const char *text, struct cu_addr *addr)
{
	*addr = (struct cu_addr){0};
	if (inet_pton(AF_INET, text, addr->bytes) == 1) {
		addr->family = 4;
		return true;
	}
	if (inet_pton(AF_INET6, text, addr->bytes) == 1) {
		addr->family = 6;
		return true;
	}
	return false;
}
