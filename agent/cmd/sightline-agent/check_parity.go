package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	parityLimit = 30 * time.Minute // two loads, of which one may build an engine
	saidBytes   = 4096             // of what the worker says before it fails
)

// compare reports how far this node's provider is from the golden samples, and from the CPU.
func (k *checker) compare(model *bundle.Bundle, policy string) {
	what := model.Dir + " parity"
	p, err := k.parity(model, policy)
	if err != nil {
		k.found(what, "", err)
		return
	}
	k.found(what, parityOf(p), nil)
	last := &k.findings[len(k.findings)-1]
	last.Parity = p
	for _, s := range p.Samples {
		last.OK = last.OK && s.Fault == "" && s.Expected.Beyond == ""
		last.Warn = last.Warn || s.CPU != nil && s.CPU.Beyond != ""
	}
}

// parityOf is what the table says of all samples together.
func parityOf(p *wire.Parity) string {
	says := fmt.Sprintf("%s of %s, %d golden samples", p.Provider, p.Model, len(p.Samples))
	switch {
	case p.CPUReason != "":
		says += "; not compared with the CPU: " + p.CPUReason
	case p.Provider == bundle.ProviderCPU:
		says += "; that is the CPU itself"
	}
	if p.FallbackReason != "" {
		says += "; fell back: " + p.FallbackReason
	}
	return says
}

// parity has the worker's program run the samples, with bounded memory.
func (k *checker) parity(model *bundle.Bundle, policy string) (*wire.Parity, error) {
	path, err := vision.Find(k.worker)
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(wire.ParityOrder{
		Bundle: model.Dir, Policy: policy, Library: k.library, Threads: k.threads, MemoryLimit: k.memory,
	})
	if err != nil {
		return nil, fmt.Errorf("encode what to compare: %w", err)
	}
	ctx, cancel := answerWithin(k.command.Context(), parityLimit)
	defer cancel()
	//nolint:gosec // the path is the operator's own configuration
	command := exec.CommandContext(ctx, path, "parity")
	var said bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(in), &said
	out, err := command.Output()
	if err != nil {
		words := said.String()
		return nil, fmt.Errorf("compare: %s: %w", strings.TrimSpace(words[:min(len(words), saidBytes)]), err)
	}
	p := &wire.Parity{}
	if err := json.Unmarshal(out, p); err != nil {
		return nil, fmt.Errorf("the worker's answer is not understood; is it of the agent's version? %w", err)
	}
	for _, s := range p.Samples {
		if s.Fault == "" && s.Expected == nil {
			return nil, fmt.Errorf("the worker says nothing of %s: is it of the agent's version?", s.Image)
		}
	}
	return p, nil
}

// parityTable writes one line for each sample and what it is compared with.
func parityTable(w *tabwriter.Writer, p *wire.Parity) {
	row := func(format string, values ...any) { _, _ = fmt.Fprintf(w, "\t\t"+format+"\n", values...) }
	row("sample\tagainst\tfound\tmissing\textra\tbox px\tscore\tarea %%\t")
	for _, s := range p.Samples {
		if s.Fault != "" {
			row("%s\t%s", s.Image, s.Fault)
			continue
		}
		for _, one := range []struct {
			against string
			apart   *wire.Apart
		}{{"expected", s.Expected}, {"cpu", s.CPU}} {
			a := one.apart
			if a == nil {
				continue
			}
			row("%s\t%s\t%d of %d\t%d\t%d\t%.3f\t%.4f\t%.2f\t%s", s.Image, one.against, a.Found-a.Extra,
				a.Wanted, a.Missing, a.Extra, a.Box, a.Score, percent*a.Area, cmp.Or(a.Beyond, "ok"))
		}
	}
}
