package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

const (
	timedRuns  = 5
	timeCamera = "sim:" // its size does not matter: the model's input has one of its own
)

// run is what a model takes here.
type run struct {
	took     time.Duration // 0: not known
	provider string
}

// fastest is the shortest of a few runs of the model, so that other load on the machine counts least.
func fastest(ctx context.Context, i *inspector.Inspector) (least time.Duration, err error) {
	ctx, cancel := answerWithin(ctx, answerLimit)
	defer cancel()
	for range timedRuns {
		if err := i.Ask(); err != nil {
			return 0, err
		}
		answer, err := i.Answer(ctx)
		if err != nil {
			return 0, fmt.Errorf("time the model: %w", err)
		}
		took := time.Duration(answer.GetInferenceNs())
		if answer.GetFault() == wire.Fault_FAULT_NONE && (least == 0 || took < least) {
			least = took
		}
	}
	return least, nil
}

// deadline warns of a station whose model cannot keep its deadline on this machine.
func (k *checker) deadline(cfg *config.Loaded, i int, r run) {
	limit := cfg.Stations[i].Trigger.Deadline
	path := fmt.Sprintf("stations[%d].trigger.deadline", i)
	if r.took <= limit || cfg.Faulty(path) {
		return
	}
	k.warn(stationName(cfg, i), strictyaml.Faults{{
		Line: cfg.Line(path), Path: path,
		Problem: fmt.Sprintf("%v is shorter than the model alone takes here, %v on %s: each part would be "+
			"UNKNOWN", limit, r.took.Round(time.Millisecond/10), r.provider),
		Remedy: "write a longer one, or use a faster machine, execution provider or model",
	}})
}
