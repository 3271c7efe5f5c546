// Package event is the public contract of what a station says: CloudEvents 1.0 in structured JSON, with the
// field names of OPC 40100-1 Machine Vision in their data, and the small messages of the PLC handshake.
package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sightline-edge/sightline/agent/topic"
)

// The types of event.
const (
	TypeInspection = "dev.sightline.inspection.v1"
	TypeState      = "dev.sightline.state.v1"
	TypeMetrics    = "dev.sightline.metrics.v1"
	TypeUpdate     = "dev.sightline.update.v1"
)

const (
	specVersion = "1.0"
	contentType = "application/json"
)

// MaxBytes bounds one encoded event.
const MaxBytes = 256 << 10

// ErrEvent is wrapped by every decoding error of this package.
var ErrEvent = errors.New("not a valid event")

// Event is the CloudEvents envelope. Data stays encoded.
type Event struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"` // "/" + station path
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"` // partId of an inspection
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	PartitionKey    string          `json:"partitionkey"`         // station path
	Historical      bool            `json:"historical,omitempty"` // sent late, after an outage
	Data            json.RawMessage `json:"data"`
}

// outgoing is an envelope whose data is encoded with it, in one pass.
type outgoing struct {
	Event

	Data any `json:"data"` // in place of Event's
}

// NewID mints an identity: a UUID of version 7, so that ids sort by time of minting.
func NewID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("mint event id: %w", err)
	}
	return id.String(), nil
}

// Encode puts data into an envelope of the station. The id is minted by the caller, once for all copies.
func Encode(id, kind string, station topic.Station, subject string, at time.Time, data any) ([]byte, error) {
	path := station.Path()
	b, err := json.Marshal(outgoing{
		Event: Event{
			SpecVersion: specVersion, ID: id, Source: "/" + path, Type: kind, Subject: subject,
			Time: at.UTC(), DataContentType: contentType, PartitionKey: path,
		},
		Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("encode event: %d bytes are over %d", len(b), MaxBytes)
	}
	return b, nil
}

// Decode reads and checks an envelope. Unknown attributes are allowed: CloudEvents has extensions.
func Decode(b []byte) (Event, error) {
	var e Event
	if len(b) > MaxBytes {
		return e, fmt.Errorf("%w: %d bytes are over %d", ErrEvent, len(b), MaxBytes)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	switch {
	case e.SpecVersion != specVersion:
		return e, fmt.Errorf("%w: specversion %q is not %q", ErrEvent, e.SpecVersion, specVersion)
	case e.ID == "" || len(e.ID) > 128:
		return e, fmt.Errorf("%w: id is missing or over 128 bytes", ErrEvent)
	case e.Type == "" || len(e.Type) > 128:
		return e, fmt.Errorf("%w: type is missing or over 128 bytes", ErrEvent)
	case e.Source != "/"+e.PartitionKey:
		return e, fmt.Errorf(
			"%w: source %q is not the station of partitionkey %q",
			ErrEvent,
			e.Source,
			e.PartitionKey,
		)
	case len(bytes.TrimSpace(e.Data)) == 0:
		return e, fmt.Errorf("%w: data is missing", ErrEvent)
	}
	if _, err := topic.ParseStation(e.PartitionKey); err != nil {
		return e, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	return e, nil
}

// MarkHistorical returns the encoded event with the extension historical set, its id and all else unchanged.
func MarkHistorical(encoded []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(encoded, []byte(`{`))
	if !ok {
		return nil, fmt.Errorf("%w: no JSON object", ErrEvent)
	}
	return append([]byte(`{"historical":true,`), rest...), nil
}
