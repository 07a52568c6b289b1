/*
 * Putting IP datagrams together again that came in fragments: their first
 * bytes, which have the headers, and the length of all.
 *
 * A receiver's TCP gets nothing of a datagram before all of it is there
 * (RFC 791 section 3.2, RFC 8200 section 4.5), so that a segment is seen with
 * the fragment that makes its datagram whole, whichever comes last, and not at
 * all when one never comes. Fragments that overlap count once where they do.
 * What contradicts the others - another end, bytes behind the end, or beyond
 * 65535 - and more holes than CU_RUNS_CAP make a datagram one that is never
 * whole.
 */
#ifndef CU_FLOW_ASSEMBLY_H
#define CU_FLOW_ASSEMBLY_H

#include "lib/flow/datagrams.h"
#include "lib/packet/packet.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	CU_HEAD_CAP = 1500, /* bytes kept of a datagram: headers, and payload for its hint */
	CU_RUNS_CAP =
		64, /* those of a segment in 175 pieces of 8 bytes, in any order, as fragroute sends them, are fewer */
};

/* Bytes that were seen, from one up to before another. */
struct cu_run {
	uint16_t from, to;
};

/* A datagram of which not all was seen yet. */
struct cu_partial {
	struct cu_ip_fragment first; /* its ends and what it carries; that of offset 0 once has_first */
	bool has_first;
	bool has_end;     /* len is known */
	bool is_spoilt;   /* it is never whole */
	bool has_segment; /* the first fragment is that of a TCP segment */
	uint16_t n_runs;  /* in order, none touching the next */
	struct cu_run runs[CU_RUNS_CAP];
	uint32_t len;         /* bytes in all */
	uint32_t n_fragments; /* seen */
	uint32_t head_caplen; /* bytes of head that are good once all was seen: snap lengths cut fragments */
	uint8_t head[CU_HEAD_CAP];
};

struct cu_assembly {
	struct cu_datagrams datagrams;
	uint64_t n_broken; /* segments of which not all fragments came in time, of those no more waited for */
	struct cu_partial partials[CU_DATAGRAMS_CAP]; /* by index there */
};

/* NULL when memory ran out. Memory that is never used is never touched. */
struct cu_assembly *cu_assembly_new(void);
void cu_assembly_free(struct cu_assembly *assembly);

/*
 * Takes the fragment that content holds, seen at time_ns. CU_PACKET_FRAGMENT
 * when its datagram is not whole with it; else what that is, with content
 * filled in, good until the next call, and n_fragments, how many others it
 * came in.
 */
enum cu_packet_kind cu_assembly_put(struct cu_assembly *assembly, int64_t time_ns, struct cu_packet_content *content,
                                    uint32_t *n_fragments);

/* Segments whose first fragment came, and of which not all did. */
uint64_t cu_assembly_n_broken(const struct cu_assembly *assembly);

#endif
