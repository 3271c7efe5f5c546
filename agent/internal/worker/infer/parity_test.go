package infer_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// shifted finds the open of findsExactlyOne, on a provider that is no CPU a little beside it.
func shifted(s infer.Spec, stop <-chan struct{}) error {
	if s.Input.Floats[6*onnxtest.Side+5] < 0.7 { // the blank frame
		clear(s.Outputs[0].Values)
		return nil
	}
	if err := findsExactlyOne(s, stop); err != nil {
		return err
	}
	if s.Provider.Name != bundle.ProviderCPU {
		s.Outputs[0].Values[7] += 1.5                 // x of the middle
		s.Outputs[0].Values[4*onnxtest.Cells+7] = 0.8 // score
	}
	return nil
}

func onFake(t *testing.T, r *fake.Runtime) *infer.Loader {
	t.Helper()
	return &infer.Loader{Runtime: r, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// What a provider computes is compared with what is expected and with the CPU, also where it is refused.
func TestParitySaysHowFarAProviderIsFromTheSamplesAndTheCPU(t *testing.T) {
	dir := golden(t, `[{"class": "open", "score": 0.9, "box": [22, 27, 42, 37]}]`)
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	p, err := onFake(t, &fake.Runtime{Script: shifted}).Parity(b, "")
	require.NoError(t, err)
	require.Equal(t, "tensorrt", p.Provider)
	require.Equal(t, "model.onnx", p.Model)
	require.Len(t, p.Samples, 1)
	for _, a := range []*wire.Apart{p.Samples[0].Expected, p.Samples[0].CPU} {
		require.Equal(t, 1, a.Found)
		require.InDelta(t, 1.5, a.Box, 1e-5)
		require.InDelta(t, 0.1, a.Score, 1e-6)
	}
	require.Contains(t, p.Samples[0].Expected.Beyond, "scores 0.800 instead of 0.900")

	p, err = onFake(t, &fake.Runtime{
		Script: shifted, Absent: map[string]error{"tensorrt": errNoLibrary, "cuda": errNoLibrary},
	}).Parity(b, "")
	require.NoError(t, err)
	require.Equal(t, "cpu", p.Provider)
	require.Contains(t, p.FallbackReason, "libcuda.so.1 is missing")
	require.Nil(t, p.Samples[0].CPU)
	require.Zero(t, p.Samples[0].Expected.Box)
	require.Empty(t, p.Samples[0].Expected.Beyond)
}

func TestParityCountsWhatIsMissingAndWhatIsMore(t *testing.T) {
	dir := golden(t, `[{"class": "short", "score": 0.9, "box": [22, 27, 42, 37]}]`)
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	p, err := onFake(t, &fake.Runtime{
		Script: shifted, Absent: map[string]error{"cpu": errors.New("no such operator")},
	}).Parity(b, "")
	require.NoError(t, err)
	require.Contains(t, p.CPUReason, "no such operator")
	a := p.Samples[0].Expected
	require.Equal(t, [4]int{1, 1, 1, 1}, [4]int{a.Wanted, a.Found, a.Missing, a.Extra})
	require.Zero(t, a.Box, "there is no pair")
}

func TestParityNeedsSamplesAndAProvider(t *testing.T) {
	bare := onnxtest.Bundle(t)
	b, err := bundle.Load(bare)
	require.NoError(t, err)
	_, err = onFake(t, &fake.Runtime{}).Parity(b, "")
	require.ErrorContains(t, err, "has no golden samples to compare: add some under golden.samples")
	dir := golden(t, `[]`)
	b, err = bundle.Load(dir)
	require.NoError(t, err)
	_, err = onFake(t, &fake.Runtime{Absent: map[string]error{"tensorrt": errNoLibrary}}).Parity(b,
		bundle.PolicyRequire)
	require.ErrorIs(t, err, infer.ErrProvider)
	zero := float32(0)
	p, err := onFake(t, &fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
		clear(s.Outputs[0].Values)
		if s.Provider.Name == "tensorrt" {
			s.Outputs[0].Values[0] = zero / zero
		}
		return nil
	}}).Parity(b, "")
	require.NoError(t, err)
	require.Contains(t, p.Samples[0].Fault, "bad model output")
}
