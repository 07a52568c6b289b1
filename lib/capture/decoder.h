/*
 * Private to lib/capture: decompressors behind a source.
 *
 * head is what the source read to recognise the format: the first stored
 * bytes. read returns the number of decompressed bytes put at data, 0 at the
 * end of the stream, or -1 with the source's fault set.
 */
#ifndef CU_CAPTURE_DECODER_H
#define CU_CAPTURE_DECODER_H

#include "lib/capture/source.h"

struct cu_decoder {
	ssize_t (*read)(struct cu_decoder *decoder, uint8_t *data, size_t room);
	uint64_t (*read_bytes)(const struct cu_decoder *decoder); /* stored bytes used so far */
	void (*free)(struct cu_decoder *decoder);
	size_t n_files; /* descriptors it holds, at most */
};

/* libzstd on a thread of its own once there is more than a little; NULL and the source's fault on an error. */
struct cu_decoder *cu_zstd_new(struct cu_source *src, const uint8_t *head, size_t head_len);

/* The system's decompressor as a child process; NULL and the source's fault on an error. */
struct cu_decoder *cu_child_new(struct cu_source *src, const uint8_t *head, size_t head_len);

/*
 * What the source's decoder still gives, put into the spare file and read
 * there. A fault in giving is one behind what was given. NULL without memory: nothing was read then.
 */
struct cu_decoder *cu_spill_new(struct cu_source *src, struct cu_spare *spare);

#endif
