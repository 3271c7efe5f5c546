// Package template keeps golden templates on disk: what a good board of a recipe looks like. A version is a
// folder <dir>/<recipe>/<version> with template.png and template.json, and never changes.
package template

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// Names of the files of a version.
const (
	ImageFile = "template.png"
	InfoFile  = "template.json"
)

const (
	maxImageBytes = 512 << 20
	maxInfoBytes  = 1 << 16
	maxVersion    = 1 << 30

	partialPrefix = ".partial-"
	maxSaving     = time.Hour // writing two files
)

// ErrTemplate is wrapped by all errors of this package.
var ErrTemplate = errors.New("golden template")

var recipePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Template is one version on disk.
type Template struct {
	Recipe  string `json:"recipe"`
	Version int    `json:"version"` // counts up from 1; 0: a picture that belongs to no recipe
	Path    string `json:"path"`    // of the picture
	Digest  string `json:"digest"`  // sha256:<hex> of the picture's file
	Info    Info   `json:"info"`
}

// Info says how a version came about.
type Info struct {
	Captured time.Time `json:"captured"`
	Camera   string    `json:"camera"`
	Boards   int       `json:"boards"`   // whose majority it shows
	LeftOut  int       `json:"left_out"` // did not fit the others
	Width    int       `json:"width"`    // pixels
	Height   int       `json:"height"`
	// Residual is the mean share of pixels in which a board, moved onto the first one, differs from that.
	Residual float64 `json:"residual"`
}

// Name is recipe@version, or the path of a picture that belongs to no recipe.
func (t *Template) Name() string {
	if t.Version == 0 {
		return t.Path
	}
	return t.Recipe + "@" + strconv.Itoa(t.Version)
}

// Check says whether a recipe may be called so.
func Check(recipe string) error {
	if !recipePattern.MatchString(recipe) {
		return fmt.Errorf("%w: recipe %q: 1 to 64 letters, digits, '.', '_', '-'", ErrTemplate, recipe)
	}
	return nil
}

// Find looks up what a user named: recipe (its newest version), recipe@version, or the path of a picture,
// which has a slash.
func Find(name, dir string) (*Template, error) {
	if strings.ContainsRune(name, '/') {
		return describe(&Template{Path: name})
	}
	recipe, wanted, pinned := strings.Cut(name, "@")
	if err := Check(recipe); err != nil {
		return nil, err
	}
	versions, err := versions(dir, recipe)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("%w: recipe %s has none in %s: "+
			"capture one with sightline-agent template capture", ErrTemplate, recipe, dir)
	}
	version := versions[len(versions)-1]
	if pinned {
		n, err := strconv.Atoi(wanted)
		if err != nil || !slices.Contains(versions, n) {
			return nil, fmt.Errorf("%w: recipe %s has versions %v, and no %s", ErrTemplate, recipe, versions,
				wanted)
		}
		version = n
	}
	return read(dir, recipe, version)
}

// List returns all versions of all recipes, oldest first.
func List(dir string) ([]*Template, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: list recipes: %w", ErrTemplate, err)
	}
	var all []*Template
	for _, e := range entries {
		if !e.IsDir() || Check(e.Name()) != nil {
			continue
		}
		found, err := versions(dir, e.Name())
		if err != nil {
			return nil, err
		}
		for _, v := range found {
			t, err := read(dir, e.Name(), v)
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// Save makes the next version of a recipe of a picture's bytes (PNG). It is there whole or not at all.
func Save(dir, recipe string, picture []byte, info Info) (*Template, error) {
	if err := Check(recipe); err != nil {
		return nil, err
	}
	found, err := versions(dir, recipe)
	if err != nil {
		return nil, err
	}
	next := 1
	if len(found) > 0 {
		next = found[len(found)-1] + 1
	}
	if err := save(filepath.Join(dir, recipe), strconv.Itoa(next), picture, info); err != nil {
		return nil, fmt.Errorf("%w: save %s@%d: %w", ErrTemplate, recipe, next, err)
	}
	return read(dir, recipe, next)
}

func save(dir, version string, picture []byte, info Info) error {
	if err := makeFolder(dir); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := sweep(dir); err != nil {
		return fmt.Errorf("remove what an earlier capture left: %w", err)
	}
	partial, err := os.MkdirTemp(dir, partialPrefix)
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(partial) }() // it has moved when all went well
	about, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("encode info: %w", err)
	}
	for name, content := range map[string][]byte{ImageFile: picture, InfoFile: append(about, '\n')} {
		if err := write(filepath.Join(partial, name), content); err != nil {
			return err
		}
	}
	if err := os.Chmod(partial, 0o750); err != nil { //nolint:gosec // a folder that a group may list
		return fmt.Errorf("set rights: %w", err)
	}
	disk := fsutil.OS{}
	if err := disk.SyncDir(partial); err != nil {
		return err
	}
	if err := disk.Rename(partial, filepath.Join(dir, version)); err != nil { // such as: the version is there
		return err
	}
	return disk.SyncDir(dir)
}

// makeFolder makes a folder, and those above it that are missing, and their names durable.
func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o750)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeFolder(filepath.Dir(dir)); err == nil {
			err = os.Mkdir(dir, 0o750)
		}
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return fsutil.OS{}.SyncDir(filepath.Dir(dir))
}

// sweep removes what a capture that was killed left behind. One that is under way is not so old.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), partialPrefix) {
			continue
		}
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > maxSaving {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // the other capture has ended
			return err
		}
	}
	return nil
}

func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// versions are those of a recipe, ascending.
func versions(dir, recipe string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(dir, recipe))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: list versions of %s: %w", ErrTemplate, recipe, err)
	}
	var found []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 && n <= maxVersion && e.IsDir() {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found, nil
}

func read(dir, recipe string, version int) (*Template, error) {
	folder := filepath.Join(dir, recipe, strconv.Itoa(version))
	t := &Template{Recipe: recipe, Version: version, Path: filepath.Join(folder, ImageFile)}
	raw, err := fsutil.ReadFile(filepath.Join(folder, InfoFile), maxInfoBytes)
	if err == nil {
		err = json.Unmarshal(raw, &t.Info)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrTemplate, t.Name(), err)
	}
	return describe(t)
}

// describe makes the path absolute and hashes the picture.
func describe(t *Template) (*Template, error) {
	path, err := filepath.Abs(t.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: resolve path: %w", ErrTemplate, err)
	}
	t.Path = path
	if t.Digest, err = digest(path, maxImageBytes); err != nil {
		return nil, fmt.Errorf("%w: read picture: %w", ErrTemplate, err)
	}
	return t, nil
}

// digest hashes a whole file of at most limit bytes, which may grow meanwhile.
func digest(path string, limit int64) (string, error) {
	info, err := os.Stat(path) // before it is opened, which may wait for ever at a pipe
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no plain file", path)
	}
	long := fmt.Errorf("%s has more than %d bytes: take a picture of fewer pixels", path, limit)
	if info.Size() > limit {
		return "", long
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, limit+1))
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", long
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
