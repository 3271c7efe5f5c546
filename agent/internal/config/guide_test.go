package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/sightline-edge/sightline/agent/internal/config"
)

// The guide calls its example everything: it is valid where its files are, and leaves out no key.
func TestTheGuidesExampleIsValidAndNamesEveryKey(t *testing.T) {
	page, err := os.ReadFile("../../../docs/configuration.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(page), "## Everything\n\n```yaml\n")
	require.True(t, found)
	example, _, found = strings.Cut(example, "```\n")
	require.True(t, found)

	var values any
	require.NoError(t, yaml.Unmarshal([]byte(example), &values))
	require.Empty(t, absent(reflect.TypeFor[config.Config](), []any{values}, ""))

	secrets := regexp.MustCompile(`/etc/sightline/([a-z0-9.-]+)`)
	dir := t.TempDir()
	for _, m := range secrets.FindAllStringSubmatch(example, -1) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, m[1]), nil, 0o600))
	}
	_, err = config.Parse([]byte(secrets.ReplaceAllString(example, dir+"/$1")))
	require.NoError(t, err)
}

// absent are the keys of a type that none of the values has.
func absent(typed reflect.Type, values []any, at string) []string {
	switch typed.Kind() {
	case reflect.Pointer:
		return absent(typed.Elem(), values, at)
	case reflect.Slice, reflect.Array, reflect.Map:
		var items []any
		for _, v := range values {
			items = append(items, inside(v)...)
		}
		return absent(typed.Elem(), items, at)
	case reflect.Struct:
		var missing []string
		for field := range typed.Fields() {
			key := field.Tag.Get("yaml")
			var given []any
			for _, v := range values {
				if m, ok := v.(map[string]any); ok && m[key] != nil {
					given = append(given, m[key])
				}
			}
			if len(given) == 0 {
				missing = append(missing, at+key)
				continue
			}
			missing = append(missing, absent(field.Type, given, at+key+".")...)
		}
		return missing
	default:
		return nil
	}
}

// inside are the items of a list, or the values of a map.
func inside(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	var items []any
	if m, ok := v.(map[string]any); ok {
		for _, item := range m {
			items = append(items, item)
		}
	}
	return items
}
