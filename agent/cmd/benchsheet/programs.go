package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/sightline-edge/sightline/agent/internal/bench"
)

// bareRuns of the model alone are timed before the sheet, and as many after it: what else the machine does
// changes.
const bareRuns = 100

// report is what is needed of that of `sightline-agent sheet`.
type report struct {
	Tile    [2]int   `json:"tile"`
	Overlap int      `json:"overlap"`
	Threads int      `json:"threads"`
	Peak    int64    `json:"worker_peak_rss_bytes"`
	Sheets  []result `json:"sheets"`
}

type result struct {
	Reason       string   `json:"reason"`
	Tiles        int      `json:"tiles"`
	Dropped      int      `json:"dropped"`
	ReadMs       float64  `json:"read_ms"`
	InspectionMs float64  `json:"inspection_ms"`
	ModelMs      float64  `json:"model_ms"`
	Detections   []defect `json:"detections"`
}

type defect struct {
	Class string     `json:"class"`
	Box   [4]float32 `json:"box"`
}

// bare is the milliseconds of a run of the model in a loop of nothing else.
func (s *settings) bare() (float64, error) {
	loop := bench.Loop{
		Worker: s.worker, Bundle: s.bundle, ONNXRuntime: os.Getenv("SIGHTLINE_ONNXRUNTIME"),
		Threads: s.threads, Runs: bareRuns, Parallel: 1,
	}
	run, err := loop.PerRun(context.Background())
	return float64(run.Nanoseconds()) / 1e6, err
}

// inspect runs the agent on images, all of them beside one template where it is not empty. Each was inspected
// where there is no error.
func (s *settings) inspect(progress io.Writer, template string, images ...string) (*report, error) {
	args := []string{
		"sheet", "--log-level", "error", "--worker", s.worker, "--bundle", s.bundle, "--overlap",
		strconv.Itoa(s.overlap), "--threads", strconv.Itoa(s.threads), "-o", "json",
	}
	if template != "" {
		args = append(args, "--template", template)
	}
	//nolint:gosec,noctx // the caller's own program, which ends by itself
	command := exec.Command(s.agent, append(args, images...)...)
	command.Stderr = progress
	raw, failed := command.Output()
	r := &report{}
	err := json.Unmarshal(raw, r) // also after a failure, whose reasons stand in the report
	for i := range r.Sheets {
		if reason := r.Sheets[i].Reason; reason != "" {
			return nil, fmt.Errorf("image %d was not inspected: %s", i+1, reason)
		}
	}
	switch {
	case failed != nil:
		return nil, fmt.Errorf("%s %v: %w", s.agent, args[:1], failed)
	case err != nil:
		return nil, fmt.Errorf("read the agent's report: %w", err)
	case len(r.Sheets) != len(images):
		return nil, fmt.Errorf("the agent reports %d of %d images", len(r.Sheets), len(images))
	}
	return r, nil
}

// inspectAll takes one run of the agent, or one for each crop where it has a template of its own.
func (s *settings) inspectAll(progress io.Writer, crops []files) ([]result, error) {
	var plain []string
	var all []result
	for _, c := range crops {
		if c.template == "" {
			plain = append(plain, c.board)
			continue
		}
		r, err := s.inspect(progress, c.template, c.board)
		if err != nil {
			return nil, err
		}
		all = append(all, r.Sheets...)
	}
	if len(plain) == 0 {
		return all, nil
	}
	r, err := s.inspect(progress, "", plain...)
	if err != nil {
		return nil, err
	}
	return r.Sheets, nil
}
