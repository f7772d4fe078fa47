package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// hostile is what a server could answer to have its report say something else.
var hostile = []string{
	`<script>alert(1)</script><img src=x onerror=alert(1)>`,
	`"><a href="javascript:alert(1)">all green</a>`,
	`</style></pre></dl><h1>Every promise holds</h1><!--`,
	`]]></failure><testcase name="x"/><![CDATA[`,
	"&lt;&amp;&#x0;",
	"\x00\x01\x1b[2J\x1b]0;title\x07\u202e\ufffe\xff",
	"```\n# heading\n| a | b |\n~~~~\n</details>\n````` text",
	"**bold** [link](http://x) @someone #1 www.example.org https://example.org ![i](http://x/y.png) `c` | \\",
	"{{.Target}} ${{ secrets.TOKEN }} ::error::gone",
	strings.Repeat("<", maxText),
}

// hostileReport is a run in which all texts are hostile that a server has a say in. With
// direct they do not come through a Recorder: a writer escapes for its format
// whoever made the report.
func hostileReport(t *testing.T, text string, direct bool) *Report {
	t.Helper()
	f := Finding{Outcome: Failed, Reason: text, Answer: text, Sent: text, Expected: text, Came: text, Measures: []Measure{{Name: text, Value: 1, Unit: text}}}
	if direct {
		return &Report{Head: Head{Title: text, Target: text, Profile: text, Store: text}, Problems: []string{text}, Results: []Result{
			{Rule{ID: "S1.a", Chapter: text, Sentence: text, Command: text}, f},
			{Rule{ID: CellID("row", text), Chapter: text, Row: "row", Column: text, Fault: text}, f},
			{Rule{ID: "S2.b", Chapter: text}, Finding{Outcome: Skipped, Reason: text}},
		}}
	}
	c := record(t, nil)
	for _, r := range plan() {
		c.End(r.ID, f)
	}
	return c.Finish(errors.New(text))
}

func eachHostile(t *testing.T, try func(t *testing.T, r *Report, text string)) {
	t.Helper()
	for _, text := range hostile {
		for _, direct := range []bool{false, true} {
			try(t, hostileReport(t, text, direct), text)
		}
	}
}

// The page has the elements of the template and no others, whatever a server answers.
func TestHostileHTML(t *testing.T) {
	allowed := map[string]bool{}
	for name := range strings.FieldsSeq("html head meta title style body h1 h2 h3 p b ul li dl dt dd code pre div table thead tbody tr th td small a section") {
		allowed[name] = true
	}
	eachHostile(t, func(t *testing.T, r *Report, text string) {
		var b bytes.Buffer
		if err := r.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		document, err := html.Parse(&b)
		if err != nil {
			t.Fatal(err)
		}
		for n := range document.Descendants() {
			if n.Type == html.CommentNode || n.Type == html.ElementNode && !allowed[n.Data] {
				t.Errorf("%q: the page has %q", text, n.Data)
			}
			for _, a := range n.Attr {
				outside := (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, "#r")
				if outside || strings.HasPrefix(a.Key, "on") || n.Data == "h1" {
					t.Errorf("%q: the page has %s=%q", text, a.Key, a.Val)
				}
			}
		}
	})
}

// JUnit XML is XML with the elements that readers know, whatever a server answers.
func TestHostileJUnit(t *testing.T) {
	allowed := map[string]bool{"testsuites": true, "testsuite": true, "properties": true, "property": true, "testcase": true, "failure": true, "error": true, "skipped": true}
	eachHostile(t, func(t *testing.T, r *Report, text string) {
		var b bytes.Buffer
		if err := r.WriteJUnit(&b); err != nil {
			t.Fatal(err)
		}
		cases := 0
		for d := xml.NewDecoder(&b); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if e, ok := token.(xml.StartElement); ok {
				if !allowed[e.Name.Local] {
					t.Errorf("%q: an element %s", text, e.Name.Local)
				}
				if e.Name.Local == "testcase" {
					cases++
				}
			}
		}
		if want := len(r.Results) + len(r.Problems); cases != want {
			t.Errorf("%q: %d test cases, want %d", text, cases, want)
		}
	})
}

// JSON gives back what went in.
func TestHostileJSON(t *testing.T) {
	eachHostile(t, func(t *testing.T, r *Report, text string) {
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		var d document
		if err := json.Unmarshal(bytes.ReplaceAll(b.Bytes(), []byte(`"tookMs": `), []byte(`"-": `)), &d); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got, want := d.Results[0].Came, strings.ToValidUTF8(r.Results[0].Came, "\ufffd"); got != want {
			t.Errorf("%q comes back as %q", want, got)
		}
	})
}

// No text of a server reaches the terminal with a control character.
func TestHostileText(t *testing.T) {
	for _, text := range hostile {
		r := hostileReport(t, text, false)
		var b bytes.Buffer
		p := NewProgress(&b, 0, len(r.Results), fixed)
		for i, x := range r.Results {
			p.Ended(x, i+1, len(r.Results))
		}
		if err := r.WriteText(&b, true); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); visible(got) != got {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A text within a line of Markdown has nothing that means anything there.
func FuzzInline(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := inline(text)
		if strings.ContainsAny(strings.NewReplacer("&#", "", ";", "").Replace(got), strings.NewReplacer("&", "", "#", "").Replace(special)+"\n\r") {
			t.Errorf("%q becomes %q", text, got)
		}
		if back, want := html.UnescapeString(got), strings.NewReplacer("\n", " ", "\r", " ").Replace(text); utf8.ValidString(text) && back != want {
			t.Errorf("%q is read as %q", want, back)
		}
	})
}

// No text ends the fence that it is in.
func FuzzFenced(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := fenced(text)
		fence, _, _ := strings.Cut(got, "text\n")
		if len(fence) < 3 || strings.Trim(fence, "`") != "" {
			t.Fatalf("%q is not fenced: %q", text, got)
		}
		if n := strings.Count(got, fence); n != 2 || !strings.HasSuffix(got, "\n"+fence+"\n") {
			t.Errorf("%q has the fence %d times: %q", text, n, got)
		}
	})
}

// The step summary is never larger than GitHub takes it, and says what is missing.
func TestSummaryIsBounded(t *testing.T) {
	r := hostileReport(t, strings.Repeat("`<", maxText), false)
	for len(r.Results) < 300 {
		r.Results = append(r.Results, r.Results...)
	}
	file := filepath.Join(t.TempDir(), "summary")
	for _, before := range []int{0, 1000, maxSummary - 10, maxSummary, maxSummary + 10} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.AppendSummary(file); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || len(got) > max(maxSummary, before) {
			t.Errorf("%d bytes before: %d after, %v", before, len(got), err)
		}
		if said := bytes.HasSuffix(got, []byte(leftOut)); said != (before < maxSummary-10) {
			t.Errorf("%d bytes before: that some is missing is said: %t", before, said)
		}
	}
}
