//go:build native && cgo

// The two passes of kernel.go. All sums are of integers, so that the order of additions does
// not matter and the samples are those of the kernel in Go.

#include "kernel.h"
#include <string.h>

enum { SUM_SHIFT = 8, LAST_SHIFT = 20 };

static inline uint8_t sample(int32_t sum) {
	int32_t v = (sum + (1 << (LAST_SHIFT - 1))) >> LAST_SHIFT;
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

static void vertical_plain(const uint8_t *src, ptrdiff_t stride, int from, int n, const int16_t *w, int taps, int16_t *sums) {
	for (int i = from; i < n; i++) {
		int32_t s = 1 << (SUM_SHIFT - 1);
		for (int k = 0; k < taps; k++)
			s += src[k * stride + i] * (int32_t)w[k];
		sums[i] = (int16_t)(s >> SUM_SHIFT);
	}
}

#if defined(__x86_64__)
#include <immintrin.h>

// Two rows at once: pairs of samples, multiplied by pairs of weights. A last row without a
// partner is paired with itself, at a weight of 0.
static inline int32_t pair(const int16_t *w) {
	int32_t v;
	memcpy(&v, w, 4);
	return v;
}

static void vertical_sse2(const uint8_t *src, ptrdiff_t stride, int n, const int16_t *w, int taps, int16_t *sums) {
	const __m128i zero = _mm_setzero_si128(), round = _mm_set1_epi32(1 << (SUM_SHIFT - 1));
	int i = 0;
	for (; i + 16 <= n; i += 16) {
		__m128i a = round, b = round, c = round, d = round;
		for (int k = 0; k < taps; k += 2) {
			const uint8_t *p = src + k * stride + i, *q = k + 1 < taps ? p + stride : p;
			__m128i ww = _mm_set1_epi32(pair(w + k));
			__m128i x = _mm_loadu_si128((const __m128i *)p), y = _mm_loadu_si128((const __m128i *)q);
			__m128i lo = _mm_unpacklo_epi8(x, y), hi = _mm_unpackhi_epi8(x, y);
			a = _mm_add_epi32(a, _mm_madd_epi16(_mm_unpacklo_epi8(lo, zero), ww));
			b = _mm_add_epi32(b, _mm_madd_epi16(_mm_unpackhi_epi8(lo, zero), ww));
			c = _mm_add_epi32(c, _mm_madd_epi16(_mm_unpacklo_epi8(hi, zero), ww));
			d = _mm_add_epi32(d, _mm_madd_epi16(_mm_unpackhi_epi8(hi, zero), ww));
		}
		a = _mm_packs_epi32(_mm_srai_epi32(a, SUM_SHIFT), _mm_srai_epi32(b, SUM_SHIFT));
		c = _mm_packs_epi32(_mm_srai_epi32(c, SUM_SHIFT), _mm_srai_epi32(d, SUM_SHIFT));
		_mm_storeu_si128((__m128i *)(sums + i), a);
		_mm_storeu_si128((__m128i *)(sums + i + 8), c);
	}
	vertical_plain(src, stride, i, n, w, taps, sums);
}

__attribute__((target("avx2")))
static void vertical_avx2(const uint8_t *src, ptrdiff_t stride, int n, const int16_t *w, int taps, int16_t *sums) {
	const __m256i round = _mm256_set1_epi32(1 << (SUM_SHIFT - 1));
	int i = 0;
	for (; i + 32 <= n; i += 32) {
		__m256i a = round, b = round, c = round, d = round;
		for (int k = 0; k < taps; k += 2) {
			const uint8_t *p = src + k * stride + i, *q = k + 1 < taps ? p + stride : p;
			__m256i ww = _mm256_set1_epi32(pair(w + k));
			__m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
			__m256i y = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)q));
			a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), ww));
			b = _mm256_add_epi32(b, _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), ww));
			x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p + 16)));
			y = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(q + 16)));
			c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), ww));
			d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), ww));
		}
		a = _mm256_packs_epi32(_mm256_srai_epi32(a, SUM_SHIFT), _mm256_srai_epi32(b, SUM_SHIFT));
		c = _mm256_packs_epi32(_mm256_srai_epi32(c, SUM_SHIFT), _mm256_srai_epi32(d, SUM_SHIFT));
		_mm256_storeu_si256((__m256i *)(sums + i), a);
		_mm256_storeu_si256((__m256i *)(sums + i + 16), c);
	}
	vertical_sse2(src + i, stride, n - i, w, taps, sums + i);
}

// Eight weights of one sample at once.
static inline __m128i weighed(const int16_t *p, const int16_t *w, int pitch) {
	__m128i s = _mm_madd_epi16(_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)w));
	for (int k = 8; k < pitch; k += 8)
		s = _mm_add_epi32(s, _mm_madd_epi16(_mm_loadu_si128((const __m128i *)(p + k)), _mm_loadu_si128((const __m128i *)(w + k))));
	return s;
}

static inline uint32_t four_samples(__m128i a, __m128i b, __m128i c, __m128i d) {
	// The sums of each of a, b, c and d, side by side.
	__m128i ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
	__m128i cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
	__m128i s = _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
	s = _mm_srai_epi32(_mm_add_epi32(s, _mm_set1_epi32(1 << (LAST_SHIFT - 1))), LAST_SHIFT);
	s = _mm_packs_epi32(s, s);
	return (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(s, s));
}

static void horizontal_range(const int16_t *sums, uint8_t *dst, const resample_axis *x, int from, int to) {
	const int pitch = x->pitch;
	for (int i = from; i < to; i += 4) {
		__m128i s[4];
		for (int j = 0; j < 4; j++) {
			int at = i + j < to ? i + j : to - 1;
			s[j] = weighed(sums + x->first[at], x->weights + (ptrdiff_t)at * pitch, pitch);
		}
		uint32_t v = four_samples(s[0], s[1], s[2], s[3]);
		memcpy(dst + i, &v, i + 4 <= to ? 4 : to - i);
	}
}

// The samples with equal weights, eight at once.
static int convolution_sse2(const int16_t *sums, uint8_t *dst, const resample_axis *x) {
	const __m128i round = _mm_set1_epi32(1 << (LAST_SHIFT - 1));
	const int16_t *w = x->weights + (ptrdiff_t)x->inner_from * x->pitch;
	int i = x->inner_from;
	for (; i + 8 <= x->inner_to; i += 8) {
		__m128i a = round, b = round;
		const int16_t *p = sums + x->first[i];
		for (int k = 0; k < x->taps; k += 2) {
			__m128i ww = _mm_set1_epi32(pair(w + k));
			__m128i u = _mm_loadu_si128((const __m128i *)(p + k)), v = _mm_loadu_si128((const __m128i *)(p + k + 1));
			a = _mm_add_epi32(a, _mm_madd_epi16(_mm_unpacklo_epi16(u, v), ww));
			b = _mm_add_epi32(b, _mm_madd_epi16(_mm_unpackhi_epi16(u, v), ww));
		}
		a = _mm_packs_epi32(_mm_srai_epi32(a, LAST_SHIFT), _mm_srai_epi32(b, LAST_SHIFT));
		_mm_storel_epi64((__m128i *)(dst + i), _mm_packus_epi16(a, a));
	}
	return i;
}

static void horizontal(const int16_t *sums, uint8_t *dst, const resample_axis *x) {
	horizontal_range(sums, dst, x, 0, x->inner_from);
	horizontal_range(sums, dst, x, convolution_sse2(sums, dst, x), x->n);
}

// Sixteen weights of one sample at once, if it has at least so many.
__attribute__((target("avx2")))
static void horizontal_avx2(const int16_t *sums, uint8_t *dst, const resample_axis *x) {
	if (x->pitch % 16 != 0 || x->inner_to > x->inner_from) {
		horizontal(sums, dst, x);
		return;
	}
	const int pitch = x->pitch;
	for (int i = 0; i < x->n; i += 4) {
		__m128i s[4];
		for (int j = 0; j < 4; j++) {
			int at = i + j < x->n ? i + j : x->n - 1;
			const int16_t *p = sums + x->first[at], *w = x->weights + (ptrdiff_t)at * pitch;
			__m256i a = _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)w));
			for (int k = 16; k < pitch; k += 16)
				a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(p + k)), _mm256_loadu_si256((const __m256i *)(w + k))));
			s[j] = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
		}
		uint32_t v = four_samples(s[0], s[1], s[2], s[3]);
		memcpy(dst + i, &v, i + 4 <= x->n ? 4 : x->n - i);
	}
}

typedef void vertical_pass(const uint8_t *, ptrdiff_t, int, const int16_t *, int, int16_t *);
typedef void horizontal_pass(const int16_t *, uint8_t *, const resample_axis *);

static inline void passes(vertical_pass *v, horizontal_pass *h, const uint8_t *src, ptrdiff_t src_stride, int columns,
	uint8_t *dst, ptrdiff_t dst_stride, const resample_axis *x, const resample_axis *y, int16_t *sums) {
	memset(sums + columns, 0, 16 * sizeof *sums); // read at a weight of 0
	for (int i = 0; i < y->n; i++) {
		v(src + y->first[i] * src_stride, src_stride, columns, y->weights + (ptrdiff_t)i * y->pitch, y->taps, sums);
		h(sums, dst + i * dst_stride, x);
	}
}

void resample_plane_base(const uint8_t *src, ptrdiff_t src_stride, int columns, uint8_t *dst, ptrdiff_t dst_stride,
	const resample_axis *x, const resample_axis *y, int16_t *sums) {
	passes(vertical_sse2, horizontal, src, src_stride, columns, dst, dst_stride, x, y, sums);
}

void resample_plane(const uint8_t *src, ptrdiff_t src_stride, int columns, uint8_t *dst, ptrdiff_t dst_stride,
	const resample_axis *x, const resample_axis *y, int16_t *sums) {
	if (__builtin_cpu_supports("avx2"))
		passes(vertical_avx2, horizontal_avx2, src, src_stride, columns, dst, dst_stride, x, y, sums);
	else
		passes(vertical_sse2, horizontal, src, src_stride, columns, dst, dst_stride, x, y, sums);
}

#else // other processors: in C, which the compiler makes vectors of

void resample_plane_base(const uint8_t *src, ptrdiff_t src_stride, int columns, uint8_t *dst, ptrdiff_t dst_stride,
	const resample_axis *x, const resample_axis *y, int16_t *sums) {
	for (int i = 0; i < y->n; i++) {
		vertical_plain(src + y->first[i] * src_stride, src_stride, 0, columns, y->weights + (ptrdiff_t)i * y->pitch, y->taps, sums);
		uint8_t *to = dst + i * dst_stride;
		for (int j = 0; j < x->n; j++) {
			const int16_t *p = sums + x->first[j], *w = x->weights + (ptrdiff_t)j * x->pitch;
			int32_t s = 0;
			for (int k = 0; k < x->taps; k++)
				s += p[k] * (int32_t)w[k];
			to[j] = sample(s);
		}
	}
}

void resample_plane(const uint8_t *src, ptrdiff_t src_stride, int columns, uint8_t *dst, ptrdiff_t dst_stride,
	const resample_axis *x, const resample_axis *y, int16_t *sums) {
	resample_plane_base(src, src_stride, columns, dst, dst_stride, x, y, sums);
}

#endif
