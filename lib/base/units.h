/*
 * Time, sizes and addresses as text, and back.
 *
 * Times are nanoseconds: instants since 1970-01-01 UTC, durations signed.
 */
#ifndef CU_BASE_UNITS_H
#define CU_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CU_NS_PER_US INT64_C(1000)
#define CU_NS_PER_MS INT64_C(1000000)
#define CU_NS_PER_S INT64_C(1000000000)

/*
 * A packet's time is from 0 to this, in 2106: as much as the seconds of a pcap
 * file can say. What is calculated from it is no further from 0. So a difference
 * of two fits, and twice of it, whatever a capture or a flow file says.
 */
#define CU_TIME_MAX_NS (INT64_C(4300000000) * CU_NS_PER_S)

/* The sum of two, or the nearest that fits: of any number of such. */
static inline int64_t cu_add_ns(int64_t a, int64_t b)
{
	int64_t sum;
	if (__builtin_add_overflow(a, b, &sum)) {
		sum = a < 0 ? INT64_MIN : INT64_MAX;
	}
	return sum;
}

/*
 * Parse the whole of text; false when it is no such thing or out of range.
 * duration: a decimal number and one of ns us ms s m h d ("1.5s", "200ms");
 * a bare number is refused, but 0 is 0.
 * size: a decimal number and nothing, B, or one of K M G T (powers of 1024).
 * u64: decimal digits, at most max.
 */
bool cu_parse_duration(const char *text, int64_t *ns);
bool cu_parse_size(const char *text, uint64_t *bytes);
bool cu_parse_u64(const char *text, uint64_t max, uint64_t *value);

/* Room for any of the texts below, with its terminating zero. */
enum { CU_TEXT_CAP = 64 };

/* 2024-02-16T13:32:03.123456789Z */
const char *cu_format_time(char text[static CU_TEXT_CAP], int64_t time_ns);
/* Three significant digits and a unit: "108 s", "97.0 ms", "850 us", "0 s". */
const char *cu_format_duration(char text[static CU_TEXT_CAP], int64_t ns);
/* "512 B", "47.1 KiB", "1.60 GiB" */
const char *cu_format_size(char text[static CU_TEXT_CAP], uint64_t bytes);

/* An IP address: IPv4 in the first 4 bytes, the others zero. */
struct cu_addr {
	uint8_t bytes[16];
	uint8_t family; /* 4, 6, or 0 for none */
};

bool cu_addr_equal(const struct cu_addr *a, const struct cu_addr *b);
/* RFC 5952 text. */
const char *cu_format_addr(char text[static CU_TEXT_CAP], const struct cu_addr *addr);
/* False when text is no address of either family. */
bool cu_parse_addr(const char *text, struct cu_addr *addr);

#endif
