package samples_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/samples"
)

// stocked is a folder with a sample of each kind.
func stocked(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	s := open(tb, samples.Options{Dir: dir})
	put(tb, s, record(noon(), 1, samples.Uncertain, 0.05), picture(tb, 16, 12))
	outlined := record(noon().Add(time.Hour), 2, samples.Uncertain, 0.02)
	outlined.Detections[0].Outline = [][2]float32{{2, 4}, {10, 4}, {10, 8}, {2, 8}}
	outlined.Detections[0].Area = 32
	outlined.Detections[1] = samples.Detection{
		Class: "open", Score: 0.9, Box: [4]float32{12, 8, 30, 30}, Counted: true, // beyond the frame
	}
	put(tb, s, outlined, picture(tb, 16, 12))
	for n, o := range []samples.Override{
		{Verdict: event.Pass, Operator: "mei"},
		{Verdict: event.Fail, Labels: []samples.Label{{Class: "scratch", Box: [4]float32{0, 0, 4, 4}}}},
		{Verdict: event.Fail}, // of a part in which the model found nothing
		{Verdict: event.Pass}, // of one whose frame has gone
	} {
		r := record(noon().Add(2*time.Hour), 3+n, "", 0)
		if n == 2 {
			r.Detections = nil
		}
		if n < 3 {
			put(tb, s, r, picture(tb, 16, 12))
		} else {
			s.Note(r)
		}
		require.NoError(tb, override(tb, s, samples.Order{ResultID: r.ResultID, Override: o}).Err)
	}
	drawn := record(noon().Add(3*time.Hour), 9, samples.Unsure, 0.01)
	drawn.Simulated, drawn.Truth = true, []samples.Label{{Class: "short", Box: [4]float32{5, 5, 9, 9}}}
	put(tb, s, drawn, picture(tb, 16, 12))
	require.NoError(tb, s.Close())
	return dir
}

// The file is also read by pycocotools, in models/training/tests/test_samples_export.py.
func TestAnExportAsCOCO(t *testing.T) {
	out := t.TempDir()
	var steps []int
	done, err := samples.Export(t.Context(), samples.Exporting{
		From: stocked(t), Format: samples.FormatCOCO, Out: out,
		Progress: func(done, total int) { steps = append(steps, done, total) },
	})
	require.NoError(t, err)
	require.Equal(t, []int{1, 7, 2, 7, 3, 7, 4, 7, 5, 7, 6, 7, 7, 7}, steps)
	require.Equal(t, &samples.Exported{
		Format: "coco", Out: out, Images: 5, Vouched: 3, ToReview: 2, Boxes: 5,
		Classes: []string{"open", "short", "scratch"}, LeftOut: 2,
		Because: []string{
			resultID(noon().Add(2*time.Hour), 5) +
				": an operator rejected it without saying where, and the model found nothing",
			resultID(noon().Add(2*time.Hour), 6) +
				": its frame had gone when it was overridden, and there was no evidence",
		},
	}, done)
	got, err := os.ReadFile(filepath.Join(out, "annotations", "instances.json"))
	require.NoError(t, err)
	want, err := os.ReadFile("testdata/instances.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
	require.Len(t, files(t, filepath.Join(out, "images")), 5)
}

func TestAnExportAsYOLO(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "folder")
	_, err := samples.Export(t.Context(), samples.Exporting{
		From: stocked(t), Format: samples.FormatYOLO, Out: out,
	})
	require.NoError(t, err)
	read := func(parts ...string) string {
		b, err := os.ReadFile(filepath.Join(append([]string{out}, parts...)...))
		require.NoError(t, err)
		return string(b)
	}
	require.Equal(t, "train: images\nval: images\nnames:\n    0: open\n    1: short\n    2: scratch\n",
		read("data.yaml"))
	label := func(at time.Time, n int) string {
		return read("labels", "line3-aoi-1-"+resultID(at, n)+".txt")
	}
	require.Equal(t, "1 0.375000 0.500000 0.500000 0.333333\n", label(noon(), 1))
	require.Equal(t, "1 0.375000 0.500000 0.500000 0.333333\n0 0.875000 0.833333 0.250000 0.333333\n",
		label(noon().Add(time.Hour), 2))
	require.Empty(t, label(noon().Add(2*time.Hour), 3), "an operator passed it")
	require.Equal(t, "2 0.125000 0.166667 0.250000 0.333333\n", label(noon().Add(2*time.Hour), 4))
}

func TestAFilterChoosesSamples(t *testing.T) {
	dir := stocked(t)
	for _, c := range []struct {
		filter samples.Filter
		want   int
	}{
		{samples.Filter{}, 7},
		{samples.Filter{Since: noon().Add(time.Minute)}, 6},
		{samples.Filter{Reasons: []samples.Reason{samples.Overridden, samples.Unsure}}, 5},
		{samples.Filter{Station: "line3/aoi-1"}, 7},
		{samples.Filter{Station: "aoi-1"}, 7},
		{samples.Filter{Station: "i-1"}, 0},
		{samples.Filter{Station: "acme/hz/smt/line3/aoi-1"}, 7},
	} {
		l, err := samples.List(t.Context(), dir, c.filter)
		require.NoError(t, err)
		require.Len(t, l.Samples, c.want, "%+v", c.filter)
	}
}

func TestAnExportNeedsSamplesAndAFolderOfItsOwn(t *testing.T) {
	full := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(full, "mine"), nil, 0o600))
	for _, c := range []struct {
		name string
		stop bool
		o    samples.Exporting
		want error
	}{
		{
			"no format", false,
			samples.Exporting{From: stocked(t), Out: t.TempDir(), Format: "voc"},
			samples.ErrFormat,
		},
		{
			"nothing there", false,
			samples.Exporting{From: t.TempDir(), Out: t.TempDir()},
			samples.ErrNone,
		},
		{"no store", false, samples.Exporting{From: full + "/x", Out: t.TempDir()}, os.ErrNotExist},
		{"folder in use", false, samples.Exporting{From: stocked(t), Out: full}, samples.ErrOut},
		{"interrupted", true, samples.Exporting{From: stocked(t), Out: t.TempDir()}, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.o.Format == "" {
				c.o.Format = samples.FormatYOLO
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if c.stop {
				stop()
			}
			_, err := samples.Export(ctx, c.o)
			require.ErrorIs(t, err, c.want)
		})
	}
}

// "FAIL, and no defects" is what a panel sends whose user drew nothing: no word for a good image.
func TestARejectedPartWithoutDefectsIsNotVouchedFor(t *testing.T) {
	for _, verdict := range []event.Verdict{event.Fail, event.Rework} {
		r := record(noon(), 1, samples.Overridden, 0)
		r.Override = &samples.Override{Verdict: verdict, Labels: []samples.Label{}}
		labels, vouched := r.Labels()
		require.False(t, vouched)
		require.Len(t, labels, 1, "what the model found, to be reviewed")
	}
	r := record(noon(), 1, samples.Overridden, 0)
	r.Override = &samples.Override{Verdict: event.Pass, Labels: []samples.Label{}}
	labels, vouched := r.Labels()
	require.True(t, vouched)
	require.Empty(t, labels)
}

func TestAllDamagedRecordsAreCounted(t *testing.T) {
	dir := stocked(t)
	for n := range 40 {
		name := filepath.Join(dir, "line3-aoi-1", "2026-03-04", resultID(noon(), 100+n)+".json")
		require.NoError(t, os.WriteFile(name, []byte("{"), 0o600))
	}
	l, err := samples.List(t.Context(), dir, samples.Filter{})
	require.NoError(t, err)
	require.Equal(t, 40, l.Damaged)
	require.Len(t, l.Unread, 16)
	done, err := samples.Export(t.Context(), samples.Exporting{
		From: dir, Format: samples.FormatYOLO, Out: t.TempDir(),
	})
	require.NoError(t, err)
	require.Equal(t, 42, done.LeftOut)
	require.Len(t, done.Because, 16)
}

// A classification without findings that a person passed: an image, and not one class.
func TestAnExportWithoutClassesHasEmptyLists(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	s := open(t, samples.Options{Dir: dir})
	r := record(noon(), 1, samples.Uncertain, 0)
	r.Classes, r.Detections = nil, nil
	put(t, s, r, picture(t, 8, 8))
	_, err := samples.Export(t.Context(), samples.Exporting{From: dir, Format: samples.FormatCOCO, Out: out})
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(out, "annotations", "instances.json"))
	require.NoError(t, err)
	require.NotContains(t, string(b), "null")
	require.Contains(t, string(b), `"categories": []`)
}

func TestADamagedPictureIsLeftOut(t *testing.T) {
	dir, out := stocked(t), t.TempDir()
	in := filepath.Join(dir, "line3-aoi-1", "2026-03-04")
	damaged := filepath.Join(in, resultID(noon(), 1)+".png")
	b, err := os.ReadFile(damaged)
	require.NoError(t, err)
	b[len(b)-7] ^= 1
	require.NoError(t, os.WriteFile(damaged, b, 0o600))
	require.NoError(t, os.Remove(filepath.Join(in, resultID(noon().Add(time.Hour), 2)+".png")))
	done, err := samples.Export(t.Context(), samples.Exporting{
		From: dir, Format: samples.FormatYOLO, Out: out,
	})
	require.NoError(t, err)
	require.Equal(t, 3, done.Images)
	require.Equal(t, 4, done.LeftOut)
	require.Len(t, files(t, filepath.Join(out, "images")), 3)
}
