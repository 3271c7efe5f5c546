package sim

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const (
	scheme      = "sim"
	defaultRate = 5 // boards a second
	maxRate     = 1000
	maxURI      = 1024
	allowedKeys = "seed, defects, clean, rate, width, height"
)

// ParseURI reads a camera's URI, `sim:?seed=7&defects=1.5&clean=0.5&rate=5&width=640&height=640`; each key
// may be left out. rate is boards a second, more than 0 and at most 1000. Every fault is reported at once.
func ParseURI(uri string) (o Options, rate float64, err error) {
	o, rate = DefaultOptions(), defaultRate
	query, err := queryOf(uri)
	if err != nil {
		return Options{}, 0, err
	}
	var errs []error
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if seen[key] {
			errs = append(errs, fmt.Errorf("%q is given twice; keep one", key))
		}
		seen[key] = true
		errs = append(errs, set(&o, &rate, key, value))
	}
	if !(rate > 0 && rate <= maxRate) {
		errs = append(errs,
			fmt.Errorf("rate is %v; it must be more than 0 and at most %d boards a second", rate, maxRate))
	}
	if err := errors.Join(append(errs, o.Validate())...); err != nil {
		return Options{}, 0, fmt.Errorf("simulated camera: %w", err)
	}
	return o, rate, nil
}

func queryOf(uri string) (string, error) {
	if len(uri) > maxURI {
		return "", fmt.Errorf("simulated camera: its URI has %d bytes; at most %d are read", len(uri), maxURI)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("simulated camera: parse URI: %w", err)
	}
	if u.Scheme != scheme || u.Opaque+u.Host+u.Path+u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("simulated camera: %q must be sim: or sim:?key=value&…, with the keys %s",
			uri, allowedKeys)
	}
	return u.RawQuery, nil
}

// set stores one value; keys and values are numbers and words that need no escapes.
func set(o *Options, rate *float64, key, value string) (err error) {
	switch key {
	case "seed":
		o.Seed, err = strconv.ParseUint(value, 10, 64)
	case "width":
		o.Width, err = strconv.Atoi(value)
	case "height":
		o.Height, err = strconv.Atoi(value)
	case "defects":
		o.Defects, err = strconv.ParseFloat(value, 64)
	case "clean":
		o.Clean, err = strconv.ParseFloat(value, 64)
	case "rate":
		*rate, err = strconv.ParseFloat(value, 64)
	default:
		return fmt.Errorf("unknown key %q; the keys are %s", key, allowedKeys)
	}
	if err != nil {
		return fmt.Errorf("%s is %q; it must be a number: %w", key, value, errors.Unwrap(err))
	}
	return nil
}
