package main

import (
	"fmt"
	"slices"
	"strings"
)

// violation is one import that a rule forbids; path leads from the package to it.
type violation struct {
	rule string
	path []string
	why  string
}

func (v violation) String() string {
	text := strings.Join(v.path, " → ") + ": " + v.rule
	if v.why != "" {
		text += " (" + v.why + ")"
	}
	return text
}

// judge finds every violation, rule by rule and package by package.
func judge(g graph, rules []rule) []violation {
	var found []violation
	for i := range rules {
		r := &rules[i]
		for _, pkg := range g.own() {
			if len(r.layers) > 0 {
				found = append(found, r.judgeLayer(g, pkg)...)
			} else if matchAny(r.from, pkg) && !matchAny(r.except, pkg) {
				found = append(found, r.judgeImports(g, pkg)...)
			}
		}
	}
	return found
}

func (r *rule) judgeImports(g graph, pkg string) []violation {
	var found []violation
	for _, path := range r.reached(g, pkg) {
		last := path[len(path)-1]
		if matchAny(r.never, last) && !matchAny(r.allow, last) {
			found = append(found, violation{rule: r.name, path: path})
		}
	}
	return found
}

// reached lists the chains of imports that the rule looks at, in order.
func (r *rule) reached(g graph, pkg string) [][]string {
	var paths [][]string
	for _, path := range g.paths(pkg) {
		if r.deep || len(path) == 2 {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, slices.Compare)
	return paths
}

// judgeLayer holds a package of the layers' tree against them. A package of that tree without a layer is
// a violation too, or a new package would be judged by nothing.
func (r *rule) judgeLayer(g graph, pkg string) []violation {
	own, placed := r.place(pkg)
	if !placed {
		if !r.covers(pkg) {
			return nil
		}
		const why = "give it a layer in scripts/archtest/rules.go"
		return []violation{{rule: r.name, path: []string{pkg}, why: why}}
	}
	var found []violation
	for _, imported := range g[pkg] {
		other, placed := r.place(imported)
		if !placed || other.layer < own.layer || other.pattern == own.pattern {
			continue
		}
		why := fmt.Sprintf("layer %d may not import layer %d", own.layer, other.layer)
		found = append(found, violation{rule: r.name, path: []string{pkg, imported}, why: why})
	}
	return found
}

type position struct {
	layer   int
	pattern string
}

// place finds a package's layer by the longest pattern that matches it.
func (r *rule) place(pkg string) (position, bool) {
	best := position{layer: -1}
	for layer, patterns := range r.layers {
		for _, pattern := range patterns {
			if match(pattern, pkg) && len(pattern) > len(best.pattern) {
				best = position{layer: layer, pattern: pattern}
			}
		}
	}
	return best, best.layer >= 0
}

// covers reports whether the package lies in a folder that the layers are about: the first elements of
// their highest layer, which holds the programs.
func (r *rule) covers(pkg string) bool {
	top, _, _ := strings.Cut(r.layers[len(r.layers)-1][0], "/")
	first, _, _ := strings.Cut(pkg, "/")
	return first == top
}

func matchAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, pkg) })
}

func match(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	folder, deep := strings.CutSuffix(pattern, "/...")
	return pkg == folder || deep && strings.HasPrefix(pkg, folder+"/")
}
