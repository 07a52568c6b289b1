/*
 * The frames that prove a transaction's verdict, and a Wireshark display
 * filter that shows them.
 */
#ifndef CU_REPORT_FRAMES_H
#define CU_REPORT_FRAMES_H

#include "lib/base/bytes.h"
#include "lib/record/record.h"

struct cu_frame_range {
	uint64_t first, last;
};

/* Two messages, the acknowledgement, a ledger entry's two ends, and the events. */
enum { CU_FRAME_RANGES_CAP = 5 + CU_EVENT_CAP };

/*
 * The frames of request and answer, of the acknowledgement, of the events, and
 * those around cause's longest stretch (CU_CAUSE_NONE for none): sorted, none
 * twice. How many ranges.
 */
size_t cu_frames_of(const struct cu_transaction *transaction, unsigned cause,
                    struct cu_frame_range range[static CU_FRAME_RANGES_CAP]);

/*
 * Appends "tcp.stream == 0 && frame.number in {4,5,6,11}". Wireshark numbers
 * streams and frames within one file: with several, the stream is left out.
 */
void cu_frames_filter(const struct cu_transaction *transaction, unsigned cause, bool several, struct cu_buf *out);

#endif
