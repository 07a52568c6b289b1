/*
 * Errors of the library.
 *
 * Functions return 0 or a negative enum cu_error. Iterators return 1 for an
 * item, 0 for a clean end and a negative error. Objects that read or write
 * keep the sentence that says where and why in a struct cu_fault.
 */
#ifndef CU_BASE_ERROR_H
#define CU_BASE_ERROR_H

#include <stdarg.h>

enum cu_error {
	CU_OK = 0,
	CU_ERR_IO = -1,          /* a read or write failed; errno says why */
	CU_ERR_NOMEM = -2,       /* an allocation failed or met its cap */
	CU_ERR_FORMAT = -3,      /* the input is not what it claims to be */
	CU_ERR_TRUNCATED = -4,   /* the input ends before it is whole */
	CU_ERR_UNSUPPORTED = -5, /* well formed, but not for this version */
	CU_ERR_RANGE = -6,       /* a number is outside its range */
	CU_ERR_RULES = -7,       /* a rules file or a filter has errors */
	CU_ERR_CLOSED = -8,      /* the reader of our output went away (EPIPE) */
};

/* The first fault of an object: it stays until the object is released. */
struct cu_fault {
	enum cu_error code;
	int sys_errno;   /* for CU_ERR_IO, else 0 */
	char text[1024]; /* "record 812 at byte 40960: length 3 is below the minimum of 24" */
};

/* Generic words for a code: "input is truncated". Never NULL. */
const char *cu_error_text(enum cu_error code);

/*
 * Records a fault unless one is recorded already, and returns the code that
 * stands. The text is printf-formatted and cut to fit.
 */
enum cu_error cu_fault_set(struct cu_fault *fault, enum cu_error code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As cu_fault_set with CU_ERR_IO; appends ": " and the words for err. */
enum cu_error cu_fault_set_errno(struct cu_fault *fault, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
