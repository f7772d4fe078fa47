package server

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// route is one thing that may be asked. A handler that returns an error has
// written nothing.
type route struct {
	method  string
	pattern string
	handle  func(http.ResponseWriter, *http.Request) error
	open    bool // answers without asking who it is
	turn    bool // asks for a turn
}

// routes is the whole surface.
func (s *Server) routes() []route {
	return []route{
		{method: "POST", pattern: "/api/chat/start", handle: s.chat.start, turn: true},
		{method: "POST", pattern: "/api/chat/send", handle: s.chat.send, turn: true},
		{method: "POST", pattern: "/api/chat/card-action", handle: s.chat.cardAction, turn: true},
		{method: "POST", pattern: "/api/chat/orchestrate", handle: s.chat.orchestrate, turn: true},

		{method: "GET", pattern: "/api/chat/conversations", handle: s.conversations.list},
		{method: "GET", pattern: "/api/chat/conversations/{id}", handle: s.conversations.get},
		{method: "PATCH", pattern: "/api/chat/conversations/{id}", handle: s.conversations.patch},
		{method: "DELETE", pattern: "/api/chat/conversations/{id}", handle: s.conversations.delete},

		{method: "GET", pattern: "/health", handle: s.probes.health, open: true},
		{method: "GET", pattern: "/livez", handle: s.probes.livez, open: true},
		{method: "GET", pattern: "/readyz", handle: s.probes.readyz, open: true},
		{method: "GET", pattern: "/openapi.yaml", handle: openAPI, open: true},
	}
}

// mux registers the routes, and from the same list what answers in problem
// form where the mux itself would answer in plain text: each pattern without
// its method is a 405, everything else a 404.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.Handle(rt.method+" "+rt.pattern, s.adapter.adapt(rt))
	}
	for pattern, allow := range allowed(s.routes()) {
		mux.Handle(pattern, s.adapter.adapt(route{pattern: pattern, open: true, handle: func(http.ResponseWriter, *http.Request) error {
			return &requestError{kind: errMethod, header: http.Header{"Allow": {allow}}}
		}}))
	}
	mux.Handle("/", s.adapter.adapt(route{open: true, handle: s.elsewhere}))
	nowhere := s.adapter.adapt(route{open: true, handle: func(http.ResponseWriter, *http.Request) error { return errNoRoute }})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if unclean(r.URL.EscapedPath()) {
			// The mux would redirect, in HTML and past the log.
			nowhere.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unclean reports whether a path is one that the mux would first rewrite.
func unclean(path string) bool {
	return !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../")
}

// elsewhere answers what no route matches.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Static != nil && !below(r.URL.Path, "/api") {
		return staticFiles{s.cfg.Static}.serve(w, r)
	}
	return errNoRoute
}

// below reports whether path is dir or below it, however its letters are cased:
// a missing API route must never be answered with a page.
func below(path, dir string) bool {
	path = strings.ToLower(path)
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// allowed gives the value of Allow for each pattern. HEAD goes wherever GET does.
func allowed(routes []route) map[string]string {
	methods := map[string][]string{}
	for _, rt := range routes {
		methods[rt.pattern] = append(methods[rt.pattern], rt.method)
		if rt.method == http.MethodGet {
			methods[rt.pattern] = append(methods[rt.pattern], http.MethodHead)
		}
	}
	allow := map[string]string{}
	for pattern, of := range methods {
		slices.SortFunc(of, cmp.Compare[string])
		allow[pattern] = strings.Join(of, ", ")
	}
	return allow
}
