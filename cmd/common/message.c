#include "cmd/common/private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_CAP = 4096 }; /* bytes of a message's line; longer ones are cut */

/*
 * Length of the printable UTF-8 character at the start of len bytes, or 0:
 * not for control characters (C0, DEL, C1), overlong forms, surrogates, or
 * the marks that turn the direction of text (U+202A-E, U+2066-9).
 */
static size_t printable_len(const unsigned char *p, size_t len)
{
	if (p[0] < 0x80) {
		return p[0] >= 0x20 && p[0] != 0x7f;
	}
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
	if (n == 0 || n > len || p[0] > 0xf4) {
		return 0;
	}
	unsigned long c = p[0] & (0xffU >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			return 0;
		}
		c = c << 6 | (p[i] & 0x3f);
	}
	static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
	bool control = c < 0xa0 || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
	bool wrong = c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff);
	return control || wrong ? 0 : n;
}

void prog_escape(char *text, size_t cap, const char *bytes, size_t len)
{
	size_t at = strlen(text);
	const unsigned char *p = (const unsigned char *)bytes;
	while (len > 0) {
		size_t n = printable_len(p, len);
		size_t need = n ? n : 4;
		if (at + need >= cap) {
			break;
		}
		if (n) {
			memcpy(text + at, p, n);
		} else {
			snprintf(text + at, cap - at, "\\x%02x", p[0]);
		}
		at += need;
		p += n ? n : 1;
		len -= n ? n : 1;
	}
	text[at] = '\0';
}

static void print_message(const char *format, va_list args)
{
	char raw[MESSAGE_CAP], line[MESSAGE_CAP + 64];
	vsnprintf(raw, sizeof(raw), format, args);
	snprintf(line, 64, "%s: ", prog_spec->name);
	prog_escape(line, sizeof(line) - 1, raw, strlen(raw));
	strcat(line, "\n");
	prog_progress_clear();
	/* One write a line: stages of a pipeline share the terminal. */
	fputs(line, stderr);
	fflush(stderr);
}

void prog_error(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	print_message(format, args);
	va_end(args);
}

void prog_warn(const char *format, ...)
{
	if (!prog_settings.quiet) {
		va_list args;
		va_start(args, format);
		print_message(format, args);
		va_end(args);
	}
}

void prog_warn_alone(const char *format, ...)
{
	if (!prog_settings.quiet && !prog_in_pipeline) {
		va_list args;
		va_start(args, format);
		print_message(format, args);
		va_end(args);
	}
}

void prog_note(const char *format, ...)
{
	if (prog_settings.verbose) {
		va_list args;
		va_start(args, format);
		print_message(format, args);
		va_end(args);
	}
}

void prog_error_fault(const struct cu_fault *fault)
{
	prog_error("%s", fault->text[0] ? fault->text : cu_error_text(fault->code));
}

void prog_usage(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	print_message(format, args);
	va_end(args);
	prog_print_usage(true);
	exit(prog_finish(PROG_USAGE));
}
