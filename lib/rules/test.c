/*
 * The tests sections of rules files: given these facts, expect this verdict.
 */
#include "lib/rules/load.h"

#include "lib/base/nearest.h"

#include <math.h>
#include <string.h>

struct cu_scene {
	struct cu_transaction transaction;
	struct cu_connection connection;
	struct cu_analysis analysis;
	struct cu_usual usual;
	bool has_total, tls, has_usual;
	int blame, cause, confidence, slow; /* expected; -1 any */
	const char *rule;                   /* "" none; NULL any */
	const char *service, *why, *advice; /* NULL any; the last two are globs */
};

static bool refuse(struct cu_rules *rules, const struct cu_yaml *node, const struct cu_field *field)
{
	cu_yaml_error(&rules->diag, node, "'%s' is no value of %s, which is %s", node->text, field->name,
	              field->type == CU_TYPE_ENUM ? field->names->what : cu_type_name(field->type));
	return false;
}

/* What is beyond all that a field can hold. */
static double limit_of(const struct cu_field *field)
{
	switch ((enum cu_field_access)field->access) {
	case CU_ACCESS_I64:
		return 0x1p63;
	case CU_ACCESS_U64:
		return 0x1p64;
	case CU_ACCESS_U32:
		return 0x1p32;
	case CU_ACCESS_U16:
		return 0x1p16;
	case CU_ACCESS_U8:
		return 0x1p8;
	case CU_ACCESS_F64:
	case CU_ACCESS_BOOL:
	case CU_ACCESS_BIT:
	case CU_ACCESS_TEXT:
	case CU_ACCESS_ADDR:
	case CU_ACCESS_ENDPOINT:
	default:
		return (double)INFINITY;
	}
}

/* The number of a scalar, in the field's unit. */
static bool take_number(struct cu_rules *rules, const struct cu_field *field, const struct cu_yaml *node,
                        double *number)
{
	struct cu_lexer lexer = {.text = node->text, .len = node->len};
	struct cu_token token, end;
	if (field->type == CU_TYPE_BOOL) {
		*number = cu_yaml_is(node, "true");
		return cu_yaml_is(node, "true") || cu_yaml_is(node, "false") || refuse(rules, node, field);
	}
	if (field->type == CU_TYPE_ENUM) {
		int value = cu_names_find(field->names, node->text, node->len);
		*number = value;
		return value >= 0 || refuse(rules, node, field);
	}
	cu_lexer_next(&lexer, &token);
	cu_lexer_next(&lexer, &end);
	bool fits = token.type == field->type ||
	            (token.bare && (token.number == 0 || field->type == CU_TYPE_COUNT || field->type == CU_TYPE_PORT ||
	                            field->type == CU_TYPE_RATIO));
	*number = token.number;
	if (token.kind != CU_TOKEN_NUMBER || end.kind != CU_TOKEN_END || !fits) {
		return refuse(rules, node, field);
	}
	if (token.number >= limit_of(field) || (field->type == CU_TYPE_RATIO && token.number > 1)) {
		cu_yaml_error(&rules->diag, node, "%s is more than %s can be", node->text, field->name);
		return false;
	}
	return true;
}

/* Writes number to where the field is in one of the scene's records. */
static void put_number(const struct cu_field *field, void *base, double number)
{
	void *p = (char *)base + field->offset;
	switch ((enum cu_field_access)field->access) {
	case CU_ACCESS_I64:
		*(int64_t *)p = (int64_t)number;
		break;
	case CU_ACCESS_U64:
		*(uint64_t *)p = (uint64_t)number;
		break;
	case CU_ACCESS_U32:
		*(uint32_t *)p = (uint32_t)number;
		break;
	case CU_ACCESS_U16:
		*(uint16_t *)p = (uint16_t)number;
		break;
	case CU_ACCESS_U8:
		*(uint8_t *)p = (uint8_t)number;
		break;
	case CU_ACCESS_BOOL:
		*(bool *)p = number != 0;
		break;
	case CU_ACCESS_BIT:
		*(uint8_t *)p = (uint8_t)((*(uint8_t *)p & ~field->bit) | (number != 0 ? field->bit : 0));
		break;
	case CU_ACCESS_F64:
	case CU_ACCESS_TEXT:
	case CU_ACCESS_ADDR:
	case CU_ACCESS_ENDPOINT:
	default:
		break;
	}
}

static void put_event(struct cu_transaction *transaction, unsigned kind, unsigned dir, double count)
{
	if (transaction->n_kept < CU_EVENT_CAP && count >= 1) {
		transaction->events[transaction->n_kept++] =
			(struct cu_event){.kind = (uint8_t)kind,
		                          .dir = (uint8_t)dir,
		                          .count = (uint16_t)(count < UINT16_MAX ? count : UINT16_MAX)};
		transaction->n_events += (uint64_t)count;
	}
}

/* Sets what is worked out of the records by setting those; false when it cannot be set. */
static bool put_derived(struct cu_scene *scene, const struct cu_field *field, double number)
{
	struct cu_transaction *transaction = &scene->transaction;
	switch (field->offset) {
	case offsetof(struct cu_derived, acked):
		transaction->acked_frame = number != 0;
		return true;
	case offsetof(struct cu_derived, ack_delay_ns):
		transaction->acked_frame = 1;
		transaction->ack_delay_ns = (int64_t)number;
		return true;
	case offsetof(struct cu_derived, certainty):
		transaction->certainty = (uint8_t)(number * 100 + 0.5);
		return true;
	case offsetof(struct cu_derived, tls):
		scene->tls = number != 0;
		return true;
	case offsetof(struct cu_derived, prohibited):
		if (number != 0) {
			transaction->outcome = CU_OUTCOME_REFUSED;
			put_event(transaction, CU_EVENT_ICMP, CU_S2C, 1);
		}
		return true;
	case offsetof(struct cu_derived, server_keep_alive_acks):
		put_event(transaction, CU_EVENT_KEEP_ALIVE_ACK, CU_S2C, number);
		return true;
	case offsetof(struct cu_derived, party_of_reset):
		if (number == CU_PARTY_CLIENT || number == CU_PARTY_SERVER) {
			put_event(transaction, CU_EVENT_RESET, number == CU_PARTY_CLIENT ? CU_C2S : CU_S2C, 1);
		}
		return true;
	case offsetof(struct cu_derived, connection_ns):
		scene->connection.end_ns = scene->connection.start_ns + (int64_t)number;
		return true;
	case offsetof(struct cu_derived, connection_bytes):
		scene->connection.side[CU_C2S].n_bytes = (uint64_t)number;
		return true;
	case offsetof(struct cu_derived, connection_segments):
		scene->connection.side[CU_C2S].n_segments = (uint64_t)number;
		return true;
	case offsetof(struct cu_derived, retransmitted):
		scene->analysis.side[CU_C2S].n_retransmitted = (uint64_t)number;
		return true;
	case offsetof(struct cu_derived, gaps):
		scene->analysis.side[CU_C2S].n_gaps = (uint64_t)number;
		return true;
	case offsetof(struct cu_derived, gap_bytes):
		scene->analysis.side[CU_C2S].n_gap_bytes = (uint64_t)number;
		return true;
	default:
		break;
	}
	size_t first = offsetof(struct cu_derived, events), size = sizeof(uint64_t);
	if (field->offset >= first && field->offset < first + CU_N_EVENTS * size) {
		put_event(transaction, (unsigned)((field->offset - first) / size), CU_C2S, number);
		return true;
	}
	return false;
}

static void take_fact(struct cu_rules *rules, struct cu_scene *scene, const struct cu_yaml *node)
{
	const struct cu_yaml *key = node->key;
	const struct cu_field *field = cu_field_find(key->text, key->len);
	void *bases[CU_N_FIELD_BASES] = {&scene->transaction, &scene->connection, &scene->analysis, NULL, NULL,
	                                 &scene->usual};
	double number;
	if (!field) {
		struct cu_nearest nearest;
		cu_nearest_begin(&nearest, key->text, key->len);
		for (size_t i = 0; i < cu_field_count(); i++) {
			cu_nearest_try(&nearest, cu_field_at(i)->name);
		}
		cu_yaml_error(&rules->diag, key,
		              nearest.name ? "unknown field '%s'; did you mean '%s'?" : "unknown field '%s'%s",
		              key->text, nearest.name ? nearest.name : "");
		return;
	}
	if (node->kind != CU_YAML_SCALAR) {
		cu_yaml_error(&rules->diag, node, "expected a value of %s", field->name);
		return;
	}
	if (field->type == CU_TYPE_TEXT && field->base == CU_FIELD_TRANSACTION) {
		scene->transaction.name = (struct cu_text){node->text, (uint32_t)node->len};
		return;
	}
	if (field->type == CU_TYPE_ADDRESS) {
		struct cu_addr *addr = (struct cu_addr *)(void *)((char *)bases[field->base] + field->offset);
		if (!cu_parse_addr(node->text, addr)) {
			refuse(rules, node, field);
		}
		return;
	}
	bool settable = field->type != CU_TYPE_TEXT && field->type != CU_TYPE_ENDPOINT;
	if (settable && !take_number(rules, field, node, &number)) {
		return;
	}
	if (settable && bases[field->base]) {
		put_number(field, bases[field->base], number);
		scene->has_usual = scene->has_usual || field->base == CU_FIELD_BASELINE;
		scene->has_total = scene->has_total || (field->base == CU_FIELD_TRANSACTION &&
		                                        field->offset == offsetof(struct cu_transaction, total_ns));
	} else if (field->base == CU_FIELD_WINDOW) {
		cu_yaml_error(&rules->diag, key, "%s is of an endpoint; tests are about one transaction", field->name);
	} else if (!settable || !put_derived(scene, field, number)) {
		cu_yaml_error(&rules->diag, key, "%s follows from other fields and cannot be given%s", field->name,
		              field->type == CU_TYPE_ENDPOINT ? "; give its address and port" : "");
	}
}

static int take_expected(struct cu_rules *rules, const struct cu_yaml *node, const struct cu_names *names)
{
	int value = cu_names_find(names, node->text, node->len);
	if (value < 0) {
		cu_names_unknown(&rules->diag, node, names, 0);
	}
	return value;
}

static void take_expectation(struct cu_rules *rules, struct cu_scene *scene, const struct cu_yaml *node)
{
	const struct cu_yaml *key = node->key;
	if (node->kind != CU_YAML_SCALAR) {
		cu_yaml_error(&rules->diag, node, "expected one value");
	} else if (cu_yaml_is(key, "blame")) {
		scene->blame = take_expected(rules, node, &cu_party_names);
	} else if (cu_yaml_is(key, "cause")) {
		scene->cause = take_expected(rules, node, &cu_cause_names);
	} else if (cu_yaml_is(key, "confidence")) {
		scene->confidence = take_expected(rules, node, &cu_confidence_names);
	} else if (cu_yaml_is(key, "slow")) {
		scene->slow = cu_yaml_is(node, "true") ? 1 : cu_yaml_is(node, "false") ? 0 : -2;
		if (scene->slow == -2) {
			cu_yaml_error(&rules->diag, node, "'%s' is not true or false", node->text);
		}
	} else if (cu_yaml_is(key, "rule")) {
		scene->rule = node->text;
		if (!cu_yaml_is(node, "none") && !cu_name_table_get(&rules->rule_names, node->text, node->len)) {
			cu_yaml_warn_at(&rules->diag, node, 0, node->len, "there is no rule '%s'", node->text);
		}
	} else if (cu_yaml_is(key, "service")) {
		scene->service = node->text;
	} else if (cu_yaml_is(key, "why")) {
		scene->why = node->text;
	} else if (cu_yaml_is(key, "advice")) {
		scene->advice = node->text;
	} else {
		cu_yaml_error(&rules->diag, key,
		              "a test expects blame, cause, confidence, slow, rule, service, why or advice, not '%s'",
		              key->text);
	}
}

/* The three parts of a test; false when it is none. */
static bool take_parts(struct cu_load *load, struct cu_test *test)
{
	static const char *const keys[] = {"test", "given", "expect", NULL};
	struct cu_diag *diag = &load->rules->diag;
	const struct cu_yaml *name = NULL;
	if (test->node->kind != CU_YAML_MAPPING) {
		cu_yaml_error(diag, test->node, "a test has the keys test (its name), given and expect");
		return false;
	}
	bool good = true, misspelt = false;
	for (const struct cu_yaml *child = test->node->child; child; child = child->next) {
		bool is_facts = cu_yaml_is(child->key, "given") || cu_yaml_is(child->key, "expect");
		if (is_facts && child->kind != CU_YAML_MAPPING) {
			cu_yaml_error(diag, child, "'%s' is a mapping, such as %s", child->key->text,
			              cu_yaml_is(child->key, "given") ? "{server.think: 2s}" : "{blame: server}");
			good = false;
		} else if (is_facts) {
			*(cu_yaml_is(child->key, "given") ? &test->given : &test->expect) = child;
		} else if (cu_yaml_is(child->key, "test")) {
			good = cu_load_is_scalar(load, child, "a name") && good;
			name = child;
			test->name = child->text ? child->text : "";
		} else {
			cu_load_unknown_key(load, child->key, "a test has", keys);
			misspelt = true;
		}
	}
	bool whole = name && test->given && test->expect;
	if (good && !whole && !misspelt) {
		cu_yaml_error(diag, test->node, "the test lacks %s; it has test (its name), given and expect",
		              !name          ? "its name"
		              : !test->given ? "'given'"
		                             : "'expect'");
	}
	return good && whole;
}

void cu_load_tests(struct cu_load *load, const struct cu_yaml *item)
{
	struct cu_rules *rules = load->rules;
	const struct cu_yaml *tests = cu_yaml_find(item, "tests");
	if (tests->kind != CU_YAML_SEQUENCE) {
		cu_yaml_error(&rules->diag, tests, "tests are a list, each with given and expect");
		return;
	}
	for (const struct cu_yaml *node = tests->child; node; node = node->next) {
		struct cu_test *test = cu_heap_get(&rules->heap, sizeof(*test));
		if (!test) {
			return;
		}
		*test = (struct cu_test){.node = node, .name = ""};
		if (take_parts(load, test)) {
			*rules->tests_tail = test;
			rules->tests_tail = &test->next;
			rules->n_tests++;
		}
	}
}

void cu_test_compile(struct cu_rules *rules, struct cu_test *test)
{
	struct cu_scene *scene = cu_heap_get(&rules->heap, sizeof(*scene));
	if (!scene) {
		return;
	}
	scene->transaction.kind = CU_TXN_REQUEST;
	scene->transaction.outcome = CU_OUTCOME_ANSWERED;
	scene->transaction.certainty = 100;
	memset(scene->usual.ns, 0xff, sizeof(scene->usual.ns)); /* -1: what is not given was not learned */
	scene->blame = scene->cause = scene->confidence = scene->slow = -1;
	for (const struct cu_yaml *node = test->given->child; node; node = node->next) {
		take_fact(rules, scene, node);
	}
	for (const struct cu_yaml *node = test->expect->child; node; node = node->next) {
		take_expectation(rules, scene, node);
	}
	int64_t sum = 0;
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		sum = cu_add_ns(sum, scene->transaction.ledger[cause].ns);
	}
	if (!scene->has_total) {
		scene->transaction.total_ns = sum;
	} else if (sum > scene->transaction.total_ns) {
		cu_yaml_error(&rules->diag, cu_yaml_find(test->given, "total"),
		              "the causes given sum to more than this total");
	}
	test->scene = scene;
}

static void add_text(struct cu_buf *buf, const char *text)
{
	cu_diag_add_text(buf, text, strlen(text));
}

static void say(struct cu_buf *buf, const struct cu_test *test, const char *what, const char *expected,
                struct cu_text found)
{
	const struct cu_rules_source *source = test->node->source;
	add_text(buf, source->name);
	cu_buf_printf(buf, ":%zu: ", cu_rules_source_line(source, test->node->offset) + 1);
	add_text(buf, test->name);
	cu_buf_printf(buf, ": expected %s ", what);
	add_text(buf, expected);
	cu_buf_add_cstr(buf, ", found ");
	cu_diag_add_text(buf, found.len > 0 ? found.data : "none", found.len > 0 ? found.len : 4);
	cu_buf_add_u8(buf, '\n');
}

static struct cu_text text_of(const char *name)
{
	return (struct cu_text){name, (uint32_t)strlen(name)};
}

static bool is_text(const char *expected, struct cu_text found)
{
	return strlen(expected) == found.len && (found.len == 0 || memcmp(expected, found.data, found.len) == 0);
}

/* Whether the verdict is as expected; says where not. */
static bool compare(const struct cu_test *test, const struct cu_verdict *verdict, struct cu_buf *buf)
{
	const struct cu_scene *scene = test->scene;
	size_t begin = buf->len;
	if (scene->rule && !is_text(strcmp(scene->rule, "none") == 0 ? "" : scene->rule, verdict->rule)) {
		say(buf, test, "rule", scene->rule, verdict->rule);
	}
	if (scene->blame >= 0 && scene->blame != verdict->blame) {
		say(buf, test, "blame", cu_party_name((unsigned)scene->blame), text_of(cu_party_name(verdict->blame)));
	}
	if (scene->cause >= 0 && scene->cause != verdict->cause) {
		say(buf, test, "cause", cu_cause_name((unsigned)scene->cause), text_of(cu_cause_name(verdict->cause)));
	}
	if (scene->confidence >= 0 && scene->confidence != verdict->confidence) {
		say(buf, test, "confidence", cu_confidence_name((unsigned)scene->confidence),
		    text_of(cu_confidence_name(verdict->confidence)));
	}
	if (scene->slow >= 0 && (scene->slow != 0) != verdict->slow) {
		say(buf, test, "slow", scene->slow ? "true" : "false", text_of(verdict->slow ? "true" : "false"));
	}
	if (scene->service && !is_text(scene->service, verdict->service)) {
		say(buf, test, "service", scene->service, verdict->service);
	}
	if (scene->why && !cu_glob(scene->why, strlen(scene->why), verdict->why.data, verdict->why.len)) {
		say(buf, test, "why", scene->why, verdict->why);
	}
	if (scene->advice &&
	    !cu_glob(scene->advice, strlen(scene->advice), verdict->advice.data, verdict->advice.len)) {
		say(buf, test, "advice", scene->advice, verdict->advice);
	}
	return buf->len == begin;
}

int cu_rules_run_tests(struct cu_rules *rules, struct cu_buf *buf, size_t *n_failed)
{
	*n_failed = 0;
	for (const struct cu_test *test = rules->tests; test; test = test->next) {
		const struct cu_scene *scene = test->scene;
		struct cu_facts facts = {.transaction = &scene->transaction,
		                         .usual = scene->has_usual ? &scene->usual : NULL,
		                         .connection = &scene->connection,
		                         .analysis = &scene->analysis,
		                         .tls = scene->tls};
		struct cu_verdict verdict;
		cu_rules_judge(rules, &facts, &verdict);
		*n_failed += !compare(test, &verdict, buf);
	}
	return buf->failed ? CU_ERR_NOMEM : 0;
}
