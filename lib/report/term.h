/*
 * Text for a person: escaped, in columns, wrapped, coloured.
 *
 * Text is composed as marked text: printable bytes, in which a control byte
 * sets a style or stands for a space that must not break. Nothing from a
 * capture can make such a byte, because it all goes through
 * cu_term_escape first.
 */
#ifndef CU_REPORT_TERM_H
#define CU_REPORT_TERM_H

#include "lib/base/bytes.h"
#include "lib/base/utf8.h"
#include "lib/record/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the output device can show. */
struct cu_term {
	unsigned width; /* columns, at least CU_TERM_WIDTH_MIN */
	bool colour;    /* ANSI styles */
	bool unicode;   /* UTF-8 */
};

enum { CU_TERM_WIDTH_MIN = 40, CU_TERM_WIDTH_DEFAULT = 80 };

enum cu_style {
	CU_STYLE_PLAIN = 0,
	CU_STYLE_BOLD,
	CU_STYLE_DIM,
	CU_STYLE_PARTY,                                 /* CU_STYLE_PARTY + enum cu_party: its colour */
	CU_STYLE_BADGE = CU_STYLE_PARTY + CU_N_PARTIES, /* likewise: bold, on its colour */
	CU_N_STYLES = CU_STYLE_BADGE + CU_N_PARTIES,
};

/* Marks in marked text. A style's number follows CU_MARK_STYLE as a byte, plus CU_MARK_BASE. */
enum {
	CU_MARK_STYLE = 0x01,
	CU_MARK_NBSP = 0x02, /* a space at which no line ends */
	CU_MARK_DOT = 0x03,  /* " · " between facts, or the end of a line */
	CU_MARK_BASE = 0x40,
};

void cu_term_style(struct cu_buf *marked, unsigned style);

/*
 * Appends len bytes that cannot be trusted: printable ASCII as it is, anything
 * else as \xNN. With utf8, printable characters of well-formed UTF-8 are kept
 * too (no controls, no directional or invisible ones), for texts that people
 * wrote in rules.
 */
void cu_term_escape(struct cu_buf *marked, const char *data, size_t len, bool utf8);

/* Appends text with its spaces turned into ones that do not break: "97.0 ms". */
void cu_term_nobreak(struct cu_buf *marked, const char *text);

/* "97.0 ms", unbreakable. */
void cu_term_duration(struct cu_buf *marked, int64_t ns);

/* 48180 as "48,180". */
void cu_term_count(struct cu_buf *marked, uint64_t n);

/* "1 frame", "48,180 frames": count, an unbreakable space and the noun, with an s unless n is 1. */
void cu_term_counted(struct cu_buf *marked, uint64_t n, const char *noun);

/* part of whole as "99.9 %"; never "0 %" or "100 %" unless exact. Unbreakable. */
void cu_term_percent(struct cu_buf *marked, uint64_t part, uint64_t whole);

/* Columns that the marked text takes. */
size_t cu_term_columns(const char *marked, size_t len);

/*
 * Appends marked text to out as the device shows it, wrapped at spaces (in
 * mid-word where a word is longer than a line) to end before term->width,
 * every line but the first indented; the first begins at column indent
 * already. Ends with a newline.
 */
void cu_term_flow(const struct cu_term *term, struct cu_buf *out, unsigned indent, const char *marked, size_t len);

/* Appends marked text to out without wrapping, then blanks up to columns; with cut, what is too long loses
 * its middle.
 */
void cu_term_cell(const struct cu_term *term, struct cu_buf *out, size_t columns, bool cut, const char *marked,
                  size_t len);

#endif
