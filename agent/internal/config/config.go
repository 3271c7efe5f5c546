// Package config is sightline.yaml: what a user writes, with defaults that are right for a line.
package config

import (
	"strings"
	"time"
)

// Config is the file. A station needs five lines; everything else has a default.
type Config struct {
	Place     string    `yaml:"place"` // enterprise/site/area
	MQTT      MQTT      `yaml:"mqtt"`
	Stations  []Station `yaml:"stations"`
	Worker    Worker    `yaml:"worker"`
	Outbox    Outbox    `yaml:"outbox"`
	Evidence  Evidence  `yaml:"evidence"`
	Samples   Samples   `yaml:"samples"`
	Health    Health    `yaml:"health"`
	StateDir  string    `yaml:"state_dir"`  // default /var/lib/sightline
	BundleDir string    `yaml:"bundle_dir"` // where bundle names are looked up, default <state_dir>/bundles
	// TemplateDir is where golden templates are kept, default <state_dir>/templates.
	TemplateDir string `yaml:"template_dir"`
}

// MQTT names the two brokers. They never share a connection.
type MQTT struct {
	Local  string `yaml:"local"`  // the line's broker, default tcp://127.0.0.1:1883
	Uplink string `yaml:"uplink"` // the cloud's broker; empty: results stay on the line and in the outbox
	// ClientID is the prefix of both client ids; default: the host name. Unique in the plant.
	ClientID string `yaml:"client_id"`
	// Username and what follows are for the line's broker. The uplink's is shown the same as long as none of
	// the keys that begin with uplink_ is set; with one of them it is shown nothing but those.
	Username string `yaml:"username"`
	// PasswordFile and the TLS files are paths, so that no secret stands in the configuration.
	PasswordFile string `yaml:"password_file"`
	CAFile       string `yaml:"ca_file"`
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`

	UplinkUsername     string `yaml:"uplink_username"`
	UplinkPasswordFile string `yaml:"uplink_password_file"`
	UplinkCAFile       string `yaml:"uplink_ca_file"`
	UplinkCertFile     string `yaml:"uplink_cert_file"`
	UplinkKeyFile      string `yaml:"uplink_key_file"`
}

// Station is one camera and what is asked of it.
type Station struct {
	Name   string `yaml:"name"`   // line/station
	Camera string `yaml:"camera"` // source URI
	Bundle string `yaml:"bundle"` // name under bundle_dir, or a path
	Recipe string `yaml:"recipe"` // recipeId in results; default the bundle's name
	// Method is detect (a model sees the frame), pair (a model sees the frame and its golden template) or
	// compare (no model: the frame is compared with its template). Default: what the bundle is made for.
	Method string `yaml:"method"`
	// Template is the golden template: recipe (its newest version), recipe@version, or the path of a
	// picture. Default the recipe. Each frame of a camera URI with the option template brings its own.
	Template string `yaml:"template"`
	// Binarize makes black and white of gray: otsu, or the least gray that becomes white, 1 to 255. Default
	// the bundle's; of method compare otsu.
	Binarize string  `yaml:"binarize"`
	Compare  Compare `yaml:"compare"`
	// Tiles lets a model see frames that are larger than its input in overlapping tiles, without scaling.
	Tiles   Tiles   `yaml:"tiles"`
	Trigger Trigger `yaml:"trigger"`
	Verdict Verdict `yaml:"verdict"`
	// Shadow lets another bundle see the same parts, without a say in any verdict.
	Shadow *Shadow `yaml:"shadow"`
	// Provider overrides the bundle's policy: require or fallback.
	Provider    string        `yaml:"provider"`
	OpenTimeout time.Duration `yaml:"open_timeout"` // default 5s
	ReadTimeout time.Duration `yaml:"read_timeout"` // default 1s
}

// Client is how the local broker knows the station: the end of its client id, behind mqtt.client_id.
func (s *Station) Client() string { return strings.ReplaceAll(s.Name, "/", "-") }

// Compare are the settings of method compare.
type Compare struct {
	Tolerance int `yaml:"tolerance"` // pixels by which an edge may wander, default 2
	MinArea   int `yaml:"min_area"`  // pixels of the smallest difference that counts, default 12
}

// Tiles are those of large sheets, each of the size of the model's input.
type Tiles struct {
	// Overlap of neighbours in pixels, larger than the largest defect: 32 to half the model's input. 0: none.
	Overlap int `yaml:"overlap"`
}

// Shadow is a bundle on trial: it sees parts when their verdicts are out, as often as its share allows.
type Shadow struct {
	Bundle   string  `yaml:"bundle"`   // name under bundle_dir, or a path
	Template string  `yaml:"template"` // as the station's
	Share    float64 `yaml:"share"`    // of the time of one core or of the accelerator; default 0.1
}

// Trigger says when a part is there.
type Trigger struct {
	Mode     string        `yaml:"mode"`     // continuous (default), interval, mqtt
	Interval time.Duration `yaml:"interval"` // of mode interval
	Deadline time.Duration `yaml:"deadline"` // trigger (continuous: exposure) to verdict, default 100ms
	// RepeatWindow is how long after a trigger another one with the same partId is taken for its repetition,
	// also when the part has its verdict. Default 2s.
	RepeatWindow time.Duration `yaml:"repeat_window"`
}

// Verdict says what a detection means.
type Verdict struct {
	Classes map[string]ClassRule `yaml:"classes"`  // by name; not named: the bundle's threshold, FAIL
	MinSize float64              `yaml:"min_size"` // pixels: longer side of a defect that counts; default 0
	Zones   []Zone               `yaml:"zones"`
}

// ClassRule changes what one class means.
type ClassRule struct {
	Threshold *float64 `yaml:"threshold"` // instead of the bundle's
	MinSize   *float64 `yaml:"min_size"`
	Verdict   string   `yaml:"verdict"` // fail (default), rework, ignore
}

// Zone is a polygon in frame pixels; a defect belongs to the first zone that holds the centre of its box.
type Zone struct {
	Name    string               `yaml:"name"`
	Polygon [][2]float64         `yaml:"polygon"` // at least three x, y
	Ignore  bool                 `yaml:"ignore"`  // nothing counts here
	Classes map[string]ClassRule `yaml:"classes"` // before the station's
}

// Worker is the process that loads drivers.
type Worker struct {
	Path        string `yaml:"path"`        // default: sightline-worker beside the agent, then in PATH
	ONNXRuntime string `yaml:"onnxruntime"` // libonnxruntime.so; default: $SIGHTLINE_ONNXRUNTIME
	Threads     int    `yaml:"threads"`     // of inference, default: the cores
	// Parallel runs of one bundle share the threads: more parts a second, each of them later. Default 1.
	Parallel int `yaml:"parallel"`
	// Spinning is when the threads of inference wait busily: within a run, always or never. Default run.
	Spinning string `yaml:"spinning"`
	// RecycleAbove is the bytes of memory from which a worker that has changed bundles is replaced in an idle
	// moment; default twice what it took before, and half a gibibyte.
	RecycleAbove int64 `yaml:"recycle_above"`
	// MemoryLimit is the bytes of address space that the worker may have; 0: as many as there are.
	MemoryLimit int64 `yaml:"memory_limit"`
}

// Outbox is the durable queue to the uplink.
type Outbox struct {
	MaxBytes int64 `yaml:"max_bytes"` // default 1 GiB
}

// Evidence are the pictures of what is not PASS.
type Evidence struct {
	Dir      string `yaml:"dir"`       // default <state_dir>/evidence
	MaxBytes int64  `yaml:"max_bytes"` // default 1 GiB, oldest go first
	MaxCrops *int   `yaml:"max_crops"` // of one part, default 8
	Quality  int    `yaml:"quality"`   // JPEG, default 85
}

// Samples are frames, as the camera gave them, that a model can learn from.
type Samples struct {
	Dir      string `yaml:"dir"`       // default <state_dir>/samples; "off": none are kept
	MaxBytes int64  `yaml:"max_bytes"` // default 1 GiB, the least valuable go first
	MaxCount int    `yaml:"max_count"` // default 20,000
	// PerHour bounds the samples of one station that the agent chooses by itself. Default 60.
	PerHour int `yaml:"per_hour"`
	// Margin is how close to its class's threshold a score is uncertain, on either side. Default 0.1.
	Margin *float64 `yaml:"margin"`
	// HoldBytes of memory keep the frames of the last parts that are not PASS, for overrides; 0: none.
	// Default 64 MiB.
	HoldBytes *int64 `yaml:"hold_bytes"`
}

// Health is the HTTP listener for metrics and readiness.
type Health struct {
	Listen string `yaml:"listen"` // default 127.0.0.1:9120; "off"
}
