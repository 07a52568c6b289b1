/*
 * The usual frames, which are read in line, and all others, which are decoded
 * layer by layer: the same packet is sighted behind each link layer that is
 * usual, and behind one that never is, and all have to agree.
 */
#include "lib/flow/sight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PACKET_CAP = 160, HEADER_CAP = 20 };

/* Link layers, and where they have the ethertype; the first is never usual. */
static const struct link {
	uint16_t linktype, header, type_at;
	bool has_type;
} links[] = {
	{0, 4, 0, false},    /* BSD loopback */
	{1, 14, 12, true},   /* Ethernet */
	{101, 0, 0, false},  /* none */
	{113, 16, 14, true}, /* Linux cooked capture */
	{276, 20, 0, true},  /* its second version */
};

enum { N_LINKS = sizeof(links) / sizeof(links[0]) };

/* What each way made of the packets. */
struct both {
	struct cu_track track;
	struct cu_sight sight[N_LINKS];
};

static int set_up(void **state)
{
	static const struct cu_flowify_config config;
	struct both *both = calloc(1, sizeof(*both));
	assert_non_null(both);
	assert_int_equal(cu_track_init(&both->track, NULL, &config), 0);
	for (size_t i = 0; i < N_LINKS; i++) {
		assert_int_equal(cu_sight_init(&both->sight[i], &config, &both->track.table), 0);
	}
	*state = both;
	return 0;
}

static int tear_down(void **state)
{
	struct both *both = *state;
	for (size_t i = 0; i < N_LINKS; i++) {
		cu_sight_release(&both->sight[i]);
	}
	cu_track_release(&both->track);
	free(both);
	return 0;
}

static void assert_same_segment(const struct cu_segment *a, const struct cu_segment *b)
{
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->frame, b->frame);
	assert_int_equal(a->file, b->file);
	assert_int_equal(a->icmp, b->icmp);
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->ack, b->ack);
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->window, b->window);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->ip_id, b->ip_id);
	assert_int_equal(a->ttl, b->ttl);
	assert_int_equal(a->has_timestamps, b->has_timestamps);
	assert_int_equal(a->tsval, b->tsval);
	assert_int_equal(a->tsecr, b->tsecr);
	assert_int_equal(a->n_sack, b->n_sack);
	assert_memory_equal(a->sack, b->sack, a->n_sack * sizeof(a->sack[0]));
	assert_int_equal(a->hint.kind, b->hint.kind);
	if (a->hint.kind != CU_HINT_NONE) {
		assert_int_equal(a->hint.text_len, b->hint.text_len);
		assert_memory_equal(a->hint.text, b->hint.text, a->hint.text_len);
	}
}

/* Sights len bytes of an IP packet, caplen of them captured, behind a link layer. */
static size_t sight(struct both *both, size_t i, const uint8_t *ip, uint32_t caplen, uint32_t len,
                    struct cu_sighting *sighting)
{
	static const uint8_t types[2][2] = {{0x08, 0x00}, {0x86, 0xdd}};
	const struct link *link = &links[i];
	/* of the very length, so that a read behind the end is seen */
	uint8_t *frame = calloc(1, (size_t)link->header + caplen);
	assert_non_null(frame);
	if (link->has_type) {
		memcpy(frame + link->type_at, types[ip[0] >> 4 == 6], 2);
	} else if (link->header > 0) {
		frame[0] = 2; /* AF_INET */
	}
	memcpy(frame + link->header, ip, caplen);
	const struct cu_packet packet = {
		.time_ns = 1000,
		.frame = 7,
		.file = 3,
		.data = frame,
		.caplen = link->header + caplen,
		.len = link->header + len,
		.linktype = link->linktype,
	};
	memset(sighting, 0x5a, sizeof(*sighting));
	size_t n = cu_sight_packets(&both->sight[i], &packet, 1, sighting);
	free(frame);
	return n;
}

/* All have to agree. */
static void check(struct both *both, const uint8_t *ip, uint32_t caplen, uint32_t len)
{
	struct cu_sighting first, other;
	size_t n = sight(both, 0, ip, caplen, len, &first);
	for (size_t i = 1; i < N_LINKS; i++) {
		assert_int_equal(sight(both, i, ip, caplen, len, &other), n);
		assert_memory_equal(both->sight[i].n_kinds, both->sight[0].n_kinds, sizeof(both->sight[0].n_kinds));
		if (n == 0) {
			continue;
		}
		assert_same_segment(&other.segment, &first.segment);
		assert_int_equal(other.from_lower, first.from_lower);
		assert_int_equal(other.tag, first.tag);
		assert_int_equal(other.n_fragments, first.n_fragments);
		assert_memory_equal(other.key.head, first.key.head, sizeof(first.key.head));
		if (cu_key_is_long(first.key.head[0])) {
			assert_memory_equal(other.key.rest, first.key.rest, sizeof(first.key.rest));
		}
		if ((first.segment.flags & CU_TCP_SYN) != 0 && !first.segment.icmp) {
			assert_memory_equal(&other.syn, &first.syn, sizeof(first.syn));
		}
	}
}

/* An IP packet with a TCP segment; returns its length. */
static uint32_t make(uint8_t *ip, bool is_ipv6, uint8_t flags, const uint8_t *options, uint32_t options_len,
                     const char *payload)
{
	uint32_t ip_header = is_ipv6 ? 40 : 20, tcp_len = 20 + options_len + (uint32_t)strlen(payload);
	memset(ip, 0, PACKET_CAP);
	if (is_ipv6) {
		ip[0] = 0x60;
		ip[5] = (uint8_t)tcp_len;
		ip[6] = 6;
		ip[7] = 63;
		memcpy(ip + 8, "\x20\x01\x0d\xb8 a client", 14);
		memcpy(ip + 24, "\x20\x01\x0d\xb8 a server", 14);
	} else {
		ip[0] = 0x45;
		ip[3] = (uint8_t)(ip_header + tcp_len);
		ip[5] = 77;
		ip[8] = 64;
		ip[9] = 6;
		memcpy(ip + 12, "\x0a\x00\x00\x02\x0a\x00\x00\x01", 8);
	}
	uint8_t *tcp = ip + ip_header;
	memcpy(tcp, "\x9c\x40\x00\x50\x11\x22\x33\x44\x55\x66\x77\x88", 12);
	tcp[12] = (uint8_t)((20 + options_len) / 4 << 4);
	tcp[13] = flags;
	memcpy(tcp + 14, "\x01\xf5", 2);
	memcpy(tcp + 20, options, options_len);
	memcpy(tcp + 20 + options_len, payload, strlen(payload));
	return ip_header + tcp_len;
}

#define TS 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8
#define BLOCK 9, 8, 7, 6, 5, 4, 3, 2

static const struct {
	uint8_t flags, len, bytes[40];
} options[] = {
	{CU_TCP_ACK, 0, {0}},
	{CU_TCP_ACK, 12, {TS}},
	{CU_TCP_ACK | CU_TCP_PSH, 12, {TS}},
	{CU_TCP_FIN | CU_TCP_ACK, 12, {TS}},
	{CU_TCP_RST, 0, {0}},
	{CU_TCP_ACK, 24, {TS, 1, 1, 5, 10, BLOCK}},
	{CU_TCP_ACK, 32, {TS, 1, 1, 5, 18, BLOCK, BLOCK}},
	{CU_TCP_ACK, 40, {TS, 1, 1, 5, 26, BLOCK, BLOCK, BLOCK}},
	{CU_TCP_ACK, 12, {1, 1, 5, 10, BLOCK}},
	{CU_TCP_ACK, 12, {8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0}},
	{CU_TCP_ACK, 16, {TS, 0, 5, 10, 1}},
	{CU_TCP_ACK, 24, {TS, 1, 1, 5, 9, BLOCK}},
	{CU_TCP_ACK, 28, {TS, 1, 1, 5, 14, BLOCK, 1, 2, 3, 4}},
	{CU_TCP_SYN, 20, {2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}},
	{CU_TCP_SYN | CU_TCP_ACK, 0, {0}},
	{CU_TCP_SYN | CU_TCP_ACK, 12, {TS}},
};

static const char *const payloads[] = {"", "GET / HTTP/1.1\r\n", "\x16\x03\x01", "plain"};

enum { N_OPTIONS = sizeof(options) / sizeof(options[0]), N_PAYLOADS = sizeof(payloads) / sizeof(payloads[0]) };

/* Captured to each length that the headers have, and beyond. */
static void test_whole_and_cut(void **state)
{
	struct both *both = *state;
	for (size_t o = 0; o < N_OPTIONS; o++) {
		for (size_t p = 0; p < N_PAYLOADS; p++) {
			for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
				uint8_t ip[PACKET_CAP];
				uint32_t len = make(ip, is_ipv6 != 0, options[o].flags, options[o].bytes,
				                    options[o].len, payloads[p]);
				for (uint32_t caplen = 1; caplen <= len + 6; caplen++) { /* and padding */
					check(both, ip, caplen, caplen > len ? caplen : len);
				}
			}
		}
	}
	assert_true(both->sight[0].n_kinds[CU_PACKET_TCP] > 0 && both->sight[0].n_kinds[CU_PACKET_SHORT] > 0);
}

/* One byte of the headers is another, and one more in half of them. */
static void test_damaged(void **state)
{
	struct both *both = *state;
	uint32_t seed = 1;
	for (int round = 0; round < 60000; round++) {
		uint32_t random[6];
		for (size_t i = 0; i < sizeof(random) / sizeof(random[0]); i++) {
			seed = seed * 1103515245 + 12345; /* ISO C's example of rand */
			random[i] = seed >> 12;
		}
		size_t o = random[0] % N_OPTIONS;
		uint8_t ip[PACKET_CAP];
		uint32_t len = make(ip, random[1] % 2 == 0, options[o].flags, options[o].bytes, options[o].len,
		                    payloads[random[1] / 2 % N_PAYLOADS]);
		ip[random[2] % len] ^= (uint8_t)(1U << random[2] / len % 8);
		if (round % 2 == 0) {
			ip[random[3] % len] = (uint8_t)random[4];
		}
		check(both, ip, 1 + random[5] % len, len);
		check(both, ip, len, len);
	}
	assert_true(both->sight[0].n_kinds[CU_PACKET_TCP] > 0 && both->sight[0].n_kinds[CU_PACKET_MALFORMED] > 0);
}

/* A cooked capture of a monitor's interface has IEEE 802.11 behind its header, whatever protocol that says. */
static void test_cooked_wlan(void **state)
{
	struct both *both = *state;
	uint8_t frame[HEADER_CAP + PACKET_CAP] = {0};
	for (size_t i = 3; i < N_LINKS; i++) {
		for (unsigned hardware = 800; hardware <= 804; hardware++) {
			uint32_t len =
				make(frame + links[i].header, false, CU_TCP_ACK, options[1].bytes, options[1].len, "");
			uint32_t hardware_at = links[i].type_at == 0 ? 8 : 2;
			memcpy(frame + links[i].type_at, "\x08\x00", 2);
			frame[hardware_at] = (uint8_t)(hardware >> 8);
			frame[hardware_at + 1] = (uint8_t)hardware;
			const struct cu_packet packet = {.data = frame,
			                                 .caplen = links[i].header + len,
			                                 .len = links[i].header + len,
			                                 .linktype = links[i].linktype};
			struct cu_sighting sighting;
			bool is_wlan = hardware == 801 || hardware == 803;
			assert_int_equal(cu_sight_packets(&both->sight[i], &packet, 1, &sighting), !is_wlan);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole_and_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cooked_wlan, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("sight", tests, NULL, NULL);
}
