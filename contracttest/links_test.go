package contracttest_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```")
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	// link finds where a document leads: links, pictures, and both in HTML.
	link = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)|(?:href|src)="([^"]+)"|(?m:^\[[^\]]+\]:\s+(\S+))`)
	// elsewhere is what leads out of the repository. It is not looked up: no test asks
	// the network.
	elsewhere = regexp.MustCompile(`^[a-z]+:`)
	heading   = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)
	namedHere = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	// markup is what a heading's anchor lacks: the address of a link, and all but
	// letters, digits, hyphens and spaces.
	address  = regexp.MustCompile(`\]\([^)]*\)`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N}\p{M}_ -]`)
)

// anchors are the places of a document that a link can lead to, as GitHub makes them.
func anchors(text string) map[string]bool {
	text = fenced.ReplaceAllString(text, "")
	found := map[string]bool{}
	for _, m := range namedHere.FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		bare := noAnchor.ReplaceAllString(address.ReplaceAllString(m[1], ""), "")
		first := strings.ReplaceAll(strings.ToLower(bare), " ", "-")
		name := first
		for n := 1; found[name]; n++ {
			name = fmt.Sprintf("%s-%d", first, n)
		}
		found[name] = true
	}
	return found
}

// deadLinks are the links of a document that lead nowhere in the tree that it is in.
func deadLinks(tree fs.FS, document string) (dead []string, err error) {
	data, err := fs.ReadFile(tree, document)
	if err != nil {
		return nil, err
	}
	text := codeSpan.ReplaceAllString(fenced.ReplaceAllString(string(data), ""), "")
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		target := m[1] + m[2] + m[3]
		if elsewhere.MatchString(target) {
			continue
		}
		name, anchor, anchored := strings.Cut(target, "#")
		at := path.Join(path.Dir(document), name)
		if name == "" {
			at = document
		}
		there, err := fs.ReadFile(tree, at)
		_, noFile := fs.Stat(tree, at)
		if noFile != nil || anchored && (err != nil || !strings.HasSuffix(at, ".md") || !anchors(string(there))[anchor]) {
			dead = append(dead, target)
		}
	}
	return dead, nil
}

// Every link of every document leads to a file that there is, and to a place in it.
func TestLinks(t *testing.T) {
	tree := os.DirFS("..")
	for _, document := range slices.Sorted(maps.Keys(files(t, ".md"))) {
		dead, err := deadLinks(tree, document)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range dead {
			t.Errorf("%s leads to %s, which is not there", document, target)
		}
	}
}

// A link that leads nowhere is found, in whatever form it is written.
func TestDeadLinksAreFound(t *testing.T) {
	tree := fstest.MapFS{
		"room/README.md": {Data: []byte("# The *room*, `x.go` & [more](b.md)\n## Twice\n## Twice\n<a id=\"Here\"></a>\n```\n# not a heading\n[no link](nowhere)\n```\n")},
		"room/a.go":      {},
	}
	for text, dead := range map[string]bool{
		"[x](room/README.md)":                    false,
		"[x](room)":                              false,
		"[x](https://nowhere.example/a#b)":       false,
		"[x](#top) \n# Top":                      false,
		"`[x](gone.md)`":                         false,
		"```\n[x](gone.md)\n```\n":               false,
		"[`x`](room/README.md#twice-1)":          false,
		"[x](room/README.md#Here)":               false,
		"[x](room/README.md#the-room-xgo--more)": false,
		"[x](gone.md)":                           true,
		"[`x`](gone.md \"why\")":                 true,
		"![x](gone.svg)":                         true,
		"<img alt=\"\" src=\"gone.svg\">":        true,
		"<a href=\"gone.md\">x</a>":              true,
		"[x][y]\n\n[y]: gone.md\n":               true,
		"[x](#gone)":                             true,
		"[x](room/README.md#twice-2)":            true,
		"[x](room/README.md#not-a-heading)":      true,
		"[x](room/README.md#here)":               true,
		"[x](room/a.go#L1)":                      true,
		"[x](room#twice)":                        true,
		"[x](../outside.md)":                     true,
	} {
		tree["README.md"] = &fstest.MapFile{Data: []byte(text)}
		if found, err := deadLinks(tree, "README.md"); err != nil || (len(found) > 0) != dead {
			t.Errorf("%q: found %q (%v)", text, found, err)
		}
	}
}

// The first page is read in five minutes; what takes longer is in the rooms.
func TestFirstPageIsShort(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n >= 150 {
		t.Errorf("README.md has %d lines; under 150 are allowed", n)
	}
}
