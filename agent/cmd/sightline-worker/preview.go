//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	maxPreview     = 16 << 20 // bytes of an order: no more than the detections of a large sheet
	previewQuality = 92
)

// preview makes the pictures of one order.
type preview struct {
	order  wire.PreviewOrder
	answer wire.Preview
	plan   *tensor.Plan
	frame  frame.Frame
	canvas *tensor.Canvas
	tiling *tiling          // nil: the frame is seen as a whole
	golden *evidence.Golden // nil: none, or of another size
	part   closer           // what is looked at beside its template
}

// closer is a part of the frame, or all of it, beside the template.
type closer struct {
	frame  *frame.Frame
	golden *evidence.Golden
	where  string // for the caption; empty: all of it
}

func runPreview(stdin io.Reader, stdout io.Writer) error {
	if err := tameOpenCV(); err != nil {
		return err
	}
	p := preview{}
	defer p.frame.Release()
	if err := json.NewDecoder(io.LimitReader(stdin, maxPreview)).Decode(&p.order); err != nil {
		return fmt.Errorf("read what to preview: %w", err)
	}
	if err := p.preprocess(); err != nil {
		return err
	}
	gray := p.tiling != nil && p.plan.Monochrome()
	if _, err := camera.ReadPicture(&p.frame, p.order.Frame, gray); err != nil {
		return err
	}
	if err := p.divide(); err != nil {
		return err
	}
	p.canvas = tensor.NewCanvas(p.plan)
	defer p.canvas.Close()
	p.canvas.Hold(p.held())
	for _, step := range []func() error{p.grays, p.binary, p.align, p.annotate} {
		if err := step(); err != nil {
			return err
		}
	}
	return json.NewEncoder(stdout).Encode(&p.answer)
}

// preprocess finds the plan, as a station with this recipe has it.
func (p *preview) preprocess() error {
	way := bundle.Preprocess{Binarize: p.order.Binarize}
	if _, _, err := way.Binary(); err != nil {
		return err
	}
	if p.order.Bundle == "" {
		if way.Binarize == "" {
			way.Binarize = bundle.Otsu
		}
		p.plan = tensor.Native(way)
		return nil
	}
	b, err := bundle.Load(p.order.Bundle)
	if err != nil {
		return err
	}
	p.plan = tensor.NewPlan(b.Manifest.Input, b.Manifest.Preprocess)
	if way.Binarize != "" && !p.plan.Monochrome() {
		return fmt.Errorf("the model of bundle %s takes colours, which are not made black and white: "+
			"leave binarize out", b.Manifest.Name)
	}
	if way.Binarize != "" {
		p.plan = p.plan.Binarized(way)
	}
	if p.order.Overlap > 0 {
		p.tiling = &tiling{plan: p.plan.Unscaled()}
		p.plan = p.plan.Whole()
	}
	return nil
}

// grays shows the frame as it is before it becomes black and white.
func (p *preview) grays() error {
	if err := p.canvas.Fit(&p.frame); err != nil {
		return err
	}
	size := p.canvas.Geometry()
	p.answer.Width, p.answer.Height = size.Width, size.Height
	if p.answer.Colour = !p.plan.Monochrome(); p.answer.Colour {
		return nil
	}
	seen := tensor.NewCanvas(p.plan.Unbinarized())
	defer seen.Close()
	if err := seen.Fit(&p.frame); err != nil {
		return err
	}
	pixels := seen.Pixels()
	p.answer.Grays = make([]int, 256)
	for _, v := range pixels {
		p.answer.Grays[v]++
	}
	threshold, binary := p.held(), true
	if threshold == 0 {
		threshold, binary = p.plan.Threshold(pixels, size.Width)
	}
	p.answer.Threshold, p.answer.Binary = int(threshold), binary
	return p.savePNG("gray.png", pixels)
}

func (p *preview) binary() error {
	plane := p.canvas.Plane()
	if plane == nil {
		return nil
	}
	p.answer.Black = float64(bytes.Count(plane, []byte{0})) / float64(len(plane))
	return p.savePNG("black-and-white.png", plane)
}

// align moves the template onto the frame and shows what differs. One that does not fit is shown, too.
func (p *preview) align() error {
	if p.order.Template == "" || !p.plan.Template() {
		return nil
	}
	template := &frame.Frame{}
	defer template.Release()
	if _, err := camera.ReadPicture(template, p.order.Template, p.plan.Monochrome()); err != nil {
		return fmt.Errorf("golden template: %w", err)
	}
	if p.tiling != nil {
		return p.alignTiles(template)
	}
	prepared, err := pairing.New(p.plan, template)
	if err != nil {
		return err
	}
	fit, err := prepared.Matcher().Match(p.canvas)
	if err != nil && !errors.Is(err, pairing.ErrUnaligned) {
		return err
	}
	a := alignment(fit, err)
	p.answer.Alignment = a
	if !a.Fits && fit.Residual == 0 { // of another size: they were not compared
		return nil
	}
	p.golden = &evidence.Golden{}
	moved := p.canvas.Template()
	err = p.golden.Take(p.canvas.Plane(), moved, p.answer.Width, p.answer.Height)
	p.part = closer{frame: &p.frame, golden: p.golden}
	a.Differing = p.golden.Differing()
	return errors.Join(err, p.savePNG("template.png", moved))
}

// alignment says how a template fits; the error is that it does not.
func alignment(fit align.Fit, err error) *wire.Alignment {
	a := &wire.Alignment{
		Fits: err == nil, ShiftX: fit.ShiftX, ShiftY: fit.ShiftY, Residual: fit.Residual,
		Mismatch: fit.Mismatch, Unseen: fit.Unseen, Spread: fit.Spread,
	}
	if err != nil {
		a.Why = err.Error()
	}
	return a
}

func (p *preview) annotate() error {
	pen, caption := evidence.NewPen(), evidence.Caption{Verdict: p.order.Verdict, Text: p.order.Title}
	defer pen.Close()
	if p.part.golden != nil {
		part := caption
		part.Text += p.part.where
		raw, err := pen.Misfit(p.part.frame, p.part.golden, part, previewQuality)
		if err = errors.Join(err, p.save("difference.jpg", raw)); err != nil {
			return err
		}
	}
	var marks []evidence.Mark
	for _, d := range p.order.Defects {
		marks = append(marks, evidence.Mark{Class: max(d.Class, 0), Name: d.Name, Score: d.Score, Box: d.Box})
	}
	shown := p.golden
	if p.answer.Alignment != nil && !p.answer.Alignment.Fits {
		shown = nil // a wall of differences would hide the frame
	}
	raw, err := pen.Annotate(&p.frame, shown, caption, marks, previewQuality)
	return errors.Join(err, p.save("annotated.jpg", raw))
}

func (p *preview) savePNG(name string, pixels []byte) error {
	picture := &image.Gray{
		Pix: pixels, Stride: p.answer.Width, Rect: image.Rect(0, 0, p.answer.Width, p.answer.Height),
	}
	encoder := png.Encoder{}
	if p.tiling != nil { // large
		encoder.CompressionLevel = png.BestSpeed
	}
	var raw bytes.Buffer
	if err := encoder.Encode(&raw, picture); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return p.save(name, raw.Bytes())
}

// save writes a picture, and never over another.
func (p *preview) save(name string, raw []byte) error {
	if len(raw) == 0 {
		return nil // it could not be drawn, which is said already
	}
	path := filepath.Join(p.order.Folder, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // to be looked at
	if err != nil {
		return fmt.Errorf("write the preview: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the preview: %w", err)
	}
	p.answer.Pictures = append(p.answer.Pictures, name)
	return nil
}
