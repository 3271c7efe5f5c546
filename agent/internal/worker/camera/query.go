package camera

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is the part of a URI after its first question mark. It remembers which keys were asked for, so that
// any other can be refused with the list of those that exist.
type query struct {
	values url.Values
	known  []string
	err    error
}

// options splits what follows the scheme. The path is literal: nothing in it is decoded.
func options(rest string) (path string, q *query, err error) {
	path, raw, _ := strings.Cut(rest, "?")
	if strings.HasPrefix(path, "///") { // as URLs of files begin
		path = path[2:]
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", nil, fmt.Errorf("options %q: write them as key=value&key=value: %w", raw, err)
	}
	q = &query{values: values}
	for key, all := range values {
		if len(all) > 1 {
			q.fail(fmt.Errorf("%s is given %d times; keep one", key, len(all)))
		}
	}
	return path, q, nil
}

func (q *query) fail(err error) { q.err = errors.Join(q.err, err) }

func (q *query) text(key string) string {
	q.known = append(q.known, key)
	v := q.values.Get(key)
	q.values.Del(key)
	return v
}

// number is from 0 (also when absent) to most.
func (q *query) number(key string, most float64) float64 {
	text := q.text(key)
	if text == "" {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= most) {
		q.fail(fmt.Errorf("%s is %q; it must be a number from 0 to %v", key, text, most))
		return 0
	}
	return v
}

// whole is 0 when absent, else 1 to most.
func (q *query) whole(key string, most int) int {
	text := q.text(key)
	if text == "" {
		return 0
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 || v > most {
		q.fail(fmt.Errorf("%s is %q; it must be a whole number from 1 to %d", key, text, most))
		return 0
	}
	return v
}

// duration is from 0 to most, and false when absent.
func (q *query) duration(key string, most time.Duration) (time.Duration, bool) {
	text := q.text(key)
	if text == "" {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		q.fail(fmt.Errorf("%s is %q; it must be a duration from 0 to %v, such as 25ms", key, text, most))
		return 0, false
	}
	return d, true
}

func (q *query) yes(key string) bool {
	text := q.text(key)
	if text == "" {
		return false
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		q.fail(fmt.Errorf("%s is %q; it must be true or false", key, text))
	}
	return v
}

// done refuses the keys that nobody asked for.
func (q *query) done() error {
	for _, key := range slices.Sorted(maps.Keys(q.values)) {
		q.fail(fmt.Errorf("unknown option %q; there are %s", key, strings.Join(q.known, ", ")))
	}
	return q.err
}
