#include "lib/base/index.h"

#include "lib/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_THINGS = 3000 };

/* Things by their numbers, from 1; what an index says is compared with what this says. */
struct things {
	uint32_t tag[N_THINGS + 1];
	bool is_in[N_THINGS + 1];
	uint32_t n;
};

static void check(const struct cu_index *index, const struct things *things)
{
	assert_int_equal(index->n, things->n);
	for (uint32_t number = 1; number <= N_THINGS; number++) {
		unsigned n_found = 0;
		for (uint32_t i = things->tag[number], at; (at = cu_index_walk(index, things->tag[number], &i)) != 0;) {
			assert_int_equal(things->tag[at], things->tag[number]);
			assert_true(things->is_in[at]);
			n_found += at == number;
		}
		assert_int_equal(n_found, things->is_in[number]);
	}
}

static void toggle(struct cu_index *index, struct things *things, uint32_t number)
{
	if (things->is_in[number]) {
		cu_index_remove(index, things->tag[number], number);
		things->n--;
	} else {
		assert_true(cu_index_add(index, things->tag[number], number));
		things->n++;
	}
	things->is_in[number] = !things->is_in[number];
}

/* Adds and removes at random, with tags whose bits are those of mask. */
static void exercise(uint32_t mask)
{
	struct cu_index index = {0};
	struct things *things = calloc(1, sizeof(*things));
	assert_non_null(things);
	uint64_t random = 1;
	for (uint32_t number = 1; number <= N_THINGS; number++) {
		random = cu_hash_mix(random + number, 0x9e3779b97f4a7c15);
		things->tag[number] = cu_index_tag(random) & mask;
	}
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < N_THINGS; i++) {
			random = cu_hash_mix(random + i, 0xc2b2ae3d27d4eb4f);
			toggle(&index, things, (uint32_t)(random % N_THINGS) + 1);
		}
		check(&index, things);
	}
	cu_index_clear(&index);
	memset(things->is_in, 0, sizeof(things->is_in));
	things->n = 0;
	check(&index, things);
	cu_index_release(&index);
	free(things);
}

static void test_index_holds_what_was_added(void **state)
{
	(void)state;
	exercise(UINT32_MAX);
}

/* Tags of a few values, and of the last slots only: long runs, which go around the end. */
static void test_index_holds_what_collides(void **state)
{
	(void)state;
	exercise(0x7);
	exercise(0xfffffff0);
}

static void test_index_is_empty_when_zeroed(void **state)
{
	(void)state;
	struct cu_index index = {0};
	uint32_t i = 5;
	assert_int_equal(cu_index_walk(&index, 5, &i), 0);
	cu_index_clear(&index);
	cu_index_release(&index);
}

static void test_index_reserve_makes_room(void **state)
{
	(void)state;
	struct cu_index index = {0};
	assert_true(cu_index_reserve(&index, 1000));
	const struct cu_index_slot *slots = index.slots;
	for (uint32_t at = 1; at <= 1000; at++) {
		assert_true(cu_index_add(&index, at, at));
	}
	assert_ptr_equal(index.slots, slots);
	assert_false(cu_index_reserve(&index, UINT32_C(1) << 31));
	assert_int_equal(index.n, 1000);
	cu_index_release(&index);
}

static void test_index_move_renumbers(void **state)
{
	(void)state;
	struct cu_index index = {0};
	for (uint32_t at = 1; at <= 3; at++) {
		assert_true(cu_index_add(&index, 7, at));
	}
	cu_index_move(&index, 7, 2, 9);
	bool seen[10] = {0};
	for (uint32_t i = 7, at; (at = cu_index_walk(&index, 7, &i)) != 0;) {
		seen[at] = true;
	}
	assert_true(seen[1] && seen[3] && seen[9]);
	assert_false(seen[2]);
	cu_index_release(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index_holds_what_was_added), cmocka_unit_test(test_index_holds_what_collides),
		cmocka_unit_test(test_index_is_empty_when_zeroed), cmocka_unit_test(test_index_reserve_makes_room),
		cmocka_unit_test(test_index_move_renumbers),
	};
	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
