/*
 * split: deals the packets of a capture out to shards, so that each can be
 * processed alone.
 */
#ifndef CU_FLOW_SPLIT_H
#define CU_FLOW_SPLIT_H

#include "lib/capture/capture.h"
#include "lib/capture/shards.h"
#include "lib/flow/flowify.h"
#include "lib/flow/key.h"

#include <stdbool.h>
#include <stdint.h>

enum cu_split_way {
	CU_SPLIT_HASH,       /* n shards, by a hash of the connection */
	CU_SPLIT_TIME,       /* a shard for each period of the clock */
	CU_SPLIT_SIZE,       /* a shard until it is full */
	CU_SPLIT_CONNECTION, /* a shard for each pair of ends */
	CU_SPLIT_SERVER,     /* a shard for each server's address */
};

/*
 * With HASH, CONNECTION and SERVER both directions of a connection, the ICMP
 * errors about it, and the fragments that follow its first fragments are in
 * one shard. What belongs to no connection is dealt out in turn (HASH), or
 * has a shard of its own, whose key is "other".
 */
struct cu_split_config {
	enum cu_split_way way;
	uint32_t n;         /* HASH: shards, at least 1 */
	int64_t every_ns;   /* TIME: periods begin at multiples of it since 1970 */
	uint64_t max_bytes; /* SIZE: before compression; a shard has one packet at least */
	bool spread;        /* HASH: connections between the same two hosts in different shards */
	unsigned ignore;    /* CU_IGNORE_ bits: connections that differ in these ids alone are one */
};

struct cu_split_totals {
	uint64_t n_packets; /* delivered by the capture */
	uint64_t n_other;   /* of them, of no connection */
	uint64_t n_left_out;
	uint64_t n_shards;
};

/*
 * Reads capture to its end and finishes all shards. Faults of the capture stay
 * there. 0, or an error of cu_shards or of memory with its sentence in fault;
 * what is finished by then stays.
 */
int cu_split(struct cu_capture *capture, struct cu_shards *shards, const struct cu_split_config *config,
             struct cu_split_totals *totals, struct cu_fault *fault);

#endif
