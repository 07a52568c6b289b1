#include "lib/base/hash.h"

#include "lib/base/bytes.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct cu_hash_seed cu_hash_seed_random(void)
{
	struct cu_hash_seed seed;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed)) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		seed.k[0] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
		seed.k[1] = (uint64_t)(uintptr_t)&seed ^ (uint64_t)(uintptr_t)&cu_hash_seed_random << 16;
	}
	seed.k[0] |= 1; /* a multiplier of zero would hash everything alike */
	seed.k[1] |= 1;
	return seed;
}

uint64_t cu_hash_bytes(struct cu_hash_seed seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = seed.k[0] ^ len;
	while (len >= 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		h = cu_hash_mix(h ^ word, seed.k[1]);
		p += 8;
		len -= 8;
	}
	uint64_t word = 0;
	if (len >= 4) {
		word = cu_get_le32(p) | (uint64_t)cu_get_le32(p + len - 4) << 8 * (len - 4);
	} else {
		for (size_t i = 0; i < len; i++) {
			word |= (uint64_t)p[i] << 8 * i;
		}
	}
	/* Twice, so that keys that differ in few bits differ in the low ones too. */
	return cu_hash_mix(cu_hash_mix(h ^ word, seed.k[1]), UINT64_C(0x9E3779B97F4A7C15));
}

/* CRC-32C, reflected, polynomial 0x1EDC6F41. */
static uint32_t crc_table[256];

static void crc_table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;
		for (int bit = 0; bit < 8; bit++) {
			crc = crc & 1 ? crc >> 1 ^ UINT32_C(0x82F63B78) : crc >> 1;
		}
		crc_table[i] = crc;
	}
}

static uint32_t crc_portable(uint32_t crc, const uint8_t *p, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT; /* a thread may check what it writes as another reads */
	pthread_once(&once, crc_table_fill);
	for (size_t i = 0; i < len; i++) {
		crc = crc_table[(crc ^ p[i]) & 0xff] ^ crc >> 8;
	}
	return crc;
}

#if defined(__x86_64__) && !defined(CU_PORTABLE) /* the latter for tests */
enum { LANE = 4096 };

static inline __attribute__((target("sse4.2"), always_inline)) uint64_t crc_word(uint64_t crc, const uint8_t *p)
{
	uint64_t word;
	memcpy(&word, p, 8);
	return __builtin_ia32_crc32di(crc, word);
}

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p, size_t len)
{
	uint64_t wide = crc;
	for (; len >= 8; p += 8, len -= 8) {
		wide = crc_word(wide, p);
	}
	crc = (uint32_t)wide;
	for (; len > 0; p++, len--) {
		crc = __builtin_ia32_crc32qi(crc, *p);
	}
	return crc;
}

/* What each bit of a CRC becomes behind a lane of zeros. */
static uint32_t behind_zeros[32];

static void behind_zeros_fill(void)
{
	static const uint8_t zeros[LANE];
	for (unsigned i = 0; i < 32; i++) {
		behind_zeros[i] = crc_sse42(UINT32_C(1) << i, zeros, LANE);
	}
}

static uint32_t crc_behind_zeros(uint32_t crc)
{
	uint32_t behind = 0;
	for (; crc != 0; crc &= crc - 1) {
		behind ^= behind_zeros[__builtin_ctz(crc)];
	}
	return behind;
}

/*
 * The instruction takes three cycles, but another one may begin in each of them:
 * three lanes side by side. A CRC is linear: that of all is the first lane's with
 * two of zeros behind it, the second's with one, and the third's.
 */
__attribute__((target("sse4.2"))) static uint32_t crc_lanes(uint32_t crc, const uint8_t *p)
{
	uint64_t first = crc, second = 0, third = 0;
	for (const uint8_t *end = p + LANE; p < end; p += 8) {
		first = crc_word(first, p);
		second = crc_word(second, p + LANE);
		third = crc_word(third, p + (size_t)2 * LANE);
	}
	return crc_behind_zeros(crc_behind_zeros((uint32_t)first) ^ (uint32_t)second) ^ (uint32_t)third;
}

static uint32_t crc_update(uint32_t crc, const uint8_t *p, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (!__builtin_cpu_supports("sse4.2")) {
		return crc_portable(crc, p, len);
	}
	if (len >= (size_t)3 * LANE) {
		pthread_once(&once, behind_zeros_fill);
	}
	for (; len >= (size_t)3 * LANE; p += (size_t)3 * LANE, len -= (size_t)3 * LANE) {
		crc = crc_lanes(crc, p);
	}
	return crc_sse42(crc, p, len);
}
#else
static uint32_t crc_update(uint32_t crc, const uint8_t *p, size_t len)
{
	return crc_portable(crc, p, len);
}
#endif

uint32_t cu_crc32c(const void *data, size_t len)
{
	return ~crc_update(UINT32_MAX, data, len);
}
