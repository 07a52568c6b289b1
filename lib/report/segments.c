/*
 * The segments of connections, a line each, as in a packet list. As text and
 * as JSON Lines.
 */
#include "lib/report/format.h"
#include "lib/report/json_write.h"
#include "lib/report/words.h"
#include "lib/tcp/resent.h"

#include <stdlib.h>
#include <string.h>

struct segments {
	struct cu_term term;
	struct cu_sink *sink;
	bool shown; /* a connection */
};

static int segments_open(void **state, const struct cu_report_config *config, struct cu_sink *sink)
{
	struct segments *segments = calloc(1, sizeof(*segments));
	if (segments == NULL) {
		return CU_ERR_NOMEM;
	}
	segments->term = config->term;
	segments->sink = sink;
	*state = segments;
	return 0;
}

static void segments_close(void *state)
{
	free(state);
}

static const struct {
	unsigned bit;
	const char *name;
} flag_names[] = {
	{CU_TCP_SYN, "SYN"}, {CU_TCP_FIN, "FIN"}, {CU_TCP_RST, "RST"}, {CU_TCP_PSH, "PSH"}, {CU_TCP_ACK, "ACK"},
	{CU_TCP_URG, "URG"}, {CU_TCP_ECE, "ECE"}, {CU_TCP_CWR, "CWR"}, {CU_TCP_AE, "AE"},
};
enum { N_FLAGS = sizeof(flag_names) / sizeof(flag_names[0]) };

/* Widths of a connection's columns. */
struct columns {
	unsigned frame, time, seq, ack, len, flags, window;
};

static unsigned n_digits(int64_t v)
{
	uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	unsigned n = v < 0 ? 2 : 1;
	for (; rest >= 10; rest /= 10) {
		n++;
	}
	return n;
}

static unsigned flags_width(unsigned flags)
{
	unsigned width = 0;
	for (size_t i = 0; i < N_FLAGS; i++) {
		if ((flags & flag_names[i].bit) != 0) {
			width += (unsigned)strlen(flag_names[i].name) + (width > 0);
		}
	}
	return width;
}

static unsigned most(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static struct columns measure(const struct cu_trace *trace, int64_t start_ns)
{
	struct columns columns = {.frame = 5, .time = 10, .seq = 3, .ack = 3, .len = 3, .flags = 7, .window = 6};
	for (size_t i = 0; i < trace->n; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		columns.frame = most(columns.frame, n_digits((int64_t)seg->frame));
		columns.time = most(columns.time, n_digits((seg->time_ns - start_ns) / CU_NS_PER_S) + 7);
		columns.seq = most(columns.seq, n_digits(seg->seq));
		columns.ack = most(columns.ack, n_digits(seg->ack));
		columns.len = most(columns.len, n_digits(seg->len));
		columns.flags = most(columns.flags, flags_width(seg->flags));
		columns.window = most(columns.window, n_digits(seg->window));
	}
	return columns;
}

static void put_right(struct cu_buf *out, unsigned width, int64_t v)
{
	for (unsigned n = n_digits(v); n < width; n++) {
		cu_buf_add_u8(out, ' ');
	}
	cu_put_i64(out, v);
}

static void put_left(struct cu_buf *out, unsigned width, const char *text)
{
	cu_puts(out, text);
	for (size_t n = strlen(text); n < width; n++) {
		cu_buf_add_u8(out, ' ');
	}
}

/* Seconds with six decimals. */
static void put_relative(struct cu_buf *out, unsigned width, int64_t ns)
{
	char text[8] = ".000000";
	uint64_t us = (ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns) / (uint64_t)CU_NS_PER_US;
	uint64_t s = us / 1000000, fraction = us % 1000000;
	for (unsigned n = n_digits((int64_t)s) + 7 + (ns < 0); n < width; n++) {
		cu_buf_add_u8(out, ' ');
	}
	cu_puts(out, ns < 0 ? "-" : "");
	cu_put_u64(out, s);
	for (size_t i = 6; i > 0; i--) {
		text[i] = (char)('0' + fraction % 10);
		fraction /= 10;
	}
	cu_puts(out, text);
}

static void put_flags(struct cu_buf *out, unsigned width, unsigned flags)
{
	unsigned n = 0;
	for (size_t i = 0; i < N_FLAGS; i++) {
		if ((flags & flag_names[i].bit) != 0) {
			cu_puts(out, n > 0 ? " " : "");
			cu_puts(out, flag_names[i].name);
			n += (unsigned)strlen(flag_names[i].name) + (n > 0);
		}
	}
	put_left(out, n < width ? width - n : 0, "");
}

static const char *const resent_words[CU_N_RESENT] = {
	[CU_RESENT_NONE] = "",
	[CU_RESENT_TIMEOUT] = " by timeout",
	[CU_RESENT_DUPLICATE_ACKS] = " by duplicate ACKs",
	[CU_RESENT_TAIL_PROBE] = " as a tail-loss probe",
	[CU_RESENT_UNKNOWN] = "",
};

static const struct {
	const char *name, *words;
} settled_names[] = {
	{"timestamps", "timestamps"},
	{"ip_id", "IP identification"},
	{"earlier_segment", "an earlier segment"},
	{"later_segment", "a later segment"},
	{"round_trip", "the round trip"},
	{"acks", "the ACKs"},
	{"copy", "leaving out copies"},
	{"reset", "leaving out resets and other beginnings"},
};
_Static_assert(sizeof(settled_names) / sizeof(settled_names[0]) == CU_SETTLED_END - CU_SETTLED_TIMESTAMPS, "each one");

/* The words of marks, of a duplicate ACK with its number; whether there were any. */
static bool put_marks(struct cu_buf *out, uint32_t marks, unsigned dup_ack)
{
	bool any = false;
	for (unsigned kind = 1; kind < CU_N_EVENTS; kind++) {
		if ((marks >> kind & 1) == 0) {
			continue;
		}
		cu_puts(out, any ? ", " : "");
		cu_puts(out, cu_event_words(kind));
		if (kind == CU_EVENT_DUPLICATE_ACK && dup_ack > 0) {
			CU_PUT(out, " ");
			cu_put_u64(out, dup_ack);
		}
		any = true;
	}
	return any;
}

/* What Wireshark shows instead, and what tells that it is not so. */
static void put_otherwise(struct cu_buf *out, const struct cu_trace_segment *seg)
{
	const char *before = "; settled by ";
	CU_PUT(out, "[Wireshark: ");
	if (!put_marks(out, seg->forward, seg->forward_dup_ack)) {
		CU_PUT(out, "nothing");
	}
	for (unsigned by = CU_SETTLED_TIMESTAMPS; by < CU_SETTLED_END; by++) {
		if (seg->marks >> by & 1) {
			cu_puts(out, before);
			cu_puts(out, settled_names[by - CU_SETTLED_TIMESTAMPS].words);
			before = ", ";
		}
	}
	CU_PUT(out, "]");
}

/* What the segment is, in Wireshark's terms, then what it reports and carries. */
static void put_notes(struct cu_buf *out, const struct cu_term *term, const struct cu_trace *trace,
                      const struct cu_trace_segment *seg)
{
	bool coloured = term->colour && seg->marks != 0;
	cu_puts(out, coloured ? "\033[33m" : "");
	const char *before = put_marks(out, seg->marks, seg->dup_ack) ? ", " : "";
	cu_puts(out, resent_words[seg->resent_by < CU_N_RESENT ? seg->resent_by : 0]);
	cu_puts(out, seg->needless != CU_NEEDLESS_NONE ? ", its original had arrived" : "");
	cu_puts(out, coloured ? "\033[0m" : "");
	if (cu_settled_otherwise(seg)) {
		cu_puts(out, before[0] != '\0' ? " " : "");
		put_otherwise(out, seg);
		before = ", ";
	}
	if (seg->elsewhere && !(seg->flags & CU_TCP_RST)) {
		cu_puts(out, before);
		cu_puts(out, cu_is_of_before(seg) ? "for a connection of before" : "another initial number");
		before = ", ";
	}
	if (seg->icmp) {
		const char *words = cu_icmp_words(trace->connection.client.family, seg->icmp_type, seg->icmp_code);
		CU_PUT(out, " about this segment, ");
		cu_puts(out, words);
		cu_puts(out, words[0] != '\0' ? ": " : "");
		CU_PUT(out, "type ");
		cu_put_u64(out, seg->icmp_type);
		CU_PUT(out, " code ");
		cu_put_u64(out, seg->icmp_code);
		before = ", ";
	}
	for (unsigned i = 0; i < seg->n_sack; i++) {
		const struct cu_trace_sack *sack = &trace->sack[seg->sack + i];
		cu_puts(out, i > 0 ? " " : before);
		cu_puts(out, i > 0 ? "" : "SACK ");
		cu_put_i64(out, sack->left);
		CU_PUT(out, "-");
		cu_put_i64(out, sack->right);
		before = ", ";
	}
	const struct cu_hint *hint = cu_trace_hint(trace, seg);
	if (hint != NULL) {
		cu_puts(out, before);
		cu_puts(out, cu_hint_words(hint->kind));
		if (hint->text_len > 0) {
			CU_PUT(out, " ");
			cu_term_escape(out, hint->text, hint->text_len, false);
		}
	}
}

static const char *file_of(const struct cu_report_connection *item, size_t file)
{
	return item->header != NULL && file < item->header->n_files ? item->header->files[file].path : NULL;
}

static void put_file(struct cu_buf *out, const char *file)
{
	CU_PUT(out, "  in ");
	cu_term_escape(out, file, strlen(file), false);
	CU_PUT(out, "\n");
}

static void put_end(struct cu_buf *out, const struct cu_addr *addr, uint16_t port)
{
	char text[CU_TEXT_CAP];
	cu_puts(out, addr->family == 6 ? "[" : "");
	cu_puts(out, cu_format_addr(text, addr));
	cu_puts(out, addr->family == 6 ? "]:" : ":");
	cu_put_u64(out, port);
}

static void put_title(struct segments *segments, const struct cu_report_connection *item, const struct columns *columns)
{
	struct cu_buf *out = &segments->sink->buf;
	const struct cu_connection *connection = item->connection;
	const struct cu_term *term = &segments->term;
	cu_puts(out, segments->shown ? "\n" : "");
	segments->shown = true;
	cu_puts(out, term->colour ? "\033[1m" : "");
	CU_PUT(out, "stream ");
	cu_put_u64(out, connection->stream);
	cu_puts(out, term->colour ? "\033[0m" : "");
	CU_PUT(out, "  client ");
	put_end(out, &connection->client, connection->client_port);
	cu_puts(out, term->unicode ? " → server " : " > server ");
	put_end(out, &connection->server, connection->server_port);
	CU_PUT(out, "  ");
	cu_put_time(out, connection->start_ns);
	CU_PUT(out, "\n");
	cu_puts(out, term->colour ? "\033[2m" : "");
	put_left(out, columns->frame > 5 ? columns->frame - 5 : 0, "");
	CU_PUT(out, "frame  ");
	put_left(out, columns->time - 4, "");
	CU_PUT(out, "time    ");
	put_left(out, columns->seq - 3, "");
	CU_PUT(out, "seq  ");
	put_left(out, columns->ack - 3, "");
	CU_PUT(out, "ack  ");
	put_left(out, columns->len - 3, "");
	CU_PUT(out, "len  ");
	put_left(out, columns->flags, "flags");
	CU_PUT(out, "  ");
	put_left(out, columns->window - 6, "");
	CU_PUT(out, "window");
	if (item->trace->scale_unknown[CU_S2C]) {
		CU_PUT(out, " (as sent: no handshake says the scale)");
	} else if (item->trace->scale_unknown[CU_C2S]) {
		CU_PUT(out, " (the client's as sent: no SYN says its scale)");
	}
	cu_puts(out, term->colour ? "\033[0m" : "");
	CU_PUT(out, "\n");
}

static void put_segment(struct segments *segments, const struct cu_trace *trace, const struct cu_trace_segment *seg,
                        const struct columns *columns, int64_t start_ns)
{
	static const char *const arrows[2][2] = {{">", "<"}, {"→", "←"}};
	struct cu_buf *out = &segments->sink->buf;
	put_right(out, columns->frame, (int64_t)seg->frame);
	CU_PUT(out, "  ");
	put_relative(out, columns->time, seg->time_ns - start_ns);
	CU_PUT(out, " ");
	cu_puts(out, arrows[segments->term.unicode][seg->dir == CU_C2S ? 0 : 1]);
	CU_PUT(out, "  ");
	put_right(out, columns->seq, seg->seq);
	CU_PUT(out, "  ");
	if (seg->icmp || (seg->flags & CU_TCP_ACK) == 0) {
		put_left(out, columns->ack, "");
	} else {
		put_right(out, columns->ack, seg->ack);
	}
	CU_PUT(out, "  ");
	put_right(out, columns->len, seg->len);
	CU_PUT(out, "  ");
	if (seg->icmp) {
		put_left(out, columns->flags + columns->window + 4, "ICMP");
	} else {
		put_flags(out, columns->flags, seg->flags);
		CU_PUT(out, "  ");
		put_right(out, columns->window, seg->window);
		CU_PUT(out, "  ");
	}
	put_notes(out, &segments->term, trace, seg);
	while (out->len > 0 && out->data[out->len - 1] == ' ') {
		out->len--;
	}
	CU_PUT(out, "\n");
}

static int segments_connection(void *state, const struct cu_report_connection *item)
{
	struct segments *segments = state;
	const struct cu_trace *trace = item->trace;
	if (trace == NULL || trace->n == 0) {
		return 0;
	}
	int64_t start_ns = trace->segment[0].time_ns;
	struct columns columns = measure(trace, start_ns);
	put_title(segments, item, &columns);
	size_t file = SIZE_MAX;
	int error = 0;
	for (size_t i = 0; i < trace->n && error == 0; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (seg->file != file && file_of(item, seg->file) != NULL) {
			put_file(&segments->sink->buf, file_of(item, seg->file));
		}
		file = seg->file;
		put_segment(segments, trace, seg, &columns, start_ns);
		error = cu_sink_drain(segments->sink);
	}
	return error;
}

static int segments_end(void *state, const struct cu_report_counts *counts)
{
	struct segments *segments = state;
	struct cu_buf *out = &segments->sink->buf;
	if (segments->shown) {
		return 0;
	}
	if (counts->n_without_segments > 0) {
		CU_PUT(out, "There are no segments to show: they take more than --max-memory.\n");
	} else if (counts->n_chunks == 0 && counts->n_connections > 0) {
		CU_PUT(out, "The stream has connections but not their segments.\n");
	} else if (counts->n_passed_over > 0) {
		CU_PUT(out,
		       "There are no segments to show: what the input has is outside of --stream, --since\nor --until.\n");
	} else {
		CU_PUT(out, "There are no segments to show.\n");
	}
	return 0;
}

static void put_json_names(struct cu_buf *out, uint32_t marks)
{
	const char *before = "\"";
	CU_PUT(out, "[");
	for (unsigned kind = 1; kind < CU_N_EVENTS; kind++) {
		if (marks >> kind & 1) {
			cu_puts(out, before);
			cu_puts(out, cu_event_name(kind));
			before = "\",\"";
		}
	}
	cu_puts(out, before[1] == ',' ? "\"]" : "]");
}

static void put_json_marks(struct cu_buf *out, const struct cu_trace_segment *seg)
{
	CU_PUT(out, ",\"marks\":");
	put_json_names(out, seg->marks);
	if (seg->dup_ack > 0) {
		CU_JSON_U64(out, ",\"duplicate_ack\":", seg->dup_ack);
	}
	if (cu_settled_otherwise(seg)) {
		CU_PUT(out, ",\"wireshark\":{\"marks\":");
		put_json_names(out, seg->forward);
		if (seg->forward_dup_ack > 0) {
			CU_JSON_U64(out, ",\"duplicate_ack\":", seg->forward_dup_ack);
		}
		CU_PUT(out, "}");
	}
	bool any = false;
	for (unsigned by = CU_SETTLED_TIMESTAMPS; by < CU_SETTLED_END; by++) {
		if (seg->marks >> by & 1) {
			cu_puts(out, any ? "\",\"" : ",\"settled_by\":[\"");
			cu_puts(out, settled_names[by - CU_SETTLED_TIMESTAMPS].name);
			any = true;
		}
	}
	cu_puts(out, any ? "\"]" : "");
}

static void put_json_segment(struct cu_buf *out, const struct cu_report_connection *item,
                             const struct cu_trace_segment *seg, int64_t start_ns)
{
	const struct cu_trace *trace = item->trace;
	const char *file = file_of(item, seg->file);
	const char *before = "\"";
	CU_JSON_U64(out, "{\"record\":\"segment\",\"schema\":1,\"stream\":", item->connection->stream);
	if (file != NULL) {
		CU_PUT(out, ",\"file\":");
		cu_json_string(out, file, strlen(file));
	}
	CU_JSON_U64(out, ",\"frame\":", seg->frame);
	CU_PUT(out, ",\"time\":");
	cu_json_time(out, seg->time_ns);
	CU_JSON_I64(out, ",\"relative_ns\":", seg->time_ns - start_ns);
	CU_JSON_WORD(out, ",\"direction\":", seg->dir == CU_C2S ? "c2s" : "s2c");
	CU_JSON_I64(out, ",\"seq\":", seg->seq);
	if (seg->icmp || (seg->flags & CU_TCP_ACK) == 0) {
		CU_PUT(out, ",\"ack\":null");
	} else {
		CU_JSON_I64(out, ",\"ack\":", seg->ack);
	}
	CU_JSON_U64(out, ",\"bytes\":", seg->len);
	CU_PUT(out, ",\"flags\":[");
	for (size_t i = 0; i < N_FLAGS; i++) {
		if ((seg->flags & flag_names[i].bit) != 0) {
			cu_puts(out, before);
			cu_puts(out, flag_names[i].name);
			before = "\",\"";
		}
	}
	cu_puts(out, before[1] == ',' ? "\"]" : "]");
	CU_JSON_I64(out, ",\"window\":", seg->window);
	CU_PUT(out, ",\"window_scale_known\":");
	cu_put_bool(out, !trace->scale_unknown[seg->dir]);
	put_json_marks(out, seg);
	if (seg->resent_by != CU_RESENT_NONE) {
		CU_JSON_WORD(out, ",\"resent_by\":", cu_resent_by_name(seg->resent_by));
	}
	if (seg->elsewhere && !(seg->flags & CU_TCP_RST)) {
		CU_PUT(out, ",\"elsewhere\":true");
	}
	if (seg->needless != CU_NEEDLESS_NONE) {
		CU_JSON_WORD(out, ",\"original_arrived\":", cu_needless_name(seg->needless));
	}
	if (seg->n_sack > 0) {
		CU_PUT(out, ",\"sack\":[");
		for (unsigned i = 0; i < seg->n_sack; i++) {
			cu_puts(out, i > 0 ? ",[" : "[");
			cu_put_i64(out, trace->sack[seg->sack + i].left);
			CU_JSON_I64(out, ",", trace->sack[seg->sack + i].right);
			CU_PUT(out, "]");
		}
		CU_PUT(out, "]");
	}
	if (seg->icmp) {
		CU_JSON_U64(out, ",\"icmp\":{\"type\":", seg->icmp_type);
		CU_JSON_U64(out, ",\"code\":", seg->icmp_code);
		CU_PUT(out, "}");
	}
	const struct cu_hint *hint = cu_trace_hint(trace, seg);
	if (hint != NULL && hint->text_len > 0) {
		CU_PUT(out, ",\"hint\":");
		cu_json_string(out, hint->text, hint->text_len);
	}
	CU_PUT(out, "}\n");
}

static int segments_json_connection(void *state, const struct cu_report_connection *item)
{
	struct segments *segments = state;
	const struct cu_trace *trace = item->trace;
	int error = 0;
	for (size_t i = 0; trace != NULL && i < trace->n && error == 0; i++) {
		put_json_segment(&segments->sink->buf, item, &trace->segment[i], trace->segment[0].time_ns);
		error = cu_sink_drain(segments->sink);
	}
	return error;
}

static int segments_json_end(void *state, const struct cu_report_counts *counts)
{
	cu_json_summary(&((struct segments *)state)->sink->buf, counts);
	return 0;
}

const struct cu_format cu_format_segments = {
	.name = "segments",
	.wants_trace = true,
	.open = segments_open,
	.connection = segments_connection,
	.end = segments_end,
	.close = segments_close,
};

const struct cu_format cu_format_segments_json = {
	.name = "segments json",
	.wants_trace = true,
	.open = segments_open,
	.connection = segments_json_connection,
	.end = segments_json_end,
	.close = segments_close,
};
