package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/models/bundle"
)

// goodFolder has the images of good parts, of a data set for anomalies.
const goodFolder = "good"

// masksFolder has the masks of others, and maskEnd is what the name of one may end in.
const (
	masksFolder = "ground_truth"
	maskEnd     = "_mask"
)

// loadFolders reads one folder of images for each class, or, for anomalies, good/ and one for each kind of
// defect, perhaps with a mask for each of their images in ground_truth/: as MVTec AD is published, and what
// torchvision calls an ImageFolder.
func loadFolders(s *Source) (*Dataset, error) {
	base, err := foldersBase(s)
	if err != nil {
		return nil, err
	}
	kinds, err := kindsIn(base)
	if err != nil {
		return nil, err
	}
	if s.Task == bundle.TaskAnomaly && !slices.Contains(kinds, goodFolder) {
		return nil, fmt.Errorf("%w: %s has no folder %s for the images of good parts, only %s: name it so, "+
			"and each other folder after a kind of defect", ErrNoData, base, goodFolder, listed(kinds))
	}
	set := &Dataset{Names: base}
	for _, kind := range kinds {
		class := 0
		if s.Task == bundle.TaskClassification {
			if class, err = s.kinds().named(kind, kinds); err != nil {
				return nil, fmt.Errorf("%w: folder %s: %w", ErrLabels, filepath.Join(base, kind), err)
			}
		}
		if err = set.addFolder(base, kind, class); err != nil {
			return nil, err
		}
	}
	if s.Task != bundle.TaskAnomaly {
		return set, nil
	}
	err = set.findMasks(base)
	return set, err
}

// addFolder adds the images of a kind.
func (d *Dataset) addFolder(base, kind string, class int) error {
	files, err := imagesBelow(filepath.Join(base, kind))
	if err != nil {
		return err
	}
	if len(d.Samples)+len(files) > maxImages {
		return fmt.Errorf("%w: over %d images", ErrNoData, maxImages)
	}
	for _, file := range files {
		name := filepath.Join(kind, file)
		d.Samples = append(d.Samples, Sample{
			Name: name, Path: filepath.Join(base, name), Kind: kind, Class: class,
		})
	}
	return nil
}

// foldersBase is where the folders of the kinds lie: those of the split; else in test/, if that is there;
// else in the data set's folder.
func foldersBase(s *Source) (string, error) {
	if s.Split == "" {
		if test := filepath.Join(s.Dir, "test"); isFolder(test) {
			return test, nil
		}
		return s.Dir, nil
	}
	base := filepath.Join(s.Dir, s.Split)
	if !filepath.IsLocal(s.Split) || !isFolder(base) {
		return "", fmt.Errorf("%w: split %q is no folder in %s", ErrNoData, s.Split, s.Dir)
	}
	return base, nil
}

// kindsIn are the folders of images, sorted.
func kindsIn(base string) ([]string, error) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoData, err)
	}
	var kinds []string
	for _, e := range entries {
		name := e.Name()
		if name != masksFolder && !strings.HasPrefix(name, ".") && isFolder(filepath.Join(base, name)) {
			kinds = append(kinds, name)
		}
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("%w: %s has no folders: it needs one for each kind of image", ErrNoData, base)
	}
	return kinds, nil
}

// imagesBelow are the images in a folder and those below it, sorted, relative to it. Links to folders are not
// followed below it.
func imagesBelow(folder string) ([]string, error) {
	top, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoData, err)
	}
	var files []string
	err = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !imageName(e.Name()) {
			return err
		}
		if len(files) == maxImages {
			return fmt.Errorf("over %d images", maxImages)
		}
		file, err := filepath.Rel(top, path)
		files = append(files, file)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: list %s: %w", ErrNoData, top, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no file in %s ends in %s", ErrNoData, top, listed(imageEnds()))
	}
	slices.Sort(files)
	return files, nil
}

// findMasks gives each image of a defect its mask. Of a data set without any nothing is said of pixels; one
// that has some needs all.
func (d *Dataset) findMasks(base string) error {
	roots := []string{filepath.Join(filepath.Dir(base), masksFolder), filepath.Join(base, masksFolder)}
	found, first := 0, (*Sample)(nil)
	for i := range d.Samples {
		sample := &d.Samples[i]
		if sample.good() {
			continue
		}
		if sample.Mask = maskOf(sample.Name, roots); sample.Mask != "" {
			found++
		} else if first == nil {
			first = sample
		}
	}
	if found > 0 && first != nil {
		return fmt.Errorf("%w: %s has no mask %s.png or with %s.png, and others have: figures of pixels "+
			"need all; add it, or move %s away to go without", ErrLabels, first.Path,
			stem(first.Name), maskEnd,
			masksFolder)
	}
	return nil
}

// maskOf looks for a mask on the same way below one of the roots; empty: there is none.
func maskOf(name string, roots []string) string {
	for _, root := range roots {
		for _, end := range []string{maskEnd, ""} {
			if path := filepath.Join(root, stem(name)+end+".png"); isFile(path) {
				return path
			}
		}
	}
	return ""
}

func stem(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) }

// good says that an image of a data set for anomalies shows a good part.
func (s *Sample) good() bool { return s.Kind == goodFolder }

// checkLayout refuses a layout that cannot tell what the task is measured by.
func (s *Source) checkLayout() error {
	whole := s.Task == bundle.TaskAnomaly || s.Task == bundle.TaskClassification
	switch {
	case whole && s.Layout != LayoutFolders:
		return fmt.Errorf("a bundle for task %s is measured by what whole images show: use layout %s, a "+
			"folder for each kind, not %s", s.Task, LayoutFolders, s.Layout)
	case !whole && s.Layout == LayoutFolders:
		return errors.New("layout folders says nothing of where defects are: it is for bundles for " +
			"classification and anomalies")
	}
	return nil
}
