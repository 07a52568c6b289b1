/*
 * Why each rule did or did not match.
 */
#include "lib/rules/internal.h"

#include <stdio.h>
#include <string.h>

enum { PART_CAP = 120 }; /* bytes of a condition shown */

/* The text of an expression as it stands in its file, on one line. */
static void add_source(struct cu_buf *buf, const struct cu_expr *expr)
{
	const char *text = expr->scalar->text + expr->start;
	size_t len = expr->len < PART_CAP ? expr->len : PART_CAP;
	char line[PART_CAP];
	size_t n = 0;
	bool blank = false;
	for (size_t i = 0; i < len; i++) {
		bool space = text[i] == ' ' || text[i] == '\n' || text[i] == '\t';
		if (!space || !blank) {
			line[n++] = space ? ' ' : text[i];
		}
		blank = space;
	}
	cu_diag_add_text(buf, line, n);
	if (len < expr->len) {
		cu_buf_add_cstr(buf, "...");
	}
}

static bool is_true(struct cu_rules *rules, const struct cu_expr *expr)
{
	int32_t step = cu_program_add_condition(&rules->program, expr);
	return step != CU_STEP_BROKEN && cu_program_finish(&rules->program) &&
	       cu_program_test(&rules->program, step, &rules->view);
}

/* "total is 1.20 s", once for each field of the part. */
static void add_values(struct cu_rules *rules, const struct cu_expr *expr, struct cu_buf *buf, size_t begin)
{
	if (!expr) {
		return;
	}
	if (expr->kind == CU_EXPR_FIELD || expr->kind == CU_EXPR_HAS) {
		struct cu_buf raw = {0}, value = {0};
		cu_field_format(expr->field, &rules->view, &raw);
		cu_buf_printf(&value, "%s is ", expr->field->name);
		cu_diag_add_text(&value, (const char *)raw.data, raw.len);
		buf->failed |= raw.failed || value.failed;
		cu_buf_release(&raw);
		if (!memmem(buf->data + begin, buf->len - begin, value.data, value.len)) {
			cu_buf_add_cstr(buf, buf->len > begin ? ", " : "");
			cu_buf_add(buf, value.data, value.len);
		}
		cu_buf_release(&value);
		return;
	}
	bool is_list = expr->kind == CU_EXPR_IN || expr->kind == CU_EXPR_MATCH;
	add_values(rules, expr->a, buf, begin);
	add_values(rules, is_list ? NULL : expr->b, buf, begin);
	for (const struct cu_expr *item = expr->items; item; item = item->next) {
		add_values(rules, item, buf, begin);
	}
}

/* The part that made expr come out other than wanted; then its values. */
static void add_reason(struct cu_rules *rules, const struct cu_expr *expr, bool wanted, struct cu_buf *buf)
{
	switch (expr->kind) {
	case CU_EXPR_MACRO:
		add_reason(rules, expr->a, wanted, buf);
		return;
	case CU_EXPR_NOT:
		add_reason(rules, expr->a, !wanted, buf);
		return;
	case CU_EXPR_AND:
	case CU_EXPR_OR:
		/* One side is enough to break a wanted and, or an unwanted or; else both did. */
		if ((expr->kind == CU_EXPR_AND) == wanted) {
			add_reason(rules, is_true(rules, expr->a) != wanted ? expr->a : expr->b, wanted, buf);
		} else {
			add_reason(rules, expr->a, wanted, buf);
			cu_buf_add_cstr(buf, "; ");
			add_reason(rules, expr->b, wanted, buf);
		}
		return;
	default:
		add_source(buf, expr);
		cu_buf_add_cstr(buf, wanted ? " is false (" : " is true (");
		add_values(rules, expr, buf, buf->len);
		cu_buf_add_u8(buf, ')');
		return;
	}
}

static void add_head(struct cu_rules *rules, const struct cu_transaction *transaction, struct cu_buf *buf)
{
	char total[CU_TEXT_CAP], slow[CU_TEXT_CAP];
	cu_buf_printf(buf, "%llu:%llu %s, %s, %s; slow over %s\n", (unsigned long long)transaction->stream,
	              (unsigned long long)transaction->number, cu_txn_kind_name(transaction->kind),
	              cu_outcome_name(transaction->outcome), cu_format_duration(total, transaction->total_ns),
	              cu_format_duration(slow, rules->derived.slow_over_ns));
}

static void add_text(struct cu_buf *buf, const char *label, struct cu_text text)
{
	if (text.len > 0) {
		cu_buf_printf(buf, "  %-8s ", label);
		cu_diag_add_text(buf, text.data, text.len);
		cu_buf_add_u8(buf, '\n');
	}
}

int cu_rules_explain(struct cu_rules *rules, const struct cu_facts *facts, struct cu_buf *buf)
{
	struct cu_verdict verdict;
	cu_rules_judge(rules, facts, &verdict);
	cu_derive(rules, facts);
	add_head(rules, facts->transaction, buf);
	if (!cu_is_judged(facts->transaction, rules->derived.slow_over_ns)) {
		cu_buf_add_cstr(buf, "  not slow, and neither refused nor reset: no rule is asked\n");
		return buf->failed ? CU_ERR_NOMEM : 0;
	}
	cu_buf_printf(buf, "  ledger   %s, %s, confidence %s\n", cu_party_name(rules->derived.blame),
	              cu_cause_name(rules->derived.cause), cu_confidence_name(rules->derived.confidence));
	cu_program_begin(&rules->program);
	for (size_t i = 0; i < rules->n_active; i++) {
		const struct cu_rule *rule = rules->rules[i];
		bool matches = cu_program_test(&rules->program, rule->step, &rules->view);
		cu_buf_printf(buf, "  %-8s ", matches ? "match" : "no");
		cu_diag_add_text(buf, rule->name, strlen(rule->name));
		if (!matches) {
			cu_buf_add_cstr(buf, ": ");
			if (rule->expr->kind == CU_EXPR_BOOL) {
				cu_buf_add_cstr(buf, "always false");
			} else {
				add_reason(rules, rule->expr, true, buf);
			}
		}
		cu_buf_add_u8(buf, '\n');
		if (matches) {
			size_t left = rules->n_active - i - 1;
			if (left > 0) {
				cu_buf_printf(buf, "           the first match wins: %zu rule%s not asked\n", left,
				              left == 1 ? " was" : "s were");
			}
			break;
		}
	}
	bool ignored = !verdict.slow && verdict.rule.len > 0 && verdict.blame == CU_PARTY_NONE;
	cu_buf_printf(buf, "  verdict  %s, %s, confidence %s%s\n", cu_party_name(verdict.blame),
	              cu_cause_name(verdict.cause), cu_confidence_name(verdict.confidence),
	              ignored ? " (ignored)" : "");
	add_text(buf, "why", verdict.why);
	add_text(buf, "advice", verdict.advice);
	return buf->failed || cu_rules_failed(rules) ? CU_ERR_NOMEM : 0;
}
