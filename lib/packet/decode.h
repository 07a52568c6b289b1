/*
 * Private to lib/packet: the state of decoding one frame, and the layers that
 * hand it on to each other.
 *
 * Every layer reads from the state, moves it behind its own header and says
 * what comes next; cu_packet_decode runs them until one of them is final.
 */
#ifndef CU_PACKET_DECODE_H
#define CU_PACKET_DECODE_H

#include "lib/base/bytes.h"
#include "lib/packet/packet.h"

enum layer {
	LAYER_DONE, /* kind holds the answer */
	LAYER_ETHERNET,
	LAYER_ETHERTYPE, /* type holds it */
	LAYER_LLC,
	LAYER_PPP,
	LAYER_MPLS,
	LAYER_IP, /* either version */
	LAYER_WLAN,
	LAYER_CHDLC,
	LAYER_PPPOE,
	LAYER_GRE,
	LAYER_IP_PROTOCOL, /* type holds it; the address family is in src */
	LAYER_LINK,        /* type holds a LINKTYPE_ */
};

struct decode {
	const uint8_t *pos;
	uint32_t cap;   /* bytes captured at pos */
	uint32_t wire;  /* bytes there were at pos; at least what the lengths of the layers above say */
	bool is_framed; /* wire is PPPoE's own length: IP in it is no longer, whatever it says */
	uint32_t type;  /* ethertype, IP protocol or link type, as the layer says */
	uint8_t n_tunnels;
	uint8_t n_ids;
	bool quoted;         /* inside an ICMP error */
	bool is_part;        /* of a datagram: wire is not all there was */
	uint32_t n_left_out; /* frames of an aggregate but the first */
	uint8_t ttl;
	uint16_t ip_id;
	enum cu_packet_kind kind;
	uint32_t ids[CU_VLAN_CAP];
	struct cu_addr src, dst;
	struct cu_packet_content *content;
};

/* Kinds of ids: the high byte of an id in a key, so that a VLAN is never a tunnel. */
enum {
	ID_VLAN = 1,    /* IEEE 802.1Q VID */
	ID_SERVICE = 2, /* IEEE 802.1ah I-SID */
	ID_PPPOE = 3,   /* RFC 2516 SESSION_ID */
	ID_GRE = 4,     /* RFC 2890 key, folded to 24 bits */
	ID_NVGRE = 5,   /* RFC 7637 VSID */
	ID_ERSPAN = 6,  /* session id (draft-foschiano-erspan-03) */
	ID_VXLAN = 7,   /* RFC 7348 VNI */
	ID_GENEVE = 8,  /* RFC 8926 VNI */
};

static inline enum layer decode_done(struct decode *d, enum cu_packet_kind kind)
{
	d->kind = kind;
	return LAYER_DONE;
}

/* Moves behind n bytes; false when they were not all captured. */
static inline bool decode_skip(struct decode *d, uint32_t n)
{
	if (d->cap < n) {
		return false;
	}
	d->pos += n;
	d->cap -= n;
	d->wire -= n < d->wire ? n : d->wire;
	return true;
}

/* The layer's own length field says that n bytes are left: what is behind them is padding. */
static inline void decode_limit(struct decode *d, uint32_t n)
{
	d->wire = n;
	if (d->cap > n) {
		d->cap = n;
	}
}

static inline enum layer decode_ethertype(struct decode *d, uint32_t type)
{
	d->type = type;
	return LAYER_ETHERTYPE;
}

/* Notes a VLAN or tunnel id; those beyond CU_VLAN_CAP are left out. */
static inline void decode_add_id(struct decode *d, uint32_t kind, uint32_t id)
{
	if (d->n_ids < CU_VLAN_CAP) {
		d->ids[d->n_ids++] = kind << 24 | (id & 0xffffff);
	}
}

/* One encapsulation deeper; false beyond CU_TUNNEL_CAP. */
static inline bool decode_enter_tunnel(struct decode *d)
{
	return d->n_tunnels++ < CU_TUNNEL_CAP;
}

/* link.c */
enum layer cu_decode_link(struct decode *d);
enum layer cu_decode_ethernet(struct decode *d);
enum layer cu_decode_ethertype(struct decode *d);
enum layer cu_decode_llc(struct decode *d);
enum layer cu_decode_ppp(struct decode *d);
enum layer cu_decode_chdlc(struct decode *d);
enum layer cu_decode_pppoe(struct decode *d);
enum layer cu_decode_mpls(struct decode *d);

/* wlan.c */
enum layer cu_decode_wlan(struct decode *d);
enum layer cu_decode_radiotap(struct decode *d);

/* ip.c */
enum layer cu_decode_ip(struct decode *d);
enum layer cu_decode_ip_protocol(struct decode *d);

/* icmp.c; family is 4 or 6 */
enum layer cu_decode_icmp(struct decode *d, uint8_t family);

/* tunnel.c */
enum layer cu_decode_gre(struct decode *d);
enum layer cu_decode_udp(struct decode *d);
enum layer cu_decode_ether_ip(struct decode *d);

/*
 * tcp.c: decodes the TCP header of a segment whose IP payload had wire bytes,
 * cap of them at pos. All of tcp but key, ip_id and ttl is filled in, and key's ports.
 */
enum cu_packet_kind cu_decode_tcp(const uint8_t *pos, uint32_t cap, uint32_t wire, struct cu_tcp *tcp);

#endif
