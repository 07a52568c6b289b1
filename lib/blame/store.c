#include "lib/blame/store.h"

#include "lib/base/error.h"
#include "lib/base/grow.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Behind each lot: where the connection's lot before ends, and how long this one is. */
enum { LOT_FOOT = 8 + 8 };

void cu_store_init(struct cu_store *store, uint64_t bytes_cap, int fd)
{
	*store = (struct cu_store){
		.seed = cu_hash_seed_random(), .bytes_cap = bytes_cap, .room_at = bytes_cap, .fd = fd};
}

void cu_store_release(struct cu_store *store)
{
	for (size_t i = 0; i < store->n; i++) {
		cu_buf_release(&store->entry[i].chunks);
	}
	cu_buf_release(&store->spare);
	cu_index_release(&store->index);
	free(store->entry);
	*store = (struct cu_store){.fd = -1};
}

static uint32_t tag_of(const struct cu_store *store, uint64_t stream)
{
	/* Twice: one multiplication spreads numbers that follow each other evenly, or in heaps, as the seed has it. */
	uint64_t once = cu_hash_mix(stream ^ store->seed.k[0], store->seed.k[1]);
	return cu_index_tag(cu_hash_mix(once, UINT64_C(0x9E3779B97F4A7C15)));
}

static struct cu_store_entry *find(const struct cu_store *store, uint64_t stream)
{
	uint32_t tag = tag_of(store, stream);
	for (uint32_t i = tag, at; (at = cu_index_walk(&store->index, tag, &i)) != 0;) {
		if (store->entry[at - 1].stream == stream) {
			return &store->entry[at - 1];
		}
	}
	return NULL;
}

/* ---- The file ---- */

static int failed(struct cu_store *store)
{
	store->sys_errno = errno != 0 ? errno : EIO;
	return CU_ERR_IO;
}

static int write_at(struct cu_store *store, const uint8_t *data, size_t len, uint64_t at)
{
	while (len > 0) {
		errno = 0;
		ssize_t n = pwrite(store->fd, data, len, (off_t)at);
		if (n <= 0 && errno != EINTR) {
			return failed(store);
		}
		n = n > 0 ? n : 0;
		data += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int read_at(struct cu_store *store, uint8_t *data, size_t len, uint64_t at)
{
	while (len > 0) {
		errno = 0;
		ssize_t n = pread(store->fd, data, len, (off_t)at);
		if (n <= 0 && errno != EINTR) {
			return failed(store);
		}
		n = n > 0 ? n : 0;
		data += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int write_lot(struct cu_store *store, struct cu_store_entry *entry, const uint8_t *data, size_t len)
{
	uint8_t foot[LOT_FOOT];
	cu_put_le64(foot, entry->lot);
	cu_put_le64(foot + 8, len);
	int err = write_at(store, data, len, store->file_end);
	if (err == 0) {
		err = write_at(store, foot, sizeof(foot), store->file_end + len);
	}
	if (err == 0) {
		store->file_end += len + LOT_FOOT;
		entry->lot = store->file_end;
	}
	return err;
}

/* An entry's chunks become lots of the file, of as much as is read at once. */
static int put_away(struct cu_store *store, struct cu_store_entry *entry)
{
	enum { LOT = 1 << 20 };
	if (store->fd < 0) {
		store->is_full = true;
		return CU_ERR_NOMEM;
	}
	struct cu_cursor cur = cu_cursor_make(entry->chunks.data, entry->chunks.len);
	const uint8_t *begin = cur.pos;
	int err = 0;
	while (err == 0 && cu_cursor_left(&cur) > 0) {
		cu_cursor_bytes(&cur, (size_t)cu_cursor_varint(&cur));
		if (cur.pos - begin >= LOT || cu_cursor_left(&cur) == 0) {
			err = write_lot(store, entry, begin, (size_t)(cur.pos - begin));
			begin = cur.pos;
		}
	}
	if (err == 0) {
		store->n_bytes -= entry->chunks.len;
		cu_buf_release(&entry->chunks);
	}
	return err;
}

/*
 * Makes room for half of what there may be, the longest first. What is short is
 * no more than the connection itself, and stays. Tried again when as much has
 * been added as may have been too much.
 */
static int make_room(struct cu_store *store)
{
	enum { LONG = 1 << 20, SHORT = 1 << 9 };
	int err = 0;
	for (size_t least = LONG; least >= SHORT && store->n_bytes > store->bytes_cap / 2; least /= 8) {
		for (size_t i = 0; i < store->n && err == 0; i++) {
			struct cu_store_entry *entry = &store->entry[i];
			bool is_read = store->is_reading && entry->stream == store->reading;
			if (entry->chunks.len >= least && !is_read) {
				err = put_away(store, entry);
			}
		}
	}
	uint64_t later = store->n_bytes + store->bytes_cap / 2;
	store->room_at = later > store->bytes_cap ? later : store->bytes_cap;
	return err;
}

/* ---- Chunks ---- */

static struct cu_store_entry *find_or_add(struct cu_store *store, uint64_t stream)
{
	struct cu_store_entry *entry = find(store, stream);
	if (entry != NULL) {
		return entry;
	}
	if (!cu_grow((void **)&store->entry, &store->cap, store->n, sizeof(*entry)) ||
	    !cu_index_add(&store->index, tag_of(store, stream), (uint32_t)store->n + 1)) {
		return NULL;
	}
	entry = &store->entry[store->n++];
	*entry = (struct cu_store_entry){.stream = stream, .chunks = store->spare};
	store->spare = (struct cu_buf){0};
	return entry;
}

int cu_store_add(struct cu_store *store, uint64_t stream, const uint8_t *data, size_t len)
{
	struct cu_store_entry *entry = find_or_add(store, stream);
	if (entry == NULL) {
		return CU_ERR_NOMEM;
	}
	size_t before = entry->chunks.len;
	cu_buf_add_varint(&entry->chunks, len);
	cu_buf_add(&entry->chunks, data, len);
	if (entry->chunks.failed) {
		return CU_ERR_NOMEM;
	}
	store->n_bytes += entry->chunks.len - before;
	return store->n_bytes > store->room_at ? make_room(store) : 0;
}

bool cu_store_has(const struct cu_store *store, uint64_t stream)
{
	return find(store, stream) != NULL;
}

int cu_store_rename(struct cu_store *store, uint64_t from, uint64_t to)
{
	struct cu_store_entry *old = find(store, from);
	if (old == NULL || from == to) {
		return 0;
	}
	struct cu_store_entry entry = *old;
	old->chunks = (struct cu_buf){0};
	cu_store_remove(store, from);
	struct cu_store_entry *new = find_or_add(store, to);
	if (new == NULL) {
		cu_buf_release(&entry.chunks);
		return CU_ERR_NOMEM;
	}
	store->n_bytes -= new->chunks.len;
	cu_buf_release(&new->chunks);
	new->chunks = entry.chunks;
	new->lot = entry.lot;
	return 0;
}

/* ---- Reading ---- */

void cu_store_close(struct cu_store_reader *reader)
{
	if (reader->store != NULL) {
		reader->store->is_reading = false;
	}
	free(reader->lot);
	cu_buf_release(&reader->buf);
	*reader = (struct cu_store_reader){0};
}

/* Finds where each lot of the connection ends. */
static int find_lots(struct cu_store_reader *reader, uint64_t lot)
{
	while (lot != 0) {
		uint8_t foot[LOT_FOOT];
		if (!cu_grow((void **)&reader->lot, &reader->lots_cap, reader->n_lots, sizeof(reader->lot[0]))) {
			return CU_ERR_NOMEM;
		}
		reader->lot[reader->n_lots++] = lot;
		int err = read_at(reader->store, foot, sizeof(foot), lot - LOT_FOOT);
		if (err != 0) {
			return err;
		}
		lot = cu_get_le64(foot);
	}
	return 0;
}

int cu_store_open(struct cu_store *store, uint64_t stream, struct cu_store_reader *reader)
{
	const struct cu_store_entry *entry = find(store, stream);
	*reader = (struct cu_store_reader){.store = store, .stream = stream, .left = cu_cursor_make("", 0)};
	store->is_reading = true;
	store->reading = stream;
	reader->in_memory = entry != NULL && entry->chunks.len > 0;
	return entry != NULL ? find_lots(reader, entry->lot) : 0;
}

/* The next lot, or what is in memory. */
static int next_lot(struct cu_store_reader *reader)
{
	if (reader->n_lots == 0) {
		const struct cu_store_entry *entry = find(reader->store, reader->stream);
		reader->left = cu_cursor_make(entry->chunks.data, entry->chunks.len);
		reader->in_memory = false;
		return 0;
	}
	uint8_t foot[LOT_FOOT];
	uint64_t lot = reader->lot[--reader->n_lots];
	int err = read_at(reader->store, foot, sizeof(foot), lot - LOT_FOOT);
	if (err != 0) {
		return err;
	}
	uint64_t len = cu_get_le64(foot + 8);
	cu_buf_clear(&reader->buf);
	if (!cu_buf_reserve(&reader->buf, (size_t)len)) {
		return CU_ERR_NOMEM;
	}
	reader->buf.len = (size_t)len;
	reader->left = cu_cursor_make(reader->buf.data, reader->buf.len);
	return read_at(reader->store, reader->buf.data, (size_t)len, lot - LOT_FOOT - len);
}

bool cu_store_more(const struct cu_store_reader *reader)
{
	return cu_cursor_left(&reader->left) > 0 || reader->n_lots > 0 || reader->in_memory;
}

int cu_store_peek(struct cu_store_reader *reader, const uint8_t **data, size_t *len)
{
	while (cu_cursor_left(&reader->left) == 0) {
		if (!cu_store_more(reader)) {
			return 0;
		}
		int err = next_lot(reader);
		if (err != 0) {
			return err;
		}
	}
	struct cu_cursor cur = reader->left;
	*len = (size_t)cu_cursor_varint(&cur);
	*data = cu_cursor_bytes(&cur, *len);
	reader->after = cur.pos;
	return *data != NULL;
}

void cu_store_skip(struct cu_store_reader *reader)
{
	reader->left.pos = reader->after;
}

void cu_store_remove(struct cu_store *store, uint64_t stream)
{
	struct cu_store_entry *entry = find(store, stream);
	if (entry == NULL) {
		return;
	}
	store->n_bytes -= entry->chunks.len;
	/* One buffer of ordinary size is kept for the next connection. */
	enum { SPARE_BYTES = 1 << 20 };
	if (store->spare.data == NULL && entry->chunks.cap <= SPARE_BYTES) {
		cu_buf_clear(&entry->chunks);
		store->spare = entry->chunks;
	} else {
		cu_buf_release(&entry->chunks);
	}
	uint32_t at = (uint32_t)(entry - store->entry) + 1;
	cu_index_remove(&store->index, tag_of(store, stream), at);
	const struct cu_store_entry *last = &store->entry[--store->n];
	if (last != entry) {
		cu_index_move(&store->index, tag_of(store, last->stream), (uint32_t)store->n + 1, at);
		*entry = *last;
	}
}
