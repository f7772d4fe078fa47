package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/contracttest/report"
)

const selfTestUsage = `parley-contract self-test shows that this program finds what it is to find: it tries
services that are broken on purpose, each in one way, and a sound one. Each must be
found by the rules that name it, and by no other of those that are tried with it.

flags of self-test:
`

// selfTest is what the command line of self-test asks for.
type selfTest struct {
	mutants     string
	redisServer string
	reportDir   string
	parallel    int
	sample      int
	timeout     time.Duration

	// self makes the command of this program with other arguments.
	self func(ctx context.Context, args ...string) *exec.Cmd
}

func parseSelfTest(args []string, stderr io.Writer) (*selfTest, error) {
	s := &selfTest{}
	flags := flag.NewFlagSet("self-test", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, selfTestUsage)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.mutants, "mutants", "", "`PROGRAM` that has the broken services in it; default: built from the checkout of Parley around here")
	flags.StringVar(&s.redisServer, "redis-server", "", "`PATH` of a redis-server to start; default: a container")
	flags.StringVar(&s.reportDir, "report", "", "`DIR` for self-test.html, self-test.json and self-test.txt")
	flags.IntVar(&s.parallel, "parallel", 2*runtime.GOMAXPROCS(0), "how many services are tried at the same time, 1 to 64")
	flags.IntVar(&s.sample, "sample", 3, "how many rules that must not find a service are tried on it, 0 to 100")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Minute, "how long it may take")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, err
	} else if err != nil {
		return nil, errUsage
	}
	var faults []error
	for _, f := range []struct {
		bad bool
		say string
	}{
		{flags.NArg() > 0, fmt.Sprintf("what is %q?", flags.Arg(0))},
		{s.parallel < 1 || s.parallel > 64, fmt.Sprintf("--parallel is %d, and not 1 to 64", s.parallel)},
		{s.sample < 0 || s.sample > 100, fmt.Sprintf("--sample is %d, and not 0 to 100", s.sample)},
		{s.timeout <= 0, fmt.Sprintf("--timeout is %v, and not more than 0", s.timeout)},
	} {
		if f.bad {
			faults = append(faults, errors.New(f.say))
		}
	}
	return s, errors.Join(faults...)
}

// selfTestCommand is the command self-test. It gives the exit status.
func selfTestCommand(ctx context.Context, args []string, stdout, stderr io.Writer) (status int, err error) {
	defer func() {
		if err != nil && !errors.Is(err, errUsage) {
			fmt.Fprintf(stderr, "parley-contract: %v\n", err)
		}
	}()
	s, err := parseSelfTest(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return report.ExitKept, nil
	}
	if err != nil {
		return report.ExitCouldNot, err
	}
	self, err := os.Executable()
	if err != nil {
		return report.ExitCouldNot, err
	}
	s.self = func(ctx context.Context, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, self, args...)
	}
	r, err := s.run(ctx, stderr)
	if err != nil {
		return report.ExitCouldNot, err
	}
	if s.reportDir != "" {
		err = r.WriteFiles(s.reportDir, "self-test")
	}
	return r.Exit(), errors.Join(err, r.WriteText(stdout, true))
}

// run tries every mutant.
func (s *selfTest) run(ctx context.Context, stderr io.Writer) (*report.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "parley-contract-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if s.mutants == "" {
		s.mutants = filepath.Join(dir, "mutants")
		if err := build(ctx, s.mutants, stderr); err != nil {
			return nil, err
		}
	}
	mutants, err := listed(ctx, s.mutants)
	if err != nil {
		return nil, err
	}
	var plan []report.Rule
	for _, m := range mutants {
		plan = append(plan, report.Rule{
			ID: m.Name, Chapter: "self-test", Sentence: "“" + m.Wrong + "” " + m.promise(),
			Command: asMutant + "=" + m.Name + " parley-contract run " + strings.Join(onlyThese(m.Finds), " ") + " -- " + s.mutants,
		})
	}
	recorder, err := report.NewRecorder(report.Head{
		Title: "Self-test of parley-contract", Tool: "parley-contract", Version: version(), Target: s.mutants, Rounds: 1,
	}, plan, nil, report.Redactor{}, report.NewProgress(stderr, 0, len(plan), time.Now))
	if err != nil {
		return nil, err
	}
	var trying sync.WaitGroup
	room := make(chan struct{}, s.parallel)
	for i, m := range mutants {
		room <- struct{}{}
		trying.Go(func() {
			defer func() { <-room }()
			began := time.Now()
			recorder.Begin(m.Name)
			f := s.try(ctx, m, rulesFor(mutants, i, s.sample), filepath.Join(dir, m.Name))
			f.Took = report.Duration(time.Since(began))
			recorder.End(m.Name, f)
		})
	}
	trying.Wait()
	return recorder.Finish(ctx.Err()), nil
}

// maxOutput bounds what is shown of a run that failed.
const maxOutput = 2 << 10

// try runs this program on one mutant, and judges what it found.
func (s *selfTest) try(ctx context.Context, m mutant, ids []string, dir string) report.Finding {
	args := slices.Concat([]string{"run", "--profile", "parley", "--summary", "", "--report", dir}, onlyThese(ids))
	if s.redisServer != "" {
		args = append(args, "--redis-server", s.redisServer)
	}
	cmd := s.self(ctx, append(args, "--", s.mutants)...)
	cmd.Env = append(os.Environ(), asMutant+"="+m.Name)
	// What the run itself started ends with it, when it is asked to end.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	output, err := cmd.CombinedOutput()
	results, rerr := readResults(filepath.Join(dir, "contract.json"))
	if rerr != nil {
		if len(output) > maxOutput {
			output = output[len(output)-maxOutput:]
		}
		return report.Finding{Outcome: report.NotRun, Reason: fmt.Sprintf("it was not tried: %v, %v\n%s", err, rerr, output)}
	}
	return m.judge(ids, results)
}

// onlyThese are the flags that choose rules.
func onlyThese(ids []string) []string {
	var flags []string
	for _, id := range ids {
		flags = append(flags, "--only", id)
	}
	return flags
}
