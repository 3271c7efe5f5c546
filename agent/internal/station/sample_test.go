package station_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// asked are the settlements that a worker was sent, by part.
type asked struct {
	mu   sync.Mutex
	want map[uint64]bool
}

// doubtful is a worker whose n-th part has one finding of the n-th score, and that sends each frame that is
// wanted in two messages.
func doubtful(tb testing.TB, scores []float32, to *asked) fakeworker.Script {
	tb.Helper()
	to.want = map[uint64]bool{}
	var frame bytes.Buffer
	require.NoError(tb, png.Encode(&frame, image.NewGray(image.Rect(0, 0, 64, 48))))
	n := 0
	return fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			score := scores[n%len(scores)]
			n++
			if score == 0 {
				p.Answer(m)
				return
			}
			p.Answer(m, &wire.Detection{Score: score, X1: 1, Y1: 2, X2: 30, Y2: 40})
		},
		Settle: func(p *fakeworker.Peer, m *wire.Settle) {
			to.mu.Lock()
			to.want[m.GetJob()] = m.GetSample()
			to.mu.Unlock()
			if !m.GetSample() {
				return
			}
			whole := frame.Bytes()
			half := len(whole) / 2
			p.Send(wire.KindEvidence, &wire.Evidence{
				Job: m.GetJob(), N: wire.PlainFrame, Jpeg: whole[:half], More: true,
			})
			p.Send(wire.KindEvidence, &wire.Evidence{Job: m.GetJob(), N: wire.PlainFrame, Jpeg: whole[half:]})
		},
	}
}

func store(tb testing.TB) *samples.Store {
	tb.Helper()
	s, err := samples.Open(samples.Options{Dir: tb.TempDir()})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

// feed triggers parts one by one and waits for each of their results.
func (r *rig) feed(parts int) []event.Inspection {
	r.t.Helper()
	r.awaitState(event.Ready)
	for n := range parts {
		r.trigger(fmt.Sprintf(`{"partId":"P-%d"}`, n))
		r.await(n + 1)
	}
	return r.await(parts)
}

func TestFramesNearAThresholdBecomeSamples(t *testing.T) {
	dir := t.TempDir()
	kept, err := samples.Open(samples.Options{Dir: dir, HoldBytes: -1})
	require.NoError(t, err)
	var to asked
	scores := []float32{0.52, 0.45, 0.95, 0.2, 0} // the threshold is 0.5
	r := start(t, config.ModeMQTT, doubtful(t, scores, &to), func(o *station.Options) {
		o.Samples, o.Margin = kept, 0.1
	})
	results := r.feed(5)
	require.Eventually(t, func() bool { return kept.Stats().Stored == 2 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 2, r.station.Counters().Get(station.CountSamples))
	require.NoError(t, kept.Close())
	all, err := samples.List(t.Context(), dir, samples.Filter{})
	require.NoError(t, err)
	require.Len(t, all.Samples, 2)
	for i, s := range all.Samples {
		require.Equal(t, results[i].ResultID, s.ResultID)
		require.Equal(t, fmt.Sprintf("P-%d", i), s.PartID)
		require.Equal(t, results[i].Verdict, s.Verdict)
		require.Equal(t, samples.Uncertain, s.Reason)
		require.InDelta(t, []float32{0.02, 0.05}[i], s.Margin, 1e-6)
		require.Equal(t, 64, s.Picture.Width)
		require.Equal(t, []samples.Detection{
			{Class: "open", Score: scores[i], Box: [4]float32{1, 2, 30, 40}, Counted: i == 0},
		}, s.Detections)
		require.Equal(t, []string{"open"}, s.Classes)
		require.Equal(t, results[i].Model.Digest, s.Model.Digest)
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	require.Len(t, to.want, 5)
}

func TestFramesOfRejectedPartsAreHeldForOverridesAFewASecond(t *testing.T) {
	kept := store(t)
	var to asked
	r := start(t, config.ModeMQTT, doubtful(t, []float32{0.95, 0.95, 0}, &to), func(o *station.Options) {
		o.Samples, o.Margin = kept, 0.1
		now := clock()
		o.Now = func() int64 { return now } // no time passes
	})
	r.feed(3)
	require.Eventually(t, func() bool {
		to.mu.Lock()
		defer to.mu.Unlock()
		return len(to.want) == 3
	}, 10*time.Second, time.Millisecond)
	held := 0
	for _, wanted := range to.want {
		if wanted {
			held++
		}
	}
	require.Equal(t, 1, held, "the second came too soon, the third passed")
	require.Zero(t, kept.Stats().Count)
}

// The station passes its parts; its shadow would pass the first, fail the second and fails at the third.
func TestAPartThatTheShadowSeesDifferentlyBecomesASample(t *testing.T) {
	rules, err := verdict.Compile(config.Verdict{}, &bundle.Manifest{
		Classes: []bundle.Class{{Name: "open", Threshold: 0.5}},
	})
	require.NoError(t, err)
	dir := t.TempDir()
	kept, err := samples.Open(samples.Options{Dir: dir})
	require.NoError(t, err)
	var frame bytes.Buffer
	require.NoError(t, png.Encode(&frame, image.NewGray(image.Rect(0, 0, 64, 48))))
	var given atomic.Int64
	r := start(t, config.ModeMQTT, fakeworker.Script{Settle: func(p *fakeworker.Peer, m *wire.Settle) {
		if m.GetShadow() {
			if m.GetSample() {
				p.Send(wire.KindEvidence, &wire.Evidence{
					Job: m.GetJob(), N: wire.PlainFrame, Jpeg: frame.Bytes(),
				})
			}
			given.Add(1)
			return
		}
		seen := &wire.Inspected{Job: m.GetJob(), ExposedNs: clock(), Width: 64, Height: 48}
		switch m.GetJob() {
		case 2:
			seen.Detections = []*wire.Detection{{Score: 0.9, X1: 5, Y1: 5, X2: 20, Y2: 20}}
		case 3:
			seen.Fault = wire.Fault_FAULT_MODEL
		}
		p.Send(wire.KindShadowed, seen)
	}}, func(o *station.Options) {
		o.Samples = kept
		o.Recipe.Shadow = &station.Shadow{
			Rules: rules, Candidate: event.Candidate{Phase: event.CandidateShadow},
		}
	})
	results := r.feed(3)
	require.Eventually(t, func() bool { return given.Load() == 3 && kept.Stats().Stored == 1 },
		10*time.Second, time.Millisecond)
	require.NoError(t, kept.Close())
	all, err := samples.List(t.Context(), dir, samples.Filter{})
	require.NoError(t, err)
	require.Len(t, all.Samples, 1)
	require.Equal(t, samples.Disagreement, all.Samples[0].Reason)
	require.Equal(t, results[1].ResultID, all.Samples[0].ResultID)
	require.Equal(t, event.Pass, all.Samples[0].Verdict)
}

// chunked notes in how many chunks the frames came.
type chunked struct {
	*samples.Store

	frames chan samples.Chunks
}

func (c *chunked) Sampled(resultID string, picture samples.Chunks) error {
	c.frames <- picture
	return c.Store.Sampled(resultID, picture)
}

func TestAFrameIsNotJoinedWhereTriggersWait(t *testing.T) {
	kept := &chunked{Store: store(t), frames: make(chan samples.Chunks, 1)}
	var to asked
	r := start(t, config.ModeMQTT, doubtful(t, []float32{0.52}, &to), func(o *station.Options) {
		o.Samples, o.Margin = kept, 0.1
	})
	r.feed(1)
	require.Len(t, <-kept.frames, 2, "as the worker sent it")
	require.Eventually(t, func() bool { return kept.Stats().Stored == 1 }, 10*time.Second, time.Millisecond)
}

func TestAFrameOfEndlessChunksIsDropped(t *testing.T) {
	kept := store(t)
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Settle: func(p *fakeworker.Peer, m *wire.Settle) {
			for range 5000 {
				p.Send(wire.KindEvidence, &wire.Evidence{Job: m.GetJob(), N: wire.PlainFrame, More: true})
			}
			p.Send(wire.KindEvidence, &wire.Evidence{Job: m.GetJob(), N: wire.PlainFrame, Jpeg: []byte("x")})
		},
	}, func(o *station.Options) { o.Samples = kept })
	r.feed(1)
	require.Eventually(t, func() bool {
		return r.station.Counters().Get(station.CountSamplesLost) == 1
	}, 10*time.Second, time.Millisecond)
	require.Zero(t, kept.Stats().Dropped, "it never reached the store")
}

func TestAPictureOfAPartThatNobodyKnowsIsCounted(t *testing.T) {
	kept := store(t)
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Settle: func(p *fakeworker.Peer, m *wire.Settle) {
			p.Send(wire.KindEvidence, &wire.Evidence{Job: 1 << 40, N: wire.PlainFrame, Jpeg: []byte("x")})
			p.Send(wire.KindEvidence, &wire.Evidence{Job: m.GetJob(), N: wire.PlainFrame})
			for range 5 { // more than a picture may have
				p.Send(wire.KindEvidence, &wire.Evidence{
					Job: m.GetJob(), N: wire.PlainFrame, Jpeg: make([]byte, 15<<20), More: true,
				})
			}
			p.Send(wire.KindEvidence, &wire.Evidence{Job: m.GetJob(), N: wire.PlainFrame, Jpeg: []byte("x")})
		},
	}, func(o *station.Options) { o.Samples = kept })
	r.feed(1)
	require.Eventually(t, func() bool {
		return r.station.Counters().Get(station.CountSamplesLost) == 3
	}, 10*time.Second, time.Millisecond)
	require.Zero(t, r.pictures.Load(), "a frame is no evidence")
}
