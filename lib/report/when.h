/*
 * Instants as people write them.
 */
#ifndef CU_REPORT_WHEN_H
#define CU_REPORT_WHEN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Reads the whole of text as an instant in UTC, as ISO 8601 has it: as much of
 * year, month, day, T (or a space), hours, minutes, seconds and a fraction as is
 * wanted, with or without Z: "2024-02", "2024-02-16T13:32:03.5Z". What is
 * missing at its end is as small as it can be. False when it is none, or
 * outside 1970 to 2261.
 */
bool cu_parse_time(const char *text, int64_t *time_ns);

#endif
