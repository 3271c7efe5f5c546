package sim

import (
	"fmt"
	"strconv"
)

// Keys are the names that Set takes.
func Keys() []string { return []string{"seed", "product", "defects", "clean", "width", "height"} }

// Set reads one option from its text. Validate checks its range afterwards.
func (o *Options) Set(key, text string) (err error) {
	kind, example := "a whole number", "640"
	switch key {
	case "seed":
		example = "7"
		o.Seed, err = strconv.ParseUint(text, 10, 64)
	case "product":
		example = "1"
		o.Product, err = strconv.ParseUint(text, 10, 32)
	case "defects":
		kind, example = "a number", "1.5"
		o.Defects, err = strconv.ParseFloat(text, 64)
	case "clean":
		kind, example = "a number", "0.5"
		o.Clean, err = strconv.ParseFloat(text, 64)
	case "width":
		o.Width, err = strconv.Atoi(text)
	case "height":
		o.Height, err = strconv.Atoi(text)
	default:
		return fmt.Errorf("%q is no option of a simulated board; there are %v", key, Keys())
	}
	if err != nil {
		return fmt.Errorf("%s is %q; it must be %s, such as %s", key, text, kind, example)
	}
	return nil
}
