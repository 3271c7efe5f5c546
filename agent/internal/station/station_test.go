package station_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
)

var defect = &wire.Detection{Class: 0, Score: 0.9, X1: 1, Y1: 2, X2: 30, Y2: 40}

func TestATriggeredPartGoesThroughTheWholeHandshake(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) { p.Answer(m, defect) },
		Settle: func(p *fakeworker.Peer, m *wire.Settle) {
			p.Send(wire.KindEvidence, &wire.Evidence{Job: m.GetJob(), Jpeg: []byte{0xff}})
		},
	}, nil)
	require.True(t, r.awaitState(event.Ready).TriggerReady)
	r.trigger(`{"partId":"P1","productId":"B"}`)
	in := r.await(1)[0]
	require.Equal(t, event.Fail, in.Verdict)
	require.False(t, in.Accept)
	require.Equal(t, "P1", in.PartID)
	require.Equal(t, "B", in.ProductID)
	require.Equal(t, "boards", in.RecipeID)
	require.Equal(t, fmt.Sprintf("boot-%d", in.AcquisitionID), in.JobID)
	want := event.Defect{Class: "open", Score: 0.9, Box: [4]float32{1, 2, 30, 40}, Crop: 1}
	require.Equal(t, []event.Defect{want}, in.Defects)
	require.Equal(t, "fake", in.Model.Name)
	require.True(t, in.IsSimulated)
	require.Equal(t, event.ResultCompleted, in.ResultState)

	require.Eventually(t, func() bool { return r.pictures.Load() == 1 }, 5*time.Second, time.Millisecond)
	acks := r.conn.acks(t)
	require.Len(t, acks, 1)
	require.True(t, acks[0].Accepted)
	require.Equal(t, in.JobID, acks[0].JobID)
	require.Len(t, r.conn.payloads(topic.Acquisition), 1)
	require.Equal(t, r.conn.payloads(topic.Result), r.outbox.payloads(), "the cloud gets the same bytes")

	require.Equal(t, 1, r.line.State().HeldResults)
	r.conn.deliver("result/ack", `{"resultId":"`+in.ResultID+`"}`, false)
	require.Equal(t, 0, r.line.State().HeldResults)
}

func TestALateWorkerCostsUnknownAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, config.ModeMQTT, fakeworker.Script{
			Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
				p.Expose(m)
				time.AfterFunc(2*deadline, func() { p.Inspected(m, defect) })
			},
		}, nil)
		synctest.Wait()
		begin := time.Now()
		r.trigger(`{"partId":"slow"}`)
		time.Sleep(deadline) //nolint:forbidigo // synthetic time
		synctest.Wait()
		in := r.conn.results(t)
		require.Len(t, in, 1)
		require.Equal(t, event.Unknown, in[0].Verdict)
		require.Equal(t, station.ReasonDeadline, in[0].Reason)
		require.Equal(t, deadline, r.conn.at[0].Sub(begin))
		time.Sleep(2 * deadline) //nolint:forbidigo // synthetic time
		synctest.Wait()
		require.Len(t, r.conn.results(t), 1, "the late answer changes nothing")
		require.EqualValues(t, 1, r.station.Counters().Get(station.CountLate))
	})
}

// Fault 17, and what else a worker may answer instead of detections.
func TestAnswersThatCannotBeBelievedAreUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*fakeworker.Peer, *wire.Inspect)
		reason string
	}{
		"NaN score": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Answer(m, defect, &wire.Detection{Score: float32(math.NaN()), X2: 1, Y2: 1})
		}, "bad_output"},
		"Inf box": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Answer(m, &wire.Detection{Score: 0.9, X2: float32(math.Inf(1)), Y2: 1})
		}, "bad_output"},
		"absurd count": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Answer(m, make([]*wire.Detection, verdict.MaxDetections+1)...)
		}, "bad_output"},
		"unknown class": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Answer(m, &wire.Detection{Class: 7, Score: 0.1, X2: 1, Y2: 1})
		}, "bad_output"},
		"no frame": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Fault(m, wire.Fault_FAULT_NO_FRAME, "camera gone")
		}, station.ReasonNoFrame},
		"frozen": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Fault(m, wire.Fault_FAULT_STALE, "the camera repeats the same picture")
		}, station.ReasonStale},
		"template elsewhere": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Fault(m, wire.Fault_FAULT_UNALIGNED, "the golden template does not fit")
		}, station.ReasonUnaligned},
		"unreadable": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Fault(m, wire.Fault_FAULT_BAD_FRAME, "truncated JPEG")
		}, station.ReasonBadFrame},
		"model failed": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Fault(m, wire.Fault_FAULT_MODEL, "out of memory")
		}, station.ReasonModel},
		"fault of the future": {func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Fault(m, 99, strings.Repeat("x", 10_000))
		}, station.ReasonFault},
	} {
		t.Run(name, func(t *testing.T) {
			patient := func(o *station.Options) { o.Trigger.Deadline = time.Minute } // the reason is another
			r := start(t, config.ModeMQTT, fakeworker.Script{Inspect: c.answer}, patient)
			r.awaitState(event.Ready)
			r.trigger(`{"partId":"P"}`)
			in := r.await(1)[0]
			require.Equal(t, event.Unknown, in.Verdict)
			require.Equal(t, c.reason, in.Reason)
			require.Empty(t, in.Defects)
		})
	}
}

func TestTheStateSaysWhyTheModelRunsOnALesserProvider(t *testing.T) {
	const why = "tensorrt: no such library; cuda: no device"
	r := start(t, config.ModeMQTT, fakeworker.Script{Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
		p.Send(wire.KindHello, &wire.Hello{})
		p.Send(wire.KindStationState, &wire.StationState{
			Phase: wire.Phase_PHASE_READY, Provider: "cpu", FellBack: true, FallbackReason: why,
			Model: &wire.Model{Digest: digest},
		})
	}}, nil)
	state := r.awaitState(event.Ready)
	require.Equal(t, "cpu", state.Model.Provider)
	require.True(t, state.FellBack)
	require.Equal(t, why, state.FallbackReason)
}

func TestALongReasonOfTheWorkerIsCut(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
		p.Send(wire.KindHello, &wire.Hello{})
		p.Send(wire.KindStationState, &wire.StationState{
			Phase: wire.Phase_PHASE_FAILED, Reason: strings.Repeat("é", 500),
			FellBack: true, FallbackReason: strings.Repeat("é", 500),
		})
	}}, nil)
	state := r.awaitState(event.Error)
	for text, most := range map[string]int{state.Reason: 256, state.FallbackReason: 512} {
		require.LessOrEqual(t, len(text), most)
		require.Greater(t, len(text), most-8)
		require.True(t, utf8.ValidString(text) && strings.HasSuffix(text, "é…"), text)
	}
}

// Fault 21: each part exactly one verdict, never another's, whatever triggers and answers do.
func TestTriggersDuplicatedAndAnswersOutOfOrder(t *testing.T) {
	var waiting []*wire.Inspect
	found := map[uint64]float32{}
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) { // answers four at a time, backwards and twice
			found[m.GetJob()] = float32(m.GetJob()) + 1
			if waiting = append(waiting, m); len(waiting) < 4 {
				return
			}
			for _, job := range slices.Backward(waiting) {
				d := &wire.Detection{Score: 0.9, X1: 0, X2: found[job.GetJob()], Y2: 1}
				p.Answer(job, d)
				p.Answer(job, d)
				p.Inspected(&wire.Inspect{Job: job.GetJob() + 1_000_000}, d)
			}
			waiting = nil
		},
	}, func(o *station.Options) { o.Trigger.Deadline = 10 * time.Second })
	r.awaitState(event.Ready)
	for i := range 16 {
		r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i))
		if i%4 < 3 { // still open
			r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i))
		}
	}
	results := r.await(16)
	parts := map[string]int{}
	for _, in := range results {
		parts[in.PartID]++
		require.Equal(t, event.Fail, in.Verdict)
		require.InDelta(t, float64(in.AcquisitionID)+1, in.Defects[0].Box[2], 0, "its own detection")
	}
	require.Len(t, parts, 16)
	require.Len(t, results, 16)
	require.EqualValues(t, 12, r.station.Counters().Get(station.CountRefused))
	require.Eventually(t, func() bool {
		c := r.station.Counters()
		return c.Get(station.CountDuplicate) == 16 && c.Get(station.CountStray) == 16
	}, 5*time.Second, time.Millisecond)
}

// Fault 21: a PLC that heard no acknowledgement triggers again, when the part may have its verdict already.
func TestATriggerRepeatedAfterItsVerdictOpensNoSecondPart(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{}, func(o *station.Options) {
		o.Trigger.RepeatWindow = time.Minute
	})
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	r.await(1)
	r.trigger(`{"partId":"P"}`)
	r.trigger(`{"partId":"Q"}`)
	results := r.await(2)
	require.Equal(t, []string{"P", "Q"}, []string{results[0].PartID, results[1].PartID})
	require.EqualValues(t, 1, r.station.Counters().Get(station.CountRefused))
}

func TestTheSameNameIsANewPartWhenTheWindowIsOver(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{}, func(o *station.Options) {
		o.Trigger.RepeatWindow = 1
	})
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	r.await(1)
	r.trigger(`{"partId":"P"}`)
	r.await(2)
}

func TestUnacknowledgedResultsOverrunAndSayIt(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{}, nil)
	r.awaitState(event.Ready)
	for i := range plc.Depth + 3 {
		r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i))
		r.await(i + 1)
	}
	for i, in := range r.conn.results(t) {
		require.Equal(t, i >= plc.Depth, in.Overrun, "result %d", i)
	}
	require.True(t, r.line.State().Overrun)
	require.Equal(t, plc.Depth, r.line.State().HeldResults)
	r.conn.deliver("command", `{"command":"reset"}`, false)
	require.False(t, r.line.State().Overrun)
	require.Zero(t, r.line.State().HeldResults)
}

func TestBadTriggersEachEndInOneUnknown(t *testing.T) {
	for name, c := range map[string]struct{ payload, part string }{
		"no JSON":           {`{`, "boot-1"},
		"enormous":          {`{"partId":"` + strings.Repeat("x", 1<<20) + `"}`, "boot-1"},
		"control character": {`{"partId":"a\u0000b"}`, "boot-1"},
		"wrong type":        {`{"partId":7}`, "boot-1"},
		"named, other field broken": {
			`{"partId":"P","productId":"` + strings.Repeat("x", 200) + `"}`, "P",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, config.ModeMQTT, fakeworker.Script{}, nil)
			r.awaitState(event.Ready)
			r.trigger(c.payload)
			in := r.await(1)[0]
			require.Equal(t, event.Unknown, in.Verdict)
			require.Equal(t, station.ReasonBadTrigger, in.Reason)
			require.Equal(t, c.part, in.PartID)
			r.awaitAcks(1)
			ack := r.conn.acks(t)[0]
			require.False(t, ack.Accepted)
			require.Equal(t, plc.RefusedMalformed, ack.Reason)
			require.EqualValues(t, 1, r.line.Counts().Malformed.Load())
		})
	}
}

// Fault 22: a trigger that the broker kept is no part in position.
func TestARetainedTriggerIsRefused(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{}, nil)
	r.awaitState(event.Ready)
	r.conn.deliver("trigger", `{"partId":"ghost"}`, true)
	r.conn.deliver("command", `{"command":"reset"}`, true)
	r.trigger(`{"partId":"real"}`)
	in := r.await(1)
	require.Equal(t, "real", in[0].PartID)
	require.EqualValues(t, 2, r.line.Counts().Retained.Load())
}

func TestATriggerBeforeTheStationIsReadyIsUnknownAtOnce(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
			p.State(0, wire.Phase_PHASE_FAILED, "camera not found")
		},
	}, nil)
	require.Equal(t, "camera not found", r.awaitState(event.Error).Reason)
	r.trigger(`{"partId":"P"}`)
	in := r.await(1)[0]
	require.Equal(t, station.ReasonNotReady, in.Reason)
	require.Equal(t, "camera not found", in.Detail)
	r.awaitAcks(1)
	require.Equal(t, plc.RefusedNotReady, r.conn.acks(t)[0].Reason)
}

func TestAFloodOfTriggersOverrunsAndNoPartIsForgotten(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Inspect: func(*fakeworker.Peer, *wire.Inspect) {}, // answers nothing
	}, func(o *station.Options) { o.Trigger.Deadline = 300 * time.Millisecond })
	r.awaitState(event.Ready)
	const parts = 100
	for i := range parts {
		r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i))
	}
	require.Eventually(t, func() bool { return r.station.Counters().Get(station.CountParts) == parts },
		10*time.Second, time.Millisecond)
	seen := map[string]int{}
	for _, b := range r.outbox.payloads() {
		e, err := event.Decode(b)
		require.NoError(t, err)
		seen[e.Subject]++
	}
	require.Len(t, seen, parts)
}

func TestWorkerDeathEndsItsPartsAtOnce(t *testing.T) {
	var calls atomic.Int64
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			if calls.Add(1) == 3 {
				p.Die()
			} else if calls.Load() > 3 {
				p.Answer(m)
			}
		},
	}, func(o *station.Options) { o.Trigger.Deadline = time.Minute })
	r.awaitState(event.Ready)
	for i := range 3 {
		r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i))
	}
	for i, in := range r.await(3) {
		require.Equal(t, fmt.Sprintf("P%d", i), in.PartID)
		require.Equal(t, station.ReasonWorkerDied, in.Reason)
	}
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"after"}`)
	require.Equal(t, event.Pass, r.await(4)[3].Verdict)
}

func TestContinuousRunsToTheEndOfTheSource(t *testing.T) {
	const frames = 20
	var asked, outstanding, most, budget atomic.Int64
	r := start(t, config.ModeContinuous, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			budget.Store(m.GetBudgetNs())
			most.Store(max(most.Load(), outstanding.Add(1)))
			n := asked.Add(1)
			time.AfterFunc(time.Millisecond, func() {
				outstanding.Add(-1)
				switch {
				case n > frames:
					p.Fault(m, wire.Fault_FAULT_END, "")
				case n == 7:
					p.Fault(m, wire.Fault_FAULT_BAD_FRAME, "broken image")
				default:
					p.Answer(m)
				}
			})
		},
	}, func(o *station.Options) { o.Trigger.Deadline = 10 * time.Second })
	require.Equal(t, "source ended", r.awaitState(event.Halted).Reason)
	require.Len(t, r.await(frames), frames)
	require.EqualValues(t, 1, r.station.Counters().Get(station.CountUnknown))
	require.EqualValues(t, 2, most.Load())
	require.EqualValues(t, 10*time.Second, budget.Load(), "the worker knows when a part is due")
	require.Zero(t, r.line.State().HeldResults, "continuous results need no acknowledgement")
}

func TestIntervalTriggersByItself(t *testing.T) {
	r := start(t, config.ModeInterval, fakeworker.Script{}, nil)
	for _, in := range r.await(5) {
		require.Equal(t, event.Pass, in.Verdict)
		require.Equal(t, in.JobID, in.PartID)
	}
}

func TestStopGivesOpenPartsTheirVerdict(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Inspect: func(*fakeworker.Peer, *wire.Inspect) {},
	}, func(o *station.Options) { o.Trigger.Deadline = time.Minute })
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	r.awaitAcks(1)
	r.station.Stop()
	require.Equal(t, station.ReasonShutdown, r.await(1)[0].Reason)
	require.Equal(t, event.Halted, r.line.State().State)
	r.trigger(`{"partId":"after the end"}`) // must not block
	r.awaitAcks(2)
	last := r.conn.acks(t)[1]
	require.Equal(t, "after the end", last.PartID)
	require.False(t, last.Accepted)
	require.Equal(t, plc.RefusedNotReady, last.Reason)
}

// Each trigger is answered, on whichever side of the stop it comes: none lies in a queue that nobody reads.
func TestTriggersDuringAStopAreAnsweredEachOnce(t *testing.T) {
	const parts = 100
	r := start(t, config.ModeMQTT, fakeworker.Script{}, nil)
	r.awaitState(event.Ready)
	var sent sync.WaitGroup
	for i := range parts {
		sent.Go(func() { r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i)) })
		if i == parts/2 {
			sent.Go(r.station.Stop)
		}
	}
	sent.Wait()
	r.awaitAcks(parts)
	names := map[string]bool{}
	for _, ack := range r.conn.acks(t) {
		names[ack.PartID] = true
	}
	require.Len(t, names, parts)
	require.Len(t, r.conn.acks(t), parts)
}

func TestAFullOutboxNeverReachesThePLC(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{}, nil)
	r.outbox.fail = errors.New("disk full")
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	require.Equal(t, event.Pass, r.await(1)[0].Verdict)
	require.Eventually(t, func() bool { return r.station.Counters().Get(station.CountOutboxLost) == 1 },
		5*time.Second, time.Millisecond)
}

func TestAFrameFromBeforeTheTriggerShowsAnotherPart(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
			p.Send(wire.KindStationState, &wire.StationState{
				Phase: wire.Phase_PHASE_READY, Paced: true, Model: &wire.Model{Digest: digest},
			})
		},
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Send(wire.KindInspected, &wire.Inspected{Job: m.GetJob(), ExposedNs: m.GetTriggerNs() - 1})
		},
	}, nil)
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	require.Equal(t, station.ReasonStale, r.await(1)[0].Reason)
}

func TestAPartWhoseDefectMayHaveBeenLeftOutIsUnknown(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Expose(m)
			p.Send(wire.KindInspected, &wire.Inspected{
				Job: m.GetJob(), ExposedNs: clock(), Dropped: 3, DroppedScore: 0.6,
				Detections: []*wire.Detection{{Score: 0.3, X2: 9, Y2: 9}},
			})
		},
	}, nil)
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	in := r.await(1)[0]
	require.Equal(t, event.Unknown, in.Verdict)
	require.False(t, in.Accept)
	require.Equal(t, verdict.ReasonBadOutput, in.Reason)
	require.Contains(t, in.Detail, "3 more, which may, were left out: raise max_detections")
}

// The classes alone would not tell: thresholds and weights may differ behind the same names.
func TestAWorkerWithAnotherBundleIsNotReady(t *testing.T) {
	another := func(o *station.Options) { o.Recipe.Digest = "sha256:1" }
	r := start(t, config.ModeMQTT, fakeworker.Script{}, another)
	state := r.awaitState(event.Error)
	require.Contains(t, state.Reason, "another bundle than the agent judges by")
	require.False(t, state.TriggerReady)
	r.trigger(`{"partId":"P"}`)
	require.Equal(t, station.ReasonNotReady, r.await(1)[0].Reason)
}

func TestEachAnswerWithAFrameIsSettledOnceAlsoALateOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var settled []string
		r := start(t, config.ModeMQTT, fakeworker.Script{
			Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
				switch m.GetJob() {
				case 1:
					p.Answer(m)
					p.Inspected(m)
				case 2:
					time.AfterFunc(2*deadline, func() { p.Answer(m) })
				default:
					p.Fault(m, wire.Fault_FAULT_NO_FRAME, "")
				}
			},
			Settle: func(_ *fakeworker.Peer, m *wire.Settle) {
				said := fmt.Sprintf("%d %s %t", m.GetJob(), m.GetVerdict(), m.GetEvidence())
				settled = append(settled, said)
			},
		}, nil)
		synctest.Wait()
		for range 3 {
			r.trigger(``)
			synctest.Wait()
		}
		time.Sleep(time.Second) //nolint:forbidigo // synthetic time
		synctest.Wait()
		require.Equal(t, []string{"1 PASS false", "2 UNKNOWN true"}, settled)
	})
}

// Pictures are drawn after the verdict, and an orderly stop may come in between.
func TestPicturesThatComeDuringTheStopAreKept(t *testing.T) {
	const pictures = 2 * 64 // more than wait for the station
	settled := make(chan *wire.Settle, 1)
	var worker *fakeworker.Peer
	r := start(t, config.ModeMQTT, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) { p.Answer(m, defect) },
		Settle:  func(p *fakeworker.Peer, m *wire.Settle) { worker = p; settled <- m },
	}, nil)
	r.awaitState(event.Ready)
	r.trigger("")
	part := <-settled
	r.station.Stop()
	for range pictures {
		worker.Send(wire.KindEvidence, &wire.Evidence{Job: part.GetJob(), Jpeg: []byte{0xff}})
	}
	worker.Send(wire.KindEvidence, &wire.Evidence{Job: part.GetJob() + 1})
	require.Eventually(t, func() bool {
		return r.station.Counters().Get(station.CountEvidenceLost) == 1 // the last one is of no part
	}, 5*time.Second, time.Millisecond)
	require.EqualValues(t, pictures, r.pictures.Load())
	require.EqualValues(t, pictures, r.station.Counters().Get(station.CountEvidence))
}

func TestAStationThatWasNeverStartedHoldsNobodyUp(t *testing.T) {
	const pictures = 2 * 64
	s := station.New(station.Options{Now: clock, Log: slog.New(slog.DiscardHandler)})
	s.Stop()
	s.Trigger(plc.Trigger{PartID: "P"})
	for range pictures {
		s.Deliver(&wire.Evidence{})
	}
	s.Close()
	require.EqualValues(t, pictures, s.Counters().Get(station.CountEvidenceLost))
}

// busy is a worker that takes parts to inspect, and nothing else.
type busy struct{ jobs chan uint64 }

func (b busy) Inspect(m *wire.Inspect) error {
	b.jobs <- m.GetJob()
	return nil
}

func (busy) Settle(*wire.Settle) error { return vision.ErrBusy }

func TestEvidenceThatABusyWorkerIsNotAskedForIsCounted(t *testing.T) {
	worker := busy{jobs: make(chan uint64, 1)}
	r := startOn(t, worker, config.ModeMQTT, fakeworker.Script{}, func(o *station.Options) {
		o.Trigger.Deadline = time.Minute
	})
	r.awaitState(event.Ready)
	for i, found := range [][]*wire.Detection{{defect}, nil} { // no picture is wanted of what passes
		r.trigger("")
		r.station.Deliver(&wire.Inspected{Job: <-worker.jobs, ExposedNs: clock(), Detections: found})
		r.await(i + 1)
	}
	r.station.Stop() // at the end of the last turn
	require.EqualValues(t, 1, r.station.Counters().Get(station.CountEvidenceLost))
}

func TestTruthIsToldOfSimulatedFramesOnly(t *testing.T) {
	for _, simulated := range []bool{true, false} {
		r := start(t, config.ModeMQTT, fakeworker.Script{
			Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
				p.Send(wire.KindInspected, &wire.Inspected{
					Job: m.GetJob(), ExposedNs: clock(), Simulated: simulated,
					Truth: []*wire.Detection{defect},
				})
			},
		}, nil)
		r.awaitState(event.Ready)
		r.trigger(``)
		truth := r.await(1)[0].Truth
		require.Equal(t, simulated, len(truth) == 1 && truth[0].Class == "open")
	}
}
