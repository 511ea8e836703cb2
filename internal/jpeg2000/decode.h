#ifndef PTIFFSTORE_JPEG2000_DECODE_H
#define PTIFFSTORE_JPEG2000_DECODE_H

#include <stddef.h>

#include "helper.h"

// A buffer is memory that is kept for the next request.
struct buffer {
	uint8_t *data;
	size_t size;
};

// KEPT is the size of the largest buffer that is kept, and of the memory that the decoder may
// keep, in bytes. New memory costs a system call and a page fault for every 4 KB, which is a
// fifth of the time of a tile.
enum { KEPT = 32 << 20 };

// reserve returns n bytes of undefined contents, or NULL if memory is short.
uint8_t *reserve(struct buffer *b, size_t n);

// release frees a buffer that is too large to be kept.
void release(struct buffer *b);

// decode decodes the data of a request into r, and pixels behind the room for r. The result is a status; if it
// is not REPLY_OK, text, of MAX_TEXT+1 bytes, says why.
uint32_t decode(const uint8_t *data, const struct request *q, struct reply *r, struct buffer *pixels, char *text);

#endif
