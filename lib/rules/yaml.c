#include "lib/rules/yaml.h"

#include "lib/rules/names.h"

#include <string.h>
#include <yaml.h>

/*
 * A file is read in one go. After an error it is read on from the next item of
 * the list that it is, so that all errors are found: in stretches.
 */
struct loader {
	const struct cu_rules_source *source;
	struct cu_diag *diag;
	size_t first_line;            /* of the stretch: libyaml counts from there */
	size_t line, column, offset;  /* a place near the last one asked for, so that places need no search */
	size_t item_line, wrong_line; /* where the last item of the list begins; what is wrong */
	struct cu_yaml *open[CU_YAML_DEPTH_CAP]; /* collections being read, outermost first */
	struct cu_yaml *pending_key[CU_YAML_DEPTH_CAP];
	struct cu_name_table keys[CU_YAML_DEPTH_CAP]; /* of the mappings being read */
	size_t depth;
	size_t n_nodes;
	struct cu_yaml *root; /* of the stretch */
	bool stop;            /* there is no use in reading on */
};

static size_t mark_offset(struct loader *loader, const yaml_mark_t *mark)
{
	size_t line = loader->first_line + mark->line;
	if (line >= loader->source->n_lines) {
		return loader->source->len;
	}
	if (line != loader->line || mark->column < loader->column) {
		loader->line = line;
		loader->column = 0;
		loader->offset = loader->source->lines[line];
	}
	loader->offset = cu_rules_source_skip(loader->source, loader->offset, mark->column - loader->column);
	loader->column = mark->column;
	return loader->offset;
}

__attribute__((format(printf, 3, 4))) static bool refuse(struct loader *loader, const yaml_event_t *event,
                                                         const char *format, ...)
{
	size_t offset = mark_offset(loader, &event->start_mark);
	size_t end = mark_offset(loader, &event->end_mark);
	va_list args;
	loader->wrong_line = loader->first_line + event->start_mark.line;
	va_start(args, format);
	cu_diag_add(loader->diag, CU_SEVERITY_ERROR, loader->source, offset, end > offset ? end - offset : 1, format,
	            args);
	va_end(args);
	return false;
}

static struct cu_yaml *new_node(struct loader *loader, const yaml_event_t *event, enum cu_yaml_kind kind)
{
	if (++loader->n_nodes > CU_YAML_NODE_CAP) {
		refuse(loader, event, "the file has more than %d values", CU_YAML_NODE_CAP);
		loader->stop = true;
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
		struct cu_name_table *keys = &loader->keys[loader->depth - 1];
		const struct cu_yaml *first = cu_name_table_get(keys, node->text, node->len);
		if (first) {
			cu_yaml_error(loader->diag, node, "'%s' is given twice; the first is on line %zu", node->text,
			              cu_rules_source_line(loader->source, first->offset) + 1);
		} else if (!cu_name_table_put(keys, node->text, node)) {
			loader->diag->heap->failed = true;
			return false;
		}
		*key = node;
		return true;
	}
	if (loader->depth == 1) {
		loader->item_line = cu_rules_source_line(loader->source, node->offset);
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
	cu_name_table_clear(&loader->keys[loader->depth]);
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
			loader->stop = true;
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
		if (loader->depth > 0) { /* libyaml sees to it that it is */
			loader->depth--;
			loader->open[loader->depth]->end = mark_offset(loader, &event->end_mark);
		}
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

/* Reads a stretch: from line first_line on to the end, or to the first thing that is wrong. */
static bool read_stretch(struct loader *loader)
{
	yaml_parser_t parser;
	const struct cu_rules_source *source = loader->source;
	size_t begin = source->lines[loader->first_line];
	if (!yaml_parser_initialize(&parser)) {
		loader->diag->heap->failed = true;
		return false;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)source->text + begin, source->len - begin);
	bool good = true, done = false;
	while (good && !done) {
		yaml_event_t event;
		good = yaml_parser_parse(&parser, &event);
		if (!good) {
			cu_yaml_syntax_error(loader->diag, source, loader->first_line, &parser);
			loader->wrong_line = loader->first_line + parser.problem_mark.line;
			loader->stop = loader->stop || parser.error == YAML_READER_ERROR;
			break;
		}
		good = take(loader, &event, &done);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return good;
}

/* The first line behind another that begins an item of the list, whose dashes stand in column; 0: none. */
static size_t next_item(const struct cu_rules_source *source, size_t line, size_t column)
{
	while (++line < source->n_lines) {
		size_t len;
		const char *text = cu_rules_source_line_text(source, line, &len);
		size_t blanks = 0;
		while (blanks < len && text[blanks] == ' ') {
			blanks++;
		}
		if (blanks == column && len > column && text[column] == '-' &&
		    (len == column + 1 || text[column + 1] == ' ')) {
			return line;
		}
	}
	return 0;
}

/* Moves the items of the stretch from first on, but for the one left out, to the list of them all. */
static void keep_items(struct cu_yaml *all, struct cu_yaml *first, const struct cu_yaml *left_out)
{
	for (struct cu_yaml *item = first; item && item != left_out; item = item->next) {
		*(all->last ? &all->last->next : &all->child) = item;
		all->last = item;
	}
	if (all->last) {
		all->last->next = NULL;
	}
}

/*
 * Reads on behind what was wrong, from item to item of the list that root is.
 * Returns the list of what could be read.
 */
static struct cu_yaml *recover(struct loader *loader)
{
	const struct cu_rules_source *source = loader->source;
	const struct cu_yaml *root = loader->root;
	struct cu_yaml *all = cu_heap_get(loader->diag->heap, sizeof(*all));
	if (!all || !root || root->kind != CU_YAML_SEQUENCE) {
		return NULL;
	}
	*all = (struct cu_yaml){
		.kind = CU_YAML_SEQUENCE, .source = source, .offset = root->offset, .end = root->offset};
	size_t column = root->offset - source->lines[cu_rules_source_line(source, root->offset)];
	bool good = false;
	while (loader->root && loader->root->kind == CU_YAML_SEQUENCE) {
		size_t line = good ? 0 : next_item(source, loader->item_line, column);
		/* The item in which something is wrong may look whole to YAML. */
		bool in_item = !good && (loader->depth > 1 || line == 0 || loader->wrong_line < line);
		keep_items(all, loader->root->child, in_item ? loader->root->last : NULL);
		if (line == 0 || loader->stop || loader->diag->heap->failed || cu_diag_is_full(loader->diag)) {
			break;
		}
		loader->first_line = loader->item_line = line;
		loader->depth = 0;
		loader->root = NULL;
		good = read_stretch(loader);
	}
	return all;
}

struct cu_yaml *cu_yaml_parse(const struct cu_rules_source *source, struct cu_diag *diag)
{
	struct loader loader = {.source = source, .diag = diag};
	struct cu_yaml *root;
	if (read_stretch(&loader)) {
		root = loader.root ? loader.root : cu_heap_get(diag->heap, sizeof(*root));
		if (root && !loader.root) {
			root->kind = CU_YAML_SEQUENCE;
			root->source = source;
		}
	} else {
		root = recover(&loader);
	}
	for (size_t i = 0; i < CU_YAML_DEPTH_CAP; i++) {
		cu_name_table_release(&loader.keys[i]);
	}
	return diag->heap->failed ? NULL : root;
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

void cu_yaml_say_at(struct cu_diag *diag, enum cu_severity severity, const struct cu_yaml *scalar, size_t at,
                    size_t len, const char *format, va_list args)
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
	cu_yaml_say_at(diag, CU_SEVERITY_ERROR, scalar, at, len, format, args);
	va_end(args);
}

void cu_yaml_warn_at(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	cu_yaml_say_at(diag, CU_SEVERITY_WARNING, scalar, at, len, format, args);
	va_end(args);
}
