package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALoadIsShownInOneLineThatIsTakenBack(t *testing.T) {
	var out strings.Builder
	show := showLoading(&out, "models/pcb-defects")
	for _, elapsed := range []time.Duration{time.Second, 61 * time.Second, 0} {
		show(elapsed)
	}
	const erase = "\r\x1b[K"
	require.Equal(t, erase+"loading models/pcb-defects: 1 s"+erase+"loading models/pcb-defects: 61 s"+erase,
		out.String())
}
