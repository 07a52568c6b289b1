/* Chunks that wait, in memory and in a file. */
#include "lib/base/error.h"
#include "lib/blame/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { STREAMS = 300, ROUNDS = 200, CHUNK_CAP = 700 };

/* The chunk that a stream gets in a round: told from all others. */
static size_t chunk_of(uint64_t stream, unsigned round, uint8_t data[static CHUNK_CAP])
{
	size_t len =
		(size_t)snprintf((char *)data, CHUNK_CAP, "stream %llu round %u ", (unsigned long long)stream, round);
	size_t more = (size_t)(stream * 7 + round * 13) % (CHUNK_CAP / 2);
	memset(data + len, (int)(stream + round) & 0xff, more);
	return len + more;
}

static unsigned rounds_of(uint64_t stream)
{
	return stream % 10 == 0 ? ROUNDS : 1 + (unsigned)stream % 5;
}

static void check_chunks(struct cu_store *store, uint64_t at, uint64_t stream)
{
	struct cu_store_reader reader = {0};
	uint8_t expected[CHUNK_CAP];
	const uint8_t *data;
	size_t len;
	assert_int_equal(cu_store_open(store, at, &reader), 0);
	for (unsigned round = 0; round < rounds_of(stream); round++) {
		assert_true(cu_store_more(&reader));
		assert_int_equal(cu_store_peek(&reader, &data, &len), 1);
		assert_int_equal(len, chunk_of(stream, round, expected));
		assert_memory_equal(data, expected, len);
		cu_store_skip(&reader);
	}
	assert_false(cu_store_more(&reader));
	assert_int_equal(cu_store_peek(&reader, &data, &len), 0);
	cu_store_close(&reader);
}

static void fill(struct cu_store *store)
{
	uint8_t data[CHUNK_CAP];
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (uint64_t stream = 0; stream < STREAMS; stream++) {
			if (round < rounds_of(stream)) {
				assert_int_equal(cu_store_add(store, stream, data, chunk_of(stream, round, data)), 0);
			}
		}
	}
}

static void test_store_gives_what_it_was_given(void **state)
{
	(void)state;
	enum { BYTES_CAP = 64 << 10 };
	for (int with_file = 0; with_file < 2; with_file++) {
		int fd = with_file ? memfd_create("store", MFD_CLOEXEC) : -1;
		struct cu_store store;
		cu_store_init(&store, with_file ? BYTES_CAP : 100 * BYTES_CAP, fd);
		fill(&store);
		/* The short ones, 512 bytes each at most, may stay. */
		assert_true(with_file ? store.n_bytes <= 2 * BYTES_CAP + STREAMS * 512
		                      : store.n_bytes > 10 * BYTES_CAP);
		assert_int_equal(store.file_end > 0, with_file);
		for (uint64_t stream = 0; stream < STREAMS; stream++) {
			assert_true(cu_store_has(&store, stream));
			check_chunks(&store, stream, stream);
			assert_int_equal(cu_store_rename(&store, stream, STREAMS + stream), 0);
			assert_false(cu_store_has(&store, stream));
			check_chunks(&store, STREAMS + stream, stream);
			cu_store_remove(&store, STREAMS + stream);
			assert_false(cu_store_has(&store, STREAMS + stream));
		}
		assert_int_equal(store.n, 0);
		assert_int_equal(store.n_bytes, 0);
		cu_store_release(&store);
		if (fd >= 0) {
			close(fd);
		}
	}
}

static void test_store_read_while_another_grows(void **state)
{
	(void)state;
	enum { ROUND = 100, BYTES_CAP = 4096 };
	int fd = memfd_create("store", MFD_CLOEXEC);
	struct cu_store store;
	struct cu_store_reader reader = {0};
	uint8_t data[CHUNK_CAP], expected[CHUNK_CAP];
	const uint8_t *got;
	size_t len;
	cu_store_init(&store, BYTES_CAP, fd);
	for (unsigned round = 0; round < ROUND; round++) {
		assert_int_equal(cu_store_add(&store, 1, data, chunk_of(1, round, data)), 0);
	}
	assert_int_equal(cu_store_open(&store, 1, &reader), 0);
	for (unsigned round = 0; round < ROUND; round++) {
		assert_int_equal(cu_store_peek(&reader, &got, &len), 1);
		assert_int_equal(len, chunk_of(1, round, expected));
		assert_memory_equal(got, expected, len);
		for (uint64_t stream = 2; stream < 40; stream++) {
			assert_int_equal(cu_store_add(&store, stream, data, chunk_of(stream, round, data)), 0);
		}
		cu_store_skip(&reader);
	}
	cu_store_close(&reader);
	cu_store_release(&store);
	close(fd);
}

static void test_store_has_a_bound_without_a_file(void **state)
{
	(void)state;
	enum { BYTES_CAP = 16384 };
	struct cu_store store;
	uint8_t data[CHUNK_CAP];
	int err = 0;
	cu_store_init(&store, BYTES_CAP, -1);
	for (unsigned round = 0; round < ROUNDS && err == 0; round++) {
		assert_false(store.is_full);
		err = cu_store_add(&store, round % 4, data, chunk_of(1, round, data));
	}
	assert_int_equal(err, CU_ERR_NOMEM);
	assert_true(store.is_full);
	assert_true(store.n_bytes > BYTES_CAP && store.n_bytes < BYTES_CAP + 2 * CHUNK_CAP);
	cu_store_release(&store);
}

static void test_store_says_that_its_file_failed(void **state)
{
	(void)state;
	enum { BYTES_CAP = 4096 };
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC), err = 0;
	struct cu_store store;
	uint8_t data[CHUNK_CAP];
	assert_true(fd >= 0);
	cu_store_init(&store, BYTES_CAP, fd);
	for (unsigned round = 0; round < ROUNDS && err == 0; round++) {
		err = cu_store_add(&store, 1, data, chunk_of(1, round, data));
	}
	assert_int_equal(err, CU_ERR_IO);
	assert_int_equal(store.sys_errno, ENOSPC);
	cu_store_release(&store);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_gives_what_it_was_given),
		cmocka_unit_test(test_store_read_while_another_grows),
		cmocka_unit_test(test_store_has_a_bound_without_a_file),
		cmocka_unit_test(test_store_says_that_its_file_failed),
	};
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
