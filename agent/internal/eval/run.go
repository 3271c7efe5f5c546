package eval

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	openTimeout = 10 * time.Second
	readTimeout = 10 * time.Second
)

// Options says what is evaluated on what.
type Options struct {
	Bundle      *bundle.Bundle // nil: boards are compared with their templates, without a model
	Binarize    string         // instead of the bundle's way
	Data        *Dataset
	Launch      func(context.Context) (vision.Process, error)
	ONNXRuntime string
	Threads     int
	Spinning    string // when inference threads wait busily: run, always or never
	Progress    func(done, total int)
	Log         *slog.Logger
}

// manifest is that of the bundle, or of a comparison without a model.
func (o *Options) manifest() bundle.Manifest {
	if o.Bundle == nil {
		return bundle.Comparison()
	}
	return o.Bundle.Manifest
}

// Report is what a person or a script reads: what is common to all tasks, and beside it the figures of one.
// ms_p50 and ms_p99 are the model's own run, inspection_ms from a frame in memory to its detections; fps is
// one image after another through all of that.
type Report struct {
	Images int `json:"images"`
	*Boxes
	*Judgement
	*Anomalies
	*Classification
	MsP50           float64 `json:"ms_p50"`
	MsP99           float64 `json:"ms_p99"`
	FPS             float64 `json:"fps"`
	InspectionMsP50 float64 `json:"inspection_ms_p50"`
	InspectionMsP99 float64 `json:"inspection_ms_p99"`
	Layout          string  `json:"layout"`
	Bundle          string  `json:"bundle"`
	Version         string  `json:"version"`
	Digest          string  `json:"digest"`
	Task            string  `json:"task"` // of the bundle
	Provider        string  `json:"provider"`
	FellBack        bool    `json:"fell_back"`
	Threads         int     `json:"threads"`
	Spinning        string  `json:"spinning"`

	Classes []ClassReport `json:"classes"`
	Failed  []Failure     `json:"failed"`
}

// ClassReport are the figures of one class: of boxes with a class's average precision, of images without.
type ClassReport struct {
	Class  string `json:"class"`
	Labels int    `json:"labels"` // of images: those that show it
	*Ranking
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F         float64 `json:"f"`
	Threshold float64 `json:"threshold"`
}

// Failure is an image that could not be inspected.
type Failure struct {
	Image  string `json:"image"`
	Reason string `json:"reason"`
}

// measure gathers what was found on the images of a data set, one after the other.
type measure interface {
	// add takes the next image; failed says that nothing was inspected.
	add(sample *Sample, answer *wire.Inspected, failed bool) error
	// report writes the task's figures.
	report(r *Report) error
}

// measure is that of the bundle's task.
func (o *Options) measure() (measure, error) {
	manifest := o.manifest()
	switch manifest.Task {
	case bundle.TaskAnomaly:
		return newAnomalies(&manifest)
	case bundle.TaskClassification:
		return newClassification(&manifest)
	default:
		return newBoxes(&manifest, o.Data), nil
	}
}

// run is the state of one evaluation.
type run struct {
	options    Options
	measure    measure
	report     Report
	model      []float64 // milliseconds
	inspection []float64
}

// Run sends every image of the data set through a real worker, in order, and measures.
func Run(ctx context.Context, o Options) (*Report, error) {
	manifest := o.manifest()
	measured, err := o.measure()
	if err != nil {
		return nil, err
	}
	paired := o.Bundle == nil || manifest.Input.Template
	dir, remove, err := stage(o.Data.Samples, paired)
	if err != nil {
		return nil, err
	}
	defer func() {
		if left := remove(); left != nil {
			o.Log.WarnContext(ctx, "links to the images are left behind", "folder", dir, "error", left)
		}
	}()
	camera, err := inspector.Folder(dir, boardName+"*")
	if err != nil {
		return nil, err
	}
	station := &wire.StationConfig{
		Name: "eval", Camera: camera, Method: config.MethodCompare, Binarize: o.Binarize,
		OpenTimeoutNs: openTimeout.Nanoseconds(), ReadTimeoutNs: readTimeout.Nanoseconds(),
		Heat: manifest.Task == bundle.TaskAnomaly,
	}
	if paired {
		station.Camera += "&template=" + boardName + ":" + templateName
	}
	if o.Bundle != nil {
		station.Method, station.BundleDir = "", o.Bundle.Dir
	}
	i := inspector.Open(ctx, inspector.Options{Launch: o.Launch, Log: o.Log, Configure: &wire.Configure{
		Stations:         []*wire.StationConfig{station},
		InferenceThreads: uint32(o.Threads), Spinning: o.Spinning, OnnxruntimeLibrary: o.ONNXRuntime,
	}})
	defer i.Close()
	state, err := i.Ready(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{options: o, measure: measured, report: Report{Classes: []ClassReport{}, Failed: []Failure{}}}
	if err = r.inspectAll(ctx, i); err != nil {
		return nil, err
	}
	err = r.finish(state)
	return &r.report, err
}

func (r *run) inspectAll(ctx context.Context, i *inspector.Inspector) error {
	samples := r.options.Data.Samples
	for n := range samples {
		if err := i.Ask(); err != nil {
			return err
		}
		answer, err := i.Answer(ctx)
		if err != nil {
			return fmt.Errorf("image %d of %d, %s: %w", n+1, len(samples), samples[n].Name, err)
		}
		if err := r.add(n, answer); err != nil {
			return err
		}
		r.options.Progress(n+1, len(samples))
	}
	return nil
}

func (r *run) add(n int, answer *wire.Inspected) error {
	sample, link := &r.options.Data.Samples[n], linkName(n)
	if source := answer.GetSource(); source != "" && filepath.Base(source) != link {
		return fmt.Errorf("the worker inspected %s where %s was due, which is %s", source, link, sample.Name)
	}
	failed := answer.GetFault() != wire.Fault_FAULT_NONE
	if failed {
		r.report.Failed = append(r.report.Failed, Failure{
			Image: sample.Name,
			Reason: strings.ReplaceAll(
				strings.TrimPrefix(answer.GetFaultText(), link+": "), link, sample.Name),
		})
	} else {
		r.model = append(r.model, inspector.Milliseconds(answer.GetInferenceNs()))
		r.inspection = append(r.inspection,
			inspector.Milliseconds(answer.GetPreprocessNs()+answer.GetInferenceNs()+answer.GetDecodeNs()))
	}
	return r.measure.add(sample, answer, failed)
}

func (r *run) finish(state *wire.StationState) error {
	manifest, p := r.options.manifest(), &r.report
	if err := r.measure.report(p); err != nil {
		return err
	}
	p.Images, p.Layout, p.Task = len(r.options.Data.Samples), r.options.Data.Layout, manifest.Task
	p.Bundle, p.Version, p.Digest = manifest.Name, state.GetModel().GetVersion(), state.GetModel().GetDigest()
	p.Provider, p.FellBack = state.GetProvider(), state.GetFellBack()
	p.Threads, p.Spinning = r.options.Threads, r.options.Spinning
	sum := 0.0
	for _, ms := range r.inspection {
		sum += ms
	}
	if sum > 0 {
		p.FPS = 1000 * float64(len(r.inspection)) / sum
	}
	p.MsP50, p.MsP99 = Quantile(r.model, 0.5), Quantile(r.model, 0.99)
	p.InspectionMsP50, p.InspectionMsP99 = Quantile(r.inspection, 0.5), Quantile(r.inspection, 0.99)
	return nil
}

// Quantile is the nearest rank, for q from 0 to 1: the least value that so large a share of them does not
// exceed. It sorts its input. 0 for no values.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
}
