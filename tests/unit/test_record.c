/* Records and timelines: random values survive the round trip, damage never reads out of bounds. */
#include "lib/base/error.h"
#include "lib/base/units.h"
#include "lib/record/record.h"
#include "tests/unit/any.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 2000 };

static int64_t any_time(void)
{
	return (int64_t)(any() % (uint64_t)CU_TIME_MAX_NS) * (next_random() % 2 ? 1 : -1);
}

/* A packet's. */
static int64_t any_seen(void)
{
	return (int64_t)(any() % (uint64_t)CU_TIME_MAX_NS);
}

static struct cu_addr any_addr(void)
{
	struct cu_addr addr = {.family = next_random() % 2 ? 4 : 6};
	for (int i = 0; i < (addr.family == 4 ? 4 : 16); i++) {
		addr.bytes[i] = (uint8_t)next_random();
	}
	return addr;
}

static struct cu_message any_message(void)
{
	return (struct cu_message){.n_bytes = any(),
	                           .first_frame = any(),
	                           .last_frame = any(),
	                           .first_file = (uint16_t)any(),
	                           .last_file = (uint16_t)any(),
	                           .n_retransmitted = any()};
}

static void assert_message_equal(const struct cu_message *a, const struct cu_message *b)
{
	assert_int_equal(a->n_bytes, b->n_bytes);
	assert_int_equal(a->first_frame, b->first_frame);
	assert_int_equal(a->last_frame, b->last_frame);
	assert_int_equal(a->first_file, b->first_file);
	assert_int_equal(a->last_file, b->last_file);
	assert_int_equal(a->n_retransmitted, b->n_retransmitted);
}

static void fill_transaction(struct cu_transaction *t)
{
	memset(t, 0, sizeof(*t));
	t->stream = any() & CU_STREAM_MAX;
	t->number = any();
	t->kind = (uint8_t)(next_random() % (CU_TXN_CLOSE + 1));
	t->outcome = (uint8_t)(next_random() % (CU_OUTCOME_OPEN + 1));
	t->file = (uint16_t)any();
	t->start_ns = any_time();
	t->total_ns = any_time();
	t->request = any_message();
	t->response = any_message();
	t->acked_frame = any();
	t->acked_file = (uint16_t)any();
	t->ack_delay_ns = any_time();
	t->loss_side = (uint8_t)(next_random() % (CU_LOSS_CAPTURE + 1));
	t->certainty = (uint8_t)(next_random() % 101);
	for (int cause = 0; cause < CU_N_CAUSES; cause++) {
		t->ledger[cause] = (struct cu_ledger_entry){any_time(), any(), any(), (uint16_t)any(), (uint16_t)any()};
	}
	t->name = (struct cu_text){.data = "GET /a", .len = (uint32_t)(next_random() % 7)};
	t->n_events = any();
	t->n_kept = (uint8_t)(next_random() % (CU_EVENT_CAP + 1));
	for (int e = 0; e < t->n_kept; e++) {
		t->events[e] = (struct cu_event){.kind = (uint8_t)(next_random() % CU_N_EVENTS),
		                                 .dir = (uint8_t)(next_random() % 2),
		                                 .count = (uint16_t)any(),
		                                 .file = (uint16_t)any(),
		                                 .frame = any(),
		                                 .time_ns = any_time()};
	}
	t->stretches = (struct cu_text){.data = "\1\2\0", .len = (uint32_t)(next_random() % 4)};
}

/* What is left of a record with a timeline within is the record without it, however its length was written. */
static void test_connection_without_timeline(void **state)
{
	(void)state;
	static const char timeline[300];
	static const uint32_t lens[] = {1, 127, 128, 300};
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct cu_connection connection = {.stream = 7, .first_frame = 9, .client_port = 80};
		struct cu_buf bare = {0}, whole = {0}, cut = {0};
		cu_connection_encode(&connection, &bare);
		connection.timeline = (struct cu_text){.data = timeline, .len = lens[i]};
		cu_connection_encode(&connection, &whole);
		cu_connection_encode_bare(&connection, whole.data, whole.len, &cut);
		assert_int_equal(cut.len, bare.len);
		assert_memory_equal(cut.data, bare.data, bare.len);

		/* A zero byte more in front of the text: longer than it need be. */
		struct cu_buf longer = {0};
		cu_buf_add(&longer, whole.data, whole.len - lens[i]);
		longer.data[longer.len - 1] |= 0x80;
		cu_buf_add_u8(&longer, 0);
		cu_buf_add(&longer, timeline, lens[i]);
		struct cu_connection decoded;
		assert_int_equal(cu_connection_decode(longer.data, longer.len, &decoded), 0);
		assert_int_equal(decoded.timeline.len, lens[i]);
		cu_buf_clear(&cut);
		cu_connection_encode_bare(&decoded, longer.data, longer.len, &cut);
		assert_int_equal(cut.len, bare.len);
		assert_memory_equal(cut.data, bare.data, bare.len);

		cu_buf_clear(&cut);
		decoded.timeline.len = 0;
		cu_connection_encode_bare(&decoded, bare.data, bare.len, &cut);
		assert_int_equal(cut.len, bare.len);
		cu_buf_release(&bare);
		cu_buf_release(&whole);
		cu_buf_release(&cut);
		cu_buf_release(&longer);
	}
}

static void test_stretches_round_trip(void **state)
{
	(void)state;
	struct cu_stretch in[CU_STRETCH_CAP], out;
	uint8_t buf[CU_STRETCH_CAP * CU_STRETCH_ENCODED_CAP];
	size_t len = 0;
	for (size_t i = 0; i < CU_STRETCH_CAP; i++) {
		int64_t ns = any_seen();
		in[i] = (struct cu_stretch){(uint8_t)(next_random() % CU_N_CAUSES), ns, ns >> next_random() % 64};
		len += cu_stretch_encode(&in[i], buf + len);
	}
	struct cu_cursor cur = cu_cursor_make(buf, len);
	for (size_t i = 0; i < CU_STRETCH_CAP; i++) {
		assert_true(cu_stretch_next(&cur, &out));
		assert_int_equal(in[i].cause, out.cause);
		assert_int_equal(in[i].ns, out.ns);
		assert_int_equal(in[i].other_ns, out.other_ns);
	}
	assert_false(cu_stretch_next(&cur, &out));
	/* No such cause; more of others than there is; cut short. */
	static const uint8_t bad[][3] = {{CU_N_CAUSES, 1, 0}, {1, 1, 2}, {1, 1, 0x80}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cur = cu_cursor_make(bad[i], sizeof(bad[i]));
		assert_false(cu_stretch_next(&cur, &out));
	}
}

static void test_transaction_round_trip(void **state)
{
	(void)state;
	struct cu_buf buf = {0};
	for (int round = 0; round < ROUNDS; round++) {
		struct cu_transaction in, out;
		fill_transaction(&in);
		cu_buf_clear(&buf);
		cu_transaction_encode(&in, &buf);
		assert_int_equal(cu_transaction_decode(buf.data, buf.len, &out), 0);
		assert_int_equal(out.name.len, in.name.len);
		assert_memory_equal(out.name.data ? out.name.data : "", in.name.data, in.name.len);
		out.name = in.name;
		assert_int_equal(out.stretches.len, in.stretches.len);
		if (in.stretches.len > 0) {
			assert_memory_equal(out.stretches.data, in.stretches.data, in.stretches.len);
		}
		assert_int_equal(in.total_ns, out.total_ns);
		for (int cause = 0; cause < CU_N_CAUSES; cause++) {
			const struct cu_ledger_entry *a = &in.ledger[cause], *b = &out.ledger[cause];
			assert_int_equal(a->ns, b->ns);
			assert_int_equal(a->first_frame, b->first_frame);
			assert_int_equal(a->last_frame, b->last_frame);
			assert_int_equal(a->first_file, b->first_file);
			assert_int_equal(a->last_file, b->last_file);
		}
		assert_message_equal(&in.request, &out.request);
		assert_message_equal(&in.response, &out.response);
		assert_int_equal(in.acked_file, out.acked_file);
		assert_int_equal(in.n_kept, out.n_kept);
		for (int e = 0; e < in.n_kept; e++) {
			assert_int_equal(in.events[e].frame, out.events[e].frame);
			assert_int_equal(in.events[e].file, out.events[e].file);
			assert_int_equal(in.events[e].time_ns, out.events[e].time_ns);
			assert_int_equal(in.events[e].count, out.events[e].count);
		}
	}
	cu_buf_release(&buf);
}

static void test_connection_round_trip(void **state)
{
	(void)state;
	struct cu_buf buf = {0};
	for (int round = 0; round < ROUNDS; round++) {
		struct cu_connection in = {.stream = any() & CU_STREAM_MAX,
		                           .client = any_addr(),
		                           .server = any_addr(),
		                           .client_port = (uint16_t)any(),
		                           .server_port = (uint16_t)any(),
		                           .role = (uint8_t)(next_random() % 4),
		                           .end = (uint8_t)(next_random() % 6),
		                           .continued = next_random() % 2,
		                           .followed = next_random() % 2,
		                           .start_ns = any_seen(),
		                           .end_ns = any_seen(),
		                           .first_frame = any(),
		                           .last_frame = any(),
		                           .n_ids = (uint8_t)(next_random() % (CU_VLAN_CAP + 1))};
		struct cu_connection out;
		for (int i = 0; i < in.n_ids; i++) {
			in.ids[i] = (uint32_t)any();
		}
		for (int dir = 0; dir < 2; dir++) {
			in.side[dir] = (struct cu_connection_side){.n_segments = any(),
			                                           .n_bytes = any(),
			                                           .isn = (uint32_t)any(),
			                                           .has_syn = next_random() % 2,
			                                           .syn = {.mss = (uint16_t)any(),
			                                                   .wscale = (uint8_t)(next_random() % 15),
			                                                   .has_wscale = next_random() % 2,
			                                                   .cut = next_random() % 2,
			                                                   .sack_permitted = next_random() % 2,
			                                                   .has_timestamps = next_random() % 2},
			                                           .ttl = (uint8_t)any()};
		}
		cu_buf_clear(&buf);
		cu_connection_encode(&in, &buf);
		assert_int_equal(cu_connection_decode(buf.data, buf.len, &out), 0);
		assert_true(cu_addr_equal(&in.client, &out.client));
		assert_true(cu_addr_equal(&in.server, &out.server));
		assert_int_equal(in.end_ns, out.end_ns);
		assert_int_equal(in.last_frame, out.last_frame);
		assert_int_equal(in.n_ids, out.n_ids);
		assert_memory_equal(in.ids, out.ids, sizeof(in.ids));
		for (int dir = 0; dir < 2; dir++) {
			assert_int_equal(in.side[dir].isn, out.side[dir].isn);
			assert_int_equal(in.side[dir].syn.mss, out.side[dir].syn.mss);
			assert_int_equal(in.side[dir].syn.wscale, out.side[dir].syn.wscale);
			assert_int_equal(in.side[dir].syn.has_wscale, out.side[dir].syn.has_wscale);
			assert_int_equal(in.side[dir].syn.cut, out.side[dir].syn.cut);
			assert_int_equal(in.side[dir].has_syn, out.side[dir].has_syn);
		}
	}
	cu_buf_release(&buf);
}

static void fill_analysis_side(struct cu_analysis_side *side, uint64_t (*number)(void))
{
	side->n_data_segments = number();
	side->n_gap_bytes = number();
	side->n_rtt_by_timestamp = number();
	side->rtt_min_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS);
	side->rtt_mean_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS);
	side->rtt_p90_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS);
	side->rtt_p99_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS);
	side->rtt_slice_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS);
	for (int i = 0; i < CU_RTT_SLICES; i++) {
		side->rtt_slice[i] = (struct cu_rtt_slice){.n = number(),
		                                           .min_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS),
		                                           .mean_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS),
		                                           .max_ns = (int64_t)(number() % (uint64_t)CU_TIME_MAX_NS)};
	}
	side->window.min_bytes = number();
	side->window.mean_bytes = number();
	side->window.max_bytes = number();
	side->window.flight_max_bytes = number();
	side->window.n_sent = number();
	side->window.n_edge = number();
	side->window.small = (uint8_t)(number() % 2);
	side->loss.n_segments = number();
	side->loss.n_lost = number();
	side->loss.n_runs = number();
	side->loss.longest = number();
	side->loss.enter_ppm = number();
	side->loss.leave_ppm = number();
	side->loss.pattern = (uint8_t)(number() % 3);
	side->n_syns = number();
	side->n_large = number();
	side->largest_bytes = number();
}

static uint64_t largest(void)
{
	return UINT64_MAX;
}

static void test_analysis_round_trip(void **state)
{
	(void)state;
	struct cu_buf buf = {0};
	for (int round = 0; round < ROUNDS; round++) {
		struct cu_analysis in, out;
		memset(&in, 0, sizeof(in));
		for (int dir = 0; dir < 2; dir++) {
			fill_analysis_side(&in.side[dir], round == 0 ? largest : any);
		}
		in.close = (uint8_t)(next_random() % (CU_CLOSE_HALF_OPEN + 1));
		in.reset = (uint8_t)(next_random() % (CU_RESET_UNHEEDED + 1));
		in.reset_by = (uint8_t)(next_random() % CU_N_PARTIES);
		in.reset_hops = (uint8_t)next_random();
		in.usual_hops = (uint8_t)next_random();
		in.reset_frame = any();
		in.reset_quiet_ns = any_time();
		cu_buf_clear(&buf);
		cu_analysis_encode(&in, &buf);
		assert_int_equal(cu_analysis_decode(buf.data, buf.len, &out), 0);
		assert_int_equal(in.close, out.close);
		assert_int_equal(in.reset, out.reset);
		assert_int_equal(in.reset_by, out.reset_by);
		assert_int_equal(in.reset_hops, out.reset_hops);
		assert_int_equal(in.usual_hops, out.usual_hops);
		assert_int_equal(in.reset_frame, out.reset_frame);
		assert_int_equal(in.reset_quiet_ns, out.reset_quiet_ns);
		for (int dir = 0; dir < 2; dir++) {
			const struct cu_analysis_side *a = &in.side[dir], *b = &out.side[dir];
			assert_int_equal(a->rtt_p99_ns, b->rtt_p99_ns);
			assert_memory_equal(a->rtt_slice, b->rtt_slice, sizeof(a->rtt_slice));
			assert_int_equal(a->window.flight_max_bytes, b->window.flight_max_bytes);
			assert_int_equal(a->window.n_edge, b->window.n_edge);
			assert_int_equal(a->window.small, b->window.small);
			assert_int_equal(a->loss.longest, b->loss.longest);
			assert_int_equal(a->loss.leave_ppm, b->loss.leave_ppm);
			assert_int_equal(a->loss.pattern, b->loss.pattern);
			assert_int_equal(a->largest_bytes, b->largest_bytes);
		}
	}
	cu_buf_release(&buf);
}

static void test_gap_and_scan_round_trip(void **state)
{
	(void)state;
	struct cu_buf buf = {0};
	for (int round = 0; round < ROUNDS; round++) {
		struct cu_gap in = {.rel_seq = any(),
		                    .frame = any(),
		                    .n_dup_acks = any(),
		                    .sack_file = (uint16_t)any()},
			      out;
		in.first_dup_frame = any();
		in.last_dup_frame = any();
		in.sack_frame = any();
		in.sack_left = any();
		in.sack_right = any();
		in.n_fills = any();
		in.first_fill_frame = any();
		in.first_fill_ns = any_time();
		cu_buf_clear(&buf);
		cu_gap_encode(&in, &buf);
		assert_int_equal(cu_gap_decode(buf.data, buf.len, &out), 0);
		assert_int_equal(in.first_dup_frame, out.first_dup_frame);
		assert_int_equal(in.last_dup_frame, out.last_dup_frame);
		assert_int_equal(in.sack_frame, out.sack_frame);
		assert_int_equal(in.sack_file, out.sack_file);
		assert_int_equal(in.sack_left, out.sack_left);
		assert_int_equal(in.sack_right, out.sack_right);
		assert_int_equal(in.n_fills, out.n_fills);
		assert_int_equal(in.first_fill_frame, out.first_fill_frame);
		assert_int_equal(in.first_fill_ns, out.first_fill_ns);

		struct cu_finding finding = {.addr = any_addr(), .count = any()}, found;
		finding.scan = (struct cu_scan){.n_open = any(),
		                                .n_closed = any(),
		                                .n_filtered = any(),
		                                .n_hosts = any(),
		                                .n_ports = any(),
		                                .host = any_addr(),
		                                .port = (uint16_t)any()};
		cu_buf_clear(&buf);
		cu_finding_encode(&finding, &buf);
		assert_int_equal(cu_finding_decode(buf.data, buf.len, &found), 0);
		assert_int_equal(finding.scan.n_open, found.scan.n_open);
		assert_int_equal(finding.scan.n_closed, found.scan.n_closed);
		assert_int_equal(finding.scan.n_filtered, found.scan.n_filtered);
		assert_int_equal(finding.scan.n_hosts, found.scan.n_hosts);
		assert_int_equal(finding.scan.n_ports, found.scan.n_ports);
		assert_int_equal(finding.scan.port, found.scan.port);
		assert_true(cu_addr_equal(&finding.scan.host, &found.scan.host));
	}
	cu_buf_release(&buf);
}

static void test_decode_of_garbage_never_fails_but_by_saying_so(void **state)
{
	(void)state;
	for (int round = 0; round < 20 * ROUNDS; round++) {
		/* On the heap, so that a sanitizer sees every byte beyond. */
		size_t len = next_random() % 80;
		uint8_t *data = malloc(len + 1);
		union {
			struct cu_connection connection;
			struct cu_analysis analysis;
			struct cu_gap gap;
			struct cu_transaction transaction;
			struct cu_verdict verdict;
			struct cu_finding finding;
			struct cu_totals totals;
		} out;
		assert_non_null(data);
		for (size_t i = 0; i < len; i++) {
			data[i] = next_random() % 3 ? (uint8_t)(next_random() % 48) : (uint8_t)next_random();
		}
		cu_connection_decode(data, len, &out.connection);
		cu_analysis_decode(data, len, &out.analysis);
		cu_gap_decode(data, len, &out.gap);
		if (cu_transaction_decode(data, len, &out.transaction) == 0) {
			assert_true(out.transaction.n_kept <= CU_EVENT_CAP);
		}
		cu_verdict_decode(data, len, &out.verdict);
		cu_finding_decode(data, len, &out.finding);
		cu_totals_decode(data, len, &out.totals);
		struct cu_chunk chunk;
		if (cu_chunk_open(data, len, &chunk) == 0) {
			struct cu_timeline_reader reader;
			struct cu_segment segment;
			cu_timeline_open(&reader, &chunk.start, &chunk.segments);
			while (cu_timeline_next(&reader, &segment) == 1) {
				assert_true(segment.n_sack <= CU_SACK_CAP && segment.hint.text_len <= CU_HINT_TEXT_CAP);
			}
		}
		free(data);
	}
}

static void test_decode_skips_fields_of_later_versions(void **state)
{
	/* Fields 1, 5 and 30 of a gap: 7, 9, and bytes that nobody knows. */
	static const uint8_t gap_record[] = {0x91, 0x80, 0x80, 0x80, 0x02, 7, 9, 2, 'x', 'y'};
	/* Fields 1 and 9 of a transaction; the answer has fields 1 and 6, of which 6 is a later number. */
	static const uint8_t transaction_record[] = {0x81, 0x02, 7, 0x21, 9, 0x85, 0x01};
	struct cu_gap gap;
	struct cu_transaction transaction;
	(void)state;
	assert_int_equal(cu_gap_decode(gap_record, sizeof(gap_record), &gap), 0);
	assert_int_equal(gap.stream, 7);
	assert_int_equal(gap.n_bytes, 9);
	assert_int_equal(cu_transaction_decode(transaction_record, sizeof(transaction_record), &transaction), 0);
	assert_int_equal(transaction.stream, 7);
	assert_int_equal(transaction.response.n_bytes, 9);
}

static void test_decode_refuses_what_is_out_of_range(void **state)
{
	static const uint8_t direction[] = {0x02, 2};
	static const uint8_t overrun[] = {0x02};
	static const uint8_t trailing[] = {0x02, 1, 1};
	static const uint8_t cause[] = {0x80, 0x80, 0x04, 0x80, 0x80, 0x02, 1, 2};
	struct cu_gap gap;
	struct cu_transaction transaction;
	(void)state;
	assert_int_equal(cu_gap_decode(direction, sizeof(direction), &gap), CU_ERR_FORMAT);
	assert_int_equal(cu_gap_decode(overrun, sizeof(overrun), &gap), CU_ERR_FORMAT);
	assert_int_equal(cu_gap_decode(trailing, sizeof(trailing), &gap), CU_ERR_FORMAT);
	assert_int_equal(cu_gap_decode(trailing, sizeof(trailing) - 1, &gap), 0);
	assert_int_equal(cu_transaction_decode(cause, sizeof(cause), &transaction), CU_ERR_FORMAT);
	/* Numbers of connections, the largest and one more: of a gap, and of a chunk. */
	static const uint8_t stream[] = {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f},
			     too_high[] = {1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20};
	uint8_t chunk_record[6 + 4 + 10] = {0};
	struct cu_chunk chunk;
	assert_int_equal(cu_gap_decode(stream, sizeof(stream), &gap), 0);
	assert_int_equal(gap.stream, CU_STREAM_MAX);
	assert_int_equal(cu_gap_decode(too_high, sizeof(too_high), &gap), CU_ERR_FORMAT);
	memcpy(chunk_record, stream + 1, 6);
	assert_int_equal(cu_chunk_open(chunk_record, sizeof(chunk_record), &chunk), 0);
	memcpy(chunk_record, too_high + 1, 6);
	assert_int_equal(cu_chunk_open(chunk_record, sizeof(chunk_record), &chunk), CU_ERR_FORMAT);
	/* A kind that is none, and a name: what is left of it can be encoded. */
	static const uint8_t name[] = {0x84, 0x80, 0x08, 200, 1, 3, 'a', 'b', 'c'};
	struct cu_buf buf = {0};
	assert_int_equal(cu_transaction_decode(name, sizeof(name), &transaction), CU_ERR_FORMAT);
	cu_transaction_encode(&transaction, &buf);
	cu_buf_release(&buf);
}

/* What differs from another time by more than 64 bits can hold was written by nobody. */
static void test_decode_refuses_times_out_of_range(void **state)
{
	(void)state;
	static const struct {
		int64_t start_ns, end_ns;
		bool of_connection, of_transaction;
	} cases[] = {
		{0, CU_TIME_MAX_NS, true, true},
		{CU_TIME_MAX_NS, 0, true, true},
		{-1, 0, false, true},
		{0, -1, false, true},
		{-CU_TIME_MAX_NS, CU_TIME_MAX_NS, false, true},
		{CU_TIME_MAX_NS + 1, 0, false, false},
		{0, CU_TIME_MAX_NS + 1, false, false},
		{-CU_TIME_MAX_NS - 1, 0, false, false},
		{0, -CU_TIME_MAX_NS - 1, false, false},
		{INT64_MIN, INT64_MAX, false, false},
		{INT64_MAX, INT64_MIN, false, false},
	};
	struct cu_buf buf = {0};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_connection connection = {.start_ns = cases[i].start_ns, .end_ns = cases[i].end_ns};
		struct cu_transaction transaction = {.start_ns = cases[i].start_ns, .total_ns = cases[i].end_ns};
		struct cu_totals totals = {.first_ns = cases[i].start_ns, .last_ns = cases[i].end_ns};
		cu_buf_clear(&buf);
		cu_connection_encode(&connection, &buf);
		assert_int_equal(cu_connection_decode(buf.data, buf.len, &connection) == 0, cases[i].of_connection);
		cu_buf_clear(&buf);
		cu_totals_encode(&totals, &buf);
		assert_int_equal(cu_totals_decode(buf.data, buf.len, &totals) == 0, cases[i].of_connection);
		cu_buf_clear(&buf);
		cu_transaction_encode(&transaction, &buf);
		assert_int_equal(cu_transaction_decode(buf.data, buf.len, &transaction) == 0, cases[i].of_transaction);
	}
	cu_buf_release(&buf);
}

/* Steps that lead out of the range, and a window that changes by more than one can. */
static void test_timeline_refuses_times_out_of_range(void **state)
{
	(void)state;
	static const struct {
		int64_t start_ns, step_ns;
		bool refused;
	} cases[] = {{0, 1, false}, {0, CU_TIME_MAX_NS, false}, {0, -1, true}, {1, CU_TIME_MAX_NS, true}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[2 * CU_SEGMENT_ENCODED_CAP];
		struct cu_timeline_state to = {0};
		struct cu_timeline_reader from;
		struct cu_segment segment = {.time_ns = cases[i].start_ns, .window = 7};
		size_t len = cu_timeline_encode(&to, &segment, bytes);
		segment.time_ns += cases[i].step_ns;
		len += cu_timeline_encode(&to, &segment, bytes + len);
		struct cu_cursor cur = cu_cursor_make(bytes, len);
		cu_timeline_open(&from, &to.start, &cur);
		assert_int_equal(cu_timeline_next(&from, &segment), 1);
		assert_int_equal(cu_timeline_next(&from, &segment) < 0, cases[i].refused);
	}
	/* HAS_WINDOW twice, the second by as much as a varint can say: the window is what is left of it. */
	static const uint8_t window[] = {0x20, 0,    0,    2,    0x20, 0,    0,    0xfe, 0xff,
	                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
	struct cu_cursor cur = cu_cursor_make(window, sizeof(window));
	struct cu_timeline_reader from;
	struct cu_segment segment;
	cu_timeline_open(&from, &(struct cu_timeline_start){0}, &cur);
	assert_int_equal(cu_timeline_next(&from, &segment), 1);
	assert_int_equal(cu_timeline_next(&from, &segment), 1);
	assert_int_equal(segment.window, 0);
}

static void test_timeline_round_trip(void **state)
{
	(void)state;
	struct cu_timeline_state encoder = {0};
	static struct cu_segment in[ROUNDS];
	struct cu_buf buf = {0};
	struct cu_segment last = {.time_ns = INT64_C(1700000000000000000), .ttl = 64};

	for (int i = 0; i < ROUNDS; i++) {
		in[i] = last = any_segment(&last);
		assert_true(cu_buf_reserve(&buf, CU_SEGMENT_ENCODED_CAP));
		size_t n = cu_timeline_encode(&encoder, &in[i], buf.data + buf.len);
		assert_true(n <= CU_SEGMENT_ENCODED_CAP);
		buf.len += n;
	}
	struct cu_timeline_reader reader;
	struct cu_cursor cur = cu_cursor_make(buf.data, buf.len);
	cu_timeline_open(&reader, &encoder.start, &cur);
	for (int i = 0; i < ROUNDS; i++) {
		struct cu_segment out;
		assert_int_equal(cu_timeline_next(&reader, &out), 1);
		assert_int_equal(out.time_ns, in[i].time_ns);
		assert_int_equal(out.frame, in[i].frame);
		assert_int_equal(out.file, in[i].file);
		assert_int_equal(out.dir, in[i].dir);
		assert_int_equal(out.ttl, in[i].ttl);
		assert_int_equal(out.flags, in[i].flags);
		assert_int_equal(out.window, in[i].window);
		assert_int_equal(out.ip_id, in[i].ip_id);
		assert_int_equal(out.seq, in[i].seq);
		assert_int_equal(out.ack, in[i].ack);
		assert_int_equal(out.len, in[i].len);
		assert_int_equal(out.has_timestamps, in[i].has_timestamps);
		assert_int_equal(out.tsval, in[i].tsval);
		assert_int_equal(out.tsecr, in[i].tsecr);
		assert_int_equal(out.n_sack, in[i].n_sack);
		assert_memory_equal(out.sack, in[i].sack, sizeof(in[i].sack[0]) * in[i].n_sack);
		assert_int_equal(out.hint.kind, in[i].hint.kind);
		assert_int_equal(out.hint.text_len, in[i].hint.text_len);
		assert_memory_equal(out.hint.text, in[i].hint.text, in[i].hint.text_len);
	}
	struct cu_segment none;
	assert_int_equal(cu_timeline_next(&reader, &none), 0);
	cu_buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transaction_round_trip),
		cmocka_unit_test(test_stretches_round_trip),
		cmocka_unit_test(test_connection_round_trip),
		cmocka_unit_test(test_connection_without_timeline),
		cmocka_unit_test(test_analysis_round_trip),
		cmocka_unit_test(test_gap_and_scan_round_trip),
		cmocka_unit_test(test_decode_of_garbage_never_fails_but_by_saying_so),
		cmocka_unit_test(test_decode_skips_fields_of_later_versions),
		cmocka_unit_test(test_decode_refuses_what_is_out_of_range),
		cmocka_unit_test(test_decode_refuses_times_out_of_range),
		cmocka_unit_test(test_timeline_refuses_times_out_of_range),
		cmocka_unit_test(test_timeline_round_trip),
	};
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
