package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"parley/server"
)

var update = flag.Bool("update", false, "write .env.example, and the tables and pictures of the documents")

const root = "../../"

// TEST-03: what is written down for people is what the code has.
func TestEnvExample(t *testing.T) {
	var want bytes.Buffer
	writeExample(&want)
	same(t, ".env.example", want.String())
}

// Tables of the documents, by their names in them.
func TestTables(t *testing.T) {
	for document, tables := range map[string]map[string]string{
		"cmd/parley/README.md": {"settings": settingsTables()},
		"server/README.md":     {"failures": failuresTable(), "routes": routesTable(t)},
	} {
		text, err := os.ReadFile(root + document)
		if err != nil {
			t.Fatal(err)
		}
		want := string(text)
		for name, table := range tables {
			section := regexp.MustCompile(`(?s)<!-- ` + name + ` -->\n.*<!-- /` + name + ` -->`)
			if !section.MatchString(want) {
				t.Fatalf("%s has no section %s", document, name)
			}
			want = section.ReplaceAllLiteralString(want, "<!-- "+name+" -->\n"+table+"<!-- /"+name+" -->")
		}
		same(t, document, want)
	}
}

// The pictures are made from the tables that they show.
func TestPictures(t *testing.T) {
	for name, picture := range map[string]string{"server/docs/request.svg": requestPicture(t), "contracttest/docs/matrix.svg": matrixPicture(t)} {
		standsAlone(t, name, picture)
		same(t, name, picture)
	}
}

func same(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(root+name, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(root + name)
	if err != nil || string(got) != want {
		t.Errorf("%s is out of date (%v); go test ./cmd/parley -update writes it", name, err)
	}
}

func settingsTables() string {
	var b strings.Builder
	for g, in := range grouped() {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| variable | default | |\n| --- | --- | --- |\n", g.name, g.about)
		for _, s := range in {
			def := ""
			if s.def != "" {
				def = "`" + s.def + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, def, s.about)
		}
	}
	return b.String() + "\n"
}

func failuresTable() string {
	var b strings.Builder
	b.WriteString("| class | status | repeat? | what it means |\n| --- | --- | --- | --- |\n")
	for f := range server.Failures() {
		status, repeat := fmt.Sprint(f.Status), "no"
		if f.Status == 499 {
			status = "499, in the log only"
		}
		if f.Retryable {
			repeat = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Class, status, repeat, f.Meaning)
	}
	return b.String()
}

// routesTable reads the document that the service serves, which a test of its
// own holds to the routes.
func routesTable(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(root + "server/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Paths yaml.Node }
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| route | |\n| --- | --- |\n")
	for i := 0; i < len(doc.Paths.Content); i += 2 { // a node keeps the order
		path, methods := doc.Paths.Content[i].Value, doc.Paths.Content[i+1]
		for j := 0; j < len(methods.Content); j += 2 {
			var operation struct{ Summary string }
			if err := methods.Content[j+1].Decode(&operation); err != nil || operation.Summary == "" {
				continue // parameters that the methods share
			}
			fmt.Fprintf(&b, "| `%s %s` | %s |\n", strings.ToUpper(methods.Content[j].Value), path, operation.Summary)
		}
	}
	return b.String()
}

// writeExample writes .env.example.
func writeExample(w io.Writer) {
	fmt.Fprint(w, "# Settings of Parley. Every line shows a default; uncomment to change it.\n")
	for g, in := range grouped() {
		fmt.Fprintf(w, "\n## %s\n# %s\n", g.name, g.about)
		for _, s := range in {
			fmt.Fprintf(w, "\n# %s\n# Expected: %s.\n#%s=%s\n", s.about, s.expects, s.name, s.def)
		}
	}
}
