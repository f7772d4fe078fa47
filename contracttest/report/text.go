package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The most bytes of each text of a finding. A report of a thousand rules that all
// fail stays a few megabytes.
const (
	maxText   = 4 << 10 // of Sent, Expected, Came
	maxReason = 1 << 10
	maxAnswer = 256
	maxName   = 64 // of a measure
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// secretShapes find what looks like a secret wherever it came from, and say what to
// write in its place.
var secretShapes = []struct {
	find *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?i)\b((?:proxy-)?authorization["']?\s*:\s*["']?(?:[a-z]+\s+)?)[^\s"',]+`), "${1}" + redacted},
	// The word is also used in sentences; a token is longer than most words.
	{regexp.MustCompile(`\b((?i:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}`), "${1}" + redacted},
	// A signed token: three parts, of which the first is the JSON of a header.
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`), redacted},
	// The password of a URL.
	{regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@`), "${1}" + redacted + "@"},
	{regexp.MustCompile(`(?i)\b((?:set-cookie|cookie|x-api-key|ocp-apim-subscription-key)\s*:\s*)[^\r\n]+`), "${1}" + redacted},
	// Fields of JSON, also of JSON in a string, and of forms.
	{regexp.MustCompile(`(?i)(\\?"` + secretNames + `\\?"\s*:\s*\\?")[^"\\]+`), "${1}" + redacted},
	{regexp.MustCompile(`(?i)\b(` + secretNames + `=)[^\s&"']+`), "${1}" + redacted},
}

const secretNames = `(?:access_?token|refresh_?token|id_?token|token|client_?secret|client_?assertion|password|secret|api_?key)`

// Redactor takes secrets out of texts. The zero value knows none but finds what
// looks like one.
type Redactor struct{ secrets []string }

// minSecret is the shortest secret that is looked for by its value. A shorter one
// would take ordinary words with it.
const minSecret = 6

// NewRedactor knows secrets by their value, such as the token that a run made or
// the password in the URL of its Redis. Those shorter than 6 bytes are not looked for.
func NewRedactor(secrets ...string) Redactor {
	known := slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return len(s) < minSecret })
	// Of two that begin alike, the longer one first: else its rest would stay.
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	return Redactor{known}
}

// Redact replaces every secret in a text.
func (r Redactor) Redact(text string) string {
	for _, s := range r.secrets {
		text = strings.ReplaceAll(text, s, redacted)
	}
	for _, s := range secretShapes {
		text = s.find.ReplaceAllString(text, s.with)
	}
	return text
}

// longestSecret bounds what is recognized at the end of a text that had to be cut
// before it was searched.
const longestSecret = 8 << 10

// clean makes a text of a server fit for any report: without secrets, visible, and
// with at most limit bytes of it. It is redacted before it is cut, because half a
// secret is not recognized.
func (r Redactor) clean(text string, limit int) string {
	all, cut := len(text), false
	// To search is work for each byte, and what is far behind the end is not shown.
	if most := 16*limit + longestSecret; all > most {
		text, cut = text[:most], true
	}
	text = r.Redact(text)
	if cut {
		text = text[:max(0, len(text)-longestSecret)]
	}
	if text = visible(text); len(text) <= limit && !cut {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes in all)", atRune(text, limit), all)
}

// atRune is the beginning of a text, at most limit bytes, without half a rune.
func atRune(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// visible writes what cannot be seen, or changes how the rest is seen, as an escape:
// control characters, which steer a terminal and are not allowed in XML; marks that
// turn the direction of text; and bytes that are not UTF-8. Tabs and ends of lines stay.
func visible(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clean bounds and redacts everything in a finding.
func (f Finding) clean(r Redactor) Finding {
	f.Reason, f.Answer = r.clean(f.Reason, maxReason), r.clean(f.Answer, maxAnswer)
	f.Sent, f.Expected, f.Came = r.clean(f.Sent, maxText), r.clean(f.Expected, maxText), r.clean(f.Came, maxText)
	f.Broken = slices.Clone(f.Broken)
	for i, p := range f.Broken {
		f.Broken[i] = r.clean(p, maxName)
	}
	f.Measures = slices.Clone(f.Measures)
	for i, m := range f.Measures {
		f.Measures[i].Name, f.Measures[i].Unit = r.clean(m.Name, maxName), r.clean(m.Unit, maxName)
	}
	return f
}
