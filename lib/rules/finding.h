/*
 * Findings: what an endpoint does to all its connections, in bounded memory.
 *
 * Servers that refuse, reset or do not answer, whose handshakes are left
 * half-open or whose answers are cut short, and clients that scan. A scan is
 * one finding about its client: what it met at a few tries is not held against
 * each server. When a table is full, half of it is forgotten, those with the
 * least against them and of these the longest there first, as in lossy counting
 * (Manku and Motwani 2002): counts may be too low, never too high. Shares may be
 * too high then, of endpoints that came after: what is said of these is of low
 * confidence. How often one was forgotten is told.
 */
#ifndef CU_RULES_FINDING_H
#define CU_RULES_FINDING_H

#include "lib/record/record.h"
#include "lib/rules/field.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CU_FINDING_SERVERS = 32768, /* endpoints remembered */
	CU_FINDING_CLIENTS = 8192,
	CU_FINDING_CAP = 1000, /* findings written of each kind of these, and of each rule about endpoints */
};

/*
 * From how much on there is a finding: shares are of the endpoint's
 * connections. Three in a row are no accident, yet a server that refuses one
 * of a thousand is none to report.
 */
enum {
	CU_REFUSED_LEAST = 3,
	CU_REFUSED_PERCENT = 50,
	CU_UNANSWERED_LEAST = 3,
	CU_UNANSWERED_PERCENT = 50,
	CU_RESETS_LEAST = 5,
	CU_RESETS_PERCENT = 20,
	CU_ABORTS_LEAST = 5,
	CU_ABORTS_PERCENT = 20,
	CU_HALF_OPEN_LEAST = 16,
	CU_HALF_OPEN_PERCENT = 50,
	CU_SCAN_LEAST = 16,
	CU_SCAN_PERCENT = 80, /* different endpoints tried in vain */
	CU_SCAN_TRIES = 11,   /* at one endpoint, as nmap's --max-retries 10; who asks more often wants it */
};

/* What is bad about a connection's end; CU_N_BAD for nothing. prohibited: an ICMP error refused it. */
enum cu_bad_end cu_finding_bad_end(const struct cu_analysis *analysis, bool prohibited);

struct cu_findings;

/* NULL when memory ran out. */
struct cu_findings *cu_findings_new(void);
void cu_findings_free(struct cu_findings *findings);

/* Whether more is asked of an analysis than a glance at it tells (record.h): by whom, and why, when it was not closed. */
static inline bool cu_findings_need_all(const struct cu_analysis *analysis, bool prohibited)
{
	return prohibited || (analysis->close != CU_CLOSE_NONE && analysis->close != CU_CLOSE_CLEAN);
}

/*
 * Counts a connection that is over. prohibited: an ICMP error refused it. One
 * of a SYN alone that is not closed as unanswered was still in flight: that is
 * a try of its client, and nothing against the server. 0 or CU_ERR_NOMEM.
 */
int cu_findings_add(struct cu_findings *findings, const struct cu_connection *connection,
                    const struct cu_analysis *analysis, bool prohibited);

/*
 * Works out the findings: most counts first within each kind. take is called
 * with each, at most CU_FINDING_CAP of a kind; texts are borrowed for the call.
 * 0, CU_ERR_NOMEM, or what take returned when that was not 0. Once.
 */
int cu_findings_each(struct cu_findings *findings, int (*take)(void *context, const struct cu_finding *finding),
                     void *context);

/* Findings that were more than CU_FINDING_CAP of a kind. */
uint64_t cu_findings_n_left_out(const struct cu_findings *findings);
/* Times that an endpoint was forgotten; one that is met again can be once more. */
uint64_t cu_findings_n_forgotten(const struct cu_findings *findings);

#endif
