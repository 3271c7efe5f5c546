package samples_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/samples"
)

const childDir = "SIGHTLINE_SAMPLES_CHILD" // makes the test binary the process that is killed

// child overrides part after part in a store with little room, and prints the result of each once it is
// answered.
func child(dir string) {
	s, err := samples.Open(samples.Options{Dir: dir, MaxCount: 20})
	if err != nil {
		panic(err)
	}
	for n := 0; ; n++ {
		side := 8 + n%50
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
			panic(err)
		}
		r := record(time.Now(), n+rand.IntN(1<<30)<<20, "", 0)
		s.Note(r)
		if err := s.Sampled(r.ResultID, samples.Chunks{b.Bytes()}); err != nil {
			panic(err)
		}
		done := make(chan samples.Answer, 1)
		o := samples.Order{
			Place: place(), ResultID: r.ResultID, Override: samples.Override{Verdict: event.Pass},
		}
		if err := s.Override(o, func(a samples.Answer) { done <- a }); err != nil {
			panic(err)
		}
		if a := <-done; a.Err != nil {
			panic(a.Err)
		}
		if _, err := fmt.Println(r.ResultID); err != nil { //nolint:forbidigo // speaks to its parent
			return
		}
	}
}

// Killed at any point, nothing that was answered is lost, and nothing is half there.
func TestAKilledStoreHasWholeSamplesOnly(t *testing.T) {
	kills := 30
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	for range kills {
		answered := killOnce(t, dir)
		s, err := samples.Open(samples.Options{Dir: dir, MaxCount: 20})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		all := list(t, dir)
		require.LessOrEqual(t, len(all), 20)
		require.Len(t, files(t, dir), 2*len(all), "a picture and a record of each, and nothing else")
		there := map[string]bool{}
		for _, r := range all {
			name := filepath.Join(dir, "line3-aoi-1", r.Time.UTC().Format(time.DateOnly), r.Picture.File)
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			sum := sha256.Sum256(b)
			require.Equal(t, r.Picture.SHA256, hex.EncodeToString(sum[:]))
			there[r.ResultID] = true
		}
		require.True(t, answered == "" || there[answered], "the last that was answered is the newest")
	}
}

// killOnce returns the last result that the child had an answer for.
func killOnce(tb testing.TB, dir string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	var first [1]byte
	_, err = io.ReadFull(out, first[:])
	require.NoError(tb, err, "the child never answered anything")
	soon := time.Duration(rand.IntN(20_000)) * time.Microsecond
	killer := time.AfterFunc(soon, func() { _ = cmd.Process.Kill() })
	defer killer.Stop()
	rest, err := io.ReadAll(out)
	require.NoError(tb, err)
	require.Error(tb, cmd.Wait(), "killed")
	lines := strings.Split(string(first[:])+string(rest), "\n")
	if len(lines) < 2 { // the last line may be cut
		return ""
	}
	return lines[len(lines)-2]
}
