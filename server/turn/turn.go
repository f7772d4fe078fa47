// Package turn carries one turn of a conversation from its begin in the store,
// through the agent's answer, to its commit. It knows no HTTP: package server
// decodes requests for it and writes what comes of them.
package turn

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"parley/server/copilot"
	"parley/store"
)

// Failures that begin in this package.
var (
	// ErrOverloaded says that as many turns run as may, in all or of one owner.
	ErrOverloaded = errors.New("turn: too many turns at once")
	// ErrShuttingDown says that this process takes no new turns, or gave one up
	// because its time was over.
	ErrShuttingDown = errors.New("turn: shutting down")
)

// Config is what a Runner is made of. All of it must be given, but for the
// bounds.
type Config struct {
	Store store.Store
	Agent copilot.Agent
	Log   *slog.Logger
	Now   func() time.Time
	NewID func() string // makes UUIDs

	// Class names the failure class of an error. It is asked, and no class is named
	// here, because the table of classes is the server's.
	Class func(error) string
	// OnAgent is told how each call of the agent went: a failure class, "" for
	// well.
	OnAgent func(class string)
	// OnCommitDropped is told of every end of a turn that was given up without
	// being stored, with the class of what kept it from that. It must not call
	// the Runner.
	OnCommitDropped func(class string)

	// AgentTimeout bounds all that one turn asks of the agent.
	AgentTimeout time.Duration
	// StoreTimeout bounds a store call that no longer hangs on the client's
	// request. It should exceed the store's own limit for one call.
	StoreTimeout time.Duration
	// CommitTimeout is how long a request goes on trying to store the agent's
	// answer, and how long one attempt after it may take.
	CommitTimeout time.Duration
	// TurnWait is how long a request waits while another turn runs in its
	// conversation; 0 for not at all. It should exceed store.LeaseTime, so that the
	// turn of an instance that died keeps nobody out.
	TurnWait time.Duration
	// MaxTurns is how many turns run at once before more are refused with
	// ErrOverloaded, MaxTurnsPerOwner how many of one owner; 0 for no bound.
	MaxTurns, MaxTurnsPerOwner int
}

// Runner runs turns. It is safe for use from many goroutines.
type Runner struct {
	cfg     Config
	limiter *Limiter
	running running
	queue   queue
	outbox  *outbox

	// life ends, with ErrShuttingDown as its cause, when turns that still run
	// have to give up.
	life context.Context
	kill context.CancelCauseFunc
}

// New makes a Runner. Shutdown must be called to end what it leaves running.
func New(cfg Config) *Runner {
	r := &Runner{
		cfg: cfg, limiter: NewLimiter(cfg.MaxTurns, cfg.MaxTurnsPerOwner),
		running: running{turns: map[conversationKey]*runningTurn{}},
		queue:   queue{waiting: map[conversationKey][]*waiter{}}, outbox: newOutbox(cfg),
	}
	r.life, r.kill = context.WithCancelCause(context.Background())
	return r
}

// PendingCommits is how many turns have ended and could not yet be stored.
func (r *Runner) PendingCommits() int { return r.outbox.pending() }

// Shutdown refuses new turns and waits for those that run, and for what they
// left to be stored. When ctx is done first, it ends them and returns the
// context's error: each is recorded as failed for ErrShuttingDown, and what the
// store has not taken by then is dropped.
func (r *Runner) Shutdown(ctx context.Context) error {
	defer r.outbox.close(ctx)
	empty := r.limiter.Close()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	r.kill(ErrShuttingDown)
	// What is left is one bounded store call for each turn.
	<-empty
	return ctx.Err()
}

// Stage is where in a turn something failed.
type Stage string

// The stages of a turn.
const (
	StageBegin    Stage = "begin"
	StageUpstream Stage = "upstream"
	StageComplete Stage = "complete"
)

// Progress is how far a turn has come and what it cost. It belongs to the
// goroutine of its request, and is meaningful also when the turn failed.
type Progress struct {
	Stage        Stage  // where it failed; "" when it did not
	Conversation string // "" while there is none that could be named
	Store        time.Duration
	Upstream     time.Duration
	Restarted    bool   // the agent had forgotten the conversation
	Replayed     bool   // the answer is the stored one of an earlier request
	Joined       bool   // the turn is that of an earlier request that still ran
	AgentError   string // the platform's code, when the agent answered with an error in words
}

// Watch begins to read a feed, for a caller that wants to know what the agent says
// while it says it. Stop must return when all that the feed has is read, or nobody
// reads it any more.
type Watch func(f *Feed) (stop func())

// Run is the turn protocol: begin, ask, commit. A store that is down fails it
// before the agent has been asked; from then on nothing but the agent, a lost
// lease or the end of the process ends it, so that an answer which was given is
// also stored, whether or not the client still waits.
//
// While another turn runs in the conversation, it waits for up to TurnWait. If that
// turn is of the same input, it joins it: it gives what that turn comes to, and
// stops waiting for it when ctx is done.
//
// Watch, unless nil, is called once the turn runs. The error is one of this
// package, a *store.Error or another of package store's, a *copilot.Error, a
// *PanicError, or the context's own.
func (r *Runner) Run(ctx context.Context, p *Progress, req *Request, watch Watch) (_ Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = NewPanicError(v)
		}
	}()
	p.Stage = StageBegin
	if !req.Kind.starts() {
		p.Conversation = req.Conversation // a new one has no name until it is there
	}
	if err := r.limiter.Enter(req.Owner); err != nil {
		return Answer{}, err
	}
	defer r.limiter.Leave(req.Owner)

	user := r.userMessage(req)
	b := store.Begin{
		Owner: req.Owner, Conversation: req.Conversation, New: req.Kind.starts(),
		Key: req.Key, Fingerprint: req.Fingerprint, Workflow: req.Workflow.stored(),
	}
	if !b.New {
		b.Input = user
	}
	held, joined, err := r.begin(ctx, p, req, b)
	switch {
	case err != nil:
		return Answer{}, err
	case joined != nil:
		return r.follow(ctx, p, req, joined, watch)
	case held.Replay != nil:
		p.Replayed, p.Conversation = true, req.Conversation
		return replay(req, held.Replay)
	}
	return r.carry(ctx, p, req, user, held, watch)
}

// follow waits for a turn that another request runs.
func (r *Runner) follow(ctx context.Context, p *Progress, req *Request, j *joinedTurn, watch Watch) (Answer, error) {
	defer j.leave()
	p.Joined = true
	if watch != nil {
		defer watch(j.feed)()
	}
	a, stage, err := j.wait(ctx)
	p.Stage = stage
	if err == nil {
		p.Conversation = req.Conversation
	}
	return a, err
}

// carry asks the agent and stores what it answered.
func (r *Runner) carry(ctx context.Context, p *Progress, req *Request, user []store.Message, held *store.Turn, watch Watch) (a Answer, err error) {
	f := &Feed{}
	if watch != nil {
		defer watch(f)()
	}
	key := req.conversationKey()
	remove := r.running.add(key, &runningTurn{held: held, key: req.requestKey(), begun: r.cfg.Now(), feed: f})
	defer func() {
		if v := recover(); v != nil {
			err = NewPanicError(v)
		}
		remove()
		f.end(a, err, p.Stage)
		r.queue.notify(key)
	}()

	p.Stage = StageUpstream
	done, ex, err := r.ask(ctx, p, req, user, held, f)
	if err != nil {
		return Answer{}, err
	}

	p.Stage = StageComplete
	p.Restarted, p.AgentError = ex.Restarted, agentErrorIn(done.Messages)
	// Not failed when this fails: the acknowledgement may be what got lost, and
	// the answer stored all the same.
	if err := r.commit(ctx, p, held, done); err != nil {
		return Answer{}, err
	}
	p.Stage, p.Conversation = "", req.Conversation
	return answerOf(req, done.Messages, ex), nil
}

// userMessage is the user's side of the turn, as it is stored; none for a
// greeting.
func (r *Runner) userMessage(req *Request) []store.Message {
	if !req.Kind.talks() {
		return nil
	}
	return []store.Message{{ID: r.cfg.NewID(), Role: store.RoleUser, Kind: store.KindText, Text: req.Text, CardID: req.CardID}}
}

// timed runs f and adds its duration to sum.
func (r *Runner) timed(sum *time.Duration, f func() error) error {
	began := r.cfg.Now()
	defer func() { *sum += r.cfg.Now().Sub(began) }()
	return f()
}

// detached is a context that outlives the request but not its usefulness.
func detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
