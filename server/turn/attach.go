package turn

import (
	"context"

	"parley/store"
)

// stoppedError is why the agent's part of a turn ended whose user stopped it. It is no
// failure: what was said until then is the answer.
type stoppedError struct{}

// Error implements error.
func (stoppedError) Error() string { return "turn: stopped by its user" }

// Attach follows the turn that runs in a conversation, on whichever instance, as Run
// follows a turn that it joined. found is false if no turn runs. It counts as a turn
// of its owner, because it lasts as long as one.
func (r *Runner) Attach(ctx context.Context, p *Progress, o store.Owner, id string, watch Watch) (_ Answer, found bool, err error) {
	p.Stage = StageBegin
	if err := r.limiter.Enter(o); err != nil {
		return Answer{}, false, err
	}
	defer r.limiter.Leave(o)
	key := conversationKey{o, id}
	var j *joinedTurn
	if t := r.running.get(key); t != nil && !t.held.New {
		if j = t.join(); j == nil {
			return Answer{}, false, &OverloadedError{ReasonReaders}
		}
	} else if j, err = r.joinElsewhere(ctx, p, key, KindSend); err != nil || j == nil {
		if err == nil {
			p.Stage = ""
		}
		return Answer{}, false, err
	}
	a, err := r.follow(ctx, p, id, j, watch)
	return a, true, err
}

// Stop ends the turn that runs in a conversation, on whichever instance: soon
// afterwards, what was said until then is its answer. It returns the turn's number;
// running is false if no turn runs.
func (r *Runner) Stop(ctx context.Context, p *Progress, o store.Owner, id string) (turn int, running bool, err error) {
	if t := r.running.get(conversationKey{o, id}); t != nil && !t.held.New {
		t.stop()
		return t.held.Number, true, nil
	}
	err = r.timed(&p.Store, func() (err error) {
		turn, running, err = r.cfg.Store.Stop(ctx, o, id)
		return err
	})
	return turn, running, err
}
