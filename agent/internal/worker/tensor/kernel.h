// Sampling of packed 8-bit pixels into rows without padding: of each row of src, one pixel in step bytes; from
// row to row, stride bytes. A pixel has one byte (gray) or three (blue, green, red). src ends with the last
// pixel taken.
#include <stddef.h>
#include <stdint.h>

struct sampling {
	size_t width, height; // pixels taken
	size_t step, stride;  // bytes
};

void take_gray(uint8_t *dst, const uint8_t *src, struct sampling s);
void take_colour(uint8_t *dst, const uint8_t *src, struct sampling s);
void take_luma(uint8_t *dst, const uint8_t *src, struct sampling s);

// Bilinear scaling of rows of 8-bit samples with weights in 11 bits: across sums two samples of a row for each of
// width × channels wanted, whose places are those of their pixel's first channel; blend sums two such rows.
void across(int32_t *dst, const uint8_t *src, const int32_t *first, const int32_t *second, const int32_t *weight,
	size_t width, size_t channels);
void blend(uint8_t *dst, const int32_t *above, const int32_t *below, size_t n, int32_t weight);

// Values of the model's input from 8-bit samples: width × height of them, steps and strides in samples.
struct spreading {
	size_t width, height;
	size_t from_step, from_stride;
	size_t to_step, to_stride;
	float scale, offset; // a value is sample × scale + offset
};

void spread(float *dst, const uint8_t *src, struct spreading s);
