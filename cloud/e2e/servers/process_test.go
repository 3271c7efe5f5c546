package servers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func never(context.Context) error { return errors.New("no answer") }

func TestAServerThatEndsAtOnceIsReportedWithItsReason(t *testing.T) {
	p, err := spawn("/bin/sh", "-c", "echo address in use; exit 3")
	require.NoError(t, err)
	err = p.await(10*time.Second, never)
	require.ErrorContains(t, err, "ended before it was ready: exit status 3")
	require.Equal(t, "address in use\n", p.log.String())
	require.NoError(t, p.stop(), "stopping what has ended is no error")
}

func TestAServerThatNeverAnswersIsReportedWithTheLastAnswer(t *testing.T) {
	p, err := spawn("/bin/sleep", "60")
	require.NoError(t, err)
	require.ErrorContains(t, p.await(200*time.Millisecond, never), "not ready after 200ms: no answer")
	require.NoError(t, p.stop())
	require.False(t, p.alive())
}

func TestStopEndsAPausedServer(t *testing.T) {
	p, err := spawn("/bin/sleep", "60")
	require.NoError(t, err)
	require.NoError(t, pause(p))
	require.NoError(t, p.stop())
	require.ErrorContains(t, p.cause(), "signal: terminated")
}

func TestAProgramThatIsNotThereIsAnError(t *testing.T) {
	_, err := spawn("/nowhere/server")
	require.ErrorContains(t, err, "start /nowhere/server")
}

func TestTailKeepsTheNewestBytes(t *testing.T) {
	var l Tail
	for range 3 {
		_, err := l.Write([]byte(strings.Repeat("x", tailBytes/2)))
		require.NoError(t, err)
	}
	_, err := l.Write([]byte("end"))
	require.NoError(t, err)
	require.Len(t, l.String(), tailBytes)
	require.True(t, strings.HasSuffix(l.String(), "xend"))
}
