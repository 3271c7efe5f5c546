package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Bounds of a file of annotations.
const (
	maxCOCOBytes       = 1 << 30
	maxCOCOEntry       = 16 << 20 // bytes of one image, annotation or category
	maxCOCOAnnotations = 4 << 20
	maxCOCOCategories  = 10_000
)

// cocoFile is what of a file of annotations is needed.
type cocoFile struct {
	images      []cocoImage
	annotations []cocoAnnotation
	categories  map[int64]string
}

type cocoImage struct {
	ID   *int64 `json:"id"`
	File string `json:"file_name"`
}

type cocoAnnotation struct {
	id, image, category int64
	corners             [4]float32
	crowd               bool
	shape               *shape // nil: none, or none is wanted
}

// readCOCO reads the file entry by entry. Outlines, which make up most of it, are kept only where they are
// wanted.
func readCOCO(path string, outlines bool) (*cocoFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoData, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoData, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxCOCOBytes {
		return nil, fmt.Errorf("%w: %s is no file of at most %d bytes", ErrLabels, path, maxCOCOBytes)
	}
	file, at, err := decodeCOCO(f, outlines)
	if err != nil {
		return nil, fmt.Errorf("%w: %s, line %d: %w", ErrLabels, path, lineAt(f, at), err)
	}
	if len(file.images) == 0 {
		return nil, fmt.Errorf("%w: %s has no images: is it a file of COCO annotations?", ErrNoData, path)
	}
	return file, nil
}

// decodeCOCO also returns about where in the file it stopped, in bytes.
func decodeCOCO(from io.Reader, outlines bool) (file *cocoFile, at int64, err error) {
	c := cocoDecoder{budget: budget{from: from, left: maxCOCOEntry}, outlines: outlines}
	c.json = json.NewDecoder(&c.budget)
	c.file.categories = map[int64]string{}
	if err := c.all(); err != nil {
		return nil, c.json.InputOffset(), err
	}
	return &c.file, 0, nil
}

type cocoDecoder struct {
	json   *json.Decoder
	budget budget
	file   cocoFile

	outlines bool // are kept
	numbers  int  // that they hold
}

func (c *cocoDecoder) all() error {
	if err := c.expect('{', "the file does not begin with {: is it one of COCO annotations?"); err != nil {
		return err
	}
	for c.json.More() {
		key, err := c.json.Token()
		if err != nil {
			return err
		}
		switch key {
		case "images":
			err = c.list("images", maxImages, c.image)
		case "annotations":
			err = c.list("annotations", maxCOCOAnnotations, c.annotation)
		case "categories":
			err = c.list("categories", maxCOCOCategories, c.category)
		default:
			var other json.RawMessage
			err = c.json.Decode(&other)
		}
		if err != nil {
			return err
		}
		c.budget.left = maxCOCOEntry
	}
	return c.expect('}', "it is not a whole object")
}

func (c *cocoDecoder) expect(want json.Delim, otherwise string) error {
	token, err := c.json.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if token != want {
		return errors.New(otherwise)
	}
	return nil
}

func (c *cocoDecoder) list(name string, most int, entry func() error) error {
	if err := c.expect('[', name+" is no list"); err != nil {
		return err
	}
	for n := 0; c.json.More(); n++ {
		if n == most {
			return fmt.Errorf("over %d %s", most, name)
		}
		c.budget.left = maxCOCOEntry
		if err := entry(); err != nil {
			return fmt.Errorf("%s[%d]: %w", name, n, err)
		}
	}
	return c.expect(']', name+" does not end with ]")
}

func (c *cocoDecoder) image() error {
	var im cocoImage
	if err := c.json.Decode(&im); err != nil {
		return err
	}
	if im.ID == nil || im.File == "" {
		return errors.New("an image needs id and file_name")
	}
	c.file.images = append(c.file.images, im)
	return nil
}

func (c *cocoDecoder) category() error {
	var k struct {
		ID   *int64 `json:"id"`
		Name string `json:"name"`
	}
	if err := c.json.Decode(&k); err != nil {
		return err
	}
	if k.ID == nil || k.Name == "" {
		return errors.New("a category needs id and name")
	}
	if other, ok := c.file.categories[*k.ID]; ok && other != k.Name {
		return fmt.Errorf("the categories %q and %q have the id %d", other, k.Name, *k.ID)
	}
	c.file.categories[*k.ID] = k.Name
	return nil
}

func (c *cocoDecoder) annotation() error {
	var a struct {
		ID       int64     `json:"id"`
		Image    *int64    `json:"image_id"`
		Category *int64    `json:"category_id"`
		Box      []float64 `json:"bbox"`
		Crowd    flag      `json:"iscrowd"`

		Segmentation json.RawMessage `json:"segmentation"`
	}
	if err := c.json.Decode(&a); err != nil {
		return err
	}
	if a.Image == nil || a.Category == nil {
		return fmt.Errorf("annotation %d needs image_id and category_id", a.ID)
	}
	corners, err := cocoCorners(a.Box)
	if err != nil {
		return fmt.Errorf("annotation %d: %w", a.ID, err)
	}
	outline, err := c.outline(a.Segmentation)
	if err != nil {
		return fmt.Errorf("annotation %d: %w", a.ID, err)
	}
	c.file.annotations = append(c.file.annotations, cocoAnnotation{
		id: a.ID, image: *a.Image, category: *a.Category, corners: corners, crowd: bool(a.Crowd),
		shape: outline,
	})
	return nil
}

// outline reads a segmentation, if it is wanted.
func (c *cocoDecoder) outline(raw json.RawMessage) (*shape, error) {
	if !c.outlines {
		return nil, nil //nolint:nilnil // none is wanted
	}
	s, numbers, err := cocoShape(raw)
	if c.numbers += numbers; err == nil && c.numbers > maxShapeNumbers {
		err = fmt.Errorf("all segmentations so far hold over %d numbers", maxShapeNumbers)
	}
	return s, err
}

// cocoCorners takes x, y, width, height in pixels. A box without area can be found by nothing, but COCO has
// such labels and counts them.
func cocoCorners(box []float64) (corners [4]float32, err error) {
	if len(box) != len(corners) {
		return corners, fmt.Errorf("bbox has %d numbers instead of x, y, width, height", len(box))
	}
	for _, v := range box {
		if math.Abs(v) > maxSide {
			return corners, fmt.Errorf("bbox has %g, which is over %d pixels", v, maxSide)
		}
	}
	if box[2] < 0 || box[3] < 0 {
		return corners, fmt.Errorf("bbox has the size %g x %g: it is x, y, width, height", box[2], box[3])
	}
	return [4]float32{
		float32(box[0]), float32(box[1]), float32(box[0] + box[2]), float32(box[1] + box[3]),
	}, nil
}

// flag is 0 or 1, or false or true, as some tools write.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(raw []byte) error {
	switch string(raw) {
	case "0", "false", "null":
		*f = false
	case "1", "true":
		*f = true
	default:
		return fmt.Errorf("%.20s is neither 0 nor 1", raw)
	}
	return nil
}

// budget bounds what may be read until it is filled again: a JSON decoder keeps a whole entry in memory.
type budget struct {
	from io.Reader
	left int
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an entry is over %d bytes", maxCOCOEntry)
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// lineAt is the line of a place in the file, from 1.
func lineAt(f io.ReaderAt, at int64) int {
	line, chunk := 1, make([]byte, 64<<10)
	for begin := int64(0); begin < at; begin += int64(len(chunk)) {
		n, err := f.ReadAt(chunk[:min(int64(len(chunk)), at-begin)], begin)
		line += bytes.Count(chunk[:n], []byte{'\n'})
		if err != nil {
			break
		}
	}
	return line
}
