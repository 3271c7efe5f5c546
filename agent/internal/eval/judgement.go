package eval

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Judgement is what a line with the bundle's own thresholds, and no rules beside them, does with the parts:
// it accepts those whose verdict is PASS. Images that could not be inspected are left out.
type Judgement struct {
	Good         int `json:"good"`          // images of good parts
	FalseRejects int `json:"false_rejects"` // of these, not accepted
	Defective    int `json:"defective"`     // images of others
	FalseAccepts int `json:"false_accepts"` // of these, accepted
}

// judge gives the verdicts of a line.
type judge struct {
	rules   *verdict.Rules
	figures Judgement
}

func newJudge(m *bundle.Manifest) (judge, error) {
	rules, err := verdict.Compile(config.Verdict{}, m)
	if err != nil {
		return judge{}, fmt.Errorf("rules of the verdict: %w", err)
	}
	return judge{rules: rules}, nil
}

// accepts judges a part of which is known whether it is good.
func (j *judge) accepts(answer *wire.Inspected, good bool) bool {
	pass, f := j.rules.Judge(answer).Verdict == event.Pass, &j.figures
	switch {
	case good && pass:
		f.Good++
	case good:
		f.Good++
		f.FalseRejects++
	case pass:
		f.Defective++
		f.FalseAccepts++
	default:
		f.Defective++
	}
	return pass
}

// f is the F-score of defective parts at the thresholds: true ones are defective and not accepted.
func (j *Judgement) f() float64 {
	c := counts{
		truePositives: j.Defective - j.FalseAccepts,
		detections:    j.Defective - j.FalseAccepts + j.FalseRejects, labels: j.Defective,
	}
	_, _, f := c.scores()
	return f
}
