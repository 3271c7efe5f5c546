package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/draft"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

func inspectCommand() *cobra.Command {
	var t tool
	var out string
	c := &cobra.Command{
		Use:   "inspect MODEL.onnx",
		Short: "Draft a bundle from a bare model, and say what is left to fill in",
		Long: "Reads what an ONNX file says of itself, without running it: inputs, outputs, who wrote it,\n" +
			"and which family of decoders its outputs fit; and drafts the manifest of a bundle. What\n" +
			"cannot be read from a model is marked CHECK: preprocessing, class names, thresholds, golden\n" +
			"samples.",
		Args: cobra.ExactArgs(1),
		Example: "  sightline-agent inspect best.onnx\n" +
			"  sightline-agent inspect best.onnx --out connectors && sightline-agent check connectors",
		RunE: func(c *cobra.Command, args []string) error {
			return t.inspect(c, args[0], out)
		},
	}
	c.Flags().StringVarP(&t.output, "output", "o", "table", "table or json")
	c.Flags().StringVar(&out, "out", "", "folder to make: a bundle with the draft and a copy of the model")
	return c
}

func (t *tool) inspect(c *cobra.Command, path, out string) error {
	if t.output != "table" && t.output != asJSON {
		return fmt.Errorf("output %q is neither table nor json", t.output)
	}
	raw, err := readModel(path)
	if err != nil {
		return err
	}
	model, err := onnxfile.Parse(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	d, err := draft.New(path, model)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if out != "" {
		if err := writeBundle(out, d, raw); err != nil {
			return err
		}
	}
	return t.print(c.OutOrStdout(), d, func(w *tabwriter.Writer) { draftTable(w, d, out) })
}

// readModel refuses what is no plain file before it is opened: a pipe would wait for its writer.
func readModel(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read model: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no plain file: name an ONNX file", path)
	case info.Size() > bundle.MaxModelBytes:
		return nil, fmt.Errorf("%s has %d MiB, over %d: a bundle's model is one file of at most so many",
			path, info.Size()>>20, bundle.MaxModelBytes>>20)
	}
	return fsutil.ReadFile(path, bundle.MaxModelBytes)
}

// writeBundle makes the folder; one that is there is left alone.
func writeBundle(dir string, d *draft.Draft, model []byte) error {
	if err := os.Mkdir(dir, 0o750); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: name a folder that is not", dir)
	} else if err != nil {
		return fmt.Errorf("make the bundle's folder: %w", err)
	}
	for name, content := range map[string][]byte{d.Model: model, bundle.ManifestFile: []byte(d.Manifest)} {
		if err := fsutil.WriteFile(fsutil.OS{}, filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
	}
	return nil
}

func draftTable(w *tabwriter.Writer, d *draft.Draft, out string) {
	row := func(format string, values ...any) { _, _ = fmt.Fprintf(w, format+"\n", values...) }
	nodes := 0
	for _, n := range d.Nodes {
		nodes += n
	}
	row("model\t%s: %s, opset %d, %s, %d nodes of %d operators", d.Model, orElse(d.Producer, "no producer"),
		d.Opset, d.Precision, nodes, len(slices.Collect(maps.Keys(d.Nodes))))
	for _, p := range d.Inputs {
		row("input\t%s  %s %s", p.Name, p.Type, p.Shape)
	}
	for _, p := range d.Outputs {
		row("output\t%s  %s %s", p.Name, p.Type, p.Shape)
	}
	for i, g := range d.Guesses {
		likely := "decoder"
		if i > 0 {
			likely = "  or"
		}
		row("%s\t%s: %s", likely, g.Family, g.Why)
	}
	if len(d.Guesses) == 0 {
		row("decoder\tnone of these fits: %v", bundle.Families())
	}
	for i, f := range d.Fill {
		row("to do %d\t%s", i+1, f)
	}
	if out != "" {
		row("\nwritten\t%s: fill in %s, then run `sightline-agent check %s`", out,
			filepath.Join(out, bundle.ManifestFile), out)
		return
	}
	row("\n%s", d.Manifest)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
