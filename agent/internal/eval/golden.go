package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// How an image and its golden template are told apart where they lie beside each other, before the end, and
// the folders where they do not.
const (
	testedEnd       = "_test"
	goldenEnd       = "_temp"
	imagesFolder    = "images"
	templatesFolder = "templates"
)

// goldens finds the golden templates of images. It lists each folder once.
type goldens struct {
	roots   []string                       // one of which an image lies below
	folders map[string]map[string][]string // names of images by folder and stem
}

// findTemplates gives each sample its golden template, or fails with ErrNoTemplate.
func (d *Dataset) findTemplates(s *Source) error {
	g := goldens{
		roots:   []string{s.Dir, filepath.Dir(s.Annotations)},
		folders: map[string]map[string][]string{},
	}
	var first *Sample // that has none
	missing := 0
	for i := range d.Samples {
		var err error
		if d.Samples[i].Template, err = g.of(d.Samples[i].Path); err != nil {
			return err
		}
		if d.Samples[i].Template != "" {
			continue
		}
		if missing == 0 {
			first = &d.Samples[i]
		}
		missing++
	}
	if missing == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d images have none, which this inspection needs; for %s looked for %s, "+
		"ending in %s", ErrNoTemplate, missing, len(d.Samples), first.Name,
		strings.Join(g.places(first.Path), " and "), listed(imageEnds()))
}

// of is the path of an image's golden template; empty: there is none.
func (g *goldens) of(image string) (string, error) {
	for _, place := range g.places(image) {
		folder, stem := filepath.Split(place)
		found, err := g.list(folder)
		if err != nil {
			return "", err
		}
		switch names := found[stem]; len(names) {
		case 0:
		case 1:
			return folder + names[0], nil
		default:
			return "", fmt.Errorf("%w: which of %s in %s is that of %s? Keep one", ErrNoTemplate,
				listed(names), folder, image)
		}
	}
	return "", nil
}

// places are where the golden template of an image may lie, without the end of the file, the first that is
// there counts: beside X_test as X_temp; and on the same way below templates/ instead of images/, which lies
// in the data set's folder where no folder of the image's path is images/.
func (g *goldens) places(image string) []string {
	var places []string
	stem := strings.TrimSuffix(image, filepath.Ext(image))
	if id, ok := strings.CutSuffix(stem, testedEnd); ok {
		places = append(places, id+goldenEnd)
	}
	for _, root := range g.roots {
		below, err := filepath.Rel(root, stem)
		if err != nil || !filepath.IsLocal(below) {
			continue
		}
		way := strings.Split(below, string(filepath.Separator))
		if i := slices.Index(way[:len(way)-1], imagesFolder); i >= 0 {
			way[i] = templatesFolder
		} else {
			way = slices.Insert(way, 0, templatesFolder)
		}
		return append(places, filepath.Join(root, filepath.Join(way...)))
	}
	return places
}

// list are the images in a folder by stem, none where there is no such folder.
func (g *goldens) list(folder string) (map[string][]string, error) {
	if found, ok := g.folders[folder]; ok {
		return found, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoTemplate, err)
	}
	found := map[string][]string{}
	for _, e := range entries {
		if name := e.Name(); imageName(name) && isFile(filepath.Join(folder, name)) {
			stem := strings.TrimSuffix(name, filepath.Ext(name))
			found[stem] = append(found[stem], name)
		}
	}
	g.folders[folder] = found
	return found, nil
}

// goldenAmong are those of the files that are golden templates of others, with these.
func goldenAmong(files []string) map[string]string {
	tested := map[string]string{} // by what their template would be called, without its end
	for _, file := range files {
		if id, ok := strings.CutSuffix(strings.TrimSuffix(file, filepath.Ext(file)), testedEnd); ok {
			tested[id+goldenEnd] = file
		}
	}
	golden := map[string]string{}
	for _, file := range files {
		if of, ok := tested[strings.TrimSuffix(file, filepath.Ext(file))]; ok {
			golden[file] = of
		}
	}
	return golden
}

// imageName tells images by the ends that a folder camera takes, too.
func imageName(name string) bool {
	return !strings.HasPrefix(name, ".") &&
		slices.Contains(imageEnds(), strings.ToLower(filepath.Ext(name)))
}

func imageEnds() []string { return []string{".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"} }
