package main

import (
	"bytes"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

type box = [4]float32

// open is a defect of the first class.
func open(b box) sim.Truth { return sim.Truth{Box: b} }

// found is a detection of that class.
func found(b box) defect { return defect{Class: "open", Box: b} }

// Tiles of 100 px on a sheet of 180: seams at 80 and at 100 in both directions.
func TestDefectsAreJudgedByTheSeamsThatCutThem(t *testing.T) {
	r := &report{Tile: [2]int{100, 100}, Overlap: 20, Threads: 2, Peak: 1 << 20, Sheets: []result{{
		Tiles: 4, InspectionMs: 105, ModelMs: 100, Detections: []defect{
			found(box{70, 10, 90, 30}),
			found(box{10, 95, 30, 115}),
			found(box{11, 95, 31, 115}),
			found(box{20, 20, 40, 40}),
			found(box{120, 20, 140, 40}),
		},
	}}}
	s, err := newSeams(sim.Options{Width: 180, Height: 180}, r)
	require.NoError(t, err)
	v := verdict{report: r, bareMs: 25, truth: []sim.Truth{
		open(box{70, 11, 90, 31}),
		open(box{10, 95, 30, 115}),
		open(box{120, 70, 140, 90}),
		open(box{81, 40, 99, 60}),
		open(box{20, 20, 40, 40}),
		open(box{140, 140, 160, 160}),
	}}
	v.judge(s)
	require.Equal(t, tally{
		seeded: 3, became: [kinds]int{missed: 1, once: 1, doubled: 1}, again: []int{1, 2},
	}, v.seam)
	require.Equal(t, tally{
		seeded: 3, became: [kinds]int{missed: 2, once: 1}, again: []int{3, 5},
	}, v.inside)
	require.Equal(t, 1, v.strays)
	v.seam.centred = 2
	require.ErrorContains(t, v.bars(), "of 3 defects on seams 2 are not found once; in the middle of a tile "+
		"the model finds all but 0 of them once")
	var out bytes.Buffer
	v.print(&out)
	for _, line := range []string{
		"model alone        0.10 s, 25.00 ms a tile in a loop of nothing else, 2 threads\n",
		"ratio              1.050 (bar 1.1)\n",
		"defects            6 seeded, 5 detections, 1 of them of no defect, 0 dropped\n",
		"on seams           3 seeded, 1 found once, 1 doubled, 0 cut, 0 of another class, 1 missed\n" +
			"                   2 of the other 2 are found once in the middle of a tile\n",
	} {
		require.Contains(t, out.String(), line)
	}
}

func TestOnceIsOneDetectionOfTheWholeDefectAndOfItsClass(t *testing.T) {
	whole := box{100, 100, 160, 140}
	for name, c := range map[string]struct {
		found  []defect
		want   outcome
		strays int
	}{
		"nothing":                      {nil, missed, 0},
		"somewhere else":               {[]defect{found(box{200, 100, 260, 140})}, missed, 1},
		"one":                          {[]defect{found(box{102, 98, 158, 141})}, once, 0},
		"one and a piece at the seam":  {[]defect{found(whole), found(box{144, 100, 160, 140})}, doubled, 0},
		"a piece before the whole one": {[]defect{found(box{144, 100, 160, 140}), found(whole)}, doubled, 0},
		"a piece that sticks out":      {[]defect{found(whole), found(box{150, 90, 164, 125})}, doubled, 0},
		"one and one of another class": {[]defect{found(whole), {"short", whole}}, doubled, 0},
		"two halves": {
			[]defect{found(box{100, 100, 130, 140}), found(box{130, 100, 160, 140})}, doubled, 0,
		},
		"a piece alone":                 {[]defect{found(box{144, 100, 160, 140})}, cut, 0},
		"far too much":                  {[]defect{found(box{60, 60, 200, 180})}, cut, 0},
		"another class":                 {[]defect{{"short", whole}}, misnamed, 0},
		"one, and a neighbour's corner": {[]defect{found(whole), found(box{155, 135, 175, 155})}, once, 1},
	} {
		t.Run(name, func(t *testing.T) {
			became, strays := outcomes([]sim.Truth{open(box{300, 300, 320, 320}), open(whole)}, c.found)
			require.Equal(t, []outcome{missed, c.want}, became)
			require.Equal(t, c.strays, strays)
		})
	}
}

func TestADetectionIsOfTheDefectThatItOverlapsMost(t *testing.T) {
	truth := []sim.Truth{open(box{0, 0, 40, 40}), open(box{20, 0, 60, 40})}
	became, strays := outcomes(truth, []defect{found(box{1, 0, 41, 40}), found(box{19, 0, 59, 40})})
	require.Equal(t, []outcome{once, once}, became)
	require.Zero(t, strays)
	moved := within(truth, image.Pt(10, 20))
	require.Equal(t, []sim.Truth{open(box{-10, -20, 30, 20}), open(box{10, -20, 50, 20})}, moved)
}

func TestEachBarIsHeld(t *testing.T) {
	good := func() *verdict {
		return &verdict{
			report: &report{Peak: 1, Sheets: []result{{Tiles: 4, InspectionMs: 105, ModelMs: 10}}},
			bareMs: 25, seam: tally{seeded: 1},
		}
	}
	require.NoError(t, good().bars())
	for says, edit := range map[string]func(*verdict){
		"ratio of times":            func(v *verdict) { v.report.Sheets[0].InspectionMs = 111 },
		"the ratio of":              func(v *verdict) { v.bareMs, v.report.Sheets[0].InspectionMs = 0, 0 },
		"peak memory":               func(v *verdict) { v.report.Peak = maxPeak + 1 },
		"no defect lies on a seam":  func(v *verdict) { v.seam = tally{} },
		"1 defects on seams 1 are ": func(v *verdict) { v.seam.again = []int{0} },
	} {
		v := good()
		edit(v)
		require.ErrorIs(t, v.bars(), errBar)
		require.ErrorContains(t, v.bars(), says)
	}
	v := good()
	v.report.Peak, v.bareMs = maxPeak+1, 1
	require.ErrorContains(t, v.bars(), "ratio of times")
	require.ErrorContains(t, v.bars(), "peak memory", "each bar is named")
}

func TestADefectIsShownInTheMiddle(t *testing.T) {
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
