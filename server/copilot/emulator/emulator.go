// Package emulator is a scripted stand-in for a Copilot Studio agent that is
// reached "direct to engine". It is an http.Handler; what it does in a turn is
// chosen by what the user says: "/card" brings a card, "/cut" breaks the
// connection, "/help" lists all commands, and anything else is echoed with the
// number of the turn, so that mixed-up conversations show.
//
// It follows what is publicly known of the real service, and has its own wire
// types, so that it cannot share a mistake with the client beside it. The
// subscribe and continue routes, which clients outside Microsoft cannot use,
// and responses in several JSON rounds are left out. Any base path and any
// api-version are accepted.
package emulator

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Options are the settings of an Emulator. The zero value is usable.
type Options struct {
	// Token is the bearer token that every request must have; empty accepts any
	// request.
	Token string
	// StrictOwner refuses a turn with another caller's token than the one that
	// began the conversation. Callers are told apart by the oid or sub of the
	// token's unverified claims, or by the whole token when it has none.
	StrictOwner bool
	// Greeting is said at the start of a conversation; empty for a default.
	Greeting string
	// Script chooses the command that a request is answered with, e.g.
	// "/status 500", whatever the user says; "" leaves the choice to the user's
	// text. Nil for none. It must be safe for use from many goroutines.
	Script func(Request) string
	// MaxRequests is how many requests are remembered, 10 000 when 0;
	// MaxConversations how many conversations, likewise. The oldest are forgotten.
	MaxRequests, MaxConversations int
}

// Kind is what a request asks for.
type Kind string

// The kinds of Request.
const (
	KindStart   Kind = "start"
	KindTurn    Kind = "turn"
	KindInvalid Kind = "invalid" // refused before it was known what it asks for
)

// Request is a request that the emulator got, as far as it understood it.
type Request struct {
	Kind         Kind
	Conversation string // the conversation it was answered in, which may be another than the one asked for
	Asked        string // the conversation asked for, empty if none was
	Turn         int    // number of the turn in Conversation; 0 for starts and refused requests
	Path         string
	Text         string          // cut to 8 KiB
	Value        json.RawMessage // left out above 8 KiB
	Locale       string
	Silent       bool   // a start without a greeting
	RequestID    string // the header X-Request-Id
	Authorized   bool   // it had a bearer token, right or wrong
}

// Emulator is the stand-in. It is safe for use from many goroutines.
type Emulator struct {
	opts     Options
	commands []command

	mu            sync.Mutex
	conversations map[string]*conversation
	oldest        []string // ids in order of their beginning
	requests      []Request
	next          map[Kind][]string
}

type conversation struct {
	turns int
	owner string
}

var _ http.Handler = (*Emulator)(nil)

// New makes an emulator without conversations.
func New(o Options) *Emulator {
	if o.Greeting == "" {
		o.Greeting = "Hello, I am an emulated agent. Say /help to see what I can do."
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = 10_000
	}
	if o.MaxConversations <= 0 {
		o.MaxConversations = 10_000
	}
	return &Emulator{
		opts: o, commands: commands(),
		conversations: map[string]*conversation{}, next: map[Kind][]string{},
	}
}

// Next makes the next requests of a kind behave as if the user had said these
// commands, one each, in order. It is the way to script a start.
func (e *Emulator) Next(k Kind, commands ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next[k] = append(e.next[k], commands...)
}

// Requests are the requests that came so far, refused ones included, in order.
func (e *Emulator) Requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Request(nil), e.requests...)
}

// Forget drops a conversation, as if it had expired.
func (e *Emulator) Forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conversations, id)
}

// Bounds of what is read and remembered of one request.
const (
	maxBody     = 1 << 20
	maxRemember = 8 << 10
)

// ServeHTTP implements http.Handler.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := Request{Kind: KindInvalid, Path: r.URL.Path, RequestID: r.Header.Get("X-Request-Id")}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	req.Authorized = ok && bearer != ""
	refuse := func(status int, code, why string) {
		e.remember(req)
		writeError(w, status, code, why)
	}

	asked, ok := conversationIn(r)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	in, decodeErr := decodeInput(body)
	switch {
	case !ok:
		refuse(http.StatusNotFound, "RouteNotFound", "no such route")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "only POST")
		return
	case err != nil:
		refuse(http.StatusRequestEntityTooLarge, "RequestTooLarge", "body too large")
		return
	case r.URL.Query().Get("api-version") == "":
		refuse(http.StatusBadRequest, "MissingApiVersion", "api-version is missing")
		return
	case decodeErr != nil:
		refuse(http.StatusBadRequest, "InvalidRequest", "body is not understood")
		return
	}
	in.describe(&req)
	req.Asked = first(asked, r.Header.Get("X-Ms-Conversation-Id"), in.ConversationID, in.Activity.Conversation.ID)
	switch {
	case e.opts.Token != "" && subtle.ConstantTimeCompare([]byte(bearer), []byte(e.opts.Token)) != 1:
		e.remember(req)
		unauthorized(w)
		return
	case req.Kind == KindTurn && req.Asked == "":
		refuse(http.StatusBadRequest, "ConversationIdMissing", "conversation id cannot be empty")
		return
	}
	t := &turn{e: e, w: w, ctx: r.Context(), in: in, json: !acceptsStream(r)}
	t.command, t.arg = e.choose(req, in.Activity.Text)
	if !e.begin(t, &req, ownerOf(bearer)) {
		refuse(http.StatusForbidden, "CallerIdentityMismatch", "another caller began this conversation")
		return
	}
	e.remember(req)
	t.Request = req
	t.run()
}

// choose finds the command for a request: one that was queued, else the
// script's, else one that the user says.
func (e *Emulator) choose(req Request, text string) (*command, string) {
	e.mu.Lock()
	queue := e.next[req.Kind]
	said := ""
	if len(queue) > 0 {
		said, e.next[req.Kind] = queue[0], queue[1:]
	}
	e.mu.Unlock()
	if said == "" && e.opts.Script != nil {
		said = e.opts.Script(req)
	}
	return e.find(first(said, text))
}

// begin finds the conversation of a request, or makes one, and numbers the
// turn. It is false when the conversation is another caller's.
func (e *Emulator) begin(t *turn, req *Request, owner string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := req.Asked
	c := e.conversations[id]
	if c != nil && e.opts.StrictOwner && c.owner != owner {
		return false
	}
	if t.command != nil && t.command.refuses {
		req.Conversation = id
		return true
	}
	if t.command != nil && t.command.forgets {
		delete(e.conversations, id)
		c = nil
	}
	if c == nil {
		switch {
		case req.Kind == KindStart && id != "": // the caller may choose
		case req.Kind == KindTurn && !isGUID(id) && (t.command == nil || !t.command.forgets):
			// The real service does not check ids, and may answer nothing at all
			// to one that is none of its own.
			req.Conversation, t.mute = id, true
			return true
		default:
			id = newGUID()
		}
		c = &conversation{owner: owner}
		e.conversations[id] = c
		e.oldest = append(e.oldest, id)
		if len(e.oldest) > e.opts.MaxConversations {
			delete(e.conversations, e.oldest[0])
			e.oldest = e.oldest[1:]
		}
	}
	if req.Kind == KindTurn {
		c.turns++
		req.Turn = c.turns
	}
	req.Conversation = id
	return true
}

func (e *Emulator) remember(r Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.requests) >= e.opts.MaxRequests {
		e.requests = e.requests[1:]
	}
	e.requests = append(e.requests, r)
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
