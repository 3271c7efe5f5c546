package eval

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// stage links the images of a data set into a folder of its own, by number, so that a folder camera brings
// these and no others, in this order, whichever folders they lie in. The caller ends with remove.
func stage(samples []Sample) (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "sightline-eval-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder of links to the images: %w", err)
	}
	remove = func() error { return os.RemoveAll(dir) }
	for i := range samples {
		target, err := filepath.Abs(samples[i].Path)
		if err == nil {
			err = os.Symlink(target, filepath.Join(dir, linkName(i)))
		}
		if err != nil {
			return "", nil, errors.Join(fmt.Errorf("link to %s: %w", samples[i].Path, err), remove())
		}
	}
	return dir, remove, nil
}

// linkName sorts as its number does.
func linkName(i int) string { return fmt.Sprintf("image-%08d", i) }
