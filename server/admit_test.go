package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/server/auth"
	"parley/server/auth/authtest"
)

// guarded is a server that verifies real tokens.
func newAuthHarness(t *testing.T, change ...func(*Config)) (*harness, *authtest.Issuer, *authtest.Key) {
	t.Helper()
	key := authtest.NewEC(t, "key")
	issuer := authtest.NewIssuer(t, key)
	now := time.Now()
	b, err := auth.NewBearer(auth.Options{
		Source: auth.Source{Issuer: issuer.URL()}, Audiences: []string{authtest.ClientID, "api://" + authtest.ClientID},
		Tenants: []string{authtest.Tenant}, Roles: []string{authtest.Role}, Scopes: []string{authtest.Scope},
		Transport: issuer.Transport(), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	change = append([]func(*Config){func(c *Config) { c.AuthRequired, c.Auth = true, b }}, change...)
	return newHarness(t, nil, change...), issuer, key
}

// requestsByRoute has one good request for each route that asks who it is.
func requestsByRoute(t *testing.T, w *harness, id string) map[string]call {
	t.Helper()
	bodies := map[string]call{
		"POST /api/chat/start":                    post("/api/chat/start", "{}"),
		"POST /api/chat/send":                     send(id, "hello"),
		"POST /api/chat/card-action":              post("/api/chat/card-action", fmt.Sprintf(`{"conversationId":%q,"cardId":"c","userSummary":"s","submitData":{"action":"Action.Submit"}}`, id)),
		"POST /api/chat/orchestrate":              post("/api/chat/orchestrate", `{"query":"hello"}`),
		"GET /api/chat/conversations":             get("/api/chat/conversations"),
		"GET /api/chat/conversations/{id}":        get("/api/chat/conversations/" + id),
		"GET /api/chat/conversations/{id}/stream": get("/api/chat/conversations/" + id + "/stream"),
		"POST /api/chat/conversations/{id}/stop":  {Method: "POST", Path: "/api/chat/conversations/" + id + "/stop"},
		"PATCH /api/chat/conversations/{id}":      {Method: "PATCH", Path: "/api/chat/conversations/" + id, Body: `{"status":"completed"}`, Headers: map[string]string{"Content-Type": "application/json"}},
		"DELETE /api/chat/conversations/{id}":     {Method: "DELETE", Path: "/api/chat/conversations/" + id},
	}
	for _, rt := range w.server.routes() {
		if _, ok := bodies[rt.method+" "+rt.pattern]; !ok && !rt.open {
			t.Errorf("%s %s is asked by no test", rt.method, rt.pattern)
		}
	}
	return bodies
}

// reasonIn is why a caller is not signed in, "" if the answer does not say.
func reasonIn(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct{ Reason string }
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatalf("%v in %s", err, rec.Body)
	}
	return body.Reason
}

// doAs sends a request with these Authorization headers.
func (w *harness) doAs(c call, authorization ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := c.request(w.t.Context())
	r.Header["Authorization"] = authorization
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	recorded(w.t.Context(), w.t, c, rec)
	return rec
}

// Every attack ends where it begins: before the store, before the agent, with
// its class and without an echo of what was shown.
func TestAttacks(t *testing.T) {
	w, issuer, key := newAuthHarness(t)
	type attack struct {
		headers []string
		status  int
		class   string
		says    string
		reason  string
	}
	attacks := map[string]attack{"nothing": {nil, 401, "unauthenticated", "Bearer", "token_missing"}}
	for name, a := range authtest.Attacks(t, issuer) {
		attacks[name] = attack{[]string{a.Header}, 401, "unauthenticated", `Bearer error="invalid_token", error_description="` + a.Description + `"`, a.Reason}
		if a.Forbidden {
			attacks[name] = attack{[]string{a.Header}, 403, "forbidden", "", ""}
		}
		if a.Unavailable {
			attacks[name] = attack{[]string{a.Header}, 503, "auth_unavailable", "", ""}
		}
	}
	good := "Bearer " + key.Token(issuer.Claims())
	w.doAs(get("/api/chat/conversations?limit=0"), good) // fetches the keys
	malformed := `Bearer error="invalid_token", error_description="The Authorization header must hold one bearer token."`
	attacks["two headers"] = attack{[]string{good, good}, 401, "unauthenticated", malformed, "token_malformed"}
	attacks["two headers, one empty"] = attack{[]string{good, ""}, 401, "unauthenticated", malformed, "token_malformed"}

	for name, a := range attacks {
		for route, c := range requestsByRoute(t, w, unknown) {
			rec := w.doAs(c, a.headers...)
			if rec.Code != a.status || field[string](t, rec, "class") != a.class || w.lastDone().Class != a.class || w.lastDone().Stage != StageAuth {
				t.Errorf("%s: %s: %d %s", name, route, rec.Code, rec.Body)
			}
			if got := rec.Header().Get("Retry-After"); (got == "10") != (a.status == 503) {
				t.Errorf("%s: %s: Retry-After is %q", name, route, got)
			}
			if got := reasonIn(t, rec); got != a.reason {
				t.Errorf("%s: %s: the reason is %q, want %q", name, route, got, a.reason)
			}
			if got := rec.Header().Get("WWW-Authenticate"); got != a.says {
				t.Errorf("%s: %s: WWW-Authenticate is %s", name, route, got)
			}
			for _, h := range a.headers {
				if token := strings.TrimPrefix(h, "Bearer "); len(token) > 20 && strings.Contains(fmt.Sprint(rec.Header(), rec.Body), token[:20]) {
					t.Errorf("%s: %s: the answer repeats what was shown", name, route)
				}
			}
		}
	}
	if w.agent.asked() != 0 || len(w.store.callNames()) != 0 {
		t.Errorf("the agent was asked %d times, the store %v", w.agent.asked(), w.store.callNames())
	}
	if strings.Contains(w.logs.String(), "eyJ") {
		t.Error("a token is in the log")
	}
	if rec := w.doAs(get("/api/chat/conversations"), good); rec.Code != 200 {
		t.Errorf("a good token gets %d: %s", rec.Code, rec.Body)
	}
}

// While nobody can say what a token is worth, the answer is neither yes nor no.
func TestIssuerAway(t *testing.T) {
	w, issuer, key := newAuthHarness(t)
	issuer.Break(authtest.Down)
	for route, c := range requestsByRoute(t, w, unknown) {
		rec := w.doAs(c, "Bearer "+key.Token(issuer.Claims()))
		if rec.Code != http.StatusServiceUnavailable || field[string](t, rec, "class") != "auth_unavailable" || rec.Header().Get("Retry-After") == "" || rec.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %s", route, rec.Code, rec.Body)
		}
	}
	if w.agent.asked() != 0 || len(w.store.callNames()) != 0 {
		t.Error("somebody was asked")
	}
	w.must(200, get("/health"))
}

// ROUTE-01: the owner comes from the token, and from nothing else in a request.
func TestOwnerIsTheTokens(t *testing.T) {
	w, issuer, key := newAuthHarness(t)
	token := "Bearer " + key.Token(issuer.Claims())
	c := post("/api/chat/start?userId=mallory&tenantId=evil", `{"userId":"mallory","tenantId":"evil","owner":{"tenant":"evil"}}`).
		with("X-User-Id", "mallory").with("X-Tenant-Id", "evil")
	if rec := w.doAs(c, token); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if got := w.lastDone().OwnerHash; got != hashOf(authtest.Tenant, authtest.User) {
		t.Errorf("owner %s", got)
	}
	identity := w.agent.starts[0].Identity
	if identity.Tenant != authtest.Tenant || identity.User != authtest.User || "Bearer "+identity.Assertion != token {
		t.Errorf("the agent is asked for %s of %s", identity.User, identity.Tenant)
	}
}

// Another's conversation answers as one that does not exist: the same bytes,
// after the same work.
func TestAnothersConversation(t *testing.T) {
	begin := func(w *harness, token string) string {
		rec := w.doAs(post("/api/chat/start", "{}"), token)
		if rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		return field[string](t, rec, "conversationId")
	}
	there, issuer, key := newAuthHarness(t)
	gone := newHarness(t, nil, func(c *Config) {
		c.AuthRequired, c.Auth, c.NewID = true, there.server.cfg.Auth, uuid.NewString
	})
	owner := "Bearer " + key.Token(issuer.Claims())
	id := begin(there, owner)
	for name, claims := range map[string]authtest.Object{
		"another user": issuer.Claims().With("oid", "another"),
		// The parts of an owner must not run into each other.
		"a user like it": issuer.Claims().With("oid", authtest.User[1:]),
	} {
		stranger := "Bearer " + key.Token(claims)
		begin(there, stranger)
		begin(gone, stranger)
		for route, c := range requestsByRoute(t, there, id) {
			if !strings.Contains(c.Path+c.Body, id) {
				continue
			}
			there.store.resetCalls()
			gone.store.resetCalls()
			asked := there.agent.asked()
			a, b := there.doAs(c, stranger), gone.doAs(c, stranger)
			if a.Code != http.StatusNotFound || a.Code != b.Code || a.Body.String() != b.Body.String() || !reflect.DeepEqual(a.Header(), b.Header()) {
				t.Errorf("%s: %s: %d %v %s, and for none %d %v %s", name, route, a.Code, a.Header(), a.Body, b.Code, b.Header(), b.Body)
			}
			if x, y := there.store.callNames(), gone.store.callNames(); len(x) != 1 || !reflect.DeepEqual(x, y) {
				t.Errorf("%s: %s: the store is asked %v, and for none %v", name, route, x, y)
			}
			if there.agent.asked() != asked {
				t.Errorf("%s: %s: the agent is asked", name, route)
			}
		}
		rec := there.doAs(get("/api/chat/conversations"), stranger)
		if strings.Contains(rec.Body.String(), id) {
			t.Errorf("%s: lists %s", name, rec.Body)
		}
	}
	if rec := there.doAs(get("/api/chat/conversations/"+id), owner); rec.Code != 200 {
		t.Errorf("its owner gets %d", rec.Code)
	}
}

// BenchmarkAdmit is what it costs to let somebody in.
func BenchmarkAdmit(b *testing.B) {
	for _, key := range []*authtest.Key{authtest.NewRSA(b, "rsa"), authtest.NewEC(b, "ec")} {
		b.Run(key.Alg, func(b *testing.B) {
			issuer := authtest.NewIssuer(b, key)
			v, err := auth.NewBearer(auth.Options{
				Source: auth.Source{Issuer: issuer.URL()}, Audiences: []string{"api://" + authtest.ClientID},
				Tenants: []string{authtest.Tenant}, Transport: issuer.Transport(),
			})
			if err != nil {
				b.Fatal(err)
			}
			defer v.Close()
			header := "Bearer " + key.Token(issuer.Claims().With("exp", time.Now().Add(24*time.Hour).Unix()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
