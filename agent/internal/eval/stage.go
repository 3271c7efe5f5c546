package eval

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// stage links the images of a data set into a folder of its own, by number, so that a folder camera brings
// these and no others, in this order, whichever folders they lie in; where templates are wanted, beside
// each its golden template. The caller ends with remove.
func stage(samples []Sample, templates bool) (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "sightline-eval-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder of links to the images: %w", err)
	}
	remove = func() error { return os.RemoveAll(dir) }
	for i := range samples {
		err := link(samples[i].Path, filepath.Join(dir, linkName(i)))
		if err == nil && templates {
			err = linkTemplate(&samples[i], filepath.Join(dir, templateName+linkName(i)[len(boardName):]))
		}
		if err != nil {
			return "", nil, errors.Join(err, remove())
		}
	}
	return dir, remove, nil
}

func linkTemplate(s *Sample, name string) error {
	if s.Template == "" {
		return fmt.Errorf("%w: of %s, which this inspection needs", ErrNoTemplate, s.Name)
	}
	return link(s.Template, name)
}

func link(path, name string) error {
	target, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(target)
	}
	if err == nil {
		err = os.Symlink(target, name)
	}
	if err != nil {
		return fmt.Errorf("link to %s: %w", path, err)
	}
	return nil
}

// What the names of links begin with.
const (
	boardName    = "image-"
	templateName = "template-"
)

// linkName sorts as its number does.
func linkName(i int) string { return fmt.Sprintf(boardName+"%08d", i) }
