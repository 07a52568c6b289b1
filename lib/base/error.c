#include "lib/base/error.h"

#include <stdio.h>
#include <string.h>

const char *cu_error_text(enum cu_error code)
{
	switch (code) {
	case CU_OK:
		return "no error";
	case CU_ERR_IO:
		return "input or output failed";
	case CU_ERR_NOMEM:
		return "out of memory";
	case CU_ERR_FORMAT:
		return "the input is damaged";
	case CU_ERR_TRUNCATED:
		return "the input is truncated";
	case CU_ERR_UNSUPPORTED:
		return "not supported by this version";
	case CU_ERR_RANGE:
		return "a number is out of range";
	case CU_ERR_RULES:
		return "the rules have errors";
	case CU_ERR_CLOSED:
		return "the reader of the output is gone";
	}
	return "unknown error";
}

enum cu_error cu_fault_set(struct cu_fault *fault, enum cu_error code, const char *format, ...)
{
	if (fault->code == CU_OK) {
		va_list args;
		va_start(args, format);
		fault->code = code;
		vsnprintf(fault->text, sizeof(fault->text), format, args);
		va_end(args);
	}
	return fault->code;
}

enum cu_error cu_fault_set_errno(struct cu_fault *fault, int err, const char *format, ...)
{
	if (fault->code == CU_OK) {
		va_list args;
		va_start(args, format);
		fault->code = CU_ERR_IO;
		fault->sys_errno = err;
		vsnprintf(fault->text, sizeof(fault->text), format, args);
		va_end(args);
		size_t len = strlen(fault->text);
		snprintf(fault->text + len, sizeof(fault->text) - len, ": %s", strerror(err));
	}
	return fault->code;
}
