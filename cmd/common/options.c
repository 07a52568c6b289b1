#include "cmd/common/private.h"

#include "lib/base/nearest.h"
#include "lib/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef CU_VERSION
#define CU_VERSION "unknown"
#endif

enum {
	OPTION_CAP = 64,  /* rows of a program's table with the common ones */
	LONG_ONLY = 256,  /* getopt_long's value of row i is LONG_ONLY + i */
	HELP_COLUMN = 28, /* where the help texts stand in --help */
	HELP_WIDTH = 80,  /* columns of --help */
	SPARE_FILES = 32, /* descriptors a program needs beside its inputs */
};

const struct prog_spec *prog_spec;
struct prog_settings prog_settings;

static bool want_help, want_version, want_list;

/* clang-format off */
static const struct prog_option output_option = {
	.name = "output", .letter = 'o', .kind = PROG_TEXT, .value = &prog_settings.output, .arg = "FILE",
	.help = "write to FILE, which appears when it is whole", .preset = "standard output"};
static const struct prog_option compress_option = {
	.name = "no-compress", .kind = PROG_FLAG, .value = &prog_settings.no_compress,
	.help = "do not compress the flow records; for pipes"};
static const struct prog_option progress_option = {
	.name = "no-progress", .kind = PROG_FLAG, .value = &prog_settings.no_progress,
	.help = "no progress line on a terminal"};
enum { N_MESSAGE_OPTIONS = 2 }; /* -v and -q, which come first */
static const struct prog_option common_options[] = {
	{.name = "verbose", .letter = 'v', .kind = PROG_FLAG, .value = &prog_settings.verbose,
	 .help = "counters on standard error at the end"},
	{.name = "quiet", .letter = 'q', .kind = PROG_FLAG, .value = &prog_settings.quiet,
	 .help = "errors only: no warnings, no progress"},
	{.name = "help", .letter = 'h', .kind = PROG_FLAG, .value = &want_help,
	 .help = "print this help and exit"},
	{.name = "version", .letter = 'V', .kind = PROG_FLAG, .value = &want_version,
	 .help = "print the version and exit"},
};
/* Not part of the interface, and so without help. */
static const struct prog_option hidden_options[] = {
	/* Prints the table, for completion and tests. */
	{.name = "list-options", .kind = PROG_FLAG, .value = &want_list},
	/* From culprit run: whoever writes our standard input says himself why it is not whole. */
	{.name = "pipeline", .kind = PROG_FLAG, .value = &prog_settings.in_pipeline},
};
/* clang-format on */

/* The program's rows, then the common ones, in the order of --help; the hidden ones last. */
static const struct prog_option *table[OPTION_CAP];
static size_t n_options;

static void add_option(const struct prog_option *option)
{
	if (n_options == OPTION_CAP) {
		abort();
	}
	table[n_options++] = option;
}

static void make_table(const struct prog_spec *spec)
{
	n_options = 0;
	for (const struct prog_option *option = spec->options; option && option->name; option++) {
		add_option(option);
	}
	if (spec->common & PROG_HAS_OUTPUT) {
		add_option(&output_option);
	}
	if (spec->common & PROG_HAS_COMPRESS) {
		add_option(&compress_option);
	}
	if (spec->common & PROG_HAS_PROGRESS) {
		add_option(&progress_option);
	}
	/* Those of a dispatcher are its commands'. */
	for (size_t i = spec->stop_at_operand ? N_MESSAGE_OPTIONS : 0;
	     i < sizeof(common_options) / sizeof(*common_options); i++) {
		add_option(&common_options[i]);
	}
	for (size_t i = 0; i < sizeof(hidden_options) / sizeof(*hidden_options); i++) {
		add_option(&hidden_options[i]);
	}
}

const char *prog_version(void)
{
	return CU_VERSION;
}

/* One item of the usage line, on a new line when that is wanted and it would not fit. */
__attribute__((format(printf, 3, 4))) static void usage_item(FILE *out, int *at, const char *format, ...)
{
	char text[128];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (out == stdout && *at + 1 + len > HELP_WIDTH) {
		fputs("\n      ", out);
		*at = 6;
	}
	*at += fprintf(out, " %s", text);
}

void prog_print_usage(bool to_stderr)
{
	FILE *out = to_stderr ? stderr : stdout;
	char flags[OPTION_CAP] = "";
	size_t n_flags = 0;
	for (size_t i = 0; i < n_options; i++) {
		if (table[i]->letter && table[i]->kind == PROG_FLAG) {
			flags[n_flags++] = table[i]->letter;
		}
	}
	int at = fprintf(out, "usage: %s", prog_spec->name);
	usage_item(out, &at, "[-%s]", flags);
	for (size_t i = 0; i < n_options; i++) {
		const struct prog_option *option = table[i];
		if (!option->help || (option->letter && option->kind == PROG_FLAG)) {
			continue;
		}
		char letter[] = {option->letter, '\0'};
		usage_item(out, &at, "[-%s%s%s%s%s]", option->letter ? "" : "-", option->letter ? letter : option->name,
		           option->arg ? " " : "", option->arg ? option->arg : "",
		           option->kind == PROG_LIST ? " ..." : "");
	}
	if (prog_spec->operands) {
		usage_item(out, &at, "%s", prog_spec->operands);
	}
	putc('\n', out);
}

/* Prints words from column on, which the cursor is at, in lines of HELP_WIDTH. */
static void print_wrapped(const char *words, int column)
{
	int at = column;
	while (*words) {
		int len = (int)strcspn(words, " ");
		if (at > column && at + 1 + len > HELP_WIDTH) {
			printf("\n%*s", column, "");
			at = column;
		}
		at += printf("%s%.*s", at > column ? " " : "", len, words);
		words += len;
		words += *words == ' ';
	}
	putchar('\n');
}

/* The help text with the choices and the default behind it. */
static void describe(const struct prog_option *option, char text[static 512])
{
	int at = snprintf(text, 512, "%s", option->help);
	for (const char *word = option->choices; word && *word && at < 400;) {
		int len = (int)strcspn(word, " ");
		bool last = word[len] == '\0';
		const char *before = word == option->choices ? ": " : last ? " or " : ", ";
		at += snprintf(text + at, 512 - (size_t)at, "%s%.*s", before, len, word);
		word += len + !last;
	}
	if (option->preset && at < 500) {
		snprintf(text + at, 512 - (size_t)at, " (default: %s)", option->preset);
	}
}

static void print_help(void)
{
	printf("%s - %s\n", prog_spec->name, prog_spec->summary);
	prog_print_usage(false);
	putchar('\n');
	for (size_t i = 0; i < n_options; i++) {
		const struct prog_option *option = table[i];
		if (!option->help) {
			continue;
		}
		char text[512];
		int at = option->letter ? printf("  -%c, --%s", option->letter, option->name)
		                        : printf("      --%s", option->name);
		if (option->arg) {
			at += printf(" %s", option->arg);
		}
		describe(option, text);
		if (at + 2 > HELP_COLUMN) {
			printf("\n%*s", HELP_COLUMN, "");
		} else {
			printf("%*s", HELP_COLUMN - at, "");
		}
		print_wrapped(text, HELP_COLUMN);
	}
	if (prog_spec->notes) {
		printf("\n%s\n", prog_spec->notes);
	}
}

static void print_list(void)
{
	for (size_t i = 0; i < n_options; i++) {
		const struct prog_option *option = table[i];
		if (option->help) {
			char letter[2] = {option->letter, '\0'};
			printf("%s\t%s\t%s\t%s\t%s\n", option->name, letter, option->arg ? option->arg : "",
			       option->choices ? option->choices : "", option->preset ? option->preset : "");
		}
	}
}

/* The argument's index among the words of choices. */
static unsigned choose(const struct prog_option *option, const char *arg)
{
	unsigned index = 0;
	for (const char *word = option->choices; *word; index++) {
		size_t len = strcspn(word, " ");
		if (strlen(arg) == len && memcmp(word, arg, len) == 0) {
			return index;
		}
		word += len + (word[len] != '\0');
	}
	prog_usage("--%s: '%s' is none of: %s", option->name, arg, option->choices);
}

static void append(struct prog_list *list, const char *item)
{
	const char **items = realloc(list->items, (list->n + 1) * sizeof(*items));
	if (!items) {
		prog_error("%s", cu_error_text(CU_ERR_NOMEM));
		exit(PROG_FAILED);
	}
	items[list->n++] = item;
	list->items = items;
}

static void take(const struct prog_option *option, const char *arg)
{
	switch (option->kind) {
	case PROG_FLAG:
		*(bool *)option->value = true;
		break;
	case PROG_TEXT:
		if (option->choices) {
			choose(option, arg);
		}
		*(const char **)option->value = arg;
		break;
	case PROG_LIST:
		append(option->value, arg);
		break;
	case PROG_DURATION:
		if (!cu_parse_duration(arg, option->value) || *(int64_t *)option->value < 0) {
			prog_usage("--%s: '%s' is no duration: a number and one of ns, us, ms, s, m, h, d, as in 200ms",
			           option->name, arg);
		}
		break;
	case PROG_SIZE:
		if (!cu_parse_size(arg, option->value)) {
			prog_usage("--%s: '%s' is no size: a number of bytes, or with one of K, M, G, T, as in 64M",
			           option->name, arg);
		}
		break;
	case PROG_COUNT:
		if (!cu_parse_u64(arg, option->max ? option->max : UINT64_MAX, option->value)) {
			if (option->max) {
				prog_usage("--%s: '%s' is no number from 0 to %llu", option->name, arg,
				           (unsigned long long)option->max);
			}
			prog_usage("--%s: '%s' is no number", option->name, arg);
		}
		break;
	case PROG_CHOICE:
		*(unsigned *)option->value = choose(option, arg);
		break;
	}
}

static const struct prog_option *find_letter(int letter)
{
	for (size_t i = 0; i < n_options; i++) {
		if (letter && table[i]->letter == letter) {
			return table[i];
		}
	}
	return NULL;
}

/* What getopt_long could not make sense of: word of argv, value as optopt. */
_Noreturn static void refuse(const char *word, int value)
{
	if (value >= LONG_ONLY) {
		prog_usage("option --%s takes no argument", table[value - LONG_ONLY]->name);
	}
	if (value) {
		prog_usage("unknown option -%c", value);
	}
	char name[CU_NEAREST_CAP] = "";
	prog_escape(name, sizeof(name), word + 2, strcspn(word + 2, "="));
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, name, strlen(name));
	for (size_t i = 0; i < n_options; i++) {
		if (table[i]->help) {
			cu_nearest_try(&nearest, table[i]->name);
		}
	}
	if (nearest.name) {
		prog_usage("unknown option --%s; did you mean --%s?", name, nearest.name);
	}
	prog_usage("unknown option --%s", name);
}

static void parse(int argc, char **argv)
{
	struct option longs[OPTION_CAP + 1] = {{0}};
	char letters[2 * OPTION_CAP + 3] = "";
	size_t at = 0;
	if (prog_spec->stop_at_operand) {
		letters[at++] = '+';
	}
	letters[at++] = ':';
	for (size_t i = 0; i < n_options; i++) {
		longs[i].name = table[i]->name;
		longs[i].has_arg = table[i]->kind == PROG_FLAG ? no_argument : required_argument;
		longs[i].val = LONG_ONLY + (int)i;
		if (table[i]->letter) {
			letters[at++] = table[i]->letter;
			if (table[i]->kind != PROG_FLAG) {
				letters[at++] = ':';
			}
		}
	}
	unsetenv("POSIXLY_CORRECT"); /* no environment variable changes a result */
	opterr = 0;
	optind = 0; /* glibc: begin anew, for culprit run */
	for (;;) {
		int value = getopt_long(argc, argv, letters, longs, NULL);
		if (value == -1) {
			return;
		}
		if (value == '?') {
			refuse(argv[optind - 1], optopt);
		}
		if (value == ':') {
			const struct prog_option *option =
				optopt >= LONG_ONLY ? table[optopt - LONG_ONLY] : find_letter(optopt);
			prog_usage("option --%s needs an argument: %s", option->name, option->arg);
		}
		take(value >= LONG_ONLY ? table[value - LONG_ONLY] : find_letter(value), optarg);
	}
}

/*
 * A program may be started with descriptors 0 to 2 closed; the next file it
 * opens must not become its standard output. Holds the place with one that
 * can do only the opposite, so that use is still an error.
 */
static void hold_standard_files(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
			(void)!open("/dev/null", fd == 1 ? O_RDONLY : O_WRONLY);
		}
	}
}

static void raise_file_limit(size_t n_inputs)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < CU_CAPTURE_FILES_EACH * n_inputs + SPARE_FILES) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

struct prog_operands prog_start(const struct prog_spec *spec, int argc, char **argv)
{
	static char standard_input[] = "-";
	static char *only_standard_input[] = {standard_input, NULL};

	hold_standard_files();
	signal(SIGPIPE, SIG_IGN);
	prog_spec = spec;
	make_table(spec);
	parse(argc, argv);
	if (want_help) {
		print_help();
	} else if (want_version) {
		bool dispatcher = strcmp(spec->name, "culprit") == 0;
		printf("%s%s %s\n", spec->name, dispatcher ? "" : " (culprit)", prog_version());
	} else if (want_list) {
		print_list();
	}
	if (want_help || want_version || want_list) {
		exit(prog_finish(PROG_OK));
	}
	struct prog_operands operands = {.paths = argv + optind, .n = (size_t)(argc - optind)};
	if (operands.n == 0) {
		operands = (struct prog_operands){.paths = only_standard_input, .n = 1, .none = true};
	}
	raise_file_limit(operands.n);
	return operands;
}

void prog_options_release(void)
{
	for (size_t i = 0; i < n_options; i++) {
		if (table[i]->kind == PROG_LIST) {
			struct prog_list *list = table[i]->value;
			free(list->items);
			*list = (struct prog_list){0};
		}
	}
}
