#include "lib/blame/store.h"

#include "lib/base/error.h"

#include <stdlib.h>

void cu_store_init(struct cu_store *store)
{
	*store = (struct cu_store){.seed = cu_hash_seed_random()};
}

void cu_store_release(struct cu_store *store)
{
	for (size_t i = 0; i < store->cap; i++) {
		cu_buf_release(&store->slot[i].chunks);
	}
	cu_buf_release(&store->spare);
	free(store->slot);
	*store = (struct cu_store){0};
}

static size_t home_of(const struct cu_store *store, uint64_t stream)
{
	/* Twice: one multiplication spreads numbers that follow each other evenly, or in heaps, as the seed has it. */
	uint64_t once = cu_hash_mix(stream ^ store->seed.k[0], store->seed.k[1]);
	return (size_t)cu_hash_mix(once, UINT64_C(0x9E3779B97F4A7C15)) & (store->cap - 1);
}

static struct cu_store_entry *find(const struct cu_store *store, uint64_t stream)
{
	if (store->cap == 0) {
		return NULL;
	}
	for (size_t i = home_of(store, stream); store->slot[i].used; i = (i + 1) & (store->cap - 1)) {
		if (store->slot[i].stream == stream) {
			return &store->slot[i];
		}
	}
	return NULL;
}

static struct cu_store_entry *place(struct cu_store *store, uint64_t stream)
{
	size_t i = home_of(store, stream);
	while (store->slot[i].used) {
		i = (i + 1) & (store->cap - 1);
	}
	return &store->slot[i];
}

static int grow(struct cu_store *store)
{
	if (store->n * 2 < store->cap) {
		return 0;
	}
	struct cu_store old = *store;
	store->cap = old.cap != 0 ? old.cap * 2 : 64;
	store->slot = calloc(store->cap, sizeof(store->slot[0]));
	if (store->slot == NULL) {
		*store = old;
		return CU_ERR_NOMEM;
	}
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slot[i].used) {
			*place(store, old.slot[i].stream) = old.slot[i];
		}
	}
	free(old.slot);
	return 0;
}

int cu_store_add(struct cu_store *store, uint64_t stream, const uint8_t *data, size_t len)
{
	struct cu_store_entry *entry = find(store, stream);
	if (entry == NULL) {
		int err = grow(store);
		if (err != 0) {
			return err;
		}
		entry = place(store, stream);
		*entry = (struct cu_store_entry){.stream = stream, .chunks = store->spare, .used = true};
		store->spare = (struct cu_buf){0};
		store->n++;
	}
	cu_buf_add_varint(&entry->chunks, len);
	cu_buf_add(&entry->chunks, data, len);
	return entry->chunks.failed ? CU_ERR_NOMEM : 0;
}

struct cu_cursor cu_store_get(const struct cu_store *store, uint64_t stream)
{
	const struct cu_store_entry *entry = find(store, stream);
	return entry != NULL ? cu_cursor_make(entry->chunks.data, entry->chunks.len) : cu_cursor_make("", 0);
}

bool cu_store_next(struct cu_cursor *chunks, const uint8_t **data, size_t *len)
{
	if (cu_cursor_left(chunks) == 0) {
		return false;
	}
	*len = (size_t)cu_cursor_varint(chunks);
	*data = cu_cursor_bytes(chunks, *len);
	return *data != NULL;
}

void cu_store_remove(struct cu_store *store, uint64_t stream)
{
	struct cu_store_entry *entry = find(store, stream);
	if (entry == NULL) {
		return;
	}
	/* One buffer of ordinary size is kept for the next connection. */
	enum { SPARE_BYTES = 1 << 20 };
	if (store->spare.data == NULL && entry->chunks.cap <= SPARE_BYTES) {
		cu_buf_clear(&entry->chunks);
		store->spare = entry->chunks;
	} else {
		cu_buf_release(&entry->chunks);
	}
	*entry = (struct cu_store_entry){0};
	store->n--;
	size_t hole = (size_t)(entry - store->slot), mask = store->cap - 1;
	for (size_t i = (hole + 1) & mask; store->slot[i].used; i = (i + 1) & mask) {
		size_t home = home_of(store, store->slot[i].stream);
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			store->slot[hole] = store->slot[i];
			store->slot[i] = (struct cu_store_entry){0};
			hole = i;
		}
	}
}
