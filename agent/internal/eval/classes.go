package eval

import (
	"fmt"
	"slices"
	"strings"
)

// classOf finds a name of the data set among the bundle's. Case does not matter, nor whether words are parted
// by blanks, hyphens or underscores.
func classOf(name string, bundle []string) (int, bool) {
	if i := slices.Index(bundle, name); i >= 0 {
		return i, true
	}
	i := slices.IndexFunc(bundle, func(b string) bool { return plain(b) == plain(name) })
	return i, i >= 0
}

func plain(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r == '_' || r == '-' || r == ' '
	}), " ")
}

// unknownClass is the error for a labelled class that the bundle does not have.
func unknownClass(name string, theirs, bundle []string) error {
	return fmt.Errorf("%w: %q; the labels have %s; the bundle has %s; rename one of them, or evaluate a "+
		"bundle that was trained for it", ErrUnknownClass, name, listed(theirs), listed(bundle))
}

// listed shows the first names of what may be a long list.
func listed(names []string) string {
	const shown = 40
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}
