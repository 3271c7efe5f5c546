package outbox

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const segmentSuffix = ".seg"

// segment is one file. Its fields are guarded by Outbox.mu.
type segment struct {
	path   string
	first  uint64
	last   uint64 // of the newest durable record
	size   int64  // durable bytes
	normal bool   // may hold Normal records

	fails    int   // reads in a row that failed at one place
	failedAt int64 // its offset
}

// segments are in order of first.
type segments []*segment

func (s segments) bytes() int64 {
	var n int64
	for _, g := range s {
		n += g.size
	}
	return n
}

func (s segments) last() uint64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].last
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentSuffix))
}

// listSegments reads the directory. The last sequence number of all but the newest follows from the next
// one's name.
func listSegments(dir string) (segments, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var list segments
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || len(digits) != 20 || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list segments: %w", err)
		}
		path := filepath.Join(dir, e.Name())
		list = append(list, &segment{path: path, first: first, size: info.Size(), normal: true})
	}
	slices.SortFunc(list, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	for i := range len(list) - 1 {
		list[i].last = list[i+1].first - 1
	}
	return list, nil
}
