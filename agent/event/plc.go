package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// MaxPLCBytes bounds a message from the PLC.
const MaxPLCBytes = 4 << 10

const maxPartID = 128

// TriggerMessage is what the PLC sends on the trigger topic: a part is in position. Every field may be left
// out; without partId the agent names the part itself. Unknown fields are ignored, so that a PLC may send
// more.
type TriggerMessage struct {
	PartID    string `json:"partId"`
	ProductID string `json:"productId"`
	// Encoder is the count of the line's encoder when the part was at the camera, as the PLC wrote it.
	// Nothing uses it, so nothing in it is a fault: PLCs send reals, and counts of more than 64 bits.
	Encoder json.RawMessage `json:"encoder,omitempty"`
}

// TriggerAckMessage answers each trigger on trigger/ack.
type TriggerAckMessage struct {
	PartID        string `json:"partId"`
	Accepted      bool   `json:"accepted"`
	Reason        string `json:"reason,omitempty"` // why not: not_ready, overrun, malformed, duplicate
	Detail        string `json:"detail,omitempty"`
	JobID         string `json:"jobId,omitempty"`
	AcquisitionID uint64 `json:"acquisitionId,omitempty"`
}

// AcquisitionMessage says on the acquisition topic that the exposure is done: the part may move.
type AcquisitionMessage struct {
	PartID        string `json:"partId"`
	JobID         string `json:"jobId"`
	AcquisitionID uint64 `json:"acquisitionId"`
	Done          bool   `json:"done"`
}

// ResultAckMessage is what the PLC sends on result/ack when it has taken a result over.
type ResultAckMessage struct {
	ResultID string `json:"resultId"`
}

// CommandMessage is what the PLC sends on the command topic.
type CommandMessage struct {
	Command string `json:"command"` // reset: forget held results and the overrun flag
}

// State names follow OPC 40100-1.
type State string

// The states of a station.
const (
	Preoperational      State = "Preoperational"
	Initialized         State = "Initialized"
	Ready               State = "Ready"
	SingleExecution     State = "SingleExecution"
	ContinuousExecution State = "ContinuousExecution"
	Halted              State = "Halted"
	Error               State = "Error"
)

// ReasonLoading is the reason of a Preoperational station whose worker loads the bundle. That may take many
// minutes, where an execution provider builds an engine first.
const ReasonLoading = "loading the bundle"

// StateData is the data of a TypeState event: retained on the state topic, sent again as heartbeat.
type StateData struct {
	State        State  `json:"state"`
	TriggerReady bool   `json:"triggerReady"`
	Reason       string `json:"reason,omitempty"` // one sentence when not ready
	Overrun      bool   `json:"overrun"`
	HeldResults  int    `json:"heldResults"` // results that the PLC has not acknowledged
	Heartbeat    uint64 `json:"heartbeat"`   // counts up each second while the agent lives
	Model        Model  `json:"model"`
	FellBack     bool   `json:"fellBack"` // runs on a lesser execution provider than the bundle's first
	// FallbackReason says of each provider before the one that runs why it does not; at most 512 bytes.
	FallbackReason string `json:"fallbackReason,omitempty"`
	IsSimulated    bool   `json:"isSimulated"`
	// Drift says how what the station sees differs from the reference of its bundle, and where to look.
	Drift string `json:"drift,omitempty"`
	// Candidate is what is about to take over from Model, or what was refused last.
	Candidate *Candidate `json:"candidate,omitempty"`
}

// Candidate is a recipe that a running station was asked to change to.
type Candidate struct {
	RecipeID string         `json:"recipeId"`
	Model    Model          `json:"model"`
	Phase    CandidatePhase `json:"phase"`
	Reason   string         `json:"reason,omitempty"` // one sentence why it was refused
}

// CandidatePhase is how far a candidate has come.
type CandidatePhase string

// The phases of a candidate. One that is live is none any more.
const (
	CandidateTrial   CandidatePhase = "Trial"   // in a process of its own, with its golden samples
	CandidateLoading CandidatePhase = "Loading" // beside what inspects, until it takes over between two parts
	CandidateShadow  CandidatePhase = "Shadow"  // sees the same parts, without a say in any verdict
	CandidateRefused CandidatePhase = "Refused"
)

// IsLoading says that the station is not ready since its bundle is being loaded.
func (s *StateData) IsLoading() bool {
	return s.State == Preoperational && s.Reason == ReasonLoading
}

// DecodeTrigger reads a trigger. An empty payload is a trigger without names.
func DecodeTrigger(b []byte) (TriggerMessage, error) {
	var m TriggerMessage
	if len(bytes.TrimSpace(b)) == 0 {
		return m, nil
	}
	if err := decodePLC(b, &m); err != nil {
		return m, err
	}
	return m, checkNames(m.PartID, m.ProductID)
}

// DecodeResultAck reads an acknowledgement.
func DecodeResultAck(b []byte) (ResultAckMessage, error) {
	var m ResultAckMessage
	if err := decodePLC(b, &m); err != nil {
		return m, err
	}
	if m.ResultID == "" {
		return m, fmt.Errorf("%w: result/ack: resultId is missing", ErrEvent)
	}
	return m, checkNames(m.ResultID)
}

// DecodeCommand reads a command.
func DecodeCommand(b []byte) (CommandMessage, error) {
	var m CommandMessage
	err := decodePLC(b, &m)
	return m, err
}

func decodePLC(b []byte, m any) error { return decodeBounded(b, m, MaxPLCBytes) }

func decodeBounded(b []byte, m any, most int) error {
	if len(b) > most {
		return fmt.Errorf("%w: %d bytes are over %d", ErrEvent, len(b), most)
	}
	err := json.Unmarshal(b, m)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%w: %s", ErrEvent, correct(wrong))
	}
	if err != nil {
		return fmt.Errorf("%w: no JSON object: %w", ErrEvent, err)
	}
	return nil
}

// correct says what to write instead of a value of another type: all that is read of a PLC's messages are
// strings, but for the defects of an override.
func correct(wrong *json.UnmarshalTypeError) string {
	if wrong.Field == "" {
		return "the message is JSON, but no object: write {...} around its fields, not " + a(wrong.Value)
	}
	if strings.HasPrefix(wrong.Field, "defects") {
		return wrong.Field + " is " + a(wrong.Value) + `: defects is a list of such as ` +
			`{"class":"open","box":[10,20,30,40]}`
	}
	return fmt.Sprintf(`%[1]s is %[2]s: write a string, with quotation marks, such as "%[1]s":"17"`,
		wrong.Field, a(wrong.Value))
}

// a puts the article before a type of JSON, of which a decoder may name the value, too.
func a(kind string) string {
	kind, _, _ = strings.Cut(kind, " ")
	switch kind {
	case "array", "object":
		return "an " + kind
	case "bool":
		return "true or false"
	}
	return "a " + kind
}

// checkNames refuses names that are too long or hold control characters, which would break logs and file
// names.
func checkNames(names ...string) error {
	for _, name := range names {
		if len(name) > maxPartID {
			return fmt.Errorf("%w: a name of %d bytes is over %d", ErrEvent, len(name), maxPartID)
		}
		for _, r := range name {
			if r < ' ' || r == 0x7f || r == '�' {
				return fmt.Errorf("%w: a name holds a control character or broken UTF-8", ErrEvent)
			}
		}
	}
	return nil
}
