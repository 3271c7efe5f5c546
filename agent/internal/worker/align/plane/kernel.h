#include <stddef.h>
#include <stdint.h>

// A window of a board, words × rows of 64 pixels, and where it is sought in a template: at all shifts from -reach to
// reach around (dx, dy). Of each row's last word the pixels in mask count. Both planes have rows of stride words, the
// first pixel behind margin words. Places are in pixels.
struct search {
	ptrdiff_t x, y, words, rows;
	ptrdiff_t dx, dy, reach;
	ptrdiff_t stride, height, margin;
	uint64_t mask;
};

// around counts the pixels that differ at each shift: counts[j * (2 * reach + 1) + i] for i - reach to the right and
// j - reach down. Rows above and below a plane repeat its first and last. Scratch holds words × (2 × rows + 2 × reach).
void around(int32_t *counts, const uint64_t *board, const uint64_t *template, uint64_t *scratch, struct search s);
