package redis

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"parley/store"
	"parley/store/internal/wire"
)

// BeginTurn implements store.Store.
func (s *Store) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	input := make([]string, 0, len(b.Input))
	for _, m := range b.Input {
		e, err := wire.EncodeMessage(m)
		if err != nil {
			return store.Turn{}, err
		}
		input = append(input, e)
	}
	var turn store.Turn
	// The token is what tells a second run of this begin from another begin.
	token := wire.NewToken()
	err := s.do(ctx, b.Owner, "BeginTurn", func(ctx context.Context, c *client) error {
		return s.converting(ctx, c, b.Owner, b.Conversation, func() (err error) {
			turn, err = s.begin(ctx, c, b, input, token)
			if errors.Is(err, store.ErrQuota) {
				var ended bool
				if ended, err = s.prune(ctx, c, b.Owner); err == nil && ended {
					turn, err = s.begin(ctx, c, b, input, token)
				} else if err == nil {
					err = store.ErrQuota
				}
			}
			return err
		})
	})
	return turn, err
}

func (s *Store) begin(ctx context.Context, c *client, b store.Begin, input []string, token string) (store.Turn, error) {
	var created map[string]string
	if b.New {
		created = wire.NewFields(b)
	}
	args := []any{
		s.time(), token, b.Fingerprint, wire.KeyTag(b), yesNo(b.New),
		b.Limits.Turns, b.Limits.Bytes, b.Limits.Conversations,
	}
	args = appendList(args, input)
	args = appendFields(args, created)
	args = appendFields(args, wire.WorkflowFields(b.Workflow))
	r, err := s.eval(ctx, c, s.scripts.begin, s.at(b.Owner, b.Conversation), args...)
	if err != nil {
		return store.Turn{}, err
	}
	t := store.Turn{Owner: b.Owner, Conversation: b.Conversation, New: b.New}
	switch r.tag() {
	case "BEGUN": // number, fence, adopted, about
		f, err := r.rest(9)
		if err != nil {
			return store.Turn{}, err
		}
		fence, ferr := strconv.ParseInt(f[1], 10, 64)
		if t.Number, err = strconv.Atoi(f[0]); err != nil || ferr != nil {
			return store.Turn{}, errShape
		}
		t.Fence, t.Token, t.Adopted = fence, token, f[2] == "1"
		return t, about(&t, f[3:])
	case "REPLAY": // number, extra, first, count, step data, about
		f, err := r.rest(11)
		if err != nil {
			return store.Turn{}, err
		}
		first, ferr := strconv.Atoi(f[2])
		count, cerr := strconv.Atoi(f[3])
		if t.Number, err = strconv.Atoi(f[0]); err != nil || ferr != nil || cerr != nil {
			return store.Turn{}, errShape
		}
		messages, err := s.answer(ctx, c, b, first, count)
		if err != nil {
			return store.Turn{}, err
		}
		t.Replay = &store.Outcome{Messages: messages, Extra: rawJSON(f[1]), StepData: rawJSON(f[4])}
		return t, about(&t, f[5:11])
	case "BUSY": // number, milliseconds, same
		f, err := r.rest(3)
		if err != nil {
			return store.Turn{}, err
		}
		number, nerr := strconv.Atoi(f[0])
		left, lerr := strconv.ParseInt(f[1], 10, 64)
		if nerr != nil || lerr != nil {
			return store.Turn{}, errShape
		}
		return store.Turn{}, &store.BusyError{Turn: number, RetryAfter: time.Duration(left) * time.Millisecond, Same: f[2] == "1"}
	}
	return store.Turn{}, outcome(r)
}

// answer reads the messages of an answer that is given again. They are only ever
// added to, so that they are where the script found them, unless the conversation
// was deleted meanwhile.
func (s *Store) answer(ctx context.Context, c *client, b store.Begin, first, count int) ([]store.Message, error) {
	if count == 0 {
		return []store.Message{}, nil
	}
	elements, err := c.LRange(ctx, s.keys(b.Owner, b.Conversation)[keyMessages], int64(first), int64(first+count-1)).Result()
	switch {
	case err != nil:
		return nil, err
	case len(elements) == 0:
		return nil, store.ErrNotFound
	}
	messages, err := wire.DecodeElements(elements)
	if err != nil || len(messages) != count {
		return nil, errCorrupt
	}
	return messages, nil
}

// about reads what every begin tells of the conversation.
func about(t *store.Turn, f []string) error {
	created, err := time.Parse(time.RFC3339, f[1])
	if err != nil {
		return errCorrupt
	}
	t.UpstreamID, t.CreatedAt = f[0], created
	t.Workflow = store.Workflow{ID: f[2], CurrentStep: f[3], StepData: rawJSON(f[4]), Metadata: rawJSON(f[5])}
	return nil
}

// yesNo is how a script is told yes or no: as an argument, which costs no allocation.
func yesNo(yes bool) any {
	if yes {
		return "1"
	}
	return "0"
}

func rawJSON(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// CompleteTurn implements store.Store.
func (s *Store) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	elements, err := wire.Elements(t, c)
	if err != nil {
		return err
	}
	args := []any{s.time(), t.Token, string(c.Extra), yesNo(c.Unheard), yesNo(c.Ended)}
	args = appendList(args, elements)
	args = appendFields(args, wire.CompletionFields(t, c))
	_, err = s.write(ctx, "CompleteTurn", s.scripts.complete, t, args...)
	return err
}

// FailTurn implements store.Store.
func (s *Store) FailTurn(ctx context.Context, t store.Turn, class string) error {
	_, err := s.write(ctx, "FailTurn", s.scripts.fail, t, s.time(), t.Token, class)
	if t.New && errors.Is(err, store.ErrLost) {
		return nil // it was removed, which is what was asked for
	}
	return err
}

// RenewLease implements store.Store.
func (s *Store) RenewLease(ctx context.Context, t store.Turn) (store.Signals, error) {
	r, err := s.write(ctx, "RenewLease", s.scripts.renew, t, s.time(), t.Token)
	if err != nil {
		return store.Signals{}, err
	}
	f, err := r.rest(2)
	if err != nil {
		return store.Signals{}, &store.Error{Op: "RenewLease", Kind: store.ErrProtocol, Cause: err}
	}
	return signals(f), nil
}

// write runs a script on a turn and returns its answer, whose tag is OK. The keys
// end with the relay of those scripts that need it. Nobody can delete a conversation that is being started: if it is not there, Redis lost it.
func (s *Store) write(ctx context.Context, op string, sc script, t store.Turn, args ...any) (r reply, err error) {
	at := s.at(t.Owner, t.Conversation)
	if sc != s.scripts.renew {
		at = at.relayed()
	}
	if sc == s.scripts.complete {
		at.replicas = s.replicas
	}
	isNew := t.New
	err = s.do(ctx, t.Owner, op, func(ctx context.Context, c *client) (err error) {
		if r, err = s.eval(ctx, c, sc, at, args...); err != nil {
			return err
		}
		err = outcome(r)
		if isNew && errors.Is(err, store.ErrNotFound) {
			return errLost
		}
		return err
	})
	return r, err
}

// outcome is the error that a script's tag stands for.
func outcome(r reply) error {
	switch r.tag() {
	case "OK":
		return nil
	case "NOTFOUND":
		return store.ErrNotFound
	case "CLOSED":
		return store.ErrClosed
	case "MISMATCH":
		return store.ErrMismatch
	case "STALE":
		return store.ErrStale
	case "FULL":
		return store.ErrConversationFull
	case "QUOTA":
		return store.ErrQuota
	case "CORRUPT":
		return errCorrupt
	}
	return errShape
}

// appendList adds a list as the scripts read one: its length, then its elements, as
// pointers, because a string in an interface is an allocation of its own.
func appendList(args []any, list []string) []any {
	args = append(args, len(list))
	for i := range list {
		args = append(args, &list[i])
	}
	return args
}

// appendFields adds names and values as one list.
func appendFields(args []any, fields map[string]string) []any {
	list := make([]string, 0, 2*len(fields))
	for name, value := range fields {
		list = append(list, name, value)
	}
	return appendList(args, list)
}
