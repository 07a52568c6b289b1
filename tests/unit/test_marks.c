/* What a segment is: as Wireshark's rules have it, and settled; why it was sent again; the initial round trip. */
#include "lib/tcp/resent.h"
#include "tests/unit/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SYN = CU_TCP_SYN, ACK = CU_TCP_ACK, PSH = CU_TCP_PSH | CU_TCP_ACK, FIN = CU_TCP_FIN | CU_TCP_ACK };

#define US CU_NS_PER_US
#define MS 1000 /* in talk's microseconds */
#define BIT(kind) (UINT32_C(1) << (kind))

static const uint32_t resent = BIT(CU_EVENT_RETRANSMISSION);
static const uint32_t fast = BIT(CU_EVENT_RETRANSMISSION) | BIT(CU_EVENT_FAST_RETRANSMISSION);
static const uint32_t spurious = BIT(CU_EVENT_RETRANSMISSION) | BIT(CU_EVENT_SPURIOUS_RETRANSMISSION);

static void analyse(struct talk *talk)
{
	talk_analyse(talk);
	cu_trace_resent(&talk->trace);
	cu_trace_mark_forward(&talk->trace);
}

/* Of the segment that was added as the n-th, from 1. */
static const struct cu_trace_segment *frame(const struct talk *talk, size_t n)
{
	return &talk->trace.segment[n - 1];
}

static uint32_t kinds(const struct cu_trace_segment *seg)
{
	return seg->marks & (BIT(CU_SETTLED_TIMESTAMPS) - 1);
}

static bool settled_by(const struct cu_trace_segment *seg, enum cu_settled by)
{
	return (seg->marks & BIT(by)) != 0;
}

static void stamp(struct cu_segment *segment, uint32_t tsval, uint32_t tsecr)
{
	segment->has_timestamps = true;
	segment->tsval = tsval;
	segment->tsecr = tsecr;
}

static void test_mark_a_copy_counts_for_wireshark_only(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	struct cu_segment *sent = talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 1, CU_C2S, PSH, 1, 1, 100)->ip_id = sent->ip_id;
	struct cu_segment *ack = talk_add(&talk, t + 30 * MS, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 30 * MS + 1, CU_S2C, ACK, 1, 101, 0)->ip_id = ack->ip_id;
	talk_add(&talk, t + 31 * MS, CU_S2C, ACK, 1, 101, 0);
	analyse(&talk);
	assert_int_equal(kinds(frame(&talk, 5)), BIT(CU_EVENT_DUPLICATE_FRAME));
	assert_true(settled_by(frame(&talk, 5), CU_SETTLED_IP_ID));
	assert_int_equal(frame(&talk, 5)->forward, resent);
	assert_int_equal(frame(&talk, 7)->forward, BIT(CU_EVENT_DUPLICATE_ACK));
	assert_int_equal(frame(&talk, 8)->dup_ack, 1);
	assert_int_equal(frame(&talk, 8)->forward_dup_ack, 2);
	assert_true(settled_by(frame(&talk, 8), CU_SETTLED_COPY));
	talk_release(&talk);
}

/* A mirror that sends each frame twice, of a server that numbers nothing: its SYN-ACK and ACKs are copies, too. */
static void test_mark_copies_without_identification(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, 50 * MS, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 80 * MS, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, 80 * MS + 5 * MS, CU_S2C, ACK, 1, 101, 0); /* a real one, later than copies are */
	for (size_t i = talk.n; i > 0; i--) {
		struct cu_segment *segment = &talk.segment[i - 1];
		segment->ip_id = segment->dir == CU_S2C ? 0 : segment->ip_id;
		talk.segment[2 * i - 2] = talk.segment[2 * i - 1] = *segment;
		talk.segment[2 * i - 1].time_ns += 20 * US;
	}
	talk.n *= 2;
	analyse(&talk);
	for (size_t n = 1; n <= talk.n; n++) {
		assert_int_equal(cu_is(frame(&talk, n), CU_EVENT_DUPLICATE_FRAME), n % 2 == 0);
	}
	assert_true(settled_by(frame(&talk, 4), CU_SETTLED_ROUND_TRIP));
	assert_int_equal(frame(&talk, 11)->dup_ack, 1);
	talk_release(&talk);
}

/* Without digits enough the handshake took no time: then its round trip is unknown, not that of the next ACK. */
static void test_handshake_of_a_coarse_clock(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_handshake(&talk, 0, 0);
	talk_add(&talk, 2000 * MS, CU_C2S, PSH, 1, 1, 100);
	analyse(&talk);
	assert_int_equal(talk.trace.handshake_ns, 0);
	talk_release(&talk);
}

static void test_mark_bytes_seen_before_are_not_out_of_order(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 1000);
	talk_add(&talk, t + 10 * MS, CU_C2S, PSH, 1001, 1, 1000);
	talk_add(&talk, t + 20 * MS, CU_C2S, PSH, 1, 1, 1000);
	analyse(&talk);
	assert_int_equal(frame(&talk, 6)->forward, BIT(CU_EVENT_OUT_OF_ORDER));
	assert_true(cu_is(frame(&talk, 6), CU_EVENT_RETRANSMISSION));
	assert_false(cu_is(frame(&talk, 6), CU_EVENT_OUT_OF_ORDER));
	assert_true(settled_by(frame(&talk, 6), CU_SETTLED_EARLIER_SEGMENT));
	talk_release(&talk);
}

/* A card's queues read in another order: data behind its own ACK was not sent again, unless that is from long ago. */
static void test_mark_data_captured_behind_its_ack(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 100, 40 * MS);
		talk_add(&talk, t, CU_S2C, ACK, 1, 101, 0); /* frame 4, of the segment behind it */
		talk_add(&talk, t + (late ? 5 * MS : 3), CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 6 * MS, CU_C2S, PSH, 101, 1, 100);
		talk_add(&talk, t + 6 * MS + 100, CU_S2C, ACK, 1, 201, 0);
		analyse(&talk);
		assert_int_equal(frame(&talk, 4)->forward, BIT(CU_EVENT_ACK_LOST_SEGMENT));
		assert_int_equal(frame(&talk, 5)->forward, spurious);
		assert_int_equal(kinds(frame(&talk, 4)), late ? BIT(CU_EVENT_ACK_LOST_SEGMENT) : 0);
		assert_int_equal(kinds(frame(&talk, 5)), late ? spurious : 0);
		assert_true(late || settled_by(frame(&talk, 4), CU_SETTLED_LATER_SEGMENT));
		assert_true(late || settled_by(frame(&talk, 5), CU_SETTLED_ACKS));
		assert_int_equal(kinds(frame(&talk, 6)) | kinds(frame(&talk, 7)), 0);
		talk_release(&talk);
	}
}

static void test_mark_identification_tells_reordering(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 1000)->ip_id = 200;
	talk_add(&talk, t + 1 * MS, CU_C2S, PSH, 2001, 1, 1000)->ip_id = 202;
	talk_add(&talk, t + 90 * MS, CU_C2S, PSH, 1001, 1, 1000)->ip_id = 201; /* late, and sent first */
	analyse(&talk);
	assert_int_equal(frame(&talk, 6)->forward, resent);
	assert_int_equal(kinds(frame(&talk, 6)), BIT(CU_EVENT_OUT_OF_ORDER));
	assert_true(settled_by(frame(&talk, 6), CU_SETTLED_IP_ID));
	talk_release(&talk);
}

static void test_mark_zero_window_probe_and_its_answer(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30 * MS, CU_S2C, ACK, 1, 101, 0)->window = 0;
	talk_add(&talk, t + 300 * MS, CU_C2S, ACK, 101, 1, 1);
	talk_add(&talk, t + 330 * MS, CU_S2C, ACK, 1, 101, 0)->window = 0;
	talk_add(&talk, t + 900 * MS, CU_C2S, ACK, 101, 1, 1);
	talk_add(&talk, t + 930 * MS, CU_S2C, ACK, 1, 102, 0)->window = 0; /* took the byte */
	analyse(&talk);
	const uint32_t answer = BIT(CU_EVENT_ZERO_WINDOW) | BIT(CU_EVENT_ZERO_WINDOW_PROBE_ACK);
	assert_int_equal(frame(&talk, 5)->forward, BIT(CU_EVENT_ZERO_WINDOW));
	assert_int_equal(frame(&talk, 6)->forward, BIT(CU_EVENT_ZERO_WINDOW_PROBE));
	assert_int_equal(frame(&talk, 7)->forward, answer);
	assert_int_equal(kinds(frame(&talk, 7)), answer);
	assert_true(cu_is(frame(&talk, 9), CU_EVENT_ZERO_WINDOW_PROBE_ACK));
	assert_true(settled_by(frame(&talk, 9), CU_SETTLED_ACKS));
	assert_false(settled_by(frame(&talk, 7), CU_SETTLED_ACKS));
	assert_false(frame(&talk, 9)->forward & BIT(CU_EVENT_ZERO_WINDOW_PROBE_ACK));
	talk_release(&talk);
}

static void test_mark_clock_that_goes_back_makes_nothing_soon(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t + 10 * MS, CU_C2S, PSH, 1001, 1, 1000)->ip_id = 0;
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 1000)->ip_id = 0;
	analyse(&talk);
	assert_int_equal(frame(&talk, 5)->forward, resent);
	talk_release(&talk);
}

static void test_mark_numbers_of_a_reset_are_no_place_in_the_stream(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 1 * MS, CU_C2S, CU_TCP_RST, 5000, 0, 0); /* not in the window: refused by the server */
	talk_add(&talk, t + 30 * MS, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 60 * MS, CU_C2S, PSH, 101, 1, 100);
	analyse(&talk);
	assert_int_equal(frame(&talk, 7)->forward, resent);
	assert_int_equal(kinds(frame(&talk, 7)), 0);
	assert_true(settled_by(frame(&talk, 7), CU_SETTLED_RESET));
	talk_release(&talk);
}

static void test_mark_wireshark_takes_zero_for_no_number(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 30 * MS, CU_S2C, CU_TCP_RST | ACK, 0, 1, 0)->seq = 0;
	talk_add(&talk, 500 * MS, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 530 * MS, CU_S2C, SYN | ACK, 0, 1, 0);
	talk_add(&talk, 540 * MS, CU_C2S, ACK, 1, 1, 0);
	talk_add(&talk, 600 * MS, CU_S2C, PSH, 1, 1, 100);
	analyse(&talk);
	assert_int_equal(frame(&talk, 4)->forward, 0);
	assert_int_equal(frame(&talk, 6)->forward, 0);
	assert_int_equal(kinds(frame(&talk, 6)), 0);
	talk_release(&talk);
}

/* A server without state answers each SYN with another number: the one that holds is the last here. */
static void test_mark_numbers_of_another_syn_ack_are_no_place_in_the_stream(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 30 * MS, CU_S2C, SYN | ACK, 900000, 1, 0);
	talk_add(&talk, 1000 * MS, CU_S2C, SYN | ACK, 900000, 1, 0);
	talk_add(&talk, 1020 * MS, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 1050 * MS, CU_S2C, SYN | ACK, 0, 1, 0);
	talk_add(&talk, 1060 * MS, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, 1100 * MS, CU_S2C, PSH, 1, 101, 100);
	analyse(&talk);
	assert_int_equal(kinds(frame(&talk, 2)), 0);
	assert_int_equal(kinds(frame(&talk, 3)), resent);
	assert_int_equal(frame(&talk, 5)->forward, resent);
	assert_int_equal(kinds(frame(&talk, 5)), 0);
	assert_true(settled_by(frame(&talk, 5), CU_SETTLED_RESET));
	assert_int_equal(frame(&talk, 7)->forward, resent);
	assert_int_equal(kinds(frame(&talk, 7)), 0);
	assert_int_equal(talk.delivery[CU_S2C].n_holes, 0);
	talk_release(&talk);
}

/* What was sent again from before the capture's first segment: nothing says that its original had arrived. */
static void test_mark_bytes_from_before_the_capture_are_not_needless(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[0].has_syn = talk.connection.side[1].has_syn = false;
	talk_add(&talk, 0, CU_C2S, ACK, 9001, 1, 1000);
	talk_add(&talk, 10 * MS, CU_S2C, ACK, 1, 5001, 0);
	talk_add(&talk, 11 * MS, CU_S2C, ACK, 1, 5001, 0);
	talk_add(&talk, 12 * MS, CU_S2C, ACK, 1, 5001, 0);
	talk_add(&talk, 200 * MS, CU_C2S, ACK, 5001, 1, 1000);
	talk_add(&talk, 210 * MS, CU_S2C, ACK, 1, 10001, 0);
	analyse(&talk);
	assert_int_equal(kinds(frame(&talk, 5)), resent);
	assert_int_equal(frame(&talk, 5)->needless, CU_NEEDLESS_NONE);
	talk_release(&talk);
}

static void test_mark_no_more_duplicate_acks_than_there_were(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t + 1 * MS, CU_S2C, PSH, 1, 501, 100); /* of a request that was not captured */
	talk_add(&talk, t + 5 * MS, CU_S2C, PSH, 1, 501, 100);
	analyse(&talk);
	assert_int_equal(frame(&talk, 5)->forward, fast);
	assert_int_equal(kinds(frame(&talk, 5)) & fast, resent);
	assert_true(settled_by(frame(&talk, 5), CU_SETTLED_ACKS));
	talk_release(&talk);
}

/* Each side's windows after a handshake of which only one SYN was seen. */
static void see_syn_of(int dir, bool has_wscale, bool unknown[2], int64_t *window)
{
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[!dir].has_syn = false;
	talk.connection.side[dir].syn.has_wscale = has_wscale;
	talk.connection.side[dir].syn.wscale = 3;
	talk_add(&talk, 0, dir, dir == CU_C2S ? SYN : SYN | ACK, 0, 1, 0);
	talk_add(&talk, 10 * MS, dir, ACK, 1, 1, 0);
	analyse(&talk);
	unknown[CU_C2S] = talk.trace.scale_unknown[CU_C2S];
	unknown[CU_S2C] = talk.trace.scale_unknown[CU_S2C];
	*window = frame(&talk, 2)->window;
	talk_release(&talk);
}

static void test_window_scale_of_one_syn(void **state)
{
	(void)state;
	bool unknown[2];
	int64_t window;
	see_syn_of(CU_S2C, true, unknown, &window);
	assert_true(unknown[CU_C2S] && !unknown[CU_S2C]);
	assert_int_equal(window, TALK_WINDOW << 3);
	see_syn_of(CU_C2S, true, unknown, &window);
	assert_true(unknown[CU_C2S] && unknown[CU_S2C]);
	assert_int_equal(window, TALK_WINDOW);
	see_syn_of(CU_S2C, false, unknown, &window);
	assert_true(!unknown[CU_C2S] && !unknown[CU_S2C]);
	see_syn_of(CU_C2S, false, unknown, &window);
	assert_true(!unknown[CU_C2S] && !unknown[CU_S2C]);
	assert_int_equal(window, TALK_WINDOW);
}

static void test_window_scale_that_was_not_captured(void **state)
{
	(void)state;
	for (int dir = 0; dir < 2; dir++) {
		struct talk talk;
		talk_init(&talk);
		talk.connection.side[dir].syn.has_wscale = false;
		talk.connection.side[dir].syn.cut = true;
		talk_handshake(&talk, 30000, 10000);
		analyse(&talk);
		assert_true(talk.trace.scale_unknown[dir]);
		assert_int_equal(talk.trace.scale_unknown[!dir], dir == CU_S2C); /* a SYN-ACK's tells of both */
		talk_release(&talk);
	}
}

static void test_handshake_counts_from_the_last_syn(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 1000 * MS, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 1030 * MS, CU_S2C, SYN | ACK, 0, 1, 0);
	talk_add(&talk, 1040 * MS, CU_C2S, ACK, 1, 1, 0);
	analyse(&talk);
	assert_int_equal(talk.trace.handshake_ns, 40 * MS * US);
	assert_int_equal(talk.path.handshake_rtt_ns, 40 * MS * US);
	talk_release(&talk);
}

static void test_handshake_counts_from_the_syn_that_was_echoed(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	stamp(talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 0), 10, 0);
	stamp(talk_add(&talk, 1000 * MS, CU_C2S, SYN, 0, 0, 0), 1010, 0);
	stamp(talk_add(&talk, 1030 * MS, CU_S2C, SYN | ACK, 0, 1, 0), 7, 10);
	stamp(talk_add(&talk, 1040 * MS, CU_C2S, ACK, 1, 1, 0), 1050, 7);
	analyse(&talk);
	assert_int_equal(talk.trace.handshake_ns, 1040 * MS * US);
	talk_release(&talk);
}

static void test_handshake_of_a_refusal_is_none(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[CU_S2C].has_syn = false;
	talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 30 * MS, CU_S2C, CU_TCP_RST | ACK, 1, 1, 0);
	analyse(&talk);
	assert_int_equal(talk.trace.handshake_ns, 0);
	talk_release(&talk);
}

static void test_handshake_needs_no_syn_ack(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[CU_S2C].has_syn = false;
	talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 0);
	talk_add(&talk, 40 * MS, CU_C2S, ACK, 1, 1, 0);
	analyse(&talk);
	assert_int_equal(talk.trace.handshake_ns, 40 * MS * US);
	talk_release(&talk);
}

static void test_handshake_of_a_syn_with_data(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 100);
	talk_add(&talk, 30 * MS, CU_S2C, SYN | ACK, 0, 101, 0);
	talk_add(&talk, 40 * MS, CU_C2S, ACK, 101, 1, 0);
	analyse(&talk);
	assert_int_equal(talk.trace.handshake_ns, 40 * MS * US);
	talk_release(&talk);
}

static void test_resent_by_timeout(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 300 * MS, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 330 * MS, CU_S2C, ACK, 1, 101, 0);
	analyse(&talk);
	assert_int_equal(frame(&talk, 5)->resent_by, CU_RESENT_TIMEOUT);
	assert_int_equal(frame(&talk, 5)->needless, CU_NEEDLESS_NONE);
	assert_int_equal(kinds(frame(&talk, 5)), resent);
	assert_int_equal(frame(&talk, 4)->resent_by, CU_RESENT_NONE);
	talk_release(&talk);
}

static void test_resent_as_a_tail_probe(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 90 * MS, CU_C2S, PSH, 1, 1, 100); /* two round trips */
	talk_add(&talk, t + 120 * MS, CU_S2C, ACK, 1, 101, 0);
	analyse(&talk);
	assert_int_equal(frame(&talk, 5)->resent_by, CU_RESENT_TAIL_PROBE);
	talk_release(&talk);
}

/* One that is alone may wait as long as the timer does: what the next wait is tells which it was. */
static void test_resent_as_a_tail_probe_as_late_as_a_timer(void **state)
{
	static const struct {
		int64_t next_us;
		enum cu_resent_by first;
	} cases[] = {{245 * MS, CU_RESENT_TAIL_PROBE}, {480 * MS, CU_RESENT_TIMEOUT}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS) + 240 * MS;
		talk_add(&talk, t - 240 * MS, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + cases[i].next_us, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + cases[i].next_us + 30 * MS, CU_S2C, ACK, 1, 101, 0);
		analyse(&talk);
		assert_int_equal(frame(&talk, 5)->resent_by, cases[i].first);
		assert_int_equal(frame(&talk, 6)->resent_by, CU_RESENT_TIMEOUT);
		talk_release(&talk);
	}
}

/* A SYN has no probe: Linux sends the first ones at the same intervals. */
static void test_resent_syns_are_no_probes(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	for (int64_t i = 0; i < 4; i++) {
		talk_add(&talk, i * 1000 * MS, CU_C2S, SYN, 0, 0, 0);
	}
	talk_add(&talk, 3030 * MS, CU_S2C, SYN | ACK, 0, 1, 0);
	talk_add(&talk, 3040 * MS, CU_C2S, ACK, 1, 1, 0);
	analyse(&talk);
	for (size_t i = 2; i <= 4; i++) {
		assert_int_equal(frame(&talk, i)->resent_by, CU_RESENT_TIMEOUT);
	}
	talk_release(&talk);
}

/* Three segments of which the first is lost behind the vantage point, and the ACKs that tell it. */
static int64_t lose_first(struct talk *talk)
{
	int64_t t = talk_handshake(talk, 30 * MS, 10 * MS);
	for (uint32_t i = 0; i < 4; i++) {
		talk_add(talk, t + i, CU_C2S, PSH, 1 + 1000 * i, 1, 1000);
	}
	for (uint32_t i = 0; i < 3; i++) {
		talk_add(talk, t + 30 * MS + i, CU_S2C, ACK, 1, 1, 0);
	}
	return t + 32 * MS;
}

static void test_resent_by_duplicate_acks(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = lose_first(&talk);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 1000);
	talk_add(&talk, t + 30 * MS, CU_S2C, ACK, 1, 4001, 0);
	analyse(&talk);
	assert_int_equal(frame(&talk, 11)->forward, fast);
	assert_int_equal(kinds(frame(&talk, 11)), fast);
	assert_int_equal(frame(&talk, 11)->resent_by, CU_RESENT_DUPLICATE_ACKS);
	assert_int_equal(frame(&talk, 11)->needless, CU_NEEDLESS_NONE);
	talk_release(&talk);
}

static void test_resent_sooner_than_anything_asks_for(void **state)
{
	/* On a path of 40 ms sooner than a round trip; on one of 200 us sooner than any clock ticks twice. */
	static const struct {
		int64_t rtt_us, after_us;
	} cases[] = {{40 * MS, 5 * MS}, {200, 1 * MS}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, cases[i].rtt_us / 2, cases[i].rtt_us / 2);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + cases[i].after_us, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + cases[i].after_us + cases[i].rtt_us, CU_S2C, ACK, 1, 101, 0);
		analyse(&talk);
		assert_int_equal(frame(&talk, 5)->resent_by, CU_RESENT_UNKNOWN);
		talk_release(&talk);
	}
}

static void test_resent_needlessly_says_a_dsack(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 300 * MS, CU_C2S, PSH, 1, 1, 100);
	struct cu_segment *ack = talk_add(&talk, t + 330 * MS, CU_S2C, ACK, 1, 101, 0);
	ack->n_sack = 1;
	ack->sack[0][0] = ack->ack - 100;
	ack->sack[0][1] = ack->ack;
	analyse(&talk);
	assert_int_equal(frame(&talk, 5)->needless, CU_NEEDLESS_DSACK);
	assert_int_equal(kinds(frame(&talk, 5)), spurious);
	assert_true(settled_by(frame(&talk, 5), CU_SETTLED_LATER_SEGMENT));
	assert_int_equal(frame(&talk, 5)->forward, resent);
	talk_release(&talk);
}

/* A retransmission whose ACK echoes this; 10 is the first copy's, 310 its own. */
static unsigned needless_when_echoed(uint32_t tsecr)
{
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	stamp(talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100), 10, 5);
	stamp(talk_add(&talk, t + 300 * MS, CU_C2S, PSH, 1, 1, 100), 310, 5);
	stamp(talk_add(&talk, t + 330 * MS, CU_S2C, ACK, 1, 101, 0), 6, tsecr);
	analyse(&talk);
	unsigned needless = frame(&talk, 5)->needless;
	assert_int_equal(kinds(frame(&talk, 5)), needless != CU_NEEDLESS_NONE ? spurious : resent);
	talk_release(&talk);
	return needless;
}

static void test_resent_needlessly_says_the_echo(void **state)
{
	(void)state;
	assert_int_equal(needless_when_echoed(10), CU_NEEDLESS_TIMESTAMPS);
	assert_int_equal(needless_when_echoed(310), CU_NEEDLESS_NONE);
	assert_int_equal(needless_when_echoed(0), CU_NEEDLESS_NONE); /* nothing echoed */
}

static void test_resent_after_its_ack(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 30 * MS, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 300 * MS, CU_C2S, PSH, 1, 1, 100);
	analyse(&talk);
	assert_int_equal(frame(&talk, 6)->needless, CU_NEEDLESS_ACKNOWLEDGED);
	assert_int_equal(kinds(frame(&talk, 6)), spurious);
	assert_int_equal(frame(&talk, 6)->forward, spurious);
	talk_release(&talk);
}

/* Syn-acks of hosts that take no echo into them tell nothing of the SYNs. */
static void test_resent_syn_without_an_echo_was_needed(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	stamp(talk_add(&talk, 0, CU_C2S, SYN, 0, 0, 0), 10, 0);
	stamp(talk_add(&talk, 1000 * MS, CU_C2S, SYN, 0, 0, 0), 1010, 0);
	stamp(talk_add(&talk, 1030 * MS, CU_S2C, SYN | ACK, 0, 1, 0), 0, 0);
	stamp(talk_add(&talk, 1040 * MS, CU_C2S, ACK, 1, 1, 0), 1050, 0);
	analyse(&talk);
	assert_int_equal(kinds(frame(&talk, 2)), resent);
	assert_int_equal(frame(&talk, 2)->resent_by, CU_RESENT_TIMEOUT);
	talk_release(&talk);
}

static void test_resent_fin_after_its_data(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30 * MS, 10 * MS);
	talk_add(&talk, t, CU_C2S, FIN, 1, 1, 100);
	talk_add(&talk, t + 30 * MS, CU_S2C, ACK, 1, 101, 0); /* the data, and not the FIN */
	talk_add(&talk, t + 300 * MS, CU_C2S, FIN, 1, 1, 100);
	talk_add(&talk, t + 330 * MS, CU_S2C, ACK, 1, 102, 0);
	analyse(&talk);
	assert_int_equal(frame(&talk, 6)->forward, spurious);
	assert_int_equal(kinds(frame(&talk, 6)), resent);
	assert_true(settled_by(frame(&talk, 6), CU_SETTLED_ACKS));
	talk_release(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mark_a_copy_counts_for_wireshark_only),
		cmocka_unit_test(test_mark_copies_without_identification),
		cmocka_unit_test(test_handshake_of_a_coarse_clock),
		cmocka_unit_test(test_mark_bytes_seen_before_are_not_out_of_order),
		cmocka_unit_test(test_mark_data_captured_behind_its_ack),
		cmocka_unit_test(test_mark_identification_tells_reordering),
		cmocka_unit_test(test_mark_zero_window_probe_and_its_answer),
		cmocka_unit_test(test_mark_clock_that_goes_back_makes_nothing_soon),
		cmocka_unit_test(test_mark_numbers_of_a_reset_are_no_place_in_the_stream),
		cmocka_unit_test(test_mark_wireshark_takes_zero_for_no_number),
		cmocka_unit_test(test_mark_numbers_of_another_syn_ack_are_no_place_in_the_stream),
		cmocka_unit_test(test_mark_bytes_from_before_the_capture_are_not_needless),
		cmocka_unit_test(test_mark_no_more_duplicate_acks_than_there_were),
		cmocka_unit_test(test_window_scale_of_one_syn),
		cmocka_unit_test(test_window_scale_that_was_not_captured),
		cmocka_unit_test(test_handshake_counts_from_the_last_syn),
		cmocka_unit_test(test_handshake_counts_from_the_syn_that_was_echoed),
		cmocka_unit_test(test_handshake_of_a_refusal_is_none),
		cmocka_unit_test(test_handshake_needs_no_syn_ack),
		cmocka_unit_test(test_handshake_of_a_syn_with_data),
		cmocka_unit_test(test_resent_by_timeout),
		cmocka_unit_test(test_resent_as_a_tail_probe),
		cmocka_unit_test(test_resent_as_a_tail_probe_as_late_as_a_timer),
		cmocka_unit_test(test_resent_syns_are_no_probes),
		cmocka_unit_test(test_resent_by_duplicate_acks),
		cmocka_unit_test(test_resent_sooner_than_anything_asks_for),
		cmocka_unit_test(test_resent_needlessly_says_a_dsack),
		cmocka_unit_test(test_resent_needlessly_says_the_echo),
		cmocka_unit_test(test_resent_after_its_ack),
		cmocka_unit_test(test_resent_syn_without_an_echo_was_needed),
		cmocka_unit_test(test_resent_fin_after_its_data),
	};
	return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
