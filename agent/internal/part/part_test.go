package part_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/part"
)

// numbered mints job numbers from 1 up.
func numbered() func() uint64 {
	var n uint64
	return func() uint64 { n++; return n }
}

func ledger(limit int) *part.Ledger[string] { return part.New[string]("boot", numbered(), limit) }

func TestAPartIsNamedAfterItsJobUnlessThePLCNamesIt(t *testing.T) {
	l := ledger(4)
	p, err := l.Open(part.Order{})
	require.NoError(t, err)
	require.Equal(t, "boot-1", p.JobID)
	require.Equal(t, "boot-1", p.PartID)
	p, err = l.Open(part.Order{PartID: "P"})
	require.NoError(t, err)
	require.Equal(t, "boot-2", p.JobID)
	require.Equal(t, "P", p.PartID)
}

func TestASecondTriggerForAnOpenPartIsRefused(t *testing.T) {
	l := ledger(4)
	p, err := l.Open(part.Order{PartID: "P"})
	require.NoError(t, err)
	_, err = l.Open(part.Order{PartID: "P"})
	require.ErrorIs(t, err, part.ErrDuplicate)
	require.True(t, l.Close(p))
	require.True(t, l.Remembers("P"))
	_, err = l.Open(part.Order{PartID: "P"})
	require.NoError(t, err, "the same part may come again, for example after rework")
	require.False(t, l.Remembers(""))
}

func TestMorePartsThanTheLimitOverrun(t *testing.T) {
	l := ledger(2)
	for range 2 {
		_, err := l.Open(part.Order{})
		require.NoError(t, err)
	}
	_, err := l.Open(part.Order{})
	require.ErrorIs(t, err, part.ErrOverrun)
	require.Equal(t, 2, l.Len())
}

func TestAPartIsClosedOnce(t *testing.T) {
	l := ledger(4)
	p, err := l.Open(part.Order{DeadlineNs: 10})
	require.NoError(t, err)
	require.True(t, l.Close(p))
	require.False(t, l.Close(p))
	require.Nil(t, l.Expire(1000))
	require.Nil(t, l.CloseOldest())
	require.False(t, l.Close(l.Stillborn(part.Order{})))
}

func TestAnswersThatFindNoOpenPartAreToldApart(t *testing.T) {
	l := ledger(4)
	p, err := l.Open(part.Order{DeadlineNs: 10})
	require.NoError(t, err)
	require.Same(t, p, l.Expire(10))
	late, err := l.Attach(p.Job, "answer")
	require.ErrorIs(t, err, part.ErrLate)
	require.Same(t, p, late)
	require.Empty(t, p.View, "a late answer changes nothing")
	_, err = l.Attach(p.Job, "again")
	require.ErrorIs(t, err, part.ErrAnswered)
	_, err = l.Attach(99, "stray")
	require.ErrorIs(t, err, part.ErrUnknown)
	_, err = l.Expose(99, 1)
	require.ErrorIs(t, err, part.ErrUnknown)
	_, err = l.Expose(p.Job, 1)
	require.ErrorIs(t, err, part.ErrLate)
	require.Zero(t, p.ExposedNs)
}

func TestDeadlinesComeInTheirOrder(t *testing.T) {
	l := ledger(8)
	_, ok := l.NextDeadline()
	require.False(t, ok)
	for _, d := range []int64{30, 10, 20} {
		_, err := l.Open(part.Order{DeadlineNs: d})
		require.NoError(t, err)
	}
	next, ok := l.NextDeadline()
	require.True(t, ok)
	require.EqualValues(t, 10, next)
	require.Nil(t, l.Expire(9))
	require.EqualValues(t, 10, l.Expire(10).DeadlineNs)
	require.EqualValues(t, 30, l.Expire(30).DeadlineNs, "the longest open first")
	require.EqualValues(t, 20, l.Expire(30).DeadlineNs)
}

func TestAReservationOpensOnePart(t *testing.T) {
	l := ledger(4)
	job := l.Reserve()
	require.True(t, l.Release(job))
	require.False(t, l.Release(job))
	p, err := l.OpenAs(job, part.Order{})
	require.NoError(t, err)
	_, err = l.OpenAs(job, part.Order{})
	require.ErrorIs(t, err, part.ErrDuplicate)
	require.True(t, l.Close(p))
	_, err = l.OpenAs(job, part.Order{})
	require.ErrorIs(t, err, part.ErrDuplicate)
}

// model drives a ledger by random steps and checks after each that every part has had at most one verdict,
// and that of its own answer.
type model struct {
	t        testing.TB
	l        *part.Ledger[string]
	now      int64
	verdicts map[string]string // job id → verdict
	jobs     []uint64
	opened   int
}

func (m *model) verdict(p *part.Part[string], what string) {
	_, twice := m.verdicts[p.JobID]
	require.False(m.t, twice, "part %s has a second verdict", p.JobID)
	m.verdicts[p.JobID] = what
}

func (m *model) step(action, choice byte) {
	m.now++
	switch action % 8 {
	case 0, 1:
		m.open(choice)
	case 2, 3, 4:
		m.answer(choice)
	case 5:
		for p := m.l.Expire(m.now); p != nil; p = m.l.Expire(m.now) {
			require.LessOrEqual(m.t, p.DeadlineNs, m.now)
			m.verdict(p, "late")
		}
	case 6:
		if choice%16 == 0 { // the worker dies
			for p := m.l.CloseOldest(); p != nil; p = m.l.CloseOldest() {
				m.verdict(p, "died")
			}
		}
	case 7:
		m.opened++
		m.verdict(m.l.Stillborn(part.Order{PartID: fmt.Sprint("S", choice)}), "stillborn")
	}
}

func (m *model) open(choice byte) {
	o := part.Order{DeadlineNs: m.now + int64(choice%16)}
	if choice%4 == 0 {
		o.PartID = fmt.Sprint("P", choice%5)
	}
	p, err := m.l.Open(o)
	if err != nil {
		require.True(m.t, m.l.Len() == 8 || o.PartID != "")
		return
	}
	m.opened++
	m.jobs = append(m.jobs, p.Job)
}

// answer gives the answer of some job, which may be open, closed or never given out.
func (m *model) answer(choice byte) {
	job := uint64(1_000_000)
	if n := len(m.jobs); n > 0 && choice > 3 {
		job = m.jobs[max(0, n-1-int(choice)%12)]
	}
	p, err := m.l.Attach(job, fmt.Sprint("answer to ", job))
	if err != nil {
		return
	}
	require.Equal(m.t, job, p.Job)
	require.Equal(m.t, fmt.Sprint("answer to ", p.Job), p.View)
	require.True(m.t, m.l.Close(p))
	m.verdict(p, p.View)
}

func (m *model) finish() {
	for p := m.l.CloseOldest(); p != nil; p = m.l.CloseOldest() {
		m.verdict(p, "shutdown")
	}
	require.Len(m.t, m.verdicts, m.opened, "each part has a verdict")
	for id, verdict := range m.verdicts {
		var job uint64
		if _, err := fmt.Sscanf(verdict, "answer to %d", &job); err == nil {
			require.Equal(m.t, fmt.Sprint("boot-", job), id, "its own answer")
		}
	}
}

func newModel(tb testing.TB) *model {
	tb.Helper()
	return &model{t: tb, l: ledger(8), verdicts: map[string]string{}}
}

func TestWhateverHappensEachPartHasOneVerdictOfItsOwn(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := newModel(t)
		for range 400 {
			m.step(byte(random.Uint32()), byte(random.Uint32()))
		}
		m.finish()
	}
}

func FuzzLedger(f *testing.F) {
	f.Add([]byte{0, 1, 2, 9, 0, 4, 5, 0, 2, 7, 7, 3})
	f.Fuzz(func(t *testing.T, steps []byte) {
		m := newModel(t)
		for i := 0; i+1 < len(steps); i += 2 {
			m.step(steps[i], steps[i+1])
		}
		m.finish()
	})
}
