//go:build cgo && customenv

package main

import "gocv.io/x/gocv"

func openCVVersion() string { return gocv.OpenCVVersion() }
