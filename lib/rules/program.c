#include "lib/rules/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void cu_program_release(struct cu_program *program)
{
	free(program->code);
	free(program->scratch);
	free(program->atoms);
	free(program->steps);
	free(program->ranges);
	free(program->texts);
	free(program->networks);
	cu_index_release(&program->atom_index);
	cu_index_release(&program->step_index);
	free(program->known);
	*program = (struct cu_program){0};
}

bool cu_program_same_code(const struct cu_program *program, struct cu_code_ref a, struct cu_code_ref b)
{
	return a.n == b.n && (a.n == 0 || memcmp(&program->code[a.first], &program->code[b.first],
	                                         a.n * sizeof(*program->code)) == 0);
}

bool cu_program_is_constant(const struct cu_program *program, struct cu_code_ref ref, double *number)
{
	const struct cu_code *code = &program->code[ref.first];
	if (ref.n != 1 || code->op != CU_CODE_NUMBER) {
		return false;
	}
	*number = code->number;
	return true;
}

bool cu_program_is_multiple(const struct cu_program *program, struct cu_code_ref ref, double *factor, uint16_t *field)
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

bool cu_program_finish(struct cu_program *program)
{
	if (program->cap_known < program->n_atoms || !program->known) {
		size_t cap = program->n_atoms + 1;
		uint8_t *known = realloc(program->known, cap);
		if (!known) {
			program->failed = true;
			return false;
		}
		program->known = known;
		program->cap_known = cap;
	}
	cu_program_begin(program);
	return !program->failed;
}

void cu_program_begin(struct cu_program *program)
{
	memset(program->known, 0, program->cap_known);
}

double cu_program_number(struct cu_program *program, struct cu_code_ref ref, const struct cu_view *view)
{
	double stack[CU_PROGRAM_STACK_CAP];
	size_t n = 0;
	const struct cu_code *code = &program->code[ref.first], *end = code + ref.n;
	/* NOLINTBEGIN(clang-analyzer-core.*): the compiler writes no operation without its operands, nor one too deep */
	for (; code < end; code++) {
		switch ((enum cu_code_op)code->op) {
		case CU_CODE_NUMBER:
			stack[n++] = code->number;
			break;
		case CU_CODE_FIELD:
			stack[n++] = cu_field_number(cu_field_at((size_t)code->arg), view);
			break;
		case CU_CODE_TEST:
			stack[n++] = cu_program_test(program, code->arg, view);
			break;
		case CU_CODE_COUNTER:
			stack[n++] = view->counters ? (double)view->counters[code->arg] : (double)NAN;
			break;
		case CU_CODE_ADD:
			n--;
			stack[n - 1] += stack[n];
			break;
		case CU_CODE_SUBTRACT:
			n--;
			stack[n - 1] -= stack[n];
			break;
		case CU_CODE_MULTIPLY:
			n--;
			stack[n - 1] *= stack[n];
			break;
		case CU_CODE_DIVIDE: /* by zero: missing */
			n--;
			stack[n - 1] = stack[n] != 0 ? stack[n - 1] / stack[n] : (double)NAN;
			break;
		case CU_CODE_MINIMUM: /* not fmin, which would pass over a missing value */
			n--;
			stack[n - 1] = isnan(stack[n]) || stack[n] < stack[n - 1] ? stack[n] : stack[n - 1];
			break;
		case CU_CODE_MAXIMUM:
			n--;
			stack[n - 1] = isnan(stack[n]) || stack[n] > stack[n - 1] ? stack[n] : stack[n - 1];
			break;
		case CU_CODE_ABSOLUTE:
			stack[n - 1] = fabs(stack[n - 1]);
			break;
		case CU_CODE_NEGATE:
		default:
			stack[n - 1] = -stack[n - 1];
			break;
		}
	}
	/* NOLINTEND(clang-analyzer-core.*) */
	return n > 0 ? stack[0] : (double)NAN;
}

bool cu_program_text_matches(uint32_t op, const struct cu_text *pattern, struct cu_text text)
{
	switch (op) {
	case CU_ATOM_TEXT_GLOB:
		return cu_glob(pattern->data, pattern->len, text.data, text.len);
	case CU_ATOM_TEXT_CONTAINS:
		return memmem(text.data, text.len, pattern->data, pattern->len) != NULL;
	case CU_ATOM_TEXT_STARTS:
		return text.len >= pattern->len && memcmp(text.data, pattern->data, pattern->len) == 0;
	case CU_ATOM_TEXT_ENDS:
		return text.len >= pattern->len &&
		       memcmp(text.data + text.len - pattern->len, pattern->data, pattern->len) == 0;
	default:
		return text.len == pattern->len && memcmp(text.data, pattern->data, text.len) == 0;
	}
}

static bool test_text(const struct cu_program *program, const struct cu_atom *atom, const struct cu_view *view)
{
	struct cu_text text = cu_field_text(cu_field_at(atom->field), view);
	if (text.len == 0) {
		return false;
	}
	for (uint32_t i = 0; i < atom->n_set; i++) {
		if (cu_program_text_matches(atom->op, &program->texts[atom->set + i], text)) {
			return atom->op != CU_ATOM_TEXT_NOT;
		}
	}
	return atom->op == CU_ATOM_TEXT_NOT;
}

static bool test_addr(const struct cu_program *program, const struct cu_atom *atom, const struct cu_view *view)
{
	const struct cu_addr *addr = cu_field_addr(cu_field_at(atom->field), view);
	if (!addr) {
		return false;
	}
	for (uint32_t i = 0; i < atom->n_set; i++) {
		const struct cu_network *network = &program->networks[atom->set + i];
		if (cu_network_has(&network->addr, network->prefix, addr)) {
			return atom->op == CU_ATOM_ADDR_IN;
		}
	}
	return atom->op == CU_ATOM_ADDR_NOT;
}

static bool test_pair(const struct cu_atom *atom, const struct cu_view *view)
{
	const struct cu_field *field = cu_field_at(atom->field), *other = cu_field_at(atom->other);
	if (atom->op == CU_ATOM_TEXT_SAME || atom->op == CU_ATOM_TEXT_OTHER) {
		struct cu_text a = cu_field_text(field, view), b = cu_field_text(other, view);
		bool same = a.len == b.len && a.len > 0 && memcmp(a.data, b.data, a.len) == 0;
		return a.len > 0 && b.len > 0 && same == (atom->op == CU_ATOM_TEXT_SAME);
	}
	const struct cu_addr *a = cu_field_addr(field, view), *b = cu_field_addr(other, view);
	return a && b && cu_addr_equal(a, b) == (atom->op == CU_ATOM_ADDR_SAME);
}

static bool test_numbers(struct cu_program *program, const struct cu_atom *atom, const struct cu_view *view)
{
	double left = cu_program_number(program, atom->left, view);
	if (atom->op == CU_ATOM_BETWEEN) {
		for (uint32_t i = 0; i < atom->n_set; i++) {
			const struct cu_range *range = &program->ranges[atom->set + i];
			if (left >= range->low && left <= range->high) {
				return true;
			}
		}
		return false;
	}
	double right = cu_program_number(program, atom->right, view);
	switch (atom->op) {
	case CU_ATOM_LT:
		return left < right;
	case CU_ATOM_LE:
		return left <= right;
	case CU_ATOM_GT:
		return left > right;
	case CU_ATOM_GE:
		return left >= right;
	case CU_ATOM_NE: /* not !=, which is true of NaN */
		return left < right || left > right;
	default:
		return left >= right && left <= right;
	}
}

static bool test_atom(struct cu_program *program, const struct cu_atom *atom, const struct cu_view *view)
{
	switch ((enum cu_atom_op)atom->op) {
	case CU_ATOM_TRUE:
		return cu_field_number(cu_field_at(atom->field), view) > 0;
	case CU_ATOM_HAS:
		return cu_field_has(cu_field_at(atom->field), view);
	case CU_ATOM_TEXT_IN:
	case CU_ATOM_TEXT_NOT:
	case CU_ATOM_TEXT_GLOB:
	case CU_ATOM_TEXT_CONTAINS:
	case CU_ATOM_TEXT_STARTS:
	case CU_ATOM_TEXT_ENDS:
		return test_text(program, atom, view);
	case CU_ATOM_ADDR_IN:
	case CU_ATOM_ADDR_NOT:
		return test_addr(program, atom, view);
	case CU_ATOM_TEXT_SAME:
	case CU_ATOM_TEXT_OTHER:
	case CU_ATOM_ADDR_SAME:
	case CU_ATOM_ADDR_OTHER:
		return test_pair(atom, view);
	case CU_ATOM_LT:
	case CU_ATOM_LE:
	case CU_ATOM_GT:
	case CU_ATOM_GE:
	case CU_ATOM_EQ:
	case CU_ATOM_NE:
	case CU_ATOM_BETWEEN:
	default:
		return test_numbers(program, atom, view);
	}
}

bool cu_program_test(struct cu_program *program, int32_t step, const struct cu_view *view)
{
	while (step >= 0) {
		const struct cu_step *at = &program->steps[step];
		uint8_t *known = &program->known[at->atom];
		if (*known == 0) {
			*known = test_atom(program, &program->atoms[at->atom], view) ? 2 : 1;
		}
		step = *known == 2 ? at->on_true : at->on_false;
	}
	return step == CU_STEP_MATCH;
}
