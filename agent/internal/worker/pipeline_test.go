package worker

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const secondInput = "crops"

// pipelineStation has a bundle whose second model sees crops of 32×32 pixels, each by itself.
func pipelineStation(tb testing.TB) *wire.StationConfig {
	tb.Helper()
	station := simStation(tb)
	station.BundleDir = onnxtest.Bundle(tb, `then:
  model: kinds.onnx
  margin: 0.2
  input: {width: 32, height: 32, channels: 1}
  decoder: {family: classifier, activation: none}
  classes: [{name: fine, threshold: 0.6, good: true}, {name: scratch, threshold: 0.5}]`)
	model := onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: secondInput, Elem: 1, Dims: []int64{1, 1, 32, 32}}},
		[]onnxtest.Port{{Name: "kinds", Elem: 1, Dims: []int64{1, 2}}},
	))
	require.NoError(tb, os.WriteFile(filepath.Join(station.GetBundleDir(), "kinds.onnx"), model, 0o600))
	return station
}

func TestTheSupervisorHearsWhatTheSecondModelSays(t *testing.T) {
	said := []float32{0, 0}
	hangs := false
	s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		if spec.InputName != secondInput {
			return twoDetections(spec, stop)
		}
		if hangs {
			<-stop
			return fake.ErrTerminated
		}
		copy(spec.Outputs[0].Values, said)
		return nil
	}), pipelineStation(t))
	state := s.ready()
	require.Equal(t, []string{"open", "short", "mousebite", "spur", "copper", "pin-hole", "fine", "scratch"},
		state.GetModel().GetClasses())
	for job, c := range []struct {
		said  []float32
		hangs bool
		fault wire.Fault
		found []int32
		score float32
	}{
		{said: []float32{0.2, 0.8}, found: []int32{7, 7}, score: 0.8},
		{said: []float32{0.9, 0.1}},
		{said: []float32{0.4, 0.3}, found: []int32{0, 0}, score: 0.9},
		{said: []float32{float32(math.NaN()), 0}, fault: wire.Fault_FAULT_BAD_OUTPUT},
		{said: []float32{0, 1}, hangs: true, fault: wire.Fault_FAULT_CANCELLED},
		{said: []float32{0, 1}, found: []int32{7, 7}, score: 1},
	} {
		copy(said, c.said)
		hangs = c.hangs
		deadline := time.Hour
		if hangs {
			deadline = 300 * time.Millisecond
		}
		s.inspect(uint64(job), deadline)
		s.exposed()
		got := s.inspected()
		require.Equal(t, c.fault, got.GetFault(), got.GetFaultText())
		var found []int32
		for _, d := range got.GetDetections() {
			found = append(found, d.GetClass())
			require.InDelta(t, c.score, d.GetScore(), 1e-6)
		}
		require.Equal(t, c.found, found)
	}
}

func TestASecondModelSeesNoTiles(t *testing.T) {
	station := pipelineStation(t)
	station.TileOverlap = 8
	require.Contains(t, start(t, scripted(twoDetections), station).refused(), "leave tiles out")
}
