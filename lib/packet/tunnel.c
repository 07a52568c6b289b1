#include "lib/packet/decode.h"

/*
 * Ids that both directions share are in the key. Those that each end chooses
 * for itself (GTP's TEID, L2TP's and PPTP's calls) are not: they would part the
 * two directions of a connection.
 */

/* UDP ports (IANA, and what is in use). */
enum {
	PORT_L2TP = 1701,
	PORT_GTP_U = 2152,
	PORT_TEREDO = 3544,
	PORT_LISP = 4341,
	PORT_GRE = 4754, /* RFC 8086 */
	PORT_VXLAN = 4789,
	PORT_VXLAN_GPE = 4790,
	PORT_AYIYA = 5072,
	PORT_CAPWAP_DATA = 5247,
	PORT_GENEVE = 6081,
	PORT_MPLS = 6635,        /* RFC 7510 */
	PORT_VXLAN_LINUX = 8472, /* the Linux driver's default, older than the registration */
	PORT_TZSP = 37008,
};

/* Protocol field of GRE, besides EtherTypes. */
enum {
	GRE_ERSPAN_3 = 0x22eb,
	GRE_EOIP = 0x6400,     /* MikroTik's Ethernet over IP; Wireshark's packet-gre.c */
	GRE_ETHERNET = 0x6558, /* transparent Ethernet bridging */
	GRE_PPP = 0x880b,
	GRE_WCCP = 0x883e,
	GRE_ERSPAN = 0x88be, /* types I and II */
};

enum { NVGRE_VSID_MIN = 0x1000 };

static enum layer cut(struct decode *d)
{
	return decode_done(d, CU_PACKET_SHORT);
}

static enum layer other(struct decode *d)
{
	return decode_done(d, CU_PACKET_OTHER);
}

static enum layer skip_to(struct decode *d, uint32_t header, enum layer next)
{
	return decode_skip(d, header) ? next : cut(d);
}

/* What carries either version of IP, and says which only by its first bits. */
static enum layer ip_if_version(struct decode *d)
{
	if (d->cap < 1) {
		return other(d);
	}
	unsigned version = d->pos[0] >> 4;
	return version == 4 || version == 6 ? LAYER_IP : other(d);
}

enum layer cu_decode_ether_ip(struct decode *d)
{
	/* RFC 3378 */
	return decode_enter_tunnel(d) ? skip_to(d, 2, LAYER_ETHERNET) : other(d);
}

static enum layer erspan(struct decode *d, bool has_sequence)
{
	if (!has_sequence) {
		return LAYER_ETHERNET; /* type I has no header of its own */
	}
	if (d->cap < 8) {
		return cut(d);
	}
	decode_add_id(d, ID_ERSPAN, cu_get_be16(d->pos + 2) & 0x3ff);
	decode_skip(d, 8);
	return LAYER_ETHERNET;
}

static enum layer erspan3(struct decode *d)
{
	if (d->cap < 12) {
		return cut(d);
	}
	decode_add_id(d, ID_ERSPAN, cu_get_be16(d->pos + 2) & 0x3ff);
	bool has_platform_header = (d->pos[11] & 1) != 0;
	return skip_to(d, has_platform_header ? 20 : 12, LAYER_ETHERNET);
}

enum layer cu_decode_gre(struct decode *d)
{
	/* RFC 2784, 2890; version 1: RFC 2637 */
	enum { HAS_CHECKSUM = 0x8000, HAS_ROUTING = 0x4000, HAS_KEY = 0x2000, HAS_SEQUENCE = 0x1000, HAS_ACK = 0x0080 };
	if (!decode_enter_tunnel(d)) {
		return other(d);
	}
	if (d->cap < 4) {
		return cut(d);
	}
	uint32_t flags = cu_get_be16(d->pos);
	uint32_t protocol = cu_get_be16(d->pos + 2);
	uint32_t version = flags & 7;
	if (version > 1 || (flags & HAS_ROUTING) != 0) {
		return other(d);
	}
	uint32_t header = 4;
	header += (flags & HAS_CHECKSUM) != 0 ? 4 : 0;
	uint32_t key_at = header;
	header += (flags & HAS_KEY) != 0 ? 4 : 0;
	header += (flags & HAS_SEQUENCE) != 0 ? 4 : 0;
	header += version == 1 && (flags & HAS_ACK) != 0 ? 4 : 0;
	if (d->cap < header) {
		return cut(d);
	}
	if (version == 0 && (flags & HAS_KEY) != 0) {
		uint32_t key = cu_get_be32(d->pos + key_at);
		/* RFC 7637 section 3.2: the lower byte is a flow's entropy, and lower VSIDs are reserved: no NVGRE */
		if (protocol == GRE_ETHERNET && key >> 8 >= NVGRE_VSID_MIN) {
			decode_add_id(d, ID_NVGRE, key >> 8);
		} else {
			decode_add_id(d, ID_GRE, key ^ key >> 24);
		}
	}
	if (protocol == GRE_EOIP && (flags & HAS_KEY) != 0) {
		decode_add_id(d, ID_GRE, cu_get_le16(d->pos + key_at + 2)); /* behind the length */
	}
	decode_skip(d, header);
	switch (protocol) {
	case GRE_EOIP:
	case GRE_ETHERNET:
		return LAYER_ETHERNET;
	case GRE_ERSPAN:
		return erspan(d, (flags & HAS_SEQUENCE) != 0);
	case GRE_ERSPAN_3:
		return erspan3(d);
	case GRE_PPP:
		return LAYER_PPP;
	case GRE_WCCP:
		if (d->cap >= 1 && d->pos[0] >> 4 != 4) { /* version 2 has a redirect header */
			decode_skip(d, 4);
		}
		return ip_if_version(d);
	default:
		return decode_ethertype(d, protocol);
	}
}

static enum layer vxlan(struct decode *d)
{
	enum { HAS_VNI = 0x08 }; /* RFC 7348 section 5 */
	if (d->cap < 8) {
		return cut(d);
	}
	if ((d->pos[0] & HAS_VNI) == 0) {
		return other(d);
	}
	decode_add_id(d, ID_VXLAN, cu_get_be32(d->pos + 4) >> 8);
	decode_skip(d, 8);
	return LAYER_ETHERNET;
}

static enum layer vxlan_gpe(struct decode *d)
{
	enum { HAS_VNI = 0x08, HAS_PROTOCOL = 0x04 }; /* draft-ietf-nvo3-vxlan-gpe-13 section 3 */
	if (d->cap < 8) {
		return cut(d);
	}
	uint8_t flags = d->pos[0];
	uint8_t protocol = d->pos[3];
	if ((flags & HAS_VNI) != 0) {
		decode_add_id(d, ID_VXLAN, cu_get_be32(d->pos + 4) >> 8);
	}
	decode_skip(d, 8);
	if ((flags & HAS_PROTOCOL) == 0) {
		return LAYER_ETHERNET;
	}
	switch (protocol) {
	case 1:
	case 2:
		return LAYER_IP;
	case 3:
		return LAYER_ETHERNET;
	case 5:
		return LAYER_MPLS;
	default:
		return other(d);
	}
}

static enum layer geneve(struct decode *d)
{
	if (d->cap < 8) {
		return cut(d);
	}
	if (d->pos[0] >> 6 != 0) { /* RFC 8926 section 3.4: version 0 */
		return other(d);
	}
	uint32_t header = 8 + (d->pos[0] & 0x3fU) * 4;
	uint32_t protocol = cu_get_be16(d->pos + 2);
	decode_add_id(d, ID_GENEVE, cu_get_be32(d->pos + 4) >> 8);
	if (!decode_skip(d, header)) {
		return cut(d);
	}
	return protocol == GRE_ETHERNET ? LAYER_ETHERNET : decode_ethertype(d, protocol);
}

static enum layer gtp_u(struct decode *d)
{
	/* 3GPP TS 29.281 section 5.1 */
	enum { VERSION_1 = 0x30, VERSION_MASK = 0xf0, HAS_EXTENSION = 0x04, HAS_OPTIONAL = 0x07, G_PDU = 255 };
	if (d->cap < 8) {
		return cut(d);
	}
	uint8_t flags = d->pos[0];
	uint32_t len = cu_get_be16(d->pos + 2);
	if ((flags & VERSION_MASK) != VERSION_1 || d->pos[1] != G_PDU) {
		return other(d);
	}
	decode_skip(d, 8);
	decode_limit(d, len);
	if ((flags & HAS_OPTIONAL) != 0) {
		if (d->cap < 4) {
			return cut(d);
		}
		uint8_t next = (flags & HAS_EXTENSION) != 0 ? d->pos[3] : 0;
		decode_skip(d, 4);
		while (next != 0) {
			uint32_t extension_len = d->cap > 0 ? d->pos[0] * 4U : 0;
			if (extension_len == 0 || d->cap < extension_len) {
				return cut(d);
			}
			next = d->pos[extension_len - 1];
			decode_skip(d, extension_len);
		}
	}
	return ip_if_version(d);
}

static enum layer teredo(struct decode *d)
{
	/* RFC 4380 section 5.1.1 */
	if (d->cap >= 4 && cu_get_be16(d->pos) == 0x0001) {
		if (!decode_skip(d, 13U + d->pos[2] + d->pos[3])) {
			return cut(d);
		}
	}
	if (d->cap >= 8 && cu_get_be16(d->pos) == 0x0000) {
		decode_skip(d, 8);
	}
	return d->cap >= 1 && d->pos[0] >> 4 == 6 ? LAYER_IP : other(d);
}

static enum layer l2tp(struct decode *d)
{
	/* RFC 2661 section 3.1 */
	enum { IS_CONTROL = 0x8000, HAS_LENGTH = 0x4000, HAS_SEQUENCE = 0x0800, HAS_OFFSET = 0x0200, VERSION = 2 };
	if (d->cap < 6) {
		return cut(d);
	}
	uint32_t flags = cu_get_be16(d->pos);
	if ((flags & IS_CONTROL) != 0 || (flags & 0xf) != VERSION) {
		return other(d);
	}
	uint32_t header = 6;
	header += (flags & HAS_LENGTH) != 0 ? 2 : 0;
	header += (flags & HAS_SEQUENCE) != 0 ? 4 : 0;
	if ((flags & HAS_OFFSET) != 0) {
		if (d->cap < header + 2) {
			return cut(d);
		}
		header += 2U + cu_get_be16(d->pos + header);
	}
	return skip_to(d, header, LAYER_PPP);
}

static enum layer ayiya(struct decode *d)
{
	/* draft-massar-v6ops-ayiya-02 section 3.1 */
	enum { OPCODE_FORWARD = 1, NEXT_IPV6 = 41, NEXT_IPV4 = 4 };
	if (d->cap < 8) {
		return cut(d);
	}
	uint32_t header = 8 + (1U << (d->pos[0] >> 4)) + (d->pos[1] >> 4) * 4U;
	bool is_ip = d->pos[3] == NEXT_IPV6 || d->pos[3] == NEXT_IPV4;
	if ((d->pos[2] & 0xf) != OPCODE_FORWARD || !is_ip) {
		return other(d);
	}
	return decode_skip(d, header) ? ip_if_version(d) : cut(d);
}

static enum layer capwap_data(struct decode *d)
{
	/* RFC 5415 section 4.3 */
	enum { IS_NATIVE = 0x0100, IS_FRAGMENT = 0x0080 };
	if (d->cap < 8) {
		return cut(d);
	}
	if (d->pos[0] != 0) { /* version 0, and not encrypted */
		return other(d);
	}
	uint32_t word = cu_get_be32(d->pos);
	uint32_t header = (word >> 19 & 0x1f) * 4;
	if ((word & IS_FRAGMENT) != 0 || header < 8) {
		return other(d);
	}
	return skip_to(d, header, (word & IS_NATIVE) != 0 ? LAYER_WLAN : LAYER_ETHERNET);
}

static enum layer tzsp(struct decode *d)
{
	/* As Wireshark and MikroTik's sniffer do it: version, type, encapsulation, then tags. */
	enum { TAG_PADDING = 0, TAG_END = 1, ENCAP_ETHERNET = 1, ENCAP_WLAN = 18 };
	if (d->cap < 5) {
		return cut(d);
	}
	uint32_t encap = cu_get_be16(d->pos + 2);
	if (d->pos[0] != 1 || (encap != ENCAP_ETHERNET && encap != ENCAP_WLAN)) {
		return other(d);
	}
	decode_skip(d, 4);
	while (d->cap > 0 && d->pos[0] != TAG_END) {
		uint32_t len = 1;
		if (d->pos[0] != TAG_PADDING) {
			if (d->cap < 2) {
				return cut(d);
			}
			len = 2U + d->pos[1];
		}
		if (!decode_skip(d, len)) {
			return cut(d);
		}
	}
	return skip_to(d, 1, encap == ENCAP_ETHERNET ? LAYER_ETHERNET : LAYER_WLAN);
}

static enum layer by_port(struct decode *d, uint32_t port)
{
	switch (port) {
	case PORT_VXLAN:
	case PORT_VXLAN_LINUX:
		return vxlan(d);
	case PORT_VXLAN_GPE:
		return vxlan_gpe(d);
	case PORT_GENEVE:
		return geneve(d);
	case PORT_GTP_U:
		return gtp_u(d);
	case PORT_TEREDO:
		return teredo(d);
	case PORT_L2TP:
		return l2tp(d);
	case PORT_LISP:
		return decode_skip(d, 8) ? ip_if_version(d) : cut(d);
	case PORT_GRE:
		return LAYER_GRE;
	case PORT_MPLS:
		return LAYER_MPLS;
	case PORT_AYIYA:
		return ayiya(d);
	case PORT_CAPWAP_DATA:
		return capwap_data(d);
	case PORT_TZSP:
		return tzsp(d);
	default:
		return other(d);
	}
}

static bool is_tunnel_port(uint32_t port)
{
	switch (port) {
	case PORT_VXLAN:
	case PORT_VXLAN_LINUX:
	case PORT_VXLAN_GPE:
	case PORT_GENEVE:
	case PORT_GTP_U:
	case PORT_TEREDO:
	case PORT_L2TP:
	case PORT_LISP:
	case PORT_GRE:
	case PORT_MPLS:
	case PORT_AYIYA:
	case PORT_CAPWAP_DATA:
	case PORT_TZSP:
		return true;
	default:
		return false;
	}
}

enum layer cu_decode_udp(struct decode *d)
{
	if (d->cap < 8) {
		return other(d);
	}
	uint32_t src_port = cu_get_be16(d->pos);
	uint32_t dst_port = cu_get_be16(d->pos + 2);
	uint32_t port = is_tunnel_port(dst_port) ? dst_port : src_port;
	if (!is_tunnel_port(port)) {
		return other(d);
	}
	decode_skip(d, 8);
	return decode_enter_tunnel(d) ? by_port(d, port) : other(d);
}
