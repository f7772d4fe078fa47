package redis

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"parley/contracttest/redistest"
	"parley/store"
)

// A primary says what it is; a replica that stands in its place is an outage.
func TestPrimaries(t *testing.T) {
	primary, replica := redistest.Start(t), redistest.Start(t)
	at := func(url string) *Store {
		s, err := New(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	found, err := at(primary.URL()).Primaries(t.Context())
	if err != nil || len(found) != 1 || !found[0].RoleKnown || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(found[0].Version) {
		t.Errorf("a primary: %+v, %v", found, err)
	}
	replicate(t, admin(t, replica), primary)
	if found, err := at(replica.URL()).Primaries(t.Context()); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a replica: %+v, %v", found, err)
	}
	if found, err := at("redis://127.0.0.1:1").Primaries(t.Context()); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("nobody: %+v, %v", found, err)
	}
}

// A version is shown to people: nothing passes for one that a server could have them read.
func TestVersionOf(t *testing.T) {
	for said, want := range map[string]string{
		"7.0.15": "7.0.15", "255.255.255": "255.255.255", "7.4.0-v1": "7.4.0-v1", "": "", "7.0\n\x1b[31m": "", "see http://x": "", strings.Repeat("7", 33): "",
	} {
		if got := versionOf(said); got != want {
			t.Errorf("%q is shown as %q", said, got)
		}
	}
}
