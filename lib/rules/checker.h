/*
 * The checker's parts: each takes a tree as it was parsed, says what is wrong
 * with it, and returns it checked, of kind CU_EXPR_ERROR when it is wrong, or
 * NULL when memory ran out.
 */
#ifndef CU_RULES_CHECKER_H
#define CU_RULES_CHECKER_H

#include "lib/rules/expr.h"

/* Any expression: checker.c. */
struct cu_expr *cu_check(struct cu_scope *scope, struct cu_expr *expr);
struct cu_expr *cu_check_name(struct cu_scope *scope, struct cu_expr *expr);

/* Makes it an error, a number of a type, true or false; returns it. */
struct cu_expr *cu_check_broken(struct cu_expr *expr);
struct cu_expr *cu_check_become_number(struct cu_expr *expr, enum cu_type type, double number);
struct cu_expr *cu_check_become_bool(struct cu_expr *expr, bool value);

bool cu_check_is_error(const struct cu_expr *expr);
bool cu_check_is_constant(const struct cu_expr *expr);
/* Whether the name or text is word. */
bool cu_check_is_word(const struct cu_expr *expr, const char *word);
/* The field that a name names; NULL. */
const struct cu_field *cu_check_named_field(const struct cu_expr *expr);

/* Whether it is the name of a macro or a list that was not looked up yet. */
bool cu_check_names_macro(const struct cu_scope *scope, const struct cu_expr *expr);
bool cu_check_names_list(const struct cu_scope *scope, const struct cu_expr *expr);

/* Says what is wrong with an expression; it is one that is broken then. */
#define CU_WRONG(scope, expr, ...)                                                                 \
	(cu_yaml_error_at((scope)->diag, (expr)->scalar, (expr)->start, (expr)->len, __VA_ARGS__), \
	 cu_check_broken(expr))
#define CU_WARN(scope, expr, ...) \
	cu_yaml_warn_at((scope)->diag, (expr)->scalar, (expr)->start, (expr)->len, __VA_ARGS__)

/* Says that a name is none, and what it was meant to be: checker_names.c. */
struct cu_expr *cu_check_unknown_name(struct cu_scope *scope, struct cu_expr *expr);
/* A constant of an enumeration, from a name or text; or a field of it, or a macro of one. */
struct cu_expr *cu_check_value_of(struct cu_scope *scope, struct cu_expr *expr, const struct cu_names *names);
/*
 * Where a text is wanted, a single word is one, unless it names a field of
 * text: service == http, although http is a field too. A dotted name of a field
 * of another type is a mistake.
 */
bool cu_check_is_word_for_text(const struct cu_expr *expr);
struct cu_expr *cu_check_as_text(struct cu_expr *expr);

/*
 * Gives a plain number the type of what it stands beside, where that makes
 * sense: checker_units.c. False when it does not.
 */
bool cu_check_adopt(struct cu_scope *scope, struct cu_expr *number, enum cu_type type);
/*
 * Makes two operands of one type, or says with verb what is wrong: "compares
 * time with bytes". False when they cannot be.
 */
bool cu_check_unify(struct cu_scope *scope, struct cu_expr *whole, const char *verb, const char *joint,
                    struct cu_expr *a, struct cu_expr *b);
/* What type a op b has; CU_TYPE_NONE when it makes no sense. */
enum cu_type cu_check_product(enum cu_token_kind op, enum cu_type a, enum cu_type b);
/* How a plain number is written as type, and how a and b can be made one type: "; give it a unit", or "". */
const char *cu_check_unit_advice(enum cu_type type);
const char *cu_check_type_advice(const struct cu_expr *a, const struct cu_expr *b);

/* a in b, a glob b: checker_lists.c. */
struct cu_expr *cu_check_in(struct cu_scope *scope, struct cu_expr *expr);
struct cu_expr *cu_check_match(struct cu_scope *scope, struct cu_expr *expr);

#endif
