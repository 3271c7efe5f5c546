//go:build cgo && !customenv

package main

// openCVVersion is empty: this build reads no video and scales pictures in Go.
func openCVVersion() string { return "" }

func tameOpenCV() error { return nil }
