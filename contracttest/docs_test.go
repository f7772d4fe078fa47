package contracttest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/contracttest"
)

// requirement is a row of the table in README.md.
type requirement struct {
	id, sentence string
	proofs       []string
}

// quoted finds requirement ids, and ranges of them.
var quoted = regexp.MustCompile(`\b(STATE|STORE|QUERY|RESIL|ROUTE|TEST|TEL)-(\d\d)\b(?: to (?:STATE|STORE|QUERY|RESIL|ROUTE|TEST|TEL)-(\d\d)\b)?`)

// ids are the requirement ids that a text quotes.
func ids(text string) []string {
	var all []string
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		first, _ := strconv.Atoi(m[2])
		last := first
		if m[3] != "" {
			last, _ = strconv.Atoi(m[3])
		}
		for n := first; n <= last; n++ {
			all = append(all, fmt.Sprintf("%s-%02d", m[1], n))
		}
	}
	return all
}

// requirements reads the table.
func requirements(t *testing.T) map[string]requirement {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- requirements -->")
	table, _, found := strings.Cut(rest, "<!-- /requirements -->")
	if !found {
		t.Fatal("README.md has no table of requirements")
	}
	rows := map[string]requirement{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 3 || len(ids(cells[0])) != 1 {
			continue // not a row
		}
		r := requirement{id: ids(cells[0])[0], sentence: strings.TrimSpace(cells[1])}
		for _, proof := range strings.Fields(cells[2]) {
			r.proofs = append(r.proofs, strings.Trim(proof, "`"))
		}
		if _, twice := rows[r.id]; twice {
			t.Errorf("%s has two rows", r.id)
		}
		rows[r.id] = r
	}
	if len(rows) < 26 {
		t.Fatalf("only %d requirements", len(rows))
	}
	return rows
}

// tests gives the doc comment of every test, as "package.TestName".
func tests(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for file := range files(t, "_test.go") {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				all[path.Dir(file)+"."+f.Name.Name] = f.Doc.Text()
			}
		}
	}
	return all
}

// files are those of the repository whose names end so, by their path from its root.
func files(t *testing.T, suffix string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("..", name)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && (d.Name() == ".git" || rel == "bin"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, suffix):
			found[filepath.ToSlash(rel)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Every requirement has a sentence and a proof that exists, and a test that quotes
// an id is named in the row of that id.
func TestRequirements(t *testing.T) {
	rows, have := requirements(t), tests(t)
	rules := map[string]bool{}
	for _, r := range contracttest.Rules() {
		rules[r.ID] = true
	}
	for _, r := range rows {
		if r.sentence == "" || len(r.proofs) == 0 {
			t.Errorf("%s says nothing, or has no proof", r.id)
		}
		for _, proof := range r.proofs {
			if _, isTest := have[proof]; !isTest && !rules[proof] {
				t.Errorf("%s: there is no test and no rule %s", r.id, proof)
			}
		}
	}
	for test, doc := range have {
		for _, id := range ids(doc) {
			if r, ok := rows[id]; ok && !slices.Contains(r.proofs, test) {
				t.Errorf("%s quotes %s and is not in its row", test, id)
			}
		}
	}
	for file := range files(t, ".go") {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids(string(text)) {
			if _, ok := rows[id]; !ok {
				t.Errorf("%s quotes %s, which has no row", file, id)
			}
		}
	}
}

var (
	// named finds what documents name in code spans, or link to.
	named = regexp.MustCompile("`([^`\n]+)`|\\]\\(([^)#:]+)(?:#[^)]*)?\\)")
	// aPath is a code span that can only be a file or a directory: it has a slash
	// and no other sign, or a suffix that files have.
	aPath = regexp.MustCompile(`^[.\w-]+(/[.\w-]+)*/?$`)
	// aFile has the suffix of a file of the repository.
	aFile = regexp.MustCompile(`\w\.(go|md|yaml|yml|json|lua|sh|mod|sum|sse|golden|example)$`)
	// aTest is a test's name.
	aTest = regexp.MustCompile(`\bTest[A-Z]\w+`)
)

// Files, directories and tests that the documents name are there. A name is looked
// up from the root and from the document's own directory.
func TestDocumentsNameWhatThereIs(t *testing.T) {
	have := map[string]bool{}
	for test := range tests(t) {
		have[test[strings.LastIndex(test, ".")+1:]] = true
	}
	documents := slices.Sorted(maps.Keys(files(t, ".md")))
	for _, want := range []string{
		"CONTRIBUTING.md", "README.md", "cmd/parley-bench/README.md", "cmd/parley-contract/README.md", "cmd/parley/README.md",
		"contracttest/README.md", "server/README.md", "store/README.md", "store/redis/README.md", "telemetry/README.md",
	} {
		if !slices.Contains(documents, want) {
			t.Errorf("there is no %s", want)
		}
	}
	top, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	rooms := map[string]bool{}
	for _, d := range top {
		rooms[d.Name()] = d.IsDir()
	}
	for _, document := range documents {
		text, err := os.ReadFile(filepath.Join("..", document))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			name := m[1] + m[2]
			room, _, below := strings.Cut(name, "/")
			if m[2] == "" && (!aPath.MatchString(name) || !aFile.MatchString(name) && (!below || !rooms[room])) || room == "bin" {
				continue
			}
			if dir, test, ok := strings.Cut(name, ".Test"); ok && test != "" {
				name = dir // of a proof, the package
			}
			_, atRoot := os.Stat(filepath.Join("..", name))
			_, beside := os.Stat(filepath.Join("..", path.Dir(document), name))
			if atRoot != nil && beside != nil {
				t.Errorf("%s names %s, which is not there", document, name)
			}
		}
		for _, name := range aTest.FindAllString(string(text), -1) {
			if !have[name] {
				t.Errorf("%s names %s, which is no test", document, name)
			}
		}
	}
}
