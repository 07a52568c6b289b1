/*
 * A page of text for a person: marked text is composed in line, phrase by
 * phrase, and put behind a label as a paragraph.
 */
#ifndef CU_REPORT_PAGE_H
#define CU_REPORT_PAGE_H

#include "lib/record/record.h"
#include "lib/report/sink.h"
#include "lib/report/term.h"

/* Columns before the text of an entry. */
enum { CU_PAGE_GUTTER = 10 };

struct cu_page {
	struct cu_term term;
	struct cu_sink *sink; /* not owned */
	struct cu_buf *out;   /* the sink's */
	struct cu_buf line;   /* marked text being composed */
};

void cu_page_init(struct cu_page *page, const struct cu_term *term, struct cu_sink *sink);
void cu_page_release(struct cu_page *page);

/* Our own words, which may be marked. */
void cu_page_say(struct cu_page *page, const char *words);
void cu_page_style(struct cu_page *page, unsigned style);

/* What came from outside, escaped. */
void cu_page_quote(struct cu_page *page, struct cu_text words);

/* What a person wrote in a rule, with names from outside filled in. */
void cu_page_quote_rule(struct cu_page *page, struct cu_text words);

/* Between facts on a line; nothing at its start or where it is broken. */
void cu_page_dot(struct cu_page *page);

/* "10.0.0.5:5432", "[2001:db8::1]:443"; "10.0.0.5" for port 0. */
void cu_page_say_end(struct cu_page *page, const struct cu_addr *addr, uint16_t port);
void cu_page_say_arrow(struct cu_page *page);

/* "4", "4-5"; "13h.pcap:4-5" when there is a file. */
void cu_page_say_frames(struct cu_page *page, struct cu_text file, uint64_t first, uint64_t last);
/* "frame 4", "frames 4-5". */
void cu_page_say_the_frames(struct cu_page *page, struct cu_text file, uint64_t first, uint64_t last);
/* The same for two ends that may be in different files: "frames 13h.pcap:4 to 14h.pcap:5". */
void cu_page_say_the_ends(struct cu_page *page, struct cu_text first_file, uint64_t first, struct cu_text last_file,
                          uint64_t last);

/* "2024-02-16 13:32:03 UTC", with milliseconds if wanted. */
void cu_page_say_time(struct cu_page *page, int64_t time_ns, bool fraction);

/* Writes words in a style, and blanks up to columns: what stands before a paragraph. */
void cu_page_label(struct cu_page *page, unsigned style, const char *words, unsigned columns);

/* Writes the line as a paragraph that begins at this column, and clears it. */
void cu_page_flow(struct cu_page *page, unsigned column);

/* Writes the line as a paragraph behind a label, indented by gutter, and clears it. */
void cu_page_put(struct cu_page *page, const char *label, unsigned gutter);

/* A line across with a title in it. */
void cu_page_rule(struct cu_page *page, const char *title);

void cu_page_newline(struct cu_page *page);

#endif
