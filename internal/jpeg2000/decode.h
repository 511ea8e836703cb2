#ifndef PTIFFSTORE_JPEG2000_DECODE_H
#define PTIFFSTORE_JPEG2000_DECODE_H

#include "helper.h"

// decode decodes the data of a request into r and new memory. The result is a status; if it
// is not REPLY_OK, text, of MAX_TEXT+1 bytes, says why.
uint32_t decode(const uint8_t *data, const struct request *q, struct reply *r, uint8_t **pixels, char *text);

#endif
