// Each number goes through the same steps, whatever it is, and the right result is chosen at the end: a loop
// without branches, of which the compiler makes vectors. half.go says what the constants are.
#include "kernel.h"

#include <string.h>

enum { MANTISSAS = 13 };

static const uint32_t BIASES = 112u << 23, LEAST = 113u << 23, OVER = 143u << 23, GRID = 126u << 23;

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

static inline uint32_t bits_of(float f) {
	uint32_t bits;
	memcpy(&bits, &f, sizeof bits);
	return bits;
}

static inline float float_of(uint32_t bits) {
	float f;
	memcpy(&f, &bits, sizeof f);
	return f;
}

// either is a choice by bits: of ?: GCC makes a branch around what may set a flag of floats.
static inline uint32_t either(int first, uint32_t a, uint32_t b) {
	const uint32_t mask = -(uint32_t)first;
	return (a & mask) | (b & ~mask);
}

FOR_EACH_CPU
void narrow(uint16_t *restrict dst, const float *restrict src, size_t n) {
	for (size_t i = 0; i < n; i++) {
		const uint32_t bits = bits_of(src[i]), size = bits & 0x7fffffff;
		const uint32_t odd = size >> MANTISSAS & 1;
		const uint32_t rounded = (size - BIASES + odd + (1u << (MANTISSAS - 1)) - 1) >> MANTISSAS;
		const uint32_t small = bits_of(float_of(size) + float_of(GRID)) - GRID;
		const uint32_t special = either(size > 0xffu << 23, 0x7e00, 0x7c00);
		const uint32_t half = either(size >= OVER, special, either(size < LEAST, small, rounded));
		dst[i] = (uint16_t)(half | (bits >> 16 & 0x8000));
	}
}

FOR_EACH_CPU
void widen(float *restrict dst, const uint16_t *restrict src, size_t n) {
	for (size_t i = 0; i < n; i++) {
		const uint32_t half = src[i], size = half & 0x7fff;
		const uint32_t normal = (size << MANTISSAS) + BIASES;
		const uint32_t small = bits_of((float)(int32_t)size * 0x1p-24f);
		const uint32_t bits = either(size >= 0x7c00, normal + BIASES, either(size < 0x0400, small, normal));
		dst[i] = float_of(bits | (half & 0x8000) << 16);
	}
}
