package decode_test

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// packed are float32 as models/vectors/pack.py writes them.
type packed []float32

func (p *packed) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	*p = make([]float32, len(bytes)/4)
	for i := range *p {
		(*p)[i] = math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*i:]))
	}
	return nil
}

// unpack reads golden vectors.
func unpack(tb testing.TB, name string, into any) {
	tb.Helper()
	f, err := os.Open("testdata/" + name)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, f.Close()) }()
	z, err := gzip.NewReader(f)
	require.NoError(tb, err)
	require.NoError(tb, json.NewDecoder(z).Decode(into))
}

// placed is where a frame lies on the input, and what a model said of it.
type placed struct {
	Input, Frame             [2]int
	Left, Top, Width, Height int
	Outputs                  []struct {
		Name   string
		Dims   []int64
		Values packed
	}
}

// decode reads the outputs as a manifest says, back to pixels of the frame.
func (p *placed) decode(t *testing.T, m *bundle.Manifest) []detect.Detection {
	t.Helper()
	var ports []decode.Port
	var outputs [][]float32
	for _, o := range p.Outputs {
		ports, outputs = append(ports, decode.Port{Name: o.Name, Dims: o.Dims}), append(outputs, o.Values)
	}
	d, err := decode.New(m, ports)
	require.NoError(t, err)
	found, err := d.Decode(outputs, tensor.Geometry{
		FrameWidth: p.Frame[0], FrameHeight: p.Frame[1],
		Left: p.Left, Top: p.Top, Width: p.Width, Height: p.Height,
	})
	require.NoError(t, err)
	return found
}

// casesOf a family are one of models/vectors's files.
func casesOf[C any](t *testing.T, family string) []C {
	t.Helper()
	var all struct{ Cases []C }
	unpack(t, family+".json.gz", &all)
	require.NotEmpty(t, all.Cases)
	return all.Cases
}
