package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/store"
)

// ErrAbandoned says that the instance that ran a turn is gone: its lease has lapsed
// and nobody renews it, or somebody else took the turn over.
var ErrAbandoned = errors.New("turn: the instance that ran the turn is gone")

// RelayedError is the failure of a turn that another instance ran.
type RelayedError struct{ Class string }

// Error implements error.
func (e *RelayedError) Error() string {
	return fmt.Sprintf("turn: failed on another instance with class %s", e.Class)
}

// How a turn of another instance is followed.
const (
	pollInterval = 100 * time.Millisecond
	// lapseGrace is how long a lapsed lease is no reason to give the turn up: after an
	// outage of the store its instance renews it.
	lapseGrace = 2 * time.Second
	// pollPatience is how long the store may fail before the readers are told.
	pollPatience = 10 * time.Second
)

// mirrors are the turns of other instances that readers of this process follow. Each
// is asked for once, for all of its readers.
type mirrors struct {
	mu     sync.Mutex
	byConv map[conversationKey]*mirror
}

// mirror is one of them.
type mirror struct {
	key    conversationKey
	kind   Kind // of the request, for the form of its answer
	feed   *Feed
	cancel context.CancelFunc
	ended  chan struct{}
}

// joinElsewhere joins the turn that another instance runs in a conversation; nil if
// none runs. The caller must call leave.
func (r *Runner) joinElsewhere(ctx context.Context, p *Progress, key conversationKey, kind Kind) (*joinedTurn, error) {
	ask := store.Follow{Owner: key.owner, Conversation: key.conversation, New: kind.starts()}
	for began := time.Now(); ; {
		var now store.Relayed
		err := r.timed(&p.Store, func() (err error) {
			now, err = r.cfg.Store.Follow(ctx, ask)
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case now.State != store.TurnRunning:
			return nil, nil //nolint:nilnil // no turn is no error
		case now.Held:
			return r.joinMirror(key, kind, now)
		case time.Since(began) >= lapseGrace:
			return nil, nil //nolint:nilnil // as above
		}
		if !sleep(ctx, pollInterval) {
			return nil, ctx.Err()
		}
	}
}

// joinMirror joins the mirror of a turn, or makes it.
func (r *Runner) joinMirror(key conversationKey, kind Kind, now store.Relayed) (*joinedTurn, error) {
	r.mirrors.mu.Lock()
	defer r.mirrors.mu.Unlock()
	if r.closing.Err() != nil {
		return nil, ErrShuttingDown
	}
	m := r.mirrors.byConv[key]
	if m == nil || m.feed.fence != now.Fence || m.failed() {
		ctx, cancel := context.WithCancel(r.closing)
		m = &mirror{key: key, kind: kind, feed: &Feed{fence: now.Fence}, cancel: cancel, ended: make(chan struct{})}
		r.mirrors.byConv[key] = m
		go func() {
			defer close(m.ended)
			defer cancel()
			r.poll(ctx, m, now)
		}()
	}
	if !m.feed.join() {
		return nil, &OverloadedError{ReasonReaders}
	}
	return &joinedTurn{feed: m.feed, leave: func() { r.leaveMirror(m) }}, nil
}

// failed reports whether the readers were told that the turn failed. It may have been
// given up too early.
func (m *mirror) failed() bool {
	_, _, over, err := m.feed.outcome()
	return over && err != nil
}

// leaveMirror ends a mirror with its last reader.
func (r *Runner) leaveMirror(m *mirror) {
	r.mirrors.mu.Lock()
	last := m.feed.leave()
	if last && r.mirrors.byConv[m.key] == m {
		delete(r.mirrors.byConv, m.key)
	}
	r.mirrors.mu.Unlock()
	if last {
		m.cancel()
		<-m.ended
	}
}

// poll fills a mirror until its turn is over or ctx is done.
func (r *Runner) poll(ctx context.Context, m *mirror, now store.Relayed) {
	defer func() {
		if v := recover(); v != nil {
			m.feed.end(Answer{}, NewPanicError(v), StageUpstream)
		}
	}()
	turn, next := now.Turn, 0
	var err error
	var failing, lapsed time.Time // since when; zero if it is not
	for {
		if err == nil {
			failing = time.Time{}
			if now.Fence == m.feed.fence {
				turn, next = now.Turn, now.Next
			}
			if r.advance(ctx, m, turn, now, &lapsed) {
				return
			}
		} else if r.lost(m, err, &failing) {
			return
		}
		if !sleep(ctx, pollInterval) {
			m.feed.end(Answer{}, ErrShuttingDown, StageUpstream)
			return
		}
		now, err = r.followOnce(ctx, store.Follow{Owner: m.key.owner, Conversation: m.key.conversation, New: m.kind.starts(), From: next})
	}
}

func (r *Runner) followOnce(ctx context.Context, f store.Follow) (store.Relayed, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.StoreTimeout)
	defer cancel()
	now, err := r.cfg.Store.Follow(ctx, f)
	return now, store.AsTimeout("Follow", err)
}

// advance takes what the store tells of a turn. It reports whether the turn is over.
func (r *Runner) advance(ctx context.Context, m *mirror, turn int, now store.Relayed, lapsed *time.Time) (over bool) {
	if now.Fence != m.feed.fence {
		if now.Turn > turn { // it ended, and the next has begun already
			return r.finish(ctx, m, turn, nil)
		}
		m.feed.end(Answer{}, ErrAbandoned, StageUpstream)
		return true
	}
	for _, e := range now.Entries {
		if err := m.feed.apply(e); err != nil { // an instance of another version; the answer has it all
			r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "what another instance published could not be read")
		}
	}
	switch {
	case now.State == store.TurnCompleted:
		return r.finish(ctx, m, turn, now.Extra)
	case now.State == store.TurnFailed:
		err := &RelayedError{now.Class}
		m.feed.end(Answer{}, err, r.askedStage(err))
		return true
	case now.Held:
		*lapsed = time.Time{}
	case lapsed.IsZero():
		*lapsed = time.Now()
	case time.Since(*lapsed) >= lapseGrace:
		m.feed.end(Answer{}, ErrAbandoned, StageUpstream)
		return true
	}
	return false
}

// finish gives the readers of a turn that has ended what is stored of it. It reports
// false if the store cannot say so now.
func (r *Runner) finish(ctx context.Context, m *mirror, turn int, stored []byte) (over bool) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.StoreTimeout)
	defer cancel()
	part := store.Range{From: turn, Limit: 1}
	if turn == 0 {
		part = store.Range{Before: 1}
	}
	c, err := r.cfg.Store.Conversation(ctx, m.key.owner, m.key.conversation, part)
	if err != nil {
		if isTransient(store.AsTimeout("Conversation", err)) {
			return false
		}
		m.feed.end(Answer{}, err, StageComplete)
		return true
	}
	for _, f := range c.Failures {
		if f.Turn != turn {
			continue
		}
		err := error(&RelayedError{f.Class})
		if f.Class == store.Lapsed {
			err = ErrAbandoned
		}
		m.feed.end(Answer{}, err, r.askedStage(err))
		return true
	}
	c.Messages = slices.DeleteFunc(c.Messages, func(each store.Message) bool { return each.Turn != turn })
	a, err := replay(&Request{Kind: m.kind, Conversation: m.key.conversation}, &store.Turn{Number: turn, Replay: &store.Outcome{Messages: c.Messages, Extra: stored, StepData: c.Workflow.StepData}})
	a.Replayed = false
	m.feed.end(a, err, "")
	return true
}

// lost reports whether the readers of a turn have to be told that the store fails.
func (r *Runner) lost(m *mirror, err error, failing *time.Time) bool {
	switch {
	case isVoid(err) && m.kind.starts(): // a start that failed leaves nothing
		err = ErrAbandoned
	case isVoid(err), isRefusal(err):
	case failing.IsZero():
		*failing = time.Now()
		return false
	case time.Since(*failing) < pollPatience:
		return false
	}
	m.feed.end(Answer{}, err, StageUpstream)
	return true
}
