package profiles_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/contracttest/claims"
	"parley/contracttest/profiles"
)

// The profiles in the program can be read, and are named as their files.
func TestOpen(t *testing.T) {
	if names := profiles.Names(); !slices.Equal(names, []string{"parley", "predecessor"}) {
		t.Fatalf("the program has %q", names)
	}
	for _, name := range profiles.Names() {
		p, err := profiles.Open(name)
		if err != nil || p.Name != name || p.About == "" {
			t.Errorf("%s: %+v %v", name, p, err)
		}
	}
	p, err := profiles.Open("parley")
	if err != nil || !p.Lacks.Has(claims.Classes, claims.Stop, claims.Spans) {
		t.Errorf("Parley claims not everything: %v", err)
	}
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte("name: mine\nclaims: [GET /health]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err = profiles.Open(path)
	if err != nil || p.Name != "mine" || !p.Lacks.Has(claims.Health) || p.Lacks.Has(claims.Start) || p.Start.Ready != "/health" {
		t.Errorf("by its path: %+v %v", p, err)
	}
	if _, err := profiles.Open("nowhere"); err == nil || !strings.Contains(err.Error(), "parley, predecessor") {
		t.Errorf("one that there is not: %v", err)
	}
}

// Whoever prints Parley's profile finds every value that a template can name.
func TestValuesAreTold(t *testing.T) {
	text, err := profiles.Text("parley")
	if err != nil {
		t.Fatal(err)
	}
	for f := range reflect.TypeFor[profiles.Values]().Fields() {
		if !strings.Contains(text, "{{."+f.Name+"}}") {
			t.Errorf("parley.yaml does not tell of %s", f.Name)
		}
	}
}

// The profile in the README of the command can be read, as whoever copies it expects.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../cmd/parley-contract/README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for rest := string(readme); ; {
		_, after, more := strings.Cut(rest, "```yaml\n")
		if !more {
			break
		}
		text, next, _ := strings.Cut(after, "```")
		if rest = next; strings.HasPrefix(text, "name: mine") {
			found++
			if _, err := profiles.Parse("README.md", []byte(text)); err != nil {
				t.Error(err)
			}
		}
	}
	if found != 1 {
		t.Errorf("the README has %d profiles", found)
	}
}

// Whatever is wrong is said with its line.
func TestFaults(t *testing.T) {
	const good = "name: x\nclaims: [GET /health]\n"
	for text, want := range map[string]string{
		good:                          "",
		"":                            "x.yaml: EOF",
		"{":                           "line 1: did not find expected node content",
		"name: x\n":                   "x.yaml:1: claims is missing",
		"claims: all\n":               "x.yaml:1: name is missing",
		good + "port: 1\n":            "line 3: field port not found (no such key)",
		good + "start:\n  rady: /x\n": "line 4: field rady not found (no such key)",
		good + "name: y\n":            "mapping key \"name\" already defined at line 1",
		good + "---\n" + good:         "there is more than one document",
		good + "lacks: [ttl]\n":       "x.yaml:3: lacks is for servers that claim all",
		"name: x\nclaims:\n- GET /health\n- telepathy\n":      "x.yaml:4: there is no claim \"telepathy\"",
		"name: x\nclaims:\n- GET /health\n- GET /health\n":    "x.yaml:4: \"GET /health\" is there twice",
		"name: x\nclaims: some\n":                             "x.yaml:2: claims is not a list",
		"name: x\nclaims: [retry-after]\n":                    "x.yaml:2: \"retry-after\" is claimed, and means nothing without \"classes\"",
		"name: x\nclaims: all\nlacks: [classes]\n":            "x.yaml:3: \"retry-after\" is claimed, and means nothing without [\"classes\"]",
		good + "start:\n  ready: health\n":                    "x.yaml:4: start.ready is not a path",
		good + "start:\n  env: [A]\n":                         "x.yaml:4: start.env is not a mapping",
		good + "start:\n  env:\n    A B: x\n":                 "x.yaml:5: \"A B\" is not the name of an environment variable",
		good + "start:\n  env:\n    A: [x]\n":                 "x.yaml:5: A is not a text",
		good + "start:\n  env:\n    A: \"{{.Nothing}}\"\n":    "x.yaml:5: A: it names a value that there is not",
		good + "start:\n  env:\n    A: \"{{.Port\"\n":         "x.yaml:5: A: {{.Port}} is neither a value",
		good + "start:\n  env:\n    A: \"{{range .Port}}\"\n": "x.yaml:5: A: {{range .Port}} is neither a value",
		good + "start:\n  env:\n    A: \"{{if .Port}}x\"\n":   "x.yaml:5: A: it is not a template",
		good + "bounds:\n  answer: soon\n":                    "x.yaml:4: bounds.answer is not a time",
		good + "bounds:\n  answer: 250ms\n  at-once: -1s\n":   "x.yaml:5: bounds.at-once is not a time",
		good + "bounds:\n  lease: 24h\n":                      "x.yaml:4: bounds.lease is not a time",
		good + "about: " + strings.Repeat("x", 64<<10) + "\n": "it is larger than 65536 bytes",
	} {
		_, err := profiles.Parse("x.yaml", []byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q:\n\t%v\n\twant %q", text, err, want)
		}
	}
	// All faults at once.
	_, err := profiles.Parse("x.yaml", []byte("claims: [a, b]\nbounds: {answer: x}\n"))
	if err == nil || strings.Count(err.Error(), "x.yaml:") != 5 {
		t.Errorf("not all that is wrong: %v", err)
	}
}

// Variables get the values of one start, and those that come to nothing are not set.
func TestEnv(t *testing.T) {
	p, err := profiles.Parse("x", []byte(`
name: x
claims: all
lacks: [ttl]
start:
  env: {PORT: "{{.Port}}", URL: "{{if .RedisURL}}{{.RedisURL}}/0{{end}}", MODE: "{{ if .RedisURL }}redis{{ else }}memory{{ end }}"}
  redis: {PORT: "1{{- .Port -}}"}
bounds: {answer: 1s}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Start.Env.Fill(profiles.Values{Port: "80"}), []string{"MODE=memory", "PORT=80"}; !slices.Equal(got, want) {
		t.Errorf("in memory: %q, want %q", got, want)
	}
	got := p.Start.Env.Fill(profiles.Values{Port: "80", RedisURL: "redis://h"}, p.Start.Redis)
	if want := []string{"MODE=redis", "PORT=180", "URL=redis://h/0"}; !slices.Equal(got, want) {
		t.Errorf("on Redis: %q, want %q", got, want)
	}
	if p.Bounds.Answer != time.Second || p.Lacks.Has(claims.TTL) || !p.Lacks.Has(claims.Send) {
		t.Errorf("got %+v", p)
	}
}

// Whatever somebody calls a profile is read or refused, with words.
func FuzzParse(f *testing.F) {
	for _, name := range profiles.Names() {
		data, err := os.ReadFile(name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("name: {x: 1}\nclaims: all\nstart: {env: {A: \"{{.Port}}{{else}}\"}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profiles.Parse("f", data)
		if (p == nil) == (err == nil) || err != nil && err.Error() == "" {
			t.Fatalf("%v %v", p, err)
		}
		if p != nil {
			p.Start.Env.Fill(profiles.Values{Port: "1"}, p.Start.Redis, p.Start.SignIn, p.Start.Telemetry)
		}
	})
}
