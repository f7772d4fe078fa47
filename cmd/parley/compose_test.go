package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// composeFile is compose.yaml, all of it: a key that is not here is one that no test has
// looked at.
type composeFile struct {
	Name       string
	Services   map[string]composeService
	Volumes    map[string]any
	Extensions map[string]any `yaml:",inline"` // x-…, which services are made of
}

type composeService struct {
	Image       string
	Build       composeBuild
	Profiles    []string
	Command     []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	Depends     dependencies `yaml:"depends_on"`
	ReadOnly    bool         `yaml:"read_only"`
	CapDrop     []string     `yaml:"cap_drop"`
	Security    []string     `yaml:"security_opt"`
	Grace       string       `yaml:"stop_grace_period"`
	Health      struct {
		Test              []string
		Interval, Timeout string
		Retries           int
	} `yaml:"healthcheck"`
}

// composeBuild is a context alone, or that and a file in it.
type composeBuild struct{ Context, Dockerfile string }

func (b *composeBuild) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		b.Context = n.Value
		return nil
	}
	type plain composeBuild
	return n.Decode((*plain)(b))
}

// dependencies are conditions by service; a bare list means service_started.
type dependencies map[string]struct{ Condition string }

func (d *dependencies) UnmarshalYAML(n *yaml.Node) error {
	*d = dependencies{}
	var names []string
	if n.Kind != yaml.SequenceNode {
		return n.Decode((*map[string]struct{ Condition string })(d))
	}
	err := n.Decode(&names)
	for _, name := range names {
		(*d)[name] = struct{ Condition string }{"service_started"}
	}
	return err
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	data, err := os.ReadFile(root + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for name := range file.Extensions {
		if !strings.HasPrefix(name, "x-") {
			t.Errorf("compose.yaml has %s, which is nothing", name)
		}
	}
	return file
}

// instances are the services that run Parley.
func (f composeFile) instances() map[string]composeService {
	all := map[string]composeService{}
	for name, s := range f.Services {
		if strings.HasPrefix(s.Image, "parley:") {
			all[name] = s
		}
	}
	return all
}

// Compose itself takes the file, where it is installed.
func TestComposeConfig(t *testing.T) {
	for _, args := range [][]string{{}, {"--profile", "stand"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if exec.CommandContext(ctx, "docker", "compose", "version").Run() != nil {
			t.Skip("needs docker compose")
		}
		cmd := exec.CommandContext(ctx, "docker", append(append([]string{"compose", "-f", "compose.yaml"}, args...), "config", "--quiet")...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// The least that `docker compose up` starts stays small; all else has a profile.
func TestComposeProfiles(t *testing.T) {
	var least []string
	for name, s := range readCompose(t).Services {
		if len(s.Profiles) == 0 {
			least = append(least, name)
		} else if !slices.Equal(s.Profiles, []string{"stand"}) {
			t.Errorf("%s has the profiles %q", name, s.Profiles)
		}
	}
	slices.Sort(least)
	if want := []string{"emulator", "parley", "redis"}; !slices.Equal(least, want) {
		t.Errorf("without a profile there are %q, want %q", least, want)
	}
}

// Nobody signs in, so nobody else can connect; what is depended on is there, and is waited
// for by what it has; files exist; nothing is open that need not be.
func TestComposeServices(t *testing.T) {
	file := readCompose(t)
	open := map[string]string{}
	for name, s := range file.Services {
		if s.Image == "" || regexp.MustCompile(`:latest$|^[^:]+$`).MatchString(s.Image) {
			t.Errorf("%s: the image %q has no version", name, s.Image)
		}
		for _, port := range s.Ports {
			if !regexp.MustCompile(`^127\.0\.0\.1:(\d+):(\d+)$`).MatchString(port) || open[port] != "" {
				t.Errorf("%s: port %s is not of this machine alone, or is that of %s", name, port, open[port])
			}
			open[port] = name
		}
		for _, volume := range s.Volumes {
			from, to, _ := strings.Cut(volume, ":")
			if path, ok := strings.CutPrefix(from, "./"); ok {
				info, err := os.Stat(root + path)
				if err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(to, ":ro") {
					t.Errorf("%s: %s is no file that is there and is only read (%v)", name, volume, err)
				}
			} else if _, declared := file.Volumes[from]; !declared {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		if s.Build.Context != "" {
			if _, err := os.Stat(root + s.Build.Context + "/" + cmp.Or(s.Build.Dockerfile, "Dockerfile")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.Security, []string{"no-new-privileges:true"}) {
				t.Errorf("%s may do more than it needs", name)
			}
		}
		for other, by := range s.Depends {
			healthy := by.Condition == "service_healthy"
			if d, ok := file.Services[other]; !ok || !healthy && by.Condition != "service_started" || healthy != (len(d.Health.Test) > 0) {
				t.Errorf("%s waits for %s by %s", name, other, by.Condition)
			}
			if len(s.Profiles) == 0 && len(file.Services[other].Profiles) > 0 {
				t.Errorf("%s needs %s, which has a profile", name, other)
			}
		}
	}
}

// The settings of the instances are settings, and amount to a service that starts, talks to
// the others by their names and is stopped no sooner than it has ended.
func TestComposeSettings(t *testing.T) {
	file := readCompose(t)
	known := map[string]bool{}
	for _, s := range settings() {
		known[s.name] = true
	}
	instances := file.instances()
	if len(instances) != 3 {
		t.Fatalf("there are the instances %v", slices.Sorted(maps.Keys(instances)))
	}
	for name, s := range instances {
		for variable := range s.Environment {
			if !known[variable] && !strings.HasPrefix(variable, "OTEL_") {
				t.Errorf("%s: %s is no setting", name, variable)
			}
		}
		c, err := load(environment(s.Environment))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range c.warnings {
			if !strings.HasPrefix(w, "COPILOT_ALLOW_HTTP: what is said") {
				t.Errorf("%s: warns %s", name, w)
			}
		}
		if !slices.Equal(s.Health.Test, []string{"CMD", "/parley", "healthcheck"}) {
			t.Errorf("%s: the health check is %q", name, s.Health.Test)
		}
		if grace, err := time.ParseDuration(s.Grace); err != nil || grace < c.drainDelay+c.shutdownTimeout+2*time.Second {
			t.Errorf("%s: %s is too short to stop in (%v)", name, s.Grace, err)
		}
		for _, raw := range []string{c.redisURL, c.endpoint.DirectConnectURL, s.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"]} {
			if u, err := url.Parse(raw); err != nil || raw != "" && (file.Services[u.Hostname()].Image == "" || s.Depends[u.Hostname()].Condition == "") {
				t.Errorf("%s talks to %q, which is no service that it waits for", name, raw)
			}
		}
		agent, err := url.Parse(c.endpoint.DirectConnectURL)
		if err != nil || c.plainHost() != "emulator" {
			t.Fatalf("%s: the agent is %s (%v)", name, agent, err)
		}
		emulator := file.Services["emulator"].Environment
		if emulator["EMULATOR_LISTEN"] != ":"+agent.Port() || emulator["EMULATOR_TOKEN"] != c.stubToken || len(emulator) != 2 {
			t.Errorf("%s: the emulator has %v", name, emulator)
		}
		if watched := len(s.Profiles) > 0; watched && (!c.readyWithoutStore || c.drainDelay == 0 || c.traceURL == "" || s.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "") {
			t.Errorf("%s is not set up for a proxy, and to be watched: %v", name, s.Environment)
		}
	}
	command, err := os.ReadFile(root + "cmd/copilot-emulator/run.go")
	if err != nil {
		t.Fatal(err)
	}
	for variable := range file.Services["emulator"].Environment {
		if !strings.Contains(string(command), fmt.Sprintf("%q", variable)) {
			t.Errorf("the emulator knows no %s", variable)
		}
	}
}

// Both images are built by the same Go.
func TestComposeBuildsWithOneGo(t *testing.T) {
	from := func(name string) string {
		data, err := os.ReadFile(root + name)
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(golang\S*)`).FindStringSubmatch(string(data) + "\nFROM golang-none")[1]
	}
	if a, b := from("Dockerfile"), from("telemetry/stand/emulator.Dockerfile"); a != b {
		t.Errorf("the service is built from %s, the emulator from %s", a, b)
	}
}
