#ifndef PTIFFSTORE_JPEG2000_HELPER_H
#define PTIFFSTORE_JPEG2000_HELPER_H

#include <stdint.h>

// HELPER_NAME is argv[0] of the helper processes, and all of their arguments.
#define HELPER_NAME "ptiffstore: JPEG 2000 decoder"

// A greeting is what a helper writes first: its cage is closed.
struct greeting {
	uint32_t magic;
	uint32_t seccomp;  // 1 if system calls are filtered
	uint32_t landlock; // version of Landlock in use; 0 without
	uint32_t reserved;
};

// A request is followed by size bytes: a codestream or a JP2 file.
struct request {
	uint32_t magic;
	uint32_t sequence;
	uint32_t size;
	uint32_t max_width, max_height; // of the image, in pixels
	uint32_t min_width, min_height;
	uint32_t components; // 1 or 3
	uint32_t reduce;     // resolutions to leave out
	uint32_t reserved;
};

// A reply is followed by size bytes: the planes one after the other, or a text if status
// is not REPLY_OK.
struct reply {
	uint32_t magic;
	uint32_t sequence;
	uint32_t status;
	uint32_t size;
	uint32_t width, height; // of the image before it is reduced
	uint32_t components;
	uint32_t reserved;
	uint32_t dx[3], dy[3]; // pixels that a sample covers
	uint32_t w[3], h[3];   // samples of each plane
};

enum { GREETING_MAGIC = 0x4a324b30, REQUEST_MAGIC = 0x4a324b31, REPLY_MAGIC = 0x4a324b32 };
enum { REPLY_OK = 0, REPLY_DAMAGED = 1, REPLY_UNSUPPORTED = 2, REPLY_MEMORY = 3 };

// Limits of both sides.
enum {
	MAX_DATA = 64 << 20,   // bytes of a request
	MAX_PIXELS = 16 << 20, // of an image
	MAX_TEXT = 200,        // bytes of an error
};

// start_helper starts a helper with these files as standard input and output, and returns
// its process id, or -errno. It may be called in a program with threads.
int start_helper(int in, int out);

// openjpeg_version returns the version of the library, such as "2.5.0".
const char *openjpeg_version(void);

#endif
