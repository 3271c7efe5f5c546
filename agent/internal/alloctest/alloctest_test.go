package alloctest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
)

func TestOneAllocationInManyRunsIsCounted(t *testing.T) {
	var kept *[64]byte
	runs := 0
	each := func(n int) func() {
		return func() {
			runs++
			if runs%n == 0 {
				kept = new([64]byte)
			}
		}
	}
	require.Zero(t, testing.AllocsPerRun(500, each(2)), "why this package exists")
	require.GreaterOrEqual(t, alloctest.Least(500, each(2)), uint64(250))
	require.GreaterOrEqual(t, alloctest.Least(500, each(500)), uint64(1))
	require.NotNil(t, kept)
}

func TestADisturbedRoundIsNotTheLeast(t *testing.T) {
	var kept []*[64]byte
	runs := 0
	require.Zero(t, alloctest.Least(10, func() {
		runs++
		if runs < 25 {
			kept = append(kept, new([64]byte))
		}
	}))
	require.NotEmpty(t, kept)
	require.GreaterOrEqual(t, runs, 40)
}
