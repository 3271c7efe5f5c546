package evidence

import (
	"path"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsSweptIsWhatPutNames(t *testing.T) {
	require.True(t, isPart(path.Base(partName("acme/result-1/12.jpg"))))
}
