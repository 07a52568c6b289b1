/*
 * analyze: flow records in, the same with what TCP did and the ledgers of
 * transactions out.
 */
#include "lib/blame/analyze.h"
#include "cmd/common/common.h"
#include "lib/base/crew.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static struct cu_analyze_config config;
static uint64_t n_jobs;

/* clang-format off */
static const struct prog_option options[] = {
	{.name = "jobs", .letter = 'j', .kind = PROG_COUNT, .value = &n_jobs, .max = CU_CREW_CAP, .arg = "N",
	 .help = "connections judged at the same time; the output is the same", .preset = "one for each processor"},
	{.name = "max-memory", .kind = PROG_SIZE, .value = &config.memory_bytes, .arg = "SIZE",
	 .help = "what segments may take before they go to a file, or are judged in parts", .preset = "1G"},
	{.name = "no-segments", .kind = PROG_FLAG, .value = &config.no_segments,
	 .help = "leave out the segments: smaller, but not to be analyzed again"},
	{0},
};
/* clang-format on */

static const struct prog_spec spec = {
	.name = "analyze",
	.summary = "add TCP analysis, transactions and their ledgers to flow records",
	.operands = "[flows ...]",
	.options = options,
	.common = PROG_HAS_OUTPUT | PROG_HAS_COMPRESS,
	.notes = "Flow records come from flowify; give rotated ones in order of time.\n"
		 "With no file, or when it is -, standard input is read.",
};

int main(int argc, char **argv)
{
	struct prog_operands flows = prog_start(&spec, argc, argv);
	struct prog_readers inputs = prog_readers_open(&flows);
	if (inputs.n == 0) {
		return prog_finish(PROG_FAILED);
	}
	prog_output_open(PROG_BINARY_OUTPUT);
	config.n_jobs = (unsigned)n_jobs;
	config.spare_fd = prog_spare_file();
	config.has_spare_file = config.spare_fd >= 0;
	prog_confine(0);

	struct cu_analyze_counts counts = {0};
	struct cu_writer *writer;
	struct cu_writer_config output = {.no_compress = prog_settings.no_compress,
	                                  .passes_cut = prog_settings.in_pipeline};
	int status = PROG_OK;
	int error = cu_writer_open(&writer, STDOUT_FILENO, &output);
	if (error == 0) {
		error = cu_analyze(inputs.readers, inputs.n, writer, &config, &counts);
	}
	if (writer && cu_writer_fault(writer)->code != CU_OK) {
		status = prog_output_failed(cu_writer_fault(writer));
	} else if (counts.spare_errno != 0) {
		prog_error("the file for segments that wait: %s", strerror(counts.spare_errno));
		status = prog_output_abandon();
	} else if (counts.needs_spare_file) {
		prog_error(
			"the segments that wait take more than a quarter of --max-memory, and no file can be made for them: "
			"set TMPDIR to a folder with room, or raise --max-memory");
		status = prog_output_abandon();
	} else if (error == CU_ERR_NOMEM) {
		const struct cu_fault out_of_memory = {.code = CU_ERR_NOMEM};
		status = prog_output_failed(&out_of_memory);
	} else if (error != 0) {
		status = PROG_FAILED;
	}
	status = prog_worse(status, prog_readers_status(&inputs));
	if (counts.n_in_parts > 0) {
		prog_warn("connections judged in parts, to save memory (--max-memory): %" PRIu64, counts.n_in_parts);
	}
	if (counts.n_no_room > 0) {
		prog_warn(
			"connections judged without what later files may have of them, to save memory (--max-memory): %" PRIu64,
			counts.n_no_room);
	}
	if (writer) {
		prog_note("%" PRIu64 " bytes written", cu_writer_n_bytes(writer));
	}
	cu_writer_close(writer);
	prog_readers_close(&inputs);
	return prog_finish(status);
}
