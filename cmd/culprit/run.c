/*
 * culprit run: flowify | analyze | classify | report, as processes joined by
 * pipes. The same programs, the same bytes, one command.
 */
#include "cmd/culprit/culprit.h"

#include "cmd/common/common.h"
#include "lib/base/crew.h"
#include "lib/base/units.h"
#include "lib/report/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
	FLOWIFY,
	ANALYZE,
	CLASSIFY,
	REPORT,
	N_STAGES,
	PIPE_BYTES = 1 << 20, /* asked for: a block in one go; the default holds a sixteenth */
};

struct stage {
	const char *name;
	char **argv; /* ends with NULL; grows */
	size_t argc;
	volatile pid_t pid; /* 0 not running */
	int wait_status;
	bool killed; /* by us, for another's failure */
};

static struct stage stages[N_STAGES] = {
	{.name = "flowify"}, {.name = "analyze"}, {.name = "classify"}, {.name = "report"}};
static volatile sig_atomic_t caught;

static const char *filter, *format, *by, *fail_on;
static uint64_t top = UINT64_MAX;                  /* not given */
static int64_t slow_ns = -1, idle_timeout_ns = -1; /* -1: not given */
static uint64_t memory_bytes, n_jobs;
static bool ignore_vlan, ignore_tunnel, no_defaults, all;
static struct prog_list rules;

/* clang-format off */
/* The stage that a text is for parses it. */
static const struct prog_option options[] = {
	{.name = "filter", .letter = 'f', .kind = PROG_TEXT, .value = &filter, .arg = "FILTER",
	 .help = "only packets that match this pcap-filter(7) expression"},
	{.name = "rules", .letter = 'r', .kind = PROG_LIST, .value = &rules, .arg = "FILE",
	 .help = "rules on top of the default ones: a file, or a directory's *.yaml and *.yml files"},
	{.name = "no-defaults", .kind = PROG_FLAG, .value = &no_defaults,
	 .help = "without the rules that come with culprit: those of -r only"},
	{.name = "slow", .kind = PROG_DURATION, .value = &slow_ns, .arg = "DURATION",
	 .help = "what takes longer is slow, unless the rules say otherwise for its service",
	 .preset = "what the rules say, or 1s"},
	{.name = "format", .letter = 'F', .kind = PROG_TEXT, .value = &format, .arg = "FORMAT",
	 .choices = CU_REPORT_FORMAT_NAMES, .help = "how the report is written", .preset = "text"},
	{.name = "top", .letter = 'n', .kind = PROG_COUNT, .value = &top, .arg = "N",
	 .help = "how many of the slow transactions the text shows", .preset = "20"},
	{.name = "all", .letter = 'a', .kind = PROG_FLAG, .value = &all,
	 .help = "show every slow transaction; memory grows with their number"},
	{.name = "by", .kind = PROG_TEXT, .value = &by, .arg = "WHAT", .choices = CU_REPORT_BY_NAMES,
	 .help = "gather transactions in a table"},
	{.name = "fail-on", .kind = PROG_TEXT, .value = &fail_on, .arg = "PARTY", .choices = PROG_PARTIES,
	 .help = "exit with 3 when a slow transaction is blamed on PARTY"},
	{.name = "idle-timeout", .kind = PROG_DURATION, .value = &idle_timeout_ns, .arg = "DURATION",
	 .help = "a connection silent for this long is over", .preset = "130m"},
	{.name = "jobs", .letter = 'j', .kind = PROG_COUNT, .value = &n_jobs, .max = CU_CREW_CAP, .arg = "N",
	 .help = "connections judged at the same time; the report is the same", .preset = "one for each processor"},
	{.name = "max-memory", .kind = PROG_SIZE, .value = &memory_bytes, .arg = "SIZE",
	 .help = "what flowify, analyze and report may each take before long connections are cut in parts or told in short",
	 .preset = "see the manuals of the three"},
	{.name = "ignore-vlan", .kind = PROG_FLAG, .value = &ignore_vlan,
	 .help = "the same addresses in different VLANs are the same connection"},
	{.name = "ignore-tunnel", .kind = PROG_FLAG, .value = &ignore_tunnel,
	 .help = "the same addresses in different tunnels are the same connection"},
	{0},
};
/* clang-format on */

static const struct prog_spec spec = {
	.name = "culprit run",
	.summary = "say of each slow response in captures who is to blame",
	.operands = "[capture ...]",
	.options = options,
	.common = PROG_HAS_OUTPUT | PROG_HAS_PROGRESS,
	.notes = "With no capture, or when it is -, standard input is read.\n"
		 "Runs flowify | analyze | classify | report; culprit help COMMAND shows each one's manual.",
};

static void add(struct stage *stage, const char *argument)
{
	char **argv = realloc(stage->argv, (stage->argc + 2) * sizeof(*argv));
	if (!argv) {
		prog_error("%s", cu_error_text(CU_ERR_NOMEM));
		exit(prog_finish(PROG_FAILED));
	}
	argv[stage->argc++] = (char *)(uintptr_t)argument;
	argv[stage->argc] = NULL;
	stage->argv = argv;
}

static void add_value(struct stage *stage, const char *option, const char *value)
{
	if (value) {
		add(stage, option);
		add(stage, value);
	}
}

/* text must last as long as the stage's arguments. */
static void add_number(struct stage *stage, const char *option, uint64_t value, const char *unit,
                       char text[static CU_TEXT_CAP])
{
	snprintf(text, CU_TEXT_CAP, "%" PRIu64 "%s", value, unit);
	add_value(stage, option, text);
}

static void add_flag(struct stage *stage, const char *option, bool given)
{
	if (given) {
		add(stage, option);
	}
}

/* Of these formats it is known that they show no segment: none need go through the pipes. */
static bool shows_segments(void)
{
	return format && strcmp(format, "text") != 0 && strcmp(format, "json") != 0 && strcmp(format, "csv") != 0 &&
	       strcmp(format, "prometheus") != 0;
}

static void make_arguments(const struct prog_operands *captures)
{
	static char idle_text[CU_TEXT_CAP], jobs_text[CU_TEXT_CAP], memory_text[CU_TEXT_CAP], slow_text[CU_TEXT_CAP],
		top_text[CU_TEXT_CAP];

	for (size_t i = 0; i < N_STAGES; i++) {
		add(&stages[i], stages[i].name);
		add_flag(&stages[i], "--pipeline", true);
		add_flag(&stages[i], "--no-compress", i != REPORT);
		add_flag(&stages[i], "--verbose", prog_settings.verbose);
		add_flag(&stages[i], "--quiet", prog_settings.quiet);
	}
	/* A report that is written as it goes would be mixed with the progress line. */
	bool streaming = format && strcmp(format, "text") != 0 && !prog_settings.output && isatty(STDOUT_FILENO);
	struct stage *flowify = &stages[FLOWIFY], *analyze = &stages[ANALYZE], *classify = &stages[CLASSIFY],
		     *report = &stages[REPORT];
	add_flag(flowify, "--no-progress", prog_settings.no_progress || streaming);
	add_flag(flowify, "--ignore-vlan", ignore_vlan);
	add_flag(flowify, "--ignore-tunnel", ignore_tunnel);
	add_value(flowify, "--filter", filter);
	if (memory_bytes > 0) {
		add_number(flowify, "--max-memory", memory_bytes, "", memory_text);
		add_number(analyze, "--max-memory", memory_bytes, "", memory_text);
		add_number(report, "--max-memory", memory_bytes, "", memory_text);
	}
	if (n_jobs > 0) {
		add_number(analyze, "--jobs", n_jobs, "", jobs_text);
	}
	if (idle_timeout_ns >= 0) {
		add_number(flowify, "--idle-timeout", (uint64_t)idle_timeout_ns, "ns", idle_text);
	}
	add(flowify, "--");
	for (size_t i = 0; i < captures->n; i++) {
		add(flowify, captures->paths[i]);
	}
	add_flag(analyze, "--no-segments", !shows_segments());
	add_flag(classify, "--no-defaults", no_defaults);
	for (size_t i = 0; i < rules.n; i++) {
		add_value(classify, "--rules", rules.items[i]);
	}
	if (slow_ns >= 0) {
		add_number(classify, "--slow", (uint64_t)slow_ns, "ns", slow_text);
	}
	add_value(report, "--format", format);
	if (top != UINT64_MAX) {
		add_number(report, "--top", top, "", top_text);
	}
	add_flag(report, "--all", all);
	add_value(report, "--by", by);
	add_value(report, "--fail-on", fail_on);
	add_value(report, "--output", prog_settings.output);
}

static void kill_stages(void)
{
	for (size_t i = 0; i < N_STAGES; i++) {
		if (stages[i].pid > 0) {
			stages[i].killed = true;
			kill(stages[i].pid, SIGTERM);
		}
	}
}

static void on_signal(int number)
{
	caught = number;
	kill_stages();
}

/* Starts a stage that reads in and writes out; both are ours to close. */
static int start(struct stage *stage, int in, int out)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/%s", culprit_exec_path(), stage->name) >= (int)sizeof(path)) {
		return ENAMETOOLONG;
	}
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults, mask;
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigemptyset(&mask);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setsigmask(&attributes, &mask);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	/* All pipe ends are close-on-exec; only these two are wanted. */
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	pid_t pid;
	int error = posix_spawn(&pid, path, &actions, &attributes, stage->argv, environ);
	if (error == 0) {
		stage->pid = pid;
	} else {
		prog_error("%s: %s", path, strerror(error));
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static int start_all(void)
{
	int in = STDIN_FILENO, error = 0;
	for (size_t i = 0; i < N_STAGES && error == 0; i++) {
		int ends[2] = {-1, STDOUT_FILENO};
		if (i + 1 < N_STAGES) {
			if (pipe2(ends, O_CLOEXEC) != 0) {
				prog_error("pipe: %s", strerror(errno));
				error = errno;
				break;
			}
			fcntl(ends[1], F_SETPIPE_SZ, (int)PIPE_BYTES); /* if it may be; else it is as it is */
		}
		error = start(&stages[i], in, ends[1]);
		if (in != STDIN_FILENO) {
			close(in);
		}
		if (ends[1] != STDOUT_FILENO) {
			close(ends[1]);
		}
		in = ends[0];
	}
	if (in > STDERR_FILENO) {
		close(in);
	}
	return error;
}

static struct stage *find(pid_t pid)
{
	for (size_t i = 0; i < N_STAGES; i++) {
		if (stages[i].pid == pid) {
			return &stages[i];
		}
	}
	return NULL;
}

/*
 * Waits for all. One that failed to understand its command line or died ends
 * the others; one that failed otherwise has passed on what was whole.
 */
static void wait_all(void)
{
	for (size_t running = N_STAGES; running > 0;) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);
		if (pid < 0 && errno == EINTR) {
			continue;
		}
		struct stage *stage = pid > 0 ? find(pid) : NULL;
		if (pid > 0 && !stage) {
			continue; /* a child that came with us from before exec */
		}
		if (!stage) {
			return; /* fewer were started */
		}
		stage->pid = 0;
		stage->wait_status = status;
		running--;
		bool crashed = WIFSIGNALED(status) && WTERMSIG(status) != SIGPIPE && !stage->killed;
		if (crashed || (WIFEXITED(status) && WEXITSTATUS(status) == PROG_USAGE)) {
			kill_stages();
		}
	}
}

/* What became of a stage as a status, having said what it could not say itself. */
static int stage_status(const struct stage *stage)
{
	int status = stage->wait_status;
	if (WIFEXITED(status)) {
		int code = WEXITSTATUS(status);
		if (code >= PROG_OK && code <= PROG_BLAMED) {
			return code;
		}
		prog_error("%s could not be run: exit status %d", stage->name, code); /* of the loader, as a rule */
		return PROG_FAILED;
	}
	int number = WTERMSIG(status);
	if (number == SIGPIPE || stage->killed) {
		return PROG_OK; /* for another's reason, who says it */
	}
	prog_error("%s died: %s", stage->name, strsignal(number));
	return PROG_FAILED;
}

_Noreturn static void die_of(int number)
{
	signal(number, SIG_DFL);
	raise(number);
	_exit(PROG_FAILED);
}

int culprit_run(int argc, char **argv)
{
	struct prog_operands captures = prog_start(&spec, argc, argv);
	prog_refuse_terminal(&captures);
	make_arguments(&captures);

	struct sigaction action = {.sa_handler = on_signal};
	sigemptyset(&action.sa_mask);
	static const int numbers[] = {SIGHUP, SIGINT, SIGTERM};
	sigset_t set, before;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct sigaction old;
		sigaddset(&set, numbers[i]);
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
			sigaction(numbers[i], &action, NULL);
		}
	}
	sigprocmask(SIG_BLOCK, &set, &before); /* until all pids are known */
	int status = PROG_OK;
	if (start_all() != 0) {
		kill_stages();
		status = PROG_FAILED;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	wait_all();

	bool closed = WIFSIGNALED(stages[REPORT].wait_status) && WTERMSIG(stages[REPORT].wait_status) == SIGPIPE;
	for (size_t i = 0; i < N_STAGES; i++) {
		status = prog_worse(status, stage_status(&stages[i]));
		free(stages[i].argv);
	}
	if (caught || closed) {
		die_of(caught ? caught : SIGPIPE);
	}
	return prog_finish(status);
}
