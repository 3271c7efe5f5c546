package samples

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// yoloData is data.yaml. Without a path the trainer takes its own folder.
type yoloData struct {
	Train string         `yaml:"train"`
	Val   string         `yaml:"val"`
	Names map[int]string `yaml:"names"`
}

// writeYOLO writes labels/<name>.txt for each image, a line "class cx cy w h" for each box, centre and size
// as shares of the image, and last data.yaml. An image without a defect has an empty file.
func writeYOLO(out string, items []item, classes []string) error {
	in := filepath.Join(out, "labels")
	if err := os.MkdirAll(in, 0o750); err != nil {
		return fmt.Errorf("create folder of labels: %w", err)
	}
	for i := range items {
		t := &items[i]
		name := strings.TrimSuffix(t.file, filepath.Ext(t.file)) + ".txt"
		if err := writeNew(filepath.Join(in, name), t.yolo(classes)); err != nil {
			return fmt.Errorf("write labels: %w", err)
		}
	}
	data := yoloData{Train: imagesFolder, Val: imagesFolder, Names: map[int]string{}}
	for i, name := range classes {
		data.Names[i] = name
	}
	b, err := yaml.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode data.yaml: %w", err)
	}
	return save(filepath.Join(out, "data.yaml"), b)
}

// writeNew is for the many small files of an export, which is whole only with its last one.
func writeNew(name string, b []byte) error {
	f, err := fsutil.OS{}.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func (t *item) yolo(classes []string) []byte {
	var text []byte
	w, h := float64(t.width), float64(t.height)
	for _, l := range t.labels {
		box, ok := t.clip(l.Box)
		if !ok {
			continue
		}
		text = fmt.Appendf(text, "%d %.6f %.6f %.6f %.6f\n", slices.Index(classes, l.Class),
			(box[0]+box[2])/2/w, (box[1]+box[3])/2/h, (box[2]-box[0])/w, (box[3]-box[1])/h)
	}
	return text
}
