/*
 * A report as one page for a browser, which opens without a network.
 *
 * lib/report/html/ has the page: markup, style and script, which are made part
 * of the library. What was found goes into it as lines of JSON, in an element
 * that no browser runs, and the script makes everything there is to see from
 * them. They are:
 *
 *   page      words for the names of causes, events and so on
 *   verdict   a slow transaction, as report --format json writes it (or a
 *             transaction, where none was judged)
 *   detail    follows each of those: what the page shows when it is opened
 *   finding, group, summary    as report --format json [--by] writes them
 *   over_time the transactions in bins of time
 *   listed    how many slow transactions are above, and how many had no room
 *
 * Those that are the page's alone are no contract: script and report are built
 * together.
 */
#ifndef CU_REPORT_HTML_H
#define CU_REPORT_HTML_H

#include "lib/report/format.h"
#include "lib/report/page.h"

/* The page, made by lib/report/html/assemble.sh; the data goes in place of CU_HTML_DATA. Zero-terminated. */
extern const char cu_html_page[];
extern const size_t cu_html_page_len;
#define CU_HTML_DATA "@DATA@"

/*
 * The page's caps. Segments of a transaction: at most CU_HTML_SEGMENTS_CAP,
 * and fewer when more is asked of the page, but never fewer than
 * CU_HTML_SEGMENTS_LEAST if it has as many. Bytes: the room that segments are
 * shared out from, and where no further transaction is listed.
 */
enum {
	CU_HTML_SEGMENTS_CAP = 2000,
	CU_HTML_SEGMENTS_LEAST = 40,
	CU_HTML_SEGMENTS_BYTES = 32 << 20,
	CU_HTML_BYTES = 96 << 20,
};

/*
 * Appends a transaction's segments, a round trip before and after it
 * included, as an array in order of time: no more than cap of them, where the
 * first and last, those cited and those marked go before others. An element is
 *
 *   [frame, ns since the transaction's start, direction, seq, ack, bytes,
 *    flags, window, marks, how, SACK, hint]
 *                a segment: ack is -1 without one; flags is -1 of an ICMP error,
 *                whose window is type * 256 + code; how is enum cu_resent_by +
 *                8 * enum cu_needless; zeros and empty ones at the end are left out
 *   a number     so many segments are left out there
 *   a string     the file that the frames from there on are of
 */
void cu_html_segments(struct cu_buf *out, const struct cu_report_transaction *item, size_t cap);

#endif
