package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxEnvFile bounds an environment file, in bytes.
const maxEnvFile = 1 << 20

// readEnvFile reads a file of settings. Its errors name lines and repeat nothing of
// them: any line may hold a secret.
func readEnvFile(name string) (environment, error) {
	unreadable := fmt.Errorf("--env-file: %q cannot be read; expected a file of lines NAME=value, of at most 1 MiB", name)
	f, err := os.Open(name) //nolint:gosec // the operator says which
	if err != nil {
		return nil, unreadable
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil || len(text) > maxEnvFile {
		return nil, unreadable
	}
	env, err := parseEnv(string(text))
	if err != nil {
		return nil, fmt.Errorf("--env-file: %q, %w", name, err)
	}
	for variable := range env {
		if strings.HasPrefix(variable, "OTEL_") {
			return nil, fmt.Errorf("--env-file: %s is read from the environment only", variable)
		}
	}
	return env, nil
}

// parseEnv reads lines of NAME=value. The readers there are put other variables in
// for a $, or end a value at any #, and so make another secret of a secret. Here a
// value is what it looks like:
//
//   - without quotes, all up to the end of the line, or to white space and a #, without
//     the white space around it;
//   - in single quotes or backquotes, all between them, which may be several lines;
//   - in double quotes, the same, but \n, \r, \t, \" and \\ mean what they do in JSON.
//
// Names may follow the word export. Of two lines with one name the last counts.
func parseEnv(text string) (environment, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, errors.New("is no text in UTF-8")
	}
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	name := regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*`)
	comment := regexp.MustCompile(`^[ \t]*(#.*)?$`)
	env := environment{}
	for at := 1; text != ""; {
		line, rest, _ := strings.Cut(text, "\n")
		if comment.MatchString(line) {
			text, at = rest, at+1
			continue
		}
		line = strings.TrimLeft(line, " \t")
		head := name.FindStringSubmatch(line)
		if head == nil {
			return nil, fmt.Errorf("line %d: is not of the form NAME=value", at)
		}
		value := line[len(head[0]):]
		if strings.HasPrefix(value, "#") && !strings.HasSuffix(head[0], "=") {
			value = "" // white space and a comment
		}
		if value == "" || !strings.ContainsRune("'\"`", rune(value[0])) {
			env[head[1]], text, at = unquoted(value), rest, at+1
			continue
		}
		text = strings.TrimLeft(text, " \t")[len(head[0]):]
		quoted, after, err := quotedValue(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		at += strings.Count(text[:len(text)-len(after)], "\n")
		line, rest, _ = strings.Cut(after, "\n")
		if !comment.MatchString(line) {
			return nil, fmt.Errorf("line %d: goes on behind the closing quote; expected another kind of quote around the value", at)
		}
		env[head[1]], text, at = quoted, rest, at+1
	}
	return env, nil
}

// unquoted is a value without quotes.
func unquoted(value string) string {
	for i := 1; i < len(value); i++ {
		if value[i] == '#' && (value[i-1] == ' ' || value[i-1] == '\t') {
			value = value[:i]
			break
		}
	}
	return strings.TrimRight(value, " \t")
}

// quotedValue reads a value that begins with a quote, and gives what follows it.
func quotedValue(text string) (value, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == text[0]:
			return b.String(), text[i+1:], nil
		case c != '\\' || text[0] != '"':
			b.WriteByte(c)
		default:
			i++
			at := -1
			if i < len(text) {
				at = strings.IndexByte(`nrt"\`, text[i])
			}
			if at < 0 {
				return "", "", errors.New(`has a \ that begins no escape; expected \\ for it, or single quotes around the value`)
			}
			b.WriteByte("\n\r\t\"\\"[at])
		}
	}
	return "", "", errors.New("has a quote without an end")
}
