package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const maxExpectedBytes = 1 << 20

// listed is a Detection as it is written: lists of any length, and keys that may be missing.
type listed struct {
	Class *string   `json:"class"`
	Score *float32  `json:"score"`
	Box   []float32 `json:"box"`
	Area  *float32  `json:"area"`

	Measures []float32 `json:"measures"`
}

// Expected reads what a golden sample must bring out. A list that asks for what the bundle cannot
// find is refused: its entries would be passed over.
func (b *Bundle) Expected(sample GoldenSample) ([]Detection, error) {
	raw, err := b.Read(sample.Expect, maxExpectedBytes)
	if err != nil {
		return nil, fmt.Errorf("read expected detections: %w", err)
	}
	list, err := readList(raw)
	if err != nil {
		return nil, fmt.Errorf("read expected detections %s: %w", sample.Expect, err)
	}
	expected := make([]Detection, len(list))
	for i, one := range list {
		if expected[i], err = b.detection(one); err != nil {
			return nil, fmt.Errorf("read expected detections %s: [%d]: %w", sample.Expect, i, err)
		}
	}
	return expected, nil
}

func readList(raw []byte) ([]listed, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var list []listed
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("no list of detections: %w", err)
	}
	if list == nil {
		return nil, errors.New("null is no list: write [] where nothing is to be found")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the list: leave it out")
	}
	return list, nil
}

// detection checks one entry.
func (b *Bundle) detection(in listed) (Detection, error) {
	if in.Class == nil || in.Score == nil || in.Box == nil {
		return Detection{}, errors.New("class, score or box is missing: write all three")
	}
	i := slices.IndexFunc(b.Manifest.Classes, func(c Class) bool { return c.Name == *in.Class })
	if i < 0 {
		return Detection{}, fmt.Errorf("class %q is not in the manifest: write one of %s", *in.Class,
			strings.Join(b.ClassNames(), ", "))
	}
	if least := float32(b.Manifest.Classes[i].Threshold); *in.Score < least || *in.Score > 1 {
		return Detection{}, fmt.Errorf("%s scores %g: list what reaches its threshold, %g to 1",
			*in.Class, *in.Score, least)
	}
	if len(in.Box) != 4 || in.Box[0] >= in.Box[2] || in.Box[1] >= in.Box[3] {
		return Detection{}, fmt.Errorf("%s has the box %g: write x1, y1, x2, y2 with x1 < x2 and y1 < y2",
			*in.Class, in.Box)
	}
	if n := len(b.Manifest.Measures()); in.Measures != nil && len(in.Measures) != n {
		return Detection{}, fmt.Errorf("%s has %d measures: write all %d that the manifest names, in its "+
			"order, or leave them out", *in.Class, len(in.Measures), n)
	}
	one := Detection{
		Class: *in.Class, Score: *in.Score, Box: [4]float32(in.Box), Measures: in.Measures,
	}
	if in.Area != nil {
		one.Area = *in.Area
		if !(one.Area > 0) {
			return Detection{}, fmt.Errorf("%s has the area %g: write that of its outline, or leave it out",
				*in.Class, one.Area)
		}
	}
	return one, nil
}
