package decode

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// mostMeasured is a value that no working model gives, whatever its unit.
const mostMeasured = 1e12

// measure is one number for each measure, [1, measures] or [1, measures, 1, 1]. It finds one thing, as large
// as the frame, with all of them.
type measure struct {
	measures []bundle.Measure
	values   []float32
}

func newMeasure(m *bundle.Manifest, ports []Port) (family, error) {
	out, dims, n := &ports[0], 2, len(m.Decoder.Measures)
	if len(out.Dims) == 4 {
		dims = 4
	}
	wanted := fmt.Sprintf("the decoder measure reads [1 %d] or [1 %d 1 1] for the measures that bundle.yaml "+
		"names", n, n)
	if err := out.shaped(dims, wanted); err != nil {
		return nil, err
	}
	if out.Dims[1] != int64(n) || dims == 4 && (out.Dims[2] != 1 || out.Dims[3] != 1) {
		return nil, fmt.Errorf("output %q is %s, %s", out.Name, onnxfile.Shape(out.Dims), wanted)
	}
	return &measure{m.Decoder.Measures, make([]float32, n)}, nil
}

func (m *measure) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	output := outputs[0]
	if len(output) != len(m.values) {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), len(m.values))
	}
	for i := range m.measures {
		value := float64(output[i]) * m.measures[i].Scale
		switch m.measures[i].Relative {
		case bundle.RelativeWidth:
			value *= float64(g.FrameWidth)
		case bundle.RelativeHeight:
			value *= float64(g.FrameHeight)
		}
		if !(max(value, -value) <= mostMeasured) { // NaN comes here, too
			return fmt.Errorf("%w: %s is %g %s", ErrOutput, m.measures[i].Name, value, m.measures[i].Unit)
		}
		m.values[i] = float32(value)
	}
	d.keep(detect.Detection{
		Score: 1, Box: [4]float32{2: float32(g.FrameWidth), 3: float32(g.FrameHeight)}, Measures: m.values,
	})
	return nil
}
