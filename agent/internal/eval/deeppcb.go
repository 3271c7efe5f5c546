package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

const (
	deepPCBImage  = testedEnd + ".jpg"
	deepPCBFields = 5
)

// loadDeepPCB reads the DeepPCB data set: flat, images/<id>_test.jpg beside labels/<id>.txt, or as its
// authors publish it, <group>/<number>/<id>_test.jpg beside <group>/<number>_not/<id>.txt, with lists of its
// parts in trainval.txt and test.txt. A label is a line "x1 y1 x2 y2 class", commas allowed: inclusive
// pixels, classes from 1 in the bundle's order.
func loadDeepPCB(s *Source) (*Dataset, error) {
	root, files, err := deepPCBFiles(s.Dir)
	if err != nil {
		return nil, err
	}
	part, err := deepPCBPart(root, s.Split)
	if err != nil {
		return nil, err
	}
	set := &Dataset{}
	for _, file := range files {
		folder, id := path.Dir(file), strings.TrimSuffix(path.Base(file), deepPCBImage)
		if part != nil && !part[id] {
			continue
		}
		labels := folder + "_not"
		if path.Base(folder) == "images" {
			labels = path.Join(path.Dir(folder), "labels")
		}
		boxes, err := deepPCBLabels(filepath.Join(root, labels, id+".txt"), s.kinds())
		if err != nil {
			return nil, err
		}
		set.Samples = append(set.Samples, Sample{Name: file, Path: filepath.Join(root, file), Labels: boxes})
	}
	if len(set.Samples) == 0 {
		return nil, fmt.Errorf("%w: %s.txt in %s names none of the images", ErrNoData, s.Split, root)
	}
	return set, nil
}

// deepPCBFiles are the tested images, sorted, relative to root.
func deepPCBFiles(dir string) (root string, files []string, err error) {
	for _, at := range []struct{ root, images string }{
		{dir, "images/*"}, {dir, "*/*/*"}, {filepath.Join(dir, "PCBData"), "*/*/*"}, {dir, "*/*"},
	} {
		files, err = fs.Glob(os.DirFS(at.root), at.images+deepPCBImage)
		if err != nil {
			return "", nil, fmt.Errorf("%w: %w", ErrNoData, err)
		}
		if len(files) > maxImages {
			return "", nil, fmt.Errorf("%w: %d images in %s are over %d", ErrNoData, len(files), at.root,
				maxImages)
		}
		if len(files) > 0 {
			return at.root, files, nil
		}
	}
	return "", nil, fmt.Errorf(
		"%w: no images/*%s in %s, nor <group>/<number>/*%[2]s as the data set is published: is --data the "+
			"folder that holds images/ and labels/, or the groups?", ErrNoData, deepPCBImage, dir)
}

// deepPCBPart reads the ids of a published part: lines "<group>/<number>/<id>.jpg <labels>". nil is all.
func deepPCBPart(root, split string) (map[string]bool, error) {
	if split == "" {
		return nil, nil //nolint:nilnil // nil is a part: the whole
	}
	ids := map[string]bool{}
	err := eachLine(filepath.Join(root, split+".txt"), maxListBytes, func(line string) error {
		if len(ids) == maxImages {
			return fmt.Errorf("over %d images", maxImages)
		}
		file := path.Base(strings.Fields(line)[0])
		ids[strings.TrimSuffix(strings.TrimSuffix(file, path.Ext(file)), "_test")] = true
		return nil
	})
	return ids, err
}

func deepPCBLabels(file string, classes *kinds) ([]Box, error) {
	var boxes []Box
	err := eachLine(file, maxTextBytes, func(line string) error {
		box, err := deepPCBLine(line, classes)
		boxes = append(boxes, box)
		return err
	})
	return boxes, err
}

func deepPCBLine(line string, classes *kinds) (Box, error) {
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(fields) != deepPCBFields {
		return Box{}, errors.New("not five numbers: x1 y1 x2 y2 class")
	}
	var v [deepPCBFields]int
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil || n < 0 || n > maxSide {
			return Box{}, fmt.Errorf("%q is not a pixel or class", f)
		}
		v[i] = n
	}
	if v[2] < v[0] || v[3] < v[1] {
		return Box{}, errors.New("the box is inside out")
	}
	class, err := classes.numbered(v[4], 1)
	return Box{
		Class: class, Score: 1,
		Corners: [4]float32{float32(v[0]), float32(v[1]), float32(v[2] + 1), float32(v[3] + 1)},
	}, err
}
