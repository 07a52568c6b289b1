/*
 * The segments of a transaction, for the diagrams of the page.
 */
#include "lib/report/frames.h"
#include "lib/report/html.h"
#include "lib/report/json_write.h"
#include "lib/report/words.h"

/* Bytes of a hint that a diagram has room for. */
enum { HINT_BYTES = 120 };

/* Which segments to take. */
struct choice {
	const struct cu_report_transaction *item;
	size_t from, to;                /* of the trace: those in the time of the transaction */
	size_t edge;                    /* so many at each end are taken anyway */
	size_t n_marked, n_plain;       /* of the others: marked, and not */
	size_t take_marked, take_plain; /* so many of them */
	/* Cited ranges of frames, of one file at a time. */
	struct cu_frame_range range[CU_FRAME_RANGES_CAP];
	size_t n_ranges;
	bool has_ranges;
	uint16_t file;
};

/* A segment that stands out: marked, or the beginning or end of the connection. */
static bool stands_out(const struct cu_trace_segment *seg)
{
	return seg->icmp || (seg->marks & ((UINT32_C(1) << CU_N_EVENTS) - 1)) != 0 ||
	       (seg->flags & (CU_TCP_SYN | CU_TCP_FIN | CU_TCP_RST)) != 0;
}

/* Whether the evidence has it; a range's inner frames are not cited one by one. */
static bool cited(struct choice *choice, const struct cu_trace_segment *seg)
{
	const struct cu_transaction *transaction = choice->item->transaction;
	uint16_t file = (uint16_t)(seg->file - transaction->file); /* as cu_transaction_file has it */
	if (!choice->has_ranges || choice->file != file) {
		unsigned cause = choice->item->verdict != NULL ? choice->item->verdict->cause : (unsigned)CU_CAUSE_NONE;
		choice->n_ranges = cu_frames_of(transaction, cause, file, choice->range);
		choice->has_ranges = true;
		choice->file = file;
	}
	for (size_t i = 0; i < choice->n_ranges; i++) {
		if (seg->frame == choice->range[i].first || seg->frame == choice->range[i].last) {
			return true;
		}
	}
	return false;
}

static bool at_edge(const struct choice *choice, size_t i)
{
	return i - choice->from < choice->edge || choice->to - i <= choice->edge;
}

/* Of n in a row, whether the i-th is one of k that are spread evenly. */
static bool spread(size_t i, size_t n, size_t k)
{
	return n > 0 && (i + 1) * k / n != i * k / n;
}

static void choose(struct choice *choice, size_t cap)
{
	const struct cu_trace *trace = choice->item->trace;
	size_t n = choice->to - choice->from, n_must = 0;
	if (n <= cap) {
		choice->edge = n;
		return;
	}
	choice->edge = cap / 8;
	for (size_t i = choice->from; i < choice->to; i++) {
		const struct cu_trace_segment *seg = &trace->segment[i];
		if (at_edge(choice, i) || cited(choice, seg)) {
			n_must++;
		} else if (stands_out(seg)) {
			choice->n_marked++;
		} else {
			choice->n_plain++;
		}
	}
	/* A quarter of the room keeps the shape of what is not marked. */
	size_t room = n_must < cap ? cap - n_must : 0;
	size_t plain = choice->n_plain < room / 4 ? choice->n_plain : room / 4;
	choice->take_marked = choice->n_marked < room - plain ? choice->n_marked : room - plain;
	choice->take_plain =
		choice->n_plain < room - choice->take_marked ? choice->n_plain : room - choice->take_marked;
}

/* Since the transaction's start; what a damaged stream says may be far apart. */
static int64_t since_start(const struct cu_report_transaction *item, const struct cu_trace_segment *seg)
{
	return (int64_t)((uint64_t)seg->time_ns - (uint64_t)item->transaction->start_ns);
}

/* The first segment that is not before ns; segments are in order of capture, and so nearly of time. */
static size_t find_time(const struct cu_report_transaction *item, int64_t ns)
{
	size_t low = 0, high = item->trace->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (since_start(item, &item->trace->segment[middle]) < ns) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/* The segments between a round trip before and one after the transaction. */
static void find_range(struct choice *choice)
{
	const struct cu_report_transaction *item = choice->item;
	int64_t rtt_ns = item->analysis != NULL && item->analysis->rtt_ns > 0 ? item->analysis->rtt_ns : 0;
	int64_t total_ns = item->transaction->total_ns > 0 ? item->transaction->total_ns : 0;
	int64_t end_ns = total_ns < INT64_MAX - 1 - rtt_ns ? total_ns + rtt_ns : INT64_MAX - 1;
	choice->from = find_time(item, -rtt_ns);
	choice->to = find_time(item, end_ns + 1);
	if (choice->to < choice->from) { /* the clock was set back */
		choice->to = choice->from;
	}
}

static void put_hint(struct cu_buf *out, const struct cu_hint *hint)
{
	struct cu_buf text = {0};
	cu_puts(&text, cu_hint_words(hint->kind));
	if (hint->text_len > 0) {
		CU_PUT(&text, " ");
		cu_put(&text, hint->text, hint->text_len < HINT_BYTES ? hint->text_len : HINT_BYTES);
	}
	CU_PUT(out, ",");
	cu_json_string(out, (const char *)text.data, text.len);
	out->failed = out->failed || text.failed;
	cu_buf_release(&text);
}

static void put_segment(struct cu_buf *out, const struct cu_report_transaction *item,
                        const struct cu_trace_segment *seg)
{
	const struct cu_trace *trace = item->trace;
	const struct cu_hint *hint = cu_trace_hint(trace, seg);
	uint32_t marks = seg->marks & ((UINT32_C(1) << CU_N_EVENTS) - 1);
	unsigned how = seg->resent_by + 8U * seg->needless;
	unsigned n_more = hint != NULL ? 4 : seg->n_sack > 0 ? 3 : how != 0 ? 2 : marks != 0 ? 1 : 0;
	CU_JSON_U64(out, "[", seg->frame);
	CU_JSON_I64(out, ",", since_start(item, seg));
	CU_JSON_U64(out, ",", seg->dir == CU_C2S ? 0U : 1U);
	CU_JSON_I64(out, ",", seg->seq);
	CU_JSON_I64(out, ",", seg->icmp ? -1 : seg->ack);
	CU_JSON_U64(out, ",", seg->len);
	CU_JSON_I64(out, ",", seg->icmp ? -1 : (int64_t)seg->flags);
	CU_JSON_I64(out, ",", seg->icmp ? seg->icmp_type * 256 + seg->icmp_code : seg->window);
	if (n_more > 0) {
		CU_JSON_U64(out, ",", marks);
	}
	if (n_more > 1) {
		CU_JSON_U64(out, ",", how);
	}
	if (n_more > 2) {
		CU_PUT(out, ",[");
		for (unsigned i = 0; i < seg->n_sack; i++) {
			cu_puts(out, i > 0 ? "," : "");
			cu_put_i64(out, trace->sack[seg->sack + i].left);
			CU_JSON_I64(out, ",", trace->sack[seg->sack + i].right);
		}
		CU_PUT(out, "]");
	}
	if (n_more > 3) {
		put_hint(out, hint);
	}
	CU_PUT(out, "]");
}

static const char *file_of(const struct cu_report_transaction *item, uint16_t file)
{
	return item->header != NULL && file < item->header->n_files ? item->header->files[file].path : NULL;
}

static bool taken(struct choice *choice, size_t i, size_t *marked, size_t *plain)
{
	const struct cu_trace_segment *seg = &choice->item->trace->segment[i];
	if (at_edge(choice, i) || cited(choice, seg)) {
		return true;
	}
	return stands_out(seg) ? spread((*marked)++, choice->n_marked, choice->take_marked)
	                       : spread((*plain)++, choice->n_plain, choice->take_plain);
}

void cu_html_segments(struct cu_buf *out, const struct cu_report_transaction *item, size_t cap)
{
	struct choice choice = {.item = item};
	size_t marked = 0, plain = 0, n_left_out = 0, file = SIZE_MAX;
	const char *before = "";
	find_range(&choice);
	choose(&choice, cap);
	CU_PUT(out, "[");
	for (size_t i = choice.from; i < choice.to; i++) {
		const struct cu_trace_segment *seg = &item->trace->segment[i];
		const char *name = file_of(item, seg->file);
		if (!taken(&choice, i, &marked, &plain)) {
			n_left_out++;
			continue;
		}
		if (n_left_out > 0) {
			CU_JSON_U64(out, ",", n_left_out);
			n_left_out = 0;
		}
		cu_puts(out, before);
		if (seg->file != file && name != NULL) {
			cu_json_string(out, name, strlen(name));
			CU_PUT(out, ",");
		}
		file = seg->file;
		put_segment(out, item, seg);
		before = ",";
	}
	CU_PUT(out, "]");
}
