package matrix

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An attack is named once, says what must hold, and is tried somewhere.
func TestAttacks(t *testing.T) {
	seen := map[string]bool{}
	name := regexp.MustCompile(`^[a-z0-9-]+$`)
	for _, a := range Attacks() {
		if seen[a.ID] || !name.MatchString(a.ID) || a.About == "" || a.Promise == "" {
			t.Errorf("attack %q: its name is taken or not one, or it says nothing", a.ID)
		}
		seen[a.ID] = true
		if !a.OnRedis && !a.InMemory || a.run == nil || a.PeakMB == 0 || len(a.Settings)%2 != 0 || len(a.Unbound)%2 != 0 {
			t.Errorf("%s: it is tried nowhere, or without bounds", a.ID)
		}
	}
	for _, a := range Together() {
		if a.Settings != nil {
			t.Errorf("%s: it needs settings of its own", a.ID)
		}
	}
}

// kept is an entry of which every promise holds.
func kept() AttackEntry {
	return AttackEntry{
		ID: "a", About: "does", Promise: "holds", Store: "redis", Answers: map[string]int{"200": 9}, Attacker: map[string]int{"429 overloaded": 1},
		Calm: 2 * time.Millisecond, Under: 20 * time.Millisecond, Machine: 8 * time.Millisecond, Allowed: 2, PeakMB: 100, LimitMB: 100,
	}
}

// Whatever another tenant must not notice is a broken promise of its own.
func TestJudge(t *testing.T) {
	for want, change := range map[string]func(e *AttackEntry) (breaker bool){
		"":                                func(*AttackEntry) bool { return false },
		`got "503 store_timeout" 2 times`: func(e *AttackEntry) bool { e.Answers["503 store_timeout"] = 2; return false },
		"got no answer":                   func(e *AttackEntry) bool { delete(e.Answers, "200"); return false },
		"Redis is blamed":                 func(e *AttackEntry) bool { e.Attacker["503 store_timeout"] = 1; return false },
		"breaker is open":                 func(*AttackEntry) bool { return true },
		"p99 is 621ms, allowed are 620ms": func(e *AttackEntry) bool {
			e.Machine, e.Under = 308*time.Millisecond, 621*time.Millisecond
			return false
		},
		"the probe of operators took 20s, allowed are 516ms": func(e *AttackEntry) bool {
			e.yardstick(8*time.Millisecond, 20*time.Second)
			return false
		},
		"p99 is 1.5s, allowed are 1.004s": func(e *AttackEntry) bool {
			e.yardstick(8*time.Millisecond, 510*time.Millisecond) // of which soon counts
			e.Under = 1500 * time.Millisecond
			return false
		},
		"had 101 MiB, allowed are 100": func(e *AttackEntry) bool { e.PeakMB = 101; return false },
	} {
		e := kept()
		e.judge(change(&e))
		if got := strings.Join(e.Broken, "\n"); want == "" && got != "" || !strings.Contains(got, want) || len(e.Broken) > 1 {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

// Whoever reads the chapter learns what another tenant got, and what was broken.
func TestCallersReport(t *testing.T) {
	broken := kept()
	broken.ID, broken.Store, broken.LimitMB = "b", "memory", 0
	broken.Broken = []string{"it <failed>"}
	r := &CallersReport{Attacks: []AttackEntry{kept(), broken}}
	dir := t.TempDir()
	if err := r.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	for file, wanted := range map[string][]string{
		"callers.txt": {
			"a: One tenant does.", "ok    redis", "200 × 9", "p99 before 2 ms, during 20 ms, which is 10 ×, the machine was late by 8 ms", "memory 100 MiB, allowed 100 MiB",
			"attacker got 429 overloaded 1 ×", "FAILED: b/memory", "it <failed>", "2 rules: 1 failed, 1 passed",
		},
		"callers.html": {"it &lt;failed&gt;", `<td class="failed">`},
		"callers.json": {`"id": "b/memory"`},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Error(err)
		}
		for _, want := range wanted {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", file, want, text)
			}
		}
	}
}

// Of a hundred, all but one are within it.
func TestP99(t *testing.T) {
	var all []time.Duration
	for n := range 100 {
		all = append(all, time.Duration(100-n))
	}
	if p99(all) != 99 || p99(all[:1]) != 100 || p99(nil) != 0 {
		t.Errorf("%d, %d, %d", p99(all), p99(all[:1]), p99(nil))
	}
}
