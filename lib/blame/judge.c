#include "lib/blame/judge.h"

#include "lib/blame/ledger.h"
#include "lib/tcp/ending.h"
#include "lib/tcp/resent.h"
#include "lib/tcp/window.h"

#include <string.h>

void cu_judge_release(struct cu_judge *judge)
{
	for (int dir = 0; dir < 2; dir++) {
		cu_delivery_release(&judge->delivery[dir]);
		cu_gaps_release(&judge->gaps[dir]);
	}
	cu_exchanges_release(&judge->exchanges);
	cu_buf_release(&judge->buf);
}

/* What was encoded becomes a record. */
static int put(const struct cu_judge *judge, enum cu_record_kind kind, struct cu_records *records)
{
	return judge->buf.failed ? CU_ERR_NOMEM : cu_records_add(records, kind, judge->buf.data, judge->buf.len);
}

/* A segment that opens or closes its direction. */
static void count_stage(const struct cu_trace_segment *seg, struct cu_analysis *analysis, int64_t fin_end[2])
{
	if (seg->flags & CU_TCP_SYN) {
		analysis->side[seg->dir].n_syns++;
		analysis->completeness |= seg->flags & CU_TCP_ACK ? CU_SEEN_SYN_ACK : CU_SEEN_SYN;
	} else if (seg->flags & CU_TCP_ACK && seg->len == 0) {
		analysis->completeness |= CU_SEEN_ACK;
	}
	if (seg->flags & CU_TCP_FIN) {
		fin_end[seg->dir] = seg->end;
		analysis->completeness |= CU_SEEN_FIN;
	}
	if (seg->flags & CU_TCP_RST) {
		analysis->completeness |= CU_SEEN_RST;
	}
}

/* Counts the segments; fin_end becomes where each direction's last FIN ends, -1 without one. */
static void count_segments(const struct cu_trace *trace, struct cu_analysis *analysis, int64_t fin_end[2])
{
	uint32_t mss[2]; /* that the receiver of a direction takes */
	for (int dir = 0; dir < 2; dir++) {
		uint16_t said = trace->connection.side[!dir].syn.mss;
		mss[dir] = said != 0 ? said : UINT32_MAX;
		fin_end[dir] = -1;
	}
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->icmp) {
			continue;
		}
		struct cu_analysis_side *side = &analysis->side[seg->dir];
		bool has_data = seg->len > 0;
		side->n_data_segments += has_data;
		/* Those above the receiver's MSS were cut or put together by a network card behind or before the capture. */
		side->n_large += seg->len > mss[seg->dir];
		side->largest_bytes = seg->len > side->largest_bytes ? seg->len : side->largest_bytes;
		analysis->completeness |= has_data ? CU_SEEN_DATA : 0;
		if ((seg->flags & (CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST)) != 0) {
			count_stage(seg, analysis, fin_end);
		} else if (!has_data && (seg->flags & CU_TCP_ACK) != 0) {
			analysis->completeness |= CU_SEEN_ACK;
		}
		if (seg->marks == 0) {
			continue;
		}
		if (cu_is(seg, CU_EVENT_RETRANSMISSION)) {
			side->n_retransmitted++;
			side->n_retransmitted_bytes += seg->len;
			side->n_spurious += cu_is(seg, CU_EVENT_SPURIOUS_RETRANSMISSION);
			side->n_fast += seg->resent_by == CU_RESENT_DUPLICATE_ACKS;
			side->n_timeout += seg->resent_by == CU_RESENT_TIMEOUT;
			side->n_probes += seg->resent_by == CU_RESENT_TAIL_PROBE;
		}
		side->n_out_of_order += cu_is(seg, CU_EVENT_OUT_OF_ORDER);
		side->n_dup_acks += cu_is(seg, CU_EVENT_DUPLICATE_ACK);
		side->n_zero_windows += cu_is(seg, CU_EVENT_ZERO_WINDOW);
		side->n_window_full += cu_is(seg, CU_EVENT_WINDOW_FULL);
		side->n_keep_alives += cu_is(seg, CU_EVENT_KEEP_ALIVE);
		side->n_duplicates += cu_is(seg, CU_EVENT_DUPLICATE_FRAME);
	}
}

/* Of a piece's sequence numbers, those that SYN and FIN take. */
static uint64_t count_flags(const struct cu_trace *trace, int dir, int64_t fin_end, const struct cu_piece *piece)
{
	bool syn = trace->connection.side[dir].has_syn && piece->start <= 0;
	/* A FIN that was followed by data, or that went back, has no number of its own. */
	bool fin = piece->end == fin_end && (trace->segment[piece->first_seg].flags & CU_TCP_FIN) != 0;
	return (uint64_t)syn + (uint64_t)fin;
}

static void put_rtt(const struct cu_path_side *from, struct cu_analysis_side *side)
{
	side->n_rtt_samples = from->n_samples;
	side->n_rtt_by_timestamp = from->n_by_timestamp;
	side->rtt_min_ns = from->min_ns;
	side->rtt_mean_ns = from->mean_ns;
	side->rtt_median_ns = from->median_ns;
	side->rtt_p90_ns = from->p90_ns;
	side->rtt_p99_ns = from->p99_ns;
	side->rtt_max_ns = from->max_ns;
	side->rtt_slice_ns = from->slice_ns;
	if (from->slice_ns != 0) {
		memcpy(side->rtt_slice, from->slice, sizeof(side->rtt_slice));
	}
}

void cu_judge_analysis(const struct cu_judge *judge, const struct cu_hearing *hearing, struct cu_analysis *analysis)
{
	const struct cu_trace *trace = hearing->trace;
	const struct cu_path *path = &hearing->path;
	*analysis = (struct cu_analysis){
		.stream = trace->connection.stream,
		.vantage = path->vantage,
		.rtt_ns = path->server_rtt_ns + path->client_rtt_ns,
		.client_rtt_ns = path->client_rtt_ns,
		.server_rtt_ns = path->server_rtt_ns,
		.handshake_rtt_ns = path->handshake_rtt_ns,
		.mss = (uint32_t)(trace->mss[CU_S2C] > trace->mss[CU_C2S] ? trace->mss[CU_S2C] : trace->mss[CU_C2S]),
		.window_scaled = trace->scaled,
		.rtt_uncertain = !path->server_known || !path->client_known,
	};
	int64_t fin_end[2];
	count_segments(trace, analysis, fin_end);
	cu_ending_find(trace, path, analysis);
	for (int dir = 0; dir < 2; dir++) {
		const struct cu_delivery *delivery = &judge->delivery[dir];
		struct cu_analysis_side *side = &analysis->side[dir];
		put_rtt(&path->side[dir], side);
		side->window = judge->window[dir];
		if (!cu_delivery_is_clean(delivery)) {
			side->loss = cu_loss_runs_count(trace, delivery, dir);
		}
		for (size_t p = 0; p < delivery->n_pieces; p++) {
			const struct cu_piece *piece = &delivery->piece[p];
			uint64_t n =
				(uint64_t)(piece->end - piece->start) - count_flags(trace, dir, fin_end[dir], piece);
			if (piece->loss == CU_LOSS_CAPTURE) {
				side->n_unseen_bytes += n;
			} else {
				side->n_unique_bytes += n;
			}
			if (piece->loss == CU_LOSS_BEFORE || piece->loss == CU_LOSS_AFTER ||
			    piece->loss == CU_LOSS_BOTH) {
				analysis->loss_side =
					analysis->loss_side == CU_LOSS_NONE || analysis->loss_side == piece->loss
						? piece->loss
						: (uint8_t)CU_LOSS_BOTH;
			}
		}
		side->n_gaps = judge->gaps[dir].n;
		for (size_t g = 0; g < judge->gaps[dir].n; g++) {
			side->n_gap_bytes += judge->gaps[dir].item[g].n_bytes;
		}
	}
}

int cu_judge_put_analysis(struct cu_judge *judge, const struct cu_analysis *analysis, struct cu_records *records)
{
	cu_buf_clear(&judge->buf);
	cu_analysis_encode(analysis, &judge->buf);
	return put(judge, CU_RECORD_ANALYSIS, records);
}

int cu_judge_put_gaps(struct cu_judge *judge, struct cu_records *records)
{
	int err = 0;
	for (int dir = 0; dir < 2; dir++) {
		for (size_t g = 0; g < judge->gaps[dir].n && err == 0; g++) {
			cu_buf_clear(&judge->buf);
			cu_gap_encode(&judge->gaps[dir].item[g], &judge->buf);
			err = put(judge, CU_RECORD_GAP, records);
		}
	}
	return err;
}

/* Marks go in runs that fit a block. */
int cu_judge_put_marks(struct cu_judge *judge, const struct cu_trace *trace, struct cu_records *records)
{
	enum { RUN = 16384 };
	int err = 0;
	for (size_t at = 0; at < trace->n && err == 0; at += RUN) {
		size_t n = trace->n - at < RUN ? trace->n - at : RUN;
		cu_buf_clear(&judge->buf);
		cu_buf_add_varint(&judge->buf, trace->connection.stream);
		cu_buf_add_varint(&judge->buf, n);
		if (!cu_buf_reserve(&judge->buf, n * CU_VARINT_CAP)) {
			return CU_ERR_NOMEM;
		}
		uint8_t *p = judge->buf.data + judge->buf.len;
		for (size_t i = 0; i < n; i++) {
			p += cu_put_varint(p, trace->segment[at + i].marks);
		}
		judge->buf.len = (size_t)(p - judge->buf.data);
		err = put(judge, CU_RECORD_MARKS, records);
	}
	return err;
}

/*
 * Whether a direction was not captured (an asymmetric path, a mirror of one
 * side), though the other acknowledged what it carried: a SYN-ACK, or more and
 * more. Who is not acknowledged may be silent.
 */
static bool lacks_direction(const struct cu_judge *judge, const struct cu_trace *trace, int dir)
{
	const struct cu_connection_side *side = trace->connection.side;
	const struct cu_delivery *delivery = &judge->delivery[dir];
	const struct cu_ack_step *step = delivery->step;
	return side[dir].n_segments == 0 && delivery->n_steps > 0 &&
	       (side[!dir].has_syn || step[delivery->n_steps - 1].ack > step[0].ack);
}

int cu_judge_put_transactions(struct cu_judge *judge, const struct cu_hearing *hearing, uint64_t *number,
                              struct cu_records *records)
{
	const struct cu_trace *trace = hearing->trace;
	bool one_sided = lacks_direction(judge, trace, CU_C2S) || lacks_direction(judge, trace, CU_S2C);
	struct cu_case known = {.trace = trace,
	                        .path = &hearing->path,
	                        .delivery = judge->delivery,
	                        .window = judge->window,
	                        .exchanges = &judge->exchanges,
	                        .stretches = &judge->stretches,
	                        .capture_lacks =
	                                one_sided || judge->delivery[CU_C2S].lacks || judge->delivery[CU_S2C].lacks,
	                        .one_sided = one_sided,
	                        .ids_shared = {hearing->ids_shared[CU_C2S], hearing->ids_shared[CU_S2C]}};
	int err = cu_exchanges_find(&judge->exchanges, trace);
	for (size_t n = 0; n < judge->exchanges.n && err == 0; n++) {
		struct cu_transaction transaction;
		if (!cu_ledger_fill(&known, &judge->exchanges.item[n], &transaction)) {
			continue;
		}
		transaction.number = (*number)++;
		cu_buf_clear(&judge->buf);
		cu_transaction_encode(&transaction, &judge->buf);
		err = put(judge, CU_RECORD_TRANSACTION, records);
	}
	return err;
}

int cu_judge_follow(struct cu_judge *judge, const struct cu_hearing *hearing)
{
	int err = 0;
	for (int dir = 0; dir < 2 && err == 0; dir++) {
		err = cu_delivery_build(&judge->delivery[dir], hearing->trace, &hearing->path, dir);
		if (err == 0) {
			cu_window_learn_scale(hearing->trace, &judge->delivery[dir], &hearing->path, dir);
			judge->window[dir] =
				cu_window_measure(hearing->trace, &judge->delivery[dir], &hearing->path, dir);
			err = cu_gaps_find(&judge->gaps[dir], hearing->trace, &judge->delivery[dir], dir);
		}
	}
	if (err == 0 && !(cu_delivery_is_clean(&judge->delivery[0]) && cu_delivery_is_clean(&judge->delivery[1]))) {
		cu_trace_resent_by(hearing->trace);
	}
	return err;
}
