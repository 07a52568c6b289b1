#include "lib/report/frames.h"

#include "lib/report/sink.h"

/* Adds a range at its place, joined with those it touches. */
static size_t add(struct cu_frame_range *range, size_t n, uint64_t first, uint64_t last)
{
	if (first == 0) {
		return n;
	}
	last = last < first ? first : last;
	size_t from = 0;
	while (from < n && range[from].last < first) {
		from++;
	}
	size_t to = from;
	while (to < n && range[to].first <= last) {
		first = range[to].first < first ? range[to].first : first;
		last = range[to].last > last ? range[to].last : last;
		to++;
	}
	if (to == from) {
		for (size_t i = n; i > from; i--) {
			range[i] = range[i - 1];
		}
		n++;
	} else {
		for (size_t i = to; i < n; i++) {
			range[from + 1 + i - to] = range[i];
		}
		n -= to - from - 1;
	}
	range[from] = (struct cu_frame_range){.first = first, .last = last};
	return n;
}

size_t cu_frames_of(const struct cu_transaction *transaction, unsigned cause,
                    struct cu_frame_range range[static CU_FRAME_RANGES_CAP])
{
	size_t n = add(range, 0, transaction->request.first_frame, transaction->request.last_frame);
	n = add(range, n, transaction->response.first_frame, transaction->response.last_frame);
	n = add(range, n, transaction->acked_frame, 0);
	if (cause != CU_CAUSE_NONE && cause < CU_N_CAUSES) {
		n = add(range, n, transaction->ledger[cause].first_frame, 0);
		n = add(range, n, transaction->ledger[cause].last_frame, 0);
	}
	for (unsigned i = 0; i < transaction->n_kept && i < CU_EVENT_CAP; i++) {
		n = add(range, n, transaction->events[i].frame, 0);
	}
	return n;
}

void cu_frames_filter(const struct cu_transaction *transaction, unsigned cause, bool several, struct cu_buf *out)
{
	struct cu_frame_range range[CU_FRAME_RANGES_CAP];
	size_t n = cu_frames_of(transaction, cause, range);
	if (!several) {
		CU_PUT(out, "tcp.stream == ");
		cu_buf_add_u64(out, transaction->stream);
		CU_PUT(out, " && ");
	}
	if (n == 0) { /* no frame is known: nothing matches but a filter must stand there */
		CU_PUT(out, "frame.number == 0");
		return;
	}
	CU_PUT(out, "frame.number in {");
	for (size_t i = 0; i < n; i++) {
		uint64_t between = range[i].last - range[i].first;
		cu_puts(out, i > 0 ? "," : "");
		cu_buf_add_u64(out, range[i].first);
		if (between > 0) {
			/* A range covers other connections' frames too: only their ends without tcp.stream. */
			cu_puts(out, between == 1 || several ? "," : "..");
			cu_buf_add_u64(out, range[i].last);
		}
	}
	CU_PUT(out, "}");
}
