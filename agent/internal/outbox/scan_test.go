package outbox

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzScanNeverInventsOrLosesRecords(f *testing.F) {
	whole := appendRecord(nil, Record{Entry: Entry{Topic: "t", Payload: []byte("p")}, Sequence: 1})
	f.Add(whole)
	f.Add(bytes.Repeat(whole, 3))
	f.Add(append([]byte("SLR1 broken"), whole...))
	f.Fuzz(func(t *testing.T, noise []byte) {
		for _, atEnd := range []bool{false, true} {
			s := scan(noise, math.MaxInt, atEnd)
			require.LessOrEqual(t, s.used, len(noise))
		}
		// A whole record behind any noise is found.
		s := scan(append(bytes.Clone(noise), whole...), math.MaxInt, true)
		if len(s.records) == 0 {
			t.Fatal("record behind noise not found")
		}
	})
}

func TestRecordBehindATornOneIsFound(t *testing.T) {
	whole := appendRecord(nil, Record{Entry: Entry{Topic: "t", Payload: []byte("payload")}, Sequence: 1})
	for cut := 1; cut < len(whole); cut++ {
		s := scan(append(bytes.Clone(whole[:cut]), whole...), math.MaxInt, true)
		require.Len(t, s.records, 1)
		require.Equal(t, uint64(1), s.corrupt)
	}
}
