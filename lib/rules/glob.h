/*
 * Patterns of texts.
 */
#ifndef CU_RULES_GLOB_H
#define CU_RULES_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether text matches pattern: * any bytes, ? one, [a-z] and [!a-z] one of a set, \ takes the next as it is. */
bool cu_glob(const char *pattern, size_t pattern_len, const char *text, size_t len);

#endif
