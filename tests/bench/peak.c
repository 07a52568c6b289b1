/*
 * peak: runs a command and appends a line to a file: its peak memory and how long it took.
 *
 *     peak FILE PROGRAM [ARGUMENT ...]
 *
 * A line is the program's name, its peak resident set (or that of the largest program it ran) in KiB, and
 * seconds. Exits as it does.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 3) {
		errx(2, "usage: peak FILE PROGRAM [ARGUMENT ...]");
	}
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[2], argv + 2);
		err(127, "%s", argv[2]);
	}
	/* What it reads and writes is not ours: its neighbours must see it end. */
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	int status = 0;
	struct rusage usage;
	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0) {
		err(1, "%s", argv[2]);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	FILE *file = fopen(argv[1], "a");
	const char *slash = strrchr(argv[2], '/');
	if (file == NULL ||
	    fprintf(file, "%s %ld %.4f\n", slash != NULL ? slash + 1 : argv[2], usage.ru_maxrss, seconds) < 0 ||
	    fclose(file) != 0) {
		err(1, "%s", argv[1]);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
