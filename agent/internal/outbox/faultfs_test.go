package outbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// faultFS is the real file system with faults on segments, and it knows which of their bytes were synced.
type faultFS struct {
	fsutil.OS

	mu        sync.Mutex
	failSync  func() error      // nil: works
	failWrite func(n int) error // gets the bytes written so far by this call: 0
	failRead  func(name string, at int64) error
	synced    map[string]int64
	size      map[string]int64
}

func newFaultFS() *faultFS {
	return &faultFS{synced: map[string]int64{}, size: map[string]int64{}}
}

func (f *faultFS) set(failSync func() error, failWrite func(int) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failSync, f.failWrite = failSync, failWrite
}

func (f *faultFS) setRead(failRead func(name string, at int64) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failRead = failRead
}

func (f *faultFS) OpenFile(name string, flag int, perm os.FileMode) (fsutil.File, error) {
	file, err := f.OS.OpenFile(name, flag, perm)
	if err != nil || !strings.Contains(name, ".seg") {
		return file, err
	}
	return &faultFile{File: file, fs: f, name: name}, nil
}

// cutPower leaves of each segment what was synced, and of the rest a torn part.
func (f *faultFS) cutPower(torn int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, synced := range f.synced {
		if _, err := os.Stat(name); err != nil {
			continue
		}
		if err := os.Truncate(name, min(f.size[name], synced+torn)); err != nil {
			return err
		}
	}
	return nil
}

type faultFile struct {
	fsutil.File

	fs   *faultFS
	name string
}

func (f *faultFile) Write(b []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.failWrite != nil {
		if err := f.fs.failWrite(len(b)); err != nil {
			n, _ := f.File.Write(b[:len(b)/2]) // a full disk takes a part
			f.fs.size[f.name] += int64(n)
			return n, err
		}
	}
	n, err := f.File.Write(b)
	f.fs.size[f.name] += int64(n)
	return n, err
}

func (f *faultFile) ReadAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.failRead != nil {
		if err := f.fs.failRead(filepath.Base(f.name), at); err != nil {
			return 0, err
		}
	}
	return f.File.ReadAt(b, at)
}

func (f *faultFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.failSync != nil {
		if err := f.fs.failSync(); err != nil {
			return err
		}
	}
	f.fs.synced[f.name] = f.fs.size[f.name]
	return f.File.Sync()
}
