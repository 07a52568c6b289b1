#include "lib/report/term.h"

#include "lib/base/units.h"
#include "lib/report/sink.h"

#include <string.h>

void cu_term_style(struct cu_buf *marked, unsigned style)
{
	cu_buf_add_u8(marked, CU_MARK_STYLE);
	cu_buf_add_u8(marked, (uint8_t)(CU_MARK_BASE + style));
}

void cu_term_escape(struct cu_buf *marked, const char *data, size_t len, bool utf8)
{
	static const char digit[] = "0123456789abcdef";
	for (size_t i = 0; i < len;) {
		uint8_t c = (uint8_t)data[i];
		size_t n;
		if (c >= 0x20 && c < 0x7f) {
			cu_buf_add_u8(marked, c);
			i++;
		} else if (utf8 && (n = cu_utf8_printable(data + i, len - i)) > 1) {
			cu_buf_add(marked, data + i, n);
			i += n;
		} else {
			char text[4] = {'\\', 'x', digit[c >> 4], digit[c & 15]};
			cu_buf_add(marked, text, sizeof(text));
			i++;
		}
	}
}

void cu_term_nobreak(struct cu_buf *marked, const char *text)
{
	for (; *text != '\0'; text++) {
		cu_buf_add_u8(marked, *text == ' ' ? CU_MARK_NBSP : (uint8_t)*text);
	}
}

void cu_term_duration(struct cu_buf *marked, int64_t ns)
{
	char text[CU_TEXT_CAP];
	cu_term_nobreak(marked, cu_format_duration(text, ns));
}

void cu_term_count(struct cu_buf *marked, uint64_t n)
{
	char text[32];
	size_t at = sizeof(text);
	unsigned digits = 0;
	do {
		if (digits > 0 && digits % 3 == 0) {
			text[--at] = ',';
		}
		text[--at] = (char)('0' + n % 10);
		n /= 10;
		digits++;
	} while (n > 0);
	cu_buf_add(marked, text + at, sizeof(text) - at);
}

void cu_term_counted(struct cu_buf *marked, uint64_t n, const char *noun)
{
	cu_term_count(marked, n);
	cu_buf_add_u8(marked, CU_MARK_NBSP);
	cu_term_nobreak(marked, noun);
	if (n != 1) {
		cu_buf_add_u8(marked, 's');
	}
}

void cu_term_percent(struct cu_buf *marked, uint64_t part, uint64_t whole)
{
	if (part == 0 || whole == 0) {
		CU_PUT(marked, "0");
	} else if (part >= whole) {
		CU_PUT(marked, "100");
	} else {
		unsigned permille = (unsigned)(((unsigned __int128)part * 1000 + whole / 2) / whole);
		if (permille < 1) {
			CU_PUT(marked, "<0.1");
		} else if (permille > 999) {
			CU_PUT(marked, ">99.9");
		} else {
			bool tenths = permille < 100 || permille >= 990;
			cu_buf_add_u64(marked, (permille + (tenths ? 0 : 5)) / 10);
			if (tenths) {
				CU_PUT(marked, ".");
				cu_buf_add_u64(marked, permille % 10);
			}
		}
	}
	cu_buf_add_u8(marked, CU_MARK_NBSP);
	CU_PUT(marked, "%");
}

/* One character of marked text: its bytes, and the columns it takes; marks take none. */
struct glyph {
	size_t len;
	unsigned columns;
};

static struct glyph glyph_at(const char *marked, size_t len)
{
	uint8_t c = (uint8_t)marked[0];
	uint32_t code;
	if (c == CU_MARK_STYLE) {
		return (struct glyph){.len = len < 2 ? 1 : 2, .columns = 0};
	}
	size_t n = c < 0x80 ? 1 : cu_utf8_decode(marked, len, &code);
	if (n <= 1) {
		return (struct glyph){.len = 1, .columns = 1};
	}
	return (struct glyph){.len = n, .columns = cu_utf8_columns(code)};
}

size_t cu_term_columns(const char *marked, size_t len)
{
	size_t columns = 0;
	for (size_t i = 0; i < len;) {
		struct glyph glyph = glyph_at(marked + i, len - i);
		columns += glyph.columns;
		i += glyph.len;
	}
	return columns;
}

/* ANSI escape sequences (ECMA-48 8.3.117, SGR). Three hues that differ in lightness too. */
static const char *const sgr[CU_N_STYLES] = {
	[CU_STYLE_PLAIN] = "\033[0m",
	[CU_STYLE_BOLD] = "\033[1m",
	[CU_STYLE_DIM] = "\033[2m",
	[CU_STYLE_PARTY + CU_PARTY_NONE] = "\033[32m",
	[CU_STYLE_PARTY + CU_PARTY_CLIENT] = "\033[36m",
	[CU_STYLE_PARTY + CU_PARTY_NETWORK] = "\033[33m",
	[CU_STYLE_PARTY + CU_PARTY_SERVER] = "\033[35m",
	[CU_STYLE_PARTY + CU_PARTY_UNKNOWN] = "\033[37m",
	[CU_STYLE_BADGE + CU_PARTY_NONE] = "\033[1;30;42m",
	[CU_STYLE_BADGE + CU_PARTY_CLIENT] = "\033[1;30;46m",
	[CU_STYLE_BADGE + CU_PARTY_NETWORK] = "\033[1;30;43m",
	[CU_STYLE_BADGE + CU_PARTY_SERVER] = "\033[1;37;45m",
	[CU_STYLE_BADGE + CU_PARTY_UNKNOWN] = "\033[1;30;47m",
};

/* Where the text being written stands. */
struct place {
	const struct cu_term *term;
	struct cu_buf *out;
	unsigned style;
};

static void set_style(struct place *place, unsigned style)
{
	if (style >= CU_N_STYLES || style == place->style) {
		return;
	}
	if (place->term->colour) {
		if (place->style != CU_STYLE_PLAIN) {
			cu_buf_add_cstr(place->out, sgr[CU_STYLE_PLAIN]);
		}
		if (style != CU_STYLE_PLAIN) {
			cu_buf_add_cstr(place->out, sgr[style]);
		}
	}
	place->style = style;
}

/* Writes a glyph of marked text. */
static void put_glyph(struct place *place, const char *marked, struct glyph glyph)
{
	if (marked[0] == CU_MARK_STYLE) {
		set_style(place, glyph.len == 2 ? (uint8_t)marked[1] - (unsigned)CU_MARK_BASE : CU_STYLE_PLAIN);
	} else if (marked[0] == CU_MARK_NBSP || marked[0] == CU_MARK_DOT) {
		cu_buf_add_u8(place->out, ' ');
	} else if (place->term->unicode || (uint8_t)marked[0] < 0x80) {
		cu_buf_add(place->out, marked, glyph.len);
	} else {
		cu_buf_add_u8(place->out, '?');
	}
}

static void put_blanks(struct cu_buf *out, size_t n)
{
	while (n-- > 0) {
		cu_buf_add_u8(out, ' ');
	}
}

/* A newline and the indent, without colouring the blanks. */
static void break_line(struct place *place, unsigned indent)
{
	unsigned style = place->style;
	set_style(place, CU_STYLE_PLAIN);
	cu_buf_add_u8(place->out, '\n');
	put_blanks(place->out, indent);
	set_style(place, style);
}

/* What stands between two words of marked text: blanks, or a dot. */
struct gap {
	size_t blanks;
	bool dot;
};

static struct gap skip_gap(const char *marked, size_t len, size_t *at)
{
	struct gap gap = {0};
	for (; *at < len && (marked[*at] == ' ' || marked[*at] == CU_MARK_DOT); (*at)++) {
		gap.dot = gap.dot || marked[*at] == CU_MARK_DOT;
		gap.blanks += marked[*at] == ' ';
	}
	return gap;
}

/* Columns up to the next dot. */
static size_t fact_columns(const char *marked, size_t len)
{
	const char *dot = memchr(marked, CU_MARK_DOT, len);
	return cu_term_columns(marked, dot != NULL ? (size_t)(dot - marked) : len);
}

static size_t gap_columns(const struct cu_term *term, struct gap gap)
{
	return !gap.dot ? gap.blanks : term->unicode ? 3 : 2;
}

static void put_gap(struct place *place, struct gap gap)
{
	if (gap.dot) {
		cu_buf_add_cstr(place->out, place->term->unicode ? " · " : ", ");
	} else {
		put_blanks(place->out, gap.blanks);
	}
}

void cu_term_flow(const struct cu_term *term, struct cu_buf *out, unsigned indent, const char *marked, size_t len)
{
	struct place place = {.term = term, .out = out, .style = CU_STYLE_PLAIN};
	size_t room = term->width > indent + 8 ? term->width - indent : 8;
	size_t column = 0;
	for (size_t i = 0; i < len;) {
		struct gap gap = skip_gap(marked, len, &i);
		size_t end = i;
		while (end < len && marked[end] != ' ' && marked[end] != CU_MARK_DOT) {
			end++;
		}
		size_t columns = cu_term_columns(marked + i, end - i);
		size_t before = column > 0 ? gap_columns(term, gap) : 0;
		size_t fact = gap.dot ? fact_columns(marked + i, len - i) : 0;
		if (fact <= room && fact > columns) {
			columns = fact; /* stays together */
		}
		/* A word too long for any line is broken anyway, so it may as well begin here. */
		bool fits = column + before + columns <= room || (columns > room && column + before + 8 <= room);
		if (column > 0 && columns > 0 && !fits) {
			break_line(&place, indent);
			column = 0;
		} else if (column > 0 && columns > 0) {
			put_gap(&place, gap);
			column += before;
		}
		while (i < end) {
			struct glyph glyph = glyph_at(marked + i, end - i);
			if (column + glyph.columns > room) {
				break_line(&place, indent);
				column = 0;
			}
			put_glyph(&place, marked + i, glyph);
			column += glyph.columns;
			i += glyph.len;
		}
	}
	set_style(&place, CU_STYLE_PLAIN);
	cu_buf_add_u8(out, '\n');
}

/* Skips at least columns of marked text, but not its style marks, which are obeyed; the bytes skipped. */
static size_t skip_columns(struct place *place, const char *marked, size_t len, size_t columns)
{
	size_t column = 0, i = 0;
	while (i < len && column < columns) {
		struct glyph glyph = glyph_at(marked + i, len - i);
		if (glyph.columns == 0) {
			put_glyph(place, marked + i, glyph);
		}
		column += glyph.columns;
		i += glyph.len;
	}
	return i;
}

void cu_term_cell(const struct cu_term *term, struct cu_buf *out, size_t columns, bool cut, const char *marked,
                  size_t len)
{
	struct place place = {.term = term, .out = out, .style = CU_STYLE_PLAIN};
	size_t total = cu_term_columns(marked, len), column = 0;
	bool shorten = cut && total > columns;
	size_t head = columns / 2; /* what is cut goes from the middle: both ends of names tell more */
	for (size_t i = 0; i < len;) {
		struct glyph glyph = glyph_at(marked + i, len - i);
		if (shorten && column + glyph.columns > head) {
			cu_buf_add_cstr(out, term->unicode ? "…" : "~");
			size_t rest = total - column, tail = columns > column + 1 ? columns - column - 1 : 0;
			i += skip_columns(&place, marked + i, len - i, rest - tail);
			column++;
			shorten = false;
			continue;
		}
		put_glyph(&place, marked + i, glyph);
		column += glyph.columns;
		i += glyph.len;
	}
	set_style(&place, CU_STYLE_PLAIN);
	if (column < columns) {
		put_blanks(out, columns - column);
	}
}
