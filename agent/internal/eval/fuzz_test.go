package eval

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzCOCO(f *testing.F) {
	f.Add([]byte(`{"images": [{"id": 7, "file_name": "b.png"}], "categories": [{"id": 1, "name": "open"}],
		"annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 1}]}`))
	f.Add([]byte(`{"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4],
		"segmentation": [[1, 2, 3, 4, 5, 6.5]]}, {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4],
		"segmentation": {"size": [4, 3], "counts": "34310"}}]}`))
	f.Add([]byte(`{"images": [{"id": 1, "file_name": "b.png"}], "annotations": [{"bbox": [1]}]}`))
	f.Add([]byte(`{"images": [{"id": null}], "info": [[[]]]}`))
	f.Add([]byte(`{"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1e308, 1e308, 1e308, -0]}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, at, err := decodeCOCO(bytes.NewReader(raw), true)
		if err != nil {
			require.LessOrEqual(t, at, int64(len(raw)))
			return
		}
		for _, im := range file.images {
			require.NotNil(t, im.ID)
			require.NotEmpty(t, im.File)
		}
		for _, a := range file.annotations {
			requireBox(t, a.corners, 2*maxSide)
			if a.shape != nil && a.shape.width > 0 {
				drawn, err := a.shape.draw(a.shape.width, a.shape.height, room())
				require.NoError(t, err)
				require.LessOrEqual(t, drawn.area(), uint64(a.shape.width)*uint64(a.shape.height))
			}
		}
	})
}

// Only the columns of the image are looked at, and the turns are those of the whole border.
func FuzzPolygon(f *testing.F) {
	f.Add([]byte{0, 10, 0, 20, 3, 10, 0, 20, 3, 10, 9, 9}, uint8(10), uint8(10))
	f.Add([]byte{0x80, 0, 0x80, 0, 0x7f, 0xff, 0, 1, 0, 1, 0x7f, 0xff}, uint8(200), uint8(3))
	f.Add([]byte{0xff, 0xf0, 0, 3, 0, 0, 0x90, 0, 0, 7, 0x60, 0, 0, 7, 0xff, 0xff}, uint8(1), uint8(255))
	f.Fuzz(func(t *testing.T, raw []byte, width, height uint8) {
		var corners []float64
		for ; len(raw) >= 4 && len(corners) < 64; raw = raw[4:] {
			for i := 0; i < 4; i += 2 {
				corners = append(corners, float64(int16(binary.BigEndian.Uint16(raw[i:])))/37)
			}
		}
		if len(corners) < 2*minCorners {
			return
		}
		turns, err := border(corners, int(width), int(height), room())
		require.NoError(t, err)
		require.Equal(t, walked(corners, int(width), int(height)), turns)
		s := &shape{polygons: [][]float64{corners, corners[2:]}}
		if len(corners) < 2*minCorners+2 {
			s.polygons = s.polygons[:1]
		}
		drawn, err := s.draw(int(width), int(height), room())
		require.NoError(t, err)
		require.LessOrEqual(t, drawn.area(), uint64(width)*uint64(height))
		require.True(t, slices.IsSorted(drawn))
	})
}

func FuzzYOLOLabels(f *testing.F) {
	names := yoloNames{
		file: "data.yaml", theirs: []string{"a", "b"}, kinds: &kinds{bundle: []string{"x", "a"}},
		met: map[int]int{},
	}
	for _, line := range []string{"0 .5 .5 1 1", "1 0 0 0 0", "1e9 .5 .5 1 1", "0 nan 0x1p-2 inf 1", "\x00"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if box, err := names.line(line); err == nil {
			require.Equal(t, 1, box.Class)
			requireBox(t, box.Corners, 2)
		}
	})
}

func FuzzYOLONames(f *testing.F) {
	for _, raw := range []string{
		"names: [open, short]", "names: {0: a, 1: b}", "names: {1: a, 99999999: b}", "names: &a [*a]",
		"names: 3", "nc: 2", "", "names: {-1: a}",
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		names, err := parseNames(raw)
		require.LessOrEqual(t, len(names), max(maxYOLONames, len(raw)))
		if err != nil {
			require.Empty(t, names)
		}
	})
}

func FuzzDeepPCBLabels(f *testing.F) {
	for _, line := range []string{"0 10 639 20 6", "1,2,3,4,1", "1 2 3", "-1 2 3 4 1", "\x00", "9 9 1 1 1"} {
		f.Add(line)
	}
	classes := &kinds{bundle: make([]string, 6)}
	f.Fuzz(func(t *testing.T, line string) {
		if box, err := deepPCBLine(line, classes); err == nil {
			require.Less(t, box.Class, 6)
			requireBox(t, box.Corners, 2*maxSide)
		}
	})
}

// requireBox wants a box that is neither inside out nor further away than most.
func requireBox(t *testing.T, corners [4]float32, most float64) {
	t.Helper()
	require.GreaterOrEqual(t, corners[2], corners[0])
	require.GreaterOrEqual(t, corners[3], corners[1])
	for _, v := range corners {
		require.LessOrEqual(t, math.Abs(float64(v)), most)
	}
}
