package samples

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// maxListed bounds what is read of a folder that somebody names.
const maxListed = 1 << 20

// ErrNone says that there is no sample to list or export.
var ErrNone = errors.New("no samples")

// Filter chooses samples; the zero value takes all.
type Filter struct {
	Since   time.Time
	Reasons []Reason // empty: all
	Station string   // enterprise/site/area/line/station, or the end of it, such as line/station or station
}

func (f *Filter) takes(r *Record) bool {
	return !r.Time.Before(f.Since) && (len(f.Reasons) == 0 || slices.Contains(f.Reasons, r.Reason)) &&
		(f.Station == "" || strings.HasSuffix("/"+r.Station, "/"+f.Station))
}

// Listing is what lies in a folder.
type Listing struct {
	Samples []*Record // oldest first
	// Unread are files that look like a sample's record and cannot be read, and why: the first 16 of Damaged.
	Unread  []string
	Damaged int
}

const maxUnread = 16

// List reads the records of a store's folder, also while an agent writes there.
func List(ctx context.Context, dir string, f Filter) (*Listing, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder of samples: %w", err)
	}
	defer func() { _ = root.Close() }()
	all := &Listing{}
	from := root.FS()
	err = fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist): // the agent deleted it meanwhile
			return nil
		case err != nil:
			return err
		case !d.Type().IsRegular() || !ours(name) || path.Ext(name) != recordSuffix:
			return nil
		case len(all.Samples) == maxListed:
			return fmt.Errorf("over %d samples: choose some with --since, --reason or --station", maxListed)
		}
		all.read(from, name, &f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list samples: %w", err)
	}
	slices.SortFunc(all.Samples, func(a, b *Record) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.ResultID, b.ResultID)
	})
	return all, nil
}

func (l *Listing) read(from fs.FS, name string, f *Filter) {
	r, _, err := readRecord(from, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err == nil && f.takes(r):
		l.Samples = append(l.Samples, r)
	case err != nil:
		l.Damaged++
		if len(l.Unread) < maxUnread {
			l.Unread = append(l.Unread, name+": "+err.Error())
		}
	}
}
