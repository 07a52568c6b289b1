/*
 * The path as seen from the vantage point: round trips to each end, and where
 * on the path the capture was taken.
 */
#ifndef CU_TCP_PATH_H
#define CU_TCP_PATH_H

#include "lib/tcp/trace.h"

/* Round trips from the vantage point to the receiver of a direction and back. */
struct cu_path_side {
	size_t n_samples;
	int64_t min_ns, median_ns, max_ns; /* meaningful when n_samples > 0 */
	int64_t handshake_ns;              /* the handshake's own sample; 0 none */
};

struct cu_path {
	struct cu_path_side side[2]; /* CU_C2S: to the server; CU_S2C: to the client */
	int64_t server_rtt_ns;       /* as used: 0 when unknown */
	int64_t client_rtt_ns;
	int64_t handshake_rtt_ns; /* tshark's initial RTT: SYN to the ACK that ends the handshake */
	uint8_t vantage;          /* enum cu_vantage */
	bool server_known, client_known;
};

/* Storage of samples, kept between connections. {0} is empty. */
struct cu_path_scratch {
	int64_t *sample[2];
	size_t cap[2];
	size_t n[2];
};
void cu_path_scratch_release(struct cu_path_scratch *scratch);

/*
 * Measures a marked trace. Samples are taken with Karn's rule (RFC 6298
 * section 3): none from bytes that were sent twice. 0 or CU_ERR_NOMEM.
 */
int cu_path_measure(const struct cu_trace *trace, struct cu_path_scratch *scratch, struct cu_path *path);

/* Where a capture stands whose ends are these round trips away. */
enum cu_vantage cu_path_vantage(int64_t client_rtt_ns, int64_t server_rtt_ns);

#endif
