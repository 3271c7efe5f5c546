package decode

import (
	"fmt"
	"strings"
)

// Shape writes dimensions, with ? for one without a fixed size.
func Shape(dims []int64) string {
	return strings.ReplaceAll(fmt.Sprint(dims), "-1", "?")
}
