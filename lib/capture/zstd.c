#include "lib/capture/decoder.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
	/*
	 * The largest window that the format's --long=31 makes. libzstd allocates a
	 * frame's window at once, but touches no more of it than the frame fills, and
	 * refuses larger ones: this is the cap on memory, or a smaller one that was
	 * asked for, but not below what each decoder should have (RFC 8878 section
	 * 3.1.1.1.2).
	 */
	WINDOW_LOG_MAX = 31,
	WINDOW_LOG_MIN = 23,
	N_SLOTS = 8,
	/* A thread costs more than it saves on less than this many bytes. */
	THREAD_AFTER_BYTES = 1024 * 1024,
	/* So soon a thread that waits for input sees that it is to stop. */
	STOP_AFTER_MS = 200,
};

struct slot {
	uint8_t *data; /* CU_READ_BLOCK bytes */
	size_t len;
};

struct zstd {
	struct cu_decoder base;
	struct cu_source *src;

	/* the decoding side: the thread's, once there is one */
	ZSTD_DCtx *ctx;
	uint8_t *stored; /* CU_READ_BLOCK bytes */
	ZSTD_inBuffer in;
	bool is_stored_at_end;
	bool is_in_frame;
	bool in_thread;
	struct cu_fault fault;
	atomic_uint_least64_t read_bytes;

	/* the ring between the two */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct slot slots[N_SLOTS];
	uint8_t *slot_memory;
	unsigned n_filled; /* slots ever filled */
	unsigned n_emptied;
	bool is_done; /* the thread fills no more */
	atomic_bool is_stopping;

	/* the reading side */
	pthread_t thread;
	bool has_thread;
	bool has_no_thread; /* tried once, in vain */
	size_t slot_pos;
	uint64_t n_decoded;
};

/*
 * Waits until there is something to read; false when the thread is to stop.
 * pthread_cancel would end the wait at once, but loads a library when it is
 * called: a confined process cannot, and is aborted.
 */
static bool wait_for_input(struct zstd *z)
{
	struct pollfd input = {.fd = z->src->fd, .events = POLLIN};
	while (poll(&input, 1, STOP_AFTER_MS) == 0) {
		if (atomic_load_explicit(&z->is_stopping, memory_order_relaxed)) {
			return false;
		}
	}
	return true; /* or an error, which read() tells */
}

static bool refill(struct zstd *z)
{
	if (z->is_stored_at_end) {
		return false;
	}
	uint64_t at = atomic_load_explicit(&z->read_bytes, memory_order_relaxed);
	bool may_wait = z->in_thread && !z->src->is_regular;
	ssize_t n = !may_wait || wait_for_input(z) ? cu_source_read_stored(z->src, z->stored, CU_READ_BLOCK, at) : 0;
	if (n < 0) {
		cu_fault_set_errno(&z->fault, errno, "%s: cannot be read", z->src->name);
	}
	if (n <= 0) {
		z->is_stored_at_end = true;
		return false;
	}
	atomic_fetch_add_explicit(&z->read_bytes, (uint64_t)n, memory_order_relaxed);
	z->in = (ZSTD_inBuffer){.src = z->stored, .size = (size_t)n, .pos = 0};
	return true;
}

/* The next power of two: windows are of any size, but libzstd is told a power. */
static int window_log(uint64_t bytes)
{
	int log = WINDOW_LOG_MIN;
	while (log < WINDOW_LOG_MAX && (bytes == 0 || UINT64_C(1) << log < bytes)) {
		log++;
	}
	return log;
}

/* Decompresses up to room bytes: what one stored block yields, or more. */
static ssize_t decode(struct zstd *z, uint8_t *data, size_t room)
{
	ZSTD_outBuffer out = {.dst = data, .size = room, .pos = 0};
	while (out.pos < room && !z->fault.code) {
		if (z->in.pos == z->in.size) {
			/* a live pipe: what there is must not wait for more */
			if (out.pos > 0 || !refill(z)) {
				break;
			}
		}
		size_t rc = ZSTD_decompressStream(z->ctx, &out, &z->in);
		if (ZSTD_isError(rc)) {
			if (ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge) {
				cu_fault_set(&z->fault, CU_ERR_FORMAT,
				             "%s: zstd: a frame's window is larger than the %u MiB that it may take",
				             z->src->name, 1U << (window_log(z->src->window_bytes) - 20));
			} else {
				cu_fault_set(&z->fault, CU_ERR_FORMAT, "%s: zstd: %s", z->src->name,
				             ZSTD_getErrorName(rc));
			}
			break;
		}
		z->is_in_frame = rc != 0;
	}
	if (out.pos > 0) {
		return (ssize_t)out.pos;
	}
	if (z->is_in_frame && z->is_stored_at_end) {
		/* what libzstd holds back when its input ends exactly with a full output */
		size_t rc = ZSTD_decompressStream(z->ctx, &out, &z->in);
		if (!ZSTD_isError(rc) && out.pos > 0) {
			z->is_in_frame = rc != 0;
			return (ssize_t)out.pos;
		}
		cu_fault_set(&z->fault, CU_ERR_TRUNCATED, "%s: zstd: ends in the middle of a frame", z->src->name);
	}
	return z->fault.code ? -1 : 0;
}

static void *decode_all(void *arg)
{
	struct zstd *z = arg;
	z->in_thread = true;
	pthread_mutex_lock(&z->lock);
	while (!atomic_load_explicit(&z->is_stopping, memory_order_relaxed)) {
		if (z->n_filled - z->n_emptied == N_SLOTS) {
			pthread_cond_wait(&z->changed, &z->lock);
			continue;
		}
		struct slot *slot = &z->slots[z->n_filled % N_SLOTS];
		pthread_mutex_unlock(&z->lock);
		ssize_t n = decode(z, slot->data, CU_READ_BLOCK);
		pthread_mutex_lock(&z->lock);
		if (n <= 0) {
			break;
		}
		slot->len = (size_t)n;
		z->n_filled++;
		pthread_cond_signal(&z->changed);
	}
	z->is_done = true;
	pthread_cond_signal(&z->changed);
	pthread_mutex_unlock(&z->lock);
	return NULL;
}

static bool start_thread(struct zstd *z)
{
	z->slot_memory = malloc((size_t)N_SLOTS * CU_READ_BLOCK);
	if (!z->slot_memory) {
		return false;
	}
	for (size_t i = 0; i < N_SLOTS; i++) {
		z->slots[i].data = z->slot_memory + i * CU_READ_BLOCK;
	}
	/* signals are the program's: none of them is to interrupt this thread */
	sigset_t all;
	sigset_t old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	z->has_thread = pthread_create(&z->thread, NULL, decode_all, z) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return z->has_thread;
}

static ssize_t end_of_stream(struct zstd *z)
{
	if (z->fault.code && !z->src->fault.code) {
		z->src->fault = z->fault;
	}
	return z->fault.code ? -1 : 0;
}

static ssize_t read_slot(struct zstd *z, uint8_t *data, size_t room)
{
	pthread_mutex_lock(&z->lock);
	while (z->n_filled == z->n_emptied && !z->is_done) {
		pthread_cond_wait(&z->changed, &z->lock);
	}
	bool is_at_end = z->n_filled == z->n_emptied;
	pthread_mutex_unlock(&z->lock);
	if (is_at_end) {
		return end_of_stream(z);
	}
	const struct slot *slot = &z->slots[z->n_emptied % N_SLOTS];
	size_t n = slot->len - z->slot_pos;
	if (n > room) {
		n = room;
	}
	memcpy(data, slot->data + z->slot_pos, n);
	z->slot_pos += n;
	if (z->slot_pos == slot->len) {
		z->slot_pos = 0;
		pthread_mutex_lock(&z->lock);
		z->n_emptied++;
		pthread_cond_signal(&z->changed);
		pthread_mutex_unlock(&z->lock);
	}
	return (ssize_t)n;
}

static ssize_t zstd_read(struct cu_decoder *decoder, uint8_t *data, size_t room)
{
	struct zstd *z = (struct zstd *)decoder;
	/* of the many that are visited, each one's ring would be memory, not speed */
	if (!z->has_thread && !z->has_no_thread && !z->src->is_visited && z->n_decoded >= THREAD_AFTER_BYTES) {
		z->has_no_thread = !start_thread(z);
	}
	if (z->has_thread) {
		return read_slot(z, data, room);
	}
	ssize_t n = decode(z, data, room);
	if (n <= 0) {
		return end_of_stream(z);
	}
	z->n_decoded += (uint64_t)n;
	return n;
}

static uint64_t zstd_read_bytes(const struct cu_decoder *decoder)
{
	const struct zstd *z = (const struct zstd *)decoder;
	return atomic_load_explicit(&z->read_bytes, memory_order_relaxed);
}

static void zstd_free(struct cu_decoder *decoder)
{
	struct zstd *z = (struct zstd *)decoder;
	if (z->has_thread) {
		pthread_mutex_lock(&z->lock);
		atomic_store_explicit(&z->is_stopping, true, memory_order_relaxed);
		pthread_cond_signal(&z->changed);
		pthread_mutex_unlock(&z->lock);
		pthread_join(z->thread, NULL);
	}
	pthread_cond_destroy(&z->changed);
	pthread_mutex_destroy(&z->lock);
	ZSTD_freeDCtx(z->ctx);
	free(z->slot_memory);
	free(z->stored);
	free(z);
}

struct cu_decoder *cu_zstd_new(struct cu_source *src, const uint8_t *head, size_t head_len)
{
	struct zstd *z = calloc(1, sizeof(*z));
	if (!z) {
		cu_fault_set(&src->fault, CU_ERR_NOMEM, "%s: no memory for zstd", src->name);
		return NULL;
	}
	z->base = (struct cu_decoder){.read = zstd_read, .read_bytes = zstd_read_bytes, .free = zstd_free};
	z->src = src;
	pthread_mutex_init(&z->lock, NULL);
	pthread_cond_init(&z->changed, NULL);
	z->ctx = ZSTD_createDCtx();
	z->stored = malloc(CU_READ_BLOCK);
	if (!z->ctx || !z->stored || head_len > CU_READ_BLOCK) {
		cu_fault_set(&src->fault, CU_ERR_NOMEM, "%s: no memory for zstd", src->name);
		zstd_free(&z->base);
		return NULL;
	}
	ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, window_log(src->window_bytes));
	memcpy(z->stored, head, head_len);
	z->in = (ZSTD_inBuffer){.src = z->stored, .size = head_len, .pos = 0};
	atomic_store_explicit(&z->read_bytes, src->read_bytes, memory_order_relaxed);
	return &z->base;
}
