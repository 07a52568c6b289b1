#include "lib/report/frames.h"

#include "lib/report/json_write.h"

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

/* Adds those of two frames that are in the file, with what lies between when both are. */
static size_t add_ends(struct cu_frame_range *range, size_t n, uint16_t file, const struct cu_message *message)
{
	if (message->first_file == file && message->last_file == file) {
		return add(range, n, message->first_frame, message->last_frame);
	}
	n = add(range, n, message->first_file == file ? message->first_frame : 0, 0);
	return add(range, n, message->last_file == file ? message->last_frame : 0, 0);
}

size_t cu_frames_of(const struct cu_transaction *transaction, unsigned cause, uint16_t file,
                    struct cu_frame_range range[static CU_FRAME_RANGES_CAP])
{
	size_t n = add_ends(range, 0, file, &transaction->request);
	n = add_ends(range, n, file, &transaction->response);
	n = add(range, n, transaction->acked_file == file ? transaction->acked_frame : 0, 0);
	if (cause != CU_CAUSE_NONE && cause < CU_N_CAUSES) {
		const struct cu_ledger_entry *entry = &transaction->ledger[cause];
		n = add(range, n, entry->first_file == file ? entry->first_frame : 0, 0);
		n = add(range, n, entry->last_file == file ? entry->last_frame : 0, 0);
	}
	for (unsigned i = 0; i < transaction->n_kept && i < CU_EVENT_CAP; i++) {
		n = add(range, n, transaction->events[i].file == file ? transaction->events[i].frame : 0, 0);
	}
	return n;
}

static size_t add_file(uint16_t *file, size_t n, uint16_t one)
{
	for (size_t i = 0; i < n; i++) {
		if (file[i] == one) {
			return n;
		}
	}
	file[n] = one;
	return n + 1;
}

size_t cu_frame_files_of(const struct cu_transaction *transaction, unsigned cause,
                         uint16_t file[static CU_FRAME_FILES_CAP])
{
	size_t n = add_file(file, 0, 0);
	n = add_file(file, n, transaction->request.first_file);
	n = add_file(file, n, transaction->request.last_file);
	n = add_file(file, n, transaction->response.first_file);
	n = add_file(file, n, transaction->response.last_file);
	n = add_file(file, n, transaction->acked_file);
	if (cause != CU_CAUSE_NONE && cause < CU_N_CAUSES) {
		n = add_file(file, n, transaction->ledger[cause].first_file);
		n = add_file(file, n, transaction->ledger[cause].last_file);
	}
	for (unsigned i = 0; i < transaction->n_kept && i < CU_EVENT_CAP; i++) {
		n = add_file(file, n, transaction->events[i].file);
	}
	return n;
}

static void put_end(struct cu_buf *out, const struct cu_addr *addr, uint16_t port)
{
	cu_puts(out, addr->family == 6 ? "ipv6.addr == " : "ip.addr == ");
	cu_put_addr(out, addr);
	CU_PUT(out, " && tcp.port == ");
	cu_buf_add_u64(out, port);
	CU_PUT(out, " && ");
}

void cu_frames_filter(const struct cu_connection *connection, const struct cu_transaction *transaction, unsigned cause,
                      uint16_t file, struct cu_buf *out)
{
	struct cu_frame_range range[CU_FRAME_RANGES_CAP];
	size_t n = cu_frames_of(transaction, cause, file, range);
	if (n == 0) { /* no frame is known: nothing matches but a filter must stand there */
		CU_PUT(out, "frame.number == 0");
		return;
	}
	if (connection != NULL) {
		put_end(out, &connection->client, connection->client_port);
		put_end(out, &connection->server, connection->server_port);
	}
	CU_PUT(out, "frame.number in {");
	for (size_t i = 0; i < n; i++) {
		uint64_t between = range[i].last - range[i].first;
		cu_puts(out, i > 0 ? "," : "");
		cu_buf_add_u64(out, range[i].first);
		if (between > 0) {
			/* A range covers other connections' frames too: only its ends where ours is not known. */
			cu_puts(out, between == 1 || connection == NULL ? "," : "..");
			cu_buf_add_u64(out, range[i].last);
		}
	}
	CU_PUT(out, "}");
}
