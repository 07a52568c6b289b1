#include "lib/capture/source.h"

#include "lib/capture/decoder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_LEN = 16, MAGIC_CAP = 10 };

/* How compressed files begin. */
static const struct magic {
	uint8_t len;
	uint8_t bytes[MAGIC_CAP];
	enum cu_compression compression;
} magics[] = {
	{4, {0x28, 0xb5, 0x2f, 0xfd}, CU_COMPRESSION_ZSTD},       /* RFC 8878 section 3.1.1 */
	{3, {0x1f, 0x8b, 0x08}, CU_COMPRESSION_GZIP},             /* RFC 1952 section 2.3.1 */
	{6, {0xfd, '7', 'z', 'X', 'Z', 0x00}, CU_COMPRESSION_XZ}, /* xz-file-format 2.1.1.1 */
	{4, {0x04, 0x22, 0x4d, 0x18}, CU_COMPRESSION_LZ4},        /* lz4 frame format */
	{4, {0x02, 0x21, 0x4c, 0x18}, CU_COMPRESSION_LZ4},        /* its legacy frames */
	{3, {'B', 'Z', 'h'}, CU_COMPRESSION_BZIP2},
};

const char *cu_compression_name(enum cu_compression compression)
{
	static const char *const names[CU_COMPRESSION_N] = {"", "zstd", "gzip", "xz", "lz4", "bzip2"};
	return (unsigned)compression < CU_COMPRESSION_N ? names[compression] : "";
}

static enum cu_compression recognise(const uint8_t *head, size_t len)
{
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		if (len >= magics[i].len && memcmp(head, magics[i].bytes, magics[i].len) == 0) {
			return magics[i].compression;
		}
	}
	/* A skippable frame (RFC 8878 section 3.1.2), which pzstd writes first; lz4 has them too, but not first. */
	if (len >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18) {
		return CU_COMPRESSION_ZSTD;
	}
	return CU_COMPRESSION_NONE;
}

/* Opens a file again that was closed between reads; -1 with errno. */
static int open_visited(const struct cu_source *src)
{
	int fd = open(src->path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0) {
		return -1;
	}
	if (fstat(fd, &st) == 0 && st.st_dev == src->device && st.st_ino == src->inode) {
		return fd;
	}
	close(fd);
	errno = ESTALE; /* another file has its name now */
	return -1;
}

ssize_t cu_source_read_stored(const struct cu_source *src, uint8_t *data, size_t room, uint64_t at)
{
	ssize_t n;
	int fd = src->is_visited ? open_visited(src) : src->fd;
	if (fd < 0) {
		return -1;
	}
	do {
		n = src->is_visited ? pread(fd, data, room, (off_t)at) : read(fd, data, room);
	} while (n < 0 && errno == EINTR);
	if (src->is_visited) {
		int error = errno;
		close(fd);
		errno = error;
	}
	return n;
}

ssize_t cu_source_read_fd(struct cu_source *src, uint8_t *data, size_t room)
{
	ssize_t n = cu_source_read_stored(src, data, room, src->read_bytes);
	if (n < 0) {
		cu_fault_set_errno(&src->fault, errno, "%s: cannot be read", src->name);
		return -1;
	}
	src->read_bytes += (uint64_t)n;
	return n;
}

static int open_fd(struct cu_source *src, const char *path)
{
	if (strcmp(path, "-") == 0) {
		src->fd = STDIN_FILENO;
	} else {
		src->fd = open(path, O_RDONLY | O_CLOEXEC);
		src->owns_fd = src->fd >= 0;
	}
	struct stat st;
	if (src->fd < 0 || fstat(src->fd, &st) < 0) {
		return cu_fault_set_errno(&src->fault, errno, "%s", src->name);
	}
	if (S_ISDIR(st.st_mode)) {
		return cu_fault_set(&src->fault, CU_ERR_FORMAT, "%s: is a directory", src->name);
	}
	if (S_ISREG(st.st_mode)) {
		src->is_regular = true;
		src->size_bytes = (uint64_t)st.st_size;
		src->device = st.st_dev;
		src->inode = st.st_ino;
	} else if (S_ISFIFO(st.st_mode)) {
		(void)fcntl(src->fd, F_SETPIPE_SZ, CU_PIPE_BYTES); /* only speed depends on it */
	}
	src->start = lseek(src->fd, 0, SEEK_CUR);
	src->is_seekable = src->is_regular && src->start >= 0;
	return 0;
}

static int start_decoder(struct cu_source *src)
{
	if (src->compression == CU_COMPRESSION_NONE) {
		return 0;
	}
	size_t head_len = cu_source_left(src);
	const uint8_t *head = src->pos;
	src->decoder = src->compression == CU_COMPRESSION_ZSTD ? cu_zstd_new(src, head, head_len)
	                                                       : cu_child_new(src, head, head_len);
	src->pos = src->buf;
	src->end = src->buf;
	src->is_at_end = false;
	return src->decoder ? 0 : (int)src->fault.code;
}

int cu_source_open(struct cu_source *src, const char *path, const char *name, uint64_t window_bytes)
{
	memset(src, 0, sizeof(*src));
	src->window_bytes = window_bytes;
	src->path = path;
	src->name = name;
	int rc = open_fd(src, path);
	if (rc < 0) {
		return rc;
	}
	src->buf = malloc(CU_SOURCE_ROOM + CU_READ_BLOCK);
	if (!src->buf) {
		return cu_fault_set(&src->fault, CU_ERR_NOMEM, "%s: no memory for its buffer", name);
	}
	src->pos = src->buf;
	src->end = src->buf;
	size_t len = cu_source_fill(src, HEAD_LEN, 0);
	if (src->fault.code) {
		return src->fault.code;
	}
	if (len == 0) {
		return cu_fault_set(&src->fault, CU_ERR_FORMAT, "%s: is empty", name);
	}
	src->compression = recognise(src->pos, len);
	return start_decoder(src);
}

void cu_source_release(struct cu_source *src)
{
	if (src->decoder) {
		src->decoder->free(src->decoder);
		src->decoder = NULL;
	}
	if (src->owns_fd) {
		close(src->fd);
		src->owns_fd = false;
	}
	free(src->buf);
	src->buf = NULL;
	src->pos = NULL;
	src->end = NULL;
	src->is_at_end = true;
}

void cu_source_yield(struct cu_source *src, struct cu_spare *spare)
{
	if (!src->is_seekable || !src->owns_fd) {
		return;
	}
	if (src->decoder && src->compression != CU_COMPRESSION_ZSTD) {
		struct cu_decoder *copy = spare->fd >= 0 ? cu_spill_new(src, spare) : NULL;
		if (!copy) {
			return;
		}
		src->decoder->free(src->decoder);
		src->decoder = copy;
	}
	close(src->fd);
	src->fd = -1;
	src->owns_fd = false;
	src->is_visited = true;
}

static void read_more(struct cu_source *src)
{
	uint8_t *end = src->buf + (src->end - src->buf);
	size_t room = (size_t)(src->buf + CU_SOURCE_ROOM + CU_READ_BLOCK - end);
	size_t block = src->is_visited ? CU_VISIT_BLOCK : CU_READ_BLOCK;
	if (room > block) {
		room = block;
	}
	ssize_t n = src->decoder ? src->decoder->read(src->decoder, end, room) : cu_source_read_fd(src, end, room);
	if (n <= 0) {
		src->is_at_end = true;
		return;
	}
	src->end += n;
}

size_t cu_source_fill(struct cu_source *src, size_t need, size_t keep)
{
	size_t left = cu_source_left(src);
	if (left >= need || src->is_at_end) {
		return left;
	}
	size_t used = (size_t)(src->pos - src->buf);
	if (keep > used) {
		keep = used;
	}
	size_t dropped = used - keep;
	if (dropped > 0) {
		memmove(src->buf, src->buf + dropped, keep + left);
		src->base += dropped;
		src->pos -= dropped;
		src->end -= dropped;
	}
	while (cu_source_left(src) < need && !src->is_at_end) {
		read_more(src);
	}
	return cu_source_left(src);
}

uint64_t cu_source_skip(struct cu_source *src, uint64_t n)
{
	uint64_t skipped = 0;
	while (skipped < n) {
		size_t left = cu_source_fill(src, 1, 0);
		if (left == 0) {
			break;
		}
		if (left > n - skipped) {
			left = (size_t)(n - skipped);
		}
		src->pos += left;
		skipped += left;
	}
	return skipped;
}

uint64_t cu_source_read_bytes(const struct cu_source *src)
{
	return src->decoder ? src->decoder->read_bytes(src->decoder) : src->read_bytes;
}

size_t cu_source_n_files(const struct cu_source *src)
{
	return (src->owns_fd ? 1 : 0) + (src->decoder ? src->decoder->n_files : 0);
}
