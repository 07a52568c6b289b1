#include "lib/rules/expr.h"

#include "lib/base/nearest.h"

#include <string.h>

static const char *const functions[] = {[CU_FUNCTION_MIN] = "min",
                                        [CU_FUNCTION_MAX] = "max",
                                        [CU_FUNCTION_ABS] = "abs",
                                        [CU_FUNCTION_COUNT] = "count",
                                        [CU_FUNCTION_SHARE] = "share"};

struct parser {
	struct cu_diag *diag;
	const struct cu_yaml *scalar;
	struct cu_lexer lexer;
	struct cu_token token; /* the one to look at */
	size_t last_end;       /* of the token before it */
	unsigned depth, n_nodes;
	bool failed;
};

static struct cu_expr *parse_or(struct parser *parser);

const char *cu_function_name(size_t n)
{
	return n < sizeof(functions) / sizeof(*functions) ? functions[n] : NULL;
}

static const char *token_text(const struct parser *parser)
{
	return parser->lexer.text + parser->token.start;
}

/* Length of the token to show in a message. */
static int shown_len(const struct parser *parser)
{
	enum { SHOWN = 40 };
	return parser->token.len < SHOWN ? (int)parser->token.len : SHOWN;
}

static void advance(struct parser *parser)
{
	parser->last_end = parser->token.start + parser->token.len;
	cu_lexer_next(&parser->lexer, &parser->token);
	if (parser->token.kind == CU_TOKEN_ERROR && !parser->failed) {
		const struct cu_token *token = &parser->token;
		parser->failed = true;
		bool open_text = strstr(token->message, "no closing") != NULL;
		const struct cu_yaml *scalar = parser->scalar;
		size_t end = scalar->end;
		while (open_text && end < scalar->source->len && scalar->source->text[end] == ' ') {
			end++;
		}
		if (open_text && scalar->style == CU_YAML_PLAIN && end < scalar->source->len &&
		    scalar->source->text[end] == '#') {
			cu_yaml_error_at(
				parser->diag, scalar, token->start, 1,
				"%s; to YAML a # after a space begins a comment: put the whole condition in quotes",
				token->message);
		} else {
			cu_yaml_error_at(parser->diag, scalar, token->start, open_text ? 1 : token->len, "%s",
			                 token->message);
		}
	}
}

/* Says that something is wrong with len bytes at byte start of the condition, unless something was before. */
__attribute__((format(printf, 4, 5))) static struct cu_expr *wrong(struct parser *parser, size_t start, size_t len,
                                                                   const char *format, ...)
{
	if (!parser->failed) {
		va_list args;
		va_start(args, format);
		cu_yaml_say_at(parser->diag, CU_SEVERITY_ERROR, parser->scalar, start, len, format, args);
		va_end(args);
	}
	parser->failed = true;
	return NULL;
}

/* Says what was expected where the token stands. */
static struct cu_expr *expected(struct parser *parser, const char *what)
{
	const struct cu_token *token = &parser->token;
	if (token->kind == CU_TOKEN_END) {
		size_t at = parser->last_end > 0 ? parser->last_end - 1 : 0;
		return wrong(parser, at, 1, "the condition ends where %s is expected", what);
	}
	return wrong(parser, token->start, token->len, "expected %s, found '%.*s'", what, shown_len(parser),
	             token_text(parser));
}

static bool token_is(const struct parser *parser, const char *word)
{
	return parser->token.len == strlen(word) && memcmp(token_text(parser), word, parser->token.len) == 0;
}

static bool is_function(struct cu_text name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
		if (strlen(functions[i]) == name.len && memcmp(functions[i], name.data, name.len) == 0) {
			return true;
		}
	}
	return name.len == 3 && memcmp(name.data, "has", 3) == 0;
}

/* Says that an operator was expected behind expr, and which one is meant by a word that stands there. */
static struct cu_expr *expected_operator(struct parser *parser, const struct cu_expr *expr, const char *what)
{
	static const struct {
		const char *word, *instead;
	} others[] = {
		{"matches", "glob and a pattern"},
		{"regex", "glob and a pattern"},
		{"like", "glob and a pattern"},
		{"iglob", "glob"},
		{"icontains", "contains"},
		{"pmatch", "in"},
		{"intersects", "in"},
		{"between", "in (1s-5s)"},
		{"is", "=="},
		{"equals", "=="},
		{"eq", "=="},
		{"ne", "!="},
		{"gt", ">"},
		{"ge", ">="},
		{"lt", "<"},
		{"le", "<="},
		{"exists", "has() around the field"},
		{"unless", "and not"},
	};
	static const char *const words[] = {"and",  "or",       "not in",     "in",      "of",
	                                    "glob", "contains", "startswith", "endswith"};
	const struct cu_token *token = &parser->token;
	if (token->kind == CU_TOKEN_COMMA) {
		return wrong(parser, token->start, 1,
		             "a ',' stands between the items of a list; a decimal point is a point: 1.5s");
	}
	if (token->kind != CU_TOKEN_NAME) {
		return expected(parser, what);
	}
	if (expr->kind == CU_EXPR_NAME && is_function(expr->text)) {
		return wrong(parser, token->start, token->len,
		             "what %.*s is asked of stands in parentheses: %.*s(%.*s)", (int)expr->text.len,
		             expr->text.data, (int)expr->text.len, expr->text.data, shown_len(parser),
		             token_text(parser));
	}
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, token_text(parser), token->len);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (token_is(parser, others[i].word)) {
			return wrong(parser, token->start, token->len, "'%s' is no operator; write %s", others[i].word,
			             others[i].instead);
		}
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		cu_nearest_try(&nearest, words[i]);
	}
	if (nearest.name) {
		return wrong(parser, token->start, token->len, "expected %s, found '%.*s'; did you mean '%s'?", what,
		             shown_len(parser), token_text(parser), nearest.name);
	}
	return expected(parser, what);
}

static struct cu_expr *new_expr(struct parser *parser, enum cu_expr_kind kind, size_t start)
{
	if (parser->failed) {
		return NULL;
	}
	if (++parser->n_nodes > CU_EXPR_NODE_CAP) {
		return wrong(parser, start, 1, "a condition of more than %d parts; make macros or lists of them",
		             CU_EXPR_NODE_CAP);
	}
	struct cu_expr *expr = cu_heap_get(parser->diag->heap, sizeof(*expr));
	if (!expr) {
		parser->failed = true;
		return NULL;
	}
	expr->kind = kind;
	expr->scalar = parser->scalar;
	expr->start = start;
	return expr;
}

/* Sets where expr ends: behind the last token taken. */
static struct cu_expr *close_expr(const struct parser *parser, struct cu_expr *expr)
{
	if (expr) {
		expr->len = parser->last_end - expr->start;
	}
	return expr;
}

static bool enter(struct parser *parser)
{
	if (++parser->depth > CU_EXPR_DEPTH_CAP) {
		wrong(parser, parser->token.start, 1, "more than %d parts within one another; make macros of them",
		      CU_EXPR_DEPTH_CAP);
	}
	return !parser->failed;
}

static struct cu_expr *binary(struct parser *parser, enum cu_expr_kind kind, struct cu_expr *a,
                              struct cu_expr *(*parse_right)(struct parser *))
{
	if (!a) {
		return NULL;
	}
	struct cu_expr *expr = new_expr(parser, kind, a->start);
	struct cu_token op = parser->token;
	advance(parser);
	struct cu_expr *b = parse_right(parser);
	if (!expr || !b) {
		return NULL;
	}
	expr->op = op.kind;
	expr->op_start = op.start;
	expr->op_len = op.len;
	expr->a = a;
	expr->b = b;
	return close_expr(parser, expr);
}

/* The text between quotes, its escapes undone. */
static bool unquote(struct parser *parser, struct cu_text *text)
{
	const struct cu_token *token = &parser->token;
	const char *p = token_text(parser) + 1, *end = p + token->len - 2;
	char *copy = cu_heap_get(parser->diag->heap, token->len);
	if (!copy) {
		parser->failed = true;
		return false;
	}
	uint32_t n = 0;
	while (p < end) {
		p += *p == '\\' && p + 1 < end && (p[1] == '\\' || p[1] == '"' || p[1] == '\'');
		copy[n++] = *p++;
	}
	*text = (struct cu_text){copy, n};
	return true;
}

static struct cu_expr *parse_constant(struct parser *parser)
{
	const struct cu_token *token = &parser->token;
	struct cu_expr *expr = new_expr(parser, CU_EXPR_ERROR, token->start);
	if (!expr) {
		return NULL;
	}
	switch (token->kind) {
	case CU_TOKEN_NUMBER:
		expr->kind = CU_EXPR_NUMBER;
		expr->type = token->type;
		expr->number = token->number;
		expr->bare = token->bare;
		break;
	case CU_TOKEN_TEXT:
		expr->kind = CU_EXPR_TEXT;
		expr->type = CU_TYPE_TEXT;
		if (!unquote(parser, &expr->text)) {
			return NULL;
		}
		break;
	case CU_TOKEN_ADDRESS:
	case CU_TOKEN_NETWORK:
		expr->kind = CU_EXPR_NETWORK;
		expr->type = token->kind == CU_TOKEN_ADDRESS ? CU_TYPE_ADDRESS : CU_TYPE_NETWORK;
		expr->addr = token->addr;
		expr->prefix = token->prefix;
		break;
	case CU_TOKEN_TRUE:
	case CU_TOKEN_FALSE:
		expr->kind = CU_EXPR_BOOL;
		expr->type = CU_TYPE_BOOL;
		expr->number = token->kind == CU_TOKEN_TRUE;
		break;
	case CU_TOKEN_NAME:
		expr->kind = CU_EXPR_NAME;
		expr->text.data = cu_heap_copy(parser->diag->heap, token_text(parser), token->len);
		expr->text.len = (uint32_t)token->len;
		if (!expr->text.data) {
			parser->failed = true;
			return NULL;
		}
		break;
	default:
		return expected(parser, "a value");
	}
	advance(parser);
	return close_expr(parser, expr);
}

/* Items up to the closing parenthesis; the opening one was taken. */
static bool parse_items(struct parser *parser, struct cu_expr **items, struct cu_expr *(*parse_one)(struct parser *))
{
	struct cu_expr **tail = items;
	if (parser->token.kind == CU_TOKEN_CLOSE) {
		expected(parser, "a value");
		return false;
	}
	for (;;) {
		struct cu_expr *item = parse_one(parser);
		if (!item) {
			return false;
		}
		*tail = item;
		tail = &item->next;
		if (parser->token.kind == CU_TOKEN_CLOSE) {
			advance(parser);
			return !parser->failed;
		}
		if (parser->token.kind == CU_TOKEN_MINUS && item->kind == CU_EXPR_NAME) {
			wrong(parser, parser->token.start, 1, "a text that has a - in it needs quotes");
		} else if (parser->token.kind == CU_TOKEN_MINUS && item->kind == CU_EXPR_NETWORK) {
			wrong(parser, parser->token.start, 1,
			      "addresses have no ranges; write networks, such as 10.0.0.0/28");
		} else if (parser->token.kind == CU_TOKEN_DIVIDE && item->kind == CU_EXPR_NUMBER) {
			wrong(parser, item->start, parser->token.start + 1 - item->start,
			      "a network is written with its whole address: 10.0.0.0/8");
		}
		if (parser->token.kind != CU_TOKEN_COMMA) {
			expected(parser, "',' or ')'");
			return false;
		}
		advance(parser);
	}
}

/* A value of a list, or a range of two. */
static struct cu_expr *parse_item(struct parser *parser)
{
	struct cu_expr *low = parse_constant(parser);
	if (!low || parser->token.kind != CU_TOKEN_MINUS || low->kind != CU_EXPR_NUMBER) {
		return low;
	}
	advance(parser);
	struct cu_expr *range = new_expr(parser, CU_EXPR_RANGE, low->start);
	if (parser->token.kind != CU_TOKEN_NUMBER) {
		return expected(parser, "the end of a range");
	}
	struct cu_expr *high = parse_constant(parser);
	if (!range || !high) {
		return NULL;
	}
	range->a = low;
	range->b = high;
	return close_expr(parser, range);
}

static struct cu_expr *parse_list(struct parser *parser)
{
	size_t start = parser->token.start;
	struct cu_expr *list = new_expr(parser, CU_EXPR_LIST, start);
	if (!list) {
		return NULL;
	}
	if (parser->token.kind == CU_TOKEN_OPEN) {
		advance(parser);
		if (!parse_items(parser, &list->items, parse_item)) {
			return NULL;
		}
	} else {
		list->items = parse_item(parser);
		if (!list->items) {
			return NULL;
		}
	}
	return close_expr(parser, list);
}

/* has(field): the name was taken. */
static struct cu_expr *parse_has(struct parser *parser, const struct cu_expr *name)
{
	struct cu_expr *expr = new_expr(parser, CU_EXPR_HAS, name->start);
	advance(parser); /* the parenthesis */
	if (parser->token.kind == CU_TOKEN_NAME && expr) {
		expr->a = parse_constant(parser);
	}
	if (!expr || !expr->a || parser->token.kind != CU_TOKEN_CLOSE) {
		size_t end = parser->token.start + parser->token.len;
		return wrong(parser, name->start, end - name->start, "has() takes the name of one field");
	}
	advance(parser);
	return close_expr(parser, expr);
}

static struct cu_expr *parse_call(struct parser *parser, const struct cu_expr *name)
{
	size_t n = 0;
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, name->text.data, name->text.len);
	if (name->text.len == 3 && memcmp(name->text.data, "has", 3) == 0) {
		return parse_has(parser, name);
	}
	while (n < sizeof(functions) / sizeof(*functions) &&
	       (strlen(functions[n]) != name->text.len || memcmp(functions[n], name->text.data, name->text.len) != 0)) {
		cu_nearest_try(&nearest, functions[n++]);
	}
	cu_nearest_try(&nearest, "has");
	if (n == sizeof(functions) / sizeof(*functions) && nearest.name) {
		return wrong(parser, name->start, name->len, "'%.*s' is no function; did you mean '%s'?",
		             (int)name->text.len, name->text.data, nearest.name);
	}
	if (n == sizeof(functions) / sizeof(*functions)) {
		return wrong(parser, name->start, name->len,
		             "'%.*s' is no function; the functions are min, max, abs, count, share and has",
		             (int)name->text.len, name->text.data);
	}
	struct cu_expr *expr = new_expr(parser, CU_EXPR_CALL, name->start);
	advance(parser);
	if (!expr || !parse_items(parser, &expr->items, parse_or)) {
		return NULL;
	}
	expr->function = (enum cu_function)n;
	return close_expr(parser, expr);
}

static struct cu_expr *parse_primary(struct parser *parser)
{
	struct cu_expr *expr;
	switch (parser->token.kind) {
	case CU_TOKEN_OPEN: {
		size_t start = parser->token.start;
		advance(parser);
		expr = parse_or(parser);
		if (!expr) {
			return NULL;
		}
		if (parser->token.kind == CU_TOKEN_COMMA) {
			return expected(parser, "')'; a list stands only after 'in'");
		}
		if (parser->token.kind != CU_TOKEN_CLOSE) {
			return expected_operator(parser, expr, "an operator or ')'");
		}
		advance(parser);
		expr->start = start;
		return close_expr(parser, expr);
	}
	case CU_TOKEN_NAME:
		expr = parse_constant(parser);
		if (expr && parser->token.kind == CU_TOKEN_OPEN) {
			return parse_call(parser, expr);
		}
		return expr;
	case CU_TOKEN_NUMBER:
		expr = parse_constant(parser);
		if (expr && expr->bare && parser->token.kind == CU_TOKEN_NAME) {
			const char *unit = cu_unit_meant(token_text(parser), parser->token.len);
			return unit ? wrong(parser, expr->start, parser->token.start + parser->token.len - expr->start,
			                    "a unit stands directly behind its number: %.*s%s", (int)expr->len,
			                    parser->scalar->text + expr->start, unit)
			            : expr;
		}
		return expr;
	case CU_TOKEN_TEXT:
	case CU_TOKEN_ADDRESS:
	case CU_TOKEN_NETWORK:
	case CU_TOKEN_TRUE:
	case CU_TOKEN_FALSE:
		return parse_constant(parser);
	default:
		if (parser->last_end == 0 &&
		    (parser->token.kind == CU_TOKEN_AND || parser->token.kind == CU_TOKEN_OR)) {
			return wrong(parser, parser->token.start, parser->token.len,
			             "only what is appended to a condition ('append: true') begins with '%.*s'",
			             shown_len(parser), token_text(parser));
		}
		return expected(parser, "a value");
	}
}

static struct cu_expr *parse_unary(struct parser *parser)
{
	if (parser->token.kind != CU_TOKEN_MINUS) {
		return parse_primary(parser);
	}
	struct cu_expr *expr = new_expr(parser, CU_EXPR_MINUS, parser->token.start);
	advance(parser);
	if (!expr || !enter(parser)) {
		return NULL;
	}
	expr->a = parse_unary(parser);
	parser->depth--;
	return expr->a ? close_expr(parser, expr) : NULL;
}

static struct cu_expr *parse_product(struct parser *parser)
{
	struct cu_expr *expr = parse_unary(parser);
	while (expr && (parser->token.kind == CU_TOKEN_TIMES || parser->token.kind == CU_TOKEN_DIVIDE ||
	                parser->token.kind == CU_TOKEN_OF)) {
		expr = binary(parser, CU_EXPR_ARITHMETIC, expr, parse_unary);
	}
	return expr;
}

static struct cu_expr *parse_sum(struct parser *parser)
{
	struct cu_expr *expr = parse_product(parser);
	while (expr && (parser->token.kind == CU_TOKEN_PLUS || parser->token.kind == CU_TOKEN_MINUS)) {
		expr = binary(parser, CU_EXPR_ARITHMETIC, expr, parse_product);
	}
	return expr;
}

static bool is_comparison(enum cu_token_kind kind)
{
	return kind >= CU_TOKEN_LT && kind <= CU_TOKEN_NE;
}

static bool is_match(enum cu_token_kind kind)
{
	return kind == CU_TOKEN_TILDE || (kind >= CU_TOKEN_GLOB && kind <= CU_TOKEN_ENDS);
}

/* a in (...), a glob "..." and their like; NULL when there is no such operator, or the rest is wrong. */
static struct cu_expr *parse_membership(struct parser *parser, struct cu_expr *a)
{
	bool match = is_match(parser->token.kind);
	struct cu_expr *expr = binary(parser, match ? CU_EXPR_MATCH : CU_EXPR_IN, a, parse_list);
	if (expr && expr->op == CU_TOKEN_TILDE) {
		expr->op = CU_TOKEN_GLOB;
	}
	return expr;
}

/* a not in (...), a not glob "...". */
static struct cu_expr *parse_negated(struct parser *parser, struct cu_expr *a)
{
	struct cu_expr *expr = new_expr(parser, CU_EXPR_NOT, a->start);
	advance(parser);
	if (!expr || (parser->token.kind != CU_TOKEN_IN && !is_match(parser->token.kind))) {
		return expected(parser, "'in', 'glob', 'contains', 'startswith' or 'endswith'");
	}
	expr->a = parse_membership(parser, a);
	return expr->a ? close_expr(parser, expr) : NULL;
}

static struct cu_expr *parse_comparison(struct parser *parser)
{
	struct cu_expr *expr = parse_sum(parser);
	if (!expr) {
		return NULL;
	}
	enum cu_token_kind kind = parser->token.kind;
	if (is_comparison(kind)) {
		expr = binary(parser, CU_EXPR_COMPARE, expr, parse_sum);
	} else if (kind == CU_TOKEN_IN || is_match(kind)) {
		expr = parse_membership(parser, expr);
	} else if (kind == CU_TOKEN_NOT) {
		expr = parse_negated(parser, expr);
	} else {
		return expr;
	}
	if (expr && is_comparison(parser->token.kind)) {
		return wrong(parser, parser->token.start, parser->token.len,
		             "comparisons do not chain; write a < b and b < c");
	}
	return expr;
}

static struct cu_expr *parse_not(struct parser *parser)
{
	if (parser->token.kind != CU_TOKEN_NOT) {
		return parse_comparison(parser);
	}
	struct cu_expr *expr = new_expr(parser, CU_EXPR_NOT, parser->token.start);
	advance(parser);
	if (!expr || !enter(parser)) {
		return NULL;
	}
	expr->a = parse_not(parser);
	parser->depth--;
	return expr->a ? close_expr(parser, expr) : NULL;
}

static struct cu_expr *parse_and(struct parser *parser)
{
	struct cu_expr *expr = parse_not(parser);
	while (expr && parser->token.kind == CU_TOKEN_AND) {
		expr = binary(parser, CU_EXPR_AND, expr, parse_not);
	}
	return expr;
}

static struct cu_expr *parse_or(struct parser *parser)
{
	if (!enter(parser)) {
		return NULL;
	}
	struct cu_expr *expr = parse_and(parser);
	while (expr && parser->token.kind == CU_TOKEN_OR) {
		expr = binary(parser, CU_EXPR_OR, expr, parse_and);
	}
	parser->depth--;
	return expr;
}

static struct parser begin(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len)
{
	struct parser parser = {
		.diag = diag, .scalar = scalar, .lexer = {.text = scalar->text, .len = at + len, .at = at}};
	advance(&parser);
	return parser;
}

struct cu_expr *cu_expr_parse(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len,
                              unsigned *n_nodes)
{
	struct parser parser = begin(diag, scalar, at, len);
	parser.n_nodes = *n_nodes;
	if (parser.token.kind == CU_TOKEN_END) {
		cu_yaml_error(diag, scalar, "nothing is here; expected a condition");
		return NULL;
	}
	struct cu_expr *expr = parse_or(&parser);
	*n_nodes = parser.n_nodes;
	if (expr && !parser.failed && parser.token.kind == CU_TOKEN_CLOSE) {
		cu_yaml_error_at(diag, scalar, parser.token.start, 1, "a ')' without its '('");
		return NULL;
	}
	if (expr && parser.token.kind != CU_TOKEN_END) {
		return expected_operator(&parser, expr, "an operator such as 'and'");
	}
	return parser.failed ? NULL : expr;
}

/* Whether the scalar is, token by token, a number, range, address, network or name. */
static bool is_item(const struct cu_yaml *scalar)
{
	struct cu_lexer lexer = {.text = scalar->text, .len = scalar->len};
	struct cu_token tokens[4];
	size_t n = 0;
	do {
		cu_lexer_next(&lexer, &tokens[n]);
	} while (tokens[n].kind != CU_TOKEN_END && ++n < sizeof(tokens) / sizeof(*tokens));
	if (n == 1) {
		return tokens[0].kind >= CU_TOKEN_NAME && tokens[0].kind <= CU_TOKEN_NETWORK;
	}
	return n == 3 && tokens[0].kind == CU_TOKEN_NUMBER && tokens[1].kind == CU_TOKEN_MINUS &&
	       tokens[2].kind == CU_TOKEN_NUMBER;
}

struct cu_expr *cu_expr_parse_item(struct cu_diag *diag, const struct cu_yaml *scalar)
{
	if (is_item(scalar)) {
		struct parser parser = begin(diag, scalar, 0, scalar->len);
		struct cu_expr *expr = parse_item(&parser);
		return parser.failed ? NULL : expr;
	}
	struct cu_expr *expr = cu_heap_get(diag->heap, sizeof(*expr));
	if (expr) {
		expr->kind = CU_EXPR_TEXT;
		expr->type = CU_TYPE_TEXT;
		expr->scalar = scalar;
		expr->len = scalar->len;
		expr->text = (struct cu_text){scalar->text, (uint32_t)scalar->len};
	}
	return expr;
}
