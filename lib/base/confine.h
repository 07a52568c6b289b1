/*
 * Confinement: what a program gives up once its files are open, so that
 * whoever takes it over by a crafted capture has little to go on with.
 *
 * A seccomp filter of classic BPF (seccomp(2)), x86-64 and aarch64: reading,
 * writing, memory, threads, time, signals and the end stay; other system calls
 * fail with ENOSYS, as on a kernel that does not have them, so that a C library
 * that tries a newer one first goes on. Starting programs, sockets, and
 * looking at other processes are gone for good, by no_new_privs also for what
 * is set-user-ID.
 */
#ifndef CU_BASE_CONFINE_H
#define CU_BASE_CONFINE_H

#include <stdbool.h>

/* What is needed beyond descriptors that are open. */
enum {
	CU_CONFINE_RENAME = 1,   /* give a file its name, or remove it */
	CU_CONFINE_FILES = 2,    /* open and make files, and the above */
	CU_CONFINE_CHILDREN = 4, /* feed, stop and wait for programs that run already */
};

/*
 * Confines this process, its threads and those to come; keep is CU_CONFINE_
 * bits. False where the kernel cannot, or where it would break what others
 * have loaded into the process (LD_PRELOAD: debuggers, other allocators):
 * nothing has changed then. Builds for sanitizers and coverage (CU_UNCONFINED)
 * confine nothing, and say so by true.
 */
bool cu_confine(unsigned keep);

#endif
