package wire_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

func pair(tb testing.TB) (supervisor, worker *wire.Conn, raw net.Conn) {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "unix", tb.TempDir()+"/s")
	require.NoError(tb, err)
	dialled, err := (&net.Dialer{}).DialContext(tb.Context(), "unix", listener.Addr().String())
	require.NoError(tb, err)
	accepted, err := listener.Accept()
	require.NoError(tb, err)
	require.NoError(tb, listener.Close())
	supervisor, worker = wire.NewConn(accepted), wire.NewConn(dialled)
	tb.Cleanup(func() { _ = supervisor.Close(); _ = worker.Close() })
	return supervisor, worker, dialled
}

func TestMessagesArriveWholeAndInOrder(t *testing.T) {
	supervisor, worker, _ := pair(t)
	jpeg := make([]byte, 100_000)
	go func() {
		_ = worker.Send(wire.KindExposed, &wire.Exposed{Station: 2, Job: 7})
		_ = worker.Send(wire.KindEvidence, &wire.Evidence{Job: 7, Jpeg: jpeg})
		_ = worker.Close()
	}()
	kind, payload, err := supervisor.Receive()
	require.NoError(t, err)
	require.Equal(t, wire.KindExposed, kind)
	var exposed wire.Exposed
	require.NoError(t, supervisor.Decode(payload, &exposed))
	require.Equal(t, uint64(7), exposed.GetJob())
	kind, payload, err = supervisor.Receive()
	require.NoError(t, err)
	require.Equal(t, wire.KindEvidence, kind)
	var evidence wire.Evidence
	require.NoError(t, supervisor.Decode(payload, &evidence))
	require.Len(t, evidence.GetJpeg(), len(jpeg))
	_, _, err = supervisor.Receive()
	require.ErrorIs(t, err, io.EOF)
}

func TestHostileLengthIsRefusedBeforeAllocation(t *testing.T) {
	supervisor, _, raw := pair(t)
	_, err := raw.Write(binary.LittleEndian.AppendUint32(nil, 0xffffffff))
	require.NoError(t, err)
	_, err = raw.Write([]byte{byte(wire.KindHello)})
	require.NoError(t, err)
	_, _, err = supervisor.Receive()
	require.ErrorIs(t, err, wire.ErrFrame)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	supervisor, worker, _ := pair(t)
	detections := []*wire.Detection{{Class: 1, Score: 0.5, X2: 9}, {Class: 2, Score: 0.25, Y2: 7}}
	result := &wire.Inspected{Station: 1, Job: 1, Detections: detections}
	var request wire.Inspect
	round := func() {
		request.Station, request.Job, request.DeadlineNs, request.TriggerNs = 0, 0, 0, 0
		must(t, supervisor.Send(wire.KindInspect, &wire.Inspect{Station: 1, Job: 9, DeadlineNs: 5}))
		_, payload, err := worker.Receive()
		must(t, err)
		must(t, worker.Decode(payload, &request))
		must(t, worker.Send(wire.KindInspected, result))
		_, _, err = supervisor.Receive()
		must(t, err)
	}
	round()
	require.LessOrEqual(
		t,
		testing.AllocsPerRun(200, round),
		1.0,
	) // the one Inspect made here, supervisor's side
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func FuzzDecodeInspected(f *testing.F) {
	seed, err := proto.Marshal(&wire.Inspected{Job: 3, Detections: []*wire.Detection{{Class: 1}}})
	require.NoError(f, err)
	f.Add(seed)
	supervisor, _, _ := pair(f)
	f.Fuzz(func(_ *testing.T, payload []byte) {
		var m wire.Inspected
		_ = supervisor.Decode(payload, &m)
	})
}
