/*
 * Rules: conditions and their values, layers, verdicts, services, texts, what
 * ships, and that judging allocates nothing.
 */
#include "lib/base/nearest.h"
#include "lib/rules/classify.h"
#include "lib/rules/finding.h"
#include "lib/rules/program.h"
#include "lib/rules/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS CU_NS_PER_MS
#define S CU_NS_PER_S

/* A transaction of a database, whose server thought for two seconds. */
struct world {
	struct cu_transaction transaction;
	struct cu_connection connection;
	struct cu_analysis analysis;
	struct cu_facts facts;
};

static struct cu_addr addr(const char *text)
{
	struct cu_addr a;
	assert_true(cu_parse_addr(text, &a));
	return a;
}

static struct cu_text text(const char *data)
{
	return (struct cu_text){data, (uint32_t)strlen(data)};
}

static void world_init(struct world *w)
{
	*w = (struct world){
		.transaction =
			{.stream = 7,
	                 .number = 3,
	                 .kind = CU_TXN_REQUEST,
	                 .outcome = CU_OUTCOME_ANSWERED,
	                 .certainty = 90,
	                 .start_ns = INT64_C(1708090323123456789),
	                 .total_ns = 2100 * MS,
	                 .acked_frame = 6,
	                 .ack_delay_ns = 20 * MS,
	                 .first_byte_ns = 2050 * MS,
	                 .name = text("GET /reports/daily?x=1"),
	                 .request = {.n_bytes = 1495, .first_frame = 4, .last_frame = 5},
	                 .response = {.n_bytes = 50000, .first_frame = 11, .last_frame = 40, .n_retransmitted = 2}},
		.connection = {.stream = 7,
	                       .client = addr("10.0.0.42"),
	                       .client_port = 51006,
	                       .server = addr("10.0.0.5"),
	                       .server_port = 5432,
	                       .start_ns = INT64_C(1708090320123456789),
	                       .end_ns = INT64_C(1708090330123456789),
	                       .side = {{.n_bytes = 3000, .n_segments = 10}, {.n_bytes = 60000, .n_segments = 45}}},
		.analysis = {.stream = 7,
	                     .rtt_ns = 20 * MS,
	                     .client_rtt_ns = 5 * MS,
	                     .server_rtt_ns = 15 * MS,
	                     .mss = 1460,
	                     .window_scaled = true,
	                     .vantage = CU_VANTAGE_MIDDLE,
	                     .completeness = CU_SEEN_SYN | CU_SEEN_SYN_ACK | CU_SEEN_ACK | CU_SEEN_DATA},
	};
	w->transaction.ledger[CU_NETWORK_RTT].ns = 20 * MS;
	w->transaction.ledger[CU_SERVER_THINK].ns = 2000 * MS;
	w->transaction.ledger[CU_NETWORK_TRANSFER].ns = 80 * MS;
	w->transaction.events[0] =
		(struct cu_event){.kind = CU_EVENT_KEEP_ALIVE, .dir = CU_C2S, .count = 2, .frame = 7};
	w->transaction.events[1] =
		(struct cu_event){.kind = CU_EVENT_KEEP_ALIVE_ACK, .dir = CU_S2C, .count = 2, .frame = 8};
	w->transaction.n_events = 4;
	w->transaction.n_kept = 2;
	w->facts = (struct cu_facts){
		.transaction = &w->transaction, .connection = &w->connection, .analysis = &w->analysis};
}

static void print_messages(const struct cu_rules *rules)
{
	struct cu_buf buf = {0};
	for (size_t i = 0; i < cu_rules_n_messages(rules); i++) {
		cu_rules_message_format(cu_rules_message(rules, i), &buf);
	}
	print_error("%s", cu_buf_cstr(&buf));
	cu_buf_release(&buf);
}

/* Rules of up to three layers, without those that ship; they have to be right. */
static struct cu_rules *load(const char *bottom, const char *middle, const char *top)
{
	const char *const layers[] = {bottom, middle, top};
	struct cu_rules *rules = cu_rules_new();
	assert_non_null(rules);
	for (size_t i = 0; i < COUNT(layers); i++) {
		if (layers[i]) {
			cu_rules_add_text(rules, "test.yaml", layers[i], strlen(layers[i]));
		}
	}
	if (cu_rules_finish(rules) != 0) {
		print_messages(rules);
		fail();
	}
	return rules;
}

static void assert_text(struct cu_text found, const char *expected)
{
	if (found.len != strlen(expected) || (found.len > 0 && memcmp(found.data, expected, found.len) != 0)) {
		print_error("found '%.*s'\nexpected '%s'\n", (int)found.len, found.data ? found.data : "", expected);
		fail();
	}
}

/* Whether a rule of the condition matches. */
static bool matches(const struct cu_facts *facts, const char *condition)
{
	char yaml[1024];
	snprintf(yaml, sizeof(yaml), "- rule: r\n  condition: |\n    %s\n", condition);
	struct cu_rules *rules = load(yaml, NULL, NULL);
	struct cu_verdict verdict;
	cu_rules_judge(rules, facts, &verdict);
	bool matched = verdict.rule.len > 0;
	cu_rules_free(rules);
	return matched;
}

static void check_conditions(const struct cu_facts *facts, const char *const *conditions, size_t n, bool expected)
{
	for (size_t i = 0; i < n; i++) {
		if (matches(facts, conditions[i]) != expected) {
			print_error("%s: expected %s\n", conditions[i], expected ? "true" : "false");
			fail();
		}
	}
}

static void test_condition_true(void **state)
{
	(void)state;
	/* clang-format off */
	static const char *const conditions[] = {
		"true",
		"server.think > 50% of total",
		"server.think > 0.5 * total",
		"server.think / total > 95%",
		"total - server.think == 100ms",
		"total >= 2100ms and total <= 2.1s",
		"total = 2100ms",
		"total != 2s",
		"2 * rtt + 50ms > request.ack_delay",
		"not total < 2s",
		"not not total > 2s",
		"not (total < 2s or rtt > 1s)",
		"rtt > 1s or total > 1s and kind == request",
		"request.acked",
		"request.acked == true",
		"request.acked != false",
		"not request.acked == false",
		"kind == request and outcome == answered",
		"kind in (connect, request)",
		"kind not in (connect, tls-handshake, tls_handshake)",
		"kind == \"request\"",
		"blame == server and cause == server.think and confidence == high",
		"confidence >= medium",
		"cause in (server.think, server.pause)",
		"server.port == 5432",
		"server.port in (80, 5000-5999)",
		"server.port in 5432",
		"server.ip == 10.0.0.5",
		"server.ip != 10.0.0.6",
		"server.ip in (10.0.0.0/8)",
		"server.ip in (2001:db8::/32, 10.0.0.4/31)",
		"server.ip in (0.0.0.0/0)",
		"server.ip not in (10.0.1.0/24, 192.168.0.0/16, ::/0)",
		"client.ip != server.ip",
		"service == postgresql",
		"service == 'postgresql'",
		"not (service == http or service in (http, tls) or service == total)",
		"service in (mysql, postgresql)",
		"service != http",
		"name glob \"GET /reports/*\"",
		"name ~ \"GET /*x=[0-9]\"",
		"name not glob \"POST *\" and name not ~ (\"PUT *\", x)",
		"name not contains \"weekly\" and name not startswith \"POST\" and name not endswith \"x=2\"",
		"name ~ (\"POST *\", \"GET ?reports*\")",
		"name contains daily",
		"name startswith \"GET \" and name endswith \"x=1\"",
		"name == \"GET /reports/daily?x=1\"",
		"http and not tls",
		"request.bytes > 1K and request.bytes < 1.5K",
		"request.bytes < 1.5kB",
		"response.bytes / 50ms in (999kB/s-1001kB/s)",
		"response.rate > 7.99Mbit/s and response.rate < 8.01Mbit/s",
		"response.rate * 1s in (999kB-1001kB)",
		"1MB / response.rate in (999ms-1001ms)",
		"response.retransmitted + request.retransmitted == 2",
		"response.retransmitted * 2 == 4",
		"certainty >= 80%",
		"certainty > 0.85",
		"min(rtt, server.rtt, client.rtt) == 5ms",
		"max(rtt, server.rtt) == 20ms",
		"abs(rtt - total) > 2s",
		"abs(-5ms) == 5ms",
		"-rtt < 0",
		"count(total > 1s, rtt > 1s, request.acked) == 2",
		"count(total > 1s, count(rtt > 0, kind == close) > 0) + 1 == 3",
		"has(rtt) and has(name) and has(server.ip) and has(server)",
		"request.time - connection.start == 3s",
		"request.time - 1s > connection.start",
		"events.keep_alive == 2 and events.keep_alive_ack >= 2 and events == 4",
		"events.server.keep_alive_ack == 2",
		"connection.syn and connection.window_scaled and connection.mss == 1460B",
		"not connection.fin and connection.close == none",
		"connection.bytes == 63000B and connection.segments == 55",
		"connection.duration == 10s",
		"vantage == middle and connection.role == guessed",
		"party.server == server.think and party.network == 80ms and excess > 2s",
		"total > 1s and\n      total < 3s",
		"slow_over == 1s",
		"stream == 7 and transaction == 3",
		"1s < total",
		"total in (1s-3s)",
	};
	/* clang-format on */
	struct world w;
	world_init(&w);
	check_conditions(&w.facts, conditions, COUNT(conditions), true);
}

static void test_condition_false(void **state)
{
	(void)state;
	/* clang-format off */
	static const char *const conditions[] = {
		"server.think < 50% of total",
		"total > 1s and rtt > 1s",
		"total in (3s-4s, 0-1s)",
		"server.ip in (10.0.0.6, 10.1.0.0/16)",
		"server.ip in (::/0)",
		"name ~ \"*POST*\"",
		"name not glob \"GET *\"",
		"name not contains \"daily\"",
		"name ~ \"GET\"",
		"name contains Daily",
		"kind == tls-handshake",
		"service in (http, https)",
		"not total > 1s",
		"tls",
		"connection.rst or connection.fin",
		"count(rtt > 1s, kind == close) > 0",
	};
	/* clang-format on */
	struct world w;
	world_init(&w);
	check_conditions(&w.facts, conditions, COUNT(conditions), false);
}

static void test_condition_of_missing_value(void **state)
{
	(void)state;
	/* clang-format off */
	static const char *const not_true[] = {
		"rtt > 0", "rtt <= 1s", "rtt == 5ms", "rtt != 5ms", "rtt in (0-1000s)", "2 * rtt + 5ms > 1ms", "min(rtt, total) < 9s",
		"max(total, rtt) > 1s", "total / response.first_byte > 0", "abs(rtt) >= 0", "has(rtt)", "has(name)", "name == x",
		"name != x", "name ~ \"*\"", "client.ip == 10.0.0.1", "client.ip != 10.0.0.1", "client.ip in (0.0.0.0/0)",
		"client.ip not in (10.0.0.0/8) and has(client.ip)", "has(server)", "connection.syn", "response.rate > 0",
		"response.bytes / request.bytes > 0", "connection.bytes >= 0", "server.port in (0-65535)", "service != x",
		"client.ip == server.ip", "client.ip != server.ip", "name != service",
	};
	/* clang-format on */
	static const char *const true_all_the_same[] = {
		"not (rtt > 1s)",
		"not has(rtt)",
		"not name == x",
		"client.ip not in (10.0.0.0/8)",
		"name not glob \"*\"",
		"not connection.syn",
		"count(rtt > 0, total > 0) == 1",
		"server.think >= 0",
		"vantage == unknown",
	};
	struct world w;
	world_init(&w);
	w.facts.analysis = NULL;
	w.facts.connection = NULL;
	w.transaction.name = (struct cu_text){NULL, 0};
	w.transaction.first_byte_ns = 0;
	w.transaction.request.n_bytes = 0;
	check_conditions(&w.facts, not_true, COUNT(not_true), false);
	check_conditions(&w.facts, true_all_the_same, COUNT(true_all_the_same) - 1, true);
}

static void test_glob_patterns(void **state)
{
	(void)state;
	/* clang-format off */
	static const struct {
		const char *pattern, *text;
		bool match;
	} cases[] = {
		{"", "", true},           {"", "a", false},         {"*", "", true},          {"*", "abc", true},
		{"a*", "abc", true},      {"*c", "abc", true},      {"*b*", "abc", true},     {"a*d", "abc", false},
		{"?", "a", true},         {"?", "", false},         {"a?c", "abc", true},     {"[a-c]x", "bx", true},
		{"[!a-c]x", "bx", false}, {"[!a-c]x", "zx", true},  {"[]]", "]", true},       {"[a", "[a", true},
		{"\\*", "*", true},       {"\\*", "a", false},      {"a\\", "a\\", true},     {"**a**", "bab", true},
		{"*a*b*c*", "xxaxxbxxc", true}, {"*a*b*c*", "xxcxxbxxa", false}, {"a*b", "aXb", true}, {"a*b", "aXbY", false},
		{"*aab", "aaaaaab", true}, {"[a-]x", "-x", true},
	};
	/* clang-format on */
	for (size_t i = 0; i < COUNT(cases); i++) {
		bool match = cu_glob(cases[i].pattern, strlen(cases[i].pattern), cases[i].text, strlen(cases[i].text));
		if (match != cases[i].match) {
			print_error("'%s' on '%s'\n", cases[i].pattern, cases[i].text);
			fail();
		}
	}
}

static void test_glob_is_not_exponential(void **state)
{
	(void)state;
	char pattern[128], subject[4096];
	memset(subject, 'a', sizeof(subject));
	for (size_t i = 0; i < sizeof(pattern); i += 2) {
		memcpy(pattern + i, "*a", 2);
	}
	pattern[sizeof(pattern) - 1] = 'b';
	assert_false(cu_glob(pattern, sizeof(pattern), subject, sizeof(subject)));
}

static void test_network_has_of_each_prefix(void **state)
{
	(void)state;
	struct cu_addr a = addr("2001:db8:ffff::1"), b = a;
	for (unsigned prefix = 0; prefix <= 128; prefix++) {
		assert_true(cu_network_has(&a, prefix, &b));
		if (prefix > 0) {
			struct cu_addr other = a;
			other.bytes[(prefix - 1) / 8] ^= (uint8_t)(0x80 >> (prefix - 1) % 8);
			assert_false(cu_network_has(&a, prefix, &other));
		}
	}
	struct cu_addr v4 = addr("10.0.0.1");
	assert_false(cu_network_has(&a, 0, &v4));
}

static void judge(struct cu_rules *rules, const struct world *w, struct cu_verdict *verdict)
{
	cu_rules_judge(rules, &w->facts, verdict);
}

static const char *rule_for(const char *bottom, const char *middle, const char *top)
{
	static char name[64];
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	struct cu_rules *rules = load(bottom, middle, top);
	judge(rules, &w, &verdict);
	snprintf(name, sizeof(name), "%.*s", (int)verdict.rule.len, verdict.rule.data ? verdict.rule.data : "");
	cu_rules_free(rules);
	return name;
}

#define RULE(name, condition) "- {rule: " name ", condition: \"" condition "\"}\n"

static void test_layers_first_match_wins(void **state)
{
	(void)state;
	assert_string_equal(
		rule_for(RULE("a", "false") RULE("b", "total > 1s") RULE("c", "total > 1s or tls"), NULL, NULL), "b");
	assert_string_equal(rule_for(RULE("a", "true"), NULL, NULL), "a");
	assert_string_equal(rule_for("", NULL, NULL), "");
	assert_string_equal(rule_for("# nothing but a comment\n", NULL, NULL), "");
}

static void test_layers_later_file_is_asked_first(void **state)
{
	(void)state;
	assert_string_equal(rule_for(RULE("a", "true"), RULE("b", "total > 1s"), NULL), "b");
	assert_string_equal(rule_for(RULE("a", "true"), RULE("b", "total > 1s"), RULE("c", "total > 9s")), "b");
}

static void test_layers_same_name_takes_the_place(void **state)
{
	(void)state;
	/* b becomes true, but stays behind a. */
	assert_string_equal(rule_for(RULE("a", "total > 1s") RULE("b", "false"), RULE("b", "true"), NULL), "a");
	assert_string_equal(rule_for(RULE("a", "total > 1s") RULE("b", "true"), RULE("a", "false"), NULL), "b");
	assert_string_equal(rule_for(RULE("a", "total > 1s") RULE("b", "true"), "- {rule: a, enabled: false}\n", NULL),
	                    "b");
	assert_string_equal(rule_for(RULE("a", "total > 1s") RULE("b", "true"), "- {rule: a, enabled: false}\n",
	                             "- {rule: a, enabled: true}\n"),
	                    "a");
}

/* What is added to a rule that was taken out does not bring it back; a whole one in its place does. */
static void test_layers_what_is_taken_out_stays_out(void **state)
{
	(void)state;
	static const char out[] = "- {rule: a, enabled: false}\n";
	assert_string_equal(rule_for(RULE("a", "total > 1s"), out, "- {rule: a, condition: or tls, append: true}\n"),
	                    "");
	assert_string_equal(rule_for(RULE("a", "total > 1s"), out,
	                             "- {rule: a, condition: total > 0s, override: {condition: replace}}\n"),
	                    "");
	assert_string_equal(
		rule_for(RULE("a", "total > 1s"), out, "- {rule: a, condition: or tls, append: true, enabled: true}\n"),
		"a");
	assert_string_equal(rule_for(RULE("a", "total > 1s"), out, RULE("a", "total > 2s")), "a");
}

static void test_layers_append_and_override(void **state)
{
	(void)state;
	assert_string_equal(
		rule_for(RULE("a", "total > 1s or tls"), "- {rule: a, condition: and tls, append: true}\n", NULL), "");
	assert_string_equal(rule_for(RULE("a", "tls"),
	                             "- {rule: a, condition: or total > 1s, override: {condition: append}}\n", NULL),
	                    "a");
	assert_string_equal(
		rule_for(RULE("a", "tls") "- {rule: a, condition: or total > 1s, append: true}\n", NULL, NULL), "a");
	assert_string_equal(rule_for("- {macro: m, condition: tls}\n" RULE("a", "m"),
	                             "- {macro: m, condition: total > 1s}\n", NULL),
	                    "a");
	assert_string_equal(rule_for("- {macro: m, condition: tls}\n" RULE("a", "m"),
	                             "- {macro: m, condition: or total > 1s, append: true}\n", NULL),
	                    "a");
	assert_string_equal(rule_for("- {list: l, items: [80]}\n" RULE("a", "server.port in (l)"),
	                             "- {list: l, items: [5432], append: true}\n", NULL),
	                    "a");
	assert_string_equal(rule_for("- {list: l, items: [80]}\n" RULE("a", "server.port in l"),
	                             "- {list: l, items: [5432]}\n", NULL),
	                    "a");
	assert_string_equal(rule_for("- {list: k, items: [5432]}\n- {list: l, items: [80, k]}\n" RULE(
					     "a", "server.port in (443, l)"),
	                             NULL, NULL),
	                    "a");
}

static void test_layers_override_keeps_other_keys(void **state)
{
	(void)state;
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	struct cu_rules *rules = load("- {rule: a, condition: total > 1s, blame: client, output: mine}\n",
	                              "- {rule: a, confidence: low}\n", NULL);
	judge(rules, &w, &verdict);
	assert_int_equal(verdict.blame, CU_PARTY_CLIENT);
	assert_int_equal(verdict.confidence, CU_CONFIDENCE_LOW);
	assert_text(verdict.why, "mine");
	cu_rules_free(rules);
}

static void test_macro_of_any_unit(void **state)
{
	(void)state;
	assert_string_equal(rule_for("- {macro: allowance, condition: 2 * rtt + 50ms}\n"
	                             "- {macro: half, condition: 50% of total}\n" RULE(
					     "a", "request.ack_delay < allowance and server.think > half"),
	                             NULL, NULL),
	                    "a");
}

/* Words beside a macro are what they would be beside what it stands for; behind == a macro's name is the macro. */
static void test_macro_of_names_and_texts(void **state)
{
	(void)state;
	static const char macros[] = "- {macro: k, condition: kind}\n"
				     "- {macro: proto, condition: service}\n"
				     "- {macro: sql, condition: \"'postgresql'\"}\n"
				     "- {macro: request_line, condition: \"'GET /reports/daily?x=1'\"}\n"
				     "- {macro: request, condition: kind == request and request.acked}\n";
	static const char *const conditions[] = {
		"k == request",       "k == 'request'", "k in (request)",          "k != connect",
		"k == kind",          "kind == k",      "proto == postgresql",     "postgresql == proto",
		"proto == sql",       "sql == service", "name == request_line",    "proto in (postgresql)",
		"proto glob 'post*'", "request",        "service != request_line",
	};
	for (size_t i = 0; i < COUNT(conditions); i++) {
		char rule[200];
		snprintf(rule, sizeof(rule), "- {rule: a, condition: \"%s\"}\n", conditions[i]);
		assert_string_equal(rule_for(macros, rule, NULL), "a");
	}
}

static void test_ignore_makes_not_slow(void **state)
{
	(void)state;
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	struct cu_rules *rules = load("- {rule: a, condition: total > 1s}\n",
	                              "- {ignore: reports, condition: 'name ~ \"GET /reports/*\"'}\n", NULL);
	judge(rules, &w, &verdict);
	assert_false(verdict.slow);
	assert_int_equal(verdict.blame, CU_PARTY_NONE);
	assert_int_equal(verdict.cause, CU_CAUSE_NONE);
	assert_int_equal(verdict.confidence, CU_CONFIDENCE_NONE);
	assert_text(verdict.rule, "reports");
	assert_text(verdict.why, "");
	cu_rules_free(rules);
}

static void test_verdict_of_rule(void **state)
{
	(void)state;
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	struct cu_rules *rules = load(
		"- rule: mine\n  condition: total > 1s\n  blame: network\n  confidence: medium\n"
		"  output: \"{server} {service} took {server.think}, {server.think / total} of {total}; {{x}} {response.rate}\"\n"
		"  advice: |\n    see {name}\n    at {request.time}\n",
		NULL, NULL);
	judge(rules, &w, &verdict);
	assert_int_equal(verdict.stream, 7);
	assert_int_equal(verdict.number, 3);
	assert_true(verdict.slow);
	assert_int_equal(verdict.slow_over_ns, S);
	assert_int_equal(verdict.blame, CU_PARTY_NETWORK);
	assert_int_equal(verdict.cause, CU_NETWORK_TRANSFER); /* the largest of the party that is blamed */
	assert_int_equal(verdict.confidence, CU_CONFIDENCE_MEDIUM);
	assert_text(verdict.rule, "mine");
	assert_text(verdict.service, "postgresql");
	assert_text(verdict.why, "10.0.0.5:5432 postgresql took 2.00 s, 95.2 % of 2.10 s; {x} 8 Mbit/s");
	assert_text(verdict.advice, "see GET /reports/daily?x=1 at 2024-02-16T13:32:03.123Z");
	cu_rules_free(rules);
}

static void test_verdict_text_of_missing_values(void **state)
{
	(void)state;
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	w.facts.analysis = NULL;
	w.connection.server_port = 20001;
	w.transaction.name = (struct cu_text){NULL, 0};
	struct cu_rules *rules = load(
		"- {rule: a, condition: 'true', output: '{rtt} {2 * rtt} {name} {service} {vantage}'}\n", NULL, NULL);
	judge(rules, &w, &verdict);
	assert_text(verdict.why, "unknown unknown unknown the service at port 20001 unknown");
	cu_rules_free(rules);
}

static void test_verdict_text_is_cut(void **state)
{
	(void)state;
	struct world w;
	struct cu_verdict verdict;
	char yaml[4096];
	world_init(&w);
	int n = snprintf(yaml, sizeof(yaml), "- {rule: a, condition: 'true', output: 'x");
	for (int i = 0; i < 1000; i++) {
		memcpy(yaml + n, "\xc3\xa4", 2);
		n += 2;
	}
	memcpy(yaml + n, "'}\n", 4);
	struct cu_rules *rules = load(yaml, NULL, NULL);
	judge(rules, &w, &verdict);
	assert_int_equal(verdict.why.len, CU_VERDICT_TEXT_CAP - 1); /* not in the middle of a character */
	cu_rules_free(rules);
}

/* The ledger's own verdicts. */
struct ledger_case {
	const char *name;
	int outcome, kind;
	int64_t ms[CU_N_CAUSES];
	int certainty;
	int reset_dir; /* 0 none, 1 c2s, 2 s2c */
	bool icmp;
	bool slow;
	int blame, cause, confidence;
};

static void test_ledger_verdicts(void **state)
{
	(void)state;
	enum { LOW = CU_CONFIDENCE_LOW, MEDIUM = CU_CONFIDENCE_MEDIUM, HIGH = CU_CONFIDENCE_HIGH };
	enum { ANSWERED = CU_OUTCOME_ANSWERED, REQUEST = CU_TXN_REQUEST, CONNECT = CU_TXN_CONNECT };
	/* clang-format off */
	static const struct ledger_case cases[] = {
		{"server thinks", ANSWERED, REQUEST, {[CU_NETWORK_RTT] = 20, [CU_SERVER_THINK] = 2000}, 90, 0, false, true,
	         CU_PARTY_SERVER, CU_SERVER_THINK, HIGH},
		{"not sure", ANSWERED, REQUEST, {[CU_NETWORK_RTT] = 20, [CU_SERVER_THINK] = 2000}, 60, 0, false, true,
	         CU_PARTY_SERVER, CU_SERVER_THINK, MEDIUM},
		{"unsure", ANSWERED, REQUEST, {[CU_NETWORK_RTT] = 20, [CU_SERVER_THINK] = 2000}, 40, 0, false, true,
	         CU_PARTY_SERVER, CU_SERVER_THINK, LOW},
		{"no clear lead", ANSWERED, REQUEST, {[CU_SERVER_THINK] = 1000, [CU_NETWORK_LOSS] = 600}, 100, 0, false, true,
	         CU_PARTY_SERVER, CU_SERVER_THINK, MEDIUM},
		{"close", ANSWERED, REQUEST, {[CU_SERVER_THINK] = 1000, [CU_NETWORK_LOSS] = 900}, 100, 0, false, true,
	         CU_PARTY_SERVER, CU_SERVER_THINK, LOW},
		{"sum of a party", ANSWERED, REQUEST, {[CU_SERVER_THINK] = 700, [CU_NETWORK_LOSS] = 500, [CU_NETWORK_TRANSFER] = 600}, 100, 0,
	         false, true, CU_PARTY_NETWORK, CU_NETWORK_TRANSFER, MEDIUM},
		{"client", ANSWERED, REQUEST, {[CU_CLIENT_WINDOW] = 5000, [CU_NETWORK_RTT] = 10}, 100, 0, false, true, CU_PARTY_CLIENT,
	         CU_CLIENT_WINDOW, HIGH},
		{"capture", ANSWERED, REQUEST, {[CU_UNKNOWN_CAPTURE] = 5000, [CU_SERVER_THINK] = 100}, 100, 0, false, true, CU_PARTY_UNKNOWN,
	         CU_UNKNOWN_CAPTURE, HIGH},
		{"long path", ANSWERED, REQUEST, {[CU_NETWORK_RTT] = 1200, [CU_SERVER_THINK] = 50}, 100, 0, false, true, CU_PARTY_NETWORK,
	         CU_NETWORK_RTT, HIGH},
		{"long path and a slow server", ANSWERED, REQUEST, {[CU_NETWORK_RTT] = 1200, [CU_SERVER_THINK] = 5000}, 100, 0, false, true,
	         CU_PARTY_SERVER, CU_SERVER_THINK, HIGH},
		{"longish path and a slow server", ANSWERED, REQUEST, {[CU_NETWORK_RTT] = 700, [CU_SERVER_THINK] = 500}, 100, 0, false, true,
	         CU_PARTY_SERVER, CU_SERVER_THINK, MEDIUM},
		{"quick", ANSWERED, REQUEST, {[CU_NETWORK_RTT] = 20, [CU_SERVER_THINK] = 900}, 100, 0, false, false, CU_PARTY_NONE,
	         CU_CAUSE_NONE, CU_CONFIDENCE_NONE},
		{"refused", CU_OUTCOME_REFUSED, CONNECT, {[CU_NETWORK_RTT] = 20}, 100, 2, false, false, CU_PARTY_SERVER, CU_SERVER_CONNECT,
	         MEDIUM},
		{"prohibited", CU_OUTCOME_REFUSED, CONNECT, {[CU_NETWORK_RTT] = 20}, 100, 0, true, false, CU_PARTY_NETWORK,
	         CU_NETWORK_CONNECT, HIGH},
		{"unanswered SYN", CU_OUTCOME_UNANSWERED, CONNECT, {[CU_NETWORK_CONNECT] = 7000}, 100, 0, false, true, CU_PARTY_NETWORK,
	         CU_NETWORK_CONNECT, MEDIUM},
		{"unanswered SYN, soon", CU_OUTCOME_UNANSWERED, CONNECT, {[CU_NETWORK_CONNECT] = 10}, 100, 0, false, false, CU_PARTY_NETWORK,
	         CU_NETWORK_CONNECT, MEDIUM},
		{"unanswered request", CU_OUTCOME_UNANSWERED, REQUEST, {[CU_SERVER_THINK] = 7000}, 100, 0, false, true, CU_PARTY_SERVER,
	         CU_SERVER_THINK, HIGH},
		{"unanswered request, soon", CU_OUTCOME_UNANSWERED, REQUEST, {[CU_SERVER_THINK] = 10}, 100, 0, false, false, CU_PARTY_NONE,
	         CU_CAUSE_NONE, CU_CONFIDENCE_NONE},
		{"abandoned", CU_OUTCOME_ABANDONED, REQUEST, {[CU_SERVER_THINK] = 7000}, 100, 0, false, true, CU_PARTY_NONE, CU_CAUSE_NONE,
	         CU_CONFIDENCE_NONE},
		{"reset at once", CU_OUTCOME_RESET, REQUEST, {[CU_NETWORK_RTT] = 20}, 100, 2, false, false, CU_PARTY_SERVER, CU_CAUSE_NONE,
	         LOW},
		{"reset by the client", CU_OUTCOME_RESET, REQUEST, {[CU_NETWORK_RTT] = 20}, 100, 1, false, false, CU_PARTY_CLIENT,
	         CU_CAUSE_NONE, LOW},
		{"reset late", CU_OUTCOME_RESET, REQUEST, {[CU_SERVER_THINK] = 7000}, 100, 1, false, true, CU_PARTY_SERVER, CU_SERVER_THINK,
	         LOW},
		{"open", CU_OUTCOME_OPEN, REQUEST, {[CU_SERVER_THINK] = 7000}, 100, 0, false, true, CU_PARTY_SERVER, CU_SERVER_THINK, LOW},
		{"open, soon", CU_OUTCOME_OPEN, REQUEST, {[CU_SERVER_THINK] = 70}, 100, 0, false, false, CU_PARTY_NONE, CU_CAUSE_NONE,
	         CU_CONFIDENCE_NONE},
		{"nothing in it", ANSWERED, REQUEST, {0}, 100, 0, false, false, CU_PARTY_NONE, CU_CAUSE_NONE, CU_CONFIDENCE_NONE},
	};
	/* clang-format on */
	struct cu_rules *rules = load("", NULL, NULL);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct ledger_case *c = &cases[i];
		struct world w;
		struct cu_verdict verdict;
		world_init(&w);
		struct cu_transaction *t = &w.transaction;
		t->outcome = (uint8_t)c->outcome;
		t->kind = (uint8_t)c->kind;
		t->certainty = (uint8_t)c->certainty;
		t->total_ns = 0;
		t->n_kept = 0;
		for (unsigned cause = 0; cause < CU_N_CAUSES; cause++) {
			t->ledger[cause].ns = c->ms[cause] * MS;
			t->total_ns += c->ms[cause] * MS;
		}
		if (c->reset_dir) {
			t->events[t->n_kept++] = (struct cu_event){
				.kind = CU_EVENT_RESET, .dir = c->reset_dir == 1 ? CU_C2S : CU_S2C, .count = 1};
		}
		if (c->icmp) {
			t->events[t->n_kept++] = (struct cu_event){.kind = CU_EVENT_ICMP, .count = 1};
		}
		judge(rules, &w, &verdict);
		if (verdict.slow != c->slow || verdict.blame != c->blame || verdict.cause != c->cause ||
		    verdict.confidence != c->confidence) {
			print_error("%s: %s %s %s %s\n", c->name, verdict.slow ? "slow" : "-",
			            cu_party_name(verdict.blame), cu_cause_name(verdict.cause),
			            cu_confidence_name(verdict.confidence));
			fail();
		}
		bool judged = c->blame != CU_PARTY_NONE || c->slow;
		assert_int_equal(verdict.why.len > 0, judged);
		assert_int_equal(verdict.rule.len, 0);
	}
	cu_rules_free(rules);
}

static void test_ledger_words_have_figures(void **state)
{
	(void)state;
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	struct cu_rules *rules = load("", NULL, NULL);
	judge(rules, &w, &verdict);
	assert_text(verdict.why,
	            "10.0.0.5:5432 acknowledged the whole request after 20.0 ms and first answered 2.00 s later");
	assert_text(verdict.advice, "look at what postgresql on 10.0.0.5 did at 2024-02-16T13:32:03.123Z");
	/* Every cause has words of its own. */
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		world_init(&w);
		memset(w.transaction.ledger, 0, sizeof(w.transaction.ledger));
		w.transaction.ledger[cause].ns = w.transaction.total_ns;
		judge(rules, &w, &verdict);
		assert_int_equal(verdict.cause, cause);
		assert_true(verdict.why.len > 0 && verdict.advice.len > 0);
		assert_null(memmem(verdict.why.data, verdict.why.len, "no cause stands out", 19));
	}
	cu_rules_free(rules);
}

static int64_t slow_over(struct cu_rules *rules, const char *ip, unsigned port, unsigned kind)
{
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	w.connection.server = addr(ip);
	w.connection.server_port = (uint16_t)port;
	w.transaction.kind = (uint8_t)kind;
	judge(rules, &w, &verdict);
	return verdict.slow_over_ns / MS;
}

/* clang-format off */
static const char services_yaml[] =
	"- slow: {default: 900ms, connect: 700ms}\n"
	"  services:\n"
	"    postgresql: 200ms\n"
	"    10.0.0.0/8:8080: 500ms\n"
	"    10.9.0.0/16: 400ms\n"
	"    '[2001:db8::/32]:443': 2s\n"
	"    '*:9000-9099': 3s\n"
	"    billing:\n"
	"      hosts: [10.1.0.0/16, 10.2.0.1]\n"
	"      ports: [9000, 9100-9199]\n"
	"      slow: {default: 300ms, connect: 100ms}\n"
	"    ledger: {port: 7777}\n";
/* clang-format on */

static void test_services_thresholds(void **state)
{
	(void)state;
	/* clang-format off */
	static const struct {
		const char *ip;
		unsigned port, kind;
		int64_t ms;
	} cases[] = {
		{"192.168.0.1", 80, CU_TXN_REQUEST, 900},   {"192.168.0.1", 80, CU_TXN_CONNECT, 700},
		{"192.168.0.1", 5432, CU_TXN_REQUEST, 200}, {"192.168.0.1", 5432, CU_TXN_CONNECT, 200},
		{"10.0.0.1", 8080, CU_TXN_REQUEST, 500},    {"10.0.0.1", 8081, CU_TXN_REQUEST, 900},
		{"11.0.0.1", 8080, CU_TXN_REQUEST, 900},    {"10.9.1.1", 8080, CU_TXN_REQUEST, 400},
		{"10.9.1.1", 5432, CU_TXN_REQUEST, 400},    {"2001:db8::5", 443, CU_TXN_REQUEST, 2000},
		{"2001:db9::5", 443, CU_TXN_REQUEST, 900},  {"192.168.0.1", 9050, CU_TXN_REQUEST, 3000},
		{"10.1.3.4", 9000, CU_TXN_REQUEST, 300},    {"10.1.3.4", 9100, CU_TXN_CONNECT, 100},
		{"10.2.0.1", 9199, CU_TXN_CLOSE, 300},      {"10.2.0.2", 9199, CU_TXN_CLOSE, 900},
		{"10.2.0.2", 7777, CU_TXN_CLOSE, 900},
	};
	/* clang-format on */
	struct cu_rules *rules = load(services_yaml, NULL, NULL);
	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t ms = slow_over(rules, cases[i].ip, cases[i].port, cases[i].kind);
		if (ms != cases[i].ms) {
			print_error("%s port %u: %lld ms, expected %lld\n", cases[i].ip, cases[i].port, (long long)ms,
			            (long long)cases[i].ms);
			fail();
		}
	}
	cu_rules_free(rules);
}

static void test_services_names(void **state)
{
	(void)state;
	/* clang-format off */
	static const struct {
		const char *ip;
		unsigned port;
		const char *name;
	} cases[] = {
		{"10.1.3.4", 9000, "billing"}, {"10.3.3.4", 9000, "clickhouse"}, {"10.3.3.4", 7777, "ledger"}, {"::1", 443, "https"},
		{"::1", 22, "ssh"}, {"::1", 6379, "redis"}, {"::1", 65000, ""}, {"::1", 0, ""}, {"::1", 50051, "grpc"}, {"::1", 21, "ftp"},
	};
	/* clang-format on */
	struct cu_rules *rules = load(services_yaml, NULL, NULL);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cu_addr a = addr(cases[i].ip);
		assert_text(cu_rules_service(rules, &a, cases[i].port), cases[i].name);
	}
	cu_rules_free(rules);
}

static void test_services_redefined_on_top(void **state)
{
	(void)state;
	struct cu_rules *rules = load(services_yaml, "- services: {postgresql: 50ms, billing: {port: 1234}}\n", NULL);
	assert_int_equal(slow_over(rules, "192.168.0.1", 5432, CU_TXN_REQUEST), 50);
	assert_int_equal(slow_over(rules, "10.1.3.4", 1234, CU_TXN_REQUEST), 300);
	assert_int_equal(slow_over(rules, "10.1.3.4", 9100, CU_TXN_REQUEST), 900);
	cu_rules_free(rules);
}

/* Of services that fit as closely the one defined last wins, also when it was defined before; a name is a port. */
static void test_services_defined_last_win(void **state)
{
	(void)state;
	static const char both[] = "- services: {x: {ports: [9000], slow: 1s}, y: {ports: [9000], slow: 5s}}\n";
	struct cu_addr server = addr("10.0.0.1");
	struct cu_rules *rules = load(both, NULL, NULL);
	assert_text(cu_rules_service(rules, &server, 9000), "y");
	assert_int_equal(slow_over(rules, "10.0.0.1", 9000, CU_TXN_REQUEST), 5000);
	cu_rules_free(rules);
	rules = load(both, "- services: {x: {ports: [9000], slow: 300ms}}\n", NULL);
	assert_text(cu_rules_service(rules, &server, 9000), "x");
	assert_int_equal(slow_over(rules, "10.0.0.1", 9000, CU_TXN_REQUEST), 300);
	cu_rules_free(rules);
	static const char pattern[] = "- services: {'*:5432': 3s}\n", name[] = "- services: {postgresql: 200ms}\n";
	rules = load(pattern, name, NULL);
	assert_int_equal(slow_over(rules, "10.0.0.1", 5432, CU_TXN_REQUEST), 200);
	cu_rules_free(rules);
	rules = load(name, pattern, NULL);
	assert_int_equal(slow_over(rules, "10.0.0.1", 5432, CU_TXN_REQUEST), 3000);
	cu_rules_free(rules);
	rules = load("- services: {10.0.0.0/8: 2s}\n", name, NULL);
	assert_int_equal(slow_over(rules, "10.0.0.1", 5432, CU_TXN_REQUEST), 2000);
	cu_rules_free(rules);
}

static void test_slow_option_takes_the_default_s_place(void **state)
{
	(void)state;
	struct cu_rules *rules = load(services_yaml, NULL, NULL);
	cu_rules_set_slow(rules, 50 * MS);
	assert_int_equal(slow_over(rules, "192.168.0.1", 80, CU_TXN_REQUEST), 50);
	assert_int_equal(slow_over(rules, "192.168.0.1", 80, CU_TXN_CONNECT), 700);
	assert_int_equal(slow_over(rules, "192.168.0.1", 5432, CU_TXN_REQUEST), 200);
	cu_rules_free(rules);
}

static void test_explain_says_what_was_false(void **state)
{
	(void)state;
	struct world w;
	struct cu_buf buf = {0};
	world_init(&w);
	struct cu_rules *rules = load(
		"- {macro: far, condition: rtt > 1s or client.rtt > 1s}\n" RULE("one", "total > 1s and far and tls")
			RULE("two", "not (service == postgresql)")
				RULE("three", "response.rate > 2 * 50Mbit/s or kind in (close, connect)")
					RULE("four", "total > 1s") RULE("five", "has(name)"),
		NULL, NULL);
	assert_int_equal(cu_rules_explain(rules, &w.facts, &buf), 0);
	assert_string_equal(
		cu_buf_cstr(&buf),
		"7:3 request, answered, 2.10 s; slow over 1.00 s\n"
		"  ledger   server, server.think, confidence high\n"
		"  no       one: rtt > 1s is false (rtt is 20.0 ms); client.rtt > 1s is false (client.rtt is 5.00 ms)\n"
		"  no       two: (service == postgresql) is true (service is postgresql)\n"
		"  no       three: response.rate > 2 * 50Mbit/s is false (response.rate is 8 Mbit/s); kind in (close, connect) is false (kind is request)\n"
		"  match    four\n"
		"           the first match wins: 1 rule was not asked\n"
		"  verdict  server, server.think, confidence high\n"
		"  why      10.0.0.5:5432 acknowledged the whole request after 20.0 ms and first answered 2.00 s later\n"
		"  advice   look at what postgresql on 10.0.0.5 did at 2024-02-16T13:32:03.123Z\n");
	cu_buf_clear(&buf);
	w.transaction.outcome = CU_OUTCOME_ABANDONED;
	w.transaction.total_ns = 300 * MS;
	assert_int_equal(cu_rules_explain(rules, &w.facts, &buf), 0);
	assert_string_equal(cu_buf_cstr(&buf), "7:3 request, abandoned, 300 ms; slow over 1.00 s\n"
	                                       "  not slow, and neither refused nor reset: no rule is asked\n");
	cu_buf_release(&buf);
	cu_rules_free(rules);
}

/* A file of the source tree, where the tests are told it is. */
static const char *source_path(const char *name)
{
	static char path[1024];
	const char *top = getenv("top");
	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
	return path;
}

static char *read_whole(const char *name)
{
	FILE *f = fopen(source_path(name), "rb");
	assert_non_null(f);
	static char data[1 << 18];
	size_t n = fread(data, 1, sizeof(data) - 1, f);
	data[n] = '\0';
	fclose(f);
	return data;
}

static void test_default_rules_are_the_file(void **state)
{
	(void)state;
	const char *file = read_whole("rules/default.yaml");
	assert_string_equal(cu_rules_default, file);
	assert_int_equal(cu_rules_default_len, strlen(file));
}

static void test_default_rules_have_a_test_each(void **state)
{
	(void)state;
	struct cu_fault fault = {0};
	struct cu_buf buf = {0};
	size_t n_failed;
	struct cu_rules *rules = cu_rules_new();
	assert_int_equal(cu_rules_add_default(rules), 0);
	assert_int_equal(cu_rules_add_file(rules, source_path("rules/tests/default.yaml"), &fault), 0);
	assert_int_equal(cu_rules_finish(rules), 0);
	assert_int_equal(cu_rules_n_warnings(rules), 0);
	assert_int_equal(cu_rules_run_tests(rules, &buf, &n_failed), 0);
	if (n_failed > 0) {
		print_error("%s", cu_buf_cstr(&buf));
		fail();
	}
	const char *tests = read_whole("rules/tests/default.yaml");
	for (const char *p = cu_rules_default; (p = strstr(p, "\n- rule: ")) != NULL;) {
		p += strlen("\n- rule: ");
		char name[128];
		snprintf(name, sizeof(name), "rule: %.*s,", (int)strcspn(p, "\n"), p);
		char quoted[160], alone[160];
		snprintf(quoted, sizeof(quoted), "rule: \"%.*s\",", (int)strcspn(p, "\n"), p);
		snprintf(alone, sizeof(alone), "rule: %.*s\n", (int)strcspn(p, "\n"), p);
		if (!strstr(tests, name) && !strstr(tests, quoted) && !strstr(tests, alone)) {
			print_error("no test expects %s\n", name);
			fail();
		}
	}
	cu_buf_release(&buf);
	cu_rules_free(rules);
}

static void test_default_rules_cover_every_cause(void **state)
{
	(void)state;
	struct cu_rules *rules = cu_rules_new();
	cu_rules_add_default(rules);
	assert_int_equal(cu_rules_finish(rules), 0);
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		struct world w;
		struct cu_verdict verdict;
		world_init(&w);
		memset(w.transaction.ledger, 0, sizeof(w.transaction.ledger));
		w.transaction.ledger[cause].ns = w.transaction.total_ns;
		judge(rules, &w, &verdict);
		assert_int_equal(verdict.cause, cause);
		assert_int_equal(verdict.blame, cu_cause_party(cause));
		assert_true(verdict.rule.len > 0 && verdict.why.len > 0 && verdict.advice.len > 0);
		assert_null(memmem(verdict.why.data, verdict.why.len, "unknown", 7));
	}
	cu_rules_free(rules);
}

/* Runs the tests of a file or directory on top of the default rules; how many there were. */
static size_t run_shipped(const char *path)
{
	struct cu_fault fault = {0};
	struct cu_buf buf = {0};
	size_t n_failed = 0;
	struct cu_rules *rules = cu_rules_new();
	assert_int_equal(cu_rules_add_default(rules), 0);
	int error = cu_rules_add_file(rules, path, &fault);
	int finished = cu_rules_finish(rules);
	if (error == 0 && finished == 0) {
		assert_int_equal(cu_rules_run_tests(rules, &buf, &n_failed), 0);
	}
	if (error != 0 || finished != 0 || n_failed > 0 || cu_rules_n_warnings(rules) > 0) {
		print_messages(rules);
		print_error("%s: %s%s", path, fault.text, cu_buf_cstr(&buf));
		fail();
	}
	size_t n = cu_rules_counts(rules).n_tests;
	cu_buf_release(&buf);
	cu_rules_free(rules);
	return n;
}

static int is_yaml(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

static void test_shipped_files_pass_their_tests(void **state)
{
	(void)state;
	static const char *const folders[] = {"rules/services", "rules/examples"};
	for (size_t i = 0; i < COUNT(folders); i++) {
		struct dirent **entries;
		int n = scandir(source_path(folders[i]), &entries, is_yaml, alphasort);
		assert_true(n >= 6);
		for (int j = 0; j < n; j++) {
			char path[1600];
			snprintf(path, sizeof(path), "%s/%s", source_path(folders[i]), entries[j]->d_name);
			assert_true(run_shipped(path) > 0);
			free(entries[j]);
		}
		free(entries);
	}
	assert_true(run_shipped(source_path("rules/services")) > 20); /* all together */
}

/* A test gives what was learned as it gives all else: what it leaves out is missing, not zero. */
static void test_given_baseline_leaves_the_rest_missing(void **state)
{
	(void)state;
	struct cu_buf failed = {0};
	size_t n_failed;
	struct cu_rules *rules =
		load("- rule: r\n"
	             "  condition: baseline.p95 == 4s and not has(baseline.p99) and not has(baseline.count)\n"
	             "             and not (baseline.server.think.p50 < 1s)\n"
	             "- tests:\n"
	             "    - test: t\n"
	             "      given: {server.think: 5s, baseline.p95: 4s}\n"
	             "      expect: {rule: r}\n",
	             NULL, NULL);
	assert_int_equal(cu_rules_run_tests(rules, &failed, &n_failed), 0);
	assert_string_equal(cu_buf_cstr(&failed), "");
	cu_buf_release(&failed);
	cu_rules_free(rules);
}

/* ---- many rules ---- */

static unsigned random_below(unsigned *state, unsigned n)
{
	*state = *state * 1103515245 + 12345; /* ISO C's example of rand() */
	return (*state >> 16) % n;
}

static void random_condition(unsigned *seed, char *condition, size_t cap)
{
	/* clang-format off */
	static const char *const parts[] = {
		"server.port == %u", "server.port in (%u, 10-12)", "server.port > %u", "server.port <= %u", "total > %us", "total < %u00ms",
		"server.think > %u%% of total", "server.think >= %u%% of total", "server.think < %u%% of total", "server.think == %u%% of total",
		"network.loss > total", "network.loss > 2 * rtt", "rtt < %ums", "rtt in (%ums-20ms)", "server.ip in (10.0.%u.0/24)",
		"server.ip == 10.0.%u.1", "server.ip in (10.0.0.0/%u, 2001:db8::/32)", "name ~ \"GET /%u*\"", "name == \"GET /%u\"",
		"name startswith \"GET /%u\"", "name in (\"GET /%u\", x)", "kind == request", "kind in (connect, close)", "not server.port == %u",
		"(tls or server.port == %u)", "not has(rtt)", "cause == server.think", "name ~ (\"*%u\", \"POST\")", "rtt * 2 > %ums",
		"certainty >= %u%%", "name != \"GET /%u\"", "server.ip not in (10.0.%u.0/24)",
	};
	/* clang-format on */
	size_t at = 0;
	for (unsigned n = 1 + random_below(seed, 3); n > 0; n--) {
		unsigned value = random_below(seed, 14);
		const char *part = parts[random_below(seed, COUNT(parts))];
		const char *mark = strstr(part, "%u");
		char head[128] = "";
		snprintf(head, sizeof(head), "%.*s", mark ? (int)(mark - part) : (int)strlen(part), part);
		at += (size_t)snprintf(condition + at, cap - at, "%s", head);
		for (const char *p = mark; p && *p; p++) { /* the format by hand: it is data */
			if (p[0] == '%' && p[1] == 'u') {
				at += (size_t)snprintf(condition + at, cap - at, "%u", value);
				p++;
			} else if (p[0] == '%') {
				at += (size_t)snprintf(condition + at, cap - at, "%%");
				p++;
			} else {
				at += (size_t)snprintf(condition + at, cap - at, "%c", *p);
			}
		}
		at += (size_t)snprintf(condition + at, cap - at, "%s",
		                       n == 1                  ? ""
		                       : random_below(seed, 8) ? " and "
		                                               : " or ");
	}
}

static void random_world(unsigned *seed, struct world *w, char name[static 32])
{
	char ip[32];
	world_init(w);
	snprintf(ip, sizeof(ip), "10.0.%u.%u", random_below(seed, 14), random_below(seed, 3));
	w->connection.server = addr(random_below(seed, 10) ? ip : "2001:db8::1");
	w->connection.server_port = (uint16_t)random_below(seed, 14);
	snprintf(name, 32, random_below(seed, 2) ? "GET /%u" : "GET /%u/x", random_below(seed, 14));
	w->transaction.name = random_below(seed, 10) ? text(name) : (struct cu_text){NULL, 0};
	w->transaction.total_ns = 2000 * MS + random_below(seed, 10) * S;
	w->transaction.ledger[CU_SERVER_THINK].ns = w->transaction.total_ns / 100 * random_below(seed, 14);
	w->transaction.ledger[CU_NETWORK_LOSS].ns = random_below(seed, 2) * 30 * MS;
	w->transaction.certainty = (uint8_t)random_below(seed, 14);
	w->analysis.rtt_ns = random_below(seed, 14) * MS;
	w->facts.connection = random_below(seed, 20) ? &w->connection : NULL;
}

/* With many rules an index says which to ask: the first match is that of asking each. */
static void test_many_rules_match_as_each_alone(void **state)
{
	(void)state;
	enum { N_RULES = 150, N_WORLDS = 400 };
	static struct cu_rules *alone[N_RULES];
	struct cu_buf yaml = {0};
	unsigned seed = 42;
	for (unsigned i = 0; i < N_RULES; i++) {
		char condition[512], one[640];
		random_condition(&seed, condition, sizeof(condition));
		snprintf(one, sizeof(one), "- rule: r%u\n  condition: |\n    %s\n", i, condition);
		cu_buf_add_cstr(&yaml, one);
		alone[i] = load(one, NULL, NULL);
	}
	struct cu_rules *all = load(cu_buf_cstr(&yaml), NULL, NULL);
	size_t n_matched = 0;
	for (unsigned n = 0; n < N_WORLDS; n++) {
		struct world w;
		struct cu_verdict verdict;
		char request[32], expected[16] = "";
		random_world(&seed, &w, request);
		for (unsigned i = 0; i < N_RULES && !expected[0]; i++) {
			judge(alone[i], &w, &verdict);
			if (verdict.rule.len > 0) {
				snprintf(expected, sizeof(expected), "r%u", i);
			}
		}
		judge(all, &w, &verdict);
		assert_text(verdict.rule, expected);
		n_matched += expected[0] != '\0';
	}
	assert_in_range(n_matched, N_WORLDS / 4, N_WORLDS);
	for (unsigned i = 0; i < N_RULES; i++) {
		cu_rules_free(alone[i]);
	}
	cu_rules_free(all);
	cu_buf_release(&yaml);
}

/* Whether it is said of a rule that it can never match, or is never reached. */
static bool is_unreachable(const struct cu_rules *rules, const char *name)
{
	for (size_t i = 0; i < cu_rules_n_messages(rules); i++) {
		const char *message = cu_rules_message(rules, i)->text;
		if (message[0] == '\'' && strncmp(message + 1, name, strlen(name)) == 0 &&
		    message[1 + strlen(name)] == '\'' && strstr(message, " never ")) {
			return true;
		}
	}
	return false;
}

/* Whatever the rules and the transactions: none that is said to be out of reach is reached. */
static void test_unreachable_rules_never_match(void **state)
{
	(void)state;
	enum { N_FILES = 300, N_RULES = 12, N_WORLDS = 300 };
	unsigned seed = 7;
	size_t n_unreachable = 0, n_reached = 0;
	for (unsigned file = 0; file < N_FILES; file++) {
		struct cu_buf yaml = {0};
		char names[N_RULES][8], request[32];
		bool unreachable[N_RULES], reached[N_RULES] = {false};
		for (unsigned i = 0; i < N_RULES; i++) {
			char condition[512];
			snprintf(names[i], sizeof(names[i]), "r%u", i);
			random_condition(&seed, condition, sizeof(condition));
			cu_buf_printf(&yaml, "- rule: %s\n  condition: |\n    %s\n", names[i], condition);
		}
		struct cu_rules *rules = load(cu_buf_cstr(&yaml), NULL, NULL);
		for (unsigned i = 0; i < N_RULES; i++) {
			unreachable[i] = is_unreachable(rules, names[i]);
			n_unreachable += unreachable[i];
		}
		for (unsigned n = 0; n < N_WORLDS; n++) {
			struct world w;
			struct cu_verdict verdict;
			random_world(&seed, &w, request);
			judge(rules, &w, &verdict);
			for (unsigned i = 0; i < N_RULES; i++) {
				bool matched = verdict.rule.len == strlen(names[i]) &&
				               memcmp(verdict.rule.data, names[i], verdict.rule.len) == 0;
				reached[i] = reached[i] || matched;
				if (matched && unreachable[i]) {
					print_messages(rules);
					print_error("%s is reached:\n%s", names[i], cu_buf_cstr(&yaml));
					fail();
				}
			}
		}
		for (unsigned i = 0; i < N_RULES; i++) {
			n_reached += reached[i];
		}
		cu_rules_free(rules);
		cu_buf_release(&yaml);
	}
	assert_true(n_unreachable > N_FILES / 2);
	assert_true(n_reached > N_FILES);
}

static void test_impossible_rules_are_warned_of(void **state)
{
	(void)state;
	/* clang-format off */
	static const struct {
		const char *condition;
		size_t n_warnings;
	} cases[] = {
		{"server.port == 80 and server.port == 443", 1}, {"total > 5s and rtt > 1s and total < 2s", 1},
		{"server.ip in (10.0.0.0/8) and server.ip == 192.0.2.1", 1}, {"kind == request and kind in (connect, close)", 1},
		{"service == http and service == https", 1}, {"name startswith \"GET\" and name startswith \"POST\"", 1},
		{"server.think > 80% of total and server.think < 20% of total", 1},
		{"server.port in (80, 443) and server.port > 400", 0}, {"total > 1s and total <= 2s", 0}, {"total >= 1s and total <= 1s", 0},
		{"name startswith \"GET\" and name ~ \"GET /x*\"", 0}, {"server.ip in (10.0.0.0/8) and server.ip in (10.1.0.0/16)", 0},
		{"server.think >= 50% of total and server.think <= 50% of total", 0},
		{"not server.port == 80 and not server.port == 443", 0}, {"server.port == 80 or server.port == 443", 0},
	};
	/* clang-format on */
	for (size_t i = 0; i < COUNT(cases); i++) {
		char yaml[256];
		snprintf(yaml, sizeof(yaml), "- rule: r\n  condition: |\n    %s\n", cases[i].condition);
		struct cu_rules *rules = load(yaml, NULL, NULL);
		if (cu_rules_n_warnings(rules) != cases[i].n_warnings) {
			print_messages(rules);
			print_error("%s\n", cases[i].condition);
			fail();
		}
		cu_rules_free(rules);
	}
}

static void test_fields_are_those_of_the_manual(void **state)
{
	(void)state;
	const char *page = read_whole("lib/rules/rules.5");
	struct cu_buf list = {0};
	cu_fields_mdoc(&list);
	if (!strstr(page, cu_buf_cstr(&list))) {
		print_error("lib/rules/rules.5 has another list of fields than the table; it should be:\n%s",
		            cu_buf_cstr(&list));
		fail();
	}
	cu_buf_release(&list);
}

static void test_fields_have_unique_names_and_sentences(void **state)
{
	(void)state;
	for (size_t i = 0; i < cu_field_count(); i++) {
		const struct cu_field *field = cu_field_at(i);
		assert_ptr_equal(cu_field_find(field->name, strlen(field->name)), field);
		size_t len = strlen(field->meaning);
		assert_true(len > 5 && field->meaning[len - 1] != '.');
		assert_int_equal(field->type == CU_TYPE_ENUM, field->names != NULL);
	}
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) { /* each cause is a field, and a time */
		const char *name = cu_cause_name(cause);
		const struct cu_field *field = cu_field_find(name, strlen(name));
		assert_non_null(field);
		assert_int_equal(field->type, CU_TYPE_TIME);
	}
	for (unsigned kind = 1; kind < CU_N_EVENTS; kind++) {
		char name[64];
		snprintf(name, sizeof(name), "events.%s", cu_event_name(kind));
		assert_non_null(cu_field_find(name, strlen(name)));
	}
}

static void test_judge_allocates_nothing(void **state)
{
	(void)state;
	struct cu_rules *rules = cu_rules_new();
	cu_rules_add_default(rules);
	assert_int_equal(cu_rules_finish(rules), 0);
	struct world w;
	struct cu_verdict verdict;
	world_init(&w);
	for (int i = 0; i < 10; i++) {
		judge(rules, &w, &verdict);
	}
	struct mallinfo2 before = mallinfo2();
	for (int i = 0; i < 1000; i++) {
		w.connection.server_port = (uint16_t)i;
		w.transaction.ledger[CU_SERVER_THINK].ns = i * MS;
		judge(rules, &w, &verdict);
	}
	struct mallinfo2 after = mallinfo2();
	assert_int_equal(after.uordblks, before.uordblks);
	cu_rules_free(rules);
}

static void write_file(const char *path, const char *content)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(content, f);
	assert_int_equal(fclose(f), 0);
}

static const char *rule_of_path(const char *path)
{
	static char name[64];
	struct world w;
	struct cu_verdict verdict;
	struct cu_fault fault = {0};
	world_init(&w);
	struct cu_rules *rules = cu_rules_new();
	int error = cu_rules_add_file(rules, path, &fault);
	int finished = cu_rules_finish(rules);
	if (error != 0 || finished != 0) {
		print_messages(rules);
		print_error("%s\n", fault.text);
		fail();
	}
	judge(rules, &w, &verdict);
	snprintf(name, sizeof(name), "%.*s", (int)verdict.rule.len, verdict.rule.data ? verdict.rule.data : "");
	cu_rules_free(rules);
	return name;
}

static void test_files_include_and_directory(void **state)
{
	(void)state;
	char top[] = "/tmp/culprit-rules.XXXXXX", path[256], folder[256];
	assert_non_null(mkdtemp(top));
	snprintf(folder, sizeof(folder), "%s/d", top);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(path, sizeof(path), "%s/d/10.yaml", top);
	write_file(path, RULE("ten", "total > 1s"));
	snprintf(path, sizeof(path), "%s/d/20.yml", top);
	write_file(path, RULE("twenty", "true"));
	snprintf(path, sizeof(path), "%s/d/30.txt", top);
	write_file(path, "\tno yaml at all");
	assert_string_equal(rule_of_path(folder), "twenty");
	snprintf(path, sizeof(path), "%s/main.yaml", top);
	write_file(path, "- include: d\n" RULE("main", "total > 1s"));
	assert_string_equal(rule_of_path(path), "main");
	write_file(path, RULE("main", "tls") "- include: [d/20.yml, d/10.yaml]\n- {rule: ten, enabled: false}\n");
	assert_string_equal(rule_of_path(path), "twenty");
	char command[300];
	snprintf(command, sizeof(command), "rm -r '%s'", top);
	assert_int_equal(system(command), 0);
}

static void test_files_missing(void **state)
{
	(void)state;
	struct cu_rules *rules = cu_rules_new();
	struct cu_fault fault = {0};
	assert_int_equal(cu_rules_add_file(rules, "/nonexistent/x.yaml", &fault), CU_ERR_IO);
	assert_string_equal(fault.text, "/nonexistent/x.yaml: No such file or directory");
	cu_rules_free(rules);
}

static void test_nearest_names(void **state)
{
	(void)state;
	static const char *const names[] = {"server.think", "server.pause", "rtt", "total", "and"};
	/* clang-format off */
	static const struct {
		const char *word, *name;
	} cases[] = {
		{"server.thnk", "server.think"}, {"Server.Think", "server.think"}, {"serevr.pause", "server.pause"}, {"rt", "rtt"},
		{"ttr", NULL}, {"zzzzzz", NULL}, {"", NULL}, {"totals", "total"}, {"AND", "and"}, {"x", NULL},
	};
	/* clang-format on */
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cu_nearest nearest;
		cu_nearest_begin(&nearest, cases[i].word, strlen(cases[i].word));
		for (size_t j = 0; j < COUNT(names); j++) {
			cu_nearest_try(&nearest, names[j]);
		}
		if ((nearest.name == NULL) != (cases[i].name == NULL) ||
		    (nearest.name && strcmp(nearest.name, cases[i].name) != 0)) {
			print_error("%s: %s\n", cases[i].word, nearest.name ? nearest.name : "none");
			fail();
		}
	}
	assert_int_equal(cu_edit_distance("kitten", 6, "sitting", 7), 3);
	assert_int_equal(cu_edit_distance("ab", 2, "ba", 2), 1);
	assert_int_equal(cu_edit_distance("", 0, "abc", 3), 3);
}

/* ---- findings ---- */

struct found {
	char lines[20][256];
	size_t n;
};

static int collect_finding(void *context, const struct cu_finding *finding)
{
	struct found *found = context;
	char ip[CU_TEXT_CAP];
	assert_true(found->n < COUNT(found->lines));
	snprintf(found->lines[found->n++], sizeof(found->lines[0]), "%.*s %s:%u %s %s %llu: %.*s",
	         (int)finding->kind.len, finding->kind.data, cu_format_addr(ip, &finding->addr), finding->port,
	         cu_party_name(finding->blame), cu_confidence_name(finding->confidence),
	         (unsigned long long)finding->count, (int)finding->why.len, finding->why.data);
	return 0;
}

struct ending {
	uint8_t close, closed_by, completeness;
	bool prohibited;
	uint8_t reset, reset_by;
};

static void add_connections(struct cu_findings *findings, const char *client, const char *server, unsigned first_port,
                            unsigned n, bool same_port, struct ending ending)
{
	for (unsigned i = 0; i < n; i++) {
		struct cu_connection connection = {.client = addr(client),
		                                   .server = addr(server),
		                                   .client_port = (uint16_t)(40000 + i),
		                                   .server_port = (uint16_t)(same_port ? first_port : first_port + i),
		                                   .start_ns = i * S,
		                                   .end_ns = i * S + MS,
		                                   .first_frame = i * 2 + 1,
		                                   .last_frame = i * 2 + 2};
		struct cu_analysis analysis = {.close = ending.close,
		                               .closed_by = ending.closed_by,
		                               .completeness = ending.completeness,
		                               .reset = ending.reset,
		                               .reset_by = ending.reset_by};
		assert_int_equal(cu_findings_add(findings, &connection, &analysis, ending.prohibited), 0);
	}
}

static int count_findings(void *context, const struct cu_finding *finding)
{
	(void)finding;
	++*(unsigned *)context;
	return 0;
}

/* What a thousand servers do leaves room for what one does; and what is left out, or forgotten, is told. */
static void test_findings_are_bounded(void **state)
{
	(void)state;
	enum { BEYOND = 7, LEAST = CU_REFUSED_LEAST };
	static const struct ending refused = {
		CU_CLOSE_REFUSED, CU_PARTY_SERVER, CU_SEEN_SYN | CU_SEEN_RST, false, 0, 0};
	static const struct ending silent = {CU_CLOSE_UNANSWERED, CU_PARTY_NONE, CU_SEEN_SYN, false, 0, 0};
	struct cu_findings *findings = cu_findings_new();
	assert_non_null(findings);
	char client[CU_TEXT_CAP], server[CU_TEXT_CAP];
	for (unsigned i = 0; i < CU_FINDING_CAP + BEYOND; i++) {
		snprintf(client, sizeof(client), "10.1.%u.%u", i / 256, i % 256);
		snprintf(server, sizeof(server), "10.2.%u.%u", i / 256, i % 256);
		add_connections(findings, client, server, 80, LEAST, true, refused);
	}
	add_connections(findings, "10.3.0.1", "10.3.0.2", 80, CU_UNANSWERED_LEAST, true, silent);
	unsigned n = 0;
	assert_int_equal(cu_findings_each(findings, count_findings, &n), 0);
	assert_int_equal(n, CU_FINDING_CAP + 1);
	assert_int_equal(cu_findings_n_left_out(findings), BEYOND);
	assert_int_equal(cu_findings_n_forgotten(findings), 0);
	cu_findings_free(findings);
}

static int note_confidence(void *context, const struct cu_finding *finding)
{
	((unsigned *)context)[finding->confidence]++;
	return 0;
}

/* Of an endpoint that was forgotten in between, what is left may be all bad: that is not sure. */
static void test_findings_of_the_forgotten_are_unsure(void **state)
{
	(void)state;
	enum { SEEN = CU_SEEN_SYN | CU_SEEN_SYN_ACK | CU_SEEN_ACK | CU_SEEN_DATA };
	static const struct ending fine = {CU_CLOSE_CLEAN, CU_PARTY_CLIENT, SEEN, false, 0, 0};
	static const struct ending refused = {
		CU_CLOSE_REFUSED, CU_PARTY_SERVER, CU_SEEN_SYN | CU_SEEN_RST, false, 0, 0};
	struct cu_findings *findings = cu_findings_new();
	assert_non_null(findings);
	char client[CU_TEXT_CAP], server[CU_TEXT_CAP];
	add_connections(findings, "10.1.0.1", "10.2.0.1", 80, 60, true, fine);
	add_connections(findings, "10.1.0.1", "10.2.0.2", 80, 10, true, refused);
	for (unsigned i = 0; i < CU_FINDING_SERVERS; i++) {
		snprintf(server, sizeof(server), "10.3.%u.%u", i / 256, i % 256);
		add_connections(findings, "10.1.0.1", server, 80, 1, true, fine);
	}
	assert_int_equal(cu_findings_n_forgotten(findings), CU_FINDING_SERVERS / 2);
	add_connections(findings, "10.1.0.1", "10.2.0.1", 80, 10, true, refused);
	unsigned n[4] = {0};
	assert_int_equal(cu_findings_each(findings, note_confidence, n), 0);
	assert_int_equal(n[CU_CONFIDENCE_LOW], 1);
	assert_int_equal(n[CU_CONFIDENCE_HIGH] + n[CU_CONFIDENCE_MEDIUM], 1);
	cu_findings_free(findings);

	/* Of more that are as bad as each other than there is room for, as many as there is. */
	findings = cu_findings_new();
	assert_non_null(findings);
	for (unsigned i = 0; i < CU_FINDING_SERVERS + 100; i++) {
		snprintf(client, sizeof(client), "10.1.%u.%u", i / 10 / 256, i / 10 % 256);
		snprintf(server, sizeof(server), "10.3.%u.%u", i / 256 % 256, i % 256);
		add_connections(findings, client, server, 80, CU_REFUSED_LEAST, true, refused);
	}
	memset(n, 0, sizeof(n));
	assert_int_equal(cu_findings_each(findings, note_confidence, n), 0);
	assert_int_equal(n[CU_CONFIDENCE_LOW] + n[CU_CONFIDENCE_HIGH] + n[CU_CONFIDENCE_MEDIUM], CU_FINDING_CAP);
	cu_findings_free(findings);
}

static void test_findings_of_endpoints(void **state)
{
	(void)state;
	enum { SEEN = CU_SEEN_SYN | CU_SEEN_SYN_ACK | CU_SEEN_ACK | CU_SEEN_DATA };
	static const struct ending fine = {CU_CLOSE_CLEAN, CU_PARTY_CLIENT, SEEN, false, 0, 0};
	static const struct ending refused = {
		CU_CLOSE_REFUSED, CU_PARTY_SERVER, CU_SEEN_SYN | CU_SEEN_RST, false, 0, 0};
	static const struct ending prohibited = {CU_CLOSE_REFUSED, CU_PARTY_NONE, CU_SEEN_SYN, true, 0, 0};
	static const struct ending silent = {CU_CLOSE_UNANSWERED, CU_PARTY_NONE, CU_SEEN_SYN, false, 0, 0};
	static const struct ending reset = {CU_CLOSE_ABORTIVE, CU_PARTY_SERVER, SEEN, false, 0, 0};
	static const struct ending late = {CU_CLOSE_REFUSED, CU_PARTY_SERVER, CU_SEEN_RST, false, 0, 0};
	struct found found = {.n = 0};
	struct cu_findings *findings = cu_findings_new();
	assert_non_null(findings);
	add_connections(findings, "10.0.0.1", "10.0.1.1", 80, 100, true, fine);
	add_connections(findings, "10.0.0.1", "10.0.1.1", 80, 3, true, refused); /* three of a hundred */
	add_connections(findings, "10.0.0.1", "10.0.1.2", 81, 4, true, refused);
	add_connections(findings, "10.0.0.1", "10.0.1.2", 81, 1, true, fine);
	add_connections(findings, "10.0.0.1", "10.0.1.3", 82, 5, true, prohibited);
	add_connections(findings, "10.0.0.1", "10.0.1.4", 83, 6, true, silent);
	add_connections(findings, "10.0.0.1", "10.0.1.5", 84, 10, true, reset);
	add_connections(findings, "10.0.0.1", "10.0.1.5", 84, 10, true, fine);
	add_connections(findings, "10.0.0.1", "10.0.1.6", 85, 2, true, refused); /* two are few */
	add_connections(findings, "10.0.0.1", "10.0.1.7", 86, 9, true, late);    /* how they began is not known */
	add_connections(findings, "10.0.0.9", "10.0.1.8", 1, 300, false, refused);
	assert_int_equal(cu_findings_each(findings, collect_finding, &found), 0);
	/* clang-format off */
	static const char *const expected[] = {
		"resets 10.0.1.5:84 server medium 10: 10 of 20 connections were reset by the server",
		"unanswered 10.0.1.4:83 network medium 6: 6 of 6 connections got no answer",
		"refused 10.0.1.3:82 network high 5: 5 of 5 connections were refused by an ICMP error",
		"refused 10.0.1.2:81 server medium 4: 4 of 5 connections were refused",
	};
	/* clang-format on */
	assert_int_equal(found.n, COUNT(expected) + 1);
	assert_memory_equal(found.lines[0], "scan 10.0.0.9:0 client high ", 28); /* about 300: a sketch counts */
	unsigned long long about = strtoull(found.lines[0] + 28, NULL, 10);
	assert_in_range(about, 250, 300);
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_string_equal(found.lines[i + 1], expected[i]);
	}
	cu_findings_free(findings);
}

enum { SHAKEN = CU_SEEN_SYN | CU_SEEN_SYN_ACK | CU_SEEN_ACK, WITH_DATA = SHAKEN | CU_SEEN_DATA };

/* One finding for a scanner, and none for each of those it met, however often it asked. */
static void test_findings_scan_is_one_finding(void **state)
{
	(void)state;
	static const struct ending closed = {.close = CU_CLOSE_REFUSED, .completeness = CU_SEEN_SYN | CU_SEEN_RST};
	static const struct ending filtered = {.close = CU_CLOSE_UNANSWERED, .completeness = CU_SEEN_SYN};
	static const struct ending prohibited = {
		.close = CU_CLOSE_REFUSED, .completeness = CU_SEEN_SYN, .prohibited = true};
	static const struct ending open = {
		.close = CU_CLOSE_ABORTIVE, .closed_by = CU_PARTY_CLIENT, .completeness = SHAKEN};
	static const struct ending half = {.close = CU_CLOSE_HALF_OPEN, .completeness = CU_SEEN_SYN | CU_SEEN_SYN_ACK};
	struct found found = {.n = 0};
	struct cu_findings *findings = cu_findings_new();
	assert_non_null(findings);
	for (unsigned i = 0; i < 4; i++) { /* each port four times: more than it takes to call a server bad */
		add_connections(findings, "10.0.0.9", "10.0.1.8", 1, 20, false, closed);
		add_connections(findings, "10.0.0.9", "10.0.1.8", 100, 10, false, filtered);
		add_connections(findings, "10.0.0.9", "10.0.1.8", 200, 5, false, prohibited);
		add_connections(findings, "10.0.0.9", "10.0.1.8", 300, 2, false, open);
		add_connections(findings, "10.0.0.9", "10.0.1.8", 400, 3, false, half);
	}
	/* Somebody else who was refused there is told all the same. */
	add_connections(findings, "10.0.0.1", "10.0.1.8", 7, 3, true, closed);
	for (unsigned i = 0; i < 30; i++) {
		char ip[32];
		snprintf(ip, sizeof(ip), "10.0.2.%u", i);
		add_connections(findings, "10.0.0.7", ip, 22, 1, true, closed);
	}
	assert_int_equal(cu_findings_each(findings, collect_finding, &found), 0);
	assert_int_equal(found.n, 3);
	/* Each endpoint once, however often it was asked. */
	assert_non_null(strstr(found.lines[0], "probed 40 ports of 10.0.1.8: 5 open, 20 closed, 15 filtered"));
	assert_non_null(strstr(found.lines[1], "probed port 22 of 30 hosts: 0 open, 30 closed, 0 filtered"));
	assert_memory_equal(found.lines[2], "refused 10.0.1.8:7 ", 19);
	cu_findings_free(findings);
}

static void test_findings_of_sessions_that_end_unexpectedly(void **state)
{
	(void)state;
#define ABORTED(by_, kind_, from_)                   \
	((struct ending){.close = CU_CLOSE_ABORTIVE, \
	                 .closed_by = by_,           \
	                 .completeness = WITH_DATA,  \
	                 .reset = kind_,             \
	                 .reset_by = from_})
	static const struct ending half = {.close = CU_CLOSE_HALF_OPEN, .completeness = CU_SEEN_SYN | CU_SEEN_SYN_ACK};
	struct found found = {.n = 0};
	struct cu_findings *findings = cu_findings_new();
	assert_non_null(findings);
	add_connections(findings, "10.0.0.1", "10.0.1.1", 80, 4, true,
	                ABORTED(CU_PARTY_SERVER, CU_RESET_ON_DATA, CU_PARTY_SERVER));
	add_connections(findings, "10.0.0.1", "10.0.1.1", 80, 2, true,
	                ABORTED(CU_PARTY_SERVER, CU_RESET_IDLE, CU_PARTY_SERVER));
	add_connections(findings, "10.0.0.1", "10.0.1.2", 80, 7, true,
	                ABORTED(CU_PARTY_CLIENT, CU_RESET_ABORT, CU_PARTY_NETWORK));
	add_connections(findings, "10.0.0.1", "10.0.1.3", 80, 8, true,
	                ABORTED(CU_PARTY_CLIENT, CU_RESET_ON_DATA, CU_PARTY_CLIENT));
	/* A client that was done, and says so with a RST. */
	add_connections(findings, "10.0.0.1", "10.0.1.4", 80, 9, true,
	                ABORTED(CU_PARTY_CLIENT, CU_RESET_ABORT, CU_PARTY_CLIENT));
	for (unsigned i = 0; i < 20; i++) { /* of as many sources */
		char ip[32];
		snprintf(ip, sizeof(ip), "10.0.3.%u", i);
		add_connections(findings, ip, "10.0.1.5", 80, 1, true, half);
	}
	assert_int_equal(cu_findings_each(findings, collect_finding, &found), 0);
	static const char *const expected[] = {
		"resets 10.0.1.2:80 network medium 7: 7 of 7 connections were reset, 7 by a device on the path: the TTL is another",
		"resets 10.0.1.1:80 server medium 6: 6 of 6 connections were reset by the server: 4 on data it did not take, 2 after a silence",
		"aborts 10.0.1.3:80 client medium 8: 8 of 8 connections were reset by clients that left data unread",
		"half_open 10.0.1.5:80 client low 20: 20 of 20 handshakes were left half-open: no ACK followed the SYN-ACK",
	};
	assert_int_equal(found.n, COUNT(expected));
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_string_equal(found.lines[i], expected[i]);
	}
	cu_findings_free(findings);
#undef ABORTED
}

static void test_findings_in_bounded_memory(void **state)
{
	(void)state;
	static const struct ending refused = {
		CU_CLOSE_REFUSED, CU_PARTY_SERVER, CU_SEEN_SYN | CU_SEEN_RST, false, 0, 0};
	struct cu_findings *findings = cu_findings_new();
	struct found found = {.n = 0};
	size_t most = 0;
	add_connections(findings, "10.0.0.1", "10.0.1.2", 81, 5000, true, refused);
	for (unsigned i = 0; i < 200; i++) {
		char ip[32];
		snprintf(ip, sizeof(ip), "10.7.0.%u", i);
		add_connections(findings, "10.0.0.1", ip, 1, 1000, false, refused);
		struct mallinfo2 info = mallinfo2();
		most = info.uordblks > most ? info.uordblks : most;
	}
	assert_true(most < 16 << 20);
	assert_int_equal(cu_findings_each(findings, collect_finding, &found), 0);
	assert_int_equal(found.n, 2);
	assert_string_equal(found.lines[1],
	                    "refused 10.0.1.2:81 server high 5000: 5000 of 5000 connections were refused");
	cu_findings_free(findings);
}

/* ---- the stream ---- */

static int temporary_file(void)
{
	FILE *f = tmpfile();
	assert_non_null(f);
	int fd = dup(fileno(f));
	fclose(f);
	return fd;
}

/* A stream of one connection with two transactions, an old verdict, an unknown record, and totals. */
static int make_stream(bool with_trailer)
{
	int fd = temporary_file();
	struct cu_writer *writer;
	struct cu_buf buf = {0};
	struct world w;
	static const struct cu_stream_file file = {"x.pcap", 96, 1};
	static const struct cu_stream_header header = {"culprit test", &file, 1};
	world_init(&w);
	assert_int_equal(cu_writer_open(&writer, fd, &(struct cu_writer_config){0}), 0);
	assert_int_equal(cu_writer_header(writer, &header), 0);
	cu_connection_encode(&w.connection, &buf);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_CONNECTION, buf.data, buf.len), 0);
	cu_buf_clear(&buf);
	cu_analysis_encode(&w.analysis, &buf);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_ANALYSIS, buf.data, buf.len), 0);
	for (unsigned i = 0; i < 2; i++) {
		cu_buf_clear(&buf);
		w.transaction.number = i;
		cu_transaction_encode(&w.transaction, &buf);
		assert_int_equal(cu_writer_add(writer, CU_RECORD_TRANSACTION, buf.data, buf.len), 0);
		w.transaction.total_ns = 10 * MS;
	}
	cu_buf_clear(&buf);
	cu_verdict_encode(&(struct cu_verdict){.stream = 7, .number = 1, .rule = text("old")}, &buf);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_VERDICT, buf.data, buf.len), 0);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_OPTIONAL + 40, "hello", 5), 0);
	cu_buf_clear(&buf);
	cu_totals_encode(&(struct cu_totals){.n_packets = 12}, &buf);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_TOTALS, buf.data, buf.len), 0);
	assert_int_equal(with_trailer ? cu_writer_finish(writer) : cu_writer_flush(writer), 0);
	cu_writer_close(writer);
	cu_buf_release(&buf);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* With rules on top of the default ones. */
static int classify_by(const char *yaml, int in, int out, struct cu_classify_counts *counts)
{
	struct cu_rules *rules = cu_rules_new();
	struct cu_reader *reader;
	struct cu_writer *writer;
	cu_rules_add_default(rules);
	cu_rules_add_text(rules, "test.yaml", yaml, strlen(yaml));
	assert_int_equal(cu_rules_finish(rules), 0);
	assert_int_equal(cu_reader_open(&reader, in, "test"), 0);
	assert_int_equal(cu_writer_open(&writer, out, &(struct cu_writer_config){0}), 0);
	int error = cu_classify(&reader, 1, writer, rules, counts);
	cu_writer_close(writer);
	cu_reader_close(reader);
	cu_rules_free(rules);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	return error;
}

static int classify_to(int in, int out, struct cu_classify_counts *counts)
{
	return classify_by("", in, out, counts);
}

/* Connections to one server, each a try: a connect transaction of its client, and how that went. */
struct tries {
	struct cu_connection connection;
	struct cu_analysis analysis;
	struct cu_transaction transaction;
	unsigned n;
	int64_t apart_ns, last_ns; /* from one to the next; when the capture ended */
};

static int make_tries(const struct tries *tries)
{
	int fd = temporary_file();
	struct cu_writer *writer;
	struct cu_buf buf = {0};
	static const struct cu_stream_file file = {"x.pcap", 96, 1};
	static const struct cu_stream_header header = {"culprit test", &file, 1};
	assert_int_equal(cu_writer_open(&writer, fd, &(struct cu_writer_config){0}), 0);
	assert_int_equal(cu_writer_header(writer, &header), 0);
	for (unsigned i = 0; i < tries->n; i++) {
		struct cu_connection connection = tries->connection;
		struct cu_analysis analysis = tries->analysis;
		struct cu_transaction transaction = tries->transaction;
		connection.stream = analysis.stream = transaction.stream = i;
		connection.client = addr("10.0.0.42");
		connection.client_port = (uint16_t)(40000 + i);
		connection.server = addr("10.0.0.5");
		connection.server_port = 5432;
		connection.start_ns = connection.end_ns = transaction.start_ns = i * tries->apart_ns;
		connection.first_frame = connection.last_frame = i + 1;
		transaction.kind = CU_TXN_CONNECT;
		cu_buf_clear(&buf);
		cu_connection_encode(&connection, &buf);
		assert_int_equal(cu_writer_add(writer, CU_RECORD_CONNECTION, buf.data, buf.len), 0);
		cu_buf_clear(&buf);
		cu_analysis_encode(&analysis, &buf);
		assert_int_equal(cu_writer_add(writer, CU_RECORD_ANALYSIS, buf.data, buf.len), 0);
		cu_buf_clear(&buf);
		cu_transaction_encode(&transaction, &buf);
		assert_int_equal(cu_writer_add(writer, CU_RECORD_TRANSACTION, buf.data, buf.len), 0);
	}
	cu_buf_clear(&buf);
	cu_totals_encode(&(struct cu_totals){.n_packets = tries->n, .last_ns = tries->last_ns}, &buf);
	assert_int_equal(cu_writer_add(writer, CU_RECORD_TOTALS, buf.data, buf.len), 0);
	assert_int_equal(cu_writer_finish(writer), 0);
	cu_writer_close(writer);
	cu_buf_release(&buf);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Asserts what is found in them, a line each. */
static void expect_found(const struct tries *tries, const char *yaml, const char *expected)
{
	struct found found = {.n = 0};
	struct cu_classify_counts counts;
	struct cu_reader *reader;
	struct cu_record record;
	char lines[1024] = "";
	int in = make_tries(tries), out = temporary_file();
	assert_int_equal(classify_by(yaml, in, out, &counts), 0);
	assert_int_equal(cu_reader_open(&reader, out, "out"), 0);
	for (int item; (item = cu_reader_next(reader, &record)) > 0;) {
		struct cu_finding finding;
		if (item == CU_STREAM_RECORD && record.kind == CU_RECORD_FINDING) {
			assert_int_equal(cu_finding_decode(record.data, record.len, &finding), 0);
			collect_finding(&found, &finding);
		}
	}
	for (size_t i = 0; i < found.n; i++) {
		strcat(strcat(lines, found.lines[i]), "\n");
	}
	assert_string_equal(lines, expected);
	cu_reader_close(reader);
	close(in);
	close(out);
}

/* What refused a connection is told by what was captured, not by what a rule makes of it. */
static void test_findings_of_refusals_do_not_follow_rules(void **state)
{
	(void)state;
	struct tries tries = {.n = 3,
	                      .analysis = {.close = CU_CLOSE_REFUSED, .completeness = CU_SEEN_SYN},
	                      .transaction = {.outcome = CU_OUTCOME_REFUSED, .total_ns = MS}};
	tries.transaction.n_events = tries.transaction.n_kept = 1;
	tries.transaction.events[0] = (struct cu_event){.kind = CU_EVENT_RESET, .dir = CU_S2C, .count = 1};
	expect_found(&tries, "- {rule: ours, condition: outcome == refused, cause: network.connect}\n",
	             "refused 10.0.0.5:5432 server high 3: 3 of 3 connections were refused\n");
	tries.transaction.events[0] = (struct cu_event){.kind = CU_EVENT_ICMP, .dir = CU_S2C, .count = 1};
	expect_found(&tries, "- {rule: ours, condition: outcome == refused, cause: server.connect}\n",
	             "refused 10.0.0.5:5432 network high 3: 3 of 3 connections were refused by an ICMP error\n");
}

/* A SYN is unanswered when its sender would have sent it again. */
static void test_findings_of_syns_at_the_end_of_the_capture(void **state)
{
	(void)state;
	struct tries tries = {.n = 6,
	                      .apart_ns = S,
	                      .analysis = {.close = CU_CLOSE_UNANSWERED, .completeness = CU_SEEN_SYN},
	                      .transaction = {.outcome = CU_OUTCOME_UNANSWERED}};
	static const char rule[] = "- {rule: silent, for: server, condition: unanswered > 0, output: '{unanswered}'}\n";
	expect_found(&tries, rule, /* the last was sent after 5 s, which is when what was captured ends */
	             "unanswered 10.0.0.5:5432 network low 3: 3 of 6 connections got no answer\n"
	             "rule 10.0.0.5:5432 none none 1: 3\n");
	tries.last_ns = 8 * S - 1;
	expect_found(&tries, "", "unanswered 10.0.0.5:5432 network low 5: 5 of 6 connections got no answer\n");
	tries.last_ns = 8 * S;
	expect_found(&tries, "", "unanswered 10.0.0.5:5432 network medium 6: 6 of 6 connections got no answer\n");
	tries.last_ns = 0;
	tries.apart_ns = MS;
	expect_found(&tries, rule, "");
	tries.connection.side[CU_C2S].n_segments = 2; /* sent again, and nothing came */
	expect_found(&tries, "", "unanswered 10.0.0.5:5432 network medium 6: 6 of 6 connections got no answer\n");
	tries.connection.side[CU_C2S].n_segments = 1;
	tries.connection.end = CU_END_IDLE;
	expect_found(&tries, "", "unanswered 10.0.0.5:5432 network medium 6: 6 of 6 connections got no answer\n");
	tries.connection.end = CU_END_OPEN;
	tries.n = 10000; /* of which 3,001 were sent in the last 3 s */
	expect_found(&tries, rule,
	             "unanswered 10.0.0.5:5432 network low 7000: 7000 of 10000 connections got no answer\n"
	             "rule 10.0.0.5:5432 none none 1: 7000\n");
}

static void test_classify_writes_verdicts_behind_transactions(void **state)
{
	(void)state;
	/* clang-format off */
	static const struct {
		unsigned kind;
		const char *rule;
	} expected[] = {
		{CU_RECORD_CONNECTION, NULL}, {CU_RECORD_ANALYSIS, NULL}, {CU_RECORD_TRANSACTION, NULL},
		{CU_RECORD_VERDICT, "server thinks while both ends are alive"}, {CU_RECORD_TRANSACTION, NULL}, {CU_RECORD_VERDICT, ""},
		{CU_RECORD_OPTIONAL + 40, NULL}, {CU_RECORD_TOTALS, NULL},
	};
	/* clang-format on */
	struct cu_classify_counts counts;
	int in = make_stream(true), out = temporary_file();
	assert_int_equal(classify_to(in, out, &counts), 0);
	assert_int_equal(counts.n_transactions, 2);
	assert_int_equal(counts.n_slow, 1);
	assert_int_equal(counts.n_by_rule, 1);
	assert_int_equal(counts.n_blamed[CU_PARTY_SERVER], 1);
	struct cu_reader *reader;
	struct cu_record record;
	assert_int_equal(cu_reader_open(&reader, out, "out"), 0);
	assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_HEADER);
	assert_string_equal(cu_reader_header(reader)->files[0].path, "x.pcap");
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_RECORD);
		assert_int_equal(record.kind, expected[i].kind);
		if (record.kind == CU_RECORD_VERDICT) {
			struct cu_verdict verdict;
			assert_int_equal(cu_verdict_decode(record.data, record.len, &verdict), 0);
			assert_text(verdict.rule, expected[i].rule);
			assert_text(verdict.service, "postgresql");
		}
	}
	assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_TRAILER);
	assert_int_equal(cu_reader_next(reader, &record), CU_STREAM_END);
	cu_reader_close(reader);
	close(in);
	close(out);
}

static void test_classify_of_truncated_stream(void **state)
{
	(void)state;
	struct cu_classify_counts counts;
	int in = make_stream(false), out = temporary_file();
	assert_int_equal(classify_to(in, out, &counts), CU_ERR_TRUNCATED);
	assert_int_equal(counts.n_transactions, 2); /* what was whole is judged */
	close(in);
	close(out);
}

static void test_classify_again_gives_the_same(void **state)
{
	(void)state;
	struct cu_classify_counts counts, again;
	int in = make_stream(true), first = temporary_file(), second = temporary_file();
	assert_int_equal(classify_to(in, first, &counts), 0);
	assert_int_equal(classify_to(first, second, &again), 0);
	assert_memory_equal(&counts, &again, sizeof(counts));
	char a[4096], b[4096];
	assert_int_equal(lseek(first, 0, SEEK_SET), 0);
	ssize_t n = read(first, a, sizeof(a));
	assert_int_equal(read(second, b, sizeof(b)), n);
	assert_memory_equal(a, b, (size_t)n);
	close(in);
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_condition_true),
		cmocka_unit_test(test_condition_false),
		cmocka_unit_test(test_condition_of_missing_value),
		cmocka_unit_test(test_glob_patterns),
		cmocka_unit_test(test_glob_is_not_exponential),
		cmocka_unit_test(test_network_has_of_each_prefix),
		cmocka_unit_test(test_layers_first_match_wins),
		cmocka_unit_test(test_layers_later_file_is_asked_first),
		cmocka_unit_test(test_layers_same_name_takes_the_place),
		cmocka_unit_test(test_layers_what_is_taken_out_stays_out),
		cmocka_unit_test(test_layers_append_and_override),
		cmocka_unit_test(test_layers_override_keeps_other_keys),
		cmocka_unit_test(test_macro_of_any_unit),
		cmocka_unit_test(test_macro_of_names_and_texts),
		cmocka_unit_test(test_ignore_makes_not_slow),
		cmocka_unit_test(test_verdict_of_rule),
		cmocka_unit_test(test_verdict_text_of_missing_values),
		cmocka_unit_test(test_verdict_text_is_cut),
		cmocka_unit_test(test_ledger_verdicts),
		cmocka_unit_test(test_ledger_words_have_figures),
		cmocka_unit_test(test_services_thresholds),
		cmocka_unit_test(test_services_names),
		cmocka_unit_test(test_services_redefined_on_top),
		cmocka_unit_test(test_services_defined_last_win),
		cmocka_unit_test(test_slow_option_takes_the_default_s_place),
		cmocka_unit_test(test_explain_says_what_was_false),
		cmocka_unit_test(test_default_rules_are_the_file),
		cmocka_unit_test(test_default_rules_have_a_test_each),
		cmocka_unit_test(test_default_rules_cover_every_cause),
		cmocka_unit_test(test_shipped_files_pass_their_tests),
		cmocka_unit_test(test_given_baseline_leaves_the_rest_missing),
		cmocka_unit_test(test_many_rules_match_as_each_alone),
		cmocka_unit_test(test_unreachable_rules_never_match),
		cmocka_unit_test(test_impossible_rules_are_warned_of),
		cmocka_unit_test(test_fields_are_those_of_the_manual),
		cmocka_unit_test(test_fields_have_unique_names_and_sentences),
		cmocka_unit_test(test_judge_allocates_nothing),
		cmocka_unit_test(test_files_include_and_directory),
		cmocka_unit_test(test_files_missing),
		cmocka_unit_test(test_nearest_names),
		cmocka_unit_test(test_findings_of_endpoints),
		cmocka_unit_test(test_findings_are_bounded),
		cmocka_unit_test(test_findings_of_the_forgotten_are_unsure),
		cmocka_unit_test(test_findings_scan_is_one_finding),
		cmocka_unit_test(test_findings_of_sessions_that_end_unexpectedly),
		cmocka_unit_test(test_findings_in_bounded_memory),
		cmocka_unit_test(test_findings_of_refusals_do_not_follow_rules),
		cmocka_unit_test(test_findings_of_syns_at_the_end_of_the_capture),
		cmocka_unit_test(test_classify_writes_verdicts_behind_transactions),
		cmocka_unit_test(test_classify_of_truncated_stream),
		cmocka_unit_test(test_classify_again_gives_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
