package outbox_test

import (
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// quotaFS is the real file system with a disk of few bytes.
type quotaFS struct {
	fsutil.OS

	mu     sync.Mutex
	left   int64
	size   map[string]int64
	missed map[string]int // writes that did not fit, by the file's name without its folder
}

func newQuotaFS(left int64) *quotaFS {
	return &quotaFS{left: left, size: map[string]int64{}, missed: map[string]int{}}
}

// leave is another program that fills the disk, or frees it.
func (q *quotaFS) leave(left int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left = left
}

func (q *quotaFS) missedOf(name string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.missed[name]
}

func (q *quotaFS) OpenFile(name string, flag int, perm os.FileMode) (fsutil.File, error) {
	file, err := q.OS.OpenFile(name, flag, perm)
	if err == nil && flag&os.O_TRUNC != 0 {
		q.resize(name, 0)
	}
	return &quotaFile{File: file, fs: q, name: name}, err
}

func (q *quotaFS) Remove(name string) error {
	q.resize(name, 0)
	return q.OS.Remove(name)
}

func (q *quotaFS) Rename(oldName, newName string) error {
	q.mu.Lock()
	q.left += q.size[newName]
	q.size[newName] = q.size[oldName]
	delete(q.size, oldName)
	q.mu.Unlock()
	return q.OS.Rename(oldName, newName)
}

// resize says how many bytes of the change did not fit.
func (q *quotaFS) resize(name string, size int64) (missing int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	grown := size - q.size[name]
	missing = max(0, grown-q.left)
	q.left -= grown - missing
	q.size[name] += grown - missing
	if missing > 0 {
		q.missed[filepath.Base(name)]++
	}
	return missing
}

func (q *quotaFS) sizeOf(name string) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size[name]
}

type quotaFile struct {
	fsutil.File

	fs   *quotaFS
	name string
}

func (f *quotaFile) Write(b []byte) (int, error) {
	missing := int(f.fs.resize(f.name, f.fs.sizeOf(f.name)+int64(len(b))))
	n, err := f.File.Write(b[:len(b)-missing])
	if err == nil && missing > 0 {
		err = unix.ENOSPC
	}
	return n, err
}

func (f *quotaFile) Truncate(size int64) error {
	f.fs.resize(f.name, size)
	return f.File.Truncate(size)
}
