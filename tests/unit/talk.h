/*
 * A connection told segment by segment, for tests of what judges traces.
 *
 * Times are in microseconds at the vantage point; sequence and ACK numbers are
 * relative, 0 being each SYN. Frames count from 1.
 */
#ifndef CULPRIT_TESTS_TALK_H
#define CULPRIT_TESTS_TALK_H

#include "lib/blame/exchange.h"
#include "lib/blame/ledger.h"
#include "lib/tcp/delivery.h"
#include "lib/tcp/path.h"
#include "lib/tcp/trace.h"
#include "lib/tcp/window.h"

enum { TALK_CAP = 512, TALK_MSS = 1000, TALK_WINDOW = 60000 };

struct talk {
	struct cu_connection connection;
	struct cu_segment segment[TALK_CAP];
	size_t n;
	uint16_t next_id[2];
	struct cu_trace trace;
	struct cu_path_scratch scratch;
	struct cu_path path;
	struct cu_delivery delivery[2];
	struct cu_window_use window[2];
	struct cu_exchanges exchanges;
	struct cu_stretches stretches;
};

void talk_init(struct talk *talk);
void talk_release(struct talk *talk);

/* Adds a segment and returns it, for what is uncommon about it. */
struct cu_segment *talk_add(struct talk *talk, int64_t time_us, int dir, unsigned flags, uint32_t seq, uint32_t ack,
                            uint32_t len);

/* SYN, SYN-ACK, ACK with these round trips to server and client, from time 0; returns when the ACK passed. */
int64_t talk_handshake(struct talk *talk, int64_t server_rtt_us, int64_t client_rtt_us);

/* Runs everything up to the exchanges; asserts that each step works. */
void talk_analyse(struct talk *talk);

/* Asserts that the stretches have all of the time, and of each cause as much as the ledger, but for what was taken together. */
void talk_check_stretches(const struct cu_transaction *transaction);

/* Fills the n-th exchange's transaction; false when it makes none. */
bool talk_fill(struct talk *talk, size_t n, struct cu_transaction *transaction);

/* The n-th exchange's transaction, with an assertion that its ledger sums. */
struct cu_transaction talk_transaction(struct talk *talk, size_t n);

#endif
