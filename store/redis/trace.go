package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Trace is told what a Store does that its callers cannot see, in the manner of
// httptrace.ClientTrace. Its functions may be nil and must not block.
type Trace struct {
	// RoundTrip is called after each exchange with the server, with the context
	// of the call it was for. Setting up a connection is not reported: servers
	// refuse parts of it that do not matter.
	RoundTrip func(ctx context.Context, r RoundTrip)
	// Dialed is called when a connection was opened, or could not be. Connections
	// are opened in the background, for whichever call comes to need one.
	Dialed func(ctx context.Context, took time.Duration, err error)
	// Breaker is called when the circuit breaker has found out what failures in a
	// row mean, and when Redis is back.
	Breaker func(e BreakerEvent)
	// Moved is called when the primaries turn out to be others than before, for a reason
	// in fixed words. It may be called some ten times a second while a cluster changes.
	Moved func(reason string)
}

// Why Trace.Moved is called.
const (
	movedFromReplica = "connections led to a replica, and are replaced by such as lead to a primary: after a failover, the former primary kept them open"
	movedSentinels   = "the sentinels name another primary: a failover, or somebody has set them up anew"
	movedPrimaries   = "the primaries of the cluster are others: a failover, or one was added or removed"
	movedUncovered   = "slots of the cluster have no primary"
	movedCovered     = "all slots of the cluster have a primary again"
)

// BreakerEvent is something that the circuit breaker found out.
type BreakerEvent struct {
	// Shard is whose breaker it is: the number of the primary in the order of the slots,
	// from 0. A primary that takes the place of another has its number.
	Shard  int
	Open   bool   // whether calls fail from now on without being tried
	Reason string // in fixed words
	// Err is the last of the failures that made the breaker ask Redis itself, with
	// its kind and, for a timeout, its size in bytes; nil when Redis is back.
	Err error
	// Took is how long the breaker's own PING took; when Redis is back, how long
	// the breaker was open.
	Took time.Duration
}

// What BreakerEvent.Reason says.
const (
	reasonSilent        = "Redis fails to answer a PING on a connection of its own"
	reasonAnswers       = "Redis answers a PING on a connection of its own: the calls kept each other waiting"
	reasonSendsReplies  = "Redis is late to answer a PING and goes on sending replies: they fill the network"
	reasonNoFiles       = "this process can open no more files to ask Redis"
	reasonNoCredentials = "there are no credentials to ask Redis with" //nolint:gosec // none are in it
	reasonReplaced      = "Redis answers a PING on a connection of its own: the connections there were led nowhere and are replaced"
	reasonBack          = "Redis answers again"
)

// RoundTrip is one exchange with the server.
type RoundTrip struct {
	Command string // "EVALSHA", or "PIPELINE" for several
	Script  string // name of the script, "" if there is none
	Peer    string // host:port of the connection opened last; "" before the first
	Took    time.Duration
	Err     error // with its kind, as the call would return it
}

// Operation says what a method of store.Store comes to in Redis: its first
// command and, for a script, the script's name. It is "" for what is no method.
func Operation(method string) (command, script string) {
	switch method {
	case "BeginTurn":
		return "EVALSHA", "begin"
	case "CompleteTurn":
		return "EVALSHA", "complete"
	case "FailTurn":
		return "EVALSHA", "fail"
	case "RenewLease":
		return "EVALSHA", "renew"
	case "Publish":
		return "EVALSHA", "publish"
	case "Follow":
		return "EVALSHA", "follow"
	case "Stop":
		return "EVALSHA", "stop"
	case "SetStatus":
		return "EVALSHA", "status"
	case "Delete":
		return "EVALSHA", "delete"
	case "Conversation", "List", "Ping", "Shards":
		return "PIPELINE", ""
	}
	return "", ""
}

// names gives each script its name, by what a command can call it.
func (s scripts) names() map[string]string {
	names := map[string]string{}
	for name, sc := range map[string]script{
		"begin": s.begin, "complete": s.complete, "fail": s.fail, "renew": s.renew,
		"status": s.status, "delete": s.del, "import": s.imp,
		"publish": s.publish, "follow": s.follow, "stop": s.stop,
	} {
		names[sc.sha], names[sc.text] = name, name
	}
	return names
}

// tracer is the hook that calls a Trace.
type tracer struct {
	trace  Trace
	names  map[string]string
	client *client
	// follows says whether a redirect is followed, and so is no failure.
	follows bool
	peer    atomic.Pointer[string]
}

var _ goredis.Hook = (*tracer)(nil)

func newTracer(t Trace, s scripts) *tracer {
	if t.Dialed == nil {
		t.Dialed = func(context.Context, time.Duration, error) {}
	}
	return &tracer{trace: t, names: s.names()}
}

// of is the hook for one client.
func (t *tracer) of(c *client) *tracer {
	return &tracer{trace: t.trace, names: t.names, client: c, follows: t.follows}
}

// DialHook implements goredis.Hook.
func (t *tracer) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		began := time.Now()
		conn, err := next(ctx, network, addr)
		if err == nil {
			peer := conn.RemoteAddr().String()
			t.peer.Store(&peer)
		}
		t.trace.Dialed(ctx, time.Since(began), t.client.excuse(classify(ctx, ctx, "dial", err), began))
		return conn, err
	}
}

// ProcessHook implements goredis.Hook.
func (t *tracer) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	if t.trace.RoundTrip == nil {
		return next
	}
	return func(ctx context.Context, cmd goredis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		if !setsUp(cmd) {
			t.report(ctx, strings.ToUpper(cmd.Name()), t.script(cmd), time.Since(began), err)
		}
		return err
	}
}

// ProcessPipelineHook implements goredis.Hook.
func (t *tracer) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	if t.trace.RoundTrip == nil {
		return next
	}
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		if len(cmds) > 0 && setsUp(cmds[0]) {
			return err
		}
		failed := err
		for _, cmd := range cmds {
			// Any of them may have failed; the first may just have found nothing.
			if e := cmd.Err(); e != nil && !errors.Is(e, goredis.Nil) && (!t.follows || !turnedAway(e)) {
				failed = e
				break
			}
		}
		command, script := "PIPELINE", ""
		if len(cmds) == 2 && cmds[1].Name() == "wait" {
			command, script = strings.ToUpper(cmds[0].Name()), t.script(cmds[0])
		}
		t.report(ctx, command, script, time.Since(began), failed)
		return err
	}
}

func (t *tracer) report(ctx context.Context, command, script string, took time.Duration, err error) {
	r := RoundTrip{Command: command, Script: script, Took: took}
	if p := t.peer.Load(); p != nil {
		r.Peer = *p
	}
	switch {
	case err == nil, errors.Is(err, goredis.Nil): // nothing there is an answer
	case goredis.HasErrorPrefix(err, "NOSCRIPT"): // as is "say it in full"
	case t.follows && turnedAway(err): // the call fails if nobody takes it in the end
	default:
		r.Err = t.client.classify(ctx, ctx, command, time.Now().Add(-took), err)
	}
	t.trace.RoundTrip(ctx, r)
}

// script is the name of the script that a command runs.
func (t *tracer) script(cmd goredis.Cmder) string {
	if args := cmd.Args(); len(args) > 1 && strings.HasPrefix(cmd.Name(), "eval") {
		if body, ok := args[1].(string); ok {
			return t.names[body]
		}
	}
	return ""
}

// setsUp reports whether a command belongs to setting up a connection.
func setsUp(cmd goredis.Cmder) bool {
	switch cmd.Name() {
	case "hello", "auth", "client", "select":
		return true
	}
	return false
}
