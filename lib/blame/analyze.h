/*
 * analyze: from timelines to analysis, transactions and ledgers.
 */
#ifndef CU_BLAME_ANALYZE_H
#define CU_BLAME_ANALYZE_H

#include "lib/record/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cu_analyze_config {
	bool no_segments; /* leave timelines and marks out of the output: half the bytes for who needs verdicts only */
	/*
	 * Bound on segments, in bytes; 1 GiB by default. Half is for those of the
	 * connections that are judged, 512 bytes each: a longer one is judged in
	 * parts, cut before a transaction, or within one that takes more than half
	 * of a part. A quarter is for those that wait for the end of their
	 * connections, as flowify encodes them, by default 24 MiB when there is a
	 * spare file: what is more goes there. A quarter is for connections that may
	 * go on in a later stream, by default 2 GiB, which is more than flowify has:
	 * those without room are judged without it.
	 */
	uint64_t memory_bytes;
	/* Threads that judge, at most CU_CREW_CAP; 0: as many as there are processors. The output is the same. */
	unsigned n_jobs;
	/* Open for reading and writing; it stays the caller's. Without one, what waits beyond its half is CU_ERR_NOMEM. */
	bool has_spare_file;
	int spare_fd;
};

struct cu_analyze_counts {
	uint64_t n_in_parts; /* connections */
	uint64_t
		n_no_room; /* connections that were not kept until a later stream, which came and may have more of them */
	int spare_errno;   /* why the spare file failed, and with it the whole: CU_ERR_IO; 0 it did not */
	bool needs_spare_file; /* and there was none: CU_ERR_NOMEM */
};

/*
 * Reads the streams one after another and writes one stream, their union, with
 * what each connection's timeline says: an analysis, gaps, marks and
 * transactions behind each connection. A connection that goes on in a later
 * stream is joined (join.h); those that may go on are written when the streams
 * are over. Unknown optional records pass through.
 * 0, or a negative error whose sentence is in the reader or the writer that
 * failed; everything whole before it is written, with a trailer unless the
 * writer failed, or passes on that an input had none.
 */
int cu_analyze(struct cu_reader *const *readers, size_t n_readers, struct cu_writer *writer,
               const struct cu_analyze_config *config, struct cu_analyze_counts *counts);

#endif
