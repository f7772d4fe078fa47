package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/telemetry/provider"
)

// misnamed warns of variables that are set and do nothing: those that are close to
// a name that means something, as after a typing error, and those of the legacy
// service that Parley does not serve. Every other variable is somebody else's.
func misnamed(env environment) []string {
	known := provider.Variables()
	for _, s := range settings() {
		known = append(known, s.name)
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if slices.Contains(known, name) {
			continue
		}
		if why, ok := unserved()[name]; ok {
			warnings = append(warnings, fmt.Sprintf("%s is set and not used: %s", name, why))
		} else if meant := nearest(name, known); meant != "" {
			warnings = append(warnings, fmt.Sprintf("%s is set and not used; is %s meant?", name, meant))
		}
	}
	return warnings
}

// unserved are settings of the legacy service that have no counterpart, with the
// reason. LLM_PROVIDER is one of the settings: it may ask for what is not there.
func unserved() map[string]string {
	const why = "Parley talks to Copilot Studio only"
	return map[string]string{"OPENAI_API_KEY": why, "OPENAI_MODEL": why, "OPENAI_BASE_URL": why}
}

// nearest gives the known name that another was likely meant to be, "" for none.
// Short names are close to too many others: of those only the case may differ.
func nearest(name string, known []string) string {
	best, least := "", 0
	for _, k := range known {
		d, allowed := distance(strings.ToUpper(name), k), len(k)/8+1
		if len(k) < 8 {
			allowed = 0
		}
		if d <= allowed && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the characters that are missing, extra, other or swapped with
// their neighbour (optimal string alignment).
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[(i-1)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
