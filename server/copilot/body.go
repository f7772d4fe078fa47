package copilot

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// sending watches one HTTP request, to know after a failure whether the agent
// can have got it. Nothing may send a turn twice, and net/http does that by
// itself where it can read a body again: over HTTP/2 also after
// RST_STREAM(PROTOCOL_ERROR), which says nothing about what the agent did.
// So it gets a body that it can read once.
type sending struct {
	body      bytes.Reader
	asked     atomic.Bool // the transport has looked for a connection
	connected atomic.Bool // and found one
	begun     atomic.Bool // the body came next, or may have been sent
	http2     atomic.Bool // the last connection was HTTP/2
	again     atomic.Bool // the transport wanted the body a second time
}

// errBodyAgain stops a transport that wants to send a request again.
var errBodyAgain = errors.New("request was not taken")

// into makes what is sent the body of a request. net/http writes headers and body at
// once if it knows that the body is in memory, which it does of few types. For any other
// it writes twice, and both sides pay for two packets.
func (s *sending) into(req *http.Request) {
	req.Body, req.ContentLength = io.NopCloser(&s.body), s.body.Size()
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
		GotConn: func(got httptrace.GotConnInfo) { s.connected.Store(true); s.http2.Store(isHTTP2(got.Conn)) },
		// Of each header, which WroteHeaderField tells, net/http would make a list.
		WroteHeaders: func() { s.begun.Store(true) },
	}
}

// isHTTP2 reports whether HTTP/2 was negotiated for a connection, as it only is over TLS
// (RFC 9113, section 3.2).
func isHTTP2(conn net.Conn) bool {
	secured, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && secured.ConnectionState().NegotiatedProtocol == "h2"
}

// unconnected reports whether a failed request never had a connection.
func (s *sending) unconnected(err error) bool {
	return !s.connected.Load() && (s.asked.Load() || isDialError(err))
}

// untaken reports whether the agent certainly has nothing of a request that failed on a
// connection, of which a transport must have told: it never came to the body, or
// net/http wanted to send it again over HTTP/1, which it does with a POST only when it
// had written nothing to a connection that was kept from an earlier request. When
// net/http gives an error back, it is at work on the request no more.
func (s *sending) untaken() bool {
	return s.connected.Load() && (!s.begun.Load() || s.again.Load() && !s.http2.Load())
}
