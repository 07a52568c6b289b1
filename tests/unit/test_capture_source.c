/* lib/capture: compression, pipes, several inputs as one, filters. */
#include "lib/capture/capture.h"

#include "lib/base/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

enum { T0 = 1700000000, TEXT_LEN = 1024 };

static char dir[] = "test_capture_source.XXXXXX";
static char start_dir[4096];

/* Each test begins in an empty directory. */
static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir + strlen(dir) - 6, 7, "XXXXXX");
	return getcwd(start_dir, sizeof(start_dir)) && mkdtemp(dir) ? chdir(dir) : -1;
}

static int teardown(void **state)
{
	(void)state;
	DIR *d = opendir(".");
	const struct dirent *entry;
	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] != '.') {
			unlink(entry->d_name);
		}
	}
	if (d) {
		closedir(d);
	}
	return chdir(start_dir) < 0 ? -1 : rmdir(dir);
}

/* ------------------------------------------------------------- the captures */

static void add32(struct cu_buf *buf, uint32_t v)
{
	uint8_t le[4];
	cu_put_le32(le, v);
	cu_buf_add(buf, le, 4);
}

static void add_header(struct cu_buf *buf, uint32_t linktype)
{
	add32(buf, 0xa1b2c3d4);
	add32(buf, 4U << 16 | 2);
	add32(buf, 0);
	add32(buf, 0);
	add32(buf, 65535);
	add32(buf, linktype);
}

/* An IPv4 packet of 40 bytes to the port, TCP or UDP, behind no link layer. */
static void add_packet(struct cu_buf *buf, uint32_t us, uint8_t protocol, uint8_t port)
{
	static const uint8_t header[] = {0x45, 0, 0, 40, 0, 7, 0, 0, 64, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
	add32(buf, T0 + us / 1000000);
	add32(buf, us % 1000000);
	add32(buf, 40);
	add32(buf, 40);
	uint8_t packet[40] = {0};
	memcpy(packet, header, sizeof(header));
	packet[9] = protocol;
	packet[20] = 4;
	packet[23] = port;
	packet[32] = 0x50;
	cu_buf_add(buf, packet, sizeof(packet));
}

/* n packets from first_us on, step_us apart, to ports 1, 2, ... */
static void add_capture(struct cu_buf *buf, unsigned n, uint32_t first_us, uint32_t step_us)
{
	add_header(buf, 101);
	for (unsigned i = 0; i < n; i++) {
		add_packet(buf, first_us + i * step_us, 6, (uint8_t)(i + 1));
	}
}

static void store(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void store_capture(const char *path, unsigned n, uint32_t first_us, uint32_t step_us)
{
	struct cu_buf buf = {0};
	add_capture(&buf, n, first_us, step_us);
	store(path, buf.data, buf.len);
	cu_buf_release(&buf);
}

static void load(const char *path, struct cu_buf *buf)
{
	uint8_t block[65536];
	size_t n;
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	while ((n = fread(block, 1, sizeof(block), file)) > 0) {
		cu_buf_add(buf, block, n);
	}
	assert_int_equal(fclose(file), 0);
}

static void compress_zstd(struct cu_buf *out, const uint8_t *data, size_t len)
{
	size_t cap = ZSTD_compressBound(len);
	assert_true(cu_buf_reserve(out, cap));
	size_t n = ZSTD_compress(out->data + out->len, cap, data, len, 1);
	assert_false(ZSTD_isError(n));
	out->len += n;
}

/* ------------------------------------------------------------- what came out */

struct seen {
	size_t n;
	size_t n_back;        /* packets earlier than the one before */
	uint64_t digest;      /* of times, frames, files and data */
	char fault[TEXT_LEN]; /* the first */
	enum cu_error code;
	size_t n_faults;
	char format[32];
	uint64_t n_packets, n_filtered, read_bytes, size_bytes;
};

static void take(struct seen *seen, const struct cu_packet *packet, int64_t *last_ns)
{
	seen->n++;
	seen->n_back += packet->time_ns < *last_ns ? 1 : 0;
	*last_ns = packet->time_ns;
	seen->digest = seen->digest * 31 + (uint64_t)packet->time_ns;
	seen->digest = seen->digest * 31 + packet->frame;
	seen->digest = seen->digest * 31 + packet->file;
	for (uint32_t i = 0; i < packet->caplen; i++) {
		seen->digest = seen->digest * 31 + packet->data[i];
	}
}

static int open_and_read(const char *const *paths, size_t n_paths, const char *filter, struct seen *seen)
{
	struct cu_capture_config config = {.paths = paths, .n_paths = n_paths, .filter = filter};
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	memset(seen, 0, sizeof(*seen));
	int rc = cu_capture_open(&capture, &config, &fault);
	if (rc < 0) {
		(void)snprintf(seen->fault, sizeof(seen->fault), "%s", fault.text);
		seen->code = fault.code;
		return rc;
	}
	assert_int_equal(cu_capture_n_inputs(capture), n_paths);
	struct cu_packet packet;
	int64_t last_ns = 0;
	while ((rc = cu_capture_next(capture, &packet)) == 1) {
		take(seen, &packet, &last_ns);
	}
	while (cu_capture_fault(capture, seen->n_faults)) {
		seen->n_faults++;
	}
	if (seen->n_faults > 0) {
		(void)snprintf(seen->fault, sizeof(seen->fault), "%s", cu_capture_fault(capture, 0)->text);
		seen->code = cu_capture_fault(capture, 0)->code;
	}
	for (size_t i = 0; i < n_paths; i++) {
		const struct cu_capture_stats *stats = cu_capture_stats(capture, i);
		seen->n_packets += stats->n_packets;
		seen->n_filtered += stats->n_filtered;
		seen->read_bytes += stats->read_bytes;
		seen->size_bytes += stats->size_bytes;
		(void)snprintf(seen->format, sizeof(seen->format), "%s", stats->format);
	}
	cu_capture_close(capture);
	return rc;
}

static int read_path(const char *path, struct seen *seen)
{
	return open_and_read(&path, 1, NULL, seen);
}

static size_t count_fds(void)
{
	size_t n = 0;
	DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (readdir(d)) {
		n++;
	}
	closedir(d);
	return n;
}

static void expect_no_children(void)
{
	int status;
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static bool have_command(const char *name)
{
	char command[TEXT_LEN];
	(void)snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
	return system(command) == 0;
}

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

/* -------------------------------------------------------------- compression */

static const struct {
	const char *name;
	const char *command;
	const char *format;
} compressions[] = {
	{"gzip", "gzip -c <in >out", "pcap (gzip)"},
	{"xz", "xz -0 -c <in >out", "pcap (xz)"},
	{"lz4", "lz4 -q -c <in >out", "pcap (lz4)"},
	{"bzip2", "bzip2 -c <in >out", "pcap (bzip2)"},
	{"zstd", "zstd -q -c <in >out", "pcap (zstd)"},
	{"zstd", "zstd -q -c --long=31 <in >out", "pcap (zstd)"},
	{"zstd", "zstd -q -c --no-check <in >out", "pcap (zstd)"},
	{"gzip", "(head -c 100000 in | gzip -c; tail -c +100001 in | gzip -c) >out", "pcap (gzip)"},
	{"zstd", "(head -c 100000 in | zstd -q -c; tail -c +100001 in | zstd -q -c) >out", "pcap (zstd)"},
};

static void test_capture_reads_every_compression(void **state)
{
	(void)state;
	struct seen plain;
	struct seen seen;
	store_capture("in", 12000, 0, 10);
	assert_int_equal(read_path("in", &plain), 0);
	assert_int_equal(plain.n, 12000);
	size_t n_fds = count_fds();
	for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
		if (!have_command(compressions[i].name)) {
			print_message("no %s here\n", compressions[i].name);
			continue;
		}
		run(compressions[i].command);
		assert_int_equal(read_path("out", &seen), 0);
		if (seen.n_faults > 0 || seen.digest != plain.digest) {
			fail_msg("%s: %zu packets, %s", compressions[i].command, seen.n, seen.fault);
		}
		assert_string_equal(seen.format, compressions[i].format);
		assert_int_equal(seen.read_bytes, seen.size_bytes);
		expect_no_children();
	}
	assert_int_equal(count_fds(), n_fds);
}

/* A pipe cannot be rewound: what was read to recognise it must reach the decompressor too. */
static void test_capture_reads_every_compression_from_a_pipe(void **state)
{
	(void)state;
	struct seen plain;
	struct seen seen;
	store_capture("in", 12000, 0, 10);
	assert_int_equal(read_path("in", &plain), 0);
	assert_int_equal(mkfifo("pipe", 0600), 0);
	for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
		if (!have_command(compressions[i].name)) {
			continue;
		}
		run(compressions[i].command);
		run("cat out >pipe & :");
		assert_int_equal(read_path("pipe", &seen), 0);
		if (seen.n_faults > 0 || seen.digest != plain.digest) {
			fail_msg("%s: %zu packets, %s", compressions[i].command, seen.n, seen.fault);
		}
		assert_int_equal(seen.size_bytes, 0);
		assert_true(seen.read_bytes > 0);
		expect_no_children();
	}
	run("cat in >pipe & :");
	assert_int_equal(read_path("pipe", &seen), 0);
	assert_true(seen.digest == plain.digest);
}

/* What tells longer record headers need not have come when the file header has. */
static void test_capture_reads_longer_record_headers_as_they_come(void **state)
{
	(void)state;
	struct cu_buf buf = {0};
	struct seen seen;
	add_header(&buf, 101);
	for (uint32_t i = 0; i < 5; i++) {
		uint8_t packet[40] = {0x45};
		add32(&buf, T0);
		add32(&buf, i);
		add32(&buf, sizeof(packet));
		add32(&buf, sizeof(packet));
		add32(&buf, 1); /* an interface, as Red Hat's had it */
		add32(&buf, 0x0800);
		cu_buf_add(&buf, packet, sizeof(packet));
	}
	store("in", buf.data, buf.len);
	cu_buf_release(&buf);
	assert_int_equal(mkfifo("pipe", 0600), 0);
	static const unsigned parts[] = {24, 24 + 20, 24 + 64, 24 + 64 + 20};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char command[128];
		(void)snprintf(command, sizeof(command),
		               "{ head -c %u in; sleep 0.05; tail -c +%u in; } >pipe & :", parts[i], parts[i] + 1);
		run(command);
		assert_int_equal(read_path("pipe", &seen), 0);
		if (seen.n != 5 || seen.n_faults > 0) {
			fail_msg("%s: %zu packets, %s", command, seen.n, seen.fault);
		}
	}
}

static void test_capture_reports_cut_compression(void **state)
{
	(void)state;
	struct seen seen;
	store_capture("in", 12000, 0, 10);
	for (size_t i = 0; i < 5; i++) {
		if (!have_command(compressions[i].name)) {
			continue;
		}
		struct cu_buf whole = {0};
		char expected[TEXT_LEN];
		run(compressions[i].command);
		load("out", &whole);
		store("out", whole.data, whole.len - 20);
		cu_buf_release(&whole);
		(void)snprintf(expected, sizeof(expected), "out: %s: ", compressions[i].name);
		/* a block may be lost with its last byte, and be all there is */
		int rc = read_path("out", &seen);
		assert_true(rc == CU_ERR_TRUNCATED || (rc == 0 && seen.n > 1000 && seen.n_faults == 1));
		assert_int_equal(seen.code, CU_ERR_TRUNCATED);
		if (strncmp(seen.fault, expected, strlen(expected)) != 0) {
			fail_msg("%s", seen.fault);
		}
		expect_no_children();
	}
}

static void test_capture_reports_damaged_compression(void **state)
{
	(void)state;
	struct seen seen;
	store_capture("in", 12000, 0, 10);
	for (size_t i = 0; i < 5; i++) {
		if (!have_command(compressions[i].name)) {
			continue;
		}
		struct cu_buf whole = {0};
		run(compressions[i].command);
		load("out", &whole);
		memset(whole.data + whole.len - 60, 0x55, 50);
		store("out", whole.data, whole.len);
		cu_buf_release(&whole);
		assert_true(read_path("out", &seen) < 0 || seen.n_faults > 0);
		assert_true(seen.code < 0);
		expect_no_children();
	}
}

/* Every prefix of a zstd capture: what was decompressed, and a fault. */
static void test_capture_of_a_cut_zstd_file_ends_with_a_fault(void **state)
{
	(void)state;
	struct cu_buf plain = {0};
	struct cu_buf packed = {0};
	struct seen seen;
	add_capture(&plain, 30, 0, 10);
	compress_zstd(&packed, plain.data, plain.len);
	for (size_t len = 4; len < packed.len; len++) {
		store("out", packed.data, len);
		int rc = read_path("out", &seen);
		assert_true(rc < 0 || seen.n_faults > 0);
		assert_int_equal(seen.code, CU_ERR_TRUNCATED);
	}
	store("out", packed.data, packed.len);
	assert_int_equal(read_path("out", &seen), 0);
	assert_int_equal(seen.n, 30);
	assert_int_equal(seen.n_faults, 0);
	cu_buf_release(&plain);
	cu_buf_release(&packed);
}

/* Enough for the decompressing thread; frames are concatenated, one of them to be skipped. */
static void test_capture_reads_large_zstd_frames(void **state)
{
	(void)state;
	struct cu_buf plain = {0};
	struct cu_buf packed = {0};
	struct seen expected;
	struct seen seen;
	add_capture(&plain, 200000, 0, 10);
	store("in", plain.data, plain.len);
	assert_int_equal(read_path("in", &expected), 0);
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
	cu_buf_add(&packed, skippable, sizeof(skippable));
	size_t third = plain.len / 3;
	compress_zstd(&packed, plain.data, third);
	compress_zstd(&packed, plain.data + third, third);
	cu_buf_add(&packed, skippable, sizeof(skippable));
	compress_zstd(&packed, plain.data + 2 * third, plain.len - 2 * third);
	store("out", packed.data, packed.len);
	assert_int_equal(read_path("out", &seen), 0);
	assert_int_equal(seen.n_faults, 0);
	assert_true(seen.digest == expected.digest);
	assert_int_equal(seen.read_bytes, packed.len);

	store("out", packed.data, packed.len - 1);
	assert_int_equal(read_path("out", &seen), 0);
	assert_string_equal(seen.fault, "out: zstd: ends in the middle of a frame");
	cu_buf_add(&packed, "tail", 4);
	store("out", packed.data, packed.len);
	assert_int_equal(read_path("out", &seen), 0);
	assert_int_equal(seen.n, 200000);
	assert_int_equal(seen.code, CU_ERR_FORMAT);
	cu_buf_release(&plain);
	cu_buf_release(&packed);
}

/* A frame that has this window, and does not say how long it is. */
static void compress_with_window(struct cu_buf *out, const struct cu_buf *plain, int window_log)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	assert_non_null(ctx);
	assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, window_log)));
	cu_buf_clear(out);
	assert_true(cu_buf_reserve(out, ZSTD_compressBound(plain->len)));
	ZSTD_inBuffer in = {.src = plain->data, .size = plain->len - 1};
	ZSTD_outBuffer packed = {.dst = out->data, .size = out->cap};
	assert_false(ZSTD_isError(ZSTD_compressStream2(ctx, &packed, &in, ZSTD_e_continue)));
	in.size = plain->len;
	assert_int_equal(ZSTD_compressStream2(ctx, &packed, &in, ZSTD_e_end), 0);
	out->len = packed.pos;
	ZSTD_freeCCtx(ctx);
}

/* Larger windows than may be are not made; what each decoder should have, always is. */
static void test_capture_bounds_the_window_of_zstd(void **state)
{
	(void)state;
	enum { MIB = 1 << 20 };
	static const struct {
		int window_log;
		uint64_t window_bytes;
		bool is_read;
	} cases[] = {
		{24, 0, true}, {28, 0, true},  {24, 16 * MIB, true}, {24, 8 * MIB + 1, true},
		{23, 1, true}, {24, 1, false}, {24, 8 * MIB, false},
	};
	struct cu_buf plain = {0}, packed = {0};
	add_capture(&plain, 1000, 0, 10);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		compress_with_window(&packed, &plain, cases[i].window_log);
		store("out", packed.data, packed.len);
		const char *path = "out";
		struct cu_capture_config config = {.paths = &path, .n_paths = 1, .window_bytes = cases[i].window_bytes};
		struct cu_capture *capture;
		struct cu_fault fault = {0};
		int rc = cu_capture_open(&capture, &config, &fault);
		assert_int_equal(rc, cases[i].is_read ? 0 : CU_ERR_FORMAT);
		if (rc != 0) {
			assert_string_equal(fault.text,
			                    "out: zstd: a frame's window is larger than the 8 MiB that it may take");
		}
		struct cu_packet packet;
		assert_int_equal(rc == 0 ? cu_capture_next(capture, &packet) : 0, cases[i].is_read);
		cu_capture_close(capture);
	}
	cu_buf_release(&plain);
	cu_buf_release(&packed);
}

static void test_capture_close_in_the_middle_leaves_nothing_behind(void **state)
{
	(void)state;
	store_capture("in", 40000, 0, 10);
	size_t n_fds = count_fds();
	for (size_t i = 0; i < 5; i++) {
		if (!have_command(compressions[i].name)) {
			continue;
		}
		run(compressions[i].command);
		const char *path = "out";
		struct cu_capture_config config = {.paths = &path, .n_paths = 1};
		struct cu_capture *capture;
		struct cu_fault fault = {0};
		struct cu_packet packet;
		assert_int_equal(cu_capture_open(&capture, &config, &fault), 0);
		for (unsigned k = 0; k < 25000; k++) {
			assert_int_equal(cu_capture_next(capture, &packet), 1);
		}
		cu_capture_close(capture);
		expect_no_children();
	}
	assert_int_equal(count_fds(), n_fds);
}

static void test_capture_open_names_the_decompressor_that_is_missing(void **state)
{
	(void)state;
	static const uint8_t xz[] = {0xfd, '7', 'z', 'X', 'Z', 0, 0, 4};
	struct seen seen;
	char *path = getenv("PATH");
	char saved[4096];
	(void)snprintf(saved, sizeof(saved), "%s", path ? path : "");
	size_t n_fds = count_fds();
	store("in", xz, sizeof(xz));
	setenv("PATH", "/nonexistent", 1);
	int rc = read_path("in", &seen);
	setenv("PATH", saved, 1);
	assert_int_equal(rc, CU_ERR_IO);
	assert_string_equal(seen.fault, "in: is compressed with xz, and xz cannot be run: No such file or directory");
	assert_int_equal(count_fds(), n_fds);
	expect_no_children();
}

static void test_capture_open_looks_inside_the_compression(void **state)
{
	(void)state;
	struct cu_buf packed = {0};
	struct seen seen;
	compress_zstd(&packed, (const uint8_t *)"some text", 9);
	store("in", packed.data, packed.len);
	assert_int_equal(read_path("in", &seen), CU_ERR_FORMAT);
	assert_string_equal(seen.fault, "in: is not a capture (begins with 73 6f 6d 65)");
	cu_buf_clear(&packed);
	compress_zstd(&packed, (const uint8_t *)"", 0);
	store("in", packed.data, packed.len);
	assert_int_equal(read_path("in", &seen), CU_ERR_FORMAT);
	assert_string_equal(seen.fault, "in: is empty");
	cu_buf_release(&packed);
}

static void test_capture_reads_standard_input(void **state)
{
	(void)state;
	struct seen expected;
	struct seen seen;
	store_capture("in", 1000, 0, 10);
	assert_int_equal(read_path("in", &expected), 0);
	int saved = dup(STDIN_FILENO);
	int fd = open("in", O_RDONLY);
	assert_true(saved >= 0 && fd >= 0);
	assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	int rc = read_path("-", &seen);
	int rc_again = read_path("-", &(struct seen){0});
	assert_int_equal(lseek(STDIN_FILENO, 0, SEEK_CUR), (off_t)seen.size_bytes); /* still open */
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	close(saved);
	close(fd);
	assert_int_equal(rc, 0);
	assert_true(seen.digest == expected.digest);
	assert_int_equal(rc_again, CU_ERR_FORMAT);
}

/* ---------------------------------------------------------- several as one */

static void test_capture_merges_by_time(void **state)
{
	(void)state;
	static const char *const paths[] = {"a", "b", "c", "d"};
	struct cu_capture_config config = {.paths = paths, .n_paths = 4};
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	store_capture("a", 3, 20, 30); /* 20 50 80 */
	store_capture("b", 3, 10, 10); /* 10 20 30 */
	store_capture("c", 0, 0, 0);
	store_capture("d", 2, 50, 0); /* 50 50 */
	static const struct {
		uint32_t us;
		uint16_t file;
		uint64_t frame;
	} expected[] = {
		{10, 1, 1}, {20, 0, 1}, {20, 1, 2}, {30, 1, 3}, {50, 0, 2}, {50, 3, 1}, {50, 3, 2}, {80, 0, 3},
	};
	assert_int_equal(cu_capture_open(&capture, &config, &fault), 0);
	struct cu_packet packet;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(cu_capture_next(capture, &packet), 1);
		assert_int_equal(packet.time_ns, T0 * INT64_C(1000000000) + expected[i].us * INT64_C(1000));
		assert_int_equal(packet.file, expected[i].file);
		assert_int_equal(packet.frame, expected[i].frame);
		assert_int_equal(packet.data[23], packet.frame);
	}
	assert_int_equal(cu_capture_next(capture, &packet), 0);
	assert_int_equal(cu_capture_next(capture, &packet), 0);
	assert_null(cu_capture_fault(capture, 0));
	cu_capture_close(capture);
}

/* Rotated files, in any order, more than are open at once. */
static void test_capture_merges_many_files_with_few_open(void **state)
{
	(void)state;
	enum { N_FILES = 120, N_PACKETS = 50 };
	static char names[N_FILES][8];
	const char *paths[N_FILES];
	struct seen seen;
	for (unsigned i = 0; i < N_FILES; i++) {
		unsigned place = i * 77 % N_FILES;
		(void)snprintf(names[i], sizeof(names[i]), "f%u", i);
		paths[i] = names[i];
		store_capture(names[i], N_PACKETS, place * 1000, 30); /* some overlap with the next */
	}
	struct cu_capture_config config = {.paths = paths, .n_paths = N_FILES};
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	struct cu_packet packet;
	size_t n_fds = count_fds();
	size_t most = 0;
	size_t n = 0;
	int64_t last_ns = 0;
	assert_int_equal(cu_capture_open(&capture, &config, &fault), 0);
	while (cu_capture_next(capture, &packet) == 1) {
		assert_true(packet.time_ns >= last_ns);
		last_ns = packet.time_ns;
		if (n++ % 100 == 0) {
			size_t now = count_fds();
			most = now > most ? now : most;
		}
	}
	assert_int_equal(n, N_FILES * N_PACKETS);
	assert_true(most - n_fds <= 40);
	cu_capture_close(capture);
	assert_int_equal(count_fds(), n_fds);

	assert_int_equal(open_and_read(paths, N_FILES, "tcp dst port 7", &seen), 0);
	assert_int_equal(seen.n, N_FILES);
	assert_int_equal(seen.n_back, 0);
	assert_int_equal(seen.n_packets, N_FILES * N_PACKETS);
	assert_int_equal(seen.n_filtered, N_FILES * (N_PACKETS - 1));
}

static void test_capture_merges_what_overlaps_with_few_open(void **state)
{
	(void)state;
	enum { N_FILES = 20, N_PACKETS = 10000, FILES_CAP = 6 }; /* each longer than one read */
	static char names[N_FILES][8];
	const char *paths[N_FILES];
	for (unsigned i = 0; i < N_FILES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "f%u", i);
		paths[i] = names[i];
		store_capture(names[i], N_PACKETS, i % 3, 30);
	}
	struct cu_capture_config config = {.paths = paths, .n_paths = N_FILES, .files_cap = FILES_CAP};
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	struct cu_packet packet;
	size_t n_fds = count_fds();
	size_t n = 0;
	int64_t last_ns = 0;
	assert_int_equal(cu_capture_open(&capture, &config, &fault), 0);
	while (cu_capture_next(capture, &packet) == 1) {
		assert_true(packet.time_ns >= last_ns);
		last_ns = packet.time_ns;
		if (n++ % 1000 == 0) {
			assert_true(count_fds() <= n_fds + FILES_CAP);
		}
		if (n == 1000) { /* another file takes the name of the last, which is not read to its end */
			assert_false(cu_capture_is_settled(capture));
			assert_int_equal(rename(names[0], names[N_FILES - 1]), 0);
		}
	}
	assert_true(n >= (N_FILES - 1) * N_PACKETS && n < N_FILES * N_PACKETS);
	assert_string_equal(cu_capture_fault(capture, 0)->text, "f19: cannot be read: Stale file handle");
	assert_null(cu_capture_fault(capture, 1));
	cu_capture_close(capture);
	assert_int_equal(count_fds(), n_fds);
}

static void test_capture_goes_on_when_one_of_several_is_cut(void **state)
{
	(void)state;
	static const char *const paths[] = {"a", "b"};
	struct seen seen;
	store_capture("a", 10, 0, 10);
	store_capture("b", 10, 5, 10);
	assert_int_equal(truncate("a", 24 + 3 * 56 + 20), 0);
	assert_int_equal(open_and_read(paths, 2, NULL, &seen), 0);
	assert_int_equal(seen.n, 13);
	assert_int_equal(seen.n_faults, 1);
	assert_string_equal(seen.fault, "a: ends in the middle of record 4 at byte 192: 20 of 56 bytes");
}

/* ----------------------------------------------------------------- filters */

static void test_capture_filters_and_still_counts_frames(void **state)
{
	(void)state;
	struct cu_buf buf = {0};
	add_header(&buf, 101);
	for (unsigned i = 1; i <= 9; i++) {
		add_packet(&buf, i, i % 3 == 0 ? 6 : 17, (uint8_t)i);
	}
	store("in", buf.data, buf.len);
	cu_buf_release(&buf);
	const char *path = "in";
	struct cu_capture_config config = {.paths = &path, .n_paths = 1, .filter = "tcp"};
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	struct cu_packet packet;
	assert_int_equal(cu_capture_open(&capture, &config, &fault), 0);
	for (unsigned i = 3; i <= 9; i += 3) {
		assert_int_equal(cu_capture_next(capture, &packet), 1);
		assert_int_equal(packet.frame, i);
	}
	assert_int_equal(cu_capture_next(capture, &packet), 0);
	assert_int_equal(cu_capture_stats(capture, 0)->n_packets, 9);
	assert_int_equal(cu_capture_stats(capture, 0)->n_filtered, 6);
	cu_capture_close(capture);
}

static void test_capture_compiles_the_filter_for_each_link_type(void **state)
{
	(void)state;
	static const struct {
		uint32_t linktype;
		const char *filter;
		size_t n;
	} cases[] = {
		{101, "tcp port 2", 1}, {12, "tcp port 2", 1},     {228, "tcp port 2", 1}, {228, "ip6", 0},
		{14, "tcp port 2", 1},  {101, "host 10.0.0.1", 3}, {101, "udp", 0},        {101, "", 3},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_buf buf = {0};
		struct seen seen;
		const char *path = "in";
		add_capture(&buf, 3, 0, 1);
		cu_put_le32(buf.data + 20, cases[i].linktype);
		store("in", buf.data, buf.len);
		cu_buf_release(&buf);
		assert_int_equal(open_and_read(&path, 1, cases[i].filter, &seen), 0);
		if (seen.n != cases[i].n || seen.n_faults > 0) {
			fail_msg("%s on %u: %zu packets; %s", cases[i].filter, cases[i].linktype, seen.n, seen.fault);
		}
	}
}

/* What tcpdump, on Linux, passes of captures of the loopback interfaces of other systems. */
static void test_capture_filters_loopback_of_every_system(void **state)
{
	(void)state;
	static const struct {
		uint16_t linktype;
		uint8_t family[4];
		uint8_t version;
		const char *filter;
		size_t n;
	} cases[] = {
		{0, {2, 0, 0, 0}, 4, "tcp", 1},      {0, {0, 0, 0, 2}, 4, "tcp", 1},      /* of a big-endian system */
		{0, {24, 0, 0, 0}, 6, "tcp", 1},     {0, {0, 0, 0, 24}, 6, "tcp", 1},     /* OpenBSD */
		{0, {28, 0, 0, 0}, 6, "ip6", 1},     {0, {28, 0, 0, 0}, 6, "tcp", 1},     /* FreeBSD */
		{0, {30, 0, 0, 0}, 6, "tcp", 1},     {0, {30, 0, 0, 0}, 6, "not tcp", 0}, /* macOS */
		{0, {0, 0, 0, 30}, 6, "not tcp", 0}, {0, {2, 0, 0, 0}, 4, "udp", 0},
		{108, {0, 0, 0, 24}, 6, "tcp", 1},   {108, {0, 0, 0, 2}, 4, "tcp", 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t packet[4 + 40 + 20] = {0};
		uint8_t *ip = packet + 4;
		memcpy(packet, cases[i].family, 4);
		ip[0] = cases[i].version == 4 ? 0x45 : 0x60;
		ip[3] = 40;
		ip[5] = 20;
		ip[cases[i].version == 4 ? 9 : 6] = 6; /* TCP */
		struct cu_buf buf = {0};
		add_header(&buf, cases[i].linktype);
		add32(&buf, T0);
		add32(&buf, 0);
		add32(&buf, sizeof(packet));
		add32(&buf, sizeof(packet));
		cu_buf_add(&buf, packet, sizeof(packet));
		store("in", buf.data, buf.len);
		cu_buf_release(&buf);
		const char *path = "in";
		struct seen seen;
		assert_int_equal(open_and_read(&path, 1, cases[i].filter, &seen), 0);
		if (seen.n != cases[i].n || seen.n_faults > 0) {
			fail_msg("case %zu: %zu packets; %s", i, seen.n, seen.fault);
		}
	}
}

static void test_capture_open_refuses_a_filter_of_live_captures(void **state)
{
	(void)state;
	static const char *const filters[] = {"inbound", "not inbound", "ifindex 1"};
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		struct cu_buf buf = {0};
		add_capture(&buf, 3, 0, 1);
		cu_put_le32(buf.data + 20, 1);
		store("in", buf.data, buf.len);
		cu_buf_release(&buf);
		const char *path = "in";
		struct seen seen;
		assert_int_equal(open_and_read(&path, 1, filters[i], &seen), CU_ERR_RULES);
		assert_non_null(strstr(seen.fault, "not supported"));
	}
}

static void test_capture_open_explains_a_bad_filter(void **state)
{
	(void)state;
	struct seen seen;
	const char *path = "in";
	store_capture("in", 3, 0, 1);
	assert_int_equal(open_and_read(&path, 1, "tcp prot 80", &seen), CU_ERR_RULES);
	assert_memory_equal(seen.fault, "in: filter 'tcp prot 80': ", 26);
	assert_non_null(strstr(seen.fault, "syntax error"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_capture_reads_every_compression),
		TEST(test_capture_reads_every_compression_from_a_pipe),
		TEST(test_capture_reads_longer_record_headers_as_they_come),
		TEST(test_capture_reports_cut_compression),
		TEST(test_capture_reports_damaged_compression),
		TEST(test_capture_of_a_cut_zstd_file_ends_with_a_fault),
		TEST(test_capture_reads_large_zstd_frames),
		TEST(test_capture_bounds_the_window_of_zstd),
		TEST(test_capture_close_in_the_middle_leaves_nothing_behind),
		TEST(test_capture_open_names_the_decompressor_that_is_missing),
		TEST(test_capture_open_looks_inside_the_compression),
		TEST(test_capture_reads_standard_input),
		TEST(test_capture_merges_by_time),
		TEST(test_capture_merges_many_files_with_few_open),
		TEST(test_capture_merges_what_overlaps_with_few_open),
		TEST(test_capture_goes_on_when_one_of_several_is_cut),
		TEST(test_capture_filters_and_still_counts_frames),
		TEST(test_capture_compiles_the_filter_for_each_link_type),
		TEST(test_capture_filters_loopback_of_every_system),
		TEST(test_capture_open_refuses_a_filter_of_live_captures),
		TEST(test_capture_open_explains_a_bad_filter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
