/*
 * flowify: from a capture to a stream of connections and their timelines.
 */
#ifndef CU_FLOW_FLOWIFY_H
#define CU_FLOW_FLOWIFY_H

#include "lib/capture/capture.h"
#include "lib/flow/anonymize.h"
#include "lib/flow/key.h"
#include "lib/record/record.h"
#include "lib/record/stream.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Linux sends its first keep-alive after 7200 s of silence (tcp_keepalive_time);
 * a connection that is silent ten minutes longer has none, or has lost its peer.
 */
#define CU_IDLE_TIMEOUT_NS (INT64_C(7800) * CU_NS_PER_S)

/* 0 is the default of each. */
struct cu_flowify_config {
	int64_t idle_timeout_ns; /* of capture time, after which a connection has ended; CU_IDLE_TIMEOUT_NS */
	/*
	 * Bound on connections and pending timelines together, in bytes: the
	 * least used connections leave early when it is met. By default
	 * timelines may take 32 MiB beyond 192 bytes for each connection, and
	 * there may be 4 Mi connections.
	 */
	uint64_t memory_bytes;
	/*
	 * Other addresses and ids take the place of those captured, texts of hints
	 * and the captures' names stay out. Borrowed; NULL: not wanted.
	 */
	struct cu_anonymizer *anonymizer;
	bool no_hints;   /* nothing of any payload leaves */
	unsigned ignore; /* CU_IGNORE_ bits: connections that differ in these ids alone are one */
};

/*
 * Reads capture to its end and writes header, records, totals and trailer.
 * Faults of the capture stay there (cu_capture_fault); all that was whole is
 * written. 0, or the error of the writer (see its fault), or CU_ERR_NOMEM, or
 * CU_ERR_RANGE when there are more than CU_FILE_CAP files. totals is filled
 * in either way.
 */
int cu_flowify(struct cu_capture *capture, struct cu_writer *writer, const struct cu_flowify_config *config,
               struct cu_totals *totals);

#endif
