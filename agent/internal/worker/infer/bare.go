package infer

// RunBare runs the model alone on one image, whatever its input holds: what a benchmark compares the worker's
// loop with.
func (s *Session) RunBare() error { return s.runner.Run(1) }
