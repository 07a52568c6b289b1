#include "lib/record/record.h"

#include "lib/base/error.h"

#include <string.h>

/*
 * One table a kind of record: encoding and decoding both walk it. Tags are
 * fixed for ever; flowrec(5) lists them. A field whose value is zero is not
 * written. Rows of type FLAG that share a tag share a number, a bit each.
 */
enum field_type {
	U8,      /* uint8_t, at most max */
	U16,     /* uint16_t */
	U32,     /* uint32_t */
	U64,     /* uint64_t */
	I64,     /* int64_t, zigzag */
	SINCE,   /* int64_t or uint64_t; unless zero, zigzag of what it is above an earlier field, at base */
	FLAG,    /* bool: bit max of the number */
	ADDR,    /* struct cu_addr: its 4 or 16 bytes */
	TEXT,    /* struct cu_text */
	NUMBERS, /* uint32_t array: all of it, packed */
	PARTS,   /* array of structs with a table of their own; each that is not all zero, with its index before it */
};

struct field {
	uint8_t tag;
	uint8_t type;
	uint16_t offset;
	uint32_t max;    /* of a U8: largest value; of a FLAG: bit; of an array: elements */
	uint16_t base;   /* of SINCE: offset of the other; of an array counted by a uint8_t: its offset, else 0 */
	uint16_t stride; /* of PARTS: bytes of an element */
	const struct field *part;
};

#define END       \
	{         \
		0 \
	}
#define F(type_, tag_, record, member)                                                \
	{                                                                             \
		.tag = tag_, .type = type_, .offset = offsetof(struct record, member) \
	}
#define F_MAX(tag_, record, member, max_)                                                       \
	{                                                                                       \
		.tag = tag_, .type = U8, .offset = offsetof(struct record, member), .max = max_ \
	}
#define F_FLAG(tag_, record, member, bit_)                                                        \
	{                                                                                         \
		.tag = tag_, .type = FLAG, .offset = offsetof(struct record, member), .max = bit_ \
	}
#define F_SINCE(tag_, record, member, base_)                                           \
	{                                                                              \
		.tag = tag_, .type = SINCE, .offset = offsetof(struct record, member), \
		.base = offsetof(struct record, base_)                                 \
	}
#define F_PARTS(tag_, record, member, n, count_, part_)                                                          \
	{                                                                                                        \
		.tag = tag_, .type = PARTS, .offset = offsetof(struct record, member), .max = n, .base = count_, \
		.stride = sizeof(((struct record *)NULL)->member[0]), .part = part_                              \
	}

static const struct field side_fields[] = {
	F(U64, 1, cu_connection_side, n_segments),
	F(U64, 2, cu_connection_side, n_bytes),
	F(U32, 3, cu_connection_side, isn),
	F_FLAG(4, cu_connection_side, has_syn, 0),
	F_FLAG(4, cu_connection_side, syn.has_wscale, 1),
	F_FLAG(4, cu_connection_side, syn.sack_permitted, 2),
	F_FLAG(4, cu_connection_side, syn.has_timestamps, 3),
	F(U16, 5, cu_connection_side, syn.mss),
	F_MAX(6, cu_connection_side, syn.wscale, 255),
	F_MAX(7, cu_connection_side, ttl, 255),
	END,
};

static const struct field connection_fields[] = {
	F(U64, 1, cu_connection, stream),
	F(ADDR, 2, cu_connection, client),
	F(ADDR, 3, cu_connection, server),
	F(U16, 4, cu_connection, client_port),
	F(U16, 5, cu_connection, server_port),
	{.tag = 6,
         .type = NUMBERS,
         .offset = offsetof(struct cu_connection, ids),
         .max = CU_VLAN_CAP,
         .base = offsetof(struct cu_connection, n_ids)},
	F_MAX(7, cu_connection, role, CU_ROLE_LEARNED),
	F_MAX(8, cu_connection, end, CU_END_REUSED),
	F_FLAG(9, cu_connection, continued, 0),
	F(I64, 10, cu_connection, start_ns),
	F_SINCE(11, cu_connection, end_ns, start_ns),
	F(U64, 12, cu_connection, first_frame),
	F_SINCE(13, cu_connection, last_frame, first_frame),
	F(U16, 14, cu_connection, first_file),
	F(U16, 15, cu_connection, last_file),
	F(U64, 16, cu_connection, n_fragments),
	F_PARTS(17, cu_connection, side, 2, 0, side_fields),
	END,
};

static const struct field analysis_side_fields[] = {
	F(U64, 1, cu_analysis_side, n_data_segments),
	F(U64, 2, cu_analysis_side, n_unique_bytes),
	F(U64, 3, cu_analysis_side, n_retransmitted),
	F(U64, 4, cu_analysis_side, n_retransmitted_bytes),
	F(U64, 5, cu_analysis_side, n_fast),
	F(U64, 6, cu_analysis_side, n_timeout),
	F(U64, 7, cu_analysis_side, n_spurious),
	F(U64, 8, cu_analysis_side, n_out_of_order),
	F(U64, 9, cu_analysis_side, n_dup_acks),
	F(U64, 10, cu_analysis_side, n_zero_windows),
	F(U64, 11, cu_analysis_side, n_window_full),
	F(U64, 12, cu_analysis_side, n_keep_alives),
	F(U64, 13, cu_analysis_side, n_gaps),
	F(U64, 14, cu_analysis_side, n_gap_bytes),
	F(U64, 15, cu_analysis_side, n_unseen_bytes),
	F(U64, 16, cu_analysis_side, n_duplicates),
	F(U64, 17, cu_analysis_side, n_rtt_samples),
	F(I64, 18, cu_analysis_side, rtt_min_ns),
	F(I64, 19, cu_analysis_side, rtt_median_ns),
	F(I64, 20, cu_analysis_side, rtt_max_ns),
	END,
};

static const struct field analysis_fields[] = {
	F(U64, 1, cu_analysis, stream),
	F_MAX(2, cu_analysis, completeness, 63),
	F_MAX(3, cu_analysis, vantage, CU_VANTAGE_SERVER),
	F_MAX(4, cu_analysis, close, CU_CLOSE_HALF),
	F_MAX(5, cu_analysis, closed_by, CU_N_PARTIES - 1),
	F(U64, 6, cu_analysis, close_frame),
	F(I64, 7, cu_analysis, rtt_ns),
	F(I64, 8, cu_analysis, client_rtt_ns),
	F(I64, 9, cu_analysis, server_rtt_ns),
	F(I64, 10, cu_analysis, handshake_rtt_ns),
	F(U32, 11, cu_analysis, mss),
	F_MAX(12, cu_analysis, loss_side, CU_LOSS_CAPTURE),
	F_FLAG(13, cu_analysis, window_scaled, 0),
	F_FLAG(13, cu_analysis, rtt_uncertain, 1),
	F_PARTS(14, cu_analysis, side, 2, 0, analysis_side_fields),
	END,
};

static const struct field gap_fields[] = {
	F(U64, 1, cu_gap, stream),
	F_MAX(2, cu_gap, dir, 1),
	F_MAX(3, cu_gap, side, CU_LOSS_CAPTURE),
	F(U64, 4, cu_gap, rel_seq),
	F(U64, 5, cu_gap, n_bytes),
	F(U64, 6, cu_gap, n_segments),
	F(I64, 7, cu_gap, start_ns),
	F(I64, 8, cu_gap, filled_ns),
	F(U64, 9, cu_gap, frame),
	F_SINCE(10, cu_gap, fill_frame, frame),
	F(U64, 11, cu_gap, n_dup_acks),
	END,
};

static const struct field message_fields[] = {
	F(U64, 1, cu_message, n_bytes),
	F(U64, 2, cu_message, first_frame),
	F_SINCE(3, cu_message, last_frame, first_frame),
	F(U64, 4, cu_message, n_retransmitted),
	END,
};

static const struct field ledger_fields[] = {
	F(I64, 1, cu_ledger_entry, ns),
	F(U64, 2, cu_ledger_entry, first_frame),
	F_SINCE(3, cu_ledger_entry, last_frame, first_frame),
	END,
};

static const struct field event_fields[] = {
	F_MAX(1, cu_event, kind, CU_N_EVENTS - 1),
	F_MAX(2, cu_event, dir, 1),
	F(U16, 3, cu_event, count),
	F(U64, 4, cu_event, frame),
	F(I64, 5, cu_event, time_ns),
	END,
};

/* One message is an array of one. */
#define F_MESSAGE(tag_, member_)                                                                          \
	{                                                                                                 \
		.tag = tag_, .type = PARTS, .offset = offsetof(struct cu_transaction, member_), .max = 1, \
		.stride = sizeof(struct cu_message), .part = message_fields                               \
	}

static const struct field transaction_fields[] = {
	F(U64, 1, cu_transaction, stream),
	F(U64, 2, cu_transaction, number),
	F_MAX(3, cu_transaction, kind, CU_TXN_CLOSE),
	F_MAX(4, cu_transaction, outcome, CU_OUTCOME_OPEN),
	F(U16, 5, cu_transaction, file),
	F(I64, 6, cu_transaction, start_ns),
	F(I64, 7, cu_transaction, total_ns),
	F_MESSAGE(8, request),
	F_MESSAGE(9, response),
	F(U64, 10, cu_transaction, acked_frame),
	F(I64, 11, cu_transaction, ack_delay_ns),
	F(I64, 12, cu_transaction, first_byte_ns),
	F(I64, 13, cu_transaction, client_distance_ns),
	F(I64, 14, cu_transaction, server_distance_ns),
	F_MAX(15, cu_transaction, loss_side, CU_LOSS_CAPTURE),
	F_MAX(16, cu_transaction, certainty, 100),
	F_PARTS(17, cu_transaction, ledger, CU_N_CAUSES, 0, ledger_fields),
	F(TEXT, 18, cu_transaction, name),
	F(U64, 19, cu_transaction, n_events),
	F_PARTS(20, cu_transaction, events, CU_EVENT_CAP, offsetof(struct cu_transaction, n_kept), event_fields),
	END,
};

static const struct field verdict_fields[] = {
	F(U64, 1, cu_verdict, stream),
	F(U64, 2, cu_verdict, number),
	F_FLAG(3, cu_verdict, slow, 0),
	F(I64, 4, cu_verdict, slow_over_ns),
	F_MAX(5, cu_verdict, blame, CU_N_PARTIES - 1),
	F_MAX(6, cu_verdict, cause, CU_N_CAUSES - 1),
	F_MAX(7, cu_verdict, confidence, CU_CONFIDENCE_HIGH),
	F(TEXT, 8, cu_verdict, rule),
	F(TEXT, 9, cu_verdict, service),
	F(TEXT, 10, cu_verdict, why),
	F(TEXT, 11, cu_verdict, advice),
	END,
};

static const struct field finding_fields[] = {
	F(TEXT, 1, cu_finding, kind),
	F(ADDR, 2, cu_finding, addr),
	F(U16, 3, cu_finding, port),
	F_MAX(4, cu_finding, blame, CU_N_PARTIES - 1),
	F_MAX(5, cu_finding, confidence, CU_CONFIDENCE_HIGH),
	F(U64, 6, cu_finding, count),
	F(U64, 7, cu_finding, first_frame),
	F(U64, 8, cu_finding, last_frame),
	F(I64, 9, cu_finding, start_ns),
	F_SINCE(10, cu_finding, end_ns, start_ns),
	F(TEXT, 11, cu_finding, rule),
	F(TEXT, 12, cu_finding, why),
	F(TEXT, 13, cu_finding, advice),
	END,
};

static const struct field totals_fields[] = {
	F(U64, 1, cu_totals, n_packets),
	F(U64, 2, cu_totals, n_filtered),
	F(U64, 3, cu_totals, n_tcp),
	F(U64, 4, cu_totals, n_other),
	F(U64, 5, cu_totals, n_short),
	F(U64, 6, cu_totals, n_malformed),
	F(U64, 7, cu_totals, n_fragments),
	F(U64, 8, cu_totals, n_unknown_link),
	F(U64, 9, cu_totals, n_icmp_errors),
	F(U64, 10, cu_totals, n_connections),
	F(U64, 11, cu_totals, n_damaged),
	F(U64, 12, cu_totals, n_skipped_bytes),
	F(U64, 13, cu_totals, n_drops),
	F(U64, 14, cu_totals, n_evicted),
	F(U64, 15, cu_totals, n_truncated),
	F(I64, 16, cu_totals, first_ns),
	F_SINCE(17, cu_totals, last_ns, first_ns),
	END,
};

/* Members are loaded and stored with memcpy: compilers make single moves of it. */
#define LOAD(type_, from)                        \
	({                                       \
		type_ v_;                        \
		memcpy(&v_, (from), sizeof(v_)); \
		v_;                              \
	})
#define STORE(type_, to, value)                \
	do {                                   \
		type_ w_ = (type_)(value);     \
		memcpy((to), &w_, sizeof(w_)); \
	} while (0)

/* Room for the largest record but its texts, which are checked one by one: 15 causes, 16 events, 2 messages, 20 fields. */
enum { FIXED_CAP = 4096 };

static uint8_t *put_key(uint8_t *p, unsigned tag, bool bytes)
{
	*p++ = (uint8_t)(tag << 1 | bytes);
	return p;
}

static uint8_t *put_number(uint8_t *p, unsigned tag, uint64_t v)
{
	if (v != 0) {
		p = put_key(p, tag, false);
		p += cu_put_varint(p, v);
	}
	return p;
}

static uint8_t *put_fields(const struct field *field, const uint8_t *base, uint8_t *p, struct cu_buf *buf);

/* Elements that are not all zero, each as bytes: its index, then its fields. */
static uint8_t *put_parts(const struct field *field, const uint8_t *base, uint8_t *p, struct cu_buf *buf)
{
	unsigned n = field->base != 0 ? base[field->base] : field->max;
	for (unsigned i = 0; i < n && i < field->max; i++) {
		uint8_t *key = p;
		uint8_t *body = put_key(p, field->tag, true) + 1; /* one byte of length, as a rule */
		uint8_t *fields = body + 1;
		body[0] = (uint8_t)i;
		p = put_fields(field->part, base + field->offset + (size_t)i * field->stride, fields, buf);
		size_t len = (size_t)(p - body);
		if (p == fields && field->base == 0) {
			p = key; /* all zero, and its absence says so */
		} else if (len < 0x80) {
			body[-1] = (uint8_t)len;
		} else {
			memmove(body + 1, body, len);
			body[-1] = (uint8_t)(len | 0x80);
			body[0] = (uint8_t)(len >> 7);
			p++;
		}
	}
	return p;
}

static uint8_t *put_fields(const struct field *field, const uint8_t *base, uint8_t *p, struct cu_buf *buf)
{
	for (; field->tag != 0; field++) {
		const uint8_t *at = base + field->offset;
		switch ((enum field_type)field->type) {
		case U8:
			p = put_number(p, field->tag, *at);
			break;
		case U16:
			p = put_number(p, field->tag, LOAD(uint16_t, at));
			break;
		case U32:
			p = put_number(p, field->tag, LOAD(uint32_t, at));
			break;
		case U64:
			p = put_number(p, field->tag, LOAD(uint64_t, at));
			break;
		case I64:
			p = put_number(p, field->tag, cu_zigzag(LOAD(int64_t, at)));
			break;
		case SINCE: {
			uint64_t v = LOAD(uint64_t, at);
			if (v != 0) {
				p = put_key(p, field->tag, false);
				p += cu_put_varint(p, cu_zigzag((int64_t)(v - LOAD(uint64_t, base + field->base))));
			}
			break;
		}
		case FLAG: {
			uint64_t flags = 0;
			unsigned tag = field->tag;
			for (; field->tag == tag; field++) {
				flags |= (uint64_t)(base[field->offset] != 0) << field->max;
			}
			field--;
			p = put_number(p, tag, flags);
			break;
		}
		case ADDR: {
			const struct cu_addr *addr = (const struct cu_addr *)at;
			size_t len = addr->family == 4 ? 4 : addr->family == 6 ? 16 : 0;
			if (len != 0) {
				p = put_key(p, field->tag, true);
				*p++ = (uint8_t)len;
				memcpy(p, addr->bytes, len);
				p += len;
			}
			break;
		}
		case TEXT: {
			const struct cu_text *text = (const struct cu_text *)at;
			if (text->len == 0) {
				break;
			}
			p = put_key(p, field->tag, true);
			p += cu_put_varint(p, text->len);
			buf->len = (size_t)(p - buf->data);
			if (!cu_buf_reserve(buf, (size_t)text->len + FIXED_CAP)) {
				return buf->data + buf->len;
			}
			p = buf->data + buf->len;
			memcpy(p, text->data, text->len);
			p += text->len;
			break;
		}
		case NUMBERS: {
			unsigned n = base[field->base];
			if (n == 0) {
				break;
			}
			uint8_t *len = put_key(p, field->tag, true);
			p = len + 1;
			for (unsigned i = 0; i < n && i < field->max; i++) {
				p += cu_put_varint(p, LOAD(uint32_t, at + i * sizeof(uint32_t)));
			}
			*len = (uint8_t)(p - len - 1);
			break;
		}
		case PARTS:
			p = put_parts(field, base, p, buf);
			break;
		}
	}
	return p;
}

static void encode(const struct field *fields, const void *record, struct cu_buf *buf)
{
	if (!cu_buf_reserve(buf, FIXED_CAP)) {
		return;
	}
	uint8_t *end = put_fields(fields, record, buf->data + buf->len, buf);
	if (!buf->failed) {
		buf->len = (size_t)(end - buf->data);
	}
}

static bool get_fields(const struct field *fields, struct cu_cursor *cur, uint8_t *base);

static bool get_number(const struct field *field, uint64_t v, uint8_t *base)
{
	uint8_t *at = base + field->offset;
	switch ((enum field_type)field->type) {
	case U8:
		*at = (uint8_t)v;
		return v <= field->max;
	case U16:
		STORE(uint16_t, at, v);
		return v <= UINT16_MAX;
	case U32:
		STORE(uint32_t, at, v);
		return v <= UINT32_MAX;
	case U64:
		STORE(uint64_t, at, v);
		return true;
	case I64:
		STORE(int64_t, at, cu_unzigzag(v));
		return true;
	case SINCE:
		STORE(uint64_t, at, (uint64_t)cu_unzigzag(v) + LOAD(uint64_t, base + field->base));
		return true;
	case FLAG:
		for (unsigned tag = field->tag; field->tag == tag; field++) {
			base[field->offset] = (v >> field->max & 1) != 0;
		}
		return true;
	case ADDR:
	case TEXT:
	case NUMBERS:
	case PARTS:
		return false;
	}
	return false;
}

static bool get_bytes(const struct field *field, const uint8_t *data, size_t len, uint8_t *base)
{
	uint8_t *at = base + field->offset;
	struct cu_cursor cur = cu_cursor_make(data, len);
	switch ((enum field_type)field->type) {
	case ADDR: {
		struct cu_addr *addr = (struct cu_addr *)at;
		if (len != 4 && len != 16) {
			return false;
		}
		addr->family = len == 4 ? 4 : 6;
		memcpy(addr->bytes, data, len);
		return true;
	}
	case TEXT:
		*(struct cu_text *)at = (struct cu_text){.data = (const char *)data, .len = (uint32_t)len};
		return len <= UINT32_MAX;
	case NUMBERS: {
		unsigned n = 0;
		while (cu_cursor_left(&cur) > 0 && n < field->max) {
			uint64_t v = cu_cursor_varint(&cur);
			cur.failed |= v > UINT32_MAX;
			STORE(uint32_t, at + n++ * sizeof(uint32_t), v);
		}
		base[field->base] = (uint8_t)n;
		return !cur.failed && cu_cursor_left(&cur) == 0;
	}
	case PARTS: {
		unsigned i = cu_cursor_u8(&cur);
		if (cur.failed || i >= field->max) {
			return false;
		}
		if (field->base != 0) {
			base[field->base] = (uint8_t)(i + 1);
		}
		return get_fields(field->part, &cur, at + (size_t)i * field->stride);
	}
	case U8:
	case U16:
	case U32:
	case U64:
	case I64:
	case SINCE:
	case FLAG:
		break;
	}
	return false;
}

static bool get_fields(const struct field *fields, struct cu_cursor *cur, uint8_t *base)
{
	const struct field *next = fields;
	while (cu_cursor_left(cur) > 0) {
		uint64_t key = cu_cursor_varint(cur);
		uint64_t tag = key >> 1;
		/* Tags come in the table's order as a rule: look on from the last one found. */
		const struct field *field = next;
		while (field->tag != 0 && field->tag != tag) {
			field++;
		}
		if (field->tag == 0) {
			for (field = fields; field->tag != 0 && field->tag != tag; field++) {
			}
		}
		if (field->tag != 0) {
			next = field;
		}
		if (key & 1) {
			uint64_t len = cu_cursor_varint(cur);
			const uint8_t *data = len <= cu_cursor_left(cur) ? cu_cursor_bytes(cur, (size_t)len) : NULL;
			if (data == NULL || (field->tag != 0 && !get_bytes(field, data, (size_t)len, base))) {
				return false;
			}
		} else {
			uint64_t v = cu_cursor_varint(cur);
			if (cur->failed || (field->tag != 0 && !get_number(field, v, base))) {
				return false;
			}
		}
	}
	return !cur->failed;
}

static int decode(const struct field *fields, const uint8_t *data, size_t len, void *record, size_t size)
{
	struct cu_cursor cur = cu_cursor_make(data, len);
	memset(record, 0, size);
	return get_fields(fields, &cur, record) ? 0 : CU_ERR_FORMAT;
}

#define CODEC(name)                                                                     \
	void cu_##name##_encode(const struct cu_##name *name, struct cu_buf *buf)       \
	{                                                                               \
		encode(name##_fields, name, buf);                                       \
	}                                                                               \
	int cu_##name##_decode(const uint8_t *data, size_t len, struct cu_##name *name) \
	{                                                                               \
		return decode(name##_fields, data, len, name, sizeof(*name));           \
	}

CODEC(connection)
CODEC(analysis)
CODEC(gap)
CODEC(transaction)
CODEC(verdict)
CODEC(finding)
CODEC(totals)

void cu_chunk_begin(uint64_t stream, uint64_t n_segments, struct cu_buf *buf)
{
	cu_buf_add_varint(buf, stream);
	cu_buf_add_varint(buf, n_segments);
}

int cu_chunk_open(const uint8_t *data, size_t len, struct cu_chunk *chunk)
{
	chunk->segments = cu_cursor_make(data, len);
	chunk->stream = cu_cursor_varint(&chunk->segments);
	chunk->n_segments = cu_cursor_varint(&chunk->segments);
	/* A segment takes three bytes or more: a count beyond that is a lie. */
	bool honest = chunk->n_segments <= cu_cursor_left(&chunk->segments) / 3;
	return chunk->segments.failed || !honest ? CU_ERR_FORMAT : 0;
}
