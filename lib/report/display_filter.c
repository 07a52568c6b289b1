/*
 * Wireshark display filters, a line for each slow transaction, or for each
 * transaction where nothing was judged. With several files the file's name and
 * a tab go first, and a transaction has a line for each that its frames are in.
 */
#include "lib/report/format.h"
#include "lib/report/frames.h"

#include <stdlib.h>
#include <string.h>

static int filter_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	(void)config;
	*state = sink;
	return 0;
}

static void filter_close(void *state)
{
	(void)state;
}

static int filter_transaction(void *state, const struct cu_report_transaction *item)
{
	struct cu_buf *out = &((struct cu_sink *)state)->buf;
	if (item->verdict != NULL && !item->verdict->slow) {
		return 0;
	}
	unsigned cause = item->verdict != NULL ? item->verdict->cause : (unsigned)CU_CAUSE_NONE;
	uint16_t file[CU_FRAME_FILES_CAP];
	size_t n = cu_frame_files_of(item->transaction, cause, file);
	for (size_t i = 0; i < n; i++) {
		const char *name = cu_part_file(item, file[i]);
		struct cu_frame_range range[CU_FRAME_RANGES_CAP];
		if (n > 1 && cu_frames_of(item->transaction, cause, file[i], range) == 0) {
			continue; /* it began there, in frames that are no evidence */
		}
		if (name != NULL) {
			cu_term_escape(out, name, strlen(name), false);
			CU_PUT(out, "\t");
		}
		cu_frames_filter(item->transaction, cause, file[i], name != NULL, out);
		CU_PUT(out, "\n");
	}
	return 0;
}

const struct cu_format cu_format_filter = {
	.name = "filter",
	.open = filter_open,
	.transaction = filter_transaction,
	.close = filter_close,
};
