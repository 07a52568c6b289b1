#include "lib/base/crew.h"

#include <sched.h>
#include <signal.h>

unsigned cu_crew_processors(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0) {
		return 1;
	}
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > CU_CREW_CAP ? CU_CREW_CAP : (unsigned)n;
}

static uint64_t bit(unsigned number)
{
	return UINT64_C(1) << number;
}

static uint64_t bits_below(unsigned number)
{
	return UINT64_MAX >> (CU_CREW_SLOTS_CAP - number);
}

static unsigned slot_of(const struct cu_crew *crew, uint64_t job)
{
	return (unsigned)(job % crew->size.n_slots);
}

void cu_crew_init(struct cu_crew *crew, const struct cu_crew_duty *duty, const struct cu_crew_size *size)
{
	*crew = (struct cu_crew){.duty = *duty, .size = *size, .awaited = UINT64_MAX};
	crew->free_desks = bits_below(size->n_desks);
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->work, NULL);
	pthread_cond_init(&crew->done, NULL);
}

void cu_crew_release(struct cu_crew *crew)
{
	cu_crew_drain(crew);
	pthread_mutex_lock(&crew->lock);
	crew->is_stopping = true;
	pthread_cond_broadcast(&crew->work);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < crew->n_threads; i++) {
		pthread_join(crew->worker[i].thread, NULL);
	}
	pthread_cond_destroy(&crew->work);
	pthread_cond_destroy(&crew->done);
	pthread_mutex_destroy(&crew->lock);
}

/* ---- Workers: each function has the lock, but not while it does a step ---- */

typedef void step_fn(void *arg, struct cu_crew_job job);

static void step(const struct cu_crew *crew, step_fn *what, struct cu_crew_job job)
{
	if (what != NULL) {
		what(crew->duty.arg, job);
	}
}

static void step_unlocked(struct cu_crew *crew, step_fn *what, struct cu_crew_job job)
{
	pthread_mutex_unlock(&crew->lock);
	step(crew, what, job);
	pthread_mutex_lock(&crew->lock);
}

static void put(const struct cu_crew *crew, unsigned slot)
{
	if (crew->duty.put != NULL) {
		crew->duty.put(crew->duty.arg, slot);
	}
}

/* Puts what has its turn, unless another is at it: that one sees to it. */
static void put_completed(struct cu_crew *crew)
{
	if (crew->is_putting) {
		return;
	}
	crew->is_putting = true;
	for (unsigned slot = slot_of(crew, crew->n_put); (crew->completed & bit(slot)) != 0;
	     slot = slot_of(crew, crew->n_put)) {
		pthread_mutex_unlock(&crew->lock);
		put(crew, slot);
		pthread_mutex_lock(&crew->lock);
		crew->completed &= ~bit(slot);
		if (++crew->n_put == crew->awaited) {
			pthread_cond_signal(&crew->done);
		}
	}
	crew->is_putting = false;
}

/* Settles the next job in order, when it is prepared and nobody settles another. */
static bool settle_next(struct cu_crew *crew, unsigned worker)
{
	unsigned slot = slot_of(crew, crew->n_settled);
	if (crew->is_settling || (crew->prepared & bit(slot)) == 0) {
		return false;
	}
	crew->is_settling = true;
	step_unlocked(crew, crew->duty.settle, (struct cu_crew_job){worker, crew->desk[slot], slot});
	crew->is_settling = false;
	crew->prepared &= ~bit(slot);
	crew->settled |= bit(slot);
	crew->n_settled++;
	return true;
}

/* Completes the one that was settled first of those that wait for it. */
static bool complete_next(struct cu_crew *crew, unsigned worker)
{
	if (crew->settled == 0) {
		return false;
	}
	unsigned from = slot_of(crew, crew->n_put);
	uint64_t later = crew->settled & (UINT64_MAX << from);
	unsigned slot = (unsigned)__builtin_ctzll(later != 0 ? later : crew->settled);
	crew->settled &= ~bit(slot);
	step_unlocked(crew, crew->duty.complete, (struct cu_crew_job){worker, crew->desk[slot], slot});
	crew->free_desks |= bit(crew->desk[slot]);
	crew->completed |= bit(slot);
	put_completed(crew);
	return true;
}

/* Takes the next job that was given, if there is a desk for it: not a worker's own for a small one, unless all others are taken. */
static bool prepare_next(struct cu_crew *crew, unsigned worker)
{
	unsigned slot = slot_of(crew, crew->n_taken);
	uint64_t desks = crew->free_desks;
	if (crew->large & bit(slot)) {
		desks &= bits_below(crew->size.n_workers);
	}
	if (crew->n_taken == crew->n_given || desks == 0) {
		return false;
	}
	unsigned desk = (unsigned)(63 - __builtin_clzll(desks));
	crew->n_taken++;
	crew->desk[slot] = (uint8_t)desk;
	crew->free_desks &= ~bit(desk);
	step_unlocked(crew, crew->duty.prepare, (struct cu_crew_job){worker, desk, slot});
	crew->prepared |= bit(slot);
	return true;
}

/* Whether a worker that sleeps is to be woken: for half of what can wait, or what another has settled. It takes long to wake. */
static bool is_much(const struct cu_crew *crew)
{
	return crew->n_given - crew->n_taken >= crew->size.n_slots / 2 || (crew->settled & (crew->settled - 1)) != 0;
}

static void *work(void *arg)
{
	const struct cu_crew_worker *worker = arg;
	struct cu_crew *crew = worker->crew;
	pthread_mutex_lock(&crew->lock);
	for (;;) {
		if (settle_next(crew, worker->number) || complete_next(crew, worker->number) ||
		    prepare_next(crew, worker->number)) {
			if (crew->n_asleep > 0 && is_much(crew)) {
				pthread_cond_signal(&crew->work);
			}
		} else if (crew->is_stopping) {
			break;
		} else {
			crew->n_asleep++;
			pthread_cond_wait(&crew->work, &crew->lock);
			crew->n_asleep--;
		}
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* ---- The caller ---- */

/* Signals are the caller's. */
static void start_threads(struct cu_crew *crew)
{
	if (crew->n_threads > 0 || crew->has_no_threads) {
		return;
	}
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	crew->n_given = crew->n_taken = crew->n_settled = crew->n_put;
	while (crew->n_threads < crew->size.n_workers && cu_crew_processors() > 1) {
		struct cu_crew_worker *worker = &crew->worker[crew->n_threads];
		*worker = (struct cu_crew_worker){.crew = crew, .number = crew->n_threads};
		if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
			break;
		}
		crew->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	crew->has_no_threads = crew->n_threads == 0;
}

/* The caller does all of the next job. */
static void do_next(struct cu_crew *crew)
{
	const struct cu_crew_job job = {.slot = slot_of(crew, crew->n_put)};
	step(crew, crew->duty.prepare, job);
	step(crew, crew->duty.settle, job);
	step(crew, crew->duty.complete, job);
	put(crew, job.slot);
	crew->n_put++;
}

/* Waits until the first n of all that was filled are put. */
static void wait_for(struct cu_crew *crew, uint64_t n)
{
	if (crew->n_known >= n) {
		return;
	}
	if (crew->n_threads == 0) {
		while (crew->n_put < n) {
			do_next(crew);
		}
		crew->n_known = crew->n_put;
		return;
	}
	pthread_mutex_lock(&crew->lock);
	crew->awaited = n;
	if (crew->n_asleep > 0) {
		pthread_cond_broadcast(&crew->work);
	}
	while (crew->n_put < n) {
		pthread_cond_wait(&crew->done, &crew->lock);
	}
	crew->awaited = UINT64_MAX;
	crew->n_known = crew->n_put;
	pthread_mutex_unlock(&crew->lock);
}

static void give(struct cu_crew *crew, bool large)
{
	unsigned slot = slot_of(crew, crew->n_filled - 1);
	if (crew->n_threads > 0) {
		pthread_mutex_lock(&crew->lock);
		crew->large = large ? crew->large | bit(slot) : crew->large & ~bit(slot);
		crew->n_given = crew->n_filled;
		if (crew->n_asleep > 0 && (large || is_much(crew))) {
			pthread_cond_signal(&crew->work);
		}
		pthread_mutex_unlock(&crew->lock);
	}
}

unsigned cu_crew_next(struct cu_crew *crew)
{
	unsigned n_slots = crew->size.n_slots;
	if (crew->n_filled - crew->n_known == n_slots) {
		if (crew->n_threads == 0) {
			start_threads(crew);
			give(crew, false);
		}
		/* not for each slot anew */
		wait_for(crew, crew->n_known + (n_slots + 1) / 2);
	}
	return slot_of(crew, crew->n_filled);
}

void cu_crew_fill(struct cu_crew *crew, bool large)
{
	crew->n_filled++;
	if (large) {
		start_threads(crew);
	}
	give(crew, large);
}

void cu_crew_fill_alone(struct cu_crew *crew)
{
	cu_crew_drain(crew);
	do_next(crew); /* no worker has anything to do meanwhile */
	crew->n_known = crew->n_filled = crew->n_put;
	pthread_mutex_lock(&crew->lock);
	crew->n_given = crew->n_taken = crew->n_settled = crew->n_put;
	pthread_mutex_unlock(&crew->lock);
}

void cu_crew_drain(struct cu_crew *crew)
{
	wait_for(crew, crew->n_filled);
}
