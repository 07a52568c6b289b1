/*
 * classify: flow records in, the same with verdicts and findings out.
 */
#include "lib/rules/classify.h"
#include "cmd/common/common.h"
#include "lib/rules/finding.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct prog_list rule_files, baseline_files;
static int64_t slow_ns;
static const char *check_file, *explain, *learn;
static bool list_fields, explain_all, run_tests, no_defaults, merge;

/* clang-format off */
static const struct prog_option options[] = {
	{.name = "rules", .letter = 'r', .kind = PROG_LIST, .value = &rule_files, .arg = "FILE",
	 .help = "add the rules of a file, or of a directory's *.yaml and *.yml files; the last one given is asked first"},
	{.name = "slow", .kind = PROG_DURATION, .value = &slow_ns, .arg = "DURATION",
	 .help = "what takes longer is slow, unless the rules say otherwise for its service", .preset = "what the rules say, or 1s"},
	{.name = "no-defaults", .kind = PROG_FLAG, .value = &no_defaults,
	 .help = "without the rules that come with culprit: those of -r only"},
	{.name = "baseline", .kind = PROG_LIST, .value = &baseline_files, .arg = "FILE",
	 .help = "what --learn learned: gives rules the fields of baseline; several are merged"},
	{.name = "learn", .kind = PROG_TEXT, .value = &learn, .arg = "FILE",
	 .help = "instead of records write to a file how long the services' transactions take"},
	{.name = "merge", .kind = PROG_FLAG, .value = &merge,
	 .help = "take the operands as such files, and write the one that learning from all would have given"},
	{.name = "check", .kind = PROG_TEXT, .value = &check_file, .arg = "FILE",
	 .help = "say what is wrong with a rules file, and exit"},
	{.name = "test", .kind = PROG_FLAG, .value = &run_tests,
	 .help = "run the tests sections of the rules files, and exit"},
	{.name = "fields", .kind = PROG_FLAG, .value = &list_fields,
	 .help = "list the fields that rules can name, each with unit and meaning, and exit"},
	{.name = "explain", .kind = PROG_TEXT, .value = &explain, .arg = "STREAM:TRANSACTION",
	 .help = "instead of records write why each rule did or did not match that transaction, as text"},
	{.name = "explain-all", .kind = PROG_FLAG, .value = &explain_all,
	 .help = "the same for every transaction that is judged"},
	{0},
};
/* clang-format on */

static const struct prog_spec spec = {
	.name = "classify",
	.summary = "say who is to blame for each slow answer, by rules",
	.operands = "[flows ...]",
	.options = options,
	.common = PROG_HAS_OUTPUT | PROG_HAS_COMPRESS,
	.notes = "Flow records come from analyze. culprit-rules(5) describes rules.\n"
		 "With no file, or when it is -, standard input is read.",
};

static int write_text(void *context, const char *text, size_t len)
{
	(void)context;
	return prog_output_write(text, len);
}

/* A buffer's text to standard output. */
static int print(struct cu_buf *buf)
{
	if (buf->failed) {
		prog_error("%s", cu_error_text(CU_ERR_NOMEM));
	}
	int status = buf->failed || prog_output_write(buf->data, buf->len) != 0 ? PROG_FAILED : PROG_OK;
	cu_buf_release(buf);
	return status;
}

static void print_messages(const struct cu_rules *rules, bool warnings)
{
	struct cu_buf buf = {0};
	for (size_t i = 0; i < cu_rules_n_messages(rules); i++) {
		const struct cu_rules_message *message = cu_rules_message(rules, i);
		if (warnings || message->severity == CU_SEVERITY_ERROR) {
			cu_rules_message_format(message, &buf);
		}
	}
	fputs(cu_buf_cstr(&buf), stderr);
	cu_buf_release(&buf);
	size_t n_warnings = warnings ? cu_rules_n_warnings(rules) : 0;
	if (cu_rules_n_errors(rules) + n_warnings > CU_MESSAGE_CAP) {
		prog_error("%zu errors and %zu warnings; %d are shown", cu_rules_n_errors(rules),
		           cu_rules_n_warnings(rules), CU_MESSAGE_CAP);
	}
}

/* Adds a file; says why it cannot be read. What is wrong in it is found later. 0, CU_ERR_IO or CU_ERR_NOMEM. */
static int add_file(struct cu_rules *rules, const char *path)
{
	struct cu_fault fault = {0};
	int error = cu_rules_add_file(rules, path, &fault);
	if (error == CU_ERR_IO) {
		prog_error_fault(&fault);
	}
	return error == CU_ERR_RULES ? 0 : error;
}

/* Reads all rules; exits when they are no good. */
static struct cu_rules *load_rules(void)
{
	struct cu_rules *rules = cu_rules_new();
	int error = rules ? 0 : CU_ERR_NOMEM;
	if (error == 0 && !no_defaults) {
		error = cu_rules_add_default(rules);
	}
	for (size_t i = 0; error == 0 && i < rule_files.n; i++) {
		error = add_file(rules, rule_files.items[i]);
	}
	if (error == 0 && check_file) {
		error = add_file(rules, check_file);
	}
	if (rules && slow_ns > 0) {
		cu_rules_set_slow(rules, slow_ns);
	}
	error = error ? error : cu_rules_finish(rules);
	if (error == CU_ERR_NOMEM) {
		prog_error("%s", cu_error_text(error));
	} else {
		print_messages(rules, check_file || prog_settings.verbose);
	}
	if (error != 0) {
		cu_rules_free(rules);
		exit(prog_finish(error == CU_ERR_NOMEM ? PROG_FAILED : PROG_USAGE));
	}
	return rules;
}

static int check(struct cu_rules *rules)
{
	struct cu_rules_counts counts = cu_rules_counts(rules);
	prog_note("%zu rules, %zu macros, %zu lists, %zu services, %zu tests", counts.n_rules, counts.n_macros,
	          counts.n_lists, counts.n_services, counts.n_tests);
	return PROG_OK;
}

static int test(struct cu_rules *rules)
{
	struct cu_buf buf = {0};
	size_t n_failed;
	if (cu_rules_run_tests(rules, &buf, &n_failed) != 0) {
		prog_error("%s", cu_error_text(CU_ERR_NOMEM));
		return PROG_FAILED;
	}
	size_t n = cu_rules_counts(rules).n_tests;
	cu_buf_printf(&buf, "%zu of %zu tests passed\n", n - n_failed, n);
	return prog_worse(print(&buf), n_failed > 0 ? PROG_FAILED : PROG_OK);
}

static int out_of_memory(void)
{
	const struct cu_fault fault = {.code = CU_ERR_NOMEM};
	return prog_output_failed(&fault);
}

static int run_explain(const struct prog_readers *inputs, struct cu_rules *rules)
{
	struct cu_explain_config config = {0};
	if (explain && !cu_explain_parse(explain, &config)) {
		prog_usage("--explain takes the numbers of a stream and a transaction, as in 4:1, not '%s'", explain);
	}
	size_t n;
	int error = cu_classify_explain(inputs->readers, inputs->n, rules, &config, write_text, NULL, &n);
	if (error == 0 && explain && n == 0) {
		prog_error("there is no transaction %s", explain);
		return PROG_FAILED;
	}
	return error == CU_ERR_NOMEM ? out_of_memory() : error != 0 ? PROG_FAILED : PROG_OK;
}

/* Adds files to a baseline. */
static bool read_baselines(struct cu_baseline *baseline, const char *const *paths, size_t n)
{
	bool good = baseline != NULL;
	if (!good) {
		prog_error("%s", cu_error_text(CU_ERR_NOMEM));
	}
	for (size_t i = 0; good && i < n; i++) {
		struct cu_fault fault = {0};
		good = cu_baseline_read(baseline, paths[i], &fault) == 0;
		if (!good) {
			prog_error_fault(&fault);
		}
	}
	return good;
}

static int write_baseline(struct cu_baseline *baseline)
{
	struct cu_buf buf = {0};
	struct cu_baseline_counts counts = cu_baseline_counts(baseline);
	cu_baseline_encode(baseline, &buf);
	prog_note("%" PRIu64 " transactions, %zu services and kinds, %zu bytes", counts.n_transactions,
	          counts.n_entries, buf.len);
	if (counts.n_dropped > 0) {
		prog_warn("%" PRIu64 " transactions were not learned: there are more than %d services and kinds",
		          counts.n_dropped, CU_BASELINE_ENTRY_CAP);
	}
	return print(&buf);
}

/* Writes what the operands hold together. */
static int run_merge(const struct prog_operands *operands)
{
	struct cu_baseline *baseline = cu_baseline_new();
	int status = PROG_FAILED;
	if (operands->none) {
		prog_usage("--merge takes the files to merge");
	}
	if (read_baselines(baseline, (const char *const *)operands->paths, operands->n)) {
		prog_output_open(PROG_BINARY_OUTPUT);
		status = write_baseline(baseline);
	}
	cu_baseline_free(baseline);
	return prog_finish(status);
}

static bool is_regular_file(const char *path)
{
	struct stat found;
	return stat(path, &found) == 0 && S_ISREG(found.st_mode);
}

/* Says of the inputs too what was wrong with them. Less than all is no reason to lose what was learned before. */
static int run_learn(const struct prog_readers *inputs, struct cu_rules *rules)
{
	struct cu_baseline *baseline = cu_baseline_new();
	int error = baseline ? cu_classify_learn(inputs->readers, inputs->n, rules, baseline) : CU_ERR_NOMEM;
	int status = prog_readers_status(inputs);
	if (error == CU_ERR_NOMEM) {
		status = out_of_memory();
	} else if (status != PROG_OK && is_regular_file(learn)) {
		prog_error("%s stays as it was: the input was not whole", learn);
		status = prog_output_abandon();
	} else {
		status = prog_worse(status, write_baseline(baseline));
	}
	cu_baseline_free(baseline);
	return status;
}

static void note_counts(const struct cu_classify_counts *counts, const struct cu_writer *writer)
{
	prog_note("%" PRIu64 " transactions, %" PRIu64 " slow, %" PRIu64 " judged by rules, %" PRIu64 " findings",
	          counts->n_transactions, counts->n_slow, counts->n_by_rule, counts->n_findings);
	prog_note("%" PRIu64 " bytes written", cu_writer_n_bytes(writer));
	if (counts->n_uncounted > 0) {
		prog_warn("%" PRIu64 " transactions and connections were not counted for rules about endpoints: "
		          "there are more endpoints, or more time in windows, than are remembered",
		          counts->n_uncounted);
	}
	if (counts->n_left_out > 0) {
		prog_warn("%" PRIu64
		          " findings were left out: at most %d of each kind, and of each rule about endpoints, "
		          "are written, those with most connections or windows",
		          counts->n_left_out, CU_FINDING_CAP);
	}
	if (counts->n_forgotten > 0) {
		prog_warn("endpoints were forgotten %" PRIu64 " times: there are more than %d servers or %d clients, "
		          "and findings may lack some, count too low, or be unsure",
		          counts->n_forgotten, CU_FINDING_SERVERS, CU_FINDING_CLIENTS);
	}
	if (counts->n_connections > 0 && counts->n_analyses == 0) {
		prog_warn("the input has connections but no analysis: it has to come from analyze");
	}
}

static int run_classify(const struct prog_readers *inputs, struct cu_rules *rules)
{
	struct cu_writer *writer;
	struct cu_writer_config output = {.no_compress = prog_settings.no_compress,
	                                  .passes_cut = prog_settings.in_pipeline};
	struct cu_classify_counts counts = {0};
	int status = PROG_OK;
	int error = cu_writer_open(&writer, STDOUT_FILENO, &output);
	if (error == 0) {
		error = cu_classify(inputs->readers, inputs->n, writer, rules, &counts);
	}
	if (writer && cu_writer_fault(writer)->code != CU_OK) {
		status = prog_output_failed(cu_writer_fault(writer));
	} else if (error == CU_ERR_NOMEM) {
		status = out_of_memory();
	} else if (error != 0) {
		status = PROG_FAILED;
	}
	if (writer) {
		note_counts(&counts, writer);
	}
	cu_writer_close(writer);
	return status;
}

int main(int argc, char **argv)
{
	struct prog_operands flows = prog_start(&spec, argc, argv);
	bool text = list_fields || check_file || run_tests || explain || explain_all;
	if (list_fields) {
		struct cu_buf buf = {0};
		cu_fields_list(&buf);
		prog_output_open(PROG_TEXT_OUTPUT);
		return prog_finish(print(&buf));
	}
	if (merge) {
		return run_merge(&flows);
	}
	if (learn && (prog_settings.output || explain || explain_all)) {
		prog_usage("--learn writes its file instead of %s",
		           prog_settings.output ? "that of -o" : "an explanation");
	}
	struct cu_rules *rules = load_rules();
	struct cu_baseline *baseline = baseline_files.n > 0 ? cu_baseline_new() : NULL;
	int status = PROG_OK;
	if (baseline_files.n > 0 &&
	    !read_baselines(baseline, (const char *const *)baseline_files.items, baseline_files.n)) {
		cu_baseline_free(baseline);
		cu_rules_free(rules);
		return prog_finish(PROG_FAILED);
	}
	cu_rules_set_baseline(rules, baseline);
	if (check_file || run_tests) {
		prog_output_open(PROG_TEXT_OUTPUT);
		status = check_file ? check(rules) : PROG_OK;
		status = run_tests ? prog_worse(status, test(rules)) : status;
		cu_baseline_free(baseline);
		cu_rules_free(rules);
		return prog_finish(status);
	}
	struct prog_readers inputs = prog_readers_open(&flows);
	if (learn && inputs.n > 0) {
		prog_settings.output = learn; /* appears when it is whole, as that of -o */
		prog_output_open(PROG_BINARY_OUTPUT);
		status = run_learn(&inputs, rules);
	} else if (inputs.n > 0) {
		prog_output_open(text ? PROG_TEXT_OUTPUT : PROG_BINARY_OUTPUT);
		prog_confine(0);
		status = explain || explain_all ? run_explain(&inputs, rules) : run_classify(&inputs, rules);
		status = prog_worse(status, prog_readers_status(&inputs));
	} else {
		status = prog_readers_status(&inputs);
	}
	prog_readers_close(&inputs);
	cu_baseline_free(baseline);
	cu_rules_free(rules);
	return prog_finish(status);
}
