#include "lib/report/json_write.h"

#include "lib/report/term.h"

/* \uNNNN, or two of them (RFC 8259 section 7). */
static void put_escaped(struct cu_buf *buf, uint32_t code)
{
	static const char digit[] = "0123456789abcdef";
	if (code > 0xffff) {
		put_escaped(buf, 0xd800 + ((code - 0x10000) >> 10));
		code = 0xdc00 + (code & 0x3ff);
	}
	char text[6] = {'\\', 'u', digit[code >> 12], digit[code >> 8 & 15], digit[code >> 4 & 15], digit[code & 15]};
	cu_put(buf, text, sizeof(text));
}

void cu_json_string(struct cu_buf *buf, const char *data, size_t len)
{
	CU_PUT(buf, "\"");
	size_t from = 0; /* of the run that needs nothing */
	for (size_t i = 0; i < len;) {
		uint8_t c = (uint8_t)data[i];
		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			i++;
			continue;
		}
		uint32_t code = c;
		size_t n = c < 0x80 ? 1 : cu_utf8_decode(data + i, len - i, &code);
		if (n > 1 && !cu_unprintable(code)) {
			i += n;
			continue;
		}
		cu_put(buf, data + from, i - from);
		if (n == 0) {
			CU_PUT(buf, "\xef\xbf\xbd");
			n = 1;
		} else if (c == '"') {
			CU_PUT(buf, "\\\"");
		} else if (c == '\\') {
			CU_PUT(buf, "\\\\");
		} else if (c == '\n') {
			CU_PUT(buf, "\\n");
		} else if (c == '\t') {
			CU_PUT(buf, "\\t");
		} else { /* well formed or not, no terminal should see it */
			put_escaped(buf, code);
		}
		i += n;
		from = i;
	}
	if (from < len) {
		cu_put(buf, data + from, len - from);
	}
	CU_PUT(buf, "\"");
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
			    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
			    "8081828384858687888990919293949596979899";

/* The lowest n digits of v. */
static inline void put_digits(uint8_t *p, uint64_t v, unsigned n)
{
	for (; n >= 2; n -= 2) {
		memcpy(p + n - 2, pairs + 2 * (v % 100), 2);
		v /= 100;
	}
	if (n > 0) {
		p[0] = (uint8_t)('0' + v % 10);
	}
}

/* How many digits v has. */
static inline unsigned count_digits(uint64_t v)
{
	static const uint64_t power[] = {1,
	                                 10,
	                                 100,
	                                 1000,
	                                 10000,
	                                 100000,
	                                 1000000,
	                                 10000000,
	                                 100000000,
	                                 1000000000,
	                                 10000000000,
	                                 100000000000,
	                                 1000000000000,
	                                 10000000000000,
	                                 100000000000000,
	                                 1000000000000000,
	                                 10000000000000000,
	                                 100000000000000000,
	                                 1000000000000000000,
	                                 UINT64_C(10000000000000000000)};
	/* Each bit is log10(2) = 0.301 of a digit: 1233 / 4096. */
	unsigned n = (64 - (unsigned)__builtin_clzll(v | 1)) * 1233 >> 12;
	return n + (v >= power[n]);
}

/* Four digits of v, below 10000. */
static inline void put_four(uint8_t *to, uint32_t v)
{
	memcpy(to, pairs + 2 * (v / 100), 2);
	memcpy(to + 2, pairs + 2 * (v % 100), 2);
}

void cu_put_u64(struct cu_buf *buf, uint64_t v)
{
	enum { DIGITS_CAP = 20 };
	if (buf->cap - buf->len < DIGITS_CAP && !cu_buf_reserve(buf, DIGITS_CAP)) {
		return;
	}
	uint8_t *to = buf->data + buf->len;
	if (v < 10) {
		to[0] = (uint8_t)('0' + v);
		buf->len++;
		return;
	}
	unsigned n = count_digits(v);
	buf->len += n;
	for (; n > 4; v /= 10000) {
		n -= 4;
		put_four(to + n, (uint32_t)(v % 10000));
	}
	uint32_t rest = (uint32_t)v;
	if (n > 2) {
		n -= 2;
		memcpy(to + n, pairs + 2 * (rest % 100), 2);
		rest /= 100;
	}
	if (n == 2) {
		memcpy(to, pairs + 2 * rest, 2);
	} else {
		to[0] = (uint8_t)('0' + rest);
	}
}

void cu_put_addr(struct cu_buf *buf, const struct cu_addr *addr)
{
	if (addr->family != 4) {
		char text[CU_TEXT_CAP];
		cu_puts(buf, cu_format_addr(text, addr));
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0) {
			CU_PUT(buf, ".");
		}
		cu_put_u64(buf, addr->bytes[i]);
	}
}

/* Days since 1970-01-01 to a date (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static void put_date(uint8_t *p, int64_t days)
{
	int64_t z = days + 719468; /* since 0000-03-01 */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	uint64_t doe = (uint64_t)(z - era * 146097);
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153;
	uint64_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = (int64_t)yoe + era * 400 + (month <= 2 ? 1 : 0);
	put_digits(p, (uint64_t)year, 4); /* 64 bits of nanoseconds end within 1677 to 2262 */
	p[4] = '-';
	put_digits(p + 5, month, 2);
	p[7] = '-';
	put_digits(p + 8, doy - (153 * mp + 2) / 5 + 1, 2);
}

void cu_put_time(struct cu_buf *buf, int64_t time_ns)
{
	const int64_t day_ns = 86400 * CU_NS_PER_S;
	int64_t days = time_ns / day_ns, rest = time_ns % day_ns;
	if (rest < 0) {
		days--;
		rest += day_ns;
	}
	uint64_t ns = (uint64_t)rest;
	uint8_t text[30];
	put_date(text, days);
	uint64_t s = ns / (uint64_t)CU_NS_PER_S;
	text[10] = 'T';
	put_digits(text + 11, s / 3600, 2);
	text[13] = ':';
	put_digits(text + 14, s / 60 % 60, 2);
	text[16] = ':';
	put_digits(text + 17, s % 60, 2);
	text[19] = '.';
	put_digits(text + 20, ns % (uint64_t)CU_NS_PER_S, 9);
	text[29] = 'Z';
	cu_put(buf, (const char *)text, sizeof(text));
}

void cu_json_time(struct cu_buf *buf, int64_t time_ns)
{
	CU_PUT(buf, "\"");
	cu_put_time(buf, time_ns);
	CU_PUT(buf, "\"");
}

void cu_json_by_party(struct cu_buf *out, const uint64_t count[static CU_N_PARTIES])
{
	CU_JSON_U64(out, "{\"client\":", count[CU_PARTY_CLIENT]);
	CU_JSON_U64(out, ",\"network\":", count[CU_PARTY_NETWORK]);
	CU_JSON_U64(out, ",\"server\":", count[CU_PARTY_SERVER]);
	CU_JSON_U64(out, ",\"unknown\":", count[CU_PARTY_UNKNOWN]);
	if (count[CU_PARTY_NONE] > 0) {
		CU_JSON_U64(out, ",\"none\":", count[CU_PARTY_NONE]);
	}
	CU_PUT(out, "}");
}
