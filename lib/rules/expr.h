/*
 * Conditions as trees: parsed, then checked.
 *
 * Binding, weakest first: or, and, not, comparisons and in, + -, * / of,
 * unary minus. A tree is parsed once and may be part of several rules, when it
 * is a macro's.
 */
#ifndef CU_RULES_EXPR_H
#define CU_RULES_EXPR_H

#include "lib/rules/lexer.h"
#include "lib/rules/yaml.h"

enum {
	CU_EXPR_DEPTH_CAP = 64,  /* parentheses and operators within one another */
	CU_EXPR_NODE_CAP = 4096, /* of one condition, with what is appended to it */
};

enum cu_expr_kind {
	CU_EXPR_ERROR = 0, /* what is wrong was said */
	CU_EXPR_NUMBER,    /* number, type */
	CU_EXPR_BOOL,      /* number 0 or 1 */
	CU_EXPR_TEXT,      /* text */
	CU_EXPR_NETWORK,   /* addr, prefix; type address or network */
	CU_EXPR_NAME,      /* text: not looked up yet */
	CU_EXPR_FIELD,     /* field */
	CU_EXPR_MACRO,     /* macro */
	CU_EXPR_LIST,      /* items */
	CU_EXPR_RANGE,     /* a to b: in a list */
	CU_EXPR_NOT,       /* a */
	CU_EXPR_MINUS,     /* a */
	CU_EXPR_AND,
	CU_EXPR_OR,         /* a, b */
	CU_EXPR_COMPARE,    /* a op b: op is CU_TOKEN_LT .. NE */
	CU_EXPR_ARITHMETIC, /* a op b: CU_TOKEN_PLUS .. DIVIDE, OF */
	CU_EXPR_IN,         /* a in b */
	CU_EXPR_MATCH,      /* a op b: CU_TOKEN_GLOB, CONTAINS, STARTS, ENDS */
	CU_EXPR_HAS,        /* a */
	CU_EXPR_CALL,       /* function of items */
};

enum cu_function { CU_FUNCTION_MIN, CU_FUNCTION_MAX, CU_FUNCTION_ABS, CU_FUNCTION_COUNT, CU_FUNCTION_SHARE };

struct cu_macro;

struct cu_expr {
	enum cu_expr_kind kind;
	enum cu_type type;
	enum cu_token_kind op;
	enum cu_function function;
	const struct cu_yaml *scalar; /* the text it stands in */
	size_t start, len;            /* bytes of that */
	size_t op_start, op_len;      /* of its operator */
	double number;
	struct cu_text text;
	struct cu_addr addr;
	uint8_t prefix;
	bool bare; /* a number written without unit */
	const struct cu_field *field;
	const struct cu_names *names; /* of an enumeration */
	struct cu_macro *macro;
	struct cu_expr *a, *b;
	struct cu_expr *items, *next; /* next in its list */
};

/*
 * Parses len bytes at byte at of a scalar as an expression, and adds its parts
 * to *n_nodes, which are those of its condition so far. NULL when it is none,
 * or has too many parts (an error is in diag), or memory ran out.
 */
struct cu_expr *cu_expr_parse(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len,
                              unsigned *n_nodes);

/*
 * Parses one item of a list: a number, range, address, network or name; any
 * other scalar is a text. NULL when memory ran out.
 */
struct cu_expr *cu_expr_parse_item(struct cu_diag *diag, const struct cu_yaml *scalar);

/* The n-th function's name, NULL behind the last. */
const char *cu_function_name(size_t n);

/* A named part of conditions. */
struct cu_macro {
	const char *name;
	const struct cu_yaml *where; /* its name in the file */
	struct cu_expr *expr;        /* NULL when it is wrong */
	enum { CU_MACRO_UNCHECKED, CU_MACRO_CHECKING, CU_MACRO_CHECKED } state;
	unsigned depth; /* of macros within it */
	bool used;
};

/* A named list of constants. */
struct cu_list {
	const char *name;
	const struct cu_yaml *where;
	struct cu_expr *items; /* may name other lists */
	bool used, visiting;
};

/* What a rule is about: a transaction, or an endpoint over a window of time. */
enum cu_about { CU_ABOUT_TRANSACTION = 0, CU_ABOUT_SERVER, CU_ABOUT_CLIENT };

/* Where the checker finds names. */
struct cu_scope {
	struct cu_diag *diag;
	void *names; /* of the rules */
	struct cu_macro *(*find_macro)(void *names, const char *name, size_t len);
	struct cu_list *(*find_list)(void *names, const char *name, size_t len);
	/* The name at i of all macros and lists; NULL behind the last. */
	const char *(*name_at)(void *names, size_t i);
	unsigned depth;
	bool incomplete;     /* not all files could be read: names that are nowhere may be theirs */
	enum cu_about about; /* for cu_expr_check_about */
};

/*
 * Looks names up, checks types and units, folds constants. Returns the
 * checked tree, of kind CU_EXPR_ERROR when something was wrong with it (which
 * is said), or NULL when memory ran out.
 */
struct cu_expr *cu_expr_check(struct cu_scope *scope, struct cu_expr *expr);

/* As cu_expr_check, and it has to be a condition. */
struct cu_expr *cu_expr_check_condition(struct cu_scope *scope, struct cu_expr *expr);

/*
 * Whether what a checked tree names is known of scope->about: fields of a
 * window belong to rules about endpoints, those of a transaction into their
 * count() and share(). Says what is not.
 */
bool cu_expr_check_about(struct cu_scope *scope, const struct cu_expr *expr);

#endif
