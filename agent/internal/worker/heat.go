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

// reducedBy is how many places of a map become one, across and down, so that at most so many are left.
func reducedBy(h *detect.Heat, most int) int {
	return max(int(math.Ceil(math.Sqrt(float64(h.Width)*float64(h.Height)/float64(most)))), 1)
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
	step := reducedBy(h, wire.MaxHeat)
	wide, high := max(h.Width/step, 1), max(h.Height/step, 1)
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
	step := reducedBy(h, mostHeat)
	wide, high := max(h.Width/step, 1), max(h.Height/step, 1)
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
