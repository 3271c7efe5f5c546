package event

// sameDefect is the overlap from which a finding counts as the drawn defect: that of the DeepPCB metric.
const sameDefect = 0.33

// Overlap is the intersection of two boxes x1, y1, x2, y2 over their union; 0 for boxes without area.
func Overlap(a, b [4]float32) float64 {
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	both := float64(w) * float64(h)
	return both / (area(a) + area(b) - both)
}

func area(b [4]float32) float64 { return float64(b[2]-b[0]) * float64(b[3]-b[1]) }

// Found counts the defects of Truth that Defects name with the same class at an overlap over 0.33, each
// finding serving one. It says nothing for a real camera, whose Truth is empty.
func (in *Inspection) Found() int {
	found := 0
	taken := make([]bool, len(in.Defects))
	for _, t := range in.Truth {
		for i, d := range in.Defects {
			if !taken[i] && d.Class == t.Class && Overlap(d.Box, t.Box) > sameDefect {
				taken[i] = true
				found++
				break
			}
		}
	}
	return found
}
