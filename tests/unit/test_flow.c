/*
 * flowify from end to end: packets are written to a pcap file, and what the
 * records say of each frame is compared with what it should be.
 */
#include "lib/flow/flowify.h"
#include "lib/flow/track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIN = CU_TCP_FIN, SYN = CU_TCP_SYN, RST = CU_TCP_RST, PSH = CU_TCP_PSH, ACK = CU_TCP_ACK };

/* ---- Captures ---- */

struct frame {
	int64_t ms;
	uint8_t src, dst; /* last byte of 10.0.0.0/24; 0: the end of a table */
	uint16_t src_port, dst_port;
	unsigned flags;
	uint32_t seq, ack, len;
	const char *payload; /* captured part */
	uint16_t vlan;       /* 0: none */
};

/* Most cases are between a client and a server. */
#define C2S(ms_, flags_, seq_, ack_, len_)                                                                            \
	{                                                                                                             \
		.ms = (ms_), .src = 1, .dst = 2, .src_port = 40000, .dst_port = 80, .flags = (flags_), .seq = (seq_), \
		.ack = (ack_), .len = (len_)                                                                          \
	}
#define S2C(ms_, flags_, seq_, ack_, len_)                                                                            \
	{                                                                                                             \
		.ms = (ms_), .src = 2, .dst = 1, .src_port = 80, .dst_port = 40000, .flags = (flags_), .seq = (seq_), \
		.ack = (ack_), .len = (len_)                                                                          \
	}
#define HANDSHAKE C2S(0, SYN, 100, 0, 0), S2C(10, SYN | ACK, 500, 101, 0), C2S(20, ACK, 101, 501, 0)

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static void begin_pcap(FILE *file)
{
	const uint32_t header[6] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 65535, 1};
	assert_int_equal(fwrite(header, sizeof(header), 1, file), 1);
}

static void put_packet(FILE *file, int64_t ms, const uint8_t *data, uint32_t caplen, uint32_t len)
{
	int64_t t = INT64_C(1700000000000) + ms;
	const uint32_t head[4] = {(uint32_t)(t / 1000), (uint32_t)(t % 1000 * 1000000), caplen, len};
	assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
	assert_int_equal(fwrite(data, 1, caplen, file), caplen);
}

static size_t put_ethernet(uint8_t *p, uint16_t vlan)
{
	memset(p, 2, 12);
	size_t at = 12;
	if (vlan != 0) {
		put16(p + at, 0x8100);
		put16(p + at + 2, vlan);
		at += 4;
	}
	put16(p + at, 0x0800);
	return at + 2;
}

static size_t put_ipv4(uint8_t *p, uint8_t src, uint8_t dst, uint8_t protocol, uint32_t len)
{
	memset(p, 0, 20);
	p[0] = 0x45;
	put16(p + 2, 20 + len);
	put16(p + 4, 7);
	p[8] = 64;
	p[9] = protocol;
	put32(p + 12, 0x0a000000U | src);
	put32(p + 16, 0x0a000000U | dst);
	return 20;
}

static size_t put_tcp_head(uint8_t *p, const struct frame *frame)
{
	memset(p, 0, 20);
	put16(p, frame->src_port);
	put16(p + 2, frame->dst_port);
	put32(p + 4, frame->seq);
	put32(p + 8, frame->ack);
	p[12] = 0x50;
	p[13] = (uint8_t)frame->flags;
	put16(p + 14, 1000);
	return 20;
}

static void put_frame(FILE *file, const struct frame *frame)
{
	uint8_t data[512];
	size_t at = put_ethernet(data, frame->vlan);
	at += put_ipv4(data + at, frame->src, frame->dst, 6, 20 + frame->len);
	at += put_tcp_head(data + at, frame);
	uint32_t wire = (uint32_t)at + frame->len;
	if (frame->payload != NULL) {
		size_t n = strlen(frame->payload);
		memcpy(data + at, frame->payload, n);
		at += n;
	}
	put_packet(file, frame->ms, data, (uint32_t)at, wire > at ? wire : (uint32_t)at);
}

/* An ICMP error from 10.0.0.9 that quotes this frame. */
static void put_icmp(FILE *file, int64_t ms, uint8_t type, uint8_t code, uint16_t mtu, const struct frame *quoted)
{
	uint8_t data[128];
	size_t at = put_ethernet(data, 0);
	at += put_ipv4(data + at, 9, quoted->src, 1, 8 + 20 + 8);
	memset(data + at, 0, 8);
	data[at] = type;
	data[at + 1] = code;
	put16(data + at + 6, mtu);
	at += 8;
	at += put_ipv4(data + at, quoted->src, quoted->dst, 6, 20 + quoted->len);
	put_tcp_head(data + at, quoted);
	at += 8;
	put_packet(file, ms, data, (uint32_t)at, (uint32_t)at);
}

/* ---- Running flowify ---- */

struct seen {
	bool is_seen;
	uint64_t stream;
	struct cu_segment segment;
};

struct result {
	int rc;
	struct cu_totals totals;
	struct seen *frames; /* by frame number */
	size_t n_frames;
	struct cu_connection *connections; /* in order of their records */
	size_t n_connections, cap;
	size_t n_chunks;
	uint64_t n_bytes; /* of the stream */
	FILE *stream;
};

static struct cu_flowify_config defaults;

static void path_of(FILE *file, char path[static 32])
{
	snprintf(path, 32, "/dev/fd/%d", fileno(file));
}

static void read_chunk(struct result *result, struct cu_chunk *chunk, bool is_within)
{
	struct cu_timeline_reader reader;
	struct cu_segment segment;
	uint64_t n = 0;
	int rc;
	assert_in_range(cu_cursor_left(&chunk->segments), 0, CU_SPOOL_LARGE);
	cu_timeline_open(&reader, &chunk->start, &chunk->segments);
	while ((rc = cu_timeline_next(&reader, &segment)) > 0) {
		assert_in_range(segment.frame, 1, result->n_frames - 1);
		struct seen *seen = &result->frames[segment.frame];
		assert_true(!seen->is_seen || seen->segment.file != segment.file);
		*seen = (struct seen){.is_seen = true, .stream = chunk->stream, .segment = segment};
		n++;
	}
	assert_int_equal(rc, 0);
	assert_true(n <= chunk->n_segments);
	assert_true(is_within || n == chunk->n_segments);
	result->n_chunks++;
}

static void read_connection(struct result *result, const struct cu_record *record)
{
	if (result->n_connections == result->cap) {
		result->cap = result->cap * 2 + 16;
		result->connections = realloc(result->connections, result->cap * sizeof(*result->connections));
		assert_non_null(result->connections);
	}
	struct cu_connection *connection = &result->connections[result->n_connections++];
	struct cu_chunk chunk;
	assert_int_equal(cu_connection_decode(record->data, record->len, connection), 0);
	if (cu_chunk_within(connection, &chunk)) {
		read_chunk(result, &chunk, true);
	}
}

static void read_stream(struct result *result)
{
	rewind(result->stream);
	struct cu_reader *reader;
	assert_int_equal(cu_reader_open(&reader, fileno(result->stream), "test"), 0);
	struct cu_record record;
	bool has_totals = false;
	int rc;
	int last = 0;
	while ((rc = cu_reader_next(reader, &record)) > 0) {
		last = rc;
		if (rc != CU_STREAM_RECORD) {
			continue;
		}
		assert_false(has_totals);
		if (record.kind == CU_RECORD_CHUNK) {
			struct cu_chunk chunk;
			assert_int_equal(cu_chunk_open(record.data, record.len, &chunk), 0);
			read_chunk(result, &chunk, false);
		} else if (record.kind == CU_RECORD_CONNECTION) {
			read_connection(result, &record);
		} else if (record.kind != CU_RECORD_BEGIN) {
			assert_int_equal(record.kind, CU_RECORD_TOTALS);
			struct cu_totals totals;
			assert_int_equal(cu_totals_decode(record.data, record.len, &totals), 0);
			assert_memory_equal(&totals, &result->totals, sizeof(totals));
			has_totals = true;
		}
	}
	assert_int_equal(rc, 0);
	assert_int_equal(last, CU_STREAM_TRAILER);
	assert_true(has_totals);
	result->n_bytes = cu_reader_n_bytes(reader);
	cu_reader_close(reader);
}

/* Runs over captures of at most n_frames frames each. */
static struct result run_all(FILE *const *pcaps, size_t n_pcaps, const struct cu_flowify_config *config,
                             size_t n_frames)
{
	char text[2][32];
	const char *paths[2];
	assert_in_range(n_pcaps, 1, 2);
	for (size_t i = 0; i < n_pcaps; i++) {
		assert_int_equal(fflush(pcaps[i]), 0);
		rewind(pcaps[i]);
		path_of(pcaps[i], text[i]);
		paths[i] = text[i];
	}
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	const struct cu_capture_config inputs = {.paths = paths, .n_paths = n_pcaps};
	assert_int_equal(cu_capture_open(&capture, &inputs, &fault), 0);
	struct result result = {.stream = tmpfile(), .n_frames = n_frames + 1};
	assert_non_null(result.stream);
	result.frames = calloc(result.n_frames, sizeof(*result.frames));
	struct cu_writer *writer;
	const struct cu_writer_config plain = {.no_compress = true};
	assert_int_equal(cu_writer_open(&writer, fileno(result.stream), &plain), 0);
	result.rc = cu_flowify(capture, writer, config, &result.totals);
	assert_int_equal(result.rc, 0);
	assert_null(cu_capture_fault(capture, 0));
	cu_writer_close(writer);
	cu_capture_close(capture);
	for (size_t i = 0; i < n_pcaps; i++) {
		fclose(pcaps[i]);
	}
	read_stream(&result);
	return result;
}

static struct result run(FILE *pcap, const struct cu_flowify_config *config, size_t n_frames)
{
	return run_all(&pcap, 1, config, n_frames);
}

static void release(struct result *result)
{
	free(result->frames);
	free(result->connections);
	fclose(result->stream);
}

static FILE *new_pcap(void)
{
	FILE *pcap = tmpfile();
	assert_non_null(pcap);
	begin_pcap(pcap);
	return pcap;
}

static struct result run_frames(const struct frame *frames, const struct cu_flowify_config *config)
{
	FILE *pcap = new_pcap();
	size_t n = 0;
	for (; frames[n].src != 0; n++) {
		put_frame(pcap, &frames[n]);
	}
	return run(pcap, config, n);
}

static const struct cu_connection *connection_of(const struct result *result, uint64_t stream)
{
	for (size_t i = 0; i < result->n_connections; i++) {
		if (result->connections[i].stream == stream) {
			return &result->connections[i];
		}
	}
	fail_msg("no connection of stream %llu", (unsigned long long)stream);
	return NULL;
}

/* ---- Stream numbers ---- */

/* What tshark 4.0.17 says of the same frames. */
static void test_flowify_numbers_streams(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct frame frames[12];
		const char *streams; /* a digit for each frame */
		enum cu_connection_end ends[3];
	} cases[] = {
		{"same SYN again", {C2S(0, SYN, 100, 0, 0), C2S(1000, SYN, 100, 0, 0)}, "00", {CU_END_OPEN}},
		{"same SYN after a RST",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, RST | ACK, 0, 101, 0), C2S(2, SYN, 100, 0, 0)},
	         "000",
	         {CU_END_OPEN}},
		{"refused twice",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, RST | ACK, 0, 101, 0), C2S(500, SYN, 100, 0, 0),
	          S2C(501, RST | ACK, 0, 101, 0)},
	         "0000",
	         {CU_END_RESET}},
		{"its sender goes on after a RST",
	         {HANDSHAKE, S2C(30, RST, 501, 0, 0), C2S(40, ACK, 101, 501, 9), S2C(50, ACK, 501, 110, 9)},
	         "000000",
	         {CU_END_OPEN}},
		{"data before a RST comes after it",
	         {HANDSHAKE, S2C(30, RST, 701, 0, 0), S2C(40, ACK, 501, 101, 200)},
	         "00000",
	         {CU_END_RESET}},
		{"same SYN after FIN",
	         {HANDSHAKE, S2C(30, FIN | ACK, 501, 101, 0), C2S(40, SYN, 100, 0, 0)},
	         "00000",
	         {CU_END_OPEN}},
		{"other SYN in the middle",
	         {HANDSHAKE, C2S(30, SYN, 200, 0, 0), C2S(40, ACK, 101, 501, 0), S2C(50, ACK, 501, 101, 0)},
	         "000111",
	         {CU_END_REUSED, CU_END_OPEN}},
		{"three SYNs",
	         {C2S(0, SYN, 100, 0, 0), C2S(1, SYN, 200, 0, 0), C2S(2, SYN, 100, 0, 0)},
	         "012",
	         {CU_END_REUSED, CU_END_REUSED, CU_END_OPEN}},
		{"reuse after RST",
	         {HANDSHAKE, C2S(30, RST, 101, 0, 0), C2S(40, SYN, 900, 0, 0)},
	         "00001",
	         {CU_END_RESET, CU_END_OPEN}},
		{"reuse after FIN both ways",
	         {HANDSHAKE, C2S(30, FIN | ACK, 101, 501, 0), S2C(40, FIN | ACK, 501, 102, 0),
	          C2S(50, ACK, 102, 502, 0), C2S(60, SYN, 900, 0, 0)},
	         "0000001",
	         {CU_END_CLOSED, CU_END_OPEN}},
		{"late segments after RST",
	         {HANDSHAKE, S2C(30, RST, 501, 0, 0), C2S(4000, ACK | PSH, 101, 501, 10), S2C(9000, RST, 501, 0, 0)},
	         "000000",
	         {CU_END_RESET}},
		{"simultaneous open",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, SYN, 500, 0, 0), C2S(2, SYN | ACK, 100, 501, 0),
	          S2C(3, SYN | ACK, 500, 101, 0), C2S(4, ACK, 101, 501, 0)},
	         "00000",
	         {CU_END_OPEN}},
		{"simultaneous open, then reuse",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, SYN, 500, 0, 0), S2C(2, SYN, 600, 0, 0)},
	         "001",
	         {CU_END_REUSED, CU_END_OPEN}},
		{"SYNs after the middle",
	         {C2S(0, ACK, 1000, 2000, 0), C2S(1, SYN, 999, 0, 0), S2C(2, SYN, 1999, 0, 0), S2C(3, SYN, 1998, 0, 0)},
	         "0001",
	         {CU_END_REUSED, CU_END_OPEN}},
		{"SYN at a known number",
	         {C2S(0, ACK, 1000, 2000, 0), C2S(1, SYN, 1000, 0, 0)},
	         "01",
	         {CU_END_REUSED, CU_END_OPEN}},
		{"SYN-ACK with another number",
	         {HANDSHAKE, S2C(30, SYN | ACK, 700, 101, 0), C2S(40, ACK, 101, 701, 0), S2C(50, SYN, 700, 0, 0),
	          S2C(60, SYN, 701, 0, 0)},
	         "0000001",
	         {CU_END_REUSED, CU_END_OPEN}},
		{"SYN-ACK of another SYN",
	         {HANDSHAKE, C2S(30, FIN | ACK, 101, 501, 0), S2C(40, FIN | ACK, 501, 102, 0),
	          S2C(9000, SYN | ACK, 700, 8001, 0), C2S(9010, ACK, 8001, 701, 0)},
	         "0000011",
	         {CU_END_CLOSED, CU_END_OPEN}},
		{"SYN-ACK of a SYN with data",
	         {C2S(0, SYN, 100, 0, 50), S2C(1, SYN | ACK, 500, 151, 0), S2C(2, SYN | ACK, 700, 101, 0)},
	         "000",
	         {CU_END_OPEN}},
		{"SYN-ACK first",
	         {S2C(0, SYN | ACK, 500, 101, 0), C2S(1, SYN, 100, 0, 0), C2S(2, ACK, 101, 501, 0)},
	         "000",
	         {CU_END_OPEN}},
		{"SYN-ACK first, of another",
	         {S2C(0, SYN | ACK, 500, 101, 0), C2S(1, SYN, 101, 0, 0)},
	         "01",
	         {CU_END_REUSED, CU_END_OPEN}},
		{"SYN the other way",
	         {HANDSHAKE, S2C(30, FIN | ACK, 501, 101, 0), S2C(40, SYN, 9000, 0, 0), C2S(50, ACK, 101, 502, 0)},
	         "000011",
	         {CU_END_REUSED, CU_END_OPEN}},
		{"sequence numbers wrap",
	         {C2S(0, SYN, 0xffffffff, 0, 0), S2C(1, SYN | ACK, 0xfffffff0, 0, 0),
	          C2S(2, ACK | PSH, 0, 0xfffffff1, 100), S2C(3, ACK | PSH, 0xfffffff1, 100, 100),
	          C2S(4, FIN | ACK, 100, 0x55, 0), S2C(5, FIN | ACK, 0x55, 101, 0), C2S(6, ACK, 101, 0x56, 0),
	          C2S(7, SYN, 5, 0, 0)},
	         "00000001",
	         {CU_END_CLOSED, CU_END_OPEN}},
		{"no flags at all",
	         {C2S(0, 0, 100, 0, 0), C2S(1, SYN, 100, 0, 0), C2S(2, SYN, 99, 0, 0), S2C(3, RST, 50, 0, 0)},
	         "0122",
	         {CU_END_REUSED, CU_END_REUSED, CU_END_RESET}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result result = run_frames(cases[i].frames, &defaults);
		size_t n = strlen(cases[i].streams);
		uint64_t n_streams = 0;
		for (size_t k = 0; k < n; k++) {
			uint64_t expected = (uint64_t)(cases[i].streams[k] - '0');
			const struct seen *seen = &result.frames[k + 1];
			if (!seen->is_seen || seen->stream != expected || seen->segment.seq != cases[i].frames[k].seq) {
				fail_msg("%s: frame %zu", cases[i].name, k + 1);
			}
			n_streams = expected + 1;
		}
		assert_int_equal(result.n_connections, n_streams);
		assert_int_equal(result.totals.n_connections, n_streams);
		assert_int_equal(result.totals.n_tcp, n);
		for (size_t k = 0; k < n_streams; k++) {
			if (connection_of(&result, k)->end != cases[i].ends[k]) {
				fail_msg("%s: end of stream %zu: %u", cases[i].name, k, connection_of(&result, k)->end);
			}
		}
		release(&result);
	}
}

static void test_flowify_vlan_separates(void **state)
{
	(void)state;
	struct frame frames[] = {HANDSHAKE, {0}};
	frames[0].vlan = 5;
	frames[1].vlan = 6;
	frames[2].vlan = 5;
	struct result result = run_frames(frames, &defaults);
	assert_int_equal(result.n_connections, 2);
	assert_int_equal(result.frames[1].stream, 0);
	assert_int_equal(result.frames[2].stream, 1);
	assert_int_equal(result.frames[3].stream, 0);
	assert_int_equal(connection_of(&result, 1)->n_ids, 1);
	assert_int_equal(connection_of(&result, 1)->ids[0] & 0xfff, 6);
	assert_int_equal(result.totals.n_parted, 1);
	release(&result);

	struct result one = run_frames(frames, &(struct cu_flowify_config){.ignore = CU_IGNORE_VLAN});
	assert_int_equal(one.n_connections, 1);
	assert_int_equal(one.connections[0].n_ids, 0);
	assert_int_equal(one.totals.n_parted, 0);
	release(&one);

	struct result other = run_frames(frames, &(struct cu_flowify_config){.ignore = CU_IGNORE_TUNNEL});
	assert_int_equal(other.n_connections, 2);
	release(&other);

	/* unanswered in two VLANs, in the same direction: none of them is half of another */
	struct frame unanswered[] = {C2S(0, SYN, 100, 0, 0), C2S(10, SYN, 100, 0, 0), {0}};
	unanswered[0].vlan = 5;
	unanswered[1].vlan = 6;
	struct result alone = run_frames(unanswered, &defaults);
	assert_int_equal(alone.n_connections, 2);
	assert_int_equal(alone.totals.n_parted, 0);
	release(&alone);
}

/* ---- Who is who ---- */

static void test_flowify_finds_client(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct frame frames[6];
		uint16_t client_port;
		enum cu_role_source role;
	} cases[] = {
		{"SYN", {HANDSHAKE}, 40000, CU_ROLE_SYN},
		{"SYN from the lower port", {S2C(0, SYN, 1, 0, 0), C2S(1, SYN | ACK, 9, 2, 0)}, 80, CU_ROLE_SYN},
		{"SYN-ACK only", {S2C(0, SYN | ACK, 500, 101, 0)}, 40000, CU_ROLE_SYN_ACK},
		{"SYN-ACK from the upper port", {C2S(0, SYN | ACK, 500, 101, 0)}, 80, CU_ROLE_SYN_ACK},
		{"server speaks first", {S2C(0, ACK, 500, 101, 9)}, 40000, CU_ROLE_GUESSED},
		{"client speaks first", {C2S(0, ACK, 500, 101, 9)}, 40000, CU_ROLE_GUESSED},
		{"a guess put right by a SYN",
	         {C2S(0, ACK, 101, 501, 9), S2C(1, ACK, 501, 110, 5), S2C(2, SYN, 500, 0, 0)},
	         80,
	         CU_ROLE_SYN},
		{"a guess put right by a SYN-ACK",
	         {S2C(0, ACK, 501, 101, 5), C2S(1, SYN | ACK, 100, 501, 0)},
	         80,
	         CU_ROLE_SYN_ACK},
		{"a guess confirmed",
	         {C2S(0, ACK, 101, 501, 9), S2C(1, SYN | ACK, 500, 101, 0), C2S(2, SYN, 100, 0, 0)},
	         40000,
	         CU_ROLE_SYN},
		{"simultaneous open",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, SYN, 500, 0, 0), C2S(2, SYN | ACK, 100, 501, 0)},
	         40000,
	         CU_ROLE_SYN},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result result = run_frames(cases[i].frames, &defaults);
		assert_int_equal(result.n_connections, 1);
		const struct cu_connection *connection = &result.connections[0];
		if (connection->client_port != cases[i].client_port || connection->role != cases[i].role) {
			fail_msg("%s: port %u, role %u", cases[i].name, connection->client_port, connection->role);
		}
		for (size_t k = 1; k < result.n_frames; k++) {
			bool is_client = cases[i].frames[k - 1].src_port == cases[i].client_port;
			assert_int_equal(result.frames[k].segment.dir, is_client ? CU_C2S : CU_S2C);
			assert_int_equal(result.frames[k].segment.seq, cases[i].frames[k - 1].seq);
			assert_int_equal(result.frames[k].segment.len, cases[i].frames[k - 1].len);
		}
		release(&result);
	}
}

static void test_flowify_fills_connection(void **state)
{
	(void)state;
	static const struct frame frames[] = {HANDSHAKE,
	                                      C2S(30, ACK | PSH, 101, 501, 50),
	                                      S2C(80, ACK | PSH, 501, 151, 700),
	                                      C2S(85, ACK, 151, 1201, 0),
	                                      {0}};
	struct result result = run_frames(frames, &defaults);
	assert_int_equal(result.n_connections, 1);
	const struct cu_connection *connection = &result.connections[0];
	char text[CU_TEXT_CAP];
	assert_string_equal(cu_format_addr(text, &connection->client), "10.0.0.1");
	assert_string_equal(cu_format_addr(text, &connection->server), "10.0.0.2");
	assert_int_equal(connection->client_port, 40000);
	assert_int_equal(connection->server_port, 80);
	assert_int_equal(connection->start_ns, INT64_C(1700000000000) * CU_NS_PER_MS);
	assert_int_equal(connection->end_ns - connection->start_ns, 85 * CU_NS_PER_MS);
	assert_int_equal(connection->first_frame, 1);
	assert_int_equal(connection->last_frame, 6);
	assert_false(connection->continued);
	const struct cu_connection_side *client = &connection->side[CU_C2S];
	const struct cu_connection_side *server = &connection->side[CU_S2C];
	assert_int_equal(client->n_segments, 4);
	assert_int_equal(client->n_bytes, 50);
	assert_int_equal(client->isn, 100);
	assert_true(client->has_syn);
	assert_int_equal(client->ttl, 64);
	assert_int_equal(server->n_segments, 2);
	assert_int_equal(server->n_bytes, 700);
	assert_int_equal(server->isn, 500);
	assert_true(server->has_syn);
	assert_int_equal(result.totals.n_packets, 6);
	assert_int_equal(result.totals.n_tcp, 6);
	assert_int_equal(result.totals.last_ns - result.totals.first_ns, 85 * CU_NS_PER_MS);
	release(&result);
}

/* Who keeps no state for a SYN may answer it with another number each time: that which is acknowledged holds. */
static void test_flowify_syn_ack_that_is_acknowledged(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct frame frames[6];
		uint32_t isn;
	} cases[] = {
		{"the last",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, SYN | ACK, 500, 101, 0), S2C(2, SYN | ACK, 900, 101, 0),
	          C2S(3, ACK, 101, 901, 0)},
	         900},
		{"the first",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, SYN | ACK, 500, 101, 0), C2S(2, ACK, 101, 501, 0),
	          S2C(3, SYN | ACK, 900, 101, 0), S2C(4, ACK, 501, 101, 9)},
	         500},
		{"the first, with a request",
	         {C2S(0, SYN, 100, 0, 0), S2C(1, SYN | ACK, 500, 101, 0), C2S(2, ACK, 101, 501, 9),
	          S2C(3, SYN | ACK, 900, 101, 0)},
	         500},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result result = run_frames(cases[i].frames, &defaults);
		assert_int_equal(result.n_connections, 1);
		if (result.connections[0].side[CU_S2C].isn != cases[i].isn) {
			fail_msg("%s: %u", cases[i].name, result.connections[0].side[CU_S2C].isn);
		}
		release(&result);
	}
}

/* A connection seen from beginning to end has its timeline in its record; any other has chunks, which can be joined. */
static void test_flowify_timeline_within(void **state)
{
	(void)state;
	static const struct {
		struct frame frames[8];
		size_t n_chunks;
	} cases[] = {
		{{HANDSHAKE, C2S(30, FIN | ACK, 101, 501, 0), S2C(40, FIN | ACK, 501, 102, 0),
	          C2S(50, ACK, 102, 502, 0)},
	         0},
		{{HANDSHAKE, S2C(30, RST, 501, 0, 0)}, 0},
		{{HANDSHAKE}, 1},
		{{HANDSHAKE, C2S(30, FIN | ACK, 101, 501, 0)}, 1},
		/* its beginning may be in another capture */
		{{C2S(30, FIN | ACK, 101, 501, 0), S2C(40, FIN | ACK, 501, 102, 0), C2S(50, ACK, 102, 502, 0)}, 1},
		/* data before the SYN: the record says of the SYN where it begins */
		{{S2C(0, ACK, 601, 101, 9), HANDSHAKE, S2C(30, RST, 501, 0, 0)}, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result result = run_frames(cases[i].frames, &defaults);
		assert_int_equal(result.n_connections, 1);
		assert_int_equal(result.n_chunks - (result.connections[0].timeline.len > 0), cases[i].n_chunks);
		assert_int_equal(result.connections[0].timeline.len > 0, cases[i].n_chunks == 0);
		for (size_t k = 1; k < result.n_frames; k++) {
			const struct cu_segment *segment = &result.frames[k].segment;
			assert_int_equal(segment->seq, cases[i].frames[k - 1].seq);
			assert_int_equal(segment->ack, cases[i].frames[k - 1].ack);
			assert_int_equal(segment->ttl, 64);
		}
		release(&result);
	}
}

/* Rotated captures are one, and a connection that goes on in the next file is one. */
static void test_flowify_across_files(void **state)
{
	(void)state;
	FILE *pcaps[2] = {new_pcap(), new_pcap()};
	const struct frame frames[] = {HANDSHAKE, C2S(30, ACK | PSH, 101, 501, 50), S2C(80, ACK | PSH, 501, 151, 700)};
	for (size_t i = 0; i < 5; i++) {
		put_frame(pcaps[i / 3], &frames[i]);
	}
	struct result result = run_all(pcaps, 2, &defaults, 3);
	assert_int_equal(result.n_connections, 1);
	assert_int_equal(result.totals.n_tcp, 5);
	const struct cu_connection *connection = &result.connections[0];
	assert_int_equal(connection->first_file, 0);
	assert_int_equal(connection->first_frame, 1);
	assert_int_equal(connection->last_file, 1);
	assert_int_equal(connection->last_frame, 2);
	assert_int_equal(connection->side[CU_C2S].n_segments, 3);
	assert_int_equal(result.frames[1].segment.file, 1);
	assert_int_equal(result.frames[3].segment.file, 0);
	release(&result);
}

/* Data in a SYN (RFC 7413) begins behind the SYN's own number. */
static void test_flowify_fast_open(void **state)
{
	(void)state;
	static const char get[] = "GET /a HTTP/1.1\r\n";
	struct frame frames[] = {C2S(0, SYN, 100, 0, 50),
	                         S2C(10, SYN | ACK, 500, 151, 0),
	                         C2S(20, ACK, 101, 501, 50),
	                         C2S(30, ACK, 151, 501, 10),
	                         {0}};
	frames[0].payload = frames[2].payload = get;
	struct result result = run_frames(frames, &defaults);
	assert_int_equal(result.n_connections, 1);
	assert_int_equal(result.connections[0].side[CU_C2S].n_bytes, 110);
	assert_int_equal(result.connections[0].side[CU_C2S].isn, 100);
	assert_int_equal(result.frames[1].segment.hint.kind, CU_HINT_HTTP_REQUEST);
	/* sent again, and not asked for again */
	assert_int_equal(result.frames[3].segment.hint.kind, CU_HINT_NONE);
	release(&result);
}

/* ---- Leaving ---- */

static void test_flowify_idle(void **state)
{
	(void)state;
	enum { MINUTE = 60000 };
	static const struct frame frames[] = {HANDSHAKE,
	                                      C2S(9 * MINUTE, ACK, 101, 501, 1),
	                                      C2S(20 * MINUTE, ACK, 102, 501, 1),
	                                      S2C(20 * MINUTE, ACK, 501, 103, 0),
	                                      {0}};
	const struct cu_flowify_config config = {.idle_timeout_ns = 10 * 60 * CU_NS_PER_S};
	struct result result = run_frames(frames, &config);
	assert_int_equal(result.n_connections, 2);
	assert_int_equal(result.frames[4].stream, 0);
	assert_int_equal(result.frames[5].stream, 1);
	assert_int_equal(result.frames[6].stream, 1);
	assert_int_equal(connection_of(&result, 0)->end, CU_END_IDLE);
	assert_false(connection_of(&result, 0)->continued);
	assert_true(connection_of(&result, 1)->continued);
	release(&result);

	struct result whole = run_frames(frames, &defaults);
	assert_int_equal(whole.n_connections, 1);
	release(&whole);
}

/* Those that stay silent leave although nothing comes for them. */
static void test_flowify_idle_without_packets(void **state)
{
	(void)state;
	FILE *pcap = new_pcap();
	put_frame(pcap, &(struct frame)C2S(0, SYN, 100, 0, 0));
	struct frame other = C2S(0, ACK, 1, 1, 0);
	other.src_port = 40001;
	enum { N = 100 };
	for (int i = 0; i < N; i++) {
		other.ms = i * 60000;
		put_frame(pcap, &other);
	}
	const struct cu_flowify_config config = {.idle_timeout_ns = 30 * 60 * CU_NS_PER_S};
	struct result result = run(pcap, &config, N + 1);
	assert_int_equal(result.n_connections, 2);
	assert_int_equal(result.connections[0].stream, 0);
	assert_int_equal(result.connections[0].end, CU_END_IDLE);
	assert_int_equal(result.connections[1].end, CU_END_OPEN);
	release(&result);
}

static void test_flowify_times_step_back(void **state)
{
	(void)state;
	static const struct frame frames[] = {C2S(0, SYN, 100, 0, 0),
	                                      S2C(40000000, SYN | ACK, 500, 101, 0),
	                                      C2S(20, ACK, 101, 501, 0),
	                                      C2S(30, ACK, 101, 501, 5),
	                                      {0}};
	struct result result =
		run_frames(frames, &(struct cu_flowify_config){.idle_timeout_ns = 100 * 60 * CU_NS_PER_S});
	/* the one wrong stamp ends the connection, but those after it do not again */
	assert_int_equal(result.n_connections, 2);
	assert_int_equal(result.frames[2].stream, 1);
	assert_int_equal(result.frames[3].stream, 1);
	assert_int_equal(result.frames[4].stream, 1);
	release(&result);
}

/* An endless connection is written in pieces, each of which decodes alone. */
static void test_flowify_flushes_chunks(void **state)
{
	(void)state;
	enum { N = 30000 };
	FILE *pcap = new_pcap();
	for (uint32_t i = 0; i < N; i++) {
		struct frame frame = C2S(i, ACK | PSH, 1000 + i * 100, 77, 100);
		put_frame(pcap, &frame);
	}
	struct result result = run(pcap, &defaults, N);
	assert_int_equal(result.n_connections, 1);
	assert_true(result.n_chunks > 3);
	for (uint32_t i = 0; i < N; i++) {
		assert_true(result.frames[i + 1].is_seen);
		assert_int_equal(result.frames[i + 1].segment.seq, 1000 + i * 100);
		assert_int_equal(result.frames[i + 1].segment.ack, 77);
	}
	assert_int_equal(result.connections[0].side[CU_C2S].n_segments, N);
	assert_int_equal(result.connections[0].side[CU_C2S].n_bytes, N * 100);
	assert_true(result.n_bytes < N * 12);
	release(&result);
}

static void put_flood(FILE *pcap, uint32_t n, unsigned segments_each)
{
	struct frame frame = C2S(0, SYN, 100, 0, 0);
	for (unsigned k = 0; k < segments_each; k++) {
		for (uint32_t i = 0; i < n; i++) {
			frame.src = (uint8_t)(1 + i / 50000);
			frame.src_port = (uint16_t)(1024 + i % 50000);
			frame.dst = 200;
			frame.seq = 100 + k;
			frame.flags = k == 0 ? SYN : ACK;
			frame.ack = k == 0 ? 0 : 1;
			frame.ms++;
			put_frame(pcap, &frame);
		}
	}
}

/* Every segment is written once although few connections fit the memory. */
static void test_flowify_memory_bounds_flood(void **state)
{
	(void)state;
	enum { N = 100000 };
	FILE *pcap = new_pcap();
	put_flood(pcap, N, 2);
	const struct cu_flowify_config config = {.memory_bytes = 4 << 20};
	struct result result = run(pcap, &config, 2 * N);
	assert_int_equal(result.n_connections, 2 * N);
	assert_int_equal(result.totals.n_connections, 2 * N);
	assert_in_range(result.totals.n_evicted, 2 * N - 8000, 2 * N);
	uint64_t n_continued = 0;
	for (size_t i = 0; i < result.n_connections; i++) {
		n_continued += result.connections[i].continued;
	}
	/* as many as are remembered of those that left */
	assert_in_range(n_continued, 0, CU_LEFT_CAP);
	for (size_t i = 1; i < result.n_frames; i++) {
		assert_true(result.frames[i].is_seen);
	}
	release(&result);
}

static void test_flowify_many_open_stay(void **state)
{
	(void)state;
	enum { N = 100000 };
	FILE *pcap = new_pcap();
	put_flood(pcap, N, 3);
	struct result result = run(pcap, &defaults, 3 * N);
	assert_int_equal(result.n_connections, N);
	assert_int_equal(result.totals.n_evicted, 0);
	for (size_t i = 0; i < N; i++) {
		/* at the end of the capture in stream order */
		assert_int_equal(result.connections[i].stream, i);
		assert_int_equal(result.connections[i].end, CU_END_OPEN);
	}
	release(&result);
}

/* Pending timelines are bounded too: the oldest are written before their time. */
static void test_flowify_memory_bounds_timelines(void **state)
{
	(void)state;
	enum { N = 1500, SEGMENTS = 100 };
	FILE *pcap = new_pcap();
	put_flood(pcap, N, SEGMENTS);
	const struct cu_flowify_config config = {.memory_bytes = 2 << 20};
	struct result result = run(pcap, &config, N * SEGMENTS);
	assert_int_equal(result.n_connections, N);
	assert_int_equal(result.totals.n_evicted, 0);
	assert_true(result.n_chunks > N);
	release(&result);
}

/* When many linger, a finished connection leaves after three seconds. */
static void test_flowify_finished_leave(void **state)
{
	(void)state;
	enum { N = 6000 };
	FILE *pcap = new_pcap();
	struct frame syn = C2S(0, SYN, 100, 0, 0);
	struct frame rst = S2C(0, RST | ACK, 0, 101, 0);
	for (uint32_t i = 0; i < N; i++) {
		syn.src_port = rst.dst_port = (uint16_t)(10000 + i);
		syn.ms = rst.ms = i;
		put_frame(pcap, &syn);
		put_frame(pcap, &rst);
	}
	syn.ms = rst.ms = N + 1000;
	rst.dst_port = 10000; /* left long ago */
	put_frame(pcap, &rst);
	rst.dst_port = 10000 + N - 10; /* lingers */
	put_frame(pcap, &rst);
	struct result result = run(pcap, &defaults, 2 * N + 2);
	assert_int_equal(result.n_connections, N + 1);
	assert_int_equal(result.frames[2 * N + 1].stream, N);
	assert_int_equal(result.frames[2 * N + 2].stream, N - 10);
	assert_true(connection_of(&result, N)->continued);
	assert_int_equal(connection_of(&result, 0)->end, CU_END_RESET);
	assert_int_equal(result.totals.n_evicted, 0);
	release(&result);
}

/* A clock that was wrong once does not keep others from leaving. */
/* A capture ends when its packets say, but for one that is alone in what it says. */
static void test_flowify_end_of_capture(void **state)
{
	(void)state;
	const int64_t day_ms = INT64_C(24) * 3600 * 1000;
	const struct {
		int64_t ms[3]; /* of the packets behind the handshake */
		int64_t end_ms;
	} cases[] = {
		{{30, 40, 50}, 50},
		{{30, 50, 40}, 50},
		{{30, 9000 * day_ms, 50}, 50},
		{{9000 * day_ms, 40, 50}, 50},
		{{30, 9000 * day_ms, 9000 * day_ms + 1}, 9000 * day_ms + 1},
		{{30, 40, 9000 * day_ms}, 9000 * day_ms},
		{{30, 9000 * day_ms, 8000 * day_ms}, 8000 * day_ms},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame frames[] = {
			HANDSHAKE, C2S(0, ACK, 101, 501, 0), C2S(0, ACK, 101, 501, 0), C2S(0, ACK, 101, 501, 0), {0}};
		for (size_t k = 0; k < 3; k++) {
			frames[3 + k].ms = cases[i].ms[k];
		}
		struct result result = run_frames(frames, &defaults);
		assert_int_equal((result.totals.last_ns - result.totals.first_ns) / 1000000, cases[i].end_ms);
		release(&result);
	}
}

static void test_flowify_leave_after_wrong_time(void **state)
{
	(void)state;
	FILE *pcap = new_pcap();
	put_frame(pcap, &(struct frame)C2S(1000000000, SYN, 100, 0, 0));
	struct frame other = C2S(0, SYN, 100, 0, 0);
	enum { N = 200 };
	for (int i = 0; i < N; i++) {
		other.src_port = (uint16_t)(20000 + i);
		other.ms = i * 60000;
		put_frame(pcap, &other);
	}
	struct result result = run(pcap, &(struct cu_flowify_config){.idle_timeout_ns = 600 * CU_NS_PER_S}, N + 1);
	assert_int_equal(result.n_connections, N + 1);
	assert_int_equal(connection_of(&result, 1)->end, CU_END_IDLE);
	assert_int_equal(connection_of(&result, 100)->end, CU_END_IDLE);
	assert_int_equal(connection_of(&result, N)->end, CU_END_OPEN);
	release(&result);
}

/* ---- ICMP, fragments ---- */

static void test_flowify_icmp(void **state)
{
	(void)state;
	FILE *pcap = new_pcap();
	const struct frame frames[] = {HANDSHAKE, C2S(30, ACK | PSH, 101, 501, 1400)};
	for (size_t i = 0; i < 4; i++) {
		put_frame(pcap, &frames[i]);
	}
	put_icmp(pcap, 35, 3, 4, 1300, &frames[3]);
	struct frame stranger = frames[0];
	stranger.src_port = 1234;
	put_icmp(pcap, 36, 3, 1, 0, &stranger);
	struct result result = run(pcap, &defaults, 6);
	assert_int_equal(result.totals.n_icmp_errors, 2);
	assert_int_equal(result.n_connections, 1);
	assert_int_equal(result.connections[0].side[CU_C2S].n_segments, 3);
	assert_int_equal(result.connections[0].last_frame, 4);
	const struct cu_segment *icmp = &result.frames[5].segment;
	assert_true(result.frames[5].is_seen);
	assert_true(icmp->icmp);
	assert_int_equal(icmp->dir, CU_C2S);
	assert_int_equal(icmp->seq, 101);
	assert_int_equal(icmp->icmp_type, 3);
	assert_int_equal(icmp->icmp_code, 4);
	assert_int_equal(icmp->icmp_mtu, 1300);
	char text[CU_TEXT_CAP];
	assert_string_equal(cu_format_addr(text, &icmp->icmp_reporter), "10.0.0.9");
	assert_false(result.frames[6].is_seen);
	release(&result);
}

static void put_fragment(FILE *pcap, int64_t ms, const struct frame *frame, uint16_t offset_word)
{
	uint8_t data[128];
	size_t at = put_ethernet(data, 0);
	size_t ip = at;
	at += put_ipv4(data + at, frame->src, frame->dst, 6, 64);
	put16(data + ip + 6, offset_word);
	put_tcp_head(data + at, frame);
	memset(data + at + 20, 'x', 44);
	at += 64;
	put_packet(pcap, ms, data, (uint32_t)at, (uint32_t)at);
}

static void test_flowify_fragments(void **state)
{
	(void)state;
	FILE *pcap = new_pcap();
	const struct frame frames[] = {HANDSHAKE, C2S(30, ACK | PSH, 101, 501, 44)};
	for (size_t i = 0; i < 3; i++) {
		put_frame(pcap, &frames[i]);
	}
	put_fragment(pcap, 30, &frames[3], 0x2000);
	put_fragment(pcap, 31, &frames[3], 0x2008);
	put_fragment(pcap, 32, &frames[3], 0x0010);
	put_fragment(pcap, 32, &(struct frame){.src = 77, .dst = 78}, 0x0010);
	put_fragment(pcap, 33, &frames[3], 0x2000); /* the next is never whole */
	put_fragment(pcap, 34, &frames[3], 0x2008);
	struct result result = run(pcap, &defaults, 9);
	assert_int_equal(result.totals.n_fragments, 5);
	assert_int_equal(result.totals.n_tcp, 4);
	assert_int_equal(result.totals.n_broken, 1);
	assert_int_equal(result.n_connections, 1);
	assert_int_equal(result.connections[0].n_fragments, 2);
	assert_int_equal(result.connections[0].side[CU_C2S].n_segments, 3);
	/* It is there with the last of its fragments, with the bytes of all. */
	assert_false(result.frames[4].is_seen || result.frames[5].is_seen);
	assert_true(result.frames[6].is_seen);
	assert_int_equal(result.frames[6].segment.len, 44 + 64 + 64);
	assert_int_equal(result.frames[6].segment.seq, 101);
	release(&result);
}

struct fragment {
	uint8_t family;
	uint32_t id;
	uint16_t port;
	unsigned offset; /* in units of 8 bytes, of which it has 8 */
	bool more;
	uint8_t protocol;
};

/* A fragment between 10.0.0.1 and 10.0.0.2, or their IPv6 likes. */
static void put_fragment_of(FILE *pcap, int64_t ms, struct fragment fragment)
{
	const struct frame head = C2S(0, ACK | PSH, 101, 501, 44);
	uint8_t data[160];
	size_t at = put_ethernet(data, 0);
	if (fragment.family == 4) {
		put_ipv4(data + at, 1, 2, fragment.protocol, 64);
		put16(data + at + 4, fragment.id);
		put16(data + at + 6, (uint32_t)fragment.more << 13 | fragment.offset);
		at += 20;
	} else {
		memset(data + at, 0, 48);
		put16(data + at - 2, 0x86dd);
		data[at] = 0x60;
		put16(data + at + 4, 8 + 64);
		data[at + 6] = 44;
		data[at + 8 + 15] = 1;
		data[at + 24 + 15] = 2;
		/* what it says behind the first one does not count */
		data[at + 40] = fragment.offset == 0 ? fragment.protocol : 60;
		put16(data + at + 42, fragment.offset << 3 | fragment.more);
		put32(data + at + 44, fragment.id);
		at += 48;
	}
	put_tcp_head(data + at, &head);
	put16(data + at, fragment.port);
	memset(data + at + 20, 'x', 44);
	at += 64;
	put_packet(pcap, ms, data, (uint32_t)at, (uint32_t)at);
}

/* Two connections of the same hosts whose fragments come in between, and before the first ones. */
static void test_flowify_fragments_by_identification(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		FILE *pcap = new_pcap();
		const uint32_t high = family == 6 ? 0x10000 : 0; /* only there does it count */
		const uint8_t other = family == 6 ? 6 : 17;      /* UDP has no connection */
		put_fragment_of(pcap, 0, (struct fragment){family, 9, 40000, 8, false, 6}); /* before the first one */
		put_fragment_of(pcap, 0, (struct fragment){family, 7, 40000, 0, true, 6});
		put_fragment_of(pcap, 1, (struct fragment){family, 7 + high, 40001, 0, true, other});
		put_fragment_of(pcap, 1, (struct fragment){family, 8, 40001, 0, true, 6});
		put_fragment_of(pcap, 2, (struct fragment){family, 9, 40000, 0, true, 6});
		put_fragment_of(pcap, 3, (struct fragment){family, 7, 40000, 16, false, 6});
		put_fragment_of(pcap, 3, (struct fragment){family, 7, 40000, 8, true, 6});
		put_fragment_of(pcap, 4, (struct fragment){family, 8, 40001, 8, false, 6});
		put_fragment_of(pcap, 5, (struct fragment){family, 5, 40001, 8, false, 6});
		put_fragment_of(pcap, 40000, (struct fragment){family, 5, 40001, 0, true, 6}); /* too late */
		put_fragment_of(pcap, 40001, (struct fragment){family, 7, 40000, 8, false, 6});
		struct result result = run(pcap, &defaults, 11);
		assert_int_equal(result.n_connections, 2);
		assert_int_equal(result.totals.n_tcp, 3);
		assert_int_equal(result.totals.n_fragments, 8);
		assert_int_equal(result.totals.n_broken, family == 6 ? 2 : 1);
		assert_int_equal(result.connections[0].n_fragments, 3);
		assert_int_equal(result.connections[1].n_fragments, 1);
		assert_int_equal(result.frames[5].segment.len, 2 * 64 - 20);
		assert_int_equal(result.frames[7].segment.len, 3 * 64 - 20);
		assert_int_equal(result.frames[8].segment.len, 2 * 64 - 20);
		release(&result);
	}
}

/* ---- Hints ---- */

static struct frame with_payload(struct frame frame, const char *payload)
{
	frame.payload = payload;
	return frame;
}

static void test_flowify_hints_first_of_turn(void **state)
{
	(void)state;
	static const char get[] = "GET /a HTTP/1.1\r\n";
	static const char ok[] = "HTTP/1.1 200 OK\r\n";
	static const char hello[] = "\x16\x03\x01\x02\x01\x01\x01\x01\x01\x03\x03";
	static const char handshake[] = "\x16\x03\x03\x01\x01\x0b\x10";
	static const char data[] = "\x17\x03\x03\x01\x10xxxx";
	static const char alert[] = "\x15\x03\x03\x01\x02yy";
	const struct {
		const char *name;
		struct frame frames[10];
		uint8_t kinds[9];
	} cases[] = {
		{"request and answer, sent again",
	         {HANDSHAKE, with_payload((struct frame)C2S(30, ACK, 101, 501, 200), get),
	          with_payload((struct frame)C2S(40, ACK, 101, 501, 200), get),
	          with_payload((struct frame)S2C(50, ACK, 501, 301, 1400), ok),
	          with_payload((struct frame)S2C(51, ACK, 1901, 301, 1400), "text"),
	          with_payload((struct frame)C2S(60, ACK, 301, 3301, 200), get)},
	         {0, 0, 0, CU_HINT_HTTP_REQUEST, 0, CU_HINT_HTTP_RESPONSE, 0, CU_HINT_HTTP_REQUEST}},
		{"the start of a request was lost and comes later",
	         {HANDSHAKE, with_payload((struct frame)C2S(30, ACK, 1501, 501, 200), "tail"),
	          with_payload((struct frame)C2S(40, ACK, 101, 501, 1400), get)},
	         {0, 0, 0, 0, CU_HINT_HTTP_REQUEST}},
		{"one direction only, and pipelined: each request begins with its head",
	         {C2S(0, ACK, 101, 501, 0), with_payload((struct frame)C2S(30, ACK, 101, 501, 200), get),
	          with_payload((struct frame)C2S(50, ACK, 301, 901, 200), get),
	          with_payload((struct frame)C2S(60, ACK, 501, 901, 200), "body"),
	          with_payload((struct frame)C2S(61, ACK, 301, 901, 200), get)},
	         {0, CU_HINT_HTTP_REQUEST, CU_HINT_HTTP_REQUEST, 0, 0}},
		{"a keep-alive is no turn",
	         {HANDSHAKE, with_payload((struct frame)C2S(30, ACK, 101, 501, 200), get),
	          with_payload((struct frame)S2C(50, ACK, 501, 301, 100), ok),
	          with_payload((struct frame)C2S(60, ACK, 300, 601, 1), "x"),
	          with_payload((struct frame)S2C(70, ACK, 601, 301, 100), data)},
	         {0, 0, 0, CU_HINT_HTTP_REQUEST, CU_HINT_HTTP_RESPONSE, 0, 0}},
		{"TLS: the handshake's records, then turns and alerts",
	         {C2S(0, ACK, 101, 501, 0), with_payload((struct frame)C2S(30, ACK, 101, 501, 517), hello),
	          with_payload((struct frame)S2C(50, ACK, 501, 618, 1400), handshake),
	          with_payload((struct frame)S2C(51, ACK, 1901, 618, 1400), handshake),
	          with_payload((struct frame)C2S(60, ACK, 618, 3301, 200), data),
	          with_payload((struct frame)C2S(61, ACK, 818, 3301, 200), data),
	          with_payload((struct frame)C2S(62, ACK, 1018, 3301, 200), handshake),
	          with_payload((struct frame)C2S(63, ACK, 1218, 3301, 20), alert)},
	         {0, CU_HINT_TLS_CLIENT_HELLO, CU_HINT_TLS_HANDSHAKE, CU_HINT_TLS_HANDSHAKE, CU_HINT_TLS_DATA, 0, 0,
	          CU_HINT_TLS_ALERT}},
		{"TLS from the middle on: an alert, too",
	         {C2S(0, ACK, 101, 501, 0), with_payload((struct frame)C2S(30, ACK, 101, 501, 200), data),
	          with_payload((struct frame)S2C(50, ACK, 501, 301, 400), data),
	          with_payload((struct frame)S2C(51, ACK, 901, 301, 20), alert)},
	         {0, CU_HINT_TLS_DATA, CU_HINT_TLS_DATA, CU_HINT_TLS_ALERT}},
		{"an alert of what is no TLS",
	         {C2S(0, ACK, 101, 501, 0), with_payload((struct frame)C2S(30, ACK, 101, 501, 200), "x"),
	          with_payload((struct frame)S2C(50, ACK, 501, 301, 400), "x"),
	          with_payload((struct frame)S2C(51, ACK, 901, 301, 20), alert)},
	         {0, 0, 0, 0}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result result = run_frames(cases[i].frames, &defaults);
		for (size_t k = 1; k < result.n_frames; k++) {
			if (result.frames[k].segment.hint.kind != cases[i].kinds[k - 1]) {
				fail_msg("%s: frame %zu has hint %u", cases[i].name, k,
				         result.frames[k].segment.hint.kind);
			}
		}
		release(&result);
		struct result without = run_frames(cases[i].frames, &(struct cu_flowify_config){.no_hints = true});
		for (size_t k = 1; k < without.n_frames; k++) {
			assert_int_equal(without.frames[k].segment.hint.kind, CU_HINT_NONE);
		}
		release(&without);
	}
}

/* What was written stays as it is: a hint that comes later leaves the guess what it was. */
static void test_flowify_hint_too_late(void **state)
{
	(void)state;
	enum { MANY = 450 };
	struct frame frames[MANY + 3];
	for (uint32_t k = 0; k < MANY; k++) {
		frames[k] = (struct frame)S2C(k, ACK, 501 + k, 101, 1);
	}
	frames[MANY] = with_payload((struct frame)S2C(600, ACK, 501 + MANY, 101, 200), "GET / HTTP/1.1\r\n");
	frames[MANY + 1] = (struct frame)C2S(601, ACK, 101, 701 + MANY, 9);
	frames[MANY + 2] = (struct frame){0};
	struct result result = run_frames(frames, &defaults);
	assert_int_equal(result.n_connections, 1);
	assert_int_equal(result.connections[0].client_port, 40000);
	assert_int_equal(result.connections[0].role, CU_ROLE_GUESSED);
	assert_int_equal(result.frames[1].segment.dir, CU_S2C);
	assert_int_equal(result.frames[MANY + 1].segment.dir, CU_S2C);
	release(&result);
}

/* A chunk is full when the next segment may not fit: the longest hint comes behind any number of short segments. */
static void test_flowify_hint_at_the_end_of_a_chunk(void **state)
{
	(void)state;
	enum { LEAST = 250, MOST = 450 };
	static const char get[] = "GET /a-path-that-is-longer-than-what-is-kept-of-it-and-so-is-cut-there HTTP/1.1\r\n";
	struct frame frames[MOST + 6];
	for (uint32_t n = LEAST; n < MOST; n++) {
		size_t at = 0;
		frames[at++] = (struct frame)C2S(0, SYN, 100, 0, 0);
		frames[at++] = (struct frame)S2C(1, SYN | ACK, 500, 101, 0);
		for (uint32_t k = 0; k < n; k++) {
			frames[at++] = (struct frame)S2C(2 + k, ACK, 501 + k, 101, 1);
		}
		frames[at++] = with_payload((struct frame)C2S(600, ACK, 101, 501 + n, 200), get);
		frames[at++] = (struct frame)S2C(601, ACK, 501 + n, 301, 9);
		frames[at] = (struct frame){0};
		struct result result = run_frames(frames, &defaults);
		assert_int_equal(result.n_connections, 1);
		for (size_t i = 1; i < result.n_frames; i++) {
			assert_true(result.frames[i].is_seen);
			assert_int_equal(result.frames[i].segment.seq, frames[i - 1].seq);
		}
		assert_int_equal(result.frames[result.n_frames - 2].segment.hint.text_len, CU_HINT_TEXT_CAP);
		release(&result);
	}
}

/* Requests come from the client, and answers from the server, wherever a capture begins and whatever the ports are. */
static void test_flowify_finds_client_by_hint(void **state)
{
	(void)state;
	static const char get[] = "GET /a HTTP/1.1\r\n";
	static const char ok[] = "HTTP/1.1 200 OK\r\n";
	static const char hello[] = "\x16\x03\x01\x02\x01\x01\x01\x01\x01\x03\x03";
	static const char hello_back[] = "\x16\x03\x03\x01\x01\x02\x10";
	static const char data[] = "\x17\x03\x03\x01\x10xxxx";
	const struct {
		const char *name;
		struct frame frames[6];
		uint16_t client_port;
		enum cu_role_source role;
	} cases[] = {
		{"a request first", {with_payload((struct frame)S2C(0, ACK, 501, 101, 200), get)}, 80, CU_ROLE_HINT},
		{"an answer first", {with_payload((struct frame)C2S(0, ACK, 101, 501, 200), ok)}, 80, CU_ROLE_HINT},
		{"a request behind other data",
	         {C2S(0, ACK, 101, 501, 9), S2C(1, ACK, 501, 110, 0),
	          with_payload((struct frame)S2C(2, ACK, 501, 110, 200), get), C2S(3, ACK, 110, 701, 9)},
	         80,
	         CU_ROLE_HINT},
		{"an answer in mid-life",
	         {S2C(0, ACK, 501, 101, 9), C2S(1, ACK, 101, 510, 0), S2C(2, ACK, 510, 101, 9),
	          with_payload((struct frame)C2S(3, ACK, 101, 519, 200), ok)},
	         80,
	         CU_ROLE_HINT},
		{"a ClientHello", {with_payload((struct frame)S2C(0, ACK, 501, 101, 200), hello)}, 80, CU_ROLE_HINT},
		{"a ServerHello",
	         {S2C(0, ACK, 501, 101, 0), with_payload((struct frame)C2S(1, ACK, 101, 501, 200), hello_back)},
	         80,
	         CU_ROLE_HINT},
		{"a guess confirmed",
	         {C2S(0, ACK, 101, 501, 0), with_payload((struct frame)C2S(1, ACK, 101, 501, 200), get)},
	         40000,
	         CU_ROLE_HINT},
		{"the first counts",
	         {with_payload((struct frame)C2S(0, ACK, 101, 501, 200), get),
	          with_payload((struct frame)S2C(1, ACK, 501, 301, 200), get)},
	         40000,
	         CU_ROLE_HINT},
		{"others tell nothing", {with_payload((struct frame)S2C(0, ACK, 501, 101, 200), data)}, 40000, 0},
		{"a SYN says otherwise",
	         {C2S(0, SYN, 100, 0, 0), with_payload((struct frame)S2C(1, ACK, 501, 101, 200), get)},
	         40000,
	         CU_ROLE_SYN},
		{"a SYN that comes late says otherwise",
	         {with_payload((struct frame)S2C(1, ACK, 501, 101, 200), get), C2S(2, SYN, 100, 0, 0)},
	         40000,
	         CU_ROLE_SYN},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct result result = run_frames(cases[i].frames, &defaults);
		assert_int_equal(result.n_connections, 1);
		const struct cu_connection *connection = &result.connections[0];
		if (connection->client_port != cases[i].client_port || connection->role != cases[i].role) {
			fail_msg("%s: port %u, role %u", cases[i].name, connection->client_port, connection->role);
		}
		for (size_t k = 1; k < result.n_frames; k++) {
			const struct frame *frame = &cases[i].frames[k - 1];
			const struct cu_segment *segment = &result.frames[k].segment;
			assert_int_equal(segment->dir, frame->src_port == cases[i].client_port ? CU_C2S : CU_S2C);
			assert_int_equal(segment->seq, frame->seq);
			assert_int_equal(segment->len, frame->len);
			assert_int_equal(segment->hint.kind != CU_HINT_NONE, frame->payload != NULL);
		}
		release(&result);
	}
}

/* ---- The whole ---- */

static uint8_t *bytes_of(const struct result *result, size_t *len)
{
	rewind(result->stream);
	*len = result->n_bytes;
	uint8_t *data = malloc(*len);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, *len, result->stream), *len);
	return data;
}

/* The seed of the hash is another in every run; the records are the same. */
static void test_flowify_deterministic(void **state)
{
	(void)state;
	uint8_t *first = NULL;
	size_t first_len = 0;
	for (int i = 0; i < 3; i++) {
		FILE *pcap = new_pcap();
		put_flood(pcap, 5000, 4);
		const struct cu_flowify_config config = {.memory_bytes = 1 << 20};
		struct result result = run(pcap, &config, 20000);
		size_t len;
		uint8_t *data = bytes_of(&result, &len);
		/* the header names the input, whose descriptor may differ; it is the same here */
		if (first == NULL) {
			first = data;
			first_len = len;
		} else {
			assert_int_equal(len, first_len);
			assert_memory_equal(data, first, len);
			free(data);
		}
		release(&result);
	}
	free(first);
}

static void test_flowify_empty_capture(void **state)
{
	(void)state;
	struct result result = run(new_pcap(), &defaults, 0);
	assert_int_equal(result.n_connections, 0);
	assert_int_equal(result.totals.n_packets, 0);
	release(&result);
}

static void count_progress(void *arg, const struct cu_capture *capture)
{
	assert_non_null(capture);
	++*(int *)arg;
}

static void test_flowify_reports_full_disk_and_progress(void **state)
{
	(void)state;
	FILE *full = fopen("/dev/full", "w");
	if (full == NULL) {
		skip();
	}
	FILE *pcap = new_pcap();
	put_flood(pcap, 50000, 3);
	fflush(pcap);
	char path[32];
	path_of(pcap, path);
	const char *paths[] = {path};
	for (int i = 0; i < 2; i++) {
		rewind(pcap);
		struct cu_capture *capture;
		struct cu_fault fault = {0};
		int n_progress = 0;
		const struct cu_capture_config inputs = {
			.paths = paths, .n_paths = 1, .progress = count_progress, .progress_arg = &n_progress};
		assert_int_equal(cu_capture_open(&capture, &inputs, &fault), 0);
		FILE *out = i == 0 ? fopen("/dev/null", "w") : full;
		struct cu_writer *writer;
		assert_int_equal(cu_writer_open(&writer, fileno(out), &(struct cu_writer_config){.no_compress = true}),
		                 0);
		struct cu_totals totals;
		int rc = cu_flowify(capture, writer, NULL, &totals);
		assert_int_equal(rc, i == 0 ? 0 : CU_ERR_IO);
		if (i == 0) {
			assert_int_equal(n_progress, 150000 / 65536);
		}
		cu_writer_close(writer);
		cu_capture_close(capture);
		fclose(out);
	}
	fclose(pcap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flowify_numbers_streams),
		cmocka_unit_test(test_flowify_vlan_separates),
		cmocka_unit_test(test_flowify_finds_client),
		cmocka_unit_test(test_flowify_fills_connection),
		cmocka_unit_test(test_flowify_syn_ack_that_is_acknowledged),
		cmocka_unit_test(test_flowify_timeline_within),
		cmocka_unit_test(test_flowify_across_files),
		cmocka_unit_test(test_flowify_fast_open),
		cmocka_unit_test(test_flowify_idle),
		cmocka_unit_test(test_flowify_idle_without_packets),
		cmocka_unit_test(test_flowify_times_step_back),
		cmocka_unit_test(test_flowify_flushes_chunks),
		cmocka_unit_test(test_flowify_memory_bounds_flood),
		cmocka_unit_test(test_flowify_many_open_stay),
		cmocka_unit_test(test_flowify_memory_bounds_timelines),
		cmocka_unit_test(test_flowify_finished_leave),
		cmocka_unit_test(test_flowify_end_of_capture),
		cmocka_unit_test(test_flowify_leave_after_wrong_time),
		cmocka_unit_test(test_flowify_icmp),
		cmocka_unit_test(test_flowify_fragments),
		cmocka_unit_test(test_flowify_fragments_by_identification),
		cmocka_unit_test(test_flowify_hints_first_of_turn),
		cmocka_unit_test(test_flowify_finds_client_by_hint),
		cmocka_unit_test(test_flowify_hint_too_late),
		cmocka_unit_test(test_flowify_hint_at_the_end_of_a_chunk),
		cmocka_unit_test(test_flowify_deterministic),
		cmocka_unit_test(test_flowify_empty_capture),
		cmocka_unit_test(test_flowify_reports_full_disk_and_progress),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
