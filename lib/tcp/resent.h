/*
 * Why each retransmission was sent, and whether it had to be: by timeout, by
 * duplicate ACKs or SACK, as a tail-loss probe; its original had arrived.
 */
#ifndef CU_TCP_RESENT_H
#define CU_TCP_RESENT_H

#include "lib/tcp/trace.h"

enum cu_resent_by {
	CU_RESENT_NONE = 0, /* it is no retransmission */
	CU_RESENT_TIMEOUT,
	CU_RESENT_DUPLICATE_ACKS, /* or SACK blocks */
	CU_RESENT_TAIL_PROBE,     /* the last segment sent, before a timer could end (RFC 8985 section 7) */
	CU_RESENT_UNKNOWN,        /* sooner than a timer, and nothing asked for it */
	CU_N_RESENT
};
const char *cu_resent_by_name(unsigned by); /* "duplicate_acks" */

/* What shows that the original had arrived. */
enum cu_needless {
	CU_NEEDLESS_NONE = 0,
	CU_NEEDLESS_DSACK,        /* the receiver reported its bytes as received twice (RFC 2883) */
	CU_NEEDLESS_TIMESTAMPS,   /* the ACK echoes an older timestamp than its own (RFC 3522) */
	CU_NEEDLESS_ACKNOWLEDGED, /* it was acknowledged before it was sent again */
	CU_N_NEEDLESS
};
const char *cu_needless_name(unsigned needless); /* "dsack" */

/* Sets resent_by and needless by the marks: after cu_trace_mark, or whatever changed them since. */
void cu_trace_resent(struct cu_trace *trace);

/* The same of resent_by alone, in time linear in the trace's length. */
void cu_trace_resent_by(struct cu_trace *trace);

#endif
