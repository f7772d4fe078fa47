package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// marks are the outcomes as one letter of a matrix.
func (o Outcome) mark() string {
	switch o {
	case Passed:
		return "."
	case Failed:
		return "X"
	case Skipped:
		return "-"
	case KnownFailure:
		return "k"
	case UnexpectedPass:
		return "!"
	default:
		return "?"
	}
}

// WriteText writes the report for a terminal: a matrix for each chapter that has
// one, what was skipped and why, everything about each failure, and the totals. With
// details it lists every result with its answer and measures as well.
func (r *Report) WriteText(w io.Writer, details bool) error {
	var b bytes.Buffer
	for _, c := range r.chapters() {
		c.writeMatrix(&b)
		if details {
			c.writeDetails(&b)
		}
	}
	for _, u := range r.skips() {
		fmt.Fprintf(&b, "\nskipped, %s:\n", u.Reason)
		for _, id := range u.IDs {
			fmt.Fprintf(&b, "  %s\n", id)
		}
	}
	for _, x := range r.explained() {
		fmt.Fprintf(&b, "\n%s: %s\n", strings.ToUpper(x.Outcome.words()), x.ID)
		for _, l := range x.lines() {
			fmt.Fprintf(&b, "  %-9s %s\n", l.Name, indent(l.Text))
		}
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "\nPROBLEM: %s\n", p)
	}
	if broken := r.broken(); broken != "" {
		fmt.Fprintf(&b, "\nBroken promises: %s\n", broken)
	}
	fmt.Fprintf(&b, "\n%s %s in %s.\n", r.verdict(), r.counts(), r.Took)
	_, err := b.WriteTo(w)
	return err
}

// counts are the totals in words, outcomes that did not occur left out.
func (r *Report) counts() string {
	t := r.Totals()
	text := fmt.Sprintf("%d rules", t.All)
	sep := ": "
	for _, o := range outcomes() {
		if n := t.Counts[o]; n > 0 {
			text += fmt.Sprintf("%s%d %s", sep, n, o.words())
			sep = ", "
		}
	}
	return text
}

// indent keeps the further lines of a text below its first.
func indent(text string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+strings.Repeat(" ", 12))
}

// writeMatrix draws rows of one letter for each column, below a list of the columns.
func (c chapter) writeMatrix(b *bytes.Buffer) {
	if len(c.Rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n  . kept   X broken   k known failure   ! unexpectedly passed   ? could not run   - skipped\n\n", c.Name)
	width := 0
	for _, r := range c.Rows {
		width = max(width, len(r.ID))
	}
	for i, name := range c.Columns {
		fmt.Fprintf(b, "  %*s %s%s\n", width, "", strings.Repeat("| ", i), name)
	}
	for _, r := range c.Rows {
		line := fmt.Sprintf("  %-*s", width, r.ID)
		for _, x := range r.Cells {
			mark := " "
			if x != nil {
				mark = x.Outcome.mark()
			}
			line += " " + mark
		}
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
}

func (c chapter) writeDetails(b *bytes.Buffer) {
	if len(c.Rules) > 0 {
		fmt.Fprintf(b, "\n%s\n", c.Name)
	}
	for _, x := range c.Rules {
		x.writeDetail(b, x.ID)
	}
	for _, r := range c.Rows {
		fmt.Fprintf(b, "\n%s: %s\n", r.ID, r.Fault)
		for _, x := range r.Cells {
			if x != nil {
				x.writeDetail(b, x.Column)
			}
		}
	}
}

func (x Result) writeDetail(b *bytes.Buffer, name string) {
	line := fmt.Sprintf("  %s %-46s %-24s %s", x.Outcome.short(), name, x.Answer, measures(x.Measures))
	fmt.Fprintln(b, strings.TrimRight(line, " "))
}

// short is the outcome as the first word of a line.
func (o Outcome) short() string {
	switch o {
	case Passed:
		return "ok   "
	case Failed:
		return "FAIL "
	case Skipped:
		return "skip "
	case KnownFailure:
		return "known"
	case UnexpectedPass:
		return "PASS!"
	default:
		return "?    "
	}
}
