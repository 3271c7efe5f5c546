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

// Report is what a person or a script reads. The first eight keys are stable. precision and recall are what
// f_iou33 is made of. ms_p50 and ms_p99 are the
// model's own run, inspection_ms from a frame in memory to its detections; fps is one image after another
// through all of that. An image is clean when nothing at all is labelled on it, not even a region in which
// nothing counts, and it was inspected.
type Report struct {
	Images          int           `json:"images"`
	MAPIoU33        float64       `json:"map_iou33"`
	FIoU33          float64       `json:"f_iou33"`
	MAP50           float64       `json:"map50"`
	MAP5095         float64       `json:"map50_95"`
	MsP50           float64       `json:"ms_p50"`
	MsP99           float64       `json:"ms_p99"`
	FPS             float64       `json:"fps"`
	InspectionMsP50 float64       `json:"inspection_ms_p50"`
	InspectionMsP99 float64       `json:"inspection_ms_p99"`
	Precision       float64       `json:"precision"`
	Recall          float64       `json:"recall"`
	Labels          int           `json:"labels"`     // to be found
	Ignored         int           `json:"ignored"`    // regions in which nothing counts
	Unlabelled      int           `json:"unlabelled"` // images without a file of labels
	Clean           int           `json:"clean"`
	CleanAlarmed    int           `json:"clean_alarmed"` // of these, with a detection at the thresholds
	Layout          string        `json:"layout"`
	ClassesBy       string        `json:"classes_by"` // name, number or none
	Bundle          string        `json:"bundle"`
	Version         string        `json:"version"`
	Digest          string        `json:"digest"`
	Task            string        `json:"task"` // of the bundle; whatever it is, boxes are measured
	Provider        string        `json:"provider"`
	FellBack        bool          `json:"fell_back"`
	Threads         int           `json:"threads"`
	Spinning        string        `json:"spinning"`
	Classes         []ClassReport `json:"classes"`
	Failed          []Failure     `json:"failed"`
}

// ClassReport is ClassMetrics by name.
type ClassReport struct {
	Class     string  `json:"class"`
	Labels    int     `json:"labels"`
	APIoU33   float64 `json:"ap_iou33"`
	AP50      float64 `json:"ap50"`
	AP5095    float64 `json:"ap50_95"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F         float64 `json:"f"`
	Threshold float64 `json:"threshold"`
}

// Failure is an image that could not be inspected. Its labels count as missed.
type Failure struct {
	Image  string `json:"image"`
	Reason string `json:"reason"`
}

// run is the state of one evaluation.
type run struct {
	options    Options
	report     Report
	images     []Image
	model      []float64 // milliseconds
	inspection []float64
}

// Run sends every image of the data set through a real worker, in order, and measures.
func Run(ctx context.Context, o Options) (*Report, error) {
	manifest := o.manifest()
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
	r := &run{options: o, report: Report{Classes: []ClassReport{}, Failed: []Failure{}}}
	if err := r.inspectAll(ctx, i); err != nil {
		return nil, err
	}
	r.finish(state)
	return &r.report, nil
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
	image := Image{Name: sample.Name, Labels: sample.Labels}
	if answer.GetFault() != wire.Fault_FAULT_NONE {
		r.report.Failed = append(r.report.Failed, Failure{
			Image: sample.Name,
			Reason: strings.ReplaceAll(
				strings.TrimPrefix(answer.GetFaultText(), link+": "), link, sample.Name),
		})
	} else {
		r.model = append(r.model, inspector.Milliseconds(answer.GetInferenceNs()))
		r.inspection = append(r.inspection,
			inspector.Milliseconds(answer.GetPreprocessNs()+answer.GetInferenceNs()+answer.GetDecodeNs()))
		if r.options.Data.Shares {
			if answer.GetWidth() < 1 || answer.GetHeight() < 1 {
				return fmt.Errorf("the worker does not say how large %s is: its labels need it", sample.Name)
			}
			image.Labels = inPixels(sample.Labels, answer.GetWidth(), answer.GetHeight())
		}
	}
	for _, d := range answer.GetDetections() {
		image.Detected = append(image.Detected, Box{
			Class: int(d.GetClass()), Score: d.GetScore(),
			Corners: [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()},
		})
	}
	r.images = append(r.images, image)
	if answer.GetFault() == wire.Fault_FAULT_NONE && len(sample.Labels) == 0 {
		r.report.Clean++
		if r.alarmed(image.Detected) {
			r.report.CleanAlarmed++
		}
	}
	return nil
}

// alarmed says whether a detection reaches the threshold of its class, which is not a good one.
func (r *run) alarmed(detected []Box) bool {
	classes := r.options.manifest().Classes
	return slices.ContainsFunc(detected, func(d Box) bool {
		return d.Class >= 0 && d.Class < len(classes) && !classes[d.Class].Good &&
			float64(d.Score) >= classes[d.Class].Threshold
	})
}

// inPixels takes corners that are shares of an image of this size.
func inPixels(labels []Box, width, height int32) []Box {
	w, h := float32(width), float32(height)
	boxes := slices.Clone(labels)
	for i := range boxes {
		c := &boxes[i].Corners
		*c = [4]float32{c[0] * w, c[1] * h, c[2] * w, c[3] * h}
	}
	return boxes
}

func (r *run) finish(state *wire.StationState) {
	manifest := r.options.manifest()
	thresholds := make([]float64, len(manifest.Classes))
	for i, c := range manifest.Classes {
		thresholds[i] = c.Threshold
	}
	m := Measure(r.images, thresholds)
	p := &r.report
	p.Images, p.MAPIoU33, p.FIoU33 = len(r.images), m.MAPIoU33, m.FIoU33
	p.MAP50, p.MAP5095 = m.MAP50, m.MAP5095
	p.Precision, p.Recall = m.Precision, m.Recall
	data := r.options.Data
	p.Layout, p.Unlabelled, p.ClassesBy = data.Layout, data.Unlabelled, data.classesBy()
	for _, s := range data.Samples {
		for i := range s.Labels {
			p.Ignored += last(s.Labels[i])
			p.Labels += 1 - last(s.Labels[i])
		}
	}
	p.Task = manifest.Task
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
	for _, c := range m.PerClass {
		p.Classes = append(p.Classes, ClassReport{
			Class:     manifest.Classes[c.Class].Name,
			Labels:    c.Labels,
			APIoU33:   c.APIoU33,
			AP50:      c.AP50,
			AP5095:    c.AP5095,
			Precision: c.Precision,
			Recall:    c.Recall,
			F:         c.F,
			Threshold: thresholds[c.Class],
		})
	}
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
