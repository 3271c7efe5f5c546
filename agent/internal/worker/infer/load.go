package infer

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

var (
	// ErrProvider is wrapped when no execution provider that the policy allows runs the bundle.
	ErrProvider = errors.New("no execution provider")
	// ErrIdle is wrapped by what a builder's Keep returns where its provider runs no part of the model.
	ErrIdle = errors.New("the provider takes no part of the model")
)

// Loader makes sessions. Safe for concurrent use.
type Loader struct {
	Runtime  runtime
	Threads  int
	Spinning string
	Batches  bool // several images come at once, as tiles of a sheet
	Log      *slog.Logger
}

// Load opens a bundle on the first execution provider of its order that runs it, and checks the golden
// samples on it. Policy overrides the bundle's own unless it is empty.
func (l *Loader) Load(b *bundle.Bundle, policy string) (*Session, error) {
	c, err := newCandidate(b)
	if err != nil {
		return nil, err
	}
	if policy == "" {
		policy = b.Manifest.Providers.Policy
	}
	return l.first(c, policy, func(p bundle.Provider) (*Session, error) {
		s, err := l.open(c, p)
		if err != nil {
			return nil, err
		}
		if err := l.keep(s); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	})
}

// candidate is a bundle whose models agree with its manifest.
type candidate struct {
	*bundle.Bundle
	own    *bundle.Manifest // of its first model alone
	plan   *tensor.Plan
	models map[string]model // by file
	second *candidate       // nil without a second model
}

type model struct {
	raw   []byte
	ports contract
}

// read checks one model, once.
func (c *candidate) read(file string) error {
	if _, known := c.models[file]; known {
		return nil
	}
	raw, err := c.Read(file, bundle.MaxModelBytes)
	if err != nil {
		return fmt.Errorf("read model: %w", err)
	}
	signature, err := onnxfile.Parse(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ModelPath(file), err)
	}
	ports, err := agree(signature, c.own, c.plan)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ModelPath(file), err)
	}
	if raw, err = onnxfile.FixRows(raw, signature.Opset, ports.rows); err != nil {
		return fmt.Errorf("%s: %w", c.ModelPath(file), err)
	}
	c.models[file] = model{raw, ports}
	return nil
}

// first tries the providers in their order, as far as the policy goes.
func (l *Loader) first(c *candidate, policy string, open func(bundle.Provider) (*Session, error)) (
	*Session, error,
) {
	var reasons []string
	for i, provider := range c.Manifest.Providers.Order {
		s, err := open(provider)
		if err == nil {
			s.FellBack, s.FallbackReason = i > 0, strings.Join(reasons, "; ")
			return s, nil
		}
		if errors.Is(err, ErrGolden) { // it runs, and is wrong: no policy allows that
			return nil, err
		}
		l.Log.Warn("execution provider does not run the bundle", "provider", provider.Name,
			"bundle", c.Manifest.Name, "error", err)
		reasons = append(reasons, provider.Name+": "+firstLine(err))
		if policy == bundle.PolicyRequire {
			return nil, fmt.Errorf("%w: bundle %s requires %s; allow others with provider: fallback, "+
				"or repair: %s", ErrProvider, c.Manifest.Name, provider.Name, reasons[0])
		}
	}
	return nil, fmt.Errorf("%w runs bundle %s: %s", ErrProvider, c.Manifest.Name, strings.Join(reasons, "; "))
}

// open makes a session on one provider, for a batch where that is wanted and gains.
func (l *Loader) open(c *candidate, p bundle.Provider) (*Session, error) {
	if l.Batches && p.Batch > 1 {
		s, err := l.openBatch(c, p)
		if s != nil || errors.Is(err, ErrGolden) {
			return s, err
		}
		if err != nil { // too much for the device's memory, perhaps: one image may still do
			l.Log.Warn("no batches on this provider", "bundle", c.Manifest.Name, "provider", p.Name,
				"images", p.Batch, "error", err)
		}
	}
	return l.openFor(c, p, 1)
}

// openFor makes a session that takes so many images, and runs the golden samples one by one, or a blank frame
// where there are none: some providers fail only at their first run, or build their engine then.
func (l *Loader) openFor(c *candidate, p bundle.Provider, images int) (*Session, error) {
	s, err := l.start(c, p, images)
	if err != nil {
		return nil, err
	}
	if err := s.prove(); err != nil {
		ports := c.models[p.Model].ports
		return nil, s.fail(ports.explain(err))
	}
	return s, nil
}

// start makes a session of which nothing is known yet but that its models load.
func (l *Loader) start(c *candidate, p bundle.Provider, images int) (*Session, error) {
	m := c.models[p.Model]
	if err := m.ports.suits(p); err != nil {
		return nil, err
	}
	input := tensor.NewInput(c.plan, images)
	s, err := newSession(c, p, m.ports, input.Images(c.plan))
	if err != nil {
		return nil, err
	}
	runner, err := l.Runtime.Open(Spec{
		Model: m.raw, Provider: p, Threads: l.Threads, Spinning: l.Spinning, Images: images,
		InputName: m.ports.input, InputShape: m.ports.shape, Input: input,
		Half: c.Manifest.Input.Type == bundle.TypeFloat16, Constants: m.ports.constants, Outputs: s.outputs,
	})
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	s.runner, s.fuse = runner, newFuse(runner)
	if s.crops, err = l.openCrops(c, p, images); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// keep has what the session's runners built loaded at the next start. To be called behind all proofs: the
// golden samples prove both models together.
func (l *Loader) keep(s *Session) error {
	if s.crops != nil {
		if err := l.keep(s.crops.session); err != nil {
			return fmt.Errorf("second model: %w", err)
		}
	}
	b, builds := s.runner.(builder)
	if !builds {
		return nil
	}
	err := b.Keep()
	if errors.Is(err, ErrIdle) {
		return err
	}
	if err != nil { // it runs as well, only later at the next start
		l.Log.Warn("what was built for the bundle is not kept", "bundle", s.Bundle.Manifest.Name,
			"provider", s.Provider, "error", err)
	}
	return nil
}

// fail closes a session that a proof refused, and drops what was built for it.
func (s *Session) fail(err error) error {
	s.drop(firstLine(err))
	return errors.Join(err, s.Close())
}

// drop is for both models: which of them is wrong nobody knows.
func (s *Session) drop(reason string) {
	if s.crops != nil {
		s.crops.session.drop(reason)
	}
	if b, builds := s.runner.(builder); builds {
		b.Drop(reason)
	}
}

func newSession(c *candidate, p bundle.Provider, ports contract, inputs []*tensor.Input) (*Session, error) {
	s := &Session{
		Bundle: c.Bundle, Plan: c.plan, Provider: p.Name, inputs: inputs, images: 1,
		results: make([]Result, len(inputs)), reads: make([][]float32, len(ports.outputs)),
	}
	for range inputs {
		decoder, err := ports.decoder(c.own)
		if err != nil {
			return nil, err
		}
		s.decoders = append(s.decoders, decoder)
	}
	for _, port := range ports.outputs {
		s.outputs = append(s.outputs, Output{
			Name: port.Name, Elem: port.Elem, Shape: port.Dims,
			Values: make([]float32, len(inputs)*size(port.Dims)),
		})
	}
	return s, nil
}

func size(dims []int64) int {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return int(n)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
