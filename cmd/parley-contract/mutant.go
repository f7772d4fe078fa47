package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"parley/contracttest/report"
)

// asMutant is the variable by which the program of the mutants is told which of them to
// be, and listMutants what has it print all of them.
const (
	asMutant    = "PARLEY_MUTANT"
	listMutants = "list"
)

// mutant is a service that is broken on purpose, as its program describes it.
type mutant struct {
	Name  string   `json:"name"`
	Wrong string   `json:"wrong"`
	Finds []string `json:"finds"` // ids of the rules that find it; none for the sound one
}

// promise says what must come of it.
func (m mutant) promise() string {
	if len(m.Finds) == 0 {
		return "Nothing finds it."
	}
	return "It is found by " + strings.Join(m.Finds, ", ") + ", and by nothing else that is tried."
}

// build makes the program of the mutants from the checkout around the working
// directory: they are in the tests of cmd/parley, so that none gets into the service.
func build(ctx context.Context, program string, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "parley/cmd/parley")
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the broken services cannot be built, which needs Go and a checkout of Parley around the working directory; or say --mutants PROGRAM: %w", err)
	}
	return nil
}

// listed asks the program of the mutants for their list.
func listed(ctx context.Context, program string) ([]mutant, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), asMutant+"="+listMutants)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("list the mutants of %s: %w %s", program, err, stderr.String())
	}
	var all []mutant
	if err := json.Unmarshal(stdout.Bytes(), &all); err != nil {
		return nil, fmt.Errorf("the list of the mutants of %s: %w", program, err)
	}
	if len(all) == 0 || !slices.ContainsFunc(all, func(m mutant) bool { return len(m.Finds) == 0 }) {
		return nil, fmt.Errorf("%s has no mutants, or no sound service beside them", program)
	}
	return all, nil
}

// rulesFor are the rules that one of the mutants is tried with: those that it names,
// and a sample of those that others name. The sound one is tried with all. Each mutant
// gets other ones, so that every rule is tried on some that it must not find.
func rulesFor(all []mutant, i, sample int) []string {
	var universe []string
	for _, m := range all {
		universe = append(universe, m.Finds...)
	}
	slices.Sort(universe)
	universe = slices.Compact(universe)
	own := all[i].Finds
	if len(own) == 0 {
		return universe
	}
	others := slices.DeleteFunc(universe, func(id string) bool { return slices.Contains(own, id) })
	ids := slices.Clone(own)
	for n := range min(sample, len(others)) {
		ids = append(ids, others[(i*sample+n)%len(others)])
	}
	return ids
}

// readResults reads the results of a report in JSON.
func readResults(file string) (map[string]report.Finding, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var d struct {
		Schema  int `json:"schema"`
		Results []struct {
			ID      string         `json:"id"`
			Outcome report.Outcome `json:"outcome"`
			Reason  string         `json:"reason"`
			Came    string         `json:"came"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if d.Schema != report.Schema {
		return nil, fmt.Errorf("%s has the schema %d, and not %d", file, d.Schema, report.Schema)
	}
	results := map[string]report.Finding{}
	for _, r := range d.Results {
		results[r.ID] = report.Finding{Outcome: r.Outcome, Reason: r.Reason, Came: r.Came}
	}
	return results, nil
}

// judge compares what was found with what the mutant names. Everything that was to be
// tried must have been: a rule that was skipped found nothing.
func (m mutant) judge(ids []string, results map[string]report.Finding) report.Finding {
	var wrong []error
	found, untried := 0, 0
	for _, id := range ids {
		r, ok := results[id]
		named := slices.Contains(m.Finds, id)
		switch {
		case !ok || r.Outcome != report.Passed && r.Outcome != report.Failed:
			untried++
			wrong = append(wrong, fmt.Errorf("%s was not tried: %s %s", id, r.Outcome, r.Reason))
		case named && r.Outcome == report.Failed:
			found++
		case named:
			wrong = append(wrong, fmt.Errorf("%s does not find it", id))
		case r.Outcome == report.Failed:
			wrong = append(wrong, fmt.Errorf("%s finds it, too: %s", id, r.Came))
		}
	}
	f := report.Finding{
		Outcome: report.Passed, Answer: fmt.Sprintf("found by %d of %d", found, len(ids)),
		Expected: m.promise(), Sent: "the rules " + strings.Join(ids, ", "),
	}
	if wrong != nil {
		f.Outcome, f.Came = report.Failed, errors.Join(wrong...).Error()
	}
	if len(wrong) > 0 && len(wrong) == untried {
		f.Outcome, f.Reason = report.NotRun, f.Came
	}
	return f
}
