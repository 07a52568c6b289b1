#include "lib/rules/distinct.h"

#include "lib/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct cu_hash_seed seed = {{1, 2}};

/* Adds the numbers below n, each as often as times says. */
static void add_numbers(struct cu_distinct *distinct, uint32_t n, unsigned times, uint64_t *room)
{
	for (unsigned t = 0; t < times; t++) {
		for (uint32_t i = 0; i < n; i++) {
			cu_distinct_add(distinct, cu_hash_bytes(seed, &i, sizeof(i)), room);
		}
	}
}

static void test_distinct_count_is_exact_at_first(void **state)
{
	(void)state;
	static const uint32_t counts[] = {0, 1, 2, 77, 1000, CU_DISTINCT_CAP};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct cu_distinct distinct = {0};
		uint64_t room = CU_DISTINCT_CAP;
		add_numbers(&distinct, counts[i], 3, &room);
		assert_int_equal(cu_distinct_count(&distinct), counts[i]);
		assert_false(distinct.left_out);
		cu_distinct_release(&distinct);
	}
}

static void test_distinct_count_is_near_beyond(void **state)
{
	(void)state;
	struct cu_distinct distinct = {0};
	uint64_t room = UINT64_MAX;
	add_numbers(&distinct, 65536, 2, &room);
	assert_true(distinct.left_out);
	assert_int_equal(distinct.n, CU_DISTINCT_CAP);
	assert_in_range(cu_distinct_count(&distinct), 65536 - 65536 / 20, 65536 + 65536 / 20);
	cu_distinct_release(&distinct);
}

static void test_distinct_add_keeps_to_the_room(void **state)
{
	(void)state;
	struct cu_distinct a = {0}, b = {0};
	uint64_t room = 320;
	add_numbers(&a, 10000, 1, &room);
	add_numbers(&b, 10000, 1, &room);
	assert_true(a.cap + b.cap + room == 320);
	assert_true(a.left_out && b.left_out);
	assert_in_range(cu_distinct_count(&a), 7500, 12500);
	cu_distinct_release(&a);
	cu_distinct_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distinct_count_is_exact_at_first),
		cmocka_unit_test(test_distinct_count_is_near_beyond),
		cmocka_unit_test(test_distinct_add_keeps_to_the_room),
	};
	return cmocka_run_group_tests_name("distinct", tests, NULL, NULL);
}
