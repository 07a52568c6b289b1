#include "lib/rules/template.h"

#include <string.h>

/* The text from begin on up to a single brace or the end; doubled braces become one. */
static bool take_text(struct cu_scope *scope, const struct cu_yaml *scalar, size_t *at, struct cu_text *text)
{
	char *copy = cu_heap_get(scope->diag->heap, scalar->len - *at + 1);
	size_t n = 0, i = *at;
	if (!copy) {
		return false;
	}
	while (i < scalar->len) {
		char c = scalar->text[i];
		if ((c == '{' || c == '}') && i + 1 < scalar->len && scalar->text[i + 1] == c) {
			i++;
		} else if (c == '{') {
			break;
		} else if (c == '}') {
			cu_yaml_error_at(scope->diag, scalar, i, 1,
			                 "a } without its {; a brace itself is written twice: }}");
			return false;
		}
		/* A text is one line in the end, however it is laid out in the file. */
		copy[n++] = c == '\n' || c == '\t' ? ' ' : c;
		i++;
	}
	if (i == scalar->len) {
		while (n > 0 && copy[n - 1] == ' ') {
			n--;
		}
	}
	*at = i;
	*text = (struct cu_text){copy, (uint32_t)n};
	return true;
}

static bool take_value(struct cu_scope *scope, struct cu_program *program, const struct cu_yaml *scalar, size_t *at,
                       struct cu_template_part *part)
{
	size_t begin = *at + 1, end = begin;
	while (end < scalar->len && scalar->text[end] != '}' && scalar->text[end] != '{') {
		end++;
	}
	if (end == scalar->len || scalar->text[end] == '{') {
		cu_yaml_error_at(scope->diag, scalar, *at, 1, "a { without its }; a brace itself is written twice: {{");
		*at = scalar->len;
		return false;
	}
	*at = end + 1;
	size_t blank = begin;
	while (blank < end && scalar->text[blank] == ' ') {
		blank++;
	}
	if (blank == end) {
		cu_yaml_error_at(scope->diag, scalar, begin - 1, end - begin + 2,
		                 "nothing in the braces; expected a field");
		return false;
	}
	unsigned n_nodes = 0;
	struct cu_expr *expr = cu_expr_check(scope, cu_expr_parse(scope->diag, scalar, begin, end - begin, &n_nodes));
	if (!expr || expr->kind == CU_EXPR_ERROR || !cu_expr_check_about(scope, expr)) {
		return false;
	}
	const struct cu_expr *value = expr;
	while (value->kind == CU_EXPR_MACRO) {
		value = value->a;
	}
	part->type = (uint8_t)value->type;
	part->names = value->names;
	if (value->kind == CU_EXPR_FIELD) {
		part->field = value->field;
		return true;
	}
	if (!cu_type_is_numeric(value->type)) {
		cu_yaml_error_at(scope->diag, scalar, begin, end - begin,
		                 "%s cannot be shown; expected a field or a quantity", cu_type_name(value->type));
		return false;
	}
	program->of_window = scope->about != CU_ABOUT_TRANSACTION;
	part->code = cu_program_add_number(program, value);
	program->of_window = false;
	if (part->code.n == 0) {
		cu_yaml_error_at(scope->diag, scalar, begin, end - begin, "too large; make it simpler");
		return false;
	}
	return true;
}

struct cu_template_part *cu_template_parse(struct cu_scope *scope, struct cu_program *program,
                                           const struct cu_yaml *scalar)
{
	struct cu_template_part *first = NULL, **tail = &first;
	bool good = true;
	size_t at = 0;
	do {
		struct cu_template_part *part = cu_heap_get(scope->diag->heap, sizeof(*part));
		if (!part) {
			return NULL;
		}
		*tail = part;
		tail = &part->next;
		if (!take_text(scope, scalar, &at, &part->text)) {
			return NULL;
		}
		if (at < scalar->len && !take_value(scope, program, scalar, &at, part)) {
			good = false;
		}
	} while (at < scalar->len);
	return good ? first : NULL;
}

/* A service without a name is known by its port. */
static void render_field(const struct cu_field *field, const struct cu_view *view, struct cu_buf *buf)
{
	const struct cu_connection *connection = view->base[CU_FIELD_CONNECTION];
	if (connection && !cu_field_has(field, view) && strcmp(field->name, "service") == 0) {
		cu_buf_add_cstr(buf, "the service at port ");
		cu_buf_add_u64(buf, connection->server_port);
		return;
	}
	cu_field_format(field, view, buf);
}

void cu_template_render(const struct cu_template_part *parts, struct cu_program *program, const struct cu_view *view,
                        size_t cap, struct cu_buf *buf)
{
	size_t begin = buf->len;
	for (const struct cu_template_part *part = parts; part; part = part->next) {
		cu_buf_add(buf, part->text.data, part->text.len);
		if (part->field) {
			render_field(part->field, view, buf);
		} else if (part->code.n > 0) {
			cu_format_number(buf, part->type, part->names, cu_program_number(program, part->code, view));
		}
	}
	if (buf->len - begin > cap) { /* at the start of a character */
		buf->len = begin + cap;
		while (buf->len > begin && (buf->data[buf->len] & 0xc0) == 0x80) {
			buf->len--;
		}
	}
}
