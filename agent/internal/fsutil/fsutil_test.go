package fsutil_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, fsutil.WriteFile(fsutil.OS{}, name, []byte("long old content"), 0o600))
	require.NoError(t, fsutil.WriteFile(fsutil.OS{}, name, []byte("new"), 0o640))
	b, err := fsutil.ReadFile(name, 3)
	require.NoError(t, err)
	require.Equal(t, "new", string(b))
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

func TestReadFileRefusesWhatIsTooLong(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, fsutil.WriteFile(fsutil.OS{}, name, []byte("four"), 0o600))
	_, err := fsutil.ReadFile(name, 3)
	require.ErrorContains(t, err, "longer than 3 bytes")
	_, err = fsutil.ReadFile(name+"x", 3)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFailureOfAnyCallLeavesTheOldFileAndNothingElse(t *testing.T) {
	calls := []string{"open", "write", "sync", "close", "rename"}
	for _, call := range calls {
		t.Run(call, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "f")
			require.NoError(t, fsutil.WriteFile(fsutil.OS{}, name, []byte("old"), 0o600))
			require.ErrorIs(t, fsutil.WriteFile(failing{call: call}, name, []byte("new"), 0o600), errInjected)
			b, err := fsutil.ReadFile(name, 100)
			require.NoError(t, err)
			require.Equal(t, "old", string(b))
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, entries, 1)
		})
	}
}

func TestUnsyncedDirectoryIsReported(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	require.ErrorIs(t, fsutil.WriteFile(failing{call: "dir"}, name, []byte("new"), 0o600), errInjected)
}

var errInjected = errors.New("injected")

type failing struct {
	fsutil.OS

	call string
}

func (f failing) OpenFile(name string, flag int, perm os.FileMode) (fsutil.File, error) {
	if f.call == "open" {
		return nil, errInjected
	}
	file, err := f.OS.OpenFile(name, flag, perm)
	return failingFile{File: file, call: f.call}, err
}

func (f failing) Rename(oldName, newName string) error {
	if f.call == "rename" {
		return errInjected
	}
	return f.OS.Rename(oldName, newName)
}

func (f failing) SyncDir(dir string) error {
	if f.call == "dir" {
		return errInjected
	}
	return f.OS.SyncDir(dir)
}

type failingFile struct {
	fsutil.File

	call string
}

func (f failingFile) Write(b []byte) (int, error) {
	if f.call == "write" {
		return 0, errInjected
	}
	return f.File.Write(b)
}

func (f failingFile) Sync() error {
	if f.call == "sync" {
		return errInjected
	}
	return f.File.Sync()
}

func (f failingFile) Close() error {
	if f.call == "close" {
		return errors.Join(errInjected, f.File.Close())
	}
	return f.File.Close()
}
