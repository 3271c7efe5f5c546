package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/deeppcbtest"
)

// heldOut is what the ids of the boards begin with that nobody trains on: HELD_OUT_GROUP of
// models/training/boards.py.
const heldOut = "50600"

// heldOutModel is the reference model's twin that was not trained on these.
const heldOutModel = "../../../models/training/held-out/pcb-defects"

// deepPCB finds the data set, without which nobody would know what the reference models are worth.
func deepPCB(t *testing.T) string {
	t.Helper()
	dir := deeppcbtest.Find(t)
	require.NotEmpty(t, dir, deeppcbtest.Remedy)
	return dir
}

type measured struct {
	Images int     `json:"images"`
	F      float64 `json:"f_iou33"`
	MAP    float64 `json:"map_iou33"`
}

// evaluate runs the command eval with the real worker.
func evaluate(t *testing.T, worker string, args ...string) measured {
	t.Helper()
	out, beside, err := said(t, "", append([]string{"eval", "--worker", worker, "-o", "json"}, args...)...)
	require.NoError(t, err, beside)
	var report measured
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	return report
}

func TestReferenceModelFindsTheDefectsOfRealBoardsThatNobodyTrainedOn(t *testing.T) {
	all, some := deepPCB(t), t.TempDir()
	for folder, files := range map[string]string{"images": "*_test.jpg", "labels": "*.txt"} {
		require.NoError(t, os.Mkdir(filepath.Join(some, folder), 0o750))
		found, err := filepath.Glob(filepath.Join(all, folder, heldOut+files))
		require.NoError(t, err)
		for _, file := range found {
			require.NoError(t, os.Symlink(file, filepath.Join(some, folder, filepath.Base(file))))
		}
	}
	report := evaluate(t, realWorker(t), "--data", some, "--bundle", heldOutModel)
	t.Logf("%+v", report)
	require.Equal(t, 50, report.Images)
	require.GreaterOrEqual(t, report.MAP, 0.90)
}
