/*
 * The usual frame, found in line: IP without options or extension headers and
 * in one piece, with TCP in it, behind Ethernet, in a cooked capture (of all
 * interfaces) or without a link layer. cu_packet_decode says the same of it; who
 * sees millions of them reads them here.
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
		LINKTYPE_RAW = 101,
		LINKTYPE_LINUX_SLL = 113,
		LINKTYPE_LINUX_SLL2 = 276,
		ETHERNET_HEADER = 14,
		SLL_HEADER = 16,
		SLL2_HEADER = 20,
		ARPHRD_WLAN = 801 | 803, /* a bit tells the two apart: a cooked capture has more headers behind these */
		ETHERTYPE_IPV4 = 0x0800,
		ETHERTYPE_IPV6 = 0x86dd,
		IPV4_HEADER = 20,
		IPV6_HEADER = 40,
		TCP_HEADER = 20,
		PROTO_TCP = 6,
		FRAGMENT_BITS = 0x3fff, /* more fragments, and the offset */
	};
	if (caplen < SLL2_HEADER + IPV4_HEADER) {
		return false;
	}
	uint32_t header, type;
	if (__builtin_expect(linktype == LINKTYPE_ETHERNET, 1)) {
		header = ETHERNET_HEADER;
		type = cu_get_be16(data + 12);
	} else if (linktype == LINKTYPE_LINUX_SLL && (cu_get_be16(data + 2) | 2) != ARPHRD_WLAN) {
		header = SLL_HEADER;
		type = cu_get_be16(data + 14);
	} else if (linktype == LINKTYPE_LINUX_SLL2 && (cu_get_be16(data + 8) | 2) != ARPHRD_WLAN) {
		header = SLL2_HEADER;
		type = cu_get_be16(data);
	} else if (linktype == LINKTYPE_RAW) {
		header = 0;
		type = data[0] >> 4 == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
	} else {
		return false;
	}
	const uint8_t *ip = data + header;
	usual->ip = ip;
	usual->is_ipv6 = type != ETHERTYPE_IPV4;
	if (!usual->is_ipv6) {
		uint32_t total = cu_get_be16(ip + 2);
		usual->tcp = ip + IPV4_HEADER;
		usual->cap = caplen - header - IPV4_HEADER;
		usual->wire = total - IPV4_HEADER;
		return caplen >= header + IPV4_HEADER + TCP_HEADER && ip[0] == 0x45 && ip[9] == PROTO_TCP &&
		       (cu_get_be16(ip + 6) & FRAGMENT_BITS) == 0 && total >= IPV4_HEADER + TCP_HEADER;
	}
	usual->tcp = ip + IPV6_HEADER;
	usual->cap = caplen - header - IPV6_HEADER;
	usual->wire = cu_get_be16(ip + 4);
	return caplen >= header + IPV6_HEADER + TCP_HEADER && type == ETHERTYPE_IPV6 && ip[0] >> 4 == 6 &&
	       ip[6] == PROTO_TCP && usual->wire >= TCP_HEADER;
}

#endif
