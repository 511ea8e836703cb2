//go:build native && cgo && linux

// The parent's side: starting the program once more, as a helper.

#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper.h"

// The file of this program, opened when it started: it may be replaced or out of reach later.
static int program = -1;

// Where the file was, for programs whose file could not be opened.
static const char *program_path;

// open_program runs before main. Without /proc, as in an empty chroot, the kernel still
// tells which path was executed.
__attribute__((constructor(200))) static void open_program(void)
{
	program_path = (const char *)getauxval(AT_EXECFN);
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (fd < 0 && program_path != NULL)
		fd = open(program_path, O_PATH | O_CLOEXEC);
	if (fd >= 0 && fd <= STDERR_FILENO) { // these are taken for helpers
		int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(fd);
		fd = higher;
	}
	program = fd;
}

// execute replaces the process by the helper. It makes system calls only, as the memory is
// that of the parent.
static void execute(int in, int out, char *const argv[], char *const envp[])
{
	struct sigaction plain = {.sa_handler = SIG_DFL};
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &plain, NULL); // what is ignored would stay ignored
	in = fcntl(in, F_DUPFD, STDERR_FILENO + 1);
	out = fcntl(out, F_DUPFD, STDERR_FILENO + 1);
	if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		return;
	close(in);
	close(out);
	if (program >= 0)
		syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
	execve("/proc/self/exe", argv, envp);
	if (program_path != NULL && program_path[0] == '/')
		execve(program_path, argv, envp);
}

int start_helper(int in, int out)
{
	static char name[] = HELPER_NAME;
	char *const argv[] = {name, NULL}, *const envp[] = {NULL};
	// The child shares this memory until it executes: no handler of Go may run in it.
	sigset_t all, before;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return -EINVAL;
	volatile int failed = 0;
	int pid = vfork();
	if (pid == 0) {
		execute(in, out, argv, envp);
		failed = errno;
		_exit(127);
	}
	int status = pid < 0 ? -errno : pid;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	// A child that could not execute is still there to be waited for: its end of the pipes is closed.
	if (failed != 0 && pid > 0) {
		syscall(SYS_wait4, pid, NULL, 0, NULL);
		status = -failed;
	}
	return status;
}
