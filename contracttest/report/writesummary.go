package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSummary is what GitHub takes as the summary of one step. It drops the whole
// summary if there is more.
const maxSummary = 1 << 20

// AppendSummary appends the report to the file of a GitHub step summary, whose name
// is in GITHUB_STEP_SUMMARY. What is there already counts.
func (r *Report) AppendSummary(file string) (err error) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write the step summary: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.Stat()
	if err != nil {
		return fmt.Errorf("write the step summary: %w", err)
	}
	return r.WriteMarkdown(f, maxSummary-int(min(before.Size(), maxSummary)))
}

// WriteMarkdown writes the report as GitHub's Markdown, at most limit bytes of it: the
// totals, the failures, the matrix and what was skipped, until there is no more room.
// What is left out is said.
func (r *Report) WriteMarkdown(w io.Writer, limit int) error {
	m := &markdown{left: limit - len(leftOut)}
	head := fmt.Sprintf("\n## %s\n\n**%s** %s in %s.\n\n", inline(r.Title), r.verdict(), r.counts(), r.Took)
	for _, l := range r.about() {
		head += fmt.Sprintf("- %s: %s\n", l.Name, inlineCode(l.Text))
	}
	m.add(head)
	for _, p := range r.Problems {
		m.add("\n> **Problem:** " + inline(p) + "\n")
	}
	for _, x := range r.explained() {
		m.add(x.markdown())
	}
	for _, c := range r.chapters() {
		m.add(c.markdown())
	}
	for _, u := range r.skips() {
		text := "\n<details><summary>skipped, " + inline(u.Reason) + fmt.Sprintf(" (%d)</summary>\n\n", len(u.IDs))
		for _, id := range u.IDs {
			text += "- " + inlineCode(id) + "\n"
		}
		m.add(text + "\n</details>\n")
	}
	if m.full && limit >= len(leftOut) {
		m.text.WriteString(leftOut)
	}
	_, err := io.WriteString(w, m.text.String())
	return err
}

const leftOut = "\nThere is no room here for the rest; the other reports of this run have all of it.\n"

// markdown collects blocks while there is room. No block is cut: half a table or a
// fence that does not end would take what follows with it.
type markdown struct {
	text strings.Builder
	left int
	full bool
}

func (m *markdown) add(block string) {
	if m.full = m.full || len(block) > m.left; !m.full {
		m.text.WriteString(block)
		m.left -= len(block)
	}
}

// markdown is everything about one result.
func (x Result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary>%s: %s</summary>\n\n", x.Outcome.words(), inlineCode(x.ID))
	text := ""
	for _, l := range x.lines() {
		text += fmt.Sprintf("%-9s %s\n", l.Name, indent(l.Text))
	}
	b.WriteString(fenced(text) + "\n</details>\n")
	return b.String()
}

// markdown is the matrix of a chapter. Its rules that are no cells are told by the
// totals, and by what was said of those that need a look.
func (c chapter) markdown() string {
	if len(c.Rows) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n| |", inline(c.Name))
	for _, name := range c.Columns {
		fmt.Fprintf(&b, " %s |", inlineCode(name))
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(c.Columns)) + "\n")
	for _, r := range c.Rows {
		fmt.Fprintf(&b, "| %s |", inlineCode(r.ID))
		for _, x := range r.Cells {
			switch {
			case x == nil:
				b.WriteString(" |")
			case x.Outcome == Passed:
				b.WriteString(" ok |")
			case x.Outcome == Skipped:
				b.WriteString(" – |")
			default:
				fmt.Fprintf(&b, " **%s** |", x.Outcome.words())
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// fenced is a block of code that its text cannot end: the fence is longer than any
// run of backticks in it.
func fenced(text string) string {
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", max(3, longest+1))
	return fence + "text\n" + strings.TrimRight(text, "\n") + "\n" + fence + "\n"
}

// special are the characters that mean something to Markdown within a line, the bar
// of tables included.
const special = "\\`*_{}[]()#+-.!|~<>&@:^$=\"'"

// inline is a text within a line, without any meaning to Markdown or HTML. Each
// special character is written by its number, which no version of Markdown reads as
// anything but the character.
func inline(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r':
			b.WriteByte(' ')
		case strings.ContainsRune(special, r):
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// inlineCode is inline in the type of code.
func inlineCode(text string) string { return "<code>" + inline(text) + "</code>" }
