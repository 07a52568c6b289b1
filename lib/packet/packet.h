/*
 * From a link-layer frame to a TCP segment.
 *
 * Decoding never reads beyond caplen and never trusts a length; headers cut
 * by the snap length are used as far as they go.
 */
#ifndef CU_PACKET_PACKET_H
#define CU_PACKET_PACKET_H

#include "lib/base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* TCP flags as in the header's bytes 12 and 13 (RFC 9293 3.1; AE: RFC 9768). */
enum {
	CU_TCP_FIN = 0x001,
	CU_TCP_SYN = 0x002,
	CU_TCP_RST = 0x004,
	CU_TCP_PSH = 0x008,
	CU_TCP_ACK = 0x010,
	CU_TCP_URG = 0x020,
	CU_TCP_ECE = 0x040,
	CU_TCP_CWR = 0x080,
	CU_TCP_AE = 0x100,
};

enum {
	CU_SACK_CAP = 4,   /* blocks that fit a TCP header's options (RFC 2018 section 3) */
	CU_VLAN_CAP = 4,   /* tags and tunnel ids kept of one packet */
	CU_TUNNEL_CAP = 4, /* nested encapsulations followed */
};

/* What a frame turned out to be. */
enum cu_packet_kind {
	CU_PACKET_TCP = 0,      /* the segment is filled in */
	CU_PACKET_ICMP_ERROR,   /* an ICMP error that quotes a TCP segment */
	CU_PACKET_FRAGMENT,     /* a part of an IP datagram, also the first */
	CU_PACKET_AGGREGATE,    /* several frames in one, of which the first is decoded */
	CU_PACKET_OTHER,        /* not TCP: ARP, UDP, ... */
	CU_PACKET_SHORT,        /* cut before its TCP ports, sequence and flags */
	CU_PACKET_MALFORMED,    /* lengths that contradict each other */
	CU_PACKET_UNKNOWN_LINK, /* a link type that is not decoded */
	CU_PACKET_N_KINDS,
};

/* The two ends of a packet and what it was wrapped in: what tells connections apart. */
struct cu_flow_key {
	struct cu_addr src, dst;
	uint16_t src_port, dst_port;
	uint8_t n_ids; /* VLAN ids and tunnel ids, outermost first */
	uint32_t ids[CU_VLAN_CAP];
};

/* TCP options of a SYN (RFC 9293 3.7.1, 7323, 2018). */
struct cu_syn_options {
	uint16_t mss;   /* bytes; 0 not given */
	uint8_t wscale; /* shift, 0 to 14; meaningful when has_wscale */
	bool has_wscale;
	bool sack_permitted;
	bool has_timestamps;
	bool cut; /* some were not captured: what is not given above may have been */
};

struct cu_tcp {
	struct cu_flow_key key;
	uint32_t seq;
	uint32_t ack;
	uint32_t payload_len; /* bytes, from the IP length, even where the snap length cut them */
	uint16_t flags;       /* CU_TCP_ */
	uint16_t window;      /* as sent, not scaled */
	uint16_t ip_id;       /* IPv4 identification; 0 for IPv6 */
	uint8_t ttl;          /* or hop limit */
	uint8_t n_sack;       /* blocks in sack */
	bool has_timestamps;
	uint32_t tsval, tsecr;         /* RFC 7323 section 3 */
	uint32_t sack[CU_SACK_CAP][2]; /* left and right edge (RFC 2018 section 3) */
	struct cu_syn_options syn;     /* when SYN is set */
	const uint8_t *payload;        /* captured part of the payload, borrowed; NULL when none */
	uint32_t payload_caplen;       /* captured bytes there, at most payload_len */
};

/* An ICMP or ICMPv6 error about a segment of key's source (RFC 792, 4443, 1191, 8201). */
struct cu_icmp_error {
	struct cu_flow_key key; /* of the quoted segment, as it was sent */
	struct cu_addr reporter;
	uint32_t seq;   /* of the quoted segment */
	uint32_t mtu;   /* next-hop MTU, 0 when not given */
	uint8_t family; /* 4 ICMP, 6 ICMPv6 */
	uint8_t type, code;
};

/*
 * A part of an IP datagram, the outermost that is in parts. Those of one
 * datagram share the ends, the identification and, but for IPv6, the protocol
 * (RFC 791 section 3.2; RFC 8200 section 4.5).
 */
struct cu_ip_fragment {
	struct cu_flow_key key; /* without ports */
	uint32_t id;
	uint32_t offset;  /* bytes, in the datagram's payload */
	uint32_t len;     /* bytes of the payload, on the wire */
	bool more;        /* not the last */
	uint8_t protocol; /* of the payload; of an IPv6 fragment that is not the first, any */
	uint8_t ttl;      /* or hop limit */
	uint8_t n_tunnels;
	const uint8_t *data; /* captured part, borrowed */
	uint32_t caplen;     /* bytes there, at most len */
};

struct cu_packet_content {
	union {
		struct cu_tcp tcp;
		struct cu_icmp_error icmp;
		struct cu_ip_fragment fragment;
	};
	enum cu_packet_kind first_kind; /* of an aggregate: what its first frame is, and the union is that's */
	uint32_t n_left_out;            /* its other frames, as many as can be told */
};

/*
 * Decodes one frame of len bytes on the wire, caplen of them at data, with
 * the given LINKTYPE_ number. content is filled in for CU_PACKET_TCP,
 * CU_PACKET_ICMP_ERROR, CU_PACKET_FRAGMENT and CU_PACKET_AGGREGATE.
 */
enum cu_packet_kind cu_packet_decode(uint16_t linktype, const uint8_t *data, uint32_t caplen, uint32_t len,
                                     struct cu_packet_content *content);

/*
 * Decodes a datagram from its payload on, as above: of its first fragment as
 * far as that goes, or whole, when more is false and len all of it. The fragment may be
 * content's own. CU_PACKET_FRAGMENT when there are parts of another inside.
 */
enum cu_packet_kind cu_packet_decode_datagram(const struct cu_ip_fragment *fragment, struct cu_packet_content *content);

/*
 * Completes key, which is the fragment's else, with the ports of a TCP segment
 * that begins in a first fragment, however little of it: the smallest has 8
 * bytes. False when none begins there.
 */
bool cu_ip_fragment_ports(const struct cu_ip_fragment *fragment, struct cu_flow_key *key);

/* Words for a kind, for counters: "not TCP". */
const char *cu_packet_kind_text(enum cu_packet_kind kind);

/* Whether this link type is decoded. */
bool cu_linktype_known(uint16_t linktype);

#endif
