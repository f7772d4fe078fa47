package server

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// sentinels are all exported errors of the packages below this one, by name.
// TestEverySentinelHasARow checks that none is missing here.
var sentinels = map[string]error{
	"store.ErrNotFound": store.ErrNotFound, "store.ErrClosed": store.ErrClosed, "store.ErrConversationFull": store.ErrConversationFull, "store.ErrQuota": store.ErrQuota, "store.ErrBusy": store.ErrBusy,
	"store.ErrMismatch": store.ErrMismatch, "store.ErrStale": store.ErrStale, "store.ErrCursor": store.ErrCursor,
	"store.ErrUnreachable": store.ErrUnreachable, "store.ErrTimeout": store.ErrTimeout,
	"store.ErrPoolExhausted": store.ErrPoolExhausted, "store.ErrAuth": store.ErrAuth,
	"store.ErrCredentials": store.ErrCredentials, "store.ErrMisconfigured": store.ErrMisconfigured,
	"store.ErrNotReady": store.ErrNotReady, "store.ErrReadOnly": store.ErrReadOnly, "store.ErrFull": store.ErrFull,
	"store.ErrProtocol": store.ErrProtocol, "store.ErrRejected": store.ErrRejected, "store.ErrCorrupt": store.ErrCorrupt, "store.ErrLost": store.ErrLost,
	"copilot.ErrTimeout": copilot.ErrTimeout, "copilot.ErrUnreachable": copilot.ErrUnreachable,
	"copilot.ErrThrottled": copilot.ErrThrottled, "copilot.ErrRejected": copilot.ErrRejected,
	"copilot.ErrServer": copilot.ErrServer, "copilot.ErrProtocol": copilot.ErrProtocol, "copilot.ErrToken": copilot.ErrToken,
	"copilot.ErrInterrupted":  copilot.ErrInterrupted,
	"auth.ErrUnauthenticated": auth.ErrUnauthenticated, "auth.ErrForbidden": auth.ErrForbidden,
	"auth.ErrUnavailable": auth.ErrUnavailable,
	"store.ErrOverloaded": store.ErrOverloaded,
	"turn.ErrOverloaded":  turn.ErrOverloaded, "turn.ErrShuttingDown": turn.ErrShuttingDown, "turn.ErrAbandoned": turn.ErrAbandoned, "turn.ErrPanic": turn.ErrPanic,
}

func TestEverySentinelHasARow(t *testing.T) {
	found := map[string]bool{}
	for pkg, dir := range map[string]string{"store": "../store", "copilot": "copilot", "auth": "auth", "turn": "turn", "server": "."} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, name := range errorVars(t, file) {
				found[pkg+"."+name] = true
			}
		}
	}
	if len(found) < 20 {
		t.Fatalf("found only %v: the search is broken", found)
	}
	for name := range found {
		err, ok := sentinels[name]
		if !ok {
			t.Errorf("%s is in no test and perhaps in no row of the table", name)
			continue
		}
		if Class(err) == classInternal {
			t.Errorf("%s has no row in the table", name)
		}
	}
}

// errorVars gives the exported variables of a file whose name begins with Err.
func errorVars(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range parsed.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if rest, ok := strings.CutPrefix(name.Name, "Err"); ok && rest != "" && ast.IsExported(rest) {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

func TestClass(t *testing.T) {
	foreign := errors.New("dial tcp: connection refused")
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nil":                            {nil, ""},
		"unknown":                        {foreign, classInternal},
		"client left":                    {fmt.Errorf("store: %w", context.Canceled), classClientCanceled},
		"a deadline nobody explains":     {context.DeadlineExceeded, classInternal},
		"store":                          {&store.Error{Kind: store.ErrFull}, "store_full"},
		"store, wrapped":                 {fmt.Errorf("x: %w", &store.Error{Kind: store.ErrFull}), "store_full"},
		"store, ours":                    {&store.Error{Kind: store.ErrOverloaded, Cause: foreign}, "overloaded"},
		"store, no kind":                 {&store.Error{}, classStoreRejected},
		"store, foreign kind":            {&store.Error{Kind: foreign}, classStoreRejected},
		"store, agent's kind":            {&store.Error{Kind: copilot.ErrTimeout}, classStoreRejected},
		"store, canceled kind":           {&store.Error{Kind: context.Canceled}, classStoreRejected},
		"store, canceled cause":          {&store.Error{Kind: store.ErrTimeout, Cause: context.Canceled}, "store_timeout"},
		"agent, foreign kind":            {&copilot.Error{Kind: foreign}, classUpstreamProtocol},
		"agent, store's kind":            {&copilot.Error{Kind: store.ErrNotFound}, classUpstreamProtocol},
		"agent, same cause as the store": {&copilot.Error{Kind: copilot.ErrUnreachable, Cause: foreign}, "upstream_unreachable"},
		"busy":                           {&store.BusyError{Turn: 1}, "turn_conflict"},
		"taken over":                     {store.ErrStale, "turn_conflict"},
	} {
		if got := Class(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// RESIL-01: trouble of the store is 503 (or 500 for one record), never 502, and
// trouble of the agent is 502 or 504, never 503.
func TestStoreAndAgentKeepTheirStatus(t *testing.T) {
	seen := map[string]bool{}
	for f := range Failures() {
		if seen[f.Class] {
			t.Errorf("%s is in the table twice", f.Class)
		}
		seen[f.Class] = true
		switch {
		case f.Class == "store_corrupt" && f.Status == 500:
		case f.origin == ofStore && f.Status != 503:
			t.Errorf("%s is %d", f.Class, f.Status)
		case f.origin == ofAgent && f.Status != 502 && f.Status != 504:
			t.Errorf("%s is %d", f.Class, f.Status)
		case strings.HasPrefix(f.Class, "store_") != (f.origin == ofStore), (strings.HasPrefix(f.Class, "upstream_") || f.Class == "token_unavailable") != (f.origin == ofAgent):
			t.Errorf("%s has the wrong origin", f.Class)
		}
	}
	if len(seen) != 41 {
		t.Errorf("%d classes in the table", len(seen))
	}
}

// What users are shown is one sentence without words of the machinery: the front end
// shows it as it is.
func TestEveryClassHasAMessage(t *testing.T) {
	for f := range Failures() {
		body, ok := strings.CutSuffix(f.Message, ".")
		if !ok || body == "" || strings.ContainsAny(body, ".\n") || len(f.Message) > 100 {
			t.Errorf("%s: %q is not one short sentence", f.Class, f.Message)
		}
		for _, word := range []string{"redis", "store", "agent", "upstream", "token", "idempotency", "class", "json"} {
			if strings.Contains(strings.ToLower(f.Message), word) {
				t.Errorf("%s: %q is not for users", f.Class, f.Message)
			}
		}
		if again := strings.Contains(f.Message, "again") || strings.Contains(f.Message, "wait"); f.Retryable && !again {
			t.Errorf("%s: %q does not say that repeating may help", f.Class, f.Message)
		}
	}
}

// secret is what a foreign error may say and no answer may repeat.
const secret = "redis-7.internal:6379 s3cr3t"

// provoked gives an error of each class, with as much around it as can leak.
func provoked(f Failure) error {
	switch f.origin {
	case ofStore:
		return &store.Error{Op: "BeginTurn", Kind: f.is[0], Code: "CODE", Cause: errors.New(secret)}
	case ofAgent:
		e := &copilot.Error{Op: "turn", Kind: f.is[0], Cause: errors.New(secret)}
		if errors.Is(e, copilot.ErrThrottled) || errors.Is(e, copilot.ErrToken) {
			e.RetryAfter = 6500 * time.Millisecond
		}
		return e
	case ofRequest:
	}
	switch f.Class {
	case classInternal:
		return errors.New(secret)
	case classInvalid:
		return invalid(reasonFieldMissing, "text", "is missing")
	case "turn_conflict":
		return &store.BusyError{Turn: 3, RetryAfter: 1200 * time.Millisecond}
	case "method_not_allowed":
		return &requestError{kind: errMethod, header: http.Header{"Allow": {"POST"}}}
	}
	return fmt.Errorf("%s: %w", secret, f.is[0])
}

func TestEveryClassHasItsAnswer(t *testing.T) {
	names := map[string]bool{}
	for f := range Failures() {
		if f.Class != classClientCanceled { // which is answered nothing
			names[f.Class] = true
		}
		t.Run(f.Class, func(t *testing.T) {
			var rec *httptest.ResponseRecorder
			var w *harness
			status, cut := f.Status, false
			if f.Class == classAgentError {
				w = newHarness(t, answeringAgent(copilot.Message{ID: "act-1", Text: "Sorry. Error code: SystemError.", ErrorCode: "SystemError"}))
				rec = w.do(send(w.start(), "hello"))
			} else {
				w = newHarness(t, nil)
				w.bare = true
				rec, cut = w.provoke(f)
			}
			if f.Class == classClientCanceled {
				status = noAnswer // and none that could be taken for one
			} else {
				golden(t, "failures/"+f.Class+".json", goldenOf(t, rec))
			}
			if rec.Code != status || cut != (status == noAnswer) {
				t.Errorf("status %d, cut off: %v", rec.Code, cut)
			}
			done := w.lastDone()
			if done.Class != f.Class || done.Status != status {
				t.Errorf("done says %q %d", done.Class, done.Status)
			}
			if strings.Contains(rec.Body.String(), "s3cr3t") {
				t.Errorf("the answer leaks: %s", rec.Body)
			}
			if !strings.Contains(w.logs.String(), `"class":"`+f.Class+`"`) {
				t.Errorf("no line in the log: %s", w.logs)
			}
			advised := rec.Header().Get("Retry-After") != ""
			wantAdvice := f.Retryable && (f.Status == 503 || f.Status == 429 || f.Status == 409 || f.Class == "upstream_throttled" || f.Class == "token_unavailable")
			if advised != wantAdvice {
				t.Errorf("Retry-After is %q", rec.Header().Get("Retry-After"))
			}
		})
	}
	onlyGoldens(t, "failures", names)
}

// provoke answers a request whose handler fails with the class of f.
func (w *harness) provoke(f Failure) (rec *httptest.ResponseRecorder, cut bool) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	fail := func(_ http.ResponseWriter, r *http.Request) error {
		of(r).Conversation = "00000000-0000-7000-8000-000000000001"
		switch f.Class {
		case classPanic:
			panic(secret)
		case classClientCanceled:
			cancel()
			return fmt.Errorf("store: BeginTurn: %w", ctx.Err())
		}
		return provoked(f)
	}
	c := post("/api/chat/send", "{}")
	rec, cut = answerOf(w.server.adapter.adapt(route{method: "POST", pattern: "/api/chat/send", handle: fail}), c.request(ctx))
	recorded(ctx, w.t, c, rec)
	return rec, cut
}

func TestLogLevels(t *testing.T) {
	for f := range Failures() {
		want := slog.LevelError
		switch {
		case f.Status < 500 && f.Class != "overloaded" && f.Class != classAgentError, f.Class == "shutting_down":
			want = slog.LevelInfo
		case f.Retryable && f.origin != ofStore && f.Class != "auth_unavailable", f.Class == classAgentError:
			want = slog.LevelWarn
		}
		if f.Level != want {
			t.Errorf("%s is logged at %v", f.Class, f.Level)
		}
		if f.SpanError != (want > slog.LevelInfo && f.Class != "overloaded") {
			t.Errorf("%s marks spans: %v", f.Class, f.SpanError)
		}
	}
}

// A cancellation that is not the client's doing is a fault of this service.
func TestCanceledByWhom(t *testing.T) {
	w := newHarness(t, nil)
	rec := httptest.NewRecorder()
	fail := func(http.ResponseWriter, *http.Request) error { return context.Canceled }
	w.server.adapter.adapt(route{handle: fail}).ServeHTTP(rec, get("/x").request(t.Context()))
	if rec.Code != http.StatusInternalServerError {
		t.Errorf("status %d", rec.Code)
	}
}

// aborts reports whether a panic cuts the connection.
func aborts(escaped any) bool {
	err, ok := escaped.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

func TestPanics(t *testing.T) {
	w := newHarness(t, nil)
	run := func(handle func(http.ResponseWriter, *http.Request) error) (rec *httptest.ResponseRecorder, cut bool) {
		return answerOf(w.server.adapter.adapt(route{handle: handle}), get("/x").request(t.Context()))
	}
	if rec, cut := run(func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }); !cut || rec.Code != noAnswer {
		t.Errorf("ErrAbortHandler became %d, cut off: %v", rec.Code, cut)
	}
	// Half an answer must not look like a whole one.
	_, cut := run(func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = w.Write([]byte("{"))
		panic("oh")
	})
	if !cut {
		t.Error("a broken answer ends as a whole one does")
	}
	if d := w.lastDone(); d.Class != classPanic || d.Status != http.StatusOK {
		t.Errorf("done says %+v", d)
	}
	rec, cut := run(func(http.ResponseWriter, *http.Request) error { panic(errors.New("s3cr3t")) })
	if cut || rec.Code != http.StatusInternalServerError {
		t.Errorf("status %d, cut off: %v", rec.Code, cut)
	}
	if logs := w.logs.String(); strings.Contains(logs, "s3cr3t") || !strings.Contains(logs, "goroutine") {
		t.Errorf("log: %s", logs)
	}
	// A body that does not encode is found before the status is sent.
	rec, _ = run(func(rw http.ResponseWriter, r *http.Request) error {
		return respond(rw, r, http.StatusOK, func() {})
	})
	if rec.Code != http.StatusInternalServerError {
		t.Errorf("status %d", rec.Code)
	}
}
