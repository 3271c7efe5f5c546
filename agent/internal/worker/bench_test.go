package worker

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// BenchmarkFrameToAnswer reports the time from a full HD frame in memory to its answer at the supervisor's
// end of the socket, less the model's run, in µs.
func BenchmarkFrameToAnswer(b *testing.B) {
	station := simStation(b)
	station.Camera = "sim:?seed=1&width=1920&height=1080&prerender=4"
	s := bareStart(b, station)
	inspect, settle, in := &wire.Inspect{}, &wire.Settle{}, &wire.Inspected{}
	spent := make([]int64, 0, b.N)
	for b.Loop() {
		inspect.Job++
		settle.Job = inspect.Job
		require.NoError(b, s.send(wire.KindInspect, inspect))
		payload, err := s.until(wire.KindInspected)
		now := monotime.Now()
		require.NoError(b, err)
		require.NoError(b, proto.Unmarshal(payload, in))
		require.Len(b, in.GetDetections(), 2, in.GetFaultText())
		spent = append(spent, now-in.GetExposedNs()-in.GetInferenceNs())
		require.NoError(b, s.send(wire.KindSettle, settle))
	}
	slices.Sort(spent)
	b.ReportMetric(float64(spent[len(spent)/2])/1e3, "p50-µs")
	b.ReportMetric(float64(spent[len(spent)*99/100])/1e3, "p99-µs")
}
