package eval_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reader is a scripted worker that takes the files of its folder camera by name, as the real one does. A file
// says how large the image is, and what is found in it.
type reader struct {
	folder string
	turned bool // brings the files in another order
	seen   []string
	golden []string // what the file beside each holds, which its camera is told to take for its template
	beside string   // as the camera is told: template=A:B
}

func (r *reader) script() fakeworker.Script {
	return fakeworker.Script{
		Configured: func(p *fakeworker.Peer, m *wire.Configure) {
			_, query, _ := strings.Cut(m.GetStations()[0].GetCamera(), "?")
			if values, err := url.ParseQuery(query); err == nil {
				r.folder, r.beside = values.Get("path"), values.Get("template")
			}
			p.State(0, wire.Phase_PHASE_READY, "")
		},
		Inspect: r.inspect,
	}
}

func (r *reader) inspect(p *fakeworker.Peer, m *wire.Inspect) {
	entries, err := os.ReadDir(r.folder)
	if err != nil || len(entries) < int(m.GetJob()) {
		p.Fault(m, wire.Fault_FAULT_END, "")
		return
	}
	at := int(m.GetJob()) - 1
	if r.turned {
		at = len(entries) - 1 - at
	}
	name := entries[at].Name()
	answer := &wire.Inspected{Job: m.GetJob(), Source: name, InferenceNs: 2e6, PreprocessNs: 1e6}
	raw, err := os.ReadFile(filepath.Join(r.folder, name))
	r.seen = append(r.seen, string(raw))
	if board, golden, ok := strings.Cut(r.beside, ":"); ok {
		template, _ := os.ReadFile(filepath.Join(r.folder, strings.Replace(name, board, golden, 1)))
		r.golden = append(r.golden, string(template))
	}
	var d wire.Detection
	if _, scan := fmt.Sscan(string(raw), &answer.Width, &answer.Height,
		&d.Class, &d.Score, &d.X1, &d.Y1, &d.X2, &d.Y2); err != nil || scan != nil {
		answer.Fault = wire.Fault_FAULT_BAD_FRAME
		answer.FaultText = name + ": bad frame: " + name + ": it is truncated"
	} else {
		answer.Detections = []*wire.Detection{&d}
	}
	p.Send(wire.KindInspected, answer)
}

func evaluate(t *testing.T, r *reader, set *eval.Dataset) (*eval.Report, error) {
	t.Helper()
	return evaluateBy(t, r, set, detector())
}

func detector() *bundle.Bundle {
	manifest := bundle.Manifest{Name: "boards"}
	for _, name := range boards() {
		manifest.Classes = append(manifest.Classes, bundle.Class{Name: name, Threshold: 0.5})
	}
	return &bundle.Bundle{Manifest: manifest}
}

func evaluateBy(t *testing.T, r *reader, set *eval.Dataset, by *bundle.Bundle) (*eval.Report, error) {
	t.Helper()
	report, err := runBy(t, r.script(), set, by)
	require.NoDirExists(t, r.folder, "the links are removed")
	return report, err
}

func runBy(t *testing.T, s fakeworker.Script, set *eval.Dataset, by *bundle.Bundle) (*eval.Report, error) {
	t.Helper()
	done := 0
	report, err := eval.Run(t.Context(), eval.Options{
		Bundle: by, Data: set, Log: slog.New(slog.DiscardHandler),
		Launch:   fakeworker.Launch(s),
		Progress: func(at, total int) { done = at; require.Len(t, set.Samples, total) },
	})
	if err == nil {
		require.Equal(t, done, report.Images)
	}
	return report, err
}

func TestSharesBecomePixelsOfEachImage(t *testing.T) {
	set, err := eval.Load(yolo(folder(t, map[string]string{
		"images/b/wide.png": "200 100 0 0.9 50 25 150 75", "labels/b/wide.txt": "0 .5 .5 .5 .5",
		"images/a/high.png": "100 200 0 0.9 25 50 75 150", "labels/a/high.txt": "0 .5 .5 .5 .5",
		"images/clean.png": "100 200 1 0.1 25 50 75 150",
	})))
	require.NoError(t, err)
	var r reader
	report, err := evaluate(t, &r, set)
	require.NoError(t, err)
	require.InDelta(t, 1, report.MAP5095, 1e-9)
	require.Equal(t, []int{3, 2, 1}, []int{report.Images, report.Labels, report.Unlabelled})
	require.Equal(t, []string{"yolo", "number"}, []string{report.Layout, report.ClassesBy})
	require.Equal(t, "100 200 0 0.9 25 50 75 150", r.seen[0], "in the order of the names, from any folder")
	require.InDelta(t, 2, report.MsP50, 1e-9)
	require.InDelta(t, 1000.0/3, report.FPS, 1e-9)
}

func TestImagesThatCannotBeInspectedAreMissesByTheirOwnName(t *testing.T) {
	set, err := eval.Load(coco(pictures(t, "images", map[string]string{"any.json": annotated})))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(set.Samples[1].Path, []byte("640 640 0 0.9 0 0 9 9"), 0o600))
	report, err := evaluate(t, &reader{}, set)
	require.NoError(t, err)
	require.Equal(t, []eval.Failure{
		{Image: "sub/a.png", Reason: "bad frame: sub/a.png: it is truncated"},
	}, report.Failed)
	require.Equal(t, []int{2, 1, 1}, []int{report.Images, report.Labels, report.Ignored})
	require.Zero(t, report.Recall)
	require.Equal(t, "name", report.ClassesBy)
}

func TestListsOfAReportAreNeverNull(t *testing.T) {
	set, err := eval.Load(yolo(folder(t, map[string]string{
		"images/a.png": "100 200 0 0.9 25 50 75 150", "labels/a.txt": "0 .5 .5 .5 .5",
	})))
	require.NoError(t, err)
	report, err := evaluate(t, &reader{}, set)
	require.NoError(t, err)
	raw, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"failed":[]`)
	require.NotContains(t, string(raw), "null")
}

// Only inspected images without any label are clean, and only scores that reach the class's threshold, which
// is 0.5 here, are alarms.
func TestAlarmsOnCleanImagesAreCounted(t *testing.T) {
	set, err := eval.Load(yolo(folder(t, map[string]string{
		"images/alarmed.png": "100 100 2 0.5 5 5 20 20", "labels/alarmed.txt": "",
		"images/bad.png":    "truncated",
		"images/defect.png": "100 100 0 0.9 25 25 75 75", "labels/defect.txt": "0 .5 .5 .5 .5",
		"images/quiet.png":   "100 100 1 0.49 5 5 20 20",
		"images/strange.png": "100 100 99 0.9 5 5 20 20",
	})))
	require.NoError(t, err)
	report, err := evaluate(t, &reader{}, set)
	require.NoError(t, err)
	require.Len(t, report.Failed, 1)
	require.Equal(t, []int{5, 3, 1}, []int{report.Images, report.Clean, report.CleanAlarmed})
}

func TestFalseAlarmsThatASecondModelDismissedAreNotFound(t *testing.T) {
	set, err := eval.Load(yolo(folder(t, map[string]string{
		"images/defect.png": "100 100 0 0.9 25 25 75 75", "labels/defect.txt": "0 .5 .5 .5 .5",
		"images/fine.png": fmt.Sprint("100 100 ", len(boards()), " 0.9 5 5 20 20"), "labels/fine.txt": "",
	})))
	require.NoError(t, err)
	by := detector()
	by.Manifest.Then = &bundle.Then{Classes: []bundle.Class{{Name: "fine", Threshold: 0.5, Good: true}}}
	by.Manifest.Classes = append(by.Manifest.Classes, by.Manifest.Then.Classes...)
	report, err := evaluateBy(t, &reader{}, set, by)
	require.NoError(t, err)
	require.InDelta(t, 1, report.Precision, 0)
	require.Equal(t, []int{1, 0}, []int{report.Clean, report.CleanAlarmed})
}

func TestAnImageWithARegionInWhichNothingCountsIsNotClean(t *testing.T) {
	set, err := eval.Load(coco(pictures(t, "images", map[string]string{"any.json": annotated})))
	require.NoError(t, err)
	for i := range set.Samples {
		set.Samples[i].Labels = []eval.Box{{Ignored: true, Corners: [4]float32{0, 0, 9, 9}}}
		require.NoError(t, os.WriteFile(set.Samples[i].Path, []byte("640 640 0 0.9 0 0 9 9"), 0o600))
	}
	report, err := evaluate(t, &reader{}, set)
	require.NoError(t, err)
	require.Empty(t, report.Failed)
	require.Zero(t, report.Clean)
}

func TestAnAnswerToAnotherImageEndsTheEvaluation(t *testing.T) {
	set, err := eval.Load(coco(pictures(t, "images", map[string]string{"any.json": annotated})))
	require.NoError(t, err)
	_, err = evaluate(t, &reader{turned: true}, set)
	require.ErrorContains(t, err, "was due, which is sub/a.png")
}

// pairedSets are two boards and their templates, in layouts that have class names of their own. On each board
// its defect is found.
func pairedSets(t *testing.T) []eval.Source {
	t.Helper()
	const high, wide = "100 200 0 0.9 25 50 75 150", "200 100 0 0.9 50 25 150 75"
	return []eval.Source{
		yolo(folder(t, map[string]string{
			"images/a/1.png": high, "templates/a/1.png": "high", "labels/a/1.txt": "1 .5 .5 .5 .5",
			"images/b/1.png": wide, "templates/b/1.jpg": "wide", "labels/b/1.txt": "0 .5 .5 .5 .5",
			"data.yaml": "names: [Open, Missing Copper]",
		})),
		coco(folder(t, map[string]string{
			"images/1_test.png": high, "images/1_temp.png": "high",
			"images/2_test.png": wide, "images/2_temp.jpg": "wide",
			"any.json": `{
				"images": [{"id": 1, "file_name": "1_test.png"}, {"id": 2, "file_name": "2_test.png"}],
				"annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [25, 50, 50, 100]},
					{"id": 2, "image_id": 2, "category_id": 3, "bbox": [50, 25, 100, 50]}],
				"categories": [{"id": 3, "name": "open"}, {"id": 7, "name": "missing copper"}]}`,
		})),
	}
}

func TestComparisonsTakeTemplatesAndAnyClassOfEveryLayout(t *testing.T) {
	for _, source := range pairedSets(t) {
		source.OneClass, source.Templates = true, true
		set, err := eval.Load(source)
		require.NoError(t, err)
		var r reader
		report, err := evaluateBy(t, &r, set, nil)
		require.NoError(t, err)
		require.Empty(t, report.Failed)
		require.Equal(t, []string{"high", "wide"}, r.golden, "each beside its own")
		require.InDelta(t, 1, report.MAP5095, 1e-9, "both kinds of labels are found as the one class")
		require.Equal(t, "none", report.ClassesBy)
		require.Equal(t, "compare", report.Bundle)
	}
}

func TestPairsTakeTemplatesOfEveryLayout(t *testing.T) {
	pair := detector()
	pair.Manifest.Classes[1].Name = "missing-copper"
	pair.Manifest.Input.Template = true
	for _, source := range pairedSets(t) {
		source.Classes, source.Templates = pair.ClassNames(), true
		set, err := eval.Load(source)
		require.NoError(t, err)
		var r reader
		report, err := evaluateBy(t, &r, set, pair)
		require.NoError(t, err)
		require.Equal(t, []string{"high", "wide"}, r.golden)
		require.InDelta(t, 0.5, report.Recall, 1e-9, "the other one is found as another class")
		require.Equal(t, "name", report.ClassesBy)
		source.Templates = false
		set, err = eval.Load(source)
		require.NoError(t, err)
		_, err = evaluateBy(t, &reader{}, set, pair)
		require.ErrorIs(t, err, eval.ErrNoTemplate)
	}
}

func TestQuantileIsTheNearestRank(t *testing.T) {
	require.InDelta(t, 0, eval.Quantile(nil, 0.5), 0)
	require.InDelta(t, 2, eval.Quantile([]float64{3, 1, 2}, 0.5), 0)
	require.InDelta(t, 3, eval.Quantile([]float64{3, 1, 2}, 0.99), 0)
	four := []float64{4, 2, 3, 1}
	for q, want := range map[float64]float64{0: 1, 0.25: 1, 0.5: 2, 0.51: 3, 0.75: 3, 0.99: 4, 1: 4} {
		require.InDelta(t, want, eval.Quantile(four, q), 0, "%v", q)
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	require.InDelta(t, 99, eval.Quantile(hundred, 0.99), 0)
}
