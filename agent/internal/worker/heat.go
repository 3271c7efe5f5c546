package worker

import (
	"encoding/binary"
	"math"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

// mostHeat bounds the places of a map that is kept for a picture: 512×512.
const mostHeat = 1 << 18

// reduced is the size of a map of which every second place is left, across and down, or every third, and so
// on, until there are at most so many. A map of one line has only one direction to lose some in.
func reduced(h *detect.Heat, most int) (wide, high int) {
	for step := 1; ; step++ {
		wide, high = max(h.Width/step, 1), max(h.Height/step, 1)
		if wide*high <= most {
			return wide, high
		}
	}
}

// measured writes the map for whoever evaluates the model. Of a map that is too large every second place is
// sent, or every third, and so on.
func measured(to *wire.Heat, h *detect.Heat) *wire.Heat {
	if h == nil {
		return nil
	}
	if to == nil {
		to = &wire.Heat{}
	}
	wide, high := reduced(h, wire.MaxHeat)
	to.Width, to.Height, to.Score, to.Levels = int32(wide), int32(high), h.Score, to.Levels[:0]
	to.X1, to.Y1, to.X2, to.Y2 = h.Box[0], h.Box[1], h.Box[2], h.Box[3]
	for y := range high {
		row := y * h.Height / high * h.Width
		for x := range wide {
			to.Levels = binary.LittleEndian.AppendUint16(to.Levels, wire.HeatLevel(h.At(row+x*h.Width/wide)))
		}
	}
	return to
}

// warm takes the map of the frame that was inspected: for an evaluation in the answer, and of a frame that
// will hardly pass for its picture. Of all others nothing is copied.
func (s *slot) warm(h *detect.Heat) {
	c := s.rig.config
	if s.heat = nil; c.GetHeat() {
		s.answer.Heat = measured(s.answer.Heat, h)
	}
	if h == nil {
		return
	}
	from := c.GetHeatFrom()
	if from == 0 {
		from = float32(s.rig.lane.manifest.Classes[0].Threshold)
	}
	if found := s.answer.GetDetections(); len(found) > 0 && found[0].GetScore() >= from {
		s.heat = keptHeat(h)
	}
}

// keptHeat is the map for a picture. Of places that become one the highest counts.
func keptHeat(h *detect.Heat) *evidence.Heat {
	wide, high := reduced(h, mostHeat)
	k := &evidence.Heat{Levels: make([]uint8, wide*high), Width: wide, Height: high, Box: h.Box}
	for y := range h.Height {
		to := k.Levels[y*high/h.Height*wide:][:wide]
		for x := range h.Width {
			level := uint8(min(max(h.At(y*h.Width+x), 0), 1) * math.MaxUint8)
			at := x * wide / h.Width
			to[at] = max(to[at], level)
		}
	}
	return k
}
