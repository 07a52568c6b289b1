#include "lib/flow/datagrams.h"

#include <string.h>

void cu_datagrams_init(struct cu_datagrams *datagrams)
{
	memset(datagrams, 0, sizeof(*datagrams));
	datagrams->seed = cu_hash_seed_random();
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

static uint16_t *chain_of(struct cu_datagrams *datagrams, uint64_t hash)
{
	return &datagrams->chains[hash % CU_DATAGRAMS_CAP];
}

static struct cu_datagram *at(struct cu_datagrams *datagrams, uint32_t ref)
{
	return &datagrams->entries[ref - 1];
}

void cu_datagrams_remove(struct cu_datagrams *datagrams, uint32_t idx)
{
	uint16_t ref = (uint16_t)(idx + 1);
	struct cu_datagram *datagram = &datagrams->entries[idx];
	uint16_t *link = chain_of(datagrams, datagram->hash);
	while (*link != ref) {
		link = &at(datagrams, *link)->next;
	}
	*link = datagram->next;
	*(datagram->older != 0 ? &at(datagrams, datagram->older)->newer : &datagrams->oldest) = datagram->newer;
	*(datagram->newer != 0 ? &at(datagrams, datagram->newer)->older : &datagrams->newest) = datagram->older;
	*datagram = (struct cu_datagram){.next = datagrams->free};
	datagrams->free = ref;
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
	datagrams->free = at(datagrams, ref)->next;
	return ref;
}

static uint16_t find(struct cu_datagrams *datagrams, uint64_t hash)
{
	uint16_t ref = *chain_of(datagrams, hash);
	while (ref != 0 && at(datagrams, ref)->hash != hash) {
		ref = at(datagrams, ref)->next;
	}
	return ref;
}

uint32_t cu_datagrams_get(struct cu_datagrams *datagrams, const struct cu_ip_fragment *fragment, int64_t time_ns,
                          bool *is_new)
{
	uint64_t hash = hash_of(datagrams, fragment);
	uint16_t ref = find(datagrams, hash);
	if (ref != 0 && is_expired(at(datagrams, ref), time_ns)) {
		cu_datagrams_remove(datagrams, ref - 1U);
		ref = 0;
	}
	*is_new = ref == 0;
	if (ref != 0) {
		return ref - 1U;
	}
	ref = take(datagrams);
	uint16_t *chain = chain_of(datagrams, hash);
	uint16_t older = datagrams->newest;
	*at(datagrams, ref) = (struct cu_datagram){.hash = hash, .time_ns = time_ns, .next = *chain, .older = older};
	*chain = ref;
	*(older != 0 ? &at(datagrams, older)->newer : &datagrams->oldest) = ref;
	datagrams->newest = ref;
	return ref - 1U;
}
