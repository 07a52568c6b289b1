/*
 * Conditions cut into tokens.
 */
#ifndef CU_RULES_LEXER_H
#define CU_RULES_LEXER_H

#include "lib/base/units.h"
#include "lib/rules/field.h"

/* clang-format off */
enum cu_token_kind {
	CU_TOKEN_END = 0,
	CU_TOKEN_NAME,    /* server.think */
	CU_TOKEN_NUMBER,  /* 50ms: number in its type's unit */
	CU_TOKEN_TEXT,    /* "..." or '...' */
	CU_TOKEN_ADDRESS, /* 10.0.0.1, 2001:db8::1 */
	CU_TOKEN_NETWORK, /* 10.0.0.0/8 */
	CU_TOKEN_LT, CU_TOKEN_LE, CU_TOKEN_GT, CU_TOKEN_GE, CU_TOKEN_EQ, CU_TOKEN_NE,
	CU_TOKEN_PLUS, CU_TOKEN_MINUS, CU_TOKEN_TIMES, CU_TOKEN_DIVIDE,
	CU_TOKEN_OPEN, CU_TOKEN_CLOSE, CU_TOKEN_COMMA, CU_TOKEN_TILDE,
	CU_TOKEN_AND, CU_TOKEN_OR, CU_TOKEN_NOT, CU_TOKEN_IN, CU_TOKEN_OF,
	CU_TOKEN_GLOB, CU_TOKEN_CONTAINS, CU_TOKEN_STARTS, CU_TOKEN_ENDS,
	CU_TOKEN_TRUE, CU_TOKEN_FALSE,
	CU_TOKEN_ERROR,   /* message says why */
};
/* clang-format on */

struct cu_token {
	enum cu_token_kind kind;
	size_t start, len; /* in the text */
	enum cu_type type; /* of a number */
	double number;
	struct cu_addr addr;
	uint8_t prefix;    /* bits, of a network */
	bool bare;         /* a number without unit */
	char message[200]; /* of an error */
};

struct cu_lexer {
	const char *text;
	size_t len, at;
};

/* The next token; after an error, the text behind it. At the end again and again CU_TOKEN_END. */
void cu_lexer_next(struct cu_lexer *lexer, struct cu_token *token);

/* The unit of numbers that a word of len bytes is or means: "ms" for ms, MS and msec. NULL: none. */
const char *cu_unit_meant(const char *word, size_t len);
/* Whether it has a meaning of its own in conditions: "and". */
bool cu_is_keyword(const char *word, size_t len);

/*
 * Parses an address, a network ("10.0.0.0/8"), and "[2001:db8::]/32" with or
 * without brackets. prefix is all bits for an address. False when it is none.
 */
bool cu_parse_network(const char *text, size_t len, struct cu_addr *addr, uint8_t *prefix);

/* Clears the bits behind the prefix; whether any were set. */
bool cu_network_trim(struct cu_addr *network, unsigned prefix);

/* Whether addr is in the network: same family, same first prefix bits. */
bool cu_network_has(const struct cu_addr *network, unsigned prefix, const struct cu_addr *addr);

#endif
