/*
 * A crew: several threads that work on jobs which one thread prepares, so that
 * it does not show which of them did what.
 *
 * The caller has a number of slots, in which jobs lie, and says what is done
 * with one: prepare and complete are done for several jobs at once, settle and
 * put for one after another in the order in which they were filled; of the
 * same job they are done in this order. What a job learns from those before it,
 * it learns in settle; what it writes, it writes in put.
 *
 * The threads are started when all slots are filled for the first time, or when
 * one is hurried: little work needs none. Where there is one processor, or no
 * thread can be made, the caller does it all.
 */
#ifndef CU_BASE_CREW_H
#define CU_BASE_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { CU_CREW_CAP = 8 }; /* workers */

/* Each may be NULL. The worker is below n_workers, the slot below n_slots. */
struct cu_crew_duty {
	void (*prepare)(void *arg, unsigned worker, unsigned slot);
	void (*settle)(void *arg, unsigned worker, unsigned slot);
	void (*complete)(void *arg, unsigned worker, unsigned slot);
	void (*put)(void *arg, unsigned slot);
	void *arg;
};

struct cu_crew;

struct cu_crew_worker {
	struct cu_crew *crew;
	unsigned number;
	pthread_t thread;
};

struct cu_crew {
	struct cu_crew_duty duty;
	unsigned n_slots, n_workers, n_threads;
	bool has_no_threads; /* tried once, in vain */
	uint64_t n_filled;   /* ever */
	uint64_t n_known;    /* n_put when the caller last saw it */
	struct cu_crew_worker worker[CU_CREW_CAP];
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t given, settled, done;
	uint64_t n_given, n_taken, n_settled, n_put; /* jobs, ever */
	uint64_t awaited;                            /* n_put that the caller waits for */
	uint64_t completed;                          /* bit by slot: completed and not put */
	unsigned n_asleep;
	bool is_putting;
	bool is_stopping;
};

/* How many processors this process may use, at most CU_CREW_CAP. */
unsigned cu_crew_processors(void);

/* 1 to CU_CREW_CAP workers; 2 to 64 slots, at least as many. Release after it. */
void cu_crew_init(struct cu_crew *crew, const struct cu_crew_duty *duty, unsigned n_workers, unsigned n_slots);
/* Waits until all is done. */
void cu_crew_release(struct cu_crew *crew);

/* The slot to fill next; waits until it is free. */
unsigned cu_crew_next(struct cu_crew *crew);

/* That slot is filled; hurried: and more than this one job is worth a thread. */
void cu_crew_fill(struct cu_crew *crew, bool hurried);

/* The same of a job that is to have no other beside it, and the first worker's storage: it is put when this returns. */
void cu_crew_fill_alone(struct cu_crew *crew);

/* Waits until all that was filled is put. */
void cu_crew_drain(struct cu_crew *crew);

#endif
