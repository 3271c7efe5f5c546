package eval_test

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

func folders(dir, task string, classes ...string) eval.Source {
	return eval.Source{Dir: dir, Layout: eval.LayoutFolders, Task: task, Classes: classes}
}

func TestAnomaliesAreReadAsMVTecADIsPublished(t *testing.T) {
	dir := folder(t, map[string]string{
		"test/good/000.png": "", "test/scratch/000.png": "", "test/scratch/001.bmp": "",
		"test/crack/000.png": "", "test/crack/notes.txt": "", "train/good/000.png": "",
		"ground_truth/scratch/000_mask.png": "", "ground_truth/scratch/001_mask.png": "",
		"ground_truth/crack/000.png": "",
	})
	for name, c := range map[string]struct{ dir, split, masks string }{
		"the data set":   {dir, "", dir},
		"a split":        {dir, "test", dir},
		"the folder":     {filepath.Join(dir, "test"), "", dir},
		"masks beside":   {flattened(t, dir), "", ""},
		"a linked class": {linked(t, dir), "", dir},
	} {
		t.Run(name, func(t *testing.T) {
			source := folders(c.dir, bundle.TaskAnomaly, "anomaly")
			source.Split = c.split
			set, err := eval.Load(source)
			require.NoError(t, err)
			require.Equal(t, []string{
				"crack/000.png", "good/000.png", "scratch/000.png", "scratch/001.bmp",
			}, names(set))
			require.Empty(t, set.Samples[1].Mask, "what is good has none")
			masks := map[int]string{0: "crack/000.png", 2: "scratch/000_mask.png", 3: "1_mask.png"}
			for i, end := range masks {
				require.True(t, strings.HasSuffix(set.Samples[i].Mask, end), set.Samples[i].Mask)
			}
		})
	}
}

// flattened is the data set without test/, its masks among the folders of its images.
func flattened(t *testing.T, dir string) string {
	t.Helper()
	flat := t.TempDir()
	require.NoError(t, os.CopyFS(flat, os.DirFS(filepath.Join(dir, "test"))))
	require.NoError(t, os.CopyFS(filepath.Join(flat, "ground_truth"),
		os.DirFS(filepath.Join(dir, "ground_truth"))))
	return flat
}

// linked has links for folders.
func linked(t *testing.T, dir string) string {
	t.Helper()
	links := t.TempDir()
	for _, name := range []string{"test", "ground_truth"} {
		require.NoError(t, os.Symlink(filepath.Join(dir, name), filepath.Join(links, name)))
	}
	return links
}

func TestClassesAreReadAsFoldersOfTheirNames(t *testing.T) {
	dir := folder(t, map[string]string{
		"val/Pin_Hole/a/1.png": "", "val/open/0.jpg": "", "val/open/.0.jpg": "", "train/open/9.jpg": "",
	})
	source := folders(dir, bundle.TaskClassification, boards()...)
	source.Split = "val"
	set, err := eval.Load(source)
	require.NoError(t, err)
	require.Equal(t, []string{"Pin_Hole/a/1.png", "open/0.jpg"}, names(set))
	require.Equal(t, []int{5, 0}, []int{set.Samples[0].Class, set.Samples[1].Class})
	source.Split = ""
	_, err = eval.Load(source)
	require.ErrorIs(t, err, eval.ErrUnknownClass)
	require.ErrorContains(t, err, `"train"; the labels have train, val; the bundle has open, short`)
}

func TestFoldersThatDoNotTellAreExplained(t *testing.T) {
	anomaly := func(files map[string]string) eval.Source {
		return folders(folder(t, files), bundle.TaskAnomaly, "anomaly")
	}
	boxes := folders(t.TempDir(), bundle.TaskDetection, boards()...)
	yolo := anomaly(map[string]string{"images/1.png": "", "labels/1.txt": ""})
	yolo.Layout = eval.LayoutYOLO
	split := anomaly(map[string]string{"test/good/1.png": ""})
	split.Split = "../test"
	for name, c := range map[string]struct {
		source eval.Source
		want   string
	}{
		"nothing": {anomaly(map[string]string{"1.png": ""}), "has no folders: it needs one for each"},
		"no good": {
			anomaly(map[string]string{"ok/1.png": "", "bad/1.png": ""}),
			"no folder good for the images of good parts, only bad, ok",
		},
		"empty":          {anomaly(map[string]string{"good/1.txt": ""}), "ends in .jpg"},
		"split":          {split, `split "../test" is no folder`},
		"another layout": {yolo, "task anomaly is measured by what whole images show: use layout folders"},
		"boxes":          {boxes, "layout folders says nothing of where defects are"},
		"a missing mask": {anomaly(map[string]string{
			"test/good/1.png": "", "test/bad/1.png": "", "test/bad/2.png": "",
			"ground_truth/bad/1_mask.png": "",
		}), "test/bad/2.png has no mask bad/2.png or with _mask.png, and others have"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eval.Load(c.source)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// mapper is a scripted worker for anomalies: the first line of an image says its score and size, all of a map
// of 4×2 places is at level 0 but the first, which is at the score's.
func mapper(t *testing.T) (fakeworker.Script, *wire.StationConfig) {
	t.Helper()
	r := &reader{}
	asked := &wire.StationConfig{}
	script := r.script()
	configured := script.Configured
	script.Configured = func(p *fakeworker.Peer, m *wire.Configure) {
		asked.Heat = m.GetStations()[0].GetHeat()
		configured(p, m)
	}
	script.Inspect = func(p *fakeworker.Peer, m *wire.Inspect) {
		raw, err := os.ReadFile(filepath.Join(r.folder, "image-"+pad(m.GetJob()-1)))
		if err != nil {
			p.Fault(m, wire.Fault_FAULT_END, "")
			return
		}
		score, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			p.Fault(m, wire.Fault_FAULT_BAD_FRAME, "it is truncated")
			return
		}
		level := wire.HeatLevel(score)
		levels := make([]byte, 16)
		levels[0], levels[1] = byte(level), byte(level>>8)
		p.Send(wire.KindInspected, &wire.Inspected{
			Job: m.GetJob(), Width: 8, Height: 4, InferenceNs: 1e6,
			Heat: &wire.Heat{Width: 4, Height: 2, X2: 8, Y2: 4, Levels: levels, Score: float32(score)},
			Detections: []*wire.Detection{{
				Score: float32(min(max(score, 0), 1)), X2: 2, Y2: 2,
			}},
		})
	}
	return script, asked
}

func pad(n uint64) string {
	text := strconv.FormatUint(n, 10)
	return strings.Repeat("0", 8-len(text)) + text
}

// corner is a mask of which the first pixels of a frame of 8×4 are unusual: those of the map's first place.
func corner(t *testing.T, path string, width int) {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, width, 4))
	for _, at := range []image.Point{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		m.Set(at.X, at.Y, color.White)
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, m))
	require.NoError(t, f.Close())
}

func anomalyBundle() *bundle.Bundle {
	return &bundle.Bundle{Manifest: bundle.Manifest{
		Name: "a", Task: bundle.TaskAnomaly, Classes: []bundle.Class{{Name: "anomaly", Threshold: 0.5}},
	}}
}

func TestAnomaliesAreMeasuredByImageAndByPixel(t *testing.T) {
	dir := folder(t, map[string]string{
		"good/0.png": "0.1", "good/1.png": "0.55", "good/2.png": "broken", "good/3.png": "-0.4",
		"scratch/0.png": "0.6", "scratch/1.png": "1.5", "crack/0.png": "0.3",
	})
	for _, name := range []string{"scratch/0", "scratch/1", "crack/0"} {
		corner(t, filepath.Join(dir, "ground_truth", name+"_mask.png"), 8)
	}
	set, err := eval.Load(folders(dir, bundle.TaskAnomaly, "anomaly"))
	require.NoError(t, err)
	script, asked := mapper(t)
	report, err := runBy(t, script, set, anomalyBundle())
	require.NoError(t, err)
	require.True(t, asked.GetHeat())
	require.Len(t, report.Failed, 1)
	judged := eval.Judgement{Good: 3, FalseRejects: 1, Defective: 3, FalseAccepts: 1}
	require.Equal(t, judged, *report.Judgement)
	require.InDelta(t, 8.0/9, *report.ImageAUROC, 1e-9, "0.3 is below 0.55, others are over all good ones")
	require.InDelta(t, 2.0/3, report.ImageF, 1e-9)
	require.InDelta(t, 0.3, report.ThresholdBest, 1e-6)
	require.InDelta(t, 6.0/7, report.ImageFBest, 1e-9)
	require.Equal(t, 3, report.Masks)
	require.Equal(t, 3, report.Regions)
	require.Greater(t, *report.PixelAUROC, 0.98)
	require.Equal(t, []string{"crack", "good", "scratch"}, []string{
		report.Kinds[0].Kind, report.Kinds[1].Kind, report.Kinds[2].Kind,
	})
	require.InDelta(t, 2.0/3, *report.Kinds[0].AUROC, 1e-9)
	require.Nil(t, report.Kinds[1].AUROC)
	require.Equal(t, 2, report.Kinds[2].Rejected)
	raw, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"image_auroc":0.8`)
	require.Contains(t, string(raw), `"false_rejects":1`)
	require.NotContains(t, string(raw), "map50")
	require.NotContains(t, string(raw), "null")

	corner(t, filepath.Join(dir, "ground_truth", "crack", "0_mask.png"), 9)
	script, _ = mapper(t)
	_, err = runBy(t, script, set, anomalyBundle())
	require.ErrorIs(t, err, eval.ErrLabels)
	require.ErrorContains(t, err, "is of 9×4 pixels, its image crack/0.png of 8×4")
}

func TestAWorkerThatSendsNoMapEndsTheEvaluation(t *testing.T) {
	set, err := eval.Load(folders(folder(t, map[string]string{"good/0.png": "8 4 0 0.9 0 0 1 1"}),
		bundle.TaskAnomaly, "anomaly"))
	require.NoError(t, err)
	_, err = runBy(t, (&reader{}).script(), set, anomalyBundle())
	require.ErrorContains(t, err, "good/0.png: the worker sends no map")
}

func TestClassesAreMeasuredByImage(t *testing.T) {
	set, err := eval.Load(folders(folder(t, map[string]string{
		"good/0.png": "8 4 0 0.9 0 0 8 4", "good/1.png": "8 4 0 0.4 0 0 8 4",
		"dent/0.png": "8 4 1 0.8 0 0 8 4", "dent/1.png": "8 4 0 0.7 0 0 8 4", "dent/2.png": "broken",
	}), bundle.TaskClassification, "good", "dent"))
	require.NoError(t, err)
	report, err := runBy(t, (&reader{}).script(), set, &bundle.Bundle{Manifest: bundle.Manifest{
		Name: "c", Task: bundle.TaskClassification, Classes: []bundle.Class{
			{Name: "good", Threshold: 0.5, Good: true}, {Name: "dent", Threshold: 0.5},
		},
	}})
	require.NoError(t, err)
	require.Equal(t, [][]int{{2, 0, 0}, {1, 1, 0}}, report.Confusion)
	require.InDelta(t, 0.75, report.Accuracy, 1e-9)
	judged := eval.Judgement{Good: 2, FalseRejects: 1, Defective: 2, FalseAccepts: 1}
	require.Equal(t, judged, *report.Judgement,
		"a good part of which the model is not sure is no PASS")
	raw, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"confusion":[[2,0,0],[1,1,0]]`)
	require.Contains(t, string(raw), `"classes":[{"class":"good","labels":2,"precision":0.6`)
	require.NotContains(t, string(raw), "ap50")
}
