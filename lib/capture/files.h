/*
 * Private to lib/capture: the files that frames are numbered in.
 *
 * An input is one, unless it is a shard: its packets are of the files that
 * were split, which the comments of its interfaces name.
 */
#ifndef CU_CAPTURE_FILES_H
#define CU_CAPTURE_FILES_H

#include "lib/base/hash.h"
#include "lib/base/index.h"
#include "lib/capture/capture.h"

struct cu_files {
	struct cu_capture_file *all;
	size_t n, cap;
	struct cu_index index; /* of all, by path and number */
	struct cu_hash_seed seed;
	uint64_t is_number_taken[(UINT16_MAX + 1) / 64];
};

void cu_files_init(struct cu_files *files);
void cu_files_release(struct cu_files *files);

/*
 * The place among them of an input, or of a file that a shard names: that of
 * the same path and number, which are one, else a new one. A number that
 * another file has becomes the next that is free. path is copied. CU_ERR_NOMEM
 * without memory, CU_ERR_RANGE when there are UINT16_MAX, or 2048 and it is no input.
 */
int cu_files_add(struct cu_files *files, const char *path, uint16_t number, bool is_input);

static inline uint64_t cu_packet_id(const struct cu_capture_file *file, const struct cu_packet *packet)
{
	return (uint64_t)file->number << CU_PACKET_ID_FILE_SHIFT | packet->frame;
}

/* Takes note of an interface of a file. */
void cu_files_note(struct cu_files *files, uint16_t file, uint16_t linktype, uint32_t snaplen);

/*
 * An interface's comment in a shard, as "file 0: day.pcap": the file that its
 * packets are of. parse: the path, in text, and *number; NULL when it is none.
 */
enum { CU_FILE_COMMENT_CAP = 4096 + 32 };
void cu_file_comment(char *text, const struct cu_capture_file *file);
const char *cu_file_comment_parse(const char *text, uint16_t *number);

#endif
