package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/contracttest/claims"
	"parley/contracttest/matrix"
	"parley/contracttest/profiles"
	"parley/contracttest/report"
	"parley/contracttest/runner"
)

// suite is one run: what is tried, and on what.
type suite struct {
	options *options
	profile *profiles.Profile
	bounds  matrix.Bounds
	all     []unit // everything that there is
	units   []unit // what was chosen
	known   *report.KnownFailures
}

func newSuite(o *options) (*suite, error) {
	p, err := profiles.Open(o.profile)
	if err != nil {
		return nil, err
	}
	s := &suite{options: o, profile: p}
	s.bounds = matrix.Bounds{
		Slack: p.Bounds.Answer, AtOnce: p.Bounds.AtOnce, Recovery: p.Bounds.Recovery, HealthRecovery: p.Bounds.Health, Lease: p.Bounds.Lease,
		GiveUp: giveUp,
	}.OrParleys()
	s.all = plan(o, p.Lacks, s.bounds)
	if o.store == inMemory && !p.Lacks.Has(claims.Memory) {
		return nil, fmt.Errorf("--store memory: the profile %s does not claim %s", p.Name, claims.Memory)
	}
	if err := s.everyClaimIsTested(); err != nil {
		return nil, err
	}
	if s.units, err = only(s.all, o.only); err != nil {
		return nil, err
	}
	if o.knownFailures != "" {
		f, err := os.Open(o.knownFailures)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		if s.known, err = report.ParseKnownFailures(o.knownFailures, f); err != nil {
			return nil, err
		}
		var ids []string
		for _, u := range s.all {
			for _, r := range u.rules {
				ids = append(ids, r.ID)
			}
		}
		if err := s.known.Check(ids); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// giveUp is how long an answer is waited for that may never come: longer than anybody
// promises, on a machine that is busy.
const giveUp = 10 * time.Second

// everyClaimIsTested reports what a profile claims and nothing tries: who reads a
// green report would take it for proven.
func (s *suite) everyClaimIsTested() error {
	tested := map[claims.Claim]bool{claims.Memory: true} // by all that is tried in memory
	for _, u := range s.all {
		for _, c := range u.tested {
			tested[c] = tested[c] || u.skip == ""
		}
	}
	var faults []error
	for _, d := range claims.All() {
		if s.profile.Lacks.Has(d.Claim) && !tested[d.Claim] && s.options.url == "" && s.options.store == onRedis && s.options.redisURL == "" && !s.options.quick {
			faults = append(faults, fmt.Errorf("the profile %s claims %q, and no rule tests it", s.profile.Name, d.Claim))
		}
	}
	return errors.Join(faults...)
}

// list prints the rules, and of those that are skipped why.
func (s *suite) list(w io.Writer) {
	chapter := ""
	for _, u := range s.units {
		for _, r := range u.rules {
			if r.Chapter != chapter {
				chapter = r.Chapter
				fmt.Fprintf(w, "\n%s\n", chapter)
			}
			about := r.Sentence
			if r.Column != "" {
				about = r.Fault
			}
			if u.skip != "" {
				about = "(skipped: " + u.skip + ") " + about
			}
			fmt.Fprintf(w, "  %-40s %s\n", r.ID, about)
		}
	}
}

// explain says what a rule is about.
func (s *suite) explain(w io.Writer, id string) error {
	for _, u := range s.all {
		i := slices.IndexFunc(u.rules, func(r report.Rule) bool { return r.ID == id })
		if i < 0 && u.name == id {
			i = 0
		}
		if i < 0 {
			continue
		}
		r := u.rules[i]
		fmt.Fprintf(w, "%s\n\n", id)
		if r.Fault != "" {
			fmt.Fprintf(w, "fault:    %s\n", r.Fault)
		}
		fmt.Fprintf(w, "promise:  %s\nwhy:      %s\nhow:      %s\n", r.Sentence, u.why, u.how)
		if len(u.tested) > 0 {
			fmt.Fprintf(w, "claims:   %s\n", joined(u.tested))
		}
		if u.skip != "" {
			fmt.Fprintf(w, "skipped:  %s\n", u.skip)
		}
		return nil
	}
	return fmt.Errorf("there is no rule %q: --list lists them", id)
}

// run tries everything that was chosen.
func (s *suite) run(ctx context.Context, stderr io.Writer) (*report.Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.timeout, fmt.Errorf("the time of the run is over (--timeout %v)", s.options.timeout))
	defer cancel()
	var planned []report.Rule
	for _, u := range s.units {
		planned = append(planned, u.rules...)
	}
	progress := report.NewProgress(stderr, terminalWidth(stderr), len(planned), time.Now)
	defer progress.Close()
	target := strings.Join(s.options.words, " ")
	if s.options.url != "" {
		target = s.options.url
	}
	redact := report.NewRedactor(password(s.options.redisURL))
	recorder, err := report.NewRecorder(report.Head{
		Title: "Contract of the Parley API", Tool: "parley-contract", Version: version(), Target: target, Profile: s.profile.Name, Store: s.options.store,
		Seed: s.options.seed, Rounds: s.options.rounds, Bounds: []report.Measure{
			report.Milliseconds("answer beside what is waited for", s.bounds.Slack), report.Milliseconds("at once", s.bounds.AtOnce),
			report.Milliseconds("good again", s.bounds.Recovery),
		},
	}, planned, s.known, redact, progress)
	if err != nil {
		return nil, err
	}
	var fault error
	o := runner.Run(ctx, "run", func(tb testing.TB) {
		r := newRig(tb, s)
		if fault = r.preflight(tb); fault != nil {
			return
		}
		s.each(tb, r, recorder)
	})
	switch {
	case fault != nil:
		return nil, fault
	case o.Failed:
		return nil, errors.New(strings.Join(o.Failures, "\n"))
	case o.Skipped != "":
		return nil, errors.New(o.Skipped)
	}
	return recorder.Finish(context.Cause(ctx)), nil
}

// each runs the units, some at the same time.
func (s *suite) each(tb testing.TB, r *rig, recorder *report.Recorder) {
	tb.Helper()
	todo := make(chan unit)
	var working sync.WaitGroup
	for range s.options.parallel {
		working.Go(func() {
			for u := range todo {
				s.tryUnit(tb.Context(), r, u, recorder)
			}
		})
	}
	for _, u := range s.units {
		if u.skip != "" {
			for _, rule := range u.rules {
				recorder.End(rule.ID, report.Finding{Outcome: report.Skipped, Reason: u.skip})
			}
			continue
		}
		if u.alone || tb.Context().Err() != nil { // select may choose the unit all the same
			continue
		}
		select {
		case todo <- u:
		case <-tb.Context().Done():
		}
	}
	close(todo)
	working.Wait()
	for _, u := range s.units {
		if u.skip == "" && u.alone && tb.Context().Err() == nil {
			s.tryUnit(tb.Context(), r, u, recorder)
		}
	}
}

// tryUnit tries a unit in as many rounds as were asked for, and ends when all its rules
// have failed. A rule that failed in one round has failed, whatever comes of the others.
func (s *suite) tryUnit(ctx context.Context, r *rig, u unit, recorder *report.Recorder) {
	for _, rule := range u.rules {
		recorder.Begin(rule.ID)
	}
	began := time.Now()
	found := map[string]report.Finding{}
	failed := func(rule report.Rule) bool { return found[rule.ID].Outcome == report.Failed }
	for range s.options.rounds {
		if ctx.Err() != nil {
			break
		}
		round := r.attempt(ctx, u)
		if ctx.Err() != nil {
			break // what came of this round is not the server's
		}
		for id, f := range round {
			if old, ok := found[id]; !ok || !old.Outcome.Bad() || f.Outcome == report.Failed && old.Outcome != report.Failed {
				found[id] = f
			}
		}
		if !slices.ContainsFunc(u.rules, func(rule report.Rule) bool { return !failed(rule) }) {
			break
		}
	}
	for _, rule := range u.rules {
		if ctx.Err() != nil && !failed(rule) {
			continue // it was not tried as often as was asked for
		}
		f, ok := found[rule.ID]
		if !ok {
			f = report.Finding{Outcome: report.NotRun, Reason: "nothing came of it"}
		}
		if f.Took == 0 {
			f.Took = report.Duration(time.Since(began))
		}
		recorder.End(rule.ID, f)
	}
}

// terminalWidth is the number of columns that the progress may take; 0 where nobody
// watches.
func terminalWidth(w io.Writer) int {
	const usual = 100
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("TERM") == "dumb" {
		return 0
	}
	return usual
}
