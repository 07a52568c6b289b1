#include "lib/packet/decode.h"

/* LINKTYPE_ numbers (tcpdump.org/linktypes.html). */
enum {
	LINKTYPE_NULL = 0,
	LINKTYPE_ETHERNET = 1,
	LINKTYPE_TOKEN_RING = 6,
	LINKTYPE_ARCNET = 7,
	LINKTYPE_SLIP = 8,
	LINKTYPE_PPP = 9,
	LINKTYPE_FDDI = 10,
	LINKTYPE_RAW_BSD = 12,
	LINKTYPE_RAW_OPENBSD = 14,
	LINKTYPE_PPP_HDLC = 50,
	LINKTYPE_PPP_ETHER = 51,
	LINKTYPE_ATM_RFC1483 = 100,
	LINKTYPE_RAW = 101,
	LINKTYPE_C_HDLC = 104,
	LINKTYPE_IEEE802_11 = 105,
	LINKTYPE_ATM_CLIP = 106,
	LINKTYPE_FRELAY = 107,
	LINKTYPE_LOOP = 108,
	LINKTYPE_ENC = 109,
	LINKTYPE_LINUX_SLL = 113,
	LINKTYPE_PFLOG = 117,
	LINKTYPE_IEEE802_11_PRISM = 119,
	LINKTYPE_IP_OVER_FC = 122,
	LINKTYPE_SUNATM = 123,
	LINKTYPE_IEEE802_11_RADIOTAP = 127,
	LINKTYPE_ARCNET_LINUX = 129,
	LINKTYPE_IP_OVER_IEEE1394 = 138,
	LINKTYPE_IEEE802_11_AVS = 163,
	LINKTYPE_PPP_PPPD = 166,
	LINKTYPE_JUNIPER_ETHER = 178,
	LINKTYPE_JUNIPER_PPP = 179,
	LINKTYPE_JUNIPER_FRELAY = 180,
	LINKTYPE_JUNIPER_CHDLC = 181,
	LINKTYPE_PPI = 192,
	LINKTYPE_ERF = 197,
	LINKTYPE_PPP_WITH_DIR = 204,
	LINKTYPE_C_HDLC_WITH_DIR = 205,
	LINKTYPE_FRELAY_WITH_DIR = 206,
	LINKTYPE_MPLS = 219,
	LINKTYPE_IPNET = 226,
	LINKTYPE_IPV4 = 228,
	LINKTYPE_IPV6 = 229,
	LINKTYPE_NFLOG = 239,
	LINKTYPE_NETANALYZER = 240,
	LINKTYPE_NETANALYZER_TRANSPARENT = 241,
	LINKTYPE_IPOIB = 242,
	LINKTYPE_PKTAP = 258,
	LINKTYPE_ETHERNET_MPACKET = 274,
	LINKTYPE_LINUX_SLL2 = 276,
	LINKTYPE_DSA_TAG_BRCM = 281,
	LINKTYPE_DSA_TAG_BRCM_PREPEND = 282,
	LINKTYPE_DSA_TAG_DSA = 284,
	LINKTYPE_DSA_TAG_EDSA = 285,
};

/* IANA and IEEE "EtherType" registries. */
enum {
	ETHERTYPE_MIN = 0x0600, /* below it the field is a length (IEEE 802.3) */
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_MPLS = 0x8847,
	ETHERTYPE_MPLS_MULTICAST = 0x8848,
	ETHERTYPE_PPPOE_SESSION = 0x8864,
	ETHERTYPE_SERVICE_VLAN = 0x88a8,     /* 802.1ad */
	ETHERTYPE_SERVICE_INSTANCE = 0x88e7, /* 802.1ah */
	ETHERTYPE_FABRIC_PATH = 0x8903,
	ETHERTYPE_VN_TAG = 0x8926,
	ETHERTYPE_HSR = 0x892f,
	ETHERTYPE_E_TAG = 0x893f,     /* 802.1BR */
	ETHERTYPE_QINQ_9100 = 0x9100, /* used before 802.1ad */
	ETHERTYPE_QINQ_9200 = 0x9200,
	ETHERTYPE_QINQ_9300 = 0x9300,
};

/* Protocol field of PPP (IANA "PPP DLL Protocol Numbers"). */
enum { PPP_IPV4 = 0x0021, PPP_IPV6 = 0x0057, PPP_MPLS = 0x0281, PPP_MPLS_MULTICAST = 0x0283 };

/* ARPHRD_ values of a cooked capture that say more than its protocol (Linux if_arp.h). */
enum { ARPHRD_IEEE80211 = 801, ARPHRD_IEEE80211_RADIOTAP = 803 };

/* Values of the protocol field of a cooked capture that are no EtherTypes (Linux if_ether.h). */
enum { ETH_P_802_2 = 0x0004 };

static enum layer cut(struct decode *d)
{
	return decode_done(d, CU_PACKET_SHORT);
}

static enum layer other(struct decode *d)
{
	return decode_done(d, CU_PACKET_OTHER);
}

static bool is_vlan(uint32_t type)
{
	return type == ETHERTYPE_VLAN || type == ETHERTYPE_SERVICE_VLAN || type == ETHERTYPE_QINQ_9100 ||
	       type == ETHERTYPE_QINQ_9200 || type == ETHERTYPE_QINQ_9300;
}

/* Whether an Ethernet header at offset leads to something that is decoded here. */
static bool is_ethernet_at(const struct decode *d, uint32_t offset)
{
	if (d->cap < offset + 14) {
		return false;
	}
	uint32_t type = cu_get_be16(d->pos + offset + 12);
	return type == ETHERTYPE_IPV4 || type == ETHERTYPE_IPV6 || is_vlan(type) || type == ETHERTYPE_MPLS ||
	       type == ETHERTYPE_PPPOE_SESSION;
}

/* Whether IP at offset is as long as the frame, but for padding and what cards and capturing devices put behind. */
static bool is_ip_at(const struct decode *d, uint32_t offset)
{
	enum { BEHIND_MAX = 64 };
	if (d->cap < offset + 6) {
		return false;
	}
	const uint8_t *p = d->pos + offset;
	unsigned version = p[0] >> 4;
	uint32_t len = version == 4 ? cu_get_be16(p + 2) : cu_get_be16(p + 4) + 40U;
	uint32_t wire = d->wire - offset;
	return (version == 4 || version == 6) && len <= wire && wire - len <= BEHIND_MAX;
}

/* An EtherType, or the length of an 802.3 frame whose LLC header follows. */
static enum layer type_or_length(struct decode *d, uint32_t type)
{
	if (type >= ETHERTYPE_MIN) {
		return decode_ethertype(d, type);
	}
	if (type < d->wire) {
		decode_limit(d, type);
	}
	return LAYER_LLC;
}

enum layer cu_decode_ethernet(struct decode *d)
{
	if (d->cap < 14) {
		return cut(d);
	}
	uint32_t type = cu_get_be16(d->pos + 12);
	decode_skip(d, 14);
	return type_or_length(d, type);
}

static enum layer vlan(struct decode *d)
{
	if (d->cap < 4) {
		return cut(d);
	}
	uint32_t vid = cu_get_be16(d->pos) & 0xfff;
	uint32_t type = cu_get_be16(d->pos + 2);
	if (vid != 0) { /* 0: a priority, no VLAN (IEEE 802.1Q table 9-2) */
		decode_add_id(d, ID_VLAN, vid);
	}
	decode_skip(d, 4);
	return type_or_length(d, type);
}

static enum layer service_instance(struct decode *d)
{
	if (d->cap < 4) {
		return cut(d);
	}
	decode_add_id(d, ID_SERVICE, cu_get_be32(d->pos) & 0xffffff);
	decode_skip(d, 4);
	return decode_enter_tunnel(d) ? LAYER_ETHERNET : other(d);
}

/* A tag of len bytes that ends in the next EtherType. */
static enum layer tag(struct decode *d, uint32_t len)
{
	if (d->cap < len) {
		return cut(d);
	}
	uint32_t type = cu_get_be16(d->pos + len - 2);
	decode_skip(d, len);
	return type_or_length(d, type);
}

enum layer cu_decode_ethertype(struct decode *d)
{
	if (is_vlan(d->type)) {
		return vlan(d);
	}
	switch (d->type) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
		return LAYER_IP;
	case ETHERTYPE_MPLS:
	case ETHERTYPE_MPLS_MULTICAST:
		return LAYER_MPLS;
	case ETHERTYPE_PPPOE_SESSION:
		return LAYER_PPPOE;
	case ETHERTYPE_SERVICE_INSTANCE:
		return service_instance(d);
	case ETHERTYPE_FABRIC_PATH: /* Cisco: a tree and a time to live, then the frame as it entered the fabric */
		return !decode_skip(d, 2) ? cut(d) : decode_enter_tunnel(d) ? LAYER_ETHERNET : other(d);
	case ETHERTYPE_VN_TAG:
	case ETHERTYPE_HSR:
		return tag(d, 6);
	case ETHERTYPE_E_TAG:
		return tag(d, 8);
	default:
		return other(d);
	}
}

/* ISO/IEC TR 9577 network layer protocol identifiers. */
static enum layer nlpid(struct decode *d, uint8_t id)
{
	return id == 0xcc || id == 0x8e ? LAYER_IP : other(d);
}

enum layer cu_decode_llc(struct decode *d)
{
	if (d->cap < 4) {
		return cut(d);
	}
	const uint8_t *p = d->pos;
	if (p[2] != 0x03) { /* unnumbered information */
		return other(d);
	}
	if (p[0] == 0x06 && p[1] == 0x06) {
		decode_skip(d, 3);
		return LAYER_IP;
	}
	if (p[0] == 0xfe && p[1] == 0xfe) {
		uint8_t id = p[3];
		decode_skip(d, 4);
		return nlpid(d, id);
	}
	if (p[0] != 0xaa || p[1] != 0xaa) {
		return other(d);
	}
	if (d->cap < 8) {
		return cut(d);
	}
	uint32_t oui = cu_get_be32(p + 2) & 0xffffff;
	uint32_t type = cu_get_be16(p + 6);
	decode_skip(d, 8);
	/* RFC 1042, and IEEE 802.1H's bridge tunnel */
	return oui == 0 || oui == 0x0000f8 ? decode_ethertype(d, type) : other(d);
}

enum layer cu_decode_ppp(struct decode *d)
{
	if (d->cap >= 2 && d->pos[0] == 0xff && d->pos[1] == 0x03) {
		decode_skip(d, 2); /* RFC 1662 section 3.1; may be left out (6.6 of RFC 1661) */
	}
	if (d->cap < 2) {
		return cut(d);
	}
	uint32_t protocol = d->pos[0];
	uint32_t len = 1; /* RFC 1661 section 6.5: compressed to its odd byte */
	if ((protocol & 1) == 0) {
		protocol = cu_get_be16(d->pos);
		len = 2;
	}
	decode_skip(d, len);
	switch (protocol) {
	case PPP_IPV4:
	case PPP_IPV6:
		return LAYER_IP;
	case PPP_MPLS:
	case PPP_MPLS_MULTICAST:
		return LAYER_MPLS;
	default:
		return other(d);
	}
}

enum layer cu_decode_chdlc(struct decode *d)
{
	if (d->cap < 4) {
		return cut(d);
	}
	uint32_t type = cu_get_be16(d->pos + 2);
	decode_skip(d, 4);
	return decode_ethertype(d, type);
}

/* PPP in HDLC-like framing, or Cisco HDLC, which its address tells apart (RFC 1547 section 4.3.1). */
static enum layer ppp_or_chdlc(struct decode *d)
{
	if (d->cap >= 2 && (d->pos[0] == 0x0f || d->pos[0] == 0x8f) && d->pos[1] == 0) {
		return LAYER_CHDLC;
	}
	return LAYER_PPP;
}

enum layer cu_decode_pppoe(struct decode *d)
{
	if (d->cap < 6) { /* RFC 2516 section 4 */
		return cut(d);
	}
	if (d->pos[0] != 0x11 || d->pos[1] != 0) {
		return other(d);
	}
	uint32_t len = cu_get_be16(d->pos + 4);
	decode_add_id(d, ID_PPPOE, cu_get_be16(d->pos + 2));
	decode_skip(d, 6);
	decode_limit(d, len);
	d->is_framed = true;
	return LAYER_PPP;
}

enum layer cu_decode_mpls(struct decode *d)
{
	/* Labels differ between the two directions of a connection, so they are not in the key. */
	bool is_bottom = false;
	while (!is_bottom) {
		if (d->cap < 4) { /* RFC 3032 section 2.1 */
			return cut(d);
		}
		is_bottom = (d->pos[2] & 1) != 0;
		decode_skip(d, 4);
	}
	if (d->cap < 1) {
		return cut(d);
	}
	/*
	 * Nothing says what is inside (RFC 4928): IP by its version, else Ethernet
	 * with or without a control word. Addresses of stations can begin as IP
	 * does: Ethernet is told by its type and by the lengths of what would be IP.
	 */
	unsigned version = d->pos[0] >> 4;
	bool may_be_ip = (version == 4 && (d->pos[0] & 0xf) >= 5) || version == 6;
	if (may_be_ip && !(is_ethernet_at(d, 0) && (is_ip_at(d, 14) || !is_ip_at(d, 0)))) {
		return LAYER_IP;
	}
	if (version == 0 && is_ethernet_at(d, 4)) { /* RFC 4448 section 4.6 */
		decode_skip(d, 4);
	} else if (!is_ethernet_at(d, 0)) {
		return other(d);
	}
	return decode_enter_tunnel(d) ? LAYER_ETHERNET : other(d);
}

/* BSD loopback: an address family, in the byte order of the machine that captured. */
static enum layer loopback(struct decode *d)
{
	if (d->cap < 4) {
		return cut(d);
	}
	uint32_t family = cu_get_be32(d->pos);
	if (family >> 16 != 0) {
		family = cu_get_le32(d->pos);
	}
	decode_skip(d, 4);
	switch (family) {
	case 2:
	case 10: /* Linux */
	case 23: /* Windows */
	case 24: /* NetBSD, OpenBSD */
	case 28: /* FreeBSD */
	case 30: /* Darwin */
		return LAYER_IP;
	default:
		return family >= ETHERTYPE_MIN && family <= 0xffff ? decode_ethertype(d, family) : other(d);
	}
}

static enum layer cooked(struct decode *d, uint32_t header, uint32_t protocol_at, uint32_t hardware_at)
{
	if (d->cap < header) {
		return cut(d);
	}
	uint32_t protocol = cu_get_be16(d->pos + protocol_at);
	uint32_t hardware = cu_get_be16(d->pos + hardware_at);
	decode_skip(d, header);
	switch (hardware) {
	case ARPHRD_IEEE80211:
		return LAYER_WLAN;
	case ARPHRD_IEEE80211_RADIOTAP:
		return cu_decode_radiotap(d);
	default:
		break;
	}
	if (protocol == ETH_P_802_2) {
		return LAYER_LLC;
	}
	return protocol >= ETHERTYPE_MIN ? decode_ethertype(d, protocol) : other(d);
}

static enum layer token_ring(struct decode *d)
{
	if (d->cap < 15) {
		return cut(d);
	}
	bool is_llc = (d->pos[1] & 0xc0) == 0x40;
	uint32_t header = 14;
	if ((d->pos[8] & 0x80) != 0) {
		header += d->pos[14] & 0x1f; /* routing information field */
	}
	if (!decode_skip(d, header)) {
		return cut(d);
	}
	return is_llc ? LAYER_LLC : other(d);
}

static enum layer fddi(struct decode *d)
{
	if (d->cap < 13) {
		return cut(d);
	}
	bool is_llc = (d->pos[0] & 0xf0) == 0x50;
	decode_skip(d, 13);
	return is_llc ? LAYER_LLC : other(d);
}

static enum layer frame_relay(struct decode *d)
{
	uint32_t header = 0;
	while (header < d->cap && (d->pos[header] & 1) == 0) { /* Q.922: the last address byte is odd */
		header++;
	}
	header++;
	if (header < 2 || header > 4 || d->cap < header + 4) {
		return header > 4 ? decode_done(d, CU_PACKET_MALFORMED) : cut(d);
	}
	decode_skip(d, header);
	if (d->pos[0] != 0x03) { /* Cisco's encapsulation: an EtherType */
		uint32_t type = cu_get_be16(d->pos);
		decode_skip(d, 2);
		return decode_ethertype(d, type);
	}
	uint32_t pad = d->pos[1] == 0 ? 1 : 0; /* RFC 2427 section 3 */
	uint8_t id = d->pos[1 + pad];
	decode_skip(d, 2 + pad);
	if (id != 0x80) {
		return nlpid(d, id);
	}
	if (d->cap < 5) {
		return cut(d);
	}
	uint32_t oui = cu_get_be32(d->pos) >> 8;
	uint32_t type = cu_get_be16(d->pos + 3);
	decode_skip(d, 5);
	return oui == 0 ? decode_ethertype(d, type) : other(d);
}

/* Netfilter's log: attributes, one of which is the packet (tcpdump.org/linktypes/LINKTYPE_NFLOG.html). */
static enum layer nflog(struct decode *d)
{
	enum { NFLOG_HEADER = 4, NFULA_PAYLOAD = 9 };
	if (d->cap < NFLOG_HEADER) {
		return cut(d);
	}
	decode_skip(d, NFLOG_HEADER);
	while (d->cap >= 4) {
		uint32_t len = cu_get_le16(d->pos);
		uint32_t type = cu_get_le16(d->pos + 2) & 0x7fff;
		if (len < 4) {
			return decode_done(d, CU_PACKET_MALFORMED);
		}
		if (type == NFULA_PAYLOAD) {
			decode_skip(d, 4);
			decode_limit(d, len - 4);
			return LAYER_IP;
		}
		if (!decode_skip(d, (len + 3) & ~3U)) {
			break;
		}
	}
	return d->wire > d->cap ? cut(d) : other(d);
}

/* A header that begins with its own length, to skip, and another link layer behind it. */
static enum layer link_behind(struct decode *d, uint32_t header, uint32_t linktype)
{
	if (header == 0) {
		return decode_done(d, CU_PACKET_MALFORMED);
	}
	if (!decode_skip(d, header)) {
		return cut(d);
	}
	d->type = linktype;
	return LAYER_LINK;
}

static enum layer ppi(struct decode *d)
{
	return d->cap < 8 ? cut(d) : link_behind(d, cu_get_le16(d->pos + 2), cu_get_le32(d->pos + 4) & 0xffff);
}

static enum layer pktap(struct decode *d)
{
	return d->cap < 12 ? cut(d) : link_behind(d, cu_get_le32(d->pos), cu_get_le32(d->pos + 8) & 0xffff);
}

/* Monitor headers of old drivers: a fixed length, or their own at 4. */
static enum layer prism_or_avs(struct decode *d)
{
	enum { PRISM_HEADER = 144, AVS_MAGIC = 0x8021100 }; /* and a version, 1 or 2 */
	if (d->cap < 8) {
		return cut(d);
	}
	uint32_t header = cu_get_be32(d->pos) >> 4 == AVS_MAGIC ? cu_get_be32(d->pos + 4) : PRISM_HEADER;
	return decode_skip(d, header) ? LAYER_WLAN : cut(d);
}

static enum layer pflog(struct decode *d)
{
	return d->cap < 4 ? cut(d) : link_behind(d, (d->pos[0] + 3U) & ~3U, LINKTYPE_RAW);
}

/* BSD: source, destination, type; Linux puts two bytes before the type. RFC 1051, or 1201 with fragments. */
static enum layer arcnet(struct decode *d, uint32_t type_at)
{
	enum { TYPE_IP_1051 = 240, TYPE_IP = 212, TYPE_IPV6 = 196, FLAG_EXCEPTION = 0xff };
	if (d->cap < type_at + 2) {
		return cut(d);
	}
	uint8_t type = d->pos[type_at];
	uint8_t flag = d->pos[type_at + 1];
	if (type == TYPE_IP_1051) {
		return link_behind(d, type_at + 1, LINKTYPE_RAW);
	}
	bool is_later_fragment = flag != FLAG_EXCEPTION && flag != 0 && (flag & 1) == 0;
	if ((type != TYPE_IP && type != TYPE_IPV6) || is_later_fragment) {
		return other(d);
	}
	return link_behind(d, type_at + (flag == FLAG_EXCEPTION ? 8 : 4), LINKTYPE_RAW);
}

/* Classical IP over ATM on Linux: with LLC, or without. */
static enum layer atm_clip(struct decode *d)
{
	return d->cap >= 1 && d->pos[0] == 0xaa ? LAYER_LLC : LAYER_IP;
}

/* A byte whose lower half says what is behind the virtual path and circuit. */
static enum layer sunatm(struct decode *d)
{
	enum { TYPE_LANE = 1, TYPE_LLC = 2, LANE_ID = 2 };
	if (d->cap < 4) {
		return cut(d);
	}
	switch (d->pos[0] & 0xf) {
	case TYPE_LANE:
		return link_behind(d, 4 + LANE_ID, LINKTYPE_ETHERNET);
	case TYPE_LLC:
		return link_behind(d, 4, LINKTYPE_ATM_RFC1483);
	default:
		return other(d);
	}
}

/* What Junos writes: a magic number, flags, perhaps extensions, and what the interface carries. */
static enum layer juniper(struct decode *d, uint32_t linktype)
{
	enum { MAGIC = 0x4d4743, NO_LINK_LAYER = 0x02, HAS_EXTENSIONS = 0x80 };
	if (d->cap < 6) {
		return cut(d);
	}
	uint8_t flags = d->pos[3];
	if (cu_get_be32(d->pos) >> 8 != MAGIC) {
		return decode_done(d, CU_PACKET_MALFORMED);
	}
	uint32_t header = 4 + ((flags & HAS_EXTENSIONS) != 0 ? 2U + cu_get_be16(d->pos + 4) : 0);
	return (flags & NO_LINK_LAYER) != 0 ? link_behind(d, header + 4, LINKTYPE_RAW)
	                                    : link_behind(d, header, linktype);
}

/* Endace's extensible record format: a header, extension headers, and by type a pseudoheader. */
static enum layer endace(struct decode *d)
{
	enum { HEADER = 16, EXTENSION = 8, HAS_MORE = 0x80 };
	enum { HDLC_POS = 1, ETH = 2, COLOR_HDLC_POS = 10, COLOR_ETH = 11, DSM_COLOR_ETH = 16 };
	enum { COLOR_HASH_POS = 19, COLOR_HASH_ETH = 20, IPV4 = 22, IPV6 = 23 };
	if (d->cap < HEADER) {
		return cut(d);
	}
	uint8_t type = d->pos[8] & 0x7f;
	bool has_more = (d->pos[8] & HAS_MORE) != 0;
	uint32_t header = HEADER;
	while (has_more && header < d->cap) {
		has_more = (d->pos[header] & HAS_MORE) != 0;
		header += EXTENSION;
	}
	switch (type) {
	case ETH:
	case COLOR_ETH:
	case DSM_COLOR_ETH:
	case COLOR_HASH_ETH:
		return link_behind(d, header + 2, LINKTYPE_ETHERNET); /* behind an offset and padding */
	case HDLC_POS:
	case COLOR_HDLC_POS:
	case COLOR_HASH_POS:
		return link_behind(d, header, LINKTYPE_PPP_HDLC);
	case IPV4:
	case IPV6:
		return link_behind(d, header, LINKTYPE_RAW);
	default:
		return other(d);
	}
}

/* Addresses of other kinds than Ethernet's in front of an EtherType, or a switch's tag between the two. */
static enum layer ethertype_at(struct decode *d, uint32_t at, uint32_t header)
{
	if (d->cap < header) {
		return cut(d);
	}
	uint32_t type = cu_get_be16(d->pos + at);
	decode_skip(d, header);
	return type_or_length(d, type);
}

/* Link types that are so many bytes in front of another one. */
static const struct prefix {
	uint16_t linktype;
	uint16_t header;
	uint16_t behind;
} prefixes[] = {
	{LINKTYPE_SLIP, 16, LINKTYPE_RAW}, /* a direction, and a compressed header */
	{LINKTYPE_ENC, 12, LINKTYPE_RAW},
	{LINKTYPE_IP_OVER_FC, 16, LINKTYPE_ATM_RFC1483}, /* which begins with LLC, too */
	{LINKTYPE_PPP_PPPD, 2, LINKTYPE_PPP},
	{LINKTYPE_PPP_WITH_DIR, 1, LINKTYPE_PPP},
	{LINKTYPE_C_HDLC_WITH_DIR, 1, LINKTYPE_C_HDLC},
	{LINKTYPE_FRELAY_WITH_DIR, 1, LINKTYPE_FRELAY},
	{LINKTYPE_IPNET, 24, LINKTYPE_RAW}, /* the address family in the second byte */
	{LINKTYPE_NETANALYZER, 4, LINKTYPE_ETHERNET},
	{LINKTYPE_NETANALYZER_TRANSPARENT, 12, LINKTYPE_ETHERNET},
	{LINKTYPE_ETHERNET_MPACKET, 8, LINKTYPE_ETHERNET},
	{LINKTYPE_DSA_TAG_BRCM_PREPEND, 4, LINKTYPE_ETHERNET},
};

static enum layer prefixed(struct decode *d)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (prefixes[i].linktype == d->type) {
			return link_behind(d, prefixes[i].header, prefixes[i].behind);
		}
	}
	return decode_done(d, CU_PACKET_UNKNOWN_LINK);
}

enum layer cu_decode_link(struct decode *d)
{
	switch (d->type) {
	case LINKTYPE_ETHERNET:
		return LAYER_ETHERNET;
	case LINKTYPE_NULL:
	case LINKTYPE_LOOP:
		return loopback(d);
	case LINKTYPE_RAW:
	case LINKTYPE_RAW_BSD:
	case LINKTYPE_RAW_OPENBSD:
	case LINKTYPE_IPV4:
	case LINKTYPE_IPV6:
		return LAYER_IP;
	case LINKTYPE_LINUX_SLL:
		return cooked(d, 16, 14, 2);
	case LINKTYPE_LINUX_SLL2:
		return cooked(d, 20, 0, 8);
	case LINKTYPE_PPP:
	case LINKTYPE_PPP_HDLC:
		return ppp_or_chdlc(d);
	case LINKTYPE_PPP_ETHER:
		return LAYER_PPPOE;
	case LINKTYPE_C_HDLC:
		return LAYER_CHDLC;
	case LINKTYPE_FRELAY:
		return frame_relay(d);
	case LINKTYPE_ATM_RFC1483:
		return LAYER_LLC;
	case LINKTYPE_TOKEN_RING:
		return token_ring(d);
	case LINKTYPE_FDDI:
		return fddi(d);
	case LINKTYPE_PFLOG:
		return pflog(d);
	case LINKTYPE_IEEE802_11:
		return LAYER_WLAN;
	case LINKTYPE_IEEE802_11_RADIOTAP:
		return cu_decode_radiotap(d);
	case LINKTYPE_IEEE802_11_PRISM:
	case LINKTYPE_IEEE802_11_AVS:
		return prism_or_avs(d);
	case LINKTYPE_PPI:
		return ppi(d);
	case LINKTYPE_PKTAP:
		return pktap(d);
	case LINKTYPE_NFLOG:
		return nflog(d);
	case LINKTYPE_ARCNET:
		return arcnet(d, 2);
	case LINKTYPE_ARCNET_LINUX:
		return arcnet(d, 4);
	case LINKTYPE_ATM_CLIP:
		return atm_clip(d);
	case LINKTYPE_SUNATM:
		return sunatm(d);
	case LINKTYPE_IPOIB:
		return ethertype_at(d, 40, 44); /* behind a global routing header */
	case LINKTYPE_IP_OVER_IEEE1394:
	case LINKTYPE_DSA_TAG_BRCM:
	case LINKTYPE_DSA_TAG_DSA:
		return ethertype_at(d, 16, 18);
	case LINKTYPE_DSA_TAG_EDSA:
		return ethertype_at(d, 20, 22);
	case LINKTYPE_MPLS:
		return LAYER_MPLS;
	case LINKTYPE_JUNIPER_ETHER:
		return juniper(d, LINKTYPE_ETHERNET);
	case LINKTYPE_JUNIPER_PPP:
		return juniper(d, LINKTYPE_PPP);
	case LINKTYPE_JUNIPER_FRELAY:
		return juniper(d, LINKTYPE_FRELAY);
	case LINKTYPE_JUNIPER_CHDLC:
		return juniper(d, LINKTYPE_C_HDLC);
	case LINKTYPE_ERF:
		return endace(d);
	default:
		return prefixed(d);
	}
}

bool cu_linktype_known(uint16_t linktype)
{
	/* every known one asks for more than no bytes */
	struct decode d = {.pos = (const uint8_t *)"", .type = linktype, .kind = CU_PACKET_OTHER};
	return cu_decode_link(&d) != LAYER_DONE || d.kind != CU_PACKET_UNKNOWN_LINK;
}
