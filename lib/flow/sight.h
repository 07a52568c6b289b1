/*
 * Sighting: what packets show of connections, before any is looked up.
 */
#ifndef CU_FLOW_SIGHT_H
#define CU_FLOW_SIGHT_H

#include "lib/capture/capture.h"
#include "lib/flow/assembly.h"
#include "lib/flow/track.h"

struct cu_sight {
	const struct cu_flowify_config *config; /* borrowed, like the table */
	const struct cu_table *table;
	struct cu_assembly *assembly;
	uint64_t n_kinds[CU_PACKET_N_KINDS];
	uint64_t n_left_out; /* frames of aggregates */
};

/* The table is the one that is looked up in. 0 or CU_ERR_NOMEM; release after either. */
int cu_sight_init(struct cu_sight *sight, const struct cu_flowify_config *config, const struct cu_table *table);
void cu_sight_release(struct cu_sight *sight);

/*
 * Decodes n packets, and sends for where the table has their connections.
 * Returns how many sightings there are: not every packet concerns a connection.
 */
size_t cu_sight_packets(struct cu_sight *sight, const struct cu_packet *packets, size_t n,
                        struct cu_sighting *sightings);

#endif
