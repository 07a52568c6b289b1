#include "lib/flow/datagrams.h"

#include "lib/base/error.h"

#include <string.h>

int cu_datagrams_init(struct cu_datagrams *datagrams)
{
	memset(datagrams, 0, sizeof(*datagrams));
	datagrams->seed = cu_hash_seed_random();
	return cu_index_reserve(&datagrams->index, CU_DATAGRAMS_CAP) ? 0 : CU_ERR_NOMEM;
}

void cu_datagrams_release(struct cu_datagrams *datagrams)
{
	cu_index_release(&datagrams->index);
}

/* IPv6 has no protocol in it: behind the first fragment it may be another (RFC 8200 section 4.5). */
static uint64_t hash_of(const struct cu_datagrams *datagrams, const struct cu_ip_fragment *fragment)
{
	struct {
		struct cu_addr src, dst;
		uint32_t ids[CU_VLAN_CAP];
		uint32_t id, protocol;
	} key;
	memset(&key, 0, sizeof(key)); /* padding takes part */
	key.src = fragment->key.src;
	key.dst = fragment->key.dst;
	memcpy(key.ids, fragment->key.ids, fragment->key.n_ids * sizeof(key.ids[0]));
	key.id = fragment->id;
	key.protocol = key.src.family == 4 ? fragment->protocol : 0;
	uint64_t hash = cu_hash_bytes(datagrams->seed, &key, sizeof(key));
	return hash != 0 ? hash : 1;
}

/* Also when the clock was set back by that much. */
static bool is_expired(const struct cu_datagram *datagram, int64_t time_ns)
{
	int64_t age_ns = (int64_t)((uint64_t)time_ns - (uint64_t)datagram->time_ns);
	return age_ns > CU_DATAGRAM_EXPIRY_NS || age_ns < -CU_DATAGRAM_EXPIRY_NS;
}

static struct cu_datagram *at(struct cu_datagrams *datagrams, uint32_t ref)
{
	return &datagrams->entries[ref - 1];
}

void cu_datagrams_remove(struct cu_datagrams *datagrams, uint32_t idx)
{
	struct cu_datagram *datagram = &datagrams->entries[idx];
	cu_index_remove(&datagrams->index, cu_index_tag(datagram->hash), idx + 1);
	*(datagram->older != 0 ? &at(datagrams, datagram->older)->newer : &datagrams->oldest) = datagram->newer;
	*(datagram->newer != 0 ? &at(datagrams, datagram->newer)->older : &datagrams->newest) = datagram->older;
	*datagram = (struct cu_datagram){.newer = datagrams->free};
	datagrams->free = (uint16_t)(idx + 1);
}

/* An entry that nothing leads to. */
static uint16_t take(struct cu_datagrams *datagrams)
{
	if (datagrams->free == 0 && datagrams->n_fresh < CU_DATAGRAMS_CAP) {
		return ++datagrams->n_fresh;
	}
	if (datagrams->free == 0) {
		cu_datagrams_remove(datagrams, datagrams->oldest - 1U);
	}
	uint16_t ref = datagrams->free;
	datagrams->free = at(datagrams, ref)->newer;
	return ref;
}

static uint32_t find(const struct cu_datagrams *datagrams, uint64_t hash)
{
	uint32_t tag = cu_index_tag(hash);
	for (uint32_t i = tag, ref; (ref = cu_index_walk(&datagrams->index, tag, &i)) != 0;) {
		if (datagrams->entries[ref - 1].hash == hash) {
			return ref;
		}
	}
	return 0;
}

uint32_t cu_datagrams_get(struct cu_datagrams *datagrams, const struct cu_ip_fragment *fragment, int64_t time_ns,
                          bool *is_new)
{
	uint64_t hash = hash_of(datagrams, fragment);
	uint32_t found = find(datagrams, hash);
	if (found != 0 && is_expired(at(datagrams, found), time_ns)) {
		cu_datagrams_remove(datagrams, found - 1);
		found = 0;
	}
	*is_new = found == 0;
	if (found != 0) {
		return found - 1;
	}
	uint16_t ref = take(datagrams), older = datagrams->newest;
	*at(datagrams, ref) = (struct cu_datagram){.hash = hash, .time_ns = time_ns, .older = older};
	*(older != 0 ? &at(datagrams, older)->newer : &datagrams->oldest) = ref;
	datagrams->newest = ref;
	cu_index_add(&datagrams->index, cu_index_tag(hash), ref); /* there is room: see init */
	return ref - 1U;
}
