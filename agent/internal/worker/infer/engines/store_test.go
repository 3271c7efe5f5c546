package engines

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

const engine = "TensorrtExecutionProvider_graph_1_sm86.engine"

func open(t *testing.T, dir string, limit int64) (*Store, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	s, err := Open(dir, limit, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, log
}

func key(model string) Key {
	return NewKey(Inspect(disk(), nobody), []byte(model), nil, map[string][]int64{"images": {1, 3, 64, 64}})
}

// build makes an engine of so many bytes and keeps it.
func build(t *testing.T, s *Store, k Key, size int) {
	t.Helper()
	e, err := s.Begin(k)
	require.NoError(t, err)
	require.False(t, e.Ready())
	require.NoError(t, os.WriteFile(filepath.Join(e.Dir(), engine), make([]byte, size), 0o600))
	require.NoError(t, e.Keep())
	require.NoError(t, e.Close())
}

// taken says whether a session would load the engine of a key.
func taken(t *testing.T, s *Store, k Key) bool {
	t.Helper()
	e, err := s.Begin(k)
	require.NoError(t, err)
	if e.Ready() {
		require.FileExists(t, filepath.Join(e.Dir(), engine))
		require.NoError(t, e.Keep())
	}
	require.NoError(t, e.Close())
	return e.Ready()
}

// lies are the names in a folder that are neither secret nor lock.
func lies(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		if entry.Name() != secretName && entry.Name() != lockName {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestAnEngineIsLoadedAtTheNextStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engines")
	s, log := open(t, dir, 1<<20)
	build(t, s, key("a"), 100)
	require.Contains(t, log.String(), "kept for the next start")
	require.True(t, taken(t, s, key("a")))
	require.False(t, taken(t, s, key("b")))
	next, _ := open(t, dir, 1<<20)
	require.True(t, taken(t, next, key("a")))
	require.Equal(t, []string{key("a").ID() + suffix}, lies(t, dir))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.EqualValues(t, 0o700, info.Mode().Perm())
}

// What golden samples did not prove is not loaded again, and leaves nothing.
func TestAnEngineThatWasNotKeptIsGone(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	s, _ := open(t, dir, 1<<20)
	e, err := s.Begin(key("a"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(e.Dir(), engine), []byte("half of it"), 0o600))
	require.NoError(t, e.Close())
	require.Empty(t, lies(t, dir))
	require.False(t, taken(t, s, key("a")))

	e, err = s.Begin(key("a"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(e.Dir(), "graph.profile"), []byte("shapes"), 0o600))
	require.ErrorIs(t, e.Keep(), ErrNone, "of what TensorRT takes no part it wrote no engine")
	require.NoError(t, e.Close())
	require.Empty(t, lies(t, dir))

	build(t, s, key("a"), 100)
	e, err = s.Begin(key("a"))
	require.NoError(t, err)
	require.True(t, e.Ready())
	e.Drop("golden sample differs")
	require.NoError(t, e.Close())
	require.Empty(t, lies(t, dir))
}

// A worker that dies at work leaves a folder without a lock; one that is at work keeps its own.
func TestWhatADeadWorkerLeftIsRemovedAndNoOthers(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	s, _ := open(t, dir, 1<<20)
	alive, err := s.Begin(key("a"))
	require.NoError(t, err)
	left := filepath.Join(dir, building+"LEFT")
	require.NoError(t, os.Mkdir(left, 0o700))
	for name, content := range map[string]string{engine: "half of it", lockName: ""} {
		require.NoError(t, os.WriteFile(filepath.Join(left, name), []byte(content), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600))
	next, log := open(t, dir, 1<<20)
	require.False(t, taken(t, next, key("b")))
	require.NoDirExists(t, left)
	require.DirExists(t, alive.Dir())
	require.FileExists(t, filepath.Join(dir, "notes.txt"), "what is not the store's is left alone")
	require.Contains(t, log.String(), "its worker ended before it was finished")
	require.NoError(t, alive.Close())
}

// Each way in which an engine is not this node's own: it is not loaded, it is removed, and the log says why.
func TestAnEngineThatThisNodeDidNotBuildIsRemoved(t *testing.T) {
	on := func(name, text string) Key {
		n := edited(func(d fstest.MapFS) { d[name] = &fstest.MapFile{Data: []byte(text)} })
		return NewKey(n, []byte("a"), nil, map[string][]int64{"images": {1, 3, 64, 64}})
	}
	other := on("etc/machine-id", "other")
	older := on("proc/self/maps", "7f-80 r-xp 0 08:01 12 /opt/trt/libnvinfer.so.8.6.1\n")
	for name, c := range map[string]struct {
		built Key
		spoil func(t *testing.T, dir, entry string)
		says  string
	}{
		"a folder from another machine, secret and all": {
			built: other, says: `it was built with the machine \"other\", and here is \"4d3c2b1a\"`,
		},
		"before an upgrade": {built: older, says: "it was built with the library"},
		"an entry from another machine": {built: key("a"), spoil: func(t *testing.T, dir, _ string) {
			t.Helper()
			require.NoError(t, os.Remove(filepath.Join(dir, secretName)))
		}, says: "it was not built by this node, or changed since"},
		"a bit of the engine": {built: key("a"), spoil: func(t *testing.T, _, entry string) {
			t.Helper()
			require.NoError(t, os.WriteFile(filepath.Join(entry, engine), []byte("xx"), 0o600))
		}, says: "its files changed since it was built"},
		"another file": {built: key("a"), spoil: func(t *testing.T, _, entry string) {
			t.Helper()
			require.NoError(t, os.WriteFile(filepath.Join(entry, "other.engine"), []byte("xx"), 0o600))
		}, says: "its files changed since it was built"},
		"a link": {built: key("a"), spoil: func(t *testing.T, dir, entry string) {
			t.Helper()
			require.NoError(t, os.Remove(filepath.Join(entry, engine)))
			require.NoError(t, os.Symlink(filepath.Join(dir, secretName), filepath.Join(entry, engine)))
		}, says: "is no plain file"},
		"half of its manifest": {built: key("a"), spoil: func(t *testing.T, _, entry string) {
			t.Helper()
			require.NoError(t, os.Truncate(filepath.Join(entry, manifestName), 40))
		}, says: "cannot be read"},
		"an endless manifest": {built: key("a"), spoil: func(t *testing.T, _, entry string) {
			t.Helper()
			require.NoError(t, os.Truncate(filepath.Join(entry, manifestName), 1<<40)) // sparse
		}, says: "cannot be read"},
		"no manifest": {built: key("a"), spoil: func(t *testing.T, _, entry string) {
			t.Helper()
			require.NoError(t, os.Remove(filepath.Join(entry, manifestName)))
		}, says: "it was not finished"},
		"the engine of another model": {built: key("b"), spoil: func(t *testing.T, dir, entry string) {
			t.Helper()
			require.NoError(t, os.Rename(entry, filepath.Join(dir, key("a").ID()+suffix)))
		}, says: "it was built for something else"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "engines")
			first, _ := open(t, dir, 1<<20)
			build(t, first, c.built, 100)
			if c.spoil != nil {
				c.spoil(t, dir, filepath.Join(dir, c.built.ID()+suffix))
			}
			next, log := open(t, dir, 1<<20)
			require.False(t, taken(t, next, key("a")))
			require.Contains(t, log.String(), c.says)
			require.Empty(t, lies(t, dir))
			build(t, next, key("a"), 100)
			require.True(t, taken(t, next, key("a")))
		})
	}
}

func TestTheDiskIsBoundedAndTheLeastUsedGoesFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engines")
	s, log := open(t, dir, 250)
	past := time.Now().Add(-time.Hour)
	for i, model := range []string{"a", "b"} {
		build(t, s, key(model), 100)
		manifest := filepath.Join(dir, key(model).ID()+suffix, manifestName)
		used := past.Add(time.Duration(i) * time.Minute)
		require.NoError(t, os.Chtimes(manifest, used, used))
	}
	require.True(t, taken(t, s, key("a")), "used again, and now later than b")
	build(t, s, key("c"), 100)
	require.Contains(t, log.String(), "the engines have 300 bytes together, over 250")
	require.True(t, taken(t, s, key("a")))
	require.True(t, taken(t, s, key("c")))
	require.False(t, taken(t, s, key("b")))

	build(t, s, key("d"), 251)
	require.Contains(t, log.String(), "it is larger than all may be together")
	require.False(t, taken(t, s, key("d")))
	require.Len(t, lies(t, dir), 2)
}

// Two sessions of one bundle build at once: one engine stays, and it is whole.
func TestTwoSessionsBuildOneEngine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engines")
	s, _ := open(t, dir, 1<<20)
	other, _ := open(t, dir, 1<<20)
	first, err := s.Begin(key("a"))
	require.NoError(t, err)
	second, err := other.Begin(key("a"))
	require.NoError(t, err)
	require.NotEqual(t, first.Dir(), second.Dir())
	for _, e := range []*Entry{first, second} {
		require.NoError(t, os.WriteFile(filepath.Join(e.Dir(), engine), []byte(e.Dir()), 0o600))
		require.NoError(t, e.Keep())
	}
	require.NoError(t, first.Close())
	require.NoError(t, second.Close())
	require.True(t, taken(t, s, key("a")))
	require.Len(t, lies(t, dir), 1)
}

func TestAFolderThatOthersMayWriteToIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	_, err := Open(dir, 1<<20, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, ErrUnsafe)
	require.ErrorContains(t, err, "nobody else may write to it")
	require.ErrorContains(t, err, "mode 777")
}

func TestASecretThatOthersCanReadIsReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engines")
	s, _ := open(t, dir, 1<<20)
	build(t, s, key("a"), 100)
	require.NoError(t, os.Chmod(filepath.Join(dir, secretName), 0o644))
	next, log := open(t, dir, 1<<20)
	require.Contains(t, log.String(), "others may read it")
	require.False(t, taken(t, next, key("a")))
}

func TestANodeWithoutIdentityHasNoEntry(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "engines"), 1<<20)
	_, err := s.Begin(NewKey(Node{}, nil, nil, nil))
	require.ErrorContains(t, err, "no libnvinfer.so is loaded")
}

func FuzzReadASeal(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "engines")
	s, err := Open(dir, 1<<20, slog.New(slog.DiscardHandler))
	require.NoError(f, err)
	name := key("a").ID() + suffix
	require.NoError(f, os.Mkdir(filepath.Join(dir, name), 0o700))
	f.Add([]byte(`{"key": {"format": 1, "node": {}}, "files": [{"name": "../x", "bytes": -1}], "mac": ""}`))
	f.Add([]byte(`null`))
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, manifestName), raw, 0o600))
		_, err := s.read(name)
		require.Error(t, err, "nobody but this node can sign")
	})
}

func TestKeysAreIndependentOfTheOrderOfOptions(t *testing.T) {
	options := map[string]string{"a": "1", "b": "2", "c": "3"}
	want := NewKey(Node{}, nil, options, nil).ID()
	for range 20 {
		require.Equal(t, want, NewKey(Node{}, nil, maps.Clone(options), nil).ID())
	}
}

// Two workers of one node that see a GPU each do not remove each other's engines.
func TestEnginesOfEachGPUOfANodeStayBesideEachOther(t *testing.T) {
	on := func(gpu string) Key {
		n := Inspect(disk(), func(name string) (string, bool) { return gpu, name == "CUDA_VISIBLE_DEVICES" })
		return NewKey(n, []byte("a"), nil, map[string][]int64{"images": {1, 3, 64, 64}})
	}
	dir := filepath.Join(t.TempDir(), "engines")
	for _, gpu := range []string{"0", "1"} {
		s, _ := open(t, dir, 1<<20)
		build(t, s, on(gpu), 100)
	}
	next, _ := open(t, dir, 1<<20)
	require.True(t, taken(t, next, on("0")))
	require.True(t, taken(t, next, on("1")))
	require.False(t, taken(t, next, on("2")))
}
