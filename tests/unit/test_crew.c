/* Several threads, one order. */
#include "lib/base/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { JOBS = 5000 };

struct slot {
	unsigned job;
	unsigned sum; /* of what was settled up to and with it */
	unsigned worker;
	unsigned n_steps;
};

struct shop {
	struct slot slot[64];
	unsigned settled, put; /* next */
	unsigned sum;
	atomic_uint n_wrong;
	atomic_uint at_work[CU_CREW_CAP]; /* a worker has one job at a time */
};

static void prepare(void *arg, unsigned worker, unsigned at)
{
	struct shop *shop = arg;
	struct slot *slot = &shop->slot[at];
	atomic_fetch_add(&shop->at_work[worker], 1);
	slot->worker = worker;
	slot->n_steps++;
	for (volatile unsigned spin = slot->job * 7919 % 1000; spin > 0; spin--) {
	}
}

static void settle(void *arg, unsigned worker, unsigned at)
{
	struct shop *shop = arg;
	struct slot *slot = &shop->slot[at];
	shop->n_wrong += slot->job != shop->settled++ || slot->worker != worker || slot->n_steps != 1;
	shop->n_wrong += atomic_load(&shop->at_work[worker]) != 1;
	shop->sum += slot->job;
	slot->sum = shop->sum;
	slot->n_steps++;
}

static void complete(void *arg, unsigned worker, unsigned at)
{
	struct shop *shop = arg;
	struct slot *slot = &shop->slot[at];
	for (volatile unsigned spin = slot->job * 104729 % 1000; spin > 0; spin--) {
	}
	slot->n_steps += slot->worker == worker;
	atomic_fetch_sub(&shop->at_work[worker], 1);
}

static void put(void *arg, unsigned at)
{
	struct shop *shop = arg;
	const struct slot *slot = &shop->slot[at];
	unsigned job = shop->put++;
	shop->n_wrong += slot->job != job || slot->sum != job * (job + 1) / 2 || slot->n_steps != 3;
}

static const struct cu_crew_duty duty = {prepare, settle, complete, put, NULL};

static void run(unsigned n_workers, unsigned n_slots, unsigned n_jobs, unsigned hurried_each, unsigned drain_each)
{
	struct shop shop;
	memset(&shop, 0, sizeof(shop));
	struct cu_crew_duty ours = duty;
	ours.arg = &shop;
	struct cu_crew crew;
	cu_crew_init(&crew, &ours, n_workers, n_slots);
	for (unsigned job = 0; job < n_jobs; job++) {
		unsigned at = cu_crew_next(&crew);
		assert_int_equal(at, job % n_slots);
		assert_int_equal(cu_crew_next(&crew), at);
		shop.slot[at] = (struct slot){.job = job};
		cu_crew_fill(&crew, hurried_each != 0 && job % hurried_each == hurried_each - 1);
		if (drain_each != 0 && job % drain_each == drain_each - 1) {
			cu_crew_drain(&crew);
			assert_int_equal(shop.put, job + 1);
		}
	}
	cu_crew_release(&crew);
	assert_int_equal(shop.put, n_jobs);
	assert_int_equal(atomic_load(&shop.n_wrong), 0);
}

static void test_all_in_order(void **state)
{
	(void)state;
	for (unsigned n_workers = 1; n_workers <= CU_CREW_CAP; n_workers++) {
		run(n_workers, n_workers * 2, JOBS, 0, 0);
		run(n_workers, 64, JOBS, 0, 0);
	}
}

static void test_hurried_and_drained(void **state)
{
	(void)state;
	run(3, 8, JOBS, 1, 0);
	run(3, 8, JOBS, 5, 7);
	run(2, 8, 100, 50, 3);
}

static void test_little_work_makes_no_thread(void **state)
{
	(void)state;
	struct shop shop;
	memset(&shop, 0, sizeof(shop));
	struct cu_crew_duty ours = duty;
	ours.arg = &shop;
	struct cu_crew crew;
	cu_crew_init(&crew, &ours, 2, 8);
	for (unsigned job = 0; job < 8; job++) {
		shop.slot[cu_crew_next(&crew)] = (struct slot){.job = job};
		cu_crew_fill(&crew, false);
	}
	cu_crew_drain(&crew);
	assert_int_equal(crew.n_threads, 0);
	assert_int_equal(shop.put, 8);
	assert_int_equal(atomic_load(&shop.n_wrong), 0);
	cu_crew_release(&crew);
}

/* A job alone is put when it is filled, whatever was before it, with threads and without. */
static void test_alone(void **state)
{
	(void)state;
	for (unsigned each = 1; each <= 20; each++) {
		struct shop shop;
		memset(&shop, 0, sizeof(shop));
		struct cu_crew_duty ours = duty;
		ours.arg = &shop;
		struct cu_crew crew;
		cu_crew_init(&crew, &ours, 3, 8);
		for (unsigned job = 0; job < JOBS / 10; job++) {
			shop.slot[cu_crew_next(&crew)] = (struct slot){.job = job};
			if (job % each == each - 1) {
				cu_crew_fill_alone(&crew);
				assert_int_equal(shop.put, job + 1);
			} else {
				cu_crew_fill(&crew, job % 7 == 0);
			}
		}
		cu_crew_release(&crew);
		assert_int_equal(shop.put, JOBS / 10);
		assert_int_equal(atomic_load(&shop.n_wrong), 0);
	}
}

static void count_put(void *arg, unsigned slot)
{
	(void)slot;
	((struct shop *)arg)->put++;
}

/* What is not asked for is not done, and holds nothing up. */
static void test_only_put(void **state)
{
	(void)state;
	struct shop shop;
	memset(&shop, 0, sizeof(shop));
	struct cu_crew crew;
	const struct cu_crew_duty only_put = {.put = count_put, .arg = &shop};
	cu_crew_init(&crew, &only_put, 2, 4);
	for (unsigned job = 0; job < JOBS; job++) {
		cu_crew_next(&crew);
		cu_crew_fill(&crew, false);
	}
	cu_crew_release(&crew);
	assert_int_equal(shop.put, JOBS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_in_order),
		cmocka_unit_test(test_hurried_and_drained),
		cmocka_unit_test(test_little_work_makes_no_thread),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_only_put),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
