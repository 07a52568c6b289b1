#include "lib/rules/lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* clang-format off */
static const struct {
	const char *word;
	enum cu_token_kind kind;
} keywords[] = {
	{"and", CU_TOKEN_AND},           {"or", CU_TOKEN_OR},           {"not", CU_TOKEN_NOT},
	{"in", CU_TOKEN_IN},             {"of", CU_TOKEN_OF},           {"glob", CU_TOKEN_GLOB},
	{"contains", CU_TOKEN_CONTAINS}, {"startswith", CU_TOKEN_STARTS}, {"endswith", CU_TOKEN_ENDS},
	{"true", CU_TOKEN_TRUE},         {"false", CU_TOKEN_FALSE},
};
/* clang-format on */

/* K M G T and KiB are powers of 1024, kB MB powers of 1000, as in GNU coreutils; rates, here by the second, are decimal in bits. */
/* clang-format off */
static const struct {
	const char *word;
	enum cu_type type;
	double scale;
} units[] = {
	{"ns", CU_TYPE_TIME, 1},       {"us", CU_TYPE_TIME, 1e3},     {"ms", CU_TYPE_TIME, 1e6},
	{"s", CU_TYPE_TIME, 1e9},      {"m", CU_TYPE_TIME, 60e9},     {"h", CU_TYPE_TIME, 3600e9},
	{"d", CU_TYPE_TIME, 86400e9},  {"\xc2\xb5s", CU_TYPE_TIME, 1e3}, {"\xce\xbcs", CU_TYPE_TIME, 1e3}, /* micro sign, mu */
	{"B", CU_TYPE_BYTES, 1},       {"K", CU_TYPE_BYTES, 1024},    {"M", CU_TYPE_BYTES, 1048576},
	{"G", CU_TYPE_BYTES, 1073741824}, {"T", CU_TYPE_BYTES, 1099511627776},
	{"KiB", CU_TYPE_BYTES, 1024},  {"MiB", CU_TYPE_BYTES, 1048576}, {"GiB", CU_TYPE_BYTES, 1073741824},
	{"TiB", CU_TYPE_BYTES, 1099511627776},
	{"kB", CU_TYPE_BYTES, 1e3},    {"KB", CU_TYPE_BYTES, 1e3},    {"MB", CU_TYPE_BYTES, 1e6},
	{"GB", CU_TYPE_BYTES, 1e9},    {"TB", CU_TYPE_BYTES, 1e12},
	{"B/s", CU_TYPE_RATE, 1},      {"kB/s", CU_TYPE_RATE, 1e3},   {"KB/s", CU_TYPE_RATE, 1e3},
	{"MB/s", CU_TYPE_RATE, 1e6},   {"GB/s", CU_TYPE_RATE, 1e9},   {"KiB/s", CU_TYPE_RATE, 1024},
	{"MiB/s", CU_TYPE_RATE, 1048576}, {"GiB/s", CU_TYPE_RATE, 1073741824},
	{"bit/s", CU_TYPE_RATE, 1 / 8.0}, {"kbit/s", CU_TYPE_RATE, 1e3 / 8}, {"Mbit/s", CU_TYPE_RATE, 1e6 / 8},
	{"Gbit/s", CU_TYPE_RATE, 1e9 / 8},
	{"%", CU_TYPE_RATIO, 0.01},
};
/* clang-format on */

/* What other programs call units. Bits and bytes differ by case, in rates: Mb/s are megabits. */
/* clang-format off */
static const struct {
	const char *word, *meant;
} other_units[] = {
	{"nsec", "ns"},      {"usec", "us"},      {"msec", "ms"},      {"msecs", "ms"},   {"millis", "ms"},
	{"sec", "s"},        {"secs", "s"},       {"second", "s"},     {"seconds", "s"},
	{"min", "m"},        {"mins", "m"},       {"minute", "m"},     {"minutes", "m"},
	{"hr", "h"},         {"hrs", "h"},        {"hour", "h"},       {"hours", "h"},
	{"day", "d"},        {"days", "d"},       {"byte", "B"},       {"bytes", "B"},
	{"Ki", "KiB"},       {"Mi", "MiB"},       {"Gi", "GiB"},       {"Ti", "TiB"},
	{"bps", "bit/s"},    {"kbps", "kbit/s"},  {"Kbps", "kbit/s"},  {"Mbps", "Mbit/s"}, {"Gbps", "Gbit/s"},
	{"kb/s", "kbit/s"},  {"Kb/s", "kbit/s"},  {"Mb/s", "Mbit/s"},  {"Gb/s", "Gbit/s"},
	{"bit", "bit/s"},    {"kbit", "kbit/s"},  {"Mbit", "Mbit/s"},  {"Gbit", "Gbit/s"},
	{"percent", "%"},    {"pct", "%"},
};
/* clang-format on */

static const char unit_list[] = "units are ns us ms s m h d, B K M G T KiB kB MiB MB, kbit/s Mbit/s MB/s, %";

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_word(char c)
{
	return is_letter(c) || is_digit(c) || c == '_';
}

static bool equals(const char *word, size_t len, const char *known)
{
	return strlen(known) == len && memcmp(word, known, len) == 0;
}

const char *cu_unit_meant(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (equals(word, len, units[i].word)) {
			return units[i].word;
		}
	}
	for (size_t i = 0; i < sizeof(other_units) / sizeof(*other_units); i++) {
		if (equals(word, len, other_units[i].word)) {
			return other_units[i].meant;
		}
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strlen(units[i].word) == len && strncasecmp(word, units[i].word, len) == 0) {
			return units[i].word;
		}
	}
	return NULL;
}

bool cu_is_keyword(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++) {
		if (equals(word, len, keywords[i].word)) {
			return true;
		}
	}
	return false;
}

bool cu_parse_network(const char *text, size_t len, struct cu_addr *addr, uint8_t *prefix)
{
	char copy[CU_TEXT_CAP];
	const char *end = text + len;
	const char *slash = memchr(text, '/', len);
	size_t addr_len = slash ? (size_t)(slash - text) : len;
	if (addr_len >= 2 && text[0] == '[' && text[addr_len - 1] == ']') {
		text++;
		addr_len -= 2;
	}
	if (addr_len == 0 || addr_len >= sizeof(copy)) {
		return false;
	}
	memcpy(copy, text, addr_len);
	copy[addr_len] = '\0';
	if (!cu_parse_addr(copy, addr)) {
		return false;
	}
	uint64_t bits = addr->family == 4 ? 32 : 128, value = bits;
	if (slash) {
		size_t bits_len = (size_t)(end - slash) - 1;
		if (bits_len >= sizeof(copy)) {
			return false;
		}
		memcpy(copy, slash + 1, bits_len);
		copy[bits_len] = '\0';
		if (!cu_parse_u64(copy, bits, &value)) {
			return false;
		}
	}
	*prefix = (uint8_t)value;
	return true;
}

bool cu_network_trim(struct cu_addr *network, unsigned prefix)
{
	bool any = false;
	for (unsigned i = 0; i < sizeof(network->bytes); i++) {
		unsigned bits = prefix > i * 8 ? prefix - i * 8 : 0;
		uint8_t kept = (uint8_t)(network->bytes[i] & (bits >= 8 ? 0xff : 0xff00 >> bits));
		any = any || kept != network->bytes[i];
		network->bytes[i] = kept;
	}
	return any;
}

bool cu_network_has(const struct cu_addr *network, unsigned prefix, const struct cu_addr *addr)
{
	if (network->family != addr->family || addr->family == 0) {
		return false;
	}
	unsigned whole = prefix / 8, rest = prefix % 8;
	if (memcmp(network->bytes, addr->bytes, whole) != 0) {
		return false;
	}
	return rest == 0 || ((network->bytes[whole] ^ addr->bytes[whole]) >> (8 - rest)) == 0;
}

/* Length of what looks like an address or network at p, 0 when nothing does. */
static size_t address_len(const char *p, size_t len)
{
	size_t n = 0, dots = 0, colons = 0;
	while (n < len && (is_hex(p[n]) || p[n] == '.' || p[n] == ':')) {
		dots += p[n] == '.';
		colons += p[n] == ':';
		n++;
	}
	if (colons < 2 && dots < 3) {
		return 0;
	}
	if (colons < 2 && !is_digit(p[0])) {
		return 0;
	}
	if (n < len && p[n] == '/') {
		n++;
		while (n < len && (is_word(p[n]) || (p[n] == '.' && n + 1 < len && is_digit(p[n + 1])))) {
			n++;
		}
	}
	while (n < len && is_word(p[n])) {
		n++;
	}
	return n;
}

static void fail(struct cu_token *token, size_t len, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct cu_token *token, size_t len, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(token->message, sizeof(token->message), format, args);
	va_end(args);
	token->kind = CU_TOKEN_ERROR;
	token->len = len;
}

static void take_address(struct cu_token *token, const char *p, size_t len)
{
	int shown = len < 60 ? (int)len : 60;
	token->len = len;
	if (!cu_parse_network(p, len, &token->addr, &token->prefix)) {
		fail(token, len, "'%.*s' is no address%s", shown, p,
		     memchr(p, '/', len) ? " with a prefix length, such as 10.0.0.0/8 or 2001:db8::/32" : "");
		return;
	}
	token->kind = memchr(p, '/', len) ? CU_TOKEN_NETWORK : CU_TOKEN_ADDRESS;
}

/* Says what is wrong with a unit, and how the number should have been written. */
static void fail_unit(struct cu_token *token, const char *digits, const char *unit, size_t len)
{
	enum { SHOWN = 16 };
	size_t letters = 0;
	while (letters < len && !is_digit(unit[letters])) {
		letters++;
	}
	const char *meant = cu_unit_meant(unit, len);
	int shown = len < SHOWN ? (int)len : SHOWN;
	if (meant) {
		fail(token, token->len, "'%.*s' is no unit; did you mean %s%s?", shown, unit, digits, meant);
	} else if (letters < len && cu_unit_meant(unit, letters)) {
		fail(token, token->len, "a number has one unit; write a sum: %s%.*s + %.*s", digits, (int)letters, unit,
		     shown, unit + letters);
	} else {
		fail(token, token->len, "'%.*s' is no unit; %s", shown, unit, unit_list);
	}
}

static void take_number(struct cu_token *token, const char *p, size_t len)
{
	enum { DIGIT_CAP = 32 };
	char digits[DIGIT_CAP];
	size_t n = 0;
	while (n < len && (is_digit(p[n]) || (p[n] == '.' && n + 1 < len && is_digit(p[n + 1])))) {
		n++;
	}
	if (n >= sizeof(digits)) {
		fail(token, n, "a number of %zu digits", n);
		return;
	}
	memcpy(digits, p, n);
	digits[n] = '\0';
	const char *dot = strchr(digits, '.');
	if (dot && strchr(dot + 1, '.')) {
		fail(token, n, "'%s' is no number, and an address has four parts: 10.0.0.0/24", digits);
		return;
	}
	size_t unit = n;
	if (n < len && p[n] == '%') {
		n++;
	} else {
		while (n < len && (is_word(p[n]) || (unsigned char)p[n] >= 0x80)) {
			n++;
		}
		if (n > unit && n + 1 < len && p[n] == '/' && p[n + 1] == 's' && (n + 2 == len || !is_word(p[n + 2]))) {
			n += 2;
		}
	}
	token->kind = CU_TOKEN_NUMBER;
	token->len = n;
	token->type = CU_TYPE_NUMBER;
	token->number = strtod(digits, NULL);
	token->bare = n == unit;
	if (token->bare) {
		return;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (equals(p + unit, n - unit, units[i].word)) {
			token->type = units[i].type;
			token->number *= units[i].scale;
			if (token->type == CU_TYPE_RATE) {
				token->number /= CU_NS_PER_S;
			}
			return;
		}
	}
	fail_unit(token, digits, p + unit, n - unit);
}

/* A name may have hyphens when it is one of the names that records use: tls-handshake. */
static size_t hyphenated_len(const char *p, size_t len)
{
	static const char *const words[] = {"tls-handshake", "syn-ack"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		size_t n = strlen(words[i]);
		if (n <= len && memcmp(p, words[i], n) == 0 && (n == len || !is_word(p[n]))) {
			return n;
		}
	}
	return 0;
}

static void take_name(struct cu_token *token, const char *p, size_t len)
{
	size_t n = hyphenated_len(p, len);
	while (n < len && (is_word(p[n]) || (p[n] == '.' && n > 0 && n + 1 < len && is_word(p[n + 1])))) {
		n++;
	}
	if (n + 1 < len && p[n] == '.' && p[n + 1] == '*') {
		fail(token, n + 2, "'%.*s.*' is no name; * is for patterns in quotes, after glob",
		     (int)(n < 40 ? n : 40), p);
		return;
	}
	token->kind = CU_TOKEN_NAME;
	token->len = n;
	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++) {
		if (equals(p, n, keywords[i].word)) {
			token->kind = keywords[i].kind;
		} else if (n == strlen(keywords[i].word) && strncasecmp(p, keywords[i].word, n) == 0) {
			fail(token, n, "'%.*s' is written in small letters: %s", (int)n, p, keywords[i].word);
		}
	}
}

static void take_text(struct cu_token *token, const char *p, size_t len)
{
	size_t n = 1;
	while (n < len && p[n] != p[0]) {
		n += p[n] == '\\' && n + 1 < len ? 2 : 1;
	}
	if (n >= len) {
		fail(token, len, "the text that begins here has no closing %c", p[0]);
		return;
	}
	token->kind = CU_TOKEN_TEXT;
	token->len = n + 1;
}

static void take_operator(struct cu_token *token, const char *p, size_t len)
{
	/* clang-format off */
	static const struct {
		const char *text;
		enum cu_token_kind kind;
		const char *instead; /* of an operator of other languages, or how to write it */
	} operators[] = {
		{"===", CU_TOKEN_ERROR, "=="}, {"!==", CU_TOKEN_ERROR, "!="}, {"&&", CU_TOKEN_ERROR, "and"},
		{"||", CU_TOKEN_ERROR, "or"},  {"<>", CU_TOKEN_ERROR, "!="},  {"=~", CU_TOKEN_ERROR, "~ and a glob"},
		{"=<", CU_TOKEN_ERROR, "<="},  {"=>", CU_TOKEN_ERROR, ">="},  {"!~", CU_TOKEN_ERROR, "not ~"},
		{"<=", CU_TOKEN_LE, NULL},     {">=", CU_TOKEN_GE, NULL},     {"==", CU_TOKEN_EQ, NULL},
		{"!=", CU_TOKEN_NE, NULL},     {"<", CU_TOKEN_LT, NULL},      {">", CU_TOKEN_GT, NULL},
		{"=", CU_TOKEN_EQ, NULL},      {"!", CU_TOKEN_ERROR, "not"},  {"+", CU_TOKEN_PLUS, NULL},
		{"-", CU_TOKEN_MINUS, NULL},   {"*", CU_TOKEN_TIMES, NULL},   {"/", CU_TOKEN_DIVIDE, NULL},
		{"(", CU_TOKEN_OPEN, NULL},    {")", CU_TOKEN_CLOSE, NULL},   {",", CU_TOKEN_COMMA, NULL},
		{"~", CU_TOKEN_TILDE, NULL},   {"&", CU_TOKEN_ERROR, "and"},  {"|", CU_TOKEN_ERROR, "or"},
		{"[", CU_TOKEN_ERROR, "("},    {"]", CU_TOKEN_ERROR, ")"},    {"{", CU_TOKEN_ERROR, "("},
		{"}", CU_TOKEN_ERROR, ")"},    {"%", CU_TOKEN_ERROR, "it directly behind its number: 50%"},
		{"..", CU_TOKEN_ERROR, "a range with -: 1s-5s"},
	};
	/* clang-format on */
	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
		size_t n = strlen(operators[i].text);
		if (n <= len && memcmp(p, operators[i].text, n) == 0) {
			if (operators[i].instead) {
				fail(token, n, "'%s' is no operator here; write %s", operators[i].text,
				     operators[i].instead);
			} else {
				token->kind = operators[i].kind;
				token->len = n;
			}
			return;
		}
	}
	unsigned char c = (unsigned char)p[0];
	size_t n = 1;
	while (c >= 0xc0 && n < len && ((unsigned char)p[n] & 0xc0) == 0x80) {
		n++;
	}
	if (c < 0x20 || c == 0x7f) {
		fail(token, n, "a byte 0x%02x, which no condition has", c);
	} else if (c == '.' && len > 1 && is_digit(p[1])) {
		fail(token, n, "a number begins with a digit: 0.5");
	} else if (c == '.' && len > 1 && p[1] == '*') {
		fail(token, 2, "an address has no *; write a network: 10.0.0.0/16");
	} else {
		fail(token, n, "'%.*s' has no meaning here", (int)n, p);
	}
}

void cu_lexer_next(struct cu_lexer *lexer, struct cu_token *token)
{
	while (lexer->at < lexer->len && strchr(" \t\r\n", lexer->text[lexer->at])) {
		lexer->at++;
	}
	memset(token, 0, sizeof(*token));
	token->start = lexer->at;
	const char *p = lexer->text + lexer->at;
	size_t len = lexer->len - lexer->at, n = 0;
	if (len == 0) {
		return;
	}
	bool bracketed = len > 1 && p[0] == '[' && address_len(p + 1, len - 1) > 0;
	if (bracketed) {
		fail(token, 1, "an address stands without brackets here");
	} else if ((n = address_len(p, len)) > 0 && n < len && p[n] == '%') {
		fail(token, n + 1, "an address in a rule has no zone; leave out what begins with %%");
	} else if (n > 0) {
		take_address(token, p, n);
	} else if (is_digit(p[0])) {
		take_number(token, p, len);
	} else if (is_letter(p[0]) || p[0] == '_') {
		take_name(token, p, len);
	} else if (p[0] == '"' || p[0] == '\'') {
		take_text(token, p, len);
	} else {
		take_operator(token, p, len);
	}
	lexer->at += token->len;
}
