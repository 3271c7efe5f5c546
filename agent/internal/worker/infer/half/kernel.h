// Halves are the 16-bit floats of IEEE 754, held in uint16_t.
#include <stddef.h>
#include <stdint.h>

void narrow(uint16_t *restrict dst, const float *restrict src, size_t n);
void widen(float *restrict dst, const uint16_t *restrict src, size_t n);
