package eval

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/models/bundle"
)

// loadCOCO reads one file of annotations and finds its images below the folder of the data set. Categories
// are mapped to the bundle's classes by name; those that label nothing need not be the bundle's. Regions
// marked iscrowd are ignored. Samples are in the order of the images' ids, which is pycocotools' order.
func loadCOCO(s *Source) (*Dataset, error) {
	file, err := cocoAnnotations(s)
	if err != nil {
		return nil, err
	}
	outlines := s.Task == bundle.TaskSegmentation || s.Task == bundle.TaskSemantic
	read, err := readCOCO(file, outlines)
	if err != nil {
		return nil, err
	}
	set := &Dataset{Names: file}
	at, err := read.place(set, cocoFolders(s, file))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLabels, file, err)
	}
	if err = read.label(set.Samples, at, s.kinds()); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLabels, file, err)
	}
	if outlines {
		if set.Outlines, err = read.outlined(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrLabels, file, err)
		}
	}
	return set, nil
}

// place makes a sample of each image and returns its place by the image's id.
func (c *cocoFile) place(set *Dataset, folders []string) (map[int64]int, error) {
	slices.SortFunc(c.images, func(a, b cocoImage) int { return cmp.Compare(*a.ID, *b.ID) })
	at := make(map[int64]int, len(c.images))
	files := make(map[string]int64, len(c.images))
	for _, im := range c.images {
		if _, twice := at[*im.ID]; twice {
			return nil, fmt.Errorf("two images have the id %d", *im.ID)
		}
		if other, twice := files[im.File]; twice {
			return nil, fmt.Errorf("the images %d and %d are both %s", other, *im.ID, im.File)
		}
		at[*im.ID], files[im.File] = len(set.Samples), *im.ID
		where, err := cocoImagePath(im, folders)
		if err != nil {
			return nil, err
		}
		set.Samples = append(set.Samples, Sample{Name: im.File, Path: where})
	}
	return at, nil
}

// label gives the samples, found by the id of the image, their labels.
func (c *cocoFile) label(samples []Sample, at map[int64]int, kinds *kinds) error {
	theirs := slices.Sorted(maps.Values(c.categories))
	classes := map[int64]int{} // of categories that were met
	for i := range c.annotations {
		a := &c.annotations[i]
		to, ok := at[a.image]
		if !ok {
			return fmt.Errorf("annotation %d is of image %d, which is not in the file", a.id, a.image)
		}
		class, met := classes[a.category]
		if !met {
			var err error
			if class, err = c.class(a.category, theirs, kinds); err != nil {
				return fmt.Errorf("annotation %d: %w", a.id, err)
			}
			classes[a.category] = class
		}
		samples[to].Labels = append(samples[to].Labels,
			Box{Class: class, Score: 1, Corners: a.corners, Ignored: a.crowd, shape: a.shape})
	}
	return nil
}

// outlined says whether annotations have outlines. All have them, or none.
func (c *cocoFile) outlined() (bool, error) {
	with, without := 0, int64(0)
	for i := range c.annotations {
		if c.annotations[i].shape != nil {
			with++
		} else {
			without = c.annotations[i].id
		}
	}
	if with > 0 && with < len(c.annotations) {
		return false, fmt.Errorf("annotation %d has no segmentation, and others have: figures of masks need "+
			"all", without)
	}
	return with > 0, nil
}

// class is that of a category, one of theirs.
func (c *cocoFile) class(category int64, theirs []string, kinds *kinds) (int, error) {
	name, ok := c.categories[category]
	if !ok {
		return 0, fmt.Errorf("category %d is not in the file", category)
	}
	return kinds.named(name, theirs)
}

// cocoAnnotations is the file to read: the one that is asked for, or the only one.
func cocoAnnotations(s *Source) (string, error) {
	if s.Annotations != "" {
		return s.Annotations, nil
	}
	for _, folder := range []string{"annotations", ".", s.Split} {
		found, err := fs.Glob(os.DirFS(s.Dir), path.Join(folder, "*.json"))
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoData, err)
		}
		found = slices.DeleteFunc(found, func(f string) bool {
			return folder != s.Split && !strings.Contains(path.Base(f), s.Split)
		})
		if len(found) > 1 {
			return "", fmt.Errorf("%w: %s has %s; choose with --annotations FILE", ErrNoData, s.Dir,
				listed(found))
		}
		if len(found) == 1 {
			return filepath.Join(s.Dir, found[0]), nil
		}
	}
	what := ""
	if s.Split != "" {
		what = " for the split " + s.Split
	}
	return "", fmt.Errorf("%w: no *.json%s in %s or its annotations/: name the file with --annotations",
		ErrNoData, what, s.Dir)
}

// cocoFolders are where images may lie: images, the split's folder (instances_val2017.json: val2017), the
// folder of the data set, and that of the annotations.
func cocoFolders(s *Source, file string) []string {
	stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	_, end, _ := strings.Cut(stem, "_")
	folders := []string{filepath.Join(s.Dir, "images")}
	for _, part := range []string{s.Split, stem, end} {
		if part != "" && filepath.IsLocal(part) {
			folders = append(folders, filepath.Join(s.Dir, "images", part), filepath.Join(s.Dir, part))
		}
	}
	folders = append(folders, s.Dir, filepath.Dir(file))
	return slices.DeleteFunc(folders, func(f string) bool { return !isFolder(f) })
}

// cocoImagePath finds an image's file.
func cocoImagePath(im cocoImage, folders []string) (string, error) {
	if !filepath.IsLocal(im.File) {
		return "", fmt.Errorf("image %d: file_name %q is no path below the folder of the images", *im.ID,
			im.File)
	}
	for _, folder := range folders {
		if file := filepath.Join(folder, im.File); isFile(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("image %d: no file %s in %s", *im.ID, im.File, strings.Join(folders, ", "))
}
