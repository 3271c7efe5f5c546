package eval

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// LayoutDeepPCB names the layout of the DeepPCB data set: images/<id>_test.jpg beside labels/<id>.txt with a
// line "x1 y1 x2 y2 class" for each defect: inclusive pixels, classes from 1.
const LayoutDeepPCB = "deeppcb"

const (
	deepPCBImage   = "_test.jpg"
	deepPCBFields  = 5
	maxLabelBytes  = 1 << 20
	maxPixelLabels = 1 << 20
)

// Dataset is a folder of labelled images. Files are in order, relative to Images.
type Dataset struct {
	Images string // folder
	Glob   string // pattern of the images in it
	Files  []string
	Labels map[string][]Box // by file
}

// Load reads the labels of a data set. Classes beyond the bundle's are an error: the labels are not of this
// model.
func Load(dir, layout string, classes int) (*Dataset, error) {
	if layout != LayoutDeepPCB {
		return nil, fmt.Errorf("layout %q is not known: use %s", layout, LayoutDeepPCB)
	}
	set := &Dataset{
		Images: filepath.Join(dir, "images"),
		Glob:   "*" + deepPCBImage,
		Labels: map[string][]Box{},
	}
	files, err := fs.Glob(os.DirFS(set.Images), set.Glob)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf(
			"no images/*%s in %s: is --data the folder that holds images/ and labels/?",
			deepPCBImage,
			dir,
		)
	}
	slices.Sort(files)
	for _, file := range files {
		id := strings.TrimSuffix(file, deepPCBImage)
		boxes, err := deepPCBLabels(filepath.Join(dir, "labels", id+".txt"), classes)
		if err != nil {
			return nil, err
		}
		set.Files = append(set.Files, file)
		set.Labels[file] = boxes
	}
	return set, nil
}

func deepPCBLabels(path string, classes int) ([]Box, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	if info.Size() > maxLabelBytes {
		return nil, fmt.Errorf("labels %s: %d bytes are over %d", path, info.Size(), maxLabelBytes)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	var boxes []Box
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		box, err := deepPCBLine(lines.Text(), classes)
		if err != nil {
			return nil, fmt.Errorf("labels %s, line %d: %w", path, n, err)
		}
		boxes = append(boxes, box)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("labels %s: %w", path, err)
	}
	return boxes, nil
}

func deepPCBLine(line string, classes int) (Box, error) {
	fields := strings.Fields(line)
	if len(fields) != deepPCBFields {
		return Box{}, errors.New("not five numbers: x1 y1 x2 y2 class")
	}
	var v [deepPCBFields]int
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil || n < 0 || n > maxPixelLabels {
			return Box{}, fmt.Errorf("%q is not a pixel or class", f)
		}
		v[i] = n
	}
	if v[2] < v[0] || v[3] < v[1] {
		return Box{}, errors.New("the box is inside out")
	}
	if v[4] < 1 || v[4] > classes {
		return Box{}, fmt.Errorf("class %d, but the bundle has classes 1 to %d", v[4], classes)
	}
	return Box{
		Class: v[4] - 1, Score: 1,
		Corners: [4]float32{float32(v[0]), float32(v[1]), float32(v[2] + 1), float32(v[3] + 1)},
	}, nil
}
