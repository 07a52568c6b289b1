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

void cu_crew_init(struct cu_crew *crew, const struct cu_crew_duty *duty, unsigned n_workers, unsigned n_slots)
{
	*crew = (struct cu_crew){.duty = *duty, .n_slots = n_slots, .n_workers = n_workers, .awaited = UINT64_MAX};
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->given, NULL);
	pthread_cond_init(&crew->settled, NULL);
	pthread_cond_init(&crew->done, NULL);
}

void cu_crew_release(struct cu_crew *crew)
{
	cu_crew_drain(crew);
	pthread_mutex_lock(&crew->lock);
	crew->is_stopping = true;
	pthread_cond_broadcast(&crew->given);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < crew->n_threads; i++) {
		pthread_join(crew->worker[i].thread, NULL);
	}
	pthread_cond_destroy(&crew->given);
	pthread_cond_destroy(&crew->settled);
	pthread_cond_destroy(&crew->done);
	pthread_mutex_destroy(&crew->lock);
}

/* ---- Workers ---- */

static void step(const struct cu_crew *crew, void (*what)(void *, unsigned, unsigned), unsigned worker, unsigned slot)
{
	if (what != NULL) {
		what(crew->duty.arg, worker, slot);
	}
}

static void put(const struct cu_crew *crew, unsigned slot)
{
	if (crew->duty.put != NULL) {
		crew->duty.put(crew->duty.arg, slot);
	}
}

/* Puts what has its turn, unless another is at it: that one sees to it. With the lock. */
static void put_completed(struct cu_crew *crew)
{
	if (crew->is_putting) {
		return;
	}
	crew->is_putting = true;
	for (;;) {
		unsigned slot = (unsigned)(crew->n_put % crew->n_slots);
		if ((crew->completed >> slot & 1) == 0) {
			break;
		}
		pthread_mutex_unlock(&crew->lock);
		put(crew, slot);
		pthread_mutex_lock(&crew->lock);
		crew->completed &= ~(UINT64_C(1) << slot);
		if (++crew->n_put == crew->awaited) {
			pthread_cond_signal(&crew->done);
		}
	}
	crew->is_putting = false;
}

/* With the lock, but not while it works. */
static void do_job(struct cu_crew *crew, unsigned worker, uint64_t job)
{
	const struct cu_crew_duty *duty = &crew->duty;
	unsigned slot = (unsigned)(job % crew->n_slots);
	pthread_mutex_unlock(&crew->lock);
	step(crew, duty->prepare, worker, slot);
	pthread_mutex_lock(&crew->lock);
	while (crew->n_settled != job) {
		pthread_cond_wait(&crew->settled, &crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
	step(crew, duty->settle, worker, slot);
	pthread_mutex_lock(&crew->lock);
	crew->n_settled++;
	pthread_cond_broadcast(&crew->settled);
	pthread_mutex_unlock(&crew->lock);
	step(crew, duty->complete, worker, slot);
	pthread_mutex_lock(&crew->lock);
	crew->completed |= UINT64_C(1) << slot;
	put_completed(crew);
}

static void *work(void *arg)
{
	const struct cu_crew_worker *worker = arg;
	struct cu_crew *crew = worker->crew;
	pthread_mutex_lock(&crew->lock);
	for (;;) {
		if (crew->n_taken < crew->n_given) {
			do_job(crew, worker->number, crew->n_taken++);
		} else if (crew->is_stopping) {
			break;
		} else {
			crew->n_asleep++;
			pthread_cond_wait(&crew->given, &crew->lock);
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
	while (crew->n_threads < crew->n_workers && cu_crew_processors() > 1) {
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
	unsigned slot = (unsigned)(crew->n_put % crew->n_slots);
	step(crew, crew->duty.prepare, 0, slot);
	step(crew, crew->duty.settle, 0, slot);
	step(crew, crew->duty.complete, 0, slot);
	put(crew, slot);
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
		pthread_cond_broadcast(&crew->given);
	}
	while (crew->n_put < n) {
		pthread_cond_wait(&crew->done, &crew->lock);
	}
	crew->awaited = UINT64_MAX;
	crew->n_known = crew->n_put;
	pthread_mutex_unlock(&crew->lock);
}

/* A worker that sleeps is woken for one job that is hurried, or for half of what can wait: it takes long to wake. */
static void give(struct cu_crew *crew, bool hurried)
{
	if (crew->n_threads > 0) {
		pthread_mutex_lock(&crew->lock);
		crew->n_given = crew->n_filled;
		if (crew->n_asleep > 0 && (hurried || crew->n_given - crew->n_taken >= crew->n_slots / 2)) {
			pthread_cond_signal(&crew->given);
		}
		pthread_mutex_unlock(&crew->lock);
	}
}

unsigned cu_crew_next(struct cu_crew *crew)
{
	if (crew->n_filled - crew->n_known == crew->n_slots) {
		if (crew->n_threads == 0) {
			start_threads(crew);
			give(crew, false);
		}
		/* not for each slot anew */
		wait_for(crew, crew->n_known + (crew->n_slots + 1) / 2);
	}
	return (unsigned)(crew->n_filled % crew->n_slots);
}

void cu_crew_fill(struct cu_crew *crew, bool hurried)
{
	crew->n_filled++;
	if (hurried) {
		start_threads(crew);
	}
	give(crew, hurried);
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
