/*
 * Hashing that a crafted capture cannot steer: every table seeds itself.
 */
#ifndef CU_BASE_HASH_H
#define CU_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct cu_hash_seed {
	uint64_t k[2];
};

/* A random seed from the kernel; falls back to clock and addresses where there is none. */
struct cu_hash_seed cu_hash_seed_random(void);

/* 128-bit multiply folded to 64 bits (wyhash's mixing step). */
static inline uint64_t cu_hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 r = (unsigned __int128)a * b;
	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

/* Hash of any bytes. */
uint64_t cu_hash_bytes(struct cu_hash_seed seed, const void *data, size_t len);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of data; hardware where there is some. */
uint32_t cu_crc32c(const void *data, size_t len);

#endif
