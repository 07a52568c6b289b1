/*
 * Each way of decompression. The first bytes are a plan, see struct plan. zstd
 * is made here of the capture behind them, in frames, and perhaps damaged:
 * undamaged it has to give the packets of the capture itself. What other
 * programs decompress is taken as it is, behind its format's magic number.
 */
#include "tests/fuzz/stages.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { N_FORMATS = 5, CAPTURE_CAP = 1 << 20, STORED_CAP = 2 * CAPTURE_CAP };

struct plan {
	uint8_t format;
	uint8_t flags;
	uint8_t frame[2];     /* bytes of the capture in a frame; 0: all */
	uint8_t damage_at[2]; /* where a byte is changed, from the end of the magic number */
	uint8_t damage;       /* by what; 0: not at all */
};

enum { PIPE = 1, CHECKSUM = 2, LONG_WINDOW = 4, CUT = 8 };

static const struct {
	const char *bytes;
	size_t len;
} magic[N_FORMATS] = {
	{"\x28\xb5\x2f\xfd", 4}, {"\x1f\x8b\x08", 3}, {"\xfd\x37zXZ", 6}, {"\x04\x22\x4d\x18", 4}, {"BZh", 3}};

/* The capture in zstd frames; its length. */
static size_t compress(uint8_t *to, const uint8_t *data, size_t len, const struct plan *plan)
{
	static ZSTD_CCtx *context;
	if (context == NULL) {
		context = ZSTD_createCCtx();
	}
	size_t frame = (size_t)plan->frame[0] | (size_t)plan->frame[1] << 8;
	size_t stored = 0;
	frame = frame < len / 64 + 1 ? len : frame; /* 64 at most */
	ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, (plan->flags & CHECKSUM) != 0);
	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
	if (plan->flags & LONG_WINDOW) {
		ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 24);
	}
	for (size_t at = 0; at < len; at += frame) {
		size_t n = len - at < frame ? len - at : frame;
		n = ZSTD_compress2(context, to + stored, STORED_CAP - stored, data + at, n);
		assert(!ZSTD_isError(n));
		stored += n;
	}
	return stored;
}

struct feed {
	const uint8_t *data;
	size_t len;
	int fd;
};

static void *feed(void *arg)
{
	const struct feed *f = arg;
	for (size_t at = 0; at < f->len;) {
		ssize_t n = write(f->fd, f->data + at, f->len - at);
		if (n <= 0) {
			break;
		}
		at += (size_t)n;
	}
	close(f->fd);
	return NULL;
}

/* What was read of a capture: two are the same if these are. */
struct summary {
	uint64_t n_packets, sum;
	bool is_whole;
};

static void read_all(const char *path, struct summary *summary)
{
	const struct cu_capture_config config = {.paths = &path, .n_paths = 1};
	struct cu_capture *capture;
	struct cu_packet packet;
	struct cu_fault fault = {0};
	*summary = (struct summary){0};
	if (cu_capture_open(&capture, &config, &fault) != 0) {
		assert(fault.text[0] != '\0');
		return;
	}
	while (cu_capture_next(capture, &packet) > 0) {
		summary->n_packets++;
		summary->sum = summary->sum * 31 + packet.len + (uint64_t)packet.time_ns;
		for (uint32_t i = 0; i < packet.caplen; i++) {
			summary->sum = summary->sum * 31 + packet.data[i];
		}
	}
	summary->is_whole = cu_capture_fault(capture, 0) == NULL;
	cu_capture_close(capture);
}

static void read_from_file(const uint8_t *data, size_t len, struct summary *summary)
{
	char path[64];
	int fd = fuzz_file(data, len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_all(path, summary);
	close(fd);
}

/* The descriptor of the pipe stays open meanwhile: a writer is never left without a reader before it is done. */
static void read_from_pipe(const uint8_t *data, size_t len, struct summary *summary)
{
	int ends[2];
	pthread_t thread;
	char path[64];
	assert(pipe2(ends, O_CLOEXEC) == 0);
	struct feed f = {.data = data, .len = len, .fd = ends[1]};
	assert(pthread_create(&thread, NULL, feed, &f) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	read_all(path, summary);
	close(ends[0]);
	pthread_join(thread, NULL);
}

/* Compressed twice is no capture. */
static bool is_compressed(const uint8_t *data, size_t len)
{
	bool is_zstd = len >= 4 && memcmp(data, magic[0].bytes, 4) == 0;
	bool is_skippable = len >= 4 && (data[0] & 0xf0) == 0x50 && memcmp(data + 1, "\x2a\x4d\x18", 3) == 0;
	return is_zstd || is_skippable || fuzz_needs_child(data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t stored[STORED_CAP + 8];
	struct plan plan;
	struct summary compressed;
	if (len < sizeof(plan) || len - sizeof(plan) > CAPTURE_CAP) {
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	memcpy(&plan, data, sizeof(plan));
	data += sizeof(plan);
	len -= sizeof(plan);
	unsigned format = plan.format % N_FORMATS;
	size_t n;
	if (format == 0) {
		n = compress(stored, data, len, &plan);
	} else {
		memcpy(stored, magic[format].bytes, magic[format].len);
		memcpy(stored + magic[format].len, data, len);
		n = magic[format].len + len;
	}
	size_t at = magic[format].len + ((size_t)plan.damage_at[0] | (size_t)plan.damage_at[1] << 8);
	bool is_damaged = plan.damage != 0 && at < n;
	if (is_damaged) {
		stored[at] ^= plan.damage;
		n = plan.flags & CUT ? at : n;
	}
	if (plan.flags & PIPE) {
		read_from_pipe(stored, n, &compressed);
	} else {
		read_from_file(stored, n, &compressed);
	}
	if (format == 0 && !is_damaged && !is_compressed(data, len)) {
		struct summary plain;
		read_from_file(data, len, &plain);
		assert(plain.n_packets == compressed.n_packets && plain.sum == compressed.sum);
		assert(plain.is_whole == compressed.is_whole);
	}
	return 0;
}
