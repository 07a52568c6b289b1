/* What one connection tells of the path of another. */
#include "lib/base/units.h"
#include "lib/tcp/distances.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct cu_connection connection_between(uint8_t client, uint8_t server, int64_t start_s, bool handshake)
{
	struct cu_connection connection = {.start_ns = start_s * CU_NS_PER_S};
	connection.client.bytes[15] = client;
	connection.server.bytes[15] = server;
	connection.side[CU_C2S].has_syn = connection.side[CU_S2C].has_syn = handshake;
	return connection;
}

/* A path in milliseconds; -1: not known. */
static struct cu_path path_of(int64_t client_ms, int64_t server_ms)
{
	struct cu_path path = {.client_known = client_ms >= 0, .server_known = server_ms >= 0};
	path.client_rtt_ns = client_ms >= 0 ? client_ms * CU_NS_PER_MS : 0;
	path.server_rtt_ns = server_ms >= 0 ? server_ms * CU_NS_PER_MS : 0;
	path.side[CU_S2C].n_samples = client_ms >= 0;
	path.side[CU_C2S].n_samples = server_ms >= 0;
	return path;
}

static void check(struct cu_distances *distances, struct cu_connection connection, struct cu_path path,
                  int64_t client_ms, int64_t server_ms)
{
	cu_distances_refine(distances, &connection, &path);
	assert_int_equal(path.client_rtt_ns, client_ms * CU_NS_PER_MS);
	assert_int_equal(path.server_rtt_ns, server_ms * CU_NS_PER_MS);
}

static void test_distances(void **state)
{
	(void)state;
	struct cu_distances distances;
	assert_int_equal(cu_distances_init(&distances), 0);
	/* Nothing known yet. */
	check(&distances, connection_between(1, 2, 0, false), path_of(40, 70), 40, 70);
	check(&distances, connection_between(1, 2, 1, true), path_of(2, 30), 2, 30);
	/* Without a handshake the smaller counts; a side that nothing was seen of is known. */
	check(&distances, connection_between(1, 2, 2, false), path_of(42, 25), 2, 25);
	check(&distances, connection_between(1, 2, 3, false), path_of(-1, 31), 2, 30);
	/* Other roles, same hosts; other hosts. */
	check(&distances, connection_between(2, 1, 4, false), path_of(90, 90), 30, 2);
	check(&distances, connection_between(1, 3, 5, false), path_of(42, 70), 42, 70);
	/* A handshake with a lone slow SYN-ACK; one that is only a little slower. */
	check(&distances, connection_between(1, 2, 6, true), path_of(2, 500), 2, 30);
	check(&distances, connection_between(1, 2, 7, true), path_of(2, 40), 2, 40);
	/* Measured twice is its own; and after five minutes the route may be another. */
	struct cu_path twice = path_of(2, 500);
	twice.side[CU_C2S].n_samples = 2;
	check(&distances, connection_between(1, 2, 8, true), twice, 2, 500);
	check(&distances, connection_between(1, 2, 400, false), path_of(42, 70), 42, 70);
	cu_distances_release(&distances);
}

/* A connection between one of many pairs of hosts. */
static struct cu_connection of_pair(uint32_t pair, int64_t start_s, bool handshake)
{
	struct cu_connection connection = connection_between(0, 0, start_s, handshake);
	for (int i = 0; i < 4; i++) {
		connection.client.bytes[12 + i] = (uint8_t)(pair >> 8 * i);
	}
	connection.server.bytes[0] = 0xff;
	return connection;
}

/* More pairs than there is room for: what is forgotten is the same each time, and not the latest. */
static void test_distances_of_many(void **state)
{
	(void)state;
	enum { PAIRS = 50000, LATEST = 1000 };
	struct cu_distances distances[2];
	for (int d = 0; d < 2; d++) {
		assert_int_equal(cu_distances_init(&distances[d]), 0);
		for (uint32_t i = 0; i < PAIRS; i++) {
			struct cu_connection connection = of_pair(i, 0, true);
			struct cu_path path = path_of(2, 30);
			cu_distances_refine(&distances[d], &connection, &path);
		}
	}
	unsigned n_kept = 0;
	for (uint32_t i = PAIRS; i-- > 0;) {
		struct cu_path path[2];
		for (int d = 0; d < 2; d++) {
			struct cu_connection connection = of_pair(i, 1, false);
			path[d] = path_of(-1, 30);
			cu_distances_refine(&distances[d], &connection, &path[d]);
		}
		assert_int_equal(path[0].client_known, path[1].client_known);
		n_kept += path[0].client_known;
		assert_true(path[0].client_known || i < PAIRS - LATEST);
	}
	assert_true(n_kept > 0 && n_kept < PAIRS);
	cu_distances_release(&distances[0]);
	cu_distances_release(&distances[1]);
}

/* Connections that measured nothing, however many, push out none that did. */
static void test_distances_stay_in_a_flood(void **state)
{
	enum { FLOOD = 200000 };
	(void)state;
	struct cu_distances distances;
	assert_int_equal(cu_distances_init(&distances), 0);
	check(&distances, connection_between(1, 2, 0, true), path_of(2, 30), 2, 30);
	for (uint32_t i = 0; i < FLOOD; i++) {
		struct cu_connection syn = of_pair(i, 1, false);
		struct cu_path path = path_of(-1, -1);
		cu_distances_refine(&distances, &syn, &path);
		assert_false(path.client_known || path.server_known);
	}
	check(&distances, connection_between(1, 2, 2, false), path_of(42, 70), 2, 30);
	cu_distances_release(&distances);
}

/* A connection of one direction: segments at these seconds with these identifications. */
static bool is_shared(struct cu_distances *distances, const int64_t *time_s, const uint16_t *id, size_t n)
{
	enum { CAP = 4 };
	struct cu_trace_segment segment[CAP] = {{0}};
	struct cu_trace trace = {.connection = connection_between(1, 2, time_s[0], true), .segment = segment, .n = n};
	bool shared[2];
	for (size_t i = 0; i < n; i++) {
		segment[i] =
			(struct cu_trace_segment){.time_ns = time_s[i] * CU_NS_PER_S, .ip_id = id[i], .dir = CU_S2C};
	}
	struct cu_path path = path_of(2, 30);
	cu_distances_refine(distances, &trace.connection, &path);
	cu_distances_ids(distances, &trace, shared);
	assert_false(shared[CU_C2S]); /* nothing was seen of it */
	return shared[CU_S2C];
}

static void test_distances_identifications_of_other_connections(void **state)
{
	static const struct {
		int64_t time_s[3];
		uint16_t id[3];
		bool shared;
	} cases[] = {
		{{11, 12, 30}, {5000, 5001, 5002}, false},   /* a start of its own */
		{{11, 12, 30}, {102, 103, 190}, true},       /* behind the other's last */
		{{5, 12, 30}, {90, 110, 111}, true},         /* around the other */
		{{1, 2, 3}, {97, 98, 99}, true},             /* before it, and seen later */
		{{5, 12, 30}, {20000, 20001, 40000}, false}, /* on both sides, and far */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const int64_t other_s[] = {8, 10};
		static const uint16_t other_id[] = {100, 101};
		struct cu_distances distances;
		assert_int_equal(cu_distances_init(&distances), 0);
		assert_false(is_shared(&distances, other_s, other_id, 2));
		assert_int_equal(is_shared(&distances, cases[i].time_s, cases[i].id, 3), cases[i].shared);
		cu_distances_release(&distances);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_distances), cmocka_unit_test(test_distances_of_many),
	                                   cmocka_unit_test(test_distances_stay_in_a_flood),
	                                   cmocka_unit_test(test_distances_identifications_of_other_connections)};
	return cmocka_run_group_tests_name("distances", tests, NULL, NULL);
}
