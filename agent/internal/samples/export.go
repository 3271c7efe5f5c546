package samples

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// The formats of an export.
const (
	FormatCOCO = "coco"
	FormatYOLO = "yolo"
)

// imagesFolder is that of the pictures in an export.
const imagesFolder = "images"

// Why a sample is left out of an export.
const (
	leftNoPicture = "its frame had gone when it was overridden, and there was no evidence"
	leftAnnotated = "only its evidence is there, on which boxes are drawn"
	leftGone      = "its picture is gone or damaged"
	leftBoxes     = "an operator rejected it without saying where, and the model found nothing"
)

// ErrFormat says what can be exported.
var ErrFormat = errors.New("the formats are coco and yolo")

// ErrOut is wrapped when an export has no folder of its own.
var ErrOut = errors.New("the export needs a folder that is empty or not there")

// Exporting says what to export where.
type Exporting struct {
	From, Format, Out string
	Filter            Filter
	Progress          func(done, total int) // may be nil
}

// Exported is what became of it.
type Exported struct {
	Format   string   `json:"format"`
	Out      string   `json:"out"`
	Images   int      `json:"images"`
	Vouched  int      `json:"vouched"` // images whose labels an operator or the simulation gave
	Boxes    int      `json:"boxes"`
	Classes  []string `json:"classes"` // in the order of their numbers
	LeftOut  int      `json:"leftOut"`
	Because  []string `json:"leftOutBecause"` // the first 16, and unreadable records
	ToReview int      `json:"toReview"`       // images with the model's own findings as labels
}

// item is an exported image.
type item struct {
	record        *Record
	file          string // in imagesFolder
	width, height int
	labels        []Detection
	vouched       bool
}

// Export copies pictures and writes their labels, the names last: a folder without them is an export that was
// interrupted. Pictures are checked against their digest.
func Export(ctx context.Context, o Exporting) (*Exported, error) {
	if o.Format != FormatCOCO && o.Format != FormatYOLO {
		return nil, fmt.Errorf("%w, not %q", ErrFormat, o.Format)
	}
	listed, err := List(ctx, o.From, o.Filter)
	if err != nil {
		return nil, err
	}
	if len(listed.Samples) == 0 {
		return nil, fmt.Errorf("%w in %s that fit", ErrNone, o.From)
	}
	if err := makeEmpty(o.Out); err != nil {
		return nil, err
	}
	e := exporter{
		options: o, items: make([]item, 0, len(listed.Samples)),
		result: Exported{Format: o.Format, Out: o.Out, LeftOut: listed.Damaged, Because: listed.Unread},
	}
	if err := e.run(ctx, listed.Samples); err != nil {
		return nil, err
	}
	return &e.result, nil
}

func makeEmpty(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, imagesFolder), 0o750); err != nil {
		return fmt.Errorf("create folder of the export: %w", err)
	}
	for _, in := range []struct {
		path string
		most int
	}{{dir, 1}, {filepath.Join(dir, imagesFolder), 0}} {
		entries, err := os.ReadDir(in.path)
		if err != nil {
			return fmt.Errorf("create folder of the export: %w", err)
		}
		if len(entries) > in.most {
			return fmt.Errorf("%w: %s holds %s", ErrOut, in.path, entries[0].Name())
		}
	}
	return nil
}

type exporter struct {
	options Exporting
	items   []item
	result  Exported
}

func (e *exporter) run(ctx context.Context, all []*Record) error {
	root, err := os.OpenRoot(e.options.From)
	if err != nil {
		return fmt.Errorf("open folder of samples: %w", err)
	}
	defer func() { _ = root.Close() }()
	for i, r := range all {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted: delete %s, it is not whole: %w", e.options.Out, err)
		}
		if err := e.add(root, r); err != nil {
			return err
		}
		if e.options.Progress != nil {
			e.options.Progress(i+1, len(all))
		}
	}
	if len(e.items) == 0 {
		return fmt.Errorf("%w with a picture to learn from: the first is left out since %s", ErrNone,
			e.result.Because[0])
	}
	e.result.Classes = classes(e.items)
	if e.options.Format == FormatYOLO {
		return writeYOLO(e.options.Out, e.items, e.result.Classes)
	}
	return writeCOCO(e.options.Out, e.items, e.result.Classes)
}

// add copies one sample, or leaves it out. An error is of the export's own folder.
func (e *exporter) add(root *os.Root, r *Record) error {
	labels, vouched := r.Labels()
	o := r.Override
	switch {
	case r.Picture == nil:
		return e.leave(r, leftNoPicture)
	case r.Picture.Annotated:
		return e.leave(r, leftAnnotated)
	case o != nil && !vouched && len(labels) == 0:
		return e.leave(r, leftBoxes)
	}
	place, err := r.place()
	if err != nil {
		return e.leave(r, err.Error())
	}
	to := item{
		record: r, labels: labels, vouched: vouched,
		file: place.Line + "-" + place.Name + "-" + r.Picture.File,
	}
	out := filepath.Join(e.options.Out, imagesFolder, to.file)
	sum, err := copyPicture(root, path.Join(folder(place, r.Time), r.Picture.File), out)
	if err != nil {
		return err
	}
	if sum == r.Picture.SHA256 {
		to.width, to.height = measure(out)
	}
	if to.width < 1 || to.height < 1 {
		_ = os.Remove(out) // it may not even be there
		return e.leave(r, leftGone)
	}
	e.items = append(e.items, to)
	e.result.Images++
	if vouched {
		e.result.Vouched++
	} else {
		e.result.ToReview++
	}
	for i := range labels {
		if _, ok := to.clip(labels[i].Box); ok {
			e.result.Boxes++
		}
	}
	return nil
}

func (e *exporter) leave(r *Record, why string) error {
	e.result.LeftOut++
	if len(e.result.Because) < maxUnread {
		e.result.Because = append(e.result.Because, r.ResultID+": "+why)
	}
	return nil
}

// copyPicture returns the sha256 of what it copied; empty: the picture is gone or too large.
func copyPicture(root *os.Root, from, to string) (sum string, err error) {
	in, err := root.Open(from)
	if err != nil {
		return "", nil // the agent deleted it meanwhile, or somebody did
	}
	defer func() { _ = in.Close() }()
	out, err := fsutil.OS{}.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return "", fmt.Errorf("copy picture: %w", err)
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, hash), io.LimitReader(in, MaxPictureBytes+1))
	if err = errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("copy picture: %w", err)
	}
	if n > MaxPictureBytes {
		return "", nil
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// measure returns the size of a picture in pixels, 0 for what is none.
func measure(name string) (width, height int) {
	f, err := os.Open(name)
	if err != nil {
		return 0, 0
	}
	defer func() { _ = f.Close() }()
	config, _, err := image.DecodeConfig(f)
	if err != nil || config.Width > maxSide || config.Height > maxSide {
		return 0, 0
	}
	return config.Width, config.Height
}

// classes are those of the newest model, in its order, and behind them what others have.
func classes(items []item) []string {
	var all []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	for _, newest := range slices.Backward(items) {
		for _, name := range newest.record.Classes {
			add(name)
		}
	}
	for i := range items {
		for _, l := range items[i].labels {
			add(l.Class)
		}
	}
	return all
}

// clip cuts a box to the image, and says false when nothing is left.
func (t *item) clip(box [4]float32) (_ [4]float64, ok bool) {
	x1, y1 := max(float64(box[0]), 0), max(float64(box[1]), 0)
	x2, y2 := min(float64(box[2]), float64(t.width)), min(float64(box[3]), float64(t.height))
	return [4]float64{x1, y1, x2, y2}, x2 > x1 && y2 > y1
}

// save writes a file of an export whole.
func save(name string, b []byte) error {
	if err := fsutil.WriteFile(fsutil.OS{}, name, b, 0o640); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}
