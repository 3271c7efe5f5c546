// Package fsutil writes files so that they survive a power cut: bytes are synced before a name points to
// them, and the directory is synced before anybody is told. FS is the small layer through which the durable
// stores reach the disk, so that tests can make it fail.
package fsutil

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// FS are the calls that change a directory. Safe for concurrent use.
type FS interface {
	OpenFile(name string, flag int, perm os.FileMode) (File, error)
	Rename(oldName, newName string) error
	Remove(name string) error
	SyncDir(dir string) error
}

// File is what the durable stores need of an open file.
type File interface {
	io.ReadWriteCloser
	io.ReaderAt
	Sync() error
	Truncate(size int64) error
}

// OS is the real file system.
type OS struct{}

// OpenFile is os.OpenFile.
func (OS) OpenFile(name string, flag int, perm os.FileMode) (File, error) {
	return os.OpenFile(name, flag, perm)
}

// Rename is os.Rename; the directory is not yet synced.
func (OS) Rename(oldName, newName string) error {
	return os.Rename(oldName, newName) //nolint:forbidigo // this is the place that it is allowed in
}

// Remove is os.Remove; the directory is not yet synced.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir makes the names in a directory durable.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteFile replaces name by a file of these bytes: after a crash either the old or the new is there, whole.
// When it returns nil the new one is durable.
func WriteFile(fs FS, name string, data []byte, perm os.FileMode) error {
	temporary := name + ".tmp"
	if err := writeSynced(fs, temporary, data, perm); err != nil {
		return errors.Join(err, ignoreMissing(fs.Remove(temporary)))
	}
	if err := fs.Rename(temporary, name); err != nil {
		return errors.Join(fmt.Errorf("rename %s: %w", temporary, err), ignoreMissing(fs.Remove(temporary)))
	}
	if err := fs.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("sync directory of %s: %w", name, err)
	}
	return nil
}

func writeSynced(fs FS, name string, data []byte, perm os.FileMode) error {
	f, err := fs.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ReadFile reads a file of at most limit bytes; a longer one is an error, before memory is spent on it.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: longer than %d bytes", name, limit)
	}
	return b, nil
}
