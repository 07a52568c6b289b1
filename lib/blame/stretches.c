#include "lib/blame/account.h"

static int64_t length(const struct cu_charged *one)
{
	return one->to_ns - one->from_ns;
}

static bool same(const struct cu_charged *a, const struct cu_charged *b)
{
	return a->cause == b->cause && a->wait == b->wait;
}

/* Takes the stretch that follows into this one. */
static void take_in(struct cu_charged *one, const struct cu_charged *next)
{
	int64_t mine = length(one) - one->other_ns, theirs = length(next) - next->other_ns;
	int64_t main_ns = same(one, next) ? mine + theirs : cu_max_ns(mine, theirs);
	if (theirs > mine) {
		one->cause = next->cause;
		one->wait = next->wait;
	}
	one->to_ns += length(next);
	one->other_ns = length(one) - main_ns;
}

/* Takes neighbours together that are both shorter than least_ns. */
static void merge_short(struct cu_stretches *list)
{
	size_t last = 0;
	for (size_t i = 1; i < list->n; i++) {
		struct cu_charged *before = &list->item[last];
		const struct cu_charged *one = &list->item[i];
		bool short_ones = length(before) < list->least_ns && length(one) < list->least_ns;
		if (short_ones || same(before, one)) {
			take_in(before, one);
		} else {
			list->item[++last] = *one;
		}
	}
	list->n = last + 1;
}

/* What follows an answer is charged before it; else they come in order. */
static void sort(struct cu_stretches *list)
{
	for (size_t i = 1; i < list->n; i++) {
		if (list->item[i].from_ns >= list->item[i - 1].from_ns) {
			continue;
		}
		const struct cu_charged one = list->item[i];
		size_t at = i;
		for (; at > 0 && list->item[at - 1].from_ns > one.from_ns; at--) {
			list->item[at] = list->item[at - 1];
		}
		list->item[at] = one;
	}
}

void cu_stretches_thin(struct cu_stretches *list)
{
	sort(list);
	if (list->least_ns == 0) {
		int64_t span_ns = list->item[list->n - 1].to_ns - list->item[0].from_ns;
		list->least_ns = 1 + span_ns / (CU_STRETCH_CAP * INT64_C(8));
	}
	merge_short(list);
	while (list->n > CU_STRETCH_CAP / 2) {
		list->least_ns *= 2;
		merge_short(list);
	}
}

void cu_stretches_settle(struct cu_stretches *list, enum cu_wait wait, enum cu_cause cause)
{
	for (size_t i = 0; i < list->n; i++) {
		struct cu_charged *one = &list->item[i];
		if (one->wait == wait) {
			one->cause = (uint8_t)cause;
			one->wait = CU_WAIT_SETTLED;
		}
	}
}

static size_t encode(uint8_t *p, uint8_t cause, int64_t ns, int64_t other_ns)
{
	const struct cu_stretch stretch = {.cause = cause, .ns = ns, .other_ns = other_ns};
	return ns > 0 ? cu_stretch_encode(&stretch, p) : 0;
}

/*
 * What was charged lies between the two halves of the distance. Were it to
 * overlap, or to leave a gap, the ledger would not sum to the total.
 */
void cu_stretches_put(struct cu_stretches *list, struct cu_transaction *transaction)
{
	if (!list->kept || transaction->total_ns < CU_STRETCHES_LEAST_NS) {
		return;
	}
	sort(list);
	uint8_t cause = CU_NETWORK_RTT;
	int64_t ns = list->distance_ns, other_ns = 0;
	size_t len = 0;
	for (size_t i = 0; i < list->n; i++) {
		const struct cu_charged *one = &list->item[i];
		if (one->cause != cause) {
			len += encode(list->encoded + len, cause, ns, other_ns);
			cause = one->cause;
			ns = other_ns = 0;
		}
		ns += length(one);
		other_ns += one->other_ns;
	}
	if (cause != CU_NETWORK_RTT) {
		len += encode(list->encoded + len, cause, ns, other_ns);
		ns = other_ns = 0;
	}
	len += encode(list->encoded + len, CU_NETWORK_RTT, ns + list->distance_ns, other_ns);
	transaction->stretches = (struct cu_text){.data = (const char *)list->encoded, .len = (uint32_t)len};
}
