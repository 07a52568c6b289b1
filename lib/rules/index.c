#include "lib/rules/index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	ADDR_KEY_LEN = 17,           /* family, then the address's bytes */
	STRETCH_BITS_CAP = 1 << 28,  /* stretches x rules of an index: 32 MiB */
	ENOUGH = 4,                  /* candidates that are as well asked as looked up again */
};

/* Rounding of a quotient against that of a product. */
static const double SLACK = 1e-9;

enum axis_kind {
	AXIS_NUMBER, /* a number against constants */
	AXIS_RATIO,  /* a number against multiples of a field: their quotient */
	AXIS_TEXT,
	AXIS_ADDR,
};

/* A value on an axis: a number, or bytes in their order. */
struct key {
	double number;
	const void *data;
	size_t len;
	bool endless; /* behind all that begins with the bytes */
};

/* The values that one part of one rule allows; several of one part are alternatives. */
struct bound {
	uint32_t rule, part;
	struct key low, high;
	bool no_low, no_high;     /* unbounded there */
	bool above_low, below_high; /* that end itself is not allowed */
};

struct axis {
	enum axis_kind kind;
	struct cu_code_ref left;  /* AXIS_NUMBER, AXIS_RATIO */
	uint16_t field;           /* AXIS_TEXT, AXIS_ADDR; the divisor of AXIS_RATIO */
	struct bound *bounds;
	size_t n_bounds, cap_bounds;
	struct key *cuts;         /* sorted, unique */
	double *numbers;          /* the same of a numeric axis, side by side */
	size_t n_cuts;
	/*
	 * Bits of the stretches, n_words each: that of a missing value, then
	 * below the first cut, at it, between it and the second, ...
	 */
	uint64_t *bits;
	size_t n_rules;           /* that are bounded here */
};

struct cu_index {
	struct axis *axes;
	size_t n_axes, cap_axes;
	size_t n_rules, n_words;
	size_t n_bits;            /* of all axes */
	uint64_t *found;
	uint8_t (*addr_keys)[ADDR_KEY_LEN]; /* first and last address of each network of the program */
};

static int compare_keys(enum axis_kind kind, const struct key *a, const struct key *b)
{
	if (kind == AXIS_NUMBER || kind == AXIS_RATIO) {
		return (a->number > b->number) - (a->number < b->number);
	}
	size_t len = a->len < b->len ? a->len : b->len;
	int order = len > 0 ? memcmp(a->data, b->data, len) : 0;
	if (order != 0) {
		return order;
	}
	if (a->len == b->len) {
		return a->endless - b->endless;
	}
	/* One begins with the other, which comes first unless it is endless. */
	return a->len < b->len ? (a->endless ? 1 : -1) : (b->endless ? -1 : 1);
}

/* ---- bounds from what rules need ---- */

static bool same_left(const struct cu_program *program, struct cu_code_ref a, struct cu_code_ref b)
{
	return a.n == b.n && memcmp(&program->code[a.first], &program->code[b.first], a.n * sizeof(*program->code)) == 0;
}

/* The axis of the kind, a new one if need be; NULL when memory ran out. */
static struct axis *find_axis(struct cu_index *index, const struct cu_program *program, const struct axis *like)
{
	for (size_t i = 0; i < index->n_axes; i++) {
		struct axis *axis = &index->axes[i];
		if (axis->kind == like->kind && axis->field == like->field && same_left(program, axis->left, like->left)) {
			return axis;
		}
	}
	if (!cu_grow((void **)&index->axes, &index->cap_axes, index->n_axes, sizeof(*index->axes))) {
		return NULL;
	}
	index->axes[index->n_axes] = *like;
	return &index->axes[index->n_axes++];
}

static bool add_bound(struct axis *axis, struct bound bound)
{
	if (!axis || !cu_grow((void **)&axis->bounds, &axis->cap_bounds, axis->n_bounds, sizeof(*axis->bounds))) {
		return false;
	}
	axis->bounds[axis->n_bounds++] = bound;
	return true;
}

static bool is_constant(const struct cu_program *program, struct cu_code_ref ref, double *number)
{
	const struct cu_code *code = &program->code[ref.first];
	if (ref.n != 1 || code->op != CU_CODE_NUMBER) {
		return false;
	}
	*number = code->number;
	return true;
}

/* Whether code is a field, or a positive multiple of one. */
static bool is_multiple(const struct cu_program *program, struct cu_code_ref ref, double *factor, uint16_t *field)
{
	const struct cu_code *code = &program->code[ref.first];
	*factor = 1;
	if (ref.n == 1 && code->op == CU_CODE_FIELD) {
		*field = (uint16_t)code->arg;
		return true;
	}
	if (ref.n != 3 || code[2].op != CU_CODE_MULTIPLY) {
		return false;
	}
	const struct cu_code *number = code[0].op == CU_CODE_NUMBER ? &code[0] : &code[1];
	const struct cu_code *other = number == &code[0] ? &code[1] : &code[0];
	if (number->op != CU_CODE_NUMBER || other->op != CU_CODE_FIELD || !(number->number > 0)) {
		return false;
	}
	*factor = number->number;
	*field = (uint16_t)other->arg;
	return true;
}

static struct bound of_comparison(uint32_t op, double number, double slack)
{
	struct bound bound = {.low = {.number = number * (1 - slack)}, .high = {.number = number * (1 + slack)}};
	bound.no_low = op == CU_ATOM_LT || op == CU_ATOM_LE;
	bound.no_high = op == CU_ATOM_GT || op == CU_ATOM_GE;
	bound.above_low = op == CU_ATOM_GT;
	bound.below_high = op == CU_ATOM_LT;
	return bound;
}

static bool bound_numbers(struct cu_index *index, const struct cu_program *program, const struct cu_atom *atom, struct bound base)
{
	struct axis like = {.kind = AXIS_NUMBER, .left = atom->left};
	double number;
	if (atom->op == CU_ATOM_BETWEEN) {
		struct axis *axis = find_axis(index, program, &like);
		for (uint32_t i = 0; axis && i < atom->n_set; i++) {
			base.low.number = program->ranges[atom->set + i].low;
			base.high.number = program->ranges[atom->set + i].high;
			if (!add_bound(axis, base)) {
				return false;
			}
		}
		return axis != NULL;
	}
	double slack = 0;
	if (!is_constant(program, atom->right, &number)) {
		if (!is_multiple(program, atom->right, &number, &like.field)) {
			return true;
		}
		like.kind = AXIS_RATIO;
		slack = SLACK;
	}
	struct bound bound = of_comparison(atom->op, number, slack);
	if (slack > 0) { /* where it was rounded the end may be allowed */
		bound.above_low = bound.below_high = false;
	}
	bound.rule = base.rule;
	bound.part = base.part;
	return add_bound(find_axis(index, program, &like), bound);
}

/* The bytes that every match of a glob begins with. */
static size_t glob_prefix(struct cu_text pattern)
{
	size_t n = 0;
	while (n < pattern.len && !memchr("*?[\\", pattern.data[n], 4)) {
		n++;
	}
	return n;
}

static bool bound_texts(struct cu_index *index, const struct cu_program *program, const struct cu_atom *atom, struct bound base)
{
	struct axis like = {.kind = AXIS_TEXT, .field = atom->field};
	bool glob = atom->op == CU_ATOM_TEXT_GLOB;
	for (uint32_t i = 0; glob && i < atom->n_set; i++) {
		if (glob_prefix(program->texts[atom->set + i]) == 0) {
			return true; /* any text can match */
		}
	}
	struct axis *axis = find_axis(index, program, &like);
	for (uint32_t i = 0; axis && i < atom->n_set; i++) {
		struct cu_text text = program->texts[atom->set + i];
		base.low = base.high = (struct key){.data = text.data, .len = glob ? glob_prefix(text) : text.len};
		base.high.endless = atom->op != CU_ATOM_TEXT_IN;
		if (!add_bound(axis, base)) {
			return false;
		}
	}
	return axis != NULL;
}

static bool bound_addrs(struct cu_index *index, const struct cu_program *program, const struct cu_atom *atom, struct bound base)
{
	struct axis like = {.kind = AXIS_ADDR, .field = atom->field};
	struct axis *axis = find_axis(index, program, &like);
	for (uint32_t i = 0; axis && i < atom->n_set; i++) {
		base.low = (struct key){.data = index->addr_keys[2 * (atom->set + i)], .len = ADDR_KEY_LEN};
		base.high = (struct key){.data = index->addr_keys[2 * (atom->set + i) + 1], .len = ADDR_KEY_LEN};
		if (!add_bound(axis, base)) {
			return false;
		}
	}
	return axis != NULL;
}

/* Bounds from an atom that has to be true; none for those that bound nothing. */
static bool bound_atom(struct cu_index *index, const struct cu_program *program, const struct cu_atom *atom, struct bound base)
{
	switch ((enum cu_atom_op)atom->op) {
	case CU_ATOM_LT:
	case CU_ATOM_LE:
	case CU_ATOM_GT:
	case CU_ATOM_GE:
	case CU_ATOM_EQ:
	case CU_ATOM_BETWEEN:
		return bound_numbers(index, program, atom, base);
	case CU_ATOM_TEXT_IN:
	case CU_ATOM_TEXT_GLOB:
	case CU_ATOM_TEXT_STARTS:
		return bound_texts(index, program, atom, base);
	case CU_ATOM_ADDR_IN:
		return bound_addrs(index, program, atom, base);
	case CU_ATOM_NE:
	case CU_ATOM_TRUE:
	case CU_ATOM_HAS:
	case CU_ATOM_TEXT_SAME:
	case CU_ATOM_TEXT_OTHER:
	case CU_ATOM_TEXT_NOT:
	case CU_ATOM_TEXT_CONTAINS:
	case CU_ATOM_TEXT_ENDS:
	case CU_ATOM_ADDR_SAME:
	case CU_ATOM_ADDR_OTHER:
	case CU_ATOM_ADDR_NOT:
	default:
		return true;
	}
}

/* Follows a condition as long as one outcome of each step ends it. */
static bool bound_rule(struct cu_index *index, const struct cu_program *program, uint32_t rule, int32_t step)
{
	uint32_t part = 0;
	while (step >= 0) {
		const struct cu_step *at = &program->steps[step];
		if (at->on_false == CU_STEP_NO) {
			struct bound base = {.rule = rule, .part = part++};
			if (!bound_atom(index, program, &program->atoms[at->atom], base)) {
				return false;
			}
			step = at->on_true;
		} else if (at->on_true == CU_STEP_NO) {
			step = at->on_false;
		} else {
			break;
		}
	}
	return true;
}

/* ---- stretches ---- */

static enum axis_kind sorted_kind; /* of the cuts that qsort has; see cut_axis */

static int compare_for_sort(const void *a, const void *b)
{
	return compare_keys(sorted_kind, a, b);
}
