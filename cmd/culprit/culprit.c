/*
 * culprit: starts the program of a command, or several as one (run).
 */
#include "cmd/culprit/culprit.h"

#include "cmd/common/common.h"
#include "lib/base/nearest.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CU_LIBEXECDIR
#define CU_LIBEXECDIR "/usr/local/libexec"
#endif

static bool want_exec_path;

/* clang-format off */
static const struct prog_option options[] = {
	{.name = "exec-path", .kind = PROG_FLAG, .value = &want_exec_path,
	 .help = "print the folder of the stages' programs and exit"},
	{0},
};
/* clang-format on */

static const struct prog_spec spec = {
	.name = "culprit",
	.summary = "say who made a TCP response slow: client, network or server",
	.operands = "command [argument ...]",
	.options = options,
	.notes = "Commands:\n"
		 "  run       captures in, a report out: the stages below in one command\n"
		 "  split     deal the packets of captures out to shards\n"
		 "  flowify   turn captures into flow records\n"
		 "  analyze   add TCP analysis, transactions and their ledgers\n"
		 "  classify  judge each transaction by rules\n"
		 "  report    show flow records to people and programs\n"
		 "  help      show the manual of a command\n"
		 "\n"
		 "Try: culprit run slow.pcap",
	.stop_at_operand = true,
};

/* The folder this program is in, without symbolic links; false where that cannot be known. */
static bool own_folder(char path[static PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
	if (len <= 0) {
		return false;
	}
	path[len] = '\0';
	char *slash = strrchr(path, '/');
	if (!slash) {
		return false;
	}
	*slash = '\0';
	return true;
}

/* PATH of a folder beside bin, as built or installed: "<prefix>/" and rest. False when it is not there. */
static bool find_beside(const char *rest, char path[static PATH_MAX])
{
	char folder[PATH_MAX];
	if (!own_folder(folder)) {
		return false;
	}
	char *slash = strrchr(folder, '/');
	if (!slash) {
		return false;
	}
	*slash = '\0';
	return snprintf(path, PATH_MAX, "%s/%s", folder, rest) < PATH_MAX && access(path, F_OK) == 0;
}

const char *culprit_exec_path(void)
{
	static char path[PATH_MAX];
	if (find_beside("libexec/culprit", path)) {
		return path;
	}
	if (access(CU_LIBEXECDIR "/culprit", F_OK) == 0) {
		return CU_LIBEXECDIR "/culprit";
	}
	prog_error("%s: the stages' programs are not there", CU_LIBEXECDIR "/culprit");
	exit(prog_finish(PROG_FAILED));
}

/* The path of a command's program; false when there is none of that name. */
static bool find_command(const char *name, char path[static PATH_MAX])
{
	struct stat st;
	return name[0] != '.' && !strchr(name, '/') &&
	       snprintf(path, PATH_MAX, "%s/%s", culprit_exec_path(), name) < PATH_MAX && stat(path, &st) == 0 &&
	       S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

_Noreturn static void refuse_command(const char *command)
{
	char near[CU_NEAREST_CAP + 1] = "";
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, command, strlen(command));
	cu_nearest_try(&nearest, "run");
	cu_nearest_try(&nearest, "help");
	DIR *folder = opendir(culprit_exec_path());
	struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		char path[PATH_MAX];
		unsigned distance = nearest.distance;
		const char *before = nearest.name;
		cu_nearest_try(&nearest, entry->d_name);
		if (nearest.name != before && !find_command(entry->d_name, path)) {
			nearest.name = before;
			nearest.distance = distance;
		} else if (nearest.name != before) {
			/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy): near, and so not longer than its room */
			nearest.name = strcpy(near, entry->d_name);
		}
	}
	if (folder) {
		closedir(folder);
	}
	if (nearest.name) {
		prog_usage("'%s' is no command; did you mean %s?", command, nearest.name);
	}
	prog_usage("'%s' is no command; culprit --help lists them", command);
}

/* Becomes the command's program. */
static int start_command(char **argv)
{
	char path[PATH_MAX];
	if (!find_command(argv[0], path)) {
		refuse_command(argv[0]);
	}
	signal(SIGPIPE, SIG_DFL);
	execv(path, argv);
	prog_error("%s: %s", path, strerror(errno));
	return prog_finish(PROG_FAILED);
}

/* Runs man on a page file, or by name; false when it could not show the page. */
static bool show_page(const char *file, const char *name)
{
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		if (file) {
			execlp("man", "man", "-l", file, (char *)NULL);
		} else {
			execlp("man", "man", name, (char *)NULL);
		}
		_exit(PROG_FAILED);
	}
	int status = -1;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return pid > 0 && (status == 0 || WIFSIGNALED(status));
}

static bool show_manual(const char *command)
{
	/* Commands and file formats; culprit's own page has no prefix, nor has flowrec(5). */
	static const char *const patterns[] = {
		"share/man/man1/culprit-%s.1", "share/man/man5/culprit-%s.5",    "share/man/man1/%s.1",
		"share/man/man5/%s.5",         "share/man/man1/culprit-%s.1.gz", "share/man/man5/culprit-%s.5.gz",
		"share/man/man1/%s.1.gz",      "share/man/man5/%s.5.gz",
	};
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		char rest[PATH_MAX], path[PATH_MAX];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		int len = snprintf(rest, sizeof(rest), patterns[i], command);
#pragma GCC diagnostic pop
		if (len < PATH_MAX && find_beside(rest, path)) {
			return show_page(path, NULL);
		}
	}
	return false;
}

static int help(int argc, char **argv)
{
	char dash_help[] = "--help";
	const char *command = argc > 1 ? argv[1] : "culprit";
	char path[PATH_MAX];
	bool program = strcmp(command, "run") == 0 || strcmp(command, "help") == 0 || strcmp(command, "culprit") == 0;
	if (!strchr(command, '/')) {
		if (show_manual(strcmp(command, "help") == 0 ? "culprit" : command)) {
			return prog_finish(PROG_OK);
		}
	}
	if (!program && !find_command(command, path)) {
		refuse_command(command);
	}
	char *arguments[] = {argc > 1 ? argv[1] : argv[0], dash_help, NULL};
	if (strcmp(command, "run") == 0) {
		return culprit_run(2, arguments);
	}
	if (program) {
		prog_start(&spec, 2, arguments);
	}
	return start_command(arguments);
}

int main(int argc, char **argv)
{
	struct prog_operands words = prog_start(&spec, argc, argv);
	if (want_exec_path) {
		puts(culprit_exec_path());
		return prog_finish(PROG_OK);
	}
	if (words.none) {
		prog_usage("no command");
	}
	if (strcmp(words.paths[0], "run") == 0) {
		return culprit_run((int)words.n, words.paths);
	}
	if (strcmp(words.paths[0], "help") == 0) {
		return help((int)words.n, words.paths);
	}
	return start_command(words.paths);
}
