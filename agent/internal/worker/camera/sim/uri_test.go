package sim

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURIsAreRead(t *testing.T) {
	d := DefaultOptions()
	seven := d
	seven.Seed = 7
	cases := map[string]struct {
		options Options
		rate    float64
	}{
		"sim:":                  {d, defaultRate},
		"sim:?":                 {d, defaultRate},
		"sim:?seed=7":           {seven, defaultRate},
		"sim:?rate=0.5&clean=1": {Options{Width: 640, Height: 640, Seed: 1, Defects: 1.5, Clean: 1}, 0.5},
		"sim:?seed=9&defects=3&clean=0&rate=30&width=1920&height=1080": {
			Options{Width: 1920, Height: 1080, Seed: 9, Defects: 3}, 30,
		},
	}
	for uri, want := range cases {
		t.Run(uri, func(t *testing.T) {
			o, rate, err := ParseURI(uri)
			require.NoError(t, err)
			require.Equal(t, want.options, o)
			require.InDelta(t, want.rate, rate, 0)
		})
	}
}

func TestFaultsInAURIAreNamed(t *testing.T) {
	cases := map[string][]string{
		"":                                 {"must be sim:"},
		"rtsp://host/x":                    {"must be sim:"},
		"sim:board":                        {"must be sim:"},
		"sim://host?seed=1":                {"must be sim:"},
		"sim:?sed=1":                       {`unknown key "sed"`, allowedKeys},
		"sim:?Seed=1":                      {`unknown key "Seed"`},
		"sim:?seed":                        {`seed is ""`},
		"sim:?seed=-1":                     {`seed is "-1"`},
		"sim:?seed=1&seed=2":               {`"seed" is given twice`},
		"sim:?width=63&height=8193":        {"width is 63", "height is 8193"},
		"sim:?width=1e3":                   {`width is "1e3"`},
		"sim:?defects=0.5":                 {"defects is 0.5", "clean"},
		"sim:?defects=NaN":                 {"defects is NaN"},
		"sim:?clean=1.1&rate=0":            {"clean is 1.1", "rate is 0"},
		"sim:?rate=Inf":                    {"rate is +Inf"},
		"sim:?rate=1001&seed=x":            {"rate is 1001", `seed is "x"`},
		"sim:%zz":                          {"must be sim:"},
		"sim:?" + longQuery():              {"at most 1024"},
		"sim:?width=999999999999999999999": {"width is"},
	}
	for uri, words := range cases {
		t.Run(uri[:min(len(uri), 40)], func(t *testing.T) {
			_, _, err := ParseURI(uri)
			for _, word := range words {
				require.ErrorContains(t, err, word)
			}
		})
	}
}

func longQuery() string { return strings.Repeat("&", maxURI) }

func FuzzParseURI(f *testing.F) {
	all := "sim:?seed=7&defects=1.5&clean=0.5&rate=5&width=640&height=640"
	for _, uri := range []string{"sim:", all, "sim:?rate=NaN"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		o, rate, err := ParseURI(uri)
		if err != nil {
			require.Equal(t, Options{}, o)
			return
		}
		require.NoError(t, o.Validate())
		require.False(t, math.IsNaN(rate) || rate <= 0 || rate > maxRate)
	})
}
