/* lib/packet: frames built from the inside out, layer by layer. */
#include "lib/packet/packet.h"

#include "lib/base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FRAME_CAP = 2048, LAYERS_CAP = 12 };

/* A frame that grows towards its front. */
struct frame {
	uint8_t bytes[FRAME_CAP];
	size_t start;
};

static uint8_t *push(struct frame *f, size_t len)
{
	assert_true(f->start >= len);
	f->start -= len;
	memset(f->bytes + f->start, 0, len);
	return f->bytes + f->start;
}

static size_t frame_len(const struct frame *f)
{
	return FRAME_CAP - f->start;
}

static uint8_t hex_digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static void push_hex(struct frame *f, const char *hex)
{
	uint8_t bytes[256];
	size_t n = 0;
	for (; *hex; hex++) {
		if (*hex == ' ') {
			continue;
		}
		assert_true(n < sizeof(bytes) && hex[1]);
		bytes[n++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
		hex++;
	}
	memcpy(push(f, n), bytes, n);
}

static void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void push_ipv4(struct frame *f, unsigned protocol)
{
	size_t payload = frame_len(f);
	push_hex(f, "4500 0000 0007 0000 40 00 0000 0a000001 0a000002");
	put_be16(f->bytes + f->start + 2, 20 + payload);
	f->bytes[f->start + 9] = (uint8_t)protocol;
}

static void push_ipv6(struct frame *f, unsigned next)
{
	size_t payload = frame_len(f);
	push_hex(f, "60000000 0000 00 3f 20010db8000000000000000000000001 20010db8000000000000000000000002");
	put_be16(f->bytes + f->start + 4, payload);
	f->bytes[f->start + 6] = (uint8_t)next;
}

static void push_udp(struct frame *f, unsigned port)
{
	size_t payload = frame_len(f);
	uint8_t *p = push(f, 8);
	put_be16(p, 5555);
	put_be16(p + 2, port);
	put_be16(p + 4, 8 + payload);
}

static void push_ethernet(struct frame *f, unsigned type)
{
	push_hex(f, "021122334455 02aabbccddee 0000");
	put_be16(f->bytes + f->start + 12, type);
}

/* 802.3: the type is the length of what follows. */
static void push_802_3(struct frame *f)
{
	push_ethernet(f, (unsigned)frame_len(f));
}

/*
 * One layer in words: "tcp", "ip4 PROTO", "ip6 NEXT", "udp PORT", "eth TYPE",
 * "eth length", "zeros N", "len+N HEX" (16 bits of what follows plus N, behind
 * the bytes), or bytes in hexadecimal.
 */
static void push_layer(struct frame *f, const char *layer)
{
	if (strcmp(layer, "tcp") == 0) {
		push_hex(f, "68656c6c6f");
		push_hex(f, "03e8 0050 0000006f 000000de 80 18 0400 0000 0000 0101080a 00000001 00000002");
	} else if (strncmp(layer, "ip4 ", 4) == 0) {
		push_ipv4(f, (unsigned)strtoul(layer + 4, NULL, 10));
	} else if (strncmp(layer, "ip6 ", 4) == 0) {
		push_ipv6(f, (unsigned)strtoul(layer + 4, NULL, 10));
	} else if (strncmp(layer, "udp ", 4) == 0) {
		push_udp(f, (unsigned)strtoul(layer + 4, NULL, 10));
	} else if (strcmp(layer, "eth length") == 0) {
		push_802_3(f);
	} else if (strncmp(layer, "eth ", 4) == 0) {
		push_ethernet(f, (unsigned)strtoul(layer + 4, NULL, 16));
	} else if (strncmp(layer, "zeros ", 6) == 0) {
		push(f, strtoul(layer + 6, NULL, 10));
	} else if (strncmp(layer, "len+", 4) == 0) {
		char *hex;
		size_t more = strtoul(layer + 4, &hex, 10);
		size_t len = frame_len(f) + more;
		put_be16(push(f, 2), len);
		push_hex(f, hex);
	} else {
		push_hex(f, layer);
	}
}

static void build(struct frame *f, const char *const layers[LAYERS_CAP])
{
	size_t n = 0;
	while (n < LAYERS_CAP && layers[n]) {
		n++;
	}
	f->start = FRAME_CAP;
	while (n > 0) {
		push_layer(f, layers[--n]);
	}
}

/* Decodes from memory of exactly caplen bytes, so that a sanitizer sees every byte read beyond. */
static enum cu_packet_kind decode(uint16_t linktype, const uint8_t *data, size_t caplen, size_t len,
                                  struct cu_packet_content *content)
{
	uint8_t *copy = malloc(caplen > 0 ? caplen : 1);
	assert_non_null(copy);
	memcpy(copy, data, caplen);
	memset(content, 0xa5, sizeof(*content));
	enum cu_packet_kind kind = cu_packet_decode(linktype, copy, (uint32_t)caplen, (uint32_t)len, content);
	if (kind == CU_PACKET_TCP && content->tcp.payload) {
		/* moved to where the caller's bytes are */
		content->tcp.payload = data + (content->tcp.payload - copy);
	}
	free(copy);
	return kind;
}

#define IPV4 "ip4 6", "tcp"
#define IPV6 "ip6 6", "tcp"
/* IPv6 on its way to another node first. */
#define VIA(len) "60000000 " len " 2b 3f 20010db8000000000000000000000001 fc000000000000000000000000000099"
#define SNAP "aaaa03000000 0800"
#define WLAN "0801 0000 021122334455 02aabbccddee 02aabbccddff 0000"
#define WLAN_QOS "8802 0000 021122334455 02aabbccddee 02aabbccddff 0000 0000"

/* Every way to the same segment. ids: those expected, up to the first 0. */
static const struct encapsulation {
	const char *name;
	uint16_t linktype;
	uint8_t family;
	uint32_t ids[CU_VLAN_CAP];
	const char *layers[LAYERS_CAP]; /* outermost first */
} encapsulations[] = {
	{"ethernet, ipv4", 1, 4, {0}, {"eth 0800", IPV4}},
	{"ethernet, ipv6", 1, 6, {0}, {"eth 86dd", IPV6}},
	{"802.1Q", 1, 4, {0x1000064}, {"eth 8100", "0064 0800", IPV4}},
	{"802.1Q priority", 1, 4, {0}, {"eth 8100", "e000 0800", IPV4}},
	{"802.1ad", 1, 4, {0x1000064, 0x1000065}, {"eth 88a8", "0064 8100", "0065 0800", IPV4}},
	{"tpid 9100", 1, 4, {0x1000064}, {"eth 9100", "0064 0800", IPV4}},
	{"tpid 9200", 1, 4, {0x1000064}, {"eth 9200", "0064 0800", IPV4}},
	{"tpid 9300", 1, 4, {0x1000064}, {"eth 9300", "0064 0800", IPV4}},
	{"802.1Q, llc", 1, 4, {0x1000064}, {"eth 8100", "len+0 0064", SNAP, IPV4}},
	{"five tags",
         1,
         4,
         {0x1000001, 0x1000002, 0x1000003, 0x1000004},
         {"eth 8100", "0001 8100 0002 8100 0003 8100 0004 8100 0005 0800", IPV4}},
	{"802.3 snap", 1, 4, {0}, {"eth length", SNAP, IPV4}},
	{"802.3 ip", 1, 4, {0}, {"eth length", "060603", IPV4}},
	{"802.1ah", 1, 4, {0x2000777}, {"eth 88e7", "00000777", "eth 0800", IPV4}},
	{"vn-tag", 1, 4, {0}, {"eth 8926", "c0000001 0800", IPV4}},
	{"fabricpath", 1, 4, {0x1000064}, {"eth 8903", "0060", "eth 8100", "0064 0800", IPV4}},
	{"e-tag", 1, 4, {0x1000064}, {"eth 893f", "e0c020670000 8100", "0064 0800", IPV4}},
	{"hsr", 1, 4, {0}, {"eth 892f", "0040 0001 0800", IPV4}},
	{"mpls", 1, 4, {0}, {"eth 8847", "00010140", IPV4}},
	{"mpls two labels", 1, 6, {0}, {"eth 8847", "00010040 00020140", IPV6}},
	{"mpls pseudowire", 1, 4, {0}, {"eth 8847", "00010140 00000000", "eth 0800", IPV4}},
	{"mpls ethernet", 1, 4, {0}, {"eth 8847", "00010140", "eth 0800", IPV4}},
	{"mpls ethernet, as ipv4", 1, 4, {0}, {"eth 8847", "00010140", "4c5e0c000001 02aabbccddee 0800", IPV4}},
	{"mpls ethernet, as short ipv4", 1, 4, {0}, {"eth 8847", "00010140", "4c5e00300001 02aabbccddee 0800", IPV4}},
	{"mpls ethernet, as ipv6", 1, 6, {0}, {"eth 8847", "00010140", "6c5e0c000001 02aabbccddee 86dd", IPV6}},
	{"mpls ethernet, as long ipv6", 1, 4, {0}, {"eth 8847", "00010140", "6c5e0c00f001 02aabbccddee 0800", IPV4}},
	{"pppoe", 1, 4, {0x3000007}, {"eth 8864", "len+2 1100 0007", "0021", IPV4}},
	{"pppoe ipv6", 1, 6, {0x3000007}, {"eth 8864", "len+2 1100 0007", "0057", IPV6}},
	{"null little", 0, 4, {0}, {"02000000", IPV4}},
	{"null big", 0, 4, {0}, {"00000002", IPV4}},
	{"null ipv6 linux", 0, 6, {0}, {"0a000000", IPV6}},
	{"null ipv6 netbsd", 0, 6, {0}, {"00000018", IPV6}},
	{"null ipv6 freebsd", 0, 6, {0}, {"1c000000", IPV6}},
	{"null ipv6 darwin", 0, 6, {0}, {"1e000000", IPV6}},
	{"loop", 108, 4, {0}, {"00000002", IPV4}},
	{"token ring", 6, 4, {0}, {"1040 021122334455 02aabbccddee", SNAP, IPV4}},
	{"token ring, routed", 6, 4, {0}, {"1040 021122334455 82aabbccddee 0230", SNAP, IPV4}},
	{"ppp", 9, 4, {0}, {"ff03 0021", IPV4}},
	{"ppp bare", 9, 4, {0}, {"0021", IPV4}},
	{"ppp compressed", 9, 4, {0}, {"ff03 21", IPV4}},
	{"ppp hdlc", 50, 6, {0}, {"ff03 0057", IPV6}},
	{"cisco hdlc as ppp", 50, 4, {0}, {"0f00 0800", IPV4}},
	{"pppoe alone", 51, 4, {0x3000007}, {"len+2 1100 0007", "0021", IPV4}},
	{"fddi", 10, 4, {0}, {"50 021122334455 02aabbccddee", SNAP, IPV4}},
	{"raw bsd", 12, 4, {0}, {IPV4}},
	{"raw openbsd", 14, 6, {0}, {IPV6}},
	{"raw", 101, 4, {0}, {IPV4}},
	{"raw ipv6", 101, 6, {0}, {IPV6}},
	{"ipv4", 228, 4, {0}, {IPV4}},
	{"ipv6", 229, 6, {0}, {IPV6}},
	{"atm", 100, 4, {0}, {SNAP, IPV4}},
	{"cisco hdlc", 104, 6, {0}, {"8f00 86dd", IPV6}},
	{"802.11", 105, 4, {0}, {WLAN, SNAP, IPV4}},
	{"802.11 qos", 105, 4, {0}, {WLAN_QOS, SNAP, IPV4}},
	{"802.11 wds", 105, 4, {0}, {"0803 0000 021122334455 02aabbccddee 02aabbccddff 0000 021122334466", SNAP, IPV4}},
	{"802.11 a-msdu",
         105,
         4,
         {0},
         {"8802 0000 021122334455 02aabbccddee 02aabbccddff 0000 8000", "len+0 021122334455 02aabbccddee", SNAP, IPV4}},
	{"radiotap", 127, 4, {0}, {"0000 0800 00000000", WLAN, SNAP, IPV4}},
	{"radiotap padded", 127, 4, {0}, {"0000 1100 03000000 0000000000000000 20", WLAN_QOS, "0000", SNAP, IPV4}},
	{"radiotap two words", 127, 4, {0}, {"0000 0d00 02000080 00000000 20", WLAN_QOS, "0000", SNAP, IPV4}},
	{"prism", 119, 4, {0}, {"44000000 90000000", "zeros 136", WLAN, SNAP, IPV4}},
	{"avs", 163, 4, {0}, {"80211001 00000040", "zeros 56", WLAN, SNAP, IPV4}},
	{"ppi", 192, 4, {0}, {"0000 0800 69000000", WLAN, SNAP, IPV4}},
	{"frame relay", 107, 4, {0}, {"1841 03cc", IPV4}},
	{"frame relay snap", 107, 4, {0}, {"1841 0300 80 000000 0800", IPV4}},
	{"frame relay cisco", 107, 4, {0}, {"1841 0800", IPV4}},
	{"frame relay with direction", 206, 4, {0}, {"00 1841 03cc", IPV4}},
	{"cisco hdlc with direction", 205, 6, {0}, {"01 8f00 86dd", IPV6}},
	{"arcnet, rfc 1051", 7, 4, {0}, {"0102 f0", IPV4}},
	{"arcnet, rfc 1201", 7, 4, {0}, {"0102 d4 00 0001", IPV4}},
	{"arcnet, exception", 7, 4, {0}, {"0102 d4 ff ffff d4 00 0001", IPV4}},
	{"arcnet of linux", 129, 4, {0}, {"0102 0000 d4 00 0001", IPV4}},
	{"arcnet of linux, rfc 1051", 129, 4, {0}, {"0102 0000 f0", IPV4}},
	{"slip", 8, 4, {0}, {"00 45", "zeros 14", IPV4}},
	{"atm clip", 106, 4, {0}, {SNAP, IPV4}},
	{"atm clip, bare", 106, 4, {0}, {IPV4}},
	{"sunatm", 123, 4, {0}, {"82000020", SNAP, IPV4}},
	{"sunatm lane", 123, 4, {0}, {"81000020 0007", "eth 0800", IPV4}},
	{"firewire", 138, 4, {0}, {"zeros 16", "0800", IPV4}},
	{"ipoib", 242, 4, {0}, {"zeros 40", "0800 0000", IPV4}},
	{"broadcom tag", 281, 4, {0}, {"021122334455 02aabbccddee 20000003 0800", IPV4}},
	{"broadcom tag in front", 282, 4, {0}, {"20000003", "eth 0800", IPV4}},
	{"dsa", 284, 4, {0}, {"021122334455 02aabbccddee c0080001 0800", IPV4}},
	{"edsa, vlan", 285, 4, {0x1000064}, {"021122334455 02aabbccddee dada0000 40080001 8100", "0064 0800", IPV4}},
	{"mpls alone", 219, 4, {0}, {"00010140", IPV4}},
	{"juniper", 178, 4, {0}, {"4d474301", "eth 0800", IPV4}},
	{"juniper with extensions", 178, 4, {0}, {"4d474381 0006 01020003 0501", "eth 0800", IPV4}},
	{"juniper without link layer", 178, 4, {0}, {"4d474303 00000002", IPV4}},
	{"juniper ppp", 179, 4, {0}, {"4d474301", "ff03 0021", IPV4}},
	{"juniper frame relay", 180, 4, {0}, {"4d474301", "1841 03cc", IPV4}},
	{"juniper cisco hdlc", 181, 6, {0}, {"4d474301", "8f00 86dd", IPV6}},
	{"erf", 197, 4, {0}, {"0000000000000000 02 04 0060 0000 003c 0000", "eth 0800", IPV4}},
	{"erf, extended",
         197,
         4,
         {0},
         {"0000000000000000 82 04 0060 0000 003c 83", "zeros 7", "04", "zeros 7", "0000", "eth 0800", IPV4}},
	{"erf pos", 197, 4, {0}, {"0000000000000000 01 04 0060 0000 003c ff03 0021", IPV4}},
	{"erf ip", 197, 6, {0}, {"0000000000000000 17 04 0060 0000 003c", IPV6}},
	{"enc", 109, 4, {0}, {"02000000 00000000 00000000", IPV4}},
	{"cooked", 113, 4, {0}, {"0000 0001 0006 021122334455 0000 0800", IPV4}},
	{"cooked, vlan", 113, 4, {0x1000064}, {"0000 0001 0006 021122334455 0000 8100", "0064 0800", IPV4}},
	{"cooked, llc", 113, 4, {0}, {"0000 0001 0006 021122334455 0000 0004", SNAP, IPV4}},
	{"cooked 2", 276, 6, {0}, {"86dd 0000 00000002 0001 00 06 021122334455 0000", IPV6}},
	{"pflog", 117, 4, {0}, {"3d020000", "zeros 60", IPV4}},
	{"ip over fc", 122, 4, {0}, {"zeros 16", SNAP, IPV4}},
	{"pppd", 166, 4, {0}, {"0003 0021", IPV4}},
	{"ppp with direction", 204, 4, {0}, {"01 ff03 0021", IPV4}},
	{"ipnet", 226, 4, {0}, {"01020000", "zeros 20", IPV4}},
	{"nflog", 239, 4, {0}, {"02000000 0800 0100 08000000 0500 0a00 78000000 3d00 0900", IPV4}},
	{"netanalyzer", 240, 4, {0}, {"00000000", "eth 0800", IPV4}},
	{"netanalyzer, transparent", 241, 4, {0}, {"00000000 55555555555555d5", "eth 0800", IPV4}},
	{"pktap", 258, 4, {0}, {"6c000000 01000000 01000000", "zeros 96", "eth 0800", IPV4}},
	{"mpacket", 274, 4, {0}, {"55555555555555d5", "eth 0800", IPV4}},
	{"ipip", 1, 4, {0}, {"eth 0800", "ip4 4", IPV4}},
	{"6in4", 1, 6, {0}, {"eth 0800", "ip4 41", IPV6}},
	{"4in6", 1, 4, {0}, {"eth 86dd", "ip6 4", IPV4}},
	{"6in6", 1, 6, {0}, {"eth 86dd", "ip6 41", IPV6}},
	{"four deep", 1, 4, {0}, {"eth 0800", "ip4 4", "ip4 4", "ip4 4", "ip4 4", IPV4}},
	{"gre", 1, 4, {0}, {"eth 0800", "ip4 47", "0000 0800", IPV4}},
	{"gre key", 1, 4, {0x4000005}, {"eth 0800", "ip4 47", "b000 0800 00000000 00000005 00000001", IPV4}},
	{"gre in ipv6", 1, 6, {0}, {"eth 86dd", "ip6 47", "0000 86dd", IPV6}},
	{"nvgre", 1, 4, {0x5001234}, {"eth 0800", "ip4 47", "2000 6558 00123455", "eth 0800", IPV4}},
	{"gretap", 1, 4, {0x4000001}, {"eth 0800", "ip4 47", "2000 6558 00000001", "eth 0800", IPV4}},
	{"gretap, large key", 1, 4, {0x40fffff}, {"eth 0800", "ip4 47", "2000 6558 000fffff", "eth 0800", IPV4}},
	{"nvgre, first vsid", 1, 4, {0x5001000}, {"eth 0800", "ip4 47", "2000 6558 00100000", "eth 0800", IPV4}},
	{"eoip", 1, 4, {0x4000007}, {"eth 0800", "ip4 47", "2001 6400 0040 0700", "eth 0800", IPV4}},
	{"gre mpls", 1, 4, {0}, {"eth 0800", "ip4 47", "0000 8847 00010140", IPV4}},
	{"pptp", 1, 4, {0}, {"eth 0800", "ip4 47", "3081 880b 00450007 00000001 00000001 ff03 0021", IPV4}},
	{"wccp", 1, 4, {0}, {"eth 0800", "ip4 47", "0000 883e", IPV4}},
	{"wccp 2", 1, 4, {0}, {"eth 0800", "ip4 47", "0000 883e 00000000", IPV4}},
	{"erspan I", 1, 4, {0}, {"eth 0800", "ip4 47", "0000 88be", "eth 0800", IPV4}},
	{"erspan II",
         1,
         4,
         {0x6000064},
         {"eth 0800", "ip4 47", "1000 88be 00000001 1001 0064 00000000", "eth 0800", IPV4}},
	{"erspan III",
         1,
         4,
         {0x6000064},
         {"eth 0800", "ip4 47", "1000 22eb 00000001 2001 0064 00000000 00000000", "eth 0800", IPV4}},
	{"erspan III, platform",
         1,
         4,
         {0x6000064},
         {"eth 0800", "ip4 47", "1000 22eb 00000001 2001 0064 00000000 00000001 0000000000000000", "eth 0800", IPV4}},
	{"vxlan", 1, 4, {0x700002a}, {"eth 0800", "ip4 17", "udp 4789", "08000000 00002a00", "eth 0800", IPV4}},
	{"vxlan, vlan inside",
         1,
         4,
         {0x1000064, 0x700002a, 0x1000065},
         {"eth 8100", "0064 0800", "ip4 17", "udp 4789", "08000000 00002a00", "eth 8100", "0065 0800", IPV4}},
	{"vxlan linux", 1, 4, {0x700002a}, {"eth 0800", "ip4 17", "udp 8472", "08000000 00002a00", "eth 0800", IPV4}},
	{"vxlan-gpe", 1, 6, {0x700002a}, {"eth 0800", "ip4 17", "udp 4790", "0c000002 00002a00", IPV6}},
	{"geneve",
         1,
         4,
         {0x800002a},
         {"eth 0800", "ip4 17", "udp 6081", "0240 6558 00002a00 0102 8001 00000001", "eth 0800", IPV4}},
	{"geneve ip", 1, 4, {0x800002a}, {"eth 0800", "ip4 17", "udp 6081", "0000 0800 00002a00", IPV4}},
	{"gtp-u", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 2152", "30ff 0039 00000009", IPV4}},
	{"gtp-u sequence", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 2152", "32ff 003d 00000009 00010000", IPV4}},
	{"gtp-u extension",
         1,
         4,
         {0},
         {"eth 0800", "ip4 17", "udp 2152", "34ff 0041 00000009 00000085 01000100", IPV4}},
	{"teredo", 1, 6, {0}, {"eth 0800", "ip4 17", "udp 3544", IPV6}},
	{"teredo origin", 1, 6, {0}, {"eth 0800", "ip4 17", "udp 3544", "0000 1234 01020304", IPV6}},
	{"teredo authentication",
         1,
         6,
         {0},
         {"eth 0800", "ip4 17", "udp 3544", "0001 0000 0102030405060708 00 0000 1234 01020304", IPV6}},
	{"l2tp", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 1701", "0002 0001 0002 ff03 0021", IPV4}},
	{"l2tp all fields",
         1,
         4,
         {0},
         {"eth 0800", "ip4 17", "udp 1701", "4a02 0053 0001 0002 0001 0001 0002 0000 ff03 0021", IPV4}},
	{"ayiya", 1, 6, {0}, {"eth 0800", "ip4 17", "udp 5072", "42521129 00000000", "zeros 36", IPV6}},
	{"lisp", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 4341", "80000000 00000001", IPV4}},
	{"mpls in udp", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 6635", "00010140", IPV4}},
	{"gre in udp", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 4754", "0000 0800", IPV4}},
	{"tzsp", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 37008", "0100 0001 0a01c5 00 01", "eth 0800", IPV4}},
	{"capwap", 1, 4, {0}, {"eth 0800", "ip4 17", "udp 5247", "00100000 00000000", "eth 0800", IPV4}},
	{"etherip", 1, 4, {0}, {"eth 0800", "ip4 97", "3000", "eth 0800", IPV4}},
	{"mpls in ip", 1, 4, {0}, {"eth 0800", "ip4 137", "00010140", IPV4}},
	{"ah", 1, 4, {0}, {"eth 0800", "ip4 51", "06040000 00000001 00000001", "zeros 12", "tcp"}},
	{"ah in ipv6", 1, 6, {0}, {"eth 86dd", "ip6 51", "06040000 00000001 00000001", "zeros 12", "tcp"}},
	{"hop-by-hop", 1, 6, {0}, {"eth 86dd", "ip6 0", "0600 050200000100", "tcp"}},
	{"options twice", 1, 6, {0}, {"eth 86dd", "ip6 0", "3c00 010400000000", "0600 010400000000", "tcp"}},
	{"routing", 1, 6, {0}, {"eth 86dd", "ip6 43", "06020000 00000000", "zeros 16", "tcp"}},
	{"segment routing",
         1,
         6,
         {0},
         {"eth 86dd", VIA("004d"), "06040401 01000000", "zeros 15", "02", "zeros 16", "tcp"}},
	{"mobile node", 1, 6, {0}, {"eth 86dd", VIA("003d"), "06020201 00000000", "zeros 15", "02", "tcp"}},
	{"segment routing, arrived", 1, 6, {0}, {"eth 86dd", "ip6 43", "06020400 00000000", "zeros 16", "tcp"}},
	{"atomic fragment", 1, 6, {0}, {"eth 86dd", "ip6 44", "0600 0000 00000001", "tcp"}},
};

static void check_segment(const struct encapsulation *e, const struct cu_tcp *tcp)
{
	assert_int_equal(tcp->key.src.family, e->family);
	assert_int_equal(tcp->key.dst.family, e->family);
	assert_int_equal(tcp->key.src.bytes[e->family == 4 ? 3 : 15], 1);
	assert_int_equal(tcp->key.dst.bytes[e->family == 4 ? 3 : 15], 2);
	assert_int_equal(tcp->key.src_port, 1000);
	assert_int_equal(tcp->key.dst_port, 80);
	assert_int_equal(tcp->seq, 111);
	assert_int_equal(tcp->ack, 222);
	assert_int_equal(tcp->flags, CU_TCP_PSH | CU_TCP_ACK);
	assert_int_equal(tcp->window, 1024);
	assert_int_equal(tcp->ip_id, e->family == 4 ? 7 : 0);
	assert_int_equal(tcp->ttl, e->family == 4 ? 64 : 63);
	assert_true(tcp->has_timestamps);
	assert_int_equal(tcp->tsval, 1);
	assert_int_equal(tcp->tsecr, 2);
	assert_int_equal(tcp->n_sack, 0);
	assert_int_equal(tcp->payload_len, 5);
	assert_int_equal(tcp->payload_caplen, 5);
	assert_memory_equal(tcp->payload, "hello", 5);
	size_t n_ids = 0;
	while (n_ids < CU_VLAN_CAP && e->ids[n_ids] != 0) {
		n_ids++;
	}
	assert_int_equal(tcp->key.n_ids, n_ids);
	assert_memory_equal(tcp->key.ids, e->ids, sizeof(e->ids));
}

static void test_decode_finds_the_segment_in_every_encapsulation(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(encapsulations) / sizeof(encapsulations[0]); i++) {
		const struct encapsulation *e = &encapsulations[i];
		struct frame f;
		struct cu_packet_content content;
		build(&f, e->layers);
		enum cu_packet_kind kind =
			decode(e->linktype, f.bytes + f.start, frame_len(&f), frame_len(&f), &content);
		if (kind != CU_PACKET_TCP) {
			fail_msg("%s: %s", e->name, cu_packet_kind_text(kind));
		}
		check_segment(e, &content.tcp);
	}
}

/* However short the capture, nothing is read beyond it, and what there is of the segment is right. */
static void test_decode_uses_headers_cut_by_the_snap_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(encapsulations) / sizeof(encapsulations[0]); i++) {
		const struct encapsulation *e = &encapsulations[i];
		struct frame f;
		struct cu_packet_content content;
		build(&f, e->layers);
		size_t len = frame_len(&f);
		for (size_t caplen = 0; caplen < len; caplen++) {
			enum cu_packet_kind kind = decode(e->linktype, f.bytes + f.start, caplen, len, &content);
			bool has_ports = caplen >= len - 5 - 32 + 16;
			assert_int_equal(kind == CU_PACKET_TCP, has_ports);
			if (!has_ports) {
				continue;
			}
			assert_int_equal(content.tcp.seq, 111);
			assert_int_equal(content.tcp.window, 1024);
			assert_int_equal(content.tcp.payload_len, 5);
			assert_int_equal(content.tcp.has_timestamps, caplen >= len - 5);
			assert_int_equal(content.tcp.payload_caplen, caplen > len - 5 ? caplen - (len - 5) : 0);
			assert_int_equal(content.tcp.payload == NULL, caplen <= len - 5);
		}
	}
}

/* Of an 802.11 aggregate the first frame is decoded, and the others are counted. */
static void test_decode_counts_the_other_frames_of_an_aggregate(void **state)
{
	(void)state;
	struct frame f;
	build(&f, (const char *const[LAYERS_CAP]){"021122334455 02aabbccddee 0041", SNAP, IPV4});
	uint8_t subframe[80] = {0};
	size_t subframe_len = frame_len(&f);
	assert_int_equal(subframe_len, 79);
	memcpy(subframe, f.bytes + f.start, subframe_len);
	for (unsigned n = 1; n <= 3; n++) {
		f.start = FRAME_CAP;
		for (unsigned i = 0; i < n; i++) {
			memcpy(push(&f, sizeof(subframe)), subframe, sizeof(subframe));
		}
		push_hex(&f, "8802 0000 021122334455 02aabbccddee 02aabbccddff 0000 8000");
		struct cu_packet_content content;
		enum cu_packet_kind kind = decode(105, f.bytes + f.start, frame_len(&f), frame_len(&f), &content);
		assert_int_equal(kind, n > 1 ? CU_PACKET_AGGREGATE : CU_PACKET_TCP);
		assert_int_equal(content.tcp.seq, 111);
		if (n > 1) {
			assert_int_equal(content.first_kind, CU_PACKET_TCP);
			assert_int_equal(content.n_left_out, n - 1);
			/* cut in the first: there is at least one more */
			kind = decode(105, f.bytes + f.start, 100, frame_len(&f), &content);
			assert_int_equal(kind, CU_PACKET_AGGREGATE);
			assert_int_equal(content.n_left_out, 1);
		}
	}
}

/* Frames that are no segment, and what they are. */
static void test_decode_tells_other_frames_apart(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint16_t linktype;
		enum cu_packet_kind kind;
		const char *layers[LAYERS_CAP];
	} cases[] = {
		{"arp", 1, CU_PACKET_OTHER, {"eth 0806", "0001 0800 06 04 0001"}},
		{"udp", 1, CU_PACKET_OTHER, {"eth 0800", "ip4 17", "udp 53", "0000"}},
		{"esp", 1, CU_PACKET_OTHER, {"eth 0800", "ip4 50", "00000000"}},
		{"lldp", 1, CU_PACKET_OTHER, {"eth 88cc", "0207"}},
		{"spanning tree", 1, CU_PACKET_OTHER, {"eth length", "424203 0000000000"}},
		{"pppoe discovery", 1, CU_PACKET_OTHER, {"eth 8863", "1109 0000 0000"}},
		{"ppp lcp", 9, CU_PACKET_OTHER, {"ff03 c021 01010004"}},
		{"vxlan without vni",
	         1,
	         CU_PACKET_OTHER,
	         {"eth 0800", "ip4 17", "udp 4789", "00000000 00002a00", "eth 0800", IPV4}},
		{"gtp-u echo", 1, CU_PACKET_OTHER, {"eth 0800", "ip4 17", "udp 2152", "3201 0004 00000000 00010000"}},
		{"l2tp control",
	         1,
	         CU_PACKET_OTHER,
	         {"eth 0800", "ip4 17", "udp 1701", "c802 000c 0001 0000 0000 0000"}},
		{"gre with routing", 1, CU_PACKET_OTHER, {"eth 0800", "ip4 47", "4000 0800 00000000 00000000", IPV4}},
		{"too deep", 1, CU_PACKET_OTHER, {"eth 0800", "ip4 4", "ip4 4", "ip4 4", "ip4 4", "ip4 4", IPV4}},
		{"802.11 beacon",
	         105,
	         CU_PACKET_OTHER,
	         {"8000 0000 ffffffffffff 02aabbccddee 02aabbccddee 0000", "zeros 12"}},
		{"802.11 acknowledgement", 105, CU_PACKET_OTHER, {"d400 0000 021122334455"}},
		{"802.11 encrypted",
	         105,
	         CU_PACKET_OTHER,
	         {"0841 0000 021122334455 02aabbccddee 02aabbccddff 0000", SNAP, IPV4}},
		{"802.11 null", 105, CU_PACKET_OTHER, {"4801 0000 021122334455 02aabbccddee 02aabbccddff 0000"}},
		{"later fragment",
	         1,
	         CU_PACKET_FRAGMENT,
	         {"eth 0800", "4500 0019 0007 0002 4006 0000 0a000001 0a000002 68656c6c6f"}},
		{"later fragment, ipv6",
	         1,
	         CU_PACKET_FRAGMENT,
	         {"eth 86dd", "ip6 44", "0600 0009 00000001", "68656c6c6f"}},
		{"first fragment, 8 bytes",
	         1,
	         CU_PACKET_FRAGMENT,
	         {"eth 0800", "4500 001c 0007 2000 4006 0000 0a000001 0a000002", "03e8 0050 0000006f"}},
		{"nothing", 1, CU_PACKET_SHORT, {"0211"}},
		{"ip version 5", 101, CU_PACKET_MALFORMED, {"55000028", "zeros 36"}},
		{"ip header of 16 bytes", 101, CU_PACKET_MALFORMED, {"44000028 00070000 40060000 0a000001", "tcp"}},
		{"ip length below its header",
	         101,
	         CU_PACKET_MALFORMED,
	         {"4500 0010 0007 0000 4006 0000 0a000001 0a000002", "tcp"}},
		{"tcp header of 16 bytes",
	         101,
	         CU_PACKET_MALFORMED,
	         {"ip4 6", "03e8 0050 0000006f 000000de 40 18 0400 0000 0000"}},
		{"tcp header beyond ip",
	         101,
	         CU_PACKET_MALFORMED,
	         {"ip4 6", "03e8 0050 0000006f 000000de 60 18 0400 0000 0000"}},
		{"unknown link", 147, CU_PACKET_UNKNOWN_LINK, {IPV4}},
		{"radiotap header of 4 bytes", 127, CU_PACKET_MALFORMED, {"0000 0400 00000000", WLAN, SNAP, IPV4}},
		{"ppi of itself without length", 192, CU_PACKET_MALFORMED, {"0000 0000 c0000000"}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame f;
		struct cu_packet_content content;
		build(&f, cases[i].layers);
		enum cu_packet_kind kind =
			decode(cases[i].linktype, f.bytes + f.start, frame_len(&f), frame_len(&f), &content);
		if (kind != cases[i].kind) {
			fail_msg("%s: %s", cases[i].name, cu_packet_kind_text(kind));
		}
	}
}

static void test_decode_tells_which_part_a_fragment_is(void **state)
{
	(void)state;
	static const struct {
		const char *layers[LAYERS_CAP];
		size_t n_ids;
		uint32_t id, offset, len, caplen;
		bool more;
		uint8_t protocol, ttl, n_tunnels;
	} cases[] = {
		{{"eth 0800", "4500 0039 0007 2000 4006 0000 0a000001 0a000002", "tcp"},
	         0,
	         7,
	         0,
	         37,
	         37,
	         true,
	         6,
	         64,
	         0},
		{{"eth 8100", "0064 0800", "4500 001c 0007 2003 3f06 0000 0a000001 0a000002", "68656c6c 68656c6c"},
	         1,
	         7,
	         24,
	         8,
	         8,
	         true,
	         6,
	         63,
	         0},
		{{"eth 0800", "4500 0019 0007 0002 4011 0000 0a000001 0a000002", "68656c6c6f 0000"},
	         0,
	         7,
	         16,
	         5,
	         5,
	         false,
	         17,
	         64,
	         0},
		{{"eth 0800", "4500 0219 0007 0002 4006 0000 0a000001 0a000002", "68656c6c6f"},
	         0,
	         7,
	         16,
	         517,
	         5,
	         false,
	         6,
	         64,
	         0},
		{{"eth 86dd", "ip6 44", "0600 0009 00010007", "68656c6c6f"}, 0, 0x10007, 8, 5, 5, true, 6, 63, 0},
		{{"eth 86dd", "ip6 44", "3c00 0001 00010007", "tcp"}, 0, 0x10007, 0, 37, 37, true, 60, 63, 0},
		/* Of a tunnel's fragments the outer datagram counts, whatever is in the first one. */
		{{"eth 0800", "4500 0045 0007 2000 402f 0000 0a000001 0a000002", "0000 0800",
	          "4500 05dc 0001 2000 4006 0000 0a000003 0a000004"},
	         0,
	         7,
	         0,
	         49,
	         24,
	         true,
	         47,
	         64,
	         0},
		{{"eth 0800", "ip4 47", "0000 0800", "4500 001c 0007 2003 3f06 0000 0a000001 0a000002",
	          "68656c6c 68656c6c"},
	         0,
	         7,
	         24,
	         8,
	         8,
	         true,
	         6,
	         63,
	         1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame f;
		struct cu_packet_content content;
		build(&f, cases[i].layers);
		enum cu_packet_kind kind = decode(1, f.bytes + f.start, frame_len(&f), frame_len(&f), &content);
		const struct cu_ip_fragment *part = &content.fragment;
		assert_int_equal(kind, CU_PACKET_FRAGMENT);
		size_t at = part->key.src.family == 4 ? 3 : 15;
		assert_int_equal(part->key.src.bytes[at], 1);
		assert_int_equal(part->key.dst.bytes[at], 2);
		assert_int_equal(part->key.src_port, 0);
		assert_int_equal(part->key.n_ids, cases[i].n_ids);
		assert_int_equal(part->id, cases[i].id);
		assert_int_equal(part->offset, cases[i].offset);
		assert_int_equal(part->len, cases[i].len);
		assert_int_equal(part->caplen, cases[i].caplen);
		assert_int_equal(part->more, cases[i].more);
		assert_int_equal(part->protocol, cases[i].protocol);
		assert_int_equal(part->ttl, cases[i].ttl);
		assert_int_equal(part->n_tunnels, cases[i].n_tunnels);
	}
}

static void test_decode_datagram_goes_on_from_its_payload(void **state)
{
	(void)state;
	static const struct {
		const char *layers[LAYERS_CAP];
		uint8_t family;
		uint32_t payload_len;
	} cases[] = {
		{{"eth 0800", "4500 0039 0007 2000 4006 0000 0a000001 0a000002", "tcp"}, 4, 1005},
		{{"eth 86dd", "ip6 44", "0600 0001 00010007", "tcp"}, 6, 1005},
		{{"eth 86dd", "ip6 44", "3c00 0001 00010007", "0600 010400000000", "tcp"}, 6, 997},
		/* in a tunnel, the inner header says how long it is */
		{{"eth 0800", "4500 0051 0007 2000 402f 0000 0a000001 0a000002", "0000 0800", IPV4}, 4, 5},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame f;
		struct cu_packet_content content;
		build(&f, cases[i].layers);
		decode(1, f.bytes + f.start, frame_len(&f), frame_len(&f), &content);
		struct cu_ip_fragment whole = content.fragment; /* borrowed from where it is no more */
		whole.data = f.bytes + f.start + frame_len(&f) - whole.caplen;
		whole.len = 1000 + 37;
		assert_int_equal(cu_packet_decode_datagram(&whole, &content), CU_PACKET_TCP);
		assert_int_equal(content.tcp.key.src.family, cases[i].family);
		assert_int_equal(content.tcp.key.src_port, 1000);
		assert_int_equal(content.tcp.payload_len, cases[i].payload_len);
		assert_int_equal(content.tcp.payload_caplen, 5);
		assert_int_equal(content.tcp.ip_id, cases[i].family == 4 ? 7 : 0);
		assert_int_equal(content.tcp.ttl, cases[i].family == 4 ? 64 : 63);
	}
}

/* The payload's length is IP's, whatever the frame has besides it. */
static void test_decode_takes_the_payload_length_from_ip(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		const char *layers[LAYERS_CAP];
		size_t n_trailer; /* bytes behind the packet */
		size_t more;      /* on the wire, not captured */
		uint32_t payload_len;
		uint32_t payload_caplen;
	} cases[] = {
		{"exact", {"eth 0800", IPV4}, 0, 0, 5, 5},
		{"padding", {"eth 0800", IPV4}, 9, 0, 5, 5},
		{"padding, ipv6", {"eth 86dd", IPV6}, 9, 0, 5, 5},
		{"padding behind 802.3", {"eth length", SNAP, IPV4}, 9, 0, 5, 5},
		{"no payload, padded",
	         {"eth 0800", "ip4 6", "03e8 0050 00000000 00000000 5010 0400 00000000"},
	         6,
	         0,
	         0,
	         0},
		{"padding that ip counts, in pppoe",
	         {"eth 8864", "1100 0007 002a", "0021", "4500 002e 0007 0000 4006 0000 0a000001 0a000002",
	          "03e8 0050 00000000 00000000 5010 0400 00000000", "zeros 6"},
	         0,
	         0,
	         0,
	         0},
		{"cut", {"eth 0800", "4500 05dc 0007 0000 4006 0000 0a000001 0a000002", "tcp"}, 0, 1443, 1448, 5},
		{"cut, frame length lost",
	         {"eth 0800", "4500 05dc 0007 0000 4006 0000 0a000001 0a000002", "tcp"},
	         0,
	         0,
	         1448,
	         5},
		{"offload, ipv4",
	         {"eth 0800", "4500 0000 0007 0000 4006 0000 0a000001 0a000002", "tcp"},
	         0,
	         9000,
	         9005,
	         5},
		{"offload, ipv6",
	         {"eth 86dd", "60000000 0000 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002",
	          "tcp"},
	         0,
	         9000,
	         9005,
	         5},
		{"offload in a vlan",
	         {"eth 8100", "0064 0800", "4500 0000 0007 0000 4006 0000 0a000001 0a000002", "tcp"},
	         0,
	         9000,
	         9005,
	         5},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame f;
		struct cu_packet_content content;
		build(&f, cases[i].layers);
		uint8_t bytes[FRAME_CAP] = {0};
		size_t caplen = frame_len(&f) + cases[i].n_trailer;
		memcpy(bytes, f.bytes + f.start, frame_len(&f));
		enum cu_packet_kind kind = decode(1, bytes, caplen, caplen + cases[i].more, &content);
		if (kind != CU_PACKET_TCP || content.tcp.payload_len != cases[i].payload_len ||
		    content.tcp.payload_caplen != cases[i].payload_caplen) {
			fail_msg("%s: %s, payload %u, captured %u", cases[i].name, cu_packet_kind_text(kind),
			         content.tcp.payload_len, content.tcp.payload_caplen);
		}
	}
}

/* n_cut: bytes at the end that were not captured. */
static void decode_cut_options(const char *flags, const char *options, size_t n_cut, struct cu_tcp *tcp)
{
	struct frame f = {.start = FRAME_CAP};
	struct cu_packet_content content;
	push_hex(&f, options);
	size_t header = 20 + frame_len(&f);
	assert_true(header % 4 == 0 && header <= 60);
	push_hex(&f, "0400 0000 0000");
	push_hex(&f, flags);
	*push(&f, 1) = (uint8_t)(header / 4 << 4);
	push_hex(&f, "03e8 0050 0000006f 000000de");
	push_ipv4(&f, 6);
	assert_int_equal(decode(101, f.bytes + f.start, frame_len(&f) - n_cut, frame_len(&f), &content), CU_PACKET_TCP);
	*tcp = content.tcp;
}

static void decode_options(const char *flags, const char *options, struct cu_tcp *tcp)
{
	decode_cut_options(flags, options, 0, tcp);
}

static void test_decode_reads_the_options_of_a_syn(void **state)
{
	(void)state;
	static const struct {
		const char *options;
		struct cu_syn_options syn;
	} cases[] = {
		{"", {0}},
		{"020405b4", {.mss = 1460}},
		{"020405b4 0402 080a 00000001 00000000 01 030307",
	         {.mss = 1460, .wscale = 7, .has_wscale = true, .sack_permitted = true, .has_timestamps = true}},
		{"01 030300", {.wscale = 0, .has_wscale = true}},
		{"01 030320", {.wscale = 14, .has_wscale = true}}, /* RFC 7323 2.3: more is 14 */
		{"0101080a 00000001 00000000", {.has_timestamps = true}},
		{"0205 05b400 0402 00", {.sack_permitted = true}}, /* a length that is not MSS's */
		{"00 00 00 00 020405b4", {0}},                     /* behind the end */
		{"0200 05b4", {0}},                                /* length 0 */
		{"0201 05b4", {0}},
		{"fe20 05b4", {0}},                    /* beyond the header */
		{"1e04 0001 020405b4", {.mss = 1460}}, /* MPTCP is passed over */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_tcp tcp;
		decode_options("02", cases[i].options, &tcp);
		assert_memory_equal(&tcp.syn, &cases[i].syn, sizeof(tcp.syn));
		assert_int_equal(tcp.has_timestamps, cases[i].syn.has_timestamps);
	}
}

/* A snap length of 68 bytes leaves Linux's SYN without its window scale: what was not captured is not known. */
static void test_decode_tells_options_that_were_cut(void **state)
{
	(void)state;
	static const char linux_syn[] = "020405b4 0402 080a 00000001 00000000 01 030307";
	static const struct {
		const char *options;
		size_t n_cut;
		bool cut;
	} cases[] = {
		{linux_syn, 0, false}, {linux_syn, 1, true},
		{linux_syn, 4, true},  {linux_syn, 6, true},
		{linux_syn, 20, true}, {"00 00 00 00 020405b4", 4, false}, /* behind the end there is nothing */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_tcp tcp;
		decode_cut_options("02", cases[i].options, cases[i].n_cut, &tcp);
		assert_int_equal(tcp.syn.cut, cases[i].cut);
		decode_cut_options("10", cases[i].options, cases[i].n_cut, &tcp);
		assert_false(tcp.syn.cut);
	}
}

static void test_decode_ignores_syn_options_elsewhere(void **state)
{
	(void)state;
	struct cu_tcp tcp;
	decode_options("10", "020405b4 0402 080a 00000001 00000009 01 030307", &tcp);
	assert_int_equal(tcp.syn.mss, 0);
	assert_false(tcp.syn.has_wscale);
	assert_false(tcp.syn.sack_permitted);
	assert_false(tcp.syn.has_timestamps);
	assert_true(tcp.has_timestamps);
	assert_int_equal(tcp.tsecr, 9);
}

static void test_decode_reads_sack_blocks(void **state)
{
	(void)state;
	static const struct {
		const char *options;
		uint8_t n_sack;
	} cases[] = {
		{"0101 050a 00000001 00000002", 1},
		{"0101080a 00000001 00000002 0101 0512 00000001 00000002 00000003 00000004", 2},
		{"0101080a 00000001 00000002 0101 051a 00000001 00000002 00000003 00000004 00000005 00000006", 3},
		{"0101 0522 00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008", 4},
		{"0101 0502", 0},
		{"01 0507 00000001 00", 0}, /* half a block */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_tcp tcp;
		decode_options("10", cases[i].options, &tcp);
		assert_int_equal(tcp.n_sack, cases[i].n_sack);
		for (uint32_t k = 0; k < tcp.n_sack; k++) {
			assert_int_equal(tcp.sack[k][0], 2 * k + 1);
			assert_int_equal(tcp.sack[k][1], 2 * k + 2);
		}
	}
}

static void test_decode_keeps_nine_flags(void **state)
{
	(void)state;
	struct frame f;
	struct cu_packet_content content;
	build(&f, (const char *const[LAYERS_CAP]){"ip4 6", "03e8 0050 00000000 00000000 5fff 0000 0000 0000"});
	assert_int_equal(decode(101, f.bytes + f.start, frame_len(&f), frame_len(&f), &content), CU_PACKET_TCP);
	assert_int_equal(content.tcp.flags, 0x1ff);
}

#define QUOTED4 "4500 0028 0007 4000 4006 0000 0a000001 0a000002 03e8 0050 0000006f"
#define QUOTED6 \
	"60000000 0014 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002 03e8 0050 0000006f"

static void test_decode_finds_the_segment_an_icmp_error_quotes(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		const char *layers[LAYERS_CAP];
		bool is_error;
		uint8_t family, type, code;
		uint32_t mtu;
	} cases[] = {
		{"prohibited", {"ip4 1", "030d 0000 00000000", QUOTED4}, true, 4, 3, 13, 0},
		{"fragmentation needed", {"ip4 1", "0304 0000 00000578", QUOTED4}, true, 4, 3, 4, 1400},
		{"time exceeded", {"ip4 1", "0b00 0000 00000000", QUOTED4}, true, 4, 11, 0, 0},
		{"source quench", {"ip4 1", "0400 0000 00000000", QUOTED4}, true, 4, 4, 0, 0},
		{"parameter problem", {"ip4 1", "0c00 0000 14000000", QUOTED4}, true, 4, 12, 0, 0},
		{"echo", {"ip4 1", "0800 0000 00000000", QUOTED4}, false, 0, 0, 0, 0},
		{"redirect", {"ip4 1", "0501 0000 0a000009", QUOTED4}, false, 0, 0, 0, 0},
		{"about udp",
	         {"ip4 1", "0303 0000 00000000", "4500 0028 0007 4000 4011 0000 0a000001 0a000002 03e8 0035 00140000"},
	         false,
	         0,
	         0,
	         0,
	         0},
		{"about a first fragment",
	         {"ip4 1", "0b01 0000 00000000", "4500 0028 0007 2000 4006 0000 0a000001 0a000002 03e8 0050 0000006f"},
	         true,
	         4,
	         11,
	         1,
	         0},
		{"about a fragment",
	         {"ip4 1", "0b01 0000 00000000", "4500 0028 0007 0009 4006 0000 0a000001 0a000002 03e8 0050 0000006f"},
	         false,
	         0,
	         0,
	         0,
	         0},
		{"spoilt length",
	         {"ip4 1", "030a 0000 00000000", "4500 0010 0007 4000 4006 0000 0a000001 0a000002 03e8 0050 0000006f"},
	         true,
	         4,
	         3,
	         10,
	         0},
		{"nothing quoted", {"ip4 1", "0303 0000 00000000"}, false, 0, 0, 0, 0},
		{"ports only",
	         {"ip4 1", "0303 0000 00000000", "4500 0028 0007 4000 4006 0000 0a000001 0a000002 03e8 0050"},
	         false,
	         0,
	         0,
	         0,
	         0},
		{"too big", {"ip6 58", "0200 0000 00000500", QUOTED6}, true, 6, 2, 0, 1280},
		{"unreachable", {"ip6 58", "0101 0000 00000000", QUOTED6}, true, 6, 1, 1, 0},
		{"time exceeded, ipv6", {"ip6 58", "0300 0000 00000000", QUOTED6}, true, 6, 3, 0, 0},
		{"echo, ipv6", {"ip6 58", "8000 0000 00000000", QUOTED6}, false, 0, 0, 0, 0},
		{"neighbour", {"ip6 58", "8700 0000 00000000", "zeros 16"}, false, 0, 0, 0, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame f;
		struct cu_packet_content content;
		build(&f, cases[i].layers);
		enum cu_packet_kind kind = decode(101, f.bytes + f.start, frame_len(&f), frame_len(&f), &content);
		if (kind != (cases[i].is_error ? CU_PACKET_ICMP_ERROR : CU_PACKET_OTHER)) {
			fail_msg("%s: %s", cases[i].name, cu_packet_kind_text(kind));
		}
		if (!cases[i].is_error) {
			continue;
		}
		const struct cu_icmp_error *icmp = &content.icmp;
		size_t last = icmp->family == 4 ? 3 : 15;
		assert_int_equal(icmp->family, cases[i].family);
		assert_int_equal(icmp->type, cases[i].type);
		assert_int_equal(icmp->code, cases[i].code);
		assert_int_equal(icmp->mtu, cases[i].mtu);
		assert_int_equal(icmp->seq, 111);
		assert_int_equal(icmp->reporter.bytes[last], 1);
		assert_int_equal(icmp->key.src.bytes[last], 1);
		assert_int_equal(icmp->key.dst.bytes[last], 2);
		assert_int_equal(icmp->key.src_port, 1000);
		assert_int_equal(icmp->key.dst_port, 80);
	}
}

/* Any byte of any frame changed to anything: no read beyond, and the answer is consistent. */
static void test_decode_survives_damage(void **state)
{
	(void)state;
	uint64_t random = 88172645463325252U;
	for (size_t i = 0; i < sizeof(encapsulations) / sizeof(encapsulations[0]); i++) {
		struct frame f;
		struct cu_packet_content content;
		build(&f, encapsulations[i].layers);
		for (size_t at = f.start; at < FRAME_CAP; at++) {
			uint8_t saved = f.bytes[at];
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			f.bytes[at] = (uint8_t)random;
			enum cu_packet_kind kind = decode(encapsulations[i].linktype, f.bytes + f.start, frame_len(&f),
			                                  frame_len(&f), &content);
			if (kind == CU_PACKET_TCP) {
				assert_true(content.tcp.payload_caplen <= content.tcp.payload_len);
				assert_true(content.tcp.key.n_ids <= CU_VLAN_CAP);
			}
			f.bytes[at] = saved;
		}
	}
}

static void test_linktype_known_agrees_with_decode(void **state)
{
	(void)state;
	static const uint8_t zeros[64];
	size_t n_known = 0;
	for (uint16_t linktype = 0; linktype < 400; linktype++) {
		struct cu_packet_content content;
		enum cu_packet_kind kind = cu_packet_decode(linktype, zeros, sizeof(zeros), sizeof(zeros), &content);
		assert_int_equal(cu_linktype_known(linktype), kind != CU_PACKET_UNKNOWN_LINK);
		n_known += cu_linktype_known(linktype) ? 1 : 0;
	}
	assert_true(n_known > 30);
	assert_true(cu_linktype_known(1));
	assert_false(cu_linktype_known(147));
}

static void test_kind_text_names_every_kind(void **state)
{
	(void)state;
	for (int kind = 0; kind < CU_PACKET_N_KINDS; kind++) {
		assert_true(strlen(cu_packet_kind_text((enum cu_packet_kind)kind)) > 0);
	}
	assert_string_equal(cu_packet_kind_text(CU_PACKET_OTHER), "not TCP");
	assert_string_equal(cu_packet_kind_text(CU_PACKET_N_KINDS), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_finds_the_segment_in_every_encapsulation),
		cmocka_unit_test(test_decode_uses_headers_cut_by_the_snap_length),
		cmocka_unit_test(test_decode_counts_the_other_frames_of_an_aggregate),
		cmocka_unit_test(test_decode_tells_other_frames_apart),
		cmocka_unit_test(test_decode_tells_which_part_a_fragment_is),
		cmocka_unit_test(test_decode_datagram_goes_on_from_its_payload),
		cmocka_unit_test(test_decode_takes_the_payload_length_from_ip),
		cmocka_unit_test(test_decode_reads_the_options_of_a_syn),
		cmocka_unit_test(test_decode_tells_options_that_were_cut),
		cmocka_unit_test(test_decode_ignores_syn_options_elsewhere),
		cmocka_unit_test(test_decode_reads_sack_blocks),
		cmocka_unit_test(test_decode_keeps_nine_flags),
		cmocka_unit_test(test_decode_finds_the_segment_an_icmp_error_quotes),
		cmocka_unit_test(test_decode_survives_damage),
		cmocka_unit_test(test_linktype_known_agrees_with_decode),
		cmocka_unit_test(test_kind_text_names_every_kind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
