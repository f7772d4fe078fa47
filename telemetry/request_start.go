package telemetry

import (
	"cmp"
	"net"
	"net/http"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// requestStart is what is known of a request when its span starts, which is all that
// samplers see. Every part is from a closed list: the name of this server is the
// configuration's, because the one in the Host header is a caller's word.
type requestStart struct {
	method, scheme, protocol string
	route                    string // "" if the path alone does not tell it
	port                     int    // of the listener; 0 if unknown
}

// startOf reads a request.
func (t *Telemetry) startOf(hr *http.Request) requestStart {
	s := requestStart{method: knownMethod(hr.Method), scheme: "http", protocol: protocol(hr.ProtoMajor, hr.ProtoMinor)}
	if hr.TLS != nil {
		s.scheme = "https"
	}
	if hr.Method != http.MethodOptions { // most are preflights, and ask for no route
		s.route = t.patterns.match(hr)
	}
	if addr, ok := hr.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		s.port = addr.Port
	}
	return s
}

// name is the name of the span. Without a route the conventions want the method alone.
// The Collector's exporter to Azure Monitor puts the method in front of the name where there
// is no http.route, so such a request is "GET GET" there, unless a processor before it sets
// one. To set it here would name a route that there is not, to all who read the span.
func (s requestStart) name(route string) string {
	if route == "" {
		return s.method
	}
	return s.method + " " + route
}

// path is the part of the path that is known to hold nothing of a caller's.
func (s requestStart) path() string { return cmp.Or(s.route, redacted) }

func (s requestStart) attributes(address string) []attribute.KeyValue {
	list := []attribute.KeyValue{keyMethod.String(s.method), keyScheme.String(s.scheme), keyProtocol.String(s.protocol), keyPath.String(s.path())}
	list = text(list, keyRoute, s.route)
	if address == "" {
		return list
	}
	list = append(list, keyServerAddress.String(address))
	if s.port != 0 {
		list = append(list, keyServerPort.Int(s.port))
	}
	return list
}

// starts caches how the spans of requests start, as sets does for measurements.
type starts struct {
	mu    sync.RWMutex
	known map[requestStart]*spanStart
}

func (c *starts) of(s requestStart, address string) *spanStart {
	c.mu.RLock()
	known := c.known[s]
	c.mu.RUnlock()
	if known != nil {
		return known
	}
	known = newSpanStart(s.name(s.route), trace.SpanKindServer, s.attributes(address))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[requestStart]*spanStart{}
	}
	c.known[s] = known
	return known
}

// patterns finds the pattern of a path before the API's mux does.
type patterns struct {
	literal  map[string]bool
	wildcard []wildcard
}

type wildcard struct {
	pattern  string
	segments []string
}

func patternsOf(all []string) patterns {
	p := patterns{literal: map[string]bool{}}
	for _, pattern := range all {
		if strings.Contains(pattern, "{") {
			p.wildcard = append(p.wildcard, wildcard{pattern, strings.Split(pattern, "/")})
		} else {
			p.literal[pattern] = true
		}
	}
	return p
}

// match returns "" when in doubt: a path with escapes may mean another to the mux, and
// one with empty segments or dots is refused.
func (p *patterns) match(hr *http.Request) string {
	path := hr.URL.Path
	switch {
	case hr.URL.RawPath != "":
		return ""
	case p.literal[path]:
		return path
	}
	for _, w := range p.wildcard {
		if w.matches(path) {
			return w.pattern
		}
	}
	return ""
}

func (w wildcard) matches(path string) bool {
	for i, want := range w.segments {
		segment, rest, more := strings.Cut(path, "/")
		if more != (i < len(w.segments)-1) {
			return false
		}
		wild := strings.HasPrefix(want, "{") && segment != "" && segment != "." && segment != ".."
		if !wild && segment != want {
			return false
		}
		path = rest
	}
	return true
}
