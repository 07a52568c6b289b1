/*
 * What the parts of lib/rules know of a set of rules. The way of a file:
 *
 *	diag, yaml, yaml_syntax         a tree of YAML, and messages about it
 *	load, define, settings, test    its items: rules, macros, lists; thresholds and services; tests
 *	lexer, parse, checker*, about   conditions as trees, of the right types
 *	template, wording               texts with values
 *	rules, compile, program, reach  all of them compiled; what cannot be reached
 *	judge, index, service, baseline a verdict for a transaction
 *	window, finding                 findings for endpoints
 *	classify, explain               records in and out; why it came out so
 */
#ifndef CU_RULES_INTERNAL_H
#define CU_RULES_INTERNAL_H

#include "lib/base/hash.h"
#include "lib/rules/expr.h"
#include "lib/rules/names.h"
#include "lib/rules/program.h"
#include "lib/rules/rules.h"
#include "lib/rules/service.h"
#include "lib/rules/sieve.h"
#include "lib/rules/template.h"

enum { CU_SERVICE_CACHE = 256 }; /* endpoints whose service is remembered: a power of two */

/* A text of a condition or list, and what was appended to it later. */
struct cu_fragment {
	const struct cu_yaml *node; /* a scalar; a list's items: a sequence */
	enum cu_token_kind join;    /* CU_TOKEN_AND or OR with what is before; END for the first */
	size_t skip;                /* bytes of that word */
	struct cu_fragment *next;
};

/* Of one condition or list, in order; {0} is none. */
struct cu_fragments {
	struct cu_fragment *first, *last;
};

enum cu_rule_kind { CU_RULE_BLAMES, CU_RULE_IGNORES };

struct cu_rule {
	const char *name;
	const struct cu_yaml *where; /* its name in the file */
	enum cu_rule_kind kind;
	enum cu_about about;
	int64_t over_ns; /* of a rule about endpoints: its window; 0 all */
	unsigned layer;  /* higher ones are tried first */
	size_t order;    /* within the layer */
	struct cu_fragments condition;
	const struct cu_yaml *output, *advice, *blame, *cause, *confidence;
	bool enabled;
	bool about_wrong; /* what it is about was said, but not understood */

	/* compiled */
	bool warned; /* of its condition: that it can never match may follow from that */
	struct cu_expr *expr;
	int32_t step;
	uint64_t counters;     /* bits of the program's that its condition reads */
	uint32_t counts;       /* of a window's counts likewise */
	uint64_t all_counters; /* and its texts */
	struct cu_template_part *why, *advice_parts;
	int blame_value, cause_value, confidence_value; /* -1: the ledger's */
};

/* A test of rules: facts, and what the verdict on them has to be. */
struct cu_test {
	const char *name;
	const struct cu_yaml *node; /* the mapping */
	const struct cu_yaml *given, *expect;
	struct cu_scene *scene; /* made by cu_test_compile */
	struct cu_test *next;
};

/* Turns a test's given and expect into facts; says what is wrong with them. */
void cu_test_compile(struct cu_rules *rules, struct cu_test *test);

/* Says that a scalar is none of the names, of those from first on, and which is meant. */
void cu_names_unknown(struct cu_diag *diag, const struct cu_yaml *node, const struct cu_names *names, unsigned first);

/* Words for a verdict that the ledger gave. */
struct cu_wording {
	int32_t step;
	struct cu_template_part *why, *advice;
};

struct cu_rules {
	struct cu_heap heap;
	struct cu_diag diag;
	struct cu_program program;
	struct cu_services services;

	struct cu_rule **rules; /* in order of definition; after finish, as they are tried */
	size_t n_rules, cap_rules;
	size_t n_active;    /* of rules: those about transactions that are compiled, which come first */
	size_t n_endpoints; /* behind them: those about endpoints that are compiled */
	struct cu_macro_def {
		struct cu_macro macro;
		struct cu_fragments condition;
	} * *macros;
	size_t n_macros, cap_macros;
	struct cu_list_def {
		struct cu_list list;
		struct cu_fragments items;
	} * *lists;
	size_t n_lists, cap_lists;
	struct cu_name_table rule_names, macro_names, list_names, service_names;
	struct cu_test *tests, **tests_tail;
	size_t n_tests;

	const struct cu_rules_source *shipped; /* the rules that come along; NULL without them */
	unsigned n_sources, n_layers, include_depth;
	struct cu_opened { /* files being read, to find those that include themselves */
		unsigned long device, inode;
		const char *path;
	} opened[CU_INCLUDE_DEPTH_CAP];

	struct cu_sieve *sieve;      /* of the active rules; NULL when they are few */
	struct cu_wording *wordings; /* of the ledger's own verdicts, by number in ledger.c */
	bool finished;
	bool incomplete; /* not all of the files could be read */

	struct cu_baseline *baseline; /* NULL: none */

	/* for judging */
	struct cu_service_at cache[CU_SERVICE_CACHE];
	struct cu_derived derived;
	struct cu_view view;
	struct cu_buf text;
};

/* How the checker finds the names of rules. */
struct cu_scope cu_rules_scope(struct cu_rules *rules);

/* Works out the rest of the view of a transaction. Returns its thresholds. */
void cu_derive(struct cu_rules *rules, const struct cu_facts *facts);

/* The ledger's own blame, cause and confidence, into derived. */
void cu_ledger_judge(const struct cu_transaction *transaction, struct cu_derived *derived);

/* Compiles the wordings. False when memory ran out. */
bool cu_wordings_compile(struct cu_rules *rules);
/* The first that fits the transaction in view; never NULL. */
const struct cu_wording *cu_wording_find(struct cu_rules *rules);

/* Whether a transaction is one to judge: slow, or without an answer. */
bool cu_is_judged(const struct cu_transaction *transaction, int64_t slow_over_ns);

/*
 * Which of the program's counters count the transaction that was judged last:
 * a bit for each. blame and cause are the verdict's then, not the ledger's.
 */
uint64_t cu_rules_count(struct cu_rules *rules, const struct cu_verdict *verdict);

/* The first rule that matches the transaction in view, or NULL. */
const struct cu_rule *cu_match(struct cu_rules *rules);

#endif
