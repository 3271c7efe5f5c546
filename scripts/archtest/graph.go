package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const (
	module = "github.com/sightline-edge/sightline"
	tags   = "customenv,gocv_specific_modules,gocv_videoio"
)

// graph maps a package to what it imports. Packages of the module are named from its root, such as
// agent/event, others by their full path. The standard library is left out; cgo shows as package C.
type graph map[string][]string

// list asks go for the module in dir. It compiles nothing, so neither OpenCV nor ONNX Runtime is needed.
func list(ctx context.Context, dir string) (graph, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-tags="+tags,
		"-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("list packages: %w: %s", err, stderr.Bytes())
	}
	return decode(&stdout)
}

// decode reads what go list -json wrote: one object after another.
func decode(r io.Reader) (graph, error) {
	g := graph{}
	for decoder := json.NewDecoder(r); ; {
		var p struct {
			ImportPath string
			Imports    []string
			Standard   bool
		}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		if !p.Standard {
			g[name(p.ImportPath)] = names(p.Imports)
		}
	}
}

func name(path string) string { return strings.TrimPrefix(path, module+"/") }

func names(paths []string) []string {
	out := make([]string, len(paths))
	for i, path := range paths {
		out[i] = name(path)
	}
	return out
}

// own lists the module's packages in order: those whose first element is one of its folders.
func (g graph) own() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(g)), func(pkg string) bool {
		first, _, _ := strings.Cut(pkg, "/")
		return !slices.Contains([]string{"agent", "models", "cloud", "docs", "scripts"}, first)
	})
}

// paths finds for every package that from needs, directly or not, a shortest chain of imports to it.
func (g graph) paths(from string) map[string][]string {
	found := map[string][]string{from: {from}}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]] {
			if _, seen := found[next]; seen {
				continue
			}
			found[next] = append(slices.Clone(found[queue[0]]), next)
			queue = append(queue, next)
		}
	}
	delete(found, from)
	return found
}
