#ifndef PTIFFSTORE_JPEG2000_CAGE_H
#define PTIFFSTORE_JPEG2000_CAGE_H

#include <stdint.h>

enum {
	HELPER_MEMORY = 768 << 20, // bytes of address space, with the program itself
	HELPER_SECONDS = 900,      // of processor time in a helper's life
};

// close_cage gives up files but standard input and output, privileges, and all system calls
// but those of filter_calls. It reports what the kernel offered: whether calls are filtered,
// and the version of Landlock, or 0. The result is -1 if a limit could not be set.
int close_cage(uint32_t *filtered, uint32_t *landlock_version);

#endif
