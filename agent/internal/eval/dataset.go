package eval

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// Names of the layouts that data sets come in.
const (
	LayoutDeepPCB = "deeppcb"
	LayoutCOCO    = "coco"
	LayoutYOLO    = "yolo"
	LayoutFolders = "folders"
)

// Bounds of what is read from outside.
const (
	maxImages    = 1 << 20
	maxTextBytes = 1 << 20 // of the labels of one image, and of a list of class names
	maxListBytes = 64 << 20
	maxSide      = 1 << 20 // pixels
)

var (
	// ErrNoData says that the folder is no data set of the layout.
	ErrNoData = errors.New("no labelled images")
	// ErrLabels says that labels cannot be read.
	ErrLabels = errors.New("labels cannot be read")
	// ErrUnknownClass says that something is labelled that the bundle does not know.
	ErrUnknownClass = errors.New("the bundle has no such class")
	// ErrNoTemplate says that an image lacks the golden template that an inspection needs.
	ErrNoTemplate = errors.New("no golden template")
)

// Source says where a data set lies, and what of it to take.
type Source struct {
	Dir         string
	Layout      string
	Split       string   // a part, such as val or test; empty: all that is there
	Annotations string   // coco: the file; empty: the only one in Dir
	Task        string   // of the bundle; empty: detection
	Classes     []string // of the bundle, in the order of the model's outputs
	OneClass    bool     // instead of Classes: kinds of defects are not told apart, labels are of class 0
	Templates   bool     // each image needs its golden template
	Limit       int      // so many images at most, spread evenly; 0: all
}

// kinds are what its labels are mapped to.
func (s *Source) kinds() *kinds { return &kinds{bundle: s.Classes, one: s.OneClass} }

// Dataset is labelled images in the order in which they are inspected.
type Dataset struct {
	Layout  string
	Samples []Sample

	// Shares says that the labels' corners are shares of the image's width and height, 0 to 1.
	Shares bool

	// Unlabelled counts the images without a file of labels, which yolo takes as free of defects.
	Unlabelled int

	// Names is the file whose class names were mapped to the bundle's; empty: classes are numbers in the
	// bundle's order.
	Names string

	// Outlines says that all labels have one, beside their box.
	Outlines bool

	// OneClass says that all labels are of class 0, whatever they are of.
	OneClass bool
}

// classesBy says how labels came to their classes, none where these are not told apart.
func (d *Dataset) classesBy() string {
	switch {
	case d.OneClass:
		return "none"
	case d.Names != "":
		return "name"
	}
	return "number"
}

// Sample is one image with its labels.
type Sample struct {
	Name     string // as the data set names it, unique in it
	Path     string
	Template string // path of the picture of a good board that belongs to it; empty: none was asked for
	Labels   []Box

	// Of layout folders: the one that the image is in; the class, of a classification; and the path of the
	// mask of what is unusual, of anomalies, empty for none.
	Kind  string
	Class int
	Mask  string

	unlabelled bool
}

// Load reads the labels of a data set, not its images. Errors name the file and the line or annotation.
// Labels of classes that the bundle does not have are ErrUnknownClass, and images that lack the golden
// template that they need ErrNoTemplate.
func Load(s Source) (*Dataset, error) {
	load := map[string]func(*Source) (*Dataset, error){
		LayoutDeepPCB: loadDeepPCB, LayoutCOCO: loadCOCO, LayoutYOLO: loadYOLO, LayoutFolders: loadFolders,
	}[s.Layout]
	if load == nil {
		return nil, fmt.Errorf("layout %q is not known: use %s, %s, %s or %s",
			s.Layout, LayoutDeepPCB, LayoutCOCO, LayoutYOLO, LayoutFolders)
	}
	if err := s.checkLayout(); err != nil {
		return nil, err
	}
	if s.Limit < 0 {
		return nil, fmt.Errorf("limit of %d images: use a positive number, or 0 for all", s.Limit)
	}
	if s.Annotations != "" && s.Layout != LayoutCOCO {
		return nil, fmt.Errorf("a file of annotations belongs to layout %s, not to %s", LayoutCOCO, s.Layout)
	}
	if info, err := os.Stat(s.Dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoData, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is no folder", ErrNoData, s.Dir)
	}
	set, err := load(&s)
	if err != nil {
		return nil, err
	}
	set.Layout, set.OneClass = s.Layout, s.OneClass
	set.Samples = spread(set.Samples, s.Limit)
	if s.Templates {
		if err := set.findTemplates(&s); err != nil {
			return nil, err
		}
	}
	for i := range set.Samples {
		if set.Samples[i].unlabelled {
			set.Unlabelled++
		}
	}
	return set, nil
}

// spread takes limit samples at even distances, the first among them.
func spread(all []Sample, limit int) []Sample {
	if limit == 0 || limit >= len(all) {
		return all
	}
	some := make([]Sample, 0, limit)
	for i := range limit {
		some = append(some, all[i*len(all)/limit])
	}
	return some
}

// eachLine calls do with every line of a small text file that is not blank. Its errors name file and line.
func eachLine(path string, limit int64, do func(line string) error) error {
	raw, err := fsutil.ReadFile(path, limit)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLabels, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		if err := do(line); err != nil {
			return fmt.Errorf("%w: %s, line %d: %w", ErrLabels, path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrLabels, path, err)
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
