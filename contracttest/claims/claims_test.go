package claims_test

import (
	"slices"
	"testing"

	"parley/contracttest/claims"
)

// A claim is named once, says what it means, and needs claims that there are.
func TestAll(t *testing.T) {
	seen := map[claims.Claim]bool{}
	for _, d := range claims.All() {
		if seen[d.Claim] || d.Sentence == "" {
			t.Errorf("%q is named twice, or says nothing", d.Claim)
		}
		seen[d.Claim] = true
		for _, n := range d.Needs {
			if _, ok := claims.Find(string(n)); !ok || n == d.Claim {
				t.Errorf("%q needs %q", d.Claim, n)
			}
		}
	}
	if _, ok := claims.Find("nonsense"); ok {
		t.Error("there is a claim that there is not")
	}
}

func TestLacking(t *testing.T) {
	var nothing claims.Lacking
	if !nothing.Has(claims.Classes, claims.Start) {
		t.Error("nil claims not everything")
	}
	l := claims.Without(claims.Start, claims.Classes)
	if !l.Has(claims.Start, claims.Classes) || l.Has(claims.Start, claims.Send) {
		t.Error("it claims what it does not, or does not what it does")
	}
	if got := l.Missing(claims.Send, claims.Start, claims.TTL); !slices.Equal(got, []claims.Claim{claims.Send, claims.TTL}) {
		t.Errorf("it lacks %q", got)
	}
	if !claims.Send.IsRoute() || claims.Classes.IsRoute() || claims.Route("GET", "/health") != claims.Health {
		t.Error("a route is none, or something is a route")
	}
}
