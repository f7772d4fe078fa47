package copilot

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"sync/atomic"
)

// Client is an Agent behind the direct-to-engine protocol. It keeps nothing
// about any conversation, so one client serves all of them.
type Client struct {
	base base
	opts Options
}

var _ Agent = (*Client)(nil)

// NewClient makes a client. It does no I/O; its errors are about settings.
func NewClient(o Options) (*Client, error) {
	b, err := o.Endpoint.base()
	if err != nil {
		return nil, err
	}
	return &Client{base: b, opts: o.withDefaults()}, nil
}

// CloseIdleConnections closes the connections that no call uses.
func (c *Client) CloseIdleConnections() {
	(&http.Client{Transport: c.opts.Transport}).CloseIdleConnections()
}

// Start implements Agent.
func (c *Client) Start(ctx context.Context, s Start) iter.Seq2[Event, error] {
	cl := call{client: c, op: "start", identity: s.Identity, requestID: s.RequestID, url: c.base.url(""), body: startBody(s)}
	return cl.events(ctx, nil)
}

// Turn implements Agent. A conversation id that cannot be one, and a value that
// is not a JSON object, are ErrRejected without asking the agent.
func (c *Client) Turn(ctx context.Context, t Turn) iter.Seq2[Event, error] {
	cl := call{client: c, op: "turn", identity: t.Identity, requestID: t.RequestID, sent: t.ConversationID}
	var err error
	if validID(t.ConversationID) {
		cl.url = c.base.url(t.ConversationID)
		cl.body, err = turnBody(t)
	} else {
		err = errors.New("conversation id is empty or unsafe")
	}
	return cl.events(ctx, err)
}

// maxID is the longest conversation id that is taken from an agent.
const maxID = 256

// validID reports whether s can be a conversation's id. It goes into URLs, logs
// and keys, so only characters without a meaning in any of them are let in;
// GUIDs and the ids of other channels ("19:x@thread.v2", "abc|0000001") pass.
func validID(s string) bool {
	if s == "" || len(s) > maxID || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '@', c == '|', c == '=', c == '+', c == '~':
		default:
			return false
		}
	}
	return true
}

// call is one call of the agent.
type call struct {
	client    *Client
	op        string
	identity  Identity
	requestID string
	sent      string // id of the conversation, empty for a start
	method    string // "" for POST
	url       string
	body      []byte
}

// events is the iterator of the call. Invalid is what is wrong with its input.
func (c *call) events(ctx context.Context, invalid error) iter.Seq2[Event, error] {
	var used atomic.Bool
	return func(yield func(Event, error) bool) {
		switch {
		case used.Swap(true):
			yield(Event{}, errIteratedTwice(c.op))
		case invalid != nil:
			yield(Event{}, &Error{Op: c.op, Kind: ErrRejected, Cause: invalid})
		default:
			r := &response{op: c.op, sent: c.sent, yield: yield}
			if err := c.run(ctx, r); err != nil && !r.stopped {
				yield(Event{}, err)
			}
		}
	}
}

// errIteratedTwice is for an iterator that was ranged over before.
func errIteratedTwice(op string) *Error {
	return &Error{Op: op, Kind: ErrRejected, Cause: errors.New("iterated twice")}
}

// run sends the request and yields the answer. It returns a nil error, untyped,
// when the answer is complete or nobody listens any more.
func (c *call) run(parent context.Context, r *response) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	a := &attempts{call: c, parent: parent, ctx: ctx, cancel: cancel}
	resp, failed := a.send()
	if failed != nil {
		return failed
	}
	defer func() { _ = resp.Body.Close() }()
	if err := r.answer(resp, a.idle, c.client.opts.Limits); err != nil {
		return a.failure(err, resp.StatusCode)
	}
	if r.skipped > 0 && c.client.opts.OnSkip != nil {
		c.client.opts.OnSkip(parent, r.skipped)
	}
	return nil
}
