//go:build native && cgo && linux

// Decoding one image with OpenJPEG.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <openjpeg-2.5/openjpeg.h>

#include "decode.h"

// The most tiles that the codestream itself may be divided into.
enum { MAX_TILES = 256 };

// An input is the data of a request, as a stream.
struct input {
	const uint8_t *data;
	size_t size, at;
};

static OPJ_SIZE_T read_input(void *p, OPJ_SIZE_T n, void *user)
{
	struct input *in = user;
	size_t left = in->size - in->at;
	if (left == 0)
		return (OPJ_SIZE_T)-1;
	if (n > left)
		n = left;
	memcpy(p, in->data + in->at, n);
	in->at += n;
	return n;
}

static OPJ_OFF_T skip_input(OPJ_OFF_T n, void *user)
{
	struct input *in = user;
	if (n < 0 || (uint64_t)n > in->size - in->at)
		return -1;
	in->at += (size_t)n;
	return n;
}

static OPJ_BOOL seek_input(OPJ_OFF_T at, void *user)
{
	struct input *in = user;
	if (at < 0 || (uint64_t)at > in->size)
		return OPJ_FALSE;
	in->at = (size_t)at;
	return OPJ_TRUE;
}

// note keeps the first error of the library.
static void note(const char *message, void *user)
{
	char *text = user;
	if (text[0] != 0)
		return;
	size_t n = 0;
	for (; message[n] != 0 && message[n] != '\n' && n < MAX_TEXT; n++)
		text[n] = message[n] >= ' ' && message[n] <= '~' ? message[n] : '?';
	text[n] = 0;
}

static uint32_t fail(char *text, uint32_t status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(text, MAX_TEXT + 1, format, args);
	va_end(args);
	return status;
}

// A job is one image while it is decoded.
struct job {
	opj_codec_t *codec;
	opj_stream_t *stream;
	opj_image_t *image;
	opj_codestream_info_v2_t *info;
};

// open_job prepares reading; 0 if memory is short.
static int open_job(struct job *j, struct input *in, char *text)
{
	static const uint8_t box[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
	int boxed = in->size >= sizeof box && memcmp(in->data, box, sizeof box) == 0;
	j->codec = opj_create_decompress(boxed ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K);
	size_t buffer = in->size < (1u << 20) ? in->size : 1u << 20;
	j->stream = opj_stream_create(buffer, OPJ_TRUE);
	if (j->codec == NULL || j->stream == NULL)
		return 0;
	opj_set_error_handler(j->codec, note, text);
	opj_dparameters_t parameters;
	opj_set_default_decoder_parameters(&parameters);
	if (!opj_setup_decoder(j->codec, &parameters) || !opj_decoder_set_strict_mode(j->codec, OPJ_TRUE))
		return 0;
	opj_stream_set_user_data(j->stream, in, NULL);
	opj_stream_set_user_data_length(j->stream, in->size);
	opj_stream_set_read_function(j->stream, read_input);
	opj_stream_set_skip_function(j->stream, skip_input);
	opj_stream_set_seek_function(j->stream, seek_input);
	return 1;
}

static void close_job(struct job *j)
{
	if (j->info != NULL)
		opj_destroy_cstr_info(&j->info);
	if (j->image != NULL)
		opj_image_destroy(j->image);
	if (j->stream != NULL)
		opj_stream_destroy(j->stream);
	if (j->codec != NULL)
		opj_destroy_codec(j->codec);
}

// check_header rejects images of other sizes and kinds before their pixels cost anything.
static uint32_t check_header(const struct job *j, const struct request *q, char *text)
{
	const opj_image_t *m = j->image;
	if (m->x0 != 0 || m->y0 != 0)
		return fail(text, REPLY_UNSUPPORTED, "the image has an offset of %u,%u", m->x0, m->y0);
	if (m->x1 > q->max_width || m->y1 > q->max_height || m->x1 < q->min_width || m->y1 < q->min_height)
		return fail(text, REPLY_DAMAGED, "an image of %ux%u pixels, expected %ux%u", m->x1, m->y1, q->max_width, q->max_height);
	if ((uint64_t)m->x1 * m->y1 > MAX_PIXELS)
		return fail(text, REPLY_UNSUPPORTED, "an image of %ux%u pixels: at most %d are decoded", m->x1, m->y1, MAX_PIXELS);
	if (m->numcomps != q->components)
		return fail(text, REPLY_DAMAGED, "%u components, expected %u", m->numcomps, q->components);
	for (uint32_t i = 0; i < m->numcomps; i++) {
		const opj_image_comp_t *c = &m->comps[i];
		if (c->prec != 8 || c->sgnd)
			return fail(text, REPLY_UNSUPPORTED, "samples of %u bits%s: only 8 bits without a sign are read", c->prec, c->sgnd ? " with a sign" : "");
		int whole = c->dx == 1 && c->dy == 1;
		int fits = (c->dx == 1 || c->dx == 2 || c->dx == 4) && (c->dy == 1 || c->dy == 2 || c->dy == 4);
		if (i == 0 ? !whole : !fits)
			return fail(text, REPLY_UNSUPPORTED, "component %u has one sample for %ux%u pixels", i, c->dx, c->dy);
	}
	if (m->numcomps == 3 && (m->comps[1].dx != m->comps[2].dx || m->comps[1].dy != m->comps[2].dy))
		return fail(text, REPLY_UNSUPPORTED, "the colour components have different sizes");
	if ((uint64_t)j->info->tw * j->info->th > MAX_TILES)
		return fail(text, REPLY_UNSUPPORTED, "the codestream is divided into %ux%u tiles: at most %d are read", j->info->tw, j->info->th, MAX_TILES);
	return REPLY_OK;
}

// shift divides by 2^bits and rounds up.
static uint32_t shift(uint32_t n, uint32_t bits) { return (uint32_t)(((uint64_t)n + (1ull << bits) - 1) >> bits); }

uint8_t *reserve(struct buffer *b, size_t n)
{
	if (n > b->size) {
		free(b->data);
		b->data = malloc(n);
		b->size = b->data == NULL ? 0 : n;
	}
	return b->data;
}

void release(struct buffer *b)
{
	if (b->size > KEPT) {
		free(b->data);
		b->data = NULL;
		b->size = 0;
	}
}

// to_bytes clamps samples to 0..255.
#ifdef __SSE2__
static void to_bytes(uint8_t *to, const OPJ_INT32 *from, size_t n)
{
	size_t k = 0;
	for (; k + 16 <= n; k += 16) {
		const __m128i *p = (const __m128i *)(from + k);
		__m128i low = _mm_packs_epi32(_mm_loadu_si128(p), _mm_loadu_si128(p + 1));
		__m128i high = _mm_packs_epi32(_mm_loadu_si128(p + 2), _mm_loadu_si128(p + 3));
		_mm_storeu_si128((__m128i *)(to + k), _mm_packus_epi16(low, high));
	}
	for (; k < n; k++)
		to[k] = (uint8_t)(from[k] < 0 ? 0 : from[k] > 255 ? 255 : from[k]);
}
#else
static void to_bytes(uint8_t *to, const OPJ_INT32 *from, size_t n)
{
	for (size_t k = 0; k < n; k++)
		to[k] = (uint8_t)(from[k] < 0 ? 0 : from[k] > 255 ? 255 : from[k]);
}
#endif

// copy_planes copies the decoded samples as bytes. The library may have changed anything
// since check_header, for example to apply a palette.
static uint32_t copy_planes(const opj_image_t *m, const struct request *q, struct reply *r, struct buffer *pixels, char *text)
{
	size_t total = 0;
	if (m->numcomps != q->components)
		return fail(text, REPLY_UNSUPPORTED, "the image has a palette");
	for (uint32_t i = 0; i < m->numcomps; i++) {
		const opj_image_comp_t *c = &m->comps[i];
		uint32_t w = shift((r->width + c->dx - 1) / c->dx, q->reduce), h = shift((r->height + c->dy - 1) / c->dy, q->reduce);
		if (c->data == NULL || c->w != w || c->h != h || c->prec != 8 || c->sgnd || c->dx != r->dx[i] || c->dy != r->dy[i])
			return fail(text, REPLY_DAMAGED, "component %u was not decoded completely", i);
		r->w[i] = w;
		r->h[i] = h;
		total += (size_t)w * h;
	}
	uint8_t *to = reserve(pixels, sizeof *r + total);
	if (to == NULL)
		return fail(text, REPLY_MEMORY, "out of memory");
	to += sizeof *r;
	for (uint32_t i = 0; i < m->numcomps; i++) {
		size_t n = (size_t)r->w[i] * r->h[i];
		to_bytes(to, m->comps[i].data, n);
		to += n;
	}
	r->size = (uint32_t)total;
	return REPLY_OK;
}

static uint32_t run(struct job *j, const struct request *q, struct reply *r, struct buffer *pixels, char *text)
{
	if (!opj_read_header(j->stream, j->codec, &j->image))
		return REPLY_DAMAGED;
	j->info = opj_get_cstr_info(j->codec);
	if (j->info == NULL)
		return REPLY_MEMORY;
	uint32_t status = check_header(j, q, text);
	if (status != REPLY_OK)
		return status;
	r->width = j->image->x1;
	r->height = j->image->y1;
	r->components = j->image->numcomps;
	for (uint32_t i = 0; i < r->components; i++) {
		r->dx[i] = j->image->comps[i].dx;
		r->dy[i] = j->image->comps[i].dy;
	}
	if (q->reduce > 0 && !opj_set_decoded_resolution_factor(j->codec, q->reduce))
		return REPLY_UNSUPPORTED;
	if (!opj_decode(j->codec, j->stream, j->image) || !opj_end_decompress(j->codec, j->stream))
		return REPLY_DAMAGED;
	return copy_planes(j->image, q, r, pixels, text);
}

uint32_t decode(const uint8_t *data, const struct request *q, struct reply *r, struct buffer *pixels, char *text)
{
	struct input in = {data, q->size, 0};
	struct job j = {0};
	uint32_t status = open_job(&j, &in, text) ? run(&j, q, r, pixels, text) : REPLY_MEMORY;
	close_job(&j);
	if (status != REPLY_OK && text[0] == 0)
		note(status == REPLY_MEMORY ? "out of memory" : "the codestream is damaged", text);
	return status;
}

const char *openjpeg_version(void) { return opj_version(); }
