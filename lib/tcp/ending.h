/*
 * How a connection ended: by whom, cleanly or not, and what a RST says.
 */
#ifndef CU_TCP_ENDING_H
#define CU_TCP_ENDING_H

#include "lib/tcp/path.h"

/* Hops that are not known. */
enum { CU_HOPS_UNKNOWN = 255 };

/*
 * Fills close, closed_by, close_frame and the reset fields of an analysis
 * whose completeness is known.
 *
 * A RST is held to come from a device on the path (reset_by network) when it
 * came over another number of hops, by more than two, than all other segments
 * of its direction, before it and after, which agree among themselves; where
 * there are fewer than two, than the end's segments in an earlier connection.
 * Hops are what is missing from the next usual initial TTL (32, 64, 128, 255),
 * so an end whose RSTs only start from another TTL than its segments is not
 * taken for two.
 *
 * A RST after which its end goes on, and is acknowledged, ended nothing: it was
 * forged, or its number was out of the window (RFC 5961 section 3.2).
 */
void cu_ending_find(const struct cu_trace *trace, const struct cu_path *path, struct cu_analysis *analysis);

/* Hops behind a sender as its TTL has it. */
uint8_t cu_ending_hops(uint8_t ttl);

#endif
