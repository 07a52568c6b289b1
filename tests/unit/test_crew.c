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
	unsigned desk;
	unsigned n_steps;
	bool is_large;
};

struct shop {
	struct slot slot[64];
	unsigned settled, put; /* next */
	unsigned sum;
	atomic_uint n_wrong;
	unsigned n_workers;
	atomic_uint at_work[CU_CREW_CAP];    /* a worker does one thing at a time */
	atomic_uint lies[CU_CREW_SLOTS_CAP]; /* a desk has one job at a time */
	atomic_uint n_large;
};

static void begin_step(struct shop *shop, struct cu_crew_job job)
{
	shop->n_wrong += atomic_fetch_add(&shop->at_work[job.worker], 1) != 0;
}

static void end_step(struct shop *shop, struct cu_crew_job job)
{
	atomic_fetch_sub(&shop->at_work[job.worker], 1);
}

static void prepare(void *arg, struct cu_crew_job job)
{
	struct shop *shop = arg;
	struct slot *slot = &shop->slot[job.slot];
	begin_step(shop, job);
	shop->n_wrong += atomic_fetch_add(&shop->lies[job.desk], 1) != 0;
	if (slot->is_large) {
		shop->n_wrong += atomic_fetch_add(&shop->n_large, 1) >= shop->n_workers || job.desk >= shop->n_workers;
	}
	slot->desk = job.desk;
	slot->n_steps++;
	for (volatile unsigned spin = slot->job * 7919 % 1000; spin > 0; spin--) {
	}
	end_step(shop, job);
}

static void settle(void *arg, struct cu_crew_job job)
{
	struct shop *shop = arg;
	struct slot *slot = &shop->slot[job.slot];
	begin_step(shop, job);
	shop->n_wrong += slot->job != shop->settled++ || slot->desk != job.desk || slot->n_steps != 1;
	shop->sum += slot->job;
	slot->sum = shop->sum;
	slot->n_steps++;
	end_step(shop, job);
}

static void complete(void *arg, struct cu_crew_job job)
{
	struct shop *shop = arg;
	struct slot *slot = &shop->slot[job.slot];
	begin_step(shop, job);
	for (volatile unsigned spin = slot->job * 104729 % 1000; spin > 0; spin--) {
	}
	slot->n_steps += slot->desk == job.desk;
	if (slot->is_large) {
		atomic_fetch_sub(&shop->n_large, 1);
	}
	atomic_fetch_sub(&shop->lies[job.desk], 1);
	end_step(shop, job);
}

static void put(void *arg, unsigned at)
{
	struct shop *shop = arg;
	const struct slot *slot = &shop->slot[at];
	unsigned job = shop->put++;
	shop->n_wrong += slot->job != job || slot->sum != job * (job + 1) / 2 || slot->n_steps != 3;
}

static const struct cu_crew_duty duty = {prepare, settle, complete, put, NULL};

static void run(struct cu_crew_size size, unsigned n_jobs, unsigned large_each, unsigned drain_each)
{
	struct shop shop;
	memset(&shop, 0, sizeof(shop));
	shop.n_workers = size.n_workers;
	struct cu_crew_duty ours = duty;
	ours.arg = &shop;
	struct cu_crew crew;
	cu_crew_init(&crew, &ours, &size);
	for (unsigned job = 0; job < n_jobs; job++) {
		unsigned at = cu_crew_next(&crew);
		bool is_large = large_each != 0 && job % large_each == large_each - 1;
		assert_int_equal(at, job % size.n_slots);
		assert_int_equal(cu_crew_next(&crew), at);
		shop.slot[at] = (struct slot){.job = job, .is_large = is_large};
		cu_crew_fill(&crew, is_large);
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
		run((struct cu_crew_size){n_workers, n_workers, n_workers * 2}, JOBS, 0, 0);
		run((struct cu_crew_size){n_workers, n_workers * 8, 64}, JOBS, 0, 0);
	}
}

static void test_large_and_drained(void **state)
{
	(void)state;
	run((struct cu_crew_size){3, 3, 8}, JOBS, 1, 0);
	run((struct cu_crew_size){3, 8, 8}, JOBS, 5, 7);
	run((struct cu_crew_size){2, 16, 32}, JOBS, 3, 0);
	run((struct cu_crew_size){2, 4, 8}, 100, 50, 3);
}

static void test_little_work_makes_no_thread(void **state)
{
	(void)state;
	struct shop shop;
	memset(&shop, 0, sizeof(shop));
	struct cu_crew_duty ours = duty;
	ours.arg = &shop;
	struct cu_crew crew;
	cu_crew_init(&crew, &ours, &(struct cu_crew_size){2, 4, 8});
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
		shop.n_workers = 3;
		cu_crew_init(&crew, &ours, &(struct cu_crew_size){3, 6, 8});
		for (unsigned job = 0; job < JOBS / 10; job++) {
			shop.slot[cu_crew_next(&crew)] = (struct slot){.job = job};
			if (job % each == each - 1) {
				cu_crew_fill_alone(&crew);
				assert_int_equal(shop.put, job + 1);
			} else {
				shop.slot[job % 8].is_large = job % 7 == 0;
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
	cu_crew_init(&crew, &only_put, &(struct cu_crew_size){2, 2, 4});
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
		cmocka_unit_test(test_large_and_drained),
		cmocka_unit_test(test_little_work_makes_no_thread),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_only_put),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
