#include "lib/record/stream.h"

#include "lib/base/hash.h"
#include "lib/record/blocks.h"
#include "lib/record/record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	BLOCK_AIM = 256 << 10,        /* a block is written when it holds this much, so that pipelines start early */
	HEAD_CAP = 2 * CU_VARINT_CAP, /* of a record's kind and length */
	PIPE_BYTES = 1 << 20,
};

struct cu_writer {
	struct cu_fault fault;
	struct cu_buf block; /* records of the block begun */
	struct cu_buf head;  /* the header being made */
	uint32_t n_block_records;
	uint64_t n_blocks, n_records;
	bool passes_cut, is_cut;
	struct cu_blocks blocks;
};

const char *cu_record_kind_name(unsigned kind)
{
	static const char *const names[] = {
		[CU_RECORD_CHUNK] = "chunk",
		[CU_RECORD_CONNECTION] = "connection",
		[CU_RECORD_ANALYSIS] = "analysis",
		[CU_RECORD_GAP] = "gap",
		[CU_RECORD_TRANSACTION] = "transaction",
		[CU_RECORD_VERDICT] = "verdict",
		[CU_RECORD_FINDING] = "finding",
		[CU_RECORD_TOTALS] = "totals",
		[CU_RECORD_MARKS] = "marks",
		[CU_RECORD_BEGIN] = "begin",
		[CU_RECORD_SOURCES] = "sources",
	};
	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

int cu_writer_open(struct cu_writer **writer, int fd, const struct cu_writer_config *config)
{
	struct cu_writer *new = calloc(1, sizeof(*new));
	*writer = NULL;
	if (new == NULL) {
		return CU_ERR_NOMEM;
	}
	if (cu_blocks_init(&new->blocks, fd, !config->no_compress) != 0) {
		cu_writer_close(new);
		return CU_ERR_NOMEM;
	}
	new->passes_cut = config->passes_cut;
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
		fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* only speed depends on it */
	}
	*writer = new;
	return 0;
}

static int out_of_memory(struct cu_writer *writer)
{
	return cu_fault_set(&writer->fault, CU_ERR_NOMEM, "%s", cu_error_text(CU_ERR_NOMEM));
}

/* What went wrong with a block becomes the writer's fault. */
static int note(struct cu_writer *writer, int err)
{
	if (err != 0) {
		writer->fault = writer->blocks.fault;
	}
	return err;
}

static void add_metadata(struct cu_buf *buf, enum cu_metadata_tag tag, const uint64_t *numbers, size_t n_numbers,
                         const char *text)
{
	uint8_t head[2 * CU_VARINT_CAP];
	size_t head_len = 0, text_len = strlen(text);
	for (size_t i = 0; i < n_numbers; i++) {
		head_len += cu_put_varint(head + head_len, numbers[i]);
	}
	cu_buf_add_varint(buf, tag);
	cu_buf_add_varint(buf, head_len + text_len);
	cu_buf_add(buf, head, head_len);
	cu_buf_add(buf, text, text_len);
}

static void add_files(struct cu_buf *buf, const struct cu_stream_file *files, size_t n_files)
{
	for (size_t i = 0; i < n_files; i++) {
		const struct cu_stream_file *file = &files[i];
		add_metadata(buf, CU_META_FILE, (const uint64_t[]){file->linktype, file->snaplen}, 2, file->path);
	}
}

int cu_writer_header(struct cu_writer *writer, const struct cu_stream_header *header)
{
	if (writer->fault.code != CU_OK) {
		return writer->fault.code;
	}
	struct cu_buf *buf = &writer->head;
	cu_buf_clear(buf);
	static const uint8_t room[CU_HEADER_LEN] = {0};
	cu_buf_add(buf, room, sizeof(room));
	add_metadata(buf, CU_META_TOOL, NULL, 0, header->tool != NULL ? header->tool : "");
	add_files(buf, header->files, header->n_files < CU_FILE_CAP ? header->n_files : CU_FILE_CAP);
	for (unsigned kind = 0; kind <= CU_RECORD_BEGIN; kind++) {
		if (cu_record_kind_name(kind) != NULL) {
			add_metadata(buf, CU_META_KIND, (const uint64_t[]){kind}, 1, cu_record_kind_name(kind));
		}
	}
	if (buf->failed) {
		return out_of_memory(writer);
	}
	size_t len = buf->len - CU_HEADER_LEN;
	if (len > CU_METADATA_CAP) {
		return cu_fault_set(&writer->fault, CU_ERR_RANGE,
		                    "the input files' names take %zu bytes: the most is %d", len, CU_METADATA_CAP);
	}
	memcpy(buf->data, CU_STREAM_MAGIC, CU_MAGIC_LEN);
	cu_put_le16(buf->data + 8, CU_VERSION_MAJOR);
	cu_put_le16(buf->data + 10, CU_VERSION_MINOR);
	cu_put_le32(buf->data + 12, (uint32_t)len);
	cu_put_le32(buf->data + 16, cu_crc32c(buf->data + CU_HEADER_LEN, len));
	writer->n_blocks = writer->n_records = 0;
	return note(writer, cu_blocks_write(&writer->blocks, buf->data, buf->len));
}

/* Sends off the block begun. */
static int send_block(struct cu_writer *writer)
{
	if (writer->fault.code != CU_OK) {
		return writer->fault.code;
	}
	if (writer->n_block_records == 0) {
		return 0;
	}
	int err = note(writer, cu_blocks_put(&writer->blocks, &writer->block, writer->n_block_records));
	writer->n_blocks++;
	writer->n_block_records = 0;
	return err;
}

int cu_writer_flush(struct cu_writer *writer)
{
	int err = send_block(writer);
	return err != 0 ? err : note(writer, cu_blocks_wait(&writer->blocks));
}

/* Whether a block holds a record, alone if need be. */
static bool fits(unsigned kind, size_t len)
{
	uint8_t head[HEAD_CAP];
	size_t head_len = cu_put_varint(head, kind);
	return len <= CU_BLOCK_CAP && len <= CU_BLOCK_CAP - head_len - cu_put_varint(head, len);
}

int cu_writer_add(struct cu_writer *writer, unsigned kind, const void *data, size_t len)
{
	if (writer->fault.code != CU_OK) {
		return writer->fault.code;
	}
	if (len > CU_BLOCK_CAP - HEAD_CAP && !fits(kind, len)) {
		return cu_fault_set(&writer->fault, CU_ERR_RANGE, "a record of %zu bytes does not fit a block", len);
	}
	if (writer->n_block_records > 0 && writer->block.len + HEAD_CAP + len > BLOCK_AIM) {
		int err = send_block(writer);
		if (err != 0) {
			return err;
		}
	}
	if (!cu_buf_reserve(&writer->block, HEAD_CAP + len)) {
		return out_of_memory(writer);
	}
	uint8_t *p = writer->block.data + writer->block.len;
	p += cu_put_varint(p, kind);
	p += cu_put_varint(p, len);
	if (len > 0) {
		memcpy(p, data, len);
	}
	writer->block.len = (size_t)(p + len - writer->block.data);
	writer->n_block_records++;
	writer->n_records++;
	return 0;
}

int cu_writer_sources(struct cu_writer *writer, const struct cu_stream_file *files, size_t n_files)
{
	struct cu_buf buf = {0};
	add_files(&buf, files, n_files);
	int err = buf.failed ? out_of_memory(writer) : cu_writer_add(writer, CU_RECORD_SOURCES, buf.data, buf.len);
	cu_buf_release(&buf);
	return err;
}

int cu_writer_finish(struct cu_writer *writer)
{
	int err = send_block(writer);
	if (err != 0) {
		return err;
	}
	if (writer->is_cut) {
		return note(writer, cu_blocks_wait(&writer->blocks));
	}
	uint8_t trailer[CU_TRAILER_LEN];
	cu_put_le64(trailer, writer->n_blocks);
	cu_put_le64(trailer + 8, writer->n_records);
	return note(writer, cu_blocks_write_block(&writer->blocks, CU_BLOCK_TRAILER, trailer, sizeof(trailer)));
}

void cu_writer_cut(struct cu_writer *writer)
{
	writer->is_cut = writer->passes_cut;
}

uint64_t cu_writer_n_bytes(const struct cu_writer *writer)
{
	return writer->blocks.n_bytes;
}

const struct cu_fault *cu_writer_fault(const struct cu_writer *writer)
{
	return &writer->fault;
}

void cu_writer_close(struct cu_writer *writer)
{
	if (writer == NULL) {
		return;
	}
	cu_blocks_release(&writer->blocks);
	cu_buf_release(&writer->block);
	cu_buf_release(&writer->head);
	free(writer);
}
