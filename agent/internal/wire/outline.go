package wire

// Points are the corners of an outline, nil for none. Of an odd list the last number is left out.
func Points(flat []float32) [][2]float32 {
	if len(flat) < 2 {
		return nil
	}
	points := make([][2]float32, 0, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		points = append(points, [2]float32{flat[i], flat[i+1]})
	}
	return points
}

// AppendPoints appends the corners of an outline, one number behind the other.
func AppendPoints(flat []float32, points [][2]float32) []float32 {
	for _, p := range points {
		flat = append(flat, p[0], p[1])
	}
	return flat
}
