package infer_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/models/bundle"
)

// building is a runtime whose runners compile their models, and note what they are told of that.
type building struct {
	fake.Runtime

	failure error
	told    []string
}

type compiled struct {
	infer.Runner

	by *building
}

func (b *building) Open(s infer.Spec) (infer.Runner, error) {
	r, err := b.Runtime.Open(s)
	return compiled{r, b}, err
}

func (c compiled) Keep() error {
	c.by.told = append(c.by.told, "keep")
	return c.by.failure
}

func (c compiled) Drop(reason string) { c.by.told = append(c.by.told, "drop: "+reason) }

// What is compiled for a bundle may be loaded at the next start when it finds what the golden samples expect.
func TestGoldenSamplesDecideOnWhatIsKept(t *testing.T) {
	const there = `{"class": "open", "score": 0.9, "box": [22, 27, 42, 37]}`
	for name, c := range map[string]struct {
		expect, told string
		failure      error
		refused      bool
	}{
		"found":   {expect: `[` + there + `]`, told: "keep"},
		"no disk": {expect: `[` + there + `]`, told: "keep", failure: errors.New("no space left")},
		"wrong":   {expect: `[]`, told: "drop: golden sample differs: g.png on tensorrt", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := bundle.Load(golden(t, c.expect))
			require.NoError(t, err)
			r := &building{Runtime: fake.Runtime{Script: findsExactlyOne}, failure: c.failure}
			l := infer.Loader{Runtime: r, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
			s, err := l.Load(b, "")
			require.Len(t, r.told, 1)
			require.Contains(t, r.told[0], c.told)
			if c.refused {
				require.ErrorIs(t, err, infer.ErrGolden)
				return
			}
			require.NoError(t, err, "it runs as well")
			require.NoError(t, s.Close())
		})
	}
}
