package server

import (
	"slices"
	"strings"
	"testing"
)

// What a caller, and a user, is told of a failure is true of its class: a phrase that
// claims something is in the texts of the classes of which it is true, and of no others.
func TestTextsFitTheirClass(t *testing.T) {
	only := map[string][]string{ // by phrase; all that are listed have it
		"conversations cannot be reached": {
			"store_unreachable", "store_timeout", "store_pool_exhausted", "store_auth", "store_credentials", "store_misconfigured", "store_not_ready", "store_protocol",
		},
		"agent cannot be reached":     {"upstream_unreachable"},
		"no room for more":            {"store_full"},
		"deleting still work":         {"store_full"},
		"can be saved right now":      {"store_full", "store_readonly"},
		"saves nothing":               {"store_readonly"},
		"answer in time":              {"store_timeout", "upstream_timeout"},
		"was lost while it was being": {"store_lost"},
		"not understood":              {"store_protocol", "upstream_protocol"},
		"refused the request":         {"store_rejected"},
		"refused to be asked":         {"upstream_rejected"},
		"failed to answer":            {"upstream_error"},
		"no more requests right now":  {"upstream_throttled"},
		"was not asked":               {"token_unavailable"},
		"ended too early":             {"upstream_interrupted"},
		"cannot be read":              {"store_corrupt"},
		"instance is going away":      {"shutting_down"},
		"is gone":                     {"instance_lost"},
	}
	for f := range Failures() {
		texts := f.Title + " " + f.Detail + " " + f.Message
		for phrase, classes := range only {
			if says, fits := strings.Contains(texts, phrase), slices.Contains(classes, f.Class); says != fits {
				t.Errorf("%s says %q: %t, and should: %t\n%s", f.Class, phrase, says, fits, texts)
			}
		}
		repeat := strings.Contains(f.Detail, "Repeat the request")
		if repeat != f.Retryable {
			t.Errorf("%s advises to repeat the request: %t, and that may help: %t\n%s", f.Class, repeat, f.Retryable, f.Detail)
		}
		about := strings.ToLower(f.Title + " " + f.Detail)
		if f.origin == ofStore && strings.Contains(about, "agent") || f.origin == ofAgent && (strings.Contains(about, "store") || strings.Contains(about, "conversation")) {
			t.Errorf("%s blames the other side: %s", f.Class, about)
		}
		if f.origin == ofStore && !strings.Contains(about, "conversation") || f.origin == ofAgent && !strings.Contains(about, "agent") {
			t.Errorf("%s does not say which side broke: %s", f.Class, about)
		}
	}
}
