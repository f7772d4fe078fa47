package copilot_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
)

// A probe tells an address that answers from one that does not, by the kinds that a turn
// would fail with, and talks to no agent.
func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		status      int
		contentType string
		token       string
		want        error
	}{
		"no such method":           {405, "", "t", nil},
		"no such route":            {404, "", "t", nil},
		"bad request":              {400, "text/html", "t", nil},
		"an answer":                {200, "application/json", "t", nil},
		"refused without a token":  {401, "", "", nil},
		"refused with a token":     {401, "", "t", copilot.ErrRejected},
		"forbidden with a token":   {403, "", "t", copilot.ErrRejected},
		"throttled":                {429, "", "t", copilot.ErrThrottled},
		"fails":                    {500, "", "t", copilot.ErrServer},
		"a gateway without anyone": {503, "text/html", "", copilot.ErrServer},
		"to a page to sign in":     {302, "", "t", copilot.ErrProtocol},
		"a web page":               {200, "text/html; charset=utf-8", "t", copilot.ErrProtocol},
		"a token of two lines":     {405, "", "t\r\nX: y", copilot.ErrToken},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				want := ""
				if c.token != "" {
					want = "Bearer " + c.token
				}
				if r.Method != http.MethodGet || r.URL.Path != "/bots/b/conversations" || r.URL.Query().Get("api-version") == "" || r.ContentLength > 0 || r.Header.Get("Authorization") != want {
					t.Errorf("%s %s, %v", r.Method, r.URL, r.Header)
				}
				w.Header().Set("Content-Type", c.contentType)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
			}))
			defer web.Close()
			status, err := unsigned(t, web.URL, nil).Probe(t.Context(), c.token)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if want := c.status; errors.Is(c.want, copilot.ErrToken) {
				if asked != 0 {
					t.Error("it was asked")
				}
			} else if status != want || asked != 1 {
				t.Errorf("status %d after %d requests", status, asked)
			}
		})
	}
	e := emulator.New(emulator.Options{Token: "t"})
	web := httptest.NewServer(e)
	defer web.Close()
	if status, err := unsigned(t, web.URL, nil).Probe(t.Context(), "t"); err != nil || status != http.StatusMethodNotAllowed {
		t.Errorf("the emulated agent: %d, %v", status, err)
	}
	if n := sent(e, emulator.KindStart) + sent(e, emulator.KindTurn); n != 0 {
		t.Errorf("%d conversations", n)
	}
	web.Close()
	var failed *copilot.Error
	if _, err := unsigned(t, web.URL, nil).Probe(t.Context(), "t"); !errors.As(err, &failed) || !errors.Is(err, copilot.ErrUnreachable) || failed.Reason != copilot.ReasonUnreachable {
		t.Errorf("nobody there: %v", err)
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := unsigned(t, silent.URL, nil).Probe(ctx, "t"); !errors.Is(err, copilot.ErrTimeout) {
		t.Errorf("silent: %v", err)
	}
}
