package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/contracttest/apirules"
	"parley/contracttest/ports"
	"parley/contracttest/profiles"
)

const (
	// maxPrinted bounds what is kept of what a server prints, in bytes.
	maxPrinted = 256 << 10
	// maxShown bounds what is shown of it when the server does not start.
	maxShown = 4 << 10
	// attempts are how often a server is started whose port another program took.
	attempts = 3
	// token is what servers show the agent, which takes any.
	token = "stub"
)

// program is the server under test as a command.
type program struct {
	command []profiles.Template
	profile *profiles.Profile
	startIn time.Duration
	stopIn  time.Duration
}

// values are what the templates of a start can name.
func values(w wiring, port string) profiles.Values {
	v := profiles.Values{
		Host: ports.Host, Port: port, RedisURL: w.RedisURL, RedisCAFile: w.CAFile, RedisTimeout: milliseconds(w.Timeout), RedisTTL: seconds(w.TTL),
		KeyPrefix: w.Prefix, AgentURL: w.AgentURL, AgentToken: token, AgentTimeout: milliseconds(w.AgentTimeout), TurnWait: seconds(w.TurnWait),
		Issuer: w.Issuer, IssuerKeys: w.IssuerKeys, IssuerCAFile: w.IssuerCAFile, Audience: w.Audience, Tenants: w.Tenants, OTLPEndpoint: w.OTLP,
		AdminPort: w.admin, StaticDir: w.static,
	}
	if u, err := url.Parse(w.RedisURL); err == nil && w.RedisURL != "" {
		v.RedisHost, v.RedisPort = u.Hostname(), u.Port()
	}
	return v
}

func milliseconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

func seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.Itoa(int(d / time.Second))
}

// environment is what a server is started with: that of this program without what
// the profile names, so that nothing of it gets in by chance, and what comes of the
// profile.
func (p *program) environment(w wiring, v profiles.Values) []string {
	start := p.profile.Start
	named := []profiles.Env{start.Env, start.Redis, start.SignIn, start.Telemetry, start.Callers}
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.ContainsFunc(named, func(e profiles.Env) bool { _, ok := e[name]; return ok })
	})
	var more []profiles.Env
	if w.RedisURL != "" {
		more = append(more, start.Redis)
	}
	if w.Issuer != "" {
		more = append(more, start.SignIn)
	}
	if w.OTLP != "" {
		more = append(more, start.Telemetry)
	}
	if w.admin != "" {
		more = append(more, start.Callers)
	}
	env = append(env, start.Env.Fill(v, more...)...)
	for i := 0; i+1 < len(w.settings); i += 2 {
		env = append(env, w.settings[i]+"="+w.settings[i+1])
	}
	return env
}

// start starts the server and waits until it answers. It ends with tb: by SIGTERM,
// and if it does not, by SIGKILL.
func (p *program) start(tb testing.TB, w wiring, failed func(error)) *running {
	tb.Helper()
	var deaf *os.File
	if w.deaf {
		deaf = unread(tb)
	}
	var err error
	for range attempts {
		var r *running
		if r, err = p.launch(tb.Context(), w, deaf); err == nil {
			tb.Cleanup(func() { r.end(p.stopIn) })
			return r
		}
		if !errors.Is(err, errEnded) {
			break
		}
	}
	failed(err)
	tb.Fatalf("%v", err)
	return nil
}

// instance is the server for the rules of the API.
func (r *running) instance() apirules.Instance {
	return apirules.Instance{Base: r.base, Kill: r.kill, Log: r.printed.String}
}

// errEnded says that a server ended before it answered: its port may have been taken.
var errEnded = errors.New("the server ended before it answered")

// launch starts the server once. What it prints is kept, or goes to a pipe that nobody
// reads.
func (p *program) launch(ctx context.Context, w wiring, deaf *os.File) (_ *running, failed error) {
	port, err := ports.Claim(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if failed != nil {
			port.Release()
		}
	}()
	v := values(w, port.Number)
	words := make([]string, len(p.command))
	for i, t := range p.command {
		words[i] = t.Fill(v)
	}
	r := &running{port: port, base: "http://" + port.Addr, ended: make(chan struct{})}
	r.cmd = exec.CommandContext(context.WithoutCancel(ctx), words[0], words[1:]...)
	r.cmd.Env = p.environment(w, v)
	r.cmd.Stdout, r.cmd.Stderr = &r.printed, &r.printed
	if deaf != nil {
		r.cmd.Stderr = deaf
	}
	separate(r.cmd)
	// What it started may hold its output open.
	r.cmd.WaitDelay = time.Second
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("the server cannot be started: %w", err)
	}
	if r.group, err = groupOf(r.cmd.Process); err != nil {
		return nil, errors.Join(fmt.Errorf("the server cannot be held with all that it starts: %w", err), r.cmd.Process.Kill(), r.cmd.Wait())
	}
	go func() {
		r.failure = r.cmd.Wait()
		close(r.ended)
	}()
	if err := r.answers(ctx, p.profile.Start.Ready, p.startIn); err != nil {
		r.kill()
		return nil, fmt.Errorf("%w\n%s", err, r.printed.last(maxShown))
	}
	return r, nil
}

// running is a server that was started.
type running struct {
	port    *ports.Port // until end; nobody else may be taken for a server that was killed
	base    string
	cmd     *exec.Cmd
	group   group // the server and all that it started
	printed printed
	ended   chan struct{} // closed when it has ended
	failure error         // how, after that
}

// answers waits until the server answers a request, with whatever status.
func (r *running) answers(ctx context.Context, path string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: limit}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-r.ended:
			return fmt.Errorf("%w: %w", errEnded, cmp.Or(r.failure, errors.New("with status 0")))
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer %s%s within %v: %w", r.base, path, limit, err)
		case <-tick.C:
		}
	}
}

// end asks the server to end, and kills it when it does not within the limit.
func (r *running) end(limit time.Duration) {
	r.group.end()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
	}
	r.kill() // also what is left of its group
	r.port.Release()
}

// kill ends the server as a crash does.
func (r *running) kill() {
	r.group.kill()
	<-r.ended
}

// printed keeps the end of what a server prints.
type printed struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

// Write implements io.Writer.
func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.Write(b)
	if over := p.kept.Len() - maxPrinted; over > 0 {
		p.kept.Next(over)
	}
	return len(b), nil
}

// String is what is kept.
func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept.String()
}

// last is at most the last n bytes.
func (p *printed) last(n int) string {
	all := p.String()
	if len(all) > n {
		all = "… " + all[len(all)-n:]
	}
	return "it printed: " + strings.TrimSpace(all)
}
