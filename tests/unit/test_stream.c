/* The record stream: what goes in comes out, and what is cut or damaged is said. */
#include "lib/base/error.h"
#include "lib/record/format.h"
#include "lib/record/record.h"
#include "lib/record/stream.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_RECORDS = 40 };

/* The whole of a stream, in memory. */
struct bytes {
	uint8_t data[1 << 16];
	size_t len;
};

static int make_file(const void *data, size_t len)
{
	int fd = memfd_create("stream", 0);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void write_stream(struct bytes *bytes, bool no_compress, unsigned kind)
{
	static const struct cu_stream_file files[] = {{"a.pcap", 96, 1}, {"b.pcap", 0, 113}};
	struct cu_stream_header header = {.tool = "culprit test", .files = files, .n_files = 2};
	struct cu_writer_config config = {.no_compress = no_compress};
	struct cu_writer *writer;
	int fd = memfd_create("stream", 0);
	assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
	assert_int_equal(cu_writer_header(writer, &header), 0);
	for (uint8_t i = 0; i < N_RECORDS; i++) {
		uint8_t payload[64];
		memset(payload, i, sizeof(payload));
		assert_int_equal(cu_writer_add(writer, kind, payload, i), 0);
		if (i % 16 == 15) {
			assert_int_equal(cu_writer_flush(writer), 0);
		}
	}
	assert_int_equal(cu_writer_finish(writer), 0);
	bytes->len = (size_t)cu_writer_n_bytes(writer);
	assert_true(bytes->len <= sizeof(bytes->data));
	assert_int_equal(pread(fd, bytes->data, bytes->len, 0), (ssize_t)bytes->len);
	cu_writer_close(writer);
	close(fd);
}

/* Reads all; how many records came whole and right, and how it ended. */
static unsigned read_stream(const uint8_t *data, size_t len, int *end, struct cu_fault *fault)
{
	int fd = make_file(data, len);
	struct cu_reader *reader;
	struct cu_record record;
	unsigned n = 0;
	assert_int_equal(cu_reader_open(&reader, fd, "in"), 0);
	while ((*end = cu_reader_next(reader, &record)) > 0) {
		if (*end == CU_STREAM_RECORD) {
			assert_int_equal(record.len, n % N_RECORDS);
			for (size_t i = 0; i < record.len; i++) {
				assert_int_equal(record.data[i], n % N_RECORDS);
			}
			n++;
		}
	}
	if (fault != NULL) {
		*fault = *cu_reader_fault(reader);
	}
	cu_reader_close(reader);
	close(fd);
	return n;
}

static unsigned flags_of_first_block(const struct bytes *bytes)
{
	return bytes->data[CU_HEADER_LEN + cu_get_le32(bytes->data + 12) + 1];
}

static void test_stream_round_trip(void **state)
{
	(void)state;
	for (int no_compress = 0; no_compress < 2; no_compress++) {
		struct bytes bytes;
		int end;
		write_stream(&bytes, no_compress, CU_RECORD_CHUNK);
		assert_int_equal(flags_of_first_block(&bytes), no_compress ? 0 : CU_BLOCK_ZSTD | CU_BLOCK_COLUMNS);
		assert_int_equal(read_stream(bytes.data, bytes.len, &end, NULL), N_RECORDS);
		assert_int_equal(end, CU_STREAM_END);
	}
}

/* A chunk whose segments are none goes through as it is. */
static void test_stream_of_what_columns_cannot_hold(void **state)
{
	(void)state;
	struct cu_buf chunk = {0};
	cu_chunk_encode(&(struct cu_chunk){.n_segments = 1}, &chunk);
	for (int i = 0; i < 1000; i++) {
		cu_buf_add_u8(&chunk, 0xff);
	}
	const struct cu_stream_header header = {.tool = "test"};
	const struct cu_writer_config config = {.no_compress = false};
	struct cu_writer *writer;
	struct cu_reader *reader;
	struct cu_record record;
	struct bytes bytes;
	int fd = memfd_create("stream", 0);
	assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
	assert_int_equal(cu_writer_header(writer, &header), 0);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_CHUNK, chunk.data, chunk.len), 0);
	assert_int_equal(cu_writer_finish(writer), 0);
	cu_writer_close(writer);
	assert_true(pread(fd, bytes.data, sizeof(bytes.data), 0) > CU_HEADER_LEN);
	assert_int_equal(flags_of_first_block(&bytes), CU_BLOCK_ZSTD);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(cu_reader_open(&reader, fd, "in"), 0);
	assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_HEADER);
	assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_RECORD);
	assert_int_equal(record.len, chunk.len);
	assert_memory_equal(record.data, chunk.data, chunk.len);
	cu_reader_close(reader);
	cu_buf_release(&chunk);
	close(fd);
}

/* Writes records that fill some 16 blocks, or until an error, and finishes. */
static int write_many(struct cu_writer *writer)
{
	struct cu_stream_header header = {.tool = "test"};
	uint8_t payload[1000];
	int err = cu_writer_header(writer, &header);
	for (uint32_t i = 0; i < 4096 && err == 0; i++) {
		memset(payload, (int)(i % 251), sizeof(payload));
		memcpy(payload, &i, sizeof(i));
		err = cu_writer_add(writer, CU_RECORD_CHUNK, payload, sizeof(payload));
	}
	return err != 0 ? err : cu_writer_finish(writer);
}

/* Blocks are compressed by another thread: they stay in order, and errors come back. */
static void test_stream_of_many_blocks(void **state)
{
	const struct cu_writer_config config = {.no_compress = false};
	struct cu_writer *writer;
	struct cu_reader *reader;
	struct cu_record record;
	uint32_t n = 0;
	int item;
	(void)state;
	int fd = memfd_create("stream", 0);
	assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
	assert_int_equal(write_many(writer), 0);
	assert_int_equal(cu_writer_n_bytes(writer), lseek(fd, 0, SEEK_CUR));
	cu_writer_close(writer);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(cu_reader_open(&reader, fd, "in"), 0);
	while ((item = cu_reader_next(reader, &record)) > 0) {
		if (item == CU_STREAM_RECORD) {
			assert_int_equal(record.len, 1000);
			assert_memory_equal(record.data, &n, sizeof(n));
			n++;
		}
	}
	assert_int_equal(item, CU_STREAM_END);
	assert_int_equal(n, 4096);
	cu_reader_close(reader);
	close(fd);
}

static void test_stream_full_disk_is_told(void **state)
{
	const struct cu_writer_config config = {.no_compress = false};
	struct cu_writer *writer;
	(void)state;
	/* Room for the header and a block or two. */
	int fd = memfd_create("stream", MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, 4000), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
	assert_int_equal(write_many(writer), CU_ERR_IO);
	assert_int_equal(cu_writer_fault(writer)->code, CU_ERR_IO);
	assert_int_equal(cu_writer_finish(writer), CU_ERR_IO);
	cu_writer_close(writer);
	close(fd);
}

static void test_stream_header_says_files(void **state)
{
	(void)state;
	struct bytes bytes;
	struct cu_reader *reader;
	struct cu_record record;
	write_stream(&bytes, false, CU_RECORD_CHUNK);
	int fd = make_file(bytes.data, bytes.len);
	assert_int_equal(cu_reader_open(&reader, fd, "in"), 0);
	assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_HEADER);
	const struct cu_stream_header *header = cu_reader_header(reader);
	assert_string_equal(header->tool, "culprit test");
	assert_int_equal(header->n_files, 2);
	assert_string_equal(header->files[0].path, "a.pcap");
	assert_int_equal(header->files[0].snaplen, 96);
	assert_int_equal(header->files[1].linktype, 113);
	cu_reader_close(reader);
	close(fd);
}

/* Damaged sources leave what was known before, which the report may still show. */
static void test_stream_sources_add_files(void **state)
{
	(void)state;
	/* "c", of link type 1; the same, cut; of link type 70000; tag 1, which a header only has; nothing */
	static const uint8_t good[] = {2, 3, 1, 0, 'c'}, cut[] = {2, 3, 1, 0}, odd[] = {2, 5, 0xf0, 0xa2, 4, 0, 'd'};
	static const uint8_t tool[] = {1, 1, 'x'};
	static const struct {
		const uint8_t *data;
		size_t len;
		bool refused;
	} cases[] = {{cut, sizeof(cut), true}, {odd, sizeof(odd), true}, {tool, sizeof(tool), false}, {NULL, 0, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct cu_stream_file file = {.path = "a.pcap"};
		const struct cu_stream_header head = {.tool = "test", .files = &file, .n_files = 1};
		const struct cu_writer_config config = {.no_compress = true};
		struct cu_writer *writer;
		struct cu_reader *reader;
		struct cu_record record;
		int fd = make_file("", 0);
		assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
		assert_int_equal(cu_writer_header(writer, &head), 0);
		assert_int_equal(cu_writer_add(writer, CU_RECORD_SOURCES, good, sizeof(good)), 0);
		assert_int_equal(cu_writer_add(writer, CU_RECORD_SOURCES, cases[i].data, cases[i].len), 0);
		assert_int_equal(cu_writer_finish(writer), 0);
		cu_writer_close(writer);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(cu_reader_open(&reader, fd, "in"), 0);
		assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_HEADER);
		assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_RECORD);
		assert_int_equal(cu_reader_next(reader, &record) < 0, cases[i].refused);
		const struct cu_stream_header *header = cu_reader_header(reader);
		assert_string_equal(header->tool, "test");
		assert_int_equal(header->n_files, 2);
		assert_string_equal(header->files[0].path, "a.pcap");
		assert_string_equal(header->files[1].path, "c");
		cu_reader_close(reader);
		close(fd);
	}
}

/* What is known is not gone through again for each: half a million of them behind as long a header. */
static void test_stream_many_sources_take_no_time(void **state)
{
	(void)state;
	enum { N_FILES = 4000, N = 500000, MOST_S = 4 };
	static char path[1000];
	static struct cu_stream_file files[N_FILES];
	memset(path, 'x', sizeof(path) - 1);
	for (size_t i = 0; i < N_FILES; i++) {
		files[i].path = path;
	}
	const struct cu_stream_header head = {.files = files, .n_files = N_FILES};
	const struct cu_writer_config config = {.no_compress = true};
	struct cu_writer *writer;
	struct cu_reader *reader;
	struct cu_record record;
	int fd = make_file("", 0);
	assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
	assert_int_equal(cu_writer_header(writer, &head), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(cu_writer_add(writer, CU_RECORD_SOURCES, NULL, 0), 0);
	}
	assert_int_equal(cu_writer_finish(writer), 0);
	cu_writer_close(writer);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(cu_reader_open(&reader, fd, "in"), 0);
	clock_t start = clock();
	while (cu_reader_next(reader, &record) > 0 && (clock() - start) / CLOCKS_PER_SEC < MOST_S) {
	}
	assert_int_equal(cu_reader_fault(reader)->code, CU_OK);
	assert_true((clock() - start) / CLOCKS_PER_SEC < MOST_S);
	cu_reader_close(reader);
	close(fd);
}

static void test_stream_every_prefix_gives_what_is_whole(void **state)
{
	(void)state;
	struct bytes bytes;
	write_stream(&bytes, true, CU_RECORD_CHUNK);
	unsigned n_before = 0;
	for (size_t len = 0; len < bytes.len; len++) {
		int end;
		struct cu_fault fault;
		unsigned n = read_stream(bytes.data, len, &end, &fault);
		assert_int_equal(end, CU_ERR_TRUNCATED);
		assert_true(n == 0 || n == 16 || n == 32 || n == N_RECORDS);
		assert_true(n >= n_before);
		assert_true(strlen(fault.text) > 0);
		n_before = n;
	}
	assert_int_equal(n_before, N_RECORDS); /* all that lacks is the trailer's end */
}

static void test_stream_every_flipped_byte_is_found(void **state)
{
	(void)state;
	struct bytes bytes;
	write_stream(&bytes, false, CU_RECORD_CHUNK);
	for (size_t at = 0; at < bytes.len; at++) {
		int end;
		bytes.data[at] ^= 0x55;
		unsigned n = read_stream(bytes.data, bytes.len, &end, NULL);
		/* The minor version and the number of an empty block's records change nothing that is read. */
		assert_true(end < 0 || n == N_RECORDS);
		bytes.data[at] ^= 0x55;
	}
}

/* A stage of a pipeline hands on that what it read was cut; elsewhere what is whole is a stream. */
static void test_stream_passes_on_that_it_was_cut(void **state)
{
	(void)state;
	for (int passes = 0; passes < 2; passes++) {
		const struct cu_stream_header head = {.tool = "test"};
		const struct cu_writer_config config = {.no_compress = true, .passes_cut = passes};
		struct cu_writer *writer;
		struct cu_reader *reader;
		struct cu_record record;
		int fd = make_file("", 0);
		assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
		assert_int_equal(cu_writer_header(writer, &head), 0);
		assert_int_equal(cu_writer_add(writer, CU_RECORD_CHUNK, "x", 1), 0);
		cu_writer_cut(writer);
		assert_int_equal(cu_writer_finish(writer), 0);
		cu_writer_close(writer);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(cu_reader_open(&reader, fd, "in"), 0);
		assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_HEADER);
		assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_RECORD);
		assert_int_equal(cu_reader_next(reader, &record), passes ? CU_ERR_TRUNCATED : CU_STREAM_TRAILER);
		cu_reader_close(reader);
		close(fd);
	}
}

static void test_stream_concatenation_is_the_union(void **state)
{
	(void)state;
	struct bytes bytes;
	int end;
	write_stream(&bytes, false, CU_RECORD_CHUNK);
	assert_true(bytes.len * 2 <= sizeof(bytes.data));
	memcpy(bytes.data + bytes.len, bytes.data, bytes.len);
	assert_int_equal(read_stream(bytes.data, bytes.len * 2, &end, NULL), 2 * N_RECORDS);
	assert_int_equal(end, CU_STREAM_END);
	assert_int_equal(read_stream(bytes.data, bytes.len * 2 - 1, &end, NULL), 2 * N_RECORDS);
	assert_int_equal(end, CU_ERR_TRUNCATED);
}

static void test_stream_unknown_optional_kind_is_handed_out(void **state)
{
	(void)state;
	struct bytes bytes;
	int end;
	write_stream(&bytes, false, 200);
	assert_int_equal(read_stream(bytes.data, bytes.len, &end, NULL), N_RECORDS);
	assert_int_equal(end, CU_STREAM_END);
}

static void test_stream_unknown_mandatory_kind_is_refused(void **state)
{
	(void)state;
	struct bytes bytes;
	struct cu_fault fault;
	int end;
	write_stream(&bytes, false, 40);
	assert_int_equal(read_stream(bytes.data, bytes.len, &end, &fault), 0);
	assert_int_equal(end, CU_ERR_UNSUPPORTED);
	assert_string_equal(fault.text,
	                    "in: record 1: kind 40 ('unnamed', written by culprit test) is not known to this version");
}

static void test_stream_refuses_what_it_is_not(void **state)
{
	static const struct {
		const char *data;
		const char *says;
	} cases[] = {
		{"", "in: is empty"},
		{"#!/bin/sh\n", "in: byte 0 begins no stream of flow records (23 21 2f 62)"},
		{"\x89"
	         "CFL\r\n\x1a\n",
	         "in: ends at byte 8 without a trailer: the program that wrote it did not finish"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_fault fault;
		int end;
		read_stream((const uint8_t *)cases[i].data, strlen(cases[i].data), &end, &fault);
		assert_true(end < 0);
		assert_string_equal(fault.text, cases[i].says);
	}
}

static void test_stream_refuses_a_newer_major_version(void **state)
{
	(void)state;
	struct bytes bytes;
	struct cu_fault fault;
	int end;
	write_stream(&bytes, false, CU_RECORD_CHUNK);
	bytes.data[8] = 2;
	read_stream(bytes.data, bytes.len, &end, &fault);
	assert_int_equal(end, CU_ERR_UNSUPPORTED);
	assert_string_equal(fault.text, "in: format version 2.1: this program reads 1.x");
}

/* A block holds a record that fills it behind its kind and its length, of one byte and three. */
static void test_stream_record_too_large_is_refused(void **state)
{
	(void)state;
	enum { LARGEST = CU_BLOCK_CAP - 1 - 3 };
	struct cu_writer_config config = {0};
	struct cu_writer *writer;
	int fd = memfd_create("stream", 0);
	uint8_t *payload = calloc(1, CU_BLOCK_CAP);
	assert_non_null(payload);
	assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_TRANSACTION, payload, LARGEST), 0);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_TRANSACTION, payload, LARGEST + 1), CU_ERR_RANGE);
	assert_int_equal(cu_writer_finish(writer), CU_ERR_RANGE);
	cu_writer_close(writer);
	free(payload);
	close(fd);
}

static void test_stream_closed_pipe_is_told_apart(void **state)
{
	(void)state;
	struct cu_writer_config config = {0};
	struct cu_stream_header header = {.tool = "t"};
	struct cu_writer *writer;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(cu_writer_open(&writer, ends[1], &config), 0);
	assert_int_equal(cu_writer_header(writer, &header), CU_ERR_CLOSED);
	cu_writer_close(writer);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_round_trip),
		cmocka_unit_test(test_stream_of_what_columns_cannot_hold),
		cmocka_unit_test(test_stream_of_many_blocks),
		cmocka_unit_test(test_stream_full_disk_is_told),
		cmocka_unit_test(test_stream_header_says_files),
		cmocka_unit_test(test_stream_sources_add_files),
		cmocka_unit_test(test_stream_many_sources_take_no_time),
		cmocka_unit_test(test_stream_every_prefix_gives_what_is_whole),
		cmocka_unit_test(test_stream_every_flipped_byte_is_found),
		cmocka_unit_test(test_stream_passes_on_that_it_was_cut),
		cmocka_unit_test(test_stream_concatenation_is_the_union),
		cmocka_unit_test(test_stream_unknown_optional_kind_is_handed_out),
		cmocka_unit_test(test_stream_unknown_mandatory_kind_is_refused),
		cmocka_unit_test(test_stream_refuses_what_it_is_not),
		cmocka_unit_test(test_stream_refuses_a_newer_major_version),
		cmocka_unit_test(test_stream_record_too_large_is_refused),
		cmocka_unit_test(test_stream_closed_pipe_is_told_apart),
	};
	signal(SIGPIPE, SIG_IGN); /* the writer is to see EPIPE */
	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
