package event

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxOverrideBytes bounds an override: it may name a few hundred defects.
const MaxOverrideBytes = 32 << 10

const (
	maxClass = 64      // characters of a name
	maxPixel = 1 << 20 // of a corner
)

// OverrideMessage is what an operator's panel sends on the override topic: what a part is, whatever its
// verdict was. The part has had its verdict, and keeps it; the model can learn from what was said. ResultID
// goes before PartID, which means the last part of that name. Unknown fields are ignored.
type OverrideMessage struct {
	ResultID string  `json:"resultId"`
	PartID   string  `json:"partId"`
	Verdict  Verdict `json:"verdict"` // PASS, FAIL or REWORK
	Operator string  `json:"operator"`
	// Defects are all that the part has; left out: the operator does not say where they are. Only a part
	// that is PASS has an empty list.
	Defects []OverrideDefect `json:"defects"`
}

// OverrideDefect is a defect that a person saw. Box is x1, y1, x2, y2 in frame pixels.
type OverrideDefect struct {
	Class string     `json:"class"`
	Box   [4]float32 `json:"box"`
}

// OverrideAckMessage answers each override on override/ack.
type OverrideAckMessage struct {
	ResultID string    `json:"resultId"`
	PartID   string    `json:"partId"`
	Accepted bool      `json:"accepted"`
	Reason   string    `json:"reason,omitempty"` // why not: malformed, retained, unknown_part, …
	Detail   string    `json:"detail,omitempty"`
	Kept     string    `json:"kept,omitempty"` // with what: frame, evidence or none
	Time     time.Time `json:"time"`           // of receipt
}

var errBox = errors.New("box is x1, y1, x2, y2: left of right, and top above bottom")

// DecodeOverride reads an override.
func DecodeOverride(b []byte) (OverrideMessage, error) {
	var m OverrideMessage
	if err := decodeBounded(b, &m, MaxOverrideBytes); err != nil {
		return m, err
	}
	if err := checkNames(m.ResultID, m.PartID, m.Operator); err != nil {
		return m, err
	}
	switch {
	case m.ResultID == "" && m.PartID == "":
		return m, fmt.Errorf("%w: override: resultId or partId must say which part", ErrEvent)
	case m.Verdict != Pass && m.Verdict != Fail && m.Verdict != Rework:
		return m, fmt.Errorf("%w: override: verdict is none of PASS, FAIL and REWORK", ErrEvent)
	case m.Verdict == Pass && len(m.Defects) > 0:
		return m, fmt.Errorf("%w: override: a part with defects is no PASS", ErrEvent)
	case m.Verdict != Pass && m.Defects != nil && len(m.Defects) == 0:
		return m, fmt.Errorf("%w: override: defects is empty, and a part without defects is PASS: name "+
			"them, or leave defects out where nobody says where they are", ErrEvent)
	case len(m.Defects) > MaxDefects:
		return m, fmt.Errorf("%w: override: over %d defects", ErrEvent, MaxDefects)
	}
	for i, d := range m.Defects {
		if err := d.check(); err != nil {
			return m, fmt.Errorf("%w: override: defects[%d]: %w", ErrEvent, i, err)
		}
	}
	return m, nil
}

func (d *OverrideDefect) check() error {
	n := utf8.RuneCountInString(d.Class)
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if n < 1 || n > maxClass || strings.TrimSpace(d.Class) != d.Class ||
		strings.ContainsFunc(d.Class, unprintable) || !utf8.ValidString(d.Class) {
		return fmt.Errorf("class has 1 to %d characters that print, no blank at its ends", maxClass)
	}
	for _, v := range d.Box {
		if !(math.Abs(float64(v)) <= maxPixel) {
			return fmt.Errorf("box has a corner over %d pixels", maxPixel)
		}
	}
	if d.Box[0] >= d.Box[2] || d.Box[1] >= d.Box[3] {
		return errBox
	}
	return nil
}
