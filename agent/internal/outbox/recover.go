package outbox

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

const (
	lockName     = "lock"
	reserveName  = "reserve"
	bootIDPath   = "/proc/sys/kernel/random/boot_id"
	maxBootBytes = 64
	// maxSegmentBytes bounds what is read into memory at once: a full segment and one batch.
	maxSegmentBytes = 256 << 20
)

// lockDir keeps a second process out. The kernel frees the lock when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of outbox: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another process has it open: stop the other sightline-agent, " +
			"or give this one its own state_dir")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock outbox %s: %w", dir, err), f.Close())
	}
	return f, nil
}

func bootID() uint32 {
	b, err := fsutil.ReadFile(bootIDPath, maxBootBytes)
	if err != nil {
		return uint32(os.Getpid()) // no Linux: each run counts as a boot of its own
	}
	return crc32.ChecksumIEEE(b)
}

// recover brings the directory into the state that the rest relies on: whole segments, known last numbers,
// nothing that is acknowledged already.
func (o *Outbox) recover() error {
	acked, err := openCursor(o.options.FS, o.options.Dir)
	if err != nil {
		return err
	}
	if err = acked.replace(acked.value); err != nil {
		o.complain("the cursor cannot be written, which is tried again later", err)
	}
	list, err := listSegments(o.options.Dir)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		newest := list[len(list)-1]
		if err := o.mend(newest); err != nil {
			return err
		}
		if newest.size == 0 { // its name would be given again
			if err := o.options.FS.Remove(newest.path); err != nil {
				return fmt.Errorf("remove empty segment: %w", err)
			}
			list = list[:len(list)-1]
		}
	}
	o.kept, o.cursor = list, acked.value
	o.disk = writer{cursor: acked, next: max(list.last(), acked.value) + 1}
	o.place = place{sequence: acked.value}
	if info, err := os.Stat(o.reservePath()); err == nil {
		o.disk.reserved = info.Size() == o.options.SegmentBytes
	}
	o.forget(acked.value)
	return nil
}

// mend cuts the newest segment behind its last whole record. What a crash tore was never acknowledged; if
// bytes were damaged later, nobody can tell how many records they were, so the number of bytes is reported.
func (o *Outbox) mend(g *segment) error {
	b, err := o.readSegment(g.path, 0, g.size)
	if err != nil { // the reader will try again, or pass over it; no record is shorter than its header
		g.last = g.first - 1 + uint64(g.size)/headerBytes
		o.log.Error("newest segment cannot be read, check the disk", "segment", g.path, "error", err)
		return nil
	}
	s := scan(b, math.MaxInt, true)
	g.last = g.first - 1
	for _, r := range s.records {
		g.last = max(g.last, r.Sequence)
	}
	if s.corrupt > 0 {
		o.log.Error("stored records are damaged, check the disk", "segment", g.path, "damaged", s.corrupt)
	}
	torn := int64(len(b) - s.used)
	if torn == 0 {
		return nil
	}
	o.tornBytes = torn
	o.log.Warn("torn tail cut off", "segment", g.path, "kept_bytes", s.used, "cut_bytes", torn)
	g.size = int64(s.used)
	return truncate(o.options.FS, g.path, g.size)
}

func truncate(fs fsutil.FS, path string, size int64) error {
	f, err := fs.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cut segment: %w", err)
	}
	return nil
}
