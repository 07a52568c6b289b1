#include "lib/rules/diag.h"

#include "lib/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_CAP = 512, LINE_SHOWN_CAP = 160 };

/* Bytes of the line break at p, 0 when there is none. */
static size_t line_break(const char *p, const char *end)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t left = (size_t)(end - p);
	if (left >= 2 && u[0] == '\r' && u[1] == '\n') {
		return 2;
	}
	if (left >= 1 && (u[0] == '\n' || u[0] == '\r')) {
		return 1;
	}
	if (left >= 2 && u[0] == 0xc2 && u[1] == 0x85) {
		return 2;
	}
	if (left >= 3 && u[0] == 0xe2 && u[1] == 0x80 && (u[2] == 0xa8 || u[2] == 0xa9)) {
		return 3;
	}
	return 0;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

struct cu_rules_source *cu_rules_source_new(struct cu_heap *heap, const char *name, const char *text, size_t len,
                                            unsigned order)
{
	struct cu_rules_source *source = cu_heap_get(heap, sizeof(*source));
	char *own_name = cu_heap_copy(heap, name, strlen(name));
	char *own_text = cu_heap_copy(heap, text, len);
	if (!source || !own_name || !own_text) {
		return NULL;
	}
	const char *end = own_text + len;
	size_t n_lines = 1;
	for (const char *p = own_text; p < end;) {
		size_t n = line_break(p, end);
		n_lines += n > 0;
		p += n > 0 ? n : 1;
	}
	size_t *lines = cu_heap_get(heap, n_lines * sizeof(*lines));
	if (!lines) {
		return NULL;
	}
	size_t at = 1;
	for (const char *p = own_text; p < end;) {
		size_t n = line_break(p, end);
		p += n > 0 ? n : 1;
		if (n > 0) {
			lines[at++] = (size_t)(p - own_text);
		}
	}
	*source = (struct cu_rules_source){
		.name = own_name, .text = own_text, .len = len, .lines = lines, .n_lines = n_lines, .order = order};
	return source;
}

const char *cu_rules_source_line_text(const struct cu_rules_source *source, size_t line, size_t *len)
{
	if (line >= source->n_lines) {
		line = source->n_lines - 1;
	}
	const char *begin = source->text + source->lines[line];
	const char *end = source->text + source->len;
	const char *p = begin;
	while (p < end && line_break(p, end) == 0) {
		p++;
	}
	*len = (size_t)(p - begin);
	return begin;
}

size_t cu_rules_source_skip(const struct cu_rules_source *source, size_t offset, size_t n)
{
	const char *p = source->text + offset, *end = source->text + source->len;
	for (; n > 0 && p < end && line_break(p, end) == 0; n--) {
		do {
			p++;
		} while (p < end && is_continuation(*p));
	}
	return (size_t)(p - source->text);
}

size_t cu_rules_source_line(const struct cu_rules_source *source, size_t offset)
{
	size_t low = 0, high = source->n_lines;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (source->lines[middle] <= offset) {
			low = middle;
		} else {
			high = middle;
		}
	}
	return low;
}

static unsigned count_characters(const char *text, size_t len)
{
	unsigned n = 0;
	for (size_t i = 0; i < len; i++) {
		n += !is_continuation(text[i]);
	}
	return n;
}

static void locate(struct cu_rules_message *message, const struct cu_rules_source *source, size_t offset, size_t len)
{
	if (offset > source->len) {
		offset = source->len;
	}
	size_t line = cu_rules_source_line(source, offset);
	const char *text = cu_rules_source_line_text(source, line, &message->source_len);
	size_t at = offset - (size_t)(text - source->text);
	if (at > message->source_len) {
		at = message->source_len;
	}
	if (len > message->source_len - at) {
		len = message->source_len - at;
	}
	unsigned width = count_characters(text + at, len);
	message->file = source->name;
	message->source = text;
	message->line = (unsigned)line + 1;
	message->column = count_characters(text, at) + 1;
	message->width = width > 0 ? width : 1;
	message->order = source->order;
}

/* Where a message is kept: behind the others, or an error in the place of the last warning. NULL: nowhere. */
static struct cu_rules_message *place_for(struct cu_diag *diag, enum cu_severity severity)
{
	size_t n = diag->n_messages;
	if (n < CU_MESSAGE_CAP) {
		return &diag->messages[n];
	}
	while (severity == CU_SEVERITY_ERROR && n > 0) {
		if (diag->messages[--n].severity == CU_SEVERITY_WARNING) {
			return &diag->messages[n];
		}
	}
	return NULL;
}

void cu_diag_add(struct cu_diag *diag, enum cu_severity severity, const struct cu_rules_source *source, size_t offset,
                 size_t len, const char *format, va_list args)
{
	if (severity == CU_SEVERITY_ERROR) {
		diag->n_errors++;
	} else {
		diag->n_warnings++;
	}
	struct cu_rules_message *place = place_for(diag, severity);
	if (!place) {
		return;
	}
	char text[TEXT_CAP];
	int n = vsnprintf(text, sizeof(text), format, args);
	const char *copy = n < 0 ? NULL : cu_heap_copy(diag->heap, text, strlen(text));
	struct cu_rules_message message = {
		.severity = severity, .file = "", .text = copy ? copy : "out of memory", .width = 1, .source = ""};
	if (source) {
		locate(&message, source, offset, len);
	}
	for (size_t i = 0; i < diag->n_messages; i++) { /* a macro used twice is wrong once */
		const struct cu_rules_message *other = &diag->messages[i];
		if (other->order == message.order && other->line == message.line && other->column == message.column &&
		    strcmp(other->file, message.file) == 0 && strcmp(other->text, message.text) == 0) {
			diag->n_errors -= severity == CU_SEVERITY_ERROR;
			diag->n_warnings -= severity == CU_SEVERITY_WARNING;
			return;
		}
	}
	*place = message;
	diag->n_messages += place == &diag->messages[diag->n_messages];
}

void cu_diag_error(struct cu_diag *diag, const struct cu_rules_source *source, size_t offset, size_t len,
                   const char *format, ...)
{
	va_list args;
	va_start(args, format);
	cu_diag_add(diag, CU_SEVERITY_ERROR, source, offset, len, format, args);
	va_end(args);
}

bool cu_diag_is_full(const struct cu_diag *diag)
{
	return diag->n_messages == CU_MESSAGE_CAP && diag->n_errors >= CU_MESSAGE_CAP;
}

static int compare_messages(const void *a, const void *b)
{
	const struct cu_rules_message *x = a, *y = b;
	if (x->order != y->order) {
		return x->order < y->order ? -1 : 1;
	}
	if (x->line != y->line) {
		return x->line < y->line ? -1 : 1;
	}
	return x->column < y->column ? -1 : x->column > y->column;
}

void cu_diag_sort(struct cu_diag *diag)
{
	/* Insertion keeps the order of equals, which qsort does not promise. */
	for (size_t i = 1; i < diag->n_messages; i++) {
		struct cu_rules_message message = diag->messages[i];
		size_t j = i;
		while (j > 0 && compare_messages(&diag->messages[j - 1], &message) > 0) {
			diag->messages[j] = diag->messages[j - 1];
			j--;
		}
		diag->messages[j] = message;
	}
}

size_t cu_diag_add_text(struct cu_buf *buf, const char *text, size_t len)
{
	enum { HEX_COLUMNS = 4 };
	size_t columns = 0;
	for (size_t i = 0; i < len;) {
		uint32_t code;
		size_t n = cu_utf8_printable(text + i, len - i);
		if (n > 0) {
			cu_buf_add(buf, text + i, n);
			cu_utf8_decode(text + i, n, &code);
			columns += cu_utf8_columns(code);
		} else if (text[i] == '\t') {
			cu_buf_add_u8(buf, ' ');
			columns++;
		} else {
			cu_buf_printf(buf, "\\x%02x", (unsigned char)text[i]);
			columns += HEX_COLUMNS;
		}
		i += n > 0 ? n : 1;
	}
	return columns;
}

/* Where n characters of the text end; at most at its own end. */
static const char *skip(const char *p, const char *end, size_t n)
{
	for (; n > 0 && p < end; n--) {
		do {
			p++;
		} while (p < end && is_continuation(*p));
	}
	return p;
}

void cu_rules_message_format(const struct cu_rules_message *message, struct cu_buf *buf)
{
	if (message->file[0]) {
		cu_diag_add_text(buf, message->file, strlen(message->file));
		cu_buf_printf(buf, ":%u:%u: ", message->line, message->column);
	}
	cu_buf_add_cstr(buf, message->severity == CU_SEVERITY_ERROR ? "error: " : "warning: ");
	cu_diag_add_text(buf, message->text, strlen(message->text));
	cu_buf_add_u8(buf, '\n');
	if (!message->file[0]) {
		return;
	}
	/* A window of a long line, so that the caret is in it. */
	const char *end = message->source + message->source_len;
	const char *caret = skip(message->source, end, message->column - 1);
	const char *from = message->source, *to = end;
	if (message->source_len > LINE_SHOWN_CAP) {
		if (message->column > LINE_SHOWN_CAP / 2) {
			from = skip(from, end, message->column - LINE_SHOWN_CAP / 2);
		}
		to = skip(from, end, LINE_SHOWN_CAP);
	}
	const char *last = skip(caret, to, message->width);
	struct cu_buf scratch = {0};
	cu_buf_add_cstr(buf, "    ");
	cu_diag_add_text(buf, from, (size_t)(to - from));
	cu_buf_add_cstr(buf, "\n    ");
	for (size_t n = cu_diag_add_text(&scratch, from, (size_t)(caret - from)); n > 0; n--) {
		cu_buf_add_u8(buf, ' ');
	}
	cu_buf_add_u8(buf, '^');
	for (size_t n = cu_diag_add_text(&scratch, caret, (size_t)(last - caret)); n > 1; n--) {
		cu_buf_add_u8(buf, '~');
	}
	cu_buf_release(&scratch);
	cu_buf_add_u8(buf, '\n');
}
