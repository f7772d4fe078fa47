package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"parley/contracttest/matrix"
	"parley/contracttest/mutants"
	"parley/contracttest/redistest"
	"parley/server"
	"parley/server/auth"
	"parley/server/turn"
	"parley/store"
	"parley/telemetry"
)

// asUnbounded makes the test binary be the program with a bound missing, which it names.
const asUnbounded = "PARLEY_TEST_AS_UNBOUNDED"

// unbounded is a service that lacks a bound which no setting takes away.
type unbounded struct {
	name   string
	attack string // the attack that succeeds with it
	put    func(ctx context.Context, c config, with *seams) error
}

func unboundeds() []unbounded {
	all := []unbounded{
		{"keeps-places-for-whom-reads-nothing", "unread", func(_ context.Context, _ config, with *seams) error {
			with.api = keepsPlaces
			return nil
		}},
		{"waits-for-the-issuer-in-few-places", "unknown-keys", func(ctx context.Context, c config, with *seams) error {
			tel, err := telemetry.New(telemetry.Options{Class: server.Class, Classes: classes()})
			if err != nil {
				return err
			}
			a, err := openAuth(ctx, c, seams{}, tel, slog.New(slog.DiscardHandler))
			with.verifier = few{a, semaphore.NewWeighted(8)}
			return err
		}},
		{"answers-when-it-has-logged", "unread-log", func(_ context.Context, _ config, with *seams) error {
			with.api = logsFirst
			return nil
		}},
	}
	for _, mutant := range mutants.All() {
		for _, attack := range mutant.Attacks {
			all = append(all, unbounded{mutant.Name, attack, func(_ context.Context, _ config, with *seams) error {
				with.store = func(s store.Store) store.Store { return mutant.Break(s, mutants.Options{}) }
				return nil
			}})
		}
	}
	return all
}

// unboundedMain runs the program without the bound of that name.
func unboundedMain(name string) error {
	ctx := context.Background()
	c, err := load(processEnvironment())
	if err != nil {
		return err
	}
	for _, u := range unboundeds() {
		if u.name != name {
			continue
		}
		var with seams
		if err := u.put(ctx, c, &with); err != nil {
			return err
		}
		return serve(ctx, c, with, os.Stdout, os.Stderr)
	}
	return errors.New("no such mutant")
}

// keepsPlaces has a number of places for answers, and refuses who finds none.
func keepsPlaces(next http.Handler) http.Handler {
	places := semaphore.NewWeighted(200)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !places.TryAcquire(1) {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		defer places.Release(1)
		next.ServeHTTP(w, r)
	})
}

// few verifies so many tokens at once, and refuses who comes meanwhile. One whose key
// is not known waits for its issuer.
type few struct {
	auth.Verifier
	places *semaphore.Weighted
}

func (f few) Verify(ctx context.Context, header string) (auth.Principal, error) {
	if !f.places.TryAcquire(1) {
		return auth.Principal{}, turn.ErrOverloaded
	}
	defer f.places.Release(1)
	who, err := f.Verifier.Verify(ctx, header)
	if errors.Is(err, auth.ErrUnavailable) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return who, err
}

// logsFirst has each request of the API wait until its line was taken, and fails it when
// that takes long.
func logsFirst(next http.Handler) http.Handler {
	const long = 500 * time.Millisecond
	lines := make(chan string)
	go func() {
		for l := range lines {
			_, _ = io.WriteString(os.Stderr, l)
		}
	}()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			select {
			case lines <- "request\n":
			case <-time.After(long):
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// A service without a bound breaks the promise of the attack that the bound is for, and
// every attack has such a service.
func TestCallersMutants(t *testing.T) {
	type missing struct {
		name     string
		settings []string
	}
	without := map[string][]missing{}
	for _, u := range unboundeds() {
		without[u.attack] = append(without[u.attack], missing{u.name, []string{asUnbounded, u.name}})
	}
	for _, a := range matrix.Attacks() {
		if a.Unbound != nil {
			without[a.ID] = append(without[a.ID], missing{"setting", a.Unbound})
		}
		if len(without[a.ID]) == 0 {
			t.Errorf("nothing shows that %s can be seen to succeed", a.ID)
		}
	}
	if !*allRows {
		t.Skip("takes half a minute: make contract runs it")
	}
	redis := redistest.Start(t)
	for _, a := range matrix.Attacks() {
		for _, m := range without[a.ID] {
			t.Run(a.ID+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				on := redis
				if !a.OnRedis {
					on = nil
				}
				e := attacked(t, on, a, m.settings...)
				if len(e.Broken) == 0 {
					t.Errorf("nothing found; the other tenant: %s; the attacker: %s", matrix.Answered(e.Answers), matrix.Answered(e.Attacker))
				}
				t.Logf("%q", e.Broken)
			})
		}
		delete(without, a.ID)
	}
	if len(without) > 0 {
		t.Errorf("there are no such attacks: %q", slices.Collect(maps.Keys(without)))
	}
}
