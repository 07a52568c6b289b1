/*
 * What is wrong with a file's YAML. libyaml says what its grammar expected;
 * here that is made what a person did: forgot a quote, a space, a colon.
 */
#include "lib/rules/yaml.h"

#include <string.h>
#include <yaml.h>

/* What went wrong, and where. */
struct trouble {
	struct cu_diag *diag;
	const struct cu_rules_source *source;
	const char *problem, *context; /* libyaml's words; context may be NULL */
	size_t line, offset;
	size_t context_line, context_offset; /* where what was being read began */
};

struct line {
	const char *text;
	size_t len, offset;
	size_t indent; /* blanks at its beginning */
};

static struct line line_at(const struct cu_rules_source *source, size_t number)
{
	struct line line;
	line.text = cu_rules_source_line_text(source, number, &line.len);
	line.offset = (size_t)(line.text - source->text);
	line.indent = 0;
	while (line.indent < line.len && line.text[line.indent] == ' ') {
		line.indent++;
	}
	return line;
}

/* The last line before another that has anything on it. */
static struct line line_before(const struct cu_rules_source *source, size_t number)
{
	struct line line = line_at(source, number);
	while (number > 0) {
		line = line_at(source, --number);
		if (line.indent < line.len) {
			break;
		}
	}
	return line;
}

/* Says it of one character; true, as are all that say something. */
static bool say(const struct trouble *trouble, size_t offset, const char *text)
{
	cu_diag_error(trouble->diag, trouble->source, offset, 1, "%s", text);
	return true;
}

/* Where the first ': ' of a line is, or a ':' at its end; its length when there is none. */
static size_t find_colon(const struct line *line)
{
	for (size_t i = 0; i < line->len; i++) {
		if (line->text[i] == ':' && (i + 1 == line->len || line->text[i + 1] == ' ')) {
			return i;
		}
	}
	return line->len;
}

/* Whether the line is a key with a value that begins with the character. */
static bool starts_value(const struct line *line, const char *key, char first)
{
	size_t at = 0, key_len = strlen(key);
	while (at < line->len && (line->text[at] == ' ' || line->text[at] == '-')) {
		at++;
	}
	if (line->len - at <= key_len || memcmp(line->text + at, key, key_len) != 0 ||
	    line->text[at + key_len] != ':') {
		return false;
	}
	at += key_len + 1;
	while (at < line->len && line->text[at] == ' ') {
		at++;
	}
	return at < line->len && line->text[at] == first;
}

static bool is_tab(const struct trouble *trouble)
{
	struct line line = line_at(trouble->source, trouble->line);
	return line.indent < line.len && line.text[line.indent] == '\t' &&
	       say(trouble, line.offset + line.indent, "a tab indents this line; YAML is indented with spaces only");
}

static bool is_escape(const struct trouble *trouble)
{
	return strcmp(trouble->problem, "found unknown escape character") == 0 &&
	       say(trouble, trouble->offset,
	           "YAML has no such escape in a text in double quotes; put the text in single quotes, or write \\\\");
}

/* The trouble shows where the text is, or on the line after. */
static bool is_text(const struct trouble *trouble)
{
	static const char *const texts[] = {"output", "advice", "condition"};
	for (size_t back = 0; back < 2 && back <= trouble->line; back++) {
		struct line line = line_at(trouble->source, trouble->line - back);
		for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
			if (starts_value(&line, texts[i], '{')) {
				const char *brace = memchr(line.text, '{', line.len);
				return say(trouble, line.offset + (size_t)(brace - line.text),
				           "a text that begins with { is a mapping to YAML; put it in quotes");
			}
			if (starts_value(&line, texts[i], '"') || starts_value(&line, texts[i], '\'')) {
				return say(
					trouble, trouble->offset,
					"the text goes on after its closing quote; put all of it in quotes of the other kind");
			}
		}
	}
	return false;
}

static bool is_open_quote(const struct trouble *trouble)
{
	return trouble->context && strcmp(trouble->context, "while scanning a quoted scalar") == 0 &&
	       say(trouble, trouble->context_offset, "the text that begins here has no closing quote");
}

/* A ':' where no key can be. */
static bool is_colon(const struct trouble *trouble)
{
	if (strcmp(trouble->problem, "mapping values are not allowed in this context") != 0) {
		return false;
	}
	struct line line = line_at(trouble->source, trouble->line);
	if (line.offset + find_colon(&line) < trouble->offset || trouble->line == 0) {
		return say(trouble, trouble->offset, "a second ': ' on this line; put a text that has one in quotes");
	}
	struct line before = line_before(trouble->source, trouble->line);
	size_t key = before.indent;
	if (key + 1 < before.len && before.text[key] == '-' && before.text[key + 1] != ' ') {
		return say(trouble, before.offset + key, "the dash of an item needs a space behind it");
	}
	if (find_colon(&before) == before.len) {
		return say(trouble, before.offset + before.len, "a key needs a ':' and a space behind it");
	}
	while (key < before.len && (before.text[key] == '-' || before.text[key] == ' ')) {
		key++;
	}
	if (line.indent == key) {
		return say(trouble, trouble->offset, "a second ': ' in a text; put it in quotes");
	}
	return say(
		trouble, line.offset + line.indent,
		"this line is indented more than the key above it, and so goes on with its text; keys stand in one column");
}

/* A line that is no key. */
static bool is_no_key(const struct trouble *trouble)
{
	if (strcmp(trouble->problem, "could not find expected ':'") != 0) {
		return false;
	}
	size_t begin = trouble->context ? trouble->context_offset : trouble->offset;
	struct line line = line_at(trouble->source, cu_rules_source_line(trouble->source, begin));
	const char *colon = memchr(line.text, ':', line.len);
	return colon ? say(trouble, line.offset + (size_t)(colon - line.text),
	                   "the ':' behind a key needs a space behind it")
	             : say(trouble, begin, "a key needs a ':' and a space behind it");
}

static bool is_indentation(const struct trouble *trouble)
{
	if (strcmp(trouble->problem, "did not find expected '-' indicator") == 0) {
		return say(
			trouble, trouble->offset,
			"neither an item, which begins with a dash, nor a key, which stands in one column with the others");
	}
	return strcmp(trouble->problem, "did not find expected key") == 0 &&
	       say(trouble, trouble->offset,
	           "no key of the item: keys stand in one column, and have a ':' behind them");
}

static bool is_open_bracket(const struct trouble *trouble)
{
	bool sequence = strcmp(trouble->problem, "did not find expected ',' or ']'") == 0;
	bool mapping = strcmp(trouble->problem, "did not find expected ',' or '}'") == 0;
	if (!sequence && !mapping) {
		return false;
	}
	if (trouble->context_line != trouble->line) {
		return say(trouble, trouble->context_offset,
		           sequence ? "the [ that begins here has no ]" : "the { that begins here has no }");
	}
	return say(trouble, trouble->offset,
	           sequence ? "expected ',' or ']' here; put a text that has either in quotes"
	                    : "expected ',' or '}' here; put a text that has either in quotes");
}

static bool is_dash(const struct trouble *trouble)
{
	return strcmp(trouble->problem, "block sequence entries are not allowed in this context") == 0 &&
	       say(trouble, trouble->offset,
	           "to YAML a dash with a blank is an item of a list: put a text in quotes, an item on its own line");
}

static bool is_character(const struct trouble *trouble)
{
	return strcmp(trouble->problem, "found character that cannot start any token") == 0 &&
	       say(trouble, trouble->offset, "no YAML value begins with this character; put the text in quotes");
}

static void say_bytes(struct cu_diag *diag, const struct cu_rules_source *source, size_t offset)
{
	unsigned char byte = offset < source->len ? (unsigned char)source->text[offset] : 0;
	cu_diag_error(diag, source, offset, 1,
	              byte < 0x80 ? "a control byte 0x%02x; rules are text" : "byte 0x%02x is not UTF-8 text", byte);
}

static size_t offset_of(const struct cu_rules_source *source, size_t line, size_t column)
{
	return line < source->n_lines ? cu_rules_source_skip(source, source->lines[line], column) : source->len;
}

void cu_yaml_syntax_error(struct cu_diag *diag, const struct cu_rules_source *source, size_t first_line,
                          const struct yaml_parser_s *parser)
{
	static bool (*const kinds[])(const struct trouble *) = {is_tab,   is_escape,   is_text,        is_open_quote,
	                                                        is_colon, is_no_key,   is_indentation, is_open_bracket,
	                                                        is_dash,  is_character};
	if (parser->error == YAML_MEMORY_ERROR) {
		diag->heap->failed = true; /* no fault of the file's */
		return;
	}
	if (parser->error == YAML_READER_ERROR) {
		say_bytes(diag, source, source->lines[first_line] + parser->problem_offset);
		return;
	}
	const yaml_mark_t *at = &parser->problem_mark, *context_at = &parser->context_mark;
	const struct trouble trouble = {.diag = diag,
	                                .source = source,
	                                .problem = parser->problem ? parser->problem : "unreadable",
	                                .context = parser->context,
	                                .line = first_line + at->line,
	                                .offset = offset_of(source, first_line + at->line, at->column),
	                                .context_line = first_line + context_at->line,
	                                .context_offset =
	                                        offset_of(source, first_line + context_at->line, context_at->column)};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (kinds[i](&trouble)) {
			return;
		}
	}
	cu_diag_error(diag, source, trouble.offset, 1, "%s%s%s", trouble.problem, trouble.context ? ", " : "",
	              trouble.context ? trouble.context : "");
}
