package vision

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const workerName = "sightline-worker"

// Find returns the worker's executable: as configured, else beside this program, else in PATH.
func Find(configured string) (string, error) {
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
