// Nearly all the time of an alignment is spent here: a million words are compared for a board of 640 × 640 pixels.
#include "kernel.h"

enum { WORD = 64 };

// read_window copies words from pixel x, y on, those of each row in the place of the row before.
static void read_window(
	uint64_t *dst, const uint64_t *plane, const struct search *s, ptrdiff_t x, ptrdiff_t y, ptrdiff_t rows) {
	const ptrdiff_t first = (x + s->margin * WORD) / WORD;
	const unsigned right = (unsigned)x & (WORD - 1), left = WORD - 1 - right;
	for (ptrdiff_t end = y + rows; y < end; y++, dst += s->words) {
		const ptrdiff_t line = y < 0 ? 0 : y < s->height ? y : s->height - 1;
		const uint64_t *from = plane + line * s->stride + first;
		for (ptrdiff_t i = 0; i < s->words; i++)
			dst[i] = from[i] >> right | from[i + 1] << 1 << left;
		dst[s->words - 1] &= s->mask;
	}
}

// count_column compares the board with the template at each shift down: part of its callers, each for its processors.
__attribute__((always_inline)) static inline void count_column(
	int32_t *counts, const uint64_t *restrict board, const uint64_t *restrict template, const struct search *s) {
	const ptrdiff_t side = 2 * s->reach + 1, size = s->words * s->rows;
	for (ptrdiff_t j = 0; j < side; j++, counts += side, template += s->words) {
		uint64_t differing = 0;
		for (ptrdiff_t i = 0; i < size; i++)
			differing += (uint64_t)__builtin_popcountll(board[i] ^ template[i]);
		*counts = (int32_t)differing;
	}
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vl,avx512vpopcntdq,popcnt"))) static void count_wide(
	int32_t *counts, const uint64_t *board, const uint64_t *template, const struct search *s) {
	count_column(counts, board, template, s);
}

__attribute__((target("popcnt"))) static void count_words(
	int32_t *counts, const uint64_t *board, const uint64_t *template, const struct search *s) {
	count_column(counts, board, template, s);
}
#endif

static void count(int32_t *counts, const uint64_t *board, const uint64_t *template, const struct search *s) {
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vl")) {
		count_wide(counts, board, template, s);
		return;
	}
	if (__builtin_cpu_supports("popcnt")) {
		count_words(counts, board, template, s);
		return;
	}
#endif
	count_column(counts, board, template, s);
}

void around(int32_t *counts, const uint64_t *board, const uint64_t *template, uint64_t *scratch, struct search s) {
	uint64_t *column = scratch + s.words * s.rows;
	read_window(scratch, board, &s, s.x, s.y, s.rows);
	for (ptrdiff_t i = 0; i <= 2 * s.reach; i++) {
		read_window(column, template, &s, s.x + s.dx + i - s.reach, s.y + s.dy - s.reach, s.rows + 2 * s.reach);
		count(counts + i, scratch, column, &s);
	}
}
