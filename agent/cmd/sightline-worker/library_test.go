//go:build cgo

package main

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFolderOfEnginesIsTheOneThatTheEnvironmentSays(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", home)
	for _, c := range []struct{ engines, unit, mib, want, says string }{
		{want: filepath.Join(home, "sightline", "engines")},
		{unit: filepath.Join(home, "unit"), want: filepath.Join(home, "unit", "engines")},
		{engines: filepath.Join(home, "own"), unit: home, mib: "1", want: filepath.Join(home, "own")},
		{engines: "own", says: `SIGHTLINE_ENGINES is "own": write an absolute path, or off`},
		{mib: "0", says: `SIGHTLINE_ENGINES_MIB is "0": write MiB, 1 to 1048576`},
		{mib: "4 GB", says: `SIGHTLINE_ENGINES_MIB is "4 GB": write MiB`},
	} {
		t.Setenv(enginesVariable, c.engines)
		t.Setenv("CACHE_DIRECTORY", c.unit)
		t.Setenv(sizeVariable, c.mib)
		store, err := openEngines(slog.New(slog.DiscardHandler))
		if c.says != "" {
			require.ErrorContains(t, err, c.says)
			continue
		}
		require.NoError(t, err)
		require.DirExists(t, c.want)
		require.NoError(t, store.Close())
	}
}
