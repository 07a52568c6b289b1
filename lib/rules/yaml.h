/*
 * A rules file as a tree of YAML nodes that know where they stand.
 *
 * Only what rules need of YAML 1.1 (yaml.org/spec/1.1) is taken: mappings,
 * sequences and scalars, and every scalar is text, so that `no` is a name and
 * not false. Anchors, aliases, tags and second documents are refused, and so
 * are duplicate keys.
 */
#ifndef CU_RULES_YAML_H
#define CU_RULES_YAML_H

#include "lib/rules/diag.h"

enum {
	CU_RULES_FILE_CAP = 16 << 20,  /* bytes of a rules file */
	CU_YAML_DEPTH_CAP = 16,        /* collections within collections */
	CU_YAML_NODE_CAP = 1 << 20,    /* nodes of a file */
	CU_YAML_KEY_CAP = 8192,        /* keys of a mapping */
	CU_YAML_SCALAR_CAP = 64 << 10, /* bytes of a scalar */
};

enum cu_yaml_kind { CU_YAML_SCALAR = 1, CU_YAML_SEQUENCE, CU_YAML_MAPPING };
enum cu_yaml_style { CU_YAML_PLAIN = 0, CU_YAML_SINGLE, CU_YAML_DOUBLE, CU_YAML_BLOCK };

struct cu_yaml {
	enum cu_yaml_kind kind;
	enum cu_yaml_style style; /* of a scalar */
	const struct cu_rules_source *source;
	size_t offset, end;           /* where it stands in the source: bytes */
	const char *text;             /* of a scalar; a zero behind it */
	size_t len;                   /* of a mapping: its keys */
	struct cu_yaml *child, *last; /* of a sequence or mapping */
	struct cu_yaml *next;
	struct cu_yaml *key; /* of a mapping's child */
};

/*
 * The tree of a source. What is wrong is in diag; then the tree is a sequence
 * of those items that could be read, or NULL. A tree of no content is a
 * sequence without children.
 */
struct cu_yaml *cu_yaml_parse(const struct cu_rules_source *source, struct cu_diag *diag);

/* Says in words that help what libyaml's parser, which began at a line of the source, found wrong. */
struct yaml_parser_s;
void cu_yaml_syntax_error(struct cu_diag *diag, const struct cu_rules_source *source, size_t first_line,
                          const struct yaml_parser_s *parser);

/*
 * Where in the source byte at of a scalar's text comes from: folding, escapes
 * and indentation are followed back.
 */
size_t cu_yaml_locate(const struct cu_yaml *scalar, size_t at);

/* Whether the scalar's text is word. */
bool cu_yaml_is(const struct cu_yaml *scalar, const char *word);

/* The value of a key of a mapping, or NULL. */
struct cu_yaml *cu_yaml_find(const struct cu_yaml *mapping, const char *key);

/* A message about a node; and about len bytes at byte at of a scalar's text. */
void cu_yaml_error(struct cu_diag *diag, const struct cu_yaml *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void cu_yaml_error_at(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len, const char *format,
                      ...) __attribute__((format(printf, 5, 6)));
void cu_yaml_warn_at(struct cu_diag *diag, const struct cu_yaml *scalar, size_t at, size_t len, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Either, with its arguments. */
void cu_yaml_say_at(struct cu_diag *diag, enum cu_severity severity, const struct cu_yaml *scalar, size_t at,
                    size_t len, const char *format, va_list args) __attribute__((format(printf, 6, 0)));

#endif
