/* The ledger on connections told segment by segment: who had the time, to the microsecond. */
#include "lib/blame/account.h"
#include "tests/unit/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ACK = CU_TCP_ACK, PSH = CU_TCP_PSH | CU_TCP_ACK, FIN = CU_TCP_FIN | CU_TCP_ACK };

#define US CU_NS_PER_US
#define assert_us(transaction, cause, us) assert_int_equal((transaction).ledger[cause].ns, (us)*US)

/* The causes of the stretches and their times, in microseconds. */
static void assert_stretches(const struct cu_transaction *transaction, int n, ...)
{
	struct cu_cursor cur = cu_cursor_make((const uint8_t *)transaction->stretches.data, transaction->stretches.len);
	struct cu_stretch stretch;
	va_list list;
	va_start(list, n);
	for (int i = 0; i < n; i++) {
		assert_true(cu_stretch_next(&cur, &stretch));
		assert_int_equal(stretch.cause, va_arg(list, int));
		assert_int_equal(stretch.ns, va_arg(list, int) * US);
	}
	va_end(list);
	assert_false(cu_stretch_next(&cur, &stretch));
}

static void test_ledger_server_thinks(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 530000, CU_S2C, PSH, 1, 101, 200);
	talk_add(&talk, t + 540000, CU_C2S, ACK, 101, 201, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 2);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_int_equal(request.kind, CU_TXN_REQUEST);
	assert_int_equal(request.outcome, CU_OUTCOME_ANSWERED);
	assert_int_equal(request.total_ns, 540000 * US);
	assert_us(request, CU_NETWORK_RTT, 40000);
	assert_us(request, CU_SERVER_THINK, 500000);
	/* There, thinking, and back: the client is 5 ms from here, the server 15. */
	assert_stretches(&request, 3, CU_NETWORK_RTT, 35000, CU_SERVER_THINK, 500000, CU_NETWORK_RTT, 5000);
	assert_int_equal(request.request.first_frame, 4);
	assert_int_equal(request.acked_frame, 5);
	assert_int_equal(request.ack_delay_ns, 30000 * US);
	assert_int_equal(request.response.first_frame, 6);
	talk_release(&talk);
}

static void test_ledger_handshake_costs_the_path(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_analyse(&talk);
	struct cu_transaction connect = talk_transaction(&talk, 0);
	assert_int_equal(connect.kind, CU_TXN_CONNECT);
	assert_int_equal(connect.total_ns, 40000 * US);
	assert_us(connect, CU_NETWORK_RTT, 40000);
	talk_release(&talk);
}

static void test_ledger_lost_syn(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 1000000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 1030000, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
	talk_add(&talk, 1040000, CU_C2S, ACK, 1, 1, 0);
	talk_add(&talk, 1040000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 1070000, CU_S2C, PSH, 1, 101, 100);
	talk_analyse(&talk);
	struct cu_transaction connect = talk_transaction(&talk, 0);
	assert_us(connect, CU_NETWORK_CONNECT, 1000000);
	assert_us(connect, CU_NETWORK_RTT, 40000);
	talk_release(&talk);
}

/* The SYN-ACK was not captured, nor anything else of the server: the ACK tells that there was one, and when at last. */
static void test_ledger_syn_ack_that_was_not_captured(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 1000000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 1040000, CU_C2S, ACK, 1, 1, 0);
	talk_add(&talk, 1040100, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 9000000, CU_C2S, FIN, 101, 1, 0);
	talk_analyse(&talk);
	struct cu_transaction connect = talk_transaction(&talk, 0);
	assert_int_equal(connect.kind, CU_TXN_CONNECT);
	assert_us(connect, CU_NETWORK_CONNECT, 1000000);
	assert_us(connect, CU_UNKNOWN_CAPTURE, 40000);
	talk_release(&talk);

	/* A clock that stepped back between. */
	talk_init(&talk);
	talk_add(&talk, 2000000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 3000000, CU_C2S, ACK, 1, 1, 0);
	talk_add(&talk, 1000000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 0), CU_UNKNOWN_CAPTURE, 1000000);
	talk_release(&talk);
}

/* Captured next to the server a SYN that came twice was dropped there, which is not certain unless it was on the server. */
static void test_ledger_a_syn_may_be_lost_next_to_its_server(void **state)
{
	static const struct {
		int64_t server_us, slow_us;
		bool came_twice;
		unsigned doubt;
	} cases[] = {
		{100, 1000000, true, 0},
		{900, 1000000, true, 1U << CU_DOUBT_UNSEEN_LOSS},
		{900, 300000, false, 0}, /* it is slow to answer */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = cases[i].slow_us;
		talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
		if (cases[i].came_twice) {
			talk_add(&talk, t, CU_C2S, CU_TCP_SYN, 0, 0, 0);
		}
		talk_add(&talk, t + cases[i].server_us, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
		talk_add(&talk, t + 30000, CU_C2S, ACK, 1, 1, 0);
		talk_add(&talk, t + 30010, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 30010 + cases[i].server_us, CU_S2C, ACK, 1, 101, 0);
		talk_analyse(&talk);
		struct cu_transaction connect = talk_transaction(&talk, 0);
		assert_us(connect, CU_SERVER_CONNECT, t);
		assert_int_equal(connect.doubts, cases[i].doubt);
		talk_release(&talk);
	}
}

/*
 * The SYN-ACK passes at once, but the client sends its SYN again after 1 s, and
 * acknowledges after 3: only then it had one.
 */
static void test_ledger_a_connect_ends_when_the_client_knows(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 10000, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0);
	talk_add(&talk, 1000000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 3000000, CU_C2S, ACK, 1, 1, 0);
	talk_add(&talk, 3000100, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 3010100, CU_S2C, PSH, 1, 101, 300);
	talk_add(&talk, 3030100, CU_C2S, ACK, 101, 301, 0);
	talk_analyse(&talk);
	struct cu_transaction connect = talk_transaction(&talk, 0);
	assert_int_equal(connect.total_ns, 3000000 * US);
	assert_true(connect.ledger[CU_NETWORK_CONNECT].ns > 2900000 * US);
	talk_release(&talk);
}

/* Seen at the client: the only SYN is answered so late. A timer of 1 s is not that early, however long the path is. */
static void test_ledger_a_syn_that_is_answered_late(void **state)
{
	(void)state;
	static const struct {
		int64_t late_us;
		enum cu_cause cause;
	} cases[] = {{700000, CU_SERVER_CONNECT}, {980000, CU_NETWORK_CONNECT}, {1100000, CU_NETWORK_CONNECT}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum { RTT = 680000 };
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, RTT + cases[i].late_us, 100);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + RTT, CU_S2C, ACK, 1, 101, 0);
		talk_add(&talk, t + RTT + 100, CU_S2C, PSH, 1, 101, 300);
		talk_analyse(&talk);
		struct cu_transaction connect = talk_transaction(&talk, 0);
		assert_us(connect, cases[i].cause, cases[i].late_us);
		bool doubted = connect.doubts >> CU_DOUBT_LATE_ACK & 1;
		assert_int_equal(doubted, cases[i].cause == CU_SERVER_CONNECT);
		talk_release(&talk);
	}
}

/* The server still has a connection of before with these ports: its ACK makes the client reset that, and try again. */
static void test_ledger_of_a_syn_that_was_answered_for_a_connection_of_before(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 30000, CU_S2C, ACK, 700000000, 600000000, 0);
	talk_add(&talk, 30100, CU_C2S, CU_TCP_RST, 600000000, 0, 0);
	talk_add(&talk, 1000000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 1030000, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
	talk_add(&talk, 1030100, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 1060100, CU_S2C, PSH, 1, 101, 100);
	talk_analyse(&talk);
	struct cu_transaction connect = talk_transaction(&talk, 0);
	assert_us(connect, CU_SERVER_CONNECT, 1000000);
	assert_int_equal(connect.loss_side, CU_LOSS_NONE);
	assert_int_equal(talk.delivery[CU_S2C].n_holes, 0);
	for (size_t p = 0; p < talk.delivery[CU_C2S].n_pieces; p++) {
		assert_int_equal(talk.delivery[CU_C2S].piece[p].loss, CU_LOSS_NONE);
	}
	talk_release(&talk);
}

/* The capture begins in an upload whose first bytes had been lost: the server has the request once they are there. */
static void test_ledger_request_lost_before_the_capture(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[CU_C2S].has_syn = talk.connection.side[CU_S2C].has_syn = false;
	struct cu_segment *ack = talk_add(&talk, 0, CU_S2C, ACK, 1, 1, 0);
	ack->n_sack = 1;
	ack->sack[0][0] = ack->ack + 1000;
	ack->sack[0][1] = ack->ack + 3000;
	talk_add(&talk, 100, CU_C2S, PSH, 3001, 1, 500);
	talk_add(&talk, 300000, CU_C2S, PSH, 1, 1, 1000);
	talk_add(&talk, 300200, CU_S2C, ACK, 1, 3501, 0);
	talk_add(&talk, 350000, CU_S2C, PSH, 1, 3501, 200);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 0);
	assert_int_equal(request.kind, CU_TXN_REQUEST);
	assert_us(request, CU_NETWORK_LOSS, 300000);
	assert_true(request.ledger[CU_SERVER_THINK].ns <= 50000 * US);
	assert_int_equal(request.loss_side, CU_LOSS_NONE);
	talk_release(&talk);
}

static void test_ledger_request_lost_after_the_vantage_point(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 240000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 270000, CU_S2C, PSH, 1, 101, 200);
	talk_add(&talk, t + 280000, CU_C2S, ACK, 101, 201, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_LOSS, 240000);
	assert_us(request, CU_NETWORK_RTT, 40000);
	assert_us(request, CU_SERVER_THINK, 0);
	assert_int_equal(request.loss_side, CU_LOSS_AFTER);
	talk_release(&talk);
}

static void test_ledger_answer_lost_before_the_vantage_point(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	/* Ten segments of the answer; the third is missing and comes 200 ms later. */
	for (uint32_t i = 0; i < 10; i++) {
		if (i != 2) {
			talk_add(&talk, t + 30000, CU_S2C, ACK, 1 + i * 1000, 101, 1000);
		}
	}
	talk_add(&talk, t + 30000, CU_C2S, ACK, 101, 2001, 0);
	talk_add(&talk, t + 230000, CU_S2C, ACK, 2001, 101, 1000);
	talk_add(&talk, t + 230000, CU_C2S, ACK, 101, 10001, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_int_equal(request.total_ns, 230000 * US);
	assert_us(request, CU_NETWORK_LOSS, 200000);
	assert_us(request, CU_NETWORK_RTT, 30000);
	assert_int_equal(request.loss_side, CU_LOSS_BEFORE);
	talk_release(&talk);
}

static void test_ledger_server_pauses(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 501, 0);
	talk_add(&talk, t + 430000, CU_S2C, PSH, 501, 101, 500);
	talk_add(&talk, t + 440000, CU_C2S, ACK, 101, 1001, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, 400000);
	assert_us(request, CU_SERVER_THINK, 0);
	assert_us(request, CU_NETWORK_RTT, 40000);
	talk_release(&talk);
}

/* Two causes that take turns, more often than stretches are kept of, and one that stands out. */
static void test_ledger_many_short_stretches_are_taken_together(void **state)
{
	(void)state;
	struct talk talk = {0};
	struct cu_stretches *list = &talk.stretches;
	struct cu_transaction transaction = {0};
	cu_stretches_begin(list, CU_STRETCHES_LEAST_NS);
	list->distance_ns = 5 * CU_NS_PER_MS;
	int64_t at = 0;
	for (int i = 0; i < 1000; i++) {
		enum cu_cause cause = i == 700 ? CU_SERVER_THINK : i % 2 == 0 ? CU_NETWORK_LOSS : CU_SERVER_PAUSE;
		int64_t ns = i == 700 ? 500 * CU_NS_PER_MS : (1 + i % 3) * CU_NS_PER_MS;
		transaction.ledger[cause].ns += ns;
		cu_stretches_note(list, cause, false, at, at + ns);
		at += ns;
	}
	transaction.ledger[CU_NETWORK_RTT].ns = 2 * list->distance_ns;
	transaction.total_ns = at + 2 * list->distance_ns;
	cu_stretches_put(list, &transaction);
	talk_check_stretches(&transaction);

	struct cu_cursor cur = cu_cursor_make((const uint8_t *)transaction.stretches.data, transaction.stretches.len);
	struct cu_stretch stretch;
	bool thinks = false;
	int n = 0;
	for (; cu_stretch_next(&cur, &stretch); n++) {
		thinks = thinks || (stretch.cause == CU_SERVER_THINK && stretch.ns == 500 * CU_NS_PER_MS);
	}
	assert_in_range(n, CU_STRETCH_CAP / 4, CU_STRETCH_CAP + 2);
	assert_true(thinks); /* as it was */
}

static void test_ledger_client_window_closed(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->window = 2000;
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 1000);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1001, 101, 1000);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 2001, 0)->window = 0;
	talk_add(&talk, t + 840000, CU_C2S, ACK, 101, 2001, 0)->window = 2000;
	talk_add(&talk, t + 870000, CU_S2C, PSH, 2001, 101, 1000);
	talk_add(&talk, t + 880000, CU_C2S, ACK, 101, 3001, 0)->window = 2000;
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_CLIENT_WINDOW, 840000);
	assert_us(request, CU_NETWORK_RTT, 40000);
	talk_release(&talk);
}

/* The ACK that opened the window was lost behind the vantage point: the server goes on when its probe is answered, 5 s later. */
static void test_ledger_a_window_update_may_be_lost(void **state)
{
	(void)state;
	for (uint32_t probe_len = 0; probe_len < 2; probe_len++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->window = 2000;
		talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 1000);
		talk_add(&talk, t + 30000, CU_S2C, ACK, 1001, 101, 1000);
		talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 2001, 0)->window = 0;
		talk_add(&talk, t + 540000, CU_C2S, ACK, 101, 2001, 0)->window = 2000;
		talk_add(&talk, t + 5030000, CU_S2C, ACK, 2000 + probe_len, 101, probe_len);
		talk_add(&talk, t + 5040000, CU_C2S, ACK, 101, 2001 + probe_len, 0)->window = 2000;
		talk_add(&talk, t + 5070000, CU_S2C, PSH, 2001 + probe_len, 101, 1000);
		talk_add(&talk, t + 5080000, CU_C2S, ACK, 101, 3001 + probe_len, 0)->window = 2000;
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_us(request, CU_SERVER_PAUSE, 0);
		assert_us(request, CU_CLIENT_WINDOW, 540000);
		assert_us(request, CU_NETWORK_LOSS, 5030000 - 570000);
		talk_release(&talk);
	}
}

/*
 * Seen at the client: a sender that goes by a window of so many segments, two for each ACK, spread over the round trip.
 * What was measured of that is a little more than its ACKs take. The client scales its windows, which its SYN does not say.
 */
static struct cu_transaction spread_out(struct talk *talk, unsigned n_window, unsigned shift_cut)
{
	enum { RTT = 160000, SPACING = 10000, IN_FLIGHT = 32, N = 160 };
	talk_init(talk);
	int64_t t = talk_handshake(talk, RTT + 300, 10);
	talk->segment[2].window = (uint16_t)(n_window * TALK_MSS);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100)->window = (uint16_t)(n_window * TALK_MSS);
	t += RTT + 300;
	for (unsigned i = 0; i < N; i += 2) {
		uint32_t seq = 1 + i * TALK_MSS;
		talk_add(talk, t, CU_S2C, ACK, seq, 101, TALK_MSS);
		talk_add(talk, t + 10, CU_S2C, ACK, seq + TALK_MSS, 101, TALK_MSS);
		talk_add(talk, t + 20, CU_C2S, ACK, 101, seq + 2 * TALK_MSS, 0)->window =
			(uint16_t)(n_window * TALK_MSS);
		t += SPACING;
	}
	for (size_t i = 2; i < talk->n && shift_cut > 0; i++) {
		talk->segment[i].window >>= talk->segment[i].dir == CU_C2S ? shift_cut : 0;
	}
	talk->connection.side[CU_C2S].syn.cut = shift_cut > 0;
	talk->connection.side[CU_C2S].syn.has_wscale = shift_cut == 0;
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_window_that_is_filled_all_along(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction small = spread_out(&talk, 32, 0);
	assert_true(small.ledger[CU_CLIENT_WINDOW].ns > 600000 * US); /* but for the first round trip */
	assert_true(small.ledger[CU_NETWORK_TRANSFER].ns < 200000 * US);
	talk_release(&talk);
	struct cu_transaction large = spread_out(&talk, 60, 0);
	assert_us(large, CU_CLIENT_WINDOW, 0);
	assert_true(large.ledger[CU_NETWORK_TRANSFER].ns > 700000 * US);
	talk_release(&talk);
}

/* What an ACK makes room for may be spaced out by its sender: then that is no window's matter. */
static void test_ledger_window_that_is_filled_at_a_pace(void **state)
{
	enum { RTT = 60000, N_ROUNDS = 12, N_WINDOW = 6, PACE = 5000 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, RTT + 300, 10);
	talk.segment[2].window = N_WINDOW * TALK_MSS;
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->window = N_WINDOW * TALK_MSS;
	t += RTT + 300;
	for (uint32_t i = 0; i < N_ROUNDS; i++, t += RTT + 2 * PACE) {
		for (uint32_t k = 0; k < N_WINDOW; k++) {
			talk_add(&talk, t + k / 2 * PACE + k, CU_S2C, ACK, 1 + (i * N_WINDOW + k) * TALK_MSS, 101,
			         TALK_MSS);
		}
		talk_add(&talk, t + 2 * PACE, CU_C2S, ACK, 101, 1 + (i + 1) * N_WINDOW * TALK_MSS, 0)->window =
			N_WINDOW * TALK_MSS;
	}
	talk_analyse(&talk);
	assert_true(talk.window[CU_S2C].small);
	struct cu_transaction request = talk_transaction(&talk, 1);
	int64_t window_us = request.ledger[CU_CLIENT_WINDOW].ns / US;
	assert_in_range(window_us, (N_ROUNDS - 1) * (RTT - 500), (N_ROUNDS - 1) * (RTT + 500));
	talk_release(&talk);
}

/* No sender goes beyond its window: the scale that was not captured follows, if the sender fills it. */
/* Seen at the server: eight segments fill the client's window, but it is a queue that each waits in, not the client's program. */
static void test_ledger_window_that_a_queue_fills(void **state)
{
	enum { N = 40, IN_FLIGHT = 8 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 20000);
	talk.segment[0].window = talk.segment[2].window = IN_FLIGHT * TALK_MSS;
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->window = IN_FLIGHT * TALK_MSS;
	uint32_t seq = 1;
	for (unsigned i = 0; i < IN_FLIGHT; i++, seq += TALK_MSS) {
		talk_add(&talk, t + 100 + i, CU_S2C, ACK, seq, 101, TALK_MSS);
	}
	for (uint32_t acked = 2; acked <= N; acked += 2) {
		int64_t now = t + 20100 + 10000 * acked;
		talk_add(&talk, now, CU_C2S, ACK, 101, 1 + acked * TALK_MSS, 0)->window =
			acked == 10 ? IN_FLIGHT * TALK_MSS * 5 / 6
				    : IN_FLIGHT * TALK_MSS; /* one is read a little later */
		for (unsigned i = 0; i < 2 && seq < N * TALK_MSS; i++, seq += TALK_MSS) {
			talk_add(&talk, now + 50 + i, CU_S2C, ACK, seq, 101, TALK_MSS);
		}
	}
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_CLIENT_WINDOW, 0);
	assert_true(request.ledger[CU_NETWORK_TRANSFER].ns > 300000 * US);
	talk_release(&talk);
}

static void test_ledger_window_of_a_scale_that_was_not_captured(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction small = spread_out(&talk, 32, 7);
	assert_false(talk.delivery[CU_S2C].scale_unknown);
	assert_int_equal(talk.window[CU_S2C].max_bytes, 32 * TALK_MSS);
	assert_true(small.ledger[CU_CLIENT_WINDOW].ns > 600000 * US);
	talk_release(&talk);
	struct cu_transaction large = spread_out(&talk, 60, 7);
	assert_true(talk.delivery[CU_S2C].scale_unknown);
	assert_us(large, CU_CLIENT_WINDOW, 0);
	talk_release(&talk);
}

/*
 * Seen from the middle of a connection on: what the windows are worth is not
 * known, until one is closed 100 ms behind the last segment. It opens 2 s later.
 */
static void test_ledger_a_closed_window_of_any_scale(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = 0;
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->window = 50;
	t += 10000;
	for (uint32_t i = 0; i < 4; i++) {
		talk_add(&talk, t + 100 * i, CU_S2C, ACK, 1 + i * TALK_MSS, 101, TALK_MSS);
		talk_add(&talk, t + 100 * i + 50, CU_C2S, ACK, 101, 1 + (i + 1) * TALK_MSS, 0)->window = 50;
	}
	talk_add(&talk, t + 500, CU_S2C, ACK, 4001, 101, 700);
	talk_add(&talk, t + 100000, CU_C2S, ACK, 101, 4701, 0)->window = 0;
	talk_add(&talk, t + 2100000, CU_C2S, ACK, 101, 4701, 0)->window = 50;
	talk_add(&talk, t + 2100100, CU_S2C, PSH, 4701, 101, TALK_MSS);
	talk_add(&talk, t + 2100200, CU_C2S, ACK, 101, 5701, 0)->window = 50;
	talk.connection.side[CU_C2S].syn = (struct cu_syn_options){.mss = TALK_MSS, .cut = true};
	talk_analyse(&talk);
	assert_true(talk.delivery[CU_S2C].scale_unknown);
	struct cu_transaction transaction = talk_transaction(&talk, 0);
	assert_int_equal(transaction.ledger[CU_SERVER_PAUSE].ns, 0);
	assert_true(transaction.ledger[CU_CLIENT_WINDOW].ns > 2000000 * US);
	talk_release(&talk);
}

/* Seen at the server: two windows come at a pace, under ACKs of which the capture has none. */
static void test_ledger_a_window_that_unseen_acks_open(void **state)
{
	(void)state;
	enum { N = 2 * TALK_WINDOW / TALK_MSS };
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 0, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	for (uint32_t i = 0; i < N; i++) {
		t += 10000;
		talk_add(&talk, t, CU_S2C, ACK, 1 + i * TALK_MSS, 101, TALK_MSS);
	}
	talk_add(&talk, t + 10000, CU_C2S, ACK, 101, 1 + N * TALK_MSS, 0);
	talk_analyse(&talk);
	struct cu_transaction transaction = talk_transaction(&talk, 1);
	assert_us(transaction, CU_CLIENT_WINDOW, 0);
	assert_true(transaction.doubts >> CU_DOUBT_CAPTURE_LACKS & 1);
	talk_release(&talk);
}

/* A window with less room than a segment: what fits is sent only when the persist timer says so. */
static void test_ledger_window_with_less_room_than_a_segment(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->window = 2400;
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 1000);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1001, 101, 1000);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 2001, 0)->window = 400;
	talk_add(&talk, t + 1530000, CU_S2C, PSH, 2001, 101, 400);
	talk_add(&talk, t + 1540000, CU_C2S, ACK, 101, 2401, 0)->window = 2400;
	talk_add(&talk, t + 1570000, CU_S2C, PSH, 2401, 101, 600);
	talk_add(&talk, t + 1580000, CU_C2S, ACK, 101, 3001, 0)->window = 2400;
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, 0);
	assert_true(request.ledger[CU_CLIENT_WINDOW].ns >= 1450000 * US);
	talk_release(&talk);
}

/* Seen at the client: the last segment was lost on its way there, and sent again after a coarse timer. */
static struct cu_transaction tail_after_3_s(struct talk *talk, uint32_t len_before, unsigned n_hidden)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 40000, 100);
	uint32_t end = 1 + TALK_MSS + len_before;
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 40000, CU_S2C, ACK, 1, 101, TALK_MSS);
	talk_add(talk, t + 40000, CU_S2C, ACK, 1 + TALK_MSS, 101, len_before);
	talk_add(talk, t + 40100, CU_C2S, ACK, 101, end, 0);
	talk->next_id[CU_S2C] += n_hidden;
	talk_add(talk, t + 3040000, CU_S2C, PSH, end, 101, 300);
	talk_add(talk, t + 3040100, CU_C2S, ACK, 101, end + 300, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

/* ... and behind the ACKs of all the others. */
static void test_ledger_lost_tail_behind_many_acks(void **state)
{
	enum { N = 100 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 40000, 20000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 40000;
	for (uint32_t i = 0; i < N; i++) {
		talk_add(&talk, t + i, CU_S2C, ACK, 1 + i * TALK_MSS, 101, TALK_MSS);
	}
	for (uint32_t i = 1; i <= N; i++) {
		talk_add(&talk, t + 20000 + i, CU_C2S, ACK, 101, 1 + i * TALK_MSS, 0);
	}
	talk.next_id[CU_S2C]++;
	talk_add(&talk, t + 280000, CU_S2C, PSH, 1 + N * TALK_MSS, 101, 300);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_true(request.ledger[CU_NETWORK_LOSS].ns > 200000 * US);
	talk_release(&talk);
}

static void test_ledger_lost_tail_after_a_coarse_timer(void **state)
{
	(void)state;
	struct talk talk;
	assert_us(tail_after_3_s(&talk, TALK_MSS, 1), CU_NETWORK_LOSS, 3000000);
	talk_release(&talk);
	/* Nothing was lost; and one that had said all it had to say, and then lost something else. */
	assert_us(tail_after_3_s(&talk, TALK_MSS, 0), CU_SERVER_PAUSE, 3000000);
	talk_release(&talk);
	assert_us(tail_after_3_s(&talk, 200, 1), CU_SERVER_PAUSE, 3000000);
	talk_release(&talk);
}

/* Seen at the server: the first request, so long after the handshake, with identifications missing before each. */
static struct cu_transaction request_after(struct talk *talk, int64_t silence_us, unsigned n_hidden,
                                           uint16_t n_before_ack)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 100, 40000) + silence_us;
	talk->segment[0].ip_id -= n_before_ack;
	talk->next_id[CU_C2S] += n_hidden;
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 100, CU_S2C, PSH, 1, 101, 200);
	talk_add(talk, t + 40100, CU_C2S, ACK, 101, 201, 0);
	talk_add(talk, t + 40200, CU_C2S, PSH, 101, 201, 100);
	talk_add(talk, t + 40300, CU_S2C, PSH, 201, 201, 200);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_first_request_lost_before_the_vantage_point(void **state)
{
	static const struct {
		int64_t silence_us;
		unsigned n_hidden;
		int64_t lost_us;
		uint16_t n_before_ack;
	} cases[] = {
		{240000, 1, 240000, 0},   {750000, 2, 750000, 0}, {1040000, 1, 1040000, 0},
		{9000000, 2, 9000000, 0}, {240000, 0, 0, 0}, /* the client took its time */
		{100000, 1, 0, 0},                           /* no timer is as short */
		{2000000, 1, 0, 0},                          /* ... or as long, for one copy */
		{240000, 40, 0, 0},                          /* nor for so many */
		{240000, 1, 0, 1},                           /* one counter for all that a host sends */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		struct cu_transaction request =
			request_after(&talk, cases[i].silence_us, cases[i].n_hidden, cases[i].n_before_ack);
		assert_us(request, CU_NETWORK_LOSS, cases[i].lost_us);
		assert_true(cases[i].lost_us == 0 || request.certainty < 100);
		assert_int_equal(request.loss_side, cases[i].lost_us == 0 ? CU_LOSS_NONE : CU_LOSS_BEFORE);
		talk_release(&talk);
	}
}

/* Seen at the client: an answer that follows after so long a silence, with identifications missing before it. */
static struct cu_transaction answer_after(struct talk *talk, int64_t silence_us, unsigned n_missing,
                                          unsigned n_segments)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 40000, 100);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 40000, CU_S2C, PSH, 1, 101, 100);
	talk_add(talk, t + 40100, CU_C2S, PSH, 101, 101, 100);
	talk_add(talk, t + 80100, CU_S2C, ACK, 101, 201, 0);
	talk->next_id[CU_S2C] += n_missing;
	t += 80100 + silence_us;
	for (unsigned i = 0; i < n_segments; i++) {
		talk_add(talk, t + i, CU_S2C, PSH, 101 + i * TALK_MSS, 201, TALK_MSS);
	}
	talk_add(talk, t + 100, CU_C2S, ACK, 201, 101 + n_segments * TALK_MSS, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 2);
}

/* A sender's other connections may share its counter (RFC 6864 asks for no more than one for both hosts). */
static void test_ledger_identifications_that_other_connections_took(void **state)
{
	static const struct {
		int64_t silence_us;
		unsigned n_missing, n_segments;
		bool lost;
	} cases[] = {
		{240000, 1, 1, true},    {1300000, 5, 3, false}, /* a timeout would have sent but one of them */
		{620000, 2, 1, true},    {240000, 1, 2, false},
		{1300000, 14, 1, false}, /* so many timeouts take longer */
		{6000000, 5, 1, true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		struct cu_transaction request =
			answer_after(&talk, cases[i].silence_us, cases[i].n_missing, cases[i].n_segments);
		assert_us(request, CU_NETWORK_LOSS, cases[i].lost ? cases[i].silence_us : 0);
		assert_us(request, CU_SERVER_THINK, cases[i].lost ? 0 : cases[i].silence_us);
		talk_release(&talk);
	}
}

/* Of a server that sends but an ACK and an answer, the handshake tells whether it counts: Linux's SYN-ACK has none. */
static void test_ledger_identifications_of_a_short_connection(void **state)
{
	(void)state;
	for (int linux = 0; linux < 2; linux++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 40000, 100);
		talk.segment[1].ip_id = linux ? 0 : 40000;
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 40000, CU_S2C, ACK, 1, 101, 0);
		talk.next_id[CU_S2C] += 3;
		talk_add(&talk, t + 940000, CU_S2C, PSH, 1, 101, 400);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_us(request, CU_NETWORK_LOSS, linux ? 900000 : 0);
		talk_release(&talk);
	}
}

/* Copies are missing, but no timer of theirs is as long: the server thought before it spoke, who knows how long. */
static void test_ledger_answer_lost_after_thinking_is_in_doubt(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction request = answer_after(&talk, 20000000, 2, 1);
	assert_us(request, CU_SERVER_THINK, 20000000);
	assert_true(request.doubts & 1U << CU_DOUBT_UNSEEN_LOSS);
	talk_release(&talk);
	request = answer_after(&talk, 4500000, 2, 1); /* 1.5 s and 3 s, of a BSD */
	assert_true(request.doubts & 1U << CU_DOUBT_LIKE_A_TIMER);
	talk_release(&talk);
	request = answer_after(&talk, 2000000, 0, 1);
	assert_int_equal(request.certainty, 100);
	talk_release(&talk);
}

/* Seen at the client: of a flight of three segments nothing came, and each is sent again after a timeout of its own. */
static void test_ledger_a_flight_lost_whole_is_lost_until_it_is_sent_again(void **state)
{
	enum { N_HIDDEN = 3 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 40000, 100);
	uint32_t seq = 1;
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	for (t += 40000; seq < 1 + 4 * TALK_MSS; seq += TALK_MSS) {
		talk_add(&talk, t, CU_S2C, ACK, seq, 101, TALK_MSS);
	}
	talk_add(&talk, t + 100, CU_C2S, ACK, 101, seq, 0);
	talk.next_id[CU_S2C] += N_HIDDEN;
	for (unsigned i = 0; i < N_HIDDEN + 1; i++, seq += TALK_MSS) {
		t += 700000;
		talk_add(&talk, t, CU_S2C, ACK, seq, 101, TALK_MSS);
		talk_add(&talk, t + 100, CU_C2S, ACK, 101, seq + TALK_MSS, 0);
	}
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_LOSS, N_HIDDEN * 700000);
	assert_us(request, CU_SERVER_PAUSE, 700000);
	talk_release(&talk);
}

/* Seen at the server: three flights of segments of 900 bytes, each set free by the ACK of the one before. */
static struct cu_transaction flights_of_900(struct talk *talk, unsigned flags)
{
	enum { LEN = 900 };
	talk_init(talk);
	int64_t t = talk_handshake(talk, 100, 40000);
	uint32_t seq = 1;
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 100;
	for (unsigned flight = 0; flight < 3; flight++, t += 40200) {
		talk_add(talk, t, CU_S2C, flags, seq, 101, LEN);
		talk_add(talk, t + 10, CU_S2C, PSH, seq + LEN, 101, LEN);
		seq += 2 * LEN;
		talk_add(talk, t + 40000, CU_C2S, ACK, 101, seq - LEN, 0);
		talk_add(talk, t + 40100, CU_C2S, ACK, 101, seq, 0);
	}
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_a_sender_that_fills_less_than_the_mss(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction filled = flights_of_900(&talk, ACK);
	assert_int_equal(talk.trace.mss[CU_S2C], 900);
	assert_us(filled, CU_SERVER_PAUSE, 0);
	talk_release(&talk);
	/* An application's own portions, each with its PSH. */
	struct cu_transaction portions = flights_of_900(&talk, PSH);
	assert_int_equal(talk.trace.mss[CU_S2C], TALK_MSS);
	assert_true(portions.ledger[CU_SERVER_PAUSE].ns > 80000 * US);
	assert_true(portions.certainty < 100);
	talk_release(&talk);
}

/* Seen at the client: a SYN-ACK as late as its own timer makes a second one, where that runs in ticks of 500 ms. */
static void test_ledger_lost_syn_ack_after_a_coarse_timer(void **state)
{
	static const struct {
		int64_t late_us;
		enum cu_cause cause;
	} cases[] = {{2750000, CU_NETWORK_CONNECT}, {2000000, CU_SERVER_CONNECT}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
		int64_t t = 2000 + cases[i].late_us;
		talk_add(&talk, t, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
		talk_add(&talk, t + 100, CU_C2S, ACK, 1, 1, 0);
		talk_add(&talk, t + 200, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 2200, CU_S2C, PSH, 1, 101, 200);
		talk_analyse(&talk);
		assert_us(talk_transaction(&talk, 0), cases[i].cause, cases[i].late_us);
		talk_release(&talk);
	}
}

/*
 * Seen at the client: the SYN is sent again after 1 and 2 s, and the SYN-ACK
 * echoes the first, as Linux does whatever it answers.
 */
static void test_ledger_lost_syn_acks_that_echo_the_first_syn(void **state)
{
	static const struct {
		int64_t answer_us;
		enum cu_cause cause;
	} cases[] = {
		{2020000, CU_NETWORK_CONNECT}, /* by a timer of 1 s that the second SYN set anew */
		{1040000, CU_NETWORK_CONNECT}, /* by the second SYN */
		{2300000, CU_SERVER_CONNECT},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = cases[i].answer_us;
		for (uint32_t n = 0; n < 3 && n * 1000000 < t; n++) {
			struct cu_segment *syn = talk_add(&talk, n * 1000000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
			syn->has_timestamps = true;
			syn->tsval = 500 + n * 1000;
		}
		struct cu_segment *answer = talk_add(&talk, t, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
		answer->has_timestamps = true;
		answer->tsval = 9000;
		answer->tsecr = 500;
		talk_add(&talk, t + 100, CU_C2S, ACK, 1, 1, 0);
		talk_add(&talk, t + 200, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 40200, CU_S2C, PSH, 1, 101, 200);
		talk_analyse(&talk);
		const struct cu_transaction connect = talk_transaction(&talk, 0);
		assert_true(connect.ledger[cases[i].cause].ns > 900000 * US);
		talk_release(&talk);
	}
}

/*
 * Seen at the client: an answer stands still for 900 ms. Its sender's
 * timestamps say whether that was the server, or a path that held it up.
 */
static void test_ledger_timestamps_tell_a_pause_from_a_path_that_holds_up(void **state)
{
	static const struct {
		uint32_t ticks; /* of a ms, while it stands still */
		enum cu_cause cause;
	} cases[] = {{0, CU_NETWORK_TRANSFER}, {3, CU_NETWORK_TRANSFER}, {900, CU_SERVER_PAUSE}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 40000, 100);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		uint32_t stamp[] = {0, 42, 82, 82 + cases[i].ticks, 1022};
		int64_t at[] = {40000, t + 40000, t + 42000, t + 942000, t + 982000};
		talk.segment[1].has_timestamps = true;
		talk.segment[1].tsval = 5000;
		for (uint32_t n = 1; n < 5; n++) {
			struct cu_segment *seg =
				talk_add(&talk, at[n], CU_S2C, ACK, 1 + (n - 1) * TALK_MSS, 101, TALK_MSS);
			seg->has_timestamps = true;
			seg->tsval = 5000 + stamp[n];
			talk_add(&talk, at[n] + 100, CU_C2S, ACK, 101, 1 + n * TALK_MSS, 0);
		}
		talk_analyse(&talk);
		const struct cu_transaction transaction = talk_transaction(&talk, 1);
		assert_true(transaction.ledger[cases[i].cause].ns > 850000 * US);
		talk_release(&talk);
	}
}

static void stamp(struct cu_segment *seg, uint32_t tsval)
{
	seg->has_timestamps = true;
	seg->tsval = tsval;
}

/* Seen in the middle: an answer 3 s after the ACK of its request; the clocks of server and client say how far apart they were. */
static struct cu_transaction late_first_word(struct talk *talk, uint32_t server_ticks, uint32_t client_ticks)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 10000, 10000);
	stamp(&talk->segment[0], 1000);
	stamp(&talk->segment[1], 5000);
	stamp(talk_add(talk, t + 1000000, CU_C2S, PSH, 1, 1, 100), 2020);
	stamp(talk_add(talk, t + 1010000, CU_S2C, ACK, 1, 101, 0), 6020);
	stamp(talk_add(talk, t + 4010000, CU_S2C, PSH, 1, 101, 300), 6020 + server_ticks);
	stamp(talk_add(talk, t + 4020000, CU_C2S, ACK, 101, 301, 0), 2020 + client_ticks);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_timestamps_tell_thinking_from_a_path_that_holds_up(void **state)
{
	(void)state;
	struct talk talk;
	assert_us(late_first_word(&talk, 3000, 3020), CU_SERVER_THINK, 3000000);
	talk_release(&talk);
	assert_us(late_first_word(&talk, 40, 3020), CU_NETWORK_TRANSFER, 3000000 - 41000);
	talk_release(&talk);
	/* Neither knows of it: the capture's clock stepped. */
	assert_us(late_first_word(&talk, 40, 60), CU_UNKNOWN_CAPTURE, 3000000 - 41000);
	talk_release(&talk);
}

/* Seen in the middle: the client asks with its window closed, and opens it 5 s later; the answer comes some time after that. */
static struct cu_transaction answer_to_a_closed_window(struct talk *talk, int64_t after_us)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 10000, 10000);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100)->window = 0;
	talk_add(talk, t + 10000, CU_S2C, ACK, 1, 101, 0);
	talk_add(talk, t + 5000000, CU_C2S, ACK, 101, 1, 0);
	talk_add(talk, t + 5010000 + after_us, CU_S2C, PSH, 1, 101, 300);
	talk_add(talk, t + 5020000 + after_us, CU_C2S, ACK, 101, 301, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_an_answer_may_wait_for_the_clients_window(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction at_once = answer_to_a_closed_window(&talk, 200);
	assert_us(at_once, CU_CLIENT_WINDOW, 5000200);
	assert_us(at_once, CU_SERVER_THINK, 0);
	talk_release(&talk);
	assert_us(answer_to_a_closed_window(&talk, 2000000), CU_SERVER_THINK, 7000000);
	talk_release(&talk);
}

/* A small answer is sent again after 204 ms; the client says by neither SACK nor timestamps which copy it had. */
static struct cu_transaction answer_twice(struct talk *talk, bool sack, bool prompt)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 100, 10000);
	talk->connection.side[CU_C2S].syn.sack_permitted = sack;
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 200, CU_S2C, PSH, 1, 101, 200);
	talk_add(talk, t + 204200, CU_S2C, PSH, 1, 101, 200);
	talk_add(talk, t + 214200, CU_C2S, ACK, 101, 201, 0);
	talk_add(talk, t + 300000, CU_C2S, PSH, 101, 201, 100);
	talk_add(talk, t + 300100, CU_S2C, PSH, 201, 201, 200);
	talk_add(talk, t + (prompt ? 310100 : 450000), CU_C2S, ACK, 201, 401, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_delayed_ack_longer_than_the_senders_timer(void **state)
{
	(void)state;
	struct talk talk;
	assert_us(answer_twice(&talk, false, false), CU_NETWORK_LOSS, 0);
	talk_release(&talk);
	/* One that delays no ACK, and one that would have told of a second copy, had lost the first. */
	assert_us(answer_twice(&talk, false, true), CU_NETWORK_LOSS, 204000);
	talk_release(&talk);
	assert_us(answer_twice(&talk, true, false), CU_NETWORK_LOSS, 204000);
	talk_release(&talk);
}

static void test_ledger_client_pauses(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 500);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 501, 0);
	talk_add(&talk, t + 600000, CU_C2S, PSH, 501, 1, 500);
	talk_add(&talk, t + 630000, CU_S2C, PSH, 1, 1001, 100);
	talk_add(&talk, t + 640000, CU_C2S, ACK, 1001, 101, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_CLIENT_PAUSE, 600000);
	assert_us(request, CU_NETWORK_RTT, 40000);
	talk_release(&talk);
}

static void test_ledger_nagle_waits_for_a_delayed_ack(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 300);
	talk_add(&talk, t + 50000, CU_S2C, ACK, 1, 301, 0);
	talk_add(&talk, t + 50000, CU_C2S, PSH, 301, 1, 300);
	talk_add(&talk, t + 60000, CU_S2C, PSH, 1, 601, 100);
	talk_add(&talk, t + 60000, CU_C2S, ACK, 601, 101, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_DELAYED_ACK, 40000);
	assert_us(request, CU_NETWORK_TRANSFER, 10000);
	assert_us(request, CU_NETWORK_RTT, 10000);
	talk_release(&talk);
}

/*
 * Seen at the client, which writes a little each 100 ms. ACKs come after 60 ms,
 * kept back, and 100: as late as the next piece. Once two pieces came at once.
 */
static void test_ledger_who_sends_small_ones_at_once_waits_for_no_ack(void **state)
{
	(void)state;
	for (int at_once = 0; at_once < 2; at_once++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, 0);
		uint32_t seq = 1;
		talk_add(&talk, t, CU_C2S, PSH, seq, 1, 50);
		talk_add(&talk, t + 10000, CU_S2C, ACK, 1, seq += 50, 0); /* the path's */
		for (unsigned i = 0; i < 6; i++) {
			t += 100000;
			talk_add(&talk, t, CU_C2S, PSH, seq, 1, 50);
			seq += 50;
			if (at_once && i == 2) {
				talk_add(&talk, t + 10, CU_C2S, PSH, seq, 1, 50);
				seq += 50;
			}
			talk_add(&talk, t + 99900, CU_S2C, ACK, 1, seq, 0);
		}
		talk_add(&talk, t + 100000, CU_C2S, PSH, seq, 1, 50);
		seq += 50;
		talk_add(&talk, t + 110000, CU_S2C, PSH, 1, seq, 100);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_int_equal(request.ledger[CU_SERVER_DELAYED_ACK].ns == 0, at_once);
		assert_int_equal(request.ledger[CU_CLIENT_PAUSE].ns > 600000 * US, at_once);
		talk_release(&talk);
	}
}

/* Seen at the client: its ACKs leave some in flight, and the server sends what they made room for in a buffer, of writes of 1.6 segments. */
static void test_ledger_a_send_buffer_is_no_pause(void **state)
{
	(void)state;
	enum { N = 8, RTT = 500000, WRITE = TALK_MSS + 600 };
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, RTT, 10);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	t += RTT;
	uint32_t seq = 1;
	for (unsigned i = 0; i < N; i++, t += RTT + 10) {
		for (unsigned k = 0; k < 2; k++, seq += WRITE) {
			talk_add(&talk, t + k, CU_S2C, ACK, seq, 101, TALK_MSS);
			talk_add(&talk, t + k, CU_S2C, PSH, seq + TALK_MSS, 101, WRITE - TALK_MSS);
		}
		talk_add(&talk, t + 10, CU_C2S, ACK, 101, i < N - 1 ? seq - WRITE : seq, 0);
	}
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 1), CU_SERVER_PAUSE, 0);
	talk_release(&talk);
}

/* The server sends two small segments at once, and the next when they are acknowledged: its window has room for two. */
static void test_ledger_a_congestion_window_may_count_segments(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 1000000, 10);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 1010000, CU_S2C, PSH, 1, 101, 69);
	talk_add(&talk, t + 1011000, CU_S2C, PSH, 70, 101, 3);
	talk_add(&talk, t + 1011010, CU_C2S, ACK, 101, 73, 0);
	talk_add(&talk, t + 2070000, CU_S2C, PSH, 73, 101, 784);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, 0);
	talk_release(&talk);
}

/* Seen at the client: an ACK that reports a hole was not kept back, whatever it acknowledges. */
static void test_ledger_an_ack_with_sack_is_not_delayed(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10000, 0);
	talk_add(&talk, t, CU_C2S, ACK, 1, 1, TALK_MSS);
	struct cu_segment *ack = talk_add(&talk, t + 110000, CU_S2C, ACK, 1, 1 + TALK_MSS, 0);
	ack->n_sack = 1;
	ack->sack[0][0] = ack->ack + 2 * TALK_MSS;
	ack->sack[0][1] = ack->ack + 3 * TALK_MSS;
	talk_add(&talk, t + 110010, CU_C2S, ACK, 1 + TALK_MSS, 1, TALK_MSS);
	talk_add(&talk, t + 120010, CU_S2C, PSH, 1, 1 + 2 * TALK_MSS, 100);
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 1), CU_SERVER_DELAYED_ACK, 0);
	talk_release(&talk);
}

/* The same with an ACK that is kept back for longer than the sender's timer waits, and one that was lost. */
static struct cu_transaction nagle_and_a_timeout(struct talk *talk, bool ack_passes)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 10000, 0);
	talk->connection.side[CU_S2C].syn.sack_permitted = false;
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 300);
	if (ack_passes) {
		talk_add(talk, t + 10000, CU_S2C, ACK, 1, 301, 0);
	}
	talk_add(talk, t + 210000, CU_C2S, PSH, 1, 1, 300);
	talk_add(talk, t + 220000, CU_S2C, ACK, 1, 301, 0);
	talk_add(talk, t + 220000, CU_C2S, PSH, 301, 1, 300);
	talk_add(talk, t + 230000, CU_S2C, PSH, 1, 601, 100);
	talk_add(talk, t + 230000, CU_C2S, ACK, 601, 101, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_nagle_waits_for_an_ack_kept_back_beyond_the_timer(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction request = nagle_and_a_timeout(&talk, false);
	assert_us(request, CU_NETWORK_LOSS, 0);
	assert_us(request, CU_SERVER_DELAYED_ACK, 210000);
	assert_us(request, CU_NETWORK_TRANSFER, 10000);
	talk_release(&talk);
	/* It passed the vantage point: it was lost on its way to the sender. */
	request = nagle_and_a_timeout(&talk, true);
	assert_us(request, CU_NETWORK_LOSS, 210000);
	assert_us(request, CU_SERVER_DELAYED_ACK, 0);
	talk_release(&talk);
}

/* A server speaks again 5 s after the n bytes that it began with were acknowledged, though the capture may lack ACKs. */
static struct cu_transaction answer_in_two_parts(struct talk *talk, uint32_t n, bool has_acks)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 30000, 10000);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	for (uint32_t sent = 0; sent < n; sent += TALK_MSS) {
		talk_add(talk, t + 30000, CU_S2C, PSH, 1 + sent, 101, n - sent < TALK_MSS ? n - sent : TALK_MSS);
	}
	if (has_acks) {
		talk_add(talk, t + 40000, CU_C2S, ACK, 101, 1 + n, 0);
	}
	talk_add(talk, t + 5030000, CU_S2C, PSH, 1 + n, 101, 200);
	if (has_acks) {
		talk_add(talk, t + 5040000, CU_C2S, ACK, 101, 201 + n, 0);
	}
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_news_and_a_paused_answer_look_alike(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction request = answer_in_two_parts(&talk, 80, true);
	assert_us(request, CU_SERVER_PAUSE, 5000000);
	assert_int_equal(request.doubts, 1u << CU_DOUBT_OWN_MESSAGE);
	assert_int_equal(request.certainty, 40);
	talk_release(&talk);
	request = answer_in_two_parts(&talk, 80, false);
	assert_us(request, CU_SERVER_PAUSE, 5000000);
	assert_int_equal(request.doubts, 1u << CU_DOUBT_OWN_MESSAGE);
	talk_release(&talk);
	/* Few say so much only to go on with something else; who stops behind a full segment has more. */
	request = answer_in_two_parts(&talk, 3 * TALK_MSS + 80, true);
	assert_us(request, CU_SERVER_PAUSE, 5000000);
	assert_int_equal(request.doubts, 1u << CU_DOUBT_ENDED);
	talk_release(&talk);
	request = answer_in_two_parts(&talk, 3 * TALK_MSS, true);
	assert_us(request, CU_SERVER_PAUSE, 5000000);
	assert_int_equal(request.doubts, 0);
	talk_release(&talk);
}

static void test_ledger_second_request_after_idle_charges_no_idle(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 200);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 201, 0);
	t += 60000000;
	talk_add(&talk, t, CU_C2S, PSH, 101, 201, 100);
	talk_add(&talk, t + 30000, CU_S2C, PSH, 201, 201, 200);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 201, 401, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 3);
	assert_int_equal(talk_transaction(&talk, 1).total_ns, 40000 * US);
	assert_int_equal(talk_transaction(&talk, 2).total_ns, 40000 * US);
	talk_release(&talk);
}

/* In TLS 1.3 the server's session tickets come before its answer, at once or one for each ACK, and answer nothing. */
static void test_ledger_session_tickets_are_no_answer(void **state)
{
	(void)state;
	enum { TICKET = 250, SECOND_FLIGHT = 80, REQUEST = 100, ANSWER = 500 };
	for (int64_t apart_us = 100; apart_us <= 40000; apart_us += 39900) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 300)->hint.kind = CU_HINT_TLS_CLIENT_HELLO;
		talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 301, 900)->hint.kind = CU_HINT_TLS_SERVER_HELLO;
		t += 40000;
		talk_add(&talk, t, CU_C2S, PSH, 301, 901, SECOND_FLIGHT)->hint.kind = CU_HINT_TLS_HANDSHAKE;
		talk_add(&talk, t + 100, CU_C2S, PSH, 381, 901, REQUEST)->hint.kind = CU_HINT_TLS_DATA;
		talk_add(&talk, t + 30000, CU_S2C, PSH, 901, 481, TICKET)->hint.kind = CU_HINT_TLS_DATA;
		talk_add(&talk, t + 30000 + apart_us, CU_S2C, PSH, 901 + TICKET, 481, TICKET);
		talk_add(&talk, t + 40000 + apart_us, CU_C2S, ACK, 481, 901 + 2 * TICKET, 0);
		struct cu_segment *answer = talk_add(&talk, t + 530000, CU_S2C, PSH, 901 + 2 * TICKET, 481, ANSWER);
		answer->hint.kind = CU_HINT_TLS_DATA;
		uint64_t frame = answer->frame;
		talk_add(&talk, t + 540000, CU_C2S, ACK, 481, 901 + 2 * TICKET + ANSWER, 0);
		talk_analyse(&talk);
		assert_int_equal(talk.exchanges.n, 3);
		assert_int_equal(talk.exchanges.item[1].kind, CU_TXN_TLS_HANDSHAKE);
		struct cu_transaction request = talk_transaction(&talk, 2);
		assert_int_equal(request.kind, CU_TXN_REQUEST);
		assert_int_equal(request.response.first_frame, frame);
		assert_int_equal(request.response.n_bytes, ANSWER);
		assert_us(request, CU_SERVER_PAUSE, 0);
		assert_in_range(request.ledger[CU_SERVER_THINK].ns, 499000 * US, 501000 * US);
		talk_release(&talk);
	}
}

/* Up to TLS 1.2 the ticket comes before the server's Finished (RFC 5077 section 3.3): what follows is an answer. */
static void test_ledger_tls_1_2_has_no_late_tickets(void **state)
{
	(void)state;
	enum { SECOND_FLIGHT = 330, FINISHED = 59, REQUEST = 470, REST = 900 };
	/* the beginning of the answer, or HTTP/2's acknowledgement of SETTINGS, which is none */
	static const uint32_t first[] = {165, 38};
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 300)->hint.kind = CU_HINT_TLS_CLIENT_HELLO;
		talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 301, 900)->hint.kind = CU_HINT_TLS_SERVER_HELLO;
		t += 40000;
		talk_add(&talk, t, CU_C2S, PSH, 301, 901, SECOND_FLIGHT)->hint.kind = CU_HINT_TLS_HANDSHAKE;
		talk_add(&talk, t + 30000, CU_S2C, PSH, 901, 631, FINISHED)->hint.kind = CU_HINT_TLS_HANDSHAKE;
		t += 40000;
		uint32_t seq = 960 + first[i];
		talk_add(&talk, t, CU_C2S, PSH, 631, 960, REQUEST)->hint.kind = CU_HINT_TLS_DATA;
		talk_add(&talk, t + 130000, CU_S2C, PSH, 960, 1101, first[i])->hint.kind = CU_HINT_TLS_DATA;
		talk_add(&talk, t + 140000, CU_C2S, ACK, 1101, seq, 0);
		talk_add(&talk, t + 630000, CU_S2C, PSH, seq, 1101, REST)->hint.kind = CU_HINT_TLS_DATA;
		talk_add(&talk, t + 640000, CU_C2S, ACK, 1101, seq + REST, 0);
		talk_analyse(&talk);
		assert_int_equal(talk.exchanges.n, 4);
		struct cu_transaction request = talk_transaction(&talk, 3);
		assert_int_equal(request.response.n_bytes, i == 0 ? first[i] + REST : REST);
		assert_us(request, CU_SERVER_THINK, i == 0 ? 100000 : 600000);
		assert_us(request, CU_SERVER_PAUSE, i == 0 ? 500000 : 0);
		talk_release(&talk);
	}
}

/* What two sides say, and a minute later: a piece of so many bytes, 0 none, an alert, and the FIN. */
static struct cu_transaction last_words(struct talk *talk, int dir, uint32_t before, uint32_t alert, bool named)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 30000, 10000);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
	talk_add(talk, t + 40000, CU_C2S, ACK, 101, 501, 0);
	uint32_t seq = dir == CU_S2C ? 501 : 101, ack = dir == CU_S2C ? 101 : 501;
	t += 60000000;
	if (before > 0) {
		talk_add(talk, t, dir, PSH, seq, ack, before);
	}
	struct cu_segment *said = talk_add(talk, t + 10, dir, PSH, seq + before, ack, alert);
	said->hint.kind = named ? CU_HINT_TLS_ALERT : CU_HINT_NONE;
	talk_add(talk, t + 20, dir, ACK | CU_TCP_FIN, seq + before + alert, ack, 0);
	talk_add(talk, t + 40000, !dir, ACK, ack, seq + before + alert + 1, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_last_words_of_tls_are_no_answer(void **state)
{
	(void)state;
	enum { ALERT_1_2 = 31, ALERT_1_3 = 24, GOAWAY_1_3 = 39 };
	static const struct {
		uint32_t before, alert;
		bool named;
	} words[] = {
		{0, ALERT_1_2, true},
		{0, ALERT_1_3, false},
		{GOAWAY_1_3, ALERT_1_3, false},
		{0, GOAWAY_1_3 + ALERT_1_3, false},
	};
	struct talk talk;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct cu_transaction request =
			last_words(&talk, CU_S2C, words[i].before, words[i].alert, words[i].named);
		assert_us(request, CU_SERVER_PAUSE, 0);
		assert_int_equal(request.total_ns, 40000 * US);
		assert_int_equal(request.response.n_bytes, 500);
		talk_release(&talk);
		last_words(&talk, CU_C2S, words[i].before, words[i].alert, words[i].named);
		assert_int_equal(talk.exchanges.n, 3);
		assert_int_equal(talk.exchanges.item[2].kind, CU_TXN_CLOSE);
		talk_release(&talk);
	}
	/* The other side's words follow, and nobody has closed when the capture ends. */
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
	talk_add(&talk, t + 60000000, CU_C2S, PSH, 101, 501, ALERT_1_3);
	talk_add(&talk, t + 60030000, CU_S2C, PSH, 501, 101, GOAWAY_1_3);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 2);
	assert_us(talk_transaction(&talk, 1), CU_SERVER_PAUSE, 0);
	talk_release(&talk);
	/* A PING of HTTP/2 is as long as a GOAWAY, and answered. */
	talk_init(&talk);
	t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
	talk_add(&talk, t + 60000000, CU_C2S, PSH, 101, 501, GOAWAY_1_3);
	talk_add(&talk, t + 60030000, CU_S2C, PSH, 501, 140, GOAWAY_1_3);
	talk_add(&talk, t + 90000000, CU_C2S, PSH, 140, 540, ALERT_1_3);
	talk_add(&talk, t + 90000010, CU_C2S, ACK | CU_TCP_FIN, 164, 540, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 4);
	assert_us(talk_transaction(&talk, 1), CU_SERVER_PAUSE, 0);
	assert_int_equal(talk_transaction(&talk, 2).response.n_bytes, GOAWAY_1_3);
	talk_release(&talk);
	/* The rest of an answer is as short, but ends with no alert. */
	struct cu_transaction request = last_words(&talk, CU_S2C, 0, 27, false);
	assert_us(request, CU_SERVER_PAUSE, 59970010);
	talk_release(&talk);
	request = last_words(&talk, CU_S2C, 27, ALERT_1_3, false);
	assert_us(request, CU_SERVER_PAUSE, 59970000);
	talk_release(&talk);
}

/* A request of TLS as long as a GOAWAY and an alert: it is answered, by one as long, and nobody closes. */
static void test_ledger_what_is_answered_was_no_last_word(void **state)
{
	(void)state;
	enum { GOAWAY_ALERT_1_3 = 63 };
	for (int closes = 0; closes < 2; closes++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->hint.kind = CU_HINT_TLS_DATA;
		talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
		talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 501, 0);
		t += 60000000;
		talk_add(&talk, t, CU_C2S, PSH, 101, 501, GOAWAY_ALERT_1_3);
		talk_add(&talk, t + 30000, CU_S2C, PSH, 501, 164, GOAWAY_ALERT_1_3);
		talk_add(&talk, t + 40000, CU_C2S, ACK, 164, 564, 0);
		if (closes) {
			talk_add(&talk, t + 40010, CU_S2C, FIN, 564, 164, 0);
		}
		talk_analyse(&talk);
		assert_int_equal(talk.exchanges.n, 3);
		assert_int_equal(talk.exchanges.item[2].kind, closes ? CU_TXN_CLOSE : CU_TXN_REQUEST);
		assert_us(talk_transaction(&talk, 1), CU_SERVER_PAUSE, 0);
		talk_release(&talk);
	}
}

/*
 * TLS 1.3, whose tickets come with the answer to the request that was sent with the client's Finished; another request,
 * answered at once; and half a minute later both sides' timers end the connection: an alert, and a GOAWAY with a reason
 * and an alert, which cross.
 */
static void test_ledger_last_words_that_cross(void **state)
{
	(void)state;
	enum { SECOND_FLIGHT = 80, REQUEST = 200, TICKETS = 500, ANSWER = 195, SETTINGS_ACK = 31, ALERT_1_3 = 24 };
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 300)->hint.kind = CU_HINT_TLS_CLIENT_HELLO;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 301, 900)->hint.kind = CU_HINT_TLS_SERVER_HELLO;
	t += 40000;
	talk_add(&talk, t, CU_C2S, PSH, 301, 901, SECOND_FLIGHT)->hint.kind = CU_HINT_TLS_HANDSHAKE;
	talk_add(&talk, t + 100, CU_C2S, PSH, 381, 901, REQUEST)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 901, 581, TICKETS)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(&talk, t + 30100, CU_S2C, PSH, 1401, 581, ANSWER);
	t += 41000;
	talk_add(&talk, t, CU_C2S, PSH, 581, 1596, REQUEST)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1596, 781, ANSWER);
	talk_add(&talk, t + 40000, CU_C2S, PSH, 781, 1791, SETTINGS_ACK);
	t += 30000000;
	talk_add(&talk, t, CU_C2S, PSH, 812, 1791, ALERT_1_3);
	talk_add(&talk, t + 29000, CU_S2C, PSH, 1791, 812, 80);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 4);
	struct cu_transaction request = talk_transaction(&talk, 3);
	assert_int_equal(request.total_ns, 40000 * US);
	assert_int_equal(request.response.n_bytes, ANSWER);
	talk_release(&talk);
}

/* HTTP/2 in TLS 1.3: SETTINGS and their acknowledgement, and a request after a minute. */
static void test_ledger_frames_that_ask_for_nothing_begin_no_request(void **state)
{
	(void)state;
	enum { SETTINGS_ACK = 31, PING_ACK = 39 };
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
	talk_add(&talk, t + 40000, CU_C2S, PSH, 101, 501, SETTINGS_ACK);
	talk_add(&talk, t + 70000, CU_S2C, ACK, 501, 132, 0);
	talk_add(&talk, t + 60000000, CU_C2S, PSH, 132, 501, 200);
	/* before the answer, and not acknowledged by it */
	talk_add(&talk, t + 60029000, CU_C2S, PSH, 332, 501, PING_ACK);
	talk_add(&talk, t + 60030000, CU_S2C, PSH, 501, 332, 500);
	talk_add(&talk, t + 60040000, CU_C2S, ACK, 371, 1001, 0);
	talk_add(&talk, t + 60059000, CU_S2C, ACK, 1001, 371, 0);
	talk_add(&talk, t + 90000000, CU_S2C, PSH, 1001, 371, 39)->hint.kind = CU_HINT_TLS_DATA;
	talk_add(&talk, t + 90000010, CU_S2C, PSH | CU_TCP_FIN, 1040, 371, 24);
	talk_add(&talk, t + 90010010, CU_C2S, ACK, 371, 1065, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 4);
	struct cu_transaction request = talk_transaction(&talk, 2);
	assert_us(request, CU_CLIENT_PAUSE, 0);
	assert_int_equal(request.request.n_bytes, 200);
	assert_int_equal(request.total_ns, 40000 * US);
	assert_int_equal(talk.exchanges.item[3].kind, CU_TXN_CLOSE);
	talk_release(&talk);
}

/* A FIN that is not sent again for ten seconds was acknowledged, whatever the capture has; the one that is was lost. */
/* The server thinks about a request when, 3 s later, a frame that asks for nothing follows, or the next request of HTTP. */
static void test_ledger_what_comes_while_the_server_thinks_is_no_part_of_the_request(void **state)
{
	(void)state;
	enum { PING = 39 };
	static const uint8_t hints[] = {CU_HINT_TLS_DATA, CU_HINT_HTTP_REQUEST};
	for (size_t i = 0; i < sizeof(hints); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->hint.kind = hints[i];
		talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
		talk_add(&talk, t + 3000000, CU_C2S, PSH, 101, 1, PING)->hint.kind = hints[i];
		talk_add(&talk, t + 3030000, CU_S2C, ACK, 1, 101 + PING, 0);
		talk_add(&talk, t + 3230000, CU_S2C, PSH, 1, 101 + PING, 500);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_us(request, CU_CLIENT_PAUSE, 0);
		assert_us(request, CU_SERVER_THINK, 3200000);
		talk_release(&talk);
	}
}

static void test_ledger_a_fin_whose_ack_the_capture_lacks(void **state)
{
	(void)state;
	struct talk talk;
	for (int again = 0; again < 2; again++) {
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 10000);
		talk_add(&talk, t, CU_S2C, ACK | CU_TCP_FIN, 1, 1, 0);
		if (again) {
			talk_add(&talk, t + 1000000, CU_S2C, ACK | CU_TCP_FIN, 1, 1, 0);
		}
		talk_add(&talk, t + 10010000, CU_C2S, ACK | CU_TCP_FIN, 1, 2, 0);
		talk_analyse(&talk);
		assert_int_equal(talk.exchanges.item[1].kind, CU_TXN_CLOSE);
		struct cu_transaction close = talk_transaction(&talk, 1);
		assert_us(close, again ? CU_NETWORK_LOSS : CU_UNKNOWN_CAPTURE, 10000000);
		talk_release(&talk);
	}
}

/* The client closes, and the server says something that acknowledges it: nobody asked for that. */
static void test_ledger_an_acknowledged_fin_is_no_request(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
	talk_add(&talk, t + 40000, CU_C2S, ACK | CU_TCP_FIN, 101, 501, 0);
	talk_add(&talk, t + 3070000, CU_S2C, PSH, 501, 102, 40);
	talk_add(&talk, t + 3070000, CU_S2C, ACK | CU_TCP_FIN, 541, 102, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 3);
	assert_int_equal(talk.exchanges.item[2].kind, CU_TXN_CLOSE);
	talk_release(&talk);
}

/* A server that waits for a request in vain, at first or after one. */
static void test_ledger_408_answers_nothing(void **state)
{
	(void)state;
	static const struct cu_hint status = {CU_HINT_HTTP_RESPONSE, 3, "408"},
				    get = {CU_HINT_HTTP_REQUEST, 5, "GET /"};
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t + 10000000, CU_S2C, PSH, 1, 1, 200)->hint = status;
	talk_add(&talk, t + 10000010, CU_S2C, ACK | CU_TCP_FIN, 201, 1, 0);
	talk_add(&talk, t + 10010000, CU_C2S, ACK, 1, 202, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 2);
	assert_int_equal(talk.exchanges.item[1].kind, CU_TXN_CLOSE);
	talk_release(&talk);

	talk_init(&talk);
	t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->hint = get;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500)->hint.kind = CU_HINT_HTTP_RESPONSE;
	talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 501, 0);
	talk_add(&talk, t + 60000000, CU_S2C, PSH, 501, 101, 200)->hint = status;
	talk_add(&talk, t + 60010000, CU_C2S, ACK, 101, 701, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, 0);
	assert_int_equal(request.response.n_bytes, 500);
	talk_release(&talk);

	/* Half a request is answered by it. */
	talk_init(&talk);
	t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->hint = get;
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 10030000, CU_S2C, PSH, 1, 101, 200)->hint = status;
	talk_add(&talk, t + 10040000, CU_C2S, ACK, 101, 201, 0);
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 1), CU_SERVER_THINK, 10000000);
	talk_release(&talk);
}

/*
 * A capture from the middle on that has no bare ACKs: when the client speaks
 * next says nothing of its distance, nor an answer after a second of a loss.
 */
static void test_ledger_of_a_capture_without_bare_acks(void **state)
{
	(void)state;
	static const int64_t client_waits_us[] = {900000, 300000000};
	struct talk talk;
	for (size_t i = 0; i < sizeof(client_waits_us) / sizeof(client_waits_us[0]); i++) {
		talk_init(&talk);
		talk.connection.side[CU_C2S].has_syn = talk.connection.side[CU_S2C].has_syn = false;
		int64_t t = 0;
		for (uint32_t n = 0; n < 3; n++) {
			talk_add(&talk, t, CU_C2S, PSH, 1 + 100 * n, 1 + 500 * n, 100);
			t += n == 2 ? 1000000 : 27000;
			talk_add(&talk, t, CU_S2C, PSH, 1 + 500 * n, 101 + 100 * n, 500);
			t += client_waits_us[i];
		}
		talk_analyse(&talk);
		assert_false(talk.path.client_known);
		assert_int_equal(talk.exchanges.n, 3);
		assert_int_equal(talk_transaction(&talk, 0).total_ns, 27000 * US);
		struct cu_transaction last = talk_transaction(&talk, 2);
		assert_us(last, CU_NETWORK_LOSS, 0);
		assert_us(last, CU_SERVER_THINK, 973000);
		talk_release(&talk);
	}
}

/* The server closes, and the client goes on to send: what it sends acknowledges no answer. */
static void test_ledger_sending_on_after_the_server_closed(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK | CU_TCP_FIN, 1, 101, 0);
	talk_add(&talk, t + 2000000, CU_C2S, PSH, 101, 2, 300);
	talk_add(&talk, t + 2030000, CU_S2C, ACK, 2, 401, 0);
	talk_add(&talk, t + 2040000, CU_C2S, ACK | CU_TCP_FIN, 401, 2, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 4);
	assert_int_equal(talk.exchanges.item[1].outcome, CU_OUTCOME_UNANSWERED);
	assert_int_equal(talk_transaction(&talk, 1).total_ns, 30000 * US);
	assert_int_equal(talk.exchanges.item[2].kind, CU_TXN_CLOSE);
	assert_int_equal(talk.exchanges.item[3].outcome, CU_OUTCOME_ABANDONED);
	assert_int_equal(talk_transaction(&talk, 3).request.n_bytes, 300);
	talk_release(&talk);
}

/* A capture that begins while the connection is idle. */
static void test_ledger_first_keep_alive_is_no_request(void **state)
{
	(void)state;
	struct talk talk;
	for (int pushed = 0; pushed < 3; pushed++) {
		talk_init(&talk);
		talk.connection.side[CU_C2S].has_syn = talk.connection.side[CU_S2C].has_syn = false;
		for (unsigned t = 0; t < 3; t++) {
			talk_add(&talk, t * 45000000, CU_C2S, pushed == 1 ? PSH : ACK, 1, 1, pushed < 2);
			talk_add(&talk, t * 45000000 + 30000, CU_S2C, ACK, 1, 2, 0);
		}
		talk_add(&talk, 120000000, CU_C2S, PSH, 2, 1, 100);
		talk_add(&talk, 120030000, CU_S2C, PSH, 1, 102, 100);
		talk_add(&talk, 120040000, CU_C2S, ACK, 102, 101, 0);
		talk_analyse(&talk);
		assert_int_equal(talk.exchanges.n, 1);
		assert_us(talk_transaction(&talk, 0), CU_CLIENT_PAUSE, pushed == 1 ? 120000000 : 0);
		assert_int_equal(talk_transaction(&talk, 0).request.n_bytes, pushed == 1 ? 101 : 100);
		talk_release(&talk);
	}
}

static void test_ledger_greeting(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t + 330000, CU_S2C, PSH, 1, 1, 80);
	talk_add(&talk, t + 340000, CU_C2S, ACK, 1, 81, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.item[1].kind, CU_TXN_GREETING);
	struct cu_transaction greeting = talk_transaction(&talk, 1);
	assert_us(greeting, CU_SERVER_THINK, 300000);
	assert_us(greeting, CU_NETWORK_RTT, 40000);
	talk_release(&talk);
}

/* The server repeats its SYN-ACK for want of the client's ACK, and speaks when it has one. */
static void test_ledger_greeting_waits_for_the_ack_of_a_handshake(void **state)
{
	static const struct {
		int64_t server_us, client_us;
		int64_t first_ack_us; /* when one passed, from the first SYN-ACK; 0 none did */
		int64_t repeat_us;
		bool echoes;
		enum cu_cause cause;
		int64_t lost_us;
	} cases[] = {
		{30000, 100, 100, 1000000, false, CU_NETWORK_CONNECT, 1000000},
		{100, 30000, 0, 1000000, true, CU_NETWORK_CONNECT, 1000000},
		{100, 30000, 30000, 1000000, false, CU_SERVER_CONNECT, 1000000}, /* it arrived: a full backlog */
		{30000, 100, 100, 20000, false, CU_NETWORK_CONNECT, 0},          /* they met on the way */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = cases[i].server_us, again = t + cases[i].repeat_us + cases[i].client_us;
		talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
		struct cu_segment *first = talk_add(&talk, t, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
		if (cases[i].first_ack_us != 0) {
			talk_add(&talk, t + cases[i].first_ack_us, CU_C2S, ACK, 1, 1, 0);
		}
		struct cu_segment *repeat =
			talk_add(&talk, t + cases[i].repeat_us, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
		struct cu_segment *ack = talk_add(&talk, again, CU_C2S, ACK, 1, 1, 0);
		if (cases[i].echoes) {
			first->has_timestamps = repeat->has_timestamps = ack->has_timestamps = true;
			first->tsval = ack->tsecr = 1000;
			repeat->tsval = 2000;
		}
		int64_t spoke = cases[i].lost_us != 0 ? again : t + cases[i].first_ack_us;
		spoke += cases[i].server_us + 50000;
		talk_add(&talk, spoke, CU_S2C, PSH, 1, 1, 80);
		talk_add(&talk, spoke + cases[i].client_us, CU_C2S, ACK, 1, 81, 0);
		talk_analyse(&talk);
		struct cu_transaction greeting = talk_transaction(&talk, 1);
		assert_int_equal(greeting.kind, CU_TXN_GREETING);
		assert_us(greeting, cases[i].cause, cases[i].lost_us);
		assert_us(greeting, CU_SERVER_THINK, 50000);
		talk_release(&talk);
	}
}

/* The capture's clock steps back behind the handshake: the ACK that the server heard passed before the one it did not. */
static void test_ledger_greeting_after_a_clock_stepped_back(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 100);
	talk_add(&talk, t + 1000000, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
	talk_add(&talk, t - 50, CU_C2S, ACK, 1, 1, 0);
	talk_add(&talk, t + 80000, CU_S2C, PSH, 1, 1, 80);
	talk_add(&talk, t + 80100, CU_C2S, ACK, 1, 81, 0);
	talk_analyse(&talk);
	assert_int_equal(talk_transaction(&talk, 1).kind, CU_TXN_GREETING); /* whose ledger sums */
	talk_release(&talk);
}

/* Seen at the server: a request is sent again until it is acknowledged, though it came; the SYN-ACK is sent again meanwhile, or not. */
static struct cu_transaction request_dropped_at_the_server(struct talk *talk, bool repeats_syn_ack)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 100, 20000);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 220000, CU_C2S, PSH, 1, 1, 100);
	if (repeats_syn_ack) {
		talk_add(talk, t + 1000000, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0);
		talk_add(talk, t + 1020000, CU_C2S, ACK, 101, 1, 0);
	}
	talk_add(talk, t + 1500000, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 1500100, CU_S2C, PSH, 1, 101, 300);
	talk_add(talk, t + 1520100, CU_C2S, ACK, 101, 301, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_a_server_without_room_drops_the_request(void **state)
{
	(void)state;
	struct talk talk;
	assert_us(request_dropped_at_the_server(&talk, true), CU_SERVER_CONNECT, 1500000);
	talk_release(&talk);
	struct cu_transaction lost = request_dropped_at_the_server(&talk, false);
	assert_us(lost, CU_NETWORK_LOSS, 1500000);
	assert_true(lost.doubts & 1u << CU_DOUBT_UNSEEN_LOSS);
	talk_release(&talk);
}

static void test_ledger_late_data_is_no_answer(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 200);
	talk_add(&talk, t + 30000, CU_C2S, ACK, 101, 201, 0);
	/* The next request crosses more of the first answer: its ACK number does not cover the request. */
	talk_add(&talk, t + 100000, CU_C2S, PSH, 101, 201, 100);
	talk_add(&talk, t + 110000, CU_S2C, PSH, 201, 101, 50);
	talk_add(&talk, t + 130000, CU_S2C, ACK, 251, 201, 0);
	talk_add(&talk, t + 630000, CU_S2C, PSH, 251, 201, 100);
	talk_add(&talk, t + 630000, CU_C2S, ACK, 201, 351, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 3);
	struct cu_transaction second = talk_transaction(&talk, 2);
	assert_us(second, CU_SERVER_THINK, 500000);
	assert_int_equal(second.response.n_bytes, 100);
	talk_release(&talk);
}

static void test_ledger_reordering_blames_nobody(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 1000);
	struct cu_segment *early = talk_add(&talk, t + 30000, CU_S2C, ACK, 2001, 101, 1000);
	struct cu_segment *late = talk_add(&talk, t + 38000, CU_S2C, ACK, 1001, 101, 1000);
	uint16_t id = early->ip_id;
	early->ip_id = late->ip_id;
	late->ip_id = id;
	talk_add(&talk, t + 38000, CU_C2S, ACK, 101, 3001, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_LOSS, 0);
	assert_us(request, CU_NETWORK_TRANSFER, 8000);
	assert_true(cu_is(&talk.trace.segment[6], CU_EVENT_OUT_OF_ORDER));
	talk_release(&talk);
}

static void test_ledger_frames_captured_twice_are_no_retransmission(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	uint16_t id = talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->ip_id;
	talk_add(&talk, t + 20, CU_C2S, PSH, 1, 1, 100)->ip_id = id;
	talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 200);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 101, 201, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_int_equal(request.total_ns, 40000 * US);
	assert_us(request, CU_NETWORK_RTT, 40000);
	assert_true(cu_is(&talk.trace.segment[4], CU_EVENT_DUPLICATE_FRAME));
	assert_false(cu_is(&talk.trace.segment[4], CU_EVENT_RETRANSMISSION));
	talk_release(&talk);
}

static void test_ledger_unanswered_request_that_was_received(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 5000000, CU_C2S, FIN, 101, 1, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_int_equal(request.outcome, CU_OUTCOME_ABANDONED);
	assert_int_equal(request.total_ns, 5000000 * US);
	assert_us(request, CU_SERVER_THINK, 4970000);
	talk_release(&talk);
}

/* Nothing acknowledges the request, which the client does not send again before it closes. */
static void test_ledger_unanswered_request_whose_ack_the_capture_lacks(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 5000000, CU_C2S, ACK | CU_TCP_FIN, 101, 1, 0);
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 1), CU_UNKNOWN_CAPTURE, 5000000);
	talk_release(&talk);

	talk_init(&talk);
	t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 1000000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 5000000, CU_C2S, ACK | CU_TCP_FIN, 101, 1, 0);
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 1), CU_NETWORK_LOSS, 5000000);
	talk_release(&talk);
}

static void test_ledger_request_behind_an_answer_of_full_segments(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, ACK, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, TALK_MSS);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1 + TALK_MSS, 101, TALK_MSS);
	/* No sign that this was the end of the answer; the next request comes at once. */
	talk_add(&talk, t + 31000, CU_C2S, ACK, 101, 1 + 2 * TALK_MSS, 100);
	talk_add(&talk, t + 561000, CU_S2C, ACK, 1 + 2 * TALK_MSS, 201, 300);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 3);
	assert_int_equal(talk_transaction(&talk, 1).total_ns, 30000 * US);
	assert_us(talk_transaction(&talk, 2), CU_SERVER_THINK, 500000);
	talk_release(&talk);
}

static void test_ledger_words_aside_do_not_cut_a_stream(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_C2S, ACK, 1, 1, 100);
	for (uint32_t i = 0; i < 20; i++) {
		talk_add(&talk, t + 30000 + 10000 * i, CU_S2C, ACK, 1 + i * TALK_MSS, i > 5 ? 113 : 101, TALK_MSS);
		if (i == 2) {
			talk_add(&talk, t + 30100 + 10000 * i, CU_C2S, ACK, 101, 1 + 3 * TALK_MSS, 12);
		}
	}
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 2);
	assert_int_equal(talk_transaction(&talk, 1).response.n_bytes, 20 * TALK_MSS);
	talk_release(&talk);
}

/* An upload of full segments, one ACK each, through a queue behind the vantage point that grows by 20 ms a segment. */
static void test_ledger_a_queue_behind_the_vantage_point_is_not_the_servers(void **state)
{
	(void)state;
	enum { N = 10 };
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	for (uint32_t i = 0; i < N; i++) {
		talk_add(&talk, t + i, CU_C2S, ACK, 1 + i * TALK_MSS, 1, TALK_MSS);
	}
	for (uint32_t i = 0; i < N; i++) {
		talk_add(&talk, t + 30000 + 20000 * i, CU_S2C, ACK, 1, 1 + (i + 1) * TALK_MSS, 0);
	}
	talk_add(&talk, t + 30000 + 20000 * N, CU_S2C, PSH, 1, 1 + N * TALK_MSS, 100);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	/* The ACKs before the last tell 120 ms of queue: what is left of the 200 ms is the server's at most. */
	assert_true(request.ledger[CU_NETWORK_TRANSFER].ns >= 119900 * US);
	assert_true(request.ledger[CU_SERVER_THINK].ns <= 80100 * US);
	talk_release(&talk);
}

static void test_ledger_pacing_is_no_pause(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10000, 50000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 10000;
	/* Full segments with PSH, 12 ms apart, none acknowledged yet: the sender spaces them out. */
	for (uint32_t i = 0; i < 6; i++) {
		talk_add(&talk, t + 12000 * i, CU_S2C, PSH, 1 + i * TALK_MSS, 101, TALK_MSS);
	}
	talk_add(&talk, t + 110000, CU_C2S, ACK, 101, 1 + 6 * TALK_MSS, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, 0);
	assert_us(request, CU_NETWORK_TRANSFER, 60000);
	talk_release(&talk);
}

/* Seen at the client: a request to a server whose SYN-ACK has no MSS; when the answer begins. */
static int64_t ask_without_an_mss(struct talk *talk, int64_t server_us)
{
	talk_init(talk);
	talk->connection.side[CU_C2S].syn.mss = talk->connection.side[CU_S2C].syn.mss = 0;
	int64_t t = talk_handshake(talk, server_us, 100);
	talk_add(talk, t, CU_C2S, ACK, 1, 1, 100);
	return t + server_us;
}

/* From a server that sets no PSH: equal pieces with pauses between. */
static void test_ledger_equal_pieces_without_an_mss_are_no_full_segments(void **state)
{
	enum { LEN = 662 };
	(void)state;
	for (int acks_each = 0; acks_each < 2; acks_each++) {
		struct talk talk;
		int64_t t = ask_without_an_mss(&talk, 40000);
		for (uint32_t i = 0; i < 6; i++, t += 150000) {
			talk_add(&talk, t, CU_S2C, ACK, 1 + i * LEN, 101, LEN);
			if (acks_each || i % 2 == 1) {
				talk_add(&talk, t + 100, CU_C2S, ACK, 101, 1 + (i + 1) * LEN, 0);
			}
		}
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_us(request, CU_SERVER_PAUSE, 750000);
		talk_release(&talk);
	}
}

/* The same with ACKs kept back for longer than the server's timer: a piece goes on from the copy of the one before it. */
static void test_ledger_what_is_sent_again_does_not_fill_segments(void **state)
{
	enum { LEN = 662 };
	(void)state;
	struct talk talk;
	int64_t t = ask_without_an_mss(&talk, 35000);
	for (uint32_t i = 0; i < 6; i++, t += 224000) {
		talk_add(&talk, t, CU_S2C, ACK, 1 + i * LEN, 101, LEN);
		talk_add(&talk, t + 200000, CU_C2S, ACK, 101, 1 + (i + 1) * LEN, 0);
		talk_add(&talk, t + 211000, CU_S2C, ACK, 1 + i * LEN, 101, LEN);
		talk_add(&talk, t + 211001, CU_C2S, ACK, 101, 1 + (i + 1) * LEN, 0);
	}
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, INT64_C(5) * 224000);
	talk_release(&talk);
}

/* Seen at the client: full segments, 300 ms apart but for once, each acknowledged at once: a sender spaces out what it has. */
static struct cu_transaction spaced_out(struct talk *talk, uint32_t last_len, int64_t once_us)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 40000, 100);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 40000;
	uint32_t seq = 1;
	for (uint32_t i = 0; i < 8; t += i == 3 ? once_us : 300000, i++) {
		uint32_t len = i == 5 ? last_len : TALK_MSS;
		talk_add(talk, t, CU_S2C, ACK, seq, 101, len);
		seq += len;
		talk_add(talk, t + 100, CU_C2S, ACK, 101, seq, 0);
	}
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_spaced_out_full_segments_are_no_pauses(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction request = spaced_out(&talk, TALK_MSS, 300000);
	assert_us(request, CU_SERVER_PAUSE, 0);
	assert_us(request, CU_NETWORK_TRANSFER, 2100000);
	talk_release(&talk);
	/* One of them is less than full: it is an application that writes as much each time. */
	request = spaced_out(&talk, TALK_MSS - 100, 300000);
	assert_us(request, CU_SERVER_PAUSE, 2100000);
	talk_release(&talk);
	/* No sender that spaces segments out waits five times as long. */
	request = spaced_out(&talk, TALK_MSS, 1500000);
	assert_us(request, CU_SERVER_PAUSE, 6 * 300000 + 1500000);
	talk_release(&talk);
}

/*
 * Seen at the client, which delays the ACK of each full segment that comes alone beyond the server's timer: the copy is in
 * vain. With SACK it takes more than one such segment to tell; the first of them is doubtful.
 */
static void test_ledger_full_segments_alone_and_acks_kept_back(void **state)
{
	enum { RTT = 20000 };
	(void)state;
	for (unsigned n = 1; n <= 6; n += 5) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, RTT);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		t += 10000;
		uint32_t seq = 1;
		for (unsigned i = 0; i < n; i++, seq += TALK_MSS, t += 210000 + RTT) {
			talk_add(&talk, t, CU_S2C, ACK, seq, 101, TALK_MSS);
			talk_add(&talk, t + 200000, CU_S2C, ACK, seq, 101, TALK_MSS);
			talk_add(&talk, t + 200000 + RTT, CU_C2S, ACK, 101, seq + TALK_MSS, 0);
		}
		talk_add(&talk, t, CU_S2C, ACK, seq, 101, 100);
		talk_add(&talk, t + RTT + 150000, CU_C2S, ACK, 101, seq + 100, 0);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		if (n == 1) {
			assert_us(request, CU_NETWORK_LOSS, 200000);
			assert_true(request.doubts >> CU_DOUBT_KEPT_ACK & 1);
		} else {
			assert_us(request, CU_NETWORK_LOSS, 0);
			assert_us(request, CU_CLIENT_DELAYED_ACK, n * 200000);
			assert_int_equal(request.doubts >> CU_DOUBT_KEPT_ACK & 1, 0);
		}
		talk_release(&talk);
	}
}

/* The answer follows at once on the ACK of the second copy: the server had the request only then. */
static void test_ledger_an_answer_at_once_tells_that_the_first_copy_was_lost(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[CU_S2C].syn.sack_permitted = false;
	int64_t t = talk_handshake(&talk, 20000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 210000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 230000, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 230300, CU_S2C, PSH, 1, 101, 200);
	talk_add(&talk, t + 240300, CU_C2S, ACK, 101, 201, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_LOSS, 210000);
	assert_int_equal(request.doubts >> CU_DOUBT_KEPT_ACK & 1, 0);
	talk_release(&talk);
}

/* Seen at the server: small pieces of a request, and copies in vain meanwhile; the client goes on before any ACK comes. */
static void test_ledger_a_copy_in_vain_holds_no_sender_that_goes_on_without_its_ack(void **state)
{
	enum { LEN = 260 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 100000);
	for (uint32_t i = 0; i < 6; i++, t += 280000) {
		talk_add(&talk, t, CU_C2S, PSH, 1 + i * LEN, 1, LEN);
		talk_add(&talk, t + 200100, CU_S2C, ACK, 1, 1 + (i + 1) * LEN, 0);
		talk_add(&talk, t + 240000, CU_C2S, PSH, 1 + i * LEN, 1, LEN);
		talk_add(&talk, t + 240100, CU_S2C, ACK, 1, 1 + (i + 1) * LEN, 0);
	}
	talk_add(&talk, t, CU_S2C, PSH, 1, 1 + 6 * LEN, 100);
	talk_add(&talk, t + 100000, CU_C2S, ACK, 1 + 6 * LEN, 101, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_LOSS, 0);
	assert_us(request, CU_CLIENT_PAUSE, 5 * 280000);
	talk_release(&talk);
}

/* Seen at the server: bursts, each acknowledged whole 10 ms later, and 20 ms until the next. */
static struct cu_transaction bursts(struct talk *talk, uint32_t last_len)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 100, 10000);
	uint32_t seq = 1;
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 100;
	for (unsigned i = 0; i < 4; i++, t += 30000) {
		talk_add(talk, t, CU_S2C, ACK, seq, 101, TALK_MSS);
		talk_add(talk, t, CU_S2C, PSH, seq + TALK_MSS, 101, last_len);
		seq += TALK_MSS + last_len;
		talk_add(talk, t + 10000, CU_C2S, ACK, 101, seq, 0);
	}
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_paced_bursts_of_full_segments_are_no_pause(void **state)
{
	(void)state;
	struct talk talk;
	assert_us(bursts(&talk, TALK_MSS), CU_SERVER_PAUSE, 0);
	talk_release(&talk);
	assert_us(bursts(&talk, 4 * TALK_MSS), CU_SERVER_PAUSE, 0);
	talk_release(&talk);
	assert_us(bursts(&talk, 600), CU_SERVER_PAUSE, 90000);
	talk_release(&talk);
	assert_us(bursts(&talk, 4 * TALK_MSS + 600), CU_SERVER_PAUSE, 90000);
	talk_release(&talk);
}

/* Seen before the card cut them: identifications go by four, and nothing is missing between them. */
static void test_ledger_large_segments_have_several_identifications(void **state)
{
	enum { LEN = 3 * TALK_MSS + 500, N = 6, FIRST = 30 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 40000, 100);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 40000;
	uint32_t seq = 1;
	for (unsigned i = 0; i < FIRST; i++, seq += TALK_MSS) {
		talk_add(&talk, t, CU_S2C, ACK, seq, 101, TALK_MSS);
	}
	for (unsigned i = 0; i < N; i++, seq += LEN, t += 300000) {
		talk_add(&talk, t, CU_S2C, PSH, seq, 101, LEN);
		talk.next_id[CU_S2C] += 3;
		talk_add(&talk, t + 100, CU_C2S, ACK, 101, seq + LEN, 0);
	}
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, (N - 1) * 300000);
	assert_us(request, CU_NETWORK_LOSS, 0);
	talk_release(&talk);
}

/* Seen at the server, before its card cut it: a large segment is lost, and sent again one by one. */
static void test_ledger_what_a_card_cuts_tells_no_path_mtu(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 40000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 100, CU_S2C, PSH, 1, 101, 5 * TALK_MSS);
	talk_add(&talk, t + 300100, CU_S2C, ACK, 1, 101, TALK_MSS);
	talk_add(&talk, t + 900100, CU_S2C, ACK, 1, 101, TALK_MSS);
	talk_add(&talk, t + 940100, CU_C2S, ACK, 101, 1 + TALK_MSS, 0);
	talk_add(&talk, t + 940200, CU_S2C, ACK, 1 + TALK_MSS, 101, 4 * TALK_MSS);
	talk_add(&talk, t + 980200, CU_C2S, ACK, 101, 1 + 5 * TALK_MSS, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_MTU, 0);
	assert_true(request.ledger[CU_NETWORK_LOSS].ns > 890000 * US);
	talk_release(&talk);
}

/* ... of which the end alone is lost, and is no smaller than it was. */
static void test_ledger_what_a_card_cuts_ends_with_less_than_a_segment(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 40000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 100, CU_S2C, PSH, 1, 101, TALK_MSS + 300);
	talk_add(&talk, t + 40100, CU_C2S, ACK, 101, 1 + TALK_MSS, 0);
	talk_add(&talk, t + 300100, CU_S2C, PSH, 1 + TALK_MSS, 101, 300);
	talk_add(&talk, t + 900100, CU_S2C, PSH, 1 + TALK_MSS, 101, 300);
	talk_add(&talk, t + 940100, CU_C2S, ACK, 101, 1 + TALK_MSS + 300, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_MTU, 0);
	assert_us(request, CU_NETWORK_LOSS, 900000);
	talk_release(&talk);
}

/* A FIN is sent again after 350 ms; its ACK, 30 ms behind the copy, echoes the first, on a path of 100 ms. */
static void test_ledger_a_fin_that_had_arrived(void **state)
{
	(void)state;
	for (uint32_t echoed = 1000; echoed <= 1350; echoed += 350) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 100, 100000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 10000, CU_S2C, PSH, 1, 101, 300);
		talk_add(&talk, t + 110000, CU_C2S, ACK, 101, 301, 0);
		t += 1000000;
		for (uint32_t i = 0; i < 2; i++) {
			struct cu_segment *fin = talk_add(&talk, t + 350000 * i, CU_S2C, ACK | CU_TCP_FIN, 301, 101, 0);
			fin->has_timestamps = true;
			fin->tsval = 1000 + 350 * i;
		}
		struct cu_segment *ack = talk_add(&talk, t + 380000, CU_C2S, ACK, 101, 302, 0);
		ack->has_timestamps = true;
		ack->tsecr = echoed;
		talk_analyse(&talk);
		struct cu_transaction close = talk_transaction(&talk, talk.exchanges.n - 1);
		assert_int_equal(close.kind, CU_TXN_CLOSE);
		bool first = echoed == 1000;
		assert_us(close, CU_NETWORK_TRANSFER, first ? 280000 : 0);
		assert_int_equal(close.ledger[CU_NETWORK_LOSS].ns == 0, first);
		assert_int_equal(close.doubts >> CU_DOUBT_LATE_ACK & 1, first);
		talk_release(&talk);
	}
}

/*
 * The client resets 10 ms into the answer: what is sent of that a second later
 * nobody waits for. By a clock that steps back it resets before it asks.
 */
static void test_ledger_nobody_waits_behind_a_reset(void **state)
{
	(void)state;
	for (int64_t reset_us = 10000; reset_us >= -3000; reset_us -= 13000) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 0, 5000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 1000, CU_S2C, PSH, 1, 101, 300);
		talk_add(&talk, t + 2000, CU_C2S, ACK | CU_TCP_FIN, 101, 1, 0);
		talk_add(&talk, t + 2100, CU_S2C, ACK, 301, 102, 0);
		talk_add(&talk, t + reset_us, CU_C2S, CU_TCP_RST, 102, 0, 0);
		talk_add(&talk, t + 1270000, CU_S2C, PSH, 1, 102, 300);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_int_equal(request.total_ns, reset_us > 0 ? 10000 * US : 1275000 * US);
		talk_release(&talk);
	}
}

/*
 * Seen at the client: flights of three segments and a half, each acknowledged
 * 130 ms later, and followed by the next a round trip behind that.
 */
static void test_ledger_an_ack_that_is_late_next_to_its_sender(void **state)
{
	(void)state;
	enum { N = 6 };
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 40000, 20);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 40000;
	uint32_t seq = 1;
	for (unsigned i = 0; i < N; i++, t += 170000) {
		for (unsigned k = 0; k < 3; k++, seq += TALK_MSS) {
			talk_add(&talk, t + 10 * k, CU_S2C, ACK, seq, 101, TALK_MSS);
		}
		talk_add(&talk, t + 30, CU_S2C, PSH, seq, 101, TALK_MSS / 2);
		seq += TALK_MSS / 2;
		talk_add(&talk, t + 130030, CU_C2S, ACK, 101, seq, 0);
	}
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_CLIENT_DELAYED_ACK, (N - 1) * 130000 - (N - 1) * 20);
	talk_release(&talk);
}

/*
 * Seen at the server: the way to the client and back takes 1 s, or 3 and more. A
 * wait of its request for 2.5 s may be one for ACKs; so may that for the FIN's.
 */
static void test_ledger_a_path_that_wavers(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10, 1000000);
	uint32_t asked = 1, seq = 1;
	for (unsigned i = 0; i < 6; i++, t += 3500000) {
		talk_add(&talk, t, CU_C2S, PSH, asked, seq, 10);
		asked += 10;
		talk_add(&talk, t + 100, CU_S2C, PSH, seq, asked, 20);
		seq += 20;
		talk_add(&talk, t + 3400100, CU_C2S, ACK, asked, seq, 0);
	}
	talk_add(&talk, t, CU_C2S, PSH, asked, seq, TALK_MSS + 10);
	asked += TALK_MSS + 10;
	talk_add(&talk, t + 10, CU_S2C, ACK, seq, asked, 0);
	talk_add(&talk, t + 2500000, CU_C2S, PSH, asked, seq, 10);
	asked += 10;
	talk_add(&talk, t + 2500010, CU_S2C, PSH, seq, asked, 20);
	talk_add(&talk, t + 2500020, CU_S2C, ACK | CU_TCP_FIN, seq + 20, asked, 0);
	talk_add(&talk, t + 6300000, CU_C2S, ACK, asked, seq + 21, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, talk.exchanges.n - 2);
	assert_us(request, CU_CLIENT_PAUSE, 2500000);
	assert_true(request.doubts >> CU_DOUBT_LATE_ACK & 1);
	assert_us(talk_transaction(&talk, talk.exchanges.n - 1), CU_NETWORK_LOSS, 0);
	talk_release(&talk);
}

/* By their identifications two segments were sent before one that passed 1 and 2 s earlier: the network held them up. */
static void test_ledger_what_was_overtaken_is_no_pause(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 130000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
	uint16_t id = talk.next_id[CU_S2C];
	talk_add(&talk, t + 100000, CU_S2C, PSH, 1 + 2 * TALK_MSS, 101, 300)->ip_id = (uint16_t)(id + 2);
	talk_add(&talk, t + 300000, CU_C2S, ACK, 101, 1, 0);
	talk_add(&talk, t + 1100000, CU_S2C, ACK, 1, 101, TALK_MSS)->ip_id = id;
	talk_add(&talk, t + 2000000, CU_C2S, ACK, 101, 1 + TALK_MSS, 0);
	talk_add(&talk, t + 2100000, CU_S2C, ACK, 1 + TALK_MSS, 101, TALK_MSS)->ip_id = (uint16_t)(id + 1);
	talk_add(&talk, t + 2230000, CU_C2S, ACK, 101, 301 + 2 * TALK_MSS, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_SERVER_PAUSE, 0);
	assert_us(request, CU_NETWORK_LOSS, 0);
	assert_us(request, CU_NETWORK_TRANSFER, 2000000);
	talk_release(&talk);
}

/* By a clock that steps back the answer came before it was asked for, and the reset between: no transaction. */
static void test_ledger_a_reset_before_the_request(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction transaction;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 0, 5000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t - 2000, CU_S2C, PSH, 1, 101, 300);
	talk_add(&talk, t - 1000, CU_C2S, CU_TCP_RST, 101, 0, 0);
	talk_add(&talk, t + 1270000, CU_S2C, PSH, 1, 101, 300);
	talk_analyse(&talk);
	assert_false(talk_fill(&talk, 1, &transaction));
	talk_release(&talk);
}

/* Nothing smaller passed either: that a large segment was sent in vain tells nothing of the path's MTU. */
static void test_ledger_what_is_small_must_have_passed(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 40000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	for (unsigned i = 0; i < 4; i++) {
		talk_add(&talk, t + 100 + 300000 * i * i, CU_S2C, PSH, 1, 101, 600);
	}
	talk_add(&talk, t + 2740100, CU_C2S, CU_TCP_RST, 101, 0, 0);
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 1), CU_NETWORK_MTU, 0);
	talk_release(&talk);
}

/* A sender writes four segments and a half each 20 ms, on a path of 20 ms: ACKs come, but nothing waits for them. */
static struct cu_transaction writes_at_a_pace(struct talk *talk, uint32_t last_len)
{
	enum { N = 20 };
	talk_init(talk);
	int64_t t = talk_handshake(talk, 20000, 100);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	uint32_t seq = 1;
	t += 20000;
	for (unsigned i = 0; i < N; i++, t += 20100) {
		for (unsigned k = 0; k < 4; k++, seq += TALK_MSS) {
			talk_add(talk, t + k, CU_S2C, ACK, seq, 101, TALK_MSS);
		}
		talk_add(talk, t + 4, CU_S2C, PSH, seq, 101, last_len);
		seq += last_len;
		talk_add(talk, t + 104, CU_C2S, ACK, 101, seq, 0);
	}
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_a_sender_that_runs_out_again_and_again_is_not_clocked(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction short_last = writes_at_a_pace(&talk, TALK_MSS / 2);
	assert_true(short_last.ledger[CU_SERVER_PAUSE].ns > 370000 * US);
	talk_release(&talk);
	struct cu_transaction full_last = writes_at_a_pace(&talk, TALK_MSS);
	assert_us(full_last, CU_SERVER_PAUSE, 0);
	talk_release(&talk);
}

/* Seen at the client: six full segments at a time, acknowledged 20 ms later two by two, within 2 ms; then the next after a while. */
static struct cu_transaction uploads_in_bursts(struct talk *talk, unsigned n_bursts, int64_t after_us)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 20000, 100);
	uint32_t seq = 1;
	for (unsigned i = 0; i < n_bursts; i++, t += 22000 + after_us) {
		for (unsigned k = 0; k < 6; k++, seq += TALK_MSS) {
			talk_add(talk, t + k, CU_C2S, ACK, seq, 1, TALK_MSS);
		}
		for (unsigned k = 0; k < 3; k++) {
			talk_add(talk, t + 20000 + 1000 * k, CU_S2C, ACK, 1, seq - (4 - 2 * k) * TALK_MSS, 0);
		}
	}
	talk_add(talk, t, CU_S2C, PSH, 1, seq, 100);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_a_sender_that_had_room_writes_at_its_own_pace(void **state)
{
	(void)state;
	struct talk talk;
	assert_us(uploads_in_bursts(&talk, 8, 5000), CU_CLIENT_PAUSE, 7 * (27000 - 5));
	talk_release(&talk);
	assert_us(uploads_in_bursts(&talk, 8, 100), CU_CLIENT_PAUSE, 0);
	talk_release(&talk);
	assert_us(uploads_in_bursts(&talk, 4, 5000), CU_CLIENT_PAUSE, 0); /* no habit yet */
	talk_release(&talk);
	/* It takes none where all had been acknowledged long ago: no pacing has bursts. */
	assert_us(uploads_in_bursts(&talk, 2, 3000000), CU_CLIENT_PAUSE, 3022000 - 5);
	talk_release(&talk);
	assert_us(uploads_in_bursts(&talk, 8, 3000000), CU_CLIENT_PAUSE, 7 * (3022000 - 5));
	talk_release(&talk);
}

/*
 * Seen at the server, 20 ms from the client: twelve segments, then, each time before all of them can have been
 * acknowledged at the client, six more.
 */
static struct cu_transaction bursts_from_afar(struct talk *talk, bool has_clock)
{
	enum { N = 8, AT_FIRST = 12, AT_ONCE = 6, APART_US = 32000 };
	talk_init(talk);
	int64_t t = talk_handshake(talk, 100, 20000);
	uint32_t seq = 1;
	for (unsigned i = 0; i < N; i++, t += APART_US) {
		for (unsigned k = 0; k < (i == 0 ? AT_FIRST : AT_ONCE); k++, seq += TALK_MSS) {
			struct cu_segment *seg = talk_add(talk, t + k, CU_C2S, ACK, seq, 1, TALK_MSS);
			seg->has_timestamps = has_clock;
			seg->tsval = 1000 + i * (APART_US / 1000);
		}
		talk_add(talk, t + 100, CU_S2C, ACK, 1, seq, 0);
	}
	talk_add(talk, t, CU_S2C, PSH, 1, seq, 100);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_a_clock_tells_bursts_of_the_sender_from_those_of_the_path(void **state)
{
	(void)state;
	struct talk talk;
	assert_true(bursts_from_afar(&talk, true).ledger[CU_CLIENT_PAUSE].ns > 6 * INT64_C(31000) * US);
	talk_release(&talk);
	assert_us(bursts_from_afar(&talk, false), CU_CLIENT_PAUSE, 0);
	talk_release(&talk);
}

/* Seen at the client: a third of a full send buffer is filled anew when it is free, but the link is full all along. */
static void test_ledger_bursts_into_a_full_link_are_no_pauses(void **state)
{
	enum { AT_FIRST = 18, AT_ONCE = 6, N = 18 + 6 * 12 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 20000, 100);
	uint32_t seq = 1;
	for (unsigned i = 0; i < AT_FIRST; i++, seq += TALK_MSS) {
		talk_add(&talk, t + i, CU_C2S, ACK, seq, 1, TALK_MSS);
	}
	for (uint32_t acked = 2; acked <= N; acked += 2) {
		int64_t now = t + 20000 + 3000 * acked / 2;
		talk_add(&talk, now, CU_S2C, ACK, 1, 1 + acked * TALK_MSS, 0);
		for (unsigned i = 0; acked % AT_ONCE == 0 && i < AT_ONCE && seq < N * TALK_MSS; i++, seq += TALK_MSS) {
			talk_add(&talk, now + 300 + i, CU_C2S, ACK, seq, 1, TALK_MSS);
		}
	}
	talk_add(&talk, t + 200000, CU_S2C, PSH, 1, 1 + N * TALK_MSS, 100);
	talk_analyse(&talk);
	assert_us(talk_transaction(&talk, 1), CU_CLIENT_PAUSE, 0);
	talk_release(&talk);
}

/* A path that takes less was found in mid-answer: what is filled since then is full, and waits for ACKs, whatever small talk was before. */
static void test_ledger_full_segments_may_become_smaller(void **state)
{
	enum { FULL = 700, N = 20, N_SMALL = 60 };
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 40000, 100);
	uint32_t seq = 1, asked = 1;
	for (unsigned i = 0; i < N_SMALL; i++, seq += 20, t += 40100) {
		talk_add(&talk, t, CU_C2S, PSH, asked, seq, 10);
		asked += 10;
		talk_add(&talk, t + 40000, CU_S2C, PSH, seq, asked, 20);
	}
	talk_add(&talk, t, CU_C2S, PSH, asked, seq, 100);
	asked += 100;
	t += 40000;
	for (unsigned i = 0; i < N; i++, t += 40100) {
		uint32_t len = i == 0 ? TALK_MSS : FULL;
		for (unsigned k = 0; k < 2; k++, seq += len) {
			talk_add(&talk, t + k, CU_S2C, ACK, seq, asked, len);
		}
		talk_add(&talk, t + 100, CU_C2S, ACK, asked, seq, 0);
	}
	talk_analyse(&talk);
	assert_int_equal(talk.trace.mss[CU_S2C], TALK_MSS);
	assert_int_equal(talk.trace.full[CU_S2C], FULL);
	struct cu_transaction request = talk_transaction(&talk, talk.exchanges.n - 1);
	assert_us(request, CU_SERVER_PAUSE, 0);
	talk_release(&talk);
}

/* Nothing but a jump in IP identification, 3 s of silence, and then segments of 600 where 1,000 are allowed. */
static void test_ledger_segments_cut_smaller_after_silence_tell_the_path_mtu(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
	talk.next_id[CU_S2C] += 14;
	for (uint32_t i = 0; i < 8; i++) {
		talk_add(&talk, t + 3030000 + i, CU_S2C, ACK, 1 + i * 600, 101, 600);
	}
	talk_add(&talk, t + 3030010, CU_S2C, ACK, 4801, 101, 800); /* a probe: is there room for more? */
	talk_add(&talk, t + 3030011, CU_S2C, ACK, 5601, 101, 600);
	talk_add(&talk, t + 3040010, CU_C2S, ACK, 101, 6201, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_us(request, CU_NETWORK_MTU, 3000000);
	assert_us(request, CU_SERVER_THINK, 0);
	talk_release(&talk);
}

static void test_ledger_client_gives_up_on_an_answer_that_never_came(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 1000, 40000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	for (uint32_t i = 0; i < 3; i++) {
		talk_add(&talk, t + 1000 + 300000 * i, CU_S2C, PSH, 1, 101, TALK_MSS);
	}
	talk_add(&talk, t + 4000000, CU_C2S, FIN, 101, 1, 0);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_int_equal(request.total_ns, 4000000 * US);
	assert_true(request.ledger[CU_NETWORK_LOSS].ns + request.ledger[CU_NETWORK_MTU].ns > 3900000 * US);
	talk_release(&talk);
}

/* The client resets a minute after an answer that was sent once, whose ACK the capture lacks. */
static void test_ledger_idle_time_before_a_reset_is_no_loss(void **state)
{
	(void)state;
	static const uint32_t resets_ack[] = {1, 301};
	for (size_t i = 0; i < sizeof(resets_ack) / sizeof(resets_ack[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 11000, CU_S2C, PSH, 1, 101, 300);
		talk_add(&talk, t + 60000000, CU_C2S, CU_TCP_RST | ACK, 101, resets_ack[i], 0);
		talk_analyse(&talk);
		assert_int_equal(talk_transaction(&talk, 1).total_ns, 21000 * US);
		talk_release(&talk);
	}
}

/* Seen in the middle: the client closes its side 5 s after it asked, and the answer comes after_us behind the round trip to the server. */
static struct cu_transaction answer_to_a_half_close(struct talk *talk, int64_t after_us)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 10000, 10000);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 10000, CU_S2C, ACK, 1, 101, 0);
	talk_add(talk, t + 5000000, CU_C2S, FIN, 101, 1, 0);
	talk_add(talk, t + 5010000 + after_us, CU_S2C, PSH, 1, 102, 300);
	talk_add(talk, t + 5020000 + after_us, CU_C2S, ACK, 102, 301, 0);
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_a_half_close_may_end_a_request(void **state)
{
	(void)state;
	struct talk talk;
	assert_us(answer_to_a_half_close(&talk, 100), CU_CLIENT_PAUSE, 5000000);
	talk_release(&talk);
	struct cu_transaction later = answer_to_a_half_close(&talk, 1000000);
	assert_us(later, CU_CLIENT_PAUSE, 0);
	assert_us(later, CU_SERVER_THINK, 6000000);
	talk_release(&talk);
}

/*
 * Seen at the client, without identifications, or with those of a host that counts for all: two full segments, 600 ms of silence, and then three more: all at once,
 * or the first alone and the others a round trip later.
 */
static struct cu_transaction goes_on_after_silence(struct talk *talk, bool alone, bool counts_for_all)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 40000, 100);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(talk, t + 40000, CU_S2C, ACK, 1, 101, TALK_MSS);
	talk_add(talk, t + 40010, CU_S2C, ACK, 1 + TALK_MSS, 101, TALK_MSS);
	talk_add(talk, t + 40100, CU_C2S, ACK, 101, 1 + 2 * TALK_MSS, 0);
	talk_add(talk, t + 640010, CU_S2C, ACK, 1 + 2 * TALK_MSS, 101, TALK_MSS);
	talk_add(talk, t + 640100, CU_C2S, ACK, 101, 1 + 3 * TALK_MSS, 0);
	int64_t after_us = alone ? 40200 : 120;
	talk_add(talk, t + 640000 + after_us, CU_S2C, ACK, 1 + 3 * TALK_MSS, 101, TALK_MSS);
	talk_add(talk, t + 640010 + after_us, CU_S2C, PSH, 1 + 4 * TALK_MSS, 101, TALK_MSS);
	talk_add(talk, t + 640100 + after_us, CU_C2S, ACK, 101, 1 + 5 * TALK_MSS, 0);
	for (size_t i = 0; i < talk->n; i++) {
		uint16_t at = talk->segment[i].time_ns / (CU_NS_PER_MS * 4);
		talk->segment[i].ip_id = counts_for_all ? (uint16_t)(talk->segment[i].ip_id + at) : 0;
	}
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_a_window_of_one_segment_tells_of_a_timeout(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction alone = goes_on_after_silence(&talk, true, false);
	assert_us(alone, CU_NETWORK_LOSS, 600000);
	assert_int_equal(alone.doubts, 1u << CU_DOUBT_UNSEEN_LOSS);
	talk_release(&talk);
	for (int counts_for_all = 0; counts_for_all < 2; counts_for_all++) {
		struct cu_transaction at_once = goes_on_after_silence(&talk, false, counts_for_all);
		assert_us(at_once, CU_SERVER_PAUSE, 600000);
		assert_int_equal(at_once.doubts, 1u << CU_DOUBT_LIKE_A_TIMER);
		talk_release(&talk);
	}
}

/* The client acknowledges 5 KB more than the capture has of the answer. */
static void test_ledger_an_answer_whose_end_the_capture_lacks(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 11000, CU_S2C, ACK, 1, 101, TALK_MSS);
	talk_add(&talk, t + 500000, CU_C2S, ACK, 101, 1 + 6 * TALK_MSS, 0);
	talk_analyse(&talk);
	assert_true(talk.delivery[CU_S2C].lacks);
	talk_release(&talk);
}

/*
 * Seen at the client: an exchange, another that the capture lacks whole, and one
 * whose answer comes 118 ms after its request, 10 ms of them the path's.
 */
static void test_ledger_an_exchange_that_the_capture_lacks(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 20000, CU_S2C, PSH, 1, 101, 300);
	talk_add(&talk, t + 60000, CU_C2S, ACK, 101, 301, 0);
	t += 35000000;
	talk_add(&talk, t, CU_C2S, PSH, 401, 901, 100);
	talk_add(&talk, t + 118000, CU_S2C, PSH, 901, 501, 300);
	talk_analyse(&talk);
	assert_int_equal(talk.exchanges.n, 3);
	struct cu_transaction before = talk_transaction(&talk, 1);
	assert_int_equal(before.total_ns, 20000 * US);
	struct cu_transaction behind = talk_transaction(&talk, 2);
	assert_int_equal(behind.request.n_bytes, 100);
	assert_int_equal(behind.response.n_bytes, 300);
	assert_us(behind, CU_NETWORK_RTT, 10000);
	assert_us(behind, CU_SERVER_THINK, 108000);
	talk_release(&talk);
}

/* The capture lacks the end of an answer, which the client acknowledges before it goes on, or only by going on. */
static void test_ledger_an_end_that_belongs_to_no_later_answer(void **state)
{
	(void)state;
	for (int told = 0; told < 2; told++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, 0);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 20000, CU_S2C, ACK, 1, 101, TALK_MSS);
		if (told) {
			talk_add(&talk, t + 50000, CU_C2S, ACK, 101, 1501, 0);
		}
		t += 35000000;
		talk_add(&talk, t, CU_C2S, PSH, 101, 1501, 100);
		talk_add(&talk, t + 118000, CU_S2C, PSH, 1501, 201, 300);
		talk_analyse(&talk);
		struct cu_transaction before = talk_transaction(&talk, 1);
		assert_int_equal(before.total_ns, told ? 50000 * US : 20000 * US);
		assert_int_equal(before.response.n_bytes, told ? 1500 : TALK_MSS);
		struct cu_transaction behind = talk_transaction(&talk, 2);
		assert_int_equal(behind.response.n_bytes, 300);
		assert_us(behind, CU_SERVER_THINK, 108000);
		talk_release(&talk);
	}
}

/*
 * Seen at the client: the capture lacks an answer, and the client's ACK tells when it had come. The server's FIN, which
 * has the number that was acknowledged, or its ACK alone, ends the connection 5 s later; or the client's, which has the
 * ACK itself. An ACK of a byte that may be a FIN tells nothing.
 */
static void test_ledger_an_answer_that_only_its_ack_tells_of(void **state)
{
	(void)state;
	enum { ENDS_SERVER, ENDS_SERVER_UNSEEN, ENDS_CLIENT, N_ENDS };
	for (int ends = 0; ends < N_ENDS; ends++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, 0);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		if (ends != ENDS_CLIENT) {
			talk_add(&talk, t + 30000, CU_C2S, ACK, 101, 301, 0);
			talk_add(&talk, t + 50000, CU_C2S, ACK, 101, 514, 0);
		}
		t += 5000000;
		if (ends == ENDS_SERVER) {
			talk_add(&talk, t, CU_S2C, FIN, 514, 101, 0);
		}
		if (ends != ENDS_CLIENT) {
			talk_add(&talk, t + 100, CU_C2S, ACK, 101, 515, 0);
		}
		talk_add(&talk, t + 200, CU_C2S, FIN, 101, ends == ENDS_CLIENT ? 514 : 515, 0);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_int_equal(request.outcome, CU_OUTCOME_ANSWERED);
		assert_int_equal(request.total_ns, ends == ENDS_CLIENT ? 5000200 * US : 50000 * US);
		assert_us(request, CU_SERVER_THINK, 0);
		assert_us(request, CU_NETWORK_LOSS, 0);
		assert_us(request, CU_UNKNOWN_CAPTURE, ends == ENDS_CLIENT ? 4990200 : 40000);
		talk_release(&talk);
	}
}

/*
 * Seen at the client: the server's FIN comes behind an answer that was not seen. If the client acknowledges both, the
 * capture lacks that; if it does not, nobody knows of one. An ACK beyond the FIN acknowledges what never was.
 */
static void test_ledger_a_fin_behind_an_answer_that_was_not_seen(void **state)
{
	(void)state;
	static const struct {
		uint32_t acked_before, fin, acked;
		bool answered;
	} cases[] = {{0, 501, 502, true}, {0, 501, 1, false}, {1000000, 1, 2, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, 0);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 10000, CU_S2C, ACK, 1, 101, 0);
		if (cases[i].acked_before > 0) {
			talk_add(&talk, t + 20000, CU_C2S, ACK, 101, cases[i].acked_before, 0);
		}
		t += 10000000;
		talk_add(&talk, t, CU_S2C, FIN, cases[i].fin, 101, 0);
		talk_add(&talk, t + 100, CU_C2S, ACK, 101, cases[i].acked, 0);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_int_equal(request.outcome, cases[i].answered ? CU_OUTCOME_ANSWERED : CU_OUTCOME_UNANSWERED);
		assert_int_equal(request.total_ns, 10000000 * US);
		assert_us(request, CU_UNKNOWN_CAPTURE, cases[i].answered ? 9990000 : 0);
		talk_release(&talk);
	}
}

/* An ACK of what was never sent, by an attacker, say, is no end of an answer: what the server sends is its own. */
static void test_ledger_an_ack_of_what_never_came(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10000, 0);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 20000, CU_S2C, PSH, 1, 101, 300);
	talk_add(&talk, t + 60000, CU_C2S, PSH, 101, 1000000, 100);
	talk_add(&talk, t + 190000, CU_S2C, PSH, 301, 201, 300);
	talk_analyse(&talk);
	struct cu_transaction behind = talk_transaction(&talk, 2);
	assert_int_equal(behind.response.n_bytes, 300);
	assert_us(behind, CU_SERVER_THINK, 120000);
	talk_release(&talk);
}

/* Seen at the client: the SYN-ACK takes 700 ms, ACKs 0.2: not the server's, whose path may be some of what it thinks. */
static void test_ledger_acks_from_nearer_than_the_server(void **state)
{
	(void)state;
	for (int64_t think_us = 2000000; think_us <= 20000000; think_us *= 10) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 700000, 10);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 200, CU_S2C, ACK, 1, 101, 0);
		talk_add(&talk, t + 200 + think_us, CU_S2C, PSH, 1, 101, 300);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		assert_us(request, CU_SERVER_THINK, think_us);
		assert_int_equal(request.doubts, think_us < 10000000 ? 1u << CU_DOUBT_NO_SERVER_RTT : 0);
		talk_release(&talk);
	}
}

/* Seen at the client: the server thinks for 10 s; elsewhere on the connection it spoke unasked after so long, or a minute. */
static void test_ledger_a_server_that_speaks_unasked(void **state)
{
	(void)state;
	static const struct {
		int64_t silence_s;
		bool was_asked, doubted;
	} cases[] = {{9, false, true}, {60, false, false}, {9, true, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, 0);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 20000, CU_S2C, PSH, 1, 101, 55);
		talk_add(&talk, t + 60000, CU_C2S, ACK, 101, 56, 0);
		t += cases[i].silence_s * 1000000;
		uint32_t asked = cases[i].was_asked ? 201 : 101;
		if (cases[i].was_asked) {
			talk_add(&talk, t, CU_C2S, PSH, 101, 56, 100);
		}
		talk_add(&talk, t + 20000, CU_S2C, PSH, 56, asked, 55);
		talk_add(&talk, t + 60000, CU_C2S, ACK, asked, 111, 0);
		t += 20000000;
		talk_add(&talk, t, CU_C2S, PSH, asked, 111, 100);
		talk_add(&talk, t + 10000, CU_S2C, ACK, 111, asked + 100, 0);
		talk_add(&talk, t + 10000000, CU_S2C, PSH, 111, asked + 100, 55);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, talk.exchanges.n - 1);
		assert_us(request, CU_SERVER_THINK, 9990000);
		assert_int_equal(request.doubts, cases[i].doubted ? 1u << CU_DOUBT_UNASKED : 0);
		talk_release(&talk);
	}
}

/* Seen at the server by two interfaces: what the client sends stands behind its ACK, at the right time. */
static void test_ledger_frames_that_stand_out_of_order(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 100, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 40000, CU_C2S, ACK, 1, 1, 0);
	for (uint32_t i = 0; i < 2; i++) {
		int64_t t = 41000 + 1000000 * i;
		talk_add(&talk, t + 100, CU_S2C, ACK, 1 + 300 * i, 101 + 100 * i, 0);
		talk_add(&talk, t, CU_C2S, PSH, 1 + 100 * i, 1 + 300 * i, 100);
		talk_add(&talk, t + 400000, CU_S2C, PSH, 1 + 300 * i, 101 + 100 * i, 300);
		talk_add(&talk, t + 440000, CU_C2S, ACK, 101 + 100 * i, 301 + 300 * i, 0);
	}
	talk_analyse(&talk);
	assert_int_equal(talk.path.server_rtt_ns, 100 * US);
	assert_us(talk_transaction(&talk, talk.exchanges.n - 1), CU_SERVER_THINK, 399900);
	talk_release(&talk);
}

/* Seen at the client: a request is acknowledged 0.8 s after a round trip, and answered 1 ms later. */
static void test_ledger_no_ack_is_kept_back_for_so_long(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 20000, 100);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 820000, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 821000, CU_S2C, PSH, 1, 101, 300);
	talk_analyse(&talk);
	struct cu_transaction request = talk_transaction(&talk, 1);
	assert_int_equal(request.doubts, 1u << CU_DOUBT_LATE_ACK);
	talk_release(&talk);
}

/* A server says something a minute after its answer, or its greeting, and closes; or the client closes first. */
static void test_ledger_words_before_a_close_may_be_a_farewell(void **state)
{
	(void)state;
	for (int client_first = 0; client_first < 2; client_first++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 10000, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 11000, CU_S2C, PSH, 1, 101, 300);
		talk_add(&talk, t + 21000, CU_C2S, ACK, 101, 301, 0);
		talk_add(&talk, t + 60000000, CU_S2C, PSH, 301, 101, 50);
		if (client_first) {
			talk_add(&talk, t + 60010000, CU_C2S, FIN, 101, 351, 0);
		}
		talk_add(&talk, t + 60020100, CU_S2C, FIN, 351, 101 + client_first, 0);
		talk_analyse(&talk);
		struct cu_transaction request = talk_transaction(&talk, 1);
		unsigned last_words = client_first ? 0 : 1u << CU_DOUBT_LAST_WORDS;
		assert_int_equal(request.doubts, 1u << CU_DOUBT_OWN_MESSAGE | last_words);
		talk_release(&talk);
	}
}

/* Without IP identification: an answer 250 ms late, after an ACK at ack_us, or with none before it. */
static struct cu_transaction late_answer(struct talk *talk, int64_t ack_us)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 30000, 10000);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	if (ack_us >= 0) {
		talk_add(talk, t + 30000 + ack_us, CU_S2C, ACK, 1, 101, 0);
	}
	talk_add(talk, t + 280000, CU_S2C, PSH, 1, 101, 100);
	for (size_t i = 0; i < talk->n; i++) {
		talk->segment[i].ip_id = 0;
	}
	talk_analyse(talk);
	return talk_transaction(talk, 1);
}

static void test_ledger_an_answer_without_the_ack_that_thinking_leaves_is_a_second_copy(void **state)
{
	(void)state;
	struct talk talk;
	struct cu_transaction none = late_answer(&talk, -1);
	assert_us(none, CU_NETWORK_LOSS, 250000);
	talk_release(&talk);
	struct cu_transaction delayed = late_answer(&talk, 40000);
	assert_us(delayed, CU_SERVER_THINK, 250000);
	assert_int_equal(delayed.certainty, 100);
	talk_release(&talk);
	struct cu_transaction prompt = late_answer(&talk, 0);
	assert_us(prompt, CU_SERVER_THINK, 250000);
	assert_true(prompt.certainty < 100);
	talk_release(&talk);
}

static void test_ledger_a_clock_that_steps_back_measures_nothing(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 900000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 100000, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
	talk_add(&talk, 901000, CU_C2S, ACK, 1, 1, 0);
	talk_analyse(&talk);
	struct cu_case known = {.trace = &talk.trace,
	                        .path = &talk.path,
	                        .delivery = talk.delivery,
	                        .window = talk.window,
	                        .exchanges = &talk.exchanges,
	                        .stretches = &talk.stretches};
	struct cu_transaction transaction;
	assert_int_equal(talk.exchanges.n, 1);
	assert_false(cu_ledger_fill(&known, &talk.exchanges.item[0], &transaction));
	talk_release(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ledger_server_thinks),
		cmocka_unit_test(test_ledger_handshake_costs_the_path),
		cmocka_unit_test(test_ledger_lost_syn),
		cmocka_unit_test(test_ledger_syn_ack_that_was_not_captured),
		cmocka_unit_test(test_ledger_a_syn_may_be_lost_next_to_its_server),
		cmocka_unit_test(test_ledger_a_connect_ends_when_the_client_knows),
		cmocka_unit_test(test_ledger_a_syn_that_is_answered_late),
		cmocka_unit_test(test_ledger_of_a_syn_that_was_answered_for_a_connection_of_before),
		cmocka_unit_test(test_ledger_request_lost_before_the_capture),
		cmocka_unit_test(test_ledger_request_lost_after_the_vantage_point),
		cmocka_unit_test(test_ledger_answer_lost_before_the_vantage_point),
		cmocka_unit_test(test_ledger_server_pauses),
		cmocka_unit_test(test_ledger_many_short_stretches_are_taken_together),
		cmocka_unit_test(test_ledger_client_window_closed),
		cmocka_unit_test(test_ledger_a_window_update_may_be_lost),
		cmocka_unit_test(test_ledger_window_that_is_filled_all_along),
		cmocka_unit_test(test_ledger_window_that_is_filled_at_a_pace),
		cmocka_unit_test(test_ledger_window_that_a_queue_fills),
		cmocka_unit_test(test_ledger_window_of_a_scale_that_was_not_captured),
		cmocka_unit_test(test_ledger_a_closed_window_of_any_scale),
		cmocka_unit_test(test_ledger_a_window_that_unseen_acks_open),
		cmocka_unit_test(test_ledger_window_with_less_room_than_a_segment),
		cmocka_unit_test(test_ledger_lost_tail_after_a_coarse_timer),
		cmocka_unit_test(test_ledger_lost_tail_behind_many_acks),
		cmocka_unit_test(test_ledger_first_request_lost_before_the_vantage_point),
		cmocka_unit_test(test_ledger_identifications_that_other_connections_took),
		cmocka_unit_test(test_ledger_identifications_of_a_short_connection),
		cmocka_unit_test(test_ledger_answer_lost_after_thinking_is_in_doubt),
		cmocka_unit_test(test_ledger_a_flight_lost_whole_is_lost_until_it_is_sent_again),
		cmocka_unit_test(test_ledger_a_sender_that_fills_less_than_the_mss),
		cmocka_unit_test(test_ledger_lost_syn_ack_after_a_coarse_timer),
		cmocka_unit_test(test_ledger_lost_syn_acks_that_echo_the_first_syn),
		cmocka_unit_test(test_ledger_timestamps_tell_a_pause_from_a_path_that_holds_up),
		cmocka_unit_test(test_ledger_timestamps_tell_thinking_from_a_path_that_holds_up),
		cmocka_unit_test(test_ledger_an_answer_may_wait_for_the_clients_window),
		cmocka_unit_test(test_ledger_delayed_ack_longer_than_the_senders_timer),
		cmocka_unit_test(test_ledger_client_pauses),
		cmocka_unit_test(test_ledger_nagle_waits_for_a_delayed_ack),
		cmocka_unit_test(test_ledger_who_sends_small_ones_at_once_waits_for_no_ack),
		cmocka_unit_test(test_ledger_a_send_buffer_is_no_pause),
		cmocka_unit_test(test_ledger_a_congestion_window_may_count_segments),
		cmocka_unit_test(test_ledger_an_ack_with_sack_is_not_delayed),
		cmocka_unit_test(test_ledger_nagle_waits_for_an_ack_kept_back_beyond_the_timer),
		cmocka_unit_test(test_ledger_news_and_a_paused_answer_look_alike),
		cmocka_unit_test(test_ledger_second_request_after_idle_charges_no_idle),
		cmocka_unit_test(test_ledger_session_tickets_are_no_answer),
		cmocka_unit_test(test_ledger_tls_1_2_has_no_late_tickets),
		cmocka_unit_test(test_ledger_last_words_of_tls_are_no_answer),
		cmocka_unit_test(test_ledger_what_is_answered_was_no_last_word),
		cmocka_unit_test(test_ledger_last_words_that_cross),
		cmocka_unit_test(test_ledger_frames_that_ask_for_nothing_begin_no_request),
		cmocka_unit_test(test_ledger_what_comes_while_the_server_thinks_is_no_part_of_the_request),
		cmocka_unit_test(test_ledger_a_fin_whose_ack_the_capture_lacks),
		cmocka_unit_test(test_ledger_an_acknowledged_fin_is_no_request),
		cmocka_unit_test(test_ledger_408_answers_nothing),
		cmocka_unit_test(test_ledger_of_a_capture_without_bare_acks),
		cmocka_unit_test(test_ledger_sending_on_after_the_server_closed),
		cmocka_unit_test(test_ledger_first_keep_alive_is_no_request),
		cmocka_unit_test(test_ledger_greeting),
		cmocka_unit_test(test_ledger_greeting_waits_for_the_ack_of_a_handshake),
		cmocka_unit_test(test_ledger_greeting_after_a_clock_stepped_back),
		cmocka_unit_test(test_ledger_a_server_without_room_drops_the_request),
		cmocka_unit_test(test_ledger_late_data_is_no_answer),
		cmocka_unit_test(test_ledger_reordering_blames_nobody),
		cmocka_unit_test(test_ledger_frames_captured_twice_are_no_retransmission),
		cmocka_unit_test(test_ledger_unanswered_request_that_was_received),
		cmocka_unit_test(test_ledger_unanswered_request_whose_ack_the_capture_lacks),
		cmocka_unit_test(test_ledger_request_behind_an_answer_of_full_segments),
		cmocka_unit_test(test_ledger_words_aside_do_not_cut_a_stream),
		cmocka_unit_test(test_ledger_a_queue_behind_the_vantage_point_is_not_the_servers),
		cmocka_unit_test(test_ledger_pacing_is_no_pause),
		cmocka_unit_test(test_ledger_equal_pieces_without_an_mss_are_no_full_segments),
		cmocka_unit_test(test_ledger_what_is_sent_again_does_not_fill_segments),
		cmocka_unit_test(test_ledger_spaced_out_full_segments_are_no_pauses),
		cmocka_unit_test(test_ledger_full_segments_alone_and_acks_kept_back),
		cmocka_unit_test(test_ledger_an_answer_at_once_tells_that_the_first_copy_was_lost),
		cmocka_unit_test(test_ledger_a_copy_in_vain_holds_no_sender_that_goes_on_without_its_ack),
		cmocka_unit_test(test_ledger_paced_bursts_of_full_segments_are_no_pause),
		cmocka_unit_test(test_ledger_large_segments_have_several_identifications),
		cmocka_unit_test(test_ledger_what_a_card_cuts_tells_no_path_mtu),
		cmocka_unit_test(test_ledger_what_a_card_cuts_ends_with_less_than_a_segment),
		cmocka_unit_test(test_ledger_an_ack_that_is_late_next_to_its_sender),
		cmocka_unit_test(test_ledger_a_path_that_wavers),
		cmocka_unit_test(test_ledger_what_was_overtaken_is_no_pause),
		cmocka_unit_test(test_ledger_a_fin_that_had_arrived),
		cmocka_unit_test(test_ledger_nobody_waits_behind_a_reset),
		cmocka_unit_test(test_ledger_a_reset_before_the_request),
		cmocka_unit_test(test_ledger_what_is_small_must_have_passed),
		cmocka_unit_test(test_ledger_a_sender_that_runs_out_again_and_again_is_not_clocked),
		cmocka_unit_test(test_ledger_a_sender_that_had_room_writes_at_its_own_pace),
		cmocka_unit_test(test_ledger_a_clock_tells_bursts_of_the_sender_from_those_of_the_path),
		cmocka_unit_test(test_ledger_bursts_into_a_full_link_are_no_pauses),
		cmocka_unit_test(test_ledger_full_segments_may_become_smaller),
		cmocka_unit_test(test_ledger_segments_cut_smaller_after_silence_tell_the_path_mtu),
		cmocka_unit_test(test_ledger_client_gives_up_on_an_answer_that_never_came),
		cmocka_unit_test(test_ledger_idle_time_before_a_reset_is_no_loss),
		cmocka_unit_test(test_ledger_a_window_of_one_segment_tells_of_a_timeout),
		cmocka_unit_test(test_ledger_frames_that_stand_out_of_order),
		cmocka_unit_test(test_ledger_an_answer_whose_end_the_capture_lacks),
		cmocka_unit_test(test_ledger_acks_from_nearer_than_the_server),
		cmocka_unit_test(test_ledger_a_server_that_speaks_unasked),
		cmocka_unit_test(test_ledger_an_exchange_that_the_capture_lacks),
		cmocka_unit_test(test_ledger_an_end_that_belongs_to_no_later_answer),
		cmocka_unit_test(test_ledger_an_answer_that_only_its_ack_tells_of),
		cmocka_unit_test(test_ledger_a_fin_behind_an_answer_that_was_not_seen),
		cmocka_unit_test(test_ledger_an_ack_of_what_never_came),
		cmocka_unit_test(test_ledger_a_half_close_may_end_a_request),
		cmocka_unit_test(test_ledger_no_ack_is_kept_back_for_so_long),
		cmocka_unit_test(test_ledger_words_before_a_close_may_be_a_farewell),
		cmocka_unit_test(test_ledger_an_answer_without_the_ack_that_thinking_leaves_is_a_second_copy),
		cmocka_unit_test(test_ledger_a_clock_that_steps_back_measures_nothing),
	};
	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
