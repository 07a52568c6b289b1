/*
 * A connection's timeline: its segments in order of capture, as delta bytes.
 *
 * The encoder appends one segment at a time and is small enough to live in a
 * connection's hot state; a chunk can be cut after any segment. flowrec(5)
 * has the byte format.
 */
#ifndef CU_RECORD_TIMELINE_H
#define CU_RECORD_TIMELINE_H

#include "lib/base/bytes.h"
#include "lib/packet/hint.h"
#include "lib/packet/packet.h"

enum { CU_C2S = 0, CU_S2C = 1 };

struct cu_segment {
	int64_t time_ns;
	uint64_t frame; /* number in its file, from 1 */
	uint32_t seq, ack;
	uint32_t len; /* payload bytes on the wire */
	uint32_t tsval, tsecr;
	uint16_t window; /* as sent */
	uint16_t ip_id;
	uint8_t dir; /* CU_C2S or CU_S2C */
	bool has_timestamps;
	uint8_t icmp_type; /* of an ICMP error in place of a segment: see icmp */
	uint8_t icmp_code;
	uint32_t icmp_mtu;
	struct cu_addr icmp_reporter;
	uint32_t sack[CU_SACK_CAP][2];
	/* What is the same from segment to segment: the encoder compares it, up to the hint's kind, as one word. */
	uint16_t flags; /* CU_TCP_ */
	uint16_t file;  /* index into the stream header's files */
	uint8_t ttl;
	uint8_t n_sack;
	bool icmp;           /* an ICMP error about the segment at seq sent in dir */
	struct cu_hint hint; /* kind CU_HINT_NONE when there is none */
};

/* What both coder and decoder know of a direction after a segment. */
struct cu_timeline_dir {
	uint32_t next_seq, ack, tsval, len;
	uint16_t window;
	uint16_t next_id; /* the IP identification that its next segment has, as a rule */
	uint8_t ttl;
	uint64_t usual; /* of the coder alone: a segment's word as above, when it is as most are */
};

/* Where a timeline starts: its first segment, and the first of each direction; zeros of one that has none. */
struct cu_timeline_start {
	int64_t time_ns;
	uint64_t frame;
	uint32_t seq[2];
	uint16_t file;
	uint8_t ttl[2];
};

/* A coder begins with a zeroed one, which has the start in the end; a reader with one that has but the start. */
struct cu_timeline_state {
	int64_t time_ns;
	uint64_t frame;
	uint16_t file;
	uint8_t known; /* 1 << direction, for those that have sent */
	struct cu_timeline_dir dir[2];
	struct cu_timeline_start start;
};

/* No segment takes more bytes than this; and this, when it has no hint, no SACK block, and is no ICMP error. */
enum { CU_SEGMENT_ENCODED_CAP = 256, CU_SEGMENT_USUAL_CAP = 64 };

static inline size_t cu_segment_encoded_cap(const struct cu_segment *segment)
{
	bool usual = segment->hint.kind == CU_HINT_NONE && segment->n_sack == 0 && !segment->icmp;
	return usual ? CU_SEGMENT_USUAL_CAP : CU_SEGMENT_ENCODED_CAP;
}

/*
 * Encodes a segment at start, which has room for cu_segment_encoded_cap bytes,
 * and returns how many it took.
 */
size_t cu_timeline_encode(struct cu_timeline_state *restrict state, const struct cu_segment *restrict segment,
                          uint8_t *restrict start);

/* Times in the format of a segment's: at most CU_VARINT_CAP bytes. */
size_t cu_timeline_put_time(uint8_t *p, int64_t ns);
int64_t cu_timeline_get_time(struct cu_cursor *cur);

/* No read of a segment goes further, however damaged it is. */
enum { CU_TIMELINE_READ_CAP = 256 };

/* Goes through the segments of a chunk. */
struct cu_timeline_reader {
	struct cu_timeline_state state;
	const uint8_t *pos, *end; /* borrowed, until the last of them are in tail */
	bool failed, is_tail;
	uint8_t tail[2 * CU_TIMELINE_READ_CAP]; /* the last bytes, and zeros behind them */
};

/* The segments are borrowed. */
void cu_timeline_open(struct cu_timeline_reader *reader, const struct cu_timeline_start *start,
                      const struct cu_cursor *segments);

/*
 * 1 and the next segment, 0 at the end of the chunk, CU_ERR_FORMAT. Of SACK
 * blocks, ICMP and a hint's text only what the segment has is written.
 */
int cu_timeline_next(struct cu_timeline_reader *restrict reader, struct cu_segment *restrict segment);

#endif
