package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/server/copilot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	app    = "55555555-5555-5555-5555-555555555555"
	secret = "s3cr3t"
	scope  = "https://api.powerplatform.com/.default"
)

// tokenIssuer is the token endpoint of a tenant.
type tokenIssuer struct {
	*httptest.Server

	mu     sync.Mutex
	asked  []map[string]string // the forms
	life   time.Duration
	faulty http.HandlerFunc // answers requests for tokens; nil for none
}

func newIssuer(t *testing.T) *tokenIssuer {
	t.Helper()
	i := &tokenIssuer{life: time.Hour}
	i.Server = httptest.NewTLSServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *tokenIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/tenant/v2.0/.well-known/openid-configuration" {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": i.URL + "/tenant/v2.0", "token_endpoint": i.URL + "/tenant/oauth2/v2.0/token",
			"authorization_endpoint": i.URL + "/tenant/oauth2/v2.0/authorize",
		})
		return
	}
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	form := map[string]string{"path": r.URL.Path}
	for name := range r.PostForm {
		form[name] = r.PostForm.Get(name)
	}
	i.mu.Lock()
	i.asked = append(i.asked, form)
	n, life, faulty := len(i.asked), i.life, i.faulty
	i.mu.Unlock()
	if faulty != nil {
		faulty(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token_type": "Bearer", "access_token": fmt.Sprintf("token-%d-for-%s", n, form["assertion"]),
		"expires_in": int(life.Seconds()), "scope": scope,
	})
}

func (i *tokenIssuer) forms() []map[string]string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]map[string]string{}, i.asked...)
}

func (i *tokenIssuer) breaks(f http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faulty = f
}

func (i *tokenIssuer) lives(life time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.life = life
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// newSource makes a Source; pass moves its clock.
func newSource(t *testing.T, i *tokenIssuer, change ...func(*Options)) (s *Source, pass func(time.Duration)) {
	t.Helper()
	var mu sync.Mutex
	now := time.Now()
	o := Options{
		Authority: i.URL + "/tenant", ClientID: app, Secret: secret, Scope: scope, Transport: i.Client().Transport,
		Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
	}
	for _, f := range change {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
}

func user(name string) copilot.Identity {
	return copilot.Identity{Tenant: "t", User: name, Assertion: "jwt-of-" + name}
}

func must(t *testing.T, s *Source, id copilot.Identity) string {
	t.Helper()
	got, err := s.Token(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// settled waits until nothing is fetched.
func settled(t *testing.T, s *Source) {
	t.Helper()
	s.runs.Wait()
}

func TestOnBehalfOf(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSource(t, i)
	if got := must(t, s, user("ann")); got != "token-1-for-jwt-of-ann" {
		t.Errorf("token %q", got)
	}
	form := i.forms()[0]
	for name, want := range map[string]string{
		"path": "/tenant/oauth2/v2.0/token", "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "requested_token_use": "on_behalf_of",
		"assertion": "jwt-of-ann", "client_id": app, "client_secret": secret,
	} {
		if form[name] != want {
			t.Errorf("%s is %q, want %q", name, form[name], want)
		}
	}
	if !strings.Contains(form["scope"], scope) {
		t.Errorf("scope is %q", form["scope"])
	}
	if _, err := s.Token(t.Context(), copilot.Identity{Tenant: "t", User: "bob"}); !errors.Is(err, copilot.ErrToken) {
		t.Errorf("with nobody signed in: %v", err)
	}
}

func TestClientCredentials(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSource(t, i, func(o *Options) { o.Flow = ClientCredentials })
	first := must(t, s, user("ann"))
	if got := must(t, s, copilot.Identity{Tenant: "dev", User: "anonymous"}); got != first {
		t.Errorf("%q is not the service's own %q", got, first)
	}
	if f := i.forms(); len(f) != 1 || f[0]["grant_type"] != "client_credentials" || !strings.Contains(f[0]["scope"], scope) || f[0]["assertion"] != "" {
		t.Errorf("asked %v", f)
	}
}

// Each owner has a token of their own, asked for once, however many ask.
func TestOnePerOwner(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSource(t, i)
	var asking sync.WaitGroup
	for n := range 50 {
		asking.Go(func() {
			name := []string{"ann", "bob"}[n%2]
			got, err := s.Token(t.Context(), user(name))
			if err != nil || !strings.HasSuffix(got, "jwt-of-"+name) {
				t.Errorf("%s got %q, %v", name, got, err)
			}
		})
	}
	asking.Wait()
	elsewhere := user("ann")
	elsewhere.Tenant = "u"
	must(t, s, elsewhere)
	if n := len(i.forms()); n != 3 {
		t.Errorf("%d tokens for three owners", n)
	}
}

// A token is replaced before it ends, without anybody's waiting, and is never
// used after.
func TestReplacedEarly(t *testing.T) {
	i := newIssuer(t)
	s, pass := newSource(t, i)
	first := must(t, s, user("ann"))
	pass(54 * time.Minute)
	if got := must(t, s, user("ann")); got != first || len(i.forms()) != 1 {
		t.Errorf("replaced after 54 minutes of 60")
	}
	pass(2 * time.Minute)
	i.lives(2 * time.Hour) // by the library's clock, which does not move
	if got := must(t, s, user("ann")); got != first {
		t.Error("somebody waited for a token that could be had later")
	}
	settled(t, s)
	second := must(t, s, user("ann"))
	if second == first {
		t.Error("not replaced four minutes before its end")
	}

	i.breaks(says(http.StatusInternalServerError, ""))
	pass(60 * time.Minute)
	for range 10 {
		if got := must(t, s, user("ann")); got != second {
			t.Error("a token that still serves is given up")
		}
		settled(t, s)
	}
	if n := len(i.forms()); n != 3 {
		t.Errorf("asked %d times", n)
	}
	pass(3*time.Minute + 45*time.Second)
	if got, err := s.Token(t.Context(), user("ann")); !errors.Is(err, copilot.ErrToken) {
		t.Errorf("%q, %v for a token with 15 s to live", got, err)
	}
}

func TestBounded(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSource(t, i, func(o *Options) { o.MaxOwners = 2 })
	for _, name := range []string{"ann", "bob", "ann", "carol", "ann"} {
		must(t, s, user(name))
	}
	if n := len(i.forms()); n != 3 || len(s.tokens.items) != 2 || s.tokens.used.Len() != 2 {
		t.Errorf("%d fetched, %d kept", n, len(s.tokens.items))
	}
	must(t, s, user("bob"))
	if n := len(i.forms()); n != 4 {
		t.Errorf("the one that was used longest ago is still there")
	}
}

// A token that the agent refuses is not used again.
func TestReject(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSource(t, i)
	first := must(t, s, user("ann"))
	s.Reject(user("ann"), "another")
	if got := must(t, s, user("ann")); got != first {
		t.Error("the refusal of an older token took the present one")
	}
	s.Reject(user("ann"), first)
	if got := must(t, s, user("ann")); got == first {
		t.Error("used again")
	}
}

// A turn that is given up waits no longer, and does not end the fetch for others.
func TestCallerLeaves(t *testing.T) {
	i := newIssuer(t)
	asked, goOn := make(chan struct{}), make(chan struct{})
	i.breaks(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-goOn
		says(200, `{"token_type":"Bearer","access_token":"late","expires_in":3600}`)(w, nil)
	})
	s, _ := newSource(t, i)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := s.Token(ctx, user("ann"))
		left <- err
	}()
	<-asked
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(goOn)
	if got := must(t, s, user("ann")); got != "late" {
		t.Errorf("token %q", got)
	}
}

func TestOptions(t *testing.T) {
	good := Options{Authority: "https://login.microsoftonline.com/tenant", ClientID: app, Secret: secret, Scope: scope}
	for name, change := range map[string]func(*Options){
		"no authority": func(o *Options) { o.Authority = "" },
		"no tenant":    func(o *Options) { o.Authority = "https://login.microsoftonline.com/" },
		"no TLS":       func(o *Options) { o.Authority = "http://login.microsoftonline.com/tenant" },
		"no client":    func(o *Options) { o.ClientID = "" },
		"no secret":    func(o *Options) { o.Secret = "" },
		"no scope":     func(o *Options) { o.Scope = "" },
	} {
		o := good
		change(&o)
		if s, err := New(o); err == nil {
			s.Close()
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
