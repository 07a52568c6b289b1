#include "lib/rules/reach.h"

#include <math.h>
#include <string.h>

/*
 * A condition is followed along all its paths, as far as atoms leave a choice:
 * an atom that was decided on a path decides others about the same value, as
 * total > 2s decides total > 1s. Where each path on which one rule matches goes
 * on to match an earlier rule too, the earlier one shadows it. What is decided
 * is always so, but for shares of a total of nothing; what is not may still be,
 * so that some warnings are missing.
 */
enum {
	LITERAL_CAP = 64,            /* atoms decided on a path */
	TOPIC_STEPS = 64,            /* steps of a condition that are looked at for what it asks */
	PAIR_STEPS = 2000,           /* steps for one question */
	ALL_STEPS = 4 * 1000 * 1000, /* for all of them */
	SET_PAIRS = 4096,            /* pairs of values of two atoms that are compared */
};

enum verdict { FALSE, TRUE, OPEN };

/* Values of a number: those between, without an end that is open. */
struct span {
	double low, high;
	bool open_low, open_high;
};

struct walk {
	const struct cu_program *program;
	struct literal {
		uint32_t atom;
		bool value;
	} literals[LITERAL_CAP];
	size_t n_literals;
	long pair_left, all_left;
};

/* ---- numbers ---- */

/* What a numeric atom compares: its left side with constants, or with multiples of a field. */
struct scale {
	struct cu_code_ref left;
	const struct cu_field *unit; /* NULL: constants */
	double factor;               /* the right side, in that; not of CU_ATOM_BETWEEN */
};

static bool is_numeric(const struct cu_atom *atom)
{
	return atom->op <= CU_ATOM_BETWEEN;
}

static bool scale_of(const struct cu_program *program, const struct cu_atom *atom, struct scale *scale)
{
	uint16_t field;
	*scale = (struct scale){.left = atom->left};
	if (atom->op == CU_ATOM_BETWEEN || cu_program_is_constant(program, atom->right, &scale->factor)) {
		return true;
	}
	if (!cu_program_is_multiple(program, atom->right, &scale->factor, &field)) {
		return false;
	}
	scale->unit = cu_field_at(field);
	return true;
}

static bool same_scale(const struct cu_program *program, const struct scale *a, const struct scale *b)
{
	return a->unit == b->unit && cu_program_same_code(program, a->left, b->left);
}

/* The n-th span of an atom's values; false behind the last. */
static bool span_at(const struct cu_program *program, const struct cu_atom *atom, double factor, size_t n,
                    struct span *span)
{
	*span = (struct span){.low = -INFINITY, .high = INFINITY};
	switch (atom->op) {
	case CU_ATOM_BETWEEN:
		if (n < atom->n_set) {
			span->low = program->ranges[atom->set + n].low;
			span->high = program->ranges[atom->set + n].high;
		}
		return n < atom->n_set;
	case CU_ATOM_NE: /* below and above */
		*(n == 0 ? &span->high : &span->low) = factor;
		span->open_low = span->open_high = true;
		return n < 2;
	case CU_ATOM_LT:
	case CU_ATOM_LE:
		span->high = factor;
		span->open_high = atom->op == CU_ATOM_LT;
		return n < 1;
	case CU_ATOM_GT:
	case CU_ATOM_GE:
		span->low = factor;
		span->open_low = atom->op == CU_ATOM_GT;
		return n < 1;
	default:
		span->low = span->high = factor;
		return n < 1;
	}
}

static bool is_empty(const struct span *span)
{
	return span->low > span->high || (!(span->low < span->high) && (span->open_low || span->open_high));
}

static struct span meet(const struct span *a, const struct span *b)
{
	const struct span *low = a->low > b->low || (!(a->low < b->low) && a->open_low) ? a : b;
	const struct span *high = a->high < b->high || (!(a->high > b->high) && a->open_high) ? a : b;
	return (struct span){low->low, high->high, low->open_low, high->open_high};
}

static bool is_within(const struct span *a, const struct span *b)
{
	bool low = a->low > b->low || (!(a->low < b->low) && (a->open_low || !b->open_low));
	bool high = a->high < b->high || (!(a->high > b->high) && (a->open_high || !b->open_high));
	return is_empty(a) || (low && high);
}

/* The values that a left side can have at all: no time, size or count is below zero. */
static struct span domain_of(const struct cu_program *program, const struct scale *scale)
{
	struct span all = {.low = -INFINITY, .high = INFINITY};
	const struct cu_code *code = &program->code[scale->left.first];
	if (scale->left.n != 1 || code->op != CU_CODE_FIELD) {
		return all;
	}
	const struct cu_field *field = cu_field_at((size_t)code->arg);
	if (field->type == CU_TYPE_INSTANT || strcmp(field->name, "excess") == 0) {
		return all;
	}
	all.low = 0;
	bool is_part = scale->unit && field->base == CU_FIELD_TRANSACTION && strcmp(scale->unit->name, "total") == 0;
	if (is_part || strcmp(field->name, "certainty") == 0) {
		all.high = 1; /* of the total, or of what is certain */
	} else if (!scale->unit && field->type == CU_TYPE_PORT) {
		all.high = UINT16_MAX;
	}
	return all;
}

/* Whether a left side has a value, whatever the transaction. */
static bool is_always_there(const struct cu_program *program, const struct scale *scale)
{
	const struct cu_code *code = &program->code[scale->left.first];
	return scale->left.n == 1 && code->op == CU_CODE_FIELD &&
	       cu_field_is_always_there(cu_field_at((size_t)code->arg)) &&
	       (!scale->unit || cu_field_is_always_there(scale->unit));
}

/* What an atom is by itself: total < 0s is false. */
static enum verdict of_domain(const struct cu_program *program, const struct cu_atom *atom)
{
	struct scale scale;
	struct span span;
	bool possible = false, certain = false;
	if (!is_numeric(atom) || atom->n_set > SET_PAIRS || !scale_of(program, atom, &scale)) {
		return OPEN;
	}
	struct span domain = domain_of(program, &scale);
	for (size_t n = 0; span_at(program, atom, scale.factor, n, &span); n++) {
		struct span both = meet(&span, &domain);
		possible = possible || !is_empty(&both);
		certain = certain || is_within(&domain, &span);
	}
	return !possible ? FALSE : certain && is_always_there(program, &scale) ? TRUE : OPEN;
}

/* ---- what one atom has to do with another ---- */

struct relation {
	bool within;   /* a implies b */
	bool disjoint; /* never both */
};

static struct relation of_numbers(const struct cu_program *program, const struct cu_atom *a, const struct cu_atom *b)
{
	struct relation relation = {false, false};
	struct scale of_a, of_b;
	struct span x, y;
	if (!scale_of(program, a, &of_a) || !scale_of(program, b, &of_b) || !same_scale(program, &of_a, &of_b)) {
		return relation;
	}
	struct span domain = domain_of(program, &of_a);
	relation = (struct relation){true, true};
	for (size_t i = 0; span_at(program, a, of_a.factor, i, &x); i++) {
		bool inside = false;
		x = meet(&x, &domain);
		for (size_t k = 0; span_at(program, b, of_b.factor, k, &y); k++) {
			struct span both = meet(&x, &y);
			inside = inside || is_within(&x, &y);
			relation.disjoint = relation.disjoint && is_empty(&both);
		}
		relation.within = relation.within && inside;
	}
	return relation;
}

static bool network_within(const struct cu_network *a, const struct cu_network *b)
{
	return a->prefix >= b->prefix && cu_network_has(&b->addr, b->prefix, &a->addr);
}

static struct relation of_addrs(const struct cu_program *program, const struct cu_atom *a, const struct cu_atom *b)
{
	struct relation relation = {true, true};
	for (uint32_t i = 0; i < a->n_set; i++) {
		const struct cu_network *x = &program->networks[a->set + i];
		bool inside = false;
		for (uint32_t k = 0; k < b->n_set; k++) {
			const struct cu_network *y = &program->networks[b->set + k];
			inside = inside || network_within(x, y);
			relation.disjoint = relation.disjoint && !network_within(x, y) && !network_within(y, x);
		}
		relation.within = relation.within && inside;
	}
	return relation;
}

/* The bytes that all of a pattern's matches begin with, when those are all its matches; else false. */
static bool is_prefix(const struct cu_atom *atom, struct cu_text *text)
{
	if (atom->op == CU_ATOM_TEXT_GLOB && text->len > 0 && text->data[text->len - 1] == '*') {
		text->len--;
		for (uint32_t i = 0; i < text->len; i++) {
			if (memchr("*?[\\", text->data[i], 4)) {
				return false;
			}
		}
		return true;
	}
	return atom->op == CU_ATOM_TEXT_STARTS;
}

static bool begins_with(struct cu_text text, struct cu_text prefix)
{
	return text.len >= prefix.len && memcmp(text.data, prefix.data, prefix.len) == 0;
}

/* Of the texts that a names: a names whole ones, or both prefixes; else nothing is known. */
static struct relation of_texts(const struct cu_program *program, const struct cu_atom *a, const struct cu_atom *b)
{
	struct relation relation = {true, true};
	for (uint32_t i = 0; i < a->n_set; i++) {
		struct cu_text x = program->texts[a->set + i];
		bool inside = false;
		for (uint32_t k = 0; k < b->n_set; k++) {
			struct cu_text y = program->texts[b->set + k];
			if (a->op == CU_ATOM_TEXT_IN) {
				bool matches = cu_program_text_matches(b->op, &y, x);
				inside = inside || matches;
				relation.disjoint = relation.disjoint && !matches;
			} else if (is_prefix(a, &x) && is_prefix(b, &y)) {
				inside = inside || begins_with(x, y);
				relation.disjoint = relation.disjoint && !begins_with(x, y) && !begins_with(y, x);
			} else {
				return (struct relation){false, false};
			}
		}
		relation.within = relation.within && inside;
	}
	return relation;
}

static bool is_text_set(uint32_t op)
{
	return op >= CU_ATOM_TEXT_IN && op <= CU_ATOM_TEXT_ENDS && op != CU_ATOM_TEXT_NOT;
}

/* The field whose value an atom needs to be true; -1: not one alone. */
static int32_t needed_field(const struct cu_program *program, const struct cu_atom *atom)
{
	if (!is_numeric(atom)) {
		return atom->field;
	}
	const struct cu_code *code = &program->code[atom->left.first];
	return atom->left.n == 1 && code->op == CU_CODE_FIELD ? code->arg : -1;
}

static struct relation relate(const struct cu_program *program, const struct cu_atom *a, const struct cu_atom *b)
{
	struct relation relation = {false, false};
	if (b->op == CU_ATOM_HAS) {
		relation.within = a->op != CU_ATOM_TRUE && needed_field(program, a) == b->field;
		return relation;
	}
	if ((uint64_t)a->n_set * b->n_set > SET_PAIRS) {
		return relation;
	}
	if (is_numeric(a) && is_numeric(b)) {
		return of_numbers(program, a, b);
	}
	if (is_numeric(a) || is_numeric(b) || a->field != b->field) {
		return relation;
	}
	if (is_text_set(a->op) && is_text_set(b->op)) {
		return of_texts(program, a, b);
	}
	if (a->op == CU_ATOM_ADDR_IN && b->op == CU_ATOM_ADDR_IN) {
		return of_addrs(program, a, b);
	}
	/* != is true of what has a value that is none of the set. */
	if ((is_text_set(a->op) && b->op == CU_ATOM_TEXT_NOT) ||
	    (a->op == CU_ATOM_ADDR_IN && b->op == CU_ATOM_ADDR_NOT)) {
		struct cu_atom opposite = *b;
		opposite.op = b->op == CU_ATOM_TEXT_NOT ? CU_ATOM_TEXT_IN : CU_ATOM_ADDR_IN;
		struct relation other = relate(program, a, &opposite);
		return (struct relation){.within = other.disjoint, .disjoint = other.within};
	}
	return relation;
}

/* What an atom is where another has a value. */
static enum verdict decided_by(const struct cu_program *program, const struct literal *literal, uint32_t atom)
{
	if (literal->atom == atom) {
		return literal->value;
	}
	const struct cu_atom *a = &program->atoms[literal->atom], *b = &program->atoms[atom];
	if (literal->value) {
		struct relation relation = relate(program, a, b);
		struct relation back = relate(program, b, a);
		return relation.within ? TRUE : relation.disjoint || back.disjoint ? FALSE : OPEN;
	}
	return relate(program, b, a).within ? FALSE : OPEN;
}

static enum verdict value_of(const struct walk *walk, uint32_t atom)
{
	enum verdict verdict = of_domain(walk->program, &walk->program->atoms[atom]);
	for (size_t i = 0; verdict == OPEN && i < walk->n_literals; i++) {
		verdict = decided_by(walk->program, &walk->literals[i], atom);
	}
	return verdict;
}

/* ---- paths ---- */

/*
 * Whether every path from step on that matches goes on from then to a match;
 * with then CU_STEP_NO, whether there is no path that matches. Of then itself
 * (is_then): whether all paths match.
 */
static bool every_path(struct walk *walk, int32_t step, int32_t then, bool is_then)
{
	while (step >= 0) {
		const struct cu_step *at = &walk->program->steps[step];
		if (--walk->pair_left < 0 || --walk->all_left < 0) {
			return false;
		}
		enum verdict verdict = value_of(walk, at->atom);
		if (verdict == OPEN) {
			if (walk->n_literals == LITERAL_CAP) {
				return false;
			}
			struct literal *literal = &walk->literals[walk->n_literals++];
			*literal = (struct literal){at->atom, true};
			bool good = every_path(walk, at->on_true, then, is_then);
			literal->value = false;
			good = good && every_path(walk, at->on_false, then, is_then);
			walk->n_literals--;
			return good;
		}
		step = verdict == TRUE ? at->on_true : at->on_false;
	}
	if (is_then) {
		return step == CU_STEP_MATCH;
	}
	return step != CU_STEP_MATCH || every_path(walk, then, then, true);
}

static bool ask(struct walk *walk, int32_t step, int32_t then)
{
	walk->n_literals = 0;
	walk->pair_left = PAIR_STEPS;
	return walk->all_left > 0 && every_path(walk, step, then, false);
}

/* ---- rules ---- */

/* A bit for what an atom is about: atoms that have to do with each other have the same. */
static uint64_t topic_of(const struct cu_program *program, const struct cu_atom *atom)
{
	int32_t field = needed_field(program, atom);
	if (field < 0) { /* several: of the first */
		const struct cu_code *code = &program->code[atom->left.first];
		while (code->op != CU_CODE_FIELD && code < &program->code[atom->left.first + atom->left.n - 1]) {
			code++;
		}
		field = code->arg;
	}
	return UINT64_C(1) << ((unsigned)field % 64);
}

/* The bits of all that a condition asks. */
static uint64_t topics_of(const struct cu_program *program, int32_t step, unsigned *left)
{
	if (step < 0) {
		return 0;
	}
	if (*left == 0) {
		return UINT64_MAX;
	}
	--*left;
	const struct cu_step *at = &program->steps[step];
	return topic_of(program, &program->atoms[at->atom]) | topics_of(program, at->on_true, left) |
	       topics_of(program, at->on_false, left);
}

struct reach {
	bool never, always;
	uint64_t topic; /* of the first question that it asks */
};

/* The earlier rule of the same file that matches all that the n-th does; NULL. */
static const struct cu_rule *shadow_of(struct walk *walk, const struct cu_rules *rules, size_t n,
                                       const struct reach *reach)
{
	unsigned steps = TOPIC_STEPS;
	const struct cu_rule *rule = rules->rules[n];
	uint64_t topics = topics_of(walk->program, rule->step, &steps);
	for (size_t i = 0; i < n && --walk->all_left > 0; i++) {
		const struct cu_rule *earlier = rules->rules[i];
		if (reach[i].never || earlier->where->source != rule->where->source) {
			continue;
		}
		/* What begins with a question that the rule's condition does not decide is not worth asking. */
		if (reach[i].always || ((reach[i].topic & topics) != 0 && ask(walk, rule->step, earlier->step))) {
			return earlier;
		}
	}
	return NULL;
}

static struct reach reach_of(struct walk *walk, int32_t step)
{
	struct reach reach = {.never = step == CU_STEP_NO || step == CU_STEP_BROKEN, .always = step == CU_STEP_MATCH};
	if (step >= 0) {
		reach.topic = topic_of(walk->program, &walk->program->atoms[walk->program->steps[step].atom]);
		reach.never = ask(walk, step, CU_STEP_NO);
		reach.always = !reach.never && ask(walk, CU_STEP_MATCH, step);
	}
	return reach;
}

static void say_why(struct cu_rules *rules, const struct cu_rule *rule, const struct cu_rule *earlier)
{
	if (!earlier) {
		cu_yaml_warn_at(&rules->diag, rule->where, 0, rule->where->len,
		                "'%s' can never match: parts of its condition exclude each other", rule->name);
		return;
	}
	size_t line = cu_rules_source_line(earlier->where->source, earlier->where->offset) + 1;
	cu_yaml_warn_at(&rules->diag, rule->where, 0, rule->where->len,
	                "'%s' is never reached: '%s' on line %zu matches all that it does", rule->name, earlier->name,
	                line);
}

void cu_warn_unreachable(struct cu_rules *rules, const bool *known)
{
	struct walk walk = {.program = &rules->program, .all_left = ALL_STEPS};
	size_t n = rules->n_active + rules->n_endpoints;
	struct reach *reach = cu_heap_get(&rules->heap, (n + 1) * sizeof(*reach));
	for (size_t i = 0; reach && i < n; i++) {
		const struct cu_rule *rule = rules->rules[i];
		reach[i] = reach_of(&walk, rule->step);
		reach[i].never = reach[i].never || (i < rules->n_active && known[i]);
		if (reach[i].never && rule->step >= 0 && !rule->warned) { /* of what is constant it was said */
			say_why(rules, rule, NULL);
		}
		if (!reach[i].never && i < rules->n_active) { /* rules about endpoints are asked all */
			const struct cu_rule *earlier = shadow_of(&walk, rules, i, reach);
			if (earlier) {
				say_why(rules, rule, earlier);
			}
		}
	}
}
