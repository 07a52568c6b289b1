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
	cu_index_release(&files->index);
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

static uint32_t tag_of(const struct cu_files *files, const char *path, uint16_t number, bool is_input)
{
	uint64_t hash = cu_hash_bytes(files->seed, path, strlen(path)) ^ ((uint64_t)is_input << 16 | number);
	return cu_index_tag(cu_hash_mix(hash, files->seed.k[0] | 1));
}

int cu_files_add(struct cu_files *files, const char *path, uint16_t number, bool is_input)
{
	uint32_t tag = tag_of(files, path, number, is_input);
	for (uint32_t i = tag, at; (at = cu_index_walk(&files->index, tag, &i)) != 0;) {
		const struct cu_capture_file *file = &files->all[at - 1];
		if (file->given == number && file->is_input == is_input && strcmp(file->path, path) == 0) {
			return (int)at - 1;
		}
	}
	if (files->n >= (is_input ? UINT16_MAX : NAMED_CAP)) {
		return CU_ERR_RANGE;
	}
	char *copy = strdup(path);
	if (copy == NULL || !cu_grow((void **)&files->all, &files->cap, files->n, sizeof(*files->all)) ||
	    !cu_index_add(&files->index, tag, (uint32_t)files->n + 1)) {
		free(copy);
		return CU_ERR_NOMEM;
	}
	struct cu_capture_file *file = &files->all[files->n];
	*file = (struct cu_capture_file){.path = copy, .number = number, .given = number, .is_input = is_input};
	while (is_taken(files, file->number)) {
		file->number++;
	}
	files->is_number_taken[file->number / 64] |= UINT64_C(1) << file->number % 64;
	return (int)files->n++;
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
