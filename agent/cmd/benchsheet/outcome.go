package main

import (
	"image"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

// leastIoU of a detection and the defect that it shows, as the DeepPCB paper has it.
const leastIoU = 0.33

// outcome is what became of a defect.
type outcome int

const (
	missed   outcome = iota // nothing was found of it
	once                    // one detection, of its class and in its place
	cut                     // one, of a part of it, or of far too much
	misnamed                // one, of another class
	doubled                 // more than one: of two tiles, or a whole one and a piece that was left over
	kinds
)

// outcomes says what became of each defect, and how many detections are of none.
func outcomes(truth []sim.Truth, found []defect) (became []outcome, strays int) {
	names := sim.Classes()
	became = make([]outcome, len(truth))
	for i := range found {
		at := owner(truth, found[i].Box)
		switch {
		case at < 0:
			strays++
		case became[at] != missed:
			became[at] = doubled
		case detect.IoU(truth[at].Box, found[i].Box) <= leastIoU:
			became[at] = cut
		case names[truth[at].Class] != found[i].Class:
			became[at] = misnamed
		default:
			became[at] = once
		}
	}
	return became, strays
}

// owner is the defect that a detection is of, -1 for none: of those that it overlaps by more than leastIoU,
// and those that it is a piece of, the one that it overlaps most.
func owner(truth []sim.Truth, box [4]float32) int {
	best, most := -1, float32(0)
	for i := range truth {
		iou := detect.IoU(truth[i].Box, box)
		if iou > most && (iou > leastIoU || piece(truth[i].Box, box)) {
			best, most = i, iou
		}
	}
	return best
}

// piece says whether the box's centre, or most of its area, lies in the defect.
func piece(defect, box [4]float32) bool {
	x, y := (box[0]+box[2])/2, (box[1]+box[3])/2
	if x > defect[0] && x < defect[2] && y > defect[1] && y < defect[3] {
		return true
	}
	width := min(box[2], defect[2]) - max(box[0], defect[0])
	height := min(box[3], defect[3]) - max(box[1], defect[1])
	return width > 0 && height > 0 && 2*width*height > (box[2]-box[0])*(box[3]-box[1])
}

// within is the defects as a part of the sheet with this corner shows them.
func within(truth []sim.Truth, corner image.Point) []sim.Truth {
	x, y := float32(corner.X), float32(corner.Y)
	moved := make([]sim.Truth, len(truth))
	for i, t := range truth {
		b := &t.Box
		moved[i] = sim.Truth{Class: t.Class, Box: [4]float32{b[0] - x, b[1] - y, b[2] - x, b[3] - y}}
	}
	return moved
}
