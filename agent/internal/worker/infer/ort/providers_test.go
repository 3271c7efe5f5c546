//go:build cgo

package ort_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/engines"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/ort"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// listed names the variable with the execution providers that the library and the machine have, such as
// tensorrt,cuda: make gpu-check sets it. Without it these tests run on the CPU.
const listed = "SIGHTLINE_PROVIDERS"

// openRows is a bundle whose model says by the number of its rows how much it found.
const openRows = networks + "labelled-torchvision"

// there calls a test with each provider of this machine. Its golden samples are those of each bundle: what
// loads has found what the reference found.
func there(t *testing.T, test func(t *testing.T, r *ort.Runtime, provider string)) {
	t.Helper()
	names := strings.FieldsFunc(os.Getenv(listed), func(c rune) bool { return c == ',' || c == ' ' })
	if len(names) == 0 {
		names = []string{bundle.ProviderCPU}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { test(t, library(t), name) })
	}
}

// only is a bundle that runs on one provider or not at all.
func only(t *testing.T, dir string, p bundle.Provider) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	first := b.Manifest.Providers.Order[0]
	p.Model, p.Then = first.Model, first.Then
	p.Batch = max(p.Batch, 1)
	b.Manifest.Providers = bundle.Providers{Order: []bundle.Provider{p}, Policy: bundle.PolicyRequire}
	return b
}

// opened loads a bundle and closes it at the test's end.
func opened(t *testing.T, l infer.Loader, b *bundle.Bundle) *infer.Session {
	t.Helper()
	s, err := l.Load(b, "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.Equal(t, b.Manifest.Providers.Order[0].Name, s.Provider)
	require.False(t, s.FellBack)
	return s
}

func loader(t *testing.T, r *ort.Runtime) infer.Loader {
	t.Helper()
	return infer.Loader{Runtime: r, Threads: 2, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func TestProvidersFindWhatTheReferenceFinds(t *testing.T) {
	dirs, err := filepath.Glob(networks + "*")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	there(t, func(t *testing.T, r *ort.Runtime, provider string) {
		t.Helper()
		for _, dir := range append(dirs, reference) {
			t.Run(filepath.Base(dir), func(t *testing.T) {
				b, l := only(t, dir, bundle.Provider{Name: provider}), loader(t, r)
				if provider == bundle.ProviderOpenVINO && dir == openRows {
					_, err := l.Load(b, "")
					require.ErrorContains(t, err, "as many rows as are found")
					return
				}
				opened(t, l, b)
			})
		}
	})
}

// A batch is taken or not, as the provider gains by it; both find the same.
func TestProvidersRunBatches(t *testing.T) {
	there(t, func(t *testing.T, r *ort.Runtime, provider string) {
		t.Helper()
		l := loader(t, r)
		l.Batches = true
		s := opened(t, l, only(t, reference, bundle.Provider{Name: provider, Batch: 4}))
		require.Contains(t, []int{1, 4}, s.Images())
	})
}

// A run that is broken off, or was too quick for that, leaves a session that runs.
func TestProvidersRunAgainBehindADeadline(t *testing.T) {
	there(t, func(t *testing.T, r *ort.Runtime, provider string) {
		t.Helper()
		s := opened(t, loader(t, r), only(t, reference, bundle.Provider{Name: provider}))
		canvases := []*tensor.Canvas{boards(t, s)}
		for range 5 {
			_, err := inferred(s, canvases, monotime.Now()+int64(time.Millisecond))
			if err != nil {
				require.ErrorIs(t, err, infer.ErrCancelled)
			}
			_, err = inferred(s, canvases, 0)
			require.NoError(t, err)
		}
	})
}

func TestProvidersKeepTheirMemoryWithinLimits(t *testing.T) {
	frugal := map[string]map[string]string{
		bundle.ProviderCPU:      {"enable_cpu_mem_arena": "0", "enable_mem_pattern": "0"},
		bundle.ProviderCUDA:     {"gpu_mem_limit": "1073741824", "arena_extend_strategy": "kSameAsRequested"},
		bundle.ProviderTensorRT: {"trt_max_workspace_size": "268435456"},
		bundle.ProviderOpenVINO: {"num_of_threads": "1"},
	}
	there(t, func(t *testing.T, r *ort.Runtime, provider string) {
		t.Helper()
		s := opened(t, loader(t, r), only(t, reference, bundle.Provider{
			Name: provider, Options: frugal[provider],
		}))
		_, err := inferred(s, []*tensor.Canvas{boards(t, s)}, 0)
		require.NoError(t, err)
	})
}

// The second start loads the engine that the first one built, and finds the same.
func TestProvidersKeepTheirEngines(t *testing.T) {
	there(t, func(t *testing.T, r *ort.Runtime, provider string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "engines")
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		r.KeepEngines(func() (*engines.Store, error) { return engines.Open(dir, 1<<32, log) }, log)
		b := only(t, reference, bundle.Provider{Name: provider})
		var took [2]time.Duration
		for i := range took {
			start := time.Now()
			l := loader(t, r)
			s, err := l.Load(b, "")
			require.NoError(t, err)
			require.NoError(t, s.Close())
			took[i] = time.Since(start)
		}
		t.Logf("ONNX Runtime %s: first load %s, second %s", r.Version(), took[0], took[1])
		n := engines.Inspect(os.DirFS("/"), os.LookupEnv)
		t.Logf("driver %q, GPUs %q, board %q, libraries %q", n.Driver, n.GPUs, n.Board, n.Libraries)
		kept, err := filepath.Glob(filepath.Join(dir, "*.engine"))
		require.NoError(t, err)
		if provider == bundle.ProviderTensorRT {
			require.Len(t, kept, 1, "of two loads")
		} else {
			require.NoDirExists(t, dir)
		}
	})
}

// Fault 16 with the real library: a provider that it lacks is passed over and told, or refused.
func TestAProviderThatTheLibraryLacksIsToldOrRefused(t *testing.T) {
	r := library(t)
	for _, provider := range []string{
		bundle.ProviderTensorRT, bundle.ProviderCUDA, bundle.ProviderOpenVINO,
	} {
		t.Run(provider, func(t *testing.T) {
			if strings.Contains(os.Getenv(listed), provider) {
				t.Skip("this machine has it, as $" + listed + " says")
			}
			b := only(t, networks+"yolov8", bundle.Provider{Name: provider})
			l := loader(t, r)
			_, err := l.Load(b, "")
			require.ErrorIs(t, err, infer.ErrProvider)
			require.ErrorContains(t, err, "requires "+provider)
			other := b.Manifest.Providers.Order[0]
			other.Name = bundle.ProviderCPU
			b.Manifest.Providers.Order = append(b.Manifest.Providers.Order, other)
			s, err := l.Load(b, bundle.PolicyFallback)
			require.NoError(t, err)
			require.Equal(t, bundle.ProviderCPU, s.Provider)
			require.True(t, s.FellBack)
			require.Contains(t, s.FallbackReason, provider+": open model: ")
			require.NoError(t, s.Close())
		})
	}
}
