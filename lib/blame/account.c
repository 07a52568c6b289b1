#include "lib/blame/account.h"

/* Enters time into the ledger, which cites the longest wait of each cause. */
static inline void enter(struct cu_account *account, enum cu_cause cause, int64_t ns, int64_t longest_ns,
                         uint32_t first_seg, uint32_t last_seg)
{
	struct cu_ledger_entry *entry = &account->transaction->ledger[cause];
	entry->ns += ns;
	if (longest_ns > account->longest[cause]) {
		account->longest[cause] = longest_ns;
		entry->first_frame = cu_account_frame(account, first_seg);
		entry->last_frame = cu_account_frame(account, last_seg);
		entry->first_file = cu_account_file(account, first_seg);
		entry->last_file = cu_account_file(account, last_seg);
	}
}

static void add_wait(struct cu_waits *waits, int64_t ns, uint32_t first_seg, uint32_t last_seg)
{
	waits->n++;
	waits->ns += ns;
	if (ns > waits->longest_ns) {
		waits->longest_ns = ns;
		waits->first_seg = first_seg;
		waits->last_seg = last_seg;
	}
}

/* Of one side alone what was waited for may have come at any time. */
static enum cu_cause known_cause(const struct cu_account *account, enum cu_cause cause)
{
	return account->known->one_sided ? CU_UNKNOWN_CAPTURE : cause;
}

void cu_charge(struct cu_account *account, enum cu_cause cause, int64_t from, int64_t to, uint32_t first_seg,
               uint32_t last_seg)
{
	if (to <= from) {
		return;
	}
	cause = known_cause(account, cause);
	if (account->charging != CU_WAIT_SETTLED) {
		add_wait(&account->waits[account->charging], to - from, first_seg, last_seg);
	} else {
		enter(account, cause, to - from, to - from, first_seg, last_seg);
	}
	cu_stretches_note(account->known->stretches, cause, account->charging, from, to);
}

void cu_charge_waits(struct cu_account *account, enum cu_wait kind, enum cu_cause cause)
{
	struct cu_waits *waits = &account->waits[kind];
	cause = known_cause(account, cause);
	enter(account, cause, waits->ns, waits->longest_ns, waits->first_seg, waits->last_seg);
	cu_stretches_settle(account->known->stretches, kind, cause);
	*waits = (struct cu_waits){0};
}

void cu_charge_turnaround(struct cu_account *account, enum cu_cause above, int64_t from, int64_t until, int64_t rtt,
                          uint32_t first_seg, uint32_t last_seg)
{
	int64_t trip = cu_min_ns(rtt, cu_max_ns(0, until - from));
	cu_charge(account, CU_NETWORK_RTT, from, from + trip, first_seg, last_seg);
	cu_charge(account, above, from + trip, until, first_seg, last_seg);
}

void cu_charge_distance(struct cu_account *account, int64_t distance_ns, uint32_t first_seg, uint32_t last_seg)
{
	if (distance_ns > 0) {
		enter(account, CU_NETWORK_RTT, 2 * distance_ns, 2 * distance_ns, first_seg, last_seg);
		account->known->stretches->distance_ns = distance_ns;
	}
}

void cu_account_add_loss(struct cu_account *account, uint8_t side)
{
	struct cu_transaction *transaction = account->transaction;
	bool first = transaction->loss_side == CU_LOSS_NONE || transaction->loss_side == side;
	transaction->loss_side = first ? side : (uint8_t)CU_LOSS_BOTH;
}
