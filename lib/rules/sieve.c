#include "lib/rules/sieve.h"

#include "lib/base/grow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	ADDR_KEY_LEN = 17,          /* family, then the address's bytes */
	STRETCH_BITS_CAP = 1 << 28, /* stretches x rules of a sieve: 32 MiB */
	ENOUGH = 4,                 /* candidates that are as well asked as looked up again */
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
	bool no_low, no_high;       /* unbounded there */
	bool above_low, below_high; /* that end itself is not allowed */
};

struct axis {
	enum axis_kind kind;
	struct cu_code_ref left; /* AXIS_NUMBER, AXIS_RATIO */
	uint16_t field;          /* AXIS_TEXT, AXIS_ADDR; the divisor of AXIS_RATIO */
	struct bound *bounds;
	size_t n_bounds, cap_bounds;
	struct key *cuts; /* sorted, unique */
	double *numbers;  /* the same of a numeric axis, side by side */
	size_t n_cuts;
	/*
	 * Bits of the stretches, n_words each: that of a missing value, then
	 * below the first cut, at it, between it and the second, ...
	 */
	uint64_t *bits;
	size_t n_rules; /* that are bounded here */
};

struct cu_sieve {
	struct axis *axes;
	size_t n_axes, cap_axes;
	size_t n_rules, n_words;
	size_t n_bits; /* of all axes */
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

/* The axis of the kind, a new one if need be; NULL when memory ran out. */
static struct axis *find_axis(struct cu_sieve *sieve, const struct cu_program *program, const struct axis *like)
{
	for (size_t i = 0; i < sieve->n_axes; i++) {
		struct axis *axis = &sieve->axes[i];
		if (axis->kind == like->kind && axis->field == like->field &&
		    cu_program_same_code(program, axis->left, like->left)) {
			return axis;
		}
	}
	if (!cu_grow((void **)&sieve->axes, &sieve->cap_axes, sieve->n_axes, sizeof(*sieve->axes))) {
		return NULL;
	}
	sieve->axes[sieve->n_axes] = *like;
	return &sieve->axes[sieve->n_axes++];
}

static bool add_bound(struct axis *axis, struct bound bound)
{
	if (!axis || !cu_grow((void **)&axis->bounds, &axis->cap_bounds, axis->n_bounds, sizeof(*axis->bounds))) {
		return false;
	}
	axis->bounds[axis->n_bounds++] = bound;
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

static bool bound_numbers(struct cu_sieve *sieve, const struct cu_program *program, const struct cu_atom *atom,
                          struct bound base)
{
	struct axis like = {.kind = AXIS_NUMBER, .left = atom->left};
	double number;
	if (atom->op == CU_ATOM_BETWEEN) {
		struct axis *axis = find_axis(sieve, program, &like);
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
	if (!cu_program_is_constant(program, atom->right, &number)) {
		if (!cu_program_is_multiple(program, atom->right, &number, &like.field)) {
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
	return add_bound(find_axis(sieve, program, &like), bound);
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

static bool bound_texts(struct cu_sieve *sieve, const struct cu_program *program, const struct cu_atom *atom,
                        struct bound base)
{
	struct axis like = {.kind = AXIS_TEXT, .field = atom->field};
	bool glob = atom->op == CU_ATOM_TEXT_GLOB;
	for (uint32_t i = 0; glob && i < atom->n_set; i++) {
		if (glob_prefix(program->texts[atom->set + i]) == 0) {
			return true; /* any text can match */
		}
	}
	struct axis *axis = find_axis(sieve, program, &like);
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

static bool bound_addrs(struct cu_sieve *sieve, const struct cu_program *program, const struct cu_atom *atom,
                        struct bound base)
{
	struct axis like = {.kind = AXIS_ADDR, .field = atom->field};
	struct axis *axis = find_axis(sieve, program, &like);
	for (uint32_t i = 0; axis && i < atom->n_set; i++) {
		base.low = (struct key){.data = sieve->addr_keys[2 * (atom->set + i)], .len = ADDR_KEY_LEN};
		base.high = (struct key){.data = sieve->addr_keys[2 * (atom->set + i) + 1], .len = ADDR_KEY_LEN};
		if (!add_bound(axis, base)) {
			return false;
		}
	}
	return axis != NULL;
}

/* Bounds from an atom that has to be true; none for those that bound nothing. */
static bool bound_atom(struct cu_sieve *sieve, const struct cu_program *program, const struct cu_atom *atom,
                       struct bound base)
{
	switch ((enum cu_atom_op)atom->op) {
	case CU_ATOM_LT:
	case CU_ATOM_LE:
	case CU_ATOM_GT:
	case CU_ATOM_GE:
	case CU_ATOM_EQ:
	case CU_ATOM_BETWEEN:
		return bound_numbers(sieve, program, atom, base);
	case CU_ATOM_TEXT_IN:
	case CU_ATOM_TEXT_GLOB:
	case CU_ATOM_TEXT_STARTS:
		return bound_texts(sieve, program, atom, base);
	case CU_ATOM_ADDR_IN:
		return bound_addrs(sieve, program, atom, base);
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
static bool bound_rule(struct cu_sieve *sieve, const struct cu_program *program, uint32_t rule, int32_t step)
{
	uint32_t part = 0;
	while (step >= 0) {
		const struct cu_step *at = &program->steps[step];
		if (at->on_false == CU_STEP_NO) {
			struct bound base = {.rule = rule, .part = part};
			part++;
			if (!bound_atom(sieve, program, &program->atoms[at->atom], base)) {
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

static int compare_for_sort(const void *a, const void *b, void *kind)
{
	return compare_keys(*(const enum axis_kind *)kind, a, b);
}

/* Sorts the ends of the bounds into cuts. */
static bool cut_axis(struct axis *axis)
{
	size_t n = 0;
	axis->cuts = malloc(2 * axis->n_bounds * sizeof(*axis->cuts));
	if (!axis->cuts) {
		return false;
	}
	for (size_t i = 0; i < axis->n_bounds; i++) {
		const struct bound *bound = &axis->bounds[i];
		if (!bound->no_low) {
			axis->cuts[n++] = bound->low;
		}
		if (!bound->no_high) {
			axis->cuts[n++] = bound->high;
		}
	}
	qsort_r(axis->cuts, n, sizeof(*axis->cuts), compare_for_sort, &axis->kind);
	axis->n_cuts = n > 0;
	for (size_t i = 1; i < n; i++) {
		if (compare_keys(axis->kind, &axis->cuts[i], &axis->cuts[axis->n_cuts - 1]) != 0) {
			axis->cuts[axis->n_cuts++] = axis->cuts[i];
		}
	}
	axis->numbers = malloc((axis->n_cuts + 1) * sizeof(*axis->numbers));
	for (size_t i = 0; axis->numbers && i < axis->n_cuts; i++) {
		axis->numbers[i] = axis->cuts[i].number;
	}
	return axis->numbers != NULL;
}

/* The stretches of an axis, in order: missing, below the first cut, at it, between, ..., above the last. */
static size_t n_stretches(const struct axis *axis)
{
	return 2 * axis->n_cuts + 2;
}

/* The stretch of a value: at a cut or between two. */
static size_t stretch_of(const struct axis *axis, const struct key *key)
{
	size_t low = 0, high = axis->n_cuts;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_keys(axis->kind, &axis->cuts[middle], key) < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	bool at_cut = low < axis->n_cuts && compare_keys(axis->kind, &axis->cuts[low], key) == 0;
	return 1 + 2 * low + at_cut;
}

static size_t stretch_of_number(const struct axis *axis, double number)
{
	size_t low = 0, n = axis->n_cuts;
	while (n > 0) {
		size_t half = n / 2;
		bool right = axis->numbers[low + half] < number;
		low = right ? low + half + 1 : low;
		n = right ? n - half - 1 : half;
	}
	bool at_cut = low < axis->n_cuts && !(axis->numbers[low] > number);
	return 1 + 2 * low + at_cut;
}

/* Marks the stretches that bounds of one part allow, one or the other. */
static void mark_part(const struct axis *axis, const struct bound *bounds, size_t n, uint8_t *marks)
{
	memset(marks, 0, n_stretches(axis));
	for (size_t i = 0; i < n; i++) {
		size_t from = bounds[i].no_low ? 1 : stretch_of(axis, &bounds[i].low) + bounds[i].above_low;
		size_t to = bounds[i].no_high ? n_stretches(axis) - 1
		                              : stretch_of(axis, &bounds[i].high) - bounds[i].below_high;
		if (from <= to) {
			memset(marks + from, 1, to - from + 1);
		}
	}
}

/* Where the bounds of a rule, from first on, leave it possible; returns the first bound behind them. */
static size_t mark_rule(const struct axis *axis, size_t first, uint8_t *allowed, uint8_t *marks, bool *possible)
{
	size_t n = n_stretches(axis), at = first;
	uint32_t rule = axis->bounds[first].rule;
	memset(allowed, 1, n);
	while (at < axis->n_bounds && axis->bounds[at].rule == rule) {
		size_t begin = at;
		while (at < axis->n_bounds && axis->bounds[at].rule == rule &&
		       axis->bounds[at].part == axis->bounds[begin].part) {
			at++;
		}
		mark_part(axis, &axis->bounds[begin], at - begin, marks);
		for (size_t i = 0; i < n; i++) {
			allowed[i] &= marks[i];
		}
	}
	*possible = memchr(allowed, 1, n) != NULL;
	return at;
}

/* Fills in the bits of an axis when they are worth their room; always finds what is impossible. */
static bool fill_axis(struct cu_sieve *sieve, struct axis *axis, bool *impossible)
{
	enum { WORTH_PERCENT = 2 }; /* of the rules bounded here: else looking up costs more than it saves */
	size_t n = n_stretches(axis), n_words = n * sieve->n_words;
	uint8_t *allowed = malloc(2 * n);
	if (!allowed) {
		return false;
	}
	bool worth = axis->n_rules * 100 >= sieve->n_rules * WORTH_PERCENT &&
	             sieve->n_bits + n_words * 64 <= STRETCH_BITS_CAP;
	axis->bits = worth ? malloc(n_words * sizeof(*axis->bits)) : NULL;
	if (axis->bits) {
		memset(axis->bits, 0xff, n_words * sizeof(*axis->bits));
		sieve->n_bits += n_words * 64;
	}
	for (size_t at = 0; at < axis->n_bounds;) {
		uint32_t rule = axis->bounds[at].rule;
		bool possible;
		at = mark_rule(axis, at, allowed, allowed + n, &possible);
		impossible[rule] = impossible[rule] || !possible;
		for (size_t i = 0; axis->bits && i < n; i++) {
			if (!allowed[i]) {
				axis->bits[i * sieve->n_words + rule / 64] &= ~(UINT64_C(1) << rule % 64);
			}
		}
	}
	free(allowed);
	return axis->bits || !worth;
}

static int by_rules(const void *a, const void *b)
{
	const struct axis *x = a, *y = b;
	return (x->n_rules < y->n_rules) - (x->n_rules > y->n_rules);
}

static bool make_addr_keys(struct cu_sieve *sieve, const struct cu_program *program)
{
	sieve->addr_keys = calloc(2 * program->n_networks + 1, sizeof(*sieve->addr_keys));
	for (size_t i = 0; sieve->addr_keys && i < program->n_networks; i++) {
		const struct cu_network *network = &program->networks[i];
		uint8_t *low = sieve->addr_keys[2 * i], *high = sieve->addr_keys[2 * i + 1];
		low[0] = high[0] = network->addr.family;
		for (unsigned byte = 0; byte < sizeof(network->addr.bytes); byte++) {
			unsigned bits = network->prefix > byte * 8 ? network->prefix - byte * 8 : 0;
			uint8_t mask = (uint8_t)(bits >= 8 ? 0xff : 0xff00 >> bits);
			bool is_used = network->addr.family == 6 || byte < 4;
			low[1 + byte] = network->addr.bytes[byte] & mask;
			high[1 + byte] = is_used ? (uint8_t)(low[1 + byte] | (uint8_t)~mask) : 0;
		}
	}
	return sieve->addr_keys != NULL;
}

void cu_sieve_free(struct cu_sieve *sieve)
{
	if (!sieve) {
		return;
	}
	for (size_t i = 0; i < sieve->n_axes; i++) {
		free(sieve->axes[i].bounds);
		free(sieve->axes[i].cuts);
		free(sieve->axes[i].numbers);
		free(sieve->axes[i].bits);
	}
	free(sieve->axes);
	free(sieve->found);
	free(sieve->addr_keys);
	free(sieve);
}

static bool build(struct cu_sieve *sieve, const struct cu_program *program, const int32_t *steps, bool *impossible)
{
	for (size_t rule = 0; rule < sieve->n_rules; rule++) {
		if (!bound_rule(sieve, program, (uint32_t)rule, steps[rule])) {
			return false;
		}
	}
	for (size_t i = 0; i < sieve->n_axes; i++) {
		struct axis *axis = &sieve->axes[i];
		for (size_t b = 0; b < axis->n_bounds; b++) {
			axis->n_rules += b == 0 || axis->bounds[b].rule != axis->bounds[b - 1].rule;
		}
	}
	if (sieve->n_axes > 0) {
		qsort(sieve->axes, sieve->n_axes, sizeof(*sieve->axes), by_rules);
	}
	for (size_t i = 0; i < sieve->n_axes; i++) {
		if (!cut_axis(&sieve->axes[i]) || !fill_axis(sieve, &sieve->axes[i], impossible)) {
			return false;
		}
	}
	return true;
}

struct cu_sieve *cu_sieve_new(const struct cu_program *program, const int32_t *steps, size_t n_rules, bool *impossible)
{
	struct cu_sieve *sieve = calloc(1, sizeof(*sieve));
	if (!sieve) {
		return NULL;
	}
	sieve->n_rules = n_rules;
	sieve->n_words = (n_rules + 63) / 64;
	sieve->found = calloc(sieve->n_words + 1, sizeof(*sieve->found));
	if (!sieve->found || !make_addr_keys(sieve, program) || !build(sieve, program, steps, impossible)) {
		cu_sieve_free(sieve);
		return NULL;
	}
	return sieve;
}

/* ---- looking up ---- */

enum { STRETCH_UNKNOWN = -1 };

static ptrdiff_t find_stretch(const struct axis *axis, struct cu_program *program, const struct cu_view *view)
{
	switch (axis->kind) {
	case AXIS_NUMBER: {
		double number = cu_program_number(program, axis->left, view);
		return isnan(number) ? 0 : (ptrdiff_t)stretch_of_number(axis, number);
	}
	case AXIS_RATIO: {
		double divisor = cu_field_number(cu_field_at(axis->field), view);
		double number = cu_program_number(program, axis->left, view);
		if (isnan(divisor) || isnan(number)) {
			return 0;
		}
		return divisor > 0 ? (ptrdiff_t)stretch_of_number(axis, number / divisor) : STRETCH_UNKNOWN;
	}
	case AXIS_TEXT: {
		struct cu_text text = cu_field_text(cu_field_at(axis->field), view);
		struct key key = {.data = text.data, .len = text.len};
		return text.len > 0 ? (ptrdiff_t)stretch_of(axis, &key) : 0;
	}
	case AXIS_ADDR:
	default: {
		const struct cu_addr *addr = cu_field_addr(cu_field_at(axis->field), view);
		uint8_t bytes[ADDR_KEY_LEN];
		if (!addr) {
			return 0;
		}
		bytes[0] = addr->family;
		memcpy(bytes + 1, addr->bytes, sizeof(addr->bytes));
		struct key key = {.data = bytes, .len = sizeof(bytes)};
		return (ptrdiff_t)stretch_of(axis, &key);
	}
	}
}

const uint64_t *cu_sieve_find(struct cu_sieve *sieve, struct cu_program *program, const struct cu_view *view)
{
	size_t n_words = sieve->n_words, n_left = sieve->n_rules;
	memset(sieve->found, 0xff, n_words * sizeof(*sieve->found));
	if (sieve->n_rules % 64 != 0) {
		sieve->found[n_words - 1] = (UINT64_C(1) << sieve->n_rules % 64) - 1;
	}
	for (size_t i = 0; i < sieve->n_axes && n_left > ENOUGH; i++) {
		const struct axis *axis = &sieve->axes[i];
		ptrdiff_t stretch = axis->bits ? find_stretch(axis, program, view) : STRETCH_UNKNOWN;
		if (stretch == STRETCH_UNKNOWN) {
			continue;
		}
		const uint64_t *bits = axis->bits + (size_t)stretch * n_words;
		for (size_t w = 0; w < n_words; w++) {
			sieve->found[w] &= bits[w];
		}
		n_left = 0; /* counted as far as it matters */
		for (size_t w = 0; w < n_words && n_left <= ENOUGH; w++) {
			for (uint64_t left = sieve->found[w]; left != 0 && n_left <= ENOUGH; left &= left - 1) {
				n_left++;
			}
		}
	}
	return sieve->found;
}
