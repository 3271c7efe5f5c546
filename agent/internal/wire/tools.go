package wire

import "time"

// The worker's program has tools beside its main work, for the agent's commands. They speak JSON over
// standard input and output; both sides have these types of it.

// CaptureOrder is the first value that `sightline-worker capture` reads. With Ask a value more is awaited
// before each board. Each board is answered by a CapturedBoard; the picture goes to a file.
type CaptureOrder struct {
	Camera   string        `json:"camera"` // source URI
	Boards   int           `json:"boards"`
	Binarize string        `json:"binarize"`
	Bundle   string        `json:"bundle,omitempty"`  // folder, where boards are seen in tiles of its input
	Overlap  int           `json:"overlap,omitempty"` // of these tiles, pixels
	Wait     time.Duration `json:"wait"`              // for a frame
	Ask      bool          `json:"ask"`
	Picture  string        `json:"picture"` // path of the PNG
}

// CapturedBoard is what became of one board.
type CapturedBoard struct {
	Source   string  `json:"source,omitempty"`
	Fits     bool    `json:"fits"`
	Why      string  `json:"why,omitempty"` // it does not
	ShiftX   float64 `json:"shift_x"`       // pixels, from the first board; of the tile farthest off
	ShiftY   float64 `json:"shift_y"`
	Residual float64 `json:"residual"` // share of pixels that differ from the first board, 0 to 1
}

// PreviewOrder is what `sightline-worker preview` reads, after a worker has inspected the frame: to show
// what was made of it on the way.
type PreviewOrder struct {
	Frame    string          `json:"frame"`    // path of an image
	Bundle   string          `json:"bundle"`   // folder; empty: method compare
	Binarize string          `json:"binarize"` // empty: the bundle's
	Overlap  int             `json:"overlap"`  // of the tiles that the frame is seen in; 0: as a whole
	Template string          `json:"template"` // path of a picture; empty: none
	Folder   string          `json:"folder"`   // for the pictures; it is there, and empty
	Title    string          `json:"title"`
	Verdict  string          `json:"verdict"`
	Defects  []PreviewDefect `json:"defects"`
}

// PreviewDefect is a defect to draw.
type PreviewDefect struct {
	Class int        `json:"class"`
	Name  string     `json:"name"`
	Score float32    `json:"score"`
	Box   [4]float32 `json:"box"`
}

// Preview says what was seen. The threshold is the least gray that became white.
type Preview struct {
	Width     int        `json:"width"` // pixels that were looked at
	Height    int        `json:"height"`
	Tiles     int        `json:"tiles,omitempty"`  // 0: the frame was seen as a whole
	Colour    bool       `json:"colour,omitempty"` // the model takes colours: no grays, no black and white
	Grays     []int      `json:"grays,omitempty"`  // pixels of each gray, 0 to 255
	Binary    bool       `json:"binary"`
	Threshold int        `json:"threshold,omitempty"`
	Black     float64    `json:"black"` // share of the pixels, 0 to 1
	Alignment *Alignment `json:"alignment,omitempty"`
	Pictures  []string   `json:"pictures"` // names in the folder
}

// Alignment says how a golden template fits a frame. In tiles all figures are those of one: of the first that
// does not fit, else of the one with the largest mismatch.
type Alignment struct {
	Fits      bool    `json:"fits"`
	Why       string  `json:"why,omitempty"` // it does not
	ShiftX    float64 `json:"shift_x"`       // pixels; of a tile that fits, from its own place on the sheet
	ShiftY    float64 `json:"shift_y"`
	Residual  float64 `json:"residual"`  // share of the pixels that differ, 0 to 1
	Mismatch  float64 `json:"mismatch"`  // of what two unrelated pictures would have
	Unseen    float64 `json:"unseen"`    // share of the board, of the sheet in tiles, beyond the template
	Spread    float64 `json:"spread"`    // pixels by which a part of the board lies off the whole
	Differing float64 `json:"differing"` // share of the pixels that are tinted: thin edges left out
	Tile      *Tile   `json:"tile,omitempty"`
	Misfits   int     `json:"misfits,omitempty"` // tiles that do not fit
}

// Tile is a part of a frame, in its pixels.
type Tile struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}
