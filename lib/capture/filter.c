#include "lib/capture/filter.h"

#include "lib/base/grow.h"

#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

enum program_state { PROGRAM_READY, PROGRAM_PASSES_NOTHING };

struct program {
	uint16_t linktype;
	enum program_state state;
	struct bpf_program code;
};

struct cu_filter {
	const char *expression;
	struct program *programs;
	size_t n_programs, programs_cap;
	uint32_t number[UINT16_MAX + 1]; /* of a link type's program, from 1; 0: none yet */
};

/*
 * libpcap's own number (DLT_) of a LINKTYPE_, where the two differ on Linux
 * (pcap-common.c keeps the table to itself).
 */
static int dlt_of(uint16_t linktype)
{
	switch (linktype) {
	case 50:
		return DLT_PPP_SERIAL;
	case 100:
		return DLT_ATM_RFC1483;
	case 101:
		return DLT_RAW;
	case 106:
		return DLT_ATM_CLIP;
	default:
		return linktype;
	}
}

struct cu_filter *cu_filter_new(const char *expression)
{
	struct cu_filter *filter = calloc(1, sizeof(*filter));
	if (filter) {
		filter->expression = expression;
	}
	return filter;
}

void cu_filter_free(struct cu_filter *filter)
{
	if (!filter) {
		return;
	}
	for (size_t i = 0; i < filter->n_programs; i++) {
		pcap_freecode(&filter->programs[i].code);
	}
	free(filter->programs);
	free(filter);
}

static struct program *find(const struct cu_filter *filter, uint16_t linktype)
{
	uint32_t number = filter->number[linktype];
	return number != 0 ? &filter->programs[number - 1] : NULL;
}

static int compile(const char *expression, struct program *program, struct cu_fault *fault)
{
	pcap_t *pcap = pcap_open_dead(dlt_of(program->linktype), CU_PACKET_CAP);
	if (!pcap) {
		return cu_fault_set(fault, CU_ERR_NOMEM, "filter: no memory");
	}
	int rc = 0;
	program->state = PROGRAM_READY;
	if (pcap_compile(pcap, &program->code, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		const char *why = pcap_geterr(pcap);
		memset(&program->code, 0, sizeof(program->code));
		program->state = PROGRAM_PASSES_NOTHING;
		/* sound, and never true of this link type: no error to us */
		if (!strstr(why, "rejects all packets")) {
			rc = cu_fault_set(fault, CU_ERR_RULES, "filter '%s': %s", expression, why);
		}
	}
	pcap_close(pcap);
	return rc;
}

int cu_filter_prepare(struct cu_filter *filter, uint16_t linktype, struct cu_fault *fault)
{
	if (find(filter, linktype)) {
		return 0;
	}
	if (!cu_grow((void **)&filter->programs, &filter->programs_cap, filter->n_programs, sizeof(struct program))) {
		return cu_fault_set(fault, CU_ERR_NOMEM, "filter: no memory");
	}
	struct program *program = &filter->programs[filter->n_programs++];
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there is room, or growing it failed */
	*program = (struct program){.linktype = linktype};
	filter->number[linktype] = (uint32_t)filter->n_programs;
	return compile(filter->expression, program, fault);
}

bool cu_filter_match(const struct cu_filter *filter, const struct cu_packet *packet)
{
	const struct program *program = find(filter, packet->linktype);
	return program && program->state == PROGRAM_READY &&
	       bpf_filter(program->code.bf_insns, packet->data, packet->len, packet->caplen) != 0;
}
