package copilot

import (
	"context"
	"math"
	"net"
	"net/http"
	"time"
)

// Options are the settings of a Client. Only Endpoint must be given.
type Options struct {
	Endpoint Endpoint
	// Transport carries the requests; nil means NewTransport(). It must not repeat
	// requests that the agent may have seen. One that reports its connections to an
	// httptrace.ClientTrace must report that it wrote the headers as well, before it
	// reads the body. Redirects are never followed: a second request could run the turn
	// twice, and would carry the token elsewhere.
	Transport http.RoundTripper
	UserAgent string // empty for "parley"
	Limits    Limits
	Timeouts  Timeouts
	// OnSkip is told how many activities of a finished call could not be read
	// and were left out; nil for nothing. It is not called for none.
	OnSkip func(ctx context.Context, n int)
}

// Limits bound what one call takes from the agent. Zero fields have a default.
type Limits struct {
	EventBytes  int   // of one event; 8 MiB
	StreamBytes int64 // of the whole answer; 64 MiB
	// Events of one answer; 1 000 000. It is far above what fits into StreamBytes
	// in practice, and there for streams of empty events.
	Events int
}

// Timeouts bound how long the agent may be silent. Time in which the caller
// does not read does not count. The whole call is bounded by its context. Zero
// fields have a default; NoLimit leaves all to the context.
type Timeouts struct {
	FirstEvent time.Duration // from the request, connecting included, to the first event of any kind; 60 s
	Idle       time.Duration // after that, between two reads of any bytes; 120 s
}

// NoLimit is a timeout that never ends a call.
const NoLimit time.Duration = math.MaxInt64

func (o Options) withDefaults() Options {
	o.UserAgent = first(o.UserAgent, "parley")
	o.Limits.EventBytes = first(max(0, o.Limits.EventBytes), 8<<20)
	o.Limits.StreamBytes = first(max(0, o.Limits.StreamBytes), 64<<20)
	o.Limits.Events = first(max(0, o.Limits.Events), 1_000_000)
	o.Timeouts.FirstEvent = first(max(0, o.Timeouts.FirstEvent), 60*time.Second)
	o.Timeouts.Idle = first(max(0, o.Timeouts.Idle), 120*time.Second)
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	return o
}

// NewTransport is a transport made for long answers from one host: many
// connections are kept, nothing is compressed, and a silent connection is kept
// alive against intermediaries that cut it after some ten seconds.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            NewDialer().DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         1 << 10, // a connection lasts as long as its answer,
		WriteBufferSize:        1 << 10, // and most of that time nothing comes
		DisableCompression:     true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// NewDialer is what NewTransport dials with: it makes connections within 10 s. The addresses of a name share that
// time, and those of the two families are raced (net.Dialer, RFC 6555), so that
// one which drops packets does not use it up.
func NewDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 10 * time.Second}
}
