/*
 * report: flow records of any stage in, what they say to people and programs
 * out.
 */
#include "lib/report/report.h"

#include "cmd/common/common.h"
#include "lib/report/when.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* In the order of --fail-on's choices. */
static const unsigned parties[] = {CU_PARTY_CLIENT, CU_PARTY_NETWORK, CU_PARTY_SERVER, CU_PARTY_UNKNOWN};
enum { FAIL_ON_ANY = sizeof(parties) / sizeof(*parties), FAIL_ON_NOBODY };

static unsigned format = CU_REPORT_TEXT, by = CU_REPORT_BY_NOTHING, fail_on = FAIL_ON_NOBODY;
static uint64_t top = CU_REPORT_TOP_DEFAULT, stream = UINT64_MAX, memory_bytes;
static bool all, segments;
static const char *since, *until;

/* clang-format off */
static const struct prog_option options[] = {
	{.name = "format", .letter = 'F', .kind = PROG_CHOICE, .value = &format, .arg = "FORMAT",
	 .choices = CU_REPORT_FORMAT_NAMES, .help = "how it is written", .preset = "text"},
	{.name = "top", .letter = 'n', .kind = PROG_COUNT, .value = &top, .arg = "N",
	 .help = "how many of the slow transactions the text shows", .preset = "20"},
	{.name = "all", .letter = 'a', .kind = PROG_FLAG, .value = &all,
	 .help = "show every slow transaction; memory grows with their number"},
	{.name = "by", .kind = PROG_CHOICE, .value = &by, .arg = "WHAT", .choices = CU_REPORT_BY_NAMES,
	 .help = "gather transactions in a table"},
	{.name = "segments", .kind = PROG_FLAG, .value = &segments,
	 .help = "list the segments of connections, a line each"},
	{.name = "stream", .kind = PROG_COUNT, .value = &stream, .arg = "N", .max = UINT64_MAX - 1,
	 .help = "only connection number N"},
	{.name = "since", .kind = PROG_TEXT, .value = &since, .arg = "TIME",
	 .help = "only what starts at TIME or later, as in 2024-02-16T13:32:03 (UTC)"},
	{.name = "until", .kind = PROG_TEXT, .value = &until, .arg = "TIME",
	 .help = "only what starts before TIME"},
	{.name = "max-memory", .kind = PROG_SIZE, .value = &memory_bytes, .arg = "SIZE",
	 .help = "what the segments of a connection may take before it is shown without them", .preset = "1G"},
	{.name = "fail-on", .kind = PROG_CHOICE, .value = &fail_on, .arg = "PARTY",
	 .choices = PROG_PARTIES,
	 .help = "exit with 3 when a slow transaction is blamed on PARTY"},
	{0},
};
/* clang-format on */

static const struct prog_spec spec = {
	.name = "report",
	.summary = "show flow records of any stage to people and programs",
	.operands = "[flows ...]",
	.options = options,
	.common = PROG_HAS_OUTPUT,
	.notes = "With no file, or when it is -, standard input is read.",
};

static int64_t parse_time(const char *option, const char *text)
{
	int64_t ns = 0;
	if (text && !cu_parse_time(text, &ns)) {
		prog_usage("--%s: '%s' is no time: write it like 2024-02-16T13:32:03", option, text);
	}
	return ns;
}

/* What standard output can show. */
static struct cu_term look_at_terminal(void)
{
	struct cu_term term = {.width = CU_TERM_WIDTH_DEFAULT};
	struct winsize size;
	if (setlocale(LC_CTYPE, "")) {
		term.unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	}
	if (isatty(STDOUT_FILENO)) {
		const char *no_color = getenv("NO_COLOR"), *type = getenv("TERM");
		term.colour = (!no_color || !*no_color) && type && strcmp(type, "dumb") != 0;
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
			term.width = size.ws_col;
		}
	}
	return term;
}

static bool found(const struct cu_report_counts *counts)
{
	if (fail_on == FAIL_ON_NOBODY) {
		return false;
	}
	return fail_on == FAIL_ON_ANY ? counts->n_slow > counts->slow_by_party[CU_PARTY_NONE]
	                              : counts->slow_by_party[parties[fail_on]] > 0;
}

/* Everything in, everything out; a status. */
static int run(struct cu_report *report, const struct prog_readers *inputs)
{
	int status = PROG_OK;
	cu_report_miss(report, inputs->n_unopened);
	for (size_t i = 0; i < inputs->n; i++) {
		cu_report_run(report, inputs->readers[i]);
	}
	if (cu_report_finish(report) != 0) {
		status = prog_output_failed(cu_report_output_fault(report));
	}
	if (cu_report_fault(report)->code != CU_OK) {
		prog_error_fault(cu_report_fault(report));
		status = PROG_FAILED;
	}
	const struct cu_report_counts *counts = cu_report_counts(report);
	if (counts->n_without_segments > 0) {
		prog_warn("connections shown without their segments, to save memory (--max-memory): %" PRIu64,
		          counts->n_without_segments);
	}
	prog_note("%" PRIu64 " connections, %" PRIu64 " transactions, %" PRIu64 " slow", counts->n_connections,
	          counts->n_transactions, counts->n_slow);
	return prog_worse(status, found(counts) ? PROG_BLAMED : PROG_OK);
}

int main(int argc, char **argv)
{
	struct prog_operands flows = prog_start(&spec, argc, argv);
	struct cu_report_config config = {
		.format = format,
		.by = by,
		.segments = segments,
		.has_stream = stream != UINT64_MAX,
		.stream = stream,
		.several = flows.n > 1,
		.memory_bytes = memory_bytes,
		.all = all,
		.top = top,
		.has_since = since != NULL,
		.has_until = until != NULL,
		.since_ns = parse_time("since", since),
		.until_ns = parse_time("until", until),
	};
	if (!cu_report_can(&config)) {
		prog_usage(segments && by != CU_REPORT_BY_NOTHING
		                   ? "--segments and --by exclude each other"
		                   : "--segments and --by are written as text or json only");
	}
	struct prog_readers inputs = prog_readers_open(&flows);
	if (inputs.n == 0) {
		return prog_finish(PROG_FAILED);
	}
	prog_output_open(PROG_TEXT_OUTPUT);
	config.term = look_at_terminal();
	prog_confine(0);

	struct cu_report *report;
	int status = PROG_FAILED;
	int error = cu_report_open(&report, STDOUT_FILENO, &config);
	if (error == 0) {
		status = run(report, &inputs);
	} else {
		prog_error("%s", cu_error_text(error));
	}
	status = prog_worse(status, prog_readers_status(&inputs));
	cu_report_close(report);
	prog_readers_close(&inputs);
	return prog_finish(status);
}
