#include "cmd/common/private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".XXXXXX" /* of a temporary name: see mkostemp(3) */

/* Where -o goes: written as temporary, to become target. Empty: not in use. */
static char temporary[PATH_MAX];
static char target[PATH_MAX];

static bool failed; /* the output is not whole, and why was said */
static bool closed; /* its reader went away */

static const char *output_name(void)
{
	return prog_settings.output ? prog_settings.output : "standard output";
}

static void remove_temporary(int signal_number)
{
	if (temporary[0]) {
		unlink(temporary);
	}
	raise(signal_number); /* SA_RESETHAND: of its default action, once this handler returns */
}

static void remove_on_signals(void)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGTERM, SIGXCPU, SIGXFSZ};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct sigaction old, action = {.sa_handler = remove_temporary, .sa_flags = (int)SA_RESETHAND};
		sigfillset(&action.sa_mask);
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
			sigaction(numbers[i], &action, NULL);
		}
	}
}

_Noreturn static void give_up(int error)
{
	prog_error("%s: %s", prog_settings.output, strerror(error));
	exit(prog_finish(PROG_FAILED));
}

/* The permissions a new file would have, or those of the one it replaces. */
static mode_t target_mode(const struct stat *old)
{
	if (old) {
		return old->st_mode & 0777;
	}
	mode_t mask = umask(0);
	umask(mask);
	return 0666 & ~mask;
}

/* Names of what is open: /dev/stdout is a symbolic link, also to a regular file. */
static bool is_descriptor(const char *path)
{
	return strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/dev/std", 8) == 0 ||
	       strncmp(path, "/proc/", 6) == 0;
}

/* How much of the path the temporary name begins with: all, unless with the suffix its last part would be too long. */
static int length_before_suffix(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = strlen(path), before = slash ? (size_t)(slash + 1 - path) : 0;
	size_t most = before + NAME_MAX - strlen(SUFFIX);
	return (int)(len < most ? len : most);
}

/*
 * A descriptor that writes to what -o names. A symbolic link is not followed
 * but replaced, as by mv: in a folder that others write to it would say where
 * we write.
 */
static int open_output(const char *path)
{
	struct stat st;
	bool descriptor = is_descriptor(path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		give_up(EISDIR);
	}
	bool exists = lstat(path, &st) == 0 && !S_ISLNK(st.st_mode);
	if (descriptor || (exists && !S_ISREG(st.st_mode))) { /* a device or a FIFO cannot be renamed onto */
		int fd = open(path, O_WRONLY | O_CLOEXEC | (descriptor ? 0 : O_NOFOLLOW));
		if (fd < 0) {
			give_up(errno);
		}
		return fd;
	}
	if (exists && access(path, W_OK) != 0) {
		give_up(errno);
	}
	if (snprintf(target, sizeof(target), "%s", path) >= (int)sizeof(target)) {
		give_up(ENAMETOOLONG);
	}
	char name[PATH_MAX];
	if (snprintf(name, sizeof(name), "%.*s" SUFFIX, length_before_suffix(target), target) >= (int)sizeof(name)) {
		give_up(ENAMETOOLONG);
	}
	remove_on_signals();
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before); /* between its making and its being known */
	int fd = mkostemp(name, O_CLOEXEC);
	int error = errno;
	if (fd >= 0) {
		memcpy(temporary, name, sizeof(name));
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (fd < 0) {
		give_up(error);
	}
	if (fchmod(fd, target_mode(exists ? &st : NULL)) != 0) {
		give_up(errno);
	}
	return fd;
}

void prog_output_open(enum prog_output kind)
{
	if (prog_settings.output && strcmp(prog_settings.output, "-") == 0) {
		prog_settings.output = NULL;
	}
	if (prog_settings.output) {
		int fd = open_output(prog_settings.output);
		if (dup2(fd, STDOUT_FILENO) < 0) {
			give_up(errno);
		}
		close(fd);
	}
	if (kind == PROG_BINARY_OUTPUT && isatty(STDOUT_FILENO)) {
		prog_error(
			"%s is a terminal, and flow records are binary: name a file with -o, or pipe them into report",
			output_name());
		exit(prog_finish(PROG_USAGE));
	}
}

static int spare_file_in(const char *folder)
{
	char path[PATH_MAX];
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd < 0 && snprintf(path, sizeof(path), "%s/culprit.XXXXXX", folder) < (int)sizeof(path)) {
		/* A file system, or a kernel, without O_TMPFILE. */
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0) {
			unlink(path);
		}
	}
	return fd;
}

int prog_spare_file(void)
{
	const char *wished = getenv("TMPDIR");
	int fd = wished && wished[0] ? spare_file_in(wished) : -1;
	fd = fd >= 0 ? fd : spare_file_in("/var/tmp");
	if (fd < 0 && temporary[0]) {
		char beside[PATH_MAX];
		const char *slash = strrchr(temporary, '/');
		snprintf(beside, sizeof(beside), "%.*s", slash ? (int)(slash + 1 - temporary) : 1,
		         slash ? temporary : ".");
		fd = spare_file_in(beside);
	}
	return fd;
}

void prog_confine(unsigned keep)
{
	if (!cu_confine(keep | (temporary[0] ? CU_CONFINE_RENAME : 0U))) {
		prog_note("not confined: the system cannot, or something is preloaded");
	}
}

/* Remembers that the output is not whole, and says why unless that was said or is a closed pipe. */
static void fail(int error)
{
	closed = closed || error == EPIPE;
	if (!failed && !closed) {
		prog_error("%s: %s", output_name(), error ? strerror(error) : "write error");
	}
	failed = true;
}

int prog_output_failed(const struct cu_fault *fault)
{
	if (fault->code == CU_ERR_CLOSED || fault->sys_errno == EPIPE) {
		fail(EPIPE);
	} else if (fault->code == CU_ERR_IO) {
		fail(fault->sys_errno);
	} else if (!failed) {
		prog_error("%s: %s", output_name(), fault->text[0] ? fault->text : cu_error_text(fault->code));
		failed = true;
	}
	return PROG_FAILED;
}

int prog_output_abandon(void)
{
	failed = true;
	return PROG_FAILED;
}

int prog_output_write(const void *data, size_t len)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			bool gone = errno == EPIPE;
			fail(errno);
			return gone ? CU_ERR_CLOSED : CU_ERR_IO;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The cause of an earlier error of stdio's, which kept no errno. */
static int guess_error(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) ? EPIPE : 0;
}

static void close_output(void)
{
	bool had_error = ferror(stdout);
	if (fflush(stdout) != 0) {
		fail(errno);
	} else if (had_error) {
		fail(guess_error());
	}
	/* Some file systems report a full disk or quota only here. */
	if (fclose(stdout) != 0 && !failed && errno != EBADF) {
		fail(errno);
	}
}

/* Whether nothing was written: after a failure that is no reason to replace a file. */
static bool is_nothing(void)
{
	struct stat st;
	return temporary[0] && stat(temporary, &st) == 0 && st.st_size == 0;
}

/* Gives the file of -o its name, or removes it. */
static void settle(bool keep)
{
	if (!temporary[0]) {
		return;
	}
	if (keep && rename(temporary, target) != 0) {
		fail(errno);
		keep = false;
	}
	if (!keep) {
		unlink(temporary);
	}
	temporary[0] = '\0';
}

_Noreturn static void die_of_sigpipe(void)
{
	enum { SHELL_STATUS_SIGPIPE = 141 }; /* 128 + SIGPIPE, should it be blocked for good */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGPIPE);
	_exit(SHELL_STATUS_SIGPIPE);
}

int prog_finish(int status)
{
	prog_progress_clear();
	prog_options_release();
	close_output();
	settle(!failed && status != PROG_USAGE && !(status == PROG_FAILED && is_nothing()));
	if (closed) {
		die_of_sigpipe();
	}
	return failed ? prog_worse(status, PROG_FAILED) : status;
}

int prog_worse(int a, int b)
{
	static const int rank[] = {[PROG_OK] = 0, [PROG_BLAMED] = 1, [PROG_FAILED] = 2, [PROG_USAGE] = 3};
	return rank[a] >= rank[b] ? a : b;
}
