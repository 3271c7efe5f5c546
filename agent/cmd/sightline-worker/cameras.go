//go:build cgo

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera"
)

// maxCameras bounds what is read, in bytes.
const maxCameras = 1 << 20

// checkCameras reads camera URIs, a JSON list of strings, and writes for each why it can never work, or "",
// for `sightline-agent check`. They do not come as arguments, which other users of the machine can see: they
// may hold passwords. It opens no camera.
func checkCameras(stdin io.Reader, stdout io.Writer) error {
	var uris []string
	if err := json.NewDecoder(io.LimitReader(stdin, maxCameras)).Decode(&uris); err != nil {
		return fmt.Errorf("read a list of camera URIs: %w", err)
	}
	faults := make([]string, len(uris))
	for i, uri := range uris {
		if err := camera.Check(uri); err != nil {
			faults[i] = err.Error()
		}
	}
	return json.NewEncoder(stdout).Encode(faults)
}
