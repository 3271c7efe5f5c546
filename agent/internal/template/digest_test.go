package template

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The kernel's files are longer than they say, as a file is that grows while it is read.
func TestADigestIsOfTheWholeFileOrNone(t *testing.T) {
	const path = "/proc/version"
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Size())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(content)
	got, err := digest(path, int64(len(content)))
	require.NoError(t, err)
	require.Equal(t, "sha256:"+hex.EncodeToString(sum[:]), got)
	_, err = digest(path, int64(len(content))-1)
	require.ErrorContains(t, err, "has more than")
}
