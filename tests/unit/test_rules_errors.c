/*
 * Rules files that are wrong, and what is said of them: each NAME.yaml of
 * tests/unit/rules has its messages in NAME.err. UPDATE=1 rewrites them.
 * Those whose name begins with "warnings" are right, but for their warnings.
 */
#include "lib/rules/rules.h"
#include "lib/rules/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_CAP = 1 << 16, LEAST_FILES = 100 };

/* The file as the messages should name it: by its last part. */
static void load(const char *name, struct cu_buf *messages, size_t *n_errors)
{
	struct cu_rules *rules = cu_rules_new();
	struct cu_fault fault = {0};
	assert_non_null(rules);
	int error = cu_rules_add_file(rules, name, &fault);
	assert_true(error == 0 || error == CU_ERR_RULES);
	int finished = cu_rules_finish(rules);
	*n_errors = cu_rules_n_errors(rules);
	assert_int_equal(finished, *n_errors > 0 ? CU_ERR_RULES : 0);
	for (size_t i = 0; i < cu_rules_n_messages(rules); i++) {
		cu_rules_message_format(cu_rules_message(rules, i), messages);
	}
	cu_rules_free(rules);
}

static bool check_file(const char *name, bool update)
{
	static char expected[TEXT_CAP];
	char path[300];
	struct cu_buf messages = {0};
	size_t n_errors;
	load(name, &messages, &n_errors);
	snprintf(path, sizeof(path), "%.*s.err", (int)(strlen(name) - strlen(".yaml")), name);
	FILE *f = fopen(path, update ? "w" : "r");
	bool good = f != NULL;
	if (f && update) {
		fputs(cu_buf_cstr(&messages), f);
	} else if (f) {
		expected[fread(expected, 1, sizeof(expected) - 1, f)] = '\0';
		good = strcmp(expected, cu_buf_cstr(&messages)) == 0;
	}
	if (f) {
		fclose(f);
	}
	bool is_right = strncmp(name, "warnings", strlen("warnings")) == 0;
	if (!good || (n_errors == 0) != is_right) {
		print_error("%s: found:\n%s\nexpected:\n%s\n", name, cu_buf_cstr(&messages),
		            f ? expected : "(no file)");
		good = false;
	}
	cu_buf_release(&messages);
	return good;
}

static int is_yaml(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

static void test_messages_of_broken_files(void **state)
{
	(void)state;
	char folder[1024], before[1024];
	const char *top = getenv("top"), *update = getenv("UPDATE");
	struct dirent **entries;
	snprintf(folder, sizeof(folder), "%s/tests/unit/rules", top ? top : ".");
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	int n = scandir(".", &entries, is_yaml, alphasort);
	assert_true(n >= LEAST_FILES);
	int n_wrong = 0;
	for (int i = 0; i < n; i++) {
		n_wrong += !check_file(entries[i]->d_name, update && update[0]);
		free(entries[i]);
	}
	free(entries);
	assert_int_equal(chdir(before), 0);
	assert_int_equal(n_wrong, 0);
}

/* Every prefix of a good file is read to its end: an error or none, never worse. */
static void test_prefixes_of_the_default_rules(void **state)
{
	(void)state;
	for (size_t len = 0; len < cu_rules_default_len; len += len < 2000 ? 1 : 97) {
		struct cu_rules *rules = cu_rules_new();
		int error = cu_rules_add_text(rules, "prefix", cu_rules_default, len);
		assert_true(error == 0 || error == CU_ERR_RULES);
		error = cu_rules_finish(rules);
		assert_true(error == 0 || error == CU_ERR_RULES);
		cu_rules_free(rules);
	}
}

static void test_errors_beyond_the_cap_are_counted(void **state)
{
	(void)state;
	struct cu_buf yaml = {0};
	for (int i = 0; i < 2 * CU_MESSAGE_CAP; i++) {
		cu_buf_printf(&yaml, "- {rule: r%d, condition: totl > %ds}\n", i, i);
	}
	struct cu_rules *rules = cu_rules_new();
	cu_rules_add_text(rules, "x", (const char *)yaml.data, yaml.len);
	assert_int_equal(cu_rules_finish(rules), CU_ERR_RULES);
	assert_int_equal(cu_rules_n_messages(rules), CU_MESSAGE_CAP);
	assert_int_equal(cu_rules_n_errors(rules), 2 * CU_MESSAGE_CAP);
	cu_rules_free(rules);
	cu_buf_release(&yaml);
}

/* A name is looked for among all there are only as long as it is shown: else this takes minutes. */
static void test_many_errors_among_many_names(void **state)
{
	(void)state;
	enum { MANY = 20000 };
	struct cu_buf yaml = {0};
	for (int i = 0; i < MANY; i++) {
		cu_buf_printf(&yaml, "- {rule: rule %d, condition: slow}\n", i);
	}
	for (int i = 0; i < MANY; i++) {
		cu_buf_printf(&yaml, "- {rule: rul %d, enabled: false}\n- services: {htp%d: 1s}\n", i, i);
	}
	struct cu_rules *rules = cu_rules_new();
	cu_rules_add_text(rules, "x", (const char *)yaml.data, yaml.len);
	assert_int_equal(cu_rules_n_errors(rules), 2 * MANY);
	assert_string_equal(cu_rules_message(rules, 0)->text,
	                    "there is no rule 'rul 0' to change; did you mean 'rule 0'?");
	cu_rules_free(rules);
	cu_buf_release(&yaml);
}

/* Warnings that come first do not keep an error from being shown. */
static void test_error_behind_many_warnings_is_kept(void **state)
{
	(void)state;
	struct cu_buf yaml = {0};
	for (int i = 0; i < 2 * CU_MESSAGE_CAP; i++) {
		cu_buf_printf(&yaml, "- {rule: r%d, condition: total > %dns}\n", i, i + 1);
	}
	cu_buf_add_cstr(&yaml, "- {rule: last, condition: totl > 1s}\n");
	struct cu_rules *rules = cu_rules_new();
	cu_rules_add_text(rules, "x", (const char *)yaml.data, yaml.len);
	assert_int_equal(cu_rules_finish(rules), CU_ERR_RULES);
	assert_int_equal(cu_rules_n_messages(rules), CU_MESSAGE_CAP);
	assert_int_equal(cu_rules_n_errors(rules), 1);
	const struct cu_rules_message *last = cu_rules_message(rules, CU_MESSAGE_CAP - 1);
	assert_int_equal(last->severity, CU_SEVERITY_ERROR);
	assert_string_equal(last->text, "unknown field 'totl'; did you mean 'total'?");
	cu_rules_free(rules);
	cu_buf_release(&yaml);
}

/* A condition that is put together by appending is no larger than one that is written at once, nor is more work. */
static void test_appended_parts_are_counted(void **state)
{
	(void)state;
	enum { MANY = 85000, ENOUGH = 2048 }; /* calls that do not fit on the stack; slow, and two parts more each */
	struct cu_buf yaml = {0};
	cu_buf_add_cstr(&yaml, "- {rule: a, condition: slow}\n- {macro: m, condition: slow}\n");
	for (int i = 0; i < MANY; i++) {
		cu_buf_add_cstr(&yaml, "- {rule: a, append: true, condition: and tls}\n");
		cu_buf_add_cstr(&yaml, i < ENOUGH ? "- {macro: m, append: true, condition: or tls}\n" : "");
	}
	struct cu_rules *rules = cu_rules_new();
	assert_int_equal(cu_rules_add_text(rules, "x", (const char *)yaml.data, yaml.len), 0);
	assert_int_equal(cu_rules_finish(rules), CU_ERR_RULES);
	assert_int_equal(cu_rules_n_errors(rules), 2);
	for (unsigned i = 0; i < 2; i++) {
		const struct cu_rules_message *message = cu_rules_message(rules, i);
		assert_string_equal(message->text, "a condition of more than 4096 parts; make macros or lists of them");
		assert_int_equal(message->line, 2 * ENOUGH + 1 + i);
	}
	cu_rules_free(rules);
	cu_buf_release(&yaml);
}

static void test_file_beyond_the_cap_is_refused(void **state)
{
	(void)state;
	size_t len = (size_t)CU_RULES_FILE_CAP + 1;
	char *yaml = malloc(len);
	assert_non_null(yaml);
	memset(yaml, '#', len);
	struct cu_rules *rules = cu_rules_new();
	assert_int_equal(cu_rules_add_text(rules, "big.yaml", yaml, len), CU_ERR_RULES);
	assert_string_equal(cu_rules_message(rules, 0)->text,
	                    "big.yaml: the file has 16777217 bytes; at most 16777216 are taken");
	cu_rules_free(rules);
	free(yaml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_of_broken_files),
		cmocka_unit_test(test_prefixes_of_the_default_rules),
		cmocka_unit_test(test_errors_beyond_the_cap_are_counted),
		cmocka_unit_test(test_many_errors_among_many_names),
		cmocka_unit_test(test_error_behind_many_warnings_is_kept),
		cmocka_unit_test(test_appended_parts_are_counted),
		cmocka_unit_test(test_file_beyond_the_cap_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
