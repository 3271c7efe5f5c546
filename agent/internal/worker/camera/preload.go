package camera

import (
	"fmt"
	"io"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// preloaded shows decoded images without a copy. Their memory is never given back: frames show it, and OpenCV
// may keep pointers to it.
type preloaded struct {
	kept []*frame.Frame
	next int
	loop bool
}

// preload decodes all images of a source now, within the bound of boards kept in memory.
func preload(from *images) (source, error) {
	p := &preloaded{loop: from.loop}
	from.loop = false
	total := 0
	for len(from.names) > 0 {
		f := &frame.Frame{}
		if err := from.Read(f); err != nil {
			return nil, fmt.Errorf("preload: %w", err)
		}
		total += len(f.Pix)
		if f.Template != nil {
			total += len(f.Template.Pix)
		}
		if total > maxPrerenderBytes {
			return nil, fmt.Errorf("preload needs more than %d bytes: name fewer images with glob",
				maxPrerenderBytes)
		}
		p.kept = append(p.kept, f)
	}
	return p, nil
}

// Read shows the next image.
func (p *preloaded) Read(f *frame.Frame) error {
	if p.next == len(p.kept) {
		if !p.loop {
			return io.EOF
		}
		p.next = 0
	}
	k := p.kept[p.next]
	p.next++
	f.Source = k.Source
	if t := k.Template; t != nil {
		if err := f.Beside().Show(t.Pix, t.Width, t.Height, t.Channels); err != nil {
			return err
		}
	}
	return f.Show(k.Pix, k.Width, k.Height, k.Channels)
}

// Close does nothing.
func (p *preloaded) Close() error { return nil }
