#include "lib/packet/packet.h"

#include "lib/packet/decode.h"
#include "lib/packet/usual.h"

#include <string.h>

/* The layers that one frame can have: more is an attack, or a loop. */
enum { LAYERS_CAP = 64 };

static enum cu_packet_kind decode_usual(const struct cu_usual *usual, struct cu_tcp *tcp)
{
	const uint8_t *ip = usual->ip;
	memset(&tcp->key, 0, sizeof(tcp->key));
	tcp->key.src.family = tcp->key.dst.family = usual->is_ipv6 ? 6 : 4;
	if (usual->is_ipv6) {
		memcpy(tcp->key.src.bytes, ip + 8, 16);
		memcpy(tcp->key.dst.bytes, ip + 24, 16);
	} else {
		memcpy(tcp->key.src.bytes, ip + 12, 4);
		memcpy(tcp->key.dst.bytes, ip + 16, 4);
	}
	tcp->ip_id = usual->is_ipv6 ? 0 : cu_get_be16(ip + 4);
	tcp->ttl = usual->is_ipv6 ? ip[7] : ip[8];
	return cu_decode_tcp(usual->tcp, usual->cap, usual->wire, tcp);
}

static enum layer decode_layer(struct decode *d, enum layer layer)
{
	switch (layer) {
	case LAYER_LINK:
		return cu_decode_link(d);
	case LAYER_ETHERNET:
		return cu_decode_ethernet(d);
	case LAYER_ETHERTYPE:
		return cu_decode_ethertype(d);
	case LAYER_LLC:
		return cu_decode_llc(d);
	case LAYER_PPP:
		return cu_decode_ppp(d);
	case LAYER_CHDLC:
		return cu_decode_chdlc(d);
	case LAYER_PPPOE:
		return cu_decode_pppoe(d);
	case LAYER_MPLS:
		return cu_decode_mpls(d);
	case LAYER_WLAN:
		return cu_decode_wlan(d);
	case LAYER_IP:
		return cu_decode_ip(d);
	case LAYER_IP_PROTOCOL:
		return cu_decode_ip_protocol(d);
	case LAYER_GRE:
		return cu_decode_gre(d);
	case LAYER_DONE:
		break;
	}
	return LAYER_DONE;
}

static enum cu_packet_kind decode_layers(struct decode *d, enum layer layer)
{
	for (int i = 0; i < LAYERS_CAP && layer != LAYER_DONE; i++) {
		layer = decode_layer(d, layer);
	}
	if (d->quoted && d->kind != CU_PACKET_ICMP_ERROR) {
		d->kind = CU_PACKET_OTHER; /* a sound ICMP message, whatever it quotes */
	}
	if (d->n_left_out > 0) {
		d->content->first_kind = d->kind;
		d->content->n_left_out = d->n_left_out;
		return CU_PACKET_AGGREGATE;
	}
	return d->kind;
}

enum cu_packet_kind cu_packet_decode(uint16_t linktype, const uint8_t *data, uint32_t caplen, uint32_t len,
                                     struct cu_packet_content *content)
{
	struct cu_usual usual;
	if (cu_usual_find(linktype, data, caplen, &usual)) {
		return decode_usual(&usual, &content->tcp);
	}
	struct decode d;
	memset(&d, 0, sizeof(d));
	d.pos = data;
	d.cap = caplen;
	d.wire = len > caplen ? len : caplen;
	d.type = linktype;
	d.kind = CU_PACKET_OTHER;
	d.content = content;
	return decode_layers(&d, LAYER_LINK);
}

enum cu_packet_kind cu_packet_decode_datagram(const struct cu_ip_fragment *fragment, struct cu_packet_content *content)
{
	struct decode d = {
		.pos = fragment->data,
		.cap = fragment->caplen,
		.wire = fragment->len,
		.type = fragment->protocol,
		.n_tunnels = fragment->n_tunnels,
		.n_ids = fragment->key.n_ids,
		.is_part = fragment->more,
		.ttl = fragment->ttl,
		.ip_id = fragment->key.src.family == 4 ? (uint16_t)fragment->id : 0,
		.kind = CU_PACKET_OTHER,
		.src = fragment->key.src,
		.dst = fragment->key.dst,
		.content = content,
	};
	memcpy(d.ids, fragment->key.ids, sizeof(d.ids));
	return decode_layers(&d, LAYER_IP_PROTOCOL);
}

const char *cu_packet_kind_text(enum cu_packet_kind kind)
{
	static const char *const texts[CU_PACKET_N_KINDS] = {
		[CU_PACKET_TCP] = "TCP",
		[CU_PACKET_ICMP_ERROR] = "ICMP error about TCP",
		[CU_PACKET_FRAGMENT] = "IP fragment",
		[CU_PACKET_AGGREGATE] = "several frames in one",
		[CU_PACKET_OTHER] = "not TCP",
		[CU_PACKET_SHORT] = "cut inside its headers",
		[CU_PACKET_MALFORMED] = "malformed",
		[CU_PACKET_UNKNOWN_LINK] = "unknown link type",
	};
	return (unsigned)kind < CU_PACKET_N_KINDS ? texts[kind] : "unknown";
}
