/*
 * The records of the stream, as structs.
 *
 * flowrec(5) is the contract; record.c has the table of each kind, from which
 * encoding and decoding both follow. A field that is zero is not written, so
 * zero must always mean "none" or "unknown".
 *
 * Order in a stream: what belongs to a connection stands together after
 * analyze, in the order connection, timeline chunks, analysis, gaps, then for
 * each transaction the transaction and its verdict; findings and totals come
 * last. flowify writes a connection after its chunks, or with its timeline in it.
 */
#ifndef CU_RECORD_RECORD_H
#define CU_RECORD_RECORD_H

#include "lib/record/timeline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of record. An unknown kind with CU_RECORD_OPTIONAL set passes through. */
enum cu_record_kind {
	CU_RECORD_CHUNK = 1,
	CU_RECORD_CONNECTION = 2,
	CU_RECORD_ANALYSIS = 3,
	CU_RECORD_GAP = 4,
	CU_RECORD_TRANSACTION = 5,
	CU_RECORD_VERDICT = 6,
	CU_RECORD_FINDING = 7,
	CU_RECORD_TOTALS = 8,
	CU_RECORD_SOURCES = 9, /* further files of the header: see cu_writer_sources */
	CU_RECORD_MARKS = 65,  /* optional: what analyze says of each segment of the chunks before it */
	CU_RECORD_BEGIN =
		66, /* optional: a connection began in mid-life; ahead of the records of all that began later */
	CU_RECORD_OPTIONAL = 64,
};

/* Connections of one stream are numbered from 0 to this, so that the numbers of many add up. */
#define CU_STREAM_MAX ((UINT64_C(1) << 40) - 1)

/* Texts in records are borrowed from the block they were decoded from, and not zero-terminated. */
struct cu_text {
	const char *data;
	uint32_t len;
};

enum cu_party { CU_PARTY_NONE = 0, CU_PARTY_CLIENT, CU_PARTY_NETWORK, CU_PARTY_SERVER, CU_PARTY_UNKNOWN, CU_N_PARTIES };

/* Causes of the ledger; the wire number of each is fixed. */
enum cu_cause {
	CU_CAUSE_NONE = 0,
	CU_CLIENT_PAUSE = 1,
	CU_CLIENT_WINDOW = 2,
	CU_CLIENT_DELAYED_ACK = 3,
	CU_NETWORK_RTT = 4,
	CU_NETWORK_TRANSFER = 5,
	CU_NETWORK_LOSS = 6,
	CU_NETWORK_CONNECT = 7,
	CU_NETWORK_MTU = 8,
	CU_SERVER_THINK = 9,
	CU_SERVER_PAUSE = 10,
	CU_SERVER_WINDOW = 11,
	CU_SERVER_DELAYED_ACK = 12,
	CU_SERVER_CONNECT = 13,
	CU_UNKNOWN_CAPTURE = 14,
	CU_N_CAUSES = 15,
};

/* "server.think"; "none" for CU_CAUSE_NONE and anything else. */
const char *cu_cause_name(unsigned cause);
enum cu_party cu_cause_party(unsigned cause);
/* "client", "network", "server", "unknown", "none". */
const char *cu_party_name(unsigned party);

/* Why a connection left the table. */
enum cu_connection_end {
	CU_END_OPEN = 0,    /* the capture ended first: a continuation may follow in the next */
	CU_END_CLOSED = 1,  /* FIN both ways */
	CU_END_RESET = 2,   /* RST */
	CU_END_IDLE = 3,    /* silent for the idle timeout: a continuation may follow */
	CU_END_EVICTED = 4, /* memory was short: a continuation may follow */
	CU_END_REUSED = 5,  /* a new SYN took its ports */
};

/* How it is known which end is the client. */
enum cu_role_source {
	CU_ROLE_GUESSED = 0, /* by port number, and of equal ones by who spoke first */
	CU_ROLE_SYN = 1,     /* its SYN was seen */
	CU_ROLE_SYN_ACK = 2, /* the server's SYN-ACK was seen */
	CU_ROLE_LEARNED = 3, /* from other connections to the same endpoint */
	CU_ROLE_HINT = 4,    /* by what was said: HTTP's request or answer, TLS's ClientHello or ServerHello */
};

/* One direction's counters and options; of the side that sends in it. */
struct cu_connection_side {
	uint64_t n_segments;
	uint64_t n_bytes; /* payload, retransmissions counted again */
	uint32_t isn;     /* when has_syn, else the lowest sequence number at first sight */
	bool has_syn;
	struct cu_syn_options syn;
	uint8_t ttl; /* of its first segment */
};

struct cu_connection {
	uint64_t stream; /* order of first frame, from 0 */
	struct cu_addr client, server;
	uint16_t client_port, server_port;
	uint32_t ids[CU_VLAN_CAP];
	uint8_t n_ids;
	uint8_t role;             /* enum cu_role_source */
	uint8_t end;              /* enum cu_connection_end */
	bool continued;           /* begins in mid-connection, after a segment of it was in an earlier chunk or file */
	bool followed;            /* until the capture ended, over or not: a continuation may be in the next */
	int64_t start_ns, end_ns; /* first and last segment */
	uint64_t first_frame, last_frame;
	uint16_t first_file, last_file;
	uint64_t n_fragments;              /* IP fragments that its segments came in, beside one each */
	struct cu_connection_side side[2]; /* CU_C2S: sent by the client */
	struct cu_text timeline;           /* its segments, when they are not in chunks: see cu_chunk_within */
};

/*
 * Of several captures each numbers its frames from 1, and a connection may
 * begin in one and end in another. The files of its analysis and gaps are
 * counted on from its first, modulo 65536, so that they are zero where it has
 * but one. Returns the index among the stream's files.
 */
static inline uint16_t cu_connection_file(const struct cu_connection *connection, uint16_t part_file)
{
	return (uint16_t)(connection->first_file + part_file);
}

/* Where the capture was taken. */
enum cu_vantage { CU_VANTAGE_UNKNOWN = 0, CU_VANTAGE_CLIENT, CU_VANTAGE_MIDDLE, CU_VANTAGE_SERVER };
const char *cu_vantage_name(unsigned vantage);

/* Completeness bits, as tshark's tcp.completeness. */
enum {
	CU_SEEN_SYN = 1,
	CU_SEEN_SYN_ACK = 2,
	CU_SEEN_ACK = 4,
	CU_SEEN_DATA = 8,
	CU_SEEN_FIN = 16,
	CU_SEEN_RST = 32,
};

/* How a connection closed. */
enum cu_close_kind {
	CU_CLOSE_NONE = 0,
	CU_CLOSE_CLEAN,
	CU_CLOSE_ABORTIVE,
	CU_CLOSE_REFUSED,
	CU_CLOSE_UNANSWERED,
	CU_CLOSE_HALF,      /* a FIN one way only */
	CU_CLOSE_HALF_OPEN, /* the SYN-ACK was never answered, and perhaps its sender gave up with a RST */
};
const char *cu_close_name(unsigned kind);

/* CU_LOSS_EARLIER: before the first segment of its sender was captured, on either side. */
enum cu_loss_side { CU_LOSS_NONE = 0, CU_LOSS_BEFORE, CU_LOSS_AFTER, CU_LOSS_BOTH, CU_LOSS_CAPTURE, CU_LOSS_EARLIER };
const char *cu_loss_side_name(unsigned side);

/* What a RST says about how a connection ended. */
enum cu_reset_kind {
	CU_RESET_NONE = 0,
	CU_RESET_CLOSED_PORT, /* answers a SYN: nobody listens there */
	CU_RESET_PROBE,       /* the client breaks off a handshake and never sent data */
	CU_RESET_ON_DATA,     /* its sender had closed, or had data before it that it did not acknowledge */
	CU_RESET_NO_STATE,    /* its sender knows nothing of the connection (half-open: RFC 9293 section 3.5.1) */
	CU_RESET_IDLE,        /* after a long silence of both ends */
	CU_RESET_ABORT,       /* its sender gave up on its own */
	CU_RESET_UNHEEDED,   /* both ends went on after it: it was not its end's, or its number was out of the window */
	CU_RESET_UNANSWERED, /* its sender had asked again and again, and heard nothing */
};
const char *cu_reset_name(unsigned kind); /* "closed_port" */

/* How losses lie among a direction's segments: close together, or by chance; a word only when the figures carry it. */
enum cu_loss_pattern { CU_PATTERN_NONE = 0, CU_PATTERN_RUNS, CU_PATTERN_SCATTERED };
const char *cu_loss_pattern_name(unsigned pattern);

/*
 * A direction's segments, in order of sequence, as a chain of two states,
 * delivered at once and lost at first (Gilbert 1960): the chance to go from
 * one to the other, by maximum likelihood from the counted steps.
 */
struct cu_loss_runs {
	uint64_t n_segments; /* of both states: bytes / MSS */
	uint64_t n_lost, n_runs, longest;
	uint64_t enter_ppm; /* p: delivered to lost, in millionths */
	uint64_t leave_ppm; /* r: lost to delivered; 0 also when no run was followed by anything */
	uint8_t pattern;    /* enum cu_loss_pattern */
};

/* The window a direction's sender was given, and what it had in flight as it sent. */
struct cu_window_use {
	uint64_t min_bytes, mean_bytes,
		max_bytes; /* as advertised; where scaled, of SYNs only if there is nothing else */
	uint64_t flight_max_bytes;
	uint64_t n_sent, n_edge; /* new data segments; those that left less than a full segment of the window */
	uint8_t small;           /* 1: the window, not the path or the sender, set the pace */
};

/* One of the equal stretches of time that a direction's round trips fall in. */
enum { CU_RTT_SLICES = 8 };
struct cu_rtt_slice {
	uint64_t n;
	int64_t min_ns, mean_ns, max_ns;
};

/* Per direction what analyze found. */
struct cu_analysis_side {
	uint64_t n_data_segments, n_unique_bytes;
	uint64_t n_retransmitted, n_retransmitted_bytes;
	uint64_t n_fast, n_timeout, n_probes; /* of those, by duplicate ACKs or SACK, a timer, as a tail-loss probe */
	uint64_t n_spurious, n_out_of_order;
	uint64_t n_dup_acks, n_zero_windows, n_window_full, n_keep_alives;
	uint64_t n_gaps, n_gap_bytes, n_unseen_bytes; /* unseen: acknowledged, never captured */
	uint64_t n_duplicates;                        /* frames captured twice (mirror ports) */
	uint64_t n_rtt_samples;
	int64_t rtt_min_ns, rtt_median_ns, rtt_max_ns; /* vantage point to the receiver of this direction and back */
	int64_t rtt_mean_ns, rtt_p90_ns, rtt_p99_ns;
	uint64_t n_rtt_by_timestamp; /* of the samples, those that only a timestamp made unambiguous */
	int64_t rtt_slice_ns;        /* width of each slice; 0 too few samples for any */
	struct cu_rtt_slice rtt_slice[CU_RTT_SLICES];
	struct cu_window_use window;
	struct cu_loss_runs loss;
	uint64_t n_syns; /* SYN or SYN-ACK, repeats counted */
	uint64_t n_large,
		largest_bytes; /* data segments above what the receiver's MSS allows: offload; the largest of all */
};

struct cu_analysis {
	uint64_t stream;
	uint8_t completeness; /* CU_SEEN_ */
	uint8_t vantage;
	uint8_t close;     /* enum cu_close_kind */
	uint8_t closed_by; /* enum cu_party: sender of the first FIN or the RST */
	uint64_t close_frame;
	int64_t rtt_ns;           /* whole path: client side and server side minimum; 0 unknown */
	int64_t client_rtt_ns;    /* vantage point to client and back */
	int64_t server_rtt_ns;    /* vantage point to server and back */
	int64_t handshake_rtt_ns; /* the answered SYN to the ACK that ends the handshake; 0 not seen */
	uint32_t mss;             /* bytes the sender of data keeps to; 0 unknown */
	uint8_t loss_side;        /* enum cu_loss_side */
	bool window_scaled;       /* both SYNs carried a window scale */
	bool rtt_uncertain;       /* no handshake or too few samples */
	struct cu_analysis_side side[2];
	uint8_t reset;          /* enum cu_reset_kind */
	uint8_t reset_by;       /* enum cu_party: network when its TTL is not that of the end it claims to be from */
	uint8_t reset_hops;     /* from where the RST came to the vantage point, as its TTL has it; 255 unknown */
	uint8_t usual_hops;     /* the same of that end's other segments */
	uint64_t reset_frame;   /* the first RST */
	int64_t reset_quiet_ns; /* silence of both ends before it */
	uint16_t close_file, reset_file; /* of those frames: see cu_connection_file */
};

/* A missing range of one direction. */
struct cu_gap {
	uint64_t stream;
	uint8_t dir;
	uint8_t side;     /* enum cu_loss_side */
	uint64_t rel_seq; /* first missing byte, relative; int64_t: below zero where it was sent before the capture */
	uint64_t n_bytes;
	uint64_t n_segments; /* n_bytes / MSS, rounded up */
	int64_t start_ns;    /* when it showed */
	int64_t filled_ns;   /* duration until filled; 0 never */
	uint64_t frame;      /* that showed it */
	uint64_t fill_frame; /* that filled its last byte; 0 never */
	uint64_t n_dup_acks;
	uint64_t first_dup_frame, last_dup_frame; /* of the duplicate ACKs that asked for it */
	uint64_t sack_frame;                      /* that first reported what lies behind it as received; 0 none */
	uint64_t sack_left, sack_right;     /* edges of that block, relative; right: the highest while it was open */
	uint64_t n_fills, first_fill_frame; /* segments that filled it */
	int64_t first_fill_ns;              /* duration from start_ns to the first */
	/* Of those frames, see cu_connection_file. */
	uint16_t file, fill_file, first_dup_file, last_dup_file, sack_file, first_fill_file;
};

enum cu_txn_kind {
	CU_TXN_NONE = 0,
	CU_TXN_CONNECT,
	CU_TXN_GREETING,
	CU_TXN_TLS_HANDSHAKE,
	CU_TXN_REQUEST,
	CU_TXN_CLOSE
};
const char *cu_txn_kind_name(unsigned kind); /* "tls-handshake" */

enum cu_outcome {
	CU_OUTCOME_NONE = 0,
	CU_OUTCOME_ANSWERED,
	CU_OUTCOME_UNANSWERED, /* nothing came before the server closed or the capture ended */
	CU_OUTCOME_REFUSED,    /* a SYN answered by RST, or an ICMP error */
	CU_OUTCOME_RESET,      /* RST before the answer was whole */
	CU_OUTCOME_ABANDONED,  /* the client closed before an answer */
	CU_OUTCOME_OPEN,       /* the capture ended in its middle */
};
const char *cu_outcome_name(unsigned outcome);

enum cu_event_kind {
	CU_EVENT_NONE = 0,
	CU_EVENT_RETRANSMISSION,
	CU_EVENT_FAST_RETRANSMISSION,
	CU_EVENT_SPURIOUS_RETRANSMISSION,
	CU_EVENT_OUT_OF_ORDER,
	CU_EVENT_LOST_SEGMENT,
	CU_EVENT_ACK_LOST_SEGMENT,
	CU_EVENT_DUPLICATE_ACK,
	CU_EVENT_KEEP_ALIVE,
	CU_EVENT_KEEP_ALIVE_ACK,
	CU_EVENT_ZERO_WINDOW,
	CU_EVENT_ZERO_WINDOW_PROBE,
	CU_EVENT_ZERO_WINDOW_PROBE_ACK,
	CU_EVENT_WINDOW_FULL,
	CU_EVENT_WINDOW_UPDATE,
	CU_EVENT_RESET,
	CU_EVENT_ICMP,
	CU_EVENT_DUPLICATE_FRAME,
	CU_N_EVENTS,
};
const char *cu_event_name(unsigned kind); /* "keep_alive" */

struct cu_event {
	uint8_t kind;   /* enum cu_event_kind */
	uint8_t dir;    /* of the segment */
	uint16_t count; /* this many alike, from frame on */
	uint16_t file;  /* of frame: see cu_transaction_file */
	uint64_t frame;
	int64_t time_ns; /* since the transaction's start */
};

/* A ledger entry: its time, and the frames that bound the longest stretch of it. */
struct cu_ledger_entry {
	int64_t ns;
	uint64_t first_frame, last_frame; /* 0 none */
	uint16_t first_file, last_file;   /* see cu_transaction_file */
};

/*
 * A stretch of a transaction's time: the cause that had the largest part of
 * it. Where many short ones follow each other, they are taken together.
 */
struct cu_stretch {
	uint8_t cause;
	int64_t ns;
	int64_t other_ns; /* of it, other causes' */
};

/* Stretches kept of a transaction, and room for one as it is encoded. */
enum { CU_STRETCH_CAP = 32, CU_STRETCH_ENCODED_CAP = 1 + 2 * CU_VARINT_CAP };

/* Of transactions of which less was seen none are kept. */
#define CU_STRETCHES_LEAST_NS (10 * CU_NS_PER_MS)

/* Encodes one; returns the bytes written to p. */
size_t cu_stretch_encode(const struct cu_stretch *stretch, uint8_t p[static CU_STRETCH_ENCODED_CAP]);
/* The next of a transaction's stretches; false at their end, and where they are no such thing. */
bool cu_stretch_next(struct cu_cursor *stretches, struct cu_stretch *stretch);

enum { CU_EVENT_CAP = 16 }; /* events kept of a transaction; more are counted */

struct cu_message { /* request or response */
	uint64_t n_bytes;
	uint64_t first_frame, last_frame; /* 0: none seen */
	uint16_t first_file, last_file;   /* see cu_transaction_file */
	uint64_t n_retransmitted;         /* segments */
};

/* Why a ledger cannot be relied on altogether; bits of a transaction's doubts. */
enum cu_doubt {
	CU_DOUBT_NO_HANDSHAKE = 0, /* it was not captured */
	CU_DOUBT_NO_SERVER_RTT,    /* no round trip to the server was measured */
	CU_DOUBT_NO_CLIENT_RTT,
	CU_DOUBT_ROLES,       /* which end is the client is a guess */
	CU_DOUBT_UNSEEN_LOSS, /* a loss was concluded, not seen */
	CU_DOUBT_LIKE_A_TIMER, /* thinking, as long as a retransmission timer: an answer lost out of sight looks the same */
	CU_DOUBT_CAPTURE_LACKS, /* packets of the connection were acknowledged and never seen */
	CU_DOUBT_LACKS_HERE,    /* and took a tenth of the transaction's time, or more */
	CU_DOUBT_OWN_MESSAGE,   /* what came after a pause may be no part of the message before it */
	CU_DOUBT_KEPT_ACK,   /* a segment sent again: lost, or its ACK kept back for longer than its sender's timer */
	CU_DOUBT_LATE_ACK,   /* thinking, and the request was acknowledged later than an ACK may be kept back */
	CU_DOUBT_LAST_WORDS, /* the server closed right behind what came after a silence: perhaps its farewell */
	CU_DOUBT_ENDED,      /* what came before a pause ended with a segment that was not full, as a message does */
	CU_DOUBT_UNASKED,    /* thinking, and the server speaks unasked on this connection: perhaps no answer */
	CU_N_DOUBTS
};
const char *cu_doubt_name(unsigned doubt);

struct cu_transaction {
	uint64_t stream;
	uint64_t number;  /* within its connection, from 0 */
	uint8_t kind;     /* enum cu_txn_kind */
	uint8_t outcome;  /* enum cu_outcome */
	uint16_t file;    /* of its first segment: see cu_transaction_file */
	int64_t start_ns; /* when the client sent its first byte, in the client's time */
	int64_t total_ns;
	struct cu_message request, response;
	uint64_t acked_frame;       /* acknowledged the whole request; 0 never */
	uint16_t acked_file;        /* see cu_transaction_file */
	int64_t ack_delay_ns;       /* request complete at the vantage point, to that ACK there */
	int64_t first_byte_ns;      /* start to the first byte of the answer at the client; 0 none */
	int64_t client_distance_ns; /* one way, vantage point to client, as used */
	int64_t server_distance_ns;
	uint8_t loss_side;
	uint8_t certainty;                          /* 0..100: how far the ledger can be relied on */
	uint16_t doubts;                            /* 1 << enum cu_doubt: why not altogether */
	struct cu_ledger_entry ledger[CU_N_CAUSES]; /* by enum cu_cause; sums to total_ns */
	struct cu_text name;                        /* "GET /path", TLS server name; empty unknown */
	uint64_t n_events;                          /* all, kept or not */
	uint8_t n_kept;                             /* in events */
	struct cu_event events[CU_EVENT_CAP];
	struct cu_text
		stretches; /* for cu_stretch_next: in order of time, without gaps; they sum to total_ns; or none */
};

/* As cu_connection_file: the files of a transaction's parts are counted on from its own. */
static inline uint16_t cu_transaction_file(const struct cu_transaction *transaction, uint16_t part_file)
{
	return (uint16_t)(transaction->file + part_file);
}

enum cu_confidence { CU_CONFIDENCE_NONE = 0, CU_CONFIDENCE_LOW, CU_CONFIDENCE_MEDIUM, CU_CONFIDENCE_HIGH };
const char *cu_confidence_name(unsigned confidence);

/* Follows the transaction it judges. */
struct cu_verdict {
	uint64_t stream, number;
	bool slow;
	int64_t slow_over_ns; /* the threshold it was held against */
	uint8_t blame;        /* enum cu_party */
	uint8_t cause;        /* enum cu_cause: the largest of the blamed party */
	uint8_t confidence;
	struct cu_text rule; /* empty: the ledger decided */
	struct cu_text service;
	struct cu_text why, advice;
};

/* What a scanner probed; estimates above some thousands. */
struct cu_scan {
	uint64_t n_open, n_closed, n_filtered; /* endpoints: SYN-ACK and broken off; RST; nothing, or an ICMP error */
	uint64_t n_hosts, n_ports;
	struct cu_addr host; /* when it is one only */
	uint16_t port;       /* when it is one only; else 0 */
};

/* A verdict about an endpoint. */
struct cu_finding {
	struct cu_text kind; /* "scan", "resets", "aborts", "half_open", "refused", "unanswered", "rule" */
	struct cu_addr addr; /* whom it is about */
	uint16_t port;       /* 0: the host */
	uint8_t blame;
	uint8_t confidence;
	uint64_t count;
	uint64_t first_frame, last_frame;
	uint16_t first_file, last_file;
	int64_t start_ns, end_ns;
	struct cu_text rule, why, advice;
	struct cu_scan scan; /* of a scan */
};

/* What flowify read; one per stream. */
struct cu_totals {
	uint64_t n_packets, n_filtered, n_tcp, n_other, n_short, n_malformed, n_fragments, n_unknown_link;
	uint64_t n_icmp_errors, n_connections, n_damaged, n_skipped_bytes, n_drops, n_evicted, n_truncated;
	uint64_t n_parted;              /* connections whose directions differ in VLAN or tunnel: two here */
	uint64_t n_steps_back, n_jumps; /* in a capture's time: see cu_time_steps */
	uint64_t n_broken;              /* segments in fragments, of which the first was captured, but not all */
	uint64_t n_left_out;            /* frames in 802.11 aggregates, of which only the first is read */
	uint64_t n_untimed;             /* packets without a time of their own, or a damaged one */
	uint64_t n_strays;              /* ICMP errors about segments of connections that were not seen */
	uint64_t n_unread;              /* inputs that were not opened, or not read to their end; n_truncated beside */
	/* When the capture began and ended: its packets, or what it says of its end. Without packets, 0. */
	int64_t first_ns, last_ns;
};

/* Whether the times are some: a capture may begin at 0. */
static inline bool cu_totals_have_times(const struct cu_totals *totals)
{
	return totals->n_packets > totals->n_filtered;
}

/*
 * Encode appends the record's payload to buf; decode reads one of len bytes at
 * data. Unknown fields are skipped. 0, or CU_ERR_FORMAT for bytes that are no
 * such record (a number out of its range, a text that runs over). Texts of a
 * decoded record are borrowed from data.
 */
void cu_connection_encode(const struct cu_connection *from, struct cu_buf *buf);
int cu_connection_decode(const uint8_t *data, size_t len, struct cu_connection *to);
/* The same without the timeline within; data: its record with that. */
void cu_connection_encode_bare(const struct cu_connection *from, const uint8_t *data, size_t len, struct cu_buf *buf);
void cu_analysis_encode(const struct cu_analysis *from, struct cu_buf *buf);
int cu_analysis_decode(const uint8_t *data, size_t len, struct cu_analysis *to);
void cu_gap_encode(const struct cu_gap *from, struct cu_buf *buf);
int cu_gap_decode(const uint8_t *data, size_t len, struct cu_gap *to);
void cu_transaction_encode(const struct cu_transaction *from, struct cu_buf *buf);
int cu_transaction_decode(const uint8_t *data, size_t len, struct cu_transaction *to);
void cu_verdict_encode(const struct cu_verdict *from, struct cu_buf *buf);
int cu_verdict_decode(const uint8_t *data, size_t len, struct cu_verdict *to);
void cu_finding_encode(const struct cu_finding *from, struct cu_buf *buf);
int cu_finding_decode(const uint8_t *data, size_t len, struct cu_finding *to);
void cu_totals_encode(const struct cu_totals *from, struct cu_buf *buf);
int cu_totals_decode(const uint8_t *data, size_t len, struct cu_totals *to);

/*
 * As decode, for who needs no more of most: sets the members before side, and
 * those before request. What is damaged behind them is not seen.
 */
int cu_analysis_glance(const uint8_t *data, size_t len, struct cu_analysis *to);
int cu_transaction_glance(const uint8_t *data, size_t len, struct cu_transaction *to);

/* Adds the counts of another stream and widens the times. */
void cu_totals_add(struct cu_totals *sum, const struct cu_totals *totals);

/*
 * A part of a connection's timeline: encoded segments, of len bytes in
 * segments, and where they start. Encode makes a chunk record of it. Open
 * reads one, and leaves a cursor at the segments.
 */
struct cu_chunk {
	uint64_t stream;
	uint64_t n_segments;
	struct cu_timeline_start start;
	struct cu_cursor segments;
};
void cu_chunk_encode(const struct cu_chunk *chunk, struct cu_buf *buf);
int cu_chunk_open(const uint8_t *data, size_t len, struct cu_chunk *chunk);

/*
 * The whole timeline of a connection whose record has it within; false when
 * it is in chunk records. It starts where the connection does; starts_with
 * says whether a chunk does, and so can be put there. n_segments is as many as there can be.
 */
bool cu_chunk_within(const struct cu_connection *connection, struct cu_chunk *chunk);
bool cu_connection_starts_with(const struct cu_connection *connection, const struct cu_timeline_start *start);

#endif
