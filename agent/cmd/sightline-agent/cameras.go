package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

const cameraLimit = 10 * time.Second // to look at words; the worker loads its drivers for that

// cameras lets the worker, which alone knows them, look at each station's camera URI, unless the file has a
// fault there. Nothing is opened.
func (k *checker) cameras(cfg *config.Loaded) {
	var uris []string
	var stations []int // of the URIs
	for i := range cfg.Stations {
		if !cfg.Faulty(fmt.Sprintf("stations[%d].camera", i)) {
			uris, stations = append(uris, cfg.Stations[i].Camera), append(stations, i)
		}
	}
	if len(uris) == 0 {
		return
	}
	faults, err := k.askCameras(uris)
	if err != nil {
		k.found("cameras", "", err)
		return
	}
	for n, problem := range faults {
		if problem == "" {
			continue
		}
		fault := strictyaml.Faults{{Path: "camera", Problem: problem}}
		k.found(stationName(cfg, stations[n]), "", cfg.Locate(stations[n], fault))
	}
}

func (k *checker) askCameras(uris []string) ([]string, error) {
	path, err := vision.Find(k.worker)
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(uris)
	if err != nil {
		return nil, fmt.Errorf("encode camera URIs: %w", err)
	}
	ctx, cancel := context.WithTimeout(k.command.Context(), cameraLimit)
	defer cancel()
	//nolint:gosec // the path is the operator's own configuration
	command := exec.CommandContext(ctx, path, "cameras")
	command.Stdin, command.Stderr = bytes.NewReader(in), k.command.ErrOrStderr()
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("let %s check the cameras: %w", path, err)
	}
	var faults []string
	if err := json.Unmarshal(out, &faults); err != nil || len(faults) != len(uris) {
		return nil, errors.New("let " + path + " check the cameras: its answer is not understood; " +
			"is it of the agent's version?")
	}
	return faults, nil
}
