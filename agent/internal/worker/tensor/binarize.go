package tensor

import "encoding/binary"

// binarize makes 255 of each sample from the threshold up, and 0 of the others, eight at a time: a byte's
// highest bit tells the sum of its lower bits and what is missing to the threshold, and the sample's own
// highest bit decides the rest.
func binarize(dst, src []byte, threshold uint8) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	missing := uint64(128-threshold&127) * ones // of the lower seven bits, to carry into the highest
	n := len(src) &^ 7
	dst = dst[:len(src)]
	for i := 0; i < n; i += 8 {
		v := binary.LittleEndian.Uint64(src[i:])
		low := (v &^ high) + missing // its highest bit: the lower seven bits reach those of the threshold
		reached := low & v           // for a threshold of 128 and more, both must
		if threshold < 128 {
			reached = low | v
		}
		binary.LittleEndian.PutUint64(dst[i:], (reached&high)>>7*255)
	}
	for i := n; i < len(src); i++ {
		dst[i] = 0
		if src[i] >= threshold {
			dst[i] = 255
		}
	}
}

const grays = 256

// otsu is the threshold that parts the grays into the two sets whose means lie farthest apart, each
// weighted by its size (Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979). A picture of
// one gray becomes black as a whole.
func otsu(pix []byte, width, height, stride int) uint8 {
	var counts [4][grays]uint32 // four, so that equal neighbours do not wait for each other
	for y := range height {
		row := pix[y*stride:][:width]
		for len(row) >= 4 {
			counts[0][row[0]]++
			counts[1][row[1]]++
			counts[2][row[2]]++
			counts[3][row[3]]++
			row = row[4:]
		}
		for _, v := range row {
			counts[0][v]++
		}
	}
	total, sum := float64(width*height), 0.0
	for v := range grays {
		counts[0][v] += counts[1][v] + counts[2][v] + counts[3][v]
		sum += float64(v) * float64(counts[0][v])
	}
	best, first, last := -1.0, grays-1, grays-1
	below, sumBelow := 0.0, 0.0
	for v := range grays - 1 {
		below += float64(counts[0][v])
		sumBelow += float64(v) * float64(counts[0][v])
		above := total - below
		if below == 0 || above == 0 {
			continue
		}
		gap := sumBelow/below - (sum-sumBelow)/above
		switch between := below * above * gap * gap; {
		case between > best:
			best, first, last = between, v, v
		case between == best: // no gray lies between: the middle of the gap
			last = v
		}
	}
	if best < 0 {
		return grays - 1
	}
	return uint8((first+last)/2 + 1)
}
