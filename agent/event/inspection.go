package event

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Verdict is what a part ends in, exactly once. Only Pass is accepted.
type Verdict string

// The verdicts. Unknown is rejected like Fail: no part passes by silence.
const (
	Pass    Verdict = "PASS"
	Fail    Verdict = "FAIL"
	Rework  Verdict = "REWORK"
	Unknown Verdict = "UNKNOWN"
)

// Accept says whether the part may go on down the line.
func (v Verdict) Accept() bool { return v == Pass }

// Inspection is the data of a TypeInspection event: one part's result, published on the station's result
// topic and, byte for byte the same, on its inspection topic. Lengths are frame pixels, durations
// milliseconds.
type Inspection struct {
	ResultID        string          `json:"resultId"` // equals the event's id
	JobID           string          `json:"jobId"`    // unique for each acquisition of the node
	AcquisitionID   uint64          `json:"acquisitionId"`
	PartID          string          `json:"partId"`
	RecipeID        string          `json:"recipeId,omitempty"`
	ProductID       string          `json:"productId,omitempty"`
	ConfigurationID string          `json:"configurationId"` // sha256 of the configuration in force
	CreationTime    time.Time       `json:"creationTime"`
	ProcessingTimes ProcessingTimes `json:"processingTimes"`
	IsPartial       bool            `json:"isPartial"` // not all views arrived
	IsSimulated     bool            `json:"isSimulated"`
	ResultState     int32           `json:"resultState"` // OPC 40100-1: 1 completed, 3 aborted, 4 failed

	Verdict Verdict  `json:"verdict"`
	Accept  bool     `json:"accept"`
	Reason  string   `json:"reason,omitempty"` // why UNKNOWN, a stable word: deadline, worker_died, …
	Detail  string   `json:"detail,omitempty"` // a sentence to Reason, or that not all defects are listed
	Overrun bool     `json:"overrun,omitempty"`
	Defects []Defect `json:"defects"`
	Frame   Frame    `json:"frame"`
	Model   Model    `json:"model"`
	TimesMs TimesMs  `json:"times_ms"`
	// Truth is what a simulated camera knows that it drew; never set for a real one.
	Truth []Defect `json:"truth,omitempty"`
}

// The values of ResultState.
const (
	ResultCompleted int32 = 1
	ResultAborted   int32 = 3
	ResultFailed    int32 = 4
)

// ProcessingTimes is OPC 40100-1's ProcessingTimesDataType; durations in milliseconds.
type ProcessingTimes struct {
	StartTime           time.Time `json:"startTime"`
	EndTime             time.Time `json:"endTime"`
	AcquisitionDuration float64   `json:"acquisitionDuration"`
	ProcessingDuration  float64   `json:"processingDuration"`
}

// Defect is one finding that counted. Box is x1, y1, x2, y2 in frame pixels, right and bottom exclusive.
// Outline is a closed polygon in frame pixels around a turned box or a mask, Area that of its inside in
// pixels.
type Defect struct {
	Class   string       `json:"class"`
	Score   float32      `json:"score"`
	Box     [4]float32   `json:"box"`
	Outline [][2]float32 `json:"outline,omitempty"`
	Area    float32      `json:"area,omitempty"`
	Crop    int          `json:"crop,omitempty"` // number of its evidence picture, 1…
	Zone    string       `json:"zone,omitempty"`
	// Measures are what a second model measured of it.
	Measures []Measure `json:"measures,omitempty"`
}

// Measure is a number that was measured of a finding.
type Measure struct {
	Name  string  `json:"name"`
	Value float32 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// Frame tells which picture was inspected.
type Frame struct {
	Number uint64 `json:"number"`
	Width  int32  `json:"width"`
	Height int32  `json:"height"`
	Source string `json:"source,omitempty"`
}

// Model tells what inspected it. Digest is empty where frames are compared with a template and no model
// sees them.
type Model struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Digest   string `json:"digest"`
	Provider string `json:"provider"`
	Template string `json:"template,omitempty"` // digest of the golden template beside it
}

// TimesMs are the steps of one part. Capture is trigger to frame in memory, Verdict from the worker's answer
// taken up to the event made, Publish from the frame in memory to the event made, which is then handed to the
// broker's connection; the others are the worker's own. Exposure is left out while unknown: no source tells
// it yet.
type TimesMs struct {
	Exposure   float64 `json:"exposure,omitempty"`
	Capture    float64 `json:"capture"`
	Preprocess float64 `json:"preprocess"`
	Inference  float64 `json:"inference"`
	Decode     float64 `json:"decode"`
	Verdict    float64 `json:"verdict"`
	Publish    float64 `json:"publish"`
}

// MaxDefects bounds the defects that one inspection lists.
const MaxDefects = 1000

// DecodeInspection reads and checks the data of a TypeInspection event.
func DecodeInspection(data json.RawMessage) (Inspection, error) {
	var in Inspection
	if err := json.Unmarshal(data, &in); err != nil {
		return in, fmt.Errorf("%w: inspection: %w", ErrEvent, err)
	}
	switch {
	case in.ResultID == "" || in.JobID == "" || in.PartID == "":
		return in, fmt.Errorf("%w: inspection: resultId, jobId and partId must not be empty", ErrEvent)
	case in.Verdict != Pass && in.Verdict != Fail && in.Verdict != Rework && in.Verdict != Unknown:
		return in, fmt.Errorf(
			"%w: inspection: verdict %q is none of PASS FAIL REWORK UNKNOWN",
			ErrEvent,
			in.Verdict,
		)
	case in.Accept != in.Verdict.Accept():
		return in, fmt.Errorf(
			"%w: inspection: accept %t contradicts verdict %s",
			ErrEvent,
			in.Accept,
			in.Verdict,
		)
	case len(in.Defects) > MaxDefects:
		return in, fmt.Errorf("%w: inspection: %d defects are over %d", ErrEvent, len(in.Defects), MaxDefects)
	}
	for _, d := range in.Defects {
		for _, v := range d.Box {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return in, fmt.Errorf("%w: inspection: a box is not finite", ErrEvent)
			}
		}
	}
	return in, nil
}
