package tensor

// NewCropCanvas makes an empty canvas for parts of frames. Each has another size, and rows that are not
// packed: for OpenCV each would need a header of its own. All its memory is made here.
func NewCropCanvas(plan *Plan) *Canvas {
	samples := plan.width * plan.height * bgr
	return &Canvas{
		plan: plan, sampled: make([]byte, samples),
		scaler: &goScaler{
			columns: columns{
				taps: make([]tap, 0, plan.width), first: make([]int32, 0, plan.width),
				second: make([]int32, 0, plan.width), weight: make([]int32, 0, plan.width),
			},
			rows: make([]tap, 0, plan.height), out: make([]byte, samples),
			above: make([]int32, plan.width*bgr), below: make([]int32, plan.width*bgr),
		},
	}
}
