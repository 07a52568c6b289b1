#include "lib/rules/yaml.h"

#include <string.h>
#include <yaml.h>

struct loader {
	const struct cu_source *source;
	struct cu_diag *diag;
	struct cu_yaml *open[CU_YAML_DEPTH_CAP]; /* collections being read, outermost first */
	struct cu_yaml *pending_key[CU_YAML_DEPTH_CAP];
	size_t depth;
	size_t n_nodes;
	struct cu_yaml *root;
};

static size_t mark_offset(const struct loader *loader, const yaml_mark_t *mark)
{
	return cu_source_offset(loader->source, mark->line, mark->column);
}

__attribute__((format(printf, 3, 4))) static bool refuse(struct loader *loader, const yaml_event_t *event,
                                                         const char *format, ...)
{
	size_t offset = mark_offset(loader, &event->start_mark);
	size_t end = mark_offset(loader, &event->end_mark);
	va_list args;
	va_start(args, format);
	cu_diag_add(loader->diag, CU_SEVERITY_ERROR, loader->source, offset, end > offset ? end - offset : 1, format,
	            args);
	va_end(args);
	return false;
}

static bool starts_value(const char *line, size_t len, const char *key, char first)
{
	size_t at = 0;
	while (at < len && (line[at] == ' ' || line[at] == '-')) {
		at++;
	}
	size_t key_len = strlen(key);
	if (len - at <= key_len || memcmp(line + at, key, key_len) != 0 || line[at + key_len] != ':') {
		return false;
	}
	at += key_len + 1;
	while (at < len && line[at] == ' ') {
		at++;
	}
	return at < len && line[at] == first;
}

static bool tab_indents(const char *line, size_t len, size_t *at)
{
	for (*at = 0; *at < len && (line[*at] == ' ' || line[*at] == '\t'); ++*at) {
		if (line[*at] == '\t') {
			return true;
		}
	}
	return false;
}

/* libyaml's message in words that help. */
static void syntax_error(struct loader *loader, const yaml_parser_t *parser)
{
	const struct cu_source *source = loader->source;
	if (parser->error == YAML_MEMORY_ERROR) {
		loader->diag->heap->failed = true; /* no fault of the file's */
		return;
	}
	if (parser->error == YAML_READER_ERROR) {
		size_t offset = parser->problem_offset;
		unsigned char byte = offset < source->len ? (unsigned char)source->text[offset] : 0;
		cu_diag_error(loader->diag, source, offset, 1,
		              byte < 0x80 ? "a control byte 0x%02x; rules are text" : "byte 0x%02x is not UTF-8 text",
		              byte);
		return;
	}
	size_t offset = mark_offset(loader, &parser->problem_mark);
	size_t line_number = parser->problem_mark.line;
	size_t len, tab;
	const char *line = cu_source_line_text(source, line_number, &len);
	size_t line_offset = (size_t)(line - source->text);
	const char *problem = parser->problem ? parser->problem : "unreadable";
	if (tab_indents(line, len, &tab)) {
		cu_diag_error(loader->diag, source, line_offset + tab, 1,
		              "a tab indents this line; YAML is indented with spaces only");
		return;
	}
	static const char *const texts[] = {"output", "advice", "condition"};
	for (size_t back = 0; back < 2 && back <= line_number; back++) { /* the trouble shows on the line after */
		line = cu_source_line_text(source, line_number - back, &len);
		line_offset = (size_t)(line - source->text);
		for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
			if (starts_value(line, len, texts[i], '{')) {
				const char *brace = memchr(line, '{', len);
				cu_diag_error(loader->diag, source, line_offset + (size_t)(brace - line), 1,
				              "a text that begins with { is a mapping to YAML; put it in quotes");
				return;
			}
			if (starts_value(line, len, texts[i], '"') || starts_value(line, len, texts[i], '\'')) {
				cu_diag_error(
					loader->diag, source, offset, 1,
					"the text goes on after its closing quote; put all of it in quotes of the other kind");
				return;
			}
		}
	}
	if (parser->context && strcmp(parser->context, "while scanning a quoted scalar") == 0) {
		cu_diag_error(loader->diag, source, mark_offset(loader, &parser->context_mark), 1,
		              "the text that begins here has no closing quote");
		return;
	}
	if (strcmp(problem, "mapping values are not allowed in this context") == 0) {
		cu_diag_error(
			loader->diag, source, offset, 1,
			"a second ': ' on this line; put a text that has one in quotes, or check the indentation");
		return;
	}
	if (strcmp(problem, "found character that cannot start any token") == 0) {
		cu_diag_error(loader->diag, source, offset, 1,
		              "no YAML value begins with this character; put the text in quotes");
		return;
	}
	if (parser->context && parser->context_mark.line != parser->problem_mark.line) {
		cu_diag_error(loader->diag, source, offset, 1, "%s, %s that began on line %zu", problem,
		              parser->context, parser->context_mark.line + 1);
	} else if (parser->context) {
		cu_diag_error(loader->diag, source, offset, 1, "%s, %s", problem, parser->context);
	} else {
		cu_diag_error(loader->diag, source, offset, 1, "%s", problem);
	}
}

static struct cu_yaml *new_node(struct loader *loader, const yaml_event_t *event, enum cu_yaml_kind kind)
{
	if (++loader->n_nodes > CU_YAML_NODE_CAP) {
		refuse(loader, event, "the file has more than %d values", CU_YAML_NODE_CAP);
		return NULL;
	}
	struct cu_yaml *node = cu_heap_get(loader->diag->heap, sizeof(*node));
	if (node) {
		node->kind = kind;
		node->source = loader->source;
		node->offset = mark_offset(loader, &event->start_mark);
		node->end = mark_offset(loader, &event->end_mark);
	}
	return node;
}

/* Puts a finished or begun node where it belongs. */
static bool place(struct loader *loader, struct cu_yaml *node, const yaml_event_t *event)
{
	if (loader->depth == 0) {
		loader->root = node;
		return true;
	}
	struct cu_yaml *parent = loader->open[loader->depth - 1];
	struct cu_yaml **key = &loader->pending_key[loader->depth - 1];
	if (parent->kind == CU_YAML_MAPPING && !*key) {
		if (node->kind != CU_YAML_SCALAR) {
			return refuse(loader, event, "a key must be a text");
		}
		if (++parent->len > CU_YAML_KEY_CAP) {
			return refuse(loader, event, "more than %d keys in one mapping", CU_YAML_KEY_CAP);
		}
		for (const struct cu_yaml *child = parent->child; child; child = child->next) {
			if (child->key->len == node->len && memcmp(child->key->text, node->text, node->len) == 0) {
				cu_yaml_error(loader->diag, node, "'%s' is given twice; the first is on line %zu",
				              node->text, cu_source_line(loader->source, child->key->offset) + 1);
				break;
			}
		}
		*key = node;
		return true;
	}
	node->key = *key;
	*key = NULL;
	if (parent->last) {
		parent->last->next = node;
	} else {
		parent->child = node;
	}
	parent->last = node;
	return true;
}

static bool push(struct loader *loader, const yaml_event_t *event, enum cu_yaml_kind kind)
{
	struct cu_yaml *node = new_node(loader, event, kind);
	if (!node || !place(loader, node, event)) {
		return false;
	}
	if (loader->depth == CU_YAML_DEPTH_CAP) {
		return refuse(loader, event, "more than %d levels of nesting", CU_YAML_DEPTH_CAP);
	}
	loader->open[loader->depth] = node;
	loader->pending_key[loader->depth] = NULL;
	loader->depth++;
	return true;
}

static bool add_scalar(struct loader *loader, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	if (len > CU_YAML_SCALAR_CAP) {
		return refuse(loader, event, "a text of %zu bytes; at most %d are taken", len, CU_YAML_SCALAR_CAP);
	}
	if (memchr(text, '\0', len)) {
		return refuse(loader, event, "a zero byte in a text");
	}
	struct cu_yaml *node = new_node(loader, event, CU_YAML_SCALAR);
	if (!node) {
		return false;
	}
	switch (event->data.scalar.style) {
	case YAML_SINGLE_QUOTED_SCALAR_STYLE:
		node->style = CU_YAML_SINGLE;
		break;
	case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
		node->style = CU_YAML_DOUBLE;
		break;
	case YAML_LITERAL_SCALAR_STYLE:
	case YAML_FOLDED_SCALAR_STYLE:
		node->style = CU_YAML_BLOCK;
		break;
	case YAML_ANY_SCALAR_STYLE:
	case YAML_PLAIN_SCALAR_STYLE:
	default:
		node->style = CU_YAML_PLAIN;
		break;
	}
	node->text = cu_heap_copy(loader->diag->heap, text, len);
	node->len = len;
	return node->text && place(loader, node, event);
}

static bool refuse_alias(struct loader *loader, const yaml_event_t *event)
{
	return refuse(
		loader, event,
		"anchors and aliases (& and *) are not taken; name the part as a macro or a list, or quote the text");
}

static bool refuse_tag(struct loader *loader, const yaml_event_t *event)
{
	return refuse(loader, event,
	              "tags (a value that begins with !) are not taken; in a condition write 'not', or quote the text");
}

static bool take(struct loader *loader, const yaml_event_t *event, bool *done)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (loader->root) {
			return refuse(loader, event, "a second document; a rules file is one");
		}
		return true;
	case YAML_ALIAS_EVENT:
		return refuse_alias(loader, event);
	case YAML_SCALAR_EVENT:
		if (event->data.scalar.anchor) {
			return refuse_alias(loader, event);
		}
		return event->data.scalar.tag ? refuse_tag(loader, event) : add_scalar(loader, event);
	case YAML_SEQUENCE_START_EVENT:
		if (event->data.sequence_start.anchor) {
			return refuse_alias(loader, event);
		}
		return event->data.sequence_start.tag ? refuse_tag(loader, event)
		                                      : push(loader, event, CU_YAML_SEQUENCE);
	case YAML_MAPPING_START_EVENT:
		if (event->data.mapping_start.anchor) {
			return refuse_alias(loader, event);
		}
		return event->data.mapping_start.tag ? refuse_tag(loader, event) : push(loader, event, CU_YAML_MAPPING);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		loader->depth--;
		loader->open[loader->depth]->end = mark_offset(loader, &event->end_mark);
		return true;
	case YAML_STREAM_END_EVENT:
		*done = true;
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	default:
		return true;
	}
}

struct cu_yaml *cu_yaml_parse(const struct cu_source *source, struct cu_diag *diag)
{
	struct loader loader = {.source = source, .diag = diag};
	size_t errors_before = diag->n_errors;
	yaml_parser_t parser;
	if (source->len > CU_RULES_FILE_CAP) {
		cu_diag_error(diag, source, 0, 1, "the file has %zu bytes; at most %d are taken", source->len,
		              CU_RULES_FILE_CAP);
		return NULL;
	}
	if (!yaml_parser_initialize(&parser)) {
		diag->heap->failed = true;
		return NULL;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)source->text, source->len);
	bool good = true, done = false;
	while (good && !done) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			syntax_error(&loader, &parser);
			good = false;
			break;
		}
		good = take(&loader, &event, &done);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (!good || diag->n_errors > errors_before || diag->heap->failed) {
		return NULL;
	}
	if (!loader.root) {
		loader.root = cu_heap_get(diag->heap, sizeof(*loader.root));
		if (loader.root) {
			loader.root->kind = CU_YAML_SEQUENCE;
			loader.root->source = source;
		}
	}
	return loader.root;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes that an escape at p of a double-quoted text takes (YAML 1.1 section 5.6). */
static size_t escape_len(const char *p, const char *end)
{
	size_t len = 2;
	if (end - p < 2) {
		return 1;
	}
	switch (p[1]) {
	case 'x':
		len = 4;
		break;
	case 'u':
		len = 6;
		break;
	case 'U':
		len = 10;
		break;
	default:
		break;
	}
	return len < (size_t)(end - p) ? len : (size_t)(end - p);
}

size_t cu_yaml_locate(const struct cu_yaml *scalar, size_t at)
{
	const char *text = scalar->source->text;
	const char *p = text + scalar->offset, *end = text + scalar->end;
	if (scalar->kind != CU_YAML_SCALAR) {
		return scalar->offset;
	}
	if (scalar->style == CU_YAML_BLOCK) { /* the content begins on the line after | or > */
		while (p < end && *p != '\n' && *p != '\r') {
			p++;
		}
	} else if (scalar->style != CU_YAML_PLAIN) {
		p++;
	}
	/*
	 * Walk text and source side by side. White space is all that YAML
	 * changes, so each visible byte of the text is the next visible byte
	 * of the source.
	 */
	size_t after = (size_t)(p - text);
	if (at > scalar->len) {
		at = scalar->len;
	}
	size_t i = 0;
	for (; i < at || (i < scalar->len && !is_space(scalar->text[i])); i++) {
		if (is_space(scalar->text[i])) {
			after += i > 0 && is_space(scalar->text[i - 1]) ? 0 : 1;
			continue;
		}
		bool escaped = false;
		while (p < end) {
			escaped = scalar->style == CU_YAML_DOUBLE && *p == '\\';
			if (escaped && end - p > 1 && memchr("nrt \n\r", p[1], 6)) {
				p += 2;
			} else if (is_space(*p)) {
				p++;
			} else {
				break;
			}
		}
		if (i >= at) {
			return (size_t)(p - text) < scalar->end ? (size_t)(p - text) : scalar->end;
		}
		if (p < end) {
			bool doubled = scalar->style == CU_YAML_SINGLE && *p == '\'';
			p += escaped ? escape_len(p, end) : doubled ? 2 : 1;
		}
		if (escaped) { /* the escape may stand for several bytes of UTF-8 */
			while (i + 1 < scalar->len && ((unsigned char)scalar->text[i + 1] & 0xc0) == 0x80) {
				i++;
			}
		}
		after = (size_t)(p - text);
	}
	return after < scalar->end ? after : scalar->end;
}

bool cu_yaml_is(const struct cu_yaml *scalar, const char *word)
{
	return scalar && scalar->kind == CU_YAML_SCALAR && scalar->len == strlen(word) &&
	       memcmp(scalar->text, word, scalar->len) == 0;
}

struct cu_yaml *cu_yaml_find(const struct cu_yaml *mapping, const char *key)
{
	if (!mapping || mapping->kind != CU_YAML_MAPPING) {
		return NULL;
	}
	for (struct cu_yaml *child = mapping->child; child; child = child->next) {
		if (cu_yaml_is(child->key, key)) {
			return child;
		}
	}
	return NULL;
}

void cu_yaml_error(struct cu_diag *diag, const struct cu_yaml *node, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	size_t len = node->kind == CU_YAML_SCALAR ? node->end - node->offset : 1;
	cu_diag_add(diag, CU_SEVERITY_ERROR, node->source, node->offset, len, format, args);
	va_end(args);
}

__attribute__((format(printf, 6, 0))) static void say_at(struct cu_diag *diag, enum cu_severity severity,
                                                         const struct cu_yaml *scalar, size_t at, size_t len,
                                                         const char *format, va_list args)
{
	size_t begin = cu_yaml_locate(scalar, at);
	size_t end = len > 0 ? cu_yaml_locate(scalar, at + len - 1) + 1 : begin + 1;
	cu_diag_add(diag, severity, scalar->source, begin, end > begin ? end - begin : 1, format, args);
}

void cu_yaml_error_at(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len, const char *format,
                      ...)
{
	va_list args;
	va_start(args, format);
	say_at(diag, CU_SEVERITY_ERROR, scalar, at, len, format, args);
	va_end(args);
}

void cu_yaml_warn_at(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say_at(diag, CU_SEVERITY_WARNING, scalar, at, len, format, args);
	va_end(args);
}
