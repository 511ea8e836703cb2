// Functions that decode and encode JPEG with libjpeg-turbo. None keeps anything between two
// calls, so they may be called by any number of threads at once. They return 0, or -1 and a
// message. Warnings are errors: a damaged stream is not decoded to a guess.

#include <stddef.h>
#include <stdint.h>

enum { PT_MESSAGE = 200 }; // size of a message, JMSG_LENGTH_MAX

// A pt_source is a JPEG and what its header says, which is checked again: memory was taken
// for exactly that.
typedef struct {
	int width, height; // pixels
	int components;
	int factors[4]; // sampling factors of each, horizontal<<4 | vertical
	int rgb;        // three components are RGB, not YCbCr
	int denominator; // 1, 2, 4 or 8
} pt_source;

// A pt_plane is memory for the samples of one component.
typedef struct {
	size_t stride;
	int rows, width, height; // rows in memory; samples that belong to the picture
} pt_plane;

// pt_decode_planes decodes the rows of pixels from first to last, which are multiples of the
// height of an MCU or the end, into one plane for each component.
int pt_decode_planes(const uint8_t *data, size_t len, const pt_source *s, int first, int last,
	uint8_t *p0, uint8_t *p1, uint8_t *p2, const pt_plane *planes, char *message);

// pt_decode_rgba decodes the part of w × h pixels at x, y of the scaled image.
int pt_decode_rgba(const uint8_t *data, size_t len, const pt_source *s, int x, int y, int w, int h,
	uint8_t *dst, size_t stride, char *message);

// pt_encode_planes encodes 1 or 3 planes, as they are or, if rgb is set, converted. sub is the
// pixels that a sample of the second and third plane covers, horizontal<<4 | vertical. The
// JPEG is allocated with malloc, the caller frees it.
int pt_encode_planes(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2, const pt_plane *planes, int count,
	int rgb, int sub, int width, int height, int quality, uint8_t **out, size_t *len, char *message);

// pt_encode_rgba is the same for pixels.
int pt_encode_rgba(const uint8_t *pix, size_t stride, int width, int height, int quality,
	uint8_t **out, size_t *len, char *message);

// pt_version returns the version of libjpeg-turbo as 2001005 for 2.1.5.
int pt_version(void);
