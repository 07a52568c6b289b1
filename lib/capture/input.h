/*
 * Private to lib/capture: one input file, its format, its faults and counts.
 */
#ifndef CU_CAPTURE_INPUT_H
#define CU_CAPTURE_INPUT_H

#include "lib/capture/capture.h"
#include "lib/capture/files.h"
#include "lib/capture/source.h"

enum {
	CU_INPUT_FAULT_CAP = 16,      /* faults kept of one input; all are counted */
	CU_FORMAT_TEXT_CAP = 24,      /* "pcapng (bzip2)" */
	CU_RESYNC_NEAR_S = 24 * 3600, /* a timestamp this close to the last one is no surprise */
	CU_ASTRAY_RUN = 2,            /* packets whose times are far off, at most: more have another clock, ... */
	CU_ASTRAY_NEIGHBOURS = 3,     /* ... and as many behind them are near the one in front of them */
	CU_ASTRAY_LOOK_AHEAD = CU_ASTRAY_RUN - 1 + CU_ASTRAY_NEIGHBOURS,
};

/* What a pcap file header says (tcpdump.org, draft-ietf-opsawg-pcap). */
struct cu_pcap {
	bool is_big_endian;
	uint8_t length_order;      /* enum in pcap.c: old versions swapped the two lengths */
	uint32_t header_len;       /* of a record: 16, or 20, 24 or 28 in variants */
	uint32_t subsec_ns;        /* nanoseconds of one unit of the fraction: 1 or 1000 */
	uint32_t subsec_max;       /* the fraction is below it */
	uint32_t usual_caplen_max; /* the snap length: more is odd */
	uint32_t caplen_max;       /* more is damage: CU_PACKET_CAP, or a larger snap length up to CU_PACKET_MAX */
	uint32_t last_sec;
	bool has_last_sec;
	unsigned usual_oddness; /* of the first records: this writer's ways */
	uint64_t jump_frame;    /* packets before the last jump in time */
	size_t prev_len;   /* data bytes of the record in front of pos, where a damaged length may have hidden others */
	uint64_t searched; /* what is before this place in the stream was searched for those, and is not again */
};

struct cu_pcapng_interface {
	uint16_t linktype;
	uint8_t resolution;    /* if_tsresol as given */
	uint8_t shift;         /* if_tsresol 2^-shift; 0: decimal */
	uint32_t snaplen;      /* 0: no limit */
	uint64_t multiplier;   /* ns of a unit; 0: divide */
	uint64_t divisor;      /* units of a ns */
	int64_t offset_ns;     /* if_tsoffset */
	uint64_t n_drops;      /* as the last statistics block said */
	uint64_t n_drops_seen; /* sum of what packet blocks said */
	uint16_t file;         /* of its packets */
	char name[CU_INTERFACE_NAME_CAP];
};

struct cu_pcapng {
	bool is_big_endian;
	struct cu_pcapng_interface *interfaces; /* of the current section */
	size_t n_interfaces, interfaces_cap;
	uint64_t n_blocks;
	uint64_t pending_skip;        /* rest of a block too large for the buffer */
	int64_t last_time_ns;         /* for blocks without a time of their own */
	uint32_t last_interface;      /* of the packet delivered last, in its section */
	uint32_t n_interfaces_before; /* of former sections */
	bool is_shard;                /* the section's packet ids are those of dump.h */
	uint16_t last_file;           /* shards: of the packets so far, the last in what was split */
	uint64_t last_frame;
};

struct cu_input {
	/* 1 packet, 0 end, < 0 no memory; frame numbers and counts are kept here */
	int (*next)(struct cu_input *input, struct cu_packet *packet);
	/* of what lies whole in the buffer, which stays as it is, up to n usual packets; how many */
	int (*take)(struct cu_input *input, struct cu_packet *packets, int n);
	struct cu_source source;
	struct cu_capture_stats stats;
	union {
		struct cu_pcap pcap;
		struct cu_pcapng pcapng;
	} format;
	bool is_pcapng;
	bool has_linktype;     /* stats.linktype is known */
	bool has_source_fault; /* source.fault is in faults */
	uint16_t number;       /* among the inputs */
	uint16_t file;         /* the input itself; a shard is one only for packets of another origin */
	bool has_file;
	struct cu_files *files;
	bool has_time;      /* last_ns is known */
	int64_t last_ns;    /* of the packet delivered last */
	uint64_t packet_id; /* of the packet delivered last, in a shard; else 0 */
	const char *name;   /* for messages */
	char format_text[CU_FORMAT_TEXT_CAP];
	struct cu_fault *faults;
	size_t n_faults;
};

/*
 * Opens path as the input with this number and reads its file header; name is
 * what messages call it, borrowed, files is where it says of what files its
 * packets are, and window_bytes as in struct cu_capture_config. 0, or an error
 * with its sentence in fault; nothing is left open then.
 */
int cu_input_open(struct cu_input *input, const char *path, const char *name, uint16_t number, struct cu_files *files,
                  uint64_t window_bytes, struct cu_fault *fault);

/* Adds the input itself to the files. 0, or an error of cu_files_add. */
int cu_input_be_file(struct cu_input *input);

/* Frees all; counts and faults stay readable until cu_input_release. */
void cu_input_close(struct cu_input *input);
void cu_input_release(struct cu_input *input);

/* Counts a step in time that is told, to a packet's. */
void cu_input_count_step(struct cu_input *input, int64_t step_ns, uint64_t frame);

/* Whether a time is further than CU_JUMP_NS from that of the packet before. */
static inline bool cu_input_is_far(const struct cu_input *input, int64_t time_ns)
{
	return (uint64_t)time_ns - (uint64_t)input->last_ns + CU_JUMP_NS > 2 * (uint64_t)CU_JUMP_NS;
}

/*
 * The time of a packet that is far from the one before it: its own, or, when it
 * is astray, that one's, which is counted. following: the times of n packets
 * behind it, CU_ASTRAY_LOOK_AHEAD of them unless the input ends before.
 */
int64_t cu_input_settle_time(struct cu_input *input, int64_t time_ns, const int64_t *following, unsigned n);

/* For each packet, before it is delivered. */
static inline void cu_input_note_time(struct cu_input *input, const struct cu_packet *packet)
{
	int64_t step_ns = (int64_t)((uint64_t)packet->time_ns - (uint64_t)input->last_ns);
	input->last_ns = packet->time_ns;
	if (__builtin_expect((uint64_t)step_ns + CU_STEP_BACK_NS > CU_STEP_BACK_NS + CU_JUMP_NS, 0)) {
		cu_input_count_step(input, step_ns, packet->frame);
	}
}

/* Notes a fault at a place of the input: "NAME: " and the formatted text. Beyond CU_INPUT_FAULT_CAP it is dropped. */
void cu_input_fault(struct cu_input *input, enum cu_error code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Keeps the fault of an input that could not be opened, as it is. */
void cu_input_refuse(struct cu_input *input, const struct cu_fault *fault);

/* Takes over what stopped the source, once. Returns whether something did. */
bool cu_input_check_source(struct cu_input *input);

/* Formats: read the file header at the source's position; 0 or an error with its sentence in fault. */
int cu_pcap_open(struct cu_input *input, struct cu_fault *fault);
int cu_pcapng_open(struct cu_input *input, struct cu_fault *fault);
int cu_pcap_next(struct cu_input *input, struct cu_packet *packet);
int cu_pcapng_next(struct cu_input *input, struct cu_packet *packet);
int cu_pcap_take(struct cu_input *input, struct cu_packet *packets, int n);
int cu_pcapng_take(struct cu_input *input, struct cu_packet *packets, int n);
void cu_pcapng_release(struct cu_input *input);

/* What the file says of the interface of the packet delivered last. */
void cu_pcap_interface(const struct cu_input *input, struct cu_interface *interface);
void cu_pcapng_interface(const struct cu_input *input, struct cu_interface *interface);

/* Whether these 4 bytes begin a file of the format. */
bool cu_pcap_is_magic(const uint8_t *head);
bool cu_pcapng_is_magic(const uint8_t *head);

#endif
