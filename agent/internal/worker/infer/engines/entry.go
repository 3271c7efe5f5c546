package engines

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// compiled is how ONNX Runtime's names of engines end. Beside them lie profiles of shapes, and other notes.
const compiled = ".engine"

// Entry is the folder of one session. One goroutine at a time.
type Entry struct {
	store *Store
	key   Key
	name  string
	ready bool     // built before, by this node
	kept  bool     // sealed, or used well
	lock  *os.File // of one that is being built
	began time.Time
}

// Dir is the folder that ONNX Runtime reads the engine from, or writes it to.
func (e *Entry) Dir() string { return filepath.Join(e.store.dir, e.name) }

// Ready says that the engine is there: it is loaded, and not built.
func (e *Entry) Ready() bool { return e.ready }

// ErrNone is wrapped by Keep where the session wrote no engine: TensorRT runs no part of its model.
var ErrNone = errors.New("no engine was built")

// Keep seals what was built, for the next start, once the session is known to compute what it should, and has
// run: some engines are built only then.
func (e *Entry) Keep() error {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.kept {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if e.ready {
		e.kept = true
		now := time.Now()
		return s.root.Chtimes(e.name+"/"+manifestName, now, now) // it goes later, when there are too many
	}
	made, err := e.seal()
	if err != nil {
		return err
	}
	if size := made.bytes(); size > s.limit {
		s.log.Warn("an engine is not kept: it is larger than all may be together", "dir", s.dir,
			"bytes", size, "limit_bytes", s.limit)
		return nil
	}
	if err := e.settle(); err != nil || !e.kept {
		return err
	}
	s.log.Info("an engine is kept for the next start", "dir", s.dir, "engine", e.name, "bytes", made.bytes(),
		"took_ms", time.Since(e.began).Milliseconds())
	s.shrink()
	return nil
}

// seal writes engine.json, last of all files.
func (e *Entry) seal() (seal, error) {
	s := e.store
	files, err := s.hash(e.name)
	if err != nil {
		return seal{}, fmt.Errorf("keep an engine: %w", err)
	}
	if !slices.ContainsFunc(files, func(f file) bool { return strings.HasSuffix(f.Name, compiled) }) {
		return seal{}, fmt.Errorf("keep an engine: %w in %s", ErrNone, e.Dir())
	}
	made := seal{Key: e.key, Files: files}
	if made.MAC, err = made.sign(s.secret); err != nil {
		return seal{}, err
	}
	raw, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return seal{}, fmt.Errorf("keep an engine: %w", err)
	}
	f, err := s.root.OpenFile(e.name+"/"+manifestName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return seal{}, fmt.Errorf("keep an engine: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return seal{}, fmt.Errorf("keep an engine: %w", err)
	}
	return made, nil
}

// settle gives the folder its name, unless a session beside this one was quicker.
func (e *Entry) settle() error {
	s, name := e.store, e.key.ID()+suffix
	if err := s.root.Remove(e.name + "/" + lockName); err != nil {
		return fmt.Errorf("keep an engine: %w", err)
	}
	err := errors.Join(s.sync(e.name), s.root.Rename(e.name, name))
	if err != nil {
		if _, there := s.root.Lstat(name); there == nil {
			return nil
		}
		return fmt.Errorf("keep an engine: %w", err)
	}
	e.name, e.kept = name, true
	return s.sync(".")
}

func (s *Store) sync(name string) error {
	d, err := s.root.Open(name)
	if err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Drop removes an engine that was built before and does not do what it should.
func (e *Entry) Drop(reason string) {
	if e.ready && !e.kept {
		e.store.mu.Lock()
		defer e.store.mu.Unlock()
		e.store.remove(e.name, reason)
	}
}

// Close ends the session's use of the folder. What was built and not kept is gone.
func (e *Entry) Close() error {
	var err error
	if !e.ready && !e.kept {
		err = e.store.root.RemoveAll(e.name)
	}
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
		e.lock = nil
	}
	return err
}
