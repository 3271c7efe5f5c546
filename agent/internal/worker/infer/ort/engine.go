//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/engines"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Options of TensorRT that no bundle may set: they name a folder, and what lies there is run.
const (
	cacheKey     = "trt_engine_cache_enable"
	cachePathKey = "trt_engine_cache_path"
)

// The shapes that an engine for several images is built for, so that it is built once: without them it is
// built anew for each size that comes.
const (
	leastKey = "trt_profile_min_shapes"
	usualKey = "trt_profile_opt_shapes"
	mostKey  = "trt_profile_max_shapes"
)

// KeepEngines has TensorRT's engines kept in a store, which is opened where TensorRT is there and closed with
// the runtime. To be called before Open; without it each session builds its engine anew.
func (r *Runtime) KeepEngines(open func() (*engines.Store, error), log *slog.Logger) {
	r.store, r.log = sync.OnceValues(open), log
}

// engine is where the session of a spec finds its engine, or builds it; nil where none is kept. An error
// means that the provider is absent.
func (r *Runtime) engine(s infer.Spec) (*engines.Entry, error) {
	if r.store == nil || s.Provider.Name != bundle.ProviderTensorRT {
		return nil, nil //nolint:nilnil // no engine, and none wanted
	}
	if err := loadTensorRT(s); err != nil {
		return nil, err
	}
	entry, err := r.begin(s)
	if err != nil {
		r.log.Warn("the engine of a model is built anew at each start", "error", err)
		return nil, nil //nolint:nilnil // it runs as well, only later
	}
	return entry, nil
}

func (r *Runtime) begin(s infer.Spec) (*engines.Entry, error) {
	store, err := r.store()
	if err != nil {
		return nil, err
	}
	r.opened.Store(store)
	shapes := map[string][]int64{s.InputName: of(s.InputShape, int64(s.Images))}
	for _, c := range s.Constants {
		shapes[c.Name] = c.Shape
	}
	node := engines.Inspect(os.DirFS("/"), os.LookupEnv)
	return store.Begin(engines.NewKey(node, s.Model, tensorRTOptions(s), shapes))
}

// loadTensorRT has the library load TensorRT, whose version is seen only then.
func loadTensorRT(s infer.Spec) error {
	options, err := onnx.NewSessionOptions()
	if err != nil {
		return fmt.Errorf("make session options: %w", err)
	}
	return errors.Join(appendTensorRT(options, s.Provider.Options), options.Destroy())
}

// tensorRTOptions are the bundle's and, for a batch, the range of shapes, unless the bundle says it.
func tensorRTOptions(s infer.Spec) map[string]string {
	all := maps.Clone(s.Provider.Options)
	_, given := all[mostKey]
	if s.Images <= 1 || given {
		return all
	}
	if all == nil {
		all = map[string]string{}
	}
	for key, images := range map[string]int{leastKey: 1, usualKey: s.Images, mostKey: s.Images} {
		var sizes []string
		for _, d := range of(s.InputShape, int64(images)) {
			sizes = append(sizes, strconv.FormatInt(d, 10))
		}
		all[key] = s.InputName + ":" + strings.Join(sizes, "x")
	}
	return all
}

// stored adds where the engine lies.
func stored(options map[string]string, dir string) map[string]string {
	if dir == "" {
		return options
	}
	all := map[string]string{cacheKey: "1", cachePathKey: dir}
	maps.Copy(all, options)
	return all
}

// Keep implements infer's builder: the session computes what it should. What TensorRT does not take CUDA
// runs, up to all of it, and ONNX Runtime does not say so; but of what it takes TensorRT writes an engine.
func (r *runner) Keep() error {
	if r.engine == nil {
		return nil
	}
	err := r.engine.Keep()
	if errors.Is(err, engines.ErrNone) {
		return fmt.Errorf("%w: TensorRT made no engine, and CUDA runs all of it: look at "+
			"trt_min_subgraph_size, export the model with operators that TensorRT has, or name cuda in its "+
			"place", infer.ErrIdle)
	}
	return err
}

// Drop implements infer's builder: it does not.
func (r *runner) Drop(reason string) {
	if r.engine != nil {
		r.engine.Drop(reason)
	}
}
