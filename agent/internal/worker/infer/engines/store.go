// Package engines keeps what TensorRT compiles, which takes minutes, from one start to the next. A serialized
// engine is code that the provider runs, so one is only ever loaded where this node built it: each is signed
// with a secret that never leaves the node, and named by all that it depends on.
//
//	<dir>/secret               32 bytes, made by the node
//	<dir>/lock                 held while the folder changes
//	<dir>/building-<random>/   what a session is at work on, locked as long as its process lives
//	<dir>/<key>.engine/        engine.json and the files of ONNX Runtime
//
// What is not whole, not signed, or of another node, driver or library is removed, and said.
package engines

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	secretName  = "secret"
	suffix      = ".engine"
	building    = "building-"
	idBytes     = 16
	secretBytes = 32
	private     = 0o700
)

// ErrUnsafe is wrapped when a folder cannot be trusted with engines.
var ErrUnsafe = errors.New("no folder for engines")

// Store is a folder of engines. Safe for concurrent use, also by several processes.
type Store struct {
	dir    string
	limit  int64 // bytes of all entries
	root   *os.Root
	secret []byte
	log    *slog.Logger

	mu    sync.Mutex
	swept bool
}

// Open opens or makes the folder of engines. Together they take at most limit bytes; what was not used for
// longest goes first.
func Open(dir string, limit int64, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, private); err != nil {
		return nil, fmt.Errorf("make the folder of engines: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of engines: %w", err)
	}
	s := &Store{dir: dir, limit: limit, root: root, log: log}
	if err = s.trust(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	unlock, err := s.lock()
	if err == nil {
		s.secret, err = s.ownSecret()
		unlock()
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// Close gives the folder back. Entries are closed before.
func (s *Store) Close() error { return s.root.Close() }

// trust refuses a folder that others may write to: they could put an engine there between its check and its
// use.
func (s *Store) trust() error {
	var stat unix.Stat_t
	if err := unix.Stat(s.dir, &stat); err != nil {
		return fmt.Errorf("%w: look at %s: %w", ErrUnsafe, s.dir, err)
	}
	if int(stat.Uid) != os.Geteuid() || stat.Mode&0o022 != 0 {
		return fmt.Errorf("%w: %s belongs to user %d with mode %o: it has to be this user's, and nobody "+
			"else may write to it (chown, chmod 700)", ErrUnsafe, s.dir, stat.Uid, stat.Mode&0o777)
	}
	return nil
}

// lock waits until no other process changes the folder.
func (s *Store) lock() (unlock func(), err error) {
	f, err := s.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of engines: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder of engines: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// ownSecret reads the node's secret, or makes one: then no engine that lies here is taken.
func (s *Store) ownSecret() ([]byte, error) {
	secret, err := s.readSecret()
	if err == nil {
		return secret, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the secret of the folder of engines is replaced: all of them are built anew",
			"dir", s.dir, "error", err)
	}
	secret = make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	temporary := secretName + ".tmp"
	f, err := s.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the secret of engines: %w", err)
	}
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = s.root.Rename(temporary, secretName)
	}
	if err != nil {
		return nil, fmt.Errorf("make the secret of engines: %w", err)
	}
	return secret, nil
}

func (s *Store) readSecret() ([]byte, error) {
	f, err := s.root.Open(secretName)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read it: its mode is %s", info.Mode())
	}
	secret, err := io.ReadAll(io.LimitReader(f, secretBytes+1))
	if err != nil {
		return nil, err
	}
	if len(secret) != secretBytes {
		return nil, fmt.Errorf("it has not %d bytes", secretBytes)
	}
	return secret, nil
}

// Begin gives a session its folder: one with the engine that this node built for the key, or an empty one to
// build it in.
func (s *Store) Begin(k Key) (*Entry, error) {
	if err := k.Node.Usable(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !s.swept {
		s.sweep(k.Node)
		s.swept = true
	}
	name := k.ID() + suffix
	if _, err := s.root.Lstat(name); err == nil {
		made, bad := s.read(name)
		if bad == nil {
			bad = s.intact(name, made)
		}
		if bad == nil {
			return &Entry{store: s, key: k, name: name, ready: true, began: time.Now()}, nil
		}
		s.remove(name, bad.Error())
	}
	return s.begin(k)
}

// begin makes an empty folder, locked for as long as this process lives.
func (s *Store) begin(k Key) (*Entry, error) {
	e := &Entry{store: s, key: k, name: building + rand.Text(), began: time.Now()}
	if err := s.root.Mkdir(e.name, private); err != nil {
		return nil, fmt.Errorf("make a folder for an engine: %w", err)
	}
	f, err := s.root.OpenFile(e.name+"/"+lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			e.lock = f
			return e, nil
		}
		_ = f.Close()
	}
	return nil, errors.Join(fmt.Errorf("make a folder for an engine: %w", err), s.root.RemoveAll(e.name))
}

// sweep removes what no session of this node will ever load: engines of others, and what a process left
// behind that died while it built one.
func (s *Store) sweep(here Node) {
	for _, name := range s.names() {
		switch {
		case strings.HasPrefix(name, building):
			if s.abandoned(name) {
				s.remove(name, "its worker ended before it was finished")
			}
		case strings.HasSuffix(name, suffix):
			made, err := s.read(name)
			reason := ""
			if err != nil {
				reason = err.Error()
			} else {
				reason = here.differs(made.Key.Node)
			}
			if reason != "" {
				s.remove(name, reason)
			}
		}
	}
}

// names are those of all that lies in the folder; what has no name of this package's is left alone.
func (s *Store) names() []string {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		s.log.Warn("cannot list the folder of engines", "dir", s.dir, "error", err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// abandoned says that no process is at work in a folder.
func (s *Store) abandoned(name string) bool {
	f, err := s.root.OpenFile(name+"/"+lockName, os.O_RDWR, 0)
	if err != nil {
		return true
	}
	defer func() { _ = f.Close() }()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

func (s *Store) remove(name, reason string) {
	err := s.root.RemoveAll(name)
	s.log.Warn("an engine is not used and was removed: it is built anew where it is needed", "dir", s.dir,
		"engine", name, "reason", reason, "error", err)
}

// shrink removes the engines that were not used for longest until the others keep the limit.
func (s *Store) shrink() {
	type kept struct {
		name  string
		bytes int64
		used  time.Time
	}
	var all []kept
	total := int64(0)
	for _, name := range s.names() {
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		made, err := s.read(name)
		if err != nil {
			s.remove(name, err.Error())
			continue
		}
		one := kept{name: name, bytes: made.bytes()}
		if info, err := s.root.Lstat(name + "/" + manifestName); err == nil {
			one.used = info.ModTime()
		}
		total += one.bytes
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b kept) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.name, b.name))
	})
	for _, one := range all {
		if total <= s.limit {
			return
		}
		s.remove(one.name, fmt.Sprintf("the engines have %d bytes together, over %d", total, s.limit))
		total -= one.bytes
	}
}
