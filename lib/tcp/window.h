/*
 * The window a sender was given, and what it made of it.
 */
#ifndef CU_TCP_WINDOW_H
#define CU_TCP_WINDOW_H

#include "lib/tcp/delivery.h"

/*
 * Measures a direction whose delivery is built. What was in flight is taken
 * as the sender saw it: an ACK reaches it half its round trip after the
 * vantage point, and its segment left as long before, so the ACKs that count
 * are those that passed a whole one of these round trips earlier.
 */
struct cu_window_use cu_window_measure(const struct cu_trace *trace, const struct cu_delivery *delivery,
                                       const struct cu_path *path, int dir);

/*
 * Learns how the windows are scaled that a direction goes by, where no SYN that
 * was captured tells (RFC 7323 section 2.2): no sender goes beyond its window,
 * and one that the window holds goes up to it all the time. By less than that
 * scale it would have gone beyond. What stays below a window says nothing of
 * it, and leaves the delivery as it is.
 */
void cu_window_learn_scale(const struct cu_trace *trace, struct cu_delivery *delivery, const struct cu_path *path,
                           int dir);

#endif
