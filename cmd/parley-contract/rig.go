package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/apirules"
	"parley/contracttest/apispec"
	"parley/contracttest/claims"
	"parley/contracttest/matrix"
	"parley/contracttest/redistest"
	"parley/contracttest/report"
	"parley/contracttest/runner"
	"parley/server"
)

// rig is what the rules are tried with.
type rig struct {
	suite    *suite
	program  *program
	redis    matrix.Redis // the one that is shared; nil in memory
	document *apispec.Document
}

// The times that a server gets that its profile does not name.
const (
	startTime = 30 * time.Second
	stopTime  = 10 * time.Second
	// turnWait is what a server gets for the time that a turn waits for the one before
	// it, in rows of the matrix.
	turnWait = 6 * time.Second
)

func newRig(tb testing.TB, s *suite) *rig {
	tb.Helper()
	document, err := apispec.Parse(server.OpenAPI())
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{suite: s, document: document, program: &program{command: s.options.command, profile: s.profile, startIn: startTime, stopIn: stopTime}}
	if b := s.profile.Bounds; b.Start > 0 {
		r.program.startIn = b.Start
	}
	if b := s.profile.Bounds; b.Stop > 0 {
		r.program.stopIn = b.Stop
	}
	switch {
	case s.options.store == inMemory || s.options.url != "":
	case s.options.redisURL != "":
		r.redis = flushed(tb, s.options.redisURL)
	default:
		r.redis = r.ownRedis(tb)
	}
	return r
}

// ownRedis starts a Redis that may be harmed.
func (r *rig) ownRedis(tb testing.TB, flags ...string) matrix.Redis {
	tb.Helper()
	if path := r.suite.options.redisServer; path != "" {
		return redistest.StartProgram(tb, path, flags...)
	}
	return redistest.Start(tb, flags...)
}

// somebodys is a Redis that was not started here, and is neither stopped nor killed:
// rows that need that are skipped before.
type somebodys struct {
	matrix.Redis
	url *url.URL
}

// Addr implements matrix.Redis.
func (s somebodys) Addr() string { return s.url.Host }

// URL implements matrix.Redis.
func (s somebodys) URL() string { return s.url.String() }

// flushed empties a Redis of somebody's who allowed it.
func flushed(tb testing.TB, address string) matrix.Redis {
	tb.Helper()
	opt, err := goredis.ParseURL(address)
	if err != nil {
		tb.Fatalf("--redis-url: %v", err)
	}
	opt.MaxRetries, opt.DialerRetries = -1, 1 // it is there, or who named it is told
	c := goredis.NewClient(opt)
	defer func() { _ = c.Close() }()
	if err := c.FlushDB(tb.Context()).Err(); err != nil {
		tb.Fatalf("empty the Redis of --redis-url: %v", err)
	}
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatalf("--redis-url: %v", err)
	}
	if u.Port() == "" {
		u.Host += ":6379"
	}
	return somebodys{url: u}
}

// password is that of a URL; empty if it has none.
func password(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return ""
	}
	secret, _ := u.User.Password()
	return secret
}

// preflight starts the server once, as the rules will: a server that does not start
// breaks no promise.
func (r *rig) preflight(tb testing.TB) error {
	tb.Helper()
	s := r.suite
	if s.options.url != "" {
		started := &running{base: s.options.url, ended: make(chan struct{})}
		return started.answers(tb.Context(), s.profile.Start.Ready, r.program.startIn)
	}
	w := apirules.Wiring{Settings: matrix.Settings{Prefix: "preflight:", Timeout: stopTime, AgentTimeout: stopTime, AgentURL: "http://127.0.0.1:9/agent"}}
	if r.redis != nil {
		w.RedisURL = r.redis.URL()
	}
	var fault error
	o := runner.Run(tb.Context(), "preflight", func(tb testing.TB) {
		r.program.start(tb, wiring{Wiring: w}, func(err error) { fault = err })
	})
	if fault == nil && o.Failed {
		fault = fmt.Errorf("the server does not start: %s", strings.Join(o.Failures, "\n"))
	}
	return fault
}

// attempt tries a unit once.
func (r *rig) attempt(ctx context.Context, u unit) map[string]report.Finding {
	a := &attempt{rig: r, unit: u}
	var found map[string]report.Finding
	o := runner.Run(ctx, u.name, func(tb testing.TB) {
		a.TB = tb
		found = u.try(a)
	})
	if !o.Failed && o.Skipped == "" {
		return found
	}
	// The checks of the rules fail the attempt. The matrix does so only when a cell
	// could not be tried.
	f := report.Finding{Outcome: report.NotRun, Reason: strings.Join(o.Failures, "\n")}
	switch {
	case a.failed != nil:
		f = report.Finding{Outcome: report.Failed, Came: a.failed.Error(), Expected: "a server that starts"}
	case o.Skipped != "":
		f = report.Finding{Outcome: report.Skipped, Reason: o.Skipped}
	case a.isRule:
		f = report.Finding{Outcome: report.Failed, Came: strings.Join(o.Failures, "\n"), Expected: u.rules[0].Sentence, Sent: a.sent, Broken: a.broken}
	}
	all := map[string]report.Finding{}
	for _, rule := range u.rules {
		all[rule.ID] = f
		// A server that an attack ended cannot be asked for what is left, which is no
		// excuse for it.
		if was := found[rule.ID]; was.Outcome == report.Failed && f.Outcome == report.NotRun {
			all[rule.ID] = was
		}
	}
	return all
}

// start starts the server for an attempt.
func (a *attempt) start(tb testing.TB, w apirules.Wiring) apirules.Instance {
	tb.Helper()
	if a.rig.suite.options.url != "" {
		return apirules.Instance{Base: a.rig.suite.options.url}
	}
	return a.launch(tb, wiring{Wiring: w}).instance()
}

// launch starts the server, and notes why it does not start.
func (a *attempt) launch(tb testing.TB, w wiring) *running {
	tb.Helper()
	return a.rig.program.start(tb, w, func(err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.failed = err
	})
}

// target is the server for the matrix.
func (a *attempt) target() matrix.Target {
	s := a.rig.suite
	return matrix.Target{
		Lacks: s.profile.Lacks, Bounds: s.bounds, Redis: a.rig.ownRedis, Columns: a.chosen,
		Service: func(tb testing.TB, w matrix.Settings) string {
			tb.Helper()
			return a.start(tb, apirules.Wiring{Settings: w, TurnWait: turnWait}).Base
		},
	}
}

// row tries a fault of Redis.
func (a *attempt) row(r matrix.Row, secure bool) map[string]report.Finding {
	return findings(matrix.Run(a, a.target(), a.rig.redis, r, secure, 1))
}

// upstream tries a fault of the agent.
func (a *attempt) upstream(r matrix.UpstreamRow) map[string]report.Finding {
	address := ""
	if a.rig.redis != nil {
		address = a.rig.redis.URL()
	}
	return findings(matrix.RunUpstream(a, a.target(), address, r))
}

func findings(cells []matrix.Cell) map[string]report.Finding {
	all := map[string]report.Finding{}
	for _, c := range cells {
		all[c.Rule().ID] = c.Finding()
	}
	return all
}

// rule tries a rule of the API.
func (a *attempt) rule(r apirules.Rule) map[string]report.Finding {
	a.isRule, a.broken = true, names(r.Needs)
	s := a.rig.suite
	subject := apirules.Subject{
		Start: a.start, Redis: a.rig.redis, Fixed: s.options.url != "", Lacks: s.profile.Lacks, Bounds: s.bounds, Document: a.rig.document, Saw: a.saw,
	}
	if s.options.redisURL == "" && a.rig.redis != nil {
		subject.OwnRedis = a.rig.ownRedis
	}
	apirules.Check(a, subject, r)
	return map[string]report.Finding{r.ID: {Outcome: report.Passed, Answer: "ok"}}
}

func names(all []claims.Claim) []string {
	words := make([]string, len(all))
	for i, c := range all {
		words[i] = string(c)
	}
	return words
}
