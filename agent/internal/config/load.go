package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// The defaults that are right for a line.
const (
	DefaultLocalBroker  = "tcp://127.0.0.1:1883"
	DefaultStateDir     = "/var/lib/sightline"
	DefaultDeadline     = 100 * time.Millisecond
	DefaultInterval     = time.Second
	DefaultRepeatWindow = 2 * time.Second
	DefaultOpenTimeout  = 5 * time.Second
	DefaultReadTimeout  = time.Second
	DefaultHealth       = "127.0.0.1:9120"
	defaultBudget       = int64(1) << 30
	defaultCrops        = 8
	defaultQuality      = 85
)

// Loaded is a configuration as it was read. What Load and Parse return is valid.
type Loaded struct {
	Config
	ID  string // sha256:<hex> of the file: the configurationId of results
	doc *strictyaml.Document
}

// Load reads, completes and checks a file. All faults come back at once as strictyaml.Faults.
func Load(path string) (*Loaded, error) {
	loaded, err := Read(path)
	if err != nil {
		return nil, err
	}
	return loaded, nil
}

// Read is Load for who looks on in a faulty file: what could be read of it comes back beside its faults, or
// nil when that is nothing. Faulty tells which values mean something.
func Read(path string) (*Loaded, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	loaded, err := parse(raw)
	if err != nil {
		return loaded, fmt.Errorf("%s:\n%w", path, err)
	}
	return loaded, nil
}

// Parse is Load for bytes in memory.
func Parse(raw []byte) (*Loaded, error) {
	loaded, err := parse(raw)
	if err != nil {
		return nil, err
	}
	return loaded, nil
}

func parse(raw []byte) (*Loaded, error) {
	c := Config{}
	doc := strictyaml.Parse(raw, &c)
	if !doc.Readable() {
		return nil, doc.Err()
	}
	c.complete()
	c.check(doc)
	sum := sha256.Sum256(raw)
	return &Loaded{Config: c, ID: "sha256:" + hex.EncodeToString(sum[:]), doc: doc}, doc.Err()
}

// Faulty says whether the file has a fault at a path such as "stations[0].camera", or does not tell what it
// means there.
func (l *Loaded) Faulty(path string) bool { return l.doc.Faulty(path) }

// Line is where a path stands in the file, or its nearest parent.
func (l *Loaded) Line(path string) int { return l.doc.Line(path) }

// Locate gives faults of a station that the file alone could not show, such as rules that its bundle does not
// know, their place in the file. Faults that the file has anyway are left out. Other errors stay as they are.
func (l *Loaded) Locate(station int, err error) error {
	faults, ok := errors.AsType[strictyaml.Faults](err)
	if !ok || l.doc == nil {
		return err
	}
	var located strictyaml.Faults
	for _, f := range faults {
		f.Path = fmt.Sprintf("stations[%d].%s", station, f.Path)
		f.Line = l.doc.Line(f.Path)
		if !l.doc.Faulty(f.Path) {
			located = append(located, f)
		}
	}
	if len(located) == 0 {
		return nil
	}
	return located
}

func setDefault[T comparable](v *T, value T) {
	if *v == *new(T) {
		*v = value
	}
}

func (c *Config) complete() {
	setDefault(&c.MQTT.Local, DefaultLocalBroker)
	setDefault(&c.StateDir, DefaultStateDir)
	setDefault(&c.BundleDir, filepath.Join(c.StateDir, "bundles"))
	setDefault(&c.TemplateDir, filepath.Join(c.StateDir, "templates"))
	setDefault(&c.Outbox.MaxBytes, defaultBudget)
	setDefault(&c.Evidence.Dir, filepath.Join(c.StateDir, "evidence"))
	setDefault(&c.Evidence.MaxBytes, defaultBudget)
	if c.Evidence.MaxCrops == nil { // 0 is a choice: no crops
		crops := defaultCrops
		c.Evidence.MaxCrops = &crops
	}
	setDefault(&c.Evidence.Quality, defaultQuality)
	c.Samples.complete(c.StateDir)
	setDefault(&c.Health.Listen, DefaultHealth)
	setDefault(&c.Worker.Parallel, 1)
	setDefault(&c.Worker.Spinning, SpinRun)
	setDefault(&c.Worker.ONNXRuntime, os.Getenv("SIGHTLINE_ONNXRUNTIME"))
	if c.MQTT.ClientID == "" {
		if host, err := os.Hostname(); err == nil {
			c.MQTT.ClientID = host
		}
	}
	for i := range c.Stations {
		c.Stations[i].complete()
	}
}

func (s *Station) complete() {
	setDefault(&s.Trigger.Mode, ModeContinuous)
	setDefault(&s.Trigger.Deadline, DefaultDeadline)
	setDefault(&s.Trigger.RepeatWindow, DefaultRepeatWindow)
	setDefault(&s.OpenTimeout, DefaultOpenTimeout)
	setDefault(&s.ReadTimeout, DefaultReadTimeout)
	if s.Trigger.Mode == ModeInterval {
		setDefault(&s.Trigger.Interval, DefaultInterval)
	}
	if s.Shadow != nil {
		setDefault(&s.Shadow.Share, defaultShare)
	}
}
