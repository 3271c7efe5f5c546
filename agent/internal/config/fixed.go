package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Fixed lists the keys, by their paths in the file, whose values differ between two configurations and that a
// running agent cannot change. What it can change is how each station inspects and judges.
func Fixed(was, next *Config) []string {
	a, b := *was, *next
	a.Stations, b.Stations = blanked(was.Stations), blanked(next.Stations)
	return differ("", reflect.ValueOf(a), reflect.ValueOf(b))
}

// blanked are stations without what may change.
func blanked(stations []Station) []Station {
	all := slices.Clone(stations)
	for i := range all {
		s := &all[i]
		s.Bundle, s.Recipe, s.Method, s.Template, s.Binarize, s.Provider = "", "", "", "", "", ""
		s.Compare, s.Tiles, s.Verdict, s.Shadow = Compare{}, Tiles{}, Verdict{}, nil
	}
	return all
}

func differ(path string, a, b reflect.Value) (paths []string) {
	switch {
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			key := a.Type().Field(i).Tag.Get("yaml")
			paths = append(paths, differ(strings.TrimPrefix(path+"."+key, "."), a.Field(i), b.Field(i))...)
		}
	case a.Kind() == reflect.Slice && a.Len() == b.Len():
		for i := range a.Len() {
			paths = append(paths, differ(fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i))...)
		}
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		paths = append(paths, path)
	}
	return paths
}
