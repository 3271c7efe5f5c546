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
	// Measures are what a second model measured, in the manifest's order; valid as long as the outline.
	Measures []float32
}

// Heat is how unusual each place of a frame is, as a model for anomalies gave it. Valid until the next run.
type Heat struct {
	Values        []float32 // [Height*Width], the model's numbers
	Width, Height int
	Box           [4]float32 // that the map covers, in frame pixels: more than the frame if that has a border
	Score         float32    // of the image, 0.5 at its threshold, not cut off at 0 and 1
	Threshold     float64    // the number that scores 0.5
	Range         float64    // of numbers that is as wide as 1
}

// At is the score of a place, 0.5 at the threshold, not cut off at 0 and 1.
func (h *Heat) At(i int) float64 { return (float64(h.Values[i])-h.Threshold)/h.Range + half }

// half is the score of a threshold.
const half = 0.5

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
