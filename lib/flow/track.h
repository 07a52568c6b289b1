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
	int64_t time_ns;
	uint64_t frame;
	uint16_t file;
	bool from_lower; /* which end of the key sent it */
	uint8_t kind;    /* enum cu_packet_kind */
	uint32_t tag;
	uint32_t guess; /* of cu_table_guess; it may be wrong by now */
	struct cu_key key;
	union cu_packet_content content;
	struct cu_hint hint; /* of the payload */
};

enum {
	CU_LEFT_CAP = 4096,     /* connections remembered that left in mid-life */
	CU_FRAGMENTED_CAP = 64, /* pairs of addresses whose fragments are counted */
};

struct cu_fragmented {
	struct cu_key key; /* addresses only */
	uint64_t stream;
	uint32_t ref;
};

struct cu_track {
	struct cu_table table;
	struct cu_chain_pool chains;
	struct cu_writer *writer; /* borrowed */
	struct cu_buf buf;
	int64_t idle_timeout_ns;
	uint32_t flows_cap;
	uint32_t spare_blocks; /* blocks all chains may have beyond one a connection */
	bool ignore_vlan;
	uint64_t n_streams;
	uint64_t n_evicted;
	uint64_t left[CU_LEFT_CAP]; /* hashes of their keys */
	struct cu_fragmented fragmented[CU_FRAGMENTED_CAP];
};

/* 0 or CU_ERR_NOMEM; release after either. The writer is borrowed. */
int cu_track_init(struct cu_track *track, struct cu_writer *writer, const struct cu_flowify_config *config);
void cu_track_release(struct cu_track *track);

/* A packet of any kind. 0 or an error of memory or the writer. */
int cu_track_put(struct cu_track *track, const struct cu_sighting *sighting);

/* Lets connections leave that are over at this time; call it at least every 32 packets. */
int cu_track_expire(struct cu_track *track, int64_t now_ns);

/* The capture is over: writes what is left, in order of streams. */
int cu_track_finish(struct cu_track *track);

#endif
