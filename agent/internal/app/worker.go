package app

import (
	"strconv"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// workerArgs are those of the worker's command line.
func workerArgs(w *config.Worker) []string {
	args := []string{"--log-format", "json"}
	if w.MemoryLimit != 0 {
		args = append(args, "--memory-limit", strconv.FormatInt(w.MemoryLimit, 10))
	}
	return args
}

// configure is what the worker is told of all stations, in the order of the configuration.
func (a *agent) configure() *wire.Configure {
	var stations []*wire.StationConfig
	for _, s := range a.stations {
		stations = append(stations, s.change.live.config)
	}
	return a.around(stations...)
}

// around is what a worker of some stations is told.
func (a *agent) around(stations ...*wire.StationConfig) *wire.Configure {
	return &wire.Configure{
		Stations: stations, InferenceThreads: uint32(a.cfg.Worker.Threads),
		OnnxruntimeLibrary: a.cfg.Worker.ONNXRuntime, Spinning: a.cfg.Worker.Spinning,
		ParallelRuns: uint32(a.cfg.Worker.Parallel), Sharing: uint32(len(a.stations)),
	}
}
