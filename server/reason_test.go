package server

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"parley/server/auth"
	"parley/server/auth/authtest"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// refused has a request for each reason that one request alone brings about.
func refused() map[Reason][]call {
	const list, one = "/api/chat/conversations", "/api/chat/conversations/" + unknown
	sent := func(body string) call { return post("/api/chat/send", body) }
	typed := func(value string) call {
		return post("/api/chat/orchestrate", `{"query":"q"}`).with("Content-Type", value)
	}
	card := func(submit string) call {
		return post("/api/chat/card-action", `{"conversationId":"`+unknown+`","cardId":"c","userSummary":"s","submitData":`+submit+`}`)
	}
	const id = `"conversationId":"` + unknown + `"`
	return map[Reason][]call{
		reasonBodyMissing:    {sent("")},
		reasonBodyNotUTF8:    {sent("{\"text\":\"\xff\"}")},
		reasonBodyTooDeep:    {sent(strings.Repeat("[", 65))},
		reasonBodyNotJSON:    {sent("{"), sent("{} {}"), sent("text")},
		reasonFieldMissing:   {sent("{}"), sent("{" + id + "}"), {Method: "PATCH", Path: one, Body: "{}", Headers: map[string]string{"Content-Type": "application/json"}}},
		reasonFieldType:      {sent("[]"), sent("{" + id + `,"text":1}`), sent("{" + id + `,"text":"t","workflowContext":{"step":"s","constraints":[1]}}`), card("1")},
		reasonFieldEmpty:     {sent("{" + id + `,"text":" "}`)},
		reasonFieldTooLong:   {sent("{" + id + `,"text":"` + strings.Repeat("x", maxText+1) + `"}`)},
		reasonFieldTwice:     {sent("{" + id + "," + id + `,"text":"t"}`), get(list + "?limit=1&limit=2")},
		reasonFieldForm:      {sent(`{"conversationId":"alice@example.com","text":"t"}`), get(list + "/alice@example.com"), sent("{" + id + `,"text":"a\u0000b"}`), sent("{}").with("Idempotency-Key", "ключ")},
		reasonFieldRange:     {get(list + "?limit=0"), get(list + "?limit=alice"), {Method: "PATCH", Path: one, Body: `{"status":"alice"}`, Headers: map[string]string{"Content-Type": "application/json"}}},
		reasonQueryMalformed: {get(list + "?limit=%zz")},
		reasonQueryConflict:  {get(one + "?after=1&before=2")},
		reasonCursor:         {get(list + "?cursor=alice")},
		reasonTypeMissing:    {{Method: "POST", Path: "/api/chat/orchestrate", Body: `{"query":"q"}`}, {Method: "POST", Path: "/api/chat/send"}},
		reasonTypeOther:      {typed("text/plain"), typed("alice"), typed("application/json; charset")},
		reasonCharset:        {typed("application/json; charset=latin1")},
		reasonEncoding:       {post("/api/chat/orchestrate", `{"query":"q"}`).with("Content-Encoding", "gzip")},
		reasonAction:         {card(`{"action":"Action.Alice"}`), card(`{}`)},
		reasonDomain:         {card(`{"action":"Action.OpenUrl","url":"https://alice.example"}`), card(`{"action":"Action.OpenUrl"}`)},
		reasonOrigin:         {post("/api/chat/start", "{}").with("Origin", "https://alice.example").with("Sec-Fetch-Site", "cross-site")},
		reasonHost:           {get(list)},
	}
}

// A refused request says why, in the log and to telemetry, in one word of the list.
func TestReasons(t *testing.T) {
	provoked := map[Reason]bool{}
	check := func(w *harness, want Reason, c any) {
		t.Helper()
		provoked[want] = true
		line := strings.TrimSpace(w.logs.String())
		line = line[strings.LastIndex(line, "\n")+1:]
		if got := w.lastDone(); got.Reason != want || !strings.Contains(line, fmt.Sprintf(`"reason":%q`, want)) || strings.Contains(line, "alice") {
			t.Errorf("%s: %v is %s for %q\n%s", want, c, got.Class, got.Reason, line)
		}
	}
	w := newHarness(t, nil, func(c *Config) { c.Loopback = true })
	for want, calls := range refused() {
		for _, c := range calls {
			r := c.request(t.Context())
			if r.Host = "localhost"; want == reasonHost {
				r.Host = "alice.example"
			}
			w.server.ServeHTTP(httptest.NewRecorder(), r)
			check(w, want, c)
		}
	}
	guarded, issuer, key := newAuthHarness(t)
	attacks := authtest.Attacks(t, issuer)
	guarded.doAs(get("/api/chat/conversations"), "Bearer "+key.Token(issuer.Claims())) // fetches the keys
	for _, a := range attacks {
		switch guarded.doAs(get("/api/chat/conversations"), a.Header); {
		case a.Reason != "":
			check(guarded, Reason(a.Reason), a.Description)
		case a.Forbidden:
			check(guarded, guarded.lastDone().Reason, a.Description) // the tenant, or a grant
		}
	}
	guarded.do(get("/api/chat/conversations"))
	check(guarded, Reason(auth.ReasonMissing), "nothing")

	for want, err := range map[Reason]error{
		reasonConnections: &store.Error{Kind: store.ErrOverloaded, Reason: store.NoConnection},
		reasonProcessor:   &store.Error{Kind: store.ErrOverloaded, Reason: store.NoProcessor},
		reasonPages:       &store.Error{Kind: store.ErrOverloaded, Reason: store.PagesWait},
		reasonFiles:       &store.Error{Kind: store.ErrUnreachable, Cause: syscall.EMFILE},
		turn.ReasonTurns:  &turn.OverloadedError{Reason: turn.ReasonTurns}, turn.ReasonTurnsOfUser: &turn.OverloadedError{Reason: turn.ReasonTurnsOfUser},
		turn.ReasonReaders: &turn.OverloadedError{Reason: turn.ReasonReaders},
		reasonRequests:     overloaded(reasonRequests), reasonRequestsOfUser: overloaded(reasonRequestsOfUser),
		reasonSignIns: overloaded(reasonSignIns), reasonBodies: overloaded(reasonBodies), reasonAnswers: overloaded(reasonAnswers),
		reasonBodyIncomplete: invalid(reasonBodyIncomplete, "body", ""), // TestBodiesThatEndEarly provokes it
	} {
		provoked[want] = true
		if got := reasonOf(err); got != want {
			t.Errorf("%v is for %q, want %q", err, got, want)
		}
	}
	for kind, reasons := range map[error][]string{
		copilot.ErrToken: copilot.TokenReasons(), copilot.ErrTimeout: copilot.TimeoutReasons(), copilot.ErrUnreachable: copilot.UnreachableReasons(),
	} {
		for _, r := range reasons {
			provoked[Reason(r)] = true
			if got := reasonOf(&copilot.Error{Kind: kind, Reason: r}); got != Reason(r) {
				t.Errorf("%v is for %q, want %q", kind, got, r)
			}
		}
	}
	// What the agent's other errors say is not of the list.
	if got := reasonOf(&copilot.Error{Kind: copilot.ErrProtocol, Reason: "answer has more than MAX_ANSWER_BYTES"}); got != "" {
		t.Errorf("a failure of the agent is for %q", got)
	}
	for class, reasons := range Reasons() {
		for _, r := range reasons {
			if !provoked[r] {
				t.Errorf("nothing provokes %s of %s", r, class)
			}
		}
	}
}

// Whoever refuses a request for one of several reasons says which: no sentinel of such a
// class is returned without one.
func TestEveryRefusalHasAReason(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	sites := 0
	needs := func(e ast.Expr) bool {
		id, ok := e.(*ast.Ident)
		return ok && slices.Contains([]string{"errInvalid", "errForbidden", "errMediaType"}, id.Name)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "failure.go" {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[ast.Expr]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec: // where they are declared
				return false
			case *ast.CompositeLit:
				reason, needed := false, false
				for _, e := range n.Elts {
					kv, ok := e.(*ast.KeyValueExpr)
					if !ok {
						continue
					}
					if key, ok := kv.Key.(*ast.Ident); ok {
						reason = reason || key.Name == "reason"
						if key.Name == "kind" && needs(kv.Value) {
							needed, kinds[kv.Value] = true, true
						}
					}
				}
				if needed {
					sites++
					if !reason {
						t.Errorf("%s: no reason", fset.Position(n.Pos()))
					}
				}
			case ast.Expr:
				if needs(n) && !kinds[n] {
					t.Errorf("%s: without a requestError", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if sites < 6 {
		t.Errorf("only %d sites", sites)
	}
}
