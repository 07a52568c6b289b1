/*
 * Characters of text that cannot be trusted.
 */
#ifndef CU_BASE_UTF8_H
#define CU_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one character of well-formed UTF-8 (RFC 3629): its length, or 0 when data does not begin with one. */
size_t cu_utf8_decode(const char *data, size_t len, uint32_t *code);

/*
 * Characters that are not shown as they are although well formed: controls,
 * and what reorders, hides or joins text (Unicode 15: general categories Cc,
 * Cf, Zl, Zp, Co and the combining marks, whose width terminals do not agree
 * on).
 */
bool cu_unprintable(uint32_t code);

/* Columns that a terminal gives it: 2 for the wide ones (Unicode 15 East Asian Width W and F, in blocks). */
unsigned cu_utf8_columns(uint32_t code);

/* The length of the character that data begins with, if it may be shown as it is; else 0. */
size_t cu_utf8_printable(const char *data, size_t len);

#endif
