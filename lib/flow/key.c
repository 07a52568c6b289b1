#include "lib/flow/key.h"

#include <string.h>

/* The high byte of an id says its kind; 1 is an IEEE 802.1Q VLAN. */
enum { ID_KIND_SHIFT = 24, ID_KIND_VLAN = 1 };

static void put_ids(struct cu_key *key, const struct cu_flow_key *flow, unsigned ignore)
{
	unsigned n = 0;
	for (unsigned i = 0; i < flow->n_ids && i < CU_VLAN_CAP; i++) {
		bool is_vlan = flow->ids[i] >> ID_KIND_SHIFT == ID_KIND_VLAN;
		if ((ignore & (is_vlan ? CU_IGNORE_VLAN : CU_IGNORE_TUNNEL)) != 0) {
			continue;
		}
		key->rest[3 + n / 2] |= (uint64_t)flow->ids[i] << (n % 2 * 32);
		n++;
	}
	key->head[0] |= (uint64_t)n << 8;
}

bool cu_key_make(const struct cu_flow_key *flow, unsigned ignore, struct cu_key *key)
{
	const uint8_t *src = flow->src.bytes, *dst = flow->dst.bytes;
	*key = (struct cu_key){0};
	bool from_lower = flow->src.family == 6 ? cu_key_make_ipv6(src, flow->src_port, dst, flow->dst_port, key)
	                                        : cu_key_make_ipv4(cu_get_be32(src), flow->src_port, cu_get_be32(dst),
	                                                           flow->dst_port, key);
	put_ids(key, flow, ignore);
	return from_lower;
}

static void put_be(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	}
}

void cu_key_ends(const struct cu_key *key, struct cu_addr addr[2], uint16_t port[2])
{
	memset(addr, 0, 2 * sizeof(addr[0]));
	addr[0].family = addr[1].family = (uint8_t)key->head[0];
	port[0] = (uint16_t)(key->head[0] >> 48);
	port[1] = (uint16_t)(key->head[0] >> 32);
	if (addr[0].family == 6) {
		put_be(addr[0].bytes, key->head[1], 8);
		put_be(addr[0].bytes + 8, key->rest[0], 8);
		put_be(addr[1].bytes, key->rest[1], 8);
		put_be(addr[1].bytes + 8, key->rest[2], 8);
	} else {
		put_be(addr[0].bytes, key->head[1] >> 32, 4);
		put_be(addr[1].bytes, key->head[1], 4);
	}
}

struct cu_key cu_key_without_ids(const struct cu_key *key)
{
	struct cu_key ends = *key;
	ends.head[0] &= ~UINT64_C(0xff00);
	ends.rest[3] = 0;
	ends.rest[4] = 0;
	return ends;
}

uint8_t cu_key_ids(const struct cu_key *key, uint32_t ids[CU_VLAN_CAP])
{
	uint8_t n = (uint8_t)(key->head[0] >> 8);
	for (unsigned i = 0; i < n; i++) {
		ids[i] = (uint32_t)(key->rest[3 + i / 2] >> (i % 2 * 32));
	}
	return n;
}
