/* lib/capture: the formats, what they say of time, and damage. */
#include "lib/base/units.h"
#include "lib/capture/capture.h"

#include "lib/base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINKTYPE_ETHERNET = 1, LINKTYPE_RAW = 101, T0 = 1700000000, RECORD = 16 + 60, PCAP_HEADER = 24 };

static char path[] = "test_capture.XXXXXX";

static int setup(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 || close(fd) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

/* ------------------------------------------------------- building captures */

struct writer {
	struct cu_buf buf;
	bool is_big_endian;
};

static void add16(struct writer *w, unsigned v)
{
	uint8_t le[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
	uint8_t be[2] = {le[1], le[0]};
	cu_buf_add(&w->buf, w->is_big_endian ? be : le, 2);
}

static void add32(struct writer *w, uint32_t v)
{
	add16(w, w->is_big_endian ? v >> 16 : v & 0xffff);
	add16(w, w->is_big_endian ? v & 0xffff : v >> 16);
}

static void add64(struct writer *w, uint64_t v)
{
	add32(w, (uint32_t)(w->is_big_endian ? v >> 32 : v));
	add32(w, (uint32_t)(w->is_big_endian ? v : v >> 32));
}

static void add_zeros(struct writer *w, size_t n)
{
	for (; n > 0; n--) {
		cu_buf_add_u8(&w->buf, 0);
	}
}

/* n bytes of data that tell the packet: each is its number. */
static void add_data(struct writer *w, uint8_t number, size_t n)
{
	for (; n > 0; n--) {
		cu_buf_add_u8(&w->buf, number);
	}
}

static void add_pcap_header(struct writer *w, uint32_t magic, unsigned major, unsigned minor, uint32_t snaplen)
{
	add32(w, magic);
	add16(w, major);
	add16(w, minor);
	add64(w, 0);
	add32(w, snaplen);
	add32(w, LINKTYPE_ETHERNET);
}

static void add_record(struct writer *w, uint32_t sec, uint32_t subsec, uint8_t number, uint32_t caplen, uint32_t len)
{
	add32(w, sec);
	add32(w, subsec);
	add32(w, caplen);
	add32(w, len);
	add_data(w, number, caplen);
}

/* A capture of n packets of 60 bytes, a second apart, numbered from 1. */
static void add_pcap(struct writer *w, unsigned n)
{
	add_pcap_header(w, 0xa1b2c3d4, 2, 4, 65535);
	for (unsigned i = 1; i <= n; i++) {
		add_record(w, T0 + i, i, (uint8_t)i, 60, 60);
	}
}

static size_t begin_block(struct writer *w, uint32_t type)
{
	size_t at = w->buf.len;
	add32(w, type);
	add32(w, 0);
	return at;
}

static void end_block(struct writer *w, size_t at)
{
	add_zeros(w, (0 - w->buf.len) & 3);
	uint32_t total = (uint32_t)(w->buf.len + 4 - at);
	add32(w, total);
	struct writer again = {.is_big_endian = w->is_big_endian};
	add32(&again, total);
	memcpy(w->buf.data + at + 4, again.buf.data, 4);
	cu_buf_release(&again.buf);
}

static void add_section(struct writer *w)
{
	size_t at = begin_block(w, 0x0a0d0d0a);
	add32(w, 0x1a2b3c4d);
	add16(w, 1);
	add16(w, 0);
	add64(w, UINT64_MAX);
	end_block(w, at);
}

static void add_option(struct writer *w, unsigned code, const void *value, size_t len)
{
	add16(w, code);
	add16(w, (unsigned)len);
	cu_buf_add(&w->buf, value, len);
	add_zeros(w, (0 - len) & 3);
}

static void add_interface(struct writer *w, unsigned linktype, uint32_t snaplen, int tsresol, int64_t tsoffset)
{
	size_t at = begin_block(w, 1);
	add16(w, linktype);
	add16(w, 0);
	add32(w, snaplen);
	if (tsresol >= 0) {
		uint8_t value = (uint8_t)tsresol;
		add_option(w, 9, &value, 1);
	}
	if (tsoffset != 0) {
		struct writer value = {.is_big_endian = w->is_big_endian};
		add64(&value, (uint64_t)tsoffset);
		add_option(w, 14, value.buf.data, 8);
		cu_buf_release(&value.buf);
	}
	end_block(w, at);
}

static size_t begin_enhanced(struct writer *w, uint32_t interface, uint64_t units, uint8_t number, uint32_t caplen,
                             uint32_t len)
{
	size_t at = begin_block(w, 6);
	add32(w, interface);
	add32(w, (uint32_t)(units >> 32));
	add32(w, (uint32_t)units);
	add32(w, caplen);
	add32(w, len);
	add_data(w, number, caplen);
	add_zeros(w, (0 - caplen) & 3);
	return at;
}

static void add_enhanced(struct writer *w, uint32_t interface, uint64_t units, uint8_t number, uint32_t caplen)
{
	end_block(w, begin_enhanced(w, interface, units, number, caplen, caplen));
}

static void add_simple(struct writer *w, uint8_t number, uint32_t caplen, uint32_t len)
{
	size_t at = begin_block(w, 3);
	add32(w, len);
	add_data(w, number, caplen);
	end_block(w, at);
}

static void add_old_packet(struct writer *w, unsigned interface, unsigned drops, uint64_t units, uint8_t number,
                           uint32_t caplen)
{
	size_t at = begin_block(w, 2);
	add16(w, interface);
	add16(w, drops);
	add32(w, (uint32_t)(units >> 32));
	add32(w, (uint32_t)units);
	add32(w, caplen);
	add32(w, caplen);
	add_data(w, number, caplen);
	end_block(w, at);
}

static void add_statistics(struct writer *w, uint32_t interface, uint64_t ifdrop, uint64_t osdrop)
{
	size_t at = begin_block(w, 5);
	add32(w, interface);
	add64(w, 0);
	struct writer value = {.is_big_endian = w->is_big_endian};
	add64(&value, ifdrop);
	add64(&value, osdrop);
	add_option(w, 5, value.buf.data, 8);
	add_option(w, 7, value.buf.data + 8, 8);
	add_option(w, 0, "", 0);
	cu_buf_release(&value.buf);
	end_block(w, at);
}

static void add_other_block(struct writer *w, uint32_t type, size_t len)
{
	size_t at = begin_block(w, type);
	add_data(w, 0xee, len);
	end_block(w, at);
}

/* ------------------------------------------------------- reading them back */

static void store(const uint8_t *data, size_t len)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

enum { SEEN_CAP = 400 };

/* What came out of a capture. */
struct seen {
	struct cu_packet packets[SEEN_CAP]; /* data is not good any more */
	uint8_t numbers[SEEN_CAP];          /* first byte of the data; 0 for none */
	size_t n;
	struct cu_fault faults[8];
	size_t n_faults;
	struct cu_capture_stats stats;
};

static void read_all(const char *const *paths, size_t n_paths, struct seen *seen)
{
	struct cu_capture_config config = {.paths = paths, .n_paths = n_paths};
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	memset(seen, 0, sizeof(*seen));
	if (cu_capture_open(&capture, &config, &fault) < 0) {
		fail_msg("%s", fault.text);
	}
	int rc;
	while (seen->n < SEEN_CAP && (rc = cu_capture_next(capture, &seen->packets[seen->n])) == 1) {
		const struct cu_packet *packet = &seen->packets[seen->n];
		seen->numbers[seen->n] = packet->caplen > 0 ? packet->data[0] : 0;
		for (uint32_t i = 0; i < packet->caplen; i++) {
			seen->numbers[seen->n] &= packet->data[i]; /* sanitizers look at each byte */
		}
		seen->n++;
	}
	assert_true(seen->n < SEEN_CAP);
	assert_int_equal(rc, 0);
	assert_int_equal(cu_capture_next(capture, &seen->packets[seen->n]), 0);
	const struct cu_fault *next;
	while (seen->n_faults < 8 && (next = cu_capture_fault(capture, seen->n_faults))) {
		seen->faults[seen->n_faults++] = *next;
	}
	seen->stats = *cu_capture_stats(capture, 0);
	seen->stats.format = strcmp(seen->stats.format, "pcap") == 0     ? "pcap"
	                     : strcmp(seen->stats.format, "pcapng") == 0 ? "pcapng"
	                                                                 : "?";
	cu_capture_close(capture);
}

static void read_bytes(const uint8_t *data, size_t len, struct seen *seen)
{
	store(data, len);
	const char *paths[] = {path};
	read_all(paths, 1, seen);
}

static void read_writer(struct writer *w, struct seen *seen)
{
	assert_false(w->buf.failed);
	read_bytes(w->buf.data, w->buf.len, seen);
	cu_buf_release(&w->buf);
}

static void expect_fault(const struct seen *seen, size_t i, enum cu_error code, const char *text)
{
	char expected[240];
	(void)snprintf(expected, sizeof(expected), "%s: %s", path, text);
	assert_true(i < seen->n_faults);
	assert_string_equal(seen->faults[i].text, expected);
	assert_int_equal(seen->faults[i].code, code);
}

/* -------------------------------------------------------------------- pcap */

static void test_capture_reads_every_variant_of_pcap(void **state)
{
	(void)state;
	static const struct {
		uint32_t magic;
		unsigned major, minor;
		bool is_nano;
		bool has_patched_records;
		bool is_swapped; /* the lengths */
	} cases[] = {
		{0xa1b2c3d4, 2, 4, false, false, false},  {0xa1b23c4d, 2, 4, true, false, false},
		{0xa1b2cd34, 2, 4, false, true, false},   {0xa1b2c3d4, 2, 3, false, false, false},
		{0xa1b2c3d4, 2, 3, false, false, true},   {0xa1b2c3d4, 2, 2, false, false, true},
		{0xa1b2c3d4, 543, 0, false, false, true},
	};
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct writer w = {.is_big_endian = i % 2 == 1};
		uint32_t caplen = cases[i / 2].is_swapped ? 90 : 60;
		add_pcap_header(&w, cases[i / 2].magic, cases[i / 2].major, cases[i / 2].minor, 60);
		for (unsigned k = 1; k <= 3; k++) {
			add32(&w, T0 + k);
			add32(&w, 123456);
			add32(&w, caplen);
			add32(&w, 150 - caplen);
			add_zeros(&w, cases[i / 2].has_patched_records ? 8 : 0);
			add_data(&w, (uint8_t)k, 60);
		}
		struct seen seen;
		read_writer(&w, &seen);
		assert_int_equal(seen.n, 3);
		assert_int_equal(seen.n_faults, 0);
		for (unsigned k = 1; k <= 3; k++) {
			const struct cu_packet *packet = &seen.packets[k - 1];
			int64_t fraction = cases[i / 2].is_nano ? 123456 : 123456000;
			assert_int_equal(packet->time_ns, (T0 + k) * INT64_C(1000000000) + fraction);
			assert_int_equal(packet->frame, k);
			assert_int_equal(packet->caplen, 60);
			assert_int_equal(packet->len, 90);
			assert_int_equal(packet->linktype, LINKTYPE_ETHERNET);
			assert_int_equal(seen.numbers[k - 1], k);
		}
		assert_string_equal(seen.stats.format, "pcap");
		assert_int_equal(seen.stats.snaplen, 60);
		assert_int_equal(seen.stats.n_packets, 3);
		assert_int_equal(seen.stats.read_bytes, seen.stats.size_bytes);
	}
}

static void test_capture_open_explains_what_is_no_capture(void **state)
{
	(void)state;
	static const struct {
		const char *data;
		size_t len;
		enum cu_error code;
		const char *text;
	} cases[] = {
		{"", 0, CU_ERR_FORMAT, "is empty"},
		{"ab", 2, CU_ERR_FORMAT, "is not a capture (has only 2 bytes)"},
		{"#!/bin/sh\n", 10, CU_ERR_FORMAT, "is not a capture (begins with 23 21 2f 62)"},
		{"\xd4\xc3\xb2\xa1\x02\x00", 6, CU_ERR_TRUNCATED,
	         "ends in the middle of the file header: 6 of 24 bytes"},
		{"\xd4\xc3\xb2\xa1\x03\x00\x01\x00xxxxxxxxxxxxxxxx", 24, CU_ERR_UNSUPPORTED,
	         "pcap version 3.1 is not supported"},
		{"\n\r\r\n\x1c\x00\x00\x00garbage garbage!", 24, CU_ERR_FORMAT,
	         "is not a capture (begins as pcapng, but has no byte order)"},
		{"\n\r\r\n\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00", 16, CU_ERR_TRUNCATED,
	         "ends in the middle of the section header: 16 of 28 bytes"},
		{"\n\r\r\n\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x02\x00\x00\x00xxxxxxxx\x1c\x00\x00\x00", 28,
	         CU_ERR_UNSUPPORTED, "pcapng version 2.0 is not supported"},
		{"\x1f\x8b\x08zzz", 6, CU_ERR_TRUNCATED, NULL}, /* gzip's own words */
		{"\x28\xb5\x2f\xfdzzzzzzzzzzz", 15, CU_ERR_FORMAT, NULL},
	};
	const char *paths[] = {path};
	struct cu_capture_config config = {.paths = paths, .n_paths = 1};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_capture *capture = (struct cu_capture *)&config;
		struct cu_fault fault = {0};
		char expected[240];
		store((const uint8_t *)cases[i].data, cases[i].len);
		(void)snprintf(expected, sizeof(expected), "%s: %s", path, cases[i].text ? cases[i].text : "");
		int rc = cu_capture_open(&capture, &config, &fault);
		assert_null(capture);
		assert_int_equal(rc, fault.code);
		if (cases[i].text) {
			assert_string_equal(fault.text, expected);
			assert_int_equal(rc, cases[i].code);
		} else {
			assert_memory_equal(fault.text, expected, strlen(expected));
			assert_true(rc < 0);
		}
	}
}

static void test_capture_open_names_missing_files_and_directories(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		enum cu_error code;
		const char *text;
	} cases[] = {
		{"/", CU_ERR_FORMAT, "/: is a directory"},
		{"/nonexistent/x.pcap", CU_ERR_IO, "/nonexistent/x.pcap: No such file or directory"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_capture_config config = {.paths = &cases[i].path, .n_paths = 1};
		struct cu_capture *capture;
		struct cu_fault fault = {0};
		assert_int_equal(cu_capture_open(&capture, &config, &fault), cases[i].code);
		assert_string_equal(fault.text, cases[i].text);
		assert_null(capture);
	}
}

static void test_capture_without_packets_ends_cleanly(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct writer w = {0};
		struct seen seen;
		if (i == 0) {
			add_pcap(&w, 0);
		} else {
			add_section(&w);
			add_interface(&w, LINKTYPE_RAW, 0, -1, 0);
		}
		read_writer(&w, &seen);
		assert_int_equal(seen.n, 0);
		assert_int_equal(seen.n_faults, 0);
		assert_int_equal(seen.stats.linktype, i == 0 ? LINKTYPE_ETHERNET : LINKTYPE_RAW);
	}
}

/* Every prefix delivers its whole records and says where it was cut. */
static void test_capture_of_a_cut_pcap_delivers_what_is_whole(void **state)
{
	(void)state;
	struct writer w = {0};
	add_pcap(&w, 4);
	for (size_t len = PCAP_HEADER; len <= w.buf.len; len++) {
		struct seen seen;
		read_bytes(w.buf.data, len, &seen);
		size_t n = (len - PCAP_HEADER) / RECORD;
		size_t rest = (len - PCAP_HEADER) % RECORD;
		assert_int_equal(seen.n, n);
		assert_int_equal(seen.n_faults, rest > 0 ? 1 : 0);
		assert_int_equal(seen.stats.stopped, rest > 0 ? CU_ERR_TRUNCATED : CU_OK);
		assert_int_equal(seen.stats.n_damaged, 0);
		if (rest > 0) {
			char text[128];
			(void)snprintf(text, sizeof(text),
			               "ends in the middle of record %zu at byte %zu: %zu of %d bytes", n + 1,
			               PCAP_HEADER + n * RECORD, rest, rest < 16 ? 16 : RECORD);
			expect_fault(&seen, 0, CU_ERR_TRUNCATED, text);
		}
	}
	cu_buf_release(&w.buf);
}

static void test_capture_of_a_cut_pcapng_delivers_what_is_whole(void **state)
{
	(void)state;
	struct writer w = {0};
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
	size_t start = w.buf.len;
	for (unsigned i = 1; i <= 3; i++) {
		add_enhanced(&w, 0, i, (uint8_t)i, 60);
	}
	size_t block = (w.buf.len - start) / 3;
	for (size_t len = start; len <= w.buf.len; len++) {
		struct seen seen;
		read_bytes(w.buf.data, len, &seen);
		size_t rest = (len - start) % block;
		assert_int_equal(seen.n, (len - start) / block);
		assert_int_equal(seen.n_faults, rest > 0 ? 1 : 0);
		assert_int_equal(seen.stats.stopped, rest > 0 ? CU_ERR_TRUNCATED : CU_OK);
		if (rest > 0) {
			assert_int_equal(seen.faults[0].code, CU_ERR_TRUNCATED);
		}
	}
	cu_buf_release(&w.buf);
}

/* ---------------------------------------------------------- damage in pcap */

enum { N_PACKETS = 40 };

static void test_capture_goes_on_behind_damage_in_pcap(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t at;         /* place in the file */
		size_t n_removed;  /* bytes taken away there */
		size_t n_inserted; /* and put there instead */
		uint8_t fill;      /* of this value; 0xff: not a constant one */
		size_t n_lost;     /* packets that cannot come back */
		const char *fault; /* NULL: none has to be noticed */
	} cases[] = {
		{"length in its low byte", PCAP_HEADER + 9 * RECORD + 8, 1, 1, 59, 0, NULL},
		{"length in its high byte", PCAP_HEADER + 9 * RECORD + 11, 1, 1, 0x10, 1,
	         "record 10 at byte 708: length 268435516 is above the maximum of 262144"},
		{"length in its middle", PCAP_HEADER + 9 * RECORD + 9, 1, 1, 0x02, 1,
	         "record 10 at byte 708: length 572 of 60 at 1700000010.000010 s leads to no other record"},
		{"zeros from a header on", PCAP_HEADER + 9 * RECORD, 500, 500, 0, 7,
	         "record 10 at byte 708: nothing but zeros"},
		{"zeros in the data of one", PCAP_HEADER + 9 * RECORD + 20, 30, 30, 0, 0, NULL},
		{"zeros inserted", PCAP_HEADER + 9 * RECORD, 0, 4096, 0, 0, "record 10 at byte 708: nothing but zeros"},
		{"text inserted", PCAP_HEADER + 9 * RECORD, 0, 4096, 'x', 0,
	         "record 10 at byte 708: length 2021161080 is above the maximum of 262144"},
		{"noise over records", PCAP_HEADER + 9 * RECORD + 3, 700, 700, 0xff, 10, ""},
		{"bytes missing in a record", PCAP_HEADER + 9 * RECORD + 40, 10, 0, 0, 0, ""},
		{"bytes missing over records", PCAP_HEADER + 9 * RECORD + 40, 300, 0, 0, 4, ""},
		{"noise in a record", PCAP_HEADER + 9 * RECORD + 40, 0, 333, 0xff, 0, ""},
	};
	struct writer whole = {0};
	add_pcap(&whole, N_PACKETS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_buf damaged = {0};
		cu_buf_add(&damaged, whole.buf.data, cases[i].at);
		uint32_t random = 2463534242;
		for (size_t k = 0; k < cases[i].n_inserted; k++) {
			random = random * 1664525 + 1013904223;
			cu_buf_add_u8(&damaged, cases[i].fill == 0xff ? (uint8_t)(random >> 24) : cases[i].fill);
		}
		size_t rest = cases[i].at + cases[i].n_removed;
		cu_buf_add(&damaged, whole.buf.data + rest, whole.buf.len - rest);
		struct seen seen;
		read_bytes(damaged.data, damaged.len, &seen);
		cu_buf_release(&damaged);
		if (seen.n + cases[i].n_lost < N_PACKETS) {
			fail_msg("%s: only %zu packets; %s", cases[i].name, seen.n, seen.faults[0].text);
		}
		/* those behind the damage are all there, and as they were */
		for (unsigned k = 0; k < 10; k++) {
			const struct cu_packet *packet = &seen.packets[seen.n - 1 - k];
			assert_int_equal(packet->time_ns,
			                 (T0 + N_PACKETS - k) * INT64_C(1000000000) + (N_PACKETS - k) * 1000);
			assert_int_equal(packet->caplen, 60);
			assert_int_equal(seen.numbers[seen.n - 1 - k], N_PACKETS - k);
		}
		if (!cases[i].fault) {
			continue;
		}
		assert_true(seen.stats.n_damaged > 0);
		assert_true(seen.n_faults > 0);
		assert_int_equal(seen.faults[0].code, CU_ERR_FORMAT);
		if (cases[i].fault[0]) {
			expect_fault(&seen, 0, CU_ERR_FORMAT, cases[i].fault);
		}
	}
	cu_buf_release(&whole.buf);
}

static void test_capture_counts_skipped_bytes(void **state)
{
	(void)state;
	struct writer w = {0};
	add_pcap(&w, 20);
	for (unsigned i = 0; i < 100; i++) {
		cu_buf_add(&w.buf, "damaged ", 8);
	}
	for (unsigned i = 21; i <= 25; i++) {
		add_record(&w, T0 + i, i, (uint8_t)i, 60, 60);
	}
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 25);
	assert_int_equal(seen.stats.n_damaged, 1);
	assert_int_equal(seen.stats.skipped_bytes, 800);
	assert_int_equal(seen.n_faults, 1);
	assert_int_equal(seen.stats.stopped, CU_OK);
}

/* A damaged time must not look like years of silence. */
static void test_capture_passes_over_a_single_damaged_time(void **state)
{
	(void)state;
	struct writer w = {0};
	add_pcap_header(&w, 0xa1b2c3d4, 2, 4, 65535);
	for (unsigned i = 1; i <= 40; i++) {
		add_record(&w, T0 + i + (i == 30 ? 0x40000000 : 0), 0, (uint8_t)i, 60, 60);
	}
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 39);
	assert_int_equal(seen.packets[29].frame, 31);
	assert_int_equal(seen.stats.n_packets, 40);
	assert_int_equal(seen.stats.n_damaged, 1);
	expect_fault(&seen, 0, CU_ERR_FORMAT,
	             "record 30 at byte 2228: its time of 2773741854 s is far from its neighbours' 1700000029 s");
}

/*
 * Packets a second apart, some of them years or days off, as a string of their
 * days: 'a' is the first one's, 'z' years later, '0' is 1970. What is alone with
 * its time gets that of the packet before, in either format.
 */
static void test_capture_gives_a_lone_time_that_is_far_off_that_of_the_packet_before(void **state)
{
	(void)state;
	static const struct {
		const char *days;
		const char *expected;
	} cases[] = {
		{"azaaa", "aaaaa"}, /* early in the capture, where pcap says nothing of damage */
		{"a0aaaa", "aaaaaa"},
		{"acaaa", "aaaaa"},
		{"azzaaa", "aaaaaa"}, /* two of them */
		{"azmaaa", "aaaaaa"},
		{"a0zaaaaa", "aaaaaaaa"},
		{"aaaaaaaaaaaaaaaaaaaazzaaa", "aaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"azaaazaaa", "aaaaaaaaa"},
		{"azzzaaa", "azzzaaa"}, /* more are another capture */
		{"zaaaa", "zaaaa"},     /* before the first one is nothing to go by, */
		{"aaaz", "aaaz"},       /* and behind the last */
		{"azaa", "azaa"},
		{"azbbb", "azbbb"}, /* from one day to another, and the next, there may have been silence */
		{"aczzz", "aczzz"},
		{"azazaz", "azazaz"}, /* two clocks in turn */
		{"aabbaabb", "aabbaabb"},
	};
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const char *days = cases[i / 2].days, *expected = cases[i / 2].expected;
		struct writer w = {0};
		size_t n = strlen(days);
		uint64_t times_s[SEEN_CAP], given_s[SEEN_CAP];
		uint64_t n_astray = 0;
		for (size_t k = 0; k < n; k++) {
			const uint64_t day_s = 2 * 86400;
			uint64_t begin_s = days[k] == '0' ? 0 : T0 + (uint64_t)(days[k] - 'a') * day_s;
			times_s[k] = begin_s + (days[k] == 'z' ? 0x40000000 : 0) + k;
			given_s[k] = days[k] == expected[k] ? times_s[k] : given_s[k - 1];
			n_astray += days[k] != expected[k];
		}
		if (i % 2 == 0) {
			add_pcap_header(&w, 0xa1b2c3d4, 2, 4, 65535);
		} else {
			add_section(&w);
			add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
		}
		for (size_t k = 0; k < n; k++) {
			if (i % 2 == 0) {
				add_record(&w, (uint32_t)times_s[k], 7, (uint8_t)(k + 1), 60, 60);
			} else {
				add_enhanced(&w, 0, times_s[k] * 1000000 + 7, (uint8_t)(k + 1), 60);
			}
		}
		struct seen seen;
		read_writer(&w, &seen);
		assert_int_equal(seen.n, n);
		assert_int_equal(seen.n_faults, 0);
		for (size_t k = 0; k < n; k++) {
			if (seen.packets[k].time_ns != (int64_t)given_s[k] * 1000000000 + 7000 ||
			    seen.numbers[k] != k + 1) {
				fail_msg("%s, %s: packet %zu at %lld", i % 2 == 0 ? "pcap" : "pcapng", days, k + 1,
				         (long long)seen.packets[k].time_ns);
			}
		}
		assert_int_equal(seen.stats.astray.n, n_astray);
		assert_true(n_astray == 0 || seen.stats.astray.largest_ns > CU_JUMP_NS);
		assert_true(n_astray == 0 || seen.stats.back.n + seen.stats.ahead.n == 0);
	}
}

/* Interfaces may have clocks of their own; other blocks between packets say nothing of theirs. */
static void test_capture_knows_a_clock_of_another_interface(void **state)
{
	(void)state;
	for (unsigned other = 0; other < 2; other++) {
		struct writer w = {0};
		struct seen seen;
		add_section(&w);
		add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
		add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
		for (unsigned i = 1; i <= 8; i++) {
			uint64_t time_s = i + (i == 3 ? T0 + UINT64_C(1000000) : T0);
			add_enhanced(&w, i == 3 ? other : 0, time_s * 1000000, (uint8_t)i, 60);
			add_statistics(&w, 0, 0, 0);
		}
		read_writer(&w, &seen);
		assert_int_equal(seen.n, 8);
		assert_int_equal(seen.stats.astray.n, 1 - other);
		assert_int_equal(seen.stats.ahead.n, other);
		assert_int_equal(seen.packets[2].time_ns, (T0 + (other ? 1000003 : 2)) * INT64_C(1000000000));
	}
}

/* A damaged length that happens to lead to the start of another record must not swallow those between. */
static void test_capture_finds_records_behind_a_length_that_leads_to_one(void **state)
{
	(void)state;
	struct writer w = {0};
	add_pcap_header(&w, 0xa1b2c3d4, 2, 4, 65535);
	for (unsigned i = 1; i <= 40; i++) {
		add_record(&w, T0 + i, i, (uint8_t)i, 60, 60);
	}
	size_t at = PCAP_HEADER + 29 * RECORD;
	cu_put_le32(w.buf.data + at + 8, 60 + 5 * RECORD);
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 39);
	assert_int_equal(seen.stats.n_damaged, 1);
	assert_int_equal(seen.n_faults, 1);
}

/* Records one inside the other, all of which lead to the same damage: each byte comes twice at most. */
static void test_capture_gives_no_bytes_again_and_again(void **state)
{
	(void)state;
	enum { ROOM = 20000 };
	struct writer w = {0};
	add_pcap(&w, 20);
	size_t end = w.buf.len + ROOM;
	while (end - w.buf.len > 100) {
		uint32_t rest = (uint32_t)(end - w.buf.len) - 16;
		add32(&w, T0 + 20);
		add32(&w, 0);
		add32(&w, rest);
		add32(&w, rest);
		add_record(&w, T0 + 20, 0, 1, 4, 4);
	}
	while (w.buf.len < end + 64) {
		cu_buf_add_u8(&w.buf, 0xff);
	}
	for (unsigned i = 21; i <= 30; i++) {
		add_record(&w, T0 + i, i, (uint8_t)i, 60, 60);
	}
	struct seen seen;
	read_writer(&w, &seen);
	uint64_t n_bytes = 0;
	for (size_t i = 0; i < seen.n; i++) {
		n_bytes += seen.packets[i].caplen;
	}
	assert_true(seen.n >= 30);
	assert_in_range(n_bytes, 1, 2 * ROOM + 30 * 60);
}

static void test_capture_believes_captures_with_strange_ways(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint32_t step_s; /* from record to record */
		uint32_t subsec;
		uint32_t snaplen;
		uint32_t len;
	} cases[] = {
		{"a month between packets", 30 * 86400, 0, 65535, 60},
		{"time runs backwards", UINT32_MAX, 0, 65535, 60},
		{"years backwards", 0xf0000000, 0, 65535, 60},
		{"nanoseconds as microseconds", 1, 999999999, 65535, 60},
		{"snap length of nothing", 1, 0, 0, 60},
		{"snap length too small", 1, 0, 40, 60},
		{"snap length of everything", 1, 0, UINT32_MAX, 60},
		{"length below the captured", 1, 0, 65535, 50},
		{"no length", 1, 0, 65535, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct writer w = {0};
		struct seen seen;
		add_pcap_header(&w, 0xa1b2c3d4, 2, 4, cases[i].snaplen);
		for (unsigned k = 1; k <= 40; k++) {
			add_record(&w, T0 + k * cases[i].step_s, cases[i].subsec, (uint8_t)k, 60, cases[i].len);
		}
		read_writer(&w, &seen);
		if (seen.n != 40 || seen.n_faults != 0) {
			fail_msg("%s: %zu packets, %s", cases[i].name, seen.n, seen.faults[0].text);
		}
		assert_int_equal(seen.packets[39].len, 60);
	}
}

/* Zero times are what some tools write; a record of nothing but zeros is not one. */
static void test_capture_reads_packets_at_the_epoch(void **state)
{
	(void)state;
	struct writer w = {0};
	add_pcap_header(&w, 0xa1b2c3d4, 2, 4, 65535);
	for (unsigned i = 1; i <= 5; i++) {
		add_record(&w, 0, 0, (uint8_t)i, 60, 60);
	}
	add_record(&w, 1, 0, 0, 0, 0); /* an empty packet */
	add_record(&w, 2, 0, 7, 60, 60);
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 7);
	assert_int_equal(seen.n_faults, 0);
}

static void test_capture_reads_the_largest_packets(void **state)
{
	(void)state;
	struct writer w = {0};
	add_pcap_header(&w, 0xa1b2c3d4, 2, 4, CU_PACKET_CAP);
	for (unsigned i = 1; i <= 8; i++) {
		add_record(&w, T0, 0, (uint8_t)i, CU_PACKET_CAP, CU_PACKET_CAP);
	}
	add_record(&w, T0, 0, 9, CU_PACKET_CAP + 1, CU_PACKET_CAP + 1);
	for (unsigned i = 10; i <= 12; i++) {
		add_record(&w, T0, 0, (uint8_t)i, 60, 60);
	}
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 11);
	assert_int_equal(seen.numbers[7], 8);
	assert_int_equal(seen.numbers[8], 10);
	expect_fault(&seen, 0, CU_ERR_FORMAT, "record 9 at byte 2097304: length 262145 is above the maximum of 262144");
	assert_int_equal(seen.stats.skipped_bytes, 16 + CU_PACKET_CAP + 1);
}

/* ------------------------------------------------------------------ pcapng */

static void test_capture_reads_packets_as_large_as_the_snap_length_says(void **state)
{
	(void)state;
	enum { LARGE = 600000 };
	for (int i = 0; i < 3; i++) {
		struct writer w = {0};
		if (i < 2) {
			add_pcap_header(&w, 0xa1b2c3d4, 2, 4, i == 0 ? LARGE : UINT32_MAX);
			add_record(&w, T0, 0, 1, LARGE, LARGE);
			add_record(&w, T0, 1, 2, 60, 60);
			add_record(&w, T0, 2, 3, LARGE, LARGE);
		} else {
			add_section(&w);
			add_interface(&w, LINKTYPE_ETHERNET, LARGE, -1, 0);
			add_enhanced(&w, 0, 1, 1, LARGE);
			add_enhanced(&w, 0, 2, 2, 60);
			add_enhanced(&w, 0, 3, 3, LARGE);
		}
		struct seen seen;
		read_writer(&w, &seen);
		assert_int_equal(seen.n, 3);
		assert_int_equal(seen.n_faults, 0);
		assert_int_equal(seen.packets[2].caplen, LARGE);
	}
}

/* One file's packets put behind those of another, whose header stays. */
static void test_capture_reads_packets_above_the_snap_length_of_the_first_file(void **state)
{
	(void)state;
	enum { N = 40 };
	struct writer w = {0};
	add_pcap_header(&w, 0xa1b2c3d4, 2, 4, 100);
	for (unsigned i = 0; i < N; i++) {
		unsigned len = i < N / 2 ? 60 : i % 3 == 0 ? 54 : 1514;
		add_record(&w, T0 + i, i, (uint8_t)(i + 1), len, len);
	}
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, N);
	assert_int_equal(seen.n_faults, 0);
}

static void test_capture_reads_sections_and_interfaces_that_differ(void **state)
{
	(void)state;
	struct writer w = {0};
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 96, -1, 0);
	add_interface(&w, LINKTYPE_RAW, 128, 9, 0);
	add_enhanced(&w, 1, T0 * UINT64_C(1000000000) + 5, 1, 61);
	add_enhanced(&w, 0, T0 * UINT64_C(1000000) + 5, 2, 62);
	w.is_big_endian = true;
	add_section(&w);
	add_interface(&w, LINKTYPE_RAW, 0, -1, 0);
	add_enhanced(&w, 0, T0 * UINT64_C(1000000) + 6, 3, 63);
	add_enhanced(&w, 1, T0 * UINT64_C(1000000) + 6, 4, 63); /* the first section's, not this one's */
	w.is_big_endian = false;
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
	add_enhanced(&w, 0, T0 * UINT64_C(1000000) + 7, 5, 64);
	struct seen seen;
	read_writer(&w, &seen);
	static const struct {
		uint64_t frame;
		int64_t fraction;
		uint16_t linktype;
		uint32_t caplen;
		uint8_t number;
	} expected[] = {
		{1, 5, LINKTYPE_RAW, 61, 1},
		{2, 5000, LINKTYPE_ETHERNET, 62, 2},
		{3, 6000, LINKTYPE_RAW, 63, 3},
		{5, 7000, LINKTYPE_ETHERNET, 64, 5},
	};
	assert_int_equal(seen.n, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(seen.packets[i].frame, expected[i].frame);
		assert_int_equal(seen.packets[i].time_ns, T0 * INT64_C(1000000000) + expected[i].fraction);
		assert_int_equal(seen.packets[i].linktype, expected[i].linktype);
		assert_int_equal(seen.packets[i].caplen, expected[i].caplen);
		assert_int_equal(seen.numbers[i], expected[i].number);
	}
	expect_fault(&seen, 0, CU_ERR_FORMAT, "block 9 at byte 412: its interface is not described");
	assert_string_equal(seen.stats.format, "pcapng");
	assert_int_equal(seen.stats.linktype, LINKTYPE_ETHERNET);
	assert_int_equal(seen.stats.snaplen, 128);
}

static void test_capture_converts_every_resolution(void **state)
{
	(void)state;
	static const struct {
		int tsresol;
		int64_t tsoffset;
		uint64_t units;
		int64_t time_ns;
	} cases[] = {
		{-1, 0, UINT64_C(1700000000123456), INT64_C(1700000000123456000)},
		{0, 0, 1700000000, INT64_C(1700000000000000000)},
		{3, 0, UINT64_C(1700000000123), INT64_C(1700000000123000000)},
		{6, 0, UINT64_C(1700000000123456), INT64_C(1700000000123456000)},
		{9, 0, UINT64_C(1700000000123456789), INT64_C(1700000000123456789)},
		{10, 0, UINT64_C(17000000001234567891), INT64_C(1700000000123456789)},
		{12, 0, UINT64_C(1234567890123), 1234567890},
		{19, 0, UINT64_C(1234567890123), 123},
		{127, 0, UINT64_MAX, 1},
		{0x80, 0, 1700000000, INT64_C(1700000000000000000)},
		{0x81, 0, UINT64_C(3400000001), INT64_C(1700000000500000000)},
		{0x80 | 10, 0, UINT64_C(1700000000) << 10 | 512, INT64_C(1700000000500000000)},
		{0x80 | 32, 0, UINT64_C(1700000000) << 32 | UINT64_C(0x80000000), INT64_C(1700000000500000000)},
		{0x80 | 127, 0, UINT64_MAX, 0},
		{-1, 1000, UINT64_C(1700000000000000), INT64_C(1700001000000000000)},
		{-1, -1000, UINT64_C(1700000000000000), INT64_C(1699999000000000000)},
		{-1, INT64_MAX, 1, 1000}, /* an offset that cannot be is none */
		{0, 0, UINT64_MAX, CU_TIME_MAX_NS},
		{9, 0, UINT64_MAX, CU_TIME_MAX_NS},
		{9, 0, CU_TIME_MAX_NS, CU_TIME_MAX_NS},
		{9, 1, CU_TIME_MAX_NS, CU_TIME_MAX_NS},
		{9, -1, CU_NS_PER_S + 7, 7},
		{9, -2, CU_NS_PER_S, 0},
		{0x81, 0, UINT64_MAX, CU_TIME_MAX_NS},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct writer w = {.is_big_endian = i % 2 == 1};
		struct seen seen;
		add_section(&w);
		add_interface(&w, LINKTYPE_ETHERNET, 0, cases[i].tsresol, cases[i].tsoffset);
		add_enhanced(&w, 0, cases[i].units, 1, 60);
		read_writer(&w, &seen);
		assert_int_equal(seen.n, 1);
		if (seen.packets[0].time_ns != cases[i].time_ns) {
			fail_msg("case %zu: %lld", i, (long long)seen.packets[0].time_ns);
		}
	}
}

static void test_capture_reads_simple_and_old_packet_blocks(void **state)
{
	(void)state;
	struct writer w = {0};
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 50, -1, 0);
	add_interface(&w, LINKTYPE_RAW, 0, -1, 0);
	add_old_packet(&w, 1, 0, T0 * UINT64_C(1000000), 1, 41);
	add_simple(&w, 2, 50, 90); /* cut by the first interface's snap length */
	add_simple(&w, 3, 40, 40);
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.n_faults, 0);
	assert_int_equal(seen.packets[0].linktype, LINKTYPE_RAW);
	assert_int_equal(seen.packets[0].caplen, 41);
	assert_int_equal(seen.packets[1].linktype, LINKTYPE_ETHERNET);
	assert_int_equal(seen.packets[1].caplen, 50);
	assert_int_equal(seen.packets[1].len, 90);
	assert_int_equal(seen.packets[1].time_ns, T0 * INT64_C(1000000000)); /* the last that was told */
	assert_int_equal(seen.packets[2].caplen, 40);
	assert_int_equal(seen.packets[2].frame, 3);
	assert_int_equal(seen.stats.n_untimed, 2);
}

/* All ones is what some writers give for what they did not count. */
static void test_capture_counts_no_unknown_drops(void **state)
{
	(void)state;
	struct writer w = {0};
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
	add_enhanced(&w, 0, T0 * UINT64_C(1000000), 1, 60);
	add_statistics(&w, 0, 3, UINT64_MAX);
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.stats.n_drops, 3);
}

static void test_capture_counts_reported_drops(void **state)
{
	(void)state;
	struct writer w = {0};
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
	add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
	add_statistics(&w, 0, 1, 2);
	add_statistics(&w, 0, 7, 3); /* counters, not differences */
	add_old_packet(&w, 1, 5, 1, 1, 60);
	add_old_packet(&w, 1, 0xffff, 1, 1, 60); /* not known */
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
	size_t at = begin_enhanced(&w, 0, 1, 1, 60, 60);
	add_option(&w, 1, "comment", 7);
	add_option(&w, 4, "\x04\x00\x00\x00\x00\x00\x00\x00", 8);
	add_option(&w, 0, "", 0);
	end_block(&w, at);
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.stats.n_drops, 7 + 3 + 5 + 4);
}

/* isb_endtime, in units of the interface, its upper half first in either byte order. */
static void test_capture_takes_end_of_capturing(void **state)
{
	(void)state;
	static const struct {
		uint32_t after_s; /* the last packet */
		uint32_t end_s;
	} cases[] = {{90, T0 + 90}, {24 * 3600, T0 + 24 * 3600}, {24 * 3600 + 1, 0}, {0, 0}, {(uint32_t)-5, 0}};
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct writer w = {.is_big_endian = i % 2 == 1};
		add_section(&w);
		add_interface(&w, LINKTYPE_ETHERNET, 0, 9, 0);
		add_enhanced(&w, 0, T0 * UINT64_C(1000000000), 1, 60);
		uint64_t units = (uint64_t)(uint32_t)(T0 + cases[i / 2].after_s) * 1000000000;
		struct writer value = {.is_big_endian = w.is_big_endian};
		add32(&value, (uint32_t)(units >> 32));
		add32(&value, (uint32_t)units);
		size_t at = begin_block(&w, 5);
		add32(&w, 0);
		add64(&w, 0);
		add_option(&w, 3, value.buf.data, 8);
		add_option(&w, 0, "", 0);
		end_block(&w, at);
		cu_buf_release(&value.buf);
		struct seen seen;
		read_writer(&w, &seen);
		assert_int_equal(seen.n_faults, 0);
		assert_int_equal(seen.stats.end_ns, cases[i / 2].end_s * INT64_C(1000000000));
	}
}

/* Frames are numbered as Wireshark does it: what is no packet may still be a frame. */
static void test_capture_passes_over_other_blocks(void **state)
{
	(void)state;
	static const struct {
		uint32_t type;
		size_t len;
		bool is_frame;
	} cases[] = {
		{0x4, 4, false},        {0xa, 12, false},       {0x9, 24, true},
		{0xbad, 8, true},       {0x40000bad, 8, true},  {0x77, 0, false},
		{0x80000001, 7, false}, {0x77, 3000000, false}, {0x77, 600000, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct writer w = {0};
		struct seen seen;
		add_section(&w);
		add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
		add_enhanced(&w, 0, 1, 1, 60);
		add_other_block(&w, cases[i].type, cases[i].len);
		add_enhanced(&w, 0, 2, 2, 60);
		read_writer(&w, &seen);
		assert_int_equal(seen.n, 2);
		assert_int_equal(seen.n_faults, 0);
		assert_int_equal(seen.packets[1].frame, cases[i].is_frame ? 3 : 2);
		assert_int_equal(seen.numbers[1], 2);
	}
}

static void test_capture_reads_a_packet_with_many_options(void **state)
{
	(void)state;
	static uint8_t comment[60000];
	struct writer w = {0};
	add_section(&w);
	add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
	size_t at = begin_enhanced(&w, 0, 1, 1, CU_PACKET_CAP, CU_PACKET_CAP);
	for (unsigned i = 0; i < 20; i++) {
		add_option(&w, 1, comment, sizeof(comment));
	}
	end_block(&w, at);
	add_enhanced(&w, 0, 2, 2, 60);
	struct seen seen;
	read_writer(&w, &seen);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.numbers[0], 1);
	assert_int_equal(seen.packets[0].caplen, CU_PACKET_CAP);
	assert_int_equal(seen.numbers[1], 2);
	assert_int_equal(seen.n_faults, 0);
}

static void test_capture_goes_on_behind_damage_in_pcapng(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t at; /* in the tenth of the packet blocks of 92 bytes */
		size_t n_removed, n_inserted;
		uint8_t fill;
		size_t n_lost;
		const char *fault; /* "": any */
	} cases[] = {
		{"length in front", 4, 1, 1, 0x7c, 1,
	         "block 12 at byte 876: length 124 in front, but 185273099 behind"},
		{"length far too large", 7, 1, 1, 0x7f, 1,
	         "block 12 at byte 876: length 2130706524 is above the maximum of 16777216"},
		{"length too small", 4, 1, 1, 0x04, 1, "block 12 at byte 876: length 4 is below the minimum of 32"},
		{"length behind", 88, 1, 1, 0, 1, "block 12 at byte 876: length 92 in front, but 0 behind"},
		{"captured length", 20, 1, 1, 0xff, 1, "block 12 at byte 876: its packet is larger than the block"},
		{"interface", 8, 1, 1, 9, 1, "block 12 at byte 876: its interface is not described"},
		{"zeros", 0, 300, 300, 0, 4, "block 12 at byte 876: length 0 is below the minimum of 12"},
		{"text inserted", 0, 0, 1001, 'x', 0,
	         "block 12 at byte 876: length 2021161080 is above the maximum of 16777216"},
		{"bytes missing", 30, 13, 0, 0, 1, ""},
	};
	struct writer whole = {0};
	add_section(&whole);
	add_interface(&whole, LINKTYPE_ETHERNET, 0, -1, 0);
	for (unsigned i = 1; i <= N_PACKETS; i++) {
		add_enhanced(&whole, 0, T0 * UINT64_C(1000000) + i, (uint8_t)i, 60);
	}
	size_t tenth = 28 + 20 + 9 * 92;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_buf damaged = {0};
		cu_buf_add(&damaged, whole.buf.data, tenth + cases[i].at);
		for (size_t k = 0; k < cases[i].n_inserted; k++) {
			cu_buf_add_u8(&damaged, cases[i].fill);
		}
		size_t rest = tenth + cases[i].at + cases[i].n_removed;
		cu_buf_add(&damaged, whole.buf.data + rest, whole.buf.len - rest);
		struct seen seen;
		read_bytes(damaged.data, damaged.len, &seen);
		cu_buf_release(&damaged);
		if (seen.n + cases[i].n_lost != N_PACKETS) {
			fail_msg("%s: %zu packets; %s", cases[i].name, seen.n, seen.faults[0].text);
		}
		for (unsigned k = 0; k < 10; k++) {
			assert_int_equal(seen.numbers[seen.n - 1 - k], N_PACKETS - k);
		}
		assert_true(seen.stats.n_damaged > 0);
		assert_true(seen.n_faults > 0);
		if (cases[i].fault[0]) {
			expect_fault(&seen, 0, CU_ERR_FORMAT, cases[i].fault);
		}
	}
	cu_buf_release(&whole.buf);
}

/* Whatever byte is changed to whatever: no crash, no endless loop, and most packets come back. */
static void test_capture_survives_any_changed_byte(void **state)
{
	(void)state;
	for (unsigned format = 0; format < 2; format++) {
		struct writer w = {0};
		if (format == 0) {
			add_pcap(&w, N_PACKETS);
		} else {
			add_section(&w);
			add_interface(&w, LINKTYPE_ETHERNET, 0, -1, 0);
			for (unsigned i = 1; i <= N_PACKETS; i++) {
				add_enhanced(&w, 0, T0 * UINT64_C(1000000) + i, (uint8_t)i, 60);
			}
		}
		uint32_t random = 2463534242;
		for (size_t at = 28 + 20; at < w.buf.len; at += 3) {
			uint8_t saved = w.buf.data[at];
			random = random * 1664525 + 1013904223;
			w.buf.data[at] ^= (uint8_t)(1U << (random >> 29));
			struct seen seen;
			read_bytes(w.buf.data, w.buf.len, &seen);
			if (seen.n + 2 < N_PACKETS || seen.n > N_PACKETS) {
				fail_msg("byte %zu from %02x to %02x: %zu packets; %s", at, saved, w.buf.data[at],
				         seen.n, seen.faults[0].text);
			}
			w.buf.data[at] = saved;
		}
		cu_buf_release(&w.buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capture_reads_every_variant_of_pcap),
		cmocka_unit_test(test_capture_open_explains_what_is_no_capture),
		cmocka_unit_test(test_capture_open_names_missing_files_and_directories),
		cmocka_unit_test(test_capture_without_packets_ends_cleanly),
		cmocka_unit_test(test_capture_of_a_cut_pcap_delivers_what_is_whole),
		cmocka_unit_test(test_capture_of_a_cut_pcapng_delivers_what_is_whole),
		cmocka_unit_test(test_capture_goes_on_behind_damage_in_pcap),
		cmocka_unit_test(test_capture_counts_skipped_bytes),
		cmocka_unit_test(test_capture_passes_over_a_single_damaged_time),
		cmocka_unit_test(test_capture_gives_a_lone_time_that_is_far_off_that_of_the_packet_before),
		cmocka_unit_test(test_capture_knows_a_clock_of_another_interface),
		cmocka_unit_test(test_capture_finds_records_behind_a_length_that_leads_to_one),
		cmocka_unit_test(test_capture_gives_no_bytes_again_and_again),
		cmocka_unit_test(test_capture_believes_captures_with_strange_ways),
		cmocka_unit_test(test_capture_reads_packets_at_the_epoch),
		cmocka_unit_test(test_capture_reads_the_largest_packets),
		cmocka_unit_test(test_capture_reads_packets_as_large_as_the_snap_length_says),
		cmocka_unit_test(test_capture_reads_packets_above_the_snap_length_of_the_first_file),
		cmocka_unit_test(test_capture_reads_sections_and_interfaces_that_differ),
		cmocka_unit_test(test_capture_converts_every_resolution),
		cmocka_unit_test(test_capture_reads_simple_and_old_packet_blocks),
		cmocka_unit_test(test_capture_counts_no_unknown_drops),
		cmocka_unit_test(test_capture_counts_reported_drops),
		cmocka_unit_test(test_capture_takes_end_of_capturing),
		cmocka_unit_test(test_capture_passes_over_other_blocks),
		cmocka_unit_test(test_capture_reads_a_packet_with_many_options),
		cmocka_unit_test(test_capture_goes_on_behind_damage_in_pcapng),
		cmocka_unit_test(test_capture_survives_any_changed_byte),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
