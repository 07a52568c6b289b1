/*
 * Putting datagrams together: a segment of 20 bytes of header and numbered
 * payload, of which each test sends parts.
 */
#include "lib/flow/assembly.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HEADER = 20, BYTES_CAP = 65536 };

static uint8_t bytes[BYTES_CAP];

static void make_segment(uint32_t seq)
{
	static const uint8_t head[HEADER] = {0x03, 0xe8, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 4};
	memcpy(bytes, head, sizeof(head));
	bytes[6] = (uint8_t)(seq >> 8);
	bytes[7] = (uint8_t)seq;
	for (size_t i = HEADER; i < BYTES_CAP; i++) {
		bytes[i] = (uint8_t)(i * 31 + i / 256);
	}
}

/* A part of the datagram, of which caplen bytes were captured. */
static struct cu_packet_content part(uint32_t id, uint32_t offset, uint32_t len, bool more)
{
	struct cu_packet_content content;
	content.fragment = (struct cu_ip_fragment){
		.key = {.src = {.bytes = {10, 0, 0, 1}, .family = 4}, .dst = {.bytes = {10, 0, 0, 2}, .family = 4}},
		.id = id,
		.offset = offset,
		.len = len,
		.more = more,
		.protocol = 6,
		.ttl = 64,
		.data = bytes + (offset < BYTES_CAP ? offset : 0),
		.caplen = offset < BYTES_CAP && len <= BYTES_CAP - offset ? len : 0,
	};
	return content;
}

struct sent {
	uint32_t offset, len;
	bool more;
};

static enum cu_packet_kind send(struct cu_assembly *assembly, uint32_t id, struct sent sent,
                                struct cu_packet_content *content)
{
	uint32_t n_fragments;
	*content = part(id, sent.offset, sent.len, sent.more);
	return cu_assembly_put(assembly, 0, content, &n_fragments);
}

/* What comes of the parts: the last of them makes it whole, or none does. */
static void test_put_makes_whole(void **state)
{
	(void)state;
	enum { NEVER = 0 };
	static const struct {
		const char *name;
		struct sent sent[6];
		uint32_t payload_len; /* NEVER: it is not */
	} cases[] = {
		{"in order", {{0, 800, true}, {800, 800, true}, {1600, 100, false}}, 1680},
		{"last first", {{1600, 100, false}, {800, 800, true}, {0, 800, true}}, 1680},
		{"middle last", {{0, 800, true}, {1600, 100, false}, {800, 800, true}}, 1680},
		{"twice", {{0, 800, true}, {0, 800, true}, {800, 100, false}}, 880},
		{"the last twice", {{800, 100, false}, {800, 100, false}, {0, 800, true}}, 880},
		{"headers in pieces", {{16, 8, true}, {0, 8, true}, {24, 100, false}, {8, 8, true}}, 104},
		{"overlapping", {{0, 800, true}, {400, 800, true}, {1000, 500, false}}, 1480},
		{"one within another", {{0, 800, true}, {1600, 100, false}, {200, 8, true}, {800, 800, true}}, 1680},
		{"all at once, behind its parts",
	         {{8, 8, true}, {24, 8, true}, {40, 8, true}, {96, 4, false}, {0, 96, true}},
	         80},
		{"a part of nothing", {{0, 800, true}, {800, 0, true}, {800, 100, false}}, 880},
		{"the largest", {{0, 65528, true}, {65528, 7, false}}, 65535 - 20},
		{"a hole", {{0, 800, true}, {808, 100, false}}, NEVER},
		{"no first", {{8, 800, true}, {808, 100, false}}, NEVER},
		{"no last", {{0, 800, true}, {800, 800, true}}, NEVER},
		{"beyond 65535", {{0, 65528, true}, {65528, 8, false}}, NEVER},
		{"far beyond", {{0, 800, true}, {65528, UINT32_MAX, false}}, NEVER},
		{"two ends", {{0, 800, true}, {1600, 100, false}, {800, 100, false}, {800, 800, true}}, NEVER},
		{"an end within", {{0, 800, true}, {1600, 100, true}, {800, 100, false}}, NEVER},
		{"behind the end", {{0, 800, true}, {808, 8, false}, {816, 8, true}, {800, 8, true}}, NEVER},
		{"an end with the first", {{0, 800, false}}, 780},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_assembly *assembly = cu_assembly_new();
		struct cu_packet_content content;
		make_segment(1);
		enum cu_packet_kind kind = CU_PACKET_FRAGMENT;
		bool has_first = false;
		for (size_t k = 0; k < 6 && (cases[i].sent[k].len > 0 || cases[i].sent[k].offset > 0); k++) {
			if (kind != CU_PACKET_FRAGMENT) {
				fail_msg("%s: whole before the last came", cases[i].name);
			}
			has_first |= cases[i].sent[k].offset == 0;
			kind = send(assembly, 7, cases[i].sent[k], &content);
		}
		bool is_whole = kind == CU_PACKET_TCP;
		if (is_whole != (cases[i].payload_len != NEVER) ||
		    (is_whole && content.tcp.payload_len != cases[i].payload_len)) {
			fail_msg("%s: kind %d", cases[i].name, (int)kind);
		}
		if (is_whole) {
			assert_int_equal(content.tcp.key.src_port, 1000);
			assert_int_equal(content.tcp.ip_id, 7);
			assert_true(content.tcp.payload_caplen > 0);
			assert_memory_equal(content.tcp.payload, bytes + HEADER, content.tcp.payload_caplen);
		}
		assert_int_equal(cu_assembly_n_broken(assembly), !is_whole && has_first);
		cu_assembly_free(assembly);
	}
}

/* Pieces of 8 bytes in any order: whole with the last of them, and not before. */
static void test_put_takes_pieces_in_any_order(void **state)
{
	(void)state;
	enum { N = 175 };
	make_segment(1);
	uint32_t draw = 1;
	for (int round = 0; round < 50; round++) {
		struct cu_assembly *assembly = cu_assembly_new();
		struct cu_packet_content content;
		uint32_t order[N];
		for (uint32_t i = 0; i < N; i++) {
			draw = draw * 1664525 + 1013904223;
			uint32_t k = (draw >> 8) % (i + 1);
			order[i] = order[k];
			order[k] = i;
		}
		for (uint32_t i = 0; i < N; i++) {
			struct sent sent = {order[i] * 8, 8, order[i] < N - 1};
			enum cu_packet_kind kind = send(assembly, 7, sent, &content);
			assert_int_equal(kind, i < N - 1 ? CU_PACKET_FRAGMENT : CU_PACKET_TCP);
		}
		assert_int_equal(content.tcp.payload_len, N * 8 - HEADER);
		cu_assembly_free(assembly);
	}
}

/* More holes than there is room for: it is never whole, and nothing is written beyond. */
static void test_put_gives_up_on_many_holes(void **state)
{
	(void)state;
	struct cu_assembly *assembly = cu_assembly_new();
	struct cu_packet_content content;
	make_segment(1);
	for (uint32_t at = 0; at < 8000; at += 16) {
		assert_int_equal(send(assembly, 7, (struct sent){at, 8, true}, &content), CU_PACKET_FRAGMENT);
	}
	for (uint32_t at = 8; at <= 8000; at += 16) {
		assert_int_equal(send(assembly, 7, (struct sent){at, 8, at < 8000}, &content), CU_PACKET_FRAGMENT);
	}
	cu_assembly_free(assembly);
}

/* What the snap length left of each part. */
static void test_put_uses_what_was_captured(void **state)
{
	(void)state;
	static const struct {
		uint32_t first_caplen, later_caplen, payload_caplen;
	} cases[] = {{800, 100, 880}, {800, 0, 780}, {30, 100, 10}, {HEADER, 100, 0}, {800, 50, 830}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_assembly *assembly = cu_assembly_new();
		uint32_t n_fragments;
		make_segment(1);
		struct cu_packet_content content = part(7, 800, 100, false);
		content.fragment.caplen = cases[i].later_caplen;
		assert_int_equal(cu_assembly_put(assembly, 0, &content, &n_fragments), CU_PACKET_FRAGMENT);
		content = part(7, 0, 800, true);
		content.fragment.caplen = cases[i].first_caplen;
		assert_int_equal(cu_assembly_put(assembly, 0, &content, &n_fragments), CU_PACKET_TCP);
		assert_int_equal(n_fragments, 1);
		assert_int_equal(content.tcp.payload_len, 880);
		assert_int_equal(content.tcp.payload_caplen, cases[i].payload_caplen);
		cu_assembly_free(assembly);
	}
}

/* A fragment of one of the kind: same but for one thing. */
static void test_put_tells_datagrams_apart(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint32_t id;
		uint8_t protocol, family, src, vlan;
		bool same;
	} cases[] = {
		{"the same", 7, 6, 4, 1, 0, true},       {"identification", 8, 6, 4, 1, 0, false},
		{"protocol", 7, 17, 4, 1, 0, false},     {"sender", 7, 6, 4, 3, 0, false},
		{"VLAN", 7, 6, 4, 1, 9, false},          {"IPv6", 7, 6, 6, 1, 0, true},
		{"IPv6 protocol", 7, 60, 6, 1, 0, true}, {"IPv6 identification", 0x10007, 6, 6, 1, 0, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_assembly *assembly = cu_assembly_new();
		uint32_t n_fragments;
		make_segment(1);
		struct cu_packet_content first = part(7, 0, 800, true), later = part(cases[i].id, 800, 100, false);
		first.fragment.key.src.family = first.fragment.key.dst.family = cases[i].family;
		later.fragment.key.src.family = later.fragment.key.dst.family = cases[i].family;
		later.fragment.key.src.bytes[3] = cases[i].src;
		later.fragment.protocol = cases[i].protocol;
		later.fragment.key.n_ids = cases[i].vlan != 0;
		later.fragment.key.ids[0] = cases[i].vlan;
		assert_int_equal(cu_assembly_put(assembly, 0, &first, &n_fragments), CU_PACKET_FRAGMENT);
		bool is_whole = cu_assembly_put(assembly, 0, &later, &n_fragments) == CU_PACKET_TCP;
		if (is_whole != cases[i].same) {
			fail_msg("%s", cases[i].name);
		}
		cu_assembly_free(assembly);
	}
}

/* An identification that is used again, in time: the first datagram is given up, as its receiver has to. */
static void test_put_begins_anew_with_another_first_fragment(void **state)
{
	(void)state;
	struct cu_assembly *assembly = cu_assembly_new();
	struct cu_packet_content content;
	make_segment(1);
	assert_int_equal(send(assembly, 7, (struct sent){0, 800, true}, &content), CU_PACKET_FRAGMENT);
	make_segment(1000);
	assert_int_equal(send(assembly, 7, (struct sent){0, 800, true}, &content), CU_PACKET_FRAGMENT);
	assert_int_equal(send(assembly, 7, (struct sent){800, 100, false}, &content), CU_PACKET_TCP);
	assert_int_equal(content.tcp.seq, 1000);
	assert_int_equal(cu_assembly_n_broken(assembly), 1);
	/* and once it is whole, another has nothing of it */
	assert_int_equal(send(assembly, 7, (struct sent){800, 100, false}, &content), CU_PACKET_FRAGMENT);
	assert_int_equal(send(assembly, 7, (struct sent){0, 800, true}, &content), CU_PACKET_TCP);
	cu_assembly_free(assembly);
}

static void test_put_forgets_after_a_while(void **state)
{
	(void)state;
	static const struct {
		int64_t later_ns;
		bool is_whole;
	} cases[] = {{0, true}, {CU_DATAGRAM_EXPIRY_NS, true}, {CU_DATAGRAM_EXPIRY_NS + 1, false}, {INT64_MIN, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_assembly *assembly = cu_assembly_new();
		uint32_t n_fragments;
		make_segment(1);
		struct cu_packet_content first = part(7, 0, 800, true), later = part(7, 800, 100, false);
		cu_assembly_put(assembly, 0, &first, &n_fragments);
		enum cu_packet_kind kind = cu_assembly_put(assembly, cases[i].later_ns, &later, &n_fragments);
		assert_int_equal(kind == CU_PACKET_TCP, cases[i].is_whole);
		assert_int_equal(cu_assembly_n_broken(assembly), !cases[i].is_whole);
		cu_assembly_free(assembly);
	}
}

/* Any number of datagrams under way: the oldest are given up, whatever the seed, and their place is used again. */
static void test_put_keeps_the_newest(void **state)
{
	(void)state;
	struct cu_assembly *assembly = cu_assembly_new();
	struct cu_packet_content content;
	enum { N = 5 * CU_DATAGRAMS_CAP };
	make_segment(1);
	for (uint32_t id = 0; id < N; id++) {
		send(assembly, id, (struct sent){0, 800, true}, &content);
	}
	assert_int_equal(cu_assembly_n_broken(assembly), N);
	for (uint32_t id = N - CU_DATAGRAMS_CAP; id < N; id++) {
		assert_int_equal(send(assembly, id, (struct sent){800, 8, false}, &content), CU_PACKET_TCP);
	}
	assert_int_equal(cu_assembly_n_broken(assembly), N - CU_DATAGRAMS_CAP);
	assert_int_equal(send(assembly, 0, (struct sent){800, 8, false}, &content), CU_PACKET_FRAGMENT);
	cu_assembly_free(assembly);
}

/* A tunnel's packets in fragments, whose own are fragments: the inner datagram is whole with the last of both. */
static void test_put_goes_on_within_a_tunnel(void **state)
{
	(void)state;
	struct cu_assembly *assembly = cu_assembly_new();
	enum { INNER = 20, PART = 400 };
	uint8_t inner[2][INNER + PART] = {
		{0x45, 0, 0x01, 0xa4, 0, 5, 0x20, 0, 64, 6, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2},
		{0x45, 0, 0x01, 0xa4, 0, 5, 0, PART / 8, 64, 6, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2},
	};
	make_segment(1);
	enum cu_packet_kind kind = CU_PACKET_FRAGMENT;
	struct cu_packet_content content;
	for (uint32_t i = 0; i < 2; i++) {
		memcpy(inner[i] + INNER, bytes + i * PART, PART);
		for (uint32_t k = 0; k < 2; k++) {
			uint32_t n_fragments, half = k * 208;
			assert_int_equal(kind, CU_PACKET_FRAGMENT);
			content = part(30 + i, half, k == 0 ? 208 : INNER + PART - 208, k == 0);
			content.fragment.protocol = 4;
			content.fragment.data = inner[i] + half;
			kind = cu_assembly_put(assembly, 0, &content, &n_fragments);
		}
	}
	assert_int_equal(kind, CU_PACKET_TCP);
	assert_int_equal(content.tcp.payload_len, 2 * PART - HEADER);
	assert_int_equal(content.tcp.payload_caplen, 2 * PART - HEADER);
	assert_memory_equal(content.tcp.payload, bytes + HEADER, content.tcp.payload_caplen);
	assert_int_equal(content.tcp.key.src.bytes[1], 1);
	cu_assembly_free(assembly);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_makes_whole),
		cmocka_unit_test(test_put_takes_pieces_in_any_order),
		cmocka_unit_test(test_put_gives_up_on_many_holes),
		cmocka_unit_test(test_put_uses_what_was_captured),
		cmocka_unit_test(test_put_tells_datagrams_apart),
		cmocka_unit_test(test_put_begins_anew_with_another_first_fragment),
		cmocka_unit_test(test_put_forgets_after_a_while),
		cmocka_unit_test(test_put_keeps_the_newest),
		cmocka_unit_test(test_put_goes_on_within_a_tunnel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
