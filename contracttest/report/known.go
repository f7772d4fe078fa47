package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The bounds of a file of known failures.
const (
	maxKnownBytes = 1 << 20
	maxKnown      = 10_000 // entries
)

// KnownFailures are rules that are expected to fail. A nil one expects nothing.
type KnownFailures struct {
	file    string
	entries []knownEntry
}

type knownEntry struct {
	line    int
	pattern Pattern
	reason  string
}

// ParseKnownFailures reads the entries of a file, one a line:
//
//	pattern # why it fails
//
// Empty lines, and lines that begin with "#", are not entries. An entry without a
// reason, one that is there twice, a pattern that is none, and a file of more than
// 1 MiB or 10 000 entries are faults; all of them are in the error, each with its line.
func ParseKnownFailures(file string, r io.Reader) (*KnownFailures, error) {
	k := &KnownFailures{file: file}
	var faults []error
	fault := func(line int, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s:%d: %s", file, line, visible(fmt.Sprintf(format, args...))))
	}
	text, err := io.ReadAll(io.LimitReader(r, maxKnownBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case len(text) > maxKnownBytes:
		return nil, fmt.Errorf("%s: it is larger than %d bytes", file, maxKnownBytes)
	}
	first := map[string]int{}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	lines.Buffer(nil, maxKnownBytes+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		written, reason := cutReason(line)
		p, err := ParsePattern(written)
		switch {
		case err != nil:
			fault(n, "%q is no pattern: %v", written, err)
		case reason == "":
			fault(n, "%s has no reason: write one behind it, after \" # \"", written)
		case first[written] > 0:
			fault(n, "%s is in line %d already", written, first[written])
		case len(k.entries) == maxKnown:
			return nil, errors.Join(append(faults, fmt.Errorf("%s:%d: there are more than %d entries", file, n, maxKnown))...)
		default:
			first[written] = n
			k.entries = append(k.entries, knownEntry{n, p, reason})
		}
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	return k, nil
}

// cutReason splits an entry at the first "#" that follows a space.
func cutReason(line string) (pattern, reason string) {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && (line[i-1] == ' ' || line[i-1] == '\t') {
			return strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
		}
	}
	return line, ""
}

// Check reports every entry that matches none of the rules that there are, whether
// they are tried in this run or not: its rule was renamed, or never existed.
func (k *KnownFailures) Check(ids []string) error {
	if k == nil {
		return nil
	}
	var faults []error
	for _, e := range k.entries {
		if !slices.ContainsFunc(ids, e.pattern.Matches) {
			faults = append(faults, fmt.Errorf("%s:%d: %s matches no rule", k.file, e.line, e.pattern))
		}
	}
	return errors.Join(faults...)
}

// judge compares what came of a rule with what is expected of it.
func (k *KnownFailures) judge(id string, f Finding) Finding {
	if k == nil {
		return f
	}
	i := slices.IndexFunc(k.entries, func(e knownEntry) bool { return e.pattern.Matches(id) })
	if i < 0 {
		return f
	}
	e := k.entries[i]
	switch f.Outcome {
	case Failed:
		f.Outcome, f.Reason = KnownFailure, e.reason
	case Passed:
		f.Outcome, f.Reason = UnexpectedPass, fmt.Sprintf("%s:%d expects it to fail: %s", k.file, e.line, e.reason)
	default: // nothing was found out
	}
	return f
}

// unconfirmed names the entries whose rules were all skipped: an entry must fail, and
// these did not. Entries that no result of this run is about are left alone, because a
// run may be about some rules only.
func (k *KnownFailures) unconfirmed(results []Result) []string {
	if k == nil {
		return nil
	}
	var problems []string
	for _, e := range k.entries {
		matched, skipped := 0, 0
		for _, x := range results {
			if e.pattern.Matches(x.ID) {
				matched++
				if x.Outcome == Skipped {
					skipped++
				}
			}
		}
		if matched > 0 && matched == skipped {
			problems = append(problems, fmt.Sprintf("%s:%d: %s must fail, but every rule that it matches is skipped", k.file, e.line, e.pattern))
		}
	}
	return problems
}
