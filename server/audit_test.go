package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"parley/server/auth/authtest"
)

// TEL-10: the line of every request tells whose it is by a keyed hash, as far as that is
// known for certain, and nothing else of the user.
func TestLinesTellTheOwner(t *testing.T) {
	w, issuer, key := newAuthHarness(t)
	bearer := func(change ...any) string {
		claims := issuer.Claims()
		for i := 0; i < len(change); i += 2 {
			claims = claims.With(change[i].(string), change[i+1])
		}
		return "Bearer " + key.Token(claims)
	}
	good := bearer()
	begin := func() string { return field[string](t, w.doAs(post("/api/chat/start", "{}"), good), "conversationId") }
	id, doomed := begin(), begin()
	me := hashOf(authtest.Tenant, authtest.User)
	forged := good[:len(good)-8] + "AAAAAAAA"
	for name, c := range map[string]struct {
		call   call
		token  string
		status int
		hash   string
		reason string
	}{
		"turn":                     {call: send(id, "hello"), token: good, status: 200, hash: me},
		"read":                     {call: get("/api/chat/conversations/" + id), token: good, status: 200, hash: me},
		"deletion":                 {call: call{Method: "DELETE", Path: "/api/chat/conversations/" + doomed}, token: good, status: 204, hash: me},
		"deletion of nothing":      {call: call{Method: "DELETE", Path: "/api/chat/conversations/" + unknown}, token: good, status: 404, hash: me},
		"bad body":                 {call: post("/api/chat/send", "{"), token: good, status: 400, hash: me, reason: "body_not_json"},
		"card not allowed":         {call: post("/api/chat/card-action", `{"conversationId":"`+id+`","cardId":"c","userSummary":"s","submitData":{"action":"Action.Evil"}}`), token: good, status: 403, hash: me, reason: "action_not_allowed"},
		"another tenant":           {call: get("/api/chat/conversations"), token: bearer("tid", "22222222-2222-4222-8222-222222222222"), status: 403, hash: hashOf("22222222-2222-4222-8222-222222222222", authtest.User), reason: "tenant_not_allowed"},
		"no such grant":            {call: get("/api/chat/conversations"), token: bearer("scp", "Other.Scope"), status: 403, hash: me, reason: "grant_missing"},
		"no token":                 {call: get("/api/chat/conversations"), status: 401, reason: "token_missing"},
		"expired":                  {call: get("/api/chat/conversations"), token: bearer("exp", 1), status: 401, reason: "token_expired"},
		"made up":                  {call: get("/api/chat/conversations"), token: forged, status: 401, reason: "signature_invalid"},
		"route that asks nobody":   {call: get("/livez"), token: good, status: 200},
		"route that is not there":  {call: get("/nowhere"), token: good, status: 404},
		"method that is not there": {call: call{Method: "PUT", Path: "/api/chat/send"}, token: good, status: 405},
	} {
		before := len(w.logs.String())
		var authorization []string
		if c.token != "" {
			authorization = []string{c.token}
		}
		if rec := w.doAs(c.call, authorization...); rec.Code != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, rec.Code, c.status, rec.Body)
		}
		line := w.logs.String()[before:]
		var said struct {
			Msg, Reason string
			OwnerHash   string `json:"owner_hash"`
			Status      int
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%s: %v: %s", name, err, line)
		}
		if said.Msg != "request" || said.Status != c.status || said.OwnerHash != c.hash || said.Reason != c.reason || w.lastDone().OwnerHash != c.hash {
			t.Errorf("%s: %s", name, line)
		}
		if strings.Contains(line, authtest.User) || strings.Contains(line, authtest.Tenant) || strings.Contains(line, good) {
			t.Errorf("%s: somebody is named: %s", name, line)
		}
	}
}

// Without a key nobody appears.
func TestLinesWithoutAKey(t *testing.T) {
	w, issuer, key := newAuthHarness(t, func(c *Config) { c.OwnerHash = nil })
	if rec := w.doAs(post("/api/chat/start", "{}"), "Bearer "+key.Token(issuer.Claims())); rec.Code != http.StatusOK {
		t.Fatal(rec.Code)
	}
	if strings.Contains(w.logs.String(), "owner_hash") {
		t.Errorf("log: %s", w.logs)
	}
}
