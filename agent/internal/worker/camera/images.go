package camera

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// images reads files one after the other.
type images struct {
	list   func() ([]string, error)
	names  []string // still to come
	limits limits
	loop   bool
	buf    []byte // of the file, reused
	beside template
}

// template names the file with the golden picture of an image: in its name, board becomes golden. The zero
// value means that there is none.
type template struct{ board, golden string }

func (t template) of(name string) (string, error) {
	dir, base := filepath.Split(name)
	at := strings.LastIndex(base, t.board)
	if at < 0 {
		return "", fmt.Errorf("%w: %s: its name has no %q that could become %q to name its template",
			ErrBadFrame, base, t.board, t.golden)
	}
	return dir + base[:at] + t.golden + base[at+len(t.board):], nil
}

// openFile opens an image, or what is none as a video.
func openFile(s spec) (source, error) {
	i := &images{
		list: func() ([]string, error) { return []string{s.target}, nil }, limits: s.limits, loop: s.loop,
	}
	head, err := i.head(s.target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.target, err)
	}
	if sniff(head) == unknown && !imageName(s.target) {
		return openVideo(s)
	}
	i.names = []string{s.target}
	return i, nil
}

func (i *images) head(name string) ([]byte, error) {
	f, _, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:n], nil
}

// openFolder reads the images of a folder in the order of their names.
func openFolder(s spec) (source, error) {
	i := &images{
		list: func() ([]string, error) {
			return listImages(s.target,
				s.glob)
		}, limits: s.limits, loop: s.loop, beside: s.beside,
	}
	var err error
	if i.names, err = i.list(); err != nil || !s.preload {
		return i, err
	}
	return preload(i)
}

func listImages(dir, glob string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var names []string
	for _, e := range entries {
		if wanted(e, glob) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("list images: no file in %s matches %s", dir, shownGlob(glob))
	}
	return names, nil
}

func wanted(e fs.DirEntry, glob string) bool {
	if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
		return false
	}
	if glob == "" {
		return imageName(e.Name())
	}
	ok, err := path.Match(glob, e.Name())
	return ok && err == nil
}

func shownGlob(glob string) string {
	if glob == "" {
		return "*.jpg, *.jpeg, *.png, *.bmp, *.tif or *.tiff"
	}
	return glob
}

func imageName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff":
		return true
	default:
		return false
	}
}

// Read decodes the next file. Source is its name.
func (i *images) Read(f *frame.Frame) error {
	if len(i.names) == 0 {
		if err := i.again(); err != nil {
			return err
		}
	}
	name := i.names[0]
	i.names = i.names[1:]
	if i.beside != (template{}) {
		golden, err := i.beside.of(name)
		if err != nil {
			return err
		}
		if err := i.decode(f.Beside(), golden); err != nil {
			return fmt.Errorf("template: %w", err)
		}
	}
	err := i.decode(f, name)
	i.free(f)
	return err
}

// largePicture, in pixels or in bytes of its file: a collection takes little beside its decoding.
const largePicture = 1 << 26

// free gives back what a large picture took beside f, which would still be there when the next one comes.
func (i *images) free(f *frame.Frame) {
	if f.Width*f.Height >= largePicture || len(i.buf) >= largePicture {
		i.buf = nil
		debug.FreeOSMemory()
	}
}

func (i *images) decode(f *frame.Frame, name string) error {
	f.Source = filepath.Base(name)
	if err := i.load(name); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBadFrame, f.Source, err)
	}
	if err := decode(f, i.buf, i.limits); err != nil {
		return fmt.Errorf("%s: %w", f.Source, err)
	}
	return nil
}

// ReadPicture decodes one image into f, in gray as Options.Gray has it, and returns the sha256 of its file.
func ReadPicture(f *frame.Frame, name string, gray bool) (sum [sha256.Size]byte, err error) {
	i := &images{limits: defaultLimits()}
	i.limits.gray = gray
	if err = i.decode(f, name); err == nil {
		sum = sha256.Sum256(i.buf)
	}
	i.free(f)
	return sum, err
}

func (i *images) again() (err error) {
	if !i.loop {
		return io.EOF
	}
	i.names, err = i.list()
	return err
}

// load reads a whole file, within the limits.
func (i *images) load(name string) error {
	f, size, err := openRegular(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if size > i.limits.bytes {
		return fmt.Errorf("it has %d bytes; at most %d are read", size, i.limits.bytes)
	}
	if int64(cap(i.buf)) < size {
		i.buf = make([]byte, size)
	}
	i.buf = i.buf[:size]
	if _, err := io.ReadFull(f, i.buf); err != nil {
		return fmt.Errorf("read %d bytes: %w", size, err)
	}
	return nil
}

// openRegular refuses pipes and devices, from which a read might never return.
func openRegular(name string) (*os.File, int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Close does nothing: no file stays open.
func (i *images) Close() error { return nil }
