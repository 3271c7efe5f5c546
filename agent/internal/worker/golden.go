package worker

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	cameras "github.com/sightline-edge/sightline/agent/internal/worker/camera"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// The methods of inspection.
const (
	methodDetect  = "detect"  // a model sees the frame
	methodPair    = "pair"    // a model sees the frame and its golden template
	methodCompare = "compare" // no model: the frame is compared with its template
)

// errMethod says that configuration and bundle do not fit each other.
var errMethod = errors.New("method of inspection")

// errNoTemplate is of a frame that brings no template to a station that has none.
var errNoTemplate = fmt.Errorf("%w: there is none: capture one with sightline-agent template capture",
	pairing.ErrUnaligned)

// golden is the template of a station: one for all of its frames, or the one that each frame brings. Nil
// where none is wanted. One goroutine at a time.
type golden struct {
	plan    *tensor.Plan
	matcher *pairing.Matcher // nil until there is a template
	// prepared is the station's template, for whoever needs a matcher more; nil where frames bring theirs.
	// Like plan it does not change once the station is ready.
	prepared *pairing.Golden

	tiled bool           // frames are seen in tiles
	sheet *pairing.Sheet // then there is this instead of matcher and prepared
}

// planned is a station's preprocessing: the lane's, perhaps with another way to make black and white.
func planned(c *wire.StationConfig, l *lane) (*tensor.Plan, error) {
	p := l.plan
	switch method := c.GetMethod(); {
	case method == methodDetect && p.Template():
		return nil, fmt.Errorf("%w: the bundle's model compares frames with a golden template: "+
			"use method: pair", errMethod)
	case method == methodPair && !p.Template():
		return nil, fmt.Errorf("%w: the bundle's model takes no golden template: use method: detect",
			errMethod)
	}
	if overlap := int(c.GetTileOverlap()); overlap > 0 {
		if c.GetMethod() == methodCompare {
			return nil, fmt.Errorf("%w: compare sees frames of any size as a whole: leave tiles out",
				errMethod)
		}
		if err := l.tiled(overlap); err != nil {
			return nil, err
		}
		p = p.Unscaled()
	}
	if way := c.GetBinarize(); way != "" {
		if !p.Monochrome() {
			return nil, fmt.Errorf("%w: the bundle's model takes colours, which are not made black and "+
				"white: leave binarize out", errMethod)
		}
		return p.Binarized(bundle.Preprocess{Binarize: way}), nil
	}
	return p, nil
}

// loadGolden reads the template of a station whose plan wants one.
func loadGolden(c *wire.StationConfig, plan *tensor.Plan) (*golden, error) {
	if !plan.Template() {
		return nil, nil //nolint:nilnil // no template, and none wanted: golden's methods know
	}
	g, t := &golden{plan: plan, tiled: c.GetTileOverlap() > 0}, c.GetTemplate()
	if t.GetPath() == "" {
		return g, nil // each frame brings its own, or is refused
	}
	f := &frame.Frame{}
	defer f.Release()
	sum, err := cameras.ReadPicture(f, t.GetPath(), plan.Monochrome())
	if err != nil {
		return nil, fmt.Errorf("golden template: %w", err)
	}
	if got := "sha256:" + hex.EncodeToString(sum[:]); t.GetDigest() != "" && got != t.GetDigest() {
		return nil, fmt.Errorf("golden template %s: it is %s, not %s: it changed since the agent read it; "+
			"have the agent read its configuration again, by SIGHUP", t.GetPath(), got, t.GetDigest())
	}
	if g.prepared, err = g.take(f); err == nil && g.blank() {
		err = fmt.Errorf("golden template %s: in black and white it is all of one shade: "+
			"capture it anew, or set another binarize", t.GetPath())
	}
	return g, err
}

// take prepares a template; of a frame that is seen as a whole it returns it.
func (g *golden) take(template *frame.Frame) (whole *pairing.Golden, err error) {
	if g.tiled {
		g.sheet, err = pairing.NewSheet(g.plan, template)
		return nil, err
	}
	whole, err = pairing.New(g.plan, template)
	if err == nil {
		g.matcher = whole.Matcher()
	}
	return whole, err
}

func (g *golden) blank() bool {
	if g.tiled {
		return g.sheet.Blank()
	}
	return g.matcher.Blank()
}

// brought takes the template that a frame brings.
func (g *golden) brought(f *frame.Frame) error {
	if g == nil || f.Template == nil {
		return nil
	}
	_, err := g.take(f.Template)
	return err
}

// match puts the template beside the frame that the canvas holds.
func (g *golden) match(c *tensor.Canvas) error {
	if g == nil {
		return nil
	}
	if g.matcher == nil {
		return errNoTemplate
	}
	_, err := g.matcher.Match(c)
	return err
}

// tiles readies the template for the tiles of a frame; t is what did so for the frame before.
func (g *golden) tiles(t *pairing.Tiles, f *frame.Frame) (*pairing.Tiles, error) {
	switch {
	case g == nil:
		return nil, nil //nolint:nilnil // no template, and none wanted
	case g.sheet == nil:
		return nil, errNoTemplate
	case t == nil || !t.Of(g.sheet):
		t = g.sheet.Tiles()
	}
	err := t.Begin(f.Width, f.Height)
	return t, err
}
