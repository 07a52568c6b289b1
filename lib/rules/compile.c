/*
 * Trees compiled to a program. Atoms and steps that are alike are one.
 */
#include "lib/rules/program.h"

#include "lib/base/grow.h"

#include <stdlib.h>
#include <string.h>

#define GROW(program, items, cap, n)                                                                      \
	(cu_grow((void **)&(program)->items, &(program)->cap, (program)->n, sizeof(*(program)->items)) || \
	 ((program)->failed = true, false))

static uint64_t hash_more(const struct cu_program *program, uint64_t hash, const void *data, size_t len)
{
	const struct cu_hash_seed seed = {{program->seed.k[0] ^ hash, program->seed.k[1]}};
	return cu_hash_bytes(seed, data, len);
}

static void add_code(struct cu_program *program, enum cu_code_op op, int32_t arg, double number)
{
	if (GROW(program, scratch, cap_scratch, n_scratch)) {
		struct cu_code *code = &program->scratch[program->n_scratch++];
		memset(code, 0, sizeof(*code));
		code->op = op;
		code->arg = arg;
		code->number = number;
	}
}

static uint16_t field_index(const struct cu_field *field)
{
	return (uint16_t)(field - cu_field_at(0));
}

/* Each visit of the tree counts, so that macros of macros cannot grow without end. */
static bool visit(struct cu_program *program)
{
	if (++program->n_visits > CU_PROGRAM_VISIT_CAP) {
		program->too_large = true;
	}
	return !program->too_large && !program->failed;
}

static int32_t compile_condition(struct cu_program *program, const struct cu_expr *expr, int32_t on_true,
                                 int32_t on_false);

/* The counter of a condition about transactions: one that is there, or a new one. */
static int32_t counter_of(struct cu_program *program, const struct cu_expr *condition)
{
	program->of_window = false;
	int32_t step = compile_condition(program, condition, CU_STEP_MATCH, CU_STEP_NO);
	program->of_window = true;
	unsigned i = 0;
	while (i < program->n_counters && program->counters[i] != step) {
		i++;
	}
	if (i == CU_COUNTER_CAP) {
		program->too_many_counters = program->too_large = true;
		return 0;
	}
	program->counters[i] = step;
	program->n_counters += i == program->n_counters;
	program->used_counters |= UINT64_C(1) << i;
	return (int32_t)i;
}

static void compile_number(struct cu_program *program, const struct cu_expr *expr, unsigned depth);

/* How many of the conditions are true; of an endpoint's transactions, how many the condition is true of. */
static void compile_count(struct cu_program *program, const struct cu_expr *expr)
{
	if (program->of_window) {
		add_code(program, CU_CODE_COUNTER, counter_of(program, expr->items), 0);
		return;
	}
	add_code(program, CU_CODE_NUMBER, 0, 0);
	for (const struct cu_expr *item = expr->items; item; item = item->next) {
		int32_t step = compile_condition(program, item, CU_STEP_MATCH, CU_STEP_NO);
		add_code(program, CU_CODE_TEST, step, 0);
		add_code(program, CU_CODE_ADD, 0, 0);
	}
}

static void compile_call(struct cu_program *program, const struct cu_expr *expr, unsigned depth)
{
	switch (expr->function) {
	case CU_FUNCTION_COUNT:
		compile_count(program, expr);
		break;
	case CU_FUNCTION_SHARE:
		add_code(program, CU_CODE_COUNTER, counter_of(program, expr->items), 0);
		add_code(program, CU_CODE_FIELD, field_index(cu_field_find("transactions", strlen("transactions"))), 0);
		add_code(program, CU_CODE_DIVIDE, 0, 0);
		break;
	case CU_FUNCTION_ABS:
		compile_number(program, expr->items, depth);
		add_code(program, CU_CODE_ABSOLUTE, 0, 0);
		break;
	case CU_FUNCTION_MIN:
	case CU_FUNCTION_MAX:
	default:
		compile_number(program, expr->items, depth);
		for (const struct cu_expr *item = expr->items->next; item; item = item->next) {
			compile_number(program, item, depth + 1);
			add_code(program, expr->function == CU_FUNCTION_MIN ? CU_CODE_MINIMUM : CU_CODE_MAXIMUM, 0, 0);
		}
		break;
	}
}

/* Of an endpoint's fields those that count are remembered. */
static void note_count(struct cu_program *program, const struct cu_field *field)
{
	size_t count = field->offset / sizeof(uint64_t);
	if (field->base == CU_FIELD_WINDOW && count < CU_N_WINDOW_COUNTS) {
		program->used_counts |= UINT32_C(1) << count;
	}
}

/* Adds code to the scratch that leaves expr on the stack, of which depth places are taken. */
static void compile_number(struct cu_program *program, const struct cu_expr *expr, unsigned depth)
{
	if (!visit(program)) {
		return;
	}
	if (depth + 2 > CU_PROGRAM_STACK_CAP) {
		program->too_large = true;
		return;
	}
	switch (expr->kind) {
	case CU_EXPR_NUMBER:
		add_code(program, CU_CODE_NUMBER, 0, expr->number);
		break;
	case CU_EXPR_FIELD:
		add_code(program, CU_CODE_FIELD, field_index(expr->field), 0);
		note_count(program, expr->field);
		break;
	case CU_EXPR_MACRO:
		compile_number(program, expr->a, depth);
		break;
	case CU_EXPR_MINUS:
		compile_number(program, expr->a, depth);
		add_code(program, CU_CODE_NEGATE, 0, 0);
		break;
	case CU_EXPR_ARITHMETIC:
		compile_number(program, expr->a, depth);
		compile_number(program, expr->b, depth + 1);
		add_code(program,
		         expr->op == CU_TOKEN_PLUS     ? CU_CODE_ADD
		         : expr->op == CU_TOKEN_MINUS  ? CU_CODE_SUBTRACT
		         : expr->op == CU_TOKEN_DIVIDE ? CU_CODE_DIVIDE
		                                       : CU_CODE_MULTIPLY,
		         0, 0);
		break;
	case CU_EXPR_CALL:
		compile_call(program, expr, depth);
		break;
	default: /* the checker lets nothing else be a number */
		program->too_large = true;
		break;
	}
}

/*
 * Code is put together in the scratch first: the conditions within a count()
 * add code of their own meanwhile.
 */
static struct cu_code_ref compile_ref(struct cu_program *program, const struct cu_expr *expr)
{
	size_t base = program->n_scratch;
	compile_number(program, expr, 0);
	struct cu_code_ref ref = {(uint32_t)program->n_code, (uint32_t)(program->n_scratch - base)};
	for (uint32_t i = 0; i < ref.n && GROW(program, code, cap_code, n_code); i++) {
		program->code[program->n_code++] = program->scratch[base + i];
	}
	program->n_scratch = base;
	return ref;
}

static uint64_t hash_code(const struct cu_program *program, uint64_t hash, struct cu_code_ref ref)
{
	return ref.n > 0 ? hash_more(program, hash, &program->code[ref.first], ref.n * sizeof(*program->code)) : hash;
}

static bool is_of_texts(uint32_t op)
{
	return op >= CU_ATOM_TEXT_IN && op <= CU_ATOM_TEXT_ENDS;
}

static bool is_of_networks(uint32_t op)
{
	return op == CU_ATOM_ADDR_IN || op == CU_ATOM_ADDR_NOT;
}

static uint64_t hash_atom(const struct cu_program *program, const struct cu_atom *atom)
{
	uint32_t head[4] = {atom->op, atom->field, atom->other, atom->n_set};
	uint64_t hash = hash_more(program, 0, head, sizeof(head));
	hash = hash_code(program, hash, atom->left);
	hash = hash_code(program, hash, atom->right);
	for (uint32_t i = 0; i < atom->n_set; i++) {
		if (is_of_texts(atom->op)) {
			const struct cu_text *text = &program->texts[atom->set + i];
			hash = hash_more(program, hash, text->data, text->len);
		} else if (is_of_networks(atom->op)) {
			const struct cu_network *network = &program->networks[atom->set + i];
			hash = hash_more(program, hash, network->addr.bytes, sizeof(network->addr.bytes));
		} else {
			hash = hash_more(program, hash, &program->ranges[atom->set + i], sizeof(struct cu_range));
		}
	}
	return hash;
}

static bool same_set(const struct cu_program *program, const struct cu_atom *a, const struct cu_atom *b)
{
	for (uint32_t i = 0; i < a->n_set; i++) {
		if (is_of_texts(a->op)) {
			const struct cu_text *x = &program->texts[a->set + i], *y = &program->texts[b->set + i];
			if (x->len != y->len || memcmp(x->data, y->data, x->len) != 0) {
				return false;
			}
		} else if (is_of_networks(a->op)) {
			const struct cu_network *x = &program->networks[a->set + i],
						*y = &program->networks[b->set + i];
			if (x->prefix != y->prefix || !cu_addr_equal(&x->addr, &y->addr)) {
				return false;
			}
		} else {
			const struct cu_range *x = &program->ranges[a->set + i], *y = &program->ranges[b->set + i];
			if (x->low != y->low || x->high != y->high) {
				return false;
			}
		}
	}
	return true;
}

static bool same_atom(const struct cu_program *program, const struct cu_atom *a, const struct cu_atom *b)
{
	return a->op == b->op && a->field == b->field && a->other == b->other && a->n_set == b->n_set &&
	       cu_program_same_code(program, a->left, b->left) && cu_program_same_code(program, a->right, b->right) &&
	       same_set(program, a, b);
}

static uint64_t hash_step(const struct cu_program *program, const struct cu_step *step)
{
	return hash_more(program, 0, step, sizeof(*step));
}

/* Whether there can be more; the first of all makes the seed. */
static bool can_grow(struct cu_program *program)
{
	if (program->n_atoms + program->n_steps == 0) {
		program->seed = cu_hash_seed_random();
	}
	return !program->failed && !program->too_large;
}

static bool add_to_index(struct cu_program *program, struct cu_index *index, uint32_t tag, size_t number)
{
	program->failed |= !cu_index_add(index, tag, (uint32_t)number + 1);
	return !program->failed;
}

/* The number of an atom: of one like it that is there, or a new one. */
static uint32_t intern_atom(struct cu_program *program, const struct cu_atom *atom)
{
	if (!can_grow(program)) {
		return 0;
	}
	uint32_t tag = cu_index_tag(hash_atom(program, atom));
	for (uint32_t i = tag, at; (at = cu_index_walk(&program->atom_index, tag, &i)) != 0;) {
		if (same_atom(program, atom, &program->atoms[at - 1])) {
			return at - 1;
		}
	}
	if (!GROW(program, atoms, cap_atoms, n_atoms) ||
	    !add_to_index(program, &program->atom_index, tag, program->n_atoms)) {
		return 0;
	}
	program->atoms[program->n_atoms] = *atom;
	return (uint32_t)program->n_atoms++;
}

static int32_t intern_step(struct cu_program *program, uint32_t atom, int32_t on_true, int32_t on_false)
{
	if (!can_grow(program)) {
		return CU_STEP_NO;
	}
	struct cu_step step = {.atom = atom, .on_true = on_true, .on_false = on_false};
	uint32_t tag = cu_index_tag(hash_step(program, &step));
	for (uint32_t i = tag, at; (at = cu_index_walk(&program->step_index, tag, &i)) != 0;) {
		if (memcmp(&step, &program->steps[at - 1], sizeof(step)) == 0) {
			return (int32_t)at - 1;
		}
	}
	if (!GROW(program, steps, cap_steps, n_steps) ||
	    !add_to_index(program, &program->step_index, tag, program->n_steps)) {
		return CU_STEP_NO;
	}
	program->steps[program->n_steps] = step;
	return (int32_t)program->n_steps++;
}

static void add_set_of_numbers(struct cu_program *program, struct cu_atom *atom, const struct cu_expr *items)
{
	atom->set = (uint32_t)program->n_ranges;
	for (const struct cu_expr *item = items; item; item = item->next) {
		if (GROW(program, ranges, cap_ranges, n_ranges)) {
			bool range = item->kind == CU_EXPR_RANGE;
			program->ranges[program->n_ranges++] = (struct cu_range){
				range ? item->a->number : item->number, range ? item->b->number : item->number};
			atom->n_set++;
		}
	}
}

static void add_text(struct cu_program *program, struct cu_atom *atom, struct cu_text text)
{
	if (GROW(program, texts, cap_texts, n_texts)) {
		program->texts[program->n_texts++] = text;
		atom->n_set++;
	}
}

static void add_network(struct cu_program *program, struct cu_atom *atom, const struct cu_expr *item)
{
	if (GROW(program, networks, cap_networks, n_networks)) {
		program->networks[program->n_networks++] = (struct cu_network){item->addr, item->prefix};
		atom->n_set++;
	}
}

static const struct cu_expr *plain(const struct cu_expr *expr)
{
	while (expr->kind == CU_EXPR_MACRO) {
		expr = expr->a;
	}
	return expr;
}

/* The number of the field that an expression is: the checker lets nothing else be matched, or looked for in a list. */
static uint16_t field_of(struct cu_program *program, const struct cu_expr *expr)
{
	expr = plain(expr);
	if (expr->kind != CU_EXPR_FIELD) {
		program->too_large = true;
		return 0;
	}
	return field_index(expr->field);
}

/* A comparison of texts or addresses, of which one may be a constant. */
static void compare_things(struct cu_program *program, struct cu_atom *atom, const struct cu_expr *expr)
{
	const struct cu_expr *a = plain(expr->a), *b = plain(expr->b);
	bool same = expr->op == CU_TOKEN_EQ, texts = a->type == CU_TYPE_TEXT;
	if (a->kind != CU_EXPR_FIELD) {
		const struct cu_expr *swap = a;
		a = b;
		b = swap;
	}
	atom->field = field_of(program, a);
	if (b->kind == CU_EXPR_FIELD) {
		atom->op = texts ? (same ? CU_ATOM_TEXT_SAME : CU_ATOM_TEXT_OTHER)
		                 : (same ? CU_ATOM_ADDR_SAME : CU_ATOM_ADDR_OTHER);
		atom->other = field_index(b->field);
	} else if (texts) {
		atom->op = same ? CU_ATOM_TEXT_IN : CU_ATOM_TEXT_NOT;
		atom->set = (uint32_t)program->n_texts;
		add_text(program, atom, b->text);
	} else {
		atom->op = same ? CU_ATOM_ADDR_IN : CU_ATOM_ADDR_NOT;
		atom->set = (uint32_t)program->n_networks;
		add_network(program, atom, b);
	}
}

static void compare_quantities(struct cu_program *program, struct cu_atom *atom, const struct cu_expr *expr)
{
	/* clang-format off */
	static const uint8_t ops[][2] = { /* as written, and with its sides changed over */
		/* NOLINTNEXTLINE(misc-redundant-expression): as the others are written */
		[CU_TOKEN_LT - CU_TOKEN_LT] = {CU_ATOM_LT, CU_ATOM_GT}, [CU_TOKEN_LE - CU_TOKEN_LT] = {CU_ATOM_LE, CU_ATOM_GE},
		[CU_TOKEN_GT - CU_TOKEN_LT] = {CU_ATOM_GT, CU_ATOM_LT}, [CU_TOKEN_GE - CU_TOKEN_LT] = {CU_ATOM_GE, CU_ATOM_LE},
		[CU_TOKEN_EQ - CU_TOKEN_LT] = {CU_ATOM_EQ, CU_ATOM_EQ}, [CU_TOKEN_NE - CU_TOKEN_LT] = {CU_ATOM_NE, CU_ATOM_NE},
	};
	/* clang-format on */
	/* The constant goes to the right, so that 1s < total and total > 1s are one atom. */
	bool turned = expr->a->kind == CU_EXPR_NUMBER;
	atom->op = ops[expr->op - CU_TOKEN_LT][turned];
	atom->left = compile_ref(program, turned ? expr->b : expr->a);
	atom->right = compile_ref(program, turned ? expr->a : expr->b);
}

static void match_texts(struct cu_program *program, struct cu_atom *atom, const struct cu_expr *expr)
{
	atom->op = expr->kind == CU_EXPR_IN        ? CU_ATOM_TEXT_IN
	           : expr->op == CU_TOKEN_CONTAINS ? CU_ATOM_TEXT_CONTAINS
	           : expr->op == CU_TOKEN_STARTS   ? CU_ATOM_TEXT_STARTS
	           : expr->op == CU_TOKEN_ENDS     ? CU_ATOM_TEXT_ENDS
	                                           : CU_ATOM_TEXT_GLOB;
	atom->field = field_of(program, expr->a);
	atom->set = (uint32_t)program->n_texts;
	for (const struct cu_expr *item = expr->b->items; item; item = item->next) {
		add_text(program, atom, item->text);
	}
}

static bool is_number_like(enum cu_type type)
{
	return cu_type_is_numeric(type) || type == CU_TYPE_ENUM;
}

static uint32_t compile_atom(struct cu_program *program, const struct cu_expr *expr)
{
	struct cu_atom atom = {0};
	/* What an atom like another one has added is taken back. */
	size_t n_code = program->n_code, n_ranges = program->n_ranges, n_texts = program->n_texts;
	size_t n_networks = program->n_networks, n_atoms = program->n_atoms;
	switch (expr->kind) {
	case CU_EXPR_FIELD:
		atom.op = CU_ATOM_TRUE;
		atom.field = field_index(expr->field);
		break;
	case CU_EXPR_HAS:
		atom.op = CU_ATOM_HAS;
		atom.field = field_index(expr->field);
		break;
	case CU_EXPR_COMPARE:
		if (is_number_like(expr->a->type)) {
			compare_quantities(program, &atom, expr);
		} else {
			compare_things(program, &atom, expr);
		}
		break;
	case CU_EXPR_IN:
		if (is_number_like(expr->a->type)) {
			atom.op = CU_ATOM_BETWEEN;
			atom.left = compile_ref(program, expr->a);
			add_set_of_numbers(program, &atom, expr->b->items);
		} else if (expr->a->type == CU_TYPE_TEXT) {
			match_texts(program, &atom, expr);
		} else {
			atom.op = CU_ATOM_ADDR_IN;
			atom.field = field_of(program, expr->a);
			atom.set = (uint32_t)program->n_networks;
			for (const struct cu_expr *item = expr->b->items; item; item = item->next) {
				add_network(program, &atom, item);
			}
		}
		break;
	case CU_EXPR_MATCH:
		match_texts(program, &atom, expr);
		break;
	default:
		program->too_large = true;
		break;
	}
	uint32_t index = intern_atom(program, &atom);
	if (program->n_atoms == n_atoms) {
		program->n_code = n_code;
		program->n_ranges = n_ranges;
		program->n_texts = n_texts;
		program->n_networks = n_networks;
	}
	return index;
}

static int32_t compile_condition(struct cu_program *program, const struct cu_expr *expr, int32_t on_true,
                                 int32_t on_false)
{
	if (!visit(program)) {
		return CU_STEP_NO;
	}
	switch (expr->kind) {
	case CU_EXPR_BOOL:
		return expr->number != 0 ? on_true : on_false;
	case CU_EXPR_MACRO:
		return compile_condition(program, expr->a, on_true, on_false);
	case CU_EXPR_NOT:
		return compile_condition(program, expr->a, on_false, on_true);
	case CU_EXPR_AND:
		return compile_condition(program, expr->a, compile_condition(program, expr->b, on_true, on_false),
		                         on_false);
	case CU_EXPR_OR:
		return compile_condition(program, expr->a, on_true,
		                         compile_condition(program, expr->b, on_true, on_false));
	default:
		return intern_step(program, compile_atom(program, expr), on_true, on_false);
	}
}

int32_t cu_program_add_condition(struct cu_program *program, const struct cu_expr *expr)
{
	program->n_visits = 0;
	program->too_large = program->too_many_counters = false;
	program->used_counters = program->used_counts = 0;
	int32_t step = compile_condition(program, expr, CU_STEP_MATCH, CU_STEP_NO);
	return program->failed || program->too_large ? CU_STEP_BROKEN : step;
}

struct cu_code_ref cu_program_add_number(struct cu_program *program, const struct cu_expr *expr)
{
	program->n_visits = 0;
	program->too_large = program->too_many_counters = false;
	struct cu_code_ref ref = compile_ref(program, expr);
	if (program->failed || program->too_large) {
		ref.n = 0;
	}
	return ref;
}
