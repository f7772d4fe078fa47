package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/server"
	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
	"parley/store/redis"
)

// probeTime bounds each part of a probe. They are tried at the same time.
const probeTime = 5 * time.Second

// part is one thing that the service needs, and a way to try it once.
type part struct {
	name, place string     // place is host:port, without anything secret
	stage       turn.Stage // of a request that fails for it
	// try finds out whether the part answers, and says what it has proven, or "", which it
	// may also do beside an error. It is nil for what there is no need to try.
	try func(context.Context) (said string, err error)
	// untried is why there is not.
	untried string
}

// finding is what came of trying a part.
type finding struct {
	part
	said string
	err  error
	took time.Duration
}

// probe tries everything that the configuration names, and says what answers. Its error
// says how many parts did not.
func probe(ctx context.Context, c config, with seams, stdout io.Writer) error {
	parts, closeAll, err := partsOf(c, with)
	if err != nil {
		return configError{err}
	}
	defer closeAll()
	found := make([]finding, len(parts))
	var trying sync.WaitGroup
	for i, p := range parts {
		trying.Go(func() { found[i] = p.tried(ctx) })
	}
	trying.Wait()
	failed, tried := 0, 0
	for _, f := range found {
		if _, err := fmt.Fprintln(stdout, f.line(ctx)); err != nil {
			return err
		}
		if f.try != nil {
			tried++
		}
		if f.err != nil {
			failed++
		}
	}
	switch {
	case failed == 0:
		return nil
	case ctx.Err() != nil:
		return errors.New("check-config: interrupted before everything was tried")
	}
	return fmt.Errorf("check-config: %d of the %d that were tried did not answer as they should", failed, tried)
}

// tried tries a part.
func (p part) tried(ctx context.Context) finding {
	f := finding{part: p}
	if p.try == nil {
		return f
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	f.said, f.err = p.try(ctx)
	f.took = time.Since(began)
	return f
}

// line is what a person reads of it.
func (f finding) line(ctx context.Context) string {
	if f.try == nil {
		return fmt.Sprintf("%-9s %-15s %s", "not tried", f.name, f.untried)
	}
	state, said := "ok", f.said
	switch {
	case f.err != nil && ctx.Err() != nil:
		state, said = "stopped", "interrupted before there was an answer"
	case f.err != nil:
		if state = "FAILED"; said != "" {
			said += ": "
		}
		said += failureText(f.stage, f.err)
	}
	return fmt.Sprintf("%-9s %-15s %s  %.0f ms  %s", state, f.name, f.place, float64(f.took)/float64(time.Millisecond), said)
}

// failureText says which part broke in the words of the table of failures and of the
// operator's guide, and what is known beside that.
func failureText(stage turn.Stage, err error) string {
	class := server.Class(err)
	if errors.Is(err, copilot.ErrToken) {
		stage = turn.StageToken
	} else if e, ok := errors.AsType[*store.Error](err); ok && e.Op == "CompleteTurn" {
		stage = turn.StageComplete
	}
	text := fmt.Sprintf("%s at stage %s", class, stage)
	if known := detail(err); len(known) > 0 {
		text += " (" + strings.Join(known, ", ") + ")"
	}
	for f := range server.Failures() {
		if f.Class == class {
			text += ": " + strings.ReplaceAll(f.Meaning, "`", "")
		}
	}
	return text + "; what to do: telemetry/README.md#" + class
}

// keysError is an auth.ErrUnavailable with what the fetch of the keys came to.
type keysError struct{ cause error }

// Error implements error.
func (e *keysError) Error() string { return strings.TrimPrefix(e.cause.Error(), "auth: ") }

// Unwrap makes it the failure that a request has.
func (e *keysError) Unwrap() []error { return []error{auth.ErrUnavailable, e.cause} }

// refusedCommand finds the command that the ACL of Redis does not let its user run. It
// decides nothing: it is for a person to read.
var refusedCommand = regexp.MustCompile(`'([a-z]{1,32}(?:\|[a-z-]{1,32})?)' command`)

// detail is what an error tells beside its class. It never repeats what a server has
// answered, which may be what it was shown.
func detail(err error) (known []string) {
	if e, ok := errors.AsType[*store.Error](err); ok {
		known = []string{e.Code, e.Reason}
		if errors.Is(e.Kind, store.ErrAuth) && e.Cause != nil {
			if m := refusedCommand.FindStringSubmatch(e.Cause.Error()); m != nil {
				known = append(known, "the command "+m[1])
			}
		}
		if rehearsed(e.Op) {
			known = append(known, "in "+e.Op)
		}
	} else if e, ok := errors.AsType[*copilot.Error](err); ok {
		if e.Status != 0 {
			known = append(known, fmt.Sprintf("status %d", e.Status))
		}
		known = append(known, e.Code, e.Reason)
		if e.Cause != nil {
			known = append(known, e.Cause.Error())
		}
	} else if e, ok := errors.AsType[*keysError](err); ok {
		known = []string{e.Error()}
	}
	return slices.DeleteFunc(known, func(s string) bool { return s == "" })
}

// rehearsed reports whether a call is one that a conversation makes.
func rehearsed(op string) bool {
	command, _ := redis.Operation(op)
	return command != "" && op != "Ping" && op != "Shards"
}

// hostPort is the place that a URL leads to, and nothing else of it.
func hostPort(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "redis": "6379", "rediss": "6379"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
