/*
 * The account of one transaction while its ledger is filled: who is charged,
 * and with which frames. Internal to lib/blame.
 */
#ifndef CU_BLAME_ACCOUNT_H
#define CU_BLAME_ACCOUNT_H

#include "lib/blame/ledger.h"

/* Tolerances. A busy host takes that much longer than CU_HOST_NS, before something else must be the reason. */
#define CU_BUSY_NS (6 * CU_NS_PER_MS)
/* The shortest delayed ACK in use is Linux's 40 ms; quicker ones are a host's own time. */
#define CU_DELAYED_ACK_NS (15 * CU_NS_PER_MS)

/* Waits of a kind, of the message at hand or of a part of it, whose cause its other waits will tell. */
struct cu_waits {
	unsigned n;
	int64_t ns, longest_ns;
	uint32_t first_seg, last_seg; /* of the longest */
};

/* What a direction's identifications tell of flights that were lost before the vantage point; hidden.c. */
struct cu_hidden_flights {
	uint32_t next;                       /* the segment to look at next */
	const struct cu_trace_segment *last; /* the last whose identification counts */
	int64_t end;                         /* the highest sequence number so far */
	int64_t sent_end;                    /* bytes before it may have been sent before, and lost */
};

/* One transaction being charged. */
struct cu_account {
	const struct cu_case *known;
	struct cu_transaction *transaction;
	int64_t longest[CU_N_CAUSES];      /* the stretch whose frames an entry cites */
	struct cu_waits waits[CU_N_WAITS]; /* of the kinds that are not settled */
	enum cu_wait charging;             /* what is charged now is one of these */
	unsigned n_small;                  /* waits, of either kind */
	unsigned n_small_alone;            /* of them, behind a segment alone in flight */
	int64_t since_ran_out_ns;          /* of waits for ACKs, since the sender ran out first */
	unsigned n_other_pauses;           /* but those of the kind CU_WAIT_FULL */
	int64_t shortest_full_ns;          /* of those */
	struct cu_hidden_flights flights;  /* of the message at hand */
	size_t near_step;                  /* of the ACKs of the message at hand, where one was looked for last */
	int64_t burst_start;               /* where the message at hand went on after its last pause */
	int64_t lost_there_ns;  /* of waits for what was lost behind a vantage point at its receiver: perhaps by that */
	int64_t largest_flight; /* bytes, of the message at hand since its sender was idle for long */
	int64_t largest_unacked; /* bytes, of the message at hand when its sender waited for an ACK */
	int64_t whole_before_ns; /* pauses behind less than a full segment since the last */
	int64_t ended_before_ns; /* those, and others behind a segment that was not full */
	int64_t last_pause_ns;   /* of the message at hand */
};

static inline int64_t cu_min_ns(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t cu_max_ns(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t cu_account_frame(const struct cu_account *account, uint32_t seg)
{
	return account->known->trace->segment[seg].frame;
}

/* The file of that frame, as the transaction's parts have it. */
static inline uint16_t cu_account_file(const struct cu_account *account, uint32_t seg)
{
	return (uint16_t)(account->known->trace->segment[seg].file - account->transaction->file);
}

/* What a message cites. */
static inline void cu_account_cite(const struct cu_account *account, struct cu_message *message, uint32_t first_seg,
                                   uint32_t last_seg)
{
	message->first_frame = cu_account_frame(account, first_seg);
	message->first_file = cu_account_file(account, first_seg);
	message->last_frame = cu_account_frame(account, last_seg);
	message->last_file = cu_account_file(account, last_seg);
}

static inline void cu_account_cite_ack(const struct cu_account *account, uint32_t seg)
{
	account->transaction->acked_frame = cu_account_frame(account, seg);
	account->transaction->acked_file = cu_account_file(account, seg);
}

/* From the vantage point to a direction's sender and back, and to its receiver. */
static inline int64_t cu_sender_rtt(const struct cu_account *account, int dir)
{
	const struct cu_path *path = account->known->path;
	return dir == CU_C2S ? path->client_rtt_ns : path->server_rtt_ns;
}

static inline int64_t cu_receiver_rtt(const struct cu_account *account, int dir)
{
	return cu_sender_rtt(account, !dir);
}

/* The usual round trip to a direction's receiver, if it varies by more than ACKs are kept back for; else 0. */
static inline int64_t cu_wavering_rtt(const struct cu_account *account, int dir)
{
	const struct cu_path_side *side = &account->known->path->side[dir];
	return side->n_samples > 0 && side->median_ns - side->min_ns > CU_ACK_DELAY_NS ? side->median_ns : 0;
}

/* Whether the capture was taken at a direction's sender: what left it then is all there. */
static inline bool cu_at_sender(const struct cu_account *account, int dir)
{
	return account->known->path->vantage == (dir == CU_C2S ? CU_VANTAGE_CLIENT : CU_VANTAGE_SERVER);
}

/* Causes of the side that sends in a direction, and of the one that receives. */
static inline enum cu_cause cu_pause_of(int dir)
{
	return dir == CU_C2S ? CU_CLIENT_PAUSE : CU_SERVER_PAUSE;
}

static inline enum cu_cause cu_window_of_receiver(int dir)
{
	return dir == CU_C2S ? CU_SERVER_WINDOW : CU_CLIENT_WINDOW;
}

static inline enum cu_cause cu_delayed_ack_of_receiver(int dir)
{
	return dir == CU_C2S ? CU_SERVER_DELAYED_ACK : CU_CLIENT_DELAYED_ACK;
}

static inline void cu_account_doubt_if(struct cu_account *account, enum cu_doubt doubt, bool is_so)
{
	account->transaction->doubts |= (uint16_t)((unsigned)is_so << doubt);
}

static inline void cu_account_doubt(struct cu_account *account, enum cu_doubt doubt)
{
	cu_account_doubt_if(account, doubt, true);
}

/* Charges [from, to), in nanoseconds, to a cause; the frames are those of the segments that bound it. */
void cu_charge(struct cu_account *account, enum cu_cause cause, int64_t from, int64_t to, uint32_t first_seg,
               uint32_t last_seg);

/*
 * Charges a turnaround: a round trip of what lies between is the network's,
 * what is left above it is charged to a cause.
 */
void cu_charge_turnaround(struct cu_account *account, enum cu_cause above, int64_t from, int64_t until, int64_t rtt_ns,
                          uint32_t first_seg, uint32_t last_seg);

/* Charges the waits of a kind, which there are, to their cause. */
void cu_charge_waits(struct cu_account *account, enum cu_wait kind, enum cu_cause cause);

/* The same, if there are any. */
static inline void cu_charge_settled(struct cu_account *account, enum cu_wait kind, enum cu_cause cause)
{
	if (account->waits[kind].n > 0) {
		cu_charge_waits(account, kind, cause);
	}
}

/* The distance between the vantage point and the one who waits, on the way there and back. */
void cu_charge_distance(struct cu_account *account, int64_t distance_ns, uint32_t first_seg, uint32_t last_seg);

/* stretches.c: begins anew, for a transaction of which so much time was seen; less than none by a clock that stepped back. */
static inline void cu_stretches_begin(struct cu_stretches *list, int64_t seen_ns)
{
	list->kept = seen_ns >= CU_STRETCHES_LEAST_NS || seen_ns < 0;
	list->n = 0;
	list->least_ns = list->distance_ns = 0;
}

/* stretches.c: makes room: puts them in order, and takes short ones next to each other together. */
void cu_stretches_thin(struct cu_stretches *list);

/* Notes what is charged; cu_charge does. */
static inline void cu_stretches_note(struct cu_stretches *list, enum cu_cause cause, enum cu_wait wait, int64_t from_ns,
                                     int64_t to_ns)
{
	if (!list->kept) {
		return;
	}
	if (list->n == CU_STRETCH_CAP) {
		cu_stretches_thin(list);
	}
	list->item[list->n++] =
		(struct cu_charged){.from_ns = from_ns, .to_ns = to_ns, .cause = (uint8_t)cause, .wait = (uint8_t)wait};
}

/* stretches.c: the waits of a kind noted so far had this cause. */
void cu_stretches_settle(struct cu_stretches *list, enum cu_wait wait, enum cu_cause cause);

/* stretches.c: what was noted as the transaction's stretches, the distance before and after it. The list keeps them. */
void cu_stretches_put(struct cu_stretches *list, struct cu_transaction *transaction);

/* Says on which side of the vantage point the transaction lost something. */
void cu_account_add_loss(struct cu_account *account, uint8_t side);

/*
 * transfer.c: charges the delivery of [start, end) of a direction from a moment
 * on: each step by which the delivered bytes grow in order is a wait with one
 * reason. Returns when the last byte was delivered, limit at most.
 */
int64_t cu_charge_delivery(struct cu_account *account, int dir, int64_t start, int64_t end, int64_t from,
                           int64_t limit);

/*
 * transfer.c: whether the receiver's window held what a direction's sender said
 * first from a moment on, and it said that as soon as there was room.
 */
bool cu_window_held(struct cu_account *account, int dir, int64_t from, int64_t until, const struct cu_piece *first);

/*
 * transfer.c: how much of a wait its sender's clock knows nothing of: by their
 * timestamps (RFC 7323) two segments were sent closer together than they came,
 * so that the second was held up on its way. 0 unless that is most of the wait.
 */
int64_t cu_held_up_ns(const struct cu_trace *trace, int dir, uint32_t first, uint32_t last, int64_t wait_ns);

/* transfer.c: what a lost piece was lost to: CU_NETWORK_LOSS or CU_NETWORK_MTU. */
enum cu_cause cu_loss_cause(const struct cu_account *account, int dir, const struct cu_piece *piece);

/* hidden.c: a silence of a direction's sender that ended with this segment: were copies of it lost out of sight? */
bool cu_hidden_loss(const struct cu_account *account, int dir, uint32_t seg_index, int64_t silence_ns);

/* hidden.c: whether a silence is as long as a timer's, and no identification would tell of copies that were lost out of sight. */
bool cu_hidden_maybe(const struct cu_account *account, int dir, uint32_t seg_index, int64_t silence_ns);

/* hidden.c: whether identifications are missing before a segment, of a sender that counts by one. */
bool cu_hidden_missing(const struct cu_account *account, uint32_t seg_index);

/*
 * hidden.c: how long before a connection's first request passed its first copy was lost out of sight, ns; 0 when none was.
 * since_seg: the end of the handshake.
 */
int64_t cu_hidden_request(const struct cu_account *account, uint32_t seg_index, uint32_t *since_seg);

/*
 * hidden.c: whether the bytes from seq on, which a direction's sender sent with this segment, had been sent before, in
 * flights of which nothing reached the vantage point. Segments are asked for in order.
 */
bool cu_hidden_before(struct cu_account *account, int dir, uint32_t seg_index, int64_t seq);

/* hidden.c: what they were lost to: CU_NETWORK_LOSS or CU_NETWORK_MTU. */
enum cu_cause cu_hidden_loss_cause(const struct cu_account *account, int dir, uint32_t seg_index, int64_t silence_ns);

/*
 * Whether the first word of an answer can be a second copy, and how sure that is. Late: copies were lost before it, but
 * the silence was longer than their timers.
 */
enum cu_second_copy { CU_NO_SECOND_COPY, CU_MAYBE_SECOND_COPY, CU_LATE_SECOND_COPY, CU_SECOND_COPY };

/* hidden.c: of an answer's first segment after a silence, to a request that ends at request_end. */
enum cu_second_copy cu_second_copy_of(const struct cu_account *account, int64_t request_end, uint32_t seg_index,
                                      int64_t silence_ns);

/* handshake.c: fills in a connect transaction. */
bool cu_account_connect(struct cu_account *account, const struct cu_exchange *exchange);

/* handshake.c: when the client first acknowledged the SYN-ACK, and with which segment; INT64_MAX never. */
int64_t cu_handshake_done(const struct cu_trace *trace, uint32_t *seg_index);

/* How a handshake's last ACK passed the vantage point. */
struct cu_handshake_ack {
	int64_t sent_ns;  /* the first: where that was lost before, when it would have passed */
	int64_t heard_ns; /* the one that the server heard: it repeats its SYN-ACK until then */
	uint32_t sent_seg, heard_seg;
	enum cu_cause unheard; /* what the time between is charged to */
};

/* handshake.c: of a connection whose server speaks first, and so waits for that ACK alone. False when none was seen. */
bool cu_handshake_ack_find(const struct cu_account *account, struct cu_handshake_ack *ack);

/* handshake.c: whether a server, seen next to it, repeated its SYN-ACK after what the client sent at a moment: its backlog was full. */
bool cu_handshake_has_no_room(const struct cu_account *account, int64_t since_ns);

#endif
