package matrix

import (
	"slices"
	"testing"

	"parley/contracttest/claims"
)

// A target is tried with what it claims, and with all else if it claims everything.
func TestColumnsOfATarget(t *testing.T) {
	row := Rows()[0]
	columns := func(t Target) (names []string) {
		for _, c := range row.Plan(t, false) {
			names = append(names, c.Column)
		}
		return names
	}
	all, few := Target{}, Target{Lacks: claims.Without(claims.Start, claims.Send, claims.Read)}
	if got := columns(all); len(got) != 15 || !slices.Contains(got, healthName) {
		t.Errorf("of everything: %q", got)
	}
	want := []string{"POST /api/chat/start", "POST /api/chat/send", "POST /api/chat/start (answer)", "POST /api/chat/send (answer)", "GET /api/chat/conversations/{id}"}
	if got := columns(few); !slices.Equal(got, want) {
		t.Errorf("of little: %q", got)
	}
	few.Columns = func(name string) bool { return name == want[1] }
	if got := columns(few); !slices.Equal(got, want[1:2]) {
		t.Errorf("of what was chosen: %q", got)
	}
	if got := (Target{Lacks: claims.Without(claims.Start)}); len(columns(got)) != 0 {
		t.Error("nothing can be looked after in a service that takes no message, and yet it is tried")
	}
}

// Whose failures have no class is held to the status.
func TestSeen(t *testing.T) {
	e := Expect{"store_timeout", "store_unreachable", "", disconnected}
	if got := (Target{}).seen(e); !slices.Equal(got, e) {
		t.Errorf("with classes: %q", got)
	}
	if got, want := (Target{Lacks: claims.Without()}).seen(e), (Expect{"status 503", "", disconnected}); !slices.Equal(got, want) {
		t.Errorf("without: %q, want %q", got, want)
	}
	if got := (Target{Lacks: claims.Without()}).seen(Expect{"upstream_timeout", "upstream_error"}); !slices.Equal(got, Expect{"status 504", "status 502"}) {
		t.Errorf("of the agent: %q", got)
	}
}

// A row says which claims it needs.
func TestUnclaimed(t *testing.T) {
	needs := map[string][]claims.Claim{}
	nothing := Target{Lacks: claims.Without()}
	for _, r := range Rows() {
		for _, secure := range r.Modes() {
			needs[r.Name(secure)] = r.Unclaimed(nothing, secure)
			if missing := r.Unclaimed(Target{}, secure); missing != nil {
				t.Errorf("%s lacks %q of everything", r.ID, missing)
			}
		}
	}
	for name, want := range map[string][]claims.Claim{
		"refused": nil, "refused-tls": {claims.RedisTLS}, "refused-at-start": {claims.ColdStart}, "corrupt": {claims.KeyLayout}, "wrong-shape-ok": {claims.Scripts},
	} {
		if got := needs[name]; !slices.Equal(got, want) {
			t.Errorf("%s needs %q, want %q", name, got, want)
		}
	}
}
