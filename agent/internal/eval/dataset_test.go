package eval_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

func TestForeignFoldersAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		source eval.Source
		want   string
	}{
		"deeppcb": {eval.Source{Layout: eval.LayoutDeepPCB}, "is --data the folder that holds images/"},
		"yolo":    {eval.Source{Layout: eval.LayoutYOLO}, "is --data the folder that holds images/"},
		"coco":    {eval.Source{Layout: eval.LayoutCOCO}, "name the file with --annotations"},
	} {
		t.Run(name, func(t *testing.T) {
			c.source.Dir = t.TempDir()
			_, err := eval.Load(c.source)
			require.ErrorIs(t, err, eval.ErrNoData)
			require.ErrorContains(t, err, c.want)
			c.source.Dir += "/none"
			_, err = eval.Load(c.source)
			require.ErrorIs(t, err, eval.ErrNoData)
		})
	}
	_, err := eval.Load(eval.Source{Dir: t.TempDir(), Layout: "voc"})
	require.ErrorContains(t, err, `layout "voc" is not known: use deeppcb, coco, yolo or folders`)
	_, err = eval.Load(eval.Source{Dir: t.TempDir(), Layout: eval.LayoutYOLO, Annotations: "a.json"})
	require.ErrorContains(t, err, "belongs to layout coco")
}

func TestALimitTakesImagesAtEvenDistances(t *testing.T) {
	files := map[string]string{"labels/00.txt": ""}
	for i := range 10 {
		files[fmt.Sprintf("images/%02d.png", i)] = ""
	}
	source := eval.Source{Dir: folder(t, files), Layout: eval.LayoutYOLO}
	for limit, want := range map[int][]string{
		1: {"00.png"}, 3: {"00.png", "03.png", "06.png"},
		9: {"00.png", "01.png", "02.png", "03.png", "04.png", "05.png", "06.png", "07.png", "08.png"},
	} {
		source.Limit = limit
		set, err := eval.Load(source)
		require.NoError(t, err)
		require.Equal(t, want, names(set))
		require.Equal(t, limit-1, set.Unlabelled, "of those that are taken")
	}
	for _, all := range []int{0, 10, 99} {
		source.Limit = all
		set, err := eval.Load(source)
		require.NoError(t, err)
		require.Len(t, set.Samples, 10)
	}
	source.Limit = -1
	_, err := eval.Load(source)
	require.ErrorContains(t, err, "use a positive number")
}
