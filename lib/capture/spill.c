#include "lib/capture/decoder.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct spill {
	struct cu_decoder base;
	struct cu_source *src;
	int fd;
	uint64_t at, end;      /* in the spare file: what is not read yet */
	uint64_t n_stored;     /* bytes that the decoder had used */
	struct cu_fault fault; /* what ended it */
};

static ssize_t spill_read(struct cu_decoder *decoder, uint8_t *data, size_t room)
{
	struct spill *s = (struct spill *)decoder;
	if (s->at == s->end) {
		s->src->fault = s->fault;
		return s->fault.code ? -1 : 0;
	}
	ssize_t n;
	do {
		n = pread(s->fd, data, room < s->end - s->at ? room : (size_t)(s->end - s->at), (off_t)s->at);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		cu_fault_set_errno(&s->src->fault, n < 0 ? errno : EIO, "%s: unpacking it to a temporary file",
		                   s->src->name);
		return -1;
	}
	s->at += (uint64_t)n;
	return n;
}

static uint64_t spill_read_bytes(const struct cu_decoder *decoder)
{
	return ((const struct spill *)decoder)->n_stored;
}

static void spill_free(struct cu_decoder *decoder)
{
	free(decoder);
}

/* Appends to the spare file; false with errno. */
static bool append(struct spill *s, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = pwrite(s->fd, data, len, (off_t)s->end);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return false;
		}
		data += n;
		len -= (size_t)n;
		s->end += (uint64_t)n;
	}
	return true;
}

static void drain(struct spill *s, uint8_t *block)
{
	struct cu_decoder *from = s->src->decoder;
	ssize_t n;
	while ((n = from->read(from, block, CU_READ_BLOCK)) > 0) {
		if (!append(s, block, (size_t)n)) {
			cu_fault_set_errno(&s->fault, errno, "%s: unpacking it to a temporary file", s->src->name);
			break;
		}
	}
	if (n < 0) {
		s->fault = s->src->fault;
		s->src->fault = (struct cu_fault){0};
	}
	s->n_stored = from->read_bytes(from);
}

struct cu_decoder *cu_spill_new(struct cu_source *src, struct cu_spare *spare)
{
	struct spill *s = calloc(1, sizeof(*s));
	uint8_t *block = malloc(CU_READ_BLOCK);
	if (!s || !block) {
		free(s);
		free(block);
		return NULL;
	}
	s->base = (struct cu_decoder){.read = spill_read, .read_bytes = spill_read_bytes, .free = spill_free};
	s->src = src;
	s->fd = spare->fd;
	s->at = spare->len;
	s->end = spare->len;
	drain(s, block);
	spare->len = s->end;
	free(block);
	return &s->base;
}
