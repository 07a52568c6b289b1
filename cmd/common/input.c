#include "cmd/common/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_standard_input(const char *path)
{
	return strcmp(path, "-") == 0;
}

const char *prog_input_name(const char *path)
{
	return is_standard_input(path) ? "standard input" : path;
}

void prog_refuse_terminal(const struct prog_operands *operands)
{
	for (size_t i = 0; i < operands->n; i++) {
		if (is_standard_input(operands->paths[i]) && isatty(STDIN_FILENO)) {
			prog_usage("standard input is a terminal: name a file, or redirect one");
		}
	}
}

int prog_input_open(const char *path)
{
	if (is_standard_input(path)) {
		return STDIN_FILENO;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0) {
		prog_error("%s: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		prog_error("%s: is a directory", path);
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * In a pipeline, a stage that fails before it has written anything has said
 * why. Nothing is to be done or said then. Waits for the first byte.
 */
static void exit_when_nothing_comes(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	while (poll(&in, 1, -1) < 0 && errno == EINTR) {
	}
	int n_bytes = 0;
	if (ioctl(STDIN_FILENO, FIONREAD, &n_bytes) == 0 && n_bytes == 0) {
		exit(PROG_FAILED);
	}
}

struct prog_readers prog_readers_open(const struct prog_operands *operands)
{
	prog_refuse_terminal(operands);
	if (prog_settings.in_pipeline) {
		exit_when_nothing_comes();
	}
	struct prog_readers readers = {
		.readers = calloc(operands->n, sizeof(struct cu_reader *)),
		.fds = calloc(operands->n, sizeof(int)),
	};
	if (!readers.readers || !readers.fds) {
		prog_error("%s", cu_error_text(CU_ERR_NOMEM));
		readers.n_unopened = operands->n;
		return readers;
	}
	for (size_t i = 0; i < operands->n; i++) {
		int fd = prog_input_open(operands->paths[i]);
		if (fd < 0) {
			readers.n_unopened++;
			continue;
		}
		struct cu_reader *reader;
		int error = cu_reader_open(&reader, fd, prog_input_name(operands->paths[i]));
		if (error) {
			prog_error("%s: %s", prog_input_name(operands->paths[i]), cu_error_text(error));
			readers.n_unopened++;
			if (fd != STDIN_FILENO) {
				close(fd);
			}
			continue;
		}
		readers.readers[readers.n] = reader;
		readers.fds[readers.n++] = fd;
	}
	if (readers.n == 0) {
		prog_readers_close(&readers);
		readers.n_unopened = operands->n;
	}
	return readers;
}

/* The most likely mistake: a capture where its flow records are wanted. */
static bool is_capture(int fd)
{
	/* pcap in either byte order, with microseconds and nanoseconds; pcapng */
	static const uint8_t magics[][4] = {{0xd4, 0xc3, 0xb2, 0xa1},
	                                    {0xa1, 0xb2, 0xc3, 0xd4},
	                                    {0x4d, 0x3c, 0xb2, 0xa1},
	                                    {0xa1, 0xb2, 0x3c, 0x4d},
	                                    {0x0a, 0x0d, 0x0d, 0x0a}};
	uint8_t head[4];
	if (pread(fd, head, sizeof(head), 0) != sizeof(head)) {
		return false; /* a pipe: it has been read */
	}
	for (size_t i = 0; i < sizeof(magics) / sizeof(*magics); i++) {
		if (memcmp(head, magics[i], sizeof(head)) == 0) {
			return true;
		}
	}
	return false;
}

int prog_readers_status(const struct prog_readers *readers)
{
	int status = readers->n_unopened > 0 ? PROG_FAILED : PROG_OK;
	for (size_t i = 0; i < readers->n; i++) {
		const struct cu_fault *fault = cu_reader_fault(readers->readers[i]);
		if (!fault || fault->code == CU_OK) {
			continue;
		}
		status = PROG_FAILED;
		if (prog_settings.in_pipeline && fault->code == CU_ERR_TRUNCATED) {
			prog_output_abandon(); /* who started us says that the program upstream died */
			continue;
		}
		prog_error_fault(fault);
		if (fault->code == CU_ERR_FORMAT && is_capture(readers->fds[i])) {
			prog_error("this is a capture: culprit run does all, or flowify makes flow records of it");
		}
	}
	return status;
}

void prog_readers_close(struct prog_readers *readers)
{
	for (size_t i = 0; i < readers->n; i++) {
		cu_reader_close(readers->readers[i]);
		if (readers->fds[i] != STDIN_FILENO) {
			close(readers->fds[i]);
		}
	}
	free(readers->readers);
	free(readers->fds);
	*readers = (struct prog_readers){0};
}
