package server

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// route is one method and path of the API. A handler that returns an error has
// written nothing.
type route struct {
	method  string
	pattern string
	handle  func(http.ResponseWriter, *http.Request) error
	open    bool // needs no authentication
	turn    bool // runs a turn
	aside   bool // its requests are none of the API's users: not counted among them
}

// Route is a method and a path of the API.
type Route struct{ Method, Pattern string }

// Routes are the routes of the API's users: those whose requests have Done.API. Probes
// and documents are not among them.
func Routes() []Route {
	var all []Route
	for _, rt := range new(Server).routes() { // what they are does not depend on a configuration
		if !rt.aside {
			all = append(all, Route{rt.method, rt.pattern})
		}
	}
	return all
}

// routes is the whole API.
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
		{method: "GET", pattern: "/api/chat/conversations/{id}/stream", handle: s.chat.resume},
		{method: "POST", pattern: "/api/chat/conversations/{id}/stop", handle: s.chat.stop},

		{method: "GET", pattern: "/health", handle: s.probes.health, open: true, aside: true},
		{method: "GET", pattern: "/livez", handle: s.probes.livez, open: true, aside: true},
		{method: "GET", pattern: "/readyz", handle: s.probes.readyz, open: true, aside: true},
		{method: "GET", pattern: "/openapi.yaml", handle: openAPI, open: true, aside: true},
		{method: "GET", pattern: "/client.js", handle: asset("text/javascript; charset=utf-8", clientScript), open: true, aside: true},
		{method: "GET", pattern: "/client.d.ts", handle: asset("text/plain; charset=utf-8", clientTypes), open: true, aside: true},
	}
}

// Patterns are the paths of all routes, with {id} for the id of a conversation.
func Patterns() []string {
	var all []string
	for _, rt := range new(Server).routes() {
		if !slices.Contains(all, rt.pattern) {
			all = append(all, rt.pattern)
		}
	}
	return all
}

// mux registers the routes. From the same list it registers handlers for 405 (the
// pattern without its method) and 404 (everything else), because the mux itself
// would answer those in plain text.
func (s *Server) mux() http.Handler {
	mux, routes := http.NewServeMux(), s.routes()
	if s.try != nil {
		routes = append(routes, s.try.routes()...)
	}
	aside := map[string]bool{}
	for _, rt := range routes {
		aside[rt.pattern] = rt.aside
		mux.Handle(rt.method+" "+rt.pattern, s.adapter.adapt(rt))
	}
	for pattern, allow := range allowed(routes) {
		mux.Handle(pattern, s.adapter.adapt(route{pattern: pattern, open: true, aside: aside[pattern], handle: func(http.ResponseWriter, *http.Request) error {
			return &requestError{kind: errMethod, header: http.Header{"Allow": {allow}}}
		}}))
	}
	mux.Handle("/", s.adapter.adapt(route{open: true, handle: s.elsewhere}))
	nowhere := s.adapter.adapt(route{open: true, handle: func(http.ResponseWriter, *http.Request) error { return errNoRoute }})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if unclean(r.URL.EscapedPath()) {
			// The mux would redirect, with an HTML body and no log line.
			nowhere.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unclean reports whether the mux would redirect this path to a cleaned one.
func unclean(path string) bool {
	return !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../")
}

// elsewhere answers requests that match no route.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) error {
	// What is unclean when it is decoded is another path to each that reads it: it
	// could lead below /api after all.
	if s.cfg.Static != nil && !unclean(r.URL.Path) && !below(r.URL.Path, "/api") {
		of(r).aside = true
		return staticFiles{s.cfg.Static}.serve(w, r)
	}
	return errNoRoute
}

// below reports whether path is dir or below it, ignoring case, so that a missing
// API route is never answered with a page of the front end.
func below(path, dir string) bool {
	path = strings.ToLower(path)
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// allowed returns the value of Allow for each pattern. HEAD is allowed with GET.
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
