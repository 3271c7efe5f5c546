// The loops are plain C with GCC's and Clang's vector types, so that one text serves SSE, AVX2 and NEON. Frames
// come from memory and not from a cache, and rows lie too far apart for the processor to foresee the next one:
// asking for it ahead halves the time.
#include "kernel.h"

#include <string.h>

// Weights of ITU-R BT.601 in 14 bits, as OpenCV's COLOR_BGR2GRAY has them.
enum { BITS = 14, BLUE = 1868, GREEN = 9617, RED = 4899, HALF = 1 << (BITS - 1) };

enum { LANES = 8, LINE = 64, COLOURS = 3 };

typedef uint32_t words __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

// ahead asks for the lines of the next row that lie below the next LANES pixels. GCC drops calls of a function that
// does nothing but this, so that it must be part of its caller.
__attribute__((always_inline)) static inline void ahead(const uint8_t *at, size_t span, int last_row) {
	if (last_row)
		return;
	for (size_t line = 0; line < span; line += LINE)
		__builtin_prefetch(at + line);
}

static inline uint32_t load(const uint8_t *p) {
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint8_t luma(const uint8_t *p) {
	return (uint8_t)((p[0] * BLUE + p[1] * GREEN + p[2] * RED + HALF) >> BITS);
}

FOR_EACH_CPU
void take_luma(uint8_t *dst, const uint8_t *src, struct sampling s) {
	const size_t step = s.step;
	for (size_t y = 0; y < s.height; y++, src += s.stride) {
		const uint8_t *p = src;
		size_t x = 0;
		for (; x + LANES < s.width; x += LANES, p += LANES * step) { // never the last pixel: load takes four bytes
			ahead(p + s.stride, LANES * step, y + 1 == s.height);
			words v = {load(p),            load(p + step),     load(p + 2 * step), load(p + 3 * step),
			           load(p + 4 * step), load(p + 5 * step), load(p + 6 * step), load(p + 7 * step)};
			words gray = (v & 255) * BLUE + (v >> 8 & 255) * GREEN + (v >> 16 & 255) * RED + HALF;
			bytes out = __builtin_convertvector(gray >> BITS, bytes);
			memcpy(dst + x, &out, LANES);
		}
		for (; x < s.width; x++, p += step)
			dst[x] = luma(p);
		dst += s.width;
	}
}

void take_gray(uint8_t *dst, const uint8_t *src, struct sampling s) {
	for (size_t y = 0; y < s.height; y++, src += s.stride) {
		const uint8_t *p = src;
		for (size_t x = 0; x < s.width; x++, p += s.step) {
			if (x % LANES == 0)
				ahead(p + s.stride, LANES * s.step, y + 1 == s.height);
			*dst++ = *p;
		}
	}
}

void take_colour(uint8_t *dst, const uint8_t *src, struct sampling s) {
	for (size_t y = 0; y < s.height; y++, src += s.stride) {
		const uint8_t *p = src;
		for (size_t x = 0; x < s.width; x++, p += s.step, dst += COLOURS) {
			if (x % LANES == 0)
				ahead(p + s.stride, LANES * s.step, y + 1 == s.height);
			memcpy(dst, p, COLOURS);
		}
	}
}

// spread_row is part of its callers, each with constant steps: the compiler makes vectors of those that it can.
__attribute__((always_inline)) static inline void spread_row(
	float *restrict dst, const uint8_t *restrict src, const struct spreading *s, size_t to_step, size_t from_step) {
	for (size_t x = 0; x < s->width; x++)
		dst[x * to_step] = (float)src[x * from_step] * s->scale + s->offset;
}

FOR_EACH_CPU
void spread(float *dst, const uint8_t *src, struct spreading s) {
	for (size_t y = 0; y < s.height; y++, dst += s.to_stride, src += s.from_stride) {
		if (s.to_step == 1 && s.from_step == 1)
			spread_row(dst, src, &s, 1, 1);
		else if (s.to_step == 1 && s.from_step == COLOURS)
			spread_row(dst, src, &s, 1, COLOURS);
		else
			spread_row(dst, src, &s, s.to_step, s.from_step);
	}
}

enum { WEIGHT_BITS = 11, WEIGHT_ONE = 1 << WEIGHT_BITS, SUM_HALF = 1 << (2 * WEIGHT_BITS - 1) };

// across_row is part of its callers, each with a constant number of channels.
__attribute__((always_inline)) static inline void across_row(int32_t *restrict dst, const uint8_t *restrict src,
	const int32_t *first, const int32_t *second, const int32_t *weight, size_t width, size_t channels) {
	for (size_t x = 0; x < width; x++) {
		const uint8_t *p = src + first[x], *q = src + second[x];
		for (size_t c = 0; c < channels; c++)
			*dst++ = p[c] * WEIGHT_ONE + (q[c] - p[c]) * weight[x];
	}
}

void across(int32_t *dst, const uint8_t *src, const int32_t *first, const int32_t *second, const int32_t *weight,
	size_t width, size_t channels) {
	if (channels == COLOURS)
		across_row(dst, src, first, second, weight, width, COLOURS);
	else
		across_row(dst, src, first, second, weight, width, 1);
}

FOR_EACH_CPU
void blend(uint8_t *restrict dst, const int32_t *restrict above, const int32_t *restrict below, size_t n,
	int32_t weight) {
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)((above[i] * (WEIGHT_ONE - weight) + below[i] * weight + SUM_HALF) >> (2 * WEIGHT_BITS));
}
