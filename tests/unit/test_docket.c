/* Connections judged by several threads: the same stream, whoever judged them, and none lost for another's damage. */
#include "lib/base/error.h"
#include "lib/blame/analyze.h"
#include "lib/blame/docket.h"
#include "lib/record/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { CONNECTIONS = 3000, LARGE_EACH = 500, LARGE_SEGMENTS = 3000 };

struct stream {
	uint8_t *data;
	size_t len;
};

/* A client that sends one byte after another, and a server that acknowledges each. */
static void add_segments(struct cu_connection *connection, struct cu_chunk *chunk, struct cu_buf *bytes, unsigned n)
{
	struct cu_timeline_state state = {0};
	for (unsigned i = 0; i < n; i++) {
		struct cu_segment segment = {
			.time_ns = connection->start_ns + (int64_t)i * 1000000,
			.frame = connection->first_frame + i,
			.dir = i % 2,
			.ttl = 64,
			.flags = CU_TCP_ACK | (i % 2 == 0 ? CU_TCP_PSH : 0),
			.window = 500,
			.ip_id = (uint16_t)(i + 1),
			.seq = i % 2 == 0 ? 1 + i / 2 : 1,
			.ack = i % 2 == 0 ? 1 : 2 + i / 2,
			.len = i % 2 == 0,
		};
		uint8_t encoded[CU_SEGMENT_ENCODED_CAP];
		cu_buf_add(bytes, encoded, cu_timeline_encode(&state, &segment, encoded));
		connection->side[segment.dir].n_segments++;
		connection->side[segment.dir].n_bytes += segment.len;
	}
	*chunk = (struct cu_chunk){
		.stream = connection->stream,
		.n_segments = n,
		.start = state.start,
		.segments = cu_cursor_make(bytes->data, bytes->len),
	};
}

static void put(struct cu_writer *writer, enum cu_record_kind kind, const struct cu_buf *buf)
{
	assert_false(buf->failed);
	assert_int_equal(cu_writer_add(writer, kind, buf->data, buf->len), 0);
}

enum damage { CUT, MORE_THAN_IT_SAYS };

/* damaged: the connection whose last segment is cut, or not counted; CONNECTIONS: none. */
static struct stream make_flows(unsigned damaged, enum damage damage)
{
	static const struct cu_stream_file file = {"a.pcap", 96, 1};
	struct cu_stream_header header = {.tool = "test", .files = &file, .n_files = 1};
	struct cu_writer_config config = {.no_compress = true};
	struct cu_writer *writer;
	struct cu_buf segments = {0}, buf = {0};
	int fd = memfd_create("flows", 0);
	assert_int_equal(cu_writer_open(&writer, fd, &config), 0);
	assert_int_equal(cu_writer_header(writer, &header), 0);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct cu_connection connection = {
			.stream = i,
			.client = {.family = 4, .bytes = {10, 0, 0, (uint8_t)(i % 5)}},
			.server = {.family = 4, .bytes = {10, 1, 0, 1}},
			.client_port = (uint16_t)(1024 + i),
			.server_port = 80,
			.end = CU_END_IDLE,
			.start_ns = (int64_t)i * 1000000,
			.first_frame = 1 + i,
			.last_frame = 1 + i,
		};
		struct cu_chunk chunk;
		cu_buf_clear(&segments);
		cu_buf_clear(&buf);
		add_segments(&connection, &chunk, &segments,
		             i % LARGE_EACH == LARGE_EACH - 1 ? LARGE_SEGMENTS : 4 + i % 7);
		if (i == damaged) {
			chunk.segments.end -= damage == CUT;
			chunk.n_segments -= damage == MORE_THAN_IT_SAYS;
		}
		cu_chunk_encode(&chunk, &buf);
		put(writer, CU_RECORD_CHUNK, &buf);
		cu_buf_clear(&buf);
		cu_connection_encode(&connection, &buf);
		put(writer, CU_RECORD_CONNECTION, &buf);
	}
	assert_int_equal(cu_writer_finish(writer), 0);
	struct stream flows = {.len = (size_t)cu_writer_n_bytes(writer)};
	flows.data = malloc(flows.len);
	assert_int_equal(pread(fd, flows.data, flows.len, 0), (ssize_t)flows.len);
	cu_writer_close(writer);
	close(fd);
	cu_buf_release(&segments);
	cu_buf_release(&buf);
	return flows;
}

/* fault: of the reader. */
static struct stream analyze(const struct stream *flows, unsigned n_jobs, uint64_t memory_bytes, int expected,
                             struct cu_fault *fault)
{
	struct cu_analyze_config config = {.n_jobs = n_jobs, .memory_bytes = memory_bytes};
	struct cu_writer_config output = {.no_compress = true};
	struct cu_analyze_counts counts;
	struct cu_reader *reader;
	struct cu_writer *writer;
	int in = memfd_create("in", 0), out = memfd_create("out", 0);
	assert_int_equal(pwrite(in, flows->data, flows->len, 0), (ssize_t)flows->len);
	assert_int_equal(cu_reader_open(&reader, in, "in"), 0);
	assert_int_equal(cu_writer_open(&writer, out, &output), 0);
	assert_int_equal(cu_analyze(&reader, 1, writer, &config, &counts), expected);
	*fault = *cu_reader_fault(reader);
	struct stream said = {.len = (size_t)cu_writer_n_bytes(writer)};
	said.data = malloc(said.len);
	assert_int_equal(pread(out, said.data, said.len, 0), (ssize_t)said.len);
	cu_writer_close(writer);
	cu_reader_close(reader);
	close(in);
	close(out);
	return said;
}

static unsigned count(const struct stream *stream, enum cu_record_kind kind)
{
	struct cu_reader *reader;
	struct cu_record record;
	unsigned n = 0;
	int item, fd = memfd_create("said", 0);
	assert_int_equal(pwrite(fd, stream->data, stream->len, 0), (ssize_t)stream->len);
	assert_int_equal(cu_reader_open(&reader, fd, "said"), 0);
	while ((item = cu_reader_next(reader, &record)) > 0) {
		n += item == CU_STREAM_RECORD && record.kind == kind;
	}
	assert_int_equal(item, 0);
	cu_reader_close(reader);
	close(fd);
	return n;
}

static void check_same(const struct stream *a, const struct stream *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

static void test_jobs_do_not_show(void **state)
{
	(void)state;
	struct cu_fault fault;
	struct stream flows = make_flows(CONNECTIONS, CUT);
	struct stream alone = analyze(&flows, 1, 0, 0, &fault);
	assert_int_equal(count(&alone, CU_RECORD_ANALYSIS), CONNECTIONS);
	for (unsigned n_jobs = 2; n_jobs <= 5; n_jobs++) {
		struct stream several = analyze(&flows, n_jobs, 0, 0, &fault);
		check_same(&alone, &several);
		free(several.data);
	}
	/* So little memory that the large ones are alone, or in parts. */
	for (uint64_t memory_bytes = 2 << 20; memory_bytes <= 8 << 20; memory_bytes *= 2) {
		struct stream one = analyze(&flows, 1, memory_bytes, 0, &fault);
		struct stream several = analyze(&flows, 3, memory_bytes, 0, &fault);
		check_same(&one, &several);
		free(one.data);
		free(several.data);
	}
	free(alone.data);
	free(flows.data);
}

static void test_damage_costs_one_connection(void **state)
{
	(void)state;
	for (unsigned n_jobs = 1; n_jobs <= 6; n_jobs++) {
		struct cu_fault fault;
		struct stream flows = make_flows(37, n_jobs % 2 == 0 ? CUT : MORE_THAN_IT_SAYS);
		struct stream said = analyze(&flows, n_jobs, 0, CU_ERR_FORMAT, &fault);
		assert_string_equal(fault.text,
		                    "in: record 76 in the block at byte 143: the timeline of connection 37 is damaged");
		assert_int_equal(count(&said, CU_RECORD_CONNECTION), CONNECTIONS);
		assert_int_equal(count(&said, CU_RECORD_ANALYSIS), CONNECTIONS - 1);
		free(said.data);
		free(flows.data);
	}
}

/* What is on its way when a connection of so many segments is closed that says how many of them it has. */
static size_t in_flight_after(unsigned n_segments, bool says_it)
{
	struct cu_connection connection = {.client = {.family = 4}, .server = {.family = 4}, .first_frame = 1};
	const struct cu_record_place place = {0};
	struct cu_writer_config output = {.no_compress = true};
	struct cu_writer *writer;
	struct cu_docket docket;
	struct cu_chunk chunk;
	struct cu_buf segments = {0};
	int fd = memfd_create("out", 0);
	assert_int_equal(cu_writer_open(&writer, fd, &output), 0);
	const struct cu_docket_config config = {.writer = writer, .n_jobs = 1, .segments_cap = 1 << 20};
	assert_int_equal(cu_docket_init(&docket, &config), 0);
	add_segments(&connection, &chunk, &segments, n_segments);
	connection.timeline = (struct cu_text){.data = (const char *)segments.data, .len = (uint32_t)segments.len};
	if (!says_it) {
		connection.side[CU_C2S].n_segments = connection.side[CU_S2C].n_segments = 0;
	}
	assert_int_equal(cu_docket_open(&docket, &connection, &place), 0);
	assert_int_equal(cu_docket_close(&docket), 0);
	size_t in_flight = docket.in_flight_bytes;
	assert_true(in_flight == 0 || in_flight >= segments.len);
	cu_docket_release(&docket);
	cu_writer_close(writer);
	close(fd);
	cu_buf_release(&segments);
	return in_flight;
}

/* A connection waits for others only if it is small, whatever it says. */
static void test_large_ones_do_not_wait(void **state)
{
	(void)state;
	assert_int_equal(in_flight_after(10, true), 0);
	assert_int_equal(in_flight_after(10, false), 0);
	assert_true(in_flight_after(20000, true) > 0);
	assert_true(in_flight_after(20000, false) > 0);
	assert_true(in_flight_after(3000, false) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs_do_not_show),
		cmocka_unit_test(test_damage_costs_one_connection),
		cmocka_unit_test(test_large_ones_do_not_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
