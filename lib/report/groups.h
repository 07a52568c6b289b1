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
#include "lib/report/format.h"

enum { CU_GROUPS_CAP = 1 << 16, CU_GROUP_KEY_CAP = 64 };

struct cu_group {
	uint8_t key_len;
	uint8_t key[CU_GROUP_KEY_CAP]; /* what it is depends on the kind of group; see cu_group_name */
	uint64_t n, n_slow;
	uint64_t slow_by_party[CU_N_PARTIES];
	uint64_t ns_by_party[CU_N_PARTIES]; /* of the ledgers */
	uint64_t total_ns;
	struct cu_histogram histogram;
};

struct cu_groups {
	enum cu_report_by by;
	struct cu_group *group;
	size_t n, cap;
	uint32_t *slot; /* index + 1 into group, 0 free; n_slots is a power of two */
	size_t n_slots;
	struct cu_hash_seed seed;
	struct cu_group others;
};

void cu_groups_init(struct cu_groups *groups, enum cu_report_by by);
void cu_groups_release(struct cu_groups *groups);

/* Counts a transaction. 0 or CU_ERR_NOMEM. */
int cu_groups_add(struct cu_groups *groups, const struct cu_report_transaction *item);

/* Sorts: most slow ones first, then most time. Nothing may be added afterwards. */
void cu_groups_sort(struct cu_groups *groups);

/* Appends what the group is called; bytes that came from outside as they came. */
void cu_group_name(const struct cu_groups *groups, const struct cu_group *group, struct cu_buf *name);

#endif
