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

/* A wait whose cause may yet be found to be another, when the whole message is known. */
enum cu_wait {
	CU_WAIT_SETTLED = 0,
	CU_WAIT_SMALL,
	CU_WAIT_SMALL_DELAYED,
	CU_WAIT_FULL,
	CU_WAIT_RAN_OUT,
	CU_WAIT_IDLE,
	CU_N_WAITS
};

/* A stretch of time as it was charged, at the vantage point. */
struct cu_charged {
	int64_t from_ns, to_ns;
	int64_t other_ns; /* of it, of other causes */
	uint8_t cause;    /* enum cu_cause: of the largest part */
	uint8_t wait;     /* enum cu_wait */
};

/* A transaction's, in order of time. */
struct cu_stretches {
	bool kept;
	size_t n;
	int64_t least_ns;    /* shorter neighbours were taken together */
	int64_t distance_ns; /* between the client and the vantage point, one way, as charged */
	struct cu_charged item[CU_STRETCH_CAP];
	uint8_t encoded[(CU_STRETCH_CAP + 2) * CU_STRETCH_ENCODED_CAP];
};

/* All that is known of a connection when its transactions are judged. */
struct cu_case {
	const struct cu_trace *trace;
	const struct cu_path *path;
	const struct cu_delivery *delivery; /* two, by direction */
	const struct cu_window_use *window; /* two, by direction of what goes by it */
	const struct cu_exchanges *exchanges;
	bool capture_lacks;             /* segments of the connection that were acknowledged and never seen */
	bool one_sided;                 /* one direction was captured, and says that the other spoke */
	bool ids_shared[2];             /* a direction's sender counts identifications for others too */
	struct cu_stretches *stretches; /* room for those of the transaction that was filled in last */
};

/*
 * Fills in a transaction from an exchange: times, ledger, evidence, events.
 * It borrows from known: its name and its stretches, until the next is filled.
 * False when the exchange has nothing to measure (no time passed, or what
 * would be needed was not captured).
 */
bool cu_ledger_fill(const struct cu_case *known, const struct cu_exchange *exchange,
                    struct cu_transaction *transaction);

#endif
