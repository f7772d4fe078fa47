package main

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/server"
	"parley/server/auth"
	"parley/store"
)

// series is one of parley.requests.
type series struct{ method, route, outcome string }

// counted gives the series of parley.requests that counted something.
func (c *collector) counted() map[series]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[series]float64{}
	for _, p := range c.points {
		if p.Metric == "parley.requests" && p.Value != 0 {
			all[series{p.Attributes["http.request.method"], p.Attributes["http.route"], p.Attributes["parley.outcome"]}] = p.Value
		}
	}
	return all
}

// allFailing calls fails before every call that a request makes.
type allFailing struct {
	store.Store
	fails func(context.Context) error
}

func (s allFailing) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	if err := s.fails(ctx); err != nil {
		return store.Turn{}, err
	}
	return s.Store.BeginTurn(ctx, b)
}

func (s allFailing) Follow(ctx context.Context, f store.Follow) (store.Relayed, error) {
	if err := s.fails(ctx); err != nil {
		return store.Relayed{}, err
	}
	return s.Store.Follow(ctx, f)
}

func (s allFailing) Stop(ctx context.Context, o store.Owner, id string) (int, bool, error) {
	if err := s.fails(ctx); err != nil {
		return 0, false, err
	}
	return s.Store.Stop(ctx, o, id)
}

func (s allFailing) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	if err := s.fails(ctx); err != nil {
		return store.Conversation{}, err
	}
	return s.Store.Conversation(ctx, o, id, r)
}

func (s allFailing) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	if err := s.fails(ctx); err != nil {
		return store.Listing{}, err
	}
	return s.Store.List(ctx, o, p)
}

func (s allFailing) SetStatus(ctx context.Context, o store.Owner, id string, st store.Status) (store.Conversation, error) {
	if err := s.fails(ctx); err != nil {
		return store.Conversation{}, err
	}
	return s.Store.SetStatus(ctx, o, id, st)
}

func (s allFailing) Delete(ctx context.Context, o store.Owner, id string) error {
	if err := s.fails(ctx); err != nil {
		return err
	}
	return s.Store.Delete(ctx, o, id)
}

// storeDoes is a store that fails like this from its first call.
func storeDoes(fails func(context.Context) error) change {
	return func(_ *config, with *seams) {
		inner := with.store
		with.store = func(s store.Store) store.Store { return allFailing{inner(s), fails} }
	}
}

func storeFails(err error) change { return storeDoes(func(context.Context) error { return err }) }

// bodyFor is a good body for a route, if it takes one.
func bodyFor(r server.Route, id string) string {
	return map[string]string{
		"/api/chat/send":                     `{"conversationId":"` + id + `","text":"hello"}`,
		"/api/chat/card-action":              `{"conversationId":"` + id + `","cardId":"c","userSummary":"yes","submitData":{"action":"Action.Submit"}}`,
		"/api/chat/orchestrate":              `{"query":"hello"}`,
		"PATCH /api/chat/conversations/{id}": `{"status":"completed"}`,
	}[map[bool]string{true: "PATCH "}[r.Method == http.MethodPatch]+r.Pattern]
}

func pathOf(r server.Route, id string) string { return strings.ReplaceAll(r.Pattern, "{id}", id) }

// A failure of any route is counted once, in the series of that route and that class.
func TestEveryRouteCountsItsFailures(t *testing.T) {
	for class, c := range map[string]change{
		"unauthenticated":   verdictOf(auth.ErrUnauthenticated),
		"forbidden":         verdictOf(auth.ErrForbidden),
		"auth_unavailable":  verdictOf(auth.ErrUnavailable),
		"overloaded":        storeFails(store.ErrOverloaded),
		"not_found":         storeFails(store.ErrNotFound),
		"store_unreachable": storeFails(outage(store.ErrUnreachable)),
		"store_corrupt":     storeFails(outage(store.ErrCorrupt)),
		"internal":          storeFails(errors.New("nobody foresaw this")),
		"panic":             storeDoes(func(context.Context) error { panic("at the disco") }),
	} {
		t.Run(class, func(t *testing.T) {
			w := watch(t, "http/protobuf", c)
			want := map[series]float64{}
			for _, r := range server.Routes() {
				want[series{r.Method, r.Pattern, class}]++
				if a := w.ask(r.Method, pathOf(r, nobody()), bodyFor(r, nobody())); a.Class != class {
					t.Errorf("%s %s: %d %s", r.Method, r.Pattern, a.status, a.body)
				}
			}
			w.end()
			if got := w.collector.counted(); !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}

// A client that leaves is an outcome of its route as well.
func TestEveryRouteCountsClientsThatLeave(t *testing.T) {
	asked := make(chan struct{}, 1)
	w := watch(t, "http/protobuf", storeDoes(func(ctx context.Context) error {
		asked <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}))
	want := map[series]float64{}
	for _, r := range server.Routes() {
		want[series{r.Method, r.Pattern, "client_canceled"}]++
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-asked
			leave()
		}()
		if a, err := w.do(ctx, r.Method, pathOf(r, nobody()), bodyFor(r, nobody())); err == nil {
			t.Errorf("%s %s: %d %s", r.Method, r.Pattern, a.status, a.body)
		}
		leave()
	}
	w.end()
	if got := w.collector.counted(); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// What goes well, fails after its 200, or is refused before a route is found is counted
// too. Probes, scrapes, preflights, documents and files are not.
func TestWhatIsCounted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<p>hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := watch(t, "http/protobuf", func(c *config, _ *seams) {
		c.prometheus, c.corsOrigin, c.staticDir, c.copilotTimeout = true, "https://chat.example", dir, 2*time.Second
	})
	const conversation = "/api/chat/conversations/{id}"
	id := w.start()
	of := strings.ReplaceAll(conversation, "{id}", id)
	want := map[series]float64{{"POST", "/api/chat/start", "ok"}: 1}
	for _, c := range []struct {
		series
		path, body string
		header     []string
	}{
		{series: series{"POST", "/api/chat/send", "ok"}, path: "/api/chat/send", body: bodyFor(server.Route{Pattern: "/api/chat/send"}, id)},
		{series: series{"POST", "/api/chat/send", "agent_error"}, path: "/api/chat/send", body: `{"conversationId":"` + id + `","text":"/error"}`},
		{series: series{"POST", "/api/chat/send", "upstream_interrupted"}, path: "/api/chat/send", body: `{"conversationId":"` + id + `","text":"/cut"}`, header: []string{"Accept", "text/event-stream"}},
		{series: series{"POST", "/api/chat/send", "payload_too_large"}, path: "/api/chat/send", body: strings.Repeat("x", 300<<10)},
		{series: series{"PUT", "/api/chat/send", "method_not_allowed"}, path: "/api/chat/send"},
		{series: series{"_OTHER", "/api/chat/send", "method_not_allowed"}, path: "/api/chat/send"},
		{series: series{"HEAD", "/api/chat/conversations", "ok"}, path: "/api/chat/conversations"},
		{series: series{"GET", "/api/chat/conversations", "invalid_request"}, path: "/api/chat/conversations?limit=x"},
		{series: series{"PATCH", conversation, "invalid_request"}, path: of, body: `{}`},
		{series: series{"POST", conversation + "/stop", "ok"}, path: of + "/stop"},
		{series: series{"DELETE", conversation, "ok"}, path: of},
		{series: series{"GET", conversation, "not_found"}, path: of},
		{series: series{"GET", conversation + "/stream", "not_found"}, path: of + "/stream"},
		{series: series{"GET", "", "not_found"}, path: "/api/chat/nothing"},
		{series: series{"GET", "", "not_found"}, path: "/api//chat/send"},
	} {
		want[c.series]++
		method := c.method
		if method == "_OTHER" {
			method = "PROPFIND"
		}
		if a := w.ask(method, c.path, c.body, c.header...); a.Class != "" && a.Class != c.outcome {
			t.Errorf("%s %s: %d %s", method, c.path, a.status, a.body)
		}
	}
	for _, path := range []string{"/health", "/livez", "/readyz", "/openapi.yaml", "/metrics", "/", "/chat", "/missing.js"} {
		w.ask("GET", path, "")
	}
	w.ask("POST", "/health", "")
	w.ask("POST", "/chat", "")
	w.ask("OPTIONS", "/api/chat/send", "", "Origin", "https://chat.example", "Access-Control-Request-Method", "POST")
	w.end()
	if got := w.collector.counted(); !maps.Equal(got, want) {
		t.Errorf("counted\n%v, want\n%v", got, want)
	}
}

// Every route has a series for every outcome before the first request, and no other
// series is there.
func TestRequestsAreCountedFromZero(t *testing.T) {
	w := watch(t, "grpc")
	w.end()
	var got, want []series
	for _, p := range w.collector.points {
		if p.Metric == "parley.requests" {
			got = append(got, series{p.Attributes["http.request.method"], p.Attributes["http.route"], p.Attributes["parley.outcome"]})
			if p.Value != 0 {
				t.Errorf("%v", p)
			}
		}
	}
	for _, r := range server.Routes() {
		want = append(want, series{r.Method, r.Pattern, "ok"})
		for f := range server.Failures() {
			want = append(want, series{r.Method, r.Pattern, f.Class})
		}
	}
	order := func(a, b series) int {
		return strings.Compare(a.method+a.route+" "+a.outcome, b.method+b.route+" "+b.outcome)
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		t.Errorf("%d series, want %d: %v", len(got), len(want), got)
	}
}
