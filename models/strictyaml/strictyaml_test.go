package strictyaml_test

import (
	"errors"
	"fmt"
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
	Name    string           `yaml:"name"`
	Count   int              `yaml:"count"`
	List    []inner          `yaml:"list"`
	Named   map[string]inner `yaml:"named"`
	Corners [][2]float64     `yaml:"corners"`
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
		`line 3: count: "many" does not fit here (write a whole number)`,
		`line 4: lst: unknown key (did you mean list?)`,
		`line 6: list[0].mode: is none of b, c (write one of them)`,
		`line 8: list[1].moode: unknown key (did you mean mode?)`,
		`line 9: list[1].deadline: "soon" does not fit here (write a duration such as 40ms or 2s)`,
		`line 11: named.k.extra: unknown key (known here: deadline, mode)`,
	}, strings.Split(faults.Error(), "\n"))
	require.Equal(t, 40*time.Millisecond, o.List[0].Deadline)
}

func lines(doc *strictyaml.Document) []string {
	if err := doc.Err(); err != nil {
		return strings.Split(err.Error(), "\n")
	}
	return nil
}

// A fault hides what may follow from it, and nothing else.
func TestFaultsHideOnlyWhatMayFollowFromThem(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		add  string // a path that the caller finds wrong
		told bool
	}{
		"missing, misspelt":                   {"list: [{moode: b}]", "list[0].mode", false},
		"missing, another misspelt":           {"list: [{moode: b}]", "list[0].deadline", true},
		"missing, misspelt elsewhere":         {"nam: x\nlist: [{deadline: 1s}]", "list[0].mode", true},
		"missing, unknown beside it":          {"list: [{colour: b}]", "list[0].mode", true},
		"within a misspelt key":               {"lst: [{mode: b}]", "list[0].mode", false},
		"there, on the line of another fault": {"list: [{mode: b, deadline: 0}]", "list[0].mode", true},
		"there, unreadable":                   {"list: [{mode: b, deadline: 0}]", "list[0].deadline", false},
		"within what is unreadable":           {"list: [5]", "list[0].mode", false},
		"a list with an unreadable item":      {"corners: [[1, x]]", "corners[0]", false},
		"beside an unreadable item":           {"list: [5, {mode: b}]", "list[1].mode", true},
		"a key that is there twice":           {"name: a\nname: b", "name", true},
		"through an alias":                    {"list: [&a {mode: b}, *a]", "list[1].mode", true},
		"through an alias, unreadable":        {"list: [&a {deadline: b}, *a]", "list[1].deadline", false},
	} {
		t.Run(name, func(t *testing.T) {
			doc := strictyaml.Parse([]byte(c.in), &outer{})
			require.Equal(t, !c.told, doc.Doubtful(c.add))
			doc.Add(c.add, "is wrong", "")
			require.Equal(t, c.told, strings.Contains(fmt.Sprint(doc.Err()), "is wrong"), "%v", doc.Err())
		})
	}
}

func TestWhatIsReadableIsDecodedInItsPlace(t *testing.T) {
	var o outer
	doc := strictyaml.Parse([]byte(`
name: [1]
list:
  - 5
  -
  - {mode: c}
list: []
corners: [[1], [2, 3], [x, 4]]
count: {a: 1}
`), &o)
	require.True(t, doc.Readable())
	require.Equal(t, []inner{{}, {}, {Mode: "c"}}, o.List)
	require.Equal(t, [][2]float64{{}, {2, 3}, {0, 4}}, o.Corners)
	require.Equal(t, []string{
		"line 2: name: a list does not fit here (write text)",
		`line 4: list[0]: "5" does not fit here (write keys with values below it)`,
		"line 7: list: the key is there already, on line 3 (keep one of them)",
		"line 8: corners[0]: 1 values do not fit here (write 2)",
		`line 8: corners[2][0]: "x" does not fit here (write a number)`,
		"line 9: count: keys do not fit here (write a whole number)",
	}, lines(doc))
	require.True(t, doc.Faulty("list"))
	require.True(t, doc.Faulty("corners[0]"))
	require.False(t, doc.Faulty("list[2].mode"))
	require.False(t, doc.Faulty("corners[1]"))
}

func TestBrokenFilesAreOneClearFault(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":  {"", "the file is empty"},
		"syntax": {"a: [1,", "line 1: did not find expected node content"},
		"duplicate": {
			"name: a\nname: b",
			"line 2: name: the key is there already, on line 1 (keep one of them)",
		},
		"huge": {strings.Repeat("#", strictyaml.MaxBytes+1), "1048577 bytes are over 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			require.EqualError(t, strictyaml.Parse([]byte(c.in), &outer{}).Err(), c.want)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: a\nlist: [{mode: b}]\n"))
	f.Add([]byte("list: &a [*a, *a]"))
	f.Add([]byte("list: [&a {mode: {}}, *a, ~, 3]\nlist: *a\nnamed: {? [x] : *a}\ncorners: [[], [1, x]]"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_ = strictyaml.Parse(raw, &outer{}).Err()
	})
}
