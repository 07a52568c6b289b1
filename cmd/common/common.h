/*
 * What all programs share: options from one table, messages, output that
 * appears whole or not at all, exit statuses, progress.
 *
 * A program is
 *
 *	int main(int argc, char **argv)
 *	{
 *		struct prog_operands files = prog_start(&spec, argc, argv);
 *		prog_output_open(PROG_BINARY_OUTPUT);
 *		...read files, write to STDOUT_FILENO or stdout...
 *		return prog_finish(status);
 *	}
 *
 * With -o FILE standard output is that file from prog_output_open on, under a
 * temporary name until prog_finish. SIGPIPE is ignored in between, so that a
 * closed pipe is an error of write(2); prog_finish turns it into that death.
 */
#ifndef CU_CMD_COMMON_H
#define CU_CMD_COMMON_H

#include "lib/base/confine.h"
#include "lib/base/error.h"
#include "lib/capture/capture.h"
#include "lib/record/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses. The larger number is not the worse one: see prog_worse. */
enum prog_status {
	PROG_OK = 0,
	PROG_FAILED = 1, /* I/O; malformed or truncated input: what was whole is still written */
	PROG_USAGE = 2,  /* usage, bad rules, or refused */
	PROG_BLAMED = 3, /* --fail-on PARTY was asked for and found */
};

/* What an option's value is, and so how its argument is parsed and what value points to. */
enum prog_kind {
	PROG_FLAG,     /* bool: true when given; takes no argument */
	PROG_TEXT,     /* const char *: the argument, one of choices if there are some; the last one given counts */
	PROG_LIST,     /* struct prog_list: every argument, in order */
	PROG_DURATION, /* int64_t nanoseconds: "200ms"; not negative */
	PROG_SIZE,     /* uint64_t bytes: "64M" */
	PROG_COUNT,    /* uint64_t: decimal digits, at most max when that is not 0 */
	PROG_CHOICE,   /* unsigned: index of the argument among the words of choices */
};

struct prog_list {
	const char **items; /* each borrowed from argv; freed by prog_finish */
	size_t n;
};

/* What --fail-on can name, of report and culprit run. */
#define PROG_PARTIES "client network server unknown any"

/*
 * A row of a program's option table. getopt_long's arrays, --help, the usage
 * line and completion are made from it, in table order. The variable at value
 * holds the default; preset says it in --help.
 */
struct prog_option {
	const char *name; /* long name, without dashes; NULL ends the table */
	char letter;      /* short name, or 0 */
	enum prog_kind kind;
	void *value;
	const char *arg;     /* the argument's name in --help: "FILE"; NULL for a flag */
	const char *help;    /* one sentence without full stop */
	const char *preset;  /* default as a user would write it, with its unit: "1s"; NULL none */
	const char *choices; /* for PROG_CHOICE, and PROG_TEXT or NULL: "text json csv" */
	uint64_t max;        /* for PROG_COUNT; 0 no limit */
};

/* Common options a program has besides -h -V -v -q, which all have. */
enum prog_common {
	PROG_HAS_OUTPUT = 1,   /* -o FILE */
	PROG_HAS_COMPRESS = 2, /* --no-compress */
	PROG_HAS_PROGRESS = 4, /* --no-progress */
};

struct prog_spec {
	const char *name;                  /* "flowify" */
	const char *summary;               /* one line: what it does */
	const char *operands;              /* "[capture ...]" */
	const struct prog_option *options; /* the program's own; NULL or a table */
	unsigned common;                   /* PROG_HAS_ bits */
	const char *notes;                 /* paragraphs after the options in --help, or NULL */
	bool stop_at_operand;              /* options end at the first operand (dispatchers) */
};

/* What the options left over: the input names; "-" alone when there were none. */
struct prog_operands {
	char **paths;
	size_t n;
	bool none; /* no operand was given; paths has the one "-" */
};

/* The common options' values, after prog_start. */
struct prog_settings {
	const char *output; /* -o, or NULL */
	bool verbose, quiet, no_compress, no_progress;
	/* --pipeline: a stage of culprit run, which watches all; standard input is a stage's output, but the first one's. */
	bool in_pipeline;
};
extern struct prog_settings prog_settings;

/* Name of the version, "0.1.0". */
const char *prog_version(void);

/*
 * Parses the options into their variables. Prints and exits itself for -h,
 * -V and usage errors. Call it first; spec must outlive the program.
 */
struct prog_operands prog_start(const struct prog_spec *spec, int argc, char **argv);

/*
 * Messages: "flowify: text\n" on standard error. Bytes that are not printable
 * UTF-8 are shown as \xNN. warn is for what does not change the exit status
 * and is silent with -q; note is for -v only.
 */
void prog_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void prog_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void prog_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* prog_warn, but not below culprit run, whose report says so itself. */
void prog_warn_alone(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* prog_error with the fault's sentence, which names its input and place. */
void prog_error_fault(const struct cu_fault *fault);

/* One line of cause and one of usage; exits with PROG_USAGE. */
_Noreturn void prog_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Appends to the text of cap bytes at text what is printable of bytes; \xNN for the rest. Cut to fit, always ended. */
void prog_escape(char *text, size_t cap, const char *bytes, size_t len);

/* Refuses, as prog_usage does, to read standard input when it is a terminal. */
void prog_refuse_terminal(const struct prog_operands *operands);

/*
 * Opens an input for reading; "-" is standard input. Its file descriptor, or
 * -1 after saying why: missing, a directory.
 */
int prog_input_open(const char *path);

/* What messages call an input: its path, or "standard input". */
const char *prog_input_name(const char *path);

/* Record streams of several inputs, in the order given. */
struct prog_readers {
	struct cu_reader **readers;
	int *fds;
	size_t n;
	size_t n_unopened; /* inputs that are not among them: why was said */
};

/* Opens all inputs; says what could not be opened. Refuses a terminal. With n 0 there is nothing to close. */
struct prog_readers prog_readers_open(const struct prog_operands *operands);
/* Says each reader's fault; PROG_FAILED when there was any, in opening or reading, else PROG_OK. */
int prog_readers_status(const struct prog_readers *readers);
void prog_readers_close(struct prog_readers *readers);

enum prog_output { PROG_TEXT_OUTPUT, PROG_BINARY_OUTPUT };

/*
 * Makes standard output the file of -o if there is one; exits with
 * PROG_FAILED when it cannot be made, and with PROG_USAGE when binary output
 * would go to a terminal.
 */
void prog_output_open(enum prog_output kind);

/*
 * A file without a name, for what does not fit memory: in TMPDIR, or else in
 * /var/tmp, which is on a disk where /tmp may not be, or else beside the output
 * of -o. -1 when none can be made.
 */
int prog_spare_file(void);

/*
 * All inputs and outputs are open: gives up what is not needed any more (see
 * cu_confine); keep is CU_CONFINE_ bits. Where that cannot be, -v says so.
 */
void prog_confine(unsigned keep);

/*
 * To be told of a failed write to standard output that did not go through
 * stdio (a cu_writer's fault): says why, and the output of -o is not kept.
 * CU_ERR_CLOSED is silent. Returns PROG_FAILED.
 */
int prog_output_failed(const struct cu_fault *fault);

/* The output is not whole for a reason that was said: that of -o is not kept. Returns PROG_FAILED. */
int prog_output_abandon(void);

/* Writes all of data to standard output, past stdio. 0 or CU_ERR_IO / CU_ERR_CLOSED; prog_finish says why. */
int prog_output_write(const void *data, size_t len);

/*
 * The last act of main: flushes and closes standard output and says what went
 * wrong with it; gives the file of -o its name, also when status is
 * PROG_FAILED because an input was not whole, and removes it when its own
 * writing failed, status is PROG_USAGE, or nothing was written and status is
 * PROG_FAILED. Dies of SIGPIPE when the reader of the output went away.
 * Returns the status to exit with.
 */
int prog_finish(int status);

/* Whichever of two statuses tells more: PROG_USAGE, PROG_FAILED, PROG_BLAMED, PROG_OK in that order. */
int prog_worse(int a, int b);

/*
 * A line on standard error with share done, rate and time left, when that is
 * a terminal and the work has taken longer than a second. Cheap enough to be
 * called every few thousand items. total_bytes 0: unknown.
 */
void prog_progress(uint64_t done_bytes, uint64_t total_bytes, uint64_t n_items, const char *items);

/* Descriptors that a program may still open, beside those of its standard streams and a few for a moment; at least 1. */
size_t prog_files_allowed(void);

/*
 * How to open the captures named as operands, with progress, a spare file
 * where they may need one, and half of prog_files_allowed; filter may be NULL.
 */
struct cu_capture_config prog_capture_config(const struct prog_operands *captures, const char *filter);

/* A cu_progress_fn that shows how much of the captures is read. */
void prog_capture_progress(void *arg, const struct cu_capture *capture);

/*
 * Says what was wrong with the captures: faults, drops, times that run
 * backwards or jump; with -v also what was read of each, and what of it was
 * passed over. PROG_FAILED when there was a fault, else PROG_OK.
 */
int prog_capture_report(const struct cu_capture *capture);

#endif
