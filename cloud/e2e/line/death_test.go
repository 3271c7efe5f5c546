package line_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

// Fault 18.
func TestWorkerKilledInTheMiddleLeavesEachPartItsOneVerdict(t *testing.T) {
	signals := map[string]syscall.Signal{"SIGKILL": syscall.SIGKILL, "SIGSEGV": syscall.SIGSEGV}
	for name, signal := range signals {
		t.Run(name, func(t *testing.T) {
			const deadline = time.Second
			line := servers.StartMosquitto(t, servers.MosquittoOptions{})
			agent := startAgent(
				t,
				agentConfig{local: line.URL(), camera: "sim:?seed=3&clean=0.5", deadline: deadline.String()},
			)
			p := newPLC(t, line.URL())
			p.until("TriggerReady", func() bool { return p.ready })
			sent := 0
			for range 10 {
				sent = p.one(sent)
			}
			victim := agent.worker(t)
			require.NotZero(t, victim)
			const burst = 6 // more than the worker answers between the signal and its end
			for range burst {
				p.trigger(fmt.Sprintf("part-%03d", sent))
				sent++
			}
			p.until("the parts to be open", func() bool { return p.acked == sent })
			require.NoError(t, syscall.Kill(victim, signal))
			killed := time.Now()
			p.until("the open part's verdict", func() bool { return len(p.results) == sent })
			back := p.recover(&sent, killed)
			require.Less(t, back, 2*time.Second, "inspecting again within two seconds")
			require.NotEqual(t, victim, agent.worker(t))
			for range 10 {
				sent = p.one(sent)
			}
			require.Len(t, p.results, sent)
			unknown, died, found, drawn := 0, 0, 0, 0
			kinds := map[event.Verdict]int{}
			for i := range p.results {
				in := &p.results[i]
				require.Equal(t, fmt.Sprintf("part-%03d", i), in.PartID)
				require.Less(t, p.took[in.PartID], deadline+100*time.Millisecond, "a verdict in time")
				kinds[in.Verdict]++
				found, drawn = found+in.Found(), drawn+len(in.Truth)
				if in.Verdict == event.Unknown {
					unknown++
					require.Contains(t, []string{"worker_died", "not_ready"}, in.Reason)
				}
				if in.Reason == "worker_died" {
					died++
				}
			}
			require.Positive(t, died, "a part was open when the worker died")
			require.Positive(t, kinds[event.Pass], "clean boards pass")
			require.Positive(t, kinds[event.Fail], "boards with defects do not")
			require.GreaterOrEqual(t, 10*found, 8*drawn, "found %d of %d", found, drawn)
			t.Logf(
				"%d parts, %d UNKNOWN, inspecting again after %s",
				sent,
				unknown,
				back.Round(time.Millisecond),
			)
		})
	}
}

// one triggers a part and waits for its verdict.
func (p *plc) one(sent int) int {
	p.t.Helper()
	p.trigger(fmt.Sprintf("part-%03d", sent))
	p.until("a verdict", func() bool { return len(p.results) == sent+1 })
	return sent + 1
}

// recover triggers parts until one is truly inspected, and returns how long after the kill that was.
func (p *plc) recover(sent *int, killed time.Time) time.Duration {
	p.t.Helper()
	for time.Since(killed) < 10*time.Second {
		*sent = p.one(*sent)
		if p.results[*sent-1].Verdict != event.Unknown {
			break
		}
		tick := time.NewTimer(20 * time.Millisecond)
		<-tick.C
	}
	return time.Since(killed)
}
