//go:build !(cgo && customenv)

package camera

import "time"

// hasVideo: images and boards only.
const hasVideo = false

func openDevice(spec) (source, error) { return nil, errNoVideo }

func openPipeline(spec) (source, error) { return nil, errNoVideo }

func openVideo(spec) (source, error) { return nil, errNoVideo }

func openNetwork(spec, time.Duration, time.Duration) (source, error) { return nil, errNoVideo }
