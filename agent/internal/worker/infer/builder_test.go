package infer_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// building is a runtime whose runners compile their models, and note what they are told of that.
type building struct {
	fake.Runtime

	failure error
	of      func(s infer.Spec) bool   // which of them compile; nil: all
	name    func(s infer.Spec) string // what they are called; nil: nothing
	told    []string
}

type compiled struct {
	infer.Runner

	by   *building
	name string
}

func (b *building) Open(s infer.Spec) (infer.Runner, error) {
	r, err := b.Runtime.Open(s)
	if b.of != nil && !b.of(s) {
		return r, err
	}
	return compiled{r, b, b.named(s)}, err
}

// named tells runners apart where there are several.
func (b *building) named(s infer.Spec) string {
	if b.name == nil {
		return ""
	}
	return b.name(s) + " "
}

func (c compiled) Keep() error {
	c.by.told = append(c.by.told, c.name+"keep")
	return c.by.failure
}

func (c compiled) Drop(reason string) { c.by.told = append(c.by.told, c.name+"drop: "+reason) }

// What is compiled for a bundle may be loaded at the next start when it finds what the golden samples expect.
func TestGoldenSamplesDecideOnWhatIsKept(t *testing.T) {
	const there = `{"class": "open", "score": 0.9, "box": [22, 27, 42, 37]}`
	for name, c := range map[string]struct {
		expect, told string
		failure      error
		refused      bool
	}{
		"found":   {expect: `[` + there + `]`, told: "keep"},
		"no disk": {expect: `[` + there + `]`, told: "keep", failure: errors.New("no space left")},
		"wrong":   {expect: `[]`, told: "drop: golden sample differs: g.png on tensorrt", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := bundle.Load(golden(t, c.expect))
			require.NoError(t, err)
			r := &building{Runtime: fake.Runtime{Script: findsExactlyOne}, failure: c.failure}
			l := infer.Loader{Runtime: r, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
			s, err := l.Load(b, "")
			require.Len(t, r.told, 1)
			require.Contains(t, r.told[0], c.told)
			if c.refused {
				require.ErrorIs(t, err, infer.ErrGolden)
				return
			}
			require.NoError(t, err, "it runs as well")
			require.NoError(t, s.Close())
		})
	}
}

// What a provider takes no part of runs on another one: CUDA stands behind TensorRT. That is told or refused.
func TestAProviderThatTakesNoPartOfAModelIsPassedOver(t *testing.T) {
	idle := func() *building {
		return &building{
			failure: fmt.Errorf("%w: TensorRT made no engine", infer.ErrIdle),
			of:      func(s infer.Spec) bool { return s.Provider.Name == bundle.ProviderTensorRT },
		}
	}
	for _, dir := range []string{onnxtest.Bundle(t), onnxtest.Batched(t, most)} {
		b, err := bundle.Load(dir)
		require.NoError(t, err)
		b.Manifest.Providers.Order[0].Name = bundle.ProviderTensorRT
		other := b.Manifest.Providers.Order[0]
		other.Name = bundle.ProviderCUDA
		b.Manifest.Providers.Order = []bundle.Provider{b.Manifest.Providers.Order[0], other}
		r := idle()
		l := infer.Loader{Runtime: r, Batches: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
		_, err = l.Load(b, bundle.PolicyRequire)
		require.ErrorIs(t, err, infer.ErrProvider)
		require.ErrorContains(t, err, "tensorrt: the provider takes no part of the model: TensorRT made no")
		require.Equal(t, r.Opened.Load(), r.Closed.Load())

		s, err := l.Load(b, bundle.PolicyFallback)
		require.NoError(t, err)
		require.Equal(t, bundle.ProviderCUDA, s.Provider)
		require.True(t, s.FellBack)
		require.Contains(t, s.FallbackReason, "tensorrt: the provider takes no part")
		require.NoError(t, s.Close())
		require.Equal(t, r.Opened.Load(), r.Closed.Load())
	}
}

// sampled moves the golden sample of one bundle to another.
func sampled(t *testing.T, from, to string) string {
	t.Helper()
	for _, name := range []string{"g.png", "g.json"} {
		require.NoError(t, os.Rename(filepath.Join(from, name), filepath.Join(to, name)))
	}
	return to
}

const ofSample = "golden: {samples: [{image: g.png, expect: g.json}]}"

// The samples speak of both models together: neither is kept before, and each goes that may be wrong.
func TestGoldenSamplesDecideOnBothModels(t *testing.T) {
	const difference = "drop: golden sample differs: g.png on tensorrt"
	for name, c := range map[string]struct {
		expect string
		told   []string
	}{
		"right": {`[]`, []string{"crops keep", "images keep"}},
		"wrong": {
			`[{"class": "open", "score": 0.9, "box": [22, 27, 42, 37]}]`,
			[]string{"crops " + difference, "images " + difference},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sampled(t, golden(t, c.expect), onnxtest.Bundle(t, ofSample, pipelined("")))
			b, err := bundle.Load(put(t, dir, kinds(3)))
			require.NoError(t, err)
			r := &building{
				Runtime: fake.Runtime{Script: (&finder{}).run},
				name:    func(s infer.Spec) string { return s.InputName },
			}
			l := infer.Loader{Runtime: r, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
			s, err := l.Load(b, "")
			require.Len(t, r.told, len(c.told))
			for i, told := range c.told {
				require.Contains(t, r.told[i], told)
			}
			if err != nil {
				require.ErrorIs(t, err, infer.ErrGolden)
				return
			}
			require.NoError(t, s.Close())
		})
	}
}

// What is right for one image is kept when it is for a full batch.
func TestGoldenSamplesDecideOnWhatIsKeptForABatch(t *testing.T) {
	const expect = `[{"class": "open", "score": 0.88, "box": [23, 26, 42, 38]}]`
	for name, c := range map[string]struct {
		shift float32 // of what is found in each further image
		told  string
	}{
		"right": {0, "keep"}, "wrong": {9, "drop: golden sample differs: g.png on cpu, image 2 of 4"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sampled(t, golden(t, expect), onnxtest.Batched(t, most, ofSample))
			b, err := bundle.Load(dir)
			require.NoError(t, err)
			r := &building{Runtime: fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
				clear(s.Outputs[0].Values)
				for i := range s.Images {
					for row, v := range []float32{32 + c.shift*float32(i), 32, 20, 10, 0.9} {
						s.Outputs[0].Values[i*10*onnxtest.Cells+row*onnxtest.Cells+7] = v
					}
				}
				<-time.After(time.Millisecond) // what a run costs, whatever it holds
				return nil
			}}}
			l := infer.Loader{Runtime: r, Batches: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
			s, err := l.Load(b, "")
			require.Len(t, r.told, 1)
			require.Contains(t, r.told[0], c.told)
			if err != nil {
				require.ErrorIs(t, err, infer.ErrGolden)
				return
			}
			require.Equal(t, most, s.Images())
			require.NoError(t, s.Close())
		})
	}
}
