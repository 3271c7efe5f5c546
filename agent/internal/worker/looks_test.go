package worker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnAnswerTellsWhatTheFrameLooksLike(t *testing.T) {
	dir := t.TempDir()
	noise(t, dir, 800)
	station := simStation(t)
	station.Camera = "dir:" + dir
	s := start(t, scripted(twoDetections), station)
	s.ready()
	s.inspect(1, 0)
	s.exposed()
	got := s.inspected()
	require.True(t, got.GetLooked())
	require.InDelta(t, 127.5, got.GetInputMean(), 5)
	require.InDelta(t, 73.9, got.GetInputDeviation(), 3, "of even noise")
	require.InDelta(t, 85, got.GetInputSharpness(), 4, "a third of its range")
}
