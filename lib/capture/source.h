/*
 * Private to lib/capture: the bytes of one input, decompressed and buffered.
 *
 * A source keeps a window of the decompressed stream in one buffer: pos to end
 * are the bytes not yet used, and what lies before pos stays until the next
 * fill that has to move it. Its first fault stays; after it the stream ends.
 */
#ifndef CU_CAPTURE_SOURCE_H
#define CU_CAPTURE_SOURCE_H

#include "lib/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	/* Of 64 KiB to 1 MiB all read alike; below and above is slower. */
	CU_READ_BLOCK = 256 * 1024,
	/* The most that can be asked for at once: three of the largest packets with their headers. */
	CU_SOURCE_ROOM = 4 * 1024 * 1024,
	CU_PIPE_BYTES = 1024 * 1024, /* capacity asked for pipes: the default of 64 KiB makes both ends run in step */
	/* Of a file that holds no descriptor: there are many of those, and a buffer is resident as far as it was filled. */
	CU_VISIT_BLOCK = 64 * 1024,
};

enum cu_compression {
	CU_COMPRESSION_NONE,
	CU_COMPRESSION_ZSTD,
	CU_COMPRESSION_GZIP,
	CU_COMPRESSION_XZ,
	CU_COMPRESSION_LZ4,
	CU_COMPRESSION_BZIP2,
	CU_COMPRESSION_N,
};

/* What turns the stored bytes into the stream's. */
struct cu_decoder;

struct cu_source {
	const uint8_t *pos;
	const uint8_t *end;
	uint8_t *buf;
	uint64_t base;  /* place in the stream of buf[0] */
	bool is_at_end; /* nothing comes behind end */
	bool is_regular;
	bool is_seekable;
	bool owns_fd;
	bool is_visited; /* fd is closed: the file is opened for each read, see cu_source_yield */
	int fd;
	dev_t device; /* of the file, and its number there: it must be the same at each visit */
	ino_t inode;
	off_t start;         /* where a seekable input began */
	uint64_t size_bytes; /* of a regular file */
	uint64_t read_bytes; /* stored bytes read so far */
	enum cu_compression compression;
	struct cu_decoder *decoder; /* NULL: stored bytes are the stream's */
	uint64_t window_bytes;
	const char *path; /* borrowed */
	const char *name; /* for faults; borrowed */
	struct cu_fault fault;
};

/*
 * Opens path ("-": standard input), recognises its compression and starts
 * decompressing; window_bytes is as in struct cu_capture_config. 0, or an error
 * whose sentence is in src->fault. Release in both cases.
 */
int cu_source_open(struct cu_source *src, const char *path, const char *name, uint64_t window_bytes);

/* Ends a decompressor that still runs, closes and frees everything. */
void cu_source_release(struct cu_source *src);

/*
 * Makes need bytes available at pos, at most CU_SOURCE_ROOM with keep, and
 * leaves up to keep bytes in front of it. Returns how many there are: less
 * than need only at the end of the stream.
 */
size_t cu_source_fill(struct cu_source *src, size_t need, size_t keep);

/* Passes over n bytes of the stream; returns how many there were. */
uint64_t cu_source_skip(struct cu_source *src, uint64_t n);

/* Place of pos in the decompressed stream. */
static inline uint64_t cu_source_offset(const struct cu_source *src)
{
	return src->base + (uint64_t)(src->pos - src->buf);
}

static inline size_t cu_source_left(const struct cu_source *src)
{
	return (size_t)(src->end - src->pos);
}

/* Descriptors it holds; the same from its opening to its release, unless it yields them. */
size_t cu_source_n_files(const struct cu_source *src);

/*
 * A file of its own, without a name, for what does not fit elsewhere: those
 * who put something there append it.
 */
struct cu_spare {
	int fd; /* -1: there is none */
	uint64_t len;
};

/*
 * Goes on without descriptors, of which others have more need. A regular file
 * is opened for each read and closed again; what a child process decompresses
 * is put into spare to its end, and read there. Other inputs, and with no
 * spare file those of child processes, keep what they have.
 */
void cu_source_yield(struct cu_source *src, struct cu_spare *spare);

/* Stored bytes read so far, for progress. */
uint64_t cu_source_read_bytes(const struct cu_source *src);

/* "gzip"; "" for none. */
const char *cu_compression_name(enum cu_compression compression);

/*
 * The stored bytes from place at on, at most room of them: how many, 0 at the
 * end, -1 with errno. An input that is no file is read where it stands. Goes on
 * after signals and changes nothing in src.
 */
ssize_t cu_source_read_stored(const struct cu_source *src, uint8_t *data, size_t room, uint64_t at);

/* The next of them; counts into read_bytes and sets the fault. */
ssize_t cu_source_read_fd(struct cu_source *src, uint8_t *data, size_t room);

#endif
