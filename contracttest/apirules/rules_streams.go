package apirules

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"parley/contracttest/apispec"
	"parley/contracttest/claims"
)

// event is one event of a stream.
type event struct {
	kind, id, data string
}

// stream asks for server-sent events and reads them to their end. seen is told of
// each as it comes, if it is not nil.
func (e *env) stream(ctx context.Context, i Instance, r request, seen func(event)) (events []event, a answer, err error) {
	resp, sent, err := e.send(ctx, i, r.with("Accept", "text/event-stream"))
	if err != nil {
		e.saw(sent, err.Error())
		return nil, a, err
	}
	defer func() { _ = resp.Body.Close() }()
	a = answer{status: resp.StatusCode, header: resp.Header}
	var came strings.Builder
	for ev, rerr := range apispec.Events(resp.Body) {
		if err = rerr; err != nil {
			break
		}
		one := event{ev.Type, ev.LastEventID, ev.Data}
		came.WriteString("event: " + one.kind + "\ndata: " + one.data + "\n")
		events = append(events, one)
		if seen != nil {
			seen(one)
		}
	}
	a.raw = came.String()
	e.saw(sent, a.String())
	return events, a, err
}

// whole holds a stream against the form of every stream, and gives its last event.
func (e *env) whole(events []event, a answer, err error) event {
	e.Helper()
	e.must(err)
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") || len(events) == 0 {
		e.broken("it is no stream: %d %s %s", a.status, a.header.Get("Content-Type"), a)
	}
	for n, ev := range events {
		last := n == len(events)-1
		if ends := ev.kind == "done" || ev.kind == "error"; ends != last {
			e.broken("event %d of %d is %q: %s", n+1, len(events), ev.kind, a)
		}
	}
	return events[len(events)-1]
}

func (e *env) decode(ev event) answer {
	e.Helper()
	var a answer
	if err := json.Unmarshal([]byte(ev.data), &a); err != nil {
		e.broken("event %s: %v: %s", ev.kind, err, ev.data)
	}
	return a
}

func streamRules() []Rule {
	stream := func(word, sentence, how string, needs []claims.Claim, check func(e *env)) Rule {
		return Rule{
			ID: "stream." + word, Chapter: "streams", Sentence: sentence, How: how, Wired: true,
			Why:   "a front end shows text as it comes, and has to know when all is there and whether it is kept",
			Needs: append([]claims.Claim{claims.Streams}, needs...),
			check: func(e *env) { e.start(); check(e) },
		}
	}
	return []Rule{
		stream("start", "a start as a stream ends in exactly one done, which holds the plain answer", "a conversation is started as a stream", nil, func(e *env) {
			events, a, err := e.stream(e.Context(), e.instance, starting(), nil)
			if last := e.whole(events, a, err); last.kind != "done" || e.decode(last).ConversationID == "" {
				e.broken("the last event is %s %s", last.kind, last.data)
			}
		}),
		stream("send", "a message as a stream has every whole message and then exactly one done with the same", "the agent answers with two messages", nil, streamSend),
		stream("error", "a stream that the agent breaks off ends in exactly one error, with the status it would have had", "the agent sends one message and then breaks the connection", nil, streamError),
		stream("refused", "a failure before the first event has its own status", "a stream is asked for in a conversation that there is not", nil, func(e *env) {
			a := e.ask(sending(nobody(), "hello").with("Accept", "text/event-stream"))
			e.refused(a, http.StatusNotFound, "not_found")
		}),
		stream("stored", "what a stream was done with is stored", "after done, the conversation is read", []claims.Claim{claims.Read}, func(e *env) {
			id := e.begin()
			events, a, err := e.stream(e.Context(), e.instance, sending(id, "hello"), nil)
			done := e.decode(e.whole(events, a, err))
			kept := e.ok(reading(id)).Messages
			if len(done.Messages) == 0 || said(kept[len(kept)-len(done.Messages):]) != said(done.Messages) {
				e.broken("the stream said %q, and %q is kept", said(done.Messages), said(kept))
			}
		}),
		stream("follow", "a turn that runs can be followed to the same end by another request", "the agent says one message and then nothing; a second request follows the turn; then the agent breaks off, and both streams are compared", []claims.Claim{claims.Resume}, streamFollow),
		stream("follow-none", "where no turn runs there is nothing to follow: 204", "a stream is asked for when no turn runs", []claims.Claim{claims.Resume}, func(e *env) {
			a := e.ask(following(e.begin()))
			if a.status != http.StatusNoContent {
				e.broken("want 204: %s", a)
			}
		}),
		stream("resume", "a reader that names the last event it had gets what came after it, and nothing again", "the agent says one message and then nothing; the turn is followed with Last-Event-ID and without, and then stopped", []claims.Claim{claims.Resume, claims.Stop}, func(e *env) { resumes(e, e.instance) }),
		stream("stop", "a turn that is stopped ends soon, as stopped, and the conversation goes on", "the agent says one message and then nothing; the turn is stopped meanwhile", []claims.Claim{claims.Stop, claims.Read}, streamStop),
	}
}

func following(id string) request {
	return request{method: "GET", path: "/api/chat/conversations/" + id + "/stream"}
}

func streamSend(e *env) {
	id := e.begin()
	events, a, err := e.stream(e.Context(), e.instance, sending(id, "/two"), nil)
	last := e.whole(events, a, err)
	if last.kind != "done" {
		e.broken("the last event is %s %s", last.kind, last.data)
	}
	var whole []message
	for _, ev := range events {
		if ev.kind == "message" {
			var one message
			if err := json.Unmarshal([]byte(ev.data), &one); err != nil {
				e.broken("event message: %v: %s", err, ev.data)
			}
			whole = append(whole, one)
		}
	}
	if done := e.decode(last); len(whole) != 2 || said(whole) != said(done.Messages) || done.ConversationID != id {
		e.broken("the messages are %q, and done has %q", said(whole), said(done.Messages))
	}
}

func streamError(e *env) {
	id := e.begin()
	events, a, err := e.stream(e.Context(), e.instance, sending(id, "/cut"), nil)
	last := e.whole(events, a, err)
	problem := e.decode(last)
	if last.kind != "error" || e.s.Lacks.Has(claims.Problems) && problem.Status != float64(http.StatusBadGateway) ||
		e.s.Lacks.Has(claims.Classes) && problem.Class != "upstream_interrupted" {
		e.broken("the last event is %s %s, want error with 502 and upstream_interrupted", last.kind, last.data)
	}
	e.ok(sending(id, "again"))
}

// streaming is a stream that is on its way.
type streaming struct {
	first   chan struct{} // closed with the first event, or the end
	message chan event    // has the first whole message; closed with the end
	ended   chan struct{}

	events []event
	answer answer
	err    error
}

func (e *env) streamMeanwhile(i Instance, r request) *streaming {
	s := &streaming{first: make(chan struct{}), message: make(chan event, 1), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer close(s.message)
		n := 0
		s.events, s.answer, s.err = e.stream(e.Context(), i, r, func(ev event) {
			if n++; n == 1 {
				close(s.first)
			}
			if ev.kind == "message" {
				select {
				case s.message <- ev:
				default: // it is not the first
				}
			}
		})
		if n == 0 {
			close(s.first)
		}
	}()
	return s
}

// stalled begins a turn in which the agent says one message and then nothing, and waits
// for what comes of it.
func (e *env) stalled(id string) *streaming {
	e.Helper()
	turn := e.streamMeanwhile(e.instance, sending(id, "/stall"))
	select {
	case <-turn.first:
	case <-time.After(patience / 3):
		e.agent.Stop()
		e.broken("the agent says something, and nothing of it comes within %v", patience/3)
	}
	return turn
}

func (s *streaming) end(e *env) event {
	e.Helper()
	<-s.ended
	return e.whole(s.events, s.answer, s.err)
}

func streamFollow(e *env) {
	id := e.begin()
	turn := e.stalled(id)
	follower := e.streamMeanwhile(e.instance, following(id))
	<-follower.first
	e.agent.Stop() // the turn ends now, and not before somebody followed it
	one, other := turn.end(e), follower.end(e)
	if one.kind != "error" || other.kind != "error" || e.decode(one).Class != e.decode(other).Class {
		e.broken("who sent it got %s %s, who followed it %s %s", one.kind, one.data, other.kind, other.data)
	}
	if !tells(turn.events, "message") || !tells(follower.events, "message") {
		e.broken("not both have the message: %s and %s", turn.answer, follower.answer)
	}
}

func tells(events []event, kind string) bool {
	return slices.ContainsFunc(events, func(ev event) bool { return ev.kind == kind })
}

// resumes follows a turn of the first instance on one, from the beginning and from where
// a reader was.
func resumes(e *env, on Instance) {
	e.Helper()
	id := e.begin()
	turn := e.stalled(id)
	follower := e.streamMeanwhile(on, following(id))
	message := <-follower.message
	if message.id == "" {
		e.agent.Stop()
		<-follower.ended
		e.broken("who follows the turn gets no message, or one without an id: %s", follower.answer)
	}
	later := e.streamMeanwhile(on, following(id).with("Last-Event-ID", message.id))
	// Only who is there can be told that the turn was stopped, and nothing else comes
	// before that.
	if later.still() {
		e.ok(request{method: "POST", path: "/api/chat/conversations/" + id + "/stop", body: m{}})
	} else {
		e.agent.Stop()
	}
	turn.end(e)
	whole, rest := follower.end(e), later.end(e)
	if tells(later.events, "message") || tells(later.events, "delta") {
		e.broken("what the reader had comes again: %s", later.answer)
	}
	if whole.kind != "done" || rest.kind != "done" || !e.decode(rest).Stopped || !tells(follower.events, "message") {
		e.broken("from the beginning it ends in %s %s, and after the message in %s %s", whole.kind, whole.data, rest.kind, rest.data)
	}
	for _, ev := range slices.Concat(turn.events, follower.events, later.events) {
		if ev.id == "" {
			e.broken("the event %s has no id", ev.kind)
		}
	}
}

// still reports whether nothing comes for a moment.
func (s *streaming) still() bool {
	select {
	case <-s.first:
		return false
	case <-time.After(moment):
		return true
	}
}

func streamStop(e *env) {
	id := e.begin()
	turn := e.stalled(id)
	stop := e.ok(request{method: "POST", path: "/api/chat/conversations/" + id + "/stop", body: m{}})
	if !stop.Stopped {
		e.broken("it does not say that it stopped the turn: %s", stop)
	}
	last := turn.end(e)
	if done := e.decode(last); last.kind != "done" || !done.Stopped {
		e.broken("the stream ends in %s %s", last.kind, last.data)
	}
	e.ok(sending(id, "hello"))
}
