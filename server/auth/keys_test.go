package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parley/server/auth/authtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// later is the claims of a token that is minted when the clock stands there.
func (d *desk) later() authtest.Object {
	return d.issuer.Claims().With("exp", d.clock.now().Add(time.Hour).Unix())
}

// settled waits until no fetch runs.
func (d *desk) settled(t *testing.T) {
	t.Helper()
	// What shares the flight comes back when it has landed.
	if _, err, _ := d.keys.flight.Do(flightName, func() (any, error) { return nil, nil }); err != nil {
		t.Log(err)
	}
}

// Whatever the issuer does, keys that are known stay good for a while, and no
// token is let in or turned away for good while nobody knows.
func TestIssuerFails(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"down": authtest.Down,
		"500":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"404":  http.NotFound,
		"204":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example", http.StatusFound)
		},
		"nothing":         authtest.Says(""),
		"HTML":            authtest.Says("<html>"),
		"another's name":  authtest.Says(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example/keys"}`),
		"no keys":         authtest.Says(`{"keys":[]}`),
		"endless":         authtest.Says(strings.Repeat(" ", maxDocument) + `{"keys":[]}`),
		"keys of a child": authtest.Says(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"ec-1"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			if err := d.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.issuer.Break(fault)
			for range 12 {
				d.clock.pass(5 * time.Minute)
				if _, err := d.show(t, d.key.Token(d.later())); err != nil {
					t.Fatal(err)
				}
				d.settled(t)
			}
			d.clock.pass(time.Minute)
			if _, err := d.show(t, authtest.NewEC(t, "new").Token(d.later())); !errors.Is(err, ErrUnavailable) {
				t.Errorf("unknown key: %v", err)
			}
			d.clock.pass(keepFor)
			if _, err := d.show(t, d.key.Token(d.later())); !errors.Is(err, ErrUnavailable) {
				t.Errorf("a day later: %v", err)
			}
			d.issuer.Break(nil)
			d.clock.pass(pauseFailed)
			if _, err := d.show(t, d.key.Token(d.later())); err != nil {
				t.Errorf("mended: %v", err)
			}
		})
	}
}

// A document that names another issuer leads to no keys, be they good: whoever
// serves it, it is not the one that was asked.
func TestAnothersDocument(t *testing.T) {
	d := newDesk(t)
	keys := jsonText(t, map[string]any{"keys": []any{d.key.JWK()}})
	for name, ok := range map[string]bool{d.issuer.URL(): true, d.issuer.URL() + "/": false, "https://evil.example": false, "": false} {
		document := jsonText(t, map[string]string{"issuer": name, "jwks_uri": d.issuer.KeysURL()})
		d.issuer.Break(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				authtest.Says(keys)(w, r)
				return
			}
			authtest.Says(document)(w, r)
		})
		d.clock.pass(keepFor)
		if err := d.Refresh(t.Context()); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// With no key at all, a token is neither good nor bad.
func TestIssuerDownFromTheStart(t *testing.T) {
	var mu sync.Mutex
	var told []bool
	d := newDesk(t, func(o *Options) {
		o.OnRefresh = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err == nil)
		}
	})
	d.issuer.Break(authtest.Down)
	for range 20 {
		if _, err := d.show(t, d.key.Token(d.issuer.Claims())); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	before := d.issuer.Requests()
	if before > 2 { // Go's client repeats a GET on a connection that was cut
		t.Errorf("%d requests within a second", before)
	}
	d.issuer.Break(nil)
	d.clock.pass(pauseFailed)
	if _, err := d.show(t, d.key.Token(d.issuer.Claims())); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(told, []bool{false, true}) {
		t.Errorf("was told %v", told)
	}
}

// inProcess asks a handler without a network between, so that time can be virtual.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	rec, answered := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(answered)
		p.ServeHTTP(rec, r)
	}()
	<-answered
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// A slow issuer holds up nobody whose key is known, and nobody else for ever.
func TestIssuerSlow(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		d := newDeskAt(t, issuer, func(o *Options) {
			o.Source, o.Transport, o.Now = Source{Issuer: issuer.URL()}, inProcess{issuer}, time.Now
		})
		token := func(k *authtest.Key) string {
			return k.Token(issuer.Claims().With("exp", time.Now().Add(time.Hour).Unix()))
		}
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		issuer.Break(authtest.Slow)
		time.Sleep(refreshAfter)
		began := time.Now()
		for range 100 {
			if _, err := d.show(t, token(d.key)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("known keys waited for %v", took)
		}
		if n := issuer.Requests(); n != 3 {
			t.Errorf("%d requests, want discovery, keys and one more", n)
		}
		if _, err := d.show(t, token(authtest.NewEC(t, "new"))); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if took := time.Since(began); took != fetchLimit {
			t.Errorf("it took %v", took)
		}
		// Nor does a caller with less patience wait that long.
		time.Sleep(pauseFailed)
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Verify(ctx, "Bearer "+token(authtest.NewEC(t, "new"))); !errors.Is(err, ErrUnavailable) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// While the issuer may not be asked yet, a token whose key is unknown is neither
// good nor bad: a key may be used as soon as it is published.
func TestKeyUsedRightAfterRotation(t *testing.T) {
	for since, want := range map[time.Duration]time.Duration{
		0: pause, time.Second: pause - time.Second, pause - time.Millisecond: time.Millisecond, pause: 0,
	} {
		d := newDesk(t)
		if _, err := d.show(t, d.key.Token(d.later())); err != nil {
			t.Fatal(err)
		}
		next := authtest.NewEC(t, "ec-2")
		d.issuer.Rotate(d.key, next)
		d.clock.pass(since)
		_, err := d.show(t, next.Token(d.later()))
		if want == 0 {
			if err != nil {
				t.Errorf("%v after the last fetch: %v", since, err)
			}
			continue
		}
		if e, ok := errors.AsType[*UnavailableError](err); !ok || e.RetryAfter != want || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v after the last fetch: %v, want to be told to wait for %v", since, err, want)
		}
		d.clock.pass(want)
		if _, err := d.show(t, next.Token(d.later())); err != nil {
			t.Errorf("having waited for %v as told: %v", want, err)
		}
	}
}

// A fetch that began before a key was published says nothing about that key.
func TestKeyPublishedDuringFetch(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		d := newDeskAt(t, issuer, func(o *Options) {
			o.Source, o.Transport, o.Now = Source{Issuer: issuer.URL(), KeysURL: issuer.KeysURL()}, inProcess{issuer}, time.Now
		})
		old := jsonText(t, map[string]any{"keys": []any{d.key.JWK()}})
		issuer.Break(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			authtest.Says(old)(w, r)
		})
		go func() { _ = d.Refresh(t.Context()) }()
		synctest.Wait()
		next := authtest.NewEC(t, "ec-2")
		issuer.Rotate(d.key, next)
		_, err := d.show(t, next.Token(issuer.Claims()))
		e, ok := errors.AsType[*UnavailableError](err)
		if !ok {
			t.Fatalf("%v, want unavailable", err)
		}
		issuer.Break(nil)
		time.Sleep(e.RetryAfter)
		if _, err := d.show(t, next.Token(issuer.Claims())); err != nil {
			t.Errorf("having waited for %v as told: %v", e.RetryAfter, err)
		}
	})
}

// Two keys of one name are both tried, whichever stands first.
func TestTwoKeysOfOneName(t *testing.T) {
	one, two, other := authtest.NewEC(t, "key"), authtest.NewEC(t, "key"), authtest.NewRSA(t, "key")
	for _, order := range [][]*authtest.Key{{one, two, other}, {other, two, one}, {two, other, one}} {
		d := newDesk(t)
		d.issuer.Rotate(order...)
		for i, k := range order {
			if _, err := d.show(t, k.Token(d.later())); err != nil {
				t.Errorf("key %d: %v", i, err)
			}
		}
		if _, err := d.show(t, authtest.NewEC(t, "key").Token(d.later())); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("a fourth: %v", err)
		}
	}
}

// Nothing of the address of the keys is in an error: its query may be a secret.
func TestKeysAddressIsNotTold(t *testing.T) {
	told := make(chan error, 1)
	b, err := NewBearer(Options{
		Source:    Source{Issuer: "https://a.example", KeysURL: "https://127.0.0.1:1/keys?sig=S3CR3T"},
		Audiences: []string{"a"}, OnRefresh: func(err error) { told <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Refresh(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if err := <-told; err == nil || strings.Contains(err.Error(), "S3CR3T") {
		t.Error(err)
	}
}

// A new key is found, an old one given up, and a flood of unknown ones costs the
// issuer nothing.
func TestRotation(t *testing.T) {
	d := newDesk(t)
	old, next := d.key, authtest.NewRSA(t, "rsa-2")
	if _, err := d.show(t, old.Token(d.later())); err != nil {
		t.Fatal(err)
	}
	d.issuer.Rotate(old, next)
	d.clock.pass(pause)
	if _, err := d.show(t, next.Token(d.later())); err != nil {
		t.Errorf("new key: %v", err)
	}
	d.issuer.Rotate(next)
	d.clock.pass(refreshAfter)
	if _, err := d.show(t, next.Token(d.later())); err != nil {
		t.Error(err)
	}
	d.settled(t)
	if _, err := d.show(t, old.Token(d.later())); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("withdrawn key: %v", err)
	}

	d.clock.pass(pause)
	before := d.issuer.Requests()
	var flood sync.WaitGroup
	for i := range 50 {
		flood.Go(func() {
			header := old.Header().With("kid", fmt.Sprint("made-up-", i))
			_, err := d.Verify(t.Context(), "Bearer "+authtest.Token(header, d.later(), old.Sign))
			if !errors.Is(err, ErrUnauthenticated) && !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	flood.Wait()
	if n := d.issuer.Requests() - before; n != 2 {
		t.Errorf("%d requests for 50 unknown keys, want one discovery and one key set", n)
	}
}
