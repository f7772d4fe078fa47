package copilot

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// sending watches one HTTP request, to know after a failure whether the agent
// can have got it. Nothing may send a turn twice, and net/http does that by
// itself where it can read a body again: over HTTP/2 also after
// RST_STREAM(PROTOCOL_ERROR), which says nothing about what the agent did.
// So it gets a body that it can read once.
type sending struct {
	body      bytes.Reader
	state     atomic.Int32
	asked     atomic.Bool // the transport has looked for a connection
	connected atomic.Bool // and found one
	http2     atomic.Bool // of which the last was HTTP/2
	again     atomic.Bool // the transport wanted the body a second time
}

// States of a body.
const (
	bodyUnread int32 = iota
	bodyRead         // some of it was taken, to be sent
	bodyBarred       // nothing was, and nothing will be
)

// errBodyAgain stops a transport that wants to send a request again.
var errBodyAgain = errors.New("request was not taken")

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	s.state.CompareAndSwap(bodyUnread, bodyRead)
	if s.state.Load() == bodyBarred {
		return 0, errBodyAgain
	}
	return s.body.Read(p)
}

// Close implements io.Closer.
func (s *sending) Close() error { return nil }

// into makes s the body of a request.
func (s *sending) into(req *http.Request) {
	req.Body, req.ContentLength = s, s.body.Size()
	req.GetBody = func() (io.ReadCloser, error) {
		s.again.Store(true)
		return nil, errBodyAgain
	}
}

// trace gives the hooks through which a transport reports.
func (s *sending) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// A transport gives up a connection on which nothing was written and
		// looks for another; only the last one counts.
		GetConn: func(string) { s.asked.Store(true); s.connected.Store(false); s.http2.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { s.connected.Store(true) },
		WroteHeaderField: func(name string, _ []string) {
			if strings.HasPrefix(name, ":") { // RFC 9113, section 8.3
				s.http2.Store(true)
			}
		},
	}
}

// unconnected reports whether a failed request never had a connection.
func (s *sending) unconnected(err error) bool {
	return !s.connected.Load() && (s.asked.Load() || isDialError(err))
}

// untaken reports whether the agent certainly has nothing of a request that
// failed on a connection, of which a transport must have told: no byte of its body was taken, or net/http wanted to
// send it again over HTTP/1, which it does with a POST only when it had written
// nothing to a connection that was kept from an earlier request.
func (s *sending) untaken() bool {
	if !s.connected.Load() {
		return false
	}
	s.state.CompareAndSwap(bodyUnread, bodyBarred) // a transport may still be at work on it
	return s.state.Load() == bodyBarred || s.again.Load() && !s.http2.Load()
}
