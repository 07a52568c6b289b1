/*
 * Conditions compiled to flat arrays, evaluated without allocation.
 *
 * A condition is a chain of steps: each tests an atom (a comparison, a field
 * that is true or false) and says where to go on either outcome. Atoms and
 * steps that are alike are one, whichever rule they are from, and an atom is
 * worked out at most once for a transaction. Numbers are postfix code over
 * doubles, in which a missing value is NaN: arithmetic keeps it missing and
 * every comparison with it is false, as IEEE 754 has it.
 */
#ifndef CU_RULES_PROGRAM_H
#define CU_RULES_PROGRAM_H

#include "lib/base/hash.h"
#include "lib/base/index.h"
#include "lib/rules/expr.h"
#include "lib/rules/glob.h"

enum {
	CU_PROGRAM_STACK_CAP = 128,
	CU_PROGRAM_VISIT_CAP = 100000,
	CU_COUNTER_CAP = 64, /* conditions that rules about endpoints count */
};

/* Where a chain ends. */
enum { CU_STEP_MATCH = -1, CU_STEP_NO = -2, CU_STEP_BROKEN = -3 };

/* clang-format off */
enum cu_code_op {
	CU_CODE_NUMBER, CU_CODE_FIELD, CU_CODE_TEST, CU_CODE_ADD, CU_CODE_SUBTRACT, CU_CODE_MULTIPLY, CU_CODE_DIVIDE,
	CU_CODE_MINIMUM, CU_CODE_MAXIMUM, CU_CODE_ABSOLUTE, CU_CODE_NEGATE, CU_CODE_COUNTER,
};
/* clang-format on */

struct cu_code {
	uint32_t op;
	int32_t arg; /* index of a field; step of a test; number of a counter */
	double number;
};

/* A stretch of code. */
struct cu_code_ref {
	uint32_t first, n;
};

enum cu_atom_op {
	CU_ATOM_LT,
	CU_ATOM_LE,
	CU_ATOM_GT,
	CU_ATOM_GE,
	CU_ATOM_EQ,
	CU_ATOM_NE,         /* left op right */
	CU_ATOM_BETWEEN,    /* left in a range of the set */
	CU_ATOM_TRUE,       /* field */
	CU_ATOM_HAS,        /* field */
	CU_ATOM_TEXT_SAME,  /* field is other, a field */
	CU_ATOM_TEXT_OTHER, /* both are there, and differ */
	CU_ATOM_TEXT_IN,    /* field is a text of the set */
	CU_ATOM_TEXT_NOT,   /* field is there, and is none of them */
	CU_ATOM_TEXT_GLOB,
	CU_ATOM_TEXT_CONTAINS,
	CU_ATOM_TEXT_STARTS,
	CU_ATOM_TEXT_ENDS,
	CU_ATOM_ADDR_SAME, /* field is other, a field */
	CU_ATOM_ADDR_OTHER,
	CU_ATOM_ADDR_IN, /* field is in a network of the set */
	CU_ATOM_ADDR_NOT,
};

struct cu_atom {
	uint32_t op;
	uint16_t field, other; /* indexes into the table of fields */
	struct cu_code_ref left, right;
	uint32_t set, n_set; /* of ranges, texts or networks, by op */
};

struct cu_range {
	double low, high;
};

struct cu_network {
	struct cu_addr addr;
	uint8_t prefix;
};

struct cu_step {
	uint32_t atom;
	int32_t on_true, on_false; /* a step, or CU_STEP_MATCH or CU_STEP_NO */
};

struct cu_program {
	struct cu_code *code, *scratch;
	struct cu_atom *atoms;
	struct cu_step *steps;
	struct cu_range *ranges;
	struct cu_text *texts;
	struct cu_network *networks;
	size_t n_code, n_scratch, n_atoms, n_steps, n_ranges, n_texts, n_networks;
	size_t cap_code, cap_scratch, cap_atoms, cap_steps, cap_ranges, cap_texts, cap_networks;
	struct cu_index atom_index, step_index; /* of numbers + 1 */
	struct cu_hash_seed seed;
	uint8_t *known; /* of each atom: 0 not worked out, 1 false, 2 true */
	size_t cap_known;
	size_t n_visits;
	int32_t counters[CU_COUNTER_CAP]; /* steps of what is counted over a window */
	unsigned n_counters;
	bool of_window;         /* what is added is about an endpoint: count() and share() are of counters */
	uint64_t used_counters; /* bits of those that the last condition added reads, and the numbers after it */
	uint32_t used_counts;   /* likewise, of what an endpoint did: by CU_COUNT_TRANSACTIONS and so on */
	bool too_many_counters; /* the last condition or number added had no room */
	bool failed;            /* memory ran out */
	bool too_large;         /* the last condition or number added was */
};

void cu_program_release(struct cu_program *program);

/*
 * Adds a checked condition; returns its first step, CU_STEP_MATCH or
 * CU_STEP_NO when it is constant, CU_STEP_BROKEN when it is too large or
 * memory ran out. Texts are borrowed from the tree.
 */
int32_t cu_program_add_condition(struct cu_program *program, const struct cu_expr *expr);

/* Adds a checked number likewise; n is 0 when that failed. */
struct cu_code_ref cu_program_add_number(struct cu_program *program, const struct cu_expr *expr);

/* Once after the last add, before evaluation. False when memory ran out. */
bool cu_program_finish(struct cu_program *program);

/* Before the first test of each transaction. */
void cu_program_begin(struct cu_program *program);
bool cu_program_test(struct cu_program *program, int32_t step, const struct cu_view *view);
double cu_program_number(struct cu_program *program, struct cu_code_ref ref, const struct cu_view *view);

/* Whether code is a constant; whether it is a field or a positive multiple of one. */
bool cu_program_is_constant(const struct cu_program *program, struct cu_code_ref ref, double *number);
bool cu_program_is_multiple(const struct cu_program *program, struct cu_code_ref ref, double *factor, uint16_t *field);
bool cu_program_same_code(const struct cu_program *program, struct cu_code_ref a, struct cu_code_ref b);

/* Whether an atom of the op, about texts, is true of text and pattern. */
bool cu_program_text_matches(uint32_t op, const struct cu_text *pattern, struct cu_text text);

#endif
