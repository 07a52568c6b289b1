#include "lib/capture/decoder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	STDERR_CAP = 160,
	/* Of a damaged file igzip keeps back its last buffer, or all of a small one, which gzip has read as soon. */
	IGZIP_AFTER_BYTES = 1024 * 1024,
};

/* The programs to try for a compression, the fastest first: with -dc all of them write the stream to standard output. */
static const struct command {
	enum cu_compression compression;
	const char *program;
} commands[] = {
	{CU_COMPRESSION_GZIP, "igzip"}, /* ISA-L: four times as fast */
	{CU_COMPRESSION_GZIP, "gzip"},  {CU_COMPRESSION_XZ, "xz"},
	{CU_COMPRESSION_LZ4, "lz4"},    {CU_COMPRESSION_BZIP2, "bzip2"},
};

struct child {
	struct cu_decoder base;
	struct cu_source *src;
	const char *program;
	pid_t pid; /* 0 once it was waited for */
	int stdout_fd;
	int stderr_fd;
	int feed_fd;   /* what the child reads, when it cannot read the input itself; else -1 */
	uint8_t *feed; /* CU_READ_BLOCK bytes: those that it gets next */
	size_t feed_pos, feed_len;
};

static void close_fd(int *fd)
{
	if (*fd >= 0) {
		close(*fd);
		*fd = -1;
	}
}

/* Takes the names that a program has for its standard input out of what it says: the input has another. */
static void drop_names(char *line)
{
	static const char *const names[] = {"(stdin): ", "stdin: ", " (null)"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *at = strstr(line, names[i]);
		if (at) {
			const char *rest = at + strlen(names[i]);
			memmove(at, rest, strlen(rest) + 1);
		}
	}
}

/*
 * Waits for the child, whose standard output has ended, and makes a fault of
 * its failure. What it wrote to standard error says it best.
 */
static void reap(struct child *c)
{
	char text[STDERR_CAP];
	size_t len = 0;
	ssize_t n;
	close_fd(&c->feed_fd);
	while (len < sizeof(text) - 1 && (n = read(c->stderr_fd, text + len, sizeof(text) - 1 - len)) != 0) {
		if (n < 0 && errno != EINTR) {
			break;
		}
		len += n > 0 ? (size_t)n : 0;
	}
	close_fd(&c->stderr_fd);
	text[len] = '\0';
	char *line = text + strspn(text, "\n");
	line[strcspn(line, "\n")] = '\0';

	int status = 0;
	pid_t pid;
	do {
		pid = waitpid(c->pid, &status, 0);
	} while (pid < 0 && errno == EINTR);
	c->pid = 0;
	if (pid < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
		return;
	}
	if (WIFSIGNALED(status)) {
		cu_fault_set(&c->src->fault, CU_ERR_IO, "%s: %s was ended by signal %d", c->src->name, c->program,
		             WTERMSIG(status));
		return;
	}
	/* gzip and xz; bzip2; igzip; lz4 */
	bool is_cut = strcasestr(line, "unexpected end") || strcasestr(line, "ends unexpectedly") ||
	              strcasestr(line, "not contain a complete") || strcasestr(line, "unfinished");
	if (is_cut) {
		cu_fault_set(&c->src->fault, CU_ERR_TRUNCATED, "%s: %s: ends in the middle of what is compressed",
		             c->src->name, cu_compression_name(c->src->compression));
		return;
	}
	bool has_prefix = strncmp(line, c->program, strlen(c->program)) == 0;
	drop_names(line);
	cu_fault_set(&c->src->fault, CU_ERR_FORMAT, "%s: %s%s%s (exit status %d)", c->src->name,
	             has_prefix ? "" : c->program, has_prefix ? "" : ": ", line[0] ? line : "failed",
	             WEXITSTATUS(status));
}

/* Sends what the child takes without waiting; it takes no more once it has seen its end. */
static void feed_child(struct child *c)
{
	ssize_t n = send(c->feed_fd, c->feed + c->feed_pos, c->feed_len - c->feed_pos, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0) {
		c->feed_pos += (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		close_fd(&c->feed_fd);
	}
}

static void refill_feed(struct child *c)
{
	ssize_t n = cu_source_read_fd(c->src, c->feed, CU_READ_BLOCK);
	c->feed_pos = 0;
	c->feed_len = n > 0 ? (size_t)n : 0;
	if (n <= 0) {
		close_fd(&c->feed_fd);
	}
}

/* Passes the input on to the child until it has written something, or ended. */
static void feed_until_output(struct child *c)
{
	while (c->feed_fd >= 0) {
		bool has_feed = c->feed_pos < c->feed_len;
		struct pollfd fds[2] = {
			{.fd = c->stdout_fd, .events = POLLIN},
			{.fd = has_feed ? c->feed_fd : c->src->fd, .events = has_feed ? POLLOUT : POLLIN},
		};
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR) {
				continue;
			}
			return;
		}
		if (fds[0].revents != 0) {
			return;
		}
		if (fds[1].revents == 0) {
			continue;
		}
		if (has_feed) {
			feed_child(c);
		} else {
			refill_feed(c);
		}
	}
}

static ssize_t child_read(struct cu_decoder *decoder, uint8_t *data, size_t room)
{
	struct child *c = (struct child *)decoder;
	if (c->pid == 0) {
		return 0;
	}
	ssize_t n;
	do {
		feed_until_output(c);
		n = read(c->stdout_fd, data, room);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		return n;
	}
	if (n < 0) {
		cu_fault_set_errno(&c->src->fault, errno, "%s: reading from %s", c->src->name, c->program);
		return -1;
	}
	reap(c);
	return c->src->fault.code ? -1 : 0;
}

static uint64_t child_read_bytes(const struct cu_decoder *decoder)
{
	const struct child *c = (const struct child *)decoder;
	if (c->src->is_seekable) {
		/* the child reads through the same file description */
		off_t at = lseek(c->src->fd, 0, SEEK_CUR);
		if (at >= c->src->start) {
			return (uint64_t)(at - c->src->start);
		}
	}
	return c->src->read_bytes;
}

static void child_free(struct cu_decoder *decoder)
{
	struct child *c = (struct child *)decoder;
	if (c->pid > 0) {
		int status;
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {
		}
	}
	close_fd(&c->stdout_fd);
	close_fd(&c->stderr_fd);
	close_fd(&c->feed_fd);
	free(c->feed);
	free(c);
}

/* Starts c->program with the three descriptors; 0 or an errno. */
static int spawn(struct child *c, int in_fd, int out_fd, int err_fd)
{
	/* No variable of ours changes what it does (GZIP, XZ_OPT), nor the language of its messages. */
	char path[4096];
	const char *search = getenv("PATH");
	int n = snprintf(path, sizeof(path), "PATH=%s", search ? search : "/usr/bin:/bin");
	char locale[] = "LC_ALL=C";
	char *const env[] = {n > 0 && (size_t)n < sizeof(path) ? path : locale, locale, NULL};

	char name[16];
	char option[] = "-dc";
	char *const argv[] = {name, option, NULL};
	(void)snprintf(name, sizeof(name), "%s", c->program);

	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = posix_spawn_file_actions_init(&actions);
	if (rc != 0) {
		return rc;
	}
	rc = posix_spawnattr_init(&attr);
	if (rc != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return rc;
	}
	sigset_t defaults;
	sigset_t mask;
	sigemptyset(&mask);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	rc = posix_spawn_file_actions_adddup2(&actions, in_fd, STDIN_FILENO);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
	rc = rc ? rc : posix_spawnattr_setsigdefault(&attr, &defaults);
	rc = rc ? rc : posix_spawnattr_setsigmask(&attr, &mask);
	rc = rc ? rc : posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	rc = rc ? rc : posix_spawnp(&c->pid, c->program, &actions, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int spawn_first(struct child *c, int in_fd, int out_fd, int err_fd)
{
	int rc = ENOENT;
	const size_t n = sizeof(commands) / sizeof(commands[0]);
	bool is_small = c->src->is_regular && c->src->size_bytes < IGZIP_AFTER_BYTES;
	for (size_t i = 0; i < n && rc != 0; i++) {
		const struct command *command = &commands[is_small ? n - 1 - i : i];
		if (command->compression == c->src->compression) {
			c->program = command->program;
			rc = spawn(c, in_fd, out_fd, err_fd);
		}
	}
	if (rc != 0) {
		c->pid = 0;
	}
	return rc;
}

/* The child's input: the file itself from its start, or a socket that is fed what was read already and the rest. */
static int open_child_input(struct child *c, const uint8_t *head, size_t head_len, int *in_fd)
{
	if (c->src->is_seekable) {
		*in_fd = c->src->fd;
		return lseek(c->src->fd, c->src->start, SEEK_SET) < 0 ? errno : 0;
	}
	c->feed = malloc(CU_READ_BLOCK);
	if (!c->feed || head_len > CU_READ_BLOCK) {
		return ENOMEM;
	}
	memcpy(c->feed, head, head_len);
	c->feed_len = head_len;
	int pair[2]; /* not a pipe: sending to one whose reader is gone raises no signal */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		return errno;
	}
	*in_fd = pair[0];
	c->feed_fd = pair[1];
	return 0;
}

static int start(struct child *c, const uint8_t *head, size_t head_len)
{
	int in_fd = -1;
	int out[2] = {-1, -1};
	int err[2] = {-1, -1};
	int rc = pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ? errno : 0;
	rc = rc ? rc : open_child_input(c, head, head_len, &in_fd);
	rc = rc ? rc : spawn_first(c, in_fd, out[1], err[1]);
	if (in_fd != c->src->fd) {
		close_fd(&in_fd);
	}
	close_fd(&out[1]);
	close_fd(&err[1]);
	c->stdout_fd = out[0];
	c->stderr_fd = err[0];
	if (rc == 0) {
		(void)fcntl(c->stdout_fd, F_SETPIPE_SZ, CU_PIPE_BYTES); /* only speed depends on it */
	}
	return rc;
}

struct cu_decoder *cu_child_new(struct cu_source *src, const uint8_t *head, size_t head_len)
{
	struct child *c = calloc(1, sizeof(*c));
	if (!c) {
		cu_fault_set(&src->fault, CU_ERR_NOMEM, "%s: no memory for its decompressor", src->name);
		return NULL;
	}
	/* its standard output and standard error, and what it is fed by when it cannot read the input itself */
	size_t n_files = src->is_seekable ? 2 : 3;
	c->base = (struct cu_decoder){
		.read = child_read, .read_bytes = child_read_bytes, .free = child_free, .n_files = n_files};
	c->src = src;
	c->program = "decompressor";
	c->stdout_fd = -1;
	c->stderr_fd = -1;
	c->feed_fd = -1;
	int rc = start(c, head, head_len);
	if (rc != 0) {
		cu_fault_set_errno(&src->fault, rc, "%s: is compressed with %s, and %s cannot be run", src->name,
		                   cu_compression_name(src->compression), c->program);
		child_free(&c->base);
		return NULL;
	}
	return &c->base;
}
