#include "lib/record/stream.h"

#include "lib/base/grow.h"
#include "lib/base/hash.h"
#include "lib/record/columns.h"
#include "lib/record/format.h"
#include "lib/record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum {
	INPUT_BYTES = 256 << 10, /* read at a time */
	PIPE_BYTES = 1 << 20,
	KINDS_CAP = 256, /* names of kinds kept from a header */
};

enum state {
	AT_START,  /* before the first header: an empty input is an error */
	AT_STREAM, /* after a trailer: another header, or the end */
	AT_BLOCK,
	AT_RECORD,
	AT_FAULT,
};

/* The texts of a header's metadata, or of a record that adds to it. */
struct texts {
	struct texts *next;
	char text[];
};

struct cu_reader {
	int fd;
	char *name;
	enum state state;
	struct cu_fault fault;
	/* Input read ahead: [at, input.len) of it is not yet used. */
	struct cu_buf input;
	size_t at;
	bool eof;
	uint64_t n_bytes; /* used so far */
	/* The block being handed out. */
	struct cu_buf columns;    /* decompressed */
	struct cu_buf raw;        /* unpacked */
	struct cu_cursor records; /* there, or in the input */
	uint32_t n_left;
	uint64_t n_blocks, n_records; /* of this stream, that were handed out */
	uint64_t block_at;            /* where the block begins */
	ZSTD_DCtx *zstd;
	/* The header. */
	struct texts *texts;
	struct cu_stream_file *files;
	size_t files_cap, metadata_len;
	struct cu_stream_header header;
	const char *kind_name[KINDS_CAP];
};

int cu_reader_open(struct cu_reader **reader, int fd, const char *name)
{
	struct cu_reader *new = calloc(1, sizeof(*new));
	*reader = NULL;
	if (new == NULL) {
		return CU_ERR_NOMEM;
	}
	new->fd = fd;
	new->name = strdup(name);
	new->zstd = ZSTD_createDCtx();
	if (new->name == NULL || new->zstd == NULL) {
		cu_reader_close(new);
		return CU_ERR_NOMEM;
	}
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
		fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* only speed depends on it */
	}
	*reader = new;
	return 0;
}

static void forget_texts(struct cu_reader *reader)
{
	while (reader->texts != NULL) {
		struct texts *next = reader->texts->next;
		free(reader->texts);
		reader->texts = next;
	}
}

void cu_reader_close(struct cu_reader *reader)
{
	if (reader == NULL) {
		return;
	}
	ZSTD_freeDCtx(reader->zstd);
	cu_buf_release(&reader->input);
	cu_buf_release(&reader->columns);
	cu_buf_release(&reader->raw);
	forget_texts(reader);
	free(reader->files);
	free(reader->name);
	free(reader);
}

static int out_of_memory(struct cu_reader *reader)
{
	return cu_fault_set(&reader->fault, CU_ERR_NOMEM, "%s: %s", reader->name, cu_error_text(CU_ERR_NOMEM));
}

/*
 * Makes len bytes of input available and returns them, borrowed until the next
 * call; NULL at the end of the input (with what is left counted in *got) or
 * on a fault. Storage grows with what has really come, whatever len claims.
 */
static const uint8_t *peek(struct cu_reader *reader, size_t len, size_t *got)
{
	struct cu_buf *input = &reader->input;
	while (input->len - reader->at < len && !reader->eof) {
		if (reader->at > 0) {
			memmove(input->data, input->data + reader->at, input->len - reader->at);
			input->len -= reader->at;
			reader->at = 0;
		}
		if (!cu_buf_reserve(input, INPUT_BYTES)) {
			out_of_memory(reader);
			*got = 0;
			return NULL;
		}
		ssize_t n = read(reader->fd, input->data + input->len, input->cap - input->len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			cu_fault_set_errno(&reader->fault, errno, "%s: read at byte %llu", reader->name,
			                   (unsigned long long)reader->n_bytes + input->len);
			*got = 0;
			return NULL;
		}
		reader->eof = n == 0;
		input->len += (size_t)n;
	}
	*got = input->len - reader->at;
	return *got >= len ? input->data + reader->at : NULL;
}

static void use(struct cu_reader *reader, size_t len)
{
	reader->at += len;
	reader->n_bytes += len;
}

static int truncated(struct cu_reader *reader)
{
	return cu_fault_set(&reader->fault, CU_ERR_TRUNCATED,
	                    "%s: ends at byte %llu without a trailer: the program that wrote it did not finish",
	                    reader->name, (unsigned long long)(reader->n_bytes + reader->input.len - reader->at));
}

static int damaged_header(struct cu_reader *reader, const char *what)
{
	return cu_fault_set(&reader->fault, CU_ERR_FORMAT, "%s: stream header at byte %llu: %s", reader->name,
	                    (unsigned long long)reader->n_bytes, what);
}

/* Keeps what an entry says, with its text at text, where there is room for it and a zero. */
static bool take_entry(struct cu_reader *reader, uint64_t tag, struct cu_cursor entry, char *text)
{
	uint64_t numbers[2] = {0, 0};
	unsigned n_numbers = tag == CU_META_FILE ? 2 : tag == CU_META_KIND ? 1 : 0;
	for (unsigned i = 0; i < n_numbers; i++) {
		numbers[i] = cu_cursor_varint(&entry);
	}
	if (entry.failed || numbers[0] > UINT16_MAX || numbers[1] > UINT32_MAX) {
		return false;
	}
	size_t len = cu_cursor_left(&entry);
	memcpy(text, entry.pos, len);
	text[len] = '\0';
	struct cu_stream_header *header = &reader->header;
	if (tag == CU_META_TOOL) {
		header->tool = text;
	} else if (tag == CU_META_KIND && numbers[0] < KINDS_CAP) {
		reader->kind_name[numbers[0]] = text;
	} else if (tag == CU_META_FILE) {
		if (header->n_files == CU_FILE_CAP) {
			return false;
		}
		if (!cu_grow((void **)&reader->files, &reader->files_cap, header->n_files, sizeof(reader->files[0]))) {
			out_of_memory(reader);
			return false;
		}
		reader->files[header->n_files++] = (struct cu_stream_file){
			.path = text, .linktype = (uint16_t)numbers[0], .snaplen = (uint32_t)numbers[1]};
		header->files = reader->files;
	}
	return true;
}

/* Keeps what metadata says, a header's or further files; what was said before stays as it is. */
static bool take_metadata(struct cu_reader *reader, const uint8_t *data, size_t len, bool is_header)
{
	/* An entry has two bytes or more before its text, and the text a zero behind it. */
	struct texts *texts = malloc(sizeof(*texts) + len);
	if (texts == NULL) {
		out_of_memory(reader);
		return false;
	}
	size_t n_files = reader->header.n_files, used = 0;
	struct cu_cursor cur = cu_cursor_make(data, len);
	bool good = true;
	while (good && cu_cursor_left(&cur) > 0) {
		uint64_t tag = cu_cursor_varint(&cur);
		uint64_t entry_len = cu_cursor_varint(&cur);
		const uint8_t *entry = entry_len <= len ? cu_cursor_bytes(&cur, (size_t)entry_len) : NULL;
		good = entry != NULL;
		if (good && (is_header || tag == CU_META_FILE)) {
			good = take_entry(reader, tag, cu_cursor_make(entry, (size_t)entry_len), texts->text + used);
			used += (size_t)entry_len + 1;
		}
	}
	if (is_header || reader->header.n_files > n_files) {
		texts->next = reader->texts;
		reader->texts = texts;
	} else {
		free(texts); /* nothing points there */
	}
	return good;
}

static int read_header(struct cu_reader *reader)
{
	size_t got;
	const uint8_t *p = peek(reader, CU_HEADER_LEN, &got);
	if (p == NULL) {
		if (reader->fault.code != CU_OK) {
			return reader->fault.code;
		}
		if (got == 0 && reader->state == AT_STREAM) {
			return 0;
		}
		if (got == 0) {
			return cu_fault_set(&reader->fault, CU_ERR_TRUNCATED, "%s: is empty", reader->name);
		}
		const uint8_t *short_start = reader->input.data + reader->at;
		size_t compare = got < CU_MAGIC_LEN ? got : CU_MAGIC_LEN;
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): got > 0 bytes are there */
		if (memcmp(short_start, CU_STREAM_MAGIC, compare) == 0) {
			return truncated(reader);
		}
		p = short_start;
	}
	if (memcmp(p, CU_STREAM_MAGIC, got < CU_MAGIC_LEN ? got : CU_MAGIC_LEN) != 0) {
		char begins[16] = "";
		for (size_t i = 0; i < 4 && i < got; i++) {
			static const char hex[] = "0123456789abcdef";
			memcpy(begins + 3 * i,
			       (char[]){hex[p[i] >> 4], hex[p[i] & 15], i + 1 < 4 && i + 1 < got ? ' ' : '\0', '\0'},
			       4);
		}
		return cu_fault_set(&reader->fault, CU_ERR_FORMAT,
		                    "%s: byte %llu begins no stream of flow records (%s)", reader->name,
		                    (unsigned long long)reader->n_bytes, begins);
	}
	unsigned major = cu_get_le16(p + 8), minor = cu_get_le16(p + 10);
	uint32_t len = cu_get_le32(p + 12), checksum = cu_get_le32(p + 16);
	if (major != CU_VERSION_MAJOR) {
		return cu_fault_set(&reader->fault, CU_ERR_UNSUPPORTED,
		                    "%s: format version %u.%u: this program reads %d.x", reader->name, major, minor,
		                    CU_VERSION_MAJOR);
	}
	if (len > CU_METADATA_CAP) {
		return damaged_header(reader, "its metadata's length is above the maximum");
	}
	use(reader, CU_HEADER_LEN);
	p = peek(reader, len, &got);
	if (p == NULL) {
		return reader->fault.code != CU_OK ? reader->fault.code : truncated(reader);
	}
	if (cu_crc32c(p, len) != checksum) {
		return damaged_header(reader, "its checksum does not match");
	}
	forget_texts(reader);
	reader->header = (struct cu_stream_header){.tool = "", .files = reader->files};
	memset(reader->kind_name, 0, sizeof(reader->kind_name));
	reader->metadata_len = len;
	if (!take_metadata(reader, p, len, true)) {
		return reader->fault.code != CU_OK ? reader->fault.code
		                                   : damaged_header(reader, "its metadata is damaged");
	}
	use(reader, len);
	reader->n_blocks = reader->n_records = 0;
	reader->state = AT_BLOCK;
	return CU_STREAM_HEADER;
}

static int damaged_block(struct cu_reader *reader, const char *what)
{
	return cu_fault_set(&reader->fault, CU_ERR_FORMAT, "%s: block %llu at byte %llu: %s", reader->name,
	                    (unsigned long long)reader->n_blocks + 1, (unsigned long long)reader->block_at, what);
}

/* What is in a block's zstd frame, at most cap bytes of it. 0 or the fault. */
static int decompress(struct cu_reader *reader, const uint8_t *stored, uint32_t stored_len, struct cu_buf *to,
                      size_t cap)
{
	cu_buf_clear(to);
	if (!cu_buf_reserve(to, cap)) {
		return out_of_memory(reader);
	}
	to->len = ZSTD_decompressDCtx(reader->zstd, to->data, cap, stored, stored_len);
	if (ZSTD_isError(to->len)) {
		to->len = 0;
		return damaged_block(reader, "does not decompress to its length");
	}
	return 0;
}

static int join_columns(struct cu_reader *reader, uint32_t raw_len)
{
	int err = cu_columns_join(&reader->columns, &reader->raw, raw_len);
	if (err == CU_ERR_NOMEM) {
		return out_of_memory(reader);
	}
	return err == 0 ? 0 : damaged_block(reader, "its columns are not those of records");
}

/* Points the records at what a block stores, unpacked if need be. Nothing is read before the last of them was used. */
static int open_records(struct cu_reader *reader, const uint8_t *stored, uint32_t stored_len, uint32_t raw_len,
                        unsigned flags)
{
	if (flags == 0) {
		reader->records = cu_cursor_make(stored, raw_len);
		return stored_len == raw_len ? 0 : damaged_block(reader, "stored and raw length differ");
	}
	int err;
	if (flags & CU_BLOCK_COLUMNS) {
		err = decompress(reader, stored, stored_len, &reader->columns, cu_columns_cap(raw_len));
		err = err != 0 ? err : join_columns(reader, raw_len);
	} else {
		err = decompress(reader, stored, stored_len, &reader->raw, raw_len);
		if (err == 0 && reader->raw.len != raw_len) {
			err = damaged_block(reader, "does not decompress to its length");
		}
	}
	reader->records = cu_cursor_make(reader->raw.data, raw_len);
	return err;
}

static int read_trailer(struct cu_reader *reader, const uint8_t *stored, uint32_t len)
{
	if (len != CU_TRAILER_LEN) {
		return damaged_block(reader, "is no trailer of this version");
	}
	if (cu_get_le64(stored) != reader->n_blocks || cu_get_le64(stored + 8) != reader->n_records) {
		return damaged_block(reader, "the trailer counts other blocks or records than were read");
	}
	use(reader, len);
	reader->state = AT_STREAM;
	return CU_STREAM_TRAILER;
}

/* The next block: CU_STREAM_RECORD when it has records, CU_STREAM_TRAILER, or an error. */
static int read_block(struct cu_reader *reader)
{
	size_t got;
	const uint8_t *p = peek(reader, CU_BLOCK_HEADER_LEN, &got);
	if (p == NULL) {
		return reader->fault.code != CU_OK ? reader->fault.code : truncated(reader);
	}
	uint8_t type = p[0], flags = p[1];
	uint16_t reserved = cu_get_le16(p + 2);
	uint32_t n_records = cu_get_le32(p + 4), raw_len = cu_get_le32(p + 8), stored_len = cu_get_le32(p + 12),
		 checksum = cu_get_le32(p + 16);
	reader->block_at = reader->n_bytes;
	bool knows_flags = flags == 0 || flags == CU_BLOCK_ZSTD || flags == (CU_BLOCK_ZSTD | CU_BLOCK_COLUMNS);
	if ((type != CU_BLOCK_RECORDS && type != CU_BLOCK_TRAILER) || !knows_flags || reserved != 0) {
		return damaged_block(reader, "its header is none of this version");
	}
	if (raw_len > CU_BLOCK_CAP || stored_len > CU_BLOCK_CAP) {
		return damaged_block(reader, "its length is above the maximum of 1048576");
	}
	use(reader, CU_BLOCK_HEADER_LEN);
	p = peek(reader, stored_len, &got);
	if (p == NULL) {
		return reader->fault.code != CU_OK ? reader->fault.code : truncated(reader);
	}
	if (cu_crc32c(p, stored_len) != checksum) {
		return damaged_block(reader, "its checksum does not match");
	}
	if (type == CU_BLOCK_TRAILER) {
		return read_trailer(reader, p, stored_len);
	}
	int err = open_records(reader, p, stored_len, raw_len, flags);
	if (err != 0) {
		return err;
	}
	use(reader, stored_len);
	reader->n_left = n_records;
	reader->state = AT_RECORD;
	return CU_STREAM_RECORD;
}

static int refuse_kind(struct cu_reader *reader, unsigned kind)
{
	const char *name = kind < KINDS_CAP && reader->kind_name[kind] != NULL ? reader->kind_name[kind] : "unnamed";
	return cu_fault_set(&reader->fault, CU_ERR_UNSUPPORTED,
	                    "%s: record %llu: kind %u ('%.60s', written by %.60s) is not known to this version",
	                    reader->name, (unsigned long long)reader->n_records + 1, kind, name, reader->header.tool);
}

/* The header's metadata grows by what the record holds. */
static int add_sources(struct cu_reader *reader, const struct cu_record *record)
{
	bool fits = record->len <= CU_METADATA_CAP - reader->metadata_len;
	reader->metadata_len += fits ? record->len : 0;
	if (fits && take_metadata(reader, record->data, record->len, false)) {
		return CU_STREAM_RECORD;
	}
	return reader->fault.code != CU_OK ? reader->fault.code : cu_reader_reject(reader, "names no files");
}

/* 1 and a record of the open block, 0 when it has no more. */
static int next_record(struct cu_reader *reader, struct cu_record *record)
{
	if (reader->n_left == 0) {
		if (cu_cursor_left(&reader->records) > 0) {
			return damaged_block(reader, "has bytes behind its last record");
		}
		reader->n_blocks++;
		reader->state = AT_BLOCK;
		return 0;
	}
	uint64_t kind = cu_cursor_varint(&reader->records);
	uint64_t len = cu_cursor_varint(&reader->records);
	record->data = len <= cu_cursor_left(&reader->records) ? cu_cursor_bytes(&reader->records, (size_t)len) : NULL;
	if (record->data == NULL || kind > UINT32_MAX) {
		return damaged_block(reader, "a record runs over its end");
	}
	record->kind = (unsigned)kind;
	record->len = (size_t)len;
	if (kind < CU_RECORD_OPTIONAL && cu_record_kind_name(record->kind) == NULL) {
		return refuse_kind(reader, record->kind);
	}
	reader->n_left--;
	reader->n_records++;
	return record->kind == CU_RECORD_SOURCES ? add_sources(reader, record) : CU_STREAM_RECORD;
}

int cu_reader_next(struct cu_reader *reader, struct cu_record *record)
{
	int item = 0;
	while (item == 0) {
		switch (reader->state) {
		case AT_START:
		case AT_STREAM:
			item = read_header(reader);
			if (item == 0) {
				return CU_STREAM_END;
			}
			break;
		case AT_BLOCK:
			item = read_block(reader);
			if (item == CU_STREAM_RECORD) {
				item = 0;
			}
			break;
		case AT_RECORD:
			item = next_record(reader, record);
			break;
		case AT_FAULT:
			return reader->fault.code;
		}
	}
	if (item < 0) {
		reader->state = AT_FAULT;
	}
	return item;
}

struct cu_record_place cu_reader_place(const struct cu_reader *reader)
{
	return (struct cu_record_place){.record = reader->n_records, .block_at = reader->block_at};
}

static int reject(struct cu_reader *reader, const struct cu_record_place *place, const char *what)
{
	reader->state = AT_FAULT;
	return cu_fault_set(&reader->fault, CU_ERR_FORMAT, "%s: record %llu in the block at byte %llu: %s",
	                    reader->name, (unsigned long long)place->record, (unsigned long long)place->block_at, what);
}

int cu_reader_reject(struct cu_reader *reader, const char *what)
{
	const struct cu_record_place place = cu_reader_place(reader);
	return reject(reader, &place, what);
}

int cu_reader_reject_at(struct cu_reader *reader, const struct cu_record_place *place, const char *what)
{
	return reader->fault.code != CU_OK ? reader->fault.code : reject(reader, place, what);
}

const struct cu_stream_header *cu_reader_header(const struct cu_reader *reader)
{
	return &reader->header;
}

const struct cu_fault *cu_reader_fault(const struct cu_reader *reader)
{
	return &reader->fault;
}

uint64_t cu_reader_n_bytes(const struct cu_reader *reader)
{
	return reader->n_bytes;
}
