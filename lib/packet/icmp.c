#include "lib/packet/decode.h"

enum {
	ICMP_HEADER = 8, /* RFC 792; RFC 4443 section 2.1 with the field that follows it */
};

/* RFC 792. */
enum { ICMP_UNREACHABLE = 3, ICMP_SOURCE_QUENCH = 4, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETER = 12 };
enum { ICMP_CODE_FRAGMENTATION_NEEDED = 4 };

/* RFC 4443: the four error messages. */
enum { ICMPV6_UNREACHABLE = 1, ICMPV6_TOO_BIG = 2, ICMPV6_TIME_EXCEEDED = 3, ICMPV6_PARAMETER = 4 };

static bool is_error(uint8_t family, uint8_t type)
{
	if (family == 6) {
		return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER;
	}
	return type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER;
}

enum layer cu_decode_icmp(struct decode *d, uint8_t family)
{
	if (d->cap < ICMP_HEADER + 1 || !is_error(family, d->pos[0])) {
		return decode_done(d, CU_PACKET_OTHER);
	}
	struct cu_icmp_error *icmp = &d->content->icmp;
	icmp->family = family;
	icmp->type = d->pos[0];
	icmp->code = d->pos[1];
	icmp->reporter = d->src;
	icmp->mtu = 0;
	if (family == 6 && icmp->type == ICMPV6_TOO_BIG) {
		icmp->mtu = cu_get_be32(d->pos + 4);
	} else if (family == 4 && icmp->type == ICMP_UNREACHABLE && icmp->code == ICMP_CODE_FRAGMENTATION_NEEDED) {
		icmp->mtu = cu_get_be16(d->pos + 6); /* RFC 1191 section 4 */
	}
	decode_skip(d, ICMP_HEADER);
	if (d->pos[0] >> 4 != family) {
		return decode_done(d, CU_PACKET_OTHER);
	}
	d->quoted = true;
	return LAYER_IP;
}
