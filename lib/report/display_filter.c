/*
 * Wireshark display filters, a line for each slow transaction, or for each
 * transaction where nothing was judged. With several files the file's name and
 * a tab go first.
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
	if (item->file != NULL) {
		cu_term_escape(out, item->file, strlen(item->file), false);
		CU_PUT(out, "\t");
	}
	cu_frames_filter(item->transaction, item->verdict != NULL ? item->verdict->cause : 0U, item->file != NULL, out);
	CU_PUT(out, "\n");
	return 0;
}

const struct cu_format cu_format_filter = {
	.name = "filter",
	.open = filter_open,
	.transaction = filter_transaction,
	.close = filter_close,
};
