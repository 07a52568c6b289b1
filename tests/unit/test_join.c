/* Connections that go on in a later stream. */
#include "lib/blame/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct cu_connection connection_of(uint64_t stream, uint16_t port, int64_t start_ns)
{
	struct cu_connection connection = {.stream = stream,
	                                   .client_port = port,
	                                   .server_port = 80,
	                                   .start_ns = start_ns,
	                                   .end_ns = start_ns + CU_NS_PER_S,
	                                   .end = CU_END_OPEN,
	                                   .followed = true};
	connection.client.family = connection.server.family = 4;
	connection.client.bytes[3] = 1;
	connection.server.bytes[3] = 2;
	return connection;
}

static void hold(struct cu_join *join, uint64_t stream, uint16_t port)
{
	const struct cu_connection connection = connection_of(stream, port, 0);
	struct cu_held *held = cu_held_new(&connection, stream), *over;
	assert_non_null(held);
	assert_int_equal(cu_join_hold(join, held, &over), 0);
	assert_null(over);
}

static int note(struct cu_join *join, uint64_t stream, uint16_t port)
{
	const struct cu_connection begun = connection_of(stream, port, 2 * CU_NS_PER_S);
	return cu_join_note(join, &begun);
}

/* flowify writes beginnings in the order of their numbers; others are new connections, and cost no search for their place. */
static void test_join_note_takes_beginnings_in_order(void **state)
{
	(void)state;
	struct cu_join join;
	cu_join_init(&join, UINT64_MAX);
	cu_join_begin(&join, 1);
	for (uint16_t port = 1; port <= 4; port++) {
		cu_join_place(&join, port);
		hold(&join, port, port);
	}
	cu_join_begin(&join, 1);
	assert_int_equal(note(&join, 5, 1), 1);
	assert_int_equal(note(&join, 5, 2), 0);
	assert_int_equal(note(&join, 3, 2), 0);
	assert_int_equal(note(&join, 7, 3), 1);
	assert_int_equal(note(&join, 8, 9), 0);
	assert_true(cu_join_awaits(&join));

	struct cu_held *over;
	const struct cu_connection first = connection_of(5, 1, 2 * CU_NS_PER_S);
	struct cu_held *held = cu_join_take(&join, &first, &over);
	assert_non_null(held);
	assert_null(over);
	assert_int_equal(held->connection.client_port, 1);
	free(held);
	/* Its numbers are those that are left without the two: 5 were before. */
	assert_int_equal(cu_join_number(&join, 4), 5 + 4);
	assert_int_equal(cu_join_number(&join, 6), 5 + 6 - 1);
	assert_int_equal(cu_join_number(&join, 9), 5 + 9 - 2);

	size_t n;
	struct cu_held **all = cu_join_drain(&join, &n);
	assert_non_null(all);
	assert_int_equal(n, 3); /* one that was announced and did not come, and two that were not */
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || all[i - 1]->connection.stream < all[i]->connection.stream);
	}
	for (size_t i = 0; i < n; i++) {
		free(all[i]);
	}
	free(all);
	cu_join_release(&join);
}

/* Of two with the same ends the later can be continued; the other comes back, whichever is held first. */
static void test_join_hold_loses_none(void **state)
{
	(void)state;
	for (uint64_t first = 1; first <= 2; first++) {
		struct cu_join join;
		cu_join_init(&join, UINT64_MAX);
		cu_join_begin(&join, 1);
		hold(&join, first, 1);
		const struct cu_connection connection = connection_of(3 - first, 1, 0);
		struct cu_held *second = cu_held_new(&connection, 3 - first), *over;
		assert_non_null(second);
		assert_int_equal(cu_join_hold(&join, second, &over), 0);
		assert_non_null(over);
		assert_int_equal(over->connection.stream, 1);
		free(over);

		size_t n;
		struct cu_held **all = cu_join_drain(&join, &n);
		assert_non_null(all);
		assert_int_equal(n, 1);
		assert_int_equal(all[0]->connection.stream, 2);
		free(all[0]);
		free(all);
		cu_join_release(&join);
	}
}

/* What there is no room for comes back and is counted; whoever leaves makes room. */
static void test_join_holds_what_fits(void **state)
{
	(void)state;
	enum { ROOM = 4096 };
	struct cu_join join;
	cu_join_init(&join, ROOM);
	cu_join_begin(&join, 1);
	uint16_t port = 1;
	struct cu_held *over = NULL;
	for (; over == NULL; port++) {
		const struct cu_connection connection = connection_of(port, port, 0);
		struct cu_held *held = cu_held_new(&connection, port);
		assert_non_null(held);
		assert_int_equal(cu_join_hold(&join, held, &over), 0);
		assert_true(over == NULL || over == held);
		cu_join_place(&join, port);
	}
	assert_true(join.n_bytes <= ROOM && join.n * sizeof(struct cu_held) <= ROOM && join.n > 2);
	assert_int_equal(join.n_no_room, 1);
	free(over);
	cu_join_begin(&join, 1);
	assert_int_equal(join.n_no_room, 0);
	assert_int_equal(note(&join, 1, 1), 1);
	const struct cu_connection next = connection_of(1, 1, 2 * CU_NS_PER_S);
	struct cu_held *held = cu_join_take(&join, &next, &over);
	assert_non_null(held);
	free(held);
	hold(&join, port, port);
	cu_join_release(&join);
}

/* One that is open takes the room of one that is over, which comes back; none of its own kind. */
static void test_join_makes_room_for_the_open(void **state)
{
	(void)state;
	enum { ROOM = 4096 };
	struct cu_join join;
	cu_join_init(&join, ROOM);
	cu_join_begin(&join, 1);
	size_t n_over = 0, n_turned_away = 0;
	for (uint16_t port = 1; port <= 60; port++) {
		struct cu_connection connection = connection_of(port, port, 0);
		connection.end = port <= 20 ? CU_END_CLOSED : CU_END_OPEN;
		struct cu_held *held = cu_held_new(&connection, port), *over;
		assert_non_null(held);
		cu_join_place(&join, port);
		assert_int_equal(cu_join_hold(&join, held, &over), 0);
		assert_true(join.n_bytes <= ROOM);
		if (over != NULL) {
			n_over += port > 20 && over->connection.end == CU_END_CLOSED;
			n_turned_away += over == held;
			free(over);
		}
	}
	assert_true(n_over == join.n && n_over > 2); /* each of those that were over gave way */
	assert_int_equal(join.n_no_room, n_over + n_turned_away);
	for (size_t i = 0; i < join.n; i++) {
		assert_int_equal(join.held[i]->connection.end, CU_END_OPEN);
	}
	/* What is continued takes its room until it is taken. */
	uint64_t n_bytes = join.n_bytes;
	uint16_t first = join.held[0]->connection.client_port;
	cu_join_begin(&join, 1);
	assert_int_equal(note(&join, 0, first), 1);
	assert_int_equal(join.n_bytes, n_bytes);
	struct cu_held *over;
	const struct cu_connection next = connection_of(0, first, 2 * CU_NS_PER_S);
	struct cu_held *held = cu_join_take(&join, &next, &over);
	assert_non_null(held);
	assert_true(join.n_bytes < n_bytes);
	free(held);
	cu_join_release(&join);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join_note_takes_beginnings_in_order),
		cmocka_unit_test(test_join_hold_loses_none),
		cmocka_unit_test(test_join_holds_what_fits),
		cmocka_unit_test(test_join_makes_room_for_the_open),
	};
	return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
