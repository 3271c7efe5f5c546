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
	c := &wire.Configure{
		InferenceThreads: uint32(a.cfg.Worker.Threads), OnnxruntimeLibrary: a.cfg.Worker.ONNXRuntime,
		Spinning: a.cfg.Worker.Spinning, ParallelRuns: uint32(a.cfg.Worker.Parallel),
	}
	for i := range a.cfg.Stations {
		s := &a.cfg.Stations[i]
		station := &wire.StationConfig{
			Name: s.Name, Camera: s.Camera,
			OpenTimeoutNs: int64(s.OpenTimeout), ReadTimeoutNs: int64(s.ReadTimeout),
			EvidenceQuality: int32(a.cfg.Evidence.Quality), MaxCrops: int32(*a.cfg.Evidence.MaxCrops),
		}
		a.stations[i].recipe.Tell(station)
		c.Stations = append(c.Stations, station)
	}
	return c
}
