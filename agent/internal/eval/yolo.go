package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

const (
	yoloFields   = 5
	maxYOLONames = 10_000
)

// loadYOLO reads images/, with all its folders, and the labels that lie the same way in labels/: a line
// "class cx cy w h" for each defect, centre and size as shares of the image. Classes count from 0 in the
// order of data.yaml or classes.txt, without which they are the bundle's. An image without a file of labels
// is free of defects. The golden template beside an image is no image of the data set.
func loadYOLO(s *Source) (*Dataset, error) {
	at, err := yoloFind(s)
	if err != nil {
		return nil, err
	}
	set := &Dataset{Shares: true}
	classes, err := yoloClasses(at.names, s.kinds())
	if err != nil {
		return nil, err
	}
	set.Names = classes.file
	files, err := at.files()
	if err != nil {
		return nil, err
	}
	labelled, golden := false, goldenAmong(files)
	for _, file := range files {
		sample, err := at.sample(file, classes)
		if err != nil {
			return nil, err
		}
		if of, ok := golden[file]; ok {
			if len(sample.Labels) > 0 {
				return nil, fmt.Errorf("%w: %s is the golden template of %s, by its name, and is not "+
					"inspected, but has labels: rename it, or remove them", ErrLabels, sample.Path, of)
			}
			continue
		}
		labelled = labelled || !sample.unlabelled
		set.Samples = append(set.Samples, sample)
	}
	if !labelled {
		return nil, fmt.Errorf("%w: none of the %d images in %s has labels in %s, which mirrors the names",
			ErrNoData, len(set.Samples), at.images, at.labels)
	}
	return set, nil
}

// yoloPlace is where a data set of this layout keeps things.
type yoloPlace struct {
	images, labels string
	under          string   // part of images
	names          []string // files that may name the classes, the first that is there counts
}

// yoloFind knows images/<split>, as Ultralytics has it, and <split>/images, as Roboflow exports it.
func yoloFind(s *Source) (*yoloPlace, error) {
	base, under := s.Dir, "."
	switch {
	case s.Split == "":
	case !filepath.IsLocal(s.Split):
		return nil, fmt.Errorf("%w: split %q is no folder in --data", ErrNoData, s.Split)
	case isFolder(filepath.Join(s.Dir, "images", s.Split)):
		under = s.Split
	default:
		base = filepath.Join(s.Dir, s.Split)
	}
	images := filepath.Join(base, "images")
	if !isFolder(images) {
		return nil, fmt.Errorf("%w: no folder %s%s", ErrNoData, images, yoloHint(s))
	}
	return &yoloPlace{
		images: images, labels: filepath.Join(base, "labels"), under: under,
		names: []string{
			filepath.Join(base, "data.yaml"), filepath.Join(base, "classes.txt"),
			filepath.Join(base, "labels", "classes.txt"),
			filepath.Join(base, "..", "data.yaml"),
		},
	}, nil
}

func yoloHint(s *Source) string {
	parts, err := fs.Glob(os.DirFS(s.Dir), "*/images")
	if err != nil || len(parts) == 0 {
		return ": is --data the folder that holds images/ and labels/?"
	}
	for i := range parts {
		parts[i] = filepath.Dir(parts[i])
	}
	return "; choose with --split one of " + listed(parts)
}

// files are the images, sorted, relative to the folder images.
func (p *yoloPlace) files() ([]string, error) {
	files, err := imagesBelow(filepath.Join(p.images, p.under))
	for i := range files {
		files[i] = filepath.Join(p.under, files[i])
	}
	return files, err
}

// sample reads the labels of an image.
func (p *yoloPlace) sample(file string, classes *yoloNames) (Sample, error) {
	sample := Sample{Name: file, Path: filepath.Join(p.images, file)}
	labels := filepath.Join(p.labels, strings.TrimSuffix(file, filepath.Ext(file))+".txt")
	err := eachLine(labels, maxTextBytes, func(line string) error {
		box, err := classes.line(line)
		sample.Labels = append(sample.Labels, box)
		return err
	})
	if sample.unlabelled = errors.Is(err, fs.ErrNotExist); sample.unlabelled {
		return sample, nil
	}
	return sample, err
}

// yoloNames maps a data set's numbers to the bundle's classes.
type yoloNames struct {
	file   string // that names them; empty: the numbers are the bundle's
	theirs []string
	kinds  *kinds
	met    map[int]int // classes of the numbers that labels have
}

// yoloClasses reads the first of the files that is there.
func yoloClasses(files []string, kinds *kinds) (*yoloNames, error) {
	n := &yoloNames{kinds: kinds, met: map[int]int{}}
	for _, file := range files {
		if !isFile(file) {
			continue
		}
		var err error
		if strings.HasSuffix(file, ".txt") {
			err = eachLine(file, maxTextBytes, func(line string) error {
				n.theirs = append(n.theirs, line)
				return nil
			})
		} else {
			n.theirs, err = yamlNames(file)
		}
		if err != nil {
			return nil, err
		}
		if len(n.theirs) > 0 {
			n.file = file
			break
		}
	}
	return n, nil
}

// yamlNames reads the key names: a list, or a map from number to name. None is no error.
func yamlNames(file string) ([]string, error) {
	raw, err := fsutil.ReadFile(file, maxTextBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLabels, err)
	}
	names, err := parseNames(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLabels, file, err)
	}
	return names, nil
}

func parseNames(raw []byte) ([]string, error) {
	var d struct {
		Names yaml.Node `yaml:"names"`
	}
	if err := yaml.Unmarshal(raw, &d); err != nil || d.Names.Kind == 0 {
		return nil, err
	}
	var names []string
	if d.Names.Kind != yaml.MappingNode {
		if err := d.Names.Decode(&names); err != nil {
			return nil, err
		}
		return names, nil
	}
	var byNumber map[int]string
	if err := d.Names.Decode(&byNumber); err != nil {
		return nil, err
	}
	for number, name := range byNumber {
		if number < 0 || number >= maxYOLONames {
			return nil, fmt.Errorf("names: %d is not a number of a class", number)
		}
		names = append(names, make([]string, max(0, number+1-len(names)))...)
		names[number] = name
	}
	return names, nil
}

func (n *yoloNames) class(number int) (int, error) {
	if n.file == "" {
		return n.kinds.numbered(number, 0)
	}
	if number >= len(n.theirs) {
		return 0, fmt.Errorf("class %d, but %s names classes 0 to %d", number, n.file, len(n.theirs)-1)
	}
	class, met := n.met[number]
	if !met {
		var err error
		if class, err = n.kinds.named(n.theirs[number], n.theirs); err != nil {
			return 0, err
		}
		n.met[number] = class
	}
	return class, nil
}

// line reads one label. Corners are shares of the image.
func (n *yoloNames) line(line string) (Box, error) {
	fields := strings.Fields(line)
	if len(fields) != yoloFields {
		return Box{}, fmt.Errorf("%d numbers, not five: class cx cy w h; no outlines, no key points",
			len(fields))
	}
	var v [yoloFields]float64
	for i, f := range fields {
		x, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return Box{}, fmt.Errorf("%q is no number", f)
		}
		if most := limitOf(i); !(x >= 0 && x <= most) {
			return Box{}, fmt.Errorf("%q is not within 0 to %g: a line is class cx cy w h, the last four as "+
				"shares of the image's width and height", f, most)
		}
		v[i] = x
	}
	if v[0] != float64(int(v[0])) {
		return Box{}, fmt.Errorf("%q is not the number of a class", fields[0])
	}
	class, err := n.class(int(v[0]))
	return Box{
		Class: class, Score: 1,
		Corners: [4]float32{
			float32(v[1] - v[3]/2), float32(v[2] - v[4]/2), float32(v[1] + v[3]/2), float32(v[2] + v[4]/2),
		},
	}, err
}

func limitOf(field int) float64 {
	if field == 0 {
		return maxYOLONames
	}
	return 1
}
