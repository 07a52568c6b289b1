/*
 * Messages about rules files, in the manner of a compiler.
 */
#ifndef CU_RULES_DIAG_H
#define CU_RULES_DIAG_H

#include "lib/base/bytes.h"
#include "lib/rules/heap.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cu_severity { CU_SEVERITY_ERROR = 0, CU_SEVERITY_WARNING };

enum { CU_MESSAGE_CAP = 100 }; /* messages kept of a set of rules; errors rather than warnings */

/* A text that rules were read from. */
struct cu_rules_source {
	const char *name; /* "mine.yaml" */
	const char *text;
	size_t len;
	const size_t *lines; /* where each line begins; at least one */
	size_t n_lines;
	unsigned order; /* in which it was read */
};

struct cu_rules_message {
	enum cu_severity severity;
	const char *file;      /* "" when it is about no file */
	unsigned line, column; /* from 1; columns are characters */
	unsigned width;        /* characters that the caret underlines, at least 1 */
	const char *text;      /* one sentence without full stop */
	const char *source;    /* the line itself, without its end; not zero-terminated */
	size_t source_len;
	unsigned order; /* of its source */
};

/* {0} but for the heap is empty. */
struct cu_diag {
	struct cu_heap *heap;
	struct cu_rules_message messages[CU_MESSAGE_CAP];
	size_t n_messages;
	size_t n_errors, n_warnings; /* kept or not */
};

/*
 * Copies name and text into heap, and finds its lines as YAML 1.1 does
 * (section 4.1.4: LF, CR, CR LF, NEL, LS, PS). NULL when memory ran out.
 */
struct cu_rules_source *cu_rules_source_new(struct cu_heap *heap, const char *name, const char *text, size_t len,
                                            unsigned order);

/* The byte offset n characters behind another; never beyond the end of its line. */
size_t cu_rules_source_skip(const struct cu_rules_source *source, size_t offset, size_t n);

/* Which line, from 0, a byte offset is in. */
size_t cu_rules_source_line(const struct cu_rules_source *source, size_t offset);

/* The bytes of a line, without its end. */
const char *cu_rules_source_line_text(const struct cu_rules_source *source, size_t line, size_t *len);

/* Adds a message about len bytes at a byte offset of source. */
void cu_diag_error(struct cu_diag *diag, const struct cu_rules_source *source, size_t offset, size_t len,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
void cu_diag_add(struct cu_diag *diag, enum cu_severity severity, const struct cu_rules_source *source, size_t offset,
                 size_t len, const char *format, va_list args) __attribute__((format(printf, 6, 0)));

/* Whether no more errors are kept. */
bool cu_diag_is_full(const struct cu_diag *diag);

/* In order of file, line and column. */
void cu_diag_sort(struct cu_diag *diag);

/* Appends len bytes of whoever wrote them: a tab as a space, what is not printable as \xNN. Returns the columns that they take. */
size_t cu_diag_add_text(struct cu_buf *buf, const char *text, size_t len);

/*
 * Appends the message as text: "mine.yaml:12:14: error: unknown field ...",
 * the line, and the caret below; unprintable bytes are shown as \xNN.
 */
void cu_rules_message_format(const struct cu_rules_message *message, struct cu_buf *buf);

#endif
