package strictyaml_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

type inner struct {
	Mode     string        `yaml:"mode"`
	Deadline time.Duration `yaml:"deadline"`
}

type outer struct {
	Name  string           `yaml:"name"`
	Count int              `yaml:"count"`
	List  []inner          `yaml:"list"`
	Named map[string]inner `yaml:"named"`
}

func TestAllFaultsAreReportedWithTheirLines(t *testing.T) {
	var o outer
	doc := strictyaml.Parse([]byte(`
name: x
count: many
lst: []
list:
  - mode: a
    deadline: 40ms
  - moode: b
    deadline: soon
named:
  k: {mode: c, extra: 1}
`), &o)
	doc.Add("list[0].mode", "is none of b, c", "write one of them")
	doc.Add("list[1].mode", "must be set", "write one")              // it is misspelt
	doc.Add("list[1].deadline", "0s is out of range", "write 1s up") // it could not be read
	require.True(t, doc.Readable())
	require.Equal(t, 11, doc.Line("named.k"))
	require.Equal(t, 5, doc.Line("list.nothing"))
	var faults strictyaml.Faults
	require.True(t, errors.As(doc.Err(), &faults))
	require.Equal(t, []string{
		`line 3: "many" does not fit here (write a whole number)`,
		`line 4: lst: unknown key (did you mean list?)`,
		`line 6: list[0].mode: is none of b, c (write one of them)`,
		`line 8: list[1].moode: unknown key (did you mean mode?)`,
		`line 9: "soon" does not fit here (write a duration such as 40ms or 2s)`,
		`line 11: named.k.extra: unknown key (known here: deadline, mode)`,
	}, strings.Split(faults.Error(), "\n"))
	require.Equal(t, 40*time.Millisecond, o.List[0].Deadline)
}

func TestBrokenFilesAreOneClearFault(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":     {"", "the file is empty"},
		"syntax":    {"a: [1,", "line 1: did not find expected node content"},
		"duplicate": {"name: a\nname: b\n", `line 2: mapping key "name" already defined at line 1`},
		"huge":      {strings.Repeat("#", strictyaml.MaxBytes+1), "1048577 bytes are over 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			require.EqualError(t, strictyaml.Parse([]byte(c.in), &outer{}).Err(), c.want)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: a\nlist: [{mode: b}]\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_ = strictyaml.Parse(raw, &outer{}).Err()
	})
}
