package decode

import "github.com/sightline-edge/sightline/models/bundle"

// yolov5 has rows of centre, width and height in input pixels, all after the sigmoid, as YOLOv5 and YOLOv7
// are exported.
type yolov5 struct{ rows }

func newYOLOv5(m *bundle.Manifest, ports []Port) (family, error) {
	r, err := newRows(m, &ports[0])
	if err != nil {
		return nil, err
	}
	return newSelection(m, yolov5{r}, r.cells), nil
}

func (y yolov5) box(c *candidate, outputs [][]float32) [4]float32 {
	v := outputs[0][int(c.cell)*y.width():]
	return centred(v[0], v[1], v[2], v[3])
}
