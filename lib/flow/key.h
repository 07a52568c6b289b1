/*
 * Keys of connections: the same for both directions.
 *
 * The two ends are put in order, so that a packet and its answer make one key;
 * whether a packet came from the lower end is all that is left of its direction.
 * IPv4 without VLAN or tunnel ids, nearly every packet, is settled by the first
 * two words.
 */
#ifndef CU_FLOW_KEY_H
#define CU_FLOW_KEY_H

#include "lib/base/bytes.h"
#include "lib/base/hash.h"
#include "lib/packet/packet.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * head[0]: port of the lower end << 48, port of the upper << 32, number of ids << 8, family.
 * IPv4: head[1] holds both addresses, the lower end's in the upper half.
 * IPv6: head[1] and rest[0] the lower end's address, rest[1] and rest[2] the upper's.
 * rest[3], rest[4]: up to four ids. Words not used are zero.
 */
struct cu_key {
	uint64_t head[2];
	uint64_t rest[5];
};

/* Ids that keys are made without: they differ by direction on some mirrors, and behind some routers. */
enum { CU_IGNORE_VLAN = 1, CU_IGNORE_TUNNEL = 2 };

/* As cu_key_make, for IPv6 and packets with ids. */
bool cu_key_make_long(const struct cu_flow_key *flow, unsigned ignore, struct cu_key *key);

static inline bool cu_key_make_ipv4(const struct cu_flow_key *flow, struct cu_key *key)
{
	uint64_t src = cu_get_be32(flow->src.bytes);
	uint64_t dst = cu_get_be32(flow->dst.bytes);
	uint64_t src_port = flow->src_port;
	uint64_t dst_port = flow->dst_port;
	bool from_lower = (src << 16 | src_port) <= (dst << 16 | dst_port);
	*key = (struct cu_key){0};
	key->head[0] = (from_lower ? src_port << 48 | dst_port << 32 : dst_port << 48 | src_port << 32) | 4;
	key->head[1] = from_lower ? src << 32 | dst : dst << 32 | src;
	return from_lower;
}

/*
 * Makes the key of a packet, without the ids of CU_IGNORE_ bits; returns
 * whether its source is the lower end.
 */
static inline bool cu_key_make(const struct cu_flow_key *flow, unsigned ignore, struct cu_key *key)
{
	if (flow->src.family == 4 && flow->n_ids == 0) {
		return cu_key_make_ipv4(flow, key);
	}
	return cu_key_make_long(flow, ignore, key);
}

/* The ends as addresses and ports again: index 0 the lower. */
void cu_key_ends(const struct cu_key *key, struct cu_addr addr[2], uint16_t port[2]);

/* The key of the same ends without ids. */
struct cu_key cu_key_without_ids(const struct cu_key *key);

/* The ids; returns how many. */
uint8_t cu_key_ids(const struct cu_key *key, uint32_t ids[CU_VLAN_CAP]);

/* Whether words beyond the head take part. */
static inline bool cu_key_is_long(uint64_t head)
{
	return (head & 0xffff) != 4;
}

static inline uint64_t cu_key_hash(struct cu_hash_seed seed, const struct cu_key *key)
{
	uint64_t h = cu_hash_mix(key->head[0] ^ seed.k[0], key->head[1] ^ seed.k[1]);
	if (cu_key_is_long(key->head[0])) {
		h = cu_hash_mix(h ^ key->rest[0], key->rest[1] ^ seed.k[1]);
		h = cu_hash_mix(h ^ key->rest[2], key->rest[3] ^ seed.k[0]);
		h = cu_hash_mix(h ^ key->rest[4], seed.k[1]);
	}
	/* Once more: after one multiplication, ports that follow each other can lie in heaps. */
	return cu_hash_mix(h, UINT64_C(0x9E3779B97F4A7C15));
}

#endif
