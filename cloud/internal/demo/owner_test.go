package demo

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	stat, ok := info.Sys().(*syscall.Stat_t)
	require.True(t, ok)
	return stat.Uid
}

func TestTheUserOfSudoOwnsWhatADemonstrationLeaves(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who alone may give files away")
	}
	const user = 65534
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, nil, 0o600))
	dir := t.TempDir()
	inside := filepath.Join(dir, "evidence", "0.jpg")
	require.NoError(t, os.MkdirAll(filepath.Dir(inside), 0o750))
	require.NoError(t, os.WriteFile(inside, nil, 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(outside, link))

	t.Setenv("SUDO_UID", "")
	require.NoError(t, handBack(dir))
	require.Zero(t, owner(t, inside), "root's own")
	t.Setenv("SUDO_UID", "65534")
	require.NoError(t, handBack(dir))
	for _, path := range []string{dir, filepath.Dir(inside), inside, link} {
		require.EqualValues(t, user, owner(t, path), path)
	}
	require.Zero(t, owner(t, outside), "a link is not followed")
}
