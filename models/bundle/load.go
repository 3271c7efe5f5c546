package bundle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// MaxModelBytes bounds a model's file, and that of a sample's picture.
const MaxModelBytes = 512 << 20

// ErrBundle is wrapped by the errors of Load that no manifest fault explains.
var ErrBundle = errors.New("not a bundle")

// ErrChanged is wrapped when a file is no longer, or not yet, what the digest was made of.
var ErrChanged = errors.New("changed while the bundle was read: copy the bundle in whole, then start again")

// Bundle is a bundle on disk whose manifest is valid and whose files are all there. Safe for concurrent use.
type Bundle struct {
	Dir      string
	Manifest Manifest
	Digest   string // sha256:<hex> over names and contents of all files

	files hashes
}

// Load reads the manifest of the bundle in a folder, and hashes all of its files. All faults of the manifest
// come back at once as strictyaml.Faults.
func Load(dir string) (*Bundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	raw, err := readBounded(root, ManifestFile, strictyaml.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBundle, dir, err)
	}
	manifest, err := parse(raw, root)
	if err != nil {
		return nil, fmt.Errorf("%s/%s:\n%w", dir, ManifestFile, err)
	}
	sum, files, err := digest(root)
	if err == nil {
		err = files.check(ManifestFile, raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBundle, dir, err)
	}
	return &Bundle{Dir: dir, Manifest: manifest, Digest: sum, files: files}, nil
}

// parse decodes, completes and checks a manifest, its files included.
func parse(raw []byte, root *os.Root) (Manifest, error) {
	var m Manifest
	doc := strictyaml.Parse(raw, &m)
	if !doc.Readable() {
		return m, doc.Err()
	}
	m.checkGiven(doc)
	m.complete()
	m.check(doc)
	checkFiles(&m, doc, root)
	m.join()
	return m, doc.Err()
}

// ModelPath is the file of a model that the manifest names.
func (b *Bundle) ModelPath(model string) string { return path.Join(b.Dir, model) }

// ClassNames returns the names in the order of the model's outputs, then of the second model's.
func (b *Bundle) ClassNames() []string {
	names := make([]string, len(b.Manifest.Classes))
	for i, c := range b.Manifest.Classes {
		names[i] = c.Name
	}
	return names
}

// Read returns a file of the bundle, of at most limit bytes. It is ErrChanged when the bytes are not those
// that the digest was made of.
func (b *Bundle) Read(name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(b.Dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	raw, err := readBounded(root, name, limit)
	if err != nil {
		return nil, err
	}
	return raw, b.files.check(path.Clean(name), raw)
}

func checkFiles(m *Manifest, doc *strictyaml.Document, root *os.Root) {
	if problem := missing(root, m.Model, MaxModelBytes); problem != "" {
		doc.Add("model", problem, "put the ONNX file beside "+ManifestFile)
	}
	for i, p := range m.Providers.Order {
		if p.Model == m.Model {
			continue
		}
		if problem := missing(root, p.Model, MaxModelBytes); problem != "" {
			doc.Add(fmt.Sprintf("providers.order[%d].model", i), problem, "name an ONNX file of the bundle")
		}
	}
	checkThenFiles(m, doc, root)
	for i, s := range m.Golden.Samples {
		at := fmt.Sprintf("golden.samples[%d]", i)
		if problem := missing(root, s.Image, MaxModelBytes); problem != "" {
			doc.Add(at+".image", problem, "name a file of the bundle")
		}
		switch problem := missing(root, s.Template, MaxModelBytes); {
		case m.Input.Template && problem != "":
			doc.Add(at+".template", problem, "name the golden template of the image")
		case !m.Input.Template && s.Template != "":
			doc.Add(at+".template", "the model takes no template", "leave it out, or set input.template")
		}
		if problem := missing(root, s.Expect, maxExpectedBytes); problem != "" {
			doc.Add(at+".expect", problem, "name a file of the bundle")
		}
	}
}

func checkThenFiles(m *Manifest, doc *strictyaml.Document, root *os.Root) {
	if m.Then == nil {
		return
	}
	if problem := missing(root, m.Then.Model, MaxModelBytes); problem != "" {
		doc.Add("then.model", problem, "name the second model's ONNX file, beside "+ManifestFile)
	}
	for i, p := range m.Providers.Order {
		if p.Then == m.Then.Model {
			continue
		}
		if problem := missing(root, p.Then, MaxModelBytes); problem != "" {
			doc.Add(fmt.Sprintf("providers.order[%d].then", i), problem, "name an ONNX file of the bundle")
		}
	}
}

func missing(root *os.Root, name string, limit int64) string {
	if name == "" {
		return "no file is named"
	}
	info, err := root.Lstat(name)
	switch {
	case err != nil:
		return fmt.Sprintf("file %q is missing or outside the bundle", name)
	case !info.Mode().IsRegular():
		return fmt.Sprintf("%q is not a plain file", name)
	case info.Size() > limit:
		return fmt.Sprintf("file %q has %d bytes, over %d", name, info.Size(), limit)
	}
	return ""
}

func readBounded(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Lstat(name) // to open a pipe would wait for its writer
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file: put a plain file in its place", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is over %d bytes", name, limit)
	}
	return raw, nil
}

// Find returns the folder of a bundle that a user named: a path when it has a slash or is a folder here, else
// a name below dir.
func Find(name, dir string) string {
	if strings.ContainsRune(name, '/') {
		return name
	}
	if info, err := os.Stat(path.Join(name, ManifestFile)); err == nil && info.Mode().IsRegular() {
		return name
	}
	return path.Join(dir, name)
}
