//go:build native && cgo && linux

// The helper's side: a loop that reads codestreams and writes pixels. The program enters it
// before main, so that the runtime of Go, which needs many more system calls, never starts.

#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cage.h"
#include "decode.h"
#include "helper.h"

// read_fully reads n bytes, or ends the process: the parent has ended.
static void read_fully(void *p, size_t n)
{
	while (n > 0) {
		ssize_t got = read(STDIN_FILENO, p, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			_exit(0);
		p = (char *)p + got;
		n -= (size_t)got;
	}
}

static void write_fully(const void *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(STDOUT_FILENO, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			_exit(0);
		p = (const char *)p + put;
		n -= (size_t)put;
	}
}

// serve answers one request.
static void serve(void)
{
	static struct buffer data, pixels;
	struct request q;
	read_fully(&q, sizeof q);
	if (q.magic != REQUEST_MAGIC || q.size == 0 || q.size > MAX_DATA || q.reduce > 32)
		_exit(2);
	if (reserve(&data, q.size) == NULL)
		_exit(3);
	read_fully(data.data, q.size);
	struct reply r;
	memset(&r, 0, sizeof r);
	char text[MAX_TEXT + 1] = "";
	r.status = decode(data.data, &q, &r, &pixels, text);
	r.magic = REPLY_MAGIC;
	r.sequence = q.sequence;
	if (r.status != REPLY_OK)
		r.size = (uint32_t)strlen(text);
	// One call, as each one may wake the parent.
	if (r.status == REPLY_OK) {
		memcpy(pixels.data, &r, sizeof r);
		write_fully(pixels.data, sizeof r + r.size);
	} else {
		write_fully(&r, sizeof r);
		write_fully(text, r.size);
	}
	release(&data);
	release(&pixels);
}

// A helper is recognised by its arguments alone: it needs neither files nor an environment.
__attribute__((constructor(201))) static void helper(int argc, char **argv)
{
	if (argc != 1 || argv[0] == NULL || strcmp(argv[0], HELPER_NAME) != 0)
		return;
	// It ends with its parent: at once by this signal, and by the end of its input in any case.
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	// What a tile needs is kept for the next one.
	mallopt(M_MMAP_THRESHOLD, KEPT);
	mallopt(M_TRIM_THRESHOLD, KEPT);
	mallopt(M_TOP_PAD, 1 << 20);
	struct greeting g = {.magic = GREETING_MAGIC};
	if (close_cage(&g.seccomp, &g.landlock) != 0)
		_exit(4);
	write_fully(&g, sizeof g);
	for (;;)
		serve();
}
