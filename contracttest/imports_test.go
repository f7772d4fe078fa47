package contracttest_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows are the imports that are allowed between our packages. Everything
// points down: domain types and leaves import nothing of ours, backends know
// the store and its stored form, and cmd alone sees a concrete backend. server
// and telemetry never see each other.
var arrows = map[string][]string{
	"store":                   {},
	"store/internal/wire":     {"store"},
	"store/fair":              {"store"},
	"store/memory":            {"store", "store/internal/wire", "store/fair"},
	"store/redis":             {"store", "store/internal/wire", "store/fair"},
	"store/redis/entra":       {"store", "store/redis"},
	"server":                  {"store", "store/fair", "server/auth", "server/copilot", "server/turn"},
	"server/turn":             {"store", "server/copilot"},
	"server/auth":             {},
	"server/auth/authtest":    {},
	"server/copilot":          {},
	"server/copilot/emulator": {},
	"server/copilot/entra":    {"server/copilot"},
	"telemetry":               {"store", "server/copilot"},
	"telemetry/provider":      {},
	"contracttest":            {"store"},
	"contracttest/history":    {"store", "contracttest"},
	"contracttest/mutants":    {"store"},
	"contracttest/apispec":    {},
	"contracttest/faultproxy": {},
	"contracttest/latency":    {},
	"contracttest/otlptest":   {},
	"contracttest/ports":      {},
	"contracttest/profiles":   {"contracttest/claims"},
	"contracttest/redistest":  {"contracttest/faultproxy", "contracttest/ports"},
	"contracttest/report":     {},
	"contracttest/runner":     {},
	"contracttest/agenttest":  {"contracttest/ports", "server/copilot/emulator"},
	"contracttest/claims":     {},
	"contracttest/matrix": {
		"store", "contracttest/agenttest", "contracttest/claims", "contracttest/faultproxy", "contracttest/latency", "contracttest/redistest", "contracttest/report",
		"server/auth/authtest",
	},
	"testdata": {},
	"contracttest/apirules": {
		"contracttest/agenttest", "contracttest/apispec", "contracttest/claims", "contracttest/faultproxy", "contracttest/latency", "contracttest/matrix",
		"contracttest/otlptest", "server/auth/authtest",
	},
	"cmd/parley-contract": {
		"server", "server/auth/authtest", "contracttest/agenttest", "contracttest/apirules", "contracttest/apispec", "contracttest/claims", "contracttest/faultproxy", "contracttest/matrix", "contracttest/ports", "contracttest/profiles",
		"contracttest/redistest", "contracttest/report", "contracttest/runner",
	},
	"cmd/copilot-emulator":  {"server/copilot/emulator", "testdata"},
	"cmd/parley-bench":      {"contracttest/ports", "contracttest/redistest", "contracttest/runner"},
	"cmd/parley-bench/bare": {}, // it shares nothing with what it is compared with
	"cmd/parley": {
		"server", "server/turn", "server/auth", "server/copilot", "server/copilot/emulator", "server/copilot/entra",
		"store", "store/fair", "store/memory", "store/redis", "store/redis/entra", "telemetry", "telemetry/provider",
	},
}

// forTests is what test files may import beside their package's own arrows.
var forTests = []string{
	"contracttest", "contracttest/apispec", "contracttest/claims", "contracttest/faultproxy", "contracttest/history", "contracttest/latency", "contracttest/matrix", "contracttest/mutants",
	"contracttest/otlptest", "contracttest/ports", "contracttest/redistest", "contracttest/apirules", "contracttest/report", "contracttest/runner", "testdata", "server/auth/authtest", "server/copilot/emulator", "store/memory", "telemetry",
}

// only says which package of others' is kept to which rooms, and why.
var only = map[string]struct {
	rooms []string
	why   string
}{
	"github.com/testcontainers/":     {[]string{"contracttest/redistest"}, "the service must not carry a container client"},
	"github.com/go-json-experiment/": {[]string{"store/internal/wire", "server", "server/copilot"}, "it is what decodes pages, bodies and activities until the standard library has it"},
	"github.com/redis/":              {[]string{"store/redis", "contracttest/matrix", "contracttest/apirules", "cmd/parley-contract", "cmd/parley-bench", "cmd/parley-bench/bare", "contracttest/redistest"}, "another backend must be possible without it"},
	"go.opentelemetry.io/":           {[]string{"telemetry", "telemetry/provider", "contracttest/otlptest"}, "handlers and backends are observed from outside"},
	"github.com/golang-jwt/":         {[]string{"server/auth"}, "tokens are verified in one place"},
	"github.com/AzureAD/":            {[]string{"server/copilot/entra", "store/redis/entra"}, "an agent and a Redis must be possible without it"},
	"github.com/MicahParks/":         {[]string{"server/auth"}, "keys are parsed in one place"},
	"github.com/anishathalye/":       {[]string{"contracttest/history"}, "it is for tests"},
	"pgregory.net/":                  {[]string{"contracttest/history"}, "it is for tests"},
	"golang.org/x/net/http2":         {[]string{}, "it is for tests"},
	"github.com/chromedp/":           {[]string{}, "it is for tests"},
	"go.yaml.in/":                    {[]string{"contracttest/profiles"}, "settings are environment variables"},
	"github.com/getkin/":             {[]string{"contracttest/apispec"}, "it is for tests"},
	"github.com/tmaxmax/":            {[]string{"contracttest/apispec"}, "it is for tests, which must not read streams with the reader they test"},
	"testing":                        {[]string{"contracttest", "contracttest/agenttest", "contracttest/faultproxy", "contracttest/history", "contracttest/latency", "contracttest/matrix", "contracttest/otlptest", "contracttest/ports", "contracttest/redistest", "contracttest/runner", "contracttest/apirules", "cmd/parley-contract", "cmd/parley-bench", "server/auth/authtest"}, "it registers flags in the binary"},
}

// never says which packages of others' a room must do without, and why.
var never = map[string]struct {
	packages []string
	why      string
}{
	"store":       {[]string{"net/http", "log/slog"}, "it says what is kept, not who asks"},
	"server/turn": {[]string{"net/http"}, "a turn is the same for every protocol that asks for one"},
}

const root = ".." // of the repository

// goFiles are all files of Go in the repository.
func goFiles(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files found: %v", len(paths), err)
	}
	return paths
}

// The files are parsed here, not by a go command run from here: the test cache
// sees what this process opens, so a new import cannot hide behind a cached pass.
func TestImports(t *testing.T) {
	for _, path := range goFiles(t) {
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		checkImports(t, filepath.ToSlash(rel), path)
	}
}

// A file has one idea. What is longer has two.
func TestFilesAreShort(t *testing.T) {
	const most = 400 // lines
	for _, path := range goFiles(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > most {
			t.Errorf("%s has %d lines, allowed are %d: find its second idea", path, n, most)
		}
	}
}

func checkImports(t *testing.T, pkg, path string) {
	t.Helper()
	allowed, known := arrows[pkg]
	if !known {
		t.Errorf("%s: package %s has no row in the table of arrows", path, pkg)
		return
	}
	isTest := strings.HasSuffix(path, "_test.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		if ours, ok := strings.CutPrefix(name, "parley/"); ok {
			if ours != pkg && !slices.Contains(allowed, ours) && (!isTest || !slices.Contains(forTests, ours)) {
				t.Errorf("%s: %s may not import %s", path, pkg, ours)
			}
			continue
		}
		if n := never[pkg]; !isTest && slices.Contains(n.packages, name) {
			t.Errorf("%s: %s may not import %s: %s", path, pkg, name, n.why)
		}
		for prefix, o := range only {
			if (name == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(name, prefix)) && !isTest && !slices.Contains(o.rooms, pkg) {
				t.Errorf("%s: %s may not import %s: %s", path, pkg, name, o.why)
			}
		}
	}
}

// An arrow to a package that was renamed would allow nothing and forbid nothing.
func TestArrowsNameRooms(t *testing.T) {
	for pkg, allowed := range arrows {
		for _, a := range allowed {
			if _, ok := arrows[a]; !ok {
				t.Errorf("%s → %s: there is no such row", pkg, a)
			}
		}
	}
}
