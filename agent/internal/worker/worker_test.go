package worker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

func TestEachInspectIsAnsweredOnce(t *testing.T) {
	s := start(t, scripted(nil), simStation(t))
	hello := expect(s, wire.KindHello, &wire.Hello{})
	require.Equal(t, "fake", hello.GetOnnxruntimeVersion())
	s.phase(wire.Phase_PHASE_READY)
	for job := range uint64(5) {
		s.inspect(job, 0, 0)
		exposed := s.exposed()
		require.Equal(t, job, exposed.GetJob())
		got := s.inspected()
		require.Equal(t, job, got.GetJob())
		require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
		require.Equal(t, exposed.GetFrame(), got.GetFrame())
		require.True(t, got.GetSimulated())
		require.EqualValues(t, 640, got.GetWidth())
	}
}
