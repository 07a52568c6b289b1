/*
 * Wireshark display filters, a line for each slow transaction, or for each
 * transaction where nothing was judged. With several files the file's name and
 * a tab go first, and a transaction has a line for each that its frames are in.
 */
#include "lib/report/display_filter.h"

#include <stdlib.h>
#include <string.h>

void cu_filters_begin(struct cu_filters *filters, const struct cu_report_transaction *item)
{
	*filters = (struct cu_filters){.item = item};
	filters->cause = item->verdict != NULL ? item->verdict->cause : (unsigned)CU_CAUSE_NONE;
	filters->n = cu_frame_files_of(item->transaction, filters->cause, filters->file);
}

bool cu_filters_next(struct cu_filters *filters)
{
	while (filters->i < filters->n) {
		filters->at = filters->file[filters->i++];
		filters->name = cu_part_file(filters->item, filters->at);
		struct cu_frame_range range[CU_FRAME_RANGES_CAP];
		if (filters->n == 1 ||
		    cu_frames_of(filters->item->transaction, filters->cause, filters->at, range) > 0) {
			return true; /* else it began there, in frames that are no evidence */
		}
	}
	return false;
}

void cu_filters_put(const struct cu_filters *filters, struct cu_buf *out)
{
	cu_frames_filter(filters->item->connection, filters->item->transaction, filters->cause, filters->at, out);
}

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
	struct cu_filters filters;
	cu_filters_begin(&filters, item);
	while (cu_filters_next(&filters)) {
		if (filters.name != NULL) {
			cu_term_escape(out, filters.name, strlen(filters.name), false);
			CU_PUT(out, "\t");
		}
		cu_filters_put(&filters, out);
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
