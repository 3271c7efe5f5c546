//go:build cgo && customenv

package main

import (
	"os"

	"gocv.io/x/gocv"
)

func openCVVersion() string { return gocv.OpenCVVersion() }

// tameOpenCV bounds how long OpenCV's V4L2 backend sits in a read of a silent camera (seconds; its default is
// ten), before anything loads it. An operator's own setting stays.
func tameOpenCV() error {
	const limit = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
	gocv.SetNumThreads(1)
	if _, set := os.LookupEnv(limit); set {
		return nil
	}
	return os.Setenv(limit, "1")
}
