/*
 * Values at random, the same in each run, for tests of what has to hold of any.
 */
#ifndef CULPRIT_TESTS_ANY_H
#define CULPRIT_TESTS_ANY_H

#include "lib/record/timeline.h"

#include <string.h>

static uint64_t random_state = 88172645463325252u;

static inline uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Numbers of every length, and often zero. */
static inline uint64_t any(void)
{
	return next_random() % 4 == 0 ? 0 : next_random() >> (next_random() % 64);
}

/* A segment that may come after last; most fields as they are as a rule. */
static inline struct cu_segment any_segment(const struct cu_segment *last)
{
	struct cu_segment s = *last;
	s.time_ns += (int64_t)(any() % 5000000000) * (next_random() % 20 ? 1 : -1);
	s.frame += next_random() % 9;
	s.file = next_random() % 50 ? last->file : (uint16_t)any();
	s.dir = (uint8_t)(next_random() % 2);
	s.ttl = next_random() % 9 ? last->ttl : (uint8_t)any();
	s.flags = next_random() % 5 ? CU_TCP_ACK | (next_random() % 2 ? CU_TCP_PSH : 0)
	                            : (uint16_t)(next_random() % 0x200);
	s.window = next_random() % 3 ? last->window : (uint16_t)any();
	s.ip_id = next_random() % 3 ? (uint16_t)(last->ip_id + 1) : (uint16_t)any();
	s.seq = next_random() % 3 ? last->seq + last->len : (uint32_t)any();
	s.ack = next_random() % 3 ? last->ack : (uint32_t)any();
	s.len = next_random() % 3 ? 1448 * (uint32_t)(next_random() % 2) : (uint32_t)any();
	s.has_timestamps = next_random() % 4 != 0;
	s.tsval = s.has_timestamps ? last->tsval + (uint32_t)(next_random() % 100) : 0;
	s.tsecr = s.has_timestamps ? (uint32_t)any() : 0;
	s.n_sack = next_random() % 6 ? 0 : (uint8_t)(next_random() % (CU_SACK_CAP + 1));
	memset(s.sack, 0, sizeof(s.sack));
	for (int i = 0; i < s.n_sack; i++) {
		s.sack[i][0] = (uint32_t)any();
		s.sack[i][1] = (uint32_t)any();
	}
	s.hint = (struct cu_hint){0};
	if (next_random() % 8 == 0) {
		s.hint.kind = CU_HINT_HTTP_REQUEST;
		s.hint.text_len = (uint8_t)(next_random() % (CU_HINT_TEXT_CAP + 1));
		memset(s.hint.text, 'a', s.hint.text_len);
	}
	return s;
}

#endif
