package turn

import (
	"context"
	"errors"
	"iter"
	"log/slog"

	"parley/server/copilot"
	"parley/store"
)

// reply is what the agent answered in a turn.
type reply struct {
	greeting   []store.Message
	messages   []store.Message
	upstreamID string
	restarted  bool // the agent has forgotten what was said before
	stopped    bool // the user stopped the turn before its end
	ended      bool
	millis     int64
	payload    *store.Payload // the first data that came without a message
	position   position       // of the workflow
	bytes      int            // of all that was said
	trace      string         // of the request
	refuse     context.CancelCauseFunc
}

// ask asks the agent while the lease is renewed. When there is no answer, it records
// the turn as failed.
func (r *Runner) ask(ctx context.Context, p *Progress, req *Request, user []store.Message, t *runningTurn) (done *store.Completion, ex extra, err error) {
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.AgentTimeout)
	defer cancel()
	held := t.held
	work, refuse, release := r.renewLease(work, t)
	defer release()

	class, panicked := "", true // the failure class, or ""
	defer func() {
		release()
		if panicked {
			class = r.cfg.Class(ErrPanic)
		}
		if class != "" {
			r.fail(ctx, p, held, class)
		}
	}()

	var said reply
	err = r.timed(&p.Upstream, func() error {
		said, err = r.converse(work, refuse, req, held, t.feed)
		return err
	})
	switch cause := context.Cause(work); {
	case err == nil:
		r.cfg.OnAgent("")
		done, ex = said.completion(req, user, held)
	case errors.Is(cause, stoppedError{}):
		said.stop()
		done, ex = said.completion(req, user, held)
		err = nil
	case isVoid(cause):
		// Another turn took over, or the conversation was deleted or lost: this turn
		// can no longer be recorded as failed.
		err = cause
	case errors.Is(cause, ErrShuttingDown):
		class, err = r.cfg.Class(cause), cause
	default:
		class = r.cfg.Class(err)
		r.cfg.OnAgent(class)
	}
	panicked = false
	return done, ex, err
}

// askedStage is the stage at which a turn failed that was not answered, here or by
// another instance.
func (r *Runner) askedStage(err error) Stage {
	noToken := &copilot.Error{Kind: copilot.ErrToken}
	relayed, ok := errors.AsType[*RelayedError](err)
	if errors.Is(err, noToken.Kind) || ok && relayed.Class == r.cfg.Class(noToken) {
		return StageToken
	}
	return StageUpstream
}

// fail records that the turn ended without a stored answer, now or through the outbox.
func (r *Runner) fail(ctx context.Context, p *Progress, held *store.Turn, class string) {
	ctx, cancel := detached(ctx, r.cfg.StoreTimeout)
	defer cancel()
	err := r.timed(&p.Store, func() error {
		return store.AsTimeout("FailTurn", r.cfg.Store.FailTurn(ctx, *held, class))
	})
	if isTransient(err) {
		r.outbox.push(&entry{request: context.WithoutCancel(ctx), turn: *held, class: class}, err)
	}
	if err != nil {
		r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "turn could not be recorded as failed",
			slog.String("class", class), slog.String("store_class", r.cfg.Class(err)))
	}
}

// converse is the only place where the agent is asked. It starts the upstream
// conversation if there is none, and sends the user's input. Legacy records have no
// upstream conversation; for those it is started without a greeting, and the agent
// does not know what was said before. With an error comes what was said until then.
//
// An answer that is refused ends ctx with the reason as its cause, so that whoever
// observes the call does not take it for one that went well.
func (r *Runner) converse(ctx context.Context, refuse context.CancelCauseFunc, req *Request, held *store.Turn, f *Feed) (reply, error) {
	re := reply{upstreamID: held.UpstreamID, position: positionOf(req, held), trace: req.TraceID, refuse: refuse}
	began := r.cfg.Now()
	if req.Kind.starts() || re.upstreamID == "" {
		var greeted *Feed
		if !req.Kind.talks() {
			greeted = f // of a turn, the greeting is not part of the answer
		}
		var err error
		re.greeting, err = r.collect(ctx, &re, r.cfg.Agent.Start(ctx, copilot.Start{Identity: req.Identity, RequestID: req.RequestID, Silent: !req.Kind.starts()}), 0, greeted)
		if err != nil {
			return re, err
		}
		if re.upstreamID == "" {
			return reply{}, &copilot.Error{Op: "start", Kind: copilot.ErrProtocol}
		}
		re.restarted = !req.Kind.starts()
	}
	if req.Kind.talks() {
		var err error
		re.messages, err = r.collect(ctx, &re, r.cfg.Agent.Turn(ctx, copilot.Turn{
			Identity: req.Identity, RequestID: req.RequestID, ConversationID: re.upstreamID, Text: req.Workflow.prefix(req.Text), Value: req.Value,
		}), turnNumber(req, held), f)
		if err != nil {
			re.millis = r.cfg.Now().Sub(began).Milliseconds()
			return re, err
		}
	}
	re.millis = r.cfg.Now().Sub(began).Milliseconds()
	if re.position.left {
		r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "data of the agent was left out of collectedData", slog.Int("bound_bytes", maxCollected))
	}
	return re, nil
}

// stop marks what was said as an answer that has no end.
func (re *reply) stop() {
	re.stopped = true
	if n := len(re.messages); n > 0 {
		re.messages[n-1].Stopped = true // so that a reload shows it, even if no text was cut
	}
}

// turnNumber is the number of the turn with the user's input.
func turnNumber(req *Request, held *store.Turn) int {
	if req.Kind == KindOrchestrate {
		return 1
	}
	return held.Number
}

// collect reads one answer of the agent and returns its messages. It passes messages
// and deltas to f as they come; a delta has the id that its message will have. With an
// error it returns the messages until then, when the turn was stopped also texts that
// were being written.
func (r *Runner) collect(ctx context.Context, re *reply, events iter.Seq2[copilot.Event, error], turn int, f *Feed) ([]store.Message, error) {
	var messages []store.Message
	var ids map[string]string // message ids by stream id
	for e, err := range events {
		if err != nil {
			if errors.Is(context.Cause(ctx), stoppedError{}) {
				messages = append(messages, f.cut(turn)...)
			}
			return messages, err
		}
		switch e.Kind {
		case copilot.EventConversation:
			if e.ConversationID != "" {
				re.upstreamID = e.ConversationID
			}
			re.restarted = re.restarted || e.Restarted
		case copilot.EventMessage:
			s := messagesOf(e.Message, turn, r.cfg.NewID)
			s.trace(re.trace)
			id := ids[e.Message.StreamID]
			if id != "" && len(s.messages) > 0 && s.messages[0].Kind == store.KindText {
				s.messages[0].ID = id
			}
			if re.bytes += s.size(); r.cfg.MaxAnswerBytes > 0 && re.bytes > r.cfg.MaxAnswerBytes {
				err := &copilot.Error{Op: "turn", Kind: copilot.ErrProtocol, Reason: "answer has more than MAX_ANSWER_BYTES"}
				re.refuse(err)
				return nil, err
			}
			messages = append(messages, s.messages...)
			f.say(id, s.messages)
			if re.payload == nil {
				re.payload = s.payload
			}
			re.position.follow(s.data())
			if len(s.hidden) > 0 {
				r.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the agent sent attachments that no front end shows", slog.Any("attachments", s.hidden))
			}
		case copilot.EventEnded:
			re.ended = true
		case copilot.EventDelta:
			if f == nil {
				continue
			}
			if ids == nil {
				ids = map[string]string{}
			}
			if ids[e.StreamID] == "" {
				ids[e.StreamID] = r.cfg.NewID()
			}
			f.write(ids[e.StreamID], e.Text)
		}
	}
	return messages, nil
}
