package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"

	"parley/contracttest/matrix"
	"parley/server"
)

// The pictures of the documents are made from the tables that they show. They have a
// background of their own, so that they can be read on a page of either colour, and are
// as wide as a narrow telephone needs.

// pictureOf reads what pictures are made of.
func pictureOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/pictures/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// standsAlone wants a picture that every browser shows and every screen reader reads, and
// that runs and fetches nothing.
func standsAlone(t *testing.T, name, picture string) {
	t.Helper()
	has := map[string]bool{}
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, ok := token.(xml.StartElement); ok {
			has[e.Name.Local] = true
			for _, a := range e.Attr {
				has[a.Name.Local] = true
			}
		}
	}
	for part, want := range map[string]bool{"role": true, "title": true, "desc": true, "text": true, "script": false, "image": false, "href": false, "src": false} {
		if has[part] != want {
			t.Errorf("%s: that it has a %s is %v", name, part, has[part])
		}
	}
	if strings.Contains(picture, "url(http") || strings.Contains(picture, "@import") {
		t.Errorf("%s fetches something", name)
	}
}

// classesOf gives the classes with such a name and status, in the order of the table.
func classesOf(prefix string, status int) (classes []string) {
	for f := range server.Failures() {
		if f.Status == status && strings.HasPrefix(f.Class, prefix) {
			classes = append(classes, f.Class)
		}
	}
	return classes
}

// requestPicture is a request and what its two sides answer when they fail.
func requestPicture(t *testing.T) string {
	t.Helper()
	type side struct {
		Status  int
		Classes []string
	}
	line := func(y, n int) int { return y + 16*n }
	picture := template.Must(template.New("").Funcs(template.FuncMap{
		"join": func(s []string) string { return strings.Join(s, ", ") }, "down": line, "next": func(n int) int { return n + 1 },
	}).Parse(pictureOf(t, "request.svg.tmpl")))
	var b bytes.Buffer
	err := picture.Execute(&b, struct {
		Style       string
		RedisStatus int
		Redis       []string
		AgentStatus string
		Agent       []side
	}{
		pictureOf(t, "style.css"), 503, classesOf("store_", 503), "502, 504",
		[]side{{502, classesOf("upstream_", 502)}, {504, classesOf("upstream_", 504)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// cellMark is how a cell of the picture looks.
type cellMark struct{ class, sign string }

// markOf gives what stands for the outcomes that a cell may have.
func markOf(t *testing.T, expected matrix.Expect) cellMark {
	t.Helper()
	marks := map[cellMark]bool{}
	for _, class := range expected {
		status := 200
		for f := range server.Failures() {
			if f.Class == class {
				status = f.Status
			}
		}
		switch {
		case class == "disconnected", status == 503 && strings.HasPrefix(class, "store_"):
			marks[cellMark{"redis", "R"}] = true
		case (status == 502 || status == 504) && strings.HasPrefix(class, "upstream_"):
			marks[cellMark{"agent", "A"}] = true
		case class == "":
			marks[cellMark{"fine", "✓"}] = true
		case class == "store_corrupt":
			marks[cellMark{"other", "!"}] = true
		default:
			t.Errorf("the picture of the matrix has no sign for %s", class)
		}
	}
	if len(marks) != 1 {
		t.Errorf("the picture of the matrix has no sign for %s", expected)
	}
	for m := range marks {
		return m
	}
	return cellMark{}
}

// pictureColumns are the columns of the matrix, and what they are called in the picture.
func pictureColumns() [][2]string {
	return [][2]string{
		{"POST /api/chat/start", "start"},
		{"POST /api/chat/send", "send"},
		{"POST /api/chat/card-action", "card-action"},
		{"POST /api/chat/orchestrate", "orchestrate"},
		{"POST /api/chat/start (answer)", "start"},
		{"POST /api/chat/send (answer)", "send"},
		{"POST /api/chat/card-action (answer)", "card-action"},
		{"POST /api/chat/orchestrate (answer)", "orchestrate"},
		{"GET /api/chat/conversations", "list"},
		{"GET /api/chat/conversations/{id}", "read"},
		{"GET /api/chat/conversations/{id}/stream", "stream"},
		{"POST /api/chat/conversations/{id}/stop", "stop"},
		{"PATCH /api/chat/conversations/{id}", "close"},
		{"DELETE /api/chat/conversations/{id}", "delete"},
		{"GET /health, /readyz, /livez", "health"},
	}
}

// matrixPicture is what `make test` tries of the matrix, by what it expects. Faults that
// are tried on one route are left out.
func matrixPicture(t *testing.T) string {
	t.Helper()
	const left, cell, height, top = 144, 17, 18, 138
	var body strings.Builder
	y, shown, all := top, 0, 0
	row := func(id string, cells []matrix.Cell) {
		all++
		if len(cells) < 2 {
			return
		}
		shown++
		fmt.Fprintf(&body, "<text class=\"end small\" x=\"%d\" y=\"%d\">%s</text>\n", left-6, y+13, id)
		for _, c := range cells {
			if strings.HasPrefix(c.Column, "Store.") {
				continue
			}
			at := slices.IndexFunc(pictureColumns(), func(p [2]string) bool { return p[0] == c.Column })
			if at < 0 {
				t.Fatalf("the picture of the matrix has no column %s", c.Column)
			}
			m, x := markOf(t, c.Expected), left+at*cell
			fmt.Fprintf(&body, "<rect class=\"%s\" x=\"%d.5\" y=\"%d.5\" width=\"%d\" height=\"%d\" rx=\"3\"/>", m.class, x, y, cell-2, height-2)
			fmt.Fprintf(&body, "<text class=\"middle sign %s\" x=\"%d\" y=\"%d\">%s</text>\n", m.class, x+cell/2, y+12, m.sign)
		}
		y += height
	}
	for _, r := range matrix.Rows() {
		switch {
		case r.Omitted != "":
		case r.Sampled():
			row(r.ID, r.Plan(target(), r.Modes()[0]))
		default:
			all++
		}
	}
	y += 8
	for _, r := range matrix.UpstreamRows() {
		if r.Sampled() {
			row(r.ID, r.Plan(target()))
		} else {
			all++
		}
	}
	y += 12
	for _, l := range []struct{ class, sign, says string }{
		{"redis", "R", "503 and a class store_…: Redis fails"},
		{"agent", "A", "502 or 504 and a class upstream_…: the agent fails"},
		{"fine", "✓", "200: answered all the same"},
		{"other", "!", "500 store_corrupt: a stored record is damaged"},
	} {
		fmt.Fprintf(&body, "<rect class=\"%s\" x=\"14.5\" y=\"%d.5\" width=\"15\" height=\"15\" rx=\"3\"/><text class=\"middle sign %s\" x=\"22\" y=\"%d\">%s</text>", l.class, y, l.class, y+12, l.sign)
		fmt.Fprintf(&body, "<text x=\"38\" y=\"%d\">%s</text>\n", y+13, l.says)
		y += 20
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 420 %d" width="420" height="%d" role="img" aria-labelledby="title desc">
<title id="title">What each route answers while a fault stands</title>
<desc id="desc">A matrix of %d faults and %d routes. While Redis fails, routes answer 503; reads go on where Redis still reads. While the agent fails, the routes that ask it answer 502 or 504. No cell has the other's status.</desc>
<style>
%s.sign { font-size: 10.5px; font-weight: 600 }
</style>
<rect class="card" x=".5" y=".5" width="419" height="%d" rx="8"/>
<text class="title" x="14" y="26">What each route answers under a fault</text>
<text class="small muted" x="14" y="46">%d of the %d faults that are tried</text>
`, y+10, y+10, shown, len(pictureColumns()), pictureOf(t, "style.css"), y+9, shown, all)
	for i, c := range pictureColumns() {
		x := left + i*cell + cell/2
		fmt.Fprintf(&b, "<text class=\"small\" transform=\"translate(%d %d) rotate(-55)\">%s</text>\n", x, top-24, c[1])
	}
	for i, step := range []string{"from begin", "at commit"} { // when the fault begins
		x := left + 4*i*cell
		fmt.Fprintf(&b, "<text class=\"small middle muted\" x=\"%d\" y=\"%d\">%s</text><path class=\"line\" d=\"M%d %dh%d\"/>\n", x+2*cell, top-8, step, x+2, top-3, 4*cell-5)
	}
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	return b.String()
}
