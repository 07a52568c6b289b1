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
 * From prepare to complete a job has a desk, on which lies what it needs. There
 * are more of them than workers: one who cannot settle a job, since another has
 * not come so far, leaves it there and goes on with the next, and whoever is free
 * completes it. A large job has the desk of one worker, so that no more of
 * them are at work than there are workers.
 *
 * The threads are started when all slots are filled for the first time, or when
 * one is large: little work needs none. Where there is one processor, or no
 * thread can be made, the caller does it all.
 */
#ifndef CU_BASE_CREW_H
#define CU_BASE_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { CU_CREW_CAP = 8, CU_CREW_SLOTS_CAP = 64 }; /* workers; slots, and desks */

/* Who does it, where, and in which slot it lies: below n_workers, n_desks and n_slots. */
struct cu_crew_job {
	unsigned worker, desk, slot;
};

/* Each may be NULL. */
struct cu_crew_duty {
	void (*prepare)(void *arg, struct cu_crew_job job);
	void (*settle)(void *arg, struct cu_crew_job job);
	void (*complete)(void *arg, struct cu_crew_job job);
	void (*put)(void *arg, unsigned slot);
	void *arg;
};

/* How many of each: workers up to CU_CREW_CAP; slots, and at least as many desks as workers, up to CU_CREW_SLOTS_CAP. */
struct cu_crew_size {
	unsigned n_workers, n_desks, n_slots;
};

struct cu_crew;

struct cu_crew_worker {
	struct cu_crew *crew;
	unsigned number;
	pthread_t thread;
};

struct cu_crew {
	struct cu_crew_duty duty;
	struct cu_crew_size size;
	unsigned n_threads;
	bool has_no_threads; /* tried once, in vain */
	uint64_t n_filled;   /* ever */
	uint64_t n_known;    /* n_put when the caller last saw it */
	struct cu_crew_worker worker[CU_CREW_CAP];
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work, done;
	uint64_t n_given, n_taken, n_settled, n_put;  /* jobs, ever */
	uint64_t awaited;                             /* n_put that the caller waits for */
	uint64_t large, prepared, settled, completed; /* bit by slot: large; and what waits for the next step */
	uint64_t free_desks;                          /* bit by desk */
	uint8_t desk[CU_CREW_SLOTS_CAP];              /* by slot */
	unsigned n_asleep;
	bool is_settling, is_putting;
	bool is_stopping;
};

/* How many processors this process may use, at most CU_CREW_CAP. */
unsigned cu_crew_processors(void);

/* Release after it. */
void cu_crew_init(struct cu_crew *crew, const struct cu_crew_duty *duty, const struct cu_crew_size *size);
/* Waits until all is done. */
void cu_crew_release(struct cu_crew *crew);

/* The slot to fill next; waits until it is free. */
unsigned cu_crew_next(struct cu_crew *crew);

/* That slot is filled; large: worth a thread by itself, and to be at a worker's own desk. */
void cu_crew_fill(struct cu_crew *crew, bool large);

/* The same of a job that is to have no other beside it, and the first worker's desk: it is put when this returns. */
void cu_crew_fill_alone(struct cu_crew *crew);

/* Waits until all that was filled is put. */
void cu_crew_drain(struct cu_crew *crew);

#endif
