package topic_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/topic"
)

func TestEveryLeafParsesBackToItsAddress(t *testing.T) {
	station, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-1")
	require.NoError(t, err)
	leaves := []topic.Leaf{
		topic.Trigger, topic.TriggerAck, topic.Acquisition, topic.Result, topic.ResultAck,
		topic.Command, topic.Override, topic.OverrideAck, topic.State,
		topic.Inspection, topic.Metrics, topic.Update,
	}
	for _, leaf := range leaves {
		got, failed := topic.Parse(station.Topic(leaf))
		require.NoError(t, failed)
		require.Equal(t, topic.Address{Station: station, Leaf: leaf}, got)
	}
	got, err := topic.Parse(station.EvidenceTopic("0192-ab", 3))
	require.NoError(t, err)
	require.Equal(t, topic.Address{Station: station, Leaf: topic.Evidence, ResultID: "0192-ab", N: 3}, got)
}

func TestForeignTopicsAreRefused(t *testing.T) {
	for name, in := range map[string]string{
		"other root":         "factory/v1/a/b/c/d/e/result",
		"no leaf":            "sightline/v1/a/b/c/d/e",
		"unknown leaf":       "sightline/v1/a/b/c/d/e/results",
		"wildcard":           "sightline/v1/a/+/c/d/e/result",
		"hash":               "sightline/v1/a/b/c/d/e/#",
		"dots":               "sightline/v1/a/../c/d/e/result",
		"empty level":        "sightline/v1/a//c/d/e/result",
		"shell":              "sightline/v1/a/$(reboot)/c/d/e/result",
		"null byte":          "sightline/v1/a/b\x00/c/d/e/result",
		"evidence number":    "sightline/v1/a/b/c/d/e/evidence/x/-1",
		"evidence no number": "sightline/v1/a/b/c/d/e/evidence/x",
		"evidence escape":    "sightline/v1/a/b/c/d/e/evidence/../1",
		"endless":            "sightline/v1/" + strings.Repeat("a", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := topic.Parse(in)
			require.ErrorIs(t, err, topic.ErrTopic)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("sightline/v1/acme/dongguan/smt/line3/aoi-1/result")
	f.Add("sightline/v1/acme/dongguan/smt/line3/aoi-1/evidence/0192/7")
	f.Fuzz(func(t *testing.T, in string) {
		a, err := topic.Parse(in)
		if err != nil {
			return
		}
		out := a.Station.Topic(a.Leaf)
		if a.Leaf == topic.Evidence {
			out = a.Station.EvidenceTopic(a.ResultID, a.N)
			again, err := topic.Parse(out)
			require.NoError(t, err)
			require.Equal(t, a, again)
			return
		}
		require.Equal(t, in, out)
	})
}
