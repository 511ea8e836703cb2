//go:build native && cgo

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "native.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

// Every call of libjpeg that may fail leaves by longjmp. So each function below has a setjmp
// of its own, and what it must release lies in a context whose address does not change.

typedef struct {
	struct jpeg_error_mgr manager;
	jmp_buf leave;
	char *message;
} failure;

static void fail(j_common_ptr c)
{
	failure *f = (failure *)c->err;
	f->manager.format_message(c, f->message);
	longjmp(f->leave, 1);
}

static void emit(j_common_ptr c, int level)
{
	if (level < 0)
		fail(c);
}

static void output(j_common_ptr c)
{
	(void)c; // messages go to the caller, never to standard error
}

static struct jpeg_error_mgr *failures(failure *f, char *message)
{
	jpeg_std_error(&f->manager);
	f->manager.error_exit = fail;
	f->manager.emit_message = emit;
	f->manager.output_message = output;
	f->message = message;
	return &f->manager;
}

int pt_version(void)
{
	return LIBJPEG_TURBO_VERSION_NUMBER;
}

// -- decode

typedef struct {
	failure failure;
	struct jpeg_decompress_struct c;
} decoder;

static int refuse(char *message, const char *why)
{
	snprintf(message, PT_MESSAGE, "%s", why);
	return -1;
}

// begin reads the header. It returns -1 if it isn't what the caller knows.
static int begin(decoder *d, const uint8_t *data, size_t len, const pt_source *s, char *message)
{
	struct jpeg_decompress_struct *c = &d->c;
	jpeg_create_decompress(c);
	jpeg_mem_src(c, data, len);
	jpeg_read_header(c, TRUE);
	if ((int)c->image_width != s->width || (int)c->image_height != s->height || c->num_components != s->components || c->data_precision != 8 || c->arith_code)
		return refuse(message, "the header is contradictory");
	for (int i = 0; i < c->num_components; i++)
		if ((c->comp_info[i].h_samp_factor << 4 | c->comp_info[i].v_samp_factor) != s->factors[i])
			return refuse(message, "the header is contradictory");
	if (s->components == 3)
		c->jpeg_color_space = s->rgb ? JCS_RGB : JCS_YCbCr;
	c->scale_num = 1;
	c->scale_denom = s->denominator;
	c->dct_method = JDCT_ISLOW;
	c->do_block_smoothing = FALSE; // as Go: what a progressive JPEG leaves out is zero
	return 0;
}

static int ceil_div(int a, int b)
{
	return (a + b - 1) / b;
}

// fits reports whether the planes have room for all that libjpeg writes from row first of the
// iMCUs to row last, exclusively.
static int fits(j_decompress_ptr c, const pt_plane *planes, int first, int last)
{
	for (int i = 0; i < c->num_components; i++) {
		jpeg_component_info *k = &c->comp_info[i];
		size_t columns = (size_t)k->width_in_blocks * k->DCT_scaled_size;
		int rows = (last - first) * k->v_samp_factor * k->DCT_scaled_size;
		// libjpeg leaves out rows of blocks below the picture.
		int below = ((int)k->height_in_blocks - first * k->v_samp_factor) * k->DCT_scaled_size;
		if (rows > below)
			rows = below;
		if (columns > planes[i].stride || rows > planes[i].rows)
			return 0;
	}
	return 1;
}

int pt_decode_planes(const uint8_t *data, size_t len, const pt_source *s, int first, int last,
	uint8_t *p0, uint8_t *p1, uint8_t *p2, const pt_plane *planes, char *message)
{
	decoder d;
	struct jpeg_decompress_struct *c = &d.c;
	uint8_t *const pix[3] = { p0, p1, p2 };
	memset(&d, 0, sizeof d);
	c->err = failures(&d.failure, message);
	if (setjmp(d.failure.leave)) {
		jpeg_destroy_decompress(c);
		return -1;
	}
	if (begin(&d, data, len, s, message)) {
		jpeg_destroy_decompress(c);
		return -1;
	}
	c->raw_data_out = TRUE;
	c->out_color_space = c->jpeg_color_space;
	jpeg_start_decompress(c);
	int mcu = 8 * c->max_v_samp_factor;
	int from = first / mcu, to = ceil_div(last, mcu);
	if (c->num_components > 3 || !fits(c, planes, from, to)) {
		jpeg_destroy_decompress(c);
		return refuse(message, "the planes are too small");
	}
	int lines = c->max_v_samp_factor * c->min_DCT_scaled_size;
	int rows = ceil_div(c->image_height, mcu);
	for (int row = 0; row < to; row++) {
		// At most 4 × 8 rows of samples, of a component of factor 4.
		JSAMPROW at[3][4 * DCTSIZE];
		JSAMPARRAY samples[3] = { at[0], at[1], at[2] };
		for (int i = 0; i < c->num_components; i++) {
			jpeg_component_info *k = &c->comp_info[i];
			int n = k->v_samp_factor * k->DCT_scaled_size;
			// Rows above the part are not transformed, and nothing is written.
			k->component_needed = row >= from;
			for (int y = 0; y < n; y++) {
				int to_row = row < from ? 0 : (row - from) * n + y;
				if (to_row >= planes[i].rows)
					to_row = planes[i].rows - 1;
				at[i][y] = pix[i] + planes[i].stride * to_row;
			}
		}
		if (!jpeg_read_raw_data(c, samples, lines)) {
			jpeg_destroy_decompress(c);
			return refuse(message, "the data end early");
		}
	}
	if (to == rows)
		jpeg_finish_decompress(c); // fails if the end is missing
	jpeg_destroy_decompress(c);
	return 0;
}

// inks converts w pixels of C, M, Y and K, inverted as Adobe stores them, to RGBA.
static void inks(uint8_t *dst, const uint8_t *src, int w)
{
	for (int x = 0; x < w; x++, src += 4, dst += 4) {
		uint32_t k = src[3] * 0x101u;
		for (int i = 0; i < 3; i++)
			dst[i] = (uint8_t)(src[i] * 0x101u * k / 0xffff >> 8);
		dst[3] = 255;
	}
}

int pt_decode_rgba(const uint8_t *data, size_t len, const pt_source *s, int x, int y, int w, int h,
	uint8_t *dst, size_t stride, char *message)
{
	decoder d;
	struct jpeg_decompress_struct *c = &d.c;
	memset(&d, 0, sizeof d);
	c->err = failures(&d.failure, message);
	if (setjmp(d.failure.leave)) {
		jpeg_destroy_decompress(c);
		return -1;
	}
	if (begin(&d, data, len, s, message)) {
		jpeg_destroy_decompress(c);
		return -1;
	}
	int cmyk = c->num_components == 4;
	c->out_color_space = cmyk ? JCS_CMYK : JCS_EXT_RGBA;
	jpeg_start_decompress(c);
	int width = c->output_width, height = c->output_height;
	if (x < 0 || y < 0 || w < 1 || h < 1 || w > width - x || h > height - y) {
		jpeg_destroy_decompress(c);
		return refuse(message, "the part is outside of the image");
	}
	// Chroma is blended with its neighbours, of which there must be one on each side.
	JDIMENSION left = 0, columns = width;
	// libjpeg-turbo 2.1 gets the right edge wrong if components are scaled differently.
	int alike = 1;
	for (int i = 0; i < c->num_components; i++)
		if (c->comp_info[i].DCT_scaled_size != c->min_DCT_scaled_size)
			alike = 0;
	if (alike && (x >= 16 || width - x - w >= 16)) {
		int a = x < 4 ? 0 : x - 4, b = x + w + 4 > width ? width : x + w + 4;
		left = a;
		columns = b - a;
		jpeg_crop_scanline(c, &left, &columns);
	}
	int direct = !cmyk && (int)left == x && (int)columns == w;
	JSAMPARRAY line = NULL;
	if (!direct)
		line = (*c->mem->alloc_sarray)((j_common_ptr)c, JPOOL_IMAGE, columns * 4, 1);
	// libjpeg-turbo skips rows of blended chroma wrongly in some cases, when there are few.
	if (y >= 32 && (int)jpeg_skip_scanlines(c, y - 16) != y - 16) {
		jpeg_destroy_decompress(c);
		return refuse(message, "the data end early");
	}
	while ((int)c->output_scanline < y + h) {
		int row = (int)c->output_scanline - y;
		JSAMPROW to[1] = { direct && row >= 0 ? dst + stride * row : NULL };
		if (direct && row < 0) {
			to[0] = dst; // overwritten by the first row
		}
		if (!direct)
			to[0] = line[0];
		if (jpeg_read_scanlines(c, to, 1) != 1) {
			jpeg_destroy_decompress(c);
			return refuse(message, "the data end early");
		}
		if (direct || row < 0)
			continue;
		if (cmyk)
			inks(dst + stride * row, line[0] + 4 * (x - left), w);
		else
			memcpy(dst + stride * row, line[0] + 4 * (x - left), 4 * (size_t)w);
	}
	if (y + h == height)
		jpeg_finish_decompress(c); // fails if the end is missing
	jpeg_destroy_decompress(c);
	return 0;
}

// -- encode

typedef struct {
	failure failure;
	struct jpeg_compress_struct c;
	struct jpeg_destination_mgr to;
	uint8_t *out;
	size_t size;
	JSAMPROW *edges; // rows with the samples that fill up the last MCU
	uint8_t *memory;
} encoder;

static encoder *encoder_of(j_compress_ptr c)
{
	return (encoder *)((char *)c - offsetof(encoder, c));
}

static void destination(j_compress_ptr c)
{
	encoder *e = encoder_of(c);
	e->to.next_output_byte = e->out;
	e->to.free_in_buffer = e->size;
}

static boolean grow(j_compress_ptr c)
{
	encoder *e = encoder_of(c);
	uint8_t *more = e->size > SIZE_MAX / 2 ? NULL : realloc(e->out, 2 * e->size);
	if (!more)
		ERREXIT1(c, JERR_OUT_OF_MEMORY, 10);
	e->out = more;
	e->to.next_output_byte = e->out + e->size;
	e->to.free_in_buffer = e->size;
	e->size *= 2;
	return TRUE;
}

static void destination_end(j_compress_ptr c)
{
	(void)c;
}

static void release(encoder *e)
{
	jpeg_destroy_compress(&e->c);
	free(e->out);
	free(e->memory);
	e->out = e->memory = NULL;
}

// start sets everything but the components.
static void start(encoder *e, int width, int height, int components, J_COLOR_SPACE space, int quality)
{
	struct jpeg_compress_struct *c = &e->c;
	jpeg_create_compress(c);
	e->size = 4096 + (size_t)width * height / 4;
	e->out = malloc(e->size);
	if (!e->out)
		ERREXIT1(c, JERR_OUT_OF_MEMORY, 10);
	e->to.init_destination = destination;
	e->to.empty_output_buffer = grow;
	e->to.term_destination = destination_end;
	c->dest = &e->to;
	c->image_width = width;
	c->image_height = height;
	c->input_components = components;
	c->in_color_space = space;
	jpeg_set_defaults(c);
	jpeg_set_quality(c, quality, TRUE);
	c->dct_method = JDCT_ISLOW;
}

static void finish(encoder *e, uint8_t **out, size_t *len)
{
	jpeg_finish_compress(&e->c);
	*len = e->size - e->to.free_in_buffer;
	*out = e->out;
	e->out = NULL;
	release(e);
}

// write_rgb writes three planes of red, green and blue.
static void interleave(uint8_t *to, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n)
{
	size_t x = 0;
#ifdef __SSE2__
	const __m128i full = _mm_set1_epi8(-1);
	for (; x + 16 <= n; x += 16) {
		__m128i red = _mm_loadu_si128((const __m128i *)(r + x)), green = _mm_loadu_si128((const __m128i *)(g + x)),
			blue = _mm_loadu_si128((const __m128i *)(b + x));
		__m128i rg = _mm_unpacklo_epi8(red, green), ba = _mm_unpacklo_epi8(blue, full);
		__m128i *out = (__m128i *)(to + 4 * x);
		_mm_storeu_si128(out, _mm_unpacklo_epi16(rg, ba));
		_mm_storeu_si128(out + 1, _mm_unpackhi_epi16(rg, ba));
		rg = _mm_unpackhi_epi8(red, green);
		ba = _mm_unpackhi_epi8(blue, full);
		_mm_storeu_si128(out + 2, _mm_unpacklo_epi16(rg, ba));
		_mm_storeu_si128(out + 3, _mm_unpackhi_epi16(rg, ba));
	}
#endif
	for (; x < n; x++) {
		to[4 * x] = r[x];
		to[4 * x + 1] = g[x];
		to[4 * x + 2] = b[x];
		to[4 * x + 3] = 255;
	}
}

static void write_rgb(encoder *e, const uint8_t *const *pix, const pt_plane *planes)
{
	struct jpeg_compress_struct *c = &e->c;
	JSAMPARRAY line = (*c->mem->alloc_sarray)((j_common_ptr)c, JPOOL_IMAGE, c->image_width * 4, 1);
	for (JDIMENSION y = 0; y < c->image_height; y++) {
		const uint8_t *r = pix[0] + y * planes[0].stride, *g = pix[1] + y * planes[1].stride, *b = pix[2] + y * planes[2].stride;
		interleave(line[0], r, g, b, c->image_width);
		jpeg_write_scanlines(c, line, 1);
	}
}

// write_raw writes planes as they are. Samples beyond the picture repeat its last column and
// row.
static void write_raw(encoder *e, const uint8_t *const *pix, const pt_plane *planes)
{
	struct jpeg_compress_struct *c = &e->c;
	size_t width[3], most = 0;
	for (int i = 0; i < c->num_components; i++) {
		width[i] = (size_t)c->comp_info[i].width_in_blocks * DCTSIZE;
		if (width[i] > most)
			most = width[i];
	}
	enum { ROWS = 4 * DCTSIZE };
	e->memory = malloc(3 * ROWS * most);
	if (!e->memory)
		ERREXIT1(c, JERR_OUT_OF_MEMORY, 10);
	int lines = c->max_v_samp_factor * DCTSIZE;
	for (int row = 0; c->next_scanline < c->image_height; row++) {
		JSAMPROW at[3][ROWS];
		JSAMPARRAY samples[3] = { at[0], at[1], at[2] };
		for (int i = 0; i < c->num_components; i++) {
			const pt_plane *p = &planes[i];
			int n = c->comp_info[i].v_samp_factor * DCTSIZE;
			for (int y = 0; y < n; y++) {
				int from = row * n + y < p->height ? row * n + y : p->height - 1;
				const uint8_t *src = pix[i] + p->stride * from;
				if ((size_t)p->width == width[i]) {
					at[i][y] = (JSAMPROW)src;
					continue;
				}
				uint8_t *copy = e->memory + ((size_t)i * ROWS + y) * most;
				memcpy(copy, src, p->width);
				memset(copy + p->width, src[p->width - 1], width[i] - p->width);
				at[i][y] = copy;
			}
		}
		jpeg_write_raw_data(c, samples, lines);
	}
}

int pt_encode_planes(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2, const pt_plane *planes, int count,
	int rgb, int sub, int width, int height, int quality, uint8_t **out, size_t *len, char *message)
{
	encoder e;
	const uint8_t *const pix[3] = { p0, p1, p2 };
	memset(&e, 0, sizeof e);
	e.c.err = failures(&e.failure, message);
	if (setjmp(e.failure.leave)) {
		release(&e);
		return -1;
	}
	start(&e, width, height, rgb ? 4 : count, count == 1 ? JCS_GRAYSCALE : rgb ? JCS_EXT_RGBX : JCS_YCbCr, quality);
	if (!rgb) {
		e.c.raw_data_in = TRUE;
		e.c.comp_info[0].h_samp_factor = sub >> 4;
		e.c.comp_info[0].v_samp_factor = sub & 15;
	}
	jpeg_start_compress(&e.c, TRUE);
	if (rgb)
		write_rgb(&e, pix, planes);
	else
		write_raw(&e, pix, planes);
	finish(&e, out, len);
	return 0;
}

int pt_encode_rgba(const uint8_t *pix, size_t stride, int width, int height, int quality,
	uint8_t **out, size_t *len, char *message)
{
	encoder e;
	memset(&e, 0, sizeof e);
	e.c.err = failures(&e.failure, message);
	if (setjmp(e.failure.leave)) {
		release(&e);
		return -1;
	}
	start(&e, width, height, 4, JCS_EXT_RGBX, quality);
	jpeg_start_compress(&e.c, TRUE);
	while (e.c.next_scanline < e.c.image_height) {
		JSAMPROW row[1] = { (JSAMPROW)(pix + stride * e.c.next_scanline) };
		jpeg_write_scanlines(&e.c, row, 1);
	}
	finish(&e, out, len);
	return 0;
}
