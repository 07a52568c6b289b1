#include "lib/capture/filter.h"

#include "lib/base/bytes.h"
#include "lib/base/grow.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* LINKTYPE_ numbers (tcpdump.org/linktypes.html). */
	LINKTYPE_NULL = 0,
	LINKTYPE_RAW_BSD = 12,
	LINKTYPE_RAW_OPENBSD = 14,
	LINKTYPE_RAW = 101,
	LINKTYPE_ENC = 109,
};

enum program_state { PROGRAM_READY, PROGRAM_PASSES_NOTHING };

struct program {
	uint16_t linktype;
	bool is_swappable; /* begins with an address family in the byte order of the machine that captured */
	enum program_state state;
	struct bpf_program code;
	struct bpf_program swapped_code; /* for the other byte order than this machine's */
};

struct cu_filter {
	const char *expression;
	struct program *programs;
	size_t n_programs, programs_cap;
	uint32_t number[UINT16_MAX + 1]; /* of a link type's program, from 1; 0: none yet */
};

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
		pcap_freecode(&filter->programs[i].swapped_code);
	}
	free(filter->programs);
	free(filter);
}

static struct program *find(const struct cu_filter *filter, uint16_t linktype)
{
	uint32_t number = filter->number[linktype];
	return number != 0 ? &filter->programs[number - 1] : NULL;
}

/*
 * libpcap's handle of a capture file with this link type, in this machine's
 * byte order or the other. A handle that is of no file (pcap_open_dead) would
 * compile for a live capture of this system: for its address families alone,
 * and with tests of what no file has, such as a direction. NULL without memory,
 * or with why: libpcap's words, PCAP_ERRBUF_SIZE bytes.
 */
static pcap_t *open_empty(uint16_t linktype, bool is_swapped, char *why)
{
	/* The numbers of two systems for what has a number of its own. */
	bool is_raw = linktype == LINKTYPE_RAW_BSD || linktype == LINKTYPE_RAW_OPENBSD;
	struct pcap_file_header header = {
		.magic = 0xa1b2c3d4,
		.version_major = PCAP_VERSION_MAJOR,
		.version_minor = PCAP_VERSION_MINOR,
		.snaplen = CU_PACKET_CAP,
		.linktype = is_raw ? LINKTYPE_RAW : linktype,
	};
	if (is_swapped) {
		header.magic = __builtin_bswap32(header.magic);
		header.version_major = __builtin_bswap16(header.version_major);
		header.version_minor = __builtin_bswap16(header.version_minor);
		header.snaplen = __builtin_bswap32(header.snaplen);
		header.linktype = __builtin_bswap32(header.linktype);
	}
	FILE *file = fmemopen(&header, sizeof(header), "rb");
	if (!file) {
		return NULL;
	}
	pcap_t *pcap = pcap_fopen_offline(file, why); /* has read the header; closes the file with itself */
	if (!pcap) {
		(void)fclose(file);
	}
	return pcap;
}

/* Compiles to code. 0, or an error with libpcap's words in fault. */
static int compile(const char *expression, struct program *program, bool is_swapped, struct bpf_program *code,
                   struct cu_fault *fault)
{
	char why[PCAP_ERRBUF_SIZE] = "no memory";
	pcap_t *pcap = open_empty(program->linktype, is_swapped, why);
	if (!pcap) {
		program->state = PROGRAM_PASSES_NOTHING;
		return cu_fault_set(fault, CU_ERR_NOMEM, "filter: %s", why);
	}
	int rc = 0;
	if (pcap_compile(pcap, code, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		memset(code, 0, sizeof(*code));
		program->state = PROGRAM_PASSES_NOTHING;
		/* sound, and never true of this link type: no error to us */
		if (!strstr(pcap_geterr(pcap), "rejects all packets")) {
			rc = cu_fault_set(fault, CU_ERR_RULES, "filter '%s': %s", expression, pcap_geterr(pcap));
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
	*program = (struct program){.linktype = linktype, .state = PROGRAM_READY};
	program->is_swappable = linktype == LINKTYPE_NULL || linktype == LINKTYPE_ENC;
	filter->number[linktype] = (uint32_t)filter->n_programs;
	int rc = compile(filter->expression, program, false, &program->code, fault);
	if (rc == 0 && program->is_swappable) {
		rc = compile(filter->expression, program, true, &program->swapped_code, fault);
	}
	return rc;
}

/*
 * The program for a packet. The order of its address family, a small number,
 * is seen by where its zeros are: that of the file says less, as of a file that
 * was converted, or split.
 */
static const struct bpf_insn *code_for(const struct program *program, const struct cu_packet *packet)
{
	if (program->is_swappable && packet->caplen >= 4) {
		bool is_big_endian = cu_get_be32(packet->data) >> 16 == 0;
		bool is_swapped = is_big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
		return is_swapped ? program->swapped_code.bf_insns : program->code.bf_insns;
	}
	return program->code.bf_insns;
}

bool cu_filter_match(const struct cu_filter *filter, const struct cu_packet *packet)
{
	const struct program *program = find(filter, packet->linktype);
	return program && program->state == PROGRAM_READY &&
	       bpf_filter(code_for(program, packet), packet->data, packet->len, packet->caplen) != 0;
}
