package samples

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// take counts what lies in the folder from before. Half-written files of a crash, pictures without a record
// and samples without their picture are deleted; what is not the store's is left alone.
func (s *Store) take() {
	root, err := os.OpenRoot(s.options.Dir)
	if err != nil {
		s.complain("samples not read", err)
		return
	}
	defer func() { _ = root.Close() }()
	t := taking{store: s, from: root.FS(), pictures: map[string]bool{}}
	if err := fs.WalkDir(t.from, ".", t.file); err != nil {
		s.complain("samples not read as a whole", err)
	}
	for name, used := range t.pictures {
		if !used {
			s.delete(name)
		}
	}
	for _, e := range t.own {
		if _, fits := s.room(e); !fits {
			s.evict(e)
		}
	}
}

// taking is what was found so far.
type taking struct {
	store    *Store
	from     fs.FS
	pictures map[string]bool // by name: whether a record has it
	own      []*entry
}

func (t *taking) file(name string, d fs.DirEntry, err error) error {
	if err != nil || !d.Type().IsRegular() || !ours(name) {
		return nil //nolint:nilerr // an unreadable folder hides its own samples only
	}
	switch path.Ext(name) {
	case temporarySuffix:
		t.store.delete(name)
	case pngSuffix, jpegSuffix:
		t.pictures[name] = t.pictures[name] || false
	case recordSuffix:
		e, picture := t.store.counted(t.from, name)
		t.pictures[picture] = true
		if e != nil {
			t.own = append(t.own, e)
		}
	}
	return nil
}

// counted reads one record. A damaged one is deleted, and what misses its picture is deleted unless an
// operator spoke. One of a version that is not known stays as it is.
func (s *Store) counted(from fs.FS, name string) (e *entry, picture string) {
	r, size, err := readRecord(from, name)
	if r != nil && r.Picture != nil {
		picture = path.Join(path.Dir(name), r.Picture.File)
	}
	switch {
	case errors.Is(err, ErrVersion):
		s.complain("sample not counted", err)
		return nil, picture
	case errors.Is(err, ErrRecord):
		s.complain("damaged sample deleted", err)
		s.delete(name)
		return nil, ""
	case err != nil:
		s.complain("sample not read", err)
		return nil, picture
	}
	e = newEntry(r, size)
	if r.Picture == nil {
		return e, ""
	}
	info, err := fs.Stat(from, picture)
	if err == nil && info.Size() == r.Picture.Bytes {
		return e, picture
	}
	if r.Reason == Overridden {
		e.bytes = size
		if err == nil {
			e.bytes += info.Size() // the frame that took the evidence's place, before its record did
		}
		return e, picture
	}
	s.delete(name)
	return nil, ""
}

// ours says whether a file can be one of the store: in a folder of a day, named after a result.
func ours(name string) bool {
	in, file := path.Split(name)
	_, err := time.Parse(time.DateOnly, path.Base(in))
	if err != nil || strings.Count(in, "/") != 2 {
		return false
	}
	stem := strings.TrimSuffix(file, temporarySuffix)
	switch path.Ext(stem) {
	case recordSuffix, pngSuffix, jpegSuffix:
		_, err := minted(strings.TrimSuffix(stem, path.Ext(stem)))
		return err == nil
	}
	return false
}
