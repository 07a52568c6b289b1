#include "lib/packet/decode.h"

#include <string.h>

enum {
	IPV4_HEADER_MIN = 20, /* RFC 791 section 3.1 */
	IPV6_HEADER = 40,     /* RFC 8200 section 3 */
	TCP_HEADER_MIN = 20,  /* RFC 9293 section 3.1 */
};

/* IANA "Assigned Internet Protocol Numbers". */
enum {
	PROTO_HOP_BY_HOP = 0,
	PROTO_ICMP = 1,
	PROTO_IPV4 = 4,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_IPV6 = 41,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_GRE = 47,
	PROTO_AH = 51,
	PROTO_ICMPV6 = 58,
	PROTO_DESTINATION = 60,
	PROTO_ETHER_IP = 97,
	PROTO_MOBILITY = 135,
	PROTO_MPLS = 137,
	PROTO_HIP = 139,
	PROTO_SHIM6 = 140,
};

static void set_addr(struct cu_addr *addr, uint8_t family, const uint8_t *p)
{
	size_t len = family == 4 ? 4 : 16;
	memset(addr->bytes, 0, sizeof(addr->bytes));
	memcpy(addr->bytes, p, len);
	addr->family = family;
}

static void fill_key(const struct decode *d, struct cu_flow_key *key)
{
	memset(key, 0, sizeof(*key));
	key->src = d->src;
	key->dst = d->dst;
	key->n_ids = d->n_ids;
	memcpy(key->ids, d->ids, d->n_ids * sizeof(d->ids[0]));
}

static enum layer next_protocol(struct decode *d, uint32_t protocol)
{
	d->type = protocol;
	return LAYER_IP_PROTOCOL;
}

/* A fragment, whose payload is what is left. */
static enum layer fragment(struct decode *d, uint32_t id, uint32_t protocol, uint32_t offset, bool more)
{
	if (d->quoted) { /* the first has what is quoted of any packet */
		return offset == 0 ? next_protocol(d, protocol) : decode_done(d, CU_PACKET_OTHER);
	}
	struct cu_ip_fragment *part = &d->content->fragment;
	fill_key(d, &part->key);
	part->id = id;
	part->offset = offset;
	part->len = d->wire;
	part->more = more;
	part->protocol = (uint8_t)protocol;
	part->ttl = d->ttl;
	part->n_tunnels = d->n_tunnels;
	part->data = d->pos;
	part->caplen = d->cap;
	return decode_done(d, CU_PACKET_FRAGMENT);
}

bool cu_ip_fragment_ports(const struct cu_ip_fragment *fragment, struct cu_flow_key *key)
{
	if (fragment->offset != 0 || fragment->protocol != PROTO_TCP || fragment->caplen < 4) {
		return false;
	}
	*key = fragment->key;
	key->src_port = cu_get_be16(fragment->data);
	key->dst_port = cu_get_be16(fragment->data + 2);
	return true;
}

static enum layer ipv4(struct decode *d)
{
	if (d->cap < IPV4_HEADER_MIN) {
		return decode_done(d, CU_PACKET_SHORT);
	}
	const uint8_t *p = d->pos;
	uint32_t header = (uint32_t)(p[0] & 0xf) * 4;
	uint32_t total = cu_get_be16(p + 2);
	if (total == 0 || (d->quoted && total < header)) {
		/* segmentation offload: the card fills it in after the capture; a quotation is often spoilt */
		total = d->wire;
	}
	if (d->is_framed && total > d->wire && d->wire >= header) {
		total = d->wire; /* some access routers count the padding of a short frame in */
	}
	d->is_framed = false;
	if (header < IPV4_HEADER_MIN || total < header) {
		return decode_done(d, CU_PACKET_MALFORMED);
	}
	set_addr(&d->src, 4, p + 12);
	set_addr(&d->dst, 4, p + 16);
	d->ip_id = cu_get_be16(p + 4);
	d->ttl = p[8];
	uint32_t fragment_word = cu_get_be16(p + 6);
	uint32_t protocol = p[9];
	decode_limit(d, total);
	if (!decode_skip(d, header)) {
		return decode_done(d, protocol == PROTO_TCP ? CU_PACKET_SHORT : CU_PACKET_OTHER);
	}
	if ((fragment_word & 0x3fff) != 0) {
		return fragment(d, d->ip_id, protocol, (fragment_word & 0x1fff) * 8, (fragment_word & 0x2000) != 0);
	}
	return next_protocol(d, protocol);
}

static enum layer ipv6(struct decode *d)
{
	if (d->cap < IPV6_HEADER) {
		return decode_done(d, CU_PACKET_SHORT);
	}
	const uint8_t *p = d->pos;
	uint32_t payload = cu_get_be16(p + 4);
	set_addr(&d->src, 6, p + 8);
	set_addr(&d->dst, 6, p + 24);
	d->ip_id = 0;
	d->ttl = p[7];
	uint32_t protocol = p[6];
	decode_skip(d, IPV6_HEADER);
	if (payload != 0) {
		/* 0: a jumbogram (RFC 2675) or segmentation offload; the frame says how long */
		decode_limit(d, payload);
	}
	return next_protocol(d, protocol);
}

enum layer cu_decode_ip(struct decode *d)
{
	if (d->cap < 1) {
		return decode_done(d, CU_PACKET_SHORT);
	}
	switch (d->pos[0] >> 4) {
	case 4:
		return ipv4(d);
	case 6:
		return ipv6(d);
	default:
		return decode_done(d, CU_PACKET_MALFORMED);
	}
}

/* An extension header of len bytes in front of the next protocol. */
static enum layer extension(struct decode *d, uint32_t len)
{
	uint32_t next = d->pos[0];
	if (len > d->wire) {
		return decode_done(d, CU_PACKET_MALFORMED);
	}
	if (!decode_skip(d, len)) {
		return decode_done(d, CU_PACKET_SHORT);
	}
	return next_protocol(d, next);
}

static enum layer fragment_header(struct decode *d)
{
	uint32_t protocol = d->pos[0]; /* RFC 8200 section 4.5 */
	uint32_t word = cu_get_be16(d->pos + 2);
	uint32_t id = cu_get_be32(d->pos + 4);
	enum layer next = extension(d, 8);
	bool is_part = (word & 0xfff9) != 0; /* else an atomic fragment (RFC 6946) */
	return next == LAYER_DONE || !is_part ? next : fragment(d, id, protocol, word & 0xfff8, (word & 1) != 0);
}

/*
 * On its way through other nodes a packet has the next one for its destination.
 * The last is what both directions of a connection share: the home address of a
 * mobile node (RFC 6275 section 6.4), or the first of a segment list, which is
 * in reverse (RFC 8754 section 2). Both are behind 8 bytes.
 */
static enum layer routing_header(struct decode *d)
{
	enum { TYPE_MOBILE = 2, TYPE_SEGMENTS = 4, ADDRESS_AT = 8, ADDRESS_END = 24 };
	uint32_t len = (d->pos[1] + 1U) * 8; /* RFC 8200 section 4.4 */
	uint8_t type = d->pos[2];
	uint8_t segments_left = d->pos[3];
	bool has_final = (type == TYPE_MOBILE || type == TYPE_SEGMENTS) && segments_left > 0 && len >= ADDRESS_END;
	if (has_final && d->cap >= ADDRESS_END) {
		set_addr(&d->dst, 6, d->pos + ADDRESS_AT);
	}
	return extension(d, len);
}

static enum layer tcp(struct decode *d)
{
	if (d->wire < TCP_HEADER_MIN && !d->is_part) {
		return decode_done(d, CU_PACKET_MALFORMED);
	}
	struct cu_tcp *tcp = &d->content->tcp;
	fill_key(d, &tcp->key);
	tcp->ip_id = d->ip_id;
	tcp->ttl = d->ttl;
	return decode_done(d, cu_decode_tcp(d->pos, d->cap, d->wire, tcp));
}

static enum layer quoted_tcp(struct decode *d)
{
	/* RFC 792 promises 8 bytes of the segment: the ports and the sequence number */
	if (d->cap < 8) {
		return decode_done(d, CU_PACKET_OTHER);
	}
	struct cu_icmp_error *icmp = &d->content->icmp;
	fill_key(d, &icmp->key);
	icmp->key.src_port = cu_get_be16(d->pos);
	icmp->key.dst_port = cu_get_be16(d->pos + 2);
	icmp->seq = cu_get_be32(d->pos + 4);
	return decode_done(d, CU_PACKET_ICMP_ERROR);
}

static enum layer inner_ip(struct decode *d, unsigned version)
{
	if (!decode_enter_tunnel(d)) {
		return decode_done(d, CU_PACKET_OTHER);
	}
	if (d->cap < 1) {
		return decode_done(d, CU_PACKET_SHORT);
	}
	if (d->pos[0] >> 4 != version) {
		return decode_done(d, CU_PACKET_MALFORMED);
	}
	return LAYER_IP;
}

enum layer cu_decode_ip_protocol(struct decode *d)
{
	switch (d->type) {
	case PROTO_TCP:
		return d->quoted ? quoted_tcp(d) : tcp(d);
	case PROTO_HOP_BY_HOP:
	case PROTO_ROUTING:
	case PROTO_DESTINATION:
	case PROTO_MOBILITY:
	case PROTO_HIP:
	case PROTO_SHIM6:
	case PROTO_FRAGMENT:
	case PROTO_AH:
		if (d->src.family == 4 && d->type != PROTO_AH) {
			return decode_done(d, CU_PACKET_OTHER);
		}
		if (d->cap < 8) {
			return decode_done(d, CU_PACKET_SHORT);
		}
		if (d->type == PROTO_FRAGMENT) {
			return fragment_header(d);
		}
		if (d->type == PROTO_ROUTING) {
			return routing_header(d);
		}
		if (d->type == PROTO_AH) {
			return extension(d, (d->pos[1] + 2U) * 4); /* RFC 4302 section 2.2 */
		}
		return extension(d, (d->pos[1] + 1U) * 8);
	default:
		break;
	}
	if (d->quoted) {
		return decode_done(d, CU_PACKET_OTHER);
	}
	switch (d->type) {
	case PROTO_UDP:
		return cu_decode_udp(d);
	case PROTO_ICMP:
		return d->src.family == 4 ? cu_decode_icmp(d, 4) : decode_done(d, CU_PACKET_OTHER);
	case PROTO_ICMPV6:
		return d->src.family == 6 ? cu_decode_icmp(d, 6) : decode_done(d, CU_PACKET_OTHER);
	case PROTO_IPV4:
		return inner_ip(d, 4);
	case PROTO_IPV6:
		return inner_ip(d, 6);
	case PROTO_GRE:
		return LAYER_GRE;
	case PROTO_ETHER_IP:
		return cu_decode_ether_ip(d);
	case PROTO_MPLS:
		return decode_enter_tunnel(d) ? LAYER_MPLS : decode_done(d, CU_PACKET_OTHER);
	default:
		return decode_done(d, CU_PACKET_OTHER);
	}
}
