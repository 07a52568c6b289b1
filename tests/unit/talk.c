#include "tests/unit/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint32_t isn[2] = {0xfffff000, 1000}; /* the client's numbers wrap early */

void talk_init(struct talk *talk)
{
	*talk = (struct talk){.next_id = {100, 5000}};
	for (int dir = 0; dir < 2; dir++) {
		struct cu_connection_side *side = &talk->connection.side[dir];
		side->has_syn = true;
		side->isn = isn[dir];
		side->syn = (struct cu_syn_options){
			.mss = TALK_MSS, .has_wscale = true, .wscale = 0, .sack_permitted = true};
	}
	talk->connection.role = CU_ROLE_SYN;
}

void talk_release(struct talk *talk)
{
	cu_trace_release(&talk->trace);
	cu_path_scratch_release(&talk->scratch);
	cu_delivery_release(&talk->delivery[0]);
	cu_delivery_release(&talk->delivery[1]);
	cu_exchanges_release(&talk->exchanges);
}

struct cu_segment *talk_add(struct talk *talk, int64_t time_us, int dir, unsigned flags, uint32_t seq, uint32_t ack,
                            uint32_t len)
{
	assert_true(talk->n < TALK_CAP);
	struct cu_segment *segment = &talk->segment[talk->n++];
	*segment = (struct cu_segment){
		.time_ns = time_us * CU_NS_PER_US,
		.frame = talk->n,
		.dir = (uint8_t)dir,
		.ttl = 64,
		.flags = (uint16_t)flags,
		.window = TALK_WINDOW,
		.ip_id = talk->next_id[dir]++,
		.seq = isn[dir] + seq,
		.ack = flags & CU_TCP_ACK ? isn[!dir] + ack : 0,
		.len = len,
	};
	return segment;
}

int64_t talk_handshake(struct talk *talk, int64_t server_rtt_us, int64_t client_rtt_us)
{
	talk_add(talk, 0, CU_C2S, CU_TCP_SYN, 0, 0, 0);
	talk_add(talk, server_rtt_us, CU_S2C, CU_TCP_SYN | CU_TCP_ACK, 0, 1, 0);
	talk_add(talk, server_rtt_us + client_rtt_us, CU_C2S, CU_TCP_ACK, 1, 1, 0);
	return server_rtt_us + client_rtt_us;
}

void talk_analyse(struct talk *talk)
{
	struct cu_buf buf = {0};
	struct cu_buf record = {0};
	struct cu_timeline_state state = {0};
	struct cu_chunk chunk;

	for (size_t i = 0; i < talk->n; i++) {
		assert_true(cu_buf_reserve(&buf, CU_SEGMENT_ENCODED_CAP));
		buf.len += cu_timeline_encode(&state, &talk->segment[i], buf.data + buf.len);
	}
	assert_false(buf.failed);
	chunk = (struct cu_chunk){
		.n_segments = talk->n, .start = state.start, .segments = cu_cursor_make(buf.data, buf.len)};
	cu_chunk_encode(&chunk, &record);
	assert_int_equal(cu_chunk_open(record.data, record.len, &chunk), 0);
	cu_trace_begin(&talk->trace, &talk->connection);
	assert_int_equal(cu_trace_add_chunk(&talk->trace, &chunk), 0);
	assert_int_equal(talk->trace.n, talk->n);
	cu_buf_release(&buf);
	cu_buf_release(&record);

	cu_trace_mark(&talk->trace);
	assert_int_equal(cu_path_measure(&talk->trace, &talk->scratch, &talk->path), 0);
	for (int dir = 0; dir < 2; dir++) {
		assert_int_equal(cu_delivery_build(&talk->delivery[dir], &talk->trace, &talk->path, dir), 0);
		cu_window_learn_scale(&talk->trace, &talk->delivery[dir], &talk->path, dir);
		talk->window[dir] = cu_window_measure(&talk->trace, &talk->delivery[dir], &talk->path, dir);
	}
	assert_int_equal(cu_exchanges_find(&talk->exchanges, &talk->trace), 0);
}

void talk_check_stretches(const struct cu_transaction *transaction)
{
	int64_t sum = 0, other_ns = 0, of_cause[CU_N_CAUSES] = {0};
	struct cu_cursor cur = cu_cursor_make((const uint8_t *)transaction->stretches.data, transaction->stretches.len);
	struct cu_stretch stretch;
	int before = -1;
	while (cu_stretch_next(&cur, &stretch)) {
		assert_true(stretch.ns > 0 && stretch.other_ns < stretch.ns);
		assert_int_not_equal(stretch.cause, before);
		before = stretch.cause;
		sum += stretch.ns;
		other_ns += stretch.other_ns;
		of_cause[stretch.cause] += stretch.ns - stretch.other_ns;
	}
	assert_false(cur.failed);
	if (transaction->total_ns < CU_STRETCHES_LEAST_NS) {
		assert_int_equal(transaction->stretches.len, 0);
		return;
	}
	assert_int_equal(sum, transaction->total_ns);
	for (int cause = 0; cause < CU_N_CAUSES; cause++) {
		assert_true(of_cause[cause] <= transaction->ledger[cause].ns);
		assert_true(of_cause[cause] + other_ns >= transaction->ledger[cause].ns);
	}
}

bool talk_fill(struct talk *talk, size_t n, struct cu_transaction *transaction)
{
	struct cu_case known = {.trace = &talk->trace,
	                        .path = &talk->path,
	                        .delivery = talk->delivery,
	                        .window = talk->window,
	                        .exchanges = &talk->exchanges,
	                        .stretches = &talk->stretches};
	assert_true(n < talk->exchanges.n);
	return cu_ledger_fill(&known, &talk->exchanges.item[n], transaction);
}

struct cu_transaction talk_transaction(struct talk *talk, size_t n)
{
	struct cu_transaction transaction;
	int64_t sum = 0;

	assert_true(talk_fill(talk, n, &transaction));
	for (int cause = 0; cause < CU_N_CAUSES; cause++) {
		assert_true(transaction.ledger[cause].ns >= 0);
		sum += transaction.ledger[cause].ns;
	}
	assert_int_equal(sum, transaction.total_ns);
	talk_check_stretches(&transaction);
	return transaction;
}
