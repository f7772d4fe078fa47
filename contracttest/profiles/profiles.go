// Package profiles reads what a server claims, and how it is started, from a YAML
// file. Profiles of known servers are in the binary; others are read from a path.
package profiles

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parley/contracttest/claims"
)

// MaxBytes bounds a profile.
const MaxBytes = 64 << 10

// maxWait bounds every time in a profile.
const maxWait = 10 * time.Minute

//go:embed *.yaml
var files embed.FS

// Profile is what a server claims and how it is started.
type Profile struct {
	Name  string
	About string // one sentence
	Lacks claims.Lacking
	Start Start
	// Bounds are times that the server is held to; 0 stands for Parley's.
	Bounds Bounds
}

// Start is how the server is started. The values are templates; see Values.
type Start struct {
	Ready     string // path that answers 200 once the server works
	Env       Env    // always
	Redis     Env    // beside, where conversations are in Redis
	SignIn    Env    // beside, where callers sign in
	Telemetry Env    // beside, where telemetry is looked at
	Callers   Env    // beside, where callers attack
}

// Bounds are times that a server is held to, beside what the machine is late by.
type Bounds struct {
	Answer   time.Duration // beside what is waited for
	AtOnce   time.Duration // of an answer that waits for nothing
	Recovery time.Duration // from the end of a fault to the first good answer
	Health   time.Duration // until /health tells of it
	Lease    time.Duration // that a turn of a dead process holds its conversation
	Start    time.Duration // from the start of the process to the first answer
	Stop     time.Duration // from SIGTERM to its end
}

// file is the form of a profile in YAML.
type file struct {
	Name   string    `yaml:"name"`
	About  string    `yaml:"about"`
	Claims yaml.Node `yaml:"claims"` // "all", or a list
	Lacks  yaml.Node `yaml:"lacks"`  // a list, beside "all"
	Start  struct {
		Ready     yaml.Node `yaml:"ready"`
		Env       yaml.Node `yaml:"env"`
		Redis     yaml.Node `yaml:"redis"`
		SignIn    yaml.Node `yaml:"sign-in"`
		Telemetry yaml.Node `yaml:"telemetry"`
		Callers   yaml.Node `yaml:"callers"`
	} `yaml:"start"`
	Bounds struct {
		Answer   yaml.Node `yaml:"answer"`
		AtOnce   yaml.Node `yaml:"at-once"`
		Recovery yaml.Node `yaml:"recovery"`
		Health   yaml.Node `yaml:"health"`
		Lease    yaml.Node `yaml:"lease"`
		Start    yaml.Node `yaml:"start"`
		Stop     yaml.Node `yaml:"stop"`
	} `yaml:"bounds"`
}

// Names lists the profiles in the binary.
func Names() []string {
	found, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil // cannot happen: the pattern is a good one
	}
	for i, name := range found {
		found[i] = strings.TrimSuffix(name, ".yaml")
	}
	return found
}

// Text is a profile of the program, as it was written.
func Text(name string) (string, error) {
	data, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return "", fmt.Errorf("there is no profile %q in the program: %s are", name, strings.Join(Names(), ", "))
	}
	return string(data), nil
}

// Open reads a profile: one in the binary by its name, any other by its path.
func Open(nameOrPath string) (*Profile, error) {
	if slices.Contains(Names(), nameOrPath) {
		data, err := files.ReadFile(nameOrPath + ".yaml")
		if err != nil {
			return nil, err
		}
		return Parse(nameOrPath+".yaml", data)
	}
	f, err := os.Open(nameOrPath)
	if err != nil {
		return nil, fmt.Errorf("there is no profile %q in the program (%s), and no such file: %w", nameOrPath, strings.Join(Names(), ", "), err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	return Parse(nameOrPath, data)
}

// Parse reads a profile. All that is wrong with it is in the error, each with its
// line.
func Parse(name string, data []byte) (*Profile, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%s: it is larger than %d bytes", name, MaxBytes)
	}
	var f file
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, decodeError(err))
	}
	if err := decoder.Decode(&file{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is more than one document in it", name)
	}
	r := reader{name: name}
	p := &Profile{Name: f.Name, About: f.About, Lacks: r.lacking(&f)}
	if f.Name == "" {
		r.fault(1, "name is missing")
	}
	p.Start = Start{
		Ready: r.path(&f.Start.Ready), Env: r.env("env", &f.Start.Env), Redis: r.env("redis", &f.Start.Redis),
		SignIn: r.env("sign-in", &f.Start.SignIn), Telemetry: r.env("telemetry", &f.Start.Telemetry), Callers: r.env("callers", &f.Start.Callers),
	}
	p.Bounds = Bounds{
		Answer: r.wait("answer", &f.Bounds.Answer), AtOnce: r.wait("at-once", &f.Bounds.AtOnce),
		Recovery: r.wait("recovery", &f.Bounds.Recovery), Health: r.wait("health", &f.Bounds.Health),
		Lease: r.wait("lease", &f.Bounds.Lease), Start: r.wait("start", &f.Bounds.Start), Stop: r.wait("stop", &f.Bounds.Stop),
	}
	if err := errors.Join(r.faults...); err != nil {
		return nil, err
	}
	return p, nil
}

// decodeError leaves out what only who wrote this program knows.
func decodeError(err error) error {
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) {
		return err
	}
	said := strings.Join(wrong.Errors, "; ")
	for _, inside := range []string{" in type profiles.file", " in type struct"} {
		for {
			before, after, found := strings.Cut(said, inside)
			if !found {
				break
			}
			_, after, _ = strings.Cut(after, ";")
			if said = before + " (no such key)"; after != "" {
				said += ";" + after
			}
		}
	}
	return errors.New(said)
}

// reader reads the parts of a profile and gathers what is wrong with them.
type reader struct {
	name   string
	faults []error
}

func (r *reader) fault(line int, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s:%d: %s", r.name, line, fmt.Sprintf(format, args...)))
}

// lacking reads what the server claims.
func (r *reader) lacking(f *file) claims.Lacking {
	if f.Claims.Kind == yaml.ScalarNode && f.Claims.Value == "all" {
		lacks := claims.Lacking{}
		for _, d := range r.list("lacks", &f.Lacks) {
			lacks[d.Claim] = true
		}
		for _, d := range claims.All() {
			if missing := lacks.Missing(d.Needs...); !lacks[d.Claim] && missing != nil {
				r.fault(f.Lacks.Line, "%q is claimed, and means nothing without %q", d.Claim, missing)
			}
		}
		return lacks
	}
	if !f.Lacks.IsZero() {
		r.fault(f.Lacks.Line, "lacks is for servers that claim all")
	}
	claimed := r.list("claims", &f.Claims)
	if len(claimed) == 0 {
		r.fault(max(1, f.Claims.Line), "claims is missing: a list of claims, or all")
	}
	var all []claims.Claim
	for _, d := range claimed {
		all = append(all, d.Claim)
	}
	for _, d := range claimed {
		for _, n := range d.Needs {
			if !slices.Contains(all, n) {
				r.fault(f.Claims.Line, "%q is claimed, and means nothing without %q", d.Claim, n)
			}
		}
	}
	return claims.Without(all...)
}

// list reads a list of claims.
func (r *reader) list(what string, n *yaml.Node) []claims.Described {
	if n.IsZero() {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fault(n.Line, "%s is not a list of claims", what)
		return nil
	}
	var found []claims.Described
	for _, one := range n.Content {
		d, known := claims.Find(one.Value)
		switch {
		case one.Kind != yaml.ScalarNode || !known:
			r.fault(one.Line, "there is no claim %q: `parley-contract claims` lists them", one.Value)
		case slices.ContainsFunc(found, func(e claims.Described) bool { return e.Claim == d.Claim }):
			r.fault(one.Line, "%q is there twice", d.Claim)
		default:
			found = append(found, d)
		}
	}
	return found
}

func (r *reader) path(n *yaml.Node) string {
	if n.IsZero() {
		return "/health"
	}
	if n.Kind != yaml.ScalarNode || !strings.HasPrefix(n.Value, "/") {
		r.fault(n.Line, "start.ready is not a path, such as /health")
	}
	return n.Value
}

func (r *reader) wait(what string, n *yaml.Node) time.Duration {
	if n.IsZero() {
		return 0
	}
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d <= 0 || d > maxWait {
		r.fault(n.Line, "bounds.%s is not a time, such as 250ms: more than 0 and at most %v", what, maxWait)
		return 0
	}
	return d
}

func (r *reader) env(what string, n *yaml.Node) Env {
	env := Env{}
	if n.IsZero() {
		return env
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n.Line, "start.%s is not a mapping of names to values", what)
		return env
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		_, twice := env[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !isName(key.Value):
			r.fault(key.Line, "%q is not the name of an environment variable", key.Value)
		case value.Kind != yaml.ScalarNode:
			r.fault(value.Line, "%s is not a text", key.Value)
		case twice:
			r.fault(key.Line, "%s is there twice", key.Value)
		default:
			t, err := NewTemplate(value.Value)
			if err != nil {
				r.fault(value.Line, "%s: %v", key.Value, err)
				continue
			}
			env[key.Value] = t
		}
	}
	return env
}

func isName(s string) bool {
	return s != "" && !strings.ContainsAny(s, "= \t\r\n\x00")
}
