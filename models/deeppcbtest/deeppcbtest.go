// Package deeppcbtest finds the DeepPCB data set, for tests that look at real boards.
package deeppcbtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Variable names the folder of the data set; a relative one is meant from the root of the repository.
const Variable = "SIGHTLINE_DEEPPCB"

// Remedy is what to do where there is no data set.
const Remedy = "set " + Variable + " to the folder of the DeepPCB data set: " +
	"a clone of https://github.com/tangsanli5201/DeepPCB, or images/ and labels/"

// ErrNone says that a folder holds no boards.
var ErrNone = errors.New("no boards of the DeepPCB data set")

const (
	tested = "_test.jpg"
	golden = "_temp.jpg"
)

// Find returns the folder of the data set, flat: images/<id>_test.jpg, images/<id>_temp.jpg, labels/<id>.txt.
// It lies where $SIGHTLINE_DEEPPCB says, else in shared/data/deeppcb beside the checkout. Empty means that it
// is not there, and that nobody said it was.
func Find(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv(Variable)
	given := dir != ""
	if !given {
		dir = filepath.Join("..", "shared", "data", "deeppcb")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(repositoryRoot(), dir)
	}
	flat, err := Flat(dir, tb.TempDir())
	if !given && errors.Is(err, ErrNone) {
		return ""
	}
	require.NoError(tb, err, Remedy)
	return flat
}

func repositoryRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Flat returns dir if it is flat. If it is the data set as published, PCBData or the folder above it, then it
// fills the folder into with links, and returns that. Of boards that are not in the published trainval.txt it
// takes none: what tests demand was measured on those 1,000.
func Flat(dir, into string) (string, error) {
	flat, err := fs.Glob(os.DirFS(dir), "images/*"+tested)
	if err != nil {
		return "", fmt.Errorf("list boards: %w", err)
	}
	if len(flat) > 0 {
		return dir, nil
	}
	for _, root := range []string{dir, filepath.Join(dir, "PCBData")} {
		files, err := published(root)
		if err != nil {
			return "", err
		}
		if len(files) > 0 {
			return into, linkAll(root, files, into)
		}
	}
	return "", fmt.Errorf("%w in %s", ErrNone, dir)
}

// published are the tested images <group>/<number>/<id>_test.jpg of the list, or all where there is none.
func published(root string) ([]string, error) {
	folder := os.DirFS(root)
	files, err := fs.Glob(folder, "*/*/*"+tested)
	if err != nil {
		return nil, fmt.Errorf("list boards: %w", err)
	}
	raw, err := fs.ReadFile(folder, "trainval.txt")
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of boards: %w", err)
	}
	listed := map[string]bool{} // lines "<group>/<number>/<id>.jpg <labels>"
	for line := range strings.Lines(string(raw)) {
		image, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		listed[strings.TrimSuffix(image, ".jpg")] = true
	}
	var chosen []string
	for _, file := range files {
		if listed[strings.TrimSuffix(file, tested)] {
			chosen = append(chosen, file)
		}
	}
	return chosen, nil
}

func linkAll(root string, files []string, into string) error {
	for _, folder := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(into, folder), 0o750); err != nil {
			return fmt.Errorf("make a folder of links to the boards: %w", err)
		}
	}
	for _, file := range files {
		folder, id := path.Dir(file), strings.TrimSuffix(path.Base(file), tested)
		for _, pair := range [][2]string{
			{file, "images/" + id + tested},
			{path.Join(folder, id+golden), "images/" + id + golden},
			{folder + "_not/" + id + ".txt", "labels/" + id + ".txt"},
		} {
			if err := link(root, pair[0], filepath.Join(into, pair[1])); err != nil {
				return err
			}
		}
	}
	return nil
}

func link(root, file, name string) error {
	_, err := fs.Stat(os.DirFS(root), file)
	if err != nil {
		return fmt.Errorf("the data set in %s is not whole: %w", root, err)
	}
	target, err := filepath.Abs(filepath.Join(root, file))
	if err == nil {
		err = os.Symlink(target, name)
	}
	if err != nil {
		return fmt.Errorf("link to a board of the data set: %w", err)
	}
	return nil
}
