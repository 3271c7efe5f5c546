package samples

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// cocoFile is a file of annotations as pycocotools and annotation tools read it. What is ours besides stands
// in attributes, which they pass over.
type cocoFile struct {
	Info        cocoInfo         `json:"info"`
	Licenses    []struct{}       `json:"licenses"`
	Images      []cocoImage      `json:"images"`
	Annotations []cocoAnnotation `json:"annotations"`
	Categories  []cocoCategory   `json:"categories"`
}

type cocoInfo struct {
	Description string `json:"description"`
	Version     string `json:"version"`
	Created     string `json:"date_created"`
}

type cocoImage struct {
	ID         int            `json:"id"`
	File       string         `json:"file_name"`
	Width      int            `json:"width"`
	Height     int            `json:"height"`
	Captured   string         `json:"date_captured"`
	Attributes cocoAttributes `json:"attributes"`
}

type cocoAttributes struct {
	ResultID string  `json:"resultId"`
	PartID   string  `json:"partId,omitempty"`
	Station  string  `json:"station"`
	Reason   Reason  `json:"reason"`
	Margin   float32 `json:"margin"`
	Model    string  `json:"model,omitempty"` // digest
	Operator string  `json:"operator,omitempty"`
	Vouched  bool    `json:"vouched"` // the labels are no model's
}

type cocoAnnotation struct {
	ID           int         `json:"id"`
	Image        int         `json:"image_id"`
	Category     int         `json:"category_id"`
	Box          [4]float64  `json:"bbox"` // x, y, width, height
	Area         float64     `json:"area"`
	Segmentation [][]float64 `json:"segmentation"`
	Crowd        int         `json:"iscrowd"`
	Score        *float32    `json:"score,omitempty"` // of the model, where it is the label's source
}

type cocoCategory struct {
	ID            int    `json:"id"`
	Name          string `json:"name"`
	SuperCategory string `json:"supercategory"`
}

// writeCOCO writes annotations/instances.json. Ids begin with 1.
func writeCOCO(out string, items []item, classes []string) error {
	file := cocoFile{
		Info: cocoInfo{
			Description: "Samples of Sightline", Version: "1",
			Created: items[len(items)-1].record.Time.UTC().Format(time.RFC3339), // of the newest
		},
		Licenses: []struct{}{}, Annotations: []cocoAnnotation{}, Categories: []cocoCategory{},
	}
	for i, name := range classes {
		category := cocoCategory{ID: i + 1, Name: name, SuperCategory: "defect"}
		file.Categories = append(file.Categories, category)
	}
	for i := range items {
		file.add(&items[i], i+1, classes)
	}
	b, err := json.MarshalIndent(&file, "", " ")
	if err != nil {
		return fmt.Errorf("encode annotations: %w", err)
	}
	in := filepath.Join(out, "annotations")
	if err := os.MkdirAll(in, 0o750); err != nil {
		return fmt.Errorf("create folder of annotations: %w", err)
	}
	return save(filepath.Join(in, "instances.json"), b)
}

func (c *cocoFile) add(t *item, id int, classes []string) {
	r := t.record
	about := cocoAttributes{
		ResultID: r.ResultID, PartID: r.PartID, Station: r.Station, Reason: r.Reason, Margin: r.Margin,
		Model: r.Model.Digest, Vouched: t.vouched,
	}
	if r.Override != nil {
		about.Operator = r.Override.Operator
	}
	c.Images = append(c.Images, cocoImage{
		ID: id, File: t.file, Width: t.width, Height: t.height, Captured: r.Time.UTC().Format(time.RFC3339),
		Attributes: about,
	})
	for _, l := range t.labels {
		box, ok := t.clip(l.Box)
		if !ok {
			continue
		}
		a := cocoAnnotation{
			ID: len(c.Annotations) + 1, Image: id, Category: slices.Index(classes, l.Class) + 1,
			Box:          [4]float64{box[0], box[1], box[2] - box[0], box[3] - box[1]},
			Segmentation: polygons(l.Outline),
		}
		a.Area = a.Box[2] * a.Box[3]
		if len(a.Segmentation) > 0 && l.Area > 0 {
			a.Area = float64(l.Area)
		}
		if !t.vouched {
			a.Score = &l.Score
		}
		c.Annotations = append(c.Annotations, a)
	}
}

// polygons are those of an outline: one of x, y in turn, or none.
func polygons(outline [][2]float32) [][]float64 {
	if len(outline) == 0 {
		return [][]float64{}
	}
	flat := make([]float64, 0, 2*len(outline))
	for _, p := range outline {
		flat = append(flat, float64(p[0]), float64(p[1]))
	}
	return [][]float64{flat}
}
