package turn

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"parley/server/copilot"
	"parley/store"
)

// Kind is what a request asks for. Its value is part of stored fingerprints.
type Kind string

// The kinds of request.
const (
	KindStart       Kind = "start"       // a new conversation, which the agent greets
	KindSend        Kind = "send"        // the user says something
	KindCard        Kind = "card-action" // the user submits a card
	KindOrchestrate Kind = "orchestrate" // a new conversation and its first turn in one
)

// starts reports whether the request makes a new conversation.
func (k Kind) starts() bool { return k == KindStart || k == KindOrchestrate }

// talks reports whether the request has input for the agent.
func (k Kind) talks() bool { return k != KindStart }

// MaxCardID is the most characters of a card's id.
const MaxCardID = 512

// Request asks for one turn.
type Request struct {
	Kind      Kind
	Owner     store.Owner
	Identity  copilot.Identity // on whose behalf the agent is asked
	RequestID string           // for the agent; see copilot.Start
	// Conversation is the id of the conversation; for a kind that starts one, the id
	// that it will get.
	Conversation string
	Key          string           // idempotency key; empty for none
	Fingerprint  string           // by Fingerprint
	Text         string           // what the user said; empty for KindStart
	CardID       string           // of the card that is submitted; for KindCard
	Value        json.RawMessage  // what the card submits, as the agent is given it; for KindCard
	Workflow     *WorkflowContext // nil for none
	TraceID      string           // of the request; messages that are an error of the agent carry it
	Traceparent  string           // of the request's span, for requests that join the turn; "" for none
}

// Fingerprint identifies the input of a request: its kind and the values of its known
// fields, independent of how the JSON was written. It is stored with turns, so after a
// change of its form, repeats of earlier requests are not recognized.
func Fingerprint(kind Kind, wc *WorkflowContext, values ...string) string {
	form := struct {
		Kind   Kind
		Step   string
		Limits []string
		Data   string
		Flow   bool
		Values []string
	}{Kind: kind, Values: values, Flow: wc != nil}
	if wc != nil {
		form.Step, form.Limits, form.Data = wc.Step, wc.Constraints, Canonical(wc.CollectedData)
	}
	b, err := json.Marshal(form)
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(b)
	var text [43]byte // EncodeToString would allocate one as well
	base64.RawStdEncoding.Encode(text[:], sum[:])
	return string(text[:])
}

// Canonical rewrites valid JSON with sorted members and without spaces, so that equal
// values have equal fingerprints. Numbers stay as they were written.
func Canonical(raw json.RawMessage) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return string(raw)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(b)
}
