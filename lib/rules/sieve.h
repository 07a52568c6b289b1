/*
 * Which rules can match at all: so that a thousand cost little more than ten.
 *
 * What every match of a rule needs (server.port == 5432 and total > 1s and
 * ...) bounds the values of fields. For each such field the bounds of all
 * rules cut its values into stretches, and each stretch has a bit for each rule
 * that is possible there. A transaction looks up one stretch a field and ands
 * the bits; only rules that are left are asked. This is the bit vector scheme
 * of packet classification (Lakshman and Stiliadis 1998).
 */
#ifndef CU_RULES_SIEVE_H
#define CU_RULES_SIEVE_H

#include "lib/rules/program.h"

struct cu_sieve;

/*
 * A sieve of the conditions that begin at the n_rules steps. Texts and
 * networks are borrowed from program, which must not grow after. *impossible,
 * of n_rules, is set for rules whose bounds contradict each other. NULL when
 * memory ran out.
 */
struct cu_sieve *cu_sieve_new(const struct cu_program *program, const int32_t *steps, size_t n_rules, bool *impossible);
void cu_sieve_free(struct cu_sieve *sieve);

/*
 * The rules that may match the transaction in view: bit i % 64 of word i / 64
 * is for rule i. Borrowed until the next call.
 */
const uint64_t *cu_sieve_find(struct cu_sieve *sieve, struct cu_program *program, const struct cu_view *view);

#endif
