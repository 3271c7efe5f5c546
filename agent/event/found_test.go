package event_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
)

func at(class string, x float32) event.Defect {
	return event.Defect{Class: class, Box: [4]float32{x, 0, x + 10, 10}}
}

func TestFoundCountsEachDrawnDefectOnce(t *testing.T) {
	for name, c := range map[string]struct {
		truth, defects []event.Defect
		want           int
	}{
		"real camera": {nil, []event.Defect{at("open", 0)}, 0},
		"missed":      {[]event.Defect{at("open", 0)}, nil, 0},
		"found":       {[]event.Defect{at("open", 0)}, []event.Defect{at("open", 2)}, 1},
		"other class": {[]event.Defect{at("open", 0)}, []event.Defect{at("short", 0)}, 0},
		"elsewhere":   {[]event.Defect{at("open", 0)}, []event.Defect{at("open", 8)}, 0},
		"one finding for two": {
			[]event.Defect{at("open", 0), at("open", 1)}, []event.Defect{at("open", 0)}, 1,
		},
		"two findings for one": {
			[]event.Defect{at("open", 0)}, []event.Defect{at("open", 0), at("open", 1)}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := event.Inspection{Truth: c.truth, Defects: c.defects}
			require.Equal(t, c.want, in.Found())
		})
	}
}
