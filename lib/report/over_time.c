#include "lib/report/over_time.h"

#include <string.h>

/* 146 years before and after 1970: any capture, and no bin begins where no number is. */
static const int64_t TIME_MOST = INT64_C(1) << 62;

/* Of time_ns, the start of the bin it is in; times before 1970 too. */
static int64_t floor_to(int64_t time_ns, int64_t width_ns)
{
	int64_t rest = time_ns % width_ns;
	return time_ns - (rest < 0 ? rest + width_ns : rest);
}

/* Joins bins by twos. The first may be the second half of a bin that is twice as wide. */
static void widen(struct cu_over_time *over)
{
	int64_t start_ns = floor_to(over->start_ns, over->width_ns * 2);
	size_t shift = start_ns != over->start_ns;
	struct cu_over_time_bin wide[CU_OVER_TIME_BINS] = {{0}};
	for (size_t i = 0; i < over->n; i++) {
		struct cu_over_time_bin *to = &wide[(i + shift) / 2];
		to->n += over->bin[i].n;
		for (unsigned party = 0; party < CU_N_PARTIES; party++) {
			to->slow_by_party[party] += over->bin[i].slow_by_party[party];
		}
	}
	memcpy(over->bin, wide, sizeof(wide));
	over->n = over->n > 0 ? (over->n - 1 + shift) / 2 + 1 : 0;
	over->start_ns = start_ns;
	over->width_ns *= 2;
}

/* Makes room for a bin at start_ns, which is before the first: false when there are too few. */
static bool reach_back(struct cu_over_time *over, int64_t start_ns)
{
	uint64_t more = ((uint64_t)over->start_ns - (uint64_t)start_ns) / (uint64_t)over->width_ns;
	if (more + over->n > CU_OVER_TIME_BINS) {
		return false;
	}
	memmove(over->bin + more, over->bin, over->n * sizeof(over->bin[0]));
	memset(over->bin, 0, more * sizeof(over->bin[0]));
	over->n += more;
	over->start_ns = start_ns;
	return true;
}

void cu_over_time_add(struct cu_over_time *over, int64_t time_ns, const struct cu_verdict *verdict)
{
	time_ns = time_ns > TIME_MOST ? TIME_MOST : time_ns < -TIME_MOST ? -TIME_MOST : time_ns;
	if (over->width_ns == 0) {
		over->width_ns = CU_OVER_TIME_LEAST_NS;
		over->start_ns = floor_to(time_ns, over->width_ns);
	}
	while (time_ns < over->start_ns && !reach_back(over, floor_to(time_ns, over->width_ns))) {
		widen(over);
	}
	uint64_t i;
	while ((i = ((uint64_t)time_ns - (uint64_t)over->start_ns) / (uint64_t)over->width_ns) >= CU_OVER_TIME_BINS) {
		widen(over);
	}
	over->n = i + 1 > over->n ? (size_t)i + 1 : over->n;
	struct cu_over_time_bin *bin = &over->bin[i];
	bin->n++;
	if (verdict != NULL && verdict->slow) {
		bin->slow_by_party[verdict->blame < CU_N_PARTIES ? verdict->blame : CU_PARTY_UNKNOWN]++;
	}
}
