#include "lib/capture/files.h"

#include "lib/base/grow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED_CAP = 2048 }; /* files that shards name: more than that many were not split by anyone */

static const char comment_start[] = "file ";

void cu_files_init(struct cu_files *files)
{
	*files = (struct cu_files){.seed = cu_hash_seed_random()};
}

void cu_files_release(struct cu_files *files)
{
	free(files->slot);
	for (size_t i = 0; i < files->n; i++) {
		free(files->all[i].path);
	}
	free(files->all);
	*files = (struct cu_files){0};
}

static bool is_taken(const struct cu_files *files, uint16_t number)
{
	return (files->is_number_taken[number / 64] >> number % 64 & 1) != 0;
}

/* Where a file is in the table, or would be; there are slots. */
static uint32_t *find_slot(const struct cu_files *files, const char *path, uint16_t number, bool is_input)
{
	uint64_t hash = cu_hash_bytes(files->seed, path, strlen(path)) ^ ((uint64_t)is_input << 16 | number);
	size_t mask = files->n_slots - 1;
	for (size_t i = (size_t)cu_hash_mix(hash, files->seed.k[0] | 1) & mask;; i = (i + 1) & mask) {
		const struct cu_capture_file *file = files->slot[i] != 0 ? &files->all[files->slot[i] - 1] : NULL;
		if (file == NULL ||
		    (file->given == number && file->is_input == is_input && strcmp(file->path, path) == 0)) {
			return &files->slot[i];
		}
	}
}

/* Room for another file. */
static bool grow(struct cu_files *files)
{
	if (!cu_grow((void **)&files->all, &files->cap, files->n, sizeof(*files->all))) {
		return false;
	}
	if (files->n_slots >= 2 * files->cap) {
		return true;
	}
	uint32_t *slot = calloc(2 * files->cap, sizeof(*slot));
	if (slot == NULL) {
		return false;
	}
	free(files->slot);
	files->slot = slot;
	files->n_slots = 2 * files->cap;
	for (size_t i = 0; i < files->n; i++) {
		const struct cu_capture_file *file = &files->all[i];
		*find_slot(files, file->path, file->given, file->is_input) = (uint32_t)i + 1;
	}
	return true;
}

int cu_files_add(struct cu_files *files, const char *path, uint16_t number, bool is_input)
{
	if (!grow(files)) {
		return CU_ERR_NOMEM;
	}
	uint32_t *slot = find_slot(files, path, number, is_input);
	if (*slot != 0) {
		return (int)*slot - 1;
	}
	if (files->n >= (is_input ? UINT16_MAX : NAMED_CAP)) {
		return CU_ERR_RANGE;
	}
	char *copy = strdup(path);
	if (copy == NULL) {
		return CU_ERR_NOMEM;
	}
	struct cu_capture_file *file = &files->all[files->n];
	*file = (struct cu_capture_file){.path = copy, .number = number, .given = number, .is_input = is_input};
	while (is_taken(files, file->number)) {
		file->number++;
	}
	files->is_number_taken[file->number / 64] |= UINT64_C(1) << file->number % 64;
	*slot = (uint32_t)++files->n;
	return (int)*slot - 1;
}

void cu_files_note(struct cu_files *files, uint16_t file, uint16_t linktype, uint32_t snaplen)
{
	struct cu_capture_file *of = &files->all[file];
	if (!of->has_linktype) {
		of->has_linktype = true;
		of->linktype = linktype;
	}
	of->snaplen = snaplen > of->snaplen ? snaplen : of->snaplen;
}

void cu_file_comment(char *text, const struct cu_capture_file *file)
{
	(void)snprintf(text, CU_FILE_COMMENT_CAP, "%s%u: %s", comment_start, file->number, file->path);
}

const char *cu_file_comment_parse(const char *text, uint16_t *number)
{
	if (strncmp(text, comment_start, sizeof(comment_start) - 1) != 0) {
		return NULL;
	}
	unsigned value = 0;
	const char *p = text + sizeof(comment_start) - 1;
	for (; *p >= '0' && *p <= '9' && value <= UINT16_MAX; p++) {
		value = value * 10 + (unsigned)(*p - '0');
	}
	*number = (uint16_t)value;
	return value <= UINT16_MAX && p[0] == ':' && p[1] == ' ' && p[2] != '\0' ? p + 2 : NULL;
}
