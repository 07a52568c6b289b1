/*
 * Texts of rules with fields in braces: "{server} answered after {server.think}".
 */
#ifndef CU_RULES_TEMPLATE_H
#define CU_RULES_TEMPLATE_H

#include "lib/rules/program.h"

struct cu_template_part {
	struct cu_text text;          /* before the value */
	const struct cu_field *field; /* the value: a field, */
	struct cu_code_ref code;      /* or a number worked out, when n > 0; or none */
	uint8_t type;                 /* enum cu_type of it */
	const struct cu_names *names;
	struct cu_template_part *next;
};

/*
 * Parses a scalar. What stands in braces is an expression with a value: a
 * field, or arithmetic. A brace itself is written twice. NULL when something
 * is wrong, which is said, or when memory ran out.
 */
struct cu_template_part *cu_template_parse(struct cu_scope *scope, struct cu_program *program,
                                           const struct cu_yaml *scalar);

/* Appends at most cap bytes of text. Missing values read "unknown". */
void cu_template_render(const struct cu_template_part *parts, struct cu_program *program, const struct cu_view *view,
                        size_t cap, struct cu_buf *buf);

#endif
