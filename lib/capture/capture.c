#include "lib/capture/capture.h"

#include "lib/capture/filter.h"
#include "lib/capture/input.h"

#include <stdlib.h>
#include <string.h>

enum {
	INPUTS_CAP = UINT16_MAX,
	/* Of a longer name messages have the beginning and the end, so that there is room for what was wrong. */
	NAME_CAP = 512,
};

enum slot_state {
	SLOT_OPEN,    /* head is its next packet */
	SLOT_WAITING, /* closed; only head's time is good */
	SLOT_ENDED,
};

struct slot {
	struct cu_input input;
	char *short_name; /* of an input whose name is too long for messages; else NULL */
	struct cu_packet head;
	enum slot_state state;
	bool is_head_checked;  /* against the filter */
	int prepared_linktype; /* of the filter; -1 none */
};

struct cu_capture {
	struct slot *slots;
	size_t n_slots;
	struct cu_files files;
	size_t n_files; /* descriptors that open inputs hold */
	size_t files_cap;
	uint64_t window_bytes;
	struct cu_spare spare;
	struct cu_filter *filter;
	/* slots that have not ended, the one with the earliest head first */
	size_t *heap;
	size_t heap_len;
	bool is_head_taken; /* the packet of the first slot of the heap was delivered */
	cu_progress_fn *progress;
	void *progress_arg;
};

/* ------------------------------------------------------------------- heap */

static bool is_before(const struct cu_capture *capture, size_t a, size_t b)
{
	int64_t ta = capture->slots[a].head.time_ns;
	int64_t tb = capture->slots[b].head.time_ns;
	if (ta != tb) {
		return ta < tb;
	}
	/* Shards of one capture: as they stood there. */
	uint64_t ida = capture->slots[a].input.packet_id;
	uint64_t idb = capture->slots[b].input.packet_id;
	return ida != 0 && idb != 0 && ida != idb ? ida < idb : a < b;
}

static void sift_down(struct cu_capture *capture, size_t i)
{
	size_t *heap = capture->heap;
	for (;;) {
		size_t first = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++) {
			if (child < capture->heap_len && is_before(capture, heap[child], heap[first])) {
				first = child;
			}
		}
		if (first == i) {
			return;
		}
		size_t slot = heap[i];
		heap[i] = heap[first];
		heap[first] = slot;
		i = first;
	}
}

static void drop_first(struct cu_capture *capture)
{
	capture->heap[0] = capture->heap[--capture->heap_len];
	sift_down(capture, 0);
}

/* ------------------------------------------------------------------ slots */

static void end_slot(struct cu_capture *capture, struct slot *slot)
{
	if (slot->state == SLOT_OPEN) {
		capture->n_files -= cu_source_n_files(&slot->input.source);
	}
	slot->state = SLOT_ENDED;
	cu_input_close(&slot->input);
}

static bool passes(struct cu_capture *capture, struct slot *slot, const struct cu_packet *packet)
{
	if (packet->linktype != slot->prepared_linktype) {
		struct cu_fault fault = {0};
		if (cu_filter_prepare(capture->filter, packet->linktype, &fault) < 0) {
			cu_input_fault(&slot->input, fault.code, "%s", fault.text);
		}
		slot->prepared_linktype = packet->linktype;
	}
	bool does_pass = cu_filter_match(capture->filter, packet);
	slot->input.stats.n_filtered += does_pass ? 0 : 1;
	return does_pass;
}

static void show_progress(const struct cu_capture *capture)
{
	if (capture->progress) {
		capture->progress(capture->progress_arg, capture);
	}
}

/* The slot's next packet that passes the filter: 1, 0 at its end, < 0 no memory. */
static int pull(struct cu_capture *capture, struct slot *slot, struct cu_packet *packet)
{
	int rc;
	do {
		rc = slot->input.next(&slot->input, packet);
		if (__builtin_expect(slot->input.stats.n_packets % CU_PROGRESS_PACKETS == 0, 0)) {
			show_progress(capture);
		}
	} while (rc == 1 && capture->filter && !passes(capture, slot, packet));
	return rc;
}

/* What messages call an input. */
static const char *name_of(struct slot *slot, const char *path)
{
	static const char gap[] = "[...]";
	const size_t part = (NAME_CAP - sizeof(gap)) / 2;
	size_t len = strlen(path);
	if (strcmp(path, "-") == 0) {
		return "standard input";
	}
	if (len < NAME_CAP) {
		return path;
	}
	if (slot->short_name == NULL) {
		slot->short_name = malloc(NAME_CAP);
		if (slot->short_name == NULL) {
			return path;
		}
		memcpy(slot->short_name, path, part);
		memcpy(slot->short_name + part, gap, sizeof(gap) - 1);
		memcpy(slot->short_name + part + sizeof(gap) - 1, path + len - part, part + 1);
	}
	return slot->short_name;
}

/* Opens the input of a slot and reads its first packet, whether it passes or not. */
static int open_slot(struct cu_capture *capture, size_t file, const char *path, struct cu_fault *fault)
{
	struct slot *slot = &capture->slots[file];
	slot->prepared_linktype = -1;
	slot->is_head_checked = false;
	int rc = cu_input_open(&slot->input, path, name_of(slot, path), (uint16_t)file, &capture->files,
	                       capture->window_bytes, fault);
	if (rc < 0) {
		slot->state = SLOT_ENDED;
		slot->input.stats.stopped = rc;
		return rc;
	}
	bool is_resumed = slot->state == SLOT_WAITING;
	struct cu_source *source = &slot->input.source;
	if (is_resumed && capture->n_files + cu_source_n_files(source) > capture->files_cap) {
		cu_source_yield(source, &capture->spare);
	}
	slot->state = SLOT_OPEN;
	capture->n_files += cu_source_n_files(source);
	rc = slot->input.next(&slot->input, &slot->head);
	if (rc < 0) {
		cu_fault_set(fault, rc, "%s: no memory", slot->input.name);
	}
	if (rc != 1) {
		end_slot(capture, slot);
	}
	return rc < 0 ? rc : 0;
}

/* Closes an input again that can be opened when its time has come. */
static void suspend_slot(struct cu_capture *capture, struct slot *slot)
{
	capture->n_files -= cu_source_n_files(&slot->input.source);
	cu_input_close(&slot->input);
	slot->state = SLOT_WAITING;
}

static int resume_slot(struct cu_capture *capture, size_t file)
{
	struct slot *slot = &capture->slots[file];
	struct cu_fault fault = {0};
	const char *path = slot->input.stats.path;
	cu_input_release(&slot->input);
	int rc = open_slot(capture, file, path, &fault);
	if (rc < 0 && rc != CU_ERR_NOMEM) {
		/* it was there a moment ago; the others go on */
		size_t prefix = strlen(slot->input.name) + strlen(": ");
		bool has_prefix = strlen(fault.text) > prefix;
		cu_input_fault(&slot->input, fault.code, "%s", has_prefix ? fault.text + prefix : fault.text);
		return 0;
	}
	return rc;
}

static int check_filter(struct cu_capture *capture, struct slot *slot, struct cu_fault *fault)
{
	if (!capture->filter || !slot->input.has_linktype) {
		return 0;
	}
	struct cu_fault why = {0};
	int rc = cu_filter_prepare(capture->filter, slot->input.stats.linktype, &why);
	return rc < 0 ? (int)cu_fault_set(fault, why.code, "%s: %s", slot->input.name, why.text) : 0;
}

/* ----------------------------------------------------------------- public */

static int open_all(struct cu_capture *capture, const struct cu_capture_config *config, struct cu_fault *fault)
{
	size_t n_refused = 0;
	size_t waiting_cap = capture->files_cap / 2 < CU_CAPTURE_WAITING ? capture->files_cap / 2 : CU_CAPTURE_WAITING;
	for (size_t i = 0; i < config->n_paths; i++) {
		struct slot *slot = &capture->slots[i];
		struct cu_fault refusal = {0};
		int rc = open_slot(capture, i, config->paths[i], &refusal);
		capture->n_slots++;
		if (rc < 0 && rc != CU_ERR_NOMEM && ++n_refused < config->n_paths) {
			/* One bad file among last night's does not cost the others. */
			cu_input_refuse(&slot->input, &refusal);
			if (cu_input_be_file(&slot->input) == 0) {
				continue;
			}
			rc = cu_fault_set(&refusal, CU_ERR_NOMEM, "%s: no memory", slot->input.name);
			n_refused = 1;
		}
		if (rc < 0) {
			*fault = n_refused > 1 ? *cu_capture_fault(capture, 0) : refusal;
			return fault->code;
		}
		rc = check_filter(capture, slot, fault);
		if (rc < 0) {
			return rc;
		}
		if (slot->state == SLOT_ENDED) {
			continue;
		}
		if (i > 0 && capture->n_files > waiting_cap && slot->input.source.is_regular &&
		    slot->input.source.owns_fd) {
			suspend_slot(capture, slot);
		}
		capture->heap[capture->heap_len++] = i;
	}
	for (size_t i = capture->heap_len / 2; i-- > 0;) {
		sift_down(capture, i);
	}
	return 0;
}

int cu_capture_open(struct cu_capture **capture, const struct cu_capture_config *config, struct cu_fault *fault)
{
	*capture = NULL;
	if (config->n_paths > INPUTS_CAP) {
		return cu_fault_set(fault, CU_ERR_RANGE, "%zu inputs are more than %d", config->n_paths, INPUTS_CAP);
	}
	struct cu_capture *c = calloc(1, sizeof(*c));
	size_t n = config->n_paths > 0 ? config->n_paths : 1;
	if (c) {
		c->slots = calloc(n, sizeof(*c->slots));
		c->heap = calloc(n, sizeof(*c->heap));
		c->filter = config->filter ? cu_filter_new(config->filter) : NULL;
		cu_files_init(&c->files);
		c->window_bytes = config->window_bytes;
		c->files_cap = config->files_cap > 0 ? config->files_cap : CU_CAPTURE_FILES;
		c->spare.fd = config->has_spare_file ? config->spare_fd : -1;
		c->progress = config->progress;
		c->progress_arg = config->progress_arg;
	}
	if (!c || !c->slots || !c->heap || (config->filter && !c->filter)) {
		cu_capture_close(c);
		return cu_fault_set(fault, CU_ERR_NOMEM, "no memory for %zu inputs", config->n_paths);
	}
	int rc = open_all(c, config, fault);
	if (rc < 0) {
		cu_capture_close(c);
		return rc;
	}
	*capture = c;
	return 0;
}

/* The head that opening read: 1, or 0 when it was used already or does not pass. */
static int take_first_head(struct cu_capture *capture, struct slot *slot, struct cu_packet *packet)
{
	if (slot->is_head_checked) {
		return 0;
	}
	slot->is_head_checked = true;
	*packet = slot->head;
	return !capture->filter || passes(capture, slot, packet);
}

/* The first packet of the only input, or one behind a filter. (noinline keeps the usual way short: 4 % of flowify.) */
static __attribute__((noinline)) int next_of_one(struct cu_capture *capture, struct cu_packet *packet)
{
	struct slot *slot = &capture->slots[0];
	if (slot->state == SLOT_ENDED) {
		return 0;
	}
	if (take_first_head(capture, slot, packet)) {
		return 1;
	}
	return pull(capture, slot, packet);
}

/* Makes head the slot's next packet, which was not delivered yet: 1, 0 at its end, < 0 no memory. */
static int advance(struct cu_capture *capture, size_t file)
{
	struct slot *slot = &capture->slots[file];
	if (slot->state == SLOT_WAITING) {
		int rc = resume_slot(capture, file);
		return rc < 0 ? rc : slot->state == SLOT_OPEN;
	}
	return pull(capture, slot, &slot->head);
}

/* Whether the first slot's head is the packet to deliver next. */
static bool is_head_good(struct cu_capture *capture, struct slot *slot)
{
	if (slot->state == SLOT_WAITING || capture->is_head_taken) {
		return false;
	}
	struct cu_packet ignored;
	return slot->is_head_checked || take_first_head(capture, slot, &ignored);
}

static __attribute__((noinline)) int next_of_many(struct cu_capture *capture, struct cu_packet *packet)
{
	while (capture->heap_len > 0) {
		size_t file = capture->heap[0];
		struct slot *slot = &capture->slots[file];
		if (is_head_good(capture, slot)) {
			*packet = slot->head;
			capture->is_head_taken = true;
			return 1;
		}
		capture->is_head_taken = false;
		int rc = advance(capture, file);
		if (rc < 0) {
			return rc;
		}
		if (rc == 0) {
			end_slot(capture, slot);
			drop_first(capture);
		} else {
			sift_down(capture, 0);
		}
	}
	return 0;
}

int cu_capture_next(struct cu_capture *capture, struct cu_packet *packet)
{
	if (capture->n_slots != 1) {
		return next_of_many(capture, packet);
	}
	struct slot *slot = &capture->slots[0];
	if (!slot->is_head_checked || capture->filter) {
		return next_of_one(capture, packet);
	}
	if (__builtin_expect(slot->input.stats.n_packets % CU_PROGRESS_PACKETS == 0, 0)) {
		show_progress(capture);
	}
	return slot->input.next(&slot->input, packet);
}

int cu_capture_next_batch(struct cu_capture *capture, struct cu_packet *packets, int n)
{
	int rc = cu_capture_next(capture, packets);
	struct cu_input *input = &capture->slots[0].input;
	if (rc <= 0 || capture->n_slots != 1 || capture->filter) {
		return rc;
	}
	uint64_t until_progress = CU_PROGRESS_PACKETS - input->stats.n_packets % CU_PROGRESS_PACKETS;
	int more = (uint64_t)n - 1 < until_progress ? n - 1 : (int)until_progress;
	return 1 + input->take(input, packets + 1, more);
}

uint64_t cu_capture_packet_id(const struct cu_capture *capture, const struct cu_packet *packet)
{
	return cu_packet_id(&capture->files.all[packet->file], packet);
}

uint16_t cu_capture_input(const struct cu_capture *capture)
{
	return capture->n_slots == 1 ? 0 : (uint16_t)capture->heap[0];
}

uint32_t cu_capture_interface_number(const struct cu_capture *capture)
{
	const struct cu_input *input = &capture->slots[cu_capture_input(capture)].input;
	const struct cu_pcapng *ng = &input->format.pcapng;
	return input->is_pcapng ? ng->n_interfaces_before + ng->last_interface : 0;
}

void cu_capture_interface(const struct cu_capture *capture, struct cu_interface *interface)
{
	const struct cu_input *input = &capture->slots[cu_capture_input(capture)].input;
	if (input->is_pcapng) {
		cu_pcapng_interface(input, interface);
	} else {
		cu_pcap_interface(input, interface);
	}
}

void cu_capture_origin(const struct cu_capture *capture, struct cu_origin *origin)
{
	origin->input = cu_capture_input(capture);
	cu_capture_interface(capture, &origin->interface);
}

const struct cu_fault *cu_capture_fault(const struct cu_capture *capture, size_t n)
{
	for (size_t i = 0; i < capture->n_slots; i++) {
		const struct cu_input *input = &capture->slots[i].input;
		if (n < input->n_faults) {
			return &input->faults[n];
		}
		n -= input->n_faults;
	}
	return NULL;
}

bool cu_capture_is_settled(const struct cu_capture *capture)
{
	for (size_t i = 0; i < capture->n_slots; i++) {
		const struct slot *slot = &capture->slots[i];
		bool is_visited = slot->state == SLOT_OPEN && slot->input.source.is_visited;
		if (slot->state == SLOT_WAITING || is_visited) {
			return false;
		}
	}
	return capture->filter == NULL;
}

size_t cu_capture_n_files(const struct cu_capture *capture)
{
	return capture->files.n;
}

const struct cu_capture_file *cu_capture_file(const struct cu_capture *capture, size_t file)
{
	return &capture->files.all[file];
}

size_t cu_capture_n_inputs(const struct cu_capture *capture)
{
	return capture->n_slots;
}

const struct cu_capture_stats *cu_capture_stats(const struct cu_capture *capture, size_t number)
{
	struct cu_input *input = &capture->slots[number].input;
	if (input->source.buf) {
		input->stats.read_bytes = cu_source_read_bytes(&input->source);
	}
	return &input->stats;
}

void cu_capture_close(struct cu_capture *capture)
{
	if (!capture) {
		return;
	}
	for (size_t i = 0; i < capture->n_slots; i++) {
		cu_input_release(&capture->slots[i].input);
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there are slots when n_slots says so */
		free(capture->slots[i].short_name);
	}
	cu_files_release(&capture->files);
	cu_filter_free(capture->filter);
	free(capture->heap);
	free(capture->slots);
	free(capture);
}
