package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
)

const (
	maxFiles      = 1000
	maxTotalBytes = 1 << 30
)

// hashes are the sha256 of a bundle's files, in hexadecimal, by their names.
type hashes map[string]string

// digest hashes a bundle: sha256 over one line "<sha256 of the file>  <name>\n" for each file, in the byte
// order of the names, which fs.WalkDir keeps within a folder. Anything but plain files and folders is
// refused.
func digest(root *os.Root) (string, hashes, error) {
	sum, files, total := sha256.New(), hashes{}, int64(0)
	err := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is a link or a device: a bundle holds plain files only", name)
		}
		if strings.ContainsFunc(name, unicode.IsControl) { // a line break would look like two files
			return fmt.Errorf("the name %q holds a control character", name)
		}
		if len(files) == maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		hash, n, err := hashFile(root, name, maxTotalBytes-total)
		if err != nil {
			return err
		}
		total += n
		files[name] = hash
		_, err = fmt.Fprintf(sum, "%s  %s\n", hash, name)
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("digest: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), files, nil
}

// check returns an error unless the bytes are those that the digest covers.
func (h hashes) check(name string, raw []byte) error {
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != h[name] {
		return fmt.Errorf("%s %w", name, ErrChanged)
	}
	return nil
}

func hashFile(root *os.Root, name string, room int64) (string, int64, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", 0, fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, room+1))
	if err != nil {
		return "", 0, fmt.Errorf("read %s: %w", name, err)
	}
	if n > room {
		return "", 0, errors.New("files are over 1 GiB together")
	}
	return hex.EncodeToString(sum.Sum(nil)), n, nil
}
