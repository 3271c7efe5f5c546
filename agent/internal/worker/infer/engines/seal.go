package engines

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

const (
	manifestName     = "engine.json"
	lockName         = "lock"
	maxFiles         = 64
	maxManifestBytes = 1 << 20
)

// seal is engine.json: what an entry was built for and of which bytes it is, signed with this node's secret.
type seal struct {
	Key   Key    `json:"key"`
	Files []file `json:"files"`
	MAC   string `json:"mac"` // HMAC-SHA256 over key and files
}

type file struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (s seal) sign(secret []byte) (string, error) {
	s.MAC = ""
	raw, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", manifestName, err)
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write(raw) // never fails
	return hex.EncodeToString(mac.Sum(nil)), nil
}

func (s seal) bytes() int64 {
	total := int64(0)
	for _, f := range s.Files {
		total += f.Bytes
	}
	return total
}

// read returns the seal of an entry that this node made for a key of that name. An error is a sentence of why
// it is none.
func (s *Store) read(name string) (seal, error) {
	f, err := s.root.Open(path.Join(name, manifestName))
	if err != nil {
		return seal{}, errors.New("it was not finished")
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxManifestBytes+1))
	var made seal
	if err != nil || len(raw) > maxManifestBytes || json.Unmarshal(raw, &made) != nil {
		return seal{}, fmt.Errorf("its %s cannot be read", manifestName)
	}
	want, err := made.sign(s.secret)
	if err != nil {
		return seal{}, err
	}
	if !hmac.Equal([]byte(want), []byte(made.MAC)) {
		return seal{}, errors.New("it was not built by this node, or changed since")
	}
	if made.Key.Format != format || made.Key.ID()+suffix != name {
		return seal{}, errors.New("it was built for something else")
	}
	return made, nil
}

// intact reads all files of an entry, and says what is not as it was sealed.
func (s *Store) intact(name string, made seal) error {
	now, err := s.hash(name)
	if err != nil {
		return err
	}
	if !slices.Equal(now, made.Files) {
		return errors.New("its files changed since it was built")
	}
	return nil
}

// hash lists the files of a folder with their sums, sorted by name, without what is this package's own.
func (s *Store) hash(name string) ([]file, error) {
	entries, err := fs.ReadDir(s.root.FS(), name)
	if err != nil {
		return nil, fmt.Errorf("list it: %w", err)
	}
	if len(entries) > maxFiles+2 {
		return nil, fmt.Errorf("it has %d files, over %d", len(entries), maxFiles)
	}
	var all []file
	for _, entry := range entries {
		if entry.Name() == manifestName || entry.Name() == lockName {
			continue
		}
		if !entry.Type().IsRegular() {
			return nil, fmt.Errorf("%s in it is no plain file", entry.Name())
		}
		one, err := s.sum(path.Join(name, entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// sum reads a file to its end and makes it durable.
func (s *Store) sum(name string) (file, error) {
	f, err := s.root.OpenFile(name, os.O_RDWR, 0) // to be synced
	if err != nil {
		return file{}, fmt.Errorf("open: %w", err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return file{}, fmt.Errorf("read %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return file{}, fmt.Errorf("sync %s: %w", name, err)
	}
	return file{path.Base(name), n, hex.EncodeToString(sum.Sum(nil))}, nil
}
