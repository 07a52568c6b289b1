/*
 * Tracking: what a decoded packet means for its connection, and the records
 * that come of it.
 *
 * Stream numbers are those of tshark 4.0 (tcp.stream): a connection begins
 * with a new pair of ends, or with a SYN on a known pair whose sequence number
 * is not the one that the connection in that direction began with. Everything
 * else on a known pair belongs to it, also after FIN and RST.
 */
#ifndef CU_FLOW_TRACK_H
#define CU_FLOW_TRACK_H

#include "lib/flow/flowify.h"
#include "lib/flow/table.h"

/* A decoded packet on its way into the table. */
struct cu_sighting {
	struct cu_segment segment; /* whole but for dir; its hint is that of the payload, wanted or not */
	struct cu_key key;
	struct cu_flow *guess; /* of cu_table_guess */
	uint32_t tag;
	uint32_t n_fragments;      /* in which it came, beside the one */
	struct cu_syn_options syn; /* when SYN is set */
	bool from_lower;           /* which end of the key sent it */
};

enum {
	CU_LEFT_CAP = 4096, /* connections remembered that left in mid-life */
	CU_HALF_CAP = 4096, /* and those in which one side only spoke */
};

/* A connection of which one direction was seen. */
struct cu_half {
	uint64_t hash; /* of its ends, and in the lowest bit which of them spoke; 0: none */
	uint64_t ids;  /* hash of all of its key */
};

struct cu_track {
	struct cu_table table;
	struct cu_spool_pool spools;
	struct cu_writer *writer;         /* borrowed */
	struct cu_anonymizer *anonymizer; /* borrowed; or NULL */
	struct cu_buf buf;
	int64_t idle_timeout_ns;
	uint32_t flows_cap;
	uint64_t spare_bytes; /* that all spools may have beyond a small one for each connection */
	uint64_t n_streams;
	uint64_t n_evicted;
	uint64_t left[CU_LEFT_CAP]; /* hashes of their keys */
	uint64_t n_strays;          /* ICMP errors about segments of no connection that is open, with the same ids */
	uint64_t n_parted;          /* whose directions differed in ids alone: each is two connections */
	struct cu_half halves[CU_HALF_CAP];
};

/* 0 or CU_ERR_NOMEM; release after either. The writer is borrowed. */
int cu_track_init(struct cu_track *track, struct cu_writer *writer, const struct cu_flowify_config *config);
void cu_track_release(struct cu_track *track);

/*
 * Takes n packets in the order of their capture; their guesses and the hints
 * and directions of their segments are written to. Call it with few enough for
 * a cache: 32 was best. 0 or an error of memory or the writer.
 */
int cu_track_put(struct cu_track *track, struct cu_sighting *sightings, size_t n);

/* The capture is over: writes what is left, in order of streams. */
int cu_track_finish(struct cu_track *track);

#endif
