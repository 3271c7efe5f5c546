package outbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

const (
	maxBatch       = 64
	maxBatchBytes  = 1 << 20
	persistEvery   = 200 * time.Millisecond
	complaintEvery = 10 * time.Second
)

// pending is an entry on its way to the disk.
type pending struct {
	entry  Entry
	stored int64
	done   chan error // nil for an offer; takes one
}

// writer is what only the writer's goroutine touches.
type writer struct {
	cursor cursor
	next   uint64      // sequence number, never given twice, also not after an error
	file   fsutil.File // of active, nil if there is none
	active *segment
	buf    []byte

	reserved       bool // the reserve is in place
	reserveTriedAt time.Time

	complainedAt time.Time
}

// run is the writer's goroutine: everything that changes the directory happens here.
func (o *Outbox) run() {
	ticker := time.NewTicker(persistEvery)
	defer ticker.Stop()
	o.fillReserve()
	for {
		select {
		case p := <-o.queue:
			o.commit(o.gather(p))
		case <-ticker.C:
			select {
			case <-o.acked:
				o.settle()
			default:
			}
		case <-o.stop:
			o.finish()
			return
		}
	}
}

// gather takes what waits, without waiting for more: while one batch syncs the next one collects.
func (o *Outbox) gather(first pending) []pending {
	batch := append(make([]pending, 0, maxBatch), first)
	size := recordBytes(first.entry)
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case p := <-o.queue:
			batch = append(batch, p)
			size += recordBytes(p.entry)
		default:
			return batch
		}
	}
	return batch
}

func (o *Outbox) finish() {
	for {
		select {
		case p := <-o.queue:
			o.commit(o.gather(p))
			continue
		default:
		}
		break
	}
	o.settle()
	o.seal()
	o.forget(o.disk.cursor.value)
}

// commit stores a batch with one sync. A failed write or sync is never tried again on the same file, whose
// pages the kernel may have thrown away: the file is closed at its last durable byte, and the batch is
// written once more, under new numbers, to a new file. If that fails too, nothing of it is acknowledged.
func (o *Outbox) commit(batch []pending) {
	for _, p := range batch {
		o.queued.Add(-int64(len(p.entry.Payload)))
	}
	batch = o.admit(batch)
	if len(batch) == 0 {
		return
	}
	err := o.write(batch)
	if err != nil {
		o.writeErrors.Add(1)
		o.complain("writing to the outbox failed", err)
		if diskFull(err) {
			batch = o.refuse(batch, Normal, err)
			o.makeRoom(batchBytes(batch))
		}
		err = o.write(batch)
	}
	if err != nil {
		o.writeErrors.Add(1)
		o.complain("records are dropped, they cannot be stored", err)
		o.refuseAll(batch, err)
		return
	}
	o.stored.Add(uint64(len(batch)))
	for _, p := range batch {
		p.answer(nil)
	}
	signal(o.wake)
}

func (o *Outbox) write(batch []pending) error {
	if len(batch) == 0 {
		return nil
	}
	if err := o.openActive(); err != nil {
		return err
	}
	w := &o.disk
	w.buf = w.buf[:0]
	normal := w.active.normal
	for _, p := range batch {
		r := Record{Entry: p.entry, Sequence: w.next, stored: p.stored, boot: o.options.Boot}
		w.buf = appendRecord(w.buf, r)
		w.next++
		normal = normal || p.entry.Priority == Normal
	}
	_, err := w.file.Write(w.buf)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		o.abandon()
		return fmt.Errorf("write segment: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w.active.size += int64(len(w.buf))
	w.active.last = w.next - 1
	w.active.normal = normal
	return nil
}

// openActive makes sure that there is a segment with room.
func (o *Outbox) openActive() error {
	w := &o.disk
	if w.file != nil && w.active.size >= o.options.SegmentBytes {
		o.seal()
	}
	if w.file != nil {
		return nil
	}
	path := segmentPath(o.options.Dir, w.next)
	f, err := o.options.FS.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("create segment: %w", err)
	}
	if err := o.options.FS.SyncDir(o.options.Dir); err != nil {
		return errors.Join(fmt.Errorf("sync outbox directory: %w", err), f.Close(), o.options.FS.Remove(path))
	}
	w.file, w.active = f, &segment{path: path, first: w.next, last: w.next - 1}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, w.active)
	return nil
}

// seal closes the active segment; the next batch begins a new one.
func (o *Outbox) seal() {
	w := &o.disk
	if w.file == nil {
		return
	}
	if err := w.file.Close(); err != nil {
		o.complain("closing a segment failed", err) // all of it is synced already
	}
	w.file, w.active = nil, nil
}

// abandon gives up the active segment behind its last durable byte. Cutting the file may fail as well; the
// reader goes by the size in memory, and after a restart whole records found there are sent too, which is
// allowed.
func (o *Outbox) abandon() {
	w := &o.disk
	if err := w.file.Truncate(w.active.size); err != nil {
		o.complain("cutting a segment failed", err)
	}
	abandoned := w.active
	o.seal()
	if abandoned.size > 0 {
		return
	}
	if err := o.options.FS.Remove(abandoned.path); err != nil {
		o.complain("removing a segment failed", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = slices.DeleteFunc(o.kept, func(g *segment) bool { return g == abandoned })
}

// settle persists the cursor and then deletes what lies behind it. A cursor that cannot be persisted is tried
// again at the next tick.
func (o *Outbox) settle() {
	o.mu.Lock()
	value := o.cursor
	o.mu.Unlock()
	if err := o.persist(value); err != nil {
		o.complain("persisting the cursor failed, records will be sent twice after a restart", err)
		signal(o.acked)
		return
	}
	o.forget(value)
	if now := time.Now(); now.Sub(o.disk.reserveTriedAt) >= complaintEvery {
		o.disk.reserveTriedAt = now
		o.fillReserve()
	}
}

// persist makes room for the cursor on a full disk: with what is acknowledged, then with the reserve.
func (o *Outbox) persist(value uint64) error {
	err := o.disk.cursor.persist(value)
	if diskFull(err) {
		o.forget(value)
		err = o.disk.cursor.persist(value)
	}
	if diskFull(err) && o.giveUpReserve() {
		err = o.disk.cursor.persist(value)
	}
	return err
}

// forget deletes the segments that are acknowledged as a whole. Ahead of the durable cursor the newest stays:
// after a crash its numbers tell which ones were given already.
func (o *Outbox) forget(upTo uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	newest := o.kept.last()
	o.kept = slices.DeleteFunc(o.kept, func(g *segment) bool {
		if g == o.disk.active || g.last > upTo || (g.last == newest && newest > o.disk.cursor.value) {
			return false
		}
		if err := o.options.FS.Remove(g.path); err != nil {
			o.complain("removing a segment failed", err)
			return errors.Is(err, os.ErrNotExist)
		}
		return true
	})
}

func (o *Outbox) complain(what string, err error) {
	if now := time.Now(); now.Sub(o.disk.complainedAt) >= complaintEvery {
		o.disk.complainedAt = now
		o.log.Error("outbox trouble, check the disk", "what", what, "dir", o.options.Dir, "error", err)
	}
}

func (p pending) answer(err error) {
	if p.done != nil {
		p.done <- err
	}
}

func diskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
