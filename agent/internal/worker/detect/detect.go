// Package detect is what is found in a frame, whatever found it: a model or a comparison.
package detect

// Detection is one finding. Box is x1, y1, x2, y2, right and bottom exclusive, around all of it.
type Detection struct {
	Class int
	Score float32
	Box   [4]float32
	// Outline is a closed polygon around what is no upright box: a turned box or a mask. Nil: the box. It is
	// valid as long as its detection, and not to be changed.
	Outline [][2]float32
	Area    float32 // of the outline's inside, in pixels; 0 without one
}

// Cut is what a limit has cost: how many detections, and the most that one of them can score.
type Cut struct {
	Count int
	Score float32
}

// Add counts more of them.
func (c *Cut) Add(more Cut) {
	c.Count += more.Count
	c.Score = max(c.Score, more.Score)
}

// Best keeps the first of detections that come by descending score.
func Best(found []Detection, most int) ([]Detection, Cut) {
	if len(found) <= most {
		return found, Cut{}
	}
	return found[:most], Cut{len(found) - most, found[most].Score}
}

// IoU is the intersection of two boxes over their union, 0 when both are empty.
func IoU(a, b [4]float32) float32 {
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	both := w * h
	return both / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - both)
}
