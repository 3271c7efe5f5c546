package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

const (
	grayBins = 16
	barWidth = 40
)

// table prints what check --frame saw.
func (l *looked) table(w *tabwriter.Writer) {
	p := &l.Preview
	say := func(what, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	tiles := ""
	if p.Tiles > 0 {
		tiles = fmt.Sprintf(", in %d tiles", p.Tiles)
	}
	say("image", "%s, seen in %d×%d pixels%s", l.Image, p.Width, p.Height, tiles)
	switch {
	case p.Colour:
		say("black and white", "no: the model takes colours")
	case !p.Binary:
		say("black and white", "no: the model takes gray; binarize in the configuration makes it so")
	default:
		say("black and white", "%s: white from gray %d up, %.1f %% of the pixels are black", l.Binarize,
			p.Threshold, percent*p.Black)
	}
	l.alignment(say)
	say("inspected", "in %.1f ms on %s, recipe %s", l.Ms, l.Provider, l.Recipe)
	say("verdict", "%s", strings.TrimSpace(string(l.Verdict)+"  "+l.Reason+"  "+l.Detail))
	for _, d := range l.Defects {
		b := d.Box
		say("", "%s %.2f at %.0f, %.0f to %.0f, %.0f", d.Class, d.Score, b[0], b[1], b[2], b[3])
	}
	for i, name := range p.Pictures {
		say(map[bool]string{true: "pictures"}[i == 0], "%s", filepath.Join(l.Folder, name))
	}
	for _, line := range histogram(p) {
		_, _ = fmt.Fprintln(w, line)
	}
}

func (l *looked) alignment(say func(what, format string, args ...any)) {
	a := l.Preview.Alignment
	switch {
	case a == nil && l.Template == "":
		say("golden template", "none: this recipe takes none")
	case a == nil:
	case !a.Fits && a.Misfits > 0:
		say("golden template", "%s does not fit %d of %d tiles; of the first of them:", l.Template, a.Misfits,
			l.Preview.Tiles)
		say("", "%s", a.Why)
	case !a.Fits:
		say("golden template", "%s does not fit", l.Template)
		say("", "%s", a.Why)
	default:
		where := ""
		if t := a.Tile; t != nil {
			where = fmt.Sprintf(" each tile, worst the one at %d, %d,", t.X, t.Y)
		}
		say("golden template", "%s fits%s moved by %.1f, %.1f px", l.Template, cmp.Or(where, ","), a.ShiftX,
			a.ShiftY)
		say("", "residual %.2f %%, mismatch %.3f of what strangers have, spread %.1f px, tinted %.2f %%",
			percent*a.Residual, a.Mismatch, a.Spread, percent*a.Differing)
	}
}

// histogram draws the grays, sixteen to a line, and the threshold between them.
func histogram(p *wire.Preview) []string {
	if len(p.Grays) == 0 {
		return nil
	}
	per := len(p.Grays) / grayBins
	bins, most, all := make([]int, grayBins), 1, 0
	for gray, n := range p.Grays {
		bin := min(gray/max(per, 1), grayBins-1)
		bins[bin] += n
		most, all = max(most, bins[bin]), all+n
	}
	lines := []string{"", "gray     share of the pixels"}
	for i, n := range bins {
		bar := strings.Repeat("#", (n*barWidth+most-1)/most)
		share := percent * float64(n) / float64(max(all, 1))
		line := fmt.Sprintf("%3d–%-3d %5.1f %% %-*s", i*per, (i+1)*per-1, share, barWidth, bar)
		if p.Binary && p.Threshold/max(per, 1) == i {
			line += fmt.Sprintf(" ← white from %d up", p.Threshold)
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}
