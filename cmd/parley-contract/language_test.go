package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/contracttest/claims"
	"parley/contracttest/redistest"
	"parley/contracttest/report"
)

const (
	smallServer  = "../../contracttest/testdata/server.mjs"
	smallProfile = "../../contracttest/testdata/server.yaml"
)

// node is a Node that .ci/node.sh has found. Without one the test is skipped, which
// REQUIRE_NODE forbids.
func node(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PARLEY_NODE")
	if path != "" {
		return path
	}
	if required, err := strconv.ParseBool(os.Getenv("REQUIRE_NODE")); required || err != nil && os.Getenv("REQUIRE_NODE") != "" {
		t.Fatal("REQUIRE_NODE is set, and PARLEY_NODE is not: evaluate .ci/node.sh")
	}
	t.Skip("PARLEY_NODE is not set: make contract sets it")
	return ""
}

// A server in another language, of which the suite knows no line, has three defects:
// their promises are named, and nothing else is found. Without them nothing is.
func TestServerInAnotherLanguage(t *testing.T) {
	program := node(t)
	redistest.Start(t) // skips, or fails, where there is none
	for _, c := range []struct {
		defects string
		broken  []string // promises
	}{
		{"", nil},
		{"status", []string{string(claims.Told)}},
		{"lost", []string{string(claims.Kept)}},
		{"endless", []string{string(claims.BoundedStore)}},
		{"status,lost,endless", []string{string(claims.BoundedStore), string(claims.Kept), string(claims.Told)}},
	} {
		t.Run("defects="+c.defects, func(t *testing.T) {
			t.Setenv("DEFECTS", c.defects)
			dir := t.TempDir()
			args := []string{"run", "--profile", smallProfile, "--report", dir, "--parallel", "4"}
			// A fault that is told at once, one that is not, one of writes alone, one that is
			// none, one of the agent, and the rules of a server that is well.
			for _, id := range []string{"refused/*", "lost-request/*", "full/*", "slow/*", "agent-500/*", "shape.*", "restart.*", "instances.*"} {
				args = append(args, "--only", id)
			}
			got := command(t, append(args, "--", program, smallServer)...)
			if want := min(len(c.broken), 1); got.status != want {
				t.Fatalf("status %d, want %d\n%s", got.status, want, got.all())
			}
			text, err := os.ReadFile(filepath.Join(dir, "contract.json"))
			if err != nil {
				t.Fatal(err)
			}
			var r struct {
				Broken  map[string]int
				Results []struct {
					ID, Came string
					Outcome  report.Outcome
					Broken   []string
				}
			}
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			tried := 0
			for _, x := range r.Results {
				if x.Outcome != report.Skipped {
					tried++
				}
				for _, p := range x.Broken {
					if !slices.Contains(c.broken, p) {
						t.Errorf("%s is said to break %q: %s", x.ID, p, x.Came)
					}
				}
				if row, _, isCell := strings.Cut(x.ID, "/"); x.Outcome == report.Failed && (!isCell || !slices.Contains([]string{"refused", "lost-request", "full"}, row)) {
					t.Errorf("%s fails: %s", x.ID, x.Came)
				}
			}
			for _, p := range c.broken {
				if r.Broken[p] == 0 {
					t.Errorf("%s is not said to be broken: %v", p, r.Broken)
				}
			}
			if tried < 40 {
				t.Errorf("only %d rules were tried", tried)
			}
		})
	}
}
