/*
 * The stream of records: written to and read from a file descriptor.
 *
 * A cu_writer packs records into blocks of at most CU_BLOCK_CAP bytes, each
 * with a checksum, and ends with a trailer. A cu_reader takes a stream, or
 * several concatenated, and hands out record after record; it never trusts a
 * length, and says where the input stopped being whole.
 */
#ifndef CU_RECORD_STREAM_H
#define CU_RECORD_STREAM_H

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CU_BLOCK_CAP = 1 << 20, /* bytes of a block's records, before compression */
	CU_FILE_CAP = 4096,     /* input files a header may name */
	CU_VERSION_MAJOR = 1,
	CU_VERSION_MINOR = 1,
};

/* One input of flowify, in the header. */
struct cu_stream_file {
	const char *path;
	uint32_t snaplen;  /* bytes; 0 unknown */
	uint16_t linktype; /* LINKTYPE_ of its first interface */
};

/*
 * What the header says, and records of further files after it. A reader's is
 * borrowed until its next item that is a header or CU_RECORD_SOURCES, or close.
 */
struct cu_stream_header {
	const char *tool; /* "culprit 1.0" */
	const struct cu_stream_file *files;
	size_t n_files;
};

struct cu_writer_config {
	bool no_compress; /* blocks as they are; for pipes */
	bool passes_cut;  /* cu_writer_cut is not to be forgotten; for pipes */
};

struct cu_writer;

/* Does not own fd. *writer is NULL when memory ran out. Writes nothing yet. */
int cu_writer_open(struct cu_writer **writer, int fd, const struct cu_writer_config *config);

/* Writes the header, first; and again to begin a concatenated stream. 0 or an error. */
int cu_writer_header(struct cu_writer *writer, const struct cu_stream_header *header);

/*
 * Adds files to those that the header named, for who joins streams and does
 * not know at the start what will come. Readers add them to their header's.
 */
int cu_writer_sources(struct cu_writer *writer, const struct cu_stream_file *files, size_t n_files);

/*
 * Adds a record of len payload bytes. After an error every later add returns
 * it again. CU_ERR_CLOSED when the other end of a pipe is gone. Blocks are
 * compressed and written by another thread: an error may show a block later.
 */
int cu_writer_add(struct cu_writer *writer, unsigned kind, const void *data, size_t len);

/* Pushes out the block begun, so that a reader downstream sees it. */
int cu_writer_flush(struct cu_writer *writer);

/* Writes the trailer of the stream begun by the last header. */
int cu_writer_finish(struct cu_writer *writer);

/*
 * What is written was read from a stream without a trailer, whose writer died:
 * with passes_cut it has no trailer either, so that who reads it knows.
 */
void cu_writer_cut(struct cu_writer *writer);

/* Of what was written; after finish or flush. */
uint64_t cu_writer_n_bytes(const struct cu_writer *writer);
const struct cu_fault *cu_writer_fault(const struct cu_writer *writer);
/* Frees; writes nothing. */
void cu_writer_close(struct cu_writer *writer);

struct cu_record {
	unsigned kind;       /* enum cu_record_kind, or an unknown optional one */
	const uint8_t *data; /* borrowed until the next call */
	size_t len;
};

enum cu_stream_item {
	CU_STREAM_END = 0,
	CU_STREAM_RECORD = 1,
	CU_STREAM_HEADER = 2,  /* a stream begins: cu_reader_header has what it says */
	CU_STREAM_TRAILER = 3, /* it ended whole */
};

struct cu_reader;

/*
 * Reads from fd (not owned); name is for messages and copied. Reads nothing
 * yet. *reader is NULL when memory ran out.
 */
int cu_reader_open(struct cu_reader **reader, int fd, const char *name);

/*
 * An enum cu_stream_item, with record filled in for CU_STREAM_RECORD; or a
 * negative error: CU_ERR_TRUNCATED when the stream has no trailer,
 * CU_ERR_FORMAT for a bad checksum or length, CU_ERR_UNSUPPORTED for a newer
 * major version or a mandatory record of a kind unknown here (by the name
 * that the header gives it). All records before the fault were handed out.
 */
int cu_reader_next(struct cu_reader *reader, struct cu_record *record);

/*
 * Says that the last record handed out is no good ("not a connection record"):
 * becomes the reader's fault, with the record's place. Returns CU_ERR_FORMAT.
 */
int cu_reader_reject(struct cu_reader *reader, const char *what);

/* The same of an earlier record, unless the reader has a fault already. */
struct cu_record_place {
	uint64_t record;   /* from 1 */
	uint64_t block_at; /* bytes before its block */
};
struct cu_record_place cu_reader_place(const struct cu_reader *reader);
int cu_reader_reject_at(struct cu_reader *reader, const struct cu_record_place *place, const char *what);

const struct cu_stream_header *cu_reader_header(const struct cu_reader *reader);
const struct cu_fault *cu_reader_fault(const struct cu_reader *reader);
uint64_t cu_reader_n_bytes(const struct cu_reader *reader);
void cu_reader_close(struct cu_reader *reader);

#endif
