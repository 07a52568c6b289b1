/* Gaps, the pattern of losses, round trips, windows and endings, as a connection has them. */
#include "lib/tcp/ending.h"
#include "lib/tcp/gaps.h"
#include "lib/tcp/window.h"
#include "tests/unit/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ACK = CU_TCP_ACK, PSH = CU_TCP_PSH | CU_TCP_ACK, SEG = TALK_MSS };

#define US CU_NS_PER_US

static struct cu_gaps find_gaps(const struct talk *talk, int dir)
{
	struct cu_gaps gaps = {0};
	assert_int_equal(cu_gaps_find(&gaps, &talk->trace, &talk->delivery[dir], dir), 0);
	return gaps;
}

static uint32_t at(unsigned n)
{
	return 1 + n * SEG;
}

/* A duplicate ACK at ack with a block behind the gap; relative numbers are the server's. */
static void add_sack(struct talk *talk, int64_t time_us, uint32_t ack, uint32_t left, uint32_t right)
{
	struct cu_segment *seg = talk_add(talk, time_us, CU_C2S, ACK, 1, ack, 0);
	seg->n_sack = 1;
	seg->sack[0][0] = 1000 + left;
	seg->sack[0][1] = 1000 + right;
}

/* The server sends ten segments; 3 to 5 do not pass the vantage point and are sent again 80 ms later. */
static void lose_a_run(struct talk *talk)
{
	talk_init(talk);
	int64_t t = talk_handshake(talk, 30000, 10000);
	talk_add(talk, t, CU_C2S, PSH, 1, 1, 100);
	t += 30000;
	for (unsigned n = 0; n < 10; n++) {
		if (n < 3 || n > 5) {
			talk_add(talk, t + n, CU_S2C, ACK, at(n), 101, SEG);
		}
	}
	talk_add(talk, t + 10000, CU_C2S, ACK, 101, at(3), 0);
	for (unsigned n = 6; n < 10; n++) {
		add_sack(talk, t + 10000 + n, at(3), at(6), at(n + 1));
	}
	for (unsigned n = 3; n <= 5; n++) {
		talk_add(talk, t + 80000 + n, CU_S2C, ACK, at(n), 101, SEG);
	}
	talk_add(talk, t + 90010, CU_C2S, ACK, 101, at(10), 0);
	for (size_t i = 0; i < talk->n; i++) {
		/* Sequence numbers of the client after its request. */
		if (talk->segment[i].dir == CU_C2S && talk->segment[i].n_sack > 0) {
			talk->segment[i].seq += 100;
		}
	}
	talk_analyse(talk);
}

static void test_gaps_tell_what_reported_and_filled_them(void **state)
{
	(void)state;
	struct talk talk;
	lose_a_run(&talk);
	struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
	assert_int_equal(gaps.n, 1);
	const struct cu_gap *gap = &gaps.item[0];
	assert_int_equal(gap->side, CU_LOSS_BEFORE);
	assert_int_equal(gap->rel_seq, at(3));
	assert_int_equal(gap->n_bytes, 3 * SEG);
	assert_int_equal(gap->n_segments, 3);
	assert_int_equal(gap->frame, 8); /* segment 6, the first behind it */
	assert_int_equal(gap->n_dup_acks, 4);
	assert_int_equal(gap->first_dup_frame, 13);
	assert_int_equal(gap->last_dup_frame, 16);
	assert_int_equal(gap->sack_frame, 13);
	assert_int_equal(gap->sack_left, at(6));
	assert_int_equal(gap->sack_right, at(10));
	assert_int_equal(gap->n_fills, 3);
	assert_int_equal(gap->first_fill_frame, 17);
	assert_int_equal(gap->fill_frame, 19);
	assert_int_equal(gap->first_fill_ns, (80003 - 6) * US);
	assert_int_equal(gap->filled_ns, (80005 - 6) * US);
	cu_gaps_release(&gaps);
	talk_release(&talk);
}

/* Near a sender with offload a capture has 20 segments as one: what was lost of them is what was sent again. */
static void test_gaps_within_a_segment_of_offload(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 0, 40000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 100, CU_S2C, ACK, 1, 101, 20 * SEG);
	talk_add(&talk, t + 200, CU_S2C, ACK, at(20), 101, 20 * SEG);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 101, at(4), 0);
	for (unsigned n = 5; n < 9; n++) {
		add_sack(&talk, t + 40000 + n, at(4), at(5), at(n + 1));
	}
	talk_add(&talk, t + 41000, CU_S2C, ACK, at(4), 101, SEG);
	struct cu_segment *seg = talk_add(&talk, t + 81000, CU_C2S, ACK, 101, at(12), 0);
	seg->n_sack = 1;
	seg->sack[0][0] = 1000 + at(14);
	seg->sack[0][1] = 1000 + at(40);
	talk_add(&talk, t + 82000, CU_S2C, ACK, at(12), 101, 2 * SEG);
	talk_add(&talk, t + 122000, CU_C2S, ACK, 101, at(40), 0);
	talk_analyse(&talk);
	struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
	assert_int_equal(gaps.n, 2);
	assert_int_equal(gaps.item[0].rel_seq, at(4));
	assert_int_equal(gaps.item[0].n_bytes, SEG);
	assert_int_equal(gaps.item[0].side, CU_LOSS_AFTER);
	assert_int_equal(gaps.item[1].rel_seq, at(12));
	assert_int_equal(gaps.item[1].n_bytes, 2 * SEG);
	const struct cu_loss_runs runs = cu_loss_runs_count(&talk.trace, &talk.delivery[CU_S2C], CU_S2C);
	assert_int_equal(runs.n_segments, 40);
	assert_int_equal(runs.n_lost, 3);
	assert_int_equal(runs.n_runs, 2);
	cu_gaps_release(&gaps);
	talk_release(&talk);
}

static void test_gaps_of_33_segments(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[0].syn.mss = talk.connection.side[1].syn.mss = 1460;
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_S2C, ACK, 1, 1, 1460);
	talk_add(&talk, t + 1, CU_S2C, ACK, 1461 + 48180, 1, 1460);
	talk_analyse(&talk);
	struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
	assert_int_equal(gaps.n, 1);
	assert_int_equal(gaps.item[0].n_bytes, 48180);
	assert_int_equal(gaps.item[0].n_segments, 33);
	assert_int_equal(gaps.item[0].side, CU_LOSS_NONE); /* never filled, never acknowledged */
	assert_int_equal(gaps.item[0].fill_frame, 0);
	cu_gaps_release(&gaps);
	talk_release(&talk);
}

static void begin_in_the_middle(struct talk *talk)
{
	talk_init(talk);
	talk->connection.side[CU_C2S].has_syn = talk->connection.side[CU_S2C].has_syn = false;
}

/* The capture begins when the receiver's SACK tells of segments 4 to 7; 0 to 3 were lost, of which 0 is sent again. */
static void test_gaps_from_before_the_capture_by_sack(void **state)
{
	(void)state;
	for (int data_first = 0; data_first < 2; data_first++) {
		struct talk talk;
		begin_in_the_middle(&talk);
		if (data_first) {
			talk_add(&talk, 0, CU_S2C, ACK, at(8), 1, SEG);
		}
		int64_t t = 10000;
		for (unsigned n = 8; n < 11; n++) {
			add_sack(&talk, t + 2 * n, at(0), at(4), at(n));
			if (n > 8 || !data_first) {
				talk_add(&talk, t + 2 * n + 1, CU_S2C, ACK, at(n), 1, SEG);
			}
		}
		talk_add(&talk, t + 500, CU_S2C, ACK, at(0), 1, SEG);
		add_sack(&talk, t + 600, at(1), at(4), at(11));
		talk_analyse(&talk);
		struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
		int64_t moved = data_first ? 1 - (int64_t)at(8) : 0; /* relative numbers count from the first segment */
		unsigned first = data_first ? 2 : 1;
		assert_int_equal(gaps.n, 2);
		assert_int_equal(gaps.item[0].side, CU_LOSS_EARLIER);
		assert_int_equal((int64_t)gaps.item[0].rel_seq, at(0) + moved);
		assert_int_equal(gaps.item[0].n_bytes, SEG);
		assert_int_equal(gaps.item[0].frame, first);
		assert_int_equal(gaps.item[0].n_dup_acks, 2);
		assert_int_equal(gaps.item[0].sack_frame, first);
		assert_int_equal((int64_t)gaps.item[0].sack_left, at(4) + moved);
		assert_int_equal(gaps.item[0].fill_frame, talk.n - 1);
		assert_int_equal(gaps.item[1].side, CU_LOSS_EARLIER);
		assert_int_equal((int64_t)gaps.item[1].rel_seq, at(1) + moved);
		assert_int_equal(gaps.item[1].n_bytes, 3 * SEG);
		assert_int_equal(gaps.item[1].n_segments, 3);
		assert_int_equal(gaps.item[1].fill_frame, 0);
		assert_int_equal(cu_loss_runs_count(&talk.trace, &talk.delivery[CU_S2C], CU_S2C).n_lost, 0);
		cu_gaps_release(&gaps);
		talk_release(&talk);
	}
}

/* Two holes between blocks are two gaps; where the list is full, blocks may be left out of it: one segment is sure. */
static void test_gaps_from_before_the_capture_between_blocks(void **state)
{
	(void)state;
	for (int full = 0; full < 2; full++) {
		struct talk talk;
		begin_in_the_middle(&talk);
		add_sack(&talk, 0, at(0), at(8), at(9));
		struct cu_segment *ack = &talk.segment[0];
		for (unsigned b = 1; b < (full ? 4 : 2); b++) {
			ack->sack[b][0] = ack->sack[0][0] - b * 2 * SEG;
			ack->sack[b][1] = ack->sack[b][0] + SEG;
			ack->n_sack++;
		}
		talk_add(&talk, 1, CU_S2C, ACK, at(9), 1, SEG);
		talk_analyse(&talk);
		struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
		assert_int_equal(gaps.n, full ? 1 : 2);
		assert_int_equal(gaps.item[0].rel_seq, at(0));
		assert_int_equal(gaps.item[0].n_bytes, full ? SEG : 6 * SEG);
		if (!full) {
			assert_int_equal(gaps.item[1].rel_seq, at(7));
			assert_int_equal(gaps.item[1].n_bytes, SEG);
		}
		cu_gaps_release(&gaps);
		talk_release(&talk);
	}
}

/* Without SACK, three duplicate ACKs and what is sent again for them; and none of it: what is in flight is not lost. */
static void test_gaps_from_before_the_capture_by_duplicate_acks(void **state)
{
	(void)state;
	for (unsigned n_dup = 2; n_dup <= 3; n_dup++) {
		struct talk talk;
		begin_in_the_middle(&talk);
		int64_t t = 0;
		for (unsigned n = 0; n <= n_dup; n++) {
			talk_add(&talk, t++, CU_C2S, ACK, 1, at(0), 0);
			talk_add(&talk, t++, CU_S2C, ACK, at(4 + n), 1, SEG);
		}
		talk_add(&talk, t + 500, CU_S2C, ACK, at(0), 1, SEG);
		talk_add(&talk, t + 600, CU_C2S, ACK, 1, at(4 + n_dup), 0);
		talk_analyse(&talk);
		struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
		assert_int_equal(gaps.n, n_dup < 3 ? 0 : 1);
		if (gaps.n == 1) {
			assert_int_equal(gaps.item[0].side, CU_LOSS_EARLIER);
			assert_int_equal(gaps.item[0].rel_seq, at(0));
			assert_int_equal(gaps.item[0].n_bytes, SEG);
			assert_int_equal(gaps.item[0].n_dup_acks, 3);
			assert_int_equal(gaps.item[0].fill_frame, talk.n - 1);
		}
		cu_gaps_release(&gaps);
		talk_release(&talk);
	}
}

/* Seen, then lost behind the vantage point: no hole in the capture, a gap all the same. */
static void test_gaps_behind_the_vantage_point(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, ACK, at(0), 1, SEG);
	talk_add(&talk, t + 1, CU_C2S, ACK, at(1), 1, SEG);
	talk_add(&talk, t + 2, CU_C2S, ACK, at(2), 1, SEG);
	talk_add(&talk, t + 30000, CU_S2C, ACK, 1, at(0), 0);
	talk_add(&talk, t + 300000, CU_C2S, ACK, at(0), 1, SEG);
	talk_add(&talk, t + 300001, CU_C2S, ACK, at(1), 1, SEG);
	talk_add(&talk, t + 330001, CU_S2C, ACK, 1, at(3), 0);
	talk_analyse(&talk);
	struct cu_gaps gaps = find_gaps(&talk, CU_C2S);
	assert_int_equal(gaps.n, 1);
	assert_int_equal(gaps.item[0].side, CU_LOSS_AFTER);
	assert_int_equal(gaps.item[0].n_bytes, 2 * SEG);
	assert_int_equal(gaps.item[0].frame, 4);
	assert_int_equal(gaps.item[0].n_fills, 2);
	assert_int_equal(gaps.item[0].filled_ns, 300001 * US);
	cu_gaps_release(&gaps);
	talk_release(&talk);
}

static void test_gaps_the_capture_lacks(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 0);
	talk_add(&talk, t, CU_S2C, ACK, at(0), 1, SEG);
	talk_add(&talk, t + 100, CU_S2C, ACK, at(3), 1, SEG);
	talk_add(&talk, t + 200, CU_C2S, ACK, 1, at(4), 0);
	talk_analyse(&talk);
	struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
	assert_int_equal(gaps.n, 1);
	assert_int_equal(gaps.item[0].side, CU_LOSS_CAPTURE);
	assert_int_equal(gaps.item[0].n_fills, 0);
	struct cu_loss_runs runs = cu_loss_runs_count(&talk.trace, &talk.delivery[CU_S2C], CU_S2C);
	assert_int_equal(runs.n_lost, 0);
	cu_gaps_release(&gaps);
	talk_release(&talk);
}

/* Each letter a segment of the server: '.' seen, 'x' lost before the vantage point and sent again at the end. */
static struct cu_loss_runs count_runs(const char *pattern)
{
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	unsigned n = 0;
	for (; pattern[n] != '\0'; n++) {
		if (pattern[n] == '.') {
			talk_add(&talk, t + n, CU_S2C, ACK, at(n), 1, SEG);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		if (pattern[i] == 'x') {
			talk_add(&talk, t + 100000 + i, CU_S2C, ACK, at(i), 1, SEG);
		}
	}
	talk_analyse(&talk);
	struct cu_loss_runs runs = cu_loss_runs_count(&talk.trace, &talk.delivery[CU_S2C], CU_S2C);
	assert_int_equal(runs.n_segments, n);
	talk_release(&talk);
	return runs;
}

static void test_clean_transfer_has_no_gaps_and_no_runs(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	for (unsigned n = 0; n < 4; n++) {
		talk_add(&talk, t + n, CU_S2C, ACK, at(n), 1, SEG);
	}
	talk_analyse(&talk);
	assert_true(cu_delivery_is_clean(&talk.delivery[CU_S2C]));
	struct cu_gaps gaps = find_gaps(&talk, CU_S2C);
	assert_int_equal(gaps.n, 0);
	struct cu_loss_runs runs = cu_loss_runs_count(&talk.trace, &talk.delivery[CU_S2C], CU_S2C);
	assert_int_equal(runs.n_segments, 0);
	cu_gaps_release(&gaps);
	talk_release(&talk);

	lose_a_run(&talk);
	assert_false(cu_delivery_is_clean(&talk.delivery[CU_S2C]));
	talk_release(&talk);
}

static void test_loss_runs_count_by_hand(void **state)
{
	(void)state;
	/* Steps: delivered to delivered 6, to lost 2; lost to lost 3, to delivered 2. */
	struct cu_loss_runs runs = count_runs("...xx...xxx...");
	assert_int_equal(runs.n_lost, 5);
	assert_int_equal(runs.n_runs, 2);
	assert_int_equal(runs.longest, 3);
	assert_int_equal(runs.enter_ppm, 250000);
	assert_int_equal(runs.leave_ppm, 400000);
}

/* A router that refuses large packets has no full buffer, and the link no errors. */
static void test_loss_runs_leave_out_what_was_too_large(void **state)
{
	(void)state;
	for (int told = 0; told < 2; told++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 100, 40000);
		for (unsigned n = 0; n < 6; n++) {
			talk_add(&talk, t + n, CU_C2S, ACK, at(n), 1, SEG);
		}
		if (told) {
			struct cu_segment *icmp = talk_add(&talk, t + 1000, CU_C2S, 0, at(0), 0, 0);
			icmp->icmp = true;
			icmp->icmp_type = 3;
			icmp->icmp_code = 4;
		}
		for (unsigned n = 0; n < 6; n++) {
			talk_add(&talk, t + 300000 + n, CU_C2S, ACK, at(n), 1, SEG);
		}
		talk_add(&talk, t + 300200, CU_S2C, ACK, 1, at(6), 0);
		talk_analyse(&talk);
		struct cu_loss_runs runs = cu_loss_runs_count(&talk.trace, &talk.delivery[CU_C2S], CU_C2S);
		assert_int_equal(runs.n_lost, told ? 0 : 6);
		talk_release(&talk);
	}
}

#define DOTS ".................................................."

static void test_loss_runs_say_the_word_only_with_figures(void **state)
{
	static const struct {
		const char *pattern;
		enum cu_loss_pattern word;
	} cases[] = {
		/* A full buffer. */
		{"........................xxxxxxxxxx........................", CU_PATTERN_RUNS},
		{"..........xxxx...............xxxxx.............xxx........", CU_PATTERN_RUNS},
		/* It overflows: every other one is lost for a while, and then none. */
		{DOTS "..x.x.xx.x.x.x.x.." DOTS DOTS "x.x..x.x.x....." DOTS DOTS, CU_PATTERN_RUNS},
		/* The link. */
		{"....x.......x..x.......x......x.........x....x............", CU_PATTERN_SCATTERED},
		{DOTS "x.........x" DOTS "x..x.........x" DOTS "x" DOTS "..........x", CU_PATTERN_SCATTERED},
		/* Too few to tell, though two stand together. */
		{"....x..........................................x..........", CU_PATTERN_NONE},
		{"....xx....................................................", CU_PATTERN_NONE},
		/* Every other one: pairs by chance, where half is lost. */
		{".xx.x.xxx..x.xx.x...xx.x.x..xx..", CU_PATTERN_NONE},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(count_runs(cases[i].pattern).pattern, cases[i].word);
	}
}

static void test_path_timestamp_tells_which_copy_was_answered(void **state)
{
	static const struct {
		uint32_t echo;
		int64_t rtt_us;
	} cases[] = {{500, 235000}, {700, 35000}};
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
		assert_int_equal(talk.path.side[CU_C2S].n_samples, 2);
		assert_int_equal(talk.path.side[CU_C2S].n_by_timestamp, 1);
		assert_int_equal(talk.path.side[CU_C2S].max_ns, cases[i].rtt_us * US);
		talk_release(&talk);
	}
}

/* The ACK of the first copy was lost: what answers the second says nothing of either's round trip. */
static void test_path_takes_no_sample_from_a_d_sack(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	struct cu_segment *first = talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	struct cu_segment *second = talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
	struct cu_segment *ack = talk_add(&talk, t + 235000, CU_S2C, ACK, 1, 101, 0);
	first->has_timestamps = second->has_timestamps = ack->has_timestamps = true;
	first->tsval = ack->tsecr = 500;
	second->tsval = 700;
	ack->n_sack = 1;
	ack->sack[0][0] = 0xfffff000 + 1;
	ack->sack[0][1] = 0xfffff000 + 101;
	talk_analyse(&talk);
	assert_int_equal(talk.path.side[CU_C2S].n_samples, 1);
	talk_release(&talk);
}

/* What the capture lacks was acknowledged: the ACK is not that of what was seen long before. */
static void test_path_takes_no_sample_from_an_ack_of_what_was_not_seen(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 900000, CU_S2C, ACK, 1, 301, 0); /* 101 to 300 were not captured */
	talk_add(&talk, t + 910000, CU_C2S, PSH, 301, 1, 100);
	talk_add(&talk, t + 920000, CU_C2S, PSH, 601, 1, 100);
	talk_add(&talk, t + 980000, CU_S2C, ACK, 1, 501, 0); /* nor 401 to 600 */
	talk_add(&talk, t + 990000, CU_S2C, ACK, 1, 651, 0); /* half of a segment that was sent as one */
	talk_analyse(&talk);
	assert_int_equal(talk.path.side[CU_C2S].n_samples, 1); /* the handshake's */
	talk_release(&talk);
}

/* A segment behind one that was lost is acknowledged only with it, and both may be behind an older loss. */
static void test_path_takes_no_sample_from_what_waits_behind_a_loss(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 1, CU_C2S, PSH, 101, 1, 100);
	talk_add(&talk, t + 200000, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 230000, CU_S2C, ACK, 1, 101, 0);
	talk_add(&talk, t + 230001, CU_C2S, PSH, 201, 1, 100);
	talk_add(&talk, t + 400000, CU_C2S, PSH, 101, 1, 100);
	talk_add(&talk, t + 430000, CU_S2C, ACK, 1, 301, 0);
	talk_analyse(&talk);
	assert_int_equal(talk.path.side[CU_C2S].n_samples, 1);
	talk_release(&talk);
}

/* The queue grows with each of a hundred segments, and the slices show it. */
static void test_path_shows_how_the_round_trip_moved(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	for (unsigned n = 0; n < 100; n++) {
		talk_add(&talk, t + n * 200000, CU_C2S, PSH, 1 + n, 1, 1);
		talk_add(&talk, t + n * 200000 + 30000 + n * 1000, CU_S2C, ACK, 1, 2 + n, 0);
	}
	talk_analyse(&talk);
	const struct cu_path_side *side = &talk.path.side[CU_C2S];
	assert_int_equal(side->n_samples, 101);
	assert_int_equal(side->min_ns, 30000 * US);
	assert_int_equal(side->max_ns, 129000 * US);
	assert_in_range(side->median_ns, 78000 * US, 82000 * US);
	assert_in_range(side->p90_ns, 117000 * US, 122000 * US);
	assert_in_range(side->p99_ns, 126000 * US, 129000 * US);
	uint64_t n = 0;
	int64_t before = 0;
	for (int i = 0; i < CU_RTT_SLICES && side->slice[i].n > 0; i++) {
		assert_true(side->slice[i].min_ns >= before);
		assert_true(side->slice[i].mean_ns >= side->slice[i].min_ns);
		assert_true(side->slice[i].mean_ns <= side->slice[i].max_ns);
		before = side->slice[i].min_ns;
		n += side->slice[i].n;
	}
	assert_int_equal(n, 101);
	assert_true(before > 60000 * US);
	talk_release(&talk);
}

/* A clock that jumps by 95 years makes no sum that wraps around. */
static void test_path_with_a_clock_that_jumps(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 30000, 10000);
	for (unsigned n = 0; n < 40; n++) {
		talk_add(&talk, t + n, CU_C2S, PSH, 1 + n, 1, 1);
	}
	for (unsigned n = 0; n < 40; n++) {
		talk_add(&talk, t + INT64_C(3000000000000000) + n, CU_S2C, ACK, 1, 2 + n, 0);
	}
	talk_analyse(&talk);
	assert_int_equal(talk.path.side[CU_C2S].n_samples, 41);
	for (int i = 0; i < CU_RTT_SLICES; i++) {
		assert_true(talk.path.side[CU_C2S].slice[i].mean_ns >= 0);
	}
	talk_release(&talk);
}

/* A sender that fills a window of four segments each round trip, seen near either end. */
static void test_window_too_small_for_the_path(void **state)
{
	static const struct {
		int64_t server_us, client_us;
		uint16_t window;
		bool small;
	} cases[] = {
		{40000, 0, 4 * SEG, true},  {0, 40000, 4 * SEG, true}, /* at the sender */
		{40000, 0, 60000, false},   {200, 0, 4 * SEG, false},  /* no path to speak of */
		{40000, 0, 2 * SEG, false},                            /* what is sent goes by another window */
	};
	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, cases[c].server_us, cases[c].client_us);
		talk.segment[2].window = cases[c].window;
		int64_t round = cases[c].server_us + cases[c].client_us;
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100)->window = cases[c].window;
		t += cases[c].server_us;
		for (unsigned n = 0; n < 40; n += 4) {
			for (unsigned i = 0; i < 4; i++) {
				talk_add(&talk, t + i, CU_S2C, ACK, at(n + i), 101, SEG);
			}
			talk_add(&talk, t + 3 + cases[c].client_us, CU_C2S, ACK, 101, at(n + 4), 0)->window =
				cases[c].window;
			t += round + 10;
		}
		talk_analyse(&talk);
		struct cu_window_use use = cu_window_measure(&talk.trace, &talk.delivery[CU_S2C], &talk.path, CU_S2C);
		assert_int_equal(use.small, cases[c].small);
		assert_int_equal(use.max_bytes, cases[c].window);
		assert_int_equal(use.min_bytes, cases[c].window);
		assert_int_equal(use.flight_max_bytes, 4 * SEG);
		assert_int_equal(use.n_sent, 40);
		talk_release(&talk);
	}
}

/* The sender answers an ACK sooner than it ever answered a segment. */
static void test_window_in_flight_at_the_sender(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 100, 40000);
	talk_add(&talk, t, CU_S2C, ACK, at(0), 1, SEG);
	talk_add(&talk, t + 1, CU_S2C, ACK, at(1), 1, SEG);
	talk_add(&talk, t + 40000, CU_C2S, ACK, 1, at(2), 0);
	talk_add(&talk, t + 40020, CU_S2C, ACK, at(2), 1, SEG);
	talk_analyse(&talk);
	assert_int_equal(talk.path.vantage, CU_VANTAGE_SERVER);
	struct cu_window_use use = cu_window_measure(&talk.trace, &talk.delivery[CU_S2C], &talk.path, CU_S2C);
	assert_int_equal(use.flight_max_bytes, 2 * SEG);
	talk_release(&talk);
}

static struct cu_analysis find_ending(struct talk *talk, unsigned completeness)
{
	struct cu_analysis analysis = {.completeness = (uint8_t)completeness};
	talk_analyse(talk);
	cu_ending_find(&talk->trace, &talk->path, &analysis);
	talk_release(talk);
	return analysis;
}

enum { SHAKEN = CU_SEEN_SYN | CU_SEEN_SYN_ACK | CU_SEEN_ACK };

/* A part of a connection has no end that comes behind it. */
static void test_ending_behind_the_part(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 20000, CU_C2S, ACK, 1, 1, 100);
	talk_add(&talk, 40000, CU_S2C, ACK, 1, 101, SEG);
	talk_add(&talk, 60000, CU_S2C, ACK, at(1), 101, SEG);
	talk_add(&talk, 80000, CU_C2S, CU_TCP_RST | ACK, 101, at(1), 0);
	talk_analyse(&talk);
	size_t n = talk.trace.n;
	for (size_t less = 0; less < 3; less++) {
		struct cu_analysis analysis = {.completeness = SHAKEN | CU_SEEN_DATA};
		talk.trace.n = n - less;
		cu_ending_find(&talk.trace, &talk.path, &analysis);
		assert_int_equal(analysis.reset, less == 0 ? CU_RESET_ON_DATA : CU_RESET_NONE);
		assert_int_equal(analysis.reset_frame != 0, less == 0);
		assert_int_equal(analysis.close, less == 0 ? CU_CLOSE_ABORTIVE : CU_CLOSE_NONE);
	}
	talk.trace.n = n;
	talk_release(&talk);
}

static void test_ending_closed_port(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk.connection.side[CU_S2C].has_syn = false;
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 20000, CU_S2C, CU_TCP_RST | ACK, 0, 1, 0);
	struct cu_analysis analysis = find_ending(&talk, CU_SEEN_SYN | CU_SEEN_RST);
	assert_int_equal(analysis.close, CU_CLOSE_REFUSED);
	assert_int_equal(analysis.reset, CU_RESET_CLOSED_PORT);
	assert_int_equal(analysis.reset_by, CU_PARTY_SERVER);
}

static void test_ending_half_open(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 20000, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0);
	talk_add(&talk, 1020000, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0);
	assert_int_equal(find_ending(&talk, CU_SEEN_SYN | CU_SEEN_SYN_ACK).close, CU_CLOSE_HALF_OPEN);
}

/* A server that repeated its SYN-ACK in vain may give up with a RST: no ACK followed all the same. */
static void test_ending_half_open_until_a_reset(void **state)
{
	static const struct {
		const char *what;
		unsigned n_repeats;
		int rst_dir;
		uint8_t rst_ttl; /* 0: as the others' */
		enum cu_close_kind close;
	} cases[] = {
		{"the server gave up", 3, CU_S2C, 0, CU_CLOSE_HALF_OPEN},
		{"before an answer was missed", 0, CU_S2C, 0, CU_CLOSE_ABORTIVE},
		{"the client broke it off", 3, CU_C2S, 0, CU_CLOSE_ABORTIVE},
		{"a device on the path cut it", 3, CU_S2C, 40, CU_CLOSE_ABORTIVE},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
		int64_t t = 20000;
		for (unsigned n = 0; n <= cases[i].n_repeats; n++, t += 3000000) {
			talk_add(&talk, t, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0)->ttl = 64;
		}
		struct cu_segment *rst = talk_add(&talk, t, cases[i].rst_dir, CU_TCP_RST | ACK, 1, 1, 0);
		rst->ttl = cases[i].rst_ttl != 0 ? cases[i].rst_ttl : 64;
		struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_RST); /* the RST acknowledges, too */
		if (analysis.close != cases[i].close) {
			fail_msg("%s: close %u, reset %u by %u", cases[i].what, analysis.close, analysis.reset,
			         analysis.reset_by);
		}
	}
}

/* How a connection closed is told from its last SYN on: the RST of one that was refused first did not close it. */
static void test_ending_counts_from_the_last_syn(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 100, CU_S2C, CU_TCP_RST | ACK, 0, 1, 0);
	talk_add(&talk, 500000, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 500100, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0);
	talk_add(&talk, 500200, CU_C2S, ACK, 1, 1, 0);
	talk_add(&talk, 600000, CU_S2C, CU_TCP_FIN | ACK, 1, 1, 0);
	talk_add(&talk, 600100, CU_C2S, CU_TCP_FIN | ACK, 1, 2, 0);
	struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_FIN | CU_SEEN_RST);
	assert_int_equal(analysis.close, CU_CLOSE_CLEAN);
	assert_int_equal(analysis.closed_by, CU_PARTY_SERVER);
	assert_int_equal(analysis.close_frame, 6);
	assert_int_equal(analysis.reset, CU_RESET_CLOSED_PORT);
	assert_int_equal(analysis.reset_frame, 2);
}

static void test_ending_tells_resets_apart(void **state)
{
	static const struct {
		const char *what;
		unsigned server_flags; /* of its answer's last segment */
		bool more_data;        /* the client sends again */
		int64_t wait_us;       /* until the RST */
		unsigned rst_flags;
		enum cu_reset_kind kind;
	} cases[] = {
		{"gives up", PSH, false, 500000, CU_TCP_RST | ACK, CU_RESET_ABORT},
		{"after a silence", PSH, false, 60000000, CU_TCP_RST | ACK, CU_RESET_IDLE},
		{"has unread data", PSH, true, 100, CU_TCP_RST | ACK, CU_RESET_ON_DATA},
		{"had closed", CU_TCP_FIN | ACK, true, 100, CU_TCP_RST, CU_RESET_ON_DATA},
		{"forgot the connection", PSH, true, 100, CU_TCP_RST, CU_RESET_NO_STATE},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 100, 10000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 200, CU_S2C, cases[i].server_flags, 1, 101, 50);
		uint32_t end = cases[i].server_flags & CU_TCP_FIN ? 52 : 51;
		talk_add(&talk, t + 10200, CU_C2S, ACK, 101, end, 0);
		t += 10300;
		if (cases[i].more_data) {
			talk_add(&talk, t, CU_C2S, PSH, 101, end, 100);
		}
		talk_add(&talk, t + cases[i].wait_us, CU_S2C, cases[i].rst_flags, end, 101, 0);
		struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_DATA | CU_SEEN_RST);
		if (analysis.reset != cases[i].kind) {
			fail_msg("%s: %s", cases[i].what, cu_reset_name(analysis.reset));
		}
		assert_int_equal(analysis.close, CU_CLOSE_ABORTIVE);
		assert_int_equal(analysis.reset_by, CU_PARTY_SERVER);
	}
}

/* Seen at the server, 30 ms from the client: an answer that is still on its way is not what the client's RST answers. */
static void test_ending_reset_that_crossed_the_answer(void **state)
{
	static const struct {
		int64_t after_us;
		enum cu_reset_kind kind;
	} cases[] = {{10000, CU_RESET_ABORT}, {31000, CU_RESET_ON_DATA}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 100, 30000);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 100, CU_S2C, PSH, 1, 101, 500);
		talk_add(&talk, t + 100 + cases[i].after_us, CU_C2S, CU_TCP_RST | ACK, 101, 1, 0);
		struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_DATA | CU_SEEN_RST);
		assert_int_equal(analysis.reset, cases[i].kind);
	}
}

/* Seen at the client, whose keep-alives nobody answers; but one that is answered is another thing. */
static void test_ending_reset_after_asking_in_vain(void **state)
{
	(void)state;
	for (int answered = 0; answered < 2; answered++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 100);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
		talk_add(&talk, t + 30100, CU_C2S, ACK, 101, 501, 0);
		for (int64_t i = 1; i <= 3; i++) {
			talk_add(&talk, t + i * 1000000, CU_C2S, ACK, 100, 501, 0);
			if (answered) {
				talk_add(&talk, t + i * 1000000 + 30000, CU_S2C, ACK, 501, 101, 0);
			}
		}
		talk_add(&talk, t + 4000000, CU_C2S, CU_TCP_RST | ACK, 101, 501, 0);
		struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_DATA | CU_SEEN_RST);
		assert_int_equal(analysis.reset, answered ? CU_RESET_ABORT : CU_RESET_UNANSWERED);
		assert_int_equal(analysis.reset_by, CU_PARTY_CLIENT);
	}
}

/* The device is next to the server, or to the vantage point: one hop tells, when all other segments agree. */
static void test_ending_by_a_device_one_hop_away(void **state)
{
	static const struct {
		unsigned n_segments;
		bool moved;
		enum cu_party by;
	} cases[] = {{8, false, CU_PARTY_NETWORK}, {8, true, CU_PARTY_SERVER}, {3, false, CU_PARTY_SERVER}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 100);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		for (unsigned n = 0; n < cases[i].n_segments; n++) {
			talk_add(&talk, t + 30000 + n, CU_S2C, ACK, at(n), 101, SEG);
		}
		talk_add(&talk, t + 31000, CU_C2S, PSH, 101, at(cases[i].n_segments), 100);
		for (size_t s = 0; s < talk.n; s++) {
			talk.segment[s].ttl = talk.segment[s].dir == CU_S2C ? 57 : 64;
		}
		talk.segment[1].ttl = cases[i].moved ? 56 : 57;
		talk_add(&talk, t + 61000, CU_S2C, CU_TCP_RST, at(cases[i].n_segments), 101, 0)->ttl = 58;
		struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_DATA | CU_SEEN_RST);
		assert_int_equal(analysis.reset_by, cases[i].by);
	}
}

static void test_ending_by_a_device_on_the_path(void **state)
{
	static const struct {
		uint8_t usual, rst;
		enum cu_party by;
	} cases[] = {
		{52, 52, CU_PARTY_SERVER},   {52, 51, CU_PARTY_SERVER}, /* a route that moved */
		{52, 61, CU_PARTY_NETWORK},                             /* nearer than the server */
		{52, 240, CU_PARTY_NETWORK},                            /* 15 hops from 255, and not 12 */
		{52, 243, CU_PARTY_SERVER},                             /* as far, only from another initial TTL */
		{64, 255, CU_PARTY_SERVER},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct talk talk;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 100);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 30000, CU_S2C, ACK, 1, 101, 0);
		for (size_t s = 0; s < talk.n; s++) {
			talk.segment[s].ttl = talk.segment[s].dir == CU_S2C ? cases[i].usual : 64;
		}
		talk_add(&talk, t + 40000, CU_S2C, CU_TCP_RST, 1, 101, 0)->ttl = cases[i].rst;
		struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_DATA | CU_SEEN_RST);
		assert_int_equal(analysis.reset_by, cases[i].by);
	}
}

/* The end's other segments come after the RST; or in an earlier connection only. */
static void test_ending_device_told_by_what_came_later_or_earlier(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0)->ttl = 64;
	talk_add(&talk, 20000, CU_S2C, CU_TCP_RST | ACK, 1, 0, 0)->ttl = 46;
	talk_add(&talk, 90000, CU_S2C, CU_TCP_SYN | ACK, 0, 1, 0)->ttl = 52;
	talk_add(&talk, 91000, CU_C2S, CU_TCP_RST, 1, 1, 0)->ttl = 64;
	talk_add(&talk, 92000, CU_S2C, ACK, 1, 1, 0)->ttl = 52;
	struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_RST);
	assert_int_equal(analysis.reset_by, CU_PARTY_NETWORK);
	assert_int_equal(analysis.usual_hops, 64 - 52);

	talk_init(&talk);
	talk.connection.side[CU_S2C].has_syn = false;
	talk_add(&talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(&talk, 20000, CU_S2C, CU_TCP_RST | ACK, 0, 1, 0)->ttl = 63;
	talk_analyse(&talk);
	static const struct {
		uint8_t usual;
		enum cu_party by;
	} cases[] = {{0, CU_PARTY_SERVER}, {62, CU_PARTY_SERVER}, {50, CU_PARTY_NETWORK}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		talk.path.usual_ttl[CU_S2C] = cases[i].usual;
		analysis = (struct cu_analysis){.completeness = CU_SEEN_SYN | CU_SEEN_RST};
		cu_ending_find(&talk.trace, &talk.path, &analysis);
		assert_int_equal(analysis.close, CU_CLOSE_REFUSED);
		assert_int_equal(analysis.reset, CU_RESET_CLOSED_PORT);
		assert_int_equal(analysis.reset_by, cases[i].by);
	}
	talk_release(&talk);
}

/* A RST after which both ends go on did not end the connection; the one that did is told of. */
static void test_ending_unheeded_reset(void **state)
{
	for (int later = 0; later < 3; later++) {
		struct talk talk;
		(void)state;
		talk_init(&talk);
		int64_t t = talk_handshake(&talk, 30000, 100);
		talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
		talk_add(&talk, t + 20000, CU_S2C, CU_TCP_RST | ACK, 5000, 101, 0); /* frame 5 */
		talk_add(&talk, t + 30000, CU_S2C, PSH, 1, 101, 500);
		if (later != 0) {
			talk_add(&talk, t + 30100, CU_C2S, ACK, 101, 501, 0);
			talk_add(&talk, t + 31000, CU_C2S, PSH, 101, 501, 10);
			talk_add(&talk, t + 61000, CU_S2C, later == 1 ? CU_TCP_FIN | ACK : CU_TCP_RST, 501, 111, 0);
			talk_add(&talk, t + 61100, CU_C2S, CU_TCP_FIN | ACK, 111, later == 1 ? 502 : 501, 0);
		}
		struct cu_analysis analysis = find_ending(&talk, SHAKEN | CU_SEEN_DATA | CU_SEEN_RST);
		static const enum cu_reset_kind kinds[] = {CU_RESET_ON_DATA, CU_RESET_UNHEEDED, CU_RESET_NO_STATE};
		static const unsigned frames[] = {5, 5, 9}, closed[] = {5, 9, 9};
		assert_int_equal(analysis.reset, kinds[later]);
		assert_int_equal(analysis.reset_frame, frames[later]);
		assert_int_equal(analysis.close_frame, closed[later]);
		assert_int_equal(analysis.close, later == 1 ? CU_CLOSE_CLEAN : CU_CLOSE_ABORTIVE);
	}
}

/*
 * Seen at the server, on a path of 100 ms: of two segments the first is lost, as
 * an ACK says; its copy is acknowledged a round trip later. What came 500 ms
 * later once more is what a D-SACK tells of, not the copy.
 */
static void test_a_d_sack_is_of_the_copy_before_it(void **state)
{
	(void)state;
	struct talk talk;
	talk_init(&talk);
	int64_t t = talk_handshake(&talk, 10, 100000);
	talk_add(&talk, t, CU_C2S, PSH, 1, 1, 100);
	talk_add(&talk, t + 10, CU_S2C, ACK, at(0), 101, SEG);
	talk_add(&talk, t + 20, CU_S2C, ACK, at(1), 101, SEG);
	add_sack(&talk, t + 100020, at(0), at(1), at(2));
	talk_add(&talk, t + 300000, CU_S2C, ACK, at(0), 101, SEG);
	talk_add(&talk, t + 400000, CU_C2S, ACK, 101, at(2), 0);
	talk_add(&talk, t + 900000, CU_S2C, ACK, at(0), 101, SEG);
	add_sack(&talk, t + 1000000, at(2), at(0), at(1));
	for (size_t i = 3; i < talk.n; i++) {
		talk.segment[i].seq += talk.segment[i].n_sack > 0 ? 100 : 0;
	}
	talk_analyse(&talk);
	assert_int_equal(talk.delivery[CU_S2C].piece[1].loss, CU_LOSS_AFTER);
	assert_int_equal(talk.delivery[CU_S2C].piece[1].arrive_ns, (t + 300000) * CU_NS_PER_US);
	talk_release(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_d_sack_is_of_the_copy_before_it),
		cmocka_unit_test(test_gaps_tell_what_reported_and_filled_them),
		cmocka_unit_test(test_gaps_within_a_segment_of_offload),
		cmocka_unit_test(test_gaps_of_33_segments),
		cmocka_unit_test(test_gaps_from_before_the_capture_by_sack),
		cmocka_unit_test(test_gaps_from_before_the_capture_between_blocks),
		cmocka_unit_test(test_gaps_from_before_the_capture_by_duplicate_acks),
		cmocka_unit_test(test_gaps_behind_the_vantage_point),
		cmocka_unit_test(test_gaps_the_capture_lacks),
		cmocka_unit_test(test_clean_transfer_has_no_gaps_and_no_runs),
		cmocka_unit_test(test_loss_runs_count_by_hand),
		cmocka_unit_test(test_loss_runs_leave_out_what_was_too_large),
		cmocka_unit_test(test_loss_runs_say_the_word_only_with_figures),
		cmocka_unit_test(test_path_timestamp_tells_which_copy_was_answered),
		cmocka_unit_test(test_path_takes_no_sample_from_a_d_sack),
		cmocka_unit_test(test_path_takes_no_sample_from_an_ack_of_what_was_not_seen),
		cmocka_unit_test(test_path_takes_no_sample_from_what_waits_behind_a_loss),
		cmocka_unit_test(test_path_shows_how_the_round_trip_moved),
		cmocka_unit_test(test_path_with_a_clock_that_jumps),
		cmocka_unit_test(test_window_too_small_for_the_path),
		cmocka_unit_test(test_window_in_flight_at_the_sender),
		cmocka_unit_test(test_ending_closed_port),
		cmocka_unit_test(test_ending_behind_the_part),
		cmocka_unit_test(test_ending_half_open),
		cmocka_unit_test(test_ending_half_open_until_a_reset),
		cmocka_unit_test(test_ending_counts_from_the_last_syn),
		cmocka_unit_test(test_ending_tells_resets_apart),
		cmocka_unit_test(test_ending_reset_that_crossed_the_answer),
		cmocka_unit_test(test_ending_reset_after_asking_in_vain),
		cmocka_unit_test(test_ending_by_a_device_one_hop_away),
		cmocka_unit_test(test_ending_by_a_device_on_the_path),
		cmocka_unit_test(test_ending_device_told_by_what_came_later_or_earlier),
		cmocka_unit_test(test_ending_unheeded_reset),
	};
	return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
