/*
 * The Wireshark display filters of a transaction: one for each file that its
 * evidence is in.
 */
#ifndef CU_REPORT_DISPLAY_FILTER_H
#define CU_REPORT_DISPLAY_FILTER_H

#include "lib/report/format.h"
#include "lib/report/frames.h"

struct cu_filters {
	const struct cu_report_transaction *item; /* borrowed */
	unsigned cause;
	const char *name; /* of the file that the current one is for; NULL when there is only one */
	uint16_t at;      /* that file's number */
	uint16_t file[CU_FRAME_FILES_CAP];
	size_t n, i;
};

void cu_filters_begin(struct cu_filters *filters, const struct cu_report_transaction *item);

/* Goes to the next file, the transaction's own first; false when there is no more. */
bool cu_filters_next(struct cu_filters *filters);

/* Appends the current one's filter. */
void cu_filters_put(const struct cu_filters *filters, struct cu_buf *out);

#endif
