package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"parley/server/copilot"
	"parley/store"
)

// turns carries turns from their begin to their end. It knows no HTTP.
type turns struct {
	store           store.Store
	agent           copilot.Agent
	health          *Health
	gate            *gate
	upstreamTimeout time.Duration
	storeTimeout    time.Duration
	now             func() time.Time
	newID           func() string
	log             *slog.Logger
	running         running
	commits         *commits

	// life ends, with ErrShuttingDown as its cause, when turns that still run
	// have to give up.
	life context.Context
	kill context.CancelCauseFunc
}

func newTurns(cfg Config) *turns {
	t := &turns{
		store: cfg.Store, agent: cfg.Agent, health: cfg.Health, gate: newGate(cfg.MaxTurns, cfg.MaxTurnsPerOwner),
		upstreamTimeout: cfg.UpstreamTimeout, storeTimeout: cfg.StoreTimeout,
		now: cfg.Now, newID: cfg.NewID, log: cfg.Log,
		running: running{feeds: map[request]*feed{}}, commits: newCommits(cfg),
	}
	t.life, t.kill = context.WithCancelCause(context.Background())
	return t
}

// shutdown waits for the turns that run, and ends them when ctx is done. What
// has not been stored by then is dropped.
func (t *turns) shutdown(ctx context.Context) error {
	defer t.commits.close(ctx)
	empty := t.gate.close()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	t.kill(ErrShuttingDown)
	// What is left is one bounded store call for each turn.
	<-empty
	return ctx.Err()
}

// input is one thing a user asks for, by whichever route it came.
type input struct {
	owner       store.Owner
	identity    copilot.Identity
	start       bool   // a new conversation, which the agent greets
	talk        bool   // there is something to say
	id          string // of the conversation
	key         string
	fingerprint string
	workflow    *workflowContext
	text        string          // what goes upstream
	value       json.RawMessage // what a card submits
	said        []store.Message // the user's side of it
}

// answer is what a turn came to, fresh or stored.
type answer struct {
	id       string
	messages []store.Message // the agent's, of the turn that was asked for
	extra    extra
	replayed bool
}

// run is the turn protocol: begin, ask, complete. A store that is down fails it
// before the agent has been asked; from then on nothing but the agent, a lost
// lease or the end of the process ends it, so that an answer which was given is
// also stored, whether or not the client still waits. What the agent says goes
// to f as it comes, and what the turn came to when it is stored; f may be nil.
func (t *turns) run(ctx context.Context, p *progress, in *input, f *feed) (a answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
		f.end(a, err, p.stage)
	}()
	p.stage = stageBegin
	if !in.start {
		p.conversation = in.id // a new one has no name until it is there
	}
	if err := t.gate.enter(in.owner); err != nil {
		return answer{}, err
	}
	defer t.gate.leave(in.owner)

	held, err := t.begin(ctx, p, in)
	if err != nil {
		return answer{}, err
	}
	if held.Replay != nil {
		p.replayed, p.conversation = true, in.id
		return replay(in, held.Replay)
	}

	defer t.running.add(in, f)()
	p.stage = stageUpstream
	done, ex, err := t.ask(ctx, p, in, held, f)
	if err != nil {
		return answer{}, err
	}

	p.stage = stageComplete
	p.restarted, p.agentError = ex.Restarted, agentErrorIn(done.Messages)
	// Not failed when this fails: the acknowledgement may be what got lost, and
	// the answer stored all the same.
	err = t.timed(&p.store, func() error { return t.commit(ctx, held, done) })
	if err != nil {
		return answer{}, err
	}
	p.stage, p.conversation = "", in.id
	return answerOf(in, done.Messages, ex), nil
}

// begin takes the turn, on the request's own context: a client that has left by
// now has nothing begun for it.
func (t *turns) begin(ctx context.Context, p *progress, in *input) (*store.Turn, error) {
	b := store.Begin{
		Owner: in.owner, Conversation: in.id, New: in.start,
		Key: in.key, Fingerprint: in.fingerprint, Workflow: in.workflow.stored(),
	}
	if !in.start {
		b.Input = in.said
	}
	var held store.Turn
	err := t.timed(&p.store, func() error {
		err := t.commits.settle(ctx, place{in.owner, in.id})
		if err == nil {
			held, err = t.store.BeginTurn(ctx, b)
		}
		return err
	})
	return &held, err
}

// ask has the agent answer while it keeps the lease, and records the turn as
// failed when nothing comes of it.
func (t *turns) ask(ctx context.Context, p *progress, in *input, held *store.Turn, f *feed) (done *store.Completion, ex extra, err error) {
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.upstreamTimeout)
	defer cancel()
	work, release := t.keep(work, held)
	defer release()

	class := classPanic // what the turn failed of when nothing below comes to say so
	defer func() {
		if class == "" {
			return
		}
		release()
		fail, cancel := detached(ctx, t.storeTimeout)
		defer cancel()
		failErr := t.timed(&p.store, func() error { return late("FailTurn", t.store.FailTurn(fail, *held, class)) })
		if outage(failErr) {
			t.commits.push(&ending{turn: *held, class: class}, failErr)
		}
		if failErr != nil {
			t.log.LogAttrs(fail, logWarn, "turn could not be recorded as failed",
				slog.String("class", class), slog.String("store_class", Class(failErr)))
		}
	}()

	var said reply
	err = t.timed(&p.upstream, func() error {
		said, err = t.converse(work, in, held, f)
		return err
	})
	switch cause := context.Cause(work); {
	case err == nil:
		t.health.sawUpstream("")
		done, ex = t.completion(in, held, &said)
		class = ""
	case errors.Is(cause, store.ErrStale) || errors.Is(cause, store.ErrNotFound):
		// Another turn took this one's place, or the conversation was deleted:
		// there is nothing left to fail.
		class, err = "", cause
	case errors.Is(cause, ErrShuttingDown):
		class, err = Class(cause), cause
	default:
		class = Class(err)
		t.health.sawUpstream(class)
	}
	return done, ex, err
}

// When a lease is renewed, and when again if that failed.
const (
	renewEvery = store.LeaseTime / 3
	renewAgain = store.LeaseTime / 15
)

// keep renews the lease of a turn until release is called, and ends the context
// it returns, with the reason as its cause, when the turn is lost or the process
// ends. A renewal that fails otherwise is soon tried again, so that a store that
// blinks costs no lease; it changes nothing more: the fence decides at the commit.
func (t *turns) keep(ctx context.Context, held *store.Turn) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(t.life, func() { cancel(context.Cause(t.life)) })
	// A timer and no goroutine: a stack that waits would be a good part of what a
	// turn costs.
	var renewing sync.Mutex // held by a renewal, and until next is set
	renewing.Lock()
	defer renewing.Unlock()
	var next *time.Timer
	next = time.AfterFunc(renewEvery, func() {
		renewing.Lock()
		defer renewing.Unlock()
		if ctx.Err() != nil {
			return
		}
		switch err := t.renew(ctx, held); {
		case err == nil:
			next.Reset(renewEvery)
		case errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrNotFound):
			cancel(err)
		default:
			next.Reset(renewAgain)
		}
	})
	return ctx, func() {
		unlink()
		cancel(nil)
		renewing.Lock() // a renewal that is under way ends first
		defer renewing.Unlock()
		next.Stop()
	}
}

// renew must not outlast the interval, or one slow call would cost the lease. On
// a goroutine of its own, a panic would end the process and every other turn.
func (t *turns) renew(ctx context.Context, held *store.Turn) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p := &panicError{value: v, stack: debug.Stack()}
			t.log.LogAttrs(ctx, logError, "lease renewal panicked", slog.String("error", p.Error()), slog.String("stack", string(p.stack)))
			err = p
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	return t.store.RenewLease(ctx, *held)
}

// late gives an error its class when a limit of this package's own ran out
// before the store's did.
func late(op string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &store.Error{Op: op, Kind: store.ErrTimeout, Cause: err}
	}
	return err
}

// timed runs f and adds its duration to sum.
func (t *turns) timed(sum *time.Duration, f func() error) error {
	began := t.now()
	defer func() { *sum += t.now().Sub(began) }()
	return f()
}

// detached is a context that outlives the request but not its usefulness.
func detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
