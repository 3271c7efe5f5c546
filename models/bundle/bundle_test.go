package bundle_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

const manifest = `name: pcb
version: "1.2.0"
serial: 3
input: {width: 640, height: 640, channels: 1}
decoder: {family: yolov8}
classes:
  - {name: open, threshold: 0.5}
  - {name: short, threshold: 0.4}
golden:
  samples: [{image: golden/a.png, expect: golden/a.json}]
`

func write(tb testing.TB, dir string, files map[string]string) string {
	tb.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(tb, os.WriteFile(path, []byte(content), 0o600))
	}
	return dir
}

func folder(tb testing.TB, manifest string) string {
	tb.Helper()
	return write(tb, tb.TempDir(), map[string]string{
		"bundle.yaml": manifest, "model.onnx": "weights", "golden/a.png": "png",
		"golden/a.json": `[{"class":"open","score":0.9,"box":[1,2,3,4]}]`,
	})
}

func TestManifestIsCompletedWithDefaults(t *testing.T) {
	b, err := bundle.Load(folder(t, manifest))
	require.NoError(t, err)
	m := b.Manifest
	require.Equal(t, []string{"open", "short"}, b.ClassNames())
	require.Equal(t, bundle.ColorGray, m.Preprocess.Color)
	require.InDelta(t, 1.0/255, *m.Preprocess.Scale, 1e-12)
	require.Equal(t, []float64{1}, m.Preprocess.Std)
	require.Equal(t, "cpu", m.Providers.Order[2].Name)
	require.InDelta(t, 2, *m.Golden.BoxTolerance, 0)
	require.InDelta(t, 0.05, *m.Golden.ScoreTolerance, 0)
	expected, err := b.Expected(m.Golden.Samples[0])
	require.NoError(t, err)
	require.Equal(t, [4]float32{1, 2, 3, 4}, expected[0].Box)
}

func TestDigestCoversEachByteAndName(t *testing.T) {
	dir := folder(t, manifest)
	digest := func() string {
		b, err := bundle.Load(dir)
		require.NoError(t, err)
		return b.Digest
	}
	first := digest()
	require.Equal(t, first, digest())
	write(t, dir, map[string]string{"model.onnx": "Weights"})
	second := digest()
	require.NotEqual(t, first, second)
	write(t, dir, map[string]string{"CARD.md": ""})
	require.NotEqual(t, second, digest())
}

func TestAFileThatChangedSinceTheDigestIsNotRead(t *testing.T) {
	dir := folder(t, manifest)
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	raw, err := b.Read("./model.onnx", 7)
	require.NoError(t, err)
	require.Equal(t, "weights", string(raw))
	_, err = b.Read("model.onnx", 6)
	require.ErrorContains(t, err, "over 6 bytes")
	write(t, dir, map[string]string{"model.onnx": "Weights", "golden/a.json": "[]", "new": ""})
	for _, name := range []string{"model.onnx", "new"} {
		_, err = b.Read(name, bundle.MaxModelBytes)
		require.ErrorIs(t, err, bundle.ErrChanged, name)
	}
	_, err = b.Expected(b.Manifest.Golden.Samples[0])
	require.ErrorIs(t, err, bundle.ErrChanged)
}

func TestTheManifestIsTheOneOfTheDigest(t *testing.T) {
	dir := folder(t, manifest)
	first := strings.Repeat("x", 1<<20) // hashed before the manifest: time for the manifest to change
	write(t, dir, map[string]string{"a": first})
	versions := map[string]string{} // by digest
	next := filepath.Join(t.TempDir(), "next")
	put := func(version string) error {
		text := strings.Replace(manifest, "1.2.0", version, 1)
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			return err
		}
		return os.Rename(next, filepath.Join(dir, bundle.ManifestFile))
	}
	for _, version := range []string{"1.2.0", "1.2.1"} {
		require.NoError(t, put(version))
		b, err := bundle.Load(dir)
		require.NoError(t, err)
		versions[b.Digest] = version
	}
	var writer sync.WaitGroup
	defer writer.Wait()
	end := make(chan struct{})
	defer close(end)
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
				if err := put(fmt.Sprintf("1.2.%d", i%2)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 100 {
		b, err := bundle.Load(dir)
		if err != nil {
			require.ErrorIs(t, err, bundle.ErrChanged)
			continue
		}
		require.Equal(t, versions[b.Digest], b.Manifest.Version)
	}
}

func TestFaultsOfAManifestComeTogether(t *testing.T) {
	_, err := bundle.Load(folder(t, `name: "p/cb"
version: 1.2
input: {width: 8, height: 640, channels: 2, layout: chwn}
preprocess: {color: gray, std: [0]}
decoder: {family: yolov9}
model: ../model.onnx
classes: [{name: open, threshold: 2}, {name: open, threshold: 0.5}]
providers: {order: [{name: npu}, {name: cpu, batch: 65}], policy: maybe}
`))
	for _, want := range []string{
		"line 1: name", "line 2: version",
		"line 3: input.width", "line 3: input.channels", "line 3: input.layout",
		"line 4: preprocess.color", "line 4: preprocess.std", "line 5: decoder.family", "line 6: model:",
		"line 7: classes[0].threshold", "line 7: classes[1].name: open is there twice",
		"line 8: providers.order[0].name", "line 8: providers.policy", "line 8: providers.order[1].batch",
	} {
		require.ErrorContains(t, err, want)
	}
}

// Of each kind one: a library, a folder of engines, a file, a switch that reads the working folder, an
// address.
func TestOptionsThatLoadFilesOrCodeAreRefused(t *testing.T) {
	for provider, keys := range map[string][]string{
		"tensorrt": {
			"trt_engine_decryption_enable", "trt_engine_decryption_lib_path", "trt_extra_plugin_lib_paths",
			"trt_engine_cache_enable", "trt_engine_cache_path", "trt_ep_context_file_path",
			"trt_onnx_model_folder_path", "trt_int8_calibration_table_name", "trt_timing_cache_enable",
			"trt_timing_cache_path", "trt_dump_subgraphs", "trt_onnx_bytestream", "user_compute_stream",
			"TRT_FP16_ENABLE", "trt_fp16_enable ", "gpu_mem_limit",
		},
		"cuda": {
			"gpu_external_alloc", "gpu_external_free", "gpu_external_empty_cache", "user_compute_stream",
			"has_user_compute_stream", "default_memory_arena_cfg", "enable_cuda_graph", "trt_fp16_enable",
		},
		"openvino": {
			"cache_dir", "load_config", "context", "device_luid", "reshape_input", "layout", "blob_dump_path",
		},
		"cpu": {"device_id", "use_arena"},
	} {
		for _, key := range keys {
			t.Run(provider+"/"+key, func(t *testing.T) {
				lines := "providers:\n  order:\n    - name: %s\n      options:\n        %q: '1'\n"
				lines = fmt.Sprintf(lines, provider, key)
				_, err := bundle.Load(folder(t, manifest+lines))
				require.ErrorContains(t, err, "line 15: providers.order[0].options."+key)
				require.ErrorContains(t, err, fmt.Sprintf("a bundle may not set %q of %s", key, provider))
				for _, allowed := range bundle.ProviderOptions(provider) {
					require.ErrorContains(t, err, allowed)
				}
			})
		}
	}
}

func TestOptionsOfPrecisionAndMemoryAreTaken(t *testing.T) {
	other := map[string]string{
		"gpu_mem_limit": "2147483648", "trt_max_workspace_size": "1048576", "device_type": "GPU.1",
	}
	for _, provider := range []string{"tensorrt", "cuda", "openvino", "cpu"} {
		options := bundle.ProviderOptions(provider)
		require.True(t, slices.IsSorted(options))
		require.NotEmpty(t, options)
		for _, key := range options {
			value := cmp.Or(other[key], "1")
			b, err := bundle.Load(folder(t, manifest+fmt.Sprintf(
				"providers: {order: [{name: %s, options: {%s: '%s'}}]}\n", provider, key, value)))
			require.NoError(t, err)
			require.Equal(t, map[string]string{key: value}, b.Manifest.Providers.Order[0].Options)
		}
	}
}

// A limit that nobody understands is found before a GPU is there to refuse it; a device that stands for
// several could be another one in silence.
func TestValuesOfOptionsThatWillNotDoAreRefused(t *testing.T) {
	for _, c := range []struct{ provider, key, value, says string }{
		{"cuda", "gpu_mem_limit", "2GB", "write bytes, 1048576 to 1099511627776"},
		{"cuda", "gpu_mem_limit", "1048575", "write bytes"},
		{"cuda", "gpu_mem_limit", "-1", "write bytes"},
		{"cuda", "gpu_mem_limit", "1e9", "write bytes"},
		{"tensorrt", "trt_max_workspace_size", "1099511627777", "write bytes"},
		{"cpu", "enable_cpu_mem_arena", "false", "write '0' or '1'"},
		{"openvino", "device_type", "AUTO:GPU,CPU", "one device, whose place no other takes in silence"},
		{"openvino", "device_type", "HETERO:GPU,CPU", "one device"},
		{"openvino", "device_type", "/dev/dri/card0", "one device"},
		{"openvino", "device_type", "GPU\nCPU", "one device"},
	} {
		_, err := bundle.Load(folder(t, manifest+fmt.Sprintf(
			"providers: {order: [{name: %s, options: {%s: %q}}]}\n", c.provider, c.key, c.value)))
		require.ErrorContains(t, err, "line 11: providers.order[0].options."+c.key)
		require.ErrorContains(t, err, strings.TrimPrefix(c.says, "write "), c.value)
	}
}

func TestTheMemoryOfABatchIsBounded(t *testing.T) {
	of := func(batch string) error {
		_, err := bundle.Load(folder(t, strings.Replace(manifest, "width: 640, height: 640",
			"width: 4096, height: 4096", 1)+"providers: {order: [{name: cpu, batch: "+batch+"}]}\n"))
		return err
	}
	require.NoError(t, of("16"))
	require.ErrorContains(t, of("17"),
		"providers.order[0].batch: 17 images of 4096×4096×1 are 285212672 values")
}

func TestNothingOutsideTheFolderIsTouched(t *testing.T) {
	outside := write(t, t.TempDir(), map[string]string{"secret": "x"})
	for name, plant := range map[string]func(dir string) error{
		"model is a symbolic link": func(dir string) error {
			_ = os.Remove(filepath.Join(dir, "model.onnx"))
			return os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "model.onnx"))
		},
		"another file is a symbolic link": func(dir string) error {
			return os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "extra"))
		},
		"a name looks like two files in the digest": func(dir string) error {
			return os.WriteFile(dir+"/a\n"+strings.Repeat("0", 64)+"  b", nil, 0o600)
		},
		"a folder is a symbolic link": func(dir string) error {
			return os.Symlink(outside, filepath.Join(dir, "more"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, manifest)
			require.NoError(t, plant(dir))
			_, err := bundle.Load(dir)
			require.Error(t, err)
		})
	}
}

// To open a pipe for reading waits for a writer.
func TestAPipeIsRefusedUnopened(t *testing.T) {
	within := func(read func() error) error {
		done := make(chan error, 1)
		go func() { done <- read() }()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("it waits for the pipe's writer")
			return nil
		}
	}
	dir := folder(t, manifest)
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	for _, name := range []string{"model.onnx", bundle.ManifestFile} {
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
		require.NoError(t, syscall.Mkfifo(filepath.Join(dir, name), 0o600))
		err = within(func() error {
			_, refused := b.Read(name, bundle.MaxModelBytes)
			return refused
		})
		require.ErrorContains(t, err, name+" is not a plain file")
	}
	err = within(func() error {
		_, refused := bundle.Load(dir)
		return refused
	})
	require.ErrorIs(t, err, bundle.ErrBundle)
	require.ErrorContains(t, err, "bundle.yaml is not a plain file")
}

func TestAToleranceOfZeroIsZero(t *testing.T) {
	for _, zero := range []string{"0", "0.0", "-0"} {
		b, err := bundle.Load(folder(t, manifest+"  box_tolerance: "+zero+"\n  score_tolerance: "+zero+"\n"))
		require.NoError(t, err, zero)
		require.Zero(t, *b.Manifest.Golden.BoxTolerance, zero)
		require.Zero(t, *b.Manifest.Golden.ScoreTolerance, zero)
	}
}

func TestTolerancesThatEverythingAgreesWithAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"box_tolerance: .nan":   "golden.box_tolerance: NaN is out of range (0 to 4096)",
		"box_tolerance: .inf":   "golden.box_tolerance: +Inf is out of range (0 to 4096)",
		"box_tolerance: 1e300":  "golden.box_tolerance: 1e+300 is out of range (0 to 4096)",
		"box_tolerance: 4097":   "golden.box_tolerance: 4097 is out of range (0 to 4096)",
		"box_tolerance: -1":     "golden.box_tolerance: -1 is out of range (0 to 4096)",
		"score_tolerance: .nan": "golden.score_tolerance: NaN is out of range (0 to 1)",
		"score_tolerance: .inf": "golden.score_tolerance: +Inf is out of range (0 to 1)",
		"score_tolerance: 1.01": "golden.score_tolerance: 1.01 is out of range (0 to 1)",
		"score_tolerance: -0.1": "golden.score_tolerance: -0.1 is out of range (0 to 1)",
	} {
		_, err := bundle.Load(folder(t, manifest+"  "+text+"\n"))
		require.ErrorContains(t, err, "line 11: "+says, text)
	}
}

func TestMissingPartsAreNamed(t *testing.T) {
	_, err := bundle.Load(filepath.Join(t.TempDir(), "absent"))
	require.ErrorContains(t, err, "open bundle folder")
	_, err = bundle.Load(t.TempDir())
	require.ErrorIs(t, err, bundle.ErrBundle)
	dir := folder(t, strings.Replace(manifest, "golden/a.json", "golden/b.json", 1))
	_, err = bundle.Load(dir)
	require.ErrorContains(t, err, `line 10: golden.samples[0].expect: file "golden/b.json" is missing`)
}

func TestAModelOverTheLimitIsRefusedUnread(t *testing.T) {
	const protobufs = 1 << 31 // bytes that a message may have
	dir := folder(t, manifest+"providers: {order: [{name: cpu, model: int8.onnx}]}\n")
	write(t, dir, map[string]string{"int8.onnx": "weights"})
	for _, size := range []int64{bundle.MaxModelBytes + 1, protobufs + 1} {
		for _, name := range []string{"model.onnx", "int8.onnx"} {
			path := filepath.Join(dir, name)
			require.NoError(t, os.Truncate(path, size)) // sparse
			_, err := bundle.Load(dir)
			require.ErrorContains(t, err, fmt.Sprintf("file %q has %d bytes, over 536870912", name, size))
			require.NoError(t, os.Truncate(path, 7))
		}
	}
	_, err := bundle.Load(dir)
	require.NoError(t, err)
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(manifest))
	f.Add([]byte("preprocess: {scale: no, mean: 3, std: [0]}\ninput: {channels: x}\nproviders: {order: {}}"))
	f.Add([]byte("clases: []\ngolden: {samples: [{image: ../../x}]}"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ManifestFile), raw, 0o600))
		b, err := bundle.Load(dir)
		require.Equal(t, err == nil, b != nil)
	})
}
