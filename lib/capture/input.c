#include "lib/capture/input.h"

#include "lib/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_LEN = 4 };

static void count_step(struct cu_time_steps *steps, int64_t step_ns, uint64_t frame)
{
	int64_t size_ns = step_ns < 0 ? -(step_ns + 1) + 1 : step_ns;
	steps->n++;
	if (size_ns > steps->largest_ns) {
		steps->largest_ns = size_ns;
		steps->frame = frame;
	}
}

void cu_input_count_step(struct cu_input *input, int64_t step_ns, uint64_t frame)
{
	if (!input->has_time) { /* from nothing to the first packet */
		input->has_time = true;
		return;
	}
	count_step(step_ns < 0 ? &input->stats.back : &input->stats.ahead, step_ns, frame);
}

static bool is_far(int64_t a_ns, int64_t b_ns)
{
	return (a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns) > CU_JUMP_NS;
}

int64_t cu_input_settle_time(struct cu_input *input, int64_t time_ns, const int64_t *following, unsigned n)
{
	int64_t last_ns = input->last_ns;
	unsigned first = 0;
	while (first < n && first < CU_ASTRAY_RUN - 1 && is_far(following[first], last_ns)) {
		first++;
	}
	bool is_astray = is_far(time_ns, last_ns) && n >= first + CU_ASTRAY_NEIGHBOURS;
	for (unsigned i = first; is_astray && i < first + CU_ASTRAY_NEIGHBOURS; i++) {
		is_astray = !is_far(following[i], last_ns) && is_far(following[i], time_ns);
	}
	if (!is_astray) {
		return time_ns;
	}
	count_step(&input->stats.astray, time_ns - last_ns, input->stats.n_packets + 1);
	return last_ns;
}

void cu_input_fault(struct cu_input *input, enum cu_error code, const char *format, ...)
{
	if (input->n_faults >= CU_INPUT_FAULT_CAP) {
		return;
	}
	if (!input->faults) {
		input->faults = calloc(CU_INPUT_FAULT_CAP, sizeof(*input->faults));
		if (!input->faults) {
			return;
		}
	}
	char text[sizeof(input->faults->text)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cu_fault_set(&input->faults[input->n_faults++], code, "%s: %s", input->name, text);
}

void cu_input_refuse(struct cu_input *input, const struct cu_fault *fault)
{
	if (!input->faults) {
		input->faults = calloc(CU_INPUT_FAULT_CAP, sizeof(*input->faults));
	}
	if (input->faults && input->n_faults < CU_INPUT_FAULT_CAP) {
		input->faults[input->n_faults++] = *fault;
	}
}

bool cu_input_check_source(struct cu_input *input)
{
	if (!input->source.fault.code) {
		return false;
	}
	if (!input->has_source_fault) {
		input->has_source_fault = true;
		input->stats.stopped = input->source.fault.code;
		cu_input_fault(input, input->source.fault.code, "%s", "");
		if (input->n_faults > 0) {
			input->faults[input->n_faults - 1] = input->source.fault;
		}
	}
	return true;
}

/* What people take for a capture that is read here, and what to do with it. */
static const struct foreign {
	const char *magic;
	uint16_t len, at;
	const char *what;
} foreigners[] = {
	{"snoop\0\0\0", 8, 0, "a snoop capture, which editcap -F pcapng converts"}, /* RFC 1761 */
	{"GMBU", 4, 0, "a Network Monitor capture, which editcap -F pcapng converts"},
	{"RTSS", 4, 0, "a Network Monitor capture, which editcap -F pcapng converts"},
	{"XCP", 4, 0, "a Sniffer capture, which editcap -F pcapng converts"},
	{"TRSNIFF data", 12, 0, "a Sniffer capture, which editcap -F pcapng converts"},
	{"\x89"
         "CFL",
         4, 0, "a stream of flow records: culprit analyze reads it"},
	{"PK\3\4", 4, 0, "a zip archive: unpack it first"},
	{"7z\xbc\xaf", 4, 0, "a 7z archive: unpack it first"},
	{"Rar!", 4, 0, "a rar archive: unpack it first"},
	{"ustar", 5, 257, "a tar archive: unpack it first"},
	{"\x1f\x8b\x08", 3, 0, "compressed twice"},
	{"\x28\xb5\x2f\xfd", 4, 0, "compressed twice"},
};

static const struct foreign *find_foreign(struct cu_source *src)
{
	for (size_t i = 0; i < sizeof(foreigners) / sizeof(foreigners[0]); i++) {
		const struct foreign *foreign = &foreigners[i];
		size_t len = (size_t)foreign->at + foreign->len;
		if (cu_source_left(src) >= len && memcmp(src->pos + foreign->at, foreign->magic, foreign->len) == 0) {
			return foreign;
		}
	}
	return NULL;
}

/* Says that an input is no capture, and what else it is. */
static int refuse(struct cu_input *input, struct cu_fault *fault)
{
	struct cu_source *src = &input->source;
	const uint8_t *p = src->pos;
	const struct foreign *foreign = find_foreign(src);
	if (foreign != NULL) {
		return cu_fault_set(fault, CU_ERR_FORMAT, "%s: is %s", input->name, foreign->what);
	}
	cu_fault_set(fault, CU_ERR_FORMAT, "%s: is not a capture (begins with %02x %02x %02x %02x)", input->name, p[0],
	             p[1], p[2], p[3]);
	if (src->decoder) {
		/* bzip2 gives a whole block before it knows that it is damaged: that would be why */
		cu_source_skip(src, CU_SOURCE_ROOM);
		*fault = src->fault.code ? src->fault : *fault;
	}
	return fault->code;
}

static int recognise(struct cu_input *input, struct cu_fault *fault)
{
	struct cu_source *src = &input->source;
	size_t len = cu_source_fill(src, MAGIC_LEN, 0);
	if (src->fault.code) {
		*fault = src->fault;
		return fault->code;
	}
	if (len == 0) {
		return cu_fault_set(fault, CU_ERR_FORMAT, "%s: is empty", input->name);
	}
	const uint8_t *p = src->pos;
	if (len < MAGIC_LEN) {
		return cu_fault_set(fault, CU_ERR_FORMAT, "%s: is not a capture (has only %zu bytes)", input->name,
		                    len);
	}
	if (cu_pcap_is_magic(p)) {
		input->next = cu_pcap_next;
		input->take = cu_pcap_take;
		return cu_pcap_open(input, fault);
	}
	if (cu_pcapng_is_magic(p)) {
		input->next = cu_pcapng_next;
		input->take = cu_pcapng_take;
		input->is_pcapng = true;
		return cu_pcapng_open(input, fault);
	}
	return refuse(input, fault);
}

int cu_input_be_file(struct cu_input *input)
{
	if (input->has_file) {
		return 0;
	}
	int file = cu_files_add(input->files, input->stats.path, input->number, true);
	if (file < 0) {
		return file;
	}
	input->file = (uint16_t)file;
	input->has_file = true;
	return 0;
}

int cu_input_open(struct cu_input *input, const char *path, const char *name, uint16_t number, struct cu_files *files,
                  uint64_t window_bytes, struct cu_fault *fault)
{
	memset(input, 0, sizeof(*input));
	input->number = number;
	input->files = files;
	input->name = name;
	input->stats.path = path;
	input->stats.format = "";
	int rc = cu_source_open(&input->source, path, input->name, window_bytes);
	if (rc < 0) {
		*fault = input->source.fault;
	} else {
		rc = recognise(input, fault);
	}
	if (rc < 0) {
		cu_input_release(input);
		return rc;
	}
	const char *compression = cu_compression_name(input->source.compression);
	(void)snprintf(input->format_text, sizeof(input->format_text), "%s%s%s%s", input->is_pcapng ? "pcapng" : "pcap",
	               *compression ? " (" : "", compression, *compression ? ")" : "");
	input->stats.format = input->format_text;
	input->stats.size_bytes = input->source.size_bytes;
	return 0;
}

void cu_input_close(struct cu_input *input)
{
	if (input->source.buf) {
		input->stats.read_bytes = cu_source_read_bytes(&input->source);
	}
	if (input->is_pcapng) {
		cu_pcapng_release(input);
	}
	cu_source_release(&input->source);
}

void cu_input_release(struct cu_input *input)
{
	cu_input_close(input);
	free(input->faults);
	input->faults = NULL;
	input->n_faults = 0;
}
