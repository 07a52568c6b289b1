#include "cmd/common/private.h"

#include "lib/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_CAP = 4096 }; /* bytes of a message's line; longer ones are cut */

void prog_escape(char *text, size_t cap, const char *bytes, size_t len)
{
	size_t at = strlen(text);
	while (len > 0) {
		size_t n = cu_utf8_printable(bytes, len);
		size_t need = n ? n : 4;
		if (at + need >= cap) {
			break;
		}
		if (n) {
			memcpy(text + at, bytes, n);
		} else {
			snprintf(text + at, cap - at, "\\x%02x", (unsigned char)bytes[0]);
		}
		at += need;
		bytes += n ? n : 1;
		len -= n ? n : 1;
	}
	text[at] = '\0';
}

static __attribute__((format(printf, 1, 0))) void print_message(const char *format, va_list args)
{
	char raw[MESSAGE_CAP], line[MESSAGE_CAP + 64];
	vsnprintf(raw, sizeof(raw), format, args);
	snprintf(line, 64, "%s: ", prog_spec->name);
	prog_escape(line, sizeof(line) - 1, raw, strlen(raw));
	strcat(line, "\n"); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): one byte was left for it */
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
	if (!prog_settings.quiet && !prog_settings.in_pipeline) {
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
