/*
 * Words for verdicts that no rule gave: texts of the same kind as a rule's
 * output and advice, each with the condition under which it fits.
 */
#include "lib/rules/internal.h"

#include <string.h>

/* clang-format off */
static const struct {
	const char *condition, *why, *advice;
} wordings[] = {
	{"outcome == refused and prohibited",
	 "a device on the path refused the connection to {server} with an ICMP error",
	 "look for a firewall between {client.ip} and {server.ip} that prohibits port {server.port}"},
	{"outcome == refused",
	 "{server} answered the SYN with a RST after {total}",
	 "check that the service runs on {server.ip} and listens on port {server.port}"},
	{"outcome == unanswered and kind == connect",
	 "no answer to the SYN to {server} came in {total}",
	 "check that {server.ip} is up and that no firewall drops port {server.port}"},
	{"outcome == abandoned",
	 "the client closed after {total}, before an answer came",
	 "find out how long the client is meant to wait"},
	{"outcome == reset and total <= slow_over and reset_by != none",
	 "the {reset_by} reset the connection after {total}, before the answer was whole",
	 "look for the reason in the log of the {reset_by}"},
	{"cause == server.think and has(response.first_byte) and request.ack_delay < 50% of server.think",
	 "{server} acknowledged the whole request after {request.ack_delay} and first answered {server.think} later",
	 "look at what {service} on {server.ip} did at {request.time}"},
	{"cause == server.think and has(response.first_byte)",
	 "{server} first answered {server.think} after the request had reached it",
	 "look at what {service} on {server.ip} did at {request.time}"},
	{"cause == server.think",
	 "{server} had the request for {server.think} and did not answer",
	 "look at what {service} on {server.ip} did at {request.time}"},
	{"cause == server.pause",
	 "{server} paused for {server.pause} in the middle of its answer, though it could have sent",
	 "look at what {service} on {server.ip} waits for while it answers"},
	{"cause == server.window",
	 "{server} read the request more slowly than it came: its window was closed or small for {server.window}",
	 "look at the program that reads on {server.ip}, and at its receive buffer"},
	{"cause == server.delayed_ack",
	 "the client waited {server.delayed_ack} for ACKs that {server} delayed",
	 "have the client write each request in one piece, or set TCP_NODELAY there"},
	{"cause == server.connect",
	 "{server} took {server.connect} longer to accept the connection than the path explains",
	 "look at the load of {server.ip} and the listen backlog of {service}"},
	{"cause == client.pause",
	 "the client paused for {client.pause} in the middle of its request, though it could have sent",
	 "look at what the program on {client.ip} waits for while it sends"},
	{"cause == client.window",
	 "the client read the answer more slowly than it came: its window was closed or small for {client.window}",
	 "look at the program that reads on {client.ip}, and at its receive buffer"},
	{"cause == client.delayed_ack",
	 "{server} waited {client.delayed_ack} for ACKs that the client delayed",
	 "have {service} write each answer in one piece, or set TCP_NODELAY there"},
	{"cause == network.transfer",
	 "moving {request.bytes} there and {response.bytes} back took {network.transfer} more than the round trips",
	 "compare with the bandwidth of the path; look for a full link, a queue or a shaper"},
	{"cause == network.loss",
	 "waiting for lost segments to be sent again took {network.loss}",
	 "look for drops and errors on the links between {client.ip} and {server.ip}"},
	{"cause == network.connect",
	 "the handshake waited {network.connect} for a lost SYN or SYN-ACK to be sent again",
	 "look for drops on the path, and for a full listen queue on {server.ip}"},
	{"cause == network.mtu",
	 "large segments vanished for {network.mtu} where small ones passed",
	 "look for a smaller MTU on the path, and for a firewall that drops ICMP"},
	{"cause == network.rtt",
	 "the round trips alone took {network.rtt}",
	 "the path is long: bring the ends closer, or make fewer round trips"},
	{"cause == unknown.capture",
	 "the capture lacks packets for {unknown.capture} of {total}",
	 "capture again without drops: a larger buffer, a shorter snap length, a filter"},
	{"true", "no cause stands out in {total}", "look at the segments with report --format segments"},
};
/* clang-format on */

enum { N_WORDINGS = sizeof(wordings) / sizeof(*wordings) };

/* A text of the table as a scalar of a file of its own. */
static struct cu_yaml *as_scalar(struct cu_rules *rules, const char *text)
{
	size_t len = strlen(text);
	struct cu_yaml *scalar = cu_heap_get(&rules->heap, sizeof(*scalar));
	const struct cu_rules_source *source = cu_rules_source_new(&rules->heap, "wording", text, len, 0);
	if (!scalar || !source) {
		return NULL;
	}
	*scalar = (struct cu_yaml){
		.kind = CU_YAML_SCALAR, .source = source, .end = len, .text = source->text, .len = len};
	return scalar;
}

bool cu_wordings_compile(struct cu_rules *rules)
{
	/* Names of rules are not for these texts. */
	static const struct cu_name_table none;
	struct cu_name_table macros = rules->macro_names, lists = rules->list_names;
	size_t n_macros = rules->n_macros, n_lists = rules->n_lists;
	rules->macro_names = rules->list_names = none;
	rules->n_macros = rules->n_lists = 0;

	struct cu_scope scope = cu_rules_scope(rules);
	bool good = true;
	rules->wordings = cu_heap_get(&rules->heap, N_WORDINGS * sizeof(*rules->wordings));
	for (size_t i = 0; rules->wordings && good && i < N_WORDINGS; i++) {
		struct cu_yaml *condition = as_scalar(rules, wordings[i].condition);
		struct cu_yaml *why = as_scalar(rules, wordings[i].why), *advice = as_scalar(rules, wordings[i].advice);
		if (!condition || !why || !advice) {
			break;
		}
		unsigned n_nodes = 0;
		struct cu_expr *expr = cu_expr_check_condition(
			&scope, cu_expr_parse(&rules->diag, condition, 0, condition->len, &n_nodes));
		rules->wordings[i].step = expr && expr->kind != CU_EXPR_ERROR
		                                  ? cu_program_add_condition(&rules->program, expr)
		                                  : CU_STEP_NO;
		rules->wordings[i].why = cu_template_parse(&scope, &rules->program, why);
		rules->wordings[i].advice = cu_template_parse(&scope, &rules->program, advice);
		good = rules->wordings[i].why && rules->wordings[i].advice;
	}
	rules->macro_names = macros;
	rules->list_names = lists;
	rules->n_macros = n_macros;
	rules->n_lists = n_lists;
	return good && !rules->heap.failed && !rules->program.failed;
}

const struct cu_wording *cu_wording_find(struct cu_rules *rules)
{
	size_t i = 0;
	while (i + 1 < N_WORDINGS && !cu_program_test(&rules->program, rules->wordings[i].step, &rules->view)) {
		i++;
	}
	return &rules->wordings[i];
}
