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
 * rest[3], rest[4]: up to four ids. Words not used are zero, but rest is anything where the head is made alone.
 */
struct cu_key {
	uint64_t head[2];
	uint64_t rest[5];
};

/* Ids that keys are made without: they differ by direction on some mirrors, and behind some routers. */
enum { CU_IGNORE_VLAN = 1, CU_IGNORE_TUNNEL = 2 };

/* Fills in the head, which is all, of IPv4 without ids; returns whether the source is the lower end. */
static inline bool cu_key_make_ipv4(uint32_t src, uint16_t src_port, uint32_t dst, uint16_t dst_port,
                                    struct cu_key *key)
{
	uint64_t from = (uint64_t)src << 16 | src_port;
	uint64_t to = (uint64_t)dst << 16 | dst_port;
	uint64_t lower = from <= to ? from : to;
	uint64_t upper = from <= to ? to : from;
	key->head[0] = lower << 48 | (upper & 0xffff) << 32 | 4;
	key->head[1] = lower >> 16 << 32 | upper >> 16;
	return from <= to;
}

/* The same of IPv6, whose addresses are 16 bytes each; what ids there are stands in rest[3] and rest[4]. */
static inline bool cu_key_make_ipv6(const uint8_t *src, uint16_t src_port, const uint8_t *dst, uint16_t dst_port,
                                    struct cu_key *key)
{
	uint64_t from[2] = {cu_get_be64(src), cu_get_be64(src + 8)}, to[2] = {cu_get_be64(dst), cu_get_be64(dst + 8)};
	bool from_lower = from[0] != to[0]   ? from[0] < to[0]
	                  : from[1] != to[1] ? from[1] < to[1]
	                                     : src_port <= dst_port;
	uint64_t lower_port = from_lower ? src_port : dst_port, upper_port = from_lower ? dst_port : src_port;
	key->head[0] = lower_port << 48 | upper_port << 32 | 6;
	key->head[1] = from_lower ? from[0] : to[0];
	key->rest[0] = from_lower ? from[1] : to[1];
	key->rest[1] = from_lower ? to[0] : from[0];
	key->rest[2] = from_lower ? to[1] : from[1];
	key->rest[3] = key->rest[4] = 0;
	return from_lower;
}

/*
 * Makes the key of a packet, without the ids of CU_IGNORE_ bits; returns
 * whether its source is the lower end.
 */
bool cu_key_make(const struct cu_flow_key *flow, unsigned ignore, struct cu_key *key);

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
