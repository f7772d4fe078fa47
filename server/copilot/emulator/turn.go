package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// turn answers one request.
type turn struct {
	Request
	e       *Emulator
	w       http.ResponseWriter
	ctx     context.Context
	in      input
	command *command // nil for the usual answer
	arg     string
	json    bool // answer with one document
	mute    bool // the conversation's id means nothing to the agent

	opened     bool
	activities []any // of a document
	sent       int   // activities so far
}

func (t *turn) run() {
	switch {
	case t.mute:
		t.end()
	case t.command != nil:
		t.command.run(t)
	case t.Kind == KindStart:
		if !t.Silent {
			t.say(t.e.opts.Greeting)
		}
		t.end()
	default:
		t.answer(t.in.Activity.Text)
	}
}

// answer is the usual answer to a turn.
func (t *turn) answer(text string) {
	var value map[string]json.RawMessage
	switch {
	case t.Kind == KindTurn && t.in.Activity.Type != "message": // an event, say: nothing to answer
	case json.Unmarshal(t.in.Activity.Value, &value) == nil && value != nil:
		t.say(fmt.Sprintf("You submitted (turn %d): %s", t.Turn, list(value)))
	default:
		t.say(fmt.Sprintf("You said (turn %d): %s", t.Turn, text))
	}
	t.end()
}

// list names what a card sent, in order of the names.
func list(value map[string]json.RawMessage) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(value)) {
		var b bytes.Buffer
		if json.Compact(&b, value[name]) == nil {
			all = append(all, name+"="+b.String())
		}
	}
	return strings.Join(all, ", ")
}

// open sends the headers of an answer.
func (t *turn) open() {
	if t.opened || t.json {
		return
	}
	t.opened = true
	h := t.w.Header()
	if _, set := h["Content-Type"]; !set {
		h.Set("Content-Type", "text/event-stream")
	}
	if _, set := h[idHeader]; !set {
		h.Set(idHeader, t.Conversation)
	}
	h.Set("Cache-Control", "no-cache")
	t.w.WriteHeader(http.StatusOK)
	t.flush()
}

const idHeader = "X-Ms-Conversationid"

func (t *turn) flush() { _ = http.NewResponseController(t.w).Flush() }

// raw writes to the stream as it is, and reports whether the client still
// listens.
func (t *turn) raw(s string) bool {
	t.open()
	if t.ctx.Err() != nil || t.json {
		return false
	}
	_, err := io.WriteString(t.w, s)
	t.flush()
	return err == nil
}

func (t *turn) frame(event, data string) bool {
	return t.raw("event: " + event + "\ndata: " + data + "\n\n")
}

// send brings one activity.
func (t *turn) send(a activity) bool {
	t.sent++
	if t.json {
		t.activities = append(t.activities, a)
		return t.ctx.Err() == nil
	}
	return t.frame("activity", string(encode(a)))
}

// say brings a plain message.
func (t *turn) say(text string) bool { return t.send(t.message(text)) }

// end finishes the answer.
func (t *turn) end() {
	if !t.json {
		t.frame("end", "end")
		return
	}
	if t.activities == nil {
		t.activities = []any{}
	}
	t.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	t.w.Header().Set(idHeader, t.Conversation)
	_, _ = t.w.Write(encode(map[string]any{
		"conversationId": t.Conversation, "action": "waiting", "activities": t.activities,
	}))
}

// wait waits, and reports whether the client still listens.
func (t *turn) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// activity is what an agent does. No member is null or empty: strict clients
// drop activities for that.
type activity map[string]any

func (t *turn) activity(kind string) activity {
	return activity{
		"type": kind, "id": newGUID(), "timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"channelId":    "pva-engine-direct",
		"from":         map[string]any{"id": "emulator", "name": "Emulated agent", "role": "bot"},
		"conversation": map[string]any{"id": t.Conversation},
	}
}

func (t *turn) message(text string) activity {
	a := t.activity("message")
	a["inputHint"] = "acceptingInput"
	if text != "" {
		a["text"], a["textFormat"] = text, "markdown"
	}
	return a
}

func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // maps of strings, numbers and valid JSON
	return bytes.TrimSpace(b.Bytes())
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(map[string]any{"code": code, "message": message}))
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	w.WriteHeader(http.StatusUnauthorized)
}
