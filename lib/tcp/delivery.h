/*
 * Delivery: when each byte of a direction passed the vantage point in the
 * copy that reached its receiver, and what was lost on the way.
 *
 * All times are those of the vantage point. A copy lost after it was seen is
 * settled by what the receiver said: cumulative ACKs, SACK, D-SACK (RFC 2883)
 * and timestamp echoes (RFC 7323). A copy lost before shows as a hole, and is
 * told from reordering by IP identification, timestamps, and the round trip
 * that a retransmission cannot undercut. Of what was sent before the capture
 * began, the receiver's first ACKs say what had not arrived.
 */
#ifndef CU_TCP_DELIVERY_H
#define CU_TCP_DELIVERY_H

#include "lib/tcp/path.h"
#include "lib/tcp/trace.h"

/* Bytes first seen in one segment. */
struct cu_piece {
	int64_t start, end;
	int64_t first_ns;  /* first copy seen */
	int64_t arrive_ns; /* the copy that was delivered */
	int64_t due_ns;    /* when they would have come but for a loss, or for being overtaken; else arrive_ns */
	uint32_t first_seg, arrive_seg;
	uint32_t n_copies;
	uint8_t loss;       /* enum cu_loss_side */
	bool retransmitted; /* a copy was sent again, needed or not */
	bool doubtful;      /* its loss: an ACK kept back for longer than its sender's timer would look the same */
};

/* What a receiver had said by some moment. */
struct cu_ack_step {
	int64_t time_ns;
	int64_t ack;  /* highest cumulative so far */
	int64_t edge; /* right edge of the window as this segment says it */
	int64_t window;
	uint32_t seg;
	bool advertises; /* its window counts: of no SYN, which is not scaled, and of no frame captured twice */
};

/* A hole in what was seen. */
struct cu_hole {
	int64_t start, end;             /* still missing; equal: nothing */
	int64_t first_start, first_end; /* as it showed */
	int64_t shown_ns;
	int64_t filled_ns; /* last fill; 0 none */
	uint32_t shown_seg, fill_seg;
	uint8_t side; /* enum cu_loss_side once settled; CU_LOSS_NONE: reordering */
	bool earlier; /* from before the capture, as an ACK told: shown_seg is of the other direction */
};

struct cu_delivery {
	struct cu_piece *piece; /* by start; they do not overlap */
	size_t n_pieces, pieces_cap;
	struct cu_piece *late; /* below what had passed when they came, while building */
	size_t n_late, late_cap;
	struct cu_ack_step *step; /* of the other direction's segments, by time */
	size_t n_steps, steps_cap;
	struct cu_hole *hole; /* by start; they do not overlap */
	size_t n_holes, holes_cap;
	struct cu_delivery_copy *copy; /* repeats, while settling */
	size_t n_copies, copies_cap;
	int64_t *too_big_ns; /* when ICMP errors said that its segments are too large; in order */
	size_t n_too_big, too_big_cap;
	int n_prompt_acks, n_late_acks; /* of the first segments that were alone; 0 when is_clean */
	size_t n_habit_pieces;          /* pieces among which those are */
	bool at_receiver;               /* it was captured there */
	uint32_t largest_passed;        /* payload of the largest segment that was acknowledged; 0 when is_clean */
	int64_t highest;
	size_t n_earlier;    /* holes from before the capture: pieces below the others fill them */
	int64_t earlier_end; /* what lies below was sent before the capture, where there are such holes */
	int64_t refused_ns;  /* when a SYN was answered last for a connection of before: cu_is_of_before */
	bool lacks;          /* bytes were acknowledged that were never seen */
	bool scale_unknown;  /* its receiver's windows are as sent, and may have been larger */
};

/* Whether every byte passed once and in order: nothing can be lost, resent or lacking then. */
static inline bool cu_delivery_is_clean(const struct cu_delivery *delivery)
{
	return delivery->n_holes == 0 && delivery->n_copies == 0;
}

/* {0} is empty. */
void cu_delivery_release(struct cu_delivery *delivery);

/*
 * Works out a direction of a marked and measured trace; also corrects the
 * trace's marks where the whole timeline knows better (reordering against
 * retransmission, spurious copies). 0 or CU_ERR_NOMEM.
 */
int cu_delivery_build(struct cu_delivery *delivery, struct cu_trace *trace, const struct cu_path *path, int dir);

/* Index of the first piece that ends beyond seq; n_pieces when none does. */
size_t cu_delivery_find(const struct cu_delivery *delivery, int64_t seq);

/* Index of the first ACK step that covers seq; n_steps when none does. */
size_t cu_delivery_acked(const struct cu_delivery *delivery, int64_t seq);
/* The same, found soon when it is not far from the step near, which may be any. */
size_t cu_delivery_acked_near(const struct cu_delivery *delivery, int64_t seq, size_t near);

/*
 * How much longer than the round trip the last byte of [start, end) took behind
 * the vantage point: a queue there, as the ACKs of what went before it say.
 * ACKs of small segments and of a shrinking window may be delayed (RFC 9293
 * section 3.8.6.3) and tell nothing. Nanoseconds; 0 when none tells.
 */
int64_t cu_delivery_queued_ns(const struct cu_delivery *delivery, int64_t start, int64_t end, int64_t mss,
                              int64_t receiver_rtt_ns);

/*
 * Whether the receiver of a delivery that is not clean may be one that keeps
 * its ACKs of segments that are alone back: it is seldom or never seen to
 * acknowledge one at once. except: a piece that does not count.
 */
bool cu_delivery_acks_late(const struct cu_delivery *delivery, const struct cu_trace *trace,
                           const struct cu_piece *except, int64_t receiver_rtt_ns);

/* Whether fragmentation needed (RFC 1191) or packet too big (RFC 8201) came between two moments. */
bool cu_delivery_too_big(const struct cu_delivery *delivery, int64_t from_ns, int64_t until_ns);

/* Index past the last ACK step at or before time_ns; near as above. */
size_t cu_delivery_steps_until(const struct cu_delivery *delivery, int64_t time_ns, size_t near);

#endif
