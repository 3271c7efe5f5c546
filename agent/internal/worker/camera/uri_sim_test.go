package camera

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFaultsOfASimulatedCameraTellWhatToWrite(t *testing.T) {
	for uri, want := range map[string]string{
		"sim:?seed=x":    `camera URI: seed is "x"; it must be a whole number, such as 7`,
		"sim:?seed=":     `camera URI: seed is ""; it must be a whole number, such as 7`,
		"sim:?width=1e3": `camera URI: width is "1e3"; it must be a whole number, such as 640`,
		"sim:?clean=half&zoom=x": `camera URI: zoom is "x"; it must be a whole number from 1 to 16` + "\n" +
			`clean is "half"; it must be a number, such as 0.5`,
		"sim:?sed=1": `camera URI: unknown option "sed"; there are rate, prerender, color, zoom, ` +
			`template, seed, product, defects, clean, width, height`,
		"sim:?clean=2": "camera URI: simulated camera: clean is 2; it must be from 0 to 1",
	} {
		_, err := parse(uri)
		require.EqualError(t, err, want, uri)
	}
}
