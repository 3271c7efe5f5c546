package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

const (
	cursorName     = "cursor"
	cursorEntry    = 12 // sequence number, CRC-32C of it
	maxCursorBytes = 48 << 10
)

// cursor is the file that remembers what is acknowledged: entries are appended, so that persisting costs one
// write and one sync; a new file replaces it when it has grown. Losing its newest entries costs duplicates,
// nothing else. The first value that is persisted begins a new file: the old one may end in half an entry.
type cursor struct {
	fs    fsutil.FS
	path  string
	value uint64
	size  int64
}

func openCursor(fs fsutil.FS, dir string) (cursor, error) {
	c := cursor{fs: fs, path: filepath.Join(dir, cursorName), size: maxCursorBytes}
	b, err := fsutil.ReadFile(c.path, 2*maxCursorBytes)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("read cursor: %w", err)
	}
	for len(b) >= cursorEntry {
		if crc32.Checksum(b[:8], castagnoli()) == binary.LittleEndian.Uint32(b[8:]) {
			c.value = max(c.value, binary.LittleEndian.Uint64(b))
		}
		b = b[cursorEntry:]
	}
	return c, nil
}

func (c *cursor) persist(value uint64) error {
	if value == c.value {
		return nil
	}
	if c.size >= maxCursorBytes {
		return c.replace(value)
	}
	f, err := c.fs.OpenFile(c.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open cursor: %w", err)
	}
	_, err = f.Write(encodeCursor(value))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		c.size = maxCursorBytes // its tail may be half an entry: begin anew next time
		return fmt.Errorf("write cursor: %w", err)
	}
	c.value, c.size = value, c.size+cursorEntry
	return nil
}

func (c *cursor) replace(value uint64) error {
	if err := fsutil.WriteFile(c.fs, c.path, encodeCursor(value), 0o600); err != nil {
		return fmt.Errorf("replace cursor: %w", err)
	}
	c.value, c.size = value, cursorEntry
	return nil
}

func encodeCursor(value uint64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, value)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}
