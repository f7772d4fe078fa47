package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"parley/contracttest/profiles"
	"parley/contracttest/report"
)

// errUsage says that the command line made no sense; what was wrong has been printed.
var errUsage = errors.New("usage")

// The stores that a server can be tried with.
const (
	onRedis  = "redis"
	inMemory = "memory"
)

// options are the command line of run.
type options struct {
	command []profiles.Template // of the server; nil with url
	words   []string            // the same, as they were written
	url     string
	profile string
	store   string

	redisServer, redisURL string
	mayFlush              bool

	only          []string
	list          bool
	explain       string
	rounds        int
	seed          uint64
	quick         bool
	parallel      int
	timeout       time.Duration
	knownFailures string
	reportDir     string
	junit         string
	summary       string
}

func (o *options) register(flags *flag.FlagSet) {
	flags.StringVar(&o.profile, "profile", "parley", "what the server claims and how it is started: one of "+strings.Join(profiles.Names(), ", ")+", or a `FILE`")
	flags.StringVar(&o.url, "url", "", "`URL` of a server that runs already, with an agent and a Redis of its own; instead of a command")
	flags.StringVar(&o.store, "store", onRedis, "where the server keeps conversations: redis or memory")
	flags.StringVar(&o.redisServer, "redis-server", "", "`PATH` of a redis-server to start; default: a container")
	flags.StringVar(&o.redisURL, "redis-url", "", "`URL` of a Redis to use, which is emptied; rows that would harm it are skipped")
	flags.BoolVar(&o.mayFlush, "redis-may-be-flushed", false, "confirms that everything in the Redis of --redis-url may be deleted")
	flags.Func("only", "try the rules of this `PATTERN` only: an id, a row, or row/column, with * for any text; may be repeated", func(p string) error {
		o.only = append(o.only, p)
		return nil
	})
	flags.BoolVar(&o.list, "list", false, "list the rules, and which of them are skipped and why, and end")
	flags.StringVar(&o.explain, "explain", "", "say what the `RULE` promises, why it matters and how it is tried, and end")
	flags.IntVar(&o.rounds, "rounds", 1, "how often each rule is tried, 1 to 100")
	flags.Uint64Var(&o.seed, "seed", 0, "order of the rules; 0 for that of the list")
	flags.BoolVar(&o.quick, "quick", false, "try a sample of the faults that has every failure class: under a minute")
	flags.IntVar(&o.parallel, "parallel", runtime.GOMAXPROCS(0), "how many rules or rows are tried at the same time, 1 to 64")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Minute, "how long the run may take")
	flags.StringVar(&o.knownFailures, "known-failures", "", "`FILE` with the rules that must fail, one a line: PATTERN # reason")
	flags.StringVar(&o.reportDir, "report", "", "`DIR` for contract.html, contract.json and contract.txt")
	flags.StringVar(&o.junit, "junit", "", "`FILE` for the results as JUnit XML")
	flags.StringVar(&o.summary, "summary", os.Getenv("GITHUB_STEP_SUMMARY"), "`FILE` to append a summary in Markdown to")
}

// parseOptions reads the command line. Everything that is wrong is in the error.
func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { writeUsage(stderr) }
	o.register(flags)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, err
	} else if err != nil {
		return nil, errUsage
	}
	o.words = flags.Args()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, word := range o.words {
		t, err := profiles.NewTemplate(word)
		if err != nil {
			fault("the word %q of the command: %w", word, err)
		}
		o.command = append(o.command, t)
	}
	about := o.list || o.explain != ""
	switch {
	case o.url != "" && len(o.words) > 0:
		fault("--url and a command are two servers: say one")
	case o.url == "" && len(o.words) == 0 && !about:
		fault("say what to start: run [flags] -- ./server --its --flags")
	}
	if u, err := url.Parse(o.url); o.url != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		fault("--url %q is not the URL of a server", o.url)
	}
	if o.store != onRedis && o.store != inMemory {
		fault("--store is %q, and not redis or memory", o.store)
	}
	if o.redisServer != "" && o.redisURL != "" {
		fault("--redis-server and --redis-url are two: say one")
	}
	if u, err := url.Parse(o.redisURL); o.redisURL != "" && (err != nil || u.Scheme != "redis" || u.Hostname() == "") {
		fault("--redis-url is not of the form redis://[user:password@]host[:port][/db]: the suite puts proxies in front of it, which need a port without TLS")
	}
	if o.redisURL != "" && !o.mayFlush {
		fault("--redis-url needs --redis-may-be-flushed: everything in that Redis is deleted")
	}
	if o.rounds < 1 || o.rounds > 100 {
		fault("--rounds is %d, and not 1 to 100", o.rounds)
	}
	if o.parallel < 1 || o.parallel > 64 {
		fault("--parallel is %d, and not 1 to 64", o.parallel)
	}
	if o.timeout <= 0 {
		fault("--timeout is %v, and not more than 0", o.timeout)
	}
	return o, errors.Join(faults...)
}

// write writes the report in every form that was asked for.
func (o *options) write(r *report.Report, stdout io.Writer) error {
	errs := []error{r.WriteText(stdout, false)}
	if o.reportDir != "" {
		errs = append(errs, r.WriteFiles(o.reportDir, "contract"))
	}
	if o.junit != "" {
		if err := os.MkdirAll(filepath.Dir(o.junit), 0o755); err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, report.WriteFile(o.junit, r.WriteJUnit))
	}
	if o.summary != "" {
		errs = append(errs, r.AppendSummary(o.summary))
	}
	return errors.Join(errs...)
}
