#include "lib/record/record.h"

#include "lib/base/error.h"
#include "lib/base/units.h"

#include <string.h>

/*
 * The fields of each kind of record, as lists: encoding and decoding are both
 * made of them, straight-line code without a table to walk. A row is
 * OP(type, field number, member, ...); numbers are fixed for ever, at most 63,
 * and flowrec(5) lists them, in the order of the rows. A new field goes to the
 * end of its list.
 *
 *	U8         uint8_t, with its largest value
 *	U16 U32 U64
 *	STREAM     uint64_t, up to CU_STREAM_MAX
 *	NS         int64_t nanoseconds between times, zigzag
 *	TIME       int64_t, since 1970, or a little before: eight bytes
 *	SEEN       the same, of a packet, and so not before
 *	FIXED16 FIXED32
 *	           without pattern as a rule: two and four bytes
 *	SINCE      64 bits, zigzag above an earlier field
 *	NS_SINCE SEEN_SINCE
 *	           the same, and in the range of NS or SEEN
 *	FLAGS_     bools, a bit each from the lowest
 *	ADDR
 *	TEXT       or other bytes
 *	NUMBERS    uint32_t array, with its count and cap
 *	PART       a struct with a list of its own
 *	PARTS      array of such, of this many; elements that are all zero are left out
 *	_AT        the same, whose FRAMEs are near this field
 *	LIST_AT    array of such, with its count and cap
 *	FRAME      in a part: zigzag above what the part is at, or 0
 */

#define SIDE_FIELDS(OP)                                                                         \
	OP(U64, 1, n_segments)                                                                  \
	OP(U64, 2, n_bytes)                                                                     \
	OP(FIXED32, 3, isn)                                                                     \
	OP(FLAGS5, 4, has_syn, syn.has_wscale, syn.sack_permitted, syn.has_timestamps, syn.cut) \
	OP(U16, 5, syn.mss)                                                                     \
	OP(U8, 6, syn.wscale, 255)                                                              \
	OP(U8, 7, ttl, 255)

#define CONNECTION_FIELDS(OP)                   \
	OP(STREAM, 1, stream)                   \
	OP(ADDR, 2, client)                     \
	OP(ADDR, 3, server)                     \
	OP(FIXED16, 4, client_port)             \
	OP(U16, 5, server_port)                 \
	OP(NUMBERS, 6, ids, n_ids, CU_VLAN_CAP) \
	OP(U8, 7, role, CU_ROLE_HINT)           \
	OP(U8, 8, end, CU_END_REUSED)           \
	OP(FLAGS2, 9, continued, followed)      \
	OP(SEEN, 10, start_ns)                  \
	OP(SEEN_SINCE, 11, end_ns, start_ns)    \
	OP(U64, 12, first_frame)                \
	OP(SINCE, 13, last_frame, first_frame)  \
	OP(U16, 14, first_file)                 \
	OP(U16, 15, last_file)                  \
	OP(U64, 16, n_fragments)                \
	OP(PARTS, 17, side, 2, connection_side) \
	OP(TEXT, 18, timeline)

#define LOSS_RUNS_FIELDS(OP)   \
	OP(U64, 1, n_segments) \
	OP(U64, 2, n_lost)     \
	OP(U64, 3, n_runs)     \
	OP(U64, 4, longest)    \
	OP(U64, 5, enter_ppm)  \
	OP(U64, 6, leave_ppm)  \
	OP(U8, 7, pattern, CU_PATTERN_SCATTERED)

#define WINDOW_USE_FIELDS(OP)        \
	OP(U64, 1, min_bytes)        \
	OP(U64, 2, mean_bytes)       \
	OP(U64, 3, max_bytes)        \
	OP(U64, 4, flight_max_bytes) \
	OP(U64, 5, n_sent)           \
	OP(U64, 6, n_edge)           \
	OP(U8, 7, small, 1)

#define RTT_SLICE_FIELDS(OP) \
	OP(U64, 1, n)        \
	OP(NS, 2, min_ns)    \
	OP(NS, 3, mean_ns)   \
	OP(NS, 4, max_ns)

#define ANALYSIS_SIDE_FIELDS(OP)                           \
	OP(U64, 1, n_data_segments)                        \
	OP(U64, 2, n_unique_bytes)                         \
	OP(U64, 3, n_retransmitted)                        \
	OP(U64, 4, n_retransmitted_bytes)                  \
	OP(U64, 5, n_fast)                                 \
	OP(U64, 6, n_timeout)                              \
	OP(U64, 7, n_spurious)                             \
	OP(U64, 8, n_out_of_order)                         \
	OP(U64, 9, n_dup_acks)                             \
	OP(U64, 10, n_zero_windows)                        \
	OP(U64, 11, n_window_full)                         \
	OP(U64, 12, n_keep_alives)                         \
	OP(U64, 13, n_gaps)                                \
	OP(U64, 14, n_gap_bytes)                           \
	OP(U64, 15, n_unseen_bytes)                        \
	OP(U64, 16, n_duplicates)                          \
	OP(U64, 17, n_rtt_samples)                         \
	OP(NS, 18, rtt_min_ns)                             \
	OP(NS_SINCE, 19, rtt_median_ns, rtt_min_ns)        \
	OP(NS_SINCE, 20, rtt_max_ns, rtt_median_ns)        \
	OP(NS, 21, rtt_mean_ns)                            \
	OP(NS, 22, rtt_p90_ns)                             \
	OP(NS, 23, rtt_p99_ns)                             \
	OP(U64, 24, n_rtt_by_timestamp)                    \
	OP(NS, 25, rtt_slice_ns)                           \
	OP(PARTS, 26, rtt_slice, CU_RTT_SLICES, rtt_slice) \
	OP(PART, 27, window, window_use)                   \
	OP(PART, 28, loss, loss_runs)                      \
	OP(U64, 29, n_syns)                                \
	OP(U64, 30, n_large)                               \
	OP(U64, 31, largest_bytes)                         \
	OP(U64, 32, n_probes)

#define ANALYSIS_FIELDS(OP)                          \
	OP(STREAM, 1, stream)                        \
	OP(U8, 2, completeness, 63)                  \
	OP(U8, 3, vantage, CU_VANTAGE_SERVER)        \
	OP(U8, 4, close, CU_CLOSE_HALF_OPEN)         \
	OP(U8, 5, closed_by, CU_N_PARTIES - 1)       \
	OP(U64, 6, close_frame)                      \
	OP(NS, 7, rtt_ns)                            \
	OP(NS, 8, client_rtt_ns)                     \
	OP(NS, 9, server_rtt_ns)                     \
	OP(NS_SINCE, 10, handshake_rtt_ns, rtt_ns)   \
	OP(U32, 11, mss)                             \
	OP(U8, 12, loss_side, CU_LOSS_CAPTURE)       \
	OP(FLAGS2, 13, window_scaled, rtt_uncertain) \
	OP(PARTS, 14, side, 2, analysis_side)        \
	OP(U8, 15, reset, CU_RESET_UNANSWERED)       \
	OP(U8, 16, reset_by, CU_N_PARTIES - 1)       \
	OP(U8, 17, reset_hops, 255)                  \
	OP(U8, 18, usual_hops, 255)                  \
	OP(U64, 19, reset_frame)                     \
	OP(NS, 20, reset_quiet_ns)                   \
	OP(U16, 21, close_file)                      \
	OP(U16, 22, reset_file)

#define GAP_FIELDS(OP)                         \
	OP(STREAM, 1, stream)                  \
	OP(U8, 2, dir, 1)                      \
	OP(U8, 3, side, CU_LOSS_EARLIER)       \
	OP(U64, 4, rel_seq)                    \
	OP(U64, 5, n_bytes)                    \
	OP(U64, 6, n_segments)                 \
	OP(TIME, 7, start_ns)                  \
	OP(NS, 8, filled_ns)                   \
	OP(U64, 9, frame)                      \
	OP(SINCE, 10, fill_frame, frame)       \
	OP(U64, 11, n_dup_acks)                \
	OP(SINCE, 12, first_dup_frame, frame)  \
	OP(SINCE, 13, last_dup_frame, frame)   \
	OP(SINCE, 14, sack_frame, frame)       \
	OP(SINCE, 15, sack_left, rel_seq)      \
	OP(SINCE, 16, sack_right, rel_seq)     \
	OP(U64, 17, n_fills)                   \
	OP(SINCE, 18, first_fill_frame, frame) \
	OP(NS, 19, first_fill_ns)              \
	OP(U16, 20, file)                      \
	OP(U16, 21, fill_file)                 \
	OP(U16, 22, first_dup_file)            \
	OP(U16, 23, last_dup_file)             \
	OP(U16, 24, sack_file)                 \
	OP(U16, 25, first_fill_file)

#define MESSAGE_FIELDS(OP)                    \
	OP(U64, 1, n_bytes)                   \
	OP(FRAME, 2, first_frame)             \
	OP(SINCE, 3, last_frame, first_frame) \
	OP(U64, 4, n_retransmitted)           \
	OP(U16, 5, first_file)                \
	OP(U16, 6, last_file)

#define LEDGER_ENTRY_FIELDS(OP)               \
	OP(NS, 1, ns)                         \
	OP(FRAME, 2, first_frame)             \
	OP(SINCE, 3, last_frame, first_frame) \
	OP(U16, 4, first_file)                \
	OP(U16, 5, last_file)

#define EVENT_FIELDS(OP)                 \
	OP(U8, 1, kind, CU_N_EVENTS - 1) \
	OP(U8, 2, dir, 1)                \
	OP(U16, 3, count)                \
	OP(FRAME, 4, frame)              \
	OP(NS, 5, time_ns)               \
	OP(U16, 6, file)

#define TRANSACTION_FIELDS(OP)                                                    \
	OP(STREAM, 1, stream)                                                     \
	OP(U64, 2, number)                                                        \
	OP(U8, 3, kind, CU_TXN_CLOSE)                                             \
	OP(U8, 4, outcome, CU_OUTCOME_OPEN)                                       \
	OP(U16, 5, file)                                                          \
	OP(TIME, 6, start_ns)                                                     \
	OP(NS, 7, total_ns)                                                       \
	OP(PART, 8, request, message)                                             \
	OP(PART_AT, 9, response, message, request.first_frame)                    \
	OP(SINCE, 10, acked_frame, request.first_frame)                           \
	OP(NS, 11, ack_delay_ns)                                                  \
	OP(NS_SINCE, 12, first_byte_ns, total_ns)                                 \
	OP(NS, 13, client_distance_ns)                                            \
	OP(NS, 14, server_distance_ns)                                            \
	OP(U8, 15, loss_side, CU_LOSS_CAPTURE)                                    \
	OP(U8, 16, certainty, 100)                                                \
	OP(PARTS_AT, 17, ledger, CU_N_CAUSES, ledger_entry, request.first_frame)  \
	OP(TEXT, 18, name)                                                        \
	OP(U64, 19, n_events)                                                     \
	OP(LIST_AT, 20, events, n_kept, CU_EVENT_CAP, event, request.first_frame) \
	OP(U16, 21, doubts)                                                       \
	OP(U16, 22, acked_file)                                                   \
	OP(TEXT, 23, stretches)

#define VERDICT_FIELDS(OP)                        \
	OP(STREAM, 1, stream)                     \
	OP(U64, 2, number)                        \
	OP(FLAGS1, 3, slow)                       \
	OP(NS, 4, slow_over_ns)                   \
	OP(U8, 5, blame, CU_N_PARTIES - 1)        \
	OP(U8, 6, cause, CU_N_CAUSES - 1)         \
	OP(U8, 7, confidence, CU_CONFIDENCE_HIGH) \
	OP(TEXT, 8, rule)                         \
	OP(TEXT, 9, service)                      \
	OP(TEXT, 10, why)                         \
	OP(TEXT, 11, advice)

#define SCAN_FIELDS(OP)        \
	OP(U64, 1, n_open)     \
	OP(U64, 2, n_closed)   \
	OP(U64, 3, n_filtered) \
	OP(U64, 4, n_hosts)    \
	OP(U64, 5, n_ports)    \
	OP(ADDR, 6, host)      \
	OP(U16, 7, port)

#define FINDING_FIELDS(OP)                        \
	OP(TEXT, 1, kind)                         \
	OP(ADDR, 2, addr)                         \
	OP(U16, 3, port)                          \
	OP(U8, 4, blame, CU_N_PARTIES - 1)        \
	OP(U8, 5, confidence, CU_CONFIDENCE_HIGH) \
	OP(U64, 6, count)                         \
	OP(U64, 7, first_frame)                   \
	OP(U64, 8, last_frame)                    \
	OP(TIME, 9, start_ns)                     \
	OP(NS_SINCE, 10, end_ns, start_ns)        \
	OP(TEXT, 11, rule)                        \
	OP(TEXT, 12, why)                         \
	OP(TEXT, 13, advice)                      \
	OP(PART, 14, scan, scan)                  \
	OP(U16, 15, first_file)                   \
	OP(U16, 16, last_file)

#define TOTALS_FIELDS(OP)                     \
	OP(U64, 1, n_packets)                 \
	OP(U64, 2, n_filtered)                \
	OP(U64, 3, n_tcp)                     \
	OP(U64, 4, n_other)                   \
	OP(U64, 5, n_short)                   \
	OP(U64, 6, n_malformed)               \
	OP(U64, 7, n_fragments)               \
	OP(U64, 8, n_unknown_link)            \
	OP(U64, 9, n_icmp_errors)             \
	OP(U64, 10, n_connections)            \
	OP(U64, 11, n_damaged)                \
	OP(U64, 12, n_skipped_bytes)          \
	OP(U64, 13, n_drops)                  \
	OP(U64, 14, n_evicted)                \
	OP(U64, 15, n_truncated)              \
	OP(SEEN, 16, first_ns)                \
	OP(SEEN_SINCE, 17, last_ns, first_ns) \
	OP(U64, 18, n_steps_back)             \
	OP(U64, 19, n_jumps)                  \
	OP(U64, 20, n_parted)                 \
	OP(U64, 21, n_broken)                 \
	OP(U64, 22, n_left_out)               \
	OP(U64, 23, n_untimed)                \
	OP(U64, 24, n_strays)                 \
	OP(U64, 25, n_unread)

/* ---- Encoding ---- */

/* Room for the largest record but its texts: 15 causes, 16 events, 2 messages, 23 fields. */
enum { FIXED_CAP = 4096 };

struct out {
	uint8_t *p;
	uint64_t mask;
};

static inline uint64_t bit(unsigned number)
{
	return UINT64_C(1) << (number - 1);
}

static inline void put_number(struct out *out, unsigned number, uint64_t v)
{
	if (v != 0) {
		out->mask |= bit(number);
		out->p += cu_put_varint(out->p, v);
	}
}

static inline void put_since(struct out *out, unsigned number, uint64_t v, uint64_t base)
{
	if (v != 0) {
		out->mask |= bit(number);
		out->p += cu_put_varint(out->p, cu_zigzag((int64_t)(v - base)));
	}
}

static inline void put_fixed(struct out *out, unsigned number, uint64_t v, size_t n_bytes)
{
	if (v != 0) {
		out->mask |= bit(number);
		for (size_t i = 0; i < n_bytes; i++) {
			*out->p++ = (uint8_t)(v >> 8 * i);
		}
	}
}

static inline void put_addr(struct out *out, unsigned number, const struct cu_addr *addr)
{
	size_t len = addr->family == 4 ? 4 : addr->family == 6 ? 16 : 0;
	if (len != 0) {
		out->mask |= bit(number);
		*out->p++ = (uint8_t)len;
		memcpy(out->p, addr->bytes, len);
		out->p += len;
	}
}

static inline void put_text(struct out *out, unsigned number, const struct cu_text *text)
{
	if (text->len != 0) {
		out->mask |= bit(number);
		out->p += cu_put_varint(out->p, text->len);
		memcpy(out->p, text->data, text->len);
		out->p += text->len;
	}
}

static inline void put_numbers(struct out *out, unsigned number, const uint32_t *numbers, unsigned n)
{
	if (n != 0) {
		out->mask |= bit(number);
		*out->p++ = (uint8_t)n;
		for (unsigned i = 0; i < n; i++) {
			out->p += cu_put_varint(out->p, numbers[i]);
		}
	}
}

/* The mask in front of fields: a varint of as many bytes as the last field needs, so that its room is known before. */
static inline void put_mask(uint8_t *at, uint64_t mask, unsigned n_bytes)
{
	for (unsigned i = 0; i + 1 < n_bytes; i++) {
		at[i] = (uint8_t)(mask >> 7 * i | 0x80);
	}
	at[n_bytes - 1] = (uint8_t)(mask >> 7 * (n_bytes - 1) & 0x7f);
}

#define PUT(type, ...) PUT_##type(__VA_ARGS__)
#define PUT_U8(nr, member, max) put_number(out, nr, from->member);
#define PUT_U16(nr, member) put_number(out, nr, from->member);
#define PUT_U32(nr, member) put_number(out, nr, from->member);
#define PUT_U64(nr, member) put_number(out, nr, from->member);
#define PUT_STREAM(nr, member) PUT_U64(nr, member)
#define PUT_NS(nr, member) put_number(out, nr, cu_zigzag(from->member));
#define PUT_FIXED16(nr, member) put_fixed(out, nr, from->member, 2);
#define PUT_FIXED32(nr, member) put_fixed(out, nr, from->member, 4);
#define PUT_TIME(nr, member) put_fixed(out, nr, (uint64_t)from->member, 8);
#define PUT_SEEN(nr, member) PUT_TIME(nr, member)
#define PUT_SINCE(nr, member, base) put_since(out, nr, (uint64_t)from->member, (uint64_t)from->base);
#define PUT_NS_SINCE(nr, member, base) PUT_SINCE(nr, member, base)
#define PUT_SEEN_SINCE(nr, member, base) PUT_SINCE(nr, member, base)
#define PUT_FLAGS1(nr, a) put_number(out, nr, from->a);
#define PUT_FLAGS2(nr, a, b) put_number(out, nr, (unsigned)from->a | (unsigned)from->b << 1);
#define PUT_FLAGS5(nr, a, b, c, d, e)                                                                             \
	put_number(out, nr,                                                                                       \
	           (unsigned)from->a | (unsigned)from->b << 1 | (unsigned)from->c << 2 | (unsigned)from->d << 3 | \
	                   (unsigned)from->e << 4);
#define PUT_ADDR(nr, member) put_addr(out, nr, &from->member);
#define PUT_TEXT(nr, member) put_text(out, nr, &from->member);
#define PUT_NUMBERS(nr, member, count, cap) \
	put_numbers(out, nr, from->member, from->count < (cap) ? from->count : (cap));
#define PUT_FRAME(nr, member) put_since(out, nr, from->member, base);
#define PUT_PART_(nr, member, part, at)                                                          \
	if (has_##part##_fields(&from->member) && put_##part##_fields(out, &from->member, at)) { \
		out->mask |= bit(nr);                                                            \
	}
#define PUT_PARTS_(nr, member, n, part, near)                                                                \
	{                                                                                                    \
		const unsigned n_bytes = ((n) + 6) / 7;                                                      \
		uint8_t *at = out->p;                                                                        \
		uint32_t elements = 0;                                                                       \
		out->p += n_bytes;                                                                           \
		for (unsigned i = 0; i < (n); i++) {                                                         \
			if (has_##part##_fields(&from->member[i])) {                                         \
				elements |= (uint32_t)put_##part##_fields(out, &from->member[i], near) << i; \
			}                                                                                    \
		}                                                                                            \
		put_mask(at, elements, n_bytes);                                                             \
		out->p = elements != 0 ? out->p : at;                                                        \
		out->mask |= elements != 0 ? bit(nr) : 0;                                                    \
	}
#define PUT_PART(nr, member, part) PUT_PART_(nr, member, part, 0)
#define PUT_PART_AT(nr, member, part, near) PUT_PART_(nr, member, part, from->near)
#define PUT_PARTS(nr, member, n, part) PUT_PARTS_(nr, member, n, part, 0)
#define PUT_PARTS_AT(nr, member, n, part, near) PUT_PARTS_(nr, member, n, part, from->near)
#define PUT_LIST_AT(nr, member, count, cap, part, near)                                \
	if (from->count != 0) {                                                        \
		unsigned n = from->count < (cap) ? from->count : (cap);                \
		out->mask |= bit(nr);                                                  \
		*out->p++ = (uint8_t)n;                                                \
		for (unsigned i = 0; i < n; i++) {                                     \
			if (!put_##part##_fields(out, &from->member[i], from->near)) { \
				*out->p++ = 0;                                         \
			}                                                              \
		}                                                                      \
	}

/* Whether any field of a part is to be written: most are all zero, and so seen at once. */
#define HAS(type, nr, ...) | HAS_##type(__VA_ARGS__)
#define HAS_NUMBER(member) (uint64_t)(from->member)
#define HAS_U8(member, max) HAS_NUMBER(member)
#define HAS_U16(member) HAS_NUMBER(member)
#define HAS_U32(member) HAS_NUMBER(member)
#define HAS_U64(member) HAS_NUMBER(member)
#define HAS_NS(member) HAS_NUMBER(member)
#define HAS_FIXED16(member) HAS_NUMBER(member)
#define HAS_FIXED32(member) HAS_NUMBER(member)
#define HAS_TIME(member) HAS_NUMBER(member)
#define HAS_SEEN(member) HAS_NUMBER(member)
#define HAS_SINCE(member, base) HAS_NUMBER(member)
#define HAS_NS_SINCE(member, base) HAS_NUMBER(member)
#define HAS_SEEN_SINCE(member, base) HAS_NUMBER(member)
#define HAS_FRAME(member) HAS_NUMBER(member)
#define HAS_ADDR(member) HAS_NUMBER(member.family)
#define HAS_FLAGS5(a, b, c, d, e) (HAS_NUMBER(a) | HAS_NUMBER(b) | HAS_NUMBER(c) | HAS_NUMBER(d) | HAS_NUMBER(e))
/* What has parts of its own is always looked into. */
#define HAS_PART(member, part) 1
#define HAS_PARTS(member, n, part) 1

/* ---- Decoding ---- */

static inline uint64_t get_number(struct cu_cursor *cur, uint64_t max)
{
	uint64_t v = cu_cursor_varint(cur);
	cur->failed |= v > max;
	return v;
}

static inline uint64_t get_fixed(struct cu_cursor *cur, size_t n_bytes)
{
	const uint8_t *p = cu_cursor_bytes(cur, n_bytes);
	return p == NULL ? 0 : n_bytes == 2 ? cu_get_le16(p) : n_bytes == 4 ? cu_get_le32(p) : cu_get_le64(p);
}

static inline int64_t get_seen(struct cu_cursor *cur, uint64_t ns)
{
	cur->failed |= ns > CU_TIME_MAX_NS;
	return (int64_t)ns;
}

static inline int64_t get_ns(struct cu_cursor *cur, uint64_t ns)
{
	cur->failed |= ns + CU_TIME_MAX_NS > 2 * (uint64_t)CU_TIME_MAX_NS;
	return (int64_t)ns;
}

static void get_addr(struct cu_cursor *cur, struct cu_addr *addr)
{
	uint8_t len = cu_cursor_u8(cur);
	const uint8_t *bytes = cu_cursor_bytes(cur, len);
	if (bytes == NULL || (len != 4 && len != 16)) {
		cur->failed = true;
		return;
	}
	addr->family = len == 4 ? 4 : 6;
	memcpy(addr->bytes, bytes, len);
}

static inline struct cu_text get_text(struct cu_cursor *cur)
{
	uint64_t len = cu_cursor_varint(cur);
	cur->failed |= len > cu_cursor_left(cur) || len > UINT32_MAX;
	if (cur->failed) { /* here or before: none, which may be encoded all the same */
		return (struct cu_text){0};
	}
	return (struct cu_text){.data = (const char *)cu_cursor_bytes(cur, (size_t)len), .len = (uint32_t)len};
}

static uint8_t get_numbers(struct cu_cursor *cur, uint32_t *numbers, unsigned cap)
{
	uint8_t n = cu_cursor_u8(cur);
	cur->failed |= n > cap;
	for (unsigned i = 0; i < n && !cur->failed; i++) {
		numbers[i] = (uint32_t)get_number(cur, UINT32_MAX);
	}
	return n;
}

/* What later versions know is behind what this one does; in a part it is numbers. */
static void skip_numbers(struct cu_cursor *cur, uint64_t mask)
{
	for (; mask != 0 && !cur->failed; mask &= mask - 1) {
		cu_cursor_varint(cur);
	}
}

/* Which fields are read: up to one's number, all of a part, or all of a record. */
enum { LAST_OF_PART = 64, LAST_OF_RECORD };

/* A row of a list, when its bit is set and it is asked for: last is a constant. */
#define GET(type, nr, ...)                           \
	if ((nr) <= last && (mask & bit(nr)) != 0) { \
		GET_##type(__VA_ARGS__)              \
	}
#define GET_U8(member, max) to->member = (uint8_t)get_number(&cur, max);
#define GET_U16(member) to->member = (uint16_t)get_number(&cur, UINT16_MAX);
#define GET_U32(member) to->member = (uint32_t)get_number(&cur, UINT32_MAX);
#define GET_U64(member) to->member = cu_cursor_varint(&cur);
#define GET_STREAM(member) to->member = get_number(&cur, CU_STREAM_MAX);
#define GET_NS(member) to->member = get_ns(&cur, (uint64_t)cu_cursor_zigzag(&cur));
#define GET_FIXED16(member) to->member = (uint16_t)get_fixed(&cur, 2);
#define GET_FIXED32(member) to->member = (uint32_t)get_fixed(&cur, 4);
#define GET_TIME(member) to->member = get_ns(&cur, get_fixed(&cur, 8));
#define GET_SEEN(member) to->member = get_seen(&cur, get_fixed(&cur, 8));
/* The member is signed or not: from uint64_t either is the same bits. */
#define GET_SINCE(member, base) to->member = 0 + (uint64_t)to->base + (uint64_t)cu_cursor_zigzag(&cur);
#define GET_NS_SINCE(member, base) to->member = get_ns(&cur, (uint64_t)to->base + (uint64_t)cu_cursor_zigzag(&cur));
#define GET_SEEN_SINCE(member, base) to->member = get_seen(&cur, (uint64_t)to->base + (uint64_t)cu_cursor_zigzag(&cur));
#define GET_FLAGS1(a) to->a = (cu_cursor_varint(&cur) & 1) != 0;
#define GET_FLAGS2(a, b)                         \
	uint64_t flags = cu_cursor_varint(&cur); \
	to->a = (flags & 1) != 0;                \
	to->b = (flags & 2) != 0;
#define GET_FLAGS5(a, b, c, d, e)                \
	uint64_t flags = cu_cursor_varint(&cur); \
	to->a = (flags & 1) != 0;                \
	to->b = (flags & 2) != 0;                \
	to->c = (flags & 4) != 0;                \
	to->d = (flags & 8) != 0;                \
	to->e = (flags & 16) != 0;
#define GET_ADDR(member) get_addr(&cur, &to->member);
#define GET_TEXT(member) to->member = get_text(&cur);
#define GET_NUMBERS(member, count, cap) to->count = get_numbers(&cur, to->member, cap);
#define GET_FRAME(member) to->member = base + (uint64_t)cu_cursor_zigzag(&cur);
#define GET_PARTS_(member, n, part, near)                                              \
	uint64_t elements = get_number(&cur, (UINT64_C(1) << (n)) - 1);                \
	for (unsigned i = 0; i < (n) && !cur.failed; i++) {                            \
		if ((elements >> i & 1) != 0) {                                        \
			get_##part##_fields(&cur, &to->member[i], near, LAST_OF_PART); \
		}                                                                      \
	}
#define GET_PART(member, part) get_##part##_fields(&cur, &to->member, 0, LAST_OF_PART);
#define GET_PART_AT(member, part, near) get_##part##_fields(&cur, &to->member, to->near, LAST_OF_PART);
#define GET_PARTS(member, n, part) GET_PARTS_(member, n, part, 0)
#define GET_PARTS_AT(member, n, part, near) GET_PARTS_(member, n, part, to->near)
#define GET_LIST_AT(member, count, cap, part, near)                                \
	to->count = (uint8_t)get_number(&cur, cap);                                \
	for (unsigned i = 0; i < to->count && !cur.failed; i++) {                  \
		get_##part##_fields(&cur, &to->member[i], to->near, LAST_OF_PART); \
	}

/* ---- The kinds ---- */

#define ONE(type, ...) +1

/*
 * put writes the fields of a struct behind their mask, or nothing and false
 * when all are zero. get reads them, up to the last one asked for, into a
 * zeroed struct. The cursor is copied, so that it stands in registers: each
 * member by itself, since one that was just stored alone can't be loaded at once
 * with another.
 */
#define FIELDS(record, LIST_OF)                                                                                    \
	static inline bool put_##record##_fields(struct out *whole, const struct cu_##record *from, uint64_t base) \
	{                                                                                                          \
		(void)base;                                                                                        \
		enum { MASK_BYTES = ((LIST_OF(ONE)) + 6) / 7 };                                                    \
		struct out fields = {.p = whole->p + MASK_BYTES, .mask = 0}, *out = &fields;                       \
		LIST_OF(PUT)                                                                                       \
		if (fields.mask == 0) {                                                                            \
			return false;                                                                              \
		}                                                                                                  \
		put_mask(whole->p, fields.mask, MASK_BYTES);                                                       \
		whole->p = fields.p;                                                                               \
		return true;                                                                                       \
	}                                                                                                          \
	static inline void get_##record##_fields(struct cu_cursor *whole, struct cu_##record *to, uint64_t base,   \
	                                         unsigned last)                                                    \
	{                                                                                                          \
		(void)base;                                                                                        \
		struct cu_cursor cur = {.pos = whole->pos, .end = whole->end, .failed = whole->failed};            \
		uint64_t mask = cu_cursor_varint(&cur);                                                            \
		LIST_OF(GET)                                                                                       \
		uint64_t later = mask >> (LIST_OF(ONE));                                                           \
		if (last == LAST_OF_PART) {                                                                        \
			skip_numbers(&cur, later);                                                                 \
		} else if (last == LAST_OF_RECORD && later == 0) {                                                 \
			cur.failed |= cu_cursor_left(&cur) > 0;                                                    \
		}                                                                                                  \
		whole->pos = cur.pos;                                                                              \
		whole->failed = cur.failed;                                                                        \
	}

/* text_len: of the texts of the record at from, which may be longer than FIXED_CAP. */
#define RECORD(record, LIST_OF, text_len)                                                 \
	FIELDS(record, LIST_OF)                                                           \
	void cu_##record##_encode(const struct cu_##record *from, struct cu_buf *buf)     \
	{                                                                                 \
		if (!cu_buf_reserve(buf, FIXED_CAP + (size_t)0 + text_len)) {             \
			return;                                                           \
		}                                                                         \
		struct out out = {.p = buf->data + buf->len};                             \
		if (!put_##record##_fields(&out, from, 0)) {                              \
			*out.p++ = 0;                                                     \
		}                                                                         \
		buf->len = (size_t)(out.p - buf->data);                                   \
	}                                                                                 \
	int cu_##record##_decode(const uint8_t *data, size_t len, struct cu_##record *to) \
	{                                                                                 \
		struct cu_cursor cur = cu_cursor_make(data, len);                         \
		memset(to, 0, sizeof(*to));                                               \
		get_##record##_fields(&cur, to, 0, LAST_OF_RECORD);                       \
		return cur.failed ? CU_ERR_FORMAT : 0;                                    \
	}

/* What is a part of a record, or of a part. */
#define PART_OF(part, LIST_OF)                                                                       \
	static inline __attribute__((unused)) bool has_##part##_fields(const struct cu_##part *from) \
	{                                                                                            \
		return (0 LIST_OF(HAS)) != 0;                                                        \
	}                                                                                            \
	FIELDS(part, LIST_OF)

PART_OF(connection_side, SIDE_FIELDS)
PART_OF(rtt_slice, RTT_SLICE_FIELDS)
PART_OF(window_use, WINDOW_USE_FIELDS)
PART_OF(loss_runs, LOSS_RUNS_FIELDS)
PART_OF(analysis_side, ANALYSIS_SIDE_FIELDS)
PART_OF(message, MESSAGE_FIELDS)
PART_OF(ledger_entry, LEDGER_ENTRY_FIELDS)
PART_OF(event, EVENT_FIELDS)
PART_OF(scan, SCAN_FIELDS)

RECORD(connection, CONNECTION_FIELDS, from->timeline.len)
RECORD(analysis, ANALYSIS_FIELDS, 0)
RECORD(gap, GAP_FIELDS, 0)
RECORD(transaction, TRANSACTION_FIELDS, from->name.len + from->stretches.len)
RECORD(verdict, VERDICT_FIELDS, from->rule.len + from->service.len + from->why.len + from->advice.len)
RECORD(finding, FINDING_FIELDS, from->kind.len + from->rule.len + from->why.len + from->advice.len)
RECORD(totals, TOTALS_FIELDS, 0)

/* As cu_connection_encode writes records, the timeline is the last field of 18, and their mask is of three bytes. */
void cu_connection_encode_bare(const struct cu_connection *from, const uint8_t *data, size_t len, struct cu_buf *buf)
{
	enum { TIMELINE = 18, N_FIELDS = CONNECTION_FIELDS(ONE), MASK_BYTES = 3 };
	_Static_assert(TIMELINE == N_FIELDS && MASK_BYTES == (N_FIELDS + 6) / 7, "the timeline is the last field");
	const uint8_t with_it = 1 << (TIMELINE - 1) % 7;
	uint8_t text_len[CU_VARINT_CAP];
	size_t text = cu_put_varint(text_len, from->timeline.len), at = len - from->timeline.len - text;
	bool is_last = from->timeline.len > 0 && len > MASK_BYTES + from->timeline.len + text && data[0] >= 0x80 &&
	               data[1] >= 0x80 && data[2] < with_it << 1 && memcmp(data + at, text_len, text) == 0;
	if (is_last && cu_buf_reserve(buf, at)) {
		uint8_t *to = buf->data + buf->len;
		memcpy(to, data, at);
		to[2] &= (uint8_t)~with_it;
		buf->len += at;
	} else if (!is_last) {
		struct cu_connection bare = *from;
		bare.timeline = (struct cu_text){0};
		cu_connection_encode(&bare, buf);
	}
}

int cu_analysis_glance(const uint8_t *data, size_t len, struct cu_analysis *to)
{
	enum { LAST = 13 };
	struct cu_cursor cur = cu_cursor_make(data, len);
	memset(to, 0, offsetof(struct cu_analysis, side));
	get_analysis_fields(&cur, to, 0, LAST);
	return cur.failed ? CU_ERR_FORMAT : 0;
}

int cu_transaction_glance(const uint8_t *data, size_t len, struct cu_transaction *to)
{
	enum { LAST = 7 };
	struct cu_cursor cur = cu_cursor_make(data, len);
	memset(to, 0, offsetof(struct cu_transaction, request));
	get_transaction_fields(&cur, to, 0, LAST);
	return cur.failed ? CU_ERR_FORMAT : 0;
}

size_t cu_stretch_encode(const struct cu_stretch *stretch, uint8_t p[static CU_STRETCH_ENCODED_CAP])
{
	size_t len = 1;
	p[0] = stretch->cause;
	len += cu_put_varint(p + len, (uint64_t)stretch->ns);
	len += cu_put_varint(p + len, (uint64_t)stretch->other_ns);
	return len;
}

bool cu_stretch_next(struct cu_cursor *stretches, struct cu_stretch *stretch)
{
	if (cu_cursor_left(stretches) == 0) {
		return false;
	}
	stretch->cause = (uint8_t)get_number(stretches, CU_N_CAUSES - 1);
	stretch->ns = (int64_t)get_number(stretches, CU_TIME_MAX_NS);
	stretch->other_ns = (int64_t)get_number(stretches, (uint64_t)stretch->ns);
	return !stretches->failed;
}

void cu_chunk_encode(const struct cu_chunk *chunk, struct cu_buf *buf)
{
	const struct cu_timeline_start *start = &chunk->start;
	size_t len = cu_cursor_left(&chunk->segments);
	if (!cu_buf_reserve(buf, FIXED_CAP + len)) {
		return;
	}
	uint8_t *p = buf->data + buf->len;
	p += cu_put_varint(p, chunk->stream);
	p += cu_put_varint(p, chunk->n_segments);
	p += cu_timeline_put_time(p, start->time_ns);
	p += cu_put_varint(p, start->frame);
	p += cu_put_varint(p, start->file);
	for (int dir = 0; dir < 2; dir++) {
		cu_put_le32(p, start->seq[dir]);
		p[4] = start->ttl[dir];
		p += 5;
	}
	if (len > 0) { /* a chunk without segments may have no memory for them */
		memcpy(p, chunk->segments.pos, len);
	}
	buf->len = (size_t)(p + len - buf->data);
}

/* A segment takes three bytes or more. */
static uint64_t most_segments(const struct cu_chunk *chunk)
{
	return cu_cursor_left(&chunk->segments) / 3;
}

int cu_chunk_open(const uint8_t *data, size_t len, struct cu_chunk *chunk)
{
	struct cu_cursor cur = cu_cursor_make(data, len);
	chunk->stream = get_number(&cur, CU_STREAM_MAX);
	chunk->n_segments = cu_cursor_varint(&cur);
	chunk->start.time_ns = get_seen(&cur, (uint64_t)cu_timeline_get_time(&cur));
	chunk->start.frame = cu_cursor_varint(&cur);
	chunk->start.file = (uint16_t)get_number(&cur, UINT16_MAX);
	for (int dir = 0; dir < 2; dir++) {
		chunk->start.seq[dir] = (uint32_t)get_fixed(&cur, 4);
		chunk->start.ttl[dir] = cu_cursor_u8(&cur);
	}
	chunk->segments = cur;
	return cur.failed || chunk->n_segments > most_segments(chunk) ? CU_ERR_FORMAT : 0;
}

bool cu_chunk_within(const struct cu_connection *connection, struct cu_chunk *chunk)
{
	const struct cu_connection_side *side = connection->side;
	*chunk = (struct cu_chunk){
		.stream = connection->stream,
		.start = {.time_ns = connection->start_ns,
	                  .frame = connection->first_frame,
	                  .file = connection->first_file,
	                  .seq = {side[CU_C2S].isn, side[CU_S2C].isn},
	                  .ttl = {side[CU_C2S].ttl, side[CU_S2C].ttl}},
		.segments = cu_cursor_make(connection->timeline.data, connection->timeline.len),
	};
	chunk->n_segments = most_segments(chunk);
	return connection->timeline.len > 0;
}

bool cu_connection_starts_with(const struct cu_connection *connection, const struct cu_timeline_start *start)
{
	const struct cu_connection_side *side = connection->side;
	return start->time_ns == connection->start_ns && start->frame == connection->first_frame &&
	       start->file == connection->first_file && start->seq[CU_C2S] == side[CU_C2S].isn &&
	       start->seq[CU_S2C] == side[CU_S2C].isn && start->ttl[CU_C2S] == side[CU_C2S].ttl &&
	       start->ttl[CU_S2C] == side[CU_S2C].ttl;
}
