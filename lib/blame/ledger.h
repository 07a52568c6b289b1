/*
 * The ledger: a transaction's time, divided among causes.
 *
 * A transaction lasts in the client's time: what was seen at the vantage
 * point is shifted by half the round trip to the client. Every nanosecond is
 * charged to exactly one cause, and the entries sum to the total.
 */
#ifndef CU_BLAME_LEDGER_H
#define CU_BLAME_LEDGER_H

#include "lib/blame/exchange.h"
#include "lib/tcp/delivery.h"

/* All that is known of a connection when its transactions are judged. */
struct cu_case {
	const struct cu_trace *trace;
	const struct cu_path *path;
	const struct cu_delivery *delivery; /* two, by direction */
	const struct cu_exchanges *exchanges;
	bool capture_lacks; /* segments of the connection that were acknowledged and never seen */
};

/*
 * Fills in a transaction from an exchange: times, ledger, evidence, events.
 * False when the exchange has nothing to measure (no time passed, or what
 * would be needed was not captured).
 */
bool cu_ledger_fill(const struct cu_case *known, const struct cu_exchange *exchange,
                    struct cu_transaction *transaction);

#endif
