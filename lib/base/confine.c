#include "lib/base/confine.h"

#include <stdlib.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(CU_UNCONFINED)

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* In the order of how often they are called: the filter goes through them one by one. */
static const int always[] = {
	SYS_read,
	SYS_write,
	SYS_futex,
	SYS_lseek,
	SYS_munmap,
	SYS_mremap,
	SYS_brk,
	SYS_madvise,
	SYS_ppoll,
	SYS_readv,
	SYS_writev,
	SYS_pread64,
	SYS_pwrite64,
	SYS_close,
	SYS_fstat,
	SYS_newfstatat,
	SYS_fcntl,
	SYS_dup,
	SYS_dup3,
	SYS_tgkill,
	SYS_getpid,
	SYS_gettid,
	SYS_set_robust_list,
	SYS_sched_yield,
	SYS_sched_getaffinity,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_nanosleep,
	SYS_gettimeofday,
	SYS_getrandom,
	SYS_prlimit64,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sigaltstack,
	SYS_restart_syscall,
	SYS_uname,
	SYS_umask,
	SYS_fadvise64,
	SYS_fsync,
	SYS_ftruncate,
	SYS_getrlimit,
	SYS_exit,
	SYS_exit_group,
#ifdef SYS_rseq
	SYS_rseq,
#endif
#ifdef SYS_poll /* the calls of x86-64 that aarch64 never had */
	SYS_poll,
	SYS_dup2,
	SYS_stat,
	SYS_lstat,
	SYS_arch_prctl,
	SYS_time,
#endif
};

static const int children[] = {SYS_wait4, SYS_kill, SYS_sendto};

static const int renaming[] = {
	SYS_renameat, SYS_renameat2, SYS_unlinkat, SYS_fchmod,
#ifdef SYS_rename
	SYS_rename,   SYS_unlink,
#endif
};

static const int files[] = {
	SYS_openat, SYS_fchmodat, SYS_readlinkat, SYS_faccessat, SYS_mkdirat, SYS_getcwd, SYS_linkat,
#ifdef SYS_open
	SYS_open,   SYS_access,   SYS_readlink,   SYS_link,
#endif
};

enum {
	N_ALWAYS = sizeof(always) / sizeof(*always),
	N_CHILDREN = sizeof(children) / sizeof(*children),
	N_RENAMING = sizeof(renaming) / sizeof(*renaming),
	N_FILES = sizeof(files) / sizeof(*files),
	/* Two for each call; the others in full. */
	FILTER_CAP = 64 + 2 * (N_ALWAYS + N_CHILDREN + N_RENAMING + N_FILES),
};

struct filter {
	struct sock_filter code[FILTER_CAP];
	unsigned short n;
};

static void add(struct filter *filter, unsigned short code, unsigned char if_true, unsigned char if_false, unsigned k)
{
	filter->code[filter->n++] = (struct sock_filter){code, if_true, if_false, k};
}

static void give(struct filter *filter, unsigned answer)
{
	add(filter, BPF_RET | BPF_K, 0, 0, answer);
}

static void load(struct filter *filter, size_t offset)
{
	add(filter, BPF_LD | BPF_W | BPF_ABS, 0, 0, (unsigned)offset);
}

static void allow(struct filter *filter, const int *calls, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		add(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)calls[i]);
		give(filter, SECCOMP_RET_ALLOW);
	}
}

enum { EQUAL = BPF_JEQ, HAS_BITS = BPF_JSET };

/* A call that is allowed, but for this in its argument arg, of which the lower half is looked at. */
static void allow_unless(struct filter *filter, int call, unsigned arg, unsigned test, unsigned value)
{
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, (unsigned)call);
	load(filter, offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t)); /* little-endian */
	add(filter, (unsigned short)(BPF_JMP | test | BPF_K), 1, 0, value);
	give(filter, SECCOMP_RET_ALLOW);
	give(filter, SECCOMP_RET_ERRNO | EPERM);
}

static void make_filter(struct filter *filter, unsigned keep)
{
	filter->n = 0;
	load(filter, offsetof(struct seccomp_data, arch));
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
	give(filter, SECCOMP_RET_ERRNO | ENOSYS);
	load(filter, offsetof(struct seccomp_data, nr));
	allow(filter, always, N_ALWAYS);
	if (keep & CU_CONFINE_CHILDREN) {
		allow(filter, children, N_CHILDREN);
	}
	if (keep & (CU_CONFINE_RENAME | CU_CONFINE_FILES)) {
		allow(filter, renaming, N_RENAMING);
	}
	if (keep & CU_CONFINE_FILES) {
		allow(filter, files, N_FILES);
	}
	/* No memory becomes code, and no key is pressed on the terminal in another's name. */
	allow_unless(filter, SYS_mmap, 2, HAS_BITS, PROT_EXEC);
	allow_unless(filter, SYS_mprotect, 2, HAS_BITS, PROT_EXEC);
	allow_unless(filter, SYS_ioctl, 1, EQUAL, TIOCSTI);
	/* A thread, but no process. */
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_clone);
	give(filter, SECCOMP_RET_ERRNO | ENOSYS);
	load(filter, offsetof(struct seccomp_data, args));
	add(filter, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_THREAD);
	give(filter, SECCOMP_RET_ALLOW);
	give(filter, SECCOMP_RET_ERRNO | EPERM);
}

bool cu_confine(unsigned keep)
{
	if (getenv("LD_PRELOAD") != NULL) {
		return false;
	}
	struct filter filter;
	make_filter(&filter, keep);
	const struct sock_fprog program = {.len = filter.n, .filter = filter.code};
	/* Without the slower execution that a browser's sandbox wants: nothing of another's is executed here. */
	const unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0;
}

#else

bool cu_confine(unsigned keep)
{
	(void)keep;
#ifdef CU_UNCONFINED
	return true; /* as the build wants it */
#else
	return false;
#endif
}

#endif
