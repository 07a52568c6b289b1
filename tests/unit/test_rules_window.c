/*
 * Rules about endpoints: what is counted in which window, what is found, and
 * that memory is bounded and what had no room is said.
 */
#include "lib/rules/finding.h"
#include "lib/rules/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define S CU_NS_PER_S
#define START (INT64_C(1708090320) * S) /* a whole minute */

struct setting {
	struct cu_rules *rules;
	struct cu_windows *windows;
};

static struct setting set_up(const char *yaml)
{
	struct setting setting = {.rules = cu_rules_new()};
	assert_non_null(setting.rules);
	cu_rules_add_text(setting.rules, "test.yaml", yaml, strlen(yaml));
	if (cu_rules_finish(setting.rules) != 0 || cu_rules_n_warnings(setting.rules) > 0) {
		print_error("%s\n", cu_rules_message(setting.rules, 0)->text);
		fail();
	}
	assert_int_equal(cu_windows_new(&setting.windows, setting.rules), 0);
	return setting;
}

static void tear_down(struct setting *setting)
{
	cu_windows_free(setting->windows);
	cu_rules_free(setting->rules);
}

static struct cu_connection connection_of(unsigned client, unsigned server, int64_t at_ns)
{
	return (struct cu_connection){
		.client = {.family = 4, .bytes = {10, 0, (uint8_t)(client >> 8), (uint8_t)client}},
		.server = {.family = 4, .bytes = {10, 1, (uint8_t)(server >> 8), (uint8_t)server}},
		.client_port = 40000,
		.server_port = 80,
		.first_frame = 10,
		.last_frame = 20,
		.start_ns = START + at_ns,
		.end_ns = START + at_ns};
}

/* A transaction at a time, which the server thought about. */
static void ask(struct setting *setting, unsigned client, unsigned server, int64_t at_ns, int64_t think_ns)
{
	struct cu_transaction transaction = {.kind = CU_TXN_REQUEST,
	                                     .outcome = CU_OUTCOME_ANSWERED,
	                                     .certainty = 90,
	                                     .start_ns = START + at_ns,
	                                     .total_ns = think_ns,
	                                     .request = {.first_frame = 1, .last_frame = 2}};
	transaction.ledger[CU_SERVER_THINK].ns = think_ns;
	struct cu_connection connection = connection_of(client, server, at_ns);
	const struct cu_facts facts = {.transaction = &transaction, .connection = &connection};
	struct cu_verdict verdict;
	cu_rules_judge(setting->rules, &facts, &verdict);
	assert_int_equal(cu_windows_add_transaction(setting->windows, &facts, &verdict), 0);
}

static void reset(struct setting *setting, unsigned client, unsigned server, int64_t at_ns)
{
	const struct cu_connection connection = connection_of(client, server, at_ns);
	const struct cu_analysis analysis = {
		.completeness = CU_SEEN_SYN | CU_SEEN_DATA, .close = CU_CLOSE_ABORTIVE, .closed_by = CU_PARTY_SERVER};
	assert_int_equal(cu_windows_add_connection(setting->windows, &connection, &analysis, false), 0);
}

static void close_well(struct setting *setting, unsigned client, unsigned server, int64_t at_ns)
{
	const struct cu_connection connection = connection_of(client, server, at_ns);
	const struct cu_analysis analysis = {.completeness = CU_SEEN_SYN | CU_SEEN_DATA, .close = CU_CLOSE_CLEAN};
	assert_int_equal(cu_windows_add_connection(setting->windows, &connection, &analysis, false), 0);
}

static int add_line(void *context, const struct cu_finding *finding)
{
	char ip[CU_TEXT_CAP];
	assert_memory_equal(finding->kind.data, "rule", 4);
	cu_buf_printf(context, "%.*s %s:%u %s %s %llu: %.*s\n", (int)finding->rule.len, finding->rule.data,
	              cu_format_addr(ip, &finding->addr), finding->port, cu_party_name(finding->blame),
	              cu_confidence_name(finding->confidence), (unsigned long long)finding->count,
	              (int)finding->why.len, finding->why.data);
	return 0;
}

static void expect(struct setting *setting, const char *expected)
{
	struct cu_buf found = {0};
	assert_int_equal(cu_windows_each(setting->windows, add_line, &found), 0);
	assert_string_equal(cu_buf_cstr(&found), expected);
	cu_buf_release(&found);
	tear_down(setting);
}

static void test_windows_without_rules_about_endpoints(void **state)
{
	(void)state;
	struct setting setting = set_up("- {rule: x, condition: total > 1s}\n");
	assert_null(setting.windows);
	tear_down(&setting);
}

static const char often_slow[] = "- rule: often slow\n"
				 "  for: server\n"
				 "  over: 1m\n"
				 "  condition: transactions >= 20 and share(slow and cause == server.think) > 5%\n"
				 "  blame: server\n"
				 "  confidence: high\n"
				 "  output: '{share(slow and cause == server.think)} of {transactions} to {server}'\n";

static void test_share_of_slow_transactions(void **state)
{
	(void)state;
	struct setting setting = set_up(often_slow);
	for (unsigned i = 0; i < 20;
	     i++) { /* a second apart: 10 % of one server's are slow, 5 % of another's, all of a third's */
		ask(&setting, 1, 1, i * S, i < 2 ? 2 * S : S / 2);
		ask(&setting, 1, 2, i * S, i < 1 ? 2 * S : S / 2);
		if (i < 10) {
			ask(&setting, 1, 3, i * S, 2 * S); /* but those are few */
		}
	}
	expect(&setting, "often slow 10.1.0.1:80 server high 1: 10 % of 20 to 10.1.0.1:80\n");
}

static void test_what_a_rule_ignores_is_not_slow(void **state)
{
	(void)state;
	char yaml[1024];
	snprintf(yaml, sizeof(yaml), "%s- {ignore: first, condition: server.ip == 10.1.0.1}\n", often_slow);
	struct setting setting = set_up(yaml);
	for (unsigned i = 0; i < 20; i++) {
		ask(&setting, 1, 1, i * S, 2 * S);
		ask(&setting, 1, 2, i * S, 2 * S);
	}
	expect(&setting, "often slow 10.1.0.2:80 server high 1: 100 % of 20 to 10.1.0.2:80\n");
}

static const char resets[] = "- rule: resets\n"
			     "  for: server\n"
			     "  over: 1m\n"
			     "  condition: resets > 10\n"
			     "  output: '{resets} of {connections} from {window.start} within {window.length}'\n";

/* Of any eleven within three quarters of a window: also across a whole minute. */
static void test_window_sees_what_is_close_together(void **state)
{
	(void)state;
	for (int64_t from = 0; from < 60; from += 7) {
		struct setting setting = set_up(resets);
		for (unsigned i = 0; i < 11; i++) {
			reset(&setting, i, 1, (from + i * 4) * S);
		}
		struct cu_buf found = {0};
		assert_int_equal(cu_windows_each(setting.windows, add_line, &found), 0);
		assert_non_null(strstr(cu_buf_cstr(&found), "resets 10.1.0.1:80 none none 1: 11 of 11 from"));
		cu_buf_release(&found);
		tear_down(&setting);
	}
}

static void test_window_is_not_longer_than_it_says(void **state)
{
	(void)state;
	struct setting setting = set_up(resets);
	for (unsigned i = 0; i < 100; i++) { /* ten a minute */
		reset(&setting, i, 1, i * 6 * S);
	}
	expect(&setting, "");
}

static void test_windows_that_overlap_are_one(void **state)
{
	(void)state;
	struct setting setting = set_up(resets);
	for (unsigned i = 0; i < 360; i++) { /* one a second for six minutes, in no order */
		reset(&setting, i, 1, (i * 7 % 360) * S);
	}
	expect(&setting, "resets 10.1.0.1:80 none none 6: 60 of 60 from 2024-02-16T13:32:00.000Z within 60.0 s\n");
}

static void test_window_before_the_epoch(void **state)
{
	(void)state;
	struct setting setting = set_up(resets);
	for (unsigned i = 0; i < 11; i++) {
		reset(&setting, i, 1, -START - 5 * S + i * S);
	}
	expect(&setting, "resets 10.1.0.1:80 none none 1: 11 of 11 from 1969-12-31T23:59:45.000Z within 60.0 s\n");
}

/* A finding tells of the window with most of what its rule asks for, not of the first or of all that is bad. */
static void test_best_window_is_by_what_the_rule_names(void **state)
{
	(void)state;
	struct setting setting = set_up(
		"- {rule: t, for: server, over: 1m, condition: transactions >= 2, output: '{transactions} t'}\n"
		"- {rule: c, for: server, over: 1m, condition: connections >= 2, output: '{connections} c'}\n"
		"- {rule: r, for: server, over: 1m, condition: resets * 2 >= connections, output: '{resets} r'}\n"
		"- {rule: n, for: server, over: 1m, condition: server.port == 80, output: '{transactions} n'}\n");
	for (unsigned i = 0; i < 9; i++) { /* one minute has 2 transactions, a later one 16 */
		ask(&setting, 1, 1, (i < 2 ? 0 : 600) * S, S / 2);
		ask(&setting, 1, 1, 600 * S, S / 2);
	}
	for (unsigned i = 0; i < 5; i++) { /* one has 3 resets, another 7, a third 10 connections that end well */
		reset(&setting, 1, 1, (i < 3 ? 1200 : 1800) * S);
		reset(&setting, 1, 1, 1800 * S);
		close_well(&setting, 1, 1, 2400 * S);
		close_well(&setting, 1, 1, 2400 * S);
	}
	expect(&setting, "t 10.1.0.1:80 none none 2: 16 t\n"
	                 "c 10.1.0.1:80 none none 3: 10 c\n"
	                 "r 10.1.0.1:80 none none 4: 7 r\n"
	                 "n 10.1.0.1:80 none none 5: 16 n\n");
}

static void test_client_over_everything(void **state)
{
	(void)state;
	struct setting setting =
		set_up("- {rule: c, for: client, condition: 'count(total > 1s) == 3', output: '{client}'}\n");
	for (unsigned i = 0; i < 3; i++) {
		ask(&setting, 7, i, i * 86400 * S, 2 * S);
		ask(&setting, 8, i, i * 86400 * S, S / 2);
	}
	expect(&setting, "c 10.0.0.7:0 none none 1: 10.0.0.7\n");
}

static void test_findings_are_in_order_of_rules(void **state)
{
	(void)state;
	struct setting setting = set_up("- {rule: b, for: client, condition: transactions > 0}\n"
	                                "- {rule: a, for: server, condition: transactions > 0, blame: server}\n");
	ask(&setting, 1, 2, 5 * S, S);
	ask(&setting, 3, 4, 3 * S, S);
	expect(&setting, "b 10.0.0.3:0 none none 1: \nb 10.0.0.1:0 none none 1: \n"
	                 "a 10.1.0.4:80 server low 1: \na 10.1.0.2:80 server low 1: \n");
}

static void test_endpoints_in_bounded_memory(void **state)
{
	(void)state;
	enum { BEYOND = 1000 };
	struct setting setting = set_up("- {rule: c, for: client, condition: resets > 1}\n");
	for (unsigned i = 0; i < CU_WINDOW_ENDPOINT_CAP + BEYOND; i++) {
		reset(&setting, i, 1, 0);
	}
	assert_int_equal(cu_windows_n_dropped(setting.windows), BEYOND);
	reset(&setting, 5, 1, 0); /* who is known is counted on */
	assert_int_equal(cu_windows_n_dropped(setting.windows), BEYOND);
	expect(&setting, "c 10.0.0.5:0 none none 1: \n");
}

static int count_lines_of_second(void *context, const struct cu_finding *finding)
{
	*(unsigned *)context += finding->rule.len == strlen("second");
	return 0;
}

/* What a rule finds at every endpoint leaves room for what another finds at one. */
static void test_findings_of_a_rule_are_bounded(void **state)
{
	(void)state;
	enum { BEYOND = 500 };
	struct setting setting = set_up("- {rule: first, for: client, condition: transactions > 0}\n"
	                                "- {rule: second, for: server, condition: count(slow) > 0}\n");
	for (unsigned i = 0; i < CU_FINDING_CAP + BEYOND; i++) {
		ask(&setting, i, 1, 0, i == 7 ? 2 * S : S / 2);
	}
	unsigned n_of_second = 0;
	assert_int_equal(cu_windows_each(setting.windows, count_lines_of_second, &n_of_second), 0);
	assert_int_equal(n_of_second, 1);
	assert_int_equal(cu_windows_n_left_out(setting.windows), BEYOND);
	tear_down(&setting);
}

static void test_cells_in_bounded_memory(void **state)
{
	(void)state;
	enum { BEYOND = 1000 };
	struct setting setting = set_up(resets);
	for (unsigned i = 0; i < CU_WINDOW_CELL_CAP + BEYOND; i++) {
		reset(&setting, 1, 1, (int64_t)i * 15 * S);
	}
	assert_int_equal(cu_windows_n_dropped(setting.windows), BEYOND);
	struct mallinfo2 before = mallinfo2();
	for (unsigned i = 0; i < CU_WINDOW_CELL_CAP; i++) {
		ask(&setting, 1, 1, (int64_t)i * 15 * S, S / 2);
	}
	struct mallinfo2 after = mallinfo2();
	assert_int_equal(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd);
	tear_down(&setting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows_without_rules_about_endpoints),
		cmocka_unit_test(test_share_of_slow_transactions),
		cmocka_unit_test(test_what_a_rule_ignores_is_not_slow),
		cmocka_unit_test(test_window_sees_what_is_close_together),
		cmocka_unit_test(test_window_is_not_longer_than_it_says),
		cmocka_unit_test(test_windows_that_overlap_are_one),
		cmocka_unit_test(test_window_before_the_epoch),
		cmocka_unit_test(test_best_window_is_by_what_the_rule_names),
		cmocka_unit_test(test_client_over_everything),
		cmocka_unit_test(test_findings_are_in_order_of_rules),
		cmocka_unit_test(test_endpoints_in_bounded_memory),
		cmocka_unit_test(test_findings_of_a_rule_are_bounded),
		cmocka_unit_test(test_cells_in_bounded_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
