/*
 * A library to be preloaded that makes one call fail.
 *
 *	FAULT=WHAT:N:HOW LD_PRELOAD=.../fault.so flowify ...
 *
 * WHAT is malloc (any allocation), read, write, or close (of standard output);
 * N counts from 1; HOW is short (a byte less than asked for, if that leaves
 * one), or an error: ENOMEM EIO ENOSPC EINTR. With FAULT_PROGRAM only the
 * program of that name is meddled with. With FAULT_COUNT=FILE a line of counts
 * is added to FILE at the end. stdio's own calls are inside libc: so that what
 * is printed comes this way too, stdout becomes a stream of ours.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own, under names that this library does not take. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

enum what { MALLOC, READ, WRITE, CLOSE, N_WHATS, NOTHING = N_WHATS };

static const char *const names[N_WHATS] = {"malloc", "read", "write", "close"};
static atomic_ulong counts[N_WHATS];
static enum what what = NOTHING;
static unsigned long when;
static int error;         /* 0: short */
static int count_fd = -1; /* opened at once: a confined program opens nothing later */

/* Whether this call is the one. */
static bool is_hit(enum what call)
{
	return atomic_fetch_add(&counts[call], 1) + 1 == when && what == call;
}

static int error_of(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {{"ENOMEM", ENOMEM}, {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}};
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		if (strcmp(errors[i].name, name) == 0) {
			return errors[i].number;
		}
	}
	return 0;
}

/* As libc's: goes on after a short write, not after an error, for which a stream of ours returns less. */
static ssize_t print(void *cookie, const char *data, size_t len)
{
	(void)cookie;
	size_t done = 0;
	ssize_t n = 0;
	while (done < len && (n = write(STDOUT_FILENO, data + done, len - done)) >= 0) {
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int close_printed(void *cookie)
{
	(void)cookie;
	return is_hit(CLOSE) ? errno = error, -1 : close(STDOUT_FILENO);
}

static void take_stdout(void)
{
	FILE *ours = fopencookie(NULL, "w", (cookie_io_functions_t){.write = print, .close = close_printed});
	if (ours) {
		stdout = ours;
	}
}

__attribute__((constructor)) static void begin(void)
{
	const char *program = getenv("FAULT_PROGRAM"), *fault = getenv("FAULT");
	if (program && strcmp(program, program_invocation_short_name) != 0) {
		return;
	}
	const char *count_file = getenv("FAULT_COUNT");
	if (count_file) {
		count_fd = open(count_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	}
	take_stdout();
	for (unsigned i = 0; i < N_WHATS; i++) {
		atomic_store(&counts[i], 0);
	}
	char word[16], how[16];
	unsigned long n;
	if (!fault || sscanf(fault, "%15[a-z]:%lu:%15s", word, &n, how) != 3) {
		return;
	}
	for (unsigned i = 0; i < N_WHATS; i++) {
		if (strcmp(names[i], word) == 0) {
			when = n;
			error = error_of(how);
			what = (enum what)i;
		}
	}
}

__attribute__((destructor)) static void end(void)
{
	if (count_fd < 0) {
		return;
	}
	char line[128];
	int len = snprintf(line, sizeof(line), "malloc %lu read %lu write %lu close %lu\n", counts[MALLOC],
	                   counts[READ], counts[WRITE], counts[CLOSE]);
	syscall(SYS_write, count_fd, line, (size_t)len);
}

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

void *malloc(size_t size)
{
	return is_hit(MALLOC) ? no_memory() : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return is_hit(MALLOC) ? no_memory() : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return is_hit(MALLOC) ? no_memory() : __libc_realloc(old, size);
}

/* The length to use instead, or -1 with errno. */
static ssize_t meddle(enum what call, size_t len)
{
	if (!is_hit(call)) {
		return (ssize_t)len;
	}
	if (error != 0) {
		errno = error;
		return -1;
	}
	return (ssize_t)(len > 1 ? len - 1 : len);
}

ssize_t read(int fd, void *data, size_t len)
{
	ssize_t n = meddle(READ, len);
	return n < 0 ? -1 : syscall(SYS_read, fd, data, (size_t)n);
}

/* As a build with _FORTIFY_SOURCE calls it. */
ssize_t __read_chk(int fd, void *data, size_t len, size_t room);
ssize_t __read_chk(int fd, void *data, size_t len, size_t room)
{
	(void)room;
	return read(fd, data, len);
}

ssize_t write(int fd, const void *data, size_t len)
{
	ssize_t n = meddle(WRITE, len);
	return n < 0 ? -1 : syscall(SYS_write, fd, data, (size_t)n);
}
