/*
 * Private to lib/capture: a libpcap filter expression, compiled for each link
 * type that is met.
 */
#ifndef CU_CAPTURE_FILTER_H
#define CU_CAPTURE_FILTER_H

#include "lib/base/error.h"
#include "lib/capture/capture.h"

#include <stdbool.h>
#include <stdint.h>

struct cu_filter;

/* expression is borrowed. NULL when memory ran out. */
struct cu_filter *cu_filter_new(const char *expression);
void cu_filter_free(struct cu_filter *filter);

/*
 * Compiles for a link type, unless that was done before. 0, or an error with
 * libpcap's words in fault; no packet of that link type passes then.
 */
int cu_filter_prepare(struct cu_filter *filter, uint16_t linktype, struct cu_fault *fault);

/* Whether the packet passes; its link type was prepared. */
bool cu_filter_match(const struct cu_filter *filter, const struct cu_packet *packet);

#endif
