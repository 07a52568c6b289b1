#include "lib/flow/datagrams.h"

#include <stdbool.h>

/* Also when the clock was set back by that much. */
static bool is_expired(const struct cu_datagram *datagram, int64_t time_ns)
{
	int64_t age_ns = (int64_t)((uint64_t)time_ns - (uint64_t)datagram->time_ns);
	return age_ns > CU_DATAGRAM_EXPIRY_NS || age_ns < -CU_DATAGRAM_EXPIRY_NS;
}

struct cu_datagram *cu_datagrams_get(struct cu_datagrams *datagrams, uint64_t hash, int64_t time_ns)
{
	struct cu_datagram *bucket = datagrams->entries[hash % CU_DATAGRAM_BUCKETS];
	struct cu_datagram *oldest = &bucket[0];
	for (unsigned i = 0; i < CU_DATAGRAM_WAYS; i++) {
		if (bucket[i].hash == hash && !is_expired(&bucket[i], time_ns)) {
			bucket[i].time_ns = time_ns;
			return &bucket[i];
		}
		bool is_older = bucket[i].hash == 0 || bucket[i].hash == hash || bucket[i].time_ns < oldest->time_ns;
		if (oldest->hash != 0 && oldest->hash != hash && is_older) {
			oldest = &bucket[i];
		}
	}
	*oldest = (struct cu_datagram){.hash = hash, .time_ns = time_ns, .owner = CU_DATAGRAM_UNKNOWN};
	return oldest;
}
