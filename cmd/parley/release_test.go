package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A release is described in files that no compiler compares: the Dockerfile, the
// configuration of goreleaser, the scripts of .ci. What they have to agree about is
// compared here.

// releaseBuild is one program of a release.
type releaseBuild struct {
	ID      string
	Main    string
	Binary  string
	Env     []string
	Goos    []string
	Goarch  []string
	Flags   []string
	Ldflags string
}

func releaseBuilds(t *testing.T) []releaseBuild {
	t.Helper()
	var config struct{ Builds []releaseBuild }
	if err := yaml.Unmarshal([]byte(repositoryFile(t, ".ci/goreleaser.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	return config.Builds
}

func repositoryFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// find gives the only text that matches, without what is around the group.
func find(t *testing.T, name, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(repositoryFile(t, name), -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d texts like %s, want 1", name, len(found), pattern)
	}
	return found[0][1]
}

// The image is built with the Go that the workflows take from go.mod: another version makes
// other bytes, and may have faults that were mended.
func TestImageIsBuiltWithTheGoOfTheModule(t *testing.T) {
	module := find(t, "go.mod", `(?m)^toolchain go(\S+)$`)
	image := find(t, "Dockerfile", `(?m)^FROM --platform=\$BUILDPLATFORM golang:([0-9.]+)-alpine`)
	if module != image {
		t.Errorf("go.mod names Go %s, the Dockerfile %s", module, image)
	}
}

func TestImagesAreNamedByDigest(t *testing.T) {
	for _, name := range []string{"Dockerfile", "telemetry/stand/emulator.Dockerfile"} {
		for _, from := range regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(repositoryFile(t, name), -1) {
			if from != "FROM scratch" && !regexp.MustCompile(`:\S+@sha256:[0-9a-f]{64}( AS \w+)?$`).MatchString(from) {
				t.Errorf("%s: has no tag, or no digest: %s", name, from)
			}
		}
	}
}

// Every command is released, but for what is of use in a checkout only.
func TestReleaseHasTheCommands(t *testing.T) {
	inside := []string{"parley-bench"}
	var commands, released []string
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(inside, e.Name()) {
			commands = append(commands, e.Name())
		}
	}
	for _, b := range releaseBuilds(t) {
		released = append(released, b.ID)
		if b.Binary != b.ID || b.Main != "./cmd/"+b.ID {
			t.Errorf("%s is %s, built from %s", b.ID, b.Binary, b.Main)
		}
		if !slices.Equal(b.Goos, []string{"linux", "darwin", "windows"}) || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) {
			t.Errorf("%s is for %v on %v", b.ID, b.Goos, b.Goarch)
		}
	}
	slices.Sort(released)
	if !slices.Equal(commands, released) {
		t.Errorf("there are the commands %v, released are %v", commands, released)
	}
	described := strings.Fields(find(t, ".ci/sbom", `for command in (.*); do`))
	slices.Sort(described)
	if !slices.Equal(commands, described) {
		t.Errorf("there are the commands %v, .ci/sbom describes %v", commands, described)
	}
}

// The linker does not complain of a variable that is not there.
func TestReleaseSetsVariablesThatExist(t *testing.T) {
	set := regexp.MustCompile(`-X main\.(\w+)=`)
	for _, b := range releaseBuilds(t) {
		var declared []byte
		files, err := filepath.Glob(root + b.Main + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, text...)
		}
		for _, name := range set.FindAllStringSubmatch(b.Ldflags, -1) {
			if !regexp.MustCompile(`(?m)^var (\w+, )*` + name[1] + `(, \w+)* string$`).Match(declared) {
				t.Errorf("%s: main.%s is set when it is linked, and is not declared", b.ID, name[1])
			}
		}
	}
}

// The program in the image is that of the archive, byte by byte, and what
// `make reproducible` tries is built as both are.
func TestReleaseAndImageAreBuiltAlike(t *testing.T) {
	const flags = "-trimpath -buildvcs=false"
	ldflags := func(version, commit string) string {
		return "-s -w -X main.builtVersion=" + version + " -X main.builtCommit=" + commit
	}
	for name, want := range map[string]string{
		"Dockerfile":       flags + " \\\n    -ldflags=\"" + ldflags("$VERSION", "$COMMIT") + `"`,
		".ci/reproducible": flags + " -ldflags='" + ldflags("v0.0.0", "none") + "'",
		".ci/sbom":         flags,
	} {
		if !strings.Contains(repositoryFile(t, name), "build "+want) {
			t.Errorf("%s does not build with %s", name, want)
		}
	}
	for _, b := range releaseBuilds(t) {
		if strings.Join(b.Flags, " ") != flags || !slices.Equal(b.Env, []string{"CGO_ENABLED=0"}) {
			t.Errorf("%s is built with %v and %v, want %s without cgo", b.ID, b.Flags, b.Env, flags)
		}
		if want := ldflags("v{{ .Version }}", "{{ .FullCommit }}"); b.ID == "parley" && b.Ldflags != want {
			t.Errorf("parley is linked with %s, want %s", b.Ldflags, want)
		}
	}
}

// What a developer can run is what CI runs: .ci/run has targets of make, which exist.
func TestCIRunsTargetsOfMake(t *testing.T) {
	makefile := repositoryFile(t, "Makefile")
	steps := regexp.MustCompile(`(?m)^step (.*)$`).FindAllStringSubmatch(repositoryFile(t, ".ci/run"), -1)
	for _, step := range steps {
		words := strings.Fields(step[1])
		targets := slices.DeleteFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "--") || strings.Contains(w, "=") })
		if words[0] != "make" || len(targets) == 0 {
			t.Errorf(".ci/run has the step %q, which makes nothing", step[1])
		}
		for _, target := range targets {
			if !strings.Contains(makefile, "\n"+target+": ") {
				t.Errorf(".ci/run has the step %q, and %s is no target of make", step[1], target)
			}
		}
	}
	if len(steps) == 0 {
		t.Error(".ci/run has no steps")
	}
}

// workflow is what is looked at of a workflow.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Uses    string
		Needs   string
		Minutes int `yaml:"timeout-minutes"`
		Steps   []struct {
			Uses string
			Run  string
			With map[string]string
		}
	}
}

func readWorkflow(t *testing.T, name string) workflow {
	t.Helper()
	var w workflow
	if err := yaml.Unmarshal([]byte(repositoryFile(t, ".github/workflows/"+name)), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// The hosted CI runs what everybody can run, and nothing that is written there only.
func TestHostedCIRunsWhatADeveloperRuns(t *testing.T) {
	want := map[string][]string{"run": {".ci/run"}, "release-check": {"make release-check"}}
	got := map[string][]string{}
	for name, job := range readWorkflow(t, "ci.yml").Jobs {
		for _, step := range job.Steps {
			if step.Run != "" {
				got[name] = append(got[name], step.Run)
			}
		}
	}
	if g, w := asJSON(t, got), asJSON(t, want); g != w {
		t.Errorf("the jobs of ci.yml run %s, want %s", g, w)
	}
}

func asJSON(t *testing.T, v map[string][]string) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Nothing is published that CI has not passed.
func TestReleaseWaitsForCI(t *testing.T) {
	jobs := readWorkflow(t, "release.yml").Jobs
	if jobs["ci"].Uses != "./.github/workflows/ci.yml" {
		t.Errorf("the job ci uses %q", jobs["ci"].Uses)
	}
	for name := range jobs {
		at := name
		for at != "" && at != "ci" {
			at = jobs[at].Needs
		}
		if at == "" && name != "notes" { // which only reads
			t.Errorf("the job %s does not wait for CI", name)
		}
	}
}

// An action is code of others that runs with our rights: it is named by the digest that
// somebody looked at, with its version beside it, and is the same in all workflows. A job
// may do no more than read, unless it says so, and ends.
func TestWorkflowsTrustLittle(t *testing.T) {
	uses := regexp.MustCompile(`(?m)^.*\buses: (\S+)(.*)$`)
	action := regexp.MustCompile(`^([\w./-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	seen := map[string]string{}
	for _, name := range []string{"ci.yml", "release.yml"} {
		for _, use := range uses.FindAllStringSubmatch(repositoryFile(t, ".github/workflows/"+name), -1) {
			if strings.HasPrefix(use[1], "./") {
				continue
			}
			parts := action.FindStringSubmatch(use[1] + use[2])
			if parts == nil {
				t.Errorf("%s: %s has no digest, or no version beside it", name, use[1])
				continue
			}
			if before, ok := seen[parts[1]]; ok && before != parts[0] {
				t.Errorf("%s: %s, and elsewhere %s", name, parts[0], before)
			}
			seen[parts[1]] = parts[0]
		}
		w := readWorkflow(t, name)
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s: a job that says nothing may %v", name, w.Permissions)
		}
		for id, job := range w.Jobs {
			if job.Minutes == 0 && job.Uses == "" {
				t.Errorf("%s: %s has no limit in time", name, id)
			}
			for _, step := range job.Steps {
				if strings.HasPrefix(step.Uses, "actions/setup-go@") && step.With["go-version-file"] != "go.mod" {
					t.Errorf("%s: %s does not take Go's version from go.mod", name, id)
				}
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
					t.Errorf("%s: %s leaves its token for what runs later", name, id)
				}
			}
		}
	}
}
