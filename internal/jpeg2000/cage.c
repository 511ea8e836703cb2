//go:build native && cgo && linux

// The cage: what a helper gives up before it reads its first byte.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cage.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

static int limit(int resource, rlim_t n)
{
	struct rlimit l = {n, n};
	return setrlimit(resource, &l);
}

// close_files closes all files but standard input and output.
static void close_files(void)
{
	if (syscall(SYS_close_range, STDERR_FILENO, ~0U, 0) == 0)
		return;
	struct rlimit l;
	int most = 1 << 16;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < (rlim_t)most)
		most = (int)l.rlim_cur;
	for (int fd = STDERR_FILENO; fd < most; fd++)
		close(fd);
}

// landlock denies access to all files, connections and, where the kernel knows them,
// abstract sockets and signals to others. It returns the version in use, or 0.
static uint32_t landlock(void)
{
	struct {
		uint64_t files, network, scoped;
	} denied = {0};
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
	if (version < 1)
		return 0;
	// Rights by version: 13 in the first, then REFER, TRUNCATE, none, IOCTL_DEV.
	denied.files = (1 << 13) - 1;
	if (version >= 2)
		denied.files |= 1 << 13;
	if (version >= 3)
		denied.files |= 1 << 14;
	if (version >= 5)
		denied.files |= 1 << 15;
	size_t size = sizeof denied.files;
	if (version >= 4) {
		denied.network = 3; // BIND_TCP, CONNECT_TCP
		size = offsetof(__typeof__(denied), scoped);
	}
	if (version >= 6) {
		denied.scoped = 3; // ABSTRACT_UNIX_SOCKET, SIGNAL
		size = sizeof denied;
	}
	int rules = (int)syscall(SYS_landlock_create_ruleset, &denied, size, 0);
	if (rules < 0)
		return 0;
	long failed = syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
	return failed ? 0 : (uint32_t)version;
}

#ifdef ARCHITECTURE

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
// The lower half of an argument: both architectures store it first.
#define ARGUMENT(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (i)))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ALLOW(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), RETURN(SECCOMP_RET_ALLOW)

// filter_calls allows the calls that decoding needs: reading requests, writing pixels, and
// memory that cannot be executed. Any other call ends the process.
static int filter_calls(void)
{
	struct sock_filter program[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		ALLOW(brk),
		ALLOW(munmap),
		ALLOW(mremap),
		ALLOW(madvise),
		ALLOW(getrandom), // by the first malloc
		ALLOW(exit),
		ALLOW(exit_group),
		ALLOW(rt_sigreturn),
		ALLOW(restart_syscall),
		// read from standard input
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 0, 4),
		ARGUMENT(0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDIN_FILENO, 0, 1),
		RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		// write to standard output
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 4),
		ARGUMENT(0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDOUT_FILENO, 0, 1),
		RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		// mmap of memory that is not executable
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 4), // else to the last line but one
		ARGUMENT(2),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 2, 0),
		ARGUMENT(3),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof program / sizeof program[0], program};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}

#else

static int filter_calls(void)
{
	errno = ENOSYS;
	return -1;
}

#endif

int close_cage(uint32_t *filtered, uint32_t *landlock_version)
{
	close_files();
	prctl(PR_SET_NAME, "jpeg2000");
	if (prctl(PR_SET_DUMPABLE, 0) != 0 || // no core, which would have pixels in it
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    limit(RLIMIT_AS, HELPER_MEMORY) != 0 || limit(RLIMIT_CPU, HELPER_SECONDS) != 0 ||
	    limit(RLIMIT_CORE, 0) != 0 || limit(RLIMIT_FSIZE, 0) != 0 || limit(RLIMIT_NPROC, 0) != 0)
		return -1;
	*landlock_version = landlock();
	if (limit(RLIMIT_NOFILE, 0) != 0)
		return -1;
	*filtered = filter_calls() == 0;
	return 0;
}
