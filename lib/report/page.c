#include "lib/report/page.h"

#include <stdio.h>
#include <string.h>

void cu_page_init(struct cu_page *page, const struct cu_term *term, struct cu_sink *sink)
{
	*page = (struct cu_page){.term = *term, .sink = sink, .out = &sink->buf};
}

void cu_page_release(struct cu_page *page)
{
	cu_buf_release(&page->line);
}

void cu_page_say(struct cu_page *page, const char *words)
{
	cu_puts(&page->line, words);
}

void cu_page_style(struct cu_page *page, unsigned style)
{
	cu_term_style(&page->line, style);
}

void cu_page_quote(struct cu_page *page, struct cu_text words)
{
	cu_term_escape(&page->line, words.data, words.len, false);
}

void cu_page_quote_rule(struct cu_page *page, struct cu_text words)
{
	cu_term_escape(&page->line, words.data, words.len, page->term.unicode);
}

void cu_page_dot(struct cu_page *page)
{
	if (page->line.len > 0) {
		cu_buf_add_u8(&page->line, CU_MARK_DOT);
	}
}

void cu_page_flow(struct cu_page *page, unsigned column)
{
	cu_term_flow(&page->term, page->out, column, (const char *)page->line.data, page->line.len);
	page->out->failed = page->out->failed || page->line.failed;
	cu_buf_clear(&page->line);
}

void cu_page_label(struct cu_page *page, unsigned style, const char *words, unsigned columns)
{
	char marked[64];
	int len = snprintf(marked, sizeof(marked), "%c%c%s", CU_MARK_STYLE, CU_MARK_BASE + (int)style, words);
	cu_term_cell(&page->term, page->out, columns, false, marked,
	             len < (int)sizeof(marked) ? (size_t)len : sizeof(marked) - 1);
}

void cu_page_put(struct cu_page *page, const char *label, unsigned gutter)
{
	cu_page_label(page, CU_STYLE_PLAIN, "", gutter > 0);
	cu_page_label(page, CU_STYLE_DIM, label, gutter > 0 ? gutter - 1 : 0);
	cu_page_flow(page, gutter);
}

void cu_page_rule(struct cu_page *page, const char *title)
{
	const char *dash = page->term.unicode ? "─" : "-";
	size_t columns = strlen(title) + 4;
	struct cu_buf *line = &page->line;
	cu_page_style(page, CU_STYLE_DIM);
	cu_puts(line, dash);
	cu_puts(line, dash);
	cu_buf_add_u8(line, CU_MARK_NBSP);
	cu_term_nobreak(line, title);
	cu_buf_add_u8(line, CU_MARK_NBSP);
	for (; columns < page->term.width; columns++) {
		cu_puts(line, dash);
	}
	cu_page_put(page, "", 0);
}

void cu_page_newline(struct cu_page *page)
{
	cu_buf_add_u8(page->out, '\n');
}

void cu_page_say_end(struct cu_page *page, const struct cu_addr *addr, uint16_t port)
{
	char words[CU_TEXT_CAP];
	bool brackets = addr->family == 6 && port != 0;
	cu_page_say(page, brackets ? "[" : "");
	cu_page_say(page, cu_format_addr(words, addr));
	cu_page_say(page, brackets ? "]" : "");
	if (port != 0) {
		cu_page_say(page, ":");
		cu_buf_add_u64(&page->line, port);
	}
}

void cu_page_say_arrow(struct cu_page *page)
{
	cu_page_say(page, page->term.unicode ? " → " : " -> ");
}

/* The last part of a path. */
static struct cu_text base_name(struct cu_text path)
{
	for (uint32_t i = path.len; i > 0; i--) {
		if (path.data[i - 1] == '/') {
			return (struct cu_text){.data = path.data + i, .len = path.len - i};
		}
	}
	return path;
}

void cu_page_say_frames(struct cu_page *page, struct cu_text file, uint64_t first, uint64_t last)
{
	if (file.len > 0) {
		cu_page_quote(page, base_name(file));
		cu_page_say(page, ":");
	}
	cu_buf_add_u64(&page->line, first);
	if (last > first) {
		cu_page_say(page, "-");
		cu_buf_add_u64(&page->line, last);
	}
}

void cu_page_say_the_frames(struct cu_page *page, struct cu_text file, uint64_t first, uint64_t last)
{
	cu_term_nobreak(&page->line, last > first ? "frames " : "frame ");
	cu_page_say_frames(page, file, first, last);
}

void cu_page_say_the_ends(struct cu_page *page, struct cu_text first_file, uint64_t first, struct cu_text last_file,
                          uint64_t last)
{
	bool same_file = first_file.len == last_file.len &&
	                 (first_file.len == 0 || memcmp(first_file.data, last_file.data, first_file.len) == 0);
	if (same_file || last == 0) {
		cu_page_say_the_frames(page, first_file, first, last);
		return;
	}
	cu_term_nobreak(&page->line, "frames ");
	cu_page_say_frames(page, first_file, first, 0);
	cu_page_say(page, " to ");
	cu_page_say_frames(page, last_file, last, 0);
}

void cu_page_say_time(struct cu_page *page, int64_t time_ns, bool fraction)
{
	char words[CU_TEXT_CAP];
	cu_format_time(words, time_ns);
	words[10] = ' ';
	words[fraction ? 23 : 19] = '\0';
	cu_term_nobreak(&page->line, words);
	cu_term_nobreak(&page->line, " UTC");
}
