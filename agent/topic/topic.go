// Package topic builds and parses the MQTT topic tree
// sightline/v1/<enterprise>/<site>/<area>/<line>/<station>/<leaf>.
package topic

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Root is the first two levels of each topic.
const Root = "sightline/v1"

const (
	levels        = 5 // enterprise, site, area, line, station
	maxSegment    = 64
	maxTopicBytes = 1024
)

// Leaf names what a topic carries, below its station.
type Leaf string

// The leaves that PLC and agent exchange on the line's own broker.
const (
	Trigger     Leaf = "trigger"      // PLC → agent: a part is in position
	TriggerAck  Leaf = "trigger/ack"  // agent → PLC: accepted with its acquisition id, or refused
	Acquisition Leaf = "acquisition"  // agent → PLC: exposed, the part may move
	Result      Leaf = "result"       // agent → PLC: the verdict
	ResultAck   Leaf = "result/ack"   // PLC → agent: the verdict has been taken over
	Command     Leaf = "command"      // PLC → agent: reset and the like
	Override    Leaf = "override"     // operator → agent: what a part is
	OverrideAck Leaf = "override/ack" // agent → operator: kept to learn from, or refused
	State       Leaf = "state"        // agent → all, retained, also last will
)

// The leaves that travel through the uplink.
const (
	Inspection Leaf = "inspection"
	Metrics    Leaf = "metrics"
	Update     Leaf = "update"
	Evidence   Leaf = "evidence" // followed by /<resultId>/<n>
)

// ErrTopic is wrapped by every parsing error of this package.
var ErrTopic = errors.New("not a sightline topic")

// Station is the place of one inspection station. The zero value is invalid.
type Station struct {
	Enterprise, Site, Area, Line, Name string
}

// ParseStation reads "enterprise/site/area/line/station".
func ParseStation(path string) (Station, error) {
	parts := strings.Split(path, "/")
	if len(path) > maxTopicBytes || len(parts) != levels {
		return Station{}, fmt.Errorf(
			"%w: a station is enterprise/site/area/line/station, got %q",
			ErrTopic,
			clip(path),
		)
	}
	for _, p := range parts {
		if err := CheckSegment(p); err != nil {
			return Station{}, err
		}
	}
	return Station{parts[0], parts[1], parts[2], parts[3], parts[4]}, nil
}

// CheckSegment refuses anything but 1 to 64 of A-Z a-z 0-9 . _ - that begins with a letter or digit, so that
// no wildcard, separator, control character or path component of special meaning enters a topic or a file
// name.
func CheckSegment(s string) error {
	if s == "" || len(s) > maxSegment || !alnum(s[0]) {
		return fmt.Errorf("%w: %q is not 1 to 64 letters, digits, '.', '_' or '-', first a letter or digit",
			ErrTopic, clip(s))
	}
	for i := range len(s) {
		if c := s[i]; !alnum(c) && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("%w: character %q in %q is not allowed", ErrTopic, c, clip(s))
		}
	}
	return nil
}

// Path returns "enterprise/site/area/line/station": the key of the station in every system.
func (s Station) Path() string {
	return strings.Join([]string{s.Enterprise, s.Site, s.Area, s.Line, s.Name}, "/")
}

// Topic returns the full topic of a leaf.
func (s Station) Topic(leaf Leaf) string {
	return Root + "/" + s.Path() + "/" + string(leaf)
}

// EvidenceTopic returns the topic of the n-th picture of a result.
func (s Station) EvidenceTopic(resultID string, n int) string {
	return s.Topic(Evidence) + "/" + resultID + "/" + strconv.Itoa(n)
}

// Address is a parsed topic. ResultID and N are set for Evidence only.
type Address struct {
	Station  Station
	Leaf     Leaf
	ResultID string
	N        int
}

// Parse is the inverse of Topic and EvidenceTopic.
func Parse(topic string) (Address, error) {
	if len(topic) > maxTopicBytes {
		return Address{}, fmt.Errorf("%w: longer than %d bytes", ErrTopic, maxTopicBytes)
	}
	rest, ok := strings.CutPrefix(topic, Root+"/")
	if !ok {
		return Address{}, fmt.Errorf("%w: %q does not begin with %s/", ErrTopic, clip(topic), Root)
	}
	parts := strings.SplitN(rest, "/", levels+1)
	if len(parts) != levels+1 {
		return Address{}, fmt.Errorf("%w: %q has no leaf", ErrTopic, clip(topic))
	}
	station, err := ParseStation(strings.Join(parts[:levels], "/"))
	if err != nil {
		return Address{}, err
	}
	return parseLeaf(station, parts[levels])
}

func parseLeaf(station Station, leaf string) (Address, error) {
	switch l := Leaf(leaf); l {
	case Trigger, TriggerAck, Acquisition, Result, ResultAck, Command, Override, OverrideAck, State,
		Inspection, Metrics, Update:
		return Address{Station: station, Leaf: l}, nil
	case Evidence: // its address is longer
	}
	parts := strings.Split(leaf, "/")
	if len(parts) != 3 || parts[0] != string(Evidence) {
		return Address{}, fmt.Errorf("%w: unknown leaf %q", ErrTopic, clip(leaf))
	}
	if err := CheckSegment(parts[1]); err != nil {
		return Address{}, err
	}
	n, err := strconv.ParseUint(parts[2], 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("%w: evidence number %q is not 0 to 65535", ErrTopic, clip(parts[2]))
	}
	return Address{Station: station, Leaf: Evidence, ResultID: parts[1], N: int(n)}, nil
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func clip(s string) string {
	if len(s) > maxSegment {
		return s[:maxSegment] + "…"
	}
	return s
}
