package config

import (
	"math"
	"path/filepath"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// Off in place of a folder means that nothing is kept.
const Off = "off"

const (
	defaultMargin    = 0.1
	defaultPerHour   = 60
	defaultSamples   = 20_000
	defaultHoldBytes = int64(64) << 20

	maxSamples = 1_000_000
	maxPerHour = 10_000
	maxMargin  = 0.5
	maxHold    = 1 << 33
)

func (s *Samples) complete(stateDir string) {
	setDefault(&s.Dir, filepath.Join(stateDir, "samples"))
	setDefault(&s.MaxBytes, defaultBudget)
	setDefault(&s.MaxCount, defaultSamples)
	setDefault(&s.PerHour, defaultPerHour)
	if s.Margin == nil { // 0 is a choice: nothing is uncertain
		margin := defaultMargin
		s.Margin = &margin
	}
	if s.HoldBytes == nil { // 0 is a choice: an override finds no frame
		hold := defaultHoldBytes
		s.HoldBytes = &hold
	}
}

func (s *Samples) check(doc *strictyaml.Document) {
	doc.Within("samples.max_bytes", float64(s.MaxBytes), minBudget, math.MaxInt64)
	doc.Within("samples.max_count", float64(s.MaxCount), 1, maxSamples)
	doc.Within("samples.per_hour", float64(s.PerHour), 1, maxPerHour)
	doc.Within("samples.margin", *s.Margin, 0, maxMargin)
	doc.Within("samples.hold_bytes", float64(*s.HoldBytes), 0, maxHold)
}
