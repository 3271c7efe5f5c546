package worker

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/compare"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// comparison is an engine without a model: it finds where a frame differs from its template.
type comparison struct {
	options  compare.Options
	limit    int // findings
	comparer *compare.Comparer
	geometry tensor.Geometry
	result   [1]infer.Result
}

// comparison makes the lane of one station that compares.
func (o *opener) comparison(c *wire.StationConfig) *lane {
	way := c.GetBinarize()
	if way == "" {
		way = bundle.Otsu
	}
	settings := c.GetCompare()
	options := compare.Options{Tolerance: int(settings.GetTolerance()), MinArea: int(settings.GetMinArea())}
	manifest := bundle.Comparison()
	engines := make([]engine, 0, o.parallel)
	for range o.parallel {
		engines = append(engines, &comparison{options: options, limit: manifest.Decoder.MaxDetections})
	}
	l := newLane(&manifest, tensor.Native(bundle.Preprocess{Binarize: way}), engines, 1)
	l.state.Provider = "cpu"
	l.state.Model = &wire.Model{
		Name: manifest.Name, Version: o.worker.opts.Version, Classes: []string{manifest.Classes[0].Name},
	}
	return l
}

// Images implements engine.
func (*comparison) Images() int { return 1 }

// Infer implements engine.
func (c *comparison) Infer(canvases []*tensor.Canvas, _ int64) []infer.Result {
	start, canvas := monotime.Now(), canvases[0]
	c.result[0] = infer.Result{}
	if g := canvas.Geometry(); g != c.geometry {
		comparer, err := compare.New(g.Width, g.Height, c.options)
		if err != nil {
			c.result[0].Err = fmt.Errorf("%w: %w", infer.ErrRun, err)
			return c.result[:]
		}
		c.comparer, c.geometry = comparer, g
	}
	found, cut := detect.Best(c.comparer.Compare(canvas.Plane(), canvas.Template()), c.limit)
	cut.Add(c.comparer.Cut())
	c.result[0] = infer.Result{Detections: found, Cut: cut, InferenceNs: monotime.Now() - start}
	return c.result[:]
}

// Close implements engine.
func (*comparison) Close() error { return nil }
