package profiles

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// Values are what the templates of a profile, and of the command line of a server,
// can name: {{.Port}} and so on. Times are whole numbers. What a start has no use for
// is empty, and a variable whose template comes to nothing is not set.
type Values struct {
	Host, Port   string // where the server is to listen: on Host alone
	RedisURL     string // redis:// or rediss://; empty for conversations in memory
	RedisHost    string // its parts
	RedisPort    string
	RedisCAFile  string // certificates that rediss:// is to trust
	RedisTimeout string // milliseconds that a call of Redis may take
	RedisTTL     string // seconds that a conversation outlives its last write
	KeyPrefix    string // what every key is to begin with

	AgentURL     string // where the agent is asked
	AgentToken   string // what it takes for a token; it takes any
	AgentTimeout string // milliseconds that a call of the agent may take
	TurnWait     string // seconds that a turn may wait for the one before it

	Issuer       string // of the tokens; OpenID Connect discovery is below it
	IssuerKeys   string // its key set
	IssuerCAFile string // certificates that the issuer is to be trusted by
	Audience     string // of the tokens is api:// and this
	Tenants      string // that may come in, with commas between

	OTLPEndpoint string // base URL of OTLP over HTTP

	AdminPort string // for operators' probes, where callers attack
	StaticDir string // of files that are served, likewise
}

// Template is a text with values in it.
type Template struct{ parsed *template.Template }

// plain keeps templates simple: a value in a text, or a text where
// there is a value.
var plain = regexp.MustCompile(`^(\.[A-Z][A-Za-z]*|if \.[A-Z][A-Za-z]*|else|end)$`)

// NewTemplate reads one. Only values, and if, else and end around them, are allowed.
func NewTemplate(text string) (Template, error) {
	if strings.ContainsRune(text, 0) {
		return Template{}, errors.New("it has a zero byte in it")
	}
	for rest := text; ; {
		_, inside, found := strings.Cut(rest, "{{")
		if !found {
			break
		}
		action, after, closed := strings.Cut(inside, "}}")
		action = strings.TrimSpace(strings.Trim(action, "-"))
		if !closed || !plain.MatchString(action) {
			return Template{}, fmt.Errorf("{{%s}} is neither a value nor if, else or end", action)
		}
		rest = after
	}
	parsed, err := template.New("value").Parse(text)
	if err != nil {
		return Template{}, fmt.Errorf("it is not a template: %w", err)
	}
	t := Template{parsed}
	if err := parsed.Execute(io.Discard, Values{}); err != nil {
		return Template{}, fmt.Errorf("it names a value that there is not: %w", err)
	}
	return t, nil
}

// Fill puts the values in.
func (t Template) Fill(v Values) string {
	var b strings.Builder
	if err := t.parsed.Execute(&b, v); err != nil {
		return "" // cannot happen: it was tried, and the texts of v are no functions
	}
	return b.String()
}

// Env are environment variables with templates for their values.
type Env map[string]Template

// Fill gives the variables as "NAME=value", sorted, without those that come to
// nothing. What is set in a later one of more wins.
func (e Env) Fill(v Values, more ...Env) []string {
	all := maps.Clone(e)
	for _, m := range more {
		maps.Copy(all, m)
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if value := all[name].Fill(v); value != "" {
			set = append(set, name+"="+value)
		}
	}
	return set
}
