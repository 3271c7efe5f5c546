package camera

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

const (
	maxURI       = 4096
	maxRate      = 1000
	maxPrerender = 256
	maxZoom      = 16
	schemes      = "v4l2:/dev/video0, gst:<pipeline ending in appsink>, rtsp://…, file:<image or video>, " +
		"dir:<folder of images>, sim:"
)

type kind int

const (
	kindV4L2 kind = iota + 1
	kindGst
	kindRTSP
	kindFile
	kindDir
	kindSim
)

// spec is a camera URI, understood.
type spec struct {
	kind   kind
	target string  // device, pipeline, address, file or folder
	shown  string  // for logs: without passwords
	rate   float64 // frames a second; 0: the camera's own clock, or stepped
	loop   bool    // file:, dir: begin again at the end
	glob   string  // dir: of the names
	limits limits

	width, height int // v4l2: asked of the driver, 0: its default
	fps           float64
	fourcc        string

	latency latency // of live cameras

	beside template // dir: how an image's template is named

	board     sim.Options
	template  bool // sim: each board comes with its template
	prerender int  // boards kept in memory
	preload   bool // dir: images are decoded at start and kept
	color     bool // three channels, as of a colour camera
	zoom      int  // frame pixels for one of the board, in each direction
}

// live cameras look at the world: they have a clock of their own, and must not repeat themselves.
func (s *spec) live() bool { return s.kind == kindV4L2 || s.kind == kindGst || s.kind == kindRTSP }

// paced cameras bring frames unasked.
func (s *spec) paced() bool { return s.live() || s.rate > 0 }

func (s *spec) simulated() bool { return s.kind == kindSim }

// parse reads a camera URI. Its errors are for the operator and final. The URIs and their options:
//
//	v4l2:/dev/video0    width, height, fps (asked of the driver), fourcc (MJPG, YUYV, …), latency
//	gst:<pipeline>      any that ends in appsink; drop=1 max-buffers=1 keep its own queue short; latency
//	rtsp://…, rtsps://… over TCP; latency, the other options are the camera's
//	file:PATH           image (JPEG, PNG, BMP, TIFF) or video; rate, loop, max_mpx
//	dir:PATH            the images of a folder by name; glob, rate, loop, max_mpx, preload; template=A:B: an
//	                    image's golden template has its name with B for A, as _test:_temp
//	sim:                seed, product, defects, clean, width, height, rate; prerender boards are kept in
//	                    memory; color gives three channels, zoom enlarges a board of 1/zoom of the size;
//	                    template: each board comes with its golden template
//
// file and dir take PATH as it is, or path for one with a question mark: path=/data/what%3F. rate is frames
// a second. Without it file, dir and sim are stepped: each request takes the next picture. loop begins again
// at the end; max_mpx bounds what is decoded, in megapixels. latency is a duration, from the beginning of an
// exposure to its frame's arrival.
func parse(uri string) (spec, error) {
	if len(uri) > maxURI {
		return spec{}, fmt.Errorf("camera URI: it has %d bytes; at most %d are read", len(uri), maxURI)
	}
	if strings.ContainsFunc(uri, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return spec{}, errors.New("camera URI: it has a control character; write it on one line")
	}
	scheme, rest, _ := strings.Cut(uri, ":")
	s := spec{limits: defaultLimits(), shown: uri}
	var err error
	switch scheme {
	case "v4l2":
		err = s.parseV4L2(rest)
	case "gst":
		err = s.parseGst(rest)
	case "rtsp", "rtsps":
		err = s.parseRTSP(uri)
	case "file":
		err = s.parseFile(rest)
	case "dir":
		err = s.parseDir(rest)
	case "sim":
		err = s.parseSim(rest)
	default:
		err = fmt.Errorf("%q is no kind of camera; there are %s", scheme, schemes)
	}
	if err != nil {
		return spec{}, fmt.Errorf("camera URI: %w", err)
	}
	return s, nil
}

func (s *spec) parseV4L2(rest string) error {
	target, q, err := options(rest)
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(target, 10, 8); err == nil {
		target = "/dev/video" + target
	}
	if !strings.HasPrefix(target, "/dev/") {
		return fmt.Errorf("v4l2 needs a device, such as v4l2:/dev/video0; it has %q", target)
	}
	s.kind, s.target = kindV4L2, target
	s.width, s.height = q.whole("width", maxSide), q.whole("height", maxSide)
	s.fps, s.fourcc = q.number("fps", maxRate), q.text("fourcc")
	s.parseLatency(q, latency{assumed: true})
	if s.fourcc != "" && len(s.fourcc) != 4 {
		q.fail(fmt.Errorf("fourcc is %q; it has four letters, such as MJPG or YUYV", s.fourcc))
	}
	return q.done()
}

// Pipelines of GenICam cameras that expose on demand: the property trigger of aravissrc, and TriggerMode
// as it is set through pylonsrc and tcambin.
var triggered = regexp.MustCompile(`(?i)\btrigger=\S|\btrigger-?mode=["\\]*(on|true|1)\b`)

// parseGst takes options behind the last element only: the question marks before it are the pipeline's own.
func (s *spec) parseGst(rest string) error {
	rest = strings.TrimSpace(rest)
	sink := strings.LastIndex(rest, "!") + 1
	last, q, err := options(rest[sink:])
	if err != nil {
		return err
	}
	pipeline := strings.TrimSpace(rest[:sink] + last)
	element, _, _ := strings.Cut(strings.TrimSpace(last), " ")
	if element != "appsink" || !strings.Contains(pipeline, "!") {
		return fmt.Errorf("the gst pipeline must end in appsink (… ! appsink drop=1 max-buffers=1); "+
			"it ends in %q", element)
	}
	first, _, _ := strings.Cut(pipeline, " ")
	s.kind, s.target, s.shown = kindGst, pipeline, "gst:"+first // properties may hold a password
	s.parseLatency(q, latency{assumed: !triggered.MatchString(pipeline)})
	return q.done()
}

func (s *spec) parseRTSP(uri string) error {
	uri, q := cutLatency(uri)
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return errors.New("rtsp needs an address, such as rtsp://192.168.1.20:554/stream1; this one " +
			"cannot be read " +
			"(special characters of a password are written %XX)")
	}
	s.kind, s.target, s.shown = kindRTSP, uri, u.Redacted()
	s.parseLatency(q, latency{assumed: true, least: networkLatency})
	return q.done()
}

// cutLatency takes our option out of the address of a camera, and leaves everything else as it is.
func cutLatency(uri string) (rest string, q *query) {
	base, raw, _ := strings.Cut(uri, "?")
	q = &query{values: url.Values{}}
	var kept []string
	for option := range strings.SplitSeq(raw, "&") {
		if value, ours := strings.CutPrefix(option, "latency="); ours {
			q.values.Add("latency", value)
		} else {
			kept = append(kept, option)
		}
	}
	switch n := len(q.values["latency"]); {
	case n == 0:
		return uri, q
	case n > 1:
		q.fail(fmt.Errorf("latency is given %d times; keep one", n))
	}
	if len(kept) > 0 {
		base += "?" + strings.Join(kept, "&")
	}
	return base, q
}

// parseLatency keeps what is declared, else what to make of the camera without it.
func (s *spec) parseLatency(q *query, undeclared latency) {
	s.latency = undeclared
	if d, given := q.duration("latency", maxLatency); given {
		s.latency = latency{declared: d}
	}
}

func (s *spec) parseFile(rest string) error {
	target, q, err := options(rest)
	if err != nil {
		return err
	}
	if target = located(target, q); target == "" {
		return errors.New("file needs a path, such as file:/data/board.png")
	}
	s.kind, s.target = kindFile, target
	s.parsePlay(q)
	return q.done()
}

func (s *spec) parseDir(rest string) error {
	target, q, err := options(rest)
	if err != nil {
		return err
	}
	if target = located(target, q); target == "" {
		return errors.New("dir needs a folder, such as dir:/data/boards")
	}
	s.kind, s.target, s.glob, s.preload = kindDir, target, q.text("glob"), q.yes("preload")
	if _, err := path.Match(s.glob, ""); err != nil {
		q.fail(fmt.Errorf("glob is %q; it must be a pattern of names, such as *_test.jpg", s.glob))
	}
	if text := q.text("template"); text != "" {
		board, golden, ok := strings.Cut(text, ":")
		s.beside = template{board, golden}
		if !ok || board == "" || board == golden || strings.ContainsAny(text, "/\\") {
			q.fail(fmt.Errorf("template is %q; it must say what becomes what in a name, such as _test:_temp",
				text))
		}
	}
	s.parsePlay(q)
	return q.done()
}

// located is the path of a file or folder: literal before the question mark, or the option path, in which any
// character can be written as %XX.
func located(target string, q *query) string {
	written := q.text("path")
	if target != "" && written != "" {
		q.fail(errors.New("the path is given twice; keep the one before the question mark, or path"))
	}
	return cmp.Or(target, written)
}

func (s *spec) parsePlay(q *query) {
	s.rate, s.loop = q.number("rate", maxRate), q.yes("loop")
	if m := q.number("max_mpx", maxMegapixels); m > 0 {
		s.limits.pixels = int64(m * 1e6)
	}
}

// frameBytes is the size of a simulated frame.
func (s *spec) frameBytes() int {
	channels := 1
	if s.color {
		channels = 3
	}
	return s.board.Width * s.board.Height * s.zoom * s.zoom * channels
}

// parseSim keeps what is the camera's own, and hands the rest to the renderer.
func (s *spec) parseSim(rest string) error {
	target, q, err := options(rest)
	if err != nil {
		return err
	}
	if target != "" {
		return fmt.Errorf("sim has options only, such as sim:?seed=7&rate=5; it has %q", target)
	}
	s.kind, s.rate, s.prerender = kindSim, q.number("rate", maxRate), q.whole("prerender", maxPrerender)
	s.color, s.zoom = q.yes("color"), max(1, q.whole("zoom", maxZoom))
	s.template = q.yes("template")
	s.board = sim.DefaultOptions()
	for _, key := range sim.Keys() {
		given := q.values.Has(key)
		if text := q.text(key); given {
			q.fail(s.board.Set(key, text))
		}
	}
	if err = q.done(); err != nil {
		return err
	}
	if err = s.board.Validate(); err != nil {
		return fmt.Errorf("simulated camera: %w", err)
	}
	if s.board.Width%s.zoom != 0 || s.board.Height%s.zoom != 0 {
		return fmt.Errorf("width %d and height %d must be multiples of zoom %d",
			s.board.Width, s.board.Height, s.zoom)
	}
	s.board.Width, s.board.Height = s.board.Width/s.zoom, s.board.Height/s.zoom
	if err := s.board.Validate(); err != nil {
		return fmt.Errorf("the board at 1/%d of the frame: %w", s.zoom, err)
	}
	bytes := int64(s.prerender) * int64(s.frameBytes())
	if bytes > maxPrerenderBytes {
		return fmt.Errorf("prerender needs %d bytes for its boards; at most %d are kept", bytes,
			maxPrerenderBytes)
	}
	return nil
}
