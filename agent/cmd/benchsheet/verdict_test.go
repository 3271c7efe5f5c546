package main

import (
	"bytes"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

type box = [4]float32

// Tiles of 100 px on a sheet of 180: seams at 80 and at 100 in both directions.
func TestDefectsAreJudgedByTheSeamsThatCutThem(t *testing.T) {
	r := &report{Tile: [2]int{100, 100}, Overlap: 20, Peak: 1 << 20, Sheets: []result{{
		Tiles: 4, InspectionMs: 105, ModelMs: 100, Detections: []defect{
			{Box: box{70, 10, 90, 30}},
			{Box: box{10, 95, 30, 115}},
			{Box: box{11, 95, 31, 115}},
			{Box: box{20, 20, 40, 40}},
		},
	}}}
	s, err := newSeams(sim.Options{Width: 180, Height: 180}, r)
	require.NoError(t, err)
	v := verdict{report: r, seeded: 6}
	v.judge([]sim.Truth{
		{Box: box{70, 11, 90, 31}},
		{Box: box{10, 95, 30, 115}},
		{Box: box{120, 70, 140, 90}},
		{Box: box{81, 20, 99, 40}},
		{Box: box{20, 20, 40, 40}},
		{Box: box{140, 140, 160, 160}},
	}, s)
	require.Equal(t, tally{seeded: 3, once: 1, doubled: 1, missed: []box{{120, 70, 140, 90}}}, v.seam)
	require.Equal(t, 3, v.inside.seeded)
	require.Equal(t, 1, v.inside.once)
	require.Len(t, v.inside.missed, 2)
	v.seam.centred = v.seam.missed
	require.ErrorContains(t, v.bars(), "of 3 defects on seams 2 are not found once; the model finds all but "+
		"0 of them")
	var out bytes.Buffer
	v.print(&out)
	require.Contains(t, out.String(), "ratio              1.050 (bar 1.1)")
	require.Contains(t, out.String(), "on seams           3 seeded, 1 found once, 1 doubled, 1 missed, "+
		"1 of them found in the middle of a tile\n")
}

func TestEachBarIsHeld(t *testing.T) {
	good := func() *report {
		return &report{Peak: 1, Sheets: []result{{InspectionMs: 105, ModelMs: 100}}}
	}
	require.NoError(t, (&verdict{report: good()}).bars())
	for says, edit := range map[string]func(*report){
		"not inspected: it is gone": func(r *report) { r.Sheets[0].Reason = "it is gone" },
		"ratio of times":            func(r *report) { r.Sheets[0].InspectionMs = 111 },
		"peak memory":               func(r *report) { r.Peak = maxPeak + 1 },
	} {
		r := good()
		edit(r)
		require.ErrorContains(t, (&verdict{report: r}).bars(), says)
	}
}

func TestAMissedDefectIsShownInTheMiddle(t *testing.T) {
	sheet, tile := image.Rect(0, 0, 1000, 800), [2]int{100, 60}
	for at, want := range map[box]image.Rectangle{
		{500, 400, 520, 410}: image.Rect(460, 375, 560, 435),
		{0, 0, 20, 10}:       image.Rect(0, 0, 100, 60),
		{980, 790, 999, 799}: image.Rect(900, 740, 1000, 800),
	} {
		require.Equal(t, want, around(sheet, at, tile))
	}
	require.Equal(t, image.Rect(0, 0, 50, 40), around(image.Rect(0, 0, 50, 40), box{5, 5, 9, 9}, tile))
}

func TestArgumentsAreChecked(t *testing.T) {
	var said bytes.Buffer
	require.ErrorContains(t, run([]string{"surplus"}, &said, &said), "unexpected argument")
	require.ErrorContains(t, run([]string{"-side", "10", "-out", t.TempDir()}, &said, &said), "width is 10")
}
