package samples

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
)

// Reason is why a part is a sample.
type Reason string

// The reasons. What a person said is worth most, and is kept longest.
const (
	Uncertain    Reason = "uncertain"    // a score close to its class's threshold
	Unsure       Reason = "unsure"       // a classification that knows neither a good part nor a defect
	Disagreement Reason = "disagreement" // the station's shadow says another verdict
	Overridden   Reason = "override"     // an operator said what the part is
)

// Reasons are all of them, the least worth first.
func Reasons() []Reason { return []Reason{Uncertain, Unsure, Disagreement, Overridden} }

// Bounds of a record, which is read from disk and, the override in it, from the network.
const (
	formatVersion  = 1
	maxRecordBytes = 1 << 20
	maxSide        = 1 << 20 // pixels
	maxLabels      = event.MaxDefects
	maxName        = 256 // bytes of a text that somebody else wrote
)

var (
	// ErrRecord is wrapped by the errors of a record that cannot be read or is none.
	ErrRecord = errors.New("not a sample")
	// ErrVersion says that another agent wrote a record.
	ErrVersion = errors.New("a sample of another version: use the agent that wrote it, or a newer one")
)

// Record is what is known of a sampled part, and lies as JSON beside its picture. Boxes are x1, y1, x2, y2 in
// frame pixels, right and bottom exclusive.
type Record struct {
	Version   int           `json:"version"`  // of this format: 1
	ResultID  string        `json:"resultId"` // of the part's inspection event
	Station   string        `json:"station"`  // enterprise/site/area/line/station
	PartID    string        `json:"partId,omitempty"`
	ProductID string        `json:"productId,omitempty"`
	RecipeID  string        `json:"recipeId,omitempty"`
	Time      time.Time     `json:"time"` // of the result
	Reason    Reason        `json:"reason"`
	Margin    float32       `json:"margin"` // uncertain: how far from its threshold the closest score is
	Verdict   event.Verdict `json:"verdict,omitempty"`
	// VerdictReason is that of an UNKNOWN.
	VerdictReason string      `json:"verdictReason,omitempty"`
	Model         event.Model `json:"model"`
	Classes       []string    `json:"classes,omitempty"` // of the model, in its order
	Simulated     bool        `json:"simulated,omitempty"`
	Picture       *Picture    `json:"picture,omitempty"` // nil: the frame had gone
	Detections    []Detection `json:"detections,omitempty"`
	Truth         []Label     `json:"truth,omitempty"` // what a simulated camera knows that it drew
	Override      *Override   `json:"override,omitempty"`
}

// Picture is the file beside the record.
type Picture struct {
	File   string `json:"file"` // in the record's folder
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hex
	Width  int    `json:"width"`  // pixels
	Height int    `json:"height"`
	// Annotated says that it is the part's evidence, with boxes drawn and perhaps reduced: to be looked at,
	// not to be trained on.
	Annotated bool `json:"annotated,omitempty"`
}

// Detection is one that the model made, whether it counted or not.
type Detection struct {
	Class   string       `json:"class"`
	Score   float32      `json:"score"`
	Box     [4]float32   `json:"box"`
	Outline [][2]float32 `json:"outline,omitempty"`
	Area    float32      `json:"area,omitempty"` // of the outline's inside, pixels
	Counted bool         `json:"counted"`        // for the verdict
}

// Label is a defect that is there for certain.
type Label struct {
	Class string     `json:"class"`
	Box   [4]float32 `json:"box"`
}

// Override is what an operator said of a part.
type Override struct {
	Verdict  event.Verdict `json:"verdict"`
	Operator string        `json:"operator,omitempty"`
	Time     time.Time     `json:"time"` // when it was received
	// Labels are all defects of the part; none: the operator said only the verdict.
	Labels []Label `json:"labels"`
}

// worth orders reasons: those of a lower worth go first, whatever their age.
func (r Reason) worth() int {
	switch r {
	case Overridden:
		return 2
	case Disagreement:
		return 1
	default:
		return 0
	}
}

// Labels returns the defects that a person or the simulation vouches for, and true; or else what the model
// found and counted, which is to be reviewed. A part that an operator passed has none.
func (r *Record) Labels() (all []Detection, vouched bool) {
	known := r.Truth
	switch o := r.Override; {
	case o != nil && (len(o.Labels) > 0 || o.Verdict == event.Pass):
		known, vouched = o.Labels, true
	case r.Simulated:
		vouched = true
	}
	if vouched {
		for _, l := range known {
			all = append(all, Detection{Class: l.Class, Score: 1, Box: l.Box, Counted: true})
		}
		return all, true
	}
	for _, d := range r.Detections {
		if d.Counted {
			all = append(all, d)
		}
	}
	return all, false
}

// place is the station of a record.
func (r *Record) place() (topic.Station, error) {
	s, err := topic.ParseStation(r.Station)
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	_, err = minted(r.ResultID) // nothing else is taken for the store's own
	return s, err
}

// encode returns the bytes of the file.
func (r *Record) encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode sample: %w", err)
	}
	if len(b) > maxRecordBytes {
		return nil, fmt.Errorf("%w: its record has %d bytes, over %d", ErrRecord, len(b), maxRecordBytes)
	}
	return append(b, '\n'), nil
}

// decode reads and checks a record.
func decode(b []byte) (*Record, error) {
	r := &Record{}
	if len(b) > maxRecordBytes {
		return nil, fmt.Errorf("%w: %d bytes are over %d", ErrRecord, len(b), maxRecordBytes)
	}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	err := r.check()
	return r, err
}

func (r *Record) check() error {
	if r.Version != formatVersion {
		return fmt.Errorf("%w: %d, not %d", ErrVersion, r.Version, formatVersion)
	}
	if _, err := r.place(); err != nil {
		return err
	}
	switch {
	case !slices.Contains(Reasons(), r.Reason):
		return fmt.Errorf("%w: reason %q is not known", ErrRecord, r.Reason)
	case r.Reason == Overridden && r.Override == nil:
		return fmt.Errorf("%w: the override is missing", ErrRecord)
	case len(r.PartID) > maxName || len(r.ProductID) > maxName || len(r.RecipeID) > maxName:
		return fmt.Errorf("%w: a name is over %d bytes", ErrRecord, maxName)
	}
	if p := r.Picture; p != nil {
		if err := p.check(r.ResultID); err != nil {
			return err
		}
	}
	return r.checkBoxes()
}

func (p *Picture) check(id string) error {
	switch {
	case p.File != id+pngSuffix && p.File != id+jpegSuffix:
		return fmt.Errorf("%w: the picture %q is not its own", ErrRecord, p.File)
	case p.Bytes < 1 || p.Bytes > MaxPictureBytes:
		return fmt.Errorf("%w: a picture of %d bytes", ErrRecord, p.Bytes)
	case p.Width < 1 || p.Width > maxSide || p.Height < 1 || p.Height > maxSide:
		return fmt.Errorf("%w: a picture of %d×%d pixels", ErrRecord, p.Width, p.Height)
	}
	return nil
}

func (r *Record) checkBoxes() error {
	if r.Override != nil && len(r.Override.Labels) > maxLabels || len(r.Truth) > maxLabels {
		return fmt.Errorf("%w: over %d labels", ErrRecord, maxLabels)
	}
	labels := r.Truth
	if r.Override != nil {
		labels = slices.Concat(labels, r.Override.Labels)
	}
	wrong := slices.ContainsFunc(labels, func(l Label) bool { return !finite(l.Box) }) ||
		slices.ContainsFunc(r.Detections, func(d Detection) bool { return !finite(d.Box) })
	if wrong {
		return fmt.Errorf("%w: a box that is not finite, or over %d pixels", ErrRecord, maxSide)
	}
	return nil
}

func finite(box [4]float32) bool {
	return !slices.ContainsFunc(box[:], func(v float32) bool {
		return !(math.Abs(float64(v)) <= maxSide) // also NaN
	})
}

// copied is a record that shares nothing that is changed later.
func (r *Record) copied() *Record {
	c := *r
	if r.Picture != nil {
		p := *r.Picture
		c.Picture = &p
	}
	return &c
}
