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

/* Two messages' two ends, the acknowledgement, a ledger entry's two ends, and the events. */
enum { CU_FRAME_RANGES_CAP = 7 + CU_EVENT_CAP };

/* Each of them may be in a file of its own. */
enum { CU_FRAME_FILES_CAP = 8 + CU_EVENT_CAP };

/*
 * The files of those frames, as the transaction's parts have them (see
 * cu_transaction_file): its own first, none twice. How many; 1 at least.
 */
size_t cu_frame_files_of(const struct cu_transaction *transaction, unsigned cause,
                         uint16_t file[static CU_FRAME_FILES_CAP]);

/*
 * Of those of one file: the frames of request and answer, of the
 * acknowledgement, of the events, and those around cause's longest stretch
 * (CU_CAUSE_NONE for none): sorted, none twice. How many ranges.
 */
size_t cu_frames_of(const struct cu_transaction *transaction, unsigned cause, uint16_t file,
                    struct cu_frame_range range[static CU_FRAME_RANGES_CAP]);

/*
 * Appends "ip.addr == 10.0.0.42 && tcp.port == 40010 && ip.addr == 10.0.0.5 &&
 * tcp.port == 5432 && frame.number in {4,5,6,11}", in one line: the frames of
 * one file. Not tcp.stream: Wireshark counts the streams of a whole file, and
 * we those that were read of it, a filter or shard has fewer, and a connection
 * that was silent for long is two. connection NULL: its ends are not known.
 */
void cu_frames_filter(const struct cu_connection *connection, const struct cu_transaction *transaction, unsigned cause,
                      uint16_t file, struct cu_buf *out);

#endif
