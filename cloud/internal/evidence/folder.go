// Package evidence keeps the pictures of what was not PASS in a folder, or, with an object store behind the
// same method, elsewhere.
package evidence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

const (
	folderMode = 0o750
	fileMode   = 0o640
	partSuffix = ".part"
	leftover   = time.Hour // a part file of this age is nobody's: writing one picture takes far less
)

// Folder stores pictures as <dir>/<station path>/<resultId>/<n>.jpg. Nothing is written outside dir, not even
// through symbolic links within it. Safe for concurrent use.
type Folder struct {
	root *os.Root
}

// OpenFolder makes dir when it is missing.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, fmt.Errorf("make evidence folder: %w: choose one that may be written", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open evidence folder: %w", err)
	}
	return &Folder{root: root}, nil
}

// Close ends the use of the folder.
func (f *Folder) Close() error {
	if err := f.root.Close(); err != nil {
		return fmt.Errorf("close evidence folder: %w", err)
	}
	return nil
}

// Put returns when the picture and its folders are on disk. Putting the same picture again replaces it in one
// step.
func (f *Folder) Put(ctx context.Context, p *record.Picture) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store picture: %w", err)
	}
	dir := path.Join(p.Station.Path(), p.ResultID)
	name := path.Join(dir, strconv.Itoa(p.N)+".jpg")
	part := partName(name) // two deliveries of one picture must not share it
	if err := f.makeDirs(dir); err != nil {
		return err
	}
	if err := f.write(part, p.JPEG); err != nil {
		return errors.Join(err, f.root.Remove(part))
	}
	if err := f.root.Rename(part, name); err != nil {
		return errors.Join(fmt.Errorf("name picture: %w", err), f.root.Remove(part))
	}
	return f.syncDir(dir)
}

func partName(name string) string { return name + "." + uuid.NewString() + partSuffix }

// isPart tells names that partName gives from all others.
func isPart(name string) bool {
	rest, cut := strings.CutSuffix(name, partSuffix)
	n, id, parted := strings.Cut(rest, ".jpg.")
	_, notNumber := strconv.Atoi(n)
	_, notID := uuid.Parse(id)
	return cut && parted && notNumber == nil && notID == nil
}

// Sweep removes what a crash has left: the part files of Put that are older than an hour. It goes through all
// of the folder, which takes its time when there are many pictures, and may run beside Put. What it could not
// look into or remove is in the error; it goes on with the rest.
func (f *Folder) Sweep(ctx context.Context) (removed int, err error) {
	var failed error
	walked := fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err() //nolint:wrapcheck // the end of the program
		}
		if err == nil && entry.Type().IsRegular() && isPart(entry.Name()) {
			var gone bool
			if gone, err = f.removeOld(name, entry); gone {
				removed++
			}
		}
		failed = errors.Join(failed, err)
		return nil
	})
	if err := errors.Join(walked, failed); err != nil {
		return removed, fmt.Errorf("sweep evidence folder: %w", err)
	}
	return removed, nil
}

func (f *Folder) removeOld(name string, entry fs.DirEntry) (gone bool, err error) {
	info, err := entry.Info()
	if err == nil {
		if time.Since(info.ModTime()) < leftover {
			return false, nil
		}
		err = f.root.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) { // whose it was has been faster
		return false, nil
	}
	return err == nil, err //nolint:wrapcheck // names the file; the caller names the step
}

func (f *Folder) write(name string, b []byte) (err error) {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return fmt.Errorf("create picture: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(b); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync picture: %w", err)
	}
	return nil
}

// makeDirs makes each missing level and syncs its parent, so that a power cut loses no folder.
func (f *Folder) makeDirs(dir string) error {
	at := "."
	for level := range strings.SplitSeq(dir, "/") {
		parent := at
		at = path.Join(at, level)
		err := f.root.Mkdir(at, folderMode)
		switch {
		case errors.Is(err, os.ErrExist):
			continue
		case err != nil:
			return fmt.Errorf("make picture folder: %w", err)
		}
		if err := f.syncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return fmt.Errorf("open picture folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync picture folder: %w", err)
	}
	return nil
}
