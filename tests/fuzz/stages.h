/*
 * The stages as functions from one file in memory to the next, for fuzz
 * targets. A file is a memfd: what the library reads has a descriptor.
 */
#ifndef CULPRIT_TESTS_FUZZ_STAGES_H
#define CULPRIT_TESTS_FUZZ_STAGES_H

#include "lib/blame/analyze.h"
#include "lib/capture/capture.h"
#include "lib/flow/anonymize.h"
#include "lib/flow/flowify.h"
#include "lib/record/stream.h"
#include "lib/report/report.h"
#include "lib/rules/baseline.h"
#include "lib/rules/classify.h"
#include "lib/rules/rules.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file with these bytes, to be read from its start. */
static inline int fuzz_file(const void *data, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0) {
		perror("memfd");
		abort();
	}
	return fd;
}

/* Formats that a child process decompresses: a process for each input is too slow to learn from. */
static inline bool fuzz_needs_child(const uint8_t *data, size_t len)
{
	static const struct {
		const char *magic;
		size_t len;
	} formats[] = {{"\x1f\x8b", 2},
	               {"\xfd"
	                "7zXZ",
	                5},
	               {"\x04\x22\x4d\x18", 4},
	               {"\x02\x21\x4c\x18", 4},
	               {"BZh", 3}};
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (len >= formats[i].len && memcmp(data, formats[i].magic, formats[i].len) == 0) {
			return true;
		}
	}
	return false;
}

enum { FUZZ_CAPTURES_CAP = 2 };

/*
 * Opens a capture that is in memory, n times at once to be merged; NULL when
 * it is refused. *fd is to be closed after the capture.
 */
static inline struct cu_capture *fuzz_capture(const uint8_t *data, size_t len, size_t n, int *fd)
{
	static char path[64]; /* borrowed while the capture is open */
	const char *paths[FUZZ_CAPTURES_CAP] = {path, path};
	const struct cu_capture_config config = {.paths = paths, .n_paths = n};
	struct cu_capture *capture = NULL;
	struct cu_fault fault = {0};
	*fd = fuzz_file(data, len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
	if (cu_capture_open(&capture, &config, &fault) != 0) {
		assert(fault.text[0] != '\0');
	}
	return capture;
}

/*
 * The capture's flow records; -1 when it is refused. By the length of the
 * input: taken twice, as by two mirror ports, and anonymized.
 */
static inline int fuzz_flowify(const uint8_t *data, size_t len)
{
	static const uint8_t key[CU_ANONYMIZE_KEY_LEN] = {1};
	static struct cu_anonymizer anonymizer;
	static bool is_ready;
	int in;
	struct cu_capture *capture = fuzz_capture(data, len, 1 + len % 2, &in);
	if (!is_ready) {
		cu_anonymize_init(&anonymizer, key);
		is_ready = true;
	}
	if (capture == NULL) {
		close(in);
		return -1;
	}
	int out = memfd_create("flows", MFD_CLOEXEC);
	const struct cu_writer_config config = {.no_compress = true};
	const struct cu_flowify_config flowify = {.anonymizer = len % 4 >= 2 ? &anonymizer : NULL};
	struct cu_totals totals;
	struct cu_writer *writer;
	assert(cu_writer_open(&writer, out, &config) == 0);
	assert(cu_flowify(capture, writer, &flowify, &totals) == 0);
	cu_writer_close(writer);
	cu_capture_close(capture);
	close(in);
	return out;
}

/* The rules that classify has by itself. */
static inline struct cu_rules *fuzz_rules(void)
{
	static struct cu_rules *rules;
	if (rules == NULL) {
		rules = cu_rules_new();
		assert(rules != NULL && cu_rules_add_default(rules) == 0 && cu_rules_finish(rules) == 0);
	}
	return rules;
}

enum fuzz_stage { FUZZ_ANALYZE, FUZZ_ANALYZE_IN_PARTS, FUZZ_CLASSIFY };

/* Runs a stage over records; takes the descriptor, returns the next. */
static inline int fuzz_stage(enum fuzz_stage stage, int in)
{
	int out = memfd_create("records", MFD_CLOEXEC);
	const struct cu_writer_config config = {.no_compress = true};
	struct cu_reader *reader;
	struct cu_writer *writer;
	lseek(in, 0, SEEK_SET);
	assert(cu_reader_open(&reader, in, "fuzz") == 0);
	assert(cu_writer_open(&writer, out, &config) == 0);
	if (stage != FUZZ_CLASSIFY) {
		/* Eight segments, but for what one chunk has more; and half of it for those that wait. */
		enum { PART_BYTES = 16 * 512 };
		static int spare_fd = -1;
		if (spare_fd < 0) {
			spare_fd = memfd_create("spare", MFD_CLOEXEC);
		}
		struct cu_analyze_config analyze = {0};
		if (stage == FUZZ_ANALYZE_IN_PARTS) {
			analyze = (struct cu_analyze_config){
				.memory_bytes = PART_BYTES, .has_spare_file = true, .spare_fd = spare_fd};
		}
		struct cu_analyze_counts counts;
		cu_analyze(&reader, 1, writer, &analyze, &counts);
	} else {
		struct cu_classify_counts counts;
		cu_classify(&reader, 1, writer, fuzz_rules(), &counts);
	}
	cu_reader_close(reader);
	cu_writer_close(writer);
	close(in);
	return out;
}

/* Reports of records in a format, to nowhere. The descriptor stays the caller's. */
static inline void fuzz_report(int in, enum cu_report_format format, enum cu_report_by by, bool segments)
{
	static int nowhere = -1;
	if (nowhere < 0) {
		nowhere = memfd_create("report", MFD_CLOEXEC);
	}
	const struct cu_report_config config = {
		.format = format, .by = by, .segments = segments, .top = CU_REPORT_TOP_DEFAULT, .all = true};
	struct cu_report *report;
	struct cu_reader *reader;
	lseek(in, 0, SEEK_SET);
	assert(ftruncate(nowhere, 0) == 0 && lseek(nowhere, 0, SEEK_SET) == 0);
	if (cu_report_open(&report, nowhere, &config) != 0) {
		return;
	}
	assert(cu_reader_open(&reader, in, "fuzz") == 0);
	cu_report_run(report, reader);
	cu_report_finish(report);
	cu_report_close(report);
	cu_reader_close(reader);
}

static inline void fuzz_report_all(int in)
{
	static unsigned turn;
	for (int format = 0; format < CU_N_REPORT_FORMATS; format++) {
		fuzz_report(in, (enum cu_report_format)format, CU_REPORT_BY_NOTHING, false);
	}
	fuzz_report(in, CU_REPORT_TEXT, CU_REPORT_BY_NOTHING, true);
	fuzz_report(in, CU_REPORT_JSON, CU_REPORT_BY_NOTHING, true);
	fuzz_report(in, turn % 2 != 0 ? CU_REPORT_TEXT : CU_REPORT_JSON,
	            (enum cu_report_by)(turn / 2 % CU_REPORT_BY_NOTHING), false);
	turn++;
}

static inline int fuzz_take_nothing(void *context, const char *text, size_t len)
{
	(void)context;
	(void)text;
	(void)len;
	return 0;
}

/* What else classify makes of analysed records: a baseline, explanations. */
static inline void fuzz_explain(int in)
{
	const struct cu_explain_config config = {0};
	struct cu_reader *reader;
	struct cu_baseline *baseline = cu_baseline_new();
	assert(baseline != NULL);
	lseek(in, 0, SEEK_SET);
	assert(cu_reader_open(&reader, in, "fuzz") == 0);
	cu_classify_learn(&reader, 1, fuzz_rules(), baseline);
	cu_reader_close(reader);
	cu_baseline_free(baseline);
	lseek(in, 0, SEEK_SET);
	assert(cu_reader_open(&reader, in, "fuzz") == 0);
	size_t n;
	cu_classify_explain(&reader, 1, fuzz_rules(), &config, fuzz_take_nothing, NULL, &n);
	cu_reader_close(reader);
}

#endif
