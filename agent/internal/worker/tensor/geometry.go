// Package tensor turns a frame into a model's input: scaled into the model's size (letterbox or stretch),
// then colour order, scale, mean and standard deviation in one pass. The steady state allocates nothing.
package tensor

import "math"

// Geometry is where a frame lies on the model's input. All in pixels; the zero value is invalid.
type Geometry struct {
	FrameWidth, FrameHeight  int
	Left, Top, Width, Height int // the part of the input that the frame covers
}

// edge is what YOLO's own letterbox takes off before it rounds, so that an odd border is the smaller one
// left and top.
const edge = 0.1

// letterbox scales evenly and centres. It rounds as Python's round and cv2.copyMakeBorder's usual callers do.
func letterbox(frameWidth, frameHeight, width, height int) Geometry {
	scale := min(float64(width)/float64(frameWidth), float64(height)/float64(frameHeight))
	w := min(max(int(math.RoundToEven(float64(frameWidth)*scale)), 1), width)
	h := min(max(int(math.RoundToEven(float64(frameHeight)*scale)), 1), height)
	return Geometry{
		FrameWidth: frameWidth, FrameHeight: frameHeight, Width: w, Height: h,
		Left: max(int(math.RoundToEven(float64(width-w)/2-edge)), 0),
		Top:  max(int(math.RoundToEven(float64(height-h)/2-edge)), 0),
	}
}

// centred leaves a frame as large as it is; an odd border is the smaller one left and top.
func centred(frameWidth, frameHeight, width, height int) Geometry {
	return Geometry{
		FrameWidth: frameWidth, FrameHeight: frameHeight, Width: frameWidth, Height: frameHeight,
		Left: (width - frameWidth) / 2, Top: (height - frameHeight) / 2,
	}
}

func stretch(frameWidth, frameHeight, width, height int) Geometry {
	return Geometry{FrameWidth: frameWidth, FrameHeight: frameHeight, Width: width, Height: height}
}

// ToFrame maps a point of the input to the frame, clipped to it.
func (g Geometry) ToFrame(x, y float32) (float32, float32) {
	fx := (x - float32(g.Left)) * float32(g.FrameWidth) / float32(g.Width)
	fy := (y - float32(g.Top)) * float32(g.FrameHeight) / float32(g.Height)
	return min(max(fx, 0), float32(g.FrameWidth)), min(max(fy, 0), float32(g.FrameHeight))
}
