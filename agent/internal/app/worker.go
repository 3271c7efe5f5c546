package app

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

const workerName = "sightline-worker"

// workerPath finds the worker: as configured, beside the agent, or in PATH.
func workerPath(configured string) (string, error) {
	if configured != "" {
		if _, err := os.Stat(configured); err != nil {
			return "", fmt.Errorf("find vision worker, check worker.path: %w", err)
		}
		return configured, nil
	}
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), workerName)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(workerName)
	if err != nil {
		return "", errors.New("find vision worker: " + workerName +
			" is neither beside the agent nor in PATH: build it (make build) or set worker.path")
	}
	return path, nil
}

// configure is what the worker is told of all stations, in the order of the configuration.
func (a *agent) configure() *wire.Configure {
	c := &wire.Configure{
		InferenceThreads: uint32(a.cfg.Worker.Threads), OnnxruntimeLibrary: a.cfg.Worker.ONNXRuntime,
	}
	for _, s := range a.cfg.Stations {
		c.Stations = append(c.Stations, &wire.StationConfig{
			Name: s.Name, Camera: s.Camera, BundleDir: bundle.Find(s.Bundle, a.cfg.BundleDir),
			ProviderPolicy: s.Provider, OpenTimeoutNs: int64(s.OpenTimeout), ReadTimeoutNs: int64(s.ReadTimeout),
			EvidenceQuality: int32(a.cfg.Evidence.Quality), MaxCrops: int32(a.cfg.Evidence.MaxCrops),
			FreeRun: s.Trigger.Mode == config.ModeContinuous,
		})
	}
	return c
}
