//go:build !race

package line_test

// racing says that the tests run with the race detector.
const racing = false
