/*
 * Rules about endpoints: what a server or client did within a window of time.
 *
 * A window of length L is four cells of L / 4, and one begins at each cell in
 * which there was something: what happens within three quarters of L is always
 * seen whole. Cells are counters, of an endpoint and a stretch of time; they
 * are kept to the end, as a stream's transactions come in no order of time.
 * There is a cap on endpoints and on cells. Beyond it new ones are not taken,
 * and what was not counted for that reason is counted.
 */
#ifndef CU_RULES_WINDOW_H
#define CU_RULES_WINDOW_H

#include "lib/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CU_WINDOW_CELLS = 4,             /* of a window */
	CU_WINDOW_ENDPOINT_CAP = 32768,  /* endpoints remembered */
	CU_WINDOW_CELL_CAP = 128 * 1024, /* cells: at most 64 MiB */
};

struct cu_windows;

/*
 * For rules that are finished, and stay so until it is freed. *windows is NULL
 * when none of them is about endpoints. 0 or CU_ERR_NOMEM.
 */
int cu_windows_new(struct cu_windows **windows, struct cu_rules *rules);
void cu_windows_free(struct cu_windows *windows);

/* Counts the transaction that cu_rules_judge was called with last, and its verdict. 0 or CU_ERR_NOMEM. */
int cu_windows_add_transaction(struct cu_windows *windows, const struct cu_facts *facts,
                               const struct cu_verdict *verdict);

/* Counts a connection that is over. prohibited: an ICMP error refused it. 0 or CU_ERR_NOMEM. */
int cu_windows_add_connection(struct cu_windows *windows, const struct cu_connection *connection,
                              const struct cu_analysis *analysis, bool prohibited);

/*
 * Works out the findings: rule by rule as they are asked, those of most windows
 * first. Its kind is "rule", count how many windows (none of which overlaps)
 * the rule matched in, its texts of the one with most of what the rule counts.
 * take is called with each, at most CU_FINDING_CAP of a rule; texts are
 * borrowed for the call. 0, CU_ERR_NOMEM, or what take returned when that was
 * not 0. Once.
 */
int cu_windows_each(struct cu_windows *windows, int (*take)(void *context, const struct cu_finding *finding),
                    void *context);

/* Transactions and connections that were not counted because of the caps. */
uint64_t cu_windows_n_dropped(const struct cu_windows *windows);
/* Findings that were more than CU_FINDING_CAP of a rule. */
uint64_t cu_windows_n_left_out(const struct cu_windows *windows);

#endif
