package worker

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// What peekSettle reads is what a full decoder reads.
func FuzzPeekSettle(f *testing.F) {
	for _, m := range []*wire.Settle{
		{},
		{Station: 3, Job: 1 << 60, Verdict: "PASS"},
		{Job: 2, Sample: true},
		{Job: 3, Shadow: true},
		{Job: 1, Evidence: true, Defects: []*wire.Detection{{Class: 1, Score: 0.5}}},
	} {
		raw, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := peekSettle(raw)
		full := &wire.Settle{}
		if proto.Unmarshal(raw, full) != nil {
			return
		}
		require.NoError(t, err)
		require.Equal(t, settlement{
			full.GetStation(), full.GetJob(), full.GetEvidence() || full.GetSample(), full.GetShadow(),
		}, got)
	})
}
