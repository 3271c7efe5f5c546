package main

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/recipe"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// inspector starts a worker that inspects what the station's camera brings as the station would, without a
// line around it. Memory is the address space that it may have, in bytes; 0: as much as there is.
func (t *tool) inspector(
	ctx context.Context, log *slog.Logger, s *config.Station, r *recipe.Recipe, memory uint64,
	loading func(time.Duration),
) (*inspector.Inspector, error) {
	launch, err := t.launch(log, "--"+memoryLimit, strconv.FormatUint(memory, 10))
	if err != nil {
		return nil, err
	}
	asked := &wire.StationConfig{
		Name: s.Name, Camera: s.Camera,
		OpenTimeoutNs: max(s.OpenTimeout, replayRead).Nanoseconds(),
		ReadTimeoutNs: max(s.ReadTimeout, replayRead).Nanoseconds(),
	}
	r.Tell(asked)
	return inspector.Open(ctx, inspector.Options{
		Launch: launch, Log: log, Loading: loading, Configure: &wire.Configure{
			Stations:         []*wire.StationConfig{asked},
			InferenceThreads: uint32(t.threads), OnnxruntimeLibrary: t.library,
		},
	}), nil
}

// judge is the verdict that the station would give, and the milliseconds from a frame in memory to its
// detections.
func judge(answer *wire.Inspected, rules *verdict.Rules) (verdict.Outcome, float64) {
	took := answer.GetPreprocessNs() + answer.GetInferenceNs() + answer.GetDecodeNs()
	if answer.GetFault() != wire.Fault_FAULT_NONE {
		reason := station.FaultReason(answer.GetFault())
		return verdict.Unknown(reason, answer.GetFaultText()), inspector.Milliseconds(took)
	}
	return rules.Judge(answer), inspector.Milliseconds(took)
}
