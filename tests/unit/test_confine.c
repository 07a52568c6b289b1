#include "lib/base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Exit statuses of the confined child; 0 all is as it should be. */
enum { CANNOT = 100 };

static void *nothing(void *arg)
{
	return arg;
}

/* What is kept: a number for the first that is gone. */
static int check_kept(int in, int out)
{
	char byte = 1;
	pthread_t thread;
	if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1) {
		return 1;
	}
	if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0) {
		return 2;
	}
	char *memory = malloc(64 << 20);
	if (!memory) {
		return 3;
	}
	memset(memory, 1, 64 << 20);
	free(memory);
	return raise(SIGCONT) != 0 ? 4 : 0;
}

/* What is given up: a number for the first that is still there. */
static int check_gone(unsigned keep)
{
	if (fork() >= 0) {
		return 11;
	}
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0) {
		return 12;
	}
	execl("/bin/sh", "sh", "-c", "exit 13", (char *)NULL); /* returns when it failed */
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
		return 14;
	}
	if (ioctl(0, TIOCSTI, "x") == 0 || errno != EPERM) {
		return 15;
	}
	if ((open("/dev/null", O_RDONLY) >= 0) != ((keep & CU_CONFINE_FILES) != 0)) {
		return 16;
	}
	if ((kill(getpid(), 0) == 0) != ((keep & CU_CONFINE_CHILDREN) != 0)) {
		return 17;
	}
	bool removes = unlink("/nonexistent/file") != 0 && errno == ENOENT;
	return removes != (keep != 0 && keep != CU_CONFINE_CHILDREN) ? 18 : 0;
}

/* A build for a sanitizer or for coverage confines nothing. */
static void skip_unconfined(void)
{
#ifdef CU_UNCONFINED
	skip();
#endif
}

static void test_confine_gives_up(void **state)
{
	(void)state;
	skip_unconfined();
	static const unsigned keeps[] = {0, CU_CONFINE_RENAME, CU_CONFINE_FILES, CU_CONFINE_CHILDREN};
	for (size_t i = 0; i < sizeof(keeps) / sizeof(*keeps); i++) {
		int ends[2], status;
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			if (!cu_confine(keeps[i])) {
				_exit(CANNOT);
			}
			int wrong = check_kept(ends[0], ends[1]);
			_exit(wrong ? wrong : check_gone(keeps[i]));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		close(ends[0]);
		close(ends[1]);
		if (WEXITSTATUS(status) == CANNOT && prctl(PR_GET_SECCOMP) < 0) {
			skip(); /* a kernel without it */
		}
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

/* What is preloaded may need more. */
static void test_confine_not_with_preloaded(void **state)
{
	(void)state;
	skip_unconfined();
	assert_int_equal(setenv("LD_PRELOAD", "", 1), 0);
	assert_false(cu_confine(0));
	assert_int_equal(unsetenv("LD_PRELOAD"), 0);
	assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confine_gives_up),
		cmocka_unit_test(test_confine_not_with_preloaded),
	};
	return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
