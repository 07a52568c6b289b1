/*
 * Transactions gathered by service, server, client or cause.
 *
 * A group's size does not depend on how many transactions are in it, and what
 * comes after CU_GROUPS_CAP groups goes into one last group of others.
 */
#ifndef CU_REPORT_GROUPS_H
#define CU_REPORT_GROUPS_H

#include "lib/base/hash.h"
#include "lib/base/histogram.h"
#include "lib/base/index.h"
#include "lib/report/format.h"

enum { CU_GROUPS_CAP = 1 << 16, CU_GROUP_KEY_CAP = 64 };

struct cu_group {
	uint8_t key_len;
	uint8_t key[CU_GROUP_KEY_CAP]; /* what it is depends on the kind of group; see cu_group_name */
	uint64_t n, n_slow;
	uint64_t n_by_kind[CU_TXN_CLOSE + 1]; /* enum cu_txn_kind; unknown ones at 0 */
	uint64_t slow_by_party[CU_N_PARTIES];
	uint64_t slow_by_cause[CU_N_CAUSES]; /* those whose cause is one of the party blamed */
	uint64_t ns_by_cause[CU_N_CAUSES];   /* of the ledgers */
	uint64_t total_ns;
	struct cu_histogram histogram;
};

/* What groups can be made by besides enum cu_report_by: server and service together. */
enum { CU_GROUPS_BY_ENDPOINT = CU_REPORT_BY_NOTHING + 1 };

struct cu_groups {
	unsigned by;
	bool requests_only; /* total_ns and histogram are of requests */
	struct cu_group *group;
	size_t n, cap;
	struct cu_index index; /* of groups, by key */
	struct cu_hash_seed seed;
	struct cu_group others;
};

/* by is an enum cu_report_by or CU_GROUPS_BY_ENDPOINT. */
void cu_groups_init(struct cu_groups *groups, unsigned by);
void cu_groups_release(struct cu_groups *groups);

/* Counts a transaction. 0 or CU_ERR_NOMEM. */
int cu_groups_add(struct cu_groups *groups, const struct cu_report_transaction *item);

/* Sorts: most slow ones first, then most time. Nothing may be added afterwards. */
void cu_groups_sort(struct cu_groups *groups);

/* Adds what follows the first n groups to the others, and keeps these n. 0 or CU_ERR_NOMEM. */
int cu_groups_keep(struct cu_groups *groups, size_t n);

/* The time of the ledgers that is the party's: enum cu_party. */
uint64_t cu_group_party_ns(const struct cu_group *group, unsigned party);

/* The service of a group by endpoint, or "port N"; not of the others. As it came, and cut to fit the key. */
struct cu_text cu_group_service(const struct cu_group *group);

/* Appends what the group is called; bytes that came from outside as they came. */
void cu_group_name(const struct cu_groups *groups, const struct cu_group *group, struct cu_buf *name);

/* Appends the group's record of --by: a line of JSON. */
void cu_groups_json(const struct cu_groups *groups, const struct cu_group *group, struct cu_buf *out);

#endif
