#include "lib/packet/decode.h"

enum {
	TCP_HEADER_MIN = 20, /* RFC 9293 section 3.1 */
	TCP_NEEDED = 16,     /* up to and with the window */
	WSCALE_MAX = 14,     /* RFC 7323 section 2.3 */
	/* NOP NOP Timestamps, length 10: how nearly every stack sends them (RFC 7323 appendix A) */
	NOP_NOP_TIMESTAMPS = 0x0101080a,
	NOP_NOP_TIMESTAMPS_LEN = 12,
};

/* Option kinds (IANA "TCP Option Kind Numbers"). */
enum {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WSCALE = 3,
	OPT_SACK_PERMITTED = 4,
	OPT_SACK = 5,
	OPT_TIMESTAMPS = 8
};

static void parse_sack(const uint8_t *p, uint32_t len, struct cu_tcp *tcp)
{
	for (; len >= 8 && tcp->n_sack < CU_SACK_CAP; p += 8, len -= 8) {
		tcp->sack[tcp->n_sack][0] = cu_get_be32(p);
		tcp->sack[tcp->n_sack][1] = cu_get_be32(p + 4);
		tcp->n_sack++;
	}
}

static void parse_options(const uint8_t *p, uint32_t len, struct cu_tcp *tcp)
{
	bool is_syn = (tcp->flags & CU_TCP_SYN) != 0;
	while (len > 0 && p[0] != OPT_END) {
		if (p[0] == OPT_NOP) {
			p++;
			len--;
			continue;
		}
		if (len < 2 || p[1] < 2 || p[1] > len) {
			return;
		}
		uint8_t opt_len = p[1];
		switch (p[0]) {
		case OPT_TIMESTAMPS:
			if (opt_len == 10) {
				tcp->has_timestamps = true;
				tcp->tsval = cu_get_be32(p + 2);
				tcp->tsecr = cu_get_be32(p + 6);
				tcp->syn.has_timestamps = is_syn;
			}
			break;
		case OPT_SACK:
			parse_sack(p + 2, opt_len - 2U, tcp);
			break;
		case OPT_MSS:
			if (is_syn && opt_len == 4) {
				tcp->syn.mss = cu_get_be16(p + 2);
			}
			break;
		case OPT_WSCALE:
			if (is_syn && opt_len == 3) {
				tcp->syn.has_wscale = true;
				tcp->syn.wscale = p[2] < WSCALE_MAX ? p[2] : WSCALE_MAX;
			}
			break;
		case OPT_SACK_PERMITTED:
			if (is_syn && opt_len == 2) {
				tcp->syn.sack_permitted = true;
			}
			break;
		default:
			break;
		}
		p += opt_len;
		len -= opt_len;
	}
}

/* Whether options end before their bytes do. */
static bool have_end(const uint8_t *p, uint32_t len)
{
	while (len > 0 && p[0] != OPT_END) {
		uint32_t opt_len = p[0] == OPT_NOP ? 1 : len >= 2 && p[1] >= 2 ? p[1] : len;
		opt_len = opt_len < len ? opt_len : len;
		p += opt_len;
		len -= opt_len;
	}
	return len > 0;
}

enum cu_packet_kind cu_decode_tcp(const uint8_t *pos, uint32_t cap, uint32_t wire, struct cu_tcp *tcp)
{
	if (cap < TCP_NEEDED) {
		return CU_PACKET_SHORT;
	}
	uint32_t header = (uint32_t)(pos[12] >> 4) * 4;
	if (header < TCP_HEADER_MIN || header > wire) {
		return CU_PACKET_MALFORMED;
	}
	tcp->key.src_port = cu_get_be16(pos);
	tcp->key.dst_port = cu_get_be16(pos + 2);
	tcp->seq = cu_get_be32(pos + 4);
	tcp->ack = cu_get_be32(pos + 8);
	tcp->flags = cu_get_be16(pos + 12) & 0x1ff;
	tcp->window = cu_get_be16(pos + 14);
	tcp->payload_len = wire - header;
	tcp->n_sack = 0;
	tcp->has_timestamps = false;
	tcp->tsval = 0;
	tcp->tsecr = 0;
	tcp->syn = (struct cu_syn_options){0};
	tcp->payload = NULL;
	tcp->payload_caplen = 0;
	if (cap > header) {
		tcp->payload_caplen = cap - header;
		if (tcp->payload_caplen > tcp->payload_len) {
			tcp->payload_caplen = tcp->payload_len;
		}
		tcp->payload = tcp->payload_caplen > 0 ? pos + header : NULL;
	}
	if (cap < header && tcp->flags & CU_TCP_SYN) {
		tcp->syn.cut = cap <= TCP_HEADER_MIN || !have_end(pos + TCP_HEADER_MIN, cap - TCP_HEADER_MIN);
	}
	if (header == TCP_HEADER_MIN || cap <= TCP_HEADER_MIN) {
		return CU_PACKET_TCP;
	}
	const uint8_t *opt = pos + TCP_HEADER_MIN;
	uint32_t opt_len = (cap < header ? cap : header) - TCP_HEADER_MIN;
	if (opt_len >= NOP_NOP_TIMESTAMPS_LEN && cu_get_be32(opt) == NOP_NOP_TIMESTAMPS) {
		tcp->has_timestamps = true;
		tcp->tsval = cu_get_be32(opt + 4);
		tcp->tsecr = cu_get_be32(opt + 8);
		tcp->syn.has_timestamps = (tcp->flags & CU_TCP_SYN) != 0;
		opt += NOP_NOP_TIMESTAMPS_LEN;
		opt_len -= NOP_NOP_TIMESTAMPS_LEN;
	}
	if (opt_len > 0) {
		parse_options(opt, opt_len, tcp);
	}
	return CU_PACKET_TCP;
}
