package worker

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// bareSupervisor speaks the protocol without allocating, so that what is counted is the worker's.
type bareSupervisor struct {
	conn   net.Conn
	out    []byte
	in     []byte
	header [5]byte
}

func (b *bareSupervisor) send(kind wire.Kind, m proto.Message) error {
	out, err := proto.MarshalOptions{}.MarshalAppend(append(b.out[:0], 0, 0, 0, 0, byte(kind)), m)
	if err != nil {
		return err
	}
	b.out = out
	binary.LittleEndian.PutUint32(out, uint32(len(out)-4))
	_, err = b.conn.Write(out)
	return err
}

// until skips messages up to one of the kind, and returns its payload.
func (b *bareSupervisor) until(kind wire.Kind) ([]byte, error) {
	for {
		if _, err := io.ReadFull(b.conn, b.header[:]); err != nil {
			return nil, err
		}
		payload := b.in[:binary.LittleEndian.Uint32(b.header[:4])-1]
		if _, err := io.ReadFull(b.conn, payload); err != nil {
			return nil, err
		}
		if wire.Kind(b.header[4]) == kind {
			return payload, nil
		}
	}
}

// Camera, scaling, inference, decoding, socket: all of one part, from Inspect to Settle, beside heartbeats.
func TestTheSteadyStateAllocatesNothing(t *testing.T) {
	for name, camera := range map[string]string{
		"unscaled": "sim:?seed=1&width=64&height=64&prerender=4",
		"scaled":   "sim:?seed=1&width=320&height=200&prerender=4",
		"sampled":  "sim:?seed=1&width=192&height=192&zoom=3&color=true&prerender=4",
		"full HD":  "sim:?seed=1&width=1920&height=1080&zoom=3&color=true&prerender=4", // as `bench` has it
	} {
		t.Run(name, func(t *testing.T) {
			station := simStation(t)
			station.Camera = camera
			require.Len(t, steady(t, station, 500).GetDetections(), 2)
		})
	}
}

// The same with a second model.
func TestTheSteadyStateOfTwoModelsAllocatesNothing(t *testing.T) {
	station := pipelineStation(t)
	station.Camera = "sim:?seed=1&width=320&height=200&prerender=4"
	found := steady(t, station, 300).GetDetections()
	require.Len(t, found, 2)
	require.EqualValues(t, 7, found[0].GetClass())
}

// The same beside a golden template: one of the station, for a model and for a comparison.
func TestTheSteadyStateBesideATemplateAllocatesNothing(t *testing.T) {
	camera := strings.Replace(clean, "clean=1", "clean=0", 1) + "&prerender=4"
	t.Run("pair", func(t *testing.T) {
		station := pairStation(t)
		station.Camera = camera
		require.Len(t, steady(t, station, 200).GetDetections(), 2)
	})
	t.Run("compare", func(t *testing.T) {
		station := compareStation(t)
		station.Camera = camera
		require.NotEmpty(t, steady(t, station, 200).GetDetections())
	})
}

// steady counts the allocations of parts in the worker, which must be none, and returns the last answer.
func steady(t *testing.T, station *wire.StationConfig, parts int) *wire.Inspected {
	t.Helper()
	b := bareStart(t, station)
	inspect := &wire.Inspect{DeadlineNs: 1 << 62}
	settle := &wire.Settle{Verdict: "PASS"}
	part := func() {
		inspect.Job++
		settle.Job = inspect.Job
		require.NoError(t, b.send(wire.KindInspect, inspect))
		_, err := b.until(wire.KindInspected)
		require.NoError(t, err)
		require.NoError(t, b.send(wire.KindSettle, settle))
	}
	for range 50 {
		part()
	}
	allocations := alloctest.Least(parts, part)
	t.Logf("%.4f Go allocations a part in the worker's loop (%s: %d in %d parts)",
		float64(allocations)/float64(parts), t.Name(), allocations, parts)
	require.Zero(t, allocations)
	in := &wire.Inspected{}
	require.NoError(t, b.send(wire.KindInspect, inspect))
	payload, err := b.until(wire.KindInspected)
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(payload, in))
	require.Equal(t, wire.Fault_FAULT_NONE, in.GetFault(), in.GetFaultText())
	return in
}

// twoDetections is the output of a model that finds two defects.
func twoDetections(s infer.Spec, _ <-chan struct{}) error {
	clear(s.Outputs[0].Values)
	if s.InputName == secondInput {
		s.Outputs[0].Values[1] = 0.75 // a scratch
		return nil
	}
	for i, cell := range []int{3, 9} {
		for row, v := range []float32{float32(16 + 32*i), 32, 10, 10, 0.9} {
			s.Outputs[0].Values[row*onnxtest.Cells+cell] = v
		}
	}
	return nil
}

func bareStart(tb testing.TB, station *wire.StationConfig) *bareSupervisor {
	tb.Helper()
	ours, theirs := pair(tb)
	require.NoError(tb, ours.SetDeadline(time.Now().Add(time.Minute)))
	b := &bareSupervisor{conn: ours, out: make([]byte, 0, 4096), in: make([]byte, 1<<20)}
	ended := make(chan error, 1)
	go func() {
		ended <- Run(context.WithoutCancel(tb.Context()), theirs, Options{
			Runtime: scripted(twoDetections), Log: slog.New(slog.DiscardHandler),
		})
	}()
	tb.Cleanup(func() {
		require.NoError(tb, ours.Close())
		require.NoError(tb, <-ended)
	})
	require.NoError(tb, b.send(wire.KindConfigure, &wire.Configure{Stations: []*wire.StationConfig{station}}))
	for state := (&wire.StationState{}); state.GetPhase() != wire.Phase_PHASE_READY; {
		payload, err := b.until(wire.KindStationState)
		require.NoError(tb, err)
		state.Reset()
		require.NoError(tb, proto.Unmarshal(payload, state))
	}
	return b
}
