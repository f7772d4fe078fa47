// Package turn runs one turn of a conversation: it begins the turn in the store, asks
// the agent, and commits the answer. It knows no HTTP: package server decodes requests
// and writes answers.
package turn

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"parley/server/copilot"
	"parley/store"
)

// Failures that begin in this package.
var (
	// ErrOverloaded says that a limit of what runs at once is reached. OverloadedError
	// says which.
	ErrOverloaded = errors.New("turn: too much at once")
	// ErrShuttingDown says that this process is stopping: it refused a turn, or ended
	// one that was still running when ShutdownTimeout was over.
	ErrShuttingDown = errors.New("turn: shutting down")
)

// Config configures a Runner. Everything but the bounds is required.
type Config struct {
	Store store.Store
	Agent copilot.Agent
	Log   *slog.Logger
	Now   func() time.Time
	NewID func() string // makes UUIDs

	// Class names the failure class of an error. It is asked, and no class is named
	// here, because the table of classes is the server's.
	Class func(error) string
	// OnAgent is called after each call of the agent with its failure class, "" for
	// success.
	OnAgent func(class string)
	// OnCommitDropped is called for every result of a turn that is dropped without
	// being stored, with the failure class that kept it from being stored. It must not
	// call the Runner.
	OnCommitDropped func(class string)

	// AgentTimeout bounds the agent's part of one turn.
	AgentTimeout time.Duration
	// StoreTimeout bounds a store call that outlives the client's request. It should
	// exceed the store's own limit for one call.
	StoreTimeout time.Duration
	// CommitTimeout is how long a request tries to store the agent's answer, and the
	// limit of one later attempt.
	CommitTimeout time.Duration
	// TurnWait is how long a request waits while another turn runs in its
	// conversation; 0 for not at all. It should exceed store.LeaseTime, so that the
	// turn of an instance that died keeps nobody out.
	TurnWait time.Duration
	// MaxTurns bounds the turns that run at once, MaxTurnsPerOwner those of one owner;
	// more are refused with ErrOverloaded. 0 for no bound.
	MaxTurns, MaxTurnsPerOwner int
	// Limits are passed to the store with every turn.
	Limits store.Limits
	// MaxAnswerBytes bounds what the agent says in one turn, in the form in which it is
	// stored; 0 for no bound. More fails the turn with copilot.ErrProtocol.
	MaxAnswerBytes int
}

// Runner runs turns. It is safe for use from many goroutines.
type Runner struct {
	cfg     Config
	limiter *Limiter
	running running
	queue   queue
	mirrors mirrors
	// publishers are the goroutines that publish turns.
	publishers sync.WaitGroup
	outbox     *outbox

	// life is canceled, with ErrShuttingDown as its cause, to end the turns that still
	// run.
	life context.Context
	kill context.CancelCauseFunc
	// closing is done when Shutdown has begun. Readers of other instances' turns are
	// then told to go elsewhere.
	closing context.Context
	close   context.CancelFunc
}

// New makes a Runner. Call Shutdown to end its goroutines.
func New(cfg Config) *Runner {
	r := &Runner{
		cfg: cfg, limiter: NewLimiter(cfg.MaxTurns, cfg.MaxTurnsPerOwner, ReasonTurns, ReasonTurnsOfUser),
		running: running{turns: map[conversationKey]*runningTurn{}},
		mirrors: mirrors{byConv: map[conversationKey]*mirror{}},
		queue:   queue{waiting: map[conversationKey][]*waiter{}}, outbox: newOutbox(cfg),
	}
	r.life, r.kill = context.WithCancelCause(context.Background())
	r.closing, r.close = context.WithCancel(r.life)
	return r
}

// PendingCommits is the number of turns whose result waits to be stored.
func (r *Runner) PendingCommits() int { return r.outbox.pending() }

// Shutdown refuses new turns and waits for those that run, and for results that wait
// to be stored. When ctx is done first, it ends the turns and returns the context's
// error: each is recorded as failed with ErrShuttingDown, and results that the store
// has not taken by then are dropped.
func (r *Runner) Shutdown(ctx context.Context) error {
	defer r.outbox.close(ctx)
	defer r.publishers.Wait() // each makes at most one bounded store call
	empty := r.limiter.Close()
	r.close()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	r.kill(ErrShuttingDown)
	// Each turn now makes only one bounded store call.
	<-empty
	return ctx.Err()
}

// Stage is the step of a turn that failed.
type Stage string

// The stages of a turn.
const (
	StageBegin    Stage = "begin"
	StageToken    Stage = "token" // of the agent's, from its issuer
	StageUpstream Stage = "upstream"
	StageComplete Stage = "complete"
)

// Progress has the stage and the costs of a turn, also of one that failed. It belongs
// to the goroutine of its request.
type Progress struct {
	Stage        Stage  // where it failed; "" if it did not
	Conversation string // "" until the conversation exists
	Store        time.Duration
	Upstream     time.Duration
	Restarted    bool   // the agent had forgotten the conversation
	Replayed     bool   // the answer is the stored one of an earlier request
	Joined       bool   // the turn is that of an earlier request that still ran
	JoinedSpan   string // Request.Traceparent of that request; "" if another instance has it
	AgentError   string // the platform's code, if the answer is a platform error message
}

// Watch starts to read a feed, for a caller that streams the turn. stop must return
// when the whole feed is read, or when its reader is gone.
type Watch func(f *Feed) (stop func())

// Run runs one turn: begin, ask, commit. If the store is down, it fails before the
// agent is asked. After the begin, only the agent, a lost lease or the end of the
// process stops it. So the agent's answer is stored, whether or not the client still
// waits.
//
// While another turn runs in the conversation, Run waits for up to TurnWait. If that
// turn has the same input, Run joins it: it returns that turn's outcome, or the
// context's error when ctx is done first.
//
// watch may be nil; it is called once the turn runs. The error is one of this package,
// a *store.Error or another error of package store, a *copilot.Error, a *PanicError,
// or the context's own.
func (r *Runner) Run(ctx context.Context, p *Progress, req *Request, watch Watch) (_ Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = NewPanicError(v)
		}
	}()
	p.Stage = StageBegin
	if !req.Kind.starts() {
		p.Conversation = req.Conversation // the id of a new one is valid only once it is stored
	}
	if err := r.limiter.Enter(req.Owner); err != nil {
		return Answer{}, err
	}
	defer r.limiter.Leave(req.Owner)

	user := r.userMessage(req)
	b := store.Begin{
		Owner: req.Owner, Conversation: req.Conversation, New: req.Kind.starts(),
		Key: req.Key, Fingerprint: req.Fingerprint, Workflow: req.Workflow.stored(), Limits: r.cfg.Limits,
	}
	if !b.New {
		b.Input = user
	}
	for {
		held, joined, err := r.begin(ctx, p, req, b)
		switch {
		case err != nil:
			return Answer{}, err
		case joined != nil:
			a, err := r.follow(ctx, p, req.Conversation, joined, watch)
			if errors.Is(err, ErrAbandoned) && (watch == nil || joined.feed.silent()) {
				p.Stage, p.Joined, p.JoinedSpan = StageBegin, false, ""
				continue // its reader has got nothing of it: this request takes the turn over
			}
			return a, err
		case held.Replay != nil:
			p.Replayed, p.Conversation = true, req.Conversation
			return replay(req, held)
		}
		return r.carry(ctx, p, req, user, held, watch)
	}
}

// follow waits for a turn that another request runs.
func (r *Runner) follow(ctx context.Context, p *Progress, conversation string, j *joinedTurn, watch Watch) (Answer, error) {
	defer j.leave()
	p.Joined, p.JoinedSpan = true, j.span
	if watch != nil {
		defer watch(j.feed)()
	}
	a, stage, err := j.wait(ctx)
	p.Stage = stage
	if err == nil {
		p.Conversation = conversation
	}
	return a, err
}

// carry asks the agent and stores what it answered.
func (r *Runner) carry(ctx context.Context, p *Progress, req *Request, user []store.Message, held *store.Turn, watch Watch) (a Answer, err error) {
	f := &Feed{fence: held.Fence}
	if watch != nil {
		defer watch(f)()
	}
	key := req.conversationKey()
	t := &runningTurn{held: held, key: req.requestKey(), begun: r.cfg.Now(), feed: f, span: req.Traceparent}
	remove := r.running.add(key, t)
	r.queue.notify(key)
	defer func() {
		if v := recover(); v != nil {
			err = NewPanicError(v)
		}
		remove()
		f.end(a, err, p.Stage)
		r.queue.notify(key)
	}()

	p.Stage = StageUpstream
	done, ex, err := r.ask(ctx, p, req, user, t)
	if err != nil {
		p.Stage = r.askedStage(err)
		return Answer{}, err
	}

	p.Stage = StageComplete
	p.Restarted, p.AgentError = ex.Restarted, agentErrorIn(done.Messages)
	// An error here does not fail the turn: only the acknowledgement may be lost, and
	// the answer may be stored.
	done.Unheard = ctx.Err() != nil && !t.followed()
	if err := r.commit(ctx, p, held, done); err != nil {
		return Answer{}, err
	}
	p.Stage, p.Conversation = "", req.Conversation
	return answerOf(req, held, done.Messages, ex), nil
}

// userMessage is the user's message as it is stored; none for a greeting.
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

// detached is a context that outlives the request, for limit at most.
func detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
