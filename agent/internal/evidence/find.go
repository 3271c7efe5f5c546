package evidence

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/sightline-edge/sightline/agent/topic"
)

// Find returns the annotated frame of a result, or fs.ErrNotExist: there was none, or it has gone.
func (s *Store) Find(place topic.Station, resultID string) ([]byte, error) {
	name, err := s.name(place, resultID, 0)
	if err != nil {
		return nil, err
	}
	at := taken(path.Base(name), time.Time{})
	if at.IsZero() {
		return nil, fmt.Errorf("evidence of %q: %w", resultID, fs.ErrNotExist)
	}
	for days := range 2 { // it may have been stored after midnight
		day := at.UTC().AddDate(0, 0, days).Format(time.DateOnly)
		f, err := s.root.Open(path.Join(day, path.Base(path.Dir(name)), path.Base(name)))
		if err != nil {
			continue
		}
		picture, err := io.ReadAll(io.LimitReader(f, maxPictureBytes))
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("read evidence: %w", err)
		}
		return picture, nil
	}
	return nil, fmt.Errorf("evidence of %q: %w", resultID, fs.ErrNotExist)
}
