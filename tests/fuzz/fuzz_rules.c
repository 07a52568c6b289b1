/*
 * A rules file and its expressions: read, checked, compiled, asked about two
 * transactions (all that can be known of one, and next to nothing) and about
 * the endpoints of one, explained, and its own tests run. What is right must judge the same twice.
 */
#include "lib/rules/rules.h"
#include "lib/rules/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void judge_twice(struct cu_rules *rules, const struct cu_facts *facts)
{
	struct cu_verdict first, second;
	struct cu_buf text = {0};
	cu_rules_judge(rules, facts, &first);
	assert(first.why.len <= CU_VERDICT_TEXT_CAP && first.advice.len <= CU_VERDICT_TEXT_CAP);
	cu_rules_judge(rules, facts, &second);
	assert(first.blame == second.blame && first.cause == second.cause && first.rule.data == second.rule.data &&
	       first.why.len == second.why.len && first.slow == second.slow);
	assert(cu_rules_explain(rules, facts, &text) == 0);
	cu_buf_release(&text);
}

static int take_finding(void *context, const struct cu_finding *finding)
{
	(void)context;
	assert(finding->count > 0 && finding->why.len <= CU_VERDICT_TEXT_CAP);
	return 0;
}

static void ask_about_endpoints(struct cu_rules *rules, const struct cu_facts *facts)
{
	struct cu_windows *windows;
	struct cu_verdict verdict;
	assert(cu_windows_new(&windows, rules) == 0);
	if (windows == NULL) {
		return;
	}
	cu_rules_judge(rules, facts, &verdict);
	assert(cu_windows_add_transaction(windows, facts, &verdict) == 0);
	assert(cu_windows_add_connection(windows, facts->connection, facts->analysis, false) == 0);
	assert(cu_windows_each(windows, take_finding, NULL) == 0);
	cu_windows_free(windows);
}

static void judge(struct cu_rules *rules)
{
	static const char name[] = "GET /a";
	const struct cu_transaction nothing = {.total_ns = 5 * CU_NS_PER_S};
	struct cu_transaction transaction = {.stream = 7,
	                                     .kind = CU_TXN_REQUEST,
	                                     .outcome = CU_OUTCOME_ANSWERED,
	                                     .certainty = 90,
	                                     .start_ns = INT64_C(1708090323123456789),
	                                     .total_ns = 2100 * CU_NS_PER_MS,
	                                     .acked_frame = 6,
	                                     .first_byte_ns = 2 * CU_NS_PER_S,
	                                     .name = {name, sizeof(name) - 1}};
	transaction.ledger[CU_SERVER_THINK].ns = 2000 * CU_NS_PER_MS;
	transaction.ledger[CU_NETWORK_RTT].ns = 100 * CU_NS_PER_MS;
	struct cu_connection connection = {.stream = 7, .client_port = 50000, .server_port = 5432};
	assert(cu_parse_addr("10.0.0.1", &connection.client) && cu_parse_addr("10.0.1.2", &connection.server));
	const struct cu_analysis analysis = {.rtt_ns = 20 * CU_NS_PER_MS, .completeness = CU_SEEN_SYN};
	judge_twice(rules, &(struct cu_facts){.transaction = &nothing});
	const struct cu_facts all = {
		.transaction = &transaction, .connection = &connection, .analysis = &analysis, .tls = true};
	judge_twice(rules, &all);
	ask_about_endpoints(rules, &all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (memmem(data, len, "include", strlen("include")) != NULL) {
		return 0; /* not to open what the fuzzer makes up */
	}
	struct cu_rules *rules = cu_rules_new();
	struct cu_buf text = {0};
	assert(rules != NULL);
	int added = cu_rules_add_text(rules, "fuzz.yaml", (const char *)data, len);
	int finished = cu_rules_finish(rules);
	assert((added == 0 && finished == 0) == (cu_rules_n_errors(rules) == 0));
	for (size_t i = 0; i < cu_rules_n_messages(rules); i++) {
		cu_rules_message_format(cu_rules_message(rules, i), &text);
	}
	if (finished == 0) {
		size_t n_failed;
		judge(rules);
		assert(cu_rules_run_tests(rules, &text, &n_failed) == 0);
	}
	cu_buf_release(&text);
	cu_rules_free(rules);
	return 0;
}
