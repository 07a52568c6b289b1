#include "cmd/common/common.h"

#include "lib/base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Standard streams, an output, a spare file, and what it takes to start a decompressor. */
enum { FILES_BESIDE = 12 };

size_t prog_files_allowed(void)
{
	struct rlimit limit;
	bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
	return is_known && limit.rlim_cur > FILES_BESIDE ? (size_t)limit.rlim_cur - FILES_BESIDE : 1;
}

static void show_progress(void *arg, const struct cu_capture *capture)
{
	(void)arg;
	uint64_t read_bytes = 0, size_bytes = 0, n_packets = 0;
	bool sized = true;
	for (size_t i = 0; i < cu_capture_n_inputs(capture); i++) {
		const struct cu_capture_stats *stats = cu_capture_stats(capture, i);
		read_bytes += stats->read_bytes;
		size_bytes += stats->size_bytes;
		n_packets += stats->n_packets;
		sized = sized && stats->size_bytes > 0;
	}
	prog_progress(read_bytes, sized ? size_bytes : 0, n_packets, "packets");
}

struct cu_capture_config prog_capture_config(const struct prog_operands *captures, const char *filter)
{
	struct cu_capture_config config = {
		.paths = (const char *const *)captures->paths,
		.n_paths = captures->n,
		.filter = filter,
		.progress = show_progress,
	};
	size_t half = (prog_files_allowed() + 1) / 2;
	config.files_cap = half < CU_CAPTURE_FILES ? half : CU_CAPTURE_FILES;
	if (captures->n > config.files_cap / CU_CAPTURE_FILES_EACH) {
		config.spare_fd = prog_spare_file();
		config.has_spare_file = config.spare_fd >= 0;
	}
	return config;
}

static void warn_of_steps(const char *name, const struct cu_time_steps *steps, const char *where)
{
	char largest[CU_TEXT_CAP];
	cu_format_duration(largest, steps->largest_ns);
	if (steps->n == 1) {
		prog_warn("%s: its time %s by %s at frame %" PRIu64, name, where, largest, steps->frame);
	} else if (steps->n > 1) {
		prog_warn("%s: its time %s at %" PRIu64 " frames, at most by %s at frame %" PRIu64, name, where,
		          steps->n, largest, steps->frame);
	}
}

static void warn_of_astray(const char *name, const struct cu_time_steps *astray)
{
	char largest[CU_TEXT_CAP];
	cu_format_duration(largest, astray->largest_ns);
	if (astray->n == 1) {
		prog_warn("%s: the time of frame %" PRIu64
		          " is %s from those of the frames around it: it is given that "
		          "of the one before",
		          name, astray->frame, largest);
	} else if (astray->n > 1) {
		prog_warn("%s: the times of %" PRIu64 " frames are far from those of the frames around them, at most "
		          "by %s at frame %" PRIu64 ": they are given those of the ones before",
		          name, astray->n, largest, astray->frame);
	}
}

/* What was read of an input, and what was passed over. */
static void note_input(const char *name, const struct cu_capture_stats *stats)
{
	char size[CU_TEXT_CAP], skipped[CU_TEXT_CAP], damage[2 * CU_TEXT_CAP] = "";
	cu_format_size(size, stats->read_bytes);
	if (stats->n_damaged > 0) {
		snprintf(damage, sizeof(damage), ", %" PRIu64 " damaged %s, %s passed over there", stats->n_damaged,
		         stats->n_damaged == 1 ? "place" : "places", cu_format_size(skipped, stats->skipped_bytes));
	}
	prog_note("%s: %s, %s, %" PRIu64 " packets, %" PRIu64 " not matching the filter%s", name,
	          stats->format[0] ? stats->format : "nothing read", size, stats->n_packets, stats->n_filtered, damage);
}

int prog_capture_report(const struct cu_capture *capture)
{
	int status = PROG_OK;
	const struct cu_fault *fault;
	for (size_t i = 0; (fault = cu_capture_fault(capture, i)); i++) {
		prog_error_fault(fault);
		status = PROG_FAILED;
	}
	size_t n_inputs = cu_capture_n_inputs(capture);
	for (size_t i = 0; i < n_inputs; i++) {
		const struct cu_capture_stats *stats = cu_capture_stats(capture, i);
		const char *name = prog_input_name(stats->path);
		if (stats->n_packets == 0 && stats->format[0] && n_inputs > 1) {
			prog_warn("%s: has no packets", name);
		} else if (stats->n_packets == 0 && stats->format[0]) {
			prog_warn_alone("%s: has no packets", name);
		}
		if (stats->n_drops > 0) {
			prog_warn("%s: the capturing program dropped %" PRIu64 " packets", name, stats->n_drops);
		}
		if (stats->n_untimed > 0) {
			prog_warn("%s: %" PRIu64 " packets have no time (simple packet blocks): nothing can be said of "
			          "how long what they do took",
			          name, stats->n_untimed);
		}
		warn_of_steps(name, &stats->back, "runs backwards");
		warn_of_steps(name, &stats->ahead, "jumps ahead");
		warn_of_astray(name, &stats->astray);
		note_input(name, stats);
	}
	return status;
}
