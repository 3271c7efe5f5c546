package worker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

func TestMapsForAnEvaluationAreBoundedAndKeepTheirScores(t *testing.T) {
	h := &detect.Heat{
		Values: []float32{10, 20, 30, 45, 20, 10}, Width: 3, Height: 2, Box: [4]float32{-4, 0, 28, 24},
		Score: 1.25, Threshold: 20, Range: 20,
	}
	got := measured(nil, h)
	require.Equal(t, []byte{
		0x55, 0x55, 0, 0x80, 0xaa, 0xaa, // scores 0, 0.5 and 1
		0xaa, 0xea, 0, 0x80, 0x55, 0x55, // 1.75 is over 1, and still told
	}, got.GetLevels())
	require.Equal(t, [2]int32{3, 2}, [2]int32{got.GetWidth(), got.GetHeight()})
	require.InDelta(t, -4, got.GetX1(), 0)
	require.InDelta(t, 28, got.GetX2(), 0)
	require.InDelta(t, 1.25, got.GetScore(), 0)
	require.Nil(t, measured(got, nil), "a frame that was not inspected has none")
	large := &detect.Heat{Values: make([]float32, 3000*1500), Width: 3000, Height: 1500, Range: 1}
	large.Values[2*3000+4] = 1
	got = measured(got, large)
	require.Equal(t, [2]int32{1500, 750}, [2]int32{got.GetWidth(), got.GetHeight()})
	require.Len(t, got.GetLevels(), 2*1500*750)
	require.LessOrEqual(t, 1500*750, wire.MaxHeat)
	require.NotEqual(t, got.GetLevels()[:2], got.GetLevels()[2*(1500+2):][:2])
}

func TestMapsForPicturesAreBoundedAndKeepTheirPeaks(t *testing.T) {
	h := &detect.Heat{
		Values: make([]float32, 2049*1025), Width: 2049, Height: 1025, Box: [4]float32{0, 0, 7, 7}, Range: 1,
	}
	for i := range h.Values {
		h.Values[i] = -0.5
	}
	h.Values[1024*2049+2048] = 3
	k := keptHeat(h)
	require.LessOrEqual(t, len(k.Levels), mostHeat)
	require.Equal(t, h.Box, k.Box)
	require.Len(t, k.Levels, k.Width*k.Height)
	require.EqualValues(t, 255, k.Levels[len(k.Levels)-1])
	require.Zero(t, k.Levels[0])
	thin := keptHeat(&detect.Heat{Values: make([]float32, 1<<19), Width: 1, Height: 1 << 19, Range: 1})
	require.Equal(t, 1, thin.Width)
}
