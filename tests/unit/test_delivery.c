/* What was lost, where, and which copy arrived. */
#include "tests/unit/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ACK = CU_TCP_ACK, PSH = CU_TCP_PSH | CU_TCP_ACK };

#define US CU_NS_PER_US

static const struct cu_piece *piece_at(const struct talk *talk, int dir, int64_t seq)
{
	const struct cu_delivery *delivery = &talk->delivery[dir];
	size_t p = cu_delivery_find(delivery, seq);
	assert_true(p < delivery->n_pieces);
	return &delivery->piece[p];
}

static void test_delivery_seen_twice_was_lost_after(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 230000, CU_S2C, ACK, 1, 101, 0);
	talk_analyse(&talk);
	const struct cu_piece *piece = piece_at(&talk, CU_C2S, 1);
	assert_int_equal(piece->loss, CU_LOSS_AFTER);
	assert_int_equal(piece->due_ns, t * US);
	assert_int_equal(piece->arrive_ns, (t + 200000) * US);
	talk_release(&talk);
}

static void test_delivery_ack_too_soon_means_the_first_copy_came(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 205000, CU_S2C, ACK, 1, 101, 0);
	talk_analyse(&talk);
	assert_int_equal(piece_at(&talk, CU_C2S, 1)->loss, CU_LOSS_NONE);
	assert_true(cu_is(&talk.trace.segment[4], CU_EVENT_SPURIOUS_RETRANSMISSION));
	talk_release(&talk);
}

/*
 * An ACK kept back until the sender's timer had ended, and then one of the copy:
 * who has both copies acknowledges twice. One who had the second alone does not,
 * and what else passed may have asked for an ACK, too.
 */
static void test_delivery_a_second_ack_means_the_first_copy_came(void **state)
{
	(void)state;
	static const struct {
		int64_t second_us; /* after the copy; 0: none */
		bool with_another, without_ids;
		enum cu_loss_side loss;
	} cases[] = {
		{30100, false, false, CU_LOSS_NONE},  {0, false, false, CU_LOSS_AFTER},
		{90000, false, false, CU_LOSS_AFTER}, {30100, true, false, CU_LOSS_AFTER},
		{30100, false, true, CU_LOSS_AFTER}, /* the network may have doubled the ACK */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
		if (cases[i].with_another) {
			talk_add(&talk, t + 200010, CU_C2S, PSH, 1, 1, 100);
		}
		talk_add(&talk, t + 230000, CU_S2C, ACK, 1, 101, 0);
		if (cases[i].second_us != 0) {
			talk_add(&talk, t + 200000 + cases[i].second_us, CU_S2C, ACK, 1, 101, 0);
		}
		for (size_t s = 0; s < talk.n && cases[i].without_ids; s++) {
			talk.segment[s].ip_id = 0;
		}
		talk_analyse(&talk);
		assert_int_equal(piece_at(&talk, CU_C2S, 1)->loss, cases[i].loss);
		talk_release(&talk);
	}
}

/*
 * Copies that come closer together than a round trip tells apart: nobody had
 * missed the first when the second was sent. A clock that steps back says
 * nothing of the kind.
 */
static void test_delivery_a_copy_right_behind_is_for_no_loss(void **state)
{
	static const struct {
		int64_t apart_us;
		enum cu_loss_side loss;
	} cases[] = {{20, CU_LOSS_NONE}, {-1000, CU_LOSS_AFTER}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + cases[i].apart_us, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 30010, CU_S2C, ACK, 1, 101, 0);
		talk_analyse(&talk);
		assert_int_equal(piece_at(&talk, CU_C2S, 1)->loss, cases[i].loss);
		talk_release(&talk);
	}
}

/* A coarse clock has the ACK at the copy's time: it came after it, and does not say that the first had come. */
static void test_delivery_ack_at_the_same_time_came_after(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_handshake(&talk, 0, 0);
	talk_add(&talk, 1000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 300000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 300000, CU_S2C, ACK, 1, 101, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.delivery[CU_C2S].piece[1].loss, CU_LOSS_AFTER);
	assert_false(cu_is(&talk.trace.segment[4], CU_EVENT_SPURIOUS_RETRANSMISSION));
	talk_release(&talk);
}

/* A probe of new data (ns-3, BSD) that a closed window refuses, and the next, which finds it open. */
static void test_delivery_a_refused_probe_is_no_loss(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 10000);
	talk_add(&talk, t, CU_S2C, ACK, 1, 1, TALK_MSS);
	talk_add(&talk, t + 10000, CU_C2S, ACK, 1, 1 + TALK_MSS, 0)->window = 0;
	talk_add(&talk, t + 1010000, CU_S2C, ACK, 1 + TALK_MSS, 1, 1);
	talk_add(&talk, t + 1020000, CU_C2S, ACK, 1, 1 + TALK_MSS, 0)->window = 0;
	talk_add(&talk, t + 3010000, CU_S2C, ACK, 1 + TALK_MSS, 1, 1);
	talk_add(&talk, t + 3020000, CU_C2S, ACK, 1, 2 + TALK_MSS, 0);
	talk_analyse(&talk);
	const struct cu_piece *piece = piece_at(&talk, CU_S2C, 1 + TALK_MSS);
	assert_int_equal(piece->loss, CU_LOSS_NONE);
	assert_int_equal(piece->due_ns, (t + 3010000) * US);
	assert_int_equal(piece->arrive_ns, (t + 3010000) * US);
	talk_release(&talk);
}

/* What is sent beyond a window that is open is no probe: the copy of it was needed. */
static void test_delivery_what_exceeds_an_open_window_is_lost(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 10000);
	talk_add(&talk, t, CU_S2C, ACK, 1, 1, TALK_MSS);
	talk_add(&talk, t + 10000, CU_C2S, ACK, 1, 1 + TALK_MSS, 0)->window = TALK_MSS;
	talk_add(&talk, t + 10100, CU_S2C, ACK, 1 + TALK_MSS, 1, TALK_MSS);
	talk_add(&talk, t + 10101, CU_S2C, ACK, 1 + 2 * TALK_MSS, 1, TALK_MSS);
	talk_add(&talk, t + 20100, CU_C2S, ACK, 1, 1 + 2 * TALK_MSS, 0);
	talk_add(&talk, t + 800000, CU_S2C, ACK, 1 + 2 * TALK_MSS, 1, TALK_MSS);
	talk_add(&talk, t + 810000, CU_C2S, ACK, 1, 1 + 3 * TALK_MSS, 0);
	talk_analyse(&talk);
	assert_int_equal(piece_at(&talk, CU_S2C, 1 + 2 * TALK_MSS)->loss, CU_LOSS_AFTER);
	talk_release(&talk);
}

/*
 * Seen at the client, whose ACK has the time of what it answers, as simulators and coarse clocks have it: the ACK came
 * before the second copy, or after it.
 */
static void test_delivery_the_order_of_capture_tells_at_equal_times(void **state)
{
	(void)state;
	for (int ack_first = 0; ack_first < 2; ack_first++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 40000, 0);
		talk_add(&talk, t, CU_S2C, ACK, 1, 1, 100);
		if (ack_first) {
			talk_add(&talk, t + 200000, CU_C2S, ACK, 1, 101, 0);
		}
		talk_add(&talk, t + 200000, CU_S2C, ACK, 1, 1, 100);
		talk_add(&talk, t + 200000, CU_C2S, ACK, 1, 101, 0);
		talk_add(&talk, t + 300000, CU_S2C, ACK, 101, 1, 100);
		talk_add(&talk, t + 300000, CU_C2S, ACK, 1, 201, 0); /* it keeps no ACK back */
		talk_analyse(&talk);
		assert_int_equal(piece_at(&talk, CU_S2C, 1)->loss, ack_first ? CU_LOSS_NONE : CU_LOSS_AFTER);
		talk_release(&talk);
	}
}

static void test_delivery_d_sack_means_the_first_copy_came(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
	struct cu_segment *ack = talk_add(&talk, t + 231000, CU_S2C, ACK, 1, 101, 0);
	ack->n_sack = 1;
	ack->sack[0][0] = 0xfffff000 + 1;
	ack->sack[0][1] = 0xfffff000 + 101;
	talk_analyse(&talk);
	assert_int_equal(piece_at(&talk, CU_C2S, 1)->loss, CU_LOSS_NONE);
	talk_release(&talk);
}

static void test_delivery_timestamp_echo_names_the_copy(void **state)
{
	static const struct {
		uint32_t echo;
		enum cu_loss_side loss;
	} cases[] = {{500, CU_LOSS_NONE}, {700, CU_LOSS_AFTER}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		struct cu_segment *first = talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		struct cu_segment *second = talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
		struct cu_segment *ack = talk_add(&talk, t + 235000, CU_S2C, ACK, 1, 101, 0);
		first->has_timestamps = second->has_timestamps = ack->has_timestamps = true;
		first->tsval = 500;
		second->tsval = 700;
		ack->tsecr = cases[i].echo;
		talk_analyse(&talk);
		assert_int_equal(piece_at(&talk, CU_C2S, 1)->loss, cases[i].loss);
		talk_release(&talk);
	}
}

static void test_delivery_hole_filled_late_was_lost_before(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 1000);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 2001, 101, 1000);
	talk_add(&talk, t + 70000, CU_S2C, ACK, 1001, 101, 1000);
	talk_analyse(&talk);
	const struct cu_piece *piece = piece_at(&talk, CU_S2C, 1001);
	assert_int_equal(piece->loss, CU_LOSS_BEFORE);
	assert_int_equal(piece->due_ns, (t + 30000) * US);
	assert_int_equal(piece->arrive_ns, (t + 70000) * US);
	assert_int_equal(talk.delivery[CU_S2C].n_holes, 1);
	assert_int_equal(talk.delivery[CU_S2C].hole[0].first_end - talk.delivery[CU_S2C].hole[0].first_start, 1000);
	talk_release(&talk);
}

static void test_delivery_pure_ack_shows_a_hole(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	/* The server's next segment is an ACK whose sequence number is past an answer never seen. */
	talk_add(&talk, t + 50000, CU_S2C, ACK, 501, 101, 0);
	talk_add(&talk, t + 250000, CU_S2C, PSH, 1, 101, 500);
	talk_add(&talk, t + 250000, CU_C2S, ACK, 101, 501, 0);
	talk_analyse(&talk);
	const struct cu_piece *piece = piece_at(&talk, CU_S2C, 1);
	assert_int_equal(piece->loss, CU_LOSS_BEFORE);
	assert_int_equal(piece->due_ns, (t + 50000) * US);
	talk_release(&talk);
}

static void test_delivery_acknowledged_but_never_seen_is_the_captures(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 1000);
	talk_add(&talk, t + 30100, CU_S2C, ACK, 3001, 101, 1000);
	talk_add(&talk, t + 30200, CU_C2S, ACK, 101, 4001, 0);
	talk_analyse(&talk);
	const struct cu_piece *piece = piece_at(&talk, CU_S2C, 1001);
	assert_int_equal(piece->loss, CU_LOSS_CAPTURE);
	assert_int_equal(piece->end - piece->start, 2000);
	talk_release(&talk);
}

static void test_delivery_holes_filled_from_the_middle(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_S2C, ACK, 1, 1, 1000);
	talk_add(&talk, t, CU_S2C, ACK, 4001, 1, 1000);
	talk_add(&talk, t + 50000, CU_S2C, ACK, 2001, 1, 1000);
	talk_add(&talk, t + 60000, CU_S2C, ACK, 1001, 1, 1000);
	talk_add(&talk, t + 70000, CU_S2C, ACK, 3001, 1, 1000);
	talk_add(&talk, t + 70000, CU_C2S, ACK, 1, 5001, 0);
	talk_analyse(&talk);
	const struct cu_delivery *delivery = &talk.delivery[CU_S2C];
	int64_t at = 0;
	for (size_t p = 0; p < delivery->n_pieces; p++) {
		assert_int_equal(delivery->piece[p].start, at);
		at = delivery->piece[p].end;
	}
	assert_int_equal(at, 5001);
	for (size_t h = 0; h < delivery->n_holes; h++) {
		assert_true(delivery->hole[h].start >= delivery->hole[h].end);
	}
	talk_release(&talk);
}

/* Holes stay in order when one is cut in two, so that each is found by its place. */
static void test_delivery_holes_stay_in_order(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	/* 1000 to 4000 and 5000 to 8000 are missing. */
	talk_add(&talk, t, CU_S2C, PSH, 1, 1, 999);
	talk_add(&talk, t + 1000, CU_S2C, PSH, 4000, 1, 1000);
	talk_add(&talk, t + 2000, CU_S2C, PSH, 8000, 1, 1000);
	talk_add(&talk, t + 200000, CU_S2C, PSH, 2000, 1, 1000);
	talk_add(&talk, t + 210000, CU_S2C, PSH, 6000, 1, 1000);
	talk_add(&talk, t + 220000, CU_S2C, PSH, 3000, 1, 1000);
	talk_add(&talk, t + 230000, CU_S2C, PSH, 7000, 1, 1000);
	talk_analyse(&talk);
	const struct cu_delivery *delivery = &talk.delivery[CU_S2C];
	static const int64_t left[][2] = {{1000, 2000}, {4000, 4000}, {5000, 6000}, {8000, 8000}};
	assert_int_equal(delivery->n_holes, 4);
	for (size_t h = 0; h < 4; h++) {
		assert_int_equal(delivery->hole[h].start, left[h][0]);
		assert_int_equal(delivery->hole[h].end, left[h][1]);
	}
	for (int64_t seq = 2000; seq < 8000; seq += 1000) {
		if (seq != 4000 && seq != 5000) {
			assert_int_equal(piece_at(&talk, CU_S2C, seq)->loss, CU_LOSS_BEFORE);
		}
	}
	assert_int_equal(delivery->n_copies, 0);
	talk_release(&talk);
}

/* Beyond so many, the oldest are given up, and what fills them is a copy. */
static void test_delivery_fills_the_newest_thousand_holes(void **state)
{
	(void)state;
	enum { HOLES = 1100, KEPT = 1024, LEN = 100 };
	struct cu_trace trace = {.n = 0};
	struct cu_path path = {0};
	struct cu_delivery delivery = {0};
	struct cu_trace_segment *segment = calloc(2 * HOLES, sizeof(*segment));
	assert_non_null(segment);
	for (uint32_t i = 0; i < 2 * HOLES; i++) {
		int64_t at = i < HOLES ? 2 * (int64_t)i + 1 : 2 * (int64_t)(i - HOLES);
		segment[i] = (struct cu_trace_segment){.time_ns = i * 10 * CU_NS_PER_MS,
		                                       .seq = 1 + at * LEN,
		                                       .end = 1 + (at + 1) * LEN,
		                                       .ack = 1,
		                                       .len = LEN,
		                                       .flags = ACK,
		                                       .dir = CU_S2C};
	}
	trace.segment = segment;
	trace.n = 2 * HOLES;
	trace.connection.side[CU_S2C].has_syn = true;
	trace.mss[CU_S2C] = TALK_MSS;
	assert_int_equal(cu_delivery_build(&delivery, &trace, &path, CU_S2C), 0);
	assert_int_equal(delivery.n_holes, HOLES);
	assert_int_equal(delivery.n_copies, HOLES - KEPT);
	assert_int_equal(delivery.n_pieces, HOLES + KEPT);
	cu_delivery_release(&delivery);
	free(segment);
}

/* The times of what routers said of a direction's segments, whatever their order in the capture. */
static void test_delivery_too_big(void **state)
{
	(void)state;
	static const struct {
		int64_t time_ns;
		uint8_t type, code, dir;
	} icmp[] = {{500, 3, 4, CU_S2C}, {300, 2, 0, CU_S2C}, {400, 3, 1, CU_S2C}, {100, 3, 4, CU_C2S}};
	static const struct {
		int64_t from, until;
		bool reported;
	} rows[] = {{0, 299, false},   {0, 300, true},   {300, 300, true},
	            {301, 499, false}, {301, 500, true}, {501, 900, false}};
	struct cu_trace_segment segment[4];
	struct cu_trace trace = {.segment = segment, .n = 4};
	struct cu_path path = {0};
	struct cu_delivery delivery = {0};
	for (size_t i = 0; i < 4; i++) {
		segment[i] = (struct cu_trace_segment){.time_ns = icmp[i].time_ns,
		                                       .icmp = true,
		                                       .icmp_type = icmp[i].type,
		                                       .icmp_code = icmp[i].code,
		                                       .dir = icmp[i].dir,
		                                       .ack = -1};
	}
	for (int again = 0; again < 2; again++) { /* it is built anew in the same place */
		assert_int_equal(cu_delivery_build(&delivery, &trace, &path, CU_S2C), 0);
		for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
			assert_int_equal(cu_delivery_too_big(&delivery, rows[r].from, rows[r].until), rows[r].reported);
		}
	}
	cu_delivery_release(&delivery);
}

/* What is left of a trace is as if it had been added to an empty one, but for where the connection had come to. */
static void test_trace_drop_keeps_the_rest(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	struct cu_segment *seg = talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	seg->hint = (struct cu_hint){.kind = CU_HINT_HTTP_REQUEST};
	seg = talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
	seg->n_sack = 1;
	seg->sack[0][0] = 7;
	seg->sack[0][1] = 9;
	talk_add(&talk, t + 40000, CU_S2C, PSH, 1, 101, 200);
	seg = talk_add(&talk, t + 50000, CU_C2S, PSH, 101, 201, 50);
	seg->hint = (struct cu_hint){.kind = CU_HINT_TLS_DATA};
	seg->n_sack = 1;
	seg->sack[0][0] = 3;
	seg->sack[0][1] = 5;
	talk_analyse(&talk);
	struct cu_trace *trace = &talk.trace;
	assert_int_equal(trace->n, 7);
	int64_t left = trace->sack[trace->segment[6].sack].left;
	assert_int_not_equal(trace->syn_end, 0);

	cu_trace_drop(trace, 6);
	assert_int_equal(trace->n, 1);
	assert_int_equal(trace->segment[0].seq, 101);
	assert_int_equal(trace->n_hint, 1);
	assert_int_equal(cu_trace_hint(trace, &trace->segment[0])->kind, CU_HINT_TLS_DATA);
	assert_int_equal(trace->n_sack, 1);
	assert_int_equal(trace->sack[trace->segment[0].sack].left, left);
	assert_int_equal(trace->syn_end, 0);
	assert_int_equal(trace->flags, PSH);
	assert_int_equal(trace->dropped_end[CU_C2S], 101);
	assert_int_equal(trace->dropped_end[CU_S2C], 201);
	assert_int_equal(trace->dropped_handshake_ns, 40000 * US);
	cu_trace_mark(trace);
	assert_int_equal(trace->handshake_ns, 40000 * US);

	cu_trace_drop(trace, 1);
	assert_int_equal(trace->n, 0);
	assert_int_equal(trace->n_hint, 0);
	assert_int_equal(trace->n_sack, 0);
	assert_int_equal(trace->dropped_end[CU_C2S], 151);
	talk_release(&talk);
}

static void test_path_measures_both_sides(void **state)
{
	static const struct {
		int64_t server_us, client_us;
		enum cu_vantage vantage;
	} cases[] = {
		{97000, 100, CU_VANTAGE_CLIENT},
		{100, 97000, CU_VANTAGE_SERVER},
		{40000, 50000, CU_VANTAGE_MIDDLE},
		{9000, 88000, CU_VANTAGE_MIDDLE}, /* not far from the server, but not on it */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		talk_handshake(&talk, cases[i].server_us, cases[i].client_us);
		talk_analyse(&talk);
		assert_int_equal(talk.path.server_rtt_ns, cases[i].server_us * US);
		assert_int_equal(talk.path.client_rtt_ns, cases[i].client_us * US);
		assert_int_equal(talk.path.handshake_rtt_ns, (cases[i].server_us + cases[i].client_us) * US);
		assert_int_equal(talk.path.vantage, cases[i].vantage);
		talk_release(&talk);
	}
}

static void test_path_takes_no_sample_from_what_was_sent_twice(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 201000, CU_S2C, ACK, 1, 101, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.path.side[CU_C2S].n_samples, 1);
	assert_int_equal(talk.path.server_rtt_ns, 30000 * US);
	talk_release(&talk);
}

static void test_marks_keep_alive_and_its_ack(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 45000000, CU_C2S, ACK, 100, 1, 0);
	talk_add(&talk, t + 45030000, CU_S2C, ACK, 1, 101, 0);
	talk_analyse(&talk);
	assert_true(cu_is(&talk.trace.segment[5], CU_EVENT_KEEP_ALIVE));
	assert_true(cu_is(&talk.trace.segment[6], CU_EVENT_KEEP_ALIVE_ACK));
	assert_false(cu_is(&talk.trace.segment[6], CU_EVENT_DUPLICATE_ACK));
	talk_release(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivery_seen_twice_was_lost_after),
		cmocka_unit_test(test_delivery_ack_too_soon_means_the_first_copy_came),
		cmocka_unit_test(test_delivery_a_second_ack_means_the_first_copy_came),
		cmocka_unit_test(test_delivery_a_copy_right_behind_is_for_no_loss),
		cmocka_unit_test(test_delivery_ack_at_the_same_time_came_after),
		cmocka_unit_test(test_delivery_d_sack_means_the_first_copy_came),
		cmocka_unit_test(test_delivery_a_refused_probe_is_no_loss),
		cmocka_unit_test(test_delivery_what_exceeds_an_open_window_is_lost),
		cmocka_unit_test(test_delivery_the_order_of_capture_tells_at_equal_times),
		cmocka_unit_test(test_delivery_timestamp_echo_names_the_copy),
		cmocka_unit_test(test_delivery_hole_filled_late_was_lost_before),
		cmocka_unit_test(test_delivery_pure_ack_shows_a_hole),
		cmocka_unit_test(test_delivery_acknowledged_but_never_seen_is_the_captures),
		cmocka_unit_test(test_delivery_holes_filled_from_the_middle),
		cmocka_unit_test(test_delivery_holes_stay_in_order),
		cmocka_unit_test(test_delivery_fills_the_newest_thousand_holes),
		cmocka_unit_test(test_delivery_too_big),
		cmocka_unit_test(test_trace_drop_keeps_the_rest),
		cmocka_unit_test(test_path_measures_both_sides),
		cmocka_unit_test(test_path_takes_no_sample_from_what_was_sent_twice),
		cmocka_unit_test(test_marks_keep_alive_and_its_ack),
	};
	return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
