/*
 * The usual frame, found in line: Ethernet, IP without options or extension
 * headers and in one piece, TCP. cu_packet_decode says the same of it; who sees
 * millions of them reads them here.
 */
#ifndef CU_PACKET_USUAL_H
#define CU_PACKET_USUAL_H

#include "lib/base/bytes.h"

struct cu_usual {
	const uint8_t *ip;  /* its header, 20 bytes or, of IPv6, 40 */
	const uint8_t *tcp; /* the segment */
	uint32_t cap;       /* bytes captured there, at least 20 */
	uint32_t wire;      /* bytes there were */
	bool is_ipv6;
};

/* False: it is no usual frame, or not captured up to the end of a TCP header; usual has nothing to rely on then. */
static inline __attribute__((always_inline)) bool cu_usual_find(uint16_t linktype, const uint8_t *data, uint32_t caplen,
                                                                struct cu_usual *usual)
{
	enum {
		LINKTYPE_ETHERNET = 1,
		ETHERNET_HEADER = 14,
		IPV4_HEADER = 20,
		IPV6_HEADER = 40,
		TCP_HEADER = 20,
		PROTO_TCP = 6,
		FRAGMENT_BITS = 0x3fff, /* more fragments, and the offset */
	};
	/* Ethertype, version, and the length of an IPv4 header in words. */
	const uint32_t ipv4 = 0x080045, ipv6 = 0x86dd6;
	if (linktype != LINKTYPE_ETHERNET || caplen < ETHERNET_HEADER + IPV4_HEADER + TCP_HEADER) {
		return false;
	}
	const uint8_t *ip = data + ETHERNET_HEADER;
	uint32_t head = cu_get_be32(data + 12);
	usual->ip = ip;
	usual->is_ipv6 = head >> 8 != ipv4;
	if (!usual->is_ipv6) {
		uint32_t total = cu_get_be16(ip + 2);
		usual->tcp = ip + IPV4_HEADER;
		usual->cap = caplen - ETHERNET_HEADER - IPV4_HEADER;
		usual->wire = total - IPV4_HEADER;
		return ip[9] == PROTO_TCP && (cu_get_be16(ip + 6) & FRAGMENT_BITS) == 0 && total >= IPV4_HEADER;
	}
	usual->tcp = ip + IPV6_HEADER;
	usual->cap = caplen - ETHERNET_HEADER - IPV6_HEADER;
	usual->wire = cu_get_be16(ip + 4);
	return head >> 12 == ipv6 && ip[6] == PROTO_TCP && usual->wire != 0 &&
	       caplen >= ETHERNET_HEADER + IPV6_HEADER + TCP_HEADER;
}

#endif
