#include <stddef.h>
#include <stdint.h>

typedef struct {
	int n;                  // samples of the result
	int taps;               // source samples for each
	int pitch;              // weights for each: taps rounded up to a multiple of 8, the rest 0
	int inner_from, inner_to; // samples with equal weights, one source sample apart
	const int32_t *first;
	const int16_t *weights;
} resample_axis;

// resample_plane scales a plane of so many columns. sums has room for that many columns and
// 16 more.
void resample_plane(const uint8_t *src, ptrdiff_t src_stride, int columns, uint8_t *dst, ptrdiff_t dst_stride,
	const resample_axis *x, const resample_axis *y, int16_t *sums);

// resample_plane_base is the same without AVX2, for the tests.
void resample_plane_base(const uint8_t *src, ptrdiff_t src_stride, int columns, uint8_t *dst, ptrdiff_t dst_stride,
	const resample_axis *x, const resample_axis *y, int16_t *sums);
