package sparse_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/sparse"
)

func TestOneWarningASecondAndTheOthersAreCounted(t *testing.T) {
	var out bytes.Buffer
	now := int64(0)
	log := sparse.New(slog.New(slog.NewTextHandler(&out, nil)), func() int64 { return now })
	for range 10 {
		log.Warn("broken", "part", "p")
	}
	require.Equal(t, 1, strings.Count(out.String(), "broken"))
	now += int64(time.Second)
	log.Warn("broken", "part", "p")
	require.Equal(t, 2, strings.Count(out.String(), "broken"))
	require.Contains(t, out.String(), "unlogged=9")
}
