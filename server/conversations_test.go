package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/server/auth"
	"parley/store"
)

// QUERY-01, QUERY-02: the caller's own conversations, newest first, by pages.
func TestList(t *testing.T) {
	now, mu := epoch, sync.Mutex{}
	w := newHarness(t, nil, func(c *Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Millisecond); return now }
	})
	var want []string
	for range 5 {
		want = append([]string{w.start()}, want...)
	}
	var got []string
	cursor, pages := "", 0
	for {
		rec := w.must(200, get("/api/chat/conversations?limit=2&cursor="+cursor))
		for _, c := range field[[]conversationBody](t, rec, "conversations") {
			if c.Messages != nil || c.Status != store.StatusActive {
				t.Errorf("listed as %+v", c)
			}
			got = append(got, c.ID)
		}
		pages++
		if !strings.Contains(rec.Body.String(), "nextCursor") {
			break
		}
		cursor = field[string](t, rec, "nextCursor")
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || pages != 3 {
		t.Errorf("%d pages: %v, want %v", pages, got, want)
	}
	for q, name := range map[string]string{
		"limit=0": "limit", "limit=51": "limit", "limit=x": "limit", "limit=": "limit", "limit=+1": "limit", "limit=1&limit=2": "limit",
		"cursor=%21%21": "cursor", "a=%zz": "",
	} {
		rec := w.must(400, get("/api/chat/conversations?"+q))
		if name != "" && field[string](t, rec, "field") != name {
			t.Errorf("%s: %s", q, rec.Body)
		}
	}
}

func TestOneConversation(t *testing.T) {
	w := newHarness(t, nil)
	id := w.start()
	w.must(200, send(id, "one"))
	w.must(200, send(id, "two"))
	path := "/api/chat/conversations/"
	for q, want := range map[string]int{"": 5, "?after=0": 4, "?after=1": 2, "?after=2": 0, "?after=99": 0} {
		rec := w.must(200, get(path+id+q))
		if got := field[[]store.Message](t, rec, "messages"); len(got) != want {
			t.Errorf("%q: %d messages, want %d", q, len(got), want)
		}
		if strings.Contains(rec.Body.String(), "null") {
			t.Errorf("a null in %s", rec.Body)
		}
	}
	rec := w.must(200, get(path+strings.ToUpper(id)))
	if got := field[string](t, rec, "createdAt"); got != "2026-03-02T09:15:04.120Z" || field[int](t, rec, "turnCount") != 2 {
		t.Error(rec.Body)
	}
	for _, q := range []string{"?after=-1", "?after=x", "?after=1&after=2"} {
		w.must(400, get(path+id+q))
	}
	w.store.resetCalls()
	for _, bad := range []string{"x", id + "%2F..", "..%2F" + id, "%7B" + id + "%7D", strings.ReplaceAll(id, "-", ""), "urn:uuid:" + id, id + "%00", "%20" + id[1:]} {
		for _, c := range []call{get(path + bad), {Method: "DELETE", Path: path + bad}, post(path+bad, `{"status":"completed"}`)} {
			if c.Method == "POST" {
				c.Method = "PATCH"
			}
			rec := w.must(400, c)
			if field[string](t, rec, "field") != "conversationId" {
				t.Errorf("%s: %s", bad, rec.Body)
			}
		}
	}
}

func patch(id, body string) call {
	c := post("/api/chat/conversations/"+id, body)
	c.Method = "PATCH"
	return c
}

func TestCloseAndDelete(t *testing.T) {
	w := newHarness(t, nil)
	id := w.start()
	for _, body := range []string{`{}`, `{"status":"active"}`, `{"status":7}`, `{"status":"completed","status":"abandoned"}`, `[]`} {
		w.must(400, patch(id, body))
	}
	rec := w.must(200, patch(id, `{"status":"abandoned"}`))
	if field[string](t, rec, "status") != "abandoned" || strings.Contains(rec.Body.String(), "messages") {
		t.Error(rec.Body)
	}
	w.must(409, send(id, "hello?"))
	del := call{Method: "DELETE", Path: "/api/chat/conversations/" + id}
	if rec := w.must(204, del); rec.Body.Len() != 0 {
		t.Error(rec.Body)
	}
	for _, c := range []call{del, get(del.Path), patch(id, `{"status":"completed"}`), send(id, "x")} {
		w.must(404, c)
	}
}

// Another owner's conversation answers exactly as one that does not exist.
func TestOwnersAreApart(t *testing.T) {
	who := &fixedVerifier{Tenant: "t", User: "one"}
	w := newHarness(t, nil, func(c *Config) { c.AuthRequired, c.Auth = true, who })
	id := w.start()
	*who = fixedVerifier(auth.Principal{Tenant: "t", User: "two"})
	for _, c := range []func(string) call{
		func(id string) call { return get("/api/chat/conversations/" + id) },
		func(id string) call { return call{Method: "DELETE", Path: "/api/chat/conversations/" + id} },
		func(id string) call { return patch(id, `{"status":"completed"}`) },
		func(id string) call { return send(id, "x") },
	} {
		theirs, nobodys := w.must(404, c(id)), w.must(404, c(unknown))
		if strings.ReplaceAll(theirs.Body.String(), id, unknown) != nobodys.Body.String() {
			t.Errorf("%s differs from %s", theirs.Body, nobodys.Body)
		}
	}
	if got := w.must(200, get("/api/chat/conversations")).Body.String(); strings.Contains(got, id) {
		t.Errorf("listed: %s", got)
	}
}

func TestAnswersCarryTheirHeaders(t *testing.T) {
	w := newHarness(t, nil)
	id := w.start()
	for _, c := range []call{send(id, "x"), get("/api/chat/conversations"), get("/api/chat/conversations/" + id), get("/nothing"), get("/health"), {Method: "DELETE", Path: "/api/chat/conversations/" + id}} {
		h := w.do(c).Header()
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Server-Timing") == "" || h.Get("X-Request-Id") != "req-1" {
			t.Errorf("%s: %v", c.Path, h)
		}
	}
}
