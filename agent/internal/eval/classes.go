package eval

import (
	"fmt"
	"slices"
	"strings"
)

// kinds are the classes that labels are mapped to.
type kinds struct {
	bundle []string // in the order of the model's outputs
	one    bool     // kinds of defects are not told apart: whatever is labelled is of class 0
}

// named is the class of a name of the data set, whose names are theirs. Case does not matter, nor whether
// words are parted by blanks, hyphens, underscores or nothing; a name as the bundle writes it goes first.
func (k *kinds) named(name string, theirs []string) (int, error) {
	if k.one {
		return 0, nil
	}
	if i := slices.Index(k.bundle, name); i >= 0 {
		return i, nil
	}
	at := -1
	for i, b := range k.bundle {
		if plain(b) != plain(name) {
			continue
		}
		if at >= 0 {
			return 0, fmt.Errorf("%w: %q may be %q or %q: write it as the bundle does", ErrUnknownClass, name,
				k.bundle[at], b)
		}
		at = i
	}
	if at < 0 {
		return 0, fmt.Errorf("%w: %q; the labels have %s; the bundle has %s; rename one of them, or "+
			"evaluate a bundle that was trained for it", ErrUnknownClass, name, listed(theirs),
			listed(k.bundle))
	}
	return at, nil
}

// numbered is the class of a number, of which the first is 0 or 1.
func (k *kinds) numbered(number, first int) (int, error) {
	if number < first {
		return 0, fmt.Errorf("%w: class %d, but classes count from %d", ErrUnknownClass, number, first)
	}
	if k.one {
		return 0, nil
	}
	if number-first >= len(k.bundle) {
		return 0, fmt.Errorf("%w: class %d, but the bundle has classes %d to %d", ErrUnknownClass, number,
			first, len(k.bundle)-1+first)
	}
	return number - first, nil
}

func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

// listed shows the first names of what may be a long list.
func listed(names []string) string {
	const shown = 40
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}
