/*
 * Shards: many captures written at once, each under a temporary name until it
 * is whole.
 *
 * Only so many files are open at a time; of the others the least used one is
 * closed, and opened again to append. What is compressed is compressed a
 * buffer at a time, each a zstd frame of its own, so that one compressor
 * serves them all.
 */
#ifndef CU_CAPTURE_SHARDS_H
#define CU_CAPTURE_SHARDS_H

#include "lib/base/error.h"
#include "lib/capture/capture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cu_shards_config {
	/*
	 * The path of a shard, borrowed: %n its number, from 0; %t the time it is
	 * named for, as 20240216T133203Z; %k its key; %% a percent sign.
	 */
	const char *pattern;
	const char *version; /* for the section header, borrowed */
	unsigned n_digits;   /* of %n, at least */
	size_t open_cap;     /* files open at a time, at least 1 */
	size_t buffer_bytes; /* of each of them */
	bool is_pcap;        /* pcap, else pcapng */
	bool compress;       /* by zstd */
	bool force;          /* existing files are replaced */
};

struct cu_shards;

/* 0 or CU_ERR_NOMEM. */
int cu_shards_open(struct cu_shards **shards, const struct cu_shards_config *config);

/* Whether a pattern has a placeholder for letter; 0 for any that is no placeholder. */
bool cu_shards_pattern_has(const char *pattern, char letter);

/*
 * Begins a shard; *number is its number from then on. key may be NULL. 0, or
 * an error with its sentence in fault: its file is there already
 * (CU_ERR_RANGE), cannot be made (CU_ERR_IO), or there are too many.
 */
int cu_shards_add(struct cu_shards *shards, int64_t time_ns, const char *key, uint32_t *number, struct cu_fault *fault);

/*
 * Adds a packet to a shard: the one that capture delivered last, with origin
 * NULL, or one that was kept, with the origin it had. 0, or CU_ERR_IO or
 * CU_ERR_NOMEM with its sentence.
 */
int cu_shards_put(struct cu_shards *shards, uint32_t number, const struct cu_capture *capture,
                  const struct cu_packet *packet, const struct cu_origin *origin, struct cu_fault *fault);

/*
 * How long the file of a shard would be at most, before compression, with the
 * capture's last packet, and what completes it.
 */
uint64_t cu_shards_bytes_with(const struct cu_shards *shards, uint32_t number, const struct cu_capture *capture,
                              const struct cu_packet *packet);

/* Completes a shard, gives it its name and forgets it. */
int cu_shards_finish(struct cu_shards *shards, uint32_t number, const struct cu_capture *capture,
                     struct cu_fault *fault);

/* The same for all that are left, at the end of what was split, which they say if they end before it. */
int cu_shards_finish_all(struct cu_shards *shards, const struct cu_capture *capture, struct cu_fault *fault);

uint32_t cu_shards_count(const struct cu_shards *shards);

/* Packets left out: a pcap file has one link type only. */
uint64_t cu_shards_n_left_out(const struct cu_shards *shards);

/* Removes the files that are not finished. May be called by a signal handler. */
void cu_shards_abandon(const struct cu_shards *shards);

/* Removes what is not finished and frees all. */
void cu_shards_close(struct cu_shards *shards);

#endif
