/*
 * Captures in: pcap and pcapng, plain or compressed, from files and streams.
 *
 * A cu_capture reads several inputs as one, merged by time. Packets are
 * borrowed: they live until the next call. Damage in the framing is skipped
 * and counted where the next plausible record can be found; the first fault
 * is kept and everything that was whole is still delivered.
 */
#ifndef CU_CAPTURE_CAPTURE_H
#define CU_CAPTURE_CAPTURE_H

#include "lib/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CU_PACKET_CAP = 262144, /* the largest packet that is believed (libpcap's MAXIMUM_SNAPLEN), ... */
	/* ... or where a snap length above it says so, as after BIG TCP (Linux 6.3), whose segments end at 512 KiB */
	CU_PACKET_MAX = 1024 * 1024,
};

struct cu_packet {
	int64_t time_ns;     /* since 1970-01-01 UTC; may step back */
	uint64_t frame;      /* number in its file, from 1, as Wireshark counts; of a shard, in what was split */
	const uint8_t *data; /* caplen bytes, borrowed until the next call */
	uint32_t caplen;     /* bytes captured */
	uint32_t len;        /* bytes on the wire, at least caplen */
	uint16_t linktype;   /* LINKTYPE_ number of tcpdump.org */
	uint16_t file;       /* in which frame counts: see cu_capture_file */
};

struct cu_capture;

/* Called every CU_PROGRESS_PACKETS packets that are read, passed over by the filter or not; stats say how far it is. */
typedef void cu_progress_fn(void *arg, const struct cu_capture *capture);

enum { CU_PROGRESS_PACKETS = 65536 };

/*
 * Descriptors that inputs hold, by default. Regular files whose turn has not
 * come hold CU_CAPTURE_WAITING, or half of what is allowed where that is less,
 * and those beyond are closed again until the merge comes to their first
 * packet. When it comes to more at a time than may hold one, the later ones
 * hold none: each read opens the file anew, or, of one that a program
 * decompresses, reads its copy in the spare file.
 */
enum {
	CU_CAPTURE_FILES = 512,
	CU_CAPTURE_WAITING = 32,
	CU_CAPTURE_FILES_EACH = 3, /* at most, when a program decompresses it */
};

/*
 * Steps in time between a packet and the one before it in its file that are
 * told. Less far back is nothing: cards with several queues deliver so. So far
 * ahead the clock was set, or nothing was captured for a day.
 */
#define CU_STEP_BACK_NS INT64_C(1000000)
#define CU_JUMP_NS (INT64_C(24) * 3600 * 1000000000)

struct cu_capture_config {
	const char *const *paths; /* n_paths names; "-" is standard input; borrowed while open */
	size_t n_paths;
	size_t files_cap; /* 0: CU_CAPTURE_FILES */
	/*
	 * Of each input that is read at the same time: a zstd frame whose window is
	 * larger than this, made a power of two, and than 8 MiB, is not read; 0: 2 GiB,
	 * the most that zstd makes.
	 */
	uint64_t window_bytes;
	bool has_spare_file; /* spare_fd is an empty file of the caller's, who closes it after the capture */
	int spare_fd;
	const char *filter;       /* libpcap filter expression, or NULL for all packets */
	cu_progress_fn *progress; /* or NULL; it gets progress_arg */
	void *progress_arg;
};

/*
 * Where a packet was first: its frame number, and in the bits from here on the
 * number of its file among those that were split together.
 */
enum { CU_PACKET_ID_FILE_SHIFT = 48, CU_INTERFACE_NAME_CAP = 64 };

/*
 * A file that frames are numbered in: an input, or the capture that a shard's
 * packets were split from.
 */
struct cu_capture_file {
	char *path;
	uint16_t number;   /* in packet ids: of an input its place among them, of others what it was, if that is free */
	uint16_t given;    /* that, free or not */
	uint16_t linktype; /* of its first interface; has_linktype: that is known */
	bool has_linktype;
	bool is_input;
	uint32_t snaplen; /* largest of its interfaces; 0 unknown */
};

/* What a capture says of the interface that a packet came from; a pcap file is one interface. */
struct cu_interface {
	uint32_t number;  /* in its file, from 0, counted on through all sections */
	uint32_t snaplen; /* 0: no limit */
	uint16_t linktype;
	uint8_t resolution;               /* if_tsresol: 10^-n s, or with the top bit 2^-n s */
	int64_t offset_s;                 /* if_tsoffset */
	char name[CU_INTERFACE_NAME_CAP]; /* "eth0", cut to fit; "" not given */
};

/* Steps of one kind in an input's time. */
struct cu_time_steps {
	uint64_t n;
	int64_t largest_ns;
	uint64_t frame; /* behind the largest, or that has it */
};

/* What was read of one input, so far. */
struct cu_capture_stats {
	const char *path;
	const char *format; /* "pcap", "pcapng", "pcap (zstd)"; "" before the first byte */
	uint64_t n_packets; /* delivered or passed over by the filter */
	uint64_t n_filtered;
	uint64_t n_damaged;         /* places where framing was lost */
	uint64_t skipped_bytes;     /* bytes passed over there */
	uint64_t n_drops;           /* packets the capturing program reported as dropped */
	uint64_t n_untimed;         /* packets without a time: they have that of the one before */
	int64_t end_ns;             /* when capturing ended, behind the last packet; 0 not said */
	uint64_t read_bytes;        /* of the file as stored, for progress */
	uint64_t size_bytes;        /* 0 when not a regular file */
	uint32_t snaplen;           /* largest of its interfaces; 0 unknown */
	uint16_t linktype;          /* of its first interface */
	struct cu_time_steps back;  /* further than CU_STEP_BACK_NS */
	struct cu_time_steps ahead; /* further than CU_JUMP_NS */
	/*
	 * Times further than that from those of the packets around them, which are
	 * near each other: such a packet has the time of the one before it, and makes
	 * no step. No time zone is as far: it is damage, not another clock.
	 */
	struct cu_time_steps astray;
	/* Why it could not be opened, or not be read to its end: CU_ERR_TRUNCATED when it is cut off. Else CU_OK. */
	enum cu_error stopped;
};

/*
 * Opens the inputs. 0, or an error whose sentence is in fault, with the
 * input's name: missing file, directory, no capture, bad filter. On an error
 * *capture is NULL. Of several inputs one that cannot be opened, or turns out
 * bad later, does not stop the others: its fault is among those of
 * cu_capture_fault; only when none can be opened does this fail.
 */
int cu_capture_open(struct cu_capture **capture, const struct cu_capture_config *config, struct cu_fault *fault);

/* 1 and the next packet by time, 0 at the end of all inputs, < 0 when memory ran out. */
int cu_capture_next(struct cu_capture *capture, struct cu_packet *packet);

/*
 * The next packets, one to n of them, as many as can be had at once: what is
 * borrowed of each is good until the next call. How many, 0 when all inputs are
 * over, or CU_ERR_NOMEM.
 */
int cu_capture_next_batch(struct cu_capture *capture, struct cu_packet *packets, int n);

/* Where a packet was first: its frame number and the number of its file, as in shards (see dump.h). */
uint64_t cu_capture_packet_id(const struct cu_capture *capture, const struct cu_packet *packet);

/* Of the packet delivered last: its input, in the order given, and its interface there. */
uint16_t cu_capture_input(const struct cu_capture *capture);
uint32_t cu_capture_interface_number(const struct cu_capture *capture);
void cu_capture_interface(const struct cu_capture *capture, struct cu_interface *interface);

/* Both at once, for a packet that is kept; its interface's name is in there. */
struct cu_origin {
	uint16_t input;
	struct cu_interface interface;
};

void cu_capture_origin(const struct cu_capture *capture, struct cu_origin *origin);

/* The n-th fault met in any input (each names its input and place), or NULL past the last. */
const struct cu_fault *cu_capture_fault(const struct cu_capture *capture, size_t n);

/*
 * Whether reading on opens no file and starts no program: not while captures
 * wait to be opened again or are opened for each read, and not with a filter,
 * whose names may have to be looked up again for another link type.
 */
bool cu_capture_is_settled(const struct cu_capture *capture);

size_t cu_capture_n_inputs(const struct cu_capture *capture);
const struct cu_capture_stats *cu_capture_stats(const struct cu_capture *capture, size_t number);

/* The files of the packets delivered so far, and of all inputs that are no shards; none goes. Borrowed until the next packet. */
size_t cu_capture_n_files(const struct cu_capture *capture);
const struct cu_capture_file *cu_capture_file(const struct cu_capture *capture, size_t file);

void cu_capture_close(struct cu_capture *capture);

#endif
